/* Ingest: a signed webhook becomes a record, is handed to Kafka, and its request is
 * answered when the report says that Kafka has it. Owns the records that Kafka has not
 * acknowledged (`pending`), the requests that wait for them (`waiter`), and the ids of
 * those that were stored.
 *
 * Invariants: 2xx is said of an event only after its report; what was taken stays here
 * until its report, whatever its requests were answered, since a rule webhook is never
 * repeated; of two requests with one id the second waits for the first's record. */
#include "engine/ingest.h"

#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "codec/json.h"
#include "engine/headers.h"
#include "engine/internal.h"
#include "engine/known.h"
#include "front/event.h"

#define PENDING_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define PENDING_KEPT 64         /* free ones that keep their memory ... */
#define PENDING_KEPT_BYTES 8192 /* ... when it is no more than this */
#define AGAIN_MS 500            /* after which a record is handed to Kafka again */
#define REFUSALS_MAX 3  /* a batch is refused as a whole: next time it is another */
#define PATIENCE_MS 100 /* nobody hangs up sooner */
#define BUSY_RETRY_S 1
#define DOWN_RETRY_S 5
#define SAY_EVERY_MS 60000
#define ENCODED_MAX ((size_t)80 * 1024 * 1024)
#define ENCODED_KEPT ((size_t)64 * 1024)
#define GONE 499 /* nobody was there to be answered; nginx counts so too */
#define UNKNOWN_KIND WEBHOOK_KINDS /* of what was no path of ours */

enum pending_state {
    PENDING_SENT, /* Kafka has it in hand: a report will come */
    PENDING_AGAIN /* is to be handed over, at again_ms */
};
#define PENDING_STATES 2

/* What its request is to be answered, once it is stored. Body: the waiter's own. */
struct waiter {
    TAILQ_ENTRY(waiter) link;  /* of all, the oldest first */
    TAILQ_ENTRY(waiter) of_it; /* of its record */
    struct pending *pending;
    void *request;
    enum webhook_kind kind;
    int64_t began_ms;
    int status;
    const char *content_type;
    char *body;
    size_t body_len;
};
TAILQ_HEAD(waiter_list, waiter);

struct pending {
    TAILQ_ENTRY(pending) link;
    UT_hash_handle hh; /* by id, unless it has none */
    enum pending_state state;
    struct str id;      /* ptr NULL: a dead letter */
    const char *dead;   /* its reason; NULL: an event */
    int64_t emitted_at; /* epoch ms; NO_NUMBER: not known */
    int64_t again_ms;
    int refusals;
    size_t bytes;
    struct kafka_output out;
    struct waiter_list waiters;
    struct arena arena; /* id and record */
};
TAILQ_HEAD(pending_list, pending);

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
    struct pending_list pending[PENDING_STATES];
    size_t n_pending, bytes;
    struct pending *by_id;
    struct pending_list unused;
    size_t n_unused;
    struct waiter_list waiters;
    size_t n_waiters;
    struct known *known;
    struct arena scratch; /* of one request */
    struct buf encoded;
    bool high;     /* more waits than half of what may */
    bool troubled; /* a request had to be answered 429 */
    bool closed;
    int64_t last_received; /* epoch ms; 0: never */
    uint64_t stored, later;
    struct complaint refused[WEBHOOK_REFUSALS], late, lost;
    struct metric *answered[WEBHOOK_KINDS + 1][CODES];
    struct metric *seconds[WEBHOOK_KINDS], *last, *produced, *buried, *delay;
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
static struct pending *pending_new(struct ingest *in);
static void pending_add(struct ingest *in, struct pending *pd);
static void pending_free(struct ingest *in, struct pending *pd);
static void pending_drop(struct ingest *in, struct pending *pd);
static void reset_encoded(struct ingest *in);
static int fill_event(struct ingest *in, struct pending *pd, const struct event *ev);
static void too_large(struct ingest *in, const struct visit *v);
static void connect_headers(struct ingest *in, struct pending *pd, const char *message,
                            enum webhook_kind kind);
