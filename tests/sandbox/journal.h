/* What was asked, in order: a ring of entries. Bodies over 4 KiB are kept as their
 * SHA-256. */
#ifndef SANDBOX_JOURNAL_H
#define SANDBOX_JOURNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define JOURNAL_BODY_MAX 4096

struct journal_entry;

struct journal {
    struct journal_entry **ring;
    size_t max;
    uint64_t first, last; /* n of the oldest and newest; last 0: empty */
};

struct journal_line {
    int64_t t_ms;
    const char *method, *uri, *operation; /* operation is static text or NULL */
    char repeat_class;
    int status;        /* 0: no answer was given */
    const char *fault; /* static text or NULL */
    bool executed;
    const char *ids; /* space-separated path ids */
    const char *made_id;
    struct str body;
};

void journal_init(struct journal *jn, size_t max);
void journal_fini(struct journal *jn);
void journal_clear(struct journal *jn);
void journal_add(struct journal *jn, const struct journal_line *line);
json_t *journal_dump(const struct journal *jn, uint64_t since, size_t limit);
/* Calls of class C and D with equal method, path and body that were executed twice.
 * allow: text found in path, body or operation excuses an entry; NULL: none. */
json_t *journal_repeats(const struct journal *jn, const char *allow);

#endif
