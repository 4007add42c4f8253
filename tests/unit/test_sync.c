/* Syncs: when they run, what they ask for, what each run leaves, who goes on with it. */
#include "jobs_help.h"

#include "codec/records/command.h"
#include "kafka/kafka.h"

enum { EVERY_MS = 60000, OVERLAP_MS = 10000, AHEAD_MS = 7000 };
#define START_MS INT64_C(1700000000000)

static struct engine_sync people;
static struct pair limit;

static struct play *play_of_sync(void)
{
    struct play *p = play_with_jobs();
    limit = (struct pair){.name = STR_LIT("limit"), .value = STR_LIT("50")};
    people = (struct engine_sync){.name = "people",
                                  .operation = "list-contacts",
                                  .params = &limit,
                                  .n_params = 1,
                                  .every_ms = EVERY_MS,
                                  .overlap_ms = OVERLAP_MS};
    p->now = START_MS;
    p->front_date = START_MS + AHEAD_MS;
    p->options.syncs = &people;
    p->options.n_syncs = 1;
    return p;
}

/* As the connector leaves it between two runs. */
static struct job_record rested(void)
{
    static struct pair params[2];
    params[0] = limit;
    return (struct job_record){.id = STR_LIT("sync/people"),
                               .kind = STR_LIT("sync"),
                               .state = STR_LIT("waiting"),
                               .operation = STR_LIT("list-contacts"),
                               .params = params,
                               .n_params = 1,
                               .command_id = STR_LIT("sync/people/1"),
                               .key = STR_LIT("people"),
                               .reply_partition = NO_NUMBER,
                               .source_partition = NO_NUMBER,
                               .source_offset = NO_NUMBER,
                               .deadline = NO_NUMBER,
                               .received_at = START_MS - 1000,
                               .started_at = START_MS - 1000,
                               .max_items = NO_NUMBER,
                               .pages = 3,
                               .items = 300,
                               .walk_items = 300,
                               .seq = 9,
                               .run = START_MS - 500000,
                               .watermark = START_MS - 500000,
                               .next_run_at = START_MS,
                               .created_at = 1,
                               .updated_at = 1,
                               .group = STR_LIT("g")};
}

static struct job_record broken_off(void)
{
    struct job_record jr = rested();
    jr.state = STR_LIT("running");
    jr.command_id = STR_LIT("sync/people/77");
    jr.run = 77;
    jr.page_token = STR_LIT("t2");
    jr.next_run_at = 0;
    return jr;
}

static void go(struct play *p)
{
    for (int i = 0; i < 3; i++)
        live(p);
}

/* Another owner left this. */
static void take_over(struct play *p, const struct job_record *jr)
{
    p->jobs_high = 1;
    play_start(p);
    give(p, 0, jr);
    go(p);
}

static void first_start(struct play *p)
{
    play_start(p);
    go(p);
}

/* The run's last page; its tick. */
static void last_page(struct play *p, int rows)
{
    p->front_date = p->now + AHEAD_MS;
    page(p, rows, NULL);
}

static void commit(struct play *p)
{
    end_tick(p, TICK_COMMITTED);
    go(p);
}

static void pass(struct play *p, int64_t until_ms)
{
    p->now = until_ms;
    go(p);
}

static struct job_record left(struct play *p, size_t at)
{
    struct job_record jr = record_of(p, output(p, at));
    assert_true(str_is(output(p, at)->key, "sync/people"));
    assert_true(str_is(jr.kind, "sync"));
    return jr;
}

static void metric_says(struct play *p, const char *text)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    engine_metrics(p->en, &out);
    if (strstr(out.data, text) == NULL)
        fail_msg("no %s in %s", text, out.data);
    buf_fini(&out);
}

static void query_is(const struct play *p, const char *query)
{
    assert_int_equal(p->n_calls, 1);
    assert_string_equal(p->calls[0]->query, query);
}

