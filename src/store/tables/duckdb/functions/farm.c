/* farm.c -- FARM_FINGERPRINT: the 64-bit fingerprint of FarmHash, which never changes.
 *
 * Source:  https://github.com/google/farmhash, farmhashna::Hash64 (MIT).
 */
#include "store/tables/duckdb/functions/farm.h"

#include <string.h>

#define K0 UINT64_C(0xc3a5c85c97cb3127)
#define K1 UINT64_C(0xb492b66fbe98f273)
#define K2 UINT64_C(0x9ae16a3b2f90404f)

struct pair {
    uint64_t first, second;
};

/* Little-endian, on every machine. */
static uint64_t fetch(const char *p, size_t bytes)
{
    uint64_t v = 0;

    for (size_t i = bytes; i > 0; i--)
        v = v << 8 | (unsigned char)p[i - 1];
    return v;
}

static uint64_t fetch64(const char *p)
{
    return fetch(p, 8);
}

static uint64_t rotate(uint64_t v, int by)
{
    return v >> by | v << (64 - by);
}

static uint64_t shift_mix(uint64_t v)
{
    return v ^ (v >> 47);
}

static uint64_t mix(uint64_t u, uint64_t v, uint64_t mul)
{
    uint64_t a = shift_mix((u ^ v) * mul);

    return shift_mix((v ^ a) * mul) * mul;
}

static uint64_t hash_to_16(const char *s, size_t len)
{
    uint64_t mul = K2 + len * 2;

    if (len >= 8) {
        uint64_t a = fetch64(s) + K2, b = fetch64(s + len - 8);
        return mix(rotate(b, 37) * mul + a, (rotate(a, 25) + b) * mul, mul);
    }
    if (len >= 4)
        return mix(len + (fetch(s, 4) << 3), fetch(s + len - 4, 4), mul);
    if (len == 0)
        return K2;
    uint64_t y = fetch(s, 1) + (fetch(s + len / 2, 1) << 8);
    uint64_t z = len + (fetch(s + len - 1, 1) << 2);
    return shift_mix((y * K2) ^ (z * K0)) * K2;
}

static uint64_t hash_to_32(const char *s, size_t len)
{
    uint64_t mul = K2 + len * 2, a = fetch64(s) * K1, b = fetch64(s + 8);
    uint64_t c = fetch64(s + len - 8) * mul, d = fetch64(s + len - 16) * K2;

    return mix(rotate(a + b, 43) + rotate(c, 30) + d, a + rotate(b + K2, 18) + c, mul);
}

static uint64_t hash_to_64(const char *s, size_t len)
{
    uint64_t mul = K2 + len * 2, a = fetch64(s) * K2, b = fetch64(s + 8);
    uint64_t c = fetch64(s + len - 8) * mul, d = fetch64(s + len - 16) * K2;
    uint64_t y = rotate(a + b, 43) + rotate(c, 30) + d;
    uint64_t z = mix(y, a + rotate(b + K2, 18) + c, mul);
    uint64_t e = fetch64(s + 16) * mul, f = fetch64(s + 24);
    uint64_t g = (y + fetch64(s + len - 32)) * mul, h = (z + fetch64(s + len - 24)) * mul;

    return mix(rotate(e + f, 43) + rotate(g, 30) + h, e + rotate(f + a, 18) + g, mul);
}

static struct pair weak(const char *s, uint64_t a, uint64_t b)
{
    uint64_t z = fetch64(s + 24), c;

    a += fetch64(s);
    b = rotate(b + a + z, 21);
    c = a;
    a += fetch64(s + 8);
    a += fetch64(s + 16);
    b += rotate(a, 44);
    return (struct pair){ a + z, b + c };
}

struct state {
    uint64_t x, y, z;
    struct pair v, w;
};

/* One step over 64 bytes; the last one weighs its parts by 9. */
static void step(struct state *t, const char *s, uint64_t mul, uint64_t weight)
{
    t->x = rotate(t->x + t->y + t->v.first + fetch64(s + 8), 37) * mul;
    t->y = rotate(t->y + t->v.second + fetch64(s + 48), 42) * mul;
    t->x ^= t->w.second * weight;
    t->y += t->v.first * weight + fetch64(s + 40);
    t->z = rotate(t->z + t->w.first, 33) * mul;
    t->v = weak(s, t->v.second * mul, t->x + t->w.first);
    t->w = weak(s + 32, t->z + t->w.second, t->y + fetch64(s + 16));
    uint64_t swap = t->z;
    t->z = t->x;
    t->x = swap;
}

uint64_t farm_fingerprint(struct str text)
{
    const char *s = text.p;
    size_t len = text.len;

    if (len <= 16)
        return hash_to_16(s, len);
    if (len <= 32)
        return hash_to_32(s, len);
    if (len <= 64)
        return hash_to_64(s, len);
    struct state t = { .x = 81, .y = 81 * K1 + 113 };
    t.z = shift_mix(t.y * K2 + 113) * K2;
    t.x = t.x * K2 + fetch64(s);
    const char *end = s + (len - 1) / 64 * 64, *last = end + ((len - 1) & 63) - 63;
    for (; s != end; s += 64)
        step(&t, s, K1, 1);
    uint64_t mul = K1 + ((t.z & 0xff) << 1);
    t.w.first += (len - 1) & 63;
    t.v.first += t.w.first;
    t.w.first += t.v.first;
    step(&t, last, mul, 9);
    return mix(mix(t.v.first, t.w.first, mul) + shift_mix(t.y) * K0 + t.z,
               mix(t.v.second, t.w.second, mul) + t.x, mul);
}
