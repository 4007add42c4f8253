/* The bytes in front of an Avro datum: Confluent framing (0x00, int32 id) with a
 * registry, or single-object encoding (0xC3 0x01, CRC-64-AVRO little-endian) without one.
 * The latter is understood with a registry too. */
#ifndef CODEC_FRAMING_H
#define CODEC_FRAMING_H

#include "codec/schemas.h"

enum framing_result {
    FRAMING_OK,
    FRAMING_WAIT, /* the registry is being asked for the writer schema: try again when it
                     has news (codec/registry.h); e is ERR_BUSY */
    FRAMING_BAD   /* e says why; e->reason is the dead letter's class */
};

/* Looks at the first bytes of a record value: its writer schema and where the datum
 * starts. */
enum framing_result framing_open(struct schemas *ss, struct str value,
                                 const struct schema **writer, struct str *datum,
                                 struct err *e);

/* Must a reader of this record wait for the registry? Asks it, if so. */
bool framing_waits(struct schemas *ss, struct str value);

/* The prefix for a record written with `sc`: 10 bytes at most, returns how many. With the
 * registry's id when `sc` has one (registry_output). */
size_t framing_seal(const struct schema *sc, char out[10]);

#endif