static void bury(struct ingest *in, struct pending *pd, const char *message);
static bool fits(const struct kafka_output *out, int64_t max_bytes);
static void hand_over(struct ingest *in, struct pending *pd);
static void again(struct ingest *in, struct pending *pd);
static void stored(struct ingest *in, struct pending *pd);
static void refused(struct ingest *in, struct pending *pd, const char *why);
static void give_up(struct ingest *in, struct pending *pd, const char *why);
static void wait_for(struct ingest *in, struct pending *pd, const struct visit *v);
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
    for (size_t i = 0; i < PENDING_STATES; i++)
        TAILQ_INIT(&in->pending[i]);
    TAILQ_INIT(&in->unused);
    TAILQ_INIT(&in->waiters);
    in->known = known_new((size_t)o->dedupe_entries);
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
    struct ingest *in = en->ingest;
    struct pending *pd = ev->owner;
    if (ev->error[0] == 0)
        stored(in, pd);
    else if (ev->refused)
        refused(in, pd, ev->error);
    else
        again(in, pd);
}

void ingest_turn(struct engine *en)
{
    struct ingest *in = en->ingest;
    struct pending *pd;
    struct waiter *wt;
    if (in == NULL)
        return;
    while ((wt = TAILQ_FIRST(&in->waiters)) != NULL &&
           wt->began_ms + in->o.timeout_ms <= en->now)
        end_waiter(in, wt, 429);
    while ((pd = TAILQ_FIRST(&in->pending[PENDING_AGAIN])) != NULL &&
           pd->again_ms <= en->now)
        hand_over(in, pd);
}

int64_t ingest_next_ms(const struct engine *en)
{
    const struct ingest *in = en->ingest;
    int64_t next = INT64_MAX;
    if (in == NULL)
        return next;
    if (!TAILQ_EMPTY(&in->waiters))
        next = TAILQ_FIRST(&in->waiters)->began_ms + in->o.timeout_ms;
    const struct pending *pd = TAILQ_FIRST(&in->pending[PENDING_AGAIN]);
    return pd != NULL && pd->again_ms < next ? pd->again_ms : next;
}

bool ingest_in_hand(const struct engine *en)
{
    return en->ingest != NULL && en->ingest->n_pending > 0;
}

void ingest_close(struct engine *en)
{
    struct ingest *in = en->ingest;
    struct waiter *wt;
    if (in == NULL || in->closed)
        return;
    in->closed = true;
    if (in->n_pending > 0)
        log_error(
            "events.left",
            "%zu event(s) of webhooks are not on %s: Kafka did not take them in time",
            in->n_pending, in->o.events_topic);
    while ((wt = TAILQ_FIRST(&in->waiters)) != NULL)
        end_waiter(in, wt, 429);
}

void ingest_free(struct engine *en)
{
    struct ingest *in = en->ingest;
    struct pending *pd;
    if (in == NULL)
        return;
    ingest_close(en);
    for (size_t i = 0; i < PENDING_STATES; i++)
        while ((pd = TAILQ_FIRST(&in->pending[i])) != NULL)
            pending_free(in, pd);
    while ((pd = TAILQ_FIRST(&in->unused)) != NULL) {
        TAILQ_REMOVE(&in->unused, pd, link);
        arena_fini(&pd->arena);
        mem_free(pd);
    }
    known_free(in->known);
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
               in->n_pending, in->bytes, in->n_waiters, (unsigned long long)in->stored,
               (unsigned long long)in->later, known_count(in->known),
               (long long)in->last_received);
}

/* ---- what comes ---- */

