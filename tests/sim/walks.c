/* Lists of many pages: what Front shows of them, and whether each page became durable
 * once, in order, and before the one result. A page's rows say which list, which walk
 * over it (Front forgets its page tokens now and then) and which page they are of. */
#include "checker.h"

#include <stdio.h>
#include <string.h>

#include "codec/records/job.h"

enum { PAGES_MAX = 8, ROWS_MOST = 3, RESTARTS_MAX = 10 };

/* --- Front --- */

static uint32_t mix(const struct world *w, const struct cmd *c, int gen, int page)
{
    uint64_t h = w->seed * 1000003u + (uint64_t)c->thing * 8191u + (uint64_t)gen * 131u +
                 (uint64_t)(page + 1);
    for (int i = 0; i < 3; i++) {
        h ^= h >> 29;
        h *= 0xbf58476d1ce4e5b9u;
    }
    return (uint32_t)(h >> 32);
}

static int pages_of(const struct world *w, const struct cmd *c, int gen)
{
    uint32_t h = mix(w, c, gen, -1);
    return h % 10 < 3 ? 1 : 2 + (int)(h / 10 % (PAGES_MAX - 1));
}

/* A page may have no rows though more follow. */
static int rows_of(const struct world *w, const struct cmd *c, int gen, int page)
{
    uint32_t h = mix(w, c, gen, page);
    return h % 10 < 2 ? 0 : 1 + (int)(h / 10 % ROWS_MOST);
}

int number_at(const char *text, const char *name, int none)
{
    const char *at = text != NULL ? strstr(text, name) : NULL;
    int n = 0;
    if (at == NULL)
        return none;
    for (at += strlen(name); *at >= '0' && *at <= '9'; at++)
        n = n * 10 + (*at - '0');
    return n;
}

bool walk_is_page(const struct world *w, int thing, const struct http_call *call)
{
    bool with = thing >= 0 && w->cmds[thing].walk.below.n_lists > 0;
    const char *tail = with ? "/conversations" : "/messages";
    size_t n = strlen(call->path), n_tail = strlen(tail);
    return call->method == HTTP_GET && n > n_tail &&
           strcmp(call->path + n - n_tail, tail) == 0;
}

/* One with lists of its own is a conversation. */
static const char *row_id(const struct cmd *c, int gen, int page, int row, char out[24])
{
    (void)snprintf(out, 24, "%s%dg%dp%dn%d", c->walk.below.n_lists > 0 ? "cnv_" : "row_c",
                   c->thing, gen, page, row);
    return out;
}

/* What is asked for; false: its token is refused. */
bool walk_ask(struct world *w, int thing, const char *query, bool forget,
              struct shown_page *sp)
{
    struct walk *wk = &w->cmds[thing].walk;
    int gen = number_at(query, "page_token=g", -1);
    if (gen >= 0 && forget && gen == wk->front_gen)
        wk->front_gen++;
    *sp = (struct shown_page){gen >= 0 ? gen : wk->front_gen,
                              gen >= 0 ? number_at(query, "p", 0) : 0};
    sp->page = gen >= 0 ? number_at(strstr(query, "page_token=g") + 12, "p", 0) : 0;
    return gen < 0 || gen == wk->front_gen;
}

void walk_print(const struct world *w, int thing, const struct shown_page *sp,
                struct buf *out)
{
    const struct cmd *c = &w->cmds[thing];
    int n = rows_of(w, c, sp->gen, sp->page);
    char id[24];
    if (sp->page + 1 < pages_of(w, c, sp->gen))
        (void)buf_printf(out,
                         "{\"_pagination\":{\"next\":\"https://front/x?limit=1&"
                         "page_token=g%dp%d\"},\"_results\":[",
                         sp->gen, sp->page + 1);
    else
        (void)buf_add_cstr(out, "{\"_pagination\":{\"next\":null},\"_results\":[");
    for (int i = 0; i < n; i++)
        (void)buf_printf(out, "%s{\"id\":\"%s\"}", i > 0 ? "," : "",
                         row_id(c, sp->gen, sp->page, i, id));
    (void)buf_add_cstr(out, "]}");
}

/* --- what leaves --- */

