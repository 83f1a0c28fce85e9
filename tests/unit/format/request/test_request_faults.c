/* Every fault of a request: its path as written, its byte, what is wrong and what to do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "format/schema/schema.h"
#include "base/mem.h"
#include "unit/format/request/request_case.h"

/* A request with contents and more, wrapped. */
#define WITH(more) "{'request':{'contents':[{'parts':[{'text':'a'}]}]," more "}}"
#define CONFIG(fields) WITH("'generationConfig':{" fields "}")
#define PART(part) "{'request':{'contents':[{'role':'user','parts':[" part "]}]}}"
#define AT_PART "request.contents[0].parts[0]"
#define AT_CONFIG "request.generationConfig"

struct fault {
    const char *line; /* the offset is marked by ^ */
    const char *path, *message, *remedy;
};

// clang-format off
static const struct fault content_faults[] = {
    { "{'request':^{}}", "request", "at least one contents field is required.", "Add contents" },
    { "{'request':^{'contents':null}}", "request", "at least one contents field", "Add contents" },
    { "{'request':^{'contents':[]}}", "request", "at least one contents field", "Add contents" },
    { "{'request':{'contents':^'hi'}}", "request.contents", "contents must be an object, but is a string.", "{\"role\": \"user\"" },
    { "{'request':{'contents':[^null]}}", "request.contents[0]", "contents must be an object, but is null.", "{\"role\": \"user\"" },
    { "{'request':{'contents':[^{'role':'user'}]}}", "request.contents[0]", "at least one parts field", "Add parts" },
    { "{'request':{'contents':[^{'parts':[]}]}}", "request.contents[0]", "at least one parts field", "Add parts" },
    { "{'request':{'contents':^{'role':'user'}}}", "request.contents", "at least one parts field", "Add parts" },
    { "{'request':{'contents':[{'role':^'tester','parts':[{'text':'x'}]}]}}", "request.contents[0].role", "Please use a valid role: user, model.", "Write \"user\"" },
    { "{'request':{'contents':[{'role':^'assistant','parts':[{'text':'x'}]}]}}", "request.contents[0].role", "Please use a valid role: user, model.", "Write \"model\"" },
    { "{'request':{'contents':[{'role':^'system','parts':[{'text':'x'}]}]}}", "request.contents[0].role", "Please use a valid role: user, model.", "systemInstruction" },
    { "{'request':{'contents':[{'role':^1,'parts':[{'text':'x'}]}]}}", "request.contents[0].role", "role must be a string, but is a number.", "double quotes" },
    { PART("^{}"), AT_PART, "it must have a text parameter.", "inlineData" },
    { PART("^{'partMetadata':{}}"), AT_PART, "it must have a text parameter.", "inlineData" },
    { PART("^'hello'"), AT_PART, "parts must be an object, but is a string.", "{\"text\": \"...\"}" },
    { PART("{'text':^''}"), AT_PART ".text", "Unable to submit request because it has an empty text parameter.", "Add a value to the parameter and try again." },
    { PART("{'text':^5}"), AT_PART ".text", "text must be a string, but is a number.", "double quotes" },
    { PART("{'text':'a','functionCall':^{'name':'f'}}"), AT_PART ".functionCall", "functionCall cannot stand beside text.", "Keep one" },
    { PART("{'text':'a','txet':^'b'}"), AT_PART ".txet", "Unknown name \"txet\" in Part.", "Did you mean \"text\"?" },
    { PART("{'inlineData':^{'mimeType':'image/png'}}"), AT_PART ".inlineData", "data is missing in Blob.", "BASE64" },
    { PART("{'inlineData':^{'data':'QQ=='}}"), AT_PART ".inlineData", "mimeType is missing in Blob.", "image/png" },
    { PART("{'inline_data':{'mime_type':^'png','data':'QQ=='}}"), AT_PART ".inline_data.mime_type", "mimeType is not a media type: \"png\".", "image/jpeg" },
    { PART("{'inlineData':{'mimeType':'image/png','data':^'Q&=='}}"), AT_PART ".inlineData.data", "its character 2 is not in the base64 alphabet.", "Encode" },
    { PART("{'inlineData':{'mimeType':'image/png','data':^'Q'}}"), AT_PART ".inlineData.data", "cut off or wrongly padded.", "Encode" },
    { PART("{'inlineData':{'mimeType':'image/png','data':^''}}"), AT_PART ".inlineData.data", "data is empty.", "base64" },
    { PART("{'inlineData':{'mimeType':'image/png','data':^7}}"), AT_PART ".inlineData.data", "data must be a base64 string, but is a number.", "base64" },
    { PART("{'fileData':^{'mimeType':'video/mp4'}}"), AT_PART ".fileData", "fileUri is missing in FileData.", "video/mp4" },
    { PART("{'fileData':{'mimeType':^'*/*','fileUri':'gs://b/o'}}"), AT_PART ".fileData.mimeType", "mimeType is not a media type", "video/mp4" },
    { PART("{'inlineData':{'mimeType':^'image/*','data':'QQ=='}}"), AT_PART ".inlineData.mimeType", "mimeType is not a media type", "image/jpeg" },
    { PART("{'fileData':{'mimeType':'video/mov','fileUri':^'http://x/y'}}"), AT_PART ".fileData.fileUri", "fileUri is not the address of a file", "gs://BUCKET/OBJECT" },
    { PART("{'fileData':{'mimeType':'video/mov','fileUri':^'gs://'}}"), AT_PART ".fileData.fileUri", "fileUri is not the address of a file", "gs://BUCKET/OBJECT" },
    { PART("{'functionCall':^{'args':{}}}"), AT_PART ".functionCall", "name is missing in FunctionCall.", "\"name\"" },
    { PART("{'functionCall':{'name':'f','args':^[]}}"), AT_PART ".functionCall.args", "args must be an object, but is an array.", "object" },
    { PART("{'functionResponse':^{'name':'f'}}"), AT_PART ".functionResponse", "response is missing in FunctionResponse.", "\"response\"" },
    { PART("{'executableCode':{'language':^'RUST','code':''}}"), AT_PART ".executableCode.language", "language has no value \"RUST\".", "Use one of PYTHON." },
    { PART("{'codeExecutionResult':^{'output':''}}"), AT_PART ".codeExecutionResult", "outcome is missing in CodeExecutionResult.", "Add outcome: it must be a string." },
    { PART("{'toolCall':^{}}"), AT_PART ".toolCall", "toolCall is not supported.", "Leave it out" },
    { PART("{'text':'a','thoughtSignature':^'&'}"), AT_PART ".thoughtSignature", "is not base64", "Encode" },
    { PART("{'text':'a','videoMetadata':{'endOffset':^'5'}}"), AT_PART ".videoMetadata.endOffset", "endOffset is not a duration: \"5\".", "1.5s" },
    { PART("{'text':'a','videoMetadata':{'endOffset':^'1.2.3s'}}"), AT_PART ".videoMetadata.endOffset", "endOffset is not a duration", "1.5s" },
    { PART("{'text':'a','videoMetadata':{'fps':^25}}"), AT_PART ".videoMetadata.fps", "fps value of 25", "Update" },
    { WITH("'systemInstruction':^'Be brief.'"), "request.systemInstruction", "systemInstruction must be an object, but is a string.", "{\"parts\": [{\"text\"" },
};

