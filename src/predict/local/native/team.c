#include "predict/local/native/team.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/thread.h"
#include "base/mem.h"

/* Looks at a barrier before a thread goes to sleep: some tens of microseconds, longer than most waits
 * at the end of a phase. */
#define SPINS 1000
#define CACHE_LINE 64

struct team {
    _Alignas(CACHE_LINE) atomic_uint taken;   /* pieces of this phase */
    _Alignas(CACHE_LINE) atomic_uint arrived; /* members at the barrier */
    _Alignas(CACHE_LINE) atomic_uint phase;   /* barriers passed */
    atomic_uint sleepers;
    pthread_mutex_t lock; /* guards the sleep on `passed`; all counters above are atomic */
    pthread_cond_t passed;
    uint32_t members;
    team_work
        work; /* NULL: the end. Set between two runs, read after the barrier that begins one */
    void *arg;
    struct team_member *member;
    pthread_t *thread; /* members - 1 of them */
};

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* ---- Phases ---- */

bool team_take(const struct team_member *m, uint32_t pieces, uint32_t *piece)
{
    *piece = atomic_fetch_add_explicit(&m->team->taken, 1, memory_order_relaxed);
    return *piece < pieces;
}

static void sleep_until_passed(struct team *t, unsigned int phase)
{
    lock(&t->lock);
    atomic_fetch_add(&t->sleepers, 1);
    while (atomic_load(&t->phase) == phase)
        cond_wait(&t->passed, &t->lock);
    atomic_fetch_sub(&t->sleepers, 1);
    unlock(&t->lock);
}

/* The last to arrive opens the next phase. A sleeper has counted itself before it looked at the phase,
 * so that either it sees the new one or it is woken. */
static void open_phase(struct team *t)
{
    assert(atomic_load(&t->sleepers) < t->members);
    atomic_store_explicit(&t->arrived, 0, memory_order_relaxed);
    atomic_store_explicit(&t->taken, 0, memory_order_relaxed);
    atomic_fetch_add(&t->phase, 1);
    if (!atomic_load(&t->sleepers))
        return;
    lock(&t->lock);
    cond_broadcast(&t->passed);
    unlock(&t->lock);
}

void team_barrier(const struct team_member *m)
{
    struct team *t = m->team;
    unsigned int phase = atomic_load_explicit(&t->phase, memory_order_relaxed);
    unsigned int arrived = atomic_fetch_add_explicit(&t->arrived, 1, memory_order_acq_rel) + 1;

    assert(arrived <= t->members);
    if (arrived == t->members) {
        open_phase(t);
        return;
    }
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&t->phase, memory_order_acquire) != phase)
            return;
        relax();
    }
    sleep_until_passed(t, phase);
}

/* ---- Members ---- */

static void *member_main(void *arg)
{
    const struct team_member *m = arg;

    for (;;) {
        team_barrier(m);
        if (!m->team->work)
            return NULL;
        m->team->work(m->team->arg, m);
        team_barrier(m);
    }
}

void team_run(struct team *t, team_work work, void *arg)
{
    assert(work);
    t->work = work;
    t->arg = arg;
    team_barrier(&t->member[0]);
    work(arg, &t->member[0]);
    team_barrier(&t->member[0]);
}

uint32_t team_members(const struct team *t)
{
    return t->members;
}

/* ---- Opening and closing ---- */

/* Ends the members that have started. */
static void end_members(struct team *t)
{
    t->work = NULL;
    team_barrier(&t->member[0]);
    for (uint32_t i = 1; i < t->members; i++)
        thread_join(t->thread[i - 1]);
}

static void release(struct team *t)
{
    lock_destroy(&t->lock);
    cond_destroy(&t->passed);
    mem_free(t->member);
    mem_free(t->thread);
    mem_free(t);
}

struct team *team_new(uint32_t members, struct error *e)
{
    struct team *t = mem_aligned(sizeof *t, CACHE_LINE);

    assert(members && members <= TEAM_MEMBERS_MAX);
    memset(t, 0, sizeof *t);
    lock_init(&t->lock);
    cond_init(&t->passed);
    t->members = members;
    t->member = mem_array(members, sizeof *t->member);
    t->thread = mem_array(members, sizeof *t->thread);
    for (uint32_t i = 0; i < members; i++)
        t->member[i] = (struct team_member){ t, i };
    for (uint32_t i = 1; i < members; i++) {
        int rc = pthread_create(&t->thread[i - 1], NULL, member_main, &t->member[i]);
        if (rc == 0)
            continue;
        (void)error_set(e, ERROR_RESOURCE_EXHAUSTED, "thread %u of %u cannot be started (error %d)",
                        i, members, rc);
        t->members = i; /* those that stand at the barrier */
        end_members(t);
        release(t);
        return NULL;
    }
    return t;
}

void team_free(struct team *t)
{
    if (!t)
        return;
    end_members(t);
    release(t);
}
