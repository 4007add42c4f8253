/* Single records on librdkafka's mock cluster: what is taken is reported once, when the
 * broker has it, however long that takes and whatever becomes of the producer. */
#include "support.h"

#include <stdio.h>
#include <string.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "kafka/internal.h"

enum { PATIENCE_MS = 20000, PRODUCE_REQUEST = 0 };

struct stage {
    rd_kafka_t *mock_owner;
    rd_kafka_mock_cluster_t *mock;
    struct loop *loop;
    struct kafka_options options;
    struct events *es;
    int reports;
    struct kafka_event last;
};

static const char *const topics[] = {"events", "dead"};

static int up(void **state)
{
    struct stage *st = mem_zalloc(sizeof(*st));
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    struct err e = ERR_INIT;
    char text[200];

    log_setup(LOG_ERROR, LOG_TEXT);
    assert_int_equal(rd_kafka_conf_set(conf, "log_level", "3", text, sizeof(text)),
                     RD_KAFKA_CONF_OK);
    st->mock_owner = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    assert_non_null(st->mock_owner);
    st->mock = rd_kafka_mock_cluster_new(st->mock_owner, 1);
    for (size_t i = 0; i < COUNT(topics); i++)
        assert_int_equal(rd_kafka_mock_topic_create(st->mock, topics[i], 3, 1), 0);
    st->options = (struct kafka_options){
        .bootstrap = rd_kafka_mock_cluster_bootstraps(st->mock),
        .group_id = "g",
        .instance_id = "i",
        .events = topics,
        .n_events = COUNT(topics),
        .events_max_bytes = -1,
    };
    st->loop = loop_new(&e);
    assert_non_null(st->loop);
    st->es = events_new(st->loop, &st->options, &e);
    if (st->es == NULL)
        fail_msg("%s", e.text);
    *state = st;
    return 0;
}

static int down(void **state)
{
    struct stage *st = *state;

    rd_kafka_destroy(events_detach(st->es));
    events_free(st->es);
    loop_free(st->loop);
    rd_kafka_mock_cluster_destroy(st->mock);
    rd_kafka_destroy(st->mock_owner);
    mem_free(st);
    return 0;
}

static void drain(struct stage *st)
{
    struct kafka_event ev = {.type = KAFKA_STATE};

    while (events_next(st->es, &ev)) {
        st->reports++;
        st->last = ev;
        ev = (struct kafka_event){.type = KAFKA_STATE};
    }
}

/* Turns the loop until so many reports came in all, or for so long. */
static void turn(struct stage *st, int reports, int64_t ms)
{
    int64_t end = clock_now(&clock_system) + ms;

    for (drain(st); st->reports < reports && clock_now(&clock_system) < end; drain(st))
        loop_wait(st->loop, 20);
}

static void until(struct stage *st, int reports)
{
    turn(st, reports, PATIENCE_MS);
    assert_int_equal(st->reports, reports);
}

static int produce(struct stage *st, const char *topic, const char *key, void *owner)
{
    struct kafka_header headers[] = {{STR_LIT("ce_id"), str_of(key)}};
    struct kafka_output out = {.topic = topic,
                               .partition = -1,
                               .key = str_of(key),
                               .value = STR_LIT("value"),
                               .headers = headers,
                               .n_headers = 1};

    return events_produce(st->es, &out, owner);
}

static void test_a_record_is_reported_when_the_broker_has_it(void **state)
{
    struct stage *st = *state;
    struct err e = ERR_INIT;
    struct kafka_reader *r;
    struct kafka_record rec;
    int owner;

    assert_int_equal(produce(st, "events", "evt_1", &owner), 0);
    assert_int_equal(produce(st, "other", "evt_1", &owner), -1); /* not of the options */
    until(st, 1);
    assert_ptr_equal(st->last.owner, &owner);
    assert_int_equal(st->last.type, KAFKA_PRODUCED);
    assert_string_equal(st->last.error, "");
    r = kafka_reader_open_wait(&st->options, "events", FROM_BEGINNING, 0, &e);
    assert_non_null(r);
    assert_int_equal(kafka_reader_next_wait(r, PATIENCE_MS, &rec, &e), 1);
    assert_true(str_is(rec.key, "evt_1"));
    assert_true(str_is(rec.value, "value"));
    assert_int_equal(rec.n_headers, 1);
    assert_true(str_is(rec.headers[0].name, "ce_id"));
    assert_int_equal(rec.at.partition, kafka_partition_of(rec.key, 3));
    kafka_reader_release(r, &rec);
    kafka_reader_free(r);
}

static void test_a_record_outlives_the_absence_of_brokers(void **state)
{
    struct stage *st = *state;
    int owners[3];

    assert_int_equal(produce(st, "events", "evt_1", &owners[0]), 0);
    until(st, 1);
    assert_int_equal(rd_kafka_mock_broker_set_down(st->mock, 1), 0);
    assert_int_equal(produce(st, "events", "evt_2", &owners[1]), 0);
    assert_int_equal(produce(st, "dead", "evt_3", &owners[2]), 0);
    turn(st, 2, 1500); /* no report though there is time for several attempts */
    assert_int_equal(st->reports, 1);
    assert_int_equal(rd_kafka_mock_broker_set_up(st->mock, 1), 0);
    until(st, 3);
    assert_string_equal(st->last.error, "");
}

static void test_a_record_that_the_broker_refuses_is_told_so(void **state)
{
    struct stage *st = *state;
    int owner;

    rd_kafka_mock_push_request_errors(st->mock, PRODUCE_REQUEST, 1,
                                      RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    assert_int_equal(produce(st, "events", "evt_1", &owner), 0);
    until(st, 1);
    assert_true(st->last.refused);
    assert_true(st->last.error[0] != 0);
    assert_int_equal(produce(st, "events", "evt_1", &owner), 0);
    until(st, 2);
    assert_false(st->last.refused);
    assert_string_equal(st->last.error, "");
}

/* As when the broker lost what it knew of the producer. */
static void test_a_broken_producer_gives_back_what_it_had_and_is_replaced(void **state)
{
    struct stage *st = *state;
    int64_t end = clock_now(&clock_system) + PATIENCE_MS;
    rd_kafka_t *old = NULL;
    int owners[20], rc;

    assert_int_equal(produce(st, "events", "evt_0", &owners[0]), 0);
    until(st, 1);
    rd_kafka_mock_push_request_errors(st->mock, PRODUCE_REQUEST, 3,
                                      RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
                                      RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
                                      RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    for (int i = 0; i < 20; i++)
        assert_int_equal(produce(st, "events", "same-key", &owners[i]), 0);
    until(st, 21);
    assert_true(st->last.error[0] != 0);
    assert_false(st->last.refused);
    while (old == NULL && clock_now(&clock_system) < end) {
        drain(st);
        old = events_old(st->es);
        loop_wait(st->loop, 20);
    }
    assert_non_null(old);
    rd_kafka_destroy(old);
    rd_kafka_mock_clear_request_errors(st->mock, PRODUCE_REQUEST);
    rc = produce(st, "events", "same-key", &owners[0]);
    assert_int_equal(rc, 0);
    until(st, 22);
    assert_string_equal(st->last.error, "");
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_record_is_reported_when_the_broker_has_it),
        TEST(test_a_record_outlives_the_absence_of_brokers),
        TEST(test_a_record_that_the_broker_refuses_is_told_so),
        TEST(test_a_broken_producer_gives_back_what_it_had_and_is_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
