/* Goal: a job ends whole or not at all. Method: a real store in a scratch folder; faults at each of SQLite's
 * calls. */
#include <errno.h>

#include "base/fault.h"
#include "unit/store/jobs/job_world.h"

/* State, counters, object, event and delivery become true together, or none of them. */
static void test_the_end_is_all_or_nothing_under_any_fault(void **state)
{
    struct world *w = *state;
    struct webhook h = { .project = STR("p"), .uri = STR("https://x"), .enabled = true };
    struct error e = { 0 };

    bucket_of(w, NULL, "bucket");
    ASSERT_OK(webhook_put(w->s, &h, &e), e);
    struct object_new object = object_of("bucket", "out", blob_of(w, "rows"));
    const struct job_end end = { .to = JOB_SUCCEEDED, .object = &object };
    struct job j = running(w);
    uint64_t events = rows(w, "SELECT count(*) FROM event WHERE state < 5");
    j.counters.succeeded = 10;
    j.output = STR("gs://b/dir");
    j.result = object.blob.id;

    for (int n = 0;; n++) {
        struct job try = j;
        e = (struct error){ 0 };
        fault_arm("*", n, ENOSPC);
        int rc = job_finish(w->s, &try, &end, &e);
        int fired = fault_disarm();
        bool done = rc == 0;
        struct job got = get(w, j.id);
        assert_int_equal(got.state, done ? JOB_SUCCEEDED : JOB_RUNNING);
        assert_int_equal(try.state, got.state);
        assert_int_equal(got.counters.succeeded, done ? 10 : 0);
        assert_int_equal(got.result != 0, done);
        assert_int_equal(rows(w, "SELECT count(*) FROM object"), done);
        assert_int_equal(rows(w, "SELECT count(*) FROM event"), events + done);
        assert_int_equal(rows(w, "SELECT count(*) FROM delivery"), done);
        if (done)
            break;
        assert_true(fired);
        assert_int_not_equal(e.code, ERROR_OK);
    }
    world_reopen(w);
    assert_int_equal(get(w, j.id).state, JOB_SUCCEEDED);
}

static void test_an_output_that_cannot_be_written_leaves_the_job_as_it_was(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct object_new object = object_of("absent", "out", blob_of(w, "rows"));
    const struct job_end end = { .to = JOB_SUCCEEDED, .object = &object };
    struct job j = running(w);

    j.counters.succeeded = 10;
    ASSERT_FAILS(job_finish(w->s, &j, &end, &e), e, ERROR_NOT_FOUND);
    assert_int_equal(j.state, JOB_RUNNING);
    assert_int_equal(get(w, j.id).state, JOB_RUNNING);
    ASSERT_OK(finish_as(w, &j, JOB_FAILED, &e), e);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_make, world_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_end_is_all_or_nothing_under_any_fault),
        TEST(test_an_output_that_cannot_be_written_leaves_the_job_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
