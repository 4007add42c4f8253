/* The company's quota and the guards. One request is one call of limits_take, in every
 * window. */
#include "limits.h"

#include <string.h>
#include "base/map.h"

#include "base/mem.h"
#include "base/str.h"

#define GUARD_SLOTS 120

struct guard_entry {
    char *key;
    int64_t sent_ms[GUARD_SLOTS]; /* ring of the last `most` */
    int head, n;
    UT_hash_handle hh;
};

struct guard_row {
    const char *name;
    int most; /* 0: 40 % of the company's limit */
    int64_t period_ms;
};

static const struct guard_row guard_rows[] = {
    {"resource", 5, 1000}, {"search", 0, 60000},      {"analytics", 1, 3000},
    {"links", 60, 60000},  {"seen", 10, 3600 * 1000},
};

int limits_parse(const char *text, struct limits_options *o, struct err *e)
{
    static const char *const names[] = {"off", "fixed", "sliding", "bucket"};
    struct str rest = str_of(text), name = str_split(&rest, ':');
    int64_t limit = 200;
    for (int i = 0; i < 4; i++) {
        if (!str_is(name, names[i]))
            continue;
        if (rest.ptr != NULL && parse_i64(rest, 1, 1000000, &limit, e) < 0)
            return err_prefix(e, "--quota");
        o->window = (enum window)i;
        o->limit = (int)limit;
        return 0;
    }
    return err_set(e, ERR_SETTINGS,
                   "--quota: off, fixed, sliding or bucket, with :LIMIT");
}

static int64_t scaled(int64_t ms, double speed)
{
    int64_t out = (int64_t)((double)ms / speed);
    return out > 0 ? out : 1;
}

void limits_init(struct limits *ls, const struct limits_options *o, int64_t now)
{
    memset(ls, 0, sizeof *ls);
    ls->opt = *o;
    ls->period_ms = scaled(60000, o->speed);
    ls->window_start_ms = now;
    ls->tokens = o->limit;
    ls->filled_ms = now;
    if (o->window == WINDOW_SLIDING)
        ls->sent_ms = mem_array((size_t)o->limit, sizeof *ls->sent_ms);
}

void limits_fini(struct limits *ls)
{
    struct guard_entry *g, *next;
    HASH_ITER (hh, ls->guards, g, next) {
        HASH_DEL(ls->guards, g);
        mem_free(g->key);
        mem_free(g);
    }
    mem_free(ls->sent_ms);
    ls->sent_ms = NULL;
}

static bool take_fixed(struct limits *ls, int64_t now, struct limits_view *v,
                       int64_t *retry_ms)
{
    if (now - ls->window_start_ms >= ls->period_ms) {
        ls->window_start_ms = now - (now - ls->window_start_ms) % ls->period_ms;
        ls->used = 0;
    }
    bool passes = ls->used < ls->opt.limit;
    ls->used += passes;
    v->remaining = ls->opt.limit - ls->used;
    v->reset_in_ms = ls->window_start_ms + ls->period_ms - now;
    *retry_ms = v->reset_in_ms;
    return passes;
}

/* A log of the last period. The reset is when the oldest entry leaves it. */
static bool take_sliding(int64_t *ring, int most, int *head, int *n, int64_t period_ms,
                         int64_t now, int64_t *reset_ms)
{
    while (*n > 0 && ring[*head] + period_ms <= now) {
        *head = (*head + 1) % most;
        (*n)--;
    }
    bool passes = *n < most;
    if (passes)
        ring[(*head + (*n)++) % most] = now;
    *reset_ms = ring[*head] + period_ms - now;
    return passes;
}

static bool take_bucket(struct limits *ls, int64_t now, struct limits_view *v,
                        int64_t *retry_ms)
{
    double per_ms = (double)ls->opt.limit / (double)ls->period_ms;
    ls->tokens += (double)(now - ls->filled_ms) * per_ms;
    if (ls->tokens > ls->opt.limit)
        ls->tokens = ls->opt.limit;
    ls->filled_ms = now;
    bool passes = ls->tokens >= 1;
    if (passes)
        ls->tokens -= 1;
    *retry_ms = passes ? 0 : (int64_t)((1 - ls->tokens) / per_ms) + 1;
    v->remaining = (int)ls->tokens;
    v->reset_in_ms = (int64_t)((ls->opt.limit - ls->tokens) / per_ms);
    return passes;
}

bool limits_take(struct limits *ls, int64_t now, struct limits_view *view,
                 int64_t *retry_ms)
{
    bool passes = true;
    view->limit = ls->opt.limit;
    switch (ls->opt.window) {
    case WINDOW_OFF:
        break;
    case WINDOW_FIXED:
        passes = take_fixed(ls, now, view, retry_ms);
        break;
    case WINDOW_SLIDING:
        passes = take_sliding(ls->sent_ms, ls->opt.limit, &ls->head, &ls->n,
                              ls->period_ms, now, &view->reset_in_ms);
        view->remaining = ls->opt.limit - ls->n;
        *retry_ms = view->reset_in_ms;
        break;
    case WINDOW_BUCKET:
        passes = take_bucket(ls, now, view, retry_ms);
        break;
    }
    return passes;
}

static struct guard_entry *guard_entry(struct limits *ls, const char *name,
                                       const char *key)
{
    struct guard_entry *g = NULL;
    char *full = mem_printf("%s %s", name, key);
    HASH_FIND(hh, ls->guards, full, strlen(full), g);
    if (g != NULL) {
        mem_free(full);
        return g;
    }
    g = mem_zalloc(sizeof *g);
    g->key = full;
    HASH_ADD_KEYPTR(hh, ls->guards, g->key, strlen(g->key), g);
    return g;
}

bool limits_guard(struct limits *ls, const char *name, const char *key, int64_t now,
                  int64_t *retry_ms)
{
    for (size_t i = 0; i < sizeof guard_rows / sizeof guard_rows[0]; i++) {
        const struct guard_row *row = &guard_rows[i];
        int most = row->most > 0 ? row->most : ls->opt.limit * 2 / 5;
        if (strcmp(row->name, name) != 0)
            continue;
        if (most < 1)
            most = 1;
        if (most > GUARD_SLOTS)
            most = GUARD_SLOTS;
        struct guard_entry *g = guard_entry(ls, name, key);
        return take_sliding(g->sent_ms, most, &g->head, &g->n,
                            scaled(row->period_ms, ls->opt.speed), now, retry_ms);
    }
    return true;
}
