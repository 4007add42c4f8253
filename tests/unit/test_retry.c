/* Retry or final: the table of the design, row by row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/retry.h"

static const struct retry_policy policy = {
    .max_attempts = 8, .max_ms = 900000, .backoff_ms = 500, .backoff_max_ms = 60000};

static struct retry_case base(enum op_class klass, enum verdict verdict)
{
    return (struct retry_case){.klass = klass,
                               .verdict = verdict,
                               .attempts = 1,
                               .tries = 1,
                               .first_try_ms = 1000,
                               .now_ms = 2000,
                               .deadline_ms = INT64_MAX,
                               .random = 499};
}

static void verdicts_decide_by_class(void **state)
{
    (void)state;
    static const struct {
        enum verdict verdict;
        enum retry_answer repeatable, not_repeatable;
    } rows[] = {
        {REPLY_DONE, RETRY_FINAL, RETRY_FINAL},
        {REPLY_REFUSED, RETRY_FINAL, RETRY_FINAL},
        {REPLY_LIMITED, RETRY_WAIT, RETRY_WAIT},
        {REPLY_BROKEN, RETRY_WAIT, RETRY_DOUBT},
        {REPLY_LOST, RETRY_WAIT, RETRY_DOUBT},
        {REPLY_NOT_SENT, RETRY_WAIT, RETRY_WAIT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int k = CLASS_A; k <= CLASS_D; k++) {
            struct retry_case c = base((enum op_class)k, rows[i].verdict);
            enum retry_answer want =
                k <= CLASS_B ? rows[i].repeatable : rows[i].not_repeatable;
            assert_int_equal(retry_decide(&policy, &c).answer, want);
        }
    }
}

static void attempts_and_time_end_it(void **state)
{
    (void)state;
    struct retry_case c = base(CLASS_A, REPLY_BROKEN);
    c.attempts = 8;
    assert_int_equal(retry_decide(&policy, &c).answer, RETRY_EXHAUSTED);
    c = base(CLASS_A, REPLY_LOST);
    c.now_ms = c.first_try_ms + 900001;
    assert_int_equal(retry_decide(&policy, &c).answer, RETRY_EXHAUSTED);
    c = base(CLASS_A, REPLY_LOST);
    c.deadline_ms = c.now_ms;
    assert_int_equal(retry_decide(&policy, &c).answer, RETRY_EXHAUSTED);
}

static void limits_and_unsent_tries_are_no_attempts(void **state)
{
    (void)state;
    struct retry_case c = base(CLASS_C, REPLY_LIMITED);
    c.attempts = 100;
    assert_int_equal(retry_decide(&policy, &c).answer, RETRY_WAIT);
    c.verdict = REPLY_NOT_SENT;
    assert_int_equal(retry_decide(&policy, &c).answer, RETRY_WAIT);
}

static void backoff_doubles_and_is_capped(void **state)
{
    (void)state;
    struct retry_case c = base(CLASS_A, REPLY_BROKEN);
    int64_t top = 500;
    for (c.tries = 1; c.tries < 20; c.tries++) {
        c.random = (uint32_t)top; /* the largest delay this try can get */
        assert_int_equal(retry_decide(&policy, &c).at_ms, c.now_ms + top);
        c.random = (uint32_t)top + 1;
        assert_int_equal(retry_decide(&policy, &c).at_ms, c.now_ms);
        top = top * 2 > 60000 ? 60000 : top * 2;
    }
}

static void lost_body_is_read_again_only_where_it_is_safe(void **state)
{
    (void)state;
    for (int k = CLASS_A; k <= CLASS_D; k++) {
        struct retry_case c = base((enum op_class)k, REPLY_DONE);
        c.body_lost = true;
        assert_int_equal(retry_decide(&policy, &c).answer,
                         k <= CLASS_B ? RETRY_WAIT : RETRY_FINAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_decide_by_class),
        cmocka_unit_test(attempts_and_time_end_it),
        cmocka_unit_test(limits_and_unsent_tries_are_no_attempts),
        cmocka_unit_test(backoff_doubles_and_is_capped),
        cmocka_unit_test(lost_body_is_read_again_only_where_it_is_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
