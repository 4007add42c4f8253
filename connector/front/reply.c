/* See reply.h. Bodies are scanned, never parsed into trees.
 *
 * Invariant: every text put into a result is UTF-8, and all but response and content have
 * a ceiling, whatever Front answers. */
#include "front/reply.h"

#include <string.h>

#include "codec/json.h"

enum {
    TEXT_MAX_BYTES = 4096,
    ID_MAX_BYTES = 512,
    EXCERPT_MAX_BYTES = 300,
    DETAILS_MAX = 50
};

static void fill_body(const struct http_call *call, const struct op *op, bool json,
                      bool want_response, size_t limit, struct result *res);
static void fill_id(const struct op *op, const struct request *req, struct str body,
                    struct arena *a, struct result *res);
static void fill_error(const struct http_call *call, bool json, struct arena *a,
                       struct result *res);
static void fill_details(struct str details, struct arena *a, struct result *res);
static struct str error_text(struct str literal, struct arena *a);
static struct str id_text(struct str body, const char *name, struct arena *a);
static struct str excerpt(struct str body, struct arena *a);
static const char *phrase(int status);

enum verdict reply_verdict(const struct http_call *call)
{
    int s = call->head.status;

    if (call->end == HTTP_NOT_SENT)
        return REPLY_NOT_SENT;
    if (call->end == HTTP_LOST)
        return REPLY_LOST;
    if (s >= 200 && s < 300)
        return REPLY_DONE;
    if (s == 301)
        return REPLY_MERGED;
    if (s == 401)
        return REPLY_UNAUTHORIZED;
    if (s == 429)
        return REPLY_LIMITED;
    if (s == 423 && call->method == HTTP_GET)
        return REPLY_BROKEN; /* a report that is not ready yet */
    if (s >= 400 && s < 500 && s != 408)
        return REPLY_REFUSED;
    /* Of a redirect Front does not document nobody knows whether something was done
     * before it; that a read ends there is sure. */
    return s >= 300 && s < 400 && call->method == HTTP_GET ? REPLY_REFUSED : REPLY_BROKEN;
}

void reply_fill(const struct http_call *call, const struct op *op,
                const struct request *req, bool want_response, size_t limit,
                struct arena *a, struct result *res)
{
    struct str body = buf_str(&call->body_in);
    bool done = call->head.status >= 200 && call->head.status < 300;
    bool json = call->end == HTTP_ANSWERED && body.len > 0 && json_is_valid(body);

    res->http_status = call->head.status;
    fill_body(call, op, json, want_response, limit, res);
    fill_id(op, req, json && done ? body : STR_NULL, a, res);
    if (res->outcome != SUCCEEDED)
        fill_error(call, json, a, res);
}

static void fill_body(const struct http_call *call, const struct op *op, bool json,
                      bool want_response, size_t limit, struct result *res)
{
    struct str body = buf_str(&call->body_in);
    bool file = op != NULL && op->binary && call->head.status < 300;

    res->truncated =
        call->end == HTTP_TOO_LARGE || (call->end == HTTP_ANSWERED && body.len > limit);
    if (res->truncated || call->end != HTTP_ANSWERED || body.len == 0)
        return;
    if (json && !file) { /* a download may happen to be JSON: it stays a file */
        res->response = want_response ? body : STR_NULL;
        return;
    }
    struct str type = {call->head.content_type, strlen(call->head.content_type)};
    res->content = body;
    res->content_type = type.len > 0 && utf8_valid(type) ? type : STR_NULL;
}

static void fill_id(const struct op *op, const struct request *req, struct str body,
                    struct arena *a, struct result *res)
{
    if (op != NULL && op->list)
        return;
    res->resource_id = id_text(body, "id", a);
    if (res->resource_id.ptr != NULL)
        return;
    struct str uid = id_text(body, "message_uid", a);
    if (uid.ptr != NULL)
        res->resource_id = str_of(arena_printf(a, "alt:uid:%.*s", STR_ARG(uid)));
    else
        res->resource_id = req->last_param; /* `call` has none */
}

