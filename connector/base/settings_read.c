/* The three sources of settings: the file, the environment, the -X overrides. Owns
 * nothing but what it adds to the caller's entries. Invariant: every entry has a row;
 * what has none becomes an error here. */
#include "base/settings_internal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void read_file(struct settings_values *v, const char *path, struct buf *errors);
static void read_environment(struct settings_values *v, struct buf *errors);
static void read_override(struct settings_values *v, const char *text,
                          struct buf *errors);

/* ---- looking things up ---- */

static const char *env_get(const struct settings_values *v, struct str name)
{
    char *const *p;

    for (p = v->environ_; p != NULL && *p != NULL; p++)
        if (strncmp(*p, name.ptr, name.len) == 0 && (*p)[name.len] == '=')
            return *p + name.len + 1;
    return NULL;
}

struct settings_entry *settings_find(const struct settings_values *v, struct str key)
{
    size_t i;

    for (i = 0; i < v->n; i++)
        if (str_is(key, v->entries[i].key))
            return &v->entries[i];
    return NULL;
}

/* The row of a key: its own, else that of the longest prefix. */
static const struct setting_row *row_of(const struct settings_values *v, struct str key)
{
    const struct setting_row *best = NULL;
    size_t i;

    for (i = 0; i < v->n_rows; i++) {
        const struct setting_row *row = &v->rows[i];

        if (row->type != SETTING_PREFIX) {
            if (str_is(key, row->key))
                return row;
        } else if (str_starts(key, row->key) && key.len > strlen(row->key) &&
                   (best == NULL || strlen(row->key) > strlen(best->key))) {
            best = row;
        }
    }
    return best;
}

char *settings_env_name(const char *key)
{
    struct buf name;

    buf_init(&name, SETTINGS_VALUE_MAX);
    (void)buf_add_cstr(&name, SETTINGS_ENV_PREFIX);
    for (; *key != '\0'; key++) {
        if (*key == '.')
            (void)buf_add_char(&name, '_');
        else if (*key == '_' || *key == '-')
            (void)buf_add_cstr(&name, "__");
        else
            (void)buf_add_char(&name, (char)toupper((unsigned char)*key));
    }
    return buf_take(&name, NULL);
}

static bool env_name_is(struct str name, const char *key)
{
    char *own = settings_env_name(key);
    bool same = str_is(name, own);

    mem_free(own);
    return same;
}

static const char *row_name(const void *arg, size_t i)
{
    const struct settings_values *v = arg;

    return i < v->n_rows ? v->rows[i].key : NULL;
}

/* ---- entries ---- */

static void entry_fini(struct settings_entry *entry)
{
    mem_wipe(entry->raw, strlen(entry->raw));
    mem_free(entry->raw);
}

/* A key that is set twice on one rank is an error; a higher rank replaces a lower one. */
static void put_entry(struct settings_values *v, struct settings_entry new,
                      struct str value, struct buf *errors)
{
    struct settings_entry *old = settings_find(v, str_of(new.key));

    if (old != NULL && old->rank == new.rank) {
        if (new.rank == RANK_FILE)
            settings_error(v, errors, new.origin, new.key, "already set on line %d",
                           old->line);
        else
            settings_error(v, errors, new.origin, new.key, "set twice");
        return;
    }
    new.raw = mem_strndup(value.ptr, value.len);
    if (old != NULL) {
        entry_fini(old);
        *old = new;
        return;
    }
    if (v->n == v->cap) {
        v->cap = v->cap > 0 ? 2 * v->cap : 64;
        v->entries = mem_realloc(v->entries, v->cap * sizeof(struct settings_entry));
    }
    v->entries[v->n++] = new;
}

