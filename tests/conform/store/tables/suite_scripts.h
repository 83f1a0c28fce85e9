/* suite_scripts.h -- scripts, sessions, the catalog as SQL sees it, and limits.
 *
 * Part of the suite of tables (tables_suite.h), which includes it.
 */
#ifndef TRANCHE_TESTS_SUITE_SCRIPTS_H
#define TRANCHE_TESTS_SUITE_SCRIPTS_H

#include "conform/store/tables/suite_world.h"
#include "format/sql/sql.h"

static void test_a_script_has_variables_loops_and_temporary_tables(void **state)
{
    struct suite *s = *state;
    struct tables_result out;

    suite_dataset(s, "d");
    out = suite_query(s, "DECLARE n INT64 DEFAULT 0; DECLARE words ARRAY<STRING>;\n"
                         "CREATE TEMP TABLE t (i INT64, w STRING);\n"
                         "SET words = ['a', 'b'];\n"
                         "WHILE n < 3 DO INSERT INTO t (i, w) VALUES (n, words[SAFE_OFFSET(n)]); "
                         "SET n = n + 1; END WHILE;\n"
                         "FOR r IN (SELECT 10 AS x UNION ALL SELECT 20) DO INSERT INTO t (i, w) "
                         "VALUES (r.x, 'for'); END FOR;\n"
                         "BEGIN SELECT 1/0; EXCEPTION WHEN ERROR THEN INSERT INTO t (i, w) VALUES "
                         "(99, @@error.message); END;\n"
                         "IF n = 3 THEN SELECT i, w FROM t ORDER BY i; ELSE SELECT 0; END IF;");
    assert_true(str_eq_c(out.statement, "SCRIPT"));
    assert_true(out.has_rows);
    assert_string_equal(suite_rows(s, out.destination),
                        "0|a\n1|b\n2|NULL\n10|for\n20|for\n99|division by zero: 1 / 0");
    assert_true(out.step_count >= 6);
    assert_int_equal(suite_refused(s, "SELECT * FROM t"), ERROR_INVALID_ARGUMENT);
    assert_string_equal(suite_result(s, "EXECUTE IMMEDIATE 'SELECT ? + 1' USING 41"), "42");
    suite_query(s, "CREATE TABLE d.x AS SELECT 1 AS a; BEGIN TRANSACTION; INSERT INTO d.x (a) "
                   "VALUES (2); ROLLBACK TRANSACTION;");
    assert_string_equal(suite_result(s, "SELECT * FROM d.x"), "1");
    suite_query(s, "BEGIN TRANSACTION; INSERT INTO d.x (a) VALUES (2); COMMIT TRANSACTION;");
    assert_string_equal(suite_result(s, "SELECT * FROM d.x ORDER BY a"), "1\n2");
    suite_query(
        s,
        "BEGIN BEGIN TRANSACTION; INSERT INTO d.x (a) VALUES (3); SELECT 1/0; COMMIT TRANSACTION;"
        " EXCEPTION WHEN ERROR THEN ROLLBACK TRANSACTION; END; INSERT INTO d.x (a) VALUES (4)");
    assert_string_equal(suite_result(s, "SELECT * FROM d.x ORDER BY a"), "1\n2\n4");
    assert_false(suite_query(s, "SELECT 1; INSERT INTO d.x (a) VALUES (5)").has_rows);
}

static void test_rows_of_a_table_without_a_partition_column_know_their_time(void **state)
{
    struct suite *s = *state;
    struct tables_write w = { .into = { .name = NAME("d", "t"), .write = TABLES_WRITE_TRUNCATE } };

    suite_query(s, "CREATE SCHEMA d");
    suite_query(s, "CREATE TABLE d.t (a INT64) PARTITION BY _PARTITIONDATE");
    suite_query(s, "INSERT INTO d.t (a) VALUES (1), (2)");
    assert_string_equal(
        suite_result(s, "SELECT * FROM d.t WHERE _PARTITIONDATE = CURRENT_DATE() ORDER BY a"),
        "1\n2");
    w.schema = suite_schema(s, "[{\"name\":\"a\",\"type\":\"INTEGER\"}]");
    suite_write(s, &w, "7");
    assert_string_equal(
        suite_result(s, "SELECT COUNT(*) FROM d.t WHERE _PARTITIONTIME IS NOT NULL"), "1");
    assert_string_equal(suite_result(s, "SELECT total_rows FROM d.INFORMATION_SCHEMA.PARTITIONS"),
                        "1");
    assert_string_equal(suite_rows(s, NAME("d", "t")), "7");
}

