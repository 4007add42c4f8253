/* The properties of the librdkafka handles: ours, the user's, and those that are fixed
 * because a promise hangs on them. Owns nothing. Invariant: a handle gets only properties
 * that librdkafka knows for its type, and never a fixed one from the user. */
#include "kafka/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

enum {
    ON_GROUP = 1 << CLIENT_GROUP,
    ON_TICKS = 1 << CLIENT_TICKS,
    ON_EVENTS = 1 << CLIENT_EVENTS,
    ON_QUESTIONS = 1 << CLIENT_QUESTIONS,
    ON_READER = 1 << CLIENT_READER,
    ON_SENDER = 1 << CLIENT_SENDER,
    ON_PROOF = 1 << CLIENT_PROOF,
    ON_READERS = ON_GROUP | ON_READER,
    ON_CONSUMERS = ON_GROUP | ON_QUESTIONS | ON_READER,
    ON_WRITERS = ON_TICKS | ON_PROOF,
    ON_PRODUCERS = ON_WRITERS | ON_EVENTS | ON_SENDER,
    ON_ALL = ON_CONSUMERS | ON_PRODUCERS
};

/* A user may change these: measured values, not promises. */
struct preset {
    unsigned on;
    const char *name, *value;
};

static const struct preset presets[] = {
    {ON_ALL, "client.id", "front-connector"},
    /* A broker that comes back is found at once: the default waits up to 10 s. */
    {ON_ALL, "reconnect.backoff.max.ms", "500"},
    {ON_CONSUMERS, "retry.backoff.ms", "5"},
    {ON_READERS, "fetch.wait.max.ms", "100"},
    {ON_GROUP, "max.poll.interval.ms", "300000"},
    {ON_READERS, "queued.max.messages.kbytes", "16384"},
    /* Markers of the last transaction are waited out in steps of this. */
    {ON_WRITERS, "retry.backoff.ms", "2"},
    /* The library gives up its search for the group's coordinator after three answers
     * "not available" and waits, without any time-out, for a connection to change. An
     * idle one that is closed is such a change, and comes before the transaction's
     * time-out. */
    {ON_WRITERS, "connections.max.idle.ms", "10000"},
    {ON_WRITERS, "message.timeout.ms", "12000"},
    {ON_WRITERS, "topic.metadata.propagation.max.ms", "1000"},
    {ON_WRITERS, "linger.ms", "5"},
    /* A few webhooks of a burst share a request; each waits for it. */
    {ON_EVENTS, "linger.ms", "2"},
    /* Ours is the bound of what waits (webhooks.max.pending), and of what fits. */
    {ON_EVENTS, "queue.buffering.max.messages", "2000000"},
    {ON_EVENTS, "message.max.bytes", "70000000"},
    {ON_SENDER, "linger.ms", "0"},
    /* The topic says what is too large: results with a file in them, commands with files.
     */
    {ON_WRITERS | ON_SENDER, "message.max.bytes", "120000000"},
    {ON_PRODUCERS, "compression.type", "lz4"},
};

static const struct preset transaction_presets[] = {
    {ON_WRITERS, "transaction.timeout.ms", "15000"},
};

/* Promises hang on these. */
static const struct preset fixed[] = {
    {ON_READERS, "enable.auto.commit", "false"},
    {ON_READERS, "enable.auto.offset.store", "false"},
    {ON_READERS, "enable.partition.eof", "true"},
    {ON_READERS, "auto.offset.reset", "error"},
    {ON_READERS, "isolation.level", "read_committed"},
    {ON_QUESTIONS, "isolation.level", "read_uncommitted"},
    {ON_GROUP, "partition.assignment.strategy", "range"},
    {ON_PRODUCERS, "enable.idempotence", "true"},
    {ON_PRODUCERS, "partitioner", "murmur2_random"},
    {ON_PRODUCERS, "allow.auto.create.topics", "false"},
    {ON_WRITERS, "delivery.report.only.error", "true"},
    /* What was taken is never given up. */
    {ON_EVENTS, "delivery.report.only.error", "false"},
    {ON_EVENTS, "message.timeout.ms", "0"},
};

/* What the user is told who sets a fixed one. */
static const struct {
    const char *name, *instead;
} replaced[] = {
    {"bootstrap.servers", "set kafka.bootstrap.servers instead"},
    {"metadata.broker.list", "set kafka.bootstrap.servers instead"},
    {"transactional.id", "it is <group.id>.<instance.id>: set instance.id instead"},
    {"group.id", "set group.id instead"},
    {"group.instance.id", "set instance.id instead"},
    {"enable.auto.commit", "the connector commits with its results"},
    {"enable.auto.offset.store", "the connector commits with its results"},
    {"isolation.level", "commands are read committed"},
    {"enable.idempotence", "it is always on; see delivery"},
    {"auto.offset.reset", "set commands.start instead"},
    {"partition.assignment.strategy", "range is the only one offered"},
    {"partitioner", "keys are hashed as Java does"},
    {"enable.partition.eof", "the connector needs it"},
    {"delivery.report.only.error", "the connector needs it"},
    {"log.queue", "the connector writes the log; see log.level"},
    {"enabled_events", "the connector needs its own"},
};

