/* Figures of a shared store: each call is timed, failures of a part are told from its answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/metric.h"
#include "store/db/store_metrics.h"

#define TEXT_MAX ((size_t)1024 * 1024)

static void expect_text(const char *wanted)
{
    struct buf out = BUF_INIT(TEXT_MAX);

    metric_write(&out);
    assert_true(buf_ok(&out));
    if (str_find(buf_str(&out), str_of(wanted)) == SIZE_MAX)
        fail_msg("wanted:\n%s\ngot:\n%.*s", wanted, STR_ARG(buf_str(&out)));
    buf_release(&out);
}

static void end_with(enum store_part part, const char *operation, enum error_code code)
{
    struct error e = { 0 };

    if (code != ERROR_OK)
        (void)error_set(&e, code, "no");
    store_call_end(part, operation, store_call_begin(), code == ERROR_OK ? NULL : &e);
}

static void test_each_call_is_timed_and_failures_are_counted_by_their_code(void **state)
{
    (void)state;
    end_with(STORE_DATABASE, "read", ERROR_OK);
    end_with(STORE_DATABASE, "read", ERROR_UNAVAILABLE);
    end_with(STORE_BUCKET, "put", ERROR_RESOURCE_EXHAUSTED);
    store_call_again(STORE_BUCKET, "put");
    store_call_again(STORE_BUCKET, "put");
    expect_text("tranche_database_seconds_count{operation=\"read\"} 2\n");
    expect_text("tranche_database_errors_total{operation=\"read\",code=\"UNAVAILABLE\"} 1\n");
    expect_text("tranche_bucket_errors_total{operation=\"put\",code=\"RESOURCE_EXHAUSTED\"} 1\n");
    expect_text("tranche_bucket_retries_total{operation=\"put\"} 2\n");
}

/* An object that is absent, and a fence that is an old one, are answers of a part that works. */
static void test_a_part_fails_until_it_answers_again(void **state)
{
    (void)state;
    end_with(STORE_BUCKET, "get", ERROR_UNAVAILABLE);
    assert_true(store_part_fails(STORE_BUCKET));
    end_with(STORE_DATABASE, "write", ERROR_ABORTED);
    assert_false(store_part_fails(STORE_DATABASE));
    end_with(STORE_BUCKET, "get", ERROR_NOT_FOUND);
    assert_false(store_part_fails(STORE_BUCKET));
}

static void test_events_of_the_fleet_are_counted(void **state)
{
    (void)state;
    store_count(STORE_SHARDS_LEASED, 3);
    store_count(STORE_SHARDS_LEASED, 2);
    store_count(STORE_FENCES_REFUSED, 1);
    expect_text("tranche_shards_leased_total 5\n");
    expect_text("tranche_stale_fences_total 1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_call_is_timed_and_failures_are_counted_by_their_code),
        cmocka_unit_test(test_a_part_fails_until_it_answers_again),
        cmocka_unit_test(test_events_of_the_fleet_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
