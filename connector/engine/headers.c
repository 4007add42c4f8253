/* See headers.h. The three reply families are rows of one table; own names win. */
#include "engine/headers.h"

#include <stdio.h>
#include <string.h>

#include "codec/records/result.h"

struct family_row {
    enum reply_family family;
    const char *correlation, *topic, *partition;
};

static const struct family_row families[] = {
    {FAMILY_OWN, "command-id", "reply-topic", "reply-partition"},
    {FAMILY_SPRING, "kafka_correlationId", "kafka_replyTopic", "kafka_replyPartition"},
    {FAMILY_SMALLRYE, "REPLY_CORRELATION_ID", "REPLY_TOPIC", "REPLY_PARTITION"},
};
#define N_FAMILIES (sizeof families / sizeof families[0])

#define RESULT_HEADERS 7
#define REPLY_EXTRA 3
#define CONNECT_HEADERS 8

static struct str find(const struct kafka_record *rec, const char *name);
static int bad(struct err *e, const char *name, const char *what);
static int read_text(const struct kafka_record *rec, const char *name, struct str *out,
                     struct err *e);
static int read_deadline(const struct kafka_record *rec, struct headers_in *h,
                         struct err *e);
static int read_words(const struct kafka_record *rec, struct headers_in *h,
                      struct err *e);
static int read_reply(const struct kafka_record *rec, struct arena *a,
                      struct headers_in *h, struct err *e);
static int read_partition(struct str value, const char *name, int32_t *out,
                          struct err *e);
static struct str id_of_correlation(struct str value, struct arena *a);
static size_t put(struct kafka_header *hs, size_t n, const char *name, struct str value);

int headers_read(const struct kafka_record *rec, struct arena *a, struct headers_in *h,
                 struct err *e)
{
    *h = (struct headers_in){.priority = QUOTA_NORMAL, .reply_partition = -1};
    struct err first = ERR_INIT;
    int rc = 0;
    if (read_reply(rec, a, h, &first))
        rc = -1;
    int (*const readers[])(const struct kafka_record *, struct headers_in *,
                           struct err *) = {read_deadline, read_words};
    for (size_t i = 0; i < sizeof readers / sizeof readers[0]; i++) {
        struct err later = ERR_INIT;
        if (readers[i](rec, h, &later) == 0)
            continue;
        if (rc == 0)
            first = later;
        rc = -1;
    }
    if (rc)
        *e = first;
    return rc;
}

struct kafka_header *headers_for_result(const struct headers_in *h,
                                        const struct headers_result *r, struct arena *a,
                                        size_t *n)
{
    struct kafka_header *hs = arena_alloc(a, (RESULT_HEADERS + REPLY_EXTRA) * sizeof *hs);
    size_t i = 0;
    i = put(hs, i, "command-id", r->command_id);
    i = put(hs, i, "operation", r->operation);
    i = put(hs, i, "outcome", str_of(r->outcome));
    if (r->http_status != NO_NUMBER)
        i = put(hs, i, "http-status",
                str_of(arena_printf(a, "%lld", (long long)r->http_status)));
    i = put(hs, i, "source", r->source);
    if (h->traceparent.ptr != NULL)
        i = put(hs, i, "traceparent", h->traceparent);
    if (h->tracestate.ptr != NULL)
        i = put(hs, i, "tracestate", h->tracestate);
    *n = i;
    return hs;
}

struct kafka_header *headers_for_reply(const struct headers_in *h,
                                       const struct headers_result *r, struct arena *a,
                                       size_t *n)
{
    struct kafka_header *hs = headers_for_result(h, r, a, n);
    for (size_t i = 0; i < N_FAMILIES; i++)
        if (families[i].family == h->family && h->family != FAMILY_OWN &&
            h->correlation.ptr != NULL)
            *n = put(hs, *n, families[i].correlation, h->correlation);
    if (h->family == FAMILY_SPRING) { /* NestJS reads these two, Spring ignores them */
        *n = put(hs, *n, "kafka_nest-is-disposed", (struct str){"", 1});
        if (!r->succeeded)
            *n = put(hs, *n, "kafka_nest-err", str_of(r->outcome));
    }
    return hs;
}

