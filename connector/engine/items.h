/* The records that the rows of a list's page become. */
#ifndef ENGINE_ITEMS_H
#define ENGINE_ITEMS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "front/catalogue.h"
#include "kafka/port.h"

struct engine;

/* Whose rows they are. */
struct items_of {
    const struct op *op;
    struct str parent; /* the list's last path parameter; ptr NULL: none */
    struct str command_id, source;
};

struct items {
    struct kafka_output *outputs; /* in the arena */
    size_t n;
    size_t bytes; /* of their values */
};

/* May this list's rows become records, and the list a job when it is long? */
bool items_stream(const struct engine *en, const struct op *op);
/* A page's body as records of the resource's topic, `most` at the most (-1: all). Nothing
 * of the body is borrowed. -1: it is no list. */
int items_read(struct engine *en, const struct items_of *of, struct str body,
               int64_t most, struct arena *a, struct items *out, struct err *e);

#endif
