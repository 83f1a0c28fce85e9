#include "base/json.h"

#include <string.h>

/* yyjson asks for one block of this many bytes for each byte of text at most. */
static void *arena_malloc(void *ctx, size_t bytes)
{
    return arena_alloc_raw(ctx, bytes);
}

static void *arena_realloc(void *ctx, void *p, size_t old_bytes, size_t bytes)
{
    void *q = arena_alloc_raw(ctx, bytes);

    memcpy(q, p, old_bytes < bytes ? old_bytes : bytes);
    return q;
}

static void arena_no_free(void *ctx, void *p)
{
    (void)ctx;
    (void)p;
}