struct kafka_header *headers_for_item(struct str command_id, struct str operation,
                                      struct str source, struct arena *a, size_t *n)
{
    const struct kafka_header all[] = {
        {STR_LIT("command-id"),
         {arena_strndup(a, command_id.ptr, command_id.len), command_id.len}},
        {STR_LIT("operation"), operation},
        {STR_LIT("source"), {arena_strndup(a, source.ptr, source.len), source.len}}};
    struct kafka_header *hs = arena_alloc(a, sizeof all);

    memcpy(hs, all, sizeof all);
    *n = sizeof all / sizeof all[0];
    return hs;
}

/* The family goes by a name of its own: of the value it echoes, else of its topic. */
size_t headers_keep(const struct headers_in *h, struct pair out[1])
{
    for (size_t i = 0; i < N_FAMILIES; i++) {
        bool echoes = h->correlation.ptr != NULL;
        if (families[i].family != h->family || h->family == FAMILY_OWN)
            continue;
        out[0] = (struct pair){
            .name = str_of(echoes ? families[i].correlation : families[i].topic),
            .value = echoes ? h->correlation : STR_LIT("")};
        return 1;
    }
    return 0;
}

void headers_again(struct headers_in *h, const struct pair *kept, size_t n)
{
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < N_FAMILIES; i++) {
            bool echoes = str_is(kept[k].name, families[i].correlation);
            if (!echoes && !str_is(kept[k].name, families[i].topic))
                continue;
            h->family = families[i].family;
            if (echoes)
                h->correlation = kept[k].value;
        }
}

struct kafka_header *headers_for_dead_letter(const struct kafka_record *rec,
                                             const struct dead_letter *dl,
                                             struct arena *a, size_t *n)
{
    size_t i = rec->n_headers;
    struct kafka_header *hs = arena_alloc(a, (i + CONNECT_HEADERS + 1) * sizeof *hs);
    if (i > 0)
        memcpy(hs, rec->headers, i * sizeof *hs);
    const char *partition = arena_printf(a, "%d", rec->at.partition);
    const char *offset = arena_printf(a, "%lld", (long long)rec->offset);
    if (rec->at.topic != NULL) {
        i = put(hs, i, "__connect.errors.topic", str_of(rec->at.topic));
        i = put(hs, i, "__connect.errors.partition", str_of(partition));
        i = put(hs, i, "__connect.errors.offset", str_of(offset));
    }
    i = put(hs, i, "__connect.errors.connector.name", str_of(dl->group_id));
    i = put(hs, i, "__connect.errors.task.id", STR_LIT("0"));
    i = put(hs, i, "__connect.errors.stage", str_of(dl->stage));
    i = put(hs, i, "__connect.errors.class.name", STR_LIT("front-connector"));
    i = put(hs, i, "__connect.errors.exception.class.name", str_of(dl->exception));
    i = put(hs, i, "__connect.errors.exception.message", str_of(dl->message));
    *n = i;
    return hs;
}

static struct str find(const struct kafka_record *rec, const char *name)
{
    struct str found =
        STR_NULL; /* Kafka's rule for a repeated header: the last one counts */
    for (size_t i = 0; i < rec->n_headers; i++)
        if (str_is(rec->headers[i].name, name))
            found = rec->headers[i].value;
    return found;
}

static int bad(struct err *e, const char *name, const char *what)
{
    return err_input(e, "invalid-header", "header %s: %s", name, what);
}

static int read_text(const struct kafka_record *rec, const char *name, struct str *out,
                     struct err *e)
{
    struct str value = find(rec, name);
    if (value.ptr != NULL && !utf8_valid(value))
        return bad(e, name, "not UTF-8");
    *out = value;
    return 0;
}

