/* script_steps.h -- what a script says of one attempt of a request.
 *
 * Why: jobs meet scripts in a predictor, online calls in the hub; both count attempts and act alike.
 *
 * Memory:  a request whose script fails its first attempts is remembered by a hash of its text, at most
 *          SCRIPT_MEMORY_MAX of them, until it passes. Requests with the same text are one. When no
 *          place is free near a hash the newer takes the older one's, which then begins anew.
 * Threads: none; the memory is its owner's.
 */
#ifndef TRANCHE_PREDICT_FAKE_SCRIPT_STEPS_H
#define TRANCHE_PREDICT_FAKE_SCRIPT_STEPS_H

#include <stdbool.h>
#include <stdint.h>

#include "format/request/request.h"
#include "predict/predictor.h"

#define SCRIPT_MEMORY_MAX 4096
#define SCRIPT_TIMES_MAX 1000000
#define SCRIPT_DELAY_MS_MAX UINT32_C(2592000000) /* 30 days */

/* In this order: a delay, then one of the others, or the request goes its way. */
struct script_act {
    uint32_t delay_ms;
    bool hang, block;
    struct error error; /* OK: none */
};

struct script_memory {
    struct script_place *place; /* SCRIPT_MEMORY_MAX; NULL until one is needed */
};
void script_memory_release(struct script_memory *m);

/* The request's label, or deflt, which may be NULL; empty: it has no script. */
struct str script_of(const struct request *r, const char *deflt);
/* What happens to the next attempt of r under this script. A wrong script is an error to be answered. */
void script_meet(struct script_memory *m, struct str script, const struct request *r,
                 struct script_act *out);
bool script_passes(const struct script_act *a); /* once it is due */
/* When it is due; UINT64_MAX: never. */
uint64_t script_due_ns(const struct script_act *a, uint64_t now_ns);
/* The answer of one that does not pass; version is the model's. Its tag is left alone. */
void script_answer(const struct script_act *a, const struct request *r, const char *version,
                   struct clock *clock, struct answer *out);

#endif
