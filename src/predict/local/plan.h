/* plan.h -- how much of the machine a runtime takes: sequences, rows, threads and cache.
 *
 * Why: too few sequences leave the product kernels half empty. The native runtime gains by every row
 *      until some hundreds, because attention touches a row's own positions only. In libllama more
 *      sequences lengthen the cache that every row looks over: it computes attention row by row over
 *      the row's own cells in a forward of up to 63 rows, and in tiles of 64 rows over all cells that
 *      any of them sees in a larger one. So answers' tokens go apart from prompts there, in one forward
 *      of at most PLAN_PLAIN_SEQUENCES_MAX rows.
 *      The cache must hold one whole request, and beyond that a usual request in each sequence, unless
 *      the configuration limits its memory. Weights must leave room for the rest.
 *
 * Errors:  INVALID_ARGUMENT when the settings contradict the model or each other.
 * Threads: none.
 * Source:  measured with bench/engine; docs/engine.md and docs/performance.md have the figures.
 */
#ifndef TRANCHE_PREDICT_LOCAL_PLAN_H
#define TRANCHE_PREDICT_LOCAL_PLAN_H

#include "predict/local/runtime.h"

#define PLAN_SEQUENCES_MAX (RUNTIME_SEQUENCES_MAX - RUNTIME_SEQUENCES_KEPT)
#define PLAN_PLAIN_SEQUENCES_MAX 63

/* The rules by which the batcher puts rows together. */
struct touch_page;
struct batcher_plan {
    uint32_t sequences;       /* computing at once */
    uint32_t rows_max;        /* of one forward */
    bool decode_apart;        /* tokens of answers are computed apart from prompts */
    uint64_t follow_ns;       /* processor time of a round for constraints; 0: BATCHER_FOLLOW_NS */
    struct touch_page *touch; /* NULL: nobody asks which requests a step touches */
};

/* The plan for a model's entry in the configuration, which may set the number of sequences, on the
 * native runtime or (plain) on libllama. */
int plan_for(const struct model *m, bool plain, struct batcher_plan *out, struct error *e) FALLIBLE;

/* ---- For the runtimes ---- */

struct cache_facts {
    uint32_t trained;      /* tokens of context that the model was trained for */
    uint64_t cell_bytes;   /* keys and values of one token; 0: not known */
    uint32_t multiple;     /* cells come in multiples of this */
    uint32_t per_sequence; /* cells for a usual request */
};

/* Sets info's cells and context_max. */
int plan_cache(const struct cache_facts *facts, const struct runtime_settings *s,
               struct runtime_info *info, struct error *e) FALLIBLE;
/* True when a file's weights are too many for two bytes each. The machine's memory decides, not what is
 * free of it, so that a model is always computed alike. */
bool plan_is_large(uint64_t file_bytes, uint64_t machine_bytes);
uint64_t plan_machine_bytes(void); /* bytes of memory */
/* As set, or all cores. */
uint32_t plan_threads(const struct runtime_settings *s);

#endif
