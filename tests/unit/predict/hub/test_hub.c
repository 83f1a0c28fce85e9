/* Goal: capacity goes to projects by weight, to jobs by priority and age, to online calls first; and
 * no request is read after its owner let it go. Method: a session that the test lets answer one by
 * one, with the order of what it was given; a fake one for speed. */
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

static const struct predictor_env *env(void)
{
    static struct predictor_env e = { .seed = 1 };

    e.clock = clock_system();
    return &e;
}

static const struct request *letter(struct fixture *f, char c)
{
    char *json = arena_copy(&f->arena, "{\"contents\":{\"parts\":{\"text\":\"?\"}}}", 35);

    if (!f->request[c - 'A']) {
        *strchr(json, '?') = c;
        f->request[c - 'A'] = request_make(&f->arena, json);
    }
    return f->request[c - 'A'];
}

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);

    gate_reset(4);
    f->hub = hub_new(&model, env(), gate_open);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    hub_free(f->hub);
    arena_release(&f->arena);
    mem_free(f);
    return 0;
}

static struct predictor *join(struct fixture *f, const struct hub_share *who)
{
    struct error e = { 0 };
    struct predictor *p = hub_join(f->hub, who, &e);

    assert_string_equal(e.msg, "");
    return p;
}

static void submit(struct fixture *f, struct predictor *p, char c, uint32_t count)
{
    struct error e = { 0 };

    for (uint32_t i = 0; i < count; i++)
        if (p->ops->submit(p, letter(f, c), f, &e) < 0)
            fail_msg("submit: %s", e.msg);
}

/* Takes count answers, all of requests of that letter. */
static void take(struct predictor *p, char c, uint32_t count)
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

static uint32_t logged(char c, uint32_t from, uint32_t to)
{
    uint32_t n = 0;

    (void)pthread_mutex_lock(&gate.lock);
    for (uint32_t i = from; i < to; i++)
        n += gate.log[i] == c;
    (void)pthread_mutex_unlock(&gate.lock);
    return n;
}

/* Fills the window, so that what follows waits for the choice. */
static struct predictor *fill(struct fixture *f)
{
    const struct hub_share who = { .project = "filler", .weight = 1, .window = gate.window };
    struct predictor *p = join(f, &who);

    submit(f, p, 'Z', gate.window);
    gate_await(gate.window);
    return p;
}

static void set_window(uint32_t window)
{
    gate_reset(window);
}

/* Shares of a size that the window of the session does not give: the queue takes what it gets, so
 * many shares of one project stand for one large one. */
static void close_all(struct predictor **p, uint32_t count)
{
    gate_let(GATE_MAX);
    for (uint32_t i = 0; i < count; i++)
        p[i]->ops->close(p[i]);
}

static void test_projects_get_capacity_by_their_weights_whatever_they_ask_for(void **state)
{
    struct fixture *f = *state;
    struct predictor *p[3];

    set_window(400);
    struct predictor *filler = fill(f);
    p[0] = join(f, &(struct hub_share){ .project = "a", .weight = 1 });
    p[1] = join(f, &(struct hub_share){ .project = "b", .weight = 3 });
    p[2] = join(f, &(struct hub_share){ .project = "a", .weight = 1 }); /* asks twice as much */
    submit(f, p[0], 'A', 400);
    submit(f, p[1], 'B', 400);
    submit(f, p[2], 'A', 400);
    gate_let(400);
    gate_await(800);
    assert_in_range(logged('A', 400, 800), 99, 101);
    assert_in_range(logged('B', 400, 800), 299, 301);
    close_all(p, 3);
    filler->ops->close(filler);
}

