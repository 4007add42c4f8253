/* What the files of kafka/ share: making handles, questions, records, and the job that
 * goes from the loop to the Kafka thread and comes back as its own answer. Nobody else
 * includes this. */
#ifndef KAFKA_INTERNAL_H
#define KAFKA_INTERNAL_H

#include <stdatomic.h>
#include <sys/queue.h>

#include <librdkafka/rdkafka.h>

#include "base/map.h"
#include "kafka/kafka.h"

/* --- settings.c, client.c: handles --- */

enum client_kind {
    CLIENT_GROUP,     /* member of the group, reads the commands */
    CLIENT_TICKS,     /* writes the ticks, transactional or not */
    CLIENT_EVENTS,    /* writes single records, never in a transaction */
    CLIENT_QUESTIONS, /* watermarks and metadata: read_uncommitted, no group */
    CLIENT_READER,    /* assigned by hand, never commits: tail */
    CLIENT_SENDER,    /* one record for a tool */
    CLIENT_PROOF /* as TICKS under a transactional.id of its own, to prove the rights */
};

/* Ours, the user's and the fixed properties; with or without the brokers' addresses. The
 * caller adds callbacks and gives it to client_new. NULL: *e says why. */
rd_kafka_conf_t *client_conf(const struct kafka_options *o, enum client_kind kind,
                             bool with_brokers, struct err *e);
/* What a person should read of a complaint of the library: without its guesses. */
void client_reason(const char *text, char *out, size_t size);
/* Takes conf in every case. NULL: *e says why. */
rd_kafka_t *client_new(enum client_kind kind, rd_kafka_conf_t *conf, struct err *e);
/* Sets what is known to exist and to fit: aborts when the library refuses it. */
void client_set(rd_kafka_conf_t *conf, const char *name, const char *value);
rd_kafka_topic_partition_list_t *partition_list(struct kafka_partition at,
                                                int64_t offset);

/* A state of the cluster that passes by itself: ask again. */
bool error_is_passing(rd_kafka_resp_err_t code);
/* The group has moved on without us: generation, member or instance is another. */
bool error_is_stale(rd_kafka_resp_err_t code);

/* --- question.c: calls that wait, on any handle. ERR_BUSY: passing, ask again --- */

int question_brokers(rd_kafka_t *rk, int timeout_ms, struct err *e);
/* count 0: does not exist; max_bytes -1: not allowed to know. */
int question_topic(rd_kafka_t *rk, const char *topic, int timeout_ms, int32_t *count,
                   int64_t *max_bytes, struct err *e);
/* A number of a topic's or a broker's configuration. -1: not there; or nobody knows,
 * since it needs a right that not everybody grants. */
int64_t question_number(rd_kafka_t *rk, rd_kafka_ResourceType_t type, const char *name,
                        const char *key, int timeout_ms);
int32_t question_broker(rd_kafka_t *rk, int timeout_ms); /* the id of one; -1: none */
/* `offset`: KAFKA_BEGINNING, KAFKA_END, or a time in ms; *answer is an offset. */
int question_offset(rd_kafka_t *rk, struct kafka_partition at, int64_t offset,
                    int timeout_ms, int64_t *answer, struct err *e);
/* The group's stable offset; *metadata is the caller's (mem_free), NULL when empty. */
int question_committed(rd_kafka_t *rk, struct kafka_partition at, int timeout_ms,
                       int64_t *offset, char **metadata, size_t *metadata_len,
                       struct err *e);

/* --- creation.c: topics that are missing --- */

struct creation;

/* Asks for them; creation_poll tells. NULL: *e says why. */
struct creation *creation_begin(rd_kafka_t *rk, const struct kafka_new_topic *topics,
                                size_t n, struct err *e);
/* 0: they are there, though not every broker knows yet. ERR_BUSY: not yet, or begin
 * again (then creation_ended says so). */
int creation_poll(struct creation *c, int timeout_ms, struct err *e);
bool creation_ended(const struct creation *c);
void creation_free(struct creation *c); /* before its handle is destroyed */

/* --- record.c: names and records --- */

struct names {
    struct name *by_text;
};

void names_fini(struct names *ns);
const char *names_intern(struct names *ns, const char *text);
/* Takes a FETCH event; false: it held no message (event destroyed). *lent counts the
 * records that are out; it must outlive them. */
bool record_take(struct names *ns, int *lent, rd_kafka_event_t *event,
                 struct kafka_record *rec);
void record_release(struct kafka_record *rec);
rd_kafka_headers_t *headers_new(const struct kafka_header *headers, size_t n);

/* --- the Kafka thread's watch: what it is doing, and whether it shall stop --- */

struct kafka_watch {
    _Atomic(const char *) call; /* NULL: idle */
    atomic_int_fast64_t since_ms;
    atomic_bool stop;
    atomic_int_fast64_t assignment; /* the one that holds now; 0: none */
};

void watch_begin(struct kafka_watch *w, const char *call);
void watch_end(struct kafka_watch *w);
/* Between two attempts of a call that came back at once. */
void watch_nap(struct kafka_watch *w);

/* --- consumer.c: the loop thread's side --- */

/* Group metadata of one assignment. Counted on the loop thread only. */
struct stamp {
    int refs;
    int64_t assignment;
    rd_kafka_consumer_group_metadata_t *group;
};

struct stamp *stamp_hold(struct stamp *s);
void stamp_release(struct stamp *s);

struct consumer;

struct consumer *consumer_new(struct loop *lo, const struct kafka_options *o,
                              struct kafka_watch *watch, struct err *e);
