/* AVX2 with FMA and F16C. Its instruction for int8 saturates; that for int16 does not. So weights become
 * words when they are read, for six rows at a time, and a group's rows before it is begun:
 *
 *   a quad (4 columns) of an output is two pairs of words, of columns 0 and 2, and of 1 and 3
 *
 * Twelve of the sixteen registers are sums in int32; those in float stand in the first cache. */
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#define LANES 8
#include "kernel/kinds.h"
#include "kernel/lanes.h"
#include "kernel/quantise_plain.h"

#include "kernel/kernel_avx2_body.h"

#define BYTE_BITS 8
#define TILE_PARTS (KERNEL_TILE / LANES)

/* A group of some rows of a block, and the floats that its sums are added to. */
struct words {
    int32_t even[KERNEL_SIX][QUADS], odd[KERNEL_SIX][QUADS];
    int32_t offset[KERNEL_SIX];
    float scale[KERNEL_SIX];
};
struct sums {
    __m256 of[KERNEL_SIX][TILE_PARTS];
};

LANES_INLINE void to_words(const int m, const struct kernel_rows_int8 *x, uint32_t at,
                           struct words *out)
{
    for (int i = 0; i < m; i++, at++) {
        __m256i a = _mm256_loadu_si256((const __m256i_u *)(const void *)x->quant[at]);
        __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(a, BYTE_BITS), BYTE_BITS);
        _mm256_store_si256((__m256i *)(void *)out->even[i], even);
        _mm256_store_si256((__m256i *)(void *)out->odd[i], _mm256_srai_epi16(a, BYTE_BITS));
        out->offset[i] = x->offset[at];
        out->scale[i] = x->scale[at];
    }
}

/* Keeps the order in which sums are written: the compiler would rather have many products at once than
 * all sums in registers. */
#define KEEP(sum) __asm__ volatile("" : "+x"(sum))

/* One of two words of each quad, for PARTS registers of outputs. */
LANES_INLINE void add_words(const int m, __m256i c[][PARTS], const __m256i w[PARTS],
                            const int32_t a[][QUADS], size_t quad)
{
    for (int i = 0; i < m; i++) {
        __m256i both = _mm256_set1_epi32(a[i][quad]);
        for (size_t p = 0; p < PARTS; p++) {
            c[i][p] = _mm256_add_epi32(c[i][p], _mm256_madd_epi16(w[p], both));
            KEEP(c[i][p]);
        }
    }
}

LANES_INLINE void add_group(const int m, const uint8_t *quant, const struct words *a,
                            __m256i c[][PARTS])
{
    const __m256i low = _mm256_set1_epi16(UINT8_MAX);

    for (int i = 0; i < m; i++)
        for (size_t p = 0; p < PARTS; p++)
            c[i][p] = _mm256_set1_epi32(a->offset[i]);
    for (size_t q = 0; q < QUADS; q++) {
        const __m256i *at = (const __m256i *)(const void *)(quant + q * TILE_QUAD_BYTES);
        __m256i w[PARTS];
        for (size_t p = 0; p < PARTS; p++)
            w[p] = _mm256_and_si256(_mm256_load_si256(at + p), low);
        add_words(m, c, w, a->even, q);
        for (size_t p = 0; p < PARTS; p++)
            w[p] = _mm256_srli_epi16(_mm256_load_si256(at + p), BYTE_BITS);
        add_words(m, c, w, a->odd, q);
    }
}

/* The sums of a group in int32, of PARTS registers from `part` on, times their scales. */
LANES_INLINE void scale_group(const int m, size_t part, const float *scale, const float *row_scale,
                              __m256i c[][PARTS], struct sums *f)
{
    for (size_t p = 0; p < PARTS; p++) {
        __m256 d = _mm256_load_ps(scale + p * LANES);
        for (int i = 0; i < m; i++) {
            __m256 *to = &f->of[i][part + p];
            __m256 both = _mm256_mul_ps(d, _mm256_set1_ps(row_scale[i]));
            *to = _mm256_fmadd_ps(_mm256_cvtepi32_ps(c[i][p]), both, *to);
        }
    }
}

/* A tile of m rows of one block. */
LANES_INLINE void multiply(const int m, const struct kernel_weights *w, uint32_t tile,
                           const struct kernel_rows *rows, uint32_t first, struct sums *f)
{
    const struct kernel_rows_int8 *x = int8_at(rows, first, 0);
    const uint32_t groups = w->columns / KERNEL_GROUP;
    const uint8_t *quant = w->packed + (size_t)tile * groups * KERNEL_TILE * KERNEL_GROUP;
    const float *scale = w->scale + (size_t)tile * groups * KERNEL_TILE;
    _Alignas(KERNEL_ALIGN) struct words a;
    __m256i c[KERNEL_SIX][PARTS];

    *f = (struct sums){ 0 };
    for (uint32_t g = 0; g < groups; g++, x++) {
        to_words(m, x, first % KERNEL_SIX, &a);
        for (size_t part = 0; part < TILE_PARTS; part += PARTS) {
            add_group(m, quant + part * LANES * KERNEL_QUAD, &a, c);
            scale_group(m, part, scale + part * LANES, a.scale, c, f);
        }
        quant += (size_t)KERNEL_TILE * KERNEL_GROUP;
        scale += KERNEL_TILE;
    }
}

static void put(const struct sums *f, uint32_t m, struct kernel_outputs out)
{
    for (uint32_t i = 0; i < m; i++, out.at += out.stride)
        for (size_t p = 0; p < TILE_PARTS; p++) {
            const lanes sum = (lanes)f->of[i][p];
            float *to = out.at + p * LANES;
            lanes_store(to, out.adds ? lanes_load(to) + sum : sum);
        }
}

static void avx2_product(const struct kernel_weights *w, uint32_t tile, const struct kernel_rows *x,
                         uint32_t first, uint32_t count, struct kernel_outputs out)
{
    struct sums f;
    uint32_t m;

    for (; count; first += m, count -= m, out.at += m * out.stride) {
        if (count >= (m = KERNEL_SIX))
            multiply(KERNEL_SIX, w, tile, x, first, &f);
        else if (count >= (m = KERNEL_SIX / 2))
            multiply(KERNEL_SIX / 2, w, tile, x, first, &f);
        else if ((m = 1))
            multiply(1, w, tile, x, first, &f);
        put(&f, m, out);
    }
}

const struct kernel_ops kernel_avx2_ops = {
    .name = "avx2",
    .layout = { KERNEL_INT8, KERNEL_SIX },
    .runs_here = has_avx2,
    .quantise = quantise_plain,
    .product = avx2_product,
    BODY_OPS,
    BODY_ATTEND_OPS,
};
#endif
