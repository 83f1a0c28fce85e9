/* Goal: a request becomes the chat completion that asks the same. Method: pairs of texts, as a server
 * would get them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#include "unit/format/openai/openai_case.h"

#define MODEL "m"

static void check_body(const struct request *r, const struct file_contents *files, const char *want)
{
    struct buf got = BUF_INIT(BODY_BYTES_MAX), wanted = unquoted(want);
    struct violation why;
    struct error e = { 0 };

    if (!openai_accepts(r, &why))
        fail_msg("%s: %s", why.path, why.message);
    if (openai_request_write(r, MODEL, false, files, &got, &e) < 0)
        fail_msg("%s", e.msg);
    assert_string_equal(got.p, wanted.p);
    buf_release(&got);
    buf_release(&wanted);
}

/* contents as given give messages. */
static void check_messages(struct reading *s, const char *request, const char *messages)
{
    struct buf line = BUF_INIT(BODY_BYTES_MAX), want = BUF_INIT(BODY_BYTES_MAX);

    buf_addf(&line, "{%s}", request);
    buf_addf(&want, "{'model':'m','messages':[%s]}", messages);
    check_body(read_request(s, line.p), NULL, want.p);
    buf_release(&line);
    buf_release(&want);
}

/* What stands beside one user text gives what stands beside one user message. */
static void check_rest(struct reading *s, const char *extra, const char *rest)
{
    struct buf want = BUF_INIT(BODY_BYTES_MAX);

    buf_addf(&want, "{'model':'m','messages':[{'role':'user','content':'x'}]%s%s}",
             *rest ? "," : "", rest);
    check_body(read_with(s, extra), NULL, want.p);
    buf_release(&want);
}

static void test_turns_become_messages(void **state)
{
    check_messages(
        *state,
        "'contents':[{'role':'user','parts':[{'text':'a'}]},{'role':'model','parts':["
        "{'text':'b'}]},{'parts':[{'text':'c \\\\ \\u00fc'}]}],"
        "'systemInstruction':{'parts':{'text':'be brief'}}",
        "{'role':'system','content':'be brief'},{'role':'user','content':'a'},"
        "{'role':'assistant','content':'b'},{'role':'user','content':'c \\\\ \xC3\xBC'}");
}

static void test_texts_of_a_turn_are_joined_by_a_line_feed(void **state)
{
    check_messages(*state,
                   "'contents':{'parts':[{'text':'a'},{'text':'b\\n'},{'text':'c'}]},"
                   "'system_instruction':{'parts':[{'text':'s'},{'text':'t'}]}",
                   "{'role':'system','content':'s\\nt'},{'role':'user','content':'a\\nb\\n\\nc'}");
}

static void test_thoughts_of_earlier_turns_are_not_sent(void **state)
{
    check_messages(*state,
                   "'contents':[{'parts':{'text':'a'}},{'role':'model','parts':[{'text':'hm',"
                   "'thought':true},{'text':'b','thoughtSignature':'QUJD'}]},{'role':'model',"
                   "'parts':{'text':'hm','thought':true}},{'parts':{'text':'c'}}]",
                   "{'role':'user','content':'a'},{'role':'assistant','content':'b'},"
                   "{'role':'user','content':'c'}");
}

static void test_inline_media_become_content_parts(void **state)
{
    check_messages(
        *state,
        "'contents':{'parts':[{'text':'what?'},{'inlineData':{'mimeType':'image/png','data':"
        "'QUI'}},{'inline_data':{'mime_type':'audio/mpeg','data':'a-_b'}},"
        "{'inlineData':{'mimeType':'audio/x-wav; rate=8000','data':'QUJD'}},{'inlineData':"
        "{'mimeType':'application/pdf','data':'QUJD','displayName':'bill.pdf'}},{'inlineData':"
        "{'mimeType':'application/pdf','data':'QUJD'}},{'inlineData':{'mimeType':'VIDEO/mp4',"
        "'data':'QUJD'}}]}",
        "{'role':'user','content':[{'type':'text','text':'what?'},"
        "{'type':'image_url','image_url':{'url':'data:image/png;base64,QUI='}},"
        "{'type':'input_audio','input_audio':{'data':'a+/b','format':'mp3'}},"
        "{'type':'input_audio','input_audio':{'data':'QUJD','format':'wav'}},"
        "{'type':'file','file':{'filename':'bill.pdf','file_data':"
        "'data:application/pdf;base64,QUJD'}},"
        "{'type':'file','file':{'filename':'document.pdf','file_data':"
        "'data:application/pdf;base64,QUJD'}},"
        "{'type':'video_url','video_url':{'url':'data:VIDEO/mp4;base64,QUJD'}}]}");
}

