/* suite_queries.h -- single statements of GoogleSQL.
 *
 * Part of the suite of tables (tables_suite.h), which includes it.
 */
#ifndef TRANCHE_TESTS_SUITE_QUERIES_H
#define TRANCHE_TESTS_SUITE_QUERIES_H

#include "conform/store/tables/suite_world.h"

static void test_a_query_has_a_result_table_that_can_be_fetched(void **state)
{
    struct suite *s = *state;
    struct tables_table t;
    struct tables_datasets found;
    struct tables_page page = { .parent = NAME("", ""), .limit = 10 };

    struct tables_result out = suite_query(
        s, "SELECT 1 AS a, 'x' AS b, [1, 2] AS c UNION ALL SELECT 2, NULL, [] ORDER BY a");
    assert_true(str_eq_c(out.statement, "SELECT"));
    assert_int_equal(out.rows, 2);
    assert_int_equal(out.schema.count, 3);
    assert_int_equal(out.schema.field[0].type, BQ_INTEGER);
    assert_string_equal(suite_rows(s, out.destination),
                        "1|x|[{\"v\":\"1\"},{\"v\":\"2\"}]\n2|NULL|[]");
    OK(OPS->get(s->t, &out.destination, &s->arena, &t, &s->e));
    assert_int_equal(t.rows, 2);
    assert_true(t.expires_ms > t.created_ms);
    OK(OPS->dataset_list(s->t, &page, &s->arena, &found, &s->e));
    assert_int_equal(found.count, 0);
}

static void test_rows_are_changed_by_sql_and_counted(void **state)
{
    struct suite *s = *state;
    struct tables_result out;

    suite_query(s, "CREATE SCHEMA d");
    out = suite_query(s, "CREATE TABLE d.t (a INT64, b STRING)");
    assert_true(str_eq_c(out.statement, "CREATE_TABLE"));
    assert_string_equal(out.ddl, "CREATE");
    out = suite_query(s, "INSERT INTO d.t (a, b) VALUES (1, 'x'), (2, 'y'), (3, 'z')");
    assert_int_equal(out.inserted, 3);
    assert_false(out.has_rows);
    assert_int_equal(suite_query(s, "UPDATE d.t SET b = 'q' WHERE a > 1").updated, 2);
    assert_int_equal(suite_query(s, "DELETE FROM d.t WHERE a = 2").deleted, 1);
    out =
        suite_query(s, "MERGE d.t USING (SELECT 3 AS a, 'm' AS b UNION ALL SELECT 4, 'n') s ON t.a "
                       "= s.a WHEN MATCHED THEN"
                       " UPDATE SET b = s.b WHEN NOT MATCHED THEN INSERT (a, b) VALUES (s.a, s.b)");
    assert_int_equal(out.inserted, 1);
    assert_int_equal(out.updated, 1);
    assert_string_equal(suite_result(s, "SELECT a, b FROM d.t ORDER BY a"), "1|x\n3|m\n4|n");
    assert_int_equal(suite_query(s, "TRUNCATE TABLE d.t").deleted, 3);
}

static void test_tables_and_views_are_made_changed_and_dropped_by_sql(void **state)
{
    struct suite *s = *state;
    struct tables_table t;
    struct tables_result out;

    suite_query(s, "CREATE SCHEMA d");
    out = suite_query(s, "CREATE TABLE d.t PARTITION BY day OPTIONS(description='hello') AS SELECT "
                         "1 AS a, DATE '2024-01-31' AS day");
    assert_true(str_eq_c(out.statement, "CREATE_TABLE_AS_SELECT"));
    OK(OPS->get(s->t, &NAME("d", "t"), &s->arena, &t, &s->e));
    assert_true(str_find(t.options, STR("\"field\":\"day\"")) != SIZE_MAX);
    assert_true(str_find(t.options, STR("\"description\":\"hello\"")) != SIZE_MAX);
    assert_int_equal(suite_refused(s, "CREATE TABLE d.t AS SELECT 1 AS a"), ERROR_ALREADY_EXISTS);
    assert_string_equal(suite_query(s, "CREATE TABLE IF NOT EXISTS d.t AS SELECT 1 AS a").ddl,
                        "SKIP");
    assert_string_equal(
        suite_query(s, "CREATE OR REPLACE TABLE d.t AS SELECT 5 AS a, 'x' AS b").ddl, "REPLACE");
    assert_string_equal(suite_result(s, "SELECT * FROM d.t"), "5|x");
    out = suite_query(s, "CREATE VIEW d.v AS SELECT a * 2 AS twice FROM d.t");
    assert_true(str_eq_c(out.statement, "CREATE_VIEW"));
    assert_string_equal(suite_result(s, "SELECT twice FROM d.v"), "10");
    assert_string_equal(suite_rows(s, NAME("d", "v")), "10");
    suite_query(s, "ALTER TABLE d.t ADD COLUMN c FLOAT64, DROP COLUMN b");
    suite_query(s, "ALTER TABLE d.t RENAME COLUMN c TO e");
    suite_query(s, "ALTER TABLE d.t SET OPTIONS(description='bye')");
    OK(OPS->get(s->t, &NAME("d", "t"), &s->arena, &t, &s->e));
    assert_int_equal(t.schema.count, 2);
    assert_true(str_eq_c(t.schema.field[1].name, "e"));
    assert_true(str_find(t.options, STR("bye")) != SIZE_MAX);
    suite_query(s, "ALTER TABLE d.t RENAME TO u");
    assert_string_equal(suite_result(s, "SELECT a FROM d.u"), "5");
    assert_int_equal(suite_refused(s, "DROP TABLE d.v"), ERROR_INVALID_ARGUMENT);
    suite_query(s, "DROP VIEW d.v");
    suite_query(s, "DROP TABLE IF EXISTS d.nothing");
    assert_int_equal(suite_refused(s, "DROP TABLE d.nothing"), ERROR_NOT_FOUND);
    assert_int_equal(suite_refused(s, "DROP SCHEMA d"), ERROR_FAILED_PRECONDITION);
    suite_query(s, "DROP SCHEMA d CASCADE");
    assert_int_equal(suite_refused(s, "SELECT * FROM d.u"), ERROR_NOT_FOUND);
}