static void test_a_project_that_was_idle_gets_no_credit_for_it(void **state)
{
    struct fixture *f = *state;
    struct predictor *p[2];

    set_window(100);
    p[0] = join(f, &(struct hub_share){ .project = "a", .weight = 1 });
    p[1] = join(f, &(struct hub_share){ .project = "b", .weight = 1 });
    submit(f, p[0], 'A', 100);
    gate_await(100);
    gate_let(100);
    take(p[0], 'A', 100);
    submit(f, p[0], 'A', 100); /* a has had 200 by now, and b none */
    gate_await(200);
    struct predictor *more = join(f, &(struct hub_share){ .project = "a", .weight = 1 });
    submit(f, more, 'A', 100);
    submit(f, p[1], 'B', 100);
    gate_let(100);
    gate_await(300);
    assert_in_range(logged('B', 200, 300), 49, 51);
    close_all(p, 2);
    more->ops->close(more);
}

static void test_within_a_project_priority_goes_first_then_age(void **state)
{
    struct fixture *f = *state;
    struct predictor *p[4];

    set_window(4);
    struct predictor *filler = fill(f);
    p[0] = join(f, &(struct hub_share){ .project = "a", .weight = 1, .age = 9 });
    p[1] = join(f, &(struct hub_share){ .project = "a", .weight = 1, .age = 2 });
    p[2] = join(f, &(struct hub_share){ .project = "a", .weight = 1, .age = 7, .priority = 5 });
    p[3] = join(f, &(struct hub_share){ .project = "a", .weight = 1, .age = 1, .priority = -5 });
    for (int i = 0; i < 4; i++)
        submit(f, p[i], (char)('A' + i), 4);
    gate_let(GATE_MAX);
    gate_await(20);
    assert_string_equal(gate.log, "ZZZZCCCCBBBBAAAADDDD");
    close_all(p, 4);
    filler->ops->close(filler);
}

/* ---- Online calls ---- */

struct asked {
    atomic_uint done, released;
    _Atomic(int) code;
    atomic_uint tokens; /* of the last answer's prompt */
    bool released_first;
    void *free_when_released;
};

static void on_done(void *arg, struct answer *a)
{
    struct asked *q = arg;

    q->code = (int)a->error.code;
    q->tokens = a->usage.prompt_tokens;
    q->done++;
    answer_release(a);
}

static void on_released(void *arg)
{
    struct asked *q = arg;

    q->released_first |= q->done <= q->released;
    if (q->free_when_released) {
        arena_release(q->free_when_released);
        q->free_when_released = NULL;
    }
    q->released++;
}

static int ask(struct fixture *f, char c, uint32_t deadline_ms, struct asked *q, struct error *e)
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

static void count(struct fixture *f, char c, struct asked *q)
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

static int ask_for(struct fixture *f, const char *project, const void *owner, struct asked *q)
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

static void await(atomic_uint *n, uint32_t count)
{
    for (int i = 0; atomic_load(n) < count; i++) {
        assert_true(i < GATE_PATIENCE_MS);
        gate_pause();
    }
    assert_int_equal(atomic_load(n), count);
}

static void test_online_goes_first_but_takes_no_more_than_half_while_batch_waits(void **state)
{
    struct fixture *f = *state;
    struct asked q = { 0 };
    struct error e = { 0 };

    set_window(8);
    struct predictor *filler = fill(f);
    struct predictor *p = join(f, &(struct hub_share){ .project = "a", .weight = 1 });
    submit(f, p, 'B', 8);
    for (int i = 0; i < 20; i++)
        assert_int_equal(ask(f, 'O', 0, &q, &e), 0);
    gate_let(8);
    gate_await(16);
    assert_memory_equal(gate.log + 8, "OOOOBBBB", 8);
    gate_let(8); /* four of each are answered, and replaced: then batch is at its end */
    gate_await(24);
    assert_memory_equal(gate.log + 16, "OOOOBBBB", 8);
    gate_let(GATE_MAX);
    gate_await(36);
    await(&q.done, 20);
    await(&q.released, 20);
    assert_int_equal(q.code, ERROR_OK);
    assert_false(q.released_first);
    p->ops->close(p);
    filler->ops->close(filler);
}

