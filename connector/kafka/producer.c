/* Ticks on the Kafka thread. Exactly once: begin, offsets (so that a stale generation is
 * known before a record is handed over), records, commit. At least once: records, all
 * acknowledged, then the offsets with the same strings. The return value of every
 * producev counts. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "kafka/internal.h"

#define INIT_TIMEOUT_MS 10000
#define FLUSH_MS 30000
#define COMMIT_TRIES 20

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque);
static rd_kafka_t *new_producer(struct kafka *k, struct err *e);
static rd_kafka_topic_partition_list_t *offsets_of(const struct kafka_tick *tick);
static bool produce_all(struct kafka *k, struct kafka_tick *tick);
static rd_kafka_resp_err_t produce(struct kafka *k, struct kafka_output *out,
                                   size_t index);
static void tick_transaction(struct kafka *k, struct request_item *item);
static void tick_plain(struct kafka *k, struct kafka_tick *tick);
static bool step_failed(struct kafka *k, struct kafka_tick *tick,
                        rd_kafka_error_t *error);
static void abort_tick(struct kafka *k, struct kafka_tick *tick, enum tick_end end);
static void replace(struct kafka *k, struct kafka_tick *tick, const char *why);
static enum tick_end end_of(rd_kafka_resp_err_t code);

/* True: ready (or hopeless: e is ERR_FATAL). False: the brokers are away, ask again. */
bool producer_init(struct kafka *k, struct err *e)
{
    if (k->producer == NULL) {
        k->producer = new_producer(k, e);
        if (k->producer == NULL) {
            e->kind = ERR_FATAL;
            return true;
        }
    }
    for (size_t i = 0; i < k->o.n_outputs; i++)
        (void)producer_topic(k, kafka_intern(k, k->o.outputs[i]));
    if (!k->o.exactly_once) {
        const struct rd_kafka_metadata *md;
        if (rd_kafka_metadata(k->producer, 0, NULL, &md, INIT_TIMEOUT_MS))
            return false;
        rd_kafka_metadata_destroy(md);
        return true;
    }
    rd_kafka_error_t *error = rd_kafka_init_transactions(k->producer, INIT_TIMEOUT_MS);
    if (error == NULL)
        return true;
    bool again = rd_kafka_error_is_retriable(error) && !rd_kafka_error_is_fatal(error);
    if (!again)
        err_set(e, ERR_FATAL, "transactions cannot be started: %s",
                rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return !again;
}

void producer_close(struct kafka *k)
{
    if (k->producer == NULL)
        return;
    for (struct topic_name *t = k->names; t != NULL; t = t->next) {
        if (t->handle != NULL)
            rd_kafka_topic_destroy(t->handle);
        t->handle = NULL;
    }
    rd_kafka_purge(k->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_poll(k->producer, 0);
    rd_kafka_destroy(k->producer);
    k->producer = NULL;
}

/* `interned` came from kafka_intern: its handle sits in front of it. */
rd_kafka_topic_t *producer_topic(struct kafka *k, const char *interned)
{
    struct topic_name *t = k->names;
    while (t != NULL && t->name != interned)
        t = t->next;
    if (t != NULL && t->handle == NULL)
        t->handle = rd_kafka_topic_new(k->producer, interned, NULL);
    return t != NULL ? t->handle : NULL;
}

void producer_tick(struct kafka *k, struct request_item *item)
{
    struct kafka_tick *tick = item->tick;
    int64_t start = clock_now(&clock_system);
    k->bad = SIZE_MAX;
    k->undelivered = 0;
    tick->why[0] = 0;
    if (k->o.exactly_once)
        tick_transaction(k, item);
    else
        tick_plain(k, tick);
    tick->took_us = (clock_now(&clock_system) - start) * 1000;
}

static rd_kafka_t *new_producer(struct kafka *k, struct err *e)
{
    char text[512];
    rd_kafka_conf_t *conf = kafka_conf(&k->o, HANDLE_PRODUCER, e);
    if (conf == NULL)
        return NULL;
    rd_kafka_conf_set_opaque(conf, k);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    if (k->o.exactly_once) /* the commit says it; at least once needs each report */
        (void)rd_kafka_conf_set(conf, "delivery.report.only.error", "true", text,
                                sizeof text);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (rk == NULL) {
        rd_kafka_conf_destroy(conf);
        err_set(e, ERR_FATAL, "producer: %s", text);
    }
    return rk;
}

/* Runs inside poll, flush, commit and abort, always on the Kafka thread. */
static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque)
{
    struct kafka *k = opaque;
    (void)rk;
    if (msg->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        k->undelivered--;
        return;
    }
    bool about_it = msg->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ||
                    msg->err == RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE;
    if (about_it && k->bad == SIZE_MAX) {
        k->bad = (size_t)(uintptr_t)msg->_private;
        snprintf(k->bad_why, sizeof k->bad_why, "%s: %s", rd_kafka_topic_name(msg->rkt),
                 rd_kafka_err2str(msg->err));
    }
}

static rd_kafka_topic_partition_list_t *offsets_of(const struct kafka_tick *tick)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)tick->n_offsets);
    for (size_t i = 0; i < tick->n_offsets; i++) {
        const struct kafka_offset *o = &tick->offsets[i];
        rd_kafka_topic_partition_t *el =
            rd_kafka_topic_partition_list_add(list, o->at.topic, o->at.partition);
        el->offset = o->offset;
        if (o->metadata.len > 0) { /* the list frees it with free() */
            el->metadata = mem_dup(o->metadata.ptr, o->metadata.len);
            el->metadata_size = o->metadata.len;
        }
    }
    return list;
}

