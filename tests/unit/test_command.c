/* Commands, generic and JSON, in and out; writers with other types and orders; bad ones.
 */
#include "command_help.h"

static struct pair params[] = {{STR_LIT("contact_id"), STR_LIT("crd_1"), false},
                               {STR_LIT("q[statuses]"), STR_LIT("[\"open\"]"), true},
                               {STR_LIT("limit"), STR_LIT("50"), true},
                               {STR_LIT(""), STR_LIT("\xc3\xa9 \"\n"), false}};
static struct pair query[] = {{STR_LIT("a"), STR_LIT("b"), false}};
static struct pair headers[] = {{STR_LIT("x-a"), STR_LIT("1"), false}};
static struct attachment files[] = {
    {.filename = STR_LIT("a.png"),
     .content_type = STR_LIT("image/png"),
     .data = {"\0\xff", 2}},
    {.filename = STR_LIT("b"), .url = STR_LIT("https://example.com/b")},
    {.filename = STR_LIT("empty"), .data = STR_LIT("")}};

static const struct command full = {.command_id = STR_LIT("id-1"),
                                    .operation = STR_LIT("call"),
                                    .params = params,
                                    .n_params = COUNT(params),
                                    .body = STR_LIT("{ \"a\" : 1.50 }"),
                                    .attachments = files,
                                    .n_attachments = COUNT(files),
                                    .method = STR_LIT("POST"),
                                    .path = STR_LIT("/x"),
                                    .query = query,
                                    .n_query = COUNT(query),
                                    .headers = headers,
                                    .n_headers = COUNT(headers)};
static const struct command bare = {.operation = STR_LIT("list-tags")};

static void what_is_encoded_decodes_the_same(void **state)
{
    const struct command *const cmds[] = {&full, &bare, &full};
    struct fixture f;
    size_t i;

    (void)state;
    begin(&f, NULL);
    for (i = 0; i < COUNT(cmds); i++) {
        buf_reset(&f.bytes);
        assert_int_equal(command_encode_avro(f.ss, cmds[i], &f.bytes, &f.e), 0);
        if (decode(&f) != 0)
            fail_msg("%s", f.e.text);
        assert_same(&f.cmd, cmds[i]);
        buf_reset(&f.bytes);
        assert_int_equal(command_encode_json(cmds[i], &f.bytes, &f.e), 0);
        if (command_decode_json(buf_str(&f.bytes), &f.a, &f.cmd, &f.e) != 0)
            fail_msg("%s", f.e.text);
        assert_same(&f.cmd, cmds[i]);
    }
    end(&f);
}

#define COMMAND(fields)                                                                  \
    "{\"type\":\"record\",\"name\":\"Command\",\"namespace\":\"front\",\"fields\":"      \
    "[" fields "]}"

static void a_writer_may_have_other_orders_and_types(void **state)
{
    static const char schema[] = COMMAND(
        "{\"name\":\"extra\",\"type\":{\"type\":\"array\",\"items\":\"int\"}},"
        "{\"name\":\"body\",\"type\":[\"string\",\"null\"]},"
        "{\"name\":\"params\",\"type\":{\"type\":\"map\",\"values\":"
        "[\"null\",\"string\",\"int\",\"boolean\"]}},"
        "{\"name\":\"operation\",\"type\":{\"type\":\"enum\",\"name\":\"Op\",\"symbols\":"
        "[\"other\",\"create\"]}},"
        "{\"name\":\"command_id\",\"type\":\"bytes\"}");
    static const struct pair want[] = {{STR_LIT("s"), STR_LIT("t"), false},
                                       {STR_LIT("i"), STR_LIT("-2"), true},
                                       {STR_LIT("b"), STR_LIT("true"), true}};
    struct fixture f;

    (void)state;
    begin(&f, schema);
    (void)buf_add(&f.bytes, "\2\6\0", 3);
    put_long(&f.bytes, 0);
    put_text(&f.bytes, "{}");
    (void)buf_add(&f.bytes, "\10\2s\2\2t\2i\4\3\2b\6\1\2n\0\0", 18);
    put_long(&f.bytes, 1);
    put_text(&f.bytes, "id");
    if (decode(&f) != 0)
        fail_msg("%s", f.e.text);
    assert_text(f.cmd.operation, "create");
    assert_text(f.cmd.command_id, "id");
    assert_text(f.cmd.body, "{}");
    assert_text(f.cmd.method, NULL);
    assert_pairs(f.cmd.params, f.cmd.n_params, want, COUNT(want));
    assert_true(find_pair(f.cmd.params, 3, STR_LIT("i"))->json);
    end(&f);
}

