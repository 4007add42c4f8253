/* See ledger.h. The string:
 *
 *   FC1;l=<lease ms>;d=<base64 bitmap>;a=<delta>+<hex second>,...;q=<quota part>;<crc32
 * hex>
 *
 * Bit i of the bitmap (least significant first) stands for line + i; it ends with the
 * highest DONE. The CRC covers everything before its ';'. */
#include "engine/ledger.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

static struct ledger_entry *entry(const struct ledger *lg, int64_t offset);
static bool is_done(const struct ledger_entry *en, bool finishing_too);
static void advance(struct ledger *lg);
static uint32_t crc32_of(const char *text, size_t len);
static int read_field(struct str *rest, const char *name, struct str *value,
                      struct err *e);
static int read_bitmap(struct str text, struct ledger_image *im, struct err *e);
static int read_armed(struct str text, struct ledger_image *im, struct err *e);
static int unreadable(struct err *e, const char *what);

int64_t ledger_window_for(int64_t string_max_bytes)
{
    /* As ledger_string writes it: numbers at their longest, the bitmap in base64. */
    enum { FRAME = 6 + 19 + 3 + 3 + 3 + 40 + 9 + 1, ARMED = 14 };
    int64_t bitmap = string_max_bytes - FRAME - LEDGER_ARMED_MAX * ARMED;
    int64_t window = (bitmap / 4 * 3 - 1) * 8;
    if (window > LEDGER_WINDOW_MAX)
        window = LEDGER_WINDOW_MAX;
    return window > 0 ? window : 0;
}

void ledger_init(struct ledger *lg, int64_t window)
{
    size_t size = 16;
    while ((int64_t)size < window)
        size *= 2;
    *lg = (struct ledger){.window = window, .mask = size - 1};
    lg->ring = mem_array(size, sizeof *lg->ring);
}

void ledger_fini(struct ledger *lg)
{
    mem_free(lg->ring);
    lg->ring = NULL;
}

int ledger_restore(struct ledger *lg, int64_t line, struct str text, int64_t *lease_ms,
                   struct err *e)
{
    struct ledger_image im;
    if (ledger_read(line, text, &im, e))
        return -1;
    lg->line = lg->next = lg->ring_end = line;
    lg->armed = 0;
    *lease_ms = im.lease_ms;
    memset(lg->ring, 0, (lg->mask + 1) * sizeof *lg->ring);
    /* A predecessor with a larger window may have left more than ours holds: widen for
     * good. */
    size_t span = im.bits;
    for (size_t i = 0; i < im.n_armed; i++)
        if ((size_t)(im.armed[i].offset - line) + 1 > span)
            span = (size_t)(im.armed[i].offset - line) + 1;
    if ((int64_t)span > lg->window) {
        ledger_fini(lg);
        ledger_init(lg, (int64_t)span);
        lg->line = lg->next = lg->ring_end = line;
    }
    for (size_t i = 0; i < im.bits; i++)
        if (im.done[i / 8] >> (i % 8) & 1)
            entry(lg, line + (int64_t)i)->state = LEDGER_DONE;
    for (size_t i = 0; i < im.n_armed; i++) {
        struct ledger_entry *en = entry(lg, im.armed[i].offset);
        *en = (struct ledger_entry){.state = LEDGER_ARMED,
                                    .arm_second = im.armed[i].second};
        lg->armed++;
    }
    lg->ring_end = line + (int64_t)span;
    return 0;
}

enum ledger_intake ledger_deliver(struct ledger *lg, int64_t offset)
{
    if (offset < lg->line)
        return LEDGER_DONE_BEFORE;
    if (offset >= lg->line + lg->window)
        return LEDGER_FULL;
    struct ledger_entry *en = entry(lg, offset);
    enum ledger_intake result = LEDGER_NEW;
    if (en->state == LEDGER_DONE)
        result = LEDGER_DONE_BEFORE;
    else if (en->state == LEDGER_ARMED)
        result = LEDGER_IN_DOUBT;
    else
        en->state = LEDGER_WAITING;
    if (offset + 1 > lg->next)
        lg->next = offset + 1;
    if (lg->next > lg->ring_end)
        lg->ring_end = lg->next;
    advance(lg);
    return result;
}

void ledger_reach(struct ledger *lg, int64_t offset)
{
    int64_t before;
    do {
        before = lg->line;
        int64_t to = before + lg->window;
        if (to > offset)
            to = offset;
        if (to > lg->next)
            lg->next = to;
        if (lg->next > lg->ring_end)
            lg->ring_end = lg->next;
        advance(lg);
    } while (lg->line > before);
}

bool ledger_may_arm(const struct ledger *lg)
{
    return lg->armed < LEDGER_ARMED_MAX;
}

