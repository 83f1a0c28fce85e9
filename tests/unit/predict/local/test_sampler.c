/* Goal: sampling follows docs/reference/generation.md. Method: small rows of logits whose right answer
 * is plain, and frequencies over many draws with bounds far beyond chance. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "predict/local/sampler.h"

#define DRAWS 20000
#define ROW 1003 /* not a multiple of the lanes */

static const struct sampling greedy = { .temperature = 0.0f, .top_p = 1.0f };
static const struct sampling plain = { .temperature = 1.0f, .top_p = 1.0f, .seed = 1 };

static int32_t choose_once(struct sampling how, const float *logits, uint32_t count)
{
    struct sampler s;

    sampler_init(&s, &how);
    int32_t token = sampler_choose(&s, logits, count);
    sampler_release(&s);
    return token;
}

/* Counts the draws of each of four tokens. */
static void draw_many(struct sampling how, const float *logits, uint32_t times[4])
{
    struct sampler s;

    sampler_init(&s, &how);
    for (int i = 0; i < DRAWS; i++)
        times[sampler_choose(&s, logits, 4)]++;
    sampler_release(&s);
}

static void test_greedy_takes_the_likeliest_and_of_equals_the_lowest(void **state)
{
    float logits[ROW] = { 0 };

    (void)state;
    logits[17] = logits[900] = logits[ROW - 1] = 3.0f;
    assert_int_equal(choose_once(greedy, logits, ROW), 17);
    logits[ROW - 1] = 3.5f;
    assert_int_equal(choose_once(greedy, logits, ROW), ROW - 1);
}

static void test_top_k_of_one_is_greedy_at_any_temperature(void **state)
{
    const float logits[4] = { 1.0f, 1.1f, 1.05f, 0.0f };
    struct sampling how = { .temperature = 2.0f, .top_p = 1.0f, .top_k = 1 };

    (void)state;
    for (how.seed = 0; how.seed < 100; how.seed++)
        assert_int_equal(choose_once(how, logits, 4), 1);
}

static void test_a_row_of_nothing_gives_a_token_all_the_same(void **state)
{
    float logits[4] = { -INFINITY, -INFINITY, -INFINITY, -INFINITY };

    (void)state;
    assert_int_equal(choose_once(greedy, logits, 4), 0);
    logits[1] = NAN;
    assert_int_equal(choose_once(greedy, logits, 4), 0);
}

static void test_frequencies_are_the_probabilities(void **state)
{
    const float logits[4] = { logf(0.5f), logf(0.3f), logf(0.2f), -INFINITY };
    uint32_t times[4] = { 0 };

    (void)state;
    draw_many(plain, logits, times);
    assert_in_range(times[0], DRAWS * 45 / 100, DRAWS * 55 / 100);
    assert_in_range(times[1], DRAWS * 26 / 100, DRAWS * 34 / 100);
    assert_int_equal(times[3], 0);
}

static void test_a_low_temperature_sharpens(void **state)
{
    const float logits[4] = { logf(0.6f), logf(0.4f), -INFINITY, -INFINITY };
    struct sampling how = plain;
    uint32_t times[4] = { 0 };

    (void)state;
    how.temperature = 0.25f; /* 0.6^4 : 0.4^4 is 81 : 16 */
    draw_many(how, logits, times);
    assert_in_range(times[0], DRAWS * 80 / 100, DRAWS * 87 / 100);
}

static void test_top_k_and_top_p_leave_out_the_unlikely(void **state)
{
    const float logits[4] = { logf(0.1f), logf(0.4f), logf(0.3f), logf(0.2f) };
    struct sampling how = plain;
    uint32_t k[4] = { 0 }, p[4] = { 0 }, least[4] = { 0 };

    (void)state;
    how.top_k = 2;
    draw_many(how, logits, k);
    assert_int_equal(k[0] + k[3], 0);
    assert_true(k[1] && k[2]);
    how = plain;
    how.top_p = 0.75f; /* 0.4 + 0.3 is too little, so the third is in */
    draw_many(how, logits, p);
    assert_int_equal(p[0], 0);
    assert_true(p[1] && p[2] && p[3]);
    how.top_p = 0.0f;
    draw_many(how, logits, least);
    assert_int_equal(least[1], DRAWS);
}

static void test_the_same_seed_draws_the_same_and_another_does_not(void **state)
{
    const float logits[4] = { 0 };
    struct sampler a, b, c;
    struct sampling other = plain;
    int differ = 0;

    (void)state;
    other.seed = 2;
    sampler_init(&a, &plain);
    sampler_init(&b, &plain);
    sampler_init(&c, &other);
    for (int i = 0; i < 64; i++) {
        int32_t token = sampler_choose(&a, logits, 4);
        assert_int_equal(sampler_choose(&b, logits, 4), token);
        differ += sampler_choose(&c, logits, 4) != token;
    }
    assert_true(differ > 16);
    sampler_release(&a);
    sampler_release(&b);
    sampler_release(&c);
}

