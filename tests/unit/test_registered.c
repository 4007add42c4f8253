/* The engine and a schema registry that answers when the test says so: what waits, what
 * goes on. */
#include <stdio.h>
#include <string.h>

#include "codec/json.h"
#include "codec/records/command.h"
#include "codec/records/result.h"
#include "codec/registry.h"
#include "engine/ledger.h"
#include "play.h"

#define WRITER 77 /* an id that no record had before */
#define PLAIN 0   /* a single object */

struct desk {
    struct play *p;
    struct registry *rg;
    struct http_port port;
    struct http_call *asked[REGISTRY_PLACES], *ended[REGISTRY_PLACES];
    char paths[REGISTRY_PLACES][200];
    size_t n, n_ended;
    struct arena values;
};

static int desk_start(void *self, struct http_call *call)
{
    struct desk *d = self;
    assert_true(d->n < REGISTRY_PLACES);
    (void)snprintf(d->paths[d->n], sizeof d->paths[0], "%s", call->path);
    d->asked[d->n++] = call;
    return 0;
}

static void desk_end(struct desk *d, size_t i)
{
    d->ended[d->n_ended++] = d->asked[i];
    d->n--;
    memmove(d->asked + i, d->asked + i + 1, (d->n - i) * sizeof d->asked[0]);
    memmove(d->paths + i, d->paths + i + 1, (d->n - i) * sizeof d->paths[0]);
}

static void desk_cancel(void *self, struct http_call *call)
{
    struct desk *d = self;
    size_t i = 0;
    while (d->asked[i] != call)
        i++;
    call->end = HTTP_LOST;
    desk_end(d, i);
}

static void desk_reap(void *self)
{
    struct desk *d = self;
    while (d->n_ended > 0) {
        struct http_call *call = d->ended[--d->n_ended];
        call->done(call);
    }
}

static struct desk *desk_new(bool known)
{
    static const char *const urls[] = {"http://registry"};
    struct desk *d = mem_zalloc(sizeof *d);
    d->p = play_new();
    d->p->options.commands_json = false;
    d->port = (struct http_port){desk_start, desk_cancel, desk_reap, d};
    arena_init(&d->values, 0);
    if (known)
        return d;
    d->rg = registry_new(d->p->ss, &(struct registry_options){.ports = &d->port,
                                                              .urls = urls,
                                                              .n = 1,
                                                              .registers = true,
                                                              .clock = &d->p->clock});
    return d;
}

/* As a loop turns. */
static void round_of(struct desk *d)
{
    registry_turn(d->rg);
    turn(d->p);
    registry_turn(d->rg);
}

/* The registry answers the question for this path. */
static void say(struct desk *d, const char *path, int status, const char *body)
{
    for (size_t i = 0; i < d->n; i++) {
        struct http_call *call = d->asked[i];
        if (strcmp(d->paths[i], path) != 0)
            continue;
        buf_init(&call->body_in, 1 << 20);
        (void)buf_add_cstr(&call->body_in, body);
        call->end = HTTP_ANSWERED;
        call->head.status = status;
        desk_end(d, i);
        round_of(d);
        return;
    }
    fail_msg("nobody asked for %s", path);
}

/* The schema of front.Command, as a registry tells it. */
static const char *command_schema(struct desk *d)
{
    struct str text = schema_text(schemas_xget(d->p->ss, "front.Command"));
    struct buf body;
    buf_init(&body, 1 << 20);
    (void)buf_add_cstr(&body, "{\"schema\":");
    (void)json_quote(&body, text);
    (void)buf_add_char(&body, '}');
    const char *copy = arena_strndup(&d->values, body.data, body.len);
    buf_fini(&body);
    return copy;
}

