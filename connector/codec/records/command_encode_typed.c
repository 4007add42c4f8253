/* Commands out as a typed record, for `send --typed` and tests: params and top-level body
 * fields are put where the operation's shapes say, attachments into its file field; a
 * body field that is null goes into set_null.
 *
 * Owns nothing. Invariant: every field of the record is set, every param, body field and
 * attachment was used. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codec/json.h"
#include "codec/records/command_parts.h"

struct encode {
    struct arena a; /* texts that the record borrows until it is written */
    const struct typed_record *type;
    const struct command *cmd;
    json_t *body; /* NULL: none */
    bool files_put;
    struct err *e;
};

static int put_value(struct encode *en, const struct cell *c, const struct shape *sh,
                     const json_t *value);

static int refuse(struct encode *en, const char *name, const char *what)
{
    return err_input(en->e, "invalid-command", "%s: %s", name, what);
}

static int fits(struct encode *en, int rc, const struct shape *sh)
{
    return rc == 0 ? 0 : refuse(en, sh->name, "does not fit the operation's schema");
}

static struct str text_of(const json_t *value)
{
    return (struct str){json_string_value(value), json_string_length(value)};
}

static struct str keep(struct encode *en, struct str s)
{
    return (struct str){arena_strndup(&en->a, s.ptr, s.len), s.len};
}

/* A number, or a param's text that is one. */
static int read_number(struct encode *en, const struct shape *sh, const json_t *value,
                       double *out)
{
    const char *text = json_string_value(value);
    char *end;

    if (text == NULL && !json_is_number(value))
        return refuse(en, sh->name, "must be a number");
    *out = text != NULL ? strtod(text, &end) : json_number_value(value);
    if (text != NULL && (*text == '\0' || *end != '\0'))
        return refuse(en, sh->name, "must be a number");
    return isfinite(*out) ? 0 : refuse(en, sh->name, "must be a finite number");
}

static int put_long(struct encode *en, const struct cell *c, const struct shape *sh,
                    const json_t *value)
{
    int64_t n = json_integer_value(value);

    if (json_is_string(value)) {
        if (parse_i64(text_of(value), INT64_MIN, INT64_MAX, &n, en->e) != 0)
            return refuse(en, sh->name, "must be a whole number");
    } else if (!json_is_integer(value)) {
        return refuse(en, sh->name, "must be a whole number");
    }
    return fits(en, cell_set_long(c, n), sh);
}

static int put_time(struct encode *en, const struct cell *c, const struct shape *sh,
                    const json_t *value)
{
    double ms;

    if (read_number(en, sh, value, &ms) != 0)
        return -1;
    ms = round(sh->time == TIME_MILLIS ? ms : ms * 1000);
    if (fabs(ms) > 9e15) /* whole numbers are exact below it */
        return refuse(en, sh->name, "is no time");
    return fits(en, cell_set_long(c, (int64_t)ms), sh);
}

static int put_double(struct encode *en, const struct cell *c, const struct shape *sh,
                      const json_t *value)
{
    double x;

    if (read_number(en, sh, value, &x) != 0)
        return -1;
    return fits(en, cell_set_double(c, x), sh);
}

static int put_boolean(struct encode *en, const struct cell *c, const struct shape *sh,
                       const json_t *value)
{
    struct str text = text_of(value);

    if (!json_is_boolean(value) && !str_is(text, "true") && !str_is(text, "false"))
        return refuse(en, sh->name, "must be true or false");
    return fits(en, cell_set_boolean(c, json_is_true(value) || str_is(text, "true")), sh);
}

/* The value as JSON text in the arena. */
static struct str dump(struct encode *en, const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    struct str copy = keep(en, str_of(text));

    free(text); /* jansson's own memory */
    return copy;
}

static int put_string(struct encode *en, const struct cell *c, const struct shape *sh,
                      const json_t *value)
{
    if (json_is_object(value) || json_is_array(value))
        return refuse(en, sh->name, "must be a string");
    return fits(en,
                cell_set_string(c, json_is_string(value) ? keep(en, text_of(value))
                                                         : dump(en, value)),
                sh);
}

static const char *shape_name(const void *arg, size_t i)
{
    const struct shape *sh = arg;

    return i < sh->n_fields ? sh->fields[i].name : NULL;
}

