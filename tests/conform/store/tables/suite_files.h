/* suite_files.h -- files that are loaded and extracted.
 *
 * Part of the suite of tables (tables_suite.h), which includes it.
 */
#ifndef TRANCHE_TESTS_SUITE_FILES_H
#define TRANCHE_TESTS_SUITE_FILES_H

#include "conform/store/tables/suite_world.h"

static struct tables_loaded suite_load(struct suite *s, struct tables_load l, const char *text)
{
    const char *path = suite_file(s, "in", text);
    struct tables_loaded out;

    l.path = &path;
    l.path_count = 1;
    l.into.name = NAME("d", "t");
    OK(OPS->load(s->t, &l, &s->arena, &out, &s->e));
    return out;
}

static void suite_load_fails(struct suite *s, struct tables_load l, const char *text,
                             const char *says)
{
    const char *path = suite_file(s, "in", text);
    struct tables_loaded out;

    l.path = &path;
    l.path_count = 1;
    l.into.name = NAME("d", "t");
    FAILS(ERROR_INVALID_ARGUMENT, OPS->load(s->t, &l, &s->arena, &out, &s->e));
    if (!strstr(s->e.msg, says))
        fail_msg("%s: has not: %s", s->e.msg, says);
}

#define ABC                                                                                        \
    "[{\"name\":\"a\",\"type\":\"STRING\"},{\"name\":\"b\",\"type\":\"INTEGER\"},"                 \
    "{\"name\":\"c\",\"type\":\"DATE\"}]"

static void test_csv_is_loaded_by_the_options_of_a_load_job(void **state)
{
    struct suite *s = *state;
    const struct bq_schema abc = suite_schema(s, ABC);
    struct tables_load l = { .schema = abc, .into.write = TABLES_WRITE_TRUNCATE };

    suite_dataset(s, "d");
    l.skip_rows = 1;
    struct tables_loaded out =
        suite_load(s, l,
                   "\xef\xbb\xbf"
                   "a,b,c\r\n\"x, \"\"y\"\"\",1,2024-01-31\r\n\r\n,2,\n\"\",,2024-2-1");
    assert_int_equal(out.outcome.rows, 3);
    assert_true(out.input_bytes > 0);
    assert_string_equal(suite_rows(s, NAME("d", "t")),
                        "x, \"y\"|1|2024-01-31\nNULL|2|NULL\n|NULL|2024-02-01");
    l.skip_rows = 0;
    l.delimiter = STR("\\t");
    l.quote = STR("'");
    l.null_marker = STR("NA");
    suite_load(s, l, "'x\ty'\t1\t2024-01-31\nNA\t2\tNA");
    assert_string_equal(suite_rows(s, NAME("d", "t")), "x\ty|1|2024-01-31\nNULL|2|NULL");
    l = (struct tables_load){ .schema = abc,
                              .into.write = TABLES_WRITE_TRUNCATE,
                              .quoted_newlines = true };
    suite_load(s, l, "\"two\nlines\",1,\nx,2,");
    assert_string_equal(suite_rows(s, NAME("d", "t")), "two\nlines|1|NULL\nx|2|NULL");
    l.jagged_rows = l.ignore_unknown = true;
    suite_load(s, l, "x\ny,1,2024-01-31,more");
    assert_string_equal(suite_rows(s, NAME("d", "t")), "x|NULL|NULL\ny|1|2024-01-31");
    l.encoding = STR("ISO-8859-1");
    suite_load(s, l, "caf\xe9,1,");
    assert_string_equal(suite_rows(s, NAME("d", "t")), "caf\xc3\xa9|1|NULL");
    l = (struct tables_load){ .into.write = TABLES_WRITE_APPEND };
    suite_load(s, l, "z,9,");
    assert_string_equal(suite_rows(s, NAME("d", "t")), "caf\xc3\xa9|1|NULL\nz|9|NULL");
}

