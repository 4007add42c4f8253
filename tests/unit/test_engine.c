/* The engine turn by turn: what enters a tick, what a tick that failed leaves behind, and
 * when the send gate opens. */
#include "play.h"

#include <stdlib.h>
#include <string.h>

static const char get[] = "{\"operation\":\"get-conversation-by-id\",\"params\":{"
                          "\"conversation_id\":\"cnv_1\"}}";

static void a_call_that_changes_something_waits_for_a_committed_tick(void **state)
{
    struct play *p = *state;
    command(p, 0, "k", patch);
    assert_int_equal(p->n_calls, 0);
    end_tick(p, TICK_COMMITTED);
    assert_int_equal(p->n_calls, 1);
}

static void a_post_is_armed_before_it_is_sent(void **state)
{
    struct play *p = *state;
    command(p, 0, "k", post);
    end_tick(p, TICK_COMMITTED); /* the one that shows we live */
    assert_int_equal(p->n_calls, 0);
    turn(p);
    assert_true(string_says_armed(p->tick));
    assert_int_equal(p->n_calls, 0);
    end_tick(p, TICK_COMMITTED);
    assert_int_equal(p->n_calls, 1);
    assert_true(answer(p, 201, "{\"id\":\"com_1\"}"));
    turn(p);
    assert_int_equal(p->tick->n_outputs, 1);
    assert_int_equal(p->tick->offsets[0].offset, 1);
    assert_false(string_says_armed(p->tick));
    end_tick(p, TICK_COMMITTED);
    count_is(p, "finished", 1);
}

static void an_arming_that_was_aborted_sends_nothing(void **state)
{
    struct play *p = *state;
    command(p, 0, "k", post);
    end_tick(p, TICK_COMMITTED);
    turn(p);
    end_tick(p, TICK_ABORTED);
    assert_int_equal(p->n_calls, 0);
    p->now += 1000;
    turn(p);
    assert_true(string_says_armed(p->tick));
    end_tick(p, TICK_COMMITTED);
    assert_int_equal(p->n_calls, 1);
}

/* Aborted or stale: the same results again, in the same order, and Front is not called
 * again. */
static void a_tick_that_failed_is_built_again(void **state)
{
    static const enum tick_end ends[] = {TICK_ABORTED, TICK_STALE};
    struct play *p = *state;
    for (int64_t o = 0; o < 5; o++)
        command(p, o, "k", bad);
    end_tick(p, TICK_COMMITTED); /* what the first turn took */
    for (int64_t o = 5; o < 8; o++)
        command(p, o, "k", bad);
    int64_t line = 0;
    for (size_t i = 0; i < 2; i++) {
        while (p->tick == NULL)
            turn(p);
        size_t n = p->tick->n_outputs;
        line = p->tick->offsets[0].offset;
        struct str first = p->tick->outputs[0].headers[0].value;
        assert_true(n > 0);
        end_tick(p, ends[i]);
        count_is(p, "in_flight", 0);
        while (p->tick == NULL)
            turn(p);
        assert_true(p->tick->n_outputs >= n);
        assert_true(p->tick->offsets[0].offset >= line);
        assert_true(str_eq(first, p->tick->outputs[0].headers[0].value));
    }
    int64_t last = -1;
    for (size_t i = 0; i < p->tick->n_outputs; i++) {
        struct str id = p->tick->outputs[i].headers[0].value; /* commands/0/<offset> */
        int64_t offset = id.ptr[id.len - 1] - '0';
        assert_true(offset > last);
        last = offset;
    }
    while (p->tick != NULL) {
        end_tick(p, TICK_COMMITTED);
        turn(p);
    }
    count_is(p, "finished", 8);
}

