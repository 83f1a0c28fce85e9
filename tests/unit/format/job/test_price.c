/* Goal: money is exact to the nano-dollar. Method: amounts worked out by hand from the published
 * prices, as dollars per million tokens are thousands of nano-dollars per token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#include "format/job/price.h"

static void test_requests_cost_what_a_hand_works_out(void **state)
{
    (void)state;
    // clang-format off
    static const struct {
        const char *model;
        struct usage usage; /* prompt, cached, candidates, thoughts */
        uint64_t batch, online;
    } cases[] = {
        /* 1,000,000 in at 0.30 and 1,000,000 out at 2.50 */
        { "gemini-2.5-flash",      { 1000000, 0, 1000000, 0 }, 1400000000, 2800000000 },
        /* 1000 * 300 + 100 * 2500 = 550,000 */
        { "gemini-2.5-flash",      { 1000, 0, 100, 0 },        275000, 550000 },
        /* thoughts cost as output: 10 * 300 + (5 + 15) * 2500 */
        { "gemini-2.5-flash",      { 10, 0, 5, 15 },           26500, 53000 },
        /* 400 of 1000 cached at 0.03: 600 * 300 + 400 * 30; batch halves only the first */
        { "gemini-2.5-flash",      { 1000, 400, 0, 0 },        102000, 192000 },
        /* all cached: batch saves nothing more */
        { "gemini-2.5-flash",      { 1000, 1000, 0, 0 },       30000, 30000 },
        /* one token at 0.075 is 75 nano-dollars, 37.5 in batch: rounded up */
        { "gemini-2.0-flash-lite", { 1, 0, 0, 0 },             38, 75 },
        /* one cached token at 0.0075 is 7.5 */
        { "gemini-2.0-flash-lite", { 1, 1, 0, 0 },             8, 8 },
        /* rounded once, not by kind: 37.5 + 7.5 = 45 */
        { "gemini-2.0-flash-lite", { 2, 1, 0, 0 },             45, 83 },
        /* at the edge, the short price: 200,000 * 1250 + 10 * 10,000 */
        { "gemini-2.5-pro",        { 200000, 0, 10, 0 },       125050000, 250100000 },
        /* above it, all tokens at the long one: 200,001 * 2500 + 10 * 15,000 */
        { "gemini-2.5-pro",        { 200001, 0, 10, 0 },       250076250, 500152500 },
        /* a long prompt's cached token is 10 % of 2.50: 1 * 2500 + 200,000 * 250 */
        { "gemini-2.5-pro",        { 200001, 200000, 0, 0 },   50001250, 50002500 },
        { "gemini-3.8-flash",      { 0, 0, 0, 0 },             0, 0 },
    };
    // clang-format on

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct price *p = price_find(cases[i].model);
        assert_non_null(p);
        assert_int_equal(price_batch_nano(p, &cases[i].usage), cases[i].batch);
        assert_int_equal(price_online_nano(p, &cases[i].usage), cases[i].online);
    }
}

static void test_a_model_is_found_by_each_of_its_spellings(void **state)
{
    (void)state;
    static const char *const names[] = {
        "gemini-2.5-flash",
        "gemini-2.5-flash-001",
        "gemini-2.5-flash@default",
        "gemini-2.5-flash-002@001",
        "models/gemini-2.5-flash",
        "publishers/google/models/gemini-2.5-flash",
        "projects/p/locations/us-central1/publishers/google/models/gemini-2.5-flash-001",
    };
    const struct price *want = price_find("gemini-2.5-flash");

    assert_non_null(want);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_ptr_equal(price_find(names[i]), want);
}

static void test_other_names_have_no_price(void **state)
{
    (void)state;
    static const char *const names[] = { "",        "-001",
                                         "gemini",  "gemini-2.5-flash-1",
                                         "models/", "gemini-2.5-flash-01a",
                                         "x/gpt",   "gemini-2.5-flashy" };

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_null(price_find(names[i]));
}

static void test_every_entry_is_found_and_cheaper_when_cached(void **state)
{
    (void)state;
    const char *model;
    const struct price *p;
    unsigned i;

    for (i = 0; price_at(i, &model, &p); i++) {
        assert_ptr_equal(price_find(model), p);
        /* The cached price is 10 % of the input price, to a rounding of doubles. */
        assert_true(p->cached * 10 > p->input * 0.999 && p->cached * 10 < p->input * 1.001);
        assert_true(p->output > p->input);
        assert_int_equal(p->long_prompt_tokens > 0, p->long_input > 0);
    }
    assert_int_equal(i, 13);
}

static void test_the_largest_request_does_not_overflow(void **state)
{
    (void)state;
    struct price p = { .input = 1e9, .output = 1e9, .cached = 1e9 }; /* over the maximum */
    struct usage all_cached = { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX };
    uint64_t tokens = (uint64_t)UINT32_MAX * 3;

    assert_int_equal(price_online_nano(&p, &all_cached), tokens * 1000000);
    assert_int_equal(price_batch_nano(&p, &all_cached), (uint64_t)UINT32_MAX * 2 * 1000000);
}

static void test_nonsense_prices_and_counts_cost_nothing_more(void **state)
{
    (void)state;
    struct price negative = { .input = -1, .output = -1, .cached = -1 };
    struct price plain = { .input = 1, .output = 1, .cached = 0.1 };
    struct usage more_cached_than_prompt = { 10, 20, 0, 0 };

    assert_int_equal(price_online_nano(&negative, &more_cached_than_prompt), 0);
    assert_int_equal(price_online_nano(&plain, &more_cached_than_prompt), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_cost_what_a_hand_works_out),
        cmocka_unit_test(test_a_model_is_found_by_each_of_its_spellings),
        cmocka_unit_test(test_other_names_have_no_price),
        cmocka_unit_test(test_every_entry_is_found_and_cheaper_when_cached),
        cmocka_unit_test(test_the_largest_request_does_not_overflow),
        cmocka_unit_test(test_nonsense_prices_and_counts_cost_nothing_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
