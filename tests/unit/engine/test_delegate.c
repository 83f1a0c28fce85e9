/* Goal: a job that is handed over ends with one row a line, whatever the far side does, and whenever
 * we are cut off; and no far job runs twice. Method: whole jobs against a far side in memory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fault.h"
#include "engine/delegate_inner.h"
#include "unit/engine/world.h"

#include "unit/engine/far.h"

struct handover {
    struct world w;
    struct far far;
    bool detach;
    uint32_t stop_polls; /* the stop flag is set at this look; 0: never */
    char notes[16 * 1024];
    struct progress cancelled;
};

static int setup(void **state)
{
    struct handover *h = mem_alloc(sizeof *h);

    world_init(&h->w);
    far_init(&h->far);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    struct handover *h = *state;

    far_release(&h->far);
    world_release(&h->w);
    mem_free(h);
    return 0;
}

static void on_note(void *arg, const char *text)
{
    struct handover *h = arg;
    size_t at = strlen(h->notes);

    (void)snprintf(h->notes + at, sizeof h->notes - at, "%s\n", text);
}

static void on_progress(void *arg, const struct progress *p)
{
    struct handover *h = arg;

    world_watch(&h->w, p);
}

static struct delegate_job job_of(struct handover *h, const struct world_run *r,
                                  const struct ingest_options *o, const char *dir)
{
    return (struct delegate_job){
        .input = &r->input,
        .ingest = &r->ingest,
        .rules = *o,
        .spool = r->spool,
        .render = r->render,
        .price = { .input = 1.0, .output = 2.0 },
        .dir = dir,
        .remote = &h->far.base,
        .detach = h->detach,
        .seed = 1,
        .clock = &h->w.clock,
        .stop = &h->w.stop,
        .on_progress = on_progress,
        .on_note = on_note,
        .arg = h,
    };
}

static int run(struct handover *h, struct error *e)
{
    struct world_run r = { 0 };
    struct ingest_options o = { .threads = 2 };
    char dir[SCRATCH_PATH_BYTES];
    int rc = world_open(&h->w, &r, &o, e);

    scratch_path(&h->w.dir, "state", dir);
    h->w.progress = (struct progress){ 0 };
    if (rc == 0) {
        const struct delegate_job job = job_of(h, &r, &o, dir);
        rc = delegate_run(&job, &h->w.progress, &h->w.end, e);
    }
    world_close(&r);
    return rc;
}

static void run_to_end(struct handover *h)
{
    struct error e = { 0 };
    int rc = run(h, &e);

    assert_string_equal(e.msg, "");
    assert_int_equal(rc, 0);
    assert_int_equal(h->w.end, PIPELINE_DONE);
    assert_false(scratch_has(&h->w.dir, "state/remote"));
}

static void ask(struct handover *h, uint32_t count)
{
    world_ask_many(&h->w, count);
    world_save(&h->w);
}

/* Rows of the output that have an answer. */
static uint32_t answered_rows(struct handover *h, const char *cause)
{
    struct world_rows rows;
    struct row_parts parts;
    struct str line;
    uint32_t answered = 0;

    rows_open(&rows, &h->w);
    while (rows_next(&rows, &line, &parts)) {
        answered += parts.status.len == 0;
        if (parts.status.len && cause)
            assert_true(str_find(parts.status, str_of(cause)) != SIZE_MAX);
    }
    assert_int_equal(rows.count, h->w.line_count);
    rows_close(&rows);
    return answered;
}

static void test_every_line_is_answered_in_input_order_whatever_the_order_there(void **state)
{
    struct handover *h = *state;
    const struct counters *books = &h->w.progress.books;

    h->far.reversed = true;
    h->far.polls_until_done = 5;
    ask(h, 500);
    run_to_end(h);
    world_assert_all_answered(&h->w);
    assert_int_equal(books->succeeded, 500);
    assert_int_equal(books->prompt_tokens, 1000);
    assert_int_equal(books->candidate_tokens, 1500);
    assert_int_equal(books->cost_nano, 500 * (2 * 1000 + 3 * 2000) / 2);
    assert_int_equal(books->cost_online_nano, 500 * (2 * 1000 + 3 * 2000));
    assert_int_equal(h->far.job_count, 1);
    assert_int_equal(h->far.removed, 2); /* what was uploaded, and the output */
    assert_non_null(strstr(h->notes, "500 lines are handed over as job/0"));
    assert_non_null(strstr(h->notes, "job/0 is RUNNING\njob/0 is ENDED\n"));
}

