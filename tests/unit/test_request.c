/* The request of every operation of the catalogue: path, query, body and rules; the raw
 * call; the re-target of a 301; the digest. */
#include <stdio.h>
#include <string.h>

#include "arena_help.h"
#include "front/request.h"

/* A value with everything that must not get out of its place, and what it becomes. */
#define NASTY "a/../b?c=d&e#f%2e \"\\+:@\xc3\xa9~._-"
#define NASTY_ENCODED "a%2F..%2Fb%3Fc%3Dd%26e%23f%252e%20%22%5C%2B%3A%40%C3%A9~._-"

static struct str lit(const char *s)
{
    return str_of(s);
}

static struct request built(const struct command *cmd)
{
    struct err e = ERR_INIT;
    struct request req;

    if (request_build(cmd, op_find(cmd->operation), &arena, &req, &e) != 0)
        fail_msg("%.*s: %s", STR_ARG(cmd->operation), e.text);
    return req;
}

/* Puts `value` in the place of each {param} of a template. */
static void expand(const char *template, const char *value, char *out, size_t size)
{
    size_t n = 0;

    while (*template != 0) {
        if (*template == '{') {
            n += (size_t)snprintf(out + n, size - n, "%s", value);
            template = strchr(template, '}') + 1;
        } else {
            out[n++] = *template ++;
        }
    }
    out[n] = 0;
    assert_true(n < size);
}

/* What an operation is asked with when only `given` is (NULL: nothing): in the order of
 * its fields, then q and limit. max_items and with are never sent. */
static void expect_query(const struct op *op, const struct shape *given, char *out,
                         size_t size)
{
    size_t n = 0;
    bool limit = false;

    out[0] = 0;
    for (size_t i = 0; i < op->record->n_fields; i++) {
        const struct shape *sh = &op->record->fields[i];
        if (sh->place != PLACE_QUERY)
            continue;
        if (strcmp(sh->name, "limit") == 0)
            limit = sh == given;
        else if (sh == given)
            n += (size_t)snprintf(out + n, size - n, "%s%s=%s", n > 0 ? "&" : "",
                                  sh->name, NASTY_ENCODED);
        else if (strcmp(sh->name, "sort_order") == 0)
            n +=
                (size_t)snprintf(out + n, size - n, "%ssort_order=asc", n > 0 ? "&" : "");
    }
    if (given != NULL && given->place == PLACE_Q)
        n += (size_t)snprintf(out + n, size - n, "%sq%%5Bk%%5D=%s", n > 0 ? "&" : "",
                              NASTY_ENCODED);
    if (limit)
        snprintf(out + n, size - n, "%slimit=%s", n > 0 ? "&" : "", NASTY_ENCODED);
    else if (op->paged)
        snprintf(out + n, size - n, "%slimit=%d", n > 0 ? "&" : "", op->page_max);
}

static void every_path_is_its_template_filled_in(void **state)
{
    (void)state;
    static const struct {
        const char *value, *encoded;
    } rows[] = {{"cnv_1", "cnv_1"},
                {"alt:email:a@b.c", "alt%3Aemail%3Aa%40b.c"},
                {NASTY, NASTY_ENCODED}};

    for (size_t i = 0; i < catalogue_table_n; i++)
        for (size_t r = 0; r < COUNT(rows); r++) {
            const struct op *op = &catalogue_table[i];
            struct pair params[8];
            char expected[1024];
            struct command cmd = {
                .operation = lit(op->name), .params = params, .body = lit("{ \"a\" :1}")};
            for (size_t f = 0; f < op->record->n_fields; f++)
                if (op->record->fields[f].place == PLACE_PATH)
                    params[cmd.n_params++] = (struct pair){
                        lit(op->record->fields[f].name), lit(rows[r].value), false};
            expand(op->path, rows[r].encoded, expected, sizeof expected);
            struct request req = built(&cmd);
            assert_string_equal(req.path, expected);
            assert_int_equal(req.method, op->method);
            assert_ptr_equal(req.row, op);
            assert_int_equal(req.klass, op->klass);
            assert_int_equal(req.guard, op->guard);
            if (op->multipart_only) {
                assert_non_null(req.form);
            } else {
                assert_null(req.form);
                assert_ptr_equal(req.body.ptr, cmd.body.ptr); /* byte for byte */
                assert_int_equal(req.body.len, cmd.body.len);
            }
            assert_int_equal(req.n_headers, 0);
            assert_null(req.content_type);
            assert_true(
                str_eq(req.guard_id, op->guard_param ? lit(rows[r].value) : STR_NULL) ||
                (op->guard_param == NULL && req.guard_id.ptr == NULL));
            assert_int_equal(req.channel_id.ptr != NULL,
                             op->auth == AUTH_CHANNEL &&
                                 strstr(op->path, "{channel_id}"));
            assert_int_equal(req.last_param.ptr != NULL, strchr(op->path, '{') != NULL);
            if (req.last_param.ptr != NULL)
                assert_true(str_is(req.last_param, rows[r].value));
            expect_query(op, NULL, expected, sizeof expected);
            assert_string_equal(req.query ? req.query : "", expected);
            arena_reset(&arena);
        }
}

