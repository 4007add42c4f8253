/* multipart/form-data as the JSON object it stands for: "a[b][0]" is a path, texts stay
 * texts (check.c turns them into numbers), a file becomes an object of KIND_FILE and
 * {"_file": id}. */
#include <string.h>
#include <strings.h>

#include "base/mem.h"

#include "sandbox.h"

#define NAME_MAX_BYTES 200

struct part {
    char name[NAME_MAX_BYTES], filename[NAME_MAX_BYTES], type[100];
    bool is_file;
    struct str content;
};

/* The next line of the head, without its CRLF; false at the empty line or the end. */
static bool next_line(struct str *rest, struct str *line)
{
    const char *end = memmem(rest->ptr, rest->len, "\r\n", 2);
    if (end == NULL)
        return false;
    line->ptr = rest->ptr;
    line->len = (size_t)(end - rest->ptr);
    rest->len -= line->len + 2;
    rest->ptr = end + 2;
    return line->len > 0;
}

static bool quoted(struct str line, const char *key, char *out, size_t size)
{
    const char *at = memmem(line.ptr, line.len, key, strlen(key));
    if (at == NULL)
        return false;
    at += strlen(key);
    const char *end = memchr(at, '"', line.len - (size_t)(at - line.ptr));
    size_t n = end != NULL ? (size_t)(end - at) : 0;
    if (end == NULL || n >= size)
        return false;
    memcpy(out, at, n);
    out[n] = '\0';
    return true;
}

static bool part_read(struct str text, struct part *p)
{
    struct str line;
    memset(p, 0, sizeof *p);
    snprintf(p->type, sizeof p->type, "application/octet-stream");
    while (next_line(&text, &line)) {
        if (line.len > 20 && strncasecmp(line.ptr, "Content-Disposition:", 20) == 0) {
            p->is_file = quoted(line, "filename=\"", p->filename, sizeof p->filename);
            if (!quoted(line, " name=\"", p->name, sizeof p->name))
                return false;
        } else if (line.len > 13 && strncasecmp(line.ptr, "Content-Type:", 13) == 0) {
            struct str v = str_trim((struct str){line.ptr + 13, line.len - 13});
            snprintf(p->type, sizeof p->type, "%.*s", STR_ARG(v));
        }
    }
    p->content = text;
    return p->name[0] != '\0';
}

static json_t *file_make(struct sandbox *sb, const struct part *p)
{
    struct object *obj = store_add(&sb->store, KIND_FILE, NULL);
    store_set_text(obj, "filename", p->filename);
    store_set_text(obj, "content_type", p->type);
    store_set(obj, "size", json_integer((json_int_t)p->content.len));
    obj->blob =
        mem_dup(p->content.ptr, p->content.len + 1); /* the CRLF behind it is there */
    obj->blob_len = p->content.len;
    return json_pack("{s:s}", "_file", obj->id);
}

static bool is_index(const char *key)
{
    return key[strspn(key, "0123456789")] == '\0';
}

/* The container below `in` at `key`, made when it is new; NULL: the form contradicts
 * itself. */
static json_t *descend(json_t *in, const char *key, bool array)
{
    json_t *below = NULL;
    if (json_is_object(in))
        below = json_object_get(in, key);
    else if (key[0] != '\0') {
        struct err e = ERR_INIT;
        int64_t i = 0;
        if (parse_i64(str_of(key), 0, 10000, &i, &e) == 0)
            below = json_array_get(in, (size_t)i);
    }
    if (below == NULL) {
        below = array ? json_array() : json_object();
        int rc = json_is_object(in) ? json_object_set_new(in, key, below)
                                    : json_array_append_new(in, below);
        if (rc < 0)
            return NULL;
    }
    return json_is_object(below) || json_is_array(below) ? below : NULL;
}

static int put_value(json_t *root, char *name, json_t *value)
{
    json_t *at = root;
    char *key = name, *open = strchr(name, '[');
    while (open != NULL) {
        char *close = strchr(open, ']');
        if (close == NULL)
            return -1;
        *open = *close = '\0';
        at = descend(at, key, is_index(open + 1));
        if (at == NULL)
            return -1;
        key = open + 1;
        open = close[1] == '[' ? close + 1 : NULL;
    }
    if (json_is_array(at))
        return json_array_append(at, value);
    json_t *old = json_object_get(at, key);
    if (json_is_array(old)) /* the bare name again: one more of an array */
        return json_array_append(old, value);
    return json_object_set(at, key, value);
}

static int part_put(struct sandbox *sb, json_t *root, struct part *p, struct err *e)
{
    json_t *value =
        p->is_file ? file_make(sb, p) : json_stringn(p->content.ptr, p->content.len);
    if (value == NULL)
        return err_set(e, ERR_INPUT, "part \"%s\" is not UTF-8", p->name);
    bool bare = p->is_file && strcmp(p->name, "attachments") == 0;
    if (bare && json_object_get(root, "attachments") == NULL)
        (void)json_object_set_new(root, "attachments", json_array());
    int rc = put_value(root, p->name, value);
    json_decref(value);
    return rc < 0 ? err_set(e, ERR_INPUT, "part name \"%s\"", p->name) : 0;
}

json_t *multipart_parse(struct sandbox *sb, const char *content_type, struct str body,
                        struct err *e)
{
    const char *at = strstr(content_type, "boundary=");
    if (at == NULL) {
        err_set(e, ERR_INPUT, "no boundary");
        return NULL;
    }
    at += 9;
    at += *at == '"';
    char *mark = mem_printf("\r\n--%.*s", (int)strcspn(at, "\";, "), at);
    size_t len = strlen(mark);
    json_t *root = json_object();
    const char *start =
        body.len > len ? body.ptr + len - 2 : NULL; /* the first lacks its CRLF */
    struct part p;
    if (start == NULL || memcmp(body.ptr, mark + 2, len - 2) != 0)
        err_set(e, ERR_INPUT, "it does not begin with its boundary");
    while (e->kind == ERR_NONE && strncmp(start, "--", 2) != 0) {
        size_t left = body.len - (size_t)(start - body.ptr);
        const char *end = left > 2 ? memmem(start + 2, left - 2, mark, len) : NULL;
        if (end == NULL ||
            !part_read((struct str){start + 2, (size_t)(end - start) - 2}, &p))
            err_set(e, ERR_INPUT, "a part is cut or has no name");
        else if (part_put(sb, root, &p, e) == 0)
            start = end + len;
    }
    mem_free(mark);
    if (e->kind != ERR_NONE) {
        json_decref(root);
        return NULL;
    }
    return root;
}
