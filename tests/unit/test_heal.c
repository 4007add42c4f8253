/* Healing: from where to where a run reads, what it takes for known, what it leaves. And
 * lists of events, which write the same records. */
#include "jobs_help.h"

#include "codec/records/event.h"

enum { EVERY_MS = 300000, OVERLAP_MS = 10000, LAG_MS = 2000, AHEAD_MS = 7000 };
#define START_MS INT64_C(1700000000000)

static struct engine_sync healing;

static struct play *play_of_heal(void)
{
    struct play *p = play_with_jobs();
    healing = (struct engine_sync){.name = "heal",
                                   .operation = "list-events",
                                   .every_ms = EVERY_MS,
                                   .heals = true,
                                   .overlap_ms = OVERLAP_MS,
                                   .lag_ms = LAG_MS};
    p->now = START_MS;
    p->front_date = START_MS + AHEAD_MS;
    p->options.syncs = &healing;
    p->options.n_syncs = 1;
    return p;
}

static void go(struct play *p)
{
    for (int i = 0; i < 4; i++)
        live(p);
}

static struct play *first_start(void)
{
    struct play *p = play_of_heal();
    play_start(p);
    go(p);
    return p;
}

static struct job_record rested(void)
{
    return (struct job_record){.id = STR_LIT("heal"),
                               .kind = STR_LIT("heal"),
                               .state = STR_LIT("waiting"),
                               .operation = STR_LIT("list-events"),
                               .reply_partition = NO_NUMBER,
                               .source_partition = NO_NUMBER,
                               .source_offset = NO_NUMBER,
                               .deadline = NO_NUMBER,
                               .max_items = NO_NUMBER,
                               .seq = 9,
                               .run = START_MS - 500000,
                               .watermark = START_MS - 500000,
                               .next_run_at = START_MS + 100000,
                               .created_at = 1,
                               .updated_at = 1,
                               .group = STR_LIT("g")};
}

/* Another owner left this. */
static struct play *taken_over(const struct job_record *jr)
{
    struct play *p = play_of_heal();
    p->jobs_high = 1;
    play_start(p);
    give(p, 0, jr);
    go(p);
    return p;
}

static struct job_record left(struct play *p, size_t at)
{
    struct job_record jr = record_of(p, output(p, at));
    assert_true(str_is(output(p, at)->key, "heal"));
    assert_true(str_is(jr.kind, "heal"));
    return jr;
}

static void commit(struct play *p)
{
    end_tick(p, TICK_COMMITTED);
    go(p);
}

/* Front has these; they come with the next turns. */
static void answers(struct play *p, const char *rows, const char *next)
{
    char body[600];
    snprintf(body, sizeof body, "{\"_pagination\":{\"next\":%s%s%s},\"_results\":[%s]}",
             next ? "\"" : "", next ? next : "null", next ? "\"" : "", rows);
    assert_int_equal(p->n_calls, 1);
    assert_true(answer(p, 200, body));
    go(p);
}

static struct event event_of(struct play *p, const struct kafka_output *out)
{
    struct event ev;
    struct err e = ERR_INIT;
    assert_string_equal(out->topic, "front.events");
    assert_int_equal(event_decode(p->ss, out->value, &arena, &ev, &e), 0);
    return ev;
}

static bool has_header(const struct kafka_output *out, const char *name,
                       const char *value)
{
    for (size_t i = 0; i < out->n_headers; i++)
        if (str_is(out->headers[i].name, name) && str_is(out->headers[i].value, value))
            return true;
    return false;
}

/* Some webhook brought it. */
static void is_on_the_topic(struct play *p, const char *id)
{
    struct event ev = {.id = str_of(id),
                       .type = STR_LIT("inbound"),
                       .emitted_at = NO_NUMBER,
                       .received_at = NO_NUMBER,
                       .conversation.created_at = NO_NUMBER,
                       .payload = STR_LIT("{}"),
                       .delivery = STR_LIT(EVENT_WEBHOOK)};
    struct buf bytes;
    buf_init(&bytes, 4096);
    assert_int_equal(event_encode(p->ss, &ev, &bytes), 0);
    p->events_log[p->n_events_log++].value =
        (struct str){arena_strndup(&arena, bytes.data, bytes.len), bytes.len};
    buf_fini(&bytes);
}

/* Before it reads anything the record says from where. */
static void the_first_start_fixes_where_it_begins(void **state)
{
    struct play *p = first_start();
    (void)state;
    assert_int_equal(p->n_calls, 0);
    assert_int_equal(p->tick->n_outputs, 1);
    struct job_record jr = left(p, 0);
    /* Front did not say its time yet */
    assert_int_equal(jr.watermark, START_MS);
    assert_true(str_is(jr.state, "waiting"));
    assert_int_equal(jr.seq, 1);
    assert_int_equal(p->tick->offsets[0].offset, 0); /* the fence of its partition */
    commit(p);
    assert_int_equal(p->n_calls, 1);
    assert_string_equal(p->calls[0]->path, "/events");
    end(p);
}

