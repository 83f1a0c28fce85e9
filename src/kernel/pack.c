/* Weights and rows in the order in which products read them. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/kernel.h"

#define QUADS (KERNEL_GROUP / KERNEL_QUAD)
#define INT8_LARGEST 127.0f

static size_t groups_of(uint32_t columns)
{
    return columns / KERNEL_GROUP;
}

/* Groups of all outputs, those of padding included. */
static size_t padded_groups(const struct kernel_weights *w)
{
    return (size_t)kernel_weights_tiles(w) * KERNEL_TILE * groups_of(w->columns);
}

void kernel_weights_init(struct kernel_weights *w, uint32_t outputs, uint32_t columns)
{
    *w = (struct kernel_weights){ .outputs = outputs, .columns = columns };
    w->quant = mem_aligned(padded_groups(w) * KERNEL_GROUP, KERNEL_ALIGN);
    w->scale = mem_aligned(padded_groups(w) * sizeof *w->scale, KERNEL_ALIGN);
    memset(w->quant, 0, padded_groups(w) * KERNEL_GROUP);
    memset(w->scale, 0, padded_groups(w) * sizeof *w->scale);
}

void kernel_weights_release(struct kernel_weights *w)
{
    mem_free(w->quant);
    mem_free(w->scale);
    *w = (struct kernel_weights){ 0 };
}

uint64_t kernel_weights_bytes(const struct kernel_weights *w)
{
    return padded_groups(w) * (KERNEL_GROUP + sizeof *w->scale);
}

/* Which group of KERNEL_TILE outputs it is. */
static size_t tile_group(const struct kernel_weights *w, uint32_t output, uint32_t group)
{
    return output / KERNEL_TILE * groups_of(w->columns) + group;
}

static uint8_t *quad_at(const struct kernel_weights *w, size_t tile_group, uint32_t quad,
                        uint32_t output)
{
    size_t quads = tile_group * QUADS + quad;

    return w->quant + (quads * KERNEL_TILE + output % KERNEL_TILE) * KERNEL_QUAD;
}

void kernel_weights_set(struct kernel_weights *w, uint32_t output, uint32_t group,
                        const int8_t *value, float scale)
{
    size_t at = tile_group(w, output, group);
    uint8_t biased[KERNEL_GROUP];

    for (uint32_t i = 0; i < KERNEL_GROUP; i++)
        biased[i] = (uint8_t)((value[i] == INT8_MIN ? -INT8_MAX : value[i]) + KERNEL_BIAS);
    for (uint32_t quad = 0; quad < QUADS; quad++)
        memcpy(quad_at(w, at, quad, output), biased + (size_t)quad * KERNEL_QUAD, KERNEL_QUAD);
    w->scale[at * KERNEL_TILE + output % KERNEL_TILE] = scale;
}

static float largest_of(const float *x)
{
    float most = 0.0f;

    for (uint32_t i = 0; i < KERNEL_GROUP; i++)
        most = fmaxf(most, fabsf(x[i])); /* a NaN loses */
    return isfinite(most) ? most : 0.0f;
}

void kernel_weights_quantise(struct kernel_weights *w, uint32_t output, const float *row)
{
    int8_t value[KERNEL_GROUP];

    for (uint32_t g = 0; g < groups_of(w->columns); g++, row += KERNEL_GROUP) {
        float most = largest_of(row);
        float inverse = most > 0.0f ? INT8_LARGEST / most : 0.0f;
        if (!isfinite(inverse)) /* a group of numbers next to nothing */
            inverse = 0.0f;
        for (uint32_t i = 0; i < KERNEL_GROUP; i++) {
            float scaled = row[i] * inverse;
            value[i] = isfinite(scaled) ? (int8_t)lrintf(scaled) : 0;
        }
        kernel_weights_set(w, output, g, value, most / INT8_LARGEST);
    }
}

void kernel_weights_row(const struct kernel_weights *w, uint32_t output, float *row)
{
    for (uint32_t g = 0; g < groups_of(w->columns); g++) {
        size_t at = tile_group(w, output, g);
        float scale = w->scale[at * KERNEL_TILE + output % KERNEL_TILE];
        for (uint32_t quad = 0; quad < QUADS; quad++) {
            const uint8_t *from = quad_at(w, at, quad, output);
            for (uint32_t i = 0; i < KERNEL_QUAD; i++)
                *row++ = (float)(from[i] - KERNEL_BIAS) * scale;
        }
    }
}

void kernel_weights_fetch(const struct kernel_weights *w, uint32_t tile, uint32_t from, uint32_t to,
                          uint32_t all)
{
    const size_t bytes = groups_of(w->columns) * KERNEL_TILE * KERNEL_GROUP;
    const uint8_t *quant = w->quant + tile * bytes;
    const float *scale = w->scale + tile * (bytes / KERNEL_GROUP);
    const size_t end = bytes * (to < all ? to : all) / all;

    for (size_t i = bytes * from / all; i < end; i += KERNEL_ALIGN)
        __builtin_prefetch(quant + i, 0, 2);
    for (size_t i = bytes * from / all; i < end;
         i += (size_t)KERNEL_GROUP * KERNEL_ALIGN / sizeof *scale)
        __builtin_prefetch(scale + i / KERNEL_GROUP, 0, 2);
}

/* ---- Rows ---- */

static size_t rows_groups(const struct kernel_rows *x)
{
    return (x->cap + KERNEL_BLOCK - 1) / KERNEL_BLOCK * groups_of(x->columns);
}

void kernel_rows_init(struct kernel_rows *x, uint32_t cap, uint32_t columns)
{
    *x = (struct kernel_rows){ .columns = columns, .cap = cap };
    x->group = mem_aligned(rows_groups(x) * sizeof *x->group, KERNEL_ALIGN);
    memset(x->group, 0, rows_groups(x) * sizeof *x->group);
}

void kernel_rows_release(struct kernel_rows *x)
{
    mem_free(x->group);
    *x = (struct kernel_rows){ 0 };
}

uint64_t kernel_rows_bytes(const struct kernel_rows *x)
{
    return rows_groups(x) * sizeof *x->group;
}
