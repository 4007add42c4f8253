/* Commands: generic, typed and JSON, in and out; writers with other types and orders; bad
 * ones. */
#include "codec_help.h"

#include <jansson.h>

#include "codec/json.h"
#include "codec/records/command.h"
#include "front/catalogue.h"

struct fixture {
    struct schemas *ss;
    struct arena a;
    struct command cmd;
    struct buf bytes;
    struct err e;
};

static void begin(struct fixture *f, const char *schema)
{
    *f = (struct fixture){.ss = store(schema)};
    arena_init(&f->a, 0);
    buf_init(&f->bytes, 1 << 20);
    if (schema != NULL)
        put_frame(&f->bytes, fingerprint_of(schema));
}

static void end(struct fixture *f)
{
    schemas_free(f->ss);
    arena_fini(&f->a);
    buf_fini(&f->bytes);
}

static int decode_with(struct fixture *f, typed_find_fn *find)
{
    err_clear(&f->e);
    return command_decode_avro(f->ss, find, buf_str(&f->bytes), &f->a, &f->cmd, &f->e) ==
                   FRAMING_OK
               ? 0
               : -1;
}

static int decode(struct fixture *f)
{
    return decode_with(f, typed_record_find);
}

static void assert_text(struct str got, const char *want)
{
    if (want == NULL) {
        assert_null(got.ptr);
        return;
    }
    assert_non_null(got.ptr);
    if (!str_is(got, want))
        fail_msg("got %.*s, want %s", STR_ARG(got), want);
}

static void assert_reason(const struct err *e, const char *reason, const char *text)
{
    assert_int_equal(e->kind, ERR_INPUT);
    assert_non_null(e->reason);
    if (strcmp(e->reason, reason) != 0 || strstr(e->text, text) == NULL)
        fail_msg("%s: %s", e->reason, e->text);
}

static const struct pair *find_pair(const struct pair *pairs, size_t n, struct str name)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (str_eq(pairs[i].name, name))
            return &pairs[i];
    return NULL;
}

static void assert_pairs(const struct pair *got, size_t n_got, const struct pair *want,
                         size_t n_want)
{
    size_t i;

    assert_int_equal(n_got, n_want);
    for (i = 0; i < n_want; i++) {
        const struct pair *p = find_pair(got, n_got, want[i].name);

        assert_non_null(p);
        assert_true(str_eq(p->value, want[i].value));
    }
}

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

static void assert_same(const struct command *got, const struct command *want)
{
    size_t i;

    assert_true(str_eq(got->command_id, want->command_id));
    assert_int_equal(got->command_id.ptr == NULL, want->command_id.ptr == NULL);
    assert_true(str_eq(got->operation, want->operation));
    assert_true(str_eq(got->body, want->body));
    assert_int_equal(got->body.ptr == NULL, want->body.ptr == NULL);
    assert_true(str_eq(got->method, want->method) && str_eq(got->path, want->path));
    assert_pairs(got->params, got->n_params, want->params, want->n_params);
    assert_pairs(got->query, got->n_query, want->query, want->n_query);
    assert_pairs(got->headers, got->n_headers, want->headers, want->n_headers);
    assert_int_equal(got->n_attachments, want->n_attachments);
    for (i = 0; i < want->n_attachments; i++) {
        const struct attachment *g = &got->attachments[i], *w = &want->attachments[i];

        assert_true(str_eq(g->filename, w->filename) && str_eq(g->data, w->data));
        assert_true(str_eq(g->content_type, w->content_type) && str_eq(g->url, w->url));
        assert_int_equal(g->data.ptr == NULL, w->data.ptr == NULL);
        assert_null(g->field);
    }
    assert_false(got->typed);
}

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

/* --- typed: a record with every shape there is --- */

