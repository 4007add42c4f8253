/* See with.h. */
#include "front/with.h"

#include <string.h>

#include "base/mem.h"
#include "codec/json.h"
#include "front/request.h"

struct wanted {
    const struct op *op;
    struct with *out;
    struct err *e;
};

static int add(const struct wanted *w, struct str name);
static int add_array(const struct wanted *w, struct str json);
static int add_names(const struct wanted *w, struct str names);
static const struct op *list_of(const struct op *op, struct str name);
static struct str below(const struct op *list, const char *resource);
static const char *name_all(const struct op *op, struct arena *a);

int with_read(const struct pair *params, size_t n_params, const struct op *op,
              struct with *out, struct err *e)
{
    struct wanted w = {op, out, e};
    struct str names = STR_NULL;

    *out = (struct with){.n = 0};
    for (size_t i = 0; i < n_params; i++)
        if (op_field(op, params[i].name, PLACE_WITH) != NULL)
            names = params[i].value;
    return request_is_array(names) ? add_array(&w, names) : add_names(&w, names);
}

static int add_names(const struct wanted *w, struct str names)
{
    if (names.len == 0)
        return 0;
    while (names.ptr != NULL)
        if (add(w, str_trim(str_split(&names, ','))) != 0)
            return -1;
    return 0;
}

static int add_array(const struct wanted *w, struct str json)
{
    struct str element, name;
    struct arena a;
    size_t pos = 0;
    int rc = 0;

    arena_init(&a, 0);
    while (rc == 0 && json_next(json, &pos, &element))
        rc = json_unquote_arena(element, &a, &name) == 0
                 ? add(w, name)
                 : err_input(w->e, "invalid-command", "with: must be names of lists");
    arena_fini(&a);
    return rc;
}

static int add(const struct wanted *w, struct str name)
{
    const struct op *list = list_of(w->op, name);
    int shown = name.len > 60 ? 60 : (int)name.len;
    struct arena a;

    if (list == NULL) {
        arena_init(&a, 0);
        (void)err_input(w->e, "invalid-command",
                        "with: a row of %s has no list `%.*s`; there %s", w->op->name,
                        text_printable(name) ? shown : 0, name.ptr, name_all(w->op, &a));
        arena_fini(&a);
        return -1;
    }
    for (size_t i = 0; i < w->out->n; i++)
        if (w->out->lists[i] == list)
            return err_input(w->e, "invalid-command", "with: `%.*s` is there twice",
                             STR_ARG(name));
    if (w->out->n == WITH_MAX)
        return err_input(w->e, "invalid-command", "with: more than %d lists", WITH_MAX);
    w->out->lists[w->out->n++] = list;
    return 0;
}

static const struct op *list_of(const struct op *op, struct str name)
{
    for (size_t i = 0; i < catalogue_table_n && op->resource != NULL; i++)
        if (name.len > 0 && str_eq(below(&catalogue_table[i], op->resource), name))
            return &catalogue_table[i];
    return NULL;
}

/* The word behind a row of that resource in the list's path; ptr NULL: it is no list of
 * such rows. Topics have dashes where paths have underscores. */
static struct str below(const struct op *list, const char *resource)
{
    struct str path = str_of(list->path), row;

    if (!list->list || list->items == NULL || list->auth != AUTH_TOKEN)
        return STR_NULL;
    (void)str_split(&path, '/');
    row = str_split(&path, '/');
    for (size_t i = 0; i < row.len; i++, resource++)
        if (*resource == 0 || row.ptr[i] != (*resource == '-' ? '_' : *resource))
            return STR_NULL;
    if (*resource != 0 || path.len == 0 || path.ptr[0] != '{')
        return STR_NULL;
    (void)str_split(&path, '/');
    return path.ptr != NULL && memchr(path.ptr, '/', path.len) == NULL ? path : STR_NULL;
}

static const char *name_all(const struct op *op, struct arena *a)
{
    const char *all = NULL;

    for (size_t i = 0; i < catalogue_table_n && op->resource != NULL; i++) {
        struct str name = below(&catalogue_table[i], op->resource);
        if (name.ptr != NULL && all == NULL)
            all = arena_printf(a, "are %.*s", STR_ARG(name));
        else if (name.ptr != NULL)
            all = arena_printf(a, "%s, %.*s", all, STR_ARG(name));
    }
    return all != NULL ? all : "is none";
}
