/* See command.h: Avro in. Fields are found by name in the writer's schema: missing ones
 * keep their default, unknown ones are passed over. */
#include "codec/records/command.h"

#include <stdio.h>
#include <string.h>

#include "codec/avro.h"
#include "codec/json.h"

#define BODY_MAX (32 * 1024 * 1024)

struct typed {
    struct arena *a;
    struct command *out;
    struct buf body;
    bool any_body;
    struct err *e;
};

static int decode_generic(const avro_value_t *v, struct arena *a, struct command *out);
static int decode_typed(const avro_value_t *v, const struct typed_record *rec,
                        struct arena *a, struct command *out, struct err *e);
static int typed_field(struct typed *t, const avro_value_t *v, const struct shape *sh,
                       size_t max_params);
static int set_null(struct typed *t, const avro_value_t *list,
                    const struct typed_record *rec);
static int emit(struct typed *t, struct buf *out, const avro_value_t *v,
                const struct shape *sh);
static int emit_one(struct typed *t, struct buf *out, const avro_value_t *v,
                    const struct shape *sh);
static int emit_time(struct buf *out, int64_t ms, enum shape_time time);
static int mistyped(struct typed *t, const struct shape *sh);
static struct str keep(struct arena *a, struct str s);
static struct str text_field(const avro_value_t *v, const char *name, struct arena *a);
static void pairs_of(const avro_value_t *v, const char *name, struct arena *a,
                     struct pair **pairs, size_t *n);
static void attachment_of(const avro_value_t *v, struct arena *a, struct attachment *out);
static bool number_of(const avro_value_t *v, int64_t *out);

enum framing_result command_decode_avro(struct schemas *ss, typed_find_fn *find,
                                        struct str value, struct arena *a,
                                        struct command *out, struct err *e)
{
    const struct schema *sc = NULL;
    struct str datum;
    memset(out, 0, sizeof *out);
    enum framing_result r = framing_open(ss, value, &sc, &datum, e);
    if (r != FRAMING_OK)
        return r;
    if (avro_decode(sc, datum, e))
        return FRAMING_BAD;
    const char *name = schema_full_name(sc);
    const struct typed_record *rec;
    int rc;
    if (strcmp(name, "front.Command") == 0)
        rc = decode_generic(&sc->value, a, out);
    else if ((rec = find(str_of(name))) != NULL)
        rc = decode_typed(&sc->value, rec, a, out, e);
    else
        rc = err_input(e, "RecordUnknown",
                       "record %s is no command: use front.Command or "
                       "front.command.<Operation>",
                       name);
    if (rc && e->kind == ERR_NONE)
        err_input(e, "BadValue", "front.Command needs the text field operation");
    return rc ? FRAMING_BAD : FRAMING_OK;
}

static int decode_generic(const avro_value_t *v, struct arena *a, struct command *out)
{
    avro_value_t list;
    if (avro_value_get_type(v) != AVRO_RECORD)
        return -1;
    out->command_id = text_field(v, "command_id", a);
    out->operation = text_field(v, "operation", a);
    out->body = text_field(v, "body", a);
    out->method = text_field(v, "method", a);
    out->path = text_field(v, "path", a);
    pairs_of(v, "params", a, &out->params, &out->n_params);
    pairs_of(v, "query", a, &out->query, &out->n_query);
    pairs_of(v, "headers", a, &out->headers, &out->n_headers);
    if (avro_field(v, "attachments", &list) && avro_value_get_type(&list) == AVRO_ARRAY) {
        avro_value_get_size(&list, &out->n_attachments);
        out->attachments =
            arena_zalloc(a, (out->n_attachments + 1) * sizeof *out->attachments);
        for (size_t i = 0; i < out->n_attachments; i++) {
            avro_value_t item;
            avro_value_get_by_index(&list, i, &item, NULL);
            attachment_of(&item, a, &out->attachments[i]);
        }
    }
    return out->operation.ptr != NULL ? 0 : -1;
}

