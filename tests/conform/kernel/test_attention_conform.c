/* Goal: attention, norms, gates and sums of logits are what their formulas say, and a row's result does not depend on
 * the rows beside it. Method: double precision over the same halves; rows alone and together. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#include "conform/kernel/kernel_suite.h"

#define PAGES 3
#define ROWS_MAX 50
#define DIM_MAX 256

/* Keys and values of PAGES pages, and queries. */
struct heads {
    uint32_t dim;
    float *key, *value, *query; /* rows of dim */
    float *stored;              /* queries as attention wants them */
    uint16_t *keys, *values;    /* pages */
};

static void heads_make(const struct kernel_ops *k, struct heads *h, uint32_t dim)
{
    const size_t halves = kernel_page_halves(dim);

    h->dim = dim;
    h->key = chance_floats((size_t)PAGES * KERNEL_PAGE * dim, 1.0f, 1);
    h->value = chance_floats((size_t)PAGES * KERNEL_PAGE * dim, 2.0f, 2);
    h->query = chance_floats((size_t)ROWS_MAX * dim, 1.0f, 3);
    h->stored = chance_floats((size_t)(ROWS_MAX + KERNEL_ROWS_SPARE) * dim, 0.0f, 0);
    for (size_t i = 0; i < ROWS_MAX; i++)
        k->store_query(h->query + i * dim, dim, h->stored + i * dim);
    h->keys = mem_aligned(PAGES * halves * sizeof *h->keys, KERNEL_ALIGN);
    h->values = mem_aligned(PAGES * halves * sizeof *h->values, KERNEL_ALIGN);
    for (uint32_t i = 0; i < PAGES * KERNEL_PAGE; i++) {
        size_t page = i / KERNEL_PAGE * halves;
        k->store_key(h->key + (size_t)i * dim, dim, i % KERNEL_PAGE, h->keys + page);
        k->store_value(h->value + (size_t)i * dim, dim, i % KERNEL_PAGE, h->values + page);
    }
}

static void heads_release(struct heads *h)
{
    mem_free(h->key);
    mem_free(h->value);
    mem_free(h->query);
    mem_free(h->stored);
    mem_free(h->keys);
    mem_free(h->values);
}

/* The part of [from, to) that lies in a page. */
static bool part_of(uint32_t page, uint32_t from, uint32_t to, uint8_t *first, uint8_t *end)
{
    uint32_t begin = page * KERNEL_PAGE, low = from > begin ? from - begin : 0;
    uint32_t high = to > begin ? to - begin : 0;

    *first = (uint8_t)(low < KERNEL_PAGE ? low : KERNEL_PAGE);
    *end = (uint8_t)(high < KERNEL_PAGE ? high : KERNEL_PAGE);
    return *first < *end;
}

/* Rows first .. first + count - 1; row i sees [0, i * 3 + 1). */
static void attend(const struct kernel_ops *k, const struct heads *h, uint32_t first,
                   uint32_t count, float *out)
{
    float max[ROWS_MAX], sum[ROWS_MAX], *scores;
    float *scratch = chance_floats(KERNEL_PAGE * KERNEL_CHUNK, 0.0f, 0);
    uint8_t from[ROWS_MAX], to[ROWS_MAX];

    scores = chance_floats((ROWS_MAX + KERNEL_ROWS_SPARE) * KERNEL_PAGE, 0.0f, 0);
    memset(out, 0, (size_t)count * h->dim * sizeof *out);
    for (uint32_t i = 0; i < count; i++) {
        max[i] = -INFINITY;
        sum[i] = 0.0f;
    }
    for (uint32_t page = 0; page < PAGES; page++) {
        uint32_t skip = 0;
        while (skip < count && !part_of(page, 0, (first + skip) * 3 + 1, &from[skip], &to[skip]))
            skip++;
        for (uint32_t i = skip; i < count; i++)
            assert_true(part_of(page, 0, (first + i) * 3 + 1, &from[i], &to[i]));
        if (skip == count)
            break;
        const size_t at = page * kernel_page_halves(h->dim);
        const size_t next = at + kernel_page_halves(h->dim);
        const bool ahead = page + 1 < PAGES;
        const struct kernel_attention a = {
            .count = count - skip,
            .dim = h->dim,
            .query = h->stored + (size_t)(first + skip) * h->dim,
            .out = out + (size_t)skip * h->dim,
            .max = max + skip,
            .sum = sum + skip,
            .from = from + skip,
            .to = to + skip,
            .scores = scores,
            .scratch = scratch,
            .next_keys = ahead ? h->keys + next : NULL,
            .next_values = ahead ? h->values + next : NULL,
        };
        k->attend(&a, h->keys + at, h->values + at);
    }
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t d = 0; d < h->dim; d++)
            out[(size_t)i * h->dim + d] /= sum[i];
    mem_free(scores);
    mem_free(scratch);
}

