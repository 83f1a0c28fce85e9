/* Goal: every line of a job in shards is counted once, under the current fence, with what is durable; budgets and limits hold
 * over all processes; a job comes to its end whoever works on it. Method: two processes (connections) on one store, a clock
 * that is moved by hand. */
#include "unit/store/jobs/shard_world.h"

static void pass(struct world *w, int64_t us)
{
    w->clock.fake_us += us;
    w->clock.fake_ns += (uint64_t)us * 1000;
}

static void renew(struct store *s, uint32_t freed_wanted)
{
    struct error e = { 0 };
    uint32_t freed = 0;

    ASSERT_OK(fleet_renew(s, &freed, &e), e);
    assert_int_equal(freed, freed_wanted);
}

static void test_a_job_in_shards_runs_to_its_end(void **state)
{
    struct world *w = *state;
    struct store *b = other_process(w, "b");
    struct error e = { 0 };
    struct job j = cut_job(w, 3);
    struct blob out = { 0 };

    ASSERT_OK(fleet_join(w->s, "a", &e), e);
    assert_int_equal(glance(w, j.id).open, 3);
    struct taken one = lease(w->s, j.id, 1), two = lease(b, j.id, 5);
    assert_int_equal(one.count, 1);
    assert_int_equal(one.left, SHARDS_SOME);
    assert_int_equal(two.count, 2);
    assert_int_equal(two.left, SHARDS_TAKEN);
    assert_int_equal(one.item[0].number, 0);
    assert_int_equal(two.item[0].number, 1);
    assert_int_equal(two.item[1].cut.begin, 200);
    assert_true(one.item[0].budget_nano == UINT64_MAX);
    assert_int_equal(get(w, j.id).state, JOB_RUNNING);
    assert_int_equal(lease(b, j.id, 5).left, SHARDS_TAKEN);

    (void)checkpoint(w, w->s, &one.item[0], answered(4, 1));
    assert_int_equal(get(w, j.id).counters.succeeded, 4);
    assert_int_equal(get(w, j.id).counters.cost_nano, 40);
    assert_int_equal(glance(w, j.id).counters.failed, 1);
    assert_int_equal(finish(w, b, &two.item[0], answered(10, 0)), SHARDS_TAKEN);
    assert_int_equal(finish(w, w->s, &one.item[0], answered(9, 1)), SHARDS_TAKEN);
    ASSERT_FAILS(
        finish_as(w, &(struct job){ .id = j.id, .fence = get(w, j.id).fence }, JOB_SUCCEEDED, &e),
        e, ERROR_FAILED_PRECONDITION);
    assert_int_equal(finish(w, b, &two.item[1], answered(0, 10)), SHARDS_NONE);
    assert_int_equal(lease(b, j.id, 5).left, SHARDS_NONE);
    assert_false(settle(b, j.id));

    ASSERT_OK(shards_join(w->s, j.id, &out, &e), e);
    assert_int_equal(out.bytes, 15);
    j = get(w, j.id);
    assert_int_equal(j.counters.succeeded, 19);
    assert_int_equal(j.counters.failed, 11);
    j.counters.succeeded = 0; /* the store knows better */
    j.result = out.id;
    ASSERT_OK(finish_as(w, &j, JOB_SUCCEEDED, &e), e);
    assert_int_equal(get(w, j.id).counters.succeeded, 19);
    store_close(b);
}

static void test_a_job_of_many_shards_is_cut_in_their_order(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j = cut_job(w, 1019); /* more than two transactions, and a rest */

    ASSERT_OK(fleet_join(w->s, "a", &e), e);
    assert_int_equal(glance(w, j.id).open, 1019);
    assert_int_equal(rows(w, "SELECT count(*) FROM shard WHERE begin_at = 100 * number"
                             " AND first = 10 * number AND total = lines AND lines = 10"),
                     1019);
    struct taken t = lease(w->s, j.id, 16);
    assert_int_equal(t.count, 16);
    for (uint32_t i = 0; i < 16; i++)
        assert_int_equal(t.item[i].number, i);
}

