/* A heap of deadlines. Knows no file descriptors: whoever waits asks timers_next for how
 * long. */
#ifndef BASE_TIMERS_H
#define BASE_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer {
    int64_t due_ms;
    size_t slot; /* 1-based place in the heap; 0: not set */
    bool late;   /* set during timers_run for a time already past: not in this run */
    void (*fire)(struct timer *t);
};

struct timers {
    struct timer **heap;
    size_t n, cap;
    size_t n_late;
    bool running; /* inside timers_run, for run_ms */
    int64_t run_ms;
};

void timers_init(struct timers *ts);
void timers_fini(struct timers *ts); /* the timers are their owners' */
/* Sets or moves; t->fire must be set before. Embed struct timer, find the owner by
 * offset. */
void timer_set(struct timers *ts, struct timer *t, int64_t due_ms);
void timer_cancel(struct timers *ts, struct timer *t);
bool timer_is_set(const struct timer *t);
int64_t timers_next(const struct timers *ts); /* INT64_MAX when none */
/* Fires all that are due; a timer set again from its own callback for <= now waits for
 * the next call. Returns how many fired. */
size_t timers_run(struct timers *ts, int64_t now_ms);

#endif