static void test_bad_rows_are_named_and_counted(void **state)
{
    struct suite *s = *state;
    struct tables_load l = { .schema = suite_schema(s, ABC) };

    suite_dataset(s, "d");
    suite_load_fails(s, l, "x,1,\ny,one,", "line_number: 2");
    suite_load_fails(s, l, "x,1,\ny,one,", "b");
    suite_load_fails(s, l, "x,1\n", "contains only 2 columns");
    suite_load_fails(s, l, "x,1,,", "Too many values");
    suite_load_fails(s, l, "\"x,1,", "close quote");
    suite_load_fails(s, l, "caf\xe9,1,", "not UTF-8");
    struct tables_table t;
    FAILS(ERROR_NOT_FOUND, OPS->get(s->t, &NAME("d", "t"), &s->arena, &t, &s->e));
    l.bad_rows_max = 1;
    struct tables_loaded out = suite_load(s, l, "x,1,\ny,one,\nz,3,");
    assert_int_equal(out.bad_rows, 1);
    assert_int_equal(out.error_count, 1);
    assert_string_equal(suite_rows(s, NAME("d", "t")), "x|1|NULL\nz|3|NULL");
    suite_load_fails(s, l, "x,one,\ny,two,", "too many errors");
    l.format = TABLES_NDJSON;
    suite_load_fails(s, l, "{\"b\":\"x\"}\n{\"a\":", "too many errors");
}

static void test_json_is_loaded_nested_and_by_name(void **state)
{
    struct suite *s = *state;
    struct tables_load l = { .format = TABLES_NDJSON, .into.write = TABLES_WRITE_TRUNCATE };
    struct tables_table t;

    suite_dataset(s, "d");
    l.schema = suite_schema(s, ABC);
    suite_load(s, l, "{\"b\": 7, \"A\": \"x\"}\n\n{\"c\": \"2024-01-31\"}");
    assert_string_equal(suite_rows(s, NAME("d", "t")), "x|7|NULL\nNULL|NULL|2024-01-31");
    suite_load_fails(s, l, "{\"z\": 1}", "No such field: z");
    l.ignore_unknown = true;
    suite_load(s, l, "{\"z\": 1, \"b\": 2}");
    l = (struct tables_load){ .format = TABLES_NDJSON,
                              .into.write = TABLES_WRITE_TRUNCATE,
                              .autodetect = true };
    suite_load(s, l,
               "{\"i\": 1, \"f\": 1, \"s\": \"x\", \"d\": \"2024-01-31\", \"t\": "
               "\"2024-01-31T01:02:03Z\", \"r\": {\"x\": true, \"l\": [1, 2]}}\n"
               "{\"f\": 1.5, \"r\": {\"y\": \"z\"}}");
    OK(OPS->get(s->t, &NAME("d", "t"), &s->arena, &t, &s->e));
    const enum bq_type types[] = {
        BQ_INTEGER, BQ_FLOAT, BQ_STRING, BQ_DATE, BQ_TIMESTAMP, BQ_RECORD
    };
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        assert_int_equal(t.schema.field[i].type, types[i]);
    assert_int_equal(t.schema.field[5].fields[1].mode, BQ_REPEATED);
    assert_string_equal(suite_rows(s, NAME("d", "t")),
                        "1|1.0|x|2024-01-31|1706662923000000|{\"f\":[{\"v\":\"true\"},{\"v\":[{"
                        "\"v\":\"1\"},{\"v\":\"2\"}]},{\"v\":null}]}\n"
                        "NULL|1.5|NULL|NULL|NULL|{\"f\":[{\"v\":null},{\"v\":[]},{\"v\":\"z\"}]}");
}

static void test_a_csv_file_tells_its_columns(void **state)
{
    struct suite *s = *state;
    struct tables_load l = { .autodetect = true,
                             .skip_rows = -1,
                             .into.write = TABLES_WRITE_TRUNCATE };
    struct tables_table t;

    suite_dataset(s, "d");
    suite_load(s, l,
               "id,full name,score,day,ok\n1,Ann,1.5,2024-01-31,true\n2,Bob,2,2024-02-01,false\n");
    OK(OPS->get(s->t, &NAME("d", "t"), &s->arena, &t, &s->e));
    const char *names[] = { "id", "full_name", "score", "day", "ok" };
    const enum bq_type types[] = { BQ_INTEGER, BQ_STRING, BQ_FLOAT, BQ_DATE, BQ_BOOLEAN };
    assert_int_equal(t.schema.count, 5);
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        assert_true(str_eq_c(t.schema.field[i].name, names[i]));
        assert_int_equal(t.schema.field[i].type, types[i]);
    }
    assert_int_equal(t.rows, 2);
    suite_load(s, l, "x,y\nz,w\n");
    assert_string_equal(suite_rows(s, NAME("d", "t")), "x|y\nz|w");
    l.skip_rows = 1;
    suite_load(s, l, "p,q\nz,w\n");
    OK(OPS->get(s->t, &NAME("d", "t"), &s->arena, &t, &s->e));
    assert_true(str_eq_c(t.schema.field[0].name, "p"));
    assert_string_equal(suite_rows(s, NAME("d", "t")), "z|w");
}

