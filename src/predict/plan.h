/* plan.h -- how many sequences compute at once, and how their rows are packed.
 *
 * Why: too few sequences leave the product kernels idle, too many make every row look at cells of
 * others; the best number depends on machine and model and is found by rule, or set.
 *
 * Threads: none.
 * Source:  docs/performance.md, "Sequences and batches".
 */
#ifndef TRANCHE_PREDICT_PLAN_H
#define TRANCHE_PREDICT_PLAN_H

#include "predict/batcher.h"

struct batcher_plan plan_for(const struct model *m);

#endif
