/* Ticks, on the Kafka thread: the transaction, and at-least-once behind the same call.
 * Owns the producer's handle and its topic handles; makes a new one when the old one is
 * broken. Invariant: when producer_tick returns, no transaction is open and nothing of
 * the tick is on its way; after a commit whose outcome is not known only the same commit
 * is tried again, never an abort. */
#include "kafka/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum {
    INIT_SLICE_MS = 1000,
    FENCES_MAX = 10, /* so many in FENCE_WINDOW_MS: there is a rival */
    FENCE_WINDOW_MS = 120000,
    FENCE_TICK_MAX_MS =
        10000, /* a slower tick may have been fenced by its own time-out */
    BATCH_MAX_BYTES = 1000000, /* the library's default */
    BATCH_FRAME_BYTES = 1000,  /* what a batch and its codec may add */
    FLUSH_SLICE_MS = 200,
    COMMIT_SLICE_MS = 1000,
    FULL_POLL_MS = 100,
    METADATA_MS = 1000
};

struct output_topic {
    UT_hash_handle hh;
    rd_kafka_topic_t *handle; /* NULL: no topic can have this name */
    bool prepared;            /* its metadata was there once */
    char name[];
};

/* What the delivery reports of one tick said. */
struct reports {
    bool blamed; /* one record is at fault: `bad` */
    size_t bad, bad_len;
    rd_kafka_resp_err_t code; /* the first failure of any kind */
};

struct producer {
    rd_kafka_conf_t *conf; /* copied for every handle */
    rd_kafka_t *rk;        /* NULL: to be made */
    rd_kafka_t *group;
    struct output_topic *topics;
    struct kafka_watch *watch;
    struct reports reports;
    bool transactional;
    int64_t batch_bytes, batch_wanted;
    int64_t fences_ms[FENCES_MAX];
    size_t n_fences;
    char *id; /* <group.id>.<instance.id> */
    char *instance_id;
    char fatal[240];
};

/* What a call of a transaction says about what comes next. */
enum verdict { GO_ON, ABORT, BROKEN, STOPPED };

struct attempt {
    struct producer *p;
    struct kafka_tick *tick;
    const struct stamp *stamp;
    rd_kafka_topic_partition_list_t *offsets;
    rd_kafka_resp_err_t code; /* of the call that failed */
    int64_t began_ms;
};

typedef rd_kafka_error_t *txn_call(struct attempt *a);

static int open_handle(struct producer *p, struct err *e);
static void close_handle(struct producer *p);
static struct output_topic *topic_of(struct producer *p, const char *name);
static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque);
static bool is_size(rd_kafka_resp_err_t code);
static bool blames_record(rd_kafka_resp_err_t code);
static void name_bad(struct attempt *a);
static void blame(struct producer *p, size_t i, size_t len, rd_kafka_resp_err_t code);

static enum tick_end tick_in_transaction(struct attempt *a);
static enum tick_end abort_tick(struct attempt *a);
static enum tick_end renew(struct attempt *a, enum tick_end end);
static enum verdict run(struct attempt *a, const char *name, txn_call *call);
static enum verdict produce_all(struct attempt *a);
static enum verdict produce(struct attempt *a, bool last);
static rd_kafka_resp_err_t produce_one(struct producer *p, const struct kafka_output *out,
                                       size_t i);
static void find_culprit(struct attempt *a);
static bool topic_takes(struct producer *p, const struct kafka_output *out);
static void note_fence(struct attempt *a);

static enum tick_end tick_acknowledged(struct attempt *a);
static enum tick_end acknowledge(struct attempt *a, bool last);
static enum tick_end commit_offsets(struct attempt *a);
static rd_kafka_resp_err_t commit_once(struct attempt *a);
static rd_kafka_topic_partition_list_t *offsets_of(const struct kafka_tick *tick);
static int64_t now_us(void);

struct producer *producer_new(const struct kafka_options *o, rd_kafka_t *group,
                              struct kafka_watch *watch, struct err *e)
{
    rd_kafka_conf_t *conf = client_conf(o, CLIENT_TICKS, true, e);
    struct producer *p;
    size_t i;

