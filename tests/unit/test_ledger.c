/* The ledger: what a commit's string says, and what a successor makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/ledger.h"

static struct str string_of(const struct ledger *lg, char out[LEDGER_STRING_MAX])
{
    return (struct str){out, ledger_string(lg, 60000, "", out)};
}

static void start(struct ledger *lg, int64_t line)
{
    struct err e = ERR_INIT;
    int64_t lease = 0;
    ledger_init(lg, 2048);
    assert_int_equal(ledger_restore(lg, line, STR_NULL, &lease, &e), 0);
}

static void finish(struct ledger *lg, int64_t offset)
{
    ledger_finish(lg, offset);
    ledger_done(lg, offset);
}

static void line_stops_at_the_lowest_unfinished(void **state)
{
    (void)state;
    struct ledger lg;
    start(&lg, 100);
    for (int64_t o = 100; o < 110; o++)
        assert_int_equal(ledger_deliver(&lg, o), LEDGER_NEW);
    finish(&lg, 101);
    finish(&lg, 102);
    assert_int_equal(lg.line, 100);
    finish(&lg, 100);
    assert_int_equal(lg.line, 103);
    ledger_fini(&lg);
}

static void never_delivered_offsets_count_as_done(void **state)
{
    (void)state;
    struct ledger lg;
    start(&lg, 0);
    assert_int_equal(ledger_deliver(&lg, 0), LEDGER_NEW);
    assert_int_equal(ledger_deliver(&lg, 5), LEDGER_NEW);
    finish(&lg, 0);
    assert_int_equal(lg.line, 5);
    finish(&lg, 5);
    assert_int_equal(lg.line, 6);
    ledger_fini(&lg);
}

static void successor_skips_done_and_doubts_armed(void **state)
{
    (void)state;
    struct ledger a, b;
    char text[LEDGER_STRING_MAX];
    struct err e = ERR_INIT;
    int64_t lease = 0;
    start(&a, 1000);
    for (int64_t o = 1000; o < 1020; o++)
        ledger_deliver(&a, o);
    ledger_arm(&a, 1003, 1700000000);
    finish(&a, 1001);
    ledger_finish(&a, 1007);
    struct str s = string_of(&a, text);
    assert_int_equal(ledger_next_line(&a), 1000);
    ledger_init(&b, 2048);
    assert_int_equal(ledger_restore(&b, 1000, s, &lease, &e), 0);
    assert_int_equal(lease, 60000);
    for (int64_t o = 1000; o < 1020; o++) {
        enum ledger_intake want = o == 1001 || o == 1007 ? LEDGER_DONE_BEFORE
                                  : o == 1003            ? LEDGER_IN_DOUBT
                                                         : LEDGER_NEW;
        assert_int_equal(ledger_deliver(&b, o), want);
    }
    ledger_fini(&a);
    ledger_fini(&b);
}

static void aborted_tick_leaves_nothing_behind(void **state)
{
    (void)state;
    struct ledger lg;
    char before[LEDGER_STRING_MAX], after[LEDGER_STRING_MAX];
    start(&lg, 0);
    for (int64_t o = 0; o < 4; o++)
        ledger_deliver(&lg, o);
    ledger_arm(&lg, 2, 1700000000);
    string_of(&lg, before);
    ledger_finish(&lg, 0);
    ledger_finish(&lg, 2);
    assert_int_equal(ledger_next_line(&lg), 1);
    ledger_unfinish(&lg, 0);
    ledger_unfinish(&lg, 2);
    string_of(&lg, after);
    assert_string_equal(before, after);
    ledger_fini(&lg);
}

static void line_does_not_pass_what_a_running_tick_carries(void **state)
{
    (void)state;
    struct ledger lg;
    start(&lg, 0);
    for (int64_t o = 0; o < 4; o++)
        ledger_deliver(&lg, o);
    ledger_finish(&lg, 0);
    finish(&lg, 1);
    assert_int_equal(lg.line, 0);
    assert_int_equal(ledger_next_line(&lg), 2);
    ledger_unfinish(&lg, 0);
    assert_int_equal(ledger_next_line(&lg), 0);
    ledger_fini(&lg);
}

static void window_is_a_hard_bound(void **state)
{
    (void)state;
    struct ledger lg;
    start(&lg, 10);
    assert_int_equal(ledger_deliver(&lg, 10), LEDGER_NEW);
    assert_int_equal(ledger_deliver(&lg, 10 + 2047), LEDGER_NEW);
    assert_int_equal(ledger_deliver(&lg, 10 + 2048), LEDGER_FULL);
    finish(&lg, 10);
    assert_int_equal(ledger_deliver(&lg, 10 + 2048), LEDGER_NEW);
    ledger_fini(&lg);
}

/* The longest string there can be: a full window, as many armed as may be. */
static size_t longest_string(int64_t window, char text[LEDGER_STRING_MAX])
{
    struct ledger lg;
    struct err e = ERR_INIT;
    int64_t lease = 0, line = 1000000000000000;
    char quota[38];
    memset(quota, 'z', 37);
    quota[37] = 0;
    ledger_init(&lg, window);
    assert_int_equal(ledger_restore(&lg, line, STR_NULL, &lease, &e), 0);
    for (int64_t o = 0; o < window; o++)
        assert_int_equal(ledger_deliver(&lg, line + o), LEDGER_NEW);
    for (int64_t o = 1; o < window - LEDGER_ARMED_MAX; o++)
        finish(&lg, line + o);
    for (int64_t o = window - LEDGER_ARMED_MAX; o < window - 1; o++)
        ledger_arm(&lg, line + o, 0xffffffff);
    finish(&lg, line + window - 1);
    ledger_arm(&lg, line, 0xffffffff);
    assert_false(ledger_may_arm(&lg));
    size_t n = ledger_string(&lg, INT32_MAX, quota, text);
    ledger_fini(&lg);
    return n;
}

