/* accepts_tools.c -- tools and their choice: what the OpenAI dialect cannot say of them. */
#include "format/openai/openai_inner.h"

#include <stdio.h>

// clang-format off
static const struct openai_unsayable of_tool_config[] = {
    { "retrievalConfig",                 REMOVE_OR_GEMINI },
    { "includeServerSideToolInvocations", REMOVE_OR_GEMINI },
};
static const struct openai_unsayable of_calling[] = {
    { "streamFunctionCallArguments", "Remove it: answers come as a whole." },
};
static const struct openai_unsayable of_function[] = {
    { "response",           "Say in description what it returns." },
    { "responseJsonSchema", "Say in description what it returns." },
};
// clang-format on

static bool function_accepts(yyjson_val *function, const char *path, struct violation *why)
{
    yyjson_val *google = request_field(function, "parameters");
    yyjson_val *json = request_field(function, "parametersJsonSchema");
    char below[VIOLATION_PATH_BYTES];

    (void)snprintf(below, sizeof below, "%s.", path);
    if (!openai_all_silent(function, of_function, ARRAY_LEN(of_function), below, why))
        return false;
    if (str_eq_c(json_str(request_field(function, "behavior")), "NON_BLOCKING"))
        return openai_refuse(why,
                             "A function that does not block cannot be said to an OpenAI server.",
                             "Remove behavior.", "%s.behavior", path);
    (void)snprintf(below, sizeof below, "%s.%s", path,
                   google ? "parameters" : "parametersJsonSchema");
    return (!google && !json) || openai_schema_accepts(google ? google : json, google, below, why);
}

/* A tool holds functions and nothing else: the others are run by Google. */
static bool tool_accepts(yyjson_val *tool, size_t index, struct violation *why)
{
    struct values functions = values_of(request_field(tool, "functionDeclarations"));
    size_t i, max;
    yyjson_val *key, *value;
    char path[OPENAI_PLACE_BYTES];

    yyjson_obj_foreach(tool, i, max, key, value)
    {
        if (yyjson_is_null(value) || field_named("functionDeclarations", json_str(key)))
            continue;
        return openai_refuse(why, "An OpenAI server runs no tools of Google's.",
                             "Remove it, and put what it would find into contents.",
                             "tools[%zu].%.*s", index, STR_ARG(json_str(key)));
    }
    while ((value = values_next(&functions))) {
        (void)snprintf(path, sizeof path, "tools[%zu].functionDeclarations[%zu]", index,
                       functions.index - 1);
        if (!function_accepts(value, path, why))
            return false;
    }
    return true;
}

static bool choice_accepts(const struct request *r, struct violation *why)
{
    static const char at[] = "toolConfig.functionCallingConfig";
    struct openai_functions it = openai_functions_of(r);
    struct openai_choice c = openai_choice_of(r);
    size_t count = 0;

    while (openai_functions_next(&it))
        count++;
    if (count > OPENAI_FUNCTIONS_MAX)
        return openai_refuse(why, "There are too many functions for an OpenAI server.",
                             "Declare at most 512 in all tools.", "tools");
    if (values_of(c.allowed).count > OPENAI_FUNCTIONS_MAX)
        return openai_refuse(why, "There are too many names of allowed functions.",
                             "Name at most 512, or none: then all are allowed.",
                             "%s.allowedFunctionNames", at);
    if (count && !c.count && c.calling != CALLING_NONE)
        return openai_refuse(why, "None of the allowed functions is declared.",
                             "Declare one of them, or remove allowedFunctionNames.",
                             "%s.allowedFunctionNames", at);
    if (!c.count && c.calling == CALLING_ANY)
        return openai_refuse(why, "A function must be called, but none is declared.",
                             "Declare it in tools, or remove the mode.", "%s.mode", at);
    return true;
}

bool openai_tools_accept(const struct request *r, struct violation *why)
{
    yyjson_val *calling = request_field(r->tool_config, "functionCallingConfig");
    struct values it = values_of(r->tools);
    yyjson_val *tool;

    if (!r->tools && !r->tool_config)
        return true;
    if (!openai_all_silent(r->tool_config, of_tool_config, ARRAY_LEN(of_tool_config), "toolConfig.",
                           why) ||
        !openai_all_silent(calling, of_calling, ARRAY_LEN(of_calling),
                           "toolConfig.functionCallingConfig.", why))
        return false;
    if (!choice_accepts(r, why))
        return false;
    while ((tool = values_next(&it)))
        if (!tool_accepts(tool, it.index - 1, why))
            return false;
    return true;
}
