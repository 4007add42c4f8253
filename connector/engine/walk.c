/* Walks: a list, page after page. The first page runs in the lane of its command; when
 * more follow, one tick carries its items, DONE and the job's record. From then on one
 * page is one tick: items and record, at the end items, result and tombstone. The end is
 * where Front names no next page, never a short page. Invariant: what a tick carries is
 * prepared once, from one answer, and is submitted unchanged until it is committed. */
#include <stdlib.h>
#include <string.h>

#include "codec/records/event.h"
#include "engine/internal.h"
#include "front/reply.h"

enum {
    RESTARTS_MAX = 10,
    TOPIC_AGAIN_MS = 1000,
    MISSING_AGAIN_MS = 10000,
    UNAUTHORIZED_AGAIN_MS = 60000,
    OUTPUTS_BESIDE = 4, /* result, reply, two tombstones; or the record */
    RECORD_MAX_BYTES = 4 * 1024 * 1024
};

static const char too_large[] =
    "the record of a list that goes on is too large: it has the command's parameters, "
    "and with `with` the ids of a page";

static struct job_record record_of(struct engine *en, struct slot *slot);
static struct command command_of(const struct job_record *jr, struct arena *a);
static void take_page(struct engine *en, struct job *job, const struct call *call);
static void page_final(struct engine *en, struct job *job, struct call *call,
                       enum verdict v);
static void pass_over(struct engine *en, struct job *job);
static struct str token_of(const struct job_record *jr);
static bool turn_page(struct job *job, const struct list_page *page, struct str token,
                      struct job_record *next);
static void restart(struct engine *en, struct job *job);
static void first_page(struct job_record *next);
static void fail_front(struct engine *en, struct job *job, const struct http_call *http);
static void go_on(struct engine *en, struct job *job, struct job_record *next);
static void finish(struct engine *en, struct job *job);
static struct job_record page_record(struct engine *en, const struct job *job);
static void add_items(struct job *job);
static void add_record(struct engine *en, struct job *job);
static void add_result(struct engine *en, struct job *job,
                       const struct topic *reply_topic);
static bool knows_topic(struct engine *en, struct job *job);
static void refused_item(struct engine *en, struct job *job, size_t item,
                         const struct kafka_tick *tick);
static struct str tombstone_key(struct job *job, const char *behind);
static void add(struct job *job, struct kafka_output out);

/* --- the first page --- */

/* Its result comes when the list ends; to its lane and to the line it is done. */
void walk_begin(struct engine *en, struct slot *slot, const struct list_page *page,
                struct str token)
{
    struct job_record jr = record_of(en, slot);

    jr.page_token = token;
    fan_begin(&jr, slot->op, page, &slot->arena);
    slot->job = walk_record_output(
        en, &jr, slot->rec.at.partition % en->o.jobs_partitions, &slot->arena);
    if (slot->job.value.ptr == NULL) {
        items_free(slot->items);
        slot->items = NULL;
        slot->job = (struct kafka_output){.topic = NULL};
        answer_error(en, slot, FAILED, "too-large", too_large);
        return;
    }
    slot->became_job = true;
    answer_job(en, slot);
}

static struct job_record record_of(struct engine *en, struct slot *slot)
{
    struct job_record jr = {
        .kind = STR_LIT("list"),
        .state = STR_LIT("running"),
        .operation = str_of(slot->op->name),
        .params = slot->cmd.params,
        .n_params = slot->cmd.n_params,
        .command_id = slot->command_id,
        .key = slot->rec.key,
        .reply_topic =
            slot->reply_topic != NULL ? str_of(slot->reply_topic->name) : STR_NULL,
        .reply_partition = slot->headers.reply_partition,
        .source_topic = str_of(slot->rec.at.topic),
        .source_partition = slot->rec.at.partition,
        .source_offset = slot->offset,
        .request_digest = str_of(slot->digest),
        .traceparent = slot->headers.traceparent,
        .tracestate = slot->headers.tracestate,
        .deadline = slot->headers.deadline > 0 ? slot->headers.deadline : NO_NUMBER,
        .priority = str_of(quota_class_names[slot->headers.priority]),
        .received_at = slot->received_at,
        .started_at = slot->started_at,
        .attempts = slot->attempts,
        .pages = 1,
        .items = (int64_t)items_count(slot->items),
        .walk_items = (int64_t)items_count(slot->items),
        .max_items = list_max_items(&slot->cmd),
        .seq = 1,
        .created_at = clock_wall(en->clock),
        .instance = str_of(en->o.instance_id)};
    jr.id = slot_source(slot);
    jr.n_echo = headers_keep(&slot->headers, jr.echo);
    if (jr.max_items < 0)
        jr.max_items = NO_NUMBER;
    return jr;
}

