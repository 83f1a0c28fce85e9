/* Goal: lists leave nothing out, and every change is told in order. Method: a real store in a scratch
 * folder. */
#include "unit/store/jobs/job_world.h"

static bool keep_even(void *arg, const struct job *j)
{
    ++*(uint32_t *)arg;
    return j->id % 2 == 0;
}

static void test_pages_are_the_newest_first_and_leave_nothing_out(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job_list page;
    uint32_t asked = 0;
    struct job_query q = { .project = "p", .dialect = DIALECT_VERTEX, .most = 3 };
    struct job other = job_new("p");

    for (int i = 0; i < 7; i++)
        (void)create(w);
    (void)create_as(w, job_new("q"));
    other.dialect = DIALECT_GEMINI;
    (void)create_as(w, other);

    const uint32_t want[] = { 3, 3, 1 };
    int64_t last = INT64_MAX;
    for (int i = 0; i < 3; i++) {
        ASSERT_OK(job_query(w->s, &w->a, &q, &page, &e), e);
        assert_int_equal(page.count, want[i]);
        assert_int_equal(page.more, i < 2);
        for (uint32_t k = 0; k < page.count; k++) {
            assert_true(page.item[k].id < last);
            last = page.item[k].id;
        }
        assert_int_equal(page.last, last);
        q.before = page.last;
    }
    q = (struct job_query){ .dialect = DIALECT_VERTEX, .most = 100 };
    ASSERT_OK(job_query(w->s, &w->a, &q, &page, &e), e);
    assert_int_equal(page.count, 8);
    q.keep = keep_even;
    q.arg = &asked;
    q.most = 2;
    ASSERT_OK(job_query(w->s, &w->a, &q, &page, &e), e);
    assert_int_equal(page.count, 2);
    assert_true(page.more);
    assert_true(asked <= 5); /* the walk ends with the page */
    q = (struct job_query){ .dialect = DIALECT_VERTEX, .location = "europe-west4", .most = 100 };
    ASSERT_OK(job_query(w->s, &w->a, &q, &page, &e), e);
    assert_int_equal(page.count, 0);
    assert_false(page.more);
}

/* A statement gives 500 rows: the walk goes on behind them, and ends when they were the last ones. */
static bool keep_first(void *arg, const struct job *j)
{
    return j->id == *(const int64_t *)arg;
}

static void test_a_walk_over_many_jobs_misses_none(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job_list page;
    int64_t first = create(w).id;
    struct job_query q = {
        .project = "p", .dialect = DIALECT_VERTEX, .most = 1, .keep = keep_first, .arg = &first
    };

    for (int jobs = 1; jobs <= 1001; jobs++) {
        if (jobs % 500 <= 1) {
            ASSERT_OK(job_query(w->s, &w->a, &q, &page, &e), e);
            assert_int_equal(page.count, 1);
            assert_false(page.more);
            assert_int_equal(page.last, first);
        }
        (void)create(w);
    }
}

static void test_open_jobs_are_the_oldest_first(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job_list all;
    struct job a = create(w), b = queued(w);

    (void)succeed(w, running(w));
    struct job c = running(w);
    for (int i = 0; i < 30; i++)
        (void)create(w);
    ASSERT_OK(job_open_list(w->s, &w->a, &all, &e), e);
    assert_int_equal(all.count, 33);
    assert_int_equal(all.item[0].id, a.id);
    assert_int_equal(all.item[1].id, b.id);
    assert_int_equal(all.item[2].id, c.id);
}

/* Jobs that wait or run count, with their lines that have no answer; those that ended or are paused do not. */
static void test_the_queue_is_what_is_left_by_project_and_model(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job first = queued(w), runs = running(w), other = job_new("q"), paused = queued(w);
    struct job_queue *list;
    uint32_t count;

    runs.counters.succeeded = 4;
    runs.counters.failed = 1;
    ASSERT_OK(job_progress(w->s, &runs, &e), e);
    ASSERT_OK(job_pause(w->s, &w->a, NULL, paused.id, &paused, &e), e);
    (void)succeed(w, running(w));
    other.model = STR("another");
    (void)create_as(w, other); /* not checked: nobody knows its lines */
    ASSERT_OK(jobs_queue(w->s, &w->a, &list, &count, &e), e);
    assert_int_equal(count, 2);
    assert_true(str_eq_c(list[0].project, "p") && str_eq(list[0].model, first.model));
    assert_int_equal(list[0].lines, 10 + 5);
    assert_int_equal(list[0].waits_us, first.create_us);
    assert_int_equal(list[0].shards_open + list[0].shards_leased, 0);
    assert_true(str_eq_c(list[1].project, "q") && str_eq_c(list[1].model, "another"));
    assert_int_equal(list[1].lines, 0);
    assert_true(list[1].waits_us > 0);
}

