/* The signatures of Front's webhooks, on raw bytes and in constant time. Not for other
 * floors: they see front/webhook.h. */
#ifndef FRONT_SIGNATURE_H
#define FRONT_SIGNATURE_H

#include <stdbool.h>

#include "front/webhook.h"

/* Is `signature` (base64, padded) what one of the keys makes of the body? `timestamp` ptr
 * NULL: HMAC-SHA1 over the body; else HMAC-SHA256 over timestamp ":" body. An empty key
 * makes none. */
bool signature_is_good(const struct webhook_keys *keys, struct str signature,
                       struct str timestamp, struct str body);

#endif