void ledger_arm(struct ledger *lg, int64_t offset, int64_t arm_second)
{
    struct ledger_entry *en = entry(lg, offset);
    assert(en->state == LEDGER_WAITING || en->state == LEDGER_ARMED);
    if (en->state == LEDGER_WAITING)
        lg->armed++;
    en->state = LEDGER_ARMED;
    en->arm_second = (uint32_t)arm_second;
}

void ledger_forget(struct ledger *lg, int64_t end, struct buf *text)
{
    const char *sep = "; of these may have been sent: ";
    for (int64_t o = lg->line; o < end && o < lg->ring_end; o++) {
        struct ledger_entry *en = entry(lg, o);
        if (en->state == LEDGER_ARMED) {
            (void)buf_printf(text, "%s%lld", sep, (long long)o);
            sep = ", ";
            lg->armed--;
        }
        *en = (struct ledger_entry){.state = LEDGER_ABSENT};
    }
    enum ledger_intake how = ledger_deliver(lg, lg->line);
    assert(how == LEDGER_NEW);
    (void)how;
    ledger_reach(lg, end);
}

uint32_t ledger_arm_second(const struct ledger *lg, int64_t offset)
{
    const struct ledger_entry *en = entry(lg, offset);
    assert(en->state == LEDGER_ARMED);
    return en->arm_second;
}

void ledger_disarm(struct ledger *lg, int64_t offset)
{
    struct ledger_entry *en = entry(lg, offset);
    assert(en->state == LEDGER_ARMED);
    en->state = LEDGER_WAITING;
    lg->armed--;
}

void ledger_finish(struct ledger *lg, int64_t offset)
{
    struct ledger_entry *en = entry(lg, offset);
    assert(en->state == LEDGER_WAITING || en->state == LEDGER_ARMED);
    en->was_armed = en->state == LEDGER_ARMED;
    en->state = LEDGER_FINISHING;
}

void ledger_unfinish(struct ledger *lg, int64_t offset)
{
    struct ledger_entry *en = entry(lg, offset);
    assert(en->state == LEDGER_FINISHING);
    en->state = en->was_armed ? LEDGER_ARMED : LEDGER_WAITING;
}

void ledger_done(struct ledger *lg, int64_t offset)
{
    struct ledger_entry *en = entry(lg, offset);
    assert(en->state == LEDGER_FINISHING);
    if (en->was_armed)
        lg->armed--;
    *en = (struct ledger_entry){.state = LEDGER_DONE};
    advance(lg);
}

int64_t ledger_next_line(const struct ledger *lg)
{
    int64_t line = lg->line;
    while (line < lg->ring_end) {
        const struct ledger_entry *en = entry(lg, line);
        bool skipped = en->state == LEDGER_ABSENT && line < lg->next;
        if (!skipped && !is_done(en, true))
            break;
        line++;
    }
    return line;
}

size_t ledger_string(const struct ledger *lg, int64_t lease_ms, const char *quota,
                     char out[LEDGER_STRING_MAX])
{
    int64_t line = ledger_next_line(lg);
    unsigned char bits[LEDGER_WINDOW_MAX / 8 + 1] = {0};
    size_t n_bytes = 0;
    for (int64_t o = line; o < lg->ring_end; o++) {
        const struct ledger_entry *en = entry(lg, o);
        if (!is_done(en, true) && !(en->state == LEDGER_ABSENT && o < lg->next))
            continue;
        size_t i = (size_t)(o - line);
        bits[i / 8] |= (unsigned char)(1u << (i % 8));
        n_bytes = i / 8 + 1;
    }
    int len = snprintf(out, LEDGER_STRING_MAX, "FC1;l=%lld;d=", (long long)lease_ms);
    size_t at = (size_t)len;
    at += (size_t)EVP_EncodeBlock((unsigned char *)out + at, bits, (int)n_bytes);
    at += (size_t)snprintf(out + at, LEDGER_STRING_MAX - at, ";a=");
    const char *sep = "";
    for (int64_t o = line; o < lg->ring_end; o++) {
        const struct ledger_entry *en = entry(lg, o);
        if (en->state != LEDGER_ARMED)
            continue;
        at += (size_t)snprintf(out + at, LEDGER_STRING_MAX - at, "%s%d+%x", sep,
                               (int)(o - line), en->arm_second);
        sep = ",";
    }
    at += (size_t)snprintf(out + at, LEDGER_STRING_MAX - at, ";q=%s", quota);
    assert(at + 10 < LEDGER_STRING_MAX);
    at += (size_t)snprintf(out + at, LEDGER_STRING_MAX - at, ";%08x", crc32_of(out, at));
    return at;
}

