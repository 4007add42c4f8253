/* A command with attachments as a form: the bytes that leave, what they borrow, and the
 * boundary. What an independent parser makes of them: tests/system/test_attachments.py.
 */
#include "support.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "front/check.h"
#include "front/form.h"
#include "front/request.h"

#define FIELD(name) "Content-Disposition: form-data; name=\"" name "\"\r\n\r\n"
#define FILE_AS(name, filename, type)                                                    \
    "Content-Disposition: form-data; name=\"" name "\"; filename=\"" filename            \
    "\"\r\nContent-Type: " type "\r\n\r\n"
#define PLAIN "application/octet-stream"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static struct str lit(const char *s)
{
    return str_of(s);
}

static struct form built(const struct command *cmd)
{
    struct err e = ERR_INIT;
    struct form form;

    if (form_build(cmd, op_find(cmd->operation), &arena, &form, &e) != 0)
        fail_msg("%s", e.text);
    return form;
}

static struct str boundary_of(const struct form *form)
{
    const char *mark = strstr(form->content_type, "boundary=");

    assert_non_null(mark);
    return lit(mark + strlen("boundary="));
}

static struct str joined(const struct form *form)
{
    char *text = arena_alloc(&arena, form->len + 1);
    size_t n = 0;

    for (size_t i = 0; i < form->n_pieces; i++) {
        assert_true(n + form->pieces[i].len <= form->len);
        memcpy(text + n, form->pieces[i].ptr, form->pieces[i].len);
        n += form->pieces[i].len;
    }
    assert_int_equal(n, form->len);
    text[n] = 0;
    return (struct str){text, n};
}

/* The parts as they should be, between boundaries. */
static struct str wanted(const char *const *parts, struct str boundary)
{
    struct buf out;
    struct str copy;

    buf_init(&out, 1 << 16);
    for (size_t i = 0; parts[i] != NULL; i++)
        (void)buf_printf(&out, "%s--%.*s\r\n%s", i > 0 ? "\r\n" : "", STR_ARG(boundary),
                         parts[i]);
    (void)buf_printf(&out, "\r\n--%.*s--\r\n", STR_ARG(boundary));
    copy = (struct str){arena_strndup(&arena, out.data, out.len), out.len};
    buf_fini(&out);
    return copy;
}

static struct attachment png = {.filename = STR_LIT("a b.png"),
                                .content_type = STR_LIT("image/png"),
                                .data = STR_LIT("\x89PNG\r\n--x")};
static struct attachment plain = {.filename = STR_LIT("t.txt"), .data = STR_LIT("")};

static void the_bytes_that_leave(void **state)
{
    (void)state;
    struct attachment odd = {.filename = STR_LIT("\xc3\xa9\"\r\n;\\\x01\x7f%.txt"),
                             .data = STR_LIT("x")};
    struct attachment zero = {.filename = {"a\0b", 3}, .data = {"\0\1", 2}};
    const struct {
        const char *operation, *body;
        struct attachment files[2];
        size_t n;
        const char *parts[10];
    } rows[] = {
        {"add-comment",
         "{ \"author_id\" : \"tea_1\",\"body\":\"a\\n\\u00e9\\\"\" }",
         {png, plain},
         2,
         {FIELD("author_id") "tea_1", FIELD("body") "a\n\xc3\xa9\"",
          FILE_AS("attachments[0]", "a b.png", "image/png") "\x89PNG\r\n--x",
          FILE_AS("attachments[1]", "t.txt", PLAIN)}},
        {"create-message-reply",
         "{\"to\":[\"a@b\",\"c@d\"],\"options\":{\"archive\":false,\"tag_ids\":[\"t\"]},"
         "\"n\":1.50e3,\"deep\":[{\"a\":[true]}],\"attachments\":[ ]}",
         {plain},
         1,
         {FIELD("to[0]") "a@b", FIELD("to[1]") "c@d", FIELD("options[archive]") "false",
          FIELD("options[tag_ids][0]") "t", FIELD("n") "1.50e3",
          FIELD("deep[0][a][0]") "true", FILE_AS("attachments[0]", "t.txt", PLAIN)}},
        {"create-conversation",
         "{\"comment\":{\"body\":\"\",\"attachments\":[]}}",
         {plain},
         1,
         {FIELD("comment[body]") "", FILE_AS("comment[attachments][0]", "t.txt", PLAIN)}},
        {"create-conversation",
         "{\"type\":\"task\",\"comment\":{ }}",
         {plain},
         1,
         {FIELD("type") "task", FILE_AS("comment[attachments][0]", "t.txt", PLAIN)}},
        {"update-a-contact",
         NULL,
         {png},
         1,
         {FILE_AS("avatar", "a b.png", "image/png") "\x89PNG\r\n--x"}},
        {"add-call-recording",
         "{\"recording_type\":\"call\"}",
         {png},
         1,
         {FIELD("recording_type") "call",
          FILE_AS("attachments", "a b.png", "image/png") "\x89PNG\r\n--x"}},
        {"update-a-contact",
         "{\"custom_fields\":{\"a\\\"\\r\\nb: c\":\"1\"}}",
         {odd},
         1,
         {FIELD("custom_fields[a%22%0D%0Ab: c]") "1",
          FILE_AS("avatar", "\xc3\xa9%22%0D%0A;\\%01%7F%.txt", PLAIN) "x"}},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct attachment files[2] = {rows[i].files[0], rows[i].files[1]};
        struct command cmd = {.operation = lit(rows[i].operation),
                              .body = lit(rows[i].body),
                              .attachments = files,
                              .n_attachments = rows[i].n};
        struct form form = built(&cmd);
        struct str got = joined(&form);
        struct str want = wanted(rows[i].parts, boundary_of(&form));

        if (!str_eq(got, want))
            fail_msg("row %zu:\n%.*s\nwanted\n%.*s", i, STR_ARG(got), STR_ARG(want));
    }
    struct command cmd = {
        .operation = lit("update-a-contact"), .attachments = &zero, .n_attachments = 1};
    struct form form = built(&cmd);
    assert_non_null(memmem(form.pieces[0].ptr, form.pieces[0].len, "a%00b", 5));
    assert_int_equal(form.pieces[1].len, 2);
}

