/* Commands with files, turn by turn: what is fetched when, who waits for it, what goes to
 * Front, and what becomes of a command whose file cannot be had. */
#include "play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/records/result.h"
#include "engine/ledger.h"

#define FILES(list)                                                                      \
    "{\"operation\":\"add-comment\",\"params\":{\"conversation_id\":\"cnv_1\"},"         \
    "\"body\":{\"body\":\"hi\"},\"attachments\":[" list "]}"
#define FILE_AT(url) "{\"filename\":\"f\",\"url\":\"" url "\"}"
#define DATA "{\"filename\":\"d\",\"data\":\"ZGF0YQ==\"}"
#define HOST "https://files.example.com"

static const char one[] = FILES(FILE_AT(HOST "/a?sig=secret"));
static const char two[] = FILES(FILE_AT(HOST "/a") "," DATA "," FILE_AT(HOST "/b"));
/* Of a class that may be repeated. */
static const char draft[] =
    "{\"operation\":\"edit-draft\",\"params\":{\"message_id\":\"msg_1\"},\"body\":{"
    "\"channel_id\":\"cha_1\",\"body\":\"hi\"},\"attachments\":[" FILE_AT(HOST "/a") "]}";

static void start_play(struct play *p)
{
    /* Not anchored: the engine wants the whole URL to match all the same. */
    p->options.attachments_allowed = "https://files\\.example\\.com/.*";
    play_start(p);
}

static int set_up(void **state)
{
    struct play *p = play_new();

    start_play(p);
    *state = p;
    return 0;
}

static void settle(struct play *p)
{
    for (int i = 0; i < 6; i++) {
        turn(p);
        if (p->tick != NULL)
            end_tick(p, TICK_COMMITTED);
    }
}

/* The result of the one command that is answered next. */
static struct result result_of(struct play *p, struct arena *a)
{
    struct result res;
    struct err e = ERR_INIT;

    for (int i = 0; i < 20 && (p->tick == NULL || p->tick->n_outputs == 0); i++) {
        if (p->tick != NULL)
            end_tick(p, TICK_COMMITTED);
        turn(p);
    }
    assert_non_null(p->tick);
    assert_int_equal(p->tick->n_outputs, 1);
    assert_int_equal(result_decode(p->ss, p->tick->outputs[0].value, a, &res, &e), 0);
    /* The decoder has no message: the record has it as text. */
    return res;
}

static bool result_says(const struct play *p, const char *text)
{
    struct str value = p->tick->outputs[0].value;

    return memmem(value.ptr, value.len, text, strlen(text)) != NULL;
}

static bool is_fetch(const struct http_call *call, const char *url)
{
    return call->url != NULL && strcmp(call->url, url) == 0;
}

/* What the commit's string says. */
static int64_t lease_of(const struct kafka_tick *tick)
{
    struct ledger *lg = mem_zalloc(sizeof *lg);
    struct err e = ERR_INIT;
    int64_t lease = 0;

    ledger_init(lg, 2048);
    assert_int_equal(ledger_restore(lg, tick->offsets[0].offset,
                                    tick->offsets[0].metadata, &lease, &e),
                     0);
    ledger_fini(lg);
    mem_free(lg);
    return lease;
}

/* The body that leaves. */
static struct str body_of(const struct http_call *call, struct arena *a)
{
    char *text = arena_alloc(a, 1 << 16);
    size_t n = 0;

    for (size_t i = 0; i < call->n_pieces; i++) {
        memcpy(text + n, call->pieces[i].ptr, call->pieces[i].len);
        n += call->pieces[i].len;
    }
    return (struct str){text, n};
}

