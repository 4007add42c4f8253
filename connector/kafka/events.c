/* Single records outside the ticks, on the loop thread: each is acknowledged by all
 * replicas in sync before its report. Owns an idempotent producer and its topic handles;
 * a producer that broke is emptied, given away to be destroyed, and replaced. Invariant:
 * each record that was taken is reported exactly once, and nothing here waits. */
#include "kafka/internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

enum {
    BATCH_MAX_BYTES = 1000000, /* the library's default */
    BATCH_FRAME_BYTES = 1000   /* what a batch and its codec may add */
};

struct event_topic {
    char *name;
    rd_kafka_topic_t *handle;
};

struct events {
    struct loop *loop;
    int wake_fd;
    rd_kafka_conf_t *conf; /* copied for every handle */
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    rd_kafka_event_t *reports; /* being read; NULL: none */
    struct event_topic *topics;
    size_t n_topics;
    bool broken; /* takes nothing more; its records come back as errors */
};

static int open_handle(struct events *es, struct err *e);
static void close_queue(struct events *es);
static bool take_event(struct events *es);
static void look_if_broken(struct events *es);
static void tell(const rd_kafka_message_t *msg, struct kafka_event *ev);
static rd_kafka_topic_t *topic_of(const struct events *es, const char *name);
static void wake_up(void *arg, int fd, unsigned events);

struct events *events_new(struct loop *lo, const struct kafka_options *o, struct err *e)
{
    rd_kafka_conf_t *conf = client_conf(o, CLIENT_EVENTS, true, e);
    struct events *es;
    char bytes[24];
    size_t i;

    if (conf == NULL)
        return NULL;
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
    /* A batch that grew beyond what its topic takes is refused as a whole although each
     * of its records fits. */
    if (o->events_max_bytes > BATCH_FRAME_BYTES &&
        o->events_max_bytes - BATCH_FRAME_BYTES < BATCH_MAX_BYTES) {
        (void)snprintf(bytes, sizeof(bytes), "%lld",
                       (long long)(o->events_max_bytes - BATCH_FRAME_BYTES));
        client_set(conf, "batch.size", bytes);
    }
    es = mem_zalloc(sizeof(*es));
    es->loop = lo;
    es->conf = conf;
    es->topics = mem_array(o->n_events, sizeof(es->topics[0]));
    for (i = 0; i < o->n_events; i++)
        es->topics[es->n_topics++].name = mem_strdup(o->events[i]);
    es->wake_fd = loop_wake_fd(lo, wake_up, es, e);
    if (es->wake_fd < 0 || open_handle(es, e) != 0) {
        events_free(es);
        return NULL;
    }
    return es;
}

int events_produce(struct events *es, const struct kafka_output *out, void *owner)
{
    rd_kafka_topic_t *topic = topic_of(es, out->topic);
    rd_kafka_headers_t *headers;
    rd_kafka_resp_err_t code;

    if (es->broken || topic == NULL)
        return -1;
    headers = headers_new(out->headers, out->n_headers);
    code = rd_kafka_producev(
        es->rk, RD_KAFKA_V_RKT(topic), RD_KAFKA_V_PARTITION(out->partition),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_KEY(mem_unconst(out->key.ptr), out->key.len),
        RD_KAFKA_V_VALUE(mem_unconst(out->value.ptr), out->value.len),
        RD_KAFKA_V_TIMESTAMP(out->timestamp_ms), RD_KAFKA_V_HEADERS(headers),
        RD_KAFKA_V_OPAQUE(owner), RD_KAFKA_V_END);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    rd_kafka_headers_destroy(headers);
    if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
        return 1;
    if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL)
        log_debug("kafka.events", "%s: %s", out->topic, rd_kafka_err2str(code));
    return -1;
}

bool events_next(struct events *es, struct kafka_event *ev)
{
    const rd_kafka_message_t *msg;

    while (es->queue != NULL) {
        msg = es->reports != NULL ? rd_kafka_event_message_next(es->reports) : NULL;
        if (msg != NULL) {
            tell(msg, ev);
            return true;
        }
        rd_kafka_event_destroy(es->reports);
        es->reports = NULL;
        if (!take_event(es))
            return false;
    }
    return false;
}

