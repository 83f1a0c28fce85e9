/* encoder_native.h -- encoders like BERT by tranche's own kernels.
 *
 * Errors:  UNIMPLEMENTED for a model that bert.h does not cover.
 * Threads: as encoder.h says.
 */
#ifndef TRANCHE_PREDICT_LOCAL_ENCODER_ENCODER_NATIVE_H
#define TRANCHE_PREDICT_LOCAL_ENCODER_ENCODER_NATIVE_H

#include "predict/local/encoder/encoder.h"

struct encoder *encoder_native_open(const struct model *m, struct error *e);

#endif