struct kafka_output walk_record_output(struct engine *en, struct job_record *jr,
                                       int32_t partition, struct arena *a)
{
    struct buf bytes;

    jr->updated_at = clock_wall(en->clock);
    buf_init(&bytes, RECORD_MAX_BYTES);
    struct kafka_output out = {
        .topic = en->jobs_topic,
        .partition = partition,
        .key = {arena_strndup(a, jr->id.ptr, jr->id.len), jr->id.len}};
    if (job_record_encode(en->ss, jr, &bytes) == 0)
        out.value = (struct str){arena_strndup(a, bytes.data, bytes.len), bytes.len};
    buf_fini(&bytes);
    return out;
}

/* --- the next pages --- */

void walk_fresh(struct job *job)
{
    arena_reset(&job->page_arena);
    mem_free(job->came);
    job->came = NULL;
    job->gone = job->ending = job->slimmed = job->retargeted = false;
    items_free(job->items);
    job->items = NULL;
    job->outputs = NULL;
    job->n_outputs = job->bytes = 0;
    job->next = STR_NULL;
    job->req = NULL;
    job->res = NULL;
    job->end = NULL;
    job->attempts = job->tries = 0;
    job->first_try = 0;
    if (job->overlap != NULL)
        overlap_dropped(job->overlap);
}

/* The request for its next page; NULL: it waits, or has ended instead. */
const struct request *walk_request(struct engine *en, struct job *job)
{
    struct err e = ERR_INIT;

    if (job->rec.deadline > 0 && job->rec.deadline <= clock_wall(en->clock)) {
        walk_end(en, job, FAILED, "retries-exhausted",
                 "the deadline passed before the list ended");
        return NULL;
    }
    if (job->first_try == 0)
        job->first_try = en->now;
    if (job->req != NULL)
        return knows_topic(en, job) ? job->req : NULL;
    job->op = fan_op(&job->rec);
    job->cmd = arena_zalloc(&job->page_arena, sizeof *job->cmd);
    if (job->op != NULL)
        *job->cmd = fan_runs(&job->rec)
                        ? fan_command(&job->rec, job->op, &job->page_arena)
                        : command_of(&job->rec, &job->page_arena);
    job->req = arena_zalloc(&job->page_arena, sizeof *job->req);
    if (job->op == NULL || job->op->items == NULL ||
        request_build(job->cmd, job->op, &job->page_arena, job->req, &e) != 0) {
        walk_end(en, job, FAILED, "front",
                 job->op == NULL ? "this version does not know the operation" : e.text);
        return NULL;
    }
    return knows_topic(en, job) ? job->req : NULL;
}

/* False: it waits for it; a sync that has not begun fails. */
static bool knows_topic(struct engine *en, struct job *job)
{
    struct err e = ERR_INIT;

    switch (list_topic(en, NULL, job->op, &job->items_topic, &e)) {
    case TOPIC_OK:
        return true;
    case TOPIC_ASKED:
        job_wait(en, job, en->now + TOPIC_AGAIN_MS);
        job->asks = true;
        return false;
    case TOPIC_MISSING:
    case TOPIC_UNREGISTERED:
        if (job_is_sync(job) && job->rec.pages == 0) {
            walk_end(en, job, FAILED, e.reason,
                     arena_printf(&job->page_arena, "%s", e.text));
            return false;
        }
        log_warn("jobs.waiting", "job %s waits: %s", job->key, e.text);
        job_wait(en, job, en->now + MISSING_AGAIN_MS);
        return false;
    }
    abort();
}

/* The command again, with the token of the page that is next. */
static struct command command_of(const struct job_record *jr, struct arena *a)
{
    struct command cmd = {.operation = jr->operation};

