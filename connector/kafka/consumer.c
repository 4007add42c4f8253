/* The group consumer, on the loop thread: one queue of events, an eventfd that says when
 * to look. Owns: the queue, the assignment's number and its group metadata. The handle
 * itself is destroyed by the Kafka thread, since that may take long. Invariant: the group
 * metadata of an assignment is taken right after its first assign call and never again: a
 * fresher one would let a tick overwrite the position of a partition that has moved away
 * (the broker checks generation, not ownership). */
#include "kafka/internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum consumer_state { CONSUMER_OPEN, CONSUMER_FENCED, CONSUMER_CLOSING, CONSUMER_CLOSED };

enum {
    /* A fence so long after a broker was missed may be the member's own doing. */
    OWN_FENCE_MS = 120000
};

struct handle {
    rd_kafka_t *rk;
    int lent; /* its records that are out: they must be back before it is destroyed */
};

struct consumer {
    rd_kafka_conf_t *conf; /* copied for every handle */
    struct handle *own;
    struct handle *old;        /* fenced; NULL: none */
    rd_kafka_queue_t *queue;   /* the consumer's own, main events forwarded to it */
    rd_kafka_queue_t *closing; /* where the events go once close was called */
    struct loop *loop;
    int wake_fd;
    struct kafka_watch *watch;
    struct names names;
    enum consumer_state state;

    char **topics;
    size_t n_topics;
    char *instance_id;

    int64_t missed_ms;  /* when a broker did not answer this handle; 0: never */
    int64_t assignment; /* number of the last ASSIGN */
    bool held;          /* ... and it was not unassigned yet */
    struct stamp *stamp;
    bool revoking; /* REVOKE or LOST was handed out and not answered yet */
    bool lost;     /* and that it is lost was said */
    struct kafka_partition *parts;
    size_t n_parts;
};

static void wake_up(void *arg, int fd, unsigned events);
static void watch_queue(struct consumer *c, rd_kafka_queue_t *queue);
static bool translate(struct consumer *c, rd_kafka_event_t *event,
                      struct kafka_event *ev);
static bool on_rebalance(struct consumer *c, rd_kafka_event_t *event,
                         struct kafka_event *ev);
static bool on_lost_meanwhile(struct consumer *c, struct kafka_event *ev);
static bool on_error(struct consumer *c, rd_kafka_event_t *event, struct kafka_event *ev);
static struct handle *open_handle(struct consumer *c, struct err *e);
static bool is_own_fence(const struct consumer *c, rd_kafka_resp_err_t code);
static bool on_fenced(struct consumer *c, struct kafka_event *ev);
static bool on_fatal(struct consumer *c, struct kafka_event *ev);
static void keep_parts(struct consumer *c, const rd_kafka_topic_partition_list_t *list);
static void show_parts(struct consumer *c, enum kafka_event_type type,
                       struct kafka_event *ev);
static void drop_stamp(struct consumer *c);
static void resume_all(struct consumer *c);
static bool group_is_checked(const rd_kafka_consumer_group_metadata_t *group);

struct stamp *stamp_hold(struct stamp *s)
{
    if (s != NULL)
        s->refs++;
    return s;
}

void stamp_release(struct stamp *s)
{
    if (s == NULL || --s->refs > 0)
        return;
    rd_kafka_consumer_group_metadata_destroy(s->group);
    mem_free(s);
}

struct consumer *consumer_new(struct loop *lo, const struct kafka_options *o,
                              struct kafka_watch *watch, struct err *e)
{
    rd_kafka_conf_t *conf = client_conf(o, CLIENT_GROUP, true, e);
    struct consumer *c;
    size_t i;

    if (conf == NULL)
        return NULL;
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_FETCH | RD_KAFKA_EVENT_REBALANCE |
                                       RD_KAFKA_EVENT_ERROR);
    c = mem_zalloc(sizeof(*c));
    c->conf = conf;
    c->loop = lo;
    c->watch = watch;
    c->instance_id = mem_strdup(o->instance_id);
    c->topics = mem_array(o->n_topics + 1, sizeof(c->topics[0]));
    for (i = 0; i < o->n_topics; i++)
        c->topics[c->n_topics++] = mem_strdup(o->topics[i]);
    if (o->jobs_topic != NULL)
        c->topics[c->n_topics++] = mem_strdup(o->jobs_topic);
    c->wake_fd = loop_wake_fd(lo, wake_up, c, e);
    if (c->wake_fd >= 0)
        c->own = open_handle(c, e);
    if (c->own == NULL) {
        consumer_free(c);
        return NULL;
    }
    return c;
}

