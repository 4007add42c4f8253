/* See play.h. */
#include "play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char commands_topic[] = "commands";
const char jobs_topic[] = "jobs";

static bool end_call(struct play *p, enum http_end end, int status, const char *body);

static int64_t clock_of(void *arg)
{
    return ((struct play *)arg)->now;
}

static int64_t wall_of(void *arg)
{
    const struct play *p = arg;
    return p->now + p->wall_jump;
}

static bool next_event(void *self, struct kafka_event *ev)
{
    struct play *p = self;
    if (p->next_event == p->n_events) {
        p->next_event = p->n_events = 0;
        return false;
    }
    *ev = p->events[p->next_event++];
    return true;
}

static void release(void *self, struct kafka_record *rec)
{
    (void)rec;
    ((struct play *)self)->released++;
}

void push(struct play *p, struct kafka_event ev)
{
    assert_true(p->n_events < EVENTS_MAX);
    p->events[p->n_events++] = ev;
}

static void assign(void *self, const struct kafka_offset *parts, size_t n,
                   int64_t assignment)
{
    struct play *p = self;
    p->assigned++;
    p->assigned_late += p->closed;
    (void)parts;
    (void)n;
    (void)assignment;
}

static void unassign(void *self, int64_t assignment)
{
    (void)assignment;
    ((struct play *)self)->unassigned++;
}

static void on_partition(void *self, struct kafka_partition at)
{
    (void)self;
    (void)at;
}

void on_committed(void *self, struct kafka_partition at)
{
    struct play *p = self;
    if (p->silent)
        return;
    if (at.topic == jobs_topic) {
        push(p, (struct kafka_event){.type = KAFKA_COMMITTED,
                                     .at = at,
                                     .offset = KAFKA_NO_OFFSET,
                                     .metadata = p->jobs_string});
        return;
    }
    push(p, (struct kafka_event){.type = KAFKA_COMMITTED,
                                 .at = at,
                                 .offset = p->committed,
                                 .metadata = p->metadata});
}

static void on_watermarks(void *self, struct kafka_partition at)
{
    struct play *p = self;
    bool results = at.topic != commands_topic;
    if (at.topic == jobs_topic) {
        push(p, (struct kafka_event){
                    .type = KAFKA_WATERMARKS, .at = at, .low = 0, .high = p->jobs_high});
        return;
    }
    if (strcmp(at.topic, "front.events") == 0) {
        bool fails = p->events_fail > 0;
        p->events_fail -= fails;
        push(p, (struct kafka_event){.type = KAFKA_WATERMARKS,
                                     .at = at,
                                     .high = (int64_t)p->n_events_log,
                                     .error = {fails ? 't' : 0}});
        return;
    }
    if (!results && p->ends_fail > 0) {
        p->ends_fail--;
        push(p, (struct kafka_event){
                    .type = KAFKA_WATERMARKS, .at = at, .error = "timed out"});
        return;
    }
    push(p, (struct kafka_event){.type = KAFKA_WATERMARKS,
                                 .at = at,
                                 .low = results ? 0 : p->log_low,
                                 .high = results ? (int64_t)p->n_earlier : p->log_high});
}

/* The results topic as it was before this engine. */
static void on_read(void *self, struct kafka_partition at, int64_t from, int64_t to)
{
    struct play *p = self;
    bool events = strcmp(at.topic, "front.events") == 0;
    push(p, (struct kafka_event){.type = KAFKA_READ,
                                 .at = at,
                                 .records = (events ? p->events_log : p->earlier) + from,
                                 .n_records = (size_t)(to - from),
                                 .low = from,
                                 .offset = to});
}

/* Rows' topics are there at once; of others the test says what is known. */
static void on_topic(void *self, const char *topic, bool make)
{
    struct play *p = self;
    p->topic_asked = topic;
    p->topic_make = make;
    p->topics_asked++;
    if (p->jobs.topic != NULL)
        push(p, (struct kafka_event){.type = KAFKA_TOPIC,
                                     .at = {topic, -1},
                                     .count = strncmp(topic, "front.", 6) == 0,
                                     .max_bytes = -1});
}

static int submit(void *self, struct kafka_tick *tick)
{
    struct play *p = self;
    assert_null(p->tick);
    p->tick = tick;
    p->ticks++;
    return 0;
}

