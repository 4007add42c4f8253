/* Cells: reading and filling values of avro-c by the names of our nodes.
 *
 * Owns nothing. Invariant: a cell's node and value are the same place, and when reading
 * never a union: it was entered. */
#include "codec/avro.h"

#include <stdlib.h>
#include <string.h>

enum { KEY_MAX = 1024 };

bool cell_unwrap(struct cell *c)
{
    avro_value_t branch;
    int i;

    while (c->node->type == AVRO_UNION) {
        if (avro_value_get_discriminant(&c->value, &i) != 0 || i < 0 ||
            avro_value_get_current_branch(&c->value, &branch) != 0)
            return false;
        c->node = c->node->kids[i];
        c->value = branch;
    }
    return c->node->type != AVRO_NULL;
}

bool cell_place(const struct cell *rec, const char *name, size_t *hint, struct cell *out)
{
    const struct avro_node *node = rec->node;
    size_t tried, i = *hint;

    if (node->type != AVRO_RECORD)
        return false;
    for (tried = 0; tried < node->n; tried++, i++) {
        if (i >= node->n)
            i = 0;
        if (strcmp(node->names[i], name) != 0)
            continue;
        *hint = i + 1;
        out->node = node->kids[i];
        return avro_value_get_by_index(&rec->value, i, &out->value, NULL) == 0;
    }
    return false;
}

bool cell_field(const struct cell *rec, const char *name, size_t *hint, struct cell *out)
{
    return cell_place(rec, name, hint, out) && cell_unwrap(out);
}

size_t cell_size(const struct cell *c)
{
    size_t n = 0;

    (void)avro_value_get_size(&c->value, &n);
    return n;
}

bool cell_at(const struct cell *c, size_t i, struct cell *out, const char **key)
{
    out->node = c->node->type == AVRO_RECORD ? c->node->kids[i] : c->node->kids[0];
    return avro_value_get_by_index(&c->value, i, &out->value, key) == 0 &&
           cell_unwrap(out);
}

static int peek_string(const struct cell *c, struct str *out)
{
    size_t size;

    if (avro_value_get_string(&c->value, &out->ptr, &size) != 0)
        return -1;
    out->len = size - 1; /* avro-c counts its NUL */
    return 0;
}

int cell_peek_bytes(const struct cell *c, struct str *out)
{
    const void *p = NULL;

    if (c->node->type == AVRO_STRING)
        return peek_string(c, out);
    if (c->node->type == AVRO_BYTES) { /* avro.c: where they stand in the datum */
        size_t size;

        if (avro_value_get_bytes(&c->value, &p, &size) != 0 || size != sizeof(*out))
            return -1;
        memcpy(out, p, sizeof(*out));
        return 0;
    }
    if (c->node->type != AVRO_FIXED ||
        avro_value_get_fixed(&c->value, &p, &out->len) != 0) {
        return -1;
    }
    out->ptr = p != NULL ? p : "";
    return 0;
}

int cell_peek(const struct cell *c, struct str *out)
{
    int symbol;

    if (c->node->type == AVRO_STRING)
        return peek_string(c, out);
    if (c->node->type == AVRO_BYTES)
        return cell_peek_bytes(c, out) == 0 && utf8_valid(*out) ? 0 : -1;
    if (c->node->type != AVRO_ENUM || avro_value_get_enum(&c->value, &symbol) != 0)
        return -1;
    *out = str_of(c->node->names[symbol]);
    return 0;
}

static int keep(struct arena *a, int rc, struct str *text)
{
    if (rc == 0)
        text->ptr = arena_strndup(a, text->ptr, text->len);
    return rc;
}

int cell_bytes(const struct cell *c, struct arena *a, struct str *out)
{
    struct str bytes;

    if (keep(a, cell_peek_bytes(c, &bytes), &bytes) != 0)
        return -1;
    *out = bytes;
    return 0;
}

int cell_bytes_in_place(const struct cell *c, struct arena *a, struct str *out)
{
    return c->node->type == AVRO_BYTES ? cell_peek_bytes(c, out) : cell_bytes(c, a, out);
}

int cell_string(const struct cell *c, struct arena *a, struct str *out)
{
    struct str text;

    if (keep(a, cell_peek(c, &text), &text) != 0)
        return -1;
    *out = text;
    return 0;
}

