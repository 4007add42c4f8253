/* See outbox.h. Owns the parcels. Invariant: what outbox_send took is here until Kafka
 * has it, or has refused it as an event and as a dead letter; a report names a parcel
 * that is SENT, and nothing else ends one. */
#include "engine/outbox.h"

#include <string.h>

#include "engine/headers.h"
#include "engine/internal.h"

#define BYTES_MAX ((size_t)64 * 1024 * 1024)
#define UNUSED_KEPT 64         /* free ones that keep their memory ... */
#define UNUSED_KEPT_BYTES 8192 /* ... when it is no more than this */
#define AGAIN_MS 500           /* after which a record is handed to Kafka again */
#define SAY_EVERY_MS 60000
#define REFUSALS_MAX 3 /* a batch is refused as a whole: the next is another */
TAILQ_HEAD(parcel_list, parcel);

struct outbox {
    struct engine *en;
    struct outbox_options o;
    struct parcel_list parcels[PARCEL_STATES];
    size_t n, bytes;
    bool high;
    struct parcel *by_id;
    struct parcel_list unused;
    size_t n_unused;
    int64_t quiet_until; /* of the line that Kafka does not take them */
};

static void move(struct outbox *ob, struct parcel *pc, enum parcel_state to);
static void end(struct outbox *ob, struct parcel *pc, bool stored);
static void bury(struct outbox *ob, struct parcel *pc, const char *message);
static bool fits(const struct kafka_output *out, int64_t max_bytes);
static void hand_over(struct outbox *ob, struct parcel *pc);
static void again(struct outbox *ob, struct parcel *pc, const char *why);
static void refused(struct outbox *ob, struct parcel *pc, const char *why);
static void give_up(struct outbox *ob, struct parcel *pc, const char *why);

struct outbox *outbox_new(struct engine *en, const struct outbox_options *o)
{
    struct outbox *ob = mem_zalloc(sizeof *ob);
    ob->en = en;
    ob->o = *o;
    for (size_t i = 0; i < PARCEL_STATES; i++)
        TAILQ_INIT(&ob->parcels[i]);
    TAILQ_INIT(&ob->unused);
    return ob;
}

void outbox_free(struct outbox *ob)
{
    struct parcel *pc;
    if (ob == NULL)
        return;
    HASH_CLEAR(hh, ob->by_id);
    for (size_t i = 0; i < PARCEL_STATES; i++)
        TAILQ_CONCAT(&ob->unused, &ob->parcels[i], link);
    while ((pc = TAILQ_FIRST(&ob->unused)) != NULL) {
        TAILQ_REMOVE(&ob->unused, pc, link);
        arena_fini(&pc->arena);
        mem_free(pc);
    }
    mem_free(ob);
}

struct parcel *outbox_take(struct outbox *ob)
{
    struct parcel *pc = TAILQ_FIRST(&ob->unused);
    if (pc != NULL) {
        TAILQ_REMOVE(&ob->unused, pc, link);
        ob->n_unused--;
        struct arena kept = pc->arena;
        memset(pc, 0, sizeof *pc);
        pc->arena = kept;
    } else {
        pc = mem_zalloc(sizeof *pc);
        arena_init(&pc->arena, 0);
    }
    TAILQ_INIT(&pc->waiters);
    return pc;
}

void outbox_drop(struct outbox *ob, struct parcel *pc)
{
    if (ob->n_unused >= UNUSED_KEPT || pc->arena.used > UNUSED_KEPT_BYTES) {
        arena_fini(&pc->arena);
        mem_free(pc);
        return;
    }
    arena_reset(&pc->arena);
    TAILQ_INSERT_HEAD(&ob->unused, pc, link);
    ob->n_unused++;
}

void outbox_send(struct outbox *ob, struct parcel *pc)
{
    if (pc->dead == NULL && !fits(&pc->out, ob->o.event_max_bytes))
        bury(ob, pc, "the event is larger than its topic takes");
    pc->bytes = answer_record_size(&pc->out);
    ob->bytes += pc->bytes;
    ob->n++;
    ob->high = ob->high || ob->n >= (size_t)(ob->o.max_parcels - ob->o.max_parcels / 4);
    pc->state = PARCEL_AGAIN;
    TAILQ_INSERT_HEAD(&ob->parcels[PARCEL_AGAIN], pc, link);
    if (pc->id.ptr != NULL)
        HASH_ADD_KEYPTR(hh, ob->by_id, pc->id.ptr, pc->id.len, pc);
    hand_over(ob, pc);
}

struct parcel *outbox_find(const struct outbox *ob, struct str id)
{
    struct parcel *pc = NULL;
    HASH_FIND(hh, ob->by_id, id.ptr, id.len, pc);
    return pc;
}

