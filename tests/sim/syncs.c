/* Syncs: the settings, which change when processes start anew, and what Front shows: rows
 * that change all the time, page by page, in an order of its own. A page's token and its
 * rows name the answer they came with. Owns struct syncs. */
#include "syncs.h"

#include <stdio.h>
#include <string.h>

#include "kafka/kafka.h"

static const char *const operations[LISTS] = {"list-contacts", "list-tags"};
static const char *const paths[LISTS] = {"/contacts", "/tags"};
const char *const syncs_ids[LISTS] = {"crd", "tag"};

/* --- the settings --- */

static struct engine_sync choose_sync(struct world *w, int i)
{
    static const int64_t intervals[] = {2000, 6000, 20000, 60000};
    static const int64_t overlaps[] = {0, 1000, 5000, 20000};
    struct engine_sync sync = {.name = w->syncs->of[i].name,
                               .operation = operations[i],
                               .every_ms = intervals[rnd(w, 4)],
                               .overlap_ms = overlaps[rnd(w, 4)]};
    struct pair *params = arena_zalloc(&w->arena, 3 * sizeof *params);
    params[0] = (struct pair){
        .name = STR_LIT("limit"),
        .value = str_of(arena_printf(&w->arena, "%d", 1 + (int)rnd(w, PAGE_ROWS)))};
    params[1] = (struct pair){.name = STR_LIT("sort_order"), .value = STR_LIT("asc")};
    sync.params = params;
    sync.n_params = 1 + rnd(w, 2);
    sync.updated_after = i == 0 && chance(w, 800);
    return sync;
}

/* Somebody edits them: one sync goes, comes, or becomes another. */
static void edit(struct world *w, struct sync_settings *to,
                 const struct sync_settings *from)
{
    *to = *from;
    if (to->n == 0) {
        for (int i = 0; i < w->syncs->n; i++)
            to->syncs[to->n++] = choose_sync(w, i);
        return;
    }
    size_t which = rnd(w, to->n);
    int i = strcmp(to->syncs[which].name, w->syncs->of[0].name) == 0 ? 0 : 1;
    struct engine_sync other = choose_sync(w, i);
    switch (rnd(w, 4)) {
    case 0:
        to->syncs[which] = to->syncs[--to->n];
        return;
    case 1: /* the same list, at other times */
        to->syncs[which].every_ms = other.every_ms;
        to->syncs[which].overlap_ms = other.overlap_ms;
        return;
    case 2:
        other.operation = operations[1 - syncs_list_of(other.operation)];
        other.updated_after = strcmp(other.operation, operations[0]) == 0;
        to->syncs[which] = other;
        return;
    default:
        to->syncs[which] = other;
    }
}

/* In some worlds their rows have lists: without chance, as in load.c. */
static void set_with(struct world *w, struct engine_sync *sync)
{
    struct pair *params = arena_zalloc(&w->arena, 3 * sizeof *params);
    int64_t limit = number_at(sync->params[0].value.ptr, "", 0);
    const char *with = w->seed * 0x9e3779b97f4a7c15u >> 41 & 1
                           ? below_with(w, sync->operation, (int)limit)
                           : NULL;
    if (with == NULL)
        return;
    memcpy(params, sync->params, sync->n_params * sizeof *params);
    params[sync->n_params++] =
        (struct pair){.name = STR_LIT("with"), .value = str_of(with)};
    sync->params = params;
}

static void choose_settings(struct world *w)
{
    struct syncs *ss = w->syncs;
    ss->n_settings = chance(w, 500) ? 1 : 2 + (int)rnd(w, SETTINGS_MAX - 1);
    for (int i = 0; i < ss->n; i++)
        ss->settings[0].syncs[ss->settings[0].n++] = choose_sync(w, i);
    for (int v = 1; v < ss->n_settings; v++)
        edit(w, &ss->settings[v], &ss->settings[v - 1]);
    for (int v = 0; v < ss->n_settings; v++)
        for (size_t i = 0; i < ss->settings[v].n; i++)
            set_with(w, &ss->settings[v].syncs[i]);
}

