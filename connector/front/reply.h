/* What an attempt means, and what of the answer goes into a result. Pure. */
#ifndef FRONT_REPLY_H
#define FRONT_REPLY_H

#include "base/mem.h"
#include "codec/records/result.h"
#include "front/catalogue.h"
#include "front/request.h"
#include "net/http_client.h"

enum verdict {
    REPLY_DONE, /* 2xx, complete head: executed (the body may be missing or too large) */
    REPLY_REFUSED,      /* final 4xx: not executed, FAILED */
    REPLY_LIMITED,      /* 429: not executed */
    REPLY_MERGED,       /* 301: not executed, re-target */
    REPLY_UNAUTHORIZED, /* 401: not executed, to be confirmed */
    REPLY_BROKEN,       /* 5xx, 408: outcome unknown unless the class is A or B */
    REPLY_NOT_SENT,     /* never left */
    REPLY_LOST          /* may have reached Front, no answer */
};

enum verdict reply_verdict(const struct http_call *call);

/* Fills response/content/truncated/resource_id/http_status/error of `res` from the
 * answer; texts point into call->body_in or the arena. `limit` is results.max.bytes;
 * want_response false: left out. */
void reply_fill(const struct http_call *call, const struct op *op,
                const struct request *req, bool want_response, size_t limit,
                struct arena *a, struct result *res);

#endif
