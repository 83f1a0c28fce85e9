/* Goal: what goes to Google's own calls is what was written, but for what they cannot read, and what
 * comes back is what they said, in one line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/json.h"
#include "conform/predict/request_make.h"
#include "format/google/google.h"

struct world {
    struct arena arena;
    struct buf out;
    struct usage usage;
    struct error error;
};

static int set_up(void **state)
{
    struct world *w = mem_alloc(sizeof *w);

    w->out = BUF_INIT((size_t)1024 * 1024);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    buf_release(&w->out);
    arena_release(&w->arena);
    mem_free(w);
    return 0;
}

#define TURN "\"contents\":[{\"parts\":[{\"text\":\"hi\"}]}]"

static void write_as(struct world *w, const char *request, enum google_call call,
                     const char *wanted)
{
    const struct file_contents none = { 0 };

    buf_clear(&w->out);
    assert_int_equal(
        google_request_write(request_make(&w->arena, request), call, &none, &w->out, &w->error), 0);
    assert_string_equal(w->out.p, wanted);
}

static void test_a_request_goes_as_it_was_written(void **state)
{
    static const char *const requests[] = {
        "{" TURN "}",
        "{ \"contents\": {\"parts\": {\"text\": \"a \\u00e9\"}} , "
        "\"generation_config\":{\"top_k\":3}}",
        /* Thoughts' signatures, and calls with their ids, are the server's own. */
        "{\"contents\":[{\"role\":\"model\",\"parts\":[{\"thought\":true,\"thoughtSignature\":"
        "\"QUJD\"},{\"functionCall\":{\"id\":\"1\",\"name\":\"f\"},\"thoughtSignature\":\"REVG\"}]}"
        ","
        "{\"parts\":[{\"functionResponse\":{\"id\":\"1\",\"name\":\"f\",\"response\":{}}}]}]}",
    };

    for (size_t i = 0; i < ARRAY_LEN(requests); i++)
        write_as(*state, requests[i], GOOGLE_GEMINI, requests[i]);
}

static void test_labels_go_to_vertex_only(void **state)
{
    const char *labelled = "{\"labels\":{\"a\":\"b\"}," TURN ",\"tools\":[]}";

    write_as(*state, labelled, GOOGLE_VERTEX, labelled);
    write_as(*state, labelled, GOOGLE_GEMINI, "{" TURN ",\"tools\":[]}");
}

static void test_files_at_hand_become_inline_data_and_others_stay(void **state)
{
    struct world *w = *state;
    const struct file_content file = { STR("gs://b/a.png"), STR("UE5H") };
    const struct file_contents files = { &file, 1 };
    const struct request *r = request_make(
        &w->arena,
        "{\"contents\":{\"parts\":[{\"file_data\":{\"file_uri\":\"gs://b/a.png\",\"mime_type\":"
        "\"image/png\"}},{\"fileData\":{\"fileUri\":\"https://h/b.png\",\"mimeType\":"
        "\"image/png\"}}]}}");

    assert_int_equal(google_request_write(r, GOOGLE_GEMINI, &files, &w->out, &w->error), 0);
    assert_non_null(
        strstr(w->out.p, "\"inlineData\":{\"mimeType\":\"image/png\",\"data\":\"UE5H\"}"));
    assert_null(strstr(w->out.p, "gs://"));
    assert_non_null(strstr(w->out.p, "https://h/b.png"));
}

static int read_reply(struct world *w, const char *body, const char *at)
{
    const struct reply_rules rules = {
        .request = request_make(&w->arena, "{" TURN "}"),
        .model = "asked",
        .at = at,
    };

    buf_clear(&w->out);
    w->error = (struct error){ 0 };
    return google_response_read(&w->arena, str_of(body), &rules, &w->out, &w->usage, &w->error);
}