int ledger_read(int64_t line, struct str text, struct ledger_image *im, struct err *e)
{
    *im = (struct ledger_image){.line = line};
    if (text.len == 0)
        return 0; /* an operator's reset: nothing known */
    if (text.len < 9 || text.len >= LEDGER_STRING_MAX || text.ptr[text.len - 9] != ';')
        return unreadable(e, "no checksum");
    char crc[9];
    snprintf(crc, sizeof crc, "%08x", crc32_of(text.ptr, text.len - 9));
    if (memcmp(crc, text.ptr + text.len - 8, 8) != 0)
        return unreadable(e, "checksum does not match");
    struct str rest = {text.ptr, text.len - 9};
    struct str magic = str_split(&rest, ';');
    if (!str_is(magic, "FC1"))
        return unreadable(e, "unknown version");
    struct str lease, bitmap, armed, quota;
    if (read_field(&rest, "l=", &lease, e) || read_field(&rest, "d=", &bitmap, e) ||
        read_field(&rest, "a=", &armed, e) || read_field(&rest, "q=", &quota, e))
        return -1;
    if (parse_i64(lease, 0, INT32_MAX, &im->lease_ms, e))
        return unreadable(e, "lease");
    if (read_bitmap(bitmap, im, e) || read_armed(armed, im, e))
        return -1;
    return 0;
}

bool ledger_image_done(const struct ledger_image *im, int64_t offset)
{
    if (offset < im->line)
        return true;
    size_t i = (size_t)(offset - im->line);
    return i < im->bits && (im->done[i / 8] >> (i % 8) & 1);
}

bool ledger_image_armed(const struct ledger_image *im, int64_t offset)
{
    for (size_t i = 0; i < im->n_armed; i++)
        if (im->armed[i].offset == offset)
            return true;
    return false;
}

static struct ledger_entry *entry(const struct ledger *lg, int64_t offset)
{
    assert(offset >= lg->line && (uint64_t)(offset - lg->line) <= lg->mask);
    return &lg->ring[(size_t)offset & lg->mask];
}

static bool is_done(const struct ledger_entry *en, bool finishing_too)
{
    return en->state == LEDGER_DONE || (finishing_too && en->state == LEDGER_FINISHING);
}

/* Moves the line over what is DONE or was never delivered; clears the entries it leaves.
 */
static void advance(struct ledger *lg)
{
    while (lg->line < lg->ring_end) {
        struct ledger_entry *en = entry(lg, lg->line);
        bool skipped = en->state == LEDGER_ABSENT && lg->line < lg->next;
        if (!skipped && !is_done(en, false))
            return;
        *en = (struct ledger_entry){0};
        lg->line++;
    }
    if (lg->next < lg->line)
        lg->next = lg->line;
}

/* CRC-32 (IEEE), four bits at a time: the string is short and written once a tick. */
static uint32_t crc32_of(const char *text, size_t len)
{
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
                                       0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
                                       0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                       0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t crc = ~0u;
    for (size_t i = 0; i < len; i++) {
        crc ^= (unsigned char)text[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

static int unreadable(struct err *e, const char *what)
{
    return err_set(e, ERR_INPUT, "the committed metadata is not ours (%s)", what);
}

static int read_field(struct str *rest, const char *name, struct str *value,
                      struct err *e)
{
    if (rest->ptr == NULL)
        return unreadable(e, name);
    *value = str_split(rest, ';');
    if (!str_starts(*value, name))
        return unreadable(e, name);
    value->ptr += strlen(name);
    value->len -= strlen(name);
    return 0;
}

static int read_bitmap(struct str text, struct ledger_image *im, struct err *e)
{
    unsigned char bytes[LEDGER_STRING_MAX];
    if (text.len % 4 != 0)
        return unreadable(e, "bitmap");
    if (text.len == 0)
        return 0;
    int n = EVP_DecodeBlock(bytes, (const unsigned char *)text.ptr, (int)text.len);
    while (n > 0 && bytes[n - 1] == 0)
        n--; /* padding decodes to zeros */
    if (n < 0 || (size_t)n > sizeof im->done)
        return unreadable(e, "bitmap");
    memcpy(im->done, bytes, (size_t)n);
    im->bits = (size_t)n * 8;
    return 0;
}

static int read_armed(struct str text, struct ledger_image *im, struct err *e)
{
    static const char digits[] = "0123456789abcdef";
    while (text.ptr != NULL && text.len > 0) {
        struct str second = str_split(&text, ',');
        struct str delta = str_split(&second, '+');
        int64_t d;
        if (im->n_armed == LEDGER_ARMED_MAX || second.ptr == NULL || second.len == 0 ||
            second.len > 8 || parse_i64(delta, 0, LEDGER_WINDOW_MAX - 1, &d, e))
            return unreadable(e, "armed entry");
        uint32_t value = 0;
        for (size_t i = 0; i < second.len; i++) {
            const char *digit = memchr(digits, second.ptr[i], 16);
            if (digit == NULL)
                return unreadable(e, "armed second");
            value = value * 16 + (uint32_t)(digit - digits);
        }
        im->armed[im->n_armed].offset = im->line + d;
        im->armed[im->n_armed++].second = value;
    }
    return 0;
}
