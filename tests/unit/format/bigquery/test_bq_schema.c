/* Schemas: read, written, compared; and the parameters of queries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "format/bigquery/job.h"
#include "format/bigquery/parameter.h"

static struct bq_schema parse(struct arena *a, const char *json)
{
    struct bq_schema s;
    struct error e = { 0 };

    if (bq_schema_parse(str_of(json), a, &s, &e) < 0)
        fail_msg("%s: %s", json, e.msg);
    return s;
}

/* Goal: both names of a type are read, REST's are written, and what we have no member for comes back. */
static void test_a_schema_comes_back_as_it_was_given(void **state)
{
    static const char json[] =
        "{\"fields\":[{\"name\":\"a\",\"type\":\"INT64\"},"
        "{\"name\":\"r\",\"type\":\"STRUCT\",\"mode\":\"repeated\",\"fields\":[{\"name\":\"s\","
        "\"type\":\"string\",\"maxLength\":\"10\"}]},"
        "{\"name\":\"n\",\"type\":\"NUMERIC\",\"precision\":\"10\",\"scale\":2,\"description\":"
        "\"d\","
        "\"policyTags\":{\"names\":[\"x\"]}}]}";
    static const char again[] =
        "{\"fields\":[{\"name\":\"a\",\"type\":\"INTEGER\"},"
        "{\"name\":\"r\",\"type\":\"RECORD\",\"mode\":\"REPEATED\",\"fields\":[{\"name\":\"s\","
        "\"type\":\"STRING\",\"maxLength\":\"10\"}]},"
        "{\"name\":\"n\",\"type\":\"NUMERIC\",\"precision\":\"10\",\"scale\":\"2\","
        "\"description\":\"d\",\"policyTags\":{\"names\":[\"x\"]}}]}";
    struct arena a = { 0 };
    struct bq_schema s = parse(&a, json);
    struct buf out = BUF_INIT(4096);
    struct json_writer w = JSON_WRITER(&out);

    (void)state;
    bq_schema_write(&w, NULL, &s, false);
    assert_string_equal(out.p, again);
    buf_clear(&out);
    bq_field_sql(&out, &s.field[1]);
    buf_add_char(&out, ' ');
    bq_field_sql(&out, &s.field[2]);
    assert_string_equal(out.p, "ARRAY<STRUCT<s STRING(10)>> NUMERIC(10, 2)");
    buf_release(&out);
    arena_release(&a);
}

/* Goal: a schema that no table can have is refused. */
static void test_bad_schemas_are_refused(void **state)
{
    static const char *const cases[] = {
        "[{\"name\":\"\",\"type\":\"STRING\"}]",
        "[{\"type\":\"STRING\"}]",
        "[{\"name\":\"a\"}]",
        "[{\"name\":\"a\",\"type\":\"TEXTISH\"}]",
        "[{\"name\":\"a\",\"type\":\"STRING\",\"mode\":\"MAYBE\"}]",
        "[{\"name\":\"a\",\"type\":\"RECORD\"}]",
        "[{\"name\":\"a\",\"type\":\"STRING\"},{\"name\":\"A\",\"type\":\"STRING\"}]",
        "[{\"name\":\"a.b\",\"type\":\"STRING\"}]",
        "[{\"name\":\"_TABLE_SUFFIX\",\"type\":\"STRING\"}]",
        "[{\"name\":\"a\",\"type\":\"RANGE\"}]",
        "{\"fields\":7}",
    };
    struct arena a = { 0 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct bq_schema s;
        struct error e = { 0 };
        if (bq_schema_parse(str_of(cases[i]), &a, &s, &e) == 0)
            fail_msg("accepted: %s", cases[i]);
        assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
    }
    arena_release(&a);
}