static void test_what_a_dead_process_held_goes_on_from_its_checkpoint(void **state)
{
    struct world *w = *state;
    struct store *b = other_process(w, "b");
    struct error e = { 0 };
    struct job j = cut_job(w, 2);
    enum shards_left left;

    ASSERT_OK(fleet_join(w->s, "a", &e), e);
    struct taken dead = lease(b, j.id, 2);
    struct blob kept = checkpoint(w, b, &dead.item[0], answered(4, 0));
    pass(w, 2000000);
    renew(w->s, 0);
    pass(w, 8500000);
    assert_false(fleet_holds(b));
    renew(w->s, 1);
    assert_int_equal(glance(w, j.id).open, 2);

    struct blob more = blob_of(w, "answers");
    struct shard_record late = { .step = SHARD_RELEASE,
                                 .counters = answered(9, 1),
                                 .answers = &more };
    ASSERT_FAILS(shard_record(b, &dead.item[1], &late, &left, &e), e, ERROR_ABORTED);
    struct taken next = lease(w->s, j.id, 1);
    assert_int_equal(next.item[0].answers, kept.id);
    assert_int_equal(next.item[0].counters.succeeded, 4);
    assert_true(next.item[0].fence > dead.item[0].fence);
    ASSERT_FAILS(shard_record(b, &dead.item[0], &late, &left, &e), e, ERROR_ABORTED);
    uint32_t freed;
    ASSERT_FAILS(fleet_renew(b, &freed, &e), e, ERROR_ABORTED);
    ASSERT_OK(fleet_join(b, "b", &e), e);
    assert_true(fleet_holds(b));
    assert_int_equal(lease(b, j.id, 2).count, 1);
    store_close(b);
}

/* ---- Repetition and zombies ---- */

static void test_a_record_that_is_made_again_counts_once(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j = cut_job(w, 3);
    enum shards_left left;

    ASSERT_OK(fleet_join(w->s, "a", &e), e);
    struct taken t = lease(w->s, j.id, 3);
    struct shard_lease before = t.item[0];
    struct blob answers = blob_of(w, "a"), rows = blob_of(w, "r");
    struct shard_record r = { .step = SHARD_CHECKPOINT,
                              .counters = answered(5, 0),
                              .answers = &answers };
    (void)record(w->s, &t.item[0], &r);
    t.item[0] = before; /* the answer was lost */
    (void)record(w->s, &t.item[0], &r);
    assert_int_equal(get(w, j.id).counters.succeeded, 5);
    assert_true(blob_is_there(w, answers.id));

    r = (struct shard_record){ .step = SHARD_DONE, .counters = answered(10, 0), .output = &rows };
    before = t.item[0];
    (void)record(w->s, &t.item[0], &r);
    t.item[0] = before;
    (void)record(w->s, &t.item[0], &r);
    assert_int_equal(get(w, j.id).counters.succeeded, 10);
    assert_int_equal(glance(w, j.id).leased, 2);
    struct blob others = blob_of(w, "o");
    r.output = &others; /* is not the same record */
    ASSERT_FAILS(shard_record(w->s, &before, &r, &left, &e), e, ERROR_ABORTED);

    answers = blob_of(w, "b");
    r = (struct shard_record){ .step = SHARD_RELEASE,
                               .counters = answered(2, 0),
                               .answers = &answers };
    before = t.item[1];
    (void)record(w->s, &t.item[1], &r);
    (void)record(w->s, &before, &r);
    assert_int_equal(get(w, j.id).counters.succeeded, 12);
    assert_int_equal(glance(w, j.id).open, 1);
    struct taken again = lease(w->s, j.id, 1);
    ASSERT_FAILS(shard_record(w->s, &before, &r, &left, &e), e, ERROR_ABORTED);
    assert_int_equal(again.item[0].counters.succeeded, 2);
}

