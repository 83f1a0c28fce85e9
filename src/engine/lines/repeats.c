#include "engine/lines/repeats.h"

#include <stdatomic.h>

#include "base/mem.h"

#define PLACES_IN_WORD 16
#define BYTES_MIN 4096
/* Bytes of input for one of the sketch: about 1 in 100 places is taken by lines of 3 KiB. */
#define INPUT_BYTES_EACH 128

struct repeats {
    uint64_t mask; /* places - 1; places are a power of two */
    _Atomic uint32_t word[];
};

struct repeats *repeats_new(uint64_t input_bytes)
{
    uint64_t bytes = BYTES_MIN;

    while (bytes < REPEATS_BYTES_MAX && bytes < input_bytes / INPUT_BYTES_EACH)
        bytes *= 2;
    struct repeats *r = mem_alloc(sizeof *r + (size_t)bytes);
    r->mask = bytes / sizeof r->word[0] * PLACES_IN_WORD - 1;
    return r;
}

void repeats_free(struct repeats *r)
{
    mem_free(r);
}

bool repeats_note(struct repeats *r, const uint64_t digest[2])
{
    uint64_t place = digest[0] & r->mask;
    unsigned shift = (unsigned)(place % PLACES_IN_WORD) * 2;
    _Atomic uint32_t *word = &r->word[place / PLACES_IN_WORD];
    uint32_t before = atomic_fetch_or_explicit(word, UINT32_C(1) << shift, memory_order_relaxed);

    bool met = before >> shift & 1;
    if (met)
        (void)atomic_fetch_or_explicit(word, UINT32_C(2) << shift, memory_order_relaxed);
    return met;
}

void *repeats_bytes(struct repeats *r, size_t *len)
{
    *len = (size_t)(r->mask + 1) / PLACES_IN_WORD * sizeof r->word[0];
    return (char *)r + offsetof(struct repeats, word);
}

bool repeats_maybe(const struct repeats *r, const uint64_t digest[2])
{
    uint64_t place = digest[0] & r->mask;
    uint32_t word = atomic_load_explicit(&r->word[place / PLACES_IN_WORD], memory_order_relaxed);

    return word >> (place % PLACES_IN_WORD) * 2 & 2;
}
