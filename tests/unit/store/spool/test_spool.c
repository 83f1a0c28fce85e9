/* Goal: what was committed is there whatever happened, nothing else is, and the counters agree with the
 * rows. Method: a spool in a scratch folder, closed and opened again; faults at SQLite's own calls. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/mem.h"
#include "base/fault.h"
#include "scratch.h"
#include "store/spool/spool.h"

#define DIGEST "0123456789abcdef"

static struct spool *open_spool(const struct scratch *s)
{
    struct error e = { 0 };
    struct spool *spool = spool_open(s->dir, &e);

    assert_string_equal(e.msg, "");
    assert_non_null(spool);
    return spool;
}

static int setup(void **state)
{
    struct scratch *s = mem_alloc(sizeof *s);

    scratch_make(s);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    scratch_remove(*state);
    mem_free(*state);
    return 0;
}

static struct spool_row answer(uint64_t index)
{
    return (struct spool_row){
        .index = index,
        .outcome = OUTCOME_SUCCEEDED,
        .response = STR("{\"candidates\":[]}"),
        .processed_us = 1763805600123456,
        .usage = { .prompt_tokens = 10, .cached_tokens = 4, .candidate_tokens = 3 },
        .cost_nano = 100,
        .cost_online_nano = 200,
    };
}

static struct spool_row failure(uint64_t index, enum error_code code)
{
    return (struct spool_row){
        .index = index,
        .outcome = OUTCOME_FAILED,
        .code = code,
        .status = STR("Bad Request: {\"error\": {}}"),
        .processed_us = 1,
    };
}

static void put(struct spool *s, const struct spool_row *row)
{
    struct error e = { 0 };

    assert_int_equal(spool_put(s, row, &e), 0);
}

static void commit(struct spool *s)
{
    struct error e = { 0 };

    assert_int_equal(spool_commit(s, &e), 0);
}

static int get(struct spool *s, uint64_t index, struct spool_row *row)
{
    struct error e = { 0 };

    return spool_get(s, index, row, &e);
}

static struct counters counters(struct spool *s)
{
    struct counters c = { 0 };

    spool_counters(s, &c);
    return c;
}

static void test_a_committed_row_comes_back_whole_after_reopening(void **state)
{
    struct spool *s = open_spool(*state);
    struct spool_row row = answer(7), back;

    row.digest = STR(DIGEST);
    row.duplicate = true;
    put(s, &row);
    commit(s);
    spool_close(s);
    s = open_spool(*state);
    assert_int_equal(get(s, 7, &back), 1);
    assert_int_equal(back.index, 7);
    assert_int_equal(back.outcome, OUTCOME_SUCCEEDED);
    assert_int_equal(back.code, ERROR_OK);
    assert_true(back.duplicate);
    assert_true(str_eq(back.status, STR("")));
    assert_true(str_eq(back.response, row.response));
    assert_true(str_eq(back.digest, row.digest));
    assert_int_equal(back.processed_us, row.processed_us);
    assert_memory_equal(&back.usage, &row.usage, sizeof row.usage);
    assert_int_equal(back.cost_nano, 100);
    assert_int_equal(back.cost_online_nano, 200);
    spool_close(s);
}

static void test_a_response_of_many_megabytes_comes_back(void **state)
{
    struct spool *s = open_spool(*state);
    struct spool_row row = answer(0), back;
    size_t len = (size_t)20 * 1024 * 1024;
    char *text = mem_alloc(len);

    memset(text, 'x', len);
    row.response = (struct str){ text, len };
    put(s, &row);
    commit(s);
    assert_int_equal(get(s, 0, &back), 1);
    assert_true(str_eq(back.response, row.response));
    mem_free(text);
    spool_close(s);
}

static void test_rows_that_were_not_committed_are_gone(void **state)
{
    struct spool *s = open_spool(*state);
    struct spool_row row = answer(0);

    put(s, &row);
    commit(s);
    row = answer(1);
    put(s, &row);
    assert_int_equal(counters(s).succeeded, 1);
    spool_close(s);
    s = open_spool(*state);
    assert_int_equal(get(s, 0, &row), 1);
    assert_int_equal(get(s, 1, &row), 0);
    assert_int_equal(counters(s).succeeded, 1);
    spool_close(s);
}

/* The child dies by SIGKILL after its commit, with an open group: nothing gets a chance to tidy. */
static void test_a_killed_process_leaves_exactly_its_committed_rows(void **state)
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        struct error e = { 0 };
        struct spool *s = spool_open(((struct scratch *)*state)->dir, &e);
        struct spool_row row = answer(0), lost = answer(1);
        if (!s || spool_put(s, &row, &e) < 0 || spool_commit(s, &e) < 0 ||
            spool_put(s, &lost, &e) < 0)
            _exit(1);
        (void)raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    struct spool *s = open_spool(*state);
    struct spool_row row;
    assert_int_equal(get(s, 0, &row), 1);
    assert_int_equal(get(s, 1, &row), 0);
    assert_int_equal(counters(s).succeeded, 1);
    spool_close(s);
}

