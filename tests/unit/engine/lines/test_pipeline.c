/* Goal: every line gets exactly one row, in order, whatever fails, stops or repeats. Method: whole jobs
 * with a fake model under a fake clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "predict/hub/hub.h"
#include "unit/engine/lines/world.h"

static int setup(void **state)
{
    struct world *w = mem_alloc(sizeof *w);

    world_init(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_release(*state);
    mem_free(*state);
    return 0;
}

static void add_fault(struct world *w, struct fake_fault fault)
{
    w->model.fake.fault[w->model.fake.fault_count++] = fault;
}

static void test_all_lines_are_answered_in_input_order(void **state)
{
    struct world *w = *state;

    w->model.fake.delay_ms = 10;
    w->model.fake.jitter_ms = 1000;
    world_ask_many(w, 3000);
    world_save(w);
    world_finish(w);
    world_assert_all_answered(w);
    assert_int_equal(w->progress.counters.total, 3000);
    assert_int_equal(w->progress.counters.succeeded, 3000);
    assert_int_equal(w->progress.retries, 0);
    assert_int_equal(w->progress.in_flight, 0);
}

static void test_an_input_without_lines_gives_an_empty_output(void **state)
{
    struct world *w = *state;
    struct world_rows rows;

    scratch_write(&w->dir, "in.jsonl", "\n\n", 2);
    world_finish(w);
    rows_open(&rows, w);
    assert_int_equal(rows.text.len, 0);
    rows_close(&rows);
}

static void test_a_bad_line_gets_an_error_row_and_the_others_their_answers(void **state)
{
    struct world *w = *state;
    struct world_rows rows;
    struct str line;
    struct row_parts parts;

    world_ask_many(w, 2);
    world_line(w, "this is not JSON");
    world_line(w, "{\"request\":{\"contents\":[]}}");
    world_ask_many(w, 1);
    world_save(w);
    world_finish(w);
    assert_int_equal(w->progress.counters.succeeded, 3);
    assert_int_equal(w->progress.counters.failed, 2);
    assert_int_equal(w->progress.counters.cost_nano, w->progress.counters.cost_online_nano / 2);
    rows_open(&rows, w);
    while (rows_next(&rows, &line, &parts)) {
        bool bad = rows.count == 3 || rows.count == 4;
        assert_int_equal(parts.status.len > 0, bad);
        assert_int_equal(parts.response.len > 2, !bad);
        if (bad)
            assert_true(str_starts(parts.status, STR("Bad Request: {\"error\": {\"code\": 400")));
    }
    assert_int_equal(rows.count, 5);
    rows_close(&rows);
}

static void test_transient_faults_are_retried_until_all_succeed(void **state)
{
    struct world *w = *state;

    add_fault(w, (struct fake_fault){ .every = 3, .times = 2, .code = ERROR_UNAVAILABLE });
    add_fault(
        w, (struct fake_fault){
               .every = 7, .times = 1, .code = ERROR_RESOURCE_EXHAUSTED, .retry_after_ms = 9000 });
    world_ask_many(w, 500);
    world_save(w);
    world_finish(w);
    world_assert_all_answered(w);
    assert_true(w->progress.retries >= 333);
    assert_true(w->progress.elapsed_ns >= 9 * NS_PER_S);
}

static void test_a_line_that_keeps_failing_is_given_up_after_the_attempts(void **state)
{
    struct world *w = *state;

    add_fault(w, (struct fake_fault){ .match = "question 5", .code = ERROR_UNAVAILABLE });
    w->retry.attempts_max = 3;
    world_ask_many(w, 10);
    world_save(w);
    world_finish(w);
    assert_int_equal(w->progress.counters.succeeded, 9);
    assert_int_equal(w->progress.counters.failed, 1);
    assert_int_equal(w->progress.retries, 2);
}

static void test_a_permanent_error_is_not_retried_and_costs_nothing(void **state)
{
    struct world *w = *state;

    add_fault(w, (struct fake_fault){ .code = ERROR_INVALID_ARGUMENT });
    world_ask_many(w, 10);
    world_save(w);
    world_finish(w);
    assert_int_equal(w->progress.counters.failed, 10);
    assert_int_equal(w->progress.retries, 0);
    assert_int_equal(w->progress.counters.cost_nano, 0);
    assert_int_equal(w->progress.counters.cost_online_nano, 0);
}

/* 2,000 questions of which every fifth repeats an earlier one, near and far. */
static void ask_with_repeats(struct world *w)
{
    char text[64];

    for (uint32_t i = 0; i < 10000; i++) {
        uint32_t question = i % 5 == 4 ? (i % 10 == 4 ? i - 1 : i / 5 * 5 / 2 / 5 * 5) : i;
        (void)snprintf(text, sizeof text, "question %u", question);
        world_ask(w, text, 0.0);
    }
}

