/* Growing bytes with a ceiling. Owns data until buf_fini or buf_take.
 * Invariant: len <= max, and data[len] is NUL whenever data is not NULL. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { FIRST_BYTES = 64 };

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max < SIZE_MAX ? max : SIZE_MAX - 1};
}

void buf_fini(struct buf *b)
{
    mem_free(b->data);
    *b = (struct buf){.max = b->max};
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->over = false;
    if (b->data != NULL)
        b->data[0] = '\0';
}

int buf_reserve(struct buf *b, size_t more)
{
    size_t need, cap;

    if (b->over || more > b->max - b->len) {
        b->over = true;
        return -1;
    }
    need = b->len + more + 1;
    if (need <= b->cap)
        return 0;
    cap = b->cap > 0 ? b->cap : FIRST_BYTES;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    if (cap > b->max + 1)
        cap = b->max + 1;
    b->data = mem_realloc(b->data, cap);
    b->data[b->len] = '\0';
    b->cap = cap;
    return 0;
}

int buf_add(struct buf *b, const void *data, size_t len)
{
    if (buf_reserve(b, len) != 0)
        return -1;
    if (len > 0)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
    return 0;
}

int buf_add_str(struct buf *b, struct str s)
{
    return buf_add(b, s.ptr, s.len);
}

int buf_add_cstr(struct buf *b, const char *s)
{
    return buf_add(b, s, strlen(s));
}

int buf_add_char(struct buf *b, char c)
{
    return buf_add(b, &c, 1);
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    char text[256];
    va_list ap, again;
    int len, rc = -1;

    va_start(ap, fmt);
    va_copy(again, ap);
    len = vsnprintf(text, sizeof(text), fmt, ap);
    if (len < 0) {
        b->over = true;
    } else if ((size_t)len < sizeof(text)) {
        rc = buf_add(b, text, (size_t)len);
    } else if (buf_reserve(b, (size_t)len) == 0) {
        (void)vsnprintf(b->data + b->len, (size_t)len + 1, fmt, again);
        b->len += (size_t)len;
        rc = 0;
    }
    va_end(again);
    va_end(ap);
    return rc;
}

struct str buf_str(const struct buf *b)
{
    return (struct str){b->data != NULL ? b->data : "", b->len};
}

char *buf_take(struct buf *b, size_t *len)
{
    char *data = b->data != NULL ? b->data : mem_strdup("");

    if (len != NULL)
        *len = b->len;
    *b = (struct buf){.max = b->max};
    return data;
}
