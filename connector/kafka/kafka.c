/* The port: one stream of events out of the consumer and the Kafka thread's answers,
 * requests in. Owns both, and the watch over the thread. Invariant: everything here runs
 * on the loop thread and nothing here waits; an answer that belongs to an earlier
 * assignment is dropped here, so that a position read under one owner is never used under
 * the next. */
#include "kafka/kafka.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "kafka/internal.h"

enum known { UNKNOWN, UP, DOWN };

struct kafka {
    struct loop *loop;
    struct consumer *consumer;
    struct worker *worker;
    struct events *events; /* NULL: none */
    struct kafka_watch watch;
    struct job *shown; /* its metadata is lent until the next call of next */
    enum known state;
    bool subscribed;
    bool closing, closed;
    bool tick_runs;
};

static bool next_answer(struct kafka *k, struct kafka_event *ev);
static bool translate(struct kafka *k, struct job *job, struct kafka_event *ev);
static bool on_state(struct kafka *k, struct kafka_event *ev, bool from_thread);
static bool on_ready(struct kafka *k, struct kafka_event *ev);
static bool subscribe(struct kafka *k, struct kafka_event *ev);
static bool renew(struct kafka *k, struct kafka_event *ev);
static void destroy(struct kafka *k, rd_kafka_t *old);
static void drop_old(struct kafka *k);

static bool port_next(void *self, struct kafka_event *ev);
static void port_release(void *self, struct kafka_record *rec);
static void port_assign(void *self, const struct kafka_offset *parts, size_t n,
                        int64_t assignment);
static void port_unassign(void *self, int64_t assignment);
static void port_pause(void *self, struct kafka_partition at);
static void port_resume(void *self, struct kafka_partition at);
static void port_committed(void *self, struct kafka_partition at);
static void port_watermarks(void *self, struct kafka_partition at);
static void port_topic(void *self, const char *topic, bool make);
static void port_read(void *self, struct kafka_partition at, int64_t from, int64_t to);
static int port_submit(void *self, struct kafka_tick *tick);
static int port_produce_event(void *self, const struct kafka_output *out, void *owner);
static void port_close(void *self);
static const char *port_intern(void *self, const char *topic);
static int64_t port_high(void *self, struct kafka_partition at);
static void ask(struct kafka *k, enum job_type type, struct kafka_partition at);

struct kafka *kafka_open(struct loop *lo, const struct kafka_options *o, struct err *e)
{
    struct kafka *k = mem_zalloc(sizeof(*k));
    rd_kafka_t *group;

