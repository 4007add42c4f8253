/* The interpreter of a settings table: parses `key = value` files, environment and -X
 * overrides, checks, prints help, the sample file and the README. It knows no setting:
 * the table is cli/settings_table.c (rows) and struct settings is the caller's.
 *
 * Grammar and precedence: contracts §4 of the design: -X > environment > file > default;
 * FRONT_CONNECTOR_<KEY>; <KEY>_FILE; ${env:X} ${file:/p} $$ in values; a key twice is an
 * error naming both lines; all errors are collected, each "file:line: key: what, nearest
 * key". */
#ifndef BASE_SETTINGS_H
#define BASE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum setting_type {
    SETTING_TEXT,   /* char * (owned by settings_values) */
    SETTING_SECRET, /* char *, masked everywhere */
    SETTING_BOOL,   /* bool */
    SETTING_INT,    /* int64_t within [min, max] */
    SETTING_BYTES,  /* int64_t; accepts suffixes KiB MiB GiB; printed with them */
    SETTING_CHOICE, /* int: index into `choices` */
    SETTING_LIST,   /* struct setting_list: comma-separated, trimmed, none empty */
    SETTING_PREFIX /* struct setting_pairs: every key that starts with `key` ("kafka.") */
};

enum setting_importance { IMPORTANCE_HIGH, IMPORTANCE_MEDIUM, IMPORTANCE_LOW };

struct setting_list {
    char **items;
    size_t n;
};

struct setting_pair {
    char *key; /* without the prefix */
    char *value;
    const char *origin; /* "file:line", "environment" or "-X", for messages */
};

struct setting_pairs {
    struct setting_pair *items;
    size_t n;
};

struct setting_row {
    const char *key;
    enum setting_type type;
    const char *preset; /* default as text; NULL: none; "!": required */
    const char *unit;   /* "ms", "bytes", "requests", ...; NULL: none */
    int64_t min, max;
    const char *const *choices; /* NULL-ended, SETTING_CHOICE */
    enum setting_importance importance;
    size_t offset;       /* of the field in the caller's struct */
    const char *section; /* heading in help, sample and README */
    const char *help;    /* one or two sentences */
};

struct settings_source {
    const char *file;             /* NULL: look at the usual places; "": no file */
    const char *const *overrides; /* "key=value" of -X, n_overrides of them */
    size_t n_overrides;
    char *const *environ_; /* environ */
};

/* Fills the caller's struct (zeroed before). Errors: one line each in `errors`; returns
 * their number. The strings in the struct live in *values (settings_values_free). */
struct settings_values;
size_t settings_load(const struct setting_row *rows, size_t n_rows, void *out,
                     const struct settings_source *src, struct settings_values **values,
                     struct buf *errors);
void settings_values_free(struct settings_values *v);
/* The file that was read, or NULL. */
const char *settings_file(const struct settings_values *v);
/* Where a key got its value: "file:line", "environment", "-X" or "default". */
const char *settings_origin(const struct settings_values *v, const char *key);
/* Adds one more error in the same form, for checks between keys; returns -1. */
int settings_complain(struct buf *errors, const struct settings_values *v,
                      const char *key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* A secret that came from ${file:} or _FILE: its text now (owned by values). */
bool settings_secret_changed(struct settings_values *v, const char *key,
                             const char **now);

void settings_print_help(const struct setting_row *rows, size_t n, struct buf *out);
void settings_print_sample(const struct setting_row *rows, size_t n, struct buf *out);
void settings_print_markdown(const struct setting_row *rows, size_t n, struct buf *out);

#endif
