/* local_suite.h -- what the suite of predictors asks of the embedded engine, in this process and in one of its own.
 *
 * Why: both must do the same with the same lines: short answers of the small model, and as the request that fails a
 *      picture, which a text model cannot take.
 * Threads: one. Include after cmocka.h.
 */
#ifndef TRANCHE_TESTS_LOCAL_SUITE_H
#define TRANCHE_TESTS_LOCAL_SUITE_H

#include "base/mem.h"
#include "conform/predict/predictor_suite.h"
#include "unit/predict/local/local_model.h"

static inline const struct predictor_env *local_env(void)
{
    static struct predictor_env env;

    env = (struct predictor_env){ .clock = clock_system(), .seed = 1 };
    return &env;
}

static const char *const local_lines[] = {
    "{\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Say hello.\"}]}],"
    "\"generationConfig\":{\"temperature\":0,\"maxOutputTokens\":4}}}",
    "{\"contents\":{\"parts\":{\"text\":\"Name a fruit.\"}},\"system_instruction\":{\"parts\":[{"
    "\"text\":\"You are a chef.\"}]},\"generationConfig\":{\"maxOutputTokens\":4}}",
    "{\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Yes or no?\"}]}],"
    "\"generationConfig\":{\"maxOutputTokens\":4,\"candidateCount\":2,\"seed\":3}}}",
};

/* The suite's description, for an opener. */
#define LOCAL_SUITE(opener)                                                                        \
    {                                                                                              \
        .open = opener, .model = &local_model, .env = local_env, .line = local_lines,              \
        .line_count = ARRAY_LEN(local_lines), .bad_line = LOCAL_BAD_LINE,                          \
    }
#define LOCAL_BAD_LINE                                                                             \
    "{\"contents\":[{\"parts\":[{\"text\":\"What is this?\"},{\"inlineData\":{"                    \
    "\"mimeType\":\"image/png\",\"data\":\"iVBORw0KGgo=\"}}]}]}"

#endif