static void a_run_is_items_result_and_the_record_that_waits(void **state)
{
    struct play *p = play_of_sync();
    (void)state;
    first_start(p);
    query_is(p, "sort_order=asc&limit=50");
    int64_t began = p->now - 30; /* the call left in the turn before */
    last_page(p, 2);
    assert_int_equal(p->tick->n_outputs, 4);
    assert_int_equal(p->tick->n_offsets, 1);
    assert_true(p->tick->offsets[0].at.topic == jobs_topic);
    struct result res = result_of(p, output(p, 2));
    assert_int_equal(res.outcome, SUCCEEDED);
    assert_null(res.source_topic.ptr);
    assert_int_equal(res.source_offset, NO_NUMBER);
    assert_int_equal(res.items, 2);
    assert_int_equal(res.pages, 1);
    assert_true(str_is(output(p, 2)->key, "people"));
    assert_int_equal(output(p, 2)->partition, -1);
    struct job_record jr = left(p, 3);
    assert_true(str_is(jr.state, "waiting"));
    assert_true(str_is(jr.group, "g"));
    assert_null(jr.page_token.ptr);
    assert_int_equal(jr.seq, 1);
    assert_int_equal(jr.next_run_at, jr.received_at + EVERY_MS);
    assert_int_equal(jr.watermark, jr.run);
    assert_in_range(jr.run, began + AHEAD_MS - 60, began + AHEAD_MS + 30);
    char id[60];
    snprintf(id, sizeof id, "sync/people/%lld", (long long)jr.run);
    assert_true(str_is(res.command_id, id));
    struct kafka_header first = output(p, 0)->headers[0];
    assert_true(str_is(first.name, "command-id") && str_is(first.value, id));
    end(p);
}

static void the_next_run_comes_after_the_interval(void **state)
{
    struct play *p = play_of_sync();
    (void)state;
    first_start(p);
    last_page(p, 0);
    struct job_record jr = left(p, 1);
    struct str value = encoded(p, &jr);
    commit(p);
    job_came(p, 0, "sync/people", value);
    count_is(p, "idle", 1);
    assert_int_equal(p->n_calls, 0);
    pass(p, jr.next_run_at - 100);
    assert_int_equal(p->n_calls, 0);
    pass(p, jr.next_run_at);
    query_is(p, "sort_order=asc&limit=50");
    last_page(p, 0);
    struct job_record next = left(p, 1);
    assert_int_equal(next.seq, 2);
    assert_true(next.run > jr.run);
    assert_int_equal(result_of(p, output(p, 0)).pages, 1);
    end(p);
}

/* Whatever Front's clock does. */
static void no_two_runs_have_one_name(void **state)
{
    struct play *p = play_of_sync();
    struct job_record jr = rested();
    (void)state;
    jr.run = START_MS + 10 * EVERY_MS;
    take_over(p, &jr);
    last_page(p, 0);
    assert_int_equal(left(p, 1).run, jr.run + 1);
    end(p);
}

static void intervals_that_pass_in_a_run_are_left_out(void **state)
{
    struct play *p = play_of_sync();
    (void)state;
    first_start(p);
    pass(p, p->now + 5 * EVERY_MS / 2);
    last_page(p, 0);
    struct job_record jr = left(p, 1);
    assert_int_equal(jr.next_run_at, jr.received_at + 3 * EVERY_MS);
    /* ... and Front had the list when it was asked, not when it answered. */
    assert_in_range(jr.run, jr.received_at + AHEAD_MS - 60,
                    jr.received_at + AHEAD_MS + 60);
    end(p);
}

static void whoever_takes_over_waits_until_it_is_due(void **state)
{
    static const struct {
        int64_t next_run_in_ms, wait_ms;
    } cases[] = {{-1000000, 0},
                 {30000, 30000},
                 {1000 * (int64_t)EVERY_MS, EVERY_MS}}; /* somebody set a clock */
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct play *p = play_of_sync();
        struct job_record jr = rested();
        jr.next_run_at = p->now + cases[i].next_run_in_ms;
        take_over(p, &jr);
        metric_says(p, "sync_last_success_timestamp_seconds{sync=\"people\"} 1699999500");
        if (cases[i].wait_ms > 0) {
            assert_int_equal(p->n_calls, 0);
            pass(p, START_MS + cases[i].wait_ms - 100);
            assert_int_equal(p->n_calls, 0);
            pass(p, START_MS + cases[i].wait_ms + 200);
        }
        query_is(p, "sort_order=asc&limit=50");
        end(p);
    }
}

