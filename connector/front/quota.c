/* The quota: there are as many tickets as the limit has requests a minute. A request takes one when
 * it leaves and has it back 60 s after its answer, so no window of 60 s, of whatever kind, ever
 * holds more requests than there are tickets; and sends are spaced evenly, which also suits small
 * buckets.
 *
 * Owns struct quota: a ring of counters of 50 ms for the tickets that come back. A return time is
 * rounded up to the end of its slot: late by 50 ms of 60 s at most, never early, and neither memory
 * nor the work of a send grows with the limit.
 *
 * Invariant: `returning` is the sum of the ring; every ticket is free, in `out`, or in the ring. */
#include "front/quota.h"

#include <assert.h>

#include "base/mem.h"

enum {
    WINDOW_MS = 60000,
    SLOT_MS = 50,
    SLOTS = WINDOW_MS / SLOT_MS + 2, /* the slot of now and the rounding up */
    SLACK_MS = 50,                   /* how far a late turn may catch up */
    LIMIT_UNKNOWN = 50,              /* Front's smallest plan: answers came, none named a limit */
    REFUSED_MS = 1000,
    REFUSED_MAX_MS = 600000
};

#define LIMIT_MAX INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)

struct quota {
    struct quota_options options;
    int owned, all;
    bool answered;            /* one whole answer was seen: before that, one request at a time */
    int64_t limit_told;       /* by the newest header; -1: never */
    int64_t limit, tickets;   /* of the company less the reserve; our share */
    int64_t remaining;        /* of the newest answer by order of sending */
    double reset;
    uint64_t newest, last_id;
    int64_t out;              /* sent, not answered */
    int64_t returning;        /* answered, not back yet */
    int64_t swept;            /* slots up to this one are empty */
    int64_t ring[SLOTS];      /* tickets that come back at the end of slot s: ring[s % SLOTS] */
    int64_t paced_ns, any_ns; /* the last send on the even pace; on the pace of the whole limit */
    int64_t blocked_until;
    uint64_t spent[QUOTA_CLASSES], refusals;
};

const char *const quota_class_names[QUOTA_CLASSES + 1] = {"high", "normal", "low", NULL};

static void share(struct quota *q);
static void sweep(struct quota *q, int64_t now);
static int64_t ticket_time(const struct quota *q, int64_t now);
static int64_t advance(int64_t paced_ns, int64_t gap, int64_t now, int64_t ahead);
static int64_t gap_ns(int64_t per_window);
static void learn(struct quota *q, uint64_t ticket, const struct http_head *head);
static void refuse(struct quota *q, const struct http_head *head, int64_t now);

struct quota *quota_new(const struct quota_options *o)
{
    struct quota *q = mem_zalloc(sizeof *q);

    q->options = *o;
    q->limit_told = -1;
    q->remaining = -1;
    q->reset = -1;
    q->swept = INT64_MIN;
    q->paced_ns = q->any_ns = INT64_MIN / 2;
    share(q);
    return q;
}

void quota_free(struct quota *q)
{
    mem_free(q);
}

void quota_assign(struct quota *q, int owned, int all, int64_t now)
{
    assert(owned >= 0 && all >= owned);
    q->owned = owned;
    q->all = all;
    share(q);
    sweep(q, now);
}

int64_t quota_may(const struct quota *q, enum quota_class c, int64_t now)
{
    int64_t t, pace;

    if (q->tickets == 0 || (!q->answered && q->out > 0))
        return INT64_MAX;
    t = ticket_time(q, now);
    if (t == INT64_MAX)
        return t;
    pace = c == QUOTA_HIGH ? q->any_ns + gap_ns(q->limit) : q->paced_ns + gap_ns(q->tickets);
    if (pace > t * NS_PER_MS)
        t = (pace + NS_PER_MS - 1) / NS_PER_MS;
    return t > q->blocked_until ? t : q->blocked_until;
}

uint64_t quota_sent(struct quota *q, enum quota_class c, int64_t now)
{
    int64_t gap = gap_ns(q->tickets);

    sweep(q, now);
    q->out++;
    q->spent[c]++;
    /* one that went ahead of the pace delays the next by one gap, not by all it jumped */
    q->paced_ns = advance(q->paced_ns, gap, now, gap);
    q->any_ns = advance(q->any_ns, gap_ns(q->limit), now, 0);
    return ++q->last_id;
}

void quota_answered(struct quota *q, uint64_t ticket, bool sent, const struct http_head *head,
                    int64_t now)
{
    int64_t slot = (now + WINDOW_MS + SLOT_MS - 1) / SLOT_MS;

    assert(q->out > 0 && ticket >= 1 && ticket <= q->last_id);
    sweep(q, now);
    q->out--;
    if (!sent)
        return;
    /* also after a 429, an error or a time-out: Front may have counted it */
    q->ring[slot % SLOTS]++;
    q->returning++;
    if (!head)
        return;
    learn(q, ticket, head);
    if (head->status == 429)
        refuse(q, head, now);
}

