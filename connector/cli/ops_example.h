/* An example command for an operation: the fewest arguments it needs, with made-up
 * values. */
#ifndef CLI_OPS_EXAMPLE_H
#define CLI_OPS_EXAMPLE_H

#include <jansson.h>

#include "base/buf.h"
#include "front/catalogue.h"

/* {"operation":..., "params":{...}, "body":{...}}; the caller's. */
json_t *ops_example(const struct op *op);
/* The same as a line for a shell: front-connector send ... */
void ops_example_send(const struct op *op, const json_t *example, struct buf *out);

/* "string", "integer[]", "object", ... */
const char *shape_type_name(const struct shape *sh);

#endif
