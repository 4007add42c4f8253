/* Ownership of partitions, of commands and (jobs.c has more of these) of jobs:
 * assignment, the position and ledger of each, pause and resume, the drain at revoke. The
 * order is the promise: position first, then fetching, then calls; at revoke calls end,
 * then a last tick, then unassign. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "engine/internal.h"

#define ASSIGN_PATIENCE_MS                                                               \
    300 /* partitions whose position is late are assigned later                          \
         */
#define LAST_TICK_MS 60000
#define ENDS_AGAIN_MS 1000

static struct part *part_new(struct engine *en, struct kafka_partition at);
static void part_free(struct engine *en, struct part *part);
static void start_at(struct part *part, int64_t offset);
static void seed(struct engine *en, struct part *part);
static void tell_gap(struct engine *en, struct part *part);
static void drop_slots(struct engine *en, struct part *part, const char *reason);
static void ask_ends_again(struct engine *en, struct part *part);
static bool may_fetch(const struct engine *en, const struct part *part);
static bool all_answered(const struct engine *en);
static bool has_parked(const struct engine *en);
static void assign_now(struct engine *en);
static void flow(struct engine *en, struct part *part);
static void quota_share(struct engine *en);
static void drop_stopped(struct engine *en);
static void leave_turn(struct engine *en);
static bool drained(const struct engine *en);

void parts_assign(struct engine *en, const struct kafka_event *ev)
{
    parts_drop_all(en, "revoked");
    en->assignment = ev->assignment;
    en->group_assigned = true;
    en->revoking = en->lost = en->assigned = false;
    en->assign_due = true;
    en->assign_at = en->now + ASSIGN_PATIENCE_MS;
    en->committed_boot = 0; /* the first tick of this assignment opens the gate */
    metric_add(metrics_get(en->metrics, M_REBALANCES, NULL), 1);
    for (size_t i = 0; i < ev->n_parts; i++) {
        struct part *part = part_new(en, ev->parts[i]);
        en->kafka.committed(en->kafka.self, part->at);
    }
    log_info("group.assigned", "%zu partition(s) assigned", ev->n_parts);
    quota_share(en);
}

void parts_revoke(struct engine *en, const struct kafka_event *ev)
{
    en->revoking = true;
    en->lost = ev->type == KAFKA_LOST;
    en->assign_due = false;
    en->drain_until = en->now + en->o.drain_ms;
    en->revoke_until = en->drain_until + LAST_TICK_MS;
    metric_add(metrics_get(en->metrics, M_REBALANCES, NULL), 1);
    log_info("group.revoked", "partitions %s, %zu call(s) run",
             en->lost ? "lost" : "revoked", en->in_flight);
}

void parts_committed(struct engine *en, const struct kafka_event *ev)
{
    struct part *part = part_find(en, ev->at);
    struct err e = ERR_INIT;
    if (part == NULL || (part->state != PART_ASKING && part->state != PART_RECHECK))
        return;
    if (ev->error[0] != 0) {
        parts_stop(part, "the committed position cannot be read: %s", ev->error);
        return;
    }
    if (part->jobs != NULL) {
        jobs_committed(en, part, ev);
        return;
    }
    if (part->state == PART_RECHECK) {
        struct ledger_image im;
        int64_t line = ev->offset == KAFKA_NO_OFFSET ? part->ledger.line : ev->offset;
        if (ledger_read(line, ev->metadata, &im, &e)) {
            parts_stop(part, "%s", e.text);
            return;
        }
        part->state = PART_LIVE;
        tick_settle(en, part, &im);
        return;
    }
    part->state = PART_STARTING;
    part->fresh = ev->offset == KAFKA_NO_OFFSET;
    int64_t lease_ms = 0;
    if (!part->fresh &&
        ledger_restore(&part->ledger, ev->offset, ev->metadata, &lease_ms, &e)) {
        parts_stop(part,
                   "%s; another program commits to this group, or the offset was set by "
                   "hand with a text: reset the group's offset of this partition",
                   e.text);
        return;
    }
    part->lease_until = en->now + lease_ms;
    part->read_front_ms = dispatch_front_ms(en);
    en->kafka.watermarks(en->kafka.self, part->at);
}

