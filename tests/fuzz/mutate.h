/* Chance from a seed, and changes of bytes. */
#ifndef TESTS_FUZZ_MUTATE_H
#define TESTS_FUZZ_MUTATE_H

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

enum { MUTATE_MAX = 1 << 16 }; /* bytes of what is changed */

struct chance {
    uint64_t state;
};

static inline uint64_t chance_next(struct chance *c)
{
    c->state ^= c->state << 13;
    c->state ^= c->state >> 7;
    c->state ^= c->state << 17;
    return c->state;
}

static inline void chance_seed(struct chance *c, uint64_t seed)
{
    c->state = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
    for (int i = 0; i < 4; i++)
        (void)chance_next(c);
}

static inline size_t below(struct chance *c, size_t n)
{
    return n > 0 ? chance_next(c) % n : 0;
}

static inline void insert(struct buf *b, size_t at, const char *data, size_t len)
{
    if (len == 0 || b->len + len > MUTATE_MAX)
        return;
    if (buf_reserve(b, len) != 0)
        abort();
    memmove(b->data + at + len, b->data + at, b->len - at);
    memcpy(b->data + at, data, len);
    b->len += len;
}

static inline void take_out(struct buf *b, size_t at, size_t len)
{
    memmove(b->data + at, b->data + at + len, b->len - at - len);
    b->len -= len;
}

/* What is likely to matter where the bytes are read. */
struct language {
    const char *const *tokens, *const *units; /* put in; put in many times over */
    size_t n_tokens, n_units;
};

static inline void repeat(struct chance *c, const struct language *lang, struct buf *b,
                          size_t at)
{
    const char *unit = lang->units[below(c, lang->n_units)];

    for (size_t n = below(c, 3000); n > 0; n--)
        insert(b, at, unit, strlen(unit));
}

/* One change: something in, out, or other bits; of `other` a piece is put in. */
static inline void change_bytes(struct chance *c, const struct language *lang,
                                struct str other, struct buf *b)
{
    size_t at = below(c, b->len + 1), from = below(c, other.len + 1);
    const char *token = lang->tokens[below(c, lang->n_tokens)];
    char byte = (char)chance_next(c);

    switch (below(c, 9)) {
    case 0:
        insert(b, at, &byte, 1);
        return;
    case 1:
        insert(b, at, token, strlen(token));
        return;
    case 2:
        insert(b, at, other.ptr + from, below(c, other.len - from + 1));
        return;
    case 3:
        if (below(c, 20) == 0)
            repeat(c, lang, b, at);
        return;
    case 4:
        b->len = below(c, 10) == 0 ? at : b->len;
        return;
    default:
        break;
    }
    if (at == b->len)
        return;
    switch (below(c, 3)) {
    case 0:
        b->data[at] = (char)(b->data[at] ^ 1 << below(c, 8));
        return;
    case 1:
        take_out(b, at, 1 + below(c, b->len - at < 40 ? b->len - at : 40));
        return;
    default:
        take_out(b, at, 1);
        insert(b, at, token, strlen(token));
        return;
    }
}

#endif