static void come(struct desk *d, int64_t offset, const char *key, const char *id,
                 const char *operation, uint32_t schema)
{
    struct kafka_event ev = {.type = KAFKA_RECORD};
    struct pair param = {STR_LIT("conversation_id"), STR_LIT("cnv_1"), false};
    struct command cmd = {.command_id = str_of(id),
                          .operation = str_of(operation),
                          .params = &param,
                          .n_params = 1,
                          .body = STR_LIT("{\"body\":\"x\"}")};
    struct err e = ERR_INIT;
    struct buf value;
    if (strcmp(operation, "add-comment") != 0)
        cmd.body = STR_NULL;
    buf_init(&value, 4096);
    assert_int_equal(command_encode_avro(d->p->ss, &cmd, &value, &e), 0);
    assert_int_equal((unsigned char)value.data[0], 0xc3);
    char *bytes = arena_strndup(&d->values, value.data, value.len);
    struct str framed = {bytes, value.len};
    buf_fini(&value);
    if (schema != PLAIN) {
        memcpy(bytes + 5, "\0\0\0\0", 4);
        bytes[9] = (char)schema;
        framed = (struct str){bytes + 5, framed.len - 5};
    }
    ev.record = (struct kafka_record){.at = d->p->part,
                                      .offset = offset,
                                      .timestamp_ms = d->p->now,
                                      .key = str_of(key),
                                      .value = framed};
    push(d->p, ev);
    round_of(d);
}

static void close_desk(struct desk *d)
{
    void *state = d->p;
    registry_free(d->rg);
    (void)play_tear_down(&state);
    arena_fini(&d->values);
    mem_free(d);
}

static struct desk *ready_desk(void)
{
    struct desk *d = desk_new(false);
    play_start(d->p);
    registry_turn(d->rg);
    say(d, "/subjects/results-value", 200, "{\"id\":5}");
    round_of(d);
    return d;
}