void parts_watermarks(struct engine *en, const struct kafka_event *ev)
{
    struct part *part = part_find(en, ev->at);
    if (repeats_watermarks(en, ev) || part == NULL ||
        (part->state != PART_STARTING &&
         (part->state != PART_RECHECK || part->jobs == NULL)))
        return;
    if (ev->error[0] != 0) {
        log_warn("partition.ends",
                 "%s/%d: the ends of the log cannot be read, asking again: %s",
                 part->at.topic, part->at.partition, ev->error);
        part->ends_again = en->now + ENDS_AGAIN_MS;
        return;
    }
    if (part->jobs != NULL) {
        jobs_watermarks(en, part, ev);
        return;
    }
    if (part->fresh)
        start_at(part, en->o.start_latest ? ev->high : ev->low);
    if (part->ledger.line > ev->high) {
        parts_stop(
            part,
            "the committed position %lld is beyond the end of the log, %lld: the "
            "topic was made anew or lost records; reset the group's offset of this "
            "partition",
            (long long)part->ledger.line, (long long)ev->high);
        return;
    }
    part->next = part->ledger.line;
    if (part->next < ev->low)
        part->next = part->gap_end = ev->low;
    part->seed_waits = true;
    seed(en, part);
}

/* A list's result is fenced by its jobs partition: the end of the results is asked for
 * when no former owner of either can add one any more. */
static void seed(struct engine *en, struct part *part)
{
    if (!part->seed_waits || jobs_asking(en, part->at.partition))
        return;
    part->seed_waits = false;
    repeats_seed(en, part);
}

void parts_out_of_range(struct engine *en, const struct kafka_event *ev)
{
    struct part *part = part_find(en, ev->at);
    if (part == NULL)
        return;
    if (part->jobs != NULL)
        parts_stop(part,
                   "offset %lld is outside the log: the topic was made anew, or records "
                   "were deleted, and lists with them; start again to read what is left",
                   (long long)part->next);
    else if (part->state == PART_LIVE)
        parts_stop(
            part,
            "the committed position %lld is outside the log: commands were deleted "
            "before they were read, or the topic was made anew; reset the group's "
            "offset of this partition",
            (long long)part->next);
}

/* Only partitions whose outcome the tick may have changed are asked again; all of them
 * are cheap. */
void parts_recheck(struct engine *en)
{
    struct part *part;
    TAILQ_FOREACH (part, &en->parts, link) {
        if (part->state != PART_LIVE)
            continue;
        part->state = PART_RECHECK;
        if (part->jobs != NULL)
            part->jobs->to = -1;
        en->kafka.committed(en->kafka.self, part->at);
    }
}

bool parts_rechecking(const struct engine *en)
{
    const struct part *part;
    TAILQ_FOREACH (part, &en->parts, link)
        if (part->state == PART_RECHECK)
            return true;
    return false;
}

void parts_turn(struct engine *en)
{
    struct part *part;
    TAILQ_FOREACH (part, &en->parts, link)
        seed(en, part);
    if (en->assign_due && (all_answered(en) || en->now >= en->assign_at)) {
        if (!en->assigned || has_parked(en))
            assign_now(en);
        en->assign_due = !all_answered(en);
        en->assign_at = en->now + ASSIGN_PATIENCE_MS;
    }
    drop_stopped(en);
    if (en->revoking || en->closing) {
        leave_turn(en);
        return;
    }
    TAILQ_FOREACH (part, &en->parts, link) {
        if (part->state == PART_LIVE && part->jobs == NULL)
            flow(en, part);
        else if (part->state == PART_STARTING || part->state == PART_RECHECK)
            ask_ends_again(en, part);
    }
}

/* Nothing of it is committed any more: no result of it may enter a tick either. */
static void drop_stopped(struct engine *en)
{
    struct part *part;

    if (en->tick_running)
        return;
    TAILQ_FOREACH (part, &en->parts, link)
        if (part->state == PART_STOPPED) {
            drop_slots(en, part, "revoked");
            jobs_drop(en, part);
        }
}

/* While one is STARTING there is a turn every ASSIGN_PATIENCE_MS. */
static void ask_ends_again(struct engine *en, struct part *part)
{
    if (part->ends_again == 0 || en->now < part->ends_again)
        return;
    part->ends_again = 0;
    en->kafka.watermarks(en->kafka.self, part->at);
}

/* A time that has passed is waited for no more: what follows comes with an event. */
int64_t parts_next_ms(const struct engine *en)
{
    if (en->revoking || en->closing)
        return en->now < en->drain_until    ? en->drain_until
               : en->now < en->revoke_until ? en->revoke_until
                                            : INT64_MAX;
    return en->assign_due ? en->assign_at : INT64_MAX;
}

void parts_drop_all(struct engine *en, const char *reason)
{
    struct part *part;
    assert(!en->tick_running);
    while ((part = TAILQ_FIRST(&en->parts)) != NULL) {
        drop_slots(en, part, reason);
        jobs_drop(en, part);
        TAILQ_REMOVE(&en->parts, part, link);
        part_free(en, part);
    }
}