/* Goal: records are read up to their depth, and no further. */
static void test_records_have_a_depth(void **state)
{
    struct arena a = { 0 };

    (void)state;
    for (int deep = BQ_DEPTH_MAX - 1; deep <= BQ_DEPTH_MAX; deep++) {
        struct buf json = BUF_INIT(64 * 1024);
        struct bq_schema s;
        struct error e = { 0 };
        for (int i = 0; i < deep; i++)
            buf_add_c(&json, "[{\"name\":\"r\",\"type\":\"RECORD\",\"fields\":");
        buf_add_c(&json, "[{\"name\":\"x\",\"type\":\"STRING\"}]");
        for (int i = 0; i < deep; i++)
            buf_add_c(&json, "}]");
        assert_int_equal(bq_schema_parse(buf_str(&json), &a, &s, &e), deep < BQ_DEPTH_MAX ? 0 : -1);
        buf_release(&json);
    }
    arena_release(&a);
}

/* Goal: tables may get columns and lose REQUIRED; everything else is a change that is refused. */
static void test_a_table_may_only_become_wider(void **state)
{
    static const char old[] = "[{\"name\":\"a\",\"type\":\"STRING\",\"mode\":\"REQUIRED\"},"
                              "{\"name\":\"r\",\"type\":\"RECORD\",\"fields\":[{\"name\":\"x\","
                              "\"type\":\"STRING\"}]}]";
    static const struct {
        const char *next;
        bool may;
    } cases[] = {
        { "[{\"name\":\"A\",\"type\":\"STRING\"},{\"name\":\"r\",\"type\":\"RECORD\",\"fields\":["
          "{\"name\":\"x\",\"type\":\"STRING\"},{\"name\":\"y\",\"type\":\"DATE\"}]},"
          "{\"name\":\"b\",\"type\":\"JSON\"}]",
          true },
        { "[{\"name\":\"a\",\"type\":\"STRING\"}]", false },
        { "[{\"name\":\"a\",\"type\":\"INTEGER\"},{\"name\":\"r\",\"type\":\"RECORD\",\"fields\":["
          "{\"name\":\"x\",\"type\":\"STRING\"}]}]",
          false },
        { "[{\"name\":\"a\",\"type\":\"STRING\"},{\"name\":\"r\",\"type\":\"RECORD\",\"fields\":["
          "{\"name\":\"y\",\"type\":\"STRING\"}]}]",
          false },
        { "[{\"name\":\"a\",\"type\":\"STRING\"},{\"name\":\"r\",\"type\":\"RECORD\",\"fields\":["
          "{\"name\":\"x\",\"type\":\"STRING\"}]},{\"name\":\"b\",\"type\":\"STRING\",\"mode\":"
          "\"REQUIRED\"}]",
          false },
    };
    struct arena a = { 0 };
    struct bq_schema before = parse(&a, old);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct bq_schema next = parse(&a, cases[i].next);
        struct error e = { 0 };
        int rc = bq_schema_may_become(&before, &next, STR("p:d.t"), &e);
        if (rc != (cases[i].may ? 0 : -1))
            fail_msg("case %zu: %s", i, e.msg);
    }
    arena_release(&a);
}

/* Goal: parameters of all shapes become fields and cells. */
static void test_parameters_become_fields_and_cells(void **state)
{
    static const char json[] =
        "[{\"name\":\"s\",\"parameterType\":{\"type\":\"STRUCT\",\"structTypes\":[{\"name\":\"a\","
        "\"type\":{\"type\":\"ARRAY\",\"arrayType\":{\"type\":\"INT64\"}}}]},"
        "\"parameterValue\":{\"structValues\":{\"a\":{\"arrayValues\":[{\"value\":\"1\"},"
        "{\"value\":\"2\"}]}}}},"
        "{\"name\":\"t\",\"parameterType\":{\"type\":\"TIMESTAMP\"},\"parameterValue\":{\"value\":"
        "\"1970-01-01 00:00:01+00:00\"}},"
        "{\"name\":\"z\",\"parameterType\":{\"type\":\"STRING\"},\"parameterValue\":{\"value\":"
        "null}}]";
    struct arena a = { 0 };
    struct bq_parameters p;
    struct error e = { 0 };
    size_t at;
    yyjson_val *list = json_parse(&a, str_of(json), &at, &e);

    (void)state;
    assert_int_equal(bq_parameters_read(list, &a, &p, &e), 0);
    assert_int_equal(p.count, 3);
    assert_int_equal(p.item[0].type.type, BQ_RECORD);
    assert_string_equal(p.item[0].value.text.p, "{\"f\":[{\"v\":[{\"v\":\"1\"},{\"v\":\"2\"}]}]}");
    assert_string_equal(p.item[1].value.text.p, "1000000");
    assert_true(p.item[2].value.null);
    arena_release(&a);
}

