/* prefix_cache.h -- the sequences of a runtime's cache: which compute, and which keep a prefix.
 *
 * Why: the tokens that one request computed of its prompt can be reused by the next. A finished
 *      request's prefix is kept while it is of use and goes, least recently used first, when its room
 *      is needed.
 *
 * Shape:   a sequence is free, taken (a run computes in it) or kept (it only holds a prefix).
 *          take -> computed ... -> give_back (which keeps a prefix, or none).
 * Threads: one owner, the runtime's.
 */
#ifndef TRANCHE_PREDICT_LOCAL_PREFIX_CACHE_H
#define TRANCHE_PREDICT_LOCAL_PREFIX_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "predict/local/prefix_tree.h"
#include "predict/local/runtime.h"

/* A shorter prefix is not worth a copy, a wait or a sequence. */
#define PREFIX_TOKENS_MIN 16

struct prefix_cache;
struct prefix_cache *prefix_cache_new(struct runtime *r);
void prefix_cache_free(struct prefix_cache *c); /* accepts NULL */

/* The longest computed beginning of the tokens. */
uint32_t prefix_cache_match(const struct prefix_cache *c, struct prefix p);
/* A sequence that begins with a copy of the longest computed beginning of the tokens, *reused long. A
 * kept prefix goes when no sequence is free. False when all are taken. */
bool prefix_cache_take(struct prefix_cache *c, struct prefix p, uint32_t *sequence,
                       uint32_t *reused);
/* The taken sequence has computed this much of the prompt: others may reuse it from now on. */
void prefix_cache_computed(struct prefix_cache *c, uint32_t sequence, struct prefix p);
/* Ends the use of a taken sequence. Its first `keep` tokens are kept, or as many as others have
 * shared with it if that is more, unless another sequence holds them anyway. */
void prefix_cache_give_back(struct prefix_cache *c, uint32_t sequence, uint32_t keep);
/* Drops the kept prefix that was used least recently; false when there is none. */
bool prefix_cache_evict(struct prefix_cache *c);

uint64_t prefix_cache_tokens(const struct prefix_cache *c); /* cells that prompts fill */

#endif