static void test_a_second_row_of_a_line_is_refused_and_undoes_the_group(void **state)
{
    struct spool *s = open_spool(*state);
    struct spool_row row = answer(3), other = answer(4);
    struct error e = { 0 };

    put(s, &row);
    commit(s);
    put(s, &other);
    assert_int_equal(spool_put(s, &row, &e), -1);
    assert_int_equal(e.code, ERROR_ALREADY_EXISTS);
    commit(s);
    assert_int_equal(get(s, 4, &row), 0);
    assert_int_equal(counters(s).succeeded, 1);
    spool_close(s);
}

static void test_a_second_opener_is_told_the_pid_of_the_first(void **state)
{
    struct scratch *dir = *state;
    struct spool *s = open_spool(dir);
    struct error e = { 0 };
    char pid[32];

    (void)snprintf(pid, sizeof pid, "process %ld ", (long)getpid());
    assert_null(spool_open(dir->dir, &e));
    assert_int_equal(e.code, ERROR_FAILED_PRECONDITION);
    assert_non_null(strstr(e.msg, pid));
    spool_close(s);
    s = open_spool(dir);
    spool_close(s);
}

static void test_counters_are_the_sums_over_the_rows(void **state)
{
    struct spool *s = open_spool(*state);
    struct spool_row rows[] = { answer(0),
                                answer(1),
                                failure(2, ERROR_INTERNAL),
                                answer(3),
                                { .index = 4, .outcome = OUTCOME_NOT_RUN } };

    rows[3].duplicate = true;
    rows[3].cost_nano = 0;
    for (size_t i = 0; i < 5; i++) {
        put(s, &rows[i]);
        if (i % 2)
            commit(s);
    }
    commit(s);
    spool_close(s);
    s = open_spool(*state);
    struct counters want = {
        .succeeded = 3,
        .failed = 1,
        .not_run = 1,
        .duplicates = 1,
        .prompt_tokens = 20,
        .cached_tokens = 8,
        .candidate_tokens = 6,
        .duplicate_tokens = 13,
        .cost_nano = 200,
        .cost_online_nano = 600,
    };
    struct counters got = counters(s);
    assert_memory_equal(&got, &want, sizeof want);
    spool_close(s);
}