static void test_identical_deterministic_requests_are_computed_once(void **state)
{
    struct world *w = *state;
    const struct counters *counters = &w->progress.counters;

    w->model.fake.delay_ms = 5;
    ask_with_repeats(w);
    world_save(w);
    world_finish(w);
    world_assert_all_answered(w);
    assert_int_equal(counters->duplicates, 2000);
    /* Each question has two words, each answer three. */
    assert_int_equal(counters->prompt_tokens, 8000 * 2);
    assert_int_equal(w->computed, 8000 * 2);
    assert_int_equal(counters->duplicate_tokens, 2000 * 5);
    assert_int_equal(counters->cost_nano, 8000 * (2 * 1000 + 3 * 2000) / 2);
    assert_int_equal(counters->cost_online_nano, 10000 * (2 * 1000 + 3 * 2000));
}

static void test_requests_with_chance_in_them_are_all_computed(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 50; i++)
        world_ask(w, "the same", 0.9);
    world_save(w);
    world_finish(w);
    assert_int_equal(w->progress.counters.duplicates, 0);
    assert_int_equal(w->computed, 100);
}

static void test_a_wrong_request_is_wrong_for_its_duplicates_too(void **state)
{
    struct world *w = *state;

    add_fault(w, (struct fake_fault){ .match = "bad", .code = ERROR_INVALID_ARGUMENT });
    for (int i = 0; i < 5; i++)
        world_ask(w, "bad", 0.0);
    world_save(w);
    world_finish(w);
    assert_int_equal(w->progress.counters.failed, 5);
}

/* The first attempts all fail for good; the first duplicate that is tried itself succeeds. */
static void test_a_duplicate_of_a_failed_line_is_tried_itself(void **state)
{
    struct world *w = *state;

    add_fault(w, (struct fake_fault){ .times = 2, .code = ERROR_UNAVAILABLE });
    w->retry.attempts_max = 2;
    for (int i = 0; i < 5; i++)
        world_ask(w, "unlucky", 0.0);
    world_save(w);
    world_finish(w);
    assert_int_equal(w->progress.counters.failed, 1);
    assert_int_equal(w->progress.counters.succeeded, 4);
    assert_int_equal(w->progress.counters.duplicates, 3);
}

/* Stops again and again at different points: the counters balance each time, nothing is computed twice,
 * and the last run ends with one row a line. */
static void test_a_run_that_is_stopped_again_and_again_goes_on_line_for_line(void **state)
{
    struct world *w = *state;
    int runs = 0;

    w->model.fake.delay_ms = 20;
    w->model.fake.jitter_ms = 50;
    w->model.fake.window = 32;
    world_ask_many(w, 2500);
    world_save(w);
    do {
        struct error e = { 0 };
        uint64_t before = counters_done(&w->progress.counters);
        w->stop_after = 1 + (uint64_t)runs * 37 % 200;
        atomic_store(&w->stop, false);
        assert_int_equal(world_run(w, &e), 0);
        assert_true(counters_balanced(&w->progress.counters));
        assert_int_equal(w->progress.resumed, before);
        assert_true(counters_done(&w->progress.counters) > before);
        assert_int_equal(scratch_has(&w->dir, "out.jsonl"), w->end == PIPELINE_DONE);
        runs++;
    } while (w->end == PIPELINE_INTERRUPTED);
    assert_true(runs > 5);
    world_assert_all_answered(w);
    assert_int_equal(w->computed, 2500 * 2);
}

