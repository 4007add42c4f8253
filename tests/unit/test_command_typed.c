/* Typed commands: every shape there is, and every operation through its own record. */
#include "command_help.h"

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

/* They stand in the record's bytes, not in a copy. */
static void check_files(const struct fixture *f, const struct op *op,
                        const struct command *sent)
{
    size_t i;

    assert_int_equal(f->cmd.n_attachments, sent->n_attachments);
    for (i = 0; i < sent->n_attachments; i++) {
        const struct attachment *want = &sent->attachments[i];
        const struct attachment *got = &f->cmd.attachments[i];

        assert_string_equal(got->field, op->file_field);
        assert_true(str_eq(got->filename, want->filename));
        assert_true(str_eq(got->content_type, want->content_type));
        assert_true(str_eq(got->data, want->data));
        assert_true(str_eq(got->url, want->url));
        if (got->data.ptr != NULL)
            assert_true(got->data.ptr >= f->bytes.data &&
                        got->data.ptr <= f->bytes.data + f->bytes.len);
    }
}

static struct attachment two_files[] = {
    {.filename = STR_LIT("a"), .data = STR_LIT("\0\xff bytes")},
    {.filename = STR_LIT("b"),
     .content_type = STR_LIT("image/png"),
     .url = STR_LIT("https://h/b")},
};

static void check_operation(struct fixture *f, const struct op *op)
{
    struct command cmd = {.command_id = STR_LIT("c"), .operation = str_of(op->name)};
    json_t *body = json_object(), *got;
    char *text;
    size_t i;

    cmd.params = arena_zalloc(&f->a, (op->record->n_fields + 1) * sizeof(*cmd.params));
    cmd.attachments = two_files;
    cmd.n_attachments = op->file_field == NULL                                       ? 0
                        : strcmp(op->file_field, "avatar") == 0 || op->file_required ? 1
                                                                                     : 2;
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
    check_files(f, op, &cmd);
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

static void files_go_where_the_record_has_a_place(void **state)
{
    struct command cmd = {.operation = STR_LIT("create-conversation"),
                          .attachments = two_files,
                          .n_attachments = 2};
    static const struct {
        const char *operation, *text;
    } rows[] = {{"create-contact", "takes one file, not 2"},
                {"list-tags", "takes no files"}};
    struct fixture f;
    size_t i;

    (void)state;
    begin(&f, NULL);
    /* Into an object that is not given: it is there then. */
    assert_int_equal(command_encode_typed(f.ss, op_xget("create-conversation")->record,
                                          &cmd, &f.bytes, &f.e),
                     0);
    assert_int_equal(decode(&f), 0);
    check_files(&f, op_xget("create-conversation"), &cmd);
    assert_text(f.cmd.body, "{\"comment\":{}}");
    for (i = 0; i < COUNT(rows); i++) {
        cmd.operation = str_of(rows[i].operation);
        assert_int_equal(command_encode_typed(f.ss, op_xget(rows[i].operation)->record,
                                              &cmd, &f.bytes, &f.e),
                         -1);
        assert_string_equal(f.e.reason, "attachment");
        assert_non_null(strstr(f.e.text, rows[i].text));
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

static void mutated_typed_commands_are_survived(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, EVERYTHING);
    put_everything(&f.bytes);
    mutate_many(&f, 10, find_everything, 2);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_typed_record_becomes_params_body_and_files),
        cmocka_unit_test(absent_is_not_null),
        cmocka_unit_test(set_null_names_absent_body_fields),
        cmocka_unit_test(body_values_follow_the_shape),
        cmocka_unit_test(every_operation_goes_through_its_record),
        cmocka_unit_test(files_go_where_the_record_has_a_place),
        cmocka_unit_test(what_does_not_fit_the_record_is_named),
        cmocka_unit_test(mutated_typed_commands_are_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
