/* Dispatch: which ready command calls Front next, the call itself, and what its end
 * means. A command of class C or D is armed first: the tick that says "may have been
 * sent" is committed before the send gate can open. */
#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "codec/json.h"
#include "engine/internal.h"
#include "front/auth.h"
#include "front/reply.h"
#include "front/request.h"

#define ME_RETRY_MAX_MS 30000
#define ME_BODY_MAX ((size_t)64 * 1024)
#define ARM_RETRY_MS 50
#define DOUBT_WAIT_MS 10000 /* before the first look, in the process that called */

static const int class_cost[QUOTA_CLASSES] = {1, 2, 6}; /* shares 6 : 3 : 1 */

static int next_class(const struct engine *en);
static bool waits(const struct engine *en, enum quota_class c);
static bool serve_class(struct engine *en, enum quota_class c);
static void serve_page(struct engine *en);
static void charge(struct engine *en, enum quota_class c);
static bool may_dispatch(const struct engine *en);
static bool serve(struct engine *en, struct slot *slot);
static int64_t call_timeout_ms(const struct engine *en, size_t body_len);
static void start_call(struct engine *en, struct slot *slot);
static void run_call(struct engine *en, struct call *call, const struct request *req,
                     const char *authorization, size_t body_max);
static const char *authorize(struct engine *en, struct slot *slot, struct arena *a);
static void want_me(struct engine *en);
static void start_me(struct engine *en);
static void me_ended(struct engine *en, struct call *call);
static void note_company(struct engine *en, struct str body);
static void me_again(struct timer *t);
static bool gate(struct http_call *http);
static void call_done(struct http_call *http);
static void count_call(struct engine *en, const struct call *call);
static void final(struct engine *en, struct slot *slot, struct call *call,
                  enum verdict v);
static void exhausted(struct engine *en, struct slot *slot, struct call *call,
                      enum verdict v);
static void try_again(struct engine *en, struct slot *slot, int64_t at_ms);
static void disarm(struct engine *en, struct slot *slot);
static void give_back(struct engine *en, struct slot *slot);

void dispatch_init(struct engine *en)
{
    struct quota_options qo = {en->o.quota_limit, en->o.quota_reserve_percent};
    size_t places = (size_t)en->o.max_in_flight + 1; /* one for GET /me */
    en->quota = quota_new(&qo);
    en->calls = mem_array(places, sizeof *en->calls);
    TAILQ_INIT(&en->free_calls);
    TAILQ_INIT(&en->running);
    for (size_t i = 0; i < places; i++) {
        struct call *call = &en->calls[i];
        http_call_init(&call->http);
        call->http.gate = gate;
        call->http.done = call_done;
        call->http.owner = call;
        arena_init(&call->arena, 1024);
        call->en = en;
        TAILQ_INSERT_TAIL(&en->free_calls, call, link);
    }
    arena_init(&en->tokens, 1024);
    en->me_timer.fire = me_again;
}

void dispatch_fini(struct engine *en)
{
    for (size_t i = 0; i < (size_t)en->o.max_in_flight + 1; i++) {
        http_call_fini(&en->calls[i].http);
        arena_fini(&en->calls[i].arena);
    }
    mem_free(en->calls);
    arena_fini(&en->tokens);
    quota_free(en->quota);
}

/* Old header values stay in the arena until the end: a running call may still borrow one.
 */
void dispatch_set_token(struct engine *en, const char *token)
{
    en->authorization = auth_bearer(token, &en->tokens);
    en->me_tries = 0;
    if (!timer_is_set(&en->me_timer) || en->me_known)
        return;
    timer_set(&en->timers, &en->me_timer, en->now);
}

void dispatch_want(struct engine *en, struct slot *slot)
{
    if (fetch_want(en, slot))
        return;
    slot_move(en, slot, SLOT_READY);
    lanes_ready(en->lanes, slot, slot->headers.priority);
    if (slot->headers.deadline > 0)
        timer_set(&en->timers, &slot->timer, dispatch_deadline_ms(en, slot));
}

