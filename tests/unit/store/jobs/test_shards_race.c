/* Goal: with many processes that lease and record at once, over real connections and row locks, each shard is done once,
 * the sums hold, no budget is passed, and nothing waits in a circle. Method: a thread with a store of its own for each process;
 * all work on the same jobs, lose their leases at random, and go on as zombies; another thread pauses, resumes and looks. */
#include <pthread.h>
#include <stdatomic.h>

#include "unit/store/jobs/shard_world.h"
#include "base/clock.h"
#include "base/random.h"

#define PROCESSES 8
#define JOBS 3
#define SHARDS 30
#define LINE_COST 10 /* of at most 100, which cut_into reserves for a line */

struct race {
    struct world *w;
    int64_t job[JOBS];
    atomic_uint done[JOBS][SHARDS]; /* records that were taken */
    atomic_uint taken, refused, unavailable, left /* threads that work */;
    atomic_bool failed;
};

struct racer {
    struct race *race;
    pthread_t thread;
    struct store *s;
    struct arena arena;
    uint64_t seed;
};

/* A call that may be refused; false when it was. */
static bool went_well(struct race *r, int rc, struct error *e)
{
    if (rc >= 0)
        return true;
    bool expected = e->code == ERROR_ABORTED || e->code == ERROR_UNAVAILABLE ||
                    e->code == ERROR_FAILED_PRECONDITION;
    (void)atomic_fetch_add(e->code == ERROR_ABORTED ? &r->refused : &r->unavailable,
                           e->code != ERROR_FAILED_PRECONDITION);
    if (!expected || strstr(e->msg, "deadlock")) {
        print_error("%s: %s\n", error_name(e->code), e->msg);
        atomic_store(&r->failed, true);
    }
    *e = (struct error){ 0 };
    return false;
}

static struct counters after(uint32_t lines)
{
    return (struct counters){ .total = LINES,
                              .succeeded = lines,
                              .cost_nano = (uint64_t)lines * LINE_COST,
                              .prompt_tokens = lines };
}

static int blob_small(struct store *s, struct blob *out, struct error *e)
{
    struct blob_writer *w = blob_create(s, 1024, false, e);

    if (w && blob_write(w, "x", 1, e) < 0) {
        blob_abort(w);
        w = NULL;
    }
    return w ? blob_finish(w, out, e) : -1;
}

/* Records a lease's lines one step after the other, as far as its budget goes, until it ends in one way or another. */
static void work(struct racer *me, struct shard_lease *l, int job)
{
    struct race *r = me->race;
    struct blob answers, output;
    enum shards_left left = SHARDS_SOME;
    struct error e = { 0 };

    for (uint32_t lines = (uint32_t)l->counters.succeeded; !atomic_load(&r->failed);) {
        bool last = lines + 4 >= LINES;
        bool broke = l->budget_nano < (last ? LINES - lines : 4) * LINE_COST;
        uint32_t chance = (uint32_t)(random_next(&me->seed) >> 33) % 10;
        if (broke) {
            struct shard_record back = { .step = SHARD_RELEASE,
                                         .counters = l->counters,
                                         .pause = "budget" };
            (void)went_well(r, shard_record(me->s, l, &back, &left, &e), &e);
            return;
        }
        lines = last ? LINES : lines + 4;
        struct shard_record record = { .step = last ? SHARD_DONE : SHARD_CHECKPOINT,
                                       .counters = after(lines),
                                       .answers = last ? NULL : &answers,
                                       .output = last ? &output : NULL };
        if (!last && (chance < 2 || left == SHARDS_HALTED))
            record.step = SHARD_RELEASE;
        if (!went_well(r, blob_small(me->s, last ? &output : &answers, &e), &e))
            return;
        int rc = shard_record(me->s, l, &record, &left, &e);
        if (rc == 0 && last)
            (void)atomic_fetch_add(&r->done[job][l->number], 1);
        if (!went_well(r, rc, &e) || record.step != SHARD_CHECKPOINT)
            return;
    }
}

/* Another process takes this one for dead, and frees what it holds. */
static void expire(struct racer *me)
{
    struct error e = { 0 };
    struct db *d = store_write_rows(me->s, &e);
    int rc = d ? 0 : -1;

    if (d) {
        struct stmt *q = db_stmt(d, "UPDATE process SET until_us = 1 WHERE id = ?");
        db_bind(q, "i", fleet_process(me->s));
        rc = store_commit(me->s, d, db_run(q, "test", &e) < 0 ? -1 : 0, &e);
    }
    (void)went_well(me->race, rc, &e);
}

static void look_after_lease(struct racer *me)
{
    struct error e = { 0 };
    uint32_t freed;
    int rc = fleet_renew(me->s, &freed, &e);

    if (rc < 0 && e.code == ERROR_ABORTED)
        rc = fleet_join(me->s, "again", &e);
    (void)went_well(me->race, rc, &e);
}

