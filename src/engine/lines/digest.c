#include "engine/lines/digest.h"

#include <xxhash.h>

static void split(XXH128_hash_t h, uint64_t out[2])
{
    out[0] = h.high64;
    out[1] = h.low64;
}

void digest_of(const void *p, size_t len, uint64_t out[2])
{
    split(XXH3_128bits(len ? p : "", len), out);
}

/* struct digest is the library's state, which wants an alignment that only the library knows. */
struct digest *digest_new(void)
{
    XXH3_state_t *state = XXH3_createState();

    if (state)
        (void)XXH3_128bits_reset(state);
    return (struct digest *)(void *)state;
}

void digest_add(struct digest *d, const void *p, size_t len)
{
    (void)XXH3_128bits_update((XXH3_state_t *)(void *)d, len ? p : "", len);
}

void digest_end(const struct digest *d, uint64_t out[2])
{
    split(XXH3_128bits_digest((const XXH3_state_t *)(const void *)d), out);
}

void digest_free(struct digest *d)
{
    (void)XXH3_freeState((XXH3_state_t *)(void *)d);
}