/* Whoever owns its jobs partition goes on from the newest record there is. */
void walk_check_ask(struct world *w, const struct instance *in, int cmd, const char *path,
                    const char *query)
{
    const struct cmd *c = &w->cmds[cmd];
    const struct walk *wk = &c->walk;
    int gen = number_at(query, "page_token=g", -1);
    int page = gen >= 0 ? number_at(strstr(query, "page_token=g") + 12, "p", 0) : 0;
    trace(w, in->slot, c->part, cmd, "page.ask", gen, page, NULL);
    w->pages_asked++;
    if (in->k.revoking)
        broken(w, "after a revoke no page is asked for", in->slot, c->part, cmd, "asked");
    if (in->k.owner < wk->owner)
        return; /* it does not know yet that it owns it no more */
    if (c->results > 0)
        broken(w, "of an ended list no page is asked for", in->slot, c->part, cmd,
               "page %d", page);
    const char *wrong = below_check_ask(w, &wk->below, path, query);
    if (wrong != NULL)
        broken(w, "a list goes on inside its page", in->slot, c->part, cmd, "%s", wrong);
    else if (!wk->below.runs &&
             (wk->gen < 0 ? gen >= 0 : gen != wk->gen || page != wk->page))
        broken(w, "a list goes on from its newest record", in->slot, c->part, cmd,
               "page %d of walk %d, but %d of %d is next", page, gen, wk->page, wk->gen);
}

/* --- what becomes durable --- */

static int cut(const struct walk *wk, int rows)
{
    int left = wk->max_items - wk->rows;
    return wk->max_items >= 0 && left < rows ? left : rows;
}

/* Its headers say whose it is: the command's own id, or where that lies. */
static void judge_name(struct world *w, int slot, const struct cmd *c,
                       const struct entry *e)
{
    const char *name = c->id != NULL
                           ? c->id
                           : arena_printf(&w->arena, "%s/%d/%lld", COMMANDS_TOPIC,
                                          c->part, (long long)c->offset);
    if (!str_is(e->command_id, name))
        broken(w, "an item comes under its command's id", slot, c->part, c->index,
               "%.*s, not %s", STR_ARG(e->command_id), name);
}

void walk_item(struct world *w, int slot, struct cmd *c, const struct entry *e)
{
    struct walk *wk = &c->walk;
    const char *text = arena_strndup(&w->arena, e->key.ptr, e->key.len);
    int gen = number_at(text, "g", -1), page = number_at(text, "p", -1);
    char id[24];
    judge_name(w, slot, c, e);
    w->items++;
    if (below_is_row(e)) {
        const char *wrong = below_item(w, &wk->below, e);
        if (wrong != NULL)
            broken(w, "a tick carries one page of a row's list, in order", slot, c->part,
                   c->index, "%s", wrong);
        return;
    }
    int row = number_at(strrchr(text, 'n'), "n", -1);
    if (strcmp(text, row_id(c, gen, page, row, id)) != 0)
        broken(w, "an item is of its command's list", slot, c->part, c->index, "%s",
               text);
    if (wk->txn_rows == 0) {
        wk->txn_gen = gen;
        wk->txn_page = page;
    }
    if (gen != wk->txn_gen || page != wk->txn_page || row != wk->txn_rows)
        broken(w, "a tick carries one page of a list, in order", slot, c->part, c->index,
               "%s after walk %d, page %d, %d rows", text, wk->txn_gen, wk->txn_page,
               wk->txn_rows);
    wk->txn_rows++;
}

/* Is what is durable all that is asked for? */
static bool is_last(const struct world *w, const struct cmd *c)
{
    const struct walk *wk = &c->walk;
    return (wk->max_items >= 0 && wk->rows >= wk->max_items) ||
           wk->page == pages_of(w, c, wk->gen);
}

/* What a tick with a record (NULL: with the result) has of a row's list. */
static void judge_below(struct world *w, int slot, struct cmd *c,
                        const struct job_record *jr)
{
    struct walk *wk = &c->walk;
    int rows = wk->below.txn_rows, pages;
    bool again = jr != NULL && jr->restarts > wk->restarts;
    const char *wrong = below_step(w, &wk->below, jr, again, &pages);
    trace(w, slot, c->part, c->index, "below", pages, rows, wrong);
    if (wrong != NULL || wk->txn_rows > 0)
        broken(w, "each row has its lists, once, in order", slot, c->part, c->index, "%s",
               wrong != NULL ? wrong : "rows of the list itself came");
    wk->items += rows;
    wk->pages += pages;
    if (jr != NULL)
        wk->restarts = jr->restarts;
}

