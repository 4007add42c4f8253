/* Framing: which schema a record was written with, and what a user is told when nobody
 * knows. Owns nothing. Invariant: a schema is only returned when its fingerprint, or its
 * id at the registry, is known. */
#include "codec/framing.h"

#include <stdio.h>

#include "codec/registry.h"

#define SINGLE_OBJECT_PREFIX 10
#define REGISTRY_PREFIX 5

static int32_t read_id(const unsigned char *p)
{
    return (int32_t)((uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 |
                     p[4]);
}

static enum framing_result open_registered(struct schemas *ss, struct str value,
                                           const struct schema **writer,
                                           struct str *datum, struct err *e)
{
    int32_t id = read_id((const unsigned char *)value.ptr);

    if (schemas_registry(ss) == NULL) {
        err_input(e, "SchemaUnknown",
                  "the record names schema id %d of a registry, but "
                  "schemas.registry.url is not set",
                  (int)id);
        return FRAMING_BAD;
    }
    *datum = (struct str){value.ptr + REGISTRY_PREFIX, value.len - REGISTRY_PREFIX};
    switch (registry_by_id(schemas_registry(ss), id, writer, e)) {
    case REGISTRY_KNOWN:
        return FRAMING_OK;
    case REGISTRY_WAIT:
        return FRAMING_WAIT;
    case REGISTRY_MISSING:
        return FRAMING_BAD;
    }
    return FRAMING_BAD;
}

static enum framing_result open_single_object(struct schemas *ss, struct str value,
                                              const struct schema **writer,
                                              struct str *datum, struct err *e)
{
    const unsigned char *p = (const unsigned char *)value.ptr;
    uint64_t fingerprint = 0;

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

enum framing_result framing_open(struct schemas *ss, struct str value,
                                 const struct schema **writer, struct str *datum,
                                 struct err *e)
{
    const unsigned char *p = (const unsigned char *)value.ptr;
    if (value.len == 0) {
        err_input(e, "Empty", "the record has no value");
        return FRAMING_BAD;
    }
    if (p[0] == '{' || p[0] == '[') {
        err_input(e, "WrongFormat",
                  "the record is JSON text, but commands.format is avro: set it to json");
        return FRAMING_BAD;
    }
    if (p[0] == 0 && value.len >= REGISTRY_PREFIX)
        return open_registered(ss, value, writer, datum, e);
    if (value.len >= SINGLE_OBJECT_PREFIX && p[0] == 0xc3 && p[1] == 0x01)
        return open_single_object(ss, value, writer, datum, e);
    err_input(e, "NotFramed",
              "neither single-object encoding (c3 01) nor a registry's "
              "framing (00): use an Avro serialiser with framing");
    return FRAMING_BAD;
}

bool framing_waits(struct schemas *ss, struct str value)
{
    const struct schema *sc;
    struct str datum;
    struct err e = ERR_INIT;

    return schemas_registry(ss) != NULL && value.len > 0 &&
           framing_open(ss, value, &sc, &datum, &e) == FRAMING_WAIT;
}

size_t framing_seal(const struct schema *sc, char out[10])
{
    uint64_t fingerprint = schema_fingerprint(sc);
    uint32_t id = (uint32_t)schema_id(sc);

    if (id != 0) {
        out[0] = 0;
        for (int i = 0; i < 4; i++)
            out[1 + i] = (char)(id >> (24 - 8 * i));
        return REGISTRY_PREFIX;
    }
    out[0] = (char)0xc3;
    out[1] = 0x01;
    for (int i = 0; i < 8; i++)
        out[2 + i] = (char)(fingerprint >> (8 * i));
    return SINGLE_OBJECT_PREFIX;
}