static void take_event(struct ingest *in, const struct visit *v)
{
    const struct event *ev = &v->out->event;
    struct pending *pd;
    if (known_has(in->known, ev->id)) {
        answer_now(in, v);
        return;
    }
    HASH_FIND(hh, in->by_id, ev->id.ptr, ev->id.len, pd);
    if (pd == NULL) {
        if (!has_room(in, v))
            return;
        pd = pending_new(in);
        if (fill_event(in, pd, ev) != 0) {
            too_large(in, v);
            return;
        }
        if (!fits(&pd->out, in->o.event_max_bytes))
            bury(in, pd, "the event is larger than its topic takes");
        pending_add(in, pd);
    }
    wait_for(in, pd, v);
    if (pd->state == PENDING_AGAIN && pd->again_ms == 0)
        hand_over(in, pd);
}

static void take_dead_letter(struct ingest *in, const struct visit *v, struct str body)
{
    if (!has_room(in, v))
        return;
    struct pending *pd = pending_new(in);
    pd->dead = unparsable;
    pd->emitted_at = NO_NUMBER;
    pd->out = (struct kafka_output){
        .topic = in->en->o.dead_letters_topic,
        .partition = -1,
        .value = {arena_strndup(&pd->arena, body.ptr, body.len), body.len}};
    connect_headers(in, pd, v->out->message, v->kind);
    pending_add(in, pd);
    wait_for(in, pd, v);
    hand_over(in, pd);
}

/* False: it was answered 429, and is not here. */
static bool has_room(struct ingest *in, const struct visit *v)
{
    uint64_t unsaid;
    bool full =
        in->n_pending >= (size_t)in->o.max_pending || in->bytes >= PENDING_BYTES_MAX;
    if (!full && !in->en->closing)
        return true;
    if (full && may_say(&in->lost, v->began_ms, &unsaid))
        log_error("webhook.full",
                  "%zu events wait for Kafka, a webhook was answered 429 and is not kept "
                  "(%llu more since the last such line)",
                  in->n_pending, (unsigned long long)unsaid);
    later(in, v);
    return false;
}

/* ---- records that wait for Kafka ---- */

static struct pending *pending_new(struct ingest *in)
{
    struct pending *pd = TAILQ_FIRST(&in->unused);
    if (pd != NULL) {
        TAILQ_REMOVE(&in->unused, pd, link);
        in->n_unused--;
        struct arena kept = pd->arena;
        memset(pd, 0, sizeof *pd);
        pd->arena = kept;
    } else {
        pd = mem_zalloc(sizeof *pd);
        arena_init(&pd->arena, 0);
    }
    TAILQ_INIT(&pd->waiters);
    return pd;
}

/* It is complete; hand_over comes next. */
static void pending_add(struct ingest *in, struct pending *pd)
{
    pd->bytes = answer_record_size(&pd->out);
    in->bytes += pd->bytes;
    in->n_pending++;
    in->high =
        in->high || in->n_pending > (size_t)(in->o.max_pending - in->o.max_pending / 4);
    pd->state = PENDING_AGAIN;
    TAILQ_INSERT_HEAD(&in->pending[PENDING_AGAIN], pd, link);
    if (pd->id.ptr != NULL)
        HASH_ADD_KEYPTR(hh, in->by_id, pd->id.ptr, pd->id.len, pd);
}

static void pending_move(struct ingest *in, struct pending *pd, enum pending_state to)
{
    TAILQ_REMOVE(&in->pending[pd->state], pd, link);
    pd->state = to;
    TAILQ_INSERT_TAIL(&in->pending[to], pd, link);
}

/* All who wait for it were answered. */
static void pending_free(struct ingest *in, struct pending *pd)
{
    TAILQ_REMOVE(&in->pending[pd->state], pd, link);
    if (pd->id.ptr != NULL)
        HASH_DELETE(hh, in->by_id, pd);
    in->bytes -= pd->bytes;
    in->n_pending--;
    if (in->n_pending <= (size_t)in->o.max_pending / 2)
        in->high = false;
    pending_drop(in, pd);
}

