/* Growing bytes. Every buffer is created with the largest size it may ever reach; an
 * addition beyond it fails, changes nothing but `over`, and every later addition fails
 * too, so a caller may write a whole message and look once. Always NUL-terminated behind
 * len (not counted). */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct buf {
    char *data; /* NULL until the first addition */
    size_t len, cap, max;
    bool over; /* an addition was refused */
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);
void buf_reset(struct buf *b); /* keeps the memory */
int buf_add(struct buf *b, const void *data, size_t len);
int buf_add_str(struct buf *b, struct str s);
int buf_add_cstr(struct buf *b, const char *s);
int buf_add_char(struct buf *b, char c);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int buf_reserve(struct buf *b,
                size_t more); /* room for `more`; then write at data + len */
struct str buf_str(const struct buf *b);
char *buf_take(struct buf *b,
               size_t *len); /* memory passes to the caller (mem_free); b is empty */

#endif
