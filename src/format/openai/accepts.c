/* accepts.c -- what the OpenAI dialect cannot say, found before any work.
 *
 * Fields that say nothing (false, an ..._UNSPECIFIED, an empty object) are let pass; what they would
 * ask for is not asked.
 */
#include "format/openai/openai_inner.h"

#include <stdarg.h>
#include <stdio.h>

#include "format/request/schema.h"

// clang-format off
static const struct openai_unsayable of_request[] = {
    { "continuationToken", REMOVE_OR_GEMINI },
    { "modelArmorConfig",  REMOVE_OR_GEMINI },
    { "outputConfig",      REMOVE_OR_GEMINI },
    { "serviceTier",       "Remove it: the configuration says which server answers." },
    { "store",             "Remove it: the server's operator decides what is kept." },
};
static const struct openai_unsayable of_generation[] = {
    { "mediaResolution",          "Remove it, and send images in the size that is wanted." },
    { "audioTimestamp",           REMOVE_OR_GEMINI },
    { "audioTranscriptionConfig", REMOVE_OR_GEMINI },
    { "speechConfig",             "Remove it: answers are text." },
    { "imageConfig",              "Remove it: answers are text." },
    { "routingConfig",            "Remove it: the configuration says which model answers." },
    { "modelSelectionConfig",     "Remove it: the configuration says which model answers." },
    { "enableAffectiveDialog",    REMOVE_OR_GEMINI },
    { "enableEnhancedCivicAnswers", REMOVE_OR_GEMINI },
    { "translationConfig",        REMOVE_OR_GEMINI },
};
// clang-format on

bool openai_refuse(struct violation *why, const char *message, const char *remedy, const char *path,
                   ...)
{
    va_list ap;

    *why = (struct violation){ 0 };
    va_start(ap, path);
    (void)vsnprintf(why->path, sizeof why->path, path, ap);
    va_end(ap);
    violation_message(why, "%s", message);
    violation_remedy(why, "%s", remedy);
    return false;
}

static bool says_nothing(yyjson_val *v)
{
    struct str s = json_str(v);

    return !v || yyjson_is_null(v) || yyjson_is_false(v) ||
           (yyjson_is_ctn(v) && unsafe_yyjson_get_len(v) == 0) ||
           (yyjson_is_str(v) && (!s.len || str_ends(s, STR("UNSPECIFIED"))));
}

bool openai_all_silent(yyjson_val *object, const struct openai_unsayable *u, size_t count,
                       const char *path, struct violation *why)
{
    for (size_t i = 0; i < count; i++) {
        char message[VIOLATION_TEXT_BYTES];
        if (says_nothing(request_field(object, u[i].field)))
            continue;
        (void)snprintf(message, sizeof message, "%s cannot be said to an OpenAI server.",
                       u[i].field);
        return openai_refuse(why, message, u[i].remedy, "%s%s", path, u[i].field);
    }
    return true;
}

/* ---- generationConfig, safetySettings ---- */

/* A level is an effort and 0 is off; but no number of tokens can be said that all servers keep. */
static bool thinking_accepts(yyjson_val *thinking, struct violation *why)
{
    int64_t budget;

    if (!request_integer(request_field(thinking, "thinkingBudget"), &budget) || budget <= 0)
        return true;
    return openai_refuse(
        why, "A budget of tokens for thoughts cannot be said to an OpenAI server.",
        "Write thinkingLevel LOW, MEDIUM or HIGH instead, or thinkingBudget 0 to turn "
        "thinking off.",
        "generationConfig.thinkingConfig.thinkingBudget");
}

bool openai_schema_accepts(yyjson_val *schema, bool google, const char *path, struct violation *why)
{
    struct buf text = BUF_INIT(SCHEMA_BYTES_MAX);
    struct error e = { 0 };
    char message[VIOLATION_TEXT_BYTES];
    int rc = openai_schema_write(schema, google, &text, &e);

    if (rc == 0 && !buf_ok(&text))
        rc = error_set(&e, ERROR_INVALID_ARGUMENT, "it is over %zu bytes", SCHEMA_BYTES_MAX);
    buf_release(&text);
    if (rc == 0)
        return true;
    (void)snprintf(message, sizeof message, "The schema is no JSON Schema: %.200s.", e.msg);
    return openai_refuse(why, message, "Mend the schema.", "%s", path);
}

static bool enum_accepts(const struct generation *g, const char *path, struct violation *why)
{
    struct values it = values_of(request_field(g->schema ? g->schema : g->json_schema, "enum"));
    yyjson_val *value;

    while ((value = values_next(&it)))
        if (!json_str(value).len)
            return openai_refuse(why, "A value of the enum is no string with text.",
                                 "Write each value as a string that is not empty.", "%s.enum",
                                 path);
    return true;
}

static bool generation_accepts(const struct request *r, struct violation *why)
{
    const struct generation *g = &r->generation;
    yyjson_val *config = request_field(r->root, "generationConfig");
    const char *path =
        g->schema ? "generationConfig.responseSchema" : "generationConfig.responseJsonSchema";

    if (!openai_all_silent(config, of_generation, ARRAY_LEN(of_generation), "generationConfig.",
                           why) ||
        !thinking_accepts(g->thinking, why))
        return false;
    if (g->form == ANSWER_ENUM)
        return enum_accepts(g, path, why);
    if (!g->schema && !g->json_schema)
        return true;
    return openai_schema_accepts(g->schema ? g->schema : g->json_schema, g->schema != NULL, path,
                                 why);
}

/* Who asks for a filter must not believe that there is one. */
static bool safety_accepts(yyjson_val *settings, struct violation *why)
{
    struct values it = values_of(settings);
    yyjson_val *setting;

    while ((setting = values_next(&it))) {
        struct str threshold = json_str(request_field(setting, "threshold"));
        if (!str_eq_c(threshold, "BLOCK_NONE") && !str_eq_c(threshold, "OFF") &&
            !str_ends(threshold, STR("_UNSPECIFIED")))
            return openai_refuse(why, "An OpenAI server has no safety filter that could be set.",
                                 "Remove the setting, or write OFF: answers are not filtered.",
                                 "safetySettings[%zu].threshold", it.index - 1);
    }
    return true;
}

bool openai_accepts(const struct request *r, struct violation *why)
{
    if (r->kind == REQUEST_EMBED)
        return openai_embed_accepts(r, why);
    return openai_all_silent(r->root, of_request, ARRAY_LEN(of_request), "", why) &&
           generation_accepts(r, why) &&
           safety_accepts(request_field(r->root, "safetySettings"), why) &&
           openai_tools_accept(r, why) && openai_contents_accept(r, why);
}