/* Page `page` of walk `gen` becomes durable, with its rows. */
static void judge_page(struct world *w, int slot, struct cmd *c, int gen, int page)
{
    struct walk *wk = &c->walk;
    int want = cut(wk, rows_of(w, c, gen, page));
    trace(w, slot, c->part, c->index, "page", gen, page, NULL);
    if (page != wk->page || (wk->page > 0 && gen != wk->gen))
        broken(w, "no page twice, none lost", slot, c->part, c->index,
               "page %d of walk %d, but %d of %d is next", page, gen, wk->page, wk->gen);
    if (wk->txn_rows != want ||
        (want > 0 && (wk->txn_gen != gen || wk->txn_page != page)))
        broken(w, "a page comes with all its rows", slot, c->part, c->index,
               "%d rows of page %d, not %d of page %d", wk->txn_rows, wk->txn_page, want,
               page);
    wk->rows += wk->txn_rows;
    wk->items += wk->txn_rows;
    wk->pages++;
    wk->page++;
    wk->gen = gen;
    struct below *b = &wk->below;
    for (b->n_rows = 0; b->n_rows < wk->txn_rows; b->n_rows++)
        (void)row_id(c, gen, page, b->n_rows, b->ids[b->n_rows]);
    below_begin(b, is_last(w, c));
    wk->txn_rows = 0;
}

/* What the record says is next. */
static void judge_next(struct world *w, int slot, const struct cmd *c,
                       const struct job_record *jr, const char *token)
{
    const struct walk *wk = &c->walk;
    bool last = wk->gen >= 0 && is_last(w, c);
    const char *want =
        last || wk->gen < 0 ? NULL : arena_printf(&w->arena, "g%dp%d", wk->gen, wk->page);
    const char *wrong = below_record(w, &wk->below, jr);
    if (wrong != NULL)
        broken(w, "a job's record says which row's list is next", slot, c->part, c->index,
               "%s", wrong);
    else if (!str_eq(jr->page_token, str_of(want)))
        broken(w, "a job's record says which page is next", slot, c->part, c->index,
               "%s, not %s", token != NULL ? token : "none",
               want != NULL ? want : "none");
    else if (last && !wk->below.runs)
        broken(w, "a list ends with its last page", slot, c->part, c->index, "page %d",
               wk->page);
}

void walk_record(struct world *w, int slot, struct cmd *c, const struct entry *e,
                 uint64_t owner)
{
    struct walk *wk = &c->walk;
    struct job_record jr;
    struct err err = ERR_INIT;
    if (e->value.ptr == NULL) {
        wk->gone = true;
        return;
    }
    if (job_record_decode(w->ss, e->value, &w->arena, &jr, &err) != 0) {
        broken(w, "a job's record can be read", slot, c->part, c->index, "%s", err.text);
        return;
    }
    if (jr.seq != wk->seq + 1 || wk->gone)
        broken(w, "a job's records follow each other", slot, c->part, c->index,
               "seq %lld after %lld", (long long)jr.seq, (long long)wk->seq);
    const char *token =
        jr.page_token.ptr != NULL
            ? arena_strndup(&w->arena, jr.page_token.ptr, jr.page_token.len)
            : NULL;
    wk->job = true;
    wk->seq = jr.seq;
    if (wk->below.runs) {
        if (wk->owner != owner)
            trace(w, slot, c->part, c->index, "below.went on", jr.pages, 0, NULL);
        judge_below(w, slot, c, &jr);
    } else if (jr.restarts > wk->restarts) {
        trace(w, slot, c->part, c->index, "walk.again", jr.restarts, 0, NULL);
        if (token != NULL || wk->txn_rows > 0)
            broken(w, "a walk begun anew begins at the first page", slot, c->part,
                   c->index, "%s", token != NULL ? token : "with rows");
        wk->restarts = jr.restarts;
        wk->page = wk->rows = 0;
        wk->gen = -1;
    } else if (token != NULL) {
        judge_page(w, slot, c, number_at(token, "g", -1), number_at(token, "p", 0) - 1);
    } else {
        judge_page(w, slot, c, wk->txn_gen, wk->page); /* the last, whose rows go on */
    }
    wk->owner = owner;
    judge_next(w, slot, c, &jr, token);
    if (jr.items != wk->items || jr.pages != wk->pages)
        broken(w, "a job's record counts what is durable", slot, c->part, c->index,
               "%lld items, %lld pages, not %lld, %lld", (long long)jr.items,
               (long long)jr.pages, (long long)wk->items, (long long)wk->pages);
}