static const struct fault config_faults[] = {
    { CONFIG("'temperature':^2.01"), AT_CONFIG ".temperature", "Unable to submit request because it has a temperature value of 2.01 but the supported range is from 0 (inclusive) to 2 (inclusive).", "Update the value and try again." },
    { CONFIG("'temperature':^-0.1"), AT_CONFIG ".temperature", "temperature value of -0.1", "Update" },
    { CONFIG("'temperature':^'hot'"), AT_CONFIG ".temperature", "temperature must be a number, but is the string \"hot\".", "such as 0.5" },
    { CONFIG("'temperature':^true"), AT_CONFIG ".temperature", "temperature must be a number, but is a boolean.", "such as 0.5" },
    { CONFIG("'topP':^1.1"), AT_CONFIG ".topP", "from 0 (inclusive) to 1 (inclusive)", "Update" },
    { CONFIG("'topK':^0"), AT_CONFIG ".topK", "from 1 (inclusive) to 1001 (exclusive)", "Update" },
    { CONFIG("'topK':^1001"), AT_CONFIG ".topK", "topK value of 1001", "Update" },
    { CONFIG("'topK':^1.5"), AT_CONFIG ".topK", "topK must be a whole number, but is 1.5.", "whole number" },
    { CONFIG("'candidateCount':^0"), AT_CONFIG ".candidateCount", "from 1 (inclusive) to 9 (exclusive)", "Update" },
    { CONFIG("'candidateCount':^9"), AT_CONFIG ".candidateCount", "candidateCount value of 9", "Update" },
    { CONFIG("'maxOutputTokens':^0"), AT_CONFIG ".maxOutputTokens", "from 1 (inclusive) to 65537 (exclusive)", "Update" },
    { CONFIG("'maxOutputTokens':^65537"), AT_CONFIG ".maxOutputTokens", "maxOutputTokens value of 65537", "Update" },
    { CONFIG("'maxOutputTokens':^1e30"), AT_CONFIG ".maxOutputTokens", "maxOutputTokens value of 1e+30", "Update" },
    { CONFIG("'max_output_tokens':^'many'"), AT_CONFIG ".max_output_tokens", "maxOutputTokens must be a whole number, but is the string \"many\".", "whole number" },
    { CONFIG("'presencePenalty':^2"), AT_CONFIG ".presencePenalty", "from -2 (inclusive) to 2 (exclusive)", "Update" },
    { CONFIG("'frequencyPenalty':^-2.5"), AT_CONFIG ".frequencyPenalty", "frequencyPenalty value of -2.5", "Update" },
    { CONFIG("'seed':^9223372036854775808"), AT_CONFIG ".seed", "seed value of 9.22337203685478e+18", "Update" },
    { CONFIG("'seed':^'9223372036854775808'"), AT_CONFIG ".seed", "seed value of 9.22337203685478e+18", "Update" },
    { CONFIG("'responseLogprobs':true,'logprobs':^21"), AT_CONFIG ".logprobs", "from 0 (inclusive) to 21 (exclusive)", "Update" },
    { CONFIG("'logprobs':^5"), AT_CONFIG ".logprobs", "responseLogprobs is not true.", "Set responseLogprobs" },
    { CONFIG("'responseLogprobs':^'true'"), AT_CONFIG ".responseLogprobs", "responseLogprobs must be true or false, but is the string \"true\".", "without quotes" },
    { CONFIG("'stopSequences':['a',^'']"), AT_CONFIG ".stopSequences[1]", "A stop sequence has 0 bytes", "Remove it." },
    { CONFIG("'stopSequences':^''"), AT_CONFIG ".stopSequences", "A stop sequence has 0 bytes", "Remove it." },
    { CONFIG("'stopSequences':[^7]"), AT_CONFIG ".stopSequences[0]", "stopSequences must be a string, but is a number.", "double quotes" },
    { CONFIG("'stopSequences':^['1','2','3','4','5','6','7','8','9','10','11','12','13','14','15','16','17']"), AT_CONFIG ".stopSequences", "stopSequences count of 17 but the supported range is from 1 (inclusive) to 17 (exclusive).", "Update" },
    { CONFIG("'responseMimeType':^'application/xml'"), AT_CONFIG ".responseMimeType", "responseMimeType has no value \"application/xml\".", "Use one of text/plain, application/json, text/x.enum." },
    { CONFIG("'responseMimeType':^'application/jsn'"), AT_CONFIG ".responseMimeType", "has no value", "Did you mean \"application/json\"?" },
    { CONFIG("'responseMimeType':^'text/x.enum'"), AT_CONFIG ".responseMimeType", "no values to choose from.", "\"enum\"" },
    { CONFIG("'responseMimeType':'text/x.enum','responseSchema':^{'type':'STRING'}"), AT_CONFIG ".responseSchema", "no values to choose from.", "\"enum\"" },
    { CONFIG("'responseSchema':^{'type':'STRING'}"), AT_CONFIG ".responseSchema", "responseSchema is only allowed with", "Set responseMimeType" },
    { CONFIG("'responseMimeType':'text/plain','response_json_schema':^{}"), AT_CONFIG ".response_json_schema", "responseJsonSchema is only allowed with", "Set responseMimeType" },
    { CONFIG("'responseMimeType':'application/json','responseSchema':{'type':'STRING'},'responseJsonSchema':^{}"), AT_CONFIG ".responseJsonSchema", "responseJsonSchema cannot stand beside responseSchema.", "Keep one" },
    { CONFIG("'responseModalities':^'SMELL'"), AT_CONFIG ".responseModalities", "has no value \"SMELL\"", "Use one of TEXT, IMAGE, AUDIO, VIDEO." },
    { CONFIG("'responseModalities':[^5]"), AT_CONFIG ".responseModalities[0]", "responseModalities has no value 5.", "Use one of TEXT, IMAGE, AUDIO, VIDEO." },
    { CONFIG("'responseMimeType':^1"), AT_CONFIG ".responseMimeType", "responseMimeType has no value 1.", "Use one of text/plain" },
    { CONFIG("'responseMimeType':'application/json','responseFormat':^{'text':{}}"), AT_CONFIG ".responseFormat", "responseFormat cannot stand beside responseMimeType.", "Keep one" },
    { CONFIG("'responseFormat':[{'text':{}},^{'text':{}}]"), AT_CONFIG ".responseFormat[1]", "responseFormat has more than one text.", "Keep one" },
    { CONFIG("'responseFormat':{'text':{'mimeType':'TEXT_PLAIN','schema':^{}}}"), AT_CONFIG ".responseFormat.text.schema", "schema is only allowed with the mimeType APPLICATION_JSON.", "Set mimeType" },
    { CONFIG("'responseFormat':{'text':{},'image':^{}}"), AT_CONFIG ".responseFormat.image", "image cannot stand beside text.", "Keep one" },
    { CONFIG("'responseMimeType':'application/json','responseJsonSchema':{},'_responseJsonSchema':^{}"), AT_CONFIG "._responseJsonSchema", "_responseJsonSchema cannot stand beside responseJsonSchema.", "Keep one" },
    { CONFIG("'httpOptions':^{}"), AT_CONFIG ".httpOptions", "Unknown name", "a setting of the SDK" },
    { CONFIG("'mediaResolution':^'LOW'"), AT_CONFIG ".mediaResolution", "mediaResolution has no value \"LOW\".", "MEDIA_RESOLUTION_LOW" },
    { CONFIG("'thinkingConfig':{'thinkingBudget':^-2}"), AT_CONFIG ".thinkingConfig.thinkingBudget", "thinkingBudget value of -2", "Update" },
    { CONFIG("'thinkingConfig':{'thinkingBudget':1,'thinkingLevel':^'LOW'}"), AT_CONFIG ".thinkingConfig.thinkingLevel", "thinkingLevel cannot stand beside thinkingBudget.", "Keep one" },
    { CONFIG("'thinkingConfig':{'thinking_level':^'MAXIMUM'}"), AT_CONFIG ".thinkingConfig.thinking_level", "thinkingLevel has no value", "Use one of LOW, MEDIUM, HIGH, MINIMAL, XHIGH." },
    { CONFIG("'thinkingConfig':{'thinking_level':^5}"), AT_CONFIG ".thinkingConfig.thinking_level", "thinkingLevel has no value", "Use one of LOW, MEDIUM, HIGH, MINIMAL, XHIGH." },
    { CONFIG("'speechConfig':{'voiceConfig':{'prebuiltVoiceConfig':{'voice':^'Kore'}}}"), AT_CONFIG ".speechConfig.voiceConfig.prebuiltVoiceConfig.voice", "Unknown name \"voice\" in PrebuiltVoiceConfig.", "Remove it." },
    { CONFIG("'routingConfig':{'autoMode':{},'manualMode':^{}}"), AT_CONFIG ".routingConfig.manualMode", "manualMode cannot stand beside autoMode.", "Keep one" },
    { CONFIG("'topp':^1"), AT_CONFIG ".topp", "Unknown name \"topp\" in GenerationConfig.", "Did you mean \"topP\"?" },
    { CONFIG("'max_output_token':^1"), AT_CONFIG ".max_output_token", "Unknown name", "Did you mean \"max_output_tokens\"?" },
    { CONFIG("'thinkingBudget':^0"), AT_CONFIG ".thinkingBudget", "Unknown name", "Move it: it belongs in thinkingConfig." },
    { CONFIG("'safetySettings':^[]"), AT_CONFIG ".safetySettings", "Unknown name", "Move it: it belongs in the request itself." },
    { CONFIG("'bogus_name':^1"), AT_CONFIG ".bogus_name", "Unknown name \"bogus_name\" in GenerationConfig.", "Remove it." },
    { CONFIG("'topK':1,'top_k':^1"), AT_CONFIG ".top_k", "topK is there twice, in both spellings.", "Keep one" },
    { CONFIG("'topK':1,'top_k':^null"), AT_CONFIG ".top_k", "topK is there twice, in both spellings.", "Keep one" },
    { CONFIG("'max_outputTokens':^1"), AT_CONFIG ".max_outputTokens", "Unknown name", "Did you mean \"max_output_tokens\"?" },
    { WITH("'generationConfig':^[]"), AT_CONFIG, "generationConfig must be an object, but is an array.", "{\"temperature\": 0.5}" },
};

