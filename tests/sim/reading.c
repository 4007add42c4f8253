/* The ledger's string, read by hand: with a parser of its own writer and reader cannot be
 * wrong in the same way. Pure. */
#include "checker.h"

#include <string.h>

enum { ARMED_MAX = 128, STRING_MAX = 3500 };

static uint32_t crc_of(const char *s, size_t n)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < n; i++) {
        crc ^= (unsigned char)s[i];
        for (int b = 0; b < 8; b++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    return ~crc;
}

static int digit64(char c)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != 0 ? strchr(digits, c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

/* Whole numbers of base 10 or 16, no sign; moves *s behind it. -1: none. */
static int64_t number(const char **s, int base)
{
    static const char digits[] = "0123456789abcdef";
    int64_t n = 0;
    const char *from = *s;
    for (; **s != 0; (*s)++) {
        const char *at = memchr(digits, **s, (size_t)base);
        if (at == NULL)
            break;
        n = n * base + (at - digits);
    }
    return *s > from && *s - from < 12 ? n : -1;
}

static const char *read_bits(const char *s, struct reading *r)
{
    size_t bit = 0;
    for (; *s != ';'; s += 4) {
        int d[4], pads = 0;
        for (int i = 0; i < 4; i++) {
            d[i] = s[i] == '=' && i >= 2 ? 0 : digit64(s[i]);
            pads += s[i] == '=';
            if (d[i] < 0)
                return "bitmap";
        }
        uint32_t three = (uint32_t)(d[0] << 18 | d[1] << 12 | d[2] << 6 | d[3]);
        for (int i = 0; i < 3 - pads; i++) {
            unsigned byte = three >> (16 - 8 * i) & 255;
            for (int b = 0; b < 8; b++, bit++)
                if (bit < READING_SPAN && byte >> b & 1)
                    r->done[bit] = true;
        }
    }
    return NULL;
}

static const char *read_armed(const char *s, struct reading *r)
{
    int n = 0;
    int64_t last = -1;
    while (*s != ';') {
        int64_t delta = number(&s, 10), second = -1;
        if (delta > last && delta < READING_SPAN && *s++ == '+')
            second = number(&s, 16);
        if (second < 0 || ++n > ARMED_MAX || r->done[delta])
            return "armed list";
        r->armed[delta] = true;
        r->second[delta] = (uint32_t)second;
        last = delta;
        if (*s == ',')
            s++;
        else if (*s != ';')
            return "armed list";
    }
    return NULL;
}

const char *reading_of(const char *text, int64_t line, struct reading *r)
{
    memset(r->done, 0, sizeof r->done);
    memset(r->armed, 0, sizeof r->armed);
    r->line = line;
    if (text == NULL)
        return "empty";
    size_t len = strlen(text);
    const char *crc = text + len - 8;
    if (len < 20 || len >= STRING_MAX || crc[-1] != ';')
        return "length";
    for (size_t i = 0; i < len; i++)
        if (text[i] < 0x20 || text[i] > 0x7e)
            return "not ASCII";
    const char *end = crc;
    if (number(&end, 16) != crc_of(text, len - 9) || *end != 0)
        return "crc";
    if (strncmp(text, "FC1;l=", 6) != 0)
        return "magic";
    const char *s = text + 6;
    r->lease_ms = number(&s, 10);
    if (r->lease_ms < 5000 || r->lease_ms > 3600000 || strncmp(s, ";d=", 3) != 0)
        return "lease";
    const char *bad = read_bits(s + 3, r);
    const char *armed = strstr(s, ";a=");
    if (bad != NULL || armed == NULL)
        return bad != NULL ? bad : "no armed list";
    bad = read_armed(armed + 3, r);
    if (bad != NULL)
        return bad;
    return strstr(armed, ";q=") != NULL ? NULL : "no quota part";
}

bool reading_done(const struct reading *r, int64_t offset)
{
    return offset < r->line ||
           (offset < r->line + READING_SPAN && r->done[offset - r->line]);
}

bool reading_armed(const struct reading *r, int64_t offset)
{
    return offset >= r->line && offset < r->line + READING_SPAN &&
           r->armed[offset - r->line];
}

uint32_t reading_second(const struct reading *r, int64_t offset)
{
    return reading_armed(r, offset) ? r->second[offset - r->line] : 0;
}