static void test_vertex_embeds_by_predict_where_the_model_has_no_other_call(void **state)
{
    static const struct {
        const char *request, *model;
        bool vertex;
        enum google_call call;
    } cases[] = {
        { "{\"content\":{\"parts\":[{\"text\":\"a\"}]}}", "text-embedding-005", true,
          GOOGLE_PREDICT },
        { "{\"content\":{\"parts\":[{\"text\":\"a\"}]}}",
          "projects/gemini-p/locations/us-central1/endpoints/77", true, GOOGLE_PREDICT },
        { "{\"content\":{\"parts\":[{\"text\":\"a\"}]}}", "gemini-embedding-001", true,
          GOOGLE_VERTEX },
        { "{\"content\":{\"parts\":[{\"text\":\"a\"}]}}", "multilingual-e5-large-instruct-maas",
          true, GOOGLE_VERTEX },
        { "{\"content\":{\"parts\":[{\"text\":\"a\"}]}}", "text-embedding-004", false,
          GOOGLE_GEMINI },
        { "{" TURN "}", "text-embedding-005", true, GOOGLE_VERTEX },
    };
    struct world *w = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(google_call_of(request_make(&w->arena, cases[i].request), cases[i].vertex,
                                        cases[i].model),
                         cases[i].call);
}

static void test_an_instance_of_predict_has_the_text_and_the_settings(void **state)
{
    write_as(*state, "{\"content\":{\"parts\":[{\"text\":\"a \\\"b\\\"\"},{\"text\":\"c\"}]}}",
             GOOGLE_PREDICT, "{\"instances\":[{\"content\":\"a \\\"b\\\"\\nc\"}]}");
    write_as(
        *state,
        "{\"content\":{\"parts\":[{\"text\":\"a\"}]},\"taskType\":\"RETRIEVAL_DOCUMENT\","
        "\"title\":\"t\",\"outputDimensionality\":3,\"autoTruncate\":false}",
        GOOGLE_PREDICT,
        "{\"instances\":[{\"content\":\"a\",\"task_type\":\"RETRIEVAL_DOCUMENT\",\"title\":\"t\"}],"
        "\"parameters\":{\"autoTruncate\":false,\"outputDimensionality\":3}}");
    write_as(*state,
             "{\"content\":{\"parts\":[{\"text\":\"a\"}]},\"embedContentConfig\":{\"taskType\":"
             "\"TASK_TYPE_UNSPECIFIED\",\"autoTruncate\":true}}",
             GOOGLE_PREDICT,
             "{\"instances\":[{\"content\":\"a\"}],\"parameters\":{\"autoTruncate\":true}}");
}

static void test_predict_takes_text_only(void **state)
{
    struct world *w = *state;
    struct violation why;
    const struct request *r = request_make(
        &w->arena, "{\"content\":{\"parts\":[{\"text\":\"a\"},{\"inlineData\":{\"mimeType\":"
                   "\"image/png\",\"data\":\"AAAA\"}}]}}");

    assert_false(google_predict_accepts(r, &why));
    assert_string_equal(why.path, "content.parts[1]");
    assert_non_null(strstr(why.message, "embeds text only"));
}

static void test_a_prediction_becomes_an_embedding(void **state)
{
    static const char *const broken[] = {
        "{\"predictions\":[]}",
        "{\"predictions\":[{\"embeddings\":{\"values\":[]}}]}",
        "{\"predictions\":[{\"embeddings\":{\"values\":[1]}},{\"embeddings\":{\"values\":[1]}}]}",
    };
    struct world *w = *state;
    const struct reply_rules rules = {
        .request = request_make(&w->arena, "{\"content\":{\"parts\":[{\"text\":\"a\"}]}}"),
        .model = "text-embedding-005",
    };

    assert_int_equal(
        google_response_read(&w->arena,
                             STR("{\"predictions\": [{\"embeddings\": {\"statistics\": "
                                 "{\"token_count\": 4.0, \"truncated\": false},\n \"values\": "
                                 "[0.5, -1]}}], \"metadata\": {\"billableCharacterCount\": 1}}"),
                             &rules, &w->out, &w->usage, &w->error),
        0);
    assert_string_equal(w->out.p, "{\"embedding\":{\"values\":[0.5,-1]},\"tokenCount\":\"4\","
                                  "\"usageMetadata\":{\"promptTokenCount\":4,"
                                  "\"promptTokensDetails\":[{\"modality\":\"TEXT\","
                                  "\"tokenCount\":4}],\"totalTokenCount\":4,"
                                  "\"trafficType\":\"ON_DEMAND\"}}");
    assert_int_equal(w->usage.prompt_tokens, 4);
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        assert_int_equal(google_response_read(&w->arena, str_of(broken[i]), &rules, &w->out,
                                              &w->usage, &w->error),
                         -1);
        assert_non_null(strstr(w->error.msg, "no embedding"));
    }
}

