/* Syncs, judged: every run has one name, later than all before, and one result; its pages
 * come once, in order, with the record that says so; the watermark never passes a row
 * that was not produced; and the next run comes in time. Owns what struct sync has of
 * durable things. */
#include "syncs.h"

#include <stdio.h>
#include <string.h>

#include "checker.h"

enum {
    QUIET_MS = 250000, /* after this long a calm no process starts or stops any more */
    LATE_MS = 10000,   /* the run itself included */
    BELOW_MS = 60000,  /* ... and that of one whose rows have lists */
    FIRST_MAX_MS = 600000
};

#define BROKEN(w, rule, slot, st, ...)                                                   \
    broken(w, rule, slot, JOBS + (st)->part, -1, __VA_ARGS__)

/* --- what leaves --- */

void sync_check_ask(struct world *w, const struct instance *in,
                    const struct sync_ask *ask)
{
    struct sync *st = &w->syncs->of[ask->sync];
    int token = sync_token(ask->query);
    trace(w, in->slot, JOBS + st->part, -1, "sync.ask", token, ask->settings, st->name);
    w->pages_asked++;
    if (in->k.revoking)
        BROKEN(w, "after a revoke no page is asked for", in->slot, st, "%s", st->name);
    if (in->k.owner < st->owner)
        return; /* it does not know yet that it owns it no more */
    if (st->cancelled_at >= 0 && st->seen_by == in->k.owner &&
        st->seen == st->cancelled_at) /* nobody has answered it yet */
        BROKEN(w, "who was asked to cancel asks for no page", in->slot, st, "%s",
               st->running ? "in a run" : "between two runs");
    const char *wrong = below_check_ask(w, &st->below, ask->path, ask->query);
    if (wrong != NULL)
        BROKEN(w, "a run goes on inside its page", in->slot, st, "%s", wrong);
    if (st->below.runs)
        return;
    if (!st->running && token != 0)
        BROKEN(w, "a run begins at the first page", in->slot, st, "asked for %d", token);
    if (st->running && token != st->at)
        BROKEN(w, "a run goes on where it was", in->slot, st,
               "behind page %d, but %d is the last that is durable", token, st->at);
}

/* As walk_cancel_read. */
void sync_cancel_read(struct world *w, const struct instance *in, const struct entry *e)
{
    struct sync *st = &w->syncs->of[e->sync - 1];
    st->cancel_read |= e->serial <= st->cancelled_at || in->k.owner == st->uncancelled_by;
    if (st->exists) { /* else there is nothing to cancel */
        st->seen_by = in->k.owner;
        st->seen = e->serial;
    }
}

/* --- one transaction --- */

static int64_t run_of(struct world *w, struct str command_id)
{
    struct err e = ERR_INIT;
    struct str rest = command_id;
    int64_t run = -1;
    int i = syncs_find(w, command_id);
    (void)str_split(&rest, '/');
    (void)str_split(&rest, '/');
    if (i < 0 || parse_i64(rest, 0, INT64_MAX, &run, &e) != 0)
        return -1;
    return run;
}

void sync_item(struct world *w, int slot, const struct entry *e)
{
    struct sync *st = &w->syncs->of[e->sync - 1];
    struct sync_txn *x = &st->txn;
    const char *at = memmem(e->value.ptr, e->value.len, "\"mark\":\"", 8);
    size_t left = at != NULL ? (size_t)(e->value.ptr + e->value.len - at) : 0;
    const char *mark = at != NULL ? arena_strndup(&w->arena, at + 8, left - 8) : NULL;
    int number = number_at(mark, "s", 0), n = number_at(mark, "n", -1);
    const struct sync_page *page = syncs_page(w->syncs, number);
    int64_t run = run_of(w, e->command_id);
    if (below_is_row(e)) {
        const char *wrong = st->below.txn_rows > 0 && run != x->run
                                ? "of two runs"
                                : below_item(w, &st->below, e);
        x->run = run;
        if (wrong != NULL)
            BROKEN(w, "a tick carries one page of a row's list, in order", slot, st, "%s",
                   wrong);
        return;
    }
    if (page == NULL || page->sync != e->sync - 1) {
        BROKEN(w, "a sync's row is of its list", slot, st, "page %d", number);
        return;
    }
    if (x->rows == 0) {
        x->page = number;
        x->run = run;
    }
    if (number != x->page || n != x->rows || n >= page->n || run != x->run)
        BROKEN(w, "a tick carries one page of a run, in order", slot, st,
               "row %d of page %d, run %lld, behind %d rows of page %d, run %lld", n,
               number, (long long)run, x->rows, x->page, (long long)x->run);
    else if (number_at(mark, "r", -1) != page->rows[n] ||
             number_at(mark, "v", -1) != page->versions[n])
        BROKEN(w, "a row is as Front showed it", slot, st, "%s", mark);
    x->rows++;
}

