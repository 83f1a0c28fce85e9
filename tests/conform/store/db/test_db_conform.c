/* Goal: every database system keeps the promises of db.h, so that one set of statements is right on each. Method: the same tests
 * over SQLite and, run by tests/postgres.py, over PostgreSQL; two connections stand for two processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>

#include <cmocka.h>

#include "database.h"
#include "scratch.h"
#include "store/db/db.h"

struct world {
    struct scratch dir;
    char place[DATABASE_URL_BYTES];
    struct db *d, *other;
    struct error e;
};

#define OK(call)                                                                                   \
    do {                                                                                           \
        int ok_rc = (call);                                                                        \
        assert_string_equal(w->e.msg, "");                                                         \
        assert_int_equal(ok_rc, 0);                                                                \
    } while (0)

static struct db *connect_to(struct world *w)
{
    const struct db_settings settings = {
        .access = DB_SHARED, .page_bytes = 4096, .cache_kib = 256, .log_pages = 1000
    };
    struct db *d = db_open(w->place, &settings, &w->e);

    assert_string_equal(w->e.msg, "");
    assert_non_null(d);
    return d;
}

static int make(void **state)
{
    struct world *w = mem_alloc(sizeof *w);

    scratch_make(&w->dir);
    database_make(w->place);
    if (!w->place[0]) {
        char path[SCRATCH_PATH_BYTES];
        (void)snprintf(w->place, sizeof w->place, "%s", scratch_path(&w->dir, "x.db", path));
    }
    w->d = connect_to(w);
    w->other = connect_to(w);
    *state = w;
    return 0;
}

static int clear(void **state)
{
    struct world *w = *state;

    db_close(w->d);
    db_close(w->other);
    database_remove(w->place);
    scratch_remove(&w->dir);
    mem_free(w);
    return 0;
}

/* The changes of a schema of the test's own. */
static void changes(struct world *w, const char *const *change, int count)
{
    const struct db_schema schema = { change, count };

    OK(db_migrate(w->d, &schema, &w->e));
}

static void table(struct world *w)
{
    static const char *const change[] = { "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, n "
                                          "INTEGER NOT NULL, x REAL, s TEXT, b BLOB,"
                                          " UNIQUE (s)) STRICT;" };

    changes(w, change, 1);
}

static int64_t number(struct world *w, struct db *d, const char *sql)
{
    struct stmt *q = db_stmt(d, sql);

    assert_int_equal(db_step(q, "test", &w->e), 1);
    int64_t n = db_int(q, 0);
    db_reset(q);
    return n;
}

/* ---- Values ---- */

static void test_values_come_back_as_they_went(void **state)
{
    static const int64_t numbers[] = { 0, 1, -1, INT64_MAX, INT64_MIN, 4294967296 };
    static const double reals[] = { 0.5, -1e300, 5e-324, 0.1, 3, 1.7976931348623157e308 };
    struct world *w = *state;
    char all[256];

    table(w);
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        struct stmt *q = db_stmt(w->d, "INSERT INTO t (n, x, s, b) VALUES (?, ?, ?, ?)");
        char text[32];
        (void)snprintf(text, sizeof text, "\xc3\xa4'\"\\?%zu", i);
        db_bind(q, "idsb", numbers[i], reals[i], text, (struct str){ all, sizeof all });
        assert_int_equal(db_run(q, "test", &w->e), 1);
    }
    struct stmt *q = db_stmt(w->d, "SELECT n, x, s, b FROM t ORDER BY id");
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        char text[32], got[32];
        (void)snprintf(text, sizeof text, "\xc3\xa4'\"\\?%zu", i);
        assert_int_equal(db_step(q, "test", &w->e), 1);
        assert_int_equal(db_int(q, 0), numbers[i]);
        assert_true(db_double(q, 1) == reals[i]);
        db_text_to(q, 2, got, sizeof got);
        assert_string_equal(got, text);
        for (int again = 0; again < 2; again++) {
            struct str bytes = db_bytes(q, 3);
            assert_int_equal(bytes.len, sizeof all);
            assert_memory_equal(bytes.p, all, sizeof all);
        }
    }
    assert_int_equal(db_step(q, "test", &w->e), 0);
}

