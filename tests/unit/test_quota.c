/* The quota in virtual time: never more than the limit in any 60 s, and nearly all of it
 * when there is work. */
#include <string.h>

#include "base/mem.h"
#include "front/quota.h"
#include "support.h"

#define WINDOW 60000

static struct http_head head(int status, int64_t limit, int64_t remaining)
{
    return (struct http_head){.status = status,
                              .limit = limit,
                              .remaining = remaining,
                              .reset = -1,
                              .retry_after = -1};
}

/* One that has had its first answer, at time `now`; that answer's ticket is back at
 * now + 60 s. */
static struct quota *started(struct quota_options o, int owned, int all, int64_t limit,
                             int64_t now)
{
    struct quota *q = quota_new(&o);
    struct http_head h = head(200, limit, -1);

    quota_assign(q, owned, all, now);
    assert_int_equal(quota_may(q, QUOTA_HIGH, now), now);
    quota_answered(q, quota_sent(q, QUOTA_HIGH, now), true, &h, now);
    return q;
}

static int64_t tickets(const struct quota *q, int64_t now)
{
    struct quota_view v;

    quota_view(q, now, &v);
    return v.tickets;
}

static int64_t used(const struct quota *q, int64_t now)
{
    struct quota_view v;

    quota_view(q, now, &v);
    return v.used;
}

static void the_first_request_goes_alone(void **state)
{
    (void)state;
    struct quota_options o = {100, 0};
    struct quota *q = quota_new(&o);
    struct http_head ok = head(200, 100, 99);

    assert_int_equal(quota_may(q, QUOTA_HIGH, 5), INT64_MAX); /* nothing owned */
    quota_assign(q, 12, 12, 5);
    assert_int_equal(quota_may(q, QUOTA_NORMAL, 5), 5);
    uint64_t lost = quota_sent(q, QUOTA_NORMAL, 5);
    for (int c = 0; c < QUOTA_CLASSES; c++)
        assert_int_equal(quota_may(q, (enum quota_class)c, 1000), INT64_MAX);
    quota_answered(q, lost, true, NULL, 30000); /* still nothing is known */
    assert_int_equal(quota_may(q, QUOTA_NORMAL, 30000), 30000);
    uint64_t second = quota_sent(q, QUOTA_NORMAL, 30000);
    assert_int_equal(quota_may(q, QUOTA_HIGH, 40000), INT64_MAX);
    quota_answered(q, second, true, &ok, 40000);
    assert_int_equal(quota_may(q, QUOTA_NORMAL, 40000), 40000);
    quota_free(q);
}

static void asking_changes_nothing_and_times_returned_are_later(void **state)
{
    (void)state;
    struct quota *q = started((struct quota_options){0, 0}, 12, 12, 50, 1000);

    int64_t at = quota_may(q, QUOTA_NORMAL, 1000);
    assert_int_equal(at, 1000 + 1200 - 50);
    assert_int_equal(quota_may(q, QUOTA_NORMAL, 1500), at);
    assert_int_equal(quota_may(q, QUOTA_NORMAL, at - 1), at);
    assert_int_equal(quota_may(q, QUOTA_NORMAL, at), at);
    assert_int_equal(quota_may(q, QUOTA_NORMAL, 9000), 9000);
    quota_free(q);
}

/* Who comes late catches up by the slack (50 ms) only: idleness is no credit. */
static void no_burst_after_idleness(void **state)
{
    (void)state;
    struct quota *q = started((struct quota_options){0, 0}, 1, 1, 60, 0);

    (void)quota_sent(q, QUOTA_NORMAL, 500000);
    assert_int_equal(quota_may(q, QUOTA_NORMAL, 500000), 500950);
    (void)quota_sent(q, QUOTA_NORMAL, 500950);
    assert_int_equal(quota_may(q, QUOTA_NORMAL, 500950), 501950);
    quota_free(q);
}

/* The pace of the whole limit, though the share is a quarter. */
static void high_goes_ahead_of_the_pace(void **state)
{
    (void)state;
    struct quota *q = started((struct quota_options){0, 0}, 3, 12, 100, 0);

    assert_int_equal(tickets(q, 0), 25);
    (void)quota_sent(q, QUOTA_NORMAL, 100000);
    assert_int_equal(quota_may(q, QUOTA_NORMAL, 100000), 100000 + 2400 - 50);
    assert_int_equal(quota_may(q, QUOTA_LOW, 100000), 100000 + 2400 - 50);
    assert_int_equal(quota_may(q, QUOTA_HIGH, 100000), 100000 + 600 - 50);
    for (int i = 1; i <= 5; i++) {
        assert_int_equal(quota_may(q, QUOTA_HIGH, 100000 + i * 600), 100000 + i * 600);
        (void)quota_sent(q, QUOTA_HIGH, 100000 + i * 600);
    }
    /* five that jumped the queue delay the next normal one by one gap each at the most */
    int64_t at = quota_may(q, QUOTA_NORMAL, 103000);
    assert_true(at > 103000 && at <= 103000 + 2 * 2400);
    quota_free(q);
}