static void the_bytes_of_a_file_are_not_copied(void **state)
{
    (void)state;
    struct attachment files[] = {png, plain};
    struct command cmd = {.operation = lit("add-comment"),
                          .body = lit("{\"body\":\"x\"}"),
                          .attachments = files,
                          .n_attachments = 2};
    struct form form = built(&cmd);

    assert_int_equal(form.n_pieces, 7);
    assert_ptr_equal(form.pieces[3].ptr, files[0].data.ptr);
    assert_ptr_equal(form.pieces[5].ptr, files[1].data.ptr);
}

/* Equal commands are equal bytes; nobody can write a file that holds its own boundary. */
static void the_boundary_is_of_the_contents(void **state)
{
    (void)state;
    struct attachment file = png;
    struct command cmd = {.operation = lit("add-comment"),
                          .body = lit("{\"body\":\"x\"}"),
                          .attachments = &file,
                          .n_attachments = 1};
    struct form first = built(&cmd), again = built(&cmd), changed;

    assert_true(str_eq(joined(&first), joined(&again)));
    file.data =
        lit(arena_printf(&arena, "\r\n--%.*s--\r\n", STR_ARG(boundary_of(&first))));
    changed = built(&cmd);
    assert_false(str_eq(boundary_of(&first), boundary_of(&changed)));
    file.data = png.data;
    cmd.body = lit("{\"body\":\"y\"}");
    changed = built(&cmd);
    assert_false(str_eq(boundary_of(&first), boundary_of(&changed)));
}

static void without_the_bytes_of_a_url_there_are_parts_only(void **state)
{
    (void)state;
    struct attachment files[] = {
        plain, {.filename = STR_LIT("u"), .url = STR_LIT("https://h/u")}};
    struct command cmd = {.operation = lit("add-comment"),
                          .body = lit("{\"body\":\"x\"}"),
                          .attachments = files,
                          .n_attachments = 2};
    struct form form = built(&cmd);

    assert_int_equal(form.n_parts, 3);
    assert_null(form.pieces);
    assert_int_equal(form.len, 0);
    files[1].data = lit("fetched");
    form = built(&cmd);
    assert_non_null(form.pieces);
    assert_non_null(strstr(joined(&form).ptr, "fetched"));
}