    if (conf == NULL)
        return NULL;
    p = mem_zalloc(sizeof(*p));
    p->conf = conf;
    p->group = group;
    p->watch = watch;
    p->transactional = o->exactly_once;
    p->batch_bytes = p->batch_wanted = BATCH_MAX_BYTES;
    p->id = mem_printf("%s.%s", o->group_id, o->instance_id);
    p->instance_id = mem_strdup(o->instance_id);
    rd_kafka_conf_set_opaque(conf, p);
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    if (open_handle(p, e) != 0) {
        producer_free(p);
        return NULL;
    }
    for (i = 0; i < o->n_outputs; i++)
        (void)topic_of(p, o->outputs[i]);
    return p;
}

void producer_group(struct producer *p, rd_kafka_t *group)
{
    p->group = group;
}

void producer_free(struct producer *p)
{
    struct output_topic *topic, *next;

    if (p == NULL)
        return;
    close_handle(p);
    HASH_ITER (hh, p->topics, topic, next) {
        HASH_DEL(p->topics, topic);
        mem_free(topic);
    }
    rd_kafka_conf_destroy(p->conf);
    mem_free(p->id);
    mem_free(p->instance_id);
    mem_free(p);
}

int producer_init(struct producer *p, struct err *e)
{
    rd_kafka_error_t *error;
    rd_kafka_resp_err_t code;
    bool again;

    if (p->rk != NULL && p->batch_wanted < p->batch_bytes)
        close_handle(p);
    if (p->rk == NULL && open_handle(p, e) != 0)
        return -1;
    if (!p->transactional)
        return 0;
    watch_begin(p->watch, "init_transactions");
    error = rd_kafka_init_transactions(p->rk, INIT_SLICE_MS);
    watch_end(p->watch);
    if (error == NULL)
        return 0;
    code = rd_kafka_error_code(error);
    again = rd_kafka_error_is_retriable(error) == 1 || error_is_passing(code);
    (void)err_set(e, again ? ERR_BUSY : ERR_FATAL, "transactional.id %s: %s", p->id,
                  rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    if (code == RD_KAFKA_RESP_ERR__FENCED ||
        code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH ||
        code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED) {
        close_handle(p); /* two of us at the same time: the later one wins */
        e->kind = ERR_BUSY;
    }
    return -1;
}

void producer_prepare(struct producer *p, const char *topic)
{
    const struct rd_kafka_metadata *md = NULL;
    struct output_topic *out = topic_of(p, topic);

    if (out->handle == NULL || p->rk == NULL || out->prepared)
        return;
    watch_begin(p->watch, "metadata");
    if (rd_kafka_metadata(p->rk, 0, out->handle, &md, METADATA_MS) ==
        RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_metadata_destroy(md);
        out->prepared = true;
    }
    watch_end(p->watch);
}

/* A batch that grew beyond what its topic takes is refused as a whole although each of
 * its records fits; the library does not split it. */
void producer_limit(struct producer *p, int64_t topic_max_bytes)
{
    int64_t batch = topic_max_bytes - BATCH_FRAME_BYTES;

    if (topic_max_bytes >= 0 && batch < p->batch_wanted)
        p->batch_wanted = batch > 1 ? batch : 1;
}

void producer_tick(struct producer *p, struct kafka_tick *tick, const struct stamp *stamp)
{
    int64_t start = now_us();
    struct attempt a = {.p = p, .tick = tick, .stamp = stamp};

    tick->why[0] = '\0';
    tick->bad = 0;
    a.began_ms = clock_now(&clock_system);
    memset(&p->reports, 0, sizeof(p->reports));
    if (stamp == NULL || tick->assignment != atomic_load(&p->watch->assignment)) {
        tick->end = TICK_STALE;
        (void)snprintf(tick->why, sizeof(tick->why), "the assignment has gone");
        return;
    }
    /* Between two ticks nothing is open, so this loses nothing. */
    if (p->rk == NULL || p->batch_wanted < p->batch_bytes)
        (void)renew(&a, TICK_RUNNING);
    if (p->rk == NULL) {
        tick->end = TICK_ABORTED;
        (void)snprintf(tick->why, sizeof(tick->why), "%.190s", p->fatal);
        return;
    }
    a.offsets = offsets_of(tick);
    tick->end = p->transactional ? tick_in_transaction(&a) : tick_acknowledged(&a);
    rd_kafka_topic_partition_list_destroy(a.offsets);
    tick->took_us = now_us() - start;
}

void producer_serve(struct producer *p)
{
    if (p->rk != NULL)
        (void)rd_kafka_poll(p->rk, 0);
}

const char *producer_fatal(const struct producer *p)
{
    return p->fatal[0] != '\0' ? p->fatal : NULL;
}

static int open_handle(struct producer *p, struct err *e)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_dup(p->conf);
    struct output_topic *topic, *next;
    char bytes[24];

    if (p->batch_wanted < BATCH_MAX_BYTES) {
        (void)snprintf(bytes, sizeof(bytes), "%lld", (long long)p->batch_wanted);
        client_set(conf, "batch.size", bytes);
    }
    p->rk = client_new(CLIENT_TICKS, conf, e);
    if (p->rk == NULL)
        return -1;
    p->batch_bytes = p->batch_wanted;
    HASH_ITER (hh, p->topics, topic, next)
        topic->handle = rd_kafka_topic_new(p->rk, topic->name, NULL);
    return 0;
}