/* To those that are unused, or away. */
static void pending_drop(struct ingest *in, struct pending *pd)
{
    if (in->n_unused >= PENDING_KEPT || pd->arena.used > PENDING_KEPT_BYTES) {
        arena_fini(&pd->arena);
        mem_free(pd);
        return;
    }
    arena_reset(&pd->arena);
    TAILQ_INSERT_HEAD(&in->unused, pd, link);
    in->n_unused++;
}

static struct str keep(struct arena *a, struct str s)
{
    return s.ptr == NULL ? s : (struct str){arena_strndup(a, s.ptr, s.len), s.len};
}

/* -1: its record would be larger than any topic takes; pd is unused again. */
static int fill_event(struct ingest *in, struct pending *pd, const struct event *from)
{
    struct engine *en = in->en;
    struct event ev = *from;
    struct pair pairs[EVENT_HEADERS_MAX];
    if (ev.company_id.ptr == NULL && en->company_id[0] != 0)
        ev.company_id = str_of(en->company_id);
    if (event_encode(en->ss, &ev, &in->encoded) != 0) {
        reset_encoded(in);
        pending_drop(in, pd);
        return -1;
    }
    size_t n = event_headers(&ev, &in->scratch, pairs);
    pd->id = keep(&pd->arena, ev.id);
    pd->emitted_at = ev.emitted_at;
    pd->out = (struct kafka_output){.topic = in->o.events_topic,
                                    .partition = -1,
                                    .key = keep(&pd->arena, event_key(&ev)),
                                    .value = keep(&pd->arena, buf_str(&in->encoded)),
                                    .n_headers = n};
    pd->out.headers =
        arena_alloc(&pd->arena, EVENT_HEADERS_MAX * sizeof *pd->out.headers);
    for (size_t i = 0; i < n; i++)
        pd->out.headers[i] = (struct kafka_header){keep(&pd->arena, pairs[i].name),
                                                   keep(&pd->arena, pairs[i].value)};
    reset_encoded(in);
    return 0;
}

static void reset_encoded(struct ingest *in)
{
    buf_reset(&in->encoded);
    if (in->encoded.cap <= ENCODED_KEPT)
        return;
    buf_fini(&in->encoded);
    buf_init(&in->encoded, ENCODED_MAX);
}

/* Kafka Connect's, but for the source record's: it came from no topic. */
static void connect_headers(struct ingest *in, struct pending *pd, const char *message,
                            enum webhook_kind kind)
{
    struct kafka_header own[EVENT_HEADERS_MAX + 1];
    struct kafka_record none = {.headers = own, .n_headers = pd->out.n_headers};
    struct dead_letter dl = {in->en->o.group_id, "VALUE_CONVERTER", pd->dead,
                             arena_printf(&pd->arena, "%s", message ? message : "")};
    if (none.n_headers > 0)
        memcpy(own, pd->out.headers, none.n_headers * sizeof own[0]);
    if (kind != UNKNOWN_KIND)
        own[none.n_headers++] =
            (struct kafka_header){STR_LIT("webhook"), str_of(webhook_kind_names[kind])};
    pd->out.headers = headers_for_dead_letter(&none, &dl, &pd->arena, &pd->out.n_headers);
}

/* No events topic will take it: it goes, as it is, where somebody finds it. */
static void bury(struct ingest *in, struct pending *pd, const char *message)
{
    pd->dead = "TooLarge";
    pd->out.topic = in->en->o.dead_letters_topic;
    connect_headers(in, pd, message, UNKNOWN_KIND);
}

static bool fits(const struct kafka_output *out, int64_t max_bytes)
{
    return max_bytes <= 0 || (int64_t)answer_record_size(out) <= max_bytes;
}

static void hand_over(struct ingest *in, struct pending *pd)
{
    struct engine *en = in->en;
    if (pd->dead != NULL && !fits(&pd->out, in->o.dead_letter_max_bytes)) {
        give_up(in, pd, "it is larger than even the dead letters' topic takes");
        return;
    }
    int rc = en->kafka.produce_event(en->kafka.self, &pd->out, pd);
    if (rc == 0)
        pending_move(in, pd, PENDING_SENT);
    else if (rc > 0)
        refused(in, pd, "it is larger than the producer takes");
    else
        again(in, pd);
}