static void test_structured_and_refused_answers_are_counted_with_the_rows(void **state)
{
    struct spool *s = open_spool(*state);
    struct error e = { 0 };
    const struct usage used = { .prompt_tokens = 7, .candidate_tokens = 2, .thought_tokens = 1 };

    for (uint64_t i = 0; i < 3; i++) {
        struct spool_row row = answer(i);
        row.shape = i == 0 ? SHAPE_FREE : i == 1 ? SHAPE_INCOMPLETE : SHAPE_COMPLETE;
        row.forced_tokens = 2;
        put(s, &row);
    }
    assert_int_equal(spool_reject(s, &used, 50, &e), 0);
    assert_int_equal(counters(s).rejected, 0); /* not before it is durable */
    commit(s);
    assert_int_equal(spool_reject(s, &used, 50, &e), 0); /* alone in its group, and lost */
    spool_close(s);
    s = open_spool(*state);
    struct counters got = counters(s);
    assert_int_equal(got.structured, 2);
    assert_int_equal(got.complete, 1);
    assert_int_equal(got.forced_tokens, 6);
    assert_int_equal(got.rejected, 1);
    assert_int_equal(got.rejected_tokens, 10);
    assert_int_equal(got.rejected_cost_nano, 50);
    for (uint64_t i = 0; i < 3; i++) {
        struct spool_row back;
        assert_int_equal(spool_get(s, i, &back, &e), 1);
        assert_int_equal(back.shape, i);
    }
    assert_int_equal(spool_reject(s, &used, 50, &e), 0);
    commit(s);
    assert_int_equal(counters(s).rejected, 2);
    spool_close(s);
}

static void test_counters_leave_the_total_alone(void **state)
{
    struct spool *s = open_spool(*state);
    struct counters c = { .total = 42, .failed = 9 };

    spool_counters(s, &c);
    assert_int_equal(c.total, 42);
    assert_int_equal(c.failed, 0);
    spool_close(s);
}

static void test_failures_are_counted_by_code(void **state)
{
    struct spool *s = open_spool(*state);
    struct spool_failures f[4];
    struct error e = { 0 };
    uint32_t count;

    for (uint64_t i = 0; i < 10; i++) {
        struct spool_row row = failure(20 - i, i < 7 ? ERROR_UNAVAILABLE : ERROR_INVALID_ARGUMENT);
        put(s, &row);
    }
    struct spool_row good = answer(99);
    put(s, &good);
    commit(s);
    assert_int_equal(spool_failures(s, f, 4, &count, &e), 0);
    assert_int_equal(count, 2);
    assert_int_equal(f[0].code, ERROR_UNAVAILABLE);
    assert_int_equal(f[0].count, 7);
    assert_int_equal(f[1].code, ERROR_INVALID_ARGUMENT);
    assert_int_equal(f[1].count, 3);
    assert_int_equal(spool_failures(s, f, 1, &count, &e), 0);
    assert_int_equal(count, 1);
    spool_close(s);
}

static void test_an_answer_is_found_by_its_digest_also_before_the_commit(void **state)
{
    struct spool *s = open_spool(*state);
    struct spool_row row = answer(5), found;
    struct error e = { 0 };

    row.digest = STR(DIGEST);
    assert_int_equal(spool_find(s, STR(DIGEST), &found, &e), 0);
    put(s, &row);
    assert_int_equal(spool_find(s, STR(DIGEST), &found, &e), 1);
    assert_int_equal(found.index, 5);
    commit(s);
    assert_int_equal(spool_find(s, STR("0123456789abcdeF"), &found, &e), 0);
    spool_close(s);
}

static void test_done_marks_the_lines_that_have_rows(void **state)
{
    struct spool *s = open_spool(*state);
    bool done[4] = { true, true, true, true };
    struct error e = { 0 };
    static const uint64_t indexes[] = { 9, 11, 13, 14 };

    for (size_t i = 0; i < 4; i++) {
        struct spool_row row = answer(indexes[i]);
        put(s, &row);
    }
    commit(s);
    assert_int_equal(spool_done(s, 10, 4, done, &e), 0);
    assert_false(done[0]);
    assert_true(done[1]);
    assert_false(done[2]);
    assert_true(done[3]);
    spool_close(s);
}

