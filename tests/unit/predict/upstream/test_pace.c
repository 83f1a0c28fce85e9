/* What keeps a server within its bounds: bucket, breaker, pause. Time is a number here, so that each case says what
 * must come out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "base/mem.h"
#include "base/clock.h"
#include "predict/upstream/pace_bucket.h"
#include "predict/upstream/pace_breaker.h"
#include "predict/upstream/pace_pause.h"

#define MINUTE_NS (60 * NS_PER_S)
#define TAKEN_MAX 20000

/* ---- Bucket ---- */

/* Takes n as often as it may for ten minutes; gives the times. */
static uint32_t take_all(uint64_t limit, double n, uint64_t *at)
{
    struct bucket b;
    uint64_t now = NS_PER_S, end = now + 10 * MINUTE_NS;
    uint32_t count = 0;

    bucket_init(&b, limit, now);
    while (now < end && count < TAKEN_MAX) {
        uint64_t ready = now;
        if (bucket_ready(&b, n, now, &ready)) {
            bucket_take(&b, n, now);
            at[count++] = now;
        } else {
            assert_true(ready > now);
            now = ready;
        }
    }
    return count;
}

/* The most that was taken in any sixty seconds. */
static uint32_t most_in_a_minute(const uint64_t *at, uint32_t count)
{
    uint32_t most = 0;

    for (uint32_t from = 0, to = 0; to < count; to++) {
        while (at[to] - at[from] >= MINUTE_NS)
            from++;
        most = to - from + 1 > most ? to - from + 1 : most;
    }
    return most;
}

static void test_no_minute_has_more_than_the_limit_and_nearly_all_of_it_is_used(void **state)
{
    static const uint64_t limits[] = { 1, 2, 7, 10, 59, 60, 61, 600, 1000 };
    static uint64_t at[TAKEN_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        uint32_t count = take_all(limits[i], 1, at);
        assert_true(most_in_a_minute(at, count) <= limits[i]);
        assert_true(count >= 5 * limits[i]); /* of ten minutes' worth: a limit of 1 takes half */
        if (limits[i] >= 10)
            assert_true(count >= 9 * limits[i]);
    }
}

static void test_takings_larger_than_a_second_of_the_limit_stay_within_it(void **state)
{
    static uint64_t at[TAKEN_MAX];

    (void)state;
    uint32_t count = take_all(10000, 3000, at);
    assert_true(most_in_a_minute(at, count) <= 3);
    assert_true(count > 10);
}

static void test_more_than_the_limit_at_once_counts_as_the_limit(void **state)
{
    static uint64_t at[TAKEN_MAX];

    (void)state;
    uint32_t count = take_all(100, 100000, at);
    assert_true(count >= 2);
    assert_true(most_in_a_minute(at, count) <= 1);
}

static void test_an_estimate_that_was_too_high_is_given_back(void **state)
{
    struct bucket b;
    uint64_t ready;

    (void)state;
    bucket_init(&b, 6000, 0);
    assert_true(bucket_ready(&b, 100, 0, &ready));
    bucket_take(&b, 100, 0);
    assert_false(bucket_ready(&b, 50, 0, &ready));
    bucket_take(&b, -80, 0);
    assert_true(bucket_ready(&b, 50, 0, &ready));
}

static void test_no_limit_never_waits(void **state)
{
    struct bucket b;
    uint64_t ready;

    (void)state;
    bucket_init(&b, 0, 0);
    for (int i = 0; i < 1000; i++) {
        assert_true(bucket_ready(&b, 1e9, 0, &ready));
        bucket_take(&b, 1e9, 0);
    }
}

/* ---- Breaker ---- */

/* Of a server that is not even reached, sent when they fail. */
static void fail_times(struct breaker *b, int n, uint64_t now)
{
    for (int i = 0; i < n; i++)
        breaker_failure(b, &(struct breaker_failure){ .sent_ns = now, .now_ns = now });
}

static void fail_probe(struct breaker *b, bool reached, uint64_t now)
{
    const struct breaker_failure f = {
        .sent_ns = now, .now_ns = now, .probe = true, .reached = reached
    };

    breaker_failure(b, &f);
}

