/* Typed commands in: a record of one operation becomes params, a JSON body and
 * attachments, as the operation's shapes say. The body's fields stand in the order of the
 * shapes, whatever the order of the writer, so that equal commands have equal bodies.
 *
 * Owns nothing. Invariant: what set_null names is in the body once, as null. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "codec/json.h"
#include "codec/records/command_parts.h"

struct nulls {
    struct str *names;
    size_t n;
};

static int print_value(struct decode *d, const struct cell *c, const struct shape *sh,
                       const char *parent, struct buf *body);

static int refuse(struct decode *d, const struct shape *sh, const char *what)
{
    return err_input(d->e, "invalid-command", "%s: %s", sh->name, what);
}

/* Floor division: a moment before 1970 is not rounded towards it. */
static int64_t divide(int64_t n, int64_t by)
{
    return n / by - (n % by < 0 ? 1 : 0);
}

static int print_time(struct buf *out, int64_t ms, enum shape_time unit)
{
    int64_t s = divide(ms, 1000);
    int rest = (int)(ms - s * 1000);

    if (unit == TIME_MILLIS)
        return buf_printf(out, "%" PRId64, ms);
    if (unit == TIME_SECONDS || rest == 0)
        return buf_printf(out, "%" PRId64, s);
    if (s < 0) { /* -0.5 is -1 and 500 ms by the division above */
        s++;
        rest = 1000 - rest;
        if (s == 0)
            (void)buf_add_char(out, '-');
    }
    if (rest % 100 == 0)
        return buf_printf(out, "%" PRId64 ".%d", s, rest / 100);
    if (rest % 10 == 0)
        return buf_printf(out, "%" PRId64 ".%02d", s, rest / 10);
    return buf_printf(out, "%" PRId64 ".%03d", s, rest);
}

static int print_string(struct decode *d, const struct cell *c, const struct shape *sh,
                        struct buf *out)
{
    struct str text;

    if (cell_peek(c, &text) != 0)
        return decode_mistyped(d, sh->name, "a string");
    return json_quote(out, text);
}

static int print_json(struct decode *d, const struct cell *c, const struct shape *sh,
                      struct buf *out)
{
    struct str text;

    if (cell_peek(c, &text) != 0)
        return decode_mistyped(d, sh->name, "a string");
    if (!json_is_valid(text))
        return refuse(d, sh, "must be JSON text");
    return buf_add_str(out, text);
}

static int print_double(struct decode *d, const struct cell *c, const struct shape *sh,
                        struct buf *out)
{
    int64_t n;
    double x;

    if (cell_long(c, &n) == 0)
        return buf_printf(out, "%" PRId64, n);
    if (cell_double(c, &x) != 0)
        return decode_mistyped(d, sh->name, "a number");
    if (!isfinite(x))
        return refuse(d, sh, "must be a finite number");
    return json_double(out, x);
}

static int print_object(struct decode *d, const struct cell *c, const struct shape *sh,
                        struct buf *out)
{
    bool first = true;
    size_t hint = 0, i;

    if (c->node->type != AVRO_RECORD)
        return decode_mistyped(d, sh->name, "a record");
    (void)buf_add_char(out, '{');
    for (i = 0; i < sh->n_fields; i++) {
        const struct shape *field = &sh->fields[i];
        struct cell kid;

        if (!cell_field(c, field->name, &hint, &kid))
            continue;
        if (field->type != SHAPE_FILE) {
            (void)buf_add_cstr(out, first ? "" : ",");
            (void)json_quote(out, str_of(field->name));
            (void)buf_add_char(out, ':');
            first = false;
        }
        if (print_value(d, &kid, field, sh->name, out) != 0)
            return -1;
    }
    return buf_add_char(out, '}');
}

static int print_one(struct decode *d, const struct cell *c, const struct shape *sh,
                     struct buf *out)
{
    int64_t n;
    bool b;

    switch (sh->type) {
    case SHAPE_STRING:
        return print_string(d, c, sh, out);
    case SHAPE_BOOLEAN:
        if (cell_boolean(c, &b) != 0)
            return decode_mistyped(d, sh->name, "a boolean");
        return buf_add_cstr(out, b ? "true" : "false");
    case SHAPE_LONG:
        if (cell_long(c, &n) != 0)
            return decode_mistyped(d, sh->name, "an int or long");
        return buf_printf(out, "%" PRId64, n);
    case SHAPE_DOUBLE:
        return print_double(d, c, sh, out);
    case SHAPE_TIME:
        if (cell_long(c, &n) != 0)
            return decode_mistyped(d, sh->name, "a timestamp");
        return print_time(out, c->node->micros ? divide(n, 1000) : n, sh->time);
    case SHAPE_JSON:
        return print_json(d, c, sh, out);
    case SHAPE_OBJECT:
        return print_object(d, c, sh, out);
    case SHAPE_FILE:
    case SHAPE_MAP:
        break;
    }
    abort(); /* files and maps are dealt with where they may stand */
}

