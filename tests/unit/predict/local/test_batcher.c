/* Goal: whatever is shared, deferred, cut or preempted, every task gets exactly the answer it would get
 * alone, and no work is done twice. Method: the fake runtime, whose answers depend on all a row sees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "predict/local/batcher.h"
#include "unit/predict/local/runtime_fake.h"

#define STEPS_MAX 100000
#define PROMPT_BYTES 256
#define SYSTEM "You are a careful classifier of short passages. " /* 48 tokens */

static const struct sampling greedy = { .temperature = 0.0f, .top_p = 1.0f };

static struct task *make_task(const char *prompt, uint32_t tokens_max)
{
    struct task *t = task_new();

    for (const char *p = prompt; *p; p++)
        tokens_add(&t->prompt, (unsigned char)*p);
    t->tokens_max = tokens_max;
    t->sampling = greedy;
    return t;
}

struct world {
    struct fake_runtime *runtime;
    struct batcher *batcher;
    uint32_t done;
};

static struct world open_world(uint32_t cells, uint32_t sequences, bool apart)
{
    struct world w = { 0 };
    const struct batcher_plan plan = { .sequences = sequences,
                                       .rows_max = 64,
                                       .decode_apart = apart };

    w.runtime = fake_open(cells, sequences + 4, 64);
    w.batcher = batcher_new(&w.runtime->base, &plan);
    return w;
}

static void close_world(struct world *w)
{
    batcher_free(w->batcher);
    w->runtime->base.ops->close(&w->runtime->base);
}

static void prompt_of(const struct task *t, char out[PROMPT_BYTES])
{
    for (uint32_t i = 0; i < t->prompt.count; i++)
        out[i] = (char)t->prompt.item[i];
    out[t->prompt.count] = '\0';
}

/* A finished task has the answer that its prompt has alone. */
static void check_task(const struct task *t)
{
    char prompt[PROMPT_BYTES], want[PROMPT_BYTES];

    assert_int_equal(t->error.code, ERROR_OK);
    prompt_of(t, prompt);
    fake_expect(prompt, t->tokens_max, want);
    for (uint32_t i = 0; i < t->candidate_count; i++) {
        assert_true(str_eq_c(buf_str(&t->candidate[i].text), want));
        assert_int_equal(t->candidate[i].token_count, strlen(want));
    }
}

static void run_all(struct world *w)
{
    struct error e = { 0 };
    struct task *t;

    for (int i = 0; batcher_open(w->batcher); i++) {
        assert_in_range(i, 0, STEPS_MAX);
        assert_int_equal(batcher_step(w->batcher, &e), 0);
        for (; (t = batcher_done(w->batcher)); w->done++) {
            check_task(t);
            task_free(t);
        }
    }
}

static void test_an_answer_ends_at_the_end_token_or_at_its_limit(void **state)
{
    struct world w = open_world(256, 2, true);
    struct error e = { 0 };
    struct task *t;

    (void)state;
    batcher_add(w.batcher, make_task("abc5>", 9));
    while (!(t = batcher_done(w.batcher)))
        assert_int_equal(batcher_step(w.batcher, &e), 0);
    check_task(t);
    assert_int_equal(t->candidate[0].finish, FINISH_STOP);
    task_free(t);
    batcher_add(w.batcher, make_task("abc5>", 4));
    while (!(t = batcher_done(w.batcher)))
        assert_int_equal(batcher_step(w.batcher, &e), 0);
    check_task(t);
    assert_int_equal(t->candidate[0].finish, FINISH_MAX_TOKENS);
    task_free(t);
    assert_int_equal(fake_used(w.runtime), 0);
    close_world(&w);
}

/* Sixty requests that begin alike and start at once: their beginning is computed once. */
static void test_a_shared_prefix_is_computed_once(void **state)
{
    struct batcher_stats stats;
    char prompt[PROMPT_BYTES];
    uint32_t own = 0;

    (void)state;
    for (int apart = 0; apart < 2; apart++) {
        struct world w = open_world(2048, 16, apart);
        own = 0;
        for (int i = 0; i < 60; i++) {
            (void)snprintf(prompt, sizeof prompt, SYSTEM "%02d question %d>", i, i % 7);
            own += (uint32_t)(strlen(prompt) - strlen(SYSTEM)) + (uint32_t)(i % 7);
            batcher_add(w.batcher, make_task(prompt, 20));
        }
        run_all(&w);
        assert_int_equal(w.done, 60);
        batcher_stats(w.batcher, &stats);
        /* "0", "1", ... after the system text may be shared too, so a little less is possible. */
        assert_in_range(w.runtime->rows, strlen(SYSTEM) + own - 120, strlen(SYSTEM) + own);
        assert_int_equal(stats.computed_tokens, w.runtime->rows);
        assert_true(stats.reused_tokens >= 59 * strlen(SYSTEM));
        close_world(&w);
    }
}

