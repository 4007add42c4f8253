/* Calls in doubt where something else comes between: a clock that is set, another command
 * of the same text or the same id, a record that a topic refuses. Found by the simulator.
 */
#include "play.h"

#include <stdio.h>
#include <string.h>

#include "codec/records/result.h"
#include "engine/ledger.h"

/* The clock of the tests stands at second 1000 when they start. */
#define ROW(id) "{\"id\":\"" id "\",\"posted_at\":1001,\"author\":null,\"body\":\"hi\"}"
#define LIST(rows) "{\"_pagination\":{\"next\":null},\"_results\":[" rows "]}"
#define WITH_ID                                                                          \
    "{\"command_id\":\"me\",\"operation\":\"add-comment\",\"params\":"                   \
    "{\"conversation_id\":\"cnv_1\"},\"body\":{\"body\":\"hi\"}}"

/* Until this many requests run: ticks are let through. */
static void until_calls(struct play *p, size_t n)
{
    for (int i = 0; i < 20 && p->n_calls < n; i++)
        if (p->tick != NULL)
            end_tick(p, TICK_COMMITTED);
        else
            turn(p);
    assert_int_equal(p->n_calls, n);
}

static void wait_ms(struct play *p, int64_t ms)
{
    p->now += ms;
    turn(p);
    if (p->tick != NULL && p->tick->n_outputs == 0)
        end_tick(p, TICK_COMMITTED);
}

/* The command with a header. */
static void command_with(struct play *p, int64_t offset, const char *text,
                         const char *name, const char *value)
{
    struct kafka_header header = {str_of(name), str_of(value)};
    struct kafka_event ev = {.type = KAFKA_RECORD};
    ev.record = (struct kafka_record){.at = p->part,
                                      .offset = offset,
                                      .timestamp_ms = p->now,
                                      .key = STR_LIT("k"),
                                      .value = str_of(text),
                                      .headers = &header,
                                      .n_headers = 1};
    push(p, ev);
    turn(p);
}

/* The next result; its tick is left as it is. */
static struct result result_shown(struct play *p, struct arena *a)
{
    struct result res;
    struct err e = ERR_INIT;
    for (int i = 0; i < 10 && (p->tick == NULL || p->tick->n_outputs == 0); i++)
        if (p->tick != NULL)
            end_tick(p, TICK_COMMITTED);
        else
            turn(p);
    assert_non_null(p->tick);
    assert_true(p->tick->n_outputs > 0);
    assert_int_equal(result_decode(p->ss, p->tick->outputs[0].value, a, &res, &e), 0);
    return res;
}

static void look(struct play *p, const char *rows)
{
    assert_int_equal(p->n_calls, 1);
    assert_int_equal(p->calls[0]->method, HTTP_GET);
    assert_true(answer(p, 200, rows));
    turn(p);
}

/* What the call made would be taken for older than its arming, and made once more. */
static void the_second_of_an_arming_is_fronts_whatever_is_done_to_our_clock(void **state)
{
    struct play *p = play_new();
    char want[40];
    *state = p;
    p->front_date = p->now + 5000;
    play_start(p);
    p->wall_jump = 90000;
    command(p, 0, "k", post);
    until_calls(p, 1);
    p->now += SESSION_MS / 3 + 1;
    turn(p);
    snprintf(want, sizeof want, ";a=0+%llx;", (long long)(p->front_date / 1000));
    assert_non_null(p->tick);
    struct str s = p->tick->offsets[0].metadata;
    assert_non_null(memmem(s.ptr, s.len, want, strlen(want)));
}

/* One of the two made it, and nobody can tell which. */
static void a_row_that_another_open_doubt_may_have_made_is_nobodys(void **state)
{
    struct play *p = *state;
    struct arena a;
    arena_init(&a, 0);
    command(p, 0, "k", post);
    command(p, 1, "another key", post);
    until_calls(p, 2);
    lose(p, HTTP_LOST, 0);
    lose(p, HTTP_LOST, 0);
    p->options.max_in_flight = 1;
    for (int i = 0; i < 40 && (p->tick == NULL || p->tick->n_outputs == 0); i++) {
        wait_ms(p, 5000);
        while (p->n_calls > 0) {
            assert_int_equal(p->calls[0]->method, HTTP_GET);
            assert_true(answer(p, 200, LIST(ROW("com_1"))));
        }
    }
    assert_int_equal(result_shown(p, &a).outcome, IN_DOUBT);
    arena_fini(&a);
}

