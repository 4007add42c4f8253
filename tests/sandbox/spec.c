/* Reads the catalogue into structs and finds the operation of a request. The texts stay
 * in the JSON tree, which lives as long as the spec; a shape refers to another by
 * pointer, so all shapes are allocated before any is filled. */
#include "spec.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* The catalogue, compiled in by the assembler (path from the root of the repository). */
__asm__(".section .rodata\n"
        ".global sandbox_catalogue\n"
        ".global sandbox_catalogue_end\n"
        "sandbox_catalogue:\n"
        ".incbin \"schemas/catalogue.json\"\n"
        "sandbox_catalogue_end:\n"
        ".byte 0\n"
        ".previous\n");
extern const char sandbox_catalogue[];
extern const char sandbox_catalogue_end[];

static const char *const field_types[] = {"string", "boolean", "long",  "double", "time",
                                          "json",   "object",  "shape", "file",   "map"};
static const char *const answer_kinds[] = {"none", "object", "list", "accepted",
                                           "binary"};

static int word_index(const char *const *words, size_t n, const char *word)
{
    for (size_t i = 0; word != NULL && i < n; i++)
        if (strcmp(words[i], word) == 0)
            return (int)i;
    return -1;
}

static const char *text_of(const json_t *j, const char *key)
{
    return json_string_value(json_object_get(j, key));
}

static bool true_of(const json_t *j, const char *key)
{
    return json_is_true(json_object_get(j, key));
}

const struct shape *spec_shape(const struct spec *sp, const char *name)
{
    for (size_t i = 0; name != NULL && i < sp->n_shapes; i++)
        if (strcmp(sp->shapes[i].name, name) == 0)
            return &sp->shapes[i];
    return NULL;
}

struct operation *spec_find(const struct spec *sp, const char *name)
{
    for (size_t i = 0; name != NULL && i < sp->n_operations; i++)
        if (strcmp(sp->operations[i].name, name) == 0)
            return &sp->operations[i];
    return NULL;
}

static int fields_load(const struct spec *sp, const json_t *from, struct field **out,
                       size_t *n, struct err *e)
{
    *n = json_array_size(from);
    *out = mem_array(*n + 1, sizeof **out);
    for (size_t i = 0; i < *n; i++) {
        const json_t *j = json_array_get(from, i);
        struct field *f = &(*out)[i];
        int type = word_index(field_types, sizeof field_types / sizeof field_types[0],
                              text_of(j, "type"));
        f->name = text_of(j, "name");
        if (f->name == NULL || type < 0)
            return err_set(e, ERR_SETTINGS,
                           "catalogue: a field without name or known type");
        f->type = (enum field_type)type;
        f->array = true_of(j, "array");
        f->required = true_of(j, "required");
        f->nullable = true_of(j, "nullable");
        f->link = text_of(j, "link");
        f->json = json_object_get(j, "json");
        f->values = json_object_get(j, "values");
        if (f->type == FIELD_SHAPE) {
            f->shape = spec_shape(sp, text_of(j, "shape"));
            if (f->shape == NULL)
                return err_set(e, ERR_SETTINGS, "catalogue: %s has an unknown shape",
                               f->name);
        }
        if (fields_load(sp, json_object_get(j, "fields"), &f->fields, &f->n_fields, e) <
            0)
            return -1;
    }
    return 0;
}

static void fields_free(struct field *fields, size_t n)
{
    for (size_t i = 0; i < n; i++)
        fields_free(fields[i].fields, fields[i].n_fields);
    mem_free(fields);
}

static int shapes_load(struct spec *sp, struct err *e)
{
    const json_t *all = json_object_get(sp->tree, "shapes");
    size_t i = 0;
    sp->shapes = mem_array(json_object_size(all) + 1, sizeof *sp->shapes);
    for (void *it = json_object_iter((json_t *)(uintptr_t)all); it != NULL;
         it = json_object_iter_next((json_t *)(uintptr_t)all, it))
        sp->shapes[sp->n_shapes++].name = json_object_iter_key(it);
    for (i = 0; i < sp->n_shapes; i++) {
        struct shape *s = &sp->shapes[i];
        if (fields_load(sp, json_object_get(all, s->name), &s->fields, &s->n_fields, e) <
            0)
            return -1;
    }
    return 0;
}

/* Splits a template; the texts are copies that live with the operation. */
static int path_load(struct operation *op, struct err *e)
{
    struct str rest = str_of(op->path);
    while (rest.ptr != NULL) {
        struct str s = str_split(&rest, '/');
        size_t i = op->n_segments;
        if (s.len == 0)
            continue;
        if (i == SEGMENTS_MAX)
            return err_set(e, ERR_SETTINGS, "catalogue: the path of %s is too long",
                           op->name);
        if (s.len > 2 && s.ptr[0] == '{')
            op->params[i] = mem_strndup(s.ptr + 1, s.len - 2);
        else
            op->segments[i] = mem_strndup(s.ptr, s.len);
        op->n_segments++;
    }
    return 0;
}

