/* `with=`: the lists that are read for each row of a list. Which there are follows from
 * the catalogue: those whose path is that of a row of its resource and one word more
 * ("/conversations/{conversation_id}/messages": messages of conversations). */
#ifndef FRONT_WITH_H
#define FRONT_WITH_H

#include "base/err.h"
#include "codec/records/command.h"
#include "front/catalogue.h"

#define WITH_MAX 16

struct with {
    const struct op *lists[WITH_MAX]; /* in the command's order */
    size_t n;                         /* 0: none are asked for */
};

/* Reads the parameter `with` of a list: names with commas between, or a JSON array. -1:
 * e->text names those that there are. */
int with_read(const struct pair *params, size_t n_params, const struct op *op,
              struct with *out, struct err *e);

#endif
