/* Webhooks in the engine: what is answered when, and what is on its way to Kafka. */
#include "play.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "engine/ingest.h"

enum { TIMEOUT_MS = 4000 };

/* One request of the test's, and what became of it. */
struct asked {
    int status; /* 0: not answered yet */
    int answers;
    int retry_after_s;
    char body[200];
    bool gone; /* its client is */
};

static struct webhook_setup setup;
static const struct str keys[] = {{"key-one", 7}, {"key-two", 7}};

static void on_answer(void *request, const struct webhook_answer *wa)
{
    struct asked *q = request;
    q->status = wa->status;
    q->answers++;
    q->retry_after_s = wa->retry_after_s;
    (void)snprintf(q->body, sizeof q->body, "%.*s", STR_ARG(wa->body));
}

static bool is_gone(void *request)
{
    return ((struct asked *)request)->gone;
}

static struct play *open_play(int64_t max_pending, int64_t dedupe, int64_t event_max)
{
    struct play *p = play_new();
    setup = (struct webhook_setup){.public_url = "https://hooks.example.com"};
    for (size_t i = 0; i < WEBHOOK_KINDS; i++)
        setup.keys[i] = (struct webhook_keys){keys, 2};
    p->options.events_topic = "events";
    p->options.events_dedupe_entries = dedupe;
    play_start(p);
    struct ingest_options o = {.setup = &setup,
                               .events_topic = "events",
                               .event_max_bytes = event_max,
                               .dead_letter_max_bytes = 5000,
                               .max_pending = max_pending,
                               .timeout_ms = TIMEOUT_MS,
                               .answer = on_answer,
                               .client_gone = is_gone};
    engine_receive(p->en, &o);
    return p;
}

static int up(void **state)
{
    *state = open_play(100, 1000, -1);
    return 0;
}

static void base64_mac(const EVP_MD *md, const char *text, size_t len, char out[100])
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    assert_non_null(HMAC(md, keys[1].ptr, (int)keys[1].len, (const unsigned char *)text,
                         len, mac, &n));
    (void)EVP_EncodeBlock((unsigned char *)out, mac, (int)n);
}

static void call(struct play *p, struct asked *q, const char *path, const char *body,
                 const char *challenge)
{
    bool rule = strstr(path, "rule") != NULL;
    char timestamp[32], signature[100];
    (void)snprintf(timestamp, sizeof timestamp, "%lld", (long long)p->now);
    char *text = mem_printf("%s%s%s", rule ? "" : timestamp, rule ? "" : ":", body);
    base64_mac(rule ? EVP_sha1() : EVP_sha256(), text, strlen(text), signature);
    struct webhook_request wr = {.method = STR_LIT("POST"),
                                 .signature = {str_of(signature), 1},
                                 .body = str_of(body)};
    if (!rule)
        wr.timestamp = (struct webhook_header){str_of(timestamp), 1};
    if (challenge != NULL)
        wr.challenge = (struct webhook_header){str_of(challenge), 1};
    engine_webhook(p->en, q, str_of(path), &wr);
    mem_free(text);
}

static void app(struct play *p, struct asked *q, const char *id)
{
    char *body =
        mem_printf("{\"type\":\"inbound_received\",\"authorization\":{\"id\":\"cmp_9\"},"
                   "\"payload\":{\"id\":\"%s\",\"type\":\"inbound\",\"emitted_at\":999.5,"
                   "\"source\":{\"_meta\":{\"type\":\"api\"},\"data\":null},"
                   "\"conversation\":{\"id\":\"cnv_1\"}}}",
                   id);
    call(p, q, "/webhooks/front/app", body, NULL);
    mem_free(body);
}

static void report(struct play *p, size_t i, const char *error, bool is_refused)
{
    struct kafka_event ev = {
        .type = KAFKA_PRODUCED, .owner = p->owners[i], .refused = is_refused};
    (void)snprintf(ev.error, sizeof ev.error, "%s", error);
    push(p, ev);
    turn(p);
}

static void let_pass(struct play *p, int64_t ms)
{
    p->now += ms;
    turn(p);
}

static struct str header(const struct kafka_output *out, const char *name)
{
    for (size_t i = 0; i < out->n_headers; i++)
        if (str_is(out->headers[i].name, name))
            return out->headers[i].value;
    return STR_NULL;
}

static void metric_is(struct play *p, const char *line)
{
    struct buf out;
    char *text = mem_printf("\nfront_connector_%s\n", line);
    buf_init(&out, 1 << 20);
    engine_metrics(p->en, &out);
    if (strstr(out.data, text) == NULL)
        fail_msg("no line %s", line);
    mem_free(text);
    buf_fini(&out);
}

