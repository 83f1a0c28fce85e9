/* fields.c -- the tables. A row is a field; what no table can say is the message's rule. */
#include "format/request/fields.h"

#include "base/mem.h"
#include "format/request/request.h"

// clang-format off
/* A field's row: F("name", KIND, what else holds). */
#define F(text, ...) { .name = (text), .kind = FIELD_##__VA_ARGS__ }
#define RANGE(from, to) .ranged = true, .lo = (from), .hi = (to)
#define BELOW(from, end) .ranged = true, .lo = (from), .hi = (end), .hi_open = true
#define LIST .repeated = true
#define NEEDED .required = true
#define TEXTS(...) .values = (const char *const[]){ __VA_ARGS__, NULL }
/* In the order of their numbers. */
#define VALUES(...) \
    TEXTS(__VA_ARGS__), .numbers = ARRAY_LEN(((const char *const[]){ __VA_ARGS__ }))
#define MESSAGE(text, fields, ...) \
    { .name = (text), .field = (fields), .field_count = ARRAY_LEN(fields), __VA_ARGS__ }

#define INT32_END 0x1p31
#define INT64_END 0x1p63

static const struct field blob_fields[] = {
    F("mimeType",    STRING, NEEDED),
    F("data",        BYTES,  NEEDED),
    F("displayName", STRING),
};
static const struct message blob_message = MESSAGE("Blob", blob_fields, .rule = rule_blob,
    .example = "{\"mimeType\": \"image/png\", \"data\": \"BASE64\"}");

static const struct field file_data_fields[] = {
    F("mimeType",    STRING),
    F("fileUri",     STRING, NEEDED),
    F("displayName", STRING),
};
static const struct message file_data_message =
    MESSAGE("FileData", file_data_fields, .rule = rule_file_data,
    .example = "{\"mimeType\": \"video/mp4\", \"fileUri\": \"gs://bucket/name.mp4\"}");

static const struct field function_call_fields[] = {
    F("id",           STRING),
    F("name",         STRING, NEEDED),
    F("args",         OBJECT),
    F("partialArgs",  ANY, LIST),
    F("willContinue", BOOL),
};
static const struct message function_call_message = MESSAGE("FunctionCall", function_call_fields,
    .example = "{\"name\": \"f\", \"args\": {}}");

static const struct field function_response_fields[] = {
    F("id",           STRING),
    F("name",         STRING, NEEDED),
    F("response",     OBJECT, NEEDED),
    F("parts",        OBJECT, LIST),
    F("scheduling",   ENUM, VALUES("SCHEDULING_UNSPECIFIED", "SILENT", "WHEN_IDLE", "INTERRUPT")),
    F("willContinue", BOOL),
};
static const struct message function_response_message =
    MESSAGE("FunctionResponse", function_response_fields,
    .example = "{\"name\": \"f\", \"response\": {}}");

static const struct field executable_code_fields[] = {
    F("language", ENUM, NEEDED, VALUES("LANGUAGE_UNSPECIFIED", "PYTHON")),
    F("code",     STRING, NEEDED),
    F("id",       STRING),
};
static const struct message executable_code_message =
    MESSAGE("ExecutableCode", executable_code_fields, .rule = NULL);

static const struct field code_result_fields[] = {
    F("outcome", ENUM, NEEDED,
      VALUES("OUTCOME_UNSPECIFIED", "OUTCOME_OK", "OUTCOME_FAILED", "OUTCOME_DEADLINE_EXCEEDED")),
    F("output",  STRING),
    F("id",      STRING),
};
static const struct message code_result_message =
    MESSAGE("CodeExecutionResult", code_result_fields, .rule = NULL);

static const struct field video_fields[] = {
    F("startOffset", DURATION),
    F("endOffset",   DURATION),
    F("fps",         NUMBER, RANGE(0, 24)),
};
static const struct message video_message = MESSAGE("VideoMetadata", video_fields,
    .example = "{\"startOffset\": \"0s\", \"endOffset\": \"5s\"}");

