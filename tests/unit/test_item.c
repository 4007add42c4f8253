/* List items: what each field becomes, what breaks its type, keys, and that whatever an
 * item holds the bytes are one datum of its schema. */
#include "codec/records/item.h"

#include <string.h>

#include "codec/framing.h"
#include "codec/json.h"
#include "codec/records/result.h"
#include "codec_help.h"
#include "front/catalogue.h"

#define OUT_MAX ((size_t)1 << 20)

struct stand {
    struct schemas *ss;
    struct arena arena, texts;
    struct buf out, json;
};

static int set_up(void **state)
{
    struct stand *st = mem_zalloc(sizeof(*st));

    st->ss = store(NULL);
    arena_init(&st->arena, 0);
    arena_init(&st->texts, 0);
    buf_init(&st->out, OUT_MAX);
    buf_init(&st->json, OUT_MAX);
    *state = st;
    return 0;
}

static int tear_down(void **state)
{
    struct stand *st = *state;

    schemas_free(st->ss);
    arena_fini(&st->arena);
    arena_fini(&st->texts);
    buf_fini(&st->out);
    buf_fini(&st->json);
    mem_free(st);
    return 0;
}

static const struct item_kind *kind_of(const char *list)
{
    return op_xget(list)->items;
}

/* The record of an item as JSON, decoded by avro-c; *rec is of the same call. */
static struct str record(struct stand *st, const char *list, const char *item,
                         const char *parent, struct item_record *rec)
{
    struct err e = ERR_INIT;

    buf_reset(&st->out);
    buf_reset(&st->json);
    assert_int_equal(item_encode(st->ss, kind_of(list), str_of(item), str_of(parent),
                                 false, &st->arena, &st->out, rec),
                     0);
    struct str value = {st->out.data + rec->value_at, rec->value_len};
    if (avro_to_json(st->ss, value, &st->json, &e) != 0)
        fail_msg("%s: %s", item, e.text);
    return buf_str(&st->json);
}

/* The raw JSON of one field of the record. */
static const char *field(struct stand *st, struct str json, const char *path)
{
    struct str at = json_member_path(json, path);

    assert_non_null(at.ptr);
    return arena_strndup(&st->texts, at.ptr, at.len);
}

static const char *key(struct stand *st, const struct item_record *rec)
{
    return arena_strndup(&st->texts, st->out.data + rec->key_at, rec->key_len);
}

/* --- the tables and the schemas say the same --- */

static const struct avro_node *branch(const struct avro_node *node)
{
    assert_int_equal(node->type, AVRO_UNION);
    assert_int_equal(node->n, 2);
    assert_int_equal(node->kids[0]->type, AVRO_NULL);
    return node->kids[1];
}

static void same_fields(const struct item_field *fields, size_t n,
                        const struct avro_node *record)
{
    static const avro_type_t types[] = {
        [SHAPE_STRING] = AVRO_STRING, [SHAPE_BOOLEAN] = AVRO_BOOLEAN,
        [SHAPE_LONG] = AVRO_INT64,    [SHAPE_DOUBLE] = AVRO_DOUBLE,
        [SHAPE_TIME] = AVRO_INT64,    [SHAPE_JSON] = AVRO_STRING,
        [SHAPE_OBJECT] = AVRO_RECORD};

    assert_int_equal(record->type, AVRO_RECORD);
    assert_true(n <= ITEM_FIELDS_MAX);
    for (size_t i = 0; i < n; i++) {
        const struct avro_node *node = branch(record->kids[i]);

        assert_string_equal(fields[i].name, record->names[i]);
        if (fields[i].array) {
            assert_int_equal(node->type, AVRO_ARRAY);
            node = node->kids[0];
        }
        assert_true(fields[i].type < COUNT(types));
        assert_int_equal(node->type, types[fields[i].type]);
        if (fields[i].type == SHAPE_OBJECT) {
            assert_int_equal(node->n, fields[i].n_fields);
            same_fields(fields[i].fields, fields[i].n_fields, node);
        }
    }
}

