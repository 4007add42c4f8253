/* Repeated command ids: the results' tail of each command partition is read before its
 * commands start; a command whose id was answered is answered from there, one whose id is
 * in flight waits for it. Invariant: of two commands with one id in a partition at most
 * one is past this file at a time. */
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "engine/internal.h"

#define ENTRIES_MIN                                                                      \
    1000             /* for the ids of resources, also when repeats are not looked up */
#define TAIL_SLACK 2 /* half of the offsets may be control records */

static void read_on(struct engine *en, struct part *part);
static void seed(struct engine *en, struct part *part, const struct kafka_record *rec,
                 struct arena *a);
static void unseeded(struct engine *en, struct part *part, const char *why);
static struct part *seeding_part(struct engine *en, struct kafka_partition results,
                                 int64_t from);
static bool armed_is_unread(const struct engine *en, const struct part *part);
static void hand_over(struct engine *en, const struct slot *slot);
static bool says_something(const struct part *part, const struct result *res);
static bool repeatable(const struct engine *en, const struct slot *slot,
                       const struct seen_entry *entry);

static int64_t entries(const struct engine *en)
{
    return en->o.dedupe_entries > ENTRIES_MIN ? en->o.dedupe_entries : ENTRIES_MIN;
}

void repeats_init(struct engine *en, struct part *part)
{
    part->seen = seen_new((size_t)entries(en));
}

/* A list that went on as a job: whoever repeats its id from here on is answered as it
 * was. */
void repeats_job_answered(struct engine *en, const struct job *job)
{
    const struct job_record *jr = job->end;
    struct part *part;

    TAILQ_FOREACH (part, &en->parts, link)
        if (str_is(jr->source_topic, part->at.topic) &&
            jr->source_partition == part->at.partition)
            seen_add(part->seen,
                     &(struct seen_entry){.command_id = str_eq(jr->command_id, jr->id)
                                                            ? STR_NULL
                                                            : jr->command_id,
                                          .digest = jr->request_digest,
                                          .error_kind = job->res->error.kind,
                                          .outcome = job->outcome,
                                          .http_status = job->http_status});
}

void repeats_fini(struct part *part)
{
    HASH_CLEAR(by_id, part->ids);
    seen_free(part->seen);
}

void repeats_seed(struct engine *en, struct part *part)
{
    part->state = PART_SEEDING;
    if (!part->same_partitions) {
        unseeded(en, part, "the results topic has another number of partitions");
        return;
    }
    part->tail_next = -1;
    part->tail = (struct kafka_partition){
        en->kafka.intern(en->kafka.self, en->o.results_topic), part->at.partition};
    en->kafka.watermarks(en->kafka.self, part->tail);
}

bool repeats_watermarks(struct engine *en, const struct kafka_event *ev)
{
    struct part *part = seeding_part(en, ev->at, -1);
    int64_t from = ev->high - TAIL_SLACK * entries(en);

    if (part == NULL)
        return false;
    if (ev->error[0] != 0) {
        unseeded(en, part, ev->error);
        return true;
    }
    part->tail_next = from > ev->low ? from : ev->low;
    part->tail_end = ev->high;
    read_on(en, part);
    return true;
}

void repeats_read(struct engine *en, const struct kafka_event *ev)
{
    struct part *part = seeding_part(en, ev->at, ev->low);
    struct arena a;
    size_t i;

    if (part == NULL)
        return; /* asked under another assignment */
    if (ev->error[0] != 0) {
        unseeded(en, part, ev->error);
        return;
    }
    part->tail_waits = registered_tail_waits(en, ev->records, ev->n_records);
    if (part->tail_waits)
        return;
    arena_init(&a, 16 * 1024);
    for (i = 0; i < ev->n_records; i++) {
        arena_reset(&a);
        seed(en, part, &ev->records[i], &a);
    }
    arena_fini(&a);
    part->tail_next = ev->offset;
    read_on(en, part);
}

void repeats_again(struct engine *en)
{
    struct part *part;

    TAILQ_FOREACH (part, &en->parts, link) {
        if (part->state != PART_SEEDING || !part->tail_waits)
            continue;
        part->tail_waits = false;
        read_on(en, part);
    }
}

enum repeat_answer repeats_look(struct engine *en, struct slot *slot)
{
    const struct seen_entry *entry;
    struct slot *first = NULL;

    if (en->o.dedupe_entries == 0 || !slot->explicit_id || slot->found_armed ||
        slot->holds_id)
        return REPEAT_NO;
    HASH_FIND(by_id, slot->part->ids, slot->command_id.ptr, slot->command_id.len, first);
    if (first != NULL || armed_is_unread(en, slot->part)) {
        if (slot->state != SLOT_TWIN)
            slot_move(en, slot, SLOT_TWIN);
        return REPEAT_WAITS;
    }
    entry = seen_find(slot->part->seen, slot->command_id);
    if (entry != NULL && !str_is(entry->digest, slot->digest)) {
        answer_error(en, slot, REJECTED, "command-id-reused",
                     "a command with this id and another content was answered before");
        return REPEAT_ANSWERED;
    }
    if (entry != NULL && repeatable(en, slot, entry)) {
        metric_add(metrics_get(en->metrics, M_REPLAYS, NULL), 1);
        answer_replay(en, slot, entry);
        return REPEAT_ANSWERED;
    }
    repeats_hold(en, slot);
    return REPEAT_NO;
}

/* What a former owner may have sent has an id that is not known before its schema is: it
 * may be any. */
static bool armed_is_unread(const struct engine *en, const struct part *part)
{
    const struct slot *slot;

    TAILQ_FOREACH (slot, &en->lists[SLOT_SCHEMA], link)
        if (slot->part == part && slot->found_armed && !slot->opened)
            return true;
    return false;
}

