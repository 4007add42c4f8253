/* What an attempt means, and what of the answer stands in the result. */
#include <stdio.h>
#include <string.h>

#include "codec/json.h"
#include "front/reply.h"
#include "arena_help.h"

#define LIMIT 900000

static void verdicts(void **state)
{
    (void)state;
    static const struct {
        enum http_end end;
        int status;
        enum http_method method;
        enum verdict v;
    } rows[] = {
        {HTTP_ANSWERED, 200, HTTP_GET, REPLY_DONE},
        {HTTP_ANSWERED, 201, HTTP_POST, REPLY_DONE},
        {HTTP_ANSWERED, 202, HTTP_POST, REPLY_DONE},
        {HTTP_ANSWERED, 204, HTTP_DELETE, REPLY_DONE},
        {HTTP_ANSWERED, 299, HTTP_GET, REPLY_DONE},
        {HTTP_HEAD_ONLY, 201, HTTP_POST, REPLY_DONE},
        {HTTP_TOO_LARGE, 200, HTTP_GET, REPLY_DONE},
        {HTTP_ANSWERED, 301, HTTP_POST, REPLY_MERGED},
        {HTTP_ANSWERED, 400, HTTP_POST, REPLY_REFUSED},
        {HTTP_ANSWERED, 401, HTTP_GET, REPLY_UNAUTHORIZED},
        {HTTP_ANSWERED, 403, HTTP_POST, REPLY_REFUSED},
        {HTTP_ANSWERED, 404, HTTP_DELETE, REPLY_REFUSED},
        {HTTP_ANSWERED, 408, HTTP_GET, REPLY_BROKEN},
        {HTTP_ANSWERED, 408, HTTP_POST, REPLY_BROKEN},
        {HTTP_ANSWERED, 409, HTTP_POST, REPLY_REFUSED},
        {HTTP_HEAD_ONLY, 409, HTTP_POST, REPLY_REFUSED},
        {HTTP_ANSWERED, 413, HTTP_POST, REPLY_REFUSED},
        {HTTP_ANSWERED, 422, HTTP_POST, REPLY_REFUSED},
        {HTTP_ANSWERED, 423, HTTP_GET, REPLY_BROKEN}, /* a report that is not ready */
        {HTTP_ANSWERED, 423, HTTP_POST, REPLY_REFUSED},
        {HTTP_ANSWERED, 429, HTTP_POST, REPLY_LIMITED},
        {HTTP_TOO_LARGE, 429, HTTP_POST, REPLY_LIMITED},
        {HTTP_ANSWERED, 499, HTTP_POST, REPLY_REFUSED},
        {HTTP_ANSWERED, 500, HTTP_POST, REPLY_BROKEN},
        {HTTP_ANSWERED, 502, HTTP_GET, REPLY_BROKEN},
        {HTTP_HEAD_ONLY, 503, HTTP_GET, REPLY_BROKEN},
        {HTTP_ANSWERED, 504, HTTP_PATCH, REPLY_BROKEN},
        {HTTP_ANSWERED, 600, HTTP_POST, REPLY_BROKEN},
        {HTTP_ANSWERED, 101, HTTP_POST, REPLY_BROKEN},
        {HTTP_ANSWERED, 302, HTTP_GET, REPLY_REFUSED},
        {HTTP_ANSWERED, 304, HTTP_GET, REPLY_REFUSED},
        {HTTP_ANSWERED, 303, HTTP_POST, REPLY_BROKEN}, /* no proof of anything */
        {HTTP_ANSWERED, 307, HTTP_DELETE, REPLY_BROKEN},
        {HTTP_NOT_SENT, 0, HTTP_POST, REPLY_NOT_SENT},
        {HTTP_NOT_SENT, 200, HTTP_POST, REPLY_NOT_SENT}, /* of the call before */
        {HTTP_LOST, 0, HTTP_POST, REPLY_LOST},
        {HTTP_LOST, 200, HTTP_GET, REPLY_LOST},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct http_call call = {.end = rows[i].end, .method = rows[i].method};
        call.head.status = rows[i].status;
        if (reply_verdict(&call) != rows[i].v)
            fail_msg("row %zu: %d instead of %d", i, reply_verdict(&call), rows[i].v);
    }
}

