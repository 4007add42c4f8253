/* Results: what is filled in comes out of the bytes, and any record prints as JSON. */
#include "codec_help.h"

#include <jansson.h>

#include "codec/records/result.h"

static struct result least(void)
{
    return (struct result){.command_id = STR_LIT("c1"),
                           .operation = STR_LIT("create-comment"),
                           .outcome = SUCCEEDED,
                           .http_status = NO_NUMBER,
                           .items = NO_NUMBER,
                           .pages = NO_NUMBER,
                           .received_at = 1700000000001,
                           .started_at = NO_NUMBER,
                           .finished_at = 1700000000002,
                           .source_partition = NO_NUMBER,
                           .source_offset = NO_NUMBER};
}

static struct result most(void)
{
    static struct str details[] = {STR_LIT("body.to: missing"), STR_LIT("")};
    struct result res = least();

    res.outcome = FAILED;
    res.http_status = 400;
    res.resource_id = STR_LIT("cmt_1");
    res.response = STR_LIT("{\"a\":\"\\u00e9\"}");
    res.content = (struct str){"\0\xff\x10", 3};
    res.content_type = STR_LIT("image/png");
    res.truncated = true;
    res.error.kind = STR_LIT("front");
    res.error.title = STR_LIT("Bad request");
    res.error.message = STR_LIT("No \"to\"\n");
    res.error.details = details;
    res.error.n_details = 2;
    res.attempts = 3;
    res.items = 4;
    res.pages = 5;
    res.replayed = res.recovered = true;
    res.started_at = 1700000000000;
    res.quota.known = true;
    res.quota.limit = 100;
    res.quota.remaining = NO_NUMBER;
    res.quota.reset_at = 1700000060000;
    res.source_topic = STR_LIT("front.commands");
    res.source_partition = 7;
    res.source_offset = INT64_C(1) << 40;
    res.request_digest = STR_LIT("00ff");
    return res;
}

/* Encodes, and compares what avro_to_json reads with `want` as JSON. */
static void check(struct schemas *ss, const struct result *res, const char *want)
{
    struct err e = ERR_INIT;
    struct buf bytes, text;
    json_t *expected = json_loads(want, 0, NULL), *got;

    buf_init(&bytes, 1 << 20);
    buf_init(&text, 1 << 20);
    assert_non_null(expected);
    assert_int_equal(result_encode(ss, res, &bytes), 0);
    assert_int_equal(avro_to_json(ss, buf_str(&bytes), &text, &e), 0);
    got = json_loads(text.data, 0, NULL);
    if (got == NULL || !json_equal(got, expected))
        fail_msg("%s", text.data);
    json_decref(expected);
    json_decref(got);
    buf_fini(&bytes);
    buf_fini(&text);
}

#define LEAST                                                                            \
    "{\"command_id\":\"c1\",\"operation\":\"create-comment\",\"outcome\":\"SUCCEEDED\"," \
    "\"http_status\":null,\"resource_id\":null,\"response\":null,\"content\":null,"      \
    "\"content_type\":null,\"truncated\":false,\"error\":null,\"attempts\":0,\"items\":" \
    "null,"                                                                              \
    "\"pages\":null,\"replayed\":false,\"recovered\":false,\"received_at\":"             \
    "1700000000001,"                                                                     \
    "\"started_at\":null,\"finished_at\":1700000000002,\"quota\":null,\"source_topic\":" \
    "null,"                                                                              \
    "\"source_partition\":null,\"source_offset\":null,\"request_digest\":null}"

#define MOST                                                                             \
    "{\"command_id\":\"c1\",\"operation\":\"create-comment\",\"outcome\":\"FAILED\","    \
    "\"http_status\":400,\"resource_id\":\"cmt_1\",\"response\":\"{\\\"a\\\":"           \
    "\\\"\\\\u00e9\\\"}\","                                                              \
    "\"content\":\"AP8Q\",\"content_type\":\"image/png\",\"truncated\":true,\"error\":"  \
    "{\"kind\":\"front\",\"title\":\"Bad request\",\"message\":\"No \\\"to\\\"\\n\","    \
    "\"details\":[\"body.to: missing\",\"\"]},\"attempts\":3,\"items\":4,\"pages\":5,"   \
    "\"replayed\":true,\"recovered\":true,\"received_at\":1700000000001,"                \
    "\"started_at\":1700000000000,\"finished_at\":1700000000002,\"quota\":{\"limit\":"   \
    "100,"                                                                               \
    "\"remaining\":null,\"reset_at\":1700000060000},\"source_topic\":\"front."           \
    "commands\","                                                                        \
    "\"source_partition\":7,\"source_offset\":1099511627776,\"request_digest\":"         \
    "\"00ff\"}"

