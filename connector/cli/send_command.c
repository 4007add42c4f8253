/* NAME=TEXT and NAME:=JSON become parameters or top-level fields of the body, by the
 * operation's shape. A body given with --body alone keeps its bytes. */
#include "cli/send_command.h"

#include <jansson.h>
#include <string.h>

#include "cli/json_out.h"
#include "codec/json.h"

#define BODY_MAX (32 * 1024 * 1024)

struct word {
    struct str name, value;
    bool json; /* NAME:=JSON */
};

struct builder {
    const struct op *op;
    bool call, force;
    struct arena *a;
    struct command *cmd;
    json_t *body; /* NULL until a word goes into it */
};

static int find_operation(struct builder *b, const char *name, struct err *e);
static int split_word(const char *text, struct word *w, struct err *e);
static int put_word(struct builder *b, const struct word *w, struct err *e);
static int put_call_word(struct builder *b, const struct word *w, struct err *e);
static int put_param(struct builder *b, struct pair *pairs, size_t *n,
                     const struct word *w, struct err *e);
static int put_body(struct builder *b, const struct word *w, const struct shape *sh,
                    struct err *e);
static void finish_body(struct builder *b);

int send_command(const struct send_words *w, bool force, struct arena *a,
                 struct command *cmd, const struct op **op, struct err *e)
{
    struct builder b = {.force = force, .a = a, .cmd = cmd};
    struct word word;
    int ret = -1;

    memset(cmd, 0, sizeof(*cmd));
    cmd->operation = str_of(w->operation);
    cmd->body = w->body;
    if (find_operation(&b, w->operation, e) != 0)
        return -1;
    cmd->params = arena_zalloc(a, (w->n_args + 1) * sizeof(cmd->params[0]));
    cmd->query = arena_zalloc(a, (w->n_args + 1) * sizeof(cmd->query[0]));
    for (size_t i = 0; i < w->n_args; i++) {
        if (split_word(w->args[i], &word, e) != 0)
            goto out;
        if ((b.call ? put_call_word(&b, &word, e) : put_word(&b, &word, e)) != 0)
            goto out;
    }
    finish_body(&b);
    *op = b.op;
    ret = 0;
out:
    json_decref(b.body);
    return ret;
}

static int find_operation(struct builder *b, const char *name, struct err *e)
{
    const char *near;

    b->call = strcmp(name, "call") == 0;
    b->op = b->call ? NULL : op_find(str_of(name));
    if (b->call || b->op || b->force)
        return 0;
    near = op_nearest(str_of(name));
    if (near)
        return err_input(e, "unknown-operation", "unknown operation %s, nearest: %s",
                         name, near);
    return err_input(e, "unknown-operation",
                     "unknown operation %s; `front-connector ops` lists "
                     "them",
                     name);
}

/* The first "=" parts name and value; ":=" says that the value is JSON. */
static int split_word(const char *text, struct word *w, struct err *e)
{
    const char *equals = strchr(text, '=');
    struct str value;

    if (!equals || equals == text)
        return err_input(e, NULL, "`%s` is neither NAME=TEXT nor NAME:=JSON", text);
    value = str_of(equals + 1);
    w->json = equals[-1] == ':';
    w->name = (struct str){text, (size_t)(equals - text) - w->json};
    w->value = value;
    if (w->name.len == 0)
        return err_input(e, NULL, "`%s` has no name before :=", text);
    if (w->json && !json_is_valid(value))
        return err_input(e, NULL, "%.*s: `%s` is no JSON value (for text write %.*s=...)",
                         STR_ARG(w->name), value.ptr, STR_ARG(w->name));
    return 0;
}

/* --- where a name belongs --- */

static const struct shape *param_of(const struct op *op, struct str name)
{
    static const enum shape_place places[] = {PLACE_PATH, PLACE_QUERY, PLACE_MAX_ITEMS,
                                              PLACE_WITH};

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        const struct shape *sh = op_field(op, name, places[i]);

        if (sh)
            return sh;
    }
    if (str_starts(name, "q["))
        return op_field(op, STR_LIT("q"), PLACE_Q);
    return NULL;
}

