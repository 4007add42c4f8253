/* The group consumer on the loop thread: one queue, everything as events. Also the port
 * the engine sees (struct kafka_port). */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "kafka/internal.h"

static void wake(void *arg, int fd, unsigned events);
static bool take_answer(struct kafka *k, struct kafka_event *ev);
static void forget_last(struct kafka *k);
static bool translate(struct kafka *k, rd_kafka_event_t *event, struct kafka_event *ev);
static bool take_message(struct kafka *k, rd_kafka_event_t *event,
                         struct kafka_event *ev);
static bool take_rebalance(struct kafka *k, rd_kafka_event_t *event,
                           struct kafka_event *ev);
static bool take_error(struct kafka *k, rd_kafka_event_t *event, struct kafka_event *ev);
static void take_headers(struct kafka *k, const rd_kafka_message_t *msg,
                         struct kafka_record *rec);
static void subscribe(struct kafka *k);

int consumer_open(struct kafka *k, struct err *e)
{
    char text[512];
    static const uint64_t one = 1;
    rd_kafka_conf_t *conf = kafka_conf(&k->o, HANDLE_CONSUMER, e);
    if (conf == NULL)
        return -1;
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_REBALANCE | RD_KAFKA_EVENT_FETCH |
                                       RD_KAFKA_EVENT_ERROR |
                                       RD_KAFKA_EVENT_OFFSET_COMMIT);
    k->consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text);
    if (k->consumer == NULL) {
        rd_kafka_conf_destroy(conf);
        return err_set(e, ERR_SETTINGS, "kafka consumer: %s", text);
    }
    rd_kafka_poll_set_consumer(k->consumer);
    k->queue = rd_kafka_queue_get_consumer(k->consumer);
    k->queue_fd = loop_wake_fd(k->loop, wake, k, e);
    k->answer_fd = loop_wake_fd(k->loop, wake, k, e);
    if (k->queue_fd < 0 || k->answer_fd < 0)
        return -1;
    rd_kafka_queue_io_event_enable(k->queue, k->queue_fd, &one, sizeof one);
    return 0;
}

/* Wake-ups are hints: every turn drains next() anyway. */
static void wake(void *arg, int fd, unsigned events)
{
    (void)arg;
    (void)fd;
    (void)events;
}

bool consumer_next(struct kafka *k, struct kafka_event *ev)
{
    forget_last(k);
    memset(ev, 0, sizeof *ev);
    if (take_answer(k, ev))
        return true;
    rd_kafka_event_t *event;
    while ((event = rd_kafka_queue_poll(k->queue, 0)) != NULL) {
        if (translate(k, event, ev))
            return true;
        memset(ev, 0, sizeof *ev);
    }
    if (k->closing && !k->closed_said && rd_kafka_consumer_closed(k->consumer)) {
        k->closed_said = true;
        ev->type = KAFKA_CLOSED;
        return true;
    }
    return false;
}

static void forget_last(struct kafka *k)
{
    if (k->event != NULL)
        rd_kafka_event_destroy(k->event);
    if (k->served != NULL) {
        mem_free(mem_unconst(k->served->answer.metadata.ptr));
        mem_free(k->served);
    }
    k->event = NULL;
    k->served = NULL;
}

static bool take_answer(struct kafka *k, struct kafka_event *ev)
{
    pthread_mutex_lock(&k->lock);
    struct request_item *item = TAILQ_FIRST(&k->answers);
    if (item != NULL)
        TAILQ_REMOVE(&k->answers, item, link);
    pthread_mutex_unlock(&k->lock);
    if (item == NULL)
        return false;
    *ev = item->answer;
    k->served = item;
    if (item->kind == REQUEST_TICK)
        k->waiting_tick = false;
    if (item->kind == REQUEST_INIT && ev->type == KAFKA_STATE)
        subscribe(k);
    return true;
}

static void subscribe(struct kafka *k)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)k->o.n_topics);
    for (size_t i = 0; i < k->o.n_topics; i++)
        rd_kafka_topic_partition_list_add(list, k->o.topics[i], RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t err = rd_kafka_subscribe(k->consumer, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (err)
        log_error("kafka.subscribe", "%s", rd_kafka_err2str(err));
    k->subscribed = true;
}

/* False: nothing for the engine; the event is destroyed. */
static bool translate(struct kafka *k, rd_kafka_event_t *event, struct kafka_event *ev)
{
    switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_FETCH:
        return take_message(k, event, ev);
    case RD_KAFKA_EVENT_REBALANCE:
        return take_rebalance(k, event, ev);
    case RD_KAFKA_EVENT_ERROR:
        return take_error(k, event, ev);
    default:
        rd_kafka_event_destroy(event);
        return false;
    }
}