    cmd.params = arena_zalloc(a, (jr->n_params + 1) * sizeof *cmd.params);
    for (size_t i = 0; i < jr->n_params; i++)
        if (jr->page_token.ptr == NULL || !str_is(jr->params[i].name, "page_token"))
            cmd.params[cmd.n_params++] = jr->params[i];
    if (jr->page_token.ptr != NULL)
        cmd.params[cmd.n_params++] =
            (struct pair){.name = STR_LIT("page_token"), .value = jr->page_token};
    return cmd;
}

void walk_answered(struct engine *en, struct job *job, struct call *call)
{
    const struct http_call *http = &call->http;
    enum verdict v = reply_verdict(http);
    struct retry_policy policy = dispatch_retry_policy(en);

    if (http->end != HTTP_LOST && http->end != HTTP_NOT_SENT)
        job->http_status = http->head.status;
    job->tries++;
    if (http->gate_opened && v != REPLY_LIMITED)
        job->attempts++;
    struct retry_case c = {.klass = CLASS_A,
                           .verdict = v,
                           .body_lost = http->end == HTTP_HEAD_ONLY,
                           .attempts = job->attempts,
                           .tries = job->tries,
                           .first_try_ms = job->first_try,
                           .now_ms = en->now,
                           .deadline_ms =
                               job->rec.deadline > 0
                                   ? en->now + job->rec.deadline - clock_wall(en->clock)
                                   : INT64_MAX,
                           .random = engine_random(en)};
    struct retry_decision d = retry_decide(&policy, &c);
    switch (d.answer) {
    case RETRY_FINAL:
        page_final(en, job, call, v);
        return;
    case RETRY_WAIT:
        metric_add(metrics_get(en->metrics, M_API_RETRIES, d.reason, NULL), 1);
        job_wait(en, job, d.at_ms);
        return;
    case RETRY_EXHAUSTED:
    case RETRY_DOUBT: /* of what only reads there is no doubt */
        walk_end(en, job, FAILED, v == REPLY_NOT_SENT ? "network" : "retries-exhausted",
                 v == REPLY_BROKEN ? "Front went on answering with a server error"
                                   : http->why);
        return;
    }
}

static void page_final(struct engine *en, struct job *job, struct call *call,
                       enum verdict v)
{
    struct http_call *http = &call->http;
    struct err e = ERR_INIT;

    if (v == REPLY_DONE && job_heals(job)) {
        heal_page(en, job, call);
    } else if (v == REPLY_DONE) {
        take_page(en, job, call);
    } else if (v == REPLY_UNAUTHORIZED) {
        job_move(en, job, JOB_CONFIRM);
        en->me_wanted = true;
    } else if (v == REPLY_MERGED && !job->retargeted &&
               request_retarget(job->cmd, job->op, http->head.location, &job->page_arena,
                                job->req, &e) == 0) {
        job->retargeted = true;
        job_move(en, job, JOB_READY);
    } else if (http->head.status == 400 && token_of(&job->rec).ptr != NULL &&
               job->rec.restarts < RESTARTS_MAX) {
        restart(en, job);
    } else if (http->head.status == 404 && fan_runs(&job->rec)) {
        pass_over(en, job);
    } else {
        fail_front(en, job, http);
    }
}

/* The row went after its page was fetched, and its lists with it. */
static void pass_over(struct engine *en, struct job *job)
{
    struct job_record next = page_record(en, job);

    log_info("jobs.row_gone", "job %s: %s answers 404 for %.*s, which is passed over",
             job->key, job->op->name, STR_ARG(job->rec.fan_rows[0]));
    if (fan_next(&next, op_find(next.operation)))
        go_on(en, job, &next);
    else
        walk_end(en, job, SUCCEEDED, NULL, NULL);
}

/* Of the page that is asked for now; ptr NULL: a first one. */
static struct str token_of(const struct job_record *jr)
{
    return fan_runs(jr) ? jr->fan_token : jr->page_token;
}

static void take_page(struct engine *en, struct job *job, const struct call *call)
{
    const struct http_call *http = &call->http;
    struct list_answer answer = {http->end, http->head.status, buf_str(&http->body_in)};

    if (job_is_sync(job) && job->rec.pages == 0)
        sync_first_page(en, job, call);
    walk_take(en, job, &answer);
}