static void test_facts_are_kept_replaced_and_missed(void **state)
{
    struct spool *s = open_spool(*state);
    struct buf value = BUF_INIT(100);
    struct error e = { 0 };

    assert_int_equal(spool_fact_get(s, "output", &value, &e), 0);
    assert_int_equal(spool_fact_set(s, "output", STR("a.jsonl"), &e), 0);
    assert_int_equal(spool_fact_set(s, "output", STR("b.jsonl"), &e), 0);
    assert_int_equal(spool_fact_set(s, "empty", (struct str){ 0 }, &e), 0);
    spool_close(s);
    s = open_spool(*state);
    assert_int_equal(spool_fact_get(s, "output", &value, &e), 1);
    assert_true(str_eq(buf_str(&value), STR("b.jsonl")));
    buf_clear(&value);
    assert_int_equal(spool_fact_get(s, "empty", &value, &e), 1);
    assert_int_equal(value.len, 0);
    buf_release(&value);
    spool_close(s);
}

static void test_a_damaged_file_is_data_loss(void **state)
{
    struct error e = { 0 };
    char noise[4096];

    memset(noise, 'z', sizeof noise);
    scratch_write(*state, "spool.db", noise, sizeof noise);
    assert_null(spool_open(((struct scratch *)*state)->dir, &e));
    assert_int_equal(e.code, ERROR_DATA_LOSS);
}

static void test_a_file_of_another_version_is_not_touched(void **state)
{
    char path[SCRATCH_PATH_BYTES];
    struct error e = { 0 };
    sqlite3 *db;

    assert_int_equal(sqlite3_open(scratch_path(*state, "spool.db", path), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 999", NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(db);
    assert_null(spool_open(((struct scratch *)*state)->dir, &e));
    assert_int_equal(e.code, ERROR_FAILED_PRECONDITION);
    assert_non_null(strstr(e.msg, "999"));
}

static void test_answers_are_readable_by_their_owner_only(void **state)
{
    struct spool *s = open_spool(*state);
    struct spool_row row = answer(0);
    struct stat st;
    char path[SCRATCH_PATH_BYTES];
    static const char *const names[] = { "spool.db", "spool.db-wal", "lock" };

    put(s, &row);
    commit(s);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(stat(scratch_path(*state, names[i], path), &st), 0);
        assert_int_equal(st.st_mode & 077, 0);
    }
    spool_close(s);
}

/* Opens, and puts three rows in two groups; how many of them were committed is in *committed. */
static int write_three(const struct scratch *dir, uint64_t *committed, struct error *e)
{
    struct spool *s = spool_open(dir->dir, e);
    uint64_t in_group = 0;
    int rc = s ? 0 : -1;

    for (uint64_t i = 0; i < 3 && rc == 0; i++) {
        struct spool_row row = answer(i), had;
        rc = spool_get(s, i, &had, e);
        if (rc == 0)
            rc = spool_put(s, &row, e);
        in_group++;
        if (rc == 0 && i > 0)
            rc = spool_commit(s, e);
        if (rc > 0 || (rc == 0 && i > 0))
            *committed = i + 1;
        rc = rc < 0 ? -1 : 0;
    }
    spool_close(s);
    return rc;
}

/* Fail each call in turn: what was said to be committed is there, and a run without faults ends with
 * all rows. */
static void sweep(const char *point, int err, enum error_code code)
{
    for (int n = 0;; n++) {
        struct scratch dir;
        struct error e = { 0 };
        uint64_t committed = 0;

        scratch_make(&dir);
        fault_arm(point, n, err);
        int rc = write_three(&dir, &committed, &e);
        int fired = fault_disarm();
        if (rc < 0 && code != ERROR_OK)
            assert_int_equal(e.code, code);
        struct spool *s = open_spool(&dir);
        assert_true(counters(s).succeeded >= committed);
        spool_close(s);
        assert_int_equal(write_three(&dir, &committed, &e), 0);
        assert_int_equal(committed, 3);
        s = open_spool(&dir);
        assert_int_equal(counters(s).succeeded, 3);
        spool_close(s);
        scratch_remove(&dir);
        if (!fired)
            break;
        assert_true(n < 1000);
    }
}

static void test_a_full_disk_at_any_write_loses_nothing_that_was_committed(void **state)
{
    (void)state;
    sweep("sqlite.write", ENOSPC, ERROR_RESOURCE_EXHAUSTED);
    sweep("spool.put", ENOSPC, ERROR_RESOURCE_EXHAUSTED);
    sweep("spool.commit", ENOSPC, ERROR_RESOURCE_EXHAUSTED);
}

static void test_a_failure_of_any_other_call_loses_nothing_that_was_committed(void **state)
{
    (void)state;
    static const char *const points[] = { "sqlite.sync",   "sqlite.read", "sqlite.truncate",
                                          "sqlite.delete", "sqlite.open", "sys.open",
                                          "sys.write",     "sys.sync",    "sys.read" };

    for (size_t i = 0; i < ARRAY_LEN(points); i++)
        sweep(points[i], EIO, ERROR_OK);
}

/* A real limit instead of a scripted one: the file may not grow beyond it. */
static void test_a_group_can_be_put_again_after_space_is_freed(void **state)
{
    struct spool *s = open_spool(*state);
    struct rlimit all, small;
    struct error e = { 0 };
    char text[8192];
    struct spool_row row = answer(0);
    int rc = 0;

    memset(text, 'x', sizeof text);
    row.response = (struct str){ text, sizeof text };
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &all), 0);
    small = all;
    small.rlim_cur = (rlim_t)1024 * 1024;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (; row.index < 1000 && rc == 0; row.index++) {
        rc = spool_put(s, &row, &e);
        if (rc == 0)
            rc = spool_commit(s, &e);
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
    assert_int_equal(rc, -1);
    assert_int_equal(e.code, ERROR_RESOURCE_EXHAUSTED);
    row.index--;
    assert_int_equal(counters(s).succeeded, row.index);
    put(s, &row);
    commit(s);
    assert_int_equal(counters(s).succeeded, row.index + 1);
    spool_close(s);
}