/* One answer, looked at by `look`. */
struct answer {
    enum http_end end;
    int status;
    const char *body;
    size_t len; /* 0: strlen */
    const char *content_type;
    const char *operation; /* NULL: `call` */
    const char *last_param;
    bool no_response;
};

static struct result filled(const struct answer *an, size_t limit, struct buf *body)
{
    struct http_call call = {.end = an->end};
    struct request req = {.last_param = str_of(an->last_param)};
    struct result res = {.outcome = an->status / 100 == 2 ? SUCCEEDED : FAILED,
                         .http_status = NO_NUMBER};

    call.head.status = an->status;
    if (an->content_type != NULL)
        snprintf(call.head.content_type, sizeof call.head.content_type, "%s",
                 an->content_type);
    buf_init(body, 32 << 20);
    if (an->body != NULL)
        (void)buf_add(body, an->body, an->len ? an->len : strlen(an->body));
    call.body_in = *body;
    reply_fill(&call, an->operation ? op_xget(an->operation) : NULL, &req,
               !an->no_response, limit, &arena, &res);
    /* the type stands in the call, which is gone after this function */
    if (res.content_type.ptr != NULL)
        res.content_type.ptr =
            arena_strndup(&arena, res.content_type.ptr, res.content_type.len);
    return res;
}

static void same(struct str s, const char *expected, size_t row)
{
    if (expected == NULL ? s.ptr != NULL : !str_is(s, expected))
        fail_msg("row %zu: \"%.*s\" instead of \"%s\"", row, STR_ARG(s),
                 expected ? expected : "(null)");
}

static void bodies_go_where_they_belong(void **state)
{
    (void)state;
    static const struct {
        struct answer an;
        size_t limit;
        const char *response, *content, *type;
        bool truncated;
    } rows[] = {
        {{.status = 200, .body = " {\"id\":1}\n", .content_type = "application/json"},
         LIMIT,
         " {\"id\":1}\n",
         NULL,
         NULL,
         false},
        {{.status = 200, .body = "[1]"}, LIMIT, "[1]", NULL, NULL, false},
        {{.status = 200, .body = "\"x\"", .content_type = "text/plain"},
         LIMIT,
         "\"x\"",
         NULL,
         NULL,
         false},
        {{.status = 204}, LIMIT, NULL, NULL, NULL, false},
        {{.status = 200, .body = "{\"id\":", .content_type = "application/json"},
         LIMIT,
         NULL,
         "{\"id\":",
         "application/json",
         false},
        {{.status = 200, .body = "<html>", .content_type = "text/html"},
         LIMIT,
         NULL,
         "<html>",
         "text/html",
         false},
        {{.status = 200, .body = "<html>"}, LIMIT, NULL, "<html>", NULL, false},
        {{.status = 200, .body = "<html>", .content_type = "a\xff"},
         LIMIT,
         NULL,
         "<html>",
         NULL,
         false},
        {{.status = 200, .body = "{\"a\":\"\xff\"}"},
         LIMIT,
         NULL,
         "{\"a\":\"\xff\"}",
         NULL,
         false},
        {{.status = 500, .body = "{\"a\":1}"}, LIMIT, "{\"a\":1}", NULL, NULL, false},
        {{.status = 400, .body = "oops"}, LIMIT, NULL, "oops", NULL, false},
        {{.status = 200, .body = "{\"a\":1}"}, 7, "{\"a\":1}", NULL, NULL, false},
        {{.status = 200, .body = "{\"a\":1}"}, 6, NULL, NULL, NULL, true},
        {{.status = 200, .body = "<html>"}, 5, NULL, NULL, NULL, true},
        {{.end = HTTP_TOO_LARGE, .status = 200, .body = "{\"a\":"},
         LIMIT,
         NULL,
         NULL,
         NULL,
         true},
        {{.end = HTTP_HEAD_ONLY, .status = 200, .body = "{\"a\":1}"},
         LIMIT,
         NULL,
         NULL,
         NULL,
         false},
        {{.status = 200, .body = "{\"a\":1}", .no_response = true},
         LIMIT,
         NULL,
         NULL,
         NULL,
         false},
        {{.status = 200, .body = "<html>", .no_response = true},
         LIMIT,
         NULL,
         "<html>",
         NULL,
         false},
        /* a file that happens to be JSON is a file; an error about it is not */
        {{.status = 200,
          .body = "{\"a\":1}",
          .content_type = "application/json",
          .operation = "download-attachment",
          .last_param = "fil_1"},
         LIMIT,
         NULL,
         "{\"a\":1}",
         "application/json",
         false},
        {{.status = 404,
          .body = "{\"a\":1}",
          .operation = "download-attachment",
          .last_param = "fil_1"},
         LIMIT,
         "{\"a\":1}",
         NULL,
         NULL,
         false},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf body;
        struct result res = filled(&rows[i].an, rows[i].limit, &body);
        assert_int_equal(res.http_status, rows[i].an.status);
        same(res.response, rows[i].response, i);
        same(res.content, rows[i].content, i);
        same(res.content_type, rows[i].type, i);
        assert_int_equal(res.truncated, rows[i].truncated);
        if (rows[i].an.status / 100 == 2)
            assert_null(res.error.message.ptr);
        buf_fini(&body);
    }
}

