/* Weights and rows in the order in which products read them. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/kernel.h"

#define QUADS (KERNEL_GROUP / KERNEL_QUAD)
#define HALF (KERNEL_TILE / 2) /* outputs of a tile of the registers */
#define INT8_LARGEST 127.0f

/* Bytes that a weight takes. */
static const size_t weight_bytes[] = { [KERNEL_INT8] = 1, [KERNEL_BF16] = 2 };

static size_t groups_of(uint32_t columns)
{
    return columns / KERNEL_GROUP;
}

/* Groups of all outputs, those of padding included. */
static size_t padded_groups(const struct kernel_weights *w)
{
    return (size_t)kernel_weights_tiles(w) * KERNEL_TILE * groups_of(w->columns);
}

static size_t packed_bytes(const struct kernel_weights *w)
{
    return padded_groups(w) * KERNEL_GROUP * weight_bytes[w->format];
}

static size_t scale_bytes(const struct kernel_weights *w)
{
    return w->format == KERNEL_INT8 ? padded_groups(w) * sizeof *w->scale : 0;
}

void kernel_weights_init(struct kernel_weights *w, enum kernel_format format, uint32_t outputs,
                         uint32_t columns)
{
    *w = (struct kernel_weights){ .outputs = outputs, .columns = columns, .format = format };
    w->packed = mem_aligned(packed_bytes(w), KERNEL_ALIGN);
    memset(w->packed, 0, packed_bytes(w));
    if (format != KERNEL_INT8)
        return;
    w->scale = mem_aligned(scale_bytes(w), KERNEL_ALIGN);
    memset(w->scale, 0, scale_bytes(w));
}

void kernel_weights_place(struct kernel_weights *w, enum kernel_format format, uint32_t outputs,
                          uint32_t columns, void *memory)
{
    *w = (struct kernel_weights){
        .outputs = outputs, .columns = columns, .format = format, .borrowed = true
    };
    w->packed = memory;
    if (format == KERNEL_INT8)
        w->scale = (float *)(void *)(w->packed + packed_bytes(w));
}

void kernel_weights_release(struct kernel_weights *w)
{
    if (!w->borrowed) {
        mem_free(w->packed);
        mem_free(w->scale);
    }
    *w = (struct kernel_weights){ 0 };
}

uint64_t kernel_weights_bytes(const struct kernel_weights *w)
{
    return packed_bytes(w) + scale_bytes(w);
}

/* Which group of KERNEL_TILE outputs it is. */
static size_t tile_group(const struct kernel_weights *w, uint32_t output, uint32_t group)
{
    return output / KERNEL_TILE * groups_of(w->columns) + group;
}

static float *scale_at(const struct kernel_weights *w, uint32_t output, uint32_t group)
{
    return w->scale + tile_group(w, output, group) * KERNEL_TILE + output % KERNEL_TILE;
}

static uint8_t *quad_at(const struct kernel_weights *w, uint32_t output, uint32_t group,
                        uint32_t quad)
{
    size_t quads = tile_group(w, output, group) * QUADS + quad;

    return w->packed + (quads * KERNEL_TILE + output % KERNEL_TILE) * KERNEL_QUAD;
}

static uint16_t *pair_at(const struct kernel_weights *w, uint32_t output, uint32_t group,
                         uint32_t column)
{
    size_t half = tile_group(w, output, group) * 2 + output % KERNEL_TILE / HALF;
    size_t pair = half * (KERNEL_GROUP / KERNEL_PAIR) + column / KERNEL_PAIR;

    return (uint16_t *)(void *)w->packed + (pair * HALF + output % HALF) * KERNEL_PAIR;
}

/* ---- bfloat16 ---- */

