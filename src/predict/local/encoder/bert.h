/* bert.h -- the weights and the shape of an encoder like BERT, read from a GGUF file.
 *
 * Covers:  architecture "bert" with a WordPiece vocabulary, heads of a multiple of 32 numbers, and the mean
 *          or the first token's vector as the text's: MiniLM, BGE, E5, GTE and others.
 * Errors:  UNIMPLEMENTED for a model that it does not cover (the message says why), others for a
 *          damaged file.
 * Threads: read only once open.
 * Source:  Devlin et al., arXiv:1810.04805; src/models/bert.cpp of llama.cpp.
 */
#ifndef TRANCHE_PREDICT_LOCAL_ENCODER_BERT_H
#define TRANCHE_PREDICT_LOCAL_ENCODER_BERT_H

#include <stdbool.h>
#include <stdint.h>

#include <ggml.h>

#include "base/error.h"
#include "kernel/kernel.h"
#include "predict/local/encoder/wordpiece.h"

struct bert_shape {
    uint32_t layers, width, hidden, heads, dim, positions, vocab;
    bool first_token; /* pools the first token's vector, not the mean */
    float norm_epsilon;
};

/* A matrix is [outputs][columns], its bias [outputs]. */
struct bert_layer {
    struct kernel_weights qkv; /* [3 * width][width]: queries (times 1 / sqrt(dim)), keys, values */
    struct kernel_weights attention_out; /* [width][width] */
    struct kernel_weights up;            /* [hidden][width] */
    struct kernel_weights down;          /* [width][hidden] */
    float *qkv_bias, *out_bias, *up_bias, *down_bias;
    float *attention_norm, *attention_norm_bias; /* [width] */
    float *norm, *norm_bias;                     /* [width]: of the layer's end */
};

/* Columns of the residual stand in order of their usual size, so that a group of columns that share a scale
 * are alike and lose less by rounding: column i is the file's column order[i]. */
struct bert {
    struct bert_shape shape;
    uint32_t *order; /* [width] */
    struct wordpiece *vocabulary;
    uint8_t *embedding; /* [vocab] rows of embedding_bytes, as the file has them */
    size_t embedding_bytes;
    enum ggml_type embedding_type;
    float *position; /* [positions][width]: the first token type's vector is added already */
    float *norm, *norm_bias;  /* [width]: of the embedding */
    float *zero;              /* [width]: the bias of what has none */
    struct bert_layer *layer; /* [layers] */
    uint64_t bytes;           /* of all weights */
};

struct bert *bert_open(const char *path, enum kernel_format format, struct error *e);
void bert_free(struct bert *b); /* accepts NULL */

#endif