static const struct field resolution_fields[] = {
    F("level",     ENUM,
      VALUES("MEDIA_RESOLUTION_UNSPECIFIED", "MEDIA_RESOLUTION_LOW", "MEDIA_RESOLUTION_MEDIUM",
        "MEDIA_RESOLUTION_HIGH", "MEDIA_RESOLUTION_ULTRA_HIGH")),
    F("numTokens", INTEGER, BELOW(1, INT32_END)),
};
static const struct message resolution_message = MESSAGE("MediaResolution", resolution_fields,
    .example = "{\"level\": \"MEDIA_RESOLUTION_LOW\"}");

#define SERVER_TOOLS "Leave it out: tools of a server are not run in a batch."

/* Group 1 is the part's data. */
static const struct field part_fields[] = {
    F("text",                STRING,  .group = 1),
    F("inlineData",          MESSAGE, .group = 1, .message = &blob_message),
    F("fileData",            MESSAGE, .group = 1, .message = &file_data_message),
    F("functionCall",        MESSAGE, .group = 1, .message = &function_call_message),
    F("functionResponse",    MESSAGE, .group = 1, .message = &function_response_message),
    F("executableCode",      MESSAGE, .group = 1, .message = &executable_code_message),
    F("codeExecutionResult", MESSAGE, .group = 1, .message = &code_result_message),
    F("toolCall",            OBJECT,  .group = 1, .unsupported = SERVER_TOOLS),
    F("toolResponse",        OBJECT,  .group = 1, .unsupported = SERVER_TOOLS),
    F("thought",             BOOL),
    F("thoughtSignature",    BYTES),
    F("videoMetadata",       MESSAGE, .message = &video_message),
    F("mediaResolution",     MESSAGE, .message = &resolution_message),
    F("speechMetadata",      OBJECT),
    F("partMetadata",        OBJECT),
};
static const struct message part_message = MESSAGE("Part", part_fields, .rule = rule_part,
    .example = "{\"text\": \"...\"}");

static const struct field content_fields[] = {
    F("role",  STRING),
    F("parts", MESSAGE, LIST, .message = &part_message),
};
static const struct message content_message =
    MESSAGE("Content", content_fields, .rule = rule_content,
    .example = "{\"role\": \"user\", \"parts\": [{\"text\": \"...\"}]}");
/* Its role has no meaning, and its text may be empty. */
static const struct message system_message = MESSAGE("Content", content_fields,
    .example = "{\"parts\": [{\"text\": \"...\"}]}");

static const struct message schema_message;
static const struct field schema_fields[] = {
    F("type",             ENUM,
      VALUES("TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT",
        "NULL")),
    F("format",           STRING),
    F("title",            STRING),
    F("description",      STRING),
    F("nullable",         BOOL),
    F("enum",             STRING, LIST),
    F("items",            MESSAGE, .message = &schema_message),
    F("properties",       MESSAGE_MAP, .message = &schema_message),
    F("required",         STRING, LIST),
    F("propertyOrdering", STRING, LIST),
    F("minItems",         INTEGER, BELOW(0, INT64_END)),
    F("maxItems",         INTEGER, BELOW(0, INT64_END)),
    F("minLength",        INTEGER, BELOW(0, INT64_END)),
    F("maxLength",        INTEGER, BELOW(0, INT64_END)),
    F("minProperties",    INTEGER, BELOW(0, INT64_END)),
    F("maxProperties",    INTEGER, BELOW(0, INT64_END)),
    F("minimum",          NUMBER),
    F("maximum",          NUMBER),
    F("pattern",          STRING),
    F("example",          ANY),
    F("default",          ANY),
    F("anyOf",            MESSAGE, LIST, .message = &schema_message),
    F("additionalProperties", ANY),
    F("ref",              STRING),
    F("defs",             MESSAGE_MAP, .message = &schema_message),
};
static const struct message schema_message = MESSAGE("Schema", schema_fields, .rule = rule_schema,
    .example = "{\"type\": \"STRING\"}");

