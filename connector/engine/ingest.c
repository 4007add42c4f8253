/* Ingest: a signed webhook becomes a record, is handed to Kafka, and its request is
 * answered when the report says that Kafka has it. Owns the requests that wait
 * (`waiter`), the box of their records, and the ids of those that were stored.
 *
 * Invariants: 2xx is said of an event only after its report; what was taken stays in the
 * box until its report, whatever its requests were answered, since a rule webhook is
 * never repeated; of two requests with one id the second waits for the first's record. */
#include "engine/ingest.h"

#include <stdio.h>
#include <string.h>

#include "engine/internal.h"
#include "engine/known.h"
#include "engine/outbox.h"
#include "front/event.h"

#define PATIENCE_MS 100 /* nobody hangs up sooner */
#define BUSY_RETRY_S 1
#define DOWN_RETRY_S 5
#define SAY_EVERY_MS 60000
#define ENCODED_MAX ((size_t)80 * 1024 * 1024)
#define ENCODED_KEPT ((size_t)64 * 1024)
#define GONE 499 /* nobody was there to be answered; nginx counts so too */
#define UNKNOWN_KIND WEBHOOK_KINDS /* of what was no path of ours */

/* What its request is to be answered, once it is stored. Body: the waiter's own. */
struct waiter {
    TAILQ_ENTRY(waiter) link;  /* of all, the oldest first */
    TAILQ_ENTRY(waiter) of_it; /* of its record */
    struct parcel *pc;
    void *request;
    enum webhook_kind kind;
    int64_t began_ms;
    int status;
    const char *content_type;
    char *body;
    size_t body_len;
};
/* A line that may come with each request is said at most once a minute. */
struct complaint {
    int64_t quiet_until;
    uint64_t unsaid;
};

static const char unparsable[] = "WebhookUnparsable";
static const int codes[] = {200, 400, 401, 404, 405, 413, 429, 431, GONE, 0};
#define CODES (sizeof codes / sizeof codes[0])

struct ingest {
    struct engine *en;
    struct ingest_options o;
    struct outbox *box;
    struct waiter_list waiters;
    size_t n_waiters;
    struct arena scratch; /* of one request */
    struct buf encoded;
    bool troubled; /* a request had to be answered 429 */
    bool closed;
    int64_t last_received; /* epoch ms; 0: never */
    uint64_t stored, later;
    struct complaint refused[WEBHOOK_REFUSALS], late, lost;
    struct metric *answered[WEBHOOK_KINDS + 1][CODES];
    struct metric *seconds[WEBHOOK_KINDS], *last, *buried;
};

/* One request while it is looked at. */
struct visit {
    void *request;
    enum webhook_kind kind;
    int64_t began_ms;
    const struct webhook_outcome *out;
};

static void name_series(struct ingest *in);
static void take_event(struct ingest *in, const struct visit *v);
static void take_dead_letter(struct ingest *in, const struct visit *v, struct str body);
static bool has_room(struct ingest *in, const struct visit *v);
static int fill_event(struct ingest *in, struct parcel *pc, const struct event *ev);
static void reset_encoded(struct ingest *in);
static void done(void *arg, struct parcel *pc, bool stored);
static void too_large(struct ingest *in, const struct visit *v);
static void wait_for(struct ingest *in, struct parcel *pc, const struct visit *v);
static void later(struct ingest *in, const struct visit *v);
static void answer(struct ingest *in, const struct visit *v,
                   const struct webhook_answer *answer);
static void answer_now(struct ingest *in, const struct visit *v);
static void end_waiter(struct ingest *in, struct waiter *wt, int status);
static void note_refusal(struct ingest *in, const struct visit *v);
static bool may_say(struct complaint *c, int64_t now, uint64_t *unsaid);
static struct metric *counter(struct ingest *in, size_t kind, int code);

void engine_receive(struct engine *en, const struct ingest_options *o)
{
    struct ingest *in = mem_zalloc(sizeof *in);
    in->en = en;
    in->o = *o;
    in->box = outbox_new(
        en, &(struct outbox_options){.events_topic = o->events_topic,
                                     .dead_letters_topic = en->o.dead_letters_topic,
                                     .event_max_bytes = o->event_max_bytes,
                                     .dead_letter_max_bytes = o->dead_letter_max_bytes,
                                     .max_parcels = o->max_pending,
                                     .done = done,
                                     .arg = in});
    TAILQ_INIT(&in->waiters);
    arena_init(&in->scratch, 0);
    buf_init(&in->encoded, ENCODED_MAX);
    name_series(in);
    en->ingest = in;
}

