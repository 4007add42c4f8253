/* See reply.h. */
#include "front/reply.h"

#include <string.h>

#include "codec/json.h"

#define TEXT_MAX 4096
#define DETAILS_MAX 50

static struct str member_text(struct str object, const char *name, struct arena *a);
static void fill_error(const struct http_call *call, struct arena *a, struct result *res);
static void fill_id(const struct op *op, const struct request *req, struct str body,
                    struct arena *a, struct result *res);
static const char *phrase(int status);

enum verdict reply_verdict(const struct http_call *call)
{
    if (call->end == HTTP_NOT_SENT)
        return REPLY_NOT_SENT;
    if (call->end == HTTP_LOST)
        return REPLY_LOST;
    int s = call->head.status;
    if (s >= 200 && s < 300)
        return REPLY_DONE;
    if (s == 301)
        return REPLY_MERGED;
    if (s == 401)
        return REPLY_UNAUTHORIZED;
    if (s == 429)
        return REPLY_LIMITED;
    if (s >= 500 || s == 408 || s == 423)
        return REPLY_BROKEN;
    return REPLY_REFUSED;
}

void reply_fill(const struct http_call *call, const struct op *op,
                const struct request *req, bool want_response, size_t limit,
                struct arena *a, struct result *res)
{
    struct str body = buf_str(&call->body_in);
    bool whole = call->end == HTTP_ANSWERED;
    res->http_status = call->head.status;
    res->truncated = call->end == HTTP_TOO_LARGE;
    bool json = whole && body.len > 0 && utf8_valid(body) && json_is_valid(body);
    if (whole && body.len > limit)
        res->truncated = true;
    else if (json && want_response)
        res->response = body;
    else if (whole && body.len > 0 && !json) {
        res->content = body;
        res->content_type =
            call->head.content_type[0] ? str_of(call->head.content_type) : STR_NULL;
    }
    if (call->head.status >= 200 && call->head.status < 300)
        fill_id(op, req, json ? body : STR_NULL, a, res);
    if (res->outcome != SUCCEEDED)
        fill_error(call, a, res);
}

static void fill_id(const struct op *op, const struct request *req, struct str body,
                    struct arena *a, struct result *res)
{
    if (op != NULL && op->list)
        return;
    struct str id = body.ptr != NULL ? member_text(body, "id", a) : STR_NULL;
    struct str uid = body.ptr != NULL && id.ptr == NULL
                         ? member_text(body, "message_uid", a)
                         : STR_NULL;
    if (id.ptr != NULL)
        res->resource_id = id;
    else if (uid.ptr != NULL)
        res->resource_id = str_of(arena_printf(a, "alt:uid:%.*s", STR_ARG(uid)));
    else if (op != NULL && req->last_param.ptr != NULL)
        res->resource_id = req->last_param;
}

static void fill_error(const struct http_call *call, struct arena *a, struct result *res)
{
    struct str body = buf_str(&call->body_in);
    bool json = call->end == HTTP_ANSWERED && body.len > 0 && json_is_valid(body);
    struct str error = json ? json_member(body, "_error") : STR_NULL;
    res->error.title = error.ptr ? member_text(error, "title", a) : STR_NULL;
    res->error.message = error.ptr ? member_text(error, "message", a) : STR_NULL;
    if (res->error.title.ptr == NULL)
        res->error.title = str_of(phrase(call->head.status));
    if (res->error.message.ptr == NULL)
        res->error.message =
            str_of(arena_printf(a, "Front answered %d", call->head.status));
    struct str details = error.ptr ? json_member(error, "details") : STR_NULL;
    size_t pos = 0;
    struct str item;
    if (details.ptr == NULL || details.ptr[0] != '[')
        return;
    res->error.details = arena_zalloc(a, DETAILS_MAX * sizeof *res->error.details);
    while (res->error.n_details < DETAILS_MAX && json_next(details, &pos, &item)) {
        struct str text;
        if (item.len <= TEXT_MAX && item.ptr[0] == '"' &&
            json_unquote_arena(item, a, &text) == 0)
            res->error.details[res->error.n_details++] = text;
    }
}

static struct str member_text(struct str object, const char *name, struct arena *a)
{
    struct str raw = json_member(object, name), text;
    if (raw.ptr == NULL || raw.len == 0 || raw.ptr[0] != '"' || raw.len > TEXT_MAX ||
        json_unquote_arena(raw, a, &text))
        return STR_NULL;
    return text;
}

static const char *phrase(int status)
{
    static const struct {
        int status;
        const char *text;
    } rows[] = {{301, "Moved"},        {400, "Bad request"},     {401, "Unauthenticated"},
                {403, "Forbidden"},    {404, "Not found"},       {408, "Time-out"},
                {409, "Conflict"},     {413, "Too large"},       {422, "Unprocessable"},
                {429, "Rate limited"}, {500, "Server error"},    {502, "Bad gateway"},
                {503, "Unavailable"},  {504, "Gateway time-out"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].status == status)
            return rows[i].text;
    return "Refused";
}
