/* Slices and text helpers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/str.h"

static void absent_is_not_empty(void **state)
{
    (void)state;
    assert_null(str_of(NULL).ptr);
    assert_non_null(str_of("").ptr);
    assert_true(str_eq(STR_LIT("ab"), str_of("ab")));
    assert_false(str_eq(STR_LIT("ab"), str_of("abc")));
    assert_true(str_is(STR_NULL, ""));
    assert_true(str_starts(STR_LIT("abc"), "ab"));
    assert_false(str_starts(STR_LIT("a"), "ab"));
    assert_true(str_starts(STR_NULL, ""));
}

static void trimming_and_splitting(void **state)
{
    struct str s = STR_LIT("a, b,,c");

    (void)state;
    assert_true(str_is(str_trim(STR_LIT(" \t x y\r\n")), "x y"));
    assert_true(str_is(str_trim(STR_LIT("  ")), ""));
    assert_true(str_is(str_split(&s, ','), "a"));
    assert_true(str_is(str_split(&s, ','), " b"));
    assert_true(str_is(str_split(&s, ','), ""));
    assert_non_null(s.ptr);
    assert_true(str_is(str_split(&s, ','), "c"));
    assert_null(s.ptr);
    assert_null(str_split(&s, ',').ptr);
    s = STR_LIT("a,");
    (void)str_split(&s, ',');
    assert_non_null(s.ptr); /* an empty last part is a part */
    assert_true(str_is(str_split(&s, ','), ""));
    assert_null(s.ptr);
}

static void utf8_is_strict(void **state)
{
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {
        {"", true},
        {"plain text, longer than a word", true},
        {"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", true},
        {"\xef\xbf\xbf\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80", true},
        {"\xc2\x80\xe0\xa0\x80\xf0\x90\x80\x80", true},
        {"\x80", false},
        {"\xc0\xaf", false},         /* overlong */
        {"\xe0\x9f\xbf", false},     /* overlong */
        {"\xf0\x8f\xbf\xbf", false}, /* overlong */
        {"\xed\xa0\x80", false},     /* surrogate */
        {"\xf4\x90\x80\x80", false}, /* beyond U+10FFFF */
        {"\xf5\x80\x80\x80", false},
        {"\xff", false},
        {"\xc3", false},
        {"\xe2\x82", false},
        {"\xf0\x9f\x98", false},
        {"\xc3(", false},
        {"\xe2(\xa1", false},
        {"\xf0\x9f(\x80", false},
        {"1234567\xc3", false},
        {"12345678\xc3\xa4", true},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_true(utf8_valid(str_of(cases[i].text)) == cases[i].valid);
    assert_true(utf8_valid(STR_LIT("a\0b"))); /* NUL is a character */
    assert_true(text_printable(STR_LIT(" ~")));
    assert_false(text_printable(STR_LIT("\x7f")));
    assert_false(text_printable(STR_LIT("\n")));
    assert_false(text_printable(STR_LIT("\xc3\xa4")));
}

static void numbers_are_whole_and_in_range(void **state)
{
    static const struct {
        const char *text;
        int64_t min, max;
        int rc;
        int64_t value;
    } cases[] = {
        {"0", 0, 9, 0, 0},
        {"-5", -9, 9, 0, -5},
        {"+5", -9, 9, 0, 5},
        {"007", 0, 9, 0, 7},
        {"9223372036854775807", INT64_MIN, INT64_MAX, 0, INT64_MAX},
        {"-9223372036854775808", INT64_MIN, INT64_MAX, 0, INT64_MIN},
        {"9223372036854775808", INT64_MIN, INT64_MAX, -1, 0},
        {"-9223372036854775809", INT64_MIN, INT64_MAX, -1, 0},
        {"99999999999999999999999", INT64_MIN, INT64_MAX, -1, 0},
        {"10", 0, 9, -1, 0},
        {"-1", 0, 9, -1, 0},
        {"", 0, 9, -1, 0},
        {"-", 0, 9, -1, 0},
        {"1x", 0, 9, -1, 0},
        {" 1", 0, 9, -1, 0},
        {"0x1", 0, 9, -1, 0},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err e = ERR_INIT;
        int64_t value = 0;

        assert_int_equal(
            parse_i64(str_of(cases[i].text), cases[i].min, cases[i].max, &value, &e),
            cases[i].rc);
        assert_true(value == cases[i].value);
        assert_int_equal(e.kind, cases[i].rc == 0 ? ERR_NONE : ERR_INPUT);
    }
}

static void hex_is_lower_case(void **state)
{
    char out[9];

    (void)state;
    hex_encode("\x00\xff\x1a\x80", 4, out);
    assert_string_equal(out, "00ff1a80");
    hex_encode("", 0, out);
    assert_string_equal(out, "");
}

static void distances_are_capped(void **state)
{
    (void)state;
    assert_int_equal(str_distance(STR_LIT("kitten"), STR_LIT("sitting"), 5), 3);
    assert_int_equal(str_distance(STR_LIT("kitten"), STR_LIT("sitting"), 2), 3);
    assert_int_equal(str_distance(STR_LIT("same"), STR_LIT("same"), 2), 0);
    assert_int_equal(str_distance(STR_LIT(""), STR_LIT("abc"), 9), 3);
    assert_int_equal(str_distance(STR_LIT("abcdef"), STR_LIT("uvwxyz"), 3), 4);
}

static const char *name_of(const void *arg, size_t i)
{
    static const char *const names[] = {"update-conversation", "update-contact",
                                        "list-tags", "list-tags-of-team", NULL};
    (void)arg;
    return names[i];
}

static void the_nearest_word(void **state)
{
    static const struct {
        const char *word, *nearest;
    } cases[] = {{"update-conversaton", "update-conversation"},
                 {"update-contcat", "update-contact"},
                 {"list-tag", "list-tags"},
                 {"list-tags-of", "list-tags"}, /* within a third of the word */
                 {"update-conv", "update-conversation"},
                 {"list", "list-tags"},
                 {"zzz", NULL},
                 {"", NULL}};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *found = str_nearest(str_of(cases[i].word), name_of, NULL);

        if (cases[i].nearest == NULL)
            assert_null(found);
        else
            assert_string_equal(found, cases[i].nearest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_is_not_empty),
        cmocka_unit_test(trimming_and_splitting),
        cmocka_unit_test(utf8_is_strict),
        cmocka_unit_test(numbers_are_whole_and_in_range),
        cmocka_unit_test(hex_is_lower_case),
        cmocka_unit_test(distances_are_capped),
        cmocka_unit_test(the_nearest_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
