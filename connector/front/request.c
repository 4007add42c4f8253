/* See request.h. Every byte of a value that is not unreserved (RFC 3986) is
 * percent-encoded, so a value never leaves its path segment or its query pair. */
#include "front/request.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "codec/json.h"

enum { PATH_MAX_BYTES = 8192, QUERY_MAX_BYTES = 16384, ID_MAX_BYTES = 64 };

static int build(const struct command *cmd, const struct op *op, struct str conversation,
                 struct arena *a, struct request *out, struct err *e);
static int build_row(const struct command *cmd, const struct op *op,
                     struct str conversation, struct buf *path, struct request *out,
                     struct err *e);
static void build_call(const struct command *cmd, struct str conversation,
                       struct arena *a, struct buf *path, struct request *out);
static void take_rules(const struct op *op, struct request *out);
static void take_param(const struct op *op, struct str name, struct str value,
                       struct request *out);
static void call_headers(const struct command *cmd, struct arena *a, struct request *out);
static void row_query(const struct command *cmd, const struct op *op, struct arena *a,
                      struct buf *query);
static void add_limit(const struct command *cmd, const struct op *op, struct arena *a,
                      struct buf *query);
static void add_value(struct buf *query, struct str name, struct str value,
                      struct arena *a);
static void add_pair(struct buf *query, struct str name, struct str value);
static void encode(struct buf *out, struct str s);
static struct str conversation_of(const char *location);
static bool is_call(const struct command *cmd);
static void hash(EVP_MD_CTX *ctx, struct str s);
static void hash_file(EVP_MD_CTX *ctx, const struct attachment *file);
static void hash_pairs(EVP_MD_CTX *ctx, const struct pair *pairs, size_t n);

int request_build(const struct command *cmd, const struct op *op, struct arena *a,
                  struct request *out, struct err *e)
{
    return build(cmd, op, STR_NULL, a, out, e);
}

int request_retarget(const struct command *cmd, const struct op *op, const char *location,
                     struct arena *a, struct request *out, struct err *e)
{
    struct str id = conversation_of(location);
    struct request req;
    if (id.ptr == NULL)
        return err_input(e, "front", "the answer 301 names no conversation");
    id.ptr = arena_strndup(a, id.ptr, id.len); /* location is the call's */
    if (build(cmd, op, id, a, &req, e))
        return -1;
    if (req.row == NULL || strstr(req.row->path, "{conversation_id}") == NULL)
        return err_input(e, "front", "answer 301 to what names no conversation");
    *out = req;
    return 0;
}

void request_digest(const struct command *cmd, const struct op *op, char out[33])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char md[EVP_MAX_MD_SIZE];
    bool call = is_call(cmd);

    if (ctx == NULL || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1)
        abort();
    hash(ctx, op != NULL && !call ? str_of(op->name) : cmd->operation);
    if (call) {
        hash(ctx, cmd->method);
        hash(ctx, cmd->path);
        hash_pairs(ctx, cmd->query, cmd->n_query);
        hash(ctx, STR_NULL);
        hash_pairs(ctx, cmd->headers, cmd->n_headers);
    } else {
        hash_pairs(ctx, cmd->params, cmd->n_params);
    }
    hash(ctx, STR_NULL);
    if (cmd->body.ptr != NULL && EVP_DigestUpdate(ctx, cmd->body.ptr, cmd->body.len) != 1)
        abort();
    for (size_t i = 0; i < cmd->n_attachments; i++)
        hash_file(ctx, &cmd->attachments[i]);
    if (EVP_DigestFinal_ex(ctx, md, NULL) != 1)
        abort();
    EVP_MD_CTX_free(ctx);
    hex_encode(md, 16, out);
}

const struct pair *request_param(const struct command *cmd, struct str name)
{
    for (size_t i = 0; i < cmd->n_params; i++)
        if (str_eq(cmd->params[i].name, name))
            return &cmd->params[i];
    return NULL;
}

struct str request_path_param(const struct command *cmd, const struct op *op,
                              struct str name, struct arena *a)
{
    struct str rest = cmd->path, template = str_of(op->path);
    const struct pair *given = request_param(cmd, name);

