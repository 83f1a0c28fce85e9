/* AMX: tiles of sixteen rows of 64 bytes, which one instruction multiplies and adds: sixteen rows by
 * sixteen outputs by 32 columns of bfloat16 in sixteen cycles. A scale for every 32 columns, which int8
 * needs, would cost more than these products; bfloat16 needs none, rounds less, and is as many products
 * an instruction as 32 columns of int8.
 *
 * Tiles:   four of sums, two of rows, two of weights; so each that is read serves two products, and a
 *          sum is needed again after four products, which is when it is there.
 * Order:   a tile adds the products of a row and an output pair by pair of columns, whatever the other
 *          rows are.
 * Threads: the shape of the tiles is a thread's own, from enter to leave.
 * Source:  Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.
 */
#if defined(__x86_64__)
#include <cpuid.h>

#include "base/cpu.h"
#include "kernel/kernel_avx512_bf16.h"

#define ROWS PAIRS           /* of a tile */
#define OUTPUTS ((size_t)16) /* of a tile */
_Static_assert(STEP == KERNEL_GROUP && KERNEL_TILE == 2 * OUTPUTS,
               "a group of a tile is two tiles");

/* Numbers of the tiles: the instructions take constants only. */
#define SUM_0 0
#define SUM_1 1
#define SUM_2 2
#define SUM_3 3
#define ROWS_0 4
#define ROWS_1 5
#define WEIGHTS_0 6
#define WEIGHTS_1 7

/* ---- This machine ---- */

static bool amx_runs_here(void)
{
    const unsigned int avx512_bf16 = 1u << 5, amx_bf16 = 1u << 22, amx_tile = 1u << 24;
    unsigned int a = 0, b = 0, c = 0, d = 0;

    if (!has_avx512() || !__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a & avx512_bf16))
        return false;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & amx_bf16) || !(d & amx_tile))
        return false;
    return cpu_grants_tiles();
}

/* The operand of ldtilecfg: eight tiles of full size. */
struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
};
_Static_assert(sizeof(struct tile_config) == 64, "as the manual says");

_Static_assert(sizeof(struct tile_config) == sizeof(struct kernel_before), "room for it");

/* The compiler's own function for it tells GCC 12 that eight bytes are read, not 64. */
static void load_config(const void *config)
{
    __asm__ volatile("ldtilecfg %0" : : "m"(*(const struct tile_config *)config));
}

/* Another library may have set the tiles up for itself, and think that it need not do so again. */
static void amx_enter(struct kernel_before *before)
{
    struct tile_config config = { .palette = 1 };

    for (int i = 0; i < 8; i++) {
        config.bytes[i] = TILE_BYTES;
        config.rows[i] = ROWS;
    }
    __asm__ volatile("sttilecfg %0" : "=m"(*before));
    load_config(&config);
}

static void amx_leave(const struct kernel_before *before)
{
    load_config(before);
}

/* ---- Products ---- */

static void amx_quantise(const float *x, float factor, uint32_t groups,
                         const struct kernel_place *to)
{
    uint8_t *row =
        kernel_rows_at(to->rows, to->row, to->first) + (size_t)(to->row % ROWS) * TILE_BYTES;

    for (uint32_t g = 0; g < groups; g++, x += KERNEL_GROUP, row += ROWS * TILE_BYTES)
        _mm512_store_si512(
            row, to_bf16(_mm512_loadu_ps(x) * factor, _mm512_loadu_ps(x + LANES) * factor));
}

/* The sums of a block of rows begin with what is there, or with nothing. */
LANES_INLINE void begin_first(const struct kernel_outputs *out)
{
    if (out->adds) {
        _tile_loadd(SUM_0, out->at, out->stride * sizeof *out->at);
        _tile_loadd(SUM_1, out->at + OUTPUTS, out->stride * sizeof *out->at);
    } else {
        _tile_zero(SUM_0);
        _tile_zero(SUM_1);
    }
}

LANES_INLINE void begin_second(const struct kernel_outputs *out)
{
    const float *at = out->at + ROWS * out->stride;

    if (out->adds) {
        _tile_loadd(SUM_2, at, out->stride * sizeof *at);
        _tile_loadd(SUM_3, at + OUTPUTS, out->stride * sizeof *at);
    } else {
        _tile_zero(SUM_2);
        _tile_zero(SUM_3);
    }
}