static void a_file_is_fetched_before_anything_is_armed(void **state)
{
    struct play *p = *state;
    struct arena a;

    arena_init(&a, 0);
    command(p, 0, "k", one);
    assert_int_equal(p->n_calls, 1);
    assert_true(is_fetch(p->calls[0], HOST "/a?sig=secret"));
    assert_int_equal(p->calls[0]->method, HTTP_GET);
    assert_null(p->calls[0]->authorization);
    assert_false(p->calls[0]->private_too);
    assert_int_equal(p->calls[0]->body_max, 1000000);
    assert_int_equal(p->calls[0]->timeout_ms, 40000);
    for (int i = 0; i < 5; i++) { /* nothing is armed meanwhile */
        turn(p);
        if (p->tick != NULL) {
            assert_false(string_says_armed(p->tick));
            end_tick(p, TICK_COMMITTED);
        }
    }
    count_is(p, "fetching", 1);
    assert_true(answer(p, 200, "bytes of the file"));
    turn(p);
    assert_int_equal(p->n_calls, 0);
    assert_non_null(p->tick);
    assert_true(string_says_armed(p->tick));
    end_tick(p, TICK_COMMITTED);
    assert_int_equal(p->n_calls, 1);
    assert_null(p->calls[0]->url);
    struct str body = body_of(p->calls[0], &a);
    assert_non_null(memmem(body.ptr, body.len, "bytes of the file", 17));
    assert_non_null(strstr(p->calls[0]->content_type, "multipart/form-data"));
    assert_true(answer(p, 201, "{\"id\":\"com_1\"}"));
    assert_int_equal(result_of(p, &a).outcome, SUCCEEDED);
    end_tick(p, TICK_COMMITTED);
    arena_fini(&a);
}

static void files_come_one_after_another_and_in_their_order(void **state)
{
    struct play *p = *state;
    struct arena a;

    arena_init(&a, 0);
    command(p, 0, "k", two);
    assert_true(is_fetch(p->calls[0], HOST "/a"));
    assert_int_equal(p->calls[0]->body_max, 1000000 - 4); /* what the inline one leaves */
    assert_true(answer(p, 200, "first"));
    turn(p);
    assert_int_equal(p->n_calls, 1);
    assert_true(is_fetch(p->calls[0], HOST "/b"));
    assert_int_equal(p->calls[0]->body_max, 1000000 - 4 - 5);
    assert_true(answer(p, 200, "")); /* an empty file is one */
    settle(p);
    assert_int_equal(p->n_calls, 1);
    assert_int_equal(p->calls[0]->n_pieces, 9);
    assert_true(str_is(p->calls[0]->pieces[3], "first"));
    assert_true(str_is(p->calls[0]->pieces[5], "data"));
    assert_true(str_is(p->calls[0]->pieces[7], ""));
    assert_true(answer(p, 201, "{\"id\":\"com_1\"}"));
    assert_int_equal(result_of(p, &a).outcome, SUCCEEDED);
    end_tick(p, TICK_COMMITTED);
    arena_fini(&a);
}

static void nobody_else_waits_for_a_file(void **state)
{
    struct play *p = *state;

    command(p, 0, "slow", one);
    command(p, 1, "slow", patch); /* its lane does */
    command(p, 2, "other", patch);
    settle(p);
    assert_int_equal(p->n_calls, 2);
    assert_non_null(p->calls[0]->url);
    assert_string_equal(p->calls[1]->path, "/conversations/cnv_1");
    struct http_call *fetch = p->calls[0];
    p->calls[0] = p->calls[1];
    p->calls[1] = fetch;
    assert_true(answer(p, 200, "{}"));
    settle(p);
    assert_int_equal(p->n_calls, 1);
    count_is(p, "finished", 1);
    assert_true(answer(p, 404, ""));
    settle(p);
    count_is(p, "finished", 2);
    assert_int_equal(p->n_calls, 1); /* now its lane goes on */
    assert_true(answer(p, 200, "{}"));
    settle(p);
    count_is(p, "finished", 3);
}

/* What cannot be had for good is REJECTED; nothing reaches Front, and no secret of the
 * URL is in the answer. */
