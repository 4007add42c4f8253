/* The pages of status.listen: /metrics, /healthz, /readyz, /status. */
#ifndef CLI_PAGES_H
#define CLI_PAGES_H

#include "base/err.h"
#include "base/loop.h"
#include "engine/engine.h"

struct pages;

/* `health` is asked at each request. */
struct pages *pages_new(struct loop *lo, const char *listen, struct engine *en,
                        void (*health)(void *arg, struct engine_health *out), void *arg,
                        struct err *e);
void pages_free(struct pages *pg);
int pages_port(const struct pages *pg);        /* the one taken for port 0 */
int64_t pages_wait_ms(const struct pages *pg); /* -1: no deadline */
void pages_turn(struct pages *pg);

#endif
