/* Goal: a request that embeds is asked and answered as one. Method: as for chat completions, pairs of
 * texts, and what is refused by its path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "format/response.h"
#include "base/mem.h"
#include "unit/format/openai/openai_case.h"

static void check_body(struct reading *s, const char *line, const char *want)
{
    const struct request *r = read_request(s, line);
    struct buf got = BUF_INIT(BODY_BYTES_MAX), wanted = unquoted(want);
    struct violation why;
    struct error e = { 0 };

    assert_int_equal(r->kind, REQUEST_EMBED);
    assert_string_equal(openai_path(r), "/embeddings");
    if (!openai_accepts(r, &why))
        fail_msg("%s: %s", why.path, why.message);
    assert_int_equal(openai_request_write(r, "m", false, NULL, &got, &e), 0);
    assert_string_equal(got.p, wanted.p);
    buf_release(&got);
    buf_release(&wanted);
}

static void test_both_forms_of_a_request_become_the_same_body(void **state)
{
    check_body(*state, "{'request':{'content':{'parts':[{'text':'a'}]}}}",
               "{'model':'m','input':'a','encoding_format':'float'}");
    check_body(*state,
               "{'key':'k','request':{'model':'models/x','content':{'role':'user','parts':[{'text':"
               "'a'},{'text':'b'}]},'outputDimensionality':'64','taskType':"
               "'TASK_TYPE_UNSPECIFIED'}}",
               "{'model':'m','input':'a\\nb','dimensions':64,'encoding_format':'float'}");
    check_body(*state,
               "{'request':{'content':{'parts':[{'text':'a'}]},'embed_content_config':"
               "{'output_dimensionality':768,'auto_truncate':false}}}",
               "{'model':'m','input':'a','dimensions':768,'encoding_format':'float'}");
    check_body(*state, "{'content':{'parts':{'text':'bare'}}}",
               "{'model':'m','input':'bare','encoding_format':'float'}");
}

static void test_requests_that_generate_go_elsewhere(void **state)
{
    const struct request *r = read_with(*state, "");

    assert_int_equal(r->kind, REQUEST_GENERATE);
    assert_string_equal(openai_path(r), "/chat/completions");
}

static void test_what_cannot_be_said_is_refused_by_its_path(void **state)
{
    static const struct {
        const char *extra, *path;
    } cases[] = {
        { "'taskType':'RETRIEVAL_QUERY'", "taskType" },
        { "'embedContentConfig':{'task_type':'CLUSTERING'}", "embedContentConfig.taskType" },
        { "'title':'t','embedContentConfig':{'outputDimensionality':3}", "title" },
        { "'embedContentConfig':{'autoTruncate':true}", "embedContentConfig.autoTruncate" },
    };
    struct violation why;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b = BUF_INIT(4096);
        buf_addf(&b, "{'content':{'parts':{'text':'x'}},%s}", cases[i].extra);
        assert_false(openai_accepts(read_request(*state, b.p), &why));
        assert_string_equal(why.path, cases[i].path);
        assert_true(why.message[0] && why.remedy[0]);
        buf_release(&b);
    }
    const struct request *r = read_request(
        *state, "{'content':{'parts':[{'text':'x'},{'inlineData':{'mimeType':'image/png','data':"
                "'QUJD'}}]}}");
    assert_false(openai_accepts(r, &why));
    assert_string_equal(why.path, "content.parts[1]");
}

static void check_answer(const struct request *r, const char *body, const char *want,
                         enum error_code code)
{
    const struct reply_rules rules = { .request = r, .model = "m", .response_id = "x" };
    struct buf out = BUF_INIT(RESPONSE_BYTES_MAX), text = unquoted(body), wanted = unquoted(want);
    struct arena a = { 0 };
    struct usage usage = { 0 };
    struct error e = { 0 };

    int rc = openai_response_read(&a, buf_str(&text), &rules, &out, &usage, &e);
    assert_string_equal(rc < 0 ? e.msg : out.p, wanted.p);
    assert_int_equal(e.code, code);
    assert_int_equal(usage.candidate_tokens, 0);
    buf_release(&out);
    buf_release(&text);
    buf_release(&wanted);
    arena_release(&a);
}

static void test_an_embedding_is_read_with_its_count(void **state)
{
    const struct request *r = read_request(*state, "{'content':{'parts':{'text':'abcdefgh'}}}");

    check_answer(r,
                 "{'object':'list','data':[{'object':'embedding','index':0,'embedding':[ 0.25,\n"
                 "-1e-05, 3]}],'model':'x','usage':{'prompt_tokens':5,'total_tokens':5}}",
                 "{'embedding':{'values':[0.25,-0.00001,3]},'tokenCount':'5','usageMetadata':"
                 "{'promptTokenCount':5,'promptTokensDetails':[{'modality':'TEXT','tokenCount':5}],"
                 "'totalTokenCount':5,'trafficType':'ON_DEMAND'}}",
                 ERROR_OK);
    check_answer(r, "{'data':[{'embedding':[1]}]}",
                 "{'embedding':{'values':[1]},'tokenCount':'2','usageMetadata':"
                 "{'promptTokenCount':2,'promptTokensDetails':[{'modality':'TEXT','tokenCount':2}],"
                 "'totalTokenCount':2,'trafficType':'ON_DEMAND'}}",
                 ERROR_OK);
}

static void test_what_is_no_embedding_is_an_error(void **state)
{
    static const char none[] = "The answer has no embedding: data must hold one.";
    const struct request *r =
        read_request(*state, "{'content':{'parts':{'text':'x'}},'outputDimensionality':2}");

    check_answer(r, "{'choices':[]}", none, ERROR_INTERNAL);
    check_answer(r, "{'data':[]}", none, ERROR_INTERNAL);
    check_answer(r, "{'data':[{'embedding':[1,2]},{'embedding':[1,2]}]}", none, ERROR_INTERNAL);
    check_answer(r, "{'data':[{'embedding':'AACAPw=='}]}", none, ERROR_INTERNAL);
    check_answer(r, "{'data':[{'embedding':[1,null]}]}",
                 "Value 1 of the embedding is not a number.", ERROR_INTERNAL);
    check_answer(r, "{'data':[{'embedding':[1,2,3]}]}",
                 "The server answered with 3 dimensions, but 2 were asked for.",
                 ERROR_UNIMPLEMENTED);
    check_answer(r, "{'error':{'message':'m','code':503}}", "The answer is an error: m",
                 ERROR_UNAVAILABLE);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, reading_setup, reading_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_both_forms_of_a_request_become_the_same_body),
        TEST(test_requests_that_generate_go_elsewhere),
        TEST(test_what_cannot_be_said_is_refused_by_its_path),
        TEST(test_an_embedding_is_read_with_its_count),
        TEST(test_what_is_no_embedding_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
