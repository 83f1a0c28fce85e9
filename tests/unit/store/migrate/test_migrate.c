/* A state folder goes to PostgreSQL and a bucket whole, or goes on with it after any end. The servers are those of
 * tests/cluster/servers.py. */
#include "unit/store/jobs/job_world.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "store/migrate/migrate.h"
#include "store/spool/spool.h"

#define OBJECTS 130
#define LINES 10

/* A folder with some of everything, and where it goes. */
struct moving {
    struct world from; /* first */
    char database[DATABASE_URL_BYTES], bucket[512];
    struct job done, waiting, paused, new;
    char upload[UPLOAD_ID_BYTES];
};

static void add_objects(struct world *w)
{
    struct error e = { 0 };
    const struct bucket b = { .name = STR("bucket"), .meta = STR("{}") };
    char name[32], text[64];

    ASSERT_OK(bucket_create(w->s, "p", &b, &e), e);
    for (unsigned i = 0; i < OBJECTS; i++) {
        (void)snprintf(name, sizeof name, "o%u", i);
        (void)snprintf(text, sizeof text, i ? "the bytes of %u" : "", i);
        (void)put(w, "bucket", name, text);
    }
    ASSERT_OK(object_delete(w->s, REF(NULL, STR("bucket"), STR("o7")), &e), e);
}

static void add_upload(struct moving *m)
{
    struct error e = { 0 };
    struct upload up = { .project = STR("p"), .what = STR("{}"), .bytes_max = 1000 };
    uint64_t bytes = 0;

    ASSERT_OK(upload_create(m->from.s, &up, &e), e);
    struct blob_writer *writer = upload_open(m->from.s, up.id, &e);
    assert_non_null(writer);
    ASSERT_OK(blob_write(writer, "first half, ", 12, &e), e);
    ASSERT_OK(upload_pause(m->from.s, up.id, writer, &bytes, &e), e);
    assert_int_equal(bytes, 12);
    (void)snprintf(m->upload, sizeof m->upload, "%s", up.id);
    ASSERT_OK(upload_create(m->from.s, &up, &e), e); /* without a byte */
}

/* The folder of a job with these files of the runner. */
static void add_answers(struct world *w, int64_t job)
{
    struct error e = { 0 };
    char path[PATH_BYTES];

    store_path(w->s, path, "jobs/%lld", (long long)job);
    ASSERT_OK(sys_mkdirs(path, &e), e);
    struct spool *s = spool_open(path, &e);
    assert_non_null(s);
    struct spool_row row = { .index = 2,
                             .outcome = OUTCOME_SUCCEEDED,
                             .response = STR("{\"a\":1}"),
                             .usage = { .prompt_tokens = 5, .candidate_tokens = 7 },
                             .cost_nano = 100,
                             .forced_tokens = 3 };
    ASSERT_OK(spool_put(s, &row, &e), e);
    row.index = 4;
    row.duplicate = true;
    row.cost_nano = 0;
    ASSERT_OK(spool_put(s, &row, &e), e);
    row = (struct spool_row){
        .index = 9, .outcome = OUTCOME_FAILED, .code = ERROR_INTERNAL, .status = STR("no")
    };
    ASSERT_OK(spool_put(s, &row, &e), e);
    ASSERT_OK(spool_reject(s, &(struct usage){ .candidate_tokens = 11 }, 40, &e), e);
    ASSERT_OK(spool_commit(s, &e), e);
    spool_close(s);
    store_path(w->s, path, "jobs/%lld/faults.jsonl", (long long)job);
    int fd = sys_create(path, &e);
    ASSERT_OK(sys_write_all(fd, "{\"line\":3}\n", 11, path, &e), e);
    assert_int_equal(close(fd), 0);
}

static void add_jobs(struct moving *m)
{
    struct world *w = &m->from;
    struct error e = { 0 };
    struct job given;

    m->done = running(w);
    m->done.result = blob_of(w, "its rows").id;
    m->done = succeed(w, m->done);
    m->waiting = running(w);
    add_answers(w, m->waiting.id);
    m->waiting.counters.succeeded = 2;
    m->waiting.counters.duplicates = 1;
    m->waiting.counters.failed = 1;
    ASSERT_OK(job_yield(w->s, &m->waiting, JOB_QUEUED, &e), e);
    m->paused = queued(w);
    ASSERT_OK(job_pause(w->s, &w->a, NULL, m->paused.id, &given, &e), e);
    m->new = create(w);
}