/* Refusals come at once, answers after two seconds: a row of refusals between two answers says nothing. */
static void test_quick_refusals_between_slow_answers_do_not_open_the_breaker(void **state)
{
    const uint64_t took = 2 * NS_PER_S, answered = 10 * NS_PER_S;
    struct breaker b = { 0 };

    (void)state;
    breaker_success(&b, answered - took, answered);
    for (uint32_t i = 0; i < 3 * BREAKER_FAILURES; i++) {
        struct breaker_failure f = { .sent_ns = answered + i,
                                     .now_ns = answered + i,
                                     .reached = true };
        breaker_failure(&b, &f);
        assert_int_equal(b.state, BREAKER_CLOSED);
    }
    struct breaker_failure late = { .sent_ns = answered + 2 * took,
                                    .now_ns = answered + 2 * took,
                                    .reached = true };
    breaker_failure(&b, &late); /* by now an answer should have come */
    assert_int_equal(b.state, BREAKER_OPEN);
    breaker_success(&b, answered - took, answered);
    for (uint32_t i = 0; i < BREAKER_FAILURES; i++) {
        struct breaker_failure f = { .sent_ns = answered + i, .now_ns = answered + i };
        breaker_failure(&b, &f);
    }
    assert_int_equal(b.state, BREAKER_OPEN); /* nobody was there */
}

static void test_the_breaker_opens_at_the_limit_of_failures_in_a_row_and_not_before(void **state)
{
    struct breaker b = { 0 };
    uint64_t ready;

    (void)state;
    fail_times(&b, BREAKER_FAILURES - 1, 5);
    assert_true(breaker_ready(&b, 5, &ready));
    breaker_success(&b, 0, 1);
    fail_times(&b, BREAKER_FAILURES - 1, 6);
    assert_true(breaker_ready(&b, 6, &ready));
    fail_times(&b, 1, 7);
    assert_false(breaker_ready(&b, 7, &ready));
    assert_int_equal(ready, 7 + BREAKER_MS * NS_PER_MS);
}

static void test_an_open_breaker_lets_one_probe_through(void **state)
{
    struct breaker b = { 0 };
    uint64_t ready;

    (void)state;
    fail_times(&b, BREAKER_FAILURES, 0);
    assert_true(breaker_ready(&b, BREAKER_MS * NS_PER_MS, &ready));
    assert_true(breaker_sent(&b));
    assert_false(breaker_ready(&b, BREAKER_MS * NS_PER_MS, &ready));
    assert_true(ready == UINT64_MAX);
    breaker_success(&b, 0, 1);
    assert_true(breaker_ready(&b, 0, &ready));
    assert_false(breaker_sent(&b));
}

static void test_failed_probes_wait_twice_as_long_up_to_the_cap(void **state)
{
    struct breaker b = { 0 };
    uint64_t now = 0, waited = BREAKER_MS, ready;

    (void)state;
    fail_times(&b, BREAKER_FAILURES, now);
    for (int i = 0; i < 12; i++) {
        assert_false(breaker_ready(&b, now, &ready));
        assert_int_equal(ready, now + waited * NS_PER_MS);
        now = ready;
        assert_true(breaker_sent(&b));
        fail_probe(&b, false, now);
        waited = 2 * waited < BREAKER_CAP_MS ? 2 * waited : BREAKER_CAP_MS;
    }
}

static void test_probes_of_a_server_that_answers_come_at_the_same_pace(void **state)
{
    struct breaker b = { 0 };
    uint64_t now = 0, ready;

    (void)state;
    fail_times(&b, BREAKER_FAILURES, now);
    for (int i = 0; i < 5; i++) {
        assert_false(breaker_ready(&b, now, &ready));
        assert_int_equal(ready, now + BREAKER_MS * NS_PER_MS);
        now = ready;
        assert_true(breaker_sent(&b));
        fail_probe(&b, true, now);
    }
}