static void tick_transaction(struct kafka *k, struct request_item *item)
{
    struct kafka_tick *tick = item->tick;
    if (item->group == NULL) {
        tick->end = TICK_STALE;
        return;
    }
    rd_kafka_error_t *error = rd_kafka_begin_transaction(k->producer);
    if (error != NULL) {
        replace(k, tick, rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
        return;
    }
    rd_kafka_topic_partition_list_t *offsets = offsets_of(tick);
    do
        error =
            rd_kafka_send_offsets_to_transaction(k->producer, offsets, item->group, -1);
    while (step_failed(k, tick, error));
    rd_kafka_topic_partition_list_destroy(offsets);
    if (tick->end != TICK_RUNNING)
        return;
    if (!produce_all(k, tick)) {
        abort_tick(k, tick, TICK_BAD_RECORD);
        return;
    }
    do
        error = rd_kafka_commit_transaction(k->producer, -1);
    while (step_failed(k, tick, error));
    if (tick->end == TICK_RUNNING)
        tick->end = TICK_COMMITTED;
}

/* Looks at the error of one step (and frees it). True: call the same function again. */
static bool step_failed(struct kafka *k, struct kafka_tick *tick, rd_kafka_error_t *error)
{
    if (error == NULL)
        return false;
    bool fatal = rd_kafka_error_is_fatal(error);
    bool abortable = rd_kafka_error_txn_requires_abort(error);
    bool again = rd_kafka_error_is_retriable(error) && !fatal && !abortable;
    if (!again) {
        snprintf(tick->why, sizeof tick->why, "%s", rd_kafka_error_string(error));
        if (abortable && !fatal)
            abort_tick(k, tick,
                       k->bad != SIZE_MAX ? TICK_BAD_RECORD
                                          : end_of(rd_kafka_error_code(error)));
        else /* fenced, or nobody knows whether it is committed: never abort now */
            replace(k, tick, rd_kafka_error_string(error));
    }
    rd_kafka_error_destroy(error);
    return again;
}

static enum tick_end end_of(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION ||
                   code == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID ||
                   code == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID ||
                   code == RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS
               ? TICK_STALE
               : TICK_ABORTED;
}

static void abort_tick(struct kafka *k, struct kafka_tick *tick, enum tick_end end)
{
    rd_kafka_error_t *error;
    bool again;
    do {
        error = rd_kafka_abort_transaction(k->producer, -1);
        again = error != NULL && rd_kafka_error_is_retriable(error) &&
                !rd_kafka_error_is_fatal(error);
        if (error != NULL && !again)
            replace(k, tick, rd_kafka_error_string(error));
        if (error != NULL)
            rd_kafka_error_destroy(error);
    } while (again);
    if (tick->end == TICK_RUNNING)
        tick->end = end;
    if (k->bad != SIZE_MAX && tick->end != TICK_UNKNOWN) {
        tick->end = TICK_BAD_RECORD;
        tick->bad = k->bad;
        snprintf(tick->why, sizeof tick->why, "%s", k->bad_why);
    }
}

/* Fenced or unknown: a new producer settles the old transaction (init_transactions waits
 * until its markers are out), then the engine reads position and ledger again. */
static void replace(struct kafka *k, struct kafka_tick *tick, const char *why)
{
    struct err e = ERR_INIT;
    snprintf(tick->why, sizeof tick->why, "%s", why);
    producer_close(k);
    while (!producer_init(k, &e))
        kafka_enter(k, "init_transactions");
    if (e.kind == ERR_FATAL)
        log_error("kafka.producer", "%s", e.text);
    tick->end = TICK_UNKNOWN;
}

/* False: tick->bad and k->bad name the output that was refused. */
static bool produce_all(struct kafka *k, struct kafka_tick *tick)
{
    for (size_t i = 0; i < tick->n_outputs; i++) {
        rd_kafka_resp_err_t err = produce(k, &tick->outputs[i], i);
        while (err == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            rd_kafka_poll(k->producer, 10);
            err = produce(k, &tick->outputs[i], i);
        }
        if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            k->bad = i;
            snprintf(k->bad_why, sizeof k->bad_why, "%s: %s", tick->outputs[i].topic,
                     rd_kafka_err2str(err));
            return false;
        }
        k->undelivered++;
    }
    return true;
}

