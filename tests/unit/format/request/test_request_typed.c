/* The typed request: what predictors and the window see of a valid line. */
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

static const struct request *read_request(struct reading *r, const char *line)
{
    reading_release(r);
    reading_run(r, str_of(line), false);
    if (!r->ok)
        fail_msg("%s: %s", r->bad.item[0].path, r->bad.item[0].message);
    return r->line.request;
}

/* A request with one config. */
static const struct generation *read_config(struct reading *r, const char *config)
{
    struct buf b = BUF_INIT(1024);

    buf_addf(&b, "{'request':{'contents':{'parts':{'text':'x'}},'generation_config':%s}}", config);
    const struct generation *g = &read_request(r, b.p)->generation;
    buf_release(&b);
    return g;
}

static void test_turns_keep_their_roles_and_order(void **state)
{
    const struct request *r = read_request(
        *state,
        "{'request':{'contents':[{'parts':[{'text':'a'},{'text':'b\\n'}]},{'role':'model',"
        "'parts':{'text':'c','thought':true}},{'role':'function','parts':{'functionResponse':"
        "{'name':'f','response':{'x':1}}}}],'systemInstruction':{'parts':{'text':'s'}}}}");

    assert_int_equal(r->content_count, 3);
    assert_int_equal(r->content[0].role, ROLE_USER);
    assert_int_equal(r->content[0].part_count, 2);
    assert_true(str_eq_c(r->content[0].part[1].text, "b\n"));
    assert_int_equal(r->content[1].role, ROLE_MODEL);
    assert_true(r->content[1].part[0].thought);
    assert_int_equal(r->content[2].role, ROLE_FUNCTION);
    assert_int_equal(r->content[2].part[0].kind, PART_FUNCTION_RESPONSE);
    assert_true(str_eq_c(json_str(json_get(r->content[2].part[0].object, "name")), "f"));
    assert_true(str_eq_c(r->system->part[0].text, "s"));
    assert_false(r->has_media);
}

/* Goal: every reader of the request meets an enum's name as Google's tables have it. */
/* Goal: what google-genai sends back of an earlier thought, a mark or a signature alone, is no text. */
static void test_a_thought_without_data_is_taken_and_shows_nothing(void **state)
{
    const struct request *r = read_request(
        *state, "{'request':{'contents':[{'role':'model','parts':[{'thought':true},"
                "{'thoughtSignature':'QUJD'},{'text':'a'}]},{'parts':{'text':'b'}}]}}");

    for (int i = 0; i < 2; i++) {
        assert_int_equal(r->content[0].part[i].kind, PART_TEXT);
        assert_true(r->content[0].part[i].thought);
        assert_int_equal(r->content[0].part[i].text.len, 0);
    }
    assert_false(r->content[0].part[2].thought);
}

static void test_numbers_and_other_cases_of_enums_become_their_names(void **state)
{
    const struct request *r = read_request(
        *state,
        "{'request':{'contents':{'parts':{'text':'a'}},'toolConfig':{'functionCallingConfig':{'"
        "mode':5}},"
        "'generationConfig':{'responseMimeType':'Application/JSON','responseSchema':{'type':6,"
        "'properties':{'a':{'type':'string'}}}}}}");
    yyjson_val *schema = r->generation.schema,
               *tools = json_get(r->tool_config, "functionCallingConfig");

    assert_int_equal(r->generation.form, ANSWER_JSON);
    assert_true(str_eq_c(json_str(json_get(schema, "type")), "OBJECT"));
    assert_true(str_eq_c(json_str(json_get(json_get(json_get(schema, "properties"), "a"), "type")),
                         "STRING"));
    assert_true(str_eq_c(json_str(json_get(tools, "mode")), "VALIDATED"));
    const struct generation *g = read_config(
        *state, "{'thinkingConfig':{'thinkingLevel':4}}"); /* as Vertex AI's proto has it */
    assert_true(str_eq_c(json_str(json_get(g->thinking, "thinkingLevel")), "MINIMAL"));
}

static void test_a_response_format_is_a_mime_type_and_a_schema(void **state)
{
    const struct generation *g = read_config(
        *state, "{'responseFormat':{'text':{'mimeType':'APPLICATION_JSON','schema':{'a':1}}}}");

    assert_int_equal(g->form, ANSWER_JSON);
    assert_non_null(json_get(g->json_schema, "a"));
    assert_string_equal(g->schema_path, "generationConfig.responseFormat.text.schema");
    g = read_config(*state, "{'response_format':[{'text':{'mime_type':'text/plain'}}]}");
    assert_int_equal(g->form, ANSWER_TEXT);
    assert_null(g->schema_path);
    g = read_config(*state, "{'responseFormat':[{'text':{'schema':{}}}]}");
    assert_int_equal(g->form, ANSWER_JSON);
    assert_string_equal(g->schema_path, "generationConfig.responseFormat[0].text.schema");
    g = read_config(*state,
                    "{'responseMimeType':'application/json','_responseJsonSchema':{'a':1}}");
    assert_non_null(json_get(g->json_schema, "a"));
    assert_string_equal(g->schema_path, "generationConfig._responseJsonSchema");
}

