/* Webhooks: what Front signed becomes what it should, what anybody else sends nothing.
 * The requests of tests/fuzz/corpus.py are signed by Python's hmac. So were the vectors
 * below, each with
 *   base64.b64encode(hmac.new(key, message, hashlib.sha256 or hashlib.sha1).digest()) */
#include "arena_help.h"
#include "codec_help.h"

#include "../fuzz/corpus.h"
#include "front/event.h"
#include "front/signature.h"

static struct corpus *corpus;

#define EVENT "{\"id\":\"evt_1\",\"type\":\"inbound\"}"
#define SENT "1700000000000"
#define LONG_KEY                                                                         \
    "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"   \
    "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"   \
    "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"

/* ---- signatures ---- */

static void signatures_of_another_program(void **state)
{
    static const struct {
        struct str key;
        const char *timestamp; /* NULL: HMAC-SHA1 over the body */
        struct str body;
        const char *signature;
        bool good;
    } cases[] = {
        {STR_LIT("k"), SENT, STR_LIT(EVENT),
         "K/M2DTIV46BDi1gigNhaofRD5+Wdv8Vi26bcjdXAiPE=", true},
        {STR_LIT("k"), NULL, STR_LIT(EVENT), "VIE8ZSNXrv5KmuLGcahA5TXVaec=", true},
        {STR_LIT("k"), SENT, STR_LIT("undefined"),
         "0fPON17Fv6MjGsXT84lHXPlMSEinyEfEuxEt9yVV34o=", true},
        {STR_LIT("k"), SENT, STR_LIT(""),
         "wIWS9s69NOHmjPkNfnjLPd4xpFn7F0DlYd645Q6/r4U=", true},
        {STR_LIT("k"), SENT, STR_NULL,
         "wIWS9s69NOHmjPkNfnjLPd4xpFn7F0DlYd645Q6/r4U=", true},
        {STR_LIT("k"), SENT, BYTES("\x00\xff\r\n"),
         "lQXMccTQeAh2Ku7zKY/jM3VWvEZu9fE22PhR3Qu62CY=", true},
        /* A key longer than a block is hashed first. */
        {STR_LIT(LONG_KEY), SENT, STR_LIT(EVENT),
         "XOCOUEwGglIh7LwosXQYWZ6ANiEgXyQOyGZkjuYbnY4=", true},
        {STR_LIT(LONG_KEY), NULL, STR_LIT(EVENT), "GAtddNFqYL+/ZLcS1m0Leq8Xej8=", true},
        /* What anybody can make. */
        {STR_LIT(""), SENT, STR_LIT(EVENT),
         "lbCnBbp6YHNCaiA6aIYK4mUckTLEtAi8Jn7f6HUky4A=", false},
        {STR_LIT(""), NULL, STR_LIT(EVENT), "BGuwBxwwP1QFBGQ3OzhC58rcw6s=", false},
        /* The right one, but not as it is written. */
        {STR_LIT("k"), SENT, STR_LIT(EVENT),
         "K/M2DTIV46BDi1gigNhaofRD5+Wdv8Vi26bcjdXAiPE", false},
        {STR_LIT("k"), SENT, STR_LIT(EVENT),
         "K_M2DTIV46BDi1gigNhaofRD5-Wdv8Vi26bcjdXAiPE=", false},
        {STR_LIT("k"), SENT, STR_LIT(EVENT),
         "K/M2DTIV46BDi1gigNhaofRD5+Wdv8Vi26bcjdXAiPF=", false},
        {STR_LIT("k"), SENT, STR_LIT(EVENT),
         " K/M2DTIV46BDi1gigNhaofRD5+Wdv8Vi26bcjdXAiPE=", false},
        {STR_LIT("k"), SENT, STR_LIT(EVENT),
         "K/M2DTIV46BDi1gigNhaofRD5+Wdv8Vi26bcjdXAiPE=x", false},
        {STR_LIT("k"), SENT, STR_LIT(EVENT), "", false},
        {STR_LIT("k"), SENT, STR_LIT(EVENT), "K", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct webhook_keys keys = {&cases[i].key, 1};

        if (signature_is_good(&keys, str_of(cases[i].signature),
                              str_of(cases[i].timestamp), cases[i].body) != cases[i].good)
            fail_msg("case %zu", i);
    }
}

/* ---- what is signed ---- */

static const char *const verdicts[] = {"refused", "nothing", "event", "dead-letter"};

static void said(const struct sample *s, const char *what, struct str is, struct str want)
{
    if (want.ptr != NULL && !str_eq(is, want))
        fail_msg("%.*s: %s is %.*s", STR_ARG(s->name), what, STR_ARG(is));
}

static void check_answer(const struct sample *s, const struct webhook_outcome *out)
{
    assert_int_equal(out->status, s->status);
    if (s->text.ptr != NULL) {
        said(s, "the answer", out->body, s->text);
        assert_string_equal(out->content_type, "text/plain");
    } else if (json_value_is_there(s->answer)) {
        struct err e = ERR_INIT;
        json_t *is = json_parse(out->body, true, &e),
               *want = json_parse(s->answer, true, &e);

        if (is == NULL || want == NULL || !json_equal(is, want))
            fail_msg("%.*s: the answer is %.*s", STR_ARG(s->name), STR_ARG(out->body));
        assert_string_equal(out->content_type, "application/json");
        json_decref(is);
        json_decref(want);
    } else {
        assert_int_equal(out->body.len, 0);
        assert_null(out->content_type);
    }
}

static void check_event(const struct sample *s, const struct event *ev)
{
    said(s, "id", ev->id, s->id);
    said(s, "type", ev->type, s->type);
    said(s, "key", event_key(ev), s->key);
    said(s, "payload", ev->payload, s->payload);
    assert_true((ev->webhook_type.ptr == NULL) == (s->webhook_type.ptr == NULL) ||
                s->payload.ptr == NULL);
    said(s, "webhook_type", ev->webhook_type, s->webhook_type);
    assert_true((ev->company_id.ptr == NULL) == (s->company.ptr == NULL));
    said(s, "company", ev->company_id, s->company);
    assert_true(str_is(ev->delivery, EVENT_WEBHOOK));
    assert_int_equal(ev->received_at, CORPUS_NOW_MS);
    if (s->wr.kind == WEBHOOK_CHANNEL)
        assert_int_equal(ev->emitted_at, CORPUS_NOW_MS - 1234);
    else if (s->payload.ptr != NULL)
        assert_int_equal(ev->emitted_at, 1699999998123);
}

static void what_front_signed_becomes_what_it_should(void **state)
{
    struct webhook_setup setup = corpus_setup();

    (void)state;
    assert_true(corpus->n >= 4 * 37 + 40);
    for (size_t i = 0; i < corpus->n; i++) {
        const struct sample *s = &corpus->samples[i];
        struct webhook_outcome out;

        webhook_judge(&setup, &s->wr, &arena, &out);
        if (!str_is(s->verdict, verdicts[out.verdict]))
            fail_msg("%.*s: %s (%s)", STR_ARG(s->name), verdicts[out.verdict],
                     webhook_refusal_names[out.why]);
        assert_int_equal(out.why, WEBHOOK_FINE);
        check_answer(s, &out);
        if (out.verdict == WEBHOOK_EVENT)
            check_event(s, &out.event);
        assert_true((out.message != NULL) == (out.verdict == WEBHOOK_DEAD_LETTER));
    }
}

/* ---- what is refused ---- */

static void refused(const struct webhook_setup *setup, const struct webhook_request *wr,
                    enum webhook_refusal why, int status)
{
    struct webhook_outcome out;

    webhook_judge(setup, wr, &arena, &out);
    if (out.verdict != WEBHOOK_REFUSED || out.why != why)
        fail_msg("%s (%s), not refused (%s)", verdicts[out.verdict],
                 webhook_refusal_names[out.why], webhook_refusal_names[why]);
    assert_int_equal(out.status, status);
    assert_null(out.body.ptr); /* above all no challenge */
    assert_null(out.event.id.ptr);
}

static void accepted(const struct webhook_setup *setup, const struct webhook_request *wr)
{
    struct webhook_outcome out;

    webhook_judge(setup, wr, &arena, &out);
    assert_int_equal(out.why, WEBHOOK_FINE);
    assert_int_not_equal(out.verdict, WEBHOOK_REFUSED);
}

static struct str flipped(struct str text, size_t bit)
{
    char *copy = arena_strndup(&arena, text.ptr, text.len);

    copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
    return (struct str){copy, text.len};
}

/* Every bit of the signature and of the timestamp, and bits all over the body. */
static void one_flipped_bit(void **state)
{
    struct webhook_setup setup = corpus_setup();

    (void)state;
    for (size_t i = 0; i < corpus->n; i++) {
        const struct webhook_request *good = &corpus->samples[i].wr;
        size_t step = good->body.len > 100 ? good->body.len * 8 / 97 : 8;
        struct webhook_request wr = *good;

        arena_reset(&arena);
        for (size_t bit = i % 5; bit < good->signature.value.len * 8; bit += 5) {
            wr.signature.value = flipped(good->signature.value, bit);
            refused(&setup, &wr, WEBHOOK_BAD_SIGNATURE, 401);
        }
        wr = *good;
        for (size_t bit = i % 8; bit < good->body.len * 8; bit += step) {
            wr.body = flipped(good->body, bit);
            refused(&setup, &wr, WEBHOOK_BAD_SIGNATURE, 401);
        }
        wr = *good;
        wr.body = (struct str){good->body.ptr, good->body.len - 1};
        if (good->body.len > 0)
            refused(&setup, &wr, WEBHOOK_BAD_SIGNATURE, 401);
        wr = *good;
        for (size_t digit = 0; digit < good->timestamp.value.len; digit++) {
            struct webhook_outcome out;

            wr.timestamp.value = flipped(good->timestamp.value, digit * 8);
            webhook_judge(&setup, &wr, &arena, &out);
            assert_int_equal(out.verdict, WEBHOOK_REFUSED);
            assert_int_equal(out.status, 401);
        }
    }
}

/* As a replay of an old signature would have it: the clock has gone on. */
static void old_and_future_timestamps(void **state)
{
    struct webhook_setup setup = corpus_setup();

    (void)state;
    for (size_t i = 0; i < corpus->n; i++) {
        struct webhook_request wr = corpus->samples[i].wr;
        int64_t sent_ms = CORPUS_NOW_MS - 1234;

        for (int side = -1; side <= 1; side += 2) {
            wr.now_ms = sent_ms + side * INT64_C(300000);
            accepted(&setup, &wr);
            wr.now_ms += side;
            if (wr.kind == WEBHOOK_RULE)
                accepted(&setup, &wr); /* its scheme has no time */
            else
                refused(&setup, &wr, WEBHOOK_STALE, 401);
        }
    }
}

static void timestamps_that_are_none(void **state)
{
    static const char *const texts[] = {
        NULL,
        "",
        " ",
        "-1",
        "+1700000000000",
        "1700000000000 ",
        " 1700000000000",
        "0x1234",
        "1e3",
        "1.7e",
        "x",
        "9223372036854775808",
        "1700000000000.0",
        "99999999999999999999999999999999999999999999999999"};
    struct webhook_setup setup = corpus_setup();

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct webhook_request wr = corpus->samples[0].wr;

        wr.timestamp = corpus_header(str_of(texts[i]));
        refused(&setup, &wr, WEBHOOK_NO_TIMESTAMP, 401);
    }
    struct webhook_request wr = corpus->samples[0].wr;

    wr.timestamp.count = 2;
    refused(&setup, &wr, WEBHOOK_NO_TIMESTAMP, 401);
    wr = corpus->samples[0].wr;
    wr.timestamp = corpus_header(STR_LIT("9223372036854775807"));
    refused(&setup, &wr, WEBHOOK_STALE, 401);
    wr.timestamp = corpus_header(STR_LIT("0"));
    refused(&setup, &wr, WEBHOOK_STALE, 401);
}

