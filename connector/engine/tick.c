/* Ticks: what became ready goes into one Kafka transaction with the positions and ledgers
 * of the partitions it touches. One runs at a time; one that was aborted is built again
 * from memory, Front is never called again for a result we hold. */
#include <assert.h>
#include <string.h>

#include "engine/internal.h"

#define RETRY_ABORTED_MS 100
#define RETRY_STALE_MS 300

static bool wanted(const struct engine *en);
static size_t ready_count(const struct engine *en);
static bool waits_for_nobody(const struct engine *en);
static size_t take_answers(struct engine *en);
static void take_jobs(struct engine *en, size_t bytes);
static void take_armings(struct engine *en);
static void take_offsets(struct engine *en);
static void add_outputs(struct engine *en, struct tick_owner owner,
                        const struct kafka_output *outputs, size_t n);
static size_t slot_records(const struct slot *slot);
static bool fits(const struct engine *en, size_t records, size_t bytes, size_t more);
static void committed(struct engine *en);
static void put_back(struct engine *en);
static void slot_committed(struct engine *en, struct slot *slot);
static void slot_put_back(struct engine *en, struct slot *slot);

static const char *const end_names[] = {"",      "committed",  "aborted",
                                        "stale", "bad-record", "unknown"};

void tick_turn(struct engine *en)
{
    if (tick_is_slow(en) && !en->tick_told) {
        en->tick_told = true;
        log_warn("tick.waiting",
                 "Kafka does not commit: %zu record(s) wait, nothing unsafe is called",
                 en->tick.n_outputs);
    }
    if (tick_next_ms(en) > en->now)
        return;
    en->tick_told = false;
    en->tick.n_outputs = en->tick.n_offsets = 0;
    arena_reset(&en->tick_arena);
    take_jobs(en, take_answers(en));
    take_armings(en);
    take_offsets(en);
    en->tick_wanted = false;
    en->tick.assignment = en->assignment;
    en->tick.end = TICK_RUNNING;
    en->tick_started = en->now;
    en->tick_boot = clock_boot(en->clock);
    en->tick_running = true;
    int rc = en->kafka.submit(en->kafka.self, &en->tick);
    assert(rc == 0);
    (void)rc;
}

int64_t tick_next_ms(const struct engine *en)
{
    if (en->tick_running || !en->assigned || en->lost || parts_rechecking(en) ||
        !wanted(en))
        return INT64_MAX;
    int64_t at = en->tick_not_before;
    bool hurry = en->revoking || en->closing || ready_count(en) >= TICK_FULL ||
                 waits_for_nobody(en);
    if (!hurry && en->tick_started + TICK_SPACING_MS > at)
        at = en->tick_started + TICK_SPACING_MS;
    return at;
}

bool tick_is_slow(const struct engine *en)
{
    return en->tick_running && en->now - en->tick_started >= TICK_SLOW_MS;
}

bool tick_is_fresh(const struct engine *en)
{
    return en->committed_boot > 0 &&
           clock_boot(en->clock) - en->committed_boot < en->o.session_timeout_ms * 5 / 12;
}

void tick_ended(struct engine *en, struct kafka_tick *tick)
{
    en->tick_running = false;
    metric_add(metrics_get(en->metrics, M_TRANSACTIONS, end_names[tick->end], NULL), 1);
    metric_observe(metrics_get(en->metrics, M_TRANSACTION_SECONDS, NULL),
                   (double)tick->took_us / 1e6);
    switch (tick->end) {
    case TICK_COMMITTED:
        committed(en);
        break;
    case TICK_ABORTED:
        log_warn("tick.aborted", "tick aborted, submitted again: %s", tick->why);
        put_back(en);
        en->tick_not_before = en->now + RETRY_ABORTED_MS;
        break;
    case TICK_STALE:
        log_info("tick.stale", "tick refused, the group moved on: %s", tick->why);
        put_back(en);
        en->committed_boot = 0; /* the gate closes: another may own what we hold */
        en->tick_not_before = en->now + RETRY_STALE_MS;
        break;
    case TICK_BAD_RECORD: {
        struct tick_owner owner = tick->bad < tick->n_outputs ? en->tick_owner[tick->bad]
                                                              : (struct tick_owner){0};
        log_warn("tick.bad_record", "a record was refused, made smaller: %s", tick->why);
        size_t which = 0;
        while (tick->bad > which &&
               en->tick_owner[tick->bad - which - 1].slot == owner.slot &&
               en->tick_owner[tick->bad - which - 1].job == owner.job)
            which++;
        put_back(en);
        if (owner.slot != NULL && which >= owner.slot->n_outputs)
            list_refused(en, owner.slot, which - owner.slot->n_outputs, tick);
        else if (owner.slot != NULL)
            answer_slim(en, owner.slot, which);
        else if (owner.job != NULL)
            walk_refused(en, owner.job, which, tick);
        break;
    }
    case TICK_UNKNOWN:
        log_warn("tick.unknown", "new producer; positions are read again: %s", tick->why);
        parts_recheck(en);
        break;
    case TICK_RUNNING:
        assert(0);
    }
}