void engine_webhook(struct engine *en, void *request, struct str path,
                    struct webhook_request *wr)
{
    struct ingest *in = en->ingest;
    struct webhook_outcome out = {.status = 404};
    struct visit v = {request, UNKNOWN_KIND, clock_now(en->clock), &out};
    arena_reset(&in->scratch);
    if (webhook_kind_of(path, &wr->kind) != 0) {
        answer_now(in, &v);
        return;
    }
    v.kind = wr->kind;
    wr->now_ms = clock_wall(en->clock);
    webhook_judge(in->o.setup, wr, &in->scratch, &out);
    if (out.verdict != WEBHOOK_REFUSED) {
        in->last_received = wr->now_ms;
        metric_set(in->last, (double)wr->now_ms / 1000);
    }
    switch (out.verdict) {
    case WEBHOOK_REFUSED:
        note_refusal(in, &v);
        answer_now(in, &v);
        return;
    case WEBHOOK_NOTHING:
        answer_now(in, &v);
        return;
    case WEBHOOK_EVENT:
        take_event(in, &v);
        return;
    case WEBHOOK_DEAD_LETTER:
        take_dead_letter(in, &v, wr->body);
        return;
    }
}

void engine_webhook_refused(struct engine *en, const char *code, uint64_t n)
{
    metric_add(metrics_get(en->metrics, M_WEBHOOKS, "unknown", code, NULL), (double)n);
}

void ingest_produced(struct engine *en, const struct kafka_event *ev)
{
    outbox_reported(en->ingest->box, ev);
}

void ingest_turn(struct engine *en)
{
    struct ingest *in = en->ingest;
    struct waiter *wt;
    if (in == NULL)
        return;
    while ((wt = TAILQ_FIRST(&in->waiters)) != NULL &&
           wt->began_ms + in->o.timeout_ms <= en->now)
        end_waiter(in, wt, 429);
    outbox_turn(in->box);
}

int64_t ingest_next_ms(const struct engine *en)
{
    const struct ingest *in = en->ingest;
    if (in == NULL)
        return INT64_MAX;
    int64_t next = outbox_next_ms(in->box);
    const struct waiter *wt = TAILQ_FIRST(&in->waiters);
    return wt != NULL && wt->began_ms + in->o.timeout_ms < next
               ? wt->began_ms + in->o.timeout_ms
               : next;
}

bool ingest_in_hand(const struct engine *en)
{
    return en->ingest != NULL && outbox_count(en->ingest->box) > 0;
}

void ingest_close(struct engine *en)
{
    struct ingest *in = en->ingest;
    struct waiter *wt;
    if (in == NULL || in->closed)
        return;
    in->closed = true;
    if (outbox_count(in->box) > 0)
        log_error(
            "events.left",
            "%zu event(s) of webhooks are not on %s: Kafka did not take them in time",
            outbox_count(in->box), in->o.events_topic);
    while ((wt = TAILQ_FIRST(&in->waiters)) != NULL)
        end_waiter(in, wt, 429);
}

void ingest_free(struct engine *en)
{
    struct ingest *in = en->ingest;
    if (in == NULL)
        return;
    ingest_close(en);
    outbox_free(in->box);
    arena_fini(&in->scratch);
    buf_fini(&in->encoded);
    mem_free(in);
    en->ingest = NULL;
}

void ingest_status(const struct engine *en, struct buf *out)
{
    const struct ingest *in = en->ingest;
    if (in == NULL) {
        buf_add_cstr(out, "null");
        return;
    }
    buf_printf(out,
               "{\"pending\":%zu,\"pending_bytes\":%zu,\"waiting\":%zu,\"stored\":%llu,"
               "\"answered_later\":%llu,\"known\":%zu,\"last_received_ms\":%lld}",
               outbox_count(in->box), outbox_bytes(in->box), in->n_waiters,
               (unsigned long long)in->stored, (unsigned long long)in->later,
               known_count(in->en->known), (long long)in->last_received);
}

/* ---- what comes ---- */

static struct str keep(struct arena *a, struct str s)
{
    return s.ptr == NULL ? s : (struct str){arena_strndup(a, s.ptr, s.len), s.len};
}

static void take_event(struct ingest *in, const struct visit *v)
{
    const struct event *ev = &v->out->event;
    struct parcel *pc;
    if (known_has(in->en->known, ev->id)) {
        answer_now(in, v);
        return;
    }
    pc = outbox_find(in->box, ev->id);
    if (pc != NULL) {
        wait_for(in, pc, v);
        return;
    }
    if (!in->en->schemas_known) {
        later(in, v); /* we are not ready, and say so: no id to write it with */
        return;
    }
    if (!has_room(in, v))
        return;
    pc = outbox_take(in->box);
    if (fill_event(in, pc, ev) != 0) {
        outbox_drop(in->box, pc);
        too_large(in, v);
        return;
    }
    wait_for(in, pc, v);
    outbox_send(in->box, pc);
}