static void test_a_window_of_one_is_taken_in_turns(void **state)
{
    struct fixture *f = *state;
    struct asked q = { 0 };
    struct error e = { 0 };
    struct predictor *p[4];

    set_window(1);
    struct predictor *filler = fill(f);
    for (uint32_t i = 0; i < 4; i++) {
        p[i] = join(f, &(struct hub_share){ .project = "a", .weight = 1 });
        submit(f, p[i], 'B', 1);
        assert_int_equal(ask(f, 'O', 0, &q, &e), 0);
    }
    gate_let(GATE_MAX);
    gate_await(9);
    assert_string_equal(gate.log, "ZOBOBOBOB");
    await(&q.released, 4);
    close_all(p, 4);
    filler->ops->close(filler);
}

static void
test_a_late_call_is_answered_at_its_deadline_and_released_when_read_no_more(void **state)
{
    struct fixture *f = *state;
    struct asked sent = { 0 }, waiting = { 0 };
    struct error e = { 0 };
    struct arena own = { 0 };

    set_window(1);
    const struct hub_call call = {
        .request = request_make(&own, "{\"contents\":{\"parts\":{\"text\":\"S\"}}}"),
        .project = "p",
        .weight = 1,
        .deadline_ms = 50,
        .done = on_done,
        .released = on_released,
        .arg = &sent,
    };
    sent.free_when_released = &own;
    assert_int_equal(hub_ask(f->hub, &call, &e), 0);
    gate_await(1);
    assert_int_equal(ask(f, 'W', 50, &waiting, &e), 0);
    await(&sent.done, 1);
    await(&waiting.done, 1);
    await(&waiting.released, 1); /* it was never sent */
    assert_int_equal(sent.code, ERROR_DEADLINE_EXCEEDED);
    assert_int_equal(waiting.code, ERROR_DEADLINE_EXCEEDED);
    assert_int_equal(atomic_load(&sent.released), 0);
    gate_let(1);
    await(&sent.released, 1);
    assert_int_equal(atomic_load(&sent.done), 1);
    assert_int_equal(gate_logged(), 1);
    assert_false(sent.released_first || waiting.released_first);
}

static void test_more_than_the_maximum_of_calls_is_refused(void **state)
{
    struct fixture *f = *state;
    struct asked q = { 0 };
    struct error e = { 0 };

    static const char *const projects[] = { "a", "b", "c", "d" };
    for (int i = 0; i < HUB_CALLS_MAX; i++)
        assert_int_equal(ask_for(f, projects[i % 4], NULL, &q), 0);
    assert_int_equal(ask(f, 'O', 0, &q, &e), -1);
    assert_int_equal(e.code, ERROR_RESOURCE_EXHAUSTED);
    hub_free(f->hub); /* with all of them open */
    f->hub = NULL;
    assert_int_equal(atomic_load(&q.done), HUB_CALLS_MAX);
    assert_int_equal(atomic_load(&q.released), HUB_CALLS_MAX);
    assert_int_equal(q.code, ERROR_UNAVAILABLE);
}

/* ---- Sessions that end ---- */

static void test_a_broken_session_breaks_its_shares_and_the_next_join_opens_another(void **state)
{
    struct fixture *f = *state;
    struct asked q = { 0 };
    struct error e = { 0 };
    struct answer a = { 0 };

    struct predictor *p = join(f, &(struct hub_share){ .project = "a", .weight = 1 });
    struct predictor *idle = join(f, &(struct hub_share){ .project = "b", .weight = 1 });
    submit(f, p, 'A', 4);
    gate_await(4);
    assert_int_equal(ask(f, 'O', 0, &q, &e), 0);
    gate_break(true);
    assert_int_equal(p->ops->wait(p, GATE_PATIENCE_MS, &a, &e), -1);
    assert_string_equal(e.msg, "the gate broke");
    assert_int_equal(idle->ops->wait(idle, GATE_PATIENCE_MS, &a, &e), -1);
    assert_int_equal(idle->ops->submit(idle, letter(f, 'A'), f, &e), -1);
    assert_int_not_equal(e.code, ERROR_RESOURCE_EXHAUSTED);
    await(&q.released, 1);
    assert_int_equal(q.code, ERROR_UNAVAILABLE);
    gate_break(false);
    p->ops->close(p);
    p = join(f, &(struct hub_share){ .project = "a", .weight = 1 });
    assert_string_equal(p->version, "gate-1");
    assert_int_equal(gate.opened, 2);
    submit(f, p, 'B', 1);
    gate_let(1);
    take(p, 'B', 1);
    p->ops->close(p);
    idle->ops->close(idle); /* of the first session, after the second was opened */
}

