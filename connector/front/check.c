/* See check.h. Two kinds: rows of the catalogue, and raw calls.
 *
 * Invariant: what passes can be built (request.c, form.c) and sent without anything in it
 * reaching another line, header or path than the one it stands in. */
#include "front/check.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "codec/json.h"
#include "front/form.h"
#include "front/request.h"
#include "front/with.h"

#define INVALID "invalid-command"

enum {
    PARAMS_MAX = 256,
    HEADERS_MAX = 64,
    HEADER_VALUE_MAX_BYTES = 4096,
    SHOWN_MAX_BYTES = 64
};

static int check_row(const struct command *cmd, const struct op *op, struct err *e);
static int check_params(const struct command *cmd, const struct op *op, struct err *e);
static int check_param(const struct pair *p, const struct op *op, struct err *e);
static int check_query_value(const struct pair *p, struct err *e);
static int check_body(const struct command *cmd, const struct op *op, struct err *e);
static int check_body_object(struct str body, struct err *e);
static int check_body_field(const struct op *op, struct str name, struct str value,
                            struct err *e);
static int check_file_field(const struct op *op, struct str body, struct err *e);
static int check_required(const struct command *cmd, const struct op *op, struct err *e);
static int check_one_of(const struct command *cmd, const struct op *op, struct err *e);
static int check_call(const struct command *cmd, struct err *e);
static int check_call_path(struct str path, struct err *e);
static int check_call_query(const struct command *cmd, struct err *e);
static int check_call_headers(const struct command *cmd, struct err *e);
static int check_call_header(const struct pair *h, struct err *e);
static bool has_control(struct str s);
static bool is_q(struct str name);
static bool name_is(struct str name, const char *word, bool prefix);
static unsigned type_of(struct str json);
static const char *type_words(unsigned types);
static struct str shown(struct str s);
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
                         STR_ARG(shown(cmd->operation)), near ? ", nearest: " : "",
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
    if (check_params(cmd, op, e) || check_body(cmd, op, e) ||
        check_required(cmd, op, e) || check_one_of(cmd, op, e))
        return -1;
    return form_check(cmd, op, e);
}

static int check_params(const struct command *cmd, const struct op *op, struct err *e)
{
    if (cmd->n_params > PARAMS_MAX)
        return err_input(e, INVALID, "more than %d params", PARAMS_MAX);
    for (size_t i = 0; i < cmd->n_params; i++) {
        const struct pair *p = &cmd->params[i];
        if (check_param(p, op, e))
            return -1;
        for (size_t j = 0; j < i; j++) /* a map on the wire may say a key twice */
            if (str_eq(p->name, cmd->params[j].name))
                return err_input(e, INVALID, "parameter %.*s is there twice",
                                 STR_ARG(shown(p->name)));
    }
    struct with with;
    return with_read(cmd->params, cmd->n_params, op, &with, e);
}

static int check_param(const struct pair *p, const struct op *op, struct err *e)
{
    if (has_control(p->name) || has_control(p->value))
        return err_input(e, INVALID, "%.*s: control characters are not allowed",
                         STR_ARG(shown(p->name)));
    if (op_field(op, p->name, PLACE_PATH) != NULL) {
        if (p->value.len > 0 && !str_is(p->value, ".") && !str_is(p->value, ".."))
            return 0;
        return err_input(e, INVALID, "%.*s: must not be empty, \".\" or \"..\"",
                         STR_ARG(shown(p->name)));
    }
    if (op_field(op, p->name, PLACE_QUERY) != NULL ||
        op_field(op, p->name, PLACE_WITH) != NULL ||
        (is_q(p->name) && op_field(op, STR_LIT("q"), PLACE_Q) != NULL))
        return check_query_value(p, e);
    if (op_field(op, p->name, PLACE_MAX_ITEMS) != NULL) {
        int64_t n;
        struct err bad = ERR_INIT;
        return parse_i64(p->value, 1, INT64_MAX, &n, &bad)
                   ? err_input(e, INVALID, "max_items: %s", bad.text)
                   : 0;
    }
    return unknown(op, p->name, false, e);
}