    if (!is_call(cmd))
        return given != NULL ? given->value : STR_NULL;
    while (rest.ptr != NULL && template.ptr != NULL) {
        struct str segment = str_split(&rest, '/');
        struct str pattern = str_split(&template, '/');
        if (pattern.len > 2 && pattern.ptr[0] == '{' &&
            str_eq(name, (struct str){pattern.ptr + 1, pattern.len - 2}))
            return request_decode(segment, a);
    }
    return STR_NULL;
}

int request_method(struct str text, enum http_method *out)
{
    for (int m = 0; m < HTTP_METHODS; m++)
        if (str_is(text, http_method_names[m])) {
            *out = (enum http_method)m;
            return 0;
        }
    return -1;
}

bool request_is_array(struct str value)
{
    struct str s = str_trim(value);

    return s.len > 0 && s.ptr[0] == '[' && json_is_valid(s);
}

int request_hex(const char *p)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *high = memchr(digits, p[0], sizeof digits - 1);
    const char *low = memchr(digits, p[1], sizeof digits - 1);

    if (high == NULL || low == NULL)
        return -1;
    return (int)((high - digits) % 16 * 16 + (low - digits) % 16);
}

static int build(const struct command *cmd, const struct op *op, struct str conversation,
                 struct arena *a, struct request *out, struct err *e)
{
    struct buf path, query;
    int rc = 0;

    memset(out, 0, sizeof *out);
    buf_init(&path, PATH_MAX_BYTES);
    buf_init(&query, QUERY_MAX_BYTES);
    if (is_call(cmd)) {
        build_call(cmd, conversation, a, &path, out);
        for (size_t i = 0; i < cmd->n_query; i++)
            add_value(&query, cmd->query[i].name, cmd->query[i].value, a);
    } else {
        rc = build_row(cmd, op, conversation, &path, out, e);
        if (rc == 0)
            row_query(cmd, op, a, &query);
    }
    if (path.over || query.over)
        rc = err_input(e, "invalid-command", "the %s is longer than %d bytes",
                       path.over ? "path" : "query",
                       path.over ? PATH_MAX_BYTES : QUERY_MAX_BYTES);
    out->path = path.len > 0 ? arena_strndup(a, path.data, path.len) : "/";
    out->query = query.len > 0 ? arena_strndup(a, query.data, query.len) : NULL;
    out->body = cmd->body;
    if (rc == 0 && form_is_wanted(cmd, out->row))
        rc = request_fill_form(cmd, a, out, e);
    buf_fini(&path);
    buf_fini(&query);
    return rc;
}

static int build_row(const struct command *cmd, const struct op *op,
                     struct str conversation, struct buf *path, struct request *out,
                     struct err *e)
{
    take_rules(op, out);
    out->method = op->method;
    for (const char *p = op->path; *p != 0;) {
        const char *end = *p == '{' ? strchr(p, '}') : NULL;
        if (end == NULL) {
            (void)buf_add_char(path, *p++);
            continue;
        }
        struct str name = {p + 1, (size_t)(end - p - 1)};
        const struct pair *given = request_param(cmd, name);
        if (given == NULL)
            return err_input(e, "invalid-command", "parameter %.*s is missing",
                             STR_ARG(name));
        bool other = conversation.ptr != NULL && str_is(name, "conversation_id");
        struct str value = other ? conversation : given->value;
        take_param(op, name, value, out);
        out->last_param = value;
        encode(path, value);
        p = end + 1;
    }
    return 0;
}

/* The path as given, which is encoded already; segment by segment beside the template of
 * the row it matches, for the ids that guard, token and re-targeting want. */
static void build_call(const struct command *cmd, struct str conversation,
                       struct arena *a, struct buf *path, struct request *out)
{
    struct str rest = cmd->path, template = STR_NULL;

