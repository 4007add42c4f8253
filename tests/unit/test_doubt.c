/* Calls that may have been executed, and commands that come twice: what the engine does
 * with them, turn by turn. */
#include "play.h"

#include <stdio.h>
#include <string.h>

#include "codec/records/command.h"
#include "codec/records/result.h"
#include "engine/ledger.h"
#include "front/catalogue.h"
#include "front/probe.h"
#include "front/request.h"

/* The clock of the tests stands at second 1000 when they start. */
#define ROW(id, text)                                                                    \
    "{\"id\":\"" id "\",\"posted_at\":1001,\"author\":null,\"body\":\"" text "\"}"
#define LIST(rows) "{\"_pagination\":{\"next\":null},\"_results\":[" rows "]}"
#define NOTHING LIST("")

/* Says so with an id of the user's. */
#define WITH_ID(id, body)                                                                \
    "{\"command_id\":\"" id "\",\"operation\":\"add-comment\",\"params\":"               \
    "{\"conversation_id\":\"cnv_1\"},\"body\":{\"body\":\"" body "\"}}"

/* The command at `offset` until its request runs. */
static void send(struct play *p, int64_t offset, const char *text)
{
    command(p, offset, "k", text);
    while (p->n_calls == 0)
        end_tick(p, TICK_COMMITTED);
}

/* The same, when commands came before. */
static void send_next(struct play *p, int64_t offset, const char *text)
{
    command(p, offset, "k", text);
    for (int i = 0; i < 10 && p->n_calls == 0; i++) {
        turn(p);
        if (p->tick != NULL)
            end_tick(p, TICK_COMMITTED);
    }
    assert_int_equal(p->n_calls, 1);
}

static void wait_ms(struct play *p, int64_t ms)
{
    p->now += ms;
    turn(p);
}

/* The running request is a look at the comments; Front answers it so. */
static void look(struct play *p, const char *rows)
{
    assert_int_equal(p->n_calls, 1);
    assert_int_equal(p->calls[0]->method, HTTP_GET);
    assert_string_equal(p->calls[0]->path, "/conversations/cnv_1/comments");
    assert_true(answer(p, 200, rows));
    turn(p);
}

/* The tick that comes holds one result; ends it. */
static struct result result_of(struct play *p, struct arena *a)
{
    struct result res;
    struct err e = ERR_INIT;
    if (p->tick == NULL || p->tick->n_outputs == 0) {
        if (p->tick != NULL)
            end_tick(p, TICK_COMMITTED);
        wait_ms(p, 100);
    }
    assert_non_null(p->tick);
    assert_int_equal(p->tick->n_outputs, 1);
    assert_int_equal(result_decode(p->ss, p->tick->outputs[0].value, a, &res, &e), 0);
    end_tick(p, TICK_COMMITTED);
    return res;
}

static void what_a_lost_call_made_is_found(void **state)
{
    struct play *p = *state;
    struct arena a;
    arena_init(&a, 0);
    send(p, 0, post);
    lose(p, HTTP_LOST, 0);
    wait_ms(p, 9000);
    assert_int_equal(p->n_calls, 0);
    wait_ms(p, 1000);
    look(p, LIST(ROW("com_9", "hi")));
    struct result res = result_of(p, &a);
    assert_int_equal(res.outcome, SUCCEEDED);
    assert_true(res.recovered);
    assert_true(str_is(res.resource_id, "com_9"));
    assert_true(str_is(res.response, ROW("com_9", "hi")));
    count_is(p, "finished", 1);
    arena_fini(&a);
}

static void a_server_error_is_a_doubt_too(void **state)
{
    struct play *p = *state;
    struct arena a;
    arena_init(&a, 0);
    send(p, 0, post);
    assert_true(answer(p, 502, "bad"));
    wait_ms(p, 10000);
    look(p, LIST(ROW("com_9", "hi")));
    struct result res = result_of(p, &a);
    assert_int_equal(res.outcome, SUCCEEDED);
    assert_int_equal(res.http_status, NO_NUMBER);
    arena_fini(&a);
}

