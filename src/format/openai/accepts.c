/* accepts.c -- requests that the OpenAI dialect cannot express, refused before any work.
 *
 * Fields without effect (false, an ..._UNSPECIFIED, an empty object) pass.
 */
#include "format/openai/openai_inner.h"

#include <stdarg.h>
#include <stdio.h>

#include "format/gs.h"
#include "format/schema/schema.h"

#define REMOVE_OR_GEMINI "Remove it, or use a model of the Gemini API."
#define PLACE_BYTES 96 /* of a path up to a part or a function */

/* A field that no OpenAI server has, and what to do about it. */
struct unsayable {
    const char *field, *remedy;
};

// clang-format off
static const struct unsayable of_request[] = {
    { "continuationToken", REMOVE_OR_GEMINI },
    { "modelArmorConfig",  REMOVE_OR_GEMINI },
    { "outputConfig",      REMOVE_OR_GEMINI },
    { "serviceTier",       "Remove it: the configuration says which server answers." },
    { "store",             "Remove it: the server's operator decides what is kept." },
};
static const struct unsayable of_generation[] = {
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
static const struct unsayable of_tool_config[] = {
    { "retrievalConfig",                 REMOVE_OR_GEMINI },
    { "includeServerSideToolInvocations", REMOVE_OR_GEMINI },
};
static const struct unsayable of_calling[] = {
    { "streamFunctionCallArguments", "Remove it: answers come as a whole." },
};
static const struct unsayable of_part[] = {
    { "videoMetadata",   "Remove it, and send only the piece that is wanted." },
    { "mediaResolution", "Remove it, and send the image in the size that is wanted." },
    { "speechMetadata",  REMOVE_OR_GEMINI },
};
static const struct unsayable of_call[] = {
    { "partialArgs",  "Write the whole arguments into args." },
    { "willContinue", "Write the whole arguments into args." },
};
static const struct unsayable of_response[] = {
    { "parts",        "Put the media into a part of their own." },
    { "scheduling",   REMOVE_OR_GEMINI },
    { "willContinue", "Write the whole result into response." },
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

/* None of the fields says anything; path is what holds them, with its dot, or empty. */
static bool all_silent(yyjson_val *object, const struct unsayable *u, size_t count,
                       const char *path, struct violation *why)
{
    for (size_t i = 0; i < count; i++) {
        char message[VIOLATION_TEXT_BYTES];
        if (says_nothing(request_field(object, u[i].field)))
            continue;
        (void)snprintf(message, sizeof message, "%s is not supported by OpenAI servers.",
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
        why, "A token budget for thoughts is not supported by OpenAI servers.",
        "Write thinkingLevel LOW, MEDIUM or HIGH instead, or thinkingBudget 0 to turn "
        "thinking off.",
        "generationConfig.thinkingConfig.thinkingBudget");
}

static bool schema_accepts(yyjson_val *schema, bool google, const char *path, struct violation *why)
{
    struct arena scratch = { 0 };
    struct error e = { 0 };
    char message[VIOLATION_TEXT_BYTES];
    yyjson_val *json;
    int rc = openai_schema_read(&scratch, schema, google, &json, &e);

    arena_release(&scratch);
    if (rc == 0)
        return true;
    (void)snprintf(message, sizeof message, "The schema cannot be written as JSON Schema: %.200s.",
                   e.msg);
    return openai_refuse(why, message, "Mend the schema.", "%s", path);
}

/* The parameters of a function: read by the table of keywords, as the schemas of answers are. */
static bool parameters_accept(yyjson_val *schema, bool google, const char *path,
                              struct violation *why)
{
    struct schema_fault fault = { .message = "The parameters are not a schema.",
                                  .remedy = "Write {\"type\": \"object\", \"properties\": ...}." };
    enum schema_dialect dialect = google ? SCHEMA_GOOGLE : SCHEMA_JSON;
    struct schema *s =
        yyjson_is_obj(schema) ? schema_read(schema, dialect, SCHEMA_CHECK, &fault) : NULL;

    schema_free(s);
    return s || openai_refuse(why, fault.message, fault.remedy, "%s%s%.100s", path,
                              fault.path[0] && fault.path[0] != '[' ? "." : "", fault.path);
}

static bool enum_accepts(const struct generation *g, const char *path, struct violation *why)
{
    struct values it = values_of(request_field(g->schema ? g->schema : g->json_schema, "enum"));
    yyjson_val *value;

    while ((value = values_next(&it)))
        if (!json_str(value).len)
            return openai_refuse(why, "A value of the enum is not a string with text.",
                                 "Write each value as a string that is not empty.", "%s.enum",
                                 path);
    return true;
}

static bool generation_accepts(const struct request *r, struct violation *why)
{
    const struct generation *g = &r->generation;
    yyjson_val *config = request_field(r->root, "generationConfig");
    const char *path = g->schema_path;

    if (!request_wants_text(r, why) ||
        !all_silent(config, of_generation, ARRAY_LEN(of_generation), "generationConfig.", why) ||
        !thinking_accepts(g->thinking, why))
        return false;
    if (g->form == ANSWER_ENUM)
        return enum_accepts(g, path, why);
    if (!g->schema && !g->json_schema)
        return true;
    return schema_accepts(g->schema ? g->schema : g->json_schema, g->schema != NULL, path, why);
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

/* ---- tools, toolConfig ---- */

static bool function_accepts(yyjson_val *function, const char *path, struct violation *why)
{
    yyjson_val *google = request_field(function, "parameters");
    yyjson_val *json = request_field(function, "parametersJsonSchema");
    char below[VIOLATION_PATH_BYTES];

    if (str_eq_c(json_str(request_field(function, "behavior")), "NON_BLOCKING"))
        return openai_refuse(why, "A non-blocking function is not supported by OpenAI servers.",
                             "Remove behavior.", "%s.behavior", path);
    (void)snprintf(below, sizeof below, "%s.%s", path,
                   google ? "parameters" : "parametersJsonSchema");
    return (!google && !json) || parameters_accept(google ? google : json, google, below, why);
}

/* A tool holds functions and nothing else: the others are run by Google. */
static bool tool_accepts(yyjson_val *tool, size_t index, struct violation *why)
{
    struct values functions = values_of(request_field(tool, "functionDeclarations"));
    size_t i, max;
    yyjson_val *key, *value;
    char path[PLACE_BYTES];

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
    struct function_choice c = function_choice_of(r);

    if (c.declared > OPENAI_FUNCTIONS_MAX)
        return openai_refuse(why, "There are too many functions for an OpenAI server.",
                             "Declare at most 512 in all tools.", "tools");
    if (values_of(c.allowed).count > FUNCTIONS_ALLOWED_MAX)
        return openai_refuse(why, "There are too many names of allowed functions.",
                             "Name at most 512, or none: then all are allowed.",
                             "%s.allowedFunctionNames", at);
    if (c.declared && !c.count && c.calling != CALLING_NONE)
        return openai_refuse(why, "None of the allowed functions is declared.",
                             "Declare one of them, or remove allowedFunctionNames.",
                             "%s.allowedFunctionNames", at);
    if (!c.count && c.calling == CALLING_ANY)
        return openai_refuse(why, "A function must be called, but none is declared.",
                             "Declare it in tools, or remove the mode.", "%s.mode", at);
    return true;
}

static bool tools_accept(const struct request *r, struct violation *why)
{
    yyjson_val *calling = request_field(r->tool_config, "functionCallingConfig");
    struct values it = values_of(r->tools);
    yyjson_val *tool;

    if (!r->tools && !r->tool_config)
        return true;
    if (!all_silent(r->tool_config, of_tool_config, ARRAY_LEN(of_tool_config), "toolConfig.",
                    why) ||
        !all_silent(calling, of_calling, ARRAY_LEN(of_calling), "toolConfig.functionCallingConfig.",
                    why))
        return false;
    if (!choice_accepts(r, why))
        return false;
    while ((tool = values_next(&it)))
        if (!tool_accepts(tool, it.index - 1, why))
            return false;
    return true;
}

/* ---- contents ---- */

/* A part, and where it stands. */
struct place_of_part {
    const struct part *part;
    char path[PLACE_BYTES]; /* "contents[0].parts[1]" */
    uint32_t turn;
    bool by_model;
    struct openai_calls *calls;
    struct arena *scratch;
};

static bool media_accepts(const struct place_of_part *at, struct violation *why)
{
    const struct part *p = at->part;
    bool file = p->kind == PART_FILE_DATA;
    const char *data = file ? "fileData" : "inlineData";
    struct openai_mime m = openai_mime_of(p->mime);

    if (at->by_model)
        return openai_refuse(why, "A turn of the model cannot hold media for an OpenAI server.",
                             "Move the part into a turn of the user.", "%s", at->path);
    if (!p->mime.len)
        return openai_refuse(why, "An OpenAI server needs the type of a file.",
                             "Add mimeType, such as image/jpeg or video/mp4.", "%s.%s", at->path,
                             data);
    if (m.media == MEDIA_NONE)
        return openai_refuse(
            why, "An OpenAI server takes no data of this type.",
            "Send images, video, application/pdf, audio/wav or audio/mp3; text belongs "
            "into a text part.",
            "%s.%s.mimeType", at->path, data);
    if (!file || gs_is(p->uri))
        return true;
    if (!openai_is_web(p->uri))
        return openai_refuse(why, "An OpenAI server cannot read this file.",
                             "Copy it into a bucket and write gs://BUCKET/OBJECT, or send it as "
                             "inlineData.",
                             "%s.fileData.fileUri", at->path);
    return m.media == MEDIA_IMAGE ||
           openai_refuse(
               why, "An OpenAI server fetches images by their address, but nothing else.",
               "Copy it into a bucket and write gs://BUCKET/OBJECT, or send it as inlineData.",
               "%s.fileData.fileUri", at->path);
}

static bool call_accepts(const struct place_of_part *at, struct violation *why)
{
    char below[VIOLATION_PATH_BYTES];

    (void)snprintf(below, sizeof below, "%s.functionCall.", at->path);
    if (!at->by_model)
        return openai_refuse(why, "A functionCall stands in a turn of the user.",
                             "Write \"model\" as the role of its turn.", "%s.functionCall",
                             at->path);
    if (!all_silent(at->part->object, of_call, ARRAY_LEN(of_call), below, why))
        return false;
    return openai_calls_add(at->calls, at->scratch, at->part, at->turn) ||
           openai_refuse(why, "There are too many functionCalls for an OpenAI server.",
                         "Leave out the oldest turns: at most 1024 calls may be there.",
                         "%s.functionCall", at->path);
}

static bool response_accepts(const struct place_of_part *at, struct violation *why)
{
    char below[VIOLATION_PATH_BYTES];

    (void)snprintf(below, sizeof below, "%s.functionResponse.", at->path);
    if (at->by_model)
        return openai_refuse(why, "A functionResponse stands in a turn of the model.",
                             "Write \"user\" as the role of its turn.", "%s.functionResponse",
                             at->path);
    if (!all_silent(at->part->object, of_response, ARRAY_LEN(of_response), below, why))
        return false;
    return openai_calls_answer(at->calls, at->part) ||
           openai_refuse(why, "A functionResponse answers no functionCall before it.",
                         "Put the model's turn with the functionCall of this name or id before it.",
                         "%s.functionResponse", at->path);
}

static bool part_accepts(const struct place_of_part *at, struct violation *why)
{
    switch (at->part->kind) {
    case PART_TEXT:
        return true;
    case PART_INLINE_DATA:
    case PART_FILE_DATA:
        return media_accepts(at, why);
    case PART_FUNCTION_CALL:
        return call_accepts(at, why);
    case PART_FUNCTION_RESPONSE:
        return response_accepts(at, why);
    case PART_EXECUTABLE_CODE:
    case PART_CODE_RESULT:
        break;
    }
    return openai_refuse(why, "An OpenAI server knows no executed code.",
                         "Write the code or its result as a text part.", "%s", at->path);
}

/* The fields beside the data; value is the part as it was written. */
static bool modifiers_accept(yyjson_val *value, const char *path, struct violation *why)
{
    char below[VIOLATION_PATH_BYTES];

    if (yyjson_obj_size(value) < 2)
        return true; /* its data only */
    (void)snprintf(below, sizeof below, "%s.", path);
    return all_silent(value, of_part, ARRAY_LEN(of_part), below, why);
}

static bool system_accepts(const struct request *r, struct violation *why)
{
    for (uint32_t i = 0; r->system && i < r->system->part_count; i++)
        if (r->system->part[i].kind != PART_TEXT)
            return openai_refuse(why, "systemInstruction can only be text for an OpenAI server.",
                                 "Move the part into the first turn of the user.",
                                 "systemInstruction.parts[%u]", i);
    return true;
}

static bool turn_accepts(const struct content *c, yyjson_val *content, struct place_of_part *at,
                         struct violation *why)
{
    struct values it = values_of(request_field(content, "parts"));

    at->by_model = c->role == ROLE_MODEL;
    for (uint32_t i = 0; i < c->part_count; i++) {
        yyjson_val *value = values_next(&it);
        at->part = &c->part[i];
        if (at->part->kind == PART_TEXT && yyjson_obj_size(value) < 2)
            continue; /* nearly all are so: no path is wanted */
        (void)snprintf(at->path, sizeof at->path, "contents[%u].parts[%u]", at->turn, i);
        if (!part_accepts(at, why) || !modifiers_accept(value, at->path, why))
            return false;
    }
    return true;
}

static bool contents_accept(const struct request *r, struct violation *why)
{
    struct values it = values_of(request_field(r->root, "contents"));
    struct openai_calls calls = { 0 };
    struct arena scratch = { 0 };
    struct place_of_part at = { .calls = &calls, .scratch = &scratch };
    bool all = system_accepts(r, why);

    for (uint32_t i = 0; all && i < r->content_count; i++) {
        at.turn = i;
        all = turn_accepts(&r->content[i], values_next(&it), &at, why);
    }
    arena_release(&scratch);
    return all;
}

bool openai_accepts(const struct request *r, struct violation *why)
{
    if (r->kind == REQUEST_EMBED)
        return openai_embed_accepts(r, why);
    return all_silent(r->root, of_request, ARRAY_LEN(of_request), "", why) &&
           generation_accepts(r, why) &&
           safety_accepts(request_field(r->root, "safetySettings"), why) && tools_accept(r, why) &&
           contents_accept(r, why);
}
