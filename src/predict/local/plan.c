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

static uint32_t plain_sequences(uint32_t threads)
{
    long cores = threads ? (long)threads : sysconf(_SC_NPROCESSORS_ONLN);
    long wanted = cores * PLAIN_SEQUENCES_PER_CORE;

    if (wanted < PLAIN_SEQUENCES_MIN)
        return PLAIN_SEQUENCES_MIN;
    return wanted > PLAN_PLAIN_SEQUENCES_MAX ? PLAN_PLAIN_SEQUENCES_MAX : (uint32_t)wanted;
}

int plan_for(const struct model *m, bool plain, struct batcher_plan *out, struct error *e)
{
    const uint32_t most = plain ? PLAN_PLAIN_SEQUENCES_MAX : PLAN_SEQUENCES_MAX;

    if (m->sequences > most)
        return error_set(e, ERROR_INVALID_ARGUMENT, "model %s: sequences %u: at most %u",
                         m->pattern, m->sequences, most);
    *out = (struct batcher_plan){
        .sequences = m->sequences ? m->sequences : SEQUENCES,
        .rows_max = ROWS_MAX,
    };
    if (!plain)
        return 0;
    if (!m->sequences)
        out->sequences = plain_sequences(m->threads);
    out->rows_max = PLAIN_ROWS_MAX;
    out->decode_apart = true;
    return 0;
}