static const struct shape inner_shapes[] = {
    {.name = "text", .type = SHAPE_STRING, .place = PLACE_NESTED},
    {.name = "files", .type = SHAPE_FILE, .array = true, .place = PLACE_NESTED},
    {.name = "n", .type = SHAPE_LONG, .place = PLACE_NESTED},
};
static const struct shape shapes[] = {
    {.name = "command_id", .type = SHAPE_STRING, .place = PLACE_COMMAND_ID},
    {.name = "path_id", .type = SHAPE_STRING, .place = PLACE_PATH},
    {.name = "limit", .type = SHAPE_LONG, .place = PLACE_QUERY},
    {.name = "types", .type = SHAPE_STRING, .array = true, .place = PLACE_QUERY},
    {.name = "since", .type = SHAPE_TIME, .time = TIME_FRACTION, .place = PLACE_QUERY},
    {.name = "q", .type = SHAPE_MAP, .place = PLACE_Q},
    {.name = "name", .type = SHAPE_STRING, .place = PLACE_BODY},
    {.name = "on", .type = SHAPE_BOOLEAN, .place = PLACE_BODY},
    {.name = "ratio", .type = SHAPE_DOUBLE, .place = PLACE_BODY},
    {.name = "at", .type = SHAPE_TIME, .time = TIME_FRACTION, .place = PLACE_BODY},
    {.name = "day", .type = SHAPE_TIME, .time = TIME_SECONDS, .place = PLACE_BODY},
    {.name = "ms", .type = SHAPE_TIME, .time = TIME_MILLIS, .place = PLACE_BODY},
    {.name = "free", .type = SHAPE_JSON, .place = PLACE_BODY},
    {.name = "ids", .type = SHAPE_LONG, .array = true, .place = PLACE_BODY},
    {.name = "inner",
     .type = SHAPE_OBJECT,
     .place = PLACE_BODY,
     .fields = inner_shapes,
     .n_fields = COUNT(inner_shapes)},
    {.name = "file", .type = SHAPE_FILE, .place = PLACE_BODY},
    {.name = "max_items", .type = SHAPE_LONG, .place = PLACE_MAX_ITEMS},
    {.name = "with", .type = SHAPE_STRING, .array = true, .place = PLACE_WITH},
    {.name = "set_null", .type = SHAPE_STRING, .array = true, .place = PLACE_SET_NULL},
};
static const struct typed_record everything = {"front.command.Everything", "every-thing",
                                               shapes, COUNT(shapes)};

static const struct typed_record *find_everything(struct str full_name)
{
    return str_is(full_name, everything.full_name) ? &everything : NULL;
}

#define MAYBE(name, type) "{\"name\":\"" name "\",\"type\":[\"null\"," type "]},"
#define TIME "{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}"
#define STRINGS "{\"type\":\"array\",\"items\":\"string\"}"
#define EVERYTHING                                                                       \
    "{\"type\":\"record\",\"name\":\"front.command.Everything\",\"fields\":[" MAYBE(     \
        "command_id",                                                                    \
        "\"string\"") "{\"name\":\"path_id\",\"type\":\"string\"}," MAYBE("limit",       \
                                                                          "\"long\"")    \
        MAYBE("types", STRINGS) MAYBE("since", TIME) MAYBE(                              \
            "q", "{\"type\":\"map\",\"values\":\"string\"}") MAYBE("name", "\"string\"") \
            MAYBE("on", "\"boolean\"") MAYBE("ratio", "\"double\"") MAYBE(               \
                "at", TIME) MAYBE("day", TIME) MAYBE("ms", TIME) MAYBE("free",           \
                                                                       "\"string\"")     \
                MAYBE("ids", "{\"type\":\"array\",\"items\":\"long\"}") MAYBE(           \
                    "inner",                                                             \
                    "{\"type\":\"record\",\"name\":\"I\",\"fields\":[" MAYBE(            \
                        "text", "\"string\"")                                            \
                        MAYBE("files",                                                   \
                              "{\"type\":\"array\",\"items\":{\"type\":\"record\","      \
                              "\"name\":\"front.Attachment\","                           \
                              "\"fields\":[{\"name\":\"filename\",\"type\":\"string\"}"  \
                              "," MAYBE("content_type", "\"string\"") MAYBE(             \
                                  "data",                                                \
                                  "\"bytes\"") "{\"name\":\"url\",\"type\":[\"null\","   \
                                               "\"string\"]}]}}") "{\"name\":\"n\","     \
                                                                  "\"type\":[\"null\","  \
                                                                  "\"long\"]}]}")        \
                    MAYBE("file", "\"front.Attachment\"") MAYBE("max_items", "\"long\"") \
                        MAYBE("with",                                                    \
                              STRINGS) "{\"name\":\"set_null\",\"type\":" STRINGS "}]}"

