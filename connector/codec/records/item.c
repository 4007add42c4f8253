/* See item.h. Owns nothing. Invariant: whatever an item holds, what is appended is one
 * datum of its kind's schema: each field is written whole, or taken back and null. */
#include "codec/records/item.h"

#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/framing.h"
#include "codec/json.h"
#include "codec/json_value.h"

enum { HASH_BYTES = 16 };

#define WHOLE_MAX 9007199254740992.0 /* 2^53: what a double holds exactly */

struct writer {
    struct buf *out;
    struct arena *scratch;
    bool mistyped;
};

static void put_fields(struct writer *w, const struct item_field *fields, size_t n,
                       struct str object, bool bare);
static int put_value(struct writer *w, const struct item_field *f, struct str value);

/* --- Avro's bytes --- */

static void put_long(struct writer *w, int64_t n)
{
    uint64_t zigzag = ((uint64_t)n << 1) ^ (n < 0 ? UINT64_MAX : 0);
    char bytes[10];
    size_t len = 0;

    for (; zigzag >= 0x80; zigzag >>= 7)
        bytes[len++] = (char)(zigzag | 0x80);
    bytes[len++] = (char)zigzag;
    (void)buf_add(w->out, bytes, len);
}

static void put_text(struct writer *w, struct str s)
{
    put_long(w, (int64_t)s.len);
    (void)buf_add_str(w->out, s);
}

static void put_double(struct writer *w, double x)
{
    uint64_t bits;
    char bytes[8];

    memcpy(&bits, &x, sizeof(bits));
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(bits >> (8 * i));
    (void)buf_add(w->out, bytes, sizeof(bytes));
}

/* The branches of every union here: null, the type. */
static void put_branch(struct writer *w, bool there)
{
    (void)buf_add_char(w->out, there ? 2 : 0);
}

static void take_back(struct buf *out, size_t len)
{
    out->len = len;
    if (out->data != NULL)
        out->data[len] = '\0';
}

/* --- JSON's values --- */

static int whole_of(struct str value, int64_t *out)
{
    struct err e = ERR_INIT;
    double x;

    if (json_value_number(value, &x) != 0)
        return -1;
    if (parse_i64(value, INT64_MIN, INT64_MAX, out, &e) == 0)
        return 0;
    if (x != floor(x) || fabs(x) > WHOLE_MAX)
        return -1; /* 1.0 and 1e3 are whole */
    *out = (int64_t)x;
    return 0;
}

static int time_of(struct str value, enum shape_time unit, int64_t *out)
{
    return json_value_time(value, unit == TIME_MILLIS ? 1 : 1000, out);
}

/* --- fields --- */

static int put_string(struct writer *w, const struct item_field *f, struct str value)
{
    struct str text;
    int rc;

    if (f->place == ITEM_ID)
        value = json_member(value, "id");
    rc = f->place == ITEM_LINK ? json_value_link(value, w->scratch, &text)
                               : json_value_text(value, w->scratch, &text);
    if (rc == 0)
        put_text(w, text);
    return rc;
}

static int put_boolean(struct writer *w, struct str value)
{
    bool yes;

    if (json_value_boolean(value, &yes) != 0)
        return -1;
    (void)buf_add_char(w->out, yes ? 1 : 0);
    return 0;
}

static int put_whole(struct writer *w, const struct item_field *f, struct str value)
{
    int64_t n;
    int rc = f->type == SHAPE_TIME ? time_of(value, f->time, &n) : whole_of(value, &n);

    if (rc == 0)
        put_long(w, n);
    return rc;
}

static int put_number(struct writer *w, struct str value)
{
    double x;

    if (json_value_number(value, &x) != 0)
        return -1;
    put_double(w, x);
    return 0;
}

static int put_object(struct writer *w, const struct item_field *f, struct str value)
{
    if (!json_value_is_object(value))
        return -1;
    put_fields(w, f->fields, f->n_fields, value, false);
    return 0;
}

static int put_value(struct writer *w, const struct item_field *f, struct str value)
{
    switch (f->type) {
    case SHAPE_STRING:
        return put_string(w, f, value);
    case SHAPE_BOOLEAN:
        return put_boolean(w, value);
    case SHAPE_LONG:
    case SHAPE_TIME:
        return put_whole(w, f, value);
    case SHAPE_DOUBLE:
        return put_number(w, value);
    case SHAPE_JSON:
        put_text(w, value);
        return 0;
    case SHAPE_OBJECT:
        return put_object(w, f, value);
    case SHAPE_FILE:
    case SHAPE_MAP:
        break; /* of commands only */
    }
    abort();
}

/* One block with its count, then the end. An element that does not fit leaves no array:
 * elements cannot be null. */
static int put_array(struct writer *w, const struct item_field *f, struct str value)
{
    size_t pos = 0;
    struct str element;
    int64_t n = 0;
    int rc = 0;

    if (!json_value_is_array(value))
        return -1;
    while (json_next(value, &pos, &element))
        n++;
    if (n > 0)
        put_long(w, n);
    for (pos = 0; rc == 0 && json_next(value, &pos, &element);)
        rc = put_value(w, f, element);
    put_long(w, 0);
    return rc;
}

