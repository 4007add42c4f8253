/* Schema text -> nodes, canonical form, fingerprint. Limits: 256 KiB of text, 32 levels,
 * 10,000 nodes. */
#include <stdio.h>
#include <string.h>

#include "codec/avro.h"
#include "codec/json.h"

#define TEXT_MAX (256 * 1024)
#define DEPTH_MAX 32
#define NODES_MAX 10000

struct compiler {
    struct arena *a;
    struct node *named[NODES_MAX / 10];
    size_t n_named, n_nodes;
    struct err *e;
};

static const char *const primitive_names[] = {"null",  "boolean", "int",   "long",
                                              "float", "double",  "bytes", "string"};

static struct node *compile(struct compiler *c, const json_t *json, const char *ns,
                            int depth);
static struct node *compile_name(struct compiler *c, const char *name, const char *ns);
static struct node *compile_named(struct compiler *c, const json_t *json,
                                  const char *type, const char *ns, int depth);
static int compile_fields(struct compiler *c, struct node *nd, const json_t *json,
                          const char *ns, int depth);
static struct node *compile_union(struct compiler *c, const json_t *json, const char *ns,
                                  int depth);
static struct node *new_node(struct compiler *c, enum node_type type, size_t parts);
static struct node *bad(struct compiler *c, const char *what, const char *detail);
static const char *full_name(struct compiler *c, const json_t *json, const char *ns);
static const char *namespace_of(struct compiler *c, const char *name);
static void canonical(struct buf *out, const struct node *nd, const struct node **seen,
                      size_t *n_seen);
static uint64_t rabin(struct str text);

struct schema *schema_compile(const char *text, size_t len, struct err *e)
{
    if (len > TEXT_MAX) {
        err_input(e, "SchemaUnknown", "the schema is over %d bytes", TEXT_MAX);
        return NULL;
    }
    json_error_t je;
    json_t *json = json_loadb(text, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &je);
    if (json == NULL) {
        err_input(e, "SchemaUnknown", "not JSON: %s", je.text);
        return NULL;
    }
    struct schema *sc = mem_zalloc(sizeof *sc);
    arena_init(&sc->arena, 0);
    struct compiler *c = mem_zalloc(sizeof *c);
    c->a = &sc->arena;
    c->e = e;
    sc->root = compile(c, json, "", 0);
    mem_free(c);
    json_decref(json);
    sc->text = mem_strndup(text, len);
    if (sc->root == NULL || avro_schema_from_json_length(text, len, &sc->library)) {
        if (e->kind == ERR_NONE)
            err_input(e, "SchemaUnknown", "not an Avro schema");
        schema_free(sc);
        return NULL;
    }
    struct buf out;
    const struct node *seen[NODES_MAX / 10];
    size_t n_seen = 0;
    buf_init(&out, 4 * TEXT_MAX);
    canonical(&out, sc->root, seen, &n_seen);
    sc->fingerprint = rabin(buf_str(&out));
    buf_fini(&out);
    sc->iface = avro_generic_class_from_schema(sc->library);
    avro_generic_value_new(sc->iface, &sc->value);
    return sc;
}

void schema_free(struct schema *sc)
{
    if (sc == NULL)
        return;
    if (sc->value.self != NULL)
        avro_value_decref(&sc->value);
    if (sc->iface != NULL)
        avro_value_iface_decref(sc->iface);
    if (sc->library != NULL)
        avro_schema_decref(sc->library);
    arena_fini(&sc->arena);
    mem_free(sc->text);
    mem_free(sc);
}

