/* The interpreter of a settings table: from entries to typed fields, and what is asked
 * about them later. settings_read.c reads the sources, settings_print.c writes the texts.
 * Owns all strings in the caller's struct. Invariant: secrets never appear in an error,
 * and are wiped when freed. */
#include "base/settings.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/settings_internal.h"

static void store(struct settings_values *v, void *out, const struct setting_row *row,
                  struct settings_entry *entry, struct buf *errors);

static void collect_pairs(struct settings_values *v, void *out,
                          const struct setting_row *row);

static void add_error(struct buf *errors, const char *origin, const char *key,
                      const char *text)
{
    (void)buf_printf(errors, "%s: %s: %s\n", origin, key, text);
}

void settings_error(struct settings_values *v, struct buf *errors, const char *origin,
                    const char *key, const char *fmt, ...)
{
    char text[480];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    v->n_errors++;
    add_error(errors, origin, key, text);
}

/* Where one would have looked for a key that is not set. */
static const char *unset_origin(const struct settings_values *v)
{
    return v->file != NULL ? v->file : "settings";
}

int settings_complain(struct buf *errors, const struct settings_values *v,
                      const char *key, const char *fmt, ...)
{
    const char *origin = settings_origin(v, key);
    char text[480];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (strcmp(origin, "default") == 0)
        origin = unset_origin(v);
    add_error(errors, origin, key, text);
    return -1;
}

/* Keys of a prefix row are not ours to know: what sounds like a secret is masked as one.
 */
static bool is_secret(const struct settings_entry *entry)
{
    return entry->row->type == SETTING_SECRET || strstr(entry->key, "password") != NULL ||
           strstr(entry->key, "secret") != NULL || strstr(entry->key, ".keys") != NULL ||
           strstr(entry->key, "key.pem") != NULL || strstr(entry->key, "token") != NULL;
}

/* The parts of a list are secrets one by one. */
static void mask(const struct settings_entry *entry)
{
    struct str rest = str_of(entry->value);

    log_secret(entry->value);
    while (entry->row->type == SETTING_LIST && rest.ptr != NULL) {
        struct str part = str_trim(str_split(&rest, ','));
        char *text = mem_strndup(part.ptr, part.len);

        log_secret(text);
        mem_wipe(text, part.len);
        mem_free(text);
    }
}

size_t settings_load(const struct setting_row *rows, size_t n_rows, void *out,
                     const struct settings_source *src, struct settings_values **values,
                     struct buf *errors)
{
    struct settings_values *v = mem_zalloc(sizeof(*v));
    size_t i;

    v->rows = rows;
    v->n_rows = n_rows;
    v->environ_ = src->environ_;
    arena_init(&v->arena, 0);
    *values = v;
    settings_read_all(v, src, errors);
    for (i = 0; i < v->n; i++) {
        struct settings_entry *entry = &v->entries[i];
        struct err e = ERR_INIT;

        entry->value = settings_expand(v, entry, &e);
        if (entry->value == NULL)
            settings_error(v, errors, entry->origin, entry->key, "%s", e.text);
        else if (is_secret(entry))
            mask(entry);
    }
    for (i = 0; i < n_rows; i++) {
        if (rows[i].type == SETTING_PREFIX)
            collect_pairs(v, out, &rows[i]);
        else
            store(v, out, &rows[i], settings_find(v, str_of(rows[i].key)), errors);
    }
    return v->n_errors;
}

static void free_secret(char *text)
{
    if (text != NULL)
        mem_wipe(text, strlen(text));
    mem_free(text);
}

void settings_values_free(struct settings_values *v)
{
    size_t i;

    if (v == NULL)
        return;
    for (i = 0; i < v->n; i++) {
        free_secret(v->entries[i].raw);
        free_secret(v->entries[i].value);
        free_secret(v->entries[i].renewed);
    }
    mem_free(v->entries);
    mem_free(v->file);
    arena_fini(&v->arena);
    mem_free(v);
}

const char *settings_file(const struct settings_values *v)
{
    return v->file;
}

const char *settings_origin(const struct settings_values *v, const char *key)
{
    const struct settings_entry *entry = settings_find(v, str_of(key));

    /* An empty value asks for the default. */
    if (entry == NULL || (entry->value != NULL && entry->value[0] == '\0'))
        return "default";
    return entry->origin;
}

bool settings_secret_changed(struct settings_values *v, const char *key, const char **now)
{
    struct settings_entry *entry = settings_find(v, str_of(key));
    struct err e = ERR_INIT;
    const char *known;
    char *text;

    if (entry == NULL || entry->value == NULL) {
        *now = NULL;
        return false;
    }
    known = entry->renewed != NULL ? entry->renewed : entry->value;
    *now = known;
    if (!entry->raw_is_path && !entry->raw_has_files)
        return false;
    text = settings_expand(v, entry, &e);
    /* Missing or empty in the middle of a rotation: the old one stays until it is there.
     */
    if (text == NULL || text[0] == '\0' || strcmp(text, known) == 0) {
        free_secret(text);
        return false;
    }
    log_secret(text);
    free_secret(entry->renewed);
    entry->renewed = text;
    *now = text;
    return true;
}

/* ---- one typed value ---- */

