/* What is around a request: spans as written, siblings, bare requests, rows of an earlier output. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#include "unit/format/request/request_case.h"

static int setup(void **state)
{
    *state = mem_alloc(sizeof(struct reading));
    return 0;
}

static int teardown(void **state)
{
    reading_release(*state);
    mem_free(*state);
    return 0;
}

static void expect_ok(const struct reading *r)
{
    if (!r->ok)
        fail_msg("%s: %s", r->bad.item[0].path, r->bad.item[0].message);
    assert_int_equal(r->bad.count, 0);
    assert_non_null(r->line.request);
}

/* Whether s reads `want`, where ' stands for ". */
static void expect_text(struct str s, const char *want)
{
    struct reading w;

    reading_fill(&w, str_of(want));
    if (!str_eq(s, buf_str(&w.text)))
        fail_msg("%.*s, not %s", STR_ARG(s), w.text.p);
    reading_release(&w);
}

/* The page's example exactly as printed: a bare request whose parts is one object. */
static void test_the_banana_bread_example_is_a_request_as_printed(void **state)
{
    struct reading *r = *state;

    reading_run(r,
                STR("{'contents':[{'role':'user','parts':{'text':'Give me a recipe for banana "
                    "bread.'}}],'system_instruction':{'parts':[{'text':'You are a chef.'}]}}"),
                false);
    expect_ok(r);
    assert_true(str_eq(r->line.request_text, buf_str(&r->text)));
    assert_true(str_eq(r->line.request->text, buf_str(&r->text)));
    assert_int_equal(r->line.sibling_count, 0);
    assert_int_equal(r->line.request->content_count, 1);
    assert_true(
        str_eq_c(r->line.request->content[0].part[0].text, "Give me a recipe for banana bread."));
    assert_true(str_eq_c(r->line.request->system->part[0].text, "You are a chef."));
}

static void test_siblings_and_request_are_spans_of_the_line(void **state)
{
    struct reading *r = *state;

    reading_run(r,
                STR(" {'key' : 'id_1', 'r\\u0065quest': {'contents' : [{'parts':{'text':'x'}}] } ,"
                    "'n\\'':[ 1.50, {}], 'zero':-0.0} "),
                false);
    expect_ok(r);
    expect_text(r->line.request_text, "{'contents' : [{'parts':{'text':'x'}}] }");
    expect_text(r->line.key, "'id_1'");
    assert_int_equal(r->line.sibling_count, 3);
    expect_text(r->line.sibling[0].key, "key");
    expect_text(r->line.sibling[1].key, "n\\'");
    expect_text(r->line.sibling[1].value, "[ 1.50, {}]");
    expect_text(r->line.sibling[2].key, "zero");
    expect_text(r->line.sibling[2].value, "-0.0");
}

static void test_a_bad_line_still_gives_its_spans(void **state)
{
    struct reading *r = *state;

    reading_run(r, STR("{'key':7,'status':'','request':{'contents':[],'contents':1}}"), false);
    assert_false(r->ok);
    assert_null(r->line.request);
    expect_text(r->line.request_text, "{'contents':[],'contents':1}");
    expect_text(r->line.key, "7");
    assert_int_equal(r->line.sibling_count, 1);
    reading_release(r);
    reading_run(r, STR("{'prompt':'x'}"), false);
    assert_false(r->ok);
    expect_text(r->line.request_text, "{'prompt':'x'}");
    reading_release(r);
    reading_run(r, STR("[1]"), false);
    assert_int_equal(r->line.request_text.len, 0);
}

