/* The events of GET /events: a ring, rendered when read. An event keeps ids, not objects,
 * so it outlives what it tells of. */
#ifndef SANDBOX_EVENTS_H
#define SANDBOX_EVENTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define EVENTS_MAX 20000
#define EVENT_ID_MAX 24

/* One row per type of Front's API description. */
struct event_type {
    const char *name;    /* "inbound" */
    const char *webhook; /* "inbound_received"; NULL: no application webhook has it */
    const char *source;  /* _meta.type of the source; NULL: whoever did it */
    const char *target;  /* _meta.type of the target; NULL: none */
};

#define EVENT_TYPES 37
extern const struct event_type event_types[EVENT_TYPES];
const struct event_type *event_type_find(const char *name); /* NULL: none */
const char *event_source_find(const char *name); /* a _meta.type of sources; NULL: none */

/* Why webhooks do not carry an event. */
enum event_reach {
    REACH_ALL,
    REACH_LIST,  /* whoever made it sends it himself: /_sandbox/trigger */
    REACH_RULES, /* a private conversation: rules see it, applications do not */
    REACH_MASS   /* an import of old mail */
};

struct event {
    uint64_t n; /* 1-based, in the order of emitted_at */
    const struct event_type *type;
    double emitted_at;
    const char *source_type; /* static text */
    enum event_reach reach;
    char conversation[EVENT_ID_MAX], target[EVENT_ID_MAX], source[EVENT_ID_MAX],
        inbox[EVENT_ID_MAX];
};

struct events {
    struct event *ring;
    uint64_t last; /* n of the newest; 0: none */
    uint64_t sent; /* webhooks were made up to this one */
    uint64_t base; /* added to n for the id */
};

void events_init(struct events *es, uint64_t seed);
void events_fini(struct events *es);
struct event *events_push(struct events *es); /* zeroed but for n */
const struct event *events_get(const struct events *es,
                               uint64_t n); /* NULL: gone or none */
uint64_t events_first(const struct events *es);
/* "evt_" and base 36, as Front's; the first three are evt_1 to evt_3. */
void event_id(const struct events *es, uint64_t n, char out[EVENT_ID_MAX]);
const struct event *events_find(const struct events *es, const char *id);

json_t *events_dump(const struct events *es);
int events_restore(struct events *es, const json_t *dump, struct err *e);

#endif
