/* What keeps a server full and not over its limits: quota, limit, late requests. Time is a number here, and servers are
 * formulas, so that each case says what must come out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "base/mem.h"
#include "base/clock.h"
#include "predict/upstream/pace_late.h"
#include "predict/upstream/pace_limit.h"
#include "predict/upstream/pace_quota.h"

#define MINUTE_NS (60 * NS_PER_S)
#define TAKEN_MAX 20000

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
