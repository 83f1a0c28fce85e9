#include "net/address.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"

#define V4_BYTES 4
#define V6_BYTES 16

/* The first bits of an address. */
struct block {
    unsigned bits;
    uint8_t prefix[V6_BYTES];
};

/* IANA's registry of special-purpose IPv4 addresses, multicast, and what is reserved. */
static const struct block v4_private[] = {
    { 8, { 0 } },             /* this network */
    { 8, { 10 } },            /* private */
    { 10, { 100, 64 } },      /* shared by carriers */
    { 8, { 127 } },           /* loopback */
    { 16, { 169, 254 } },     /* link-local: also where clouds keep their metadata */
    { 12, { 172, 16 } },      /* private */
    { 24, { 192, 0, 0 } },    /* protocol assignments */
    { 24, { 192, 0, 2 } },    /* documentation */
    { 24, { 192, 88, 99 } },  /* 6to4 relays, retired */
    { 16, { 192, 168 } },     /* private */
    { 15, { 198, 18 } },      /* benchmarks */
    { 24, { 198, 51, 100 } }, /* documentation */
    { 24, { 203, 0, 113 } },  /* documentation */
    { 4, { 224 } },           /* multicast */
    { 4, { 240 } },           /* reserved, broadcast */
};

/* IPv6 blocks that lead to the IPv4 address inside. */
static const struct {
    struct block block;
    size_t v4_at;
} v6_embedding[] = {
    { { 96, { [10] = 0xff, [11] = 0xff } }, 12 }, /* ::ffff:a.b.c.d, mapped */
    { { 96, { 0x00, 0x64, 0xff, 0x9b } }, 12 },   /* 64:ff9b::a.b.c.d, NAT64 */
    { { 16, { 0x20, 0x02 } }, 2 },                /* 2002:aabb:ccdd::, 6to4 */
};

/* 2000::/3 is the only block of public addresses; v6_private lists the special ones inside it. */
static const struct block v6_public = { 3, { 0x20 } };
static const struct block v6_private[] = {
    { 23, { 0x20, 0x01 } },             /* protocol assignments, Teredo among them */
    { 32, { 0x20, 0x01, 0x0d, 0xb8 } }, /* documentation */
    { 20, { 0x3f, 0xff } },             /* documentation */
};

static bool within(const uint8_t *address, const struct block *b)
{
    size_t whole = b->bits / 8;
    unsigned rest = b->bits % 8;
    unsigned mask = rest ? 0xffU << (8 - rest) & 0xffU : 0;

    return memcmp(address, b->prefix, whole) == 0 &&
           (rest == 0 || ((unsigned)(address[whole] ^ b->prefix[whole]) & mask) == 0);
}

static bool within_any(const uint8_t *address, const struct block *block, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (within(address, &block[i]))
            return true;
    return false;
}

static bool is_private_v4(const uint8_t *address)
{
    return within_any(address, v4_private, ARRAY_LEN(v4_private));
}

static bool is_private_v6(const uint8_t *address)
{
    for (size_t i = 0; i < ARRAY_LEN(v6_embedding); i++)
        if (within(address, &v6_embedding[i].block))
            return is_private_v4(address + v6_embedding[i].v4_at);
    return !within(address, &v6_public) || within_any(address, v6_private, ARRAY_LEN(v6_private));
}

bool net_address_private(const char *address)
{
    uint8_t v4[V4_BYTES], v6[V6_BYTES];

    if (inet_pton(AF_INET, address, v4) == 1)
        return is_private_v4(v4);
    return inet_pton(AF_INET6, address, v6) != 1 || is_private_v6(v6);
}