static void what_cannot_be_fetched_is_answered(void **state)
{
    static const struct {
        enum http_end end;
        int status;
        bool refused;
        const char *why, *text;
    } rows[] = {
        {HTTP_ANSWERED, 404, false, "", "answered 404"},
        {HTTP_ANSWERED, 403, false, "", "answered 403"},
        {HTTP_ANSWERED, 401, false, "", "answered 401"},
        {HTTP_ANSWERED, 301, false, "", "redirects are not followed"},
        {HTTP_ANSWERED, 302, false, "", "redirects are not followed"},
        {HTTP_ANSWERED, 204, false, "", "answered 204"},
        {HTTP_TOO_LARGE, 200, false, "", "attachments.max.bytes"},
        {HTTP_NOT_SENT, 0, true, "its address 10.0.0.1 is private",
         "its address 10.0.0.1 is private; only public addresses are called"},
    };
    struct play *p = *state;
    struct arena a;

    arena_init(&a, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        command(p, (int64_t)i, "k", one);
        settle(p);
        assert_int_equal(p->n_calls, 1);
        p->calls[0]->peer_refused = rows[i].refused;
        (void)snprintf(p->calls[0]->why, sizeof p->calls[0]->why, "%s", rows[i].why);
        lose(p, rows[i].end, rows[i].status);
        struct result res = result_of(p, &a);
        assert_int_equal(res.outcome, REJECTED);
        assert_true(str_is(res.error.kind, "attachment"));
        if (!result_says(p, rows[i].text))
            fail_msg("row %zu does not say %s", i, rows[i].text);
        assert_true(result_says(p, "f from " HOST "/a: "));
        assert_false(result_says(p, "secret"));
        end_tick(p, TICK_COMMITTED);
        settle(p);
        assert_int_equal(p->n_calls, 0);
    }
    arena_fini(&a);
}

static void what_may_come_later_is_tried_again(void **state)
{
    static const struct {
        enum http_end end;
        int status;
    } rows[] = {{HTTP_ANSWERED, 503},
                {HTTP_ANSWERED, 429},
                {HTTP_ANSWERED, 408},
                {HTTP_LOST, 0},
                {HTTP_HEAD_ONLY, 200}};
    struct play *p = *state;
    struct arena a;
    int64_t offset = 0;

    arena_init(&a, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        command(p, offset++, "k", one);
        for (int n = 0; n < p->options.retry_max_attempts; n++) {
            settle(p);
            assert_int_equal(p->n_calls, 1);
            lose(p, rows[i].end, rows[i].status);
        }
        assert_int_equal(result_of(p, &a).outcome, FAILED);
        assert_true(result_says(p, "attachment"));
        end_tick(p, TICK_COMMITTED);
        settle(p);
        assert_int_equal(p->n_calls, 0);
    }
    command(p, offset, "k", two); /* a file that came before is fetched once more */
    settle(p);
    assert_true(answer(p, 200, "first"));
    turn(p);
    lose(p, HTTP_ANSWERED, 500);
    settle(p);
    assert_true(is_fetch(p->calls[0], HOST "/a"));
    assert_true(answer(p, 200, "first"));
    turn(p);
    assert_true(is_fetch(p->calls[0], HOST "/b"));
    assert_true(answer(p, 200, "second"));
    settle(p);
    assert_non_null(p->calls[0]->pieces);
    arena_fini(&a);
}

/* A call that is repeated sends the same bytes, without fetching them again. */
static void a_repeated_call_sends_the_same_bytes(void **state)
{
    struct play *p = *state;
    struct arena a;

    arena_init(&a, 0);
    command(p, 0, "k", draft);
    assert_true(answer(p, 200, "bytes"));
    settle(p);
    assert_int_equal(p->calls[0]->method, HTTP_PATCH);
    struct str first = body_of(p->calls[0], &a);
    assert_true(answer(p, 500, "{}"));
    settle(p);
    assert_int_equal(p->n_calls, 1);
    assert_null(p->calls[0]->url);
    assert_true(str_eq(first, body_of(p->calls[0], &a)));
    assert_true(answer(p, 200, "{}"));
    assert_int_equal(result_of(p, &a).outcome, SUCCEEDED);
    end_tick(p, TICK_COMMITTED);
    arena_fini(&a);
}

