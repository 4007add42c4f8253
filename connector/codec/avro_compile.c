/* Compiles a schema's JSON text into nodes, refusing what is no schema or beyond the
 * limits, and has avro-c compile its own form of the same text.
 *
 * Owns nothing between calls. Invariant: whatever compiles has a finite smallest value of
 * at most AVRO_NODES_MAX values, because avro-c builds that value, recursively, as soon
 * as it is asked to. */
#include "codec/avro.h"

#include <assert.h>
#include <ctype.h>
#include <jansson.h>
#include <string.h>

enum { FIXED_MAX = 1024 * 1024, PRIMITIVES = 8 };

struct compiler {
    struct arena *arena;
    struct err *e;
    struct avro_node **named;
    size_t n_named, cap_named;
    size_t nodes;
    struct avro_node *primitives[PRIMITIVES]; /* one node each, shared; NULL until used */
};

static struct avro_node *compile(struct compiler *c, const json_t *j, const char *space,
                                 unsigned depth);

static const struct primitive {
    const char *name;
    avro_type_t type;
} primitives[PRIMITIVES] = {
    {"null", AVRO_NULL},   {"boolean", AVRO_BOOLEAN}, {"int", AVRO_INT32},
    {"long", AVRO_INT64},  {"float", AVRO_FLOAT},     {"double", AVRO_DOUBLE},
    {"bytes", AVRO_BYTES}, {"string", AVRO_STRING},
};

static struct avro_node *refuse(struct compiler *c, const char *what, const char *name)
{
    (void)err_set(c->e, ERR_INPUT, "%s%s%s", what, name != NULL ? ": " : "",
                  name != NULL ? name : "");
    return NULL;
}

static struct avro_node *node_new(struct compiler *c, avro_type_t type)
{
    struct avro_node *node;

    if (++c->nodes > AVRO_NODES_MAX) {
        (void)refuse(c, "a schema with too many types", NULL);
        return NULL;
    }
    node = arena_zalloc(c->arena, sizeof(*node));
    node->type = type;
    return node;
}

/* The node of a primitive type; NULL (and no error) when `name` is none. */
static struct avro_node *primitive_find(struct compiler *c, const char *name)
{
    size_t i;

    for (i = 0; i < PRIMITIVES; i++) {
        if (strcmp(primitives[i].name, name) != 0)
            continue;
        if (c->primitives[i] == NULL)
            c->primitives[i] = node_new(c, primitives[i].type);
        return c->primitives[i];
    }
    return NULL;
}

/* [A-Za-z_][A-Za-z0-9_]*, with dots between such parts when `dotted`. */
static bool name_is_valid(const char *name, bool dotted)
{
    bool first = true;

    for (; *name != '\0'; name++) {
        unsigned char ch = (unsigned char)*name;

        if (dotted && !first && ch == '.') {
            first = true;
            continue;
        }
        if (ch != '_' && !(isascii(ch) && (isalpha(ch) || (!first && isdigit(ch)))))
            return false;
        first = false;
    }
    return !first;
}

/* The full name of `name` seen from a namespace. */
static const char *full_name(struct compiler *c, const char *name, const char *space)
{
    if (strchr(name, '.') != NULL || space == NULL || *space == '\0')
        return arena_strndup(c->arena, name, strlen(name));
    return arena_printf(c->arena, "%s.%s", space, name);
}

/* The namespace that a full name's own parts are seen from. */
static const char *space_of(struct compiler *c, const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot != NULL ? arena_strndup(c->arena, name, (size_t)(dot - name)) : "";
}

static struct avro_node *named_find(struct compiler *c, const char *name)
{
    size_t i;

    for (i = 0; i < c->n_named; i++)
        if (strcmp(c->named[i]->name, name) == 0)
            return c->named[i];
    return NULL;
}

/* Makes the node of a record, enum or fixed known under its name. */
static struct avro_node *named_new(struct compiler *c, avro_type_t type, const json_t *j,
                                   const char *space)
{
    const char *name = json_string_value(json_object_get(j, "name"));
    const json_t *own = json_object_get(j, "namespace");
    struct avro_node *node;

    if (name == NULL || !name_is_valid(name, true)) {
        (void)refuse(c, "a named type without a proper name", name);
        return NULL;
    }
    if (json_is_string(own))
        space = json_string_value(own);
    if (space != NULL && *space != '\0' && !name_is_valid(space, true)) {
        (void)refuse(c, "not a namespace", space);
        return NULL;
    }
    node = node_new(c, type);
    if (node == NULL)
        return NULL;
    node->name = full_name(c, name, space);
    if (primitive_find(c, node->name) != NULL || named_find(c, node->name) != NULL) {
        (void)refuse(c, "a name defined twice", node->name);
        return NULL;
    }
    if (c->n_named == c->cap_named) {
        c->cap_named = c->cap_named > 0 ? c->cap_named * 2 : 16;
        c->named = mem_realloc(c->named, c->cap_named * sizeof(struct avro_node *));
    }
    node->index = c->n_named;
    c->named[c->n_named++] = node;
    return node;
}

