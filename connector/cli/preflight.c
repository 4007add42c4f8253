/* The questions of preflight.h. Each finding is one line that says what is and what to
 * do; nothing here falls back to less than the settings ask for. */
#include "cli/preflight.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "engine/ledger.h"
#include "front/catalogue.h"

#define LOOK_BACK 10000 /* records of each results partition */

#define ERRORS_MAX (64 * 1024)
#define NEW_TOPIC_TRIES 50
#define NEW_TOPIC_PAUSE_MS 200
#define AGAIN_PAUSE_MS 500

void preflight_say(struct preflight *p, enum check_state state, const char *check,
                   const char *name, const char *fix, const char *fmt, ...)
{
    char message[700];
    struct check_line line = {state, check, name, message, fix};
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    if (state == CHECK_FAIL)
        p->failed++;
    p->say(p->arg, &line);
}

/* A broker that has gone or a partition without a leader is no fault of the settings. */
static bool again(struct preflight *p, struct err *e)
{
    const struct timespec pause = {0, AGAIN_PAUSE_MS * 1000000L};

    if (p->waiting == NULL || e->kind != ERR_BUSY)
        return false;
    p->waiting(p->arg, e->text);
    err_clear(e);
    nanosleep(&pause, NULL);
    return true;
}

int preflight_kafka_settings(struct preflight *p)
{
    struct str rest, line;
    struct buf errors;
    size_t n;

    buf_init(&errors, ERRORS_MAX);
    n = kafka_check_settings(&p->launch->kafka, &errors);
    rest = buf_str(&errors);
    while (rest.ptr && rest.len > 0) {
        line = str_split(&rest, '\n');
        if (line.len > 0)
            preflight_say(p, CHECK_FAIL, "settings", "kafka.*", NULL, "%.*s",
                          STR_ARG(line));
    }
    buf_fini(&errors);
    return n > 0 ? -1 : 0;
}

/* --- topics --- */

struct topic_set {
    struct kafka_topic_info *infos; /* the command topics, then the outputs */
    size_t n, n_commands;
    int32_t most; /* partitions of the widest command topic */
};

static const char *topic_check = "topic";
static const char *items_check = "lists";

/* Of each job only the newest record counts. The active segment is never cleaned and
 * rolls on a write only, so segments are short; without a longest lag tombstones would
 * stay as long as nothing else is dirty. */
static const struct kafka_topic_config jobs_configs[] = {
    {"segment.ms", "600000"},
    {"segment.bytes", "16777216"},
    {"min.cleanable.dirty.ratio", "0.1"},
    {"max.compaction.lag.ms", "3600000"},
    {"delete.retention.ms", "86400000"},
};

static int topic_set_ask(struct preflight *p, struct topic_set *ts)
{
    struct err e = ERR_INIT;

    int rc;

    do
        rc = kafka_topics_wait(&p->launch->kafka, ts->infos, ts->n, &e);
    while (rc != 0 && again(p, &e));
    if (rc != 0) {
        preflight_say(p, CHECK_FAIL, topic_check, "", "see that the brokers answer", "%s",
                      e.text);
        return -1;
    }
    ts->most = 0;
    for (size_t i = 0; i < ts->n_commands; i++) {
        if (ts->infos[i].partitions > ts->most)
            ts->most = ts->infos[i].partitions;
    }
    return 0;
}

static bool is_missing(const struct kafka_topic_info *info)
{
    return info->partitions == 0 && !info->error[0];
}

static bool some_missing(const struct topic_set *ts, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        if (is_missing(&ts->infos[i]))
            return true;
    }
    return false;
}

/* A topic is known to all brokers some moments after its creation. */
static int wait_for_new(struct preflight *p, struct topic_set *ts, size_t from, size_t to)
{
    const struct timespec pause = {0, NEW_TOPIC_PAUSE_MS * 1000000L};

    for (int i = 0; i < NEW_TOPIC_TRIES; i++) {
        if (topic_set_ask(p, ts) != 0)
            return -1;
        if (!some_missing(ts, from, to))
            return 0;
        nanosleep(&pause, NULL);
    }
    preflight_say(p, CHECK_FAIL, topic_check, "", "see the broker's log",
                  "topics were created but do not appear");
    return -1;
}

