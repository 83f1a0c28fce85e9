/* logits.h -- the arithmetic of a row of logits: largest, likeliest few, normaliser.
 *
 * Why: each generated token reads a whole row (tens of thousands of floats), so these loops work on
 * four floats at a time; everything else about sampling stays simple.
 *
 * Threads: none; pure functions.
 */
#ifndef TRANCHE_PREDICT_LOCAL_LOGITS_H
#define TRANCHE_PREDICT_LOCAL_LOGITS_H

#include <stdint.h>

#include "predict/local/tokens.h"

/* The largest; of equal ones the lowest index. 0 when every logit is NaN or -INFINITY. */
uint32_t logits_argmax(const float *logits, uint32_t count);
/* ln of the sum of exp(logit): logit - this is the natural logarithm of a probability. */
float logits_log_sum(const float *logits, uint32_t count);
/* The `want` largest, largest first, of equal ones the lowest index first. Gives how many there are:
 * want or count. */
uint32_t logits_top(const float *logits, uint32_t count, uint32_t want, struct scored *out);

#endif
