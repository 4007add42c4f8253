/* The requests of corpus.py as webhook_judge takes them, with what must become of each.
 */
#ifndef TESTS_FUZZ_CORPUS_H
#define TESTS_FUZZ_CORPUS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/json.h"
#include "codec/json_value.h"
#include "front/webhook.h"

/* As corpus.py has them. */
#define CORPUS_NOW_MS INT64_C(1700000000000)
#define CORPUS_URL "https://hooks.example.com/in"
enum { CORPUS_MAX = 1000, CORPUS_MAX_BYTES = 4 << 20 };

struct sample {
    struct str name;
    struct webhook_request wr;
    struct str verdict, answer; /* answer: JSON, or null */
    struct str text;            /* an answer that is no JSON; ptr NULL: none */
    struct str id, type, key, payload, webhook_type, company; /* ptr NULL: not said */
    int64_t status;
};

struct corpus {
    struct arena arena;
    struct sample samples[CORPUS_MAX];
    size_t n;
};

static inline struct webhook_setup corpus_setup(void)
{
    static const struct str app[] = {STR_LIT("app-key-old"), STR_LIT("app-key-new")},
                            rule[] = {STR_LIT("rule-key-old"), STR_LIT("rule-key-new")},
                            channel[] = {STR_LIT("channel-key-old"),
                                         STR_LIT("channel-key-new")};

    return (struct webhook_setup){.keys = {{app, 2}, {rule, 2}, {channel, 2}},
                                  .public_url = CORPUS_URL};
}

static inline struct webhook_header corpus_header(struct str value)
{
    return (struct webhook_header){value, value.ptr != NULL ? 1 : 0};
}

static inline void corpus_line(struct str line, struct arena *a, struct sample *s)
{
    struct str kind = json_value_text_at(line, "kind", a);
    double status = 0;

    for (int i = 0; i < WEBHOOK_KINDS; i++)
        if (str_is(kind, webhook_kind_names[i]))
            s->wr.kind = (enum webhook_kind)i;
    s->name = json_value_text_at(line, "name", a);
    s->wr.method = json_value_text_at(line, "method", a);
    s->wr.timestamp = corpus_header(json_value_text_at(line, "timestamp", a));
    s->wr.challenge = corpus_header(json_value_text_at(line, "challenge", a));
    s->wr.signature = corpus_header(json_value_text_at(line, "signature", a));
    s->wr.body = json_value_text_at(line, "body", a);
    s->wr.now_ms = CORPUS_NOW_MS;
    s->verdict = json_value_text_at(line, "verdict", a);
    s->answer = json_member(line, "answer");
    s->text = json_value_text_at(line, "text", a);
    s->id = json_value_text_at(line, "id", a);
    s->type = json_value_text_at(line, "type", a);
    s->key = json_value_text_at(line, "key", a);
    s->payload = json_value_text_at(line, "payload", a);
    s->webhook_type = json_value_text_at(line, "webhook_type", a);
    s->company = json_value_text_at(line, "company", a);
    (void)json_value_number(json_member(line, "status"), &status);
    s->status = (int64_t)status;
}

/* Aborts when the file is not there or empty: make writes it. */
static inline struct corpus *corpus_load(const char *path)
{
    struct corpus *c = mem_zalloc(sizeof *c);
    FILE *f = fopen(path, "rb");
    struct str rest, line;
    char *bytes;

    arena_init(&c->arena, 0);
    bytes = arena_alloc(&c->arena, CORPUS_MAX_BYTES);
    if (f == NULL) {
        perror(path);
        abort();
    }
    rest = (struct str){bytes, fread(bytes, 1, CORPUS_MAX_BYTES, f)};
    (void)fclose(f);
    for (line = str_split(&rest, '\n'); line.len > 0 && c->n < CORPUS_MAX;
         line = str_split(&rest, '\n'))
        corpus_line(line, &c->arena, &c->samples[c->n++]);
    if (c->n == 0)
        abort();
    return c;
}

static inline void corpus_free(struct corpus *c)
{
    arena_fini(&c->arena);
    mem_free(c);
}

#endif
