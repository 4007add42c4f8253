/* The ids of the last events. */
#include "support.h"

#include <stdio.h>
#include <string.h>

#include "engine/known.h"

static bool has(const struct known *kn, int i)
{
    char text[32];
    (void)snprintf(text, sizeof text, "evt_%d", i);
    return known_has(kn, str_of(text));
}

static void add(struct known *kn, int i)
{
    char text[32];
    (void)snprintf(text, sizeof text, "evt_%d", i);
    known_add(kn, str_of(text));
}

static void test_keeps_the_last_of_them(void **state)
{
    struct known *kn = known_new(100);
    (void)state;
    for (int i = 0; i < 1050; i++) {
        assert_false(has(kn, i));
        add(kn, i);
        assert_true(has(kn, i));
        assert_int_equal(known_count(kn), i < 100 ? i + 1 : 100);
    }
    for (int i = 0; i < 1050; i++)
        assert_int_equal(has(kn, i), i >= 950);
    known_free(kn);
}

static void test_an_id_that_is_added_again_takes_no_second_place(void **state)
{
    struct known *kn = known_new(2);
    (void)state;
    add(kn, 1);
    add(kn, 1);
    add(kn, 2);
    assert_int_equal(known_count(kn), 2);
    assert_true(has(kn, 1));
    add(kn, 3);
    assert_false(has(kn, 1));
    assert_true(has(kn, 2));
    known_free(kn);
}

static void test_none_are_kept_when_none_may_be(void **state)
{
    struct known *kn = known_new(0);
    (void)state;
    add(kn, 1);
    assert_false(has(kn, 1));
    assert_int_equal(known_count(kn), 0);
    known_free(kn);
}

static void test_ids_of_any_bytes_and_length_are_told_apart(void **state)
{
    static char longer[100000];
    struct known *kn = known_new(10);
    (void)state;
    memset(longer, 'x', sizeof longer);
    known_add(kn, (struct str){longer, sizeof longer});
    known_add(kn, (struct str){"a\0b", 3});
    known_add(kn, STR_LIT(""));
    assert_true(known_has(kn, (struct str){longer, sizeof longer}));
    assert_false(known_has(kn, (struct str){longer, sizeof longer - 1}));
    assert_true(known_has(kn, (struct str){"a\0b", 3}));
    assert_false(known_has(kn, STR_LIT("a")));
    assert_true(known_has(kn, STR_LIT("")));
    known_free(kn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keeps_the_last_of_them),
        cmocka_unit_test(test_an_id_that_is_added_again_takes_no_second_place),
        cmocka_unit_test(test_none_are_kept_when_none_may_be),
        cmocka_unit_test(test_ids_of_any_bytes_and_length_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
