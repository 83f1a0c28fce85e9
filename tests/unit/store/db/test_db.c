/* Goal: each kind of connection to a file keeps its promise to the others; what all databases have in common is in
 * conform/store/db. Method: a scratch file, opened twice in each way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scratch.h"
#include "store/db/db.h"

static struct db *open_as(const struct scratch *dir, enum db_access access, struct error *e)
{
    char path[SCRATCH_PATH_BYTES];
    const struct db_settings settings = {
        .access = access,
        .page_bytes = 4096,
        .cache_kib = 256,
        .log_pages = 1000,
        .when_damaged = "start again",
    };

    return db_open(scratch_path(dir, "x.db", path), &settings, e);
}

static struct db *opened(const struct scratch *dir, enum db_access access)
{
    struct error e = { 0 };
    struct db *d = open_as(dir, access, &e);

    assert_string_equal(e.msg, "");
    assert_non_null(d);
    return d;
}

static void exec(struct db *d, const char *sql)
{
    struct error e = { 0 };

    assert_int_equal(db_exec(d, sql, "test", &e), 0);
}

#define TABLE "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a BLOB);"

static void test_an_exclusive_file_is_refused_to_others_until_it_is_closed(void **state)
{
    struct error e = { 0 };
    struct db *d = opened(*state, DB_EXCLUSIVE);

    exec(d, TABLE "INSERT INTO t (a) VALUES (x'31')");
    assert_null(open_as(*state, DB_EXCLUSIVE, &e));
    assert_int_equal(e.code, ERROR_FAILED_PRECONDITION);
    db_close(d);
    d = opened(*state, DB_FOREIGN);
    struct stmt *q = db_stmt(d, "SELECT a FROM t");
    assert_int_equal(db_step(q, "test", &e), 1);
    assert_true(str_eq_c(db_bytes(q, 0), "1"));
    db_close(d);
}

static void test_a_reader_sees_what_is_committed_and_cannot_write(void **state)
{
    struct error e = { 0 };
    struct db *writer = opened(*state, DB_SHARED), *reader = opened(*state, DB_READ_ONLY);

    exec(writer, TABLE);
    assert_int_equal(db_begin(writer, DB_WRITE_ALL, "test", &e), 0);
    exec(writer, "INSERT INTO t (a) VALUES (x'31')");
    struct stmt *q = db_stmt(reader, "SELECT count(*) FROM t");
    assert_int_equal(db_step(q, "test", &e), 1);
    assert_int_equal(db_int(q, 0), 0);
    assert_int_equal(db_commit(writer, "test", &e), 0);
    q = db_stmt(reader, "SELECT count(*) FROM t");
    assert_int_equal(db_step(q, "test", &e), 1);
    assert_int_equal(db_int(q, 0), 1);
    db_reset_all(reader);
    assert_int_equal(db_run(db_stmt(reader, "DELETE FROM t"), "cannot clear it", &e), -1);
    assert_int_equal(e.code, ERROR_PERMISSION_DENIED);
    assert_string_equal(e.msg, "cannot clear it: no permission");
    db_close(reader);
    db_close(writer);
}

static void test_a_statement_is_used_again_and_empty_bytes_may_be_null(void **state)
{
    struct error e = { 0 };
    struct db *d = opened(*state, DB_SHARED);
    const char *sql = "SELECT ? IS NULL, ? IS NULL";

    struct stmt *q = db_stmt(d, sql);
    db_bind(q, "bB", (struct str){ 0 }, (struct str){ 0 });
    assert_int_equal(db_step(q, "test", &e), 1);
    assert_int_equal(db_int(q, 0), 0);
    assert_int_equal(db_int(q, 1), 1);
    assert_ptr_equal(db_stmt(d, sql), q);
    db_bind(q, "ss", NULL, "x");
    assert_int_equal(db_step(q, "test", &e), 1);
    assert_int_equal(db_int(q, 0), 1);
    assert_int_equal(db_int(q, 1), 0);
    db_close(d);
}

static void test_words_that_lock_rows_are_left_out_where_a_writer_has_all(void **state)
{
    struct error e = { 0 };
    struct db *d = opened(*state, DB_SHARED);

    exec(d, TABLE "INSERT INTO t (a) VALUES (x'31'), (x'32')");
    struct stmt *q = db_stmt(d, "SELECT id FROM t WHERE id = ? FOR UPDATE");
    db_bind(q, "i", (int64_t)2);
    assert_int_equal(db_step(q, "test", &e), 1);
    assert_int_equal(db_int(q, 0), 2);
    db_reset(q);
    q = db_stmt(d, "DELETE FROM t WHERE id IN"
                   " (SELECT id FROM t ORDER BY id LIMIT ? FOR UPDATE SKIP LOCKED) RETURNING id");
    db_bind(q, "i", (int64_t)1);
    assert_int_equal(db_step(q, "test", &e), 1);
    assert_int_equal(db_int(q, 0), 1);
    db_close(d);
}

static int make(void **state)
{
    struct scratch *dir = mem_alloc(sizeof *dir);

    scratch_make(dir);
    *state = dir;
    return 0;
}

static int clear(void **state)
{
    scratch_remove(*state);
    mem_free(*state);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_exclusive_file_is_refused_to_others_until_it_is_closed),
        TEST(test_a_reader_sees_what_is_committed_and_cannot_write),
        TEST(test_a_statement_is_used_again_and_empty_bytes_may_be_null),
        TEST(test_words_that_lock_rows_are_left_out_where_a_writer_has_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
