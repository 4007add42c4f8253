/* See result.h. */
#include "codec/records/result.h"

#include <openssl/evp.h>
#include <string.h>

#include "codec/avro.h"
#include "codec/framing.h"
#include "codec/json.h"

const char *const outcome_names[OUTCOMES + 1] = {
    "SUCCEEDED", "FAILED", "REJECTED", "EXPIRED", "IN_DOUBT", "CANCELLED", NULL};

static void put_text(avro_value_t *record, const char *name, struct str s);
static void put_optional(avro_value_t *record, const char *name, struct str s);
static void put_number(avro_value_t *record, const char *name, int64_t n, bool is_int);
static void put_bytes(avro_value_t *record, const char *name, struct str s);
static void put_bool(avro_value_t *record, const char *name, bool b);
static void put_time(avro_value_t *record, const char *name, int64_t ms);
static void put_error(avro_value_t *record, const struct result *res);
static void put_quota(avro_value_t *record, const struct result *res);
static int to_json(const avro_value_t *value, struct buf *out);
static int to_json_members(const avro_value_t *value, struct buf *out);
static int base64(struct str s, struct buf *out);

int result_encode(struct schemas *ss, const struct result *res, struct buf *out)
{
    const struct schema *sc = schemas_xget(ss, "front.Result");
    avro_value_t v = sc->value;
    avro_value_reset(&v);
    put_text(&v, "command_id", res->command_id);
    put_text(&v, "operation", res->operation);
    put_text(&v, "outcome", str_of(outcome_names[res->outcome]));
    put_number(&v, "http_status", res->http_status, true);
    put_optional(&v, "resource_id", res->resource_id);
    put_optional(&v, "response", res->response);
    put_bytes(&v, "content", res->content);
    put_optional(&v, "content_type", res->content_type);
    put_bool(&v, "truncated", res->truncated);
    put_error(&v, res);
    avro_value_t field;
    avro_value_get_by_name(&v, "attempts", &field, NULL);
    avro_value_set_int(&field, (int32_t)res->attempts);
    put_number(&v, "items", res->items, false);
    put_number(&v, "pages", res->pages, false);
    put_bool(&v, "replayed", res->replayed);
    put_bool(&v, "recovered", res->recovered);
    put_time(&v, "received_at", res->received_at);
    put_number(&v, "started_at", res->started_at, false);
    put_time(&v, "finished_at", res->finished_at);
    put_quota(&v, res);
    put_optional(&v, "source_topic", res->source_topic);
    put_number(&v, "source_partition", res->source_partition, true);
    put_number(&v, "source_offset", res->source_offset, false);
    put_optional(&v, "request_digest", res->request_digest);
    return avro_encode(ss, sc, out);
}

int avro_to_json(struct schemas *ss, struct str value, struct buf *out, struct err *e)
{
    const struct schema *sc;
    struct str datum;
    if (framing_open(ss, value, &sc, &datum, e) != FRAMING_OK ||
        avro_decode(sc, datum, e))
        return -1;
    if (to_json(&sc->value, out))
        return err_input(e, "TooLarge", "the record is too large to print");
    return 0;
}

static void put_text(avro_value_t *record, const char *name, struct str s)
{
    avro_value_t field;
    avro_value_get_by_name(record, name, &field, NULL);
    /* set_string_len counts a NUL that a slice does not have: give it a copy */
    char *copy = mem_strndup(s.ptr, s.len);
    avro_value_set_string_len(&field, copy, s.len + 1);
    mem_free(copy);
}

/* Branch 0 is null, branch 1 the value: so are all optional fields of our records. */
static bool branch(avro_value_t *record, const char *name, bool present,
                   avro_value_t *out)
{
    avro_value_t field;
    avro_value_get_by_name(record, name, &field, NULL);
    avro_value_set_branch(&field, present ? 1 : 0, out);
    return present;
}

static void put_optional(avro_value_t *record, const char *name, struct str s)
{
    avro_value_t value;
    if (!branch(record, name, s.ptr != NULL, &value))
        return;
    char *copy = mem_strndup(s.ptr, s.len);
    avro_value_set_string_len(&value, copy, s.len + 1);
    mem_free(copy);
}

static void put_number(avro_value_t *record, const char *name, int64_t n, bool is_int)
{
    avro_value_t value;
    if (!branch(record, name, n != NO_NUMBER, &value))
        return;
    if (is_int)
        avro_value_set_int(&value, (int32_t)n);
    else
        avro_value_set_long(&value, n);
}