static void shares_never_add_up_to_more_than_the_limit(void **state)
{
    (void)state;
    static const int64_t limits[] = {1, 7, 50, 100, 120, 200, 1000, 10000000};

    for (size_t l = 0; l < COUNT(limits); l++)
        for (int all = 1; all <= 24; all++) {
            int64_t sum = 0;
            for (int owned = 1, left = all; left > 0; left -= owned, owned++) {
                int take = owned < left ? owned : left;
                struct quota *q =
                    started((struct quota_options){0, 0}, all, all, limits[l], 0);
                quota_assign(q, take, all, 1);
                sum += tickets(q, 1);
                quota_free(q);
            }
            assert_true(sum <= limits[l]);
        }
}

static void the_limit_comes_from_header_settings_or_fifty(void **state)
{
    (void)state;
    static const struct {
        struct quota_options o;
        int64_t header, tickets;
    } rows[] = {{{0, 0}, 100, 100},
                {{0, 0}, -1, 50},
                {{0, 0}, 0, 50},
                {{30, 0}, 100, 30},
                {{300, 0}, 100, 100},
                {{80, 0}, -1, 80},
                {{0, 20}, 100, 80},
                {{90, 20}, 100, 80},
                {{70, 20}, 100, 70},
                {{0, 99}, 50, 1},
                {{0, 0}, INT64_MAX, 1000000000}};

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct quota *q = started(rows[i].o, 4, 4, rows[i].header, 0);
        assert_int_equal(tickets(q, 0), rows[i].tickets);
        quota_free(q);
    }
}

static void a_lowered_limit_is_obeyed_and_a_raised_one_used(void **state)
{
    (void)state;
    struct quota *q = started((struct quota_options){0, 0}, 1, 1, 100, 0);
    struct http_head lower = head(200, 50, 10), higher = head(200, 200, 150);
    int64_t now = 0;
    uint64_t last = 0;

    for (int i = 0; i < 80; i++) {
        now = quota_may(q, QUOTA_NORMAL, now);
        last = quota_sent(q, QUOTA_NORMAL, now);
        quota_answered(q, last, true, NULL, now);
    }
    last = quota_sent(q, QUOTA_NORMAL, now);
    quota_answered(q, last, true, &lower, now);
    assert_int_equal(tickets(q, now), 50);
    int64_t at = quota_may(q, QUOTA_NORMAL, now);
    assert_true(at > now && used(q, at) < 50 + 1);
    last = quota_sent(q, QUOTA_NORMAL, at);
    quota_answered(q, last, true, &higher, at);
    assert_int_equal(quota_may(q, QUOTA_NORMAL, at), at + 300 - 50);
    /* an older request's answer, come late, does not bring the old limit back */
    uint64_t older = quota_sent(q, QUOTA_NORMAL, at + 300);
    uint64_t newer = quota_sent(q, QUOTA_NORMAL, at + 600);
    quota_answered(q, newer, true, &higher, at + 700);
    quota_answered(q, older, true, &lower, at + 800);
    assert_int_equal(tickets(q, at + 800), 200);
    quota_free(q);
}

static void a_ticket_never_sent_comes_back_at_once(void **state)
{
    (void)state;
    struct quota *q = started((struct quota_options){0, 0}, 1, 1, 50, 1000);
    uint64_t t = quota_sent(q, QUOTA_LOW, 5000);

    assert_int_equal(used(q, 5000), 2);
    quota_answered(q, t, false, NULL, 6000);
    assert_int_equal(used(q, 6000), 1);
    assert_int_equal(used(q, 60999), 1);
    assert_int_equal(used(q, 61000), 0);
    quota_free(q);
}