static void test_a_model_of_text_refuses_other_answers_in_words(void **state)
{
    static const struct {
        const char *config, *path;
    } cases[] = {
        { "{'responseModalities':['TEXT','IMAGE']}", "generationConfig.responseModalities[1]" },
        { "{'responseModalities':'Audio'}", "generationConfig.responseModalities" },
        { "{'responseModalities':[2]}", "generationConfig.responseModalities[0]" },
        { "{'responseFormat':[{'image':{'aspectRatio':'1:1'}}]}",
          "generationConfig.responseFormat[0]" },
    };
    struct violation why;
    struct reading *r = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        (void)read_config(r, cases[i].config);
        assert_false(request_wants_text(r->line.request, &why));
        assert_string_equal(why.path, cases[i].path);
        assert_non_null(strstr(why.message, "text"));
    }
    (void)read_config(r, "{'responseModalities':['TEXT','MODALITY_UNSPECIFIED']}");
    assert_true(request_wants_text(r->line.request, &why));
}

static void test_media_parts_carry_their_type_and_place(void **state)
{
    const struct request *r = read_request(
        *state, "{'request':{'contents':{'parts':[{'file_data':{'file_uri':'gs://b/o','mime_type':"
                "'video/mov'}},{'inlineData':{'mimeType':'image/png','data':'QUJD'}}]}}}");
    const struct part *p = r->content[0].part;

    assert_true(r->has_media);
    assert_int_equal(p[0].kind, PART_FILE_DATA);
    assert_true(str_eq_c(p[0].uri, "gs://b/o") && str_eq_c(p[0].mime, "video/mov"));
    assert_int_equal(p[1].kind, PART_INLINE_DATA);
    assert_true(str_eq_c(p[1].data, "QUJD") && str_eq_c(p[1].mime, "image/png"));
    assert_int_equal(p[1].text.len, 0);
}

static void test_an_empty_config_gives_the_defaults(void **state)
{
    const struct generation *g = read_config(*state, "{}");

    assert_false(g->has_temperature || g->has_top_p || g->has_top_k || g->has_seed);
    assert_false(g->response_logprobs);
    assert_int_equal(g->max_output_tokens, 0);
    assert_int_equal(g->candidate_count, 1);
    assert_int_equal(g->stop_count, 0);
    assert_int_equal(g->form, ANSWER_TEXT);
    assert_null(g->schema);
    assert_null(g->thinking);
}

static void test_a_full_config_is_read_in_both_spellings_and_number_forms(void **state)
{
    const struct generation *g = read_config(
        *state,
        "{'temperature':'0.5','top_p':0.25,'topK':40.0,'candidateCount':'3','maxOutputTokens'"
        ":100,'stop_sequences':['END','\\n'],'presencePenalty':-1.5,'frequencyPenalty':1,"
        "'seed':'-7','responseLogprobs':true,'logprobs':5,'thinkingConfig':{}}");

    assert_true(g->has_temperature && g->temperature > 0.49 && g->temperature < 0.51);
    assert_true(g->has_top_p && g->top_p > 0.24 && g->top_p < 0.26);
    assert_true(g->has_top_k && g->top_k == 40);
    assert_true(g->has_seed && g->seed == -7);
    assert_int_equal(g->candidate_count, 3);
    assert_int_equal(g->max_output_tokens, 100);
    assert_int_equal(g->stop_count, 2);
    assert_true(str_eq_c(g->stop[0], "END") && str_eq_c(g->stop[1], "\n"));
    assert_true(g->presence_penalty < -1.4 && g->frequency_penalty > 0.9);
    assert_true(g->response_logprobs && g->logprobs == 5);
    assert_non_null(g->thinking);
}

static void test_a_line_may_be_an_instance_to_embed(void **state)
{
    static const struct line_rules file = { 0 }, call = { .online = true };
    struct arena a = { 0 };
    struct input_line in, again;
    struct violations bad = { 0 };
    const struct str text =
        STR(" {\"title\":\"t\",\"content\":\"a \\u00e9\",\"task_type\":\"CLUSTERING\"} ");

    (void)state;
    assert_true(request_read_line(&a, text, &file, &in, &bad));
    assert_true(in.instance && in.request->kind == REQUEST_EMBED);
    assert_true(str_eq(in.request->content[0].part[0].text, STR("a \xc3\xa9")));
    assert_true(str_eq_c(in.request->embedding.task_type, "CLUSTERING"));
    assert_true(str_eq(in.request_text, str_trim(text)));
    assert_true(request_line_spans(&a, text, in.request_text, &file, &again));
    assert_true(again.instance && str_eq(again.request_text, in.request_text));
    assert_false(request_read_line(&a, text, &call, &in, &bad));
    assert_false(request_read_line(&a, STR("{\"content\":\"\"}"), &file, &in, &bad));
    arena_release(&a);
}