void sync_record(struct world *w, int slot, const struct entry *e)
{
    struct sync *st = &w->syncs->of[e->sync - 1];
    struct sync_txn *x = &st->txn;
    if (e->key.len != strlen(st->key)) {
        x->uncancelled = true;
        x->uncancelled_at = e->serial;
        if (e->value.ptr != NULL)
            BROKEN(w, "nobody asks itself to cancel", slot, st, "%.*s", STR_ARG(e->key));
        return;
    }
    if (x->record != NULL || x->gone)
        BROKEN(w, "a tick has one record of a sync", slot, st, "two");
    x->gone = e->value.ptr == NULL;
    x->record = x->gone ? NULL : e;
}

void sync_result(struct world *w, int slot, const struct entry *e)
{
    struct sync *st = &w->syncs->of[e->sync - 1];
    if (st->txn.result != NULL)
        BROKEN(w, "a run has one result", slot, st, "two in one tick");
    st->txn.result = e;
}

/* --- a run --- */

static int64_t cursor_of(const struct engine_sync *setting, int64_t watermark)
{
    if (!setting->updated_after || watermark - setting->overlap_ms <= 0 || watermark == 0)
        return -1;
    return (watermark - setting->overlap_ms) / 1000;
}

static const char *list_text(struct world *w, const struct job_record *jr)
{
    return syncs_list_text(w, jr->operation, jr->params, jr->n_params);
}

/* The first that is known of it: with its first page, or its end. */
static void begin_run(struct world *w, int slot, struct sync *st,
                      const struct job_record *jr, const struct txn *t)
{
    const struct instance *in = &w->instances[slot];
    const char *list = list_text(w, jr);
    bool same = st->list != NULL && strcmp(st->list, list) == 0;
    trace(w, slot, JOBS + st->part, -1, "sync.run", same, jr->run, st->name);
    if (jr->run <= st->last_run)
        BROKEN(w, "a run's name is later than all before", slot, st, "%lld after %lld",
               (long long)jr->run, (long long)st->last_run);
    if (st->exists && st->slot == t->inst && st->life == t->life && in->life == t->life &&
        !in->wall_set && jr->received_at < st->next_run_at)
        BROKEN(w, "no run begins before its time", slot, st, "%lld ms before",
               (long long)(st->next_run_at - jr->received_at));
    if (!same)
        st->watermark = 0;
    struct str with = STR_NULL;
    for (size_t i = 0; i < jr->n_params; i++)
        if (str_is(jr->params[i].name, "with"))
            with = jr->params[i].value;
    if (st->below.runs)
        BROKEN(w, "a run ends before the next begins", slot, st, "%s", list);
    below_set(&st->below, jr->operation, with);
    st->list = list;
    st->run = st->last_run = jr->run;
    st->at = 0;
    st->pages = st->items = st->restarts = 0;
    st->first_read = -1;
    st->slot = t->inst;
    st->life = t->life;
}

