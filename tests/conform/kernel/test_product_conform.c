/* Goal: every kind's product is the documented sum, bit by bit, whatever the shape and the rows beside.
 * Method: a loop that does what kernel.h says, over shapes at and around every block size. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#include "conform/kernel/kernel_suite.h"

#define ROWS_MAX 50
#define COLUMNS_MAX 1536

struct problem {
    struct kernel_weights w;
    struct kernel_rows x;
    float *weight, *row;
};

static void problem_make(const struct kernel_ops *k, struct problem *p, uint32_t outputs,
                         uint32_t columns, uint32_t rows)
{
    kernel_weights_init(&p->w, k->layout.format, outputs, columns);
    kernel_rows_init(&p->x, &k->layout, rows, columns);
    p->weight = chance_floats((size_t)outputs * columns, 0.3f, columns);
    p->row = chance_floats((size_t)rows * columns, 7.0f, outputs);
    for (uint32_t o = 0; o < outputs; o++)
        kernel_weights_quantise(&p->w, o, p->weight + (size_t)o * columns);
}

static void problem_release(struct problem *p)
{
    kernel_weights_release(&p->w);
    kernel_rows_release(&p->x);
    mem_free(p->weight);
    mem_free(p->row);
}

static void quantise_rows(const struct kernel_ops *k, struct problem *p, uint32_t rows)
{
    for (uint32_t i = 0; i < rows; i++) {
        const struct kernel_place to = { &p->x, i, 0 };
        k->quantise(p->row + (size_t)i * p->x.columns, 1.0f, p->x.columns / KERNEL_GROUP, &to);
    }
}

static uint32_t groups_of(const struct kernel_weights *w)
{
    return w->columns / KERNEL_GROUP;
}

static int8_t weight_at(const struct kernel_weights *w, uint32_t output, uint32_t column)
{
    size_t group = (size_t)output / KERNEL_TILE * groups_of(w) + column / KERNEL_GROUP;
    size_t quad = group * (KERNEL_GROUP / KERNEL_QUAD) + column % KERNEL_GROUP / KERNEL_QUAD;

    return (int8_t)(w->packed[(quad * KERNEL_TILE + output % KERNEL_TILE) * KERNEL_QUAD +
                              column % KERNEL_QUAD] -
                    KERNEL_BIAS);
}

static float expected_int8(const struct problem *p, uint32_t output, uint32_t row)
{
    const struct kernel_rows_int8 *x = (const void *)kernel_rows_at(&p->x, row, 0);
    uint32_t at = row % KERNEL_SIX;
    float f = 0.0f;

    for (uint32_t g = 0; g < groups_of(&p->w); g++, x++) {
        size_t scale = ((size_t)output / KERNEL_TILE * groups_of(&p->w) + g) * KERNEL_TILE;
        int32_t sum = 0;
        for (uint32_t i = 0; i < KERNEL_GROUP; i++)
            sum += weight_at(&p->w, output, g * KERNEL_GROUP + i) * x->quant[at][i];
        f = fmaf((float)sum, p->w.scale[scale + output % KERNEL_TILE] * x->scale[at], f);
    }
    return f;
}

/* int8: the documented sum, bit by bit. bfloat16: the sum of the rounded factors' products, but for
 * what adding them in floats may lose. */
static bool is_expected(const struct problem *p, uint32_t output, uint32_t row, float got)
{
    double sum = 0.0, size = 0.0;

    if (p->w.format == KERNEL_INT8) {
        float want = expected_int8(p, output, row);
        return memcmp(&got, &want, sizeof want) == 0;
    }
    for (uint32_t i = 0; i < p->w.columns; i++) {
        double product = (double)rounded_to_bf16(p->weight[(size_t)output * p->w.columns + i]) *
                         (double)rounded_to_bf16(p->row[(size_t)row * p->w.columns + i]);
        sum += product;
        size += fabs(product);
    }
    return fabs((double)got - sum) <= size * 1e-6;
}

static void check_shape(const struct kernel_ops *k, uint32_t outputs, uint32_t columns,
                        uint32_t rows)
{
    struct problem p;
    float out[ROWS_MAX * (KERNEL_TILE + 3)];
    const size_t stride = KERNEL_TILE + 3;

    problem_make(k, &p, outputs, columns, rows);
    quantise_rows(k, &p, rows);
    for (uint32_t tile = 0; tile < kernel_weights_tiles(&p.w); tile++) {
        k->product(&p.w, tile, &p.x, 0, rows, (struct kernel_outputs){ out, stride, false });
        for (uint32_t i = 0; i < rows; i++)
            for (uint32_t o = 0; o < KERNEL_TILE && tile * KERNEL_TILE + o < outputs; o++)
                if (!is_expected(&p, tile * KERNEL_TILE + o, i, out[i * stride + o]))
                    fail_msg("%s: %ux%u, row %u of %u, output %u: %a", k->name, outputs, columns, i,
                             rows, o, (double)out[i * stride + o]);
    }
    problem_release(&p);
}

