/* Mutates what Front signed, and looks at what becomes of it: request in, event out, on
 * to the record and back. Deterministic: a seed and a number say everything.
 *
 * Two worlds in turn. An attacker's: anything is changed, nothing is signed again, so
 * that nothing may be accepted but what was signed. And a Front that went mad: what was
 * changed is signed again, so that the bytes go all the way.
 *
 * Usage: webhook CORPUS N [SEED]     exit 0: N inputs, no rule broken
 *        webhook CORPUS show SEED    one input, as it was when it failed
 * Sanitizers do the rest: build it with them. */
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <unistd.h>

#include "corpus.h"
#include "front/event.h"
#include "mutate.h"

enum { CHANGES_MAX = 12 };

struct world {
    struct corpus *corpus;
    struct webhook_setup setup;
    struct schemas *schemas;
    struct arena arena;
    struct buf body, record, text;
    struct chance chance;
    uint64_t seed;
    bool show;
    uint64_t verdicts[4];
};

/* ---- changes ---- */

static const char *const tokens[] = {"{",
                                     "}",
                                     "[",
                                     "]",
                                     "\"",
                                     "\\",
                                     ":",
                                     ",",
                                     "null",
                                     "true",
                                     "0",
                                     "-0",
                                     "1e999",
                                     "-1e-999",
                                     "\\u0000",
                                     "\\ud800",
                                     "\\udc00",
                                     "\\",
                                     "\xff",
                                     "\xc0\x80",
                                     "\xed\xa0\x80",
                                     "\"id\":",
                                     "\"type\":",
                                     "\"_meta\":",
                                     "\"data\":",
                                     "\"payload\":",
                                     "\"\"",
                                     "{}",
                                     "[]",
                                     "\"sync\"",
                                     "9223372036854775808",
                                     "1.7976931348623157e309",
                                     "\xef\xbb\xbf",
                                     "\"message\"",
                                     "\"delete\"",
                                     "\"conversation\":",
                                     "[[[[[[[[",
                                     "{\"a\":{\"a\":{\"a\":"};

static const char *const units[] = {"[", "{\"a\":", "[0,", " ", "\\\\", "\"\","};

static const struct language of_json = {tokens, units, sizeof tokens / sizeof tokens[0],
                                        sizeof units / sizeof units[0]};

static struct str some_body(struct world *w)
{
    return w->corpus->samples[below(&w->chance, w->corpus->n)].wr.body;
}

/* A member of an object somewhere in the text; false: there is none. */
static bool some_member(struct world *w, struct str text, struct str *key,
                        struct str *value)
{
    size_t at = below(&w->chance, text.len + 1), pos = 0;
    const char *open = memchr(text.ptr + at, '{', text.len - at);
    size_t most = below(&w->chance, 8);
    struct str rest;

    if (open == NULL)
        return false;
    rest = (struct str){open, (size_t)(text.ptr + text.len - open)};
    if (!json_next_member(rest, &pos, key, value))
        return false;
    while (most-- > 0 && json_next_member(rest, &pos, key, value))
        continue;
    return true;
}

static void replace(struct buf *b, struct str part, struct str by)
{
    size_t at = (size_t)(part.ptr - b->data);

    take_out(b, at, part.len);
    insert(b, at, by.ptr, by.len);
}

/* Changes that leave JSON what it is: another value, or another name. */
static void change_member(struct world *w, struct buf *b)
{
    static const char *const values[] = {
        "null",
        "true",
        "0",
        "-1.5e300",
        "1e400",
        "\"\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"q\\\"\\n\"",
        "{}",
        "[]",
        "[0]",
        "[\"a\"]",
        "[[],{},\"\"]",
        "\"sync\"",
        "9223372036854775808",
        "\"message\"",
        "\"message_autoreply\"",
        "\"authorization\"",
        "\"delete\"",
        "\"/a/b?c\"",
        "{\"id\":\"x\"}",
        "{\"_meta\":{\"type\":\"api\"},\"data\":[\"x\"]}"};
    struct str from = some_body(w);
    const char *name = values[below(&w->chance, sizeof values / sizeof values[0])];
    struct str key, value, other_key, other = str_of(name);

    if (!some_member(w, buf_str(b), &key, &value))
        return;
    if (below(&w->chance, 2) == 0 && some_member(w, from, &other_key, &other) &&
        below(&w->chance, 4) == 0) {
        replace(b, key, other_key);
        return;
    }
    replace(b, value, other);
}

static struct str changed(struct world *w, struct buf *b, struct str text)
{
    bool gentle = below(&w->chance, 2) == 0;