static void test_an_input_without_lines_is_handed_to_nobody(void **state)
{
    struct handover *h = *state;

    scratch_write(&h->w.dir, "in.jsonl", "\n\n", 2);
    run_to_end(h);
    assert_int_equal(h->far.calls_all, 0);
}

static void test_bad_lines_are_not_sent_and_get_their_rows_at_once(void **state)
{
    struct handover *h = *state;

    world_line(&h->w, "this is no JSON");
    ask(h, 3);
    h->detach = true;
    h->far.polls_until_done = 1;
    struct error e = { 0 };
    assert_int_equal(run(h, &e), 0);
    assert_int_equal(h->w.progress.books.failed, 1);
    assert_int_equal(h->far.job[0].rows, 3);
    run_to_end(h);
    assert_int_equal(answered_rows(h, "\"code\": 400"), 3);
}

static void test_an_input_of_bad_lines_only_is_handed_to_nobody(void **state)
{
    struct handover *h = *state;

    world_line(&h->w, "{\"request\":{}}");
    world_save(&h->w);
    run_to_end(h);
    assert_int_equal(h->far.calls_all, 0);
    assert_int_equal(answered_rows(h, NULL), 0);
}

static void test_parts_are_cut_at_the_limit_of_rows_and_one_past_it(void **state)
{
    static const struct {
        uint32_t lines, parts;
    } cases[] = { { 99, 1 }, { 100, 1 }, { 101, 2 }, { 300, 3 }, { 301, 4 } };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        void *fresh;
        assert_int_equal(setup(&fresh), 0);
        struct handover *h = fresh;
        h->far.base.rows_max = 100;
        h->far.polls_until_done = 2;
        ask(h, cases[i].lines);
        run_to_end(h);
        world_assert_all_answered(&h->w);
        assert_int_equal(h->far.job_count, cases[i].parts);
        assert_int_equal(h->far.job[cases[i].parts - 1].rows,
                         cases[i].lines - 100 * (cases[i].parts - 1));
        (void)teardown(&fresh);
    }
}

/* The far side asserts that no file is over its limit. */
static void test_parts_are_cut_at_the_limit_of_bytes_and_one_past_it(void **state)
{
    struct handover *h = *state;

    ask(h, 10); /* rows of one length */
    run_to_end(h);
    size_t ten = h->far.file[0].len;
    for (uint32_t less = 0; less < 2; less++) {
        void *fresh;
        assert_int_equal(setup(&fresh), 0);
        struct handover *other = fresh;
        other->far.base.bytes_max = ten - less;
        ask(other, 10);
        run_to_end(other);
        assert_int_equal(other->far.job_count, 1 + less);
        (void)teardown(&fresh);
    }
}

static void test_a_line_that_no_job_there_takes_fails_alone(void **state)
{
    struct handover *h = *state;
    char text[400];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    h->far.base.bytes_max = 300;
    world_ask_many(&h->w, 2);
    world_ask(&h->w, text, 1.0);
    ask(h, 2);
    run_to_end(h);
    assert_int_equal(answered_rows(h, "a job there takes 300"), 4);
}

static void test_rows_of_nobody_and_rows_that_come_twice_change_nothing(void **state)
{
    struct handover *h = *state;

    h->far.strange = h->far.doubled = true;
    ask(h, 200);
    run_to_end(h);
    world_assert_all_answered(&h->w);
    assert_int_equal(h->w.progress.books.prompt_tokens, 400);
}

static void test_a_line_without_a_row_fails_and_says_so(void **state)
{
    struct handover *h = *state;

    h->far.missing_every = 10;
    h->far.base.rows_max = 60;
    ask(h, 100);
    run_to_end(h);
    assert_int_equal(answered_rows(h, "has no row for this line"), 90);
    assert_int_equal(h->w.progress.books.failed, 10);
}

