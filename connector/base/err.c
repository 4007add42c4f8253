/* The error value: formatting into the caller's struct err. Owns nothing.
 * Invariant: text is always NUL-terminated, cut when too long. */
#include "base/err.h"

#include <stdio.h>
#include <string.h>

int err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
{
    char text[sizeof(e->text)];
    va_list ap;

    /* Formatted aside first: an argument may be e->text itself. */
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    err_clear(e);
    e->kind = kind;
    memcpy(e->text, text, sizeof(text));
    return -1;
}

int err_input(struct err *e, const char *reason, const char *fmt, ...)
{
    char text[sizeof(e->text)];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    err_clear(e);
    e->kind = ERR_INPUT;
    e->reason = reason;
    memcpy(e->text, text, sizeof(text));
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
