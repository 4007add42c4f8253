/* Memory and arenas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/mem.h"

static void nothing_returns_null(void **state)
{
    void *p[] = {mem_alloc(0), mem_zalloc(0), mem_array(0, 8), mem_dup(NULL, 0)};
    size_t i;

    (void)state;
    for (i = 0; i < 4; i++) {
        assert_non_null(p[i]);
        mem_free(p[i]);
    }
    p[0] = mem_realloc(NULL, 0);
    assert_non_null(p[0]);
    mem_free(p[0]);
    mem_free(NULL);
    mem_wipe(NULL, 0);
}

static void copies_are_terminated(void **state)
{
    char *a = mem_strdup("abc");
    char *b = mem_strndup("abcdef", 2);
    char *c = mem_printf("%s-%d", "x", 7);
    int *zeros = mem_array(10, sizeof(int));

    (void)state;
    assert_string_equal(a, "abc");
    assert_string_equal(b, "ab");
    assert_string_equal(c, "x-7");
    assert_int_equal(zeros[9], 0);
    mem_wipe(a, 3);
    assert_memory_equal(a, "\0\0\0", 4);
    mem_free(a);
    mem_free(b);
    mem_free(c);
    mem_free(zeros);
}

static void arenas_align_and_keep_what_they_gave(void **state)
{
    struct arena a;
    char *texts[200];
    size_t i;

    (void)state;
    arena_init(&a, 256);
    for (i = 0; i < 200; i++) {
        texts[i] = arena_printf(&a, "text %zu", i);
        assert_int_equal((uintptr_t)texts[i] % _Alignof(max_align_t), 0);
        if (i % 50 ==
            0) { /* one that gets its own block, while the current one has room */
            char *large = arena_zalloc(&a, 10000);

            assert_int_equal(large[9999], 0);
            memset(large, 'x', 10000);
        }
    }
    for (i = 0; i < 200; i++) {
        char *again = arena_printf(&a, "text %zu", i);

        assert_string_equal(texts[i], again);
    }
    assert_true(a.used > 40000);
    arena_fini(&a);
}

static void a_reset_arena_is_used_again(void **state)
{
    struct arena a;
    void *first;
    int i;

    (void)state;
    arena_init(&a, 0);
    arena_reset(&a); /* before any use */
    first = arena_alloc(&a, 10);
    for (i = 0; i < 100; i++) {
        (void)arena_alloc(&a, 3000);
        (void)arena_alloc(&a, 5000);
        arena_reset(&a);
        assert_int_equal(a.used, 0);
    }
    assert_non_null(first);
    assert_string_equal(arena_strndup(&a, "abc", 2), "ab");
    assert_string_equal(arena_strndup(&a, NULL, 0), "");
    arena_fini(&a);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_returns_null),
        cmocka_unit_test(copies_are_terminated),
        cmocka_unit_test(arenas_align_and_keep_what_they_gave),
        cmocka_unit_test(a_reset_arena_is_used_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