static void close_handle(struct producer *p)
{
    struct output_topic *topic, *next;

    if (p->rk == NULL)
        return;
    watch_begin(p->watch, "destroy");
    HASH_ITER (hh, p->topics, topic, next) {
        if (topic->handle != NULL)
            rd_kafka_topic_destroy(topic->handle);
        topic->handle = NULL;
        topic->prepared = false;
    }
    rd_kafka_destroy_flags(p->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    p->rk = NULL;
    watch_end(p->watch);
}

/* The handle asks for the topic's metadata at once: without it the first record of a
 * topic waits a second inside its transaction. */
static struct output_topic *topic_of(struct producer *p, const char *name)
{
    struct output_topic *topic = NULL;
    size_t len = strlen(name);

    HASH_FIND(hh, p->topics, name, len, topic);
    if (topic != NULL)
        return topic;
    topic = mem_zalloc(sizeof(*topic) + len + 1);
    memcpy(topic->name, name, len);
    topic->handle = p->rk == NULL ? NULL : rd_kafka_topic_new(p->rk, name, NULL);
    HASH_ADD_KEYPTR(hh, p->topics, topic->name, len, topic);
    return topic;
}

/* Errors only. The opaque of a record is its index + 1. */
static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque)
{
    struct producer *p = opaque;
    size_t i = (size_t)(uintptr_t)msg->_private;

    (void)rk;
    if (msg->err == RD_KAFKA_RESP_ERR_NO_ERROR || i == 0)
        return;
    blame(p, i - 1, msg->len + msg->key_len, msg->err);
}

static bool is_size(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ||
           code == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE;
}

static bool blames_record(rd_kafka_resp_err_t code)
{
    return is_size(code) || code == RD_KAFKA_RESP_ERR_INVALID_RECORD ||
           code == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION ||
           code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
           code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
           code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
           code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
           code == RD_KAFKA_RESP_ERR__INVALID_ARG;
}

/* A batch fails as a whole: of those it names the largest is the one that does not fit.
 */