static void test_nulls_and_empty_values_differ(void **state)
{
    struct world *w = *state;

    table(w);
    struct stmt *q = db_stmt(w->d, "INSERT INTO t (n, s, b) VALUES (?, ?, ?), (?, ?, ?)");
    db_bind(q, "isbitB", (int64_t)1, NULL, (struct str){ 0 }, (int64_t)2, (struct str){ 0 },
            (struct str){ 0 });
    assert_int_equal(db_run(q, "test", &w->e), 2);
    q = db_stmt(w->d, "SELECT x, s, b FROM t ORDER BY n");
    assert_int_equal(db_step(q, "test", &w->e), 1);
    assert_int_equal(db_int(q, 0), 0);
    assert_true(db_double(q, 0) == 0);
    assert_int_equal(db_bytes(q, 1).len, 0);
    assert_int_equal(number(w, w->d, "SELECT count(*) FROM t WHERE s IS NULL AND n = 1"), 1);
    assert_int_equal(number(w, w->d, "SELECT count(*) FROM t WHERE s = '' AND n = 2"), 1);
    assert_int_equal(number(w, w->d, "SELECT count(*) FROM t WHERE b IS NULL AND n = 2"), 1);
    assert_int_equal(number(w, w->d, "SELECT count(*) FROM t WHERE b IS NOT NULL AND n = 1"), 1);
}

static void test_parameters_may_have_numbers_and_stand_twice(void **state)
{
    struct world *w = *state;
    static const char sql[] = "SELECT count(*) FROM t WHERE (?2 IS NULL OR s = ?2) AND n >= ?1"
                              " AND s != '?' AND n < ?";

    table(w);
    OK(db_exec(w->d, "INSERT INTO t (n, s) VALUES (1, 'a'), (2, 'b'), (3, 'c')", "test", &w->e));
    struct stmt *q = db_stmt(w->d, sql);
    db_bind(q, "isi", (int64_t)2, NULL, (int64_t)9);
    assert_int_equal(db_step(q, "test", &w->e), 1);
    assert_int_equal(db_int(q, 0), 2);
    q = db_stmt(w->d, sql);
    db_bind_from(q, 2, "si", "c", (int64_t)9);
    db_bind(q, "i", (int64_t)1);
    assert_int_equal(db_step(q, "test", &w->e), 1);
    assert_int_equal(db_int(q, 0), 1);
}

/* A condition is a number, a sum of numbers is one, and so is an empty sum. */
static void test_results_are_numbers(void **state)
{
    struct world *w = *state;

    table(w);
    OK(db_exec(w->d, "INSERT INTO t (n, s) VALUES (4611686018427387904, 'a'), (7, 'b')", "test",
               &w->e));
    assert_int_equal(number(w, w->d, "SELECT 1 = 1"), 1);
    assert_int_equal(number(w, w->d, "SELECT EXISTS (SELECT 1 FROM t WHERE n = 5)"), 0);
    assert_int_equal(number(w, w->d, "SELECT sum(n) FROM t"), 4611686018427387911);
    assert_int_equal(number(w, w->d, "SELECT sum(n) FROM t WHERE n < 0"), 0);
    assert_int_equal(number(w, w->d, "SELECT coalesce(max(n), 3) FROM t WHERE n < 0"), 3);
}

static void test_texts_and_bytes_are_ordered_by_their_bytes(void **state)
{
    static const char *const want[] = { "", "A", "B", "a", "a b", "ab", "\xc3\xa4" };
    struct world *w = *state;
    char got[8];

    table(w);
    OK(db_exec(
        w->d,
        "INSERT INTO t (n, s) VALUES (1, 'a b'), (2, 'B'), (3, '\xc3\xa4'), (4, 'ab'), (5, ''),"
        " (6, 'A'), (7, 'a')",
        "test", &w->e));
    struct stmt *q = db_stmt(w->d, "SELECT s FROM t ORDER BY s");
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        assert_int_equal(db_step(q, "test", &w->e), 1);
        db_text_to(q, 0, got, sizeof got);
        assert_string_equal(got, want[i]);
    }
    assert_int_equal(number(w, w->d, "SELECT count(*) FROM t WHERE s > 'B'"), 4);
}