static void test_an_error_row_is_a_failure_with_its_cause(void **state)
{
    struct handover *h = *state;

    h->far.error_every = 4;
    ask(h, 100);
    run_to_end(h);
    assert_int_equal(answered_rows(h, "row failed"), 75);
    assert_int_equal(h->w.progress.books.cost_nano, 75 * 4000);
}

static void test_of_a_failed_job_what_was_answered_is_taken(void **state)
{
    struct handover *h = *state;

    h->far.end = ERROR_DEADLINE_EXCEEDED;
    h->far.missing_every = 2;
    ask(h, 100);
    run_to_end(h);
    assert_int_equal(answered_rows(h, "Gateway Timeout: {\"error\": {\"code\": 504, \"message\": "
                                      "\"the far job failed\""),
                     50);
}

static void test_of_a_failed_job_without_an_output_all_lines_have_its_cause(void **state)
{
    struct handover *h = *state;

    h->far.end = ERROR_INVALID_ARGUMENT;
    h->far.no_output = true;
    ask(h, 100);
    run_to_end(h);
    assert_int_equal(answered_rows(h, "the far job failed"), 0);
}

static void test_a_job_that_is_gone_there_fails_its_lines(void **state)
{
    struct handover *h = *state;

    h->far.fails[FAR_POLL] = ERROR_NOT_FOUND;
    ask(h, 10);
    run_to_end(h);
    assert_int_equal(answered_rows(h, "the far side fails"), 0);
}

static void test_an_output_that_is_gone_there_fails_its_lines(void **state)
{
    struct handover *h = *state;

    h->far.fails[FAR_FETCH] = ERROR_NOT_FOUND;
    ask(h, 10);
    run_to_end(h);
    assert_int_equal(answered_rows(h, "the answers are gone"), 0);
}

static void test_a_transfer_that_breaks_goes_on_where_it_was(void **state)
{
    struct handover *h = *state;

    h->far.break_after = 5000;
    ask(h, 500);
    run_to_end(h);
    world_assert_all_answered(&h->w);
    assert_true(h->far.calls[FAR_FETCH] > 5);
    assert_int_equal(h->w.progress.retries, h->far.calls[FAR_FETCH] - 1);
}

static void test_transient_failures_of_each_call_are_tried_again(void **state)
{
    (void)state;
    for (int call = FAR_UPLOAD; call <= FAR_FETCH; call++) {
        void *fresh;
        assert_int_equal(setup(&fresh), 0);
        struct handover *h = fresh;
        h->far.fails[call] = ERROR_UNAVAILABLE;
        h->far.fails_times = 3;
        h->far.base.retry_after_ms = 20000;
        ask(h, 50);
        run_to_end(h);
        world_assert_all_answered(&h->w);
        if (call != FAR_FIND)
            assert_true(h->w.progress.elapsed_ns >= 60 * NS_PER_S);
        (void)teardown(&fresh);
    }
}

/* A create that broke off may have worked: it is looked up, and not made again. */
static void test_a_create_that_worked_and_failed_is_not_made_again(void **state)
{
    struct handover *h = *state;

    h->far.fails[FAR_CREATE] = ERROR_UNAVAILABLE;
    h->far.after = true;
    ask(h, 50);
    run_to_end(h);
    world_assert_all_answered(&h->w);
    assert_int_equal(h->far.job_count, 1);
    assert_int_equal(h->far.calls[FAR_CREATE], 1);
}

static void test_a_far_side_that_stays_away_ends_the_run_and_no_line(void **state)
{
    struct handover *h = *state;
    struct error e = { 0 };

    h->far.fails[FAR_POLL] = ERROR_UNAVAILABLE;
    ask(h, 10);
    assert_int_equal(run(h, &e), -1);
    assert_int_equal(e.code, ERROR_UNAVAILABLE);
    assert_true(h->w.progress.elapsed_ns >= DELEGATE_PATIENCE_MS * NS_PER_MS);
    assert_true(h->w.progress.elapsed_ns < 2 * DELEGATE_PATIENCE_MS * NS_PER_MS);
    assert_int_equal(counters_done(&h->w.progress.books), 0);
    h->far.fails[FAR_POLL] = ERROR_OK;
    run_to_end(h);
    world_assert_all_answered(&h->w);
    assert_int_equal(h->far.job_count, 1);
}