/* The elements of an array become values of their own: text, numbers and booleans do. */
static int check_query_value(const struct pair *p, struct err *e)
{
    size_t pos = 0;
    struct str item;
    if (!request_is_array(p->value))
        return 0;
    while (json_next(str_trim(p->value), &pos, &item))
        if (json_text_is_null(item) || (type_of(item) & (JSON_IS_ARRAY | JSON_IS_OBJECT)))
            return err_input(e, INVALID,
                             "%.*s: the array may hold text, numbers and booleans only",
                             STR_ARG(shown(p->name)));
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
    if (check_body_object(cmd->body, e))
        return -1;
    while (json_next_member(str_trim(cmd->body), &pos, &name, &value))
        if (check_body_field(op, name, value, e))
            return -1;
    return check_file_field(op, cmd->body, e);
}

static int check_body_object(struct str body, struct err *e)
{
    struct str text = str_trim(body);
    if (text.len > 0 && text.ptr[0] == '{' && json_is_valid(text))
        return 0;
    return err_input(e, INVALID, "body: must be the JSON text of an object");
}

static int check_body_field(const struct op *op, struct str name, struct str value,
                            struct err *e)
{
    const struct shape *sh = op_field(op, name, PLACE_BODY);
    if (sh == NULL)
        return unknown(op, name, true, e);
    if (sh->type == SHAPE_FILE || json_text_is_null(value))
        return 0;
    unsigned have = type_of(value);
    unsigned want = sh->json_types ? sh->json_types : JSON_IS_ANY;
    if ((have & want) || ((have & JSON_IS_INTEGER) && (want & JSON_IS_NUMBER)))
        return 0;
    return err_input(e, INVALID, "body field %s: must be %s", sh->name, type_words(want));
}

/* "attachments", or "comment[attachments]" for one inside another field: absent or []. */
static int check_file_field(const struct op *op, struct str body, struct err *e)
{
    char path[128];
    size_t n = 0, pos = 0;
    struct str item;
    if (op->file_field == NULL)
        return 0;
    for (const char *p = op->file_field; *p != 0 && n + 1 < sizeof path; p++)
        if (*p != ']')
            path[n++] = (char)(*p == '[' ? '.' : *p);
    path[n] = 0;
    struct str value = json_member_path(str_trim(body), path);
    if (value.ptr == NULL || (value.ptr[0] == '[' && !json_next(value, &pos, &item)))
        return 0;
    return err_input(e, INVALID, "%s: files go into attachments, not into the body",
                     op->file_field);
}

static int check_required(const struct command *cmd, const struct op *op, struct err *e)
{
    for (size_t i = 0; i < op->record->n_fields; i++) {
        const struct shape *sh = &op->record->fields[i];
        bool body = sh->place == PLACE_BODY;
        bool needed = sh->place == PLACE_PATH ||
                      (sh->required && (body || sh->place == PLACE_QUERY));
        if (!needed || sh->type == SHAPE_FILE) /* form.c looks for files */
            continue;
        bool there = body ? cmd->body.ptr != NULL &&
                                json_member(str_trim(cmd->body), sh->name).ptr != NULL
                          : request_param(cmd, str_of(sh->name)) != NULL;
        if (!there)
            return err_input(e, INVALID, "%s %s is missing",
                             body ? "body field" : "parameter", sh->name);
    }
    return 0;
}

static int check_one_of(const struct command *cmd, const struct op *op, struct err *e)
{
    struct str rest = str_of(op->one_of);
    while (rest.ptr != NULL) {
        struct str name = str_split(&rest, '|');
        char text[128];
        snprintf(text, sizeof text, "%.*s", STR_ARG(name));
        if (cmd->body.ptr != NULL && json_member(str_trim(cmd->body), text).ptr != NULL)
            return 0;
    }
    return op->one_of == NULL
               ? 0
               : err_input(e, INVALID, "one of the body fields %s is needed", op->one_of);
}