rd_kafka_t *consumer_handle(struct consumer *c);
struct names *consumer_names(struct consumer *c);
int consumer_subscribe(struct consumer *c, struct err *e);
bool consumer_next(struct consumer *c, struct kafka_event *ev);
void consumer_assign(struct consumer *c, const struct kafka_offset *parts, size_t n,
                     int64_t assignment);
void consumer_unassign(struct consumer *c, int64_t assignment);
void consumer_pause(struct consumer *c, struct kafka_partition at, bool pause);
int64_t consumer_high(struct consumer *c, struct kafka_partition at);
struct stamp *consumer_stamp(struct consumer *c, int64_t assignment); /* NULL: not held */
void consumer_close(struct consumer *c);
bool consumer_is_closed(const struct consumer *c);
/* A member fenced by its own join of a moment ago, whose answer was lost with the broker,
 * joins again with a new handle: true once the engine has let go of what it had. */
bool consumer_must_renew(const struct consumer *c);
/* The new handle, not subscribed yet; the old one is given back by consumer_old when no
 * record of it is out any more. */
rd_kafka_t *consumer_renew(struct consumer *c, struct err *e);
rd_kafka_t *consumer_old(struct consumer *c);
/* All but the librdkafka handle, which the Kafka thread destroys. */
void consumer_free(struct consumer *c);
/* Lets go of the handle's queues so that it can be destroyed. */
void consumer_detach(struct consumer *c);

/* --- reader.c: a stretch of another partition, on the Kafka thread --- */

/* A page that is being filled. Zeroed but for `next`, the first offset wanted; owns what
 * its records point to. */
struct page {
    struct kafka_record *records;
    size_t n;
    int64_t next; /* everything before it was read */
    struct arena arena;
};

void page_fini(struct page *page);

struct reader;

struct reader *reader_new(const struct kafka_options *o, struct err *e);
void reader_free(struct reader *r);
void reader_idle(struct reader *r); /* now and then: gives back what is not used */
/* Fills the page up to offset `to`, or until it is full. ERR_BUSY: nothing yet, ask
 * again.
 */
int reader_page(struct reader *r, struct kafka_partition at, int64_t to, bool follow,
                struct page *page, struct err *e);

/* --- producer.c: the Kafka thread's side --- */

struct producer;

/* `group`: the group consumer's handle, for commits of at-least-once. */
struct producer *producer_new(const struct kafka_options *o, rd_kafka_t *group,
                              struct kafka_watch *watch, struct err *e);
void producer_free(struct producer *p);
void producer_group(struct producer *p, rd_kafka_t *group); /* another one */
/* One attempt of about a second; ERR_BUSY: once more, else it is final. */
int producer_init(struct producer *p, struct err *e);
/* A handle for this topic; learns its metadata when a broker answers. */
void producer_prepare(struct producer *p, const char *topic);
/* No batch may be larger than the smallest topic takes: the next tick sees to it. */
void producer_limit(struct producer *p, int64_t topic_max_bytes);
/* Fills end, bad, why, took_us. `group` NULL: stale. */
void producer_tick(struct producer *p, struct kafka_tick *tick,
                   const struct stamp *stamp);
void producer_serve(struct producer *p);
/* Why this process cannot go on, or NULL. */
const char *producer_fatal(const struct producer *p);

/* --- events.c: single records, on the loop thread --- */

struct events;

struct events *events_new(struct loop *lo, const struct kafka_options *o, struct err *e);
int events_produce(struct events *es, const struct kafka_output *out, void *owner);
bool events_next(struct events *es, struct kafka_event *ev); /* KAFKA_PRODUCED */
/* A handle that broke and has reported all it had: for JOB_DESTROY; NULL: none. */
rd_kafka_t *events_old(struct events *es);
/* Lets go of the handle, for the Kafka thread to destroy, with what it still had. */
rd_kafka_t *events_detach(struct events *es);
void events_free(struct events *es); /* all but the handle */

/* --- worker.c: the Kafka thread --- */

enum job_type {
    JOB_TICK,
    JOB_COMMITTED,
    JOB_WATERMARKS,
    JOB_TOPIC,
    JOB_READ,
    JOB_PROBE,   /* tell when a broker answers again */
    JOB_GROUP,   /* from now on this is the group's handle */
    JOB_DESTROY, /* and this one is wanted no more */
    JOB_STATE,   /* news, not asked for */
    JOB_READY,
    JOB_FATAL
};

/* A request that comes back as its answer. */
struct job {
    TAILQ_ENTRY(job) link;
    enum job_type type;
    struct kafka_partition at; /* TOPIC: its topic */
    int64_t assignment;
    struct kafka_tick *tick;
    struct stamp *stamp;
    rd_kafka_t *group; /* GROUP, DESTROY */
    int64_t asked_ms, due_ms;
    int64_t turn_ms; /* it has been asked since; 0: not yet */

    int64_t offset, low, high; /* READ: to `high` */
    struct page page;
    char *metadata;
    size_t metadata_len;
    int32_t count; /* TOPIC */
    int64_t max_bytes;
    bool make;                 /* it is created when it is missing ... */
    struct creation *creation; /* ... and this is under way: the Kafka thread's */
    bool made;
    bool up;
    char error[240];
};

TAILQ_HEAD(job_list, job);

struct job *job_new(enum job_type type);
void job_free(struct job *job);

struct worker;

/* Owns from here on: producer, questions and, at its end, the group handle. */
struct worker *worker_start(struct loop *lo, const struct kafka_options *o,
                            rd_kafka_t *group, struct kafka_watch *watch, struct err *e);
void worker_ask(struct worker *w, struct job *job);
struct job *worker_answer(struct worker *w); /* NULL: none */
/* Stops the thread and destroys the handles; -1: not within the deadline, the thread is
 * left behind with all it uses. */
int worker_stop(struct worker *w, int64_t deadline_ms);

#endif
