/* The scanner against a table of good and bad texts, the walks, literals in and out, and
 * numbers. */
#include "codec_help.h"

#include <math.h>

#include "codec/json.h"

static void valid_and_invalid_texts(void **state)
{
    static const struct {
        struct str text;
        bool valid;
    } rows[] = {
        {BYTES("{}"), true},
        {BYTES(" \t\r\n[ ] "), true},
        {BYTES("null"), true},
        {BYTES("true"), true},
        {BYTES("\"\""), true},
        {BYTES("-0.5e+10"), true},
        {BYTES("{\"a\":[1,2,{\"b\":null}],\"a\":\"\\u00e9\\n\\/\"}"), true},
        {BYTES("\"\xc3\xa9\xf0\x9f\x98\x80\""), true},
        {BYTES("\"\\ud83d\""), true}, /* grammar asks for no pair */
        {BYTES(""), false},
        {BYTES(" "), false},
        {BYTES("{"), false},
        {BYTES("{}x"), false},
        {BYTES("{}\0"), false},
        {BYTES("{\"a\"}"), false},
        {BYTES("{\"a\":}"), false},
        {BYTES("{\"a\":1,}"), false},
        {BYTES("{a:1}"), false},
        {BYTES("{,}"), false},
        {BYTES("[1,]"), false},
        {BYTES("[1 2]"), false},
        {BYTES("[1}"), false},
        {BYTES("]"), false},
        {BYTES("tru"), false},
        {BYTES("True"), false},
        {BYTES("NaN"), false},
        {BYTES("01"), false},
        {BYTES("1."), false},
        {BYTES(".5"), false},
        {BYTES("+1"), false},
        {BYTES("1e"), false},
        {BYTES("-"), false},
        {BYTES("\"a"), false},
        {BYTES("\"\\\""), false},
        {BYTES("\"\\x\""), false},
        {BYTES("\"\\\0\""), false},
        {BYTES("\"\\u12g4\""), false},
        {BYTES("\"\\u12\""), false},
        {BYTES("\"\n\""), false},
        {BYTES("\"\0\""), false},
        {BYTES("\"\xff\""), false},
        {BYTES("\"\xc0\x80\""), false},
        {BYTES("\"\xed\xa0\x80\""), false},
        {BYTES("\xef\xbb\xbf{}"), false},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(rows); i++)
        if (json_is_valid(rows[i].text) != rows[i].valid)
            fail_msg("row %zu: %.*s", i, STR_ARG(rows[i].text));
    assert_false(json_is_valid(STR_NULL));
}

static char *nested(size_t depth)
{
    char *text = mem_alloc(2 * depth + 1);

    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    text[2 * depth] = '\0';
    return text;
}

static void depth_is_bounded(void **state)
{
    static const struct {
        size_t depth;
        bool valid, parses;
    } rows[] = {{64, true, true},
                {65, true, false},
                {512, true, false},
                {513, false, false},
                {1000000, false, false}};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(rows); i++) {
        char *text = nested(rows[i].depth);
        struct err e = ERR_INIT;
        json_t *tree = json_parse(str_of(text), true, &e);

        assert_int_equal(json_is_valid(str_of(text)), rows[i].valid);
        assert_int_equal(tree != NULL, rows[i].parses);
        if (tree == NULL)
            assert_string_equal(e.reason, "TooDeep");
        json_decref(tree);
        mem_free(text);
    }
}

static void parse_tells_why_not(void **state)
{
    static const struct {
        struct str text;
        bool strict;
        const char *reason; /* NULL: parses */
    } rows[] = {
        {BYTES("{\"a\":1}"), true, NULL},
        {BYTES("[\"\\u0000\"]"), true, NULL},
        {BYTES("{\"a\":1,\"a\":2}"), false, NULL},
        {BYTES("{\"a\":1,\"a\":2}"), true, "BadJson"},
        {BYTES("{\"x\":{\"a\":1,\"\\u0061\":2}}"), true, "BadJson"},
        {BYTES("{"), true, "BadJson"},
        {BYTES("1"), true, "BadJson"}, /* an object or array is asked for */
        {BYTES("[\"\xff\"]"), true, "BadUtf8"},
        {BYTES("[\"\\ud800\"]"), true, "BadJson"},
    };
    struct buf many;
    struct err e = ERR_INIT;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(rows); i++) {
        json_t *tree = json_parse(rows[i].text, rows[i].strict, &e);

        if ((tree == NULL) != (rows[i].reason != NULL) ||
            (tree == NULL && strcmp(e.reason, rows[i].reason) != 0))
            fail_msg("row %zu: %s", i, tree != NULL ? "parsed" : e.reason);
        json_decref(tree);
    }
    buf_init(&many, 1 << 20);
    (void)buf_add_cstr(&many, "[0");
    for (i = 0; i < 200000; i++)
        (void)buf_add_cstr(&many, ",0");
    (void)buf_add_char(&many, ']');
    assert_null(json_parse(buf_str(&many), true, &e));
    assert_string_equal(e.reason, "TooLarge");
    buf_fini(&many);
}

