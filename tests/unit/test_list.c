/* Lists in the engine: items, result and "done" in one tick; their topic on first use;
 * what is cut, what is too large, what a topic refuses. */
#include "play.h"

#include <stdio.h>
#include <string.h>

#include "codec/json.h"
#include "codec/records/result.h"

static const char list[] = "{\"command_id\":\"c1\",\"operation\":\"list-tag-children\","
                           "\"params\":{\"tag_id\":\"tag_0\"}}";
static const char page[] =
    "{\"_pagination\":{\"next\":null},\"_results\":[{\"id\":\"tag_1\",\"name\":\"a\"},"
    "{\"id\":\"tag_2\",\"name\":5}]}";
static const char more[] =
    "{\"_pagination\":{\"next\":\"https://x/tags?page_token=abc\"},\"_results\":[{\"id\":"
    "\"tag_1\"},{\"id\":\"tag_2\"}]}";

static void topic_is(struct play *p, int32_t count, int64_t max_bytes, const char *error)
{
    struct kafka_event ev = {.type = KAFKA_TOPIC, .count = count, .max_bytes = max_bytes};
    assert_non_null(p->topic_asked);
    ev.at = (struct kafka_partition){p->topic_asked, -1};
    snprintf(ev.error, sizeof ev.error, "%s", error);
    push(p, ev);
    turn(p);
}

/* The command runs: its topic is there. */
static void begin(struct play *p, int64_t offset, const char *text, int64_t max_bytes)
{
    int asked = p->topics_asked;
    command(p, offset, "k", text);
    if (p->topics_asked > asked)
        topic_is(p, 4, max_bytes, "");
    assert_int_equal(p->n_calls, 1);
}

static const struct kafka_output *output(const struct play *p, size_t i)
{
    assert_non_null(p->tick);
    assert_true(i < p->tick->n_outputs);
    return &p->tick->outputs[i];
}

/* Until a tick with outputs was handed over; one without them only shows that we live. */
static void come(struct play *p)
{
    for (int turns = 0; turns < 10; turns++) {
        if (p->tick != NULL && p->tick->n_outputs > 0)
            return;
        if (p->tick != NULL)
            end_tick(p, TICK_COMMITTED);
        else
            turn(p);
    }
    fail_msg("no outputs");
}

/* A field of an output's record, as JSON. */
static const char *field(struct play *p, size_t i, const char *path)
{
    static char text[4][2000];
    static int next;
    char *at = text[next++ % 4];
    struct err e = ERR_INIT;
    struct buf json;
    buf_init(&json, 1 << 20);
    if (avro_to_json(p->ss, output(p, i)->value, &json, &e) != 0)
        fail_msg("%s", e.text);
    struct str value = json_member_path(buf_str(&json), path);
    snprintf(at, 2000, "%.*s", STR_ARG(value));
    buf_fini(&json);
    return at;
}

static bool said(const char *text, const char *word)
{
    if (strstr(text, word) == NULL)
        print_error("%s does not say %s\n", text, word);
    return strstr(text, word) != NULL;
}

static void test_items_and_result_are_one_tick(void **state)
{
    struct play *p = *state;
    command(p, 0, "k", list);
    assert_string_equal(p->topic_asked, "front.tags");
    assert_true(p->topic_make);
    assert_int_equal(p->n_calls, 0); /* nothing is spent before the topic is known */
    topic_is(p, 4, 1000000, "");
    assert_int_equal(p->n_calls, 1);
    assert_true(answer(p, 200, page));
    come(p);
    assert_int_equal(p->tick->n_outputs, 3);
    assert_int_equal(p->tick->offsets[0].offset, 1);
    assert_string_equal(output(p, 0)->topic, "results");
    assert_string_equal(field(p, 0, "outcome"), "\"SUCCEEDED\"");
    assert_string_equal(field(p, 0, "items"), "2");
    assert_string_equal(field(p, 0, "pages"), "1");
    assert_string_equal(field(p, 0, "resource_id"), "null");
    assert_true(said(field(p, 0, "response"), "tag_2"));
    for (size_t i = 1; i < 3; i++) {
        const struct kafka_output *out = output(p, i);
        assert_string_equal(out->topic, "front.tags");
        assert_int_equal(out->partition, -1);
        assert_true(str_is(out->key, i == 1 ? "tag_1" : "tag_2"));
        assert_string_equal(field(p, i, "_parent_id"), "\"tag_0\"");
        assert_int_equal(out->n_headers, 3);
        assert_true(str_is(out->headers[0].name, "command-id"));
        assert_true(str_is(out->headers[0].value, "c1"));
        assert_true(str_is(out->headers[1].name, "operation"));
        assert_true(str_is(out->headers[1].value, "list-tag-children"));
        assert_true(str_is(out->headers[2].name, "source"));
        assert_true(str_is(out->headers[2].value, "commands/0/0"));
    }
    assert_string_equal(field(p, 1, "name"), "\"a\"");
    assert_string_equal(field(p, 2, "name"), "null");
    struct buf metrics;
    buf_init(&metrics, 1 << 20);
    engine_metrics(p->en, &metrics);
    assert_non_null(strstr(
        metrics.data, "front_connector_items_mistyped_total{topic=\"front.tags\"} 1\n"));
    assert_non_null(strstr(
        metrics.data, "front_connector_items_mistyped_total{topic=\"front.views\"} 0\n"));
    buf_fini(&metrics);
    end_tick(p, TICK_COMMITTED);
    count_is(p, "finished", 1);
}