/* Every query parameter there is, each alone. */
static void every_query_parameter_is_sent(void **state)
{
    (void)state;
    size_t n = 0;

    for (size_t i = 0; i < catalogue_table_n; i++) {
        const struct op *op = &catalogue_table[i];
        for (size_t f = 0; f < op->record->n_fields; f++) {
            const struct shape *sh = &op->record->fields[f];
            struct pair params[8];
            char expected[600], name[64];
            struct command cmd = {.operation = lit(op->name), .params = params};
            if (sh->place != PLACE_QUERY && sh->place != PLACE_Q &&
                sh->place != PLACE_MAX_ITEMS && sh->place != PLACE_WITH)
                continue;
            for (size_t p = 0; p < op->record->n_fields; p++)
                if (op->record->fields[p].place == PLACE_PATH)
                    params[cmd.n_params++] =
                        (struct pair){lit(op->record->fields[p].name), lit("x"), false};
            snprintf(name, sizeof name, sh->place == PLACE_Q ? "%s[k]" : "%s", sh->name);
            params[cmd.n_params++] = (struct pair){lit(name), lit(NASTY), false};
            expect_query(op, sh, expected, sizeof expected);
            struct request req = built(&cmd);
            assert_string_equal(req.query ? req.query : "", expected);
            arena_reset(&arena);
            n++;
        }
    }
    assert_true(n > 255);
}

static void limits_are_cut_to_the_largest_page(void **state)
{
    (void)state;
    static const struct {
        const char *operation, *limit, *query;
    } rows[] = {{"list-tags", NULL, "sort_order=asc&limit=100"},
                {"list-tags", "25", "sort_order=asc&limit=25"},
                {"list-tags", "100", "sort_order=asc&limit=100"},
                {"list-tags", "101", "sort_order=asc&limit=100"},
                {"list-tags", "0", "sort_order=asc&limit=0"},
                {"list-tags", "-1", "sort_order=asc&limit=-1"},
                {"list-tags", "many", "sort_order=asc&limit=many"},
                {"list-events", NULL, "sort_order=asc&limit=15"},
                {"list-events", "100", "sort_order=asc&limit=15"},
                {"list-teams", NULL, NULL},
                {"list-tags", "99999999999999999999",
                 "sort_order=asc&limit=99999999999999999999"}};

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pair p = {lit("limit"), lit(rows[i].limit), true};
        struct command cmd = {.operation = lit(rows[i].operation),
                              .params = &p,
                              .n_params = rows[i].limit != NULL};
        struct request req = built(&cmd);
        if (rows[i].query != NULL)
            assert_string_equal(req.query, rows[i].query);
        else
            assert_null(req.query);
    }
}

