/* hub_world.h -- a hub over a session that the test lets answer one by one, with shares and online calls of it. */
#ifndef TRANCHE_TESTS_UNIT_PREDICT_HUB_WORLD_H
#define TRANCHE_TESTS_UNIT_PREDICT_HUB_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conform/predict/request_make.h"
#include "predict/hub/hub_inner.h"
#include "unit/predict/gate.h"

#define LETTERS 26

static const struct model model = { .pattern = "gated", .kind = MODEL_FAKE };

struct fixture {
    struct hub *hub;
    struct arena arena;
    const struct request *request[LETTERS]; /* "A", "B", ..., all of the same cost */
};

static inline const struct predictor_env *env(void)
{
    static struct predictor_env e = { .seed = 1 };

    e.clock = clock_system();
    return &e;
}

static inline const struct request *letter(struct fixture *f, char c)
{
    char *json = arena_copy(&f->arena, "{\"contents\":{\"parts\":{\"text\":\"?\"}}}", 35);

    if (!f->request[c - 'A']) {
        *strchr(json, '?') = c;
        f->request[c - 'A'] = request_make(&f->arena, json);
    }
    return f->request[c - 'A'];
}

static inline int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);

    gate_reset(4);
    f->hub = hub_new(&model, env(), gate_open);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;

    hub_free(f->hub);
    arena_release(&f->arena);
    mem_free(f);
    return 0;
}

static inline struct predictor *join(struct fixture *f, const struct hub_share *who)
{
    struct error e = { 0 };
    struct predictor *p = hub_join(f->hub, who, &e);

    assert_string_equal(e.msg, "");
    return p;
}

static inline void submit(struct fixture *f, struct predictor *p, char c, uint32_t count)
{
    struct error e = { 0 };

    for (uint32_t i = 0; i < count; i++)
        if (p->ops->submit(p, letter(f, c), f, &e) < 0)
            fail_msg("submit: %s", e.msg);
}

/* Takes count answers, all of requests of that letter. */
static inline void take(struct predictor *p, char c, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct answer a = { 0 };
        struct error e = { 0 };
        assert_int_equal(p->ops->wait(p, GATE_PATIENCE_MS, &a, &e), 1);
        assert_int_equal(a.error.code, ERROR_OK);
        assert_int_equal(a.response.p[0], c);
        answer_release(&a);
    }
}

static inline uint32_t logged(char c, uint32_t from, uint32_t to)
{
    uint32_t n = 0;

    (void)pthread_mutex_lock(&gate.lock);
    for (uint32_t i = from; i < to; i++)
        n += gate.log[i] == c;
    (void)pthread_mutex_unlock(&gate.lock);
    return n;
}

/* Fills the window, so that what follows waits for the choice. */
static inline struct predictor *fill(struct fixture *f)
{
    const struct hub_share who = { .project = "filler", .weight = 1, .window = gate.window };
    struct predictor *p = join(f, &who);

    submit(f, p, 'Z', gate.window);
    gate_await(gate.window);
    return p;
}

static inline void set_window(uint32_t window)
{
    gate_reset(window);
}

/* Shares of a size that the window of the session does not give: the queue takes what it gets, so
 * many shares of one project stand for one large one. */
static inline void close_all(struct predictor **p, uint32_t count)
{
    gate_let(GATE_MAX);
    for (uint32_t i = 0; i < count; i++)
        p[i]->ops->close(p[i]);
}

struct asked {
    atomic_uint done, released;
    _Atomic(int) code;
    atomic_uint tokens; /* of the last answer's prompt */
    bool released_first;
    void *free_when_released;
};

static inline void on_done(void *arg, struct answer *a)
{
    struct asked *q = arg;

    q->code = (int)a->error.code;
    q->tokens = a->usage.prompt_tokens;
    q->done++;
    answer_release(a);
}

static inline void on_released(void *arg)
{
    struct asked *q = arg;

    q->released_first |= q->done <= q->released;
    if (q->free_when_released) {
        arena_release(q->free_when_released);
        q->free_when_released = NULL;
    }
    q->released++;
}

static inline int ask(struct fixture *f, char c, uint32_t deadline_ms, struct asked *q,
                      struct error *e)
{
    const struct hub_call call = { .request = letter(f, c),
                                   .project = "online",
                                   .weight = 1,
                                   .deadline_ms = deadline_ms,
                                   .done = on_done,
                                   .released = on_released,
                                   .arg = q };
    return hub_ask(f->hub, &call, e);
}

static inline void count(struct fixture *f, char c, struct asked *q)
{
    const struct hub_call call = { .request = letter(f, c),
                                   .project = "online",
                                   .weight = 1,
                                   .counts = true,
                                   .done = on_done,
                                   .released = on_released,
                                   .arg = q };
    struct error e = { 0 };

    assert_int_equal(hub_ask(f->hub, &call, &e), 0);
}

static inline int ask_for(struct fixture *f, const char *project, const void *owner,
                          struct asked *q)
{
    const struct hub_call call = { .request = letter(f, 'O'),
                                   .project = project,
                                   .weight = 1,
                                   .owner = owner,
                                   .done = on_done,
                                   .released = on_released,
                                   .arg = q };
    struct error e = { 0 };

    return hub_ask(f->hub, &call, &e);
}

static inline void await(atomic_uint *n, uint32_t count)
{
    for (int i = 0; atomic_load(n) < count; i++) {
        assert_true(i < GATE_PATIENCE_MS);
        gate_pause();
    }
    assert_int_equal(atomic_load(n), count);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
