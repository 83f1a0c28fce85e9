/* Goal: embedded tables lose nothing and double nothing: killed at any instant, with a full disk, with several writers
 * at once, over their limits, and copied while they are written. Method: real files; children that are killed. */
#include "store/tables/tables.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/random.h"
#include "base/sys.h"
#include "base/thread.h"
#include "store/backup/backup_inner.h"

#define PROJECT "p"
#define NAME(d, t) ((struct tables_name){ STR(PROJECT), STR(d), STR(t) })
#define OK(call)                                                                                   \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            fail_msg("%s: %s", #call, f->e.msg);                                                   \
    } while (0)

struct fixture {
    char folder[128];
    struct arena arena;
    struct tables *t;
    struct error e;
};

static void start(struct fixture *f, const struct tables_limits *limits)
{
    f->t =
        tables_duckdb_open(arena_textf(&f->arena, "%s/tables", f->folder), limits, clock_system());
}

static void stop(struct fixture *f)
{
    f->t->ops->close(f->t);
    f->t = NULL;
}

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);

    *f = (struct fixture){ .folder = "/tmp/tranche-duckdb-XXXXXX" };
    assert_non_null(mkdtemp(f->folder));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (f->t)
        stop(f);
    arena_release(&f->arena);
    int rc = sys_remove_all(f->folder, &f->e);
    mem_free(f);
    return rc;
}

static int query(struct fixture *f, const char *sql, struct tables_result *out)
{
    const struct tables_query q = { .project = STR(PROJECT), .sql = str_of(sql) };

    return f->t->ops->query(f->t, &q, &f->arena, out, &f->e);
}

/* The number that a SELECT gives. */
static int64_t number(struct fixture *f, const char *sql)
{
    struct tables_result out;
    struct bq_schema schema;
    struct bq_batch batch;
    uint64_t n = 0;

    OK(query(f, sql, &out));
    const struct tables_read r = { .name = out.destination };
    struct tables_rows *rows = f->t->ops->read(f->t, &r, &f->arena, &schema, &f->e);
    assert_non_null(rows);
    assert_int_equal(f->t->ops->rows_next(rows, &f->arena, &batch, &f->e), 1);
    assert_true(str_number(batch.cell[0].text, &n));
    f->t->ops->rows_close(rows);
    return (int64_t)n;
}

static struct bq_schema schema_of(struct fixture *f, const char *json)
{
    struct bq_schema out;

    OK(bq_schema_parse(str_of(json), &f->arena, &out, &f->e));
    return out;
}

#define ROWS_OF_JOB 2000
#define BATCH_ROWS 50

/* One job that writes the numbers 0 to ROWS_OF_JOB - 1, as the pipeline does: it goes on where it was, and ends once. */
static int write_job(struct fixture *f, const char *key)
{
    const struct tables_ops *ops = f->t->ops;
    struct tables_write w = { .into.name = NAME("d", "t"), .key = str_of(key), .resume = true };
    struct tables_outcome out;
    int64_t position;
    int done = ops->done(f->t, STR(PROJECT), w.key, &out, &f->e);

    if (done)
        return done < 0 ? -1 : 0;
    w.schema = schema_of(
        f, "[{\"name\":\"n\",\"type\":\"INTEGER\"},{\"name\":\"k\",\"type\":\"STRING\"}]");
    struct tables_writer *writer = ops->write(f->t, &w, &position, &f->e);
    if (!writer)
        return -1;
    for (int64_t at = position; at < ROWS_OF_JOB; at += BATCH_ROWS) {
        struct bq_cell cell[2 * BATCH_ROWS];
        for (int i = 0; i < BATCH_ROWS; i++) {
            cell[2 * i] =
                (struct bq_cell){ .text =
                                      str_of(arena_textf(&f->arena, "%lld", (long long)at + i)) };
            cell[2 * i + 1] = (struct bq_cell){ .text = w.key };
        }
        const struct bq_batch batch = { cell, BATCH_ROWS, 2 };
        if (ops->writer_append(writer, &batch, at + BATCH_ROWS, &f->e) < 0) {
            ops->writer_close(writer, true);
            return -1;
        }
    }
    return ops->writer_commit(writer, &out, &f->e);
}

