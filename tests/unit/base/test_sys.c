/* Goal: each call is whole or an error that names its path. Method: a scratch folder, and each fault
 * point in turn. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/fault.h"
#include "scratch.h"

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

static void test_what_is_written_is_read_back(void **state)
{
    struct buf back;

    scratch_write(*state, "f", "hello", 5);
    scratch_read(*state, "f", &back);
    assert_string_equal(back.p, "hello");
    buf_release(&back);
}

static void test_reading_at_a_place_stops_at_the_end(void **state)
{
    char path[SCRATCH_PATH_BYTES], bytes[10];
    struct error e = { 0 };

    scratch_write(*state, "f", "hello", 5);
    int fd = sys_open(scratch_path(*state, "f", path), O_RDONLY, &e);
    assert_int_equal(sys_read_at(fd, bytes, 10, 2, path, &e), 3);
    assert_memory_equal(bytes, "llo", 3);
    assert_int_equal(sys_read_at(fd, bytes, 10, 5, path, &e), 0);
    assert_int_equal(close(fd), 0);
}

static void test_a_file_over_the_maximum_is_refused(void **state)
{
    char path[SCRATCH_PATH_BYTES];
    struct error e = { 0 };
    struct buf out = BUF_INIT(100);

    scratch_write(*state, "f", "hello", 5);
    assert_int_equal(sys_read_file(scratch_path(*state, "f", path), 5, &out, &e), 0);
    buf_clear(&out);
    assert_int_equal(sys_read_file(path, 4, &out, &e), -1);
    assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
    assert_int_equal(sys_read_file(((struct scratch *)*state)->dir, 4, &out, &e), -1);
    assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
    buf_release(&out);
}

static void test_folders_are_made_with_their_parents_and_removed_whole(void **state)
{
    char path[SCRATCH_PATH_BYTES], file[SCRATCH_PATH_BYTES];
    struct error e = { 0 };

    assert_int_equal(sys_mkdirs(scratch_path(*state, "a/b/c", path), &e), 0);
    assert_int_equal(sys_mkdirs(path, &e), 0);
    scratch_write(*state, "a/b/f", "", 0);
    assert_int_equal(symlink("..", scratch_path(*state, "a/b/up", file)), 0);
    assert_int_equal(sys_mkdirs(scratch_path(*state, "a/b/f/g", file), &e), -1);
    assert_int_equal(sys_remove_all(scratch_path(*state, "a", path), &e), 0);
    assert_false(scratch_has(*state, "a"));
    assert_int_equal(sys_remove_all(path, &e), 0);
}

static void test_a_file_where_a_folder_should_be_is_told(void **state)
{
    char path[SCRATCH_PATH_BYTES];
    struct error e = { 0 };

    scratch_write(*state, "f", "", 0);
    assert_int_equal(sys_mkdirs(scratch_path(*state, "f", path), &e), -1);
    assert_int_equal(e.code, ERROR_ALREADY_EXISTS);
    assert_non_null(strstr(e.msg, path));
}

static void test_folders_deeper_than_the_maximum_are_not_removed(void **state)
{
    char path[SCRATCH_PATH_BYTES] = "";
    struct error e = { 0 };

    (void)snprintf(path, sizeof path, "%s/top", ((struct scratch *)*state)->dir);
    for (int i = 0; i < SYS_FOLDERS_DEEP_MAX; i++)
        (void)snprintf(path + strlen(path), sizeof path - strlen(path), "/d");
    assert_int_equal(sys_mkdirs(path, &e), 0);
    assert_int_equal(sys_remove_all(scratch_path(*state, "top", path), &e), -1);
    assert_int_equal(sys_remove_all(scratch_path(*state, "top/d", path), &e), 0);
}

static int do_open(const struct scratch *s, struct error *e)
{
    char path[SCRATCH_PATH_BYTES];
    int fd = sys_open(scratch_path(s, "f", path), O_RDONLY, e);

    if (fd >= 0)
        (void)close(fd);
    return fd < 0 ? -1 : 0;
}

static int do_write(const struct scratch *s, struct error *e)
{
    char path[SCRATCH_PATH_BYTES];
    int fd = open(scratch_path(s, "f", path), O_RDWR);
    int rc = sys_write_all(fd, "x", 1, path, e);

    (void)close(fd);
    return rc;
}

static int do_sync(const struct scratch *s, struct error *e)
{
    char path[SCRATCH_PATH_BYTES];

    return sys_sync_folder(scratch_path(s, "f", path), e);
}

static int do_rename(const struct scratch *s, struct error *e)
{
    char from[SCRATCH_PATH_BYTES], to[SCRATCH_PATH_BYTES];

    return sys_rename(scratch_path(s, "f", from), scratch_path(s, "g", to), e);
}

static int do_read(const struct scratch *s, struct error *e)
{
    char path[SCRATCH_PATH_BYTES];
    struct buf out = BUF_INIT(10);
    int rc = sys_read_file(scratch_path(s, "f", path), 10, &out, e);

    buf_release(&out);
    return rc;
}

static int do_mkdir(const struct scratch *s, struct error *e)
{
    char path[SCRATCH_PATH_BYTES];

    return sys_mkdirs(scratch_path(s, "d", path), e);
}

static int do_remove(const struct scratch *s, struct error *e)
{
    char path[SCRATCH_PATH_BYTES];

    return sys_remove_all(scratch_path(s, "f", path), e);
}

static void test_each_point_fails_with_its_error_and_its_path(void **state)
{
    static const struct {
        const char *point;
        int (*call)(const struct scratch *s, struct error *e);
    } cases[] = {
        { "sys.open", do_open },     { "sys.write", do_write }, { "sys.sync", do_sync },
        { "sys.rename", do_rename }, { "sys.read", do_read },   { "sys.mkdir", do_mkdir },
        { "sys.remove", do_remove },
    };
    const struct scratch *s = *state;

    scratch_write(s, "f", "", 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error e = { 0 };
        fault_arm(cases[i].point, 0, ENOSPC);
        assert_int_equal(cases[i].call(s, &e), -1);
        assert_int_equal(fault_disarm(), 1);
        assert_int_equal(e.code, ERROR_RESOURCE_EXHAUSTED);
        assert_non_null(strstr(e.msg, s->dir));
        assert_true(scratch_has(s, "f"));
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_written_is_read_back),
        TEST(test_reading_at_a_place_stops_at_the_end),
        TEST(test_a_file_over_the_maximum_is_refused),
        TEST(test_folders_are_made_with_their_parents_and_removed_whole),
        TEST(test_a_file_where_a_folder_should_be_is_told),
        TEST(test_folders_deeper_than_the_maximum_are_not_removed),
        TEST(test_each_point_fails_with_its_error_and_its_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
