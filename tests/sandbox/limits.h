/* Front's rate limits: the company's quota in three kinds of window, and the extra guards
 * of single operations. Times are real monotonic ms; --speed shortens the windows. */
#ifndef SANDBOX_LIMITS_H
#define SANDBOX_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum window { WINDOW_OFF, WINDOW_FIXED, WINDOW_SLIDING, WINDOW_BUCKET };

struct limits_options {
    enum window window;
    int limit; /* requests per minute */
    bool guards;
    double speed;
};

struct limits_view {
    int limit, remaining;
    int64_t reset_in_ms; /* until the refill */
};

struct guard_entry;

struct limits {
    struct limits_options opt;
    int64_t period_ms;
    int64_t window_start_ms; /* fixed */
    int used;                /* fixed */
    int64_t *sent_ms;        /* sliding: ring of `limit` */
    int head, n;
    double tokens; /* bucket */
    int64_t filled_ms;
    struct guard_entry *guards;
};

/* "fixed:200", "sliding", "bucket:50", "off". */
int limits_parse(const char *text, struct limits_options *o, struct err *e);
void limits_init(struct limits *ls, const struct limits_options *o, int64_t now);
void limits_fini(struct limits *ls);
/* Counts one request. False: refused, *retry_ms until it would pass. The view is filled
 * always. */
bool limits_take(struct limits *ls, int64_t now, struct limits_view *view,
                 int64_t *retry_ms);
/* The guard `name` ("resource", "search", ...) of `key`; false: refused. */
bool limits_guard(struct limits *ls, const char *name, const char *key, int64_t now,
                  int64_t *retry_ms);

#endif