static void test_what_never_answers_is_left_pending_after_the_drain_time(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };

    add_fault(w, (struct fake_fault){ .match = "question 3", .hang = true });
    w->stop_after = 9;
    world_ask_many(w, 10);
    world_save(w);
    assert_int_equal(world_run(w, &e), 0);
    assert_int_equal(w->end, PIPELINE_INTERRUPTED);
    assert_int_equal(counters_pending(&w->progress.counters), 1);
    assert_false(scratch_has(&w->dir, "out.jsonl"));
    w->model.fake.fault_count = 0;
    atomic_store(&w->stop, false);
    world_finish(w);
    world_assert_all_answered(w);
    assert_int_equal(w->progress.resumed, 9);
}

static void test_what_nobody_wants_is_not_awaited(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };

    add_fault(w, (struct fake_fault){ .match = "question 3", .hang = true });
    w->stop_after = 9;
    w->drain_ms = UINT32_MAX;
    atomic_store(&w->discard, true);
    world_ask_many(w, 10);
    world_save(w);
    uint64_t began = w->clock.mono_ns(&w->clock);
    assert_int_equal(world_run(w, &e), 0);
    assert_int_equal(w->end, PIPELINE_INTERRUPTED);
    assert_int_equal(counters_pending(&w->progress.counters), 1);
    assert_true(w->clock.mono_ns(&w->clock) - began < NS_PER_S);
}

static void test_a_job_that_is_done_is_only_rendered_again(void **state)
{
    struct world *w = *state;
    char path[SCRATCH_PATH_BYTES];
    const uint32_t count = 2 * RENDER_BURST + 100;

    world_ask_many(w, count);
    world_save(w);
    world_finish(w);
    assert_int_equal(unlink(scratch_path(&w->dir, "out.jsonl", path)), 0);
    world_finish(w);
    world_assert_all_answered(w);
    assert_int_equal(w->computed, 2 * count);
    assert_int_equal(w->progress.resumed, count);
}

/* The file changes under the run's hands, between ingest and pipeline. */
static void test_an_input_that_changed_after_ingest_is_refused(void **state)
{
    struct world *w = *state;
    struct world_run r = { 0 };
    struct ingest_options o = { 0 };
    struct error e = { 0 };

    world_ask_many(w, 10);
    world_save(w);
    assert_int_equal(world_open(w, &r, &o, &e), 0);
    w->lines.p[w->lines.len / 2] ^= 1;
    world_save(w);
    const struct pipeline_job job = { .input = &r.input,
                                      .ingest = &r.ingest,
                                      .predictor = r.predictor,
                                      .spool = r.spool,
                                      .render = r.render,
                                      .retry = w->retry,
                                      .clock = &w->clock };
    r.predictor = NULL;
    assert_int_equal(pipeline_run(&job, &w->progress, &w->end, &e), -1);
    assert_int_equal(e.code, ERROR_FAILED_PRECONDITION);
    assert_false(scratch_has(&w->dir, "out.jsonl"));
    world_close(&r);
}

static void test_no_more_than_the_given_number_is_in_flight(void **state)
{
    struct world *w = *state;

    w->model.fake.delay_ms = 200;
    w->in_flight_max = 7;
    world_ask_many(w, 100);
    world_save(w);
    world_finish(w);
    /* 100 lines, 7 at a time, 200 ms each: 15 rounds. */
    assert_true(w->progress.elapsed_ns >= 15 * 200 * NS_PER_MS);
    assert_true(w->progress.elapsed_ns < 20 * 200 * NS_PER_MS);
}

/* A clock that is looked at much more often than a run of a few seconds has reason to. */
#define LOOKS_MAX 100000
static uint64_t looks_left;

static uint64_t counted_mono_ns(struct clock *c)
{
    if (looks_left-- == 0)
        fail_msg("the pipeline waits without sleeping");
    return c->fake_ns;
}