static int produce_event(void *self, const struct kafka_output *out, void *owner)
{
    struct play *p = self;
    if (p->produce_rc != 0)
        return p->produce_rc;
    assert_true(p->n_produced < EVENTS_MAX);
    p->produced[p->n_produced] = *out; /* lent until the report */
    p->owners[p->n_produced++] = owner;
    return 0;
}

static void close_kafka(void *self)
{
    struct play *p = self;
    p->closed = true;
    push(p, (struct kafka_event){.type = KAFKA_CLOSED});
}

static const char *intern(void *self, const char *topic)
{
    static const char *const own[] = {commands_topic, jobs_topic};
    struct play *p = self;
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (strcmp(topic, own[i]) == 0)
            return own[i];
    for (size_t i = 0; i < p->n_names; i++)
        if (strcmp(topic, p->names[i]) == 0)
            return p->names[i];
    assert_true(p->n_names < sizeof p->names / sizeof p->names[0]);
    p->names[p->n_names] = mem_strdup(topic);
    return p->names[p->n_names++];
}

static int64_t high(void *self, struct kafka_partition at)
{
    (void)self;
    (void)at;
    return -1;
}

static int http_start(void *self, struct http_call *call)
{
    struct play *p = self;
    p->calls[p->n_calls++] = call;
    call->gate_opened = false;
    return 0;
}

static void http_cancel(void *self, struct http_call *call)
{
    (void)self;
    (void)call;
}

static void http_reap(void *self)
{
    (void)self;
}

bool answer(struct play *p, int status, const char *body)
{
    return end_call(p, HTTP_ANSWERED, status, body);
}

void lose(struct play *p, enum http_end end, int status)
{
    assert_true(end_call(p, end, status, ""));
}

void open_gate(struct http_call *call)
{
    if (!call->gate_opened)
        call->gate_opened = call->gate == NULL || call->gate(call);
}

static bool end_call(struct play *p, enum http_end end, int status, const char *body)
{
    struct http_call *call = p->calls[0];
    assert_true(p->n_calls > 0);
    memmove(p->calls, p->calls + 1, --p->n_calls * sizeof(struct http_call *));
    open_gate(call);
    bool opened = call->gate_opened;
    call->end = opened ? end : HTTP_NOT_SENT;
    call->head = (struct http_head){.status = opened ? status : 0,
                                    .limit = 1000000,
                                    .remaining = 999999,
                                    .reset = -1,
                                    .retry_after = -1,
                                    .date_ms = opened ? p->front_date : 0};
    buf_fini(&call->body_in);
    buf_init(&call->body_in, (size_t)p->options.max_response_bytes);
    if (opened)
        (void)buf_add_cstr(&call->body_in, body);
    call->done(call);
    return opened;
}

void turn(struct play *p)
{
    p->now += 30; /* past the least time between two ticks */
    engine_turn(p->en);
}

void end_tick(struct play *p, enum tick_end end)
{
    assert_non_null(p->tick);
    p->tick->end = end;
    push(p, (struct kafka_event){.type = KAFKA_TICK, .tick = p->tick});
    p->tick = NULL;
    turn(p);
}

void command(struct play *p, int64_t offset, const char *key, const char *text)
{
    struct kafka_event ev = {.type = KAFKA_RECORD};
    ev.record = (struct kafka_record){.at = p->part,
                                      .offset = offset,
                                      .timestamp_ms = p->now,
                                      .key = str_of(key),
                                      .value = str_of(text)};
    push(p, ev);
    turn(p);
}

const char patch[] =
    "{\"operation\":\"update-conversation\",\"params\":{\"conversation_id\":\"cnv_1\"},"
    "\"body\":{\"status\":\"open\"}}";
const char post[] =
    "{\"operation\":\"add-comment\",\"params\":{\"conversation_id\":\"cnv_1\"},"
    "\"body\":{\"body\":\"hi\"}}";
const char bad[] = "{\"operation\":\"no-such-thing\"}";