static void take_dead_letter(struct ingest *in, const struct visit *v, struct str body)
{
    if (!has_room(in, v))
        return;
    struct parcel *pc = outbox_take(in->box);
    pc->dead = unparsable;
    pc->emitted_at = NO_NUMBER;
    pc->out =
        (struct kafka_output){.partition = -1,
                              .value = keep(&pc->arena, body),
                              .headers = arena_alloc(&pc->arena, sizeof *pc->out.headers),
                              .n_headers = 1};
    pc->out.headers[0] =
        (struct kafka_header){STR_LIT("webhook"), str_of(webhook_kind_names[v->kind])};
    outbox_mark_dead(in->box, pc, v->out->message);
    wait_for(in, pc, v);
    outbox_send(in->box, pc);
}

/* False: it was answered 429, and is not here. */
static bool has_room(struct ingest *in, const struct visit *v)
{
    uint64_t unsaid;
    bool full = outbox_is_full(in->box);
    if (!full && !in->en->closing)
        return true;
    if (full && may_say(&in->lost, v->began_ms, &unsaid))
        log_error("webhook.full",
                  "%zu events wait for Kafka, a webhook was answered 429 and is not kept "
                  "(%llu more since the last such line)",
                  outbox_count(in->box), (unsigned long long)unsaid);
    later(in, v);
    return false;
}

/* -1: its record would be larger than any topic takes. */
static int fill_event(struct ingest *in, struct parcel *pc, const struct event *ev)
{
    int rc = events_output(in->en, ev, in->o.events_topic, &in->encoded, &in->scratch,
                           &pc->arena, &pc->out);
    pc->id = keep(&pc->arena, ev->id);
    pc->emitted_at = ev->emitted_at;
    reset_encoded(in);
    return rc;
}

static void reset_encoded(struct ingest *in)
{
    buf_reset(&in->encoded);
    if (in->encoded.cap <= ENCODED_KEPT)
        return;
    buf_fini(&in->encoded);
    buf_init(&in->encoded, ENCODED_MAX);
}

/* All who wait for it are answered. */
static void done(void *arg, struct parcel *pc, bool stored)
{
    struct ingest *in = arg;
    struct waiter *wt;
    while ((wt = TAILQ_FIRST(&pc->waiters)) != NULL)
        end_waiter(in, wt, stored ? wt->status : 413);
    if (!stored)
        return;
    in->stored++;
    if (pc->dead != NULL)
        metric_add(in->buried, 1); /* whatever its reason: they are no commands */
    else
        events_count(in->en, EVENT_WEBHOOK, pc->emitted_at);
    if (pc->id.ptr != NULL)
        known_add(in->en->known, pc->id);
    if (in->troubled && outbox_count(in->box) == 1) { /* it was the last */
        in->troubled = false;
        log_info("webhook.caught_up", "all webhooks that came are stored");
    }
}

static void too_large(struct ingest *in, const struct visit *v)
{
    struct webhook_answer wa = {.status = 413};
    log_error("event.lost", "a webhook's event is larger than a record can be");
    answer(in, v, &wa);
}

/* ---- answers ---- */

static void wait_for(struct ingest *in, struct parcel *pc, const struct visit *v)
{
    struct waiter *wt;
    if (!in->en->kafka_up || outbox_is_high(in->box) || in->closed) {
        later(in, v); /* the record stays */
        return;
    }
    wt = mem_zalloc(sizeof *wt);
    wt->pc = pc;
    wt->request = v->request;
    wt->kind = v->kind;
    wt->began_ms = v->began_ms;
    wt->status = v->out->status;
    wt->content_type = v->out->content_type;
    wt->body_len = v->out->body.len;
    if (wt->body_len > 0)
        wt->body = mem_strndup(v->out->body.ptr, wt->body_len);
    TAILQ_INSERT_TAIL(&in->waiters, wt, link);
    TAILQ_INSERT_TAIL(&pc->waiters, wt, of_it);
    in->n_waiters++;
}