static void start_again(struct world *w, struct event *ev)
{
    struct instance *in = ev->p;
    instance_start(w, in->slot);
}

/* As an operator does it: one by one, each with the new settings. */
static void restart(struct world *w, struct event *ev)
{
    struct instance *in = ev->p;
    if (!in->alive || syncs_settings_of(w->syncs, in->slot, in->life) == w->syncs->newest)
        return;
    instance_stop(in);
    for (int i = 0; i < 4; i++)
        world_at(w, w->now + between(w, 100, 15000) + i * 20000, start_again, in);
}

static void change_settings(struct world *w, struct event *ev)
{
    struct syncs *ss = w->syncs;
    (void)ev;
    if (ss->newest + 1 >= ss->n_settings)
        return;
    ss->newest++;
    trace(w, -1, -1, -1, "settings", ss->newest, (int64_t)ss->settings[ss->newest].n,
          NULL);
    for (int i = 0; i < w->n_slots; i++)
        world_at(w, w->now + between(w, 0, 30000), restart, &w->instances[i]);
}

void syncs_calm(struct world *w)
{
    struct syncs *ss = w->syncs;
    if (ss == NULL)
        return;
    ss->newest = ss->n_settings - 1;
    for (int i = 0; i < w->n_slots; i++)
        world_at(w, w->now + between(w, 0, 10000), restart, &w->instances[i]);
}

void syncs_start(struct world *w, struct instance *in)
{
    struct syncs *ss = w->syncs;
    if (ss == NULL)
        return;
    ss->settings_of[in->slot][in->life % LIVES_MAX] = ss->newest;
    in->options.syncs = ss->settings[ss->newest].syncs;
    in->options.n_syncs = ss->settings[ss->newest].n;
}

int syncs_settings_of(const struct syncs *ss, int slot, int life)
{
    return ss->settings_of[slot][life % LIVES_MAX];
}

const struct engine_sync *syncs_setting(const struct syncs *ss, const struct sync *sync,
                                        int settings)
{
    const struct sync_settings *st = &ss->settings[settings];
    for (size_t i = 0; i < st->n; i++)
        if (strcmp(st->syncs[i].name, sync->name) == 0)
            return &st->syncs[i];
    return NULL;
}

const char *syncs_list_text(struct world *w, struct str operation,
                            const struct pair *params, size_t n)
{
    const char *text = arena_printf(&w->arena, "%.*s", STR_ARG(operation));
    for (size_t i = 0; i < n; i++)
        if (params[i].name.ptr[0] != 'q')
            text = arena_printf(&w->arena, "%s|%.*s=%.*s", text, STR_ARG(params[i].name),
                                STR_ARG(params[i].value));
    return text;
}

/* --- the lists --- */

int syncs_list_of(const char *operation)
{
    return strcmp(operation, operations[0]) == 0 ? 0 : 1;
}

int syncs_version(const struct syncs *ss, int list, int row, int64_t at)
{
    int n = 0;
    while (n < ss->changes[list][row].n && ss->changes[list][row].at[n] <= at)
        n++;
    return n;
}

/* Most are there from the start; all change all through the seed, and somewhat longer. */
static void choose_changes(struct world *w)
{
    for (int list = 0; list < LISTS; list++)
        for (int row = 0; row < LIST_ROWS; row++) {
            int n = 1 + (int)rnd(w, CHANGES_MAX);
            int64_t at =
                chance(w, 700) ? -between(w, 1, 1000000) : between(w, 0, w->faults_end);
            w->syncs->changes[list][row].n = n;
            for (int i = 0; i < n; i++) {
                w->syncs->changes[list][row].at[i] = at;
                at = (at > 0 ? at : 0) + skewed(w, 1, w->faults_end);
            }
        }
}

