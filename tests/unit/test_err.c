/* The error value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/err.h"

static void setting_fills_all_and_returns_minus_one(void **state)
{
    struct err e = {ERR_FATAL, 7, "Old", "old"};

    (void)state;
    assert_int_equal(err_set(&e, ERR_BUSY, "%s %d", "try", 2), -1);
    assert_int_equal(e.kind, ERR_BUSY);
    assert_int_equal(e.code, 0);
    assert_null(e.reason);
    assert_string_equal(e.text, "try 2");
}

static void input_errors_have_a_reason(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(err_input(&e, "BadUtf8", "at %d", 3), -1);
    assert_int_equal(e.kind, ERR_INPUT);
    assert_string_equal(e.reason, "BadUtf8");
    assert_string_equal(e.text, "at 3");
}

static void prefixes_stand_before_and_keep_the_rest(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    (void)err_input(&e, "BadJson", "no end");
    assert_int_equal(err_prefix(&e, "record %d", 5), -1);
    assert_string_equal(e.text, "record 5: no end");
    assert_string_equal(e.reason, "BadJson");
    assert_int_equal(e.kind, ERR_INPUT);
}

static void its_own_text_may_be_an_argument(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    (void)err_set(&e, ERR_SYSTEM, "inner");
    (void)err_set(&e, ERR_FATAL, "outer: %s", e.text);
    assert_string_equal(e.text, "outer: inner");
}

static void long_texts_are_cut(void **state)
{
    struct err e = ERR_INIT;
    char text[1000];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    (void)err_set(&e, ERR_INPUT, "%s", text);
    assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
    (void)err_prefix(&e, "%s", text);
    assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
    err_clear(&e);
    assert_int_equal(e.kind, ERR_NONE);
    assert_string_equal(e.text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(setting_fills_all_and_returns_minus_one),
        cmocka_unit_test(input_errors_have_a_reason),
        cmocka_unit_test(prefixes_stand_before_and_keep_the_rest),
        cmocka_unit_test(its_own_text_may_be_an_argument),
        cmocka_unit_test(long_texts_are_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