static int print_array(struct decode *d, const struct cell *c, const struct shape *sh,
                       struct buf *out)
{
    struct cell item;
    size_t n, i;

    if (c->node->type != AVRO_ARRAY)
        return decode_mistyped(d, sh->name, "an array");
    n = cell_size(c);
    (void)buf_add_char(out, '[');
    for (i = 0; i < n; i++) {
        if (!cell_at(c, i, &item, NULL))
            return refuse(d, sh, "an element is null");
        (void)buf_add_cstr(out, i > 0 ? "," : "");
        if (print_one(d, &item, sh, out) != 0)
            return -1;
    }
    return buf_add_char(out, ']');
}

static int add_file(struct decode *d, const struct cell *c, const char *field)
{
    struct command *out = d->out;
    struct attachment *more =
        arena_zalloc(d->a, (out->n_attachments + 1) * sizeof(*out->attachments));

    if (out->n_attachments > 0)
        memcpy(more, out->attachments, out->n_attachments * sizeof(*more));
    out->attachments = more;
    if (decode_attachment(d, c, field, &more[out->n_attachments]) != 0)
        return -1;
    out->n_attachments++;
    return 0;
}

/* Files go beside the body, under the name that the form field will have. */
static int read_files(struct decode *d, const struct cell *c, const struct shape *sh,
                      const char *parent)
{
    const char *field =
        parent == NULL ? sh->name : arena_printf(d->a, "%s[%s]", parent, sh->name);
    struct cell item;
    size_t i;

    if (!sh->array)
        return add_file(d, c, field);
    if (c->node->type != AVRO_ARRAY)
        return decode_mistyped(d, sh->name, "an array");
    for (i = 0; i < cell_size(c); i++)
        if (cell_at(c, i, &item, NULL) && add_file(d, &item, field) != 0)
            return -1;
    return 0;
}

/* `parent`: the object around it, NULL at the top. */
static int print_value(struct decode *d, const struct cell *c, const struct shape *sh,
                       const char *parent, struct buf *body)
{
    if (sh->type == SHAPE_FILE)
        return read_files(d, c, sh, parent);
    return sh->array ? print_array(d, c, sh, body) : print_one(d, c, sh, body);
}

static struct pair *add_param(struct decode *d, struct str name)
{
    struct pair *p = &d->out->params[d->out->n_params++];

    p->name = name;
    return p;
}

static int read_param(struct decode *d, const struct cell *c, const struct shape *sh)
{
    struct pair *p = add_param(d, str_of(sh->name));
    struct buf *text;

    if (!sh->array && sh->type == SHAPE_STRING)
        return cell_string(c, d->a, &p->value) == 0
                   ? 0
                   : decode_mistyped(d, sh->name, "a string");
    text = schemas_scratch(d->ss);
    if (print_value(d, c, sh, NULL, text) != 0)
        return -1;
    p->json = true;
    p->value = (struct str){arena_strndup(d->a, text->data, text->len), text->len};
    return 0;
}

static int read_q(struct decode *d, const struct cell *c, const struct shape *sh)
{
    size_t n = cell_size(c), i;
    struct cell value;
    const char *key;

    for (i = 0; i < n; i++) {
        if (!cell_at(c, i, &value, &key))
            continue;
        if (cell_string(&value, d->a,
                        &add_param(d, str_of(arena_printf(d->a, "q[%s]", key)))->value) !=
            0)
            return decode_mistyped(d, sh->name, "a map of strings");
    }
    return 0;
}

static int read_with(struct decode *d, const struct cell *c, const struct shape *sh)
{
    struct buf *joined = schemas_scratch(d->ss);
    struct cell item;
    struct str name;
    size_t i;

    if (c->node->type != AVRO_ARRAY)
        return decode_mistyped(d, sh->name, "an array of strings");
    for (i = 0; i < cell_size(c); i++) {
        if (!cell_at(c, i, &item, NULL) || cell_peek(&item, &name) != 0)
            return decode_mistyped(d, sh->name, "an array of strings");
        (void)buf_add_cstr(joined, i > 0 ? "," : "");
        (void)buf_add_str(joined, name);
    }
    if (joined->len > 0)
        add_param(d, STR_LIT("with"))->value =
            (struct str){arena_strndup(d->a, joined->data, joined->len), joined->len};
    return 0;
}

/* A field that does not go into the body. */
static int read_outside(struct decode *d, const struct cell *c, const struct shape *sh)
{
    switch (sh->place) {
    case PLACE_COMMAND_ID:
        return cell_string(c, d->a, &d->out->command_id) == 0
                   ? 0
                   : decode_mistyped(d, sh->name, "a string");
    case PLACE_PATH:
    case PLACE_QUERY:
    case PLACE_MAX_ITEMS:
        return read_param(d, c, sh);
    case PLACE_Q:
        if (c->node->type != AVRO_MAP)
            return decode_mistyped(d, sh->name, "a map of strings");
        return read_q(d, c, sh);
    case PLACE_WITH:
        return read_with(d, c, sh);
    case PLACE_BODY:
    case PLACE_SET_NULL:
    case PLACE_NESTED:
        break;
    }
    return 0;
}

