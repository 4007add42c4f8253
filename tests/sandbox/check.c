/* Bodies: from bytes to one JSON object, and against the catalogue's fields. The words of
 * a 400 follow Front's ("Body did not satisfy requirements", one detail per field). */
#include <string.h>
#include <strings.h>

#include "base/mem.h"

#include "sandbox.h"

static bool bad_json(struct call *c, const char *why)
{
    call_error(c, 400, "Bad request", "Body is not a JSON object: %s", why);
    return false;
}

bool body_parse(struct call *c)
{
    const char *type = server_header(c, "Content-Type");
    struct err e = ERR_INIT;
    json_error_t je;
    if (c->body.len == 0)
        return true;
    if (type != NULL && strncasecmp(type, "multipart/form-data", 19) == 0) {
        c->multipart = true;
        c->json = multipart_parse(c->sb, type, buf_str(&c->body), &e);
        if (c->json == NULL)
            call_error(c, 400, "Bad request", "Form is not readable: %s", e.text);
        return c->json != NULL;
    }
    if (!c->op->body)
        return true;
    c->json = json_loadb(c->body.data, c->body.len, 0, &je);
    if (c->json == NULL)
        return bad_json(c, je.text);
    if (!json_is_object(c->json))
        return bad_json(c, "it is another value");
    return true;
}

static void complain(struct call *c, const char *path, const char *what)
{
    if (c->status != 400)
        call_error(c, 400, "Bad request", "Body did not satisfy requirements");
    call_detail(c, "%s: %s", path, what);
}

static const char *type_word(const json_t *v)
{
    static const char *const words[] = {"object", "array",   "string",  "integer",
                                        "number", "boolean", "boolean", "null"};
    return words[json_typeof(v)];
}

static bool type_fits(const struct field *f, const json_t *v)
{
    size_t n = json_array_size(f->json);
    const char *word = type_word(v);
    for (size_t i = 0; i < n; i++) {
        const char *want = json_string_value(json_array_get(f->json, i));
        if (strcmp(want, word) == 0 ||
            (json_is_integer(v) && strcmp(want, "number") == 0))
            return true;
    }
    return n == 0;
}

/* A form has only texts: turn them into what the field is. NULL: it stays. */
static json_t *from_text(const struct field *f, const json_t *v)
{
    const char *text = json_string_value(v);
    if (text == NULL || f->array)
        return NULL;
    if (f->type == FIELD_BOOLEAN && strcmp(text, "true") == 0)
        return json_true();
    if (f->type == FIELD_BOOLEAN && strcmp(text, "false") == 0)
        return json_false();
    if (f->type == FIELD_LONG || f->type == FIELD_DOUBLE || f->type == FIELD_TIME ||
        f->type == FIELD_JSON) {
        json_t *j = json_loads(text, JSON_DECODE_ANY, NULL);
        if (j != NULL && (f->type == FIELD_JSON || json_is_number(j)))
            return j;
        json_decref(j);
    }
    return NULL;
}

static bool value_listed(const struct field *f, const json_t *v)
{
    size_t n = json_array_size(f->values);
    const char *text = json_string_value(v);
    for (size_t i = 0; text != NULL && i < n; i++)
        if (strcmp(text, json_string_value(json_array_get(f->values, i))) == 0)
            return true;
    return text == NULL || n == 0;
}

static void check_fields(struct call *c, const struct field *fields, size_t n,
                         json_t *obj, const char *path);

static void check_nested(struct call *c, const struct field *f, json_t *v,
                         const char *path)
{
    char below[200];
    if (f->type != FIELD_OBJECT)
        return;
    if (!f->array) {
        check_fields(c, f->fields, f->n_fields, v, path);
        return;
    }
    for (size_t i = 0; i < json_array_size(v); i++) {
        snprintf(below, sizeof below, "%s.%zu", path, i);
        if (json_is_object(json_array_get(v, i)))
            check_fields(c, f->fields, f->n_fields, json_array_get(v, i), below);
        else
            complain(c, below, "should be an object");
    }
}

static void check_value(struct call *c, const struct field *f, json_t *v,
                        const char *path)
{
    if (f->type == FIELD_FILE) {
        if (!c->multipart && !(json_is_array(v) && json_array_size(v) == 0))
            complain(c, path, "should be sent as multipart/form-data");
    } else if (!type_fits(f, v)) {
        char what[80];
        snprintf(what, sizeof what, "should be of type %s, not %s",
                 json_string_value(json_array_get(f->json, 0)), type_word(v));
        complain(c, path, what);
    } else if (!f->array && !value_listed(f, v)) {
        complain(c, path, "should be one of the documented values");
    } else {
        check_nested(c, f, v, path);
    }
}

static void check_fields(struct call *c, const struct field *fields, size_t n,
                         json_t *obj, const char *path)
{
    char below[160];
    for (size_t i = 0; i < n; i++) {
        const struct field *f = &fields[i];
        json_t *v = json_object_get(obj, f->name);
        snprintf(below, sizeof below, "%s.%s", path, f->name);
        json_t *made = c->multipart && v != NULL ? from_text(f, v) : NULL;
        if (made != NULL) {
            (void)json_object_set_new(obj, f->name, made);
            v = made;
        }
        bool may_be_null = strcmp(f->name, "assignee_id") == 0 ||
                           strcmp(f->name, "scheduled_at") == 0; /* null takes it away */
        bool nothing = v == NULL || (json_is_null(v) && !may_be_null);
        if (nothing && f->required)
            complain(c, below, "should be present");
        else if (v != NULL && !json_is_null(v))
            check_value(c, f, v, below);
    }
}

static void check_one_of(struct call *c)
{
    size_t n = json_array_size(c->op->one_of);
    for (size_t i = 0; i < n; i++) {
        const json_t *v =
            call_field(c, json_string_value(json_array_get(c->op->one_of, i)));
        if (v != NULL && !json_is_null(v))
            return;
    }
    if (n > 0)
        complain(c, "body", "should have at least one of to, cc, bcc");
}

bool check_body(struct call *c)
{
    if (!c->op->body)
        return true;
    c->status = 0;
    check_fields(c, c->op->fields, c->op->n_fields, c->json, "body");
    check_one_of(c);
    return c->status != 400;
}
