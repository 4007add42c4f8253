/* Authorization header values: the company's token, and JWTs for the channel API (HS256,
 * iss = app uid, sub = channel id, exp = now + 10 s). */
#ifndef FRONT_AUTH_H
#define FRONT_AUTH_H

#include <stdint.h>

#include "base/mem.h"
#include "base/str.h"

const char *auth_bearer(const char *token, struct arena *a);
/* NULL when uid or secret is not set. */
const char *auth_channel(const char *app_uid, const char *app_secret,
                         struct str channel_id, int64_t wall_ms, struct arena *a);

#endif