static void test_siblings_up_to_the_limit_are_kept_and_one_more_is_refused(void **state)
{
    struct reading *r = *state;

    for (int more = 0; more < 2; more++) {
        struct buf b = BUF_INIT(16384);
        buf_add_c(&b, "{'request':{'contents':{'parts':{'text':'x'}}}");
        for (int i = 0; i < LINE_SIBLINGS_MAX + more; i++)
            buf_addf(&b, ",'k%d':%s%d", i, i == LINE_SIBLINGS_MAX ? "^" : "", i);
        buf_add_char(&b, '}');
        reading_run(r, buf_str(&b), false);
        assert_int_equal(r->bad.count, more);
        assert_int_equal(r->line.sibling_count, LINE_SIBLINGS_MAX);
        if (more) {
            assert_string_equal(r->bad.item[0].path, "k256");
            assert_int_equal(r->bad.item[0].offset, r->mark[0]);
        } else {
            reading_release(r);
        }
        buf_release(&b);
    }
}

static void test_a_line_at_the_deepest_nesting_is_allowed_and_deeper_is_not(void **state)
{
    struct reading *r = *state;

    /* The line is at depth 1, "x" and each bracket one deeper. */
    for (int more = 0; more < 2; more++) {
        struct buf b = BUF_INIT(4096);
        buf_add_c(&b, "{'request':{'contents':{'parts':{'text':'x'}}},'x':");
        for (int i = 0; i < JSON_DEPTH_MAX - 1 + more; i++)
            buf_add_c(&b, i == JSON_DEPTH_MAX - 1 ? "^[" : "[");
        for (int i = 0; i < JSON_DEPTH_MAX - 1 + more; i++)
            buf_add_char(&b, ']');
        buf_add_char(&b, '}');
        reading_run(r, buf_str(&b), false);
        assert_int_equal(r->bad.count, more);
        if (more) {
            assert_non_null(strstr(r->bad.item[0].message, "nested more than 64 deep"));
            assert_int_equal(r->bad.item[0].offset, r->mark[0]);
            assert_int_equal(r->line.sibling_count, 1);
        } else {
            reading_release(r);
        }
        buf_release(&b);
    }
}

static void test_an_output_rows_own_keys_are_left_out(void **state)
{
    struct reading *r = *state;

    reading_run(r,
                STR("{'key':'a','status':'Bad Request: {}','processed_time':'2025',"
                    "'request':{'contents':{'parts':{'text':'x'}}},'response':{}}"),
                true);
    expect_ok(r);
    assert_int_equal(r->line.sibling_count, 1);
    expect_text(r->line.sibling[0].key, "key");
    expect_text(r->line.request_text, "{'contents':{'parts':{'text':'x'}}}");
}

/* A line that was no JSON object stands in its row as a string, and is reported and echoed again. */
static void test_an_output_row_of_a_broken_line_gives_its_violations_again(void **state)
{
    struct reading *r = *state;

    reading_run(
        r,
        STR("{'status':'x','processed_time':'y','request':^'{\\'contents\\': oops','response':{}}"),
        true);
    assert_false(r->ok);
    assert_int_equal(r->bad.count, 1);
    assert_int_equal(r->bad.item[0].offset, r->mark[0]);
    assert_string_equal(r->bad.item[0].path, "request");
    assert_non_null(strstr(r->bad.item[0].message, "expected a valid JSON value"));
    expect_text(r->line.request_text, "'{\\'contents\\': oops'");
}

static void test_an_output_row_whose_string_is_a_request_is_that_request(void **state)
{
    struct reading *r = *state;

    reading_run(r,
                STR("{'request':'{\\'key\\':1,\\'request\\':{\\'contents\\':{\\'parts\\':{\\'"
                    "text\\':\\'x\\'}}}}'}"),
                true);
    expect_ok(r);
    expect_text(r->line.key, "1");
    assert_int_equal(r->line.sibling_count, 1);
}