static void a_deadline_ends_the_wait_for_a_file(void **state)
{
    struct play *p = *state;
    struct arena a;
    char deadline[32];
    struct kafka_header header = {.name = STR_LIT("deadline")};
    struct kafka_event ev = {.type = KAFKA_RECORD};

    arena_init(&a, 0);
    (void)snprintf(deadline, sizeof deadline, "%lld", (long long)p->now + 5000);
    header.value = str_of(deadline);
    ev.record = (struct kafka_record){.at = p->part,
                                      .key = STR_LIT("k"),
                                      .value = str_of(one),
                                      .headers = &header,
                                      .n_headers = 1};
    push(p, ev);
    turn(p);
    assert_int_equal(p->n_calls, 1);
    p->now += 6000;
    lose(p, HTTP_LOST, 0);
    assert_int_equal(result_of(p, &a).outcome, EXPIRED);
    end_tick(p, TICK_COMMITTED);
    arena_fini(&a);
}

static void urls_that_are_not_allowed_cost_no_call(void **state)
{
    static const struct {
        const char *text, *says;
    } rows[] = {
        {FILES(FILE_AT("https://other.example.com/a")), "does not match"},
        {FILES(FILE_AT("https://files.example.com.evil.org/a")), "does not match"},
        {FILES(FILE_AT("https://evil.org/?https://files.example.com/a")), "not match"},
        {FILES(FILE_AT("https://u:p@files.example.com/a")), "user's name"},
        {FILES(FILE_AT("https://files.example.com/a/../../b")), "dot segments"},
        {FILES(FILE_AT("https://files.example.com/a/%2E./b")), "dot segments"},
        {FILES(FILE_AT("https://files.example.com/a b")), "no URL"},
        {FILES(FILE_AT("https://files.example.com/a#b")), "no URL"},
        {FILES(FILE_AT("https://files.example.com/\\u000d\\u000aX: y")), "no URL"},
        {FILES(FILE_AT("https://files.example.com/\\u0000")), "NUL"},
        {FILES(FILE_AT("file:///etc/passwd")), "must begin with"},
        {FILES(FILE_AT("ftp://files.example.com/a")), "must begin with"},
        {FILES(FILE_AT("/etc/passwd")), "no URL"},
        {FILES(FILE_AT("")), "no URL"},
    };
    struct play *p = *state;
    struct arena a;

    arena_init(&a, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        command(p, (int64_t)i, "k", rows[i].text);
        struct result res = result_of(p, &a);
        assert_int_equal(res.outcome, REJECTED);
        assert_true(str_is(res.error.kind, "attachment"));
        if (!result_says(p, rows[i].says))
            fail_msg("row %zu does not say %s", i, rows[i].says);
        end_tick(p, TICK_COMMITTED);
        assert_int_equal(p->n_calls, 0);
    }
    arena_fini(&a);
}

static void without_the_setting_no_url_is_fetched(void **state)
{
    struct play *p = play_new();
    struct arena a;

    *state = p;
    play_start(p);
    arena_init(&a, 0);
    command(p, 0, "k", one);
    assert_int_equal(result_of(p, &a).outcome, REJECTED);
    assert_true(result_says(p, "attachments.url.allowed is not set"));
    end_tick(p, TICK_COMMITTED);
    arena_fini(&a);
}

static void files_that_are_too_large_are_refused(void **state)
{
    struct play *p = play_new();
    struct arena a;

    *state = p;
    p->options.attachments_max_bytes = 7;
    start_play(p);
    arena_init(&a, 0);
    command(p, 0, "k", FILES(DATA "," DATA)); /* 4 bytes each */
    assert_int_equal(result_of(p, &a).outcome, REJECTED);
    assert_true(result_says(p, "have 8 bytes, more than attachments.max.bytes (7)"));
    end_tick(p, TICK_COMMITTED);
    command(p, 1, "k", FILES(DATA));
    settle(p);
    assert_int_equal(p->n_calls, 1);
    arena_fini(&a);
}

/* 64 MiB are held at once: with files of up to 30 MiB two commands fetch, the others
 * wait; a command may always have its own. */
