/* Results out, and any of our records as JSON.
 * Owns nothing. Invariant: result_encode sets every field of front.Result. */
#include "codec/records/result.h"

#include <inttypes.h>
#include <stdlib.h>

#include "codec/avro.h"
#include "codec/base64.h"
#include "codec/framing.h"
#include "codec/json.h"

const char *const outcome_names[OUTCOMES + 1] = {
    "SUCCEEDED", "FAILED", "REJECTED", "EXPIRED", "IN_DOUBT", "CANCELLED", NULL};

/* A record being filled, field after field. */
struct filling {
    struct cell rec;
    size_t hint;
};

static int print(const struct cell *c, struct buf *out);

/* The schema is compiled in: a field that it lacks, or has as another type, is our bug.
 */
static struct cell place(struct filling *f, const char *name)
{
    struct cell c;

    if (!cell_place(&f->rec, name, &f->hint, &c))
        abort();
    return c;
}

static void must(int rc)
{
    if (rc != 0)
        abort();
}

static void put_text(struct filling *f, const char *name, struct str s)
{
    struct cell c = place(f, name);

    must(cell_set_string(&c, s));
}

static void put_optional(struct filling *f, const char *name, struct str s)
{
    struct cell c = place(f, name);

    must(s.ptr != NULL ? cell_set_string(&c, s) : cell_set_null(&c));
}

static void put_bytes(struct filling *f, const char *name, struct str s)
{
    struct cell c = place(f, name);

    must(s.ptr != NULL ? cell_set_bytes(&c, s) : cell_set_null(&c));
}

static void put_number(struct filling *f, const char *name, int64_t n)
{
    struct cell c = place(f, name);

    must(n != NO_NUMBER ? cell_set_long(&c, n) : cell_set_null(&c));
}

/* A number of somebody else into an int: at most as large as it can be. */
static void put_int(struct filling *f, const char *name, int64_t n)
{
    if (n != NO_NUMBER && n > INT32_MAX)
        n = INT32_MAX;
    if (n != NO_NUMBER && n < INT32_MIN)
        n = INT32_MIN;
    put_number(f, name, n);
}

static void put_boolean(struct filling *f, const char *name, bool b)
{
    struct cell c = place(f, name);

    must(cell_set_boolean(&c, b));
}

/* Enters the nullable record `name`; false: it is to be null, and is now. */
static bool enter(struct filling *f, const char *name, bool there, struct filling *out)
{
    struct cell c = place(f, name);

    if (!there) {
        must(cell_set_null(&c));
        return false;
    }
    *out = (struct filling){.hint = 0};
    must(cell_enter(&c, AVRO_RECORD, &out->rec));
    return true;
}

static void put_error(struct filling *f, const struct result *res)
{
    struct filling error;
    struct cell details, item;
    size_t i;

    if (!enter(f, "error", res->error.kind.ptr != NULL, &error))
        return;
    put_text(&error, "kind", res->error.kind);
    put_optional(&error, "title", res->error.title);
    put_text(&error, "message", res->error.message);
    details = place(&error, "details");
    for (i = 0; i < res->error.n_details; i++) {
        cell_append(&details, &item);
        must(cell_set_string(&item, res->error.details[i]));
    }
}

static void put_quota(struct filling *f, const struct result *res)
{
    struct filling quota;

    if (!enter(f, "quota", res->quota.known, &quota))
        return;
    put_int(&quota, "limit", res->quota.limit);
    put_int(&quota, "remaining", res->quota.remaining);
    put_number(&quota, "reset_at", res->quota.reset_at);
}

int result_encode(struct schemas *ss, const struct result *res, struct buf *out)
{
    const struct schema *sc = schemas_xget(ss, "front.Result");
    struct filling f = {.hint = 0};

    avro_begin(sc, &f.rec);
    put_text(&f, "command_id", res->command_id);
    put_text(&f, "operation", res->operation);
    put_text(&f, "outcome", str_of(outcome_names[res->outcome]));
    put_int(&f, "http_status", res->http_status);
    put_optional(&f, "resource_id", res->resource_id);
    put_optional(&f, "response", res->response);
    put_bytes(&f, "content", res->content);
    put_optional(&f, "content_type", res->content_type);
    put_boolean(&f, "truncated", res->truncated);
    put_error(&f, res);
    put_int(&f, "attempts", res->attempts);
    put_number(&f, "items", res->items);
    put_number(&f, "pages", res->pages);
    put_boolean(&f, "replayed", res->replayed);
    put_boolean(&f, "recovered", res->recovered);
    put_number(&f, "received_at", res->received_at);
    put_number(&f, "started_at", res->started_at);
    put_number(&f, "finished_at", res->finished_at);
    put_quota(&f, res);
    put_optional(&f, "source_topic", res->source_topic);
    put_int(&f, "source_partition", res->source_partition);
    put_number(&f, "source_offset", res->source_offset);
    put_optional(&f, "request_digest", res->request_digest);
    return avro_encode(ss, sc, out);
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
