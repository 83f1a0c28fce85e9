/* Goal: a session does what every predictor must, whatever its runtime. Method: the suite over the fake
 * runtime, so that it needs no model; a picture is the request that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "conform/predict/predictor_suite.h"
#include "predict/local/session.h"
#include "unit/predict/local/runtime_fake.h"

static struct predictor *open_session(const struct model *m, const struct predictor_env *env,
                                      struct error *e)
{
    const struct batcher_plan plan = { .sequences = 4, .rows_max = 64 };

    (void)m;
    return session_open(&fake_open(1024, 8, 64)->base, false, &plan, env, e);
}

static const struct predictor_env *fresh_env(void)
{
    static struct predictor_env env;

    env = (struct predictor_env){ .clock = clock_system(), .seed = 1 };
    return &env;
}

static const struct model model = { .pattern = "fake" };

static const char *const lines[] = {
    "{\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Say hello 4>\"}]}],"
    "\"generationConfig\":{\"temperature\":0}}}",
    "{\"contents\":{\"parts\":{\"text\":\"Name a fruit 3>\"}},\"system_instruction\":{\"parts\":[{"
    "\"text\":\"You are a chef.\"}]}}",
    "{\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Yes or no?\"}]}],"
    "\"generationConfig\":{\"maxOutputTokens\":4,\"candidateCount\":2,\"seed\":3}}}",
};

const struct predictor_suite suite = {
    .open = open_session,
    .model = &model,
    .env = fresh_env,
    .line = lines,
    .line_count = ARRAY_LEN(lines),
    .bad_line = "{\"contents\":[{\"parts\":[{\"text\":\"What is this?\"},{\"inlineData\":{"
                "\"mimeType\":\"image/png\",\"data\":\"iVBORw0KGgo=\"}}]}]}",
};

int main(void)
{
    const struct CMUnitTest tests[] = { PREDICTOR_SUITE_TESTS };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
