/* Goal: what a table holds is the same after its way through CSV, of every type that can be carried; what cannot is
 * refused by name. Method: real Parquet and DuckDB files, made by the engine itself. */
#include "store/tables/table_files.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sys.h"

#define FILE_BYTES_MAX ((size_t)1024 * 1024)

struct fixture {
    char folder[64];
    struct arena arena;
    struct table_files *files;
};

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);
    struct error e;

    *f = (struct fixture){ .folder = "/tmp/tranche-tables-XXXXXX" };
    assert_non_null(mkdtemp(f->folder));
    f->files = table_files_open(f->folder, &e);
    if (!f->files)
        fail_msg("%s", e.msg);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct error e;

    table_files_close(f->files);
    arena_release(&f->arena);
    int rc = sys_remove_all(f->folder, &e);
    mem_free(f);
    return rc;
}

static char *in_folder(struct fixture *f, const char *name)
{
    return arena_textf(&f->arena, "%s/%s", f->folder, name);
}

static void file_write(const char *path, const char *text)
{
    struct error e;
    int fd = sys_open(path, O_WRONLY | O_CREAT | O_TRUNC, &e);

    assert_true(fd >= 0);
    assert_int_equal(sys_write_all(fd, text, strlen(text), path, &e), 0);
    (void)close(fd);
}

static void assert_file(const char *path, const char *expected)
{
    struct buf b = BUF_INIT(FILE_BYTES_MAX);
    struct error e;

    assert_int_equal(sys_read_file(path, FILE_BYTES_MAX, &b, &e), 0);
    buf_add_char(&b, '\0');
    assert_string_equal(b.p, expected);
    buf_release(&b);
}

/* Each with values of which a double, a trimmed text or a local time would lose something. */
static struct table_column all_types[] = {
    { STR_INIT("whole"), STR_INIT("BIGINT") },
    { STR_INIT("Exact money"), STR_INIT("DECIMAL(38,9)") },
    { STR_INIT("f"), STR_INIT("DOUBLE") },
    { STR_INIT("text"), STR_INIT("VARCHAR") },
    { STR_INIT("yes"), STR_INIT("BOOLEAN") },
    { STR_INIT("day"), STR_INIT("DATE") },
    { STR_INIT("at"), STR_INIT("TIMESTAMP WITH TIME ZONE") },
    { STR_INIT("bytes"), STR_INIT("BLOB") },
    { STR_INIT("list"), STR_INIT("DECIMAL(20,2)[]") },
    { STR_INIT("pair"), STR_INIT("STRUCT(a BIGINT, b VARCHAR)") },
    { STR_INIT("say \"j\""), STR_INIT("JSON") },
    { STR_INIT("big"), STR_INIT("HUGEINT") },
};
static struct table_columns all = { all_types, ARRAY_LEN(all_types) };
static const char all_rows[] =
    "whole,Exact money,f,text,yes,day,at,bytes,list,pair,\"say \"\"j\"\"\",big\n"
    "9223372036854775807,12345678901234567890.123456789,0.1,\"a\n,\"\"b\"\" \",true,2024-02-29,"
    "2024-01-02 03:04:05.123456+00,AGFi,\"[123456789012345678.10, "
    "NULL]\",\"{\"\"a\"\":1,\"\"b\"\":\"\"x\"\"}\","
    "\"{\"\"k\"\": 1.10}\",170141183460469231731687303715884105727\n"
    "-9223372036854775808,,-inf,\"\",false,,,,,,,\n";

static void round_trip(struct fixture *f, struct str table, const char *type_of_big)
{
    const char *in = in_folder(f, "in.csv"), *out = in_folder(f, "out.csv");
    struct table_columns found;
    struct error e;

    file_write(in, all_rows);
    if (table_files_write(f->files, in, &all, table, &e) != 2)
        fail_msg("%s", e.msg);
    assert_int_equal(table_files_columns(f->files, table, &f->arena, &found, &e), 0);
    assert_int_equal(found.count, all.count);
    for (uint32_t i = 0; i < all.count; i++) {
        assert_true(str_eq(found.item[i].name, all.item[i].name));
        bool is_big = str_eq_c(all.item[i].type, "HUGEINT");
        if (!str_eq(found.item[i].type, is_big ? str_of(type_of_big) : all.item[i].type))
            fail_msg("%.*s", STR_ARG(found.item[i].type));
    }
    assert_int_equal(table_files_read(f->files, table, out, &e), 2);
    assert_file(out, all_rows);
}

