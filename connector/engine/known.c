/* See known.h. A ring of digests and an index over it. */
#include "engine/known.h"

#include <openssl/sha.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

enum { DIGEST_LEN = 16 };

struct known_id {
    unsigned char digest[DIGEST_LEN];
    UT_hash_handle hh;
};

struct known {
    struct known_id *ring; /* its pages are touched as it fills */
    size_t entries, next;  /* next: the place of the next, the oldest's when it is full */
    struct known_id *index;
};

static struct known_id *find(const struct known *kn, struct str id,
                             unsigned char digest[DIGEST_LEN]);

struct known *known_new(size_t entries)
{
    struct known *kn = mem_zalloc(sizeof(*kn));

    kn->entries = entries;
    if (entries > 0)
        kn->ring = mem_array(entries, sizeof(kn->ring[0]));
    return kn;
}

void known_free(struct known *kn)
{
    if (kn == NULL)
        return;
    HASH_CLEAR(hh, kn->index);
    mem_free(kn->ring);
    mem_free(kn);
}

void known_add(struct known *kn, struct str id)
{
    unsigned char digest[DIGEST_LEN];
    struct known_id *place;

    if (kn->entries == 0 || find(kn, id, digest) != NULL)
        return;
    place = &kn->ring[kn->next];
    if (known_count(kn) == kn->entries)
        HASH_DELETE(hh, kn->index, place);
    memcpy(place->digest, digest, sizeof(digest));
    HASH_ADD(hh, kn->index, digest, DIGEST_LEN, place);
    kn->next = (kn->next + 1) % kn->entries;
}

bool known_has(const struct known *kn, struct str id)
{
    unsigned char digest[DIGEST_LEN];

    return kn->entries > 0 && find(kn, id, digest) != NULL;
}

size_t known_count(const struct known *kn)
{
    return HASH_COUNT(kn->index);
}

static struct known_id *find(const struct known *kn, struct str id,
                             unsigned char digest[DIGEST_LEN])
{
    unsigned char whole[SHA256_DIGEST_LENGTH];
    struct known_id *found = NULL;

    (void)SHA256((const unsigned char *)id.ptr, id.len, whole); /* gives `whole` back */
    memcpy(digest, whole, DIGEST_LEN);
    HASH_FIND(hh, kn->index, digest, DIGEST_LEN, found);
    return found;
}