/* One sequence only: the prefix must outlive each request for the next, while any waits. */
static void test_a_prefix_is_kept_for_those_that_wait(void **state)
{
    struct world w = open_world(512, 1, true);
    char prompt[PROMPT_BYTES];

    (void)state;
    for (int i = 0; i < 10; i++) {
        (void)snprintf(prompt, sizeof prompt, SYSTEM "q%d 3>", i);
        batcher_add(w.batcher, make_task(prompt, 20));
    }
    run_all(&w);
    assert_in_range(w.runtime->rows, strlen(SYSTEM), strlen(SYSTEM) + 10 * (5 + 3));
    close_world(&w);
}

static void test_candidates_share_their_prompt(void **state)
{
    struct world w = open_world(512, 8, true);
    struct task *t = make_task(SYSTEM "question 4>", 20);

    (void)state;
    t->candidate_count = 8;
    batcher_add(w.batcher, t);
    uint32_t prompt = t->prompt.count;
    run_all(&w);
    assert_int_equal(w.runtime->rows, prompt + 7 + 8 * 4); /* the last prompt token for each */
    close_world(&w);
}

/* The cache holds about two of the six: the youngest must give way, and nothing may change. */
static void test_a_full_cache_preempts_and_every_answer_stays_the_same(void **state)
{
    struct batcher_stats stats;
    char prompt[PROMPT_BYTES];

    (void)state;
    for (int apart = 0; apart < 2; apart++) {
        struct world w = open_world(160, 6, apart);
        for (int i = 0; i < 6; i++) {
            (void)snprintf(prompt, sizeof prompt, "%d prompt without an end", i);
            batcher_add(w.batcher, make_task(prompt, 90));
        }
        run_all(&w);
        assert_int_equal(w.done, 6);
        batcher_stats(w.batcher, &stats);
        assert_true(stats.preempted > 0);
        assert_int_equal(fake_used(w.runtime), 0);
        close_world(&w);
    }
}

static void test_an_answer_that_fills_the_cache_ends_there(void **state)
{
    struct world w = open_world(64, 2, true);
    struct error e = { 0 };
    struct task *t;

    (void)state;
    batcher_add(w.batcher, make_task("endless", 1000));
    while (!(t = batcher_done(w.batcher)))
        assert_int_equal(batcher_step(w.batcher, &e), 0);
    assert_int_equal(t->candidate[0].finish, FINISH_MAX_TOKENS);
    assert_int_equal(t->prompt.count + t->candidate[0].token_count, 64);
    task_free(t);
    close_world(&w);
}

static void test_forwards_are_never_larger_than_planned(void **state)
{
    struct world w = open_world(2048, 8, false);
    char prompt[PROMPT_BYTES];

    (void)state;
    for (int i = 0; i < 20; i++) {
        (void)snprintf(prompt, sizeof prompt, "%d %0150d 2>", i, i);
        batcher_add(w.batcher, make_task(prompt, 8));
    }
    run_all(&w);
    assert_int_equal(w.runtime->rows_most, 64);
    close_world(&w);
}

static void test_a_stop_sequence_over_tokens_ends_the_answer(void **state)
{
    struct world w = open_world(256, 2, true);
    struct task *t = make_task("abc9>", 20), *done;
    char text[PROMPT_BYTES];
    struct error e = { 0 };

    (void)state;
    fake_expect("abc9>", 9, text);
    const struct str stop = { text + 3, 3 };
    t->stop = &stop;
    t->stop_count = 1;
    batcher_add(w.batcher, t);
    while (!(done = batcher_done(w.batcher)))
        assert_int_equal(batcher_step(w.batcher, &e), 0);
    size_t at = str_find(str_of(text), stop);
    assert_true(str_eq(buf_str(&done->candidate[0].text), (struct str){ text, at }));
    assert_int_equal(done->candidate[0].finish, FINISH_STOP);
    task_free(done);
    close_world(&w);
}

static void test_waiting_tasks_can_be_dropped_and_begun_ones_go_on(void **state)
{
    const struct error why = { ERROR_CANCELLED, "stopped" };
    struct world w = open_world(512, 1, true);
    struct error e = { 0 };
    struct task *t;

    (void)state;
    for (int i = 0; i < 3; i++)
        batcher_add(w.batcher, make_task("abc5>", 9));
    assert_int_equal(batcher_step(w.batcher, &e), 0);
    batcher_drop_waiting(w.batcher, &why);
    for (int i = 0; i < 2; i++) {
        t = batcher_done(w.batcher);
        assert_int_equal(t->error.code, ERROR_CANCELLED);
        task_free(t);
    }
    run_all(&w);
    assert_int_equal(w.done, 1);
    close_world(&w);
}