static void resource_ids(void **state)
{
    (void)state;
    static const struct {
        struct answer an;
        const char *id;
    } rows[] = {
        {{.status = 201,
          .body = "{\"id\":\"com_1\"}",
          .operation = "add-comment",
          .last_param = "cnv_1"},
         "com_1"},
        {{.status = 201,
          .body = "{\"x\":{\"id\":\"no\"},\"id\":\"com\\u005f1\"}",
          .operation = "add-comment",
          .last_param = "cnv_1"},
         "com_1"},
        {{.status = 202,
          .body = "{\"status\":\"accepted\",\"message_uid\":\"u1\"}",
          .operation = "create-message",
          .last_param = "cha_1"},
         "alt:uid:u1"},
        {{.status = 202,
          .body = "{\"message_uid\":\"u1\",\"id\":\"msg_1\"}",
          .operation = "create-message",
          .last_param = "cha_1"},
         "msg_1"},
        {{.status = 204, .operation = "update-a-contact", .last_param = "crd_1"},
         "crd_1"},
        {{.status = 201,
          .body = "{\"body\":\"x\"}",
          .operation = "add-note",
          .last_param = "crd_1"},
         "crd_1"},
        {{.status = 200,
          .body = "{\"id\":7}",
          .operation = "get-tag",
          .last_param = "tag_1"},
         "tag_1"},
        {{.status = 200,
          .body = "{\"id\":null}",
          .operation = "get-tag",
          .last_param = "tag_1"},
         "tag_1"},
        {{.status = 200,
          .body = "{\"id\":\"\"}",
          .operation = "get-tag",
          .last_param = "tag_1"},
         "tag_1"},
        {{.status = 200,
          .body = "[{\"id\":\"x\"}]",
          .operation = "get-tag",
          .last_param = "tag_1"},
         "tag_1"},
        {{.status = 200,
          .body = "garbage \"id\":\"x\"",
          .operation = "get-tag",
          .last_param = "tag_1"},
         "tag_1"},
        {{.end = HTTP_HEAD_ONLY,
          .status = 201,
          .body = "{\"id\":\"com_1\"",
          .operation = "add-comment",
          .last_param = "cnv_1"},
         "cnv_1"},
        {{.status = 404,
          .body = "{\"_error\":{},\"id\":\"x\"}",
          .operation = "get-tag",
          .last_param = "tag_1"},
         "tag_1"},
        {{.status = 200,
          .body = "{\"id\":\"x\",\"_results\":[]}",
          .operation = "list-tags"},
         NULL},
        {{.status = 200,
          .body = "{\"_results\":[]}",
          .operation = "list-conversation-comments",
          .last_param = "cnv_1"},
         NULL},
        {{.status = 200, .body = "{\"id\":\"cmp_1\"}", .operation = "api-token-details"},
         "cmp_1"},
        {{.status = 200, .body = "{\"id\":\"cmp_1\"}"}, "cmp_1"}, /* call */
        {{.status = 202, .body = "{\"message_uid\":\"u1\"}"}, "alt:uid:u1"},
        {{.status = 204}, NULL},
        {{.status = 200, .body = "{}"}, NULL},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf body;
        struct result res = filled(&rows[i].an, LIMIT, &body);
        same(res.resource_id, rows[i].id, i);
        buf_fini(&body);
    }
}

