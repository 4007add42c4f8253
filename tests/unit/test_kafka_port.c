/* The Kafka port on librdkafka's mock cluster, at-least-once (the mock keeps no
 * transactional offsets): what goes in comes out, in the order the engine relies on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "kafka/internal.h"
#include "kafka/kafka.h"

enum { PATIENCE_MS = 20000, DEADLINE_MS = 5000, PARTITIONS = 3 };

/* One cluster, one port, the events seen last of each kind. */
struct stage {
    rd_kafka_t *mock_owner;
    rd_kafka_mock_cluster_t *mock;
    struct loop *loop;
    struct kafka *kafka;
    struct kafka_port port;
    struct kafka_options options;
    struct setting_pair settings[2];

    int64_t assignment;
    struct kafka_partition parts[PARTITIONS];
    size_t n_parts;
    int seen[KAFKA_CLOSED + 1];
    struct kafka_event last[KAFKA_CLOSED + 1];
    char metadata[100];
    struct kafka_record records[20];
    size_t n_records;
};

static const char *const command_topics[] = {"commands"};
static const char *const output_topics[] = {"results"};

static int stage_up(void **state)
{
    static char timeout_key[] = "session.timeout.ms", timeout[] = "6000";
    /* The mock takes records of any size: what is too large is so to the producer. */
    static char size_key[] = "message.max.bytes", size[] = "1000000";
    struct stage *st = mem_zalloc(sizeof(*st));
    struct err e = ERR_INIT;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[200];

    log_setup(LOG_ERROR, LOG_TEXT);
    assert_int_equal(rd_kafka_conf_set(conf, "log_level", "3", text, sizeof(text)),
                     RD_KAFKA_CONF_OK);
    st->mock_owner = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    assert_non_null(st->mock_owner);
    st->mock = rd_kafka_mock_cluster_new(st->mock_owner, 1);
    assert_int_equal(rd_kafka_mock_topic_create(st->mock, "commands", PARTITIONS, 1), 0);
    assert_int_equal(rd_kafka_mock_topic_create(st->mock, "results", PARTITIONS, 1), 0);
    st->settings[0] = (struct setting_pair){timeout_key, timeout, "test"};
    st->settings[1] = (struct setting_pair){size_key, size, "test"};
    st->options = (struct kafka_options){
        .bootstrap = rd_kafka_mock_cluster_bootstraps(st->mock),
        .consumer = {st->settings, 1},
        .producer = {st->settings + 1, 1},
        .group_id = "g",
        .instance_id = "i",
        .topics = command_topics,
        .n_topics = 1,
        .outputs = output_topics,
        .n_outputs = 1,
    };
    st->loop = loop_new(&e);
    assert_non_null(st->loop);
    *state = st;
    return 0;
}

static void stage_open(struct stage *st)
{
    struct err e = ERR_INIT;

    st->kafka = kafka_open(st->loop, &st->options, &e);
    if (st->kafka == NULL)
        fail_msg("%s", e.text);
    st->port = kafka_port(st->kafka);
}

static void note(struct stage *st, struct kafka_event *ev)
{
    size_t i;

    st->seen[ev->type]++;
    st->last[ev->type] = *ev;
    if (ev->type == KAFKA_ASSIGN) {
        st->assignment = ev->assignment;
        st->n_parts = ev->n_parts;
        for (i = 0; i < ev->n_parts; i++)
            st->parts[i] = ev->parts[i];
    } else if (ev->type == KAFKA_COMMITTED) {
        (void)snprintf(st->metadata, sizeof(st->metadata), "%.*s", STR_ARG(ev->metadata));
    } else if (ev->type == KAFKA_RECORD) {
        assert_true(st->n_records < 20);
        st->records[st->n_records++] = ev->record;
    }
}

/* Turns the loop until this many events of a kind have come in all. */
static void until(struct stage *st, enum kafka_event_type type, int count)
{
    int64_t end = clock_now(&clock_system) + PATIENCE_MS;
    struct kafka_event ev;

    while (st->seen[type] < count) {
        while (st->port.next(st->port.self, &ev))
            note(st, &ev);
        if (st->seen[type] >= count)
            return;
        if (clock_now(&clock_system) > end)
            fail_msg("event %d did not come %d times", (int)type, count);
        loop_wait(st->loop, 100);
    }
}

