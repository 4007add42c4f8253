/* The server of Front's webhooks: webhooks.listen. It hands each request to the engine
 * and gives its answer back; the keys are read again when their files change. */
#ifndef CLI_HOOKS_H
#define CLI_HOOKS_H

#include "base/loop.h"
#include "cli/launch.h"
#include "cli/settings.h"
#include "engine/engine.h"

struct hooks;

/* The engine begins to take webhooks, and then the port is opened. */
struct hooks *hooks_new(struct loop *lo, struct settings *s, const struct launch *l,
                        struct engine *en, struct err *e);
void hooks_free(struct hooks *hk); /* before the engine */
int hooks_port(const struct hooks *hk);
int64_t hooks_wait_ms(const struct hooks *hk);
void hooks_turn(struct hooks *hk);
/* Looks at the files the keys come from; says it in the log. */
void hooks_read_keys(struct hooks *hk);

#endif