void walk_take(struct engine *en, struct job *job, const struct list_answer *answer)
{
    struct err e = ERR_INIT;
    bool rows = !fan_runs(&job->rec); /* of the list itself: max_items counts those */
    int64_t left =
        rows && job->rec.max_items >= 0 ? job->rec.max_items - job->rec.walk_items : -1;
    struct items_of of = {.op = job->op,
                          .topic = job->items_topic,
                          .parent_id = job->req->last_param,
                          .command_id = job->rec.command_id,
                          .source = job->rec.id,
                          .delivery = job_heals(job) ? heal_delivery(en) : EVENT_POLL};
    struct list_page page;
    struct str token = STR_NULL;

    if (list_read(job->op, answer, left, &page, &e) == 0 &&
        (!page.more || list_token(&page, &job->page_arena, &token, &e) == 0)) {
        if (job_is_sync(job) && rows)
            sync_page(en, job, &page);
        job->items = items_new(en, &of, page.results, page.n, &e);
    }
    if (job->items == NULL) {
        walk_end(en, job, FAILED, e.reason, arena_printf(&job->page_arena, "%s", e.text));
        return;
    }
    struct job_record next = page_record(en, job);
    next.pages++;
    next.items += (int64_t)job->items->n;
    if (rows)
        next.walk_items += (int64_t)job->items->n;
    job->end = arena_zalloc(&job->page_arena, sizeof *job->end);
    *job->end = next;
    if (page.more && str_eq(token, token_of(&job->rec)))
        walk_end(en, job, FAILED, "page-link", "Front names the same page again");
    else if (turn_page(job, &page, token, &next))
        go_on(en, job, &next);
    else
        walk_end(en, job, SUCCEEDED, NULL, NULL);
}

/* `next` says what is asked for after this page. False: nothing, it was the last. */
static bool turn_page(struct job *job, const struct list_page *page, struct str token,
                      struct job_record *next)
{
    if (!fan_runs(&job->rec)) {
        next->page_token = token;
        fan_begin(next, job->op, page, &job->page_arena);
        return page->more || fan_runs(next);
    }
    next->fan_token = token;
    return page->more || fan_next(next, op_find(next->operation));
}

/* The record as this page's tick leaves it, but for the page. */
static struct job_record page_record(struct engine *en, const struct job *job)
{
    struct job_record next = job->rec;

    next.seq++;
    next.attempts += job->attempts;
    next.instance = str_of(en->o.instance_id);
    return next;
}

/* Front does not know the token any more: what follows it is not to be had but from the
 * first page on. Of a row's list that is this list's first page. */
static void restart(struct engine *en, struct job *job)
{
    struct job_record next = page_record(en, job);

    log_warn("jobs.restarted", "job %s: Front refused its page token; begun anew",
             job->key);
    if (fan_runs(&next))
        next.fan_token = STR_NULL;
    else
        first_page(&next);
    next.restarts++;
    go_on(en, job, &next);
}

static void first_page(struct job_record *next)
{
    next->page_token = STR_NULL;
    for (size_t i = 0; i < next->n_params; i++)
        if (str_is(next->params[i].name, "page_token"))
            next->page_token = next->params[i].value; /* where the user had it begin */
    next->walk_items = 0;
}

static void go_on(struct engine *en, struct job *job, struct job_record *next)
{
    add_items(job);
    add(job, walk_record_output(en, next, job->part->at.partition, &job->page_arena));
    job->next = job->outputs[job->n_outputs - 1].value;
    if (job->next.ptr == NULL) {
        walk_end(en, job, FAILED, "too-large", too_large);
        return;
    }
    job_move(en, job, JOB_ANSWERED);
}

void walk_me_ended(struct engine *en, int status)
{
    struct job *job;

    while ((job = TAILQ_FIRST(&en->jobs[JOB_CONFIRM])) != NULL) {
        if (status == 401)
            job_wait(en, job, en->now + UNAUTHORIZED_AGAIN_MS);
        else
            walk_end(en, job, FAILED, "auth",
                     "Front refused this request (401), though the token is valid for "
                     "GET /me");
    }
}