static void a_run_that_was_broken_off_goes_on_at_its_page(void **state)
{
    struct play *p = play_of_sync();
    struct job_record jr = broken_off();
    (void)state;
    limit.value = STR_LIT("20"); /* the settings changed: they count for the next run */
    take_over(p, &jr);
    query_is(p, "page_token=t2&sort_order=asc&limit=50");
    last_page(p, 1);
    struct result res = result_of(p, output(p, 1));
    assert_true(str_is(res.command_id, "sync/people/77"));
    assert_int_equal(res.items, 301);
    assert_int_equal(res.pages, 4);
    struct job_record next = left(p, 2);
    assert_int_equal(next.seq, 10);
    assert_int_equal(next.watermark, 77);
    assert_null(next.page_token.ptr);
    commit(p);
    pass(p, next.next_run_at);
    query_is(p, "sort_order=asc&limit=20");
    end(p);
}

static void the_record_of_a_page_says_that_it_runs(void **state)
{
    struct play *p = play_of_sync();
    struct job_record jr = rested();
    (void)state;
    take_over(p, &jr);
    page(p, 1, "x?page_token=t1");
    struct job_record next = left(p, 1);
    assert_true(str_is(next.state, "running"));
    assert_int_equal(next.seq, 10);
    assert_int_equal(next.pages, 1);
    assert_int_equal(next.items, 1);
    assert_int_equal(next.next_run_at, 0);
    assert_int_equal(next.watermark, jr.watermark);
    commit(p);
    query_is(p, "page_token=t1&sort_order=asc&limit=50");
    metric_says(p, "sync_last_success_timestamp_seconds{sync=\"people\"} 1699999500");
    end(p);
}

static void the_cursor_is_the_last_complete_walk_less_the_overlap(void **state)
{
    struct play *p = play_of_sync();
    struct job_record jr = rested();
    (void)state;
    people.updated_after = true;
    jr.watermark = START_MS - 499001; /* rounded down */
    take_over(p, &jr);
    query_is(p, "sort_order=asc&q%5Bupdated_after%5D=1699999490&limit=50");
    assert_true(answer(p, 403, "{}"));
    turn(p);
    struct job_record next = left(p, 1);
    assert_int_equal(next.watermark, jr.watermark);
    commit(p);
    pass(p, next.next_run_at);
    query_is(p, "sort_order=asc&q%5Bupdated_after%5D=1699999490&limit=50");
    last_page(p, 0);
    next = left(p, 1);
    assert_true(next.watermark == next.run && next.run > START_MS);
    commit(p);
    pass(p, next.next_run_at);
    char query[80];
    snprintf(query, sizeof query, "sort_order=asc&q%%5Bupdated_after%%5D=%lld&limit=50",
             (long long)(next.run - OVERLAP_MS) / 1000);
    query_is(p, query);
    end(p);
}

/* The keys of the page's rows in its tick; a digest counts when that is committed. */
static void page_gives(struct play *p, const char *rows, const char *keys)
{
    char body[400], got[80] = "";
    snprintf(body, sizeof body, "{\"_results\":[%s]}", rows);
    assert_int_equal(p->n_calls, 1);
    assert_true(answer(p, 200, body));
    turn(p);
    assert_non_null(p->tick);
    for (size_t i = 0; i + 2 < p->tick->n_outputs; i++) /* then result and record */
        snprintf(got + strlen(got), sizeof got - strlen(got), "%.*s ",
                 STR_ARG(output(p, i)->key));
    assert_string_equal(got, keys);
    assert_int_equal(result_of(p, output(p, p->tick->n_outputs - 2)).items,
                     p->tick->n_outputs - 2);
    int64_t next = left(p, p->tick->n_outputs - 1).next_run_at;
    commit(p);
    pass(p, next);
}