static int decode_typed(const avro_value_t *v, const struct typed_record *rec,
                        struct arena *a, struct command *out, struct err *e)
{
    struct typed t = {.a = a, .out = out, .e = e};
    size_t max = rec->n_fields;
    avro_value_t q, nulls;
    int rc = 0;
    if (avro_value_get_type(v) != AVRO_RECORD)
        return err_input(e, "BadValue", "%s is no record", rec->full_name);
    out->operation = str_of(rec->operation);
    out->typed = true;
    if (avro_field(v, "q", &q)) {
        size_t n = 0;
        avro_value_get_size(&q, &n);
        max += n;
    }
    out->params = arena_zalloc(a, (max + 1) * sizeof *out->params);
    buf_init(&t.body, BODY_MAX);
    for (size_t i = 0; i < rec->n_fields && rc == 0; i++) {
        avro_value_t field;
        if (rec->fields[i].place == PLACE_SET_NULL)
            continue;
        if (avro_field(v, rec->fields[i].name, &field))
            rc = typed_field(&t, &field, &rec->fields[i], max);
    }
    if (rc == 0 && avro_field(v, "set_null", &nulls))
        rc = set_null(&t, &nulls, rec);
    if (rc == 0 && t.any_body) {
        rc = buf_add_char(&t.body, '}');
        out->body = keep(a, buf_str(&t.body));
    }
    buf_fini(&t.body);
    if (rc && e->kind == ERR_NONE)
        err_input(e, "TooLarge", "the body is too large");
    return rc;
}

static int open_body(struct typed *t, const char *name)
{
    int rc = buf_add_char(&t->body, t->any_body ? ',' : '{');
    t->any_body = true;
    return rc || json_quote(&t->body, str_of(name)) || buf_add_char(&t->body, ':') ? -1
                                                                                   : 0;
}

static int add_param(struct typed *t, struct str name, const avro_value_t *v,
                     const struct shape *sh)
{
    struct str text;
    struct pair *p = &t->out->params[t->out->n_params++];
    p->name = name;
    if (!sh->array && avro_text(v, &text)) {
        p->value = keep(t->a, text);
        return 0;
    }
    struct buf out;
    buf_init(&out, BODY_MAX);
    int rc = emit(t, &out, v, sh);
    p->value = keep(t->a, buf_str(&out));
    p->json = true;
    buf_fini(&out);
    return rc;
}

static int typed_field(struct typed *t, const avro_value_t *v, const struct shape *sh,
                       size_t max_params)
{
    static const struct shape text = {.type = SHAPE_STRING};
    struct str s;
    size_t n = 0;
    (void)max_params;
    switch (sh->place) {
    case PLACE_COMMAND_ID:
        if (!avro_text(v, &s))
            return mistyped(t, sh);
        t->out->command_id = keep(t->a, s);
        return 0;
    case PLACE_PATH:
    case PLACE_QUERY:
    case PLACE_MAX_ITEMS:
        return add_param(t, str_of(sh->name), v, sh);
    case PLACE_Q:
        if (avro_value_get_type(v) != AVRO_MAP)
            return mistyped(t, sh);
        avro_value_get_size(v, &n);
        for (size_t i = 0; i < n; i++) {
            avro_value_t item;
            const char *key;
            avro_value_get_by_index(v, i, &item, &key);
            if (!avro_unwrap(&item, &item))
                continue;
            if (add_param(t, str_of(arena_printf(t->a, "q[%s]", key)), &item, &text))
                return -1;
        }
        return 0;
    case PLACE_WITH: {
        struct buf joined;
        buf_init(&joined, 4096);
        if (avro_value_get_type(v) != AVRO_ARRAY)
            return mistyped(t, sh);
        avro_value_get_size(v, &n);
        for (size_t i = 0; i < n; i++) {
            avro_value_t item;
            avro_value_get_by_index(v, i, &item, NULL);
            if (avro_unwrap(&item, &item) && avro_text(&item, &s)) {
                if (joined.len > 0)
                    (void)buf_add_char(&joined, ',');
                (void)buf_add_str(&joined, s);
            }
        }
        struct pair *p = &t->out->params[t->out->n_params++];
        *p = (struct pair){str_of(sh->name), keep(t->a, buf_str(&joined)), false};
        buf_fini(&joined);
        return 0;
    }
    case PLACE_BODY:
        if (sh->type == SHAPE_FILE) {
            size_t count = 1;
            if (sh->array)
                avro_value_get_size(v, &count);
            t->out->attachments =
                arena_zalloc(t->a, (count + 1) * sizeof *t->out->attachments);
            for (size_t i = 0; i < count; i++) {
                avro_value_t item = *v;
                if (sh->array)
                    avro_value_get_by_index(v, i, &item, NULL);
                attachment_of(&item, t->a, &t->out->attachments[i]);
                t->out->attachments[i].field = sh->name;
            }
            t->out->n_attachments = count;
            return 0;
        }
        return open_body(t, sh->name) ? -1 : emit(t, &t->body, v, sh);
    case PLACE_SET_NULL:
    case PLACE_NESTED:
        return 0;
    }
    return -1;
}