static void what_is_absent_twice_is_sent_again_once(void **state)
{
    struct play *p = *state;
    struct arena a;
    arena_init(&a, 0);
    send(p, 0, post);
    lose(p, HTTP_LOST, 0);
    for (int round = 0; round < 2; round++) {
        wait_ms(p, 10000);
        look(p, NOTHING);
        wait_ms(p, 9000);
        assert_int_equal(p->n_calls, 0);
        wait_ms(p, 1000);
        look(p, NOTHING);
        if (round == 1)
            break;
        for (int i = 0; i < 5 && p->n_calls == 0; i++) { /* armed again first */
            if (p->tick == NULL)
                turn(p);
            if (p->tick != NULL)
                end_tick(p, TICK_COMMITTED);
        }
        assert_int_equal(p->n_calls, 1);
        assert_int_equal(p->calls[0]->method, HTTP_POST);
        lose(p, HTTP_LOST, 0);
    }
    struct result res = result_of(p, &a);
    assert_int_equal(res.outcome, IN_DOUBT);
    assert_true(str_is(res.error.kind, "no-answer"));
    assert_int_equal(p->n_calls, 0);
    arena_fini(&a);
}

/* A busy conversation: more rows of the last seconds than a look keeps, all but one the
 * results of other commands. */
static void known_rows_take_no_place_among_the_candidates(void **state)
{
    enum { BEFORE = PROBE_ROWS_MAX + 2 };
    struct play *p = *state;
    struct arena a;
    struct buf rows;
    arena_init(&a, 0);
    buf_init(&rows, 1 << 16);
    for (int i = 0; i <= BEFORE; i++) {
        const char *row = arena_printf(&a, ROW("com_%d", "hi"), i);
        send_next(p, i, post);
        if (i < BEFORE) {
            assert_true(answer(p, 201, row));
            turn(p);
            assert_int_equal(result_of(p, &a).outcome, SUCCEEDED);
        }
        buf_printf(&rows, "%s%s", i > 0 ? "," : "", row);
    }
    lose(p, HTTP_LOST, 0);
    wait_ms(p, 10000);
    look(p, arena_printf(&a, LIST("%.*s"), STR_ARG(buf_str(&rows))));
    struct result res = result_of(p, &a);
    assert_int_equal(res.outcome, SUCCEEDED);
    assert_true(str_is(res.resource_id, "com_10"));
    buf_fini(&rows);
    arena_fini(&a);
}

static void candidates_that_differ_leave_it_in_doubt(void **state)
{
    struct play *p = *state;
    struct arena a;
    arena_init(&a, 0);
    send(p, 0, post);
    lose(p, HTTP_LOST, 0);
    wait_ms(p, 10000);
    look(p, LIST(ROW("com_8", "hi") "," ROW("com_9", "ho")));
    struct result res = result_of(p, &a);
    assert_int_equal(res.outcome, IN_DOUBT);
    wait_ms(p, 60000);
    assert_int_equal(p->n_calls, 0);
    arena_fini(&a);
}

/* Two commands with one text on purpose. */
static void a_row_that_is_a_known_result_is_no_candidate(void **state)
{
    struct play *p = *state;
    struct arena a;
    arena_init(&a, 0);
    send(p, 0, post);
    assert_true(answer(p, 201, ROW("com_1", "hi")));
    (void)result_of(p, &a);
    send(p, 1, post);
    lose(p, HTTP_LOST, 0);
    wait_ms(p, 10000);
    look(p, LIST(ROW("com_1", "hi") "," ROW("com_2", "hi")));
    assert_true(str_is(result_of(p, &a).resource_id, "com_2"));
    send(p, 2, post);
    lose(p, HTTP_LOST, 0);
    wait_ms(p, 10000);
    look(p, LIST(ROW("com_1", "hi") "," ROW("com_2", "hi")));
    wait_ms(p, 10000);
    look(p, LIST(ROW("com_1", "hi") "," ROW("com_2", "hi")));
    for (int i = 0; i < 5 && p->n_calls == 0; i++) {
        if (p->tick == NULL)
            turn(p);
        if (p->tick != NULL)
            end_tick(p, TICK_COMMITTED);
    }
    assert_int_equal(p->calls[0]->method, HTTP_POST); /* it was not executed */
    arena_fini(&a);
}

