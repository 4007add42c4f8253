/* Lists that go on: what their ticks carry, how they end, and what stops their partition.
 * Kills and rebalances are the simulator's. */
#include "jobs_help.h"

static const char list[] = "{\"operation\":\"list-contacts\"}";

static struct job_record job(const char *id, int64_t seq)
{
    return (struct job_record){.id = str_of(id),
                               .kind = STR_LIT("list"),
                               .state = STR_LIT("running"),
                               .operation = STR_LIT("list-contacts"),
                               .command_id = STR_LIT("c"),
                               .reply_partition = NO_NUMBER,
                               .source_topic = str_of(commands_topic),
                               .source_partition = 0,
                               .source_offset = 0,
                               .deadline = NO_NUMBER,
                               .received_at = 1,
                               .started_at = 1,
                               .attempts = 1,
                               .page_token = STR_LIT("t1"),
                               .pages = 1,
                               .items = 3,
                               .walk_items = 3,
                               .max_items = NO_NUMBER,
                               .seq = seq,
                               .created_at = 1,
                               .updated_at = 1};
}

/* Started, with a job whose next page is asked for. */
static struct play *with_job(struct job_record *jr)
{
    struct play *p = begin();
    give(p, 0, jr);
    live(p); /* the topic of its rows is known */
    assert_int_equal(p->n_calls, 1);
    return p;
}

static void the_first_page_is_one_tick_with_its_job(void **state)
{
    struct play *p = begin();
    (void)state;
    command(p, 0, "k", list);
    live(p); /* its topic is known */
    assert_string_equal(p->calls[0]->query, "sort_order=asc&limit=100");
    page(p, 2, "https://x/contacts?limit=100&page_token=a%2Fb");
    assert_int_equal(p->tick->n_outputs, 3);
    assert_string_equal(output(p, 0)->topic, "front.contacts");
    assert_true(str_is(output(p, 1)->key, "crd_1"));
    struct job_record jr = record_of(p, output(p, 2));
    assert_true(str_is(output(p, 2)->key, "commands/0/0"));
    assert_true(str_is(jr.page_token, "a/b"));
    assert_true(str_is(jr.key, "k"));
    assert_int_equal(jr.items, 2);
    assert_int_equal(p->tick->n_offsets, 1);
    assert_int_equal(p->tick->offsets[0].offset, 1); /* it does not hold the line */
    struct str value = encoded(p, &jr);
    end_tick(p, TICK_COMMITTED);
    assert_int_equal(p->n_calls, 0); /* it is run when it comes back */
    job_came(p, 0, "commands/0/0", value);
    assert_string_equal(p->calls[0]->query, "page_token=a%2Fb&sort_order=asc&limit=100");
    end(p);
}

static void a_page_is_fenced_by_its_own_partition(void **state)
{
    struct job_record jr = job("commands/0/0", 4);
    struct play *p = with_job(&jr);
    (void)state;
    page(p, 1, "https://x?page_token=t2");
    assert_int_equal(p->tick->n_offsets, 1);
    assert_true(p->tick->offsets[0].at.topic == jobs_topic);
    assert_int_equal(p->tick->offsets[0].offset, 1);
    assert_true(str_is(p->tick->offsets[0].metadata, "FC1"));
    struct job_record next = record_of(p, output(p, 1));
    assert_int_equal(next.seq, 5);
    assert_int_equal(next.pages, 2);
    assert_int_equal(next.items, 4);
    end(p);
}

static void the_last_page_brings_result_and_tombstone(void **state)
{
    struct job_record jr = job("commands/0/0", 4);
    struct play *p = with_job(&jr);
    (void)state;
    page(p, 1, NULL);
    assert_int_equal(p->tick->n_outputs, 3);
    struct result res = result_of(p, output(p, 1));
    assert_int_equal(res.outcome, SUCCEEDED);
    assert_int_equal(res.items, 4);
    assert_int_equal(res.pages, 2);
    assert_null(output(p, 2)->value.ptr);
    assert_true(str_is(output(p, 2)->key, "commands/0/0"));
    end_tick(p, TICK_COMMITTED);
    count_is(p, "ended", 1);
    give(p, 1, &jr); /* an older record of it does not begin it again */
    assert_int_equal(p->n_calls, 0);
    job_came(p, 2, "commands/0/0", STR_NULL);
    count_is(p, "ended", 0);
    end(p);
}