static void put_file(struct buf *out, const char *name)
{
    put_text(out, name);
    put_maybe(out, NULL);
    put_maybe(out, "data");
    put_maybe(out, NULL);
}

static void put_time(struct buf *out, int64_t ms)
{
    put_long(out, 1);
    put_long(out, ms);
}

static void put_everything(struct buf *out)
{
    double ratio = 0.25;

    put_maybe(out, "id-7");
    put_text(out, "p/1");
    put_time(out, 50); /* limit */
    put_long(out, 1);  /* types */
    put_long(out, 2);
    put_text(out, "a");
    put_text(out, "b\"");
    put_long(out, 0);
    put_time(out, 1500);                   /* since */
    (void)buf_add(out, "\2\2\2k\2v\0", 7); /* q */
    put_maybe(out, "N\n");
    (void)buf_add(out, "\2\1", 2); /* on */
    put_long(out, 1);
    (void)buf_add(out, &ratio, sizeof(ratio));
    put_time(out, 1700000000120); /* at */
    put_time(out, 1700000000999); /* day */
    put_time(out, 1700000000999); /* ms */
    put_maybe(out, "{ \"x\": [1] }");
    (void)buf_add(out, "\2\4\2\3\0", 5); /* ids */
    put_long(out, 1);                    /* inner */
    put_maybe(out, NULL);
    put_long(out, 1);
    put_long(out, 1);
    put_file(out, "deep.txt");
    put_long(out, 0);
    put_time(out, 9); /* inner.n */
    put_long(out, 1);
    put_file(out, "top.txt");
    put_time(out, 1000); /* max_items */
    put_long(out, 1);    /* with */
    put_long(out, 2);
    put_text(out, "tags");
    put_text(out, "inboxes");
    put_long(out, 0);
    put_long(out, 0); /* set_null */
}

/* Nothing given but what must be; `nulls`: set_null. */
static void put_nothing(struct buf *out, const char *name, const char *const *nulls,
                        size_t n)
{
    size_t i;

    put_maybe(out, NULL);
    put_text(out, "p");
    for (i = 2; i < COUNT(shapes) - 1; i++)
        put_maybe(out, i == 6 ? name : NULL);
    if (n > 0)
        put_long(out, (int64_t)n);
    for (i = 0; i < n; i++)
        put_text(out, nulls[i]);
    put_long(out, 0);
}

static void a_typed_record_becomes_params_body_and_files(void **state)
{
    static const struct pair want[] = {
        {STR_LIT("path_id"), STR_LIT("p/1"), false},
        {STR_LIT("limit"), STR_LIT("50"), true},
        {STR_LIT("types"), STR_LIT("[\"a\",\"b\\\"\"]"), true},
        {STR_LIT("since"), STR_LIT("1.5"), true},
        {STR_LIT("q[k]"), STR_LIT("v"), false},
        {STR_LIT("max_items"), STR_LIT("1000"), true},
        {STR_LIT("with"), STR_LIT("tags,inboxes"), false},
    };
    struct fixture f;

    (void)state;
    begin(&f, EVERYTHING);
    put_everything(&f.bytes);
    if (decode_with(&f, find_everything) != 0)
        fail_msg("%s", f.e.text);
    assert_true(f.cmd.typed);
    assert_text(f.cmd.command_id, "id-7");
    assert_text(f.cmd.operation, "every-thing");
    assert_pairs(f.cmd.params, f.cmd.n_params, want, COUNT(want));
    assert_true(find_pair(f.cmd.params, f.cmd.n_params, STR_LIT("types"))->json);
    assert_false(find_pair(f.cmd.params, f.cmd.n_params, STR_LIT("path_id"))->json);
    assert_text(
        f.cmd.body,
        "{\"name\":\"N\\n\",\"on\":true,\"ratio\":0.25,\"at\":1700000000.12,"
        "\"day\":1700000000,\"ms\":1700000000999,\"free\":{ \"x\": [1] },\"ids\":[1,-2],"
        "\"inner\":{\"n\":9}}");
    assert_int_equal(f.cmd.n_attachments, 2);
    assert_text(f.cmd.attachments[0].filename, "deep.txt");
    assert_string_equal(f.cmd.attachments[0].field, "inner[files]");
    assert_text(f.cmd.attachments[1].data, "data");
    assert_string_equal(f.cmd.attachments[1].field, "file");
    end(&f);
}

