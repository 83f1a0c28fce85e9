/* Goal: a backup made while others write is a whole state of one instant. Method: a thread that puts,
 * replaces, deletes and sweeps; every blob of the copy is read and its hash compared. */
#include "unit/store/objects/blob_world.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/fault.h"
#include "store/backup/backup.h"
#include "store/backup/backup_inner.h"
#include "store/jobs/jobs.h"
#include "store/spool/spool.h"

struct writer {
    struct world *w;
    pthread_t thread;
    atomic_bool stop;
    atomic_uint rounds;
};

static void *write_on(void *arg)
{
    struct writer *wr = arg;
    struct world *w = wr->w;
    char name[32], text[32];

    for (unsigned i = 0; !atomic_load(&wr->stop); i++) {
        struct error e = { 0 };
        struct blob b;
        uint64_t removed;
        (void)snprintf(name, sizeof name, "o%u", i % 40);
        int len = snprintf(text, sizeof text, "round %u", i);
        struct blob_writer *writer = blob_create(w->s, 100, false, &e);
        assert_non_null(writer);
        ASSERT_OK(blob_write(writer, text, (size_t)len, &e), e);
        ASSERT_OK(blob_finish(writer, &b, &e), e);
        struct object_new in = object_of("bucket", name, b);
        ASSERT_OK(object_put(w->s, NULL, &in, NULL, &e), e);
        if (i % 3 == 0)
            ASSERT_OK(object_delete(w->s, REF(NULL, STR("bucket"), str_of(name)), &e), e);
        if (i % 50 == 49)
            ASSERT_OK(blob_sweep(w->s, &removed, &e), e);
        atomic_fetch_add(&wr->rounds, 1);
    }
    return NULL;
}

static void assert_hashes_right(struct store *s, const struct object *o)
{
    struct error e = { 0 };
    char bytes[256];
    int fd = blob_open(s, o->blob.id, &e);

    assert_true(fd >= 0);
    int64_t n = sys_read_at(fd, bytes, sizeof bytes, 0, "blob", &e);
    assert_int_equal(close(fd), 0);
    assert_int_equal(n, o->blob.bytes);
    assert_int_equal(crc32c_add(0, bytes, (size_t)n), o->blob.crc32c);
}

/* How many objects the copy has; all of them are whole. */
static uint32_t check_copy(struct world *w, const char *dir)
{
    struct error e = { 0 };
    struct object_list list;
    struct object_query q = { .bucket = STR("bucket"), .most = 1000 };
    struct store *copy = store_open(dir, true, &w->clock, &e);

    assert_string_equal(e.msg, "");
    assert_non_null(copy);
    ASSERT_OK(object_query(copy, &w->a, &q, &list, &e), e);
    for (uint32_t i = 0; i < list.count; i++)
        assert_hashes_right(copy, &list.item[i]);
    store_close(copy);
    return list.count;
}

static void test_a_backup_beside_a_writing_server_is_whole(void **state)
{
    struct world *w = *state;
    struct writer wr = { .w = w };
    struct error e = { 0 };
    static const char *const copy[] = { "copy0", "copy1", "copy2" };
    static const char *const marker[] = { "copy0/backup.json", "copy1/backup.json",
                                          "copy2/backup.json" };
    char to[SCRATCH_PATH_BYTES];

    bucket_of(w, NULL, "bucket");
    assert_int_equal(pthread_create(&wr.thread, NULL, write_on, &wr), 0);
    for (int i = 0; i < 3; i++) {
        struct store *beside = store_open(w->dir, false, clock_system(), &e);
        assert_non_null(beside);
        unsigned before = atomic_load(&wr.rounds);
        while (atomic_load(&wr.rounds) < before + 60)
            clock_system()->sleep_ns(clock_system(), NS_PER_MS);
        (void)scratch_path(&w->scratch, copy[i], to);
        ASSERT_OK(store_backup(beside, to, &e), e);
        store_close(beside);
        assert_true(scratch_has(&w->scratch, marker[i]));
        assert_true(check_copy(w, to) >= 10);
    }
    atomic_store(&wr.stop, true);
    assert_int_equal(pthread_join(wr.thread, NULL), 0);
}