static void longest_string_fits(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct ledger_image im;
    char text[LEDGER_STRING_MAX];
    size_t n = longest_string(LEDGER_WINDOW_MAX, text);
    assert_true(n < LEDGER_STRING_MAX);
    int64_t line = 1000000000000000;
    assert_int_equal(ledger_read(line, (struct str){text, n}, &im, &e), 0);
    assert_int_equal(im.n_armed, LEDGER_ARMED_MAX);
    assert_true(ledger_image_done(&im, line + LEDGER_WINDOW_MAX - 1));
    assert_false(ledger_image_done(&im, line));
}

static void the_window_is_what_the_brokers_take(void **state)
{
    (void)state;
    char text[LEDGER_STRING_MAX];
    assert_int_equal(ledger_window_for(4096), LEDGER_WINDOW_MAX);
    assert_int_equal(ledger_window_for(1000), 0);
    for (int64_t bytes = 1950; bytes < 3500; bytes += 7) {
        int64_t window = ledger_window_for(bytes);
        if (window > LEDGER_ARMED_MAX)
            assert_in_range(longest_string(window, text), 0, bytes);
    }
}

static void damaged_strings_are_refused(void **state)
{
    (void)state;
    struct ledger lg;
    struct ledger_image im;
    char text[LEDGER_STRING_MAX];
    start(&lg, 0);
    for (int64_t o = 0; o < 40; o++)
        ledger_deliver(&lg, o);
    finish(&lg, 17);
    ledger_arm(&lg, 3, 1700000000);
    struct str s = string_of(&lg, text);
    for (size_t i = 0; i < s.len; i++) {
        struct err e = ERR_INIT;
        text[i] ^= 1;
        assert_int_equal(ledger_read(0, s, &im, &e), -1);
        assert_int_equal(e.kind, ERR_INPUT);
        text[i] ^= 1;
    }
    for (size_t n = 1; n < s.len; n++) {
        struct err e = ERR_INIT;
        assert_int_equal(ledger_read(0, (struct str){text, n}, &im, &e), -1);
    }
    struct err e = ERR_INIT;
    assert_int_equal(ledger_read(0, STR_LIT("another tool"), &im, &e), -1);
    ledger_fini(&lg);
}

/* A thousand random lives against a model that keeps one flag per offset. */
static void random_lives_match_a_model(void **state)
{
    (void)state;
    enum { N = 300 };
    srand(7);
    for (int life = 0; life < 1000; life++) {
        char model[N] = {0}; /* 0 absent, w waiting, a armed, d done */
        struct ledger lg;
        int64_t top = 0;
        start(&lg, 0);
        for (int step = 0; step < 200; step++) {
            int64_t o = rand() % N;
            if (rand() % 3 == 0 && top + 3 < N) {
                top += rand() % 3;
                assert_int_equal(ledger_deliver(&lg, top), LEDGER_NEW);
                model[top++] = 'w';
            } else if (o < top && model[o] == 'w' && rand() % 2 && ledger_may_arm(&lg)) {
                ledger_arm(&lg, o, 1 + o);
                model[o] = 'a';
            } else if (o < top && (model[o] == 'w' || model[o] == 'a')) {
                finish(&lg, o);
                model[o] = 'd';
            }
        }
        int64_t line = 0;
        while (line < top && (model[line] == 'd' || model[line] == 0))
            line++;
        assert_int_equal(lg.line, line);
        char text[LEDGER_STRING_MAX];
        struct ledger_image im;
        struct err e = ERR_INIT;
        assert_int_equal(ledger_read(line, string_of(&lg, text), &im, &e), 0);
        for (int64_t o = line; o < top; o++) {
            assert_int_equal(ledger_image_done(&im, o), model[o] == 'd' || model[o] == 0);
            assert_int_equal(ledger_image_armed(&im, o), model[o] == 'a');
        }
        ledger_fini(&lg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line_stops_at_the_lowest_unfinished),
        cmocka_unit_test(never_delivered_offsets_count_as_done),
        cmocka_unit_test(successor_skips_done_and_doubts_armed),
        cmocka_unit_test(aborted_tick_leaves_nothing_behind),
        cmocka_unit_test(line_does_not_pass_what_a_running_tick_carries),
        cmocka_unit_test(window_is_a_hard_bound),
        cmocka_unit_test(longest_string_fits),
        cmocka_unit_test(the_window_is_what_the_brokers_take),
        cmocka_unit_test(damaged_strings_are_refused),
        cmocka_unit_test(random_lives_match_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