static void arrays_repeat_their_key(void **state)
{
    (void)state;
    static const struct {
        const char *value, *query;
    } rows[] = {
        {"[\"a\",\"b\"]", "sort_order=asc&q%5Bstatuses%5D=a&q%5Bstatuses%5D=b&limit=100"},
        {" [ \"a b\" , 1.5, true ] ", "sort_order=asc&q%5Bstatuses%5D=a%20b&q%5Bstatuses%"
                                      "5D=1.5&q%5Bstatuses%5D=true&limit=100"},
        {"[\"\\u00e9\\n\\\"]\"]",
         "sort_order=asc&q%5Bstatuses%5D=%C3%A9%0A%22%5D&limit=100"},
        {"[\"a\\u0000b\"]", "sort_order=asc&q%5Bstatuses%5D=a%00b&limit=100"},
        {"[]", "sort_order=asc&limit=100"},
        {"[a]", "sort_order=asc&q%5Bstatuses%5D=%5Ba%5D&limit=100"},
        {"true", "sort_order=asc&q%5Bstatuses%5D=true&limit=100"},
        {"12.50", "sort_order=asc&q%5Bstatuses%5D=12.50&limit=100"},
        {"", "sort_order=asc&q%5Bstatuses%5D=&limit=100"}};

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pair p = {lit("q[statuses]"), lit(rows[i].value), false};
        struct command cmd = {
            .operation = lit("list-conversations"), .params = &p, .n_params = 1};
        assert_string_equal(built(&cmd).query, rows[i].query);
    }
}

static void what_is_too_long_is_refused(void **state)
{
    (void)state;
    static char text[20000];
    struct pair p = {lit("conversation_id"), {text, 9000}, false};
    struct command cmd = {
        .operation = lit("update-conversation"), .params = &p, .n_params = 1};
    struct request req;
    struct err e = ERR_INIT;

    memset(text, 'x', sizeof text);
    assert_int_equal(
        request_build(&cmd, op_xget("update-conversation"), &arena, &req, &e), -1);
    assert_string_equal(e.reason, "invalid-command");
    assert_non_null(strstr(e.text, "path"));
    p = (struct pair){lit("page_token"), {text, sizeof text}, false};
    cmd.operation = lit("list-tags");
    assert_int_equal(request_build(&cmd, op_xget("list-tags"), &arena, &req, &e), -1);
    assert_non_null(strstr(e.text, "query"));
    cmd = (struct command){
        .operation = lit("call"), .method = lit("GET"), .path = {text, 9000}};
    assert_int_equal(request_build(&cmd, NULL, &arena, &req, &e), -1);
    assert_non_null(strstr(e.text, "path"));
    cmd = (struct command){.operation = lit("update-conversation")};
    assert_int_equal(
        request_build(&cmd, op_xget("update-conversation"), &arena, &req, &e), -1);
    assert_non_null(strstr(e.text, "conversation_id is missing"));
}

static void call_as_given(void **state)
{
    (void)state;
    struct pair query[] = {{lit("q[statuses]"), lit("[\"a\",\"b\"]"), false},
                           {lit("n m"), lit("1"), true}};
    struct pair headers[] = {{lit("X-Own"), lit("a: b"), false},
                             {lit("CONTENT-type"), lit("application/x+json"), false},
                             {lit("Accept"), lit("message/rfc822"), false}};
    struct command cmd = {.operation = lit("call"),
                          .method = lit("POST"),
                          .path = lit("/not/in/the/catalogue%2F/"),
                          .query = query,
                          .n_query = 2,
                          .headers = headers,
                          .n_headers = 3,
                          .body = lit("{ }")};
    struct request req = built(&cmd);

    assert_int_equal(req.method, HTTP_POST);
    assert_string_equal(req.path, "/not/in/the/catalogue%2F/");
    assert_string_equal(req.query, "q%5Bstatuses%5D=a&q%5Bstatuses%5D=b&n%20m=1");
    assert_int_equal(req.n_headers, 2);
    assert_string_equal(req.headers[0], "X-Own: a: b");
    assert_string_equal(req.headers[1], "Accept: message/rfc822");
    assert_string_equal(req.content_type, "application/x+json");
    assert_true(str_is(req.body, "{ }"));
    assert_null(req.row);
    assert_null(req.last_param.ptr);
    assert_null(req.guard_id.ptr);
    cmd = (struct command){
        .operation = lit("call"), .method = lit("GET"), .path = lit("/")};
    assert_string_equal(built(&cmd).path, "/");
}

