/* decoder.h -- the weights and the shape of a decoder, read from a GGUF file.
 *
 * Why: the common decoders differ in little: how positions turn heads, which norms and biases there
 * are, the gate's activation, which layers look back only so far. All that is data here, so that one
 * forward (forward.h) computes them all.
 *
 * Covers:  Llama (SmolLM2, Mistral), Qwen 2 and 2.5, Qwen 3, Gemma 3, in every weight format that ggml
 *          can read: Q8_0 and Q4_0 as they are, others as int8 by groups of 32.
 * Errors:  UNIMPLEMENTED for what it does not cover (the message says what), others for a file that
 *          is damaged.
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
    uint32_t layers, width, heads, kv_heads, dim; /* dim: of a head */
    uint32_t hidden;                              /* between gate and down */
    uint32_t vocab, positions;
    uint32_t window; /* positions that a windowed layer sees; 0: there is none */
    float norm_epsilon;
    float query_scale; /* of scores */
    float embedding_scale;
    float turn_base, turn_scale; /* of full layers */
    float window_turn_base;
    enum kernel_gate gate;
    bool turns_neighbours; /* in the file a head's pairs are (0, 1), (2, 3) ..., not halves */
};

struct decoder_layer {
    bool windowed;
    float *attention_norm, *hidden_norm;   /* width */
    float *query_norm, *key_norm;          /* dim; NULL: none */
    float *attention_after, *hidden_after; /* norms of what is added to the row; NULL: none */
    float *bias;                           /* of queries, keys and values; NULL: none */
    struct kernel_weights in;              /* queries, keys, values */
    struct kernel_weights out, gate, up, down;
};

struct decoder {
    struct decoder_shape shape;
    struct decoder_layer *layer;
    struct kernel_weights embedding, output; /* output.packed NULL: the embedding serves */
    float *output_norm;
    float *turns;         /* positions rows of dim: cosines, then sines */
    float *window_turns;  /* the same for windowed layers; NULL: none */
    float *turn_divisors; /* dim / 2; NULL: all 1. For longer contexts than trained with */
    uint64_t bytes;       /* of all weights */
};

/* The weights are packed in the format of the kernel that will read them. */
struct decoder *decoder_open(const char *path, enum kernel_format format, struct error *e);
void decoder_free(struct decoder *d); /* accepts NULL */
/* Makes the tables of angles for so many positions. */
void decoder_turn(struct decoder *d, uint32_t positions);

static inline const struct kernel_weights *decoder_output(const struct decoder *d)
{
    return d->output.packed ? &d->output : &d->embedding;
}

#endif
