/* See slot.h. Slots are recycled: each keeps its arena's first block. Thousands of them
 * wait at the same time, so what a slot holds is held small. */
#include <assert.h>

#include "engine/internal.h"

/* A command with few params and a small body takes 700 bytes. */
#define ARENA_BLOCK 1024

const char *const slot_state_names[SLOT_STATES] = {
    "queued", "twin",    "topic",  "schema",   "fetch",   "fetching",
    "ready",  "waiting", "arming", "calling",  "confirm", "doubt",
    "lookup", "probing", "orphan", "answered", "ticking", "free"};

/* Which states may follow which: rows are "from", bits are "to". */
#define TO(s) (1u << (s))
static const unsigned transitions[SLOT_STATES] = {
    [SLOT_QUEUED] = TO(SLOT_TWIN) | TO(SLOT_TOPIC) | TO(SLOT_SCHEMA) | TO(SLOT_FETCH) |
                    TO(SLOT_READY) | TO(SLOT_DOUBT) | TO(SLOT_ANSWERED) | TO(SLOT_FREE),
    [SLOT_TWIN] = TO(SLOT_FETCH) | TO(SLOT_READY) | TO(SLOT_ANSWERED) | TO(SLOT_FREE),
    [SLOT_TOPIC] = TO(SLOT_TWIN) | TO(SLOT_SCHEMA) | TO(SLOT_FETCH) | TO(SLOT_READY) |
                   TO(SLOT_DOUBT) | TO(SLOT_ANSWERED) | TO(SLOT_FREE),
    [SLOT_SCHEMA] = TO(SLOT_TWIN) | TO(SLOT_TOPIC) | TO(SLOT_FETCH) | TO(SLOT_READY) |
                    TO(SLOT_DOUBT) | TO(SLOT_ANSWERED) | TO(SLOT_FREE),
    [SLOT_FETCH] = TO(SLOT_FETCHING) | TO(SLOT_READY) | TO(SLOT_ANSWERED) | TO(SLOT_FREE),
    [SLOT_FETCHING] = TO(SLOT_FETCH) | TO(SLOT_READY) | TO(SLOT_ANSWERED) | TO(SLOT_FREE),
    [SLOT_READY] = TO(SLOT_ARMING) | TO(SLOT_CALLING) | TO(SLOT_ANSWERED) | TO(SLOT_FREE),
    [SLOT_WAITING] = TO(SLOT_READY) | TO(SLOT_ANSWERED) | TO(SLOT_FREE),
    [SLOT_ARMING] = TO(SLOT_CALLING) | TO(SLOT_READY) | TO(SLOT_ANSWERED) | TO(SLOT_FREE),
    [SLOT_CALLING] = TO(SLOT_READY) | TO(SLOT_WAITING) | TO(SLOT_CONFIRM) |
                     TO(SLOT_DOUBT) | TO(SLOT_ORPHAN) | TO(SLOT_ANSWERED) | TO(SLOT_FREE),
    [SLOT_CONFIRM] = TO(SLOT_ANSWERED) | TO(SLOT_FREE),
    [SLOT_DOUBT] = TO(SLOT_LOOKUP) | TO(SLOT_FETCH) | TO(SLOT_READY) | TO(SLOT_ANSWERED) |
                   TO(SLOT_FREE),
    [SLOT_LOOKUP] = TO(SLOT_PROBING) | TO(SLOT_ANSWERED) | TO(SLOT_FREE),
    [SLOT_PROBING] = TO(SLOT_LOOKUP) | TO(SLOT_DOUBT) | TO(SLOT_FETCH) | TO(SLOT_READY) |
                     TO(SLOT_ANSWERED) | TO(SLOT_FREE),
    [SLOT_ORPHAN] = TO(SLOT_CALLING) | TO(SLOT_ANSWERED) | TO(SLOT_FREE),
    [SLOT_ANSWERED] = TO(SLOT_TICKING) | TO(SLOT_ORPHAN) | TO(SLOT_FREE),
    [SLOT_TICKING] = TO(SLOT_ANSWERED) | TO(SLOT_ORPHAN) | TO(SLOT_FREE),
    [SLOT_FREE] = TO(SLOT_QUEUED),
};