static void test_nothing_counts_that_no_blob_holds(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j = cut_job(w, 1);
    enum shards_left left;
    struct blob gone = { .id = 4711 };

    ASSERT_OK(fleet_join(w->s, "a", &e), e);
    struct taken t = lease(w->s, j.id, 1);
    struct shard_record r = { .step = SHARD_CHECKPOINT, .counters = answered(5, 0) };
    (void)record(w->s, &t.item[0], &r);
    assert_int_equal(get(w, j.id).counters.succeeded, 0);
    assert_int_equal(t.item[0].counters.succeeded, 0);
    r.answers = &gone;
    ASSERT_FAILS(shard_record(w->s, &t.item[0], &r, &left, &e), e, ERROR_UNAVAILABLE);
    assert_int_equal(get(w, j.id).counters.succeeded, 0);
}

static void test_a_new_checkpoint_lets_the_old_one_go(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j = cut_job(w, 1);

    ASSERT_OK(fleet_join(w->s, "a", &e), e);
    struct taken t = lease(w->s, j.id, 1);
    struct blob first = checkpoint(w, w->s, &t.item[0], answered(1, 0));
    struct blob second = checkpoint(w, w->s, &t.item[0], answered(2, 0));
    assert_int_equal(rows(w, "SELECT count(*) FROM blob_gone"), 1);
    assert_int_equal(rows(w, "SELECT id FROM blob_gone"), first.id);
    (void)finish(w, w->s, &t.item[0], answered(10, 0));
    assert_int_equal(rows(w, "SELECT count(*) FROM blob_gone"),
                     2); /* nobody needs them of a whole shard */
    (void)second;
}

static void test_what_is_leased_without_being_known_is_given_back(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j = cut_job(w, 2);

    ASSERT_OK(fleet_join(w->s, "a", &e), e);
    struct taken t = lease(w->s, j.id, 2);
    shard_forget(w->s, &t.item[0]);
    renew(w->s, 0);
    assert_int_equal(glance(w, j.id).open, 1);
    assert_int_equal(glance(w, j.id).leased, 1);
    (void)checkpoint(w, w->s, &t.item[1], answered(1, 0));
    assert_int_equal(lease(w->s, j.id, 2).item[0].number, 0);
}

static void test_a_process_without_a_lease_leases_nothing(void **state)
{
    struct world *w = *state;
    struct store *b = other_process(w, "b");
    struct error e = { 0 };
    struct job j = cut_job(w, 1);
    struct shard_lease l;
    const struct shards_want want = { .job = j.id, .most = 1 };
    struct shards_got got = { .item = &l };

    ASSERT_FAILS(shards_lease(w->s, &want, &got, &e), e, ERROR_ABORTED);
    ASSERT_OK(fleet_join(w->s, "a", &e), e);
    pass(w, 8000000); /* the margin */
    ASSERT_FAILS(shards_lease(b, &want, &got, &e), e, ERROR_ABORTED);
    pass(w, 4000000);
    renew(w->s, 1);
    assert_int_equal(lease(w->s, j.id, 1).count, 1);
    store_close(b);
}

/* ---- What clients ask ---- */

static void test_a_pause_waits_for_the_last_release(void **state)
{
    struct world *w = *state;
    struct store *b = other_process(w, "b");
    struct error e = { 0 };
    struct job j = cut_job(w, 3), out;

    ASSERT_OK(fleet_join(w->s, "a", &e), e);
    struct taken one = lease(w->s, j.id, 1), two = lease(b, j.id, 1);
    ASSERT_OK(job_pause(w->s, &w->a, "p", j.id, &out, &e), e);
    assert_int_equal(out.state, JOB_RUNNING);
    assert_int_equal(lease(b, j.id, 1).left, SHARDS_HALTED);
    assert_int_equal(release(w->s, &one.item[0], NULL), SHARDS_HALTED);
    assert_false(settle(w->s, j.id));
    assert_int_equal(finish(w, b, &two.item[0], answered(10, 0)), SHARDS_HALTED);
    assert_true(settle(b, j.id));
    out = get(w, j.id);
    assert_int_equal(out.state, JOB_PAUSED);
    assert_true(str_eq_c(out.pause_reason, "asked"));
    assert_int_equal(out.stretch_us, 0);
    assert_false(settle(b, j.id));
    ASSERT_OK(job_resume(w->s, &w->a, &(struct job_resume){ .id = j.id }, &out, &e), e);
    assert_int_equal(lease(b, j.id, 1).count, 1);
    assert_int_equal(get(w, j.id).fence, out.fence + 1);
    store_close(b);
}