/* set_null names body fields that are sent as JSON null. */
static int set_null(struct typed *t, const avro_value_t *list,
                    const struct typed_record *rec)
{
    size_t n = 0;
    avro_value_get_size(list, &n);
    for (size_t i = 0; i < n; i++) {
        avro_value_t item;
        struct str name;
        const struct shape *found = NULL;
        avro_value_get_by_index(list, i, &item, NULL);
        if (!avro_unwrap(&item, &item) || !avro_text(&item, &name))
            continue;
        for (size_t f = 0; f < rec->n_fields; f++)
            if (rec->fields[f].place == PLACE_BODY && str_is(name, rec->fields[f].name))
                found = &rec->fields[f];
        if (found == NULL)
            return err_input(t->e, "invalid-command",
                             "set_null: %.*s is no body field of %s", STR_ARG(name),
                             rec->operation);
        if (open_body(t, found->name) || buf_add_cstr(&t->body, "null"))
            return -1;
    }
    return 0;
}

static int emit(struct typed *t, struct buf *out, const avro_value_t *v,
                const struct shape *sh)
{
    size_t n = 0;
    if (!sh->array)
        return emit_one(t, out, v, sh);
    if (avro_value_get_type(v) != AVRO_ARRAY)
        return mistyped(t, sh);
    avro_value_get_size(v, &n);
    if (buf_add_char(out, '['))
        return -1;
    for (size_t i = 0; i < n; i++) {
        avro_value_t item;
        avro_value_get_by_index(v, i, &item, NULL);
        if (i > 0 && buf_add_char(out, ','))
            return -1;
        bool there = avro_unwrap(&item, &item);
        if (there ? emit_one(t, out, &item, sh) : buf_add_cstr(out, "null"))
            return -1;
    }
    return buf_add_char(out, ']');
}