int cell_long(const struct cell *c, int64_t *out)
{
    int32_t n;

    if (c->node->type == AVRO_INT64)
        return avro_value_get_long(&c->value, out) == 0 ? 0 : -1;
    if (c->node->type != AVRO_INT32 || avro_value_get_int(&c->value, &n) != 0)
        return -1;
    *out = n;
    return 0;
}

int cell_double(const struct cell *c, double *out)
{
    float x;

    if (c->node->type == AVRO_DOUBLE)
        return avro_value_get_double(&c->value, out) == 0 ? 0 : -1;
    if (c->node->type != AVRO_FLOAT || avro_value_get_float(&c->value, &x) != 0)
        return -1;
    *out = (double)x;
    return 0;
}

int cell_boolean(const struct cell *c, bool *out)
{
    int b;

    if (c->node->type != AVRO_BOOLEAN || avro_value_get_boolean(&c->value, &b) != 0)
        return -1;
    *out = b != 0;
    return 0;
}

/* The place for a value of `type`: the cell itself, or the branch of its union, chosen.
 */
static int choose(const struct cell *c, avro_type_t type, struct cell *out)
{
    size_t i;

    *out = *c;
    if (c->node->type == type)
        return 0;
    for (i = 0; c->node->type == AVRO_UNION && i < c->node->n; i++) {
        if (c->node->kids[i]->type != type)
            continue;
        out->node = c->node->kids[i];
        return avro_value_set_branch(&c->value, (int)i, &out->value) == 0 ? 0 : -1;
    }
    return -1;
}

int cell_set_null(const struct cell *c)
{
    struct cell at;

    return choose(c, AVRO_NULL, &at) == 0 && avro_value_set_null(&at.value) == 0 ? 0 : -1;
}

/* Given to avro-c instead of set: no copy is made, and its set would read a NUL behind
 * the text that a slice does not have. Writing never looks at that NUL, only counts it.
 */
int cell_set_string(const struct cell *c, struct str s)
{
    avro_wrapped_buffer_t text;
    struct cell at;

    if (choose(c, AVRO_STRING, &at) != 0)
        return -1;
    (void)avro_wrapped_buffer_new(&text, s.len > 0 ? s.ptr : "", s.len + 1);
    return avro_value_give_string_len(&at.value, &text) == 0 ? 0 : -1;
}

int cell_set_bytes(const struct cell *c, struct str s)
{
    avro_wrapped_buffer_t bytes;
    struct cell at;

    if (choose(c, AVRO_BYTES, &at) != 0)
        return -1;
    (void)avro_wrapped_buffer_new(&bytes, s.len > 0 ? s.ptr : "", s.len);
    return avro_value_give_bytes(&at.value, &bytes) == 0 ? 0 : -1;
}

int cell_set_long(const struct cell *c, int64_t n)
{
    struct cell at;

    if (choose(c, AVRO_INT64, &at) == 0)
        return avro_value_set_long(&at.value, n) == 0 ? 0 : -1;
    if (n < INT32_MIN || n > INT32_MAX || choose(c, AVRO_INT32, &at) != 0)
        return -1;
    return avro_value_set_int(&at.value, (int32_t)n) == 0 ? 0 : -1;
}

int cell_set_double(const struct cell *c, double x)
{
    struct cell at;

    return choose(c, AVRO_DOUBLE, &at) == 0 && avro_value_set_double(&at.value, x) == 0
               ? 0
               : -1;
}

int cell_set_boolean(const struct cell *c, bool b)
{
    struct cell at;

    return choose(c, AVRO_BOOLEAN, &at) == 0 && avro_value_set_boolean(&at.value, b) == 0
               ? 0
               : -1;
}

int cell_enter(const struct cell *c, avro_type_t type, struct cell *out)
{
    return choose(c, type, out);
}

void cell_append(const struct cell *array, struct cell *out)
{
    out->node = array->node->kids[0];
    if (avro_value_append(&array->value, &out->value, NULL) != 0)
        abort(); /* as mem_alloc does */
}

int cell_add(const struct cell *map, struct str key, struct cell *out)
{
    char small[KEY_MAX];
    char *text = key.len < sizeof(small) ? small : mem_alloc(key.len + 1);
    int rc = -1;

    if (key.len == 0 || memchr(key.ptr, '\0', key.len) == NULL) {
        if (key.len > 0)
            memcpy(text, key.ptr, key.len);
        text[key.len] = '\0';
        out->node = map->node->kids[0];
        rc = avro_value_add(&map->value, text, &out->value, NULL, NULL) == 0 ? 0 : -1;
    }
    if (text != small)
        mem_free(text);
    return rc;
}
