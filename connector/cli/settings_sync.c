/* sync.<name>.operation, .every.ms, .params.<param>, .cursor, .overlap.ms: free keys
 * behind one prefix row, so what the table does for other keys is done here by hand:
 * unknown ones named with the nearest, ranges, and the operation looked up in the
 * catalogue. */
#include "cli/settings_sync.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "front/catalogue.h"
#include "front/with.h"

#define EVERY_MIN_MS 1000
#define EVERY_MAX_MS (INT64_C(31) * 86400 * 1000)
#define OVERLAP_PRESET_MS 300000

static const char *const sync_keys[] = {"operation", "every.ms",   "params.",
                                        "cursor",    "overlap.ms", NULL};

static const char *sync_key_name(const void *arg, size_t i)
{
    (void)arg;
    return sync_keys[i];
}

static struct sync_setting *sync_of(struct settings *s, struct str name)
{
    struct sync_setting *sync;

    for (size_t i = 0; i < s->n_syncs; i++) {
        if (str_is(name, s->syncs[i].name))
            return &s->syncs[i];
    }
    s->syncs = mem_realloc(s->syncs, (s->n_syncs + 1) * sizeof(s->syncs[0]));
    sync = &s->syncs[s->n_syncs++];
    memset(sync, 0, sizeof(*sync));
    sync->name = mem_strndup(name.ptr, name.len);
    sync->cursor = "none";
    sync->overlap_ms = OVERLAP_PRESET_MS;
    return sync;
}

static void add_param(struct sync_setting *sync, const char *name, const char *value)
{
    sync->params =
        mem_realloc(sync->params, (sync->n_params + 1) * sizeof(sync->params[0]));
    sync->params[sync->n_params++] = (struct sync_param){name, value};
}

static void set_number(struct checker *c, const char *key, const char *value, int64_t min,
                       int64_t max, int64_t *out)
{
    struct err e = ERR_INIT;

    if (parse_i64(str_of(value), min, max, out, &e) != 0)
        settings_wrong(c, key, "must be %lld to %lld ms", (long long)min, (long long)max);
}

static void set_key(struct checker *c, struct sync_setting *sync, const char *key,
                    const char *rest, const char *value)
{
    const char *near;

    if (strcmp(rest, "operation") == 0) {
        sync->operation = value;
    } else if (strcmp(rest, "every.ms") == 0) {
        set_number(c, key, value, EVERY_MIN_MS, EVERY_MAX_MS, &sync->every_ms);
    } else if (strcmp(rest, "overlap.ms") == 0) {
        set_number(c, key, value, 0, EVERY_MAX_MS, &sync->overlap_ms);
    } else if (strcmp(rest, "cursor") == 0) {
        if (strcmp(value, "none") != 0 && strcmp(value, "updated_after") != 0)
            settings_wrong(c, key, "must be none or updated_after");
        else
            sync->cursor = value;
    } else if (strncmp(rest, "params.", 7) == 0 && rest[7]) {
        add_param(sync, rest + 7, value);
    } else {
        near = str_nearest(str_of(rest), sync_key_name, NULL);
        if (near)
            settings_wrong(c, key, "is unknown, nearest: sync.%s.%s", sync->name, near);
        else
            settings_wrong(c, key, "is unknown");
    }
}

static bool name_is_plain(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char ch = name.ptr[i];

        if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
              (ch >= '0' && ch <= '9') || ch == '-' || ch == '_'))
            return false;
    }
    return name.len > 0;
}

static void parse_pair(struct checker *c, const struct setting_pair *pair)
{
    const char *dot = strchr(pair->key, '.');
    char *key = mem_printf("sync.%s", pair->key);
    struct str name = {pair->key, dot ? (size_t)(dot - pair->key) : 0};

    if (!name_is_plain(name))
        settings_wrong(c, key,
                       "must be sync.<name>.<key>, the name of letters, digits, - and _");
    else
        set_key(c, sync_of(c->s, name), key, dot + 1, pair->value);
    mem_free(key);
}

