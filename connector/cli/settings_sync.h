/* The keys sync.<name>.*, brought together and checked. Part of settings_open. */
#ifndef CLI_SETTINGS_SYNC_H
#define CLI_SETTINGS_SYNC_H

#include <stddef.h>

#include "base/buf.h"
#include "cli/settings.h"

/* A pass over the settings: counts the mistakes it writes into `errors`. */
struct checker {
    struct settings *s;
    struct buf *errors;
    size_t n;
};

/* One mistake, in the settings' form. */
void settings_wrong(struct checker *c, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

void sync_settings_parse(struct checker *c);
void sync_settings_free(struct settings *s);

#endif
