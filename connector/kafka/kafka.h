/* Opening Kafka: the group consumer, the producer of ticks, the question handle, the
 * Kafka thread; and what waits, for start and tools. Only the files of this folder
 * include rdkafka.h. */
#ifndef KAFKA_KAFKA_H
#define KAFKA_KAFKA_H

#include "base/err.h"
#include "base/loop.h"
#include "base/settings.h"
#include "kafka/port.h"

struct kafka_options {
    const char *bootstrap;
    /* kafka.* without the other two prefixes, kafka.consumer.*, kafka.producer.* */
    struct setting_pairs all, consumer, producer;
    const char *group_id;
    const char *instance_id;   /* transactional.id = <group.id>.<instance.id> */
    bool static_member;        /* also group.instance.id */
    bool exactly_once;         /* false: at-least-once behind the same tick interface */
    const char *const *topics; /* to subscribe */
    size_t n_topics;
    const char *jobs_topic; /* subscribed too; NULL: none */
    /* Topics the ticks write to: their handles are made before the first tick. */
    const char *const *outputs;
    size_t n_outputs;
    /* Topics that produce_event writes to; none: it takes nothing. */
    const char *const *events;
    size_t n_events;
    int64_t events_max_bytes; /* what the narrowest of them takes; -1: not known */
    /* No compacted topic, as those that the port's topic() makes else. */
    const char *events_topic;
    /* topics.create: what the port's topic() makes, compacted. */
    bool topics_create;
    int32_t topics_partitions, topics_replication; /* -1: broker default */
};

struct kafka;

/* Checks the properties (unknown ones, fixed ones, bad values): messages into `errors`,
 * one line each in the settings' form; returns how many. Reaches no broker. */
size_t kafka_check_settings(const struct kafka_options *o, struct buf *errors);

/* Makes the handles and the thread; reaches no broker yet. The first events are
 * KAFKA_STATE. After the producer is initialised (init_transactions, retried for ever
 * while brokers are away) it subscribes. */
struct kafka *kafka_open(struct loop *lo, const struct kafka_options *o, struct err *e);
struct kafka_port kafka_port(struct kafka *k);
/* After KAFKA_CLOSED, or to give up: destroys what can be within deadline_ms. */
void kafka_free(struct kafka *k, int64_t deadline_ms);
/* For health: ms since the Kafka thread began the call it is in (0: idle), and the call's
 * name. */
int64_t kafka_thread_busy_ms(struct kafka *k, const char **call);

/* --- for start and tools: these wait, never on the loop of a running engine --- */

struct kafka_topic_info {
    const char *topic;
    int32_t partitions;        /* 0: missing */
    int64_t max_message_bytes; /* -1: could not be read */
    char error[160];
};

/* Waits until a broker answers; -1 after timeout_ms (-1: for ever, calling `waiting`
 * every 5 s). */
int kafka_reach_wait(const struct kafka_options *o, int64_t timeout_ms,
                     void (*waiting)(void *arg, const char *why), void *arg,
                     struct err *e);
int kafka_topics_wait(const struct kafka_options *o, struct kafka_topic_info *infos,
                      size_t n, struct err *e);
struct kafka_new_topic {
    const char *topic;
    int32_t partitions;  /* -1: broker default */
    int32_t replication; /* -1: broker default */
    bool compacted;
    const struct kafka_topic_config {
        const char *name, *value;
    } * configs; /* beside that */
    size_t n_configs;
};
int kafka_create_topics_wait(const struct kafka_options *o,
                             const struct kafka_new_topic *topics, size_t n,
                             struct err *e);
/* Proves that exactly-once works and the ACLs are there: init_transactions, one record to
 * each output and the group's offset, then abort. Errors name the missing right. Takes
 * the transactional.id of o->instance_id from whoever has it: `check` gives another. */
int kafka_prove_transactions_wait(const struct kafka_options *o, struct err *e);
/* How many members the group has now; -1: could not be asked. */
int kafka_group_members_wait(const struct kafka_options *o, struct err *e);
/* Do the last `look_back` records of each results partition name a command of a partition
 * for which the group has no position? 1: yes, `where` is its source; 0: no. */
int kafka_lost_offsets_wait(const struct kafka_options *o, const char *results_topic,
                            int64_t look_back, char *where, size_t size, struct err *e);
/* What the brokers keep of offsets, and for how long; -1: not allowed to know. */
struct kafka_keeping {
    int64_t metadata_max_bytes; /* offset.metadata.max.bytes */
    int64_t offsets_ms;         /* offsets.retention.minutes */
    int64_t topic_ms;           /* retention.ms of `topic` */
};
int kafka_keeping_wait(const struct kafka_options *o, const char *topic,
                       struct kafka_keeping *out, struct err *e);
/* Produces one record and waits for its acknowledgement: its offset comes back. */
int kafka_produce_wait(const struct kafka_options *o, struct kafka_output *out,
                       int64_t timeout_ms, int64_t *offset, struct err *e);

/* A reader for `tail` and `send --wait`: read_committed, no group. */
struct kafka_reader;
enum kafka_from { FROM_BEGINNING, FROM_END, FROM_LAST /* -N */, FROM_TIME /* s@TS */ };
struct kafka_reader *kafka_reader_open_wait(const struct kafka_options *o,
                                            const char *topic, enum kafka_from from,
                                            int64_t arg, struct err *e);
/* 1: a record; 0: timeout; 2: end of all partitions (once per end); -1: failed. */
int kafka_reader_next_wait(struct kafka_reader *r, int64_t timeout_ms,
                           struct kafka_record *rec, struct err *e);
void kafka_reader_release(struct kafka_reader *r, struct kafka_record *rec);
void kafka_reader_free(struct kafka_reader *r);

/* The partition Java's murmur2 gives this key (null key: -1). */
int32_t kafka_partition_of(struct str key, int32_t partitions);
const char *kafka_library_version(void);

#endif