static bool sync_param_is_known(const struct op *op, const char *name)
{
    struct str param = str_of(name);

    return op_field(op, param, PLACE_PATH) || op_field(op, param, PLACE_QUERY) ||
           op_field(op, param, PLACE_WITH) ||
           (op_field(op, STR_LIT("q"), PLACE_Q) && str_starts(param, "q["));
}

static void check_params(struct checker *c, const struct sync_setting *sync,
                         const struct op *op)
{
    for (size_t i = 0; i < sync->n_params; i++) {
        char *key = mem_printf("sync.%s.params.%s", sync->name, sync->params[i].name);
        struct pair param = {.name = str_of(sync->params[i].name),
                             .value = str_of(sync->params[i].value)};
        struct err e = ERR_INIT;
        struct with with;

        if (!sync_param_is_known(op, sync->params[i].name))
            settings_wrong(c, key, "%s has no such parameter", op->name);
        else if (with_read(&param, 1, op, &with, &e) != 0)
            settings_wrong(c, key, "%s", e.text);
        mem_free(key);
    }
}

/* A list that is read once for each of something: of which one? */
static void check_path(struct checker *c, const struct sync_setting *sync,
                       const struct op *op)
{
    for (size_t i = 0; i < op->record->n_fields; i++) {
        const struct shape *field = &op->record->fields[i];
        size_t p = 0;

        if (field->place != PLACE_PATH)
            continue;
        while (p < sync->n_params && strcmp(sync->params[p].name, field->name) != 0)
            p++;
        if (p == sync->n_params) {
            char *key = mem_printf("sync.%s.params.%s", sync->name, field->name);

            settings_wrong(c, key, "is required by %s", op->name);
            mem_free(key);
        }
    }
}

/* Front has it where contacts are filtered, and nowhere else. */
static void check_cursor(struct checker *c, const struct sync_setting *sync,
                         const struct op *op)
{
    char *key = mem_printf("sync.%s.cursor", sync->name);
    bool has_it = op->resource && strcmp(op->resource, "contacts") == 0 &&
                  op_field(op, STR_LIT("q"), PLACE_Q);

    if (strcmp(sync->cursor, "none") != 0 && !has_it)
        settings_wrong(c, key, "must be none: %s has no such filter", op->name);
    for (size_t i = 0; i < sync->n_params; i++)
        if (strcmp(sync->cursor, "none") != 0 &&
            strcmp(sync->params[i].name, "q[updated_after]") == 0)
            settings_wrong(c, key,
                           "sets q[updated_after] itself: take the parameter out");
    mem_free(key);
}

static void check_sync(struct checker *c, const struct sync_setting *sync)
{
    char *operation_key = mem_printf("sync.%s.operation", sync->name);
    char *every_key = mem_printf("sync.%s.every.ms", sync->name);
    const struct op *op = sync->operation ? op_find(str_of(sync->operation)) : NULL;

    if (!sync->operation) {
        settings_wrong(c, operation_key, "is required");
    } else if (!op) {
        const char *near = op_nearest(str_of(sync->operation));

        settings_wrong(c, operation_key, "`%s` is no operation%s%s", sync->operation,
                       near ? ", nearest: " : "", near ? near : "");
    } else if (!op->list) {
        settings_wrong(c, operation_key, "`%s` is no list", sync->operation);
    } else if (!op->items) {
        settings_wrong(c, operation_key, "the rows of `%s` go to no topic",
                       sync->operation);
    } else {
        check_params(c, sync, op);
        check_path(c, sync, op);
        check_cursor(c, sync, op);
    }
    if (sync->every_ms == 0)
        settings_wrong(c, every_key, "is required");
    mem_free(operation_key);
    mem_free(every_key);
}

void sync_settings_parse(struct checker *c)
{
    for (size_t i = 0; i < c->s->sync_pairs.n; i++)
        parse_pair(c, &c->s->sync_pairs.items[i]);
    for (size_t i = 0; i < c->s->n_syncs; i++)
        check_sync(c, &c->s->syncs[i]);
}

void sync_settings_free(struct settings *s)
{
    for (size_t i = 0; i < s->n_syncs; i++) {
        mem_free(s->syncs[i].name);
        mem_free(s->syncs[i].params);
    }
    mem_free(s->syncs);
    s->syncs = NULL;
    s->n_syncs = 0;
}