static void test_parameters_have_their_declared_types(void **state)
{
    struct suite *s = *state;
    struct bq_field x = { .name = STR("x"), .type = BQ_INTEGER };
    struct bq_field fields[] = { x, { .name = STR("y"), .type = BQ_STRING } };
    const struct bq_parameter p[] = {
        { STR("Name"), { .type = BQ_STRING }, { false, STR("it's") } },
        { STR("n"), { .type = BQ_NUMERIC }, { false, STR("1.5") } },
        { STR("l"),
          { .type = BQ_INTEGER, .mode = BQ_REPEATED },
          { false, STR("[{\"v\":\"1\"},{\"v\":\"2\"}]") } },
        { STR("r"),
          { .type = BQ_RECORD, .fields = fields, .field_count = 2 },
          { false, STR("{\"f\":[{\"v\":\"7\"},{\"v\":\"z\"}]}") } },
        { STR("t"), { .type = BQ_TIMESTAMP }, { false, STR("1700000000123456") } },
        { STR("z"), { .type = BQ_DATE }, { true, { NULL, 0 } } },
    };
    struct tables_query q = { .sql = STR("SELECT @name, @n, 2 IN UNNEST(@l), @r.x, @t, @z, @r.y"),
                              .parameter = p,
                              .parameter_count = ARRAY_LEN(p) };
    struct tables_result out = suite_query_with(s, q);

    assert_string_equal(suite_rows(s, out.destination), "it's|1.5|true|7|1700000000123456|NULL|z");
    assert_int_equal(out.schema.field[1].type, BQ_NUMERIC);
    assert_int_equal(out.schema.field[5].type, BQ_DATE);
    const struct bq_parameter places[] = { { { NULL, 0 }, x, { false, STR("4") } },
                                           { { NULL, 0 }, x, { false, STR("3") } } };
    q = (struct tables_query){ .sql = STR("SELECT ? - ?"),
                               .parameter = places,
                               .parameter_count = 2 };
    assert_string_equal(suite_rows(s, suite_query_with(s, q).destination), "1");
}

static void test_a_dry_run_tells_the_schema_and_runs_nothing(void **state)
{
    struct suite *s = *state;
    struct tables_query q = { .sql = STR("SELECT a, b FROM d.t WHERE a = @p"), .dry_run = true };
    struct tables_result out;

    suite_query(s, "CREATE SCHEMA d");
    suite_query(s, "CREATE TABLE d.t AS SELECT 1 AS a, 'x' AS b");
    out = suite_query_with(s, q);
    assert_int_equal(out.schema.count, 2);
    assert_int_equal(out.read_count, 1);
    assert_true(out.bytes > 0);
    assert_int_equal(out.undeclared_count, 1);
    assert_int_equal(out.destination.table.len, 0);
    q.sql = STR("DELETE FROM d.t WHERE true");
    suite_query_with(s, q);
    assert_string_equal(suite_result(s, "SELECT * FROM d.t"), "1|x");
}

static void test_a_query_writes_where_it_is_told(void **state)
{
    struct suite *s = *state;
    struct tables_query q = { .sql = STR("SELECT 1 AS a"),
                              .into = { .name = NAME("d", "t"), .write = TABLES_WRITE_EMPTY },
                              .key = STR("k1") };
    struct tables_result out;

    suite_dataset(s, "d");
    suite_query_with(s, q);
    out = suite_query_with(s, q);
    assert_true(out.again);
    assert_int_equal(out.schema.count, 1);
    assert_true(str_eq_c(out.statement, "SELECT"));
    q.key = STR("k2");
    q.project = STR(PROJECT);
    FAILS(ERROR_ALREADY_EXISTS, OPS->query(s->t, &q, &s->arena, &out, &s->e));
    q.into.write = TABLES_WRITE_APPEND;
    q.sql = STR("SELECT 2 AS a");
    suite_query_with(s, q);
    assert_string_equal(suite_rows(s, q.into.name), "1\n2");
    q.key = STR("k3");
    q.sql = STR("INSERT INTO d.t (a) VALUES (3)");
    q.into = (struct tables_into){ .add_fields = false };
    assert_int_equal(suite_query_with(s, q).inserted, 1);
    suite_restart(s);
    out = suite_query_with(s, q);
    assert_true(out.again);
    assert_int_equal(out.inserted, 1);
    assert_string_equal(suite_rows(s, NAME("d", "t")), "1\n2\n3");
}

#define SUITE_QUERIES_TESTS                                                                        \
    TABLES_TEST(test_a_query_has_a_result_table_that_can_be_fetched),                              \
        TABLES_TEST(test_rows_are_changed_by_sql_and_counted),                                     \
        TABLES_TEST(test_tables_and_views_are_made_changed_and_dropped_by_sql),                    \
        TABLES_TEST(test_parameters_have_their_declared_types),                                    \
        TABLES_TEST(test_a_dry_run_tells_the_schema_and_runs_nothing),                             \
        TABLES_TEST(test_a_query_writes_where_it_is_told)

#endif