/* "key = value", of the file or of -X. */
static void put_line(struct settings_values *v, struct str text, enum settings_rank rank,
                     const char *origin, int line, struct buf *errors)
{
    struct settings_entry new = {.rank = rank, .origin = origin, .line = line};
    struct str value = text;
    struct str key = str_trim(str_split(&value, '='));

    new.key = arena_strndup(&v->arena, key.ptr, key.len);
    if (value.ptr == NULL || key.len == 0) {
        settings_error(v, errors, origin, key.len > 0 ? new.key : "line",
                       "must be key = value");
        return;
    }
    new.row = row_of(v, key);
    if (new.row == NULL) {
        const char *near = str_nearest(key, row_name, v);

        settings_error(v, errors, origin, new.key, "unknown key%s%s",
                       near != NULL ? ", nearest is " : "", near != NULL ? near : "");
        return;
    }
    put_entry(v, new, str_trim(value), errors);
}

void settings_read_all(struct settings_values *v, const struct settings_source *src,
                       struct buf *errors)
{
    static const char *const places[] = {"front-connector.conf",
                                         "/etc/front-connector/front-connector.conf"};
    const char *path = src->file;
    size_t i;

    if (path == NULL)
        path = env_get(v, STR_LIT(SETTINGS_ENV_PREFIX "CONFIG"));
    for (i = 0; path == NULL && i < sizeof(places) / sizeof(places[0]); i++)
        if (access(places[i], F_OK) == 0)
            path = places[i];
    if (path != NULL && path[0] != '\0')
        read_file(v, path, errors);
    read_environment(v, errors);
    for (i = 0; i < src->n_overrides; i++)
        read_override(v, src->overrides[i], errors);
}

/* Whole contents of a small file; no NUL in them. */
static char *slurp(const char *path, size_t max, size_t *len, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct buf text;
    ssize_t n = 0;

    if (fd < 0) {
        (void)err_set(e, ERR_SETTINGS, "cannot read %s: %s", path, strerror(errno));
        return NULL;
    }
    buf_init(&text, max);
    while (buf_reserve(&text, max - text.len < 4096 ? max - text.len : 4096) == 0) {
        n = read(fd, text.data + text.len, max - text.len < 4096 ? max - text.len : 4096);
        if (n <= 0)
            break;
        text.len += (size_t)n;
    }
    if (n < 0)
        (void)err_set(e, ERR_SETTINGS, "cannot read %s: %s", path, strerror(errno));
    else if (text.len == max)
        (void)err_set(e, ERR_SETTINGS, "%s is larger than %zu bytes", path, max - 1);
    else if (text.len > 0 && memchr(text.data, '\0', text.len) != NULL)
        (void)err_set(e, ERR_SETTINGS, "%s has a zero byte in it", path);
    (void)close(fd);
    if (e->kind != ERR_NONE) {
        if (text.data != NULL)
            mem_wipe(text.data, text.len);
        buf_fini(&text);
        return NULL;
    }
    if (text.data != NULL)
        text.data[text.len] = '\0';
    return buf_take(&text, len);
}

static void read_file(struct settings_values *v, const char *path, struct buf *errors)
{
    struct err e = ERR_INIT;
    size_t len;
    char *text = slurp(path, SETTINGS_FILE_MAX, &len, &e);
    struct str rest = {text, len};
    int line;

    if (text == NULL) {
        settings_error(v, errors, path, "file", "%s", e.text);
        return;
    }
    v->file = mem_strdup(path);
    if (str_starts(rest, "\xef\xbb\xbf")) /* the mark that some editors put first */
        rest = (struct str){rest.ptr + 3, rest.len - 3};
    for (line = 1; rest.ptr != NULL; line++) {
        struct str one = str_trim(str_split(&rest, '\n'));
        const char *origin;

        if (one.len == 0 || one.ptr[0] == '#')
            continue;
        origin = arena_printf(&v->arena, "%s:%d", path, line);
        if (!utf8_valid(one))
            settings_error(v, errors, origin, "line", "not UTF-8");
        else
            put_line(v, one, RANK_FILE, origin, line, errors);
    }
    mem_wipe(text, len);
    mem_free(text);
}

/* Kubernetes puts FRONT_CONNECTOR_SERVICE_HOST, FRONT_CONNECTOR_PORT_9464_TCP and the
 * like into each container when a Service is called front-connector: not settings of
 * ours. */