static void a_row_that_a_running_call_may_have_made_is_looked_at_again(void **state)
{
    struct play *p = *state;
    struct arena a;
    arena_init(&a, 0);
    send(p, 0, post);
    lose(p, HTTP_LOST, 0);
    command(p, 1, "another key", post);
    while (p->n_calls == 0) {
        if (p->tick != NULL)
            end_tick(p, TICK_COMMITTED);
        else
            turn(p);
    }
    open_gate(p->calls[0]);
    wait_ms(p, 10000);
    if (p->tick != NULL)
        end_tick(p, TICK_COMMITTED);
    assert_int_equal(p->n_calls, 2); /* the other's and the look */
    struct http_call *other = p->calls[0];
    p->calls[0] = p->calls[1];
    p->calls[1] = other;
    assert_true(answer(p, 200, LIST(ROW("com_1", "hi"))));
    turn(p);
    assert_int_equal(p->calls[0]->method, HTTP_POST);
    assert_true(answer(p, 201, ROW("com_1", "hi")));
    assert_true(str_is(result_of(p, &a).resource_id, "com_1"));
    wait_ms(p, 10000);
    look(p, LIST(ROW("com_1", "hi") "," ROW("com_2", "hi")));
    assert_true(str_is(result_of(p, &a).resource_id, "com_2"));
    arena_fini(&a);
}

/* A complete 2xx head proves it. */
static void what_was_executed_is_never_sent_again(void **state)
{
    struct play *p = *state;
    struct arena a;
    arena_init(&a, 0);
    send(p, 0, post);
    lose(p, HTTP_HEAD_ONLY, 201);
    for (int i = 0; i < 2; i++) {
        wait_ms(p, 10000);
        look(p, NOTHING);
    }
    struct result res = result_of(p, &a);
    assert_int_equal(res.outcome, SUCCEEDED);
    assert_int_equal(res.http_status, 201);
    assert_false(res.recovered);
    assert_null(res.response.ptr);
    arena_fini(&a);
}

static void a_look_that_fails_is_tried_again(void **state)
{
    struct play *p = *state;
    struct arena a;
    arena_init(&a, 0);
    send(p, 0, post);
    lose(p, HTTP_LOST, 0);
    wait_ms(p, 10000);
    assert_true(answer(p, 503, ""));
    wait_ms(p, 10);
    assert_true(answer(p, 429, ""));
    wait_ms(p, 60000);
    look(p, LIST(ROW("com_9", "hi")));
    assert_true(result_of(p, &a).recovered);
    arena_fini(&a);
}

static void a_look_that_is_refused_leaves_it_in_doubt(void **state)
{
    struct play *p = *state;
    struct arena a;
    arena_init(&a, 0);
    send(p, 0, post);
    lose(p, HTTP_LOST, 0);
    wait_ms(p, 10000);
    assert_true(answer(p, 404, ""));
    assert_int_equal(result_of(p, &a).outcome, IN_DOUBT);
    arena_fini(&a);
}

/* --- what the user may choose --- */

static void reported_at_once(void **state)
{
    struct play *p = play_new();
    struct arena a;
    arena_init(&a, 0);
    *state = p;
    p->options.in_doubt = DOUBT_REPORT;
    play_start(p);
    send(p, 0, post);
    lose(p, HTTP_LOST, 0);
    assert_int_equal(result_of(p, &a).outcome, IN_DOUBT);
    arena_fini(&a);
}

static void sent_again_when_the_user_chose_that(void **state)
{
    struct play *p = play_new();
    struct arena a;
    arena_init(&a, 0);
    *state = p;
    p->options.in_doubt = DOUBT_RETRY;
    p->options.retry_max_attempts = 2;
    play_start(p);
    send(p, 0, post);
    lose(p, HTTP_LOST, 0);
    wait_ms(p, 9000);
    assert_int_equal(p->n_calls, 0);
    wait_ms(p, 1000);
    while (p->n_calls == 0) {
        if (p->tick != NULL)
            end_tick(p, TICK_COMMITTED);
        else
            turn(p);
    }
    assert_int_equal(p->calls[0]->method, HTTP_POST);
    lose(p, HTTP_LOST, 0);
    wait_ms(p, 10000);
    assert_int_equal(result_of(p, &a).outcome, IN_DOUBT); /* attempts are used up */
    arena_fini(&a);
}

/* --- found ARMED by a new owner --- */