static void absent_is_not_null(void **state)
{
    static const char *const nulls[] = {"ratio", "free", "ratio"};
    static const struct {
        const char *name;
        size_t n_nulls;
        const char *body;
    } rows[] = {
        {NULL, 0, NULL},
        {"x", 0, "{\"name\":\"x\"}"},
        {"", 1, "{\"name\":\"\",\"ratio\":null}"},
        {NULL, 3, "{\"ratio\":null,\"free\":null}"},
    };
    struct fixture f;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(rows); i++) {
        begin(&f, EVERYTHING);
        put_nothing(&f.bytes, rows[i].name, nulls, rows[i].n_nulls);
        if (decode_with(&f, find_everything) != 0)
            fail_msg("%s", f.e.text);
        assert_text(f.cmd.body, rows[i].body);
        assert_text(f.cmd.command_id, NULL);
        assert_int_equal(f.cmd.n_params, 1);
        end(&f);
    }
}

static void set_null_names_absent_body_fields(void **state)
{
    static const struct {
        const char *name, *text;
    } rows[] = {{"nonsense", "nonsense"},
                {"path_id", "path_id"},
                {"limit", "limit"},
                {"name", "given and named"}};
    struct fixture f;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(rows); i++) {
        begin(&f, EVERYTHING);
        put_nothing(&f.bytes, "x", &rows[i].name, 1);
        assert_int_equal(decode_with(&f, find_everything), -1);
        assert_reason(&f.e, "invalid-command", rows[i].text);
        assert_text(f.cmd.operation, "every-thing");
        end(&f);
    }
}