    k->loop = lo;
    k->consumer = consumer_new(lo, o, &k->watch, e);
    if (k->consumer == NULL) {
        mem_free(k);
        return NULL;
    }
    group = consumer_handle(k->consumer);
    if (o->n_events > 0)
        k->events = events_new(lo, o, e);
    if (o->n_events == 0 || k->events != NULL)
        k->worker = worker_start(lo, o, group, &k->watch, e);
    if (k->worker == NULL) {
        if (k->events != NULL)
            rd_kafka_destroy(events_detach(k->events));
        events_free(k->events);
        consumer_detach(k->consumer);
        rd_kafka_destroy_flags(group, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        consumer_free(k->consumer);
        mem_free(k);
        return NULL;
    }
    return k;
}

struct kafka_port kafka_port(struct kafka *k)
{
    return (struct kafka_port){
        .next = port_next,
        .release = port_release,
        .assign = port_assign,
        .unassign = port_unassign,
        .pause = port_pause,
        .resume = port_resume,
        .committed = port_committed,
        .watermarks = port_watermarks,
        .topic = port_topic,
        .read = port_read,
        .submit = port_submit,
        .produce_event = port_produce_event,
        .close = port_close,
        .intern = port_intern,
        .high = port_high,
        .self = k,
    };
}

void kafka_free(struct kafka *k, int64_t deadline_ms)
{
    if (k == NULL)
        return;
    job_free(k->shown);
    k->shown = NULL;
    consumer_detach(k->consumer);
    if (k->events != NULL)
        destroy(k, events_detach(k->events));
    if (worker_stop(k->worker, deadline_ms) != 0) {
        /* The thread and the library still use all this: it stays until the process ends.
         */
        log_warn("kafka.close", "handles not closed within %lld ms",
                 (long long)deadline_ms);
        return;
    }
    events_free(k->events);
    consumer_free(k->consumer);
    mem_free(k);
}

int64_t kafka_thread_busy_ms(struct kafka *k, const char **call)
{
    int64_t since = atomic_load(&k->watch.since_ms);

    *call = atomic_load(&k->watch.call);
    return *call == NULL ? 0 : clock_now(&clock_system) - since;
}

static bool port_next(void *self, struct kafka_event *ev)
{
    struct kafka *k = self;

    job_free(k->shown);
    k->shown = NULL;
    if (next_answer(k, ev))
        return true;
    if (k->events != NULL) {
        *ev = (struct kafka_event){.type = KAFKA_PRODUCED};
        if (events_next(k->events, ev))
            return true;
    }
    drop_old(k);
    if (!k->closing && consumer_must_renew(k->consumer) && renew(k, ev))
        return true;
    for (;;) {
        *ev = (struct kafka_event){.type = KAFKA_STATE};
        if (!consumer_next(k->consumer, ev))
            break;
        if (ev->type == KAFKA_CLOSED)
            k->closed = true;
        if (ev->type != KAFKA_STATE || on_state(k, ev, false))
            return true;
    }
    if (k->closing && !k->closed) {
        k->closed = consumer_is_closed(k->consumer);
        ev->type = KAFKA_CLOSED;
        return k->closed;
    }
    return false;
}

static bool next_answer(struct kafka *k, struct kafka_event *ev)
{
    struct job *job;

    for (job = worker_answer(k->worker); job != NULL; job = worker_answer(k->worker)) {
        *ev = (struct kafka_event){.type = KAFKA_STATE};
        if (translate(k, job, ev)) {
            k->shown = job;
            return true;
        }
        job_free(job);
    }
    return false;
}

static bool translate(struct kafka *k, struct job *job, struct kafka_event *ev)
{
    ev->at = job->at;
    (void)snprintf(ev->error, sizeof(ev->error), "%s", job->error);
    switch (job->type) {
    case JOB_TICK:
        k->tick_runs = false;
        ev->type = KAFKA_TICK;
        ev->tick = job->tick;
        return true;
    case JOB_COMMITTED:
        ev->type = KAFKA_COMMITTED;
        ev->assignment = job->assignment;
        ev->offset = job->offset;
        ev->metadata = (struct str){job->metadata, job->metadata_len};
        return job->assignment == atomic_load(&k->watch.assignment);
    case JOB_WATERMARKS:
        ev->type = KAFKA_WATERMARKS;
        ev->assignment = job->assignment;
        ev->low = job->low;
        ev->high = job->high;
        return job->assignment == atomic_load(&k->watch.assignment);
    case JOB_TOPIC:
        ev->type = KAFKA_TOPIC;
        ev->count = job->count;
        ev->max_bytes = job->max_bytes;
        return true;
    case JOB_READ:
        ev->type = KAFKA_READ;
        ev->assignment = job->assignment;
        ev->records = job->page.records;
        ev->n_records = job->page.n;
        ev->low = job->low;
        ev->offset = job->page.next;
        return job->assignment == atomic_load(&k->watch.assignment);
    case JOB_STATE:
        ev->up = job->up;
        return on_state(k, ev, true);
    case JOB_READY:
        return on_ready(k, ev);
    case JOB_FATAL:
        ev->type = KAFKA_FATAL;
        return true;
    case JOB_PROBE:
    case JOB_GROUP:
    case JOB_DESTROY:
        return false;
    }
    abort();
}

/* The thread asks until a broker answers and knows why none does; the consumer only
 * notices. */
static bool on_state(struct kafka *k, struct kafka_event *ev, bool from_thread)
{
    bool was_up = k->state == UP;

    if (ev->up) {
        k->state = UP;
        return !was_up;
    }
    if (!from_thread && !was_up)
        return false;
    k->state = DOWN;
    if (!from_thread)
        ask(k, JOB_PROBE, (struct kafka_partition){NULL, -1});
    return true;
}

static bool on_ready(struct kafka *k, struct kafka_event *ev)
{
    if (k->closing || k->subscribed)
        return false;
    k->subscribed = true;
    return subscribe(k, ev);
}

/* true: *ev says that it cannot be done. */
static bool subscribe(struct kafka *k, struct kafka_event *ev)
{
    struct err e = ERR_INIT;

    if (consumer_subscribe(k->consumer, &e) == 0)
        return false;
    ev->type = KAFKA_FATAL;
    err_copy(&e, ev->error, sizeof(ev->error));
    return true;
}

static bool renew(struct kafka *k, struct kafka_event *ev)
{
    struct err e = ERR_INIT;
    struct job *job;

    job = job_new(JOB_GROUP);
    job->group = consumer_renew(k->consumer, &e);
    if (job->group != NULL) {
        worker_ask(k->worker, job);
        return subscribe(k, ev);
    }
    job_free(job);
    *ev = (struct kafka_event){.type = KAFKA_FATAL};
    err_copy(&e, ev->error, sizeof(ev->error));
    return true;
}

/* On the Kafka thread, since destroying waits for the library's threads. */
static void destroy(struct kafka *k, rd_kafka_t *old)
{
    struct job *job;

    if (old == NULL)
        return;
    job = job_new(JOB_DESTROY);
    job->group = old;
    worker_ask(k->worker, job);
}

static void drop_old(struct kafka *k)
{
    destroy(k, consumer_old(k->consumer));
    if (k->events != NULL)
        destroy(k, events_old(k->events));
}

static void port_release(void *self, struct kafka_record *rec)
{
    (void)self;
    record_release(rec);
}

static void port_assign(void *self, const struct kafka_offset *parts, size_t n,
                        int64_t assignment)
{
    struct kafka *k = self;

    consumer_assign(k->consumer, parts, n, assignment);
}

static void port_unassign(void *self, int64_t assignment)
{
    struct kafka *k = self;

    consumer_unassign(k->consumer, assignment);
}

static void port_pause(void *self, struct kafka_partition at)
{
    struct kafka *k = self;

    consumer_pause(k->consumer, at, true);
}

static void port_resume(void *self, struct kafka_partition at)
{
    struct kafka *k = self;

    consumer_pause(k->consumer, at, false);
}

static void port_committed(void *self, struct kafka_partition at)
{
    ask(self, JOB_COMMITTED, at);
}

static void port_watermarks(void *self, struct kafka_partition at)
{
    ask(self, JOB_WATERMARKS, at);
}

static void port_topic(void *self, const char *topic, bool make)
{
    struct kafka *k = self;
    struct job *job = job_new(JOB_TOPIC);

    job->at =
        (struct kafka_partition){names_intern(consumer_names(k->consumer), topic), -1};
    job->make = make;
    worker_ask(k->worker, job);
}

static void port_read(void *self, struct kafka_partition at, int64_t from, int64_t to)
{
    struct kafka *k = self;
    struct job *job = job_new(JOB_READ);

    job->assignment = atomic_load(&k->watch.assignment);
    job->at = (struct kafka_partition){
        names_intern(consumer_names(k->consumer), at.topic), at.partition};
    job->low = job->page.next = from;
    job->high = to;
    worker_ask(k->worker, job);
}

static int port_submit(void *self, struct kafka_tick *tick)
{
    struct kafka *k = self;
    struct job *job;

    if (k->tick_runs)
        return -1;
    k->tick_runs = true;
    tick->end = TICK_RUNNING;
    job = job_new(JOB_TICK);
    job->tick = tick;
    job->stamp = consumer_stamp(k->consumer, tick->assignment);
    worker_ask(k->worker, job);
    return 0;
}

static int port_produce_event(void *self, const struct kafka_output *out, void *owner)
{
    struct kafka *k = self;

    return k->events == NULL ? -1 : events_produce(k->events, out, owner);
}

static void port_close(void *self)
{
    struct kafka *k = self;

    if (k->closing)
        return;
    k->closing = true;
    consumer_close(k->consumer);
}

static const char *port_intern(void *self, const char *topic)
{
    struct kafka *k = self;

    return names_intern(consumer_names(k->consumer), topic);
}

static int64_t port_high(void *self, struct kafka_partition at)
{
    struct kafka *k = self;

    return consumer_high(k->consumer, at);
}

static void ask(struct kafka *k, enum job_type type, struct kafka_partition at)
{
    struct job *job = job_new(type);

    job->at = at;
    job->assignment = atomic_load(&k->watch.assignment);
    worker_ask(k->worker, job);
}