static void test_a_model_that_cannot_be_opened_is_reported_and_tried_again(void **state)
{
    struct fixture *f = *state;
    const struct hub_share who = { .project = "a", .weight = 1 };
    struct asked q = { 0 };
    struct error e = { 0 };
    gate.no_session = true;
    assert_null(hub_join(f->hub, &who, &e));
    assert_int_equal(e.code, ERROR_NOT_FOUND);
    assert_int_equal(ask(f, 'O', 0, &q, &e), 0);
    await(&q.released, 1);
    assert_int_equal(q.code, ERROR_UNAVAILABLE);
    (void)pthread_mutex_lock(&gate.lock);
    gate.no_session = false;
    (void)pthread_mutex_unlock(&gate.lock);
    count(f, 'A', &q);
    await(&q.released, 2);
    assert_int_equal(q.code, ERROR_OK);
    assert_true(q.tokens > 0);
}

/* Nothing was let through: the waiting calls end although the session answers nothing. */
static void test_a_dropped_call_is_not_sent_and_ends_at_once(void **state)
{
    struct fixture *f = *state;
    struct asked left = { 0 }, other = { 0 };
    static const int gone, here; /* their addresses count */

    struct predictor *filler = fill(f);
    for (int i = 0; i < 150; i++)
        assert_int_equal(ask_for(f, "a", &gone, &left), 0);
    assert_int_equal(ask_for(f, "b", &here, &other), 0);
    hub_drop(f->hub, &gone);
    await(&left.released, 150);
    assert_int_equal(left.code, ERROR_CANCELLED);
    gate_let(GATE_MAX);
    await(&other.released, 1);
    assert_int_equal(other.code, ERROR_OK);
    assert_int_equal(logged('O', 0, gate_logged()), 1);
    take(filler, 'Z', 4);
    filler->ops->close(filler);
}

static void test_a_dropped_call_that_the_session_has_is_cancelled_there(void **state)
{
    struct fixture *f = *state;
    struct asked left = { 0 };
    static const int gone; /* its address counts */

    gate.cancels = true;
    assert_int_equal(ask_for(f, "a", &gone, &left), 0);
    gate_await(1);
    hub_drop(f->hub, &gone);
    await(&left.released, 1);
    assert_int_equal(left.code, ERROR_CANCELLED);
    assert_int_equal(left.done, 1);
    assert_int_equal(gate.cancelled, 1);
    hub_drop(f->hub, &gone); /* it has ended */
}

static void test_one_project_cannot_take_all_open_calls(void **state)
{
    struct fixture *f = *state;
    struct asked many = { 0 }, other = { 0 };

    struct predictor *filler = fill(f);
    for (int i = 0; i < HUB_CALLS_PROJECT_MAX; i++)
        assert_int_equal(ask_for(f, "a", NULL, &many), 0);
    assert_int_equal(ask_for(f, "a", NULL, &many), -1);
    assert_int_equal(ask_for(f, "b", NULL, &other), 0);
    gate_let(GATE_MAX);
    await(&many.released, HUB_CALLS_PROJECT_MAX);
    await(&other.released, 1);
    take(filler, 'Z', 4);
    filler->ops->close(filler);
}

static void *let_later(void *arg)
{
    clock_system()->sleep_ns(clock_system(), 100 * NS_PER_MS);
    *(atomic_bool *)arg = true;
    gate_let(4);
    return NULL;
}