/* ---- Kills ---- */

static void run_job_in_child(struct fixture *f, const char *key, uint32_t kill_after_us)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        start(f, NULL);
        int rc = write_job(f, key);
        _exit(rc < 0 ? 1 : 0);
    }
    struct clock *clock = clock_system();
    clock->sleep_ns(clock, kill_after_us * UINT64_C(1000));
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

/* A kill comes at any instant of the run: while the engine opens, writes, publishes. */
static void test_a_job_that_is_killed_writes_each_row_once(void **state)
{
    struct fixture *f = *state;
    struct tables_dataset d = { .name = NAME("d", "") };
    uint64_t seed = 20;
    int kills = 40;

    start(f, NULL);
    OK(f->t->ops->dataset_create(f->t, &d, &f->e));
    stop(f);
    for (int i = 0; i < kills; i++)
        run_job_in_child(f, i < kills / 2 ? "first" : "second",
                         (uint32_t)(random_next(&seed) % 400000));
    start(f, NULL);
    OK(write_job(f, "first"));
    OK(write_job(f, "second"));
    OK(write_job(f, "second"));
    assert_int_equal(number(f, "SELECT COUNT(*) FROM d.t"), 2 * ROWS_OF_JOB);
    assert_int_equal(number(f, "SELECT COUNT(DISTINCT CONCAT(k, CAST(n AS STRING))) FROM d.t"),
                     2 * ROWS_OF_JOB);
    assert_int_equal(number(f, "SELECT COUNT(*) FROM d.INFORMATION_SCHEMA.TABLES"), 1);
}