/* After a fenced producer: the committed string tells whether the tick got through. */
void tick_settle(struct engine *en, struct part *part, const struct ledger_image *im)
{
    struct slot *slot, *next;
    for (slot = TAILQ_LAST(&en->lists[SLOT_TICKING], slot_list); slot != NULL;
         slot = next) {
        next = TAILQ_PREV(slot, slot_list, link);
        if (slot->part != part)
            continue;
        if (ledger_image_done(im, slot->offset))
            slot_committed(en, slot);
        else
            slot_put_back(en, slot);
    }
    TAILQ_FOREACH (slot, &en->lists[SLOT_ARMING], link)
        if (slot->part == part && slot->arm_in_tick)
            slot_put_back(en,
                          slot); /* not called yet either way: armed again, new send_by */
    part->touched = true;
}

static size_t ready_count(const struct engine *en)
{
    return en->counts[SLOT_ANSWERED] + en->counts[SLOT_ARMING] +
           en->job_counts[JOB_ANSWERED];
}

/* Pages of lists wait, and no call runs whose answer could share their tick. */
static bool waits_for_nobody(const struct engine *en)
{
    return en->job_counts[JOB_ANSWERED] > 0 && en->in_flight == 0;
}

static bool wanted(const struct engine *en)
{
    if (ready_count(en) > 0 || en->tick_wanted)
        return true;
    const struct part *part;
    TAILQ_FOREACH (part, &en->parts, link)
        if (part->touched && part->state == PART_LIVE)
            return true;
    return en->in_flight > 0 &&
           clock_boot(en->clock) - en->committed_boot > en->o.session_timeout_ms / 3;
}

static size_t take_answers(struct engine *en)
{
    struct slot *slot, *next;
    size_t bytes = 0;
    for (slot = TAILQ_FIRST(&en->lists[SLOT_ANSWERED]); slot != NULL; slot = next) {
        next = TAILQ_NEXT(slot, link);
        size_t size = items_bytes(slot->items) + slot->job.value.len;
        if (!slot->became_job)
            size += slot->outputs[0].value.len * slot->n_outputs;
        if (!fits(en, slot_records(slot), bytes, size))
            break; /* one larger record, or page, goes alone */
        bytes += size;
        ledger_finish(&slot->part->ledger, slot->offset);
        slot->part->touched = true;
        struct tick_owner owner = {.slot = slot};
        add_outputs(en, owner, slot->outputs, slot->n_outputs);
        if (slot->items != NULL)
            add_outputs(en, owner, slot->items->outputs, slot->items->n);
        add_outputs(en, owner, &slot->job, slot->became_job ? 1 : 0);
        slot_move(en, slot, SLOT_TICKING);
    }
    return bytes;
}

/* Every job's tick is fenced by its own partition: see take_offsets. */
static void take_jobs(struct engine *en, size_t bytes)
{
    struct job *job, *next;
    for (job = TAILQ_FIRST(&en->jobs[JOB_ANSWERED]); job != NULL; job = next) {
        next = TAILQ_NEXT(job, link);
        if (job->part->state != PART_LIVE)
            continue;
        if (!fits(en, job->n_outputs, bytes, job->bytes))
            break;
        bytes += job->bytes;
        job->part->touched = true;
        add_outputs(en, (struct tick_owner){.job = job}, job->outputs, job->n_outputs);
        job_move(en, job, JOB_TICKING);
    }
}

static size_t slot_records(const struct slot *slot)
{
    return slot->n_outputs + items_count(slot->items) + (slot->became_job ? 1 : 0);
}

/* What is too much for any tick goes alone. */
static bool fits(const struct engine *en, size_t records, size_t bytes, size_t more)
{
    return en->tick.n_outputs == 0 || (en->tick.n_outputs + records <= TICK_RECORDS_MAX &&
                                       (bytes == 0 || bytes + more <= TICK_BYTES_MAX));
}

static void add_outputs(struct engine *en, struct tick_owner owner,
                        const struct kafka_output *outputs, size_t n)
{
    struct kafka_tick *tick = &en->tick;
    size_t cap = en->cap_outputs ? en->cap_outputs : 256;
    while (tick->n_outputs + n > cap)
        cap *= 2;
    if (cap > en->cap_outputs) {
        en->cap_outputs = cap;
        tick->outputs = mem_realloc(tick->outputs, cap * sizeof *tick->outputs);
        en->tick_owner = mem_realloc(en->tick_owner, cap * sizeof *en->tick_owner);
    }
    for (size_t i = 0; i < n; i++) {
        en->tick_owner[tick->n_outputs] = owner;
        tick->outputs[tick->n_outputs] = outputs[i];
        tick->outputs[tick->n_outputs++].last = outputs[i].topic == en->jobs_topic;
    }
}