static void again(struct ingest *in, struct pending *pd)
{
    pd->again_ms = clock_now(in->en->clock) + AGAIN_MS;
    pending_move(in, pd, PENDING_AGAIN);
}

static void stored(struct ingest *in, struct pending *pd)
{
    struct engine *en = in->en;
    struct waiter *wt;
    if (pd->dead != NULL)
        metric_add(in->buried, 1); /* whatever its reason: they are no commands */
    else
        metric_add(in->produced, 1);
    if (pd->id.ptr != NULL)
        known_add(in->known, pd->id);
    if (pd->emitted_at != NO_NUMBER) {
        int64_t delay_ms = clock_wall(en->clock) - pd->emitted_at;
        metric_observe(in->delay, delay_ms > 0 ? (double)delay_ms / 1000 : 0);
    }
    in->stored++;
    while ((wt = TAILQ_FIRST(&pd->waiters)) != NULL)
        end_waiter(in, wt, wt->status);
    pending_free(in, pd);
    if (in->troubled && in->n_pending == 0) {
        in->troubled = false;
        log_info("webhook.caught_up", "all webhooks that came are stored");
    }
}

static void refused(struct ingest *in, struct pending *pd, const char *why)
{
    pd->refusals++;
    if (pd->refusals < REFUSALS_MAX) {
        again(in, pd);
        return;
    }
    if (pd->dead != NULL) {
        give_up(in, pd, why);
        return;
    }
    log_error("event.refused", "%s refuses an event (%s): it becomes a dead letter",
              in->o.events_topic, why);
    pd->refusals = 0;
    bury(in, pd, why);
    again(in, pd);
}

/* Nothing takes it. The answer says so: it was Front's, and Front's list has it. */
static void give_up(struct ingest *in, struct pending *pd, const char *why)
{
    struct waiter *wt;
    log_error("event.lost", "a webhook's record of %zu bytes cannot be kept: %s",
              pd->bytes, why);
    while ((wt = TAILQ_FIRST(&pd->waiters)) != NULL)
        end_waiter(in, wt, 413);
    pending_free(in, pd);
}

static void too_large(struct ingest *in, const struct visit *v)
{
    struct webhook_answer wa = {.status = 413};
    log_error("event.lost", "a webhook's event is larger than a record can be");
    answer(in, v, &wa);
}

/* ---- answers ---- */

static void wait_for(struct ingest *in, struct pending *pd, const struct visit *v)
{
    struct waiter *wt;
    if (!in->en->kafka_up || in->high || in->closed) {
        later(in, v); /* the record stays */
        return;
    }
    wt = mem_zalloc(sizeof *wt);
    wt->pending = pd;
    wt->request = v->request;
    wt->kind = v->kind;
    wt->began_ms = v->began_ms;
    wt->status = v->out->status;
    wt->content_type = v->out->content_type;
    wt->body_len = v->out->body.len;
    if (wt->body_len > 0)
        wt->body = mem_strndup(v->out->body.ptr, wt->body_len);
    TAILQ_INSERT_TAIL(&in->waiters, wt, link);
    TAILQ_INSERT_TAIL(&pd->waiters, wt, of_it);
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
                 en->closing     ? "draining"
                 : !en->kafka_up ? "Kafka is not reached"
                 : in->high      ? "too many wait for Kafka"
                                 : "Kafka did not take it in time",
                 in->n_pending, (unsigned long long)unsaid);
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
    TAILQ_REMOVE(&wt->pending->waiters, wt, of_it);
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
    in->produced = metrics_get(ms, M_EVENTS, EVENT_WEBHOOK, NULL);
    in->buried = metrics_get(ms, M_DEAD_LETTERS, unparsable, NULL);
    in->delay = metrics_get(ms, M_EVENT_DELAY, EVENT_WEBHOOK, NULL);
}