static void later(struct ingest *in, const struct visit *v)
{
    struct engine *en = in->en;
    struct webhook_answer wa = {
        .status = 429, .retry_after_s = en->kafka_up ? BUSY_RETRY_S : DOWN_RETRY_S};
    uint64_t unsaid;
    in->later++;
    in->troubled = true;
    if (may_say(&in->late, v->began_ms, &unsaid))
        log_warn("webhook.later",
                 "webhooks are answered 429: %s; %zu event(s) wait (%llu more since the "
                 "last such line)",
                 en->closing               ? "draining"
                 : !en->kafka_up           ? "Kafka is not reached"
                 : !en->schemas_known      ? "the registry has not told the schema's id"
                 : outbox_is_high(in->box) ? "too many wait for Kafka"
                                           : "Kafka did not take it in time",
                 outbox_count(in->box), (unsigned long long)unsaid);
    answer(in, v, &wa);
}

static void answer_now(struct ingest *in, const struct visit *v)
{
    const struct webhook_outcome *out = v->out;
    struct webhook_answer wa = {.status = out->status,
                                .content_type = out->content_type,
                                .body = out->body,
                                .allow = out->allow};
    answer(in, v, &wa);
}

/* status: what it was to be answered, or what it is instead, without a body. */
static void end_waiter(struct ingest *in, struct waiter *wt, int status)
{
    struct visit v = {wt->request, wt->kind, wt->began_ms, NULL};
    struct webhook_answer wa = {.status = status};
    TAILQ_REMOVE(&in->waiters, wt, link);
    TAILQ_REMOVE(&wt->pc->waiters, wt, of_it);
    in->n_waiters--;
    if (status == wt->status) {
        wa.content_type = wt->content_type;
        wa.body = (struct str){wt->body, wt->body_len};
    }
    if (status == 429)
        later(in, &v);
    else
        answer(in, &v, &wa);
    mem_free(wt->body);
    mem_free(wt);
}

/* The client is asked after only where it may have lost its patience. */
static void answer(struct ingest *in, const struct visit *v,
                   const struct webhook_answer *wa)
{
    int64_t took_ms = clock_now(in->en->clock) - v->began_ms;
    bool gone = took_ms >= PATIENCE_MS && in->o.client_gone(v->request);
    metric_add(counter(in, v->kind, gone ? GONE : wa->status), 1);
    if (v->kind != UNKNOWN_KIND)
        metric_observe(in->seconds[v->kind], (double)took_ms / 1000);
    in->o.answer(v->request, wa);
}

/* ---- what people see ---- */

static void note_refusal(struct ingest *in, const struct visit *v)
{
    uint64_t unsaid;
    if (may_say(&in->refused[v->out->why], v->began_ms, &unsaid))
        log_warn("webhook.refused",
                 "a request to %s was answered %d: %s (%llu more since the last such "
                 "line)",
                 webhook_paths[v->kind], v->out->status,
                 webhook_refusal_names[v->out->why], (unsigned long long)unsaid);
}

static bool may_say(struct complaint *c, int64_t now, uint64_t *unsaid)
{
    if (now < c->quiet_until) {
        c->unsaid++;
        return false;
    }
    c->quiet_until = now + SAY_EVERY_MS;
    *unsaid = c->unsaid;
    c->unsaid = 0;
    return true;
}

static const char *kind_name(size_t kind)
{
    return kind == UNKNOWN_KIND ? "unknown" : webhook_kind_names[kind];
}

static struct metric *series(struct engine *en, size_t kind, int code)
{
    char text[12];
    (void)snprintf(text, sizeof text, "%d", code);
    return metrics_get(en->metrics, M_WEBHOOKS, kind_name(kind), text, NULL);
}

static struct metric *counter(struct ingest *in, size_t kind, int code)
{
    for (size_t i = 0; i < CODES; i++)
        if (codes[i] == code)
            return in->answered[kind][i];
    return series(in->en, kind, code);
}

/* Webhooks or not: their counters are at 0 from the start. */
void ingest_name_series(struct engine *en)
{
    for (size_t kind = 0; kind <= WEBHOOK_KINDS; kind++)
        for (size_t i = 0; i < CODES; i++)
            (void)series(en, kind, codes[i]);
}

static void name_series(struct ingest *in)
{
    struct metrics *ms = in->en->metrics;
    for (size_t kind = 0; kind <= WEBHOOK_KINDS; kind++)
        for (size_t i = 0; i < CODES; i++)
            in->answered[kind][i] = series(in->en, kind, codes[i]);
    for (size_t kind = 0; kind < WEBHOOK_KINDS; kind++)
        in->seconds[kind] =
            metrics_get(ms, M_WEBHOOK_SECONDS, webhook_kind_names[kind], NULL);
    in->last = metrics_get(ms, M_WEBHOOK_LAST, NULL);
    in->buried = metrics_get(ms, M_DEAD_LETTERS, unparsable, NULL);
}
