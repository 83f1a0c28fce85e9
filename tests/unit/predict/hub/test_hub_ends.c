/* Goal: sessions, shares and calls end in any order, and no request is read after its owner let it go. Method: a session that
 * the test lets answer one by one, and one that breaks, stands still or cancels. */
#include "unit/predict/hub/hub_world.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_dropped_call_is_not_sent_and_ends_at_once),
        TEST(test_a_dropped_call_that_the_session_has_is_cancelled_there),
        TEST(test_one_project_cannot_take_all_open_calls),
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
