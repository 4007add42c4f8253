/* epoll, signals and wake-up descriptors for the one loop thread. Wake-ups are hints: a
 * callback drains its source; the loop never promises one call per event. */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum { LOOP_IN = 1, LOOP_OUT = 2, LOOP_ERR = 4 };

struct loop;
typedef void loop_fn(void *arg, int fd, unsigned events);

struct loop *loop_new(struct err *e);
void loop_free(struct loop *lo);

/* Watches fd for `events`; again for the same fd: changes what is watched. events 0 keeps
 * the registration but the callback is not called (hot path: see notes on lazy epoll). */
int loop_watch(struct loop *lo, int fd, unsigned events, loop_fn *fn, void *arg,
               struct err *e);
void loop_unwatch(struct loop *lo, int fd); /* before close(fd) */
void loop_forget(struct loop *lo, int fd); /* fd is being closed by a library right now */

/* SIGTERM and SIGINT are blocked and read here: how many came so far. SIGPIPE is ignored.
 */
int loop_catch_signals(struct loop *lo, struct err *e);
int loop_signals(const struct loop *lo);

/* An eventfd that another thread may write to (loop_wake_up); its wake-up calls fn (it
 * is drained before). Returns fd or -1. loop_free closes it. */
int loop_wake_fd(struct loop *lo, loop_fn *fn, void *arg, struct err *e);
void loop_wake_up(int fd); /* any thread, never blocks */

/* Waits until something happens or timeout_ms (-1: for ever) and calls the callbacks. */
void loop_wait(struct loop *lo, int64_t timeout_ms);

#endif
