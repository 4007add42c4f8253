/* Allocate or abort: nothing here returns NULL. The only callers of malloc and free, but
 * for memory a library mandates (said where it happens). Everything sized by input has a
 * ceiling before it comes here. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size);
void *mem_zalloc(size_t size);
void *mem_array(size_t n, size_t size); /* zeroed; aborts on overflow */
void *mem_realloc(void *p, size_t size);
void *mem_dup(const void *p, size_t size);
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t n);
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* For library interfaces that forgot a const: the memory is not changed. */
void *mem_unconst(const void *p);
void mem_free(void *p);              /* NULL is fine */
void mem_wipe(void *p, size_t size); /* for secrets; the compiler cannot drop it */

/* Many small things with one lifetime: freed all at once. Blocks of `block` bytes (0:
 * 4096); larger requests get a block of their own. arena_reset keeps the first block for
 * reuse. */
struct arena {
    struct arena_block *blocks;
    size_t block;
    size_t used; /* bytes handed out since the last reset */
};

void arena_init(struct arena *a, size_t block);
void *arena_alloc(struct arena *a, size_t size); /* aligned for any type, not zeroed */
void *arena_zalloc(struct arena *a, size_t size);
char *arena_strndup(struct arena *a, const char *s, size_t n); /* NUL-terminated */
char *arena_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void arena_reset(struct arena *a);
void arena_fini(struct arena *a);

#endif