static void test_a_job_that_nobody_works_on_waits_again(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct event v[8];
    struct job j = cut_job(w, 2);

    ASSERT_OK(fleet_join(w->s, "a", &e), e);
    struct taken t = lease(w->s, j.id, 1);
    pass(w, 1000000);
    assert_int_equal(release(w->s, &t.item[0], NULL), SHARDS_SOME);
    assert_true(settle(w->s, j.id));
    assert_int_equal(get(w, j.id).state, JOB_QUEUED);
    assert_int_equal(get(w, j.id).ran_us, 1000000);
    assert_int_equal(events_of(w, j.id, v, 8), 4);
    assert_int_equal(v[3].state, JOB_QUEUED);
}

static void test_time_without_a_holder_is_no_running_time(void **state)
{
    struct world *w = *state;
    struct store *b = other_process(w, "b");
    struct error e = { 0 };
    struct job j = cut_job(w, 2);

    (void)lease(b, j.id, 1);
    pass(w, 3600000000);
    ASSERT_OK(fleet_join(w->s, "a", &e), e);
    renew(w->s, 1);
    (void)lease(w->s, j.id, 1);
    j = get(w, j.id);
    assert_int_equal(j.stretch_us, w->clock.fake_us);
    assert_int_equal(j.ran_us, 0); /* up to the last write */
    store_close(b);
}

static void test_a_cancelled_job_is_closed_by_any_process(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j = cut_job(w, 3), out;
    struct shard_lease l[4];
    const struct shards_want want = { .job = j.id, .most = 4, .closing = true };
    struct shards_got got = { .item = l };

    ASSERT_OK(fleet_join(w->s, "a", &e), e);
    struct taken t = lease(w->s, j.id, 1);
    ASSERT_OK(job_cancel(w->s, &w->a, "p", j.id, &out, &e), e);
    assert_int_equal(out.state, JOB_CANCELLING);
    struct blob answers = blob_of(w, "a");
    struct shard_record r = { .step = SHARD_RELEASE,
                              .counters = answered(4, 0),
                              .answers = &answers };
    assert_int_equal(record(w->s, &t.item[0], &r), SHARDS_HALTED);
    assert_false(settle(w->s, j.id));
    assert_int_equal(lease(w->s, j.id, 1).left, SHARDS_HALTED);
    ASSERT_OK(shards_lease(w->s, &want, &got, &e), e);
    assert_int_equal(got.count, 3);
    assert_int_equal(l[0].answers, answers.id);
    for (uint32_t i = 0; i < got.count; i++) {
        struct counters c = l[i].counters;
        c.not_run = LINES - c.succeeded;
        assert_int_equal(finish(w, w->s, &l[i], c), i == 2 ? SHARDS_NONE : SHARDS_HALTED);
    }
    out = get(w, j.id);
    out.error = ERROR_CANCELLED;
    ASSERT_OK(finish_as(w, &out, JOB_CANCELLED, &e), e);
    assert_int_equal(get(w, j.id).counters.not_run, 26);
    assert_int_equal(get(w, j.id).counters.succeeded, 4);
}