/* The record owns the event: release() destroys it. */
static bool take_message(struct kafka *k, rd_kafka_event_t *event, struct kafka_event *ev)
{
    const rd_kafka_message_t *msg = rd_kafka_event_message_next(event);
    if (msg == NULL) {
        rd_kafka_event_destroy(event);
        return false;
    }
    struct kafka_record *rec = &ev->record;
    rd_kafka_timestamp_type_t kind;
    ev->type = KAFKA_RECORD;
    rec->at.topic = kafka_intern(k, rd_kafka_topic_name(msg->rkt));
    rec->at.partition = msg->partition;
    rec->offset = msg->offset;
    rec->timestamp_ms = rd_kafka_message_timestamp(msg, &kind);
    rec->key = (struct str){msg->key, msg->key_len};
    rec->value = (struct str){msg->payload, msg->len};
    rec->handle = event;
    take_headers(k, msg, rec);
    return true;
}

static void take_headers(struct kafka *k, const rd_kafka_message_t *msg,
                         struct kafka_record *rec)
{
    rd_kafka_headers_t *hs;
    (void)k;
    if (rd_kafka_message_headers(msg, &hs) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    size_t n = rd_kafka_header_cnt(hs);
    rec->headers = mem_array(n, sizeof *rec->headers);
    for (size_t i = 0; i < n; i++) {
        const char *name;
        const void *value;
        size_t size;
        if (rd_kafka_header_get_all(hs, i, &name, &value, &size))
            break;
        rec->headers[i].name = str_of(name);
        rec->headers[i].value = (struct str){value, size};
        rec->n_headers++;
    }
}

static bool take_rebalance(struct kafka *k, rd_kafka_event_t *event,
                           struct kafka_event *ev)
{
    rd_kafka_resp_err_t err = rd_kafka_event_error(event);
    rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(event);
    if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        ev->type = KAFKA_ASSIGN;
        ev->assignment = ++k->assignment;
    } else if (err == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
        ev->type = rd_kafka_assignment_lost(k->consumer) ? KAFKA_LOST : KAFKA_REVOKE;
        ev->assignment = k->assignment;
    } else {
        log_warn("kafka.rebalance", "%s", rd_kafka_err2str(err));
        rd_kafka_assign(k->consumer, NULL);
        rd_kafka_event_destroy(event);
        return false;
    }
    mem_free(k->parts);
    k->parts = mem_array((size_t)list->cnt + 1, sizeof *k->parts);
    for (int i = 0; i < list->cnt; i++)
        k->parts[i] = (struct kafka_partition){kafka_intern(k, list->elems[i].topic),
                                               list->elems[i].partition};
    ev->parts = k->parts;
    ev->n_parts = (size_t)list->cnt;
    rd_kafka_event_destroy(event);
    return true;
}

static bool take_error(struct kafka *k, rd_kafka_event_t *event, struct kafka_event *ev)
{
    rd_kafka_resp_err_t err = rd_kafka_event_error(event);
    rd_kafka_topic_partition_t *tp = rd_kafka_event_topic_partition(event);
    bool told = true;
    if (tp != NULL) {
        ev->at = (struct kafka_partition){kafka_intern(k, tp->topic), tp->partition};
        ev->offset = tp->offset;
        rd_kafka_topic_partition_destroy(tp);
    }
    snprintf(ev->error, sizeof ev->error, "%s", rd_kafka_event_error_string(event));
    if (err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        ev->type = KAFKA_EOF;
    } else if (err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
               err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE) {
        ev->type = KAFKA_OUT_OF_RANGE;
    } else if (rd_kafka_event_error_is_fatal(event) ||
               err == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID) {
        ev->type = KAFKA_FATAL;
        if (rd_kafka_fatal_error(k->consumer, ev->error, sizeof ev->error) ==
            RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID)
            snprintf(ev->error, sizeof ev->error,
                     "instance.id %s is used twice: every instance needs its own",
                     k->o.instance_id);
    } else if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        ev->type = KAFKA_STATE;
        ev->up = false;
    } else {
        log_debug("kafka.event", "%s", ev->error);
        told = false;
    }
    rd_kafka_event_destroy(event);
    return told;
}

/* --- the port --- */

static bool port_next(void *self, struct kafka_event *ev)
{
    struct kafka *k = self;
    bool got = consumer_next(k, ev);
    if (got && ev->type == KAFKA_STATE)
        k->up = ev->up;
    else if (got && !k->up && (ev->type == KAFKA_RECORD || ev->type == KAFKA_EOF))
        k->up =
            true; /* fetching again proves it; the engine hears it with the next state */
    return got;
}

static void port_release(void *self, struct kafka_record *rec)
{
    (void)self;
    mem_free(rec->headers);
    rd_kafka_event_destroy(rec->handle);
    rec->handle = NULL;
}

/* The group metadata object belongs to the assignment: a fresher one would be accepted by
 * the broker even for partitions that are no longer ours. */