static int check_members(struct encode *en, const struct shape *sh, const json_t *value)
{
    json_t *object = mem_unconst(value);
    const char *key;
    json_t *member;
    size_t i;

    json_object_foreach(object, key, member)
    {
        for (i = 0; i < sh->n_fields && strcmp(sh->fields[i].name, key) != 0; i++)
            continue;
        if (i == sh->n_fields) {
            const char *nearest = str_nearest(str_of(key), shape_name, sh);

            return err_input(en->e, "invalid-command", "%s: unknown field %s%s%s",
                             sh->name, key, nearest != NULL ? ", nearest: " : "",
                             nearest != NULL ? nearest : "");
        }
        if (json_is_null(member))
            return refuse(en, key, "a typed record has no null inside an object");
    }
    return 0;
}

static int put_object(struct encode *en, const struct cell *c, const struct shape *sh,
                      const json_t *value)
{
    struct cell rec, field;
    size_t hint = 0, i;

    if (!json_is_object(value))
        return refuse(en, sh->name, "must be an object");
    if (check_members(en, sh, value) != 0 ||
        fits(en, cell_enter(c, AVRO_RECORD, &rec), sh) != 0)
        return -1;
    for (i = 0; i < sh->n_fields; i++) {
        const struct shape *kid = &sh->fields[i];

        if (!cell_place(&rec, kid->name, &hint, &field))
            abort(); /* table and schema are made from the same catalogue */
        if (put_value(en, &field, kid, json_object_get(value, kid->name)) != 0)
            return -1;
    }
    return 0;
}

static int put_one(struct encode *en, const struct cell *c, const struct shape *sh,
                   const json_t *value)
{
    switch (sh->type) {
    case SHAPE_STRING:
        return put_string(en, c, sh, value);
    case SHAPE_JSON:
        return fits(en, cell_set_string(c, dump(en, value)), sh);
    case SHAPE_BOOLEAN:
        return put_boolean(en, c, sh, value);
    case SHAPE_LONG:
        return put_long(en, c, sh, value);
    case SHAPE_DOUBLE:
        return put_double(en, c, sh, value);
    case SHAPE_TIME:
        return put_time(en, c, sh, value);
    case SHAPE_OBJECT:
        return put_object(en, c, sh, value);
    case SHAPE_FILE:
        return err_input(en->e, "attachment", "%s: files go into attachments", sh->name);
    case SHAPE_MAP:
        break;
    }
    abort(); /* q is put from the params */
}

static int put_array(struct encode *en, const struct cell *c, const struct shape *sh,
                     const json_t *value)
{
    struct cell list, item;
    size_t i;

    if (fits(en, cell_enter(c, AVRO_ARRAY, &list), sh) != 0)
        return -1;
    if (!json_is_array(value)) { /* a param given once */
        if (sh->place == PLACE_BODY || sh->place == PLACE_NESTED)
            return refuse(en, sh->name, "must be an array");
        cell_append(&list, &item);
        return put_one(en, &item, sh, value);
    }
    for (i = 0; i < json_array_size(value); i++) {
        cell_append(&list, &item);
        if (put_one(en, &item, sh, json_array_get(value, i)) != 0)
            return -1;
    }
    return 0;
}

static int put_file_text(const struct cell *rec, const char *name, struct str s,
                         bool bytes)
{
    size_t hint = 0;
    struct cell c;

    if (!cell_place(rec, name, &hint, &c))
        return -1;
    if (s.ptr == NULL)
        return cell_set_null(&c);
    return bytes ? cell_set_bytes(&c, s) : cell_set_string(&c, s);
}

static int put_file(struct encode *en, const struct cell *c, const struct shape *sh,
                    const struct attachment *file)
{
    struct cell rec;

    if (cell_enter(c, AVRO_RECORD, &rec) != 0 ||
        put_file_text(&rec, "filename", file->filename, false) != 0 ||
        put_file_text(&rec, "content_type", file->content_type, false) != 0 ||
        put_file_text(&rec, "data", file->data, true) != 0 ||
        put_file_text(&rec, "url", file->url, false) != 0)
        return refuse(en, sh->name, "does not fit the operation's schema");
    return 0;
}

static int put_files(struct encode *en, const struct cell *c, const struct shape *sh)
{
    const struct command *cmd = en->cmd;
    struct cell list, item;
    size_t i;

    en->files_put = true;
    if (!sh->array && cmd->n_attachments > 1)
        return err_input(en->e, "attachment", "%s takes one file, not %zu",
                         en->type->operation, cmd->n_attachments);
    if (!sh->array)
        return put_file(en, c, sh, &cmd->attachments[0]);
    if (fits(en, cell_enter(c, AVRO_ARRAY, &list), sh) != 0)
        return -1;
    for (i = 0; i < cmd->n_attachments; i++) {
        cell_append(&list, &item);
        if (put_file(en, &item, sh, &cmd->attachments[i]) != 0)
            return -1;
    }
    return 0;
}

