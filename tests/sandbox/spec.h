/* The catalogue as the sandbox needs it: operations with their routes, body fields and
 * answers, and the shapes of Front's resources. Read once from schemas/catalogue.json
 * (compiled in, or the file given with --catalogue); everything lives until the process
 * ends. */
#ifndef SANDBOX_SPEC_H
#define SANDBOX_SPEC_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum field_type {
    FIELD_STRING,
    FIELD_BOOLEAN,
    FIELD_LONG,
    FIELD_DOUBLE,
    FIELD_TIME,
    FIELD_JSON,
    FIELD_OBJECT,
    FIELD_SHAPE,
    FIELD_FILE,
    FIELD_MAP
};

struct field {
    const char *name;
    enum field_type type;
    bool array, required, nullable;
    const char *link; /* "/contacts/{crd}" on the strings below _links; or NULL */
    const struct shape *shape; /* FIELD_SHAPE */
    const json_t *json;        /* JSON types a request may use; NULL on answers */
    const json_t *values;      /* closed list of strings; or NULL */
    struct field *fields;      /* FIELD_OBJECT */
    size_t n_fields;
};

struct shape {
    const char *name;
    struct field *fields;
    size_t n_fields;
};

enum answer_kind {
    ANSWER_NONE,
    ANSWER_OBJECT,
    ANSWER_LIST,
    ANSWER_ACCEPTED,
    ANSWER_BINARY
};

#define SEGMENTS_MAX 8

struct call;
typedef void operation_fn(struct call *c);

struct operation {
    const char *name, *method, *path;
    size_t n_segments;
    const char *segments[SEGMENTS_MAX]; /* NULL: a parameter */
    const char *params[SEGMENTS_MAX];   /* its name; NULL: literal */
    char repeat_class;                  /* 'A' .. 'D' */
    const char *guard, *guard_param;    /* NULL: none */
    bool channel_api;                   /* authenticates with a channel's JWT */
    bool body, merged_301, paged;
    int page_max;
    const char *file_field;
    const json_t *one_of;
    struct field *fields;
    size_t n_fields;
    int status; /* the first documented success status */
    enum answer_kind answer;
    const struct shape *shape;
    bool pagination; /* the list has _pagination */
    operation_fn *run;
    struct operation *next; /* same bucket of the route table */
    uint64_t count;
};

#define ROUTE_BUCKETS 1024

struct spec {
    json_t *tree; /* owns every text */
    struct operation *operations;
    size_t n_operations;
    struct shape *shapes;
    size_t n_shapes;
    struct operation *buckets[ROUTE_BUCKETS];
};

/* file NULL: the compiled-in catalogue. */
int spec_load(struct spec *sp, const char *file, struct err *e);
void spec_fini(struct spec *sp);
const struct shape *spec_shape(const struct spec *sp, const char *name); /* NULL: none */
struct operation *spec_find(const struct spec *sp, const char *name);    /* NULL: none */

/* The operation of a request. segments: the decoded path. channel_api prefers the channel
 * API where both have the same route. *path_known says that only the method is wrong. */
struct operation *spec_match(const struct spec *sp, const char *method,
                             char *const *segments, size_t n, bool channel_api,
                             bool *path_known);

#endif
