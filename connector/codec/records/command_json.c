/* JSON commands (contracts §3), in and out. jansson says whether the text is JSON without
 * repeated keys; the values are then cut out of the text as they stand, so that a body
 * goes to Front byte for byte.
 *
 * Owns nothing. Invariant: command_id and operation are read before anything else is
 * judged, so that a refusal can be answered under the command's own id. */
#include <string.h>

#include "codec/base64.h"
#include "codec/json.h"
#include "codec/records/command_parts.h"

struct member {
    const char *name;
    int (*read)(struct decode *d, const struct member *m, struct str value);
    size_t at;   /* offset in struct command of a struct str, or of a struct pair * */
    size_t at_n; /* offset of its count */
    bool typed;  /* values of the map may be numbers, booleans and arrays */
    bool first;  /* identifies the command */
};

static int read_text(struct decode *d, const struct member *m, struct str value);
static int read_pairs(struct decode *d, const struct member *m, struct str value);
static int read_body(struct decode *d, const struct member *m, struct str value);
static int read_files(struct decode *d, const struct member *m, struct str value);

#define AT(field) .name = #field, .at = offsetof(struct command, field)
#define COUNT(field) .at_n = offsetof(struct command, field)

static const struct member members[] = {
    {AT(command_id), .read = read_text, .first = true},
    {AT(operation), .read = read_text, .first = true},
    {AT(params), COUNT(n_params), .read = read_pairs, .typed = true},
    {AT(body), .read = read_body},
    {AT(attachments), .read = read_files},
    {AT(method), .read = read_text},
    {AT(path), .read = read_text},
    {AT(query), COUNT(n_query), .read = read_pairs, .typed = true},
    {AT(headers), COUNT(n_headers), .read = read_pairs},
};
enum { MEMBERS = sizeof(members) / sizeof(members[0]) };

static const char *const file_members[] = {"filename", "content_type", "data", "url",
                                           NULL};

static const char *member_name(const void *arg, size_t i)
{
    (void)arg;
    return i < MEMBERS ? members[i].name : NULL;
}

static const char *file_member_name(const void *arg, size_t i)
{
    (void)arg;
    return file_members[i];
}

static int refuse(struct decode *d, const char *name, const char *what)
{
    return err_input(d->e, "invalid-command", "%s: %s", name, what);
}

static int refuse_unknown(struct decode *d, const char *where, struct str key,
                          const char *(*name)(const void *arg, size_t i))
{
    const char *nearest = str_nearest(key, name, NULL);

    return err_input(d->e, "invalid-command", "unknown field %s%.*s%s%s", where,
                     STR_ARG(key), nearest != NULL ? ", nearest: " : "",
                     nearest != NULL ? nearest : "");
}

static bool is_string(struct str value)
{
    return value.ptr[0] == '"';
}

/* The content of a string: the bytes as they stand when nothing in them is escaped. */
static struct str content(struct decode *d, struct str literal)
{
    struct str text = {literal.ptr + 1, literal.len - 2};

    if (text.len > 0 && memchr(text.ptr, '\\', text.len) != NULL)
        (void)json_unquote_arena(literal, d->a, &text);
    return text;
}

/* A key as json_next_member gives it, without its quotes. */
static struct str key_content(struct decode *d, struct str key)
{
    return content(d, (struct str){key.ptr - 1, key.len + 2});
}

static void *slot(struct decode *d, size_t at)
{
    return (char *)d->out + at;
}

static int read_text(struct decode *d, const struct member *m, struct str value)
{
    if (!is_string(value))
        return refuse(d, m->name, "must be a string");
    *(struct str *)slot(d, m->at) = content(d, value);
    return 0;
}

static size_t count_members(struct str object)
{
    size_t n = 0, pos = 0;
    struct str key, value;

    while (json_next_member(object, &pos, &key, &value))
        n++;
    return n;
}