static struct node *compile(struct compiler *c, const json_t *json, const char *ns,
                            int depth)
{
    if (depth > DEPTH_MAX || c->n_nodes >= NODES_MAX)
        return bad(c, "too deep or too large", "");
    if (json_is_string(json))
        return compile_name(c, json_string_value(json), ns);
    if (json_is_array(json))
        return compile_union(c, json, ns, depth);
    const json_t *type = json_object_get(json, "type");
    if (!json_is_string(type))
        return type != NULL ? compile(c, type, ns, depth + 1) : bad(c, "no type", "");
    const char *t = json_string_value(type);
    bool array = strcmp(t, "array") == 0;
    if (array || strcmp(t, "map") == 0) {
        struct node *nd = new_node(c, array ? NODE_ARRAY : NODE_MAP, 1);
        nd->parts[0] =
            compile(c, json_object_get(json, array ? "items" : "values"), ns, depth + 1);
        return nd->parts[0] != NULL ? nd : NULL;
    }
    if (strcmp(t, "record") == 0 || strcmp(t, "error") == 0 || strcmp(t, "enum") == 0 ||
        strcmp(t, "fixed") == 0)
        return compile_named(c, json, t, ns, depth);
    return compile_name(c, t, ns);
}

static struct node *compile_name(struct compiler *c, const char *name, const char *ns)
{
    for (size_t i = 0; i < sizeof primitive_names / sizeof primitive_names[0]; i++)
        if (strcmp(name, primitive_names[i]) == 0)
            return new_node(c, (enum node_type)i, 0);
    const char *full = strchr(name, '.') != NULL || ns[0] == 0
                           ? name
                           : arena_printf(c->a, "%s.%s", ns, name);
    for (size_t i = 0; i < c->n_named; i++)
        if (strcmp(c->named[i]->name, full) == 0)
            return c->named[i];
    return bad(c, "unknown type", name);
}

static struct node *compile_named(struct compiler *c, const json_t *json,
                                  const char *type, const char *ns, int depth)
{
    const char *name = full_name(c, json, ns);
    if (name == NULL || c->n_named == NODES_MAX / 10)
        return bad(c, "no name", type);
    struct node *nd;
    const json_t *symbols = json_object_get(json, "symbols");
    if (strcmp(type, "enum") == 0) {
        nd = new_node(c, NODE_ENUM, json_array_size(symbols));
        for (size_t i = 0; i < nd->n; i++) {
            const char *symbol = json_string_value(json_array_get(symbols, i));
            if (symbol == NULL)
                return bad(c, "bad symbol in", name);
            nd->names[i] = arena_printf(c->a, "%s", symbol);
        }
    } else if (strcmp(type, "fixed") == 0) {
        json_int_t size = json_integer_value(json_object_get(json, "size"));
        nd = new_node(c, NODE_FIXED, 0);
        nd->n = size > 0 && size < TEXT_MAX ? (size_t)size : 0;
    } else {
        nd = new_node(c, NODE_RECORD, json_array_size(json_object_get(json, "fields")));
    }
    nd->name = name;
    c->named[c->n_named++] = nd;
    if (nd->type == NODE_RECORD && compile_fields(c, nd, json_object_get(json, "fields"),
                                                  namespace_of(c, name), depth))
        return NULL;
    return nd;
}

static int compile_fields(struct compiler *c, struct node *nd, const json_t *json,
                          const char *ns, int depth)
{
    for (size_t i = 0; i < nd->n; i++) {
        const json_t *field = json_array_get(json, i);
        const char *name = json_string_value(json_object_get(field, "name"));
        if (name == NULL) {
            (void)bad(c, "field without a name in", nd->name);
            return -1;
        }
        nd->names[i] = arena_printf(c->a, "%s", name);
        nd->parts[i] = compile(c, json_object_get(field, "type"), ns, depth + 1);
        if (nd->parts[i] == NULL)
            return -1;
    }
    return 0;
}

static struct node *compile_union(struct compiler *c, const json_t *json, const char *ns,
                                  int depth)
{
    struct node *nd = new_node(c, NODE_UNION, json_array_size(json));
    for (size_t i = 0; i < nd->n; i++) {
        nd->parts[i] = compile(c, json_array_get(json, i), ns, depth + 1);
        if (nd->parts[i] == NULL)
            return NULL;
    }
    return nd;
}

