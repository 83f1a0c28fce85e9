/* What keeps a server full and not over its limits: bucket, breaker, limit. Time is a number here, and
 * servers are formulas, so that each case says what must come out. */
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
#include "predict/upstream/pace_late.h"
#include "predict/upstream/pace_limit.h"
#include "predict/upstream/pace_pause.h"
#include "predict/upstream/pace_quota.h"

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

/* ---- Quota ---- */

static void test_headers_of_a_quota_are_read_or_left(void **state)
{
    static const struct {
        const char *limit, *remaining, *reset;
        bool known;
        double seconds;
    } cases[] = {
        { "60", "59", "1s", true, 1 },         { "150000", "149984", "6m0s", true, 360 },
        { "60", "0", "20ms", true, 0.02 },     { "60", "7", "1h2m3.5s", true, 3723.5 },
        { "", "7", "12", true, 12 },           { "60", "", "1s", false, 0 },
        { "60", "5", "", false, 0 },           { "60", "5", "1w", false, 0 },
        { "60", "x", "1s", false, 0 },         { "60", "-1", "1s", false, 0 },
        { "60", "5", "1790000000", false, 0 }, { "60", "5", "s", false, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct quota_report r;
        quota_read(str_of(cases[i].limit), str_of(cases[i].remaining), str_of(cases[i].reset), &r);
        assert_int_equal(r.known, cases[i].known);
        if (r.known)
            assert_int_equal(r.reset_ns / 1000000, (uint64_t)(cases[i].seconds * 1000 + 0.5));
    }
}

/* A server with a bucket of `limit` that fills within a minute, and reports itself in each reply. */
struct bucket_server {
    double limit, level;
    uint64_t at_ns;
    uint32_t answered, refused;
};

static void ask_bucket(struct bucket_server *s, struct quota *q, uint64_t now)
{
    double per_ns = s->limit / (double)MINUTE_NS;

    s->level = fmin(s->limit, s->level + (double)(now - s->at_ns) * per_ns);
    s->at_ns = now;
    quota_take(q, 1);
    if (s->level >= 1)
        s->level -= 1, s->answered++;
    else
        s->refused++;
    const struct quota_report r = { .known = true,
                                    .limit = s->limit,
                                    .remaining = floor(s->level),
                                    .reset_ns = (uint64_t)((s->limit - s->level) / per_ns) };
    quota_reported(q, &r, now, q->taken, now);
}

static void test_a_quota_that_is_reported_is_used_up_and_never_passed(void **state)
{
    struct bucket_server s = { .limit = 60, .level = 60 };
    struct quota q = { 0 };
    uint64_t now = 0, ready;

    (void)state;
    while (now < 3 * MINUTE_NS) {
        if (quota_ready(&q, 1, now, &ready)) {
            ask_bucket(&s, &q, now);
            continue;
        }
        assert_true(ready > now);
        now = ready;
    }
    assert_in_range(s.refused, 0, 2);
    assert_in_range(s.answered, 230, 241); /* 60 at once, 60 a minute */
}

static void test_what_was_sent_after_a_report_is_subtracted_from_it(void **state)
{
    struct quota q = { 0 };
    const struct quota_report r = { true, 100, 10, NS_PER_S };
    uint64_t ready;

    (void)state;
    quota_take(&q, 1);
    double then = q.taken;
    for (int i = 0; i < 9; i++)
        quota_take(&q, 1);
    quota_reported(&q, &r, 1, then, 5);
    assert_true(quota_ready(&q, 1, 5, &ready));
    quota_take(&q, 1);
    assert_false(quota_ready(&q, 1, 5, &ready));
    assert_true(ready > 5 && ready < 5 + NS_PER_S);
}

static void
test_an_older_report_and_one_without_a_limit_change_nothing_they_do_not_know(void **state)
{
    struct quota q = { 0 };
    const struct quota_report none = { true, 0, 0, NS_PER_S }, many = { true, 100, 90, NS_PER_S };
    uint64_t ready;

    (void)state;
    quota_reported(&q, &none, 7, 0, 10);
    quota_reported(&q, &many, 6, 0, 11);
    assert_false(quota_ready(&q, 1, 11, &ready));
    assert_int_equal(ready, 10 + NS_PER_S);
    assert_true(quota_ready(&q, 1, ready, &ready));
}

/* ---- Limit ---- */

/* A server that works at `slots` at once, each for base_ms, and lets the others wait; it refuses
 * those over `takes` (0: none), and by chance every refuse_every-th (0: none). */
struct server {
    double slots, base_ms;
    uint32_t takes, refuse_every;
    uint32_t served;
    uint64_t now;
};

/* Keeps the limit full for so many requests; each epoch's answers come after one latency. */
static void serve(struct limit *l, struct server *s, uint32_t requests)
{
    for (uint32_t n = 0; n < requests;) {
        uint32_t in_flight = limit_now(l);
        double latency_ms = s->base_ms * fmax(1, in_flight / s->slots);
        uint64_t sent = s->now + 1;
        s->now = sent + (uint64_t)(latency_ms * 1e6);
        for (uint32_t i = 0; i < in_flight; i++, n++) {
            struct limit_sample sample = { .sent_ns = sent,
                                           .latency_ns = (uint64_t)(latency_ms * 1e6),
                                           .in_flight = in_flight };
            s->served++;
            sample.refused = (s->takes && i >= s->takes) ||
                             (s->refuse_every && s->served % s->refuse_every == 0);
            limit_add(l, &sample, s->now);
        }
    }
}

static void test_the_limit_finds_a_servers_slots_and_stays_near_them(void **state)
{
    static const double slots[] = { 4, 8, 64, 256 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(slots); i++) {
        struct server s = { .slots = slots[i], .base_ms = 50 };
        struct limit l;
        limit_init(&l, 0, 1024);
        serve(&l, &s, 100000);
        for (int k = 0; k < 20; k++) {
            serve(&l, &s, 1000);
            assert_true(limit_now(&l) >= 0.85 * slots[i] - 1);
            assert_true(limit_now(&l) <= 1.5 * slots[i] + 4);
        }
    }
}

static void test_a_server_without_bounds_gets_the_maximum(void **state)
{
    struct server s = { .slots = 1e9, .base_ms = 50 };
    struct limit l;

    (void)state;
    limit_init(&l, 0, 1000);
    serve(&l, &s, 20000);
    assert_int_equal(limit_now(&l), 1000);
}

static void test_a_server_that_grows_is_followed(void **state)
{
    struct server s = { .slots = 16, .base_ms = 20 };
    struct limit l;

    (void)state;
    limit_init(&l, 0, 1024);
    serve(&l, &s, 50000);
    assert_true(limit_now(&l) < 64);
    s.slots = 200;
    serve(&l, &s, 400000);
    assert_true(limit_now(&l) >= 150);
}

static void test_refusals_of_load_bring_the_limit_down(void **state)
{
    struct server s = { .slots = 1e9, .base_ms = 50, .takes = 100 };
    struct limit l;

    (void)state;
    limit_init(&l, 0, 1024);
    serve(&l, &s, 100000);
    assert_true(limit_now(&l) <= 160);
    assert_true(limit_now(&l) >= 50);
}

static void test_refusals_that_do_not_come_from_load_are_ignored(void **state)
{
    struct server s = { .slots = 64, .base_ms = 50, .refuse_every = 3 };
    struct limit l;

    (void)state;
    limit_init(&l, 0, 1024);
    serve(&l, &s, 200000);
    assert_true(limit_now(&l) >= 40);
}

static void
test_a_share_that_fails_from_the_first_request_on_does_not_keep_the_limit_low(void **state)
{
    static const uint32_t every[] = { 2, 3, 4, 10 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(every); i++) {
        struct server s = { .slots = 1e9, .base_ms = 2000, .refuse_every = every[i] };
        struct limit l;
        limit_init(&l, 0, 1024);
        serve(&l, &s, 1500);
        assert_true(limit_now(&l) >= 200);
    }
}

/* A quarter fails, but by chance only 2 of the first 32: the next epoch is no reason to cut. */
static void test_a_first_epoch_with_few_failures_by_chance_does_not_lead_to_a_cut(void **state)
{
    struct limit l;

    (void)state;
    limit_init(&l, 0, 1024);
    for (uint64_t i = 0; i < 32 + 64; i++) {
        struct limit_sample sample = { .sent_ns = i < 32 ? 1 : 600 * NS_PER_MS,
                                       .latency_ns = 500 * NS_PER_MS,
                                       .in_flight = i < 32 ? 32 : 64 };
        sample.refused = i < 32 ? i % 16 == 3 : i % 4 == 3;
        limit_add(&l, &sample, (i < 32 ? 501 : 1101) * NS_PER_MS);
    }
    assert_int_equal(l.cuts, 0);
    assert_true(limit_now(&l) > 64);
}

static void test_a_share_that_begins_to_fail_later_costs_a_few_round_trips(void **state)
{
    struct server s = { .slots = 1e9, .base_ms = 500 };
    struct limit l;

    (void)state;
    limit_init(&l, 0, 512);
    serve(&l, &s, 20000);
    assert_int_equal(limit_now(&l), 512);
    s.refuse_every = 4;
    serve(&l, &s, 5 * 512);
    assert_int_equal(limit_now(&l), 512);
}

/* A server that refuses a quarter at once and answers the others a round trip later: all refusals of a
 * round trip come before its first answer. */
static void test_refusals_that_come_at_once_count_beside_the_answers_of_their_time(void **state)
{
    const uint64_t trip = 500 * NS_PER_MS;
    struct limit l;
    uint64_t now = 1;
    uint32_t sent = 0;

    (void)state;
    limit_init(&l, 0, 1024);
    for (int trips = 0; trips < 6; trips++, now += trip) {
        uint32_t in_flight = limit_now(&l), accepted = 0;
        for (; accepted < in_flight; sent++) {
            struct limit_sample refusal = { .sent_ns = now + sent,
                                            .latency_ns = 1,
                                            .refused = true };
            if (sent % 4 == 0)
                limit_add(&l, &refusal, now + sent + 1);
            else
                accepted++;
        }
        for (uint32_t i = 0; i < accepted; i++) {
            struct limit_sample answer = { .sent_ns = now + sent - accepted + i,
                                           .latency_ns = trip,
                                           .in_flight = in_flight };
            limit_add(&l, &answer, now + trip);
        }
        assert_true(limit_now(&l) >= fmin(2 * in_flight, 1024)); /* as if nothing were refused */
    }
    assert_int_equal(limit_now(&l), 1024);
}

/* No answer comes that the refusals could wait for: there are soon too many of them. */
static void test_a_server_that_refuses_all_at_once_gets_less(void **state)
{
    struct limit l;

    (void)state;
    limit_init(&l, 0, 1024);
    for (uint64_t i = 1; i <= LIMIT_START + LIMIT_EPOCH_MIN; i++) {
        struct limit_sample refusal = { .sent_ns = i, .latency_ns = 1, .refused = true };
        assert_int_equal(limit_now(&l), LIMIT_START);
        limit_add(&l, &refusal, i + 1);
    }
    assert_true(limit_now(&l) < LIMIT_START);
}

static void test_a_limit_that_is_not_used_is_not_raised(void **state)
{
    struct limit l;

    (void)state;
    limit_init(&l, 0, 1024);
    for (uint64_t i = 1; i < 10000; i++) {
        struct limit_sample sample = { .sent_ns = i * NS_PER_MS,
                                       .latency_ns = NS_PER_MS,
                                       .in_flight = 1 };
        limit_add(&l, &sample, (i + 1) * NS_PER_MS);
    }
    assert_int_equal(limit_now(&l), LIMIT_START);
}

static void test_a_fixed_limit_never_moves(void **state)
{
    struct server s = { .slots = 4, .base_ms = 50, .takes = 2 };
    struct limit l;

    (void)state;
    limit_init(&l, 17, 1024);
    serve(&l, &s, 10000);
    assert_int_equal(limit_now(&l), 17);
}

/* ---- Late requests ---- */

#define LATE_AFTER (LATE_MIN_MS * NS_PER_MS)

static void
test_requests_over_many_times_the_median_are_late_and_excused_up_to_a_bound(void **state)
{
    struct late l = { 0 };
    struct late_mark mark[20];
    uint64_t next = UINT64_MAX;

    (void)state;
    late_sent(&l, &mark[0], 1);
    assert_int_equal(late_excused(&l, 2, 3600 * NS_PER_S, &next), 0); /* no answer came yet */
    assert_true(next == UINT64_MAX);
    late_ended(&l, &mark[0], true, 1 + 5 * NS_PER_MS);
    for (uint64_t i = 0; i < 20; i++)
        late_sent(&l, &mark[i], i);
    assert_int_equal(late_excused(&l, 5, LATE_AFTER - 1, &next), 0);
    assert_true(next == LATE_AFTER);
    assert_int_equal(late_excused(&l, 5, LATE_AFTER + 2, &next), 3);
    assert_int_equal(late_excused(&l, 5, LATE_AFTER + 100, &next), 5 * LATE_MORE);
    assert_int_equal(late_excused(&l, 100, LATE_AFTER + 100, &next), 20);
    for (int i = 0; i < 20; i += 2) /* in the order of no one */
        late_ended(&l, &mark[i], false, LATE_AFTER + 101);
    assert_int_equal(late_excused(&l, 100, LATE_AFTER + 101, &next), 10);
    for (int i = 19; i > 0; i -= 2)
        late_ended(&l, &mark[i], true, LATE_AFTER + 102);
    assert_int_equal(late_excused(&l, 100, LATE_AFTER + 102, &next), 0);
    assert_null(l.newest);
    assert_null(l.first);
}

/* Three answers of four take 1 s, the fourth 10 s: the median is near 1 s, and none is late by that. */
static void test_the_median_follows_the_answers_and_not_the_longest_of_them(void **state)
{
    struct late l = { 0 };
    struct late_mark mark;
    uint64_t next = UINT64_MAX, now = 1;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        late_sent(&l, &mark, now);
        now += (i % 4 ? 1 : 10) * NS_PER_S;
        assert_int_equal(late_excused(&l, 9, now, &next), 0);
        late_ended(&l, &mark, true, now);
    }
    assert_true(l.median_ns > 0.8 * NS_PER_S && l.median_ns < 1.6 * NS_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_requests_over_many_times_the_median_are_late_and_excused_up_to_a_bound),
        cmocka_unit_test(test_the_median_follows_the_answers_and_not_the_longest_of_them),
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
        cmocka_unit_test(test_headers_of_a_quota_are_read_or_left),
        cmocka_unit_test(test_a_quota_that_is_reported_is_used_up_and_never_passed),
        cmocka_unit_test(test_what_was_sent_after_a_report_is_subtracted_from_it),
        cmocka_unit_test(
            test_an_older_report_and_one_without_a_limit_change_nothing_they_do_not_know),
        cmocka_unit_test(test_the_limit_finds_a_servers_slots_and_stays_near_them),
        cmocka_unit_test(test_a_server_without_bounds_gets_the_maximum),
        cmocka_unit_test(test_a_server_that_grows_is_followed),
        cmocka_unit_test(test_refusals_of_load_bring_the_limit_down),
        cmocka_unit_test(test_refusals_that_do_not_come_from_load_are_ignored),
        cmocka_unit_test(
            test_a_share_that_fails_from_the_first_request_on_does_not_keep_the_limit_low),
        cmocka_unit_test(test_a_first_epoch_with_few_failures_by_chance_does_not_lead_to_a_cut),
        cmocka_unit_test(test_a_share_that_begins_to_fail_later_costs_a_few_round_trips),
        cmocka_unit_test(test_refusals_that_come_at_once_count_beside_the_answers_of_their_time),
        cmocka_unit_test(test_a_server_that_refuses_all_at_once_gets_less),
        cmocka_unit_test(test_a_limit_that_is_not_used_is_not_raised),
        cmocka_unit_test(test_a_fixed_limit_never_moves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
