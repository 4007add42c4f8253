/* Events: all types of Front's description, full and as a preview, become records and
 * come back; what is missing or of another type is left out, what is no event refused. */
#include "arena_help.h"
#include "codec_help.h"

#include "codec/json.h"
#include "front/event.h"

static struct schemas *schemas;

static void same_text(struct str a, struct str b)
{
    assert_true((a.ptr == NULL) == (b.ptr == NULL));
    assert_true(str_eq(a, b));
}

static void same_texts(const struct str *a, size_t n_a, const struct str *b, size_t n_b)
{
    assert_int_equal(n_a, n_b);
    for (size_t i = 0; i < n_a; i++)
        same_text(a[i], b[i]);
}

static void same_party(const struct event_party *a, const struct event_party *b)
{
    assert_int_equal(a->there, b->there);
    same_text(a->type, b->type);
    same_texts(a->ids, a->n_ids, b->ids, b->n_ids);
}

static void same(const struct event *a, const struct event *b)
{
    const struct {
        struct str a, b;
    } texts[] = {{a->id, b->id},
                 {a->type, b->type},
                 {a->webhook_type, b->webhook_type},
                 {a->company_id, b->company_id},
                 {a->conversation.id, b->conversation.id},
                 {a->conversation.type, b->conversation.type},
                 {a->conversation.subject, b->conversation.subject},
                 {a->conversation.status, b->conversation.status},
                 {a->conversation.status_id, b->conversation.status_id},
                 {a->conversation.assignee_id, b->conversation.assignee_id},
                 {a->payload, b->payload},
                 {a->delivery, b->delivery}};

    for (size_t i = 0; i < COUNT(texts); i++)
        same_text(texts[i].a, texts[i].b);
    assert_int_equal(a->emitted_at, b->emitted_at);
    assert_int_equal(a->received_at, b->received_at);
    assert_int_equal(a->conversation.created_at, b->conversation.created_at);
    assert_int_equal(a->conversation.is_private, b->conversation.is_private);
    same_texts(a->conversation.tag_ids, a->conversation.n_tag_ids,
               b->conversation.tag_ids, b->conversation.n_tag_ids);
    same_party(&a->source, &b->source);
    same_party(&a->target, &b->target);
}

static void comes_back(const struct event *ev)
{
    struct err e = ERR_INIT;
    struct event back;
    struct buf bytes;

    buf_init(&bytes, 1 << 20);
    assert_int_equal(event_encode(schemas, ev, &bytes), 0);
    if (event_decode(schemas, buf_str(&bytes), &arena, &back, &e) != 0)
        fail_msg("%s", e.text);
    same(ev, &back);
    buf_fini(&bytes);
}

/* ---- the record ---- */

static struct str ids[] = {STR_LIT("a"), STR_LIT(""), STR_LIT("\xc3\xa4")};

static struct event most(void)
{
    return (struct event){.id = STR_LIT("evt_1"),
                          .type = STR_LIT("inbound"),
                          .webhook_type = STR_LIT("inbound_received"),
                          .emitted_at = 1700000000001,
                          .received_at = 1700000000002,
                          .company_id = STR_LIT("cmp_1"),
                          .conversation = {.id = STR_LIT("cnv_1"),
                                           .type = STR_LIT("conversation"),
                                           .subject = STR_LIT(""),
                                           .status = STR_LIT("assigned"),
                                           .status_id = STR_LIT("sts_1"),
                                           .assignee_id = STR_LIT("tea_1"),
                                           .tag_ids = ids,
                                           .n_tag_ids = 3,
                                           .is_private = EVENT_PRIVATE_NO,
                                           .created_at = 1700000000003},
                          .source = {true, STR_LIT("inboxes"), ids, 2},
                          .target = {true, STR_LIT("message"), ids, 1},
                          .payload = STR_LIT("{\"id\":\"evt_1\"}"),
                          .delivery = STR_LIT(EVENT_WEBHOOK)};
}

static struct event least(void)
{
    return (struct event){.id = STR_LIT("evt_1"),
                          .type = STR_LIT("new_type"),
                          .emitted_at = NO_NUMBER,
                          .received_at = NO_NUMBER,
                          .conversation = {.created_at = NO_NUMBER},
                          .payload = STR_LIT("{}"),
                          .delivery = STR_LIT(EVENT_HEALED)};
}

