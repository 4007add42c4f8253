/* `tail`: a topic as JSON lines. Reads committed records only, joins no group. */
#include "cli/cli.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/json_out.h"
#include "cli/launch.h"
#include "cli/registry_tool.h"
#include "codec/json.h"
#include "codec/records/result.h"

#define LINE_MAX_BYTES (512 * 1024 * 1024)
#define POLL_MS 1000

struct filter {
    const char *key, *outcome, *operation, *id; /* NULL: any */
};

struct tail {
    struct cli *c;
    struct schemas *ss;
    struct registry_tool rt;
    struct filter filter;
    bool raw; /* dead letters: the value as it came */
    bool exit_at_end;
    int64_t left; /* lines still to print; -1: no end */
    struct buf payload, line;
};

static int parse_offset(struct cli *c, enum kafka_from *from, int64_t *arg);
static const char *topic_of(const struct settings *s, const char *word);
static int follow(struct tail *t, struct kafka_reader *r);
static void show(struct tail *t, const struct kafka_record *rec);

int cli_tail(struct cli *c)
{
    struct tail t = {.c = c, .left = -1, .exit_at_end = cli_has(c, "exit")};
    struct err e = ERR_INIT;
    enum kafka_from from = FROM_END;
    struct kafka_reader *r = NULL;
    const char *count = cli_value(c, "count");
    struct settings s;
    struct launch l;
    const char *topic;
    int64_t arg = 0;
    int code = EXIT_USAGE;

    t.filter = (struct filter){cli_value(c, "key"), cli_value(c, "outcome"),
                               cli_value(c, "operation"), cli_value(c, "id")};
    if (parse_offset(c, &from, &arg) != 0)
        return EXIT_USAGE;
    if (count && parse_i64(str_of(count), 1, INT64_MAX, &t.left, &e) != 0)
        return cli_usage(c, "-n wants a number from 1, not %s", count);
    if (cli_settings(c, NEED_KAFKA, &s) != 0) {
        settings_close(&s);
        return EXIT_USAGE;
    }
    launch_init(&l, &s);
    buf_init(&t.payload, LINE_MAX_BYTES);
    buf_init(&t.line, LINE_MAX_BYTES);
    topic = topic_of(&s, c->args[0]);
    t.raw = strcmp(topic, s.dead_letters_topic) == 0;
    t.ss = schemas_new(s.schemas_dir, &e);
    if (t.ss && registry_tool_open(&t.rt, &l, t.ss, &e) == 0)
        r = kafka_reader_open_wait(&l.kafka, topic, from, arg, &e);
    if (r)
        code = follow(&t, r);
    else
        code =
            cli_fail(c, e.kind == ERR_SETTINGS ? EXIT_USAGE : EXIT_FAILED, "%s", e.text);
    kafka_reader_free(r);
    registry_tool_close(&t.rt);
    schemas_free(t.ss);
    buf_fini(&t.payload);
    buf_fini(&t.line);
    launch_fini(&l);
    settings_close(&s);
    return code;
}

static const char *topic_of(const struct settings *s, const char *word)
{
    if (strcmp(word, "results") == 0)
        return s->results_topic;
    if (strcmp(word, "events") == 0)
        return s->events_topic;
    if (strcmp(word, "dead-letters") == 0)
        return s->dead_letters_topic;
    return word;
}

/* beginning, end, -N, s@MS */
static int parse_offset(struct cli *c, enum kafka_from *from, int64_t *arg)
{
    const char *where = cli_value(c, "offset");
    struct err e = ERR_INIT;

    if (!where || strcmp(where, "end") == 0)
        return 0;
    if (strcmp(where, "beginning") == 0) {
        *from = FROM_BEGINNING;
        return 0;
    }
    if (where[0] == '-' && parse_i64(str_of(where + 1), 1, INT32_MAX, arg, &e) == 0) {
        *from = FROM_LAST;
        return 0;
    }
    if (strncmp(where, "s@", 2) == 0 &&
        parse_i64(str_of(where + 2), 0, INT64_MAX, arg, &e) == 0) {
        *from = FROM_TIME;
        return 0;
    }
    cli_usage(c, "-o wants beginning, end, -N or s@MILLISECONDS, not %s", where);
    return -1;
}