static int make(void **state)
{
    struct moving *m = mem_alloc(sizeof *m);
    struct world *w = &m->from;
    char here[256];

    *state = m;
    scratch_make(&w->scratch);
    (void)scratch_path(&w->scratch, "state", w->dir);
    w->clock = clock_fake(NOW_US);
    world_open(w);
    add_objects(w);
    add_upload(m);
    add_jobs(m);
    database_make(m->database);
    assert_string_not_equal(m->database, "");
    assert_non_null(getcwd(here, sizeof here));
    (void)snprintf(m->bucket, sizeof m->bucket, "file://%s/%s/bucket", here, w->scratch.dir);
    return 0;
}

static int unmake(void **state)
{
    struct moving *m = *state;

    store_close(m->from.s);
    database_remove(m->database);
    arena_release(&m->from.a);
    scratch_remove(&m->from.scratch);
    mem_free(m);
    return 0;
}

static int migrate(struct moving *m, struct store_migration *out, struct error *e)
{
    *out = (struct store_migration){ .database = m->database, .bucket = m->bucket };
    return store_migrate(m->from.s, out, e);
}

/* The target as a process of the fleet sees it. */
static struct store *open_target(struct moving *m, struct error *e)
{
    char dir[SCRATCH_PATH_BYTES];
    const struct store_place place = { .dir = scratch_path(&m->from.scratch, "process", dir),
                                       .database = m->database,
                                       .bucket = m->bucket };

    return store_open_at(&place, true, &m->from.clock, e);
}

/* ---- What is there afterwards ---- */

static void assert_objects(struct moving *m, struct store *s)
{
    struct arena a = { 0 };
    struct error e = { 0 };
    struct object_list here, there;
    const struct object_query q = { .bucket = STR("bucket"), .most = 1000 };

    ASSERT_OK(object_query(m->from.s, &a, &q, &here, &e), e);
    ASSERT_OK(object_query(s, &a, &q, &there, &e), e);
    assert_int_equal(here.count, OBJECTS - 1);
    assert_int_equal(there.count, here.count);
    for (uint32_t i = 0; i < here.count; i++) {
        char text[64] = "";
        const struct object *o = &here.item[i], *p = &there.item[i];
        assert_true(str_eq(o->name, p->name));
        assert_int_equal(o->generation, p->generation);
        assert_memory_equal(&o->blob, &p->blob, sizeof o->blob);
        int fd = blob_open(m->from.s, o->blob.id, &e);
        assert_int_equal(sys_read_at(fd, text, sizeof text - 1, 0, "here", &e), o->blob.bytes);
        (void)close(fd);
        assert_fd_has(blob_open(s, p->blob.id, &e), text);
    }
    arena_release(&a);
}

static void assert_upload(struct moving *m, struct store *s)
{
    struct error e = { 0 };
    struct blob b;
    struct blob_writer *writer = upload_open(s, m->upload, &e);

    assert_string_equal(e.msg, "");
    assert_int_equal(blob_written(writer), 12);
    ASSERT_OK(blob_write(writer, "second half", 11, &e), e);
    ASSERT_OK(upload_finish(s, m->upload, writer, &b, &e), e);
    assert_int_equal(b.crc32c, crc32c_add(0, "first half, second half", 23));
    assert_fd_has(blob_open(s, b.id, &e), "first half, second half");
}

static void assert_state(struct store *s, int64_t id, enum job_state state, enum job_asked asked)
{
    struct arena a = { 0 };
    struct error e = { 0 };
    struct job j;

    assert_int_equal(job_get(s, &a, NULL, id, &j, &e), 1);
    assert_int_equal(j.state, state);
    assert_int_equal(j.asked, asked);
    if (!job_state_final(state))
        assert_int_equal(j.counters.total, 0);
    arena_release(&a);
}

/* The answers of the waiting job, with all its counters. */
static void assert_answers(struct moving *m, struct store *s)
{
    struct error e = { 0 };
    struct blob b;
    struct counters here = { 0 }, there = { 0 };
    char path[PATH_BYTES], dir[SCRATCH_PATH_BYTES];
    struct spool_row row = { 0 };

    assert_int_equal(job_file_get(s, m->waiting.id, JOB_ANSWERS_FILE, &b, &e), 1);
    (void)scratch_path(&m->from.scratch, "unpacked", dir);
    ASSERT_OK(sys_mkdirs(dir, &e), e);
    (void)snprintf(path, sizeof path, "%s/spool.db", dir);
    ASSERT_OK(blob_unpack_to(s, b.id, path, &e), e);
    struct spool *there_spool = spool_peek(dir, &e);
    assert_string_equal(e.msg, "");
    store_path(m->from.s, path, "jobs/%lld", (long long)m->waiting.id);
    struct spool *here_spool = spool_peek(path, &e);
    assert_string_equal(e.msg, "");
    spool_counters(here_spool, &here);
    spool_counters(there_spool, &there);
    assert_memory_equal(&here, &there, sizeof here);
    assert_int_equal(there.rejected_cost_nano, 40);
    assert_int_equal(there.forced_tokens, 3);
    assert_int_equal(spool_get(there_spool, 2, &row, &e), 1);
    assert_true(str_eq_c(row.response, "{\"a\":1}"));
    assert_int_equal(spool_get(there_spool, 3, &row, &e), 0);
    spool_close(here_spool);
    spool_close(there_spool);
    assert_int_equal(job_file_get(s, m->waiting.id, JOB_LINE_ERRORS_FILE, &b, &e), 1);
    assert_fd_has(blob_open(s, b.id, &e), "{\"line\":3}\n");
    assert_int_equal(job_file_get(s, m->done.id, JOB_ANSWERS_FILE, &b, &e), 0);
}

