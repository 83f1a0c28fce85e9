/* C for any machine: the reference of the other kinds. */
#define LANES 4 /* of a register of every machine the program is built for */
#include "kernel/kinds.h"
#include "kernel/lanes.h"
#include "kernel/quantise_plain.h"

#define QUADS (KERNEL_GROUP / KERNEL_QUAD)
#define BODY_ROWS 1

LANES_INLINE lanes lanes_madd(lanes a, lanes b, lanes c)
{
    return a * b + c;
}

LANES_INLINE lanes lanes_max(lanes a, lanes b)
{
    return lanes_choose(a > b, a, b);
}

/* A half's bits, moved to where a float has them, are the same number but for a factor of 2^-112; so
 * also below the normal halves. There are no infinities. */
LANES_INLINE lanes lanes_halves(const uint16_t *p)
{
    lanes_int bits;

    for (int i = 0; i < LANES; i++)
        bits[i] = (int32_t)((p[i] & 0x7fffu) << 13 | (p[i] & 0x8000u) << 16);
    return (lanes)bits * 0x1p112f;
}

/* A number that a half cannot hold is cut to the largest: an infinity would poison every product.
 * The nearest half, of two as near the even one. */
LANES_INLINE void lanes_to_halves(uint16_t *p, lanes v)
{
    const lanes most = lanes_spread(65504.0f);
    lanes cut = lanes_choose(v < most, v, most);
    lanes_int bits = (lanes_int)(lanes_choose(cut > -most, cut, -most) * 0x1p-112f);

    for (int i = 0; i < LANES; i++) {
        int32_t size = bits[i] & 0x7fffffff;
        p[i] = (uint16_t)((size + 0xfff + (size >> 13 & 1)) >> 13 | (bits[i] < 0 ? 0x8000 : 0));
    }
}

#include "kernel/body_attend.h"

static bool plain_runs_here(void)
{
    return true;
}

/* One output of one row. */
static float multiply(const uint8_t *quant, const float *scale, const struct kernel_rows_int8 *x,
                      uint32_t groups, uint32_t at)
{
    float f = 0.0f;

    for (uint32_t g = 0; g < groups; g++, x++) {
        int32_t sum = x->offset[at];
        for (uint32_t q = 0; q < QUADS; q++, quant += (size_t)KERNEL_TILE * KERNEL_QUAD)
            for (uint32_t i = 0; i < KERNEL_QUAD; i++)
                sum += quant[i] * x->quant[at][q * KERNEL_QUAD + i];
        f = fmaf((float)sum, *scale * x->scale[at], f);
        scale += KERNEL_TILE;
    }
    return f;
}

static void plain_product(const struct kernel_weights *w, uint32_t tile,
                          const struct kernel_rows *x, uint32_t first, uint32_t count,
                          struct kernel_outputs out)
{
    const uint32_t groups = w->columns / KERNEL_GROUP;
    const uint8_t *quant = w->packed + (size_t)tile * groups * KERNEL_TILE * KERNEL_GROUP;
    const float *scale = w->scale + (size_t)tile * groups * KERNEL_TILE;

    for (uint32_t i = first; i < first + count; i++, out.at += out.stride)
        for (uint32_t o = 0; o < KERNEL_TILE; o++) {
            float f = multiply(quant + (size_t)o * KERNEL_QUAD, scale + o, int8_at(x, i, 0), groups,
                               i % KERNEL_SIX);
            out.at[o] = out.adds ? out.at[o] + f : f;
        }
}

const struct kernel_ops kernel_plain_ops = {
    .name = "plain",
    .layout = { KERNEL_INT8, KERNEL_SIX },
    .runs_here = plain_runs_here,
    .quantise = quantise_plain,
    .product = plain_product,
    BODY_OPS,
    BODY_ATTEND_OPS,
};
