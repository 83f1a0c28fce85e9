/* suite_catalog.h -- what the catalog keeps as text: views, and what INFORMATION_SCHEMA shows of tables.
 *
 * Part of the suite of tables (tables_suite.h), which includes it.
 */
#ifndef TRANCHE_TESTS_SUITE_CATALOG_H
#define TRANCHE_TESTS_SUITE_CATALOG_H

#include "conform/store/tables/suite_world.h"

/* A query of a view sees the columns that its tables have now; the view's own record keeps those it was made with. */
static void test_a_view_shows_its_tables_as_they_are_now(void **state)
{
    struct suite *s = *state;
    struct tables_table view;

    suite_query(s, "CREATE SCHEMA d");
    suite_query(s, "CREATE TABLE d.t AS SELECT 1 AS a, 'x' AS b");
    suite_query(s, "CREATE VIEW d.v AS SELECT * FROM d.t");
    suite_query(s, "CREATE VIEW d.w AS SELECT *, a + 1 AS more FROM d.v");
    suite_query(s, "CREATE VIEW d.n (one, two) AS SELECT a, b FROM d.t");
    suite_query(s, "ALTER TABLE d.t ADD COLUMN c FLOAT64");
    assert_string_equal(suite_result(s, "SELECT * FROM d.v"), "1|x|NULL");
    assert_string_equal(suite_result(s, "SELECT * FROM d.w"), "1|x|NULL|2");
    OK(OPS->get(s->t, &NAME("d", "v"), &s->arena, &view, &s->e));
    assert_int_equal(view.schema.count, 2);
    suite_query(s, "CREATE OR REPLACE TABLE d.t AS SELECT 'new' AS b, 2.5 AS a");
    assert_string_equal(suite_result(s, "SELECT * FROM d.v"), "new|2.5");
    assert_string_equal(suite_result(s, "SELECT more, a FROM d.w"), "3.5|2.5");
    assert_string_equal(suite_result(s, "SELECT two, one FROM d.n"), "new|2.5");
    suite_restart(s);
    assert_string_equal(suite_result(s, "SELECT one FROM d.n JOIN d.v ON two = b"), "2.5");
}

static void test_a_view_that_no_longer_fits_its_tables_is_an_error_with_its_name(void **state)
{
    struct suite *s = *state;

    suite_query(s, "CREATE SCHEMA d");
    suite_query(s, "CREATE TABLE d.t AS SELECT 1 AS a");
    suite_query(s, "CREATE VIEW d.v AS SELECT a FROM d.t");
    suite_query(s, "CREATE OR REPLACE TABLE d.t AS SELECT 1 AS b");
    assert_int_equal(suite_refused(s, "SELECT * FROM d.v"), ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(s->e.msg, "View my-project:d.v: "));
    suite_query(s, "DROP TABLE d.t");
    assert_int_equal(suite_refused(s, "SELECT * FROM d.v"), ERROR_NOT_FOUND);
    suite_query(s, "CREATE VIEW d.a AS SELECT 1 AS x");
    suite_query(s, "CREATE VIEW d.b AS SELECT * FROM d.a");
    suite_query(s, "CREATE OR REPLACE VIEW d.a AS SELECT * FROM d.b");
    assert_int_equal(suite_refused(s, "SELECT * FROM d.a"), ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(s->e.msg, "nested"));
}

/* Names without a dataset, session tables and variables mean nothing in a view. */
static void test_a_view_knows_only_what_its_text_says(void **state)
{
    struct suite *s = *state;
    const struct tables_name d = { STR(PROJECT), STR("d"), { NULL, 0 } },
                             e = { STR(PROJECT), STR("e"), { NULL, 0 } };

    suite_query(s, "CREATE SCHEMA d; CREATE SCHEMA e; CREATE TABLE d.t AS SELECT 'd' AS a; "
                   "CREATE TABLE e.t AS SELECT 'e' AS a");
    suite_query_with(s, (struct tables_query){ .sql = STR("CREATE VIEW v AS SELECT a FROM t"),
                                               .default_dataset = d });
    struct tables_result out = suite_query_with(
        s, (struct tables_query){ .sql = STR("SELECT a FROM d.v"), .default_dataset = e });
    assert_string_equal(suite_rows(s, out.destination), "d");
    struct tables_query q = { .project = STR(PROJECT),
                              .sql = STR("CREATE VIEW e.v AS SELECT a FROM t"),
                              .default_dataset = d };
    FAILS(ERROR_INVALID_ARGUMENT, OPS->query(s->t, &q, &s->arena, &out, &s->e));
    suite_refused(s, "CREATE TEMP TABLE temporary AS SELECT 1 AS a; CREATE VIEW d.x AS SELECT a "
                     "FROM temporary");
    suite_refused(s, "DECLARE x INT64 DEFAULT 1; CREATE VIEW d.x AS SELECT x AS a");
    assert_int_equal(suite_refused(s, "SELECT * FROM d.x"), ERROR_NOT_FOUND);
}