static void a_record_comes_back(void **state)
{
    struct event ev = most();

    (void)state;
    comes_back(&ev);
    ev.conversation.is_private = EVENT_PRIVATE_YES;
    ev.source = (struct event_party){.there = true};
    comes_back(&ev);
    ev = least();
    comes_back(&ev);
    ev.conversation.id = STR_LIT("cnv_2"); /* a record of which only that is known */
    comes_back(&ev);
}

/* By the schema that a consumer has, not by our own reading of it. */
static void a_record_says_what_the_schema_says(void **state)
{
    static const char expected[] =
        "{\"id\":\"evt_1\",\"type\":\"inbound\",\"webhook_type\":\"inbound_received\","
        "\"emitted_at\":1700000000001,\"received_at\":1700000000002,"
        "\"company_id\":\"cmp_1\",\"conversation\":{\"id\":\"cnv_1\","
        "\"type\":\"conversation\",\"subject\":\"\",\"status\":\"assigned\","
        "\"status_id\":\"sts_1\",\"assignee_id\":\"tea_1\","
        "\"tag_ids\":[\"a\",\"\",\"\xc3\xa4\"],\"is_private\":false,"
        "\"created_at\":1700000000003},"
        "\"source\":{\"type\":\"inboxes\",\"ids\":[\"a\",\"\"]},"
        "\"target\":{\"type\":\"message\",\"ids\":[\"a\"]},"
        "\"payload\":\"{\\\"id\\\":\\\"evt_1\\\"}\",\"delivery\":\"webhook\"}";
    struct event ev = most();
    struct err e = ERR_INIT;
    struct buf bytes, text;

    (void)state;
    buf_init(&bytes, 1 << 16);
    buf_init(&text, 1 << 16);
    assert_int_equal(event_encode(schemas, &ev, &bytes), 0);
    assert_int_equal(avro_to_json(schemas, buf_str(&bytes), &text, &e), 0);
    assert_string_equal(text.data, expected);
    buf_fini(&bytes);
    buf_fini(&text);
}

static void what_is_no_event_is_refused(void **state)
{
    struct event ev = most(), out;
    struct err e = ERR_INIT;
    struct result res = {.command_id = STR_LIT("c"),
                         .operation = STR_LIT("o"),
                         .http_status = NO_NUMBER,
                         .items = NO_NUMBER,
                         .pages = NO_NUMBER,
                         .started_at = NO_NUMBER,
                         .source_partition = NO_NUMBER,
                         .source_offset = NO_NUMBER};
    struct buf bytes;

    (void)state;
    buf_init(&bytes, 1 << 16);
    assert_int_equal(event_decode(schemas, STR_NULL, &arena, &out, &e), -1);
    assert_int_equal(event_decode(schemas, STR_LIT("{}"), &arena, &out, &e), -1);
    assert_int_equal(result_encode(schemas, &res, &bytes), 0);
    assert_int_equal(event_decode(schemas, buf_str(&bytes), &arena, &out, &e), -1);
    assert_string_equal(e.reason, "RecordUnknown");
    buf_reset(&bytes);
    assert_int_equal(event_encode(schemas, &ev, &bytes), 0);
    bytes.len--;
    assert_int_equal(event_decode(schemas, buf_str(&bytes), &arena, &out, &e), -1);
    buf_fini(&bytes);
}

static void a_record_over_the_ceiling_is_refused(void **state)
{
    struct event ev = most();
    struct buf bytes;

    (void)state;
    buf_init(&bytes, 100);
    assert_int_equal(event_encode(schemas, &ev, &bytes), -1);
    buf_fini(&bytes);
}

/* ---- Front's objects ---- */

/* All types of the description, with what causes them and what they act on; NULL: none.
 */
static const struct {
    const char *type, *source, *target;
} types[] = {
    {"assign", "teammate", "teammate"},
    {"unassign", "rule", NULL},
    {"archive", "teammate", NULL},
    {"reopen", "rule", NULL},
    {"trash", "teammate", NULL},
    {"restore", "teammate", NULL},
    {"reminder", "reminder", NULL},
    {"comment", "teammate", "comment"},
    {"mention", "teammate", "comment"},
    {"inbound", "inboxes", "message"},
    {"outbound", "inboxes", "message"},
    {"out_reply", "inboxes", "message"},
    {"move", "teammate", "inboxes"},
    {"forward", "teammate", "message"},
    {"tag", "api", "tag"},
    {"untag", "oauth_client", "tag"},
    {"sending_error", "recipient", "message"},
    {"message_bounce_error", "recipient", "message"},
    {"conversations_merged", "teammate", "deleted_conversation_ids"},
    {"link_added", "teammate", "link"},
    {"link_removed", "rule", "link"},
    {"custom_field_updated", "teammate", "custom_field"},
    {"macro_triggered", "teammate", NULL},
    {"topic_identified", "rule", NULL},
    {"ticket_status_update", "teammate", NULL},
    {"call_started", "teammate", NULL},
    {"call_abandoned", "imap", NULL},
    {"call_queued", "gmail", NULL},
    {"call_on_hold", "teammate", NULL},
    {"call_parked", "teammate", NULL},
    {"call_resumed", "teammate", NULL},
    {"call_connected", "teammate", NULL},
    {"call_missed", NULL, NULL},
    {"call_hangup", "teammate", NULL},
    {"call_transferred", "teammate", "teammate"},
    {"call_transcript_added", NULL, "comment"},
    {"call_voicemail_transcript_added", NULL, "message"},
};