void repeats_hold(struct engine *en, struct slot *slot)
{
    struct slot *first = NULL;

    if (en->o.dedupe_entries == 0 || !slot->explicit_id)
        return;
    HASH_FIND(by_id, slot->part->ids, slot->command_id.ptr, slot->command_id.len, first);
    if (first != NULL)
        return;
    HASH_ADD_KEYPTR(by_id, slot->part->ids, slot->command_id.ptr, slot->command_id.len,
                    slot);
    slot->holds_id = true;
}

void repeats_answered(struct engine *en, struct slot *slot, const struct result *res)
{
    struct seen_entry entry = {.command_id =
                                   slot->explicit_id ? slot->command_id : STR_NULL,
                               .resource_id = res->resource_id,
                               .digest = res->request_digest,
                               .response = res->truncated ? STR_NULL : res->response,
                               .error_kind = res->error.kind,
                               .outcome = res->outcome,
                               .http_status = res->http_status};

    if (says_something(slot->part, res))
        seen_add(slot->part->seen, &entry);
    repeats_release(en, slot);
}

void repeats_know(struct engine *en, struct slot *slot)
{
    struct result res;
    struct arena a;
    struct err e = ERR_INIT;

    arena_init(&a, 4096);
    if (result_decode(en->ss, slot->outputs[0].value, &a, &res, &e) == 0)
        repeats_answered(en, slot, &res);
    arena_fini(&a);
}

/* What was found armed, or came back as an orphan, waits for nobody: it may be in doubt
 * without holding its id. */
static void hand_over(struct engine *en, const struct slot *slot)
{
    struct slot *other;

    TAILQ_FOREACH (other, &slot->part->slots, in_part)
        if (other != slot && other->armed && other->opened && other->lane != NULL &&
            str_eq(other->command_id, slot->command_id))
            repeats_hold(en, other);
}

/* Whoever waited for its id looks again. */
void repeats_release(struct engine *en, struct slot *slot)
{
    struct slot *twin, *next;

    if (!slot->holds_id)
        return;
    HASH_DELETE(by_id, slot->part->ids, slot);
    slot->holds_id = false;
    if (slot->part->ledger.armed > 0)
        hand_over(en, slot);
    for (twin = TAILQ_FIRST(&en->lists[SLOT_TWIN]); twin != NULL; twin = next) {
        next = TAILQ_NEXT(twin, link);
        if (twin->part == slot->part && str_eq(twin->command_id, slot->command_id))
            slot_open_again(en, twin);
    }
}

static void read_on(struct engine *en, struct part *part)
{
    if (part->tail_next < part->tail_end) {
        en->kafka.read(en->kafka.self, part->tail, part->tail_next, part->tail_end);
        return;
    }
    part->seeded = true;
    if (part->lost)
        parts_stop(part,
                   "offsets were lost: there is a result of this partition, but no "
                   "committed position; its commands would be executed again: set "
                   "commands.start, or reset the group's offsets to where they stood");
    else
        part->state = PART_PARKED;
}

static void seed(struct engine *en, struct part *part, const struct kafka_record *rec,
                 struct arena *a)
{
    struct err e = ERR_INIT;
    struct result res;
    char own[300];

    if (rec->value.ptr == NULL || result_decode(en->ss, rec->value, a, &res, &e) ||
        !str_is(res.source_topic, part->at.topic) ||
        res.source_partition != part->at.partition || !says_something(part, &res))
        return;
    part->lost = part->fresh && !en->o.start_given;
    snprintf(own, sizeof own, "%s/%d/%lld", part->at.topic, part->at.partition,
             (long long)res.source_offset);
    seen_add(part->seen, &(struct seen_entry){.command_id = str_is(res.command_id, own)
                                                                ? STR_NULL
                                                                : res.command_id,
                                              .resource_id = res.resource_id,
                                              .digest = res.request_digest,
                                              .response = res.response,
                                              .error_kind = res.error.kind,
                                              .outcome = res.outcome,
                                              .http_status = res.http_status});
}

/* Of the command that has this id. A refusal of one that came later with a used id, for
 * its content or whatever else, says nothing of it. */
static bool says_something(const struct part *part, const struct result *res)
{
    return !res->replayed && !str_is(res->error.kind, "command-id-reused") &&
           (res->outcome != REJECTED || seen_find(part->seen, res->command_id) == NULL);
}

/* Its commands run all the same: ids answered before this start are not known. */
static void unseeded(struct engine *en, struct part *part, const char *why)
{
    (void)en;
    part->seeded = false;
    part->state = PART_PARKED;
    log_warn(
        "repeats.unknown",
        "%s/%d: earlier results are not known, repeated ids of before this start are "
        "executed: %s",
        part->at.topic, part->at.partition, why);
}

/* The one that waits for this answer: to reading on at `from`, or, -1, to what ends the
 * tail has. Two command topics may share a tail. */
static struct part *seeding_part(struct engine *en, struct kafka_partition results,
                                 int64_t from)
{
    struct part *part;

    TAILQ_FOREACH (part, &en->parts, link)
        if (part->state == PART_SEEDING && part->tail_next == from &&
            part->tail.topic == results.topic &&
            part->tail.partition == results.partition)
            return part;
    return NULL;
}

/* After FAILED, REJECTED, EXPIRED, CANCELLED the command is executed; after IN_DOUBT when
 * its user asked for that. */
static bool repeatable(const struct engine *en, const struct slot *slot,
                       const struct seen_entry *entry)
{
    return entry->outcome == SUCCEEDED ||
           (entry->outcome == IN_DOUBT && doubt_policy(en, slot) != DOUBT_RETRY);
}
