/* Magic ids: users of the connector cannot send headers to the sandbox, so the id says
 * what shall happen. They work in the path and in every body field whose name ends in _id
 * or _ids. */
#include <string.h>

#include "base/mem.h"

#include "sandbox.h"

static const char *const magic_words[] = {"",      "429",  "500", "500_once", "timeout",
                                          "reset", "slow", "301", "404",      "1z"};
#define MAGIC_WORDS (sizeof magic_words / sizeof magic_words[0])

enum magic magic_of(const char *id)
{
    if (strlen(id) < 5 || id[3] != '_')
        return MAGIC_NONE;
    for (int i = 0; i < 3; i++)
        if (id[i] < 'a' || id[i] > 'z')
            return MAGIC_NONE;
    for (size_t i = 1; i < MAGIC_WORDS; i++)
        if (strcmp(id + 4, magic_words[i]) == 0)
            return (enum magic)i;
    return MAGIC_NONE;
}

static bool id_name(const char *name)
{
    size_t n = strlen(name);
    return (n > 3 && strcmp(name + n - 3, "_id") == 0) ||
           (n > 4 && strcmp(name + n - 4, "_ids") == 0);
}

static const char *magic_in(json_t *value, bool is_id)
{
    const char *key, *found = NULL, *text = json_string_value(value);
    json_t *v;
    size_t i;
    if (text != NULL && is_id)
        return magic_of(text) > MAGIC_NONE && magic_of(text) < MAGIC_EXAMPLE ? text
                                                                             : NULL;
    if (json_is_array(value))
        json_array_foreach(value, i, v) if (found == NULL) found = magic_in(v, is_id);
    if (json_is_object(value))
        json_object_foreach(value, key, v) if (found == NULL) found =
            magic_in(v, id_name(key));
    return found;
}

/* How often this call met this id: kept with the magic object itself, so a reset forgets
 * it. */
static int64_t times_met(struct call *c, const char *id)
{
    enum kind kind = kind_of_prefix(id);
    struct object *obj = kind != KIND_NONE ? find_object(c->sb, kind, id) : NULL;
    if (obj == NULL)
        return 1;
    char *key = mem_printf("_met %s", c->op->name);
    json_int_t n = json_integer_value(json_object_get(obj->own, key)) + 1;
    store_set(obj, key, json_integer(n));
    mem_free(key);
    return n;
}

static bool moved(struct call *c, const char *id)
{
    enum kind kind = kind_of_prefix(id);
    const char *at = strstr(c->uri, id);
    if (kind == KIND_NONE || at == NULL)
        return false;
    call_error(c, 301, "Moved permanently", "%s was merged into %.4s1", id, id);
    c->location = mem_printf("%s%.*s%.4s1%s", c->sb->url, (int)(at - c->uri), c->uri, id,
                             at + strlen(id));
    return true;
}

static bool refused_429(struct call *c, const char *id)
{
    if (times_met(c, id) % 3 == 0) /* two refusals, then it works, and so on */
        return false;
    call_error(c, 429, "Too many requests",
               "Rate limit exceeded. Please retry in 1000 milliseconds.");
    c->retry_after = 1;
    return true;
}

static bool broken_500(struct call *c)
{
    call_error(c, 500, "Internal error", "Something went wrong");
    return true;
}

bool magic_apply(struct call *c)
{
    const char *id = NULL;
    for (size_t i = 0; i < c->n_segments && id == NULL; i++)
        if (c->op->params[i] != NULL && magic_of(c->segments[i]) != MAGIC_NONE &&
            magic_of(c->segments[i]) != MAGIC_EXAMPLE)
            id = c->segments[i];
    if (id == NULL && c->json != NULL && memchr(c->body.data, '_', c->body.len) != NULL)
        id = magic_in(c->json, false);
    if (id == NULL)
        return false;
    switch (magic_of(id)) {
    case MAGIC_429:
        return refused_429(c, id);
    case MAGIC_500:
        return broken_500(c);
    case MAGIC_500_ONCE:
        return times_met(c, id) % 2 == 1 && broken_500(c);
    case MAGIC_TIMEOUT:
        c->fault = FAULT_TIMEOUT;
        return false;
    case MAGIC_RESET:
        c->fault = FAULT_RESET;
        c->status = 0;
        return true;
    case MAGIC_SLOW:
        c->delay_ms = c->sb->opt.slow_ms;
        return false;
    case MAGIC_301:
        return moved(c, id);
    case MAGIC_404: /* find_object knows none */
    case MAGIC_EXAMPLE:
    case MAGIC_NONE:
        break;
    }
    return false;
}
