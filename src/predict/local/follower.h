/* follower.h -- one answer on its way through its constraint.
 *
 * Why: at each token the sampler must know what may come next, and where only one text may come, its
 * tokens are appended without asking the model.
 *
 * Forced:  the tokenizer's own tokens of the bytes that must follow, less those at the end that a longer
 *          token could still absorb. They are the answer's tokens whether they are appended at once or
 *          fed one at a time.
 * Names:   an object's names never repeat, which the grammar alone cannot say: a token is not allowed when
 *          it completes a name that is there, or when every name that can follow it is there.
 * Memory:  a matcher of llguidance keeps states of each place that it has looked at, up to
 *          CONSTRAINT_LEXER_STATES. When they are used up it is replaced by a new one, which takes the
 *          answer's tokens again. So a long answer ends with an error only when its own tokens need as many.
 * Errors:  INVALID_ARGUMENT when following takes more steps than the limits of constraint.h allow, or
 *          when nothing may come; the answer ends with it.
 * Threads: one owner, the batcher.
 */
#ifndef TRANCHE_PREDICT_LOCAL_FOLLOWER_H
#define TRANCHE_PREDICT_LOCAL_FOLLOWER_H

#include "predict/local/constraint.h"

struct follower;
/* At the beginning of an answer. Takes no reference: the constraint must live longer. */
struct follower *follower_new(struct constraint *k);
void follower_free(struct follower *f); /* accepts NULL */

/* True when this token may come next; an end token may where the answer may end. */
bool follower_allows(struct follower *f, int32_t token);
/* The set of tokens that may come next, a bit each; valid until the next call. NULL with the error. A
 * token of the set can still complete a name that is there: ask follower_allows of the chosen one. */
const uint32_t *follower_mask(struct follower *f, struct error *e);
int follower_accept(struct follower *f, int32_t token, struct error *e) FALLIBLE;
/* Takes a text that was generated already, whatever tokens it came in. */
int follower_take(struct follower *f, struct str text, struct error *e) FALLIBLE;
/* The tokens that must come next, at most cap of them. They are not accepted yet. */
uint32_t follower_forced(struct follower *f, int32_t *out, uint32_t cap);
bool follower_complete(struct follower *f); /* nothing can follow but the end */

#endif
