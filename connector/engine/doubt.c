/* In doubt: a call of class C or D that may have been executed, and nobody knows. Its
 * lane waits, its slot stays ARMED in the ledger. After the wait Front is asked what
 * there is (front/probe.h says what that proves), twice when there is nothing. Invariant:
 * nothing is sent a second time unless a look proved that the first was not executed,
 * once, or the user chose `retry`. */
#include <string.h>

#include "engine/internal.h"
#include "front/reply.h"

#define LOOK_AGAIN_MS 10000
#define LOOKS_MAX 3

static bool can_look(const struct slot *slot);
static void look(struct engine *en, struct slot *slot);
static void ask(struct engine *en, struct slot *slot);
static void look_failed(struct engine *en, struct slot *slot, const struct call *call,
                        enum verdict v);
static void judge(struct engine *en, struct slot *slot);
static bool is_known(void *arg, const struct probe_row *row);
static void drop_known(struct engine *en, struct doubt *d);
static bool armed_early(const struct slot *slot);
static bool contested(struct engine *en, const struct slot *slot);
static bool may_be_alike(const struct slot *other, const struct slot *slot);
static bool has_unnamed(struct engine *en, const struct slot *slot);
static void look_later(struct engine *en, struct slot *slot);
static void give_up(struct engine *en, struct slot *slot);
static void send_again(struct engine *en, struct slot *slot);

bool doubt_begin(struct engine *en, struct slot *slot, int64_t wait_ms, bool executed,
                 const char *kind, const char *text)
{
    enum in_doubt_policy policy = doubt_policy(en, slot);
    bool waits =
        policy == DOUBT_RETRY ? !executed : policy == DOUBT_PROBE && can_look(slot);

    if (!waits)
        return false;
    if (slot->doubt == NULL)
        slot->doubt = arena_zalloc(&slot->arena, sizeof *slot->doubt);
    *slot->doubt = (struct doubt){
        .probe = {.op = slot->doubt->probe.op, .parent = slot->doubt->probe.parent},
        .executed = executed,
        .resent = slot->doubt->resent,
        .retry = policy == DOUBT_RETRY,
        .kind = kind,
        .text = text};
    slot_move(en, slot, SLOT_DOUBT);
    timer_set(&en->timers, &slot->timer, en->now + wait_ms);
    return true;
}

void doubt_due(struct engine *en, struct slot *slot)
{
    if (!slot->doubt->retry)
        look(en, slot);
    else if (slot->attempts < en->o.retry_max_attempts)
        send_again(en, slot);
    else
        give_up(en, slot);
}

/* Before all commands: what is looked for holds its lane and has cost a ticket already.
 */
void doubt_turn(struct engine *en)
{
    struct slot *slot;

    while ((slot = TAILQ_FIRST(&en->lists[SLOT_LOOKUP])) != NULL &&
           dispatch_may_call(en, QUOTA_HIGH))
        ask(en, slot);
}

void doubt_answered(struct engine *en, struct slot *slot, struct call *call)
{
    struct doubt *d = slot->doubt;
    enum verdict v = reply_verdict(&call->http);
    enum probe_next next;

    if (v == REPLY_LIMITED) { /* the quota says when */
        slot_move(en, slot, SLOT_LOOKUP);
        return;
    }
    if (v != REPLY_DONE || call->http.end != HTTP_ANSWERED) {
        look_failed(en, slot, call, v);
        return;
    }
    d->failures = d->tries = 0;
    d->calls++;
    next = probe_answer(&d->probe, buf_str(&call->http.body_in), &slot->arena);
    if (next == PROBE_MORE && d->calls < PROBE_CALLS_MAX)
        slot_move(en, slot, SLOT_LOOKUP);
    else
        judge(en, slot);
}

enum in_doubt_policy doubt_policy(const struct engine *en, const struct slot *slot)
{
    struct str own = slot->headers.on_in_doubt;

    if (own.ptr == NULL)
        return en->o.in_doubt;
    return str_is(own, "probe")    ? DOUBT_PROBE
           : str_is(own, "report") ? DOUBT_REPORT
                                   : DOUBT_RETRY;
}

static bool can_look(const struct slot *slot)
{
    return slot->req.klass == CLASS_C && slot->req.row != NULL &&
           slot->req.row->probe.list != NULL;
}

static void look(struct engine *en, struct slot *slot)
{
    struct doubt *d = slot->doubt;

    d->calls = 0;
    d->looks++;
    probe_start(&d->probe, &slot->cmd, slot->req.row, (int64_t)slot->arm_second * 1000);
    d->probe.known = is_known;
    d->probe.known_arg = en;
    slot_move(en, slot, SLOT_LOOKUP);
}

static void ask(struct engine *en, struct slot *slot)
{
    struct err e = ERR_INIT;
    struct request *req = arena_zalloc(&slot->arena, sizeof *req);

    if (probe_request(&slot->doubt->probe, &slot->arena, req, &e))
        give_up(en, slot);
    else
        dispatch_look(en, slot, req);
}

/* Front may be away for long: looked again as any GET is tried again. */
static void look_failed(struct engine *en, struct slot *slot, const struct call *call,
                        enum verdict v)
{
    struct doubt *d = slot->doubt;
    struct retry_policy policy = dispatch_retry_policy(en);