/* One partition, assigned, GET /me answered: ready for commands. */
struct play *play_new(void)
{
    static const char *const topics[] = {commands_topic};
    static const int32_t partitions[] = {1};
    struct play *p = mem_zalloc(sizeof *p);
    struct err e = ERR_INIT;
    p->ss = schemas_new(NULL, &e);
    p->now = 1000000;
    p->log_high = 1000000;
    p->clock = (struct clock){clock_of, clock_of, wall_of, p};
    p->part = (struct kafka_partition){commands_topic, 0};
    p->options = (struct engine_options){.group_id = "g",
                                         .instance_id = "i",
                                         .commands_topics = topics,
                                         .n_commands_topics = 1,
                                         .commands_partitions = partitions,
                                         .commands_json = true,
                                         .max_pending = 2048,
                                         .max_pending_bytes = 1 << 20,
                                         .results_topic = "results",
                                         .dead_letters_topic = "dead-letters",
                                         .results_max_bytes = 900000,
                                         .results_response = true,
                                         .results_partitions = 1,
                                         .resources_prefix = "front.",
                                         .exactly_once = true,
                                         .dedupe_entries = 100,
                                         .events_topic = "front.events",
                                         .events_dedupe_entries = 1000,
                                         .token = "t",
                                         .max_in_flight = 8,
                                         .timeout_ms = 30000,
                                         .max_response_bytes = 2 << 20,
                                         .attachments_max_bytes = 1000000,
                                         .retry_max_attempts = 8,
                                         .retry_max_ms = 900000,
                                         .retry_backoff_ms = 1,
                                         .retry_backoff_max_ms = 1,
                                         .session_timeout_ms = SESSION_MS,
                                         .drain_ms = 10000,
                                         .seed = 1};
    return p;
}

struct play *play_with_jobs(void)
{
    struct play *p = play_new();
    p->jobs = (struct kafka_partition){jobs_topic, 0};
    p->options.jobs_topic = jobs_topic;
    p->options.jobs_partitions = 1;
    p->options.jobs_max_running = 2;
    p->options.resources_prefix = "front.";
    return p;
}

void job_came(struct play *p, int64_t offset, const char *key, struct str value)
{
    struct kafka_event ev = {.type = KAFKA_RECORD};
    ev.record = (struct kafka_record){
        .at = p->jobs, .offset = offset, .key = str_of(key), .value = value};
    push(p, ev);
    turn(p);
}

void play_start(struct play *p)
{
    struct err e = ERR_INIT;
    struct kafka_port kafka = {.next = next_event,
                               .release = release,
                               .assign = assign,
                               .unassign = unassign,
                               .pause = on_partition,
                               .resume = on_partition,
                               .committed = on_committed,
                               .watermarks = on_watermarks,
                               .topic = on_topic,
                               .read = on_read,
                               .submit = submit,
                               .produce_event = produce_event,
                               .close = close_kafka,
                               .intern = intern,
                               .high = high,
                               .self = p};
    struct http_port http = {http_start, http_cancel, http_reap, p};
    p->en = engine_new(&p->options, p->ss, &kafka, &http, &p->clock, &e);
    assert_non_null(p->en);
    push(p, (struct kafka_event){.type = KAFKA_STATE, .up = true});
    struct kafka_partition parts[] = {p->part, p->jobs};
    push(p, (struct kafka_event){.type = KAFKA_ASSIGN,
                                 .parts = parts,
                                 .n_parts = p->jobs.topic != NULL ? 2 : 1,
                                 .assignment = 1});
    turn(p);
    turn(p);
    assert_int_equal(p->n_calls, 1);
    assert_true(answer(p, 200, "{\"id\":\"cmp_1\"}"));
}

int play_set_up(void **state)
{
    struct play *p = play_new();
    play_start(p);
    *state = p;
    return 0;
}

int play_tear_down(void **state)
{
    struct play *p = *state;
    engine_free(p->en);
    schemas_free(p->ss);
    for (size_t i = 0; i < p->n_names; i++)
        mem_free(p->names[i]);
    mem_free(p);
    return 0;
}

/* What the commit's string says of offset 0. */
bool string_says_armed(const struct kafka_tick *tick)
{
    struct str s = tick->offsets[0].metadata;
    return memmem(s.ptr, s.len, ";a=0+", 5) != NULL;
}

void count_is(struct play *p, const char *name, int64_t want)
{
    struct engine_health h = {0};
    struct buf out;
    char text[64];
    buf_init(&out, 1 << 16);
    engine_status_json(p->en, &h, &out);
    snprintf(text, sizeof text, "\"%s\":%lld", name, (long long)want);
    assert_non_null(strstr(out.data, text));
    buf_fini(&out);
}