static uint64_t position(struct world *w, const struct job *j)
{
    struct error e = { 0 };
    uint64_t n = 99;

    ASSERT_OK(job_position(w->s, j, &n, &e), e);
    return n;
}

static void test_the_position_counts_who_goes_first_of_the_same_model(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job first = queued(w), second = queued(w), urgent = queued(w), other = job_new("p");
    int64_t high = 5;

    other.model = STR("another");
    other = create_as(w, other);
    ASSERT_OK(job_checked(w->s, &other, &e), e);
    (void)running(w);
    (void)create(w);
    ASSERT_OK(job_patch(w->s, &w->a, &(struct job_patch){ .id = urgent.id, .priority = &high },
                        &urgent, &e),
              e);
    assert_int_equal(position(w, &urgent), 0);
    assert_int_equal(position(w, &first), 1);
    assert_int_equal(position(w, &second), 2);
    assert_int_equal(position(w, &other), 0);
}

/* ---- Events ---- */

static void test_events_tell_every_state_in_order(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct event v[8];
    uint32_t count = 0;
    const enum job_state want[] = { JOB_PENDING, JOB_QUEUED, JOB_RUNNING, JOB_SUCCEEDED };
    int64_t start = events_last(w->s);
    struct job j = succeed(w, running(w));

    assert_int_equal(start, 0);
    assert_int_equal(events_of(w, j.id, v, 8), 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(v[i].state, want[i]);
        assert_int_equal(v[i].job, j.id);
        assert_string_equal(v[i].project, "p");
        assert_int_equal(v[i].time_us, NOW_US);
        assert_true(i == 0 || v[i].seq > v[i - 1].seq);
    }
    int64_t last = events_last(w->s);
    assert_int_equal(last, v[3].seq);
    (void)create_as(w, job_new("q"));
    ASSERT_OK(events_after(w->s,
                           &(struct event_query){ .after = v[1].seq, .project = "p", .most = 8 }, v,
                           &count, &e),
              e);
    assert_int_equal(count, 2);
    ASSERT_OK(events_after(w->s, &(struct event_query){ .most = 3 }, v, &count, &e), e);
    assert_int_equal(count, 3);
    ASSERT_OK(events_after(w->s, &(struct event_query){ .project = "q", .job = j.id, .most = 8 }, v,
                           &count, &e),
              e);
    assert_int_equal(count, 0);
    ASSERT_OK(job_delete(w->s, NULL, j.id, &e), e);
    assert_int_equal(events_of(w, j.id, v, 8), 0);
    assert_int_equal(events_last(w->s), last + 1);
}

struct listener {
    struct world *w;
    uint32_t calls;
    int64_t last;
};

/* Under a lock, this would not come back. */
static void listen(void *arg, int64_t id)
{
    struct listener *l = arg;
    struct error e = { 0 };
    unsigned char secret[STORE_MAC_BYTES];

    l->calls++;
    l->last = id;
    ASSERT_OK(store_mac(l->w->s, "made by a listener", STR("text"), secret, &e), e);
    jobs_on_change(l->w->s, listen, l);
}

static void test_a_change_is_told_after_its_commit_and_under_no_lock(void **state)
{
    struct world *w = *state;
    struct listener l = { .w = w };
    struct job out;

    jobs_on_change(w->s, listen, &l);
    struct job j = running(w);
    assert_int_equal(l.calls, 3);
    assert_int_equal(l.last, j.id);
    struct error e = { 0 };
    ASSERT_FAILS(job_cancel(w->s, &w->a, "q", j.id, &out, &e), e, ERROR_NOT_FOUND);
    assert_int_equal(l.calls, 3);
    jobs_on_change(w->s, NULL, NULL);
    (void)create(w);
    assert_int_equal(l.calls, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_make, world_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_pages_are_the_newest_first_and_leave_nothing_out),
        TEST(test_a_walk_over_many_jobs_misses_none),
        TEST(test_open_jobs_are_the_oldest_first),
        TEST(test_the_queue_is_what_is_left_by_project_and_model),
        TEST(test_the_position_counts_who_goes_first_of_the_same_model),
        TEST(test_events_tell_every_state_in_order),
        TEST(test_a_change_is_told_after_its_commit_and_under_no_lock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
