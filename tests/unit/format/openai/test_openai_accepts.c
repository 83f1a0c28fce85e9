/* Goal: what an OpenAI server cannot be told is refused with its place, and nothing else is. Method:
 * requests with one such thing; the limits at their maximum and one past it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "format/tools/functions.h"

#include "unit/format/openai/openai_case.h"

/* The path of the refusal, or "" when the request is taken. A refused one is never written either,
 * when it could not be understood. */
static const char *refused_at(const struct request *r)
{
    static struct violation why; /* one thread runs this */

    if (openai_accepts(r, &why))
        return "";
    assert_true(why.message[0] && why.remedy[0]);
    return why.path;
}

static void test_what_stands_beside_contents_is_refused_by_its_path(void **state)
{
    static const struct {
        const char *extra, *path;
    } cases[] = {
        { "'continuationToken':'x'", "continuationToken" },
        { "'model_armor_config':{'promptTemplateName':'x'}", "modelArmorConfig" },
        { "'serviceTier':'flex'", "serviceTier" },
        { "'serviceTier':'SERVICE_TIER_UNSPECIFIED'", "" },
        { "'store':true", "store" },
        { "'generationConfig':{'mediaResolution':'MEDIA_RESOLUTION_LOW'}",
          "generationConfig.mediaResolution" },
        { "'generation_config':{'audio_timestamp':true}", "generationConfig.audioTimestamp" },
        { "'generationConfig':{'speechConfig':{'languageCode':'de'}}",
          "generationConfig.speechConfig" },
        { "'generationConfig':{'imageConfig':{'a':1}}", "generationConfig.imageConfig" },
        { "'generationConfig':{'routingConfig':{'manualMode':{'modelName':'x'}}}",
          "generationConfig.routingConfig" },
        { "'generationConfig':{'enableAffectiveDialog':true}",
          "generationConfig.enableAffectiveDialog" },
        { "'generationConfig':{'thinkingConfig':{'thinkingBudget':1024}}",
          "generationConfig.thinkingConfig.thinkingBudget" },
        { "'generationConfig':{'responseMimeType':'application/json','responseSchema':{'ref':"
          "'#/defs/None'}}",
          "generationConfig.responseSchema" },
        { "'generationConfig':{'responseMimeType':'application/json','responseJsonSchema':true}",
          "generationConfig.responseJsonSchema" },
        { "'generationConfig':{'responseMimeType':'text/x.enum','responseJsonSchema':{'enum':[1]}}",
          "generationConfig.responseJsonSchema.enum" },
        { "'generationConfig':{'responseMimeType':'text/x.enum','responseSchema':{'enum':['']}}",
          "generationConfig.responseSchema.enum" },
        { "'safetySettings':[{'category':'HARM_CATEGORY_HARASSMENT','threshold':'OFF'},{'category':"
          "'HARM_CATEGORY_HARASSMENT','threshold':'BLOCK_ONLY_HIGH'}]",
          "safetySettings[1].threshold" },
        { "'tools':[{'googleSearch':{}}]", "tools[0].googleSearch" },
        { "'tools':[{'functionDeclarations':{'name':'f'}},{'code_execution':{}}]",
          "tools[1].code_execution" },
        { "'tools':{'urlContext':{}}", "tools[0].urlContext" },
        { "'tools':{'googleSearch':null,'functionDeclarations':{'name':'f'}}", "" },
        { "'tools':{'functionDeclarations':[{'name':'f'},{'name':'f','behavior':'NON_BLOCKING'}]}",
          "tools[0].functionDeclarations[1].behavior" },
        { "'tools':{'functionDeclarations':{'name':'f','parametersJsonSchema':[]}}",
          "tools[0].functionDeclarations[0].parametersJsonSchema" },
        { "'tools':{'functionDeclarations':{'name':'f','parametersJsonSchema':{'properties':{'a':{'"
          "x-guidance':{}}}}}}",
          "tools[0].functionDeclarations[0].parametersJsonSchema.properties.a[\"x-guidance\"]" },
        { "'tools':{'functionDeclarations':{'name':'f','parametersJsonSchema':{'type':'object','if'"
          ":{}}}}",
          "tools[0].functionDeclarations[0].parametersJsonSchema.if" },
        { "'tools':{'functionDeclarations':{'name':'f','parametersJsonSchema':{'properties':{'a':{'"
          "minLength':2,'maxLength':1}}}}}",
          "tools[0].functionDeclarations[0].parametersJsonSchema.properties.a.minLength" },
        { "'tools':{'functionDeclarations':{'name':'f','parametersJsonSchema':{'$ref':'https://"
          "example.com/a.json'}}}",
          "tools[0].functionDeclarations[0].parametersJsonSchema.$ref" },
        { "'tools':{'functionDeclarations':{'name':'f','parameters':{'type':'OBJECT','properties':{"
          "'a':{'type':'STRING','pattern':'('}}}}}",
          "tools[0].functionDeclarations[0].parameters.properties.a.pattern" },
        { "'tools':{'functionDeclarations':{'name':'f','parameters':{'ref':'x'}}}",
          "tools[0].functionDeclarations[0].parameters" },
        { "'toolConfig':{'retrievalConfig':{'languageCode':'de'}}", "toolConfig.retrievalConfig" },
        { "'toolConfig':{'functionCallingConfig':{'mode':'ANY'}}",
          "toolConfig.functionCallingConfig.mode" },
        { "'tools':{'functionDeclarations':{'name':'f'}},'toolConfig':{'functionCallingConfig':"
          "{'mode':'ANY','allowedFunctionNames':['g']}}",
          "toolConfig.functionCallingConfig.allowedFunctionNames" },
        { "'tools':{'functionDeclarations':{'name':'f'}},'toolConfig':{'functionCallingConfig':"
          "{'mode':'NONE','allowedFunctionNames':['g']}}",
          "" },
        { "'toolConfig':{'functionCallingConfig':{'streamFunctionCallArguments':true}}",
          "toolConfig.functionCallingConfig.streamFunctionCallArguments" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(refused_at(read_with(*state, cases[i].extra)), cases[i].path);
}

static void test_what_stands_in_contents_is_refused_by_its_path(void **state)
{
    static const struct {
        const char *contents, *path;
    } cases[] = {
        { "[{'parts':{'text':'x'}},{'parts':[{'text':'x'},{'inlineData':{'mimeType':'text/plain',"
          "'data':'QUJD'}}]}]",
          "contents[1].parts[1].inlineData.mimeType" },
        { "{'parts':{'inlineData':{'mimeType':'audio/flac','data':'QUJD'}}}",
          "contents[0].parts[0].inlineData.mimeType" },
        { "{'parts':{'inlineData':{'mimeType':'application/pdfx','data':'QUJD'}}}",
          "contents[0].parts[0].inlineData.mimeType" },
        { "{'parts':{'fileData':{'mimeType':'text/csv','fileUri':'gs://b/o'}}}",
          "contents[0].parts[0].fileData.mimeType" },
        { "{'parts':{'fileData':{'mimeType':'image/png','fileUri':'files/abc'}}}",
          "contents[0].parts[0].fileData.fileUri" },
        { "{'parts':{'fileData':{'mimeType':'video/mp4','fileUri':'https://youtu.be/x'}}}",
          "contents[0].parts[0].fileData.fileUri" },
        { "{'parts':{'fileData':{'mimeType':'video/mp4','fileUri':'gs://b/o'}}}", "" },
        { "{'role':'model','parts':{'inlineData':{'mimeType':'image/png','data':'QUJD'}}}",
          "contents[0].parts[0]" },
        { "{'parts':{'fileData':{'mimeType':'video/mp4','fileUri':'gs://b/o'},'videoMetadata':"
          "{'fps':1}}}",
          "contents[0].parts[0].videoMetadata" },
        { "{'parts':{'inlineData':{'mimeType':'image/png','data':'QUJD'},'mediaResolution':"
          "{'level':'MEDIA_RESOLUTION_HIGH'}}}",
          "contents[0].parts[0].mediaResolution" },
        { "{'parts':{'text':'x','partMetadata':{'a':1}}}", "" },
        { "{'parts':{'text':'x','speechMetadata':{'a':1}}}",
          "contents[0].parts[0].speechMetadata" },
        { "{'role':'model','parts':{'executableCode':{'language':'PYTHON','code':'1'}}}",
          "contents[0].parts[0]" },
        { "{'role':'model','parts':{'codeExecutionResult':{'outcome':'OUTCOME_OK'}}}",
          "contents[0].parts[0]" },
        { "{'parts':{'functionCall':{'name':'f'}}}", "contents[0].parts[0].functionCall" },
        { "{'role':'model','parts':{'functionCall':{'name':'f','willContinue':true}}}",
          "contents[0].parts[0].functionCall.willContinue" },
        { "{'role':'model','parts':{'functionResponse':{'name':'f','response':{}}}}",
          "contents[0].parts[0].functionResponse" },
        { "{'parts':{'functionResponse':{'name':'f','response':{}}}}",
          "contents[0].parts[0].functionResponse" },
        { "[{'role':'model','parts':{'functionCall':{'name':'f'}}},{'parts':[{'functionResponse':"
          "{'name':'f','response':{}}},{'functionResponse':{'name':'f','response':{}}}]}]",
          "contents[1].parts[1].functionResponse" },
        { "[{'role':'model','parts':{'functionCall':{'name':'f'}}},{'parts':{'functionResponse':"
          "{'name':'f','response':{},'scheduling':'SILENT'}}}]",
          "contents[1].parts[0].functionResponse.scheduling" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b = BUF_INIT(4096);
        buf_addf(&b, "{'contents':%s}", cases[i].contents);
        assert_string_equal(refused_at(read_request(*state, b.p)), cases[i].path);
        buf_release(&b);
    }
}

static void test_a_system_instruction_is_text(void **state)
{
    const struct request *r =
        read_with(*state, "'systemInstruction':{'parts':[{'text':'x'},{'inlineData':{'mimeType':"
                          "'image/png','data':'QUJD'}}]}");

    assert_string_equal(refused_at(r), "systemInstruction.parts[1]");
}

/* A request with so many items between before and after. */
static const struct request *read_many(struct reading *s, const char *before, const char *item,
                                       unsigned count, const char *after)
{
    struct buf b = BUF_INIT(BODY_BYTES_MAX);

    buf_addf(&b, "{%s", before);
    for (unsigned i = 0; i < count; i++)
        buf_addf(&b, "%s%s", i ? "," : "", item);
    buf_addf(&b, "%s}", after);
    const struct request *r = read_request(s, b.p);
    buf_release(&b);
    return r;
}

static void test_so_many_calls_are_taken_and_no_more(void **state)
{
    static const char before[] = "'contents':[{'role':'model','parts':[",
                      call[] = "{'functionCall':{'name':'f'}}", after[] = "]}]";
    struct buf out = BUF_INIT(BODY_BYTES_MAX);
    struct error e = { 0 };

    assert_string_equal(refused_at(read_many(*state, before, call, OPENAI_CALLS_MAX, after)), "");
    const struct request *r = read_many(*state, before, call, OPENAI_CALLS_MAX + 1, after);
    assert_string_equal(refused_at(r), "contents[0].parts[1024].functionCall");
    assert_int_equal(openai_request_write(r, "m", false, NULL, &out, &e), -1);
    assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
    buf_release(&out);
}

static void test_so_many_functions_are_taken_and_no_more(void **state)
{
    static const char before[] = "'contents':{'parts':{'text':'x'}},'tools':[",
                      tool[] = "{'functionDeclarations':{'name':'f'}}", after[] = "]";

    assert_string_equal(refused_at(read_many(*state, before, tool, OPENAI_FUNCTIONS_MAX, after)),
                        "");
    assert_string_equal(
        refused_at(read_many(*state, before, tool, OPENAI_FUNCTIONS_MAX + 1, after)), "tools");
}

static void test_so_many_allowed_names_are_taken_and_no_more(void **state)
{
    static const char before[] =
        "'contents':{'parts':{'text':'x'}},'tools':{'functionDeclarations':{'name':'f'}},"
        "'toolConfig':{'functionCallingConfig':{'mode':'ANY','allowedFunctionNames':[",
                      after[] = "]}}";

    assert_string_equal(refused_at(read_many(*state, before, "'f'", FUNCTIONS_ALLOWED_MAX, after)),
                        "");
    assert_string_equal(
        refused_at(read_many(*state, before, "'f'", FUNCTIONS_ALLOWED_MAX + 1, after)),
        "toolConfig.functionCallingConfig.allowedFunctionNames");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, reading_setup, reading_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_what_stands_beside_contents_is_refused_by_its_path),
        TEST(test_what_stands_in_contents_is_refused_by_its_path),
        TEST(test_a_system_instruction_is_text),
        TEST(test_so_many_calls_are_taken_and_no_more),
        TEST(test_so_many_functions_are_taken_and_no_more),
        TEST(test_so_many_allowed_names_are_taken_and_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