static void test_a_session_keeps_its_temporary_tables(void **state)
{
    struct suite *s = *state;
    struct str id;
    struct tables_query q = { .sql = STR("CREATE TEMP TABLE t AS SELECT 1 AS a") };

    OK(OPS->session_create(s->t, STR(PROJECT), &s->arena, &id, &s->e));
    q.session = id;
    struct tables_result out = suite_query_with(s, q);
    assert_true(out.destination.table.len > 0);
    assert_string_equal(suite_rows(s, out.destination), "1");
    suite_restart(s);
    q.sql = STR("SELECT a FROM t");
    assert_string_equal(suite_rows(s, suite_query_with(s, q).destination), "1");
    q.sql = STR("SELECT a FROM _SESSION.t");
    assert_string_equal(suite_rows(s, suite_query_with(s, q).destination), "1");
    assert_int_equal(suite_refused(s, "SELECT a FROM t"), ERROR_INVALID_ARGUMENT);
    OK(OPS->session_end(s->t, STR(PROJECT), id, &s->e));
    q.project = STR(PROJECT);
    assert_true(OPS->query(s->t, &q, &s->arena, &out, &s->e) < 0);
}

static void test_a_query_sees_its_own_project_only(void **state)
{
    struct suite *s = *state;
    struct tables_query q = { .project = STR("other"),
                              .sql = STR("CREATE SCHEMA d; CREATE TABLE d.t AS SELECT 1 AS a") };
    struct tables_result out;

    OK(OPS->query(s->t, &q, &s->arena, &out, &s->e));
    suite_dataset(s, "d");
    assert_int_equal(suite_refused(s, "SELECT * FROM other.d.t"), ERROR_PERMISSION_DENIED);
    assert_int_equal(suite_refused(s, "SELECT * FROM d.t"), ERROR_NOT_FOUND);
    assert_non_null(strstr(s->e.msg, "Not found: Table my-project:d.t"));
    assert_int_equal(suite_refused(s, "SELECT * FROM _tranche.relation"), ERROR_NOT_FOUND);
    assert_true(suite_refused(s, "SELECT * FROM duckdb_settings()") != ERROR_OK);
    assert_true(suite_refused(s, "SELECT * FROM read_csv('/etc/passwd')") != ERROR_OK);
}

static void test_views_of_the_information_schema_show_what_is_there(void **state)
{
    struct suite *s = *state;

    suite_query(s, "CREATE SCHEMA d");
    suite_query(s, "CREATE TABLE d.t (a INT64 NOT NULL, r STRUCT<x STRING, y ARRAY<DATE>>, day "
                   "DATE) PARTITION BY day OPTIONS(description='it\"s', labels=[('k', 'v')])");
    suite_query(s, "INSERT INTO d.t (a, day) VALUES (1, DATE '2024-01-31'), (2, DATE "
                   "'2024-01-31'), (3, NULL)");
    suite_query(s, "CREATE VIEW d.v AS SELECT a FROM d.t");
    assert_string_equal(
        suite_result(
            s,
            "SELECT table_name, table_type FROM d.INFORMATION_SCHEMA.TABLES ORDER BY table_name"),
        "t|BASE TABLE\nv|VIEW");
    assert_string_equal(
        suite_result(
            s, "SELECT column_name, ordinal_position, is_nullable, data_type, "
               "is_partitioning_column FROM"
               " d.INFORMATION_SCHEMA.COLUMNS WHERE table_name = 't' ORDER BY ordinal_position"),
        "a|1|NO|INT64|NO\nr|2|YES|STRUCT<x STRING, y ARRAY<DATE>>|NO\nday|3|YES|DATE|YES");
    assert_string_equal(
        suite_result(s, "SELECT field_path FROM d.INFORMATION_SCHEMA.COLUMN_FIELD_PATHS WHERE "
                        "table_name = 't'"),
        "a\nr\nr.x\nr.y\nday");
    assert_string_equal(suite_result(s, "SELECT schema_name FROM INFORMATION_SCHEMA.SCHEMATA"),
                        "d");
    assert_string_equal(suite_result(s, "SELECT view_definition FROM d.INFORMATION_SCHEMA.VIEWS"),
                        "SELECT a FROM d.t");
    assert_string_equal(
        suite_result(s, "SELECT partition_id, total_rows FROM d.INFORMATION_SCHEMA.PARTITIONS "
                        "WHERE table_name = 't' ORDER BY partition_id"),
        "20240131|2\n__NULL__|1");
    assert_string_equal(
        suite_result(s, "SELECT option_name, option_value FROM d.INFORMATION_SCHEMA.TABLE_OPTIONS "
                        "WHERE table_name = 't' ORDER BY option_name"),
        "description|\"it\\\"s\"\nlabels|[STRUCT(\"k\", \"v\")]");
    const char *jobs =
        suite_result(s, "SELECT COUNT(*) > 0 FROM `region-us`.INFORMATION_SCHEMA.JOBS");
    assert_string_equal(jobs, s->rest ? "true" : "false"); /* the queries above are jobs there */
    assert_string_equal(suite_result(s, "SELECT COUNT(*) FROM d.INFORMATION_SCHEMA.ROUTINES"), "0");
    assert_int_equal(suite_refused(s, "SELECT * FROM d.INFORMATION_SCHEMA.NOTHING"),
                     ERROR_NOT_FOUND);
}

