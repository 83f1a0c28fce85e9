/* suite_tables.h -- datasets, tables, their names and columns; copies and jobs.
 *
 * Part of the suite of tables (tables_suite.h), which includes it.
 */
#ifndef TRANCHE_TESTS_SUITE_TABLES_H
#define TRANCHE_TESTS_SUITE_TABLES_H

#include "conform/store/tables/suite_world.h"

/* ---- Datasets ---- */

static void test_a_dataset_keeps_its_options_and_has_one_etag_a_change(void **state)
{
    struct suite *s = *state;
    struct tables_dataset d = { .name = NAME("d", ""),
                                .options = STR("{\"labels\":{\"a\":\"b'c\"}}") };
    struct tables_dataset first, second;

    OK(OPS->dataset_create(s->t, &d, &s->e));
    FAILS(ERROR_ALREADY_EXISTS, OPS->dataset_create(s->t, &d, &s->e));
    assert_string_equal(s->e.msg, "Already Exists: Dataset my-project:d");
    OK(OPS->dataset_get(s->t, &d.name, &s->arena, &first, &s->e));
    assert_true(str_eq(first.options, d.options));
    assert_true(first.created_ms > 0);
    first.options = STR("{}");
    first.default_expiration_ms = 3600000;
    OK(OPS->dataset_change(s->t, &first, &s->e));
    OK(OPS->dataset_get(s->t, &d.name, &s->arena, &second, &s->e));
    assert_true(str_eq_c(second.options, "{}"));
    assert_int_equal(second.default_expiration_ms, 3600000);
    assert_string_not_equal(first.etag, second.etag);
    FAILS(ERROR_ABORTED, OPS->dataset_change(s->t, &first, &s->e));
}

static void test_datasets_are_listed_in_pages_without_hidden_ones(void **state)
{
    struct suite *s = *state;
    const char *names[] = { "b", "a", "_hidden", "C" };
    struct tables_datasets found;
    struct tables_page page = { .parent = NAME("", ""), .limit = 2 };

    OK(OPS->dataset_list(s->t, &page, &s->arena, &found, &s->e));
    assert_int_equal(found.count, 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        suite_dataset(s, names[i]);
    OK(OPS->dataset_list(s->t, &page, &s->arena, &found, &s->e));
    assert_int_equal(found.count, 2);
    assert_true(found.more);
    assert_true(str_eq_c(found.item[0].name.dataset, "C"));
    assert_true(str_eq_c(found.item[1].name.dataset, "a"));
    page.after = STR("a");
    OK(OPS->dataset_list(s->t, &page, &s->arena, &found, &s->e));
    assert_int_equal(found.count, 1);
    assert_false(found.more);
    assert_true(str_eq_c(found.item[0].name.dataset, "b"));
}

static void test_a_dataset_with_tables_is_deleted_only_with_its_contents(void **state)
{
    struct suite *s = *state;
    struct tables_dataset d;

    suite_dataset(s, "d");
    suite_table(s, NAME("d", "t"), "{\"fields\":[{\"name\":\"a\",\"type\":\"INTEGER\"}]}");
    FAILS(ERROR_FAILED_PRECONDITION, OPS->dataset_delete(s->t, &NAME("d", ""), false, &s->e));
    OK(OPS->dataset_delete(s->t, &NAME("d", ""), true, &s->e));
    FAILS(ERROR_NOT_FOUND, OPS->dataset_get(s->t, &NAME("d", ""), &s->arena, &d, &s->e));
    assert_string_equal(s->e.msg, "Not found: Dataset my-project:d");
    suite_dataset(s, "d");
}

static void test_names_that_are_none_are_refused(void **state)
{
    struct suite *s = *state;
    const char *datasets[] = { "", "a-b", "a.b", "a\"b", "caf\xc3\xa9" };
    const char *tables[] = { "", "a.b", "a\"b", "a$b", "a;b", "a\nb", "\xff" };

    suite_dataset(s, "d");
    for (size_t i = 0; i < ARRAY_LEN(datasets); i++) {
        struct tables_dataset d = { .name = { STR(PROJECT), str_of(datasets[i]), { NULL, 0 } } };
        FAILS(ERROR_INVALID_ARGUMENT, OPS->dataset_create(s->t, &d, &s->e));
    }
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        struct tables_table t = { .name = { STR(PROJECT), STR("d"), str_of(tables[i]) } };
        FAILS(ERROR_INVALID_ARGUMENT, OPS->create(s->t, &t, &s->e));
    }
    for (const char *p = "../x"; p; p = NULL) {
        struct tables_dataset d = { .name = { str_of(p), STR("d"), { NULL, 0 } } };
        FAILS(ERROR_INVALID_ARGUMENT, OPS->dataset_create(s->t, &d, &s->e));
    }
}