/* A partition whose string says that offset 0 was armed at second 1000. */
static struct play *taken_over(enum in_doubt_policy policy, int32_t results_partitions)
{
    struct play *p = play_new();
    struct ledger *lg = mem_zalloc(sizeof *lg);
    static char text[LEDGER_STRING_MAX];
    struct err e = ERR_INIT;
    int64_t lease;
    ledger_init(lg, 100);
    assert_int_equal(ledger_restore(lg, 0, STR_NULL, &lease, &e), 0);
    assert_int_equal(ledger_deliver(lg, 0), LEDGER_NEW);
    ledger_arm(lg, 0, 1000);
    size_t len = ledger_string(lg, 70000, "", text);
    ledger_fini(lg);
    mem_free(lg);
    p->metadata = (struct str){text, len};
    p->options.in_doubt = policy;
    p->options.results_partitions = results_partitions;
    play_start(p);
    return p;
}

static void a_new_owner_waits_for_the_lease_of_the_old_one(void **state)
{
    struct play *p = *state = taken_over(DOUBT_PROBE, 1);
    struct arena a;
    arena_init(&a, 0);
    int64_t read_at = p->now;
    command(p, 0, "k", post);
    while (p->now < read_at + 69000) {
        assert_int_equal(p->n_calls, 0);
        wait_ms(p, 1000);
        if (p->tick != NULL)
            end_tick(p, TICK_COMMITTED);
    }
    wait_ms(p, 1500);
    look(p, LIST(ROW("com_9", "hi")));
    assert_true(result_of(p, &a).recovered);
    arena_fini(&a);
}

static void a_new_owner_sends_what_surely_was_not_executed(void **state)
{
    struct play *p = *state = taken_over(DOUBT_PROBE, 1);
    command(p, 0, "k", post);
    wait_ms(p, 71000);
    look(p, NOTHING);
    wait_ms(p, 10000);
    look(p, NOTHING);
    for (int i = 0; i < 9 && p->n_calls == 0; i++) {
        if (p->tick == NULL)
            turn(p);
        if (p->tick != NULL)
            end_tick(p, TICK_COMMITTED);
    }
    assert_int_equal(p->calls[0]->method, HTTP_POST);
}

static void a_new_owner_reports_at_once_when_told_to(void **state)
{
    struct play *p = *state = taken_over(DOUBT_REPORT, 1);
    struct arena a;
    arena_init(&a, 0);
    command(p, 0, "k", post);
    struct result res = result_of(p, &a);
    assert_int_equal(res.outcome, IN_DOUBT);
    assert_true(str_is(res.error.kind, "restart"));
    arena_fini(&a);
}

/* Without the results' tail a row may be that of a result nobody told us of. */
static void a_new_owner_without_the_tail_claims_nothing(void **state)
{
    struct play *p = *state = taken_over(DOUBT_PROBE, 2);
    struct arena a;
    arena_init(&a, 0);
    command(p, 0, "k", post);
    wait_ms(p, 71000);
    look(p, LIST(ROW("com_9", "hi")));
    assert_int_equal(result_of(p, &a).outcome, IN_DOUBT);
    arena_fini(&a);
}

/* --- calls and results that outlive their partition --- */

/* The partition goes, with what the last tick said of it, and comes back. */
static void leave_and_come_back(struct play *p, int64_t after_ms)
{
    static char text[LEDGER_STRING_MAX];
    if (p->tick == NULL)
        wait_ms(p, SESSION_MS / 3 + 1);
    assert_non_null(p->tick);
    struct str s = p->tick->offsets[0].metadata;
    memcpy(text, s.ptr, s.len);
    p->committed = p->tick->offsets[0].offset;
    p->metadata = (struct str){text, s.len};
    end_tick(p, p->tick->n_outputs > 0 ? TICK_STALE : TICK_COMMITTED);
    push(p, (struct kafka_event){.type = KAFKA_LOST, .parts = &p->part, .n_parts = 1});
    turn(p);
    assert_int_equal(p->unassigned, 1);
    count_is(p, "orphan", 1);
    wait_ms(p, after_ms);
    push(p, (struct kafka_event){
                .type = KAFKA_ASSIGN, .parts = &p->part, .n_parts = 1, .assignment = 2});
    turn(p);
}

/* Until there is a result: what the engine wants first is let through. */
static struct result next_result(struct play *p, struct arena *a)
{
    for (int i = 0; i < 5 && (p->tick == NULL || p->tick->n_outputs == 0); i++) {
        if (p->tick != NULL)
            end_tick(p, TICK_COMMITTED);
        else
            wait_ms(p, 100);
    }
    return result_of(p, a);
}