/* How a job ends whose second page Front answers so; NULL: it goes on. */
static void a_page_that_cannot_be_used_ends_the_list(void **state)
{
    static const struct {
        int status;
        const char *body, *kind;
    } cases[] = {
        {200, "{\"_pagination\":{\"next\":\"x?page_token=t1\"},\"_results\":[]}",
         "page-link"},
        {200, "{\"_pagination\":{\"next\":\"x?limit=5\"},\"_results\":[]}", "page-link"},
        {200, "{\"_pagination\":{\"next\":7},\"_results\":[]}", "page-link"},
        {200, "{\"id\":\"crd_1\"}", "front"},
        {200, "not JSON", "front"},
        {403, "{\"_error\":{\"title\":\"T\",\"message\":\"M\"}}", "front"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct job_record jr = job("commands/0/0", 4);
        struct play *p = with_job(&jr);
        assert_true(answer(p, cases[i].status, cases[i].body));
        turn(p);
        struct result res = result_of(p, output(p, 0));
        assert_int_equal(res.outcome, FAILED);
        assert_true(str_is(res.error.kind, cases[i].kind));
        assert_int_equal(res.items, 3);
        end(p);
    }
}

static void a_refused_token_begins_anew_ten_times_at_most(void **state)
{
    struct job_record jr = job("commands/0/0", 4);
    struct play *p = with_job(&jr);
    (void)state;
    assert_true(answer(p, 400, "{}"));
    turn(p);
    struct job_record next = record_of(p, output(p, 0));
    assert_null(next.page_token.ptr);
    assert_int_equal(next.restarts, 1);
    assert_int_equal(next.walk_items, 0);
    assert_int_equal(next.items, 3);
    end_tick(p, TICK_COMMITTED);
    assert_string_equal(p->calls[0]->query, "sort_order=asc&limit=100");
    end(p);
    jr.restarts = 10;
    p = with_job(&jr);
    assert_true(answer(p, 400, "{}"));
    turn(p);
    assert_int_equal(result_of(p, output(p, 0)).outcome, FAILED);
    end(p);
}

static void a_deadline_ends_the_list(void **state)
{
    struct play *p = begin();
    struct job_record jr = job("commands/0/0", 4);
    (void)state;
    jr.deadline = p->now;
    give(p, 0, &jr);
    turn(p);
    assert_int_equal(p->n_calls, 0);
    assert_true(str_is(result_of(p, output(p, 0)).error.kind, "retries-exhausted"));
    end(p);
}

static void a_reply_topic_that_has_gone_is_left_out(void **state)
{
    struct job_record jr = job("commands/0/0", 4);
    (void)state;
    jr.reply_topic = STR_LIT("gone");
    jr.reply_partition = -1;
    struct play *p = with_job(&jr);
    page(p, 0, NULL);
    p->now += 200;
    turn(p);
    turn(p);
    assert_int_equal(p->tick->n_outputs, 2);
    assert_int_equal(result_of(p, output(p, 0)).outcome, SUCCEEDED);
    end(p);
}

/* A tick that was aborted is submitted again as it was; Front is not asked. */
static void a_page_outlives_its_tick(void **state)
{
    static const enum tick_end ends[] = {TICK_ABORTED, TICK_STALE};
    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        struct job_record jr = job("commands/0/0", 4);
        struct play *p = with_job(&jr);
        page(p, 1, "x?page_token=t2");
        end_tick(p, ends[i]);
        p->now += 1000;
        turn(p);
        assert_int_equal(record_of(p, output(p, 1)).seq, 5);
        assert_int_equal(p->n_calls, 0);
        end(p);
    }
}