static void assign_all(struct stage *st, int64_t offset)
{
    struct kafka_offset list[PARTITIONS];
    size_t i;

    for (i = 0; i < st->n_parts; i++)
        list[i] = (struct kafka_offset){st->parts[i], offset, STR_NULL};
    st->port.assign(st->port.self, list, st->n_parts, st->assignment);
}

static int stage_down(void **state)
{
    struct stage *st = *state;
    size_t i;

    for (i = 0; i < st->n_records; i++)
        st->port.release(st->port.self, &st->records[i]);
    kafka_free(st->kafka, DEADLINE_MS);
    loop_free(st->loop);
    rd_kafka_mock_cluster_destroy(st->mock);
    rd_kafka_destroy(st->mock_owner);
    mem_free(st);
    return 0;
}

static void close_all(struct stage *st)
{
    struct kafka_event ev;
    int64_t end = clock_now(&clock_system) + PATIENCE_MS;
    int revokes = st->seen[KAFKA_REVOKE];

    st->port.close(st->port.self);
    while (st->seen[KAFKA_CLOSED] == 0) {
        while (st->port.next(st->port.self, &ev))
            note(st, &ev);
        if (st->seen[KAFKA_REVOKE] > revokes) {
            revokes = st->seen[KAFKA_REVOKE];
            st->port.unassign(st->port.self, st->assignment);
        }
        if (clock_now(&clock_system) > end)
            fail_msg("not closed");
        loop_wait(st->loop, 100);
    }
}

static void a_command_comes_and_a_tick_moves_the_position(void **state)
{
    struct stage *st = *state;
    struct kafka_header headers[] = {{STR_LIT("a"), STR_LIT("1")},
                                     {STR_LIT("null"), STR_NULL},
                                     {STR_LIT("empty"), STR_LIT("")}};
    struct kafka_output in = {"commands", 1, STR_LIT("key"), STR_LIT("value"),
                              headers,    3, 1234,           false};
    struct kafka_output nothing = {"commands", 1, STR_NULL, STR_NULL, NULL, 0, 0, false};
    struct kafka_offset position = {{NULL, 1}, 2, STR_LIT("FC1 text")};
    struct kafka_output out = {"results", 2, STR_LIT("key"), STR_LIT("result"), headers,
                               1,         0, false};
    struct kafka_tick tick = {&position, 1, &out, 1, .owner = st};
    struct kafka_reader *r;
    struct kafka_record rec;
    struct err e = ERR_INIT;
    int64_t offset = -1;

    assert_int_equal(kafka_produce_wait(&st->options, &in, 10000, &offset, &e), 0);
    assert_int_equal(offset, 0);
    assert_int_equal(in.partition, 1);
    assert_int_equal(kafka_produce_wait(&st->options, &nothing, 10000, &offset, &e), 0);
    assert_int_equal(offset, 1);

    stage_open(st);
    until(st, KAFKA_STATE, 1);
    assert_true(st->last[KAFKA_STATE].up);
    until(st, KAFKA_ASSIGN, 1);
    assert_int_equal(st->n_parts, PARTITIONS);
    assert_ptr_equal(st->parts[0].topic, st->port.intern(st->port.self, "commands"));

    position.at.topic = st->parts[0].topic;
    tick.assignment = st->assignment;
    /* Before assign there is no group metadata: nothing may be committed. */
    assert_int_equal(st->port.submit(st->port.self, &tick), 0);
    assert_int_equal(st->port.submit(st->port.self, &tick), -1);
    until(st, KAFKA_TICK, 1);
    assert_int_equal(tick.end, TICK_STALE);

    st->port.committed(st->port.self, position.at);
    until(st, KAFKA_COMMITTED, 1);
    assert_int_equal(st->last[KAFKA_COMMITTED].offset, KAFKA_NO_OFFSET);
    assert_string_equal(st->last[KAFKA_COMMITTED].error, "");
    st->port.watermarks(st->port.self, position.at);
    until(st, KAFKA_WATERMARKS, 1);
    assert_int_equal(st->last[KAFKA_WATERMARKS].low, 0);
    assert_int_equal(st->last[KAFKA_WATERMARKS].high, 2);

    assign_all(st, 0);
    until(st, KAFKA_EOF, PARTITIONS);
    assert_int_equal(st->n_records, 2);
    assert_int_equal(st->records[0].at.partition, 1);
    assert_int_equal(st->records[0].timestamp_ms, 1234);
    assert_true(str_is(st->records[0].key, "key"));
    assert_true(str_is(st->records[0].value, "value"));
    assert_int_equal(st->records[0].n_headers, 3);
    assert_true(str_is(st->records[0].headers[0].value, "1"));
    assert_null(st->records[0].headers[1].value.ptr);
    assert_non_null(st->records[0].headers[2].value.ptr);
    assert_null(st->records[1].key.ptr);
    assert_null(st->records[1].value.ptr);
    assert_int_equal(st->port.high(st->port.self, position.at), 2);

    assert_int_equal(st->port.submit(st->port.self, &tick), 0);
    until(st, KAFKA_TICK, 2);
    if (tick.end != TICK_COMMITTED)
        fail_msg("tick %d: %s", (int)tick.end, tick.why);
    assert_ptr_equal(st->last[KAFKA_TICK].tick, &tick);
    assert_true(tick.took_us > 0);
    st->port.committed(st->port.self, position.at);
    until(st, KAFKA_COMMITTED, 2);
    assert_int_equal(st->last[KAFKA_COMMITTED].offset, 2);
    assert_string_equal(st->metadata, "FC1 text");

    r = kafka_reader_open_wait(&st->options, "results", FROM_BEGINNING, 0, &e);
    assert_non_null(r);
    assert_int_equal(kafka_reader_next_wait(r, PATIENCE_MS, &rec, &e), 1);
    assert_int_equal(rec.at.partition, 2);
    assert_true(str_is(rec.value, "result"));
    kafka_reader_release(r, &rec);
    assert_int_equal(kafka_reader_next_wait(r, PATIENCE_MS, &rec, &e), 2);
    kafka_reader_free(r);

    close_all(st);
    assert_int_equal(st->seen[KAFKA_REVOKE], 1);
    assert_int_equal(st->seen[KAFKA_LOST], 0);
}