/* Is the file field this one, or inside it? */
static bool holds_files(const struct shape *sh)
{
    size_t i;

    if (sh->type == SHAPE_FILE)
        return true;
    for (i = 0; sh->type == SHAPE_OBJECT && !sh->array && i < sh->n_fields; i++)
        if (holds_files(&sh->fields[i]))
            return true;
    return false;
}

/* An object that is not given is there all the same when a file goes into it. */
static int put_object_of_files(struct encode *en, const struct cell *c,
                               const struct shape *sh)
{
    json_t *nothing = json_object();
    int rc = put_object(en, c, sh, nothing);

    json_decref(nothing);
    return rc;
}

/* value NULL: the field is not given. */
static int put_value(struct encode *en, const struct cell *c, const struct shape *sh,
                     const json_t *value)
{
    bool nothing = value == NULL || (json_is_array(value) && json_array_size(value) == 0);

    if (nothing && en->cmd->n_attachments > 0 && holds_files(sh))
        return sh->type == SHAPE_FILE ? put_files(en, c, sh)
                                      : put_object_of_files(en, c, sh);
    if (value == NULL)
        return cell_set_null(c) == 0 ? 0 : refuse(en, sh->name, "is missing");
    return sh->array ? put_array(en, c, sh, value) : put_one(en, c, sh, value);
}

/* Is this param of the record's field? Those of q are called q[name]. */
static bool is_param_of(const struct pair *p, const struct shape *sh)
{
    switch (sh->place) {
    case PLACE_PATH:
    case PLACE_QUERY:
    case PLACE_MAX_ITEMS:
    case PLACE_WITH:
        return str_is(p->name, sh->name);
    case PLACE_Q:
        return str_starts(p->name, "q[") && p->name.ptr[p->name.len - 1] == ']';
    case PLACE_COMMAND_ID:
    case PLACE_BODY:
    case PLACE_SET_NULL:
    case PLACE_NESTED:
        break;
    }
    return false;
}

static const char *field_name(const void *arg, size_t i)
{
    const struct typed_record *type = arg;

    return i < type->n_fields ? type->fields[i].name : NULL;
}

static int refuse_unknown(struct encode *en, const char *what, struct str name)
{
    const char *nearest = str_nearest(name, field_name, en->type);

    return err_input(en->e, "invalid-command", "%s has no %s %.*s%s%s",
                     en->type->operation, what, STR_ARG(name),
                     nearest != NULL ? ", nearest: " : "",
                     nearest != NULL ? nearest : "");
}

static int check_names(struct encode *en)
{
    const struct typed_record *type = en->type;
    const char *key;
    json_t *value;
    size_t i, k;

    for (i = 0; i < en->cmd->n_params; i++) {
        for (k = 0; k < type->n_fields; k++)
            if (is_param_of(&en->cmd->params[i], &type->fields[k]))
                break;
        if (k == type->n_fields)
            return refuse_unknown(en, "parameter", en->cmd->params[i].name);
    }
    json_object_foreach(en->body, key, value)
    {
        for (k = 0; k < type->n_fields; k++)
            if (type->fields[k].place == PLACE_BODY &&
                strcmp(type->fields[k].name, key) == 0)
                break;
        if (k == type->n_fields)
            return refuse_unknown(en, "body field", str_of(key));
    }
    return 0;
}

/* A param as a JSON value: its text, or what its text is as JSON. NULL: not given. */
static json_t *param_value(const struct encode *en, const struct shape *sh)
{
    size_t i;

    for (i = 0; i < en->cmd->n_params; i++) {
        const struct pair *p = &en->cmd->params[i];
        json_t *value = NULL;

        if (!is_param_of(p, sh))
            continue;
        if (p->json || (sh->array && p->value.len > 0 && p->value.ptr[0] == '['))
            value = json_loadb(p->value.ptr, p->value.len, JSON_DECODE_ANY, NULL);
        return value != NULL ? value : json_stringn(p->value.ptr, p->value.len);
    }
    return NULL;
}

static int put_param(struct encode *en, const struct cell *c, const struct shape *sh)
{
    json_t *value = param_value(en, sh);
    int rc = put_value(en, c, sh, value);

    json_decref(value);
    return rc;
}

static int put_command_id(struct encode *en, const struct cell *c, const struct shape *sh)
{
    struct str id = en->cmd->command_id;

    return fits(en, id.ptr != NULL ? cell_set_string(c, id) : cell_set_null(c), sh);
}