static void what_is_held_has_a_ceiling(void **state)
{
    struct play *p = play_new();
    char key[8];

    *state = p;
    p->options.attachments_max_bytes = 30 << 20;
    start_play(p);
    for (int64_t o = 0; o < 4; o++) {
        (void)snprintf(key, sizeof key, "k%d", (int)o);
        command(p, o, key, two);
    }
    assert_int_equal(p->n_calls, 2);
    assert_true(answer(p, 200, "a")); /* keeps its promise: its second file */
    turn(p);
    assert_int_equal(p->n_calls, 2);
    struct http_call *other = p->calls[0];
    assert_true(is_fetch(other, HOST "/a"));
    assert_true(is_fetch(p->calls[1], HOST "/b"));
    p->calls[0] = p->calls[1];
    p->calls[1] = other;
    assert_true(answer(p, 200, "b")); /* few bytes: there is room again */
    turn(p);
    assert_int_equal(p->n_calls, 2);
    assert_true(is_fetch(p->calls[1], HOST "/a"));
}

static void no_more_than_four_at_once(void **state)
{
    struct play *p = *state;
    char key[8];

    for (int64_t o = 0; o < 6; o++) {
        (void)snprintf(key, sizeof key, "k%d", (int)o);
        command(p, o, key, one);
    }
    assert_int_equal(p->n_calls, ENGINE_FETCHES);
    count_is(p, "fetch", 2);
    lose(p, HTTP_ANSWERED, 404);
    turn(p);
    assert_int_equal(p->n_calls, ENGINE_FETCHES);
    count_is(p, "fetch", 1);
}

/* The partition goes away: the command is the next owner's; the file that still comes is
 * nobody's. Several times, so that a place that is not given back shows. */
static void a_partition_that_goes_takes_its_fetches_along(void **state)
{
    struct play *p = *state;

    for (int n = 0; n < 2 * ENGINE_FETCHES; n++) {
        int released = p->released;
        command(p, 0, "k", two);
        assert_int_equal(p->n_calls, 1);
        assert_true(answer(p, 200, "first"));
        turn(p);
        assert_int_equal(p->n_calls, 1);
        settle(p);
        push(p, (struct kafka_event){.type = KAFKA_LOST,
                                     .parts = &p->part,
                                     .n_parts = 1,
                                     .assignment = n + 1});
        turn(p);
        assert_int_equal(p->released, released + 1);
        assert_true(answer(p, 200, "late"));
        push(p, (struct kafka_event){.type = KAFKA_ASSIGN,
                                     .parts = &p->part,
                                     .n_parts = 1,
                                     .assignment = n + 2});
        for (int i = 0; i < 4; i++)
            turn(p);
        if (p->tick != NULL)
            end_tick(p, TICK_COMMITTED);
    }
}

/* A new owner does not know how large the files of a call in doubt were. */
static void the_lease_covers_the_time_of_a_large_body(void **state)
{
    struct play *p = *state;
    char *text = mem_alloc(600000);
    size_t n = 0;

    n +=
        (size_t)snprintf(text, 600000, "%s",
                         "{\"operation\":\"add-comment\",\"params\":{\"conversation_id\":"
                         "\"cnv_1\"},\"body\":{\"body\":\"hi\"},\"attachments\":[{"
                         "\"filename\":\"f\",\"data\":\"");
    memset(text + n, 'A', 400000);
    n += 400000;
    (void)snprintf(text + n, 600000 - n, "\"}]}");
    command(p, 0, "k", text); /* 300,000 bytes */
    end_tick(p, TICK_COMMITTED);
    turn(p);
    assert_true(string_says_armed(p->tick));
    assert_int_equal(lease_of(p->tick), 5000 + 33000 + 20000 + 5000);
    end_tick(p, TICK_COMMITTED);
    assert_int_equal(p->calls[0]->timeout_ms, 33000);
    assert_true(answer(p, 201, "{\"id\":\"com_1\"}"));
    settle(p);
    mem_free(text);
}

/* A call of class C with files that nobody answered is looked for by its text. */
static void a_lost_call_with_files_is_found_by_its_text(void **state)
{
    struct play *p = *state;
    struct arena a;

    arena_init(&a, 0);
    command(p, 0, "k", one);
    assert_true(answer(p, 200, "bytes"));
    settle(p);
    lose(p, HTTP_LOST, 0);
    p->now += 10000;
    turn(p);
    assert_int_equal(p->n_calls, 1);
    assert_string_equal(p->calls[0]->path, "/conversations/cnv_1/comments");
    assert_int_equal(p->calls[0]->method, HTTP_GET);
    assert_true(answer(p, 200,
                       "{\"_pagination\":{\"next\":null},\"_results\":[{\"id\":\"com_9\","
                       "\"posted_at\":1001,\"author\":null,\"body\":\"hi\"}]}"));
    struct result res = result_of(p, &a);
    assert_int_equal(res.outcome, SUCCEEDED);
    assert_true(res.recovered);
    assert_true(str_is(res.resource_id, "com_9"));
    end_tick(p, TICK_COMMITTED);
    arena_fini(&a);
}