static void test_files_that_were_fetched_are_sent_along(void **state)
{
    const struct file_content item[] = {
        { STR_INIT("gs://b/x"), STR_INIT("QQ==") },
        { STR_INIT("gs://b/dir/y.pdf"), STR_INIT("QUJD") },
    };
    const struct file_contents files = { item, 2 };

    check_body(read_request(*state,
                            "{'contents':{'parts':[{'fileData':{'mimeType':'application/pdf',"
                            "'fileUri':'gs://b/dir/y.pdf'}},{'fileData':{'mimeType':'image/jpeg',"
                            "'fileUri':'gs://b/x'}}]}}"),
               &files,
               "{'model':'m','messages':[{'role':'user','content':[{'type':'file','file':"
               "{'filename':'y.pdf','file_data':'data:application/pdf;base64,QUJD'}},"
               "{'type':'image_url','image_url':{'url':'data:image/jpeg;base64,QQ=='}}]}]}");
}

static void test_images_of_the_web_pass_by_their_address(void **state)
{
    check_messages(*state,
                   "'contents':{'parts':{'fileData':{'mimeType':'image/webp','fileUri':"
                   "'https://h/p?a=1&b=\\\"2'}}}",
                   "{'role':'user','content':[{'type':'image_url','image_url':{'url':"
                   "'https://h/p?a=1&b=\\'2'}}]}");
}

static void test_a_file_without_content_is_not_found(void **state)
{
    const struct request *r = read_request(
        *state,
        "{'contents':{'parts':{'fileData':{'mimeType':'image/png','fileUri':'gs://b/x'}}}}");
    const struct file_content item = { STR_INIT("gs://b/y"), STR_INIT("QQ==") };
    const struct file_contents files = { &item, 1 };
    struct buf out = BUF_INIT(BODY_BYTES_MAX);
    struct error e = { 0 };

    assert_int_equal(openai_request_write(r, MODEL, false, &files, &out, &e), -1);
    assert_int_equal(e.code, ERROR_NOT_FOUND);
    assert_string_equal(e.msg, "The content of the file gs://b/x is missing.");
    buf_release(&out);
}

static void test_functions_become_tools_in_both_schema_dialects(void **state)
{
    check_rest(*state,
               "'tools':[{'functionDeclarations':[{'name':'f','description':'d','parameters':"
               "{'type':'OBJECT','properties':{'a':{'type':'INTEGER'}}}},{'name':'g',"
               "'parametersJsonSchema':{'type':'object','$defs':{}}}]},{'function_declarations':"
               "{'name':'h'}}]",
               "'tools':[{'type':'function','function':{'name':'f','description':'d','parameters':"
               "{'type':'object','properties':{'a':{'type':'integer'}},'additionalProperties':"
               "false}}},{'type':'function','function':{'name':'g','parameters':{'type':'object',"
               "'$defs':{}}}},{'type':'function','function':{'name':'h','parameters':{'type':"
               "'object','properties':{}}}}]");
}

#define TWO_TOOLS "'tools':{'functionDeclarations':[{'name':'f'},{'name':'g'}]}"
#define TOOL(name)                                                                                 \
    "{'type':'function','function':{'name':'" name "','parameters':{'type':'object','properties':" \
    "{}}}}"