static void test_a_close_waits_until_its_requests_are_read_no_more(void **state)
{
    struct fixture *f = *state;
    struct arena own = { 0 };
    struct error e = { 0 };
    atomic_bool let = false;
    pthread_t thread;

    struct predictor *other = join(f, &(struct hub_share){ .project = "b", .weight = 1 });
    struct predictor *p = join(f, &(struct hub_share){ .project = "a", .weight = 1 });
    const struct request *r = request_make(&own, "{\"contents\":{\"parts\":{\"text\":\"C\"}}}");
    for (int i = 0; i < 4; i++)
        assert_int_equal(p->ops->submit(p, r, f, &e), 0);
    gate_await(4);
    assert_int_equal(pthread_create(&thread, NULL, let_later, &let), 0);
    p->ops->close(p);
    assert_true(let);
    arena_release(&own); /* the gate reads each request that it answers */
    (void)pthread_join(thread, NULL);
    submit(f, other, 'B', 1);
    gate_let(1);
    take(other, 'B', 1); /* none of the closed one's */
    assert_int_equal(gate.opened, 1);
    other->ops->close(other);
}

/* The session is asked to cancel, so that no close waits for a request that takes an hour. */
static void test_a_close_and_a_late_call_cancel_what_was_sent(void **state)
{
    struct fixture *f = *state;
    struct asked late = { 0 };
    struct error e = { 0 };

    gate.cancels = true;
    struct predictor *other = join(f, &(struct hub_share){ .project = "b", .weight = 1 });
    struct predictor *p = join(f, &(struct hub_share){ .project = "a", .weight = 1 });
    submit(f, p, 'C', 3);
    gate_await(3);
    p->ops->close(p);
    assert_int_equal(gate.cancelled, 3);
    assert_int_equal(ask(f, 'L', 1000, &late, &e), 0);
    gate_await(4); /* it is sent before it is late */
    await(&late.done, 1);
    await(&late.released, 1);
    assert_int_equal(late.code, ERROR_DEADLINE_EXCEEDED);
    assert_int_equal(gate.cancelled, 4);
    assert_int_equal(gate.opened, 1);
    other->ops->close(other);
}

static void test_what_waits_of_a_closed_share_is_never_sent(void **state)
{
    struct fixture *f = *state;

    struct predictor *filler = fill(f);
    struct predictor *p = join(f, &(struct hub_share){ .project = "a", .weight = 1 });
    submit(f, p, 'A', 4);
    p->ops->close(p); /* at once, though nothing is answered */
    gate_let(4);
    take(filler, 'Z', 4);
    assert_int_equal(gate_logged(), 4);
    filler->ops->close(filler);
}

/* Waits until the hub has chosen a request that the session does not take. */
static void await_held(struct hub *h)
{
    for (int i = 0;; i++) {
        (void)pthread_mutex_lock(&h->lock);
        bool held = h->held.first;
        (void)pthread_mutex_unlock(&h->lock);
        if (held)
            return;
        assert_true(i < GATE_PATIENCE_MS);
        gate_pause();
    }
}

/* The item of the request had another one's answer before, which its owner has released. */
static void test_what_a_full_session_did_not_take_of_a_closed_share_has_no_answer(void **state)
{
    struct fixture *f = *state;

    gate.cancels = true;
    struct predictor *p = join(f, &(struct hub_share){ .project = "a", .weight = 1, .window = 1 });
    submit(f, p, 'A', 1);
    gate_let(1);
    take(p, 'A', 1);
    gate_fill(true);
    submit(f, p, 'B', 1);
    await_held(f->hub);
    p->ops->close(p);
    assert_int_equal(gate_logged(), 1);
}