static void expect_row(const struct heads *h, uint32_t row, double *out)
{
    double weight[PAGES * KERNEL_PAGE], all = 0.0;

    for (uint32_t p = 0; p < row * 3 + 1; p++) {
        double score = 0.0;
        for (uint32_t d = 0; d < h->dim; d++)
            score +=
                (double)h->query[(size_t)row * h->dim + d] * (double)h->key[(size_t)p * h->dim + d];
        weight[p] = exp(score);
        all += weight[p];
    }
    for (uint32_t d = 0; d < h->dim; d++) {
        out[d] = 0.0;
        for (uint32_t p = 0; p < row * 3 + 1; p++)
            out[d] += weight[p] / all * (double)h->value[(size_t)p * h->dim + d];
    }
}

static void check_attention(const struct kernel_ops *k)
{
    static const uint32_t dims[] = { 64, 128, DIM_MAX };
    /* The error of weights when keys are rounded to 11 bits, or to 8. */
    const double most = k->cache == KERNEL_CACHE_HALF ? 4e-3 : 3.2e-2;
    double want[DIM_MAX];

    for (size_t n = 0; n < 3; n++) {
        struct heads h;
        heads_make(k, &h, dims[n]);
        float *out = chance_floats((size_t)ROWS_MAX * h.dim, 0.0f, 0);
        attend(k, &h, 0, ROWS_MAX, out);
        for (uint32_t i = 0; i < ROWS_MAX; i++) {
            expect_row(&h, i, want);
            for (uint32_t d = 0; d < h.dim; d++)
                if (fabs((double)out[(size_t)i * h.dim + d] - want[d]) > most)
                    fail_msg("%s: dim %u, row %u: %g, not %g", k->name, h.dim, i,
                             (double)out[(size_t)i * h.dim + d], want[d]);
        }
        mem_free(out);
        heads_release(&h);
    }
}

static void test_attention_is_the_softmax_over_what_a_row_sees(void **state)
{
    (void)state;
    for_each_kind(check_attention);
}

static void check_neighbours(const struct kernel_ops *k)
{
    struct heads h;

    heads_make(k, &h, 128);
    float *all = chance_floats((size_t)ROWS_MAX * h.dim, 0.0f, 0);
    float *some = chance_floats((size_t)ROWS_MAX * h.dim, 0.0f, 0);
    attend(k, &h, 0, ROWS_MAX, all);
    for (uint32_t count = 1; count < 9; count++)
        for (uint32_t first = 0; first + count <= ROWS_MAX; first += 5) {
            attend(k, &h, first, count, some);
            assert_memory_equal(some, all + (size_t)first * h.dim,
                                (size_t)count * h.dim * sizeof *some);
        }
    mem_free(all);
    mem_free(some);
    heads_release(&h);
}

static void test_a_row_attends_alike_alone_and_among_others(void **state)
{
    (void)state;
    for_each_kind(check_neighbours);
}

/* Positions of a page beyond those that a row sees have no influence at all. */
static void check_beyond(const struct kernel_ops *k)
{
    struct heads h;
    float before[5 * 64], after[5 * 64];

    heads_make(k, &h, 64);
    attend(k, &h, 0, 5, before);
    for (int d = 0; d < 64; d++) { /* also what is no number */
        h.key[20 * 64 + d] = h.value[20 * 64 + d] = NAN;
        h.key[30 * 64 + d] = h.value[30 * 64 + d] = d % 2 ? INFINITY : -INFINITY;
    }
    for (uint32_t i = 13; i < KERNEL_PAGE; i++) {
        k->store_key(h.value + (size_t)i * 64, 64, i, h.keys);
        k->store_value(h.key + (size_t)i * 64, 64, i, h.values);
    }
    attend(k, &h, 0, 5, after);
    assert_memory_equal(before, after, sizeof before);
    heads_release(&h);
}

