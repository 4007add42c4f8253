/* Results out, and any of our records as JSON.
 * Owns nothing. Invariant: result_encode sets every field of front.Result. */
#include "codec/records/result.h"

#include <inttypes.h>

#include "codec/avro.h"
#include "codec/base64.h"
#include "codec/framing.h"
#include "codec/json.h"
#include "codec/records/fields.h"

const char *const outcome_names[OUTCOMES + 1] = {
    "SUCCEEDED", "FAILED", "REJECTED", "EXPIRED", "IN_DOUBT", "CANCELLED", NULL};

static int print(const struct cell *c, struct buf *out);

static void put_error(struct filling *f, const struct result *res)
{
    struct filling error;
    struct cell details, item;
    size_t i;

    if (!fields_enter(f, "error", res->error.kind.ptr != NULL, &error))
        return;
    fields_put_text(&error, "kind", res->error.kind);
    fields_put_optional(&error, "title", res->error.title);
    fields_put_text(&error, "message", res->error.message);
    details = fields_place(&error, "details");
    for (i = 0; i < res->error.n_details; i++) {
        cell_append(&details, &item);
        fields_must(cell_set_string(&item, res->error.details[i]));
    }
}

static void put_quota(struct filling *f, const struct result *res)
{
    struct filling quota;

    if (!fields_enter(f, "quota", res->quota.known, &quota))
        return;
    fields_put_int(&quota, "limit", res->quota.limit);
    fields_put_int(&quota, "remaining", res->quota.remaining);
    fields_put_number(&quota, "reset_at", res->quota.reset_at);
}

int result_encode(struct schemas *ss, const struct result *res, struct buf *out)
{
    const struct schema *sc = schemas_xget(ss, "front.Result");
    struct filling f = {.hint = 0};

    avro_begin(sc, &f.rec);
    fields_put_text(&f, "command_id", res->command_id);
    fields_put_text(&f, "operation", res->operation);
    fields_put_text(&f, "outcome", str_of(outcome_names[res->outcome]));
    fields_put_int(&f, "http_status", res->http_status);
    fields_put_optional(&f, "resource_id", res->resource_id);
    fields_put_optional(&f, "response", res->response);
    fields_put_bytes(&f, "content", res->content);
    fields_put_optional(&f, "content_type", res->content_type);
    fields_put_boolean(&f, "truncated", res->truncated);
    put_error(&f, res);
    fields_put_int(&f, "attempts", res->attempts);
    fields_put_number(&f, "items", res->items);
    fields_put_number(&f, "pages", res->pages);
    fields_put_boolean(&f, "replayed", res->replayed);
    fields_put_boolean(&f, "recovered", res->recovered);
    fields_put_number(&f, "received_at", res->received_at);
    fields_put_number(&f, "started_at", res->started_at);
    fields_put_number(&f, "finished_at", res->finished_at);
    put_quota(&f, res);
    fields_put_optional(&f, "source_topic", res->source_topic);
    fields_put_int(&f, "source_partition", res->source_partition);
    fields_put_number(&f, "source_offset", res->source_offset);
    fields_put_optional(&f, "request_digest", res->request_digest);
    return avro_encode(ss, sc, out);
}

static int outcome_of(struct str name, enum outcome *out)
{
    int i;

    for (i = 0; i < OUTCOMES; i++)
        if (str_is(name, outcome_names[i])) {
            *out = (enum outcome)i;
            return 0;
        }
    return -1;
}

int result_decode(struct schemas *ss, struct str value, struct arena *a,
                  struct result *out, struct err *e)
{
    struct reading r = {.a = a};
    struct cell error;

    *out = (struct result){.http_status = NO_NUMBER};
    if (fields_open(ss, value, "front.Result", &r, e) != 0)
        return -1;
    out->command_id = fields_get_text(&r, "command_id");
    if (outcome_of(fields_get_text(&r, "outcome"), &out->outcome) != 0)
        r.rc = -1;
    out->http_status = fields_get_number(&r, "http_status");
    out->resource_id = fields_get_text(&r, "resource_id");
    out->response = fields_get_text(&r, "response");
    if (cell_field(&r.rec, "error", &r.hint, &error)) {
        struct reading inner = {.rec = error, .a = a};
        out->error.kind = fields_get_text(&inner, "kind");
    }
    out->items = fields_get_number(&r, "items");
    out->pages = fields_get_number(&r, "pages");
    out->replayed = fields_get_boolean(&r, "replayed");
    out->recovered = fields_get_boolean(&r, "recovered");
    out->source_topic = fields_get_text(&r, "source_topic");
    out->source_partition = fields_get_number(&r, "source_partition");
    out->source_offset = fields_get_number(&r, "source_offset");
    out->request_digest = fields_get_text(&r, "request_digest");
    return r.rc == 0 ? 0 : err_input(e, "BadValue", "a field of another type");
}

static int print_members(const struct cell *c, struct buf *out)
{
    bool array = c->node->type == AVRO_ARRAY;
    size_t n = cell_size(c), i;
    struct cell kid;

    (void)buf_add_char(out, array ? '[' : '{');
    for (i = 0; i < n && !out->over; i++) {
        const char *key = "";
        bool there = cell_at(c, i, &kid, &key);

        (void)buf_add_cstr(out, i > 0 ? "," : "");
        if (!array) {
            (void)json_quote(out, str_of(key));
            (void)buf_add_char(out, ':');
        }
        (void)(there ? print(&kid, out) : buf_add_cstr(out, "null"));
    }
    return buf_add_char(out, array ? ']' : '}');
}

static int print_bytes(struct str bytes, struct buf *out)
{
    (void)buf_add_char(out, '"');
    (void)base64_encode(bytes, out);
    return buf_add_char(out, '"');
}

static int print(const struct cell *c, struct buf *out)
{
    struct str s = STR_LIT("");
    int64_t n = 0;
    double x = 0;
    bool b = false;

    switch ((int)c->node->type) { /* avro-c grows types between versions */
    case AVRO_STRING:
    case AVRO_ENUM:
        (void)cell_peek(c, &s);
        return json_quote(out, s);
    case AVRO_BYTES:
    case AVRO_FIXED:
        (void)cell_peek_bytes(c, &s);
        return print_bytes(s, out);
    case AVRO_INT32:
    case AVRO_INT64:
        (void)cell_long(c, &n);
        return buf_printf(out, "%" PRId64, n);
    case AVRO_FLOAT:
    case AVRO_DOUBLE:
        (void)cell_double(c, &x);
        return json_double(out, x);
    case AVRO_BOOLEAN:
        (void)cell_boolean(c, &b);
        return buf_add_cstr(out, b ? "true" : "false");
    case AVRO_RECORD:
    case AVRO_MAP:
    case AVRO_ARRAY:
        return print_members(c, out);
    default:
        return buf_add_cstr(out, "null"); /* unions were entered */
    }
}

int avro_to_json(struct schemas *ss, struct str value, struct buf *out, struct err *e)
{
    const struct schema *sc;
    struct str datum;
    struct cell root;
    int rc;

    if (framing_open(ss, value, &sc, &datum, e) != FRAMING_OK ||
        avro_decode(ss, sc, datum, &root, e) != 0)
        return -1;
    rc = cell_unwrap(&root) ? print(&root, out) : buf_add_cstr(out, "null");
    return rc == 0 ? 0 : err_input(e, "TooLarge", "the record as JSON is too large");
}