static void test_an_end_voids_all_leases(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j = cut_job(w, 3);
    enum shards_left left;

    ASSERT_OK(fleet_join(w->s, "a", &e), e);
    struct taken t = lease(w->s, j.id, 2);
    (void)checkpoint(w, w->s, &t.item[0], answered(4, 0));
    j.fence = get(w, j.id).fence; /* its counters are old */
    ASSERT_OK(finish_as(w, &j, JOB_FAILED, &e), e);
    assert_int_equal(j.counters.succeeded, 4);
    assert_int_equal(j.counters.not_run, 26);
    assert_int_equal(rows(w, "SELECT count(*) FROM shard WHERE process != 0"), 0);
    assert_int_equal(rows(w, "SELECT shards_leased FROM job"), 0);
    struct blob out = blob_of(w, "r");
    struct shard_record r = { .step = SHARD_DONE, .counters = answered(10, 0), .output = &out };
    ASSERT_FAILS(shard_record(w->s, &t.item[0], &r, &left, &e), e, ERROR_ABORTED);
    assert_int_equal(get(w, j.id).counters.succeeded, 4);
    fleet_leave(w->s);
    assert_int_equal(rows(w, "SELECT count(*) FROM process"), 0);
}

static void test_a_deleted_jobs_blobs_go(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j = cut_job(w, 2);
    struct blob file = blob_of(w, "faults"), got;
    enum shards_left left;

    ASSERT_OK(fleet_join(w->s, "a", &e), e);
    ASSERT_OK(job_file_set(w->s, j.id, "faults.jsonl", &file, &e), e);
    assert_int_equal(job_file_get(w->s, j.id, "faults.jsonl", &got, &e), 1);
    assert_int_equal(got.id, file.id);
    assert_int_equal(got.bytes, file.bytes);
    assert_int_equal(job_file_get(w->s, j.id, "other", &got, &e), 0);
    struct taken t = lease(w->s, j.id, 2);
    (void)finish(w, w->s, &t.item[0], answered(10, 0));
    (void)checkpoint(w, w->s, &t.item[1], answered(4, 0));
    j.fence = get(w, j.id).fence;
    ASSERT_OK(finish_as(w, &j, JOB_FAILED, &e), e);
    ASSERT_OK(job_delete(w->s, "p", j.id, &e), e);
    assert_int_equal(rows(w, "SELECT count(*) FROM shard"), 0);
    assert_int_equal(rows(w, "SELECT count(*) FROM job_file"), 0);
    assert_int_equal(rows(w, "SELECT count(*) FROM blob_gone"), 3);
    struct shard_record r = { .step = SHARD_RELEASE, .counters = t.item[1].counters };
    ASSERT_FAILS(shard_record(w->s, &t.item[1], &r, &left, &e), e, ERROR_ABORTED);
    ASSERT_FAILS(job_file_set(w->s, j.id, "x", &file, &e), e, ERROR_UNAVAILABLE);
}

/* ---- Limits ---- */

static struct job with_budget(struct world *w, uint64_t nano, uint64_t tokens, uint32_t shards)
{
    struct job j = job_new("p");

    j.options.budget_nano = nano;
    j.options.budget_tokens = tokens;
    return cut_job_as(w, j, shards);
}

