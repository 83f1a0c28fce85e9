/* bert_forward.h -- the vectors of many texts by an encoder like BERT.
 *
 * Why: texts have nothing to do with each other, so each thread takes a block of them through all layers by
 *      itself: no barriers, and a block's rows stay in its second cache. Rows of texts lie one behind the
 *      other, so none is computed for padding.
 *
 * Promise: a text's vector depends on that text alone.
 * Threads: one owner calls bert_forward_compute; the team's members work inside it.
 */
#ifndef TRANCHE_PREDICT_LOCAL_ENCODER_BERT_FORWARD_H
#define TRANCHE_PREDICT_LOCAL_ENCODER_BERT_FORWARD_H

#include "predict/local/encoder/bert.h"
#include "predict/local/encoder/encoder.h"
#include "predict/local/native/team.h"

struct bert_forward;
struct bert_forward *bert_forward_new(const struct bert *b, const struct kernel_ops *k,
                                      struct team *team, uint32_t texts_max);
void bert_forward_free(struct bert_forward *f); /* accepts NULL */
uint64_t bert_forward_bytes(const struct bert_forward *f);
/* out: [count][width], each of length 1. */
void bert_forward_compute(struct bert_forward *f, const struct encoder_text *text, uint32_t count,
                          float *out);

#endif