/* Found armed, looked for twice, not there: only then a new owner fetches its file. */
static void a_new_owner_fetches_when_it_must_send_again(void **state)
{
    struct play *p = play_new();
    struct arena a;
    struct ledger *lg = mem_zalloc(sizeof *lg);
    static char string[LEDGER_STRING_MAX];
    struct err e = ERR_INIT;
    int64_t lease;
    static const char nothing[] = "{\"_pagination\":{\"next\":null},\"_results\":[]}";

    *state = p;
    arena_init(&a, 0);
    ledger_init(lg, 100);
    assert_int_equal(ledger_restore(lg, 0, STR_NULL, &lease, &e), 0);
    assert_int_equal(ledger_deliver(lg, 0), LEDGER_NEW);
    ledger_arm(lg, 0, 1000);
    p->metadata = (struct str){string, ledger_string(lg, 1000, "", string)};
    start_play(p);
    command(p, 0, "k", one);
    settle(p);
    command(p, 1, "other", bad); /* its result brings a string */
    while (p->tick == NULL)
        turn(p);
    /* What was sent may have had as many bytes as are allowed: 1,000,000. */
    assert_int_equal(lease_of(p->tick), 5000 + 40000 + 20000 + 5000);
    settle(p);
    assert_int_equal(p->n_calls, 0);
    p->now += 1000;
    turn(p);
    for (int looks = 0; looks < 2; looks++) {
        settle(p);
        assert_int_equal(p->n_calls, 1);
        assert_null(p->calls[0]->url);
        assert_int_equal(p->calls[0]->method, HTTP_GET);
        assert_true(answer(p, 200, nothing));
        turn(p);
        assert_true(looks == 1 || p->n_calls == 0);
        p->now += looks == 0 ? 10000 : 0;
        turn(p);
    }
    assert_int_equal(p->n_calls, 1);
    assert_true(is_fetch(p->calls[0], HOST "/a?sig=secret"));
    assert_true(answer(p, 200, "bytes"));
    settle(p);
    assert_int_equal(p->n_calls, 1);
    assert_int_equal(p->calls[0]->method, HTTP_POST);
    assert_non_null(p->calls[0]->pieces);
    assert_true(answer(p, 201, "{\"id\":\"com_1\"}"));
    assert_int_equal(result_of(p, &a).outcome, SUCCEEDED);
    end_tick(p, TICK_COMMITTED);
    ledger_fini(lg);
    mem_free(lg);
    arena_fini(&a);
}

#define PLAY(test) cmocka_unit_test_setup_teardown(test, set_up, play_tear_down)
#define OWN(test) cmocka_unit_test_teardown(test, play_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAY(a_file_is_fetched_before_anything_is_armed),
        PLAY(files_come_one_after_another_and_in_their_order),
        PLAY(nobody_else_waits_for_a_file),
        PLAY(what_cannot_be_fetched_is_answered),
        PLAY(what_may_come_later_is_tried_again),
        PLAY(a_repeated_call_sends_the_same_bytes),
        PLAY(a_deadline_ends_the_wait_for_a_file),
        PLAY(urls_that_are_not_allowed_cost_no_call),
        OWN(without_the_setting_no_url_is_fetched),
        OWN(files_that_are_too_large_are_refused),
        OWN(what_is_held_has_a_ceiling),
        PLAY(no_more_than_four_at_once),
        PLAY(a_partition_that_goes_takes_its_fetches_along),
        PLAY(the_lease_covers_the_time_of_a_large_body),
        PLAY(a_lost_call_with_files_is_found_by_its_text),
        OWN(a_new_owner_fetches_when_it_must_send_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