static void test_rows_of_two_statements_do_not_meet(void **state)
{
    struct world *w = *state;

    table(w);
    OK(db_exec(w->d, "INSERT INTO t (n, s) VALUES (1, 'a'), (2, 'b'), (3, 'c')", "test", &w->e));
    struct stmt *one = db_stmt(w->d, "SELECT n FROM t ORDER BY n");
    struct stmt *two = db_stmt(w->d, "SELECT n FROM t ORDER BY n DESC");
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(db_step(one, "test", &w->e), 1);
        assert_int_equal(db_step(two, "test", &w->e), 1);
        assert_int_equal(db_int(one, 0), i);
        assert_int_equal(db_int(two, 0), 4 - i);
    }
    db_reset_all(w->d);
    one = db_stmt(w->d, "SELECT n FROM t WHERE n > 1");
    assert_int_equal(db_step(one, "test", &w->e), 1);
}

/* ---- Changes ---- */

static void test_changes_are_counted_and_given_back(void **state)
{
    struct world *w = *state;

    table(w);
    OK(db_exec(w->d, "INSERT INTO t (n, s) VALUES (1, 'a'), (2, 'b'), (3, 'c')", "test", &w->e));
    assert_int_equal(db_run(db_stmt(w->d, "UPDATE t SET n = n + 1 WHERE n > 1"), "test", &w->e), 2);
    assert_int_equal(db_run(db_stmt(w->d, "DELETE FROM t WHERE n = 99"), "test", &w->e), 0);
    struct stmt *q = db_stmt(w->d, "INSERT INTO t (n, s) VALUES (9, 'a') ON CONFLICT (s)"
                                   " DO UPDATE SET n = t.n + 10 RETURNING n, id");
    assert_int_equal(db_step(q, "test", &w->e), 1);
    assert_int_equal(db_int(q, 0), 11);
    assert_int_equal(db_int(q, 1), 1);
    assert_int_equal(db_step(q, "test", &w->e), 0);
    q = db_stmt(w->d, "INSERT INTO t (n, s) VALUES (1, 'a') ON CONFLICT (s) DO NOTHING");
    assert_int_equal(db_run(q, "test", &w->e), 0);
}

static void test_a_number_of_its_own_is_not_given_twice(void **state)
{
    struct world *w = *state;

    table(w);
    OK(db_exec(w->d, "INSERT INTO t (n, s) VALUES (1, 'a'), (2, 'b'); DELETE FROM t", "test",
               &w->e));
    OK(db_exec(w->d, "INSERT INTO t (n, s) VALUES (3, 'c')", "test", &w->e));
    assert_int_equal(number(w, w->d, "SELECT id FROM t"), 3);
}

static void test_a_value_that_must_be_unique_is_refused_and_the_rest_goes_on(void **state)
{
    struct world *w = *state;

    table(w);
    OK(db_begin(w->d, DB_WRITE_ALL, "test", &w->e));
    OK(db_exec(w->d, "INSERT INTO t (n, s) VALUES (1, 'a')", "test", &w->e));
    struct stmt *q = db_stmt(w->d, "INSERT INTO t (n, s) VALUES (?, ?)");
    db_bind(q, "is", (int64_t)2, "a");
    assert_int_equal(db_run(q, "cannot write it", &w->e), -1);
    assert_int_equal(w->e.code, ERROR_ALREADY_EXISTS);
    assert_string_equal(w->e.msg, "cannot write it: it exists already");
    w->e = (struct error){ 0 };
    db_rollback(w->d);
    assert_int_equal(number(w, w->d, "SELECT count(*) FROM t"), 0);
    OK(db_begin(w->d, DB_WRITE_ALL, "test", &w->e));
    OK(db_exec(w->d, "INSERT INTO t (n, s) VALUES (1, 'a')", "test", &w->e));
    OK(db_commit(w->d, "test", &w->e));
    assert_int_equal(number(w, w->other, "SELECT count(*) FROM t"), 1);
}

