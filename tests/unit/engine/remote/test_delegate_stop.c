/* Goal: a job that is handed over can be stopped, left alone and cancelled. Method: whole jobs against a batch
 * service in memory. */
#include "unit/engine/remote/delegate_world.h"

static void stop_at_poll(void *arg, enum memory_call which)
{
    struct handover *h = arg;

    if (which == MEMORY_POLL && h->stop_polls && h->remote.calls[MEMORY_POLL] == h->stop_polls)
        atomic_store(&h->w.stop, true);
}

static void test_when_it_is_stopped_the_remote_job_goes_on_and_so_does_the_next_run(void **state)
{
    struct handover *h = *state;
    struct error e = { 0 };

    h->remote.on_call = stop_at_poll;
    h->remote.arg = h;
    h->stop_polls = 3;
    h->remote.polls_until_done = 6;
    ask(h, 100);
    assert_int_equal(run(h, &e), 0);
    assert_int_equal(h->w.end, PIPELINE_INTERRUPTED);
    assert_int_equal(h->w.progress.in_flight, 100);
    assert_int_equal(h->remote.calls[MEMORY_CANCEL], 0);
    atomic_store(&h->w.stop, false);
    run_to_end(h);
    world_assert_all_answered(&h->w);
    assert_int_equal(h->remote.job_count, 1);
    assert_int_equal(h->remote.calls[MEMORY_FIND], 0);
}

static void test_detached_it_returns_when_the_jobs_are_made_and_later_fetches(void **state)
{
    struct handover *h = *state;
    struct error e = { 0 };

    h->detach = true;
    h->remote.base.rows_max = 40;
    h->remote.polls_until_done = 1;
    ask(h, 100);
    assert_int_equal(run(h, &e), 0);
    assert_int_equal(h->w.end, PIPELINE_INTERRUPTED);
    assert_int_equal(h->w.progress.in_flight, 100);
    assert_int_equal(h->remote.calls[MEMORY_POLL], 3); /* one look at each */
    run_to_end(h);
    world_assert_all_answered(&h->w);
    assert_int_equal(h->remote.job_count, 3);
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

static void test_a_cancel_ends_the_remote_jobs_and_takes_what_they_answered(void **state)
{
    struct handover *h = *state;
    struct error e = { 0 };

    h->detach = true;
    h->remote.base.rows_max = 40;
    h->remote.polls_until_done = 100;
    h->remote.missing_every = 2;
    ask(h, 100);
    assert_int_equal(run(h, &e), 0);
    atomic_store(&h->w.stop, true); /* which is why it is cancelled */
    cancel(h);
    assert_int_equal(h->remote.calls[MEMORY_CANCEL], 3);
    assert_int_equal(h->cancelled.counters.succeeded, 50);
    assert_int_equal(h->cancelled.counters.failed, 0);
    assert_int_equal(counters_pending(&h->cancelled.counters), 50);
}

static void test_a_cancel_finds_a_job_that_was_made_unseen(void **state)
{
    struct handover *h = *state;
    struct error e = { 0 };

    h->remote.after = true;
    h->remote.cut_at = 2; /* upload, create */
    ask(h, 10);
    assert_int_equal(run(h, &e), -1);
    assert_int_equal(h->remote.job_count, 1);
    cancel(h);
    assert_true(h->remote.job[0].cancelled);
}

static void test_a_cancel_of_what_was_never_handed_over_calls_nobody(void **state)
{
    struct handover *h = *state;

    ask(h, 10);
    cancel(h);
    assert_int_equal(h->remote.calls_all, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_when_it_is_stopped_the_remote_job_goes_on_and_so_does_the_next_run),
        TEST(test_detached_it_returns_when_the_jobs_are_made_and_later_fetches),
        TEST(test_a_cancel_ends_the_remote_jobs_and_takes_what_they_answered),
        TEST(test_a_cancel_finds_a_job_that_was_made_unseen),
        TEST(test_a_cancel_of_what_was_never_handed_over_calls_nobody),
    };

    return cmocka_run_group_tests_name("delegate", tests, NULL, NULL);
}