static void settings_may_say_where_it_begins(void **state)
{
    struct play *p = play_of_heal();
    (void)state;
    healing.from_ms = 1234567;
    play_start(p);
    go(p);
    assert_int_equal(left(p, 0).watermark, 1234567);
    end(p);
}

static void a_run_reads_from_the_watermark_to_the_present(void **state)
{
    struct job_record jr = rested();
    struct play *p = taken_over(&jr);
    (void)state;
    int64_t before = strtoll(strstr(p->calls[0]->query, "before%5D=") + 10, NULL, 10);
    assert_in_range(before * 1000, START_MS + AHEAD_MS - LAG_MS - 1000,
                    START_MS + AHEAD_MS - LAG_MS + 1000);
    assert_non_null(strstr(p->calls[0]->query, "q%5Bafter%5D=1699999490.000&"));
    assert_non_null(strstr(p->calls[0]->query, "&limit=15"));
    assert_non_null(strstr(p->calls[0]->query, "sort_by=created_at&sort_order=asc"));
    answers(p, "", NULL);
    assert_int_equal(p->tick->n_outputs, 1); /* no result */
    struct job_record next = left(p, 0);
    assert_true(next.watermark / 1000 == before);
    assert_true(str_is(next.state, "waiting"));
    assert_int_equal(next.seq, 10);
    commit(p);
    assert_int_equal(p->n_calls, 0);
    p->now = next.next_run_at;
    go(p);
    assert_int_equal(p->n_calls, 1);
    end(p);
}

static const char two[] =
    "{\"id\":\"evt_1\",\"type\":\"inbound\",\"emitted_at\":1699999999.5,"
    "\"conversation\":{\"id\":\"cnv_1\"},\"source\":{\"_meta\":{\"type\":\"api\"}}},"
    "{\"id\":\"evt_2\",\"type\":\"tag\"}";

static void what_no_webhook_brought_is_produced(void **state)
{
    struct job_record jr = rested();
    struct play *p = taken_over(&jr);
    (void)state;
    is_on_the_topic(p, "evt_2");
    answers(p, two, NULL);
    assert_int_equal(p->tick->n_outputs, 2);
    struct event ev = event_of(p, output(p, 0));
    assert_true(str_is(ev.id, "evt_1") && str_is(ev.type, "inbound"));
    assert_true(str_is(ev.delivery, "poll")); /* webhooks are off */
    assert_true(str_is(output(p, 0)->key, "cnv_1"));
    assert_int_equal(ev.emitted_at, 1699999999500);
    assert_true(strncmp(ev.payload.ptr, two, ev.payload.len) == 0);
    assert_true(has_header(output(p, 0), "ce_id", "evt_1"));
    assert_true(has_header(output(p, 0), "origin", "api"));
    assert_true(has_header(output(p, 0), "delivery", "poll"));
    assert_false(has_header(output(p, 0), "operation", "list-events"));
    end(p);
}

/* What comes onto the topic after the page came is known for the next page. */
static void each_page_is_compared_with_the_topic_as_it_is_then(void **state)
{
    struct job_record jr = rested();
    struct play *p = taken_over(&jr);
    (void)state;
    is_on_the_topic(p, "evt_1");
    answers(p, two, "x?page_token=t1");
    assert_true(str_is(event_of(p, output(p, 0)).id, "evt_2"));
    assert_true(str_is(left(p, 1).page_token, "t1"));
    is_on_the_topic(p, "evt_2"); /* ours */
    is_on_the_topic(p, "evt_3"); /* somebody's webhook */
    commit(p);
    answers(p,
            "{\"id\":\"evt_2\",\"type\":\"tag\"},{\"id\":\"evt_3\",\"type\":\"tag\"},"
            "{\"id\":\"evt_4\",\"type\":\"tag\"}",
            NULL);
    assert_int_equal(p->tick->n_outputs, 2);
    assert_true(str_is(event_of(p, output(p, 0)).id, "evt_4"));
    end(p);
}

static void nothing_is_produced_while_the_topic_cannot_be_read(void **state)
{
    struct job_record jr = rested();
    struct play *p = taken_over(&jr);
    (void)state;
    p->events_fail = 2;
    is_on_the_topic(p, "evt_2");
    answers(p, two, NULL);
    assert_true(p->tick == NULL || p->tick->n_outputs == 0);
    count_is(p, "follows", 1);
    for (int i = 0; i < 200 && (p->tick == NULL || p->tick->n_outputs == 0); i++)
        live(p);
    assert_int_equal(p->tick->n_outputs, 2);
    assert_true(str_is(event_of(p, output(p, 0)).id, "evt_1"));
    end(p);
}

