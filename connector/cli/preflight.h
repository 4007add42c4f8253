/* What must be true before the connector may run, asked in the same way by `run` (which
 * stops at the first failure) and `check` (which tells everything). */
#ifndef CLI_PREFLIGHT_H
#define CLI_PREFLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/launch.h"
#include "cli/settings.h"

enum check_state { CHECK_OK, CHECK_WARN, CHECK_FAIL, CHECK_SKIP };

/* One finding. */
struct check_line {
    enum check_state state;
    const char *check; /* "kafka", "topic", ... */
    const char *name;  /* what was looked at: a topic, a key */
    const char *message;
    const char *fix; /* NULL: nothing to do */
};

struct preflight {
    const struct settings *s;
    struct launch
        *launch; /* results_partitions and results_record_max_bytes are filled */
    bool create; /* create what is missing, when the settings say so */
    void (*say)(void *arg, const struct check_line *line);
    /* What no broker can answer just now is asked again, and this told each time. NULL:
     * it fails. */
    void (*waiting)(void *arg, const char *why);
    void *arg;
    size_t failed;
};

/* Says one line; message is printf-like. */
void preflight_say(struct preflight *p, enum check_state state, const char *check,
                   const char *name, const char *fix, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));

/* Each returns 0, or -1 when something failed (and was said). */
int preflight_kafka_settings(struct preflight *p);
int preflight_topics(struct preflight *p);
/* Which topics of list items are there: one line, no failure; a list needs only its own.
 */
void preflight_items_topics(struct preflight *p);
int preflight_transactions(struct preflight *p);
/* Offsets must outlive the commands, and hold the ledger's string: the window shrinks to
 * what the broker takes. */
int preflight_keeping(struct preflight *p);
/* Results without a position: commands would be executed again. */
int preflight_offsets(struct preflight *p);

#endif
