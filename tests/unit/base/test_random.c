/* Random numbers: secret and repeatable ones. */
#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Goal: the sequence is SplitMix64's. Method: its published first numbers for the seed 1234567. */
static void test_a_seed_gives_the_published_sequence(void **state)
{
    static const uint64_t want[] = { 6457827717110365317U, 3203168211198807973U,
                                     9817491932198370423U, 4593380528125082431U,
                                     16408922859458223821U };
    uint64_t seed = 1234567;

    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        assert_true(random_next(&seed) == want[i]);
}

static void test_units_lie_in_zero_to_one(void **state)
{
    uint64_t seed = 1;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        double u = random_unit(&seed);
        assert_true(u >= 0 && u < 1);
    }
}

static void test_texts_are_of_their_alphabet_and_differ(void **state)
{
    char a[41], b[41];
    struct error e = { 0 };

    (void)state;
    assert_int_equal(random_text(a, 40, ALPHABET_36, &e), 0);
    assert_int_equal(random_text(b, 40, ALPHABET_36, &e), 0);
    assert_int_equal(strspn(a, ALPHABET_36), 40);
    assert_string_not_equal(a, b);
    assert_int_equal(random_hex(a, 20, &e), 0);
    assert_int_equal(strspn(a, "0123456789abcdef"), 40);
    assert_int_equal(strlen(a), 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_seed_gives_the_published_sequence),
        cmocka_unit_test(test_units_lie_in_zero_to_one),
        cmocka_unit_test(test_texts_are_of_their_alphabet_and_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