void dispatch_turn(struct engine *en)
{
    want_me(en);
    doubt_turn(en);
    en->tick_awaited = false;
    while (!en->tick_awaited && may_dispatch(en)) {
        int c = next_class(en);
        if (c < 0)
            return;
        en->tick_awaited = !serve_class(en, (enum quota_class)c);
    }
}

void dispatch_armed(struct engine *en, struct slot *slot)
{
    slot->armed = true;
    if (en->revoking || en->closing || clock_boot(en->clock) > slot->send_by) {
        give_back(en, slot);
        disarm(en, slot);
        dispatch_want(en, slot);
        return;
    }
    en->in_flight--; /* start_call takes the place that arming had reserved */
    start_call(en, slot);
}

/* The partition goes away: the call, if any, runs on without its slot or is ended. */
void dispatch_cancel(struct engine *en, struct slot *slot)
{
    if (slot->state == SLOT_ARMING)
        give_back(en, slot);
    if (slot->call == NULL)
        return;
    struct call *call = slot->call;
    call->slot = NULL;
    slot->call = NULL;
    en->http.cancel(en->http.self, &call->http);
}

/* Nobody wants the page any more; the caller moves the job. */
void dispatch_cancel_page(struct engine *en, struct job *job)
{
    struct call *call = job->call;
    call->job = NULL;
    job->call = NULL;
    en->http.cancel(en->http.self, &call->http);
}

int64_t dispatch_next_ms(const struct engine *en)
{
    if (!may_dispatch(en))
        return INT64_MAX;
    int64_t next = INT64_MAX;
    for (int c = 0; c < QUOTA_CLASSES; c++) {
        bool look = c == QUOTA_HIGH && en->counts[SLOT_LOOKUP] > 0;
        bool ready = !en->tick_awaited && waits(en, (enum quota_class)c);
        if (!ready && !look)
            continue;
        int64_t at = quota_may(en->quota, (enum quota_class)c, en->now);
        if (at < next)
            next = at;
    }
    return next;
}

bool dispatch_may_call(const struct engine *en, enum quota_class c)
{
    return may_dispatch(en) && quota_may(en->quota, c, en->now) <= en->now;
}

void dispatch_disarm(struct engine *en, struct slot *slot)
{
    disarm(en, slot);
}

struct retry_policy dispatch_retry_policy(const struct engine *en)
{
    return (struct retry_policy){en->o.retry_max_attempts, en->o.retry_max_ms,
                                 en->o.retry_backoff_ms, en->o.retry_backoff_max_ms};
}

/* Ours where no answer has said one: against the clock that nobody sets. */
int64_t dispatch_front_ms(const struct engine *en)
{
    return en->front_ahead_ms != 0 ? clock_boot(en->clock) + en->front_ahead_ms
                                   : clock_wall(en->clock);
}

/* How long a new owner waits before it looks: until what is ARMED here was sent, answered
 * or given up by curl, and by the kernel. */
int64_t dispatch_lease_ms(const struct engine *en, const struct part *part)
{
    static const enum slot_state armed[] = {SLOT_ARMING, SLOT_CALLING, SLOT_DOUBT,
                                            SLOT_LOOKUP, SLOT_PROBING};
    int64_t longest = en->o.timeout_ms;
    for (size_t i = 0; i < sizeof armed / sizeof armed[0]; i++) {
        const struct slot *slot;
        TAILQ_FOREACH (slot, &en->lists[armed[i]], link)
            if (slot->part == part) {
                int64_t own = call_timeout_ms(en, fetch_body_len(en, slot));
                longest = own > longest ? own : longest;
            }
    }
    int64_t tcp = longest < TCP_USER_TIMEOUT_MS ? longest : TCP_USER_TIMEOUT_MS;
    return SEND_BY_MS + longest + tcp + LEASE_MARGIN_MS;
}