#define SCHEMA(schema) CONFIG("'responseMimeType':'application/json','responseSchema':" schema)
#define AT_SCHEMA AT_CONFIG ".responseSchema"

static const struct fault schema_faults[] = {
    { SCHEMA("{'type':^'TEXT'}"), AT_SCHEMA ".type", "type has no value \"TEXT\".", "Use one of STRING, NUMBER, INTEGER, BOOLEAN, ARRAY, OBJECT, NULL." },
    { SCHEMA("{'type':^'Strng'}"), AT_SCHEMA ".type", "type has no value \"Strng\".", "Did you mean \"STRING\"?" },
    { SCHEMA("^{'type':'ARRAY'}"), AT_SCHEMA, "A schema of type ARRAY has no items.", "\"items\"" },
    { SCHEMA("{'type':'OBJECT','properties':{'a b':^7}}"), AT_SCHEMA ".properties[\"a b\"]", "properties must be an object, but is a number.", "{\"type\": \"STRING\"}" },
    { SCHEMA("{'type':'OBJECT','properties':{'a':{'type':'STRING'}},'required':['a',^'b']}"), AT_SCHEMA ".required[1]", "The required property \"b\" is not among the schema's properties.", "Define it" },
    { SCHEMA("{'anyOf':[{'type':'STRING'},{'maxItems':^'-1'}]}"), AT_SCHEMA ".anyOf[1].maxItems", "maxItems value of -1", "Update" },
    { SCHEMA("{'type':'STRING','enum':['a',^1]}"), AT_SCHEMA ".enum[1]", "enum must be a string, but is a number.", "double quotes" },
    { SCHEMA("{'type':'STRING','$ref':^'#/defs/x'}"), AT_SCHEMA "[\"$ref\"]", "Unknown name \"$ref\" in Schema.", "Did you mean \"ref\"?" },
};

