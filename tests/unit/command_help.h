/* For the tests of commands: a store with a decoded command in it, comparing, and bytes
 * that were damaged. */
#ifndef TESTS_UNIT_COMMAND_HELP_H
#define TESTS_UNIT_COMMAND_HELP_H

#include "codec_help.h"

#include <jansson.h>

#include "codec/json.h"
#include "codec/records/command.h"
#include "front/catalogue.h"

struct fixture {
    struct schemas *ss;
    struct arena a;
    struct command cmd;
    struct buf bytes;
    struct err e;
};

static inline void begin(struct fixture *f, const char *schema)
{
    *f = (struct fixture){.ss = store(schema)};
    arena_init(&f->a, 0);
    buf_init(&f->bytes, 1 << 20);
    if (schema != NULL)
        put_frame(&f->bytes, fingerprint_of(schema));
}

static inline void end(struct fixture *f)
{
    schemas_free(f->ss);
    arena_fini(&f->a);
    buf_fini(&f->bytes);
}

static inline int decode_with(struct fixture *f, typed_find_fn *find)
{
    err_clear(&f->e);
    return command_decode_avro(f->ss, find, buf_str(&f->bytes), &f->a, &f->cmd, &f->e) ==
                   FRAMING_OK
               ? 0
               : -1;
}

static inline int decode(struct fixture *f)
{
    return decode_with(f, typed_record_find);
}

static inline void assert_text(struct str got, const char *want)
{
    if (want == NULL) {
        assert_null(got.ptr);
        return;
    }
    assert_non_null(got.ptr);
    if (!str_is(got, want))
        fail_msg("got %.*s, want %s", STR_ARG(got), want);
}

static inline void assert_reason(const struct err *e, const char *reason,
                                 const char *text)
{
    assert_int_equal(e->kind, ERR_INPUT);
    assert_non_null(e->reason);
    if (strcmp(e->reason, reason) != 0 || strstr(e->text, text) == NULL)
        fail_msg("%s: %s", e->reason, e->text);
}

static const struct pair *find_pair(const struct pair *pairs, size_t n, struct str name)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (str_eq(pairs[i].name, name))
            return &pairs[i];
    return NULL;
}

static inline void assert_pairs(const struct pair *got, size_t n_got,
                                const struct pair *want, size_t n_want)
{
    size_t i;

    assert_int_equal(n_got, n_want);
    for (i = 0; i < n_want; i++) {
        const struct pair *p = find_pair(got, n_got, want[i].name);

        assert_non_null(p);
        assert_true(str_eq(p->value, want[i].value));
    }
}

static inline void assert_same(const struct command *got, const struct command *want)
{
    size_t i;

    assert_true(str_eq(got->command_id, want->command_id));
    assert_int_equal(got->command_id.ptr == NULL, want->command_id.ptr == NULL);
    assert_true(str_eq(got->operation, want->operation));
    assert_true(str_eq(got->body, want->body));
    assert_int_equal(got->body.ptr == NULL, want->body.ptr == NULL);
    assert_true(str_eq(got->method, want->method) && str_eq(got->path, want->path));
    assert_pairs(got->params, got->n_params, want->params, want->n_params);
    assert_pairs(got->query, got->n_query, want->query, want->n_query);
    assert_pairs(got->headers, got->n_headers, want->headers, want->n_headers);
    assert_int_equal(got->n_attachments, want->n_attachments);
    for (i = 0; i < want->n_attachments; i++) {
        const struct attachment *g = &got->attachments[i], *w = &want->attachments[i];

        assert_true(str_eq(g->filename, w->filename) && str_eq(g->data, w->data));
        assert_true(str_eq(g->content_type, w->content_type) && str_eq(g->url, w->url));
        assert_int_equal(g->data.ptr == NULL, w->data.ptr == NULL);
        assert_null(g->field);
    }
    assert_false(got->typed);
}

static inline void mutate_many(struct fixture *f, size_t from, typed_find_fn *find,
                               uint64_t seed)
{
    static const char *const reasons[] = {
        "Empty",       "NotFramed",     "SchemaUnknown",  "Truncated", "TrailingBytes",
        "TooLarge",    "TooDeep",       "BadUtf8",        "BadValue",  "BadJson",
        "WrongFormat", "RecordUnknown", "invalid-command"};
    struct buf whole = f->bytes;
    size_t good = 0, i, k;
    int rc;

    buf_init(&f->bytes, 1 << 20);
    for (i = 0; i < 200000; i++) {
        buf_reset(&f->bytes);
        assert_int_equal(buf_add(&f->bytes, whole.data, whole.len), 0);
        mutate(&f->bytes, i % 100 == 0 ? 0 : from, &seed);
        rc = find != NULL
                 ? decode_with(f, find)
                 : command_decode_json(buf_str(&f->bytes), &f->a, &f->cmd, &f->e);
        good += rc == 0 ? 1 : 0;
        for (k = 0; rc != 0 && k < COUNT(reasons) && strcmp(reasons[k], f->e.reason) != 0;
             k++)
            continue;
        if (rc != 0 && k == COUNT(reasons))
            fail_msg("reason %s", f->e.reason);
        if (rc == 0 && f->cmd.body.ptr != NULL && f->cmd.typed)
            assert_true(json_is_valid(f->cmd.body));
        arena_reset(&f->a);
    }
    assert_true(good > 100);
    buf_fini(&whole);
}

#endif
