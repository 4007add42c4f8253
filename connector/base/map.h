/* uthash on our allocator, the one way to include it: its preset hash function falls
 * through switch labels, which clang refuses under our warnings. FNV is as good for our
 * short keys. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/mem.h"

#define HASH_FUNCTION(key, len, hash) HASH_FNV(key, len, hash)
#define uthash_malloc(size) mem_alloc(size)
#define uthash_free(p, size) mem_free(p)
#include <uthash.h>

#endif