static rd_kafka_resp_err_t produce(struct kafka *k, struct kafka_output *out,
                                   size_t index)
{
    rd_kafka_topic_t *topic = producer_topic(k, kafka_intern(k, out->topic));
    rd_kafka_headers_t *hs = rd_kafka_headers_new(out->n_headers + 1);
    for (size_t i = 0; i < out->n_headers; i++)
        rd_kafka_header_add(hs, out->headers[i].name.ptr,
                            (ssize_t)out->headers[i].name.len, out->headers[i].value.ptr,
                            (ssize_t)out->headers[i].value.len);
    rd_kafka_resp_err_t err = rd_kafka_producev(
        k->producer, RD_KAFKA_V_RKT(topic), RD_KAFKA_V_PARTITION(out->partition),
        RD_KAFKA_V_KEY(out->key.ptr, out->key.len),
        RD_KAFKA_V_VALUE(mem_unconst(out->value.ptr), out->value.len),
        RD_KAFKA_V_MSGFLAGS(0), RD_KAFKA_V_TIMESTAMP(out->timestamp_ms),
        RD_KAFKA_V_HEADERS(hs), RD_KAFKA_V_OPAQUE((void *)(uintptr_t)index),
        RD_KAFKA_V_END);
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_headers_destroy(hs);
    return err;
}

static void tick_plain(struct kafka *k, struct kafka_tick *tick)
{
    bool all = produce_all(k, tick);
    int64_t until = clock_now(&clock_system) + FLUSH_MS;
    while (k->undelivered > 0 && k->bad == SIZE_MAX && clock_now(&clock_system) < until)
        if (rd_kafka_flush(k->producer, 1000) == RD_KAFKA_RESP_ERR_NO_ERROR)
            break;
    if (!all || k->bad != SIZE_MAX) {
        rd_kafka_flush(k->producer, FLUSH_MS); /* the outputs are the engine's again */
        tick->bad = k->bad;
        tick->end = TICK_BAD_RECORD;
        snprintf(tick->why, sizeof tick->why, "%s", k->bad_why);
        return;
    }
    if (k->undelivered > 0) {
        replace(k, tick, "not all records were acknowledged");
        tick->end = TICK_ABORTED;
        return;
    }
    rd_kafka_topic_partition_list_t *offsets = offsets_of(tick);
    rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR_NO_ERROR;
    if (tick->n_offsets > 0)
        err = rd_kafka_commit(k->consumer, offsets, 0);
    for (int i = 0; i < COMMIT_TRIES && (err == RD_KAFKA_RESP_ERR__TRANSPORT ||
                                         err == RD_KAFKA_RESP_ERR__TIMED_OUT ||
                                         err == RD_KAFKA_RESP_ERR__WAIT_COORD);
         i++)
        err = rd_kafka_commit(k->consumer, offsets, 0);
    rd_kafka_topic_partition_list_destroy(offsets);
    snprintf(tick->why, sizeof tick->why, "%s", err ? rd_kafka_err2str(err) : "");
    tick->end = err ? end_of(err) : TICK_COMMITTED;
}