/* Front's order of two rows, by their newest changes. */
static int compare(const struct syncs *ss, int64_t a_at, int a, int64_t b_at, int b)
{
    int by_time = a_at < b_at ? -1 : a_at > b_at;
    if (ss->order == BY_ROW || by_time == 0)
        return a - b;
    return ss->order == OLDEST_FIRST ? by_time : -by_time;
}

static int64_t change_of(const struct syncs *ss, int list, int row, int version)
{
    return ss->changes[list][row].at[version - 1];
}

/* The first row behind this one that is asked for; -1: none. */
static int next_row(const struct world *w, const struct sync_page *page)
{
    const struct syncs *ss = w->syncs;
    int best = -1;
    int64_t best_at = 0;
    for (int row = 0; row < LIST_ROWS; row++) {
        int v = syncs_version(ss, page->list, row, w->now);
        int64_t at = v > 0 ? change_of(ss, page->list, row, v) : 0;
        if (v == 0 || (page->after >= 0 && EPOCH_MS + at <= page->after * 1000) ||
            (page->last_row >= 0 &&
             compare(ss, at, row, page->last_change, page->last_row) <= 0))
            continue;
        if (best < 0 || compare(ss, at, row, best_at, best) < 0) {
            best = row;
            best_at = at;
        }
    }
    return best;
}

/* A page may be short, or without rows, though more follow; and the last one too. */
static void fill(struct world *w, struct sync_page *page, int limit)
{
    int most = chance(w, 100) ? 0 : chance(w, 100) ? 1 : limit, row;
    while ((row = next_row(w, page)) >= 0 && page->n < most) {
        int v = syncs_version(w->syncs, page->list, row, w->now);
        page->rows[page->n] = row;
        page->versions[page->n++] = v;
        page->last_row = row;
        page->last_change = change_of(w->syncs, page->list, row, v);
    }
    page->last = row < 0 && !chance(w, 100);
}

struct below *sync_below(struct world *w, int sync)
{
    return &w->syncs->of[sync].below;
}

struct sync_page *syncs_page(struct syncs *ss, int number)
{
    return number > 0 && (size_t)number <= ss->n_pages ? &ss->pages[number - 1] : NULL;
}

struct sync_ask syncs_asked(struct world *w, const struct instance *in, int sync,
                            const char *path, const char *query)
{
    return (struct sync_ask){.sync = sync,
                             .settings = syncs_settings_of(w->syncs, in->slot, in->life),
                             .path = arena_strndup(&w->arena, path, strlen(path)),
                             .query = query};
}

/* A request for a page has arrived: the number of what Front shows; 0: its token is
 * refused. */
int syncs_ask(struct world *w, const struct sync_ask *ask, bool forget)
{
    struct syncs *ss = w->syncs;
    struct sync *sync = &ss->of[ask->sync];
    int gen = number_at(ask->query, "page_token=g", -1);
    if (gen >= 0 && forget && gen == sync->front_gen)
        sync->front_gen++;
    if (gen >= 0 && gen != sync->front_gen)
        return 0;
    struct sync_page page = {.sync = ask->sync,
                             .list = strcmp(ask->path, paths[0]) == 0 ? 0 : 1,
                             .parent = gen >= 0 ? sync_token(ask->query) : 0,
                             .gen = sync->front_gen,
                             .settings = ask->settings,
                             .at = w->now,
                             .after = number_at(ask->query, "q%5Bupdated_after%5D=", -1),
                             .last_row = -1};
    const struct sync_page *parent = syncs_page(ss, page.parent);
    if (parent != NULL) {
        page.last_row = parent->last_row;
        page.last_change = parent->last_change;
    }
    int limit = number_at(ask->query, "limit=", PAGE_ROWS);
    fill(w, &page, limit < PAGE_ROWS ? limit : PAGE_ROWS);
    if (ss->n_pages == ss->cap_pages) {
        ss->cap_pages = ss->cap_pages ? ss->cap_pages * 2 : 64;
        ss->pages = mem_realloc(ss->pages, ss->cap_pages * sizeof *ss->pages);
    }
    ss->pages[ss->n_pages++] = page;
    return (int)ss->n_pages;
}

