/* What a group and its results say before we join it: are there members, and were its
 * positions lost? These wait; for start and tools only. */
#include "kafka/internal.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

enum { ASK_MS = 5000, READ_MS = 60000 };

struct lost {
    char **prefixes; /* "topic/partition/" of every partition without a position */
    size_t n;
};

static void lost_fini(struct lost *lost);
static bool is_lost(const struct lost *lost, struct str source);
static int find_uncommitted(const struct kafka_options *o, struct lost *lost,
                            struct err *e);
static int add_partitions(rd_kafka_t *rk, const char *topic, struct lost *lost,
                          struct err *e);
static int read_results(const struct kafka_options *o, const char *results_topic,
                        int64_t look_back, const struct lost *lost, char *where,
                        size_t size, struct err *e);
static bool names_lost(const struct lost *lost, const struct kafka_record *rec,
                       char *where, size_t size);

int kafka_group_members_wait(const struct kafka_options *o, struct err *e)
{
    const struct rd_kafka_group_list *list = NULL;
    rd_kafka_conf_t *conf = client_conf(o, CLIENT_QUESTIONS, true, e);
    rd_kafka_t *rk = conf == NULL ? NULL : client_new(CLIENT_QUESTIONS, conf, e);
    rd_kafka_resp_err_t code;
    int n = 0;

    if (rk == NULL)
        return -1;
    code = rd_kafka_list_groups(rk, o->group_id, &list, ASK_MS);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR__PARTIAL)
        for (int i = 0; i < list->group_cnt; i++)
            n += list->groups[i].member_cnt;
    else
        n = err_set(e, ERR_BUSY, "group %s: %s", o->group_id, rd_kafka_err2str(code));
    if (list != NULL)
        rd_kafka_group_list_destroy(list);
    rd_kafka_destroy(rk);
    return n;
}

int kafka_keeping_wait(const struct kafka_options *o, const char *topic,
                       struct kafka_keeping *out, struct err *e)
{
    rd_kafka_conf_t *conf = client_conf(o, CLIENT_QUESTIONS, true, e);
    rd_kafka_t *rk = conf == NULL ? NULL : client_new(CLIENT_QUESTIONS, conf, e);
    int64_t minutes = -1;
    char broker[12];
    int32_t id;

    *out = (struct kafka_keeping){-1, -1, -1};
    if (rk == NULL)
        return -1;
    id = question_broker(rk, ASK_MS);
    if (id >= 0) {
        (void)snprintf(broker, sizeof(broker), "%d", id);
        out->metadata_max_bytes = question_number(rk, RD_KAFKA_RESOURCE_BROKER, broker,
                                                  "offset.metadata.max.bytes", ASK_MS);
        minutes = question_number(rk, RD_KAFKA_RESOURCE_BROKER, broker,
                                  "offsets.retention.minutes", ASK_MS);
        out->topic_ms =
            question_number(rk, RD_KAFKA_RESOURCE_TOPIC, topic, "retention.ms", ASK_MS);
    }
    if (minutes >= 0)
        out->offsets_ms = minutes * 60000;
    rd_kafka_destroy(rk);
    return 0;
}

int kafka_lost_offsets_wait(const struct kafka_options *o, const char *results_topic,
                            int64_t look_back, char *where, size_t size, struct err *e)
{
    struct lost lost = {NULL, 0};
    int rc = find_uncommitted(o, &lost, e);

    while (rc == 0 && lost.n > 0) {
        rc = read_results(o, results_topic, look_back, &lost, where, size, e);
        if (rc != 1)
            break;
        /* A running instance may have committed its first result since: then its position
         * is there now, and the others are looked at again. */
        lost_fini(&lost);
        rc = find_uncommitted(o, &lost, e);
        if (rc == 0 && is_lost(&lost, str_of(where)))
            rc = 1;
    }
    lost_fini(&lost);
    return rc;
}

static void lost_fini(struct lost *lost)
{
    for (size_t i = 0; i < lost->n; i++)
        mem_free(lost->prefixes[i]);
    mem_free(lost->prefixes);
    *lost = (struct lost){NULL, 0};
}

static int find_uncommitted(const struct kafka_options *o, struct lost *lost,
                            struct err *e)
{
    rd_kafka_conf_t *conf = client_conf(o, CLIENT_GROUP, true, e);
    rd_kafka_t *rk = conf == NULL ? NULL : client_new(CLIENT_GROUP, conf, e);
    int rc = 0;

    if (rk == NULL)
        return -1;
    for (size_t i = 0; i < o->n_topics && rc == 0; i++)
        rc = add_partitions(rk, o->topics[i], lost, e);
    rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    return rc;
}

/* A position that a foreign transaction holds is one: it is not lost. */
static int add_partitions(rd_kafka_t *rk, const char *topic, struct lost *lost,
                          struct err *e)
{
    int32_t count = 0;
    int64_t max_bytes;

    if (question_topic(rk, topic, ASK_MS, &count, &max_bytes, e) != 0)
        return -1;
    for (int32_t p = 0; p < count; p++) {
        struct kafka_partition at = {topic, p};
        char *metadata = NULL;
        size_t len;
        int64_t offset = 0;
        int rc = question_committed(rk, at, ASK_MS, &offset, &metadata, &len, e);

        mem_free(metadata);
        if (rc != 0 && e->kind != ERR_BUSY)
            return -1;
        err_clear(e);
        if (rc != 0 || offset != KAFKA_NO_OFFSET)
            continue;
        lost->prefixes = mem_realloc(lost->prefixes, (lost->n + 1) * sizeof(char *));
        lost->prefixes[lost->n++] = mem_printf("%s/%d/", topic, p);
    }
    return 0;
}

/* 1: a result of such a partition was found. */
static int read_results(const struct kafka_options *o, const char *results_topic,
                        int64_t look_back, const struct lost *lost, char *where,
                        size_t size, struct err *e)
{
    struct kafka_reader *r =
        kafka_reader_open_wait(o, results_topic, FROM_LAST, look_back, e);
    int64_t until = clock_now(&clock_system) + READ_MS;
    struct kafka_record rec;
    int found = 0;
    int rc = 0;

    if (r == NULL)
        return -1;
    while (found == 0 && rc != 2 && rc >= 0 && clock_now(&clock_system) < until) {
        rc = kafka_reader_next_wait(r, 200, &rec, e);
        if (rc != 1)
            continue;
        found = names_lost(lost, &rec, where, size);
        kafka_reader_release(r, &rec);
    }
    kafka_reader_free(r);
    if (found == 0 && rc != 2)
        return rc < 0
                   ? -1
                   : err_set(e, ERR_BUSY, "the end of %s was not reached", results_topic);
    return found;
}

static bool names_lost(const struct lost *lost, const struct kafka_record *rec,
                       char *where, size_t size)
{
    for (size_t h = 0; h < rec->n_headers; h++) {
        if (!str_is(rec->headers[h].name, "source"))
            continue;
        if (!is_lost(lost, rec->headers[h].value))
            continue;
        snprintf(where, size, "%.*s", STR_ARG(rec->headers[h].value));
        return true;
    }
    return false;
}

static bool is_lost(const struct lost *lost, struct str source)
{
    for (size_t i = 0; i < lost->n; i++)
        if (str_starts(source, lost->prefixes[i]))
            return true;
    return false;
}