static void
test_a_retry_that_is_due_while_the_model_is_full_does_not_keep_the_pipeline_busy(void **state)
{
    struct world *w = *state;

    add_fault(w, (struct fake_fault){ .match = "question 0", .times = 1, .code = ERROR_ABORTED });
    w->model.fake.delay_ms = 5000; /* longer than the first wait of a retry */
    w->in_flight_max = 1;
    w->clock.mono_ns = counted_mono_ns;
    looks_left = LOOKS_MAX;
    world_ask_many(w, 2);
    world_save(w);
    world_finish(w);
    world_assert_all_answered(w);
    assert_int_equal(w->progress.retries, 1);
}

static void test_progress_is_shown_about_ten_times_a_second(void **state)
{
    struct world *w = *state;

    w->model.fake.delay_ms = 1000;
    w->in_flight_max = 10;
    world_ask_many(w, 100);
    world_save(w);
    world_finish(w);
    assert_int_equal(w->seen.counters.succeeded, 100);
    assert_true(w->seen.elapsed_ns >= 10 * NS_PER_S);
    assert_in_range(w->shown, 60, 110);
}

/* The questions are two words and the answers three, at 1 and 2 dollars a million, halved:
 * 5 tokens and 4 micro-dollars each. */
#define ANSWER_TOKENS 5
#define ANSWER_NANO 4000

static void run_to(struct world *w, enum pipeline_end end)
{
    struct error e = { 0 };

    assert_int_equal(world_run(w, &e), 0);
    assert_int_equal(w->end, end);
}

static void test_a_budget_is_not_exceeded_by_what_is_in_flight(void **state)
{
    struct world *w = *state;
    static const struct pipeline_limits limits[] = {
        { .tokens_max = 100 * ANSWER_TOKENS },
        { .cost_nano_max = 150 * ANSWER_NANO },
    };
    const uint64_t least[] = { 100, 150 };

    w->model.fake.delay_ms = 10;
    w->model.fake.jitter_ms = 100;
    w->in_flight_max = 8;
    world_ask_many(w, 200);
    world_save(w);
    for (size_t i = 0; i < 2; i++) {
        w->limits = limits[i];
        run_to(w, PIPELINE_BUDGET);
        assert_int_equal(w->progress.counters.succeeded, least[i]);
        assert_int_equal(w->progress.counters.cost_nano,
                         w->progress.counters.succeeded * ANSWER_NANO);
        run_to(w, PIPELINE_BUDGET); /* it is spent: nothing more is submitted */
        assert_int_equal(w->progress.counters.succeeded, w->progress.resumed);
    }
    w->limits = (struct pipeline_limits){ 0 };
    world_finish(w);
    world_assert_all_answered(w);
}

static void test_a_budget_that_is_just_enough_ends_no_job(void **state)
{
    struct world *w = *state;

    world_ask_many(w, 50);
    world_save(w);
    w->in_flight_max = 1;
    w->limits.tokens_max = 50 * ANSWER_TOKENS;
    world_finish(w);
    world_assert_all_answered(w);
}

static void test_a_budget_one_token_less_leaves_what_it_does_not_cover(void **state)
{
    struct world *w = *state;

    world_ask_many(w, 50);
    world_save(w);
    w->in_flight_max = 1;
    w->limits.tokens_max = 49 * ANSWER_TOKENS;
    run_to(w, PIPELINE_BUDGET);
    assert_int_equal(counters_pending(&w->progress.counters), 1);
}

static void test_too_many_errors_stop_the_job_once_enough_lines_ended(void **state)
{
    struct world *w = *state;

    add_fault(w, (struct fake_fault){ .every = 4, .code = ERROR_PERMISSION_DENIED });
    w->in_flight_max = 4;
    world_line(w, "this is not JSON");
    world_ask_many(w, 400);
    world_save(w);
    w->limits = (struct pipeline_limits){ .error_rate_max = 0.2, .error_lines_min = 100 };
    run_to(w, PIPELINE_ERRORS);
    assert_in_range(counters_done(&w->progress.counters), 100, 104);
    assert_in_range(w->progress.counters.failed, 25, 27); /* the bad line too */
    w->limits.error_rate_max = 0.5;
    run_to(w, PIPELINE_DONE);
    assert_int_equal(counters_pending(&w->progress.counters), 0);
}