static void drop_slots(struct engine *en, struct part *part, const char *reason)
{
    struct slot *slot;
    while ((slot = TAILQ_FIRST(&part->slots)) != NULL) {
        slot_leave_lane(en, slot); /* its next may be another partition's */
        metric_add(metrics_get(en->metrics, M_RETURNED, reason, NULL), 1);
        en->returned++;
        if (part->state != PART_STOPPED && orphans_keep(en, slot))
            continue;
        dispatch_cancel(en, slot);
        slot_release(en, slot);
    }
}

struct part *part_find(struct engine *en, struct kafka_partition at)
{
    struct part *part;
    TAILQ_FOREACH (part, &en->parts, link)
        if (part->at.topic == at.topic && part->at.partition == at.partition)
            return part;
    return NULL;
}

static struct part *part_new(struct engine *en, struct kafka_partition at)
{
    struct part *part = mem_zalloc(sizeof *part);
    part->at = at;
    part->state = PART_ASKING;
    TAILQ_INIT(&part->slots);
    STAILQ_INIT(&part->held);
    TAILQ_INSERT_TAIL(&en->parts, part, link);
    if (en->jobs_topic != NULL && strcmp(at.topic, en->jobs_topic) == 0) {
        jobs_open(en, part);
        return part;
    }
    ledger_init(&part->ledger, en->o.max_pending);
    part->same_partitions = parts_results_partition(en, str_of(at.topic), 0) >= 0;
    repeats_init(en, part);
    return part;
}

int32_t parts_results_partition(const struct engine *en, struct str topic,
                                int64_t partition)
{
    for (size_t i = 0; i < en->o.n_commands_topics; i++)
        if (str_is(topic, en->o.commands_topics[i]) &&
            en->o.commands_partitions[i] == en->o.results_partitions &&
            partition < en->o.results_partitions)
            return (int32_t)partition;
    return -1;
}

static void part_free(struct engine *en, struct part *part)
{
    struct held *h;
    while ((h = STAILQ_FIRST(&part->held)) != NULL) {
        STAILQ_REMOVE_HEAD(&part->held, link);
        en->kafka.release(en->kafka.self, &h->rec);
        mem_free(h);
    }
    jobs_close(part);
    repeats_fini(part);
    ledger_fini(&part->ledger);
    mem_free(part);
}

void parts_stop(struct part *part, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(part->why, sizeof part->why, fmt, ap);
    va_end(ap);
    part->state = PART_STOPPED;
    log_error("partition.stopped", "%s/%d stopped: %s", part->at.topic,
              part->at.partition, part->why);
}

/* Never committed: the position itself is committed before a call can be made (the gate
 * of calls that change something opens only after a first tick). */
static void start_at(struct part *part, int64_t offset)
{
    struct err e = ERR_INIT;
    int64_t lease_ms = 0;
    int rc = ledger_restore(&part->ledger, offset, STR_NULL, &lease_ms, &e);
    assert(rc == 0);
    (void)rc;
    part->touched = true;
}

/* Commands that were deleted before anybody read them: one dead letter says which, and
 * which of them may have been sent. It holds the line until it is committed. */
static void tell_gap(struct engine *en, struct part *part)
{
    struct kafka_record rec = {.at = part->at, .offset = part->ledger.line};
    struct buf text;
    buf_init(&text, 4096);
    (void)buf_printf(&text, "offsets %lld to %lld were deleted before they were read",
                     (long long)rec.offset, (long long)part->gap_end - 1);
    ledger_forget(&part->ledger, part->gap_end, &text);
    log_error("partition.gap", "%s/%d: %.*s", part->at.topic, part->at.partition,
              STR_ARG(buf_str(&text)));
    part->gap_end = 0;
    metric_add(metrics_get(en->metrics, M_RECEIVED, part->at.topic, NULL), 1);
    en->received++;
    struct slot *slot = slot_take(en, part, &rec);
    answer_dead_letter(en, slot, "Gap", arena_strndup(&slot->arena, text.data, text.len));
    buf_fini(&text);
}

/* Nothing is read that we could not answer. */
static bool may_fetch(const struct engine *en, const struct part *part)
{
    return part->state == PART_PARKED && en->schemas_known;
}

static bool all_answered(const struct engine *en)
{
    const struct part *part;
    if (!en->schemas_known)
        return false;
    TAILQ_FOREACH (part, &en->parts, link)
        if (part->state == PART_ASKING || part->state == PART_STARTING ||
            part->state == PART_SEEDING)
            return false;
    return true;
}

/* Each assign interrupts the fetching of all: none without a reason. */
static bool has_parked(const struct engine *en)
{
    const struct part *part;
    TAILQ_FOREACH (part, &en->parts, link)
        if (may_fetch(en, part))
            return true;
    return false;
}