/* Page `number` becomes durable, with its rows. */
static void judge_page(struct world *w, int slot, struct sync *st, int number,
                       const struct job_record *jr)
{
    struct syncs *ss = w->syncs;
    const struct sync_txn *x = &st->txn;
    const struct sync_page *page = syncs_page(ss, number);
    if (page == NULL || page->parent != st->at || &ss->of[page->sync] != st) {
        BROKEN(w, "no page of a run twice, none lost", slot, st,
               "page %d, which follows %d, but %d is durable", number,
               page != NULL ? page->parent : -1, st->at);
        return;
    }
    if (st->pages == 0 && st->restarts == 0) {
        const struct engine_sync *setting = syncs_setting(ss, st, page->settings);
        int64_t after = setting != NULL ? cursor_of(setting, st->watermark) : -1;
        if (setting == NULL ||
            strcmp(st->list, syncs_list_text(w, str_of(setting->operation),
                                             setting->params, setting->n_params)) != 0)
            BROKEN(w, "a run is begun as the settings say", slot, st, "%s", st->list);
        else if (page->after != after)
            BROKEN(w, "a run asks for what changed since the watermark", slot, st,
                   "after %lld, not %lld", (long long)page->after, (long long)after);
        st->after = page->after;
        st->first_read = page->at;
    }
    if (page->after != st->after || page->list != syncs_list_of(st->list_operation))
        BROKEN(w, "a run asks for one list", slot, st, "after %lld, not %lld",
               (long long)page->after, (long long)st->after);
    if (x->rows != page->n || (x->rows > 0 && (x->page != number || x->run != jr->run)))
        BROKEN(w, "a page comes with all its rows, under its run's name", slot, st,
               "%d of %d rows, run %lld of %lld", x->rows, page->n, (long long)x->run,
               (long long)jr->run);
    for (int i = 0; i < x->rows; i++) {
        int *newest = &ss->produced[page->list][page->rows[i]];
        if (page->versions[i] > *newest)
            *newest = page->versions[i];
    }
    st->at = number;
    st->pages++;
    st->items += x->rows;
    ss->rows += x->rows;
    struct below *b = &st->below;
    for (b->n_rows = 0; b->n_rows < page->n; b->n_rows++)
        (void)snprintf(b->ids[b->n_rows], sizeof b->ids[0], "%s_%d",
                       syncs_ids[page->list], page->rows[b->n_rows]);
    below_begin(b, page->last);
}

/* What a tick with a record (ends: with the result) has of a row's list. */
static void judge_below(struct world *w, int slot, struct sync *st,
                        const struct job_record *jr, bool ends)
{
    int rows = st->below.txn_rows, pages;
    bool again = !ends && jr->restarts > st->restarts;
    const char *wrong = below_step(w, &st->below, ends ? NULL : jr, again, &pages);
    trace(w, slot, JOBS + st->part, -1, "sync.below", pages, rows, wrong);
    if (wrong != NULL || st->txn.rows > 0)
        BROKEN(w, "each row has its lists, once, in order", slot, st, "%s",
               wrong != NULL ? wrong : "rows of the list itself came");
    if (rows > 0 && st->txn.run != jr->run)
        BROKEN(w, "a page comes with all its rows, under its run's name", slot, st,
               "run %lld of %lld", (long long)st->txn.run, (long long)jr->run);
    st->items += rows;
    st->pages += pages;
    w->syncs->rows += rows;
    st->restarts = jr->restarts;
}

/* What is older than the watermark is not asked for again. */
static void judge_watermark(struct world *w, int slot, const struct sync *st)
{
    const struct syncs *ss = w->syncs;
    int list = syncs_list_of(st->list_operation);
    int64_t until = st->watermark - EPOCH_MS;
    if (until > st->first_read)
        BROKEN(w, "the watermark is not after Front was asked", slot, st, "%lld ms",
               (long long)(until - st->first_read));
    for (int row = 0; row < LIST_ROWS; row++) {
        int v = syncs_version(ss, list, row, w->now);
        if (v > 0 && ss->changes[list][row].at[v - 1] <= until &&
            ss->produced[list][row] < v)
            BROKEN(w, "the watermark passes no row that was not produced", slot, st,
                   "row %d, version %d of %d ms", row, v,
                   (int)ss->changes[list][row].at[v - 1]);
    }
}

