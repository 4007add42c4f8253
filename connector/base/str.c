/* Slices and text helpers: comparing, splitting, UTF-8, whole numbers, hex, nearest word.
 * Owns nothing. Invariant: no function reads beyond len or needs a NUL. */
#include "base/str.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

/* Longest text that str_distance looks at; anything longer is far from everything. */
enum { DISTANCE_MAX_LEN = 128 };

struct str str_of(const char *s)
{
    return (struct str){s, s == NULL ? 0 : strlen(s)};
}

bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool str_is(struct str a, const char *b)
{
    return str_eq(a, str_of(b));
}

bool str_starts(struct str a, const char *prefix)
{
    size_t n = strlen(prefix);

    return a.len >= n && (n == 0 || memcmp(a.ptr, prefix, n) == 0);
}

struct str str_trim(struct str s)
{
    while (s.len > 0 && isspace((unsigned char)s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && isspace((unsigned char)s.ptr[s.len - 1]))
        s.len--;
    return s;
}

struct str str_split(struct str *s, char sep)
{
    struct str head = *s;
    const char *at = s->len > 0 ? memchr(s->ptr, sep, s->len) : NULL;

    if (at == NULL) {
        *s = STR_NULL;
        return head;
    }
    head.len = (size_t)(at - s->ptr);
    s->ptr = at + 1;
    s->len -= head.len + 1;
    return head;
}

/* Bytes of the sequence at p, or 0 when it is not well-formed (Unicode table 3-7). */
static size_t utf8_step(const unsigned char *p, size_t left)
{
    unsigned char low = 0x80, high = 0xbf; /* of the second byte */
    size_t n, i;

    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (left < n)
        return 0;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (p[1] < low || p[1] > high)
        return 0;
    for (i = 2; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

bool utf8_valid(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    size_t i = 0;

    while (i < s.len) {
        size_t n;
        uint64_t eight;

        if (s.len - i >= sizeof(eight)) {
            memcpy(&eight, p + i, sizeof(eight));
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                i += sizeof(eight);
                continue;
            }
        }
        n = utf8_step(p + i, s.len - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

bool text_printable(struct str s)
{
    size_t i;

    for (i = 0; i < s.len; i++)
        if (s.ptr[i] < 0x20 || s.ptr[i] > 0x7e)
            return false;
    return true;
}

int parse_i64(struct str s, int64_t min, int64_t max, int64_t *out, struct err *e)
{
    bool negative = s.len > 0 && s.ptr[0] == '-';
    size_t i = s.len > 0 && (s.ptr[0] == '-' || s.ptr[0] == '+') ? 1 : 0;
    int64_t value = 0;

    if (i == s.len)
        return err_set(e, ERR_INPUT, "not a whole number");
    for (; i < s.len; i++) {
        int digit = s.ptr[i] - '0';

        if (digit < 0 || digit > 9)
            return err_set(e, ERR_INPUT, "not a whole number");
        /* Counted downwards: INT64_MIN has no positive twin. */
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, digit, &value))
            return err_set(e, ERR_INPUT, "out of range %" PRId64 "..%" PRId64, min, max);
    }
    if (!negative && __builtin_sub_overflow(0, value, &value))
        return err_set(e, ERR_INPUT, "out of range %" PRId64 "..%" PRId64, min, max);
    if (value < min || value > max)
        return err_set(e, ERR_INPUT, "out of range %" PRId64 "..%" PRId64, min, max);
    *out = value;
    return 0;
}

void hex_encode(const void *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = data;
    size_t i;

    for (i = 0; i < len; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * len] = '\0';
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t str_distance(struct str a, struct str b, size_t most)
{
    size_t row[DISTANCE_MAX_LEN + 1];
    size_t gap = a.len > b.len ? a.len - b.len : b.len - a.len;
    size_t i, j;

    if (gap > most || a.len > DISTANCE_MAX_LEN || b.len > DISTANCE_MAX_LEN)
        return most + 1;
    for (j = 0; j <= b.len; j++)
        row[j] = j;
    for (i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        size_t best = i;

        row[0] = i;
        for (j = 1; j <= b.len; j++) {
            size_t change = diagonal + (a.ptr[i - 1] == b.ptr[j - 1] ? 0 : 1);

            diagonal = row[j];
            row[j] = smaller(change, smaller(row[j], row[j - 1]) + 1);
            best = smaller(best, row[j]);
        }
        if (best > most)
            return most + 1;
    }
    return smaller(row[b.len], most + 1);
}

const char *str_nearest(struct str word, const char *(*name)(const void *arg, size_t i),
                        const void *arg)
{
    size_t most = word.len / 3 > 0 ? word.len / 3 : 1;
    size_t best = most + 1;
    const char *nearest = NULL;
    const char *prefixed = NULL; /* begins with the word: taken when nothing is nearer */
    size_t i;

    for (i = 0;; i++) {
        const char *s = name(arg, i);
        size_t d;

        if (s == NULL)
            break;
        d = str_distance(word, str_of(s), most);
        if (d < best) {
            best = d;
            nearest = s;
        }
        if (word.len >= 3 && strlen(s) > word.len &&
            strncmp(s, word.ptr, word.len) == 0 &&
            (prefixed == NULL || strlen(s) < strlen(prefixed)))
            prefixed = s;
    }
    return nearest != NULL ? nearest : prefixed;
}