static int create_missing(struct preflight *p, struct topic_set *ts, size_t from,
                          size_t to)
{
    struct kafka_new_topic *topics = mem_array(ts->n, sizeof(topics[0]));
    struct err e = ERR_INIT;
    size_t n = 0;
    int ret = 0;

    for (size_t i = from; i < to; i++) {
        bool jobs = strcmp(ts->infos[i].topic, p->s->jobs_topic) == 0;
        bool as_wide = jobs || strcmp(ts->infos[i].topic, p->s->results_topic) == 0;

        if (is_missing(&ts->infos[i]))
            topics[n++] = (struct kafka_new_topic){
                .topic = ts->infos[i].topic,
                .partitions = as_wide ? ts->most : (int32_t)p->s->topics_partitions,
                .replication = (int32_t)p->s->topics_replication_factor,
                .compacted = jobs,
                .configs = jobs_configs,
                .n_configs = jobs ? sizeof(jobs_configs) / sizeof(jobs_configs[0]) : 0,
            };
    }
    if (n > 0) {
        do
            ret = kafka_create_topics_wait(&p->launch->kafka, topics, n, &e);
        while (ret != 0 && again(p, &e));
        if (ret != 0)
            preflight_say(p, CHECK_FAIL, topic_check, topics[0].topic,
                          "create it by hand, or allow Create on the cluster",
                          "could not be created: %s", e.text);
        else
            ret = wait_for_new(p, ts, from, to);
    }
    mem_free(topics);
    return ret;
}

/* The command topics first: results and jobs get as many partitions. */
static int create_all(struct preflight *p, struct topic_set *ts)
{
    if (create_missing(p, ts, 0, ts->n_commands) != 0)
        return -1;
    return create_missing(p, ts, ts->n_commands, ts->n);
}

static void judge_results(struct preflight *p, const struct topic_set *ts,
                          const struct kafka_topic_info *info)
{
    int64_t room = info->max_message_bytes;

    if (info->partitions != ts->most)
        preflight_say(
            p, CHECK_WARN, topic_check, info->topic,
            "give it as many partitions to have results at their command's number",
            "has %d partitions, the command topic %d: results go by key",
            (int)info->partitions, (int)ts->most);
    if (room >= 0 && room < p->s->results_max_bytes)
        preflight_say(p, CHECK_WARN, topic_check, info->topic,
                      "raise the topic's max.message.bytes or lower results.max.bytes",
                      "takes records of %lld bytes, results.max.bytes is %lld",
                      (long long)room, (long long)p->s->results_max_bytes);
}

static void judge_jobs(struct preflight *p, const struct topic_set *ts,
                       const struct kafka_topic_info *info)
{
    if (info->partitions != ts->most)
        preflight_say(
            p, CHECK_WARN, topic_check, info->topic,
            "give it as many partitions: a list then goes on where its command came",
            "has %d partitions, the command topic %d: a list may go on at another "
            "instance",
            (int)info->partitions, (int)ts->most);
}

static void judge(struct preflight *p, const struct topic_set *ts, size_t i)
{
    const struct kafka_topic_info *info = &ts->infos[i];
    bool jobs = strcmp(info->topic, p->s->jobs_topic) == 0;

    if (info->error[0]) {
        size_t own = strlen(info->topic);
        bool named =
            strncmp(info->error, info->topic, own) == 0 && info->error[own] == ':';

        preflight_say(p, CHECK_FAIL, topic_check, info->topic,
                      i < ts->n_commands ? "allow Read and Describe on it"
                      : jobs             ? "allow Read, Write and Describe on it"
                                         : "allow Write and Describe on it",
                      "%s", info->error + (named ? own + 2 : 0));
    } else if (info->partitions == 0 && p->s->topics_create) {
        preflight_say(p, CHECK_WARN, topic_check, info->topic, NULL,
                      "is missing; `run` creates it (topics.create)");
    } else if (info->partitions == 0) {
        preflight_say(p, CHECK_FAIL, topic_check, info->topic,
                      "create it, or set topics.create = true", "is missing");
    } else {
        preflight_say(p, CHECK_OK, topic_check, info->topic, NULL, "%d partitions",
                      (int)info->partitions);
        if (i == ts->n_commands)
            judge_results(p, ts, info);
        if (jobs)
            judge_jobs(p, ts, info);
    }
}

