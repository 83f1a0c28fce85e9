/* Goal: capacity goes to projects by weight, to jobs by priority and age, to online calls first. Method: a session that the
 * test lets answer one by one, with the order of what it was given; a fake one for speed. */
#include "unit/predict/hub/hub_world.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_projects_get_capacity_by_their_weights_whatever_they_ask_for),
        TEST(test_a_project_that_was_idle_gets_no_credit_for_it),
        TEST(test_within_a_project_priority_goes_first_then_age),
        TEST(test_online_goes_first_but_takes_no_more_than_half_while_batch_waits),
        TEST(test_a_window_of_one_is_taken_in_turns),
        TEST(test_a_late_call_is_answered_at_its_deadline_and_released_when_read_no_more),
        TEST(test_more_than_the_maximum_of_calls_is_refused),
        TEST(test_the_statistics_say_what_is_open),
        TEST(test_many_owners_and_calls_at_once_each_get_their_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