static void test_the_last_share_takes_a_session_that_is_busy_with_it(void **state)
{
    struct fixture *f = *state;
    struct hub_stats st;

    struct predictor *p = fill(f);
    p->ops->close(p); /* nothing is ever answered */
    assert_int_equal(gate.closed, 1);
    hub_stats(f->hub, &st);
    assert_false(st.loaded);
    assert_int_equal(st.in_flight, 0);
    p = fill(f); /* the letters of both are in the log */
    assert_int_equal(gate.opened, 2);
    p->ops->close(p);
}

static void test_the_last_share_leaves_a_session_that_can_cancel_open(void **state)
{
    struct fixture *f = *state;
    struct hub_stats st;

    gate.cancels = true;
    struct predictor *p = fill(f);
    p->ops->close(p);
    assert_int_equal(gate.cancelled, gate.window);
    hub_stats(f->hub, &st);
    assert_true(st.loaded);
    p = join(f, &(struct hub_share){ .project = "a", .weight = 1 });
    submit(f, p, 'A', 1);
    gate_let(1);
    take(p, 'A', 1);
    assert_int_equal(gate.opened, 1);
    p->ops->close(p);
}

static void test_a_session_that_stands_still_while_a_share_closes_is_broken(void **state)
{
    struct fixture *f = *state;
    struct error e = { 0 };
    struct answer a;

    f->hub->still_ms = 100;
    struct predictor *other = join(f, &(struct hub_share){ .project = "b", .weight = 1 });
    struct predictor *p = fill(f);
    assert_int_equal(other->ops->wait(other, 300, &a, &e), 0); /* nobody closes: it may take long */
    p->ops->close(p);
    assert_int_equal(gate.closed, 1);
    assert_int_equal(other->ops->wait(other, 0, &a, &e), -1);
    assert_int_equal(e.code, ERROR_UNAVAILABLE);
    other->ops->close(other);
}

static void test_a_drained_share_is_answered_what_was_not_sent(void **state)
{
    struct fixture *f = *state;
    struct error e = { 0 };
    struct answer a;

    struct predictor *filler = fill(f);
    struct predictor *p = join(f, &(struct hub_share){ .project = "a", .weight = 1 });
    submit(f, p, 'A', 3);
    p->ops->drain(p);
    submit(f, p, 'A', 1);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(p->ops->wait(p, 0, &a, &e), 1);
        assert_int_equal(a.error.code, ERROR_CANCELLED);
    }
    gate_let(4);
    take(filler, 'Z', 4);
    p->ops->close(p);
    filler->ops->close(filler);
}

static void test_the_statistics_say_what_is_open(void **state)
{
    struct fixture *f = *state;
    struct hub_stats st;
    struct asked q = { 0 };
    struct error e = { 0 };

    struct predictor *filler = fill(f);
    struct predictor *p = join(f, &(struct hub_share){ .project = "a", .weight = 1, .window = 3 });
    submit(f, p, 'A', 3);
    assert_int_equal(p->ops->submit(p, letter(f, 'A'), f, &e), -1);
    assert_int_equal(e.code, ERROR_RESOURCE_EXHAUSTED);
    hub_stats(f->hub, &st);
    assert_int_equal(st.in_flight, 4);
    assert_int_equal(st.waiting, 3);
    assert_int_equal(st.shares, 2);
    assert_true(st.loaded);
    assert_null(p->ops->count_tokens); /* the gate cannot */
    count(f, 'A', &q);                 /* while the session is full */
    await(&q.released, 1);
    assert_true(q.tokens > 0);
    gate_let(GATE_MAX);
    take(p, 'A', 3);
    take(filler, 'Z', 4);
    hub_stats(f->hub, &st);
    assert_int_equal(st.submitted, 7);
    assert_int_equal(st.answered, 7);
    assert_int_equal(gate.open_max, 4);
    p->ops->close(p);
    filler->ops->close(filler);
}

/* ---- Many at once ---- */

#define OWNERS 4
#define OWNER_REQUESTS 3000

struct owner {
    struct hub *hub;
    const struct request *request;
    uint32_t number, answers;
};