/* A body adds a second per 100 kB. */
static int64_t call_timeout_ms(const struct engine *en, size_t body_len)
{
    return en->o.timeout_ms + (int64_t)(body_len / 100000) * 1000;
}

static bool may_dispatch(const struct engine *en)
{
    return en->group_assigned && !en->revoking && !en->lost && !en->closing &&
           en->me_known && en->bytes_waiting < WAITING_BYTES_MAX &&
           en->in_flight < (size_t)en->o.max_in_flight && !TAILQ_EMPTY(&en->free_calls);
}

/* Weighted turns among the classes that have something ready and may send now; -1: none
 * does. */
static int next_class(const struct engine *en)
{
    int best = -1;
    for (int c = 0; c < QUOTA_CLASSES; c++) {
        if (!waits(en, (enum quota_class)c) ||
            quota_may(en->quota, (enum quota_class)c, en->now) > en->now)
            continue;
        if (best < 0 || en->vt[c] < en->vt[best])
            best = c;
    }
    return best;
}

/* Jobs are low. */
static bool waits(const struct engine *en, enum quota_class c)
{
    return lanes_ready_count(en->lanes, c) > 0 ||
           (c == QUOTA_LOW && en->job_counts[JOB_READY] > 0);
}

/* Commands that are low and jobs' pages take turns. */
static bool serve_class(struct engine *en, enum quota_class c)
{
    bool lanes = lanes_ready_count(en->lanes, c) > 0;
    bool page = c == QUOTA_LOW && en->job_counts[JOB_READY] > 0;
    if (!page || (lanes && !en->job_turn)) {
        en->job_turn = true;
        return serve(en, lanes_first(en->lanes, c));
    }
    en->job_turn = false;
    serve_page(en);
    return true;
}

/* False: nothing more can be served until a tick is committed. */
static bool serve(struct engine *en, struct slot *slot)
{
    if (dispatch_deadline_ms(en, slot) <= en->now) {
        dispatch_expire(en, slot);
        return true;
    }
    if (slot->req.method != HTTP_GET && !tick_is_fresh(en)) {
        en->tick_wanted = true;
        return false;
    }
    bool arm = !slot_repeatable(slot);
    if (arm && !ledger_may_arm(&slot->part->ledger)) {
        lanes_unready(en->lanes, slot);
        timer_set(&en->timers, &slot->timer, en->now + ARM_RETRY_MS);
        return true;
    }
    enum quota_class c = slot->headers.priority;
    charge(en, c);
    lanes_unready(en->lanes, slot);
    timer_cancel(&en->timers, &slot->timer);
    slot->ticket = quota_sent(en->quota, c, en->now);
    slot->has_ticket = true;
    if (slot->first_try == 0)
        slot->first_try = en->now;
    if (arm) {
        en->in_flight++;
        slot_move(en, slot, SLOT_ARMING);
    } else {
        start_call(en, slot);
    }
    return true;
}

static void charge(struct engine *en, enum quota_class c)
{
    en->vt[c] += class_cost[c];
    for (int i = 0; i < QUOTA_CLASSES; i++) /* no credit from idleness */
        if (!waits(en, (enum quota_class)i) && en->vt[i] < en->vt[c])
            en->vt[i] = en->vt[c];
}

/* The next page of the job that has waited longest, unless it ends instead. */
static void serve_page(struct engine *en)
{
    struct job *job = TAILQ_FIRST(&en->jobs[JOB_READY]);
    const struct request *req = walk_request(en, job);
    if (req == NULL)
        return;
    struct call *call = TAILQ_FIRST(&en->free_calls);
    charge(en, QUOTA_LOW);
    call->slot = NULL;
    call->job = job;
    call->op = job->op;
    call->ticket = quota_sent(en->quota, QUOTA_LOW, en->now);
    job->call = call;
    job_move(en, job, JOB_CALLING);
    run_call(en, call, req, en->authorization, (size_t)en->o.max_response_bytes);
}

