/* The connector itself: commands -> Front -> results. engine_turn() is the whole program
 * on one screen; connector/README.md says which of its calls lives where. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "base/clock.h"
#include "base/err.h"
#include "base/settings.h"
#include "codec/schemas.h"
#include "kafka/port.h"
#include "net/http_client.h"

enum in_doubt_policy { DOUBT_PROBE, DOUBT_REPORT, DOUBT_RETRY };

struct pair; /* codec/records/command.h */

/* A list that is walked again and again. */
struct engine_sync {
    const char *name;
    const char *operation;     /* whose rows go to a topic */
    const struct pair *params; /* without the cursor's */
    size_t n_params;
    int64_t every_ms;
    bool updated_after; /* only what changed since the last complete walk, less ... */
    int64_t overlap_ms;
    bool heals;      /* it is Front's list of events, for what no webhook brought */
    int64_t lag_ms;  /* so far it stays behind the present */
    int64_t from_ms; /* where its first run ever begins, epoch ms; 0: now */
};

struct engine_options {
    const char *group_id, *instance_id;
    const char *const *commands_topics;
    size_t n_commands_topics;
    const int32_t *commands_partitions; /* of each of them */
    bool commands_json;                 /* commands.format */
    bool start_latest;                  /* commands.start=latest (else earliest) */
    bool start_given;                   /* commands.start is not auto */
    int64_t max_pending;                /* offsets in the window, per partition */
    int64_t max_pending_bytes;
    const char *results_topic, *dead_letters_topic;
    const char *jobs_topic; /* NULL: lists answer their first page only */
    int32_t jobs_partitions;
    int64_t jobs_max_running;
    const struct engine_sync *syncs;
    size_t n_syncs; /* one of them may heal the events */
    const char *events_topic;
    int64_t events_dedupe_entries; /* ids of events remembered */
    const char *resources_prefix;  /* of the topics that items go to */
    const char *reply_allowed;     /* anchored regex; NULL: none */
    int64_t results_max_bytes;
    bool results_response;            /* full */
    int64_t results_record_max_bytes; /* max.message.bytes of the results topic */
    int32_t results_partitions;
    bool exactly_once;

    const char *token; /* a copy is kept; engine_set_token changes it */
    const char *app_uid, *app_secret;
    int64_t max_in_flight, timeout_ms, max_response_bytes;
    const char *attachments_allowed; /* anchored regex over URLs; NULL: none */
    int64_t attachments_max_bytes;   /* of a command */
    bool fetch_private_too;          /* tests: URLs may lead to addresses of any kind */
    bool trace_headers;
    enum in_doubt_policy in_doubt;
    int64_t
        dedupe_entries; /* results remembered per partition; 0: ids are not looked up */

    int64_t retry_max_attempts, retry_max_ms, retry_backoff_ms, retry_backoff_max_ms;
    int64_t quota_limit; /* 0: learned */
    int quota_reserve_percent;

    int64_t session_timeout_ms; /* of the consumer, for the gate */
    int64_t drain_ms;
    uint64_t seed; /* jitter */
};

/* Files that are fetched at once: http.start is called so often with a `url`. */
#define ENGINE_FETCHES 4

struct engine;

struct engine *engine_new(const struct engine_options *o, struct schemas *ss,
                          const struct kafka_port *kafka, const struct http_port *http,
                          const struct clock *clock, struct err *e);
void engine_free(struct engine *en);

/* One turn: everything that is due now. Never blocks. */
void engine_turn(struct engine *en);
/* When the next turn is needed at the latest (monotonic ms). */
int64_t engine_next_ms(const struct engine *en);

/* SIGTERM: drains, last tick, leaves the group. A second call ends at once. */
void engine_stop(struct engine *en);
/* 0: running; 1: ended well; -1: must end now with exit 1, `e` says why. */
int engine_ended(const struct engine *en, struct err *e);

void engine_set_token(struct engine *en, const char *token);

/* Pages of status.listen, and what the loop knows besides. */
struct engine_health {
    int64_t loop_turned_ms_ago;
    int64_t kafka_thread_ms; /* busy with one call */
    const char *kafka_call;
};
bool engine_healthy(struct engine *en, const struct engine_health *h, struct buf *why);
bool engine_ready(struct engine *en, struct buf *why);
void engine_status_json(struct engine *en, const struct engine_health *h,
                        struct buf *out);
void engine_metrics(struct engine *en, struct buf *out);

#endif
