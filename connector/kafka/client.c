/* Making librdkafka handles, what they write to the log, and what their error codes mean
 * to us. Owns nothing. Invariant: no line of the library reaches the log but through
 * on_log. */
#include "kafka/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

enum { NAP_MS = 50 };

static void on_log(const rd_kafka_t *rk, int level, const char *facility,
                   const char *text);
static bool is_noise(const char *facility, const char *text);
static bool is_one_of(rd_kafka_resp_err_t code, const rd_kafka_resp_err_t *list,
                      size_t n);

rd_kafka_t *client_new(enum client_kind kind, rd_kafka_conf_t *conf, struct err *e)
{
    bool producer = kind == CLIENT_TICKS || kind == CLIENT_EVENTS ||
                    kind == CLIENT_SENDER || kind == CLIENT_PROOF;
    char text[300] = "";
    rd_kafka_t *rk;

    rd_kafka_conf_set_log_cb(conf, on_log);
    rk = rd_kafka_new(producer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, conf, text,
                      sizeof(text));
    if (rk == NULL) {
        rd_kafka_conf_destroy(conf);
        (void)err_set(e, ERR_SETTINGS, "%s", text);
    }
    return rk;
}

void client_set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[200];

    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) == RD_KAFKA_CONF_OK)
        return;
    log_error("kafka.client", "%s = %s: %s", name, value, text);
    log_flush();
    abort();
}

/* For a killed broker too the library suspects TLS settings: that is not the cause. */
void client_reason(const char *text, char *out, size_t size)
{
    const char *guess = strstr(text, ": might be caused by");
    const char *state = strstr(text, " (after ");
    size_t len = strlen(text);

    if (state != NULL)
        len = (size_t)(state - text);
    if (guess != NULL && (size_t)(guess - text) < len)
        len = (size_t)(guess - text);
    (void)snprintf(out, size, "%.*s", (int)len, text);
}

rd_kafka_topic_partition_list_t *partition_list(struct kafka_partition at, int64_t offset)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

    rd_kafka_topic_partition_list_add(list, at.topic, at.partition)->offset = offset;
    return list;
}

bool error_is_passing(rd_kafka_resp_err_t code)
{
    static const rd_kafka_resp_err_t passing[] = {
        RD_KAFKA_RESP_ERR__TIMED_OUT,
        RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE,
        RD_KAFKA_RESP_ERR__TRANSPORT,
        RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN,
        RD_KAFKA_RESP_ERR__RESOLVE,
        RD_KAFKA_RESP_ERR__WAIT_COORD,
        RD_KAFKA_RESP_ERR__WAIT_CACHE,
        RD_KAFKA_RESP_ERR__IN_PROGRESS,
        RD_KAFKA_RESP_ERR__PREV_IN_PROGRESS,
        RD_KAFKA_RESP_ERR__RETRY,
        RD_KAFKA_RESP_ERR__BAD_MSG,
        RD_KAFKA_RESP_ERR_INVALID_MSG,
        RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE,
        RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE,
        RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION,
        RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
        RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
        RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
        RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH,
        RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH,
        RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE,
        RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT,
        RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS,
        RD_KAFKA_RESP_ERR_NOT_CONTROLLER,
        RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED,
    };

    return is_one_of(code, passing, sizeof(passing) / sizeof(passing[0]));
}

bool error_is_stale(rd_kafka_resp_err_t code)
{
    static const rd_kafka_resp_err_t stale[] = {
        RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
        RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
        RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST,
    };

    return is_one_of(code, stale, sizeof(stale) / sizeof(stale[0]));
}

void watch_begin(struct kafka_watch *w, const char *call)
{
    atomic_store(&w->since_ms, clock_now(&clock_system));
    atomic_store(&w->call, call);
}

void watch_end(struct kafka_watch *w)
{
    atomic_store(&w->call, NULL);
}

void watch_nap(struct kafka_watch *w)
{
    struct timespec pause = {0, NAP_MS * 1000000L};

    if (!atomic_load(&w->stop))
        (void)nanosleep(&pause,
                        NULL); /* cut short by a signal: then it is a shorter nap */
}

static void on_log(const rd_kafka_t *rk, int level, const char *facility,
                   const char *text)
{
    enum log_level ours = level <= 2   ? LOG_ERROR
                          : level <= 4 ? LOG_WARN
                          : level <= 6 ? LOG_INFO
                                       : LOG_DEBUG;
    char reason[300];

    if (is_noise(facility, text))
        ours = LOG_DEBUG;
    if (log_wants(ours)) {
        client_reason(text, reason, sizeof(reason));
        log_line(ours, "kafka.client", "%s %s: %s", rk == NULL ? "" : rd_kafka_name(rk),
                 facility, reason);
    }
}

/* Lines at a high level that are normal work, or that our own events say better. */
static bool is_noise(const char *facility, const char *text)
{
    static const char *const facilities[] = {
        "TXNERR", /* each refused tick: normal at every rebalance */
        "GETPID", /* the one retry of init_transactions after a crash */
        "FAIL",   /* each connection attempt while a broker is away */
        "ERROR",  /* the same, on handles whose events nobody reads */
    };
    size_t i;

    for (i = 0; i < sizeof(facilities) / sizeof(facilities[0]); i++)
        if (strcmp(facility, facilities[i]) == 0)
            return true;
    /* The scope of a property is checked by us; where the library's word differs from
     * what it does (retry.backoff.ms on consumers) it was measured. */
    return strstr(text, "will be ignored by this") != NULL ||
           strstr(text, "No `bootstrap.servers` configured") != NULL;
}

static bool is_one_of(rd_kafka_resp_err_t code, const rd_kafka_resp_err_t *list, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (list[i] == code)
            return true;
    return false;
}
