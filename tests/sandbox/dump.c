/* The store as one JSON document and back: --state and POST /_sandbox/save. Times that
 * count in the process (a message being built) are not kept: after a restart everything
 * is visible. */
#include <string.h>

#include <openssl/evp.h>

#include "base/mem.h"

#include "store.h"

static json_t *blob_dump(const struct object *obj)
{
    if (obj->blob == NULL)
        return NULL;
    char *text = mem_alloc((obj->blob_len + 2) / 3 * 4 + 1);
    int n = EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)obj->blob,
                            (int)obj->blob_len);
    json_t *j = json_stringn(text, (size_t)n);
    mem_free(text);
    return j;
}

static json_t *object_dump(const struct object *obj)
{
    json_t *aliases = json_array(), *blob = blob_dump(obj);
    const struct alias *al;
    LIST_FOREACH (al, &obj->aliases, of_object)
        (void)json_array_append_new(aliases, json_string(strchr(al->key, '|') + 1));
    json_t *j = json_pack("{s:i, s:s, s:b, s:b, s:O, s:o}", "kind", (int)obj->kind, "id",
                          obj->id, "hidden", (int)obj->hidden, "seeded", (int)obj->seeded,
                          "own", obj->own, "aliases", aliases);
    if (blob != NULL)
        (void)json_object_set_new(j, "blob", blob);
    return j;
}

/* Objects in order of seq, so that a restore makes the same order. */
static int by_seq(const void *a, const void *b)
{
    const struct object *x = *(struct object *const *)a, *y = *(struct object *const *)b;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

json_t *store_dump(const struct store *st)
{
    size_t n = HASH_COUNT(st->by_id), i = 0;
    const struct object **all = mem_array(n + 1, sizeof(*all));
    json_t *objects = json_array(), *edges = json_array();
    for (const struct object *obj = st->by_id; obj != NULL; obj = obj->hh.next)
        all[i++] = obj;
    qsort(all, n, sizeof(*all), by_seq);
    for (i = 0; i < n; i++)
        (void)json_array_append_new(objects, object_dump(all[i]));
    for (i = 0; i < n; i++) {
        const struct edge *ed;
        TAILQ_FOREACH (ed, &all[i]->out, out)
            (void)json_array_append_new(
                edges, json_pack("[s,i,s]", ed->parent->id, (int)ed->rel, ed->child->id));
    }
    mem_free(all);
    return json_pack("{s:i, s:I, s:o, s:o}", "sandbox_state", 1, "next_id",
                     (json_int_t)st->next_id, "objects", objects, "edges", edges);
}

static void blob_restore(struct object *obj, const char *text)
{
    size_t len = strlen(text);
    obj->blob = mem_alloc(len / 4 * 3 + 1);
    int n = EVP_DecodeBlock((unsigned char *)obj->blob, (const unsigned char *)text,
                            (int)len);
    for (size_t i = len; n > 0 && i > 0 && text[i - 1] == '='; i--)
        n--;
    obj->blob_len = n > 0 ? (size_t)n : 0;
}

static int object_restore(struct store *st, const json_t *j, struct err *e)
{
    json_int_t kind = json_integer_value(json_object_get(j, "kind"));
    const char *id = json_string_value(json_object_get(j, "id"));
    const char *blob = json_string_value(json_object_get(j, "blob"));
    json_t *own = json_object_get(j, "own");
    const json_t *aliases = json_object_get(j, "aliases");
    if (kind < 0 || kind >= KIND_NONE || id == NULL || !json_is_object(own))
        return err_set(e, ERR_SETTINGS, "state: an object without kind, id or fields");
    struct object *obj = store_add(st, (enum kind)kind, id);
    obj->hidden = json_is_true(json_object_get(j, "hidden"));
    obj->seeded = json_is_true(json_object_get(j, "seeded"));
    (void)json_object_update(obj->own, own);
    for (size_t i = 0; i < json_array_size(aliases); i++) {
        char *text = mem_strdup(json_string_value(json_array_get(aliases, i)));
        char *colon = strchr(text, ':');
        if (colon != NULL) {
            *colon = '\0';
            (void)store_alias(st, obj, text, colon + 1);
        }
        mem_free(text);
    }
    if (blob != NULL)
        blob_restore(obj, blob);
    return 0;
}

static struct object *any_object(const struct store *st, const char *id)
{
    struct object *obj = NULL;
    if (id != NULL)
        HASH_FIND(hh, st->by_id, id, strlen(id), obj);
    return obj;
}

int store_restore(struct store *st, const json_t *dump, struct err *e)
{
    const json_t *objects = json_object_get(dump, "objects");
    const json_t *edges = json_object_get(dump, "edges");
    if (json_integer_value(json_object_get(dump, "sandbox_state")) != 1)
        return err_set(e, ERR_SETTINGS, "state: not a file that front-sandbox wrote");
    for (size_t i = 0; i < json_array_size(objects); i++)
        if (object_restore(st, json_array_get(objects, i), e) < 0)
            return -1;
    for (size_t i = 0; i < json_array_size(edges); i++) {
        const json_t *ed = json_array_get(edges, i);
        struct object *parent = any_object(st, json_string_value(json_array_get(ed, 0)));
        struct object *child = any_object(st, json_string_value(json_array_get(ed, 2)));
        json_int_t rel = json_integer_value(json_array_get(ed, 1));
        if (parent == NULL || child == NULL || rel < 0 || rel > REL_MENTIONS)
            return err_set(e, ERR_SETTINGS, "state: an edge between unknown objects");
        (void)store_join(parent, (enum rel)rel, child);
    }
    st->next_id = (uint64_t)json_integer_value(json_object_get(dump, "next_id"));
    return 0;
}