static void test_an_aborted_tick_comes_again_with_its_items(void **state)
{
    struct play *p = *state;
    begin(p, 0, list, -1);
    assert_true(answer(p, 200, page));
    come(p);
    end_tick(p, TICK_ABORTED);
    for (int i = 0; i < 5 && p->tick == NULL; i++)
        come(p);
    assert_int_equal(p->tick->n_outputs, 3);
    assert_int_equal(p->n_calls, 0);
    end_tick(p, TICK_COMMITTED);
    count_is(p, "finished", 1);
}

static void test_an_empty_list_has_no_items(void **state)
{
    struct play *p = *state;
    begin(p, 0, list, -1);
    assert_true(answer(p, 200, "{\"_results\":[]}"));
    come(p);
    assert_int_equal(p->tick->n_outputs, 1);
    assert_string_equal(field(p, 0, "items"), "0");
}

static void test_a_missing_topic_is_rejected_and_says_what_to_do(void **state)
{
    static const struct {
        int32_t count;
        const char *error, *word;
    } rows[] = {{0, "", "does not exist"},
                {-1, "Topic authorization failed", "authorization failed"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct play *p = *state;
        command(p, (int64_t)i, "k", list);
        topic_is(p, rows[i].count, -1, rows[i].error);
        come(p);
        assert_int_equal(p->n_calls, 0);
        assert_string_equal(field(p, 0, "outcome"), "\"REJECTED\"");
        assert_string_equal(field(p, 0, "error.kind"), "\"topic-missing\"");
        const char *text = field(p, 0, "error.message");
        assert_true(said(text, rows[i].word));
        assert_true(said(text, "front.tags"));
        assert_true(said(text, "topics.create"));
        end_tick(p, TICK_COMMITTED);
        p->now += 10000; /* it is asked for again soon */
        turn(p);
    }
}

static void test_while_brokers_are_away_the_list_waits_and_others_go_on(void **state)
{
    struct play *p = *state;
    command(p, 0, "k", list);
    topic_is(p, 0, -1, "timed out");
    assert_int_equal(p->topics_asked, 2);
    assert_int_equal(p->n_calls, 0);
    command(p, 1, "other", patch);
    turn(p);
    if (p->tick != NULL) /* one that shows that we live */
        end_tick(p, TICK_COMMITTED);
    assert_int_equal(p->n_calls, 1);
    assert_true(answer(p, 204, ""));
    topic_is(p, 4, -1, "");
    assert_int_equal(p->n_calls, 1);
    assert_true(answer(p, 200, page));
}

static void test_max_items_cuts(void **state)
{
    static const struct {
        const char *max_items, *body, *items;
        size_t outputs;
    } rows[] = {{"1", page, "1", 2},
                {"2", page, "2", 3},
                {"9", page, "2", 3},
                {"2", more, "2", 3}, /* reached: what follows was not asked for */
                {"1", more, "1", 2}};
    struct play *p = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[300];
        snprintf(text, sizeof text,
                 "{\"operation\":\"list-tags\",\"params\":{\"max_items\":%s}}",
                 rows[i].max_items);
        begin(p, (int64_t)i, text, -1);
        assert_null(strstr(p->calls[0]->query, "max_items"));
        assert_true(answer(p, 200, rows[i].body));
        come(p);
        assert_int_equal(p->tick->n_outputs, rows[i].outputs);
        assert_string_equal(field(p, 0, "items"), rows[i].items);
        assert_true(said(field(p, 0, "response"), "tag_2"));
        end_tick(p, TICK_COMMITTED);
    }
}