static struct handle *open_handle(struct consumer *c, struct err *e)
{
    rd_kafka_t *rk = client_new(CLIENT_GROUP, rd_kafka_conf_dup(c->conf), e);
    struct handle *h;

    if (rk == NULL)
        return NULL;
    h = mem_zalloc(sizeof(*h));
    h->rk = rk;
    (void)rd_kafka_poll_set_consumer(rk); /* fails for producers only */
    c->queue = rd_kafka_queue_get_consumer(rk);
    watch_queue(c, c->queue);
    return h;
}

rd_kafka_t *consumer_handle(struct consumer *c)
{
    return c->own->rk;
}

bool consumer_must_renew(const struct consumer *c)
{
    return c->state == CONSUMER_FENCED && !c->held && c->old == NULL;
}

rd_kafka_t *consumer_renew(struct consumer *c, struct err *e)
{
    rd_kafka_queue_t *queue = c->queue;
    struct handle *h = open_handle(c, e);

    if (h == NULL)
        return NULL;
    rd_kafka_queue_io_event_enable(queue, -1, NULL, 0);
    rd_kafka_queue_destroy(queue);
    c->old = c->own;
    c->own = h;
    c->missed_ms = 0;
    c->state = CONSUMER_OPEN;
    return h->rk;
}

rd_kafka_t *consumer_old(struct consumer *c)
{
    rd_kafka_t *rk;

    if (c->old == NULL || c->old->lent > 0)
        return NULL;
    rk = c->old->rk;
    mem_free(c->old);
    c->old = NULL;
    return rk;
}

struct names *consumer_names(struct consumer *c)
{
    return &c->names;
}

int consumer_subscribe(struct consumer *c, struct err *e)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)c->n_topics);
    rd_kafka_resp_err_t code;
    size_t i;

    for (i = 0; i < c->n_topics; i++)
        rd_kafka_topic_partition_list_add(list, c->topics[i], RD_KAFKA_PARTITION_UA);
    code = rd_kafka_subscribe(c->own->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return err_set(e, ERR_FATAL, "subscribe: %s", rd_kafka_err2str(code));
    return 0;
}

bool consumer_next(struct consumer *c, struct kafka_event *ev)
{
    rd_kafka_event_t *event;

    if (c->state == CONSUMER_CLOSED)
        return false;
    if (c->state == CONSUMER_FENCED)
        return on_fenced(c, ev);
    if (on_lost_meanwhile(c, ev))
        return true;
    for (;;) {
        event = rd_kafka_queue_poll(c->closing != NULL ? c->closing : c->queue, 0);
        if (event == NULL)
            break;
        if (translate(c, event, ev))
            return true;
    }
    if (c->state == CONSUMER_CLOSING && rd_kafka_consumer_closed(c->own->rk) == 1) {
        c->state = CONSUMER_CLOSED;
        drop_stamp(c);
        ev->type = KAFKA_CLOSED;
        return true;
    }
    return false;
}

void consumer_assign(struct consumer *c, const struct kafka_offset *parts, size_t n,
                     int64_t assignment)
{
    rd_kafka_consumer_group_metadata_t *group;
    rd_kafka_topic_partition_list_t *list;
    rd_kafka_resp_err_t code;
    size_t i;

    if (assignment != c->assignment || c->revoking || c->state == CONSUMER_CLOSED ||
        c->state == CONSUMER_FENCED)
        return; /* overtaken: a REVOKE is on its way or answered */
    list = rd_kafka_topic_partition_list_new((int)n);
    for (i = 0; i < n; i++)
        rd_kafka_topic_partition_list_add(list, parts[i].at.topic, parts[i].at.partition)
            ->offset = parts[i].offset;
    resume_all(c);
    code = rd_kafka_assign(c->own->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        log_error("kafka.assign", "assignment %lld: %s", (long long)assignment,
                  rd_kafka_err2str(code));
    if (c->stamp != NULL)
        return; /* more partitions of an assignment that has its object */
    group = rd_kafka_consumer_group_metadata(c->own->rk);
    if (group == NULL)
        return; /* it closes, and has left the group: nothing is committed any more */
    c->stamp = mem_zalloc(sizeof(*c->stamp));
    *c->stamp = (struct stamp){1, assignment, group};
    /* An object of before the first join is not checked by the broker at all. */
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR || !group_is_checked(c->stamp->group))
        drop_stamp(c);
}