/* --- the end --- */

void walk_end(struct engine *en, struct job *job, enum outcome outcome, const char *kind,
              const char *text)
{
    job->outcome = outcome;
    job->res = arena_zalloc(&job->page_arena, sizeof *job->res);
    if (outcome != SUCCEEDED) {
        job->res->error.kind = str_of(kind);
        job->res->error.message = str_of(arena_printf(&job->page_arena, "%s", text));
    }
    finish(en, job);
}

static void fail_front(struct engine *en, struct job *job, const struct http_call *http)
{
    struct result *res = arena_zalloc(&job->page_arena, sizeof *res);

    reply_fill(http, job->op, job->req, false, 0, &job->page_arena, res);
    job->outcome = FAILED;
    job->res = res;
    if (res->error.kind.ptr == NULL)
        res->error.kind = STR_LIT("front");
    finish(en, job);
}

static void finish(struct engine *en, struct job *job)
{
    if (job->end == NULL) {
        job->end = arena_zalloc(&job->page_arena, sizeof *job->end);
        *job->end = page_record(en, job);
    }
    job->ending = true;
    walk_close(en, job);
}

/* The reply topic may have gone since the command came: nothing unknown enters a tick. */
void walk_close(struct engine *en, struct job *job)
{
    const struct topic *topic = NULL;

    if (job->rec.reply_topic.ptr != NULL) {
        enum topic_answer known =
            topic_ask(en, NULL, job->rec.reply_topic, false, &topic);
        if (known == TOPIC_ASKED) {
            job_wait(en, job, en->now + TOPIC_AGAIN_MS);
            job->asks = true;
            return;
        }
        if (known == TOPIC_MISSING || job->rec.reply_partition >= topic->partitions)
            topic = NULL;
    }
    job->ending = false;
    add_items(job);
    if (!job_heals(job)) /* nobody asked for it: its record and the log say how it went */
        add_result(en, job, topic);
    add_record(en, job);
    job->cancelled = job->cancel;
    if (job->cancel)
        add(job, (struct kafka_output){.topic = en->jobs_topic,
                                       .partition = job->part->at.partition,
                                       .key = tombstone_key(job, JOB_CANCEL)});
    job_move(en, job, JOB_ANSWERED);
}

/* The outputs anew: the items first, room for what follows from them. */
static void add_items(struct job *job)
{
    size_t n = items_count(job->items);

    job->n_outputs = job->bytes = 0;
    job->outputs =
        arena_zalloc(&job->page_arena, (n + OUTPUTS_BESIDE) * sizeof *job->outputs);
    for (size_t i = 0; i < n; i++)
        add(job, job->items->outputs[i]);
}

/* Of a list that has ended a tombstone; a sync's stays. */
static void add_record(struct engine *en, struct job *job)
{
    struct kafka_output out = {.topic = en->jobs_topic,
                               .partition = job->part->at.partition};

    if (job_is_sync(job) && !job->removed) {
        struct job_record rested = sync_rested(en, job);
        out = walk_record_output(en, &rested, out.partition, &job->page_arena);
    } else {
        out.key = tombstone_key(job, "");
    }
    job->next = out.value;
    add(job, out);
}

static void add_result(struct engine *en, struct job *job,
                       const struct topic *reply_topic)
{
    const struct job_record *jr = job->end;
    struct result *res = job->res;
    struct headers_in *headers = arena_zalloc(&job->page_arena, sizeof *headers);
    struct kafka_output out[SLOT_OUTPUTS];
    struct buf bytes;

    res->command_id = jr->command_id;
    res->operation = jr->operation;
    res->outcome = job->outcome;
    res->http_status = job->http_status;
    res->resource_id = res->response = res->content = res->content_type = STR_NULL;
    res->attempts = jr->attempts;
    res->items = jr->items;
    res->pages = jr->pages;
    res->received_at = jr->received_at;
    res->started_at = jr->started_at;
    res->finished_at = clock_wall(en->clock);
    res->source_topic = jr->source_topic;
    res->source_partition = jr->source_partition;
    res->source_offset = jr->source_offset;
    res->request_digest = jr->request_digest;
    *headers = (struct headers_in){
        .traceparent = jr->traceparent,
        .tracestate = jr->tracestate,
        .reply_partition = jr->reply_partition >= 0 ? (int32_t)jr->reply_partition : -1};
    headers_again(headers, jr->echo, jr->n_echo);
    buf_init(&bytes, RECORD_MAX_BYTES);
    (void)result_encode(en->ss, res, &bytes); /* its texts are bounded */
    struct answer_to to = {
        .headers = headers,
        .key = jr->key,
        .source = jr->id,
        .partition = parts_results_partition(en, jr->source_topic, jr->source_partition),
        .reply_topic = reply_topic,
        .value = {arena_strndup(&job->page_arena, bytes.data, bytes.len), bytes.len}};
    buf_fini(&bytes);
    size_t n = answer_address(en, res, &to, &job->page_arena, out);
    for (size_t i = 0; i < n; i++)
        add(job, out[i]);
}