static void exactly_one_signature(void **state)
{
    struct webhook_setup setup = corpus_setup();

    (void)state;
    for (size_t i = 0; i < corpus->n; i++) {
        struct webhook_request wr = corpus->samples[i].wr;

        wr.signature.count = 2; /* though the first is good */
        refused(&setup, &wr, WEBHOOK_NO_SIGNATURE, 401);
        wr.signature = corpus_header(STR_NULL);
        refused(&setup, &wr, WEBHOOK_NO_SIGNATURE, 401);
        wr.signature = corpus_header(STR_LIT(""));
        refused(&setup, &wr, WEBHOOK_NO_SIGNATURE, 401);
    }
}

/* Each path takes its own keys and its own scheme only. */
static void other_keys_and_other_schemes(void **state)
{
    struct webhook_setup right = corpus_setup();

    (void)state;
    for (size_t i = 0; i < corpus->n; i++) {
        struct webhook_request wr = corpus->samples[i].wr;
        struct webhook_setup setup = right;

        setup.keys[wr.kind] = right.keys[(wr.kind + 1) % WEBHOOK_KINDS];
        refused(&setup, &wr, WEBHOOK_BAD_SIGNATURE, 401);
        setup = right;
        setup.keys[wr.kind].n = 0;
        refused(&setup, &wr, WEBHOOK_NO_KEYS, 404);
        /* The right key, at the path of the other scheme. */
        setup = right;
        if (wr.kind == WEBHOOK_RULE) {
            setup.keys[WEBHOOK_APP] = right.keys[WEBHOOK_RULE];
            wr.kind = WEBHOOK_APP;
            refused(&setup, &wr, WEBHOOK_NO_TIMESTAMP, 401);
            wr.timestamp = corpus_header(STR_LIT(SENT));
        } else {
            setup.keys[WEBHOOK_RULE] = right.keys[wr.kind];
            wr.kind = WEBHOOK_RULE;
            wr.method = STR_LIT("POST");
        }
        refused(&setup, &wr, WEBHOOK_BAD_SIGNATURE, 401);
    }
}

