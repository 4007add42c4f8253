/* The Kafka thread: every call of librdkafka that may block is a request to it. Whole
 * requests and answers cross two lists under one lock; the loop is woken by an eventfd.
 * The only file with threads. */
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "kafka/internal.h"

#define SLICE_MS 100
#define QUESTION_MS 2000
#define INIT_RETRY_US 500000

static void *thread_main(void *arg);
static struct request_item *take(struct kafka *k);
static void answer(struct kafka *k, struct request_item *item);
static bool serve(struct kafka *k, struct request_item *item);
static bool serve_committed(struct kafka *k, struct request_item *item);
static bool serve_watermarks(struct kafka *k, struct request_item *item);
static bool serve_topic(struct kafka *k, struct request_item *item);
static const char *const kind_names[] = {"init_transactions", "tick", "committed",
                                         "watermarks", "metadata"};

void worker_start(struct kafka *k)
{
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->go, NULL);
    TAILQ_INIT(&k->requests);
    TAILQ_INIT(&k->answers);
    pthread_create(&k->thread, NULL, thread_main, k);
}

void worker_stop(struct kafka *k)
{
    pthread_mutex_lock(&k->lock);
    k->stopping = true;
    pthread_cond_signal(&k->go);
    pthread_mutex_unlock(&k->lock);
    pthread_join(k->thread, NULL);
}

void worker_ask(struct kafka *k, enum request_kind kind, struct kafka_partition at,
                struct kafka_tick *tick)
{
    struct request_item *item = mem_zalloc(sizeof *item);
    item->kind = kind;
    item->at = at;
    item->tick = tick;
    item->group = kind == REQUEST_TICK ? k->group : NULL;
    pthread_mutex_lock(&k->lock);
    if (kind == REQUEST_TICK) /* a tick never stands behind questions */
        TAILQ_INSERT_HEAD(&k->requests, item, link);
    else
        TAILQ_INSERT_TAIL(&k->requests, item, link);
    pthread_cond_signal(&k->go);
    pthread_mutex_unlock(&k->lock);
}

const char *kafka_intern(struct kafka *k, const char *topic)
{
    pthread_mutex_lock(&k->lock);
    struct topic_name *t = k->names;
    while (t != NULL && strcmp(t->name, topic) != 0)
        t = t->next;
    if (t == NULL) {
        size_t size = strlen(topic) + 1;
        t = mem_zalloc(sizeof *t + size);
        memcpy(t->name, topic, size);
        t->next = k->names;
        k->names = t;
    }
    pthread_mutex_unlock(&k->lock);
    return t->name;
}

void kafka_enter(struct kafka *k, const char *call)
{
    pthread_mutex_lock(&k->lock);
    k->call = call;
    k->call_since = clock_now(&clock_system);
    pthread_mutex_unlock(&k->lock);
}

int64_t kafka_thread_busy_ms(struct kafka *k, const char **call)
{
    pthread_mutex_lock(&k->lock);
    int64_t ms = k->call != NULL ? clock_now(&clock_system) - k->call_since : 0;
    *call = k->call;
    pthread_mutex_unlock(&k->lock);
    return ms;
}

static void *thread_main(void *arg)
{
    struct kafka *k = arg;
    struct request_item *item;
    while ((item = take(k)) != NULL) {
        kafka_enter(k, kind_names[item->kind]);
        bool done = serve(k, item);
        kafka_enter(k, NULL);
        if (done)
            answer(k, item);
    }
    return NULL;
}

/* The next request; NULL: stop. */
static struct request_item *take(struct kafka *k)
{
    pthread_mutex_lock(&k->lock);
    while (TAILQ_EMPTY(&k->requests) && !k->stopping)
        pthread_cond_wait(&k->go, &k->lock);
    struct request_item *item = k->stopping ? NULL : TAILQ_FIRST(&k->requests);
    if (item != NULL)
        TAILQ_REMOVE(&k->requests, item, link);
    pthread_mutex_unlock(&k->lock);
    return item;
}

static void answer(struct kafka *k, struct request_item *item)
{
    pthread_mutex_lock(&k->lock);
    TAILQ_INSERT_TAIL(&k->answers, item, link);
    pthread_mutex_unlock(&k->lock);
    loop_wake_up(k->answer_fd);
}

/* False: not finished; it stands at the end of the queue again, so that ticks come
 * between. */
static bool serve(struct kafka *k, struct request_item *item)
{
    struct err e = ERR_INIT;
    bool done = true;
    item->answer.at = item->at;
    switch (item->kind) {
    case REQUEST_INIT:
        done = producer_init(k, &e);
        if (!done)
            usleep(INIT_RETRY_US);
        item->answer.type = e.kind == ERR_FATAL ? KAFKA_FATAL : KAFKA_STATE;
        item->answer.up = e.kind != ERR_FATAL;
        snprintf(item->answer.error, sizeof item->answer.error, "%s", e.text);
        break;
    case REQUEST_TICK:
        producer_tick(k, item);
        item->answer.type = KAFKA_TICK;
        item->answer.tick = item->tick;
        break;
    case REQUEST_COMMITTED:
        done = serve_committed(k, item);
        break;
    case REQUEST_WATERMARKS:
        done = serve_watermarks(k, item);
        break;
    case REQUEST_TOPIC:
        done = serve_topic(k, item);
        break;
    }
    if (done)
        return true;
    pthread_mutex_lock(&k->lock);
    TAILQ_INSERT_TAIL(&k->requests, item, link);
    pthread_mutex_unlock(&k->lock);
    return false;
}