/* After a fence the committed string decides, slot by slot. */
static void an_unknown_tick_is_settled_by_the_string(void **state)
{
    struct play *p = *state;
    for (int durable = 0; durable < 2; durable++) {
        command(p, durable, "k", bad);
        while (p->tick == NULL || p->tick->n_outputs == 0) {
            if (p->tick != NULL)
                end_tick(p, TICK_COMMITTED);
            turn(p);
        }
        char text[4096];
        struct str meta = p->tick->offsets[0].metadata;
        int64_t offset = p->tick->offsets[0].offset;
        memcpy(text, meta.ptr, meta.len);
        p->committed = durable ? offset : offset - 1;
        p->metadata = durable ? (struct str){text, meta.len} : STR_LIT("");
        end_tick(p, TICK_UNKNOWN);
        if (durable) {
            count_is(p, "open", 0);
            continue;
        }
        count_is(p, "finished", 0);
        while (p->tick == NULL)
            turn(p);
        assert_int_equal(p->tick->n_outputs, 1); /* the same result again */
        end_tick(p, TICK_COMMITTED);
        count_is(p, "finished", 1);
    }
}

/* While position and ledger are read again, records go on coming: they are ours. */
static void a_record_that_comes_after_a_fence_is_answered(void **state)
{
    struct play *p = *state;
    command(p, 0, "k", bad);
    while (p->tick == NULL || p->tick->n_outputs == 0) {
        if (p->tick != NULL)
            end_tick(p, TICK_COMMITTED);
        turn(p);
    }
    p->silent = true;
    end_tick(p, TICK_UNKNOWN);
    command(p, 1, "other", bad);
    count_is(p, "received", 2);
    p->silent = false;
    on_committed(p, p->part);
    for (int n = 0; n < 10; n++) {
        turn(p);
        if (p->tick != NULL)
            end_tick(p, TICK_COMMITTED);
    }
    count_is(p, "finished", 2);
    count_is(p, "line", 2);
}

/* Markers and what producers aborted leave gaps, of any length. */
static void a_gap_longer_than_the_window_is_passed(void **state)
{
    struct play *p = *state;
    command(p, 3000, "k", bad);
    command(p, 9000, "k", bad);
    while (p->tick != NULL) {
        end_tick(p, TICK_COMMITTED);
        turn(p);
    }
    count_is(p, "finished", 2);
    count_is(p, "line", 9001);
}

/* Behind the last record there may be a marker: it is no work that waits. */
static void the_line_reaches_the_end_of_the_log(void **state)
{
    struct play *p = *state;
    command(p, 0, "k", bad);
    push(p, (struct kafka_event){.type = KAFKA_EOF, .at = p->part, .offset = 2});
    turn(p);
    int64_t committed = -1;
    while (p->tick != NULL) {
        committed = p->tick->offsets[0].offset;
        end_tick(p, TICK_COMMITTED);
        turn(p);
    }
    assert_int_equal(committed, 2);
    count_is(p, "line", 2);
}

/* While a tick hangs nothing can be sent: the loop must not turn without an end. */
static void who_waits_for_a_tick_sleeps(void **state)
{
    struct play *p = *state;
    command(p, 0, "k", patch);
    assert_non_null(p->tick);
    engine_turn(p->en);
    assert_true(engine_next_ms(p->en) > p->now);
    push(p, (struct kafka_event){
                .type = KAFKA_REVOKE, .parts = &p->part, .n_parts = 1, .assignment = 1});
    turn(p);
    p->now += 10001; /* the drain is over, the tick still hangs */
    turn(p);
    assert_true(engine_next_ms(p->en) > p->now);
}

/* A second assign() may bring a record again that is still in hand. */
static void a_record_that_comes_twice_is_taken_once(void **state)
{
    struct play *p = *state;
    command(p, 0, "k", patch);
    command(p, 0, "k", patch);
    count_is(p, "received", 1);
    count_is(p, "open", 1);
}

static void the_gate_closes(void **state)
{
    static const struct {
        const char *why;
        const char *text;
        int64_t stall_ms; /* between the loop's last turn and the gate */
        bool opens;
    } rows[] = {
        {"fresh", patch, 0, true},
        {"fresh and armed", post, 0, true},
        {"the loop stood still", patch, 2001, false},
        {"the arming is too old", post, 5001, false},
        {"the last tick is too old", patch, SESSION_MS / 2 + 1, false},
    };
    struct play *p = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        command(p, (int64_t)i, "k", rows[i].text);
        while (p->n_calls == 0) {
            if (p->tick != NULL)
                end_tick(p, TICK_COMMITTED);
            else
                turn(p);
        }
        p->now += rows[i].stall_ms;
        assert_int_equal(answer(p, 200, "{}"), rows[i].opens);
        for (int n = 0; n < 20; n++) { /* to its end, whatever it still needs */
            if (p->tick != NULL)
                end_tick(p, TICK_COMMITTED);
            else if (p->n_calls > 0)
                (void)answer(p, 200, "{}");
            turn(p);
        }
        count_is(p, "open", 0);
    }
}