/* An answer that never comes keeps its ticket: with one ticket nothing goes any more. */
static void an_unanswered_request_keeps_its_ticket(void **state)
{
    (void)state;
    struct quota *q = started((struct quota_options){1, 0}, 1, 1, 50, 0);

    assert_int_equal(quota_may(q, QUOTA_HIGH, 100), 60000);
    uint64_t t = quota_sent(q, QUOTA_HIGH, 60000);
    assert_int_equal(quota_may(q, QUOTA_HIGH, 1000000), INT64_MAX);
    quota_answered(q, t, true, NULL, 1000000);
    assert_int_equal(quota_may(q, QUOTA_HIGH, 1000000), 1060000);
    quota_free(q);
}

static void a_429_of_the_plan_blocks_and_a_guards_does_not(void **state)
{
    (void)state;
    static const struct {
        int64_t remaining;
        const char *tier;
        double retry_after;
        int64_t wait_ms; /* 0: not blocked */
    } rows[] = {{0, "", -1, 1000}, {-1, "", -1, 1000},  {0, "", 0, 1000},
                {0, "", 7, 7000},  {0, "", 0.341, 341}, {0, "", 1e18, 600000},
                {0, "2", 7, 0},    {12, "", 7, 0},      {12, "2", -1, 0}};

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct quota *q = started((struct quota_options){0, 0}, 1, 1, 6000000, 0);
        struct http_head h = head(429, 6000000, rows[i].remaining);
        struct quota_view v;

        memcpy(h.tier, rows[i].tier, strlen(rows[i].tier) + 1);
        h.retry_after = rows[i].retry_after;
        quota_answered(q, quota_sent(q, QUOTA_NORMAL, 90000), true, &h, 90000);
        quota_view(q, 90000, &v);
        assert_int_equal(v.refusals, 1);
        assert_int_equal(v.blocked_until, rows[i].wait_ms ? 90000 + rows[i].wait_ms : 0);
        for (int c = 0; c < QUOTA_CLASSES; c++)
            assert_int_equal(quota_may(q, (enum quota_class)c, 90000),
                             90000 + rows[i].wait_ms);
        quota_view(q, 90000 + 600000, &v);
        assert_int_equal(v.blocked_until, 0);
        quota_free(q);
    }
}

/* A steady backlog in virtual time: `turn_ms` is how late the loop may ask. */
struct run {
    int64_t limit, latency_ms, turn_ms, start_ms;
    int owned, all;
};

static void check_windows(const int64_t *sent, size_t n, int64_t most)
{
    for (size_t i = 0; i + (size_t)most < n; i++)
        assert_true(sent[i + (size_t)most] - sent[i] >= WINDOW);
}

static void one_run(const struct run *r)
{
    enum { MINUTES = 20, OUT = 4096 };
    struct quota *q =
        started((struct quota_options){0, 0}, r->owned, r->all, r->limit, r->start_ms);
    int64_t share = r->limit * r->owned / r->all, now = r->start_ms;
    int64_t end = now + MINUTES * (int64_t)WINDOW;
    int64_t *sent = mem_array((size_t)share * (MINUTES + 2), sizeof *sent);
    struct {
        uint64_t ticket;
        int64_t at;
    } out[OUT];
    size_t n = 0, head_of = 0, tail = 0;
    uint32_t random = 12345;

    while (now < end) {
        for (; head_of < tail && out[head_of % OUT].at <= now; head_of++)
            quota_answered(q, out[head_of % OUT].ticket, true, NULL, now);
        enum quota_class c = n % 3 == 0 ? QUOTA_HIGH : QUOTA_NORMAL;
        int64_t at = quota_may(q, c, now);
        if (at <= now) {
            assert_true(tail - head_of < OUT);
            out[tail % OUT].ticket = quota_sent(q, c, now);
            out[tail++ % OUT].at = now + r->latency_ms;
            sent[n++] = now;
            assert_true(used(q, now) <= share);
            continue;
        }
        if (head_of < tail && out[head_of % OUT].at < at)
            at = out[head_of % OUT].at;
        assert_true(at != INT64_MAX && at > now);
        random = random * 1664525 + 1013904223;
        now = at + (r->turn_ms ? (int64_t)(random >> 8) % r->turn_ms : 0);
    }
    check_windows(sent, n, share);
    /* what can go at the best: a ticket is out for a round trip and 60 s */
    double best = (double)share * MINUTES * WINDOW / (double)(WINDOW + r->latency_ms);
    assert_true((double)n >= 0.98 * best);
    mem_free(sent);
    quota_free(q);
}