/* ---- Tables ---- */

#define ALL_TYPES                                                                                  \
    "{\"fields\":[{\"name\":\"s\",\"type\":\"STRING\",\"mode\":\"REQUIRED\"},"                     \
    "{\"name\":\"by\",\"type\":\"BYTES\"},{\"name\":\"i\",\"type\":\"INTEGER\"},"                  \
    "{\"name\":\"f\",\"type\":\"FLOAT\"},{\"name\":\"b\",\"type\":\"BOOLEAN\"},"                   \
    "{\"name\":\"ts\",\"type\":\"TIMESTAMP\"},{\"name\":\"da\",\"type\":\"DATE\"},"                \
    "{\"name\":\"ti\",\"type\":\"TIME\"},{\"name\":\"dt\",\"type\":\"DATETIME\"},"                 \
    "{\"name\":\"n\",\"type\":\"NUMERIC\"},{\"name\":\"bn\",\"type\":\"BIGNUMERIC\"},"             \
    "{\"name\":\"j\",\"type\":\"JSON\"},{\"name\":\"g\",\"type\":\"GEOGRAPHY\"},"                  \
    "{\"name\":\"l\",\"type\":\"INTEGER\",\"mode\":\"REPEATED\"},"                                 \
    "{\"name\":\"r\",\"type\":\"RECORD\",\"fields\":[{\"name\":\"x\",\"type\":\"STRING\"},"        \
    "{\"name\":\"y\",\"type\":\"RECORD\",\"mode\":\"REPEATED\",\"fields\":[{\"name\":\"z\","       \
    "\"type\":\"TIMESTAMP\"}]}]}]}"

#define ALL_ROWS(json_null)                                                                        \
    "text "                                                                                        \
    "\xc3\xa9|aGVsbG8=|-9223372036854775808|1.5|true|1700000000123456|2024-02-29|12:34:56."        \
    "000001|"                                                                                      \
    "2024-01-31T00:00:00|-12345678901234567890123456789.123456789|1."                              \
    "00000000000000000000000000000000000001|"                                                      \
    "{\"a\":1}|POINT(1 "                                                                           \
    "2)|[{\"v\":\"1\"},{\"v\":\"2\"}]|{\"f\":[{\"v\":\"q\\\"\"},{\"v\":[{\"v\":{\"f\":[{\"v\":"    \
    "\"5\"}]}}]}]}\n"                                                                              \
    "||9223372036854775807|NaN|false|-1|0001-01-01|23:59:59.999999|9999-12-31T23:59:59.999999|"    \
    "0.5|0|" json_null "|POINT(0 0)|[]|{\"f\":[{\"v\":null},{\"v\":[]}]}\n"                        \
    "x|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|[]|NULL\n"                      \
    "y|AA==|0|-Infinity|true|0|1970-01-01|00:00:00|1970-01-01T00:00:00|100|-7|\"a\"|POINT(0 0)|"   \
    "[{\"v\":\"-3\"}]|{\"f\":[{\"v\":\"\"},{\"v\":[{\"v\":{\"f\":[{\"v\":null}]}}]}]}\n"           \
    "z|NULL|7|1.0|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|[]|NULL\n"                          \
    "z|NULL|7|1.0E20|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|[]|NULL\n"                       \
    "z|NULL|7|1.0E-7|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|[]|NULL"