static void a_row_of_the_overlap_that_is_as_it_was_is_left_out(void **state)
{
    struct play *p = play_of_sync();
    struct job_record jr = rested();
    (void)state;
    people.updated_after = true;
    take_over(p, &jr);
    /* one changed before the overlap of the next run, one after, one does not say */
    static const char first[] = "{\"id\":\"a\",\"updated_at\":1699999000.5},"
                                "{\"id\":\"b\",\"updated_at\":1700000006.25},"
                                "{\"id\":\"c\"}";
    page_gives(p, first, "a b c ");
    page_gives(p, first, "a c ");
    page_gives(p, "{\"id\":\"b\",\"updated_at\":1700000006.25}", "");
    /* one that changed comes */
    page_gives(p,
               "{\"id\":\"b\",\"updated_at\":1700000006.25},"
               "{\"id\":\"b\",\"updated_at\":1700000006.26}",
               "b ");
    /* not seen by a whole run: forgotten */
    page_gives(p, "", "");
    page_gives(p, "{\"id\":\"b\",\"updated_at\":1700000006.25}", "b ");
    end(p);
}

static void without_a_cursor_all_rows_come_again(void **state)
{
    struct play *p = play_of_sync();
    struct job_record jr = rested();
    (void)state;
    take_over(p, &jr);
    page_gives(p, "{\"id\":\"b\",\"updated_at\":1700000006.25}", "b ");
    page_gives(p, "{\"id\":\"b\",\"updated_at\":1700000006.25}", "b ");
    end(p);
}

/* What a run that failed has produced is known, and what was known before it too. */
static void a_run_that_fails_forgets_no_row(void **state)
{
    struct play *p = play_of_sync();
    struct job_record jr = rested();
    (void)state;
    people.updated_after = true;
    take_over(p, &jr);
    page_gives(p, "{\"id\":\"b\",\"updated_at\":1700000006.25}", "b ");
    assert_true(answer(p, 200,
                       "{\"_pagination\":{\"next\":\"x?page_token=t1\"},\"_results\":"
                       "[{\"id\":\"d\",\"updated_at\":1800000000}]}"));
    turn(p);
    commit(p);
    assert_true(answer(p, 403, "{}"));
    turn(p);
    struct job_record next = left(p, 1);
    commit(p);
    pass(p, next.next_run_at);
    page_gives(p,
               "{\"id\":\"b\",\"updated_at\":1700000006.25},"
               "{\"id\":\"d\",\"updated_at\":1800000000}",
               "");
    end(p);
}

/* A page that was refused is not known. */
static void a_page_that_was_not_produced_is_not_known(void **state)
{
    struct play *p = play_of_sync();
    struct job_record jr = rested();
    (void)state;
    people.updated_after = true;
    take_over(p, &jr);
    assert_true(
        answer(p, 200, "{\"_results\":[{\"id\":\"b\",\"updated_at\":1800000000}]}"));
    turn(p);
    p->tick->bad = 0;
    end_tick(p, TICK_BAD_RECORD);
    turn(p);
    struct job_record next = left(p, 1); /* the run failed: no row */
    commit(p);
    pass(p, next.next_run_at);
    page_gives(p, "{\"id\":\"b\",\"updated_at\":1800000000}", "b ");
    end(p);
}

static void the_first_run_has_no_cursor(void **state)
{
    struct play *p = play_of_sync();
    (void)state;
    people.updated_after = true;
    first_start(p);
    query_is(p, "sort_order=asc&limit=50");
    end(p);
}

/* A cursor of another list would leave rows out. */
static void another_list_is_read_from_its_beginning(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct play *p = play_of_sync();
        struct job_record jr = rested();
        people.updated_after = true;
        if (i == 0)
            limit.value = STR_LIT("20");
        else if (i == 1)
            people.n_params = 0;
        else if (i == 2)
            jr.n_params = 0;
        else
            jr.operation = STR_LIT("list-tags");
        take_over(p, &jr);
        assert_int_equal(p->n_calls, 1);
        assert_null(strstr(p->calls[0]->query, "updated_after"));
        assert_true(answer(p, 403, "{}"));
        turn(p);
        struct job_record next = left(p, 1); /* and the next run again, as this failed */
        assert_int_equal(next.watermark, 0);
        commit(p);
        pass(p, next.next_run_at);
        assert_null(strstr(p->calls[0]->query, "updated_after"));
        end(p);
    }
}

