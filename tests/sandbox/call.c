/* The life of one request: route, token, quota, body, faults and magic ids, check,
 * execution, journal. Everything that can refuse comes before the execution. */
#include <stdarg.h>
#include <string.h>

#include "base/mem.h"

#include "sandbox.h"

static int hex_digit(char ch)
{
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    ch |= 0x20;
    return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

static void percent_decode(char *s, bool plus)
{
    char *out = s;
    for (; *s != '\0'; s++) {
        int hi = s[0] == '%' ? hex_digit(s[1]) : -1;
        int lo = hi >= 0 ? hex_digit(s[2]) : -1;
        if (lo > 0 || (lo == 0 && hi > 0)) {
            *out++ = (char)(hi * 16 + lo);
            s += 2;
        } else {
            *out++ = plus && *s == '+' ? ' ' : *s;
        }
    }
    *out = '\0';
}

static void split_query(struct call *c, char *rest)
{
    while (rest != NULL && c->n_query < QUERY_MAX) {
        char *item = strsep(&rest, "&"), *equals = strchr(item, '=');
        struct pair *p = &c->query[c->n_query];
        if (item[0] == '\0')
            continue;
        p->value = "";
        if (equals != NULL) {
            *equals = '\0';
            percent_decode(equals + 1, true);
            p->value = equals + 1;
        }
        percent_decode(item, true);
        p->name = item;
        c->n_query++;
    }
}

static bool split_uri(struct call *c)
{
    c->parts = mem_strdup(c->uri);
    char *query = strchr(c->parts, '?'), *rest = c->parts;
    if (query != NULL) {
        *query = '\0';
        split_query(c, query + 1);
    }
    while (rest != NULL) {
        char *seg = strsep(&rest, "/");
        if (seg[0] == '\0')
            continue;
        if (c->n_segments == SEGMENTS_MAX)
            return false;
        percent_decode(seg, false);
        c->segments[c->n_segments++] = seg;
    }
    return true;
}

const char *call_param(const struct call *c, const char *name)
{
    for (size_t i = 0; i < c->op->n_segments; i++)
        if (c->op->params[i] != NULL && strcmp(c->op->params[i], name) == 0)
            return c->segments[i];
    return NULL;
}

/* "q[types]" is found as "q[types][]" too: both forms circulate. */
const char *call_query(const struct call *c, const char *name, size_t i)
{
    size_t len = strlen(name);
    for (size_t k = 0; k < c->n_query; k++) {
        const char *other = c->query[k].name;
        if (strncmp(other, name, len) != 0 ||
            (other[len] != '\0' && strcmp(other + len, "[]")))
            continue;
        if (i-- == 0)
            return c->query[k].value;
    }
    return NULL;
}

json_t *call_field(const struct call *c, const char *name)
{
    return json_object_get(c->json, name);
}

const char *call_text(const struct call *c, const char *name)
{
    return json_string_value(call_field(c, name));
}

void call_forget(struct call *c)
{
    json_decref(c->answer);
    c->answer = NULL;
    mem_free(c->text);
    c->text = NULL;
    c->text_len = 0;
    mem_free(c->location);
    c->location = NULL;
    c->content_type = NULL;
}

void call_error(struct call *c, int status, const char *title, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    call_forget(c);
    c->status = status;
    c->answer = json_pack("{s:{s:i, s:s, s:s*}}", "_error", "status", status, "title",
                          title, "message", text);
    if (c->answer == NULL) /* the text was not UTF-8 */
        c->answer =
            json_pack("{s:{s:i, s:s}}", "_error", "status", status, "title", title);
}

void call_detail(struct call *c, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    json_t *error = json_object_get(c->answer, "_error");
    json_t *details = json_object_get(error, "details");
    if (details == NULL) {
        details = json_array();
        (void)json_object_set_new(error, "details", details);
    }
    (void)json_array_append_new(details, json_string(text));
}

void call_unknown(struct call *c, enum kind kind, const char *id)
{
    call_error(c, 404, "Not found", "Unknown %s \"%s\"", kinds[kind].name, id);
}

/* The guard of one conversation covers PATCH and assignee together, tag add and remove
 * together: the key is the resource and what is below it. */
static bool guard_passes(struct call *c)
{
    int64_t retry_ms = 0;
    const char *name = c->op->guard, *last = c->op->segments[c->op->n_segments - 1];
    const char *id = c->op->guard_param != NULL ? call_param(c, c->op->guard_param) : "";
    if (name == NULL || !c->sb->opt.limits.guards)
        return true;
    if (last == NULL || strcmp(last, "assignee") == 0)
        last = "";
    char *key = mem_printf("%s/%s", id != NULL ? id : "", last);
    bool passes = limits_guard(&c->sb->limits, name, key, sandbox_ms(c->sb), &retry_ms);
    mem_free(key);
    if (passes)
        return true;
    call_error(c, 429, "Too many requests",
               "Rate limit exceeded for tier-2 route. Please retry in %lld milliseconds.",
               (long long)retry_ms);
    c->retry_after = (double)((retry_ms + 999) / 1000);
    c->tier = "2";
    return false;
}

static bool quota_passes(struct call *c)
{
    int64_t retry_ms = 0;
    bool passes = limits_take(&c->sb->limits, sandbox_ms(c->sb), &c->quota, &retry_ms);
    c->has_quota = c->sb->opt.limits.window != WINDOW_OFF;
    if (passes)
        return true;
    c->sb->refused++;
    call_error(c, 429, "Too many requests",
               "Rate limit exceeded. Please retry in %lld milliseconds.",
               (long long)retry_ms);
    c->retry_after = (double)((retry_ms + 999) / 1000);
    return false;
}

static void strike(struct call *c, const struct fault *ft)
{
    c->fault = ft->kind;
    c->delay_ms = ft->delay_ms;
    if (ft->kind != FAULT_STATUS)
        return;
    call_error(c, ft->status, ft->status == 429 ? "Too many requests" : "Injected fault",
               "The sandbox was told to fail this request.");
    c->retry_after = ft->retry_after;
}

static void execute(struct call *c)
{
    c->status = c->op->status;
    if (references_exist(c))
        c->op->run(c);
    c->executed = c->status >= 200 && c->status < 300;
}

/* Faults, magic ids, the checks and the execution of a known operation. */
static void run_operation(struct call *c)
{
    double dice = (double)(sandbox_random(c->sb) >> 11) / 9007199254740992.0;
    const struct fault *ft =
        faults_draw(&c->sb->faults, c->op->name, c->uri, c->body.data, dice);
    c->op->count++;
    if (ft != NULL && !ft->after_execution) {
        strike(c, ft);
        return;
    }
    if (magic_apply(c) || !check_body(c) || !guard_passes(c))
        return;
    execute(c);
    if (ft != NULL)
        strike(c, ft);
}

static void run_front(struct call *c)
{
    bool path_known = false, channel_api = false;
    if (!auth_check(c, &channel_api) || !quota_passes(c))
        return;
    c->op = spec_match(&c->sb->spec, c->method, c->segments, c->n_segments, channel_api,
                       &path_known);
    if (c->op == NULL)
        call_error(c, 404, "Not found", "%s %s is not a route", c->method, c->uri);
    else if (c->op->channel_api && !channel_api && c->sb->opt.app_secret != NULL)
        call_error(c, 401, "Unauthenticated", "A token of the channel is needed here");
    else if (body_parse(c))
        run_operation(c);
}

static void note_in_journal(struct call *c)
{
    char ids[256] = "";
    size_t at = 0;
    for (size_t i = 0; c->op != NULL && i < c->op->n_segments; i++)
        if (c->op->params[i] != NULL && at + strlen(c->segments[i]) + 2 < sizeof ids)
            at += (size_t)snprintf(ids + at, sizeof ids - at, "%s ", c->segments[i]);
    static const char *const names[] = {NULL,      "timeout",      "reset", "half",
                                        "garbage", "garbage_head", "large", "slow",
                                        "503html", "status"};
    bool silent = c->fault == FAULT_TIMEOUT || c->fault == FAULT_RESET ||
                  c->fault == FAULT_GARBAGE_HEAD;
    struct journal_line line = {.t_ms = sandbox_ms(c->sb) - c->sb->started_ms,
                                .method = c->method,
                                .uri = c->uri,
                                .operation = c->op != NULL ? c->op->name : NULL,
                                .repeat_class =
                                    c->op != NULL ? c->op->repeat_class : '\0',
                                .status = silent ? 0 : c->status,
                                .fault = names[c->fault],
                                .executed = c->executed,
                                .ids = ids,
                                .made_id = c->made_id,
                                .body = buf_str(&c->body)};
    journal_add(&c->sb->journal, &line);
}

static void answer_to_text(struct call *c)
{
    if (c->answer == NULL)
        return;
    const char *id = json_string_value(json_object_get(c->answer, "id"));
    if (id == NULL)
        id = json_string_value(json_object_get(c->answer, "message_uid"));
    snprintf(c->made_id, sizeof c->made_id, "%s", id != NULL ? id : "");
    size_t flags = JSON_COMPACT | JSON_REAL_PRECISION(14);
    c->text_len = json_dumpb(c->answer, NULL, 0, flags);
    c->text = mem_alloc(c->text_len + 1);
    (void)json_dumpb(c->answer, c->text, c->text_len, flags);
    c->content_type = "application/json; charset=utf-8";
}

void call_run(struct call *c)
{
    if (!split_uri(c)) {
        call_error(c, 404, "Not found", "%s is not a route", c->uri);
    } else if (c->n_segments > 0 && strcmp(c->segments[0], "_sandbox") == 0) {
        admin_run(c);
        answer_to_text(c);
        hooks_flush(c->sb);
        return;
    } else {
        c->sb->requests++;
        if (c->body.over)
            call_error(c, 413, "Payload too large", "The body is over 32 MiB");
        else
            run_front(c);
    }
    answer_to_text(c);
    note_in_journal(c);
    hooks_flush(c->sb);
}