static void methods(void **state)
{
    static const char *const others[] = {"GET",  "HEAD",  "PUT",   "PATCH",
                                         "post", "POST ", "TRACE", "DELETE"};
    struct webhook_setup setup = corpus_setup();

    (void)state;
    for (size_t i = 0; i < corpus->n; i++)
        for (size_t m = 0; m < COUNT(others); m++) {
            struct webhook_request wr = corpus->samples[i].wr;
            bool channel = wr.kind == WEBHOOK_CHANNEL;
            struct webhook_outcome out;

            wr.method = str_of(others[m]);
            if (channel && str_is(wr.method, "DELETE"))
                continue;
            refused(&setup, &wr, WEBHOOK_BAD_METHOD, 405);
            webhook_judge(&setup, &wr, &arena, &out);
            assert_string_equal(out.allow, channel ? "POST, DELETE" : "POST");
        }
}

/* The word stands for a body that is not there, of a DELETE: nowhere else. */
static void the_word_undefined_signs_no_other_body(void **state)
{
    static const struct str key = STR_LIT("k");
    static const struct {
        enum webhook_kind kind;
        const char *method, *body;
        bool good;
    } cases[] = {
        {WEBHOOK_CHANNEL, "DELETE", "", true},
        {WEBHOOK_CHANNEL, "DELETE", "undefined", true}, /* sent as it is signed */
        {WEBHOOK_CHANNEL, "DELETE", EVENT, false},
        {WEBHOOK_CHANNEL, "POST", "", false},
        {WEBHOOK_APP, "POST", "", false},
    };
    struct webhook_setup setup = {.keys = {{&key, 1}, {&key, 1}, {&key, 1}}};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct webhook_request wr = {.kind = cases[i].kind,
                                     .method = str_of(cases[i].method),
                                     .signature = corpus_header(STR_LIT(
                                         "0fPON17Fv6MjGsXT84lHXPlMSEinyEfEuxEt9yVV34o=")),
                                     .timestamp = corpus_header(STR_LIT(SENT)),
                                     .body = str_of(cases[i].body),
                                     .now_ms = CORPUS_NOW_MS};

        if (cases[i].good)
            accepted(&setup, &wr);
        else
            refused(&setup, &wr, WEBHOOK_BAD_SIGNATURE, 401);
    }
}

