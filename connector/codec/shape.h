/* The shape of a typed command: what the generated table says of each field of an
 * operation. It is enough to turn an Avro record into params and a JSON body, and to
 * check the JSON type of a body field. Lives here (not in front/) because the codec walks
 * it. */
#ifndef CODEC_SHAPE_H
#define CODEC_SHAPE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

enum shape_type {
    SHAPE_STRING,
    SHAPE_BOOLEAN,
    SHAPE_LONG,
    SHAPE_DOUBLE,
    SHAPE_TIME, /* timestamp-millis in Avro, epoch number in JSON: see enum shape_time */
    SHAPE_JSON, /* JSON text in Avro, any JSON value in the body */
    SHAPE_OBJECT, /* nested record: `fields` */
    SHAPE_FILE,   /* front.Attachment */
    SHAPE_MAP     /* map of strings: q only */
};

enum shape_time {
    TIME_NONE,
    TIME_SECONDS,  /* whole seconds */
    TIME_FRACTION, /* seconds with at most 3 decimals */
    TIME_MILLIS
};

enum shape_place {
    PLACE_COMMAND_ID,
    PLACE_PATH,
    PLACE_QUERY,
    PLACE_Q, /* map: key k becomes the param q[k] */
    PLACE_BODY,
    PLACE_MAX_ITEMS,
    PLACE_WITH,
    PLACE_SET_NULL,
    PLACE_NESTED /* a field of a nested object */
};

/* JSON types a value may have, as bits. null is always allowed at the top level of a
 * body. */
enum {
    JSON_IS_STRING = 1,
    JSON_IS_INTEGER = 2,
    JSON_IS_NUMBER = 4, /* includes integers */
    JSON_IS_BOOLEAN = 8,
    JSON_IS_ARRAY = 16,
    JSON_IS_OBJECT = 32,
    JSON_IS_ANY = 63
};

struct shape {
    const char *name;
    enum shape_type type;
    bool array; /* an array of `type` */
    enum shape_time time;
    enum shape_place place;
    bool required; /* by Front: the check enforces it; Avro has every field nullable */
    unsigned json_types;        /* of the JSON value, for PLACE_BODY */
    const struct shape *fields; /* SHAPE_OBJECT */
    size_t n_fields;
};

/* One typed command record: "front.command.UpdateAContact". */
struct typed_record {
    const char *full_name;
    const char *operation; /* operationId */
    const struct shape *fields;
    size_t n_fields;
};

/* Finds a typed record by its full name, or NULL. Given to the codec by whoever owns the
 * table. */
typedef const struct typed_record *typed_find_fn(struct str full_name);

#endif
