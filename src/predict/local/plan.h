/* plan.h -- how many sequences compute at once, and how their rows are packed.
 *
 * Why: too few sequences leave the product kernels half empty. The native runtime gains by every row
 * until some hundreds, because attention touches a row's own positions only. In libllama more
 * sequences make the cache that every row looks over longer: it computes attention row by row over
 * the row's own cells in a forward of up to 63 rows, and in tiles of 64 rows over all cells that any of
 * them sees in a larger one; so answers' tokens go apart from prompts there, in one forward of at most
 * PLAN_PLAIN_SEQUENCES_MAX rows.
 *
 * Threads: none.
 * Source:  measured with bench/engine; docs/engine.md and docs/performance.md have the figures.
 */
#ifndef TRANCHE_PREDICT_LOCAL_PLAN_H
#define TRANCHE_PREDICT_LOCAL_PLAN_H

#include "predict/local/batcher.h"

#define PLAN_SEQUENCES_MAX (RUNTIME_SEQUENCES_MAX - RUNTIME_SEQUENCES_KEPT)
#define PLAN_PLAIN_SEQUENCES_MAX 63

/* The plan for a model's entry in the configuration, which may set the number of sequences, on the
 * native runtime or (plain) on libllama. */
int plan_for(const struct model *m, bool plain, struct batcher_plan *out, struct error *e) FALLIBLE;

#endif