/* What stands in `data` for a type: an array of things, an array of ids, or one thing. */
static const struct {
    const char *type, *full, *preview, *ids;
} data[] = {
    {"inboxes", "[{\"id\":\"inb_1\",\"name\":\"A [}\\\"]\"},{\"id\":\"inb_2\"}]",
     "[{\"id\":\"inb_1\"},{\"id\":\"inb_2\"}]", "inb_1 inb_2 "},
    {"deleted_conversation_ids", "[\"cnv_7\",\"cnv_8\"]", "[\"cnv_7\",\"cnv_8\"]",
     "cnv_7 cnv_8 "},
    {NULL, /* all others */
     "{\"_links\":{\"self\":\"https://api2.frontapp.com/x/"
     "x_1\"},\"body\":{\"id\":\"no\"},"
     "\"id\":\"x_1\",\"text\":\"{\\\"id\\\":\\\"no\\\"}\"}",
     "{\"_links\":{\"self\":\"https://api2.frontapp.com/x/x_1\"},\"id\":\"x_1\"}",
     "x_1 "},
};

static size_t data_of(const char *type)
{
    size_t i;

    for (i = 0; data[i].type != NULL && strcmp(type, data[i].type) != 0; i++)
        continue;
    return i;
}

static const char *party(const char *name, const char *type, bool full)
{
    const char *text;

    if (type == NULL)
        return "";
    text = full ? data[data_of(type)].full : data[data_of(type)].preview;
    return arena_printf(&arena, ",\"%s\":{\"_meta\":{\"type\":\"%s\"},\"data\":%s}", name,
                        type, text);
}

static void check_party(const char *type, const struct event_party *party_read)
{
    const char *text = "";

    assert_int_equal(party_read->there, type != NULL);
    if (type == NULL)
        return;
    assert_true(str_is(party_read->type, type));
    for (size_t i = 0; i < party_read->n_ids; i++)
        text = arena_printf(&arena, "%s%.*s ", text, STR_ARG(party_read->ids[i]));
    assert_string_equal(text, data[data_of(type)].ids);
}

static void every_type_full_and_preview(void **state)
{
    (void)state;
    assert_int_equal(COUNT(types), 37);
    for (size_t i = 0; i < 2 * COUNT(types); i++) {
        bool full = i % 2 == 0;
        const char *cnv =
            full
                ? "{\"id\":\"cnv_1\",\"type\":\"discussion\",\"subject\":\"S\\n\\u00e4\","
                  "\"status\":\"archived\",\"status_id\":\"sts_1\","
                  "\"assignee\":{\"id\":\"tea_9\",\"email\":\"a@b.c\"},"
                  "\"recipient\":{\"handle\":\"h\"},"
                  "\"tags\":[{\"id\":\"tag_1\"},{\"id\":\"tag_2\",\"name\":\"x\"}],"
                  "\"created_at\":1453770984.123,\"is_private\":true}"
                : "{\"id\":\"cnv_1\",\"_links\":{\"self\":\"https://x/y\"}}";
        const char *json = arena_printf(
            &arena,
            "{\"_links\":{\"self\":\"https://x/events/evt_1\"},\"id\":\"evt_1\","
            "\"type\":\"%s\",\"emitted_at\":1703102616%s%s,\"conversation\":%s}",
            types[i / 2].type, party("source", types[i / 2].source, full),
            party("target", types[i / 2].target, full), cnv);
        struct err e = ERR_INIT;
        struct event ev;

        if (event_read(str_of(json), &arena, &ev, &e) != 0)
            fail_msg("%s: %s", json, e.text);
        assert_true(str_is(ev.id, "evt_1"));
        assert_true(str_is(ev.type, types[i / 2].type));
        assert_int_equal(ev.emitted_at, 1703102616000);
        assert_true(str_is(ev.payload, json));
        assert_true(str_is(ev.conversation.id, "cnv_1"));
        assert_true(str_is(event_key(&ev), "cnv_1"));
        check_party(types[i / 2].source, &ev.source);
        check_party(types[i / 2].target, &ev.target);
        same_text(event_origin(&ev), str_of(types[i / 2].source));
        if (full) {
            assert_true(str_is(ev.conversation.type, "discussion"));
            assert_true(str_is(ev.conversation.subject, "S\n\xc3\xa4"));
            assert_true(str_is(ev.conversation.status, "archived"));
            assert_true(str_is(ev.conversation.status_id, "sts_1"));
            assert_true(str_is(ev.conversation.assignee_id, "tea_9"));
            assert_int_equal(ev.conversation.n_tag_ids, 2);
            assert_true(str_is(ev.conversation.tag_ids[1], "tag_2"));
            assert_int_equal(ev.conversation.is_private, EVENT_PRIVATE_YES);
            assert_int_equal(ev.conversation.created_at, 1453770984123);
        } else {
            assert_null(ev.conversation.type.ptr);
            assert_null(ev.conversation.assignee_id.ptr);
            assert_int_equal(ev.conversation.n_tag_ids, 0);
            assert_int_equal(ev.conversation.is_private, EVENT_PRIVATE_UNKNOWN);
            assert_int_equal(ev.conversation.created_at, NO_NUMBER);
        }
        ev.delivery = STR_LIT(EVENT_POLL);
        comes_back(&ev);
    }
}