static void test_what_was_dropped_during_a_backup_goes_with_a_later_sweep(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    uint64_t removed = 0;

    bucket_of(w, NULL, "bucket");
    struct object o = put(w, "bucket", "o", "x");
    struct db *d = store_write(w->s, &e);
    int rc = db_exec(d, "INSERT INTO blob_hold (until_us) VALUES (9000000000000000)", "hold", &e);
    ASSERT_OK(store_commit(w->s, d, rc, &e), e);
    ASSERT_OK(object_delete(w->s, REF(NULL, STR("bucket"), STR("o")), &e), e);
    ASSERT_OK(blob_sweep(w->s, &removed, &e), e);
    assert_true(removed == 0 && blob_is_there(w, o.blob.id));
    d = store_write(w->s, &e);
    rc = db_exec(d, "DELETE FROM blob_hold", "hold", &e);
    ASSERT_OK(store_commit(w->s, d, rc, &e), e);
    ASSERT_OK(blob_sweep(w->s, &removed, &e), e);
    assert_true(removed == 1 && !blob_is_there(w, o.blob.id));
}

/* Fail some of the calls in turn: no marker stands on what is not whole, and nothing is held after. */
static void test_a_failed_backup_has_no_marker(void **state)
{
    struct world *w = *state;
    char to[SCRATCH_PATH_BYTES];

    bucket_of(w, NULL, "bucket");
    (void)put(w, "bucket", "o", "x");
    (void)scratch_path(&w->scratch, "copy", to);
    for (int n = 0;; n += n < 40 ? 1 : 97) { /* most are the 256 folders' */
        struct error e = { 0 };
        fault_arm("*", n, ENOSPC);
        int rc = store_backup(w->s, to, &e);
        int fired = fault_disarm();
        e = (struct error){ 0 };
        if (rc == 0)
            assert_int_equal(check_copy(w, to), 1);
        else
            assert_false(scratch_has(&w->scratch, "copy/backup.json"));
        ASSERT_OK(sys_remove_all(to, &e), e);
        if (!fired)
            break;
        assert_true(n < 5000);
    }
}

/* A job that is not final goes on in the copy, so its folder and its input are there; a final one keeps
 * the answers for a retry and its bad lines there. */
static void test_a_backup_has_the_folders_of_all_jobs_and_what_they_read(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j[2] = { { .source = JOB_INLINE, .project = "p" },
                        { .source = JOB_INLINE, .project = "p" } };
    char path[2 * PATH_BYTES], to[SCRATCH_PATH_BYTES];
    bool existed;

    for (int i = 0; i < 2; i++) {
        ASSERT_OK(job_create(w->s, &w->a, &j[i],
                             &(struct job_terms){ .inline_blob = blob_of(w, "input").id }, &existed,
                             &e),
                  e);
        (void)snprintf(path, sizeof path, "%s/jobs/%lld", w->dir, (long long)j[i].id);
        ASSERT_OK(sys_mkdirs(path, &e), e);
        (void)snprintf(path, sizeof path, "%s/jobs/%lld/output", w->dir, (long long)j[i].id);
        assert_true(close(sys_create(path, &e)) == 0);
    }
    ASSERT_OK(job_cancel(w->s, &w->a, "p", j[1].id, &j[1], &e), e);
    ASSERT_OK(store_backup(w->s, scratch_path(&w->scratch, "copy", to), &e), e);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s/jobs/%lld/output", to, (long long)j[i].id);
        assert_int_equal(access(path, F_OK), 0);
    }
    struct store *copy = store_open(to, true, &w->clock, &e);
    struct job_input *in;
    uint32_t count;
    assert_non_null(copy);
    ASSERT_OK(job_inputs(copy, &w->a, j[0].id, &in, &count, &e), e);
    assert_int_equal(count, 1);
    int fd = blob_open(copy, in[0].blob, &e);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    store_close(copy);
}