static void test_calling_modes_become_the_choice_of_tools(void **state)
{
    static const struct {
        const char *config, *tools;
    } cases[] = {
        { "'mode':'AUTO'", "'tools':[" TOOL("f") "," TOOL("g") "]" },
        { "'mode':'MODE_UNSPECIFIED'", "'tools':[" TOOL("f") "," TOOL("g") "]" },
        { "'mode':'VALIDATED'", "'tools':[" TOOL("f") "," TOOL("g") "]" },
        { "'mode':'NONE'", "'tools':[" TOOL("f") "," TOOL("g") "],'tool_choice':'none'" },
        { "'mode':'ANY'", "'tools':[" TOOL("f") "," TOOL("g") "],'tool_choice':'required'" },
        { "'mode':'ANY','allowedFunctionNames':['g']",
          "'tools':[" TOOL("g") "],'tool_choice':'required'" },
        { "'mode':'ANY','allowedFunctionNames':['g','f','none']",
          "'tools':[" TOOL("f") "," TOOL("g") "],'tool_choice':'required'" },
        { "'mode':'AUTO','allowed_function_names':'g'", "'tools':[" TOOL("g") "]" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b = BUF_INIT(4096);
        buf_addf(&b, TWO_TOOLS ",'toolConfig':{'functionCallingConfig':{%s}}", cases[i].config);
        check_rest(*state, b.p, cases[i].tools);
        buf_release(&b);
    }
}

static void test_several_allowed_functions_of_more_are_the_only_ones_sent(void **state)
{
    check_rest(*state,
               "'tools':{'functionDeclarations':[{'name':'f'},{'name':'g'},{'name':'h'}]},"
               "'toolConfig':{'functionCallingConfig':{'mode':'ANY','allowedFunctionNames':['h',"
               "'f']}}",
               "'tools':[" TOOL("f") "," TOOL("h") "],'tool_choice':'required'");
}

static void test_validated_functions_are_strict_where_they_can_be(void **state)
{
    check_rest(*state,
               "'tools':{'functionDeclarations':[{'name':'f','parameters':{'type':'OBJECT',"
               "'properties':{'a':{'type':'STRING'}},'required':['a']}},{'name':'g','parameters':"
               "{'type':'OBJECT','properties':{'a':{'type':'STRING'}}}}]},'toolConfig':"
               "{'functionCallingConfig':{'mode':'VALIDATED'}}",
               "'tools':[{'type':'function','function':{'name':'f','strict':true,'parameters':"
               "{'type':'object','properties':{'a':{'type':'string'}},'required':['a'],"
               "'additionalProperties':false}}},{'type':'function','function':{'name':'g',"
               "'parameters':{'type':'object','properties':{'a':{'type':'string'}},"
               "'additionalProperties':false}}}]");
}

static void test_tools_without_functions_are_left_out(void **state)
{
    check_rest(*state, "'tools':[],'toolConfig':{'functionCallingConfig':{'mode':'AUTO'}}", "");
    check_rest(*state, "'tools':[{'functionDeclarations':[]}]", "");
}

static void test_calls_and_their_answers_share_an_id(void **state)
{
    check_messages(
        *state,
        "'contents':[{'parts':{'text':'q'}},{'role':'model','parts':[{'text':'I look.'},"
        "{'functionCall':{'name':'f','args':{'a':[1,'x']}}},{'functionCall':{'name':'g','id':"
        "'own'}},{'functionCall':{'name':'f'}}]},{'role':'user','parts':[{'text':'here'},"
        "{'functionResponse':{'name':'g','id':'own','response':{'r':1}}},{'functionResponse':"
        "{'name':'f','response':{'r':2}}},{'functionResponse':{'name':'f','response':{'r':3}}}]}]",
        "{'role':'user','content':'q'},{'role':'assistant','content':'I look.','tool_calls':["
        "{'id':'call_1_0','type':'function','function':{'name':'f','arguments':"
        "'{\\'a\\':[1,\\'x\\']}'}},{'id':'own','type':'function','function':{'name':'g',"
        "'arguments':'{}'}},{'id':'call_1_2','type':'function','function':{'name':'f',"
        "'arguments':'{}'}}]},{'role':'tool','content':'{\\'r\\':1}','tool_call_id':'own'},"
        "{'role':'tool','content':'{\\'r\\':2}','tool_call_id':'call_1_0'},"
        "{'role':'tool','content':'{\\'r\\':3}','tool_call_id':'call_1_2'},"
        "{'role':'user','content':'here'}");
}

static void test_calls_alone_have_no_content_and_later_turns_other_ids(void **state)
{
    check_messages(
        *state,
        "'contents':[{'role':'model','parts':{'functionCall':{'name':'f'}}},{'role':'function',"
        "'parts':{'functionResponse':{'name':'f','response':{}}}},{'role':'model','parts':"
        "{'functionCall':{'name':'f'}}},{'parts':{'functionResponse':{'name':'f','id':'other',"
        "'response':{}}}}]",
        "{'role':'assistant','content':null,'tool_calls':[{'id':'call_0_0','type':'function',"
        "'function':{'name':'f','arguments':'{}'}}]},{'role':'tool','content':'{}',"
        "'tool_call_id':'call_0_0'},{'role':'assistant','content':null,'tool_calls':[{'id':"
        "'call_2_0','type':'function','function':{'name':'f','arguments':'{}'}}]},"
        "{'role':'tool','content':'{}','tool_call_id':'call_2_0'}");
}

static void test_sampling_settings_keep_their_values(void **state)
{
    check_rest(*state,
               "'generationConfig':{'temperature':0.2,'topP':0.95,'topK':40,'seed':'-7',"
               "'maxOutputTokens':100,'candidateCount':3,'presencePenalty':-0.5,"
               "'frequencyPenalty':1.25,'stopSequences':['a\\n','END'],'responseLogprobs':true,"
               "'logprobs':5}",
               "'temperature':0.2,'top_p':0.95,'top_k':40,'seed':-7,'max_tokens':100,'n':3,"
               "'presence_penalty':-0.5,'frequency_penalty':1.25,'stop':['a\\n','END'],"
               "'logprobs':true,'top_logprobs':5");
    check_rest(*state,
               "'generationConfig':{'temperature':0,'candidateCount':1,'presencePenalty':0,"
               "'seed':9223372036854775807,'responseLogprobs':true,'logprobs':0}",
               "'temperature':0,'seed':9223372036854775807,'logprobs':true");
}

static void test_what_is_ours_or_says_nothing_is_not_sent(void **state)
{
    check_rest(*state,
               "'labels':{'a':'b'},'model':'models/x','store':false,'serviceTier':'',"
               "'safetySettings':[{'category':'HARM_CATEGORY_HARASSMENT','threshold':"
               "'BLOCK_NONE'},{'category':'HARM_CATEGORY_HATE_SPEECH','threshold':'OFF'},"
               "{'category':'HARM_CATEGORY_HATE_SPEECH','threshold':"
               "'HARM_BLOCK_THRESHOLD_UNSPECIFIED'}],'generationConfig':{'audioTimestamp':false,"
               "'mediaResolution':'MEDIA_RESOLUTION_UNSPECIFIED','speechConfig':{},"
               "'responseModalities':['TEXT'],'responseMimeType':'text/plain'}",
               "");
}

static void test_forms_of_an_answer_become_response_formats(void **state)
{
    static const struct {
        const char *config, *format;
    } cases[] = {
        { "'responseMimeType':'application/json'", "'response_format':{'type':'json_object'}" },
        { "'responseMimeType':'application/json','responseSchema':{'type':'OBJECT','properties':"
          "{'a':{'type':'STRING'}},'required':['a']}",
          "'response_format':{'type':'json_schema','json_schema':{'name':'answer','strict':true,"
          "'schema':{'type':'object','properties':{'a':{'type':'string'}},'required':['a'],"
          "'additionalProperties':false}}}" },
        { "'responseMimeType':'application/json','responseSchema':{'type':'ARRAY','items':{'type':"
          "'NUMBER'}}",
          "'response_format':{'type':'json_schema','json_schema':{'name':'answer','strict':false,"
          "'schema':{'type':'array','items':{'type':'number'}}}}" },
        { "'responseMimeType':'application/json','responseJsonSchema':{'type':'object',"
          "'additionalProperties':{'type':'integer'}}",
          "'response_format':{'type':'json_schema','json_schema':{'name':'answer','strict':false,"
          "'schema':{'type':'object','additionalProperties':{'type':'integer'}}}}" },
        { "'maxOutputTokens':3,'responseMimeType':'text/x.enum','responseSchema':{'type':'STRING',"
          "'enum':['A','\\u00fc \\\"q\\\"']}",
          "'response_format':{'type':'json_schema','json_schema':{'name':'answer','strict':false,"
          "'schema':{'type':'string','enum':['A','\xC3\xBC \\'q\\'']}}},'max_tokens':5" },
        { "'responseMimeType':'text/x.enum','responseJsonSchema':{'enum':['A']}",
          "'response_format':{'type':'json_schema','json_schema':{'name':'answer','strict':false,"
          "'schema':{'type':'string','enum':['A']}}}" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b = BUF_INIT(4096);
        buf_addf(&b, "'generationConfig':{%s}", cases[i].config);
        check_rest(*state, b.p, cases[i].format);
        buf_release(&b);
    }
}

static void test_thinking_becomes_an_effort_or_is_turned_off(void **state)
{
    static const struct {
        const char *thinking, *sent;
    } cases[] = {
        { "'thinkingLevel':'MINIMAL'", "'reasoning_effort':'minimal'" },
        { "'thinkingLevel':'low'", "'reasoning_effort':'low'" },
        { "'thinking_level':'MEDIUM'", "'reasoning_effort':'medium'" },
        { "'thinkingLevel':'HIGH','includeThoughts':true", "'reasoning_effort':'high'" },
        { "'thinkingLevel':'XHIGH'", "'reasoning_effort':'xhigh'" },
        { "'thinkingLevel':'THINKING_LEVEL_UNSPECIFIED'", "" },
        { "'thinkingBudget':-1", "" },
        { "'thinkingBudget':0",
          "'chat_template_kwargs':{'enable_thinking':false,'thinking':false}" },
        { "'includeThoughts':true", "" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b = BUF_INIT(4096);
        buf_addf(&b, "'generationConfig':{'thinkingConfig':{%s}}", cases[i].thinking);
        check_rest(*state, b.p, cases[i].sent);
        buf_release(&b);
    }
}

static void test_the_limit_of_the_answers_tokens_goes_by_either_name(void **state)
{
    const struct request *r = read_with(*state, "'generationConfig':{'maxOutputTokens':7}");
    static const char *const names[] = { "\"max_tokens\":7", "\"max_completion_tokens\":7" };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct buf out = BUF_INIT(BODY_BYTES_MAX);
        struct error e = { 0 };
        assert_int_equal(openai_request_write(r, MODEL, i == 1, NULL, &out, &e), 0);
        assert_true(str_find(buf_str(&out), str_of(names[i])) != SIZE_MAX);
        assert_true(str_find(buf_str(&out), str_of(names[1 - i])) == SIZE_MAX);
        buf_release(&out);
    }
}

static void test_a_body_over_the_buffers_maximum_is_an_error(void **state)
{
    const struct request *r = read_with(*state, "");
    struct buf whole = BUF_INIT(BODY_BYTES_MAX), small;
    struct error e = { 0 };

    assert_int_equal(openai_request_write(r, MODEL, false, NULL, &whole, &e), 0);
    small = BUF_INIT(whole.len);
    assert_int_equal(openai_request_write(r, MODEL, false, NULL, &small, &e), 0);
    buf_release(&small);
    small = BUF_INIT(whole.len - 1);
    assert_int_equal(openai_request_write(r, MODEL, false, NULL, &small, &e), -1);
    assert_int_equal(e.code, ERROR_OUT_OF_RANGE);
    buf_release(&small);
    buf_release(&whole);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, reading_setup, reading_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_turns_become_messages),
        TEST(test_the_limit_of_the_answers_tokens_goes_by_either_name),
        TEST(test_texts_of_a_turn_are_joined_by_a_line_feed),
        TEST(test_thoughts_of_earlier_turns_are_not_sent),
        TEST(test_inline_media_become_content_parts),
        TEST(test_files_that_were_fetched_are_sent_along),
        TEST(test_images_of_the_web_pass_by_their_address),
        TEST(test_a_file_without_content_is_not_found),
        TEST(test_functions_become_tools_in_both_schema_dialects),
        TEST(test_calling_modes_become_the_choice_of_tools),
        TEST(test_several_allowed_functions_of_more_are_the_only_ones_sent),
        TEST(test_validated_functions_are_strict_where_they_can_be),
        TEST(test_tools_without_functions_are_left_out),
        TEST(test_calls_and_their_answers_share_an_id),
        TEST(test_calls_alone_have_no_content_and_later_turns_other_ids),
        TEST(test_sampling_settings_keep_their_values),
        TEST(test_what_is_ours_or_says_nothing_is_not_sent),
        TEST(test_forms_of_an_answer_become_response_formats),
        TEST(test_thinking_becomes_an_effort_or_is_turned_off),
        TEST(test_a_body_over_the_buffers_maximum_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