/* The first was only reported, or its answer did not say: what is there may be its own.
 */
static void a_row_is_nobodys(struct play *p, enum http_end first)
{
    struct arena a;
    arena_init(&a, 0);
    command_with(p, 0, post, "on-in-doubt", "report");
    until_calls(p, 1);
    lose(p, first, first == HTTP_LOST ? 0 : 201);
    assert_int_equal(result_shown(p, &a).outcome,
                     first == HTTP_LOST ? IN_DOUBT : SUCCEEDED);
    end_tick(p, TICK_COMMITTED);
    command(p, 1, "k", post);
    until_calls(p, 1);
    lose(p, HTTP_LOST, 0);
    wait_ms(p, 10000);
    look(p, LIST(ROW("com_1")));
    for (int i = 0; i < 40 && (p->tick == NULL || p->tick->n_outputs == 0); i++) {
        wait_ms(p, 5000);
        while (p->n_calls > 0)
            assert_true(answer(p, 200, LIST(ROW("com_1"))));
    }
    assert_int_equal(result_shown(p, &a).outcome, IN_DOUBT);
    arena_fini(&a);
}

static void a_row_that_one_of_unknown_outcome_may_have_made_is_nobodys(void **state)
{
    a_row_is_nobodys(*state, HTTP_LOST);
}

static void a_row_that_one_without_a_resource_may_have_made_is_nobodys(void **state)
{
    a_row_is_nobodys(*state, HTTP_TOO_LARGE);
}

/* The string that is read says that this offset was armed at second 1000. */
static void armed_at(struct play *p, int64_t offset, char *text)
{
    struct ledger lg;
    struct err e = ERR_INIT;
    int64_t lease;
    ledger_init(&lg, 100);
    assert_int_equal(ledger_restore(&lg, 0, STR_NULL, &lease, &e), 0);
    for (int64_t o = 0; o <= offset; o++)
        assert_int_equal(ledger_deliver(&lg, o), LEDGER_NEW);
    ledger_arm(&lg, offset, 1000);
    p->metadata = (struct str){text, ledger_string(&lg, 70000, "", text)};
    ledger_fini(&lg);
}

static void what_was_found_armed_holds_its_id(void **state)
{
    struct play *p = *state = play_new();
    static char text[LEDGER_STRING_MAX];
    armed_at(p, 1, text);
    play_start(p);
    for (int i = 0; i < 2; i++) {
        struct kafka_event ev = {.type = KAFKA_RECORD};
        ev.record = (struct kafka_record){.at = p->part,
                                          .offset = i,
                                          .timestamp_ms = p->now,
                                          .key = i == 0 ? STR_LIT("a") : STR_LIT("b"),
                                          .value = STR_LIT(WITH_ID)};
        push(p, ev);
    }
    turn(p);
    count_is(p, "doubt", 1);
    count_is(p, "twin", 1);
    wait_ms(p, 5000);
    assert_int_equal(p->n_calls, 0);
}

/* ... also when another one had it first. */
static void what_was_found_armed_is_waited_for_when_its_id_is_free(void **state)
{
    struct play *p = *state = play_new();
    static char text[LEDGER_STRING_MAX];
    armed_at(p, 1, text);
    play_start(p);
    command(p, 0, "a", WITH_ID);
    until_calls(p, 1);
    command(p, 1, "b", WITH_ID);
    command(p, 2, "c", WITH_ID);
    count_is(p, "doubt", 1);
    assert_true(answer(p, 404, "{}"));
    turn(p);
    count_is(p, "twin", 1);
    assert_int_equal(p->n_calls, 0);
}