static void leave_list(struct engine *en, struct slot *slot, enum slot_state to);

struct slot *slot_take(struct engine *en, struct part *part, struct kafka_record *rec)
{
    struct slot *slot = TAILQ_FIRST(&en->lists[SLOT_FREE]);
    if (slot == NULL) {
        slot = mem_zalloc(sizeof *slot);
        arena_init(&slot->arena, ARENA_BLOCK);
        slot->state = SLOT_FREE;
        TAILQ_INSERT_HEAD(&en->lists[SLOT_FREE], slot, link);
        en->counts[SLOT_FREE]++;
    }
    slot_move(en, slot, SLOT_QUEUED);
    slot->en = en;
    slot->timer.fire = dispatch_timer;
    slot->rec = *rec;
    slot->offset = rec->offset;
    slot->arrival = en->arrivals++;
    slot->received_at = clock_wall(en->clock);
    slot_attach(en, slot, part);
    return slot;
}

void slot_attach(struct engine *en, struct slot *slot, struct part *part)
{
    slot->part = part;
    TAILQ_INSERT_TAIL(&part->slots, slot, in_part);
    part->n_slots++;
    en->n_slots++;
    en->held_bytes += slot->rec.value.len + slot->rec.key.len;
}

void slot_detach(struct engine *en, struct slot *slot)
{
    TAILQ_REMOVE(&slot->part->slots, slot, in_part);
    slot->part->n_slots--;
    slot->part = NULL;
    en->n_slots--;
    en->held_bytes -= slot->rec.value.len + slot->rec.key.len;
}

void slot_move(struct engine *en, struct slot *slot, enum slot_state to)
{
    leave_list(en, slot, to);
    TAILQ_INSERT_TAIL(&en->lists[to], slot, link);
}

void slot_move_back(struct engine *en, struct slot *slot, enum slot_state to)
{
    leave_list(en, slot, to);
    TAILQ_INSERT_HEAD(&en->lists[to], slot, link);
}

static void leave_list(struct engine *en, struct slot *slot, enum slot_state to)
{
    assert(transitions[slot->state] & TO(to));
    TAILQ_REMOVE(&en->lists[slot->state], slot, link);
    en->counts[slot->state]--;
    en->counts[to]++;
    slot->state = to;
}

struct str slot_source(struct slot *slot)
{
    return str_of(arena_printf(&slot->arena, "%s/%d/%lld", slot->rec.at.topic,
                               slot->rec.at.partition, (long long)slot->offset));
}

void slot_release(struct engine *en, struct slot *slot)
{
    timer_cancel(&en->timers, &slot->timer);
    repeats_release(en, slot);
    fetch_release(en, slot);
    assert(slot->lane == NULL && slot->call == NULL);
    if (slot->to_open)
        TAILQ_REMOVE(&en->opening, slot, in_opening);
    if (slot->part != NULL)
        slot_detach(en, slot);
    en->kafka.release(en->kafka.self, &slot->rec);
    slot_move(en, slot, SLOT_FREE);
    struct arena arena = slot->arena;
    arena_reset(&arena);
    answer_waits(en, slot, false);
    mem_free(slot->result);
    items_free(slot->items);
    TAILQ_REMOVE(&en->lists[SLOT_FREE], slot, link);
    *slot = (struct slot){.state = SLOT_FREE, .arena = arena};
    TAILQ_INSERT_HEAD(&en->lists[SLOT_FREE], slot, link);
}

void slot_open_later(struct engine *en, struct slot *slot)
{
    if (!slot->opened)
        slot_open_again(en, slot);
}

void slot_open_again(struct engine *en, struct slot *slot)
{
    if (slot->to_open)
        return;
    slot->to_open = true;
    if (slot->found_armed) /* it takes its id before another one can be begun with it */
        TAILQ_INSERT_HEAD(&en->opening, slot, in_opening);
    else
        TAILQ_INSERT_TAIL(&en->opening, slot, in_opening);
}

void slot_leave_lane(struct engine *en, struct slot *slot)
{
    if (slot->lane == NULL)
        return;
    struct slot *next = lanes_remove(en->lanes, slot);
    if (next != NULL)
        slot_open_later(en, next);
}