/* Assigns all whose position is known, each at its next offset; called again when late
 * ones come. */
static void assign_now(struct engine *en)
{
    struct part *part;
    size_t n = 0, max = 0;
    TAILQ_FOREACH (part, &en->parts, link)
        max++;
    struct kafka_offset *list = mem_array(max + 1, sizeof *list);
    TAILQ_FOREACH (part, &en->parts, link)
        if (part->jobs != NULL && may_fetch(en, part))
            list[n++] = (struct kafka_offset){part->at, KAFKA_BEGINNING, STR_NULL};
        else if (may_fetch(en, part) || part->state == PART_LIVE ||
                 part->state == PART_READING || part->state == PART_RECHECK)
            list[n++] = (struct kafka_offset){part->at, part->next, STR_NULL};
    en->kafka.assign(en->kafka.self, list, n, en->assignment);
    mem_free(list);
    en->assigned = true;
    TAILQ_FOREACH (part, &en->parts, link) {
        if (may_fetch(en, part) && part->jobs != NULL) {
            part->state = PART_READING;
            jobs_reach(en, part);
        } else if (may_fetch(en, part)) {
            part->state = PART_LIVE;
            if (part->gap_end > 0)
                tell_gap(en, part);
        } else if (part->paused)
            en->kafka.pause(en->kafka.self, part->at);
    }
}

/* Pause at full, resume at half: a resume can take a second. */
static void flow(struct engine *en, struct part *part)
{
    int64_t used = part->next - part->ledger.line;
    bool full = !STAILQ_EMPTY(&part->held) || used >= part->ledger.window ||
                (int64_t)en->held_bytes > en->o.max_pending_bytes;
    bool half = STAILQ_EMPTY(&part->held) && used <= part->ledger.window / 2 &&
                (int64_t)en->held_bytes <= en->o.max_pending_bytes / 2;
    if (!part->paused && full) {
        part->paused = true;
        part->full_since = en->now;
        en->kafka.pause(en->kafka.self, part->at);
    } else if (part->paused && half) {
        char number[12];
        snprintf(number, sizeof number, "%d", part->at.partition);
        metric_add(metrics_get(en->metrics, M_WINDOW_FULL, part->at.topic, number, NULL),
                   (double)(en->now - part->full_since) / 1000);
        part->paused = false;
        part->full_since = 0;
        en->kafka.resume(en->kafka.self, part->at);
    }
}

/* Those of jobs count as well: where they are more than the commands', somebody may own
 * nothing else. */
static void quota_share(struct engine *en)
{
    int owned = 0, all = en->jobs_topic != NULL ? en->o.jobs_partitions : 0;
    struct part *part;
    TAILQ_FOREACH (part, &en->parts, link)
        owned++;
    for (size_t i = 0; i < en->o.n_commands_topics; i++)
        all += en->o.commands_partitions[i];
    quota_assign(en->quota, owned, all > owned ? all : owned, en->now);
}

/* REVOKE and the orderly end are states of the loop: calls end or the drain budget
 * passes, what was answered is committed, then the partitions go back. */
static void leave_turn(struct engine *en)
{
    if (en->tick_running || (!en->lost && !drained(en) && en->now < en->revoke_until))
        return;
    if (!en->lost && en->now < en->drain_until && en->in_flight > 0)
        return;
    if (en->closing && en->now < en->drain_until && ingest_in_hand(en))
        return;
    bool revoked = en->revoking;
    bool unanswered = en->assign_due && !en->assigned;
    parts_drop_all(en, "revoked");
    quota_assign(en->quota, 0, 1, en->now);
    en->revoking = en->lost = en->group_assigned = en->assigned = false;
    if (revoked) /* also the one that closing brings */
        en->kafka.unassign(en->kafka.self, en->assignment);
    else if (unanswered) /* else the group is never left */
        en->kafka.assign(en->kafka.self, NULL, 0, en->assignment);
    en->assign_due = false; /* a closing member that is asked to assign may hang */
    if (en->closing && !en->closed && !en->close_asked) {
        en->close_asked = true;
        ingest_close(en);
        en->kafka.close(en->kafka.self);
    }
}

static bool drained(const struct engine *en)
{
    const struct part *part;
    TAILQ_FOREACH (part, &en->parts, link)
        if (part->touched && part->state == PART_LIVE)
            return false;
    return !jobs_in_hand(en) && en->counts[SLOT_ANSWERED] == 0 &&
           en->counts[SLOT_TICKING] == 0 && (en->counts[SLOT_ARMING] == 0 || en->lost) &&
           !parts_rechecking(en);
}