static const struct field thinking_fields[] = {
    F("includeThoughts", BOOL),
    F("thinkingBudget",  INTEGER, BELOW(-1, INT32_END), .group = 1),
    F("thinkingLevel",   ENUM, .group = 1,
      TEXTS("THINKING_LEVEL_UNSPECIFIED", "LOW", "MEDIUM", "HIGH", "MINIMAL", "XHIGH"),
      .numbers = 5), /* XHIGH has none yet in Google's protos */
};
static const struct message thinking_message = MESSAGE("ThinkingConfig", thinking_fields,
    .example = "{\"thinkingBudget\": 0}");

static const struct field prebuilt_voice_fields[] = {
    F("voiceName", STRING),
};
static const struct message prebuilt_voice_message =
    MESSAGE("PrebuiltVoiceConfig", prebuilt_voice_fields, .rule = NULL);
static const struct field voice_fields[] = {
    F("prebuiltVoiceConfig",   MESSAGE, .group = 1, .message = &prebuilt_voice_message),
    F("replicatedVoiceConfig", OBJECT, .group = 1),
};
static const struct message voice_message = MESSAGE("VoiceConfig", voice_fields, .rule = NULL);
static const struct field speaker_fields[] = {
    F("speaker",     STRING, NEEDED),
    F("voiceConfig", MESSAGE, NEEDED, .message = &voice_message),
};
static const struct message speaker_message =
    MESSAGE("SpeakerVoiceConfig", speaker_fields, .rule = NULL);
static const struct field speakers_fields[] = {
    F("speakerVoiceConfigs", MESSAGE, LIST, NEEDED, .message = &speaker_message),
};
static const struct message speakers_message =
    MESSAGE("MultiSpeakerVoiceConfig", speakers_fields, .rule = NULL);
static const struct field speech_fields[] = {
    F("voiceConfig",             MESSAGE, .group = 1, .message = &voice_message),
    F("multiSpeakerVoiceConfig", MESSAGE, .group = 1, .message = &speakers_message),
    F("languageCode",            STRING),
};
static const struct message speech_message = MESSAGE("SpeechConfig", speech_fields, .rule = NULL);

static const struct field auto_routing_fields[] = {
    F("modelRoutingPreference", ENUM,
      VALUES("UNKNOWN", "PRIORITIZE_QUALITY", "BALANCED", "PRIORITIZE_COST")),
};
static const struct message auto_routing_message =
    MESSAGE("AutoRoutingMode", auto_routing_fields, .rule = NULL);
static const struct field manual_routing_fields[] = {
    F("modelName", STRING),
};
static const struct message manual_routing_message =
    MESSAGE("ManualRoutingMode", manual_routing_fields, .rule = NULL);
static const struct field routing_fields[] = {
    F("autoMode",   MESSAGE, .group = 1, .message = &auto_routing_message),
    F("manualMode", MESSAGE, .group = 1, .message = &manual_routing_message),
};
static const struct message routing_message =
    MESSAGE("RoutingConfig", routing_fields, .rule = NULL);
static const struct field selection_fields[] = {
    F("featureSelectionPreference", ENUM,
      VALUES("FEATURE_SELECTION_PREFERENCE_UNSPECIFIED", "PRIORITIZE_QUALITY", "BALANCED",
        "PRIORITIZE_COST")),
};
static const struct message selection_message =
    MESSAGE("ModelSelectionConfig", selection_fields, .rule = NULL);

static const struct field text_format_fields[] = {
    F("mimeType", ENUM, TEXTS("APPLICATION_JSON", "TEXT_PLAIN", "application/json", "text/plain",
                              "MIME_TYPE_UNSPECIFIED")),
    F("schema",   ANY),
};
static const struct message text_format_message =
    MESSAGE("TextResponseFormat", text_format_fields,
    .example = "{\"mimeType\": \"APPLICATION_JSON\", \"schema\": {...}}");
