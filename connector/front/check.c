/* See check.h. Two kinds: rows of the catalogue, and raw calls. */
#include "front/check.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "codec/json.h"

#define INVALID "invalid-command"

static int check_row(const struct command *cmd, const struct op *op, struct err *e);
static int check_params(const struct command *cmd, const struct op *op, struct err *e);
static int check_param(const struct pair *p, const struct op *op, struct err *e);
static int check_path_value(const struct pair *p, struct err *e);
static int check_required(const struct command *cmd, const struct op *op, struct err *e);
static int check_body(const struct command *cmd, const struct op *op, struct err *e);
static int check_body_field(const struct op *op, struct str name, struct str value,
                            struct err *e);
static int check_one_of(const struct command *cmd, const struct op *op, struct err *e);
static int check_call(const struct command *cmd, struct err *e);
static int check_call_path(struct str path, struct err *e);
static int check_call_header(const struct pair *h, struct err *e);
static bool has_control(struct str s);
static unsigned type_of(struct str json);
static const char *type_words(unsigned types);
static const struct pair *param(const struct command *cmd, const char *name);

struct names {
    const struct op *op;
    bool body;
};
static const char *field_name(const void *arg, size_t i);
static int unknown(const struct op *op, struct str name, bool body, struct err *e);

int command_check(const struct command *cmd, const struct op **op, struct err *e)
{
    *op = NULL;
    if (str_is(cmd->operation, "call"))
        return check_call(cmd, e);
    *op = op_find(cmd->operation);
    if (*op == NULL) {
        const char *near = op_nearest(cmd->operation);
        return err_input(e, "unknown-operation", "unknown operation %.*s%s%s",
                         STR_ARG(cmd->operation), near ? ", nearest: " : "",
                         near ? near : "");
    }
    return check_row(cmd, *op, e);
}

static int check_row(const struct command *cmd, const struct op *op, struct err *e)
{
    if (cmd->method.ptr != NULL || cmd->path.ptr != NULL || cmd->n_query > 0 ||
        cmd->n_headers > 0)
        return err_input(e, INVALID,
                         "method, path, query and headers go with the operation "
                         "call only");
    if (cmd->n_attachments > 0)
        return err_input(e, "attachment", "attachments are not supported yet");
    if (op->file_required)
        return err_input(e, "attachment",
                         "%s needs a file; attachments are not supported yet", op->name);
    if (check_params(cmd, op, e) || check_required(cmd, op, e) || check_body(cmd, op, e))
        return -1;
    return check_one_of(cmd, op, e);
}

static int check_params(const struct command *cmd, const struct op *op, struct err *e)
{
    for (size_t i = 0; i < cmd->n_params; i++)
        if (check_param(&cmd->params[i], op, e))
            return -1;
    return 0;
}

static int check_param(const struct pair *p, const struct op *op, struct err *e)
{
    if (has_control(p->value))
        return err_input(e, INVALID, "%.*s: control characters are not allowed",
                         STR_ARG(p->name));
    if (op_field(op, p->name, PLACE_PATH) != NULL)
        return check_path_value(p, e);
    if (op_field(op, p->name, PLACE_QUERY) != NULL ||
        op_field(op, p->name, PLACE_MAX_ITEMS) != NULL ||
        op_field(op, p->name, PLACE_WITH) != NULL)
        return 0;
    if (str_starts(p->name, "q[") && op_field(op, STR_LIT("q"), PLACE_Q) != NULL)
        return 0;
    return unknown(op, p->name, false, e);
}

static int check_path_value(const struct pair *p, struct err *e)
{
    if (p->value.len == 0 || str_is(p->value, ".") || str_is(p->value, ".."))
        return err_input(e, INVALID, "%.*s: must not be empty, \".\" or \"..\"",
                         STR_ARG(p->name));
    return 0;
}

static int check_required(const struct command *cmd, const struct op *op, struct err *e)
{
    for (size_t i = 0; i < op->record->n_fields; i++) {
        const struct shape *sh = &op->record->fields[i];
        bool body = sh->place == PLACE_BODY;
        if ((!sh->required && sh->place != PLACE_PATH) ||
            (!body && sh->place != PLACE_PATH && sh->place != PLACE_QUERY))
            continue;
        struct str value =
            cmd->body.ptr != NULL && body ? json_member(cmd->body, sh->name) : STR_NULL;
        if (body ? value.ptr == NULL : param(cmd, sh->name) == NULL)
            return err_input(e, INVALID, "%s %s is missing",
                             body ? "body field" : "parameter", sh->name);
    }
    return 0;
}