/* Until there are jobs. */
static void test_a_list_that_goes_on_is_answered_by_its_first_page(void **state)
{
    static const char *const params[] = {"\"limit\":2", "\"max_items\":3",
                                         "\"with\":\"children\",\"max_items\":2"};
    struct play *p = *state;
    for (size_t i = 0; i < COUNT(params); i++) {
        char text[300];
        snprintf(text, sizeof text, "{\"operation\":\"list-tags\",\"params\":{%s}}",
                 params[i]);
        begin(p, (int64_t)i, text, -1);
        assert_true(answer(p, 200, more));
        come(p);
        assert_int_equal(p->tick->n_outputs, 1);
        assert_string_equal(field(p, 0, "outcome"), "\"SUCCEEDED\"");
        assert_string_equal(field(p, 0, "items"), "null");
        assert_string_equal(field(p, 0, "pages"), "1");
        assert_true(said(field(p, 0, "response"), "page_token"));
        end_tick(p, TICK_COMMITTED);
    }
}

static void test_what_is_no_list_fails(void **state)
{
    static const struct {
        const char *body, *response;
    } rows[] = {{"{\"id\":\"x\"}", "{\\\"id\\\""},
                {"{\"_results\":{}}", "_results"},
                {"[1]", "[1]"},
                {"", "null"},
                {"{\"_results\":[1", "null"}};
    struct play *p = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        begin(p, (int64_t)i, list, -1);
        assert_true(answer(p, 200, rows[i].body));
        come(p);
        assert_int_equal(p->tick->n_outputs, 1);
        assert_string_equal(field(p, 0, "outcome"), "\"FAILED\"");
        assert_string_equal(field(p, 0, "error.kind"), "\"front\"");
        assert_true(said(field(p, 0, "error.message"), "_results"));
        assert_true(said(field(p, 0, "response"), rows[i].response));
        assert_string_equal(field(p, 0, "items"), "null");
        end_tick(p, TICK_COMMITTED);
    }
}

static void test_an_error_of_front_stays_one(void **state)
{
    struct play *p = *state;
    begin(p, 0, list, -1);
    assert_true(answer(p, 404, "{\"_error\":{\"title\":\"no\",\"message\":\"none\"}}"));
    come(p);
    assert_int_equal(p->tick->n_outputs, 1);
    assert_string_equal(field(p, 0, "error.kind"), "\"front\"");
    assert_string_equal(field(p, 0, "error.message"), "\"none\"");
    assert_string_equal(field(p, 0, "pages"), "null");
}

static void test_a_page_that_is_too_large_fails(void **state)
{
    struct play *p = *state;
    begin(p, 0, list, -1);
    lose(p, HTTP_TOO_LARGE, 200);
    come(p);
    assert_string_equal(field(p, 0, "outcome"), "\"FAILED\"");
    assert_string_equal(field(p, 0, "error.kind"), "\"too-large\"");
    assert_true(said(field(p, 0, "error.message"), "front.max.response.bytes"));
}

static void test_an_item_that_is_too_large_goes_without_its_fields(void **state)
{
    static const char big[] =
        "{\"_results\":[{\"id\":\"tag_1\"},{\"id\":\"tag_2\",\"name\":"
        "\"0123456789012345678901234567890123456789012345678901234567890123456789"
        "0123456789012345678901234567890123456789012345678901234567890123456789\"}]}";
    struct play *p = *state;
    begin(p, 0, list, 450);
    assert_true(answer(p, 200, big));
    come(p);
    assert_int_equal(p->tick->n_outputs, 3);
    assert_string_equal(field(p, 1, "id"), "\"tag_1\"");
    assert_string_equal(field(p, 2, "id"), "null");
    assert_true(str_is(output(p, 2)->key, "tag_2"));
    assert_true(said(field(p, 2, "_raw"), "0123456789"));
    end_tick(p, TICK_COMMITTED);
}

static void test_an_item_that_never_fits_fails_the_list(void **state)
{
    struct play *p = *state;
    begin(p, 0, list, 200);
    assert_true(answer(p, 200, page));
    come(p);
    assert_int_equal(p->tick->n_outputs, 1);
    assert_string_equal(field(p, 0, "outcome"), "\"FAILED\"");
    assert_string_equal(field(p, 0, "error.kind"), "\"too-large\"");
    const char *text = field(p, 0, "error.message");
    assert_true(said(text, "item tag_1"));
    assert_true(said(text, "max.message.bytes"));
    assert_true(said(text, "front.tags"));
}

