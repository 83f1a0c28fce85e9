/* Goal: no text reaches files, settings, other engines' functions, other projects or hidden schemas; and what is
 * refused says what and where. Method: 90 texts that attack, each with the beginning of its error; texts whose literals
 * and names hold quotes, as they are printed; each limit at its maximum and one past it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "world.h"

static const struct {
    const char *text, *error;
} attacks[] = {
    /* Files. */
    { "SELECT * FROM read_csv('/etc/passwd')", "Table-valued function not found: read_csv" },
    { "SELECT * FROM read_text('/etc/passwd')", "Table-valued function not found" },
    { "SELECT * FROM read_blob('/etc/passwd')", "Table-valued function not found" },
    { "SELECT * FROM read_json('x')", "Table-valued function not found" },
    { "SELECT * FROM parquet_scan('x')", "Table-valued function not found" },
    { "SELECT * FROM sniff_csv('/etc/passwd')", "Table-valued function not found" },
    { "SELECT * FROM glob('/*')", "Table-valued function not found" },
    { "SELECT * FROM '/etc/passwd'", "Syntax error: Expected identifier" },
    { "SELECT * FROM \"/etc/passwd\"", "Syntax error: Expected identifier" },
    { "SELECT * FROM `/etc/passwd`", "Not found: Table" },
    { "SELECT * FROM `x.csv`", "Not found: Table" },
    { "SELECT * FROM `d.t.parquet`", "Not found: Table" },
    { "SELECT read_text('/etc/passwd')", "Function not found: read_text" },
    { "SELECT pg_read_file('/etc/passwd')", "Function not found" },
    { "COPY d.t TO '/tmp/x'", "Syntax error: Unexpected identifier \"COPY\" at [1:1]" },
    { "COPY (SELECT 1) TO '/tmp/x.csv'", "Syntax error: Unexpected" },
    { "EXPORT DATABASE '/tmp/x'", "EXPORT is not supported" },
    { "EXPORT DATA OPTIONS(uri='/tmp/*') AS SELECT 1", "EXPORT is not supported" },
    { "IMPORT DATABASE '/tmp/x'", "Syntax error: Unexpected" },
    { "LOAD DATA INTO d.t FROM FILES(format='CSV', uris=['/etc/passwd'])", "LOAD is not" },
    { "CREATE EXTERNAL TABLE d.x OPTIONS(format='CSV', uris=['/x'])", "CREATE EXTERNAL is not" },
    /* Other databases, extensions, settings. */
    { "ATTACH '/tmp/x.db' AS x", "Syntax error: Unexpected" },
    { "ATTACH ':memory:' AS m", "Syntax error: Unexpected" },
    { "DETACH x", "Syntax error: Unexpected" },
    { "USE x", "Syntax error: Unexpected" },
    { "INSTALL httpfs", "Syntax error: Unexpected" },
    { "LOAD httpfs", "LOAD is not supported" },
    { "PRAGMA database_list", "Syntax error: Unexpected" },
    { "PRAGMA enable_external_access", "Syntax error: Unexpected" },
    { "SET enable_external_access = true", "Undeclared variable: enable_external_access" },
    { "SET memory_limit = '1TB'", "Undeclared variable: memory_limit" },
    { "SET GLOBAL threads = 1", "Syntax error: Expected" },
    { "RESET threads", "Syntax error: Unexpected" },
    { "SELECT current_setting('memory_limit')", "Function not found" },
    { "SELECT set_config('a', 'b', false)", "Function not found" },
    { "SELECT getenv('HOME')", "Function not found" },
    { "SELECT getvariable('x')", "Function not found" },
    { "SELECT nextval('s')", "Function not found" },
    { "CHECKPOINT", "Syntax error: Unexpected" },
    { "FORCE CHECKPOINT", "Syntax error: Unexpected" },
    { "VACUUM", "Syntax error: Unexpected" },
    { "ANALYZE", "Syntax error: Unexpected" },
    { "CALL pragma_version()", "CALL is not supported" },
    { "EXPLAIN SELECT 1", "EXPLAIN is not supported" },
    { "PREPARE q AS SELECT 1", "Syntax error: Unexpected" },
    { "EXECUTE q", "Syntax error: Expected keyword IMMEDIATE" },
    { "DEALLOCATE q", "Syntax error: Unexpected" },
    { "CREATE MACRO m() AS 1", "CREATE MACRO is not supported" },
    { "CREATE SECRET s (TYPE S3)", "CREATE SECRET is not supported" },
    { "CREATE TYPE x AS ENUM ('a')", "CREATE TYPE is not supported" },
    { "CREATE SEQUENCE s", "CREATE SEQUENCE is not supported" },
    { "CREATE INDEX i ON d.t (id)", "CREATE INDEX is not supported" },
    { "DROP DATABASE x", "DROP DATABASE is not supported" },
    { "DROP TYPE JSON", "DROP TYPE is not supported" },
    { "ALTER DATABASE x SET y", "ALTER DATABASE is not supported" },
    { "GRANT `roles/x` ON SCHEMA d TO 'user:a'", "GRANT is not supported" },
    { "CREATE TEMP FUNCTION f() RETURNS INT64 LANGUAGE js AS 'return 1'", "Functions in js" },
    /* The engine's own tables and functions. */
    { "SELECT * FROM duckdb_settings()", "Table-valued function not found" },
    { "SELECT * FROM duckdb_secrets()", "Table-valued function not found" },
    { "SELECT * FROM duckdb_tables()", "Table-valued function not found" },
    { "SELECT * FROM duckdb_tables", "Not found: Table" },
    { "SELECT * FROM sqlite_master", "Not found: Table" },
    { "SELECT * FROM pg_catalog.pg_tables", "Not found: Table" },
    { "SELECT * FROM main.t", "Not found: Table" },
    { "SELECT * FROM system.main.duckdb_settings", "Not found: Table" },
    { "SELECT * FROM information_schema.tables", "INFORMATION_SCHEMA is not supported here" },
    { "SELECT * FROM tranche.tables", "Not found: Table" },
    { "SELECT * FROM query('SELECT 1')", "Table-valued function not found" },
    { "SELECT * FROM query_table('t')", "Table-valued function not found" },
    { "SELECT * FROM range(1000000000000)", "Syntax error: Unexpected keyword RANGE" },
    { "SELECT * FROM generate_series(1, 10)", "Table-valued function not found" },
    { "SELECT * FROM repeat_row(1)", "Table-valued function not found" },
    { "SELECT * FROM pragma_table_info('t')", "Table-valued function not found" },
    { "SELECT * FROM (VALUES (1))", "Table-valued function not found" },
    { "SELECT bq_add(1, 2)", "Function not found: bq_add" },
    { "SELECT `+`(1, 2)", "Function not found" },
    { "SELECT `CAST INT64`('1')", "Function not found" },
    { "SELECT `JSON FIELD`('1', 'a')", "Function not found" },
    { "SELECT list_transform([1], x -> x)", "Function not found" },
    { "SELECT COLUMNS('x') FROM d.t", "Function not found" },
    { "SELECT 1::VARCHAR", "Syntax error: Expected end of input but got \":\"" },
    { "SELECT $1", "Syntax error: Illegal input character \"$\"" },
    { "SELECT t.* EXCLUDE (id) FROM d.t", "Syntax error" },
    { "FROM d.t", "Syntax error: Unexpected keyword FROM" },
    { "DESCRIBE d.t", "Syntax error: Unexpected" },
    { "SHOW TABLES", "Syntax error: Unexpected" },
    { "SUMMARIZE d.t", "Syntax error: Unexpected" },
    { "PIVOT d.t ON name", "Syntax error: Unexpected" },
    /* Other projects, and texts that end another. */
    { "SELECT * FROM other.d.t", "Not found: Table" },
    { "SELECT * FROM `other`.`d`.`t`", "Not found: Table" },
    { "SELECT `x\"; DROP TABLE t; --` FROM d.t", "Unrecognized name: x\"; DROP TABLE t; --" },
    { "SELECT 1; COPY d.t TO 'x'", "Syntax error: Unexpected identifier \"COPY\" at [1:11]" },
    { "INSERT INTO d.t (id) SELECT * FROM read_csv('x')", "Table-valued function not found" },
    { "CREATE TABLE d.x AS SELECT * FROM read_csv('x')", "Table-valued function not found" },
    { "CREATE VIEW d.x AS SELECT getenv('HOME')", "Function not found" },
    { "EXECUTE IMMEDIATE (SELECT getenv('HOME'))", "Function not found" },
};