/* The value is reused: nothing of one result may show in the next. */
static void every_field_comes_out_and_none_stays_behind(void **state)
{
    struct err e = ERR_INIT;
    struct schemas *ss = schemas_new(NULL, &e);
    struct result few = least(), all = most();
    int i;

    (void)state;
    for (i = 0; i < 3; i++) {
        check(ss, &few, LEAST);
        check(ss, &all, MOST);
    }
    schemas_free(ss);
}

static void the_bytes_are_those_of_the_specification(void **state)
{
    static const char datum[] =
        "\4c1\34create-comment\22SUCCEEDED"
        "\0\0\0\0\0\0\0\0\0\0\0\0"
        "\x82\xa0\xab\xfe\xf9\x62\0\x84\xa0\xab\xfe\xf9\x62\0\0\0\0\0";
    struct err e = ERR_INIT;
    struct schemas *ss = schemas_new(NULL, &e);
    struct result res = least();
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    assert_int_equal(result_encode(ss, &res, &out), 0);
    assert_int_equal(out.len, 10 + sizeof(datum) - 1);
    assert_memory_equal(out.data + 10, datum, sizeof(datum) - 1);
    buf_fini(&out);
    schemas_free(ss);
}

static void a_large_response_fits_or_is_refused(void **state)
{
    struct err e = ERR_INIT;
    struct schemas *ss = schemas_new(NULL, &e);
    struct result res = least();
    size_t n = 900000;
    char *large = mem_alloc(n);
    struct buf out;

    (void)state;
    memset(large, 'x', n);
    res.response = (struct str){large, n};
    buf_init(&out, n);
    assert_int_equal(result_encode(ss, &res, &out), -1);
    assert_int_equal(out.len, 0);
    buf_fini(&out);
    buf_init(&out, 2 * n);
    assert_int_equal(result_encode(ss, &res, &out), 0);
    assert_true(out.len > n);
    res = least();
    assert_int_equal(result_encode(ss, &res, &out), 0); /* appended */
    assert_true(out.len > n + 50);
    buf_fini(&out);
    mem_free(large);
    schemas_free(ss);
}

#define ODD                                                                              \
    "{\"type\":\"record\",\"name\":\"t.Odd\",\"fields\":["                               \
    "{\"name\":\"f\",\"type\":{\"type\":\"fixed\",\"name\":\"t.F\",\"size\":2}},"        \
    "{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"t.E\",\"symbols\":[\"A\","   \
    "\"B\"]}},"                                                                          \
    "{\"name\":\"x\",\"type\":\"float\"},{\"name\":\"d\",\"type\":\"double\"},"          \
    "{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":[\"null\",\"int\"]}},"        \
    "{\"name\":\"l\",\"type\":{\"type\":\"array\",\"items\":\"bytes\"}},"                \
    "{\"name\":\"n\",\"type\":\"null\"}]}"

static void any_record_prints_as_json(void **state)
{
    struct schemas *ss = store(ODD);
    struct err e = ERR_INIT;
    struct buf bytes, text;

    (void)state;
    buf_init(&bytes, 1024);
    buf_init(&text, 1024);
    put_frame(&bytes, fingerprint_of(ODD));
    (void)buf_add(&bytes, "\1\2", 2);
    (void)buf_add(&bytes, "\2", 1);
    (void)buf_add(&bytes, "\0\0\0\x3f", 4);
    (void)buf_add(&bytes, "\0\0\0\0\0\0\xf8\x7f", 8); /* NaN */
    (void)buf_add(&bytes, "\4\2p\0\2q\2\2\0", 9);
    (void)buf_add(&bytes, "\4\0\2z\0", 5);
    if (avro_to_json(ss, buf_str(&bytes), &text, &e) != 0)
        fail_msg("%s", e.text);
    assert_string_equal(text.data,
                        "{\"f\":\"AQI=\",\"e\":\"B\",\"x\":0.5,\"d\":null,"
                        "\"m\":{\"p\":null,\"q\":1},\"l\":[\"\",\"eg==\"],\"n\":null}");
    text.max = 10;
    buf_reset(&text);
    assert_int_equal(avro_to_json(ss, buf_str(&bytes), &text, &e), -1);
    assert_string_equal(e.reason, "TooLarge");
    bytes.len--;
    assert_int_equal(avro_to_json(ss, buf_str(&bytes), &text, &e), -1);
    assert_string_equal(e.reason, "Truncated");
    buf_fini(&bytes);
    buf_fini(&text);
    schemas_free(ss);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_comes_out_and_none_stays_behind),
        cmocka_unit_test(the_bytes_are_those_of_the_specification),
        cmocka_unit_test(a_large_response_fits_or_is_refused),
        cmocka_unit_test(any_record_prints_as_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
