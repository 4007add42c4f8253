/* The table of all settings: the one place where a key, its default, its range and its
 * words stand. Parsing, --help, config/front-connector.conf and config/README.md all come
 * from it. */
#include "cli/settings.h"

#include <stddef.h>

#define AT(field) offsetof(struct settings, field)
#define KIB INT64_C(1024)
#define MIB (1024 * KIB)
#define SECOND INT64_C(1000)
#define DAY (86400 * SECOND)

static const char *const response_names[] = {"full", "none", NULL};
static const char *const doubt_names[] = {"probe", "report", "retry", NULL};
static const char *const format_names[] = {"avro", "json", NULL};
static const char *const start_names[] = {"auto", "earliest", "latest", NULL};
static const char *const delivery_names[] = {"exactly-once", "at-least-once", NULL};
static const char *const subject_names[] = {"topic", "record", "topic-record", NULL};
static const char *const level_names[] = {"error", "warn", "info", "debug", NULL};
static const char *const log_format_names[] = {"text", "json", NULL};

/* key, type, default, unit, min, max, choices, importance, offset, section, help */
const struct setting_row settings_rows[] = {
    {"front.url", SETTING_TEXT, "https://api2.frontapp.com", NULL, 0, 0, NULL,
     IMPORTANCE_MEDIUM, AT(front_url), "Front",
     "Where Front's API is. Plain http is accepted for loopback addresses only."},
    {"front.token", SETTING_SECRET, NULL, NULL, 0, 0, NULL, IMPORTANCE_HIGH,
     AT(front_token), "Front",
     "API token of the company; `run` needs it. Best kept in a file: ${file:/run/secrets/"
     "front-token}; a changed file is read again within a second."},
    {"front.ca.file", SETTING_TEXT, NULL, NULL, 0, 0, NULL, IMPORTANCE_LOW,
     AT(front_ca_file), "Front",
     "PEM file with the certificate authorities to trust; none: the system's."},
    {"front.proxy", SETTING_TEXT, NULL, NULL, 0, 0, NULL, IMPORTANCE_LOW, AT(front_proxy),
     "Front",
     "URL of the proxy on the way to Front. Proxies named in the environment are "
     "ignored."},
    {"front.max.in.flight", SETTING_INT, "64", "requests", 1, 1024, NULL, IMPORTANCE_LOW,
     AT(front_max_in_flight), "Front", "Requests running at the same time, at most."},
    {"front.timeout.ms", SETTING_INT, "30000", "ms", 1 * SECOND, 600 * SECOND, NULL,
     IMPORTANCE_MEDIUM, AT(front_timeout_ms), "Front",
     "How long one request may take. A body adds a second per 100 kB."},
    {"front.connect.timeout.ms", SETTING_INT, "10000", "ms", 100, 600 * SECOND, NULL,
     IMPORTANCE_LOW, AT(front_connect_timeout_ms), "Front",
     "How long connecting may take; cut to front.timeout.ms when it is larger."},
    {"front.max.response.bytes", SETTING_BYTES, "16MiB", "bytes", 64 * KIB, 1024 * MIB,
     NULL, IMPORTANCE_LOW, AT(front_max_response_bytes), "Front",
     "The largest answer that is read. What Front did with the request is known even "
     "when the "
     "answer is larger."},
    {"front.app.uid", SETTING_TEXT, NULL, NULL, 0, 0, NULL, IMPORTANCE_LOW,
     AT(front_app_uid), "Front",
     "Application uid, for the operations of the channel API."},
    {"front.app.secret", SETTING_SECRET, NULL, NULL, 0, 0, NULL, IMPORTANCE_LOW,
     AT(front_app_secret), "Front",
     "Application secret: signs the channel API's tokens. Goes with front.app.uid."},
    {"front.trace.headers", SETTING_BOOL, "false", NULL, 0, 0, NULL, IMPORTANCE_LOW,
     AT(front_trace_headers), "Front",
     "Send a command's traceparent and tracestate headers on to Front."},

    {"retry.max.attempts", SETTING_INT, "8", "requests", 1, 100, NULL, IMPORTANCE_MEDIUM,
     AT(retry_max_attempts), "Retries",
     "Attempts that may have reached Front. Answers 429 and requests never sent do not "
     "count."},
    {"retry.max.ms", SETTING_INT, "900000", "ms", 0, 7 * DAY, NULL, IMPORTANCE_MEDIUM,
     AT(retry_max_ms), "Retries",
     "How long after its first request a command is retried."},
    {"retry.backoff.ms", SETTING_INT, "500", "ms", 1, 600 * SECOND, NULL, IMPORTANCE_LOW,
     AT(retry_backoff_ms), "Retries",
     "Ceiling of the first pause; it doubles with each attempt, the pause is random "
     "below it."},
    {"retry.backoff.max.ms", SETTING_INT, "60000", "ms", 1, 3600 * SECOND, NULL,
     IMPORTANCE_LOW, AT(retry_backoff_max_ms), "Retries",
     "The ceiling does not double beyond this."},
    {"in.doubt", SETTING_CHOICE, "probe", NULL, 0, 0, doubt_names, IMPORTANCE_HIGH,
     AT(in_doubt), "Retries",
     "What to do when nobody knows whether Front executed a call that must not be "
     "repeated: "
     "look for its effect, report IN_DOUBT, or send it again."},
    {"quota.limit.per.minute", SETTING_INT, NULL, "requests", 1, 1000000, NULL,
     IMPORTANCE_MEDIUM, AT(quota_limit_per_minute), "Quota",
     "Own ceiling of requests a minute; none: what Front's answers say."},
    {"quota.reserve.percent", SETTING_INT, "0", "percent", 0, 99, NULL, IMPORTANCE_MEDIUM,
     AT(quota_reserve_percent), "Quota",
     "Share of the company's quota left to other integrations."},

    {"kafka.bootstrap.servers", SETTING_TEXT, "!", NULL, 0, 0, NULL, IMPORTANCE_HIGH,
     AT(kafka_bootstrap_servers), "Kafka", "Brokers to start from: host:port,host:port."},
    {"kafka.", SETTING_PREFIX, NULL, NULL, 0, 0, NULL, IMPORTANCE_MEDIUM, AT(kafka),
     "Kafka",
     "Any librdkafka property, such as kafka.security.protocol; goes to every handle "
     "that knows "
     "it. The properties the connector's promise rests on cannot be set."},
    {"kafka.consumer.", SETTING_PREFIX, NULL, NULL, 0, 0, NULL, IMPORTANCE_LOW,
     AT(kafka_consumer), "Kafka", "librdkafka properties of the consumer only."},
    {"kafka.producer.", SETTING_PREFIX, NULL, NULL, 0, 0, NULL, IMPORTANCE_LOW,
     AT(kafka_producer), "Kafka", "librdkafka properties of the producer only."},
    {"group.id", SETTING_TEXT, "front-connector", NULL, 0, 0, NULL, IMPORTANCE_HIGH,
     AT(group_id), "Kafka",
     "Consumer group. All instances of one connector share it; two connectors never do."},
    {"instance.id", SETTING_TEXT, NULL, NULL, 0, 0, NULL, IMPORTANCE_HIGH,
     AT(instance_id), "Kafka",
     "Name of this instance, different for each; none: the host name. The transactional "
     "id is "
     "<group.id>.<instance.id>; set explicitly it makes the instance a static member "
     "too."},
    {"delivery", SETTING_CHOICE, "exactly-once", NULL, 0, 0, delivery_names,
     IMPORTANCE_HIGH, AT(delivery), "Kafka",
     "exactly-once needs transactions: a cluster that cannot is an error, never a silent "
     "fall-back. With at-least-once a result may appear twice after a crash."},

    {"commands.topics", SETTING_LIST, "front.commands", NULL, 0, 0, NULL, IMPORTANCE_HIGH,
     AT(commands_topics), "Commands", "Topics the commands are read from."},
    {"commands.format", SETTING_CHOICE, "avro", NULL, 0, 0, format_names, IMPORTANCE_HIGH,
     AT(commands_format), "Commands", "How command records are encoded."},
    {"commands.start", SETTING_CHOICE, "auto", NULL, 0, 0, start_names, IMPORTANCE_MEDIUM,
     AT(commands_start), "Commands",
     "Where a partition without a committed offset starts; auto: at the earliest, unless "
     "results show that offsets were lost."},
    {"commands.max.pending", SETTING_INT, "2048", "commands", 16, 8192, NULL,
     IMPORTANCE_LOW, AT(commands_max_pending), "Commands",
     "Offsets between the oldest unfinished command of a partition and the newest one "
     "read."},
    {"commands.max.pending.bytes", SETTING_BYTES, "64MiB", "bytes", 1 * MIB, 16384 * MIB,
     NULL, IMPORTANCE_LOW, AT(commands_max_pending_bytes), "Commands",
     "Bytes of commands held in memory, over all partitions."},
    {"commands.dedupe.entries", SETTING_INT, "1000", "commands", 0, 1000000, NULL,
     IMPORTANCE_LOW, AT(commands_dedupe_entries), "Commands",
     "Command ids remembered per partition, so that a repeated one is answered and not "
     "executed "
     "again."},

    {"results.topic", SETTING_TEXT, "front.results", NULL, 0, 0, NULL, IMPORTANCE_HIGH,
     AT(results_topic), "Topics", "One result for each command."},
    {"dead.letters.topic", SETTING_TEXT, "front.dead-letters", NULL, 0, 0, NULL,
     IMPORTANCE_HIGH, AT(dead_letters_topic), "Topics",
     "Records that could not be decoded, as they came."},
    {"events.topic", SETTING_TEXT, "front.events", NULL, 0, 0, NULL, IMPORTANCE_MEDIUM,
     AT(events_topic), "Topics", "What happened in Front."},
    {"jobs.topic", SETTING_TEXT, "front.jobs", NULL, 0, 0, NULL, IMPORTANCE_LOW,
     AT(jobs_topic), "Topics", "Where the progress of lists and syncs is kept."},
    {"resources.topic.prefix", SETTING_TEXT, "front.", NULL, 0, 0, NULL,
     IMPORTANCE_MEDIUM, AT(resources_topic_prefix), "Topics",
     "Before the name of a resource (contacts, tags, ...): the topic its rows go to."},
    {"results.max.bytes", SETTING_BYTES, "900000", "bytes", 1000, 100 * MIB, NULL,
     IMPORTANCE_MEDIUM, AT(results_max_bytes), "Topics",
     "A larger answer is left out of its result, which says `truncated`. To have whole "
     "files in results raise this, front.max.response.bytes and max.message.bytes of the "
     "results topic."},
    {"results.response", SETTING_CHOICE, "full", NULL, 0, 0, response_names,
     IMPORTANCE_MEDIUM, AT(results_response), "Topics",
     "none: results carry outcome and ids, never Front's answer."},
    {"reply.topics.allowed", SETTING_TEXT, NULL, NULL, 0, 0, NULL, IMPORTANCE_MEDIUM,
     AT(reply_topics_allowed), "Topics",
     "Regular expression over whole topic names: where a command may ask its result to "
     "be sent "
     "as well. None: nowhere."},
    {"topics.create", SETTING_BOOL, "false", NULL, 0, 0, NULL, IMPORTANCE_MEDIUM,
     AT(topics_create), "Topics", "Create the topics that are missing."},
    {"topics.partitions", SETTING_INT, "-1", "partitions", -1, 10000, NULL,
     IMPORTANCE_LOW, AT(topics_partitions), "Topics",
     "Partitions of a created topic; -1: the broker's default. Results and jobs get the "
     "largest "
     "count among the command topics."},
    {"topics.replication.factor", SETTING_INT, "-1", "copies", -1, 100, NULL,
     IMPORTANCE_LOW, AT(topics_replication_factor), "Topics",
     "Copies of a created topic; -1: the broker's default."},

    {"attachments.url.allowed", SETTING_TEXT, NULL, NULL, 0, 0, NULL, IMPORTANCE_MEDIUM,
     AT(attachments_url_allowed), "Attachments",
     "Regular expression over whole URLs: what an attachment may be fetched from. None: "
     "nothing. Whatever it says, only public addresses are called, no redirect is "
     "followed, and front.proxy is not asked."},
    {"attachments.max.bytes", SETTING_BYTES, "25MiB", "bytes", 1, 1024 * MIB, NULL,
     IMPORTANCE_LOW, AT(attachments_max_bytes), "Attachments",
     "All attachments of one command together; more is REJECTED. Front takes 25 MB. The "
     "command topic must take such records (max.message.bytes), and so must whoever "
     "writes "
     "them; as JSON they are a third longer."},

    {"jobs.max.running", SETTING_INT, "4", "jobs", 1, 1000, NULL, IMPORTANCE_LOW,
     AT(jobs_max_running), "Lists and syncs",
     "Lists and syncs running at once, per instance."},
    {"sync.", SETTING_PREFIX, NULL, NULL, 0, 0, NULL, IMPORTANCE_MEDIUM, AT(sync_pairs),
     "Lists and syncs",
     "sync.<name>.operation, .every.ms, .params.<param>, .cursor (none or "
     "updated_after), "
     ".overlap.ms (300000): a list that is run again and again. updated_after, for "
     "contacts "
     "only: a run asks for what changed since the last complete one, less the overlap. "
     "All "
     "instances must have the same syncs."},

    {"schemas.registry.url", SETTING_LIST, NULL, NULL, 0, 0, NULL, IMPORTANCE_MEDIUM,
     AT(schemas_registry_url), "Schemas",
     "Schema registry; several for fail-over. None: single-object encoding."},
    {"schemas.registry.username", SETTING_TEXT, NULL, NULL, 0, 0, NULL, IMPORTANCE_LOW,
     AT(schemas_registry_username), "Schemas", "User of the registry."},
    {"schemas.registry.password", SETTING_SECRET, NULL, NULL, 0, 0, NULL, IMPORTANCE_LOW,
     AT(schemas_registry_password), "Schemas", "Its password."},
    {"schemas.registry.ca.file", SETTING_TEXT, NULL, NULL, 0, 0, NULL, IMPORTANCE_LOW,
     AT(schemas_registry_ca_file), "Schemas", "PEM file to trust; none: the system's."},
    {"schemas.register", SETTING_BOOL, "false", NULL, 0, 0, NULL, IMPORTANCE_MEDIUM,
     AT(schemas_register), "Schemas",
     "Register our schemas when the registry lacks them."},
    {"schemas.subject.strategy", SETTING_CHOICE, "topic", NULL, 0, 0, subject_names,
     IMPORTANCE_LOW, AT(schemas_subject_strategy), "Schemas",
     "How subjects are named: <topic>-value, <record> or <topic>-<record>."},
    {"schemas.dir", SETTING_TEXT, NULL, NULL, 0, 0, NULL, IMPORTANCE_LOW, AT(schemas_dir),
     "Schemas", "Folder with further .avsc files: writers' schemas that are not ours."},

    {"webhooks.listen", SETTING_TEXT, "off", NULL, 0, 0, NULL, IMPORTANCE_MEDIUM,
     AT(webhooks_listen), "Events",
     "host:port for Front's webhooks, or off. TLS is the work of a proxy in front: "
     "config/nginx.conf is an example."},
    {"webhooks.app.keys", SETTING_LIST, NULL, NULL, 0, 0, NULL, IMPORTANCE_MEDIUM,
     AT(webhooks_app_keys), "Events",
     "Signing keys of application webhooks, which come to /webhooks/front/app; several, "
     "separated by commas, while one replaces another. None: that path answers 404. "
     "Best kept in a file: a changed one is read again within a second."},
    {"webhooks.rule.keys", SETTING_LIST, NULL, NULL, 0, 0, NULL, IMPORTANCE_MEDIUM,
     AT(webhooks_rule_keys), "Events",
     "The same for webhooks of rules, at /webhooks/front/rule."},
    {"webhooks.channel.keys", SETTING_LIST, NULL, NULL, 0, 0, NULL, IMPORTANCE_MEDIUM,
     AT(webhooks_channel_keys), "Events",
     "The same for callbacks of application channels, at /webhooks/front/channel."},
    {"webhooks.public.url", SETTING_TEXT, NULL, NULL, 0, 0, NULL, IMPORTANCE_LOW,
     AT(webhooks_public_url), "Events",
     "How Front reaches webhooks.listen, without the path. A channel that is being made "
     "is told it."},
    {"webhooks.max.body.bytes", SETTING_BYTES, "1MiB", "bytes", 1 * KIB, 64 * MIB, NULL,
     IMPORTANCE_LOW, AT(webhooks_max_body_bytes), "Events",
     "A larger webhook is answered 413."},
    {"webhooks.max.pending", SETTING_INT, "2000", "events", 1, 1000000, NULL,
     IMPORTANCE_LOW, AT(webhooks_max_pending), "Events",
     "Events that wait for Kafka. Above three quarters of it Front hears 429 at once, "
     "though the event is kept; when it is full (or 64 MiB are) it is not."},
    {"webhooks.timeout.ms", SETTING_INT, "4000", "ms", 100, 60 * SECOND, NULL,
     IMPORTANCE_LOW, AT(webhooks_timeout_ms), "Events",
     "After this a webhook not yet stored is answered 429; the event is kept and stored "
     "all the same. Front waits 5 s."},
    {"events.dedupe.entries", SETTING_INT, "100000", "events", 0, 10000000, NULL,
     IMPORTANCE_LOW, AT(events_dedupe_entries), "Events",
     "Ids of stored events remembered (about 80 bytes each): a repeat is answered and "
     "not "
     "stored again."},
    {"events.heal.every.ms", SETTING_INT, NULL, "ms", 0, 7 * DAY, NULL, IMPORTANCE_MEDIUM,
     AT(events_heal_every_ms), "Events",
     "How often Front's list of events is read for what was missed: 0 (never), or 1000 "
     "and "
     "more. Default: 300000 with webhooks, else 0. Without webhooks this makes it the "
     "poller."},
    {"events.heal.overlap.ms", SETTING_INT, "600000", "ms", 0, 7 * DAY, NULL,
     IMPORTANCE_LOW, AT(events_heal_overlap_ms), "Events",
     "How far each reading goes back behind the last one."},
    {"events.heal.lag.ms", SETTING_INT, "120000", "ms", 0, DAY, NULL, IMPORTANCE_LOW,
     AT(events_heal_lag_ms), "Events", "How far each reading stays behind the present."},
    {"events.heal.from", SETTING_TEXT, "now", NULL, 0, 0, NULL, IMPORTANCE_LOW,
     AT(events_heal_from), "Events",
     "Where the first reading ever starts: now, or milliseconds since the epoch."},

    {"shutdown.drain.ms", SETTING_INT, "10000", "ms", 0, 600 * SECOND, NULL,
     IMPORTANCE_MEDIUM, AT(shutdown_drain_ms), "Running",
     "How long running requests may take to end at a stop and when partitions move."},
    {"status.listen", SETTING_TEXT, "127.0.0.1:9464", NULL, 0, 0, NULL, IMPORTANCE_MEDIUM,
     AT(status_listen), "Running",
     "host:port for /metrics, /healthz, /readyz and /status, or off."},
    {"log.level", SETTING_CHOICE, "info", NULL, 0, 0, level_names, IMPORTANCE_MEDIUM,
     AT(log_level), "Running", "How much is logged on stderr."},
    {"log.format", SETTING_CHOICE, "text", NULL, 0, 0, log_format_names, IMPORTANCE_LOW,
     AT(log_format), "Running", "text, or json with OpenTelemetry's names."},
};

const size_t settings_rows_n = sizeof(settings_rows) / sizeof(settings_rows[0]);
