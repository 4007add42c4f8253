/* Example commands, made from the shapes of the catalogue. A test checks that each of
 * them passes the same check a real command passes. */
#include "cli/ops_example.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/json_out.h"

#define DEPTH_MAX 8
#define TEXT_MAX (64 * 1024)
#define EXAMPLE_FILE "call.mp3"
#define EPOCH_SECONDS 1767225600 /* 2026-01-01 */

static json_t *example_of(const struct shape *sh, int depth);

/* Front's ids begin with a word for what they name. */
static const struct {
    const char *name, *value;
} known_values[] = {
    {"account_id", "acc_123"},
    {"assignee_id", "tea_123"},
    {"author_id", "tea_123"},
    {"channel_id", "cha_123"},
    {"comment_id", "com_123"},
    {"contact_id", "crd_123"},
    {"conversation_id", "cnv_123"},
    {"inbox_id", "inb_123"},
    {"message_id", "msg_123"},
    {"tag_id", "tag_123"},
    {"teammate_id", "tea_123"},
    {"team_id", "tim_123"},
    {"email", "ada@example.com"},
    {"handle", "ada@example.com"},
    {"to", "ada@example.com"},
    {"body", "Hello"},
    {"name", "Ada"},
};

static const char *text_for(const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < sizeof(known_values) / sizeof(known_values[0]); i++) {
        size_t known = strlen(known_values[i].name);
        bool plural = len == known + 1 && name[known] == 's';

        if (strncmp(name, known_values[i].name, known) == 0 && (len == known || plural))
            return known_values[i].value;
    }
    return "text";
}

/* The fields an object needs; when it needs none its first, so that the example says
 * something. */
static json_t *object_of(const struct shape *fields, size_t n, int depth)
{
    json_t *object = json_object();

    for (size_t i = 0; depth < DEPTH_MAX && i < n; i++) {
        if (fields[i].required && fields[i].type != SHAPE_FILE)
            json_object_set_new(object, fields[i].name,
                                example_of(&fields[i], depth + 1));
    }
    for (size_t i = 0; depth < DEPTH_MAX && json_object_size(object) == 0 && i < n; i++) {
        if (fields[i].type != SHAPE_FILE)
            json_object_set_new(object, fields[i].name,
                                example_of(&fields[i], depth + 1));
    }
    return object;
}

static json_t *one_of(const struct shape *sh, int depth)
{
    switch (sh->type) {
    case SHAPE_STRING:
        return json_string(text_for(sh->name));
    case SHAPE_BOOLEAN:
        return json_true();
    case SHAPE_LONG:
    case SHAPE_DOUBLE:
        return json_integer(1);
    case SHAPE_TIME:
        if (sh->time == TIME_MILLIS)
            return json_integer((json_int_t)EPOCH_SECONDS * 1000);
        return json_integer(EPOCH_SECONDS);
    case SHAPE_JSON:
        if (sh->json_types & JSON_IS_OBJECT)
            return json_object();
        if (sh->json_types & JSON_IS_ARRAY)
            return json_array();
        return json_string(text_for(sh->name));
    case SHAPE_OBJECT:
        return object_of(sh->fields, sh->n_fields, depth);
    case SHAPE_FILE:
        return json_null();
    case SHAPE_MAP:
        return json_object();
    }
    return json_null();
}

static json_t *example_of(const struct shape *sh, int depth)
{
    json_t *array;

    if (!sh->array)
        return one_of(sh, depth);
    array = json_array();
    json_array_append_new(array, one_of(sh, depth));
    return array;
}

static bool is_one_of_first(const struct op *op, const char *name)
{
    size_t len;

    if (!op->one_of)
        return false;
    len = strcspn(op->one_of, "|");
    return strlen(name) == len && strncmp(op->one_of, name, len) == 0;
}

static json_t *params_of(const struct op *op)
{
    json_t *params = json_object();

    for (size_t i = 0; i < op->record->n_fields; i++) {
        const struct shape *sh = &op->record->fields[i];

        if (sh->place == PLACE_PATH || (sh->place == PLACE_QUERY && sh->required))
            json_object_set_new(params, sh->name, example_of(sh, 0));
    }
    return params;
}

