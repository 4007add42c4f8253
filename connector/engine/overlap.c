/* The overlap of a sync's runs: a run asks again for what changed shortly before the last
 * one began, since Front may show a change late. A row that comes again exactly as it was
 * produced is left out.
 *
 * Owns the digests of such rows, in memory only: whoever takes the sync over has none and
 * produces them once more, under the same key. Invariant: a digest counts from the commit
 * of its page on. */
#include <openssl/evp.h>
#include <string.h>

#include "base/map.h"
#include "codec/json.h"
#include "engine/internal.h"

enum { DIGEST_BYTES = 16, ROWS_MAX = 100000 };

struct row {
    UT_hash_handle hh;
    unsigned char digest[DIGEST_BYTES];
};

struct overlap {
    struct row *before, *now;            /* of the runs before this one; of this one */
    unsigned char (*page)[DIGEST_BYTES]; /* of the page that is prepared */
    size_t n_page;
};

static void digest_of(struct str row, unsigned char out[DIGEST_BYTES]);
static bool has(struct row *rows, const unsigned char digest[DIGEST_BYTES]);
static void add(struct row **rows, const unsigned char digest[DIGEST_BYTES]);
static void clear(struct row **rows);
static bool changed_since(struct str row, int64_t since_ms);

struct overlap *overlap_new(void)
{
    return mem_zalloc(sizeof(struct overlap));
}

void overlap_free(struct overlap *ov)
{
    if (ov == NULL)
        return;
    clear(&ov->before);
    clear(&ov->now);
    mem_free(ov);
}

void overlap_page(struct overlap *ov, struct list_page *page, int64_t since_ms,
                  struct arena *a)
{
    char *kept = arena_alloc(a, page->results.len + 1);
    size_t pos = 0, len = 0, n = 0;
    struct str row;

    ov->page = arena_alloc(a, (page->n + 1) * sizeof *ov->page);
    ov->n_page = 0;
    for (size_t i = 0; i < page->n && json_next(page->results, &pos, &row); i++) {
        unsigned char *digest = ov->page[ov->n_page];
        digest_of(row, digest);
        ov->n_page += changed_since(row, since_ms);
        if (has(ov->before, digest))
            continue;
        kept[len++] = n++ == 0 ? '[' : ',';
        memcpy(kept + len, row.ptr, row.len);
        len += row.len;
    }
    if (n == page->n)
        return;
    if (n == 0)
        kept[len++] = '[';
    kept[len++] = ']';
    page->results = (struct str){kept, len};
    page->n = n;
}

void overlap_committed(struct overlap *ov)
{
    for (size_t i = 0; i < ov->n_page; i++)
        add(&ov->now, ov->page[i]);
    overlap_dropped(ov);
}

void overlap_dropped(struct overlap *ov)
{
    ov->page = NULL;
    ov->n_page = 0;
}

/* The next run goes back to where this one did when this one was not whole. */
void overlap_ended(struct overlap *ov, bool whole)
{
    struct row *row, *tmp;

    if (whole)
        clear(&ov->before);
    HASH_ITER (hh, ov->now, row, tmp)
        add(&ov->before, row->digest);
    clear(&ov->now);
}

void overlap_forget(struct overlap *ov)
{
    clear(&ov->before);
    clear(&ov->now);
}

static void digest_of(struct str row, unsigned char out[DIGEST_BYTES])
{
    unsigned char md[EVP_MAX_MD_SIZE];

    if (EVP_Digest(row.ptr, row.len, md, NULL, EVP_sha256(), NULL) != 1)
        abort();
    memcpy(out, md, DIGEST_BYTES);
}

static bool has(struct row *rows, const unsigned char digest[DIGEST_BYTES])
{
    struct row *row;

    HASH_FIND(hh, rows, digest, DIGEST_BYTES, row);
    return row != NULL;
}

static void add(struct row **rows, const unsigned char digest[DIGEST_BYTES])
{
    struct row *row;

    if (has(*rows, digest) || HASH_COUNT(*rows) >= ROWS_MAX)
        return;
    row = mem_zalloc(sizeof *row);
    memcpy(row->digest, digest, DIGEST_BYTES);
    HASH_ADD(hh, *rows, digest, DIGEST_BYTES, row);
}

static void clear(struct row **rows)
{
    struct row *row, *tmp;

    HASH_ITER (hh, *rows, row, tmp) {
        HASH_DEL(*rows, row);
        mem_free(row);
    }
}

/* A row that does not say when it changed is not remembered. */
static bool changed_since(struct str row, int64_t since_ms)
{
    struct str at = json_member(row, "updated_at"), whole = str_split(&at, '.');
    struct err e = ERR_INIT;
    int64_t seconds;

    return whole.ptr != NULL &&
           parse_i64(whole, 0, INT64_MAX / 1000, &seconds, &e) == 0 &&
           seconds >= since_ms / 1000;
}
