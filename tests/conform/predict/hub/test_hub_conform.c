/* Goal: a share does what every predictor must. Method: the suite, on a share of a hub over the fake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conform/predict/predictor_suite.h"
#include "base/mem.h"
#include "predict/hub/hub.h"

static const struct model fake = {
    .pattern = "tranche-fake",
    .kind = MODEL_FAKE,
    .fake = { .delay_ms = 2,
              .jitter_ms = 5,
              .window = 8,
              .fault = { { .match = "please fail", .code = ERROR_INVALID_ARGUMENT } },
              .fault_count = 1 },
};

static const struct predictor_env *system_env(void)
{
    static struct predictor_env env = { .seed = 1 };

    env.clock = clock_system();
    return &env;
}

/* The suite knows predictors only, so each hub is freed when the next is opened, or at the end. */
static struct hub *hub;

static struct predictor *share_open(const struct model *m, const struct predictor_env *env,
                                    struct error *e)
{
    const struct hub_share who = { .project = "p", .weight = 1 };

    hub_free(hub);
    hub = hub_new(m, env, predictor_fake_open);
    return hub_join(hub, &who, e);
}

static const char *const lines[] = {
    "{\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"What is a "
    "tranche?\"}]}]}}",
    "{\"contents\":{\"parts\":{\"text\":\"One thing\"}}}",
    "{\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a b c d e\"}]}],"
    "\"generationConfig\":{\"maxOutputTokens\":3,\"temperature\":0}}}",
};

const struct predictor_suite suite = {
    .open = share_open,
    .model = &fake,
    .env = system_env,
    .line = lines,
    .line_count = ARRAY_LEN(lines),
    .bad_line = "{\"contents\":[{\"parts\":[{\"text\":\"please fail\"}]}]}",
};

int main(void)
{
    const struct CMUnitTest tests[] = { PREDICTOR_SUITE_TESTS };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    hub_free(hub);
    return failed;
}
