/* Goal: GoogleSQL becomes the DuckDB SQL that means the same, and errors have BigQuery's words and place.
 * Method: texts and what is printed for them, against the tables of world.h. The functions' own rows are tested where
 * they run (tests/accept/test_bigquery_oracle.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "world.h"

struct text_case {
    const char *text, *sql;
};

static void write_all(const struct text_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct arena a = { 0 };
        struct error e = { 0 };
        struct sql_written w = { 0 };
        if (world_write(&a, cases[i].text, &w, &e) < 0)
            fail_msg("%s: %s", cases[i].text, e.msg);
        if (!str_eq_c(w.sql, cases[i].sql))
            fail_msg("%s:\n%.*s", cases[i].text, STR_ARG(w.sql));
        arena_release(&a);
    }
}

static void test_a_list_has_the_names_that_bigquery_gives(void **state)
{
    static const struct text_case cases[] = {
        { "SELECT 1, id, 2 FROM d.t", "SELECT 1::BIGINT AS \"f0_\", \"id\" AS \"id\", 2::BIGINT AS "
                                      "\"f1_\" FROM \"d\".\"t\" AS \"t\"" },
        { "SELECT id, t.id, id AS ID FROM t", "SELECT \"id\" AS \"id\", \"t\".\"id\" AS \"id_1\", "
                                              "\"id\" AS \"ID_2\" FROM \"d\".\"t\" AS \"t\"" },
        { "SELECT * EXCEPT (id) REPLACE ('x' AS name), FROM d.t;",
          "SELECT * EXCLUDE (\"id\") REPLACE ('x' AS \"name\") FROM \"d\".\"t\" AS \"t\"" },
        { "SELECT AS STRUCT 1 AS a, 2", "SELECT 1::BIGINT AS \"a\", 2::BIGINT AS \"f0_\"" },
        { "SELECT ARRAY(SELECT AS STRUCT 1 AS a, 2) AS x",
          "SELECT ARRAY(SELECT \"_t1\" FROM (SELECT 1::BIGINT AS \"a\", 2::BIGINT AS \"_field_2\") "
          "AS \"_t1\") AS \"x\"" },
    };

    (void)state;
    write_all(cases, ARRAY_LEN(cases));
}

static void test_from_offers_tables_arrays_and_wildcards(void **state)
{
    static const struct text_case cases[] = {
        { "SELECT x, o FROM d.t, UNNEST(tags) AS x WITH OFFSET AS o",
          "SELECT \"_t1\".\"x\" AS \"x\", \"_t1\".\"o\" AS \"o\" FROM \"d\".\"t\" AS \"t\" CROSS "
          "JOIN LATERAL (SELECT "
          "unnest(\"_l\") AS \"_x\", unnest(range(len(\"_l\"))) AS \"_o\" FROM (SELECT \"tags\" AS "
          "\"_l\")) AS \"_t1\" "
          "(\"x\", \"o\")" },
        { "SELECT i.sku, n FROM d.t LEFT JOIN t.items AS i",
          "SELECT \"_t1\".\"i\".\"sku\" AS \"sku\", \"n\" AS \"n\" FROM \"d\".\"t\" AS \"t\" LEFT "
          "JOIN LATERAL (SELECT "
          "\"_x\", (\"_x\").\"sku\", (\"_x\").\"n\" FROM (SELECT unnest(\"t\".\"items\") AS "
          "\"_x\")) AS \"_t1\" (\"i\", "
          "\"sku\", \"n\") ON true" },
        { "SELECT * FROM d.t CROSS JOIN UNNEST(items) AS i",
          "SELECT \"t\".*, \"_t1\".* EXCLUDE (\"i\") FROM \"d\".\"t\" AS \"t\" CROSS JOIN LATERAL "
          "(SELECT \"_x\", "
          "(\"_x\").\"sku\", (\"_x\").\"n\" FROM (SELECT unnest(\"items\") AS \"_x\")) AS \"_t1\" "
          "(\"i\", \"sku\", \"n\")" },
        { "SELECT _TABLE_SUFFIX AS s FROM `p.d.ev_*`",
          "SELECT \"_TABLE_SUFFIX\" AS \"s\" FROM (SELECT \"a\", \"b\", '2' AS \"_TABLE_SUFFIX\" "
          "FROM \"d\".\"ev_2\" UNION ALL "
          "SELECT \"a\", CAST(NULL AS DATE) AS \"b\", '1' AS \"_TABLE_SUFFIX\" FROM "
          "\"d\".\"ev_1\") AS \"_t1\"" },
        { "SELECT 1 AS a FROM t AS x JOIN u AS y USING (id), UNNEST([1]) LIMIT 3 OFFSET 1",
          "SELECT 1::BIGINT AS \"a\" FROM \"d\".\"t\" AS \"x\" JOIN \"d\".\"u\" AS \"y\" USING "
          "(\"id\") CROSS JOIN LATERAL "
          "(SELECT unnest([1::BIGINT]) AS \"_x\") AS \"_t1\" (\"f0_\") LIMIT 3 OFFSET 1" },
        { "WITH t AS (SELECT 1 AS a) SELECT a FROM t ORDER BY a DESC, 1",
          "WITH \"t\" AS (SELECT 1::BIGINT AS \"a\") SELECT \"a\" AS \"a\" FROM \"t\" AS \"t\" "
          "ORDER BY \"a\" DESC NULLS LAST, 1 "
          "NULLS FIRST" },
    };

    (void)state;
    write_all(cases, ARRAY_LEN(cases));
}

static void test_expressions_keep_their_meaning(void **state)
{
    static const struct text_case cases[] = {
        { "SELECT NOT id = 1 AND name IS NULL OR TRUE AS a FROM t",
          "SELECT (((NOT (\"id\" = 1::BIGINT)) AND (\"name\" IS NULL)) OR true) AS \"a\" FROM "
          "\"d\".\"t\" AS \"t\"" },
        { "SELECT CAST(NULL AS ARRAY<STRUCT<a INT64, b NUMERIC>>) AS a",
          "SELECT CAST(NULL AS STRUCT(\"a\" BIGINT, \"b\" DECIMAL(38,9))[]) AS \"a\"" },
        { "SELECT [STRUCT('a' AS k, 1 AS v), ('b', 2)] AS a",
          "SELECT [{'k': 'a', 'v': 1::BIGINT}, {'k': 'b', 'v': 2::BIGINT}] AS \"a\"" },
        { "SELECT STRUCT(1 AS a) AS s UNION ALL SELECT STRUCT(2)",
          "(SELECT {'a': 1::BIGINT} AS \"s\") UNION ALL (SELECT {'a': 2::BIGINT} AS \"f0_\")" },
        { "SELECT addr.zip.b, js.x.y, js['k'] AS k, js.x[0] AS e FROM t",
          "SELECT \"addr\".\"zip\".\"b\" AS \"b\", bq_json_field(bq_json_field(\"js\", 'x'), 'y') "
          "AS \"y\", "
          "bq_json_field(\"js\", 'k') AS \"k\", bq_json_element(bq_json_field(\"js\", 'x'), "
          "0::BIGINT) AS \"e\" FROM "
          "\"d\".\"t\" AS \"t\"" },
        { "SELECT @day AS a, counter AS b, @ids AS c",
          "SELECT CAST($p_day AS DATE) AS \"a\", CAST($v_counter AS BIGINT) AS \"b\", CAST($p_ids "
          "AS BIGINT[]) AS \"c\"" },
        { "SELECT 0xFF AS a, -9223372036854775808 AS b, 1.5 AS c, .5 AS d, 1E3 AS e",
          "SELECT 255::BIGINT AS \"a\", (-9223372036854775808)::BIGINT AS \"b\", 1.5e0 AS \"c\", "
          "'.5'::DOUBLE AS \"d\", 1E3 AS "
          "\"e\"" },
        { "SELECT (SELECT MAX(n) AS id FROM UNNEST(items) WHERE n > id) AS m FROM t",
          "SELECT (SELECT max(\"n\") AS \"id\" FROM (SELECT \"_x\", (\"_x\").\"sku\", "
          "(\"_x\").\"n\" FROM (SELECT "
          "unnest(\"t\".\"items\") AS \"_x\")) AS \"_t1\" (\"f0_\", \"sku\", \"n\") WHERE (\"n\" > "
          "\"t\".\"id\")) AS \"m\" FROM "
          "\"d\".\"t\" AS \"t\"" },
        { "CREATE TEMP FUNCTION f(x INT64, y ANY TYPE) AS (IF(x = 1, y, NULL)); SELECT f(id, 'a') "
          "AS a FROM t",
          "SELECT (CASE WHEN ((CAST(\"id\" AS BIGINT)) = 1::BIGINT) THEN ('a') ELSE NULL END) AS "
          "\"a\" FROM \"d\".\"t\" AS "
          "\"t\"" },
    };

    (void)state;
    write_all(cases, ARRAY_LEN(cases));
}

static void test_dml_checks_its_rows_and_fills_structs(void **state)
{
    static const struct text_case cases[] = {
        { "INSERT t (id, addr) VALUES (1, ('x', (2, NULL))), (DEFAULT, NULL)",
          "INSERT INTO \"d\".\"t\" (\"id\", \"addr\") VALUES (CAST(1::BIGINT AS BIGINT), {'city': "
          "CAST('x' AS VARCHAR), 'zip': "
          "{'a': CAST(2::BIGINT AS BIGINT), 'b': CAST(NULL AS BIGINT)}}), (DEFAULT, CAST(NULL AS "
          "STRUCT(\"city\" VARCHAR, "
          "\"zip\" STRUCT(\"a\" BIGINT, \"b\" BIGINT))))" },
        { "UPDATE t SET addr.zip.a = 1, t.name = 'x' WHERE TRUE",
          "UPDATE \"d\".\"t\" AS \"t\" SET \"addr\" = {'city': \"t\".\"addr\".\"city\", 'zip': "
          "{'a': CAST(1::BIGINT AS BIGINT), "
          "'b': \"t\".\"addr\".\"zip\".\"b\"}}, \"name\" = CAST('x' AS VARCHAR) WHERE true" },
        { "DELETE d.t AS x WHERE x.id = 1",
          "DELETE FROM \"d\".\"t\" AS \"x\" WHERE (\"x\".\"id\" = 1::BIGINT)" },
        { "MERGE t USING u AS s ON FALSE WHEN NOT MATCHED BY SOURCE THEN DELETE WHEN NOT MATCHED "
          "THEN INSERT (id) VALUES (s.id)",
          "MERGE INTO \"d\".\"t\" AS \"t\" USING \"d\".\"u\" AS \"s\" ON (false) WHEN NOT MATCHED "
          "BY SOURCE THEN DELETE WHEN NOT "
          "MATCHED BY TARGET THEN INSERT (\"id\") VALUES (CAST(\"s\".\"id\" AS BIGINT)) RETURNING "
          "merge_action" },
        { "MERGE t USING u AS s ON t.id = s.id WHEN MATCHED AND s.name = 'x' THEN DELETE",
          "MERGE INTO \"d\".\"t\" AS \"t\" USING (SELECT * FROM \"d\".\"u\" AS \"s\" WHERE (SELECT "
          "CASE WHEN count(*) > 0 THEN "
          "error('UPDATE/MERGE must match at most one source row for each target row') ELSE true "
          "END FROM (SELECT "
          "\"t\".rowid FROM \"d\".\"t\" AS \"t\" CROSS JOIN \"d\".\"u\" AS \"s\" WHERE "
          "(\"t\".\"id\" = \"s\".\"id\") AND "
          "((\"s\".\"name\" = 'x')) GROUP BY \"t\".rowid HAVING count(*) > 1))) AS \"s\" ON "
          "((\"t\".\"id\" = \"s\".\"id\")) WHEN "
          "MATCHED AND (\"s\".\"name\" = 'x') THEN DELETE RETURNING merge_action" },
    };

    (void)state;
    write_all(cases, ARRAY_LEN(cases));
}

static void test_ddl_is_described(void **state)
{
    struct arena a = { 0 };
    struct error e = { 0 };
    struct sql_written w;

    (void)state;
    assert_int_equal(
        world_write(&a,
                    "CREATE OR REPLACE TABLE `p.d.x` (id INT64 NOT NULL "
                    "OPTIONS(description='key'), ts TIMESTAMP DEFAULT NULL, "
                    "PRIMARY KEY (id) NOT ENFORCED) PARTITION BY TIMESTAMP_TRUNC(ts, HOUR) CLUSTER "
                    "BY id OPTIONS("
                    "labels=[('k', 'v')], partition_expiration_days=1.5, description=NULL)",
                    &w, &e),
        0);
    assert_int_equal(w.kind, SQL_CREATE_TABLE);
    assert_true(w.ddl->or_replace && !w.ddl->if_not_exists);
    assert_true(str_eq_c(w.target.project, "p") && str_eq_c(w.target.dataset, "d") &&
                str_eq_c(w.target.table, "x"));
    assert_int_equal(w.ddl->columns.count, 2);
    assert_int_equal(w.ddl->columns.field[0].mode, BQ_REQUIRED);
    assert_true(str_eq_c(w.ddl->columns.field[0].description, "key"));
    assert_true(str_eq_c(w.ddl->columns.field[1].default_value, "NULL"));
    assert_true(str_eq_c(w.ddl->default_sql[1], "CAST(NULL AS TIMESTAMPTZ)"));
    assert_true(str_eq_c(w.ddl->options,
                         "{\"labels\":{\"k\":\"v\"},\"description\":null,\"timePartitioning\":{"
                         "\"type\":\"HOUR\",\"field\":\"ts\","
                         "\"expirationMs\":\"129600000\"},\"clustering\":{\"fields\":[\"id\"]}}"));
    assert_int_equal(world_write(&a, "CREATE VIEW d.v (x) AS SELECT id FROM t -- end", &w, &e), 0);
    assert_true(str_eq_c(w.ddl->query_text, "SELECT id FROM t") &&
                str_eq_c(w.ddl->column_names[0], "x"));
    assert_int_equal(w.read_count, 1);
    assert_int_equal(
        world_write(
            &a, "ALTER TABLE t ADD COLUMN IF NOT EXISTS z STRING, DROP COLUMN name, RENAME TO w",
            &w, &e),
        0);
    assert_int_equal(w.ddl->alter_count, 3);
    assert_true(w.ddl->alter[0].if_not && w.ddl->alter[1].kind == SQL_ALTER_DROP_COLUMN);
    assert_true(str_eq_c(w.ddl->alter[2].new_name, "w"));
    arena_release(&a);
}

static void test_errors_have_bigquerys_words_and_place(void **state)
{
    static const struct text_case cases[] = {
        { "", "Syntax error: Unexpected end of script at [1:1]" },
        { "CHOOSE 1", "Syntax error: Unexpected identifier \"CHOOSE\" at [1:1]" },
        { "SELECT (1 + 2 AS x", "Syntax error: Expected \",\" but got keyword AS at [1:15]" },
        { "SELECT 'x", "Syntax error: Unclosed string literal at [1:8]" },
        { "SELECT 'ä', '\\q'", "Syntax error: Illegal escape sequence: \\q at [1:14]" },
        { "SELECT 1\nFROM d.t\nWHERE nope", "Unrecognized name: nope at [3:7]" },
        { "SELECT 1 /* x", "Syntax error: Unclosed comment at [1:10]" },
        { "SELECT 9223372036854775808", "Invalid integer literal: 9223372036854775808 at [1:8]" },
        { "SELECT FOO(1)", "Function not found: FOO at [1:8]" },
        { "SELECT `x`.foo(1)", "Function not found: `x`.foo at [1:8]" },
        { "SELECT ROW_NUMBER()",
          "Analytic function ROW_NUMBER cannot be called without an OVER clause at [1:8]" },
        { "SELECT IF(DISTINCT 1, 2, 3)",
          "Non-aggregate function IF cannot be called with DISTINCT at [1:8]" },
        { "SELECT SAFE.SUM(id) FROM t", "Function SUM does not support SAFE error mode at [1:8]" },
        { "SELECT 1 FROM t WHERE name = id",
          "No matching signature for operator = for argument types: STRING, INT64\n  Signature: T1 "
          "= T1\n    Unable to find "
          "common supertype for templated argument <T1>\n      Input types for <T1>: {INT64, "
          "STRING} at [1:23]" },
        { "SELECT x FROM UNNEST(1) AS x", "Values referenced in UNNEST must be arrays. UNNEST "
                                          "contains expression of type INT64 at [1:22]" },
        { "SELECT @nope", "Query parameter 'nope' not found at [1:8]" },
        { "SELECT @0", "Query parameter number 0 not found at [1:8]" },
        { "SELECT 1 UNION SELECT 2", "Syntax error: Expected keyword ALL or keyword DISTINCT but "
                                     "got keyword SELECT at [1:16]" },
        { "SELECT 1 UNION ALL SELECT 2 INTERSECT DISTINCT SELECT 3",
          "Syntax error: Different set operations cannot be used in the same query without using "
          "parentheses for grouping "
          "at [1:29]" },
        { "UPDATE t SET id = 1", "UPDATE must have a WHERE clause at [1:1]" },
        { "DELETE t", "DELETE must have a WHERE clause at [1:1]" },
        { "INSERT t (id) VALUES (1, 2)",
          "Inserted row has wrong column count; Has 2, expected 1 at [1:23]" },
        { "UPDATE t SET addr = NULL, addr.city = 'x' WHERE TRUE",
          "Update item addr assigned more than once at [1:27]" },
        { "CREATE TABLE d.x (a FOO)", "Type not found: FOO at [1:21]" },
        { "CREATE TABLE d.x (a ARRAY<ARRAY<INT64>>)",
          "Arrays of arrays are not supported at [1:26]" },
        { "CREATE TABLE d.x (a INT64) OPTIONS(foo=1)", "Unknown option: foo at [1:36]" },
        { "BREAK", "BREAK is only allowed inside of a loop body at [1:1]" },
        { "SELECT * FROM x.y", "Not found: Table p:x.y" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena a = { 0 };
        struct error e = { 0 };
        struct sql_written w;
        assert_int_equal(world_write(&a, cases[i].text, &w, &e), -1);
        assert_string_equal(e.msg, cases[i].sql);
        arena_release(&a);
    }
}

/* The kinds of a script's steps in order, with the targets of jumps. */
static void test_a_script_is_a_program_with_jumps(void **state)
{
    static const struct text_case cases[] = {
        { "DECLARE a INT64; WHILE a < 3 DO SET a = a + 1; IF a = 2 THEN BREAK; END IF; END WHILE; "
          "SELECT a",
          "declare unless:7 set unless:6 jump:7 jump:6 jump:1 statement" },
        { "FOR r IN (SELECT 1 AS x) DO BEGIN CONTINUE; END; END FOR",
          "for next:7 block:0 block_end jump:1 block_end jump:1" },
        { "BEGIN SELECT 1; EXCEPTION WHEN ERROR THEN SELECT 2; END; SELECT 3",
          "block:4 statement block_end jump:6 statement handler_end statement" },
        { "LOOP LEAVE; END LOOP; REPEAT SELECT 1; UNTIL TRUE END REPEAT; BEGIN TRANSACTION; "
          "COMMIT; RETURN",
          "jump:2 jump:0 statement unless:2 begin commit return" },
    };
    static const char *const names[] = {
        "statement", "declare",   "set",    "jump",      "unless",      "for",
        "next",      "for_leave", "block",  "block_end", "handler_end", "raise",
        "execute",   "begin",     "commit", "rollback",  "return",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena a = { 0 };
        struct error e = { 0 };
        struct buf b = BUF_INIT(4096);
        struct sql_script *s = sql_parse(&a, str_of(cases[i].text), &e);
        if (!s)
            fail_msg("%s: %s", cases[i].text, e.msg);
        assert_false(s->single);
        for (uint32_t n = 0; n < s->count; n++) {
            enum sql_step_kind k = s->step[n].kind;
            buf_addf(&b, "%s%s", n ? " " : "", names[k]);
            if (k == SQL_JUMP || k == SQL_JUMP_UNLESS || k == SQL_FOR_NEXT || k == SQL_BLOCK)
                buf_addf(&b, ":%u", s->step[n].target);
        }
        assert_string_equal(b.p, cases[i].sql);
        buf_release(&b);
        arena_release(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_list_has_the_names_that_bigquery_gives),
        cmocka_unit_test(test_from_offers_tables_arrays_and_wildcards),
        cmocka_unit_test(test_expressions_keep_their_meaning),
        cmocka_unit_test(test_dml_checks_its_rows_and_fills_structs),
        cmocka_unit_test(test_ddl_is_described),
        cmocka_unit_test(test_errors_have_bigquerys_words_and_place),
        cmocka_unit_test(test_a_script_is_a_program_with_jumps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