/* What it made must be known to whoever reads the tail. */
static void a_result_that_was_made_smaller_still_says_what_it_made(void **state)
{
    struct play *p = *state;
    struct arena a;
    arena_init(&a, 0);
    command(p, 0, "k", WITH_ID);
    until_calls(p, 1);
    assert_true(answer(p, 201, ROW("com_1")));
    (void)result_shown(p, &a);
    command(p, 1, "k", WITH_ID);
    end_tick(p, TICK_BAD_RECORD);
    struct result res = result_shown(p, &a);
    assert_int_equal(res.outcome, SUCCEEDED);
    assert_true(str_is(res.resource_id, "com_1"));
    assert_int_equal(p->tick->n_outputs, 2);
    struct err e = ERR_INIT;
    assert_int_equal(result_decode(p->ss, p->tick->outputs[1].value, &a, &res, &e), 0);
    assert_true(res.replayed);
    p->tick->bad = 1;
    end_tick(p, TICK_BAD_RECORD);
    (void)result_shown(p, &a);
    assert_int_equal(result_decode(p->ss, p->tick->outputs[1].value, &a, &res, &e), 0);
    assert_true(res.replayed);
    assert_true(str_is(res.resource_id, "com_1"));
    arena_fini(&a);
}

/* The first call may have been executed, whatever came of the second. */
static void with_retry_a_refusal_leaves_the_first_in_doubt(void **state)
{
    struct play *p = play_new();
    struct arena a;
    arena_init(&a, 0);
    *state = p;
    p->options.in_doubt = DOUBT_RETRY;
    play_start(p);
    command(p, 0, "k", post);
    until_calls(p, 1);
    lose(p, HTTP_LOST, 0);
    wait_ms(p, 10000);
    until_calls(p, 1);
    assert_true(answer(p, 404, "{}"));
    assert_int_equal(result_shown(p, &a).outcome, IN_DOUBT);
    arena_fini(&a);
}

/* The first was refused, which is known anew at once; but behind the second's answer. */
static void what_outlives_its_partition_does_not_overtake_its_key(void **state)
{
    struct play *p = *state;
    struct arena a;
    struct result res;
    struct err e = ERR_INIT;
    arena_init(&a, 0);
    command(p, 0, "another key", patch);
    until_calls(p, 1);
    assert_true(answer(p, 200, "{}"));
    (void)result_shown(p, &a);
    p->committed = 1;
    end_tick(p, TICK_COMMITTED);
    command(p, 1, "k", bad);
    command(p, 2, "k", patch);
    assert_int_equal(p->n_calls, 1);
    assert_true(answer(p, 200, "{}"));
    turn(p);
    end_tick(p, TICK_STALE);
    push(p, (struct kafka_event){.type = KAFKA_LOST, .parts = &p->part, .n_parts = 1});
    turn(p);
    count_is(p, "orphan", 1);
    push(p, (struct kafka_event){
                .type = KAFKA_ASSIGN, .parts = &p->part, .n_parts = 1, .assignment = 2});
    turn(p);
    for (int i = 0; i < 2; i++) {
        struct kafka_event ev = {.type = KAFKA_RECORD};
        ev.record = (struct kafka_record){.at = p->part,
                                          .offset = i + 1,
                                          .timestamp_ms = p->now,
                                          .key = STR_LIT("k"),
                                          .value = str_of(i == 0 ? bad : patch)};
        push(p, ev);
    }
    (void)result_shown(p, &a);
    assert_int_equal(result_decode(p->ss, p->tick->outputs[0].value, &a, &res, &e), 0);
    assert_int_equal(res.outcome, REJECTED);
    arena_fini(&a);
}

/* Its tail could not be read: what a former owner made just before is not known. */
static void without_the_tail_a_row_of_the_first_seconds_is_nobodys(void **state)
{
    for (int late = 0; late < 2; late++) {
        struct play *p = play_new();
        struct arena a;
        *state = p;
        arena_init(&a, 0);
        p->options.results_partitions = 2;
        play_start(p);
        for (int i = 0; i < 5 * late; i++)
            wait_ms(p, 1000);
        command(p, 0, "k", post);
        until_calls(p, 1);
        lose(p, HTTP_LOST, 0);
        wait_ms(p, 10000);
        look(p, LIST("{\"id\":\"com_1\",\"posted_at\":1006,\"body\":\"hi\"}"));
        assert_int_equal(result_shown(p, &a).outcome, late ? SUCCEEDED : IN_DOUBT);
        arena_fini(&a);
        if (!late)
            play_tear_down(state);
    }
}