/* NULL: the operation takes no body. */
static json_t *body_of(const struct op *op)
{
    const struct shape *first = NULL;
    json_t *body = json_object();

    for (size_t i = 0; i < op->record->n_fields; i++) {
        const struct shape *sh = &op->record->fields[i];

        if (sh->place != PLACE_BODY || sh->type == SHAPE_FILE)
            continue;
        if (!first)
            first = sh;
        if (sh->required || is_one_of_first(op, sh->name))
            json_object_set_new(body, sh->name, example_of(sh, 0));
    }
    if (first && json_object_size(body) == 0)
        json_object_set_new(body, first->name, example_of(first, 0));
    if (json_object_size(body) > 0)
        return body;
    json_decref(body);
    return NULL;
}

json_t *ops_example(const struct op *op)
{
    json_t *command = json_object();
    json_t *params = params_of(op);
    json_t *body = op->has_body ? body_of(op) : NULL;

    json_object_set_new(command, "operation", json_string(op->name));
    if (json_object_size(params) > 0)
        json_object_set(command, "params", params);
    json_decref(params);
    if (body)
        json_object_set_new(command, "body", body);
    if (op->file_required)
        json_object_set_new(command, "attachments",
                            json_pack("[{s:s, s:s, s:s}]", "filename", EXAMPLE_FILE,
                                      "content_type", "audio/mpeg", "data", "UklGRg=="));
    return command;
}

/* --- as a line for a shell --- */

static bool needs_quotes(const char *text)
{
    return !text[0] ||
           strspn(
               text,
               "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.@:/") !=
               strlen(text);
}

static void add_word(struct buf *out, const char *text)
{
    if (!needs_quotes(text)) {
        buf_add_cstr(out, text);
        return;
    }
    buf_add_char(out, '\'');
    for (const char *p = text; *p; p++) {
        if (*p == '\'')
            buf_add_cstr(out, "'\\''");
        else
            buf_add_char(out, *p);
    }
    buf_add_char(out, '\'');
}

static void add_members(struct buf *out, const json_t *object)
{
    json_t *copy = json_deep_copy(object);
    const char *name;
    json_t *value;
    struct buf text;

    buf_init(&text, TEXT_MAX);
    json_object_foreach(copy, name, value)
    {
        buf_printf(out, " %s", name);
        if (json_is_string(value)) {
            buf_add_char(out, '=');
            add_word(out, json_string_value(value));
        } else {
            buf_reset(&text);
            json_out_value(&text, value);
            buf_add_cstr(out, ":=");
            add_word(out, text.data ? text.data : "null");
        }
    }
    buf_fini(&text);
    json_decref(copy);
}

void ops_example_send(const struct op *op, const json_t *example, struct buf *out)
{
    const json_t *params = json_object_get(example, "params");
    const json_t *body = json_object_get(example, "body");

    buf_printf(out, "front-connector send %s", op->name);
    if (params)
        add_members(out, params);
    if (body)
        add_members(out, body);
    if (json_object_get(example, "attachments"))
        buf_add_cstr(out, " --attach '" EXAMPLE_FILE ";type=audio/mpeg'");
}

const char *shape_type_name(const struct shape *sh)
{
    switch (sh->type) {
    case SHAPE_STRING:
        return sh->array ? "string[]" : "string";
    case SHAPE_BOOLEAN:
        return sh->array ? "boolean[]" : "boolean";
    case SHAPE_LONG:
        return sh->array ? "integer[]" : "integer";
    case SHAPE_DOUBLE:
        return sh->array ? "number[]" : "number";
    case SHAPE_TIME:
        return sh->time == TIME_MILLIS ? "time, epoch ms" : "time, epoch seconds";
    case SHAPE_JSON:
        return sh->array ? "JSON[]" : "JSON";
    case SHAPE_OBJECT:
        return sh->array ? "object[]" : "object";
    case SHAPE_FILE:
        return sh->array ? "file[]" : "file";
    case SHAPE_MAP:
        return "map of strings";
    }
    return "";
}
