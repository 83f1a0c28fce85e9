/* script_steps.h -- what a script does to one attempt of a request.
 *
 * Why: a predictor runs the scripts of jobs, the hub those of online calls; both must count and act alike.
 *
 * Memory:  a request whose script fails its first attempts is remembered by a hash of its text, at most
 *          SCRIPT_MEMORY_MAX of them, until it passes. Requests with the same text count as one. When
 *          no slot is free near a hash, the newer request takes the older one's, which then starts again.
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

/* First the delay, then one of the others; with none of them the request is computed as usual. */
struct script_act {
    uint32_t delay_ms;
    bool hang, block, says;
    struct str text;    /* the answer, when it says; in the script */
    struct error error; /* OK: none */
};

struct script_memory {
    struct script_slot *slot; /* SCRIPT_MEMORY_MAX of them; NULL until one is needed */
};
void script_memory_release(struct script_memory *m);

/* The request's label, or deflt, which may be NULL; empty: it has no script. */
struct str script_of(const struct request *r, const char *deflt);
/* Decides what happens to the next attempt of r. A malformed script becomes out->error. The script must stay until
 * the act is over. */
void script_meet(struct script_memory *m, struct str script, const struct request *r,
                 struct script_act *out);
bool script_passes(const struct script_act *a); /* once it is due */
/* When it is due; UINT64_MAX: never. */
uint64_t script_due_ns(const struct script_act *a, uint64_t now_ns);
/* Writes the answer of an attempt that does not pass; version is the model's. Leaves out->tag alone. */
void script_answer(const struct script_act *a, const struct request *r, const char *version,
                   struct clock *clock, struct answer *out);

#endif