static const struct fault other_faults[] = {
    { WITH("'cachedContent':^'cachedContents/1'"), "request.cachedContent", "cachedContent is not supported.", "Put the cached content into contents" },
    { WITH("'cached_content':^'x'"), "request.cached_content", "cachedContent is not supported.", "contents" },
    { WITH("'tools':[{'retrieval':^{}}]"), "request.tools[0].retrieval", "retrieval is not supported.", "contents" },
    { WITH("'tools':{'google_search_retrieval':^{}}"), "request.tools.google_search_retrieval", "googleSearchRetrieval is not supported.", "contents" },
    { WITH("'tools':[{'fileSearch':^{}}]"), "request.tools[0].fileSearch", "fileSearch is not supported.", "contents" },
    { WITH("'tools':[{'googleSearch':^true}]"), "request.tools[0].googleSearch", "googleSearch must be an object, but is a boolean.", "object" },
    { WITH("'tools':[{'functionDeclarations':[{'name':^'1st'}]}]"), "request.tools[0].functionDeclarations[0].name", "Invalid function name \"1st\".", "letter or underscore" },
    { WITH("'tools':[{'functionDeclarations':[^{'description':'x'}]}]"), "request.tools[0].functionDeclarations[0]", "name is missing in FunctionDeclaration.", "\"name\"" },
    { WITH("'tools':[{'functionDeclarations':[{'name':'f','parameters':{'type':'OBJECT'},'parametersJsonSchema':^{}}]}]"), "request.tools[0].functionDeclarations[0].parametersJsonSchema", "parametersJsonSchema cannot stand beside parameters.", "Keep one" },
    { WITH("'toolConfig':{'functionCallingConfig':{'mode':^6}}"), "request.toolConfig.functionCallingConfig.mode", "mode has no value 6.", "Use one of AUTO, ANY, NONE, VALIDATED." },
    { WITH("'toolConfig':{'functionCallingConfig':{'mode':^true}}"), "request.toolConfig.functionCallingConfig.mode", "mode must be a string, but is a boolean.", "double quotes" },
    { WITH("'safetySettings':[{'category':^'HARM_CATEGORY_HATE','threshold':'OFF'}]"), "request.safetySettings[0].category", "category has no value \"HARM_CATEGORY_HATE\".", "HARM_CATEGORY_HATE_SPEECH" },
    { WITH("'safetySettings':[^{'category':'HARM_CATEGORY_HARASSMENT'}]"), "request.safetySettings[0]", "threshold is missing in SafetySetting.", "BLOCK_ONLY_HIGH" },
    { WITH("'labels':{'team':^5}"), "request.labels.team", "labels must be a string, but is a number.", "double quotes" },
    { WITH("'labels':{'':^'x'}"), "request.labels[\"\"]", "A label's key or value is empty or longer than 64 bytes.", "Shorten" },
    { WITH("'labels':{'team':^'12345678901234567890123456789012345678901234567890123456789012345'}"), "request.labels.team", "longer than 64 bytes.", "Shorten" },
    { WITH("'labels':^['x']"), "request.labels", "labels must be an object, but is an array.", "object of strings" },
    { WITH("'temperature':^1"), "request.temperature", "Unknown name \"temperature\" in GenerateContentRequest.", "Move it: it belongs in generationConfig." },
    { WITH("'config':^{'temperature':1}"), "request.config", "Unknown name \"config\" in GenerateContentRequest.", "its other members into generationConfig." },
    { "{'request':{'content':^'a text'}}", "request.content", "content must be an object, but is a string.", "\"parts\": [{\"text\": \"...\"}]}" },
    { WITH("'content':^[]"), "request.content", "Unknown name \"content\" in GenerateContentRequest.", "Did you mean \"contents\"?" },
    { "{'request':{'content':{'parts':{'text':'a'}},'taskType':^'QUERY'}}", "request.taskType", "taskType has no value \"QUERY\".", "RETRIEVAL_QUERY" },
    { "{'request':{'content':{'parts':{'text':'a'}},'outputDimensionalty':^1}}", "request.outputDimensionalty", "Unknown name \"outputDimensionalty\" in EmbedContentRequest.", "Did you mean \"outputDimensionality\"?" },
    { "{'request':{'content':{'parts':{'text':'a'}},'outputDimensionality':^65537}}", "request.outputDimensionality", "from 1 (inclusive) to 65537 (exclusive)", "Update" },
    { "{'request':{'content':{'parts':{'text':'a'}},'outputDimensionality':^0}}", "request.outputDimensionality", "from 1 (inclusive) to 65537 (exclusive)", "Update" },
    { "{'request':{'content':^{'parts':[]}}}", "request.content", "at least one parts field", "Add parts" },
    { WITH("'content':^{'parts':{'text':'a'}}"), "request.content", "Unknown name \"content\" in GenerateContentRequest.", "Did you mean \"contents\"?" },
    { WITH("'odd key\\n':^[]"), "request[\"odd key\\n\"]", "Unknown name \"odd key\\n\" in GenerateContentRequest.", "Remove it." },
};