static bool set_by_kubernetes(struct str name)
{
    struct str rest = {name.ptr + strlen(SETTINGS_ENV_PREFIX),
                       name.len - strlen(SETTINGS_ENV_PREFIX)};

    return str_is(rest, "PORT") || str_starts(rest, "PORT_") ||
           str_is(rest, "SERVICE_HOST") || str_is(rest, "SERVICE_PORT") ||
           str_starts(rest, "SERVICE_PORT_");
}

/* The key of a variable of a prefix row: backwards, where the name allows it. */
static char *prefix_key(struct settings_values *v, struct str name)
{
    size_t best = 0; /* length of the row's name */
    const char *prefix = NULL;
    struct buf key;
    size_t i;
    char *copy;

    for (i = 0; i < v->n_rows; i++) {
        char *own;

        if (v->rows[i].type != SETTING_PREFIX)
            continue;
        own = settings_env_name(v->rows[i].key);
        if (str_starts(name, own) && name.len > strlen(own) && strlen(own) > best) {
            best = strlen(own);
            prefix = v->rows[i].key;
        }
        mem_free(own);
    }
    if (prefix == NULL)
        return NULL;
    buf_init(&key, SETTINGS_VALUE_MAX);
    (void)buf_add_cstr(&key, prefix);
    for (i = best; i < name.len; i++) {
        bool pair = name.ptr[i] == '_' && i + 1 < name.len && name.ptr[i + 1] == '_';

        if (name.ptr[i] != '_')
            (void)buf_add_char(&key, (char)tolower((unsigned char)name.ptr[i]));
        else
            (void)buf_add_char(&key, pair ? '_' : '.');
        i += pair ? 1 : 0;
    }
    copy = arena_strndup(&v->arena, key.data, key.len);
    buf_fini(&key);
    return copy;
}

/* The key a variable's name stands for. A name of the table or of the file wins over a
 * guess:
 * "__" may be "_" or "-". */
static char *env_key(struct settings_values *v, struct str name, bool guess)
{
    size_t i;

    for (i = 0; i < v->n_rows; i++)
        if (v->rows[i].type != SETTING_PREFIX && env_name_is(name, v->rows[i].key))
            return arena_strndup(&v->arena, v->rows[i].key, strlen(v->rows[i].key));
    for (i = 0; i < v->n; i++)
        if (env_name_is(name, v->entries[i].key))
            return v->entries[i].key;
    return guess ? prefix_key(v, name) : NULL;
}

struct env_names {
    char **names;
    size_t n;
};

static const char *env_row_name(const void *arg, size_t i)
{
    const struct env_names *names = arg;

    return i < names->n ? names->names[i] : NULL;
}

static void unknown_variable(struct settings_values *v, const char *name,
                             struct buf *errors)
{
    struct env_names names = {mem_array(v->n_rows, sizeof(char *)), v->n_rows};
    const char *near;
    size_t i;

    for (i = 0; i < v->n_rows; i++)
        names.names[i] = settings_env_name(v->rows[i].key);
    near = str_nearest(str_of(name), env_row_name, &names);
    settings_error(v, errors, "environment", name, "unknown variable%s%s",
                   near != NULL ? ", nearest is " : "", near != NULL ? near : "");
    for (i = 0; i < v->n_rows; i++)
        mem_free(names.names[i]);
    mem_free(names.names);
}

static void read_variable(struct settings_values *v, struct str name, struct str value,
                          struct buf *errors)
{
    static const struct str tail = {"_FILE", 5};
    struct settings_entry new = {.rank = RANK_ENVIRONMENT, .origin = "environment"};
    struct str stem = {name.ptr, name.len > tail.len ? name.len - tail.len : 0};
    bool has_tail =
        stem.len > 0 && str_eq((struct str){name.ptr + stem.len, tail.len}, tail);

    new.key = env_key(v, name, !has_tail);
    if (new.key == NULL && has_tail) {
        new.key = env_key(v, stem, true);
        new.raw_is_path = new.key != NULL;
    }
    if (new.key == NULL) {
        char *text = mem_strndup(name.ptr, name.len);

        unknown_variable(v, text, errors);
        mem_free(text);
        return;
    }
    new.row = row_of(v, str_of(new.key));
    put_entry(v, new, value, errors);
}

