/* Properties of librdkafka: ours, those nobody may change, and the user's. Measured
 * reasons stand in connector/README.md. */
#include <string.h>

#include "base/log.h"
#include "kafka/internal.h"

enum { FOR_CONSUMER = 1, FOR_PRODUCER = 2, FOR_ALL = 3 };

struct property {
    const char *key, *value;
    int handles;
};

/* What the design demands; a user may override these. */
static const struct property ours[] = {
    {"client.id", "front-connector", FOR_ALL},
    {"reconnect.backoff.max.ms", "500", FOR_ALL},
    {"reconnect.backoff.ms", "50", FOR_ALL},
    {"topic.metadata.propagation.max.ms", "1000", FOR_ALL},
    {"fetch.wait.max.ms", "100", FOR_CONSUMER},
    {"retry.backoff.ms", "5", FOR_CONSUMER},
    {"queued.max.messages.kbytes", "16384", FOR_CONSUMER},
    {"max.poll.interval.ms", "300000", FOR_CONSUMER},
    {"allow.auto.create.topics", "false", FOR_CONSUMER},
    {"retry.backoff.ms", "2", FOR_PRODUCER},
    {"transaction.timeout.ms", "15000", FOR_PRODUCER},
    {"message.timeout.ms", "12000", FOR_PRODUCER},
    {"linger.ms", "5", FOR_PRODUCER},
    {"compression.type", "lz4", FOR_PRODUCER},
};

struct fixed {
    const char *key, *instead;
};

static const struct fixed fixed[] = {
    {"transactional.id", "it is <group.id>.<instance.id>"},
    {"group.id", "set group.id"},
    {"group.instance.id", "set instance.id"},
    {"enable.auto.commit", "positions are committed with the results"},
    {"isolation.level", "only committed commands are read"},
    {"enable.idempotence", "it is always on"},
    {"auto.offset.reset", "set commands.start"},
    {"partition.assignment.strategy", "only range is offered"},
    {"partitioner", "it is murmur2_random, as Java's"},
    {"enable.partition.eof", "the connector needs it"},
};

static void on_log(const rd_kafka_t *rk, int level, const char *facility,
                   const char *text);
static int put(rd_kafka_conf_t *conf, const char *key, const char *value, struct err *e);
static int put_ours(rd_kafka_conf_t *conf, int handle, struct err *e);
static int put_user(rd_kafka_conf_t *conf, const struct setting_pairs *pairs, bool shared,
                    struct err *e);
static int put_fixed(rd_kafka_conf_t *conf, const struct kafka_options *o,
                     enum handle_kind kind, struct err *e);
static const struct fixed *find_fixed(const char *key);
static size_t check_pairs(const struct setting_pairs *pairs, const char *prefix,
                          struct buf *errors);

rd_kafka_conf_t *kafka_conf(const struct kafka_options *o, enum handle_kind kind,
                            struct err *e)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    bool produces = kind == HANDLE_PRODUCER || kind == HANDLE_PLAIN_PRODUCER;
    rd_kafka_conf_set_log_cb(conf, on_log);
    if (put(conf, "bootstrap.servers", o->bootstrap, e) ||
        put_ours(conf, produces ? FOR_PRODUCER : FOR_CONSUMER, e) ||
        put_user(conf, &o->all, true, e) ||
        put_user(conf, produces ? &o->producer : &o->consumer, false, e) ||
        put_fixed(conf, o, kind, e)) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    return conf;
}

rd_kafka_t *kafka_handle(const struct kafka_options *o, enum handle_kind kind,
                         struct err *e)
{
    char text[512] = "";
    bool produces = kind == HANDLE_PRODUCER || kind == HANDLE_PLAIN_PRODUCER;
    rd_kafka_conf_t *conf = kafka_conf(o, kind, e);
    if (conf == NULL)
        return NULL;
    if (kind == HANDLE_PLAIN_PRODUCER)
        rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR);
    rd_kafka_t *rk = rd_kafka_new(produces ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, conf,
                                  text, sizeof text);
    if (rk == NULL) {
        rd_kafka_conf_destroy(conf);
        err_set(e, ERR_SETTINGS, "kafka: %s", text);
    }
    return rk;
}