/* A file whose making was cut off is made again. */
static void test_a_project_is_made_whole_or_not_at_all(void **state)
{
    struct fixture *f = *state;
    uint64_t seed = 21;

    for (int i = 0; i < 15; i++)
        run_job_in_child(f, "k", (uint32_t)(random_next(&seed) % 60000));
    start(f, NULL);
    assert_int_equal(number(f, "SELECT 7"), 7);
    struct stat st;
    assert_int_equal(stat(arena_textf(&f->arena, "%s/tables/p.duckdb", f->folder), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

/* ---- A full disk ---- */

/* The limit on a file's size stands for the disk: writes behind it fail as on a full one. */
static void test_a_full_disk_is_said_in_words_and_nothing_is_half(void **state)
{
    struct fixture *f = *state;
    struct tables_dataset d = { .name = NAME("d", "") };

    start(f, NULL);
    OK(f->t->ops->dataset_create(f->t, &d, &f->e));
    OK(write_job(f, "k"));
    stop(f);
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit small = { 3000000, 3000000 };
        struct tables_result out;
        (void)signal(SIGXFSZ, SIG_IGN);
        start(f, NULL);
        if (setrlimit(RLIMIT_FSIZE, &small) < 0)
            _exit(2);
        int rc = query(f,
                       "CREATE TABLE d.big AS SELECT GENERATE_UUID() AS u FROM "
                       "UNNEST(GENERATE_ARRAY(1, 300000))",
                       &out);
        bool said = rc < 0 && f->e.code == ERROR_RESOURCE_EXHAUSTED && strstr(f->e.msg, "disk");
        if (!said)
            (void)fprintf(stderr, "%d %s %s\n", rc, error_name(f->e.code), f->e.msg);
        _exit(said ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    start(f, NULL);
    assert_int_equal(number(f, "SELECT COUNT(*) FROM d.t"), ROWS_OF_JOB);
    assert_int_equal(number(f, "SELECT COUNT(*) FROM d.INFORMATION_SCHEMA.TABLES"), 1);
}

/* ---- Several at once ---- */

struct adder {
    struct fixture *f;
    pthread_t thread;
    int failed;
};

static void *add_on(void *arg)
{
    struct adder *a = arg;
    struct tables_query q = { .project = STR(PROJECT),
                              .sql = STR("UPDATE d.c SET n = n + 1 WHERE true") };

    for (int i = 0; i < 10; i++) {
        struct arena arena = { 0 };
        struct tables_result out;
        struct error e = { 0 };
        if (a->f->t->ops->query(a->f->t, &q, &arena, &out, &e) < 0) {
            (void)fprintf(stderr, "%s\n", e.msg);
            a->failed++;
        }
        arena_release(&arena);
    }
    return NULL;
}

static void test_changes_of_the_same_row_come_one_after_the_other(void **state)
{
    struct fixture *f = *state;
    struct adder adder[4];
    struct tables_result out;

    start(f, NULL);
    OK(query(f, "CREATE SCHEMA d; CREATE TABLE d.c AS SELECT 0 AS n", &out));
    for (int i = 0; i < 4; i++) {
        adder[i] = (struct adder){ .f = f };
        assert_int_equal(pthread_create(&adder[i].thread, NULL, add_on, &adder[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        thread_join(adder[i].thread);
        assert_int_equal(adder[i].failed, 0);
    }
    assert_int_equal(number(f, "SELECT n FROM d.c"), 40);
}

/* ---- Limits ---- */

static void test_memory_disk_and_result_have_limits(void **state)
{
    struct fixture *f = *state;
    struct tables_limits limits = tables_limits_default();
    struct tables_result out;

    limits.memory_bytes = (uint64_t)64 << 20;
    limits.temp_bytes = (uint64_t)16 << 20;
    limits.result_bytes = (uint64_t)8 << 20;
    start(f, &limits);
    OK(query(f, "CREATE SCHEMA d", &out));
    assert_int_equal(
        query(f,
              "SELECT ARRAY_LENGTH(ARRAY_AGG(x)) FROM (SELECT DISTINCT CONCAT(CAST(a AS STRING), "
              "'-', CAST(b AS STRING), 'xxxxxxxxxxxxxxxxxxxxxxxxxxxx') AS x"
              " FROM UNNEST(GENERATE_ARRAY(1, 3000)) a, UNNEST(GENERATE_ARRAY(1, 3000)) b)",
              &out),
        -1);
    assert_int_equal(f->e.code, ERROR_RESOURCE_EXHAUSTED);
    assert_int_equal(query(f,
                           "CREATE TABLE d.t AS SELECT GENERATE_UUID() AS u FROM "
                           "UNNEST(GENERATE_ARRAY(1, 3000)) a, UNNEST(GENERATE_ARRAY(1, 1000)) b",
                           &out),
                     -1);
    assert_int_equal(f->e.code, ERROR_RESOURCE_EXHAUSTED);
    assert_int_equal(number(f, "SELECT COUNT(*) FROM d.INFORMATION_SCHEMA.TABLES"), 0);
    assert_int_equal(number(f, "SELECT 1"), 1);
}

static void test_engines_beyond_the_limit_are_closed_and_opened_again(void **state)
{
    struct fixture *f = *state;
    struct tables_limits limits = tables_limits_default();
    const char *projects[] = {
        "main", "temp", "system", "tranche", "memory", "example.com:x", "a-b"
    };

    limits.projects_open = 2;
    start(f, &limits);
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < ARRAY_LEN(projects); i++) {
            const struct tables_query make = {
                .project = str_of(projects[i]),
                .sql = STR("CREATE SCHEMA IF NOT EXISTS tranche; CREATE TABLE IF NOT EXISTS "
                           "tranche.relation AS SELECT 5 AS n")
            };
            const struct tables_query look = { .project = str_of(projects[i]),
                                               .sql = STR("SELECT n FROM tranche.relation") };
            struct tables_result out;
            if (f->t->ops->query(f->t, &make, &f->arena, &out, &f->e) < 0)
                fail_msg("%s: %s", projects[i], f->e.msg);
            OK(f->t->ops->query(f->t, &look, &f->arena, &out, &f->e));
            assert_int_equal(out.rows, 1);
        }
    OK(f->t->ops->sweep(f->t, &f->e));
}

static void test_what_is_past_its_time_is_swept(void **state)
{
    struct fixture *f = *state;
    struct clock clock = clock_fake(1700000000000000);
    struct tables_result out;
    struct tables_table t;

    f->t = tables_duckdb_open(arena_textf(&f->arena, "%s/tables", f->folder), NULL, &clock);
    OK(query(f,
             "CREATE SCHEMA d OPTIONS(default_table_expiration_days=2); CREATE TABLE d.t AS SELECT "
             "1 AS n",
             &out));
    OK(query(f, "SELECT 1", &out));
    struct tables_name result = out.destination;
    clock.fake_us += INT64_C(25) * 3600 * 1000000;
    assert_int_equal(f->t->ops->get(f->t, &result, &f->arena, &t, &f->e), -1);
    assert_int_equal(f->e.code, ERROR_NOT_FOUND);
    OK(f->t->ops->get(f->t, &NAME("d", "t"), &f->arena, &t, &f->e));
    OK(f->t->ops->sweep(f->t, &f->e));
    clock.fake_us += INT64_C(25) * 3600 * 1000000;
    OK(f->t->ops->sweep(f->t, &f->e));
    assert_int_equal(f->t->ops->get(f->t, &NAME("d", "t"), &f->arena, &t, &f->e), -1);
    OK(query(f, "CREATE TABLE d.t AS SELECT 2 AS n", &out));
    assert_int_equal(number(f, "SELECT n FROM d.t"), 2);
    stop(f); /* before the clock goes */
}

/* ---- Copies while it is written ---- */

struct background {
    struct fixture *f;
    pthread_t thread;
    pthread_mutex_t lock;
    bool stop;
    int jobs;
};

static bool stopped(struct background *b)
{
    lock(&b->lock);
    bool stop = b->stop;
    unlock(&b->lock);
    return stop;
}

static void *write_on(void *arg)
{
    struct background *b = arg;
    struct fixture own = { .t = b->f->t };
    char key[32];

    while (!stopped(b)) {
        (void)snprintf(key, sizeof key, "job %d", b->jobs);
        if (write_job(&own, key) < 0)
            break;
        b->jobs++;
    }
    arena_release(&own.arena);
    return NULL;
}

/* Each job is whole in the copy or not there; unfinished ones are hidden. */
static void test_a_copy_beside_a_writer_is_of_one_instant(void **state)
{
    struct fixture *f = *state;
    struct tables_dataset d = { .name = NAME("d", "") };
    struct background b = { .f = f };
    char *from = arena_textf(&f->arena, "%s/tables", f->folder);
    uint64_t count = 0;

    start(f, NULL);
    OK(f->t->ops->dataset_create(f->t, &d, &f->e));
    OK(write_job(f, "job first"));
    lock_init(&b.lock);
    assert_int_equal(pthread_create(&b.thread, NULL, write_on, &b), 0);
    for (int i = 0; i < 5; i++) {
        struct fixture copy = { .arena = { 0 } };
        (void)snprintf(copy.folder, sizeof copy.folder, "%.64s/copy%d", f->folder, i);
        OK(backup_tables(from, arena_textf(&f->arena, "%s/tables", copy.folder), &count, &f->e));
        start(&copy, NULL);
        int64_t rows = number(&copy, "SELECT COUNT(*) FROM d.t");
        assert_true(rows >= ROWS_OF_JOB);
        assert_int_equal(rows % ROWS_OF_JOB, 0);
        assert_int_equal(
            number(&copy, "SELECT COUNT(DISTINCT CONCAT(k, CAST(n AS STRING))) FROM d.t"), rows);
        stop(&copy);
        arena_release(&copy.arena);
    }
    lock(&b.lock);
    b.stop = true;
    unlock(&b.lock);
    thread_join(b.thread);
    lock_destroy(&b.lock);
    assert_int_equal(count, 5);
    assert_true(b.jobs > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_job_that_is_killed_writes_each_row_once),
        TEST(test_a_project_is_made_whole_or_not_at_all),
        TEST(test_a_full_disk_is_said_in_words_and_nothing_is_half),
        TEST(test_changes_of_the_same_row_come_one_after_the_other),
        TEST(test_memory_disk_and_result_have_limits),
        TEST(test_engines_beyond_the_limit_are_closed_and_opened_again),
        TEST(test_what_is_past_its_time_is_swept),
        TEST(test_a_copy_beside_a_writer_is_of_one_instant),
    };

    return cmocka_run_group_tests_name("tables duckdb", tests, NULL, NULL);
}
