/* team.h -- threads that compute one thing together, phase by phase.
 *
 * Why: a forward has hundreds of phases of some tens of microseconds, and no thread may begin a phase
 *      before all have ended the one before. A thread takes a piece of work by one atomic addition,
 *      waits by a short spin, and sleeps when it waits longer, so that an idle or crowded machine is
 *      not kept busy.
 *
 * Shape:   team_run calls work on every member; inside it, `while (team_take(m, pieces, &i))` shares
 *          a phase's pieces, and team_barrier ends the phase. All members go through the same phases.
 * Threads: one owner calls team_run and is the first member.
 */
#ifndef TRANCHE_PREDICT_LOCAL_NATIVE_TEAM_H
#define TRANCHE_PREDICT_LOCAL_NATIVE_TEAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define TEAM_MEMBERS_MAX 256

struct team;
struct team_member {
    struct team *team;
    uint32_t index; /* 0 is the owner */
};
typedef void (*team_work)(void *arg, const struct team_member *m);

struct team *team_new(uint32_t members, struct error *e);
void team_free(struct team *t); /* accepts NULL */
uint32_t team_members(const struct team *t);
void team_run(struct team *t, team_work work, void *arg);

/* A piece of this phase that no member has taken yet; false when all of `pieces` are taken. */
bool team_take(const struct team_member *m, uint32_t pieces, uint32_t *piece);
void team_barrier(const struct team_member *m);

#endif