/* Each is an event all the same; `key` says what its record is found by. */
static void what_is_not_as_expected_is_left_out(void **state)
{
    static const struct {
        const char *rest, *key;
    } cases[] = {
        {"", "e"},
        {",\"conversation\":null,\"source\":null,\"target\":null,\"emitted_at\":null",
         "e"},
        {",\"conversation\":\"cnv_1\",\"source\":\"rule\",\"target\":[]", "e"},
        {",\"conversation\":{},\"source\":[],\"target\":7,\"emitted_at\":\"1\"", "e"},
        {",\"conversation\":{\"id\":7},\"source\":{},\"target\":{\"data\":7}", "e"},
        {",\"conversation\":{\"id\":\"\"},\"emitted_at\":1e99", "e"},
        {",\"conversation\":{\"id\":\"c\",\"tags\":{},\"assignee\":[],\"is_private\":"
         "\"\"}",
         "c"},
        {",\"conversation\":{\"id\":\"c\",\"tags\":[1,null,{},[],{\"id\":7},\"\"],"
         "\"assignee\":\"\",\"subject\":{},\"created_at\":{}}",
         "c"},
        {",\"source\":{\"_meta\":7,\"data\":null},\"target\":{\"_meta\":{\"type\":[]}}",
         "e"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *json =
            arena_printf(&arena, " {\"id\":\"e\",\"type\":\"t\"%s}\n", cases[i].rest);
        struct err e = ERR_INIT;
        struct event ev;

        if (event_read(str_of(json), &arena, &ev, &e) != 0)
            fail_msg("%s: %s", json, e.text);
        assert_true(str_is(event_key(&ev), cases[i].key));
        assert_int_equal(ev.emitted_at, NO_NUMBER);
        assert_int_equal(ev.conversation.n_tag_ids, 0);
        assert_int_equal(ev.source.n_ids + ev.target.n_ids, 0);
        assert_null(event_origin(&ev).ptr);
        ev.delivery = STR_LIT(EVENT_POLL);
        comes_back(&ev);
    }
}

/* A party that names itself: type and id without `_meta` and `data`. */
static void a_flat_preview(void **state)
{
    static const char json[] =
        "{\"id\":\"e\",\"type\":\"tag\",\"source\":{\"id\":\"rul_1\",\"type\":\"rule\"},"
        "\"target\":{\"id\":\"tag_1\",\"_links\":{},\"type\":\"tag\"}}";
    struct err e = ERR_INIT;
    struct event ev;

    (void)state;
    assert_int_equal(event_read(str_of(json), &arena, &ev, &e), 0);
    assert_true(str_is(event_origin(&ev), "rule"));
    assert_int_equal(ev.source.n_ids, 1);
    assert_true(str_is(ev.source.ids[0], "rul_1"));
    assert_true(str_is(ev.target.type, "tag"));
    assert_true(str_is(ev.target.ids[0], "tag_1"));
}

static void objects_that_are_no_events(void **state)
{
    static const struct {
        const char *json, *reason;
    } cases[] = {
        {"", "BadJson"},
        {"{", "BadJson"},
        {"{\"id\":\"e\",\"type\":\"t\"}x", "BadJson"},
        {"{\"id\":\"e\",\"type\":\"\xff\"}", "BadJson"},
        {"[{\"id\":\"e\",\"type\":\"t\"}]", "BadValue"},
        {"\"e\"", "BadValue"},
        {"null", "BadValue"},
        {"{}", "BadValue"},
        {"{\"type\":\"t\"}", "BadValue"},
        {"{\"id\":\"e\"}", "BadValue"},
        {"{\"id\":7,\"type\":\"t\"}", "BadValue"},
        {"{\"id\":\"\",\"type\":\"t\"}", "BadValue"},
        {"{\"id\":\"e\",\"type\":\"\"}", "BadValue"},
        {"{\"id\":null,\"type\":\"t\"}", "BadValue"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct err e = ERR_INIT;
        struct event ev;

        assert_int_equal(event_read(str_of(cases[i].json), &arena, &ev, &e), -1);
        assert_string_equal(e.reason, cases[i].reason);
    }
}

static void nesting_is_bounded(void **state)
{
    enum { DEPTH = 1000000 };
    char *text = mem_alloc(DEPTH + 1);
    struct err e = ERR_INIT;
    struct event ev;

    (void)state;
    memset(text, '[', DEPTH);
    assert_int_equal(event_read((struct str){text, DEPTH}, &arena, &ev, &e), -1);
    mem_free(text);
}

/* ---- headers ---- */

static void check_headers(const struct event *ev, const char *expected)
{
    struct pair headers[EVENT_HEADERS_MAX];
    size_t n = event_headers(ev, &arena, headers);
    const char *text = "";

    for (size_t i = 0; i < n; i++)
        text = arena_printf(&arena, "%s%.*s=%.*s\n", text, STR_ARG(headers[i].name),
                            STR_ARG(headers[i].value));
    assert_string_equal(text, expected);
}

static void headers_are_cloud_events(void **state)
{
    struct event ev = most();

    (void)state;
    check_headers(&ev, "content-type=application/avro\nce_specversion=1.0\nce_id=evt_1\n"
                       "ce_source=https://api2.frontapp.com/companies/cmp_1\n"
                       "ce_type=com.frontapp.inbound\nce_subject=cnv_1\n"
                       "ce_time=2023-11-14T22:13:20.001Z\ndelivery=webhook\n"
                       "origin=inboxes\n");
    ev = least();
    check_headers(&ev, "content-type=application/avro\nce_specversion=1.0\nce_id=evt_1\n"
                       "ce_source=https://api2.frontapp.com\n"
                       "ce_type=com.frontapp.new_type\ndelivery=healed\n");
}

static void times_are_rfc_3339(void **state)
{
    static const struct {
        int64_t ms;
        const char *text; /* NULL: a year that the format does not know */
    } cases[] = {{0, "1970-01-01T00:00:00.000Z"},
                 {-1, "1969-12-31T23:59:59.999Z"},
                 {951782400500, "2000-02-29T00:00:00.500Z"},
                 {253402300799999, "9999-12-31T23:59:59.999Z"},
                 {253402300800000, NULL},
                 {-62167219200000, "0000-01-01T00:00:00.000Z"},
                 {-62167219200001, NULL},
                 {8640000000000000, NULL},
                 {-8640000000000000, NULL}};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct pair headers[EVENT_HEADERS_MAX];
        struct event ev = most();
        size_t n, found = 0;

        ev.emitted_at = cases[i].ms;
        n = event_headers(&ev, &arena, headers);
        for (size_t h = 0; h < n; h++) {
            if (!str_is(headers[h].name, "ce_time"))
                continue;
            found++;
            assert_non_null(cases[i].text);
            assert_true(str_is(headers[h].value, cases[i].text));
        }
        assert_int_equal(found, cases[i].text != NULL ? 1 : 0);
    }
}

static int set_up(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    schemas = schemas_new(NULL, &e);
    return schemas != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    schemas_free(schemas);
    return 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_record_comes_back),
        T(a_record_says_what_the_schema_says),
        T(what_is_no_event_is_refused),
        T(a_record_over_the_ceiling_is_refused),
        T(every_type_full_and_preview),
        T(what_is_not_as_expected_is_left_out),
        T(a_flat_preview),
        T(objects_that_are_no_events),
        T(nesting_is_bounded),
        T(headers_are_cloud_events),
        T(times_are_rfc_3339),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