static void blame(struct producer *p, size_t i, size_t len, rd_kafka_resp_err_t code)
{
    struct reports *r = &p->reports;

    if (code == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
        code == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
        return; /* swept out by an abort: the cause is another */
    if (!blames_record(code)) {
        if (r->code == RD_KAFKA_RESP_ERR_NO_ERROR)
            r->code = code;
        return;
    }
    if (!r->blamed || len > r->bad_len) {
        r->bad = i;
        r->bad_len = len;
        r->code = code;
    }
    r->blamed = true;
}

static void name_bad(struct attempt *a)
{
    const struct reports *r = &a->p->reports;
    struct kafka_tick *tick = a->tick;

    tick->bad = r->bad;
    tick->bad_too_large = is_size(r->code);
    (void)snprintf(tick->why, sizeof(tick->why), "%s: %s", tick->outputs[r->bad].topic,
                   rd_kafka_err2str(r->code));
}

/* --- the transaction --- */

static rd_kafka_error_t *call_begin(struct attempt *a)
{
    return rd_kafka_begin_transaction(a->p->rk);
}

static rd_kafka_error_t *call_offsets(struct attempt *a)
{
    return rd_kafka_send_offsets_to_transaction(a->p->rk, a->offsets, a->stamp->group,
                                                -1);
}

static rd_kafka_error_t *call_commit(struct attempt *a)
{
    return rd_kafka_commit_transaction(a->p->rk, -1);
}

static rd_kafka_error_t *call_abort(struct attempt *a)
{
    return rd_kafka_abort_transaction(a->p->rk, -1);
}

/* Offsets first: the markers of the last transaction are waited out here in short steps,
 * and a generation that has gone is known before one result is handed over. */
static enum tick_end tick_in_transaction(struct attempt *a)
{
    enum verdict v = run(a, "begin_transaction", call_begin);

    if (v == GO_ON && a->offsets->cnt > 0)
        v = run(a, "send_offsets_to_transaction", call_offsets);
    if (v == GO_ON)
        v = produce_all(a);
    if (v == GO_ON)
        v = run(a, "commit_transaction", call_commit);
    switch (v) {
    case GO_ON:
        return TICK_COMMITTED;
    case ABORT:
        return abort_tick(a);
    case BROKEN:
        return renew(a, TICK_UNKNOWN);
    case STOPPED:
        return TICK_UNKNOWN;
    }
    abort();
}

static enum tick_end abort_tick(struct attempt *a)
{
    struct reports *r = &a->p->reports;
    rd_kafka_resp_err_t cause = a->code;
    enum verdict v = run(a, "abort_transaction", call_abort);

    /* A topic deleted under way shows as a time-out, or as a refusal that names no
     * record. */
    if (!r->blamed && v == GO_ON &&
        (blames_record(cause) || r->code == RD_KAFKA_RESP_ERR__MSG_TIMED_OUT))
        find_culprit(a);
    if (r->blamed) {
        name_bad(a);
    }
    /* No commit was tried: whatever became of the abort, nothing is visible. A bad record
     * must stay named even then, else it would come back for ever. */
    if (v != GO_ON)
        return r->blamed ? renew(a, TICK_BAD_RECORD) : renew(a, TICK_UNKNOWN);
    if (r->blamed)
        return TICK_BAD_RECORD;
    return error_is_stale(cause) ? TICK_STALE : TICK_ABORTED;
}

/* A new producer under the same id: its initialisation settles the old one's transaction.
 * Waits for brokers as long as it takes; only then is `end` true. */
static enum tick_end renew(struct attempt *a, enum tick_end end)
{
    struct producer *p = a->p;
    struct err e = ERR_INIT;

    if (end != TICK_RUNNING)
        note_fence(a);
    close_handle(p);
    while (p->fatal[0] == '\0' && !atomic_load(&p->watch->stop)) {
        if (producer_init(p, &e) == 0)
            return end;
        if (e.kind != ERR_BUSY)
            err_copy(&e, p->fatal, sizeof(p->fatal));
        watch_nap(p->watch);
    }
    close_handle(p);
    return end;
}

/* One call until it is decided: what is retriable is the same call again, with the same
 * arguments. */
static enum verdict run(struct attempt *a, const char *name, txn_call *call)
{
    struct kafka_watch *watch = a->p->watch;

    for (;;) {
        rd_kafka_error_t *error;
        bool fatal, wants_abort, again;

        watch_begin(watch, name);
        error = call(a);
        watch_end(watch);
        if (error == NULL)
            return GO_ON;
        fatal = rd_kafka_error_is_fatal(error) == 1;
        wants_abort = rd_kafka_error_txn_requires_abort(error) == 1;
        again = rd_kafka_error_is_retriable(error) == 1;
        a->code = rd_kafka_error_code(error);
        (void)snprintf(a->tick->why, sizeof(a->tick->why), "%s: %s", name,
                       rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
        if (fatal)
            return BROKEN;
        if (wants_abort)
            return ABORT;
        if (!again)
            return BROKEN;
        if (atomic_load(&watch->stop))
            return STOPPED;
        log_debug("kafka.tick", "%s", a->tick->why);
        watch_nap(watch);
    }
}

static enum verdict produce_all(struct attempt *a)
{
    enum verdict v = produce(a, false);

    return v == GO_ON ? produce(a, true) : v;
}

static enum verdict produce(struct attempt *a, bool last)
{
    struct producer *p = a->p;
    const struct kafka_tick *tick = a->tick;
    char text[100];
    size_t i;

    for (i = 0; i < tick->n_outputs; i++) {
        const struct kafka_output *out = &tick->outputs[i];

        if (out->last != last)
            continue;
        a->code = produce_one(p, out, i);
        if (a->code == RD_KAFKA_RESP_ERR_NO_ERROR)
            continue;
        (void)snprintf(a->tick->why, sizeof(a->tick->why), "%s: %s", out->topic,
                       rd_kafka_err2str(a->code));
        if (blames_record(a->code))
            blame(p, i, SIZE_MAX, a->code);
        if (rd_kafka_fatal_error(p->rk, text, sizeof(text)) != RD_KAFKA_RESP_ERR_NO_ERROR)
            return BROKEN;
        return ABORT;
    }
    return GO_ON;
}

/* Copies the record: a request that an abort has purged may still be on its way to the
 * broker. */
static rd_kafka_resp_err_t produce_one(struct producer *p, const struct kafka_output *out,
                                       size_t i)
{
    struct output_topic *topic = topic_of(p, out->topic);
    rd_kafka_headers_t *headers;
    rd_kafka_resp_err_t code;

    if (topic->handle == NULL)
        return RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION;
    headers = headers_new(out->headers, out->n_headers);
    do {
        code = rd_kafka_producev(
            p->rk, RD_KAFKA_V_RKT(topic->handle), RD_KAFKA_V_PARTITION(out->partition),
            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
            RD_KAFKA_V_KEY(mem_unconst(out->key.ptr), out->key.len),
            RD_KAFKA_V_VALUE(mem_unconst(out->value.ptr), out->value.len),
            RD_KAFKA_V_TIMESTAMP(out->timestamp_ms), RD_KAFKA_V_HEADERS(headers),
            RD_KAFKA_V_OPAQUE((void *)(uintptr_t)(i + 1)), RD_KAFKA_V_END);
        if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
            (void)rd_kafka_poll(p->rk, FULL_POLL_MS);
    } while (code == RD_KAFKA_RESP_ERR__QUEUE_FULL && !atomic_load(&p->watch->stop));
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_headers_destroy(headers);
    return code;
}

/* The coordinator refused a topic of the tick without saying which record's. */
static void find_culprit(struct attempt *a)
{
    const struct kafka_tick *tick = a->tick;
    size_t i, j;

    for (i = 0; i < tick->n_outputs && !a->p->reports.blamed; i++) {
        for (j = 0; j < i; j++)
            if (strcmp(tick->outputs[j].topic, tick->outputs[i].topic) == 0 &&
                tick->outputs[j].partition == tick->outputs[i].partition)
                break;
        if (j == i && !topic_takes(a->p, &tick->outputs[i]))
            blame(a->p, i, 0, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    }
}

static bool topic_takes(struct producer *p, const struct kafka_output *out)
{
    const struct rd_kafka_metadata *md = NULL;
    struct output_topic *topic = topic_of(p, out->topic);
    rd_kafka_resp_err_t code;
    bool takes = true; /* nothing known: no blame */

    if (topic->handle == NULL)
        return false;
    watch_begin(p->watch, "metadata");
    code = rd_kafka_metadata(p->rk, 0, topic->handle, &md, METADATA_MS);
    watch_end(p->watch);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return true;
    if (md->topic_cnt == 1)
        takes = !blames_record(md->topics[0].err) &&
                (md->topics[0].err != RD_KAFKA_RESP_ERR_NO_ERROR ||
                 out->partition < md->topics[0].partition_cnt);
    rd_kafka_metadata_destroy(md);
    return takes;
}

/* Fenced again and again by quick ticks: another living process has our transactional.id,
 * and each new producer would only throw the other one out. Once or twice is a time-out
 * at the broker, or a predecessor's last breath. */
static void note_fence(struct attempt *a)
{
    struct producer *p = a->p;
    int64_t now = clock_now(&clock_system);
    bool fenced = a->code == RD_KAFKA_RESP_ERR__FENCED ||
                  a->code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH ||
                  a->code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED;

    if (!fenced || now - a->began_ms > FENCE_TICK_MAX_MS)
        return;
    p->fences_ms[p->n_fences % FENCES_MAX] = now;
    p->n_fences++;
    if (p->n_fences >= FENCES_MAX &&
        now - p->fences_ms[p->n_fences % FENCES_MAX] < FENCE_WINDOW_MS)
        (void)snprintf(
            p->fatal, sizeof(p->fatal),
            "instance.id %s is used twice: another process has the "
            "transactional.id %s; give every instance an instance.id of its own",
            p->instance_id, p->id);
}

/* --- at least once --- */

/* What is last must not be there without the rest: whoever reads it after our death would
 * take the rest for written. */
static enum tick_end tick_acknowledged(struct attempt *a)
{
    enum tick_end end = acknowledge(a, false);

    if (end == TICK_RUNNING)
        end = acknowledge(a, true);
    return end == TICK_RUNNING ? commit_offsets(a) : end;
}

/* RUNNING: all of them are. */
static enum tick_end acknowledge(struct attempt *a, bool last)
{
    struct producer *p = a->p;
    struct reports *r = &p->reports;
    enum verdict v = produce(a, last);
    char text[160];

    watch_begin(p->watch, "flush");
    while (rd_kafka_outq_len(p->rk) > 0 && !atomic_load(&p->watch->stop))
        (void)rd_kafka_flush(p->rk, FLUSH_SLICE_MS); /* time-out: the loop asks again */
    watch_end(p->watch);
    if (rd_kafka_fatal_error(p->rk, text, sizeof(text)) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        (void)snprintf(a->tick->why, sizeof(a->tick->why), "producer: %s", text);
        return renew(a, TICK_ABORTED);
    }
    if (r->blamed) {
        name_bad(a);
        return TICK_BAD_RECORD;
    }
    if (v != GO_ON)
        return TICK_ABORTED;
    if (r->code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        (void)snprintf(a->tick->why, sizeof(a->tick->why), "not acknowledged: %s",
                       rd_kafka_err2str(r->code));
        return TICK_ABORTED;
    }
    if (atomic_load(&p->watch->stop))
        return TICK_UNKNOWN;
    return TICK_RUNNING;
}

static enum tick_end commit_offsets(struct attempt *a)
{
    struct kafka_watch *watch = a->p->watch;
    rd_kafka_resp_err_t code;

    if (a->offsets->cnt == 0)
        return TICK_COMMITTED;
    for (;;) {
        /* Nothing of the call itself names the assignment: this must. */
        if (a->tick->assignment != atomic_load(&watch->assignment))
            return TICK_STALE;
        watch_begin(watch, "commit");
        code = commit_once(a);
        watch_end(watch);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
            return TICK_COMMITTED;
        (void)snprintf(a->tick->why, sizeof(a->tick->why), "commit: %s",
                       rd_kafka_err2str(code));
        if (error_is_stale(code))
            return TICK_STALE;
        if (atomic_load(&watch->stop))
            return TICK_UNKNOWN;
        if (!error_is_passing(code))
            return TICK_ABORTED;
        watch_nap(watch);
    }
}

static rd_kafka_resp_err_t commit_once(struct attempt *a)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(a->p->group);
    rd_kafka_event_t *event = NULL;
    rd_kafka_resp_err_t code =
        rd_kafka_commit_queue(a->p->group, a->offsets, queue, NULL, NULL);

    while (code == RD_KAFKA_RESP_ERR_NO_ERROR && event == NULL &&
           !atomic_load(&a->p->watch->stop))
        event = rd_kafka_queue_poll(queue, COMMIT_SLICE_MS);
    if (event != NULL)
        code = rd_kafka_event_error(event);
    else if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    return code;
}

static rd_kafka_topic_partition_list_t *offsets_of(const struct kafka_tick *tick)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)tick->n_offsets);
    size_t i;

    for (i = 0; i < tick->n_offsets; i++) {
        const struct kafka_offset *from = &tick->offsets[i];
        rd_kafka_topic_partition_t *part =
            rd_kafka_topic_partition_list_add(list, from->at.topic, from->at.partition);

        part->offset = from->offset;
        if (from->metadata.len == 0)
            continue;
        /* The list's end frees it with free, which is what mem_* memory is. */
        part->metadata = mem_strndup(from->metadata.ptr, from->metadata.len);
        part->metadata_size = from->metadata.len;
    }
    return list;
}

static int64_t now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* this clock cannot fail */
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}
