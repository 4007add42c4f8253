/* Fills the options of Kafka, HTTP and the engine from the settings: the only place where
 * a setting's name meets the name the lower floors use. */
#include "cli/launch.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/version.h"
#include "codec/records/command.h"
#include "front/catalogue.h"

#define SESSION_TIMEOUT_PRESET_MS 45000 /* librdkafka's */

static int64_t session_timeout_of(const struct settings *s)
{
    const struct setting_pairs *places[] = {&s->kafka, &s->kafka_consumer};
    int64_t timeout_ms = SESSION_TIMEOUT_PRESET_MS;
    struct err e = ERR_INIT;

    for (size_t p = 0; p < sizeof(places) / sizeof(places[0]); p++) {
        for (size_t i = 0; i < places[p]->n; i++) {
            const struct setting_pair *pair = &places[p]->items[i];

            /* a value that is no number was refused by kafka_check_settings */
            if (strcmp(pair->key, "session.timeout.ms") == 0)
                (void)parse_i64(str_of(pair->value), 1, INT32_MAX, &timeout_ms, &e);
        }
    }
    return timeout_ms;
}

static void fill_kafka(struct launch *l, const struct settings *s)
{
    bool webhooks = settings_listens(s->webhooks_listen);
    size_t n = 0;

    l->outputs[n++] = s->results_topic;
    l->outputs[n++] = s->dead_letters_topic;
    if (webhooks || s->events_heal_every_ms > 0)
        l->outputs[n++] = s->events_topic;
    l->outputs[n++] = s->jobs_topic; /* the last: preflight knows it by that */
    l->events[0] = s->events_topic;
    l->events[1] = s->dead_letters_topic;
    l->kafka = (struct kafka_options){
        .bootstrap = s->kafka_bootstrap_servers,
        .all = s->kafka,
        .consumer = s->kafka_consumer,
        .producer = s->kafka_producer,
        .group_id = s->group_id,
        .instance_id = s->instance_id,
        .static_member = s->instance_id_set,
        .exactly_once = s->delivery == DELIVERY_EXACTLY_ONCE,
        .topics = (const char *const *)s->commands_topics.items,
        .n_topics = s->commands_topics.n,
        .jobs_topic = s->jobs_topic,
        .outputs = l->outputs,
        .n_outputs = n,
        .events = l->events,
        .n_events = webhooks ? sizeof(l->events) / sizeof(l->events[0]) : 0,
        .events_max_bytes = -1, /* until preflight_topics knows */
        .events_topic = s->events_topic,
        .topics_create = s->topics_create,
        .topics_partitions = (int32_t)s->topics_partitions,
        .topics_replication = (int32_t)s->topics_replication_factor,
    };
}

static void fill_http(struct launch *l, const struct settings *s)
{
    l->http = (struct http_client_options){
        .url = s->front_url,
        .ca_file = s->front_ca_file,
        .proxy = s->front_proxy,
        .connect_timeout_ms = s->front_connect_timeout_ms,
        .places = (int)s->front_max_in_flight + 1, /* one for GET /me */
        .fetch_places = ENGINE_FETCHES,
        .user_agent = "front-connector/" FRONT_CONNECTOR_VERSION,
    };
}

static void fill_registry(struct launch *l, const struct settings *s)
{
    l->registry = (struct registry_link_options){
        .urls = (const char *const *)s->schemas_registry_url.items,
        .n = s->schemas_registry_url.n,
        .username = s->schemas_registry_username,
        .password = s->schemas_registry_password,
        .ca_file = s->schemas_registry_ca_file,
        .user_agent = "front-connector/" FRONT_CONNECTOR_VERSION,
        .registers = s->schemas_register,
        .subjects = (enum registry_subjects)s->schemas_subject_strategy,
    };
}

static void fill_syncs(struct launch *l, const struct settings *s)
{
    size_t n_params = 0;

    for (size_t i = 0; i < s->n_syncs; i++)
        n_params += s->syncs[i].n_params;
    l->syncs = mem_array(s->n_syncs + 2, sizeof(l->syncs[0]));
    l->sync_params = mem_array(n_params + 1, sizeof(l->sync_params[0]));
    n_params = 0;
    for (size_t i = 0; i < s->n_syncs; i++) {
        const struct sync_setting *sync = &s->syncs[i];
        const struct op *op = sync->operation ? op_find(str_of(sync->operation)) : NULL;

        l->syncs[i] = (struct engine_sync){
            .name = sync->name,
            .operation = op ? op->name : "", /* was refused by settings_open */
            .params = &l->sync_params[n_params],
            .n_params = sync->n_params,
            .every_ms = sync->every_ms,
            .updated_after = strcmp(sync->cursor, "updated_after") == 0,
            .overlap_ms = sync->overlap_ms,
        };
        for (size_t p = 0; p < sync->n_params; p++)
            l->sync_params[n_params++] = (struct pair){
                .name = str_of(sync->params[p].name),
                .value = str_of(sync->params[p].value),
            };
    }
}

