/* Kafka for start and tools: these functions wait, and are never called on the loop of a
 * running engine. Each opens what it needs and closes it again. */
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kafka/internal.h"

#define ASK_MS 5000
#define WAITING_EVERY_MS 5000
#define PROVE_MS 20000

struct kafka_reader {
    rd_kafka_t *rk;
    size_t open; /* partitions whose end was not reached yet */
};

static int reader_start(struct kafka_reader *r, const char *topic, enum kafka_from from,
                        int64_t arg, struct err *e);
static int64_t start_of(rd_kafka_t *rk, const char *topic, int32_t partition,
                        enum kafka_from from, int64_t arg, struct err *e);
static int32_t partitions_of(rd_kafka_t *rk, const char *topic, struct err *e);
static int prove(rd_kafka_t *producer, rd_kafka_t *consumer,
                 const struct kafka_options *o, struct err *e);
static int refused(struct err *e, const char *what, rd_kafka_error_t *error);

const char *kafka_library_version(void)
{
    return rd_kafka_version_str();
}

int kafka_reach_wait(const struct kafka_options *o, int64_t timeout_ms,
                     void (*waiting)(void *arg, const char *why), void *arg,
                     struct err *e)
{
    rd_kafka_t *rk = kafka_handle(o, HANDLE_QUESTION, e);
    if (rk == NULL)
        return -1;
    int64_t start = clock_now(&clock_system);
    rd_kafka_resp_err_t err;
    const struct rd_kafka_metadata *md = NULL;
    for (;;) {
        int64_t left = timeout_ms < 0 ? WAITING_EVERY_MS
                                      : start + timeout_ms - clock_now(&clock_system);
        int slice = left < WAITING_EVERY_MS ? (int)left : WAITING_EVERY_MS;
        err = rd_kafka_metadata(rk, 0, NULL, &md, slice > 0 ? slice : 1);
        if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
            break;
        if (timeout_ms >= 0 && clock_now(&clock_system) - start >= timeout_ms)
            break;
        if (waiting != NULL)
            waiting(arg, rd_kafka_err2str(err));
    }
    if (md != NULL)
        rd_kafka_metadata_destroy(md);
    rd_kafka_destroy(rk);
    return err ? err_set(e, ERR_BUSY, "%s: no broker answers (%s)", o->bootstrap,
                         rd_kafka_err2str(err))
               : 0;
}

int kafka_topics_wait(const struct kafka_options *o, struct kafka_topic_info *infos,
                      size_t n, struct err *e)
{
    rd_kafka_t *rk = kafka_handle(o, HANDLE_QUESTION, e);
    if (rk == NULL)
        return -1;
    for (size_t i = 0; i < n; i++) {
        struct err why = ERR_INIT;
        infos[i].error[0] = 0;
        infos[i].max_message_bytes = -1;
        infos[i].partitions = partitions_of(rk, infos[i].topic, &why);
        if (infos[i].partitions < 0) {
            infos[i].partitions = 0;
            snprintf(infos[i].error, sizeof infos[i].error, "%.150s", why.text);
        } else if (infos[i].partitions > 0) {
            infos[i].max_message_bytes = kafka_topic_max_bytes(rk, infos[i].topic);
        }
    }
    rd_kafka_destroy(rk);
    return 0;
}