static const struct fault line_faults[] = {
    { "^", "", "There is no JSON: the text is empty.", "one JSON object" },
    { "{'request':{'contents':^}}", "", "\"}\" stands here, expected a valid JSON value.", "one JSON object" },
    { "{'request':{'contents':'^\t'}}", "", "A control character (0x09) stands in a string", "one JSON object" },
    { "^[1]", "", "The line is JSON, but not an object.", "`jq -c '.[]'`" },
    { " [^", "", "The JSON ends too early", "`jq -c '.[]'`" },
    { "{^", "", "The JSON ends too early", "`jq -c .`" },
    { "^'text'", "", "The line is JSON, but not an object.", "one JSON object" },
    { "^{}", "", "The line has no \"request\" and is not a request itself.", "Write the line as {\"request\": {\"contents\"" },
    { " ^{'prompt':'x'}", "", "The line has no \"request\" and is not a request itself.", "Write the line as {\"request\"" },
    { "^{'custom_id':'1','url':'/v1','body':{'messages':[]}}", "", "The line has no \"request\" and is not a request itself.", "OpenAI's batch format" },
    { "^{'custom_id':'1','params':{'messages':[]}}", "", "The line has no \"request\" and is not a request itself.", "Anthropic's batch format" },
    { "^{'model':'m','messages':[]}", "", "The line has no \"request\" and is not a request itself.", "Write the text of messages" },
    { "^{'instances':[{'prompt':'x'}]}", "", "The line has no \"request\" and is not a request itself.", "each instance on a line" },
    { "^{'Request':{'contents':[]}}", "", "The line has no \"request\"", "Rename \"Request\" to \"request\"." },
    { "{'request':^[]}", "request", "request must be an object.", "contents" },
    { "{'request':^null}", "request", "request must be an object.", "contents" },
    { "{'request':^'{}'}", "request", "at least one contents field", "Add contents" },
    { "{'request':^'hello'}", "request", "request must be an object.", "contents" },
    { "{'request':^'{\\'contents\\':[{\\'role\\':\\'x\\',\\'parts\\':{\\'text\\':\\'a\\'}}]}'}", "request.contents[0].role", "valid role", "Write \"user\"" },
    { "^{'custom_id':'n','method':'POST','url':'/v1/models/m:generateContent','body':{'contents':[{'parts':[{'text':'a'}]}]}}", "", "The line has no \"request\"", "Put what is in \"body\" under \"request\"" },
    { "^{'id':1,'data':{'contents':[]}}", "", "The line has no \"request\"", "Put what is in \"data\" under \"request\"" },
    { "{'content':'a text','title':^5}", "title", "title must be a string, but is a number.", "" },
    { "{'contents':[{'parts':{'text':'x'}}],'custom_id':^7}", "custom_id", "Unknown name \"custom_id\" in GenerateContentRequest.", "Wrap the request to keep your own keys: {\"request\": {...}, \"custom_id\": ...}." },
    { "{'contents':[{'parts':{'text':^''}}]}", "contents[0].parts.text", "empty text parameter", "Add a value" },
    { "{'request':{'contents':{'parts':{'text':'x'}}},'status':^''}", "status", "\"status\" is written by the service.", "use --retry-failed" },
    { "{'response':^{},'request':{'contents':{'parts':{'text':'x'}}}}", "response", "\"response\" is written by the service.", "Rename it" },
    { "{'processed_time':^1,'request':{'contents':{'parts':{'text':'x'}}}}", "processed_time", "\"processed_time\" is written by the service.", "Rename it" },
    { "{'request':{'contents':{'parts':{'text':'x','text':^'y'}}}}", "request.contents.parts.text", "The key stands twice in one object.", "Remove" },
    { "{'request':{'contents':{'parts':{'text':'x'}}},'k':{'a':1,'\\u0061':^2}}", "k.a", "The key stands twice in one object.", "Remove" },
};
// clang-format on