static void test_a_refusal_ends_the_run_at_once(void **state)
{
    struct handover *h = *state;
    struct error e = { 0 };

    h->far.fails[FAR_CREATE] = ERROR_INVALID_ARGUMENT;
    ask(h, 10);
    assert_int_equal(run(h, &e), -1);
    assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
    assert_int_equal(h->far.calls[FAR_CREATE], 1);
}

/* Cut off at the n-th call, for each n, before it had its effect or after; every further run too, until
 * one comes through. */
static void cut_everywhere(bool after)
{
    bool came_through = false;

    for (uint32_t n = 1; !came_through; n++) {
        void *fresh;
        struct error e = { 0 };
        assert_int_equal(setup(&fresh), 0);
        struct handover *h = fresh;
        h->far.base.rows_max = 40;
        h->far.polls_until_done = 1;
        h->far.after = after;
        h->far.cut_at = n;
        ask(h, 100);
        came_through = run(h, &e) == 0 && h->far.calls_all < n;
        if (!came_through)
            run_to_end(h);
        world_assert_all_answered(&h->w);
        assert_int_equal(h->far.job_count, 3);
        (void)teardown(&fresh);
        assert_true(n < 100);
    }
}

static void test_a_run_that_is_cut_off_before_any_call_goes_on(void **state)
{
    (void)state;
    cut_everywhere(false);
}

static void test_a_run_that_is_cut_off_after_any_call_goes_on(void **state)
{
    (void)state;
    cut_everywhere(true);
}

static void ask_twins(struct handover *h)
{
    char text[64];

    for (uint32_t i = 0; i < 100; i++) {
        (void)snprintf(text, sizeof text, "question %u", i % 20);
        world_ask(&h->w, text, 0.0);
    }
    world_save(&h->w);
}

/* Each fallible call of the system fails in turn, once. */
static void sweep(const char *point, int err)
{
    int fired = 1;

    for (int n = 0; fired; n++) {
        void *fresh;
        struct error e = { 0 };
        assert_int_equal(setup(&fresh), 0);
        struct handover *h = fresh;
        h->far.base.rows_max = 40;
        ask_twins(h);
        fault_arm(point, n, err);
        int rc = run(h, &e);
        fired = fault_disarm();
        if (rc < 0 || h->w.end != PIPELINE_DONE)
            run_to_end(h);
        world_assert_all_answered(&h->w);
        assert_int_equal(h->far.job_count, 1);
        (void)teardown(&fresh);
        assert_true(n < 2000);
    }
}

static void test_no_failing_call_of_the_system_loses_a_line_or_doubles_a_job(void **state)
{
    static const struct {
        const char *point;
        int err;
    } faults[] = {
        { "sys.open", EIO },        { "sys.read", EIO },       { "sys.write", ENOSPC },
        { "sys.sync", EIO },        { "sys.rename", EIO },     { "sys.mkdir", EIO },
        { "sys.remove", EIO },      { "spool.put", ENOSPC },   { "spool.commit", ENOSPC },
        { "sqlite.write", ENOSPC }, { "sqlite.sync", ENOSPC },
    };

    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sweep(faults[i].point, faults[i].err);
}

static void stop_at_poll(void *arg, enum far_call which)
{
    struct handover *h = arg;

    if (which == FAR_POLL && h->stop_polls && h->far.calls[FAR_POLL] == h->stop_polls)
        atomic_store(&h->w.stop, true);
}

