/* decoder.h -- the weights and the shape of a decoder, read from a GGUF file.
 *
 * Why: the common decoders differ in little: their RoPE, the norms and biases that they have, the
 *      gate's activation, the layers that see a window of positions only. All that is data here, so
 *      that one forward (forward.h) computes them all.
 *
 * Covers:  Llama (SmolLM2, Mistral), Qwen 2 and 2.5, Qwen 3, Gemma 3, in every weight format that ggml
 *          can read: Q8_0 and Q4_0 as they are, others as int8 by groups of 32.
 * Errors:  UNIMPLEMENTED for a model that it does not cover (the message says why), others for a
 *          damaged file.
 * Threads: read only once open.
 * Source:  GGUF: ggml/docs/gguf.md of llama.cpp; the architectures: src/models/ of llama.cpp.
 */
#ifndef TRANCHE_PREDICT_LOCAL_NATIVE_DECODER_H
#define TRANCHE_PREDICT_LOCAL_NATIVE_DECODER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "kernel/kernel.h"

#define DECODER_LAYERS_MAX 512
#define DECODER_WIDTH_MAX 65536 /* of any row but the logits */
#define DECODER_VOCAB_MAX (1u << 22)
#define DECODER_POSITIONS_MAX (1u << 20)

struct decoder_shape {
    const char *architecture; /* "llama" */
    uint32_t layers, width, vocab;
    uint32_t heads, kv_heads, dim; /* heads of queries, of keys and of values; numbers of a head */
    uint32_t hidden;               /* between the gate and up projections and down */
    uint32_t positions;            /* that the model was trained for */
    uint32_t window;               /* positions that a windowed layer sees; 0: there is none */
    float norm_epsilon;
    float query_scale; /* of scores */
    float embedding_scale;
    float rope_base, rope_scale; /* of layers that are not windowed */
    float window_rope_base;
    enum kernel_gate gate;
    bool rope_interleaved; /* in the file a head's pairs are (0, 1), (2, 3) ..., not halves */
};

/* A matrix is [outputs][columns]. */
struct decoder_layer {
    bool windowed;
    float *attention_norm, *ffn_norm;           /* [width] */
    float *query_norm, *key_norm;               /* [dim]; NULL: none */
    float *attention_post_norm, *ffn_post_norm; /* [width]: of a sublayer's update; NULL: none */
    float *bias;                                /* [qkv.outputs]; NULL: none */
    struct kernel_weights qkv;                  /* [(heads + 2 * kv_heads) * dim][width] */
    struct kernel_weights attention_out;        /* [width][heads * dim] */
    struct kernel_weights gate, up;             /* [hidden][width] */
    struct kernel_weights down;                 /* [width][hidden] */
};

struct decoder {
    struct decoder_shape shape;
    struct decoder_layer *layer;     /* [layers] */
    struct kernel_weights embedding; /* [vocab][width] */
    struct kernel_weights output;    /* [vocab][width]; packed is NULL: the embedding serves */
    float *output_norm;              /* [width] */
    float *rope;                     /* [positions made][dim]: cosines, then sines */
    float *window_rope;              /* the same for windowed layers; NULL: none */
    float *rope_divisors;       /* [dim / 2]; NULL: all 1. For longer contexts than trained with */
    uint64_t bytes;             /* of all weights */
    struct weight_store *store; /* that has them, or NULL */
};

/* The weights are packed in the format of the kernel that will read them; unless store_fd is 0, into that memfd
 * (weight_store.h). */
struct decoder *decoder_open(const char *path, enum kernel_format format, int store_fd,
                             struct error *e);
/* Would decoder_open take the file? Looks at its head only; fails as decoder_open does. */
int decoder_covers(const char *path, struct error *e) FALLIBLE;
void decoder_free(struct decoder *d); /* accepts NULL */
/* Makes the tables of cosines and sines for `positions` positions. */
void decoder_make_rope(struct decoder *d, uint32_t positions);

static inline const struct kernel_weights *decoder_output(const struct decoder *d)
{
    return d->output.packed ? &d->output : &d->embedding;
}

#endif
