/* Goal: libllama does what every runtime must. Method: the suite on the small model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conform/predict/local/runtime_suite.h"
#include "predict/local/llama/runtime_llama.h"
#include "unit/predict/local/local_model.h"

static struct runtime *open_runtime(void)
{
    const struct runtime_settings settings = {
        .sequences = 2, .rows_max = 2 * SUITE_ROWS, .threads = 1, .context = 512, .cache_mib = 24
    };
    struct error e = { 0 };
    struct runtime *r = runtime_llama_open(&local_model, &settings, &e);

    if (!r)
        fail_msg("%s", e.msg);
    return r;
}

const struct runtime_suite suite = {
    .open = open_runtime, .tolerance = 0.5f, /* its products depend on the batch */
};

int main(void)
{
    const struct CMUnitTest tests[] = { RUNTIME_SUITE_TESTS };

    return RUN_WITH_LOCAL_MODEL(tests, NULL, NULL);
}