static void a_writer_with_the_wrong_types_is_told(void **state)
{
    static const struct {
        const char *schema;
        struct str datum;
        const char *reason, *text;
    } rows[] = {
        {COMMAND("{\"name\":\"operation\",\"type\":\"int\"}"), BYTES("\2"), "BadValue",
         "operation"},
        {COMMAND("{\"name\":\"operation\",\"type\":\"bytes\"}"), BYTES("\2\xff"),
         "BadValue", "operation"},
        {COMMAND("{\"name\":\"operation\",\"type\":\"string\"},"
                 "{\"name\":\"params\",\"type\":\"string\"}"),
         BYTES("\2x\2x"), "BadValue", "params"},
        {COMMAND(
             "{\"name\":\"operation\",\"type\":\"string\"},"
             "{\"name\":\"params\",\"type\":{\"type\":\"map\",\"values\":\"double\"}}"),
         BYTES("\2x\2\2k\0\0\0\0\0\0\0\0\0"), "BadValue", "params"},
        {COMMAND("{\"name\":\"operation\",\"type\":\"string\"},"
                 "{\"name\":\"attachments\",\"type\":{\"type\":\"array\",\"items\":"
                 "\"string\"}}"),
         BYTES("\2x\2\2a\0"), "BadValue", "attachments"},
        {COMMAND(""), BYTES(""), "invalid-command", "operation is missing"},
        {COMMAND("{\"name\":\"operation\",\"type\":[\"null\",\"string\"]}"), BYTES("\0"),
         "invalid-command", "operation is missing"},
        {COMMAND("{\"name\":\"operation\",\"type\":\"string\"}"), BYTES("\2x\0"),
         "TrailingBytes", "1 byte"},
        {COMMAND("{\"name\":\"operation\",\"type\":\"string\"}"), BYTES("\4x"),
         "Truncated", "operation"},
        {"{\"type\":\"record\",\"name\":\"other.Command\",\"fields\":[]}", BYTES(""),
         "RecordUnknown", "other.Command"},
        {"{\"type\":\"record\",\"name\":\"front.command.Nothing\",\"fields\":[]}",
         BYTES(""), "RecordUnknown", "front.command.Nothing"},
        {"{\"type\":\"enum\",\"name\":\"front.Command\",\"symbols\":[\"A\"]}",
         BYTES("\0"), "RecordUnknown", "front.Command"},
        {"\"string\"", BYTES("\0"), "RecordUnknown", "no command"},
    };
    struct fixture f;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(rows); i++) {
        begin(&f, rows[i].schema);
        (void)buf_add_str(&f.bytes, rows[i].datum);
        assert_int_equal(decode(&f), -1);
        assert_reason(&f.e, rows[i].reason, rows[i].text);
        end(&f);
    }
}

static void attachments_have_data_or_url(void **state)
{
    struct attachment file = {.filename = STR_LIT("f")};
    struct command cmd = {
        .operation = STR_LIT("x"), .attachments = &file, .n_attachments = 1};
    struct fixture f;
    int i;

    (void)state;
    begin(&f, NULL);
    for (i = 0; i < 2; i++) {
        buf_reset(&f.bytes);
        assert_int_equal(command_encode_avro(f.ss, &cmd, &f.bytes, &f.e), 0);
        assert_int_equal(decode(&f), -1);
        assert_reason(&f.e, "invalid-command", "exactly one");
        file.data = file.url = STR_LIT("x");
    }
    end(&f);
}

/* --- JSON commands --- */

static void a_json_command_is_cut_out_of_its_text(void **state)
{
    static const char text[] =
        " {\"params\":{\"contact_id\":\"crd_\\u0031\",\"limit\":50,\"a\\\"b\":true,"
        "\"ids\":[1,\"x\"],\"no\":null},\"body\": { \"n\" : 1.50,\"s\":\"\\u00e9\" } ,\n"
        "\"operation\":\"update-a-contact\",\"command_id\":\"i\xc3\xa9\",\"method\":null,"
        "\"query\":{\"q\":false},\"headers\":{\"x\":\"y\"},\"attachments\":[]} ";
    static const struct pair want[] = {{STR_LIT("contact_id"), STR_LIT("crd_1"), false},
                                       {STR_LIT("limit"), STR_LIT("50"), true},
                                       {STR_LIT("a\"b"), STR_LIT("true"), true},
                                       {STR_LIT("ids"), STR_LIT("[1,\"x\"]"), true}};
    struct fixture f;

    (void)state;
    begin(&f, NULL);
    if (command_decode_json(str_of(text), &f.a, &f.cmd, &f.e) != 0)
        fail_msg("%s", f.e.text);
    assert_text(f.cmd.command_id, "i\xc3\xa9");
    assert_text(f.cmd.operation, "update-a-contact");
    assert_text(f.cmd.body, "{ \"n\" : 1.50,\"s\":\"\\u00e9\" }");
    assert_text(f.cmd.method, NULL);
    assert_pairs(f.cmd.params, f.cmd.n_params, want, COUNT(want));
    assert_true(f.cmd.params[1].json && !f.cmd.params[0].json);
    assert_text(f.cmd.query[0].value, "false");
    assert_text(f.cmd.headers[0].value, "y");
    assert_int_equal(
        command_decode_json(STR_LIT("{\"operation\":\"x\",\"body\":\"{\\\"a\\\":1}\"}"),
                            &f.a, &f.cmd, &f.e),
        0);
    assert_text(f.cmd.body, "{\"a\":1}");
    end(&f);
}

