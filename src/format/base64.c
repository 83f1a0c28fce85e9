#include "format/base64.h"

#include <stdint.h>

/* Bytes looked at before one branch on what was found. */
#define RUN_BYTES 64

/* 1 for an ASCII byte of neither alphabet; the bytes above ASCII are told by their high bit. */
// clang-format off
static const uint8_t foreign[128] = {
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1,
    1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0,
    1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1,
};
// clang-format on

/* Not 0 when a byte of p[0, len) is foreign. */
static unsigned run_foreign(const unsigned char *p, size_t len)
{
    unsigned found = 0;

    for (size_t i = 0; i < len; i++)
        found |= foreign[p[i] & 0x7F] | (unsigned)(p[i] & 0x80);
    return found;
}

static size_t padding(struct str s)
{
    size_t n = 0;

    while (n < 2 && n < s.len && s.p[s.len - 1 - n] == '=')
        n++;
    return n;
}

bool base64_valid(struct str s, size_t *at)
{
    size_t pad = padding(s), len = s.len - pad, i = 0;
    const unsigned char *p = (const unsigned char *)s.p;

    while (len - i >= RUN_BYTES && !run_foreign(p + i, RUN_BYTES))
        i += RUN_BYTES;
    while (i < len && !run_foreign(p + i, 1))
        i++;
    *at = i < len ? i : s.len;
    return i == len && len % 4 != 1 && (pad == 0 || s.len % 4 == 0);
}