static int put_q(struct encode *en, const struct cell *c, const struct shape *sh)
{
    struct cell map, value;
    bool any = false;
    size_t i;

    for (i = 0; i < en->cmd->n_params; i++) {
        const struct pair *p = &en->cmd->params[i];
        struct str key;

        if (!is_param_of(p, sh))
            continue;
        if (!any && fits(en, cell_enter(c, AVRO_MAP, &map), sh) != 0)
            return -1;
        any = true;
        key = (struct str){p->name.ptr + 2, p->name.len - 3};
        if (cell_add(&map, key, &value) != 0 || cell_set_string(&value, p->value) != 0)
            return refuse(en, sh->name, "does not fit the operation's schema");
    }
    return any ? 0 : fits(en, cell_set_null(c), sh);
}

/* The param `with` is a comma-separated text. */
static int put_with(struct encode *en, const struct cell *c, const struct shape *sh)
{
    struct cell list, item;
    struct str rest = STR_NULL;
    size_t i;

    for (i = 0; i < en->cmd->n_params; i++)
        if (is_param_of(&en->cmd->params[i], sh))
            rest = en->cmd->params[i].value;
    if (rest.ptr == NULL)
        return fits(en, cell_set_null(c), sh);
    if (fits(en, cell_enter(c, AVRO_ARRAY, &list), sh) != 0)
        return -1;
    while (rest.ptr != NULL) {
        cell_append(&list, &item);
        if (fits(en, cell_set_string(&item, str_trim(str_split(&rest, ','))), sh) != 0)
            return -1;
    }
    return 0;
}

static int put_set_null(struct encode *en, const struct cell *c, const struct shape *sh)
{
    struct cell item;
    const char *key;
    json_t *value;

    json_object_foreach(en->body, key, value)
    {
        if (!json_is_null(value))
            continue;
        cell_append(c, &item);
        if (fits(en, cell_set_string(&item, keep(en, str_of(key))), sh) != 0)
            return -1;
    }
    return 0;
}

static int put_body_field(struct encode *en, const struct cell *c, const struct shape *sh)
{
    const json_t *value = json_object_get(en->body, sh->name);

    return put_value(en, c, sh, json_is_null(value) ? NULL : value);
}

static int put_field(struct encode *en, const struct cell *c, const struct shape *sh)
{
    switch (sh->place) {
    case PLACE_COMMAND_ID:
        return put_command_id(en, c, sh);
    case PLACE_PATH:
    case PLACE_QUERY:
    case PLACE_MAX_ITEMS:
        return put_param(en, c, sh);
    case PLACE_Q:
        return put_q(en, c, sh);
    case PLACE_WITH:
        return put_with(en, c, sh);
    case PLACE_BODY:
        return put_body_field(en, c, sh);
    case PLACE_SET_NULL:
        return put_set_null(en, c, sh);
    case PLACE_NESTED:
        break;
    }
    abort(); /* not at the top */
}

static int put_fields(struct encode *en, const struct cell *rec)
{
    size_t hint = 0, i;
    struct cell c;

    for (i = 0; i < en->type->n_fields; i++) {
        const struct shape *sh = &en->type->fields[i];

        if (!cell_place(rec, sh->name, &hint, &c))
            abort(); /* table and schema are made from the same catalogue */
        if (put_field(en, &c, sh) != 0)
            return -1;
    }
    return 0;
}

static int read_body(struct encode *en)
{
    if (en->cmd->body.ptr == NULL)
        return 0;
    en->body = json_parse(en->cmd->body, true, en->e);
    if (en->body == NULL)
        return err_prefix(en->e, "body");
    return json_is_object(en->body) ? 0 : refuse(en, "body", "must be a JSON object");
}

static int check_files(struct encode *en)
{
    return en->cmd->n_attachments == 0 || en->files_put
               ? 0
               : err_input(en->e, "attachment", "%s takes no files", en->type->operation);
}

int command_encode_typed(struct schemas *ss, const struct typed_record *rec,
                         const struct command *cmd, struct buf *out, struct err *e)
{
    const struct schema *sc = schemas_xget(ss, rec->full_name);
    struct encode en = {.type = rec, .cmd = cmd, .e = e};
    struct cell root;
    int rc = -1;

    arena_init(&en.a, 0);
    avro_begin(sc, &root);
    if (read_body(&en) == 0 && check_names(&en) == 0 && put_fields(&en, &root) == 0 &&
        check_files(&en) == 0) {
        rc = avro_encode(ss, sc, out);
        if (rc != 0)
            (void)err_input(e, "TooLarge", "the command is too large");
    }
    avro_begin(sc, &root); /* lets go of what was borrowed when it was not written */
    json_decref(en.body);
    arena_fini(&en.a);
    return rc;
}
