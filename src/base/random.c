#include "base/random.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/str.h"

int random_bytes(void *out, size_t len, struct error *e)
{
    unsigned char *p = out;

    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return error_set(e, ERROR_INTERNAL, "the system gives no random bytes");
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int random_text(char *out, size_t count, const char *alphabet, struct error *e)
{
    size_t letters = strlen(alphabet), n = 0;
    unsigned char byte[64];

    assert(letters > 0 && letters <= 256);
    while (n < count) {
        if (random_bytes(byte, sizeof byte, e) < 0)
            return -1;
        /* Bytes past the last whole multiple are skipped, so that all letters are equally likely. */
        for (size_t i = 0; i < sizeof byte && n < count; i++)
            if (byte[i] < 256 - 256 % letters)
                out[n++] = alphabet[byte[i] % letters];
    }
    out[n] = '\0';
    return 0;
}

int random_hex(char *out, size_t bytes, struct error *e)
{
    unsigned char byte[RANDOM_HEX_BYTES_MAX];

    assert(bytes <= sizeof byte);
    if (random_bytes(byte, bytes, e) < 0)
        return -1;
    str_hex(byte, bytes, out);
    return 0;
}

uint64_t random_next(uint64_t *seed)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15ULL;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

double random_unit(uint64_t *seed)
{
    return (double)(random_next(seed) >> 11) * 0x1p-53;
}