static void test_a_row_that_another_one_names_is_kept_or_goes_with_it(void **state)
{
    static const char *const change[] = {
        "CREATE TABLE p (id INTEGER PRIMARY KEY) STRICT;"
        "CREATE TABLE c (p INTEGER NOT NULL REFERENCES p (id) ON DELETE CASCADE, n INTEGER NOT "
        "NULL,"
        " PRIMARY KEY (p, n)) STRICT, WITHOUT ROWID; -- a comment; INTEGER\n"
        "CREATE INDEX c_n ON c (n) WHERE n != 0;"
    };
    struct world *w = *state;

    changes(w, change, 1);
    OK(db_exec(w->d,
               "INSERT INTO p (id) VALUES (5), (6); INSERT INTO c (p, n) VALUES (5, 1), (6, 1)",
               "test", &w->e));
    assert_int_equal(db_run(db_stmt(w->d, "DELETE FROM p WHERE id = 5"), "test", &w->e), 1);
    assert_int_equal(number(w, w->d, "SELECT count(*) FROM c"), 1);
    assert_int_equal(db_exec(w->d, "INSERT INTO c (p, n) VALUES (5, 1)", "test", &w->e), -1);
    assert_int_equal(w->e.code, ERROR_INTERNAL);
}

/* ---- Transactions ---- */

static void test_what_is_committed_is_seen_and_nothing_before(void **state)
{
    struct world *w = *state;

    table(w);
    OK(db_begin(w->d, DB_WRITE_ALL, "test", &w->e));
    OK(db_exec(w->d, "INSERT INTO t (n, s) VALUES (1, 'a')", "test", &w->e));
    assert_int_equal(number(w, w->d, "SELECT count(*) FROM t"), 1);
    assert_int_equal(number(w, w->other, "SELECT count(*) FROM t"), 0);
    OK(db_commit(w->d, "test", &w->e));
    assert_int_equal(number(w, w->other, "SELECT count(*) FROM t"), 1);
    OK(db_begin(w->other, DB_WRITE_ROWS, "test", &w->e));
    OK(db_exec(w->other, "UPDATE t SET n = 2", "test", &w->e));
    db_rollback(w->other);
    db_rollback(w->other);
    assert_int_equal(number(w, w->d, "SELECT n FROM t"), 1);
}

#define ADDERS 4
#define ADDS 25

struct adder {
    struct world *w;
    enum db_right right;
    const char *read;
};

/* Reads, computes, writes: lost when two do it at once. */
static void *add(void *arg)
{
    const struct adder *a = arg;
    const struct db_settings settings = {
        .access = DB_SHARED, .page_bytes = 4096, .cache_kib = 256, .log_pages = 1000
    };
    struct error e = { 0 };
    struct db *d = db_open(a->w->place, &settings, &e);

    for (int i = 0; d && i < ADDS; i++) {
        if (db_begin(d, a->right, "test", &e) < 0)
            break;
        struct stmt *q = db_stmt(d, a->read);
        if (db_step(q, "test", &e) != 1)
            break;
        int64_t n = db_int(q, 0) + 1;
        q = db_stmt(d, "UPDATE t SET n = ? WHERE id = 1");
        db_bind(q, "i", n);
        if (db_run(q, "test", &e) != 1 || db_commit(d, "test", &e) < 0)
            break;
    }
    if (e.msg[0])
        print_error("%s\n", e.msg);
    db_close(d);
    return NULL;
}