static int operation_load(const struct spec *sp, const json_t *j, struct operation *op,
                          struct err *e)
{
    const json_t *answer = json_object_get(j, "answer");
    const char *statuses = text_of(j, "statuses"), *klass = text_of(j, "class");
    const char *auth = text_of(j, "auth");
    int kind = word_index(answer_kinds, sizeof answer_kinds / sizeof answer_kinds[0],
                          text_of(answer, "kind"));
    op->name = text_of(j, "name");
    op->method = text_of(j, "method");
    op->path = text_of(j, "path");
    if (op->name == NULL || op->method == NULL || op->path == NULL || statuses == NULL ||
        klass == NULL || auth == NULL || kind < 0)
        return err_set(e, ERR_SETTINGS,
                       "catalogue: an operation lacks a required member");
    op->repeat_class = klass[0];
    op->guard = text_of(j, "guard");
    op->guard_param = text_of(j, "guard_param");
    op->channel_api = strcmp(auth, "channel") == 0;
    op->body = true_of(j, "body");
    op->merged_301 = true_of(j, "merged_301");
    op->paged = true_of(j, "paged");
    op->page_max = (int)json_integer_value(json_object_get(j, "page_max"));
    op->file_field = text_of(j, "file_field");
    op->one_of = json_object_get(j, "one_of");
    int64_t status = 0;
    struct str list = str_of(statuses);
    if (parse_i64(str_split(&list, ','), 200, 299, &status, e) < 0)
        return err_prefix(e, "catalogue: statuses of %s", op->name);
    op->status = (int)status;
    op->answer = (enum answer_kind)kind;
    op->shape = spec_shape(sp, text_of(answer, "shape"));
    op->pagination = true_of(answer, "pagination");
    if (path_load(op, e) < 0)
        return -1;
    return fields_load(sp, json_object_get(j, "fields"), &op->fields, &op->n_fields, e);
}

/* By number of segments and first segment (always literal but for none). */
static size_t bucket_of(const char *first, size_t n)
{
    size_t h = n;
    for (; first != NULL && *first != '\0'; first++)
        h = h * 31 + (unsigned char)*first;
    return h % ROUTE_BUCKETS;
}

/* Literal segments beat parameters: an operation with fewer parameters comes first. */
static size_t params_of(const struct operation *op)
{
    size_t n = 0;
    for (size_t i = 0; i < op->n_segments; i++)
        n += op->params[i] != NULL;
    return n;
}

static void route_add(struct spec *sp, struct operation *op)
{
    struct operation **at = &sp->buckets[bucket_of(op->segments[0], op->n_segments)];
    while (*at != NULL && params_of(*at) <= params_of(op))
        at = &(*at)->next;
    op->next = *at;
    *at = op;
}

int spec_load(struct spec *sp, const char *file, struct err *e)
{
    json_error_t je;
    memset(sp, 0, sizeof *sp);
    if (file != NULL)
        sp->tree = json_load_file(file, 0, &je);
    else
        sp->tree =
            json_loadb(sandbox_catalogue,
                       (size_t)(sandbox_catalogue_end - sandbox_catalogue), 0, &je);
    if (sp->tree == NULL)
        return err_set(e, ERR_SETTINGS, "catalogue: line %d: %s", je.line, je.text);
    if (shapes_load(sp, e) < 0)
        return -1;
    const json_t *all = json_object_get(sp->tree, "operations");
    sp->operations = mem_array(json_array_size(all) + 1, sizeof *sp->operations);
    for (size_t i = 0; i < json_array_size(all); i++) {
        struct operation *op = &sp->operations[sp->n_operations++];
        if (operation_load(sp, json_array_get(all, i), op, e) < 0)
            return -1;
        route_add(sp, op);
    }
    return 0;
}

void spec_fini(struct spec *sp)
{
    for (size_t i = 0; i < sp->n_shapes; i++)
        fields_free(sp->shapes[i].fields, sp->shapes[i].n_fields);
    for (size_t i = 0; i < sp->n_operations; i++) {
        struct operation *op = &sp->operations[i];
        fields_free(op->fields, op->n_fields);
        for (size_t k = 0; k < op->n_segments; k++) {
            mem_free((char *)(uintptr_t)op->segments[k]);
            mem_free((char *)(uintptr_t)op->params[k]);
        }
    }
    mem_free(sp->shapes);
    mem_free(sp->operations);
    json_decref(sp->tree);
}

static bool path_matches(const struct operation *op, char *const *segments, size_t n)
{
    if (op->n_segments != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (op->segments[i] != NULL && strcmp(op->segments[i], segments[i]) != 0)
            return false;
    return true;
}

struct operation *spec_match(const struct spec *sp, const char *method,
                             char *const *segments, size_t n, bool channel_api,
                             bool *path_known)
{
    struct operation *found = NULL;
    struct operation *op = n > 0 ? sp->buckets[bucket_of(segments[0], n)] : NULL;
    *path_known = false;
    for (; op != NULL; op = op->next) {
        if (!path_matches(op, segments, n))
            continue;
        *path_known = true;
        if (strcmp(op->method, method) != 0)
            continue;
        if (op->channel_api == channel_api)
            return op;
        if (found == NULL)
            found = op;
    }
    return found;
}
