/* forward_inner.h -- what the files of the forward share; forward.c says what is computed.
 *
 * Shape:   forward.c has the memory, the layers and the steps that are rows by themselves; forward_product.c products with
 *          weights and adapters; forward_attention.c queries, keys, values and attention.
 * Threads: each member of the team runs the same phases; a function that computes a phase ends at the team's barrier.
 */
#ifndef TRANCHE_PREDICT_LOCAL_NATIVE_FORWARD_INNER_H
#define TRANCHE_PREDICT_LOCAL_NATIVE_FORWARD_INNER_H

#include "predict/local/native/forward.h"

/* Rows of a product between two looks at its outputs. */
#define TOGETHER_ROWS 96 /* whole blocks of every kind */
#define NOWHERE UINT32_MAX

/* Memory of one member of the team. */
struct scratch {
    float *row;           /* [width] */
    float *gate, *up;     /* [TOGETHER_ROWS][KERNEL_TILE] */
    float *change;        /* [TOGETHER_ROWS][KERNEL_TILE]: of an adapter */
    float *query;         /* [attend_rows + KERNEL_ROWS_SPARE][dim] */
    float *attended;      /* [attend_rows][dim] */
    float *max, *sum;     /* [attend_rows] */
    uint8_t *from, *to;   /* [attend_rows] */
    float *scores, *page; /* [attend_rows + KERNEL_ROWS_SPARE][KERNEL_PAGE], for the kernel */
};

/* Rows of one adapter. */
struct lora_group {
    const struct lora *lora;
    uint32_t first, count;
};

/* Rows that go through a part of a layer: all, or those that want logits. */
struct selection {
    uint32_t *row; /* [count]: their indices in the batch, ascending */
    uint32_t count;
    struct lora_group *group; /* [group_count]: those that have an adapter, ascending */
    uint32_t group_count;
};

struct forward {
    struct forward_setup setup;
    uint32_t group;           /* heads of queries for one head of keys */
    uint32_t attend_together; /* rows of the batch that attend together */
    uint32_t attend_rows;     /* their rows of queries: attend_together * group */
    struct scratch *scratch;  /* [members] */
    struct selection all, wanted;
    struct runtime_row *row; /* [rows_max], all.count of them: the batch, in order of adapters */
    float *residual;         /* [rows_max][width] */
    float *qkv;              /* [rows_max][(heads + 2 * kv_heads) * dim]: queries, keys, values */
    float *update;           /* [rows_max][width]: what is normalised before the residual gets it */
    struct kernel_rows normed;      /* [rows_max or logits_max][width] */
    struct kernel_rows attended;    /* [rows_max][heads * dim] */
    struct kernel_rows hidden;      /* [rows_max][hidden] */
    struct kernel_rows lowered;     /* [rows_max][LORA_TOGETHER * LORA_RANK_MAX] */
    float *logits;                  /* [logits_max][logits_stride] */
    size_t logits_stride;           /* vocab, and padding to whole tiles */
    struct logits_summary *summary; /* [logits_max] */
    uint32_t *logits_of; /* [rows_max]: of each row as it came: its row of logits, or NOWHERE */
};

/* A forward as one member of the team sees it. */
struct member {
    struct forward *f;
    const struct decoder_shape *s;
    const struct kernel_ops *k;
    const struct team_member *team;
    struct scratch *w;
};

static inline uint32_t qkv_width(const struct decoder_shape *s)
{
    return (s->heads + 2 * s->kv_heads) * s->dim;
}

/* That number of rows, rounded up to whole blocks of the kernel. */
static inline uint32_t forward_blocks(const struct member *m, uint32_t rows)
{
    const uint32_t block = m->k->layout.block;

    return (rows + block - 1) / block * block;
}

/* The next few of `count` rows that this member works on alone. */
bool forward_take_rows(const struct member *m, uint32_t count, uint32_t *first, uint32_t *end);

/* ---- Products ---- */

/* Rows times a matrix, into `out`; or, with `up`, rows times two matrices, into `hidden`. */
struct product {
    const struct kernel_weights *w;  /* [outputs][columns]; the gate projection if `up` is there */
    const struct kernel_weights *up; /* [outputs][columns]: the up projection, or NULL */
    const struct kernel_rows *rows;  /* [count][columns] */
    const struct selection *of;      /* the rows' */
    float *out;                      /* [count][stride] */
    size_t stride;
    bool adds;            /* to what is there */
    uint32_t layer, part; /* of the adapters' changes: from `part` on, */
    uint32_t parts;       /* that many, of which each has its tiles */
};
void forward_product(const struct member *m, const struct product *job);
/* A product that is added to the residual or, if a norm comes between, kept as the update. */
void forward_update(const struct member *m, struct product job, bool normed);

/* ---- Attention ---- */

/* Norms and RoPE of a layer's queries and keys; keys and values go into the cache. */
void forward_store_keys(const struct member *m, uint32_t layer);
/* Makes `attended` of the selected rows. */
void forward_attend(const struct member *m, uint32_t layer, const struct selection *of);

#endif
