/* plan.h -- how many sequences compute at once, and how their rows are packed.
 *
 * Why: too few sequences leave the product kernels half empty, too many make every row look at the
 * cells of all others; and a forward of up to 63 rows computes attention row by row over the row's own
 * cells, a larger one in tiles of 64 rows over all cells that any of them sees. So answers' tokens go
 * apart from prompts, in one forward of at most PLAN_SEQUENCES_MAX rows.
 *
 * Threads: none.
 * Source:  measured with bench/engine; docs/performance.md has the figures.
 */
#ifndef TRANCHE_PREDICT_PLAN_H
#define TRANCHE_PREDICT_PLAN_H

#include "predict/batcher.h"

#define PLAN_SEQUENCES_MAX 63

/* The plan for a model's entry in the configuration, which may set the number of sequences. */
int plan_for(const struct model *m, struct batcher_plan *out, struct error *e) FALLIBLE;

#endif
