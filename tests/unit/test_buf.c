/* Growing bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

static void additions_follow_each_other(void **state)
{
    struct buf b;
    int i;

    (void)state;
    buf_init(&b, 400000);
    assert_true(str_is(buf_str(&b), ""));
    assert_non_null(buf_str(&b).ptr);
    assert_int_equal(buf_add(&b, "ab", 2), 0);
    assert_int_equal(buf_add_str(&b, STR_LIT("cd")), 0);
    assert_int_equal(buf_add_cstr(&b, "ef"), 0);
    assert_int_equal(buf_add_char(&b, 'g'), 0);
    assert_int_equal(buf_printf(&b, "%d", 12), 0);
    assert_int_equal(buf_add(&b, NULL, 0), 0);
    assert_string_equal(b.data, "abcdefg12");
    for (i = 0; i < 1000; i++)
        assert_int_equal(buf_printf(&b, "%0300d", i),
                         0); /* longer than its own scratch */
    assert_int_equal(b.len, 9 + 1000 * 300);
    assert_int_equal(strlen(b.data), b.len);
    buf_fini(&b);
}

static void the_ceiling_holds_and_the_first_refusal_sticks(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 5);
    assert_int_equal(buf_add_cstr(&b, "1234"), 0);
    assert_int_equal(buf_add_cstr(&b, "56"), -1);
    assert_true(b.over);
    assert_int_equal(buf_add_char(&b, '5'),
                     -1); /* would fit, but the message has a hole */
    assert_int_equal(buf_printf(&b, "x"), -1);
    assert_string_equal(b.data, "1234");
    buf_reset(&b);
    assert_false(b.over);
    assert_int_equal(b.len, 0);
    assert_string_equal(b.data, "");
    assert_int_equal(buf_add_cstr(&b, "12345"), 0);
    assert_string_equal(b.data, "12345");
    buf_fini(&b);
    assert_int_equal(b.max, 5);
    assert_int_equal(buf_add_cstr(&b, "again"), 0);
    buf_fini(&b);
}

static void long_formats_fit_or_fail_whole(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    assert_int_equal(buf_printf(&b, "%0999d", 7), 0);
    assert_int_equal(b.len, 999);
    assert_int_equal(b.data[998], '7');
    assert_int_equal(buf_printf(&b, "ab"), -1);
    assert_int_equal(b.len, 999);
    buf_fini(&b);
}

static void room_can_be_written_to(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, SIZE_MAX);
    assert_int_equal(buf_reserve(&b, 300), 0);
    memset(b.data, 'x', 300);
    b.len += 300;
    assert_int_equal(buf_add_char(&b, 'y'), 0);
    assert_int_equal(b.data[300], 'y');
    assert_int_equal(buf_reserve(&b, SIZE_MAX - 2), -1);
    buf_fini(&b);
}

static void taking_gives_the_memory_away(void **state)
{
    struct buf b;
    size_t len = 9;
    char *text;

    (void)state;
    buf_init(&b, 10);
    text = buf_take(&b, &len);
    assert_string_equal(text, "");
    assert_int_equal(len, 0);
    mem_free(text);
    (void)buf_add_cstr(&b, "abc");
    text = buf_take(&b, &len);
    assert_string_equal(text, "abc");
    assert_int_equal(len, 3);
    assert_int_equal(b.len, 0);
    assert_null(b.data);
    mem_free(text);
    (void)buf_add_cstr(&b, "new");
    assert_string_equal(b.data, "new");
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(additions_follow_each_other),
        cmocka_unit_test(the_ceiling_holds_and_the_first_refusal_sticks),
        cmocka_unit_test(long_formats_fit_or_fail_whole),
        cmocka_unit_test(room_can_be_written_to),
        cmocka_unit_test(taking_gives_the_memory_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
