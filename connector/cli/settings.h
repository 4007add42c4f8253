/* Every setting of the connector as one struct, and how it is filled. The table itself is
 * settings_table.c; the checks between keys are settings_check.c; the grammar is
 * base/settings.h. */
#ifndef CLI_SETTINGS_H
#define CLI_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/settings.h"

enum setting_response { RESPONSE_FULL, RESPONSE_NONE };
enum setting_format { FORMAT_AVRO, FORMAT_JSON };
enum setting_start { START_AUTO, START_EARLIEST, START_LATEST };
enum setting_delivery { DELIVERY_EXACTLY_ONCE, DELIVERY_AT_LEAST_ONCE };

struct sync_param {
    const char *name, *value;
};

/* One sync: the keys sync.<name>.* brought together. */
struct sync_setting {
    char *name;
    const char *operation;
    int64_t every_ms;
    const char *cursor; /* "none" or "updated_after" */
    int64_t overlap_ms;
    struct sync_param *params;
    size_t n_params;
};

struct settings {
    char *front_url, *front_token, *front_ca_file, *front_proxy;
    int64_t front_max_in_flight, front_timeout_ms, front_connect_timeout_ms;
    int64_t front_max_response_bytes;
    char *front_app_uid, *front_app_secret;
    bool front_trace_headers;

    int64_t retry_max_attempts, retry_max_ms, retry_backoff_ms, retry_backoff_max_ms;
    int in_doubt; /* enum in_doubt_policy */
    int64_t quota_limit_per_minute, quota_reserve_percent;

    char *kafka_bootstrap_servers;
    struct setting_pairs kafka, kafka_consumer, kafka_producer;
    char *group_id, *instance_id; /* instance_id is never NULL: the host name at least */
    bool instance_id_set;         /* by the user: a static member too */
    int delivery;

    struct setting_list commands_topics;
    int commands_format, commands_start;
    int64_t commands_max_pending, commands_max_pending_bytes, commands_dedupe_entries;

    char *results_topic, *dead_letters_topic, *events_topic, *jobs_topic;
    char *resources_topic_prefix;
    int64_t results_max_bytes;
    int results_response;
    char *reply_topics_allowed;
    bool topics_create;
    int64_t topics_partitions, topics_replication_factor;

    char *attachments_url_allowed;
    int64_t attachments_max_bytes;
    int64_t jobs_max_running;

    struct setting_list schemas_registry_url;
    char *schemas_registry_username, *schemas_registry_password,
        *schemas_registry_ca_file;
    bool schemas_register;
    int schemas_subject_strategy; /* enum registry_subjects */
    char *schemas_dir;

    char *webhooks_listen, *webhooks_public_url;
    struct setting_list webhooks_app_keys, webhooks_rule_keys, webhooks_channel_keys;
    int64_t webhooks_max_body_bytes, webhooks_max_pending, webhooks_timeout_ms;
    int64_t events_dedupe_entries, events_heal_every_ms, events_heal_overlap_ms;
    int64_t events_heal_lag_ms;
    char *events_heal_from;
    struct setting_pairs sync_pairs;

    int64_t shutdown_drain_ms;
    char *status_listen;
    int log_level, log_format;

    /* not of the table */
    struct sync_setting *syncs;
    size_t n_syncs;
    char host[256];
    struct settings_values *values; /* owns the texts above */
    struct setting_row *rows; /* the table as used: nothing required that is not needed */
};

extern const struct setting_row settings_rows[];
extern const size_t settings_rows_n;

/* What a subcommand cannot do without; the rest may be missing. */
enum { NEED_NOTHING = 0, NEED_KAFKA = 1, NEED_TOKEN = 2 };

/* Loads and checks everything; returns how many lines of errors there are. Call
 * settings_close in either case. */
size_t settings_open(struct settings *s, const struct settings_source *src, unsigned need,
                     struct buf *errors);
void settings_close(struct settings *s);

/* "host:port" or "off". */
bool settings_listens(const char *listen);

#endif
