/* predictor_world.h -- a predictor on a model that set-up provides, for tests of its answers.
 *
 * Threads: one. Include after cmocka.h.
 */
#ifndef TRANCHE_TESTS_PREDICTOR_WORLD_H
#define TRANCHE_TESTS_PREDICTOR_WORLD_H

#include "base/mem.h"
#include "predict/predictor.h"

#define ANSWER_MS 120000

struct world {
    struct predictor *p;
    struct arena arena;
};

/* For a set-up: *state is the world, until close_world. */
static inline int open_world_of(const struct model *m, uint64_t seed, void **state)
{
    const struct predictor_env env = { .clock = clock_system(), .seed = seed };
    struct world *w = mem_alloc(sizeof *w);
    struct error e = { 0 };

    w->p = predictor_local_open(m, &env, &e);
    if (!w->p)
        fail_msg("%s", e.msg);
    *state = w;
    return 0;
}

static inline int close_world(void **state)
{
    struct world *w = *state;

    w->p->ops->close(w->p);
    arena_release(&w->arena);
    mem_free(w);
    return 0;
}

/* The next answer, as long as it may take. */
static inline struct answer take(struct world *w)
{
    struct answer a = { 0 };
    struct error e = { 0 };

    assert_int_equal(w->p->ops->wait(w->p, ANSWER_MS, &a, &e), 1);
    return a;
}

#endif
