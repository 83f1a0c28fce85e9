#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/crc32c.h"

static void test_crc32c_gives_the_known_sums(void **state)
{
    char zero[32] = { 0 };

    (void)state;
    assert_int_equal(crc32c_add(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c_add(0, zero, sizeof zero), 0x8a9136aa); /* RFC 3720, B.4 */
    assert_int_equal(crc32c_add(0, "", 0), 0);
}

/* Pieces under eight bytes go by the table, the others by the processor where it can. */
static void test_crc32c_is_the_same_in_pieces_of_any_size(void **state)
{
    unsigned char text[1000];

    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (unsigned char)(i * 7 + i / 13);
    uint32_t whole = crc32c_add(0, text, sizeof text);
    for (size_t at = 0; at <= sizeof text; at += 37) {
        uint32_t first = 0;
        for (size_t i = 0; i < at; i++)
            first = crc32c_add(first, text + i, 1);
        assert_int_equal(crc32c_add(first, text + at, sizeof text - at), whole);
    }
}

static void test_crc32c_of_two_parts_is_that_of_their_concatenation(void **state)
{
    unsigned char text[5000];

    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (unsigned char)(i * 11 + i / 17);
    uint32_t whole = crc32c_add(0, text, sizeof text);
    for (size_t at = 0; at <= sizeof text; at += 125) {
        uint32_t a = crc32c_add(0, text, at), b = crc32c_add(0, text + at, sizeof text - at);
        assert_int_equal(crc32c_join(a, b, sizeof text - at), whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc32c_gives_the_known_sums),
        cmocka_unit_test(test_crc32c_is_the_same_in_pieces_of_any_size),
        cmocka_unit_test(test_crc32c_of_two_parts_is_that_of_their_concatenation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
