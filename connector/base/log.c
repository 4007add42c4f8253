/* Levelled log lines on stderr. Owns the one buffer of lines not yet written, the counts
 * and the list of secrets: process-wide, behind one lock, because a library may log from
 * its own thread. Invariants: a line in the buffer is whole and masked; when buffered,
 * nothing here blocks. */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

enum {
    RAW_MAX =
        8192, /* formatted before masking, so that a cut never leaves half a secret */
    TEXT_MAX = 4096, /* of it that is looked at */
    PENDING_MAX = 256 * 1024,
    WRITE_MAX =
        4096, /* what a pipe that polls writable takes without blocking (PIPE_BUF) */
    SECRETS_MAX = 64
};

const char *const log_level_names[LOG_LEVELS] = {"error", "warn", "info", "debug"};

static const char *const severity_texts[LOG_LEVELS] = {"ERROR", "WARN", "INFO", "DEBUG"};
static const int severity_numbers[LOG_LEVELS] = {17, 13, 9, 5}; /* OpenTelemetry's */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int threshold = LOG_INFO;
static enum log_format line_format = LOG_TEXT;
static bool buffered;
static struct buf pending = {.max = PENDING_MAX};
static struct {
    char *text;
    size_t len;
} secrets[SECRETS_MAX];
static size_t n_secrets; /* ever; the oldest gives way */
static uint64_t counts[LOG_LEVELS];
static uint64_t lost, lost_unsaid;

static void add_line(enum log_level level, const char *event, struct str raw);
static void write_pending(bool may_wait);

void log_setup(enum log_level level, enum log_format format)
{
    atomic_store(&threshold, (int)level);
    pthread_mutex_lock(&lock);
    line_format = format;
    pthread_mutex_unlock(&lock);
}

void log_buffered(bool on)
{
    pthread_mutex_lock(&lock);
    buffered = on;
    if (!on)
        write_pending(true);
    pthread_mutex_unlock(&lock);
}

void log_secret(const char *secret)
{
    size_t len = strlen(secret);
    size_t i;

    if (len < 4)
        return;
    pthread_mutex_lock(&lock);
    for (i = 0; i < SECRETS_MAX; i++)
        if (secrets[i].text != NULL && strcmp(secrets[i].text, secret) == 0)
            break;
    if (i == SECRETS_MAX) {
        i = n_secrets++ % SECRETS_MAX;
        mem_wipe(secrets[i].text, secrets[i].len);
        mem_free(secrets[i].text);
        secrets[i].text = mem_strdup(secret);
        secrets[i].len = len;
    }
    pthread_mutex_unlock(&lock);
}

bool log_wants(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&threshold, memory_order_relaxed);
}

void log_line(enum log_level level, const char *event, const char *fmt, ...)
{
    char raw[RAW_MAX];
    va_list ap;
    int len;

    if (!log_wants(level))
        return;
    va_start(ap, fmt);
    len = vsnprintf(raw, sizeof(raw), fmt, ap);
    va_end(ap);
    if (len < 0)
        len = 0;
    if ((size_t)len >= sizeof(raw))
        len = (int)sizeof(raw) - 1;
    pthread_mutex_lock(&lock);
    counts[level]++;
    add_line(level, event, (struct str){raw, (size_t)len});
    if (!buffered)
        write_pending(true);
    pthread_mutex_unlock(&lock);
}

void log_flush(void)
{
    pthread_mutex_lock(&lock);
    if (pending.len > 0 || lost_unsaid > 0)
        write_pending(!buffered);
    pthread_mutex_unlock(&lock);
}

uint64_t log_count(enum log_level level)
{
    uint64_t n;

    pthread_mutex_lock(&lock);
    n = counts[level];
    pthread_mutex_unlock(&lock);
    return n;
}

uint64_t log_lost(void)
{
    uint64_t n;

    pthread_mutex_lock(&lock);
    n = lost;
    pthread_mutex_unlock(&lock);
    return n;
}

/* Length of the secret that begins at `at`, the longest one, or 0. */
static size_t secret_at(struct str at)
{
    size_t best = 0;
    size_t i;

    for (i = 0; i < SECRETS_MAX && secrets[i].text != NULL; i++)
        if (secrets[i].len > best && secrets[i].len <= at.len &&
            memcmp(secrets[i].text, at.ptr, secrets[i].len) == 0)
            best = secrets[i].len;
    return best;
}