static int check_body(const struct command *cmd, const struct op *op, struct err *e)
{
    size_t pos = 0;
    struct str name, value;
    if (cmd->body.ptr == NULL)
        return 0;
    if (!op->has_body)
        return err_input(e, INVALID, "%s takes no body", op->name);
    struct str body = str_trim(cmd->body);
    if (body.len == 0 || body.ptr[0] != '{' || !json_is_valid(body))
        return err_input(e, INVALID, "body: must be the JSON text of an object");
    while (json_next_member(body, &pos, &name, &value))
        if (check_body_field(op, name, value, e))
            return -1;
    return 0;
}

static int check_body_field(const struct op *op, struct str name, struct str value,
                            struct err *e)
{
    const struct shape *sh = op_field(op, name, PLACE_BODY);
    if (sh == NULL)
        return unknown(op, name, true, e);
    if (json_text_is_null(value))
        return 0;
    if (sh->type == SHAPE_FILE) {
        struct str inner = str_trim(value);
        size_t pos = 0;
        struct str first;
        if (inner.ptr[0] == '[' && !json_next(inner, &pos, &first))
            return 0;
        return err_input(e, INVALID, "%s: files go into attachments, not into the body",
                         sh->name);
    }
    unsigned have = type_of(value);
    unsigned want = sh->json_types ? sh->json_types : JSON_IS_ANY;
    if ((have & JSON_IS_INTEGER) && (want & JSON_IS_NUMBER))
        return 0;
    if (have & want)
        return 0;
    return err_input(e, INVALID, "body field %s: must be %s", sh->name, type_words(want));
}

static int check_one_of(const struct command *cmd, const struct op *op, struct err *e)
{
    struct str rest = str_of(op->one_of);
    if (op->one_of == NULL)
        return 0;
    while (rest.ptr != NULL) {
        struct str name = str_split(&rest, '|');
        char text[128];
        snprintf(text, sizeof text, "%.*s", STR_ARG(name));
        if (cmd->body.ptr != NULL && json_member(cmd->body, text).ptr != NULL)
            return 0;
    }
    return err_input(e, INVALID, "one of the body fields %s is needed", op->one_of);
}

static int check_call(const struct command *cmd, struct err *e)
{
    bool known = false;
    for (int m = 0; m < HTTP_METHODS; m++)
        known |= str_is(cmd->method, http_method_names[m]);
    if (cmd->n_attachments > 0)
        return err_input(e, "attachment", "attachments are not supported yet");
    if (cmd->n_params > 0)
        return err_input(e, INVALID, "params: call takes query instead");
    if (!known)
        return err_input(e, INVALID, "method: must be GET, POST, PUT, PATCH or DELETE");
    if (check_call_path(cmd->path, e))
        return -1;
    if (cmd->body.ptr != NULL && !json_is_valid(cmd->body))
        return err_input(e, INVALID, "body: must be JSON text");
    for (size_t i = 0; i < cmd->n_query; i++)
        if (has_control(cmd->query[i].name) || has_control(cmd->query[i].value))
            return err_input(e, INVALID, "query %.*s: control characters are not allowed",
                             STR_ARG(cmd->query[i].name));
    for (size_t i = 0; i < cmd->n_headers; i++)
        if (check_call_header(&cmd->headers[i], e))
            return -1;
    return 0;
}