static int read_deadline(const struct kafka_record *rec, struct headers_in *h,
                         struct err *e)
{
    struct str text;
    if (read_text(rec, "deadline", &text, e))
        return -1;
    if (text.ptr != NULL && parse_i64(text, 1, INT64_MAX, &h->deadline, e))
        return bad(e, "deadline", "must be milliseconds since the epoch, as text");
    return 0;
}

static int read_words(const struct kafka_record *rec, struct headers_in *h, struct err *e)
{
    struct str priority;
    if (read_text(rec, "traceparent", &h->traceparent, e) ||
        read_text(rec, "tracestate", &h->tracestate, e) ||
        read_text(rec, "priority", &priority, e) ||
        read_text(rec, "on-in-doubt", &h->on_in_doubt, e))
        return -1;
    if (priority.ptr != NULL) {
        size_t c = 0;
        while (c < QUOTA_CLASSES && !str_is(priority, quota_class_names[c]))
            c++;
        if (c == QUOTA_CLASSES)
            return bad(e, "priority", "must be high, normal or low");
        h->priority = (enum quota_class)c;
    }
    struct str d = h->on_in_doubt;
    if (d.ptr != NULL && !str_is(d, "probe") && !str_is(d, "report") &&
        !str_is(d, "retry")) {
        h->on_in_doubt = STR_NULL;
        return bad(e, "on-in-doubt", "must be probe, report or retry");
    }
    return 0;
}

static int read_reply(const struct kafka_record *rec, struct arena *a,
                      struct headers_in *h, struct err *e)
{
    for (size_t i = 0; i < N_FAMILIES && h->command_id.ptr == NULL; i++) {
        struct str value = find(rec, families[i].correlation);
        if (value.ptr == NULL)
            continue;
        h->family = families[i].family;
        h->correlation = value;
        h->command_id = i == 0 ? value : id_of_correlation(value, a);
    }
    struct str id = h->command_id;
    if (id.ptr != NULL && (id.len == 0 || id.len > COMMAND_ID_MAX || !utf8_valid(id))) {
        h->command_id = STR_NULL;
        return bad(e, "command-id", "must be 1 to 255 bytes of UTF-8");
    }
    for (size_t i = 0; i < N_FAMILIES; i++) {
        struct str topic = find(rec, families[i].topic);
        if (topic.ptr == NULL)
            continue;
        h->family = families[i].family;
        if (find(rec, families[i].correlation).ptr != NULL)
            h->correlation = find(rec, families[i].correlation);
        if (topic.len == 0 || topic.len > 249 || !text_printable(topic))
            return bad(e, families[i].topic, "not a topic name");
        h->reply_topic = topic;
        return read_partition(find(rec, families[i].partition), families[i].partition,
                              &h->reply_partition, e);
    }
    return 0;
}

/* Text, or the int32 that Java clients write. Four digits of text are taken for text. */
static int read_partition(struct str value, const char *name, int32_t *out, struct err *e)
{
    int64_t n;
    if (value.ptr == NULL)
        return 0;
    if (parse_i64(value, 0, INT32_MAX, &n, e) == 0) {
        *out = (int32_t)n;
        return 0;
    }
    const unsigned char *b = (const unsigned char *)value.ptr;
    if (value.len != 4 || b[0] > 127)
        return bad(e, name, "must be a partition number, as text or int32");
    *out = (int32_t)((uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 |
                     b[3]);
    return 0;
}

/* Printable as is, 16 other bytes as UUID text, else hex. */
static struct str id_of_correlation(struct str value, struct arena *a)
{
    if (text_printable(value) || value.len == 0 || value.len > COMMAND_ID_MAX / 2)
        return value;
    char *hex = arena_alloc(a, 2 * value.len + 1);
    hex_encode(value.ptr, value.len, hex);
    if (value.len != 16)
        return str_of(hex);
    return str_of(arena_printf(a, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
                               hex + 16, hex + 20));
}

static size_t put(struct kafka_header *hs, size_t n, const char *name, struct str value)
{
    hs[n] = (struct kafka_header){str_of(name), value};
    return n + 1;
}