static int emit_one(struct typed *t, struct buf *out, const avro_value_t *v,
                    const struct shape *sh)
{
    struct str s;
    int64_t n;
    int b;
    double d = 0;
    float f = 0;
    switch (sh->type) {
    case SHAPE_STRING:
        return avro_text(v, &s) ? json_quote(out, s) : mistyped(t, sh);
    case SHAPE_JSON:
        if (!avro_text(v, &s))
            return mistyped(t, sh);
        if (!json_is_valid(s))
            return err_input(t->e, "invalid-command", "%s: must be JSON text", sh->name);
        return buf_add_str(out, s);
    case SHAPE_BOOLEAN:
        if (avro_value_get_type(v) != AVRO_BOOLEAN || avro_value_get_boolean(v, &b))
            return mistyped(t, sh);
        return buf_add_cstr(out, b ? "true" : "false");
    case SHAPE_LONG:
        return number_of(v, &n) ? buf_printf(out, "%lld", (long long)n) : mistyped(t, sh);
    case SHAPE_DOUBLE:
        if (number_of(v, &n))
            return buf_printf(out, "%lld", (long long)n);
        if (avro_value_get_type(v) == AVRO_FLOAT && avro_value_get_float(v, &f) == 0)
            d = (double)f;
        else if (avro_value_get_type(v) != AVRO_DOUBLE || avro_value_get_double(v, &d))
            return mistyped(t, sh);
        if (d != d || d - d != 0)
            return err_input(t->e, "invalid-command", "%s: not a finite number",
                             sh->name);
        return json_double(out, d);
    case SHAPE_TIME:
        return number_of(v, &n) ? emit_time(out, n, sh->time) : mistyped(t, sh);
    case SHAPE_OBJECT: {
        bool first = true;
        if (avro_value_get_type(v) != AVRO_RECORD)
            return mistyped(t, sh);
        if (buf_add_char(out, '{'))
            return -1;
        for (size_t i = 0; i < sh->n_fields; i++) {
            avro_value_t field;
            if (!avro_field(v, sh->fields[i].name, &field))
                continue;
            if ((!first && buf_add_char(out, ',')) ||
                json_quote(out, str_of(sh->fields[i].name)) || buf_add_char(out, ':') ||
                emit(t, out, &field, &sh->fields[i]))
                return -1;
            first = false;
        }
        return buf_add_char(out, '}');
    }
    case SHAPE_FILE:
    case SHAPE_MAP:
        return mistyped(t, sh);
    }
    return -1;
}

/* Front's times are epoch seconds; at most three decimals, none that are zero. */
static int emit_time(struct buf *out, int64_t ms, enum shape_time time)
{
    if (time == TIME_MILLIS)
        return buf_printf(out, "%lld", (long long)ms);
    int64_t s = ms / 1000, rest = ms % 1000;
    if (time == TIME_SECONDS || rest == 0)
        return buf_printf(out, "%lld", (long long)s);
    if (rest < 0)
        rest = -rest;
    char text[32];
    int n = snprintf(text, sizeof text, "%s%lld.%03d", ms < 0 && s == 0 ? "-" : "",
                     (long long)s, (int)rest);
    while (text[n - 1] == '0')
        text[--n] = 0;
    return buf_add_cstr(out, text);
}

static int mistyped(struct typed *t, const struct shape *sh)
{
    return err_input(t->e, "BadValue",
                     "field %s has another Avro type than its schema says "
                     "for this operation",
                     sh->name);
}

static struct str keep(struct arena *a, struct str s)
{
    return (struct str){arena_strndup(a, s.ptr ? s.ptr : "", s.len), s.len};
}

static struct str text_field(const avro_value_t *v, const char *name, struct arena *a)
{
    avro_value_t field;
    struct str s;
    if (!avro_field(v, name, &field) || !avro_text(&field, &s))
        return STR_NULL;
    return keep(a, s);
}

static void pairs_of(const avro_value_t *v, const char *name, struct arena *a,
                     struct pair **pairs, size_t *n)
{
    avro_value_t map;
    if (!avro_field(v, name, &map) || avro_value_get_type(&map) != AVRO_MAP)
        return;
    avro_value_get_size(&map, n);
    *pairs = arena_zalloc(a, (*n + 1) * sizeof **pairs);
    for (size_t i = 0; i < *n; i++) {
        avro_value_t item;
        const char *key;
        struct str s = STR_LIT("");
        avro_value_get_by_index(&map, i, &item, &key);
        if (avro_unwrap(&item, &item))
            (void)avro_text(&item, &s);
        (*pairs)[i] = (struct pair){keep(a, str_of(key)), keep(a, s), false};
    }
}

static void attachment_of(const avro_value_t *v, struct arena *a, struct attachment *out)
{
    out->filename = text_field(v, "filename", a);
    out->content_type = text_field(v, "content_type", a);
    out->data = text_field(v, "data", a);
    out->url = text_field(v, "url", a);
}

static bool number_of(const avro_value_t *v, int64_t *out)
{
    int32_t i;
    if (avro_value_get_type(v) == AVRO_INT64)
        return avro_value_get_long(v, out) == 0;
    if (avro_value_get_type(v) != AVRO_INT32 || avro_value_get_int(v, &i))
        return false;
    *out = i;
    return true;
}