/* False when the job has ended. */
static bool serve(struct racer *me, int job)
{
    struct race *r = me->race;
    struct shard_lease l[3];
    const struct shards_want want = { .job = r->job[job], .most = 3 };
    struct shards_got got = { .item = l };
    struct error e = { 0 };
    bool moved;

    if (!went_well(r, shards_lease(me->s, &want, &got, &e), &e))
        return true;
    (void)atomic_fetch_add(&r->taken, got.count);
    for (uint32_t i = 0; i < got.count; i++) {
        if ((random_next(&me->seed) >> 33) % 6 == 0)
            expire(me);
        work(me, &l[i], job);
        shard_forget(me->s, &l[i]); /* nothing, when its record was taken */
    }
    if (got.left == SHARDS_HALTED || got.left == SHARDS_BUDGET)
        (void)went_well(r, shards_settle(me->s, r->job[job], &moved, &e), &e);
    return got.left != SHARDS_NONE;
}

static void *race(void *arg)
{
    struct racer *me = arg;
    bool open[JOBS] = { true, true, true };
    uint32_t left = JOBS;

    while (left > 0 && !atomic_load(&me->race->failed)) {
        uint32_t job = (uint32_t)(random_next(&me->seed) >> 33) % JOBS;
        look_after_lease(me);
        if (!open[job])
            continue;
        open[job] = serve(me, (int)job);
        left -= !open[job];
    }
    (void)atomic_fetch_sub(&me->race->left, 1);
    return NULL;
}

/* One statement sees one instant. */
static void look(struct race *r)
{
    struct error e = { 0 };
    struct db *d = store_read(r->w->s, &e);

    assert_non_null(d);
    struct stmt *q = db_stmt(d, "SELECT count(*) FROM job WHERE budget_nano != 0"
                                " AND cost_nano + reserved_nano > budget_nano");
    assert_int_equal(db_step(q, "test", &e), 1);
    assert_int_equal(db_int(q, 0), 0);
    q = db_stmt(d, "SELECT count(*) FROM job WHERE succeeded + failed + not_run != (SELECT"
                   " sum(shard.succeeded + shard.failed + shard.not_run) FROM shard"
                   " WHERE shard.job = job.id)");
    assert_int_equal(db_step(q, "test", &e), 1);
    assert_int_equal(db_int(q, 0), 0);
    store_read_done(r->w->s, d);
}

/* A client that changes its mind, until all threads are done. */
static void disturb(struct race *r)
{
    struct world *w = r->w;
    uint64_t seed = 7;

    while (atomic_load(&r->left) > 0 && !atomic_load(&r->failed)) {
        int64_t id = r->job[random_next(&seed) % JOBS];
        struct error e = { 0 };
        struct job out;
        (void)went_well(r, job_pause(w->s, &w->a, NULL, id, &out, &e), &e);
        look(r);
        (void)went_well(r, job_resume(w->s, &w->a, &(struct job_resume){ .id = id }, &out, &e), &e);
        struct job_options dear = out.options;
        dear.budget_nano = dear.budget_nano ? dear.budget_nano + LINES * LINE_COST : 0;
        (void)went_well(
            r,
            job_resume(w->s, &w->a, &(struct job_resume){ .id = id, .options = &dear }, &out, &e),
            &e);
        clock_system()->sleep_ns(clock_system(), 5 * NS_PER_MS);
    }
}

static void expect_ended(struct race *r, int job)
{
    struct error e = { 0 };
    struct job j = get(r->w, r->job[job]);
    struct job_end end = { .to = JOB_SUCCEEDED };
    struct blob *part;
    uint32_t count;

    for (int i = 0; i < SHARDS; i++)
        assert_int_equal(atomic_load(&r->done[job][i]), 1);
    assert_int_equal(j.counters.succeeded, SHARDS * LINES);
    assert_int_equal(j.counters.cost_nano, SHARDS * LINES * LINE_COST);
    assert_int_equal(glance(r->w, j.id).open + glance(r->w, j.id).leased, 0);
    ASSERT_OK(shards_done(r->w->s, &r->w->a, j.id, &part, &count, &e), e);
    assert_int_equal(count, SHARDS);
    if (j.state == JOB_PAUSED) /* by the last pause */
        ASSERT_OK(job_resume(r->w->s, &r->w->a, &(struct job_resume){ .id = j.id }, &j, &e), e);
    ASSERT_OK(job_finish(r->w->s, &j, &end, &e), e);
}

static void test_each_shard_is_done_once_whoever_races(void **state)
{
    struct world *w = *state;
    struct race r = { .w = w, .left = PROCESSES };
    struct racer racer[PROCESSES];

    for (int i = 0; i < JOBS; i++) {
        struct job j = job_new("p");
        j.options.budget_nano = i == 0 ? 0 : 1500;
        r.job[i] = cut_job_as(w, j, SHARDS).id;
    }
    for (int i = 0; i < PROCESSES; i++) {
        racer[i] =
            (struct racer){ .race = &r, .seed = (uint64_t)i, .s = other_process(w, "racer") };
        assert_int_equal(pthread_create(&racer[i].thread, NULL, race, &racer[i]), 0);
    }
    disturb(&r);
    for (int i = 0; i < PROCESSES; i++) {
        assert_int_equal(pthread_join(racer[i].thread, NULL), 0);
        fleet_leave(racer[i].s);
        store_close(racer[i].s);
        arena_release(&racer[i].arena);
    }
    print_message("%u leases, %u refused, %u unavailable\n", atomic_load(&r.taken),
                  atomic_load(&r.refused), atomic_load(&r.unavailable));
    assert_false(atomic_load(&r.failed));
    for (int i = 0; i < JOBS; i++)
        expect_ended(&r, i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_shard_is_done_once_whoever_races, world_make,
                                        world_remove),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
