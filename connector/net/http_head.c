/* Reads heads of answers: the few fields that somebody asks for. Owns nothing.
 * Invariant: a field that is malformed counts as absent. */
#include "net/http_head.h"

#include <ctype.h>
#include <curl/curl.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"

void http_head_reset(struct http_head_parser *hp, struct http_head *head)
{
    hp->state = HEAD_STATUS;
    hp->head = head;
    *head =
        (struct http_head){.limit = -1, .remaining = -1, .reset = -1, .retry_after = -1};
}

int64_t http_date_ms(const char *text)
{
    time_t t = curl_getdate(text, NULL);

    return t > 0 ? (int64_t)t * 1000 : 0;
}

/* Digits with an optional fraction; -1 when it is anything else. */
static double parse_seconds(struct str s)
{
    double value = 0, weight = 1;
    bool fraction = false;
    size_t i;

    if (s.len == 0 || s.len > 20 || !isdigit((unsigned char)s.ptr[0]))
        return -1;
    for (i = 0; i < s.len; i++) {
        if (s.ptr[i] == '.' && !fraction) {
            fraction = true;
        } else if (isdigit((unsigned char)s.ptr[i])) {
            weight /= fraction ? 10 : 1;
            value = fraction ? value + weight * (s.ptr[i] - '0')
                             : value * 10 + (s.ptr[i] - '0');
        } else {
            return -1;
        }
    }
    return value;
}

static void copy_text(struct str s, char *out, size_t size)
{
    if (s.len >= size)
        return; /* too long: as if absent, half a value would mislead */
    memcpy(out, s.ptr, s.len);
    out[s.len] = '\0';
}

static int64_t parse_date(struct str s)
{
    char text[64] = "";

    copy_text(s, text, sizeof(text));
    return text[0] != '\0' ? http_date_ms(text) : 0;
}

/* Seconds, or a date, which is told as seconds from now. */
static double parse_retry_after(struct str s)
{
    double seconds = parse_seconds(s);
    int64_t date_ms;

    if (seconds >= 0)
        return seconds;
    date_ms = parse_date(s);
    if (date_ms == 0)
        return -1;
    seconds = (double)(date_ms - clock_wall(&clock_system)) / 1000;
    return seconds > 0 ? seconds : 0;
}

static bool name_is(struct str name, const char *lower)
{
    return name.len == strlen(lower) && strncasecmp(name.ptr, lower, name.len) == 0;
}

/* Reading a date costs as much as all other fields together. */
static int64_t read_date(struct http_head_parser *hp, struct str value)
{
    if (value.len == 0 || value.len >= sizeof(hp->date))
        return parse_date(value);
    if (!str_is(value, hp->date)) {
        copy_text(value, hp->date, sizeof(hp->date));
        hp->date_ms = parse_date(value);
    }
    return hp->date_ms;
}

static void read_field(struct http_head_parser *hp, struct str line)
{
    struct http_head *head = hp->head;
    struct str value = line;
    struct str name;
    struct err e = ERR_INIT;

    /* Most fields are of no interest, and their first character says so. */
    if (strchr("xrdclXRDCL", line.ptr[0]) == NULL)
        return;
    name = str_split(&value, ':');
    if (value.ptr == NULL)
        return;
    value = str_trim(value);
    if (name_is(name, "x-ratelimit-limit"))
        (void)parse_i64(value, 0, INT64_MAX, &head->limit, &e);
    else if (name_is(name, "x-ratelimit-remaining"))
        (void)parse_i64(value, 0, INT64_MAX, &head->remaining, &e);
    else if (name_is(name, "x-ratelimit-reset"))
        head->reset = parse_seconds(value);
    else if (name_is(name, "retry-after"))
        head->retry_after = parse_retry_after(value);
    else if (name_is(name, "date"))
        head->date_ms = read_date(hp, value);
    else if (name_is(name, "x-front-tier"))
        copy_text(value, head->tier, sizeof(head->tier));
    else if (name_is(name, "content-type"))
        copy_text(value, head->content_type, sizeof(head->content_type));
    else if (name_is(name, "location"))
        copy_text(value, head->location, sizeof(head->location));
}

/* "HTTP/1.1 200 Fine": the number, or 0. */
static int read_status(struct str line)
{
    struct err e = ERR_INIT;
    int64_t status = 0;
    struct str rest = line;

    if (!str_starts(line, "HTTP/"))
        return 0;
    (void)str_split(&rest, ' ');
    if (rest.ptr == NULL)
        return 0;
    (void)parse_i64(str_split(&rest, ' '), 100, 999, &status, &e);
    return (int)status;
}

void http_head_line(struct http_head_parser *hp, struct str line)
{
    while (line.len > 0 &&
           (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r'))
        line.len--;
    switch (hp->state) {
    case HEAD_STATUS:
        hp->head->status = read_status(line);
        if (hp->head->status != 0)
            hp->state = HEAD_FIELDS;
        break;
    case HEAD_FIELDS:
        if (line.len > 0)
            read_field(hp, line);
        else if (hp->head->status < 200) /* the answer itself is still to come */
            http_head_reset(hp, hp->head);
        else
            hp->state = HEAD_COMPLETE;
        break;
    case HEAD_COMPLETE:
        break;
    }
}