static void check_fault(const struct fault *f, struct reading *r)
{
    const struct violation *v = &r->bad.item[0];

    reading_run(r, str_of(f->line), false);
    if (r->ok || r->line.request)
        fail_msg("accepted: %s", f->line);
    if (r->bad.count != 1)
        fail_msg("%u violations, the second %s: %s", r->bad.count, r->bad.item[1].message, f->line);
    if (strcmp(v->path, f->path) != 0 || v->offset != r->mark[0])
        fail_msg("%s at %zu, not %zu: %s", v->path, v->offset, r->mark[0], f->line);
    if (!strstr(v->message, f->message) || !strstr(v->remedy, f->remedy))
        fail_msg("%s | %s: %s", v->message, v->remedy, f->line);
    if (v->message[strlen(v->message) - 1] != '.')
        fail_msg("no full stop: %s", v->message);
    reading_release(r);
}

static void check_faults(const struct fault *f, size_t count)
{
    struct reading *r = mem_alloc(sizeof *r);

    for (size_t i = 0; i < count; i++)
        check_fault(&f[i], r);
    mem_free(r);
}

#define CHECK_FAULTS(table) check_faults((table), ARRAY_LEN(table))

static void test_each_fault_of_contents_is_reported_where_it_stands(void **state)
{
    (void)state;
    CHECK_FAULTS(content_faults);
}