static void test_every_type_comes_back_as_it_was_written(void **state)
{
    struct suite *s = *state;
    struct tables_write w = { .into = { .name = NAME("d", "all") } };
    struct tables_table t;
    const char *rows = ALL_ROWS("null");
    /* Lines of JSON have no null of JSON's own: it is loaded as no value. */
    const char *back = s->rest ? ALL_ROWS("NULL") : rows;

    suite_dataset(s, "d");
    w.schema = suite_schema(s, ALL_TYPES);
    struct tables_outcome out = suite_write(s, &w, rows);
    assert_true(out.created);
    assert_int_equal(out.rows, 7);
    assert_string_equal(suite_rows(s, NAME("d", "all")), back);
    OK(OPS->get(s->t, &NAME("d", "all"), &s->arena, &t, &s->e));
    assert_int_equal(t.rows, 7);
    assert_true(t.bytes > 0);
    assert_int_equal(t.schema.count, w.schema.count);
    for (uint32_t i = 0; i < t.schema.count; i++) {
        assert_true(str_eq(t.schema.field[i].name, w.schema.field[i].name));
        assert_int_equal(t.schema.field[i].type, w.schema.field[i].type);
        assert_int_equal(t.schema.field[i].mode, w.schema.field[i].mode);
    }
    suite_restart(s);
    assert_string_equal(suite_rows(s, NAME("d", "all")), back);
}

