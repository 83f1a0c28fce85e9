/* sampler.h -- choose the next token from a row of logits, and the arithmetic of such a row.
 *
 * Why: sampling is ours, so that every runtime gives the same tokens for the same logits and seed.
 *      Each generated token reads a whole row (tens of thousands of floats), so the loops over a row
 *      work on four floats at a time; everything else stays simple.
 *
 * Order:   penalties of what was generated so far; then, unless greedy, the topK likeliest, of these
 *          the fewest whose probabilities sum to topP, of these one by temperature.
 *          Greedy (temperature 0 or topK 1) is the likeliest token; of equal ones the lowest id.
 * Seed:    the same seed and logits choose the same tokens; each choice takes one random number.
 * Threads: none; a sampler belongs to one answer, and the functions over a row are pure.
 * Source:  Vertex AI REST reference, GenerationConfig; docs/reference/generation.md.
 */
#ifndef TRANCHE_PREDICT_LOCAL_SAMPLER_H
#define TRANCHE_PREDICT_LOCAL_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

#include "predict/local/tokens.h"

/* ---- A row of logits ---- */

/* The largest; of equal ones the lowest index. 0 when every logit is NaN or -INFINITY. */
uint32_t logits_argmax(const float *logits, uint32_t count);
/* ln of the sum of exp(logit): logit - this is the natural logarithm of a probability. */
float logits_log_sum(const float *logits, uint32_t count);
struct scored {
    int32_t token;
    float logit;
    double weight; /* scratch of a choice */
};
/* The `want` largest, largest first, of equal ones the lowest index first. Gives how many there are:
 * want or count. */
uint32_t logits_top(const float *logits, uint32_t count, uint32_t want, struct scored *out);

/* ---- A choice ---- */

#define SAMPLING_TEMPERATURE_DEFAULT 1.0f
#define SAMPLING_TOP_P_DEFAULT 0.95f
#define SAMPLING_TOP_K_DEFAULT 64

struct sampling {
    float temperature;         /* 0: greedy */
    float top_p;               /* above 0 to 1 */
    uint32_t top_k;            /* 0: all */
    float presence, frequency; /* subtracted from the logits of generated tokens */
    uint64_t seed;
};

struct sampler {
    struct sampling how;
    uint64_t state;    /* of the random numbers */
    struct seen *seen; /* tokens generated so far and how often, when there are penalties */
    uint32_t seen_count;
    struct scored *pick; /* scratch: the tokens among which is chosen */
    uint32_t pick_cap;
};

void sampler_init(struct sampler *s, const struct sampling *how);
void sampler_release(struct sampler *s);

/* True when sampler_penalise would change a logit. */
bool sampler_penalises(const struct sampler *s);
void sampler_penalise(const struct sampler *s, float *logits, uint32_t vocab);
/* True when the largest logit is chosen whatever the others are. */
bool sampler_takes_largest(const struct sampler *s);
/* The next token. Logits of -INFINITY are never chosen while another is there. */
int32_t sampler_choose(struct sampler *s, const float *logits, uint32_t vocab);
/* Counts a token that was generated. */
void sampler_accept(struct sampler *s, int32_t token);

#endif