/* An error that is about a broker names no partition. */
static void a_reader_outlives_its_broker(void **state)
{
    struct stage *st = *state;
    struct err e = ERR_INIT;
    struct reader *r = reader_new(&st->options, &e);
    struct kafka_partition results = {"results", 0};
    struct page page = {.next = 0};
    int64_t end = clock_now(&clock_system) + 3000;

    assert_non_null(r);
    arena_init(&page.arena, 0);
    assert_int_equal(reader_page(r, results, 1, false, &page, &e), -1);
    assert_int_equal(rd_kafka_mock_broker_set_down(st->mock, 1), 0);
    while (clock_now(&clock_system) < end) {
        assert_int_equal(reader_page(r, results, 1, false, &page, &e), -1);
        assert_int_equal(e.kind, ERR_BUSY);
    }
    page_fini(&page);
    reader_free(r);
}

/* A fetch takes longer than the slice in which a read looks: reads that took turns at
 * each slice would all begin anew for ever. */
static void slow_reads_of_two_partitions_both_end(void **state)
{
    struct stage *st = *state;
    struct err e = ERR_INIT;
    int64_t offset = -1;
    int i;

    for (i = 0; i < 2; i++) {
        struct kafka_output in = {
            .topic = "commands", .partition = i, .value = STR_LIT("value")};
        assert_int_equal(kafka_produce_wait(&st->options, &in, 10000, &offset, &e), 0);
    }
    stage_open(st);
    until(st, KAFKA_ASSIGN, 1);
    assert_int_equal(rd_kafka_mock_broker_set_rtt(st->mock, 1, 300), 0);
    for (i = 0; i < 2; i++)
        st->port.read(st->port.self, (struct kafka_partition){st->parts[0].topic, i}, 0,
                      1);
    for (i = 1; i <= 2; i++) {
        until(st, KAFKA_READ, i);
        assert_string_equal(st->last[KAFKA_READ].error, "");
        assert_int_equal(st->last[KAFKA_READ].offset, 1);
    }
    assert_int_equal(rd_kafka_mock_broker_set_rtt(st->mock, 1, 0), 0);
    close_all(st);
}