static void start_call(struct engine *en, struct slot *slot)
{
    struct call *call = TAILQ_FIRST(&en->free_calls);
    arena_reset(&call->arena);
    const char *authorization = authorize(en, slot, &call->arena);
    if (authorization == NULL) {
        quota_answered(en->quota, slot->ticket, false, NULL, en->now);
        slot->has_ticket = false;
        answer_error(en, slot, FAILED, "auth",
                     "this operation needs front.app.uid and front.app.secret");
        return;
    }
    call->slot = slot;
    call->op = slot->op;
    call->ticket = slot->ticket;
    slot->has_ticket = false;
    slot->call = call;
    slot->tries++;
    if (slot->started_at == 0)
        slot->started_at = clock_wall(en->clock);
    slot_move(en, slot, SLOT_CALLING);
    run_call(en, call, &slot->req, authorization, (size_t)en->o.max_response_bytes);
}

/* What is alike in every call. The call has its slot and its ticket; it leaves the free
 * ones. */
static void run_call(struct engine *en, struct call *call, const struct request *req,
                     const char *authorization, size_t body_max)
{
    struct http_call *http = &call->http;
    http->method = req->method;
    http->path = req->path;
    http->query = req->query;
    http->authorization = authorization;
    http->content_type = req->form != NULL ? req->form->content_type : req->content_type;
    http->headers = req->headers;
    http->n_headers = req->n_headers;
    http->body = req->body;
    http->pieces = req->form != NULL ? req->form->pieces : NULL;
    http->n_pieces = req->form != NULL ? req->form->n_pieces : 0;
    http->body_max = body_max;
    http->timeout_ms = call_timeout_ms(en, request_body_len(req));
    call->refused = false;
    call->started_ms = en->now;
    call->started_boot = clock_boot(en->clock);
    TAILQ_REMOVE(&en->free_calls, call, link);
    TAILQ_INSERT_TAIL(&en->running, call, link);
    en->in_flight++;
    int rc = en->http.start(en->http.self, http);
    assert(rc == 0); /* as many places as calls */
    (void)rc;
}

/* A request that reads, about a slot in doubt; nothing of the slot's own call changes. */
void dispatch_look(struct engine *en, struct slot *slot, const struct request *req)
{
    struct call *call = TAILQ_FIRST(&en->free_calls);
    call->slot = slot;
    call->op = req->row;
    call->ticket = quota_sent(en->quota, QUOTA_HIGH, en->now);
    slot->call = call;
    slot_move(en, slot, SLOT_PROBING);
    run_call(en, call, req, en->authorization, (size_t)en->o.max_response_bytes);
}

static const char *authorize(struct engine *en, struct slot *slot, struct arena *a)
{
    if (slot->req.row == NULL || slot->req.row->auth == AUTH_TOKEN)
        return en->authorization;
    return auth_channel(en->o.app_uid, en->o.app_secret, slot->req.channel_id,
                        clock_wall(en->clock), a);
}

/* GET /me runs alone before anything else (it teaches limit and clock), and to confirm a
 * 401. */
static void want_me(struct engine *en)
{
    if ((en->me_known && !en->me_wanted) || en->me_call != NULL ||
        timer_is_set(&en->me_timer) || !en->group_assigned || en->closing)
        return;
    if (quota_may(en->quota, QUOTA_HIGH, en->now) <= en->now &&
        !TAILQ_EMPTY(&en->free_calls))
        start_me(en);
}

static void start_me(struct engine *en)
{
    static const struct request me = {.method = HTTP_GET, .path = "/me"};
    struct call *call = TAILQ_FIRST(&en->free_calls);
    call->slot = NULL;
    call->ticket = quota_sent(en->quota, QUOTA_HIGH, en->now);
    en->me_call = call;
    run_call(en, call, &me, en->authorization, ME_BODY_MAX);
}