static void put_field(struct writer *w, const struct item_field *f, struct str value)
{
    size_t start = w->out->len;

    put_branch(w, json_value_is_there(value));
    if (!json_value_is_there(value) ||
        (f->array ? put_array(w, f, value) : put_value(w, f, value)) == 0)
        return;
    take_back(w->out, start);
    put_branch(w, false);
    w->mistyped = true;
}

/* The field of `member`; *hint is where to look first: in the order of Front's own
 * description each is found at once. */
static size_t find(const struct item_field *fields, size_t n, bool link,
                   struct str member, size_t *hint)
{
    for (size_t tried = 0, i = *hint; tried < n; tried++, i++) {
        if (i >= n)
            i = 0;
        if ((fields[i].place == ITEM_LINK) == link && str_is(member, fields[i].member)) {
            *hint = i + 1;
            return i;
        }
    }
    return n;
}

/* Of a member that is there twice the last one counts, as for those who read _raw. */
static void collect(const struct item_field *fields, size_t n, bool link,
                    struct str object, struct str *values, struct str *links)
{
    size_t pos = 0, hint = 0;
    struct str member, value;

    while (json_next_member(object, &pos, &member, &value)) {
        size_t i = find(fields, n, link, member, &hint);

        if (i < n)
            values[i] = value;
        else if (!link && str_is(member, "_links"))
            *links = value;
    }
}

static void put_fields(struct writer *w, const struct item_field *fields, size_t n,
                       struct str object, bool bare)
{
    struct str values[ITEM_FIELDS_MAX];
    struct str links = STR_NULL;

    if (n > ITEM_FIELDS_MAX)
        abort(); /* a unit test looks at all kinds */
    memset(values, 0, n * sizeof(values[0]));
    if (!bare) {
        collect(fields, n, false, object, values, &links);
        links = json_member(links, "related");
        collect(fields, n, true, links, values, &links);
    }
    for (size_t i = 0; i < n; i++)
        put_field(w, &fields[i], values[i]);
}

/* --- the key --- */

static int put_part(struct writer *w, const struct item_key_part *part, struct str json,
                    struct str parent_id)
{
    struct str text = parent_id, at;
    int64_t ms;

    at = part->path != NULL ? json_member_path(json, part->path) : STR_NULL;
    switch (part->kind) {
    case ITEM_KEY_TEXT:
        if (json_value_text(at, w->scratch, &text) != 0)
            return -1;
        break;
    case ITEM_KEY_LINK:
        if (json_value_link(at, w->scratch, &text) != 0)
            return -1;
        break;
    case ITEM_KEY_TIME:
        if (time_of(at, TIME_FRACTION, &ms) != 0)
            return -1;
        return buf_printf(w->out, "%lld", (long long)ms);
    case ITEM_KEY_PARENT:
    case ITEM_KEY_NONE:
        break;
    }
    return text.ptr != NULL && text.len > 0 && text.len <= ITEM_KEY_MAX
               ? buf_add_str(w->out, text)
               : -1;
}

/* Of what has no key of its own: the same item has the same one, whoever reads it. */
static void put_hash(struct writer *w, struct str json)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    char hex[2 * HASH_BYTES + 1];

    if (EVP_Digest(json.ptr, json.len, md, NULL, EVP_sha256(), NULL) != 1)
        abort();
    hex_encode(md, HASH_BYTES, hex);
    (void)buf_add_cstr(w->out, hex);
}

static void put_key(struct writer *w, const struct item_kind *kind, struct str json,
                    struct str parent_id)
{
    size_t start = w->out->len;
    int rc = put_part(w, &kind->key[0], json, parent_id);

    if (rc == 0 && kind->key[1].kind != ITEM_KEY_NONE) {
        (void)buf_add_char(w->out, '/');
        rc = put_part(w, &kind->key[1], json, parent_id);
    }
    if (rc == 0)
        return;
    take_back(w->out, start);
    put_hash(w, json);
    w->mistyped = true;
}

const struct item_kind item_event = {.full_name = "front.Event"};

int item_encode(struct schemas *ss, const struct item_kind *kind, struct str json,
                struct str parent_id, bool bare, struct arena *scratch, struct buf *out,
                struct item_record *rec)
{
    const struct schema *sc = schemas_xget(ss, kind->full_name);
    struct writer w = {.out = out, .scratch = scratch};
    size_t start = out->len;
    char prefix[10];

    arena_reset(scratch);
    w.mistyped = bare || !json_value_is_object(json);
    rec->key_at = out->len;
    put_key(&w, kind, json, parent_id);
    rec->key_len = out->len - rec->key_at;
    rec->value_at = out->len;
    (void)buf_add(out, prefix, framing_seal(sc, prefix));
    put_fields(&w, kind->fields, kind->n_fields, json, bare);
    put_branch(&w, parent_id.ptr != NULL);
    if (parent_id.ptr != NULL)
        put_text(&w, parent_id);
    put_text(&w, json);
    rec->value_len = out->len - rec->value_at;
    rec->raw_len = json.len;
    rec->mistyped = w.mistyped;
    if (!out->over)
        return 0;
    take_back(out, start);
    return -1;
}