static void the_class_of_call(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path;
        enum op_class klass;
        const char *row;
    } rows[] = {{"GET", "/nothing", CLASS_A, NULL},
                {"PUT", "/nothing", CLASS_A, NULL},
                {"PATCH", "/nothing", CLASS_A, NULL},
                {"DELETE", "/nothing", CLASS_A, NULL},
                {"POST", "/nothing", CLASS_D, NULL},
                {"POST", "/contacts", CLASS_B, "create-contact"},
                {"POST", "/conversations/cnv_1/comments", CLASS_C, "add-comment"},
                {"PATCH", "/comments/com_1", CLASS_A, "update-comment"}};

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct command cmd = {.operation = lit("call"),
                              .method = lit(rows[i].method),
                              .path = lit(rows[i].path)};
        struct request req = built(&cmd);
        assert_int_equal(req.klass, rows[i].klass);
        assert_string_equal(req.path, rows[i].path);
        assert_string_equal(req.row ? req.row->name : "", rows[i].row ? rows[i].row : "");
    }
}

/* A call to the path of a row obeys the row's rules. */
static void every_row_is_found_by_call(void **state)
{
    (void)state;

    for (size_t i = 0; i < catalogue_table_n; i++) {
        const struct op *op = &catalogue_table[i];
        char path[600];
        struct command cmd = {.operation = lit("call"),
                              .method = lit(http_method_names[op->method])};
        expand(op->path, "a%3A%c3%A9", path, sizeof path);
        cmd.path = lit(path);
        struct request req = built(&cmd);
        assert_string_equal(req.path, path);
        assert_non_null(req.row);
        if (op->auth != AUTH_CHANNEL || req.row->auth == AUTH_CHANNEL)
            assert_string_equal(req.row->name, op->name);
        assert_int_equal(req.klass, req.row->klass);
        assert_int_equal(req.guard, req.row->guard);
        if (req.row->guard_param != NULL)
            assert_true(str_is(req.guard_id, "a:\xc3\xa9"));
        if (req.row->auth == AUTH_CHANNEL && strstr(op->path, "{channel_id}"))
            assert_true(str_is(req.channel_id, "a:\xc3\xa9"));
        assert_null(req.last_param.ptr);
    }
}

static void a_301_changes_the_conversation_only(void **state)
{
    (void)state;
    static const struct {
        const char *location, *id; /* NULL: refused */
    } rows[] = {
        {"https://api2.frontapp.com/conversations/cnv_2b", "cnv_2b"},
        {"https://x.api.frontapp.com/conversations/cnv_2b/comments?a=/cnv_9", "cnv_2b"},
        {"/conversations/cnv_2b", "cnv_2b"},
        {"cnv_2b", "cnv_2b"},
        {"https://evil.example/conversations/cnv_2b/", "cnv_2b"},
        {"", NULL},
        {"https://api2.frontapp.com/conversations/", NULL},
        {"https://api2.frontapp.com/?to=/cnv_2b", NULL},
        {"https://api2.frontapp.com/#/cnv_2b", NULL},
        {"/conversations/cnv_", NULL},
        {"/conversations/cnv_2b..", NULL},
        {"/conversations/cnv_2%2Fb", NULL},
        {"/conversations/msg_1", NULL}};
    struct pair params[] = {{lit("conversation_id"), lit("cnv_1"), false}};
    struct pair query[] = {{lit("a"), lit("b"), false}};
    struct command row = {.operation = lit("add-comment"),
                          .params = params,
                          .n_params = 1,
                          .body = lit("{\"body\":\"x\"}")};
    struct command call = {.operation = lit("call"),
                           .method = lit("POST"),
                           .path = lit("/conversations/cnv_1/comments"),
                           .query = query,
                           .n_query = 1,
                           .body = lit("{\"body\":\"x\"}")};

    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct command *cmds[] = {&row, &call};
        for (size_t c = 0; c < COUNT(cmds); c++) {
            const struct op *op = op_find(cmds[c]->operation);
            struct request req = built(cmds[c]), before = req;
            struct err e = ERR_INIT;
            char path[200], location[200];
            snprintf(location, sizeof location, "%s", rows[i].location);
            int rc = request_retarget(cmds[c], op, location, &arena, &req, &e);
            memset(location, 0,
                   sizeof location); /* the head it stands in is used again */
            if (rows[i].id == NULL) {
                assert_int_equal(rc, -1);
                assert_memory_equal(&req, &before, sizeof req);
                continue;
            }
            assert_int_equal(rc, 0);
            snprintf(path, sizeof path, "/conversations/%s/comments", rows[i].id);
            assert_string_equal(req.path, path);
            assert_int_equal(req.method, HTTP_POST);
            assert_ptr_equal(req.body.ptr, cmds[c]->body.ptr);
            assert_true(c == 0 ? req.query == NULL : strcmp(req.query, "a=b") == 0);
            if (before.guard_id.ptr != NULL)
                assert_true(str_is(req.guard_id, rows[i].id));
            if (c == 0)
                assert_true(str_is(req.last_param, rows[i].id));
        }
    }
}