int settings_parse_bytes(struct str text, int64_t *out, struct err *e)
{
    static const struct {
        const char *suffix;
        int64_t factor;
    } units[] = {
        {"KiB", INT64_C(1) << 10}, {"MiB", INT64_C(1) << 20}, {"GiB", INT64_C(1) << 30}};
    int64_t factor = 1;
    size_t i;

    for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        size_t n = strlen(units[i].suffix);

        if (text.len > n &&
            str_is((struct str){text.ptr + text.len - n, n}, units[i].suffix)) {
            text = str_trim((struct str){text.ptr, text.len - n});
            factor = units[i].factor;
            break;
        }
    }
    if (parse_i64(text, INT64_MIN, INT64_MAX, out, e) != 0)
        return -1;
    if (__builtin_mul_overflow(*out, factor, out))
        return err_set(e, ERR_INPUT, "out of range");
    return 0;
}

static int store_number(const struct setting_row *row, struct str text, void *field,
                        struct err *e)
{
    struct buf range;
    int64_t n;
    int rc;

    if (row->type == SETTING_BYTES)
        rc = settings_parse_bytes(text, &n, e);
    else
        rc = parse_i64(text, INT64_MIN, INT64_MAX, &n, e);
    if (rc == 0 && n >= row->min && n <= row->max) {
        *(int64_t *)field = n;
        return 0;
    }
    buf_init(&range, 256);
    settings_print_range(row, &range);
    (void)err_set(e, ERR_SETTINGS, "%.*s is not a whole number in the range %s",
                  STR_ARG(text), buf_str(&range).ptr);
    buf_fini(&range);
    return -1;
}

static const char *choice_name(const void *arg, size_t i)
{
    return ((const struct setting_row *)arg)->choices[i];
}

static int store_choice(const struct setting_row *row, struct str text, int *field,
                        struct err *e)
{
    const char *near;
    struct buf all;
    int i;

    for (i = 0; row->choices[i] != NULL; i++) {
        if (str_is(text, row->choices[i])) {
            *field = i;
            return 0;
        }
    }
    near = str_nearest(text, choice_name, row);
    buf_init(&all, 256);
    for (i = 0; row->choices[i] != NULL; i++)
        (void)buf_printf(&all, "%s%s", i > 0 ? ", " : "", row->choices[i]);
    (void)err_set(e, ERR_SETTINGS, "%.*s is none of %s%s%s", STR_ARG(text),
                  buf_str(&all).ptr, near != NULL ? ", nearest is " : "",
                  near != NULL ? near : "");
    buf_fini(&all);
    return -1;
}

static int store_bool(struct str text, bool *field, struct err *e)
{
    if (!str_is(text, "true") && !str_is(text, "false"))
        return err_set(e, ERR_SETTINGS, "%.*s is neither true nor false", STR_ARG(text));
    *field = str_is(text, "true");
    return 0;
}

static int store_list(struct settings_values *v, struct str text,
                      struct setting_list *list, struct err *e)
{
    struct str rest = text;
    size_t n = 1;
    size_t i;

    for (i = 0; i < text.len; i++)
        n += text.ptr[i] == ',' ? 1 : 0;
    list->items = arena_alloc(&v->arena, n * sizeof(char *));
    for (i = 0; i < n; i++) {
        struct str item = str_trim(str_split(&rest, ','));

        if (item.len == 0)
            return err_set(e, ERR_SETTINGS, "item %zu of the list is empty", i + 1);
        list->items[i] = arena_strndup(&v->arena, item.ptr, item.len);
        list->n = i + 1;
    }
    return 0;
}

static int store_text(struct settings_values *v, const struct setting_row *row,
                      char *text, void *field, struct err *e)
{
    struct str s = str_trim(str_of(text));

    switch (row->type) {
    case SETTING_TEXT:
    case SETTING_SECRET:
        *(char **)field = text;
        return 0;
    case SETTING_BOOL:
        return store_bool(s, field, e);
    case SETTING_INT:
    case SETTING_BYTES:
        return store_number(row, s, field, e);
    case SETTING_CHOICE:
        return store_choice(row, s, field, e);
    case SETTING_LIST:
        return store_list(v, s, field, e);
    case SETTING_PREFIX:
        break; /* collect_pairs */
    }
    return err_set(e, ERR_SETTINGS, "not a value");
}

static void store(struct settings_values *v, void *out, const struct setting_row *row,
                  struct settings_entry *entry, struct buf *errors)
{
    void *field = (char *)out + row->offset;
    struct err e = ERR_INIT;
    char *text;

    if (entry != NULL && entry->value == NULL)
        return; /* said already */
    if (entry != NULL && entry->value[0] != '\0') {
        if (store_text(v, row, entry->value, field, &e) != 0)
            settings_error(v, errors, entry->origin, row->key, "%s", e.text);
        return;
    }
    if (row->preset == NULL)
        return;
    if (strcmp(row->preset, "!") == 0) {
        char *name = settings_env_name(row->key);

        settings_error(v, errors, entry != NULL ? entry->origin : unset_origin(v),
                       row->key, "must be set (in the file, as %s, or by -X)", name);
        mem_free(name);
        return;
    }
    text = arena_strndup(&v->arena, row->preset, strlen(row->preset));
    if (store_text(v, row, text, field, &e) != 0)
        settings_error(v, errors, "default", row->key, "%s", e.text);
}

static void collect_pairs(struct settings_values *v, void *out,
                          const struct setting_row *row)
{
    struct setting_pairs *pairs = (void *)((char *)out + row->offset);
    size_t i;

    pairs->items = arena_zalloc(&v->arena, v->n * sizeof(struct setting_pair));
    pairs->n = 0;
    for (i = 0; i < v->n; i++) {
        const struct settings_entry *entry = &v->entries[i];

        if (entry->row != row || entry->value == NULL || entry->value[0] == '\0')
            continue;
        pairs->items[pairs->n++] = (struct setting_pair){entry->key + strlen(row->key),
                                                         entry->value, entry->origin};
    }
}
