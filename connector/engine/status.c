/* What an operator sees: readiness with its reason, the status as JSON, the metrics page.
 */
#include <stdio.h>

#include "codec/json.h"
#include "engine/internal.h"

#define LOOP_DEAD_MS 5000
#define KAFKA_THREAD_DEAD_MS 60000
#define PROGRESS_MS 60000

static const char *const part_state_names[] = {
    "asking", "starting", "seeding", "parked", "reading", "live", "recheck", "stopped"};

static int64_t lag_of(struct engine *en, const struct part *part);
static void refresh_gauges(struct engine *en);
static const char *waiting_reason(struct engine *en);
static void print_parts(struct engine *en, struct buf *out);
static void print_jobs(struct engine *en, struct buf *out);

bool engine_healthy(struct engine *en, const struct engine_health *h, struct buf *why)
{
    if (h->loop_turned_ms_ago > LOOP_DEAD_MS) {
        buf_printf(why, "the loop has not turned for %lld ms",
                   (long long)h->loop_turned_ms_ago);
        return false;
    }
    if (h->kafka_thread_ms > KAFKA_THREAD_DEAD_MS && en->kafka_up) {
        buf_printf(why, "the Kafka thread is in %s for %lld ms though the brokers answer",
                   h->kafka_call, (long long)h->kafka_thread_ms);
        return false;
    }
    buf_add_cstr(why, "ok");
    return true;
}

bool engine_ready(struct engine *en, struct buf *why)
{
    const char *not_ready = NULL;
    char schemas[560];
    struct part *part;
    int64_t lag = 0;
    if (en->closing)
        not_ready = "draining";
    else if (!en->kafka_up)
        not_ready = "Kafka is not reached";
    else if (!en->schemas_known) {
        (void)snprintf(schemas, sizeof schemas, "output schemas unresolved: %s",
                       en->schemas_why);
        not_ready = schemas;
    } else if (!en->group_assigned)
        not_ready = "no assignment yet";
    TAILQ_FOREACH (part, &en->parts, link) {
        lag += lag_of(en, part);
        if (not_ready == NULL && part->state == PART_STOPPED)
            not_ready = "a partition is stopped";
        else if (not_ready == NULL && part->state == PART_RECHECK)
            not_ready = "fenced: positions are read again";
    }
    const char *reason = waiting_reason(en);
    if (not_ready == NULL && reason == NULL && lag > 0 &&
        en->now - en->last_finished_ms > PROGRESS_MS && en->last_finished_ms > 0)
        not_ready = "nothing finished for 60 s though commands wait";
    if (tick_is_slow(en) && reason == NULL)
        reason = "Kafka does not commit";
    buf_add_cstr(why, not_ready ? not_ready : reason ? reason : "ok");
    return not_ready == NULL;
}

void engine_status_json(struct engine *en, const struct engine_health *h, struct buf *out)
{
    struct quota_view qv;
    struct buf why;
    buf_init(&why, 2048);
    bool ready = engine_ready(en, &why);
    quota_view(en->quota, en->now, &qv);
    buf_printf(out, "{\"ready\":%s,\"reason\":", ready ? "true" : "false");
    json_quote(out, buf_str(&why));
    buf_fini(&why);
    buf_printf(out, ",\"kafka\":{\"up\":%s,\"assigned\":%s,\"thread_call\":",
               en->kafka_up ? "true" : "false", en->group_assigned ? "true" : "false");
    json_quote(out, str_of(h->kafka_call ? h->kafka_call : ""));
    buf_printf(out, ",\"thread_ms\":%lld},\"commands\":{", (long long)h->kafka_thread_ms);
    for (size_t i = 0; i < SLOT_FREE; i++)
        buf_printf(out, "\"%s\":%zu,", slot_state_names[i], en->counts[i]);
    buf_printf(out,
               "\"lanes\":%zu,\"in_flight\":%zu},\"identity\":{\"received\":%lld,"
               "\"finished\":%lld,\"dead_letters\":%lld,\"returned\":%lld,\"open\":%zu},",
               lanes_count(en->lanes), en->in_flight, (long long)en->received,
               (long long)en->finished, (long long)en->dead, (long long)en->returned,
               en->n_slots);
    buf_printf(
        out,
        "\"quota\":{\"limit\":%lld,\"remaining\":%lld,\"tickets\":%lld,\"used\":%lld,"
        "\"refusals\":%llu},\"front\":{\"me_status\":%d},\"partitions\":[",
        (long long)qv.limit, (long long)qv.remaining, (long long)qv.tickets,
        (long long)qv.used, (unsigned long long)qv.refusals, en->me_status);
    print_parts(en, out);
    buf_add_cstr(out, "],\"webhooks\":");
    ingest_status(en, out);
    buf_add_cstr(out, ",\"registry\":");
    registered_status(en, out);
    buf_add_cstr(out, ",\"jobs\":{");
    print_jobs(en, out);
    buf_add_cstr(out, "]}}\n");
}

void engine_metrics(struct engine *en, struct buf *out)
{
    refresh_gauges(en);
    metrics_print(en->metrics, out);
}