    (void)request_method(cmd->method, &out->method); /* checked */
    out->klass = out->method == HTTP_POST ? CLASS_D : CLASS_A;
    call_headers(cmd, a, out);
    const struct op *row = op_match(out->method, cmd->path);
    if (row != NULL) {
        take_rules(row, out);
        template = str_of(row->path);
    }
    for (bool first = true; rest.ptr != NULL; first = false) {
        struct str segment = str_split(&rest, '/');
        struct str pattern = template.ptr != NULL ? str_split(&template, '/') : STR_NULL;
        if (pattern.len > 2 && pattern.ptr[0] == '{') {
            struct str name = {pattern.ptr + 1, pattern.len - 2};
            if (conversation.ptr != NULL && str_is(name, "conversation_id"))
                segment = conversation;
            take_param(row, name, request_decode(segment, a), out);
        }
        if (!first)
            (void)buf_add_char(path, '/');
        (void)buf_add_str(path, segment);
    }
}

static void take_rules(const struct op *op, struct request *out)
{
    out->row = op;
    out->klass = op->klass;
    out->guard = op->guard;
}

static void take_param(const struct op *op, struct str name, struct str value,
                       struct request *out)
{
    if (op->guard_param != NULL && str_is(name, op->guard_param))
        out->guard_id = value;
    if (op->auth == AUTH_CHANNEL && str_is(name, "channel_id"))
        out->channel_id = value;
}

/* Content-type is set apart: the client says one of its own, and there must not be two.
 */
static void call_headers(const struct command *cmd, struct arena *a, struct request *out)
{
    const char **lines = arena_zalloc(a, (cmd->n_headers + 1) * sizeof *lines);

    for (size_t i = 0; i < cmd->n_headers; i++) {
        const struct pair *h = &cmd->headers[i];
        if (h->name.len == strlen("content-type") &&
            strncasecmp(h->name.ptr, "content-type", h->name.len) == 0)
            out->content_type = arena_strndup(a, h->value.ptr, h->value.len);
        else
            lines[out->n_headers++] =
                arena_printf(a, "%.*s: %.*s", STR_ARG(h->name), STR_ARG(h->value));
    }
    out->headers = lines;
}

/* The oldest first where Front can: what is made while a list is read comes at its end.
 * In the order of the operation's fields, then q[...] in the order given, then limit:
 * always the same bytes. */
static void row_query(const struct command *cmd, const struct op *op, struct arena *a,
                      struct buf *query)
{
    for (size_t i = 0; i < op->record->n_fields; i++) {
        const struct shape *sh = &op->record->fields[i];
        const struct pair *p = request_param(cmd, str_of(sh->name));
        if (sh->place != PLACE_QUERY || strcmp(sh->name, "limit") == 0)
            continue;
        if (p != NULL)
            add_value(query, p->name, p->value, a);
        else if (op->list && strcmp(sh->name, "sort_order") == 0)
            add_pair(query, str_of(sh->name), STR_LIT("asc"));
    }
    for (size_t i = 0; i < cmd->n_params; i++)
        if (str_starts(cmd->params[i].name, "q["))
            add_value(query, cmd->params[i].name, cmd->params[i].value, a);
    add_limit(cmd, op, a, query);
}

/* The page size: the largest when none is given, never more than that. */
static void add_limit(const struct command *cmd, const struct op *op, struct arena *a,
                      struct buf *query)
{
    const struct pair *p = request_param(cmd, STR_LIT("limit"));
    int64_t n = op->page_max;
    struct err e = ERR_INIT;
    char text[24];

    if (!op->paged || op->page_max <= 0)
        return;
    if (p != NULL && parse_i64(p->value, INT64_MIN, INT64_MAX, &n, &e)) {
        add_value(query, p->name, p->value, a); /* Front says what is wrong with it */
        return;
    }
    if (n > op->page_max)
        n = op->page_max;
    snprintf(text, sizeof text, "%lld", (long long)n);
    add_pair(query, STR_LIT("limit"), str_of(text));
}

/* An array as JSON text repeats the key. */
static void add_value(struct buf *query, struct str name, struct str value,
                      struct arena *a)
{
    size_t pos = 0;
    struct str item, text;

    if (!request_is_array(value)) {
        add_pair(query, name, value);
        return;
    }
    while (json_next(str_trim(value), &pos, &item))
        add_pair(query, name, json_unquote_arena(item, a, &text) == 0 ? text : item);
}