static void a_list_fails_when_one_of_its_rows_is_refused(void **state)
{
    struct job_record jr = job("commands/0/0", 4);
    struct play *p = with_job(&jr);
    (void)state;
    page(p, 2, "x?page_token=t2");
    p->tick->bad = 0;
    end_tick(p, TICK_BAD_RECORD);
    turn(p);
    assert_int_equal(p->tick->n_outputs, 2);
    struct result res = result_of(p, output(p, 0));
    assert_int_equal(res.outcome, FAILED);
    assert_true(str_is(res.error.kind, "topic-refused"));
    assert_int_equal(res.pages, jr.pages); /* this one does not count */
    assert_null(output(p, 1)->value.ptr);
    end(p);
}

static void a_list_ends_when_its_own_record_is_refused(void **state)
{
    struct job_record jr = job("commands/0/0", 4);
    struct play *p = with_job(&jr);
    (void)state;
    page(p, 2, "x?page_token=t2");
    p->tick->bad = 2;
    end_tick(p, TICK_BAD_RECORD);
    turn(p);
    assert_true(str_is(output(p, 1)->key, "crd_1"));
    struct result res = result_of(p, output(p, 2));
    assert_true(str_is(res.error.kind, "too-large"));
    assert_null(output(p, 3)->value.ptr);
    end(p);
}

static void jobs_max_running_is_kept(void **state)
{
    struct play *p = begin();
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct job_record jr = job(arena_printf(&arena, "commands/0/%d", i), 1);
        give(p, i, &jr);
    }
    live(p);
    assert_int_equal(p->n_calls, 2);
    page(p, 0, NULL);
    end_tick(p, TICK_COMMITTED);
    turn(p);
    assert_int_equal(p->n_calls, 2);
    end(p);
}

static void nothing_runs_before_the_log_is_read(void **state)
{
    struct play *p = play_with_jobs();
    struct job_record jr = job("commands/0/0", 4), newer = job("commands/0/0", 5);
    (void)state;
    p->jobs_high = 6;
    play_start(p);
    live(p);
    give(p, 0, &jr);
    newer.page_token = STR_LIT("t2");
    /* An end that is told below the high watermark: a transaction is open there. */
    push(p, (struct kafka_event){.type = KAFKA_EOF, .at = p->jobs, .offset = 3});
    turn(p);
    assert_int_equal(p->n_calls, 0);
    status_says(p, "\"reading\"");
    give(p, 3, &newer);
    assert_int_equal(p->n_calls, 0);
    push(p, (struct kafka_event){.type = KAFKA_EOF, .at = p->jobs, .offset = 6});
    turn(p);
    live(p);
    assert_int_equal(p->n_calls, 1);
    assert_string_equal(p->calls[0]->query, "page_token=t2&sort_order=asc&limit=100");
    end(p);
}

static void a_newer_record_of_somebody_else_stops_the_partition(void **state)
{
    struct job_record jr = job("commands/0/0", 4), newer = job("commands/0/0", 5);
    struct play *p = with_job(&jr);
    (void)state;
    give(p, 1, &newer);
    status_says(p, "another instance runs it");
    assert_true(answer(p, 200, "{\"_results\":[]}"));
    turn(p);
    assert_null(p->tick);
    end(p);
}

static void a_tombstone_of_somebody_else_stops_the_partition(void **state)
{
    struct job_record jr = job("commands/0/0", 4);
    struct play *p = with_job(&jr);
    (void)state;
    job_came(p, 1, "commands/0/0", STR_NULL);
    status_says(p, "another instance runs it");
    end(p);
}

static void what_cannot_be_read_stops_the_partition_or_is_passed_over(void **state)
{
    struct play *p = play_with_jobs();
    (void)state;
    p->jobs_high = 1;
    play_start(p);
    job_came(p, 0, "commands/0/0", STR_LIT("junk"));
    status_says(p, "cannot be read");
    end(p);
    p = play_with_jobs();
    p->jobs_string = STR_LIT("FC2");
    play_start(p);
    status_says(p, "another program commits");
    end(p);
    struct job_record jr = job("commands/0/0", 4);
    p = with_job(&jr);
    job_came(p, 1, "commands/0/0", STR_LIT("junk")); /* ours is known */
    job_came(p, 2, "other", STR_LIT("junk"));
    page(p, 0, NULL);
    assert_int_equal(result_of(p, output(p, 0)).outcome, SUCCEEDED);
    end(p);
}