/* Two folders of one run and its retry. */
struct two {
    char from[SCRATCH_PATH_BYTES], to[SCRATCH_PATH_BYTES];
};

static struct spool *open_at(const char *dir)
{
    struct error e = { 0 };
    struct spool *s = spool_open(dir, &e);

    assert_string_equal(e.msg, "");
    return s;
}

/* count lines, each third failed; the run closed, or killed with all in its log. */
static void two_make(const struct scratch *dir, struct two *t, uint64_t count, bool killed)
{
    struct error e = { 0 };

    assert_int_equal(sys_mkdirs(scratch_path(dir, "from", t->from), &e), 0);
    assert_int_equal(sys_mkdirs(scratch_path(dir, "to", t->to), &e), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child > 0) {
        assert_int_equal(waitpid(child, NULL, 0), child);
        return;
    }
    struct spool *s = open_at(t->from);
    for (uint64_t i = 0; i < count; i++) {
        struct spool_row row = i % 3 ? answer(i) : failure(i, ERROR_UNAVAILABLE);
        if (i == 1)
            row.digest = STR(DIGEST);
        put(s, &row);
    }
    commit(s);
    if (!killed)
        spool_close(s);
    _exit(0);
}

static void assert_copied(struct spool *s, uint64_t count)
{
    struct error e = { 0 };
    struct spool_row row;

    for (uint64_t i = 0; i < count; i++)
        assert_int_equal(spool_get(s, i, &row, &e), i % 3 != 0);
    assert_int_equal(spool_find(s, STR(DIGEST), &row, &e), 1);
    assert_int_equal(row.index, 1);
    assert_true(str_eq_c(row.response, "{\"candidates\":[]}"));
    struct counters c = counters(s);
    assert_int_equal(c.succeeded, count - (count + 2) / 3);
    assert_int_equal(c.failed, 0);
    assert_int_equal(c.duplicates, c.succeeded);
    assert_int_equal(c.cost_nano, 0); /* it was the other run's */
}