static void me_ended(struct engine *en, struct call *call)
{
    int status = call->http.end == HTTP_LOST || call->http.end == HTTP_NOT_SENT
                     ? 0
                     : call->http.head.status;
    bool answered = status > 0 && status < 500 && status != 429 && status != 408;
    en->me_call = NULL;
    en->me_status = status;
    if (!answered) {
        int64_t wait = (int64_t)1000 << (en->me_tries < 5 ? en->me_tries : 5);
        en->me_tries++;
        timer_set(&en->timers, &en->me_timer,
                  en->now + (wait < ME_RETRY_MAX_MS ? wait : ME_RETRY_MAX_MS));
        log_warn("front.unreachable", "GET /me: %s; trying again",
                 status > 0 ? "Front is not well" : call->http.why);
        return;
    }
    if (!en->me_known ||
        (status == 401) !=
            (metric_value(metrics_get(en->metrics, M_API_AUTHORIZED, NULL)) == 0))
        log_line(status == 200 ? LOG_INFO : LOG_ERROR, "front.me",
                 "GET /me answered %d%s", status,
                 status == 401 ? ": the token is not valid" : "");
    metric_set(metrics_get(en->metrics, M_API_AUTHORIZED, NULL), status == 401 ? 0 : 1);
    if (status == 200)
        note_company(en, buf_str(&call->http.body_in));
    en->me_known = true;
    en->me_wanted = false;
    en->me_tries = 0;
    walk_me_ended(en, status);
    struct slot *slot;
    while ((slot = TAILQ_FIRST(&en->lists[SLOT_CONFIRM])) != NULL)
        answer_error(en, slot, FAILED, "auth",
                     status == 401
                         ? "Front refused the token (401), and GET /me too"
                         : "Front refused this request (401), though the token is "
                           "valid for GET /me");
}

/* A rule's webhook does not say whose it is: the token does. */
static void note_company(struct engine *en, struct str body)
{
    if (!json_is_valid(body) ||
        json_unquote(json_member(body, "id"), en->company_id, sizeof en->company_id) != 0)
        en->company_id[0] = 0;
}

static void me_again(struct timer *t)
{
    (void)t; /* want_me looks in this turn */
}

/* The last moment before a byte leaves. A stopped old owner must not overtake the new
 * one: see the take-over rules in connector/README.md. */
static bool gate(struct http_call *http)
{
    struct call *call = http->owner;
    struct engine *en = call->en;
    struct slot *slot = call->slot;
    if (http->method == HTTP_GET)
        return true;
    int64_t boot = clock_boot(en->clock);
    bool open = slot != NULL && slot->part != NULL && slot->part->state == PART_LIVE &&
                !en->lost && boot - en->turn_boot < LOOP_STALL_MS &&
                boot - en->committed_boot < en->o.session_timeout_ms / 2 &&
                (slot_repeatable(slot) || (slot->armed && boot <= slot->send_by));
    call->refused = !open;
    return open;
}

static void call_done(struct http_call *http)
{
    struct call *call = http->owner;
    struct engine *en = call->en;
    struct slot *slot = call->slot;
    bool head = http->end == HTTP_ANSWERED || http->end == HTTP_HEAD_ONLY ||
                http->end == HTTP_TOO_LARGE;
    en->in_flight--;
    quota_answered(en->quota, call->ticket, http->gate_opened, head ? &http->head : NULL,
                   en->now);
    if (head && http->head.date_ms > 0)
        en->front_ahead_ms = http->head.date_ms - clock_boot(en->clock);
    count_call(en, call);
    if (slot != NULL) {
        slot->call = NULL;
        call->slot = NULL;
        if (slot->state == SLOT_ORPHAN)
            orphans_answered(en, slot, call);
        else if (slot->state == SLOT_PROBING)
            doubt_answered(en, slot, call);
        else
            dispatch_ended(en, slot, call);
    } else if (call->job != NULL) {
        struct job *job = call->job;
        job->call = NULL;
        call->job = NULL;
        walk_answered(en, job, call);
    } else if (call == en->me_call) {
        me_ended(en, call);
    }
    TAILQ_REMOVE(&en->running, call, link);
    TAILQ_INSERT_HEAD(&en->free_calls, call, link);
}