void consumer_unassign(struct consumer *c, int64_t assignment)
{
    rd_kafka_resp_err_t code;

    if (assignment != c->assignment || c->state == CONSUMER_CLOSED)
        return;
    drop_stamp(c);
    atomic_store(&c->watch->assignment, 0);
    c->revoking = false;
    c->lost = false;
    c->held = false;
    c->n_parts = 0;
    if (c->state == CONSUMER_FENCED)
        return;
    resume_all(c);
    code = rd_kafka_assign(c->own->rk, NULL);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        log_warn("kafka.unassign", "assignment %lld: %s", (long long)assignment,
                 rd_kafka_err2str(code));
}

/* Before each assignment, for two faults of librdkafka 2.0.2. It keeps a pause beyond the
 * assignment: a partition that came again would not be fetched (test_exactly_once.py,
 * Paused). And it aborts when an assignment goes while the one before it still stops:
 * what waits for an answer of every partition comes behind that (test_kafka_port.c). */
static void resume_all(struct consumer *c)
{
    rd_kafka_topic_partition_list_t *list = NULL;

    if (rd_kafka_assignment(c->own->rk, &list) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return; /* it closes: nothing comes again */
    (void)rd_kafka_resume_partitions(c->own->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
}

void consumer_pause(struct consumer *c, struct kafka_partition at, bool pause)
{
    rd_kafka_topic_partition_list_t *list = partition_list(at, RD_KAFKA_OFFSET_INVALID);

    /* Fails only for a partition that is no longer ours: then there is nothing to hold.
     */
    if (pause)
        (void)rd_kafka_pause_partitions(c->own->rk, list);
    else
        (void)rd_kafka_resume_partitions(c->own->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
}

int64_t consumer_high(struct consumer *c, struct kafka_partition at)
{
    int64_t low, high;

    if (rd_kafka_get_watermark_offsets(c->own->rk, at.topic, at.partition, &low, &high) !=
            RD_KAFKA_RESP_ERR_NO_ERROR ||
        high < 0)
        return -1;
    return high;
}

struct stamp *consumer_stamp(struct consumer *c, int64_t assignment)
{
    if (c->stamp == NULL || c->stamp->assignment != assignment)
        return NULL;
    return stamp_hold(c->stamp);
}

void consumer_close(struct consumer *c)
{
    rd_kafka_error_t *error;

    if (c->state == CONSUMER_FENCED) { /* it is no member any more: nothing to leave */
        atomic_store(&c->watch->assignment, 0);
        c->state = CONSUMER_CLOSED;
    }
    if (c->state != CONSUMER_OPEN)
        return;
    c->state = CONSUMER_CLOSING;
    /* A queue of its own: the library forwards the consumer's queue into it. */
    c->closing = rd_kafka_queue_new(c->own->rk);
    watch_queue(c, c->closing);
    error = rd_kafka_consumer_close_queue(c->own->rk, c->closing);
    if (error == NULL)
        return;
    log_info("kafka.close", "%s", rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    atomic_store(&c->watch->assignment, 0);
    c->state = CONSUMER_CLOSED; /* a fatal error closed it already; kafka.c tells */
}

bool consumer_is_closed(const struct consumer *c)
{
    return c->state == CONSUMER_CLOSED;
}

void consumer_detach(struct consumer *c)
{
    drop_stamp(c);
    if (c->closing != NULL)
        rd_kafka_queue_destroy(c->closing);
    if (c->queue != NULL)
        rd_kafka_queue_destroy(c->queue);
    c->closing = NULL;
    c->queue = NULL;
    c->state = CONSUMER_CLOSED;
}

void consumer_free(struct consumer *c)
{
    size_t i;

    if (c->wake_fd >= 0) {
        loop_unwatch(c->loop, c->wake_fd);
        (void)close(c->wake_fd);
    }
    names_fini(&c->names);
    rd_kafka_conf_destroy(c->conf);
    mem_free(c->own);
    mem_free(c->old);
    for (i = 0; i < c->n_topics; i++)
        mem_free(c->topics[i]);
    mem_free(c->topics);
    mem_free(c->instance_id);
    mem_free(c->parts);
    mem_free(c);
}

/* The engine drains every source each turn; this only ends the wait. */
static void wake_up(void *arg, int fd, unsigned events)
{
    (void)arg;
    (void)fd;
    (void)events;
}

static void watch_queue(struct consumer *c, rd_kafka_queue_t *queue)
{
    static const uint64_t one = 1;

    rd_kafka_queue_io_event_enable(queue, c->wake_fd, &one, sizeof(one));
}

/* Takes the event; false: nothing to tell. */
static bool translate(struct consumer *c, rd_kafka_event_t *event, struct kafka_event *ev)
{
    bool told = false;

    switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_FETCH:
        ev->type = KAFKA_RECORD;
        return record_take(&c->names, &c->own->lent, event, &ev->record);
    case RD_KAFKA_EVENT_REBALANCE:
        told = on_rebalance(c, event, ev);
        break;
    case RD_KAFKA_EVENT_ERROR:
        told = on_error(c, event, ev);
        break;
    default:
        break;
    }
    rd_kafka_event_destroy(event);
    return told;
}

static bool on_rebalance(struct consumer *c, rd_kafka_event_t *event,
                         struct kafka_event *ev)
{
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);

    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        keep_parts(c, rd_kafka_event_topic_partition_list(event));
        c->assignment++;
        c->held = true;
        c->revoking = false;
        c->lost = false;
        drop_stamp(c);
        atomic_store(&c->watch->assignment, c->assignment);
        show_parts(c, KAFKA_ASSIGN, ev);
        return true;
    }
    if (code == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
        keep_parts(c, rd_kafka_event_topic_partition_list(event));
        c->revoking = true;
        c->lost = rd_kafka_assignment_lost(c->own->rk) == 1;
        if (c->lost)
            atomic_store(&c->watch->assignment, 0);
        show_parts(c, c->lost ? KAFKA_LOST : KAFKA_REVOKE, ev);
        return true;
    }
    log_warn("kafka.rebalance", "%s", rd_kafka_err2str(code));
    (void)rd_kafka_assign(c->own->rk,
                          NULL); /* what the library asks for after an error */
    return false;
}

/* The session can end while a REVOKE drains: the library has no second event for that. */
static bool on_lost_meanwhile(struct consumer *c, struct kafka_event *ev)
{
    if (!c->revoking || c->lost || rd_kafka_assignment_lost(c->own->rk) != 1)
        return false;
    c->lost = true;
    atomic_store(&c->watch->assignment, 0);
    show_parts(c, KAFKA_LOST, ev);
    return true;
}

static bool on_error(struct consumer *c, rd_kafka_event_t *event, struct kafka_event *ev)
{
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    rd_kafka_topic_partition_t *part = rd_kafka_event_topic_partition(event);

    if (part != NULL) {
        ev->at.topic = names_intern(&c->names, part->topic);
        ev->at.partition = part->partition;
        ev->offset = part->offset;
        rd_kafka_topic_partition_destroy(part);
    }
    (void)snprintf(ev->error, sizeof(ev->error), "%s",
                   rd_kafka_event_error_string(event));
    if (error_is_passing(code))
        c->missed_ms = clock_now(&clock_system);
    if (rd_kafka_event_error_is_fatal(event) == 1 || code == RD_KAFKA_RESP_ERR__FATAL ||
        code == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID)
        return on_fatal(c, ev);
    if (code == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        ev->type = KAFKA_EOF;
        ev->error[0] = '\0';
        return true;
    }
    if (ev->at.topic != NULL && (code == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
                                 code == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE)) {
        ev->type = KAFKA_OUT_OF_RANGE;
        return true;
    }
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        ev->type = KAFKA_STATE;
        ev->up = false;
        return true;
    }
    if (code == RD_KAFKA_RESP_ERR__TRANSPORT || code == RD_KAFKA_RESP_ERR__RESOLVE)
        log_debug("kafka.broker", "%s", ev->error);
    else
        log_warn("kafka.consumer", "%s: %s", rd_kafka_err2name(code), ev->error);
    *ev = (struct kafka_event){.type = KAFKA_STATE};
    return false;
}