/* Each is accepted: what the service takes, in the spellings that its users write. */
// clang-format off
static const char *const accepted[] = {
    "{'request':{'contents':[{'parts':[{'text':'a'}],'role':'model'},{'parts':[{'text':''}],'role':'model'}]}}",
    "{'request':{'contents':{'parts':{'text':'a'},'role':''},'systemInstruction':{'role':'system','parts':{'text':''}}}}",
    "{'request':{'contents':{'parts':{'text':'a'},'role':null},'cachedContent':null,'tools':[],'safetySettings':{'category':'HARM_CATEGORY_JAILBREAK','threshold':'OFF','method':'SEVERITY'}}}",
    "{'request':{'contents':{'parts':[{'text':'Compare'},{'file_data':{'file_uri':'gs://b/v.mp4','mime_type':'video/mp4'}},{'file_data':{'file_uri':'gs://b/i.jpg','mime_type':'image/jpeg'}}]}}}",
    "{'request':{'contents':{'parts':{'file_data':{'file_uri':'https://x/y','mime_type':'video/mov'},'video_metadata':{'start_offset':'0s','endOffset':'1.5s','fps':'2'}}}}}",
    "{'request':{'contents':{'parts':{'fileData':{'fileUri':'files/abc','mimeType':'audio/L16;rate=24000'}}}}}",
    "{'request':{'contents':{'parts':{'inlineData':{'mimeType':'image/png','data':'iVBORw0KGgo='},'thoughtSignature':'QUJD','mediaResolution':{'level':'MEDIA_RESOLUTION_LOW'}}}}}",
    "{'request':{'contents':[{'parts':{'functionCall':{'name':'f','args':{'any':[1,null]}}},'role':'model'},{'parts':{'function_response':{'name':'f','response':{}}},'role':'function'},{'parts':[{'executableCode':{'language':'PYTHON','code':'1'}},{'codeExecutionResult':{'outcome':'OUTCOME_OK'}}],'role':'model'}]}}",
    "{'request':{'contents':{'parts':{'text':'a'}},'generation_config':{'temperature':2,'top_p':1,'topK':40.0,'candidateCount':8,'max_output_tokens':'65536','stop_sequences':'END','presencePenalty':-2,'frequency_penalty':1.99,'seed':-9223372036854775808,'responseLogprobs':true,'logprobs':20,'audioTimestamp':false,'mediaResolution':'MEDIA_RESOLUTION_HIGH'}}}",
    "{'request':{'contents':{'parts':{'text':'a'}},'generationConfig':{'temperature':0,'topP':0,'topK':1000,'candidateCount':1,'maxOutputTokens':1,'seed':'9223372036854775807','logprobs':0,'responseLogprobs':true,'stopSequences':[],'thinkingConfig':{'thinking_budget':-1,'includeThoughts':true},'responseModalities':['TEXT']}}}",
    "{'request':{'contents':{'parts':{'text':'a'}},'generationConfig':{'seed':9223372036854775807,'thinkingConfig':{'thinkingLevel':'low'},'responseModalities':'TEXT','speechConfig':{'voiceConfig':{'prebuiltVoiceConfig':{'voiceName':'Kore'}},'languageCode':'de-DE'},'routingConfig':{'autoMode':{'modelRoutingPreference':'BALANCED'}}}}}",
    "{'request':{'contents':{'parts':{'text':'a'}},'generationConfig':{'responseMimeType':'application/json','responseSchema':{'type':'object','properties':{'a b':{'type':'STRING','nullable':true,'maxLength':'10'},'b':{'type':'array','items':{'type':'INTEGER','format':'int32','minimum':0.5},'minItems':1}},'required':['b'],'propertyOrdering':['b','a b']}}}}",
    "{'request':{'contents':{'parts':{'text':'a'}},'generationConfig':{'responseMimeType':'text/x.enum','responseSchema':{'type':'STRING','enum':['A','B']}}}}",
    "{'request':{'contents':{'parts':{'text':'a'}},'generationConfig':{'response_mime_type':'application/json','response_json_schema':{'$defs':{'x':{'type':'string'}},'anything':[{}]}}}}",
    "{'request':{'contents':{'parts':{'text':'a'}},'tools':[{'functionDeclarations':{'name':'get_weather.v2:x-y','description':'d','parameters':{'type':'OBJECT','properties':{}}}},{'google_search':{}},{'codeExecution':{}},{'urlContext':{}},{'googleMaps':{}},{'enterpriseWebSearch':{}},{'computerUse':{'environment':'ENVIRONMENT_BROWSER'}}],'toolConfig':{'functionCallingConfig':{'mode':'ANY','allowedFunctionNames':['none']},'retrievalConfig':{'latLng':{'latitude':48.1,'longitude':11.6}}}}}",
    "{'request':{'contents':{'parts':{'text':'\\ud83c\\udf4c'}},'labels':{'team':'search'},'model':'gemini-2.5-flash','store':false,'modelArmorConfig':{'promptTemplateName':'x'}},'odd key':null,'\\u00e9':1}",
    "{'contents':[{'role':'user','parts':[{'text':'a','inlineData':null}]}],'generationConfig':{}}\t",
    "{'request':{'contents':{'parts':{'text':'a'}},'safetySettings':[{'category':1,'threshold':4},{'category':11,'threshold':0,'method':2}]}}",
    "{'request':{'contents':{'parts':{'text':'a'}},'generationConfig':{'responseModalities':['Text','Image'],'mediaResolution':3,'thinkingConfig':{'thinking_level':'High'}},'toolConfig':{'functionCallingConfig':{'mode':'any'}}}}",
    "{'request':{'contents':{'parts':[{'text':'a'},{'file_data':{'file_uri':'https://www.youtube.com/watch?v=x'}},{'fileData':{'fileUri':'https://www.youtube.com/watch?v=x','mimeType':'video/*'},'videoMetadata':{'startOffset':'10s','endOffset':'20s'}}]}}}",
    "{'request':{'contents':{'parts':{'text':'a'}},'generationConfig':{'response_format':[{'text':{'mime_type':'application/json','schema':{}}},{'image':{'aspectRatio':'1:1'}}]}}}",
    "{'request':{'contents':{'parts':{'text':'a'}},'generationConfig':{'responseMimeType':'application/json','_response_json_schema':{}}}}",
    "{'request':{'content':{'parts':{'text':'a'}},'taskType':1,'embedContentConfig':{'taskType':9}}}",
};
// clang-format on