static void test_names_that_differ_by_case_are_two_tables(void **state)
{
    struct suite *s = *state;
    const char *datasets[] = {
        "main", "MAIN", "Main", "tranche", "information_schema", "my_project"
    };
    struct tables_write w = { .schema = suite_schema(
                                  s, "{\"fields\":[{\"name\":\"a\",\"type\":\"STRING\"}]}") };

    for (size_t i = 0; i < ARRAY_LEN(datasets); i++) {
        suite_dataset(s, datasets[i]);
        for (const char *table = "T"; table; table = *table == 'T' ? "t" : NULL) {
            w.into.name = (struct tables_name){ STR(PROJECT), str_of(datasets[i]), str_of(table) };
            suite_write(s, &w, arena_textf(&s->arena, "%s.%s", datasets[i], table));
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(datasets); i++)
        for (const char *table = "T"; table; table = *table == 'T' ? "t" : NULL) {
            struct tables_name name = { STR(PROJECT), str_of(datasets[i]), str_of(table) };
            assert_string_equal(suite_rows(s, name),
                                arena_textf(&s->arena, "%s.%s", datasets[i], table));
        }
}

static void test_a_table_may_get_columns_and_lose_none(void **state)
{
    struct suite *s = *state;
    struct tables_table t,
        old = { .name = NAME("d", "t"), .options = STR("{\"description\":\"x\"}") };

    suite_dataset(s, "d");
    old.schema =
        suite_schema(s, "{\"fields\":[{\"name\":\"a\",\"type\":\"STRING\",\"mode\":\"REQUIRED\"},"
                        "{\"name\":\"r\",\"type\":\"RECORD\",\"fields\":[{\"name\":\"x\",\"type\":"
                        "\"INTEGER\"}]}]}");
    OK(OPS->create(s->t, &old, &s->e));
    struct bq_batch batch = suite_batch(s, 2, "one|{\"f\":[{\"v\":\"1\"}]}");
    OK(OPS->insert(s->t, &old.name, &old.schema, &batch, &s->e));
    OK(OPS->get(s->t, &old.name, &s->arena, &t, &s->e));
    assert_true(str_eq_c(t.options, "{\"description\":\"x\"}"));
    t.schema = suite_schema(
        s, "{\"fields\":[{\"name\":\"a\",\"type\":\"STRING\"},{\"name\":\"r\",\"type\":\"RECORD\","
           "\"fields\":"
           "[{\"name\":\"x\",\"type\":\"INTEGER\"},{\"name\":\"y\",\"type\":\"STRING\"}]},"
           "{\"name\":\"n\",\"type\":\"NUMERIC\"}]}");
    OK(OPS->change(s->t, &t, &s->e));
    FAILS(ERROR_ABORTED, OPS->change(s->t, &t, &s->e));
    assert_string_equal(suite_rows(s, old.name), "one|{\"f\":[{\"v\":\"1\"},{\"v\":null}]}|NULL");
    t.etag[0] = '\0';
    t.schema = suite_schema(s, "{\"fields\":[{\"name\":\"a\",\"type\":\"STRING\"}]}");
    FAILS(ERROR_INVALID_ARGUMENT, OPS->change(s->t, &t, &s->e));
}

static void test_a_table_without_columns_gets_them_later(void **state)
{
    struct suite *s = *state;
    struct tables_table t = { .name = NAME("d", "t") }, found;
    struct tables_write w = { .into.name = NAME("d", "t") };

    suite_dataset(s, "d");
    OK(OPS->create(s->t, &t, &s->e));
    OK(OPS->get(s->t, &t.name, &s->arena, &found, &s->e));
    assert_int_equal(found.schema.count, 0);
    assert_string_equal(suite_rows(s, t.name), "");
    w.schema = suite_schema(s, "{\"fields\":[{\"name\":\"a\",\"type\":\"STRING\"}]}");
    assert_false(suite_write(s, &w, "x").created);
    assert_string_equal(suite_rows(s, t.name), "x");
}

static void test_tables_are_listed_removed_and_not_found(void **state)
{
    struct suite *s = *state;
    struct tables_page page = { .parent = NAME("d", ""), .limit = 10 };
    struct tables_list found;

    FAILS(ERROR_NOT_FOUND, OPS->list(s->t, &page, &s->arena, &found, &s->e));
    suite_dataset(s, "d");
    suite_table(s, NAME("d", "b"), "{\"fields\":[{\"name\":\"a\",\"type\":\"STRING\"}]}");
    suite_table(s, NAME("d", "a b"), "{\"fields\":[{\"name\":\"a\",\"type\":\"STRING\"}]}");
    OK(OPS->list(s->t, &page, &s->arena, &found, &s->e));
    assert_int_equal(found.count, 2);
    assert_true(str_eq_c(found.item[0].name.table, "a b"));
    OK(OPS->remove(s->t, &NAME("d", "b"), &s->e));
    FAILS(ERROR_NOT_FOUND, OPS->remove(s->t, &NAME("d", "b"), &s->e));
    assert_string_equal(s->e.msg, "Not found: Table my-project:d.b");
    FAILS(ERROR_NOT_FOUND, OPS->remove(s->t, &NAME("e", "b"), &s->e));
    assert_string_equal(s->e.msg, "Not found: Dataset my-project:e");
}

/* ---- Copies, jobs ---- */

static void test_tables_are_copied(void **state)
{
    struct suite *s = *state;
    const struct tables_name from[] = { NAME("d", "a"), NAME("d", "b") };
    struct tables_write w = { .into.name = from[0] };
    struct tables_copy c = {
        .from = from, .from_count = 2, .into.name = NAME("e", "c"), .key = STR("copy")
    };
    struct tables_outcome out;

    suite_dataset(s, "d");
    w.schema = suite_schema(s, "{\"fields\":[{\"name\":\"a\",\"type\":\"STRING\"}]}");
    suite_write(s, &w, "1\n2");
    w.into.name = from[1];
    suite_write(s, &w, "3");
    FAILS(ERROR_NOT_FOUND, OPS->copy(s->t, &c, &out, &s->e));
    suite_dataset(s, "e");
    OK(OPS->copy(s->t, &c, &out, &s->e));
    OK(OPS->copy(s->t, &c, &out, &s->e));
    assert_true(out.again);
    assert_string_equal(suite_rows(s, NAME("e", "c")), "1\n2\n3");
}

static void test_jobs_are_kept_and_listed_newest_first(void **state)
{
    struct suite *s = *state;
    struct tables_job job = { .parent = STR(""),
                              .state = STR("DONE"),
                              .json = STR("{\"a\":\"'\"}") },
                      found;
    struct tables_jobs_page page = { .project = STR(PROJECT), .limit = 2 };
    struct tables_jobs jobs;

    if (s->rest) {
        FAILS(ERROR_UNIMPLEMENTED, OPS->job_put(s->t, STR(PROJECT), &job, &s->e));
        FAILS(ERROR_UNIMPLEMENTED, OPS->job_list(s->t, &page, &s->arena, &jobs, &s->e));
        return;
    }
    FAILS(ERROR_NOT_FOUND, OPS->job_get(s->t, STR(PROJECT), STR("j1"), &s->arena, &found, &s->e));
    OK(OPS->job_list(s->t, &page, &s->arena, &jobs, &s->e));
    assert_int_equal(jobs.count, 0);
    for (int i = 1; i <= 3; i++) {
        job.id = str_of(arena_textf(&s->arena, "j%d", i));
        job.created_ms = 1700000000000 + i;
        OK(OPS->job_put(s->t, STR(PROJECT), &job, &s->e));
    }
    job.state = STR("RUNNING");
    OK(OPS->job_put(s->t, STR(PROJECT), &job, &s->e));
    suite_restart(s);
    OK(OPS->job_get(s->t, STR(PROJECT), STR("j3"), &s->arena, &found, &s->e));
    assert_true(str_eq_c(found.state, "RUNNING") && str_eq(found.json, job.json));
    OK(OPS->job_list(s->t, &page, &s->arena, &jobs, &s->e));
    assert_int_equal(jobs.count, 2);
    assert_true(jobs.more && str_eq_c(jobs.item[0].id, "j3"));
    page.before_ms = jobs.item[1].created_ms;
    page.before_id = jobs.item[1].id;
    OK(OPS->job_list(s->t, &page, &s->arena, &jobs, &s->e));
    assert_true(jobs.count == 1 && !jobs.more && str_eq_c(jobs.item[0].id, "j1"));
    OK(OPS->job_delete(s->t, STR(PROJECT), STR("j1"), &s->e));
    FAILS(ERROR_NOT_FOUND, OPS->job_delete(s->t, STR(PROJECT), STR("j1"), &s->e));
}

#define SUITE_TABLES_TESTS                                                                         \
    TABLES_TEST(test_a_dataset_keeps_its_options_and_has_one_etag_a_change),                       \
        TABLES_TEST(test_datasets_are_listed_in_pages_without_hidden_ones),                        \
        TABLES_TEST(test_a_dataset_with_tables_is_deleted_only_with_its_contents),                 \
        TABLES_TEST(test_names_that_are_none_are_refused),                                         \
        TABLES_TEST(test_every_type_comes_back_as_it_was_written),                                 \
        TABLES_TEST(test_names_that_differ_by_case_are_two_tables),                                \
        TABLES_TEST(test_a_table_may_get_columns_and_lose_none),                                   \
        TABLES_TEST(test_a_table_without_columns_gets_them_later),                                 \
        TABLES_TEST(test_tables_are_listed_removed_and_not_found),                                 \
        TABLES_TEST(test_tables_are_copied),                                                       \
        TABLES_TEST(test_jobs_are_kept_and_listed_newest_first)

#endif