static void test_positions_that_a_row_does_not_see_have_no_influence(void **state)
{
    (void)state;
    for_each_kind(check_beyond);
}

/* All kinds that write halves write the same; what a half cannot hold is cut. */
static void check_halves(const struct kernel_ops *k)
{
    static const float odd[16] = { 0.0f,   -0.0f,   1.0f,     1e9f,     -1e9f, 6e-8f,
                                   -6e-8f, 1e-30f,  65504.0f, 65519.0f, 0.1f,  -0.3333f,
                                   2.001f, 6.1e-5f, 3e-5f,    2048.5f };
    static const uint16_t bits[16] = { 0x0000, 0x8000, 0x3c00, 0x7bff, 0xfbff, 0x0001,
                                       0x8001, 0x0000, 0x7bff, 0x7bff, 0x2e66, 0xb555,
                                       0x4001, 0x03ff, 0x01f7, 0x6800 };
    uint16_t values[KERNEL_CHUNK * KERNEL_PAGE];
    float x[KERNEL_CHUNK] = { 0 };

    if (k->cache != KERNEL_CACHE_HALF)
        return;
    memcpy(x, odd, sizeof odd);
    k->store_value(x, KERNEL_CHUNK, 0, values);
    for (int i = 0; i < 16; i++)
        if (values[i] != bits[i])
            fail_msg("%s: %g is %04x, not %04x", k->name, (double)odd[i], values[i], bits[i]);
}

static void test_halves_are_the_nearest_and_finite(void **state)
{
    (void)state;
    for_each_kind(check_halves);
}

/* ---- Norms and gates ---- */

static void check_norm(const struct kernel_ops *k)
{
    float *x = chance_floats(576, 4.0f, 1), *weight = chance_floats(576, 2.0f, 2);
    float *out = chance_floats(576, 0.0f, 0);
    double sum = 0.0;

    k->norm(x, weight, 576, 1e-5f, out);
    for (int i = 0; i < 576; i++)
        sum += (double)x[i] * (double)x[i];
    for (int i = 0; i < 576; i++)
        assert_true(fabs((double)out[i] -
                         (double)x[i] * (double)weight[i] / sqrt(sum / 576.0 + 1e-5)) < 1e-5);
    mem_free(x);
    mem_free(weight);
    mem_free(out);
}

static void test_a_norm_makes_the_mean_square_one(void **state)
{
    (void)state;
    for_each_kind(check_norm);
}

static void check_layer_norm(const struct kernel_ops *k)
{
    float *x = chance_floats(384, 4.0f, 1), *update = chance_floats(384, 2.0f, 2);
    float *added = chance_floats(384, 1.0f, 3), *weight = chance_floats(384, 2.0f, 4);
    float *bias = chance_floats(384, 1.0f, 5);
    const struct kernel_layer_norm n = { added, weight, bias, 1e-5f };
    double y[384], mean = 0.0, variance = 0.0;

    for (int i = 0; i < 384; i++)
        mean += y[i] = (double)x[i] + (double)update[i] + (double)added[i];
    mean /= 384.0;
    for (int i = 0; i < 384; i++)
        variance += (y[i] - mean) * (y[i] - mean);
    k->layer_norm(x, update, &n, 384);
    for (int i = 0; i < 384; i++) {
        double scaled = (y[i] - mean) / sqrt(variance / 384.0 + 1e-5);
        assert_true(fabs((double)x[i] - scaled * (double)weight[i] - (double)bias[i]) < 1e-5);
    }
    float *const all[] = { x, update, added, weight, bias };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        mem_free(all[i]);
}

static void test_a_layer_norm_takes_the_mean_away_and_scales(void **state)
{
    (void)state;
    for_each_kind(check_layer_norm);
}

static void check_gelu(const struct kernel_ops *k)
{
    float x[64], bias[64], y[64];

    for (int i = 0; i < 64; i++) {
        x[i] = i < 62 ? (float)(i - 31) * 0.25f : i == 62 ? 300.0f : -300.0f;
        bias[i] = 0.125f;
        y[i] = x[i] + bias[i];
    }
    k->gelu(x, bias, 64);
    for (int i = 0; i < 64; i++) {
        double v = (double)y[i], expected = v / 2.0 * (1.0 + erf(v / sqrt(2.0)));
        assert_true(fabs((double)x[i] - expected) < 1e-6 * (1.0 + fabs(v)));
    }
}

