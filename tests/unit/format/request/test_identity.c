/* Goal: two requests have one identity exactly when they mean the same. Method: pairs of lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "request_case.h"

#define Q "'contents':[{'role':'user','parts':[{'text':'q'}]}]"

static void identity(const char *line, struct buf *out, bool *self_contained)
{
    struct reading *r = mem_alloc(sizeof *r);

    reading_run(r, str_of(line), false);
    assert_string_equal(r->ok ? "" : r->bad.item[0].message, "");
    assert_true(request_identity(r->line.request, NULL, out));
    *self_contained = request_self_contained(r->line.request);
    reading_release(r);
    mem_free(r);
}

static bool same(const char *a, const char *b)
{
    struct buf x = BUF_INIT(65536), y = BUF_INIT(65536);
    bool ignored;

    identity(a, &x, &ignored);
    identity(b, &y, &ignored);
    bool equal = str_eq(buf_str(&x), buf_str(&y));
    buf_release(&x);
    buf_release(&y);
    return equal;
}

static void test_spelling_space_order_and_written_defaults_do_not_count(void **state)
{
    static const char *const pairs[][2] = {
        { "{'request':{" Q "}}", "{'contents':[{'parts':[{'text':'q'}],'role':'user'}]}" },
        { "{'request':{" Q "}}", "{'key':7,'request': {'contents':{'parts':{'text':'q'}}} }" },
        { "{'request':{" Q ",'generationConfig':{'maxOutputTokens':5,'topK':1}}}",
          "{'request':{'generation_config':{'top_k':'1','max_output_tokens':5.0}," Q "}}" },
        { "{'request':{" Q ",'generationConfig':{}}}", "{'request':{" Q ",'labels':null}}" },
        { "{'request':{" Q ",'generationConfig':{'candidateCount':1,'topP':1}}}",
          "{'request':{" Q ",'generationConfig':{'topP':'1.0'}}}" },
        { "{'request':{" Q ",'generationConfig':{'responseMimeType':'TEXT/PLAIN'}}}",
          "{'request':{" Q ",'generationConfig':{'responseMimeType':'text/plain'}}}" },
        { "{'request':{'contents':[{'parts':[{'text':'\\u0071'}]}]}}", "{'request':{" Q "}}" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        assert_true(same(pairs[i][0], pairs[i][1]));
}

static void test_all_that_can_change_an_answer_counts(void **state)
{
    static const char *const lines[] = {
        "{'request':{" Q "}}",
        "{'request':{'contents':[{'parts':[{'text':'q '}]}]}}",
        "{'request':{'contents':[{'parts':[{'text':'q'},{'text':'q'}]}]}}",
        "{'request':{" Q ",'generationConfig':{'temperature':0}}}",
        "{'request':{" Q ",'generationConfig':{'temperature':0.1}}}",
        "{'request':{" Q ",'generationConfig':{'candidateCount':2}}}",
        "{'request':{" Q ",'generationConfig':{'seed':1}}}",
        "{'request':{" Q ",'generationConfig':{'topK':1}}}",
        "{'request':{" Q ",'labels':{'a':'1'}}}",
        "{'request':{" Q ",'systemInstruction':{'parts':[{'text':'q'}]}}}",
        "{'request':{" Q ",'tools':[{'googleSearch':{}}]}}",
        "{'request':{" Q
        ",'generationConfig':{'responseMimeType':'application/json','responseJsonSchema':"
        "{'properties':{'a':{},'b':{}}}}}}",
        "{'request':{" Q
        ",'generationConfig':{'responseMimeType':'application/json','responseJsonSchema':"
        "{'properties':{'b':{},'a':{}}}}}}",
        "{'request':{'content':{'parts':[{'text':'q'}]}}}",
        "{'request':{'content':{'parts':[{'text':'q'}]},'outputDimensionality':8}}",
        "{'request':{'contents':[{'parts':[{'text':'q'},"
        "{'inlineData':{'mimeType':'image/png','data':'AAAA'}}]}]}}",
        "{'request':{'contents':[{'parts':[{'text':'q'},"
        "{'inlineData':{'mimeType':'image/png','data':'AAAB'}}]}]}}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        for (size_t j = 0; j < i; j++)

            assert_false(same(lines[i], lines[j]));
}

static void test_a_request_that_names_a_file_is_not_self_contained(void **state)
{
#define FILE_PART "{'fileData':{'mimeType':'image/png','fileUri':'gs://b/x.png'}}"
    struct buf b = BUF_INIT(65536);
    bool self;

    (void)state;
    identity("{'request':{'contents':[{'parts':[{'text':'q'}," FILE_PART "]}]}}", &b, &self);
    assert_false(self);
    identity("{'request':{'contents':[{'parts':[{'text':'q'},"
             "{'inlineData':{'mimeType':'image/png','data':'AAAA'}}]}]}}",
             &b, &self);
    assert_true(self);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spelling_space_order_and_written_defaults_do_not_count),
        cmocka_unit_test(test_all_that_can_change_an_answer_counts),
        cmocka_unit_test(test_a_request_that_names_a_file_is_not_self_contained),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