rd_kafka_t *events_old(struct events *es)
{
    struct err e = ERR_INIT;
    rd_kafka_t *old;

    if (!es->broken || es->rk == NULL || rd_kafka_outq_len(es->rk) > 0)
        return NULL;
    old = events_detach(es);
    if (open_handle(es, &e) != 0) /* as the first was: only memory can be missing */
        log_error("kafka.events", "%s", e.text);
    return old;
}

rd_kafka_t *events_detach(struct events *es)
{
    rd_kafka_t *rk = es->rk;
    size_t i;

    for (i = 0; i < es->n_topics; i++) {
        if (es->topics[i].handle != NULL)
            rd_kafka_topic_destroy(es->topics[i].handle);
        es->topics[i].handle = NULL;
    }
    close_queue(es);
    es->rk = NULL;
    return rk;
}

void events_free(struct events *es)
{
    size_t i;

    if (es == NULL)
        return;
    if (es->wake_fd >= 0) {
        loop_unwatch(es->loop, es->wake_fd);
        (void)close(es->wake_fd);
    }
    for (i = 0; i < es->n_topics; i++)
        mem_free(es->topics[i].name);
    mem_free(es->topics);
    rd_kafka_conf_destroy(es->conf);
    mem_free(es);
}

/* A topic's handle asks for its metadata at once: the first record need not. */
static int open_handle(struct events *es, struct err *e)
{
    static const uint64_t one = 1;
    size_t i;

    es->rk = client_new(CLIENT_EVENTS, rd_kafka_conf_dup(es->conf), e);
    if (es->rk == NULL)
        return -1;
    es->broken = false;
    es->queue = rd_kafka_queue_get_main(es->rk);
    rd_kafka_queue_io_event_enable(es->queue, es->wake_fd, &one, sizeof(one));
    for (i = 0; i < es->n_topics; i++)
        es->topics[i].handle = rd_kafka_topic_new(es->rk, es->topics[i].name, NULL);
    return 0;
}

static void close_queue(struct events *es)
{
    rd_kafka_event_destroy(es->reports);
    es->reports = NULL;
    if (es->queue == NULL)
        return;
    rd_kafka_queue_io_event_enable(es->queue, -1, NULL, 0);
    rd_kafka_queue_destroy(es->queue);
    es->queue = NULL;
}

/* False: there is none now. */
static bool take_event(struct events *es)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(es->queue, 0);

    if (event == NULL)
        return false;
    if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR) {
        es->reports = event;
        return true;
    }
    rd_kafka_event_destroy(event);
    look_if_broken(es);
    return true;
}

/* That brokers are away others say. A producer whose numbers the broker does not know any
 * more never works again: what it had comes back now, and is produced by the next one. */
static void look_if_broken(struct events *es)
{
    char text[200];

    if (es->broken ||
        rd_kafka_fatal_error(es->rk, text, sizeof(text)) == RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    log_warn("kafka.events", "the producer of events is replaced: %s", text);
    es->broken = true;
    (void)rd_kafka_purge(es->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
                                     RD_KAFKA_PURGE_F_NON_BLOCKING);
}

static void tell(const rd_kafka_message_t *msg, struct kafka_event *ev)
{
    ev->type = KAFKA_PRODUCED;
    ev->owner = msg->_private;
    if (msg->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    ev->refused = msg->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ||
                  msg->err == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE ||
                  msg->err == RD_KAFKA_RESP_ERR_INVALID_RECORD;
    (void)snprintf(ev->error, sizeof(ev->error), "%s", rd_kafka_err2str(msg->err));
}

static rd_kafka_topic_t *topic_of(const struct events *es, const char *name)
{
    size_t i;

    for (i = 0; i < es->n_topics; i++)
        if (strcmp(es->topics[i].name, name) == 0)
            return es->topics[i].handle;
    return NULL;
}

static void wake_up(void *arg, int fd, unsigned events)
{
    (void)arg;
    (void)fd;
    (void)events;
}
