/* Writing JSON lines whose parts may be any bytes. */
#ifndef CLI_JSON_OUT_H
#define CLI_JSON_OUT_H

#include <jansson.h>

#include "base/buf.h"
#include "base/str.h"

/* A JSON value for bytes: null when absent, a string when UTF-8, else {"base64":"..."}.
 */
void json_out_bytes(struct buf *out, struct str bytes);
/* A tree as compact text. */
void json_out_value(struct buf *out, const json_t *value);

#endif