static void fill_error(const struct http_call *call, bool json, struct arena *a,
                       struct result *res)
{
    struct str body = buf_str(&call->body_in);
    struct str error = json ? json_member(body, "_error") : STR_NULL;
    struct str title = STR_NULL, message = STR_NULL;

    if (error.ptr != NULL && error.ptr[0] == '{') {
        title = error_text(json_member(error, "title"), a);
        message = error_text(json_member(error, "message"), a);
        fill_details(json_member(error, "details"), a, res);
    }
    if (title.ptr == NULL)
        title = str_of(phrase(call->head.status));
    if (message.ptr == NULL && error.ptr == NULL && call->end == HTTP_ANSWERED)
        message = excerpt(body, a);
    if (message.ptr == NULL)
        message = str_of(arena_printf(a, "Front answered %d", call->head.status));
    res->error.title = title;
    res->error.message = message;
}

static void fill_details(struct str details, struct arena *a, struct result *res)
{
    size_t pos = 0;
    struct str item;

    if (details.ptr == NULL || details.ptr[0] != '[')
        return;
    res->error.details = arena_zalloc(a, DETAILS_MAX * sizeof *res->error.details);
    while (res->error.n_details < DETAILS_MAX && json_next(details, &pos, &item)) {
        struct str text = error_text(item, a);
        if (text.ptr != NULL)
            res->error.details[res->error.n_details++] = text;
    }
}

/* Cuts at most at `max` bytes, between characters. */
static struct str cut(struct str s, size_t max)
{
    if (s.len > max) {
        s.len = max;
        while (s.len > 0 && ((unsigned char)s.ptr[s.len] & 0xC0) == 0x80)
            s.len--;
    }
    return s;
}

/* The text of a string, the JSON of anything else; ptr NULL: absent, null or empty. */
static struct str error_text(struct str literal, struct arena *a)
{
    struct str text;

    if (literal.ptr == NULL || json_text_is_null(literal))
        return STR_NULL;
    if (json_unquote_arena(literal, a, &text))
        text = literal;
    return text.len > 0 ? cut(text, TEXT_MAX_BYTES) : STR_NULL;
}

static struct str id_text(struct str body, const char *name, struct arena *a)
{
    struct str raw = body.ptr != NULL ? json_member(body, name) : STR_NULL, text;

    if (raw.ptr == NULL || raw.len > ID_MAX_BYTES || json_unquote_arena(raw, a, &text) ||
        text.len == 0)
        return STR_NULL;
    return text;
}

/* The beginning of what is no error of Front's, on one line, readable. */
static struct str excerpt(struct str body, struct arena *a)
{
    struct str s = cut(str_trim(body), EXCERPT_MAX_BYTES);
    bool text = utf8_valid(s);
    char *out = arena_alloc(a, s.len + 1);

    if (s.len == 0)
        return STR_NULL;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        out[i] = (char)(c < 0x20 || c == 0x7f ? ' ' : c > 0x7f && !text ? '?' : c);
    }
    return (struct str){out, s.len};
}

static const char *phrase(int status)
{
    static const struct {
        int status;
        const char *text;
    } rows[] = {{301, "Moved Permanently"},
                {302, "Found"},
                {303, "See Other"},
                {304, "Not Modified"},
                {307, "Temporary Redirect"},
                {308, "Permanent Redirect"},
                {400, "Bad Request"},
                {401, "Unauthorized"},
                {403, "Forbidden"},
                {404, "Not Found"},
                {405, "Method Not Allowed"},
                {406, "Not Acceptable"},
                {408, "Request Timeout"},
                {409, "Conflict"},
                {410, "Gone"},
                {411, "Length Required"},
                {412, "Precondition Failed"},
                {413, "Content Too Large"},
                {414, "URI Too Long"},
                {415, "Unsupported Media Type"},
                {422, "Unprocessable Content"},
                {423, "Locked"},
                {429, "Too Many Requests"},
                {431, "Request Header Fields Too Large"},
                {500, "Internal Server Error"},
                {501, "Not Implemented"},
                {502, "Bad Gateway"},
                {503, "Service Unavailable"},
                {504, "Gateway Timeout"}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].status == status)
            return rows[i].text;
    return status >= 500 ? "Server Error" : "Request Failed";
}
