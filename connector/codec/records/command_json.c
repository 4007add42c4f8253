/* See command.h: JSON commands in (contracts §3), and JSON out for `send`. */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "codec/json.h"
#include "codec/records/command.h"

struct json_in {
    struct arena *a;
    struct command *out;
    struct err *e;
};

struct member {
    const char *name;
    int (*read)(struct json_in *in, const struct member *m, const json_t *value);
    size_t at;   /* offset of a struct str, or of a struct pair * */
    size_t at_n; /* offset of its count */
};

static int read_text(struct json_in *in, const struct member *m, const json_t *value);
static int read_pairs(struct json_in *in, const struct member *m, const json_t *value);
static int read_body(struct json_in *in, const struct member *m, const json_t *value);
static int read_attachments(struct json_in *in, const struct member *m,
                            const json_t *value);
static int wrong(struct json_in *in, const char *name, const char *what);
static struct str keep(struct arena *a, const json_t *text);

#define TEXT(field)                                                                      \
    {                                                                                    \
#field, read_text, offsetof(struct command, field), 0                            \
    }
#define PAIRS(field)                                                                     \
    {                                                                                    \
#field, read_pairs, offsetof(struct command, field),                             \
            offsetof(struct command, n_##field)                                          \
    }

static const struct member rows[] = {
    TEXT(command_id),
    TEXT(operation),
    TEXT(method),
    TEXT(path),
    PAIRS(params),
    PAIRS(query),
    PAIRS(headers),
    {"body", read_body, 0, 0},
    {"attachments", read_attachments, 0, 0},
};
#define N_ROWS (sizeof rows / sizeof rows[0])

static const char *row_name(const void *arg, size_t i)
{
    (void)arg;
    return i < N_ROWS ? rows[i].name : NULL;
}

int command_decode_json(struct str value, struct arena *a, struct command *out,
                        struct err *e)
{
    struct json_in in = {a, out, e};
    memset(out, 0, sizeof *out);
    if (value.len > 0 && ((unsigned char)value.ptr[0] == 0xc3 || value.ptr[0] == 0))
        return err_input(
            e, "WrongFormat",
            "the record is Avro, but commands.format is json: set it to avro");
    if (!utf8_valid(value))
        return err_input(e, "BadUtf8", "the record is not UTF-8");
    json_t *json = json_parse(value, true, e);
    if (json == NULL)
        return -1;
    int rc = 0;
    if (!json_is_object(json))
        rc = err_input(e, "BadJson", "a command must be a JSON object");
    const char *key;
    json_t *member;
    json_object_foreach(json, key, member)
    {
        size_t i = 0;
        while (i < N_ROWS && strcmp(rows[i].name, key) != 0)
            i++;
        if (rc)
            break;
        if (i == N_ROWS) {
            const char *near = str_nearest(str_of(key), row_name, NULL);
            rc = err_input(e, "invalid-command", "unknown field %s%s%s", key,
                           near ? ", nearest: " : "", near ? near : "");
        } else if (!json_is_null(member)) {
            rc = rows[i].read(&in, &rows[i], member);
        }
    }
    json_decref(json);
    if (rc == 0 && out->operation.ptr == NULL)
        rc = err_input(e, "invalid-command", "the field operation is missing");
    return rc;
}

static int read_text(struct json_in *in, const struct member *m, const json_t *value)
{
    if (!json_is_string(value))
        return wrong(in, m->name, "must be text");
    *(struct str *)(void *)((char *)in->out + m->at) = keep(in->a, value);
    return 0;
}

/* Text stays; numbers, booleans and arrays become their JSON text. */
static int read_pairs(struct json_in *in, const struct member *m, const json_t *value)
{
    size_t n = 0;
    const char *key;
    json_t *item;
    if (!json_is_object(value))
        return wrong(in, m->name, "must be an object");
    struct pair *pairs =
        arena_zalloc(in->a, (json_object_size(value) + 1) * sizeof *pairs);
    json_t *object = mem_unconst(value);
    json_object_foreach(object, key, item)
    {
        struct pair *p = &pairs[n];
        if (json_is_null(item))
            continue;
        if (json_is_object(item))
            return wrong(in, m->name, "values must be text, numbers, booleans or arrays");
        p->name = str_of(arena_printf(in->a, "%s", key));
        p->json = !json_is_string(item);
        if (p->json) {
            char *text = json_dumps(item, JSON_ENCODE_ANY | JSON_COMPACT);
            p->value = str_of(arena_printf(in->a, "%s", text));
            free(text); /* jansson's */
        } else {
            p->value = keep(in->a, item);
        }
        n++;
    }
    *(struct pair **)(void *)((char *)in->out + m->at) = pairs;
    *(size_t *)(void *)((char *)in->out + m->at_n) = n;
    return 0;
}

static int read_body(struct json_in *in, const struct member *m, const json_t *value)
{
    if (json_is_string(value)) {
        in->out->body = keep(in->a, value);
        return 0;
    }
    if (!json_is_object(value))
        return wrong(in, m->name, "must be an object, or a string that is JSON text");
    char *text = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(17));
    in->out->body = str_of(arena_printf(in->a, "%s", text));
    free(text); /* jansson's */
    return 0;
}

