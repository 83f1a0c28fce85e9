/* Goal: the fake does what every predictor must. Method: the suite, on a script with delays and a
 * fault, over a fake clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#include "conform/predict/predictor_suite.h"

static const struct model fake = {
    .pattern = "tranche-fake",
    .kind = MODEL_FAKE,
    .fake = { .delay_ms = 20,
              .jitter_ms = 100,
              .delay_token_us = 500,
              .window = 8,
              .fault = { { .match = "please fail", .code = ERROR_INVALID_ARGUMENT } },
              .fault_count = 1 },
};

static const struct predictor_env *fresh_env(void)
{
    static struct clock clock;
    static const struct predictor_env env = { .clock = &clock, .seed = 1 };

    clock = clock_fake(0);
    return &env;
}

static const char *const lines[] = {
    "{\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"What is a "
    "tranche?\"}]}]}}",
    "{\"contents\":{\"parts\":{\"text\":\"One "
    "thing\"}},\"system_instruction\":{\"parts\":[{\"text\":"
    "\"You are a chef.\"}]}}",
    "{\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a b c d e\"}]}],"
    "\"generationConfig\":{\"maxOutputTokens\":3,\"temperature\":0}}}",
};

const struct predictor_suite suite = {
    .open = predictor_fake_open,
    .model = &fake,
    .env = fresh_env,
    .line = lines,
    .line_count = ARRAY_LEN(lines),
    .bad_line = "{\"contents\":[{\"parts\":[{\"text\":\"please fail\"}]}]}",
};

int main(void)
{
    const struct CMUnitTest tests[] = { PREDICTOR_SUITE_TESTS };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
