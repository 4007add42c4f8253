/* Inside codec/records only: a record's fields, one after the other, in the schema's
 * order. The schemas are compiled in: a field that one lacks, or has as another type, is
 * our bug and aborts. */
#ifndef CODEC_RECORDS_FIELDS_H
#define CODEC_RECORDS_FIELDS_H

#include "codec/avro.h"
#include "codec/records/result.h"

/* A record being filled. Texts are borrowed until it is encoded. */
struct filling {
    struct cell rec;
    size_t hint;
};

struct cell fields_place(struct filling *f, const char *name);
void fields_must(int rc);
void fields_put_text(struct filling *f, const char *name, struct str s);
void fields_put_optional(struct filling *f, const char *name, struct str s);
void fields_put_bytes(struct filling *f, const char *name, struct str s);
void fields_put_number(struct filling *f, const char *name, int64_t n);
/* A number of somebody else into an int: at most as large as it can be. */
void fields_put_int(struct filling *f, const char *name, int64_t n);
void fields_put_boolean(struct filling *f, const char *name, bool b);
/* Enters the nullable record `name`; false: it is to be null, and is now. */
bool fields_enter(struct filling *f, const char *name, bool there, struct filling *out);

/* A record being read; `rc` is -1 once a field had another type. */
struct reading {
    struct cell rec;
    size_t hint;
    struct arena *a;
    int rc;
};

/* The value is a framed record of this name; r->a is set. -1: it is none. */
int fields_open(struct schemas *ss, struct str value, const char *full_name,
                struct reading *r, struct err *e);
struct str fields_get_text(struct reading *r, const char *name);
struct str fields_get_bytes(struct reading *r, const char *name);
int64_t fields_get_number(struct reading *r, const char *name); /* NO_NUMBER: null */
bool fields_get_boolean(struct reading *r, const char *name);

#endif
