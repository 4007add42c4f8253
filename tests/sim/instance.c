/* Processes: an engine with its ports and clocks, its turns, and how it ends: killed
 * (nothing is cleaned up that others could see), stopped in order, standing still. */
#include "world.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

enum { TURN_MAX_MS = 1000, SPIN_MAX = 300, STOP_MAX_MS = 200000 };

static void turn(struct world *w, struct event *ev);
static void start_event(struct world *w, struct event *ev);
static void terminate(struct world *w, struct event *ev);

static int64_t clock_mono(void *arg)
{
    const struct instance *in = arg;
    return in->clock_base + in->w->now - in->mono_lag;
}

/* Counts a suspended machine's sleep, which the other does not. */
static int64_t clock_since_boot(void *arg)
{
    const struct instance *in = arg;
    return in->clock_base + in->w->now;
}

static int64_t clock_utc(void *arg)
{
    return instance_wall(arg);
}

int64_t instance_wall(const struct instance *in)
{
    return EPOCH_MS + in->w->now + in->wall_offset;
}

static void choose_options(struct instance *in)
{
    static const char *const topics[] = {COMMANDS_TOPIC};
    static const int64_t windows[] = {4, 16, 64, 512};
    static const int64_t timeouts[] = {3000, 10000, 30000};
    struct world *w = in->w;
    int32_t *partitions = arena_alloc(&w->arena, sizeof *partitions);
    *partitions = w->n_parts;
    in->options =
        (struct engine_options){.group_id = "g",
                                .instance_id = arena_printf(&w->arena, "i%d", in->slot),
                                .commands_topics = topics,
                                .n_commands_topics = 1,
                                .commands_partitions = partitions,
                                .commands_json = true,
                                .max_pending = windows[w->seed % 4],
                                .max_pending_bytes = 1 << 20,
                                .results_topic = RESULTS_TOPIC,
                                .dead_letters_topic = DEAD_TOPIC,
                                .jobs_topic = JOBS_TOPIC,
                                .jobs_partitions = w->n_jobs_parts,
                                .jobs_max_running = 1 + (int64_t)(w->seed % 5),
                                .reply_allowed = "reply-.*",
                                .results_max_bytes = 900000,
                                .results_response = true,
                                .results_record_max_bytes = 1 << 20,
                                .results_partitions = w->n_parts,
                                .resources_prefix = RESOURCES_PREFIX,
                                .exactly_once = true,
                                .token = "t",
                                .max_in_flight = 1 + (int64_t)(w->seed / 4 % 8),
                                .timeout_ms = timeouts[w->seed / 32 % 3],
                                .max_response_bytes = 1 << 20,
                                .retry_max_attempts = 3 + (int64_t)(w->seed / 7 % 6),
                                .retry_max_ms = 60000,
                                .retry_backoff_ms = 100,
                                .retry_backoff_max_ms = 5000,
                                .session_timeout_ms = w->session_ms,
                                .drain_ms = w->seed % 3 == 0 ? 2000 : 10000,
                                .in_doubt = w->policy,
                                .dedupe_entries = w->dedupe_entries,
                                .seed = rnd(w, UINT32_MAX)};
}

/* As `front-connector run` before it joins: offsets that were lost are not replaced by
 * the log's beginning when results of that partition exist. */
static bool preflight(const struct world *w)
{
    for (int p = 0; p < w->n_parts; p++) {
        if (w->broker.committed[p].set)
            continue;
        const struct log *log = &w->broker.results[p];
        for (size_t i = 0; i < log->n; i++)
            if (log->entries[i].state == ENTRY_COMMITTED && log->entries[i].cmd >= 0)
                return false;
    }
    return true;
}

void instance_start(struct world *w, int slot)
{
    struct instance *in = &w->instances[slot];
    struct err e = ERR_INIT;
    if (in->alive || w->over)
        return;
    if (!preflight(w)) {
        trace(w, slot, -1, -1, "preflight.no", 0, 0, NULL);
        world_at(w, w->now + 5000, start_event, in);
        return;
    }
    in->w = w;
    in->slot = slot;
    in->life++;
    in->alive = true;
    in->stopping = in->turn_set = false;
    in->terms = 0;
    in->durable = 0;
    in->settled = in->wall_set = false;
    in->was_deaf = in->deaf_until > w->now;
    in->frozen_until = in->stalled_until = in->mono_lag = 0;
    in->clock_base = between(w, 1000, 100000000);
    in->idle_turns = 0;
    in->n_calls = 0;
    in->clock = (struct clock){clock_mono, clock_since_boot, clock_utc, in};
    choose_options(in);
    syncs_start(w, in);
    client_start(in);
    struct kafka_port kafka = client_port(in);
    struct http_port http = front_port(in);
    in->en = engine_new(&in->options, w->ss, &kafka, &http, &in->clock, &e);
    trace(w, slot, -1, -1, "start", in->life, 0, NULL);
    instance_wake(in);
}

static void start_event(struct world *w, struct event *ev)
{
    struct instance *in = ev->p;
    instance_start(w, (int)(in - w->instances));
}

static void release_all(struct instance *in)
{
    in->alive = false;
    front_drop(in);
    engine_free(in->en);
    in->en = NULL;
    /* Events not read yet lend nothing: what is lent now was lost by the engine. */
    if (in->k.lent_records != 0 && !in->w->failed)
        broken(in->w, "every record is given back", in->slot, -1, -1,
               "%d record(s) were not", in->k.lent_records);
    client_fini(in);
}