/* A tile of weights by one block of rows or, from `second` on, another. */
LANES_INLINE void multiply(const bool two, const uint8_t *w, const uint8_t *first,
                           const uint8_t *second, uint32_t groups)
{
    const size_t bytes = ROWS * TILE_BYTES;

    for (uint32_t g = 0; g < groups; g++, w += 2 * bytes, first += bytes, second += bytes) {
        _tile_loadd(ROWS_0, first, TILE_BYTES);
        _tile_loadd(WEIGHTS_0, w, TILE_BYTES);
        _tile_loadd(WEIGHTS_1, w + bytes, TILE_BYTES);
        _tile_dpbf16ps(SUM_0, ROWS_0, WEIGHTS_0);
        _tile_dpbf16ps(SUM_1, ROWS_0, WEIGHTS_1);
        if (two) {
            _tile_loadd(ROWS_1, second, TILE_BYTES);
            _tile_dpbf16ps(SUM_2, ROWS_1, WEIGHTS_0);
            _tile_dpbf16ps(SUM_3, ROWS_1, WEIGHTS_1);
        }
    }
}

/* Two blocks of rows or, if there are no more, one; the sums to `out`, for all their rows. */
static void multiply_blocks(const struct kernel_weights *w, uint32_t tile,
                            const struct kernel_rows *x, uint32_t first, bool two,
                            struct kernel_outputs out)
{
    const uint32_t groups = w->columns / KERNEL_GROUP;
    const uint8_t *packed = w->packed + (size_t)tile * groups * 2 * ROWS * TILE_BYTES;
    const uint8_t *row = kernel_rows_at(x, first, 0);
    const size_t stride = out.stride * sizeof *out.at;

    begin_first(&out);
    if (!two) {
        multiply(false, packed, row, row, groups);
    } else {
        begin_second(&out);
        multiply(true, packed, row, kernel_rows_at(x, first + ROWS, 0), groups);
        _tile_stored(SUM_2, out.at + ROWS * out.stride, stride);
        _tile_stored(SUM_3, out.at + ROWS * out.stride + OUTPUTS, stride);
    }
    _tile_stored(SUM_0, out.at, stride);
    _tile_stored(SUM_1, out.at + OUTPUTS, stride);
}

/* The last rows, which do not fill their blocks: nothing behind them is read or written. */
static void multiply_rest(const struct kernel_weights *w, uint32_t tile,
                          const struct kernel_rows *x, uint32_t first, uint32_t count,
                          struct kernel_outputs out)
{
    float all[2 * ROWS][KERNEL_TILE] __attribute__((aligned(KERNEL_ALIGN))) = { { 0 } };
    const struct kernel_outputs to = { all[0], KERNEL_TILE, out.adds };

    for (uint32_t i = 0; i < count && out.adds; i++)
        memcpy(all[i], out.at + i * out.stride, sizeof all[i]);
    multiply_blocks(w, tile, x, first, count > ROWS, to);
    for (uint32_t i = 0; i < count; i++)
        memcpy(out.at + i * out.stride, all[i], sizeof all[i]);
}

static void amx_product(const struct kernel_weights *w, uint32_t tile, const struct kernel_rows *x,
                        uint32_t first, uint32_t count, struct kernel_outputs out)
{
    while (count >= ROWS) {
        uint32_t together = count >= 2 * ROWS ? (uint32_t)(2 * ROWS) : (uint32_t)ROWS;
        multiply_blocks(w, tile, x, first, together > ROWS, out);
        out.at += together * out.stride;
        first += together;
        count -= together;
    }
    if (count)
        multiply_rest(w, tile, x, first, count, out);
}

/* ---- Attention ---- */

/* A query in two parts, which together are 16 bits precise: of each step the high ones, the low ones. */
static void amx_store_query(const float *x, uint32_t dim, float *query)
{
    for (uint32_t d = 0; d < dim; d += STEP, x += STEP, query += STEP) {
        __m512 first = _mm512_loadu_ps(x), second = _mm512_loadu_ps(x + LANES);
        __m512i high = to_bf16(first, second);
        first -= _mm512_cvtpbh_ps((__m256bh)_mm512_castsi512_si256(high));
        second -= _mm512_cvtpbh_ps((__m256bh)_mm512_extracti64x4_epi64(high, 1));
        _mm512_storeu_si512(query, high);
        _mm512_storeu_si512(query + LANES, to_bf16(first, second));
    }
}

/* Adds to the four tiles of sums the rows in ROWS_0 by four tiles that are `step` halves apart. */
LANES_INLINE void multiply_four(const uint16_t *from, size_t step)
{
    _tile_loadd(WEIGHTS_0, from, TILE_BYTES);
    _tile_dpbf16ps(SUM_0, ROWS_0, WEIGHTS_0);
    _tile_loadd(WEIGHTS_1, from + step, TILE_BYTES);
    _tile_dpbf16ps(SUM_1, ROWS_0, WEIGHTS_1);
    _tile_loadd(WEIGHTS_0, from + 2 * step, TILE_BYTES);
    _tile_dpbf16ps(SUM_2, ROWS_0, WEIGHTS_0);
    _tile_loadd(WEIGHTS_1, from + 3 * step, TILE_BYTES);
    _tile_dpbf16ps(SUM_3, ROWS_0, WEIGHTS_1);
}