/* What librdkafka knows, read from its own table. */
struct property {
    char *name;
    bool consumer, producer;
};

struct properties {
    struct property *items;
    size_t n;
};

static void properties_init(struct properties *ps);
static void properties_fini(struct properties *ps);
static const struct property *property_find(const struct properties *ps,
                                            const char *name);
static const char *property_name(const void *arg, size_t i);
static const char *fixed_advice(const char *name);
static int apply_presets(rd_kafka_conf_t *conf, const struct preset *rows, size_t n,
                         unsigned on, struct err *e);
static int apply_pairs(rd_kafka_conf_t *conf, const struct properties *ps,
                       const struct setting_pairs *pairs, bool producer, struct err *e);
static void apply_names(rd_kafka_conf_t *conf, const struct kafka_options *o,
                        enum client_kind kind);
static size_t check_pairs(const struct properties *ps, const struct setting_pairs *pairs,
                          const char *prefix, bool consumer, bool producer,
                          struct buf *errors);
static size_t check_handle(const struct kafka_options *o, enum client_kind kind,
                           const char *prefix, struct buf *errors);

rd_kafka_conf_t *client_conf(const struct kafka_options *o, enum client_kind kind,
                             bool with_brokers, struct err *e)
{
    unsigned on = 1u << kind;
    bool producer = (on & ON_PRODUCERS) != 0;
    bool transactional =
        kind == CLIENT_PROOF || (kind == CLIENT_TICKS && o->exactly_once);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    struct properties ps;
    int rc;

    properties_init(&ps);
    rc = apply_presets(conf, presets, sizeof(presets) / sizeof(presets[0]), on, e);
    if (rc == 0 && transactional)
        rc = apply_presets(conf, transaction_presets,
                           sizeof(transaction_presets) / sizeof(transaction_presets[0]),
                           on, e);
    if (rc == 0)
        rc = apply_pairs(conf, &ps, &o->all, producer, e);
    if (rc == 0)
        rc = apply_pairs(conf, &ps, producer ? &o->producer : &o->consumer, producer, e);
    if (rc == 0)
        rc = apply_presets(conf, fixed, sizeof(fixed) / sizeof(fixed[0]), on, e);
    properties_fini(&ps);
    if (rc != 0) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    apply_names(conf, o, kind);
    if (with_brokers)
        client_set(conf, "bootstrap.servers", o->bootstrap);
    return conf;
}

size_t kafka_check_settings(const struct kafka_options *o, struct buf *errors)
{
    struct properties ps;
    size_t n;

    properties_init(&ps);
    n = check_pairs(&ps, &o->all, "kafka.", true, true, errors);
    n += check_pairs(&ps, &o->consumer, "kafka.consumer.", true, false, errors);
    n += check_pairs(&ps, &o->producer, "kafka.producer.", false, true, errors);
    properties_fini(&ps);
    if (n > 0)
        return n;
    /* Values that do not go together, certificates that cannot be read: only a handle
     * says. */
    n = check_handle(o, CLIENT_GROUP, "kafka.consumer", errors);
    n += check_handle(o, CLIENT_TICKS, "kafka.producer", errors);
    if (n == 0 && o->n_events > 0)
        n = check_handle(o, CLIENT_EVENTS, "kafka.producer", errors);
    return n;
}

const char *kafka_library_version(void)
{
    return rd_kafka_version_str();
}

/* The library prints its table for people: "name | C/P | range | default | ...", P, C or
 * * in the second column. There is no other way to ask for a property's scope. */
static void properties_init(struct properties *ps)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    struct str rest;

    *ps = (struct properties){NULL, 0};
    if (out == NULL)
        abort();
    rd_kafka_conf_properties_show(out);
    if (fclose(out) != 0)
        abort();
    rest = (struct str){text, size};
    while (rest.ptr != NULL) {
        struct str line = str_split(&rest, '\n');
        struct str name = str_trim(str_split(&line, '|'));
        struct str scope = str_trim(str_split(&line, '|'));

        if (name.len == 0 ||
            (!str_is(scope, "*") && !str_is(scope, "C") && !str_is(scope, "P")))
            continue;
        ps->items = mem_realloc(ps->items, (ps->n + 1) * sizeof(ps->items[0]));
        ps->items[ps->n++] = (struct property){
            .name = mem_strndup(name.ptr, name.len),
            .consumer = !str_is(scope, "P") || str_is(name, "retry.backoff.ms"),
            .producer = !str_is(scope, "C")};
    }
    free(text); /* open_memstream's */
}

static void properties_fini(struct properties *ps)
{
    size_t i;

    for (i = 0; i < ps->n; i++)
        mem_free(ps->items[i].name);
    mem_free(ps->items);
}

static const struct property *property_find(const struct properties *ps, const char *name)
{
    size_t i;

    for (i = 0; i < ps->n; i++)
        if (strcmp(ps->items[i].name, name) == 0)
            return &ps->items[i];
    return NULL;
}