static void members_are_found_at_their_own_depth(void **state)
{
    static const char text[] =
        " { \"x\" : {\"id\":\"inner\",\"y\":[1,{\"id\":2}]} ,\n"
        " \"s\":\"}\\\"]{\", \"id\" : \"cnt_1\" , \"n\":-1.5e3,\"z\":null,"
        "\"_pagination\":{\"next\":\"u\",\"deep\":{\"er\":true}}} ";
    static const struct {
        const char *path, *raw; /* raw NULL: not there */
    } rows[] = {
        {"id", "\"cnt_1\""},
        {"s", "\"}\\\"]{\""},
        {"n", "-1.5e3"},
        {"z", "null"},
        {"x", "{\"id\":\"inner\",\"y\":[1,{\"id\":2}]}"},
        {"x.id", "\"inner\""},
        {"_pagination.next", "\"u\""},
        {"_pagination.deep.er", "true"},
        {"y", NULL},
        {"id.x", NULL},
        {"_pagination.prev", NULL},
        {"", NULL},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(rows); i++) {
        struct str raw = json_member_path(str_of(text), rows[i].path);

        assert_int_equal(raw.ptr != NULL, rows[i].raw != NULL);
        if (raw.ptr != NULL)
            assert_true(str_is(raw, rows[i].raw));
    }
    assert_null(json_member(str_of("[{\"id\":1}]"), "id").ptr);
    assert_null(json_member(STR_NULL, "id").ptr);
    assert_true(json_text_is_null(json_member(str_of(text), "z")));
    assert_false(json_text_is_null(json_member(str_of(text), "id")));
}

static void arrays_and_objects_are_walked(void **state)
{
    static const char *const elements[] = {"1", "\"a,]\"", "[2,[3]]", "{\"k\":[]}",
                                           "null"};
    struct str array = str_of(" [ 1 , \"a,]\",[2,[3]],\n{\"k\":[]},null ] ");
    struct str object = str_of("{ \"a\" : 1,\"b\\\"c\":[{}] }");
    struct str element, key;
    size_t pos = 0, n = 0;

    (void)state;
    while (json_next(array, &pos, &element)) {
        assert_true(n < COUNT(elements));
        assert_true(str_is(element, elements[n]));
        n++;
    }
    assert_int_equal(n, COUNT(elements));
    pos = 0;
    assert_true(json_next_member(object, &pos, &key, &element));
    assert_true(str_is(key, "a") && str_is(element, "1"));
    assert_true(json_next_member(object, &pos, &key, &element));
    assert_true(str_is(key, "b\\\"c") && str_is(element, "[{}]"));
    assert_false(json_next_member(object, &pos, &key, &element));
    pos = 0;
    assert_false(json_next(str_of("[ ]"), &pos, &element));
    pos = 0;
    assert_false(json_next(str_of("{}"), &pos, &element));
    pos = 0;
    assert_false(json_next_member(str_of("[]"), &pos, &key, &element));
}

static void string_literals_are_read(void **state)
{
    static const struct {
        const char *literal, *content; /* NULL: no string, or too long */
    } rows[] = {
        {"\"\"", ""},
        {"\"plain\"", "plain"},
        {"\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "a\"\\/\b\f\n\r\t"},
        {"\"\\u00e9\\u20ac\\ud83d\\ude00\"", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\"\\ud83d\"", "\xef\xbf\xbd"},
        {"\"\\ud83dx\"", "\xef\xbf\xbdx"},
        {"\"\\ude00\\ud83d\\u0041\"", "\xef\xbf\xbd\xef\xbf\xbd"
                                      "A"},
        {"\"exactly15 chars\"", "exactly15 chars"},
        {"\"sixteen characte\"", NULL},
        {"\"a\\u0000b\"", NULL},
        {"null", NULL},
        {"\"open", NULL},
        {"\"", NULL},
        {"\"a\"b\"", NULL},
        {"", NULL},
    };
    char out[16];
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(rows); i++) {
        int rc = json_unquote(str_of(rows[i].literal), out, sizeof(out));

        if (rc != (rows[i].content != NULL ? 0 : -1))
            fail_msg("row %zu: %s", i, rows[i].literal);
        if (rc == 0)
            assert_string_equal(out, rows[i].content);
    }
}