    d->tries++;
    d->failures += v != REPLY_NOT_SENT;
    struct retry_case c = {
        .klass = CLASS_A,
        .verdict = v,
        .body_lost = call->http.end != HTTP_ANSWERED,
        .attempts = d->failures,
        .tries = d->tries,
        .first_try_ms =
            en->now, /* tries end it, not time: who stood still has not tried */
        .now_ms = en->now,
        .deadline_ms = INT64_MAX,
        .random = engine_random(en)};
    struct retry_decision decision = retry_decide(&policy, &c);

    if (decision.answer != RETRY_WAIT) {
        give_up(en, slot);
        return;
    }
    d->looks--; /* this one did not happen */
    slot_move(en, slot, SLOT_DOUBT);
    timer_set(&en->timers, &slot->timer, decision.at_ms);
}

static void judge(struct engine *en, struct slot *slot)
{
    struct doubt *d = slot->doubt;
    enum probe_verdict v;

    drop_known(en, d);
    v = probe_judge(&d->probe);
    if (v == PROBE_FOUND && !slot->part->seeded && armed_early(slot))
        v = PROBE_OPEN; /* it may be that of a result we do not know of */
    if (v == PROBE_FOUND && has_unnamed(en, slot))
        v = PROBE_OPEN;
    if (v == PROBE_FOUND && contested(en, slot)) {
        if (d->looks < LOOKS_MAX) {
            look_later(en, slot);
            return;
        }
        v = PROBE_OPEN;
    }
    switch (v) {
    case PROBE_FOUND:
        metric_add(metrics_get(en->metrics, M_IN_DOUBT, "recovered", NULL), 1);
        answer_recovered(en, slot, &d->probe.rows[0]);
        return;
    case PROBE_ABSENT:
        if (d->looks < 2) {
            look_later(en, slot);
        } else if (d->executed || d->resent) {
            give_up(en, slot);
        } else {
            d->resent = true;
            metric_add(metrics_get(en->metrics, M_IN_DOUBT, "not-executed", NULL), 1);
            send_again(en, slot);
        }
        return;
    case PROBE_NONE:
        if (d->looks < 2)
            look_later(en, slot);
        else
            give_up(en, slot);
        return;
    case PROBE_OPEN:
        give_up(en, slot);
        return;
    }
}

/* What is another command's result is no candidate: two commands with one text on purpose
 * are told apart by it. */
static bool is_known(void *arg, const struct probe_row *row)
{
    struct engine *en = arg;
    struct part *part;

    TAILQ_FOREACH (part, &en->parts, link)
        if ((row->id.ptr != NULL && seen_made(part->seen, row->id)) ||
            (row->uid.ptr != NULL && seen_made(part->seen, row->uid)))
            return true;
    return false;
}

/* What became known between the pages of a look. */
static void drop_known(struct engine *en, struct doubt *d)
{
    size_t n = 0, i;

    for (i = 0; i < d->probe.n_rows; i++)
        if (!is_known(en, &d->probe.rows[i]))
            d->probe.rows[n++] = d->probe.rows[i];
    d->probe.n_rows = n;
}

/* What was made before the partition was ours may look younger than its arming. */
static bool armed_early(const struct slot *slot)
{
    return slot->found_armed ||
           (int64_t)slot->arm_second * 1000 <=
               slot->part->read_front_ms + PROBE_CLOCK_SKEW_MS + 1000;
}

/* The row may be that of another call of ours: one that runs, or of which nobody knows
 * either whether it was executed. */
static bool contested(struct engine *en, const struct slot *slot)
{
    static const enum slot_state open[] = {SLOT_CALLING, SLOT_DOUBT,  SLOT_LOOKUP,
                                           SLOT_PROBING, SLOT_ORPHAN, SLOT_QUEUED,
                                           SLOT_TOPIC,   SLOT_SCHEMA};
    const struct slot *other;

    for (size_t i = 0; i < sizeof open / sizeof open[0]; i++)
        TAILQ_FOREACH (other, &en->lists[open[i]], link)
            if (other != slot && may_be_alike(other, slot))
                return true;
    return false;
}

static bool may_be_alike(const struct slot *other, const struct slot *slot)
{
    if (!other->opened)
        return other->found_armed; /* nobody knows yet what it is */
    return other->req.row == slot->req.row &&
           strcmp(other->req.path, slot->req.path) == 0;
}

/* ... or of one whose result could not name it. */
static bool has_unnamed(struct engine *en, const struct slot *slot)
{
    const struct part *part;

    TAILQ_FOREACH (part, &en->parts, link)
        if (seen_unnamed(part->seen, str_of(slot->digest), slot->req.last_param))
            return true;
    return false;
}

static void look_later(struct engine *en, struct slot *slot)
{
    slot_move(en, slot, SLOT_DOUBT);
    timer_set(&en->timers, &slot->timer, en->now + LOOK_AGAIN_MS);
}

static void give_up(struct engine *en, struct slot *slot)
{
    struct doubt *d = slot->doubt;

    if (d->executed) { /* its answer was lost, that it was executed is sure */
        answer_executed(en, slot);
        return;
    }
    metric_add(metrics_get(en->metrics, M_IN_DOUBT, "reported", NULL), 1);
    answer_doubt(en, slot, d->kind, d->text, &d->probe);
}

static void send_again(struct engine *en, struct slot *slot)
{
    dispatch_disarm(en, slot);
    dispatch_want(en, slot);
}
