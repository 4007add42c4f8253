/* Base64 of RFC 4648 with padding, strict: no line breaks, no other alphabet. */
#ifndef CODEC_BASE64_H
#define CODEC_BASE64_H

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

int base64_encode(struct str bytes, struct buf *out); /* appends; -1: over its ceiling */
int base64_decode(struct str text, struct arena *a, struct str *out); /* -1: not base64 */

#endif