void walk_result(struct world *w, int slot, struct cmd *c)
{
    struct walk *wk = &c->walk;
    wk->owner = c->answer_owner;
    trace(w, slot, c->part, c->index, "walk.end", c->outcome, wk->pages, NULL);
    if (wk->job && !wk->gone)
        broken(w, "with its result a job ends", slot, c->part, c->index, "no tombstone");
    if (c->outcome == CANCELLED && wk->cancelled_at < 0 && !wk->cancel_read)
        broken(w, "CANCELLED is what was asked for", slot, c->part, c->index,
               "not asked, or not of this job");
    if (c->outcome != SUCCEEDED) {
        if (wk->txn_rows + wk->below.txn_rows > 0)
            broken(w, "a list that fails brings no rows", slot, c->part, c->index, "%d",
                   wk->txn_rows + wk->below.txn_rows);
        return;
    }
    if (wk->below.runs) {
        judge_below(w, slot, c, NULL);
        if (wk->below.runs || !wk->below.last)
            broken(w, "a list is read to its end", slot, c->part, c->index,
                   "lists of rows are left");
        return;
    }
    int gen = wk->txn_rows > 0 ? wk->txn_gen : wk->gen;
    if (gen < 0) /* all of it is one page without rows, of any walk */
        for (gen = wk->front_gen; gen > 0 && pages_of(w, c, gen) > 1; gen--)
            ;
    judge_page(w, slot, c, gen, wk->page);
    if (wk->below.runs)
        broken(w, "a list is read to its end", slot, c->part, c->index,
               "the lists of %d row(s) are left", wk->below.n_rows);
    bool cut_off = wk->max_items >= 0 && wk->rows >= wk->max_items;
    if (!cut_off && wk->page != pages_of(w, c, gen))
        broken(w, "a list is read to its end", slot, c->part, c->index, "%d of %d pages",
               wk->page, pages_of(w, c, gen));
}

/* The tombstone of the requests before it. */
void walk_uncancel(struct cmd *c, const struct entry *e, uint64_t owner)
{
    c->walk.uncancelled_by = owner;
    if (e->serial > c->walk.cancelled_at)
        c->walk.cancelled_at = -1;
}

bool walk_may_fail(const struct result *res, int64_t restarts)
{
    bool front = res->outcome == FAILED && str_is(res->error.kind, "front");
    return !front || (res->http_status != 404 &&
                      (res->http_status != 400 || restarts >= RESTARTS_MAX));
}

void walk_counts(struct world *w, int slot, const struct cmd *c, const struct result *res)
{
    const struct walk *wk = &c->walk;
    bool counts = c->outcome == SUCCEEDED || wk->job;
    if (counts && (res->items != wk->items || res->pages != wk->pages))
        broken(w, "a list's result counts what is durable", slot, c->part, c->index,
               "%lld items, %lld pages, not %lld, %lld", (long long)res->items,
               (long long)res->pages, (long long)wk->items, (long long)wk->pages);
    if (!c->missing && !walk_may_fail(res, wk->restarts))
        broken(w, "rows that go and tokens that are refused end no list", slot, c->part,
               c->index, "%lld after %lld beginnings", (long long)res->http_status,
               (long long)wk->restarts);
}

/* A key whose newest record has a value; a sync's record stays. */
static const struct entry *left_in(const struct log *log)
{
    for (size_t i = 0; i < log->n; i++) {
        const struct entry *e = &log->entries[i];
        bool last = e->state == ENTRY_COMMITTED && e->value.ptr != NULL &&
                    (e->sync == 0 || memmem(e->key.ptr, e->key.len, "/cancel", 7));
        for (size_t j = i + 1; last && j < log->n; j++)
            last = log->entries[j].state != ENTRY_COMMITTED ||
                   !str_eq(log->entries[j].key, e->key);
        if (last)
            return e;
    }
    return NULL;
}

