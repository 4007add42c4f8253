/* Allocate or abort, and arenas. The one file that calls malloc and free.
 * Invariant: no function here returns NULL, a size of 0 included. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORMAT_SMALL = 200 }; /* texts up to this are printed once only */

struct arena_block {
    struct arena_block *next;
    size_t size, used; /* bytes of data */
    _Alignas(max_align_t) unsigned char data[];
};

static void *must(void *p, size_t size)
{
    if (p == NULL) {
        (void)fprintf(stderr, "out of memory: %zu bytes refused\n", size);
        abort();
    }
    return p;
}

static char *format(const char *fmt, va_list ap, char *(*get)(void *arg, size_t size),
                    void *arg) __attribute__((format(printf, 1, 0)));

void *mem_alloc(size_t size)
{
    return must(malloc(size > 0 ? size : 1), size);
}

void *mem_zalloc(size_t size)
{
    return must(calloc(1, size > 0 ? size : 1), size);
}

void *mem_array(size_t n, size_t size)
{
    if (size > 0 && n > SIZE_MAX / size)
        must(NULL, SIZE_MAX);
    return mem_zalloc(n * size);
}

void *mem_realloc(void *p, size_t size)
{
    return must(realloc(p, size > 0 ? size : 1), size);
}

void *mem_dup(const void *p, size_t size)
{
    void *copy = mem_alloc(size);

    if (size > 0)
        memcpy(copy, p, size);
    return copy;
}

char *mem_strdup(const char *s)
{
    return mem_dup(s, strlen(s) + 1);
}

char *mem_strndup(const char *s, size_t n)
{
    char *copy = mem_alloc(n + 1);

    if (n > 0)
        memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

static char *get_heap(void *arg, size_t size)
{
    (void)arg;
    return mem_alloc(size);
}

char *mem_printf(const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = format(fmt, ap, get_heap, NULL);
    va_end(ap);
    return text;
}

void mem_free(void *p)
{
    free(p);
}

void mem_wipe(void *p, size_t size)
{
    if (p != NULL)
        explicit_bzero(p, size);
}

static struct arena_block *block_new(size_t size)
{
    struct arena_block *blk;

    if (size > SIZE_MAX - sizeof(*blk))
        must(NULL, size);
    blk = mem_alloc(sizeof(*blk) + size);
    blk->next = NULL;
    blk->size = size;
    blk->used = 0;
    return blk;
}

void arena_init(struct arena *a, size_t block)
{
    a->blocks = NULL;
    a->block = block > 0 ? block : 4096;
    a->used = 0;
}

void *arena_alloc(struct arena *a, size_t size)
{
    const size_t align = _Alignof(max_align_t);
    struct arena_block *blk = a->blocks;
    size_t need;
    void *p;

    if (size > SIZE_MAX - align)
        must(NULL, size);
    need = (size + align - 1) / align * align;
    if (blk == NULL || blk->size - blk->used < need) {
        blk = block_new(need > a->block ? need : a->block);
        if (need > a->block && a->blocks != NULL) {
            /* A large one goes behind the current block, which still has room. */
            blk->next = a->blocks->next;
            a->blocks->next = blk;
        } else {
            blk->next = a->blocks;
            a->blocks = blk;
        }
    }
    p = blk->data + blk->used;
    blk->used += need;
    a->used += need;
    return p;
}

void *arena_zalloc(struct arena *a, size_t size)
{
    return memset(arena_alloc(a, size), 0, size);
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
    char *copy = arena_alloc(a, n + 1);

    if (n > 0)
        memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

static char *get_arena(void *arg, size_t size)
{
    return arena_alloc(arg, size);
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = format(fmt, ap, get_arena, a);
    va_end(ap);
    return text;
}

/* Keeps one block of the usual size, frees the others. */
void arena_reset(struct arena *a)
{
    struct arena_block *keep = NULL;
    struct arena_block *blk = a->blocks;

    while (blk != NULL) {
        struct arena_block *next = blk->next;

        if (keep == NULL && blk->size == a->block)
            keep = blk;
        else
            mem_free(blk);
        blk = next;
    }
    if (keep != NULL) {
        keep->next = NULL;
        keep->used = 0;
    }
    a->blocks = keep;
    a->used = 0;
}

void arena_fini(struct arena *a)
{
    while (a->blocks != NULL) {
        struct arena_block *next = a->blocks->next;

        mem_free(a->blocks);
        a->blocks = next;
    }
    a->used = 0;
}

static char *format(const char *fmt, va_list ap, char *(*get)(void *arg, size_t size),
                    void *arg)
{
    char small[FORMAT_SMALL];
    va_list again;
    char *text;
    int len;

    va_copy(again, ap);
    len = vsnprintf(small, sizeof(small), fmt, again);
    va_end(again);
    if (len < 0)
        abort(); /* a broken format or over 2 GiB: ours */
    text = get(arg, (size_t)len + 1);
    if ((size_t)len < sizeof(small))
        memcpy(text, small, (size_t)len + 1);
    else
        (void)vsnprintf(text, (size_t)len + 1, fmt, ap);
    return text;
}

void *mem_unconst(const void *p)
{
    union {
        const void *in;
        void *out;
    } u = {.in = p};
    return u.out;
}