static void read_environment(struct settings_values *v, struct buf *errors)
{
    char *const *p;

    for (p = v->environ_; p != NULL && *p != NULL; p++) {
        struct str value = str_of(*p);
        struct str name = str_split(&value, '=');

        if (!str_starts(name, SETTINGS_ENV_PREFIX) || value.ptr == NULL ||
            str_is(name, SETTINGS_ENV_PREFIX "CONFIG") || set_by_kubernetes(name))
            continue;
        read_variable(v, name, value, errors);
    }
}

static void read_override(struct settings_values *v, const char *text, struct buf *errors)
{
    put_line(v, str_of(text), RANK_OVERRIDE, "-X", 0, errors);
}

/* ---- values ---- */

static int add_file(struct buf *out, const char *path, struct err *e)
{
    size_t len;
    char *text = slurp(path, SETTINGS_VALUE_MAX, &len, e);

    if (text == NULL)
        return -1;
    if (len > 0 && text[len - 1] == '\n')
        len--;
    if (len > 0 && text[len - 1] == '\r')
        len--;
    (void)buf_add(out, text, len);
    mem_wipe(text, len);
    mem_free(text);
    return 0;
}

/* What stands between ${ and }. */
static int add_reference(const struct settings_values *v, struct str ref, struct buf *out,
                         bool *files, struct err *e)
{
    struct str what = ref;
    struct str how = str_split(&what, ':');
    char *path;
    int rc;

    if (str_is(how, "env") && what.len > 0) {
        const char *text = env_get(v, what);

        if (text == NULL)
            return err_set(e, ERR_SETTINGS, "the environment has no %.*s", STR_ARG(what));
        (void)buf_add_cstr(out, text);
        return 0;
    }
    if (!str_is(how, "file") || what.len == 0)
        return err_set(e, ERR_SETTINGS, "${%.*s}: must be ${env:NAME} or ${file:/path}",
                       STR_ARG(ref));
    *files = true;
    path = mem_strndup(what.ptr, what.len);
    rc = add_file(out, path, e);
    mem_free(path);
    return rc;
}

static int add_expanded(const struct settings_values *v, struct str raw, struct buf *out,
                        bool *files, struct err *e)
{
    size_t i = 0;

    while (i < raw.len) {
        const char *end;

        if (raw.ptr[i] == '$' && i + 1 < raw.len && raw.ptr[i + 1] == '$') {
            (void)buf_add_char(out, '$');
            i += 2;
        } else if (raw.ptr[i] == '$' && i + 1 < raw.len && raw.ptr[i + 1] == '{') {
            struct str ref = {raw.ptr + i + 2, 0};

            end = memchr(ref.ptr, '}', raw.len - i - 2);
            if (end == NULL)
                return err_set(e, ERR_SETTINGS,
                               "${ without } (write $${ for the text ${)");
            ref.len = (size_t)(end - ref.ptr);
            if (add_reference(v, ref, out, files, e) != 0)
                return -1;
            i = (size_t)(end - raw.ptr) + 1;
        } else {
            /* A single $ stands for itself: regular expressions end in one. */
            (void)buf_add_char(out, raw.ptr[i++]);
        }
    }
    return 0;
}

char *settings_expand(const struct settings_values *v, struct settings_entry *entry,
                      struct err *e)
{
    struct buf out;
    int rc;

    buf_init(&out, SETTINGS_VALUE_MAX);
    if (entry->raw_is_path && entry->raw[0] != '\0')
        rc = add_file(&out, entry->raw, e);
    else
        rc = add_expanded(v, str_of(entry->raw), &out, &entry->raw_has_files, e);
    if (rc == 0 && out.over)
        rc = err_set(e, ERR_SETTINGS, "longer than %d bytes", SETTINGS_VALUE_MAX);
    if (rc == 0 && !utf8_valid(buf_str(&out)))
        rc = err_set(e, ERR_SETTINGS, "not UTF-8");
    if (rc == 0)
        return buf_take(&out, NULL);
    if (out.data != NULL)
        mem_wipe(out.data, out.len);
    buf_fini(&out);
    return NULL;
}