static void never_over_the_limit_and_nearly_all_of_it(void **state)
{
    (void)state;
    static const struct run rows[] = {
        {50, 0, 0, 0, 1, 1},           {50, 200, 0, 7, 12, 12},
        {50, 200, 20, 1000, 1, 1},     {100, 300, 0, 0, 12, 12},
        {100, 250, 10, 59999, 12, 12}, {200, 200, 0, 123, 12, 12},
        {200, 300, 5, 9, 1, 1},        {200, 100, 0, 0, 5, 12},
        {1200, 200, 3, 77, 1, 1},      {6000, 150, 2, 77, 1, 1},
        {50, 20000, 0, 3, 1, 1}};

    for (size_t i = 0; i < COUNT(rows); i++)
        one_run(&rows[i]);
}

/* Ten million a minute: what is due since the last turn goes in one turn, and no second
 * has less than 100,000 of it. */
static void a_large_limit_is_no_brake(void **state)
{
    (void)state;
    static const int64_t turns_ms[] = {1, 3, 10, 40};

    for (size_t i = 0; i < COUNT(turns_ms); i++) {
        struct quota *q = started((struct quota_options){0, 0}, 12, 12, 10000000, 5000);
        struct http_head ok = head(200, 10000000, 9000000);
        int64_t n = 0, in_turn = 0;

        for (int64_t now = 6000; now < 9000; now += turns_ms[i]) {
            for (in_turn = 0; quota_may(q, QUOTA_NORMAL, now) <= now; in_turn++)
                quota_answered(q, quota_sent(q, QUOTA_NORMAL, now), true, &ok, now);
            assert_true(in_turn <= 10000000 / 60 * 51 / 1000);
            n += in_turn;
        }
        assert_true(n >= 3 * 100000);
        assert_true(n <= 3 * 170000 + 8400);
        quota_free(q);
    }
}

static void partitions_come_and_go(void **state)
{
    (void)state;
    struct quota *q = started((struct quota_options){0, 0}, 12, 12, 60, 0);
    int64_t now = 0;

    for (int i = 0; i < 40; i++) {
        now = quota_may(q, QUOTA_NORMAL, now);
        quota_answered(q, quota_sent(q, QUOTA_NORMAL, now), true, NULL, now);
    }
    quota_assign(q, 3, 12, now);
    assert_int_equal(tickets(q, now), 15);
    int64_t at = quota_may(q, QUOTA_HIGH, now); /* 41 used: waits until 14 are left */
    assert_true(at > now && used(q, at) <= 14 && used(q, at - 51) > 14);
    quota_assign(q, 0, 12, now);
    assert_int_equal(quota_may(q, QUOTA_HIGH, now), INT64_MAX);
    quota_assign(q, 12, 12, now);
    assert_true(quota_may(q, QUOTA_HIGH, now) <= now + 1000);
    quota_free(q);
}

static void the_view_and_the_string(void **state)
{
    (void)state;
    struct quota *q = started((struct quota_options){0, 0}, 1, 1, 50, 0);
    struct http_head h = head(200, 50, 41);
    struct quota_view v;
    char text[40] = "x";

    h.reset = 1700000000.5;
    quota_answered(q, quota_sent(q, QUOTA_LOW, 1200), true, &h, 1300);
    quota_view(q, 1300, &v);
    assert_int_equal(v.limit, 50);
    assert_int_equal(v.remaining, 41);
    assert_true(v.reset > 1700000000.4 && v.reset < 1700000000.6);
    assert_int_equal(v.spent[QUOTA_HIGH], 1);
    assert_int_equal(v.spent[QUOTA_NORMAL], 0);
    assert_int_equal(v.spent[QUOTA_LOW], 1);
    assert_int_equal(quota_string(q, 0, 0, text), 0);
    assert_string_equal(text, "");
    quota_free(q);
    quota_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_request_goes_alone),
        cmocka_unit_test(asking_changes_nothing_and_times_returned_are_later),
        cmocka_unit_test(no_burst_after_idleness),
        cmocka_unit_test(high_goes_ahead_of_the_pace),
        cmocka_unit_test(shares_never_add_up_to_more_than_the_limit),
        cmocka_unit_test(the_limit_comes_from_header_settings_or_fifty),
        cmocka_unit_test(a_lowered_limit_is_obeyed_and_a_raised_one_used),
        cmocka_unit_test(a_ticket_never_sent_comes_back_at_once),
        cmocka_unit_test(an_unanswered_request_keeps_its_ticket),
        cmocka_unit_test(a_429_of_the_plan_blocks_and_a_guards_does_not),
        cmocka_unit_test(never_over_the_limit_and_nearly_all_of_it),
        cmocka_unit_test(a_large_limit_is_no_brake),
        cmocka_unit_test(partitions_come_and_go),
        cmocka_unit_test(the_view_and_the_string),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
