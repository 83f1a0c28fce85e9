#include "predict/local/runtime_size.h"

#include <unistd.h>

#define CONTEXT_DEFAULT_MAX 8192 /* tokens of a request, when the model allows more */
#define BYTES_PER_MIB ((uint64_t)1024 * 1024)

static uint32_t round_up(uint64_t count, uint32_t multiple)
{
    uint64_t rounded = (count + multiple - 1) / multiple * multiple;

    return rounded > INT32_MAX / 2 ? INT32_MAX / 2 : (uint32_t)rounded;
}

int runtime_size_cache(const struct cache_facts *facts, const struct runtime_wish *w,
                       struct runtime_info *info, struct error *e)
{
    uint32_t usual = facts->trained < CONTEXT_DEFAULT_MAX ? facts->trained : CONTEXT_DEFAULT_MAX;
    uint32_t context = w->context ? w->context : usual;
    uint64_t cells = (uint64_t)w->sequences * facts->per_sequence;

    if (context > facts->trained)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "context %u: the model was trained for %u tokens", context,
                         facts->trained);
    if (w->cache_mib && facts->cell_bytes)
        cells = w->cache_mib * BYTES_PER_MIB / facts->cell_bytes;
    if (w->cache_mib && cells < context) {
        if (w->context)
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "cache_mib %u holds %llu tokens, less than the context of %u",
                             w->cache_mib, (unsigned long long)cells, context);
        context = (uint32_t)cells;
    }
    info->cells = round_up(cells > context ? cells : context, facts->multiple);
    info->context_max = context;
    return 0;
}

/* The densest usual format has half a byte for a weight: two bytes are four times the file. */
#define LARGE_TIMES 4
#define LARGE_PART 2 /* half of the machine's memory is too much */

bool runtime_size_is_large(uint64_t file_bytes, uint64_t machine_bytes)
{
    return file_bytes > machine_bytes / LARGE_PART / LARGE_TIMES;
}

uint64_t runtime_size_machine(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);

    return pages > 0 && bytes > 0 ? (uint64_t)pages * (uint64_t)bytes : 0;
}

uint32_t runtime_size_threads(const struct runtime_wish *w)
{
    long cores = w->threads ? (long)w->threads : sysconf(_SC_NPROCESSORS_ONLN);

    return cores > 0 ? (uint32_t)cores : 1;
}