static int read_attachments(struct json_in *in, const struct member *m,
                            const json_t *value)
{
    if (!json_is_array(value))
        return wrong(in, m->name, "must be an array");
    size_t n = json_array_size(value);
    struct attachment *list = arena_zalloc(in->a, (n + 1) * sizeof *list);
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(value, i);
        list[i].filename = keep(in->a, json_object_get(item, "filename"));
        list[i].content_type = keep(in->a, json_object_get(item, "content_type"));
        list[i].url = keep(in->a, json_object_get(item, "url"));
        struct str data = keep(in->a, json_object_get(item, "data"));
        if (data.ptr == NULL)
            continue;
        char *bytes = arena_alloc(in->a, data.len + 3);
        int len = EVP_DecodeBlock((unsigned char *)bytes, (const unsigned char *)data.ptr,
                                  (int)data.len);
        if (len < 0)
            return wrong(in, "attachments.data", "must be base64");
        while (data.len > 0 && data.ptr[--data.len] == '=')
            len--;
        list[i].data = (struct str){bytes, (size_t)len};
    }
    in->out->attachments = list;
    in->out->n_attachments = n;
    return 0;
}

static int wrong(struct json_in *in, const char *name, const char *what)
{
    return err_input(in->e, "invalid-command", "%s: %s", name, what);
}

static struct str keep(struct arena *a, const json_t *text)
{
    if (!json_is_string(text))
        return STR_NULL;
    size_t n = json_string_length(text);
    return (struct str){arena_strndup(a, json_string_value(text), n), n};
}

static int put_pairs(struct buf *out, const char *name, const struct pair *pairs,
                     size_t n)
{
    if (n == 0)
        return 0;
    int rc = buf_printf(out, ",\"%s\":{", name);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            rc |= buf_add_char(out, ',');
        rc |= json_quote(out, pairs[i].name) | buf_add_char(out, ':');
        rc |= pairs[i].json ? buf_add_str(out, pairs[i].value)
                            : json_quote(out, pairs[i].value);
    }
    return rc | buf_add_char(out, '}');
}

static int put_text(struct buf *out, const char *name, struct str s)
{
    return s.ptr == NULL ? 0 : buf_printf(out, ",\"%s\":", name) | json_quote(out, s);
}

int command_encode_json(const struct command *cmd, struct buf *out, struct err *e)
{
    int rc = buf_add_cstr(out, "{\"operation\":") | json_quote(out, cmd->operation);
    rc |= put_text(out, "command_id", cmd->command_id);
    rc |= put_pairs(out, "params", cmd->params, cmd->n_params);
    if (cmd->body.ptr != NULL)
        rc |= buf_add_cstr(out, ",\"body\":") | buf_add_str(out, cmd->body);
    rc |= put_text(out, "method", cmd->method) | put_text(out, "path", cmd->path);
    rc |= put_pairs(out, "query", cmd->query, cmd->n_query);
    rc |= put_pairs(out, "headers", cmd->headers, cmd->n_headers);
    rc |= buf_add_char(out, '}');
    return rc ? err_input(e, "TooLarge", "the command is too large") : 0;
}
