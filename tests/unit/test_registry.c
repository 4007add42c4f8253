/* The registry client on a fake HTTP port and a clock of ours: what is asked, how often,
 * of whom, and what is known after which answer. */
#include <string.h>

#include "codec/framing.h"
#include "codec/registry.h"
#include "codec_help.h"

#define CALLS 64
#define NO_SUCH_ID "{\"error_code\":40403,\"message\":\"not found\"}"
#define STRING_SCHEMA "{\"schema\":\"\\\"string\\\"\"}"

struct fake {
    struct http_call *running[CALLS]; /* in the order they were started */
    struct http_call *ended[CALLS];
    size_t n, n_ended;
    unsigned started, most; /* in all; at once */
    char path[200], query[64], authorization[64];
    struct str body;
};

struct world {
    struct schemas *ss;
    struct registry *rg;
    struct fake urls[3];
    struct http_port ports[3];
    int64_t now;
    struct clock clock;
};

static int64_t now(void *arg)
{
    return ((struct world *)arg)->now;
}

static int fake_start(void *self, struct http_call *call)
{
    struct fake *f = self;

    assert_true(f->n < REGISTRY_PLACES);
    f->running[f->n++] = call;
    f->started++;
    f->most = f->n > f->most ? (unsigned)f->n : f->most;
    (void)snprintf(f->path, sizeof(f->path), "%s", call->path);
    (void)snprintf(f->query, sizeof(f->query), "%s", call->query ? call->query : "");
    (void)snprintf(f->authorization, sizeof(f->authorization), "%s",
                   call->authorization ? call->authorization : "");
    f->body = call->body;
    return 0;
}

/* The call started first ends. */
static void end(struct fake *f, struct http_call *call)
{
    size_t i = 0;

    while (f->running[i] != call)
        i++;
    f->n--;
    memmove(f->running + i, f->running + i + 1, (f->n - i) * sizeof(f->running[0]));
    f->ended[f->n_ended++] = call;
}

static void fake_cancel(void *self, struct http_call *call)
{
    call->end = HTTP_LOST;
    end(self, call);
}

static void fake_reap(void *self)
{
    struct fake *f = self;

    while (f->n_ended > 0) {
        struct http_call *call = f->ended[--f->n_ended];
        call->done(call);
    }
}

static void open_world(struct world *w, size_t n, bool registers)
{
    static const char *const urls[] = {"http://one", "http://two/api", "http://three"};
    struct err e = ERR_INIT;

    memset(w, 0, sizeof(*w));
    w->now = 1000000;
    w->clock = (struct clock){now, now, now, w};
    w->ss = schemas_new(NULL, &e);
    for (size_t i = 0; i < n; i++)
        w->ports[i] = (struct http_port){fake_start, fake_cancel, fake_reap, &w->urls[i]};
    w->rg = registry_new(w->ss, &(struct registry_options){.ports = w->ports,
                                                           .urls = urls,
                                                           .n = n,
                                                           .authorization = "Basic eDp5",
                                                           .registers = registers,
                                                           .clock = &w->clock});
}

static void close_world(struct world *w)
{
    registry_free(w->rg);
    schemas_free(w->ss);
}

static void say(struct world *w, size_t url, int status, const char *body)
{
    struct fake *f = &w->urls[url];
    struct http_call *call = f->running[0];

    assert_true(f->n > 0);
    buf_init(&call->body_in, 4096);
    (void)buf_add_cstr(&call->body_in, body);
    call->end = HTTP_ANSWERED;
    call->head.status = status;
    end(f, call);
    registry_turn(w->rg);
}

static void lose(struct world *w, size_t url)
{
    struct http_call *call = w->urls[url].running[0];

    assert_true(w->urls[url].n > 0);
    call->end = HTTP_LOST;
    (void)snprintf(call->why, sizeof(call->why), "connection refused");
    end(&w->urls[url], call);
    registry_turn(w->rg);
}

static enum registry_answer ask(struct world *w, int32_t id, const struct schema **sc)
{
    const struct schema *found = NULL;
    struct err e = ERR_INIT;
    enum registry_answer answer = registry_by_id(w->rg, id, sc != NULL ? sc : &found, &e);