/* ---- answers ---- */

static struct webhook_request named(const char *name)
{
    for (size_t i = 0; i < corpus->n; i++)
        if (str_is(corpus->samples[i].name, name))
            return corpus->samples[i].wr;
    fail_msg("no request %s", name);
    abort();
}

static void a_challenge_is_echoed_once_and_never_unsigned(void **state)
{
    struct webhook_setup setup = corpus_setup();
    struct webhook_request wr = named("app sync with a challenge");
    struct webhook_outcome out;

    (void)state;
    webhook_judge(&setup, &wr, &arena, &out);
    assert_true(str_eq(out.body, wr.challenge.value));
    wr.challenge.count = 2;
    webhook_judge(&setup, &wr, &arena, &out);
    assert_int_equal(out.verdict, WEBHOOK_NOTHING);
    assert_int_equal(out.body.len, 0);
    wr.challenge.count = 1;
    wr.signature.value = flipped(wr.signature.value, 0);
    refused(&setup, &wr, WEBHOOK_BAD_SIGNATURE, 401);
}

/* An authorization is an event, whether we can say yes or not. */
static void an_authorization_needs_our_public_address(void **state)
{
    static const struct {
        const char *url;
        int status;
        const char *answer;
    } cases[] = {
        {NULL, 400, "{\"type\":\"bad_request\"}"},
        {"", 400, "{\"type\":\"bad_request\"}"},
        {"https://a.b", 200,
         "{\"type\":\"success\",\"webhook_url\":\"https://a.b/webhooks/front/channel\"}"},
        {"https://a.b/c//", 200,
         "{\"type\":\"success\",\"webhook_url\":\"https://a.b/c/webhooks/front/"
         "channel\"}"},
    };
    struct webhook_request wr = named("channel authorization");

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct webhook_setup setup = corpus_setup();
        struct webhook_outcome out;

        setup.public_url = cases[i].url;
        webhook_judge(&setup, &wr, &arena, &out);
        assert_int_equal(out.verdict, WEBHOOK_EVENT);
        assert_int_equal(out.status, cases[i].status);
        assert_true(str_is(out.body, cases[i].answer));
    }
}