/* Front's list of events is read as one sync more. */
static void add_healing(struct launch *l, const struct settings *s)
{
    struct err e = ERR_INIT;
    int64_t from = 0; /* now */

    l->n_syncs = s->n_syncs;
    if (s->events_heal_every_ms == 0)
        return;
    (void)parse_i64(str_of(s->events_heal_from), 1, INT64_MAX, &from, &e);
    l->syncs[l->n_syncs++] = (struct engine_sync){
        .name = "heal",
        .operation = "list-events",
        .every_ms = s->events_heal_every_ms,
        .heals = true,
        .overlap_ms = s->events_heal_overlap_ms,
        .lag_ms = s->events_heal_lag_ms,
        .from_ms = from,
    };
}

static void fill_engine(struct launch *l, const struct settings *s)
{
    l->engine = (struct engine_options){
        .group_id = s->group_id,
        .instance_id = s->instance_id,
        .commands_topics = l->kafka.topics,
        .n_commands_topics = l->kafka.n_topics,
        .commands_partitions = l->commands_partitions,
        .commands_json = s->commands_format == FORMAT_JSON,
        .start_given = s->commands_start != START_AUTO,
        .start_latest = s->commands_start == START_LATEST,
        .max_pending = s->commands_max_pending,
        .max_pending_bytes = s->commands_max_pending_bytes,
        .results_topic = s->results_topic,
        .dead_letters_topic = s->dead_letters_topic,
        .jobs_topic = s->jobs_topic,
        .jobs_max_running = s->jobs_max_running,
        .syncs = l->syncs,
        .n_syncs = l->n_syncs,
        .events_topic = s->events_topic,
        .events_dedupe_entries = s->events_dedupe_entries,
        .resources_prefix = s->resources_topic_prefix,
        .reply_allowed = l->reply_allowed,
        .results_max_bytes = s->results_max_bytes,
        .results_response = s->results_response == RESPONSE_FULL,
        .exactly_once = l->kafka.exactly_once,
        .token = s->front_token,
        .app_uid = s->front_app_uid,
        .app_secret = s->front_app_secret,
        .max_in_flight = s->front_max_in_flight,
        .timeout_ms = s->front_timeout_ms,
        .max_response_bytes = s->front_max_response_bytes,
        .attachments_allowed = l->attachments_allowed,
        .attachments_max_bytes = s->attachments_max_bytes,
        .trace_headers = s->front_trace_headers,
        .in_doubt = (enum in_doubt_policy)s->in_doubt,
        .dedupe_entries = s->commands_dedupe_entries,
        .retry_max_attempts = s->retry_max_attempts,
        .retry_max_ms = s->retry_max_ms,
        .retry_backoff_ms = s->retry_backoff_ms,
        .retry_backoff_max_ms = s->retry_backoff_max_ms,
        .quota_limit = s->quota_limit_per_minute,
        .quota_reserve_percent = (int)s->quota_reserve_percent,
        .session_timeout_ms = session_timeout_of(s),
        .drain_ms = s->shutdown_drain_ms,
        .seed = (uint64_t)clock_wall(&clock_system) ^ ((uint64_t)getpid() << 40),
    };
}

/* What cli/hooks.c adds: the keys, and how a request is answered. */
static void fill_ingest(struct launch *l, const struct settings *s)
{
    l->ingest = (struct ingest_options){
        .events_topic = s->events_topic,
        .event_max_bytes = -1,
        .dead_letter_max_bytes = -1,
        .max_pending = s->webhooks_max_pending,
        .timeout_ms = s->webhooks_timeout_ms,
    };
}

void launch_init(struct launch *l, const struct settings *s)
{
    memset(l, 0, sizeof(*l));
    if (s->reply_topics_allowed)
        l->reply_allowed = mem_printf("^(%s)$", s->reply_topics_allowed);
    if (s->attachments_url_allowed)
        l->attachments_allowed = mem_printf("^(%s)$", s->attachments_url_allowed);
    l->commands_partitions =
        mem_array(s->commands_topics.n + 1, sizeof(l->commands_partitions[0]));
    fill_kafka(l, s);
    fill_http(l, s);
    fill_registry(l, s);
    fill_syncs(l, s);
    add_healing(l, s);
    fill_engine(l, s);
    fill_ingest(l, s);
}

void launch_fini(struct launch *l)
{
    mem_free(l->reply_allowed);
    mem_free(l->attachments_allowed);
    mem_free(l->commands_partitions);
    mem_free(l->syncs);
    mem_free(l->sync_params);
    l->reply_allowed = NULL;
    l->attachments_allowed = NULL;
    l->commands_partitions = NULL;
    l->syncs = NULL;
    l->sync_params = NULL;
}
