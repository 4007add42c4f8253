/* A binary heap of deadlines. Owns the heap array, never the timers.
 * Invariant: heap[t->slot - 1] == t for every set timer, and no parent is due after its
 * child (but that a late one, while a run lasts, counts as the last of all). */
#include "base/timers.h"

#include <assert.h>

#include "base/mem.h"

void timers_init(struct timers *ts)
{
    *ts = (struct timers){0};
}

void timers_fini(struct timers *ts)
{
    size_t i;

    for (i = 0; i < ts->n; i++) {
        ts->heap[i]->slot = 0;
        ts->heap[i]->late = false;
    }
    mem_free(ts->heap);
    timers_init(ts);
}

static void put(struct timers *ts, struct timer *t, size_t slot)
{
    ts->heap[slot - 1] = t;
    t->slot = slot;
}

/* Late ones stand behind all others, so that a run cannot meet them. */
static bool before(const struct timer *a, const struct timer *b)
{
    if (a->late != b->late)
        return b->late;
    return a->due_ms < b->due_ms;
}

static void sift_up(struct timers *ts, struct timer *t)
{
    size_t slot = t->slot;

    while (slot > 1 && before(t, ts->heap[slot / 2 - 1])) {
        put(ts, ts->heap[slot / 2 - 1], slot);
        slot /= 2;
    }
    put(ts, t, slot);
}

static void sift_down(struct timers *ts, struct timer *t)
{
    size_t slot = t->slot;

    while (2 * slot <= ts->n) {
        size_t child = 2 * slot;

        if (child < ts->n && before(ts->heap[child], ts->heap[child - 1]))
            child++;
        if (!before(ts->heap[child - 1], t))
            break;
        put(ts, ts->heap[child - 1], slot);
        slot = child;
    }
    put(ts, t, slot);
}

static void mark_late(struct timers *ts, struct timer *t, bool late)
{
    if (t->late && !late)
        ts->n_late--;
    if (!t->late && late)
        ts->n_late++;
    t->late = late;
}

/* After a run: gives the late ones their place by time. Rare, so the whole heap is
 * rebuilt. */
static void admit_late(struct timers *ts)
{
    size_t slot;

    for (slot = 1; slot <= ts->n; slot++)
        ts->heap[slot - 1]->late = false;
    ts->n_late = 0;
    for (slot = ts->n / 2; slot >= 1; slot--)
        sift_down(ts, ts->heap[slot - 1]);
}

void timer_set(struct timers *ts, struct timer *t, int64_t due_ms)
{
    assert(t->fire != NULL);
    mark_late(ts, t, ts->running && due_ms <= ts->run_ms);
    t->due_ms = due_ms;
    if (t->slot == 0) {
        if (ts->n == ts->cap) {
            ts->cap = ts->cap > 0 ? ts->cap * 2 : 64;
            ts->heap = mem_realloc(ts->heap, ts->cap * sizeof(struct timer *));
        }
        put(ts, t, ++ts->n);
    }
    sift_up(ts, t);
    sift_down(ts, t);
}

void timer_cancel(struct timers *ts, struct timer *t)
{
    struct timer *last;
    size_t slot = t->slot;

    if (slot == 0)
        return;
    assert(ts->heap[slot - 1] == t);
    t->slot = 0;
    mark_late(ts, t, false);
    last = ts->heap[--ts->n];
    if (last == t)
        return;
    put(ts, last, slot);
    sift_up(ts, last);
    sift_down(ts, last);
}

bool timer_is_set(const struct timer *t)
{
    return t->slot != 0;
}

int64_t timers_next(const struct timers *ts)
{
    return ts->n > 0 ? ts->heap[0]->due_ms : INT64_MAX;
}

size_t timers_run(struct timers *ts, int64_t now_ms)
{
    size_t fired = 0;

    assert(!ts->running);
    ts->running = true;
    ts->run_ms = now_ms;
    while (ts->n > 0 && ts->heap[0]->due_ms <= now_ms && !ts->heap[0]->late) {
        struct timer *t = ts->heap[0];

        timer_cancel(ts, t);
        fired++;
        t->fire(t);
    }
    ts->running = false;
    if (ts->n_late > 0)
        admit_late(ts);
    return fired;
}