/* ---- the promise ---- */

static void test_an_event_is_answered_when_kafka_has_it(void **state)
{
    struct play *p = *state;
    struct asked q = {0};
    app(p, &q, "evt_1");
    assert_int_equal(p->n_produced, 1); /* before the turn is over */
    let_pass(p, 1000);
    assert_int_equal(q.status, 0);
    const struct kafka_output *out = &p->produced[0];
    assert_string_equal(out->topic, "events");
    assert_int_equal(out->partition, -1);
    assert_true(str_is(out->key, "cnv_1"));
    assert_true(str_is(header(out, "ce_id"), "evt_1"));
    assert_true(str_is(header(out, "origin"), "api"));
    assert_true(str_is(header(out, "delivery"), "webhook"));
    assert_true(
        str_is(header(out, "ce_source"), "https://api2.frontapp.com/companies/cmp_9"));
    report(p, 0, "", false);
    assert_int_equal(q.status, 200);
    assert_int_equal(q.answers, 1);
    metric_is(p, "webhook_requests_total{kind=\"app\",code=\"200\"} 1");
    metric_is(p, "events_produced_total{delivery=\"webhook\"} 1");
    metric_is(p, "webhook_duration_seconds_count{kind=\"app\"} 1");
    metric_is(p, "event_delay_seconds_count{delivery=\"webhook\"} 1");
    count_is(p, "pending", 0);
    count_is(p, "stored", 1);
}

static void test_every_series_is_there_from_the_start(void **state)
{
    struct play *p = *state;
    metric_is(p, "webhook_requests_total{kind=\"rule\",code=\"401\"} 0");
    metric_is(p, "webhook_requests_total{kind=\"unknown\",code=\"413\"} 0");
    metric_is(p, "events_produced_total{delivery=\"healed\"} 0");
    metric_is(p, "webhook_last_received_timestamp_seconds 0");
    metric_is(p, "dead_letters_total{reason=\"WebhookUnparsable\"} 0");
}

static void test_a_repeat_of_one_on_its_way_waits_for_it(void **state)
{
    struct play *p = *state;
    struct asked q[2] = {{0}, {0}};
    app(p, &q[0], "evt_1");
    app(p, &q[1], "evt_1");
    turn(p);
    assert_int_equal(p->n_produced, 1);
    assert_int_equal(q[1].status, 0);
    report(p, 0, "", false);
    assert_int_equal(q[0].status, 200);
    assert_int_equal(q[1].status, 200);
}

static void test_a_repeat_of_one_that_is_stored_makes_no_second(void **state)
{
    struct play *p = *state;
    struct asked q[3] = {{0}, {0}, {0}};
    app(p, &q[0], "evt_1");
    report(p, 0, "", false);
    app(p, &q[1], "evt_1");
    assert_int_equal(q[1].status, 200);
    assert_int_equal(p->n_produced, 1);
    app(p, &q[2], "evt_2");
    assert_int_equal(p->n_produced, 2);
    report(p, 1, "", false);
}

static void test_ids_are_forgotten_one_by_one(void **state)
{
    struct play *p = open_play(100, 2, -1);
    struct asked q = {0};
    *state = p;
    for (int i = 0; i < 3; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "evt_%d", i);
        app(p, &q, id);
        report(p, p->n_produced - 1, "", false);
    }
    app(p, &q, "evt_2");
    assert_int_equal(p->n_produced, 3);
    app(p, &q, "evt_0"); /* the oldest of three, where two are kept */
    assert_int_equal(p->n_produced, 4);
    report(p, 3, "", false);
    count_is(p, "known", 2);
}

/* ---- not in time ---- */

static void test_what_is_not_stored_in_time_is_answered_429_and_kept(void **state)
{
    struct play *p = *state;
    struct asked q[2] = {{0}, {0}};
    app(p, &q[0], "evt_1");
    let_pass(p, TIMEOUT_MS - 31);
    assert_int_equal(q[0].status, 0);
    assert_true(engine_next_ms(p->en) <= p->now + 31);
    turn(p);
    assert_int_equal(q[0].status, 429);
    assert_true(q[0].retry_after_s > 0);
    count_is(p, "pending", 1);
    report(p, 0, "", false); /* at last */
    assert_int_equal(q[0].answers, 1);
    app(p, &q[1], "evt_1"); /* Front's repeat */
    assert_int_equal(q[1].status, 200);
    assert_int_equal(p->n_produced, 1);
    metric_is(p, "webhook_requests_total{kind=\"app\",code=\"429\"} 1");
    metric_is(p, "webhook_requests_total{kind=\"app\",code=\"200\"} 1");
}