static int read_pair(struct decode *d, const struct member *m, struct str value,
                     struct pair *out)
{
    if (is_string(value)) {
        out->value = content(d, value);
        return 0;
    }
    if (!m->typed)
        return refuse(d, m->name, "values must be strings");
    if (value.ptr[0] == '{')
        return refuse(d, m->name, "values must be strings, numbers, booleans or arrays");
    out->value = value;
    out->json = true;
    return 0;
}

/* A null is the same as no such pair. */
static int read_pairs(struct decode *d, const struct member *m, struct str value)
{
    struct pair *pairs;
    size_t n = 0, pos = 0;
    struct str key, item;

    if (value.ptr[0] != '{')
        return refuse(d, m->name, "must be an object");
    pairs = arena_zalloc(d->a, (count_members(value) + 1) * sizeof(*pairs));
    while (json_next_member(value, &pos, &key, &item)) {
        if (json_text_is_null(item))
            continue;
        pairs[n].name = key_content(d, key);
        if (read_pair(d, m, item, &pairs[n]) != 0)
            return -1;
        n++;
    }
    *(struct pair **)slot(d, m->at) = pairs;
    *(size_t *)slot(d, m->at_n) = n;
    return 0;
}

static int read_body(struct decode *d, const struct member *m, struct str value)
{
    if (!is_string(value) && value.ptr[0] != '{')
        return refuse(d, m->name, "must be an object, or a string that is JSON text");
    d->out->body = is_string(value) ? content(d, value) : value;
    return 0;
}

/* The field of a file that a member of its object fills. */
static struct str *file_slot(struct attachment *file, struct str key)
{
    if (str_is(key, "filename"))
        return &file->filename;
    if (str_is(key, "content_type"))
        return &file->content_type;
    if (str_is(key, "data"))
        return &file->data;
    return str_is(key, "url") ? &file->url : NULL;
}

static int read_file(struct decode *d, struct str object, struct attachment *out)
{
    struct str key, value;
    size_t pos = 0;

    if (object.ptr[0] != '{')
        return refuse(d, "attachments", "must be an array of objects");
    while (json_next_member(object, &pos, &key, &value)) {
        struct str *to = file_slot(out, key);

        if (to == NULL)
            return refuse_unknown(d, "attachments.", key, file_member_name);
        if (json_text_is_null(value))
            continue;
        if (!is_string(value))
            return refuse(d, "attachments", "fields must be strings");
        *to = content(d, value);
    }
    if (out->data.ptr != NULL && base64_decode(out->data, d->a, &out->data) != 0)
        return refuse(d, "attachments.data", "must be base64");
    return attachment_check(out, d->e);
}

static int read_files(struct decode *d, const struct member *m, struct str value)
{
    struct command *out = d->out;
    struct str item;
    size_t n = 0, pos = 0;

    if (value.ptr[0] != '[')
        return refuse(d, m->name, "must be an array");
    while (json_next(value, &pos, &item))
        n++;
    if (n == 0)
        return 0;
    out->attachments = arena_zalloc(d->a, n * sizeof(*out->attachments));
    pos = 0;
    while (json_next(value, &pos, &item)) {
        if (read_file(d, item, &out->attachments[out->n_attachments]) != 0)
            return -1;
        out->n_attachments++;
    }
    return 0;
}

static const struct member *find(struct str key)
{
    size_t i;

    for (i = 0; i < MEMBERS; i++)
        if (str_is(key, members[i].name))
            return &members[i];
    return NULL;
}

/* Reads the members that identify the command, or all others. */
static int read_members(struct decode *d, struct str object, bool first)
{
    struct str key, value;
    size_t pos = 0;

    while (json_next_member(object, &pos, &key, &value)) {
        struct str name = key_content(d, key);
        const struct member *m = find(name);

        if (m == NULL && !first)
            return refuse_unknown(d, "", name, member_name);
        if (m == NULL || m->first != first || json_text_is_null(value))
            continue;
        if (m->read(d, m, value) != 0)
            return -1;
    }
    return 0;
}