    assert_true(answer == REGISTRY_KNOWN || e.text[0] != '\0');
    assert_true(answer != REGISTRY_WAIT || e.kind == ERR_BUSY);
    assert_true(answer != REGISTRY_MISSING || strcmp(e.reason, "SchemaUnknown") == 0);
    registry_turn(w->rg);
    return answer;
}

static enum registry_answer output(struct world *w, const char *name, const char *topic,
                                   struct err *e)
{
    enum registry_answer answer;

    err_clear(e);
    answer = registry_output(w->rg, schemas_xget(w->ss, name), topic, e);
    registry_turn(w->rg);
    return answer;
}

/* Lets time pass, step by step, as the loop does. */
static void pass(struct world *w, int64_t ms)
{
    int64_t end_ms = w->now + ms;

    while (w->now < end_ms) {
        int64_t next = registry_next_ms(w->rg);
        w->now = next > w->now && next < end_ms ? next : end_ms;
        registry_turn(w->rg);
        if (next <= w->now && w->urls[0].n + w->urls[1].n + w->urls[2].n > 0)
            return; /* somebody is asked */
    }
}

static void an_id_is_asked_once_and_known_for_ever(void **state)
{
    const struct schema *sc = NULL;
    struct world w;

    (void)state;
    open_world(&w, 1, false);
    for (int i = 0; i < 5; i++)
        assert_int_equal(ask(&w, 7, &sc), REGISTRY_WAIT);
    assert_int_equal(w.urls[0].started, 1);
    assert_string_equal(w.urls[0].path, "/schemas/ids/7");
    assert_string_equal(w.urls[0].authorization, "Basic eDp5");
    assert_int_equal(registry_news(w.rg), 0);
    say(&w, 0, 200, STRING_SCHEMA);
    assert_int_equal(registry_news(w.rg), 1);
    assert_int_equal(ask(&w, 7, &sc), REGISTRY_KNOWN);
    assert_true(str_is(schema_text(sc), "\"string\""));
    w.now += 1000000000;
    assert_int_equal(ask(&w, 7, &sc), REGISTRY_KNOWN);
    assert_int_equal(w.urls[0].started, 1);
    close_world(&w);
}

static void four_questions_run_at_once(void **state)
{
    struct world w;

    (void)state;
    open_world(&w, 1, false);
    for (int32_t id = 1; id <= 10; id++)
        assert_int_equal(ask(&w, id, NULL), REGISTRY_WAIT);
    assert_int_equal(w.urls[0].n, REGISTRY_PLACES);
    for (int i = 0; i < 10; i++)
        say(&w, 0, 200, STRING_SCHEMA);
    assert_int_equal(w.urls[0].most, REGISTRY_PLACES);
    for (int32_t id = 1; id <= 10; id++)
        assert_int_equal(ask(&w, id, NULL), REGISTRY_KNOWN);
    assert_int_equal(w.urls[0].started, 10);
    close_world(&w);
}

static void what_the_registry_does_not_know_is_missing_after_a_minute(void **state)
{
    int64_t began;
    struct world w;

    (void)state;
    open_world(&w, 1, false);
    began = w.now;
    assert_int_equal(ask(&w, 9, NULL), REGISTRY_WAIT);
    do {
        say(&w, 0, 404, NO_SUCH_ID);
        if (w.now < began + REGISTRY_MISSING_MS)
            assert_int_equal(ask(&w, 9, NULL), REGISTRY_WAIT);
        pass(&w, REGISTRY_MISSING_MS);
    } while (w.urls[0].n > 0);
    assert_true(w.now >= began + REGISTRY_MISSING_MS);
    assert_in_range(w.urls[0].started, 5, 30);
    /* ... and is not asked again meanwhile */
    unsigned before = w.urls[0].started;
    assert_true(w.now < began + 2 * REGISTRY_MISSING_MS + 1);
    w.now = began + REGISTRY_MISSING_MS + 1000;
    assert_int_equal(ask(&w, 9, NULL), REGISTRY_MISSING);
    assert_int_equal(w.urls[0].started, before);
    /* but later: somebody may have registered it */
    w.now += REGISTRY_MISSING_MS;
    assert_int_equal(ask(&w, 9, NULL), REGISTRY_WAIT);
    assert_int_equal(w.urls[0].started, before + 1);
    say(&w, 0, 404, NO_SUCH_ID); /* which begins another minute */
    assert_int_equal(ask(&w, 9, NULL), REGISTRY_WAIT);
    pass(&w, 6000);
    say(&w, 0, 200, STRING_SCHEMA);
    assert_int_equal(ask(&w, 9, NULL), REGISTRY_KNOWN);
    close_world(&w);
}