static void refuse(struct play *p, size_t i, bool too_large)
{
    p->tick->bad = i;
    p->tick->bad_too_large = too_large;
    snprintf(p->tick->why, sizeof p->tick->why, "front.tags: too large");
    end_tick(p, TICK_BAD_RECORD);
    come(p);
}

static void refuse_twice(struct play *p, size_t i)
{
    const char *id = i == 1 ? "tag_1" : "tag_2";
    begin(p, 0, list, -1);
    assert_true(answer(p, 200, page));
    come(p);
    refuse(p, i, true);
    assert_int_equal(p->tick->n_outputs, 3);
    assert_string_equal(field(p, i, "id"), "null");
    assert_true(said(field(p, i, "_raw"), id));
    assert_true(str_is(output(p, i)->key, id));
    refuse(p, i, true);
    assert_int_equal(p->tick->n_outputs, 1);
    assert_string_equal(field(p, 0, "outcome"), "\"FAILED\"");
    assert_string_equal(field(p, 0, "error.kind"), "\"topic-refused\"");
    const char *text = field(p, 0, "error.message");
    assert_true(said(text, id));
    assert_true(said(text, "front.tags: too large"));
    assert_string_equal(field(p, 0, "items"), "null");
    assert_int_equal(p->n_calls, 0);
    end_tick(p, TICK_COMMITTED);
    int asked = p->topics_asked;
    begin(p, 1, list, -1); /* FAILED: the same id is executed again */
    assert_int_equal(p->topics_asked, asked + 1);
}

static void test_a_refused_item_is_made_smaller_then_the_list_fails(void **state)
{
    refuse_twice(*state, 1);
}

static void test_the_same_of_a_later_item(void **state)
{
    refuse_twice(*state, 2);
}

static void test_a_topic_that_takes_none_fails_the_list_at_once(void **state)
{
    struct play *p = *state;
    begin(p, 0, list, -1);
    assert_true(answer(p, 200, page));
    come(p);
    refuse(p, 1, false);
    assert_int_equal(p->tick->n_outputs, 1);
    assert_string_equal(field(p, 0, "error.kind"), "\"topic-refused\"");
}

static void test_items_of_like_size_are_made_smaller_together(void **state)
{
    static const char like[] =
        "{\"_results\":[{\"id\":\"tag_1\",\"name\":\"0123456789012345678901234567890\"},"
        "{\"id\":\"tag_2\",\"name\":\"012345678901234567890123456789\"},5]}";
    struct play *p = *state;
    begin(p, 0, list, -1);
    assert_true(answer(p, 200, like));
    come(p);
    refuse(p, 1, true);
    assert_int_equal(p->tick->n_outputs, 4);
    assert_string_equal(field(p, 1, "name"), "null");
    assert_string_equal(field(p, 2, "name"), "null");
    assert_true(said(field(p, 2, "_raw"), "0123456789"));
    assert_string_equal(field(p, 3, "_raw"), "\"5\"");
}

static void test_a_refused_result_keeps_its_count(void **state)
{
    struct play *p = *state;
    begin(p, 0, list, -1);
    assert_true(answer(p, 200, page));
    come(p);
    refuse(p, 0, true);
    assert_int_equal(p->tick->n_outputs, 3);
    assert_string_equal(field(p, 0, "response"), "null");
    assert_string_equal(field(p, 0, "truncated"), "true");
    assert_string_equal(field(p, 0, "items"), "2");
    assert_string_equal(field(p, 0, "pages"), "1");
}

static void test_a_repeat_waits_for_the_commit_and_has_no_items(void **state)
{
    struct play *p = *state;
    begin(p, 0, list, -1);
    command(p, 1, "other", list);
    assert_true(answer(p, 200, page));
    come(p);
    assert_int_equal(p->tick->n_outputs, 3);
    end_tick(p, TICK_COMMITTED);
    come(p);
    assert_int_equal(p->n_calls, 0);
    assert_int_equal(p->tick->n_outputs, 1);
    assert_string_equal(field(p, 0, "replayed"), "true");
    assert_string_equal(field(p, 0, "items"), "null");
    end_tick(p, TICK_COMMITTED);
    count_is(p, "finished", 2);
}

