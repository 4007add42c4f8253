/* See settings.h. Every key is looked for in three layers; the highest that has it wins;
 * whatever is wrong becomes one line of `errors`, and reading goes on. */
#include "base/settings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ctype.h>
#include <sys/stat.h>

#include "base/mem.h"

#define ENV_PREFIX "FRONT_CONNECTOR_"
#define FILE_MAX (1024 * 1024)
#define LAYERS 3 /* file, environment, -X: later ones win */

struct entry {
    char *key, *raw, *origin;
    char *secret_file; /* the value is the content of this file (_FILE) */
    bool used;
};

struct layer {
    struct entry *items;
    size_t n;
};

struct watched {
    const char *key;
    char *path;
    struct timespec mtime;
    char *text;
};

struct settings_values {
    const struct setting_row *rows;
    size_t n_rows;
    struct layer layers[LAYERS];
    char *file;
    struct watched *watched;
    size_t n_watched;
    char **owned; /* every string handed out */
    size_t n_owned;
    size_t n_errors;
};

static void read_file(struct settings_values *v, const char *path, struct buf *errors);
static void read_line(struct settings_values *v, const char *path, int number,
                      struct str line, struct buf *errors);
static void read_environment(struct settings_values *v, char *const *env,
                             struct buf *errors);
static void read_overrides(struct settings_values *v, const struct settings_source *src,
                           struct buf *errors);