static void a_bad_json_command_says_why(void **state)
{
    static const struct {
        struct str text;
        const char *reason, *says;
    } rows[] = {
        {BYTES(""), "Empty", "no value"},
        {BYTES("\xc3\x01"
               "12345678"),
         "WrongFormat", "commands.format"},
        {BYTES("\0\0\0\0\1"), "WrongFormat", "commands.format"},
        {BYTES("hello"), "BadJson", "not JSON"},
        {BYTES("[]"), "BadJson", "object"},
        {BYTES("\"x\""), "BadJson", "not JSON"},
        {BYTES("{\"operation\":\"x\"} {}"), "BadJson", "not JSON"},
        {BYTES("{\"operation\":\"x\",\"operation\":\"y\"}"), "BadJson", "duplicate"},
        {BYTES("{\"operation\":\"x\",\"body\":{\"a\":1,\"a\":2}}"), "BadJson",
         "duplicate"},
        {BYTES("{\"operation\":\"\xff\"}"), "BadUtf8", "UTF-8"},
        {BYTES("{}"), "invalid-command", "operation"},
        {BYTES("{\"operation\":null}"), "invalid-command", "operation"},
        {BYTES("{\"operation\":1}"), "invalid-command", "operation"},
        {BYTES("{\"operation\":\"x\",\"parms\":{}}"), "invalid-command",
         "nearest: params"},
        {BYTES("{\"operation\":\"x\",\"params\":[]}"), "invalid-command", "params"},
        {BYTES("{\"operation\":\"x\",\"params\":{\"q\":{}}}"), "invalid-command",
         "params"},
        {BYTES("{\"operation\":\"x\",\"headers\":{\"a\":1}}"), "invalid-command",
         "headers"},
        {BYTES("{\"operation\":\"x\",\"body\":[]}"), "invalid-command", "body"},
        {BYTES("{\"operation\":\"x\",\"attachments\":{}}"), "invalid-command",
         "attachments"},
        {BYTES("{\"operation\":\"x\",\"attachments\":[1]}"), "invalid-command",
         "attachments"},
        {BYTES("{\"operation\":\"x\",\"attachments\":[{\"filename\":\"f\"}]}"),
         "invalid-command", "exactly one"},
        {BYTES("{\"operation\":\"x\",\"attachments\":[{\"data\":\"\"}]}"),
         "invalid-command", "filename"},
        {BYTES(
             "{\"operation\":\"x\",\"attachments\":[{\"filename\":\"f\",\"dat\":\"\"}]}"),
         "invalid-command", "nearest: data"},
        {BYTES("{\"operation\":\"x\",\"attachments\":[{\"filename\":\"f\",\"data\":\"a\"}"
               "]}"),
         "invalid-command", "base64"},
        {BYTES("{\"operation\":\"x\",\"attachments\":[{\"filename\":\"f\",\"data\":\"a="
               "bc\"}]}"),
         "invalid-command", "base64"},
        {BYTES("{\"operation\":\"x\",\"attachments\":[{\"filename\":\"f\",\"data\":\"YQ=="
               "\\n\"}]}"),
         "invalid-command", "base64"},
    };
    struct fixture f;
    size_t i;

    (void)state;
    begin(&f, NULL);
    for (i = 0; i < COUNT(rows); i++) {
        assert_int_equal(command_decode_json(rows[i].text, &f.a, &f.cmd, &f.e), -1);
        if (strcmp(f.e.reason, rows[i].reason) != 0 ||
            strstr(f.e.text, rows[i].says) == NULL)
            fail_msg("row %zu: %s: %s", i, f.e.reason, f.e.text);
    }
    end(&f);
}

static void a_refused_command_keeps_its_id(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, NULL);
    assert_int_equal(command_decode_json(STR_LIT("{\"wrong\":1,\"operation\":\"op\","
                                                 "\"command_id\":\"me\"}"),
                                         &f.a, &f.cmd, &f.e),
                     -1);
    assert_text(f.cmd.command_id, "me");
    assert_text(f.cmd.operation, "op");
    end(&f);
}

/* --- whatever the bytes --- */

static void mutated_generic_commands_are_survived(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, NULL);
    assert_int_equal(command_encode_avro(f.ss, &full, &f.bytes, &f.e), 0);
    mutate_many(&f, 10, typed_record_find, 1);
    end(&f);
}

static void mutated_json_commands_are_survived(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, NULL);
    assert_int_equal(command_encode_json(&full, &f.bytes, &f.e), 0);
    mutate_many(&f, 0, NULL, 3);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_encoded_decodes_the_same),
        cmocka_unit_test(a_writer_may_have_other_orders_and_types),
        cmocka_unit_test(a_writer_with_the_wrong_types_is_told),
        cmocka_unit_test(attachments_have_data_or_url),
        cmocka_unit_test(a_json_command_is_cut_out_of_its_text),
        cmocka_unit_test(a_bad_json_command_says_why),
        cmocka_unit_test(a_refused_command_keeps_its_id),
        cmocka_unit_test(mutated_generic_commands_are_survived),
        cmocka_unit_test(mutated_json_commands_are_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