/* Appends a field's or symbol's name. */
static bool add_name(struct compiler *c, struct avro_node *node, const char *name)
{
    size_t i;

    if (name == NULL || !name_is_valid(name, false)) {
        (void)refuse(c, "a field or symbol without a proper name", name);
        return false;
    }
    for (i = 0; i < node->n; i++)
        if (strcmp(node->names[i], name) == 0) {
            (void)refuse(c, "a field or symbol twice", name);
            return false;
        }
    node->names[node->n] = arena_strndup(c->arena, name, strlen(name));
    return true;
}

static struct avro_node *compile_record(struct compiler *c, const json_t *j,
                                        const char *space, unsigned depth)
{
    const json_t *fields = json_object_get(j, "fields");
    struct avro_node *node = named_new(c, AVRO_RECORD, j, space);
    size_t n = json_array_size(fields), i;

    if (node == NULL)
        return NULL;
    if (!json_is_array(fields))
        return refuse(c, "a record without fields", node->name);
    space = space_of(c, node->name);
    node->names = arena_zalloc(c->arena, n * sizeof(const char *));
    node->kids = arena_zalloc(c->arena, n * sizeof(struct avro_node *));
    for (i = 0; i < n; i++) {
        const json_t *field = json_array_get(fields, i);
        struct avro_node *kid;

        if (!add_name(c, node, json_string_value(json_object_get(field, "name"))))
            return NULL;
        kid = compile(c, json_object_get(field, "type"), space, depth);
        if (kid == NULL) {
            (void)err_prefix(c->e, "%s", node->names[node->n]);
            return NULL;
        }
        node->kids[node->n++] = kid;
    }
    return node;
}

static struct avro_node *compile_enum(struct compiler *c, const json_t *j,
                                      const char *space)
{
    const json_t *symbols = json_object_get(j, "symbols");
    struct avro_node *node = named_new(c, AVRO_ENUM, j, space);
    size_t n = json_array_size(symbols), i;

    if (node == NULL)
        return NULL;
    if (n == 0 || n > AVRO_NODES_MAX)
        return refuse(c, "an enum without symbols, or with too many", node->name);
    node->names = arena_zalloc(c->arena, n * sizeof(const char *));
    for (i = 0; i < n; i++, node->n++)
        if (!add_name(c, node, json_string_value(json_array_get(symbols, i))))
            return NULL;
    return node;
}

static struct avro_node *compile_fixed(struct compiler *c, const json_t *j,
                                       const char *space)
{
    const json_t *size = json_object_get(j, "size");
    struct avro_node *node = named_new(c, AVRO_FIXED, j, space);

    if (node == NULL)
        return NULL;
    if (!json_is_integer(size) || json_integer_value(size) < 1 ||
        json_integer_value(size) > FIXED_MAX)
        return refuse(c, "a fixed without a proper size", node->name);
    node->n = (size_t)json_integer_value(size);
    return node;
}

/* An array or a map. */
static struct avro_node *compile_many(struct compiler *c, avro_type_t type,
                                      const json_t *items, const char *space,
                                      unsigned depth)
{
    struct avro_node *node = node_new(c, type);
    struct avro_node *kid;

    if (node == NULL)
        return NULL;
    kid = compile(c, items, space, depth);
    if (kid == NULL)
        return NULL;
    node->kids = arena_zalloc(c->arena, sizeof(struct avro_node *));
    node->kids[0] = kid;
    node->n = 1;
    return node;
}

/* May both stand in one union? Named types differ by name, all others by type. */
static bool branches_clash(const struct avro_node *a, const struct avro_node *b)
{
    return a == b || (a->type == b->type && a->name == NULL);
}

static struct avro_node *compile_union(struct compiler *c, const json_t *j,
                                       const char *space, unsigned depth)
{
    struct avro_node *node = node_new(c, AVRO_UNION);
    size_t n = json_array_size(j), i, k;

    if (node == NULL)
        return NULL;
    if (n == 0)
        return refuse(c, "a union without branches", NULL);
    node->kids = arena_zalloc(c->arena, n * sizeof(struct avro_node *));
    for (i = 0; i < n; i++) {
        struct avro_node *kid = compile(c, json_array_get(j, i), space, depth);

        if (kid == NULL)
            return NULL;
        if (kid->type == AVRO_UNION)
            return refuse(c, "a union in a union", NULL);
        for (k = 0; k < node->n; k++)
            if (branches_clash(kid, node->kids[k]))
                return refuse(c, "a union with the same type twice", kid->name);
        node->kids[node->n++] = kid;
    }
    return node;
}

static struct avro_node *compile_word(struct compiler *c, const char *word,
                                      const char *space)
{
    struct avro_node *node = primitive_find(c, word);

    if (node == NULL)
        node = named_find(c, full_name(c, word, space));
    return node != NULL ? node : refuse(c, "an unknown type", word);
}

