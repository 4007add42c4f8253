/* Between settings.c (types and values), settings_read.c (sources) and settings_print.c
 * (texts): one entry per key that some source sets. Not for anybody else. */
#ifndef BASE_SETTINGS_INTERNAL_H
#define BASE_SETTINGS_INTERNAL_H

#include "base/mem.h"
#include "base/settings.h"
#include "base/str.h"

#define SETTINGS_ENV_PREFIX "FRONT_CONNECTOR_"

enum { SETTINGS_FILE_MAX = 1024 * 1024, SETTINGS_VALUE_MAX = 64 * 1024 };

enum settings_rank { RANK_FILE, RANK_ENVIRONMENT, RANK_OVERRIDE };

struct settings_entry {
    const struct setting_row *row; /* a SETTING_PREFIX row may have many entries */
    char *key;                     /* in full */
    char *raw;                     /* as written, or the path when raw_is_path */
    const char *origin;
    enum settings_rank rank;
    int line;           /* RANK_FILE */
    bool raw_is_path;   /* <KEY>_FILE */
    bool raw_has_files; /* ${file:} was met */
    char *value;        /* what raw stands for; NULL: could not be read */
    char *renewed;      /* of a secret: its newest text, when it changed since */
};

struct settings_values {
    const struct setting_row *rows;
    size_t n_rows;
    char *const *environ_;
    char *file; /* NULL: none was read */
    struct settings_entry *entries;
    size_t n, cap;
    struct arena arena; /* keys, origins, lists, pairs, texts of defaults */
    size_t n_errors;
};

/* Adds entries from the file, the environment and the overrides, in this order: a later
 * one takes the place of an earlier one. */
void settings_read_all(struct settings_values *v, const struct settings_source *src,
                       struct buf *errors);
struct settings_entry *settings_find(const struct settings_values *v, struct str key);

/* The value of an entry: file contents, ${} and $$ resolved. mem_free it; NULL with e
 * filled. */
char *settings_expand(const struct settings_values *v, struct settings_entry *entry,
                      struct err *e);

/* One more error line: "origin: key: text". */
void settings_error(struct settings_values *v, struct buf *errors, const char *origin,
                    const char *key, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* FRONT_CONNECTOR_..., mem_free it. */
char *settings_env_name(const char *key);

/* "1..1024 requests" or "64KiB..1GiB". */
void settings_print_range(const struct setting_row *row, struct buf *out);
void settings_print_bytes(int64_t n, struct buf *out);
/* Reads the text of a SETTING_BYTES, without looking at the range. */
int settings_parse_bytes(struct str text, int64_t *out, struct err *e);

#endif