static int check_call(const struct command *cmd, struct err *e)
{
    enum http_method method;
    if (cmd->n_params > 0)
        return err_input(e, INVALID, "params: call takes query instead");
    if (request_method(cmd->method, &method))
        return err_input(e, INVALID,
                         "method %.*s: must be GET, POST, PUT, PATCH or DELETE",
                         STR_ARG(shown(cmd->method)));
    if (check_call_path(cmd->path, e) || check_call_query(cmd, e) ||
        check_call_headers(cmd, e))
        return -1;
    if (cmd->body.ptr != NULL && check_body_object(cmd->body, e))
        return -1;
    for (size_t i = 0; i < cmd->n_headers && cmd->n_attachments > 0; i++)
        if (name_is(cmd->headers[i].name, "content-type", false))
            return err_input(e, "attachment",
                             "header content-type: attachments make the body a form");
    return form_check(cmd, op_match(method, cmd->path), e);
}

/* What the server sees: dot segments and control characters count also when encoded. */
static int check_call_decoded(struct str path, struct err *e)
{
    size_t dots = 0, others = 0;
    for (size_t i = 0; i <= path.len; i++) {
        int c = i < path.len ? (unsigned char)path.ptr[i] : '/';
        if (c == '%') {
            c = path.len - i > 2 ? request_hex(path.ptr + i + 1) : -1;
            i += 2;
        }
        if (c < 0x20 || c == 0x7f)
            return err_input(e, INVALID,
                             "path: \"%%\" must stand before two hex digits of a "
                             "character that is no control character");
        if (c == '/' || c == '\\') {
            if (others == 0 && (dots == 1 || dots == 2))
                return err_input(e, INVALID, "path: dot segments are not allowed");
            dots = others = 0;
        } else if (c == '.') {
            dots++;
        } else {
            others++;
        }
    }
    return 0;
}

static int check_call_path(struct str path, struct err *e)
{
    if (path.ptr == NULL || path.len == 0 || path.ptr[0] != '/' || !text_printable(path))
        return err_input(e, INVALID,
                         "path: must start with \"/\" and be ASCII, the rest "
                         "percent-encoded");
    for (size_t i = 0; i < path.len; i++)
        if (strchr("?#\\ \"<>^`{|}", path.ptr[i]) != NULL ||
            (path.ptr[i] == '/' && i + 1 < path.len && path.ptr[i + 1] == '/'))
            return err_input(
                e, INVALID,
                "path: must hold no host, \"//\", \"?\", \"#\", space, quote, "
                "bracket or backslash");
    return check_call_decoded(path, e);
}

static int check_call_query(const struct command *cmd, struct err *e)
{
    if (cmd->n_query > PARAMS_MAX)
        return err_input(e, INVALID, "query: more than %d names", PARAMS_MAX);
    for (size_t i = 0; i < cmd->n_query; i++) {
        const struct pair *p = &cmd->query[i];
        if (p->name.len == 0 || has_control(p->name) || has_control(p->value))
            return err_input(e, INVALID,
                             "query %.*s: empty names and control characters are not "
                             "allowed",
                             STR_ARG(shown(p->name)));
        if (check_query_value(p, e))
            return -1;
    }
    return 0;
}

static int check_call_headers(const struct command *cmd, struct err *e)
{
    if (cmd->n_headers > HEADERS_MAX)
        return err_input(e, INVALID, "headers: more than %d", HEADERS_MAX);
    for (size_t i = 0; i < cmd->n_headers; i++)
        if (check_call_header(&cmd->headers[i], e))
            return -1;
    return 0;
}