static void test_while_kafka_is_away_the_answer_is_429_at_once(void **state)
{
    struct play *p = *state;
    struct asked q[2] = {{0}, {0}};
    push(p, (struct kafka_event){.type = KAFKA_STATE, .up = false, .error = "gone"});
    turn(p);
    app(p, &q[0], "evt_1");
    assert_int_equal(q[0].status, 429);
    assert_true(q[0].retry_after_s > 0);
    assert_int_equal(p->n_produced, 1); /* the library keeps it */
    push(p, (struct kafka_event){.type = KAFKA_STATE, .up = true});
    turn(p);
    app(p, &q[1], "evt_1"); /* joins the one on its way */
    assert_int_equal(q[1].status, 0);
    report(p, 0, "", false);
    assert_int_equal(q[1].status, 200);
    assert_int_equal(p->n_produced, 1);
}

static void test_a_full_queue_keeps_first_and_refuses_then(void **state)
{
    struct play *p = open_play(8, 1000, -1);
    struct asked q[10] = {{0}};
    *state = p;
    for (int i = 0; i < 10; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "evt_%d", i);
        app(p, &q[i], id);
    }
    for (int i = 0; i < 6; i++)
        assert_int_equal(q[i].status, 0);
    for (int i = 6; i < 10; i++)
        assert_int_equal(q[i].status, 429);
    assert_int_equal(p->n_produced, 8);
    count_is(p, "pending", 8);
    for (size_t i = 0; i < 3; i++)
        report(p, i, "", false);
    app(p, &q[9], "evt_9"); /* five wait, more than half */
    assert_int_equal(q[9].answers, 2);
    assert_int_equal(q[9].status, 429);
    assert_int_equal(p->n_produced, 9);
    for (size_t i = 3; i < 5; i++)
        report(p, i, "", false);
    app(p, &q[8], "evt_8");
    assert_int_equal(q[8].answers, 1); /* waits */
    for (size_t i = 5; i < 10; i++)
        report(p, i, "", false);
    assert_int_equal(q[8].status, 200);
    count_is(p, "pending", 0);
}

static void test_a_client_that_went_away_changes_nothing_but_a_counter(void **state)
{
    struct play *p = *state;
    struct asked q = {0};
    app(p, &q, "evt_1");
    q.gone = true;
    let_pass(p, 200);
    report(p, 0, "", false);
    assert_int_equal(q.answers, 1); /* that frees it */
    metric_is(p, "webhook_requests_total{kind=\"app\",code=\"499\"} 1");
    metric_is(p, "events_produced_total{delivery=\"webhook\"} 1");
}

/* ---- Kafka does not take it ---- */

static void test_what_kafka_did_not_keep_is_handed_over_again(void **state)
{
    struct play *p = *state;
    struct asked q = {0};
    app(p, &q, "evt_1");
    report(p, 0, "the producer broke", false);
    assert_int_equal(q.status, 0);
    let_pass(p, 600);
    assert_int_equal(p->n_produced, 2);
    assert_true(str_is(header(&p->produced[1], "ce_id"), "evt_1"));
    report(p, 1, "", false);
    assert_int_equal(q.status, 200);
}

static void test_what_kafka_does_not_take_now_waits_here(void **state)
{
    struct play *p = *state;
    struct asked q = {0};
    p->produce_rc = -1;
    app(p, &q, "evt_1");
    let_pass(p, 600);
    assert_int_equal(p->n_produced, 0);
    count_is(p, "pending", 1);
    p->produce_rc = 0;
    let_pass(p, 600);
    assert_int_equal(p->n_produced, 1);
    report(p, 0, "", false);
    assert_int_equal(q.status, 200);
}

static void test_what_the_events_topic_refuses_becomes_a_dead_letter(void **state)
{
    struct play *p = *state;
    struct asked q[2] = {{0}, {0}};
    app(p, &q[0], "evt_1");
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(p->n_produced, i + 1);
        report(p, i, "too large", true);
        let_pass(p, 600);
    }
    const struct kafka_output *out = &p->produced[3];
    assert_string_equal(out->topic, "dead-letters");
    assert_true(str_is(header(out, "ce_id"), "evt_1"));
    assert_true(str_is(header(out, "__connect.errors.exception.class.name"), "TooLarge"));
    assert_int_equal(q[0].status, 0);
    report(p, 3, "", false);
    assert_int_equal(q[0].status, 200);
    app(p, &q[1], "evt_1");
    assert_int_equal(q[1].status, 200);
    assert_int_equal(p->n_produced, 4);
    metric_is(p, "dead_letters_total{reason=\"WebhookUnparsable\"} 1");
    metric_is(p, "events_produced_total{delivery=\"webhook\"} 0");
}