size_t kafka_check_settings(const struct kafka_options *o, struct buf *errors)
{
    struct err e = ERR_INIT;
    size_t n = check_pairs(&o->all, "kafka.", errors) +
               check_pairs(&o->consumer, "kafka.consumer.", errors) +
               check_pairs(&o->producer, "kafka.producer.", errors);
    for (int kind = HANDLE_CONSUMER; n == 0 && kind <= HANDLE_PRODUCER; kind++) {
        rd_kafka_conf_t *conf = kafka_conf(o, (enum handle_kind)kind, &e);
        if (conf != NULL) {
            rd_kafka_conf_destroy(conf);
        } else {
            buf_printf(errors, "%s\n", e.text);
            n++;
        }
    }
    return n;
}

static size_t check_pairs(const struct setting_pairs *pairs, const char *prefix,
                          struct buf *errors)
{
    size_t n = 0;
    for (size_t i = 0; i < pairs->n; i++) {
        const struct fixed *f = find_fixed(pairs->items[i].key);
        if (f == NULL)
            continue;
        buf_printf(errors, "%s: %s%s: this property is fixed: %s\n",
                   pairs->items[i].origin, prefix, f->key, f->instead);
        n++;
    }
    return n;
}

static const struct fixed *find_fixed(const char *key)
{
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        if (strcmp(fixed[i].key, key) == 0)
            return &fixed[i];
    return NULL;
}

static int put(rd_kafka_conf_t *conf, const char *key, const char *value, struct err *e)
{
    char text[256];
    if (rd_kafka_conf_set(conf, key, value, text, sizeof text) == RD_KAFKA_CONF_OK)
        return 0;
    return err_set(e, ERR_SETTINGS, "kafka.%s: %s", key, text);
}

static int put_ours(rd_kafka_conf_t *conf, int handle, struct err *e)
{
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if ((ours[i].handles & handle) && put(conf, ours[i].key, ours[i].value, e))
            return -1;
    return 0;
}

/* A bad value or an unknown name is an error; a property of the other kind of handle is
 * not when it stands under plain "kafka.": librdkafka itself ignores it with a log line,
 * which we do not want. */
static int put_user(rd_kafka_conf_t *conf, const struct setting_pairs *pairs, bool shared,
                    struct err *e)
{
    (void)shared;
    for (size_t i = 0; i < pairs->n; i++) {
        char text[256];
        if (rd_kafka_conf_set(conf, pairs->items[i].key, pairs->items[i].value, text,
                              sizeof text) != RD_KAFKA_CONF_OK)
            return err_set(e, ERR_SETTINGS, "%s: kafka property %s: %s",
                           pairs->items[i].origin, pairs->items[i].key, text);
    }
    return 0;
}

static int put_fixed(rd_kafka_conf_t *conf, const struct kafka_options *o,
                     enum handle_kind kind, struct err *e)
{
    char id[600];
    switch (kind) {
    case HANDLE_CONSUMER:
        if (put(conf, "group.id", o->group_id, e) ||
            put(conf, "enable.auto.commit", "false", e) ||
            put(conf, "enable.auto.offset.store", "false", e) ||
            put(conf, "isolation.level", "read_committed", e) ||
            put(conf, "auto.offset.reset", "error", e) ||
            put(conf, "partition.assignment.strategy", "range", e) ||
            put(conf, "enable.partition.eof", "true", e))
            return -1;
        return o->static_member ? put(conf, "group.instance.id", o->instance_id, e) : 0;
    case HANDLE_QUESTION:
        return put(conf, "isolation.level", "read_uncommitted", e);
    case HANDLE_PRODUCER:
        snprintf(id, sizeof id, "%s.%s", o->group_id, o->instance_id);
        if (put(conf, "partitioner", "murmur2_random", e) ||
            put(conf, "enable.idempotence", "true", e))
            return -1;
        return o->exactly_once ? put(conf, "transactional.id", id, e) : 0;
    case HANDLE_PLAIN_PRODUCER:
        return put(conf, "partitioner", "murmur2_random", e) ||
                       put(conf, "enable.idempotence", "true", e)
                   ? -1
                   : 0;
    }
    return 0;
}

/* librdkafka's own lines: syslog levels. Known noise is for debugging only. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility,
                   const char *text)
{
    static const char *const noise[] = {"TXNERR", "GETPID", "CONFWARN", "FAIL",
                                        "SESSTMOUT"};
    enum log_level to = level <= 3 ? LOG_WARN : level <= 5 ? LOG_INFO : LOG_DEBUG;
    for (size_t i = 0; i < sizeof noise / sizeof noise[0]; i++)
        if (strcmp(facility, noise[i]) == 0)
            to = LOG_DEBUG;
    (void)rk;
    log_line(to, "kafka.library", "%s: %s", facility, text);
}