/* The broker knows a static member by its last join. When its answer was lost with a
 * connection, the library asks again as who it was before, and is fenced for good. A real
 * rival fences the new handle too, which has missed no broker. */
static bool is_own_fence(const struct consumer *c, rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID && c->state == CONSUMER_OPEN &&
           c->missed_ms != 0 && clock_now(&clock_system) - c->missed_ms < OWN_FENCE_MS;
}

/* The library has no event for what the member loses by that. */
static bool on_fenced(struct consumer *c, struct kafka_event *ev)
{
    if (!c->held || (c->revoking && c->lost))
        return false;
    c->revoking = true;
    c->lost = true;
    atomic_store(&c->watch->assignment, 0);
    show_parts(c, KAFKA_LOST, ev);
    return true;
}

static bool on_fatal(struct consumer *c, struct kafka_event *ev)
{
    char text[200];
    rd_kafka_resp_err_t code = rd_kafka_fatal_error(c->own->rk, text, sizeof(text));

    if (is_own_fence(c, code)) {
        log_warn("group.fenced",
                 "instance.id %s was fenced after a broker was missed, most likely by "
                 "its own join: it joins again",
                 c->instance_id);
        c->state = CONSUMER_FENCED;
        *ev = (struct kafka_event){.type = KAFKA_STATE};
        return on_fenced(c, ev);
    }
    ev->type = KAFKA_FATAL;
    if (code == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID)
        (void)snprintf(
            ev->error, sizeof(ev->error),
            "instance.id %s is used twice: another process joined the group under it; "
            "give every instance an instance.id of its own",
            c->instance_id);
    else
        (void)snprintf(ev->error, sizeof(ev->error), "consumer: %s", text);
    return true;
}