static void test_tables_and_schemas_say_the_same(void **state)
{
    struct stand *st = *state;
    size_t lists = 0;

    for (size_t i = 0; i < catalogue_table_n; i++) {
        const struct item_kind *kind = catalogue_table[i].items;
        if (kind == NULL || kind == &item_event) /* which test_event compares */
            continue;
        const struct avro_node *root = schemas_xget(st->ss, kind->full_name)->form->root;
        lists++;
        assert_int_equal(root->n, kind->n_fields + 2);
        same_fields(kind->fields, kind->n_fields, root);
        assert_string_equal(root->names[root->n - 2], "_parent_id");
        assert_int_equal(branch(root->kids[root->n - 2])->type, AVRO_STRING);
        assert_string_equal(root->names[root->n - 1], "_raw");
        assert_int_equal(root->kids[root->n - 1]->type, AVRO_STRING);
    }
    assert_int_equal(lists, 83);
}

/* --- values --- */

static void test_a_conversation_has_all_its_parts(void **state)
{
    static const char item[] =
        "{\"_links\":{\"self\":\"https://x/conversations/cnv_1\",\"related\":{\"events\":"
        "\"https://x/conversations/cnv_1/events\",\"last_message\":"
        "\"https://x/messages/msg_9?recipient=1\"}},\"id\":\"cnv_1\",\"subject\":\"a "
        "\\\"b\\\"\\n\\u00e9\","
        "\"assignee\":{\"_links\":{},\"email\":\"a@b\",\"id\":\"tea_1\"},"
        "\"recipient\":{\"_links\":{\"related\":{\"contact\":\"https://x/contacts/"
        "crd_1\"}},"
        "\"handle\":\"h\",\"role\":\"to\"},\"tags\":[{\"id\":\"tag_1\"},{\"id\":\"tag_"
        "2\"}],"
        "\"links\":[],\"custom_fields\":{\"city\": \"X\"},\"created_at\":1454453901.012,"
        "\"is_private\":true,\"scheduled_reminders\":[{\"_links\":{\"related\":{"
        "\"owner\":"
        "\"https://x/teammates/tea_2\"}},\"created_at\":1,\"scheduled_at\":2.5}],"
        "\"metadata\":{\"external_conversation_ids\":[\"e1\"]},\"unknown\":[1,{}]}";
    struct stand *st = *state;
    struct item_record rec;
    struct str got = record(st, "list-contact-conversations", item, "crd_7", &rec);
    static const struct {
        const char *path, *want;
    } rows[] = {
        {"id", "\"cnv_1\""},
        {"subject", "\"a \\\"b\\\"\\né\""},
        {"type", "null"},
        {"assignee_id", "\"tea_1\""},
        {"recipient", "{\"name\":null,\"handle\":\"h\",\"role\":\"to\",\"contact_id\":"
                      "\"crd_1\"}"},
        {"tag_ids", "[\"tag_1\",\"tag_2\"]"},
        {"link_ids", "[]"},
        {"custom_fields", "\"{\\\"city\\\": \\\"X\\\"}\""},
        {"created_at", "1454453901012"},
        {"is_private", "true"},
        {"scheduled_reminders", "[{\"created_at\":1000,\"scheduled_at\":2500,"
                                "\"updated_at\":null,\"owner_id\":\"tea_2\"}]"},
        {"metadata.external_conversation_ids", "[\"e1\"]"},
        {"last_message_id", "\"msg_9\""},
        {"_parent_id", "\"crd_7\""},
    };

    assert_false(rec.mistyped);
    assert_string_equal(key(st, &rec), "cnv_1");
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_string_equal(field(st, got, rows[i].path), rows[i].want);
    struct str raw;
    assert_int_equal(json_unquote_arena(json_member(got, "_raw"), &st->texts, &raw), 0);
    assert_string_equal(raw.ptr, item);
    assert_int_equal(rec.raw_len, sizeof(item) - 1);
    assert_memory_equal(st->out.data + st->out.len - rec.raw_len, item, rec.raw_len);
}

