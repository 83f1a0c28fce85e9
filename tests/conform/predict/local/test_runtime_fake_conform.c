/* Goal: the fake runtime, which the batcher's tests trust, does what every runtime must. Method: the
 * suite. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conform/predict/local/runtime_suite.h"
#include "unit/predict/local/runtime_fake.h"

static struct runtime *open_runtime(void)
{
    return &fake_open(2 * SUITE_ROWS, 4, SUITE_ROWS)->base;
}

const struct runtime_suite suite = {
    .open = open_runtime,
};

int main(void)
{
    const struct CMUnitTest tests[] = { RUNTIME_SUITE_TESTS };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
