/* masker.h -- masks of sampled answers, computed beside the forward.
 *
 * Why: the tokens that may come next are known before the logits are, and a machine that has a core to
 * spare finds them while the model computes.
 *
 * Use:     masker_add each follower, masker_start, the forward, masker_wait: then follower_mask of each
 *          has its mask already, unless it was left out. The owner touches no added follower between start and wait.
 * Errors:  none here; follower_mask reports again what failed.
 * Threads: one owner, the batcher, and one thread that the first masker_add starts. Without that thread
 *          the owner computes all of them in masker_wait.
 */
#ifndef TRANCHE_PREDICT_LOCAL_MASKER_H
#define TRANCHE_PREDICT_LOCAL_MASKER_H

#include "predict/local/follower.h"

struct masker;
struct masker *masker_new(void);
void masker_free(struct masker *m); /* accepts NULL */
void masker_add(struct masker *m, struct follower *f);
void masker_start(struct masker *m);
/* Computes with the thread what it has not begun, for at most so much processor time, and waits for what the thread
 * has begun. The rest is left out. */
void masker_wait(struct masker *m, uint64_t most_ns);

#endif