/* One JSON object without repeated keys, at any depth. */
static int check_text(struct str value, struct err *e)
{
    json_t *tree;

    if (value.len == 0)
        return err_input(e, "Empty", "the record has no value");
    if (value.ptr[0] == '\0' || (unsigned char)value.ptr[0] == 0xc3)
        return err_input(
            e, "WrongFormat",
            "the value is Avro, not JSON: set commands.format=avro, or send JSON");
    tree = json_parse(value, true, e);
    if (tree == NULL)
        return -1;
    json_decref(tree);
    if (str_trim(value).ptr[0] != '{')
        return err_input(e, "BadJson", "a command is a JSON object");
    return 0;
}

int command_decode_json(struct str value, struct arena *a, struct command *out,
                        struct err *e)
{
    struct decode d = {.a = a, .out = out, .e = e};

    *out = (struct command){0};
    if (check_text(value, e) != 0 || read_members(&d, value, true) != 0 ||
        read_members(&d, value, false) != 0)
        return -1;
    if (out->operation.ptr == NULL)
        return refuse(&d, "operation", "is missing");
    return 0;
}

static void put_name(struct buf *out, const char *name)
{
    (void)buf_printf(out, "%s\"%s\":", out->data[out->len - 1] == '{' ? "" : ",", name);
}

static void put_text(struct buf *out, const char *name, struct str text)
{
    if (text.ptr == NULL)
        return;
    put_name(out, name);
    (void)json_quote(out, text);
}

static void put_pairs(struct buf *out, const char *name, const struct pair *pairs,
                      size_t n)
{
    size_t i;

    if (n == 0)
        return;
    put_name(out, name);
    for (i = 0; i < n; i++) {
        (void)buf_add_char(out, i == 0 ? '{' : ',');
        (void)json_quote(out, pairs[i].name);
        (void)buf_add_char(out, ':');
        (void)(pairs[i].json ? buf_add_str(out, pairs[i].value)
                             : json_quote(out, pairs[i].value));
    }
    (void)buf_add_char(out, '}');
}

static void put_file(struct buf *out, const struct attachment *file)
{
    (void)buf_add_char(out, '{');
    put_text(out, "filename", file->filename);
    put_text(out, "content_type", file->content_type);
    if (file->data.ptr != NULL) {
        put_name(out, "data");
        (void)buf_add_char(out, '"');
        (void)base64_encode(file->data, out);
        (void)buf_add_char(out, '"');
    }
    put_text(out, "url", file->url);
    (void)buf_add_char(out, '}');
}

static void put_files(struct buf *out, const struct command *cmd)
{
    size_t i;

    if (cmd->n_attachments == 0)
        return;
    put_name(out, "attachments");
    for (i = 0; i < cmd->n_attachments; i++) {
        (void)buf_add_char(out, i == 0 ? '[' : ',');
        put_file(out, &cmd->attachments[i]);
    }
    (void)buf_add_char(out, ']');
}

/* A body that is no JSON goes out as a string: `send` passes on what it was given. */
static void put_body(struct buf *out, struct str body)
{
    if (body.ptr == NULL)
        return;
    put_name(out, "body");
    (void)(json_is_valid(body) ? buf_add_str(out, body) : json_quote(out, body));
}

int command_encode_json(const struct command *cmd, struct buf *out, struct err *e)
{
    if (buf_add_char(out, '{') == 0) {
        put_text(out, "command_id", cmd->command_id);
        put_text(out, "operation", cmd->operation);
        put_pairs(out, "params", cmd->params, cmd->n_params);
        put_body(out, cmd->body);
        put_files(out, cmd);
        put_text(out, "method", cmd->method);
        put_text(out, "path", cmd->path);
        put_pairs(out, "query", cmd->query, cmd->n_query);
        put_pairs(out, "headers", cmd->headers, cmd->n_headers);
        (void)buf_add_char(out, '}');
    }
    return out->over ? err_input(e, "TooLarge", "the command is too large") : 0;
}
