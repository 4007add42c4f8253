/* See seen.h. A ring of entries, each with its texts in one block, and two indexes. */
#include "engine/seen.h"

#include <string.h>

#include "base/map.h"
#include "base/mem.h"

struct kept {
    struct seen_entry entry;
    UT_hash_handle by_id, by_resource;
    bool has_id, has_resource; /* is in that index */
    char texts[];
};

struct seen {
    struct kept **ring;
    size_t entries, next; /* next: the place of the next, the oldest's when it is full */
    struct kept *ids, *resources;
};

static void drop(struct seen *sn, struct kept *k);
static struct str keep(char **at, struct str s);

struct seen *seen_new(size_t entries)
{
    struct seen *sn = mem_zalloc(sizeof(*sn));

    sn->entries = entries > 0 ? entries : 1;
    sn->ring = mem_array(sn->entries, sizeof(sn->ring[0]));
    return sn;
}

void seen_free(struct seen *sn)
{
    size_t i;

    if (sn == NULL)
        return;
    for (i = 0; i < sn->entries; i++)
        drop(sn, sn->ring[i]);
    mem_free(sn->ring);
    mem_free(sn);
}

void seen_add(struct seen *sn, const struct seen_entry *entry)
{
    struct str response =
        entry->response.len <= SEEN_RESPONSE_MAX ? entry->response : STR_NULL;
    struct kept *k, *older = NULL;
    char *at;

    k = mem_zalloc(sizeof(*k) + entry->command_id.len + entry->resource_id.len +
                   entry->digest.len + response.len + entry->error_kind.len);
    at = k->texts;
    k->entry = *entry;
    k->entry.command_id = keep(&at, entry->command_id);
    k->entry.resource_id = keep(&at, entry->resource_id);
    k->entry.digest = keep(&at, entry->digest);
    k->entry.response = keep(&at, response);
    k->entry.error_kind = keep(&at, entry->error_kind);
    drop(sn, sn->ring[sn->next]);
    sn->ring[sn->next] = k;
    sn->next = (sn->next + 1) % sn->entries;
    if (k->entry.command_id.ptr != NULL) {
        HASH_FIND(by_id, sn->ids, k->entry.command_id.ptr, k->entry.command_id.len,
                  older);
        if (older != NULL) {
            HASH_DELETE(by_id, sn->ids, older);
            older->has_id = false;
        }
        HASH_ADD_KEYPTR(by_id, sn->ids, k->entry.command_id.ptr, k->entry.command_id.len,
                        k);
        k->has_id = true;
    }
    if (k->entry.resource_id.ptr != NULL) { /* several may have the same */
        HASH_ADD_KEYPTR(by_resource, sn->resources, k->entry.resource_id.ptr,
                        k->entry.resource_id.len, k);
        k->has_resource = true;
    }
}

const struct seen_entry *seen_find(const struct seen *sn, struct str command_id)
{
    struct kept *k = NULL;

    HASH_FIND(by_id, sn->ids, command_id.ptr, command_id.len, k);
    return k != NULL ? &k->entry : NULL;
}

bool seen_unnamed(const struct seen *sn, struct str digest, struct str param)
{
    size_t i;

    for (i = 0; i < sn->entries && sn->ring[i] != NULL; i++) {
        const struct seen_entry *entry = &sn->ring[i]->entry;
        bool unnamed = entry->outcome == IN_DOUBT ||
                       (entry->outcome == SUCCEEDED &&
                        (entry->resource_id.ptr == NULL ||
                         (param.ptr != NULL && str_eq(entry->resource_id, param))));

        if (unnamed && entry->digest.ptr != NULL && str_eq(entry->digest, digest))
            return true;
    }
    return false;
}

bool seen_made(const struct seen *sn, struct str resource_id)
{
    struct kept *k = NULL;

    HASH_FIND(by_resource, sn->resources, resource_id.ptr, resource_id.len, k);
    return k != NULL;
}

static void drop(struct seen *sn, struct kept *k)
{
    if (k == NULL)
        return;
    if (k->has_id)
        HASH_DELETE(by_id, sn->ids, k);
    if (k->has_resource)
        HASH_DELETE(by_resource, sn->resources, k);
    mem_free(k);
}

static struct str keep(char **at, struct str s)
{
    char *to = *at;

    if (s.ptr == NULL)
        return STR_NULL;
    memcpy(to, s.ptr, s.len);
    *at += s.len;
    return (struct str){to, s.len};
}