static void count_call(struct engine *en, const struct call *call)
{
    char code[8];
    const struct http_call *http = &call->http;
    int status =
        http->end == HTTP_LOST || http->end == HTTP_NOT_SENT ? 0 : http->head.status;
    snprintf(code, sizeof code, "%d", status);
    const char *name = call == en->me_call ? "api-token-details"
                       : call->op != NULL  ? call->op->name
                                           : "call";
    metric_add(metrics_get(en->metrics, M_API_REQUESTS, name, code, NULL), 1);
    metric_observe(
        metrics_get(en->metrics, M_API_DURATION, http_method_names[http->method], NULL),
        (double)(en->now - call->started_ms) / 1000);
    if (status == 429)
        metric_add(metrics_get(en->metrics, M_QUOTA_REFUSALS,
                               http->head.tier[0] ? http->head.tier : "plan", NULL),
                   1);
}

void dispatch_ended(struct engine *en, struct slot *slot, struct call *call)
{
    struct http_call *http = &call->http;
    const char *text;
    enum verdict v = reply_verdict(http);
    if (http->end != HTTP_LOST && http->end != HTTP_NOT_SENT)
        slot->last_status = http->head.status;
    if (http->gate_opened && v != REPLY_LIMITED)
        slot->attempts++;
    struct retry_policy policy = dispatch_retry_policy(en);
    struct retry_case c = {.klass = slot->req.klass,
                           .verdict = v,
                           .body_lost = http->end == HTTP_HEAD_ONLY,
                           .gate_refused = call->refused,
                           .attempts = slot->attempts,
                           .tries = slot->tries,
                           .first_try_ms = slot->first_try,
                           .now_ms = en->now,
                           .deadline_ms = dispatch_deadline_ms(en, slot),
                           .random = engine_random(en)};
    struct retry_decision d = retry_decide(&policy, &c);
    switch (d.answer) {
    case RETRY_FINAL:
        final(en, slot, call, v);
        return;
    case RETRY_WAIT:
        metric_add(metrics_get(en->metrics, M_API_RETRIES, d.reason, NULL), 1);
        try_again(en, slot, d.at_ms);
        return;
    case RETRY_EXHAUSTED:
        exhausted(en, slot, call, v);
        return;
    case RETRY_DOUBT:
        text = v == REPLY_BROKEN ? "Front answered with a server error: it may have "
                                   "executed the call; nothing was sent again"
                                 : "the call may have reached Front, no answer came; "
                                   "nothing was sent again";
        if (doubt_begin(en, slot, DOUBT_WAIT_MS, false, "no-answer", text))
            return;
        metric_add(metrics_get(en->metrics, M_IN_DOUBT, "reported", NULL), 1);
        answer_call(en, slot, http, IN_DOUBT, "no-answer", text);
        return;
    }
}

static void final(struct engine *en, struct slot *slot, struct call *call, enum verdict v)
{
    struct http_call *http = &call->http;
    struct err e = ERR_INIT;
    if (v == REPLY_DONE && http->end == HTTP_HEAD_ONLY && !slot_repeatable(slot) &&
        doubt_begin(en, slot, DOUBT_WAIT_MS, true, NULL, NULL))
        return;
    if (v == REPLY_DONE && slot->items_topic != NULL) {
        list_answered(en, slot, http);
    } else if (v == REPLY_DONE) {
        answer_call(en, slot, http, SUCCEEDED, NULL, NULL);
    } else if (v == REPLY_UNAUTHORIZED) {
        disarm(en, slot);
        slot_move(en, slot, SLOT_CONFIRM);
        en->me_wanted = true;
    } else if (v == REPLY_MERGED && !slot->retargeted &&
               request_retarget(&slot->cmd, slot->op, http->head.location, &slot->arena,
                                &slot->req, &e) == 0) {
        slot->retargeted = true;
        try_again(en, slot, en->now);
    } else {
        char status[8];
        snprintf(status, sizeof status, "%d", http->head.status);
        bool repeat = slot->attempts >= 2 && slot->req.row != NULL &&
                      slot->req.row->repeat_ok_status != NULL &&
                      strstr(slot->req.row->repeat_ok_status, status) != NULL;
        answer_call(en, slot, http, repeat ? SUCCEEDED : FAILED, repeat ? NULL : "front",
                    NULL);
    }
}