/* One body field of a writer's own type. */
static void body_values_follow_the_shape(void **state)
{
    static const struct {
        const char *field, *type;
        struct str datum;
        const char *body; /* NULL: refused */
        const char *reason, *text;
    } rows[] = {
        {"name", "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"]}", BYTES("\0"),
         "{\"name\":\"A\"}", NULL, NULL},
        {"name", "\"long\"", BYTES("\2"), NULL, "BadValue", "name"},
        {"on", "\"boolean\"", BYTES("\0"), "{\"on\":false}", NULL, NULL},
        {"on", "\"string\"", BYTES("\0"), NULL, "BadValue", "on"},
        {"ratio", "\"int\"", BYTES("\x80\x89\x7a"), "{\"ratio\":1000000}", NULL, NULL},
        {"ratio", "\"float\"", BYTES("\0\0\0\x3f"), "{\"ratio\":0.5}", NULL, NULL},
        {"ratio", "\"double\"", BYTES("\0\0\0\0\0\0\xf0\x3f"), "{\"ratio\":1}", NULL,
         NULL},
        {"ratio", "\"double\"", BYTES("\0\0\0\0\0\0\xf8\x7f"), NULL, "invalid-command",
         "finite"},
        {"ratio", "\"double\"", BYTES("\0\0\0\0\0\0\xf0\x7f"), NULL, "invalid-command",
         "finite"},
        {"at", "\"int\"", BYTES("\xd0\x0f"), "{\"at\":1}", NULL, NULL},
        {"at", "\"long\"", BYTES("\2"), "{\"at\":0.001}", NULL, NULL},
        {"at", "\"long\"", BYTES("\1"), "{\"at\":-0.001}", NULL, NULL},
        {"at", "\"long\"", BYTES("\xc7\x13"), "{\"at\":-1.252}", NULL, NULL},
        {"at", "\"long\"", BYTES("\xe7\x07"), "{\"at\":-0.5}", NULL, NULL},
        {"at", "{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}",
         BYTES("\xc0\x9a\x0c"), "{\"at\":0.1}", NULL, NULL},
        {"at", "\"string\"", BYTES("\0"), NULL, "BadValue", "timestamp"},
        {"day", "\"long\"", BYTES("\xce\x0f"), "{\"day\":0}", NULL, NULL},
        {"day", "\"long\"", BYTES("\1"), "{\"day\":-1}", NULL, NULL},
        {"ms", "\"long\"", BYTES("\1"), "{\"ms\":-1}", NULL, NULL},
        {"free", "\"string\"", BYTES("\4[]"), "{\"free\":[]}", NULL, NULL},
        {"free", "\"string\"", BYTES("\4[}"), NULL, "invalid-command", "JSON text"},
        {"free", "\"string\"", BYTES("\0"), NULL, "invalid-command", "JSON text"},
        {"ids", "{\"type\":\"array\",\"items\":\"int\"}", BYTES("\2\2\0"),
         "{\"ids\":[1]}", NULL, NULL},
        {"ids", "{\"type\":\"array\",\"items\":[\"null\",\"int\"]}", BYTES("\2\0\0"),
         NULL, "invalid-command", "null"},
        {"ids", "{\"type\":\"array\",\"items\":\"int\"}", BYTES("\0"), "{\"ids\":[]}",
         NULL, NULL},
        {"ids", "\"long\"", BYTES("\2"), NULL, "BadValue", "array"},
        {"inner", "{\"type\":\"record\",\"name\":\"R\",\"fields\":[]}", BYTES(""),
         "{\"inner\":{}}", NULL, NULL},
        {"inner",
         "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"zz\",\"type\":"
         "\"int\"},"
         "{\"name\":\"n\",\"type\":\"int\"},{\"name\":\"text\",\"type\":\"string\"}]}",
         BYTES("\2\4\2x"), "{\"inner\":{\"text\":\"x\",\"n\":2}}", NULL, NULL},
        {"inner", "\"string\"", BYTES("\0"), NULL, "BadValue", "record"},
        {"file", "\"string\"", BYTES("\0"), NULL, "BadValue", "record"},
        {"limit", "\"string\"", BYTES("\0"), NULL, "BadValue", "limit"},
        {"q", "\"string\"", BYTES("\0"), NULL, "BadValue", "map"},
        {"with", "\"string\"", BYTES("\0"), NULL, "BadValue", "with"},
        {"set_null", "\"string\"", BYTES("\0"), NULL, "BadValue", "set_null"},
        {"unheard_of", "\"string\"", BYTES("\0"), NULL, NULL,
         NULL}, /* passed over: no body */
    };
    struct fixture f;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(rows); i++) {
        char *schema =
            mem_printf("{\"type\":\"record\",\"name\":\"front.command.Everything\","
                       "\"fields\":[{\"name\":\"%s\",\"type\":%s}]}",
                       rows[i].field, rows[i].type);
        int rc;

        begin(&f, schema);
        (void)buf_add_str(&f.bytes, rows[i].datum);
        rc = decode_with(&f, find_everything);
        if (rc != (rows[i].reason != NULL ? -1 : 0))
            fail_msg("row %zu: %s", i, rc == 0 ? "accepted" : f.e.text);
        if (rc == 0)
            assert_text(f.cmd.body, rows[i].body);
        else
            assert_reason(&f.e, rows[i].reason, rows[i].text);
        end(&f);
        mem_free(schema);
    }
}

/* --- all operations, through their own schemas --- */

static json_t *sample(const struct shape *sh);

static json_t *sample_one(const struct shape *sh)
{
    json_t *object;
    size_t i;

    switch (sh->type) {
    case SHAPE_STRING:
        return json_string(sh->name);
    case SHAPE_BOOLEAN:
        return json_true();
    case SHAPE_LONG:
        return json_integer(-42);
    case SHAPE_DOUBLE:
        return json_real(0.125);
    case SHAPE_TIME:
        return sh->time == TIME_FRACTION ? json_real(1700000000.25)
                                         : json_integer(1700000000);
    case SHAPE_JSON:
        return json_pack("{s:[i,n]}", "free", 1);
    case SHAPE_OBJECT:
        object = json_object();
        for (i = 0; i < sh->n_fields; i++)
            if (sh->fields[i].type != SHAPE_FILE)
                (void)json_object_set_new(object, sh->fields[i].name,
                                          sample(&sh->fields[i]));
        return object;
    case SHAPE_FILE:
    case SHAPE_MAP:
        break;
    }
    return NULL;
}

