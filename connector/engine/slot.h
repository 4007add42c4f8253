/* A slot: one command record from Kafka to its committed result. Its state is an enum
 * and, where it waits, a list; slot_move (slot.c) is the only mover and checks the
 * transition. */
#ifndef ENGINE_SLOT_H
#define ENGINE_SLOT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/timers.h"
#include "codec/records/command.h"
#include "codec/records/result.h"
#include "engine/headers.h"
#include "front/catalogue.h"
#include "front/probe.h"
#include "front/quota.h"
#include "front/request.h"
#include "kafka/port.h"

enum slot_state {
    SLOT_QUEUED,   /* in its lane, behind others or not opened yet */
    SLOT_TWIN,     /* head of its lane; waits for the one with the same command id */
    SLOT_TOPIC,    /* head of its lane; its reply topic is being asked for */
    SLOT_SCHEMA,   /* head of its lane; the registry is asked for its record's schema, or
                      for that of its items */
    SLOT_FETCH,    /* head of its lane; wants to fetch a file that it has the URL of */
    SLOT_FETCHING, /* that request runs */
    SLOT_READY,    /* head of its lane; wants to call Front */
    SLOT_WAITING,  /* head of its lane; a timer will make it READY */
    SLOT_ARMING,   /* class C/D: waits for the tick that arms it */
    SLOT_CALLING,  /* a request runs */
    SLOT_CONFIRM,  /* 401: waits for GET /me */
    SLOT_DOUBT,    /* may have been executed: a timer says when to look */
    SLOT_LOOKUP,   /* wants to ask Front whether it was */
    SLOT_PROBING,  /* that request runs */
    SLOT_ORPHAN,   /* its partition went away: its call or result is kept for a lease */
    SLOT_ANSWERED, /* outcome known, out of its lane; waits for a tick */
    SLOT_TICKING,  /* its result is in the tick that runs */
    SLOT_FREE
};
#define SLOT_STATES 18
extern const char *const slot_state_names[SLOT_STATES];

/* The records a slot adds to its tick: the result and a reply copy, or a dead letter. */
#define SLOT_OUTPUTS 2

/* What is known of a call that may have been executed: doubt.c. */
struct doubt {
    struct probe probe;
    bool executed; /* a complete 2xx head came: only what it made is looked for */
    bool resent;   /* a look proved that it was not executed, once already */
    bool retry;    /* the user chose to send it again */
    int calls;     /* of this look */
    int looks;
    int failures, tries;     /* since the last answer: that may have reached Front; all */
    const char *kind, *text; /* of the IN_DOUBT it may end as */
};

struct topic; /* topics.c */
struct items; /* items.c */
struct fetch; /* fetch.c */

struct slot {
    enum slot_state state;
    TAILQ_ENTRY(slot) link;       /* the engine's list of its state */
    TAILQ_ENTRY(slot) in_lane;    /* while it is in a lane */
    TAILQ_ENTRY(slot) in_part;    /* always, but SLOT_FREE */
    TAILQ_ENTRY(slot) in_opening; /* while to_open */
    bool to_open;                 /* head of its lane now, to be opened in this turn */
    struct lane *lane;            /* NULL once the outcome is known */
    struct part *part;
    struct kafka_record rec;
    int64_t offset;
    uint64_t arrival;
    int64_t received_at; /* wall ms */
    bool opened;         /* headers, command, op and request are filled */
    bool found_armed;    /* by us, the new owner */
    bool explicit_id;    /* its command_id is the user's */
    bool holds_id;       /* in part->ids: no other with that id runs */
    UT_hash_handle by_id;

    struct arena arena;
    struct headers_in headers;
    struct command cmd;
    const struct op *op; /* NULL: `call` without a row */
    struct request req;
    struct str command_id, operation;
    const char *refusal; /* kind of a REJECTED that waits for its reply topic, or NULL */
    const char *refusal_text;
    char digest[33];
    struct fetch *fetch; /* in the arena; NULL: no file was fetched yet */

    /* attempts */
    struct call *call;          /* CALLING, PROBING */
    struct call *kept_call;     /* ORPHAN: how that call ended; in the arena */
    enum slot_state kept_state; /* ORPHAN: what it goes back to */
    struct engine *en;          /* for the timer */
    struct timer timer;
    int last_status;    /* of the last answer; 0: none */
    int attempts;       /* that may have reached Front */
    int tries;          /* of any kind: drives the backoff */
    int64_t first_try;  /* monotonic; 0: none */
    int64_t started_at; /* wall ms of the first request; 0: none */
    bool retargeted;
    bool armed;          /* the ledger says ARMED */
    bool arm_in_tick;    /* its arming is in the tick that runs */
    uint32_t arm_second; /* Front's clock, of the last arming */
    struct doubt *doubt; /* in the arena; NULL: never was in doubt */
    int64_t send_by;     /* boot ms: the gate closes */
    bool has_ticket;
    uint64_t ticket;

    /* outcome */
    enum outcome outcome;
    bool dead_letter;
    char *result; /* encoded, of its own size; NULL: none yet */
    size_t result_len;
    size_t bytes_waiting; /* counted for it */
    struct kafka_output outputs[SLOT_OUTPUTS];
    size_t n_outputs;
    const struct topic *reply_topic; /* NULL: none */
    const struct topic *items_topic; /* of a list; NULL: none */
    struct items *items;             /* what goes there with the result; NULL: none */
    bool became_job;                 /* its result comes later: no outputs but ... */
    struct kafka_output job;         /* ... the items and this record of it */
    const char *topic_asked;         /* TOPIC: which one; interned */
    bool slimmed;                    /* the result was made smaller already */
};

TAILQ_HEAD(slot_list, slot);

static inline bool slot_repeatable(const struct slot *slot)
{
    return slot->req.klass == CLASS_A || slot->req.klass == CLASS_B;
}

#endif
