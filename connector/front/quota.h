/* The quota: when may the next request go? A pure function of (state, event, now) behind
 * the final interface; now: the 60 s log of tickets, the plain share by partitions owned,
 * an even pace, and a lone GET /me first. Times are monotonic ms. */
#ifndef FRONT_QUOTA_H
#define FRONT_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include "net/http_client.h"

enum quota_class { QUOTA_HIGH, QUOTA_NORMAL, QUOTA_LOW };
#define QUOTA_CLASSES 3
extern const char *const quota_class_names[QUOTA_CLASSES + 1]; /* NULL-ended */

struct quota;

struct quota_options {
    int64_t limit_own;   /* quota.limit.per.minute; 0: learned */
    int reserve_percent; /* quota.reserve.percent */
};

struct quota *quota_new(const struct quota_options *o);
void quota_free(struct quota *q);

/* The partitions owned of all command partitions: changes the share. */
void quota_assign(struct quota *q, int owned, int all, int64_t now);

/* May a request of this class go? <= now: yes. A later time: ask again then. INT64_MAX:
 * after the next event (an answer, an assignment). Asking changes nothing. */
int64_t quota_may(const struct quota *q, enum quota_class c, int64_t now);
/* A request left: takes a ticket. The returned number identifies it. */
uint64_t quota_sent(struct quota *q, enum quota_class c, int64_t now);
/* Its answer came (or it was lost: head NULL); sent false: it provably never left, the
 * ticket comes back at once. A 429 of the plan blocks. */
void quota_answered(struct quota *q, uint64_t ticket, bool sent,
                    const struct http_head *head, int64_t now);

/* What goes into the commit string of one partition, and comes out of it (quota.md; ""
 * for now). */
size_t quota_string(const struct quota *q, int32_t partition, int64_t wall_ms,
                    char out[40]);

struct quota_view {
    int64_t limit, remaining; /* -1: not known */
    double reset;             /* unix seconds; < 0: not known */
    int64_t tickets, used;
    int64_t blocked_until; /* monotonic; 0: not blocked */
    uint64_t spent[QUOTA_CLASSES];
    uint64_t refusals;
};
void quota_view(const struct quota *q, int64_t now, struct quota_view *out);

#endif