static void errors_are_fronts_words(void **state)
{
    (void)state;
    static const struct {
        struct answer an;
        const char *title, *message, *details; /* "|"-separated */
    } rows[] = {
        {{.status = 409,
          .body = "{\"_error\":{\"status\":409,\"title\":\"Conflict\",\"message\":"
                  "\"Handle \\u00e9 in use\\n\",\"details\":[\"crd_1\",\"a\\\"b\"]}}"},
         "Conflict",
         "Handle \xc3\xa9 in use\n",
         "crd_1|a\"b"},
        {{.status = 401,
          .body = "{\"_error\":{\"title\":\"Unauthenticated\",\"message\":\"Invalid "
                  "token\"}}"},
         "Unauthenticated",
         "Invalid token",
         ""},
        {{.status = 400, .body = "{\"_error\":{\"title\":\"T\"}}"},
         "T",
         "Front answered 400",
         ""},
        {{.status = 404, .body = "{\"_error\":{\"message\":\"M\"}}"},
         "Not Found",
         "M",
         ""},
        {{.status = 422,
          .body = "{\"_error\":{\"message\":{\"a\":1},\"details\":[1,null,{}]}}"},
         "Unprocessable Content",
         "{\"a\":1}",
         "1|{}"},
        {{.status = 400, .body = "{\"_error\":{\"message\":null,\"title\":\"\"}}"},
         "Bad Request",
         "Front answered 400",
         ""},
        {{.status = 400, .body = "{\"_error\":{\"details\":\"no array\"}}"},
         "Bad Request",
         "Front answered 400",
         ""},
        {{.status = 400, .body = "{\"_error\":\"text\"}"},
         "Bad Request",
         "Front answered 400",
         ""},
        {{.status = 400, .body = "{\"error\":\"other\"}"},
         "Bad Request",
         "{\"error\":\"other\"}",
         ""},
        {{.status = 502, .body = "  <h1>\r\nBad\tGateway</h1> "},
         "Bad Gateway",
         "<h1>  Bad Gateway</h1>",
         ""},
        {{.status = 503}, "Service Unavailable", "Front answered 503", ""},
        {{.status = 503, .body = "\xff\xfe garbage \x01"},
         "Service Unavailable",
         "?? garbage  ",
         ""},
        {{.end = HTTP_HEAD_ONLY, .status = 500, .body = "{\"_error\":{\"tit"},
         "Internal Server Error",
         "Front answered 500",
         ""},
        {{.end = HTTP_TOO_LARGE, .status = 400, .body = "xxxx"},
         "Bad Request",
         "Front answered 400",
         ""},
        {{.status = 599, .body = "x"}, "Server Error", "x", ""},
        {{.status = 418, .body = "x"}, "Request Failed", "x", ""},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf body, joined;
        struct result res = filled(&rows[i].an, LIMIT, &body);
        buf_init(&joined, 1000);
        for (size_t d = 0; d < res.error.n_details; d++) {
            (void)buf_add_cstr(&joined, d > 0 ? "|" : "");
            (void)buf_add_str(&joined, res.error.details[d]);
        }
        same(res.error.title, rows[i].title, i);
        same(res.error.message, rows[i].message, i);
        assert_string_equal(joined.data ? joined.data : "", rows[i].details);
        assert_null(res.error.kind.ptr); /* whoever decides the outcome names it */
        buf_fini(&joined);
        buf_fini(&body);
    }
}

