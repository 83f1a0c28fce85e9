/* encoder_session.h -- the predictor of a model that embeds, over whatever encoder computes.
 *
 * Why: a text is tokenized by the session's thread when it is submitted; one thread of the session's own, the engine
 *      thread, takes all texts that wait, as many as a forward holds, and computes their vectors.
 *
 * Out:     the answer to a request that embeds: values, tokenCount, and "truncated" of a text that was cut.
 * Errors:  INVALID_ARGUMENT for a text without a word, or over the model's tokens unless it may be cut;
 *          RESOURCE_EXHAUSTED when no thread can be started.
 * Threads: as predictor.h says of a session.
 * Owns:    the encoder, from the call on, even when it fails.
 */
#ifndef TRANCHE_PREDICT_LOCAL_ENCODER_ENCODER_SESSION_H
#define TRANCHE_PREDICT_LOCAL_ENCODER_ENCODER_SESSION_H

#include "predict/local/encoder/encoder.h"
#include "predict/predictor.h"

struct predictor *encoder_session_open(struct encoder *c, const struct predictor_env *env,
                                       struct error *e);

#endif
