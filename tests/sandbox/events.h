/* The events of GET /events: a ring, rendered when read. An event keeps ids, not objects.
 */
#ifndef SANDBOX_EVENTS_H
#define SANDBOX_EVENTS_H

#include <stddef.h>
#include <stdint.h>

#define EVENTS_MAX 20000
#define EVENT_ID_MAX 24

struct event {
    uint64_t n;       /* 1-based; the id is evt_ + hex of it */
    const char *type; /* static text */
    double emitted_at;
    char conversation[EVENT_ID_MAX], target[EVENT_ID_MAX], source[EVENT_ID_MAX];
};

struct events {
    struct event *ring;
    uint64_t last; /* n of the newest; 0: none */
};

void events_init(struct events *es);
void events_fini(struct events *es);
struct event *events_push(struct events *es); /* zeroed but for n */
const struct event *events_get(const struct events *es,
                               uint64_t n); /* NULL: gone or none */
uint64_t events_first(const struct events *es);

#endif