/* All rows have their page's number; a page without rows is any that follows. */
static int last_page(const struct world *w, const struct sync *st)
{
    const struct syncs *ss = w->syncs;
    if (st->txn.rows > 0)
        return st->txn.page;
    for (size_t i = ss->n_pages; i > 0; i--) {
        const struct sync_page *page = &ss->pages[i - 1];
        if (&ss->of[page->sync] == st && page->parent == st->at && page->last &&
            page->n == 0)
            return (int)i;
    }
    return 0;
}

static void judge_success(struct world *w, int slot, struct sync *st,
                          const struct job_record *jr)
{
    int number = st->at;
    const struct sync_page *page;
    if (st->below.runs) {
        judge_below(w, slot, st, jr, true);
    } else {
        number = last_page(w, st);
        judge_page(w, slot, st, number, jr);
    }
    page = syncs_page(w->syncs, number);
    if (st->below.runs)
        BROKEN(w, "a run is read to its end", slot, st, "lists of rows are left");
    if (page != NULL && !page->last)
        BROKEN(w, "a run is read to its end", slot, st, "page %d is not the last",
               number);
    if (jr->watermark <= st->watermark)
        BROKEN(w, "a run that succeeds moves the watermark", slot, st, "%lld after %lld",
               (long long)jr->watermark, (long long)st->watermark);
    st->watermark = jr->watermark;
    judge_watermark(w, slot, st);
    st->calm_runs += w->calm && st->first_read >= w->calm_at;
}

/* May it end like this? */
static void judge_cancelled(struct world *w, int slot, const struct sync *st,
                            const struct txn *t)
{
    int settings = syncs_settings_of(w->syncs, t->inst, t->life);
    if (st->txn.gone && syncs_setting(w->syncs, st, settings) == NULL)
        return;
    if ((st->cancelled_at < 0 && !st->cancel_read) || !st->txn.uncancelled)
        BROKEN(w, "CANCELLED is what was asked for", slot, st, "%s",
               st->txn.uncancelled ? "not asked" : "and the request stays");
}

static void judge_failure(struct world *w, int slot, const struct sync *st,
                          const struct job_record *jr, const struct txn *t)
{
    const struct entry *e = st->txn.result;
    if (e->outcome == CANCELLED)
        judge_cancelled(w, slot, st, t);
    else if (e->outcome != FAILED || jr == NULL)
        BROKEN(w, "a sync's run succeeds, fails or is cancelled", slot, st, "%d",
               e->outcome);
    if (st->txn.rows + st->below.txn_rows > 0)
        BROKEN(w, "a run that fails brings no rows", slot, st, "%d",
               st->txn.rows + st->below.txn_rows);
    if (jr != NULL && jr->watermark != st->watermark)
        BROKEN(w, "a run that fails leaves the watermark", slot, st, "%lld, not %lld",
               (long long)jr->watermark, (long long)st->watermark);
}

/* Its result; `jr`: the record beside it, NULL: its tombstone. */
static void judge_end(struct world *w, int slot, struct sync *st,
                      const struct job_record *jr, const struct txn *t)
{
    struct result res;
    struct err err = ERR_INIT;
    const struct entry *e = st->txn.result;
    if (result_decode(w->ss, e->value, &w->arena, &res, &err) != 0) {
        BROKEN(w, "a result can be read", slot, st, "%s", err.text);
        return;
    }
    trace(w, slot, JOBS + st->part, -1, "sync.end", e->outcome, st->run, st->name);
    st->results++;
    if (run_of(w, res.command_id) != st->run || !str_is(e->key, st->name) ||
        res.source_topic.ptr != NULL)
        BROKEN(w, "a run's result has its name", slot, st, "%.*s, not %lld",
               STR_ARG(res.command_id), (long long)st->run);
    if (e->outcome == SUCCEEDED && jr != NULL)
        judge_success(w, slot, st, jr);
    else
        judge_failure(w, slot, st, jr, t);
    if (res.items != st->items || res.pages != st->pages)
        BROKEN(w, "a run's result counts what is durable", slot, st,
               "%lld items, %lld pages, not %lld, %lld", (long long)res.items,
               (long long)res.pages, (long long)st->items, (long long)st->pages);
    if (!walk_may_fail(&res, st->restarts))
        BROKEN(w, "rows that go and tokens that are refused end no list", slot, st,
               "%lld after %lld beginnings", (long long)res.http_status,
               (long long)st->restarts);
}