    buf_reset(b);
    (void)buf_reserve(b, 1);
    (void)buf_add_str(b, text);
    for (size_t n = 1 + below(&w->chance, 1 + below(&w->chance, CHANGES_MAX)); n > 0;
         n--) {
        if (gentle)
            change_member(w, b);
        else
            change_bytes(&w->chance, &of_json, some_body(w), b);
    }
    return buf_str(b);
}

/* A copy in memory of its own, so that reading beyond it is seen. */
static struct str apart(struct world *w, struct str s)
{
    char *copy = arena_alloc(&w->arena, s.len > 0 ? s.len : 1);

    memcpy(copy, s.ptr != NULL ? s.ptr : "", s.len);
    return (struct str){copy, s.len};
}

static struct webhook_header change_header(struct world *w, struct webhook_header h)
{
    switch (below(&w->chance, 6)) {
    case 0:
        return (struct webhook_header){STR_NULL, 0};
    case 1:
        h.count = below(&w->chance, 4);
        return h;
    case 2:
        return corpus_header(apart(w, changed(w, &w->text, h.value)));
    default:
        return h;
    }
}

/* By OpenSSL's other interface than the one that checks. */
static struct str sign(struct world *w, const struct webhook_request *wr)
{
    const struct webhook_keys *keys = &w->setup.keys[wr->kind];
    struct str key = keys->keys[below(&w->chance, keys->n)];
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    char *text = arena_alloc(&w->arena, 2 * EVP_MAX_MD_SIZE);

    buf_reset(&w->text);
    if (wr->kind != WEBHOOK_RULE)
        (void)buf_printf(&w->text, "%.*s:", STR_ARG(wr->timestamp.value));
    (void)buf_add_str(&w->text, wr->body);
    (void)HMAC(wr->kind == WEBHOOK_RULE ? EVP_sha1() : EVP_sha256(), key.ptr,
               (int)key.len, (const unsigned char *)w->text.data, w->text.len, mac, &len);
    return (struct str){text,
                        (size_t)EVP_EncodeBlock((unsigned char *)text, mac, (int)len)};
}

/* ---- rules ---- */

static _Noreturn void broken(struct world *w, const char *rule)
{
    fprintf(stderr, "seed %" PRIu64 ": %s\n", w->seed, rule);
    abort();
}

static bool same_header(struct webhook_header a, struct webhook_header b)
{
    return a.count == b.count && str_eq(a.value, b.value);
}

static bool as_signed(const struct webhook_request *a, const struct webhook_request *b)
{
    return a->kind == b->kind && str_eq(a->body, b->body) &&
           same_header(a->signature, b->signature) &&
           (a->kind == WEBHOOK_RULE || same_header(a->timestamp, b->timestamp));
}

static void check_record(struct world *w, const struct event *ev)
{
    struct pair headers[EVENT_HEADERS_MAX];
    struct err e = ERR_INIT;
    struct event back;

    if (ev->id.len == 0 || ev->type.len == 0 || event_key(ev).len == 0)
        broken(w, "an event without id, type or key");
    if (!json_is_valid(ev->payload))
        broken(w, "a payload that is no JSON");
    if (event_headers(ev, &w->arena, headers) > EVENT_HEADERS_MAX)
        broken(w, "too many headers");
    buf_reset(&w->record);
    if (event_encode(w->schemas, ev, &w->record) != 0)
        broken(w, "a record that cannot be written");
    if (event_decode(w->schemas, apart(w, buf_str(&w->record)), &w->arena, &back, &e) !=
        0)
        broken(w, e.text);
    if (!str_eq(back.id, ev->id) || !str_eq(back.payload, ev->payload) ||
        back.source.n_ids != ev->source.n_ids || back.emitted_at != ev->emitted_at ||
        back.conversation.n_tag_ids != ev->conversation.n_tag_ids)
        broken(w, "a record that says something else");
}

static void check(struct world *w, const struct webhook_request *wr,
                  const struct webhook_outcome *out)
{
    bool json =
        out->content_type != NULL && strcmp(out->content_type, "application/json") == 0;

    if (json && !json_is_valid(out->body))
        broken(w, "an answer that is no JSON");
    if (out->verdict == WEBHOOK_REFUSED && (out->status < 401 || out->status > 405))
        broken(w, "a refusal with another status");
    if (out->verdict != WEBHOOK_REFUSED && out->status != 200 &&
        wr->kind != WEBHOOK_CHANNEL)
        broken(w, "what is signed is not taken");
    if (out->verdict == WEBHOOK_EVENT)
        check_record(w, &out->event);
    if (out->verdict == WEBHOOK_DEAD_LETTER && out->message == NULL)
        broken(w, "a dead letter without a reason");
}