static void test_what_breaks_its_type_is_null_and_counts(void **state)
{
    static const struct {
        const char *list, *item, *path, *want;
        bool mistyped;
    } rows[] = {
        /* strings */
        {"list-contacts", "{\"id\":\"a\",\"name\":5}", "name", "null", true},
        {"list-contacts", "{\"id\":\"a\",\"name\":null}", "name", "null", false},
        {"list-contacts", "{\"id\":\"a\",\"name\":\"\"}", "name", "\"\"", false},
        {"list-contacts", "{\"id\":\"a\",\"name\":\"1\",\"name\":\"2\"}", "name", "\"2\"",
         false},
        /* booleans */
        {"list-contacts", "{\"id\":\"a\",\"is_private\":\"yes\"}", "is_private", "null",
         true},
        {"list-contacts", "{\"id\":\"a\",\"is_private\":0}", "is_private", "null", true},
        /* embedded resources */
        {"list-contacts", "{\"id\":\"a\",\"lists\":[{\"id\":\"g\"},{}]}", "list_ids",
         "null", true},
        {"list-contacts", "{\"id\":\"a\",\"lists\":[{\"id\":\"g\"},null]}", "list_ids",
         "null", true},
        {"list-contacts", "{\"id\":\"a\",\"lists\":{\"id\":\"g\"}}", "list_ids", "null",
         true},
        {"list-conversations", "{\"id\":\"a\",\"assignee\":\"tea_1\"}", "assignee_id",
         "null", true},
        {"list-conversations", "{\"id\":\"a\",\"assignee\":{\"id\":7}}", "assignee_id",
         "null", true},
        /* links */
        {"list-tags", "{\"id\":\"a\",\"_links\":{\"related\":{\"owner\":null}}}",
         "owner_id", "null", false},
        {"list-tags", "{\"id\":\"a\",\"_links\":{\"related\":{\"owner\":\"tim_1\"}}}",
         "owner_id", "null", true},
        {"list-tags",
         "{\"id\":\"a\",\"_links\":{\"related\":{\"owner\":\"https://x/\"}}}", "owner_id",
         "null", true},
        {"list-tags", "{\"id\":\"a\",\"_links\":{\"related\":{\"owner\":3}}}", "owner_id",
         "null", true},
        {"list-tags", "{\"id\":\"a\",\"_links\":[]}", "owner_id", "null", false},
        /* numbers and times */
        {"list-tags", "{\"id\":\"a\",\"created_at\":\"2020\"}", "created_at", "null",
         true},
        {"list-tags", "{\"id\":\"a\",\"created_at\":-1.5}", "created_at", "-1500", false},
        {"list-tags", "{\"id\":\"a\",\"created_at\":1e300}", "created_at", "null", true},
        {"list-tags", "{\"id\":\"a\",\"created_at\":1e999}", "created_at", "null", true},
        {"list-tags", "{\"id\":\"a\",\"created_at\":true}", "created_at", "null", true},
        {"list-tags",
         "{\"id\":\"a\",\"created_at\":1."
         "0000000000000000000000000000000000000000000000000"
         "0000000000000000000}",
         "created_at", "null", true},
        {"list-channels", "{\"id\":\"a\",\"settings\":{\"undo_send_time\":5.0}}",
         "settings.undo_send_time", "5", false},
        {"list-channels", "{\"id\":\"a\",\"settings\":{\"undo_send_time\":5.5}}",
         "settings.undo_send_time", "null", true},
        {"list-channels",
         "{\"id\":\"a\",\"settings\":{\"undo_send_time\":9223372036854775807}}",
         "settings.undo_send_time", "9223372036854775807", false},
        {"list-channels",
         "{\"id\":\"a\",\"settings\":{\"undo_send_time\":9223372036854775808}}",
         "settings.undo_send_time", "null", true},
        /* objects: what is right beside what is wrong stays */
        {"list-channels",
         "{\"id\":\"a\",\"settings\":{\"undo_send_time\":\"x\",\"all_teammates_can_"
         "reply\""
         ":true}}",
         "settings", "{\"undo_send_time\":null,\"all_teammates_can_reply\":true}", true},
        {"list-channels", "{\"id\":\"a\",\"settings\":[]}", "settings", "null", true},
        {"list-contacts", "{\"id\":\"a\",\"handles\":[{\"handle\":\"h\"},5]}", "handles",
         "null", true},
        {"list-contacts", "{\"id\":\"a\",\"links\":[\"a\",1]}", "links", "null", true},
        {"list-contacts", "{\"id\":\"a\",\"links\":\"a\"}", "links", "null", true},
        /* JSON text: any value */
        {"list-contacts", "{\"id\":\"a\",\"custom_fields\":[1]}", "custom_fields",
         "\"[1]\"", false},
        /* no object at all */
        {"list-contacts", "17", "_raw", "\"17\"", true},
        {"list-contacts", "null", "_raw", "\"null\"", true},
        {"list-contacts", "[{\"id\":\"a\"}]", "id", "null", true},
        {"list-contacts", "\"id\"", "id", "null", true},
        {"list-contacts", "{}", "name", "null", true},
    };
    struct stand *st = *state;
    struct item_record rec;

    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_true(json_is_valid(str_of(rows[i].item)));
        struct str got = record(st, rows[i].list, rows[i].item, NULL, &rec);
        const char *value = field(st, got, rows[i].path);
        if (strcmp(value, rows[i].want) != 0 || rec.mistyped != rows[i].mistyped)
            fail_msg("%s: %s is %s, mistyped %d", rows[i].item, rows[i].path, value,
                     rec.mistyped);
        assert_string_equal(field(st, got, "_parent_id"), "null");
    }
}