static void put_bytes(avro_value_t *record, const char *name, struct str s)
{
    avro_value_t value;
    if (branch(record, name, s.ptr != NULL, &value))
        avro_value_set_bytes(&value, mem_unconst(s.ptr), s.len);
}

static void put_bool(avro_value_t *record, const char *name, bool b)
{
    avro_value_t field;
    avro_value_get_by_name(record, name, &field, NULL);
    avro_value_set_boolean(&field, b);
}

static void put_time(avro_value_t *record, const char *name, int64_t ms)
{
    avro_value_t field;
    avro_value_get_by_name(record, name, &field, NULL);
    avro_value_set_long(&field, ms);
}

static void put_error(avro_value_t *record, const struct result *res)
{
    avro_value_t error, details, item;
    if (!branch(record, "error", res->error.kind.ptr != NULL, &error))
        return;
    put_text(&error, "kind", res->error.kind);
    put_optional(&error, "title", res->error.title);
    put_text(&error, "message",
             res->error.message.ptr ? res->error.message : STR_LIT(""));
    avro_value_get_by_name(&error, "details", &details, NULL);
    for (size_t i = 0; i < res->error.n_details; i++) {
        struct str d = res->error.details[i];
        avro_value_append(&details, &item, NULL);
        char *copy = mem_strndup(d.ptr, d.len);
        avro_value_set_string_len(&item, copy, d.len + 1);
        mem_free(copy);
    }
}

static void put_quota(avro_value_t *record, const struct result *res)
{
    avro_value_t quota;
    if (!branch(record, "quota", res->quota.known, &quota))
        return;
    put_number(&quota, "limit", res->quota.limit, true);
    put_number(&quota, "remaining", res->quota.remaining, true);
    put_number(&quota, "reset_at", res->quota.reset_at, false);
}

static int to_json(const avro_value_t *value, struct buf *out)
{
    avro_value_t v;
    struct str s;
    int b;
    int32_t i;
    int64_t l;
    float f;
    double d;
    if (!avro_unwrap(value, &v))
        return buf_add_cstr(out, "null");
    switch (avro_value_get_type(&v)) {
    case AVRO_BOOLEAN:
        avro_value_get_boolean(&v, &b);
        return buf_add_cstr(out, b ? "true" : "false");
    case AVRO_INT32:
        avro_value_get_int(&v, &i);
        return buf_printf(out, "%d", i);
    case AVRO_INT64:
        avro_value_get_long(&v, &l);
        return buf_printf(out, "%lld", (long long)l);
    case AVRO_FLOAT:
        avro_value_get_float(&v, &f);
        return json_double(out, (double)f);
    case AVRO_DOUBLE:
        avro_value_get_double(&v, &d);
        return json_double(out, d);
    case AVRO_STRING:
    case AVRO_ENUM:
        return avro_text(&v, &s) ? json_quote(out, s) : -1;
    case AVRO_BYTES:
        return avro_text(&v, &s) ? base64(s, out) : -1;
    case AVRO_RECORD:
    case AVRO_MAP:
    case AVRO_ARRAY:
        return to_json_members(&v, out);
    case AVRO_FIXED:
    case AVRO_NULL:
    case AVRO_UNION:
    case AVRO_LINK:
        return buf_add_cstr(out, "null");
    }
    return -1;
}

static int to_json_members(const avro_value_t *value, struct buf *out)
{
    bool array = avro_value_get_type(value) == AVRO_ARRAY;
    size_t n = 0;
    avro_value_get_size(value, &n);
    int rc = buf_add_char(out, array ? '[' : '{');
    for (size_t i = 0; i < n && rc == 0; i++) {
        avro_value_t item;
        const char *name = NULL;
        avro_value_get_by_index(value, i, &item, &name);
        if (i > 0)
            rc = buf_add_char(out, ',');
        if (!array && rc == 0)
            rc = json_quote(out, str_of(name)) || buf_add_char(out, ':');
        if (rc == 0)
            rc = to_json(&item, out);
    }
    return rc ? -1 : buf_add_char(out, array ? ']' : '}');
}

static int base64(struct str s, struct buf *out)
{
    size_t n = (s.len + 2) / 3 * 4;
    if (buf_add_char(out, '"') || buf_reserve(out, n + 1))
        return -1;
    EVP_EncodeBlock((unsigned char *)out->data + out->len, (const unsigned char *)s.ptr,
                    (int)s.len);
    out->len += n;
    return buf_add_char(out, '"');
}