/* The text that TABLES has of a table makes the same one again. */
static void test_the_ddl_of_a_table_makes_it_again(void **state)
{
    struct suite *s = *state;
    static const char select[] =
        "SELECT ddl FROM d.INFORMATION_SCHEMA.TABLES WHERE table_name = '%s'";
    static const struct {
        const char *name, *sql;
    } made[] = {
        { "t",
          "CREATE TABLE d.t (a INT64 NOT NULL OPTIONS(description='the \"a\"'), day DATE DEFAULT "
          "CURRENT_DATE(), r STRUCT<x INT64, y ARRAY<STRING>>, l ARRAY<INT64>) PARTITION BY "
          "DATE_TRUNC(day, MONTH) CLUSTER BY a OPTIONS(description='it', labels=[('k','v')])" },
        { "p",
          "CREATE TABLE d.p (x INT64) PARTITION BY RANGE_BUCKET(x, GENERATE_ARRAY(0, 100, 10))" },
        { "q", "CREATE TABLE d.q (x TIMESTAMP) PARTITION BY DATE(x)" },
        { "i", "CREATE TABLE d.i (x INT64) PARTITION BY _PARTITIONDATE" },
        { "v", "CREATE VIEW d.v AS SELECT x AS y FROM d.p" },
        { "n", "CREATE VIEW d.n (b) AS SELECT x FROM d.p" },
    };

    suite_query(s, "CREATE SCHEMA d");
    for (size_t i = 0; i < ARRAY_LEN(made); i++) {
        bool view = i >= 4;
        const char *sql = arena_textf(&s->arena, select, made[i].name);
        suite_query(s, made[i].sql);
        char *ddl = suite_result(s, sql);
        suite_query(s,
                    arena_textf(&s->arena, "DROP %s d.%s", view ? "VIEW" : "TABLE", made[i].name));
        suite_query(s, ddl);
        assert_string_equal(suite_result(s, sql), ddl);
    }
}

static void test_lists_of_tables_have_their_rows(void **state)
{
    struct suite *s = *state;

    suite_query(s, "CREATE SCHEMA d; CREATE TABLE d.t AS SELECT 1 AS a UNION ALL SELECT 2; "
                   "CREATE VIEW d.v AS SELECT a FROM d.t");
    assert_string_equal(
        suite_result(s,
                     "SELECT table_id, row_count, size_bytes, type FROM d.__TABLES__ ORDER BY 1"),
        "t|2|16|1\nv|0|0|2");
    assert_string_equal(suite_result(s,
                                     "SELECT x.table_id FROM `" PROJECT ".d.__TABLES__` AS x WHERE "
                                     "x.type = 2 AND x.creation_time > 0"),
                        "v");
    assert_string_equal(
        suite_result(s, "SELECT table_schema, table_name, total_rows, total_logical_bytes FROM "
                        "`region-us`.INFORMATION_SCHEMA.TABLE_STORAGE"),
        "d|t|2|16");
    assert_int_equal(suite_refused(s, "SELECT * FROM none.__TABLES__"), ERROR_NOT_FOUND);
}

#define SUITE_CATALOG_TESTS                                                                        \
    TABLES_TEST(test_a_view_shows_its_tables_as_they_are_now),                                     \
        TABLES_TEST(test_a_view_that_no_longer_fits_its_tables_is_an_error_with_its_name),         \
        TABLES_TEST(test_a_view_knows_only_what_its_text_says),                                    \
        TABLES_TEST(test_the_ddl_of_a_table_makes_it_again),                                       \
        TABLES_TEST(test_lists_of_tables_have_their_rows)

#endif
