/* See command.h: commands out as Avro, for `send` and tests. */
#include <stdlib.h>
#include <string.h>

#include "codec/avro.h"
#include "codec/framing.h"
#include "codec/json.h"
#include "codec/records/command.h"

static void set_text(avro_value_t *v, struct str s);
static void put_optional(avro_value_t *record, const char *name, struct str s);
static void put_map(avro_value_t *record, const char *name, const struct pair *p,
                    size_t n);
static int put_typed(avro_value_t *record, const struct shape *sh, const json_t *json,
                     struct err *e);
static int put_json(avro_value_t *v, const struct shape *sh, const json_t *json,
                    struct err *e);
static json_t *typed_input(const struct command *cmd, struct err *e);

int command_encode_avro(struct schemas *ss, const struct command *cmd, struct buf *out,
                        struct err *e)
{
    const struct schema *sc = schemas_xget(ss, "front.Command");
    avro_value_t v = sc->value, field;
    avro_value_reset(&v);
    put_optional(&v, "command_id", cmd->command_id);
    avro_value_get_by_name(&v, "operation", &field, NULL);
    set_text(&field, cmd->operation);
    put_map(&v, "params", cmd->params, cmd->n_params);
    put_optional(&v, "body", cmd->body);
    put_optional(&v, "method", cmd->method);
    put_optional(&v, "path", cmd->path);
    put_map(&v, "query", cmd->query, cmd->n_query);
    put_map(&v, "headers", cmd->headers, cmd->n_headers);
    return avro_encode(ss, sc, out) ? err_input(e, "TooLarge", "the command is too large")
                                    : 0;
}

/* Params and top-level body fields are put into the record's fields of the same names. */
int command_encode_typed(struct schemas *ss, const struct typed_record *rec,
                         const struct command *cmd, struct buf *out, struct err *e)
{
    const struct schema *sc = schemas_xget(ss, rec->full_name);
    avro_value_t v = sc->value;
    json_t *input = typed_input(cmd, e);
    if (input == NULL)
        return -1;
    avro_value_reset(&v);
    int rc = 0;
    for (size_t i = 0; i < rec->n_fields && rc == 0; i++)
        rc = put_typed(&v, &rec->fields[i], json_object_get(input, rec->fields[i].name),
                       e);
    json_decref(input);
    if (rc == 0 && avro_encode(ss, sc, out))
        rc = err_input(e, "TooLarge", "the command is too large");
    return rc;
}

/* One object of all names: command_id, params (q[...] gathered under q), body fields,
 * set_null. */
static json_t *typed_input(const struct command *cmd, struct err *e)
{
    json_t *all = json_object(), *q = json_object(), *nulls = json_array();
    if (cmd->command_id.ptr != NULL)
        json_object_set_new(all, "command_id",
                            json_stringn(cmd->command_id.ptr, cmd->command_id.len));
    for (size_t i = 0; i < cmd->n_params; i++) {
        const struct pair *p = &cmd->params[i];
        char *name = mem_strndup(p->name.ptr, p->name.len);
        json_t *value =
            p->json ? json_loadb(p->value.ptr, p->value.len, JSON_DECODE_ANY, NULL)
                    : json_stringn(p->value.ptr, p->value.len);
        size_t n = strlen(name);
        if (strncmp(name, "q[", 2) == 0 && n > 3 && name[n - 1] == ']') {
            name[n - 1] = 0;
            json_object_set_new(q, name + 2, value);
        } else {
            json_object_set_new(all, name, value);
        }
        mem_free(name);
    }
    if (json_object_size(q) > 0)
        json_object_set(all, "q", q);
    json_t *body = cmd->body.ptr ? json_parse(cmd->body, true, e) : NULL;
    const char *key;
    json_t *value;
    if (body != NULL)
        json_object_foreach(body, key, value)
        {
            if (json_is_null(value))
                json_array_append_new(nulls, json_string(key));
            else
                json_object_set(all, key, value);
        }
    json_object_set(all, "set_null", nulls);
    json_decref(q);
    json_decref(nulls);
    json_decref(body);
    if (e->kind != ERR_NONE) {
        json_decref(all);
        return NULL;
    }
    return all;
}

