/* gate.h -- a session whose every step is the test's: it notes what was submitted, in order, and
 * answers a request, the oldest first, only when it was let through.
 *
 * Threads: the hub's owns the session; the test lets through and looks, under the lock. One a program,
 *          as an opener has no argument. Include after cmocka.h.
 */
#ifndef TRANCHE_TESTS_GATE_H
#define TRANCHE_TESTS_GATE_H

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "predict/predictor.h"

#define GATE_MAX 4096
#define GATE_PATIENCE_MS 20000 /* what takes longer does not come */

struct gate_session {
    struct predictor base;
    const struct request *request[GATE_MAX]; /* open from taken to submitted */
    void *tag[GATE_MAX];
    uint32_t submitted, taken;
};
static struct {
    pthread_mutex_t lock; /* guards everything below */
    uint32_t window, let, opened, closed;
    bool no_session, broken;
    bool full;    /* refuses requests, although its window has room */
    bool cancels; /* sessions that are opened know cancel, which lets a request through */
    uint32_t cancelled;
    char log[GATE_MAX + 1]; /* the first letter of each request's text, over all sessions */
    uint32_t logged;
    uint32_t open_max; /* requests open at once */
} gate = { .lock = PTHREAD_MUTEX_INITIALIZER };

static inline void gate_reset(uint32_t window)
{
    (void)pthread_mutex_lock(&gate.lock);
    gate.window = window;
    gate.let = gate.opened = gate.closed = gate.logged = gate.open_max = 0;
    gate.no_session = gate.broken = gate.cancels = gate.full = false;
    gate.cancelled = 0;
    memset(gate.log, 0, sizeof gate.log);
    (void)pthread_mutex_unlock(&gate.lock);
}

static inline void gate_let(uint32_t count)
{
    (void)pthread_mutex_lock(&gate.lock);
    gate.let += count;
    (void)pthread_mutex_unlock(&gate.lock);
}

static inline void gate_break(bool broken)
{
    (void)pthread_mutex_lock(&gate.lock);
    gate.broken = broken;
    (void)pthread_mutex_unlock(&gate.lock);
}

static inline void gate_fill(bool full)
{
    (void)pthread_mutex_lock(&gate.lock);
    gate.full = full;
    (void)pthread_mutex_unlock(&gate.lock);
}

static inline uint32_t gate_logged(void)
{
    (void)pthread_mutex_lock(&gate.lock);
    uint32_t n = gate.logged;
    (void)pthread_mutex_unlock(&gate.lock);
    return n;
}

static inline void gate_pause(void)
{
    clock_system()->sleep_ns(clock_system(), NS_PER_MS);
}

/* Waits until so many were submitted. */
static inline void gate_await(uint32_t count)
{
    for (int i = 0; gate_logged() < count; i++) {
        if (i == GATE_PATIENCE_MS)
            fail_msg("only %u of %u were submitted: %s", gate_logged(), count, gate.log);
        gate_pause();
    }
}

static inline int gate_submit(struct predictor *p, const struct request *r, void *tag,
                              struct error *e)
{
    struct gate_session *s = (struct gate_session *)p;
    int rc = 0;

    (void)pthread_mutex_lock(&gate.lock);
    uint32_t open = s->submitted - s->taken;
    if (gate.full || open == p->window) {
        rc = error_set(e, ERROR_RESOURCE_EXHAUSTED, "full");
    } else {
        s->request[s->submitted] = r;
        s->tag[s->submitted++] = tag;
        gate.open_max = open + 1 > gate.open_max ? open + 1 : gate.open_max;
        gate.log[gate.logged++] = r->content[0].part[0].text.p[0];
    }
    (void)pthread_mutex_unlock(&gate.lock);
    return rc;
}

static inline int gate_try(struct gate_session *s, struct answer *out, struct error *e)
{
    int rc = 0;

    (void)pthread_mutex_lock(&gate.lock);
    if (gate.broken) {
        rc = error_set(e, ERROR_INTERNAL, "the gate broke");
    } else if (gate.let && s->taken < s->submitted) {
        gate.let--;
        /* What is read here must still be there: the sanitizer tells. */
        const struct request *r = s->request[s->taken];
        *out = (struct answer){ .tag = s->tag[s->taken++], .response = BUF_INIT(64) };
        buf_add_str(&out->response, r->content[0].part[0].text);
        out->usage.prompt_tokens = 1;
        rc = 1;
    }
    (void)pthread_mutex_unlock(&gate.lock);
    return rc;
}

static inline int gate_wait(struct predictor *p, uint32_t timeout_ms, struct answer *out,
                            struct error *e)
{
    for (uint32_t i = 0;; i++) {
        int rc = gate_try((struct gate_session *)p, out, e);
        if (rc || i >= timeout_ms)
            return rc;
        gate_pause();
    }
}

static inline void gate_close(struct predictor *p)
{
    struct gate_session *s = (struct gate_session *)p;

    (void)pthread_mutex_lock(&gate.lock);
    for (uint32_t i = s->taken; i < s->submitted; i++) /* all open ones are still there */
        assert_true(s->request[i]->content_count > 0);
    gate.closed++;
    (void)pthread_mutex_unlock(&gate.lock);
    mem_free(s);
}

static inline void gate_cancel(struct predictor *p, void *tag)
{
    struct gate_session *s = (struct gate_session *)p;
    bool open = false;

    (void)pthread_mutex_lock(&gate.lock);
    for (uint32_t i = s->taken; i < s->submitted; i++)
        open = open || s->tag[i] == tag;
    assert_true(open);
    gate.cancelled++;
    gate.let++;
    (void)pthread_mutex_unlock(&gate.lock);
}

static const struct predictor_ops gate_cancel_ops = {
    .name = "gate",
    .submit = gate_submit,
    .wait = gate_wait,
    .cancel = gate_cancel,
    .close = gate_close,
};

static const struct predictor_ops gate_ops = {
    .name = "gate",
    .submit = gate_submit,
    .wait = gate_wait,
    .close = gate_close,
};

static inline struct predictor *gate_open(const struct model *m, const struct predictor_env *env,
                                          struct error *e)
{
    struct gate_session *s = NULL;

    (void)m;
    (void)env;
    (void)pthread_mutex_lock(&gate.lock);
    if (gate.no_session) {
        (void)error_set(e, ERROR_NOT_FOUND, "no file");
    } else {
        s = mem_alloc(sizeof *s);
        s->base = (struct predictor){ .ops = gate.cancels ? &gate_cancel_ops : &gate_ops,
                                      .window = gate.window,
                                      .version = "gate-1" };
        gate.opened++;
    }
    (void)pthread_mutex_unlock(&gate.lock);
    return s ? &s->base : NULL;
}

#endif
