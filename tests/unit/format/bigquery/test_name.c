/* bq:// URIs: the parts of each form that jobs may name, and what is none. */
#include "format/bigquery/name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"

static void test_a_uri_is_a_project_a_dataset_and_a_table(void **state)
{
    static const struct {
        const char *uri, *project, *dataset, *table;
    } cases[] = {
        { "bq://p", "p", "", "" },
        { "bq://my-project.ds", "my-project", "ds", "" },
        { "bq://my-project.ds.t", "my-project", "ds", "t" },
        { "bq://example.com:my-project.ds.t", "example.com:my-project", "ds", "t" },
        { "bq://example.com:my-project", "example.com:my-project", "", "" },
        { "bq://p._1f.anon2", "p", "_1f", "anon2" },
        { "bq://p.d.a table-1", "p", "d", "a table-1" },
        { "bq://p.d.\xc3\xa9t\xc3\xa9", "p", "d", "\xc3\xa9t\xc3\xa9" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct bq_name n;
        struct buf again = BUF_INIT(100);
        if (!bq_split(str_of(cases[i].uri), &n))
            fail_msg("%s", cases[i].uri);
        assert_true(str_eq_c(n.project, cases[i].project));
        assert_true(str_eq_c(n.dataset, cases[i].dataset));
        assert_true(str_eq_c(n.table, cases[i].table));
        bq_add(&again, &n);
        assert_string_equal(again.p, cases[i].uri);
        buf_release(&again);
    }
}

static void test_what_has_no_scheme_or_a_name_that_cannot_be_is_none(void **state)
{
    static const char *const none[] = {
        "",           "bq://",        "p.d.t",        "bq:/p.d.t",    "BQ://p.d.t",   "gs://p.d.t",
        "bq://p.",    "bq://.d.t",    "bq://p..t",    "bq://p.d.",    "bq://p.d.t.u", "bq://p.d.t*",
        "bq://p/d",   "bq://p.d-e.t", "bq://p.d.t$1", "bq://p.d.`t`", "bq://p:d.t.",  "bq://p.d/t",
        "bq://p d.t",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        struct bq_name n;
        if (bq_split(str_of(none[i]), &n))
            fail_msg("%s", none[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_uri_is_a_project_a_dataset_and_a_table),
        cmocka_unit_test(test_what_has_no_scheme_or_a_name_that_cannot_be_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
