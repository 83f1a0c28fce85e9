/* runtime_size.h -- what an embedded runtime takes of the machine: threads and cache.
 *
 * Why: weights must leave room for the rest; one request must fit whole into the cache, and beyond that a usual one in each sequence, unless
 * the configuration says how much memory there is.
 *
 * Errors:  INVALID_ARGUMENT when the wishes contradict the model or each other.
 * Threads: none.
 */
#ifndef TRANCHE_PREDICT_LOCAL_RUNTIME_SIZE_H
#define TRANCHE_PREDICT_LOCAL_RUNTIME_SIZE_H

#include "predict/local/runtime.h"

struct cache_facts {
    uint32_t trained;      /* tokens of context that the model was trained for */
    uint64_t cell_bytes;   /* keys and values of one token; 0: not known */
    uint32_t multiple;     /* cells come in multiples of this */
    uint32_t per_sequence; /* cells for a usual request */
};

/* Sets info's cells and context_max. */
int runtime_size_cache(const struct cache_facts *facts, const struct runtime_wish *w,
                       struct runtime_info *info, struct error *e) FALLIBLE;
/* Are a file's weights too many for two bytes each? By the machine's memory, and not by what is free of
 * it, so that a model is always computed alike. */
bool runtime_size_is_large(uint64_t file_bytes, uint64_t machine_bytes);
uint64_t runtime_size_machine(void); /* bytes of memory */
/* The wish, or all cores. */
uint32_t runtime_size_threads(const struct runtime_wish *w);

#endif