static const char *field_name(const void *arg, size_t i)
{
    const struct op *op = arg;

    return i < op->record->n_fields ? op->record->fields[i].name : NULL;
}

static int unknown_name(const struct op *op, struct str name, struct err *e)
{
    const char *near = str_nearest(name, field_name, op);

    if (near)
        return err_input(e, "invalid-command", "%s has no `%.*s`, nearest: %s", op->name,
                         STR_ARG(name), near);
    return err_input(e, "invalid-command",
                     "%s has no `%.*s`; `front-connector ops %s` shows all", op->name,
                     STR_ARG(name), op->name);
}

static int put_word(struct builder *b, const struct word *w, struct err *e)
{
    struct command *cmd = b->cmd;
    const struct shape *body;

    if (str_is(w->name, "command_id")) {
        cmd->command_id = w->value;
        return 0;
    }
    if (!b->op || param_of(b->op, w->name))
        return put_param(b, cmd->params, &cmd->n_params, w, e);
    body = op_field(b->op, w->name, PLACE_BODY);
    if (body)
        return put_body(b, w, body, e);
    if (b->force)
        return put_param(b, cmd->params, &cmd->n_params, w, e);
    return unknown_name(b->op, w->name, e);
}

/* `call`: method and path, everything else is the query. */
static int put_call_word(struct builder *b, const struct word *w, struct err *e)
{
    struct command *cmd = b->cmd;

    if (str_is(w->name, "command_id"))
        cmd->command_id = w->value;
    else if (str_is(w->name, "method"))
        cmd->method = w->value;
    else if (str_is(w->name, "path"))
        cmd->path = w->value;
    else
        return put_param(b, cmd->query, &cmd->n_query, w, e);
    return 0;
}

/* --- putting it there --- */

/* A JSON string is plain text in a parameter. */
static int put_param(struct builder *b, struct pair *pairs, size_t *n,
                     const struct word *w, struct err *e)
{
    struct pair *pair = &pairs[*n];

    pair->name = w->name;
    pair->value = w->value;
    pair->json = w->json;
    if (w->json && str_trim(w->value).ptr[0] == '"') {
        pair->json = false;
        if (json_unquote_arena(str_trim(w->value), b->a, &pair->value) != 0)
            return err_input(e, NULL, "%.*s: no JSON string", STR_ARG(w->name));
    }
    (*n)++;
    return 0;
}

static int open_body(struct builder *b, struct err *e)
{
    if (b->body)
        return 0;
    if (!b->cmd->body.ptr) {
        b->body = json_object();
        return 0;
    }
    b->body = json_parse(b->cmd->body, true, e);
    if (!b->body)
        return err_prefix(e, "--body");
    if (!json_is_object(b->body))
        return err_input(e, "invalid-command", "--body is no JSON object");
    return 0;
}

static json_t *value_of(const struct word *w)
{
    if (!w->json)
        return json_stringn(w->value.ptr, w->value.len);
    return json_loadb(w->value.ptr, w->value.len,
                      JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
}

static int put_body(struct builder *b, const struct word *w, const struct shape *sh,
                    struct err *e)
{
    json_t *value;

    if (open_body(b, e) != 0)
        return -1;
    if (!w->json && !(sh->json_types & JSON_IS_STRING) && !b->force)
        return err_input(e, "invalid-command", "%s is %s, no text: write %s:=JSON",
                         sh->name,
                         sh->array                          ? "a list"
                         : sh->json_types & JSON_IS_BOOLEAN ? "true or false"
                         : sh->json_types & JSON_IS_OBJECT  ? "an object"
                                                            : "a number",
                         sh->name);
    value = value_of(w);
    if (!value)
        return err_input(e, "invalid-command",
                         "%s: the value is not UTF-8 or not strict JSON", sh->name);
    if (json_object_set_new(b->body, sh->name, value) != 0)
        return err_input(e, "invalid-command", "%s: could not be set", sh->name);
    return 0;
}

static void finish_body(struct builder *b)
{
    struct buf text;

    if (!b->body)
        return;
    buf_init(&text, BODY_MAX);
    json_out_value(&text, b->body);
    b->cmd->body = (struct str){arena_strndup(b->a, text.data, text.len), text.len};
    buf_fini(&text);
}
