/* kernel.h -- the arithmetic of a transformer's forward, once for each kind of CPU.
 *
 * Why: nearly all time of a batch goes into products of many rows with the weights, and into attention.
 * Both are written for wide registers here, over layouts of their own; everything above is plain C.
 *
 * Rows:    what a row's result is depends on that row alone: every sum has one order, whatever the
 *          rows beside it, the tile or the thread. Products are bit-identical on every CPU that has
 *          fused multiply-add; the others only on one kind of CPU.
 * Product: weights are int8 with a scale for KERNEL_GROUP columns; so are activations. A group is
 *          summed in int32, which is exact; groups are added in order, in float:
 *          f = fma(sum, weight_scale * row_scale, f).
 * Cache:   a page holds KERNEL_PAGE positions of one head in one layer, in half precision: keys by
 *          dimension, then position, so that one register holds scores of many positions; values by
 *          chunk of KERNEL_CHUNK dimensions, then position.
 * Threads: all functions are pure but for what they are given to write.
 * Source:  online softmax: Milakov and Gimelshein, arXiv:1805.02867; docs/engine.md.
 */
#ifndef TRANCHE_KERNEL_KERNEL_H
#define TRANCHE_KERNEL_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KERNEL_GROUP 32 /* columns with one scale */
#define KERNEL_TILE 32  /* outputs that a product makes together */
#define KERNEL_BLOCK 6  /* rows that a product takes together: as many as fit the registers */
#define KERNEL_QUAD 4   /* columns that one instruction multiplies and adds */
#define KERNEL_PAGE 64  /* positions of a page */
#define KERNEL_CHUNK 64 /* dimensions of a head come in multiples of this */
#define KERNEL_ALIGN 64 /* of weights, rows and pages, in bytes */

/* ---- Weights ---- */

/* A matrix in the order in which a product streams it: tile, group, quad, output, column. Outputs
 * beyond `outputs` are zero. */
struct kernel_weights {
    uint32_t outputs, columns; /* columns: a multiple of KERNEL_GROUP */
    uint8_t *quant;            /* value + KERNEL_BIAS; owned */
    float *scale;              /* tile, group, output; owned */
};
#define KERNEL_BIAS 128 /* the instruction wants one factor unsigned */

void kernel_weights_init(struct kernel_weights *w, uint32_t outputs, uint32_t columns);
void kernel_weights_release(struct kernel_weights *w); /* accepts a zeroed one */
uint64_t kernel_weights_bytes(const struct kernel_weights *w);
/* Sets one group of one output. -128 becomes -127: its negative would not be an int8. */
void kernel_weights_set(struct kernel_weights *w, uint32_t output, uint32_t group,
                        const int8_t *value, float scale);
/* Quantises one output's row of floats: the largest of a group becomes 127. */
void kernel_weights_quantise(struct kernel_weights *w, uint32_t output, const float *row);
/* One output's row as floats. */
void kernel_weights_row(const struct kernel_weights *w, uint32_t output, float *row);
/* Begins to fetch the part of a tile from `from` to `to`, of `all`, into the second cache. */
void kernel_weights_fetch(const struct kernel_weights *w, uint32_t tile, uint32_t from, uint32_t to,
                          uint32_t all);
static inline uint32_t kernel_weights_tiles(const struct kernel_weights *w)
{
    return (w->outputs + KERNEL_TILE - 1) / KERNEL_TILE;
}

/* ---- Rows ---- */

/* One group of a block of rows: what a product reads of them, in that order. */
struct kernel_rows_group {
    int8_t quant[KERNEL_BLOCK][KERNEL_GROUP];
    float scale[KERNEL_BLOCK];
    int32_t offset[KERNEL_BLOCK]; /* -KERNEL_BIAS * sum of quant: takes the weights' bias out */
};

/* Quantised rows: block, group. */
struct kernel_rows {
    uint32_t columns, cap;
    struct kernel_rows_group *group; /* owned */
};

void kernel_rows_init(struct kernel_rows *x, uint32_t cap, uint32_t columns);
void kernel_rows_release(struct kernel_rows *x); /* accepts a zeroed one */
uint64_t kernel_rows_bytes(const struct kernel_rows *x);
static inline struct kernel_rows_group *kernel_rows_at(const struct kernel_rows *x, uint32_t row)
{
    return x->group + (size_t)(row / KERNEL_BLOCK) * (x->columns / KERNEL_GROUP);
}

/* Where a product goes: a row of `stride` floats for each of its rows. */
struct kernel_outputs {
    float *at;
    size_t stride;
};

/* ---- Attention ---- */

/* Query rows and what they have seen so far; a page at a time is added. */
struct kernel_attention {
    uint32_t count, dim;
    const float *query;       /* count rows of dim, scaled already */
    float *out;               /* count rows of dim; zero at first */
    float *max, *sum;         /* -INFINITY and 0 at first; out / sum is the result */
    const uint8_t *from, *to; /* positions of the page that each row sees: at least one */
    float *scores;            /* scratch: count rows of KERNEL_PAGE */
    float *scratch;           /* KERNEL_PAGE rows of KERNEL_CHUNK */
};

/* Halves of a head's keys in a page, and of its values. */
static inline size_t kernel_page_halves(uint32_t dim)
{
    return (size_t)dim * KERNEL_PAGE;
}

/* ---- The functions of one kind of CPU ---- */

enum kernel_gate { KERNEL_SILU, KERNEL_GELU }; /* gelu: the tanh form */

struct kernel_ops {
    const char *name;
    bool (*runs_here)(void);
    /* Quantises `groups` groups of a row, the first of which is group `first` of it. */
    void (*quantise)(const float *x, uint32_t groups, struct kernel_rows *to, uint32_t row,
                     uint32_t first);
    /* KERNEL_TILE outputs of the rows first .. first + count - 1; first is a multiple of
     * KERNEL_BLOCK. */
    void (*product)(const struct kernel_weights *w, uint32_t tile, const struct kernel_rows *x,
                    uint32_t first, uint32_t count, struct kernel_outputs out);
    /* out = x * weight / sqrt(mean of squares + epsilon); count: a multiple of 16. */
    void (*norm)(const float *x, const float *weight, uint32_t count, float epsilon, float *out);
    /* gate = activation(gate) * up; count: a multiple of 16. */
    void (*gate)(enum kernel_gate kind, float *gate, const float *up, uint32_t count);
    /* x += y; count: a multiple of 16. */
    void (*add)(float *x, const float *y, uint32_t count);
    /* Turns each pair (x[i], x[i + dim / 2]) by the angle whose cosine is turn[i] and whose sine is
     * turn[i + dim / 2], and scales it. */
    void (*rotate)(float *x, const float *turn, uint32_t dim, float scale);
    /* Puts a row of dim floats into a page, at a position of it. */
    void (*store_key)(const float *x, uint32_t dim, uint32_t position, uint16_t *keys);
    void (*store_value)(const float *x, uint32_t dim, uint32_t position, uint16_t *values);
    void (*attend)(const struct kernel_attention *a, const uint16_t *keys, const uint16_t *values);
    /* The largest of a row of logits (of equal ones the first; 0 when none is a number), and the
     * natural logarithm of the sum of exp(logit). */
    void (*sum_up)(const float *logits, uint32_t count, uint32_t *largest, float *log_sum);
};

/* The kinds that this program has, best first; the last is portable. NULL beyond the last. */
const struct kernel_ops *kernel_at(uint32_t i);
/* The best that runs on this machine. */
const struct kernel_ops *kernel_best(void);

#endif
