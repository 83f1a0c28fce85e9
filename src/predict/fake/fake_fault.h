/* fake_fault.h -- which injected fault an attempt meets.
 *
 * Why: retries, backoff and error lines are tested by saying "the third request fails twice with 503",
 * and must come out the same on every run and in any order of submission.
 *
 * Shape:   a new request that matches a fault is counted; each every-th is chosen. A chosen request
 *          meets the fault in its first `times` attempts, or in all, or by chance (`rate`). The first
 *          fault of the script that holds is the one it meets.
 * Memory:  only chosen requests are remembered, by a hash of their text, at most FAKE_MEMORY_MAX: a
 *          second request with the same text counts as another attempt of the first. When no slot is
 *          free near a hash, the newer request takes the older one's, whose next attempt then counts
 *          as its first.
 * Threads: none; a session's own.
 */
#ifndef TRANCHE_PREDICT_FAKE_FAKE_FAULT_H
#define TRANCHE_PREDICT_FAKE_FAKE_FAULT_H

#include <stdint.h>

#include "base/str.h"
#include "predict/model.h"

#define FAKE_MEMORY_MAX 65536

struct remembered {
    uint64_t key;      /* hash of seed and text; 0: a free slot */
    uint32_t attempts; /* so far */
    uint32_t chosen;   /* set of faults, by their index in the script */
};
struct fake_faults {
    const struct fake_script *script;
    uint64_t matched[FAKE_FAULTS_MAX]; /* new requests that matched each fault */
    struct remembered *memory;         /* FAKE_MEMORY_MAX slots; NULL when there are no faults */
};

void fake_faults_init(struct fake_faults *f, const struct fake_script *script);
void fake_faults_release(struct fake_faults *f);
/* The fault of this attempt of the request with this hash and last user text, or NULL. */
const struct fake_fault *fake_faults_meet(struct fake_faults *f, uint64_t hash,
                                          struct str user_text);

/* 64 bits of chance for a hash; different salts give independent ones. */
uint64_t fake_chance(uint64_t hash, uint64_t salt);

#endif