/* A batch of events must fit the narrower of their two topics. */
static void take_events_limits(struct preflight *p, const struct topic_set *ts)
{
    const struct kafka_topic_info *dead = &ts->infos[ts->n_commands + 1];
    const struct kafka_topic_info *events = &ts->infos[ts->n_commands + 2];
    int64_t narrow = events->max_message_bytes;

    if (p->launch->kafka.n_events == 0)
        return;
    if (narrow < 0 || (dead->max_message_bytes >= 0 && dead->max_message_bytes < narrow))
        narrow = dead->max_message_bytes;
    p->launch->ingest.event_max_bytes = events->max_message_bytes;
    p->launch->ingest.dead_letter_max_bytes = dead->max_message_bytes;
    p->launch->kafka.events_max_bytes = narrow;
}

/* What the engine wants to know of the topics. */
static void take_counts(struct preflight *p, const struct topic_set *ts)
{
    const struct kafka_topic_info *results = &ts->infos[ts->n_commands];

    for (size_t i = 0; i < ts->n_commands; i++)
        p->launch->commands_partitions[i] = ts->infos[i].partitions;
    p->launch->engine.results_partitions = results->partitions;
    p->launch->engine.jobs_partitions = ts->infos[ts->n - 1].partitions;
    p->launch->engine.results_record_max_bytes = results->max_message_bytes;
    take_events_limits(p, ts);
}

int preflight_topics(struct preflight *p)
{
    const struct kafka_options *o = &p->launch->kafka;
    /* jobs are the last of the outputs */
    struct topic_set ts = {.n = o->n_topics + o->n_outputs, .n_commands = o->n_topics};
    size_t failed = p->failed;

    ts.infos = mem_array(ts.n, sizeof(ts.infos[0]));
    for (size_t i = 0; i < ts.n; i++)
        ts.infos[i].topic = i < o->n_topics ? o->topics[i] : o->outputs[i - o->n_topics];
    if (topic_set_ask(p, &ts) == 0 &&
        (!p->create || !p->s->topics_create || create_all(p, &ts) == 0)) {
        for (size_t i = 0; i < ts.n; i++)
            judge(p, &ts, i);
        take_counts(p, &ts);
    }
    mem_free(ts.infos);
    return p->failed > failed ? -1 : 0;
}

/* The topics of all resources, each once; their names are the caller's (mem_free). */
static size_t items_topics(const struct preflight *p, struct kafka_topic_info *infos)
{
    size_t n = 0;

    for (size_t i = 0; i < catalogue_table_n; i++) {
        const struct op *op = &catalogue_table[i];
        size_t same = 0;

        if (op->items == &item_event) /* judged with the events */
            continue;
        while (op->items && same < i &&
               (!catalogue_table[same].items ||
                strcmp(catalogue_table[same].resource, op->resource) != 0))
            same++;
        if (op->items && same == i)
            infos[n++].topic =
                mem_printf("%s%s", p->s->resources_topic_prefix, op->resource);
    }
    return n;
}

void preflight_items_topics(struct preflight *p)
{
    struct kafka_topic_info *infos = mem_array(catalogue_table_n, sizeof(infos[0]));
    size_t n = items_topics(p, infos);
    size_t there = 0;
    const struct kafka_topic_info *refused = NULL;
    struct err e = ERR_INIT;
    char *name = mem_printf("%s*", p->s->resources_topic_prefix);

    if (kafka_topics_wait(&p->launch->kafka, infos, n, &e) != 0) {
        preflight_say(p, CHECK_WARN, items_check, name, "see that the brokers answer",
                      "%s", e.text);
        goto out;
    }
    for (size_t i = 0; i < n; i++) {
        there += infos[i].partitions > 0;
        if (infos[i].error[0])
            refused = &infos[i];
    }
    if (refused)
        preflight_say(p, CHECK_WARN, items_check, refused->topic,
                      "allow Write and Describe on the topics whose lists are wanted",
                      "%s", refused->error);
    else if (there == n || p->s->topics_create)
        preflight_say(p, CHECK_OK, items_check, name, NULL, "%zu of %zu are there%s",
                      there, n,
                      there < n ? "; a list makes its own (topics.create)" : "");
    else
        preflight_say(p, CHECK_SKIP, items_check, name,
                      "create those whose lists are wanted, or set topics.create = true",
                      "%zu of %zu are there; a list without its topic is REJECTED", there,
                      n);
out:
    for (size_t i = 0; i < n; i++)
        mem_free(mem_unconst(infos[i].topic));
    mem_free(infos);
    mem_free(name);
}