static void test_when_it_is_stopped_the_far_job_goes_on_and_so_does_the_next_run(void **state)
{
    struct handover *h = *state;
    struct error e = { 0 };

    h->far.on_call = stop_at_poll;
    h->far.arg = h;
    h->stop_polls = 3;
    h->far.polls_until_done = 6;
    ask(h, 100);
    assert_int_equal(run(h, &e), 0);
    assert_int_equal(h->w.end, PIPELINE_INTERRUPTED);
    assert_int_equal(h->w.progress.in_flight, 100);
    assert_int_equal(h->far.calls[FAR_CANCEL], 0);
    atomic_store(&h->w.stop, false);
    run_to_end(h);
    world_assert_all_answered(&h->w);
    assert_int_equal(h->far.job_count, 1);
    assert_int_equal(h->far.calls[FAR_FIND], 0);
}

static void test_detached_it_returns_when_the_jobs_are_made_and_later_fetches(void **state)
{
    struct handover *h = *state;
    struct error e = { 0 };

    h->detach = true;
    h->far.base.rows_max = 40;
    h->far.polls_until_done = 1;
    ask(h, 100);
    assert_int_equal(run(h, &e), 0);
    assert_int_equal(h->w.end, PIPELINE_INTERRUPTED);
    assert_int_equal(h->w.progress.in_flight, 100);
    assert_int_equal(h->far.calls[FAR_POLL], 3); /* one look at each */
    run_to_end(h);
    world_assert_all_answered(&h->w);
    assert_int_equal(h->far.job_count, 3);
}

static void test_identical_deterministic_requests_are_sent_once(void **state)
{
    struct handover *h = *state;

    ask_twins(h);
    run_to_end(h);
    world_assert_all_answered(&h->w);
    assert_int_equal(h->far.job_count, 1);
    assert_int_equal(h->far.job[0].rows, 20);
    assert_int_equal(h->w.progress.books.duplicates, 80);
    assert_int_equal(h->w.progress.books.cost_nano, 20 * 4000);
}

static void test_those_whose_first_failed_are_all_sent_in_a_second_round(void **state)
{
    struct handover *h = *state;

    h->far.errors_first = 5;
    ask_twins(h);
    run_to_end(h);
    assert_int_equal(answered_rows(h, "row failed"), 95);
    assert_int_equal(h->far.job_count, 2);
    assert_int_equal(h->far.job[1].rows, 5 * 4);
    assert_int_equal(h->w.progress.books.duplicates, 15 * 4);
}

static void test_twins_are_answered_whenever_the_run_is_cut_off(void **state)
{
    (void)state;
    for (uint32_t n = 1; n < 15; n++) {
        void *fresh;
        struct error e = { 0 };
        assert_int_equal(setup(&fresh), 0);
        struct handover *h = fresh;
        h->far.cut_at = n;
        h->far.base.rows_max = 7;
        ask_twins(h);
        int rc = run(h, &e);
        assert_true(rc == 0 || e.code == ERROR_PERMISSION_DENIED);
        run_to_end(h);
        world_assert_all_answered(&h->w);
        (void)teardown(&fresh);
    }
}

/* Cancelling takes what is answered, and the rest is left to the closeout. */
static void cancel(struct handover *h)
{
    struct world_run r = { 0 };
    struct ingest_options o = { .threads = 1 };
    struct error e = { 0 };
    char dir[SCRATCH_PATH_BYTES];

    assert_int_equal(world_open(&h->w, &r, &o, &e), 0);
    const struct delegate_job job = job_of(h, &r, &o, scratch_path(&h->w.dir, "state", dir));
    assert_int_equal(delegate_cancel(&job, &h->cancelled, &e), 0);
    world_close(&r);
}

static void test_a_cancel_ends_the_far_jobs_and_takes_what_they_answered(void **state)
{
    struct handover *h = *state;
    struct error e = { 0 };

    h->detach = true;
    h->far.base.rows_max = 40;
    h->far.polls_until_done = 100;
    h->far.missing_every = 2;
    ask(h, 100);
    assert_int_equal(run(h, &e), 0);
    atomic_store(&h->w.stop, true); /* which is why it is cancelled */
    cancel(h);
    assert_int_equal(h->far.calls[FAR_CANCEL], 3);
    assert_int_equal(h->cancelled.books.succeeded, 50);
    assert_int_equal(h->cancelled.books.failed, 0);
    assert_int_equal(counters_pending(&h->cancelled.books), 50);
}