static const struct field format_fields[] = {
    F("text",  MESSAGE, .group = 1, .message = &text_format_message),
    F("image", OBJECT, .group = 1),
    F("audio", OBJECT, .group = 1),
    F("video", OBJECT, .group = 1),
};
static const struct message format_message = MESSAGE("ResponseFormat", format_fields,
    .example = "{\"text\": {\"mimeType\": \"APPLICATION_JSON\", \"schema\": {...}}}");

static const struct field generation_fields[] = {
    F("temperature",        NUMBER,  RANGE(0, 2)),
    F("topP",               NUMBER,  RANGE(0, 1)),
    F("topK",               INTEGER, BELOW(1, 1001)),
    F("candidateCount",     INTEGER, BELOW(1, REQUEST_CANDIDATES_MAX + 1)),
    F("maxOutputTokens",    INTEGER, BELOW(1, 65537)),
    F("stopSequences",      STRING,  LIST),
    F("presencePenalty",    NUMBER,  BELOW(-2, 2)),
    F("frequencyPenalty",   NUMBER,  BELOW(-2, 2)),
    F("seed",               INTEGER, BELOW(-INT64_END, INT64_END)),
    F("responseLogprobs",   BOOL),
    F("logprobs",           INTEGER, BELOW(0, REQUEST_LOGPROBS_MAX + 1)),
    F("responseMimeType",   ENUM,    TEXTS("text/plain", "application/json", "text/x.enum")),
    F("responseSchema",     MESSAGE, .message = &schema_message),
    F("responseJsonSchema", ANY),
    F("responseModalities", ENUM,    LIST, 
      VALUES("MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO", "VIDEO")),
    F("_responseJsonSchema", ANY),
    F("responseFormat",     MESSAGE, LIST, .message = &format_message),
    F("mediaResolution",    ENUM,
      VALUES("MEDIA_RESOLUTION_UNSPECIFIED", "MEDIA_RESOLUTION_LOW",
             "MEDIA_RESOLUTION_MEDIUM", "MEDIA_RESOLUTION_HIGH")),
    F("audioTimestamp",     BOOL),
    F("audioTranscriptionConfig", OBJECT),
    F("speechConfig",       MESSAGE, .message = &speech_message),
    F("imageConfig",        OBJECT),
    F("routingConfig",      MESSAGE, .message = &routing_message),
    F("modelSelectionConfig", MESSAGE, .message = &selection_message),
    F("thinkingConfig",     MESSAGE, .message = &thinking_message),
    F("enableAffectiveDialog", BOOL),
    F("enableEnhancedCivicAnswers", BOOL),
    F("translationConfig",  OBJECT),
};
const struct message generation_message =
    MESSAGE("GenerationConfig", generation_fields, .rule = rule_generation,
    .example = "{\"temperature\": 0.5}");

static const struct field safety_fields[] = {
    /* Vertex AI's numbers, then from 7 those of the Gemini API. */
    F("category",  ENUM, NEEDED, VALUES("HARM_CATEGORY_UNSPECIFIED", "HARM_CATEGORY_HATE_SPEECH",
        "HARM_CATEGORY_DANGEROUS_CONTENT", "HARM_CATEGORY_HARASSMENT",
        "HARM_CATEGORY_SEXUALLY_EXPLICIT", "HARM_CATEGORY_CIVIC_INTEGRITY",
        "HARM_CATEGORY_JAILBREAK", "HARM_CATEGORY_HARASSMENT", "HARM_CATEGORY_HATE_SPEECH",
        "HARM_CATEGORY_SEXUALLY_EXPLICIT", "HARM_CATEGORY_DANGEROUS_CONTENT",
        "HARM_CATEGORY_CIVIC_INTEGRITY", "HARM_CATEGORY_IMAGE_HATE",
        "HARM_CATEGORY_IMAGE_DANGEROUS_CONTENT", "HARM_CATEGORY_IMAGE_HARASSMENT",
        "HARM_CATEGORY_IMAGE_SEXUALLY_EXPLICIT")),
    F("threshold", ENUM, NEEDED, VALUES("HARM_BLOCK_THRESHOLD_UNSPECIFIED", "BLOCK_LOW_AND_ABOVE",
        "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH", "BLOCK_NONE", "OFF")),
    F("method",    ENUM, VALUES("HARM_BLOCK_METHOD_UNSPECIFIED", "SEVERITY", "PROBABILITY")),
};
static const struct message safety_message = MESSAGE("SafetySetting", safety_fields,
    .example = "{\"category\": \"HARM_CATEGORY_HARASSMENT\", \"threshold\": \"BLOCK_ONLY_HIGH\"}");

