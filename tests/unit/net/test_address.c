/* Which addresses the guard refuses: the edges of each block, and IPv4 addresses inside IPv6 ones. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "net/address.h"

static void check(const char *const *address, bool wanted)
{
    for (; *address; address++)
        if (net_address_private(*address) != wanted)
            fail_msg("%s", *address);
}

static void test_special_ipv4_blocks_are_private_up_to_their_edges(void **state)
{
    static const char *const inside[] = {
        "0.0.0.0",         "0.255.255.255",
        "10.0.0.0",        "10.255.255.255",
        "100.64.0.0",      "100.127.255.255",
        "127.0.0.1",       "127.255.255.1",
        "169.254.0.0",     "169.254.169.254",
        "172.16.0.0",      "172.31.255.255",
        "192.0.0.8",       "192.0.2.1",
        "192.88.99.1",     "192.168.0.0",
        "192.168.255.9",   "198.18.0.0",
        "198.19.255.255",  "198.51.100.7",
        "203.0.113.255",   "224.0.0.1",
        "239.255.255.1",   "240.0.0.1",
        "255.255.255.255", NULL,
    };
    static const char *const outside[] = {
        "1.0.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.1",
        "128.0.0.1",
        "169.253.255.1",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.0.3.0",
        "192.88.98.1",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.1",
        "198.20.0.0",
        "198.51.99.255",
        "203.0.114.0",
        "223.255.255.255",
        "8.8.8.8",
        NULL,
    };

    (void)state;
    check(inside, true);
    check(outside, false);
}

static void test_only_global_unicast_ipv6_is_public(void **state)
{
    static const char *const inside[] = {
        "::",      "::1",     "::7f00:1",        "100::1",           "64:ff9b:1::1",
        "fc00::1", "fdff::1", "fe80::1",         "febf::1",          "fec0::1",
        "ff02::1", "2001::1", "2001:1ff:ffff::", "2001:db8::1",      "3fff:0fff::1",
        "5f00::1", "4000::1", "1fff::1",         "::ffff:0:8.8.8.8", NULL,
    };
    static const char *const outside[] = {
        "2000::1",      "2001:200::1", "2001:db7::1",          "2001:db9::1",
        "3fff:1000::1", "3ffe::1",     "2606:4700:4700::1111", NULL,
    };

    (void)state;
    check(inside, true);
    check(outside, false);
}

static void test_an_ipv4_address_inside_an_ipv6_one_decides(void **state)
{
    static const char *const inside[] = {
        "::ffff:127.0.0.1",
        "::ffff:10.1.2.3",
        "::ffff:a9fe:a9fe",
        "64:ff9b::127.0.0.1",
        "64:ff9b::169.254.169.254",
        "2002:7f00:0001::1",
        "2002:c0a8:0101::",
        "2002:a00::1",
        NULL,
    };
    static const char *const outside[] = {
        "::ffff:8.8.8.8", "::FFFF:808:808", "64:ff9b::8.8.8.8", "2002:808:808::1", NULL,
    };

    (void)state;
    check(inside, true);
    check(outside, false);
}

/* Only what a resolver gives is an address: short and octal forms, zones and names are not. */
static void test_what_is_no_address_is_private(void **state)
{
    static const char *const odd[] = {
        "",          "localhost",  "8.8.8",      "010.8.8.8", "0x8.8.8.8", "8.8.8.8 ",
        "[2000::1]", "8.8.8.8:80", "fe80::1%lo", "2000::1%1", "134744072", NULL,
    };

    (void)state;
    check(odd, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_special_ipv4_blocks_are_private_up_to_their_edges),
        cmocka_unit_test(test_only_global_unicast_ipv6_is_public),
        cmocka_unit_test(test_an_ipv4_address_inside_an_ipv6_one_decides),
        cmocka_unit_test(test_what_is_no_address_is_private),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
