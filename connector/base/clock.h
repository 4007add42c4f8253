/* The three clocks, milliseconds. All three go through one table so that tests and the
 * simulator can drive them. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

struct clock {
    int64_t (*now)(void *arg);  /* monotonic: timers, pace, backoff */
    int64_t (*boot)(void *arg); /* monotonic and counts suspend: leases */
    int64_t (*wall)(void *arg); /* UTC since the epoch: what users see */
    void *arg;
};

extern const struct clock clock_system;

static inline int64_t clock_now(const struct clock *c)
{
    return c->now(c->arg);
}

static inline int64_t clock_boot(const struct clock *c)
{
    return c->boot(c->arg);
}

static inline int64_t clock_wall(const struct clock *c)
{
    return c->wall(c->arg);
}

#endif