static void test_penalties_count_what_was_generated(void **state)
{
    struct sampling how = greedy;
    struct sampler s;
    float logits[4] = { 1.0f, 0.9f, 0.0f, 0.0f };

    (void)state;
    how.presence = 0.5f;
    how.frequency = 0.25f;
    sampler_init(&s, &how);
    assert_false(sampler_penalises(&s));
    sampler_accept(&s, 0);
    sampler_accept(&s, 0);
    assert_true(sampler_penalises(&s));
    sampler_penalise(&s, logits, 4);
    assert_float_equal(logits[0], 0.0f, 1e-6);
    assert_float_equal(logits[1], 0.9f, 1e-6);
    sampler_release(&s);
}

/* The definition, by a sort: what sampler_choose must draw with this random number. */
static int32_t chosen_by_sorting(const struct sampling *how, const float *logits, double u)
{
    static struct scored all[ROW];
    uint32_t count = logits_top(logits, ROW, how->top_k ? how->top_k : ROW, all), in = 0;
    double sum = 0.0, reached = 0.0;

    for (uint32_t i = 0; i < count; i++)
        sum += exp((double)logits[all[i].token]);
    while (in < count && (in == 0 || reached < (double)how->top_p * sum))
        reached += exp((double)logits[all[in++].token]);
    sum = 0.0;
    for (uint32_t i = 0; i < in; i++)
        sum += exp((double)logits[all[i].token] / (double)how->temperature);
    reached = 0.0;
    for (uint32_t i = 0; i < in; i++) {
        reached += exp((double)logits[all[i].token] / (double)how->temperature);
        if (reached >= u * sum)
            return all[i].token;
    }
    return all[in - 1].token;
}

/* Some logits are equal and some are not allowed. */
static void test_a_choice_is_the_one_that_sorting_all_tokens_gives(void **state)
{
    const struct sampling how[] = {
        { 1.0f, 1.0f, 0, 0, 0, 7 },    { 1.5f, 1.0f, 0, 0, 0, 8 },   { 1.0f, 0.95f, 0, 0, 0, 9 },
        { 0.7f, 0.5f, 0, 0, 0, 10 },   { 1.5f, 0.9f, 64, 0, 0, 11 }, { 2.0f, 1.0f, 3, 0, 0, 12 },
        { 1.0f, 1.0f, ROW, 0, 0, 13 },
    };
    uint64_t mixed = 5;
    float logits[ROW];

    (void)state;
    for (size_t h = 0; h < sizeof how / sizeof how[0]; h++) {
        struct sampler s;
        sampler_init(&s, &how[h]);
        for (int n = 0; n < 200; n++) {
            uint64_t same = s.state; /* the next random number is taken of a copy */
            for (uint32_t i = 0; i < ROW; i++)
                logits[i] = i % 5 ? (float)(random_next(&mixed) % 600) / 60.0f : -INFINITY;
            int32_t want = chosen_by_sorting(&how[h], logits, random_unit(&same));
            assert_int_equal(sampler_choose(&s, logits, ROW), want);
        }
        sampler_release(&s);
    }
}

static void test_the_normaliser_makes_probabilities_sum_to_one(void **state)
{
    float logits[ROW];
    double sum = 0.0, exact = 0.0;

    (void)state;
    for (uint32_t i = 0; i < ROW; i++)
        logits[i] = (float)((i * 7919) % 1000) / 25.0f - 30.0f;
    for (uint32_t i = 0; i < ROW; i++)
        exact += exp((double)logits[i]);
    float all = logits_log_sum(logits, ROW);
    assert_float_equal(all, (float)log(exact), 1e-5);
    for (uint32_t i = 0; i < ROW; i++)
        sum += exp((double)(logits[i] - all));
    assert_float_equal((float)sum, 1.0f, 1e-4);
    logits[0] = -INFINITY; /* masked tokens take nothing */
    assert_true(isfinite(logits_log_sum(logits, ROW)));
}

static void test_the_likeliest_come_in_order_with_equals_by_index(void **state)
{
    const float logits[6] = { 1.0f, 5.0f, 3.0f, 5.0f, 2.0f, 3.0f };
    const int32_t order[6] = { 1, 3, 2, 5, 4, 0 };
    struct scored top[6];

    (void)state;
    for (uint32_t want = 0; want <= 8; want++) {
        uint32_t found = logits_top(logits, 6, want, top);
        assert_int_equal(found, want < 6 ? want : 6);
        for (uint32_t i = 0; i < found; i++)
            assert_int_equal(top[i].token, order[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greedy_takes_the_likeliest_and_of_equals_the_lowest),
        cmocka_unit_test(test_top_k_of_one_is_greedy_at_any_temperature),
        cmocka_unit_test(test_a_row_of_nothing_gives_a_token_all_the_same),
        cmocka_unit_test(test_frequencies_are_the_probabilities),
        cmocka_unit_test(test_a_low_temperature_sharpens),
        cmocka_unit_test(test_top_k_and_top_p_leave_out_the_unlikely),
        cmocka_unit_test(test_the_same_seed_draws_the_same_and_another_does_not),
        cmocka_unit_test(test_penalties_count_what_was_generated),
        cmocka_unit_test(test_a_choice_is_the_one_that_sorting_all_tokens_gives),
        cmocka_unit_test(test_the_normaliser_makes_probabilities_sum_to_one),
        cmocka_unit_test(test_the_likeliest_come_in_order_with_equals_by_index),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