/* A float's upper half, to the nearest, of two as near the even one; finite. */
static uint16_t to_bf16(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float from_bf16(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

static void set_bf16(struct kernel_weights *w, uint32_t output, uint32_t group, const float *value)
{
    for (uint32_t i = 0; i < KERNEL_GROUP; i += KERNEL_PAIR) {
        uint16_t *pair = pair_at(w, output, group, i);
        for (uint32_t k = 0; k < KERNEL_PAIR; k++)
            pair[k] = isfinite(value[i + k]) ? to_bf16(value[i + k]) : 0;
    }
}

static void row_bf16(const struct kernel_weights *w, uint32_t output, float *row)
{
    for (uint32_t i = 0; i < w->columns; i++)
        row[i] = from_bf16(pair_at(w, output, i / KERNEL_GROUP, i % KERNEL_GROUP)[i % KERNEL_PAIR]);
}

/* ---- int8 ---- */

static void set_int8(struct kernel_weights *w, uint32_t output, uint32_t group, const int8_t *value,
                     float scale)
{
    uint8_t biased[KERNEL_GROUP];

    for (uint32_t i = 0; i < KERNEL_GROUP; i++)
        biased[i] = (uint8_t)((value[i] == INT8_MIN ? -INT8_MAX : value[i]) + KERNEL_BIAS);
    for (uint32_t quad = 0; quad < QUADS; quad++)
        memcpy(quad_at(w, output, group, quad), biased + (size_t)quad * KERNEL_QUAD, KERNEL_QUAD);
    *scale_at(w, output, group) = scale;
}

static float largest_of(const float *x)
{
    float most = 0.0f;

    for (uint32_t i = 0; i < KERNEL_GROUP; i++)
        most = fmaxf(most, fabsf(x[i])); /* a NaN loses */
    return isfinite(most) ? most : 0.0f;
}

static void quantise_int8(struct kernel_weights *w, uint32_t output, uint32_t group, const float *x)
{
    int8_t value[KERNEL_GROUP];
    float most = largest_of(x), inverse = most > 0.0f ? INT8_LARGEST / most : 0.0f;

    if (!isfinite(inverse)) /* a group of numbers next to nothing */
        inverse = 0.0f;
    for (uint32_t i = 0; i < KERNEL_GROUP; i++) {
        float scaled = x[i] * inverse;
        value[i] = isfinite(scaled) ? (int8_t)lrintf(scaled) : 0;
    }
    set_int8(w, output, group, value, most / INT8_LARGEST);
}

static void row_int8(const struct kernel_weights *w, uint32_t output, float *row)
{
    for (uint32_t g = 0; g < groups_of(w->columns); g++) {
        float scale = *scale_at(w, output, g);
        for (uint32_t quad = 0; quad < QUADS; quad++) {
            const uint8_t *from = quad_at(w, output, g, quad);
            for (uint32_t i = 0; i < KERNEL_QUAD; i++)
                *row++ = (float)(from[i] - KERNEL_BIAS) * scale;
        }
    }
}

/* ---- Either ---- */

void kernel_weights_set(struct kernel_weights *w, uint32_t output, uint32_t group,
                        const int8_t *value, float scale)
{
    float x[KERNEL_GROUP];

    if (w->format == KERNEL_INT8) {
        set_int8(w, output, group, value, scale);
        return;
    }
    for (uint32_t i = 0; i < KERNEL_GROUP; i++)
        x[i] = (float)value[i] * scale;
    set_bf16(w, output, group, x);
}

void kernel_weights_quantise(struct kernel_weights *w, uint32_t output, const float *row)
{
    for (uint32_t g = 0; g < groups_of(w->columns); g++, row += KERNEL_GROUP)
        if (w->format == KERNEL_INT8)
            quantise_int8(w, output, g, row);
        else
            set_bf16(w, output, g, row);
}

void kernel_weights_row(const struct kernel_weights *w, uint32_t output, float *row)
{
    if (w->format == KERNEL_INT8)
        row_int8(w, output, row);
    else
        row_bf16(w, output, row);
}

void kernel_weights_fetch(const struct kernel_weights *w, uint32_t tile, uint32_t from, uint32_t to,
                          uint32_t all)
{
    const size_t bytes = groups_of(w->columns) * KERNEL_TILE * KERNEL_GROUP;
    const size_t end = bytes * (to < all ? to : all) / all;

    if (w->format != KERNEL_INT8)
        return;
    const uint8_t *packed = w->packed + tile * bytes;
    const float *scale = w->scale + tile * (bytes / KERNEL_GROUP);
    for (size_t i = bytes * from / all; i < end; i += KERNEL_ALIGN)
        __builtin_prefetch(packed + i, 0, 2);
    for (size_t i = bytes * from / all; i < end;
         i += (size_t)KERNEL_GROUP * KERNEL_ALIGN / sizeof *scale)
        __builtin_prefetch(scale + i / KERNEL_GROUP, 0, 2);
}

/* ---- Rows ---- */

/* Bytes of a group of a block. */
static size_t block_bytes(const struct kernel_layout *l)
{
    return l->format == KERNEL_INT8 ? sizeof(struct kernel_rows_int8)
                                    : (size_t)l->block * KERNEL_GROUP * sizeof(uint16_t);
}

void kernel_rows_init(struct kernel_rows *x, const struct kernel_layout *l, uint32_t cap,
                      uint32_t columns)
{
    *x = (struct kernel_rows){ .columns = columns, .cap = cap, .layout = *l };
    x->group = mem_aligned(kernel_rows_bytes(x), KERNEL_ALIGN);
    memset(x->group, 0, kernel_rows_bytes(x));
}

void kernel_rows_release(struct kernel_rows *x)
{
    mem_free(x->group);
    *x = (struct kernel_rows){ 0 };
}

uint64_t kernel_rows_bytes(const struct kernel_rows *x)
{
    const size_t blocks = (x->cap + x->layout.block - 1) / x->layout.block;

    return blocks * groups_of(x->columns) * block_bytes(&x->layout);
}

uint8_t *kernel_rows_at(const struct kernel_rows *x, uint32_t row, uint32_t group)
{
    size_t before = row / x->layout.block * groups_of(x->columns);

    return x->group + (before + group) * block_bytes(&x->layout);
}
