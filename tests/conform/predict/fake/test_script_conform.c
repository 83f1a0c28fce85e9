/* Goal: a scripted predictor does what every predictor must. Method: the suite, around the fake, with
 * labels that delay, fail and do nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conform/predict/predictor_suite.h"
#include "base/mem.h"
#include "predict/fake/script.h"

static const struct model fake = {
    .pattern = "tranche-fake",
    .kind = MODEL_FAKE,
    .fake = { .delay_ms = 20, .jitter_ms = 100, .window = 8 },
};

static const struct predictor_env *fresh_env(void)
{
    static struct clock clock;
    static const struct predictor_env env = { .clock = &clock, .seed = 1 };

    clock = clock_fake(0);
    return &env;
}

static struct predictor *scripted_open(const struct model *m, const struct predictor_env *env,
                                       struct error *e)
{
    struct predictor *inner = predictor_fake_open(m, env, e);

    return inner ? predictor_scripted(inner, "delay-50", env->clock, e) : NULL;
}

static const char *const lines[] = {
    "{\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"What is a "
    "tranche?\"}]}]}}",
    "{\"contents\":{\"parts\":{\"text\":\"One thing\"}},\"labels\":{\"tranche-test\":\"ok\"}}",
    "{\"contents\":{\"parts\":{\"text\":\"a b c\"}},\"labels\":{\"tranche-test\":\"delay-7\"}}",
};

const struct predictor_suite suite = {
    .open = scripted_open,
    .model = &fake,
    .env = fresh_env,
    .line = lines,
    .line_count = ARRAY_LEN(lines),
    .bad_line = "{\"contents\":[{\"parts\":[{\"text\":\"x\"}]}],"
                "\"labels\":{\"tranche-test\":\"invalid_argument\"}}",
};

int main(void)
{
    const struct CMUnitTest tests[] = { PREDICTOR_SUITE_TESTS };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
