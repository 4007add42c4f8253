/* The schemas we know: compiled-in ones (codec/schemas_table.c, generated from schemas/),
 * those of schemas.dir, and those that a registry told. A schema is kept as its text, its
 * compiled form for the bounded walk, its avro-c form, and its CRC-64-AVRO fingerprint
 * over the parsing canonical form. Owns every struct schema until schemas_free. */
#ifndef CODEC_SCHEMAS_H
#define CODEC_SCHEMAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct schema; /* compiled: see codec/avro.h */
struct schemas;

/* One row of the generated table. */
struct schema_row {
    const char *full_name; /* "front.Command", "front.command.UpdateAContact",
                              "front.resource.Contact" */
    const char *file;      /* "records/Command.avsc" */
    const char *text;      /* the .avsc byte for byte */
    size_t text_len;
    uint64_t fingerprint; /* CRC-64-AVRO of the parsing canonical form */
};
extern const struct schema_row schemas_table[];
extern const size_t schemas_table_n;

/* Knows the compiled-in table (compiled lazily, on first use) and the *.avsc files of
 * `dir` (NULL: none; a file that is no schema is an error naming it). */
struct schemas *schemas_new(const char *dir, struct err *e);
void schemas_free(struct schemas *ss);
/* By fingerprint; NULL: unknown. */
const struct schema *schemas_by_fingerprint(struct schemas *ss, uint64_t fingerprint);
/* By full name, of the compiled-in table only; aborts when there is none. */
const struct schema *schemas_xget(struct schemas *ss, const char *full_name);
const struct schema_row *schemas_row(const char *full_name); /* NULL: none */

/* The schema of this text, which a registry has: ours when it is ours, letter by letter.
 * NULL and e: it is none that we can read. Not found by fingerprint: that forgets logical
 * types. */
const struct schema *schemas_writer(struct schemas *ss, struct str text, struct err *e);

/* From now on ids of records are asked for there (framing.h). Borrowed. */
struct registry;
void schemas_set_registry(struct schemas *ss, struct registry *rg);
struct registry *schemas_registry(const struct schemas *ss); /* NULL: there is none */
/* Records written with `sc` carry this id of the registry from now on. */
void schemas_identify(struct schemas *ss, const struct schema *sc, int32_t id);
int32_t schema_id(const struct schema *sc); /* 0: it has none */

const char *schema_full_name(const struct schema *sc);
uint64_t schema_fingerprint(const struct schema *sc);
struct str schema_text(const struct schema *sc);

#endif