static void paths(void **state)
{
    static const struct {
        const char *path;
        int kind; /* -1: none */
    } cases[] = {{"/webhooks/front/app", WEBHOOK_APP},
                 {"/webhooks/front/rule", WEBHOOK_RULE},
                 {"/webhooks/front/channel", WEBHOOK_CHANNEL},
                 {"/webhooks/front/app/", -1},
                 {"/webhooks/front/", -1},
                 {"/WEBHOOKS/front/app", -1},
                 {"", -1},
                 {"/", -1}};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        enum webhook_kind kind;
        int rc = webhook_kind_of(str_of(cases[i].path), &kind);

        assert_int_equal(rc, cases[i].kind < 0 ? -1 : 0);
        if (rc == 0)
            assert_int_equal(kind, cases[i].kind);
    }
}

static int set_up(void **state)
{
    (void)state;
    corpus = corpus_load(CORPUS);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    corpus_free(corpus);
    return 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(signatures_of_another_program),
        T(what_front_signed_becomes_what_it_should),
        T(one_flipped_bit),
        T(old_and_future_timestamps),
        T(timestamps_that_are_none),
        T(exactly_one_signature),
        T(other_keys_and_other_schemes),
        T(methods),
        T(the_word_undefined_signs_no_other_body),
        T(a_challenge_is_echoed_once_and_never_unsigned),
        T(an_authorization_needs_our_public_address),
        T(paths),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