/* A request to cancel what has ended: only its tombstone is left to write. */
void walk_forget(struct engine *en, struct job *job)
{
    job->outputs = arena_zalloc(&job->page_arena, sizeof *job->outputs);
    add(job, (struct kafka_output){.topic = en->jobs_topic,
                                   .partition = job->part->at.partition,
                                   .key = tombstone_key(job, "")});
    job_move(en, job, JOB_ANSWERED);
}

/* Its tick is committed. */
void walk_count(struct engine *en, const struct job *job)
{
    if (job->op != NULL) /* else it was not asked for a page */
        metric_add(metrics_get(en->metrics, M_JOB_ITEMS, job->op->name, NULL),
                   (double)items_count(job->items));
    items_committed(en, job->items);
    if (job->overlap != NULL)
        overlap_committed(job->overlap);
    if (job->res == NULL)
        return;
    if (job_is_sync(job))
        sync_count(en, job);
    metric_add(metrics_get(en->metrics, M_JOB_RESULTS, outcome_names[job->outcome], NULL),
               1);
    repeats_job_answered(en, job);
}

void walk_refused(struct engine *en, struct job *job, size_t output,
                  const struct kafka_tick *tick)
{
    const struct kafka_output *bad = &job->outputs[output];
    size_t n = items_count(job->items);

    if (output < n) {
        refused_item(en, job, output, tick);
    } else if (job->res == NULL && job->next.ptr != NULL) { /* its record */
        log_warn("jobs.refused", "job %s ends: its record was refused", job->key);
        job->next = STR_NULL;
        walk_end(en, job, FAILED, "too-large", too_large);
    } else if (output == n && !job->slimmed) { /* the result */
        job->slimmed = true;
        job->res->error.details = NULL;
        job->res->error.n_details = 0;
        job->res->error.title = STR_NULL;
        job->res->error.message = STR_LIT("(the text was too large)");
        walk_close(en, job);
    } else {
        log_warn("jobs.dropped",
                 "job %s: a record of %zu bytes was refused by %s and is left out",
                 job->key, bad->value.len, bad->topic);
        job->n_outputs--;
        memmove(job->outputs + output, job->outputs + output + 1,
                (job->n_outputs - output) * sizeof *job->outputs);
    }
}

/* As list_refused: a list without one of its items is no success. */
static void refused_item(struct engine *en, struct job *job, size_t item,
                         const struct kafka_tick *tick)
{
    struct items *items = job->items;

    if (tick->bad_too_large && items_slim(en, items, item)) {
        memcpy(job->outputs, items->outputs, items->n * sizeof *job->outputs);
        return;
    }
    const char *why = items_refused(items, item, tick->why, &job->page_arena);
    topic_forget(en, items->outputs[item].topic);
    items_free(items);
    job->items = NULL;
    if (job->overlap != NULL)
        overlap_dropped(job->overlap);
    job->end = NULL; /* the page does not count */
    job->next = STR_NULL;
    walk_end(en, job, FAILED, "topic-refused", why);
}

static struct str tombstone_key(struct job *job, const char *behind)
{
    return str_of(arena_printf(&job->page_arena, "%s%s", job->key, behind));
}

static void add(struct job *job, struct kafka_output out)
{
    job->bytes += out.value.len;
    job->outputs[job->n_outputs++] = out;
}