/* Waits, slice by slice, for foreign transactions that hold the position. A time-out
 * leaves the element looking like "never committed": only the return value tells. */
static bool serve_committed(struct kafka *k, struct request_item *item)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *el =
        rd_kafka_topic_partition_list_add(list, item->at.topic, item->at.partition);
    rd_kafka_resp_err_t err = rd_kafka_committed(k->consumer, list, SLICE_MS);
    bool done =
        err == RD_KAFKA_RESP_ERR_NO_ERROR && el->err == RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_resp_err_t first = err ? err : el->err;
    if (done) {
        item->answer.offset = el->offset < 0 ? KAFKA_NO_OFFSET : el->offset;
        item->answer.metadata.len = el->metadata_size;
        item->answer.metadata.ptr =
            mem_strndup(el->metadata_size ? el->metadata : "",
                        el->metadata_size); /* not NUL-terminated */
    } else if (first == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED ||
               first == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) {
        snprintf(item->answer.error, sizeof item->answer.error, "%s",
                 rd_kafka_err2str(first));
        done = true;
    }
    item->answer.type = KAFKA_COMMITTED;
    rd_kafka_topic_partition_list_destroy(list);
    return done;
}

static bool serve_watermarks(struct kafka *k, struct request_item *item)
{
    rd_kafka_resp_err_t err = rd_kafka_query_watermark_offsets(
        k->question, item->at.topic, item->at.partition, &item->answer.low,
        &item->answer.high, QUESTION_MS);
    item->answer.type = KAFKA_WATERMARKS;
    if (err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) {
        snprintf(item->answer.error, sizeof item->answer.error, "%s",
                 rd_kafka_err2str(err));
        return true;
    }
    return err == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static bool serve_topic(struct kafka *k, struct request_item *item)
{
    const struct rd_kafka_metadata *md = NULL;
    rd_kafka_topic_t *t = rd_kafka_topic_new(k->question, item->at.topic, NULL);
    rd_kafka_resp_err_t err = t != NULL
                                  ? rd_kafka_metadata(k->question, 0, t, &md, QUESTION_MS)
                                  : rd_kafka_last_error();
    item->answer.type = KAFKA_TOPIC;
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        snprintf(item->answer.error, sizeof item->answer.error, "%s",
                 rd_kafka_err2str(err));
    } else {
        bool there =
            md->topic_cnt == 1 && md->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR;
        item->answer.count = there ? md->topics[0].partition_cnt : 0;
        item->answer.max_bytes =
            there ? kafka_topic_max_bytes(k->question, item->at.topic) : -1;
        if (there && k->producer != NULL)
            (void)producer_topic(k,
                                 item->at.topic); /* its first record is not slow then */
        rd_kafka_metadata_destroy(md);
    }
    if (t != NULL)
        rd_kafka_topic_destroy(t);
    return true;
}

int64_t kafka_topic_max_bytes(rd_kafka_t *rk, const char *topic)
{
    int64_t max = -1;
    rd_kafka_ConfigResource_t *res =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    rd_kafka_queue_t *q = rd_kafka_queue_new(rk);
    rd_kafka_DescribeConfigs(rk, &res, 1, NULL, q);
    rd_kafka_event_t *ev = rd_kafka_queue_poll(q, QUESTION_MS);
    size_t n = 0, n_entries = 0;
    if (ev != NULL && rd_kafka_event_error(ev) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        const rd_kafka_DescribeConfigs_result_t *r =
            rd_kafka_event_DescribeConfigs_result(ev);
        const rd_kafka_ConfigResource_t **rs =
            rd_kafka_DescribeConfigs_result_resources(r, &n);
        const rd_kafka_ConfigEntry_t **es =
            n > 0 ? rd_kafka_ConfigResource_configs(rs[0], &n_entries) : NULL;
        for (size_t i = 0; i < n_entries; i++) {
            struct err e = ERR_INIT;
            const char *value = rd_kafka_ConfigEntry_value(es[i]);
            if (strcmp(rd_kafka_ConfigEntry_name(es[i]), "max.message.bytes") == 0 &&
                value)
                (void)parse_i64(str_of(value), 0, INT64_MAX, &max, &e);
        }
    }
    if (ev != NULL)
        rd_kafka_event_destroy(ev);
    rd_kafka_queue_destroy(q);
    rd_kafka_ConfigResource_destroy(res);
    return max;
}