static void test_a_page_beyond_a_tick_goes_alone(void **state)
{
    struct play *p = *state;
    struct buf body;
    buf_init(&body, 1 << 20);
    (void)buf_add_cstr(&body, "{\"_results\":[");
    for (int i = 0; i < 6000; i++)
        (void)buf_printf(&body, "%s{\"id\":\"tag_%d\"}", i > 0 ? "," : "", i);
    (void)buf_add_cstr(&body, "]}");
    command(p, 0, "a", bad);
    come(p);
    end_tick(p, TICK_COMMITTED);
    begin(p, 1, list, -1);
    assert_true(answer(p, 200, body.data));
    command(p, 2, "b", bad);
    come(p);
    assert_int_equal(p->tick->n_outputs, 6001);
    end_tick(p, TICK_COMMITTED);
    come(p);
    assert_int_equal(p->tick->n_outputs, 1);
    end_tick(p, TICK_COMMITTED);
    count_is(p, "finished", 3);
    buf_fini(&body);
}

/* Pages that wait for a tick are bounded: no call begins while there are too many. */
static void test_no_call_begins_while_too_much_waits(void **state)
{
    static const char every[] = "{\"operation\":\"list-tags\"}";
    struct play *p = *state;
    struct buf body;
    char key[8];
    int calls = 0, held = 0;
    buf_init(&body, 2 << 20);
    (void)buf_add_cstr(&body, "{\"_results\":[{\"id\":\"tag_1\",\"name\":\"");
    assert_int_equal(buf_reserve(&body, 1000100), 0);
    memset(body.data + body.len, 'x', 1000000);
    body.len += 1000000;
    (void)buf_add_cstr(&body, "\"}]}");
    for (; calls < 60; calls++) {
        snprintf(key, sizeof key, "k%d", calls);
        command(p, calls, key, every);
        if (calls == 0)
            topic_is(p, 4, -1, "");
        if (p->n_calls == 0)
            break;
        assert_true(answer(p, 200, body.data));
    }
    assert_in_range(calls, 25, 40); /* of 2 MB each, 64 MiB */
    for (; p->n_calls == 0 && held < 50; held++) {
        come(p);
        end_tick(p, TICK_COMMITTED);
        turn(p);
    }
    assert_int_equal(p->n_calls, 1);
    buf_fini(&body);
}

static void test_too_many_items_fail_the_list(void **state)
{
    struct play *p = *state;
    struct buf body;
    buf_init(&body, 1 << 20);
    (void)buf_add_cstr(&body, "{\"_results\":[1");
    for (int i = 0; i < 100000; i++)
        (void)buf_add_cstr(&body, ",1");
    (void)buf_add_cstr(&body, "]}");
    begin(p, 0, list, -1);
    assert_true(answer(p, 200, body.data));
    come(p);
    assert_int_equal(p->tick->n_outputs, 1);
    assert_string_equal(field(p, 0, "error.kind"), "\"too-large\"");
    assert_true(said(field(p, 0, "error.message"), "max_items"));
    buf_fini(&body);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, play_set_up, play_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_items_and_result_are_one_tick),
        TEST(test_an_aborted_tick_comes_again_with_its_items),
        TEST(test_an_empty_list_has_no_items),
        TEST(test_a_missing_topic_is_rejected_and_says_what_to_do),
        TEST(test_while_brokers_are_away_the_list_waits_and_others_go_on),
        TEST(test_max_items_cuts),
        TEST(test_a_list_that_goes_on_is_answered_by_its_first_page),
        TEST(test_what_is_no_list_fails),
        TEST(test_an_error_of_front_stays_one),
        TEST(test_a_page_that_is_too_large_fails),
        TEST(test_an_item_that_is_too_large_goes_without_its_fields),
        TEST(test_an_item_that_never_fits_fails_the_list),
        TEST(test_a_refused_item_is_made_smaller_then_the_list_fails),
        TEST(test_the_same_of_a_later_item),
        TEST(test_a_topic_that_takes_none_fails_the_list_at_once),
        TEST(test_items_of_like_size_are_made_smaller_together),
        TEST(test_a_refused_result_keeps_its_count),
        TEST(test_a_repeat_waits_for_the_commit_and_has_no_items),
        TEST(test_a_page_beyond_a_tick_goes_alone),
        TEST(test_no_call_begins_while_too_much_waits),
        TEST(test_too_many_items_fail_the_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
