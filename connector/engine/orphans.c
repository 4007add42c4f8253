/* Calls and results that outlive their partition: a slot whose partition went away while
 * its request ran, or before its result was committed, is kept for one lease. If the
 * partition comes back to us in that time with the command still open, the answer is used
 * and Front is not called again. Invariant: a new owner acts on what is ARMED only after
 * a lease of its own, so nothing kept here can meet what another owner did. */
#include <string.h>

#include "engine/internal.h"

static void drop(struct engine *en, struct slot *slot);
static void resume_call(struct engine *en, struct slot *slot);

bool orphans_keep(struct engine *en, struct slot *slot)
{
    bool answered = (slot->state == SLOT_ANSWERED || slot->state == SLOT_TICKING) &&
                    slot->started_at > 0;
    bool calling = slot->state == SLOT_CALLING && slot->req.method != HTTP_GET;
    int64_t until = en->now + dispatch_lease_ms(en, slot->part);

    if (en->closing || (!answered && !calling))
        return false;
    slot->kept_state = calling ? SLOT_CALLING : SLOT_ANSWERED;
    repeats_release(en, slot);
    answer_waits(en, slot, false); /* for a lease at the most: nobody waits for it */
    slot_detach(en, slot);
    slot_move(en, slot, SLOT_ORPHAN);
    timer_set(&en->timers, &slot->timer, until);
    return true;
}

void orphans_due(struct engine *en, struct slot *slot)
{
    drop(en, slot);
}

void orphans_drop_all(struct engine *en)
{
    struct slot *slot;

    while ((slot = TAILQ_FIRST(&en->lists[SLOT_ORPHAN])) != NULL)
        drop(en, slot);
}

/* The call's struct goes back to the free ones: what it brought is copied. */
void orphans_answered(struct engine *en, struct slot *slot, const struct call *call)
{
    struct call *kept = arena_zalloc(&slot->arena, sizeof *kept);
    struct str body = buf_str(&call->http.body_in);

    kept->en = en;
    kept->http = call->http;
    kept->http.body_in = (struct buf){
        .data = arena_strndup(&slot->arena, body.ptr != NULL ? body.ptr : "", body.len),
        .len = body.len};
    kept->refused = call->refused;
    slot->kept_call = kept;
}

/* False: there is none for this record, or it cannot be used: the command is new. */
bool orphans_return(struct engine *en, struct part *part, const struct kafka_record *rec,
                    enum ledger_intake how)
{
    struct slot *slot;

    TAILQ_FOREACH (slot, &en->lists[SLOT_ORPHAN], link)
        if (slot->offset == rec->offset && slot->rec.at.topic == rec->at.topic &&
            slot->rec.at.partition == rec->at.partition)
            break;
    if (slot == NULL)
        return false;
    bool armed = how == LEDGER_IN_DOUBT;
    bool same =
        how != LEDGER_DONE_BEFORE && armed == slot->armed &&
        (!armed || ledger_arm_second(&part->ledger, rec->offset) == slot->arm_second);
    /* Of its key an earlier one may be open again: then it has to wait as a new one. */
    if (!same || !lanes_push(en->lanes, slot)) {
        drop(en, slot);
        return false;
    }
    timer_cancel(&en->timers, &slot->timer);
    slot_attach(en, slot, part);
    slot_move(en, slot, slot->kept_state);
    if (slot->kept_state == SLOT_ANSWERED) {
        slot_leave_lane(en, slot);
        answer_waits(en, slot, true);
        if (slot->items != NULL || slot->became_job)
            repeats_hold(en, slot);
        else
            repeats_know(en, slot); /* what was known of it went with its partition */
    } else
        resume_call(en, slot);
    return true;
}

static void drop(struct engine *en, struct slot *slot)
{
    if (slot->lane != NULL)
        slot_leave_lane(en, slot);
    dispatch_cancel(en, slot);
    slot_release(en, slot);
}

/* Its request runs on, or has ended in the meantime. */
static void resume_call(struct engine *en, struct slot *slot)
{
    struct call *kept = slot->kept_call;

    repeats_hold(en, slot);
    slot->kept_call = NULL;
    if (kept != NULL)
        dispatch_ended(en, slot, kept);
}
