/* See retry.h. 429, and what provably never left, do not count as attempts: only the
 * deadline and (for what never left) retry.max.ms end those. */
#include "engine/retry.h"

const char *const retry_reasons[] = {"http-5xx", "network", "not-sent", "gate",
                                     "limit",    "body",    NULL};

static struct retry_decision final(void)
{
    return (struct retry_decision){RETRY_FINAL, 0, NULL};
}

/* Exponential with full jitter. */
static int64_t backoff(const struct retry_policy *p, const struct retry_case *c)
{
    int64_t top = p->backoff_ms;
    for (int i = 1; i < c->tries && top < p->backoff_max_ms; i++)
        top *= 2;
    if (top > p->backoff_max_ms)
        top = p->backoff_max_ms;
    return top <= 0 ? 0 : (int64_t)(c->random % (uint64_t)(top + 1));
}

static struct retry_decision wait(const struct retry_policy *p,
                                  const struct retry_case *c, const char *reason)
{
    int64_t at = c->now_ms + backoff(p, c);
    if (at - c->first_try_ms > p->max_ms || at >= c->deadline_ms)
        return (struct retry_decision){RETRY_EXHAUSTED, 0, reason};
    return (struct retry_decision){RETRY_WAIT, at, reason};
}

static struct retry_decision counted(const struct retry_policy *p,
                                     const struct retry_case *c, const char *reason)
{
    if (c->klass == CLASS_C || c->klass == CLASS_D)
        return (struct retry_decision){RETRY_DOUBT, 0, reason};
    if (c->attempts >= p->max_attempts)
        return (struct retry_decision){RETRY_EXHAUSTED, 0, reason};
    return wait(p, c, reason);
}

struct retry_decision retry_decide(const struct retry_policy *p,
                                   const struct retry_case *c)
{
    switch (c->verdict) {
    case REPLY_DONE:
        /* A complete 2xx head proves execution: only what may be repeated is read again.
         */
        if (c->body_lost && (c->klass == CLASS_A || c->klass == CLASS_B))
            return counted(p, c, "body");
        return final();
    case REPLY_REFUSED:
    case REPLY_MERGED:
    case REPLY_UNAUTHORIZED:
        return final();
    case REPLY_LIMITED: /* the quota says when; only the deadline ends it */
        if (c->now_ms >= c->deadline_ms)
            return (struct retry_decision){RETRY_EXHAUSTED, 0, "limit"};
        return (struct retry_decision){RETRY_WAIT, c->now_ms, "limit"};
    case REPLY_BROKEN:
        return counted(p, c, "http-5xx");
    case REPLY_LOST:
        return counted(p, c, "network");
    case REPLY_NOT_SENT:
        if (c->gate_refused)
            return (struct retry_decision){RETRY_WAIT, c->now_ms, "gate"};
        return wait(p, c, "not-sent");
    }
    return final();
}
