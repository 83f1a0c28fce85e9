#include "format/job/job.h"

#include <assert.h>

static const struct {
    const char *name, *vertex, *gemini;
    unsigned int next; /* set of states it may move to */
} states[JOB_STATE_COUNT] = {
#define X(name, number, next, vertex, gemini) [JOB_##name] = { #name, vertex, gemini, next },
    JOB_STATES(X)
#undef X
};
static_assert(JOB_STATE_COUNT <= 32, "states[].next is a 32-bit set");

const char *job_state_name(enum job_state s)
{
    return states[s].name;
}

const char *job_state_vertex(enum job_state s)
{
    return states[s].vertex;
}

const char *job_state_gemini(enum job_state s)
{
    return states[s].gemini;
}

bool job_state_may(enum job_state from, enum job_state to)
{
    return states[from].next & 1U << to;
}

bool job_state_final(enum job_state s)
{
    return states[s].next == 0;
}

/* Two states may have one name in the Gemini API: the first in the table is meant. */
bool job_state_read(struct str name, enum job_state *out)
{
    for (unsigned s = 0; s < JOB_STATE_COUNT; s++) {
        if (str_eq_c(name, states[s].name) || str_eq_c(name, states[s].vertex) ||
            str_eq_c(name, states[s].gemini)) {
            *out = (enum job_state)s;
            return true;
        }
    }
    return false;
}
