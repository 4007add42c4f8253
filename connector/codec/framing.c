/* See framing.h. */
#include "codec/framing.h"

#include <stdio.h>

#define SINGLE_OBJECT_PREFIX 10

enum framing_result framing_open(struct schemas *ss, struct str value,
                                 const struct schema **writer, struct str *datum,
                                 struct err *e)
{
    const unsigned char *p = (const unsigned char *)value.ptr;
    uint64_t fingerprint = 0;
    if (value.len == 0) {
        err_input(e, "Empty", "the record has no value");
        return FRAMING_BAD;
    }
    if (p[0] == '{' || p[0] == '[') {
        err_input(e, "WrongFormat",
                  "the record is JSON text, but commands.format is avro: set it to json");
        return FRAMING_BAD;
    }
    if (p[0] == 0 && value.len >= 5) {
        err_input(e, "SchemaUnknown",
                  "the record names schema id %u of a registry, but "
                  "schemas.registry.url is not set",
                  (unsigned)p[1] << 24 | (unsigned)p[2] << 16 | (unsigned)p[3] << 8 |
                      p[4]);
        return FRAMING_BAD;
    }
    if (value.len < SINGLE_OBJECT_PREFIX || p[0] != 0xc3 || p[1] != 0x01) {
        err_input(e, "NotFramed",
                  "neither single-object encoding (c3 01) nor a registry's "
                  "framing (00): use an Avro serialiser with framing");
        return FRAMING_BAD;
    }
    for (int i = 7; i >= 0; i--)
        fingerprint = fingerprint << 8 | p[2 + i];
    *writer = schemas_by_fingerprint(ss, fingerprint);
    if (*writer == NULL) {
        err_input(e, "SchemaUnknown",
                  "no schema with fingerprint %016llx: put its .avsc into "
                  "schemas.dir",
                  (unsigned long long)fingerprint);
        return FRAMING_BAD;
    }
    *datum =
        (struct str){value.ptr + SINGLE_OBJECT_PREFIX, value.len - SINGLE_OBJECT_PREFIX};
    return FRAMING_OK;
}

size_t framing_seal(struct schemas *ss, const struct schema *sc, char out[10])
{
    uint64_t fingerprint = schema_fingerprint(sc);
    (void)ss;
    out[0] = (char)0xc3;
    out[1] = 0x01;
    for (int i = 0; i < 8; i++)
        out[2 + i] = (char)(fingerprint >> (8 * i));
    return SINGLE_OBJECT_PREFIX;
}
