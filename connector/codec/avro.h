/* Inside the codec only: a compiled schema, the bounded walk over bytes, and values
 * through avro-c.
 *
 * A schema is compiled twice: into nodes of ours, for the walk and for finding things by
 * name, and into avro-c's form, for decoding and encoding. A struct cell is a place in
 * both at once, unions already entered. avro-c is never shown bytes that did not pass the
 * walk: a decode of its that fails leaks, and it believes lengths, enum indexes and
 * booleans. */
#ifndef CODEC_AVRO_H
#define CODEC_AVRO_H

#include <avro.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "codec/schemas.h"

enum {
    AVRO_DEPTH_MAX = 32, /* of a schema, and of records, arrays and maps in a value */
    AVRO_VALUES_MAX = 100000,     /* in one datum, whatever their size */
    AVRO_SCHEMA_MAX = 256 * 1024, /* bytes of text */
    AVRO_NODES_MAX = 10000        /* in one schema, and in the smallest value of it */
};

struct avro_node {
    avro_type_t type;   /* never AVRO_LINK: a reference is a pointer to the named node */
    const char *name;   /* full name of a record, enum or fixed */
    const char **names; /* record: fields; enum: symbols */
    struct avro_node **kids; /* record: fields' types; union: branches; array, map: one */
    size_t n;                /* names or kids; fixed: bytes */
    size_t index;            /* of a named type in its schema */
    bool micros;             /* long of logicalType timestamp-micros */
    size_t weight;           /* values in the smallest value; 0: not measured yet */
    unsigned height;         /* of the smallest value */
};

/* The compiled schema. Owns everything in it. */
struct avro_form {
    struct arena arena; /* nodes and names */
    const struct avro_node *root;
    size_t n_named;
    avro_schema_t schema;
    avro_value_iface_t *iface;
    avro_value_t value; /* the one value that all records of this schema pass through */
    bool used;          /* it is not as after a reset */
    bool bloated;       /* it holds a large datum: replaced before the next */
};

struct schema {
    const char *full_name; /* "" when the root has none */
    const char *text;
    size_t text_len;
    uint64_t fingerprint;
    bool owned;             /* not of the table: owns its text and itself */
    int32_t id;             /* at the registry, for writing; 0: it has none */
    struct schema *next;    /* of those that came from a registry */
    struct avro_form *form; /* NULL until first used */
    UT_hash_handle by_fingerprint, by_name;
};

/* Where a value of type bytes stands in a datum, its length before it included. */
struct avro_span {
    const char *from;
    struct str bytes;
};

struct avro_spans {
    struct avro_span *items;
    size_t n, cap;
};

struct schemas {
    struct schema *table;          /* one per row of schemas_table */
    struct schema *by_fingerprint; /* the table's and those of schemas.dir */
    struct schema *by_name;        /* the table's */
    struct schema *writers;    /* came from a registry, and are known by its ids only */
    struct registry *registry; /* borrowed; NULL: there is none */
    avro_reader_t reader;
    avro_writer_t writer;
    struct buf scratch; /* for whoever builds a text during one call: schemas_scratch */
    struct avro_spans spans; /* of the datum that is being decoded */
    struct buf refs;         /* that datum without them */
};

/* The one buffer for building a text within a call, empty. */
struct buf *schemas_scratch(struct schemas *ss);

/* NULL and e when the text is no schema, or one beyond the limits. */
struct avro_form *avro_form_new(struct str text, struct err *e);
void avro_form_free(struct avro_form *form);

/* The parsing canonical form, and CRC-64-AVRO over it. */
void avro_canonical(const struct avro_form *form, struct buf *out);
uint64_t avro_fingerprint(struct str canonical);

/* Is `datum` exactly one value of the schema, within the limits? e->reason is one of
 * Truncated TrailingBytes TooLarge TooDeep BadUtf8 BadValue. */
int avro_walk(const struct avro_node *root, struct str datum, struct err *e);

/* A place in a value. For a union: of the branch it holds, when reading. */
struct cell {
    const struct avro_node *node;
    avro_value_t value;
};

/* Walks and decodes; `out` is valid until the next decode or encode with this schema,
 * values of type bytes as long as the datum too. */
int avro_decode(struct schemas *ss, const struct schema *sc, struct str datum,
                struct cell *out, struct err *e);

/* Enters a union; false: null. All that reads below has done so. */
bool cell_unwrap(struct cell *c);
/* The field `name` of a record; false: the record has none, or it is null. *hint is where
 * to look first (0 at the start): fields asked for in the schema's order are found at
 * once. */
bool cell_field(const struct cell *rec, const char *name, size_t *hint, struct cell *out);
size_t cell_size(const struct cell *c); /* of an array or map */
/* Element i of an array or map (key may be NULL); false: it is null. */
bool cell_at(const struct cell *c, size_t i, struct cell *out, const char **key);

/* Reading with the promotions that lose nothing; -1: the value has another type. What is
 * peeked at is valid as long as the value. */
int cell_peek(const struct cell *c, struct str *out); /* a string; enum, UTF-8 bytes */
int cell_peek_bytes(const struct cell *c, struct str *out); /* bytes; string, fixed */
int cell_string(const struct cell *c, struct arena *a, struct str *out);
int cell_bytes(const struct cell *c, struct arena *a, struct str *out);
/* The same for who keeps the datum: what it has as bytes is not copied. */
int cell_bytes_in_place(const struct cell *c, struct arena *a, struct str *out);
int cell_long(const struct cell *c, int64_t *out);  /* int */
int cell_double(const struct cell *c, double *out); /* float */
int cell_boolean(const struct cell *c, bool *out);

/* Writing: avro_begin gives the schema's value, emptied. Every field must then be set, in
 * any order; a setter enters the branch of a union that has its type. -1: the place has
 * no such type. Texts and bytes are borrowed until avro_encode. */
void avro_begin(const struct schema *sc, struct cell *root);
bool cell_place(const struct cell *rec, const char *name, size_t *hint, struct cell *out);
int cell_set_null(const struct cell *c);
int cell_set_string(const struct cell *c, struct str s);
int cell_set_bytes(const struct cell *c, struct str s);
int cell_set_long(const struct cell *c, int64_t n); /* an int too */
int cell_set_double(const struct cell *c, double x);
int cell_set_boolean(const struct cell *c, bool b);
/* Enters a record, array or map: the place for its fields or elements. */
int cell_enter(const struct cell *c, avro_type_t type, struct cell *out);
void cell_append(const struct cell *array, struct cell *out);
int cell_add(const struct cell *map, struct str key,
             struct cell *out); /* -1: a NUL in the key */
/* Appends the framed bytes and lets go of what was borrowed. -1: over the buffer's
 * ceiling. */
int avro_encode(struct schemas *ss, const struct schema *sc, struct buf *out);

#endif
