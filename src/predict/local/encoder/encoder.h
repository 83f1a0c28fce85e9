/* encoder.h -- a model that turns texts into vectors: its tokens in, one vector a text out.
 *
 * Why: the session (encoder_session.h) batches, answers and counts; who multiplies matrices can change.
 *      encoder_native computes BERT's family by our own kernels, encoder_llama the other encoders by libllama.
 *
 * Shape:   a forward takes `count` texts, together at most info.rows_max tokens, and writes a vector
 *          [dimensions] of length 1 for each.
 * Errors:  INTERNAL from forward: the encoder is broken and only close may follow.
 * Threads: one thread owns an encoder; info and tokenize are also safe from others, as they only read.
 */
#ifndef TRANCHE_PREDICT_LOCAL_ENCODER_ENCODER_H
#define TRANCHE_PREDICT_LOCAL_ENCODER_ENCODER_H

#include <stdint.h>

#include "base/error.h"
#include "predict/local/tokens.h"
#include "predict/model.h"

struct encoder_info {
    uint32_t dimensions;
    uint32_t tokens_max; /* of a text, both ends included */
    uint32_t rows_max;   /* tokens of one forward, and */
    uint32_t texts_max;  /* its texts */
    uint64_t memory_bytes;
    char name[96]; /* of the model, from its file: "all-minilm-l6-v2" */
};

/* The tokens of a text, at most tokens_max. */
struct encoder_text {
    const int32_t *token;
    uint32_t count;
};

struct encoder;
struct encoder_ops {
    const char *name;
    void (*info)(const struct encoder *c, struct encoder_info *out);
    /* All tokens of a text, both ends included. Two mean that the text has nothing to read. */
    int (*tokenize)(const struct encoder *c, struct str text, struct tokens *out,
                    struct error *e) FALLIBLE;
    int (*forward)(struct encoder *c, const struct encoder_text *text, uint32_t count, float *out,
                   struct error *e) FALLIBLE;
    void (*close)(struct encoder *c);
};
struct encoder {
    const struct encoder_ops *ops;
};

/* Makes the length 1; a vector of zeros, or with anything but numbers in it, becomes zeros. */
void encoder_normalise(float *vector, uint32_t count);
/* The file's name without folder and ".gguf". */
void encoder_name(const char *path, char *name, size_t cap);
/* True when the file's architecture is an encoder's. */
bool encoder_is_one(const char *path);

#endif
