/* List items out: one item of a list, as Front sent it, becomes the key and the value of
 * one record of its resource topic (contracts §2). The tables (front/catalogue_table.c)
 * come from the same source as schemas/resources/, field for field and in its order, so
 * the bytes are written as they are read: no tree, no avro-c value.
 *
 * An item is never refused. What does not have its field's type is null there, `_raw` has
 * the whole item, and `mistyped` says so. */
#ifndef CODEC_RECORDS_ITEM_H
#define CODEC_RECORDS_ITEM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "codec/schemas.h"
#include "codec/shape.h"

enum {
    ITEM_FIELDS_MAX = 64, /* of one object */
    ITEM_KEY_MAX = 512    /* bytes */
};

/* Where a field's value stands in its object. */
enum item_place {
    ITEM_MEMBER, /* the member itself */
    ITEM_ID,     /* an embedded resource: its id; of an array the ids */
    ITEM_LINK    /* _links.related: what the link to one thing ends with */
};

struct item_field {
    const char *name;     /* in the record */
    enum shape_type type; /* STRING BOOLEAN LONG DOUBLE TIME JSON OBJECT */
    bool array;           /* an array of `type` */
    enum shape_time time;
    enum item_place place;
    const char *member;              /* in the object, or in its _links.related */
    const struct item_field *fields; /* SHAPE_OBJECT */
    size_t n_fields;
};

/* A key is one part, or two with a slash between. */
enum item_key_kind {
    ITEM_KEY_NONE,
    ITEM_KEY_TEXT,  /* the string at `path` */
    ITEM_KEY_TIME,  /* the time at `path`, in milliseconds */
    ITEM_KEY_LINK,  /* what the link at `path` ends with */
    ITEM_KEY_PARENT /* the list's last path parameter */
};

struct item_key_part {
    enum item_key_kind kind;
    const char *path;
};

struct item_kind {
    const char *full_name; /* "front.resource.Contact" */
    const struct item_field *fields;
    size_t n_fields; /* without _parent_id and _raw, which all have */
    struct item_key_part key[2];
};

/* front.Event is no resource record: codec/records/event.h writes it. */
extern const struct item_kind item_event;

/* Key and value stand in the buffer they were appended to, at these places. */
struct item_record {
    size_t key_at, key_len;
    size_t value_at, value_len;
    size_t raw_len; /* the value ends with `_raw` */
    bool mistyped;  /* a field, or the key, was not as its type says */
};

/* Appends key and value. `json` is one valid JSON value (json_is_valid), of any type.
 * `parent_id` ptr NULL: none. `bare`: every field is null but _parent_id and _raw, for an
 * item that is too large otherwise. The arena is reset. -1: over the ceiling of `out`,
 * which is as it was but for `over`. */
int item_encode(struct schemas *ss, const struct item_kind *kind, struct str json,
                struct str parent_id, bool bare, struct arena *scratch, struct buf *out,
                struct item_record *rec);

#endif
