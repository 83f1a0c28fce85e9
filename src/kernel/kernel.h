/* kernel.h -- the arithmetic of a transformer's forward, once for each kind of CPU.
 *
 * Why: nearly all time of a batch goes into products of many rows with the weights, and into attention.
 *      Both are written for wide registers here, over layouts of their own; everything above is plain C.
 *
 * Shape:   [rows][columns] beside a pointer is that many rows, one behind the other.
 * Promise: a row's result depends on that row alone: every sum has one order, whatever the rows beside
 *          it, the tile or the thread. Products in int8 are bit-identical on every CPU that has fused
 *          multiply-add; the other functions only on one kind of CPU.
 * Product: in KERNEL_INT8 weights are int8 with a scale for KERNEL_GROUP columns; so are rows. A group
 *          is summed in int32, which is exact; groups are added in order, in float:
 *          f = fma(sum, weight_scale * row_scale, f). In KERNEL_BF16 both are bfloat16, whose products
 *          are summed in float in order of pairs of columns.
 * Cache:   a page holds KERNEL_PAGE positions of one head in one layer, in 16 bits a number and the
 *          order of the kind: in half precision keys by dimension, then position, so that one register
 *          holds scores of many positions, and values by chunk of KERNEL_CHUNK dimensions, then
 *          position; in bfloat16 tiles of 16 pairs, of dimensions or of positions.
 * Threads: all functions are pure but for what they are given to write.
 * Source:  online softmax: Milakov and Gimelshein, arXiv:1805.02867; docs/engine.md.
 */
#ifndef TRANCHE_KERNEL_KERNEL_H
#define TRANCHE_KERNEL_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KERNEL_GROUP 32 /* columns with one scale; columns of a tile in bfloat16 */
#define KERNEL_TILE 32  /* outputs that a product makes together */
#define KERNEL_QUAD 4   /* columns of int8 that one instruction multiplies and adds */
#define KERNEL_PAIR 2   /* the same of bfloat16 */
#define KERNEL_PAGE 64  /* positions of a page */
#define KERNEL_CHUNK 64 /* dimensions of a head come in multiples of this */
#define KERNEL_ALIGN 64 /* of weights, rows and pages, in bytes */

/* The numbers that one kind of CPU multiplies. Rows that are packed for one layout fit no other. */
enum kernel_format { KERNEL_INT8, KERNEL_BF16 };
struct kernel_layout {
    enum kernel_format format;
    uint32_t block; /* rows that a product takes together: as many as fit the registers */
};

/* ---- Weights ---- */

/* A matrix in the order in which a product streams it. int8: tile, group, quad, output, column.
 * bfloat16: tile, group, half of the outputs, pair, output, column. Outputs beyond `outputs` are
 * zero. */
struct kernel_weights {
    uint32_t outputs, columns; /* columns: a multiple of KERNEL_GROUP */
    enum kernel_format format;
    uint8_t *packed; /* int8: value + KERNEL_BIAS; owned */
    float *scale;    /* int8: [tiles][groups][KERNEL_TILE]; owned */
    bool borrowed;   /* both are memory of the caller's */
};
#define KERNEL_BIAS 128 /* the instruction wants one factor unsigned */

void kernel_weights_init(struct kernel_weights *w, enum kernel_format format, uint32_t outputs,
                         uint32_t columns);
/* As init, in `memory` of the caller's, which holds zeros or the same weights: kernel_weights_bytes of a zeroed
 * w with these sizes, on a boundary of KERNEL_ALIGN. */
void kernel_weights_place(struct kernel_weights *w, enum kernel_format format, uint32_t outputs,
                          uint32_t columns, void *memory);
void kernel_weights_release(struct kernel_weights *w); /* accepts a zeroed one */
uint64_t kernel_weights_bytes(const struct kernel_weights *w);
/* Sets one group of one output. -128 becomes -127: its negative would not be an int8. bfloat16: the
 * nearest to value * scale. */
void kernel_weights_set(struct kernel_weights *w, uint32_t output, uint32_t group,
                        const int8_t *value, float scale);
/* Rounds one output's row [columns]. int8: the largest of a group becomes 127. */
void kernel_weights_quantise(struct kernel_weights *w, uint32_t output, const float *row);
/* One output's row [columns] as floats. */
void kernel_weights_row(const struct kernel_weights *w, uint32_t output, float *row);
/* Begins to fetch the part of a tile from `from` to `to`, of `all`, into the second cache. bfloat16:
 * does nothing, which is faster. */
void kernel_weights_fetch(const struct kernel_weights *w, uint32_t tile, uint32_t from, uint32_t to,
                          uint32_t all);
static inline uint32_t kernel_weights_tiles(const struct kernel_weights *w)
{
    return (w->outputs + KERNEL_TILE - 1) / KERNEL_TILE;
}

/* ---- Rows ---- */

/* Quantised rows [cap][columns], in the order block, group: of a group the rows of a block stand
 * together, as a struct kernel_rows_int8 or as [block][KERNEL_GROUP] of bfloat16. */
struct kernel_rows {
    uint32_t columns, cap;
    struct kernel_layout layout;
    uint8_t *group; /* owned */
};

void kernel_rows_init(struct kernel_rows *x, const struct kernel_layout *l, uint32_t cap,
                      uint32_t columns);
void kernel_rows_release(struct kernel_rows *x); /* accepts a zeroed one */
uint64_t kernel_rows_bytes(const struct kernel_rows *x);
/* A group of the block that the row is in. */
uint8_t *kernel_rows_at(const struct kernel_rows *x, uint32_t row, uint32_t group);