static void add_masked(struct buf *out, struct str raw)
{
    size_t i = 0;

    while (i < raw.len && i < TEXT_MAX) {
        size_t hidden = secret_at((struct str){raw.ptr + i, raw.len - i});

        if (hidden > 0) {
            (void)buf_add_cstr(out, "****");
            i += hidden;
        } else {
            (void)buf_add_char(out, raw.ptr[i++]);
        }
    }
    if (i < raw.len)
        (void)buf_add_cstr(out, "...");
}

/* Keeps one event on one line, and JSON valid whatever bytes came in. */
static void add_escaped(struct buf *out, struct str s, bool json)
{
    bool ascii_only = !utf8_valid(s); /* also after a cut in the middle of a character */
    size_t i;

    for (i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c == '\n')
            (void)buf_add_cstr(out, "\\n");
        else if (json && (c == '"' || c == '\\'))
            (void)buf_printf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            (void)buf_printf(out, json ? "\\u%04x" : "\\x%02x", (unsigned)c);
        else if (c >= 0x80 && ascii_only)
            (void)buf_add_char(out, '?');
        else
            (void)buf_add_char(out, (char)c);
    }
}

static void add_time(struct buf *out)
{
    char text[32];
    struct timespec now;
    struct tm tm;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &tm);
    (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    (void)buf_printf(out, "%s.%03ldZ", text, now.tv_nsec / 1000000);
}

/* Into `pending`, whole or not at all. */
static void add_line(enum log_level level, const char *event, struct str raw)
{
    struct buf masked, line;

    buf_init(&masked, 2 * RAW_MAX);
    buf_init(&line, 16 * RAW_MAX);
    add_masked(&masked, raw);
    if (line_format == LOG_JSON) {
        (void)buf_add_cstr(&line, "{\"timestamp\":\"");
        add_time(&line);
        (void)buf_printf(&line, "\",\"severity_text\":\"%s\",\"severity_number\":%d,",
                         severity_texts[level], severity_numbers[level]);
        (void)buf_printf(&line, "\"event_name\":\"%s\",\"body\":\"", event);
        add_escaped(&line, buf_str(&masked), true);
        (void)buf_add_cstr(&line,
                           "\",\"resource\":{\"service.name\":\"front-connector\"}}\n");
    } else {
        add_time(&line);
        (void)buf_printf(&line, " %-5s %s: ", severity_texts[level], event);
        add_escaped(&line, buf_str(&masked), false);
        (void)buf_add_char(&line, '\n');
    }
    if (line.over || line.len > pending.max - pending.len) {
        lost++;
        lost_unsaid++;
    } else {
        (void)buf_add_str(&pending, buf_str(&line));
    }
    buf_fini(&masked);
    buf_fini(&line);
}

/* False when stderr takes no more now. A stderr that is gone swallows everything. */
static bool write_some(struct str s, bool may_wait, size_t *written)
{
    struct pollfd pfd = {.fd = STDERR_FILENO, .events = POLLOUT};
    ssize_t n;

    *written = 0;
    if (poll(&pfd, 1, may_wait ? -1 : 0) == 0)
        return false;
    n = write(STDERR_FILENO, s.ptr, s.len < WRITE_MAX ? s.len : WRITE_MAX);
    if (n >= 0)
        *written = (size_t)n;
    else if (errno == EAGAIN && !may_wait)
        return false;
    else if (errno != EINTR && errno != EAGAIN)
        *written = s.len;
    return true;
}

static void write_pending(bool may_wait)
{
    size_t done = 0;

    for (;;) {
        size_t n;

        if (done == pending.len) {
            char text[64];
            int len;

            buf_reset(&pending);
            done = 0;
            if (lost_unsaid == 0)
                break;
            len = snprintf(text, sizeof(text), "%llu lines were lost: stderr is too slow",
                           (unsigned long long)lost_unsaid);
            lost_unsaid = 0;
            add_line(LOG_WARN, "log.lost", (struct str){text, (size_t)len});
        }
        if (!write_some((struct str){pending.data + done, pending.len - done}, may_wait,
                        &n))
            break;
        done += n;
    }
    if (done > 0) {
        memmove(pending.data, pending.data + done, pending.len - done + 1);
        pending.len -= done;
    }
}