/* A job as the pipeline runs it; each second owner closes in the middle and joins again. */
static void *owner_run(void *arg)
{
    struct owner *o = arg;
    char project[8];
    struct error e = { 0 };
    uint32_t open = 0, sent = 0;
    bool stay = o->number % 2 == 0;

    (void)snprintf(project, sizeof project, "p%u", o->number % 2);
    const struct hub_share who = { .project = project, .weight = 1 + o->number };
    struct predictor *p = hub_join(o->hub, &who, &e);
    while (o->answers < OWNER_REQUESTS) {
        while (sent < OWNER_REQUESTS && p->ops->submit(p, o->request, &sent, &e) == 0) {
            sent++;
            open++;
        }
        struct answer a;
        for (int i = 0; i < 100 && open && p->ops->wait(p, 50, &a, &e) == 1; i++) {
            answer_release(&a);
            open--;
            o->answers++;
        }
        if (!stay && o->answers > OWNER_REQUESTS / 2) {
            p->ops->close(p);
            p = hub_join(o->hub, &who, &e);
            sent -= open;
            open = 0;
            stay = true;
        }
    }
    p->ops->close(p);
    return NULL;
}

static void test_many_owners_and_calls_at_once_each_get_their_answers(void **state)
{
    struct fixture *f = *state;
    const struct model fake = { .pattern = "fake", .kind = MODEL_FAKE, .fake.window = 64 };
    struct hub *gated = f->hub;
    struct owner owner[OWNERS];
    pthread_t thread[OWNERS];
    struct asked q = { 0 };
    struct error e = { 0 };

    f->hub = hub_new(&fake, env(), predictor_fake_open);
    for (uint32_t i = 0; i < OWNERS; i++) {
        owner[i] = (struct owner){ f->hub, letter(f, 'A'), i, 0 };
        assert_int_equal(pthread_create(&thread[i], NULL, owner_run, &owner[i]), 0);
    }
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(ask(f, 'O', i % 3 ? 0 : 1, &q, &e), 0);
    await(&q.released, 1000);
    assert_int_equal(atomic_load(&q.done), 1000);
    for (uint32_t i = 0; i < OWNERS; i++) {
        (void)pthread_join(thread[i], NULL);
        assert_int_equal(owner[i].answers, OWNER_REQUESTS);
    }
    hub_free(f->hub);
    f->hub = gated;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_projects_get_capacity_by_their_weights_whatever_they_ask_for),
        TEST(test_a_project_that_was_idle_gets_no_credit_for_it),
        TEST(test_within_a_project_priority_goes_first_then_age),
        TEST(test_online_goes_first_but_takes_no_more_than_half_while_batch_waits),
        TEST(test_a_window_of_one_is_taken_in_turns),
        TEST(test_a_late_call_is_answered_at_its_deadline_and_released_when_read_no_more),
        TEST(test_a_dropped_call_is_not_sent_and_ends_at_once),
        TEST(test_a_dropped_call_that_the_session_has_is_cancelled_there),
        TEST(test_one_project_cannot_take_all_open_calls),
        TEST(test_more_than_the_maximum_of_calls_is_refused),
        TEST(test_a_broken_session_breaks_its_shares_and_the_next_join_opens_another),
        TEST(test_a_model_that_cannot_be_opened_is_reported_and_tried_again),
        TEST(test_a_close_waits_until_its_requests_are_read_no_more),
        TEST(test_a_close_and_a_late_call_cancel_what_was_sent),
        TEST(test_what_waits_of_a_closed_share_is_never_sent),
        TEST(test_what_a_full_session_did_not_take_of_a_closed_share_has_no_answer),
        TEST(test_the_last_share_takes_a_session_that_is_busy_with_it),
        TEST(test_the_last_share_leaves_a_session_that_can_cancel_open),
        TEST(test_a_session_that_stands_still_while_a_share_closes_is_broken),
        TEST(test_a_drained_share_is_answered_what_was_not_sent),
        TEST(test_the_statistics_say_what_is_open),
        TEST(test_many_owners_and_calls_at_once_each_get_their_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
