/* plan.h -- how many sequences compute at once, and how their rows are packed.
 *
 * Why: too few sequences leave the product kernels half empty, too many make the cache that every row
 * looks over longer. ggml computes attention row by row over the row's own cells in a forward of up to
 * 63 rows, and in tiles of 64 rows over all cells that any of them sees in a larger one; so answers'
 * tokens go apart from prompts, in one forward of at most PLAN_SEQUENCES_MAX rows. On two cores with
 * AVX2 the choices measured lie within 10 % of each other.
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