static void test_reservations_never_pass_the_budget(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j = with_budget(w, 2500, 0, 5), out;

    ASSERT_OK(fleet_join(w->s, "a", &e), e);
    struct taken t = lease(w->s, j.id, 5);
    assert_int_equal(t.count, 3); /* of 1000 each, and what is left */
    assert_int_equal(t.item[0].budget_nano, 1000);
    assert_true(t.item[0].budget_tokens == UINT64_MAX);
    assert_int_equal(t.item[2].budget_nano, 500);
    struct taken none = lease(w->s, j.id, 5);
    assert_int_equal(none.count, 0);
    assert_int_equal(none.left, SHARDS_TAKEN); /* something may come back */
    (void)checkpoint(w, w->s, &t.item[0], answered(4, 0));
    assert_int_equal(t.item[0].budget_nano, 960);
    (void)finish(w, w->s, &t.item[0], answered(10, 0)); /* 100 of 1000 */
    t.item[0] = lease(w->s, j.id, 1).item[0];
    assert_int_equal(t.item[0].budget_nano, 900);

    struct blob spent = blob_of(w, "a");
    struct counters dear = { .total = LINES, .succeeded = 5, .cost_nano = 600 };
    struct shard_record r = {
        .step = SHARD_RELEASE, .counters = dear, .answers = &spent, .pause = "budget"
    };
    (void)record(w->s, &t.item[2], &r);
    assert_int_equal(get(w, j.id).asked, ASKED_NOTHING); /* others hold the rest */
    dear.cost_nano = 900;
    r.counters = dear;
    struct blob more = blob_of(w, "b"), last = blob_of(w, "c");
    r.answers = &more;
    (void)record(w->s, &t.item[0], &r);
    dear.cost_nano = 1000;
    r.counters = dear;
    r.answers = &last;
    assert_int_equal(record(w->s, &t.item[1], &r), SHARDS_HALTED);
    assert_int_equal(get(w, j.id).asked, ASKED_PAUSE);
    assert_true(settle(w->s, j.id));
    out = get(w, j.id);
    assert_int_equal(out.state, JOB_PAUSED);
    assert_true(str_eq_c(out.pause_reason, "budget"));

    struct job_options larger = out.options;
    larger.budget_nano = 5000;
    ASSERT_OK(
        job_resume(w->s, &w->a, &(struct job_resume){ .id = j.id, .options = &larger }, &out, &e),
        e);
    t = lease(w->s, j.id, 4);
    assert_int_equal(t.count, 1);
    assert_int_equal(t.item[0].budget_nano,
                     2400); /* its lines cost more than they should: all that is left */
}

static void test_a_budget_of_tokens_is_spent_before_a_lease(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j = with_budget(w, 0, 50, 2), out;

    ASSERT_OK(fleet_join(w->s, "a", &e), e);
    struct taken t = lease(w->s, j.id, 2);
    assert_int_equal(t.count, 1);
    assert_int_equal(t.item[0].budget_tokens, 50);
    assert_int_equal(finish(w, w->s, &t.item[0], answered(10, 0)),
                     SHARDS_SOME); /* 5 tokens a line */
    t = lease(w->s, j.id, 2);
    assert_int_equal(t.count, 0);
    assert_int_equal(t.left, SHARDS_BUDGET);
    assert_true(settle(w->s, j.id));
    out = get(w, j.id);
    assert_true(str_eq_c(out.pause_reason, "budget"));
    ASSERT_OK(job_resume(w->s, &w->a, &(struct job_resume){ .id = j.id }, &out, &e), e);
    assert_int_equal(out.pause_reason.len, 0);
    assert_int_equal(lease(w->s, j.id, 2).left, SHARDS_BUDGET); /* at once again */
}

static void test_a_job_that_fails_too_often_is_paused(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j = job_new("p"), out;

    j.options.error_rate_max = 0.25;
    j.options.error_lines_min = 8;
    j = cut_job_as(w, j, 3);
    ASSERT_OK(fleet_join(w->s, "a", &e), e);
    struct taken t = lease(w->s, j.id, 2);
    (void)checkpoint(w, w->s, &t.item[0], answered(1, 6));
    assert_int_equal(get(w, j.id).asked, ASKED_NOTHING); /* too few */
    (void)checkpoint(w, w->s, &t.item[1], answered(1, 0));
    assert_int_equal(get(w, j.id).asked, ASKED_PAUSE);
    (void)release(w->s, &t.item[0], NULL);
    (void)release(w->s, &t.item[1], NULL);
    assert_true(settle(w->s, j.id));
    out = get(w, j.id);
    assert_int_equal(out.state, JOB_PAUSED);
    assert_true(str_eq_c(out.pause_reason, "errors"));
}

