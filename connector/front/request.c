/* See request.h. */
#include "front/request.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/json.h"

#define PATH_MAX_BYTES 8192
#define QUERY_MAX_BYTES 16384

static int build_row(const struct command *cmd, const struct op *op,
                     const char *conversation, struct arena *a, struct request *out,
                     struct err *e);
static int build_call(const struct command *cmd, struct arena *a, struct request *out,
                      struct err *e);
static int build_path(const struct command *cmd, const struct op *op,
                      const char *conversation, struct buf *path, struct request *out,
                      struct arena *a, struct err *e);
static int build_query(const struct command *cmd, const struct op *op, struct buf *query);
static int add_query(struct buf *query, struct str name, const struct pair *p);
static int add_pair(struct buf *query, struct str name, struct str value);
static int encode(struct buf *out, struct str s);
static int add_limit(const struct command *cmd, const struct op *op, struct buf *query);
static const struct pair *param(const struct command *cmd, struct str name);
static struct str text_of(const struct pair *p, struct arena *a);
static int by_name(const void *a, const void *b);

int request_build(const struct command *cmd, const struct op *op, struct arena *a,
                  struct request *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    return op != NULL ? build_row(cmd, op, NULL, a, out, e) : build_call(cmd, a, out, e);
}

int request_retarget(const struct command *cmd, const struct op *op, const char *location,
                     struct arena *a, struct request *out, struct err *e)
{
    const char *id = strstr(location, "/cnv_");
    if (op == NULL || id == NULL)
        return err_input(e, "front", "the answer 301 names no conversation");
    size_t n = 1;
    while (isalnum((unsigned char)id[n]) || id[n] == '_')
        n++;
    memset(out, 0, sizeof *out);
    return build_row(cmd, op, arena_strndup(a, id + 1, n - 1), a, out, e);
}

void request_digest(const struct command *cmd, const struct op *op, char out[33])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char md[EVP_MAX_MD_SIZE];
    struct str name = op != NULL ? str_of(op->name) : cmd->operation;
    const struct pair **sorted = mem_array(cmd->n_params + 1, sizeof(struct pair *));
    for (size_t i = 0; i < cmd->n_params; i++)
        sorted[i] = &cmd->params[i];
    qsort(sorted, cmd->n_params, sizeof(struct pair *), by_name);
    EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
    EVP_DigestUpdate(ctx, name.ptr, name.len);
    for (size_t i = 0; i < cmd->n_params; i++) {
        EVP_DigestUpdate(ctx, "\0", 1);
        EVP_DigestUpdate(ctx, sorted[i]->name.ptr, sorted[i]->name.len);
        EVP_DigestUpdate(ctx, "=", 1);
        EVP_DigestUpdate(ctx, sorted[i]->value.ptr, sorted[i]->value.len);
    }
    EVP_DigestUpdate(ctx, "\0\0", 2);
    if (cmd->method.ptr != NULL)
        EVP_DigestUpdate(ctx, cmd->method.ptr, cmd->method.len);
    if (cmd->path.ptr != NULL)
        EVP_DigestUpdate(ctx, cmd->path.ptr, cmd->path.len);
    if (cmd->body.ptr != NULL)
        EVP_DigestUpdate(ctx, cmd->body.ptr, cmd->body.len);
    EVP_DigestFinal_ex(ctx, md, NULL);
    EVP_MD_CTX_free(ctx);
    mem_free(sorted);
    hex_encode(md, 16, out);
}

static int build_row(const struct command *cmd, const struct op *op,
                     const char *conversation, struct arena *a, struct request *out,
                     struct err *e)
{
    struct buf path, query;
    buf_init(&path, PATH_MAX_BYTES);
    buf_init(&query, QUERY_MAX_BYTES);
    int rc = build_path(cmd, op, conversation, &path, out, a, e);
    if (rc == 0 && build_query(cmd, op, &query))
        rc = err_input(e, "invalid-command", "the query is longer than %d bytes",
                       QUERY_MAX_BYTES);
    if (rc == 0) {
        out->method = op->method;
        out->path = arena_strndup(a, path.data, path.len);
        out->query = query.len > 0 ? arena_strndup(a, query.data, query.len) : NULL;
        out->body = cmd->body;
        out->klass = op->klass;
        out->guard = op->guard;
        if (op->guard_param != NULL && param(cmd, str_of(op->guard_param)) != NULL)
            out->guard_id = param(cmd, str_of(op->guard_param))->value;
        if (op->auth == AUTH_CHANNEL && param(cmd, STR_LIT("channel_id")) != NULL)
            out->channel_id = param(cmd, STR_LIT("channel_id"))->value;
    }
    buf_fini(&path);
    buf_fini(&query);
    return rc;
}

static int build_path(const struct command *cmd, const struct op *op,
                      const char *conversation, struct buf *path, struct request *out,
                      struct arena *a, struct err *e)
{
    const char *p = op->path;
    while (*p != 0) {
        if (*p != '{') {
            if (buf_add_char(path, *p++))
                break;
            continue;
        }
        const char *end = strchr(p, '}');
        struct str name = {p + 1, (size_t)(end - p - 1)};
        const struct pair *v = param(cmd, name);
        if (v == NULL)
            return err_input(e, "invalid-command", "parameter %.*s is missing",
                             STR_ARG(name));
        struct str value = text_of(v, a);
        if (conversation != NULL && str_is(name, "conversation_id"))
            value = str_of(conversation);
        out->last_param = value;
        if (encode(path, value))
            break;
        p = end + 1;
    }
    return path->over ? err_input(e, "invalid-command",
                                  "the path is longer than %d bytes", PATH_MAX_BYTES)
                      : 0;
}