static void test_a_table_goes_through_files_and_comes_back(void **state)
{
    struct suite *s = *state;
    const enum tables_format formats[] = { TABLES_NDJSON, TABLES_PARQUET };
    struct tables_outcome out;
    struct tables_loaded loaded;

    suite_query(s, "CREATE SCHEMA d");
    suite_query(
        s, "CREATE TABLE d.src AS SELECT 1 AS i, 'x\"y' AS s, 1.5 AS f, NUMERIC '1.25' AS n, DATE "
           "'2024-01-31' AS d, TIMESTAMP '2024-01-31 01:02:03.5+00' AS t,"
           " DATETIME '2024-01-31T01:02:03' AS dt, TIME '01:02:03' AS ti, b'abc' AS b, true AS ok, "
           "[1, 2] AS l, STRUCT('q' AS x, [STRUCT(1 AS z)] AS y) AS r"
           " UNION ALL SELECT 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, [], NULL");
    struct tables_table src;
    OK(OPS->get(s->t, &NAME("d", "src"), &s->arena, &src, &s->e));
    const char *rows = suite_rows(s, src.name);
    for (size_t i = 0; i < 2 * ARRAY_LEN(formats); i++) {
        const char *path = suite_file(s, "out", NULL);
        struct tables_extract x = { .name = src.name,
                                    .path = path,
                                    .format = formats[i / 2],
                                    .packing = i % 2 ? PACKING_GZIP : PACKING_NONE };
        struct tables_load l = { .into = { .name = NAME("d", "back"),
                                           .write = TABLES_WRITE_TRUNCATE },
                                 .path = &path,
                                 .path_count = 1,
                                 .format = formats[i / 2],
                                 .schema = src.schema };
        if (s->rest) {
            FAILS(ERROR_UNIMPLEMENTED, OPS->extract(s->t, &x, &out, &s->e));
            return;
        }
        OK(OPS->extract(s->t, &x, &out, &s->e));
        assert_int_equal(out.rows, 2);
        OK(OPS->load(s->t, &l, &s->arena, &loaded, &s->e));
        assert_string_equal(suite_rows(s, l.into.name), rows);
    }
    struct tables_extract x = { .name = src.name, .path = suite_file(s, "out", NULL) };
    FAILS(ERROR_INVALID_ARGUMENT, OPS->extract(s->t, &x, &out, &s->e));
    assert_non_null(strstr(s->e.msg, "nested"));
    suite_query(s, "CREATE TABLE d.flat AS SELECT 1 AS i, 'a,b' AS s UNION ALL SELECT 2, NULL");
    x.name = NAME("d", "flat");
    OK(OPS->extract(s->t, &x, &out, &s->e));
    assert_string_equal(suite_read_file(s, x.path), "i,s\n1,\"a,b\"\n2,\n");
    x.no_header = true;
    x.delimiter = STR("\t");
    OK(OPS->extract(s->t, &x, &out, &s->e));
    assert_string_equal(suite_read_file(s, x.path), "1\ta,b\n2\t\n");
}

#define SUITE_FILES_TESTS                                                                          \
    TABLES_TEST(test_csv_is_loaded_by_the_options_of_a_load_job),                                  \
        TABLES_TEST(test_bad_rows_are_named_and_counted),                                          \
        TABLES_TEST(test_json_is_loaded_nested_and_by_name),                                       \
        TABLES_TEST(test_a_csv_file_tells_its_columns),                                            \
        TABLES_TEST(test_a_table_goes_through_files_and_comes_back)

#endif