/* Leases one shard with a turn at a model; the start of the project's next one. */
static double turn_after(struct world *w, struct store *s, struct job j, double weight)
{
    struct shard_lease l;
    const struct shards_want want = { .job = j.id, .most = 1, .model = "m", .weight = weight };
    struct shards_got got = { .item = &l };
    struct shards_turn *turn = NULL;
    struct error e = { 0 };
    uint32_t count = 0;

    ASSERT_OK(shards_lease(s, &want, &got, &e), e);
    assert_int_equal(got.count, 1);
    ASSERT_OK(shards_turns(w->s, &w->a, &turn, &count, &e), e);
    for (uint32_t i = 0; i < count; i++)
        if (str_eq_c(turn[i].project, j.project) && str_eq_c(turn[i].model, "m"))
            return turn[i].start;
    return -1;
}

/* A shard's work is its 10 lines here. */
static void test_turns_follow_weights_over_all_processes(void **state)
{
    struct world *w = *state;
    struct store *b = other_process(w, "b");
    struct error e = { 0 };
    struct job light = cut_job_as(w, job_new("light"), 5);
    struct job heavy = cut_job_as(w, job_new("heavy"), 5);
    struct job late = cut_job_as(w, job_new("late"), 5);

    ASSERT_OK(fleet_join(w->s, "a", &e), e);
    assert_true(turn_after(w, w->s, light, 1) == 10);
    assert_true(turn_after(w, b, light, 1) == 20);
    assert_true(turn_after(w, b, heavy, 2) == 15); /* begins at the model's time, 10 */
    assert_true(turn_after(w, w->s, heavy, 2) == 20);
    assert_true(turn_after(w, b, heavy, 2) == 25);
    assert_true(turn_after(w, b, late, 1) == 30); /* no claim to what it did not use */
    store_close(b);
}

/* ---- Checks ---- */

static void test_an_older_check_writes_nothing(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job old = create(w), young;
    const struct shard_cut cut = { .lines = 1 };

    ASSERT_OK(job_check_begin(w->s, &old, &e), e);
    young = old;
    ASSERT_OK(job_check_begin(w->s, &young, &e), e);
    ASSERT_FAILS(shards_add(w->s, &old, &cut, 1, &e), e, ERROR_ABORTED);
    ASSERT_FAILS(job_inputs_set(w->s, &old, NULL, 0, &e), e, ERROR_ABORTED);
    ASSERT_FAILS(job_checked(w->s, &old, &e), e, ERROR_ABORTED);
    ASSERT_OK(shards_add(w->s, &young, &cut, 1, &e), e);
    ASSERT_OK(shards_add(w->s, &young, &cut, 1, &e), e);
    young.counters.total = 1;
    ASSERT_OK(job_checked(w->s, &young, &e), e);
    ASSERT_FAILS(shards_add(w->s, &young, &cut, 1, &e), e, ERROR_FAILED_PRECONDITION);
    assert_int_equal(glance(w, young.id).open, 1);
}