static void a_301_of_anything_else_is_refused(void **state)
{
    (void)state;
    struct pair p = {lit("tag_id"), lit("tag_1"), false};
    struct command cmd = {.operation = lit("delete-tag"), .params = &p, .n_params = 1};
    struct command call = {
        .operation = lit("call"), .method = lit("GET"), .path = lit("/nothing/cnv_1")};
    struct request req;
    struct err e = ERR_INIT;

    assert_int_equal(
        request_retarget(&cmd, op_xget("delete-tag"), "/x/cnv_1", &arena, &req, &e), -1);
    assert_int_equal(request_retarget(&call, NULL, "/x/cnv_1", &arena, &req, &e), -1);
}

static void every_row_that_may_be_merged_is_retargeted(void **state)
{
    (void)state;
    size_t n = 0;

    for (size_t i = 0; i < catalogue_table_n; i++) {
        const struct op *op = &catalogue_table[i];
        struct pair p = {lit("conversation_id"), lit("cnv_1"), false};
        struct command cmd = {.operation = lit(op->name), .params = &p, .n_params = 1};
        struct request req;
        struct err e = ERR_INIT;
        if (!op->merged_301)
            continue;
        assert_int_equal(
            request_retarget(&cmd, op, "/conversations/cnv_2", &arena, &req, &e), 0);
        assert_non_null(strstr(req.path, "/cnv_2"));
        assert_null(strstr(req.path, "cnv_1"));
        n++;
    }
    assert_int_equal(n, 19);
}

static void digest(const struct command *cmd, char out[33])
{
    request_digest(cmd, op_find(cmd->operation), out);
    assert_int_equal(strlen(out), 32);
}