static int check_call_path(struct str path, struct err *e)
{
    if (path.ptr == NULL || path.len == 0 || path.ptr[0] != '/' ||
        (path.len > 1 && path.ptr[1] == '/') || has_control(path) ||
        memchr(path.ptr, '?', path.len) || memchr(path.ptr, '#', path.len) ||
        memchr(path.ptr, '\\', path.len) || memchr(path.ptr, ' ', path.len))
        return err_input(e, INVALID,
                         "path: must start with one \"/\" and hold no host, \"?\", "
                         "\"#\", space or backslash");
    struct str rest = path;
    while (rest.ptr != NULL) {
        struct str segment = str_split(&rest, '/');
        char plain[8] = "";
        size_t n = 0;
        for (size_t i = 0; i < segment.len && n < 3; n++) { /* "%2e" is a dot too */
            bool dot =
                segment.len - i >= 3 && strncasecmp(segment.ptr + i, "%2e", 3) == 0;
            plain[n] = dot ? '.' : segment.ptr[i];
            i += dot ? 3 : 1;
        }
        plain[n] = 0;
        if (strcmp(plain, ".") == 0 || strcmp(plain, "..") == 0)
            return err_input(e, INVALID, "path: dot segments are not allowed");
    }
    return 0;
}

static int check_call_header(const struct pair *h, struct err *e)
{
    static const char *const forbidden[] = {
        "authorization", "host",   "content-length", "transfer-encoding",
        "connection",    "expect", "cookie",         NULL};
    if (h->name.len == 0 || has_control(h->value))
        return err_input(e, INVALID, "header %.*s: control characters are not allowed",
                         STR_ARG(h->name));
    for (size_t i = 0; i < h->name.len; i++) {
        char c = h->name.ptr[i];
        if (!isalnum((unsigned char)c) && strchr("!#$%&'*+-.^_`|~", c) == NULL)
            return err_input(e, INVALID, "header name %.*s is not a token",
                             STR_ARG(h->name));
    }
    bool bad = (h->name.len >= 6 && strncasecmp(h->name.ptr, "proxy-", 6) == 0) ||
               (h->name.len >= 8 && strncasecmp(h->name.ptr, "x-front-", 8) == 0);
    for (size_t i = 0; forbidden[i] != NULL; i++)
        bad |= h->name.len == strlen(forbidden[i]) &&
               strncasecmp(h->name.ptr, forbidden[i], h->name.len) == 0;
    return bad ? err_input(e, INVALID, "header %.*s may not be set by a command",
                           STR_ARG(h->name))
               : 0;
}

static bool has_control(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return true;
    return false;
}

static unsigned type_of(struct str json)
{
    struct str s = str_trim(json);
    switch (s.len > 0 ? s.ptr[0] : 0) {
    case '"':
        return JSON_IS_STRING;
    case '[':
        return JSON_IS_ARRAY;
    case '{':
        return JSON_IS_OBJECT;
    case 't':
    case 'f':
        return JSON_IS_BOOLEAN;
    default:
        break;
    }
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] == '.' || s.ptr[i] == 'e' || s.ptr[i] == 'E')
            return JSON_IS_NUMBER;
    return JSON_IS_INTEGER;
}

static const char *type_words(unsigned types)
{
    static const struct {
        unsigned bit;
        const char *word;
    } words[] = {{JSON_IS_STRING, "text"},        {JSON_IS_NUMBER, "a number"},
                 {JSON_IS_INTEGER, "an integer"}, {JSON_IS_BOOLEAN, "a boolean"},
                 {JSON_IS_ARRAY, "an array"},     {JSON_IS_OBJECT, "an object"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (types & words[i].bit)
            return words[i].word;
    return "another type";
}

static const struct pair *param(const struct command *cmd, const char *name)
{
    for (size_t i = 0; i < cmd->n_params; i++)
        if (str_is(cmd->params[i].name, name))
            return &cmd->params[i];
    return NULL;
}

static const char *field_name(const void *arg, size_t i)
{
    const struct names *names = arg;
    const struct typed_record *rec = names->op->record;
    if (i >= rec->n_fields)
        return NULL;
    enum shape_place place = rec->fields[i].place;
    bool fits = names->body ? place == PLACE_BODY
                            : place == PLACE_PATH || place == PLACE_QUERY ||
                                  place == PLACE_MAX_ITEMS || place == PLACE_WITH;
    return fits ? rec->fields[i].name : "";
}

static int unknown(const struct op *op, struct str name, bool body, struct err *e)
{
    struct names names = {op, body};
    const char *near = str_nearest(name, field_name, &names);
    if (near != NULL && near[0] == 0)
        near = NULL;
    return err_input(e, INVALID, "unknown %s %.*s%s%s", body ? "body field" : "parameter",
                     STR_ARG(name), near ? ", nearest: " : "", near ? near : "");
}