static void take_armings(struct engine *en)
{
    struct slot *slot;
    int64_t second = dispatch_front_ms(en) / 1000;
    int64_t send_by = clock_boot(en->clock) + SEND_BY_MS;
    TAILQ_FOREACH (slot, &en->lists[SLOT_ARMING], link) {
        ledger_arm(&slot->part->ledger, slot->offset, second);
        slot->part->touched = true;
        slot->arm_in_tick = true;
        slot->arm_second = (uint32_t)second;
        slot->send_by = send_by;
    }
}

/* Every partition touched, also when its line did not move: the coordinator then checks
 * our generation. A tick that only has to show that we live takes all. */
static void take_offsets(struct engine *en)
{
    struct part *part;
    struct kafka_tick *tick = &en->tick;
    bool all = tick->n_outputs == 0;
    TAILQ_FOREACH (part, &en->parts, link) {
        if (part->state != PART_LIVE || (!part->touched && !all))
            continue;
        if (tick->n_offsets == en->cap_offsets) {
            en->cap_offsets = en->cap_offsets ? en->cap_offsets * 2 : 16;
            tick->offsets =
                mem_realloc(tick->offsets, en->cap_offsets * sizeof *tick->offsets);
        }
        if (part->jobs != NULL) {
            tick->offsets[tick->n_offsets++] =
                (struct kafka_offset){part->at, part->next, jobs_string()};
            part->touched = false;
            continue;
        }
        char text[LEDGER_STRING_MAX], quota[40] = "";
        (void)quota_string(en->quota, part->at.partition, clock_wall(en->clock), quota);
        size_t len =
            ledger_string(&part->ledger, dispatch_lease_ms(en, part), quota, text);
        tick->offsets[tick->n_offsets++] =
            (struct kafka_offset){part->at,
                                  ledger_next_line(&part->ledger),
                                  {arena_strndup(&en->tick_arena, text, len), len}};
        part->ledger_bytes = len;
        part->touched = false;
    }
}

static void committed(struct engine *en)
{
    struct slot *slot, *next;
    en->committed_boot = en->tick_boot;
    en->tick_wanted = false; /* it was wanted to show that we live: this one did */
    while ((slot = TAILQ_FIRST(&en->lists[SLOT_TICKING])) != NULL)
        slot_committed(en, slot);
    struct job *job;
    while ((job = TAILQ_FIRST(&en->jobs[JOB_TICKING])) != NULL)
        jobs_ticked(en, job);
    for (slot = TAILQ_FIRST(&en->lists[SLOT_ARMING]); slot != NULL; slot = next) {
        next = TAILQ_NEXT(slot, link);
        if (!slot->arm_in_tick)
            continue;
        slot->arm_in_tick = false;
        dispatch_armed(en, slot);
    }
    struct part *part;
    TAILQ_FOREACH (part, &en->parts, link)
        if (part->jobs == NULL)
            intake_held(en, part);
}

static void slot_committed(struct engine *en, struct slot *slot)
{
    ledger_done(&slot->part->ledger, slot->offset);
    if (slot->dead_letter) {
        en->dead++;
        metric_add(metrics_get(en->metrics, M_DEAD_LETTERS, slot->operation.ptr, NULL),
                   1);
    } else if (slot->became_job) {
        en->returned++;
        metric_add(metrics_get(en->metrics, M_RETURNED, "became_job", NULL), 1);
        items_committed(en, slot->items);
    } else {
        if (slot->items != NULL)
            repeats_know(en, slot);
        items_committed(en, slot->items);
        en->finished++;
        metric_add(
            metrics_get(en->metrics, M_FINISHED, outcome_names[slot->outcome], NULL), 1);
    }
    int64_t from =
        slot->rec.timestamp_ms > 0 ? slot->rec.timestamp_ms : slot->received_at;
    metric_observe(metrics_get(en->metrics, M_DURATION,
                               quota_class_names[slot->headers.priority], NULL),
                   (double)(clock_wall(en->clock) - from) / 1000);
    en->last_finished_ms = en->now;
    slot_release(en, slot);
}

static void put_back(struct engine *en)
{
    struct slot *slot;
    while ((slot = TAILQ_LAST(&en->lists[SLOT_TICKING], slot_list)) != NULL)
        slot_put_back(en, slot);
    struct job *job;
    while ((job = TAILQ_LAST(&en->jobs[JOB_TICKING], job_list)) != NULL)
        jobs_put_back(en, job);
    TAILQ_FOREACH (slot, &en->lists[SLOT_ARMING], link)
        if (slot->arm_in_tick)
            slot_put_back(en, slot);
    struct part *part;
    TAILQ_FOREACH (part, &en->parts, link)
        part->touched = true;
}

/* Last one first: each goes before the rest, so the results of a key keep their order. */
static void slot_put_back(struct engine *en, struct slot *slot)
{
    if (slot->state == SLOT_TICKING) {
        ledger_unfinish(&slot->part->ledger, slot->offset);
        slot_move_back(en, slot, SLOT_ANSWERED);
    } else {
        ledger_disarm(&slot->part->ledger, slot->offset);
        slot->arm_in_tick = false;
    }
}