static void what_is_quoted_reads_back(void **state)
{
    struct str text = BYTES("a\"b\\c\n\r\t\x01\x1f/\x7f\xc3\xa9\0z");
    struct arena a;
    struct str back;
    struct buf out;

    (void)state;
    arena_init(&a, 0);
    buf_init(&out, 1024);
    assert_int_equal(json_quote(&out, text), 0);
    assert_string_equal(out.data,
                        "\"a\\\"b\\\\c\\n\\r\\t\\u0001\\u001f/\x7f\xc3\xa9\\u0000z\"");
    assert_true(json_is_valid(buf_str(&out)));
    assert_int_equal(json_unquote_arena(buf_str(&out), &a, &back), 0);
    assert_true(str_eq(back, text));
    buf_fini(&out);
    buf_init(&out, 5);
    assert_int_equal(json_quote(&out, STR_LIT("long text")), -1);
    buf_fini(&out);
    arena_fini(&a);
}

static void numbers_are_short_and_exact(void **state)
{
    static const struct {
        double x;
        const char *text;
    } rows[] = {{0, "0"},
                {1, "1"},
                {-5, "-5"},
                {0.1, "0.1"},
                {1.5, "1.5"},
                {1e6, "1000000"},
                {1e20, "1e+20"},
                {0.1 + 0.2, "0.30000000000000004"},
                {1 / 3.0, "0.3333333333333333"},
                {1709164800.123, "1709164800.123"},
                {(double)NAN, "null"},
                {(double)INFINITY, "null"}};
    struct buf out;
    size_t i;

    (void)state;
    buf_init(&out, 64);
    for (i = 0; i < COUNT(rows); i++) {
        buf_reset(&out);
        assert_int_equal(json_double(&out, rows[i].x), 0);
        assert_string_equal(out.data, rows[i].text);
        assert_true(json_is_valid(buf_str(&out)));
    }
    buf_fini(&out);
}

/* Whatever the bytes: no read outside (ASan), and the scanner never takes what jansson
 * refuses. */
static void mutated_texts_are_survived(void **state)
{
    static const char text[] =
        "{\"a\":[1,-2.5e3,true,null,\"\\u00e9\xc3\xa9\\n\"],\"b\":{\"c\":\"d\"},"
        "\"_pagination\":{\"next\":null}}";
    uint64_t seed = 4711;
    struct str element, key;
    struct buf b;
    char small[8];
    int i;

    (void)state;
    buf_init(&b, 1024);
    for (i = 0; i < 200000; i++) {
        size_t pos = 0;
        struct str exact;

        buf_reset(&b);
        assert_int_equal(buf_add(&b, text, sizeof(text) - 1), 0);
        mutate(&b, 0, &seed);
        exact =
            (struct str){mem_dup(b.data, b.len), b.len}; /* so that ASan sees its end */
        if (json_is_valid(exact)) {
            json_t *tree =
                json_loadb(exact.ptr, exact.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

            /* jansson also refuses lone surrogates, NUL in keys and numbers out of range
             */
            if (tree == NULL && memchr(exact.ptr, '\\', exact.len) == NULL &&
                memchr(exact.ptr, 'e', exact.len) == NULL)
                fail_msg("only ours takes %.*s", STR_ARG(exact));
            json_decref(tree);
        }
        while (json_next_member(exact, &pos, &key, &element))
            (void)json_unquote(element, small, sizeof(small));
        pos = 0;
        while (json_next(exact, &pos, &element))
            (void)json_unquote(element, small, sizeof(small));
        (void)json_member_path(exact, "b.c");
        mem_free(mem_unconst(exact.ptr));
    }
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_and_invalid_texts),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(parse_tells_why_not),
        cmocka_unit_test(members_are_found_at_their_own_depth),
        cmocka_unit_test(arrays_and_objects_are_walked),
        cmocka_unit_test(string_literals_are_read),
        cmocka_unit_test(what_is_quoted_reads_back),
        cmocka_unit_test(numbers_are_short_and_exact),
        cmocka_unit_test(mutated_texts_are_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