static void one_that_is_registered_within_the_minute_is_known(void **state)
{
    struct world w;

    (void)state;
    open_world(&w, 1, false);
    assert_int_equal(ask(&w, 9, NULL), REGISTRY_WAIT);
    say(&w, 0, 404, NO_SUCH_ID);
    pass(&w, 30000);
    say(&w, 0, 404, NO_SUCH_ID);
    pass(&w, 30000);
    say(&w, 0, 200, STRING_SCHEMA);
    assert_int_equal(ask(&w, 9, NULL), REGISTRY_KNOWN);
    close_world(&w);
}

static void what_is_not_answered_is_waited_for_without_end(void **state)
{
    static const struct {
        int status; /* 0: nothing comes */
        const char *body;
    } rows[] = {
        {0, NULL},
        {500, "{\"error_code\":50001,\"message\":\"store\"}"},
        {502, "<html>Bad Gateway</html>"},
        {404, "<html>Not Found</html>"},
        {401, "{\"error_code\":40101,\"message\":\"who are you\"}"},
        {429, "{\"error_code\":42901,\"message\":\"slow\"}"},
        {200, "<html>Log in</html>"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct world w;

        open_world(&w, 1, false);
        assert_int_equal(ask(&w, 9, NULL), REGISTRY_WAIT);
        for (int n = 0; n < 100; n++) {
            int64_t before = w.now;

            if (rows[i].status == 0)
                lose(&w, 0);
            else
                say(&w, 0, rows[i].status, rows[i].body);
            assert_non_null(registry_trouble(w.rg));
            assert_int_equal(ask(&w, 9, NULL), REGISTRY_WAIT);
            assert_int_equal(w.urls[0].n, 0);
            pass(&w, 6000);
            assert_int_equal(w.urls[0].n, 1);
            assert_in_range(w.now - before, 500, 5000);
        }
        assert_int_equal(registry_news(w.rg), 0);
        say(&w, 0, 200, STRING_SCHEMA);
        assert_null(registry_trouble(w.rg));
        assert_int_equal(ask(&w, 9, NULL), REGISTRY_KNOWN);
        close_world(&w);
    }
}

static void a_404_between_failures_does_not_count_as_a_minute(void **state)
{
    struct world w;

    (void)state;
    open_world(&w, 1, false);
    assert_int_equal(ask(&w, 9, NULL), REGISTRY_WAIT);
    w.now += 10 * REGISTRY_MISSING_MS; /* no answer all that time */
    lose(&w, 0);
    pass(&w, 6000);
    say(&w, 0, 404, NO_SUCH_ID);
    assert_int_equal(ask(&w, 9, NULL), REGISTRY_WAIT);
    close_world(&w);
}

static void the_next_url_is_asked_at_once(void **state)
{
    struct world w;

    (void)state;
    open_world(&w, 3, false);
    assert_int_equal(ask(&w, 1, NULL), REGISTRY_WAIT);
    lose(&w, 0);
    assert_null(registry_trouble(w.rg));
    assert_int_equal(w.urls[1].n, 1);
    say(&w, 1, 503, "");
    assert_int_equal(w.urls[2].n, 1);
    say(&w, 2, 200, STRING_SCHEMA);
    assert_int_equal(ask(&w, 1, NULL), REGISTRY_KNOWN);
    /* who answered is asked first from then on */
    assert_int_equal(ask(&w, 2, NULL), REGISTRY_WAIT);
    assert_int_equal(w.urls[2].n, 1);
    lose(&w, 2);
    lose(&w, 0);
    lose(&w, 1);
    assert_non_null(registry_trouble(w.rg));
    assert_int_equal(w.urls[0].n + w.urls[1].n + w.urls[2].n, 0);
    pass(&w, 6000);
    say(&w, 2, 200, STRING_SCHEMA);
    assert_int_equal(ask(&w, 2, NULL), REGISTRY_KNOWN);
    close_world(&w);
}

static void when_one_question_is_answered_all_others_are_asked_again(void **state)
{
    struct world w;

    (void)state;
    open_world(&w, 1, false);
    for (int n = 0; n < 10; n++) { /* so far that it waits for long */
        assert_int_equal(ask(&w, 1, NULL), REGISTRY_WAIT);
        lose(&w, 0);
        if (n < 9)
            pass(&w, 6000);
    }
    assert_int_equal(ask(&w, 2, NULL), REGISTRY_WAIT);
    say(&w, 0, 200, STRING_SCHEMA);
    registry_turn(w.rg);
    assert_int_equal(w.urls[0].n, 1);
    assert_string_equal(w.urls[0].path, "/schemas/ids/1");
    close_world(&w);
}

static void after_an_answer_patience_begins_anew(void **state)
{
    struct world w;

    (void)state;
    open_world(&w, 1, false);
    assert_int_equal(ask(&w, 1, NULL), REGISTRY_WAIT);
    for (int n = 0; n < 6; n++) {
        lose(&w, 0);
        pass(&w, 6000);
    }
    say(&w, 0, 404, NO_SUCH_ID);
    pass(&w, 6000);
    int64_t lost = w.now;
    lose(&w, 0);
    pass(&w, 6000);
    assert_int_equal(w.now - lost, 500);
    close_world(&w);
}

static void what_cannot_be_read_is_missing_at_once(void **state)
{
    static const char *const bodies[] = {
        "{\"schema\":\"syntax = \\\"proto3\\\";\",\"schemaType\":\"PROTOBUF\"}",
        "{\"schema\":\"not a schema\"}",
        "{\"schema\":\"{\\\"type\\\":\\\"record\\\"}\"}",
        "{\"schema\":\"\\\"int\\\"\",\"references\":[{\"name\":\"x\"}]}",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(bodies); i++) {
        struct world w;

        open_world(&w, 1, false);
        assert_int_equal(ask(&w, 3, NULL), REGISTRY_WAIT);
        say(&w, 0, 200, bodies[i]);
        assert_int_equal(ask(&w, 3, NULL), REGISTRY_MISSING);
        close_world(&w);
    }
}

static void no_id_below_1_is_asked_for(void **state)
{
    struct world w;

    (void)state;
    open_world(&w, 1, false);
    assert_int_equal(ask(&w, 0, NULL), REGISTRY_MISSING);
    assert_int_equal(ask(&w, -1, NULL), REGISTRY_MISSING);
    assert_int_equal(ask(&w, INT32_MIN, NULL), REGISTRY_MISSING);
    assert_int_equal(w.urls[0].started, 0);
    close_world(&w);
}

static void ids_without_end_do_not_fill_the_memory(void **state)
{
    struct world w;

    (void)state;
    open_world(&w, 1, false);
    for (int32_t id = 1; id <= 10000; id++) {
        assert_int_equal(ask(&w, id, NULL), REGISTRY_WAIT);
        say(&w, 0, 200, "{\"schema\":\"x\"}");
    }
    struct buf status;
    buf_init(&status, 4096);
    registry_status(w.rg, &status);
    assert_non_null(strstr(status.data, "\"missing\":4096"));
    buf_fini(&status);
    close_world(&w);
}

/* ---- outputs ---- */

static void an_output_is_looked_up_in_two_ways_and_then_missing(void **state)
{
    struct err e = ERR_INIT;
    struct world w;

    (void)state;
    open_world(&w, 1, false);
    for (int i = 0; i < 3; i++)
        assert_int_equal(output(&w, "front.Result", "front.results", &e), REGISTRY_WAIT);
    assert_int_equal(w.urls[0].started, 1);
    assert_string_equal(w.urls[0].path, "/subjects/front.results-value");
    assert_string_equal(w.urls[0].query, "normalize=true");
    say(&w, 0, 404, "{\"error_code\":40401,\"message\":\"no subject\"}");
    assert_string_equal(w.urls[0].path, "/subjects/front.results-value");
    assert_string_equal(w.urls[0].query, "");
    say(&w, 0, 404, "{\"error_code\":40401,\"message\":\"no subject\"}");
    assert_int_equal(output(&w, "front.Result", "front.results", &e), REGISTRY_MISSING);
    assert_non_null(strstr(e.text, "front.results-value"));
    assert_non_null(strstr(e.text, "no subject"));
    assert_int_equal(w.urls[0].started, 2); /* never registered */
    /* it is looked up again after a while */
    w.now += 11000;
    assert_int_equal(output(&w, "front.Result", "front.results", &e), REGISTRY_WAIT);
    assert_string_equal(w.urls[0].query, "normalize=true");
    say(&w, 0, 200, "{\"id\":4}");
    assert_int_equal(output(&w, "front.Result", "front.results", &e), REGISTRY_KNOWN);
    close_world(&w);
}

static void one_that_does_not_normalize_is_asked_as_it_is(void **state)
{
    struct err e = ERR_INIT;
    struct world w;

    (void)state;
    open_world(&w, 1, true);
    (void)output(&w, "front.Result", "front.results", &e);
    say(&w, 0, 400, "{\"error_code\":400,\"message\":\"unknown parameter normalize\"}");
    assert_string_equal(w.urls[0].query, "");
    say(&w, 0, 200, "{\"id\":4,\"version\":2}");
    assert_int_equal(output(&w, "front.Result", "front.results", &e), REGISTRY_KNOWN);
    assert_int_equal(w.urls[0].started, 2);
    close_world(&w);
}

static void what_is_missing_is_registered_when_that_is_allowed(void **state)
{
    const struct schema *sc = NULL;
    struct err e = ERR_INIT;
    struct world w;
    char prefix[10];

    (void)state;
    open_world(&w, 1, true);
    (void)output(&w, "front.Result", "front.results", &e);
    say(&w, 0, 404, "{\"error_code\":40403,\"message\":\"not found\"}");
    say(&w, 0, 404, "{\"error_code\":40403,\"message\":\"not found\"}");
    assert_string_equal(w.urls[0].path, "/subjects/front.results-value/versions");
    assert_true(w.urls[0].body.len > 0);
    sc = schemas_xget(w.ss, "front.Result");
    assert_int_equal(framing_seal(sc, prefix), 10);
    say(&w, 0, 200, "{\"id\":258}");
    assert_int_equal(output(&w, "front.Result", "front.results", &e), REGISTRY_KNOWN);
    assert_int_equal(framing_seal(sc, prefix), 5);
    assert_memory_equal(prefix, "\0\0\0\1\2", 5);
    /* what was written with the id is read without a question */
    const struct schema *found = NULL;
    assert_int_equal(ask(&w, 258, &found), REGISTRY_KNOWN);
    assert_ptr_equal(found, sc);
    assert_int_equal(w.urls[0].started, 3);
    close_world(&w);
}

static void what_the_registry_does_not_take_is_missing_and_says_why(void **state)
{
    struct err e = ERR_INIT;
    struct world w;

    (void)state;
    open_world(&w, 1, true);
    (void)output(&w, "front.Event", "events", &e);
    say(&w, 0, 404, "{\"error_code\":40403,\"message\":\"not found\"}");
    say(&w, 0, 404, "{\"error_code\":40403,\"message\":\"not found\"}");
    say(&w, 0, 409, "{\"error_code\":409,\"message\":\"incompatible with version 1\"}");
    assert_int_equal(output(&w, "front.Event", "events", &e), REGISTRY_MISSING);
    assert_non_null(strstr(e.text, "incompatible with version 1"));
    close_world(&w);
}

static void a_failure_goes_on_where_it_was(void **state)
{
    struct err e = ERR_INIT;
    struct world w;

    (void)state;
    open_world(&w, 1, true);
    (void)output(&w, "front.Event", "events", &e);
    say(&w, 0, 404, "{\"error_code\":40403,\"message\":\"not found\"}");
    say(&w, 0, 404, "{\"error_code\":40403,\"message\":\"not found\"}");
    say(&w, 0, 500, "");
    assert_int_equal(output(&w, "front.Event", "events", &e), REGISTRY_WAIT);
    pass(&w, 6000);
    assert_string_equal(w.urls[0].path, "/subjects/events-value/versions");
    say(&w, 0, 200, "{\"id\":3}");
    assert_int_equal(output(&w, "front.Event", "events", &e), REGISTRY_KNOWN);
    close_world(&w);
}

static void a_schema_of_two_topics_is_asked_for_both(void **state)
{
    struct err e = ERR_INIT;
    struct world w;
    char prefix[10];

    (void)state;
    open_world(&w, 1, false);
    (void)output(&w, "front.resource.Message", "front.messages", &e);
    (void)output(&w, "front.resource.Message", "front.drafts", &e);
    assert_int_equal(w.urls[0].started, 2);
    say(&w, 0, 200, "{\"id\":5}");
    say(&w, 0, 200, "{\"id\":6}");
    (void)framing_seal(schemas_xget(w.ss, "front.resource.Message"), prefix);
    assert_int_equal(prefix[4], 5);
    assert_int_equal(ask(&w, 5, NULL), REGISTRY_KNOWN);
    assert_int_equal(ask(&w, 6, NULL), REGISTRY_KNOWN);
    close_world(&w);
}

static void subjects_are_named_by_the_strategy(void **state)
{
    static const struct {
        enum registry_subjects subjects;
        const char *name;
    } rows[] = {
        {SUBJECT_TOPIC, "front.results-value"},
        {SUBJECT_RECORD, "front.Result"},
        {SUBJECT_TOPIC_RECORD, "front.results-front.Result"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *name = registry_subject(rows[i].subjects, "front.results", "front.Result");
        assert_string_equal(name, rows[i].name);
        mem_free(name);
    }
}

/* ---- framing ---- */

static void a_framed_record_waits_for_its_schema(void **state)
{
    const struct schema *sc = NULL;
    struct str value = BYTES("\0\0\0\0\7\6abc"), datum;
    struct err e = ERR_INIT;
    struct world w;

    (void)state;
    open_world(&w, 1, false);
    assert_true(framing_waits(w.ss, value));
    assert_int_equal(framing_open(w.ss, value, &sc, &datum, &e), FRAMING_WAIT);
    assert_int_equal(e.kind, ERR_BUSY);
    registry_turn(w.rg);
    say(&w, 0, 200, STRING_SCHEMA);
    assert_false(framing_waits(w.ss, value));
    assert_int_equal(framing_open(w.ss, value, &sc, &datum, &e), FRAMING_OK);
    assert_true(str_is(datum, "\6abc"));
    close_world(&w);
}

static void one_whose_schema_is_missing_is_a_dead_letter(void **state)
{
    const struct schema *sc = NULL;
    struct str value = BYTES("\0\0\0\0\7\6abc"), datum;
    struct err e = ERR_INIT;
    struct world w;

    (void)state;
    open_world(&w, 1, false);
    assert_true(framing_waits(w.ss, value));
    registry_turn(w.rg);
    say(&w, 0, 200, "{\"schema\":\"x\",\"schemaType\":\"JSON\"}");
    assert_int_equal(framing_open(w.ss, value, &sc, &datum, &e), FRAMING_BAD);
    assert_string_equal(e.reason, "SchemaUnknown");
    assert_non_null(strstr(e.text, "not Avro"));
    close_world(&w);
}

static void single_objects_are_understood_with_a_registry(void **state)
{
    const struct schema *sc, *found = NULL;
    struct err e = ERR_INIT;
    char prefix[10];
    struct str datum;
    struct world w;

    (void)state;
    open_world(&w, 1, false);
    sc = schemas_xget(w.ss, "front.Command");
    assert_int_equal(framing_seal(sc, prefix), 10);
    assert_int_equal(framing_open(w.ss, (struct str){prefix, 10}, &found, &datum, &e),
                     FRAMING_OK);
    assert_ptr_equal(found, sc);
    assert_int_equal(w.urls[0].started, 0);
    close_world(&w);
}

/* Two schemas that differ in a logical type only have one fingerprint, but two meanings.
 */
static void ids_tell_logical_types_apart(void **state)
{
    static const char *const types[] = {"timestamp-millis", "timestamp-micros"};
    const struct schema *found[2];
    struct world w;

    (void)state;
    open_world(&w, 1, false);
    for (int i = 0; i < 2; i++) {
        char body[200];

        (void)snprintf(body, sizeof(body),
                       "{\"schema\":\"{\\\"type\\\":\\\"long\\\",\\\"logicalType\\\":"
                       "\\\"%s\\\"}\"}",
                       types[i]);
        assert_int_equal(ask(&w, i + 1, NULL), REGISTRY_WAIT);
        say(&w, 0, 200, body);
        assert_int_equal(ask(&w, i + 1, &found[i]), REGISTRY_KNOWN);
    }
    assert_false(found[0]->form->root->micros);
    assert_true(found[1]->form->root->micros);
    close_world(&w);
}

static void one_with_a_name_of_ours_is_read_as_it_was_written(void **state)
{
    const struct schema *found = NULL;
    struct world w;

    (void)state;
    open_world(&w, 1, false);
    assert_int_equal(ask(&w, 1, NULL), REGISTRY_WAIT);
    say(&w, 0, 200,
        "{\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"front.Command\\\","
        "\\\"fields\\\":[]}\"}");
    assert_int_equal(ask(&w, 1, &found), REGISTRY_KNOWN);
    assert_string_equal(schema_full_name(found), "front.Command");
    assert_ptr_not_equal(found, schemas_xget(w.ss, "front.Command"));
    assert_int_equal(found->form->root->n, 0);
    close_world(&w);
}

static void what_runs_at_the_end_is_broken_off(void **state)
{
    struct err e = ERR_INIT;
    struct world w;

    (void)state;
    open_world(&w, 2, false);
    for (int32_t id = 1; id < 10; id++)
        assert_int_equal(ask(&w, id, NULL), REGISTRY_WAIT);
    (void)output(&w, "front.Event", "events", &e);
    lose(&w, 0);
    close_world(&w); /* and nothing leaks, which the sanitizers judge */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_is_asked_once_and_known_for_ever),
        cmocka_unit_test(four_questions_run_at_once),
        cmocka_unit_test(what_the_registry_does_not_know_is_missing_after_a_minute),
        cmocka_unit_test(one_that_is_registered_within_the_minute_is_known),
        cmocka_unit_test(what_is_not_answered_is_waited_for_without_end),
        cmocka_unit_test(a_404_between_failures_does_not_count_as_a_minute),
        cmocka_unit_test(the_next_url_is_asked_at_once),
        cmocka_unit_test(when_one_question_is_answered_all_others_are_asked_again),
        cmocka_unit_test(what_cannot_be_read_is_missing_at_once),
        cmocka_unit_test(no_id_below_1_is_asked_for),
        cmocka_unit_test(ids_without_end_do_not_fill_the_memory),
        cmocka_unit_test(an_output_is_looked_up_in_two_ways_and_then_missing),
        cmocka_unit_test(one_that_does_not_normalize_is_asked_as_it_is),
        cmocka_unit_test(what_is_missing_is_registered_when_that_is_allowed),
        cmocka_unit_test(what_the_registry_does_not_take_is_missing_and_says_why),
        cmocka_unit_test(a_failure_goes_on_where_it_was),
        cmocka_unit_test(a_schema_of_two_topics_is_asked_for_both),
        cmocka_unit_test(subjects_are_named_by_the_strategy),
        cmocka_unit_test(a_framed_record_waits_for_its_schema),
        cmocka_unit_test(one_whose_schema_is_missing_is_a_dead_letter),
        cmocka_unit_test(single_objects_are_understood_with_a_registry),
        cmocka_unit_test(ids_tell_logical_types_apart),
        cmocka_unit_test(after_an_answer_patience_begins_anew),
        cmocka_unit_test(one_with_a_name_of_ours_is_read_as_it_was_written),
        cmocka_unit_test(what_runs_at_the_end_is_broken_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
