/* The heap of deadlines, with times that nobody waits for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/timers.h"

struct item {
    struct timer timer; /* first: found by cast */
    struct timers *ts;
    int fired;
    int64_t again_ms; /* sets itself again for this; -1: not */
    struct item *kills;
};

static int64_t last_due_ms;

static void on_fire(struct timer *t)
{
    struct item *it = (struct item *)t;

    assert_false(timer_is_set(t));
    assert_true(t->due_ms >= last_due_ms); /* in order */
    last_due_ms = t->due_ms;
    it->fired++;
    if (it->again_ms >= 0)
        timer_set(it->ts, t, it->again_ms);
    if (it->kills != NULL)
        timer_cancel(it->ts, &it->kills->timer);
}

static struct item item_of(struct timers *ts)
{
    return (struct item){.timer = {.fire = on_fire}, .ts = ts, .again_ms = -1};
}

static void they_fire_in_order_when_due(void **state)
{
    enum { N = 500 };
    struct timers ts;
    static struct item items[N];
    unsigned seed = 1;
    int64_t now;
    size_t i;

    (void)state;
    timers_init(&ts);
    assert_true(timers_next(&ts) == INT64_MAX);
    for (i = 0; i < N; i++) {
        seed = seed * 1103515245 + 12345;
        items[i] = item_of(&ts);
        timer_set(&ts, &items[i].timer, seed / 65536 % 1000);
    }
    for (i = 0; i < N; i += 3)
        timer_cancel(&ts, &items[i].timer);
    for (i = 1; i < N; i += 3) {
        seed = seed * 1103515245 + 12345;
        timer_set(&ts, &items[i].timer, seed / 65536 % 1000); /* moves it */
    }
    last_due_ms = 0;
    for (now = 0; now <= 1000; now += 10) {
        (void)timers_run(&ts, now);
        assert_true(timers_next(&ts) > now);
    }
    for (i = 0; i < N; i++)
        assert_int_equal(items[i].fired, i % 3 == 0 ? 0 : 1);
    timers_fini(&ts);
}

static void one_that_sets_itself_again_waits_for_the_next_run(void **state)
{
    struct timers ts;
    struct item a, b;
    int i;

    (void)state;
    timers_init(&ts);
    a = item_of(&ts);
    b = item_of(&ts);
    a.again_ms = 5; /* in the past of every run */
    timer_set(&ts, &a.timer, 5);
    timer_set(&ts, &b.timer, 8);
    for (i = 1; i <= 3; i++) {
        last_due_ms = 0;
        assert_int_equal(timers_run(&ts, 10), i == 1 ? 2 : 1);
        assert_int_equal(a.fired, i);
        assert_true(timers_next(&ts) == 5);
    }
    assert_int_equal(b.fired, 1);
    timers_fini(&ts);
    assert_false(timer_is_set(&a.timer));
}

static void one_may_cancel_another_that_is_due(void **state)
{
    struct timers ts;
    struct item a, b;

    (void)state;
    timers_init(&ts);
    a = item_of(&ts);
    b = item_of(&ts);
    a.kills = &b;
    timer_set(&ts, &a.timer, 1);
    timer_set(&ts, &b.timer, 1);
    timer_set(&ts, &b.timer, 2);
    last_due_ms = 0;
    assert_int_equal(timers_run(&ts, 2), 1);
    assert_int_equal(b.fired, 0);
    timer_cancel(&ts, &b.timer); /* twice is fine */
    assert_int_equal(timers_run(&ts, 2), 0);
    timers_fini(&ts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_fire_in_order_when_due),
        cmocka_unit_test(one_that_sets_itself_again_waits_for_the_next_run),
        cmocka_unit_test(one_may_cancel_another_that_is_due),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
