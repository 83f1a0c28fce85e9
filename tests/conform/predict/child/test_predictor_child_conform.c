/* Goal: the embedded engine in a process of its own does what every predictor must. Method: this program starts
 * itself; the suite on the small model, with short answers; a picture, which a text model cannot take, is the request that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/sandbox.h"
#include "conform/predict/predictor_suite.h"
#include "predict/child/predictor_child.h"
#include "unit/predict/local/local_model.h"

static const struct predictor_env *fresh_env(void)
{
    static struct predictor_env env;

    env = (struct predictor_env){ .clock = clock_system(), .seed = 1 };
    return &env;
}

static const char *const lines[] = {
    "{\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Say hello.\"}]}],"
    "\"generationConfig\":{\"temperature\":0,\"maxOutputTokens\":4}}}",
    "{\"contents\":{\"parts\":{\"text\":\"Name a fruit.\"}},\"system_instruction\":{\"parts\":[{"
    "\"text\":\"You are a chef.\"}]},\"generationConfig\":{\"maxOutputTokens\":4}}",
    "{\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Yes or no?\"}]}],"
    "\"generationConfig\":{\"maxOutputTokens\":4,\"candidateCount\":2,\"seed\":3}}}",
};

const struct predictor_suite suite = {
    .open = predictor_child_open,
    .model = &local_model,
    .env = fresh_env,
    .line = lines,
    .line_count = ARRAY_LEN(lines),
    .bad_line = "{\"contents\":[{\"parts\":[{\"text\":\"What is this?\"},{\"inlineData\":{"
                "\"mimeType\":\"image/png\",\"data\":\"iVBORw0KGgo=\"}}]}]}",
};

int main(int argc, char **argv)
{
    static const struct sandbox_role roles[] = { { CHILD_ROLE, child_main } };
    const struct CMUnitTest tests[] = { PREDICTOR_SUITE_TESTS };

    sandbox_entry(argc, argv, roles, ARRAY_LEN(roles));
    return RUN_WITH_LOCAL_MODEL(tests, NULL, NULL);
}