/* The engine may answer an assignment when the member has already left the group. */
static void an_assignment_may_be_answered_too_late(void **state)
{
    struct stage *st = *state;
    struct kafka_watch watch = {.stop = false};
    struct err e = ERR_INIT;
    struct consumer *c = consumer_new(st->loop, &st->options, &watch, &e);
    rd_kafka_t *rk = consumer_handle(c);
    struct kafka_event ev = {.type = KAFKA_STATE};
    int64_t end = clock_now(&clock_system) + PATIENCE_MS;

    assert_int_equal(consumer_subscribe(c, &e), 0);
    while (!consumer_next(c, &ev) || ev.type != KAFKA_ASSIGN) {
        assert_true(clock_now(&clock_system) < end);
        loop_wait(st->loop, 20);
    }
    struct kafka_offset at = {ev.parts[0], 0, STR_NULL};
    consumer_close(c);
    while (rd_kafka_consumer_closed(rk) != 1) {
        assert_true(clock_now(&clock_system) < end);
        loop_wait(st->loop, 20);
    }
    consumer_assign(c, &at, 1, ev.assignment);
    assert_null(consumer_stamp(c, ev.assignment));
    while (!consumer_is_closed(c)) {
        assert_true(clock_now(&clock_system) < end);
        (void)consumer_next(c, &ev);
    }
    consumer_detach(c);
    rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    consumer_free(c);
}

/* librdkafka 2.0.2 aborts when an assignment goes while the one before it still stops
 * (its issue 5573). */
static void assignments_may_follow_each_other_at_once(void **state)
{
    struct stage *st = *state;

    stage_open(st);
    until(st, KAFKA_ASSIGN, 1);
    for (int i = 0; i < 200; i++)
        assign_all(st, 0);
    until(st, KAFKA_EOF, PARTITIONS);
    for (int i = 0; i < 20; i++)
        assign_all(st, 0);
    close_all(st);
}

static void a_record_that_cannot_be_written_is_named(void **state)
{
    struct stage *st = *state;
    static char large[1500000];
    struct kafka_offset position = {{NULL, 0}, 1, STR_NULL};
    struct kafka_output outs[] = {
        {"results", 0, STR_NULL, STR_LIT("fine"), NULL, 0, 0, false},
        {"results", 0, STR_NULL, {large, sizeof(large)}, NULL, 0, 0, false},
    };
    struct kafka_tick tick = {&position, 1, outs, 2, .owner = NULL};

    stage_open(st);
    until(st, KAFKA_ASSIGN, 1);
    assign_all(st, 0);
    position.at.topic = st->parts[0].topic;
    tick.assignment = st->assignment;
    assert_int_equal(st->port.submit(st->port.self, &tick), 0);
    until(st, KAFKA_TICK, 1);
    assert_int_equal(tick.end, TICK_BAD_RECORD);
    assert_int_equal(tick.bad, 1);
    outs[1] =
        (struct kafka_output){"results", 99, STR_NULL, STR_LIT("x"), NULL, 0, 0, false};
    assert_int_equal(st->port.submit(st->port.self, &tick), 0);
    until(st, KAFKA_TICK, 2);
    assert_int_equal(tick.end, TICK_BAD_RECORD);
    assert_int_equal(tick.bad, 1);
    tick.n_outputs = 1;
    assert_int_equal(st->port.submit(st->port.self, &tick), 0);
    until(st, KAFKA_TICK, 3);
    assert_int_equal(tick.end, TICK_COMMITTED);
    close_all(st);
}

static int64_t high_of(struct stage *st, struct kafka_partition at)
{
    st->port.watermarks(st->port.self, at);
    until(st, KAFKA_WATERMARKS, st->seen[KAFKA_WATERMARKS] + 1);
    return st->last[KAFKA_WATERMARKS].high;
}