static void a_run_that_fails_is_tried_at_the_next_interval(void **state)
{
    struct play *p = play_of_sync();
    (void)state;
    first_start(p);
    assert_true(answer(p, 403, "{\"_error\":{\"title\":\"T\",\"message\":\"M\"}}"));
    turn(p);
    struct result res = result_of(p, output(p, 0));
    assert_int_equal(res.outcome, FAILED);
    assert_true(str_is(res.error.kind, "front"));
    struct job_record jr = left(p, 1);
    assert_true(str_is(jr.error, "front"));
    assert_int_equal(jr.next_run_at, jr.received_at + EVERY_MS);
    commit(p);
    assert_int_equal(p->n_calls, 0);
    metric_says(p, "sync_last_success_timestamp_seconds{sync=\"people\"} 0");
    pass(p, jr.next_run_at);
    last_page(p, 0);
    jr = left(p, 1);
    assert_null(jr.error.ptr);
    commit(p);
    metric_says(p, "sync_last_success_timestamp_seconds{sync=\"people\"} 17000000");
    metric_says(p, "job_results_total{outcome=\"SUCCEEDED\"} 1");
    end(p);
}

static void without_a_topic_for_its_rows_a_run_fails(void **state)
{
    struct play *p = play_of_sync();
    (void)state;
    p->options.resources_prefix = "missing.";
    first_start(p);
    assert_int_equal(p->n_calls, 0);
    assert_true(str_is(result_of(p, output(p, 0)).error.kind, "topic-missing"));
    assert_true(str_is(left(p, 1).state, "waiting"));
    end(p);
}

static void the_record_of_a_sync_that_was_removed_goes(void **state)
{
    struct play *p = play_of_sync();
    struct job_record jr = rested();
    (void)state;
    p->options.n_syncs = 0;
    take_over(p, &jr);
    assert_int_equal(p->n_calls, 0);
    assert_int_equal(p->tick->n_outputs, 1);
    assert_true(str_is(output(p, 0)->key, "sync/people"));
    assert_null(output(p, 0)->value.ptr);
    commit(p);
    job_came(p, 1, "sync/people", STR_NULL);
    count_is(p, "ended", 0);
    pass(p, START_MS + 2 * EVERY_MS);
    assert_int_equal(p->n_calls, 0);
    end(p);
    jr = broken_off();
    p = play_of_sync();
    p->options.n_syncs = 0;
    take_over(p, &jr);
    assert_int_equal(p->tick->n_outputs, 2);
    assert_int_equal(result_of(p, output(p, 0)).outcome, CANCELLED);
    assert_null(output(p, 1)->value.ptr);
    commit(p);
    count_is(p, "ended", 1);
    end(p);
}

static void a_cancel_ends_the_run_only(void **state)
{
    struct play *p = play_of_sync();
    (void)state;
    first_start(p);
    job_came(p, 0, "sync/people/cancel", STR_LIT("x"));
    assert_int_equal(p->tick->n_outputs, 3);
    assert_int_equal(result_of(p, output(p, 0)).outcome, CANCELLED);
    struct job_record jr = left(p, 1);
    assert_true(str_is(output(p, 2)->key, "sync/people/cancel"));
    assert_null(output(p, 2)->value.ptr);
    assert_true(answer(p, 200, "{}")); /* to the call that nobody waits for any more */
    commit(p);
    job_came(p, 2, "sync/people/cancel", STR_NULL);
    pass(p, jr.next_run_at);
    page(p, 1, "x?page_token=t1"); /* it is not cancelled again */
    assert_true(str_is(left(p, 1).state, "running"));
    commit(p);
    query_is(p, "page_token=t1&sort_order=asc&limit=50");
    end(p);
}