static void huge_errors_are_cut(void **state)
{
    (void)state;
    struct buf text, body;

    buf_init(&text, 32 << 20);
    (void)buf_add_cstr(&text, "{\"_error\":{\"title\":\"x");
    for (int i = 0; i < 500000; i++)
        (void)buf_add_cstr(&text, "\xc3\xa9");
    (void)buf_add_cstr(&text, "\",\"message\":\"");
    for (int i = 0; i < 500000; i++)
        (void)buf_add_cstr(&text, "\\u00e9");
    (void)buf_add_cstr(&text, "\",\"details\":[\"0\"");
    for (int i = 1; i < 1000; i++)
        (void)buf_printf(&text, ",\"%d\"", i);
    (void)buf_add_cstr(&text, "]}}");
    struct answer an = {.status = 400, .body = text.data, .len = text.len};
    struct result res = filled(&an, LIMIT, &body);
    assert_true(res.truncated);
    assert_null(res.response.ptr);
    assert_int_equal(res.error.title.len, 4095);
    assert_int_equal(res.error.message.len, 4096);
    assert_true(utf8_valid(res.error.title) && utf8_valid(res.error.message));
    assert_int_equal(res.error.n_details, 50);
    buf_fini(&body);
    buf_fini(&text);

    buf_init(&text, 1 << 20);
    for (int i = 0; i < 1000; i++)
        (void)buf_add_cstr(&text, i == 0 ? "xx" : "\xc3\xa9");
    an = (struct answer){.status = 500, .body = text.data, .len = text.len};
    res = filled(&an, LIMIT, &body);
    assert_true(res.error.message.len <= 300 && res.error.message.len > 290);
    assert_true(utf8_valid(res.error.message));
    buf_fini(&body);
    buf_fini(&text);
}

/* Surrogates without a partner, and NUL, in what Front says. */
static void odd_characters_stay_utf8(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"_error\":{\"title\":\"a\\ud800b\",\"message\":\"\\udc00\"}}",
        "{\"_error\":{\"title\":\"a\\u0000b\",\"message\":\"\\u0000\"}}",
        "{\"_error\":{\"title\":\"\\ud83d\\ude00\",\"message\":\"x\"}}"};

    for (size_t i = 0; i < COUNT(bodies); i++) {
        struct answer an = {.status = 400, .body = bodies[i]};
        struct buf body;
        struct result res = filled(&an, LIMIT, &body);
        assert_true(utf8_valid(res.error.title));
        assert_true(utf8_valid(res.error.message));
        assert_non_null(res.error.message.ptr);
        buf_fini(&body);
    }
}

static void an_answer_in_doubt_has_a_message(void **state)
{
    (void)state;
    struct http_call call = {.end = HTTP_HEAD_ONLY};
    struct request req = {.last_param = STR_LIT("cnv_1")};
    struct result res = {.outcome = IN_DOUBT, .http_status = NO_NUMBER};

    call.head.status = 500;
    reply_fill(&call, op_xget("add-comment"), &req, true, LIMIT, &arena, &res);
    assert_int_equal(res.http_status, 500);
    assert_non_null(res.error.message.ptr);
    assert_true(str_is(res.resource_id, "cnv_1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts),
        cmocka_unit_test(bodies_go_where_they_belong),
        cmocka_unit_test(resource_ids),
        cmocka_unit_test(errors_are_fronts_words),
        cmocka_unit_test(huge_errors_are_cut),
        cmocka_unit_test(odd_characters_stay_utf8),
        cmocka_unit_test(an_answer_in_doubt_has_a_message),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