/* Of a request: the body is not sent as JSON too, and a class C stays one. */
static void a_request_has_a_form_in_the_place_of_its_body(void **state)
{
    (void)state;
    struct pair param = {lit("conversation_id"), lit("cnv_1"), false};
    struct command cmd = {.operation = lit("add-comment"),
                          .params = &param,
                          .n_params = 1,
                          .body = lit("{\"body\":\"x\"}"),
                          .attachments = &png,
                          .n_attachments = 1};
    struct request req;
    struct err e = ERR_INIT;

    assert_int_equal(request_build(&cmd, op_xget("add-comment"), &arena, &req, &e), 0);
    assert_null(req.body.ptr);
    assert_non_null(req.form);
    assert_int_equal(request_body_len(&req), req.form->len);
    assert_int_equal(req.klass, CLASS_C);
    cmd.n_attachments = 0;
    assert_int_equal(request_build(&cmd, op_xget("add-comment"), &arena, &req, &e), 0);
    assert_null(req.form);
    assert_int_equal(request_body_len(&req), cmd.body.len);
}

/* After a 301 the same bytes go to the conversation that is left. */
static void a_form_is_retargeted_as_it_is(void **state)
{
    (void)state;
    struct pair param = {lit("conversation_id"), lit("cnv_1"), false};
    struct command cmd = {.operation = lit("create-message-reply"),
                          .params = &param,
                          .n_params = 1,
                          .body = lit("{\"body\":\"x\"}"),
                          .attachments = &png,
                          .n_attachments = 1};
    const struct op *op = op_xget("create-message-reply");
    struct request req;
    struct err e = ERR_INIT;

    assert_int_equal(request_build(&cmd, op, &arena, &req, &e), 0);
    struct str first = joined(req.form);
    assert_int_equal(
        request_retarget(&cmd, op, "https://h/conversations/cnv_2", &arena, &req, &e), 0);
    assert_string_equal(req.path, "/conversations/cnv_2/messages");
    assert_true(str_eq(first, joined(req.form)));
    assert_null(req.body.ptr);
}

/* A repeated id with other files is another command; a URL is what it says. */
static void a_digest_is_of_the_files_too(void **state)
{
    (void)state;
    const struct {
        struct attachment files[2];
        size_t n;
    } rows[] = {
        {{{.filename = STR_NULL}}, 0},
        {{plain}, 1},
        {{png}, 1},
        {{png, plain}, 2},
        {{plain, png}, 2},
        {{{.filename = lit("a b.png"), .data = png.data}}, 1},
        {{{.filename = lit("a b.png"),
           .content_type = lit("image/png"),
           .data = lit("other")}},
         1},
        {{{.filename = lit("a b.png"),
           .content_type = lit("image/png"),
           .url = lit("https://h/a")}},
         1},
        {{{.filename = lit("a b.png"),
           .content_type = lit("image/png"),
           .url = lit("https://h/b")}},
         1},
    };
    char digests[COUNT(rows)][33];

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct attachment files[2] = {rows[i].files[0], rows[i].files[1]};
        struct command cmd = {.operation = lit("add-comment"),
                              .body = lit("{\"body\":\"x\"}"),
                              .attachments = files,
                              .n_attachments = rows[i].n};
        char again[33];

        request_digest(&cmd, op_xget("add-comment"), digests[i]);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(digests[i], digests[k]);
        for (size_t f = 0; f < cmd.n_attachments; f++)
            if (files[f].url.ptr != NULL)
                files[f].data = lit("what came from there");
        request_digest(&cmd, op_xget("add-comment"), again);
        assert_string_equal(digests[i], again);
    }
    /* Without files it is as it was before there were any: ids seen by an older version.
     */
    assert_string_equal(digests[0], "0f44e03890a2c232b18462c6a778e456");
}

/* ---- what cannot be sent ---- */

static struct attachment one_file = {.filename = STR_LIT("a"), .data = STR_LIT("x")};

static void refused(const struct command *cmd, const char *reason, const char *word)
{
    const struct op *op;
    struct err e = ERR_INIT;

    if (command_check(cmd, &op, &e) == 0)
        fail_msg("passed, should name %s", word);
    assert_string_equal(e.reason, reason);
    if (strstr(e.text, word) == NULL)
        fail_msg("\"%s\" does not name %s", e.text, word);
    assert_true(utf8_valid(lit(e.text)));
}

static void passes(const struct command *cmd)
{
    const struct op *op;
    struct err e = ERR_INIT;

    if (command_check(cmd, &op, &e) != 0)
        fail_msg("%s: %s", e.reason, e.text);
}