/* Goal: a job survives its record: what was written is read again. */
static void test_a_job_survives_its_record(void **state)
{
    struct arena a = { 0 };
    struct bq_field f = { .name = STR("x"), .type = BQ_INTEGER };
    struct bq_job j = {
        .project = STR("p"),
        .id = STR("job_1"),
        .location = STR("US"),
        .user = STR("u@p"),
        .kind = BQ_JOB_QUERY,
        .state = BQ_DONE,
        .created_ms = 1,
        .started_ms = 2,
        .ended_ms = 3,
        .configuration = STR("{\"jobType\":\"QUERY\",\"query\":{\"query\":\"SELECT 1\"}}"),
        .statistics = STR("{\"statementType\":\"SELECT\"}"),
        .fault = { { STR("invalidQuery"), STR("query"), STR("bad") } },
        .fault_count = 1,
        .failed = true,
        .error_http = 400,
        .result = { .statement = STR("SELECT"),
                    .destination = { STR("p"), STR("_d"), STR("anon") },
                    .schema = { &f, 1 },
                    .has_rows = true,
                    .rows = 9 },
        .blob = 4,
        .scoped = true,
    };
    struct bq_job again;
    struct error e = { 0 };
    struct buf text = BUF_INIT(65536), second = BUF_INIT(65536);
    struct json_writer w = JSON_WRITER(&text);

    (void)state;
    bq_job_write(&w, NULL, &j, BQ_JOB_STORED, STR(""));
    assert_int_equal(bq_job_read(buf_str(&text), &a, &again, &e), 0);
    w = JSON_WRITER(&second);
    bq_job_write(&w, NULL, &again, BQ_JOB_STORED, STR(""));
    assert_string_equal(text.p, second.p);
    buf_clear(&second);
    w = JSON_WRITER(&second);
    bq_job_write(&w, NULL, &again, BQ_JOB_FULL, STR("http://h"));
    assert_true(str_find(buf_str(&second), STR("\"tranche\"")) == SIZE_MAX);
    buf_release(&text);
    buf_release(&second);
    arena_release(&a);
}

/* Goal: no failure that stays gets a reason that clients retry for minutes. */
static void test_only_what_passes_by_itself_is_retried(void **state)
{
    static const char *const retried[] = { "rateLimitExceeded", "backendError", "internalError",
                                           "badGateway" };

    (void)state;
    for (int code = ERROR_CANCELLED; code < ERROR_CODE_COUNT; code++) {
        const struct error e = { .code = (enum error_code)code };
        for (int where = BQ_IN_CALL; where <= BQ_IN_QUERY; where++) {
            const struct bq_reason why = bq_reason_of(&e, (enum bq_where)where);
            bool again = false;
            for (size_t i = 0; i < ARRAY_LEN(retried); i++)
                again |= str_eq_c(str_of(why.reason), retried[i]);
            assert_int_equal(again, code == ERROR_UNAVAILABLE);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_schema_comes_back_as_it_was_given),
        cmocka_unit_test(test_bad_schemas_are_refused),
        cmocka_unit_test(test_records_have_a_depth),
        cmocka_unit_test(test_a_table_may_only_become_wider),
        cmocka_unit_test(test_parameters_become_fields_and_cells),
        cmocka_unit_test(test_a_job_survives_its_record),
        cmocka_unit_test(test_only_what_passes_by_itself_is_retried),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