static void add(struct layer *l, struct str key, struct str raw, const char *origin);
static void complain(struct settings_values *v, struct buf *errors, const char *origin,
                     const char *key, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
static const struct setting_row *row_of(const struct settings_values *v, const char *key);
static struct entry *find(struct settings_values *v, const char *key);
static void fill(struct settings_values *v, const struct setting_row *row, void *out,
                 struct buf *errors);
static void fill_prefix(struct settings_values *v, const struct setting_row *row,
                        void *out, struct buf *errors);
static void store(struct settings_values *v, const struct setting_row *row, void *out,
                  const char *origin, char *text, struct buf *errors);
static char *expand(struct settings_values *v, const char *key, const struct entry *en,
                    struct buf *errors);
static char *read_secret(struct settings_values *v, const char *key, const char *path,
                         const char *origin, struct buf *errors);
static char *slurp(const char *path);
static char *own(struct settings_values *v, char *text);
static char *env_name(const char *key);
static void report_unknown(struct settings_values *v, struct buf *errors);
static const char *usual_file(char *const *env);

size_t settings_load(const struct setting_row *rows, size_t n_rows, void *out,
                     const struct settings_source *src, struct settings_values **values,
                     struct buf *errors)
{
    struct settings_values *v = mem_zalloc(sizeof *v);
    v->rows = rows;
    v->n_rows = n_rows;
    *values = v;
    const char *file = src->file != NULL ? src->file : usual_file(src->environ_);
    if (file != NULL && file[0] != 0)
        read_file(v, file, errors);
    read_environment(v, src->environ_, errors);
    read_overrides(v, src, errors);
    for (size_t i = 0; i < n_rows; i++) {
        if (rows[i].type == SETTING_PREFIX)
            fill_prefix(v, &rows[i], out, errors);
        else
            fill(v, &rows[i], out, errors);
    }
    report_unknown(v, errors);
    return v->n_errors;
}

void settings_values_free(struct settings_values *v)
{
    if (v == NULL)
        return;
    for (size_t l = 0; l < LAYERS; l++) {
        for (size_t i = 0; i < v->layers[l].n; i++) {
            struct entry *en = &v->layers[l].items[i];
            mem_free(en->key);
            mem_wipe(en->raw, strlen(en->raw));
            mem_free(en->raw);
            mem_free(en->origin);
        }
        mem_free(v->layers[l].items);
    }
    for (size_t i = 0; i < v->n_owned; i++)
        mem_free(v->owned[i]);
    for (size_t i = 0; i < v->n_watched; i++)
        mem_free(v->watched[i].path);
    mem_free(v->owned);
    mem_free(v->watched);
    mem_free(v->file);
    mem_free(v);
}

const char *settings_file(const struct settings_values *v)
{
    return v->file;
}

const char *settings_origin(const struct settings_values *v, const char *key)
{
    for (size_t l = LAYERS; l-- > 0;)
        for (size_t i = 0; i < v->layers[l].n; i++)
            if (strcmp(v->layers[l].items[i].key, key) == 0)
                return v->layers[l].items[i].origin;
    return "default";
}

int settings_complain(struct buf *errors, const struct settings_values *v,
                      const char *key, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char text[512];
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    buf_printf(errors, "%s: %s: %s\n", settings_origin(v, key), key, text);
    return -1;
}

bool settings_secret_changed(struct settings_values *v, const char *key, const char **now)
{
    for (size_t i = 0; i < v->n_watched; i++) {
        struct watched *w = &v->watched[i];
        struct stat st;
        if (strcmp(w->key, key) != 0)
            continue;
        *now = w->text;
        if (stat(w->path, &st) != 0 || (st.st_mtim.tv_sec == w->mtime.tv_sec &&
                                        st.st_mtim.tv_nsec == w->mtime.tv_nsec))
            return false;
        char *text = slurp(w->path);
        if (text == NULL || text[0] == 0) { /* being written right now: look again */
            mem_free(text);
            return false;
        }
        w->mtime = st.st_mtim;
        bool changed = strcmp(text, w->text) != 0;
        w->text = own(v, text);
        *now = w->text;
        return changed;
    }
    return false;
}

static const char *usual_file(char *const *env)
{
    static const char *const usual[] = {"front-connector.conf",
                                        "/etc/front-connector/front-connector.conf"};
    for (size_t i = 0; env != NULL && env[i] != NULL; i++)
        if (strncmp(env[i], ENV_PREFIX "CONFIG=", sizeof ENV_PREFIX "CONFIG=" - 1) == 0)
            return env[i] + sizeof ENV_PREFIX "CONFIG=" - 1;
    for (size_t i = 0; i < 2; i++) {
        struct stat st;
        if (stat(usual[i], &st) == 0)
            return usual[i];
    }
    return NULL;
}

static void read_file(struct settings_values *v, const char *path, struct buf *errors)
{
    char *text = slurp(path);
    int number = 0;
    if (text == NULL) {
        complain(v, errors, path, "", "the settings file cannot be read");
        return;
    }
    v->file = mem_strdup(path);
    if (!utf8_valid(str_of(text)))
        complain(v, errors, path, "", "the settings file is not UTF-8");
    struct str rest = str_of(text);
    while (rest.ptr != NULL)
        read_line(v, path, ++number, str_split(&rest, '\n'), errors);
    mem_wipe(text, strlen(text));
    mem_free(text);
}

static void read_line(struct settings_values *v, const char *path, int number,
                      struct str line, struct buf *errors)
{
    struct str key, value = str_trim(line);
    char *origin = mem_printf("%s:%d", path, number);
    if (value.len > 0 && value.ptr[0] != '#') {
        key = str_trim(str_split(&value, '='));
        struct layer *l = &v->layers[0];
        size_t i = 0;
        while (i < l->n && !str_is(key, l->items[i].key))
            i++;
        char *name = mem_strndup(key.ptr, key.len);
        if (value.ptr == NULL)
            complain(v, errors, origin, name, "no \"=\": lines are \"key = value\"");
        else if (i < l->n)
            complain(v, errors, origin, name, "set twice, first at %s",
                     l->items[i].origin);
        else
            add(l, key, str_trim(value), origin);
        mem_free(name);
    }
    mem_free(origin);
}

/* The environment is matched row by row: names cannot be turned back into keys without
 * doubt. */
static void read_environment(struct settings_values *v, char *const *env,
                             struct buf *errors)
{
    for (size_t i = 0; env != NULL && env[i] != NULL; i++) {
        struct str value = str_of(env[i]);
        struct str name = str_split(&value, '=');
        if (!str_starts(name, ENV_PREFIX) || str_is(name, ENV_PREFIX "CONFIG") ||
            value.ptr == NULL)
            continue;
        struct str tail = {name.ptr + sizeof ENV_PREFIX - 1,
                           name.len - sizeof ENV_PREFIX + 1};
        bool file = tail.len > 5 && memcmp(tail.ptr + tail.len - 5, "_FILE", 5) == 0;
        const struct setting_row *match = NULL;
        struct str stem = {tail.ptr, file ? tail.len - 5 : tail.len};
        char *key = NULL;
        for (size_t r = 0; r < v->n_rows && match == NULL; r++) {
            char *want = env_name(v->rows[r].key);
            if (v->rows[r].type != SETTING_PREFIX &&
                (str_is(tail, want) || (file && str_is(stem, want)))) {
                match = &v->rows[r];
                file = file && !str_is(tail, want);
                key = mem_strdup(match->key);
            } else if (v->rows[r].type == SETTING_PREFIX && str_starts(tail, want) &&
                       tail.len > strlen(want)) {
                match = &v->rows[r];
                struct buf b;
                buf_init(&b, 4096);
                size_t n = strlen(want);
                (void)buf_add_cstr(&b, match->key);
                for (size_t k = n; k < stem.len; k++) {
                    bool pair =
                        stem.ptr[k] == '_' && k + 1 < stem.len && stem.ptr[k + 1] == '_';
                    char c = stem.ptr[k] == '_'
                                 ? (pair ? '_' : '.')
                                 : (char)tolower((unsigned char)stem.ptr[k]);
                    (void)buf_add_char(&b, c);
                    k += pair;
                }
                key = buf_take(&b, NULL);
            }
            mem_free(want);
        }
        if (match == NULL) {
            char *unknown = mem_strndup(name.ptr, name.len);
            complain(v, errors, "environment", unknown, "no such setting");
            mem_free(unknown);
            continue;
        }
        add(&v->layers[1], str_of(key), value, "environment");
        if (file)
            v->layers[1].items[v->layers[1].n - 1].secret_file =
                v->layers[1].items[v->layers[1].n - 1].raw;
        mem_free(key);
    }
}

static void read_overrides(struct settings_values *v, const struct settings_source *src,
                           struct buf *errors)
{
    for (size_t i = 0; i < src->n_overrides; i++) {
        struct str value = str_of(src->overrides[i]);
        struct str key = str_trim(str_split(&value, '='));
        if (value.ptr == NULL)
            complain(v, errors, "-X", src->overrides[i], "must be key=value");
        else
            add(&v->layers[2], key, str_trim(value), "-X");
    }
}

static void add(struct layer *l, struct str key, struct str raw, const char *origin)
{
    l->items = mem_realloc(l->items, (l->n + 1) * sizeof *l->items);
    l->items[l->n++] =
        (struct entry){mem_strndup(key.ptr, key.len), mem_strndup(raw.ptr, raw.len),
                       mem_strdup(origin), NULL, false};
}

static void complain(struct settings_values *v, struct buf *errors, const char *origin,
                     const char *key, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    buf_printf(errors, "%s: %s%s%s\n", origin, key, key[0] ? ": " : "", text);
    v->n_errors++;
}

static const struct setting_row *row_of(const struct settings_values *v, const char *key)
{
    const struct setting_row *prefix = NULL;
    for (size_t i = 0; i < v->n_rows; i++) {
        const struct setting_row *row = &v->rows[i];
        if (row->type != SETTING_PREFIX && strcmp(row->key, key) == 0)
            return row;
        if (row->type == SETTING_PREFIX &&
            strncmp(key, row->key, strlen(row->key)) == 0 && key[strlen(row->key)] != 0 &&
            (prefix == NULL || strlen(row->key) > strlen(prefix->key)))
            prefix = row;
    }
    return prefix;
}

static struct entry *find(struct settings_values *v, const char *key)
{
    struct entry *found = NULL;
    for (size_t l = 0; l < LAYERS; l++)
        for (size_t i = 0; i < v->layers[l].n; i++)
            if (strcmp(v->layers[l].items[i].key, key) == 0) {
                v->layers[l].items[i].used = true;
                found = &v->layers[l].items[i];
            }
    return found;
}

static void fill(struct settings_values *v, const struct setting_row *row, void *out,
                 struct buf *errors)
{
    struct entry *en = find(v, row->key);
    bool required = row->preset != NULL && strcmp(row->preset, "!") == 0;
    char *text = en != NULL ? expand(v, row->key, en, errors) : NULL;
    const char *origin = en != NULL ? en->origin : "default";
    if (text == NULL && en != NULL)
        return;                         /* complained already */
    if (text != NULL && text[0] == 0) { /* an empty value means the default */
        mem_free(text);
        text = NULL;
        origin = "default";
    }
    if (text == NULL && required) {
        complain(v, errors, v->file ? v->file : "settings", row->key, "must be set");
        return;
    }
    if (text == NULL && row->preset != NULL)
        text = mem_strdup(row->preset);
    store(v, row, out, origin, text, errors);
}

static void fill_prefix(struct settings_values *v, const struct setting_row *row,
                        void *out, struct buf *errors)
{
    struct setting_pairs *pairs = (void *)((char *)out + row->offset);
    for (size_t l = 0; l < LAYERS; l++)
        for (size_t i = 0; i < v->layers[l].n; i++) {
            struct entry *en = &v->layers[l].items[i];
            if (en->used || row_of(v, en->key) != row)
                continue;
            struct entry *winner = find(v, en->key);
            char *text = expand(v, en->key, winner, errors);
            if (text == NULL)
                continue;
            pairs->items =
                mem_realloc(pairs->items, (pairs->n + 1) * sizeof *pairs->items);
            pairs->items[pairs->n++] =
                (struct setting_pair){own(v, mem_strdup(en->key + strlen(row->key))),
                                      own(v, text), winner->origin};
        }
    /* realloc moved the array while it grew: it is handed to `owned` once, whole */
    if (pairs->n > 0)
        (void)own(v, (char *)pairs->items);
}

static int parse_bytes(struct str s, int64_t *out, struct err *e)
{
    static const struct {
        const char *suffix;
        int64_t factor;
    } units[] = {{"KiB", 1024}, {"MiB", 1024 * 1024}, {"GiB", 1024 * 1024 * 1024}};
    int64_t factor = 1;
    for (size_t i = 0; i < 3; i++)
        if (s.len > 3 && memcmp(s.ptr + s.len - 3, units[i].suffix, 3) == 0) {
            factor = units[i].factor;
            s.len -= 3;
            s = str_trim(s);
            break;
        }
    if (parse_i64(s, 0, INT64_MAX / factor, out, e))
        return -1;
    *out *= factor;
    return 0;
}

static void store_number(struct settings_values *v, const struct setting_row *row,
                         void *field, const char *origin, const char *text,
                         struct buf *errors)
{
    struct err e = ERR_INIT;
    int64_t n = 0;
    int rc = row->type == SETTING_BYTES
                 ? parse_bytes(str_of(text), &n, &e)
                 : parse_i64(str_of(text), INT64_MIN, INT64_MAX, &n, &e);
    if (rc || n < row->min || n > row->max)
        complain(v, errors, origin, row->key, "%s is not a number from %lld to %lld%s%s",
                 text, (long long)row->min, (long long)row->max, row->unit ? " " : "",
                 row->unit ? row->unit : "");
    else
        *(int64_t *)field = n;
}

static void store_choice(struct settings_values *v, const struct setting_row *row,
                         void *field, const char *origin, const char *text,
                         struct buf *errors)
{
    struct buf all;
    for (int i = 0; row->choices[i] != NULL; i++)
        if (strcmp(row->choices[i], text) == 0) {
            *(int *)field = i;
            return;
        }
    buf_init(&all, 4096);
    for (int i = 0; row->choices[i] != NULL; i++)
        buf_printf(&all, "%s%s", i ? ", " : "", row->choices[i]);
    complain(v, errors, origin, row->key, "%s is none of: %s", text, all.data);
    buf_fini(&all);
}

static void store_list(struct settings_values *v, const struct setting_row *row,
                       void *field, const char *origin, const char *text,
                       struct buf *errors)
{
    struct setting_list *list = field;
    struct str rest = str_of(text);
    while (rest.ptr != NULL) {
        struct str item = str_trim(str_split(&rest, ','));
        if (item.len == 0) {
            complain(v, errors, origin, row->key, "an empty item in the list");
            continue;
        }
        list->items = mem_realloc(list->items, (list->n + 1) * sizeof *list->items);
        list->items[list->n++] = own(v, mem_strndup(item.ptr, item.len));
    }
    if (list->n > 0)
        (void)own(v, (char *)list->items);
}

/* Takes `text` (NULL: not set and no default). */
static void store(struct settings_values *v, const struct setting_row *row, void *out,
                  const char *origin, char *text, struct buf *errors)
{
    void *field = (char *)out + row->offset;
    if (text == NULL)
        return;
    (void)own(v, text);
    switch (row->type) {
    case SETTING_TEXT:
    case SETTING_SECRET:
        *(char **)field = text;
        return;
    case SETTING_BOOL:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            complain(v, errors, origin, row->key, "%s is neither true nor false", text);
        *(bool *)field = strcmp(text, "true") == 0;
        return;
    case SETTING_INT:
    case SETTING_BYTES:
        store_number(v, row, field, origin, text, errors);
        return;
    case SETTING_CHOICE:
        store_choice(v, row, field, origin, text, errors);
        return;
    case SETTING_LIST:
        store_list(v, row, field, origin, text, errors);
        return;
    case SETTING_PREFIX:
        return;
    }
}

/* ${env:X}, ${file:/p} and $$; NULL after a complaint. */
static char *expand(struct settings_values *v, const char *key, const struct entry *en,
                    struct buf *errors)
{
    if (en->secret_file != NULL)
        return read_secret(v, key, en->secret_file, en->origin, errors);
    struct buf out;
    buf_init(&out, FILE_MAX);
    const char *p = en->raw;
    bool bad = false;
    (void)buf_add_cstr(&out, "");
    while (*p != 0 && !bad) {
        const char *end = p[0] == '$' && p[1] == '{' ? strchr(p, '}') : NULL;
        if (p[0] == '$' && p[1] == '$') {
            (void)buf_add_char(&out, '$');
            p += 2;
        } else if (end != NULL && strncmp(p, "${env:", 6) == 0) {
            char *name = mem_strndup(p + 6, (size_t)(end - p - 6));
            const char *value = getenv(name);
            if (value == NULL) {
                complain(v, errors, en->origin, key, "environment variable %s is not set",
                         name);
                bad = true;
            } else {
                (void)buf_add_cstr(&out, value);
            }
            mem_free(name);
            p = end + 1;
        } else if (end != NULL && strncmp(p, "${file:", 7) == 0) {
            char *path = mem_strndup(p + 7, (size_t)(end - p - 7));
            char *text = read_secret(v, key, path, en->origin, errors);
            bad = text == NULL;
            (void)buf_add_cstr(&out, text ? text : "");
            mem_free(text);
            mem_free(path);
            p = end + 1;
        } else {
            (void)buf_add_char(&out, *p++);
        }
    }
    if (bad) {
        buf_fini(&out);
        return NULL;
    }
    return out.data != NULL ? buf_take(&out, NULL) : mem_strdup("");
}

/* The file's text (one trailing newline dropped), which is looked at again when it
 * changes. */
static char *read_secret(struct settings_values *v, const char *key, const char *path,
                         const char *origin, struct buf *errors)
{
    struct stat st;
    char *text = slurp(path);
    if (text == NULL || stat(path, &st) != 0) {
        complain(v, errors, origin, key, "file %s cannot be read", path);
        mem_free(text);
        return NULL;
    }
    v->watched = mem_realloc(v->watched, (v->n_watched + 1) * sizeof *v->watched);
    v->watched[v->n_watched++] = (struct watched){
        own(v, mem_strdup(key)), mem_strdup(path), st.st_mtim, own(v, mem_strdup(text))};
    return text;
}

static char *slurp(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return NULL;
    char *text = mem_alloc(FILE_MAX + 1);
    size_t n = fread(text, 1, FILE_MAX, f);
    fclose(f);
    text[n] = 0;
    if (n > 0 && text[n - 1] == '\n')
        text[--n] = 0;
    char *fit = mem_strdup(text);
    mem_wipe(text, n);
    mem_free(text);
    return fit;
}

static char *own(struct settings_values *v, char *text)
{
    v->owned = mem_realloc(v->owned, (v->n_owned + 1) * sizeof *v->owned);
    v->owned[v->n_owned++] = text;
    return text;
}

/* front.max.in.flight -> FRONT_MAX_IN_FLIGHT; "_" and "-" in names become "__". */
static char *env_name(const char *key)
{
    struct buf b;
    buf_init(&b, 4096);
    for (const char *p = key; *p != 0; p++) {
        if (*p == '_' || *p == '-')
            (void)buf_add_cstr(&b, "__");
        else
            (void)buf_add_char(&b, *p == '.' ? '_' : (char)toupper((unsigned char)*p));
    }
    return buf_take(&b, NULL);
}

static const char *nearest_row(const void *arg, size_t i)
{
    const struct settings_values *v = arg;
    return i < v->n_rows ? v->rows[i].key : NULL;
}

static void report_unknown(struct settings_values *v, struct buf *errors)
{
    for (size_t l = 0; l < LAYERS; l++)
        for (size_t i = 0; i < v->layers[l].n; i++) {
            const struct entry *en = &v->layers[l].items[i];
            if (row_of(v, en->key) != NULL)
                continue;
            const char *near = str_nearest(str_of(en->key), nearest_row, v);
            complain(v, errors, en->origin, en->key, "unknown setting%s%s",
                     near ? ", nearest: " : "", near ? near : "");
        }
}