static void jobs_of_another_connector_are_left_alone(void **state)
{
    struct play *p = begin();
    struct job_record jr = job("other/0/0", 4), newer = job("other/0/0", 9);
    (void)state;
    jr.source_topic = newer.source_topic = STR_LIT("other");
    give(p, 0, &jr);
    give(p, 1, &newer);
    job_came(p, 2, "other/0/0/cancel", STR_LIT("x"));
    job_came(p, 3, "other/0/0", STR_NULL);
    assert_int_equal(p->n_calls, 0);
    assert_null(p->tick);
    status_says(p, "\"live\"");
    end(p);
}

static void a_cancelled_list_gets_its_result_and_both_tombstones(void **state)
{
    struct job_record jr = job("commands/0/0", 4);
    struct play *p = with_job(&jr);
    (void)state;
    job_came(p, 1, "commands/0/0/cancel", STR_LIT("x"));
    assert_int_equal(p->tick->n_outputs, 3);
    struct result res = result_of(p, output(p, 0));
    assert_int_equal(res.outcome, CANCELLED);
    assert_true(str_is(res.error.kind, "cancelled"));
    assert_true(str_is(output(p, 1)->key, "commands/0/0"));
    assert_true(str_is(output(p, 2)->key, "commands/0/0/cancel"));
    end_tick(p, TICK_COMMITTED);
    job_came(p, 2, "commands/0/0/cancel", STR_LIT("x")); /* too late: forgotten */
    assert_int_equal(p->tick->n_outputs, 1);
    assert_null(output(p, 0)->value.ptr);
    assert_true(str_is(output(p, 0)->key, "commands/0/0/cancel"));
    end(p);
}

/* Also one that comes while the tombstone of another is on its way. */
static void each_request_to_cancel_nothing_goes(void **state)
{
    static const bool committed_before[] = {false, true};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct play *p = begin();
        job_came(p, 0, "commands/0/0/cancel", STR_LIT("x"));
        assert_int_equal(p->tick->n_outputs, 1);
        if (committed_before[i])
            end_tick(p, TICK_COMMITTED);
        job_came(p, 1, "commands/0/0/cancel", STR_LIT("x"));
        if (!committed_before[i])
            end_tick(p, TICK_COMMITTED);
        turn(p);
        assert_int_equal(p->tick->n_outputs, 1);
        assert_true(str_is(output(p, 0)->key, "commands/0/0/cancel"));
        assert_null(output(p, 0)->value.ptr);
        end_tick(p, TICK_COMMITTED);
        turn(p);
        assert_null(p->tick);
        end(p);
    }
}

static void after_a_fenced_producer_the_log_says_what_was_committed(void **state)
{
    (void)state;
    for (int committed = 0; committed < 2; committed++) {
        struct job_record jr = job("commands/0/0", 4), next = job("commands/0/0", 5);
        struct play *p = with_job(&jr);
        next.page_token = STR_LIT("t2");
        page(p, 1, "x?page_token=t2");
        p->jobs_high = 4;
        end_tick(p, TICK_UNKNOWN);
        assert_null(p->tick);
        if (committed)
            give(p, 2, &next);
        push(p, (struct kafka_event){.type = KAFKA_EOF, .at = p->jobs, .offset = 4});
        turn(p);
        p->now += 1000;
        turn(p);
        if (committed)
            assert_string_equal(p->calls[0]->query,
                                "page_token=t2&sort_order=asc&limit=100");
        else
            assert_int_equal(record_of(p, output(p, 1)).seq, 5);
        end(p);
    }
}

static void without_a_topic_for_its_rows_a_list_costs_no_request(void **state)
{
    struct play *p = play_with_jobs();
    (void)state;
    p->options.resources_prefix = "missing.";
    play_start(p);
    live(p);
    command(p, 0, "k", list);
    live(p);
    assert_int_equal(p->n_calls, 0);
    struct result res = result_of(p, output(p, 0));
    assert_int_equal(res.outcome, REJECTED);
    assert_true(str_is(res.error.kind, "topic-missing"));
    end(p);
}

