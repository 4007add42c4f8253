/* The webhooks that are registered: one of each kind. An application webhook is used once
 * its URL has answered the challenge, and is disabled after too many failures in a row.
 */
#ifndef SANDBOX_HOOKS_H
#define SANDBOX_HOOKS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/timers.h"

#include "deliveries.h"
#include "events.h"

#define HOOK_CHALLENGE_MS 10000
#define HOOK_CONNECTIONS_MAX 256

struct call;
struct object;

enum hook_kind { HOOK_APP, HOOK_RULE, HOOK_CHANNEL };
#define HOOKS 3
extern const char *const hook_kind_names[HOOKS];

enum hook_state {
    HOOK_NONE,
    HOOK_CHECKING, /* its challenge is on its way, or nobody listens yet */
    HOOK_ACTIVE,
    HOOK_REFUSED, /* the answer to the challenge was wrong */
    HOOK_DISABLED /* after failures, or by hand */
};

struct hook {
    struct sandbox *sb;
    enum hook_kind kind;
    enum hook_state state;
    char *url, *key;
    bool preview, challenge;
    json_t *types; /* the only ones that are sent; NULL: all */
    int64_t timeout_ms, retry_ms;
    int64_t retries, disable_after; /* 0: never disabled */
    int64_t connections, running;
    char why[160];
    char challenge_text[33]; /* the one whose answer counts */
    struct timer again;      /* the next challenge, while nobody listens */
    int64_t again_ms;
    struct delivery_list ready;
    int64_t failures; /* in a row */
    uint64_t delivered, failed, retried, skipped, lost;
};

struct hooks {
    struct hook hooks[HOOKS];
};

void hooks_init(struct sandbox *sb);
void hooks_fini(struct sandbox *sb);
struct hook *hook_find(struct hooks *hs, const char *kind); /* NULL: none of this name */
/* Registers or changes: {"kind", "url", "key", ...}. -1: nothing was changed. */
int hook_set(struct sandbox *sb, const json_t *fields, struct err *e);
void hook_remove(struct sandbox *sb, struct hook *hk);
json_t *hooks_dump(const struct hooks *hs);

/* Makes the deliveries of the events since the last call. */
void hooks_flush(struct sandbox *sb);
/* Does this webhook carry this event by itself? */
bool hook_carries(const struct hook *hk, const struct event *ev);
/* Why an event is not sent although the webhook carries it; NULL: it is. */
const char *hook_refusal(const struct hook *hk, const struct event *ev);
/* A parcel with an event in this webhook's form. webhook_type NULL: the event's own. */
void hook_pack(struct sandbox *sb, struct hook *hk, const struct event *ev,
               const char *webhook_type, bool preview, struct parcel *pc);
/* A channel's callback; obj is a message or a channel, by type. False: no such type. */
bool hook_pack_channel(struct sandbox *sb, struct hook *hk, const char *type,
                       const struct object *obj, bool no_body, struct parcel *pc);
bool hook_channel_is_type(const char *type);
bool hook_channel_takes_message(const char *type);
/* Tells the channel's webhook of a message, if there is one. */
void hook_tell_channel(struct call *c, const char *type, const struct object *cha,
                       const struct object *msg);
void hook_send_challenge(struct sandbox *sb, struct hook *hk);

/* For deliveries.c: how one ended. The first says whether the challenge was answered. */
bool hook_challenge_end(struct sandbox *sb, struct hook *hk, const struct delivery *dl);
void hook_delivery_end(struct sandbox *sb, struct hook *hk, bool fine, bool attack);
/* What the channel said to a message: its ids, or that it was not sent. */
void hook_channel_end(struct sandbox *sb, const struct delivery *dl, bool fine);

#endif