static void keep_parts(struct consumer *c, const rd_kafka_topic_partition_list_t *list)
{
    size_t n = list == NULL ? 0 : (size_t)list->cnt;
    size_t i;

    c->parts = mem_realloc(c->parts, (n + 1) * sizeof(c->parts[0]));
    c->n_parts = n;
    for (i = 0; i < n; i++)
        c->parts[i] = (struct kafka_partition){
            names_intern(&c->names, list->elems[i].topic), list->elems[i].partition};
}

static void show_parts(struct consumer *c, enum kafka_event_type type,
                       struct kafka_event *ev)
{
    ev->type = type;
    ev->parts = c->parts;
    ev->n_parts = c->n_parts;
    ev->assignment = c->assignment;
}

static void drop_stamp(struct consumer *c)
{
    stamp_release(c->stamp);
    c->stamp = NULL;
}

/* Generation and member id must be there. Before 2.8 the library shows them only in the
 * layout of its write function: "CGMDv2:", int32 generation, group id, 0, member id, 0,
 * ... */
static bool group_is_checked(const rd_kafka_consumer_group_metadata_t *group)
{
#if RD_KAFKA_VERSION >= 0x020800ff
    return rd_kafka_consumer_group_metadata_generation_id(group) >= 0 &&
           rd_kafka_consumer_group_metadata_member_id(group)[0] != '\0';
#else
    static const char magic[] = "CGMDv2:";
    const size_t at = sizeof(magic) - 1;
    const char *bytes, *member;
    void *buffer = NULL;
    size_t size = 0;
    int32_t generation = -1;
    rd_kafka_error_t *error =
        rd_kafka_consumer_group_metadata_write(group, &buffer, &size);
    bool checked = false;

    if (error != NULL) {
        rd_kafka_error_destroy(error);
        return false;
    }
    bytes = buffer;
    if (size > at + sizeof(generation) && memcmp(bytes, magic, at) == 0) {
        memcpy(&generation, bytes + at, sizeof(generation));
        member =
            memchr(bytes + at + sizeof(generation), '\0', size - at - sizeof(generation));
        checked = generation >= 0 && member != NULL && member + 1 < bytes + size &&
                  member[1] != '\0';
    }
    rd_kafka_mem_free(NULL, buffer);
    return checked;
#endif
}