static struct node *new_node(struct compiler *c, enum node_type type, size_t parts)
{
    struct node *nd = arena_zalloc(c->a, sizeof *nd);
    c->n_nodes++;
    nd->type = type;
    nd->n = parts;
    if (parts > 0) {
        nd->parts = arena_zalloc(c->a, parts * sizeof(struct node *));
        nd->names = arena_zalloc(c->a, parts * sizeof *nd->names);
    }
    return nd;
}

static struct node *bad(struct compiler *c, const char *what, const char *detail)
{
    if (c->e->kind == ERR_NONE)
        err_input(c->e, "SchemaUnknown", "not an Avro schema: %s %s", what, detail);
    return NULL;
}

static const char *full_name(struct compiler *c, const json_t *json, const char *ns)
{
    const char *name = json_string_value(json_object_get(json, "name"));
    const char *own = json_string_value(json_object_get(json, "namespace"));
    if (name == NULL)
        return NULL;
    if (strchr(name, '.') != NULL)
        return arena_printf(c->a, "%s", name);
    if (own == NULL)
        own = ns;
    return own[0] != 0 ? arena_printf(c->a, "%s.%s", own, name)
                       : arena_printf(c->a, "%s", name);
}

static const char *namespace_of(struct compiler *c, const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot != NULL ? arena_strndup(c->a, name, (size_t)(dot - name)) : "";
}

/* Parsing canonical form: a named type in full once, then its name. */
static void canonical(struct buf *out, const struct node *nd, const struct node **seen,
                      size_t *n_seen)
{
    static const char *const kinds[] = {
        "", "", "", "", "", "", "", "", "record", "enum", "array", "map", "", "fixed"};
    for (size_t i = 0; nd->name != NULL && i < *n_seen; i++)
        if (seen[i] == nd) {
            buf_printf(out, "\"%s\"", nd->name);
            return;
        }
    if (nd->type <= NODE_STRING) {
        buf_printf(out, "\"%s\"", primitive_names[nd->type]);
        return;
    }
    if (nd->type == NODE_UNION) {
        for (size_t i = 0; i < nd->n; i++) {
            buf_add_char(out, i == 0 ? '[' : ',');
            canonical(out, nd->parts[i], seen, n_seen);
        }
        buf_add_cstr(out, nd->n == 0 ? "[]" : "]");
        return;
    }
    if (nd->name != NULL) {
        seen[(*n_seen)++] = nd;
        buf_printf(out, "{\"name\":\"%s\",\"type\":\"%s\"", nd->name, kinds[nd->type]);
    } else {
        buf_printf(out, "{\"type\":\"%s\"", kinds[nd->type]);
    }
    if (nd->type == NODE_RECORD) {
        buf_add_cstr(out, ",\"fields\":[");
        for (size_t i = 0; i < nd->n; i++) {
            buf_printf(out, "%s{\"name\":\"%s\",\"type\":", i ? "," : "", nd->names[i]);
            canonical(out, nd->parts[i], seen, n_seen);
            buf_add_char(out, '}');
        }
        buf_add_char(out, ']');
    } else if (nd->type == NODE_ENUM) {
        buf_add_cstr(out, ",\"symbols\":[");
        for (size_t i = 0; i < nd->n; i++)
            buf_printf(out, "%s\"%s\"", i ? "," : "", nd->names[i]);
        buf_add_char(out, ']');
    } else if (nd->type == NODE_FIXED) {
        buf_printf(out, ",\"size\":%zu", nd->n);
    } else {
        buf_add_cstr(out, nd->type == NODE_ARRAY ? ",\"items\":" : ",\"values\":");
        canonical(out, nd->parts[0], seen, n_seen);
    }
    buf_add_char(out, '}');
}

static uint64_t rabin(struct str text)
{
    const uint64_t empty = 0xc15d213aa4d7a795u;
    uint64_t fp = empty;
    for (size_t i = 0; i < text.len; i++) {
        fp ^= (unsigned char)text.ptr[i];
        for (int bit = 0; bit < 8; bit++)
            fp = fp >> 1 ^ (empty & -(fp & 1));
    }
    return fp;
}