/* In the order of the operation's fields, then q[...] in the order given: always the same
 * bytes. */
static int build_query(const struct command *cmd, const struct op *op, struct buf *query)
{
    for (size_t i = 0; i < op->record->n_fields; i++) {
        const struct shape *sh = &op->record->fields[i];
        const struct pair *p = param(cmd, str_of(sh->name));
        if (sh->place != PLACE_QUERY || p == NULL || strcmp(sh->name, "limit") == 0)
            continue;
        if (add_query(query, str_of(sh->name), p))
            return -1;
    }
    for (size_t i = 0; i < cmd->n_params; i++)
        if (str_starts(cmd->params[i].name, "q[") &&
            add_query(query, cmd->params[i].name, &cmd->params[i]))
            return -1;
    return add_limit(cmd, op, query);
}

static int add_limit(const struct command *cmd, const struct op *op, struct buf *query)
{
    const struct pair *p = param(cmd, STR_LIT("limit"));
    struct err e = ERR_INIT;
    int64_t n = op->page_max;
    char text[24];
    if (op_field(op, STR_LIT("limit"), PLACE_QUERY) == NULL)
        return 0;
    if (p != NULL && parse_i64(p->value, 1, INT64_MAX, &n, &e))
        return add_query(query, STR_LIT("limit"),
                         p); /* Front says what is wrong with it */
    if (n <= 0)
        return 0;
    if (op->page_max > 0 && n > op->page_max)
        n = op->page_max;
    snprintf(text, sizeof text, "%lld", (long long)n);
    return add_pair(query, STR_LIT("limit"), str_of(text));
}

/* An array as JSON text repeats the key. */
static int add_query(struct buf *query, struct str name, const struct pair *p)
{
    struct str value = str_trim(p->value);
    size_t pos = 0;
    struct str item;
    char text[4096];
    if (value.len == 0 || value.ptr[0] != '[' || !json_is_valid(value)) {
        if (p->json && value.len > 0 && value.ptr[0] == '"' &&
            json_unquote(value, text, sizeof text) >= 0)
            return add_pair(query, name, str_of(text));
        return add_pair(query, name, p->value);
    }
    while (json_next(value, &pos, &item)) {
        bool quoted = item.len > 0 && item.ptr[0] == '"';
        if (quoted && json_unquote(item, text, sizeof text) < 0)
            return -1;
        if (add_pair(query, name, quoted ? str_of(text) : item))
            return -1;
    }
    return 0;
}

static int add_pair(struct buf *query, struct str name, struct str value)
{
    if (query->len > 0 && buf_add_char(query, '&'))
        return -1;
    return encode(query, name) || buf_add_char(query, '=') || encode(query, value) ? -1
                                                                                   : 0;
}

/* Everything but RFC 3986's unreserved characters. */
static int encode(struct buf *out, struct str s)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        char escaped[3] = {'%', hex[c >> 4], hex[c & 15]};
        bool plain = isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
        if (plain ? buf_add_char(out, (char)c) : buf_add(out, escaped, 3))
            return -1;
    }
    return 0;
}

static int build_call(const struct command *cmd, struct arena *a, struct request *out,
                      struct err *e)
{
    struct buf query;
    for (int m = 0; m < HTTP_METHODS; m++)
        if (str_is(cmd->method, http_method_names[m]))
            out->method = (enum http_method)m;
    const struct op *row = op_match(out->method, cmd->path);
    buf_init(&query, QUERY_MAX_BYTES);
    int rc = 0;
    for (size_t i = 0; i < cmd->n_query && rc == 0; i++)
        rc = add_query(&query, cmd->query[i].name, &cmd->query[i]);
    if (rc)
        err_input(e, "invalid-command", "the query is longer than %d bytes",
                  QUERY_MAX_BYTES);
    out->path = arena_strndup(a, cmd->path.ptr, cmd->path.len);
    out->query = query.len > 0 ? arena_strndup(a, query.data, query.len) : NULL;
    out->body = cmd->body;
    out->klass = row != NULL ? row->klass : out->method == HTTP_POST ? CLASS_D : CLASS_A;
    out->guard = row != NULL ? row->guard : GUARD_NONE;
    const char **headers = arena_zalloc(a, (cmd->n_headers + 1) * sizeof *headers);
    for (size_t i = 0; i < cmd->n_headers; i++)
        headers[i] = arena_printf(a, "%.*s: %.*s", STR_ARG(cmd->headers[i].name),
                                  STR_ARG(cmd->headers[i].value));
    out->headers = headers;
    out->n_headers = cmd->n_headers;
    buf_fini(&query);
    return rc;
}

static const struct pair *param(const struct command *cmd, struct str name)
{
    for (size_t i = 0; i < cmd->n_params; i++)
        if (str_eq(cmd->params[i].name, name))
            return &cmd->params[i];
    return NULL;
}

static struct str text_of(const struct pair *p, struct arena *a)
{
    struct str s = str_trim(p->value);
    struct str plain;
    if (p->json && s.len > 0 && s.ptr[0] == '"' && json_unquote_arena(s, a, &plain) == 0)
        return plain;
    return p->value;
}

static int by_name(const void *a, const void *b)
{
    const struct pair *const *x = a, *const *y = b;
    size_t n = (*x)->name.len < (*y)->name.len ? (*x)->name.len : (*y)->name.len;
    int c = memcmp((*x)->name.ptr, (*y)->name.ptr, n);
    return c != 0                            ? c
           : (*x)->name.len < (*y)->name.len ? -1
                                             : (*x)->name.len > (*y)->name.len;
}