static json_t *sample(const struct shape *sh)
{
    return sh->array ? json_pack("[o,o]", sample_one(sh), sample_one(sh))
                     : sample_one(sh);
}

static void add_sample(struct arena *a, struct command *cmd, json_t *body,
                       const struct shape *sh)
{
    struct pair *p = &cmd->params[cmd->n_params];
    char *text;

    switch (sh->place) {
    case PLACE_PATH:
    case PLACE_QUERY:
    case PLACE_MAX_ITEMS: {
        json_t *value = sample(sh);

        text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        p->name = str_of(sh->name);
        p->json = !json_is_string(value);
        p->value = str_of(p->json ? arena_strndup(a, text, strlen(text)) : sh->name);
        cmd->n_params++;
        free(text);
        json_decref(value);
        break;
    }
    case PLACE_Q:
        *p = (struct pair){STR_LIT("q[statuses]"), STR_LIT("[\"open\"]"), false};
        cmd->n_params++;
        break;
    case PLACE_WITH:
        *p = (struct pair){STR_LIT("with"), STR_LIT("a,b"), false};
        cmd->n_params++;
        break;
    case PLACE_BODY:
        if (sh->type != SHAPE_FILE)
            (void)json_object_set_new(
                body, sh->name, json_object_size(body) == 1 ? json_null() : sample(sh));
        break;
    case PLACE_COMMAND_ID:
    case PLACE_SET_NULL:
    case PLACE_NESTED:
        break;
    }
}

static void check_operation(struct fixture *f, const struct op *op)
{
    struct command cmd = {.command_id = STR_LIT("c"), .operation = str_of(op->name)};
    json_t *body = json_object(), *got;
    char *text;
    size_t i;

    cmd.params = arena_zalloc(&f->a, (op->record->n_fields + 1) * sizeof(*cmd.params));
    for (i = 0; i < op->record->n_fields; i++)
        add_sample(&f->a, &cmd, body, &op->record->fields[i]);
    text = json_dumps(body, JSON_COMPACT);
    if (json_object_size(body) > 0)
        cmd.body = str_of(text);
    buf_reset(&f->bytes);
    if (command_encode_typed(f->ss, op->record, &cmd, &f->bytes, &f->e) != 0 ||
        decode(f) != 0)
        fail_msg("%s: %s", op->name, f->e.text);
    assert_true(f->cmd.typed);
    assert_text(f->cmd.operation, op->name);
    assert_text(f->cmd.command_id, "c");
    assert_pairs(f->cmd.params, f->cmd.n_params, cmd.params, cmd.n_params);
    assert_int_equal(f->cmd.body.ptr != NULL, cmd.body.ptr != NULL);
    if (cmd.body.ptr != NULL) {
        got = json_parse(f->cmd.body, true, &f->e);
        if (!json_equal(got, body))
            fail_msg("%s: %.*s", op->name, STR_ARG(f->cmd.body));
        json_decref(got);
    }
    free(text);
    json_decref(body);
}

static void every_operation_goes_through_its_record(void **state)
{
    struct fixture f;
    size_t i;

    (void)state;
    begin(&f, NULL);
    for (i = 0; i < catalogue_table_n; i++) {
        check_operation(&f, &catalogue_table[i]);
        arena_reset(&f.a);
    }
    end(&f);
}