static void test_every_type_comes_back_exactly_through_parquet(void **state)
{
    struct fixture *f = *state;

    round_trip(f, str_of(in_folder(f, "t.parquet")), "VARCHAR");
}

static void test_every_type_comes_back_exactly_through_a_table_with_an_odd_name(void **state)
{
    struct fixture *f = *state;

    round_trip(f, str_of(in_folder(f, "it's.duckdb#say \"hi\"")), "HUGEINT");
}

static void test_a_table_is_replaced_and_the_others_of_its_file_stay(void **state)
{
    static struct table_column one[] = { { STR_INIT("a"), STR_INIT("INTEGER") } };
    struct table_columns columns = { one, 1 };
    struct fixture *f = *state;
    const char *csv = in_folder(f, "a.csv");
    struct error e;

    file_write(csv, "a\n1\n");
    assert_int_equal(
        table_files_write(f->files, csv, &columns, str_of(in_folder(f, "x.duckdb#main.first")), &e),
        1);
    assert_int_equal(
        table_files_write(f->files, csv, &columns, str_of(in_folder(f, "x.duckdb#second")), &e), 1);
    file_write(csv, "a\n2\n3\n");
    assert_int_equal(
        table_files_write(f->files, csv, &columns, str_of(in_folder(f, "x.duckdb#second")), &e), 2);
    assert_int_equal(table_files_read(f->files, str_of(in_folder(f, "x.duckdb#first")), csv, &e),
                     1);
    assert_file(csv, "a\n1\n");
}

static void test_a_failed_write_leaves_the_table_that_was_there(void **state)
{
    static struct table_column one[] = { { STR_INIT("a"), STR_INIT("INTEGER") } };
    struct table_columns columns = { one, 1 };
    struct fixture *f = *state;
    const char *csv = in_folder(f, "a.csv"), *path = in_folder(f, "t.parquet");
    struct error e;

    file_write(csv, "a\n1\n");
    assert_int_equal(table_files_write(f->files, csv, &columns, str_of(path), &e), 1);
    file_write(csv, "a\nno number\n");
    assert_int_equal(table_files_write(f->files, csv, &columns, str_of(path), &e), -1);
    assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
    assert_int_equal(table_files_read(f->files, str_of(path), csv, &e), 1);
    assert_int_equal(access(in_folder(f, "t.parquet.partial"), F_OK), -1);
}

static void test_what_is_wrong_is_named(void **state)
{
    static struct table_column one[] = { { STR_INIT("u"),
                                           STR_INIT("UNION(n INTEGER, s VARCHAR)") } };
    struct table_columns columns = { one, 1 }, found;
    struct fixture *f = *state;
    const char *csv = in_folder(f, "a.csv"), *absent = in_folder(f, "absent.parquet");
    struct str table = str_of(in_folder(f, "y.duckdb#t"));
    struct error e;

    assert_int_equal(table_files_columns(f->files, str_of(absent), &f->arena, &found, &e), -1);
    assert_int_equal(e.code, ERROR_NOT_FOUND);
    file_write(absent, "not a table");
    assert_int_equal(table_files_columns(f->files, str_of(absent), &f->arena, &found, &e), -1);
    assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(e.msg, "absent.parquet"));
    file_write(csv, "u\na\n");
    assert_int_equal(table_files_write(f->files, csv, &columns, table, &e), 1);
    assert_int_equal(table_files_columns(f->files, table, &f->arena, &found, &e), -1);
    assert_int_equal(e.code, ERROR_UNIMPLEMENTED);
    assert_non_null(strstr(e.msg, "column u"));
}

static void test_names_say_what_is_a_table(void **state)
{
    (void)state;
    assert_true(table_file_is(STR("a.parquet")));
    assert_true(table_file_is(STR("x/a.duckdb#t")));
    assert_false(table_file_is(STR("a.csv")));
    assert_false(table_file_is(STR("a.duckdb")));
    assert_false(table_file_is(STR("a.duckdb#")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_every_type_comes_back_exactly_through_parquet),
        TEST(test_every_type_comes_back_exactly_through_a_table_with_an_odd_name),
        TEST(test_a_table_is_replaced_and_the_others_of_its_file_stay),
        TEST(test_a_failed_write_leaves_the_table_that_was_there),
        TEST(test_what_is_wrong_is_named),
        cmocka_unit_test(test_names_say_what_is_a_table),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