/* What the tick that runs commits of the commands; -1: nothing. */
static int64_t line_of(const struct play *p)
{
    assert_non_null(p->tick);
    for (size_t i = 0; i < p->tick->n_offsets; i++)
        if (p->tick->offsets[i].at.topic == commands_topic)
            return p->tick->offsets[i].offset;
    return -1;
}

/* A page every minute; beside each a command of the same key comes and is committed. */
static void a_list_of_three_hours_never_holds_the_line(void **state)
{
    enum { PAGES = 180, MINUTE_MS = 60000 };
    struct play *p = begin();
    (void)state;
    command(p, 0, "k", list);
    live(p); /* the topic of its rows is known */
    const int64_t began = p->now;
    page(p, 1, "x?page_token=t1");
    for (int i = 1; i <= PAGES; i++) {
        struct job_record jr = record_of(p, output(p, 1));
        struct str value = encoded(p, &jr);
        assert_int_equal(jr.pages, i);
        end_tick(p, TICK_COMMITTED);
        if (i == 1)
            job_came(p, 0, "commands/0/0", value);
        p->now += MINUTE_MS; /* the next page is on its way */
        live(p);
        command(p, i, "k", patch);
        assert_int_equal(p->n_calls, 2);
        struct http_call *of_list = p->calls[0];
        p->calls[0] = p->calls[1];
        p->calls[1] = of_list;
        assert_true(answer(p, 204, ""));
        turn(p);
        assert_int_equal(line_of(p), i + 1);
        end_tick(p, TICK_COMMITTED);
        page(p, 1, arena_printf(&arena, "x?page_token=t%d", i + 1));
        assert_int_equal(line_of(p), -1);
    }
    assert_true(p->now - began >= 3 * 60 * MINUTE_MS);
    end(p);
}

/* Ticks keep a distance so that answers share them; where no call runs there is none. */
static void a_page_alone_does_not_wait_for_its_tick(void **state)
{
    (void)state;
    for (int others = 0; others < 2; others++) {
        struct play *p = begin();
        for (int i = 0; i <= others; i++) {
            struct job_record jr = job(arena_printf(&arena, "commands/0/%d", i), 1);
            give(p, i, &jr);
        }
        live(p);
        assert_int_equal(p->n_calls, 1 + others);
        page(p, 1, "x?page_token=t2");
        p->tick->end = TICK_COMMITTED;
        push(p, (struct kafka_event){.type = KAFKA_TICK, .tick = p->tick});
        p->tick = NULL;
        engine_turn(p->en); /* at the same moment, too early for a shared tick */
        assert_int_equal(p->n_calls, 1 + others);
        assert_true(answer(p, 200, "{\"_pagination\":{\"next\":null},\"_results\":[]}"));
        engine_turn(p->en);
        assert_int_equal(p->tick != NULL, others == 0);
        end(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_page_is_one_tick_with_its_job),
        TEST(a_page_is_fenced_by_its_own_partition),
        TEST(the_last_page_brings_result_and_tombstone),
        TEST(a_page_that_cannot_be_used_ends_the_list),
        TEST(a_refused_token_begins_anew_ten_times_at_most),
        TEST(a_deadline_ends_the_list),
        TEST(a_reply_topic_that_has_gone_is_left_out),
        TEST(a_page_outlives_its_tick),
        TEST(a_list_fails_when_one_of_its_rows_is_refused),
        TEST(a_list_ends_when_its_own_record_is_refused),
        TEST(jobs_max_running_is_kept),
        TEST(nothing_runs_before_the_log_is_read),
        TEST(a_newer_record_of_somebody_else_stops_the_partition),
        TEST(a_tombstone_of_somebody_else_stops_the_partition),
        TEST(what_cannot_be_read_stops_the_partition_or_is_passed_over),
        TEST(jobs_of_another_connector_are_left_alone),
        TEST(a_cancelled_list_gets_its_result_and_both_tombstones),
        TEST(each_request_to_cancel_nothing_goes),
        TEST(after_a_fenced_producer_the_log_says_what_was_committed),
        TEST(without_a_topic_for_its_rows_a_list_costs_no_request),
        TEST(a_list_of_three_hours_never_holds_the_line),
        TEST(a_page_alone_does_not_wait_for_its_tick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