size_t quota_string(const struct quota *q, int32_t partition, int64_t wall_ms, char out[40])
{
    (void)q;
    (void)partition;
    (void)wall_ms;
    out[0] = '\0';
    return 0;
}

void quota_view(const struct quota *q, int64_t now, struct quota_view *out)
{
    struct quota copy = *q;

    sweep(&copy, now);
    *out = (struct quota_view){
        .limit = q->limit_told,
        .remaining = q->remaining,
        .reset = q->reset,
        .tickets = q->tickets,
        .used = copy.out + copy.returning,
        .blocked_until = q->blocked_until > now ? q->blocked_until : 0,
        .refusals = q->refusals,
    };
    for (int c = 0; c < QUOTA_CLASSES; c++)
        out->spent[c] = q->spent[c];
}

/* limit and tickets from what is known. The share is rounded down: only counts of partitions are
 * known here, and the shares of all instances must not add up to more than the limit. */
static void share(struct quota *q)
{
    int64_t own = q->options.limit_own;
    int64_t limit = q->limit_told;

    if (limit < 0)
        limit = own > 0 ? own : LIMIT_UNKNOWN;
    if (limit > LIMIT_MAX)
        limit = LIMIT_MAX;
    limit = limit * (100 - q->options.reserve_percent) / 100;
    if (own > 0 && limit > own)
        limit = own;
    q->limit = limit > 0 ? limit : 1;
    q->tickets = q->all > 0 ? q->limit * q->owned / q->all : 0;
}

/* Takes back what came back until now. After a long pause one turn of the ring is all there is. */
static void sweep(struct quota *q, int64_t now)
{
    int64_t slot = now / SLOT_MS;
    int64_t from = q->swept < slot - SLOTS ? slot - SLOTS : q->swept;

    for (int64_t s = from + 1; s <= slot; s++) {
        q->returning -= q->ring[s % SLOTS];
        q->ring[s % SLOTS] = 0;
    }
    if (slot > q->swept)
        q->swept = slot;
    assert(q->returning >= 0);
}

/* When a ticket is free: now, the end of a slot, or not before the next event. */
static int64_t ticket_time(const struct quota *q, int64_t now)
{
    int64_t over = q->out + q->returning - q->tickets; /* < 0: one is free */
    int64_t back = 0;

    if (over < 0)
        return now;
    if (over >= q->returning)
        return INT64_MAX;
    for (int64_t s = q->swept + 1; s <= q->swept + SLOTS; s++) {
        back += q->ring[s % SLOTS];
        if (back > over)
            return s * SLOT_MS > now ? s * SLOT_MS : now;
    }
    return INT64_MAX; /* not reached: over < returning */
}

/* The pace after a send. A turn that comes late catches up, by the slack at the most: with a large
 * limit this is what lets all that became due since the last turn go in one turn; with a small one
 * it keeps the rate in spite of late turns, and the slack is too short for a second request. */
static int64_t advance(int64_t paced_ns, int64_t gap, int64_t now, int64_t ahead)
{
    int64_t t = paced_ns + gap;
    int64_t floor = (now - SLACK_MS) * NS_PER_MS;
    int64_t ceiling = now * NS_PER_MS + ahead;

    if (t < floor)
        t = floor;
    return t < ceiling ? t : ceiling;
}

static int64_t gap_ns(int64_t per_window)
{
    int64_t window_ns = WINDOW_MS * NS_PER_MS;

    return per_window > 0 ? (window_ns + per_window - 1) / per_window : window_ns;
}

static void learn(struct quota *q, uint64_t ticket, const struct http_head *head)
{
    q->answered = true;
    if (ticket < q->newest)
        return; /* answers may overtake each other: the youngest request knows best */
    q->newest = ticket;
    if (head->remaining >= 0)
        q->remaining = head->remaining;
    if (head->reset >= 0)
        q->reset = head->reset;
    if (head->limit > 0 && head->limit != q->limit_told) {
        q->limit_told = head->limit;
        share(q);
    }
}

/* Only a 429 of the plan blocks: one of a guard (it names a tier, or requests remain) concerns its
 * own operation or resource, not the others. */
static void refuse(struct quota *q, const struct http_head *head, int64_t now)
{
    int64_t wait_ms = REFUSED_MS;

    q->refusals++;
    if (head->tier[0] || head->remaining > 0)
        return;
    if (head->retry_after >= (double)REFUSED_MAX_MS / 1000)
        wait_ms = REFUSED_MAX_MS;
    else if (head->retry_after > 0)
        wait_ms = (int64_t)(head->retry_after * 1000 + 0.999);
    if (now + wait_ms > q->blocked_until)
        q->blocked_until = now + wait_ms;
}
