/* Records on their way to Kafka outside the ticks: each is kept until Kafka has it. Of
 * the files of engine/ only. */
#ifndef ENGINE_OUTBOX_H
#define ENGINE_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/map.h"
#include "kafka/port.h"

struct engine;
struct waiter; /* ingest.c */

enum parcel_state {
    PARCEL_SENT, /* Kafka has it in hand: a report will come */
    PARCEL_AGAIN /* is to be handed over, at again_ms */
};
#define PARCEL_STATES 2

/* One record. Its owner fills id, dead, emitted_at and out, with what lies in the arena.
 */
struct parcel {
    struct str id;      /* ptr NULL: it has none; else one of it is in the box at most */
    const char *dead;   /* why it is a dead letter; NULL: an event */
    int64_t emitted_at; /* epoch ms; NO_NUMBER: not known */
    struct kafka_output out;
    struct arena arena;
    TAILQ_HEAD(waiter_list, waiter) waiters; /* ingest.c's */

    /* outbox.c only */
    TAILQ_ENTRY(parcel) link;
    UT_hash_handle hh; /* by id */
    enum parcel_state state;
    int64_t again_ms;
    int refusals;
    size_t bytes;
};

struct outbox_options {
    const char *events_topic, *dead_letters_topic;
    int64_t event_max_bytes, dead_letter_max_bytes; /* of their topics; -1: not known */
    int64_t max_parcels;
    /* Kafka has it (`stored`), or nothing can have it; then it is gone. */
    void (*done)(void *arg, struct parcel *pc, bool stored);
    void *arg;
};

struct outbox;

struct outbox *outbox_new(struct engine *en, const struct outbox_options *o);
void outbox_free(struct outbox *ob); /* without a word to `done` */

/* An empty one; outbox_send or outbox_drop is next. */
struct parcel *outbox_take(struct outbox *ob);
void outbox_drop(struct outbox *ob, struct parcel *pc);
/* From now on it is the box's; what is too large for its topic becomes a dead letter. It
 * may be done when this returns. */
void outbox_send(struct outbox *ob, struct parcel *pc);
struct parcel *outbox_find(const struct outbox *ob, struct str id); /* or NULL */
/* Gives it the headers of a dead letter, behind those it has. pc->dead is set. */
void outbox_mark_dead(struct outbox *ob, struct parcel *pc, const char *message);

void outbox_reported(struct outbox *ob, const struct kafka_event *ev);
void outbox_turn(struct outbox *ob);
int64_t outbox_next_ms(const struct outbox *ob);

size_t outbox_count(const struct outbox *ob);
size_t outbox_bytes(const struct outbox *ob);
bool outbox_is_full(const struct outbox *ob);
/* Three quarters of it were full, and not yet half of it is free again. */
bool outbox_is_high(const struct outbox *ob);

#endif
