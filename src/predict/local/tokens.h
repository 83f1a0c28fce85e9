/* tokens.h -- tokens with a score, and growing lists of tokens.
 *
 * Why: prompts, their answers and the prefixes in the cache are all such lists.
 *
 * Threads: none; a list belongs to its owner.
 */
#ifndef TRANCHE_PREDICT_LOCAL_TOKENS_H
#define TRANCHE_PREDICT_LOCAL_TOKENS_H

#include <stdint.h>

struct scored {
    int32_t token;
    float logit;
};

struct tokens {
    int32_t *item; /* owned */
    uint32_t count, cap;
};

/* Room for more beyond count; gives where the next is written. The caller raises count itself. */
int32_t *tokens_reserve(struct tokens *t, uint32_t more);
void tokens_add(struct tokens *t, int32_t token);
void tokens_append(struct tokens *t, const int32_t *token, uint32_t count);
void tokens_release(struct tokens *t); /* frees; the list is then empty and usable */

/* How many tokens a and b have in common at the start. */
uint32_t tokens_common(const int32_t *a, uint32_t a_count, const int32_t *b, uint32_t b_count);

#endif
