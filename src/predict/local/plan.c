#include "predict/local/plan.h"

#include <unistd.h>

/* Requests of some tens of own tokens and answers as short come to five rows for each sequence in a
 * forward: as many sequences fill ROWS_MAX. */
#define SEQUENCES 96
#define ROWS_MAX 512

/* Plain: the best of 8 to 32 on two cores, by little. More cores are taken to want more rows; that is
 * a rule, not a measurement. */
#define PLAIN_SEQUENCES_MIN 16
#define PLAIN_SEQUENCES_PER_CORE 2
/* Prompts gain nothing from larger forwards, and a short prompt waits less for the next one. */
#define PLAIN_ROWS_MAX 256

#define CONTEXT_DEFAULT_MAX 8192 /* tokens of a request, when the model allows more */
#define BYTES_PER_MIB ((uint64_t)1024 * 1024)

/* The densest usual format has half a byte for a weight: two bytes are four times the file. */
#define LARGE_TIMES 4
#define LARGE_PART 2 /* half of the machine's memory is too much */

/* As set, or all of the machine's. */
static uint32_t core_count(uint32_t threads)
{
    long cores = threads ? (long)threads : sysconf(_SC_NPROCESSORS_ONLN);

    return cores > 0 ? (uint32_t)cores : 1;
}

static uint32_t plain_sequences(uint32_t cores)
{
    uint64_t count = (uint64_t)cores * PLAIN_SEQUENCES_PER_CORE;

    if (count < PLAIN_SEQUENCES_MIN)
        return PLAIN_SEQUENCES_MIN;
    return count > PLAN_PLAIN_SEQUENCES_MAX ? PLAN_PLAIN_SEQUENCES_MAX : (uint32_t)count;
}

int plan_for(const struct model *m, bool plain, struct batcher_plan *out, struct error *e)
{
    const uint32_t most = plain ? PLAN_PLAIN_SEQUENCES_MAX : PLAN_SEQUENCES_MAX;
    const uint32_t usual = plain ? plain_sequences(core_count(m->threads)) : SEQUENCES;

    if (m->sequences > most)
        return error_set(e, ERROR_INVALID_ARGUMENT, "model %s: sequences is %u, the maximum is %u",
                         m->pattern, m->sequences, most);
    *out = (struct batcher_plan){
        .sequences = m->sequences ? m->sequences : usual,
        .rows_max = plain ? PLAIN_ROWS_MAX : ROWS_MAX,
        .decode_apart = plain,
    };
    return 0;
}

/* ---- For the runtimes ---- */

uint32_t plan_threads(const struct runtime_settings *s)
{
    return core_count(s->threads);
}

static uint32_t round_up(uint64_t count, uint32_t multiple)
{
    uint64_t rounded = (count + multiple - 1) / multiple * multiple;

    return rounded > INT32_MAX / 2 ? INT32_MAX / 2 : (uint32_t)rounded;
}

int plan_cache(const struct cache_facts *facts, const struct runtime_settings *s,
               struct runtime_info *info, struct error *e)
{
    uint32_t usual = facts->trained < CONTEXT_DEFAULT_MAX ? facts->trained : CONTEXT_DEFAULT_MAX;
    uint32_t context = s->context ? s->context : usual;
    uint64_t cells = (uint64_t)s->sequences * facts->per_sequence;

    if (context > facts->trained)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "context %u: the model was trained for %u tokens", context,
                         facts->trained);
    if (s->cache_mib && facts->cell_bytes)
        cells = s->cache_mib * BYTES_PER_MIB / facts->cell_bytes;
    if (s->cache_mib && cells < context) {
        if (s->context)
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "cache_mib %u holds %llu tokens, less than the context of %u",
                             s->cache_mib, (unsigned long long)cells, context);
        context = (uint32_t)cells;
    }
    info->cells = round_up(cells > context ? cells : context, facts->multiple);
    info->context_max = context;
    return 0;
}

bool plan_is_large(uint64_t file_bytes, uint64_t machine_bytes)
{
    return file_bytes > machine_bytes / LARGE_PART / LARGE_TIMES;
}

uint64_t plan_machine_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);

    return pages > 0 && bytes > 0 ? (uint64_t)pages * (uint64_t)bytes : 0;
}
