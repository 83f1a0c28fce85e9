/* Goal: transient failures come back within their range and not as one wave; permanent ones never.
 * Method: many seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"

#include "engine/lines/retry.h"

static const struct retry_rules as_a_job = { RETRY_ATTEMPTS_MAX, RETRY_BASE_MS, RETRY_CAP_MS, 3.0 };

static void test_only_retryable_codes_are_tried_again(void **state)
{
    (void)state;
    struct retry_rules r = as_a_job;

    for (int code = 0; code < ERROR_CODE_COUNT; code++) {
        uint64_t seed = 1;
        uint32_t wait;
        assert_int_equal(retry_next(&r, 1, (enum error_code)code, 0, &seed, &wait),
                         error_retryable((enum error_code)code));
    }
}

static void test_the_last_attempt_is_the_last(void **state)
{
    (void)state;
    struct retry_rules r = as_a_job;
    uint64_t seed = 1;
    uint32_t wait;

    assert_true(retry_next(&r, RETRY_ATTEMPTS_MAX - 1, ERROR_UNAVAILABLE, 0, &seed, &wait));
    assert_false(retry_next(&r, RETRY_ATTEMPTS_MAX, ERROR_UNAVAILABLE, 0, &seed, &wait));
}

/* The waits fill their range: each is within it, and some come near both of its ends. */
static void test_waits_are_spread_over_a_range_that_doubles_up_to_the_cap(void **state)
{
    (void)state;
    const struct retry_rules r = { .attempts_max = 100, .base_ms = 100, .cap_ms = 1000 };
    static const struct {
        uint32_t attempt, range_ms;
    } cases[] = { { 1, 100 }, { 2, 200 }, { 3, 400 }, { 4, 800 }, { 5, 1000 }, { 99, 1000 } };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint32_t least = UINT32_MAX, most = 0;
        uint64_t seed = i;
        for (int n = 0; n < 1000; n++) {
            uint32_t wait = 0;
            assert_true(retry_next(&r, cases[i].attempt, ERROR_INTERNAL, 0, &seed, &wait));
            least = wait < least ? wait : least;
            most = wait > most ? wait : most;
        }
        assert_in_range(least, 1, cases[i].range_ms / 20);
        assert_in_range(most, cases[i].range_ms * 19 / 20, cases[i].range_ms);
    }
}

static void test_the_same_seed_gives_the_same_waits(void **state)
{
    (void)state;
    struct retry_rules r = as_a_job;
    uint64_t a = 42, b = 42, c = 43;
    int same = 0;

    for (int n = 0; n < 100; n++) {
        uint32_t x = 0, y = 0, z = 0;
        (void)retry_next(&r, 3, ERROR_UNAVAILABLE, 0, &a, &x);
        (void)retry_next(&r, 3, ERROR_UNAVAILABLE, 0, &b, &y);
        (void)retry_next(&r, 3, ERROR_UNAVAILABLE, 0, &c, &z);
        assert_int_equal(x, y);
        same += x == z;
    }
    assert_in_range(same, 0, 20);
}

static void test_a_pause_that_a_server_asks_for_is_kept_up_to_its_limit(void **state)
{
    (void)state;
    struct retry_rules r = as_a_job;
    static const struct {
        uint32_t asked, least;
    } cases[] = { { 5000, 5000 },
                  { RETRY_AFTER_MAX_MS, RETRY_AFTER_MAX_MS },
                  { RETRY_AFTER_MAX_MS + 1, RETRY_AFTER_MAX_MS },
                  { UINT32_MAX, RETRY_AFTER_MAX_MS } };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t seed = 7;
        uint32_t wait = 0;
        assert_true(retry_next(&r, 1, ERROR_RESOURCE_EXHAUSTED, cases[i].asked, &seed, &wait));
        assert_int_equal(wait, cases[i].least);
    }
}

static void test_no_range_means_at_once(void **state)
{
    (void)state;
    const struct retry_rules r = { .attempts_max = 3 };
    uint64_t seed = 7;
    uint32_t wait = 99;

    assert_true(retry_next(&r, 1, ERROR_UNAVAILABLE, 0, &seed, &wait));
    assert_int_equal(wait, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_retryable_codes_are_tried_again),
        cmocka_unit_test(test_the_last_attempt_is_the_last),
        cmocka_unit_test(test_waits_are_spread_over_a_range_that_doubles_up_to_the_cap),
        cmocka_unit_test(test_the_same_seed_gives_the_same_waits),
        cmocka_unit_test(test_a_pause_that_a_server_asks_for_is_kept_up_to_its_limit),
        cmocka_unit_test(test_no_range_means_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
