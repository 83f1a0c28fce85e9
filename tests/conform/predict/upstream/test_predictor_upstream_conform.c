/* Goal: servers do what every predictor must, in both dialects. Method: the suite, on a session with a
 * server in this process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conform/predict/predictor_suite.h"
#include "base/mem.h"
#include "unit/predict/upstream/upstream_stub.h"

static struct stub stub;
static struct model far;

static const struct predictor_env *system_env(void)
{
    static struct predictor_env env = { .seed = 1 };

    env.clock = clock_system();
    return &env;
}

static const char *const lines[] = {
    "{\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"What is a "
    "tranche?\"}]}]}}",
    "{\"contents\":{\"parts\":{\"text\":\"One thing\"}}}",
    "{\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a b c d e\"}]}],"
    "\"generationConfig\":{\"maxOutputTokens\":3,\"temperature\":0}}}",
};

const struct predictor_suite suite = {
    .open = predictor_upstream_open,
    .model = &far,
    .env = system_env,
    .line = lines,
    .line_count = ARRAY_LEN(lines),
    .bad_line = "{\"contents\":[{\"parts\":[{\"text\":\"please fail\"}]}]}",
};

static int run_suite(enum upstream_wire wire, const char *name)
{
    const struct CMUnitTest tests[] = { PREDICTOR_SUITE_TESTS };

    stub_start(&stub, "stub", wire);
    far = (struct model){ .pattern = "far", .kind = MODEL_UPSTREAM, .upstream_count = 1 };
    far.upstream[0] =
        (struct model_upstream){ .upstream = &stub.upstream, .model = "far", .weight = 1 };
    int failed = cmocka_run_group_tests_name(name, tests, NULL, NULL);
    stub_end(&stub);
    return failed;
}

int main(void)
{
    struct error e = { 0 };

    if (http_client_init(&e) < 0)
        return 1;
    return run_suite(WIRE_OPENAI, "openai") + run_suite(WIRE_GEMINI, "gemini");
}