static void a_call_that_outlives_its_partition_is_used_when_it_comes_back(void **state)
{
    for (int early = 0; early < 2; early++) {
        struct play *p = play_new();
        struct arena a;
        arena_init(&a, 0);
        *state = p;
        play_start(p);
        send(p, 0, WITH_ID("me", "hi"));
        open_gate(p->calls[0]);
        leave_and_come_back(p, 5000);
        if (early)
            assert_true(answer(p, 201, ROW("com_1", "hi")));
        command(p, 0, "k", WITH_ID("me", "hi"));
        if (!early) {
            count_is(p, "calling", 1);
            assert_true(answer(p, 201, ROW("com_1", "hi")));
        }
        struct result res = next_result(p, &a);
        assert_int_equal(res.outcome, SUCCEEDED);
        assert_false(res.recovered);
        assert_true(str_is(res.resource_id, "com_1"));
        assert_int_equal(p->n_calls, 0);
        count_is(p, "open", 0);
        command(p, 1, "k", WITH_ID("me", "hi"));
        assert_true(next_result(p, &a).replayed);
        arena_fini(&a);
        if (!early)
            play_tear_down(state);
    }
}

static void a_result_that_outlives_its_partition_is_used_when_it_comes_back(void **state)
{
    struct play *p = *state;
    struct arena a;
    arena_init(&a, 0);
    send(p, 0, WITH_ID("me", "hi"));
    open_gate(p->calls[0]);
    wait_ms(p, SESSION_MS / 3 + 1);
    static char text[LEDGER_STRING_MAX];
    struct str s = p->tick->offsets[0].metadata;
    memcpy(text, s.ptr, s.len);
    end_tick(p, TICK_COMMITTED);
    assert_true(answer(p, 201, ROW("com_1", "hi")));
    turn(p);
    end_tick(p, TICK_STALE); /* its result is not committed */
    push(p, (struct kafka_event){.type = KAFKA_LOST, .parts = &p->part, .n_parts = 1});
    turn(p);
    p->metadata = (struct str){text, s.len};
    push(p, (struct kafka_event){
                .type = KAFKA_ASSIGN, .parts = &p->part, .n_parts = 1, .assignment = 2});
    turn(p);
    command(p, 0, "k", WITH_ID("me", "hi"));
    command(p, 1, "k", WITH_ID("me", "hi"));
    for (int i = 0; i < 9; i++) {
        if (p->tick != NULL)
            end_tick(p, TICK_COMMITTED);
        turn(p);
    }
    assert_int_equal(p->n_calls, 0);
    count_is(p, "finished", 2); /* the second as a repeat */
    arena_fini(&a);
}

static void what_outlives_its_partition_is_kept_for_one_lease(void **state)
{
    struct play *p = *state;
    struct arena a;
    arena_init(&a, 0);
    send(p, 0, post);
    open_gate(p->calls[0]);
    leave_and_come_back(p, 61000); /* 5 s + 30 s + 20 s + 5 s */
    count_is(p, "orphan", 0);
    command(p, 0, "k", post);
    count_is(p, "doubt", 1);
    arena_fini(&a);
}

/* --- repeated ids --- */

static void digest_of(const char *text, char out[33])
{
    struct arena a;
    struct command cmd;
    struct err e = ERR_INIT;
    arena_init(&a, 0);
    assert_int_equal(command_decode_json(str_of(text), &a, &cmd, &e), 0);
    request_digest(&cmd, op_find(cmd.operation), out);
    arena_fini(&a);
}

static void earlier_result(struct play *p, const char *text, const char *id,
                           enum outcome outcome, const char *resource_id, struct buf *b)
{
    static char digest[33];
    digest_of(text, digest);
    struct result res = {.command_id = str_of(id),
                         .operation = STR_LIT("add-comment"),
                         .outcome = outcome,
                         .http_status = 201,
                         .resource_id = str_of(resource_id),
                         .response = STR_LIT("{\"id\":1}"),
                         .items = NO_NUMBER,
                         .pages = NO_NUMBER,
                         .started_at = NO_NUMBER,
                         .source_topic = str_of(commands_topic),
                         .source_offset = 77,
                         .request_digest = str_of(digest)};
    if (outcome != SUCCEEDED)
        res.error.kind = STR_LIT("front"), res.error.message = STR_LIT("no");
    buf_init(b, 1 << 16);
    assert_int_equal(result_encode(p->ss, &res, b), 0);
    p->earlier[p->n_earlier] =
        (struct kafka_record){.offset = (int64_t)p->n_earlier, .value = buf_str(b)};
    p->n_earlier++;
}