/* Turns go on, but no tick is committed any more: calls that change something stop. */
static void the_gate_closes_when_no_tick_is_committed(void **state)
{
    struct play *p = *state;
    command(p, 0, "k", patch);
    end_tick(p, TICK_COMMITTED);
    assert_int_equal(p->n_calls, 1);
    p->now += SESSION_MS / 2 + 1;
    engine_turn(p->en);
    assert_false(answer(p, 200, "{}"));
}

/* A tick that was refused says that another may own what we are about to change. */
static void the_gate_closes_when_the_group_moved_on(void **state)
{
    struct play *p = *state;
    command(p, 0, "k", patch);
    end_tick(p, TICK_COMMITTED);
    assert_int_equal(p->n_calls, 1);
    p->now += SESSION_MS / 3 + 1;
    turn(p);
    end_tick(p, TICK_STALE);
    assert_false(answer(p, 200, "{}"));
}

/* The loop turns and ticks are young, but the arming is not. */
static void an_old_arming_is_armed_again(void **state)
{
    struct play *p = *state;
    command(p, 0, "k", post);
    end_tick(p, TICK_COMMITTED);
    if (p->tick == NULL)
        turn(p);
    end_tick(p, TICK_COMMITTED);
    assert_int_equal(p->n_calls, 1);
    p->now += 5001;
    engine_turn(p->en);
    assert_false(answer(p, 200, "{}"));
    turn(p);
    assert_true(string_says_armed(p->tick));
    end_tick(p, TICK_COMMITTED);
    if (p->tick != NULL)
        end_tick(p, TICK_COMMITTED);
    assert_int_equal(p->n_calls, 1);
    assert_true(answer(p, 201, "{}"));
}

static void a_revoke_ends_with_a_last_tick(void **state)
{
    struct play *p = *state;
    command(p, 0, "k", patch);
    end_tick(p, TICK_COMMITTED);
    push(p, (struct kafka_event){
                .type = KAFKA_REVOKE, .parts = &p->part, .n_parts = 1, .assignment = 1});
    turn(p);
    assert_int_equal(p->unassigned, 0);
    assert_true(answer(p, 204, ""));
    turn(p);
    assert_int_equal(p->tick->n_outputs, 1);
    assert_int_equal(p->unassigned, 0);
    end_tick(p, TICK_COMMITTED);
    turn(p);
    assert_int_equal(p->unassigned, 1);
    count_is(p, "finished", 1);
    count_is(p, "open", 0);
}

/* Its commands are another owner's, once a person has looked: no result without position.
 */
static void a_stopped_partition_commits_nothing_more(void **state)
{
    struct play *p = *state;
    command(p, 0, "k", patch);
    command(p, 1, "other", bad);
    end_tick(p, TICK_COMMITTED);
    push(p, (struct kafka_event){.type = KAFKA_OUT_OF_RANGE, .at = p->part});
    turn(p);
    if (p->tick != NULL)
        end_tick(p, TICK_ABORTED);
    for (int i = 0; i < 20; i++) {
        p->now += 100;
        turn(p);
        if (p->tick != NULL) {
            assert_int_equal(p->tick->n_outputs, 0);
            end_tick(p, TICK_COMMITTED);
        }
    }
    count_is(p, "open", 0);
}

/* Its results would become visible without their offset. */
static void a_partition_stopped_while_it_goes_commits_nothing_more(void **state)
{
    struct play *p = *state;
    command(p, 0, "k", patch);
    end_tick(p, TICK_COMMITTED);
    assert_int_equal(p->n_calls, 1);
    open_gate(p->calls[0]);
    push(p, (struct kafka_event){
                .type = KAFKA_REVOKE, .parts = &p->part, .n_parts = 1, .assignment = 1});
    push(p, (struct kafka_event){.type = KAFKA_OUT_OF_RANGE, .at = p->part});
    (void)answer(p, 200, "{}");
    for (int i = 0; i < 20; i++) {
        p->now += 100;
        turn(p);
        if (p->tick != NULL) {
            assert_int_equal(p->tick->n_outputs, 0);
            end_tick(p, TICK_COMMITTED);
        }
    }
    assert_int_equal(p->unassigned, 1);
}