static void test_what_the_service_takes_is_accepted_in_all_spellings(void **state)
{
    struct reading *r = *state;

    for (size_t i = 0; i < ARRAY_LEN(accepted); i++) {
        reading_release(r);
        reading_run(r, str_of(accepted[i]), false);
        if (!r->ok)
            fail_msg("case %zu: %s: %s %s", i, r->bad.item[0].path, r->bad.item[0].message,
                     r->bad.item[0].remedy);
    }
}

/* Goal: a request in a string, as a table's export has it, is the request that it holds, on one line. */
static void test_a_request_that_is_text_is_read_as_the_request_it_holds(void **state)
{
    struct reading *r = *state;

    reading_run(
        r,
        str_of(
            "{'id':7,'request':' {\\'contents\\':\\n[{\\'parts\\':{\\'text\\':\\'a\\\\nb\\'}}]}'}"),
        false);
    expect_ok(r);
    assert_true(str_eq_c(r->line.request->content[0].part[0].text, "a\nb"));
    assert_true(
        str_eq_c(r->line.request->text, "{\"contents\": [{\"parts\":{\"text\":\"a\\nb\"}}]}"));
    assert_int_equal(r->line.request_text.p[0], '"');
    assert_int_equal(r->line.sibling_count, 1);
}

/* Goal: its row can be run again, with the line's own keys. */
static void test_an_output_row_of_a_request_that_is_text_keeps_its_keys(void **state)
{
    struct reading *r = *state;

    reading_run(
        r,
        str_of(
            "{'id':7,'status':'Bad','processed_time':'','request':'{\\'contents\\':[{\\'parts\\':"
            "{\\'text\\':\\'a\\'}}]}','response':{}}"),
        true);
    expect_ok(r);
    assert_int_equal(r->line.sibling_count, 1);
    assert_true(str_eq_c(r->line.request->content[0].part[0].text, "a"));
}