/* Between two runs: when the next is due. */
static void judge_next(struct world *w, int slot, const struct sync *st,
                       const struct job_record *jr, const struct txn *t)
{
    const struct engine_sync *setting =
        syncs_setting(w->syncs, st, syncs_settings_of(w->syncs, t->inst, t->life));
    int64_t after = jr->next_run_at - jr->received_at,
            left = jr->next_run_at - jr->updated_at;
    if (setting == NULL)
        BROKEN(w, "what is not in the settings does not wait", slot, st, "%s", st->name);
    else if (jr->n_fan_rows > 0 || jr->fan_list.ptr != NULL || jr->fan_token.ptr != NULL)
        BROKEN(w, "between two runs no row's list is next", slot, st, "%zu row(s)",
               jr->n_fan_rows);
    else if (after <= 0 || after % setting->every_ms != 0 ||
             (jr->updated_at >= jr->received_at &&
              (left <= 0 || left > setting->every_ms)))
        BROKEN(w, "the next run is due at the next whole interval", slot, st,
               "%lld ms after the start, in %lld ms", (long long)after, (long long)left);
}

/* --- its record --- */

static void judge_running(struct world *w, int slot, struct sync *st,
                          const struct job_record *jr)
{
    const char *token =
        jr->page_token.ptr != NULL
            ? arena_printf(&w->arena, "page_token=%.*s", STR_ARG(jr->page_token))
            : NULL;
    if (jr->watermark != st->watermark)
        BROKEN(w, "a run that goes on leaves the watermark", slot, st, "%lld, not %lld",
               (long long)jr->watermark, (long long)st->watermark);
    if (st->below.runs) {
        judge_below(w, slot, st, jr, false);
    } else if (jr->restarts > st->restarts) {
        trace(w, slot, JOBS + st->part, -1, "sync.again", jr->restarts, 0, st->name);
        if (token != NULL || st->txn.rows > 0)
            BROKEN(w, "a run begun anew begins at the first page", slot, st, "%s",
                   token != NULL ? token : "with rows");
        st->restarts = jr->restarts;
        st->at = 0;
    } else {
        /* The last page, whose rows go on, has no token. */
        judge_page(w, slot, st, token != NULL ? sync_token(token) : st->txn.page, jr);
    }
    const struct sync_page *page = syncs_page(w->syncs, st->at);
    const char *wrong = below_record(w, &st->below, jr);
    if (wrong != NULL)
        BROKEN(w, "a sync's record says which row's list is next", slot, st, "%s", wrong);
    if (page != NULL && (sync_token(token) != (page->last ? 0 : st->at) ||
                         (page->last && !st->below.runs)))
        BROKEN(w, "a sync's record says which page is next", slot, st,
               "page %d, which is %sthe last", st->at, page->last ? "" : "not ");
    if (jr->items != st->items || jr->pages != st->pages)
        BROKEN(w, "a sync's record counts what is durable", slot, st,
               "%lld items, %lld pages, not %lld, %lld", (long long)jr->items,
               (long long)jr->pages, (long long)st->items, (long long)st->pages);
}

/* Only a request to cancel it goes, between two runs. */
static void judge_rest(struct world *w, int slot, const struct sync *st,
                       const struct job_record *jr)
{
    if (st->running || st->txn.rows > 0 || !st->txn.uncancelled ||
        jr->run != (st->exists ? st->run : 0) || jr->watermark != st->watermark ||
        (st->exists && jr->next_run_at != st->next_run_at))
        BROKEN(w, "a run that ends has its result", slot, st, "none for %lld",
               (long long)jr->run);
}