static void test_a_cancel_finds_a_job_that_was_made_unseen(void **state)
{
    struct handover *h = *state;
    struct error e = { 0 };

    h->far.after = true;
    h->far.cut_at = 2; /* upload, create */
    ask(h, 10);
    assert_int_equal(run(h, &e), -1);
    assert_int_equal(h->far.job_count, 1);
    cancel(h);
    assert_true(h->far.job[0].cancelled);
}

static void test_a_cancel_of_what_was_never_handed_over_calls_nobody(void **state)
{
    struct handover *h = *state;

    ask(h, 10);
    cancel(h);
    assert_int_equal(h->far.calls_all, 0);
}

static void test_a_key_of_a_row_reads_back(void **state)
{
    unsigned char digest[SPOOL_DIGEST_BYTES], back[SPOOL_DIGEST_BYTES];
    char key[ROW_KEY_BYTES];
    uint64_t index;
    bool has;

    (void)state;
    for (int i = 0; i < SPOOL_DIGEST_BYTES; i++)
        digest[i] = (unsigned char)(i * 17);
    row_key_write(UINT64_MAX, digest, key);
    assert_true(row_key_read(str_of(key), &index, back, &has));
    assert_true(has && index == UINT64_MAX);
    assert_memory_equal(digest, back, sizeof digest);
    row_key_write(0, NULL, key);
    assert_true(row_key_read(str_of(key), &index, back, &has));
    assert_true(!has && index == 0);
    static const char *const wrong[] = { "", "-", "x", "1-", "1-00", "-1", "1 ", "1-GG" };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(row_key_read(str_of(wrong[i]), &index, back, &has));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_line_is_answered_in_input_order_whatever_the_order_there),
        TEST(test_an_input_without_lines_is_handed_to_nobody),
        TEST(test_bad_lines_are_not_sent_and_get_their_rows_at_once),
        TEST(test_an_input_of_bad_lines_only_is_handed_to_nobody),
        TEST(test_parts_are_cut_at_the_limit_of_rows_and_one_past_it),
        TEST(test_parts_are_cut_at_the_limit_of_bytes_and_one_past_it),
        TEST(test_a_line_that_no_job_there_takes_fails_alone),
        TEST(test_rows_of_nobody_and_rows_that_come_twice_change_nothing),
        TEST(test_a_line_without_a_row_fails_and_says_so),
        TEST(test_an_error_row_is_a_failure_with_its_cause),
        TEST(test_of_a_failed_job_what_was_answered_is_taken),
        TEST(test_of_a_failed_job_without_an_output_all_lines_have_its_cause),
        TEST(test_a_job_that_is_gone_there_fails_its_lines),
        TEST(test_an_output_that_is_gone_there_fails_its_lines),
        TEST(test_a_transfer_that_breaks_goes_on_where_it_was),
        TEST(test_transient_failures_of_each_call_are_tried_again),
        TEST(test_a_create_that_worked_and_failed_is_not_made_again),
        TEST(test_a_far_side_that_stays_away_ends_the_run_and_no_line),
        TEST(test_a_refusal_ends_the_run_at_once),
        TEST(test_a_run_that_is_cut_off_before_any_call_goes_on),
        TEST(test_a_run_that_is_cut_off_after_any_call_goes_on),
        TEST(test_no_failing_call_of_the_system_loses_a_line_or_doubles_a_job),
        TEST(test_when_it_is_stopped_the_far_job_goes_on_and_so_does_the_next_run),
        TEST(test_detached_it_returns_when_the_jobs_are_made_and_later_fetches),
        TEST(test_identical_deterministic_requests_are_sent_once),
        TEST(test_those_whose_first_failed_are_all_sent_in_a_second_round),
        TEST(test_twins_are_answered_whenever_the_run_is_cut_off),
        TEST(test_a_cancel_ends_the_far_jobs_and_takes_what_they_answered),
        TEST(test_a_cancel_finds_a_job_that_was_made_unseen),
        TEST(test_a_cancel_of_what_was_never_handed_over_calls_nobody),
        TEST(test_a_key_of_a_row_reads_back),
    };

    return cmocka_run_group_tests_name("delegate", tests, NULL, NULL);
}
