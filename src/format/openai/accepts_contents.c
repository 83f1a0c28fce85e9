/* accepts_contents.c -- turns and parts: what the OpenAI dialect cannot say of them. */
#include "format/openai/openai_inner.h"

#include <stdio.h>

// clang-format off
static const struct openai_unsayable of_part[] = {
    { "videoMetadata",   "Remove it, and send only the piece that is wanted." },
    { "mediaResolution", "Remove it, and send the image in the size that is wanted." },
    { "speechMetadata",  REMOVE_OR_GEMINI },
};
static const struct openai_unsayable of_call[] = {
    { "partialArgs",  "Write the whole arguments into args." },
    { "willContinue", "Write the whole arguments into args." },
};
static const struct openai_unsayable of_response[] = {
    { "parts",        "Put the media into a part of their own." },
    { "scheduling",   REMOVE_OR_GEMINI },
    { "willContinue", "Write the whole result into response." },
};
// clang-format on

/* A part, and where it stands. */
struct place_of_part {
    const struct part *part;
    char path[OPENAI_PLACE_BYTES]; /* "contents[0].parts[1]" */
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
    if (m.media == MEDIA_NONE)
        return openai_refuse(
            why, "An OpenAI server takes no data of this type.",
            "Send images, video, application/pdf, audio/wav or audio/mp3; text belongs "
            "into a text part.",
            "%s.%s.mimeType", at->path, data);
    if (!file || str_starts(p->uri, STR("gs://")))
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
    if (!openai_all_silent(at->part->object, of_call, ARRAY_LEN(of_call), below, why))
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
    if (!openai_all_silent(at->part->object, of_response, ARRAY_LEN(of_response), below, why))
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
    return openai_all_silent(value, of_part, ARRAY_LEN(of_part), below, why);
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

bool openai_contents_accept(const struct request *r, struct violation *why)
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