static void a_repeated_id_is_answered_as_the_first(void **state)
{
    struct play *p = *state;
    struct arena a;
    arena_init(&a, 0);
    send(p, 0, WITH_ID("me", "hi"));
    assert_true(answer(p, 201, ROW("com_1", "hi")));
    assert_false(result_of(p, &a).replayed);
    command(p, 1, "k", WITH_ID("me", "hi"));
    struct result res = result_of(p, &a);
    assert_true(res.replayed);
    assert_int_equal(res.outcome, SUCCEEDED);
    assert_int_equal(res.http_status, 201);
    assert_true(str_is(res.resource_id, "com_1"));
    assert_true(str_is(res.response, ROW("com_1", "hi")));
    assert_int_equal(p->n_calls, 0);
    arena_fini(&a);
}

static void another_content_under_a_used_id_is_refused(void **state)
{
    struct play *p = *state;
    struct arena a;
    arena_init(&a, 0);
    send(p, 0, WITH_ID("me", "hi"));
    assert_true(answer(p, 201, ROW("com_1", "hi")));
    (void)result_of(p, &a);
    for (int64_t offset = 1; offset < 3; offset++) { /* the refusal changes nothing */
        command(p, offset, "k", WITH_ID("me", "ho"));
        struct result res = result_of(p, &a);
        assert_int_equal(res.outcome, REJECTED);
        assert_true(str_is(res.error.kind, "command-id-reused"));
    }
    command(p, 3, "k", WITH_ID("me", "hi"));
    assert_true(result_of(p, &a).replayed);
    arena_fini(&a);
}

static void a_failed_command_may_come_again(void **state)
{
    struct play *p = *state;
    struct arena a;
    arena_init(&a, 0);
    send(p, 0, WITH_ID("me", "hi"));
    assert_true(answer(p, 404, "{}"));
    assert_int_equal(result_of(p, &a).outcome, FAILED);
    send(p, 1, WITH_ID("me", "hi"));
    assert_true(answer(p, 201, ROW("com_1", "hi")));
    assert_int_equal(result_of(p, &a).outcome, SUCCEEDED);
    arena_fini(&a);
}

static void the_second_waits_for_the_first(void **state)
{
    struct play *p = *state;
    struct arena a;
    arena_init(&a, 0);
    send(p, 0, WITH_ID("me", "hi"));
    command(p, 1, "another key", WITH_ID("me", "hi"));
    command(p, 2, "a third key", WITH_ID("me", "hi"));
    count_is(p, "twin", 2);
    assert_int_equal(p->n_calls, 1);
    assert_true(answer(p, 201, ROW("com_1", "hi")));
    turn(p);
    for (int i = 0; i < 5; i++) {
        if (p->tick != NULL)
            end_tick(p, TICK_COMMITTED);
        turn(p);
    }
    count_is(p, "finished", 3);
    assert_int_equal(p->n_calls, 0);
    arena_fini(&a);
}

static void ids_answered_before_the_start_are_known(void **state)
{
    struct play *p = play_new();
    struct arena a;
    struct buf one, two, own;
    arena_init(&a, 0);
    *state = p;
    earlier_result(p, WITH_ID("me", "hi"), "me", SUCCEEDED, "com_1", &one);
    earlier_result(p, WITH_ID("you", "hi"), "you", FAILED, "com_2", &two);
    earlier_result(p, WITH_ID("x", "hi"), "commands/0/77", SUCCEEDED, "com_3", &own);
    play_start(p);
    command(p, 0, "k", WITH_ID("me", "hi"));
    struct result res = result_of(p, &a);
    assert_true(res.replayed);
    assert_true(str_is(res.resource_id, "com_1"));
    send(p, 1, WITH_ID("you", "hi"));
    assert_true(answer(p, 201, ROW("com_4", "hi")));
    assert_false(result_of(p, &a).replayed);
    /* an id that the connector made itself is nobody's */
    send(p, 2, WITH_ID("commands/0/77", "hi"));
    arena_fini(&a);
    buf_fini(&one);
    buf_fini(&two);
    buf_fini(&own);
}

/* --- positions that do not fit the log --- */