static int follow(struct tail *t, struct kafka_reader *r)
{
    struct kafka_record rec;
    struct err e = ERR_INIT;
    int got;

    while (t->left != 0) {
        got = kafka_reader_next_wait(r, POLL_MS, &rec, &e);
        if (got < 0)
            return cli_fail(t->c, EXIT_FAILED, "%s", e.text);
        if (got == 2 && t->exit_at_end)
            return EXIT_DONE;
        if (got != 1)
            continue;
        show(t, &rec);
        kafka_reader_release(r, &rec);
        if (ferror(t->c->out))
            return EXIT_FAILED;
    }
    return EXIT_DONE;
}

/* --- one record --- */

/* A header's value, else the text of a member of the payload, into `out`. */
static bool value_is(const struct tail *t, const struct kafka_record *rec,
                     const char *header, const char *member, const char *wanted)
{
    char text[512];

    for (size_t i = 0; i < rec->n_headers; i++) {
        if (str_is(rec->headers[i].name, header) && rec->headers[i].value.ptr)
            return str_is(rec->headers[i].value, wanted);
    }
    if (t->payload.len == 0 || t->payload.data[0] != '{')
        return false;
    return json_unquote(json_member(buf_str(&t->payload), member), text, sizeof(text)) ==
               0 &&
           strcmp(text, wanted) == 0;
}

static bool wanted(const struct tail *t, const struct kafka_record *rec)
{
    const struct filter *f = &t->filter;

    if (f->key && !(rec->key.ptr && str_is(rec->key, f->key)))
        return false;
    if (f->outcome && !value_is(t, rec, "outcome", "outcome", f->outcome))
        return false;
    if (f->operation && !value_is(t, rec, "operation", "operation", f->operation))
        return false;
    return !f->id || value_is(t, rec, "command-id", "command_id", f->id) ||
           value_is(t, rec, "ce_id", "id", f->id);
}

/* Avro as JSON, JSON as it is, other bytes as text or base64. */
static void decode(struct tail *t, struct str value)
{
    struct err e = ERR_INIT;

    buf_reset(&t->payload);
    if (!value.ptr || t->raw) {
        json_out_bytes(&t->payload, value);
        return;
    }
    registry_tool_learn(&t->rt, value);
    if (avro_to_json(t->ss, value, &t->payload, &e) == 0)
        return;
    buf_reset(&t->payload);
    if (json_is_valid(value))
        buf_add_str(&t->payload, value);
    else
        json_out_bytes(&t->payload, value);
}

static bool seen_before(const struct kafka_record *rec, size_t i)
{
    for (size_t j = 0; j < i; j++) {
        if (str_eq(rec->headers[j].name, rec->headers[i].name))
            return true;
    }
    return false;
}

static size_t times(const struct kafka_record *rec, size_t i)
{
    size_t n = 0;

    for (size_t j = i; j < rec->n_headers; j++)
        n += str_eq(rec->headers[j].name, rec->headers[i].name);
    return n;
}

/* An object; a name that is there several times has an array of its values. */
static void add_headers(struct buf *out, const struct kafka_record *rec)
{
    const char *sep = "";

    buf_add_char(out, '{');
    for (size_t i = 0; i < rec->n_headers; i++) {
        bool several = times(rec, i) > 1;
        const char *inner = "";

        if (seen_before(rec, i))
            continue;
        buf_add_cstr(out, sep);
        json_quote(out, rec->headers[i].name);
        buf_add_cstr(out, several ? ":[" : ":");
        for (size_t j = i; j < rec->n_headers; j++) {
            if (!str_eq(rec->headers[j].name, rec->headers[i].name))
                continue;
            buf_add_cstr(out, inner);
            json_out_bytes(out, rec->headers[j].value);
            inner = ",";
        }
        if (several)
            buf_add_char(out, ']');
        sep = ",";
    }
    buf_add_char(out, '}');
}

static void show(struct tail *t, const struct kafka_record *rec)
{
    struct buf *out = &t->line;

    decode(t, rec->value);
    if (!wanted(t, rec))
        return;
    buf_reset(out);
    buf_add_cstr(out, "{\"topic\":");
    json_out_bytes(out, str_of(rec->at.topic));
    buf_printf(out, ",\"partition\":%d,\"offset\":%lld,\"ts\":%lld,\"key\":",
               (int)rec->at.partition, (long long)rec->offset,
               (long long)rec->timestamp_ms);
    json_out_bytes(out, rec->key);
    buf_add_cstr(out, ",\"headers\":");
    add_headers(out, rec);
    buf_add_cstr(out, ",\"payload\":");
    buf_add_str(out, buf_str(&t->payload));
    buf_add_cstr(out, "}\n");
    fwrite(out->data, 1, out->len, t->c->out);
    fflush(t->c->out);
    if (t->left > 0)
        t->left--;
}
