/* The turn: the whole connector on one screen. engine.c only calls; it owns no state but
 * the lists. */
#include "engine/internal.h"
#include "engine/known.h"

#include <stdio.h>
#include <string.h>

#define SLOW_TURN_MS 100
#define ENCODED_MAX (64 * 1024 * 1024)

static void kafka_drain(struct engine *en);
static void kafka_handle(struct engine *en, struct kafka_event *ev);
static void state_changed(struct engine *en, const struct kafka_event *ev);

void engine_turn(struct engine *en)
{
    en->now = clock_now(en->clock);
    en->turn_boot = clock_boot(en->clock);
    kafka_drain(en);
    en->http.reap(en->http.self);
    timers_run(&en->timers, en->now);
    registered_turn(en);
    intake_open(en);
    parts_turn(en);
    jobs_turn(en);
    ingest_turn(en);
    fetch_turn(en);
    dispatch_turn(en);
    tick_turn(en);
    if (clock_now(en->clock) - en->now > SLOW_TURN_MS)
        metric_add(metrics_get(en->metrics, M_SLOW_TURNS, NULL), 1);
}

int64_t engine_next_ms(const struct engine *en)
{
    int64_t next = timers_next(&en->timers);
    int64_t others[] = {tick_next_ms(en), dispatch_next_ms(en), parts_next_ms(en),
                        ingest_next_ms(en)};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (others[i] < next)
            next = others[i];
    return next;
}

/* Their counters are at 0 from the start. */
static void name_items_topics(struct engine *en)
{
    char name[LIST_TOPIC_MAX];

    for (size_t i = 0; i < catalogue_table_n; i++) {
        if (catalogue_table[i].items == NULL)
            continue;
        list_topic_name(en, &catalogue_table[i], name);
        (void)metrics_get(en->metrics, M_ITEMS_MISTYPED, name, NULL);
    }
}

struct engine *engine_new(const struct engine_options *o, struct schemas *ss,
                          const struct kafka_port *kafka, const struct http_port *http,
                          const struct clock *clock, struct err *e)
{
    struct engine *en = mem_zalloc(sizeof *en);
    en->o = *o;
    en->ss = ss;
    en->kafka = *kafka;
    en->http = *http;
    en->schemas_known = schemas_registry(ss) == NULL;
    en->clock = clock;
    en->random = o->seed | 1;
    en->now = clock_now(clock);
    en->turn_boot = clock_boot(clock);
    en->lanes = lanes_new();
    en->metrics = metrics_new(metrics_table, METRICS);
    metric_set(metrics_get(en->metrics, M_API_AUTHORIZED, NULL), 1);
    for (size_t i = 0; i < o->n_commands_topics; i++) /* at 0 from the start */
        (void)metrics_get(en->metrics, M_RECEIVED, o->commands_topics[i], NULL);
    name_items_topics(en);
    ingest_name_series(en);
    timers_init(&en->timers);
    arena_init(&en->tick_arena, 16 * 1024);
    buf_init(&en->encoded, ENCODED_MAX);
    TAILQ_INIT(&en->parts);
    TAILQ_INIT(&en->opening);
    for (size_t i = 0; i < SLOT_STATES; i++)
        TAILQ_INIT(&en->lists[i]);
    for (size_t i = 0; i < JOB_STATES; i++)
        TAILQ_INIT(&en->jobs[i]);
    if (o->jobs_topic != NULL)
        en->jobs_topic = kafka->intern(kafka->self, o->jobs_topic);
    sync_init(en);
    en->known = known_new((size_t)o->events_dedupe_entries);
    heal_init(en);
    dispatch_init(en);
    dispatch_set_token(en, o->token);
    if (fetch_init(en, e) != 0) {
        engine_free(en);
        return NULL;
    }
    if (o->reply_allowed != NULL) {
        if (regcomp(&en->reply_regex, o->reply_allowed, REG_EXTENDED) != 0) {
            err_set(e, ERR_SETTINGS, "reply.topics.allowed is not a regular expression");
            engine_free(en);
            return NULL;
        }
        en->has_reply_regex = true;
    }
    return en;
}