#define KERNEL_SIX 6 /* rows of a block in int8 */
struct kernel_rows_int8 {
    int8_t quant[KERNEL_SIX][KERNEL_GROUP];
    float scale[KERNEL_SIX];
    int32_t offset[KERNEL_SIX]; /* -KERNEL_BIAS * sum of quant: takes the weights' bias out */
};

/* The destination of a row's groups: from group `first` of row `row` on. */
struct kernel_place {
    struct kernel_rows *rows;
    uint32_t row, first;
};

/* The destination of a product. */
struct kernel_outputs {
    float *at; /* [rows][stride], of which KERNEL_TILE are written */
    size_t stride;
    bool adds; /* to what is there */
};

/* ---- Attention ---- */

/* Rows of memory behind those of queries and scores, because they are computed sixteen at a time. */
#define KERNEL_ROWS_SPARE 15

/* Query rows and their attention so far; a page at a time is added. */
struct kernel_attention {
    uint32_t count, dim;
    const float *query; /* [count + KERNEL_ROWS_SPARE][dim], by store_query, scaled already */
    float *out;         /* [count][dim]; zero at first. out / sum is the result */
    float *max, *sum;   /* [count] each; -INFINITY and 0 at first */
    const uint8_t *from,
        *to;        /* [count] each: a row sees positions [from, to) of the page, not none */
    float *scores;  /* scratch: [count + KERNEL_ROWS_SPARE][KERNEL_PAGE] */
    float *scratch; /* [KERNEL_PAGE][KERNEL_CHUNK] */
    /* The page that is attended to next, or NULL: a kind may fetch it meanwhile. */
    const uint16_t *next_keys, *next_values;
};

/* Halves of a head's keys in a page, and of its values. */
static inline size_t kernel_page_halves(uint32_t dim)
{
    return (size_t)dim * KERNEL_PAGE;
}

/* ---- The functions of one kind of CPU ---- */

/* The format of keys and values; with bfloat16 queries are rounded too, or weights of attention. */
enum kernel_cache { KERNEL_CACHE_HALF, KERNEL_CACHE_BF16 };

/* The end of an encoder's sublayer: its residual is normalised with what the sublayer adds. */
struct kernel_layer_norm {
    const float *added;         /* [count]: the bias of what is added */
    const float *weight, *bias; /* [count] each */
    float epsilon;
};

enum kernel_gate { KERNEL_SILU, KERNEL_GELU }; /* gelu: the tanh form */

/* The setup of a thread's registers before kernel_enter. */
struct kernel_before {
    uint8_t bytes[64];
};

struct kernel_ops {
    const char *name;
    struct kernel_layout layout;
    enum kernel_cache cache;
    bool (*runs_here)(void);
    /* Sets up the thread for the functions below, and back again; NULL: there is nothing to set up. */
    void (*enter)(struct kernel_before *before);
    void (*leave)(const struct kernel_before *before);
    /* Quantises x [groups][KERNEL_GROUP], times a factor; the first is group to->first of the row. */
    void (*quantise)(const float *x, float factor, uint32_t groups, const struct kernel_place *to);
    /* KERNEL_TILE outputs of the rows first .. first + count - 1 of x; first begins a block. */
    void (*product)(const struct kernel_weights *w, uint32_t tile, const struct kernel_rows *x,
                    uint32_t first, uint32_t count, struct kernel_outputs out);
    /* out = x * weight / sqrt(mean of squares + epsilon); all [count], a multiple of 16. */
    void (*norm)(const float *x, const float *weight, uint32_t count, float epsilon, float *out);
    /* gate = activation(gate) * up; both [count], a multiple of 16. */
    void (*gate)(enum kernel_gate kind, float *gate, const float *up, uint32_t count);
    /* y = x + update + added; x = (y - mean of y) / sqrt(variance of y + epsilon) * weight + bias. All
     * [count], a multiple of 16. */
    void (*layer_norm)(float *x, const float *update, const struct kernel_layer_norm *n,
                       uint32_t count);
    /* x = y / 2 * (1 + erf(y / sqrt(2))), y = x + bias; both [count], a multiple of 16. */
    void (*gelu)(float *x, const float *bias, uint32_t count);
    /* x += y; both [count], a multiple of 16. */
    void (*add)(float *x, const float *y, uint32_t count);
    /* RoPE of a head x [dim], times scale: rotates each pair (x[i], x[i + dim / 2]) by the angle whose
     * cosine is rope[i] and whose sine is rope[i + dim / 2]. */
    void (*rope)(float *x, const float *rope, uint32_t dim, float scale);
    /* Puts x [dim] into the form in which attention reads it, which takes as many bytes. */
    void (*store_query)(const float *x, uint32_t dim, float *query);
    /* Puts x [dim] into a page, at a position of it. */
    void (*store_key)(const float *x, uint32_t dim, uint32_t position, uint16_t *keys);
    void (*store_value)(const float *x, uint32_t dim, uint32_t position, uint16_t *values);
    void (*attend)(const struct kernel_attention *a, const uint16_t *keys, const uint16_t *values);
    /* For logits [count]: the index of the largest (of equal ones the first; 0 when none is a number),
     * and the natural logarithm of the sum of exp(logit). */
    void (*sum_up)(const float *logits, uint32_t count, uint32_t *largest, float *log_sum);
};

/* The kinds that this program has, best first; the last is portable. NULL beyond the last. */
const struct kernel_ops *kernel_at(uint32_t i);
/* The best kind that runs on this machine; small: the best of those with one byte a weight. */
const struct kernel_ops *kernel_best(bool small);

static inline void kernel_enter(const struct kernel_ops *k, struct kernel_before *before)
{
    if (k->enter)
        k->enter(before);
}

static inline void kernel_leave(const struct kernel_ops *k, const struct kernel_before *before)
{
    if (k->leave)
        k->leave(before);
}

#endif
