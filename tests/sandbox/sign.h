/* Front's signatures. App and channel: base64 HMAC-SHA256 over timestamp ":" body; rule:
 * base64 HMAC-SHA1 over the body. */
#ifndef SANDBOX_SIGN_H
#define SANDBOX_SIGN_H

#include <stdint.h>

#include "base/str.h"

#define SIGNATURE_MAX 48

/* timestamp_ms < 0: the rule's scheme, which has none. */
void sign(const char *key, int64_t timestamp_ms, struct str body,
          char out[SIGNATURE_MAX]);
/* Another signature of the same form. */
void sign_spoil(char signature[SIGNATURE_MAX]);

#endif