static bool is_ready(struct desk *d, const char *words)
{
    struct buf why;
    bool ready;
    buf_init(&why, 4096);
    ready = engine_ready(d->p->en, &why);
    if (strstr(why.data, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", why.data, words);
    buf_fini(&why);
    return ready;
}

static bool is_parked(struct desk *d)
{
    struct engine_health health = {0};
    struct buf page;
    bool parked;
    buf_init(&page, 1 << 20);
    engine_status_json(d->p->en, &health, &page);
    parked = strstr(page.data, "\"state\":\"parked\"") != NULL;
    assert_true(parked == (strstr(page.data, "\"state\":\"live\"") == NULL));
    buf_fini(&page);
    return parked;
}

static void nothing_is_fetched_before_the_outputs_are_known(void **state)
{
    (void)state;
    struct desk *d = desk_new(false);
    play_start(d->p);
    for (int i = 0; i < 50; i++)
        round_of(d);
    assert_true(is_parked(d));
    assert_false(is_ready(d, "output schemas unresolved"));
    assert_int_equal(d->n, 1);
    say(d, d->paths[0], 503, "busy");
    for (int i = 0; i < 50; i++)
        round_of(d);
    assert_true(is_parked(d));
    assert_false(is_ready(d, "answered 503"));
    say(d, d->paths[0], 200, "{\"id\":5}");
    round_of(d);
    assert_false(is_parked(d));
    assert_true(is_ready(d, ""));
    close_desk(d);
}

static void without_a_registry_nothing_waits(void **state)
{
    (void)state;
    struct desk *d = desk_new(true);
    play_start(d->p);
    assert_false(is_parked(d));
    close_desk(d);
}

static void only_the_lane_of_an_unknown_schema_waits(void **state)
{
    (void)state;
    struct desk *d = ready_desk();
    come(d, 0, "a", NULL, "get-conversation-by-id", WRITER);
    come(d, 1, "a", NULL, "get-conversation-by-id", PLAIN);
    come(d, 2, "b", NULL, "get-conversation-by-id", PLAIN);
    count_is(d->p, "schema", 1);
    count_is(d->p, "queued", 1);
    assert_int_equal(d->p->n_calls, 1);
    assert_true(is_ready(d, "wait for a schema"));
    say(d, "/schemas/ids/77", 500, "");
    assert_true(is_ready(d, "does not answer"));
    for (int i = 0; i < 200; i++)
        round_of(d);
    count_is(d->p, "schema", 1);
    say(d, "/schemas/ids/77", 200, command_schema(d));
    count_is(d->p, "schema", 0);
    assert_int_equal(d->p->n_calls, 2);
    close_desk(d);
}

/* The string that is read says that these offsets, up to `last`, were armed at second
 * 1000. */
static void armed(struct play *p, int64_t first, int64_t last, char *text)
{
    struct ledger lg;
    struct err e = ERR_INIT;
    int64_t lease;
    ledger_init(&lg, 100);
    assert_int_equal(ledger_restore(&lg, 0, STR_NULL, &lease, &e), 0);
    for (int64_t o = 0; o <= last; o++)
        assert_int_equal(ledger_deliver(&lg, o), LEDGER_NEW);
    for (int64_t o = first; o <= last; o++)
        ledger_arm(&lg, o, 1000);
    p->metadata = (struct str){text, ledger_string(&lg, 70000, "", text)};
    ledger_fini(&lg);
}

/* One call that may have been executed, as in the string. */
static struct desk *armed_desk(int64_t first, int64_t last)
{
    static char text[LEDGER_STRING_MAX];
    struct desk *d = desk_new(false);
    armed(d->p, first, last, text);
    play_start(d->p);
    registry_turn(d->rg);
    say(d, "/subjects/results-value", 200, "{\"id\":5}");
    round_of(d);
    return d;
}

/* Its id is in bytes that nobody can read yet: it may be that of any other. */
static void what_was_armed_and_cannot_be_read_holds_every_id(void **state)
{
    (void)state;
    struct desk *d = armed_desk(1, 1);
    come(d, 0, "z", NULL, "get-conversation-by-id", PLAIN);
    come(d, 1, "a", "the-id", "add-comment", WRITER);
    come(d, 2, "b", "the-id", "add-comment", PLAIN);
    come(d, 3, "c", "another", "add-comment", PLAIN);
    come(d, 4, "d", NULL, "get-conversation-by-id", PLAIN);
    count_is(d->p, "schema", 1);
    count_is(d->p, "twin", 2);
    assert_int_equal(d->p->n_calls, 2); /* those without an id */
    say(d, "/schemas/ids/77", 200, command_schema(d));
    count_is(d->p, "schema", 0);
    count_is(d->p, "doubt", 1);
    count_is(d->p, "twin", 1); /* the one with that id */
    close_desk(d);
}

/* What Front shows may be its work. */
static void a_row_that_one_which_cannot_be_read_may_have_made_is_nobodys(void **state)
{
    static const char rows[] =
        "{\"_pagination\":{\"next\":null},\"_results\":[{\"id\":\"com_1\","
        "\"posted_at\":1001,\"author\":null,\"body\":\"x\"}]}";
    (void)state;
    struct desk *d = armed_desk(0, 1);
    struct play *p = d->p;
    struct result res;
    struct err e = ERR_INIT;
    come(d, 0, "a", NULL, "add-comment", WRITER);
    come(d, 1, "b", NULL, "add-comment", PLAIN);
    count_is(p, "schema", 1);
    count_is(p, "doubt", 1);
    for (int i = 0; i < 100 && (p->tick == NULL || p->tick->n_outputs == 0); i++) {
        if (p->tick != NULL)
            end_tick(p, TICK_COMMITTED);
        p->now += 5000;
        round_of(d);
        while (p->n_calls > 0)
            assert_true(answer(p, 200, rows));
    }
    assert_non_null(p->tick);
    assert_int_equal(p->tick->n_outputs, 1);
    assert_int_equal(p->tick->outputs[0].value.ptr[0], 0); /* the registry's framing */
    assert_int_equal(
        result_decode(p->ss, p->tick->outputs[0].value, &d->values, &res, &e), 0);
    assert_int_equal(res.outcome, IN_DOUBT);
    count_is(p, "schema", 1);
    close_desk(d);
}

static void what_runs_when_all_ends_is_freed(void **state)
{
    (void)state;
    struct desk *d = ready_desk();
    come(d, 0, "a", NULL, "get-conversation-by-id", WRITER);
    come(d, 1, "b", NULL, "get-conversation-by-id", WRITER + 1);
    count_is(d->p, "schema", 2);
    close_desk(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_fetched_before_the_outputs_are_known),
        cmocka_unit_test(without_a_registry_nothing_waits),
        cmocka_unit_test(only_the_lane_of_an_unknown_schema_waits),
        cmocka_unit_test(what_was_armed_and_cannot_be_read_holds_every_id),
        cmocka_unit_test(a_row_that_one_which_cannot_be_read_may_have_made_is_nobodys),
        cmocka_unit_test(what_runs_when_all_ends_is_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