#define REQUEST "'request':{'contents':{'parts':{'text':'a'}}}"

/* Each stands beside the request and is a setting of it. */
// clang-format off
static const struct {
    const char *line, *path, *remedy;
} beside[] = {
    { "{" REQUEST ",'generation_config':^{'max_output_tokens':2}}", "generation_config", "Move it into request." },
    { "{" REQUEST ",'safetySettings':^[]}", "safetySettings", "Move it into request." },
    { "{'tools':^[{}]," REQUEST "}", "tools", "Move it into request." },
    { "{'cachedContent':^'c'," REQUEST "}", "cachedContent", "Move it into request." },
    { "{'maxOutputTokens':^5," REQUEST "}", "maxOutputTokens", "Move it into request.generationConfig." },
    { "{'config':^{'temperature':0}," REQUEST "}", "config", "Write its members into request.generationConfig." },
    { "{'request':{'content':{'parts':{'text':'a'}}},'output_dimensionality':^5}", "output_dimensionality", "Move it into request." },
};
// clang-format on

static void test_a_setting_beside_the_request_is_a_warning_and_with_strict_an_error(void **state)
{
    struct reading *r = *state;
    const struct violation *v = &r->bad.item[0];

    for (size_t i = 0; i < ARRAY_LEN(beside); i++) {
        for (int strict = 0; strict < 2; strict++) {
            struct line_rules rules = { .strict = strict };
            reading_release(r);
            reading_fill(r, str_of(beside[i].line));
            r->ok = request_read_line(&r->arena, buf_str(&r->text), &rules, &r->line, &r->bad);
            assert_int_equal(r->ok, !strict);
            assert_int_equal(r->line.request != NULL, !strict);
            assert_int_equal(r->bad.count, strict);
            assert_int_equal(r->bad.warnings, !strict);
            assert_int_equal(violations_held(&r->bad), 1);
            assert_string_equal(v->path, beside[i].path);
            assert_string_equal(v->remedy, beside[i].remedy);
            assert_int_equal(v->offset, r->mark[0]);
        }
    }
}

static void test_a_users_own_column_is_no_setting(void **state)
{
    static const char *const own[] = {
        "{'model':'m','temperature':21.5,'labels':['a'],'store':'Bonn','seed':1," REQUEST "}",
        "{'tools':'hammer','contents':'a box','title':'t','config':'x','topK':null," REQUEST "}",
    };
    struct reading *r = *state;

    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        reading_release(r);
        reading_run(r, str_of(own[i]), false);
        expect_ok(r);
        assert_int_equal(r->bad.warnings, 0);
    }
}

int main(void)
{
#define WITH_READING(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_READING(test_the_banana_bread_example_is_a_request_as_printed),
        WITH_READING(test_siblings_and_request_are_spans_of_the_line),
        WITH_READING(test_a_bad_line_still_gives_its_spans),
        WITH_READING(test_siblings_up_to_the_limit_are_kept_and_one_more_is_refused),
        WITH_READING(test_a_line_at_the_deepest_nesting_is_allowed_and_deeper_is_not),
        WITH_READING(test_an_output_rows_own_keys_are_left_out),
        WITH_READING(test_an_output_row_of_a_broken_line_gives_its_violations_again),
        WITH_READING(test_an_output_row_whose_string_is_a_request_is_that_request),
        WITH_READING(test_what_the_service_takes_is_accepted_in_all_spellings),
        WITH_READING(test_a_request_that_is_text_is_read_as_the_request_it_holds),
        WITH_READING(test_an_output_row_of_a_request_that_is_text_keeps_its_keys),
        WITH_READING(test_a_setting_beside_the_request_is_a_warning_and_with_strict_an_error),
        WITH_READING(test_a_users_own_column_is_no_setting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