/* One computes and one waits when they are cancelled: neither gets another forward. */
static void test_cancelled_tasks_end_at_the_next_step_and_others_go_on(void **state)
{
    struct world w = open_world(512, 2, true);
    struct error e = { 0 };
    struct task *computes = make_task("abc", 200), *waits = make_task("abd", 200), *t;

    (void)state;
    batcher_add(w.batcher, computes);
    batcher_add(w.batcher, make_task("xyz9>", 200));
    batcher_add(w.batcher, waits);
    for (int i = 0; i < 3; i++)
        assert_int_equal(batcher_step(w.batcher, &e), 0);
    assert_null(batcher_done(w.batcher));
    atomic_store(&computes->cancelled, true);
    atomic_store(&waits->cancelled, true);
    assert_int_equal(batcher_step(w.batcher, &e), 0);
    for (int i = 0; i < 2; i++) {
        t = batcher_done(w.batcher);
        assert_int_equal(t->error.code, ERROR_CANCELLED);
        assert_int_equal(t->candidate[0].token_count, t == computes ? 3 : 0);
        task_free(t);
    }
    run_all(&w); /* checks the other's answer */
    assert_int_equal(w.done, 1);
    close_world(&w);
}

static void test_a_cancelled_task_ends_with_all_its_candidates(void **state)
{
    struct world w = open_world(512, 2, true);
    struct error e = { 0 };
    struct task *t = make_task("abc", 200);

    (void)state;
    t->candidate_count = 4; /* two of them wait */
    batcher_add(w.batcher, t);
    for (int i = 0; i < 3; i++)
        assert_int_equal(batcher_step(w.batcher, &e), 0);
    atomic_store(&t->cancelled, true);
    assert_int_equal(batcher_step(w.batcher, &e), 0);
    assert_ptr_equal(batcher_done(w.batcher), t);
    assert_int_equal(t->error.code, ERROR_CANCELLED);
    assert_int_equal(batcher_open(w.batcher), 0);
    task_free(t);
    close_world(&w);
}

static void test_a_broken_runtime_fails_every_open_task(void **state)
{
    struct world w = open_world(512, 2, true);
    struct error e = { 0 };
    struct task *t;

    (void)state;
    w.runtime->fail_at = 3;
    for (int i = 0; i < 5; i++)
        batcher_add(w.batcher, make_task("abc", 9));
    while (batcher_step(w.batcher, &e) == 0)
        assert_non_null(w.batcher);
    assert_int_equal(e.code, ERROR_INTERNAL);
    for (; (t = batcher_done(w.batcher)); w.done++) {
        assert_int_equal(t->error.code, ERROR_INTERNAL);
        task_free(t);
    }
    assert_int_equal(w.done, 5);
    assert_int_equal(batcher_open(w.batcher), 0);
    close_world(&w);
}

static void test_a_longer_answer_begins_before_shorter_ones(void **state)
{
    struct world w = open_world(512, 2, true);
    struct error e = { 0 };
    struct task *t;
    char first = 0;

    (void)state;
    batcher_add(w.batcher, make_task("a short", 4));
    batcher_add(w.batcher, make_task("b short", 4));
    batcher_add(w.batcher, make_task("c long", 40));
    while (batcher_open(w.batcher)) {
        assert_int_equal(batcher_step(w.batcher, &e), 0);
        for (; (t = batcher_done(w.batcher)); task_free(t))
            first = first ? first : (char)t->prompt.item[0];
    }
    assert_int_equal(first, 'a'); /* b waited for c's first sequence to come free */
    close_world(&w);
}

static void test_closing_frees_what_is_open(void **state)
{
    struct world w = open_world(512, 2, true);
    struct error e = { 0 };

    (void)state;
    for (int i = 0; i < 5; i++)
        batcher_add(w.batcher, make_task("abc", 9));
    assert_int_equal(batcher_step(w.batcher, &e), 0);
    close_world(&w); /* the sanitizers watch for leaks */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_ends_at_the_end_token_or_at_its_limit),
        cmocka_unit_test(test_a_shared_prefix_is_computed_once),
        cmocka_unit_test(test_a_prefix_is_kept_for_those_that_wait),
        cmocka_unit_test(test_candidates_share_their_prompt),
        cmocka_unit_test(test_a_full_cache_preempts_and_every_answer_stays_the_same),
        cmocka_unit_test(test_an_answer_that_fills_the_cache_ends_there),
        cmocka_unit_test(test_forwards_are_never_larger_than_planned),
        cmocka_unit_test(test_a_stop_sequence_over_tokens_ends_the_answer),
        cmocka_unit_test(test_waiting_tasks_can_be_dropped_and_begun_ones_go_on),
        cmocka_unit_test(test_cancelled_tasks_end_at_the_next_step_and_others_go_on),
        cmocka_unit_test(test_a_cancelled_task_ends_with_all_its_candidates),
        cmocka_unit_test(test_a_broken_runtime_fails_every_open_task),
        cmocka_unit_test(test_a_longer_answer_begins_before_shorter_ones),
        cmocka_unit_test(test_closing_frees_what_is_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