void engine_free(struct engine *en)
{
    if (en == NULL)
        return;
    en->tick_running = false;
    ingest_free(en);
    heal_free(en);
    known_free(en->known);
    parts_drop_all(en, "revoked");
    orphans_drop_all(en);
    struct slot *slot;
    while ((slot = TAILQ_FIRST(&en->lists[SLOT_FREE])) != NULL) {
        TAILQ_REMOVE(&en->lists[SLOT_FREE], slot, link);
        arena_fini(&slot->arena);
        mem_free(slot);
    }
    dispatch_fini(en);
    fetch_fini(en);
    topics_free(en);
    if (en->has_reply_regex)
        regfree(&en->reply_regex);
    lanes_free(en->lanes);
    metrics_free(en->metrics);
    timers_fini(&en->timers);
    arena_fini(&en->tick_arena);
    buf_fini(&en->encoded);
    mem_free(en->tick.outputs);
    mem_free(en->tick.offsets);
    mem_free(en->tick_owner);
    mem_free(en);
}

void engine_stop(struct engine *en)
{
    en->stops++;
    if (en->stops > 1) {
        ingest_close(en);
        en->closed = true;
        return;
    }
    en->closing = true;
    orphans_drop_all(en); /* nothing comes back to a process that ends */
    /* The last turn may be a while ago. */
    en->drain_until = clock_now(en->clock) + en->o.drain_ms;
    en->revoke_until = en->drain_until + 60000;
    log_info("engine.stopping", "draining: %zu call(s) run, %zu command(s) open",
             en->in_flight, en->n_slots);
}

int engine_ended(const struct engine *en, struct err *e)
{
    if (en->failed) {
        *e = en->failure;
        return -1;
    }
    return en->closed ? 1 : 0;
}

void engine_set_token(struct engine *en, const char *token)
{
    dispatch_set_token(en, token);
}

/* xorshift64*: jitter needs no more. */
uint32_t engine_random(struct engine *en)
{
    en->random ^= en->random >> 12;
    en->random ^= en->random << 25;
    en->random ^= en->random >> 27;
    return (uint32_t)(en->random * 2685821657736338717u >> 32);
}

static void kafka_drain(struct engine *en)
{
    struct kafka_event ev;
    while (en->kafka.next(en->kafka.self, &ev))
        kafka_handle(en, &ev);
}

static void kafka_handle(struct engine *en, struct kafka_event *ev)
{
    switch (ev->type) {
    case KAFKA_RECORD:
        intake_record(en, &ev->record);
        return;
    case KAFKA_ASSIGN:
        parts_assign(en, ev);
        return;
    case KAFKA_REVOKE:
    case KAFKA_LOST:
        parts_revoke(en, ev);
        return;
    case KAFKA_EOF:
        intake_end(en, ev);
        return;
    case KAFKA_OUT_OF_RANGE:
        parts_out_of_range(en, ev);
        return;
    case KAFKA_COMMITTED:
        parts_committed(en, ev);
        return;
    case KAFKA_WATERMARKS:
        if (!heal_watermarks(en, ev))
            parts_watermarks(en, ev);
        return;
    case KAFKA_TOPIC:
        topics_answered(en, ev);
        return;
    case KAFKA_READ:
        if (!heal_read(en, ev))
            repeats_read(en, ev);
        return;
    case KAFKA_TICK:
        tick_ended(en, ev->tick);
        return;
    case KAFKA_PRODUCED:
        ingest_produced(en, ev);
        return;
    case KAFKA_STATE:
        state_changed(en, ev);
        return;
    case KAFKA_FATAL:
        en->failed = true;
        err_set(&en->failure, ERR_FATAL, "%s", ev->error);
        return;
    case KAFKA_CLOSED:
        en->closed = true;
        return;
    }
}

static void state_changed(struct engine *en, const struct kafka_event *ev)
{
    if (en->kafka_up == ev->up)
        return;
    en->kafka_up = ev->up;
    if (ev->up)
        log_info("kafka.up", "Kafka reached");
    else
        log_warn("kafka.down", "waiting for Kafka: %s", ev->error);
}