static void assert_moved(struct moving *m)
{
    struct error e = { 0 };
    struct arena a = { 0 };
    struct store *s = open_target(m, &e);
    unsigned char here[STORE_MAC_BYTES], there[STORE_MAC_BYTES];
    struct job j = job_new("p");
    bool existed;

    assert_string_equal(e.msg, "");
    assert_objects(m, s);
    assert_upload(m, s);
    assert_state(s, m->done.id, JOB_SUCCEEDED, ASKED_NOTHING);
    assert_state(s, m->waiting.id, JOB_PENDING, ASKED_NOTHING);
    assert_state(s, m->paused.id, JOB_PENDING, ASKED_PAUSE);
    assert_state(s, m->new.id, JOB_PENDING, ASKED_NOTHING);
    assert_answers(m, s);
    ASSERT_OK(store_mac(m->from.s, "x", STR("text"), here, &e), e);
    ASSERT_OK(store_mac(s, "x", STR("text"), there, &e), e);
    assert_memory_equal(here, there, sizeof here);
    assert_true(events_last(s) >= events_last(m->from.s));
    ASSERT_OK(job_create(s, &a, &j, NULL, &existed, &e), e);
    assert_true(j.id > m->new.id);
    arena_release(&a);
    store_close(s);
}

/* ---- Tests ---- */

static void use_mac(struct moving *m)
{
    unsigned char unused[STORE_MAC_BYTES];
    struct error e = { 0 };

    ASSERT_OK(store_mac(m->from.s, "x", STR("text"), unused, &e), e);
}

static void test_everything_goes_along(void **state)
{
    struct moving *m = *state;
    struct store_migration did;
    struct error e = { 0 };

    use_mac(m);
    ASSERT_OK(migrate(m, &did, &e), e);
    assert_false(did.resumed || did.done_before);
    assert_int_equal(did.blobs, OBJECTS); /* one was deleted, one is a job's */
    assert_int_equal(did.sent, OBJECTS);
    assert_int_equal(did.uploads, 2);
    assert_int_equal(did.jobs, 4);
    assert_int_equal(did.open_jobs, 3);
    assert_int_equal(did.answers, 3);
    assert_moved(m);
    assert_false(scratch_has(&m->from.scratch, "state/migrate"));
}

static void test_a_second_call_finds_it_done(void **state)
{
    struct moving *m = *state;
    struct store_migration did;
    struct error e = { 0 };

    use_mac(m);
    ASSERT_OK(migrate(m, &did, &e), e);
    ASSERT_OK(migrate(m, &did, &e), e);
    assert_true(did.done_before);
    assert_int_equal(did.rows, 0);
    assert_moved(m);
}

static void test_a_target_in_use_is_refused(void **state)
{
    struct moving *m = *state;
    struct store_migration did;
    struct error e = { 0 };
    struct store *s = open_target(m, &e);
    const struct bucket b = { .name = STR("theirs"), .meta = STR("{}") };

    ASSERT_OK(bucket_create(s, "p", &b, &e), e);
    store_close(s);
    ASSERT_FAILS(migrate(m, &did, &e), e, ERROR_FAILED_PRECONDITION);
}

/* Its numbers of blobs are those of another database's blobs. */
static void test_a_bucket_of_another_database_is_refused(void **state)
{
    struct moving *m = *state;
    struct moving *other;
    void *made;
    struct store_migration did;
    struct error e = { 0 };

    assert_int_equal(make(&made), 0);
    other = made;
    ASSERT_OK(migrate(other, &did, &e), e);
    did = (struct store_migration){ .database = m->database, .bucket = other->bucket };
    assert_int_equal(store_migrate(m->from.s, &did, &e), -1);
    assert_int_equal(e.code, ERROR_FAILED_PRECONDITION);
    assert_non_null(strstr(e.msg, "another database"));
    e = (struct error){ 0 };
    use_mac(m);
    ASSERT_OK(migrate(m, &did, &e), e);
    assert_moved(m);
    assert_int_equal(unmake(&made), 0);
}