static int check_call_header(const struct pair *h, struct err *e)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789"
                                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char *const forbidden[] = {
        "authorization", "host",   "content-length", "transfer-encoding",
        "connection",    "expect", "cookie"};
    if (h->name.len == 0 || h->name.len > SHOWN_MAX_BYTES)
        return err_input(e, INVALID, "header %.*s: the name must have 1 to %d characters",
                         STR_ARG(shown(h->name)), SHOWN_MAX_BYTES);
    for (size_t i = 0; i < h->name.len; i++) /* a NUL would cut the line that is sent */
        if (memchr(token, h->name.ptr[i], sizeof token - 1) == NULL)
            return err_input(e, INVALID, "header name %.*s is not a token",
                             STR_ARG(shown(h->name)));
    if (has_control(h->value) || h->value.len > HEADER_VALUE_MAX_BYTES)
        return err_input(e, INVALID,
                         "header %.*s: control characters and more than %d bytes are not "
                         "allowed",
                         STR_ARG(h->name), HEADER_VALUE_MAX_BYTES);
    bool bad = name_is(h->name, "proxy-", true) || name_is(h->name, "x-front-", true);
    for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++)
        bad |= name_is(h->name, forbidden[i], false);
    return bad ? err_input(e, INVALID, "header %.*s may not be set by a command",
                           STR_ARG(h->name))
               : 0;
}

static bool name_is(struct str name, const char *word, bool prefix)
{
    size_t n = strlen(word);
    return (prefix ? name.len >= n : name.len == n) &&
           strncasecmp(name.ptr, word, n) == 0;
}

static bool has_control(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return true;
    return false;
}

static bool is_q(struct str name)
{
    return str_starts(name, "q[") && name.len > 3 && name.ptr[name.len - 1] == ']';
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

/* The start of a name the command gave, cut between characters: the message is a string
 * of Avro and must stay UTF-8 within struct err's size. */
static struct str shown(struct str s)
{
    if (s.len <= SHOWN_MAX_BYTES)
        return s;
    size_t n = SHOWN_MAX_BYTES;
    while (n > 0 && ((unsigned char)s.ptr[n] & 0xC0) == 0x80)
        n--;
    return (struct str){s.ptr, n};
}

struct names {
    const struct op *op;
    bool body;
};

/* A str_nearest candidate: the i-th field of the operation in that place. */
static const char *field_name(const void *arg, size_t i)
{
    const struct names *names = arg;
    const struct typed_record *rec = names->op->record;
    for (size_t f = 0; f < rec->n_fields; f++) {
        enum shape_place place = rec->fields[f].place;
        bool fits = names->body ? place == PLACE_BODY
                                : place == PLACE_PATH || place == PLACE_QUERY ||
                                      place == PLACE_MAX_ITEMS || place == PLACE_WITH;
        if (fits && i-- == 0)
            return rec->fields[f].name;
    }
    return NULL;
}

static int unknown(const struct op *op, struct str name, bool body, struct err *e)
{
    struct names here = {op, body};
    const char *near = str_nearest(name, field_name, &here);
    bool elsewhere =
        body ? op_field(op, name, PLACE_PATH) || op_field(op, name, PLACE_QUERY)
             : op_field(op, name, PLACE_BODY) != NULL;
    if (elsewhere)
        return err_input(e, INVALID, "%.*s is a %s of %s", STR_ARG(shown(name)),
                         body ? "parameter, not a body field"
                              : "body field, not a parameter",
                         op->name);
    const char *what = body ? "body field" : "parameter", *where = ", nearest: ";
    if (near == NULL && op->list && str_is(name, "limit"))
        near = "max_items"; /* this list has no pages: where to stop is what is meant */
    if (near == NULL) {
        here.body = !body;
        near = str_nearest(name, field_name, &here);
        where = body ? ", nearest: parameter " : ", nearest: body field ";
    }
    return err_input(e, INVALID, "unknown %s %.*s%s%s", what, STR_ARG(shown(name)),
                     near ? where : "", near ? near : "");
}