static void port_assign(void *self, const struct kafka_offset *parts, size_t n,
                        int64_t assignment)
{
    struct kafka *k = self;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n);
    if (assignment != k->assignment) {
        rd_kafka_topic_partition_list_destroy(list);
        return;
    }
    for (size_t i = 0; i < n; i++)
        rd_kafka_topic_partition_list_add(list, parts[i].at.topic, parts[i].at.partition)
            ->offset = parts[i].offset;
    rd_kafka_resp_err_t err = rd_kafka_assign(k->consumer, list);
    if (err)
        log_error("kafka.assign", "%s", rd_kafka_err2str(err));
    rd_kafka_topic_partition_list_destroy(list);
    if (k->group != NULL)
        rd_kafka_consumer_group_metadata_destroy(k->group);
    k->group = rd_kafka_consumer_group_metadata(k->consumer);
}

static void port_unassign(void *self, int64_t assignment)
{
    struct kafka *k = self;
    (void)assignment;
    rd_kafka_assign(k->consumer, NULL);
    if (k->group != NULL)
        rd_kafka_consumer_group_metadata_destroy(k->group);
    k->group = NULL;
}

static void pause_or_resume(struct kafka *k, struct kafka_partition at, bool pause)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, at.topic, at.partition);
    rd_kafka_resp_err_t err = pause ? rd_kafka_pause_partitions(k->consumer, list)
                                    : rd_kafka_resume_partitions(k->consumer, list);
    if (err)
        log_warn("kafka.pause", "%s/%d: %s", at.topic, at.partition,
                 rd_kafka_err2str(err));
    rd_kafka_topic_partition_list_destroy(list);
}

static void port_pause(void *self, struct kafka_partition at)
{
    pause_or_resume(self, at, true);
}

static void port_resume(void *self, struct kafka_partition at)
{
    pause_or_resume(self, at, false);
}

static void port_committed(void *self, struct kafka_partition at)
{
    worker_ask(self, REQUEST_COMMITTED, at, NULL);
}

static void port_watermarks(void *self, struct kafka_partition at)
{
    worker_ask(self, REQUEST_WATERMARKS, at, NULL);
}

static void port_topic(void *self, const char *topic)
{
    worker_ask(self, REQUEST_TOPIC,
               (struct kafka_partition){kafka_intern(self, topic), 0}, NULL);
}

static int port_submit(void *self, struct kafka_tick *tick)
{
    struct kafka *k = self;
    if (k->waiting_tick)
        return -1;
    k->waiting_tick = true;
    worker_ask(k, REQUEST_TICK, (struct kafka_partition){NULL, 0}, tick);
    return 0;
}

static void port_close(void *self)
{
    struct kafka *k = self;
    rd_kafka_error_t *error = rd_kafka_consumer_close_queue(k->consumer, k->queue);
    if (error != NULL) {
        log_warn("kafka.close", "%s", rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
    }
    k->closing = true;
}

static const char *port_intern(void *self, const char *topic)
{
    return kafka_intern(self, topic);
}

static int64_t port_high(void *self, struct kafka_partition at)
{
    struct kafka *k = self;
    int64_t low, high;
    if (rd_kafka_get_watermark_offsets(k->consumer, at.topic, at.partition, &low, &high))
        return -1;
    return high;
}

struct kafka_port kafka_port(struct kafka *k)
{
    return (struct kafka_port){port_next,      port_release,
                               port_assign,    port_unassign,
                               port_pause,     port_resume,
                               port_committed, port_watermarks,
                               port_topic,     port_submit,
                               port_close,     port_intern,
                               port_high,      k};
}

struct kafka *kafka_open(struct loop *lo, const struct kafka_options *o, struct err *e)
{
    struct kafka *k = mem_zalloc(sizeof *k);
    k->o = *o;
    k->loop = lo;
    if (consumer_open(k, e))
        return NULL; /* start-up fails: the process ends with this message */
    k->question = kafka_handle(o, HANDLE_QUESTION, e);
    if (k->question == NULL)
        return NULL;
    worker_start(k);
    worker_ask(k, REQUEST_INIT, (struct kafka_partition){NULL, 0}, NULL);
    return k;
}

/* The library may hang in its own destroy when a partition vanished: who calls this ends
 * with _exit after the deadline. */
void kafka_free(struct kafka *k, int64_t deadline_ms)
{
    const char *call;
    if (k == NULL)
        return;
    int64_t until = clock_now(&clock_system) + deadline_ms;
    while (kafka_thread_busy_ms(k, &call) > 0 && clock_now(&clock_system) < until)
        loop_wait(k->loop, 10);
    if (call != NULL || (k->closing && !rd_kafka_consumer_closed(k->consumer)))
        return;
    worker_stop(k);
    forget_last(k);
    producer_close(k);
    if (k->group != NULL)
        rd_kafka_consumer_group_metadata_destroy(k->group);
    rd_kafka_queue_destroy(k->queue);
    rd_kafka_destroy_flags(k->consumer, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    rd_kafka_destroy(k->question);
    struct topic_name *t;
    while ((t = k->names) != NULL) {
        k->names = t->next;
        mem_free(t);
    }
    mem_free(k->parts);
    mem_free(k);
}

void kafka_prepare_topic(struct kafka *k, const char *topic)
{
    port_topic(k, topic);
}