static void test_a_rate_of_zero_stops_at_the_first_failure(void **state)
{
    struct world *w = *state;

    add_fault(w, (struct fake_fault){ .match = "question 17", .code = ERROR_PERMISSION_DENIED });
    w->in_flight_max = 1;
    world_ask_many(w, 100);
    world_save(w);
    w->limits = (struct pipeline_limits){ .error_lines_min = 1 };
    run_to(w, PIPELINE_ERRORS);
    assert_int_equal(w->progress.counters.failed, 1);
    assert_true(counters_pending(&w->progress.counters) > 0);
}

static struct predictor *share_open(void *hub, struct error *e)
{
    const struct hub_share who = { .project = "p", .weight = 1 };

    return hub_join(hub, &who, e);
}

/* A job on a share of a model, as in the service: stopped in the middle with a request that hangs, in a
 * session that nobody else uses, and gone on with. In real time, as two threads look at the clock. */
static void test_a_job_on_a_share_stops_and_goes_on(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    const struct predictor_env env = { .clock = clock_system(), .seed = 1 };

    w->clock = *clock_system();
    w->retry = (struct retry_rules){ .attempts_max = 5, .base_ms = 1, .cap_ms = 5, .ratio = 1 };
    w->drain_ms = 50;
    add_fault(w, (struct fake_fault){ .every = 5, .times = 2, .code = ERROR_UNAVAILABLE });
    add_fault(w, (struct fake_fault){ .match = "question 700", .hang = true });
    w->model.fake.delay_ms = 1;
    w->model.fake.window = 32;
    w->open_arg = hub_new(&w->model, &env, predictor_fake_open);
    w->open = share_open;
    world_ask_many(w, 1500);
    world_save(w);
    w->stop_after = 1499;
    assert_int_equal(world_run(w, &e), 0);
    assert_int_equal(w->end, PIPELINE_INTERRUPTED);
    assert_int_equal(counters_pending(&w->progress.counters), 1);
    w->model.fake.fault_count = 0;
    hub_free(w->open_arg); /* the session stayed open: its request was cancelled there */
    w->open_arg = hub_new(&w->model, &env, predictor_fake_open);
    atomic_store(&w->stop, false);
    world_finish(w);
    world_assert_all_answered(w);
    hub_free(w->open_arg);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_all_lines_are_answered_in_input_order),
        TEST(test_an_input_without_lines_gives_an_empty_output),
        TEST(test_a_bad_line_gets_an_error_row_and_the_others_their_answers),
        TEST(test_transient_faults_are_retried_until_all_succeed),
        TEST(test_a_line_that_keeps_failing_is_given_up_after_the_attempts),
        TEST(test_a_permanent_error_is_not_retried_and_costs_nothing),
        TEST(test_identical_deterministic_requests_are_computed_once),
        TEST(test_requests_with_chance_in_them_are_all_computed),
        TEST(test_a_wrong_request_is_wrong_for_its_duplicates_too),
        TEST(test_a_duplicate_of_a_failed_line_is_tried_itself),
        TEST(test_a_run_that_is_stopped_again_and_again_goes_on_line_for_line),
        TEST(test_what_never_answers_is_left_pending_after_the_drain_time),
        TEST(test_what_nobody_wants_is_not_awaited),
        TEST(test_a_job_that_is_done_is_only_rendered_again),
        TEST(test_an_input_that_changed_after_ingest_is_refused),
        TEST(test_no_more_than_the_given_number_is_in_flight),
        TEST(test_a_retry_that_is_due_while_the_model_is_full_does_not_keep_the_pipeline_busy),
        TEST(test_progress_is_shown_about_ten_times_a_second),
        TEST(test_a_budget_is_not_exceeded_by_what_is_in_flight),
        TEST(test_a_budget_that_is_just_enough_ends_no_job),
        TEST(test_a_budget_one_token_less_leaves_what_it_does_not_cover),
        TEST(test_too_many_errors_stop_the_job_once_enough_lines_ended),
        TEST(test_a_job_on_a_share_stops_and_goes_on),
        TEST(test_a_rate_of_zero_stops_at_the_first_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