static void show(const struct webhook_request *wr)
{
    printf("kind %s, method %.*s, timestamp %zu %.*s, signature %zu %.*s\n%.*s\n",
           webhook_kind_names[wr->kind], STR_ARG(wr->method), wr->timestamp.count,
           STR_ARG(wr->timestamp.value), wr->signature.count,
           STR_ARG(wr->signature.value), STR_ARG(wr->body));
    (void)fflush(stdout);
}

/* ---- one input ---- */

static void change_request(struct world *w, struct webhook_request *wr)
{
    wr->signature = change_header(w, wr->signature);
    wr->timestamp = change_header(w, wr->timestamp);
    wr->challenge = change_header(w, wr->challenge);
    if (below(&w->chance, 8) == 0)
        wr->kind = (enum webhook_kind)below(&w->chance, WEBHOOK_KINDS);
    if (below(&w->chance, 8) == 0)
        wr->method = below(&w->chance, 2) == 0 ? STR_LIT("DELETE") : STR_LIT("POST");
}

static void run(struct world *w)
{
    const struct webhook_request *signed_one =
        &w->corpus->samples[below(&w->chance, w->corpus->n)].wr;
    struct webhook_request wr = *signed_one;
    bool attacker = below(&w->chance, 4) == 0;
    struct webhook_outcome out;

    arena_reset(&w->arena);
    if (!attacker || below(&w->chance, 3) > 0)
        wr.body = changed(w, &w->body, wr.body);
    wr.body = apart(w, wr.body);
    if (attacker)
        change_request(w, &wr);
    else
        wr.signature.value = sign(w, &wr);
    if (w->show)
        show(&wr);
    webhook_judge(&w->setup, &wr, &w->arena, &out);
    if (attacker && out.verdict != WEBHOOK_REFUSED && !as_signed(&wr, signed_one))
        broken(w, "accepted, though nobody signed it");
    if (!attacker && out.verdict == WEBHOOK_REFUSED)
        broken(w, "refused, though it is signed");
    check(w, &wr, &out);
    w->verdicts[out.verdict]++;
}

static void run_seed(struct world *w, uint64_t seed)
{
    w->seed = seed;
    chance_seed(&w->chance, seed);
    run(w);
}

static void world_init(struct world *w, const char *path)
{
    struct err e = ERR_INIT;

    *w = (struct world){.corpus = corpus_load(path), .setup = corpus_setup()};
    w->schemas = schemas_new(NULL, &e);
    if (w->schemas == NULL)
        abort();
    arena_init(&w->arena, 0);
    buf_init(&w->body, 2 * MUTATE_MAX);
    buf_init(&w->text, 4 * MUTATE_MAX);
    buf_init(&w->record, 64 * MUTATE_MAX);
}

static void world_fini(struct world *w)
{
    buf_fini(&w->body);
    buf_fini(&w->text);
    buf_fini(&w->record);
    arena_fini(&w->arena);
    schemas_free(w->schemas);
    corpus_free(w->corpus);
}

static int number(const char *text, int64_t *out)
{
    struct err e = ERR_INIT;

    return text != NULL ? parse_i64(str_of(text), 0, INT64_MAX, out, &e) : -1;
}

int main(int argc, char **argv)
{
    bool one = argc == 4 && strcmp(argv[2], "show") == 0;
    int64_t n = 1, first = 0;
    struct world w;

    if (argc < 3 || argc > 4 || (!one && number(argv[2], &n) != 0) ||
        (argc == 4 && number(argv[3], &first) != 0)) {
        fprintf(stderr, "usage: webhook CORPUS N [SEED], or webhook CORPUS show SEED\n");
        return 2;
    }
    world_init(&w, argv[1]);
    w.show = one;
    for (int64_t i = 0; i < n; i++)
        run_seed(&w, (uint64_t)(first + i));
    printf("fuzz: %" PRId64 " inputs from seed %" PRId64 ": %" PRIu64 " refused, %" PRIu64
           " events, %" PRIu64 " dead letters, %" PRIu64 " tests of the address\n",
           n, first, w.verdicts[WEBHOOK_REFUSED], w.verdicts[WEBHOOK_EVENT],
           w.verdicts[WEBHOOK_DEAD_LETTER], w.verdicts[WEBHOOK_NOTHING]);
    world_fini(&w);
    return 0;
}