/* Room for all the params that the record can give. */
static void reserve_params(struct decode *d, const struct cell *rec,
                           const struct typed_record *type)
{
    size_t n = type->n_fields, hint = 0;
    struct cell q;

    if (cell_field(rec, "q", &hint, &q) && q.node->type == AVRO_MAP)
        n += cell_size(&q);
    d->out->params = arena_zalloc(d->a, n * sizeof(*d->out->params));
}

static const struct shape *body_field(const struct typed_record *type, struct str name)
{
    size_t i;

    for (i = 0; i < type->n_fields; i++)
        if (type->fields[i].place == PLACE_BODY && str_is(name, type->fields[i].name))
            return &type->fields[i];
    return NULL;
}

static int read_nulls(struct decode *d, const struct cell *rec,
                      const struct typed_record *type, struct nulls *out)
{
    struct cell list, item;
    size_t hint = type->n_fields - 1, n, i; /* the last field of our records */

    if (!cell_field(rec, "set_null", &hint, &list))
        return 0;
    if (list.node->type != AVRO_ARRAY)
        return decode_mistyped(d, "set_null", "an array of strings");
    n = cell_size(&list);
    if (n == 0)
        return 0;
    out->names = arena_zalloc(d->a, n * sizeof(*out->names));
    for (i = 0; i < n; i++) {
        struct str *name = &out->names[out->n++];

        if (!cell_at(&list, i, &item, NULL) || cell_peek(&item, name) != 0)
            return decode_mistyped(d, "set_null", "an array of strings");
        if (body_field(type, *name) == NULL)
            return err_input(d->e, "invalid-command",
                             "set_null: %s has no body field \"%.*s\"", type->operation,
                             STR_ARG(*name));
    }
    return 0;
}

static bool is_nulled(const struct nulls *nulls, const char *name)
{
    size_t i;

    for (i = 0; i < nulls->n; i++)
        if (str_is(nulls->names[i], name))
            return true;
    return false;
}

/* One field of the body: its value, null, or nothing. */
static int print_field(struct decode *d, const struct cell *rec, const struct shape *sh,
                       const struct nulls *nulls, size_t *hint, struct buf *body)
{
    bool nulled = is_nulled(nulls, sh->name);
    struct cell c;
    bool given = cell_field(rec, sh->name, hint, &c);

    if (given && nulled)
        return refuse(d, sh, "is given and named by set_null");
    if (given && sh->type == SHAPE_FILE)
        return read_files(d, &c, sh, NULL);
    if (!given && !nulled)
        return 0;
    (void)buf_add_char(body, body->len == 0 ? '{' : ',');
    (void)json_quote(body, str_of(sh->name));
    (void)buf_add_char(body, ':');
    return given ? print_value(d, &c, sh, NULL, body) : buf_add_cstr(body, "null");
}

static int print_body(struct decode *d, const struct cell *rec,
                      const struct typed_record *type, const struct nulls *nulls)
{
    struct buf *body = schemas_scratch(d->ss);
    size_t hint = 0, i;

    for (i = 0; i < type->n_fields; i++)
        if (type->fields[i].place == PLACE_BODY &&
            print_field(d, rec, &type->fields[i], nulls, &hint, body) != 0)
            return -1;
    if (body->len == 0)
        return 0;
    if (buf_add_char(body, '}') != 0)
        return -1;
    d->out->body = (struct str){arena_strndup(d->a, body->data, body->len), body->len};
    return 0;
}

static int read_all(struct decode *d, const struct cell *rec,
                    const struct typed_record *type)
{
    struct nulls nulls = {0};
    size_t hint = 0, i;
    struct cell c;

    reserve_params(d, rec, type);
    for (i = 0; i < type->n_fields; i++)
        if (type->fields[i].place != PLACE_BODY &&
            cell_field(rec, type->fields[i].name, &hint, &c) &&
            read_outside(d, &c, &type->fields[i]) != 0)
            return -1;
    if (read_nulls(d, rec, type, &nulls) != 0)
        return -1;
    return print_body(d, rec, type, &nulls);
}

int decode_typed(struct decode *d, const struct cell *rec,
                 const struct typed_record *type)
{
    d->out->typed = true;
    d->out->operation = str_of(type->operation);
    err_clear(d->e);
    if (read_all(d, rec, type) == 0)
        return 0;
    if (d->e->kind == ERR_NONE) /* no check failed: the text did not fit */
        return err_input(d->e, "TooLarge", "the command as JSON is too large");
    return -1;
}