/* In the end all that a read_committed consumer sees of items is what was judged, and no
 * job and no request to cancel one is left. */
void walk_check_end(struct world *w)
{
    int64_t seen = 0, want = 0;
    const struct log *logs[] = {&w->broker.items, &w->broker.conversations,
                                &w->broker.inboxes};
    for (int l = 0; l < 3; l++)
        for (size_t i = 0; i < logs[l]->n; i++)
            seen += logs[l]->entries[i].state == ENTRY_COMMITTED &&
                    logs[l]->entries[i].sync == 0;
    for (int i = 0; i < w->n_cmds; i++)
        want += w->cmds[i].walk.items;
    if (seen != want)
        broken(w, "every row is to be seen once", -1, -1, -1, "%lld, not %lld",
               (long long)seen, (long long)want);
    for (int p = 0; p < w->n_jobs_parts; p++) {
        const struct log *log = &w->broker.jobs[p];
        const struct entry *e = left_in(log);
        if (e != NULL)
            broken(w, "no job is left", -1, p, e->cmd, "%.*s", STR_ARG(e->key));
    }
}

bool walk_all_gone(const struct world *w)
{
    for (int p = 0; p < w->n_jobs_parts; p++)
        if (left_in(&w->broker.jobs[p]) != NULL)
            return false;
    return true;
}

/* --- what else happens to the jobs topic --- */

/* A user asks to cancel it, in time or not. */
void walk_cancel(struct world *w, struct event *ev)
{
    struct cmd *c = ev->p;
    int part = c->part % w->n_jobs_parts;
    if (c->offset < 0 || c->aborted || w->calm)
        return;
    struct entry e = {.state = ENTRY_COMMITTED, .cmd = c->index, .txn = -1};
    e.key = str_of(arena_printf(&w->arena, "%s/%d/%lld%s", COMMANDS_TOPIC, c->part,
                                (long long)c->offset, JOB_CANCEL));
    e.value = STR_LIT("x");
    trace(w, -1, c->part, c->index, "walk.cancel", 0, 0, NULL);
    c->walk.cancelled_at = log_append(w, &w->broker.jobs[part], e)->serial;
    client_fetch_soon(w, JOBS + part);
    if (chance(w, 300)) /* and once more */
        world_at(w, w->now + between(w, 0, 5000), walk_cancel, c);
}

/* A record of the jobs topic is read. A request to cancel that has its tombstone is taken
 * for one by nobody but who wrote that, and has not read so far yet. */
void walk_cancel_read(struct world *w, const struct instance *in, const struct entry *e)
{
    if (e->value.ptr == NULL ||
        memmem(e->key.ptr, e->key.len, JOB_CANCEL, strlen(JOB_CANCEL)) == NULL)
        return;
    if (e->sync > 0) {
        sync_cancel_read(w, in, e);
    } else if (e->cmd >= 0) {
        struct walk *wk = &w->cmds[e->cmd].walk;
        wk->cancel_read |= wk->job && (e->serial <= wk->cancelled_at ||
                                       in->k.owner == wk->uncancelled_by);
    }
}

bool walk_ends(const struct instance *in, const struct cmd *c)
{
    int part = JOBS + c->part % in->w->n_jobs_parts;
    return c->walk.cancelled_at >= 0 || c->walk.cancel_read ||
           in->w->durable[part].owner > in->k.owner;
}

/* Of each key only the newest record stays; what is not decided yet is not touched. */
void walk_compact(struct world *w, struct event *ev)
{
    (void)ev;
    world_at(w, w->now + between(w, 2000, 60000), walk_compact, NULL);
    for (int p = 0; p < w->n_jobs_parts; p++) {
        struct log *log = &w->broker.jobs[p];
        int64_t stable = log_stable(log);
        for (int64_t i = 0; i < stable; i++) {
            struct entry *e = &log->entries[i];
            int64_t j = e->state == ENTRY_COMMITTED ? i + 1 : stable;
            while (j < stable && (log->entries[j].state != ENTRY_COMMITTED ||
                                  !str_eq(e->key, log->entries[j].key)))
                j++;
            if (j < stable)
                e->state = ENTRY_GONE;
        }
    }
}
