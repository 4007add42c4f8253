/* What is sent to webhooks: each delivery with its tries, and the log of the last ones.
 * A delivery is in exactly one state and on that state's list; the log owns it. */
#ifndef SANDBOX_DELIVERIES_H
#define SANDBOX_DELIVERIES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/timers.h"

#include "post.h"

#define DELIVERIES_MAX 20000
#define DELIVERY_TRIES_MAX 11

struct sandbox;
struct hook;

/* What is done to a delivery so that the receiver must refuse it. */
enum attack {
    ATTACK_BAD_SIGNATURE = 1,
    ATTACK_NO_SIGNATURE = 2,
    ATTACK_TWO_SIGNATURES = 4,
    ATTACK_OTHER_KEY = 8,
    ATTACK_FLIP_BIT = 16,
    ATTACK_OLD_TIMESTAMP = 32
};
#define ATTACKS 6
extern const char *const attack_names[ATTACKS]; /* in the order of their bits */

enum delivery_state {
    DELIVERY_WAITING, /* for its delay or its next try */
    DELIVERY_READY,
    DELIVERY_RUNNING,
    DELIVERY_DONE,
    DELIVERY_FAILED,
    DELIVERY_SKIPPED /* never sent: see why */
};

/* An order: what to send. Texts are copied. */
struct parcel {
    struct hook *hook;
    const char *method, *type, *webhook_type, *event; /* NULL: "" (method: POST) */
    const char *challenge;                            /* NULL: none */
    char *body; /* mem_alloc'd, taken over; NULL: none, and "undefined" is signed */
    size_t len;
    const char *skip; /* why it is not sent; NULL: it is */
    unsigned attacks;
    int64_t delay_ms, timestamp_offset_ms;
};

struct attempt {
    int64_t t_ms, took_ms;
    int status; /* 0: no answer */
    char why[64];
};

struct delivery {
    uint64_t n;
    struct sandbox *sb;
    struct hook *hook;
    enum delivery_state state;
    char method[8], event[24], type[48], webhook_type[48], challenge[40], why[64];
    char *body;
    size_t len;
    unsigned attacks;
    int64_t timestamp_offset_ms;
    struct timer timer;
    struct post post;
    char lines[4][128]; /* headers */
    const char *headers[8];
    size_t n_headers;
    struct attempt tries[DELIVERY_TRIES_MAX];
    int n_tries;
    char *answer; /* the beginning of the last answer; NULL: none */
    TAILQ_ENTRY(delivery) link;
};
TAILQ_HEAD(delivery_list, delivery);

struct deliveries {
    struct delivery **ring;
    uint64_t last; /* n of the newest; 0: none */
    size_t open;   /* waiting, ready or running */
};

void deliveries_init(struct deliveries *ds);
void deliveries_fini(struct sandbox *sb);
/* Cancels what is not over and forgets all. */
void deliveries_clear(struct sandbox *sb);
/* NULL: the log is full of deliveries that are not over (hook->lost counts it). */
struct delivery *delivery_add(struct sandbox *sb, const struct parcel *pc);
/* Reaps what ended; starts what is ready, as many at once as the hook allows. */
void deliveries_turn(struct sandbox *sb);
/* Everything of this hook that is not over is skipped. */
void deliveries_drop(struct sandbox *sb, struct hook *hook, const char *why);
/* event NULL: all. */
json_t *deliveries_dump(const struct deliveries *ds, uint64_t since, size_t limit,
                        const char *event);

#endif
