/* The error value: formatting into the caller's struct err. Owns nothing.
 * Invariant: text is always NUL-terminated, cut when too long. */
#include "base/err.h"

#include <stdio.h>
#include <string.h>

static void fill(struct err *e, enum err_kind kind, const char *reason, const char *fmt,
                 va_list ap) __attribute__((format(printf, 4, 0)));

int err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fill(e, kind, NULL, fmt, ap);
    va_end(ap);
    return -1;
}

int err_input(struct err *e, const char *reason, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fill(e, ERR_INPUT, reason, fmt, ap);
    va_end(ap);
    return -1;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
    char old[sizeof(e->text)];
    va_list ap;
    size_t len;

    memcpy(old, e->text, sizeof(old));
    va_start(ap, fmt);
    (void)vsnprintf(e->text, sizeof(e->text), fmt, ap);
    va_end(ap);
    len = strlen(e->text);
    (void)snprintf(e->text + len, sizeof(e->text) - len, ": %s", old);
    return -1;
}

void err_clear(struct err *e)
{
    e->kind = ERR_NONE;
    e->code = 0;
    e->reason = NULL;
    e->text[0] = '\0';
}

void err_copy(const struct err *e, char *out, size_t size)
{
    (void)snprintf(out, size, "%.*s", (int)size - 1, e->text);
}

static void fill(struct err *e, enum err_kind kind, const char *reason, const char *fmt,
                 va_list ap)
{
    char text[sizeof(e->text)];

    /* Formatted aside first: an argument may be e->text itself. */
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    err_clear(e);
    e->kind = kind;
    e->reason = reason;
    memcpy(e->text, text, sizeof(text));
}