int sync_token(const char *text)
{
    const char *token = text != NULL ? strstr(text, "page_token=g") : NULL;
    return token != NULL ? number_at(token + strlen("page_token=g"), "s", 0) : 0;
}

void syncs_print(struct world *w, int number, struct buf *out)
{
    const struct sync_page *page = syncs_page(w->syncs, number);
    if (page->last)
        (void)buf_add_cstr(out, "{\"_pagination\":{\"next\":null},\"_results\":[");
    else
        (void)buf_printf(out,
                         "{\"_pagination\":{\"next\":\"https://front/x?limit=1&"
                         "page_token=g%ds%d\"},\"_results\":[",
                         page->gen, number);
    for (int i = 0; i < page->n; i++)
        (void)buf_printf(out, "%s{\"id\":\"%s_%d\",\"mark\":\"s%dn%dr%dv%d\"}",
                         i > 0 ? "," : "", syncs_ids[page->list], page->rows[i], number,
                         i, page->rows[i], page->versions[i]);
    (void)buf_add_cstr(out, "]}");
}

/* --- the user --- */

static void cancel(struct world *w, struct event *ev)
{
    struct sync *sync = ev->p;
    struct entry e = {.state = ENTRY_COMMITTED, .cmd = -1, .txn = -1};
    if (w->calm)
        return;
    e.sync = 1 + (int)(sync - w->syncs->of);
    e.key = str_of(arena_printf(&w->arena, "%s%s", sync->key, JOB_CANCEL));
    e.value = STR_LIT("x");
    trace(w, -1, JOBS + sync->part, -1, "sync.cancel", 0, 0, sync->name);
    sync->cancelled_at = log_append(w, &w->broker.jobs[sync->part], e)->serial;
    client_fetch_soon(w, JOBS + sync->part);
}

bool sync_ends(const struct instance *in, int sync)
{
    const struct sync *st = &in->w->syncs->of[sync];
    return st->cancelled_at >= 0 || st->cancel_read ||
           in->w->durable[JOBS + st->part].owner > in->k.owner;
}

int syncs_find(const struct world *w, struct str key)
{
    for (int i = 0; w->syncs != NULL && i < w->syncs->n; i++) {
        const char *own = w->syncs->of[i].key;
        size_t n = strlen(own);
        if (key.len >= n && memcmp(key.ptr, own, n) == 0 &&
            (key.len == n || key.ptr[n] == '/'))
            return i;
    }
    return -1;
}

/* The worlds without them stay what they were. */
void syncs_init(struct world *w)
{
    static const char *const names[SYNCS_MAX] = {"people", "tags"};
    if (w->seed * 2654435761u >> 9 & 1)
        return;
    struct syncs *ss = w->syncs = arena_zalloc(&w->arena, sizeof *ss);
    ss->n = 1 + (int)rnd(w, SYNCS_MAX);
    ss->order = (int)rnd(w, ORDERS);
    for (int i = 0; i < ss->n; i++) {
        struct sync *sync = &ss->of[i];
        *sync = (struct sync){.name = names[i], .cancelled_at = -1};
        sync->key = arena_printf(&w->arena, "sync/%s", names[i]);
        sync->part = kafka_partition_of(str_of(sync->key), w->n_jobs_parts);
        for (int n = chance(w, 300) ? 1 + (int)rnd(w, 3) : 0; n > 0; n--)
            world_at(w, between(w, 0, w->faults_end), cancel, sync);
    }
    for (int i = 0; i < w->n_slots; i++) /* nobody keeps their clocks right */
        if (chance(w, 200))
            w->instances[i].wall_offset = between(w, -90000, 90000);
    choose_settings(w);
    choose_changes(w);
    for (int v = 1; v < ss->n_settings; v++)
        world_at(w, between(w, 1000, w->faults_end), change_settings, NULL);
}

void syncs_fini(struct world *w)
{
    if (w->syncs != NULL)
        mem_free(w->syncs->pages);
}