static void check_shapes(const struct kernel_ops *k)
{
    static const uint32_t outputs[] = { 1, 31, 32, 33, 64, 96 };
    static const uint32_t columns[] = { 32, 64, 96, 576, COLUMNS_MAX };

    for (size_t o = 0; o < ARRAY_LEN(outputs); o++)
        for (size_t c = 0; c < ARRAY_LEN(columns); c++)
            for (uint32_t rows = 1; rows <= (columns[c] > 96 ? 7 : ROWS_MAX); rows++)
                check_shape(k, outputs[o], columns[c], rows);
}

static void test_a_product_is_the_documented_sum_in_every_shape(void **state)
{
    (void)state;
    for_each_kind(check_shapes);
}

/* The product is added to its outputs, and nothing beside them is touched. */
static void check_adds(const struct kernel_ops *k)
{
    static const uint32_t rows[] = { 1, 6, 16, 17, 32, 33, 50 };
    float made[ROWS_MAX * KERNEL_TILE], sum[ROWS_MAX * KERNEL_TILE + KERNEL_TILE];

    for (size_t n = 0; n < ARRAY_LEN(rows); n++) {
        struct problem p;
        problem_make(k, &p, KERNEL_TILE, 96, rows[n]);
        quantise_rows(k, &p, rows[n]);
        for (size_t i = 0; i < ARRAY_LEN(sum); i++)
            sum[i] = (float)i * 0.25f;
        k->product(&p.w, 0, &p.x, 0, rows[n], (struct kernel_outputs){ made, KERNEL_TILE, false });
        k->product(&p.w, 0, &p.x, 0, rows[n], (struct kernel_outputs){ sum, KERNEL_TILE, true });
        for (uint32_t i = 0; i < rows[n] * KERNEL_TILE; i++)
            assert_true(fabsf(sum[i] - made[i] - (float)i * 0.25f) < 1e-3f);
        for (uint32_t i = rows[n] * KERNEL_TILE; i < (rows[n] + 1) * KERNEL_TILE; i++)
            assert_true(sum[i] == (float)i * 0.25f);
        problem_release(&p);
    }
}

static void test_a_product_can_be_added_to_what_is_there(void **state)
{
    (void)state;
    for_each_kind(check_adds);
}

/* The extremes of int8 in both factors: nothing saturates. */
static void check_extremes(const struct kernel_ops *k)
{
    struct problem p;
    int8_t value[KERNEL_GROUP];
    float out[2 * KERNEL_TILE];

    problem_make(k, &p, KERNEL_TILE, KERNEL_GROUP, 2);
    for (uint32_t o = 0; o < KERNEL_TILE; o++) {
        memset(value, o % 2 ? INT8_MAX : INT8_MIN, sizeof value);
        kernel_weights_set(&p.w, o, 0, value, 1.0f);
    }
    for (uint32_t i = 0; i < KERNEL_GROUP; i++) {
        p.row[i] = 127.0f;
        p.row[KERNEL_GROUP + i] = -127.0f;
    }
    quantise_rows(k, &p, 2);
    k->product(&p.w, 0, &p.x, 0, 2, (struct kernel_outputs){ out, KERNEL_TILE, false });
    for (uint32_t o = 0; o < KERNEL_TILE; o++) {
        float least = k->layout.format == KERNEL_INT8 ? -127.0f : -128.0f;
        assert_true(out[o] == (o % 2 ? 127.0f : least) * 127.0f * KERNEL_GROUP);
        assert_true(out[KERNEL_TILE + o] == -out[o]);
    }
    problem_release(&p);
}

static void test_the_extremes_of_int8_do_not_saturate(void **state)
{
    (void)state;
    for_each_kind(check_extremes);
}

/* ---- Quantising ---- */