static void test_an_event_over_its_topics_limit_is_not_even_tried_there(void **state)
{
    struct play *p = open_play(100, 1000, 300);
    struct asked q[2] = {{0}, {0}};
    char id[6000];
    *state = p;
    app(p, &q[0], "evt_1");
    assert_string_equal(p->produced[0].topic, "dead-letters");
    report(p, 0, "", false);
    assert_int_equal(q[0].status, 200);
    /* And what no topic takes is said so. */
    memset(id, 'x', sizeof id - 1);
    id[sizeof id - 1] = 0;
    app(p, &q[1], id);
    assert_int_equal(p->n_produced, 1);
    assert_int_equal(q[1].status, 413);
    count_is(p, "pending", 0);
}

/* ---- other requests ---- */

static void test_a_webhook_without_an_event_is_a_dead_letter(void **state)
{
    struct play *p = *state;
    struct asked q = {0};
    call(p, &q, "/webhooks/front/app", "{\"type\":\"x\",\"payload\":{}}", NULL);
    assert_int_equal(q.status, 0);
    assert_int_equal(p->n_produced, 1);
    const struct kafka_output *out = &p->produced[0];
    assert_string_equal(out->topic, "dead-letters");
    assert_true(str_is(out->value, "{\"type\":\"x\",\"payload\":{}}"));
    assert_true(str_is(header(out, "webhook"), "app"));
    assert_true(str_is(header(out, "__connect.errors.connector.name"), "g"));
    assert_true(str_is(header(out, "__connect.errors.exception.class.name"),
                       "WebhookUnparsable"));
    assert_true(header(out, "__connect.errors.exception.message").len > 0);
    for (size_t i = 0; i < out->n_headers; i++) /* it came from no topic */
        assert_false(str_is(out->headers[i].name, "__connect.errors.topic"));
    report(p, 0, "", false);
    assert_int_equal(q.status, 200);
    metric_is(p, "dead_letters_total{reason=\"WebhookUnparsable\"} 1");
}

static void test_a_rules_webhook_gets_its_company_from_the_token(void **state)
{
    struct play *p = *state;
    struct asked q = {0};
    call(p, &q, "/webhooks/front/rule", "{\"id\":\"evt_5\",\"type\":\"inbound\"}", NULL);
    assert_int_equal(p->n_produced, 1);
    assert_true(str_is(header(&p->produced[0], "ce_source"),
                       "https://api2.frontapp.com/companies/cmp_1"));
    assert_true(str_is(p->produced[0].key, "evt_5"));
    report(p, 0, "", false);
    assert_int_equal(q.status, 200);
    metric_is(p, "webhook_requests_total{kind=\"rule\",code=\"200\"} 1");
}

static void test_a_channels_answer_comes_with_the_report_and_again(void **state)
{
    static const char body[] = "{\"type\":\"message\",\"payload\":{\"id\":\"msg_1\"},"
                               "\"metadata\":{\"external_conversation_id\":\"c-1\"}}";
    static const char want[] = "{\"type\":\"success\",\"external_id\":\"msg_1\","
                               "\"external_conversation_id\":\"c-1\"}";
    struct play *p = *state;
    struct asked q[2] = {{0}, {0}};
    call(p, &q[0], "/webhooks/front/channel", body, NULL);
    assert_int_equal(q[0].status, 0);
    report(p, 0, "", false);
    assert_int_equal(q[0].status, 200);
    assert_string_equal(q[0].body, want);
    call(p, &q[1], "/webhooks/front/channel", body, NULL);
    assert_int_equal(q[1].status, 200);
    assert_string_equal(q[1].body, want);
    assert_int_equal(p->n_produced, 1);
}

static void test_the_test_of_an_address_is_echoed_and_makes_nothing(void **state)
{
    struct play *p = *state;
    struct asked q = {0};
    call(p, &q, "/webhooks/front/app",
         "{\"type\":\"sync\",\"authorization\":{\"id\":\"cmp_1\"}}", "c-42");
    assert_int_equal(q.status, 200);
    assert_string_equal(q.body, "c-42");
    assert_int_equal(p->n_produced, 0);
}