/* Groups 1 and 2: one dialect each of the two schemas. */
static const struct field function_fields[] = {
    F("name",                 STRING, NEEDED),
    F("description",          STRING),
    F("parameters",           MESSAGE, .group = 1, .message = &schema_message),
    F("parametersJsonSchema", ANY, .group = 1),
    F("response",             MESSAGE, .group = 2, .message = &schema_message),
    F("responseJsonSchema",   ANY, .group = 2),
    F("behavior",             ENUM, VALUES("UNSPECIFIED", "BLOCKING", "NON_BLOCKING")),
};
static const struct message function_message =
    MESSAGE("FunctionDeclaration", function_fields, .rule = rule_function,
    .example = "{\"name\": \"f\", \"description\": \"...\", \"parameters\": {...}}");

#define NO_RETRIEVAL "Remove it and put the passages to be used into contents."

static const struct field tool_fields[] = {
    F("functionDeclarations",  MESSAGE, LIST, .message = &function_message),
    F("googleSearch",          OBJECT),
    F("googleSearchRetrieval", OBJECT, .unsupported = NO_RETRIEVAL),
    F("retrieval",             OBJECT, .unsupported = NO_RETRIEVAL),
    F("fileSearch",            OBJECT, .unsupported = NO_RETRIEVAL),
    F("codeExecution",         OBJECT),
    F("urlContext",            OBJECT),
    F("googleMaps",            OBJECT),
    F("enterpriseWebSearch",   OBJECT),
    F("parallelAiSearch",      OBJECT),
    F("computerUse",           OBJECT),
    F("mcpServers",            OBJECT, LIST, .unsupported = SERVER_TOOLS),
};
static const struct message tool_message = MESSAGE("Tool", tool_fields, .rule = rule_tool,
    .example = "{\"functionDeclarations\": [...]}");

static const struct field calling_fields[] = {
    F("mode",                        ENUM,
      VALUES("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED", "VALIDATED")),
    F("allowedFunctionNames",        STRING, LIST),
    F("streamFunctionCallArguments", BOOL),
};
static const struct message calling_message = MESSAGE("FunctionCallingConfig", calling_fields,
    .example = "{\"mode\": \"AUTO\"}");
static const struct field lat_lng_fields[] = {
    F("latitude",  NUMBER, RANGE(-90, 90)),
    F("longitude", NUMBER, RANGE(-180, 180)),
};
static const struct message lat_lng_message = MESSAGE("LatLng", lat_lng_fields, .rule = NULL);
static const struct field retrieval_fields[] = {
    F("latLng",       MESSAGE, .message = &lat_lng_message),
    F("languageCode", STRING),
};
static const struct message retrieval_message =
    MESSAGE("RetrievalConfig", retrieval_fields, .rule = NULL);
static const struct field tool_config_fields[] = {
    F("functionCallingConfig", MESSAGE, .message = &calling_message),
    F("retrievalConfig",       MESSAGE, .message = &retrieval_message),
    F("includeServerSideToolInvocations", BOOL),
};
static const struct message tool_config_message = MESSAGE("ToolConfig", tool_config_fields,
    .example = "{\"functionCallingConfig\": {\"mode\": \"AUTO\"}}");