int kafka_create_topics_wait(const struct kafka_options *o,
                             const struct kafka_new_topic *topics, size_t n,
                             struct err *e)
{
    char text[256];
    rd_kafka_t *rk = kafka_handle(o, HANDLE_QUESTION, e);
    if (rk == NULL)
        return -1;
    rd_kafka_NewTopic_t **list = mem_array(n + 1, sizeof *list);
    for (size_t i = 0; i < n; i++) {
        list[i] = rd_kafka_NewTopic_new(topics[i].topic, topics[i].partitions,
                                        topics[i].replication, text, sizeof text);
        if (list[i] != NULL && topics[i].compacted)
            rd_kafka_NewTopic_set_config(list[i], "cleanup.policy", "compact");
        if (list[i] == NULL)
            err_set(e, ERR_SETTINGS, "%s: %s", topics[i].topic, text);
    }
    int rc = e->kind == ERR_NONE ? 0 : -1;
    rd_kafka_queue_t *q = rd_kafka_queue_new(rk);
    if (rc == 0)
        rd_kafka_CreateTopics(rk, list, n, NULL, q);
    rd_kafka_event_t *ev = rc == 0 ? rd_kafka_queue_poll(q, 30000) : NULL;
    size_t n_results = 0;
    const rd_kafka_topic_result_t **results = NULL;
    if (ev != NULL && rd_kafka_event_error(ev) == RD_KAFKA_RESP_ERR_NO_ERROR)
        results = rd_kafka_CreateTopics_result_topics(
            rd_kafka_event_CreateTopics_result(ev), &n_results);
    else if (rc == 0)
        rc = err_set(e, ERR_SETTINGS, "topics cannot be created: %s",
                     ev ? rd_kafka_event_error_string(ev) : "no answer");
    for (size_t i = 0; i < n_results; i++) {
        rd_kafka_resp_err_t err = rd_kafka_topic_result_error(results[i]);
        if (err && err != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
            rc = err_set(e, ERR_SETTINGS, "topic %s cannot be created: %s",
                         rd_kafka_topic_result_name(results[i]), rd_kafka_err2str(err));
    }
    if (ev != NULL)
        rd_kafka_event_destroy(ev);
    for (size_t i = 0; i < n; i++)
        if (list[i] != NULL)
            rd_kafka_NewTopic_destroy(list[i]);
    mem_free(list);
    rd_kafka_queue_destroy(q);
    rd_kafka_destroy(rk);
    return rc;
}

int kafka_prove_transactions_wait(const struct kafka_options *o, struct err *e)
{
    rd_kafka_t *producer = kafka_handle(o, HANDLE_PRODUCER, e);
    rd_kafka_t *consumer = producer ? kafka_handle(o, HANDLE_CONSUMER, e) : NULL;
    int rc = consumer ? prove(producer, consumer, o, e) : -1;
    if (consumer != NULL)
        rd_kafka_destroy(consumer);
    if (producer != NULL)
        rd_kafka_destroy(producer);
    return rc;
}

int kafka_produce_wait(const struct kafka_options *o, struct kafka_output *out,
                       int64_t timeout_ms, int64_t *offset, struct err *e)
{
    rd_kafka_t *rk = kafka_handle(o, HANDLE_PLAIN_PRODUCER, e);
    if (rk == NULL)
        return -1;
    rd_kafka_queue_t *q = rd_kafka_queue_get_main(rk);
    rd_kafka_headers_t *hs = rd_kafka_headers_new(out->n_headers + 1);
    for (size_t i = 0; i < out->n_headers; i++)
        rd_kafka_header_add(hs, out->headers[i].name.ptr,
                            (ssize_t)out->headers[i].name.len, out->headers[i].value.ptr,
                            (ssize_t)out->headers[i].value.len);
    rd_kafka_resp_err_t err = rd_kafka_producev(
        rk, RD_KAFKA_V_TOPIC(out->topic), RD_KAFKA_V_PARTITION(out->partition),
        RD_KAFKA_V_KEY(out->key.ptr, out->key.len),
        RD_KAFKA_V_VALUE(mem_unconst(out->value.ptr), out->value.len),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_HEADERS(hs), RD_KAFKA_V_END);
    int rc = err ? err_set(e, ERR_BUSY, "%s: %s", out->topic, rd_kafka_err2str(err)) : 1;
    int64_t until = clock_now(&clock_system) + timeout_ms;
    while (rc == 1) { /* delivery reports come as events: no callback is set */
        rd_kafka_event_t *ev = rd_kafka_queue_poll(q, 200);
        const rd_kafka_message_t *msg = ev && rd_kafka_event_type(ev) == RD_KAFKA_EVENT_DR
                                            ? rd_kafka_event_message_next(ev)
                                            : NULL;
        if (msg != NULL) {
            out->partition = msg->partition;
            *offset = msg->offset;
            rc = msg->err ? err_set(e, ERR_BUSY, "%s: %s", out->topic,
                                    rd_kafka_err2str(msg->err))
                          : 0;
        } else if (clock_now(&clock_system) >= until) {
            rc = err_set(e, ERR_BUSY, "%s: no acknowledgement in %lld ms", out->topic,
                         (long long)timeout_ms);
        }
        if (ev != NULL)
            rd_kafka_event_destroy(ev);
    }
    rd_kafka_queue_destroy(q);
    rd_kafka_destroy(rk);
    return rc;
}

/* --- reader --- */

struct kafka_reader *kafka_reader_open_wait(const struct kafka_options *o,
                                            const char *topic, enum kafka_from from,
                                            int64_t arg, struct err *e)
{
    struct kafka_options ro = *o;
    char group[64];
    snprintf(group, sizeof group,
             "front-connector-reader"); /* never joined, never committed */
    ro.group_id = group;
    ro.static_member = false;
    struct kafka_reader *r = mem_zalloc(sizeof *r);
    r->rk = kafka_handle(&ro, HANDLE_CONSUMER, e);
    if (r->rk == NULL) {
        mem_free(r);
        return NULL;
    }
    rd_kafka_poll_set_consumer(r->rk);
    if (reader_start(r, topic, from, arg, e)) {
        kafka_reader_free(r);
        return NULL;
    }
    return r;
}

int kafka_reader_next_wait(struct kafka_reader *r, int64_t timeout_ms,
                           struct kafka_record *rec, struct err *e)
{
    rd_kafka_message_t *msg = rd_kafka_consumer_poll(r->rk, (int)timeout_ms);
    if (msg == NULL)
        return 0;
    if (msg->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        rd_kafka_message_destroy(msg);
        return r->open > 0 && --r->open == 0 ? 2 : 0;
    }
    if (msg->err) {
        bool passing = msg->err == RD_KAFKA_RESP_ERR__TRANSPORT ||
                       msg->err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;
        int rc = passing ? 0 : err_set(e, ERR_BUSY, "%s", rd_kafka_message_errstr(msg));
        rd_kafka_message_destroy(msg);
        return rc;
    }
    rd_kafka_timestamp_type_t kind;
    rd_kafka_headers_t *hs;
    memset(rec, 0, sizeof *rec);
    rec->at = (struct kafka_partition){rd_kafka_topic_name(msg->rkt), msg->partition};
    rec->offset = msg->offset;
    rec->timestamp_ms = rd_kafka_message_timestamp(msg, &kind);
    rec->key = (struct str){msg->key, msg->key_len};
    rec->value = (struct str){msg->payload, msg->len};
    rec->handle = msg;
    if (rd_kafka_message_headers(msg, &hs) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        rec->headers = mem_array(rd_kafka_header_cnt(hs), sizeof *rec->headers);
        const char *name;
        const void *value;
        size_t size;
        while (rd_kafka_header_get_all(hs, rec->n_headers, &name, &value, &size) ==
               RD_KAFKA_RESP_ERR_NO_ERROR)
            rec->headers[rec->n_headers++] =
                (struct kafka_header){str_of(name), {value, size}};
    }
    return 1;
}

void kafka_reader_release(struct kafka_reader *r, struct kafka_record *rec)
{
    (void)r;
    mem_free(rec->headers);
    rd_kafka_message_destroy(rec->handle);
}

void kafka_reader_free(struct kafka_reader *r)
{
    if (r == NULL)
        return;
    rd_kafka_consumer_close(r->rk);
    rd_kafka_destroy(r->rk);
    mem_free(r);
}

static int reader_start(struct kafka_reader *r, const char *topic, enum kafka_from from,
                        int64_t arg, struct err *e)
{
    int32_t n = partitions_of(r->rk, topic, e);
    if (n <= 0)
        return n == 0 ? err_set(e, ERR_SETTINGS, "topic %s does not exist", topic) : -1;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(n);
    int rc = 0;
    for (int32_t p = 0; p < n && rc == 0; p++) {
        int64_t offset = start_of(r->rk, topic, p, from, arg, e);
        if (offset < 0)
            rc = -1;
        rd_kafka_topic_partition_list_add(list, topic, p)->offset = offset;
    }
    if (rc == 0 && rd_kafka_assign(r->rk, list))
        rc = err_set(e, ERR_BUSY, "%s cannot be read", topic);
    rd_kafka_topic_partition_list_destroy(list);
    r->open = (size_t)n;
    return rc;
}

static int64_t start_of(rd_kafka_t *rk, const char *topic, int32_t partition,
                        enum kafka_from from, int64_t arg, struct err *e)
{
    int64_t low, high;
    rd_kafka_resp_err_t err =
        rd_kafka_query_watermark_offsets(rk, topic, partition, &low, &high, ASK_MS);
    if (err)
        return err_set(e, ERR_BUSY, "%s/%d: %s", topic, partition, rd_kafka_err2str(err));
    switch (from) {
    case FROM_BEGINNING:
        return low;
    case FROM_END:
        return high;
    case FROM_LAST:
        return high - arg > low ? high - arg : low;
    case FROM_TIME:
        break;
    }
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *el =
        rd_kafka_topic_partition_list_add(list, topic, partition);
    el->offset = arg;
    err = rd_kafka_offsets_for_times(rk, list, ASK_MS);
    int64_t offset = err || el->offset < 0 ? high : el->offset;
    rd_kafka_topic_partition_list_destroy(list);
    return offset;
}

/* 0: does not exist; -1: could not be asked. */
static int32_t partitions_of(rd_kafka_t *rk, const char *topic, struct err *e)
{
    const struct rd_kafka_metadata *md = NULL;
    rd_kafka_topic_t *t = rd_kafka_topic_new(rk, topic, NULL);
    rd_kafka_resp_err_t err =
        t ? rd_kafka_metadata(rk, 0, t, &md, ASK_MS) : rd_kafka_last_error();
    int32_t n = -1;
    if (err) {
        err_set(e, ERR_BUSY, "%s: %s", topic, rd_kafka_err2str(err));
    } else {
        rd_kafka_resp_err_t terr = md->topic_cnt == 1
                                       ? md->topics[0].err
                                       : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        if (terr == RD_KAFKA_RESP_ERR_NO_ERROR)
            n = md->topics[0].partition_cnt;
        else if (terr == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
            n = 0;
        else
            err_set(e, ERR_SETTINGS, "%s: %s", topic, rd_kafka_err2str(terr));
    }
    if (md != NULL)
        rd_kafka_metadata_destroy(md);
    if (t != NULL)
        rd_kafka_topic_destroy(t);
    return n;
}

static int prove(rd_kafka_t *producer, rd_kafka_t *consumer,
                 const struct kafka_options *o, struct err *e)
{
    rd_kafka_error_t *error = rd_kafka_init_transactions(producer, PROVE_MS);
    if (error != NULL)
        return refused(e,
                       "transactions (Write and Describe on the transactional id "
                       "<group.id>.<instance.id>, IdempotentWrite)",
                       error);
    error = rd_kafka_begin_transaction(producer);
    if (error != NULL)
        return refused(e, "transactions", error);
    int rc = 0;
    rd_kafka_topic_partition_list_t *none = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(none, o->topics[0], 0)->offset = 0;
    rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata_new(
        o->group_id); /* generation -1: not checked */
    error = rd_kafka_send_offsets_to_transaction(producer, none, group, PROVE_MS);
    if (error != NULL)
        rc = refused(e, "committing positions (Read on the group and the command topics)",
                     error);
    for (size_t i = 0; i < o->n_outputs && rc == 0; i++) {
        rd_kafka_resp_err_t err =
            rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(o->outputs[i]),
                              RD_KAFKA_V_VALUE(NULL, 0), RD_KAFKA_V_END);
        if (err)
            rc = err_set(e, ERR_SETTINGS, "%s cannot be written: %s", o->outputs[i],
                         rd_kafka_err2str(err));
    }
    rd_kafka_resp_err_t flushed =
        rc == 0 ? rd_kafka_flush(producer, PROVE_MS) : RD_KAFKA_RESP_ERR_NO_ERROR;
    if (flushed)
        rc = err_set(e, ERR_SETTINGS,
                     "the output topics cannot be written (Write on each): %s",
                     rd_kafka_err2str(flushed));
    error = rd_kafka_abort_transaction(producer, PROVE_MS);
    if (error != NULL && rc == 0)
        rc = refused(e, "ending a transaction", error);
    else if (error != NULL)
        rd_kafka_error_destroy(error);
    (void)consumer;
    rd_kafka_consumer_group_metadata_destroy(group);
    rd_kafka_topic_partition_list_destroy(none);
    return rc;
}

static int refused(struct err *e, const char *what, rd_kafka_error_t *error)
{
    err_set(e, ERR_SETTINGS, "%s refused: %s", what, rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return -1;
}

/* Java's murmur2 with Kafka's seed; the sign bit is masked, as its partitioner does. */
int32_t kafka_partition_of(struct str key, int32_t partitions)
{
    if (key.ptr == NULL)
        return -1;
    const uint32_t m = 0x5bd1e995;
    const unsigned char *p = (const unsigned char *)key.ptr;
    size_t left = key.len;
    uint32_t h = 0x9747b28cu ^ (uint32_t)key.len;
    for (; left >= 4; left -= 4, p += 4) {
        uint32_t k = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                     (uint32_t)p[3] << 24;
        k *= m;
        k ^= k >> 24;
        k *= m;
        h = h * m ^ k;
    }
    for (size_t i = left; i > 0; i--)
        h ^= (uint32_t)p[i - 1] << (8 * (i - 1));
    if (left > 0)
        h *= m;
    h ^= h >> 13;
    h *= m;
    h ^= h >> 15;
    return (int32_t)(h & 0x7fffffff) % partitions;
}