static void test_the_answers_form_follows_the_mime_type(void **state)
{
    const struct generation *g = read_config(
        *state, "{'responseMimeType':'application/json','responseSchema':{'type':'STRING'}}");

    assert_int_equal(g->form, ANSWER_JSON);
    assert_non_null(g->schema);
    g = read_config(*state,
                    "{'responseMimeType':'text/x.enum','responseJsonSchema':{'enum':['A']}}");
    assert_int_equal(g->form, ANSWER_ENUM);
    assert_non_null(g->json_schema);
    assert_null(g->schema);
    assert_int_equal(read_config(*state, "{'responseMimeType':'text/plain'}")->form, ANSWER_TEXT);
}

static void test_the_same_answer_is_promised_only_when_it_must_be(void **state)
{
    static const struct {
        const char *config;
        bool deterministic;
    } cases[] = {
        { "{}", false },
        { "{'temperature':0}", true },
        { "{'temperature':0.0001}", false },
        { "{'topK':1}", true },
        { "{'topK':2}", false },
        { "{'seed':0,'temperature':1}", true },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        (void)read_config(*state, cases[i].config);
        const struct reading *r = *state;
        assert_int_equal(request_deterministic(r->line.request), cases[i].deterministic);
    }
}

static void test_tools_labels_and_fields_are_found_by_either_name(void **state)
{
    const struct request *r = read_request(
        *state, "{'request':{'contents':{'parts':{'text':'x'}},'tools':{'google_search':{}},"
                "'tool_config':{},'labels':{'a':'b'},'safetySettings':null}}");

    assert_non_null(request_field(r->tools, "googleSearch"));
    assert_non_null(r->tool_config);
    assert_non_null(r->labels);
    assert_null(request_field(r->root, "safetySettings"));
    assert_null(request_field(NULL, "tools"));
    assert_null(request_field(r->tools, "google"));
}
static void test_what_only_the_gemini_api_has_in_a_request_is_taken_and_left_alone(void **state)
{
    const struct request *r = read_request(
        *state, "{'request':{'contents':{'parts':{'text':'x'}},'model':'models/gemini-2.5-flash',"
                "'store':false,'service_tier':'flex','labels':{'team':'a'}}}");

    assert_int_equal(r->content_count, 1);
    assert_true(str_eq_c(json_str(json_get(r->labels, "team")), "a"));
}

static void test_content_alone_is_a_request_to_embed(void **state)
{
    const struct request *r = read_request(
        *state, "{'request':{'content':{'role':'model','parts':[{'text':'a'},{'text':'b'}]},"
                "'taskType':'CLUSTERING','title':'t','outputDimensionality':'65536',"
                "'embed_content_config':{'title':'u','autoTruncate':true}}}");

    assert_int_equal(r->kind, REQUEST_EMBED);
    assert_int_equal(r->content_count, 1);
    assert_int_equal(r->content[0].role, ROLE_USER);
    assert_int_equal(r->content[0].part_count, 2);
    assert_null(r->system);
    assert_true(str_eq_c(r->embedding.task_type, "CLUSTERING"));
    assert_true(str_eq_c(r->embedding.title, "u")); /* the config counts more */
    assert_int_equal(r->embedding.dimensions, EMBEDDING_DIMENSIONS_MAX);
    assert_true(r->embedding.truncate);
    assert_true(request_deterministic(r));
}

int main(void)
{
#define WITH_READING(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_READING(test_turns_keep_their_roles_and_order),
        WITH_READING(test_media_parts_carry_their_type_and_place),
        WITH_READING(test_a_thought_without_data_is_taken_and_shows_nothing),
        WITH_READING(test_numbers_and_other_cases_of_enums_become_their_names),
        WITH_READING(test_a_response_format_is_a_mime_type_and_a_schema),
        WITH_READING(test_a_model_of_text_refuses_other_answers_in_words),
        WITH_READING(test_an_empty_config_gives_the_defaults),
        WITH_READING(test_a_full_config_is_read_in_both_spellings_and_number_forms),
        WITH_READING(test_a_line_may_be_an_instance_to_embed),
        WITH_READING(test_the_answers_form_follows_the_mime_type),
        WITH_READING(test_the_same_answer_is_promised_only_when_it_must_be),
        WITH_READING(test_tools_labels_and_fields_are_found_by_either_name),
        WITH_READING(test_content_alone_is_a_request_to_embed),
        WITH_READING(test_what_only_the_gemini_api_has_in_a_request_is_taken_and_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