static void test_keys(void **state)
{
    static const struct {
        const char *list, *item, *parent, *want;
        bool mistyped;
    } rows[] = {
        {"list-tags", "{\"id\":\"tag_\\u0031\"}", NULL, "tag_1", false},
        /* SHA-256 of the item, by sha256sum */
        {"list-tags", "{}", NULL, "44136fa355b3678a1146ad16f7e8649e", true},
        {"list-tags", "{\"id\":\"\"}", NULL, "72d427b7264997760074a94dcc1c9e54", true},
        {"list-tags", "{\"id\":5}", NULL, "e8e98768123683faf07ea4586bb803ae", true},
        {"list-notes", "{\"created_at\":1700000000.123,\"body\":\"b\"}", "crd_1",
         "crd_1/1700000000123", false},
        {"list-notes", "{\"body\":\"b\"}", "crd_1", "", true},
        {"get-message-seen-status",
         "{\"seen_by\":{\"handle\":\"a@b\"},\"_links\":{\"related\":{\"message\":"
         "\"https://x/messages/msg_1\"}}}",
         "alt:uid:u", "msg_1/a@b", false},
        {"get-message-seen-status",
         "{\"seen_by\":null,\"_links\":{\"related\":{\"message\":"
         "\"https://x/messages/msg_1\"}}}",
         "msg_1", "", true},
        {"list-conversation-drafts", "{\"id\":\"msg_3\"}", "cnv_1", "msg_3", false},
    };
    struct stand *st = *state;
    struct item_record rec;

    for (size_t i = 0; i < COUNT(rows); i++) {
        (void)record(st, rows[i].list, rows[i].item, rows[i].parent, &rec);
        const char *got = key(st, &rec);
        assert_int_equal(rec.mistyped, rows[i].mistyped);
        if (rec.mistyped)
            assert_int_equal(strlen(got), 32);
        if (rows[i].want[0] != 0)
            assert_string_equal(got, rows[i].want);
    }
}

static void test_a_key_has_a_ceiling(void **state)
{
    struct stand *st = *state;
    struct item_record rec;
    char item[ITEM_KEY_MAX + 20];

    (void)snprintf(item, sizeof(item), "{\"id\":\"%0*d\"}", ITEM_KEY_MAX, 1);
    (void)record(st, "list-tags", item, NULL, &rec);
    assert_int_equal(rec.key_len, ITEM_KEY_MAX);
    (void)snprintf(item, sizeof(item), "{\"id\":\"%0*d\"}", ITEM_KEY_MAX + 1, 1);
    (void)record(st, "list-tags", item, NULL, &rec);
    assert_int_equal(rec.key_len, 32);
    assert_true(rec.mistyped);
}

static void test_bare_has_the_key_and_the_whole_item(void **state)
{
    static const char item[] = "{\"id\":\"tag_1\",\"name\":\"n\"}";
    struct stand *st = *state;
    struct err e = ERR_INIT;
    struct item_record rec;

    assert_int_equal(item_encode(st->ss, kind_of("list-tags"), str_of(item),
                                 str_of("tag_0"), true, &st->arena, &st->out, &rec),
                     0);
    assert_true(rec.mistyped);
    assert_string_equal(key(st, &rec), "tag_1");
    struct str value = {st->out.data + rec.value_at, rec.value_len};
    assert_int_equal(avro_to_json(st->ss, value, &st->json, &e), 0);
    assert_string_equal(field(st, buf_str(&st->json), "name"), "null");
    assert_string_equal(field(st, buf_str(&st->json), "id"), "null");
    assert_string_equal(field(st, buf_str(&st->json), "_parent_id"), "\"tag_0\"");
    assert_string_equal(field(st, buf_str(&st->json), "_raw"),
                        "\"{\\\"id\\\":\\\"tag_1\\\",\\\"name\\\":\\\"n\\\"}\"");
}

