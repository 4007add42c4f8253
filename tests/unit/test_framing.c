/* Framing: single-object encoding in and out, and what a user is told about everything
 * else. */
#include "codec_help.h"

#include "codec/framing.h"

static void what_is_sealed_opens(void **state)
{
    struct err e = ERR_INIT;
    struct schemas *ss = schemas_new(NULL, &e);
    const struct schema *sc = schemas_xget(ss, "front.Result"), *found = NULL;
    struct buf out;
    struct str datum;
    char prefix[10];

    (void)state;
    buf_init(&out, 64);
    assert_int_equal(framing_seal(sc, prefix), 10);
    assert_memory_equal(prefix, "\xc3\x01", 2);
    (void)buf_add(&out, prefix, 10);
    (void)buf_add_cstr(&out, "datum");
    assert_int_equal(framing_open(ss, buf_str(&out), &found, &datum, &e), FRAMING_OK);
    assert_ptr_equal(found, sc);
    assert_true(str_is(datum, "datum"));
    out.len = 10;
    assert_int_equal(framing_open(ss, buf_str(&out), &found, &datum, &e), FRAMING_OK);
    assert_int_equal(datum.len, 0);
    buf_fini(&out);
    schemas_free(ss);
}

static void what_does_not_open_says_why(void **state)
{
    static const struct {
        struct str value;
        const char *reason, *text;
    } rows[] = {
        {{NULL, 0}, "Empty", "no value"},
        {BYTES(""), "Empty", "no value"},
        {BYTES("{\"operation\":\"x\"}"), "WrongFormat", "commands.format"},
        {BYTES("\0\0\0\1\2rest"), "SchemaUnknown", "schemas.registry.url"},
        {BYTES("\0\0\0\1\2rest"), "SchemaUnknown", "258"},
        {BYTES("\0\0"), "NotFramed", "c3 01"},
        {BYTES("hello"), "NotFramed", "c3 01"},
        {BYTES("\xc3"), "NotFramed", "c3 01"},
        {BYTES("\xc3\x01\x01\x02\x03\x04\x05\x06\x07"), "NotFramed", "c3 01"},
        {BYTES("\xc3\x02\x01\x02\x03\x04\x05\x06\x07\x08"), "NotFramed", "c3 01"},
        {BYTES("\xc3\x01\x01\x02\x03\x04\x05\x06\x07\x08"), "SchemaUnknown",
         "0807060504030201"},
        {BYTES("\xc3\x01\x01\x02\x03\x04\x05\x06\x07\x08"), "SchemaUnknown",
         "schemas.dir"},
    };
    struct err e = ERR_INIT;
    struct schemas *ss = schemas_new(NULL, &e);
    const struct schema *found;
    struct str datum;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(rows); i++) {
        assert_int_equal(framing_open(ss, rows[i].value, &found, &datum, &e),
                         FRAMING_BAD);
        assert_int_equal(e.kind, ERR_INPUT);
        assert_string_equal(e.reason, rows[i].reason);
        if (strstr(e.text, rows[i].text) == NULL)
            fail_msg("row %zu: %s", i, e.text);
    }
    schemas_free(ss);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sealed_opens),
        cmocka_unit_test(what_does_not_open_says_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