static void test_what_is_refused_makes_nothing(void **state)
{
    struct play *p = *state;
    struct asked q = {0};
    struct webhook_request wr = {.method = STR_LIT("POST"), .body = STR_LIT("{}")};
    engine_webhook(p->en, &q, STR_LIT("/webhooks/front/app"), &wr);
    assert_int_equal(q.status, 401);
    engine_webhook(p->en, &q, STR_LIT("/webhooks/front/else"), &wr);
    assert_int_equal(q.status, 404);
    wr.method = STR_LIT("GET");
    engine_webhook(p->en, &q, STR_LIT("/webhooks/front/app"), &wr);
    assert_int_equal(q.status, 405);
    setup.keys[WEBHOOK_RULE].n = 0;
    call(p, &q, "/webhooks/front/rule", "{\"id\":\"evt_5\",\"type\":\"inbound\"}", NULL);
    assert_int_equal(q.status, 404);
    assert_int_equal(p->n_produced, 0);
    engine_webhook_refused(p->en, "413", 2);
    metric_is(p, "webhook_requests_total{kind=\"app\",code=\"401\"} 1");
    metric_is(p, "webhook_requests_total{kind=\"unknown\",code=\"404\"} 1");
    metric_is(p, "webhook_requests_total{kind=\"rule\",code=\"404\"} 1");
    metric_is(p, "webhook_requests_total{kind=\"unknown\",code=\"413\"} 2");
}

/* ---- the end ---- */

static void test_a_stop_waits_for_what_is_on_its_way(void **state)
{
    struct play *p = *state;
    struct asked q[3] = {{0}, {0}, {0}};
    struct err e;
    app(p, &q[0], "evt_1");
    turn(p);
    if (p->tick != NULL)
        end_tick(p, TICK_COMMITTED);
    engine_stop(p->en);
    let_pass(p, 1000);
    app(p, &q[1], "evt_2"); /* too late */
    assert_int_equal(q[1].status, 429);
    assert_int_equal(p->n_produced, 1);
    app(p, &q[2], "evt_1");
    assert_int_equal(q[2].status, 0);
    let_pass(p, 1000);
    assert_int_equal(engine_ended(p->en, &e), 0);
    report(p, 0, "", false);
    turn(p);
    assert_int_equal(q[0].status, 200);
    assert_int_equal(q[2].status, 200);
    assert_int_equal(engine_ended(p->en, &e), 1);
}

static void test_a_stop_does_not_wait_for_ever(void **state)
{
    struct play *p = *state;
    struct asked q[2] = {{0}, {0}};
    struct err e;
    app(p, &q[0], "evt_1");
    turn(p);
    if (p->tick != NULL)
        end_tick(p, TICK_COMMITTED);
    engine_stop(p->en);
    let_pass(p, 7000);
    app(p, &q[1], "evt_1");
    assert_int_equal(engine_ended(p->en, &e), 0);
    let_pass(p, 3100);
    turn(p);
    assert_int_equal(engine_ended(p->en, &e), 1);
    assert_int_equal(q[0].status, 429);
    assert_int_equal(q[1].status, 429); /* before its own time */
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, up, play_tear_down)
#define OWN_START(t) cmocka_unit_test_teardown(t, play_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_event_is_answered_when_kafka_has_it),
        TEST(test_every_series_is_there_from_the_start),
        TEST(test_a_repeat_of_one_on_its_way_waits_for_it),
        TEST(test_a_repeat_of_one_that_is_stored_makes_no_second),
        OWN_START(test_ids_are_forgotten_one_by_one),
        TEST(test_what_is_not_stored_in_time_is_answered_429_and_kept),
        TEST(test_while_kafka_is_away_the_answer_is_429_at_once),
        OWN_START(test_a_full_queue_keeps_first_and_refuses_then),
        TEST(test_a_client_that_went_away_changes_nothing_but_a_counter),
        TEST(test_what_kafka_did_not_keep_is_handed_over_again),
        TEST(test_what_kafka_does_not_take_now_waits_here),
        TEST(test_what_the_events_topic_refuses_becomes_a_dead_letter),
        OWN_START(test_an_event_over_its_topics_limit_is_not_even_tried_there),
        TEST(test_a_webhook_without_an_event_is_a_dead_letter),
        TEST(test_a_rules_webhook_gets_its_company_from_the_token),
        TEST(test_a_channels_answer_comes_with_the_report_and_again),
        TEST(test_the_test_of_an_address_is_echoed_and_makes_nothing),
        TEST(test_what_is_refused_makes_nothing),
        TEST(test_a_stop_waits_for_what_is_on_its_way),
        TEST(test_a_stop_does_not_wait_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
