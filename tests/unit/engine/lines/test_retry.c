/* Goal: transient failures come back within their range and not as one wave; permanent ones never.
 * Method: many seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"

#include "engine/lines/retry.h"

static bool next_wait(const struct retry_rules *r, uint32_t attempt, enum error_code code,
                      uint32_t asked_ms, uint64_t *seed, uint32_t *wait_ms)
{
    const struct retry_failure f = { .attempt = attempt, .code = code, .retry_after_ms = asked_ms };

    return retry_next(r, &f, seed, wait_ms);
}

static const struct retry_rules as_a_job = { RETRY_ATTEMPTS_MAX, RETRY_BASE_MS, RETRY_CAP_MS, 3.0 };

static void test_only_retryable_codes_are_tried_again(void **state)
{
    (void)state;
    struct retry_rules r = as_a_job;

    for (int code = 0; code < ERROR_CODE_COUNT; code++) {
        uint64_t seed = 1;
        uint32_t wait;
        assert_int_equal(next_wait(&r, 1, (enum error_code)code, 0, &seed, &wait),
                         error_retryable((enum error_code)code));
    }
}

static void test_the_last_attempt_is_the_last(void **state)
{
    (void)state;
    struct retry_rules r = as_a_job;
    uint64_t seed = 1;
    uint32_t wait;

    assert_true(next_wait(&r, RETRY_ATTEMPTS_MAX - 1, ERROR_UNAVAILABLE, 0, &seed, &wait));
    assert_false(next_wait(&r, RETRY_ATTEMPTS_MAX, ERROR_UNAVAILABLE, 0, &seed, &wait));
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
            assert_true(next_wait(&r, cases[i].attempt, ERROR_INTERNAL, 0, &seed, &wait));
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
        (void)next_wait(&r, 3, ERROR_UNAVAILABLE, 0, &a, &x);
        (void)next_wait(&r, 3, ERROR_UNAVAILABLE, 0, &b, &y);
        (void)next_wait(&r, 3, ERROR_UNAVAILABLE, 0, &c, &z);
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
        assert_true(next_wait(&r, 1, ERROR_RESOURCE_EXHAUSTED, cases[i].asked, &seed, &wait));
        assert_int_equal(wait, cases[i].least);
    }
}

/* Ten attempts: six waits of a failure that is the request's own are within the base, the last three
 * grow as those of a server that suffers. */
static void
test_a_failure_of_the_request_s_own_waits_within_the_base_until_the_last_attempts(void **state)
{
    (void)state;
    const struct retry_rules r = { .attempts_max = 10, .base_ms = 100, .cap_ms = 20000 };

    for (uint32_t attempt = 1; attempt < r.attempts_max; attempt++) {
        const struct retry_failure f = { .attempt = attempt,
                                         .code = ERROR_RESOURCE_EXHAUSTED,
                                         .own = true };
        uint32_t most = 0, wait = 0, range = attempt <= 6 ? 100 : attempt == 7 ? 6400 : 12800;
        uint64_t seed = attempt;
        for (int n = 0; n < 1000; n++) {
            assert_true(retry_next(&r, &f, &seed, &wait));
            most = wait > most ? wait : most;
        }
        assert_in_range(most, range * 19 / 20, attempt == 9 ? 20000 : range);
    }
}

static void test_a_pause_is_kept_though_the_failure_is_the_request_s_own(void **state)
{
    (void)state;
    const struct retry_failure f = {
        .attempt = 1, .code = ERROR_UNAVAILABLE, .retry_after_ms = 5000, .own = true
    };
    uint64_t seed = 7;
    uint32_t wait = 0;

    assert_true(retry_next(&as_a_job, &f, &seed, &wait));
    assert_int_equal(wait, 5000);
}

static void test_no_range_means_at_once(void **state)
{
    (void)state;
    const struct retry_rules r = { .attempts_max = 3 };
    uint64_t seed = 7;
    uint32_t wait = 99;

    assert_true(next_wait(&r, 1, ERROR_UNAVAILABLE, 0, &seed, &wait));
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
        cmocka_unit_test(
            test_a_failure_of_the_request_s_own_waits_within_the_base_until_the_last_attempts),
        cmocka_unit_test(test_a_pause_is_kept_though_the_failure_is_the_request_s_own),
        cmocka_unit_test(test_no_range_means_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