static void test_a_folder_with_something_in_it_is_refused(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };

    ASSERT_FAILS(store_backup(w->s, w->scratch.dir, &e), e, ERROR_ALREADY_EXISTS);
}

/* ---- Spools in use ---- */

struct spooler {
    struct spool *spool;
    pthread_t thread;
    atomic_bool stop;
    atomic_uint committed;
};

static char big[32 * 1024];

static void *spool_on(void *arg)
{
    struct spooler *sp = arg;

    for (unsigned i = 0; !atomic_load(&sp->stop); i++) {
        struct error e = { 0 };
        struct spool_row row = {
            .index = i,
            .outcome = OUTCOME_SUCCEEDED,
            .response = { big, sizeof big },
            .processed_us = 1,
        };
        ASSERT_OK(spool_put(sp->spool, &row, &e), e);
        ASSERT_OK(spool_commit(sp->spool, &e), e);
        atomic_store(&sp->committed, i + 1);
        clock_system()->sleep_ns(clock_system(), NS_PER_MS / 2);
    }
    return NULL;
}

/* Rows are written one by one: those of the copy must be the first n, whole. */
static void test_a_spool_is_copied_whole_while_it_is_written(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct spooler sp = { 0 };
    char from[SCRATCH_PATH_BYTES], to[SCRATCH_PATH_BYTES];

    memset(big, 'x', sizeof big);
    ASSERT_OK(sys_mkdirs(scratch_path(&w->scratch, "job", from), &e), e);
    scratch_write(&w->scratch, "job/output", "text", 4);
    sp.spool = spool_open(from, &e);
    assert_non_null(sp.spool);
    assert_int_equal(pthread_create(&sp.thread, NULL, spool_on, &sp), 0);
    for (int i = 0; i < 4; i++) {
        clock_system()->sleep_ns(clock_system(), 200 * NS_PER_MS);
        unsigned before = atomic_load(&sp.committed);
        ASSERT_OK(backup_job_folder(from, scratch_path(&w->scratch, "copy", to), &e), e);
        unsigned after = atomic_load(&sp.committed) + 1;
        struct spool *copy = spool_open(to, &e);
        struct spool_row row;
        unsigned n = 0;
        assert_string_equal(e.msg, "");
        while (spool_get(copy, n, &row, &e) == 1) {
            assert_int_equal(row.response.len, sizeof big);
            assert_memory_equal(row.response.p, big, sizeof big);
            n++;
        }
        struct counters counters;
        spool_counters(copy, &counters);
        assert_true(n >= before && n <= after && counters.succeeded == n);
        spool_close(copy);
        assert_true(scratch_has(&w->scratch, "copy/output"));
        ASSERT_OK(sys_remove_all(to, &e), e);
    }
    atomic_store(&sp.stop, true);
    assert_int_equal(pthread_join(sp.thread, NULL), 0);
    spool_close(sp.spool);
}

static void test_a_job_without_a_folder_is_fine(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    char from[SCRATCH_PATH_BYTES], to[SCRATCH_PATH_BYTES];

    ASSERT_OK(backup_job_folder(scratch_path(&w->scratch, "none", from),
                                scratch_path(&w->scratch, "copy", to), &e),
              e);
    assert_false(scratch_has(&w->scratch, "copy"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, world_make, world_remove)
        WITH_STORE(test_a_backup_beside_a_writing_server_is_whole),
        WITH_STORE(test_what_was_dropped_during_a_backup_goes_with_a_later_sweep),
        WITH_STORE(test_a_failed_backup_has_no_marker),
        WITH_STORE(test_a_backup_has_the_folders_of_all_jobs_and_what_they_read),
        WITH_STORE(test_a_folder_with_something_in_it_is_refused),
        WITH_STORE(test_a_spool_is_copied_whole_while_it_is_written),
        WITH_STORE(test_a_job_without_a_folder_is_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
