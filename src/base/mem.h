/* mem.h -- memory: allocation that dies when there is none, checked sizes, and arenas.
 *
 * Why: a failed small allocation leaves nothing sensible to do, and a run can be killed at any
 * instant and go on later (I1, I2), so it ends the program with a message: one crash more, not a
 * branch at each call. Callers check sizes that a client chooses against a named limit first.
 * An arena holds everything parsed from one line and dies with it.
 *
 * Errors:  none are returned; out of memory and overflow print one line and abort().
 * Threads: an arena has one owner. The functions are otherwise thread-safe.
 */
#ifndef TRANCHE_BASE_MEM_H
#define TRANCHE_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

void *mem_alloc(size_t bytes);              /* never NULL; zeroed */
void *mem_array(size_t count, size_t size); /* never NULL; zeroed; overflow dies */
void *mem_grow(void *p, size_t bytes);      /* realloc; the new part is not zeroed */
/* Makes room for one more item in a list of count, which it moves; NULL is the empty list. Every append
 * to that list calls it first: the capacity is the next power of two, so no member holds it. */
#define LIST_ITEMS_MIN 16
void *mem_list_grow(void *items, size_t count, size_t item_bytes);
/* For large numeric arrays: on a boundary of `align` bytes, a power of two, and in huge pages where
 * the system gives them. Not zeroed; mem_free frees it. */
void *mem_aligned(size_t bytes, size_t align);
/* Asks for huge pages for memory of at least some of them, which is better done before it is used. */
void mem_huge(void *p, size_t bytes);
char *mem_strdup(const char *s);                    /* owned by the caller */
void mem_free(void *p);                             /* accepts NULL */
bool size_add(size_t a, size_t b, size_t *sum);     /* false on overflow */
bool size_mul(size_t a, size_t b, size_t *product); /* false on overflow */

/* Blocks of at least ARENA_BLOCK_BYTES; nothing is freed singly. */
#define ARENA_BLOCK_BYTES ((size_t)16 * 1024)

struct arena_block;
struct arena {
    struct arena_block *block; /* newest; NULL in a zeroed arena, which is valid and empty */
    size_t bytes;              /* reserved in all blocks */
};

void *arena_alloc(struct arena *a, size_t bytes);     /* zeroed, aligned for any type; never NULL */
void *arena_alloc_raw(struct arena *a, size_t bytes); /* as arena_alloc, but not zeroed */
void *arena_array(struct arena *a, size_t count, size_t size);
/* Makes an allocation larger, where it stands if it has the newest block to itself, as big ones have;
 * else a copy. The new part is not zeroed. */
void *arena_grow(struct arena *a, void *p, size_t old_bytes, size_t bytes);
/* As mem_list_grow, for a list in the arena. */
void *arena_list_grow(struct arena *a, void *items, size_t count, size_t item_bytes);
char *arena_copy(struct arena *a, const void *p, size_t len); /* with a NUL after it */
/* printf's output as a string. */
char *arena_textf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A block of about this size is made first, so that a big parse takes one allocation. */
void arena_reserve(struct arena *a, size_t bytes);
void arena_reset(struct arena *a);   /* forgets the contents, keeps one block for reuse */
void arena_release(struct arena *a); /* frees; the arena is then empty and valid */

#endif