static void test_failures_that_were_sent_before_the_newest_success_do_not_count(void **state)
{
    struct breaker b = { 0 };
    uint64_t ready;

    (void)state;
    breaker_success(&b, 100, 101);
    for (int i = 0; i < 3 * BREAKER_FAILURES; i++)
        breaker_failure(&b, &(struct breaker_failure){ .sent_ns = 99, .now_ns = 500 });
    assert_true(breaker_ready(&b, 500, &ready));
    fail_times(&b, BREAKER_FAILURES, 500);
    assert_false(breaker_ready(&b, 500, &ready));
}

static void test_late_failures_do_not_prolong_an_opening_and_a_late_success_ends_it(void **state)
{
    struct breaker b = { 0 };
    uint64_t ready;

    (void)state;
    fail_times(&b, BREAKER_FAILURES, 1);
    fail_times(&b, 100, 2);
    assert_false(breaker_ready(&b, 2, &ready));
    assert_int_equal(ready, 1 + BREAKER_MS * NS_PER_MS);
    breaker_success(&b, 0, 1);
    assert_true(breaker_ready(&b, 2, &ready));
}

static void test_retries_that_fail_soon_after_an_answer_do_not_open_the_breaker(void **state)
{
    struct breaker b = { 0 };
    uint64_t ready, late = BREAKER_RETRY_MS * NS_PER_MS;

    (void)state;
    breaker_success(&b, 1, 1);
    for (int i = 0; i < 100; i++)
        breaker_failure(&b,
                        &(struct breaker_failure){
                            .sent_ns = late, .now_ns = late, .reached = true, .retried = true });
    assert_true(breaker_ready(&b, late, &ready));
    for (int i = 0; i < BREAKER_FAILURES; i++)
        breaker_failure(
            &b, &(struct breaker_failure){
                    .sent_ns = late + 1, .now_ns = late + 1, .reached = true, .retried = true });
    assert_false(breaker_ready(&b, late + 1, &ready));
}

static void test_a_probe_that_was_cancelled_makes_room_for_the_next(void **state)
{
    struct breaker b = { 0 };
    uint64_t ready, later = BREAKER_MS * NS_PER_MS;

    (void)state;
    fail_times(&b, BREAKER_FAILURES, 0);
    assert_true(breaker_ready(&b, later, &ready));
    assert_true(breaker_sent(&b));
    breaker_void(&b, true);
    assert_true(breaker_ready(&b, later, &ready));
    assert_true(breaker_sent(&b));
}

/* ---- Pause ---- */

/* A round trip of `ends` requests, one millisecond long; every `every`-th is answered (0: none). */
static void round_trip(struct pause *p, uint32_t ends, uint32_t every, uint64_t *now)
{
    uint64_t sent = ++*now;

    *now += NS_PER_MS;
    for (uint32_t i = 1; i <= ends; i++) {
        const struct pause_end end = { .sent_ns = sent,
                                       .now_ns = *now,
                                       .refused = !every || i % every != 0,
                                       .retry_after_ms = 1000 };
        pause_end(p, &end);
    }
}

static void test_refusals_among_answers_never_pause_the_server(void **state)
{
    static const uint32_t ends[] = { 2, 16, 100, 1000 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        struct pause p = { 0 };
        uint64_t now = 0;
        for (int n = 0; n < 100; n++)
            round_trip(&p, ends[i], 2, &now); /* half of them is refused */
        assert_true(p.until_ns == 0);
    }
}

static void test_refusals_of_one_round_trip_do_not_pause_the_server(void **state)
{
    struct pause p = { 0 };
    uint64_t now = 0;

    (void)state;
    round_trip(&p, 1000, 1, &now);
    for (int i = 0; i < 1000; i++) /* all were in flight when the first was refused */
        pause_end(&p, &(struct pause_end){
                          .sent_ns = 1, .now_ns = now, .refused = true, .retry_after_ms = 1000 });
    assert_int_equal(p.until_ns, 0);
}

static void test_refusals_that_dominate_pause_the_server_as_long_as_they_ask(void **state)
{
    struct pause p = { 0 };
    uint64_t now = 0;

    (void)state;
    round_trip(&p, PAUSE_ENDS_MIN / 2, 0, &now);
    assert_int_equal(p.until_ns, 0);
    round_trip(&p, PAUSE_ENDS_MIN / 2, 0, &now);
    assert_int_equal(p.until_ns, now + 1000 * NS_PER_MS);
}

