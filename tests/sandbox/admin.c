/* /_sandbox/...: what tests and people ask the sandbox itself. No token, no quota, no
 * journal. */
#include <string.h>

#include "base/mem.h"

#include "sandbox.h"

struct admin_row {
    const char *method, *what; /* the path behind /_sandbox/ */
    void (*run)(struct call *c);
};

static uint64_t number_asked(struct call *c, const char *name, uint64_t preset)
{
    struct err e = ERR_INIT;
    int64_t n = 0;
    const char *text = call_query(c, name, 0);
    if (text == NULL || parse_i64(str_of(text), 0, INT64_MAX, &n, &e) < 0)
        return preset;
    return (uint64_t)n;
}

static void admin_index(struct call *c);

static void admin_ids(struct call *c)
{
    c->answer = seed_ids(c->sb);
}

static void admin_reset(struct call *c)
{
    sandbox_reset(c->sb);
    c->status = 204;
}

static void admin_save(struct call *c)
{
    struct err e = ERR_INIT;
    c->status = 204;
    if (sandbox_save(c->sb, &e) < 0)
        call_error(c, 400, "Bad request", "%s", e.text);
}

static void faults_show(struct call *c)
{
    c->answer = faults_dump(&c->sb->faults);
}

/* One fault, or an array of them. */
static void faults_set(struct call *c)
{
    struct err e = ERR_INIT;
    json_t *body =
        json_loadb(c->body.data != NULL ? c->body.data : "", c->body.len, 0, NULL);
    size_t n = json_is_array(body) ? json_array_size(body) : 1;
    for (size_t i = 0; i < n && e.kind == ERR_NONE; i++)
        (void)faults_add(&c->sb->faults,
                         json_is_array(body) ? json_array_get(body, i) : body, &e);
    json_decref(body);
    if (e.kind != ERR_NONE) {
        call_error(c, 400, "Bad request", "%s", e.text);
        return;
    }
    c->status = 201;
    faults_show(c);
}

static void faults_drop(struct call *c)
{
    faults_clear(&c->sb->faults);
    c->status = 204;
}

static void requests_show(struct call *c)
{
    c->answer = journal_dump(&c->sb->journal, number_asked(c, "since", 0),
                             (size_t)number_asked(c, "limit", 1000000));
}

static void requests_clear(struct call *c)
{
    journal_clear(&c->sb->journal);
    c->status = 204;
}

static void repeats_show(struct call *c)
{
    const struct journal *jn = &c->sb->journal;
    c->answer = json_pack("{s:o, s:b, s:I}", "repeated",
                          journal_repeats(jn, call_query(c, "allow", 0)), "complete",
                          jn->max > 0 && (jn->last == 0 || jn->last <= jn->max),
                          "requests", (json_int_t)jn->last);
}

static void stats_show(struct call *c)
{
    json_t *by_operation = json_object();
    for (size_t i = 0; i < c->sb->spec.n_operations; i++) {
        const struct operation *op = &c->sb->spec.operations[i];
        if (op->count > 0)
            (void)json_object_set_new(by_operation, op->name,
                                      json_integer((json_int_t)op->count));
    }
    json_t *objects = json_object();
    for (size_t i = 0; i < KINDS; i++)
        (void)json_object_set_new(objects, kinds[i].name,
                                  json_integer((json_int_t)c->sb->store.counts[i]));
    c->answer = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "requests",
        (json_int_t)c->sb->requests, "refused_by_quota", (json_int_t)c->sb->refused,
        "journal_last", (json_int_t)c->sb->journal.last, "events",
        (json_int_t)c->sb->events.last, "deliveries", (json_int_t)c->sb->deliveries.last,
        "deliveries_open", (json_int_t)c->sb->deliveries.open, "operations", by_operation,
        "objects", objects);
}

static void webhooks_show(struct call *c)
{
    c->answer = hooks_dump(&c->sb->hooks);
}

/* One webhook, or an array of them. */
static void webhooks_set(struct call *c)
{
    struct err e = ERR_INIT;
    json_t *body =
        json_loadb(c->body.data != NULL ? c->body.data : "", c->body.len, 0, NULL);
    size_t n = json_is_array(body) ? json_array_size(body) : 1;
    for (size_t i = 0; i < n && e.kind == ERR_NONE; i++)
        (void)hook_set(c->sb, json_is_array(body) ? json_array_get(body, i) : body, &e);
    json_decref(body);
    if (e.kind != ERR_NONE) {
        call_error(c, 400, "Bad request", "%s", e.text);
        return;
    }
    c->status = 201;
    webhooks_show(c);
}

/* ?kind=app, or all. */
static void webhooks_drop(struct call *c)
{
    const char *kind = call_query(c, "kind", 0);
    c->status = 204;
    for (size_t i = 0; i < HOOKS; i++)
        if (kind == NULL || strcmp(kind, hook_kind_names[i]) == 0)
            hook_remove(c->sb, &c->sb->hooks.hooks[i]);
}

static void deliveries_show(struct call *c)
{
    c->answer = deliveries_dump(&c->sb->deliveries, number_asked(c, "since", 0),
                                (size_t)number_asked(c, "limit", 1000000),
                                call_query(c, "event", 0));
}

static const struct admin_row rows[] = {
    {"GET", "", admin_index},
    {"GET", "ids", admin_ids},
    {"GET", "stats", stats_show},
    {"GET", "requests", requests_show},
    {"POST", "requests/clear", requests_clear},
    {"DELETE", "requests", requests_clear},
    {"GET", "repeats", repeats_show},
    {"GET", "faults", faults_show},
    {"POST", "faults", faults_set},
    {"DELETE", "faults", faults_drop},
    {"GET", "webhooks", webhooks_show},
    {"POST", "webhooks", webhooks_set},
    {"DELETE", "webhooks", webhooks_drop},
    {"POST", "trigger", trigger_run},
    {"GET", "deliveries", deliveries_show},
    {"POST", "reset", admin_reset},
    {"POST", "save", admin_save},
};

static void admin_index(struct call *c)
{
    json_t *all = json_array();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        (void)json_array_append_new(
            all, json_sprintf("%s /_sandbox/%s", rows[i].method, rows[i].what));
    c->answer = json_pack("{s:o}", "routes", all);
}

void admin_run(struct call *c)
{
    char what[64] = "";
    size_t at = 0;
    if (c->n_segments > 1 && strcmp(c->segments[1], "registry") == 0) {
        registry_run(c);
        return;
    }
    for (size_t i = 1; i < c->n_segments && at + strlen(c->segments[i]) + 2 < sizeof what;
         i++)
        at += (size_t)snprintf(what + at, sizeof what - at, "%s%s", at > 0 ? "/" : "",
                               c->segments[i]);
    c->status = 200;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].what, what) == 0 && strcmp(rows[i].method, c->method) == 0) {
            rows[i].run(c);
            return;
        }
    }
    call_error(c, 404, "Not found", "%s %s is not a route of the sandbox", c->method,
               c->uri);
}
