/* Goal: tables in BigQuery do what the interface says. Method: the suite of all kinds, over REST; BigQuery's part is
 * played by our own API over embedded tables. A restart forgets all that the client's side had in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "unit/api/service_case.h"

#include "conform/store/tables/tables_suite.h"

static struct tables *open_client(struct serving *w)
{
    const char *endpoint =
        arena_textf(&w->arena, "http://127.0.0.1:%u", http_server_port(w->server));
    const struct tables_bigquery settings = {
        .endpoint = endpoint,
        .dir = arena_textf(&w->arena, "%s/client", w->dir.dir),
        .retry_ms = 5000,
    };
    struct error e = { 0 };
    struct tables *t = tables_bigquery_open(&settings, clock_system(), &e);

    if (!t)
        fail_msg("%s", e.msg);
    return t;
}

void suite_begin(struct suite *s)
{
    struct serving *w = mem_alloc(sizeof *w);

    serving_with_tables = true;
    serving_start(w);
    s->own = w;
    s->rest = true;
    s->t = open_client(w);
}

void suite_end(struct suite *s)
{
    struct serving *w = s->own;

    s->t->ops->close(s->t);
    serving_stop(w);
    mem_free(w);
}

void suite_restart(struct suite *s)
{
    s->t->ops->close(s->t);
    s->t = open_client(s->own);
}

const char *suite_folder(const struct suite *s)
{
    const struct serving *w = s->own;

    return w->dir.dir;
}

/* ---- BigQuery's own ---- */

static void test_a_row_that_no_load_job_takes_is_refused_by_its_number(void **state)
{
    struct suite *s = *state;
    struct tables_write w = { .into.name = NAME("d", "t") };
    size_t len = 100 * 1000 * 1000;
    char *text = mem_alloc(len);
    const struct bq_cell cell[] = { { false, STR("short") }, { false, { text, len } } };
    const struct bq_batch batch = { cell, 2, 1 };
    int64_t position;

    memset(text, 'x', len);
    suite_dataset(s, "d");
    w.schema = suite_schema(s, "[{\"name\":\"a\",\"type\":\"STRING\"}]");
    struct tables_writer *writer = OPS->write(s->t, &w, &position, &s->e);
    assert_non_null(writer);
    FAILS(ERROR_INVALID_ARGUMENT, OPS->writer_append(writer, &batch, 1, &s->e));
    assert_string_equal(s->e.msg, "Row 2 is over 100 MB as JSON, more than BigQuery loads.");
    OPS->writer_close(writer, false);
    mem_free(text);
}

static void test_a_load_takes_one_file_and_a_key_once(void **state)
{
    struct suite *s = *state;
    const char *path[] = { suite_file(s, "one", "a\n1\n"), suite_file(s, "two", "a\n2\n") };
    struct tables_load l = { .into.name = NAME("d", "t"),
                             .path = path,
                             .path_count = 2,
                             .skip_rows = 1,
                             .schema = suite_schema(s, "[{\"name\":\"a\",\"type\":\"STRING\"}]"),
                             .key = STR("load") };
    struct tables_loaded out;

    suite_dataset(s, "d");
    FAILS(ERROR_UNIMPLEMENTED, OPS->load(s->t, &l, &s->arena, &out, &s->e));
    l.path_count = 1;
    OK(OPS->load(s->t, &l, &s->arena, &out, &s->e));
    suite_restart(s);
    OK(OPS->load(s->t, &l, &s->arena, &out, &s->e));
    assert_true(out.outcome.again);
    assert_string_equal(suite_rows(s, NAME("d", "t")), "1");
}

/* A job that failed gives its id up: the key can still be done. */
static void test_a_key_whose_job_failed_is_tried_under_another_id(void **state)
{
    struct suite *s = *state;
    struct tables_query q = { .project = STR(PROJECT),
                              .sql = STR("CREATE TABLE d.t AS SELECT a FROM d.missing"),
                              .key = STR("query") };
    struct tables_result out;

    suite_dataset(s, "d");
    FAILS(ERROR_NOT_FOUND, OPS->query(s->t, &q, &s->arena, &out, &s->e));
    suite_query(s, "CREATE TABLE d.missing AS SELECT 7 AS a");
    OK(OPS->query(s->t, &q, &s->arena, &out, &s->e));
    assert_false(out.again);
    OK(OPS->query(s->t, &q, &s->arena, &out, &s->e));
    assert_true(out.again);
    assert_string_equal(suite_rows(s, NAME("d", "t")), "7");
}

static void test_a_query_that_was_cancelled_before_it_began_does_not_begin(void **state)
{
    struct suite *s = *state;
    struct tables_cancel cancel;
    struct tables_query q = { .project = STR(PROJECT), .sql = STR("SELECT 1"), .cancel = &cancel };
    struct tables_result out;

    tables_cancel_init(&cancel);
    tables_cancel_now(&cancel);
    FAILS(ERROR_CANCELLED, OPS->query(s->t, &q, &s->arena, &out, &s->e));
    tables_cancel_release(&cancel);
}

static void test_settings_that_cannot_be_are_refused(void **state)
{
    const struct tables_bigquery cases[] = {
        { .endpoint = "bigquery.googleapis.com", .dir = "x" },
        { .project = "../x", .dir = "x" },
        { .dir = "x", .credential.secret_file = "/nothing" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error e = { 0 };
        assert_null(tables_bigquery_open(&cases[i], clock_system(), &e));
        assert_true(e.code == ERROR_INVALID_ARGUMENT || e.code == ERROR_NOT_FOUND);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TABLES_SUITE_TESTS,
        TABLES_TEST(test_a_row_that_no_load_job_takes_is_refused_by_its_number),
        TABLES_TEST(test_a_load_takes_one_file_and_a_key_once),
        TABLES_TEST(test_a_key_whose_job_failed_is_tried_under_another_id),
        TABLES_TEST(test_a_query_that_was_cancelled_before_it_began_does_not_begin),
        TABLES_TEST(test_settings_that_cannot_be_are_refused),
    };

    log_setup(LOG_WARN, LOG_TEXT);
    return cmocka_run_group_tests_name("tables bigquery conform", tests, NULL, NULL);
}
