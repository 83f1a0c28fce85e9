/* Metrics: every event is counted once, the text is what Prometheus reads, and memory has an end. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/metric.h"

#define TEXT_MAX ((size_t)16 * 1024 * 1024)
#define THREADS 4
#define TIMES 20000

static void expect_text(const char *wanted)
{
    struct buf out = BUF_INIT(TEXT_MAX);

    metric_write(&out);
    assert_true(buf_ok(&out));
    if (str_find(buf_str(&out), str_of(wanted)) == SIZE_MAX)
        fail_msg("wanted:\n%s\ngot:\n%.*s", wanted, STR_ARG(buf_str(&out)));
    buf_release(&out);
}

static void test_series_of_a_name_stand_together_below_its_help_and_type(void **state)
{
    (void)state;
    metric_add(metric_counter("t_lines_total", "Lines", "outcome=\"ok\""), 3);
    metric_set(metric_gauge("t_open", "Open now", NULL), 2.5);
    metric_add(metric_counter("t_lines_total", "Lines", "outcome=\"bad\""), 1);
    metric_add(metric_counter("t_lines_total", "Lines", "outcome=\"ok\""), 4);
    expect_text("# HELP t_lines_total Lines\n# TYPE t_lines_total counter\n"
                "t_lines_total{outcome=\"bad\"} 1\nt_lines_total{outcome=\"ok\"} 7\n"
                "# HELP t_open Open now\n# TYPE t_open gauge\nt_open 2.5\n");
}

static void test_a_histogram_counts_what_is_at_most_its_bounds(void **state)
{
    struct metric *m = metric_histogram("t_seconds", "Time", "verb=\"get\"");

    (void)state;
    metric_observe(m, 0.001);
    metric_observe(m, 0.0011);
    metric_observe(m, -1);
    metric_observe(m, 1000);
    assert_int_equal(metric_value(m), 4);
    expect_text("# TYPE t_seconds histogram\n"
                "t_seconds_bucket{verb=\"get\",le=\"0.001\"} 2\n"
                "t_seconds_bucket{verb=\"get\",le=\"0.0025\"} 3\n");
    expect_text("t_seconds_bucket{verb=\"get\",le=\"100\"} 3\n"
                "t_seconds_bucket{verb=\"get\",le=\"+Inf\"} 4\n"
                "t_seconds_sum{verb=\"get\"} 1000.0021\n"
                "t_seconds_count{verb=\"get\"} 4\n");
    metric_observe(metric_histogram("t_plain_seconds", "Time", NULL), 1);
    expect_text("t_plain_seconds_bucket{le=\"1\"} 1\n");
}

/* Each thread asks for the series again at every event, so that making them races as well. */
static void *count_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < TIMES; i++) {
        char labels[32];
        (void)snprintf(labels, sizeof labels, "n=\"%d\"", i % 8);
        metric_add(metric_counter("t_raced_total", "Raced", labels), 1);
        metric_observe(metric_histogram("t_raced_seconds", "Raced", NULL), 0.002);
    }
    return NULL;
}

static void test_no_event_of_any_thread_is_lost(void **state)
{
    pthread_t thread[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, count_many, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    for (int i = 0; i < 8; i++) {
        char labels[32];
        (void)snprintf(labels, sizeof labels, "n=\"%d\"", i);
        assert_int_equal(metric_value(metric_counter("t_raced_total", "Raced", labels)),
                         THREADS * TIMES / 8);
    }
    expect_text("t_raced_seconds_sum 160\n");
}

static void *add_tenths(void *arg)
{
    for (int i = 0; i < TIMES; i++)
        metric_add_real(arg, 0.25);
    return NULL;
}

static void test_a_counter_of_fractions_loses_nothing_and_can_be_set(void **state)
{
    struct metric *m = metric_counter_real("t_cost_usd_total", "Cost", NULL);
    pthread_t thread[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, add_tenths, m), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    expect_text("# TYPE t_cost_usd_total counter\nt_cost_usd_total 20000\n");
    metric_set(m, 7.5);
    expect_text("t_cost_usd_total 7.5\n");
}

static void test_the_values_of_labels_are_escaped_and_cut(void **state)
{
    char labels[METRIC_LABELS_BYTES], many[METRIC_LABELS_BYTES], value[METRIC_LABEL_BYTES + 2];

    (void)state;
    metric_labels(labels, (const char *const[]){ "a", "x\"y\\z\n", "b", "", NULL });
    assert_string_equal(labels, "a=\"x\\\"y\\\\z\\n\",b=\"\"");
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    metric_labels(labels, (const char *const[]){ "a", value, NULL });
    assert_int_equal(strlen(labels), strlen("a=\"\"") + METRIC_LABEL_BYTES);
    memset(value, '"', sizeof value - 1);
    metric_labels(many, (const char *const[]){ "a", value, "b", value, NULL });
    assert_string_equal(many, "");
}

/* Last, as it fills the table for good. */
static void test_beyond_the_limit_one_series_takes_what_comes(void **state)
{
    char labels[METRIC_LABELS_BYTES + 1];
    struct metric *other;

    (void)state;
    memset(labels, 'x', METRIC_LABELS_BYTES);
    labels[METRIC_LABELS_BYTES - 1] = '\0';
    struct metric *longest = metric_counter("t_long_total", "Long", labels);
    labels[METRIC_LABELS_BYTES - 1] = 'x';
    labels[METRIC_LABELS_BYTES] = '\0';
    other = metric_counter("t_long_total", "Long", labels);
    assert_ptr_not_equal(longest, other);
    for (int i = 0; i < METRIC_SERIES_MAX; i++) {
        (void)snprintf(labels, sizeof labels, "i=\"%d\"", i);
        metric_add(metric_counter("t_many_total", "Many", labels), 1);
    }
    assert_ptr_equal(metric_counter("t_new_total", "New", NULL), other);
    uint64_t before = metric_value(other);
    assert_true(before > 0);
    metric_observe(metric_histogram("t_new_seconds", "New", NULL), 1);
    metric_set(metric_gauge("t_new", "New", NULL), 1);
    assert_int_equal(metric_value(other), before + 2);
    expect_text("\n# TYPE tranche_metrics_dropped_total counter\ntranche_metrics_dropped_total ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_series_of_a_name_stand_together_below_its_help_and_type),
        cmocka_unit_test(test_a_histogram_counts_what_is_at_most_its_bounds),
        cmocka_unit_test(test_no_event_of_any_thread_is_lost),
        cmocka_unit_test(test_a_counter_of_fractions_loses_nothing_and_can_be_set),
        cmocka_unit_test(test_the_values_of_labels_are_escaped_and_cut),
        cmocka_unit_test(test_beyond_the_limit_one_series_takes_what_comes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
