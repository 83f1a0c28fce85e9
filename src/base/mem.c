#define _DEFAULT_SOURCE /* madvise */
#include "base/mem.h"

#include <assert.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Bytes of a huge page; smaller arrays get none. */
#define HUGE_BYTES ((size_t)2 * 1024 * 1024)

struct arena_block {
    struct arena_block *older;
    size_t cap, used; /* bytes of data */
    alignas(max_align_t) unsigned char data[];
};

static _Noreturn void die_of_memory(size_t bytes)
{
    (void)fprintf(stderr, "tranche: out of memory (%zu bytes wanted)\n", bytes);
    abort();
}

void *mem_alloc(size_t bytes)
{
    void *p = calloc(1, bytes ? bytes : 1);

    if (!p)
        die_of_memory(bytes);
    return p;
}

void *mem_array(size_t count, size_t size)
{
    size_t bytes;

    if (!size_mul(count, size, &bytes))
        die_of_memory(SIZE_MAX);
    return mem_alloc(bytes);
}

void *mem_grow(void *p, size_t bytes)
{
    void *q = realloc(p, bytes ? bytes : 1);

    if (!q)
        die_of_memory(bytes);
    return q;
}

void mem_huge(void *p, size_t bytes)
{
#ifdef MADV_HUGEPAGE
    uintptr_t from = ((uintptr_t)p + HUGE_BYTES - 1) / HUGE_BYTES * HUGE_BYTES;
    uintptr_t to = ((uintptr_t)p + bytes) / HUGE_BYTES * HUGE_BYTES;

    if (from < to) /* a refusal costs speed only */
        (void)madvise((char *)p + (from - (uintptr_t)p), to - from, MADV_HUGEPAGE);
#else
    (void)p;
    (void)bytes;
#endif
}

void *mem_aligned(size_t bytes, size_t align)
{
    assert(align && (align & (align - 1)) == 0);
    size_t unit = bytes >= HUGE_BYTES && align < HUGE_BYTES ? HUGE_BYTES : align;
    size_t whole;
    void *p = NULL;

    if (!size_add(bytes, unit - 1, &whole))
        die_of_memory(bytes);
    whole = whole / unit * unit;
    if (posix_memalign(&p, unit < sizeof(void *) ? sizeof(void *) : unit, whole ? whole : unit) !=
        0)
        die_of_memory(bytes);
    mem_huge(p, whole);
    return p;
}

/* Items that a list of count has room for once one more is added; 0 when it has that room already. */
static size_t list_room(size_t count)
{
    if (count == 0)
        return LIST_ITEMS_MIN;
    return count >= LIST_ITEMS_MIN && (count & (count - 1)) == 0 ? 2 * count : 0;
}

void *mem_list_grow(void *items, size_t count, size_t item_bytes)
{
    size_t room = list_room(count), bytes;

    if (room == 0)
        return items;
    if (!size_mul(room, item_bytes, &bytes))
        die_of_memory(SIZE_MAX);
    return mem_grow(items, bytes);
}

char *mem_strdup(const char *s)
{
    size_t bytes = strlen(s) + 1;

    return memcpy(mem_alloc(bytes), s, bytes);
}

void mem_free(void *p)
{
    free(p);
}

bool size_add(size_t a, size_t b, size_t *sum)
{
    return !__builtin_add_overflow(a, b, sum);
}

bool size_mul(size_t a, size_t b, size_t *product)
{
    return !__builtin_mul_overflow(a, b, product);
}

static void arena_push(struct arena *a, size_t cap)
{
    size_t bytes;

    if (!size_add(sizeof(struct arena_block), cap, &bytes))
        die_of_memory(SIZE_MAX);
    struct arena_block *b = mem_grow(NULL, bytes);
    b->older = a->block;
    b->cap = cap;
    b->used = 0;
    a->block = b;
    a->bytes += cap;
}

void arena_reserve(struct arena *a, size_t bytes)
{
    if (!a->block || a->block->cap - a->block->used < bytes)
        arena_push(a, bytes > ARENA_BLOCK_BYTES ? bytes : ARENA_BLOCK_BYTES);
}

void *arena_alloc_raw(struct arena *a, size_t bytes)
{
    const size_t align = alignof(max_align_t);
    size_t want;

    if (!size_add(bytes, align - 1, &want))
        die_of_memory(bytes);
    want -= want % align;
    arena_reserve(a, want);
    assert(want <= a->block->cap - a->block->used && a->block->used <= a->block->cap);
    void *p = a->block->data + a->block->used;
    a->block->used += want;
    return p;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    return memset(arena_alloc_raw(a, bytes), 0, bytes);
}

void *arena_grow(struct arena *a, void *p, size_t old_bytes, size_t bytes)
{
    struct arena_block *b = a->block;
    size_t whole;

    if (old_bytes == 0)
        return arena_alloc_raw(a, bytes); /* p may be NULL */
    if (bytes <= old_bytes)
        return p;
    if (!b || p != b->data || b->used >= old_bytes + alignof(max_align_t))
        return memcpy(arena_alloc_raw(a, bytes), p, old_bytes);
    if (!size_add(sizeof *b + alignof(max_align_t), bytes, &whole))
        die_of_memory(bytes);
    b = mem_grow(b, whole);
    a->bytes += whole - sizeof *b - b->cap;
    b->cap = whole - sizeof *b;
    b->used = bytes + (alignof(max_align_t) - bytes % alignof(max_align_t)) % alignof(max_align_t);
    a->block = b;
    return b->data;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
    size_t bytes;

    if (!size_mul(count, size, &bytes))
        die_of_memory(SIZE_MAX);
    return arena_alloc(a, bytes);
}

void *arena_list_grow(struct arena *a, void *items, size_t count, size_t item_bytes)
{
    size_t room = list_room(count), bytes;

    if (room == 0)
        return items;
    if (!size_mul(room, item_bytes, &bytes))
        die_of_memory(SIZE_MAX);
    return arena_grow(a, items, count * item_bytes, bytes);
}

char *arena_copy(struct arena *a, const void *p, size_t len)
{
    size_t bytes;

    if (!size_add(len, 1, &bytes))
        die_of_memory(len);
    char *q = arena_alloc(a, bytes);
    if (len)
        memcpy(q, p, len);
    return q;
}

char *arena_textf(struct arena *a, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    size_t bytes = n > 0 ? (size_t)n + 1 : 1;
    char *out = arena_alloc(a, bytes);
    va_start(ap, fmt);
    (void)vsnprintf(out, bytes, fmt, ap);
    va_end(ap);
    return out;
}

void arena_reset(struct arena *a)
{
    while (a->block && a->block->older) {
        struct arena_block *older = a->block->older;
        a->bytes -= a->block->cap;
        free(a->block);
        a->block = older;
    }
    assert(a->bytes == (a->block ? a->block->cap : 0));
    if (a->block)
        a->block->used = 0;
}

void arena_release(struct arena *a)
{
    while (a->block) {
        struct arena_block *older = a->block->older;
        free(a->block);
        a->block = older;
    }
    a->bytes = 0;
}