static const struct field armor_fields[] = {
    F("promptTemplateName",   STRING),
    F("responseTemplateName", STRING),
};
static const struct message armor_message = MESSAGE("ModelArmorConfig", armor_fields, .rule = NULL);

static const struct field request_fields[] = {
    F("contents",          MESSAGE, LIST, .message = &content_message),
    F("systemInstruction", MESSAGE, .message = &system_message),
    F("generationConfig",  MESSAGE, .message = &generation_message),
    F("safetySettings",    MESSAGE, LIST, .message = &safety_message),
    F("tools",             MESSAGE, LIST, .message = &tool_message),
    F("toolConfig",        MESSAGE, .message = &tool_config_message),
    F("labels",            STRING_MAP),
    F("cachedContent",     STRING,
      .unsupported = "Put the cached content into contents: what requests share at their "
                     "beginning is computed once."),
    F("continuationToken", STRING),
    F("modelArmorConfig",  MESSAGE, .message = &armor_message),
    F("outputConfig",      OBJECT),
    F("model",             STRING),
    F("serviceTier",       STRING),
    F("store",             BOOL),
};
const struct message request_message =
    MESSAGE("GenerateContentRequest", request_fields, .rule = rule_request,
    .example = "{\"contents\": [{\"role\": \"user\", \"parts\": [{\"text\": \"...\"}]}]}");

#define TASKS                                                                                     \
    "RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT", "SEMANTIC_SIMILARITY", "CLASSIFICATION",             \
        "CLUSTERING", "QUESTION_ANSWERING", "FACT_VERIFICATION", "CODE_RETRIEVAL_QUERY"

/* The Gemini API has these beside content, Vertex AI in a message of their own. */
static const struct field embed_config_fields[] = {
    F("taskType",             ENUM, VALUES("UNSPECIFIED", "TASK_TYPE_UNSPECIFIED", TASKS)),
    F("title",                STRING),
    F("outputDimensionality", INTEGER, BELOW(1, EMBEDDING_DIMENSIONS_MAX + 1)),
    F("autoTruncate",         BOOL),
    F("documentOcr",          BOOL),
    F("audioTrackExtraction", BOOL),
};
static const struct message embed_config_message =
    MESSAGE("EmbedContentConfig", embed_config_fields,
    .example = "{\"outputDimensionality\": 768}");
static const struct field embed_fields[] = {
    F("content",              MESSAGE, NEEDED, .message = &content_message),
    F("taskType",             ENUM, VALUES("TASK_TYPE_UNSPECIFIED", TASKS)),
    F("title",                STRING),
    F("outputDimensionality", INTEGER, BELOW(1, EMBEDDING_DIMENSIONS_MAX + 1)),
    F("autoTruncate",         BOOL),
    F("embedContentConfig",   MESSAGE, .message = &embed_config_message),
    F("model",                STRING),
};
const struct message embed_message = MESSAGE("EmbedContentRequest", embed_fields,
    .example = "{\"content\": {\"parts\": [{\"text\": \"...\"}]}}");
// clang-format on

/* Both kinds may name a model. Any other member of a GenerateContentRequest means that content was
 * meant to be contents, which its check then says. A content that is a string is an embedding's when all
 * beside it is an embedding's too. */
const struct message *request_message_of(yyjson_val *object)
{
    yyjson_val *content = request_field(object, "content"), *key;
    yyjson_obj_iter it = yyjson_obj_iter_with(object);

    if (!yyjson_is_obj(content) && !yyjson_is_str(content))
        return &request_message;
    while ((key = yyjson_obj_iter_next(&it))) {
        struct str name = json_str(key);
        if (yyjson_is_str(content) && !message_field(&embed_message, name))
            return &request_message;
        if (!str_eq_c(name, "model") && message_field(&request_message, name))
            return &request_message;
    }
    return &embed_message;
}