static void test_a_server_that_answers_again_is_not_paused_by_what_it_refused_before(void **state)
{
    struct pause p = { 0 };
    uint64_t now = 0;

    (void)state;
    for (int i = 0; i < 4; i++)
        round_trip(&p, 100, 0, &now);
    uint64_t until = p.until_ns;
    for (int i = 0; i < 4; i++)
        round_trip(&p, 100, 1, &now);
    round_trip(&p, 100, 2, &now);
    assert_int_equal(p.until_ns, until);
}

static void
test_retries_that_are_refused_do_not_pause_a_server_that_answered_the_others(void **state)
{
    struct pause p = { 0 };
    uint64_t now = 0;

    (void)state;
    for (int i = 0; i < 4; i++)
        round_trip(&p, 100, 2, &now);
    for (int i = 0; i < 1000; i++) {
        const struct pause_end end = {
            .sent_ns = now, .now_ns = now + 1, .retried = true, .refused = true, .retry_after_ms = 9
        };
        pause_end(&p, &end);
        now++;
    }
    assert_int_equal(p.until_ns, 0);
}

static void test_a_refusal_of_the_account_pauses_at_once_and_within_the_maximum(void **state)
{
    struct pause p = { 0 };

    (void)state;
    pause_end(&p, &(struct pause_end){ .now_ns = 5, .refused = true, .account = true });
    assert_int_equal(p.until_ns, 0);
    pause_end(&p, &(struct pause_end){
                      .now_ns = 5, .refused = true, .account = true, .retry_after_ms = 70 });
    assert_int_equal(p.until_ns, 5 + 70 * NS_PER_MS);
    pause_end(&p,
              &(struct pause_end){
                  .now_ns = 5, .refused = true, .account = true, .retry_after_ms = UINT32_MAX });
    assert_int_equal(p.until_ns, 5 + PAUSE_MAX_MS * NS_PER_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_minute_has_more_than_the_limit_and_nearly_all_of_it_is_used),
        cmocka_unit_test(test_takings_larger_than_a_second_of_the_limit_stay_within_it),
        cmocka_unit_test(test_more_than_the_limit_at_once_counts_as_the_limit),
        cmocka_unit_test(test_an_estimate_that_was_too_high_is_given_back),
        cmocka_unit_test(test_no_limit_never_waits),
        cmocka_unit_test(test_quick_refusals_between_slow_answers_do_not_open_the_breaker),
        cmocka_unit_test(test_the_breaker_opens_at_the_limit_of_failures_in_a_row_and_not_before),
        cmocka_unit_test(test_an_open_breaker_lets_one_probe_through),
        cmocka_unit_test(test_failed_probes_wait_twice_as_long_up_to_the_cap),
        cmocka_unit_test(test_probes_of_a_server_that_answers_come_at_the_same_pace),
        cmocka_unit_test(test_failures_that_were_sent_before_the_newest_success_do_not_count),
        cmocka_unit_test(test_late_failures_do_not_prolong_an_opening_and_a_late_success_ends_it),
        cmocka_unit_test(test_retries_that_fail_soon_after_an_answer_do_not_open_the_breaker),
        cmocka_unit_test(test_a_probe_that_was_cancelled_makes_room_for_the_next),
        cmocka_unit_test(test_refusals_among_answers_never_pause_the_server),
        cmocka_unit_test(test_refusals_of_one_round_trip_do_not_pause_the_server),
        cmocka_unit_test(test_refusals_that_dominate_pause_the_server_as_long_as_they_ask),
        cmocka_unit_test(test_a_server_that_answers_again_is_not_paused_by_what_it_refused_before),
        cmocka_unit_test(
            test_retries_that_are_refused_do_not_pause_a_server_that_answered_the_others),
        cmocka_unit_test(test_a_refusal_of_the_account_pauses_at_once_and_within_the_maximum),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