static void test_the_answers_of_a_run_are_copied_closed_or_killed(void **state)
{
    for (int killed = 0; killed < 2; killed++) {
        struct two t;
        struct error e = { 0 };
        uint64_t copied;

        two_make(*state, &t, 2 * SPOOL_COPY_GROUP, killed);
        struct spool *to = open_at(t.to);
        assert_int_equal(spool_copy_answers(to, t.from, &copied, &e), 0);
        assert_int_equal(copied, counters(to).succeeded);
        assert_copied(to, 2 * SPOOL_COPY_GROUP);
        assert_int_equal(spool_copy_answers(to, t.from, &copied, &e), 0);
        assert_int_equal(copied, 0);
        spool_close(to);
        struct spool *from = open_at(t.from); /* it is as it was */
        assert_int_equal(counters(from).failed, (2 * SPOOL_COPY_GROUP + 2) / 3);
        spool_close(from);
        assert_int_equal(sys_remove_all(t.from, &e), 0);
        assert_int_equal(sys_remove_all(t.to, &e), 0);
    }
}

static void test_a_copy_that_failed_anywhere_goes_on(void **state)
{
    static const char *const points[] = { "spool.put", "spool.commit", "sqlite.write" };
    const uint64_t count = 60;

    for (size_t p = 0; p < ARRAY_LEN(points); p++) {
        for (int n = 0, fired = 1; fired; n++) {
            struct two t;
            struct error e = { 0 };
            uint64_t copied;
            two_make(*state, &t, count, false);
            struct spool *to = open_at(t.to);
            fault_arm(points[p], n, ENOSPC);
            int rc = spool_copy_answers(to, t.from, &copied, &e);
            fired = fault_disarm();
            assert_int_equal(rc, fired ? -1 : 0);
            assert_int_equal(spool_copy_answers(to, t.from, &copied, &e), 0);
            assert_copied(to, count);
            spool_close(to);
            assert_int_equal(sys_remove_all(t.from, &e), 0);
            assert_int_equal(sys_remove_all(t.to, &e), 0);
        }
    }
}

static void test_a_source_that_is_absent_or_being_written_is_refused(void **state)
{
    struct two t;
    struct error e = { 0 };
    uint64_t copied;

    two_make(*state, &t, 3, false);
    struct spool *to = open_at(t.to);
    assert_int_equal(spool_copy_answers(to, "/no/such/folder", &copied, &e), -1);
    assert_int_equal(e.code, ERROR_NOT_FOUND);
    struct spool *from = open_at(t.from);
    assert_int_equal(spool_copy_answers(to, t.from, &copied, &e), -1);
    assert_int_equal(e.code, ERROR_FAILED_PRECONDITION);
    spool_close(from);
    assert_int_equal(spool_copy_answers(to, t.from, &copied, &e), 0);
    spool_close(to);
}

static void test_a_reader_sees_what_is_committed_while_the_run_writes(void **state)
{
    struct two t;
    struct error e = { 0 };
    struct counters c = { 0 };
    struct spool_row row;

    two_make(*state, &t, 3, false);
    assert_null(spool_peek("/no/such/folder", &e));
    assert_int_equal(e.code, ERROR_NOT_FOUND);
    struct spool *from = open_at(t.from);
    row = answer(50);
    put(from, &row);
    struct spool *reader = spool_peek(t.from, &e);
    assert_non_null(reader);
    spool_counters(reader, &c);
    assert_int_equal(c.succeeded, 2);
    assert_int_equal(spool_get(reader, 50, &row, &e), 0);
    commit(from);
    assert_int_equal(spool_get(reader, 50, &row, &e), 1);
    spool_close(reader);
    row = answer(51);
    put(from, &row);
    commit(from);
    spool_close(from);
}

