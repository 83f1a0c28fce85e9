/* Goal: a job that ends early has one row for each line, whatever fails on the way. Method: jobs
 * stopped in the middle or never begun, closed with faults at each call, and again without. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/fault.h"
#include "engine/lines/closeout.h"
#include "unit/engine/lines/world.h"

#define HITS_MAX 2000
#define WHY "The batch was cancelled before this line ran."

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

/* Closes the job as the service does: every line gets its row, then the output its name. */
static int world_closeout(struct world *w, struct counters *counters, struct error *e)
{
    struct world_run r = { 0 };
    struct ingest_options o = { .threads = 2 };
    int rc = world_open(w, &r, &o, e);

    *counters = (struct counters){ 0 };
    if (rc == 0) {
        struct closeout_job job = { .ingest = &r.ingest,
                                    .spool = r.spool,
                                    .render = r.render,
                                    .clock = &w->clock,
                                    .stop = &w->stop };
        (void)error_set(&job.why, ERROR_CANCELLED, WHY);
        rc = closeout_run(&job, counters, e);
    }
    if (rc == 0)
        rc = render_finish(r.render, e);
    world_close(&r);
    return rc;
}

/* Rows stand in input order; `answers` of them are answers, the others say why they were not run. */
static void assert_closed(const struct world *w, uint32_t answers)
{
    struct world_rows rows;
    struct str line;
    struct row_parts parts;
    char key[32];
    uint32_t found = 0;

    rows_open(&rows, w);
    while (rows_next(&rows, &line, &parts)) {
        (void)snprintf(key, sizeof key, "{\"key\":%u,", rows.count - 1);
        assert_true(str_starts(line, str_of(key)));
        found += parts.status.len == 0;
        assert_int_equal(parts.response.len > 2, parts.status.len == 0);
        if (parts.status.len)
            assert_true(str_find(parts.status, STR(WHY)) != SIZE_MAX);
    }
    assert_int_equal(rows.count, w->line_count);
    assert_int_equal(found, answers);
    rows_close(&rows);
}

static void run_some(struct world *w, uint32_t lines, uint64_t stop_after)
{
    struct error e = { 0 };

    w->model.fake.delay_ms = 70;
    w->in_flight_max = 8;
    world_ask_many(w, lines);
    world_save(w);
    w->stop_after = stop_after;
    assert_int_equal(world_run(w, &e), 0);
    assert_int_equal(w->end, PIPELINE_INTERRUPTED);
    atomic_store(&w->stop, false);
}

static void test_lines_without_a_row_get_one_that_says_why(void **state)
{
    struct world *w = *state;
    struct counters counters;
    struct error e = { 0 };

    run_some(w, 100, 40);
    uint64_t answered = w->progress.counters.succeeded;
    assert_int_equal(world_closeout(w, &counters, &e), 0);
    assert_int_equal(counters.total, 100);
    assert_int_equal(counters.succeeded, answered);
    assert_int_equal(counters.not_run, 100 - answered);
    assert_int_equal(counters.cost_nano, w->progress.counters.cost_nano);
    assert_closed(w, (uint32_t)answered);
}

static void test_a_job_that_never_ran_closes_in_bounded_groups(void **state)
{
    struct world *w = *state;
    struct counters counters;
    struct error e = { 0 };

    world_ask_many(w, 3 * COMMIT_ROWS_MAX + 1);
    world_save(w);
    assert_int_equal(world_closeout(w, &counters, &e), 0);
    assert_int_equal(counters.not_run, 3 * COMMIT_ROWS_MAX + 1);
    assert_closed(w, 0);
    assert_int_equal(world_closeout(w, &counters, &e), 0); /* again changes nothing */
    assert_int_equal(counters.not_run, 3 * COMMIT_ROWS_MAX + 1);
}

static void test_an_input_without_lines_closes(void **state)
{
    struct world *w = *state;
    struct counters counters;
    struct error e = { 0 };

    scratch_write(&w->dir, "in.jsonl", "\n", 1);
    assert_int_equal(world_closeout(w, &counters, &e), 0);
    assert_int_equal(counters.total, 0);
    assert_closed(w, 0);
}

static void test_a_stop_ends_it_after_a_group_and_it_goes_on_later(void **state)
{
    struct world *w = *state;
    struct counters counters;
    struct error e = { 0 };

    world_ask_many(w, 2 * COMMIT_ROWS_MAX);
    world_save(w);
    /* ingest would refuse first, so the job is begun without a stop */
    struct world_run r = { 0 };
    struct ingest_options o = { .threads = 2 };
    assert_int_equal(world_open(w, &r, &o, &e), 0);
    atomic_store(&w->stop, true);
    struct closeout_job job = { .ingest = &r.ingest,
                                .spool = r.spool,
                                .render = r.render,
                                .clock = &w->clock,
                                .why = { .code = ERROR_DEADLINE_EXCEEDED, .msg = WHY },
                                .stop = &w->stop };
    assert_int_equal(closeout_run(&job, &counters, &e), -1);
    assert_int_equal(e.code, ERROR_CANCELLED);
    assert_in_range(counters.not_run, 1, COMMIT_ROWS_MAX);
    world_close(&r);
    atomic_store(&w->stop, false);
    assert_int_equal(world_closeout(w, &counters, &e), 0);
    assert_int_equal(counters.not_run, 2 * COMMIT_ROWS_MAX);
    assert_closed(w, 0);
}

static void sweep(const char *point, int err)
{
    for (int n = 0;; n++) {
        struct world w;
        struct counters counters;
        struct error e = { 0 };

        world_init(&w);
        run_some(&w, 30, 10);
        uint64_t answered = w.progress.counters.succeeded;
        fault_arm(point, n, err);
        int rc = world_closeout(&w, &counters, &e);
        int fired = fault_disarm();
        assert_true(rc == 0 || e.msg[0]);
        if (scratch_has(&w.dir, "out.jsonl"))
            assert_closed(&w, (uint32_t)answered);
        assert_int_equal(world_closeout(&w, &counters, &e), 0);
        assert_int_equal(counters.succeeded, answered);
        assert_int_equal(counters.not_run, 30 - answered);
        assert_closed(&w, (uint32_t)answered);
        world_release(&w);
        if (!fired)
            break;
        assert_true(n < HITS_MAX);
    }
}

static void test_no_failing_call_loses_or_doubles_a_line(void **state)
{
    (void)state;
    static const struct {
        const char *point;
        int err;
    } points[] = { { "spool.put", ENOSPC },    { "spool.commit", ENOSPC },
                   { "sqlite.write", ENOSPC }, { "sqlite.sync", ENOSPC },
                   { "sys.open", EIO },        { "sys.write", EIO },
                   { "sys.sync", EIO },        { "sys.rename", EIO } };

    for (size_t i = 0; i < ARRAY_LEN(points); i++)
        sweep(points[i].point, points[i].err);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lines_without_a_row_get_one_that_says_why),
        TEST(test_a_job_that_never_ran_closes_in_bounded_groups),
        TEST(test_an_input_without_lines_closes),
        TEST(test_a_stop_ends_it_after_a_group_and_it_goes_on_later),
        cmocka_unit_test(test_no_failing_call_loses_or_doubles_a_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