static void check_quantise(const struct kernel_ops *k)
{
    struct problem p, q;
    const uint32_t last = (KERNEL_SIX + 1) * 96 - 1;

    if (k->layout.format != KERNEL_INT8)
        return;
    problem_make(k, &p, 1, 96, KERNEL_SIX + 1);
    problem_make(k, &q, 1, 96, KERNEL_SIX + 1);
    memset(p.row, 0, KERNEL_GROUP * sizeof *p.row); /* a group of zeros */
    p.row[last] = 1e30f;
    memcpy(q.row, p.row, (last + 1) * sizeof *p.row);
    quantise_rows(k, &p, KERNEL_SIX + 1);
    const struct kernel_ops *plain = NULL;
    for (uint32_t i = 0; kernel_at(i); i++)
        plain = kernel_at(i);
    quantise_rows(plain, &q, KERNEL_SIX + 1);
    assert_memory_equal(p.x.group, q.x.group, kernel_rows_bytes(&p.x));
    assert_true(((const struct kernel_rows_int8 *)(const void *)p.x.group)->scale[0] == 0.0f);
    problem_release(&p);
    problem_release(&q);
}

static void test_all_kinds_quantise_to_int8_alike(void **state)
{
    (void)state;
    for_each_kind(check_quantise);
}

/* Part of a row is quantised as the whole row would be. */
static void check_parts(const struct kernel_ops *k)
{
    struct problem p, q;

    problem_make(k, &p, 1, 96, 3);
    problem_make(k, &q, 1, 96, 3);
    quantise_rows(k, &p, 3);
    for (uint32_t i = 0; i < 3; i++)
        for (uint32_t g = 0; g < 3; g++) {
            const struct kernel_place to = { &q.x, i, g };
            k->quantise(q.row + i * 96 + g * KERNEL_GROUP, 1.0f, 1, &to);
        }
    assert_memory_equal(p.x.group, q.x.group, kernel_rows_bytes(&p.x));
    problem_release(&p);
    problem_release(&q);
}

static void test_a_row_can_be_quantised_in_parts(void **state)
{
    (void)state;
    for_each_kind(check_parts);
}

/* ---- Packing ---- */

static void check_packing(enum kernel_format format)
{
    struct kernel_weights w;
    int8_t value[KERNEL_GROUP];
    float row[2 * KERNEL_GROUP];
    uint64_t seed = 5;

    kernel_weights_init(&w, format, 37, 2 * KERNEL_GROUP);
    for (uint32_t o = 0; o < w.outputs; o++)
        for (uint32_t g = 0; g < 2; g++) {
            for (uint32_t i = 0; i < KERNEL_GROUP; i++)
                value[i] = (int8_t)(chance(&seed) * 127.0f);
            kernel_weights_set(&w, o, g, value, 0.5f + (float)g);
            kernel_weights_row(&w, o, row);
            for (uint32_t i = 0; i < KERNEL_GROUP; i++) {
                float want = (float)value[i] * (0.5f + (float)g);
                want = format == KERNEL_INT8 ? want : rounded_to_bf16(want);
                assert_true(row[g * KERNEL_GROUP + i] == want);
            }
        }
    kernel_weights_release(&w);
}

static void test_what_is_packed_comes_back(void **state)
{
    (void)state;
    check_packing(KERNEL_INT8);
    check_packing(KERNEL_BF16);
}

/* Half a step at most (bfloat16 has 256 to a power of two), and what is no number becomes zero. */
static void check_steps(enum kernel_format format)
{
    struct kernel_weights w;
    float *x = chance_floats(4 * KERNEL_GROUP, 3.0f, 9);
    float row[4 * KERNEL_GROUP];

    memset(x + KERNEL_GROUP, 0, KERNEL_GROUP * sizeof *x);
    x[2 * KERNEL_GROUP] = NAN;
    x[3 * KERNEL_GROUP] = INFINITY;
    kernel_weights_init(&w, format, 1, 4 * KERNEL_GROUP);
    kernel_weights_quantise(&w, 0, x);
    kernel_weights_row(&w, 0, row);
    for (uint32_t i = 0; i < 3 * KERNEL_GROUP; i++)
        if (!isnan(x[i]))
            assert_true(fabsf(x[i] - row[i]) <= 3.0f / 127.0f * 0.51f);
    assert_true(row[2 * KERNEL_GROUP] == 0.0f);
    assert_true(row[3 * KERNEL_GROUP] == 0.0f);
    kernel_weights_release(&w);
    mem_free(x);
}

static void test_quantised_weights_are_within_half_a_step(void **state)
{
    (void)state;
    check_steps(KERNEL_INT8);
    check_steps(KERNEL_BF16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_product_is_the_documented_sum_in_every_shape),
        cmocka_unit_test(test_a_product_can_be_added_to_what_is_there),
        cmocka_unit_test(test_the_extremes_of_int8_do_not_saturate),
        cmocka_unit_test(test_all_kinds_quantise_to_int8_alike),
        cmocka_unit_test(test_a_row_can_be_quantised_in_parts),
        cmocka_unit_test(test_what_is_packed_comes_back),
        cmocka_unit_test(test_quantised_weights_are_within_half_a_step),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