static void test_each_fault_of_the_generation_config_is_reported_where_it_stands(void **state)
{
    (void)state;
    CHECK_FAULTS(config_faults);
}

static void test_each_fault_of_a_schema_is_reported_where_it_stands(void **state)
{
    (void)state;
    CHECK_FAULTS(schema_faults);
}

static void test_each_fault_of_tools_safety_and_labels_is_reported_where_it_stands(void **state)
{
    (void)state;
    CHECK_FAULTS(other_faults);
}

static void test_each_fault_of_the_line_is_reported_where_it_stands(void **state)
{
    (void)state;
    CHECK_FAULTS(line_faults);
}

static void test_all_faults_of_a_line_are_reported_in_order_of_position(void **state)
{
    static const char line[] =
        "{'status':^'','request':{'contents':[{'role':^'x','parts':[{'text':^''},^{}]}],"
        "'generationConfig':{'logprobs':^3,'temperature':^9},'toolz':^[]}}";
    static const char *const paths[] = { "status",
                                         "request.contents[0].role",
                                         "request.contents[0].parts[0].text",
                                         "request.contents[0].parts[1]",
                                         "request.generationConfig.logprobs",
                                         "request.generationConfig.temperature",
                                         "request.toolz" };
    struct reading *r = mem_alloc(sizeof *r);

    (void)state;
    reading_run(r, str_of(line), false);
    assert_int_equal(r->bad.count, 7);
    for (size_t i = 0; i < 7; i++) {
        assert_string_equal(r->bad.item[i].path, paths[i]);
        assert_int_equal(r->bad.item[i].offset, r->mark[i]);
    }
    reading_release(r);
    mem_free(r);
}

static void test_more_faults_than_fit_are_counted(void **state)
{
    struct reading *r = mem_alloc(sizeof *r);
    struct buf b = BUF_INIT(4096);

    (void)state;
    buf_add_c(&b, "{'request':{'contents':[");
    for (int i = 0; i < 100; i++)
        buf_addf(&b, "%s1", i ? "," : "");
    buf_add_c(&b, "]}}");
    reading_run(r, buf_str(&b), false);
    assert_int_equal(r->bad.count, 100);
    assert_int_equal(violations_held(&r->bad), VIOLATIONS_PER_LINE_MAX);
    assert_string_equal(r->bad.item[15].path, "request.contents[15]");
    reading_release(r);
    mem_free(r);
    buf_release(&b);
}

