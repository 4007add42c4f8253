/* A request from Front: is it Front's, what is it, what is answered. Pure: bytes, keys
 * and a clock in; an answer, and perhaps something to produce first, out.
 *
 * The signature is checked on the raw bytes before anything in them is read. What is
 * signed is never refused for what it says: it becomes an event or a dead letter. */
#ifndef FRONT_WEBHOOK_H
#define FRONT_WEBHOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/str.h"
#include "codec/records/event.h"

enum webhook_kind {
    WEBHOOK_APP,    /* HMAC-SHA256 over timestamp ":" body */
    WEBHOOK_RULE,   /* HMAC-SHA1 over the body */
    WEBHOOK_CHANNEL /* as app; its answers carry ids */
};
#define WEBHOOK_KINDS 3
extern const char *const webhook_kind_names[WEBHOOK_KINDS]; /* app, rule, channel */
extern const char *const webhook_paths[WEBHOOK_KINDS];      /* "/webhooks/front/app" */

/* -1: no path of ours (404). */
int webhook_kind_of(struct str path, enum webhook_kind *out);

/* The headers that matter, for the caller to look up. */
#define WEBHOOK_SIGNATURE "X-Front-Signature"
#define WEBHOOK_TIMESTAMP "X-Front-Request-Timestamp"
#define WEBHOOK_CHALLENGE "X-Front-Challenge"

#define WEBHOOK_CLOCK_SKEW_MS 300000 /* either way */

/* Compared as bytes; several while a key is being changed. */
struct webhook_keys {
    const struct str *keys;
    size_t n;
};

/* What a server knows once. */
struct webhook_setup {
    struct webhook_keys keys[WEBHOOK_KINDS]; /* n 0: that path answers 404 */
    const char *public_url;                  /* webhooks.public.url; NULL: not set */
};

/* A header's value, and how often the header came: two are one too many. */
struct webhook_header {
    struct str value; /* ptr NULL: none */
    size_t count;
};

struct webhook_request {
    enum webhook_kind kind;
    struct str method; /* "POST" */
    struct webhook_header signature, timestamp, challenge;
    struct str body;
    int64_t now_ms; /* UTC since the epoch */
};

enum webhook_verdict {
    WEBHOOK_REFUSED,    /* answer; nothing is produced. `why` says what was wrong */
    WEBHOOK_NOTHING,    /* answer; nothing is produced: Front's test of the address */
    WEBHOOK_EVENT,      /* produce `event`, then answer */
    WEBHOOK_DEAD_LETTER /* produce the body as a dead letter WebhookUnparsable, answer */
};

/* Why a request was refused, for counters and the log: never with the request's text. */
enum webhook_refusal {
    WEBHOOK_FINE,
    WEBHOOK_NO_KEYS,      /* 404 */
    WEBHOOK_BAD_METHOD,   /* 405 */
    WEBHOOK_NO_SIGNATURE, /* 401, and so are all below: none, or more than one */
    WEBHOOK_NO_TIMESTAMP, /* none, more than one, or no time */
    WEBHOOK_STALE,        /* signed or not, too old or from the future */
    WEBHOOK_BAD_SIGNATURE /* no key made it */
};
#define WEBHOOK_REFUSALS 7
extern const char *const webhook_refusal_names[WEBHOOK_REFUSALS]; /* "fine", "no-keys" */

/* Everything borrows from request, setup and arena. */
struct webhook_outcome {
    enum webhook_verdict verdict;
    enum webhook_refusal why;
    /* The answer, for when what is to be produced is stored. (When it is not, the caller
     * answers 429 instead.) A repeat of an id that was stored gets it too. */
    int status;
    const char *content_type; /* NULL: no body */
    struct str body;
    const char *allow; /* value of an Allow header (405); NULL: none */
    /* WEBHOOK_EVENT. received_at and delivery are set. company_id ptr NULL: the request
     * does not say it, the caller does (GET /me) before it encodes. */
    struct event event;
    const char *message; /* WEBHOOK_DEAD_LETTER: for a person, what was wrong */
};

void webhook_judge(const struct webhook_setup *setup, const struct webhook_request *wr,
                   struct arena *a, struct webhook_outcome *out);

#endif