/* Here one after the other is refused: `last` is a record that is there only with the
 * rest. */
static void what_says_that_others_are_there_is_written_after_them(void **state)
{
    struct stage *st = *state;
    static char large[1500000];
    struct kafka_offset position = {{NULL, 0}, 1, STR_NULL};
    struct kafka_output outs[] = {
        {"results", 0, STR_NULL, STR_LIT("last"), NULL, 0, 0, true},
        {"results", 1, STR_NULL, STR_LIT("rest"), NULL, 0, 0, false},
        {"results", 2, STR_NULL, {large, sizeof(large)}, NULL, 0, 0, false},
    };
    struct kafka_tick tick = {&position, 1, outs, 3, .owner = NULL};
    struct kafka_partition at = {NULL, 0};

    stage_open(st);
    until(st, KAFKA_ASSIGN, 1);
    assign_all(st, 0);
    position.at.topic = st->parts[0].topic;
    at.topic = st->port.intern(st->port.self, "results");
    tick.assignment = st->assignment;
    assert_int_equal(st->port.submit(st->port.self, &tick), 0);
    until(st, KAFKA_TICK, 1);
    assert_int_equal(tick.end, TICK_BAD_RECORD);
    assert_int_equal(tick.bad, 2);
    assert_int_equal(high_of(st, at), 0);
    at.partition = 1;
    assert_int_equal(high_of(st, at), 1);
    tick.n_outputs = 2;
    assert_int_equal(st->port.submit(st->port.self, &tick), 0);
    until(st, KAFKA_TICK, 2);
    assert_int_equal(tick.end, TICK_COMMITTED);
    at.partition = 0;
    assert_int_equal(high_of(st, at), 1);
    close_all(st);
}

static void a_stale_generation_is_told(void **state)
{
    struct stage *st = *state;
    struct kafka_offset position = {{NULL, 0}, 1, STR_NULL};
    struct kafka_tick tick = {&position, 1, NULL, 0, .owner = NULL};

    stage_open(st);
    until(st, KAFKA_ASSIGN, 1);
    assign_all(st, 0);
    position.at.topic = st->parts[0].topic;
    tick.assignment = st->assignment;
    rd_kafka_mock_push_request_errors(st->mock, 8 /* OffsetCommit */, 1,
                                      RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION);
    assert_int_equal(st->port.submit(st->port.self, &tick), 0);
    until(st, KAFKA_TICK, 1);
    assert_int_equal(tick.end, TICK_STALE);
    st->port.unassign(st->port.self, st->assignment);
    assert_int_equal(st->port.submit(st->port.self, &tick), 0);
    until(st, KAFKA_TICK, 2);
    assert_int_equal(tick.end, TICK_STALE);
    close_all(st);
}

static void a_position_outside_the_log_is_told(void **state)
{
    struct stage *st = *state;

    stage_open(st);
    until(st, KAFKA_ASSIGN, 1);
    assign_all(st, 1000);
    until(st, KAFKA_OUT_OF_RANGE, 1);
    assert_ptr_equal(st->last[KAFKA_OUT_OF_RANGE].at.topic, st->parts[0].topic);
    close_all(st);
}