/* The first stays what a repeat is answered from. */
static void a_refused_repeat_changes_nothing(void **state)
{
    struct play *p = *state;
    struct arena a;
    arena_init(&a, 0);
    command(p, 0, "k", WITH_ID);
    until_calls(p, 1);
    assert_true(answer(p, 201, ROW("com_1")));
    assert_int_equal(result_shown(p, &a).outcome, SUCCEEDED);
    end_tick(p, TICK_COMMITTED);
    command_with(p, 1, WITH_ID, "priority", "urgent");
    assert_int_equal(result_shown(p, &a).outcome, REJECTED);
    end_tick(p, TICK_COMMITTED);
    command(p, 2, "k", WITH_ID);
    assert_true(result_shown(p, &a).replayed);
    assert_int_equal(p->n_calls, 0);
    arena_fini(&a);
}

/* What provably did not leave is no try: Front was not asked. */
static void looks_that_never_left_are_not_counted(void **state)
{
    struct play *p = play_new();
    *state = p;
    p->options.retry_max_attempts = 2;
    play_start(p);
    command(p, 0, "k", post);
    until_calls(p, 1);
    lose(p, HTTP_LOST, 0);
    wait_ms(p, 10000);
    for (int i = 0; i < 3; i++) {
        until_calls(p, 1);
        lose(p, HTTP_NOT_SENT, 0);
        wait_ms(p, 10);
    }
    until_calls(p, 1);
    lose(p, HTTP_LOST, 0);
    wait_ms(p, 10);
    until_calls(p, 1);
    assert_int_equal(p->calls[0]->method, HTTP_GET);
}

/* Attempts are counted, not time: one that stood still has not tried. */
static void a_look_that_ends_late_is_looked_again(void **state)
{
    struct play *p = play_new();
    *state = p;
    p->options.retry_max_ms = 60000;
    play_start(p);
    command(p, 0, "k", post);
    until_calls(p, 1);
    lose(p, HTTP_LOST, 0);
    wait_ms(p, 10000);
    until_calls(p, 1);
    wait_ms(p, 70000);
    lose(p, HTTP_LOST, 0);
    wait_ms(p, 10);
    until_calls(p, 1);
    assert_int_equal(p->calls[0]->method, HTTP_GET);
}

/* The brokers may be away for long while a partition is taken over. */
static void ends_that_cannot_be_read_are_asked_for_again(void **state)
{
    struct play *p = play_new();
    struct arena a;
    *state = p;
    arena_init(&a, 0);
    p->ends_fail = 3;
    play_start(p);
    for (int i = 0; i < 10; i++)
        wait_ms(p, 1000);
    assert_int_equal(p->ends_fail, 0);
    command(p, 0, "k", bad);
    assert_int_equal(result_shown(p, &a).outcome, REJECTED);
    arena_fini(&a);
}

#define PLAY(f) cmocka_unit_test_setup_teardown(f, play_set_up, play_tear_down)
#define OWN(f) cmocka_unit_test_teardown(f, play_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OWN(the_second_of_an_arming_is_fronts_whatever_is_done_to_our_clock),
        PLAY(a_row_that_another_open_doubt_may_have_made_is_nobodys),
        PLAY(a_row_that_one_of_unknown_outcome_may_have_made_is_nobodys),
        PLAY(a_row_that_one_without_a_resource_may_have_made_is_nobodys),
        OWN(what_was_found_armed_holds_its_id),
        OWN(what_was_found_armed_is_waited_for_when_its_id_is_free),
        PLAY(a_result_that_was_made_smaller_still_says_what_it_made),
        PLAY(what_outlives_its_partition_does_not_overtake_its_key),
        OWN(without_the_tail_a_row_of_the_first_seconds_is_nobodys),
        PLAY(a_refused_repeat_changes_nothing),
        OWN(looks_that_never_left_are_not_counted),
        OWN(a_look_that_ends_late_is_looked_again),
        OWN(ends_that_cannot_be_read_are_asked_for_again),
        OWN(with_retry_a_refusal_leaves_the_first_in_doubt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