/* Counted from the signal, not from the turn before it. */
static void a_stop_has_its_whole_drain_budget(void **state)
{
    struct play *p = *state;
    command(p, 0, "k", get);
    end_tick(p, TICK_COMMITTED);
    assert_int_equal(p->n_calls, 1);
    p->now += 2000;
    engine_stop(p->en);
    p->now += 9000;
    engine_turn(p->en);
    assert_true(answer(p, 200, "{}"));
    turn(p);
    assert_non_null(p->tick);
    if (p->tick->n_outputs == 0)
        end_tick(p, TICK_COMMITTED);
    assert_int_equal(p->tick->n_outputs, 1);
    end_tick(p, TICK_COMMITTED);
    count_is(p, "finished", 1);
}

/* The position of its partition is not known when it is told to stop. */
static void stop_amid_take_over(void **state, int64_t after_ms)
{
    struct play *p = play_new();
    struct err e;
    *state = p;
    p->silent = true;
    play_start(p);
    p->now += after_ms;
    turn(p);
    engine_stop(p->en);
    for (int i = 0; i < 5; i++)
        turn(p);
    assert_int_equal(engine_ended(p->en, &e), 1);
    assert_int_equal(p->assigned, 1); /* the member leaves when that is answered */
    assert_int_equal(p->assigned_late, 0);
}

static void a_stop_answers_an_assignment_before_it_leaves(void **state)
{
    stop_amid_take_over(state, 0);
}

static void a_stop_answers_no_assignment_twice(void **state)
{
    stop_amid_take_over(state, 10000);
}

static void a_tick_that_hangs_is_what_it_waits_for(void **state)
{
    struct play *p = *state;
    struct buf why;
    buf_init(&why, 1000);
    command(p, 0, "k", bad);
    turn(p);
    assert_non_null(p->tick);
    assert_true(engine_ready(p->en, &why));
    assert_true(str_is(buf_str(&why), "ok"));
    p->now += 5000;
    turn(p);
    buf_reset(&why);
    assert_true(engine_ready(p->en, &why));
    assert_true(str_is(buf_str(&why), "Kafka does not commit"));
    end_tick(p, TICK_COMMITTED);
    buf_reset(&why);
    assert_true(engine_ready(p->en, &why));
    assert_true(str_is(buf_str(&why), "ok"));
    buf_fini(&why);
}

int main(void)
{
#define PLAY(f) cmocka_unit_test_setup_teardown(f, play_set_up, play_tear_down)
    const struct CMUnitTest tests[] = {
        PLAY(a_call_that_changes_something_waits_for_a_committed_tick),
        PLAY(a_post_is_armed_before_it_is_sent),
        PLAY(an_arming_that_was_aborted_sends_nothing),
        PLAY(a_tick_that_failed_is_built_again),
        PLAY(an_unknown_tick_is_settled_by_the_string),
        PLAY(a_record_that_comes_after_a_fence_is_answered),
        PLAY(a_gap_longer_than_the_window_is_passed),
        PLAY(the_line_reaches_the_end_of_the_log),
        PLAY(who_waits_for_a_tick_sleeps),
        PLAY(a_record_that_comes_twice_is_taken_once),
        PLAY(the_gate_closes),
        PLAY(the_gate_closes_when_no_tick_is_committed),
        PLAY(the_gate_closes_when_the_group_moved_on),
        PLAY(an_old_arming_is_armed_again),
        PLAY(a_revoke_ends_with_a_last_tick),
        PLAY(a_stopped_partition_commits_nothing_more),
        PLAY(a_partition_stopped_while_it_goes_commits_nothing_more),
        PLAY(a_stop_has_its_whole_drain_budget),
        PLAY(a_tick_that_hangs_is_what_it_waits_for),
        cmocka_unit_test_teardown(a_stop_answers_an_assignment_before_it_leaves,
                                  play_tear_down),
        cmocka_unit_test_teardown(a_stop_answers_no_assignment_twice, play_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