static void add_pair(struct buf *query, struct str name, struct str value)
{
    if (query->len > 0)
        (void)buf_add_char(query, '&');
    encode(query, name);
    (void)buf_add_char(query, '=');
    encode(query, value);
}

static void encode(struct buf *out, struct str s)
{
    static const char plain[] = "-._~0123456789"
                                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < s.len && !out->over; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        char escaped[3] = {'%', hex[c >> 4], hex[c & 15]};
        if (memchr(plain, c, sizeof plain - 1) != NULL)
            (void)buf_add_char(out, (char)c);
        else
            (void)buf_add(out, escaped, sizeof escaped);
    }
}

int request_fill_form(const struct command *cmd, struct arena *a, struct request *req,
                      struct err *e)
{
    struct form *form = arena_zalloc(a, sizeof *form);

    if (form_build(cmd, req->row, a, form, e) != 0)
        return -1;
    req->form = form;
    req->body = STR_NULL;
    return 0;
}

size_t request_body_len(const struct request *req)
{
    return req->form != NULL ? req->form->len : req->body.len;
}

struct str request_decode(struct str s, struct arena *a)
{
    char *out = arena_alloc(a, s.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        int c = s.ptr[i] == '%' && s.len - i > 2 ? request_hex(s.ptr + i + 1) : -1;
        out[n++] = (char)(c >= 0 ? c : s.ptr[i]);
        i += c >= 0 ? 2 : 0;
    }
    out[n] = 0;
    return (struct str){out, n};
}

/* The segment "cnv_..." of a URL's or a relative path, the first there is. */
static struct str conversation_of(const char *location)
{
    static const char id[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    struct str rest = {location, strcspn(location, "?#")};

    while (rest.ptr != NULL) {
        struct str segment = str_split(&rest, '/');
        size_t n = str_starts(segment, "cnv_") ? 4 : 0;
        while (n > 0 && n < segment.len && memchr(id, segment.ptr[n], sizeof id - 1))
            n++;
        if (n > 4 && n == segment.len && n <= ID_MAX_BYTES)
            return segment;
    }
    return STR_NULL;
}

static bool is_call(const struct command *cmd)
{
    return str_is(cmd->operation, "call");
}

static void hash(EVP_MD_CTX *ctx, struct str s)
{
    if ((s.len > 0 && EVP_DigestUpdate(ctx, s.ptr, s.len) != 1) ||
        EVP_DigestUpdate(ctx, "", 1) != 1)
        abort();
}

/* Of fixed length, and so without an end. */
static void hash_file(EVP_MD_CTX *ctx, const struct attachment *file)
{
    unsigned char md[EVP_MAX_MD_SIZE];

    hash(ctx, STR_NULL);
    hash(ctx, file->filename);
    hash(ctx, file->content_type);
    hash(ctx, file->url.ptr != NULL ? STR_LIT("url") : STR_LIT("data"));
    if (file->url.ptr != NULL)
        hash(ctx, file->url);
    else if (EVP_Digest(file->data.ptr, file->data.len, md, NULL, EVP_sha256(), NULL) !=
                 1 ||
             EVP_DigestUpdate(ctx, md, 32) != 1)
        abort();
}

static int by_name(const void *a, const void *b)
{
    const struct pair *x = *(const struct pair *const *)a;
    const struct pair *y = *(const struct pair *const *)b;
    size_t n = x->name.len < y->name.len ? x->name.len : y->name.len;
    int c = n > 0 ? memcmp(x->name.ptr, y->name.ptr, n) : 0;

    return c != 0 ? c : (x->name.len > y->name.len) - (x->name.len < y->name.len);
}

static void hash_pairs(EVP_MD_CTX *ctx, const struct pair *pairs, size_t n)
{
    const struct pair **sorted = mem_array(n + 1, sizeof *sorted);

    for (size_t i = 0; i < n; i++)
        sorted[i] = &pairs[i];
    qsort(sorted, n, sizeof *sorted, by_name);
    for (size_t i = 0; i < n; i++) {
        hash(ctx, sorted[i]->name);
        hash(ctx, sorted[i]->value);
    }
    mem_free(sorted);
}