static int put_typed(avro_value_t *record, const struct shape *sh, const json_t *json,
                     struct err *e)
{
    avro_value_t field, value;
    if (avro_value_get_by_name(record, sh->name, &field, NULL))
        return 0;
    value = field;
    if (avro_value_get_type(&field) == AVRO_UNION) {
        avro_value_set_branch(&field, json != NULL ? 1 : 0, &value);
        if (json == NULL)
            return 0;
    }
    if (json == NULL)
        return sh->place == PLACE_SET_NULL || sh->array
                   ? 0
                   : err_input(e, "invalid-command", "%s is missing", sh->name);
    if (!sh->array)
        return put_json(&value, sh, json, e);
    json_t *list = json_is_string(json)
                       ? json_loads(json_string_value(json), JSON_DECODE_ANY, NULL)
                       : json_incref((json_t *)mem_unconst(json));
    int rc = json_is_array(list)
                 ? 0
                 : err_input(e, "invalid-command", "%s: must be an array", sh->name);
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
        avro_value_t item;
        avro_value_append(&value, &item, NULL);
        rc = put_json(&item, sh, json_array_get(list, i), e);
    }
    json_decref(list);
    return rc;
}

static int put_json(avro_value_t *v, const struct shape *sh, const json_t *json,
                    struct err *e)
{
    const char *text = json_string_value(json);
    char *dump = NULL;
    double scale = sh->time == TIME_MILLIS ? 1 : 1000;
    switch (sh->type) {
    case SHAPE_STRING:
    case SHAPE_JSON:
        if (sh->type == SHAPE_JSON || text == NULL)
            dump = json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT);
        set_text(v, str_of(dump ? dump : text));
        free(dump); /* jansson's */
        return 0;
    case SHAPE_BOOLEAN:
        avro_value_set_boolean(v,
                               json_is_true(json) || (text && strcmp(text, "true") == 0));
        return 0;
    case SHAPE_LONG: {
        int64_t n = json_integer_value(json);
        if (text != NULL && parse_i64(str_of(text), INT64_MIN, INT64_MAX, &n, e))
            return err_prefix(e, "%s", sh->name);
        avro_value_set_long(v, n);
        return 0;
    }
    case SHAPE_DOUBLE:
        avro_value_set_double(v, text ? strtod(text, NULL) : json_number_value(json));
        return 0;
    case SHAPE_TIME:
        avro_value_set_long(
            v, (int64_t)((text ? strtod(text, NULL) : json_number_value(json)) * scale +
                         0.5));
        return 0;
    case SHAPE_OBJECT:
        for (size_t i = 0; i < sh->n_fields; i++)
            if (put_typed(v, &sh->fields[i], json_object_get(json, sh->fields[i].name),
                          e))
                return -1;
        return 0;
    case SHAPE_MAP: {
        const char *key;
        json_t *item;
        json_t *object = mem_unconst(json);
        json_object_foreach(object, key, item)
        {
            avro_value_t entry;
            avro_value_add(v, key, &entry, NULL, NULL);
            dump = json_is_string(item) ? NULL : json_dumps(item, JSON_ENCODE_ANY);
            set_text(&entry, str_of(dump ? dump : json_string_value(item)));
            free(dump); /* jansson's */
        }
        return 0;
    }
    case SHAPE_FILE:
        return err_input(e, "attachment", "%s: attachments are not supported yet",
                         sh->name);
    }
    return -1;
}

static void set_text(avro_value_t *v, struct str s)
{
    char *copy = mem_strndup(s.ptr, s.len); /* the library wants the NUL in the length */
    avro_value_set_string_len(v, copy, s.len + 1);
    mem_free(copy);
}

static void put_optional(avro_value_t *record, const char *name, struct str s)
{
    avro_value_t field, value;
    avro_value_get_by_name(record, name, &field, NULL);
    avro_value_set_branch(&field, s.ptr != NULL ? 1 : 0, &value);
    if (s.ptr != NULL)
        set_text(&value, s);
}

static void put_map(avro_value_t *record, const char *name, const struct pair *p,
                    size_t n)
{
    avro_value_t map, entry;
    avro_value_get_by_name(record, name, &map, NULL);
    for (size_t i = 0; i < n; i++) {
        char *key = mem_strndup(p[i].name.ptr, p[i].name.len);
        avro_value_add(&map, key, &entry, NULL, NULL);
        set_text(&entry, p[i].value);
        mem_free(key);
    }
}