static void what_does_not_fit_the_record_is_named(void **state)
{
    static const struct {
        const char *operation, *param, *value, *body, *text;
    } rows[] = {
        {"update-a-contact", "contact_idd", "x", NULL, "contact_id"},
        {"update-a-contact", "contact_id", "x", "{\"nam\":\"x\"}", "nearest: name"},
        {"update-a-contact", NULL, NULL, "{\"name\":\"x\"}", "contact_id: is missing"},
        {"update-a-contact", "contact_id", "x", "{\"links\":\"x\"}",
         "links: must be an array"},
        {"update-a-contact", "contact_id", "x", "{\"name\":[]}",
         "name: must be a string"},
        {"update-a-contact", "contact_id", "x", "[]", "body"},
        {"update-a-contact", "contact_id", "x", "{", "body"},
        {"list-events", "limit", "ten", NULL, "limit: must be a whole number"},
        {"create-conversation", NULL, NULL, "{\"comment\":{\"bod\":1}}", "nearest: body"},
        {"create-conversation", NULL, NULL, "{\"comment\":{\"body\":null}}", "null"},
        {"create-conversation", NULL, NULL, "{\"due_at\":\"soon\"}", "due_at"},
    };
    struct fixture f;
    size_t i;

    (void)state;
    begin(&f, NULL);
    for (i = 0; i < COUNT(rows); i++) {
        struct pair p = {str_of(rows[i].param), str_of(rows[i].value), false};
        struct command cmd = {.operation = str_of(rows[i].operation),
                              .params = &p,
                              .n_params = rows[i].param != NULL ? 1 : 0,
                              .body = str_of(rows[i].body)};

        assert_int_equal(command_encode_typed(f.ss, op_xget(rows[i].operation)->record,
                                              &cmd, &f.bytes, &f.e),
                         -1);
        if (strstr(f.e.text, rows[i].text) == NULL)
            fail_msg("row %zu: %s", i, f.e.text);
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

static void mutate_many(struct fixture *f, size_t from, typed_find_fn *find,
                        uint64_t seed)
{
    static const char *const reasons[] = {
        "Empty",       "NotFramed",     "SchemaUnknown",  "Truncated", "TrailingBytes",
        "TooLarge",    "TooDeep",       "BadUtf8",        "BadValue",  "BadJson",
        "WrongFormat", "RecordUnknown", "invalid-command"};
    struct buf whole = f->bytes;
    size_t good = 0, i, k;
    int rc;

    buf_init(&f->bytes, 1 << 20);
    for (i = 0; i < 200000; i++) {
        buf_reset(&f->bytes);
        assert_int_equal(buf_add(&f->bytes, whole.data, whole.len), 0);
        mutate(&f->bytes, i % 100 == 0 ? 0 : from, &seed);
        rc = find != NULL
                 ? decode_with(f, find)
                 : command_decode_json(buf_str(&f->bytes), &f->a, &f->cmd, &f->e);
        good += rc == 0 ? 1 : 0;
        for (k = 0; rc != 0 && k < COUNT(reasons) && strcmp(reasons[k], f->e.reason) != 0;
             k++)
            continue;
        if (rc != 0 && k == COUNT(reasons))
            fail_msg("reason %s", f->e.reason);
        if (rc == 0 && f->cmd.body.ptr != NULL && f->cmd.typed)
            assert_true(json_is_valid(f->cmd.body));
        arena_reset(&f->a);
    }
    assert_true(good > 100);
    buf_fini(&whole);
}

static void mutated_generic_commands_are_survived(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, NULL);
    assert_int_equal(command_encode_avro(f.ss, &full, &f.bytes, &f.e), 0);
    mutate_many(&f, 10, typed_record_find, 1);
    end(&f);
}

static void mutated_typed_commands_are_survived(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, EVERYTHING);
    put_everything(&f.bytes);
    mutate_many(&f, 10, find_everything, 2);
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
        cmocka_unit_test(a_typed_record_becomes_params_body_and_files),
        cmocka_unit_test(absent_is_not_null),
        cmocka_unit_test(set_null_names_absent_body_fields),
        cmocka_unit_test(body_values_follow_the_shape),
        cmocka_unit_test(every_operation_goes_through_its_record),
        cmocka_unit_test(what_does_not_fit_the_record_is_named),
        cmocka_unit_test(a_json_command_is_cut_out_of_its_text),
        cmocka_unit_test(a_bad_json_command_says_why),
        cmocka_unit_test(a_refused_command_keeps_its_id),
        cmocka_unit_test(mutated_generic_commands_are_survived),
        cmocka_unit_test(mutated_typed_commands_are_survived),
        cmocka_unit_test(mutated_json_commands_are_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