static void judge_record(struct world *w, int slot, struct sync *st, const struct txn *t)
{
    struct job_record jr;
    struct err err = ERR_INIT;
    uint64_t owner = t->owner[JOBS + st->part];
    if (job_record_decode(w->ss, st->txn.record->value, &w->arena, &jr, &err) != 0) {
        BROKEN(w, "a sync's record can be read", slot, st, "%s", err.text);
        return;
    }
    bool runs = str_is(jr.state, "running"), ends = st->txn.result != NULL;
    if (jr.seq != (st->exists ? st->seq : 0) + 1 || !str_is(jr.kind, "sync") ||
        !str_is(jr.id, st->key))
        BROKEN(w, "a sync's records follow each other", slot, st, "seq %lld after %lld",
               (long long)jr.seq, (long long)st->seq);
    if (!runs && !ends) {
        judge_rest(w, slot, st, &jr);
        st->run = jr.run;
    } else if (!st->running) {
        begin_run(w, slot, st, &jr, t);
    } else if (owner != st->owner && st->pages > 0) {
        trace(w, slot, JOBS + st->part, -1, "sync.went on", st->pages, jr.run, st->name);
    }
    st->list_operation = arena_strndup(&w->arena, jr.operation.ptr, jr.operation.len);
    if (jr.run != st->run || (jr.run > 0 && run_of(w, jr.command_id) != jr.run))
        BROKEN(w, "a run keeps its name", slot, st, "%lld, not %lld", (long long)jr.run,
               (long long)st->run);
    if (runs && ends)
        BROKEN(w, "a run with a result has ended", slot, st, "%lld", (long long)jr.run);
    if (runs)
        judge_running(w, slot, st, &jr);
    else if (ends)
        judge_end(w, slot, st, &jr, t);
    if (ends)
        judge_next(w, slot, st, &jr, t);
    if (st->slot != t->inst || st->life != t->life)
        st->life = -1;
    st->cancel_read &= !ends;
    st->below.runs &= runs;
    st->exists = true;
    st->running = runs;
    st->seq = jr.seq;
    st->next_run_at = jr.next_run_at;
    st->owner = owner;
}

/* Its tombstone: the settings do not have it any more. */
static void judge_gone(struct world *w, int slot, struct sync *st, const struct txn *t)
{
    int settings = syncs_settings_of(w->syncs, t->inst, t->life);
    trace(w, slot, JOBS + st->part, -1, "sync.gone", st->running, settings, st->name);
    if (syncs_setting(w->syncs, st, settings) != NULL)
        BROKEN(w, "what the settings have stays", slot, st, "%s", st->name);
    if (st->running != (st->txn.result != NULL))
        BROKEN(w, "a run that is broken off has its result", slot, st, "%s",
               st->running ? "none" : "but none ran");
    if (st->txn.result != NULL)
        judge_end(w, slot, st, NULL, t);
    st->exists = st->running = st->below.runs = false;
    st->seq = st->watermark = 0;
    st->run = 0;
    st->list = NULL;
    st->owner = t->owner[JOBS + st->part];
}

/* All of a transaction has been seen. */
void sync_decided(struct world *w, int slot, const struct txn *t)
{
    for (int i = 0; w->syncs != NULL && i < w->syncs->n; i++) {
        struct sync *st = &w->syncs->of[i];
        const struct sync_txn *x = &st->txn;
        if (x->record != NULL)
            judge_record(w, slot, st, t);
        else if (x->gone)
            judge_gone(w, slot, st, t);
        else if (x->rows + st->below.txn_rows > 0 || x->result != NULL)
            BROKEN(w, "what a sync brings comes with its record", slot, st,
                   "%d row(s) alone", x->rows + st->below.txn_rows);
        if (x->uncancelled)
            st->uncancelled_by = t->owner[JOBS + st->part];
        if (x->uncancelled && x->uncancelled_at > st->cancelled_at)
            st->cancelled_at = -1;
        st->txn = (struct sync_txn){0};
    }
}

