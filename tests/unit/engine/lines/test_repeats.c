/* Goal: what stands twice is always known, what stands once is rarely taken for it, and memory is
 * bounded. Method: many digests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/lines/digest.h"
#include "engine/lines/repeats.h"

static void note(struct repeats *r, uint32_t i)
{
    uint64_t digest[2];

    digest_of(&i, sizeof i, digest);
    repeats_note(r, digest);
}

static bool maybe(const struct repeats *r, uint32_t i)
{
    uint64_t digest[2];

    digest_of(&i, sizeof i, digest);
    return repeats_maybe(r, digest);
}

static void test_all_that_was_noted_twice_is_known_and_little_else(void **state)
{
    (void)state;
    const uint32_t count = 200000;
    struct repeats *r = repeats_new((uint64_t)count * 5000);
    uint32_t wrong = 0;

    for (uint32_t i = 0; i < count; i++)
        note(r, i);
    for (uint32_t i = 0; i < count; i += 100)
        note(r, i);
    for (uint32_t i = 0; i < count; i++) {
        if (i % 100 == 0)
            assert_true(maybe(r, i));
        else
            wrong += maybe(r, i);
    }
    assert_in_range(wrong, 1, count / 50);
    repeats_free(r);
}

static void test_a_sketch_that_is_too_small_errs_on_the_safe_side(void **state)
{
    (void)state;
    struct repeats *r = repeats_new(0);

    for (uint32_t i = 0; i < 100000; i++) {
        note(r, i);
        note(r, i);
    }
    for (uint32_t i = 0; i < 100000; i++)
        assert_true(maybe(r, i));
    repeats_free(r);
    repeats_free(repeats_new(UINT64_MAX));
    repeats_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_that_was_noted_twice_is_known_and_little_else),
        cmocka_unit_test(test_a_sketch_that_is_too_small_errs_on_the_safe_side),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