static void test_an_answer_becomes_one_line_and_its_usage_is_read(void **state)
{
    struct world *w = *state;

    assert_int_equal(
        read_reply(w,
                   "{\n  \"candidates\": [ {\"content\": {\"parts\": [{\"text\": "
                   "\"a \\\"b\\\" c\\\\\"}]},\r\n\"avgLogprobs\": -0.10}],\n"
                   "\"usageMetadata\": {\"promptTokenCount\": 7, \"candidatesTokenCount\""
                   ": 3,\t\"thoughtsTokenCount\": 2, \"cachedContentTokenCount\": 9}\n}\n",
                   NULL),
        0);
    assert_string_equal(
        w->out.p, "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a \\\"b\\\" c\\\\\"}]},"
                  "\"avgLogprobs\":-0.10}],\"usageMetadata\":{\"promptTokenCount\":7,"
                  "\"candidatesTokenCount\":3,\"thoughtsTokenCount\":2,"
                  "\"cachedContentTokenCount\":9}}");
    assert_int_equal(w->usage.prompt_tokens, 7);
    assert_int_equal(w->usage.cached_tokens, 7); /* no more than there were */
    assert_int_equal(w->usage.candidate_tokens, 3);
    assert_int_equal(w->usage.thought_tokens, 2);
}

static void test_the_version_says_who_answered_of_several(void **state)
{
    struct world *w = *state;

    assert_int_equal(read_reply(w, "{\"modelVersion\": \"g-1\", \"candidates\": [{}]}", "vertex"),
                     0);
    assert_string_equal(w->out.p, "{\"candidates\":[{}],\"modelVersion\":\"g-1@vertex\"}");
    assert_int_equal(read_reply(w, "{\"candidates\":[{}]}", "vertex"), 0);
    assert_string_equal(w->out.p, "{\"candidates\":[{}],\"modelVersion\":\"asked@vertex\"}");
}

static void test_a_blocked_prompt_is_an_answer(void **state)
{
    assert_int_equal(read_reply(*state, "{\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}", NULL),
                     0);
}

static void test_what_is_no_answer_is_told_and_can_be_tried_again(void **state)
{
    static const struct {
        const char *body, *says;
        enum error_code code;
    } cases[] = {
        { "", "not JSON", ERROR_INTERNAL },
        { "<html>", "not JSON", ERROR_INTERNAL },
        { "{\"candidates\":[{\"content\":", "not JSON", ERROR_INTERNAL },
        { "{\"candidates\":[{\"x\":\"\xff\"}]}", "not JSON", ERROR_INTERNAL },
        { "[]", "not a JSON object", ERROR_INTERNAL },
        { "{}", "no candidates", ERROR_INTERNAL },
        { "{\"candidates\":[]}", "no candidates", ERROR_INTERNAL },
        { "{\"error\":{\"status\":\"UNAVAILABLE\",\"message\":\"later\"}}", "later",
          ERROR_UNAVAILABLE },
        { "{\"error\":{\"status\":\"INVALID_ARGUMENT\",\"message\":\"bad\"}}", "bad",
          ERROR_INVALID_ARGUMENT },
        { "{\"error\":\"odd\"}", "an error", ERROR_INTERNAL },
    };
    struct world *w = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(read_reply(w, cases[i].body, NULL), -1);
        assert_int_equal(w->error.code, cases[i].code);
        if (!strstr(w->error.msg, cases[i].says))
            fail_msg("%s says: %s", cases[i].body, w->error.msg);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_request_goes_as_it_was_written),
        TEST(test_labels_go_to_vertex_only),
        TEST(test_files_at_hand_become_inline_data_and_others_stay),
        TEST(test_vertex_embeds_by_predict_where_the_model_has_no_other_call),
        TEST(test_an_instance_of_predict_has_the_text_and_the_settings),
        TEST(test_predict_takes_text_only),
        TEST(test_a_prediction_becomes_an_embedding),
        TEST(test_an_answer_becomes_one_line_and_its_usage_is_read),
        TEST(test_the_version_says_who_answered_of_several),
        TEST(test_a_blocked_prompt_is_an_answer),
        TEST(test_what_is_no_answer_is_told_and_can_be_tried_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