LANES_INLINE void store_four(float *to, size_t stride)
{
    _tile_stored(SUM_0, to, stride * sizeof *to);
    _tile_stored(SUM_1, to + OUTPUTS, stride * sizeof *to);
    _tile_stored(SUM_2, to + 2 * OUTPUTS, stride * sizeof *to);
    _tile_stored(SUM_3, to + 3 * OUTPUTS, stride * sizeof *to);
}

LANES_INLINE void load_four(const float *from, size_t stride)
{
    _tile_loadd(SUM_0, from, stride * sizeof *from);
    _tile_loadd(SUM_1, from + OUTPUTS, stride * sizeof *from);
    _tile_loadd(SUM_2, from + 2 * OUTPUTS, stride * sizeof *from);
    _tile_loadd(SUM_3, from + 3 * OUTPUTS, stride * sizeof *from);
}

/* Sixteen rows of scores, those that are to spare included. */
static void score(const float *query, uint32_t dim, const uint16_t *keys, float *scores)
{
    _tile_zero(SUM_0);
    _tile_zero(SUM_1);
    _tile_zero(SUM_2);
    _tile_zero(SUM_3);
    for (uint32_t d = 0; d < dim; d += STEP, keys += STEP * KERNEL_PAGE) {
        _tile_loadd(ROWS_0, query + d, dim * sizeof *query);
        multiply_four(keys, TILE_HALVES);
        _tile_loadd(ROWS_0, query + d + LANES, dim * sizeof *query);
        multiply_four(keys, TILE_HALVES);
    }
    store_four(scores, KERNEL_PAGE);
}

/* Adds sixteen rows' weighted values of a chunk of dimensions. */
static void add_values(const float *weight, const uint16_t *values, float *out, size_t stride)
{
    const size_t step = KERNEL_PAGE / STEP * TILE_HALVES, row = KERNEL_PAGE * sizeof *weight;

    load_four(out, stride);
    _tile_loadd(ROWS_0, weight, row);
    multiply_four(values, step);
    _tile_loadd(ROWS_0, weight + STEP / 2, row);
    multiply_four(values + TILE_HALVES, step);
    store_four(out, stride);
}

/* The same for fewer rows: the others of `out` are not written. */
static void add_some_values(const float *weight, const uint16_t *values, float *out, size_t stride,
                            uint32_t count)
{
    float all[ROWS][KERNEL_CHUNK] __attribute__((aligned(KERNEL_ALIGN)));

    for (uint32_t i = 0; i < ROWS; i++)
        memcpy(all[i], out + (i < count ? i : 0) * stride, sizeof all[i]);
    add_values(weight, values, all[0], KERNEL_CHUNK);
    for (uint32_t i = 0; i < count; i++)
        memcpy(out + i * stride, all[i], sizeof all[i]);
}

static void amx_attend(const struct kernel_attention *a, const uint16_t *keys,
                       const uint16_t *values)
{
    const size_t chunk = (size_t)KERNEL_CHUNK * KERNEL_PAGE;

    for (uint32_t i = 0; i < a->count; i += ROWS)
        score(a->query + (size_t)i * a->dim, a->dim, keys, a->scores + (size_t)i * KERNEL_PAGE);
    for (uint32_t i = 0; i < a->count; i++)
        bf16_soften(a, i);
    for (uint32_t i = 0; i < a->count; i += ROWS)
        for (uint32_t d = 0; d < a->dim; d += KERNEL_CHUNK) {
            const float *weight = a->scores + (size_t)i * KERNEL_PAGE;
            const uint16_t *from = values + d / KERNEL_CHUNK * chunk;
            float *out = a->out + (size_t)i * a->dim + d;
            if (a->count - i >= ROWS)
                add_values(weight, from, out, a->dim);
            else
                add_some_values(weight, from, out, a->dim, a->count - i);
        }
}

const struct kernel_ops kernel_amx_ops = {
    .name = "amx-bf16",
    .layout = { KERNEL_BF16, ROWS },
    .runs_here = amx_runs_here,
    .enter = amx_enter,
    .leave = amx_leave,
    .quantise = amx_quantise,
    .product = amx_product,
    BODY_OPS,
    .store_query = amx_store_query,
    BF16_STORE_OPS,
    .attend = amx_attend,
};
#endif
