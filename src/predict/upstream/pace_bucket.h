/* pace_bucket.h -- a limit per minute that no sixty seconds exceed.
 *
 * Why: an API counts requests and tokens in any minute and refuses what exceeds its limit; a refusal
 * costs more than waiting.
 *
 * Shape:   a token bucket of `burst`, filled at (limit - burst) a minute: the burst and the filling of a
 *          minute together make the limit. The burst is a second's worth, or the largest single n.
 *          The limit may change (bucket_limit), when it is a part of a larger one that several processes share.
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
    double whole; /* the limit of all processes; the same while nobody shares it */
    double burst, level;
    double largest; /* single n so far */
    uint64_t at_ns; /* of level */
};
void bucket_init(struct bucket *b, uint64_t limit, uint64_t now_ns);
/* Another part of the whole limit from now on, more than 0. A smaller bucket loses what it does not hold, a larger one
 * begins with what is there; after a time without any part the bucket is empty. */
void bucket_limit(struct bucket *b, double limit, bool empty, uint64_t now_ns);
/* Can n be taken now? If not, *ready_ns is when. An n over the limit counts as the limit: it can be taken from a full
 * bucket. */
bool bucket_ready(struct bucket *b, double n, uint64_t now_ns, uint64_t *ready_ns);
/* Takes n, at most the whole limit; a negative n gives back. The level may go below 0: then the next request waits longer. */
void bucket_take(struct bucket *b, double n, uint64_t now_ns);

#endif
