/* For the codec's tests: bytes of Avro by hand, and a store with schemas of the test's
 * own. */
#ifndef TESTS_UNIT_CODEC_HELP_H
#define TESTS_UNIT_CODEC_HELP_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/avro.h"
#include "support.h"

/* A literal that may hold NULs. */
#define BYTES(s) ((struct str){s, sizeof(s) - 1})

/* A store that knows the schema files given, as schemas.dir; NULL and e when it refuses
 * one. */
static inline struct schemas *store_try(const char *const *texts, size_t n, struct err *e)
{
    char dir[] = "/tmp/schemas-XXXXXX";
    struct schemas *ss;
    char path[64];
    size_t i;

    assert_non_null(mkdtemp(dir));
    for (i = 0; i < n; i++) {
        FILE *f;

        (void)snprintf(path, sizeof(path), "%s/%zu.avsc", dir, i);
        f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(texts[i], 1, strlen(texts[i]), f), strlen(texts[i]));
        assert_int_equal(fclose(f), 0);
    }
    ss = schemas_new(dir, e);
    for (i = 0; i < n; i++) {
        (void)snprintf(path, sizeof(path), "%s/%zu.avsc", dir, i);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(dir), 0);
    return ss;
}

static inline struct schemas *store(const char *text)
{
    struct err e = ERR_INIT;
    struct schemas *ss = store_try(&text, text != NULL ? 1 : 0, &e);

    if (ss == NULL)
        fail_msg("%s", e.text);
    return ss;
}

static inline uint64_t fingerprint_of(const char *text)
{
    struct err e = ERR_INIT;
    struct avro_form *form = avro_form_new(str_of(text), &e);
    struct buf canonical;
    uint64_t fingerprint;

    assert_non_null(form);
    buf_init(&canonical, SIZE_MAX);
    avro_canonical(form, &canonical);
    fingerprint = avro_fingerprint(buf_str(&canonical));
    buf_fini(&canonical);
    avro_form_free(form);
    return fingerprint;
}

static inline void put_long(struct buf *out, int64_t n)
{
    uint64_t zigzag = ((uint64_t)n << 1) ^ (n < 0 ? UINT64_MAX : 0);

    for (; zigzag >= 0x80; zigzag >>= 7)
        (void)buf_add_char(out, (char)(zigzag | 0x80));
    (void)buf_add_char(out, (char)zigzag);
}

static inline void put_text(struct buf *out, const char *text)
{
    put_long(out, (int64_t)strlen(text));
    (void)buf_add_cstr(out, text);
}

/* A nullable text of a union ["null", "string"]. */
static inline void put_maybe(struct buf *out, const char *text)
{
    put_long(out, text != NULL ? 1 : 0);
    if (text != NULL)
        put_text(out, text);
}

static inline void put_frame(struct buf *out, uint64_t fingerprint)
{
    int i;

    (void)buf_add(out, "\xc3\x01", 2);
    for (i = 0; i < 8; i++)
        (void)buf_add_char(out, (char)(fingerprint >> (8 * i)));
}

/* A small generator with a seed, for mutations that are the same in every run. */
static inline uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* One to four changes: a byte changed, taken out or doubled, or the end cut off. */
static inline void mutate(struct buf *b, size_t from, uint64_t *seed)
{
    static const unsigned char nasty[] = {0,    1,    2,   0x7f, 0x80,
                                          0xfe, 0xff, '"', '\\', '{'};
    size_t changes = 1 + random_next(seed) % 4;

    while (changes-- > 0 && b->len > from) {
        size_t at = from + random_next(seed) % (b->len - from);

        switch (random_next(seed) % 5) {
        case 0:
            b->data[at] = (char)random_next(seed);
            break;
        case 1:
            b->data[at] = (char)nasty[random_next(seed) % sizeof(nasty)];
            break;
        case 2:
            memmove(b->data + at, b->data + at + 1, b->len - at - 1);
            b->len--;
            break;
        case 3:
            assert_int_equal(buf_add_char(b, 0), 0);
            memmove(b->data + at + 1, b->data + at, b->len - at - 1);
            break;
        default:
            b->len = at;
            break;
        }
    }
}

#endif