static void test_attacks_are_refused_in_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(attacks); i++) {
        struct arena a = { 0 };
        struct error e = { 0 };
        struct sql_written w;
        if (world_write(&a, attacks[i].text, &w, &e) == 0)
            fail_msg("%s: became %.*s", attacks[i].text, STR_ARG(w.sql));
        if (!str_starts(str_of(e.msg), str_of(attacks[i].error)))
            fail_msg("%s: %s", attacks[i].text, e.msg);
        assert_true(e.code == ERROR_INVALID_ARGUMENT || e.code == ERROR_UNIMPLEMENTED ||
                    e.code == ERROR_NOT_FOUND);
        arena_release(&a);
    }
}

static void test_quotes_and_odd_bytes_stay_within_their_literal(void **state)
{
    static const struct {
        const char *text, *sql;
    } cases[] = {
        { "SELECT \"it's\" AS a", "SELECT 'it''s' AS \"a\"" },
        { "SELECT 'a\\'; DROP TABLE t; --' AS a", "SELECT 'a''; DROP TABLE t; --' AS \"a\"" },
        { "SELECT 1 AS `a\"b`", "SELECT 1::BIGINT AS \"a\"\"b\"" },
        { "SELECT r'\\d' AS a", "SELECT '\\d' AS \"a\"" },
        { "SELECT 'a\\000b' AS a", "SELECT ('a' || chr(0) || 'b') AS \"a\"" },
        { "SELECT b'\\x00\\'' AS a", "SELECT '\\x00\\x27'::BLOB AS \"a\"" },
        { "SELECT STRUCT(1 AS `x'y`) AS a", "SELECT {'x''y': 1::BIGINT} AS \"a\"" },
        { "SELECT '''a\n'b''' AS a", "SELECT 'a\n''b' AS \"a\"" },
        { "SELECT 1 AS a -- '\n/* ' */ # '", "SELECT 1::BIGINT AS \"a\"" },
        { "SELECT `D`.`T`.id FROM `p.d.t` AS `D` WHERE FALSE",
          "SELECT \"D\".\"T\".\"id\" AS \"id\" FROM \"d\".\"t\" AS \"D\" WHERE false" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena a = { 0 };
        struct error e = { 0 };
        struct sql_written w = { 0 };
        if (world_write(&a, cases[i].text, &w, &e) < 0)
            fail_msg("%s: %s", cases[i].text, e.msg);
        if (!str_eq_c(w.sql, cases[i].sql))
            fail_msg("%s: became %.*s", cases[i].text, STR_ARG(w.sql));
        arena_release(&a);
    }
}

/* before, `count` times part, middle, `count` times end. */
static char *repeated(struct arena *a, const char *before, const char *part, uint32_t count,
                      const char *middle, const char *end)
{
    struct buf b = BUF_INIT(4 * SQL_TEXT_BYTES_MAX);

    buf_add_c(&b, before);
    for (uint32_t i = 0; i < count; i++)
        buf_add_c(&b, part);
    buf_add_c(&b, middle);
    for (uint32_t i = 0; i < count; i++)
        buf_add_c(&b, end);
    assert_true(buf_ok(&b));
    char *text = arena_copy(a, b.p, b.len);
    buf_release(&b);
    return text;
}

static bool writes(struct arena *a, const char *text, const char *error)
{
    struct error e = { 0 };
    struct sql_written w;

    if (world_write(a, text, &w, &e) == 0)
        return true;
    if (!str_starts(str_of(e.msg), str_of(error)))
        fail_msg("%.60s: %s", text, e.msg);
    return false;
}

static void test_depth_height_steps_and_size_are_bounded(void **state)
{
    struct arena a = { 0 };
    const char *complex = "Query is too complex";

    (void)state;
    /* Statements and their query are two levels, and the expression in the list is one. */
    uint32_t depth = SQL_DEPTH_MAX - 3;
    assert_true(writes(&a, repeated(&a, "SELECT ", "(", depth, "1", ")"), complex));
    assert_false(writes(&a, repeated(&a, "SELECT ", "(", depth + 1, "1", ")"), complex));
    assert_true(writes(&a, repeated(&a, "SELECT ", "-(", depth / 2, "1", ")"), complex));
    assert_false(writes(&a, repeated(&a, "SELECT ", "NOT ", 100000, "TRUE", ""), complex));
    assert_false(writes(&a, repeated(&a, "SELECT ", "- ", 100000, "x", ""), complex));
    assert_false(
        writes(&a, repeated(&a, "SELECT CAST(NULL AS ", "STRUCT<", 50000, "INT64", ">"), complex));
    assert_false(writes(&a, repeated(&a, "", "(", 100000, "SELECT 1", ")"), complex));
    assert_false(writes(&a, repeated(&a, "SELECT * FROM ", "(", 100000, "d.t", ")"), complex));
    assert_false(writes(&a, repeated(&a, "", "BEGIN ", 100000, "SELECT 1;", "END;"), complex));
    /* Operators in a row: an AND of any length, but sums of at most SQL_HEIGHT_MAX. */
    assert_true(writes(&a, repeated(&a, "SELECT TRUE", " AND TRUE", 20000, "", ""), complex));
    assert_true(writes(&a, repeated(&a, "SELECT 1", " + 1", SQL_HEIGHT_MAX, "", ""), complex));
    assert_false(writes(&a, repeated(&a, "SELECT 1", " + 1", SQL_HEIGHT_MAX + 1, "", ""), complex));
    assert_false(writes(&a, repeated(&a, "SELECT 1 FROM d.t", ", d.t", SQL_HEIGHT_MAX + 1, "", ""),
                        complex));
    /* Steps of a script. */
    assert_true(
        writes(&a, repeated(&a, "", "SELECT 1;", SQL_STEPS_MAX, "", ""), "Script is too long"));
    assert_false(
        writes(&a, repeated(&a, "", "SELECT 1;", SQL_STEPS_MAX + 1, "", ""), "Script is too long"));
    /* Bytes of the text. */
    assert_true(writes(&a, repeated(&a, "SELECT 1", " ", SQL_TEXT_BYTES_MAX - 8, "", ""),
                       "The query is too"));
    assert_false(writes(&a, repeated(&a, "SELECT 1", " ", SQL_TEXT_BYTES_MAX - 7, "", ""),
                        "The query is too"));
    arena_release(&a);
}

static void test_tables_of_a_wildcard_are_bounded(void **state)
{
    struct arena a = { 0 };

    (void)state;
    assert_true(writes(&a, "SELECT a FROM `d.many_*`", "zz"));
    assert_false(writes(&a, "SELECT a FROM `d.more_*`", "more_* matches more than 1000 tables"));
    arena_release(&a);
}

/* The last literal fills what the others leave. */
static void test_the_output_of_a_statement_is_bounded(void **state)
{
    struct arena a = { 0 };
    struct error e = { 0 };
    struct sql_written w = { 0 };
    char *body = repeated(&a, "CREATE TEMP FUNCTION f() AS ('", "x", 100000, "');SELECT ", "");
    char *calls = repeated(&a, body, "f(),", 80, "'", "");

    (void)state;
    assert_int_equal(world_write(&a, arena_textf(&a, "%s'", calls), &w, &e), 0);
    assert_true(w.sql.len < SQL_OUTPUT_BYTES_MAX);
    uint32_t left = (uint32_t)(SQL_OUTPUT_BYTES_MAX - w.sql.len);
    assert_true(writes(&a, repeated(&a, calls, "y", left, "'", ""), "zz"));
    assert_false(writes(&a, repeated(&a, calls, "y", left + 1, "'", ""),
                        "Query is too complex: it needs more than 8388608 bytes of SQL"));
    arena_release(&a);
}

static void test_functions_that_double_their_argument_end_at_the_size_of_the_output(void **state)
{
    struct arena a = { 0 };
    struct buf b = BUF_INIT(65536);

    (void)state;
    buf_add_c(&b, "CREATE TEMP FUNCTION f0(x INT64) AS (x + x);");
    for (int i = 1; i < SQL_FUNCTION_CALLS_MAX; i++)
        buf_addf(&b, "CREATE TEMP FUNCTION f%d(x INT64) AS (f%d(x) + f%d(x));", i, i - 1, i - 1);
    buf_addf(&b, "SELECT f%d(f%d(1))", SQL_FUNCTION_CALLS_MAX - 1, SQL_FUNCTION_CALLS_MAX - 1);
    assert_false(writes(&a, arena_copy(&a, b.p, b.len), "Query is too complex"));
    buf_clear(&b);
    buf_add_c(&b, "CREATE TEMP FUNCTION f0(x INT64) AS (x);");
    for (int i = 1; i <= SQL_FUNCTION_CALLS_MAX; i++)
        buf_addf(&b, "CREATE TEMP FUNCTION f%d(x INT64) AS (f%d(x));", i, i - 1);
    char *functions = arena_copy(&a, b.p, b.len);
    assert_true(
        writes(&a, arena_textf(&a, "%sSELECT f%d(1)", functions, SQL_FUNCTION_CALLS_MAX - 1), ""));
    assert_false(writes(&a, arena_textf(&a, "%sSELECT f%d(1)", functions, SQL_FUNCTION_CALLS_MAX),
                        "More than 16 functions call each other"));
    buf_release(&b);
    arena_release(&a);
}

/* Each part is printed once, though its type is asked for at each level around it. */
static void test_fields_of_fields_take_time_by_their_number(void **state)
{
    struct arena a = { 0 };
    uint32_t depth = SQL_DEPTH_MAX / 4;

    (void)state;
    assert_true(
        writes(&a, repeated(&a, "SELECT ANY_VALUE(addr)", ".zip", 80, " FROM d.t", ""), ""));
    assert_true(writes(&a, repeated(&a, "SELECT js", "[0]", 80, " FROM d.t", ""), ""));
    assert_false(
        writes(&a, repeated(&a, "SELECT NOSUCH(1)", ".a", 80, "", ""), "Function not found"));
    assert_true(
        writes(&a, repeated(&a, "SELECT ", "(SELECT ", depth, "addr FROM d.t", ").zip"), ""));
    assert_false(writes(&a, repeated(&a, "SELECT ", "(SELECT ", depth, "NOSUCH(1)", ").zip"),
                        "Function not found"));
    arena_release(&a);
}

/* A body of 498 values is 500 expressions a call, with the call and the array. */
static void test_expressions_of_a_statement_are_bounded(void **state)
{
    struct arena a = { 0 };
    const char *complex = "Query is too complex: more than 1000000 expressions";
    char *body =
        repeated(&a, "CREATE TEMP FUNCTION f() AS ([TRUE", ",TRUE", 497, "]);SELECT f()", "");
    char *calls = repeated(&a, "", ",f()", SQL_EXPRESSIONS_MAX / 500 - 1, "", "");

    (void)state;
    assert_true(writes(&a, arena_textf(&a, "%s%s", body, calls), "zz"));
    assert_false(writes(&a, arena_textf(&a, "%s%s,1", body, calls), complex));
    /* Calls of calls whose text stays short. */
    struct buf b = BUF_INIT(65536);
    buf_add_c(&b, "CREATE TEMP FUNCTION f0(x INT64) AS (1);");
    for (int i = 1; i < SQL_FUNCTION_CALLS_MAX; i++)
        buf_addf(&b, "CREATE TEMP FUNCTION f%d(x INT64) AS (f%d(f%d(f%d(f%d(1)))));", i, i - 1,
                 i - 1, i - 1, i - 1);
    buf_addf(&b, "SELECT f%d(1)", SQL_FUNCTION_CALLS_MAX - 1);
    assert_false(writes(&a, arena_copy(&a, b.p, b.len), complex));
    buf_release(&b);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attacks_are_refused_in_words),
        cmocka_unit_test(test_quotes_and_odd_bytes_stay_within_their_literal),
        cmocka_unit_test(test_depth_height_steps_and_size_are_bounded),
        cmocka_unit_test(test_tables_of_a_wildcard_are_bounded),
        cmocka_unit_test(test_the_output_of_a_statement_is_bounded),
        cmocka_unit_test(test_functions_that_double_their_argument_end_at_the_size_of_the_output),
        cmocka_unit_test(test_fields_of_fields_take_time_by_their_number),
        cmocka_unit_test(test_expressions_of_a_statement_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