/* What a form has no words for. */
static void bodies_that_no_form_can_say(void **state)
{
    (void)state;
    static const struct {
        const char *body, *word; /* word NULL: passes */
    } rows[] = {
        {"{\"body\":\"x\",\"author_id\":null}", "author_id: is null"},
        {"{\"body\":\"x\",\"author_id\":\"null\"}", NULL},
        {"{\"body\":\"x\",\"options\":{}}", "options: is an empty object"},
        {"{\"body\":\"x\",\"options\":{\"tag_ids\":[]}}",
         "options[tag_ids]: is an empty array"},
        {"{\"body\":\"x\",\"options\":{\"tag_ids\":[\"a\",null]}}",
         "options[tag_ids][1]: is null"},
        {"{\"body\":\"x\",\"options\":{\"a]\":1}}", "options: has a name"},
        {"{\"body\":\"x\",\"options\":{\"\":1}}", "options: has a name"},
        {"{\"body\":\"x\",\"options\":{\"a\\u0000b\":1}}", "NUL"},
        {"{\"body\":\"x\",\"options\":{\"a\\u0000b\":1}}", "options"},
        {"{\"body\":\"x\",\"attachments\":[]}", NULL},
    };
    struct pair param = {lit("conversation_id"), lit("cnv_1"), false};
    struct command cmd = {.operation = lit("create-message-reply"),
                          .params = &param,
                          .n_params = 1,
                          .attachments = &one_file,
                          .n_attachments = 1};

    for (size_t i = 0; i < COUNT(rows); i++) {
        cmd.body = lit(rows[i].body);
        if (rows[i].word == NULL)
            passes(&cmd);
        else
            refused(&cmd, "attachment", rows[i].word);
    }
    cmd.n_attachments = 0; /* as JSON all of it can be said */
    for (size_t i = 0; i < COUNT(rows); i++) {
        cmd.body = lit(rows[i].body);
        passes(&cmd);
    }
}

static void names_and_types_of_files(void **state)
{
    (void)state;
    static const struct {
        const char *name, *type;
        bool ok;
    } rows[] = {
        {"a", NULL, true},
        {"", NULL, false},
        {"a\"b\r\nX: y", NULL, true}, /* escaped */
        {"\xc3\xa9", "image/png", true},
        {"a", "text/plain; charset=utf-8", true},
        {"a", "image", false},
        {"a", "/png", false},
        {"a", "", false},
        {"a", "image/png\r\nX: y", false},
        {"a", "image/\xc3\xa9", false},
    };
    struct pair param = {lit("conversation_id"), lit("cnv_1"), false};

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct attachment file = {.filename = lit(rows[i].name), .data = lit("x")};
        struct command cmd = {.operation = lit("add-comment"),
                              .params = &param,
                              .n_params = 1,
                              .body = lit("{\"body\":\"x\"}"),
                              .attachments = &file,
                              .n_attachments = 1};
        if (rows[i].type != NULL)
            file.content_type = lit(rows[i].type);
        if (rows[i].ok)
            passes(&cmd);
        else
            refused(&cmd, "attachment", "");
    }
}

static void call_takes_files_where_its_row_does(void **state)
{
    (void)state;
    struct pair header = {lit("Content-Type"), lit("text/plain"), false};
    struct command cmd = {.operation = lit("call"),
                          .method = lit("POST"),
                          .path = lit("/channels/cha_1/calls/1/recording")};

    refused(&cmd, "attachment", "add-call-recording");
    cmd.path = lit("/conversations/cnv_1/comments");
    passes(&cmd);
    cmd.attachments = &one_file;
    cmd.n_attachments = 1;
    passes(&cmd);
    cmd.headers = &header;
    cmd.n_headers = 1;
    refused(&cmd, "attachment", "content-type");
    cmd.n_headers = 0;
    cmd.body = lit("{\"attachments\":[{}]}");
    refused(&cmd, "attachment", "attachments");
    cmd.body = STR_NULL;
    cmd.path = lit("/conversations/cnv_1/nothing");
    refused(&cmd, "attachment", "takes no files");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_bytes_that_leave, setup, teardown),
        cmocka_unit_test_setup_teardown(the_bytes_of_a_file_are_not_copied, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_boundary_is_of_the_contents, setup, teardown),
        cmocka_unit_test_setup_teardown(without_the_bytes_of_a_url_there_are_parts_only,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_request_has_a_form_in_the_place_of_its_body,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_form_is_retargeted_as_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(a_digest_is_of_the_files_too, setup, teardown),
        cmocka_unit_test(bodies_that_no_form_can_say),
        cmocka_unit_test(names_and_types_of_files),
        cmocka_unit_test(call_takes_files_where_its_row_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
