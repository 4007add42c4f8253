/* See metrics_table.h. A row per metric; every closed label value exists at 0 from the
 * start. */
#include "engine/metrics_table.h"

#include "codec/records/event.h"
#include "codec/records/result.h"
#include "engine/job.h"
#include "engine/retry.h"
#include "front/quota.h"

static const char *const returned_reasons[] = {"done_before", "revoked", "became_job",
                                               NULL};
static const char *const dead_letter_reasons[] = {
    "Empty",       "NotFramed",     "SchemaUnknown",     "Truncated", "TrailingBytes",
    "TooLarge",    "TooDeep",       "BadUtf8",           "BadValue",  "BadJson",
    "WrongFormat", "RecordUnknown", "WebhookUnparsable", "Gap",       NULL};
static const char *const open_states[] = {
    "queued", "twin",    "topic",  "schema",   "fetch",   "fetching",
    "ready",  "waiting", "arming", "calling",  "confirm", "doubt",
    "lookup", "probing", "orphan", "answered", "ticking", NULL};
static const char *const doubt_resolutions[] = {"recovered", "not-executed", "reported",
                                                NULL};
static const char *const tick_results[] = {"committed",  "aborted", "stale",
                                           "bad-record", "unknown", NULL};
static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", NULL};
static const char *const webhook_kind_list[] = {"app", "rule", "channel", NULL};
static const char *const deliveries[] = {EVENT_WEBHOOK, EVENT_HEALED, EVENT_POLL, NULL};
static const char *const levels[] = {"error", "warn", "info", "debug", NULL};