static struct avro_node *compile_object(struct compiler *c, const json_t *j,
                                        const char *space, unsigned depth)
{
    const json_t *type = json_object_get(j, "type");
    const char *word = json_string_value(type);
    const char *logical = json_string_value(json_object_get(j, "logicalType"));
    struct avro_node *node;

    if (word == NULL)
        return compile(c, type, space, depth);
    if (strcmp(word, "record") == 0 || strcmp(word, "error") == 0)
        return compile_record(c, j, space, depth);
    if (strcmp(word, "enum") == 0)
        return compile_enum(c, j, space);
    if (strcmp(word, "fixed") == 0)
        return compile_fixed(c, j, space);
    if (strcmp(word, "array") == 0)
        return compile_many(c, AVRO_ARRAY, json_object_get(j, "items"), space, depth);
    if (strcmp(word, "map") == 0)
        return compile_many(c, AVRO_MAP, json_object_get(j, "values"), space, depth);
    if (strcmp(word, "long") != 0 || logical == NULL ||
        strcmp(logical, "timestamp-micros") != 0)
        return compile_word(c, word, space);
    node = node_new(c, AVRO_INT64);
    if (node != NULL)
        node->micros = true;
    return node;
}

static struct avro_node *compile(struct compiler *c, const json_t *j, const char *space,
                                 unsigned depth)
{
    if (depth == 0)
        return refuse(c, "a schema nested too deep", NULL);
    if (json_is_string(j))
        return compile_word(c, json_string_value(j), space);
    if (json_is_array(j))
        return compile_union(c, j, space, depth - 1);
    if (json_is_object(j))
        return compile_object(c, j, space, depth - 1);
    return refuse(c, "a type is missing", NULL);
}

/* How large is the smallest value? Records contain their fields whatever the data says;
 * all else may be empty. Refuses what contains itself. */
static int measure(struct avro_node *node, unsigned room, struct err *e)
{
    size_t weight = 1, i;

    if (room == 0 || node->height >= room)
        return err_set(e, ERR_INPUT, "a schema nested too deep, or a record in itself");
    if (node->weight > 0)
        return 0;
    for (i = 0; node->type == AVRO_RECORD && i < node->n; i++) {
        const struct avro_node *kid = node->kids[i];

        if (measure(node->kids[i], room - 1, e) != 0)
            return -1;
        weight += kid->weight;
        if (kid->height + 1 > node->height)
            node->height = kid->height + 1;
        if (weight > AVRO_NODES_MAX)
            return err_set(e, ERR_INPUT, "a schema whose smallest value is too large: %s",
                           node->name);
    }
    node->weight = weight;
    return 0;
}

/* Records that are only reached through arrays, maps and unions are measured on their
 * own. */
static int measure_all(const struct compiler *c, struct avro_node *root)
{
    size_t i;

    for (i = 0; i < c->n_named; i++)
        if (measure(c->named[i], AVRO_DEPTH_MAX, c->e) != 0)
            return -1;
    return measure(root, AVRO_DEPTH_MAX, c->e);
}

static int compile_text(struct avro_form *form, struct str text, struct err *e)
{
    struct compiler c = {.arena = &form->arena, .e = e};
    json_error_t why;
    json_t *j =
        json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    struct avro_node *root;
    int rc = -1;

    if (j == NULL)
        return err_set(e, ERR_INPUT, "not JSON: line %d: %s", why.line, why.text);
    root = compile(&c, j, NULL, AVRO_DEPTH_MAX + 1);
    if (root != NULL)
        rc = measure_all(&c, root);
    form->root = root;
    form->n_named = c.n_named;
    mem_free(c.named);
    json_decref(j);
    return rc;
}

static int compile_avro(struct avro_form *form, struct str text, struct err *e)
{
    if (avro_schema_from_json_length(text.ptr, text.len, &form->schema) != 0)
        return err_set(e, ERR_INPUT, "%s", avro_strerror());
    form->iface = avro_generic_class_from_schema(form->schema);
    if (form->iface == NULL || avro_generic_value_new(form->iface, &form->value) != 0)
        return err_set(e, ERR_INPUT, "%s", avro_strerror());
    return 0;
}

struct avro_form *avro_form_new(struct str text, struct err *e)
{
    struct avro_form *form;

    if (text.len > AVRO_SCHEMA_MAX) {
        (void)err_set(e, ERR_INPUT, "a schema of %zu bytes; at most %d", text.len,
                      AVRO_SCHEMA_MAX);
        return NULL;
    }
    form = mem_zalloc(sizeof(*form));
    arena_init(&form->arena, 2048);
    if (compile_text(form, text, e) != 0 || compile_avro(form, text, e) != 0) {
        avro_form_free(form);
        return NULL;
    }
    return form;
}

void avro_form_free(struct avro_form *form)
{
    if (form == NULL)
        return;
    if (form->value.iface != NULL)
        avro_value_decref(&form->value);
    if (form->iface != NULL)
        avro_value_iface_decref(form->iface);
    if (form->schema != NULL)
        avro_schema_decref(form->schema);
    arena_fini(&form->arena);
    mem_free(form);
}