static void test_gelu_is_the_normal_distributions_integral(void **state)
{
    (void)state;
    for_each_kind(check_gelu);
}

static void check_gates(const struct kernel_ops *k)
{
    float silu[64], gelu[64], up[64];

    for (int i = 0; i < 64; i++) {
        silu[i] = gelu[i] = i < 62 ? (float)(i - 31) * 0.4f : i == 62 ? 300.0f : -300.0f;
        up[i] = 2.0f;
    }
    float x[64];
    memcpy(x, silu, sizeof x);
    k->gate(KERNEL_SILU, silu, up, 64);
    k->gate(KERNEL_GELU, gelu, up, 64);
    for (int i = 0; i < 64; i++) {
        double v = (double)x[i], cube = 0.7978845608 * (v + 0.044715 * v * v * v);
        assert_true(fabs((double)silu[i] - 2.0 * v / (1.0 + exp(-v))) < 1e-5 * (1.0 + fabs(v)));
        assert_true(fabs((double)gelu[i] - v * (1.0 + tanh(cube))) < 1e-5 * (1.0 + fabs(v)));
    }
}

static void test_gates_are_their_formulas(void **state)
{
    (void)state;
    for_each_kind(check_gates);
}

static void check_rotation(const struct kernel_ops *k)
{
    float *x = chance_floats(64, 1.0f, 4), *y = chance_floats(64, 1.0f, 4), rope[64];

    for (int i = 0; i < 32; i++) {
        rope[i] = cosf((float)i);
        rope[i + 32] = sinf((float)i);
    }
    k->rope(x, rope, 64, 0.5f);
    for (int i = 0; i < 32; i++) {
        float a = y[i] / 2.0f, b = y[i + 32] / 2.0f;
        assert_true(fabsf(x[i] - (a * rope[i] - b * rope[i + 32])) < 1e-6f);
        assert_true(fabsf(x[i + 32] - (a * rope[i + 32] + b * rope[i])) < 1e-6f);
    }
    k->add(x, y, 64);
    for (int i = 0; i < 32; i++)
        assert_true(fabsf(x[i] - y[i] - (y[i] * rope[i] - y[i + 32] * rope[i + 32]) / 2) < 1e-6f);
    mem_free(x);
    mem_free(y);
}

static void test_a_rotation_turns_pairs_and_a_sum_adds(void **state)
{
    (void)state;
    for_each_kind(check_rotation);
}

static void check_sums(const struct kernel_ops *k)
{
    static const uint32_t counts[] = { 1, 15, 16, 17, 1024, 1025, 5003 };
    float *x = chance_floats(5003, 20.0f, 6), log_sum;
    uint32_t largest;

    for (size_t n = 0; n < ARRAY_LEN(counts); n++) {
        double sum = 0.0;
        uint32_t best = 0;
        for (uint32_t i = 0; i < counts[n]; i++) {
            sum += exp((double)x[i]);
            best = x[i] > x[best] ? i : best;
        }
        k->sum_up(x, counts[n], &largest, &log_sum);
        assert_int_equal(largest, best);
        assert_true(fabs((double)log_sum - log(sum)) < 1e-5);
    }
    x[3] = x[40] = 30.0f; /* of equal ones the first */
    x[5] = NAN;
    k->sum_up(x, 100, &largest, &log_sum);
    assert_int_equal(largest, 3);
    mem_free(x);
}

static void test_logits_are_summed_up_as_exp_and_log_say(void **state)
{
    (void)state;
    for_each_kind(check_sums);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attention_is_the_softmax_over_what_a_row_sees),
        cmocka_unit_test(test_a_row_attends_alike_alone_and_among_others),
        cmocka_unit_test(test_positions_that_a_row_does_not_see_have_no_influence),
        cmocka_unit_test(test_halves_are_the_nearest_and_finite),
        cmocka_unit_test(test_a_norm_makes_the_mean_square_one),
        cmocka_unit_test(test_a_layer_norm_takes_the_mean_away_and_scales),
        cmocka_unit_test(test_gelu_is_the_normal_distributions_integral),
        cmocka_unit_test(test_gates_are_their_formulas),
        cmocka_unit_test(test_a_rotation_turns_pairs_and_a_sum_adds),
        cmocka_unit_test(test_logits_are_summed_up_as_exp_and_log_say),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