static void test_over_the_ceiling_leaves_what_was_there(void **state)
{
    static const char item[] = "{\"id\":\"tag_1\",\"name\":\"n\"}";
    struct stand *st = *state;
    struct item_record rec;
    struct buf small;

    (void)record(st, "list-tags", item, NULL, &rec);
    size_t whole = st->out.len;
    for (size_t room = 4; room < 4 + whole; room++) {
        buf_init(&small, room);
        (void)buf_add_cstr(&small, "kept");
        assert_int_equal(item_encode(st->ss, kind_of("list-tags"), str_of(item), STR_NULL,
                                     false, &st->arena, &small, &rec),
                         -1);
        assert_true(small.over);
        assert_string_equal(small.data, "kept");
        buf_fini(&small);
    }
}

/* --- hostile items --- */

static const char *const seeds[][2] = {
    {"list-conversations",
     "{\"_links\":{\"related\":{\"last_message\":\"https://x/m/"
     "msg_1\"}},\"id\":\"cnv_1\","
     "\"assignee\":{\"id\":\"tea_1\"},\"tags\":[{\"id\":\"t\"}],\"created_at\":1.5,"
     "\"metadata\":{\"external_conversation_ids\":[\"\\u00e9\"]}}"},
    {"get-message-seen-status",
     "{\"seen_by\":{\"handle\":\"\\\"\\\\\",\"source\":null},\"_links\":{\"related\":"
     "{\"message\":\"https://x/messages/msg_1\"}},\"first_seen_at\":\"1\"}"},
    {"list-conversation-messages",
     "{\"id\":\"m\",\"recipients\":[{\"handle\":\"h\"}],\"attachments\":[{\"size\":12,"
     "\"metadata\":{\"is_inline\":true,\"cid\":\"c\"}}],\"is_inbound\":false}"}};

/* Items are exactly as large as their memory: ASan sees a byte too many. What is valid
 * JSON must be one datum of its schema. */
static void test_whatever_an_item_holds_its_bytes_are_one_datum(void **state)
{
    struct stand *st = *state;
    uint64_t seed = 88172645463325252ULL;
    size_t valid = 0;

    for (int round = 0; round < 60000; round++) {
        const char *const *from = seeds[(size_t)round % COUNT(seeds)];
        struct err e = ERR_INIT;
        struct item_record rec;
        const struct schema *sc;
        struct str datum;
        struct buf text;

        buf_init(&text, 4096);
        (void)buf_add_cstr(&text, from[1]);
        mutate(&text, 0, &seed);
        char *exact = mem_dup(text.data, text.len > 0 ? text.len : 1);
        struct str item = {exact, text.len};
        buf_reset(&st->out);
        assert_int_equal(item_encode(st->ss, kind_of(from[0]), item, STR_LIT("p"), false,
                                     &st->arena, &st->out, &rec),
                         0);
        if (json_is_valid(item)) {
            struct str value = {st->out.data + rec.value_at, rec.value_len};
            valid++;
            assert_true(rec.key_len > 0);
            assert_int_equal(framing_open(st->ss, value, &sc, &datum, &e), FRAMING_OK);
            if (avro_walk(sc->form->root, datum, &e) != 0)
                fail_msg("%.*s: %s", STR_ARG(item), e.text);
        }
        mem_free(exact);
        buf_fini(&text);
    }
    assert_true(valid > 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_tables_and_schemas_say_the_same, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_conversation_has_all_its_parts, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_what_breaks_its_type_is_null_and_counts,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_key_has_a_ceiling, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bare_has_the_key_and_the_whole_item, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_over_the_ceiling_leaves_what_was_there,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_whatever_an_item_holds_its_bytes_are_one_datum, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