/* Kafka Connect's, but for the source record's: it came from no topic. */
void outbox_mark_dead(struct outbox *ob, struct parcel *pc, const char *message)
{
    const struct kafka_record from = {.headers = pc->out.headers,
                                      .n_headers = pc->out.n_headers};
    struct dead_letter dl = {ob->en->o.group_id, "VALUE_CONVERTER", pc->dead,
                             arena_printf(&pc->arena, "%s", message ? message : "")};
    pc->out.topic = ob->o.dead_letters_topic;
    pc->out.headers = headers_for_dead_letter(&from, &dl, &pc->arena, &pc->out.n_headers);
}

void outbox_reported(struct outbox *ob, const struct kafka_event *ev)
{
    struct parcel *pc = ev->owner;
    if (ev->error[0] == 0)
        end(ob, pc, true);
    else if (ev->refused)
        refused(ob, pc, ev->error);
    else
        again(ob, pc, ev->error);
}

void outbox_turn(struct outbox *ob)
{
    struct parcel *pc;
    while ((pc = TAILQ_FIRST(&ob->parcels[PARCEL_AGAIN])) != NULL &&
           pc->again_ms <= ob->en->now)
        hand_over(ob, pc);
}

int64_t outbox_next_ms(const struct outbox *ob)
{
    const struct parcel *pc = TAILQ_FIRST(&ob->parcels[PARCEL_AGAIN]);
    return pc != NULL ? pc->again_ms : INT64_MAX;
}

size_t outbox_count(const struct outbox *ob)
{
    return ob->n;
}

size_t outbox_bytes(const struct outbox *ob)
{
    return ob->bytes;
}

bool outbox_is_full(const struct outbox *ob)
{
    return ob->n >= (size_t)ob->o.max_parcels || ob->bytes >= BYTES_MAX;
}

bool outbox_is_high(const struct outbox *ob)
{
    return ob->high;
}

static void move(struct outbox *ob, struct parcel *pc, enum parcel_state to)
{
    TAILQ_REMOVE(&ob->parcels[pc->state], pc, link);
    pc->state = to;
    TAILQ_INSERT_TAIL(&ob->parcels[to], pc, link);
}

static void end(struct outbox *ob, struct parcel *pc, bool stored)
{
    ob->o.done(ob->o.arg, pc, stored);
    TAILQ_REMOVE(&ob->parcels[pc->state], pc, link);
    if (pc->id.ptr != NULL)
        HASH_DELETE(hh, ob->by_id, pc);
    ob->bytes -= pc->bytes;
    ob->n--;
    if (ob->n <= (size_t)ob->o.max_parcels / 2)
        ob->high = false;
    outbox_drop(ob, pc);
}

/* No events topic will take it: it goes, as it is, where somebody finds it. */
static void bury(struct outbox *ob, struct parcel *pc, const char *message)
{
    pc->dead = "TooLarge";
    outbox_mark_dead(ob, pc, message);
}

static bool fits(const struct kafka_output *out, int64_t max_bytes)
{
    return max_bytes <= 0 || (int64_t)answer_record_size(out) <= max_bytes;
}

static void hand_over(struct outbox *ob, struct parcel *pc)
{
    struct engine *en = ob->en;
    if (pc->dead != NULL && !fits(&pc->out, ob->o.dead_letter_max_bytes)) {
        give_up(ob, pc, "it is larger than even the dead letters' topic takes");
        return;
    }
    int rc = en->kafka.produce_event(en->kafka.self, &pc->out, pc);
    if (rc == 0)
        move(ob, pc, PARCEL_SENT);
    else if (rc > 0)
        refused(ob, pc, "it is larger than the producer takes");
    else
        again(ob, pc, "the producer takes nothing now");
}

static void again(struct outbox *ob, struct parcel *pc, const char *why)
{
    int64_t now = clock_now(ob->en->clock);
    if (now >= ob->quiet_until) {
        log_warn("event.again", "%s: %s; trying again, %zu event(s) wait", pc->out.topic,
                 why, ob->n);
        ob->quiet_until = now + SAY_EVERY_MS;
    }
    pc->again_ms = now + AGAIN_MS;
    move(ob, pc, PARCEL_AGAIN);
}

static void refused(struct outbox *ob, struct parcel *pc, const char *why)
{
    pc->refusals++;
    if (pc->refusals < REFUSALS_MAX) {
        again(ob, pc, why);
        return;
    }
    if (pc->dead != NULL) {
        give_up(ob, pc, why);
        return;
    }
    log_error("event.refused", "%s refuses an event (%s): it becomes a dead letter",
              ob->o.events_topic, why);
    pc->refusals = 0;
    bury(ob, pc, why);
    again(ob, pc, why);
}

static void give_up(struct outbox *ob, struct parcel *pc, const char *why)
{
    log_error("event.lost", "a webhook's record of %zu bytes cannot be kept: %s",
              pc->bytes, why);
    end(ob, pc, false);
}
