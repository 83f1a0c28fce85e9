/* pace_bucket.h -- a limit of so many a minute that no minute passes.
 *
 * Why: an API counts requests and tokens in any minute and refuses what is over; being refused costs
 * more than waiting. Whatever sixty seconds one looks at, no more than the limit was taken.
 *
 * Shape:   a token bucket of `burst`, filled at (limit - burst) a minute, so that burst and what is
 *          filled in a minute make the limit. The burst is a second's worth, or as much as the
 *          largest single taking.
 * Units:   requests or tokens; monotonic nanoseconds.
 * Threads: none; guarded by its owner.
 * Source:  J. Turner, "New directions in communications", IEEE Communications 24(10), 1986.
 */
#ifndef TRANCHE_PREDICT_UPSTREAM_PACE_BUCKET_H
#define TRANCHE_PREDICT_UPSTREAM_PACE_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct bucket {
    double limit; /* a minute; 0: none */
    double burst, level;
    uint64_t at_ns; /* of level */
};
void bucket_init(struct bucket *b, uint64_t limit, uint64_t now_ns);
/* Could n be taken now? If not, *ready_ns is when. More than the limit counts as the limit. */
bool bucket_ready(struct bucket *b, double n, uint64_t now_ns, uint64_t *ready_ns);
/* n were taken; a negative n gives back. May go below nothing: then the next waits longer. */
void bucket_take(struct bucket *b, double n, uint64_t now_ns);

#endif