void instance_kill(struct instance *in)
{
    if (!in->alive)
        return;
    trace(in->w, in->slot, -1, -1, "kill", in->life, 0, NULL);
    release_all(in);
}

/* A process that stands still hears of it when it goes on. */
void instance_stop(struct instance *in)
{
    if (in->alive)
        world_in(in->w, in, in->w->now, terminate, in);
}

static void terminate(struct world *w, struct event *ev)
{
    struct instance *in = ev->p;
    (void)w;
    trace(in->w, in->slot, -1, -1, "sigterm", 0, 0, NULL);
    if (!in->stopping)
        in->stop_deadline = in->w->now + STOP_MAX_MS;
    in->stopped_at = in->w->now;
    in->terms++;
    in->stopping = true;
    engine_stop(in->en);
    instance_wake(in);
}

void instance_freeze(struct instance *in, int64_t ms, bool suspend)
{
    if (!in->alive || in->frozen_until > in->w->now)
        return;
    trace(in->w, in->slot, -1, -1, suspend ? "suspend" : "freeze", ms, 0, NULL);
    in->frozen_until = in->w->now + ms;
    if (suspend)
        in->mono_lag += ms;
    if (in->stopping)
        in->stop_deadline += ms;
    in->w->freezes++;
}

void instance_stall(struct instance *in, int64_t ms)
{
    if (!in->alive)
        return;
    trace(in->w, in->slot, -1, -1, "stall", ms, 0, NULL);
    in->stalled_until = in->w->now + ms;
}

static void set_turn(struct instance *in, int64_t at)
{
    if (at < in->stalled_until)
        at = in->stalled_until;
    if (in->turn_set && in->turn_at <= at)
        return;
    in->turn_set = true;
    in->turn_at = at;
    world_in(in->w, in, at, turn, in);
}

void instance_wake(struct instance *in)
{
    if (in->alive && in->en != NULL)
        set_turn(in, in->w->now);
}

static int64_t number_of(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    int64_t n = -1;
    struct err e = ERR_INIT;
    if (at == NULL)
        return -1;
    struct str rest = {at + strlen(name), strspn(at + strlen(name), "0123456789")};
    (void)parse_i64(rest, 0, INT64_MAX, &n, &e);
    return n;
}

/* received = finished + dead letters + given back + open */
void instance_check_identity(struct instance *in)
{
    struct engine_health h = {0};
    struct buf out;
    buf_init(&out, 1 << 20);
    engine_status_json(in->en, &h, &out);
    const char *id = strstr(out.data, "\"identity\":");
    int64_t received = number_of(id, "\"received\":"),
            finished = number_of(id, "\"finished\":"),
            dead = number_of(id, "\"dead_letters\":"),
            returned = number_of(id, "\"returned\":"), open = number_of(id, "\"open\":");
    if (received < 0 || received != finished + dead + returned + open)
        broken(in->w, "the counters' identity", in->slot, -1, -1,
               "received %lld, finished %lld, dead %lld, returned %lld, open %lld",
               (long long)received, (long long)finished, (long long)dead,
               (long long)returned, (long long)open);
    if (!in->settled && finished + dead > in->durable)
        broken(in->w, "what is counted as finished is durable", in->slot, -1, -1,
               "%lld counted, %lld durable", (long long)(finished + dead),
               (long long)in->durable);
    buf_fini(&out);
}

/* A loop that wakes again and again for nothing burns a core while Kafka is away. */
static void check_spin(struct instance *in, bool due)
{
    struct world *w = in->w;
    if (in->useful || !due) {
        in->idle_turns = 0;
        return;
    }
    if (++in->idle_turns == SPIN_MAX)
        broken(w, "the loop sleeps when there is nothing to do", in->slot, -1, -1,
               "%d turns in a row did nothing and wanted the next at once", SPIN_MAX);
}

static void ended(struct instance *in, int how, const char *why)
{
    struct world *w = in->w;
    trace(w, in->slot, -1, -1, "ended", how, 0, NULL);
    if (how < 0)
        broken(w, "no process ends by itself", in->slot, -1, -1, "%s", why);
    instance_check_identity(in);
    release_all(in);
    w->stops++;
}

static void turn(struct world *w, struct event *ev)
{
    struct instance *in = ev->p;
    struct err e = ERR_INIT;
    if (!in->turn_set || in->turn_at != ev->at) {
        if (!in->turn_set || in->turn_at > w->now)
            return; /* an earlier one was set meanwhile */
    }
    if (in->stalled_until > w->now) {
        in->turn_set = false;
        set_turn(in, in->stalled_until);
        return;
    }
    in->turn_set = false;
    in->useful = false;
    bool had = in->k.answers.head < in->k.answers.n || in->k.news.head < in->k.news.n;
    front_turn(in);
    in->turned_at = w->now;
    engine_turn(in->en);
    front_turn(in);
    if (w->print)
        log_flush();
    w->turns++;
    in->useful = in->useful || had;
    int how = engine_ended(in->en, &e);
    if (how != 0) {
        ended(in, how, e.text);
        return;
    }
    if (rnd(w, 64) == 0)
        instance_check_identity(in);
    if (in->stopping && w->now > in->stop_deadline)
        broken(w, "a stop comes to its end", in->slot, -1, -1, "not within %d ms",
               STOP_MAX_MS);
    int64_t next = engine_next_ms(in->en), now = clock_mono(in);
    bool due = next <= now;
    check_spin(in, due);
    if (next > now + TURN_MAX_MS)
        next = now + TURN_MAX_MS;
    set_turn(in, w->now + (due ? 1 : next - now));
}