static void a_topic_is_described(void **state)
{
    struct stage *st = *state;
    struct kafka_topic_info infos[] = {{.topic = "results"}, {.topic = "missing"}};
    struct err e = ERR_INIT;

    /* Else the mock makes what it is asked for. */
    rd_kafka_mock_topic_set_error(st->mock, "missing",
                                  RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    assert_int_equal(kafka_reach_wait(&st->options, 10000, NULL, NULL, &e), 0);
    assert_int_equal(kafka_topics_wait(&st->options, infos, 2, &e), 0);
    assert_int_equal(infos[0].partitions, PARTITIONS);
    assert_string_equal(infos[0].error, "");
    assert_int_equal(infos[1].partitions, 0);
    stage_open(st);
    until(st, KAFKA_STATE, 1);
    st->port.topic(st->port.self, "results", false);
    until(st, KAFKA_TOPIC, 1);
    assert_int_equal(st->last[KAFKA_TOPIC].count, PARTITIONS);
    assert_ptr_equal(st->last[KAFKA_TOPIC].at.topic,
                     st->port.intern(st->port.self, "results"));
    st->port.topic(st->port.self, "missing", false);
    until(st, KAFKA_TOPIC, 2);
    assert_int_equal(st->last[KAFKA_TOPIC].count, 0);
    assert_string_equal(st->last[KAFKA_TOPIC].error, "");
    close_all(st);
}

static void an_absent_cluster_is_told_and_found_again(void **state)
{
    struct stage *st = *state;
    struct err e = ERR_INIT;

    assert_int_equal(rd_kafka_mock_broker_set_down(st->mock, 1), 0);
    assert_int_equal(kafka_reach_wait(&st->options, 300, NULL, NULL, &e), -1);
    stage_open(st);
    until(st, KAFKA_STATE, 1);
    assert_false(st->last[KAFKA_STATE].up);
    assert_true(strlen(st->last[KAFKA_STATE].error) > 0);
    assert_int_equal(rd_kafka_mock_broker_set_up(st->mock, 1), 0);
    until(st, KAFKA_STATE, 2);
    assert_true(st->last[KAFKA_STATE].up);
    until(st, KAFKA_ASSIGN, 1);
    assign_all(st, 0);
    until(st, KAFKA_EOF, PARTITIONS);
    assert_int_equal(rd_kafka_mock_broker_set_down(st->mock, 1), 0);
    until(st, KAFKA_STATE, 3);
    assert_false(st->last[KAFKA_STATE].up);
    assert_int_equal(rd_kafka_mock_broker_set_up(st->mock, 1), 0);
    while (!st->last[KAFKA_STATE].up)
        until(st, KAFKA_STATE, st->seen[KAFKA_STATE] + 1);
    close_all(st);
}

static void giving_up_is_quick_in_every_state(void **state)
{
    struct stage *st = *state;
    int64_t start = clock_now(&clock_system);

    stage_open(st); /* nothing reached yet: stage_down frees it */
    kafka_free(st->kafka, DEADLINE_MS);
    assert_int_equal(rd_kafka_mock_broker_set_down(st->mock, 1), 0);
    stage_open(st);
    until(st, KAFKA_STATE, 1);
    kafka_free(st->kafka, DEADLINE_MS);
    assert_int_equal(rd_kafka_mock_broker_set_up(st->mock, 1), 0);
    assert_true(clock_now(&clock_system) - start < DEADLINE_MS);
    st->seen[KAFKA_STATE] = 0;
    stage_open(st);
    until(st, KAFKA_ASSIGN, 1); /* an ASSIGN nobody answers */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_command_comes_and_a_tick_moves_the_position,
                                        stage_up, stage_down),
        cmocka_unit_test_setup_teardown(a_record_that_cannot_be_written_is_named,
                                        stage_up, stage_down),
        cmocka_unit_test_setup_teardown(assignments_may_follow_each_other_at_once,
                                        stage_up, stage_down),
        cmocka_unit_test_setup_teardown(
            what_says_that_others_are_there_is_written_after_them, stage_up, stage_down),
        cmocka_unit_test_setup_teardown(an_assignment_may_be_answered_too_late, stage_up,
                                        stage_down),
        cmocka_unit_test_setup_teardown(a_reader_outlives_its_broker, stage_up,
                                        stage_down),
        cmocka_unit_test_setup_teardown(slow_reads_of_two_partitions_both_end, stage_up,
                                        stage_down),
        cmocka_unit_test_setup_teardown(a_stale_generation_is_told, stage_up, stage_down),
        cmocka_unit_test_setup_teardown(a_position_outside_the_log_is_told, stage_up,
                                        stage_down),
        cmocka_unit_test_setup_teardown(a_topic_is_described, stage_up, stage_down),
        cmocka_unit_test_setup_teardown(an_absent_cluster_is_told_and_found_again,
                                        stage_up, stage_down),
        cmocka_unit_test_setup_teardown(giving_up_is_quick_in_every_state, stage_up,
                                        stage_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
