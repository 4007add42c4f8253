/* A compiled schema: a tree of nodes for the bounded walk, and avro-c's own form. Inside
 * codec/ only; the one header that includes avro.h of the library. */
#ifndef CODEC_AVRO_H
#define CODEC_AVRO_H

#include <avro.h>
#include <uthash.h>

#include "base/buf.h"
#include "base/mem.h"
#include "codec/schemas.h"

enum node_type {
    NODE_NULL,
    NODE_BOOLEAN,
    NODE_INT,
    NODE_LONG,
    NODE_FLOAT,
    NODE_DOUBLE,
    NODE_BYTES,
    NODE_STRING,
    NODE_RECORD,
    NODE_ENUM,
    NODE_ARRAY,
    NODE_MAP,
    NODE_UNION,
    NODE_FIXED
};

struct node {
    enum node_type type;
    const char *name; /* full name of record, enum, fixed; else NULL */
    size_t n;         /* fields, branches, symbols, or the size of a fixed */
    struct node *
        *parts;         /* fields, branches, or the one of array and map; may be cyclic */
    const char **names; /* of fields and symbols */
};

struct schema {
    UT_hash_handle hh; /* by fingerprint */
    uint64_t fingerprint;
    char *text;
    struct node *root;
    struct arena arena; /* owns the nodes */
    avro_schema_t library;
    avro_value_iface_t *iface;
    avro_value_t value; /* reused: reset before each use */
    avro_writer_t writer;
};

/* Compiles a schema's text. NULL and e: not a schema, too deep or too large. */
struct schema *schema_compile(const char *text, size_t len, struct err *e);
void schema_free(struct schema *sc);

/* The bounded walk: is `datum` exactly one datum of this schema? avro-c sees nothing
 * else. */
int avro_walk(const struct schema *sc, struct str datum, struct err *e);
/* Walks, then decodes into sc->value (valid until the next use of sc). */
int avro_decode(const struct schema *sc, struct str datum, struct err *e);
/* Appends the framed sc->value to `out`. -1: over its ceiling, or a value is missing. */
int avro_encode(struct schemas *ss, const struct schema *sc, struct buf *out);

/* A field by name with unions unwrapped; false: no such field, or null. */
bool avro_field(const avro_value_t *record, const char *name, avro_value_t *out);
/* The value behind a union (the same value when it is none); false: null. */
bool avro_unwrap(const avro_value_t *value, avro_value_t *out);
bool avro_text(const avro_value_t *value,
               struct str *out); /* string, enum symbol or bytes */

#endif