/* Lists at their limits: count entries are allowed, one more is refused at the list. */
static const struct {
    const char *before, *entry, *after, *path;
    size_t max;
} limits[] = {
    { "{'request':{'contents':[", "{'parts':{'text':'x'}}", "]}}", "request.contents",
      REQUEST_CONTENTS_MAX },
    { "{'request':{'contents':{'parts':[", "{'text':'x'}", "]}}}", "request.contents.parts",
      REQUEST_PARTS_MAX },
    { "{'request':{'contents':{'parts':{'text':'x'}},'tools':{'functionDeclarations':[",
      "{'name':'f'}", "]}}}", "request.tools.functionDeclarations", REQUEST_FUNCTIONS_MAX },
    { "{'request':{'contents':{'parts':{'text':'x'}},'generationConfig':{'responseMimeType':"
      "'application/json','responseSchema':{'properties':{'a':{}},'required':[",
      "'a'", "]}}}}", "request.generationConfig.responseSchema.required", SCHEMA_PROPERTIES_MAX },
    { "{'request':{'contents':{'parts':{'text':'x'}},'generationConfig':{'responseMimeType':"
      "'application/json','responseSchema':{'properties':{'a':{}},'propertyOrdering':[",
      "'a'", "]}}}}", "request.generationConfig.responseSchema.propertyOrdering",
      SCHEMA_PROPERTIES_MAX },
};

static void test_a_line_of_nothing_but_faults_is_not_read_on_for_ever(void **state)
{
    struct reading *r = mem_alloc(sizeof *r);
    struct buf b = BUF_INIT((size_t)1024 * 1024);

    (void)state;
    buf_add_c(&b, "{'request':{'contents':{'parts':[1");
    for (int i = 0; i < 100000; i++)
        buf_add_c(&b, ",1");
    buf_add_c(&b, "]}}}");
    reading_run(r, buf_str(&b), false);
    assert_in_range(r->bad.count, VIOLATIONS_COUNTED_MAX, VIOLATIONS_COUNTED_MAX + 10);
    reading_release(r);
    mem_free(r);
    buf_release(&b);
}

static void test_a_list_at_its_limit_is_allowed_and_one_more_is_not(void **state)
{
    struct reading *r = mem_alloc(sizeof *r);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        for (size_t more = 0; more < 2; more++) {
            struct buf b = BUF_INIT((size_t)1024 * 1024);

            buf_add_c(&b, limits[i].before);
            for (size_t n = 0; n < limits[i].max + more; n++)
                buf_addf(&b, "%s%s", n ? "," : "", limits[i].entry);
            buf_add_c(&b, limits[i].after);
            reading_run(r, buf_str(&b), false);
            assert_int_equal(r->bad.count, more);
            assert_int_equal(r->ok, !more);
            if (more)
                assert_string_equal(r->bad.item[0].path, limits[i].path);
            reading_release(r);
            buf_release(&b);
        }
    }
    mem_free(r);
}

static void test_text_of_the_users_is_cut_and_escaped_in_messages(void **state)
{
    struct reading *r = mem_alloc(sizeof *r);
    struct buf b = BUF_INIT(8192);

    (void)state;
    buf_add_c(&b, "{'request':{'contents':[{'parts':[{'text':'x'}]}],'");
    for (int i = 0; i < 1000; i++)
        buf_add_c(&b, i % 2 ? "\\u001b" : "\xf0\x9f\x8d\x8c");
    buf_add_c(&b, "':1}}");
    reading_run(r, buf_str(&b), false);
    assert_int_equal(r->bad.count, 1);
    const struct violation *v = &r->bad.item[0];
    assert_non_null(strstr(v->message, "\\u001b"));
    assert_non_null(strstr(v->message, "...\" in GenerateContentRequest."));
    assert_null(strchr(v->message, '\x1b'));
    assert_int_equal(str_utf8_valid(str_of(v->message)), strlen(v->message));
    assert_int_equal(str_utf8_valid(str_of(v->path)), strlen(v->path));
    assert_int_equal(strlen(v->path) / 8, (VIOLATION_PATH_BYTES - 1) / 8);
    reading_release(r);
    mem_free(r);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_fault_of_contents_is_reported_where_it_stands),
        cmocka_unit_test(test_each_fault_of_the_generation_config_is_reported_where_it_stands),
        cmocka_unit_test(test_each_fault_of_a_schema_is_reported_where_it_stands),
        cmocka_unit_test(test_each_fault_of_tools_safety_and_labels_is_reported_where_it_stands),
        cmocka_unit_test(test_each_fault_of_the_line_is_reported_where_it_stands),
        cmocka_unit_test(test_all_faults_of_a_line_are_reported_in_order_of_position),
        cmocka_unit_test(test_more_faults_than_fit_are_counted),
        cmocka_unit_test(test_a_line_of_nothing_but_faults_is_not_read_on_for_ever),
        cmocka_unit_test(test_a_list_at_its_limit_is_allowed_and_one_more_is_not),
        cmocka_unit_test(test_text_of_the_users_is_cut_and_escaped_in_messages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
