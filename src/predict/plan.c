#include "predict/plan.h"

#include <unistd.h>

/* The best of 8 to 32 on two cores, by little. More cores are taken to want more rows; that is a
 * rule, not a measurement. */
#define SEQUENCES_MIN 16
#define SEQUENCES_PER_CORE 2
/* Prompts gain nothing from larger forwards, and a short prompt waits less for the next one. */
#define ROWS_MAX 256

static uint32_t sequences_for(uint32_t threads)
{
    long cores = threads ? (long)threads : sysconf(_SC_NPROCESSORS_ONLN);
    long wanted = cores * SEQUENCES_PER_CORE;

    if (wanted < SEQUENCES_MIN)
        return SEQUENCES_MIN;
    return wanted > PLAN_SEQUENCES_MAX ? PLAN_SEQUENCES_MAX : (uint32_t)wanted;
}

int plan_for(const struct model *m, struct batcher_plan *out, struct error *e)
{
    if (m->sequences > PLAN_SEQUENCES_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "model %s: sequences %u: at most %d",
                         m->pattern, m->sequences, PLAN_SEQUENCES_MAX);
    *out = (struct batcher_plan){
        .sequences = m->sequences ? m->sequences : sequences_for(m->threads),
        .rows_max = ROWS_MAX,
        .decode_apart = true,
    };
    return 0;
}