static void a_digest_is_of_what_is_asked_for(void **state)
{
    (void)state;
    struct pair ab[] = {{lit("a"), lit("1"), false}, {lit("b"), lit("2"), false}};
    struct pair ba[] = {{lit("b"), lit("2"), false}, {lit("a"), lit("1"), false}};
    struct pair swapped[] = {{lit("a"), lit("2"), false}, {lit("b"), lit("1"), false}};
    struct pair glued[] = {{lit("a"), lit("1b"), false}, {lit(""), lit("2"), false}};
    struct pair equals[] = {{lit("a"), lit("1=b"), false}};
    struct pair equals2[] = {{lit("a=1"), lit("b"), false}};
    const struct command same[] = {
        {.operation = lit("add-comment"), .params = ab, .n_params = 2, .body = lit("{}")},
        {.operation = lit("add-comment"),
         .params = ba,
         .n_params = 2,
         .body = lit("{}"),
         .typed = true,
         .command_id = lit("other")}};
    const struct command different[] = {
        {.operation = lit("add-comment"), .params = ab, .n_params = 2, .body = lit("{}")},
        {.operation = lit("add-comment"),
         .params = ab,
         .n_params = 2,
         .body = lit("{ }")},
        {.operation = lit("add-comment"), .params = ab, .n_params = 2},
        {.operation = lit("add-comment"), .params = ab, .n_params = 1, .body = lit("{}")},
        {.operation = lit("add-comment"),
         .params = swapped,
         .n_params = 2,
         .body = lit("{}")},
        {.operation = lit("add-comment"),
         .params = glued,
         .n_params = 2,
         .body = lit("{}")},
        {.operation = lit("add-comment"), .params = equals, .n_params = 1},
        {.operation = lit("add-comment"), .params = equals2, .n_params = 1},
        {.operation = lit("add-note"), .params = ab, .n_params = 2, .body = lit("{}")},
        {.operation = lit("call"), .method = lit("GET"), .path = lit("/a")},
        {.operation = lit("call"), .method = lit("GET"), .path = lit("/b")},
        {.operation = lit("call"), .method = lit("PUT"), .path = lit("/a")},
        {.operation = lit("call"),
         .method = lit("PUT"),
         .path = lit("/a"),
         .body = lit("{}")},
        {.operation = lit("call"),
         .method = lit("GET"),
         .path = lit("/a"),
         .query = ab,
         .n_query = 2},
        {.operation = lit("call"),
         .method = lit("GET"),
         .path = lit("/a"),
         .query = ab,
         .n_query = 1},
        {.operation = lit("call"),
         .method = lit("GET"),
         .path = lit("/a"),
         .headers = ab,
         .n_headers = 2},
        {.operation = lit("nonsense")},
        {.operation = STR_NULL}};
    char d[COUNT(different)][33], other[33];

    digest(&same[0], d[0]);
    digest(&same[1], other);
    assert_string_equal(d[0], other);
    for (size_t i = 0; i < COUNT(different); i++) {
        digest(&different[i], d[i]);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(d[i], d[j]);
    }
    /* printf 'list-tags\0a\0001\0b\0002\0\0' | sha256sum */
    struct command known = {.operation = lit("list-tags"), .params = ba, .n_params = 2};
    digest(&known, other);
    assert_string_equal(other, "e0e84f37a0a3b8d36c9d09b52d22c677");
}

static void an_alias_has_the_digest_of_its_operation(void **state)
{
    (void)state;
    char a[33], b[33];

    for (size_t i = 0; i < catalogue_aliases_n; i++) {
        struct command one = {.operation = lit(catalogue_aliases[i].alias)};
        struct command two = {.operation = lit(catalogue_aliases[i].name)};
        digest(&one, a);
        digest(&two, b);
        assert_string_equal(a, b);
    }
}

static void hex_digits(void **state)
{
    (void)state;
    assert_int_equal(request_hex("00"), 0);
    assert_int_equal(request_hex("fF"), 255);
    assert_int_equal(request_hex("2e"), '.');
    assert_int_equal(request_hex("A9"), 0xA9);
    assert_int_equal(request_hex("g0"), -1);
    assert_int_equal(request_hex("0 "), -1);
    assert_int_equal(request_hex("\0\0"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_path_is_its_template_filled_in),
        cmocka_unit_test(every_query_parameter_is_sent),
        cmocka_unit_test(limits_are_cut_to_the_largest_page),
        cmocka_unit_test(arrays_repeat_their_key),
        cmocka_unit_test(what_is_too_long_is_refused),
        cmocka_unit_test(call_as_given),
        cmocka_unit_test(the_class_of_call),
        cmocka_unit_test(every_row_is_found_by_call),
        cmocka_unit_test(a_301_changes_the_conversation_only),
        cmocka_unit_test(a_301_of_anything_else_is_refused),
        cmocka_unit_test(every_row_that_may_be_merged_is_retargeted),
        cmocka_unit_test(a_digest_is_of_what_is_asked_for),
        cmocka_unit_test(an_alias_has_the_digest_of_its_operation),
        cmocka_unit_test(hex_digits),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