static void test_open_counters_have_the_rows_of_the_open_group(void **state)
{
    struct spool *s = open_spool(*state);
    struct counters open = { .total = 9 };
    struct spool_row row = answer(0);

    put(s, &row);
    spool_counters_open(s, &open);
    assert_int_equal(open.succeeded, 1);
    assert_int_equal(open.total, 9);
    assert_int_equal(counters(s).succeeded, 0);
    spool_close(s);
}

/* Copies DIR/from/spool.db to DIR/to/spool.db as it is now. */
static void copy_file(const char *from, const char *to)
{
    struct buf all = BUF_INIT(SCRATCH_FILE_MAX);
    struct error e = { 0 };
    int fd;

    assert_int_equal(sys_read_file(from, all.max, &all, &e), 0);
    fd = sys_create(to, &e);
    assert_true(fd >= 0);
    assert_int_equal(sys_write_all(fd, all.p, all.len, to, &e), 0);
    (void)close(fd);
    buf_release(&all);
}

static void test_a_scratch_spool_is_one_file_between_two_groups(void **state)
{
    char dir[SCRATCH_PATH_BYTES], to[SCRATCH_PATH_BYTES];
    const char *path;
    struct error e = { 0 };
    struct spool *s = spool_open_scratch(((struct scratch *)*state)->dir, &path, &e);
    struct spool_row row;

    assert_non_null(s);
    assert_int_equal(sys_mkdirs(scratch_path(*state, "to", dir), &e), 0);
    for (uint64_t i = 0; i < 100; i++) {
        row = answer(i);
        put(s, &row);
        if (i % 10 == 9)
            commit(s);
    }
    copy_file(path, scratch_path(*state, "to/spool.db", to));
    row = answer(100);
    put(s, &row);
    commit(s);
    spool_close(s);
    s = spool_open_scratch(dir, &path, &e);
    assert_non_null(s);
    assert_int_equal(counters(s).succeeded, 100);
    assert_int_equal(spool_get(s, 99, &row, &e), 1);
    assert_int_equal(spool_get(s, 100, &row, &e), 0);
    spool_close(s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_committed_row_comes_back_whole_after_reopening),
        TEST(test_a_response_of_many_megabytes_comes_back),
        TEST(test_rows_that_were_not_committed_are_gone),
        TEST(test_a_killed_process_leaves_exactly_its_committed_rows),
        TEST(test_a_second_row_of_a_line_is_refused_and_undoes_the_group),
        TEST(test_a_second_opener_is_told_the_pid_of_the_first),
        TEST(test_counters_are_the_sums_over_the_rows),
        TEST(test_structured_and_refused_answers_are_counted_with_the_rows),
        TEST(test_counters_leave_the_total_alone),
        TEST(test_failures_are_counted_by_code),
        TEST(test_an_answer_is_found_by_its_digest_also_before_the_commit),
        TEST(test_done_marks_the_lines_that_have_rows),
        TEST(test_facts_are_kept_replaced_and_missed),
        TEST(test_a_damaged_file_is_data_loss),
        TEST(test_a_file_of_another_version_is_not_touched),
        TEST(test_answers_are_readable_by_their_owner_only),
        TEST(test_a_full_disk_at_any_write_loses_nothing_that_was_committed),
        TEST(test_a_failure_of_any_other_call_loses_nothing_that_was_committed),
        TEST(test_a_group_can_be_put_again_after_space_is_freed),
        TEST(test_the_answers_of_a_run_are_copied_closed_or_killed),
        TEST(test_a_copy_that_failed_anywhere_goes_on),
        TEST(test_a_source_that_is_absent_or_being_written_is_refused),
        TEST(test_a_reader_sees_what_is_committed_while_the_run_writes),
        TEST(test_open_counters_have_the_rows_of_the_open_group),
        TEST(test_a_scratch_spool_is_one_file_between_two_groups),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
