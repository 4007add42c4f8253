/* The error value: lives on the caller's stack, says what to do next (kind), which word
 * of a closed list names it (reason) and what a person should read (text).
 *
 * Convention of the whole program: functions return 0 or -1 and fill the last parameter
 * `struct err *e`, never NULL. err_set returns -1 so that it can be returned directly. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdarg.h>
#include <stddef.h>

enum err_kind {
    ERR_NONE,
    ERR_INPUT,    /* the data is bad: answer it, never retry */
    ERR_SETTINGS, /* settings or preflight: exit 2 */
    ERR_SYSTEM,   /* the operating system or a library refused */
    ERR_BUSY,     /* try again later */
    ERR_FATAL     /* this process cannot go on: exit 1 */
};

struct err {
    enum err_kind kind;
    int code; /* errno, CURLcode, librdkafka code or HTTP status; 0: none */
    const char
        *reason; /* a static word such as "BadUtf8" or "invalid-command"; may be NULL */
    char text[480];
};

#define ERR_INIT                                                                         \
    {                                                                                    \
        ERR_NONE, 0, 0, ""                                                               \
    }

/* Sets kind and text (reason and code cleared), returns -1. */
int err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* As err_set, kind ERR_INPUT, with a reason of a closed list (static storage). */
int err_input(struct err *e, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the text that is already there; returns -1. */
int err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void err_clear(struct err *e);

/* Its text, cut to what `out` of `size` bytes holds. */
void err_copy(const struct err *e, char *out, size_t size);

#endif
