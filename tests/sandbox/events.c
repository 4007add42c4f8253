/* The ring of events. */
#include "events.h"

#include <string.h>

#include "base/mem.h"

void events_init(struct events *es)
{
    es->ring = mem_array(EVENTS_MAX, sizeof *es->ring);
    es->last = 0;
}

void events_fini(struct events *es)
{
    mem_free(es->ring);
    es->ring = NULL;
}

struct event *events_push(struct events *es)
{
    struct event *ev = &es->ring[++es->last % EVENTS_MAX];
    memset(ev, 0, sizeof *ev);
    ev->n = es->last;
    return ev;
}

uint64_t events_first(const struct events *es)
{
    return es->last > EVENTS_MAX ? es->last - EVENTS_MAX + 1 : 1;
}

const struct event *events_get(const struct events *es, uint64_t n)
{
    if (n < events_first(es) || n > es->last)
        return NULL;
    return &es->ring[n % EVENTS_MAX];
}