static const char *property_name(const void *arg, size_t i)
{
    const struct properties *ps = arg;

    return i < ps->n ? ps->items[i].name : NULL;
}

static const char *fixed_advice(const char *name)
{
    size_t i;

    for (i = 0; i < sizeof(replaced) / sizeof(replaced[0]); i++)
        if (strcmp(replaced[i].name, name) == 0)
            return replaced[i].instead;
    return NULL;
}

static int apply_presets(rd_kafka_conf_t *conf, const struct preset *rows, size_t n,
                         unsigned on, struct err *e)
{
    char text[200];
    size_t i;

    for (i = 0; i < n; i++)
        if ((rows[i].on & on) != 0 &&
            rd_kafka_conf_set(conf, rows[i].name, rows[i].value, text, sizeof(text)) !=
                RD_KAFKA_CONF_OK)
            return err_set(e, ERR_SETTINGS, "librdkafka %s: %s", rd_kafka_version_str(),
                           text);
    return 0;
}

static int apply_pairs(rd_kafka_conf_t *conf, const struct properties *ps,
                       const struct setting_pairs *pairs, bool producer, struct err *e)
{
    char text[200];
    size_t i;

    for (i = 0; i < pairs->n; i++) {
        const struct setting_pair *pair = &pairs->items[i];
        const struct property *known = property_find(ps, pair->key);

        if (fixed_advice(pair->key) != NULL)
            continue; /* kafka_check_settings has said so; bootstrap.servers is fine */
        if (known == NULL || !(producer ? known->producer : known->consumer))
            continue;
        if (strstr(pair->key, "password") != NULL ||
            strstr(pair->key, "secret") != NULL || strstr(pair->key, ".pem") != NULL)
            log_secret(pair->value);
        if (rd_kafka_conf_set(conf, pair->key, pair->value, text, sizeof(text)) !=
            RD_KAFKA_CONF_OK)
            return err_set(e, ERR_SETTINGS, "%s: %s", pair->key, text);
    }
    return 0;
}

static void apply_names(rd_kafka_conf_t *conf, const struct kafka_options *o,
                        enum client_kind kind)
{
    char *id = NULL;

    switch (kind) {
    case CLIENT_GROUP:
        client_set(conf, "group.id", o->group_id);
        if (o->static_member)
            client_set(conf, "group.instance.id", o->instance_id);
        break;
    case CLIENT_READER: /* a name is asked for, but this group is never joined */
        id = mem_printf("%s.reader", o->group_id);
        client_set(conf, "group.id", id);
        break;
    case CLIENT_TICKS:
    case CLIENT_PROOF:
        if (kind == CLIENT_TICKS && !o->exactly_once)
            break;
        id = mem_printf("%s.%s", o->group_id, o->instance_id);
        client_set(conf, "transactional.id", id);
        break;
    case CLIENT_EVENTS:
    case CLIENT_QUESTIONS:
    case CLIENT_SENDER:
        break;
    }
    mem_free(id);
}

static size_t check_pairs(const struct properties *ps, const struct setting_pairs *pairs,
                          const char *prefix, bool consumer, bool producer,
                          struct buf *errors)
{
    rd_kafka_conf_t *scratch = rd_kafka_conf_new();
    size_t found = 0;
    size_t i;

    for (i = 0; i < pairs->n; i++) {
        const struct setting_pair *pair = &pairs->items[i];
        const struct property *known = property_find(ps, pair->key);
        const char *advice = fixed_advice(pair->key);
        const char *near = NULL;
        char text[200] = "";

        if (consumer && producer && strcmp(pair->key, "bootstrap.servers") == 0)
            continue;
        if (advice != NULL) {
            (void)snprintf(text, sizeof(text), "is fixed: %s", advice);
        } else if (known == NULL) {
            near = str_nearest(str_of(pair->key), property_name, ps);
            (void)snprintf(text, sizeof(text), "librdkafka %s has no such property%s%s%s",
                           rd_kafka_version_str(), near ? "; nearest: " : "",
                           near ? prefix : "", near ? near : "");
        } else if (!(consumer && known->consumer) && !(producer && known->producer)) {
            (void)snprintf(text, sizeof(text), "is a property of %s",
                           known->consumer ? "consumers: kafka.consumer.*"
                                           : "producers: kafka.producer.*");
        } else if (rd_kafka_conf_set(scratch, pair->key, pair->value, text,
                                     sizeof(text)) == RD_KAFKA_CONF_OK) {
            continue;
        }
        (void)buf_printf(errors, "%s: %s%s: %s\n", pair->origin, prefix, pair->key, text);
        found++;
    }
    rd_kafka_conf_destroy(scratch);
    return found;
}

static size_t check_handle(const struct kafka_options *o, enum client_kind kind,
                           const char *prefix, struct buf *errors)
{
    struct err e = ERR_INIT;
    rd_kafka_conf_t *conf = client_conf(o, kind, false, &e);
    rd_kafka_t *rk = conf == NULL ? NULL : client_new(kind, conf, &e);

    if (rk == NULL) {
        (void)buf_printf(errors, "%s: %s\n", prefix, e.text);
        return 1;
    }
    rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    return 0;
}
