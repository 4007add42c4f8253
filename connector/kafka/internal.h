/* What the files of kafka/ share: the handles and the two queues between loop and Kafka
 * thread. */
#ifndef KAFKA_INTERNAL_H
#define KAFKA_INTERNAL_H

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <sys/queue.h>

#include "kafka/kafka.h"

enum handle_kind {
    HANDLE_CONSUMER,
    HANDLE_PRODUCER,
    HANDLE_QUESTION,
    HANDLE_PLAIN_PRODUCER
};

/* settings.c: a ready configuration for a handle. */
rd_kafka_conf_t *kafka_conf(const struct kafka_options *o, enum handle_kind kind,
                            struct err *e);
rd_kafka_t *kafka_handle(const struct kafka_options *o, enum handle_kind kind,
                         struct err *e);

/* A request to the Kafka thread; when done it comes back as an answer. */
enum request_kind {
    REQUEST_INIT,
    REQUEST_TICK,
    REQUEST_COMMITTED,
    REQUEST_WATERMARKS,
    REQUEST_TOPIC
};

struct request_item {
    TAILQ_ENTRY(request_item) link;
    enum request_kind kind;
    struct kafka_partition at;
    struct kafka_tick *tick;
    rd_kafka_consumer_group_metadata_t *group; /* TICK: borrowed from the assignment */
    struct kafka_event answer;                 /* metadata is owned (mem_free) */
};
TAILQ_HEAD(request_list, request_item);

struct topic_name {
    struct topic_name *next;
    rd_kafka_topic_t *handle; /* Kafka thread only, of the current producer */
    char name[];
};

struct kafka {
    struct kafka_options o; /* the caller's strings outlive us */
    struct loop *loop;
    rd_kafka_t *consumer, *question;
    rd_kafka_t *producer; /* Kafka thread only, after open */
    rd_kafka_queue_t *queue;
    int queue_fd, answer_fd;

    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t go;
    struct request_list requests, answers; /* under lock */
    bool stopping;                         /* under lock */
    const char *call;                      /* under lock: what the thread is in */
    int64_t call_since;                    /* under lock */
    struct topic_name *names;              /* under lock */

    /* loop thread only */
    rd_kafka_consumer_group_metadata_t *group;
    int64_t assignment;
    bool subscribed, up, closing, closed_said, waiting_tick;
    rd_kafka_event_t *event;     /* the one the last struct kafka_event borrows from */
    struct request_item *served; /* likewise */
    struct kafka_header *headers;
    struct kafka_partition *parts;

    /* Kafka thread only */
    size_t bad; /* index of an output a delivery report refused; SIZE_MAX: none */
    size_t undelivered;
    char bad_why[160];
};

/* worker.c */
void worker_start(struct kafka *k);
void worker_stop(struct kafka *k);
void worker_ask(struct kafka *k, enum request_kind kind, struct kafka_partition at,
                struct kafka_tick *tick);
const char *kafka_intern(struct kafka *k, const char *topic);
void kafka_enter(struct kafka *k, const char *call); /* NULL: left */

/* max.message.bytes of a topic; -1: could not be read. Waits. */
int64_t kafka_topic_max_bytes(rd_kafka_t *rk, const char *topic);

/* producer.c, on the Kafka thread */
bool producer_init(struct kafka *k, struct err *e);
void producer_tick(struct kafka *k, struct request_item *item);
void producer_close(struct kafka *k);
rd_kafka_topic_t *producer_topic(struct kafka *k, const char *interned);

/* consumer.c */
int consumer_open(struct kafka *k, struct err *e);
bool consumer_next(struct kafka *k, struct kafka_event *ev);

#endif