static void exhausted(struct engine *en, struct slot *slot, struct call *call,
                      enum verdict v)
{
    if (slot->attempts == 0 && slot->headers.deadline > 0 &&
        dispatch_deadline_ms(en, slot) <= en->now + en->o.retry_backoff_max_ms) {
        answer_call(en, slot, &call->http, EXPIRED, "deadline",
                    "the deadline passed before a request could be sent");
        return;
    }
    const char *why = v == REPLY_BROKEN ? "Front went on answering with a server error"
                                        : call->http.why;
    answer_call(en, slot, &call->http, FAILED,
                v == REPLY_NOT_SENT ? "network" : "retries-exhausted", why);
}

/* Proof that nothing was executed (or the class does not mind): the slot wants to call
 * again. */
static void try_again(struct engine *en, struct slot *slot, int64_t at_ms)
{
    disarm(en, slot);
    if (at_ms <= en->now) {
        dispatch_want(en, slot);
        return;
    }
    slot_move(en, slot, SLOT_WAITING);
    timer_set(&en->timers, &slot->timer, at_ms);
}

static void disarm(struct engine *en, struct slot *slot)
{
    if (!slot->armed)
        return;
    (void)en;
    slot->armed = false;
    ledger_disarm(&slot->part->ledger, slot->offset);
    slot->part->touched = true;
}

/* Armed or to be armed, but it will not call now: ticket and place go back. */
static void give_back(struct engine *en, struct slot *slot)
{
    if (!slot->has_ticket)
        return;
    quota_answered(en->quota, slot->ticket, false, NULL, en->now);
    slot->has_ticket = false;
    en->in_flight--;
}

int64_t dispatch_deadline_ms(const struct engine *en, const struct slot *slot)
{
    if (slot->headers.deadline <= 0)
        return INT64_MAX;
    return en->now + (slot->headers.deadline - clock_wall(en->clock));
}

void dispatch_expire(struct engine *en, struct slot *slot)
{
    if (slot->attempts == 0)
        answer_error(en, slot, EXPIRED, "deadline",
                     "the deadline passed before the first request");
    else
        answer_error(en, slot, FAILED, "retries-exhausted",
                     "the deadline passed before the next try");
}

void dispatch_timer(struct timer *t)
{
    struct slot *slot = (struct slot *)(void *)((char *)t - offsetof(struct slot, timer));
    struct engine *en = slot->en;
    if (slot->state == SLOT_ORPHAN) {
        orphans_due(en, slot);
        return;
    }
    if (slot->state == SLOT_FETCH) {
        fetch_due(en, slot);
    } else if (dispatch_deadline_ms(en, slot) <= en->now) {
        if (slot->state == SLOT_READY || slot->state == SLOT_WAITING)
            dispatch_expire(en, slot);
        else if (slot->state == SLOT_DOUBT)
            doubt_due(en, slot); /* what was executed is not undone by a deadline */
    } else if (slot->state == SLOT_DOUBT) {
        doubt_due(en, slot);
    } else if (slot->state == SLOT_WAITING) {
        dispatch_want(en, slot);
    } else if (slot->state == SLOT_READY) {
        lanes_ready(en->lanes, slot, slot->headers.priority);
    }
}