static void add_all(struct world *w, const struct adder *kinds, size_t kind_count)
{
    pthread_t thread[ADDERS];

    for (size_t i = 0; i < ADDERS; i++)
        assert_int_equal(
            pthread_create(&thread[i], NULL, add, (void *)(uintptr_t)&kinds[i % kind_count]), 0);
    for (size_t i = 0; i < ADDERS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_int_equal(number(w, w->d, "SELECT n FROM t"), ADDERS * ADDS);
}

#define READ "SELECT n FROM t WHERE id = 1"

static void test_processes_that_read_and_then_write_lose_nothing(void **state)
{
    struct world *w = *state;
    const struct adder kinds[] = { { w, DB_WRITE_ALL, READ } };

    table(w);
    OK(db_exec(w->d, "INSERT INTO t (n, s) VALUES (0, 'a')", "test", &w->e));
    add_all(w, kinds, 1);
}

static void test_locked_rows_lose_nothing_beside_those_who_lock_all(void **state)
{
    struct world *w = *state;
    const struct adder kinds[] = { { w, DB_WRITE_ROWS, READ " FOR UPDATE" },
                                   { w, DB_WRITE_ALL, READ } };

    table(w);
    OK(db_exec(w->d, "INSERT INTO t (n, s) VALUES (0, 'a')", "test", &w->e));
    add_all(w, kinds, 2);
}

/* ---- Versions ---- */

#define ONE "CREATE TABLE one (a INTEGER NOT NULL) STRICT;"
#define TWO "ALTER TABLE one ADD COLUMN b TEXT NOT NULL DEFAULT '';"
#define BROKEN "-- breaking\nALTER TABLE one RENAME TO two;"

static void test_changes_are_made_once_and_one_that_fails_leaves_the_ones_before(void **state)
{
    static const char *const good[] = { ONE, TWO };
    static const char *const bad[] = { ONE, TWO,
                                       "CREATE TABLE u (a INTEGER); INSERT INTO v VALUES (1);" };
    const struct db_schema third = { bad, 3 };
    struct world *w = *state;
    int version = -1;

    OK(db_version(w->d, &version, &w->e));
    assert_int_equal(version, 0);
    changes(w, good, 1);
    changes(w, good, 2);
    changes(w, good, 2);
    assert_int_equal(db_migrate(w->d, &third, &w->e), -1);
    assert_non_null(strstr(w->e.msg, "cannot bring the database to version 3"));
    w->e = (struct error){ 0 };
    OK(db_version(w->other, &version, &w->e));
    assert_int_equal(version, 2);
    OK(db_exec(w->d, "CREATE TABLE u (a BIGINT)", "test", &w->e));
}

static void *migrate(void *arg)
{
    struct world *w = arg;
    const struct db_settings settings = {
        .access = DB_SHARED, .page_bytes = 4096, .cache_kib = 256, .log_pages = 1000
    };
    struct error e = { 0 };
    struct db *d = db_open(w->place, &settings, &e);

    if (!d || db_migrate(d, &db_schema_store, &e) < 0)
        print_error("%s\n", e.msg);
    db_close(d);
    return NULL;
}

/* The tables of the store, with all their changes. */
static void test_of_processes_that_start_at_once_one_makes_the_tables(void **state)
{
    struct world *w = *state;
    pthread_t thread[ADDERS];
    int version;

    for (size_t i = 0; i < ADDERS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, migrate, w), 0);
    for (size_t i = 0; i < ADDERS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    OK(db_version(w->d, &version, &w->e));
    assert_int_equal(version, db_schema_store.version);
    assert_int_equal(number(w, w->d, "SELECT count(*) FROM job"), 0);
}

/* SQLite has one program at a time, so its version is all that counts. */
static void test_a_breaking_change_says_which_programs_are_too_old(void **state)
{
    static const char *const change[] = { ONE, TWO, BROKEN, "CREATE TABLE four (a INTEGER);" };
    struct world *w = *state;
    bool file = !db_is_url(w->place);
    int compatible = -1;

    changes(w, change, 2);
    OK(db_compatible(w->d, &compatible, &w->e));
    assert_int_equal(compatible, file ? 2 : 0);
    changes(w, change, 4);
    OK(db_compatible(w->d, &compatible, &w->e));
    assert_int_equal(compatible, file ? 4 : 3);
    assert_int_equal(number(w, w->d, "SELECT count(*) FROM two"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_values_come_back_as_they_went),
        TEST(test_nulls_and_empty_values_differ),
        TEST(test_parameters_may_have_numbers_and_stand_twice),
        TEST(test_results_are_numbers),
        TEST(test_texts_and_bytes_are_ordered_by_their_bytes),
        TEST(test_rows_of_two_statements_do_not_meet),
        TEST(test_changes_are_counted_and_given_back),
        TEST(test_a_number_of_its_own_is_not_given_twice),
        TEST(test_a_value_that_must_be_unique_is_refused_and_the_rest_goes_on),
        TEST(test_a_row_that_another_one_names_is_kept_or_goes_with_it),
        TEST(test_what_is_committed_is_seen_and_nothing_before),
        TEST(test_processes_that_read_and_then_write_lose_nothing),
        TEST(test_locked_rows_lose_nothing_beside_those_who_lock_all),
        TEST(test_changes_are_made_once_and_one_that_fails_leaves_the_ones_before),
        TEST(test_of_processes_that_start_at_once_one_makes_the_tables),
        TEST(test_a_breaking_change_says_which_programs_are_too_old),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