static void a_cancel_between_two_runs_only_goes(void **state)
{
    struct play *p = play_of_sync();
    struct job_record jr = rested();
    (void)state;
    jr.next_run_at = START_MS + 30000;
    take_over(p, &jr);
    job_came(p, 1, "sync/people/cancel", STR_LIT("x"));
    assert_int_equal(p->tick->n_outputs, 2);
    struct job_record next = left(p, 0);
    assert_true(str_is(next.state, "waiting"));
    assert_int_equal(next.next_run_at, jr.next_run_at);
    assert_int_equal(next.seq, 10);
    assert_true(str_is(output(p, 1)->key, "sync/people/cancel"));
    commit(p);
    assert_int_equal(p->n_calls, 0);
    pass(p, START_MS + 30000);
    query_is(p, "sort_order=asc&limit=50");
    end(p);
}

/* That came while the run's last page waited for its tick. */
static void a_cancel_that_is_late_only_goes(void **state)
{
    struct play *p = play_of_sync();
    (void)state;
    first_start(p);
    last_page(p, 1);
    job_came(p, 0, "sync/people/cancel", STR_LIT("x"));
    end_tick(p, TICK_COMMITTED);
    turn(p);
    assert_int_equal(p->tick->n_outputs, 2);
    assert_true(str_is(left(p, 0).state, "waiting"));
    assert_true(str_is(output(p, 1)->key, "sync/people/cancel"));
    end(p);
}

/* That comes while the tombstone of another is on its way, and may lie behind it. */
static void a_second_cancel_only_goes_too(void **state)
{
    struct play *p = play_of_sync();
    (void)state;
    first_start(p);
    job_came(p, 0, "sync/people/cancel", STR_LIT("x"));
    assert_int_equal(p->tick->n_outputs, 3);
    assert_true(answer(p, 200, "{}"));
    job_came(p, 1, "sync/people/cancel", STR_LIT("x"));
    end_tick(p, TICK_COMMITTED);
    turn(p);
    assert_int_equal(p->tick->n_outputs, 2);
    assert_true(str_is(left(p, 0).state, "waiting"));
    assert_true(str_is(output(p, 1)->key, "sync/people/cancel"));
    assert_null(output(p, 1)->value.ptr);
    end(p);
}

static void a_sync_of_another_group_is_left_alone(void **state)
{
    struct play *p = play_of_sync();
    struct job_record jr = broken_off();
    (void)state;
    jr.group = STR_LIT("h");
    take_over(p, &jr);
    pass(p, START_MS + 2 * EVERY_MS);
    assert_int_equal(p->n_calls, 0);
    assert_null(p->tick);
    jr.seq++;
    give(p, 1, &jr);
    job_came(p, 2, "sync/people", STR_NULL);
    status_says(p, "\"live\"");
    end(p);
}

/* The jobs topic has got more partitions, say. */
static void a_sync_of_another_partition_is_not_run_here(void **state)
{
    struct play *p = play_of_sync();
    struct job_record jr = rested();
    (void)state;
    p->options.jobs_partitions = 2;
    while (kafka_partition_of(jr.id, p->options.jobs_partitions) == 0)
        p->options.jobs_partitions++;
    first_start(p);
    assert_int_equal(p->n_calls, 0);
    count_is(p, "idle", 0);
    give(p, 0, &jr); /* somebody writes it here: it is not looked at before a take-over */
    go(p);
    assert_int_equal(p->n_calls, 0);
    end(p);
    p = play_of_sync();
    p->options.jobs_partitions = 2;
    while (kafka_partition_of(jr.id, p->options.jobs_partitions) == 0)
        p->options.jobs_partitions++;
    take_over(p, &jr);
    assert_true(str_is(output(p, 0)->key, "sync/people"));
    assert_null(output(p, 0)->value.ptr);
    end(p);
}

static void a_newer_record_of_somebody_else_stops_the_partition(void **state)
{
    struct play *p = play_of_sync();
    struct job_record jr = rested();
    (void)state;
    jr.next_run_at = START_MS + 30000;
    take_over(p, &jr);
    jr.seq++;
    give(p, 1, &jr);
    status_says(p, "another instance runs it");
    end(p);
}