int preflight_transactions(struct preflight *p)
{
    struct err e = ERR_INIT;
    int rc;

    if (p->s->delivery != DELIVERY_EXACTLY_ONCE) {
        preflight_say(
            p, CHECK_SKIP, "transactions", "", NULL,
            "delivery = at-least-once: a result may appear twice after a crash");
        return 0;
    }
    do
        rc = kafka_prove_transactions_wait(&p->launch->kafka, &e);
    while (rc != 0 && again(p, &e));
    if (rc != 0) {
        preflight_say(p, CHECK_FAIL, "transactions", p->s->group_id,
                      "give the missing right (config/README.md lists them), or accept "
                      "repeated results with delivery = at-least-once",
                      "%s", e.text);
        return -1;
    }
    preflight_say(p, CHECK_OK, "transactions", p->s->group_id, NULL,
                  "written and aborted on every output topic");
    return 0;
}

int preflight_keeping(struct preflight *p)
{
    struct err e = ERR_INIT;
    struct kafka_keeping k;
    int64_t *pending = &p->launch->engine.max_pending;
    int64_t window;

    if (kafka_keeping_wait(&p->launch->kafka, p->launch->kafka.topics[0], &k, &e) != 0) {
        preflight_say(p, CHECK_FAIL, "keeping", p->s->group_id, NULL, "%s", e.text);
        return -1;
    }
    if (k.offsets_ms >= 0 && k.offsets_ms < k.topic_ms)
        preflight_say(p, CHECK_WARN, "keeping", "offsets.retention.minutes",
                      "make it as long as the retention of the command topics",
                      "the brokers forget a group's offsets after %lld h, commands are "
                      "kept for %lld h",
                      (long long)(k.offsets_ms / 3600000),
                      (long long)(k.topic_ms / 3600000));
    window =
        k.metadata_max_bytes < 0 ? *pending : ledger_window_for(k.metadata_max_bytes);
    if (window == 0) {
        preflight_say(
            p, CHECK_FAIL, "keeping", "offset.metadata.max.bytes",
            "set it to 4096, as it is by default, on all brokers",
            "the brokers take %lld bytes with an offset: too few for the ledger",
            (long long)k.metadata_max_bytes);
        return -1;
    }
    if (window < *pending) {
        preflight_say(p, CHECK_WARN, "keeping", "commands.max.pending",
                      "raise offset.metadata.max.bytes on all brokers to have all of it",
                      "%lld instead of %lld: the brokers take %lld bytes with an offset",
                      (long long)window, (long long)*pending,
                      (long long)k.metadata_max_bytes);
        *pending = window;
    }
    return 0;
}

int preflight_offsets(struct preflight *p)
{
    struct err e = ERR_INIT;
    char where[320];
    int rc;

    if (p->s->commands_start != START_AUTO) {
        preflight_say(p, CHECK_SKIP, "offsets", p->s->group_id, NULL,
                      "commands.start says where to begin");
        return 0;
    }
    do
        rc = kafka_lost_offsets_wait(&p->launch->kafka, p->s->results_topic, LOOK_BACK,
                                     where, sizeof(where), &e);
    while (rc < 0 && again(p, &e));
    if (rc == 0) {
        preflight_say(p, CHECK_OK, "offsets", p->s->group_id, NULL,
                      "no result without a committed position");
        return 0;
    }
    if (rc < 0)
        preflight_say(p, CHECK_FAIL, "offsets", p->s->group_id, NULL, "%s", e.text);
    else
        preflight_say(
            p, CHECK_FAIL, "offsets", p->s->group_id,
            "set commands.start, or reset the group's offsets to where it stood",
            "offsets were lost: there is a result of %s, but no committed position "
            "of its partition; its commands would be executed again",
            where);
    return -1;
}
