/* local_model.h -- the small model that set-up provides, for tests of the embedded engine.
 *
 * Why: these tests need real weights; where they are not set up, the tests say so and are skipped.
 *
 * Threads: one. Include after cmocka.h.
 */
#ifndef TRANCHE_TESTS_LOCAL_MODEL_H
#define TRANCHE_TESTS_LOCAL_MODEL_H

#include <stdio.h>
#include <unistd.h>

#include "predict/model.h"

#define LOCAL_MODEL_FILE TRANCHE_MODELS "/smollm2-135m-instruct.gguf"

/* One thread and a small cache: tests share the machine. */
static const struct model local_model = {
    .pattern = "smollm2-135m-instruct",
    .kind = MODEL_LOCAL,
    .file = LOCAL_MODEL_FILE,
    .context = 1024,
    .sequences = 4,
    .threads = 1,
    .cache_mib = 48,
};

static inline void test_skipped_without_the_model(void **state)
{
    (void)state;
    (void)fprintf(stderr, "%s is absent: run scripts/setup\n", LOCAL_MODEL_FILE);
    skip();
}

static inline bool has_local_model(void)
{
    return access(LOCAL_MODEL_FILE, R_OK) == 0;
}

/* The result for main: that of the tests, or of one skipped test. */
#define RUN_WITH_LOCAL_MODEL(tests, setup, teardown)                                               \
    (has_local_model() ? cmocka_run_group_tests(tests, setup, teardown) : run_skipped())

static inline int run_skipped(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_skipped_without_the_model) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