static void test_a_retry_begins_with_what_was_done(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j = cut_job(w, 3), again = create(w), other = create(w);
    struct blob *done, answers = blob_of(w, "half");
    uint32_t count;

    ASSERT_OK(fleet_join(w->s, "a", &e), e);
    struct taken t = lease(w->s, j.id, 3);
    struct counters c = answered(10, 0);
    c.structured = 4;
    (void)finish(w, w->s, &t.item[0], c);
    struct blob out = blob_of(w, "rows");
    struct shard_record r = {
        .step = SHARD_DONE, .counters = answered(7, 3), .output = &out, .answers = &answers
    };
    (void)record(w->s, &t.item[1], &r);
    cut_into(w, &again, 3);
    ASSERT_FAILS(shards_inherit(w->s, &again, j.id, &e), e,
                 ERROR_FAILED_PRECONDITION); /* it runs */
    j.fence = get(w, j.id).fence;
    ASSERT_OK(finish_as(w, &j, JOB_FAILED, &e), e);
    cut_into(w, &other, 2);
    ASSERT_FAILS(shards_inherit(w->s, &other, j.id, &e), e, ERROR_FAILED_PRECONDITION);
    ASSERT_FAILS(shards_inherit(w->s, &other, create(w).id, &e), e, ERROR_NOT_FOUND);

    ASSERT_OK(shards_inherit(w->s, &again, j.id, &e), e);
    ASSERT_OK(job_checked(w->s, &again, &e), e);
    again = get(w, again.id);
    assert_int_equal(again.counters.succeeded, 10);
    assert_int_equal(again.counters.duplicates, 10);
    assert_int_equal(again.counters.duplicate_tokens, 50);
    assert_int_equal(again.counters.structured, 4);
    assert_int_equal(again.counters.cost_nano, 0);
    ASSERT_OK(job_delete(w->s, "p", j.id, &e), e); /* what is taken stays */
    assert_true(blob_is_there(w, answers.id));
    t = lease(w->s, again.id, 3);
    assert_int_equal(t.count, 2);
    assert_int_equal(t.item[0].number, 1);
    assert_int_equal(t.item[0].answers, answers.id);
    assert_int_equal(t.item[0].taken, j.id);
    assert_int_equal(t.item[0].counters.succeeded, 0);
    assert_int_equal(t.item[1].answers, 0);
    (void)checkpoint(w, w->s, &t.item[0], answered(8, 0));
    assert_int_equal(t.item[0].taken, 0);
    (void)finish(w, w->s, &t.item[1], answered(10, 0));
    ASSERT_OK(shards_done(w->s, &w->a, again.id, &done, &count, &e), e);
    assert_int_equal(count, 1);
    struct shard_rows *recorded;
    ASSERT_OK(shards_recorded(w->s, &w->a, again.id, &recorded, &count, &e), e);
    assert_int_equal(count, 3);
    assert_int_equal(recorded[0].output.id, done[0].id);
    assert_int_equal(recorded[1].output.id, 0);
    assert_int_equal(recorded[1].answers, t.item[0].answers);
    assert_int_equal(recorded[2].number, 2);
    assert_true(recorded[2].output.id);
}

static void test_a_restart_leaves_jobs_in_shards_alone(void **state)
{
    struct world *w = *state;
    struct store *b = other_process(w, "b");
    struct error e = { 0 };
    struct job j = cut_job(w, 2), whole = running(w);

    struct taken t = lease(b, j.id, 1);
    ASSERT_OK(job_recover(w->s, &e), e);
    assert_int_equal(get(w, j.id).state, JOB_RUNNING);
    assert_int_equal(get(w, whole.id).state, JOB_QUEUED);
    (void)checkpoint(w, b, &t.item[0], answered(1, 0));
    store_close(b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_make, world_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_job_in_shards_runs_to_its_end),
        TEST(test_a_job_of_many_shards_is_cut_in_their_order),
        TEST(test_what_a_dead_process_held_goes_on_from_its_checkpoint),
        TEST(test_a_record_that_is_made_again_counts_once),
        TEST(test_nothing_counts_that_no_blob_holds),
        TEST(test_a_new_checkpoint_lets_the_old_one_go),
        TEST(test_what_is_leased_without_being_known_is_given_back),
        TEST(test_a_process_without_a_lease_leases_nothing),
        TEST(test_a_pause_waits_for_the_last_release),
        TEST(test_a_job_that_nobody_works_on_waits_again),
        TEST(test_time_without_a_holder_is_no_running_time),
        TEST(test_a_cancelled_job_is_closed_by_any_process),
        TEST(test_an_end_voids_all_leases),
        TEST(test_a_deleted_jobs_blobs_go),
        TEST(test_reservations_never_pass_the_budget),
        TEST(test_a_budget_of_tokens_is_spent_before_a_lease),
        TEST(test_a_job_that_fails_too_often_is_paused),
        TEST(test_turns_follow_weights_over_all_processes),
        TEST(test_an_older_check_writes_nothing),
        TEST(test_a_retry_begins_with_what_was_done),
        TEST(test_a_restart_leaves_jobs_in_shards_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