static int64_t lag_of(struct engine *en, const struct part *part)
{
    int64_t high = en->kafka.high(en->kafka.self, part->at);
    int64_t at = part->jobs != NULL ? part->next : part->ledger.line;
    return high > at ? high - at : 0;
}

static void refresh_gauges(struct engine *en)
{
    struct quota_view qv;
    struct part *part;
    int64_t oldest = 0;
    quota_view(en->quota, en->now, &qv);
    for (size_t i = 0; i < SLOT_FREE; i++)
        metric_set(metrics_get(en->metrics, M_OPEN, slot_state_names[i], NULL),
                   (double)en->counts[i]);
    for (size_t i = 0; i < JOB_STATES; i++)
        metric_set(metrics_get(en->metrics, M_JOBS, job_state_names[i], NULL),
                   (double)en->job_counts[i]);
    TAILQ_FOREACH (part, &en->parts, link) {
        char number[12];
        snprintf(number, sizeof number, "%d", part->at.partition);
        metric_set(metrics_get(en->metrics, M_LAG, part->at.topic, number, NULL),
                   (double)lag_of(en, part));
        metric_set(metrics_get(en->metrics, M_LEDGER_BYTES, part->at.topic, number, NULL),
                   (double)part->ledger_bytes);
        const struct slot *first = TAILQ_FIRST(&part->slots);
        if (first != NULL && (oldest == 0 || first->received_at < oldest))
            oldest = first->received_at;
    }
    metric_set(metrics_get(en->metrics, M_OLDEST_OPEN, NULL), (double)oldest / 1000);
    if (qv.limit >= 0)
        metric_set(metrics_get(en->metrics, M_QUOTA_LIMIT, "plan", NULL),
                   (double)qv.limit);
    if (qv.remaining >= 0)
        metric_set(metrics_get(en->metrics, M_QUOTA_REMAINING, "plan", NULL),
                   (double)qv.remaining);
    if (qv.reset >= 0)
        metric_set(metrics_get(en->metrics, M_QUOTA_RESET, "plan", NULL), qv.reset);
    metric_set(metrics_get(en->metrics, M_QUOTA_TICKETS, NULL), (double)qv.tickets);
    for (size_t c = 0; c < QUOTA_CLASSES; c++) {
        struct metric *m =
            metrics_get(en->metrics, M_QUOTA_SPENT, quota_class_names[c], NULL);
        metric_add(m, (double)qv.spent[c] - metric_value(m));
    }
    for (size_t i = 0; i < LOG_LEVELS; i++) {
        struct metric *m =
            metrics_get(en->metrics, M_LOG_MESSAGES, log_level_names[i], NULL);
        metric_add(m, (double)log_count((enum log_level)i) - metric_value(m));
    }
}

/* Ready all the same: these waits are Front's doing. */
static const char *waiting_reason(struct engine *en)
{
    if (metric_value(metrics_get(en->metrics, M_API_AUTHORIZED, NULL)) == 0)
        return "Front refuses the token (401)";
    if (!en->me_known && en->group_assigned)
        return "waiting for Front's first answer";
    if (registered_trouble(en) != NULL)
        return registered_trouble(en);
    if (en->counts[SLOT_WAITING] > 0)
        return "commands wait for a retry";
    if (en->counts[SLOT_READY] > 0)
        return "commands wait for quota";
    return en->in_flight > 0 ? "waiting for Front" : NULL;
}

/* How many there are, and the ones that run. */
static void print_jobs(struct engine *en, struct buf *out)
{
    const char *sep = "";
    for (size_t i = 0; i < JOB_STATES; i++)
        buf_printf(out, "\"%s\":%zu,", job_state_names[i], en->job_counts[i]);
    buf_add_cstr(out, "\"running\":[");
    for (size_t i = JOB_READY; i < JOB_ENDED; i++) {
        const struct job *job;
        TAILQ_FOREACH (job, &en->jobs[i], link) {
            if (job->stray)
                continue;
            buf_printf(out, "%s{\"id\":", sep);
            json_quote(out, job->rec.id);
            buf_add_cstr(out, ",\"operation\":");
            json_quote(out, job->rec.operation);
            buf_printf(out,
                       ",\"state\":\"%s\",\"pages\":%lld,\"items\":%lld,"
                       "\"restarts\":%lld}",
                       job_state_names[i], (long long)job->rec.pages,
                       (long long)job->rec.items, (long long)job->rec.restarts);
            sep = ",";
        }
    }
}

static void print_parts(struct engine *en, struct buf *out)
{
    struct part *part;
    const char *sep = "";
    TAILQ_FOREACH (part, &en->parts, link) {
        buf_printf(out, "%s{\"topic\":", sep);
        json_quote(out, str_of(part->at.topic));
        buf_printf(out,
                   ",\"partition\":%d,\"state\":\"%s\",\"line\":%lld,\"next\":%lld,"
                   "\"open\":%zu,\"armed\":%zu,\"lag\":%lld,\"paused\":%s,\"why\":",
                   part->at.partition, part_state_names[part->state],
                   (long long)part->ledger.line, (long long)part->next, part->n_slots,
                   part->ledger.armed, (long long)lag_of(en, part),
                   part->paused ? "true" : "false");
        json_quote(out, str_of(part->why));
        buf_add_char(out, '}');
        sep = ",";
    }
}
