#include "predict/local/tokens.h"

#include <string.h>

#include "base/mem.h"

#define TOKENS_CAP_MIN 64

int32_t *tokens_reserve(struct tokens *t, uint32_t more)
{
    size_t need, bytes;

    if (!size_add(t->count, more, &need) || need > INT32_MAX || !size_mul(need, 8, &bytes))
        need = SIZE_MAX / sizeof *t->item; /* mem_grow then says that there is no memory */
    if (need > t->cap) {
        size_t cap = need < TOKENS_CAP_MIN ? TOKENS_CAP_MIN : need + need / 2;
        t->item = mem_grow(t->item, cap * sizeof *t->item);
        t->cap = (uint32_t)cap;
    }
    return t->item + t->count;
}

void tokens_add(struct tokens *t, int32_t token)
{
    *tokens_reserve(t, 1) = token;
    t->count++;
}

void tokens_append(struct tokens *t, const int32_t *token, uint32_t count)
{
    if (!count)
        return;
    memcpy(tokens_reserve(t, count), token, count * sizeof *token);
    t->count += count;
}

void tokens_release(struct tokens *t)
{
    mem_free(t->item);
    *t = (struct tokens){ 0 };
}

uint32_t tokens_common(const int32_t *a, uint32_t a_count, const int32_t *b, uint32_t b_count)
{
    uint32_t count = a_count < b_count ? a_count : b_count;
    uint32_t i = 0;

    while (i < count && a[i] == b[i])
        i++;
    return i;
}