static void test_a_wildcard_stands_for_all_tables_of_a_prefix(void **state)
{
    struct suite *s = *state;

    suite_query(s, "CREATE SCHEMA d");
    suite_query(s, "CREATE TABLE d.ev_2023 AS SELECT 1 AS a");
    suite_query(s, "CREATE TABLE d.ev_2024 AS SELECT 2 AS a");
    suite_query(s, "CREATE TABLE d.other AS SELECT 3 AS a");
    assert_string_equal(
        suite_result(s, "SELECT a, _TABLE_SUFFIX AS suffix FROM `d.ev_*` ORDER BY a"),
        "1|2023\n2|2024");
    assert_string_equal(suite_result(s, "SELECT a FROM `d.ev_*` WHERE _TABLE_SUFFIX > '2023'"),
                        "2");
    assert_int_equal(suite_refused(s, "SELECT * FROM `d.none_*`"), ERROR_NOT_FOUND);
}

static void test_an_array_with_a_null_is_no_result(void **state)
{
    struct suite *s = *state;

    assert_int_equal(suite_refused(s, "SELECT [1, NULL] AS a"), ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(s->e.msg, "Array cannot have a null element"));
}

static void test_a_query_ends_by_its_limits(void **state)
{
    struct suite *s = *state;
    struct tables_cancel cancel;
    struct tables_query q = {
        .project = STR(PROJECT),
        .sql = STR("SELECT COUNT(*) FROM UNNEST(GENERATE_ARRAY(1, 100000)) a, "
                   "UNNEST(GENERATE_ARRAY(1, 100000)) b,"
                   " UNNEST(GENERATE_ARRAY(1, 100000)) c WHERE MOD(a * b * c, 7) = 3"),
        .timeout_ms = 200
    };
    struct tables_result out;

    FAILS(ERROR_DEADLINE_EXCEEDED, OPS->query(s->t, &q, &s->arena, &out, &s->e));
    tables_cancel_init(&cancel);
    tables_cancel_now(&cancel);
    q.cancel = &cancel;
    FAILS(ERROR_CANCELLED, OPS->query(s->t, &q, &s->arena, &out, &s->e));
    tables_cancel_release(&cancel);
    q = (struct tables_query){ .project = STR(PROJECT),
                               .sql = STR("SELECT * FROM UNNEST(GENERATE_ARRAY(1, 11))"),
                               .rows_max = 10 };
    FAILS(ERROR_RESOURCE_EXHAUSTED, OPS->query(s->t, &q, &s->arena, &out, &s->e));
    q.rows_max = 11;
    OK(OPS->query(s->t, &q, &s->arena, &out, &s->e));
}

/* The parser takes a few more, which the run refuses. */
static void test_blocks_of_a_script_are_bounded(void **state)
{
    struct suite *s = *state;
    struct buf text = BUF_INIT(4096);
    struct tables_result out;

    for (uint32_t blocks = SQL_BLOCKS_MAX; blocks <= SQL_BLOCKS_MAX + 2; blocks += 2) {
        buf_clear(&text);
        for (uint32_t i = 0; i < blocks; i++)
            buf_add_c(&text, "BEGIN ");
        buf_add_c(&text, "SELECT 1;");
        for (uint32_t i = 0; i < blocks; i++)
            buf_add_c(&text, "END;");
        const struct tables_query q = { .project = STR(PROJECT), .sql = buf_str(&text) };
        if (blocks == SQL_BLOCKS_MAX)
            OK(OPS->query(s->t, &q, &s->arena, &out, &s->e));
        else
            FAILS(ERROR_INVALID_ARGUMENT, OPS->query(s->t, &q, &s->arena, &out, &s->e));
    }
    buf_release(&text);
}

#define SUITE_SCRIPTS_TESTS                                                                        \
    TABLES_TEST(test_a_script_has_variables_loops_and_temporary_tables),                           \
        TABLES_TEST(test_rows_of_a_table_without_a_partition_column_know_their_time),              \
        TABLES_TEST(test_a_session_keeps_its_temporary_tables),                                    \
        TABLES_TEST(test_a_query_sees_its_own_project_only),                                       \
        TABLES_TEST(test_views_of_the_information_schema_show_what_is_there),                      \
        TABLES_TEST(test_a_wildcard_stands_for_all_tables_of_a_prefix),                            \
        TABLES_TEST(test_an_array_with_a_null_is_no_result),                                       \
        TABLES_TEST(test_blocks_of_a_script_are_bounded),                                          \
        TABLES_TEST(test_a_query_ends_by_its_limits)

#endif