const struct metric_row metrics_table[METRICS] = {
    [M_BUILD_INFO] = {"build_info", METRIC_GAUGE, "version,revision,librdkafka,libcurl",
                      NULL, "Always 1; the labels say what runs."},
    [M_RECEIVED] = {"commands_received_total", METRIC_COUNTER, "topic", NULL,
                    "Records read from the command topics."},
    [M_FINISHED] = {"commands_finished_total", METRIC_COUNTER, "outcome", outcome_names,
                    "Commands whose result is committed."},
    [M_RETURNED] = {"commands_returned_total", METRIC_COUNTER, "reason", returned_reasons,
                    "Records read that need no result from this instance."},
    [M_DEAD_LETTERS] = {"dead_letters_total", METRIC_COUNTER, "reason",
                        dead_letter_reasons,
                        "Records that could not be decoded, committed as dead letters; "
                        "WebhookUnparsable: webhooks that became no event."},
    [M_OPEN] = {"commands_open", METRIC_GAUGE, "state", open_states,
                "Commands in hand, by what they wait for."},
    [M_OLDEST_OPEN] = {"oldest_open_command_timestamp_seconds", METRIC_GAUGE, "", NULL,
                       "When the oldest command in hand was read; 0: none."},
    [M_DURATION] = {"command_duration_seconds", METRIC_HISTOGRAM, "priority",
                    quota_class_names, "From the record's time to its committed result."},
    [M_IN_DOUBT] = {"in_doubt_total", METRIC_COUNTER, "resolution", doubt_resolutions,
                    "Calls whose outcome was not known, by how that ended."},
    [M_REPLAYS] = {"replays_total", METRIC_COUNTER, "", NULL,
                   "Commands answered as an earlier one with their id was."},
    [M_ITEMS_MISTYPED] = {"items_mistyped_total", METRIC_COUNTER, "topic", NULL,
                          "List items with a field that is not as its type says."},
    [M_API_REQUESTS] =
        {"api_requests_total", METRIC_COUNTER, "operation,code", NULL,
         "Requests to Front that ended, by operation and status (0: no answer)."},
    [M_API_DURATION] = {"api_request_duration_seconds", METRIC_HISTOGRAM, "method",
                        methods, "From the start of a request to its end."},
    [M_API_RETRIES] = {"api_retries_total", METRIC_COUNTER, "reason", retry_reasons,
                       "Requests that will be tried again."},
    [M_API_AUTHORIZED] = {"api_authorized", METRIC_GAUGE, "", NULL,
                          "1 unless Front's last word on the token was 401."},
    [M_QUOTA_LIMIT] = {"quota_limit_requests", METRIC_GAUGE, "bucket", NULL,
                       "Front's limit of requests a minute."},
    [M_QUOTA_REMAINING] = {"quota_remaining_requests", METRIC_GAUGE, "bucket", NULL,
                           "What Front said remains of it."},
    [M_QUOTA_RESET] = {"quota_reset_timestamp_seconds", METRIC_GAUGE, "bucket", NULL,
                       "When Front said it refills."},
    [M_QUOTA_TICKETS] = {"quota_tickets", METRIC_GAUGE, "", NULL,
                         "Tickets of this instance."},
    [M_QUOTA_SPENT] = {"quota_spent_requests_total", METRIC_COUNTER, "priority",
                       quota_class_names, "Requests sent, by priority."},
    [M_QUOTA_REFUSALS] = {"quota_refusals_total", METRIC_COUNTER, "bucket", NULL,
                          "Answers 429."},
    [M_LAG] = {"consumer_lag_records", METRIC_GAUGE, "topic,partition", NULL,
               "High watermark minus commit line."},
    [M_LEDGER_BYTES] = {"ledger_bytes", METRIC_GAUGE, "topic,partition", NULL,
                        "Length of the string of the last commit."},
    [M_WINDOW_FULL] = {"window_full_seconds_total", METRIC_COUNTER, "topic,partition",
                       NULL, "Time in which the window was full."},
    [M_TRANSACTIONS] = {"transactions_total", METRIC_COUNTER, "result", tick_results,
                        "Ticks, by how they ended."},
    [M_TRANSACTION_SECONDS] = {"transaction_duration_seconds", METRIC_HISTOGRAM, "", NULL,
                               "From handing a tick over to its end."},
    [M_REBALANCES] = {"rebalances_total", METRIC_COUNTER, "", NULL,
                      "Assignments and revocations."},
    [M_JOBS] = {"jobs", METRIC_GAUGE, "state", job_state_names,
                "Lists that go on after their first page, by what they wait for."},
    [M_JOB_RESULTS] = {"job_results_total", METRIC_COUNTER, "outcome", outcome_names,
                       "Such lists whose result is committed."},
    [M_JOB_ITEMS] = {"job_items_total", METRIC_COUNTER, "operation", NULL,
                     "Records of rows committed by them."},
    [M_SYNC_SUCCESS] = {"sync_last_success_timestamp_seconds", METRIC_GAUGE, "sync", NULL,
                        "When the last successful run of it began, on Front's clock."},
    [M_HEAL_WATERMARK] = {"heal_watermark_timestamp_seconds", METRIC_GAUGE, "", NULL,
                          "Front's list of events was read to here for what was missed."},
    [M_WEBHOOKS] = {"webhook_requests_total", METRIC_COUNTER, "kind,code", NULL,
                    "Requests to webhooks.listen, by answer (429: not stored yet; 499: "
                    "the client had gone; 0: closed without one)."},
    [M_WEBHOOK_SECONDS] = {"webhook_duration_seconds", METRIC_HISTOGRAM, "kind",
                           webhook_kind_list, "From a webhook's receipt to its answer."},
    [M_WEBHOOK_LAST] = {"webhook_last_received_timestamp_seconds", METRIC_GAUGE, "", NULL,
                        "When the last signed webhook came; 0: none did."},
    [M_EVENTS] = {"events_produced_total", METRIC_COUNTER, "delivery", deliveries,
                  "Events acknowledged by Kafka, by how they reached us."},
    [M_EVENT_DELAY] = {"event_delay_seconds", METRIC_HISTOGRAM, "delivery", deliveries,
                       "From what Front says of an event's time to Kafka having it."},
    [M_SLOW_TURNS] = {"slow_turns_total", METRIC_COUNTER, "", NULL,
                      "Turns of the loop over 100 ms."},
    [M_LOG_MESSAGES] = {"log_messages_total", METRIC_COUNTER, "level", levels,
                        "Log lines, by level."},
};