static void a_gap_is_one_dead_letter_and_the_rest_goes_on(void **state)
{
    struct play *p = *state = taken_over(DOUBT_REPORT, 1);
    struct arena a;
    arena_init(&a, 0);
    engine_free(p->en);
    p->tick = NULL;
    p->log_low = 5000; /* far beyond the window */
    play_start(p);
    while (p->tick == NULL)
        turn(p);
    assert_int_equal(p->tick->n_outputs, 1);
    assert_string_equal(p->tick->outputs[0].topic, "dead-letters");
    bool named = false;
    for (size_t i = 0; i < p->tick->outputs[0].n_headers; i++)
        named =
            named || memmem(p->tick->outputs[0].headers[i].value.ptr,
                            p->tick->outputs[0].headers[i].value.len,
                            "offsets 0 to 4999 were deleted before they were read; of "
                            "these may have been sent: 0",
                            83) != NULL;
    assert_true(named);
    assert_int_equal(p->tick->offsets[0].offset, p->options.max_pending);
    end_tick(p, TICK_COMMITTED);
    command(p, 5000, "k", bad);
    assert_int_equal(result_of(p, &a).outcome, REJECTED);
    turn(p);
    if (p->tick != NULL)
        end_tick(p, TICK_COMMITTED);
    count_is(p, "open", 0);
    count_is(p, "received", 2);
    arena_fini(&a);
}

static void a_position_beyond_the_log_stops_the_partition(void **state)
{
    struct play *p = play_new();
    *state = p;
    p->committed = 77;
    p->log_high = 76;
    play_start(p);
    struct buf why;
    buf_init(&why, 1000);
    assert_false(engine_ready(p->en, &why));
    assert_string_equal(why.data, "a partition is stopped");
    buf_fini(&why);
    command(p, 77, "k", bad);
    count_is(p, "received", 0);
    assert_true(p->tick == NULL || p->tick->n_offsets == 0);
}

static void a_result_without_a_position_stops_the_partition(void **state)
{
    for (int given = 0; given < 2; given++) {
        struct play *p = play_new();
        struct buf b, why;
        p->committed = KAFKA_NO_OFFSET;
        p->options.start_given = given;
        earlier_result(p, WITH_ID("me", "hi"), "me", SUCCEEDED, "com_1", &b);
        play_start(p);
        buf_init(&why, 1000);
        assert_int_equal(engine_ready(p->en, &why), given);
        buf_fini(&why);
        buf_fini(&b);
        if (given == 0)
            play_tear_down((void **)&p);
        else
            *state = p;
    }
}

#define PLAY(f) cmocka_unit_test_setup_teardown(f, play_set_up, play_tear_down)
#define OWN(f) cmocka_unit_test_teardown(f, play_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAY(what_a_lost_call_made_is_found),
        PLAY(a_server_error_is_a_doubt_too),
        PLAY(what_is_absent_twice_is_sent_again_once),
        PLAY(known_rows_take_no_place_among_the_candidates),
        PLAY(candidates_that_differ_leave_it_in_doubt),
        PLAY(a_row_that_is_a_known_result_is_no_candidate),
        PLAY(a_row_that_a_running_call_may_have_made_is_looked_at_again),
        PLAY(what_was_executed_is_never_sent_again),
        PLAY(a_look_that_fails_is_tried_again),
        PLAY(a_look_that_is_refused_leaves_it_in_doubt),
        OWN(reported_at_once),
        OWN(sent_again_when_the_user_chose_that),
        OWN(a_new_owner_waits_for_the_lease_of_the_old_one),
        OWN(a_new_owner_sends_what_surely_was_not_executed),
        OWN(a_new_owner_reports_at_once_when_told_to),
        OWN(a_new_owner_without_the_tail_claims_nothing),
        OWN(a_call_that_outlives_its_partition_is_used_when_it_comes_back),
        PLAY(a_result_that_outlives_its_partition_is_used_when_it_comes_back),
        PLAY(what_outlives_its_partition_is_kept_for_one_lease),
        PLAY(a_repeated_id_is_answered_as_the_first),
        PLAY(another_content_under_a_used_id_is_refused),
        PLAY(a_failed_command_may_come_again),
        PLAY(the_second_waits_for_the_first),
        OWN(ids_answered_before_the_start_are_known),
        OWN(a_gap_is_one_dead_letter_and_the_rest_goes_on),
        OWN(a_position_beyond_the_log_stops_the_partition),
        OWN(a_result_without_a_position_stops_the_partition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
