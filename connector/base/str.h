/* Slices and the text helpers everybody needs. A struct str borrows: it never owns what
 * it points to and is not NUL-terminated. ptr NULL means "absent", which is not "empty".
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct str {
    const char *ptr;
    size_t len;
};

#define STR_LIT(s) ((struct str){"" s, sizeof(s) - 1})
#define STR_NULL ((struct str){NULL, 0})
#define STR_ARG(s) (int)(s).len, (s).ptr /* for "%.*s" */

struct str str_of(const char *s); /* NULL gives STR_NULL */
bool str_eq(struct str a, struct str b);
bool str_is(struct str a, const char *b);
bool str_starts(struct str a, const char *prefix);
struct str str_trim(struct str s);
/* Cuts `s` at the first `sep`: returns what is before, leaves what is after (ptr NULL: no
 * more). */
struct str str_split(struct str *s, char sep);

bool utf8_valid(
    struct str s); /* strict: no surrogates, no overlong forms, no NUL excluded */
bool text_printable(struct str s); /* ASCII 0x20..0x7e only */

/* Whole number with optional sign; the whole slice must be it, within [min, max]. */
int parse_i64(struct str s, int64_t min, int64_t max, int64_t *out, struct err *e);

/* Lower-case hex; out holds 2 * len + 1. */
void hex_encode(const void *data, size_t len, char *out);

/* Edit distance, capped at `most` + 1. */
size_t str_distance(struct str a, struct str b, size_t most);

/* The candidate nearest to `word` by edit distance (a third of its length at the most,
 * and prefixes count as near), or NULL. `name` gives candidate i, NULL ends the list. */
const char *str_nearest(struct str word, const char *(*name)(const void *arg, size_t i),
                        const void *arg);

#endif