/* It fails at a damaged blob; no process uses the half, nobody else's folder goes there, and repaired it goes on. */
static void test_a_half_done_target_is_its_own_folders(void **state)
{
    struct moving *m = *state;
    struct moving *other;
    void *made;
    struct store_migration did;
    struct error e = { 0 };
    struct object o;

    use_mac(m);
    ASSERT_OK(object_get(m->from.s, &m->from.a, REF(NULL, STR("bucket"), STR("o20")), &o, &e), e);
    const char *path = blob_path(m->from.s, &m->from.a, o.blob.id);
    int fd = sys_open(path, O_RDWR, &e);
    assert_int_equal(pwrite(fd, "X", 1, 0), 1);
    ASSERT_FAILS(migrate(m, &did, &e), e, ERROR_DATA_LOSS);
    assert_null(open_target(m, &e));
    assert_int_equal(e.code, ERROR_FAILED_PRECONDITION);
    assert_non_null(strstr(e.msg, "tranche migrate"));
    e = (struct error){ 0 };

    assert_int_equal(make(&made), 0);
    other = made;
    did = (struct store_migration){ .database = m->database, .bucket = m->bucket };
    ASSERT_FAILS(store_migrate(other->from.s, &did, &e), e, ERROR_FAILED_PRECONDITION);
    assert_int_equal(unmake(&made), 0);

    assert_int_equal(pwrite(fd, "t", 1, 0), 1);
    assert_int_equal(close(fd), 0);
    ASSERT_OK(migrate(m, &did, &e), e);
    assert_true(did.resumed);
    assert_true(did.sent < OBJECTS);
    assert_moved(m);
}

static void test_a_job_that_is_being_cancelled_is_waited_for(void **state)
{
    struct moving *m = *state;
    struct store_migration did;
    struct error e = { 0 };
    struct job out;

    ASSERT_OK(job_cancel(m->from.s, &m->from.a, NULL, m->waiting.id, &out, &e), e);
    assert_int_equal(out.state, JOB_CANCELLING);
    assert_int_equal(migrate(m, &did, &e), -1);
    assert_int_equal(e.code, ERROR_FAILED_PRECONDITION);
    assert_non_null(strstr(e.msg, "cancelled"));
}

static void test_any_failing_call_can_be_repeated(void **state)
{
    struct moving *m = *state;
    struct store_migration did = { 0 };
    struct error e = { 0 };

    use_mac(m);
    for (int n = 0;; n += 1 + n / 6) {
        e = (struct error){ 0 };
        fault_arm("*", n, EIO);
        int rc = migrate(m, &did, &e);
        int fired = fault_disarm();
        assert_true(rc == 0 || e.code != ERROR_OK);
        if (!fired || did.done_before)
            break;
    }
    e = (struct error){ 0 };
    ASSERT_OK(migrate(m, &did, &e), e);
    assert_moved(m);
}

/* Killed at one moment after the other, until it comes to its end. */
static void test_killed_at_any_time_it_goes_on(void **state)
{
    struct moving *m = *state;
    struct store_migration did;
    struct error e = { 0 };
    unsigned kills = 0;
    long wait_us = 0;
    int status;

    use_mac(m);
    store_close(m->from.s);
    for (bool ended = false; !ended; kills++) {
        pid_t child = fork();
        if (child == 0) {
            m->from.s = world_opened(&m->from, true);
            _exit(migrate(m, &did, &e) < 0 ? 1 : 0);
        }
        const struct timespec wait = { .tv_sec = wait_us / 1000000,
                                       .tv_nsec = wait_us % 1000000 * 1000 };
        (void)nanosleep(&wait, NULL);
        wait_us += 1000 + wait_us / 20;
        (void)kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        ended = WIFEXITED(status);
        if (ended)
            assert_int_equal(WEXITSTATUS(status), 0);
    }
    assert_true(kills > 1);
    world_open(&m->from);
    ASSERT_OK(migrate(m, &did, &e), e);
    assert_true(did.done_before);
    assert_moved(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_everything_goes_along, make, unmake),
        cmocka_unit_test_setup_teardown(test_a_second_call_finds_it_done, make, unmake),
        cmocka_unit_test_setup_teardown(test_a_target_in_use_is_refused, make, unmake),
        cmocka_unit_test_setup_teardown(test_a_bucket_of_another_database_is_refused, make, unmake),
        cmocka_unit_test_setup_teardown(test_a_half_done_target_is_its_own_folders, make, unmake),
        cmocka_unit_test_setup_teardown(test_a_job_that_is_being_cancelled_is_waited_for, make,
                                        unmake),
        cmocka_unit_test_setup_teardown(test_any_failing_call_can_be_repeated, make, unmake),
        cmocka_unit_test_setup_teardown(test_killed_at_any_time_it_goes_on, make, unmake),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
