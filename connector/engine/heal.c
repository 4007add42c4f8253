/* Healing: Front's list of events is walked for what no webhook brought, as a sync of its
 * own (sync.c): `heal` in the jobs topic. What differs: a run asks for the events between
 * the watermark, less the overlap, and the present, less the lag; and before a page is
 * produced, what is on the events topic by then is read, and taken out of it. Without
 * webhooks this is the poller.
 *
 * Owns where the events topic was read to. Invariant: a page is produced only when the
 * topic was read, after the page had come, to the high watermark of each partition. */
#include <string.h>

#include "codec/json.h"
#include "codec/records/event.h"
#include "engine/internal.h"
#include "engine/known.h"

enum { AGAIN_MS = 1000, TAIL_MIN = 1000 };

struct tail {
    int64_t next; /* read to here; -1: not at all yet */
    int64_t end;  /* to be read to here; -1: is asked for */
};

struct heal {
    int64_t began_ms; /* this process, monotonic */
    struct job *job;  /* whose page waits; NULL: none */
    const struct topic *topic;
    struct tail *tails;
    int32_t n_tails;
};

static void ask(struct engine *en, struct heal *he);
static void read_on(struct engine *en, struct heal *he, int32_t partition);
static void go_on_if_all_is_read(struct engine *en, struct heal *he);
static void put_off(struct engine *en, struct heal *he, const char *why);
static struct tail *tail_of(const struct engine *en, struct kafka_partition at);

void heal_init(struct engine *en)
{
    for (size_t i = 0; i < en->o.n_syncs; i++)
        if (en->o.syncs[i].heals)
            en->heal = mem_zalloc(sizeof *en->heal);
    if (en->heal != NULL)
        en->heal->began_ms = en->now;
}

void heal_free(struct engine *en)
{
    if (en->heal == NULL)
        return;
    mem_free(en->heal->tails);
    mem_free(en->heal);
    en->heal = NULL;
}

/* Not when the partition came: webhooks may have been refused since. */
int64_t heal_start_ms(const struct engine *en)
{
    return dispatch_front_ms(en) - (en->now - en->heal->began_ms);
}

const char *heal_delivery(const struct engine *en)
{
    return en->ingest != NULL ? EVENT_HEALED : EVENT_POLL;
}

void heal_page(struct engine *en, struct job *job, const struct call *call)
{
    const struct http_call *http = &call->http;
    struct arena *a = &job->page_arena;
    struct str body = buf_str(&http->body_in);

    job->kept = arena_zalloc(a, sizeof *job->kept);
    *job->kept = (struct list_answer){
        http->end, http->head.status, {arena_strndup(a, body.ptr, body.len), body.len}};
    job_move(en, job, JOB_FOLLOWS);
    en->heal->job = job;
    ask(en, en->heal);
}

void heal_again(struct engine *en, struct job *job)
{
    en->heal->job = job;
    ask(en, en->heal);
}

void heal_left(struct engine *en, const struct job *job)
{
    if (en->heal != NULL && en->heal->job == job)
        en->heal->job = NULL;
}

/* The ends of all partitions, as they are now. */
static void ask(struct engine *en, struct heal *he)
{
    he->topic = he->job->items_topic;
    if (he->n_tails < he->topic->partitions) {
        he->tails =
            mem_realloc(he->tails, (size_t)he->topic->partitions * sizeof *he->tails);
        while (he->n_tails < he->topic->partitions)
            he->tails[he->n_tails++].next = -1;
    }
    for (int32_t i = 0; i < he->topic->partitions; i++) {
        he->tails[i].end = -1;
        en->kafka.watermarks(en->kafka.self,
                             (struct kafka_partition){he->topic->name, i});
    }
}

bool heal_watermarks(struct engine *en, const struct kafka_event *ev)
{
    struct tail *tl = tail_of(en, ev->at);
    int64_t share, from;

    if (tl == NULL)
        return false;
    if (en->heal->job == NULL || tl->end >= 0)
        return true;
    if (ev->error[0] != 0) {
        put_off(en, en->heal, ev->error);
        return true;
    }
    share = en->o.events_dedupe_entries / en->heal->topic->partitions + TAIL_MIN;
    from = ev->high - share > ev->low ? ev->high - share : ev->low;
    if (tl->next < from || tl->next > ev->high) /* never read, cut off, or made anew */
        tl->next = from;
    tl->end = ev->high;
    read_on(en, en->heal, ev->at.partition);
    return true;
}

static void read_on(struct engine *en, struct heal *he, int32_t partition)
{
    struct tail *tl = &he->tails[partition];

    if (tl->next < tl->end)
        en->kafka.read(en->kafka.self,
                       (struct kafka_partition){he->topic->name, partition}, tl->next,
                       tl->end);
    else
        go_on_if_all_is_read(en, he);
}

bool heal_read(struct engine *en, const struct kafka_event *ev)
{
    struct tail *tl = tail_of(en, ev->at);
    struct arena a;

    if (tl == NULL)
        return false;
    if (en->heal->job == NULL || tl->end < 0 || ev->low != tl->next)
        return true;
    if (ev->error[0] != 0) {
        put_off(en, en->heal, ev->error);
        return true;
    }
    if (registered_tail_waits(en, ev->records, ev->n_records)) {
        put_off(en, en->heal, "the registry is asked for a schema of it");
        return true;
    }
    arena_init(&a, 16 * 1024);
    for (size_t i = 0; i < ev->n_records; i++) {
        struct err e = ERR_INIT;
        struct event event;
        arena_reset(&a);
        if (event_decode(en->ss, ev->records[i].value, &a, &event, &e) == 0)
            known_add(en->known, event.id);
    }
    arena_fini(&a);
    tl->next = ev->offset;
    read_on(en, en->heal, ev->at.partition);
    return true;
}

static void go_on_if_all_is_read(struct engine *en, struct heal *he)
{
    struct job *job = he->job;

    for (int32_t i = 0; i < he->topic->partitions; i++)
        if (he->tails[i].end < 0 || he->tails[i].next < he->tails[i].end)
            return;
    he->job = NULL;
    walk_take(en, job, job->kept);
}

static void put_off(struct engine *en, struct heal *he, const char *why)
{
    log_warn("heal.waits", "%s cannot be read to its end, asking again: %s",
             he->topic->name, why);
    timer_set(&en->timers, &he->job->timer, en->now + AGAIN_MS);
    he->job = NULL;
}

/* NULL: no partition of the events topic, or it was not asked for. */
static struct tail *tail_of(const struct engine *en, struct kafka_partition at)
{
    struct heal *he = en->heal;

    if (he == NULL || he->topic == NULL || at.topic != he->topic->name ||
        at.partition >= he->n_tails)
        return NULL;
    return &he->tails[at.partition];
}

struct known_rows {
    const struct known *known;
    struct arena scratch;
};

static bool is_new(void *arg, struct str row)
{
    struct known_rows *kr = arg;
    struct event ev;

    arena_reset(&kr->scratch);
    events_read(row, &kr->scratch, &ev);
    return !known_has(kr->known, ev.id);
}

void heal_drop_known(struct engine *en, struct list_page *page, struct arena *a)
{
    struct known_rows kr = {.known = en->known};

    arena_init(&kr.scratch, 0);
    list_keep(page, is_new, &kr, a);
    arena_fini(&kr.scratch);
}
