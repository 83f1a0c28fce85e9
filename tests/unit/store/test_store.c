/* Goal: one folder has one server and one version; what is committed is there for everybody, and nothing
 * else is. Method: a store in a scratch folder, opened twice, again, and under faults. */
#include <errno.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "unit/store/objects/blob_world.h"

static void exec(struct store *s, const char *sql)
{
    struct error e = { 0 };
    struct db *d = store_write(s, &e);

    assert_non_null(d);
    ASSERT_OK(store_commit(s, d, db_exec(d, sql, "test", &e), &e), e);
}

static int64_t number(struct store *s, const char *sql)
{
    struct error e = { 0 };
    struct db *d = store_read(s, &e);

    assert_non_null(d);
    struct stmt *q = db_stmt(d, sql);
    assert_int_equal(db_step(q, "test", &e), 1);
    int64_t n = db_int(q, 0);
    store_read_done(s, d);
    return n;
}

static void test_a_second_server_is_refused_and_a_command_beside_it_is_not(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    unsigned char here[STORE_MAC_BYTES], there[STORE_MAC_BYTES];

    assert_null(store_open(w->dir, true, &w->clock, &e));
    assert_int_equal(e.code, ERROR_FAILED_PRECONDITION);
    assert_non_null(strstr(e.msg, "another server"));

    struct store *beside = store_open(w->dir, false, &w->clock, &(struct error){ 0 });
    assert_non_null(beside);
    e = (struct error){ 0 };
    ASSERT_OK(store_mac(beside, "x", STR("text"), there, &e), e);
    ASSERT_OK(store_mac(w->s, "x", STR("text"), here, &e), e);
    assert_memory_equal(here, there, sizeof here);
    store_close(beside);
}

static void test_a_secret_is_made_once_and_stays(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    unsigned char a[STORE_MAC_BYTES], b[STORE_MAC_BYTES], again[STORE_MAC_BYTES];

    ASSERT_OK(store_mac(w->s, "a", STR("text"), a, &e), e);
    ASSERT_OK(store_mac(w->s, "b", STR("text"), b, &e), e);
    assert_memory_not_equal(a, b, sizeof a);
    world_reopen(w);
    ASSERT_OK(store_mac(w->s, "a", STR("text"), again, &e), e);
    assert_memory_equal(a, again, sizeof a);
}

static void test_a_folder_of_a_newer_version_is_refused(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    char sql[64];

    (void)snprintf(sql, sizeof sql, "PRAGMA user_version = %d", db_schema_store.version + 1);
    exec(w->s, sql);
    store_close(w->s);
    w->s = store_open(w->dir, true, &w->clock, &e);
    assert_null(w->s);
    assert_int_equal(e.code, ERROR_FAILED_PRECONDITION);
    assert_non_null(strstr(e.msg, "use the program that wrote it"));
}

static void test_the_last_version_and_every_durability_setting_hold(void **state)
{
    struct world *w = *state;
    struct stat st;
    char path[PATH_BYTES];

    assert_int_equal(number(w->s, "PRAGMA user_version"), db_schema_store.version);
    assert_int_equal(number(w->s, "PRAGMA synchronous"), 2);
    assert_int_equal(number(w->s, "PRAGMA foreign_keys"), 1);
    assert_int_equal(number(w->s, "SELECT count(*) FROM pragma_journal_mode WHERE"
                                  " journal_mode = 'wal'"),
                     1);
    store_path(w->s, path, "state.db");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_what_is_rolled_back_is_nowhere_and_the_next_write_works(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct db *d = store_write(w->s, &e);

    assert_non_null(d);
    ASSERT_OK(db_exec(d, "INSERT INTO secret VALUES ('x', x'00')", "test", &e), e);
    int rc = error_set(&e, ERROR_ABORTED, "no");
    ASSERT_FAILS(store_commit(w->s, d, rc, &e), e, ERROR_ABORTED);
    assert_int_equal(number(w->s, "SELECT count(*) FROM secret"), 0);
    exec(w->s, "INSERT INTO secret VALUES ('x', x'00')");
    assert_int_equal(number(w->s, "SELECT count(*) FROM secret"), 1);
}

static void test_a_constraint_is_the_error_it_means(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct db *d = store_write(w->s, &e);
    const char *twice = "INSERT INTO secret VALUES ('x', x'00'), ('x', x'00')";

    assert_int_equal(db_exec(d, twice, "cannot write it", &e), -1);
    ASSERT_FAILS(store_commit(w->s, d, -1, &e), e, ERROR_ALREADY_EXISTS);
}

/* Whatever fails while the folder is made, the next start makes it whole. */
static void test_a_folder_half_made_under_any_fault_opens_the_next_time(void **state)
{
    struct world *w = *state;
    char dir[SCRATCH_PATH_BYTES], name[32];

    for (int n = 0;; n++) {
        struct error e = { 0 };
        (void)snprintf(name, sizeof name, "half%d", n);
        (void)scratch_path(&w->scratch, name, dir);
        fault_arm("*", n, ENOSPC);
        struct store *s = store_open(dir, true, &w->clock, &e);
        int fired = fault_disarm();
        store_close(s);
        assert_true(s || e.code == ERROR_RESOURCE_EXHAUSTED || e.code == ERROR_INTERNAL);
        e = (struct error){ 0 };
        s = store_open(dir, true, &w->clock, &e);
        assert_string_equal(e.msg, "");
        assert_int_equal(number(s, "PRAGMA user_version"), db_schema_store.version);
        store_close(s);
        struct error ignored;
        assert_int_equal(sys_remove_all(dir, &ignored), 0);
        if (!fired)
            break;
    }
}

/* A reader whose disk fails says so; the same connection works when the disk does. */
static void test_a_failed_read_is_an_error_and_not_the_end(void **state)
{
    struct world *w = *state;

    for (int n = 0;; n++) {
        struct error e = { 0 };
        unsigned char out[STORE_MAC_BYTES];
        world_reopen(w);
        fault_arm("*", n, EIO);
        int rc = store_mac(w->s, "x", STR("text"), out, &e);
        int fired = fault_disarm();
        assert_true(rc == 0 || e.code != ERROR_OK);
        e = (struct error){ 0 };
        ASSERT_OK(store_mac(w->s, "x", STR("text"), out, &e), e);
        if (!fired)
            break;
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_make, world_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_second_server_is_refused_and_a_command_beside_it_is_not),
        TEST(test_a_secret_is_made_once_and_stays),
        TEST(test_a_folder_of_a_newer_version_is_refused),
        TEST(test_the_last_version_and_every_durability_setting_hold),
        TEST(test_what_is_rolled_back_is_nowhere_and_the_next_write_works),
        TEST(test_a_constraint_is_the_error_it_means),
        TEST(test_a_folder_half_made_under_any_fault_opens_the_next_time),
        TEST(test_a_failed_read_is_an_error_and_not_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
