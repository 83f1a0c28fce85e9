/* sampler.h -- choose the next token from a row of logits.
 *
 * Why: sampling is ours, so that every runtime gives the same tokens for the same logits and seed.
 *
 * Order:   penalties of what was generated so far; then, unless greedy, the topK likeliest, of these
 *          the fewest whose probabilities sum to topP, of these one by temperature.
 *          Greedy (temperature 0 or topK 1) is the likeliest token; of equal ones the lowest id.
 * Seed:    the same seed and logits choose the same tokens; each choice takes one number.
 * Threads: none; a sampler belongs to one answer.
 * Source:  Vertex AI REST reference, GenerationConfig; docs/reference/generation.md.
 */
#ifndef TRANCHE_PREDICT_LOCAL_SAMPLER_H
#define TRANCHE_PREDICT_LOCAL_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

#include "predict/local/tokens.h"

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
    uint32_t seen_count, seen_cap;
    struct scored *pick; /* room for the top_k likeliest */
    uint32_t pick_cap;
};

void sampler_init(struct sampler *s, const struct sampling *how);
void sampler_release(struct sampler *s);

/* Whether sampler_penalise would change any logit. */
bool sampler_penalises(const struct sampler *s);
void sampler_penalise(const struct sampler *s, float *logits, uint32_t vocab);
/* Whether the largest logit is chosen whatever the others are. */
bool sampler_takes_largest(const struct sampler *s);
/* The next token. Logits of -INFINITY are never chosen while another is there. */
int32_t sampler_choose(struct sampler *s, const float *logits, uint32_t vocab);
/* The same when only these may come, at least one, the likeliest first. */
int32_t sampler_choose_among(struct sampler *s, const struct scored *c, uint32_t count);
/* Counts a token that was generated. */
void sampler_accept(struct sampler *s, int32_t token);

#endif