static void what_sleeps_takes_no_place(void **state)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    struct engine_sync syncs[4];
    struct play *p = play_of_sync();
    (void)state;
    for (int i = 0; i < 4; i++) {
        syncs[i] = people;
        syncs[i].name = names[i];
    }
    p->options.syncs = syncs;
    p->options.n_syncs = 4;
    first_start(p);
    assert_int_equal(p->n_calls, 2);
    for (int i = 0; i < 2; i++) {
        page(p, 0, NULL);
        commit(p);
    }
    assert_int_equal(p->n_calls, 2);
    count_is(p, "idle", 2);
    for (int i = 0; i < 2; i++) {
        page(p, 0, NULL);
        commit(p);
    }
    assert_int_equal(p->n_calls, 0);
    count_is(p, "idle", 4);
    end(p);
}

static void after_a_fenced_producer_the_log_says_whether_the_run_ended(void **state)
{
    (void)state;
    for (int committed = 0; committed < 2; committed++) {
        struct play *p = play_of_sync();
        first_start(p);
        last_page(p, 1);
        struct job_record jr = left(p, 2);
        struct str value = encoded(p, &jr);
        p->jobs_high = 4;
        end_tick(p, TICK_UNKNOWN);
        if (committed)
            job_came(p, 2, "sync/people", value);
        push(p, (struct kafka_event){.type = KAFKA_EOF, .at = p->jobs, .offset = 4});
        turn(p);
        turn(p);
        count_is(p, "idle", committed);
        if (!committed)
            assert_int_equal(left(p, 2).seq, 1);
        end(p);
    }
}

static void a_record_that_is_refused_ends_the_run(void **state)
{
    struct play *p = play_of_sync();
    (void)state;
    first_start(p);
    page(p, 1, "x?page_token=t1");
    p->tick->bad = 1;
    end_tick(p, TICK_BAD_RECORD);
    turn(p);
    assert_true(str_is(result_of(p, output(p, 1)).error.kind, "too-large"));
    assert_true(str_is(left(p, 2).state, "waiting"));
    end(p);
}

static void a_result_that_is_refused_is_made_smaller(void **state)
{
    struct play *p = play_of_sync();
    (void)state;
    first_start(p);
    last_page(p, 1);
    p->tick->bad = 1;
    end_tick(p, TICK_BAD_RECORD);
    turn(p);
    assert_int_equal(p->tick->n_outputs, 3);
    assert_int_equal(result_of(p, output(p, 1)).outcome, SUCCEEDED);
    struct job_record jr = left(p, 2);
    assert_int_equal(jr.seq, 1);
    assert_int_equal(jr.watermark, jr.run);
    end(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_run_is_items_result_and_the_record_that_waits),
        TEST(the_next_run_comes_after_the_interval),
        TEST(no_two_runs_have_one_name),
        TEST(intervals_that_pass_in_a_run_are_left_out),
        TEST(whoever_takes_over_waits_until_it_is_due),
        TEST(a_run_that_was_broken_off_goes_on_at_its_page),
        TEST(the_record_of_a_page_says_that_it_runs),
        TEST(the_cursor_is_the_last_complete_walk_less_the_overlap),
        TEST(a_row_of_the_overlap_that_is_as_it_was_is_left_out),
        TEST(without_a_cursor_all_rows_come_again),
        TEST(a_run_that_fails_forgets_no_row),
        TEST(a_page_that_was_not_produced_is_not_known),
        TEST(the_first_run_has_no_cursor),
        TEST(another_list_is_read_from_its_beginning),
        TEST(a_run_that_fails_is_tried_at_the_next_interval),
        TEST(without_a_topic_for_its_rows_a_run_fails),
        TEST(the_record_of_a_sync_that_was_removed_goes),
        TEST(a_cancel_ends_the_run_only),
        TEST(a_cancel_between_two_runs_only_goes),
        TEST(a_cancel_that_is_late_only_goes),
        TEST(a_second_cancel_only_goes_too),
        TEST(a_sync_of_another_group_is_left_alone),
        TEST(a_sync_of_another_partition_is_not_run_here),
        TEST(a_newer_record_of_somebody_else_stops_the_partition),
        TEST(what_sleeps_takes_no_place),
        TEST(after_a_fenced_producer_the_log_says_whether_the_run_ended),
        TEST(a_record_that_is_refused_ends_the_run),
        TEST(a_result_that_is_refused_is_made_smaller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