static void a_run_that_fails_goes_back_to_the_same_watermark(void **state)
{
    struct job_record jr = rested();
    struct play *p = taken_over(&jr);
    (void)state;
    assert_true(answer(p, 403, "{}"));
    go(p);
    struct job_record next = left(p, 0);
    assert_int_equal(next.watermark, jr.watermark);
    assert_true(str_is(next.error, "front"));
    end(p);
}

/* An older record: the run goes on at its page, with the times it began with. */
static void a_run_that_was_broken_off_goes_on(void **state)
{
    struct pair params[] = {{.name = STR_LIT("q[after]"), .value = STR_LIT("1.000")},
                            {.name = STR_LIT("q[before]"), .value = STR_LIT("2.000")}};
    struct job_record jr = rested();
    (void)state;
    jr.state = STR_LIT("running");
    jr.page_token = STR_LIT("t7");
    jr.params = params;
    jr.n_params = 2;
    jr.run = 2000;
    jr.pages = 3;
    struct play *p = taken_over(&jr);
    assert_non_null(strstr(p->calls[0]->query, "page_token=t7"));
    assert_non_null(strstr(p->calls[0]->query, "q%5Bbefore%5D=2.000"));
    answers(p, "", NULL);
    assert_int_equal(left(p, 0).watermark, 2000);
    end(p);
}

/* The settings do not have it any more: its record stays for when they do again. */
static void without_the_setting_its_record_stays(void **state)
{
    struct job_record jr = rested();
    struct play *p = play_of_heal();
    (void)state;
    p->options.n_syncs = 0;
    p->jobs_high = 1;
    play_start(p);
    give(p, 0, &jr);
    go(p);
    p->now += 1000000;
    go(p);
    assert_int_equal(p->n_calls, 0);
    assert_true(p->tick == NULL || p->tick->n_outputs == 0);
    end(p);
}

static void a_list_of_events_gives_the_same_records(void **state)
{
    struct play *p = begin();
    (void)state;
    command(p, 0, "k",
            "{\"operation\":\"list-conversation-events\",\"command_id\":\"c\","
            "\"params\":{\"conversation_id\":\"cnv_1\"}}");
    go(p);
    answers(p, two, NULL);
    assert_int_equal(p->tick->n_outputs, 3);
    struct kafka_output *events = p->tick->outputs + 1;
    struct event ev = event_of(p, &events[0]);
    assert_true(str_is(ev.id, "evt_1") && str_is(ev.delivery, "poll"));
    assert_true(has_header(&events[0], "ce_type", "com.frontapp.inbound"));
    assert_true(has_header(&events[0], "command-id", "c"));
    assert_true(has_header(&events[0], "operation", "list-conversation-events"));
    assert_true(str_is(event_of(p, &events[1]).id, "evt_2"));
    assert_int_equal(result_of(p, output(p, 0)).items, 2);
    end(p);
}

/* An element that is no event arrives all the same, under the digest of its text. */
static void what_is_no_event_arrives(void **state)
{
    struct play *p = begin();
    (void)state;
    command(p, 0, "k", "{\"operation\":\"list-events\"}");
    go(p);
    answers(p, "7,{\"id\":\"evt_9\"}", NULL);
    struct event ev = event_of(p, &p->tick->outputs[1]);
    assert_int_equal(ev.id.len, 32);
    assert_true(str_is(ev.payload, "7"));
    assert_true(str_is(event_of(p, &p->tick->outputs[2]).id, "evt_9"));
    end(p);
}

/* It goes with its id alone, by which Front can be asked for it. */
static void one_that_is_too_large_goes_with_its_id(void **state)
{
    struct play *p = begin();
    (void)state;
    command(p, 0, "k", "{\"operation\":\"list-events\"}");
    go(p);
    answers(p, two, NULL);
    p->tick->bad = 1;
    p->tick->bad_too_large = true;
    end_tick(p, TICK_BAD_RECORD);
    turn(p);
    struct event ev = event_of(p, &p->tick->outputs[1]);
    assert_true(str_is(ev.id, "evt_1") && str_is(ev.payload, "{\"id\":\"evt_1\"}"));
    assert_int_equal(ev.emitted_at, 1699999999500);
    assert_true(has_header(&p->tick->outputs[1], "operation", "list-events"));
    end(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_start_fixes_where_it_begins),
        TEST(settings_may_say_where_it_begins),
        TEST(a_run_reads_from_the_watermark_to_the_present),
        TEST(what_no_webhook_brought_is_produced),
        TEST(each_page_is_compared_with_the_topic_as_it_is_then),
        TEST(nothing_is_produced_while_the_topic_cannot_be_read),
        TEST(a_run_that_fails_goes_back_to_the_same_watermark),
        TEST(a_run_that_was_broken_off_goes_on),
        TEST(without_the_setting_its_record_stays),
        TEST(a_list_of_events_gives_the_same_records),
        TEST(what_is_no_event_arrives),
        TEST(one_that_is_too_large_goes_with_its_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
