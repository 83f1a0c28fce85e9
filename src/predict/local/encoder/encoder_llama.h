/* encoder_llama.h -- libllama as an encoder, for every model of it that makes embeddings.
 *
 * Errors:  FAILED_PRECONDITION for a file that is no such model; INVALID_ARGUMENT for settings.
 * Threads: as encoder.h says.
 */
#ifndef TRANCHE_PREDICT_LOCAL_ENCODER_ENCODER_LLAMA_H
#define TRANCHE_PREDICT_LOCAL_ENCODER_ENCODER_LLAMA_H

#include "predict/local/encoder/encoder.h"

struct encoder *encoder_llama_open(const struct model *m, struct error *e);

#endif