/* --- the next run comes in time --- */

static bool all_newest(const struct world *w)
{
    for (int i = 0; i < w->n_slots; i++)
        if (w->instances[i].alive &&
            syncs_settings_of(w->syncs, i, w->instances[i].life) != w->syncs->newest)
            return false;
    return true;
}

static bool all_ran(const struct world *w)
{
    for (int i = 0; i < w->syncs->n; i++)
        if (syncs_setting(w->syncs, &w->syncs->of[i], w->syncs->newest) != NULL
                ? w->syncs->of[i].calm_runs < w->syncs->calm_runs
                : w->syncs->of[i].exists)
            return false;
    return all_newest(w);
}

static void say_late(struct world *w, int64_t within_ms)
{
    for (int i = 0; i < w->syncs->n; i++) {
        struct sync *st = &w->syncs->of[i];
        bool there = syncs_setting(w->syncs, st, w->syncs->newest) != NULL;
        if (there && st->calm_runs < w->syncs->calm_runs)
            BROKEN(w, "the next run comes in time", -1, st, "%s: not within %lld ms",
                   st->name, (long long)within_ms);
        else if (!there && st->exists)
            BROKEN(w, "what the settings do not have goes", -1, st, "%s", st->name);
    }
    broken(w, "all processes have the newest settings", -1, -1, -1, "not in time");
}

/* When there are no faults any more every sync runs; when nothing at all happens any more
 * it runs once in each interval (that takes time, so not every world waits for it). */
void sync_rest(struct world *w, wait_fn *wait)
{
    int64_t most = 0;
    if (w->syncs == NULL || w->failed)
        return;
    w->syncs->calm_runs = 1;
    if (!wait(w, w->now + FIRST_MAX_MS, all_ran)) {
        say_late(w, FIRST_MAX_MS);
        return;
    }
    if (!chance(w, 300))
        return;
    (void)wait(w, w->calm_at + QUIET_MS, NULL);
    for (int i = 0; i < w->syncs->n; i++) {
        const struct engine_sync *setting =
            syncs_setting(w->syncs, &w->syncs->of[i], w->syncs->newest);
        int64_t late = w->syncs->of[i].below.n_lists > 0 ? BELOW_MS : LATE_MS;
        if (setting != NULL && setting->every_ms + late > most)
            most = setting->every_ms + late;
        w->syncs->of[i].calm_runs = 0;
    }
    w->syncs->calm_runs = 2;
    if (!w->failed && !wait(w, w->now + 2 * most, all_ran))
        say_late(w, 2 * most);
}

/* --- the end --- */

static int64_t count(const struct log *log, int sync)
{
    int64_t n = 0;
    for (size_t i = 0; i < log->n; i++)
        n += log->entries[i].state == ENTRY_COMMITTED && log->entries[i].sync > 0 &&
             (sync < 0 || log->entries[i].sync == sync + 1);
    return n;
}

/* What a read_committed consumer sees is what was judged. */
void sync_check_end(struct world *w)
{
    if (w->syncs == NULL)
        return;
    int64_t rows = count(&w->broker.contacts, -1) + count(&w->broker.tags, -1) +
                   count(&w->broker.conversations, -1) + count(&w->broker.notes, -1);
    if (rows != w->syncs->rows)
        broken(w, "every row of a sync is to be seen once", -1, -1, -1, "%lld, not %lld",
               (long long)rows, (long long)w->syncs->rows);
    for (int i = 0; i < w->syncs->n; i++) {
        struct sync *st = &w->syncs->of[i];
        int64_t results = 0;
        for (int p = 0; p < w->n_parts; p++)
            results += count(&w->broker.results[p], i);
        if (results != st->results)
            BROKEN(w, "every run has one result to be seen", -1, st, "%lld, not %lld",
                   (long long)results, (long long)st->results);
    }
    w->items += rows;
}
