/* Goal: what generationConfig asks for is what the answer shows. Method: the small model; answers are
 * read back as JSON and checked for what must hold whatever the model says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/json.h"
#include "conform/predict/request_make.h"
#include "predict/predictor.h"
#include "unit/predict/local/local_model.h"
#include "unit/predict/local/predictor_world.h"

#define USER(text) "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"" text "\"}]}]"
#define CONFIG(config) ",\"generationConfig\":{" config "}}"
#define PASTE_10(text) text text text text text text text text text text

static int open_world(void **state)
{
    return open_world_of(&local_model, 11, state);
}

static void submit(struct world *w, const char *json)
{
    struct error e = { 0 };

    if (w->p->ops->submit(w->p, request_make(&w->arena, json), w, &e) < 0)
        fail_msg("%s", e.msg);
}

/* The answer as JSON in the world's arena. */
static yyjson_val *take_json(struct world *w)
{
    struct answer a = take(w);
    struct error e = { 0 };
    size_t at = 0;

    if (a.error.code != ERROR_OK)
        fail_msg("%s", a.error.msg);
    const char *copy = arena_copy(&w->arena, a.response.p, a.response.len);
    yyjson_val *root = json_parse(&w->arena, (struct str){ copy, a.response.len }, &at, &e);
    assert_non_null(root);
    answer_release(&a);
    return root;
}

static yyjson_val *ask(struct world *w, const char *json)
{
    submit(w, json);
    return take_json(w);
}

static struct str text_of(yyjson_val *root)
{
    return json_str(yyjson_ptr_get(root, "/candidates/0/content/parts/0/text"));
}

static struct str finish_of(yyjson_val *root)
{
    return json_str(yyjson_ptr_get(root, "/candidates/0/finishReason"));
}

static void assert_str_equal(struct str a, struct str b)
{
    if (!str_eq(a, b))
        fail_msg("\"%.*s\" is not \"%.*s\"", STR_ARG(a), STR_ARG(b));
}

static void test_a_greedy_answer_is_the_same_again_and_says_what_it_used(void **state)
{
    const char *line =
        USER("Name three colours.") CONFIG("\"temperature\":0,\"maxOutputTokens\":12");
    yyjson_val *first = ask(*state, line), *second = ask(*state, line);

    assert_true(text_of(first).len > 0);
    assert_str_equal(text_of(second), text_of(first));
    assert_true(yyjson_get_int(yyjson_ptr_get(first, "/usageMetadata/promptTokenCount")) > 10);
    assert_true(yyjson_get_num(yyjson_ptr_get(first, "/candidates/0/avgLogprobs")) < 0.0);
    assert_str_equal(json_str(json_get(first, "modelVersion")), STR("smollm2-135m-instruct-q8_0"));
    assert_false(
        str_eq(json_str(json_get(first, "responseId")), json_str(json_get(second, "responseId"))));
}

static void test_the_limit_of_tokens_is_kept_and_said(void **state)
{
    yyjson_val *a =
        ask(*state, USER("Tell a long story.") CONFIG("\"temperature\":0,\"maxOutputTokens\":5"));

    assert_str_equal(finish_of(a), STR("MAX_TOKENS"));
    assert_int_equal(yyjson_get_int(yyjson_ptr_get(a, "/usageMetadata/candidatesTokenCount")), 5);
}

static void test_a_stop_sequence_is_not_in_the_text(void **state)
{
    yyjson_val *whole = ask(*state, USER("Count from one to nine in words.")
                                        CONFIG("\"temperature\":0,\"maxOutputTokens\":40"));
    struct str text = text_of(whole);
    struct str stop = str_sub(text, text.len / 2, 4);
    struct buf line = BUF_INIT(4096);

    buf_add_c(&line,
              USER("Count from one to nine in words.") ",\"generationConfig\":{"
                                                       "\"temperature\":0,\"maxOutputTokens\":40,"
                                                       "\"stopSequences\":[");
    buf_add_json(&line, stop);
    buf_add_c(&line, "]}}");
    yyjson_val *cut = ask(*state, line.p);
    assert_str_equal(finish_of(cut), STR("STOP"));
    assert_str_equal(text_of(cut), str_sub(text, 0, str_find(text, stop)));
    buf_release(&line);
}

static void test_a_seed_repeats_an_answer_and_none_does_not(void **state)
{
    const char *seeded = USER("Invent a name.")
        CONFIG("\"temperature\":1.5,\"topK\":500,\"topP\":1,\"maxOutputTokens\":16,\"seed\":4");
    const char *free = USER("Invent a name.")
        CONFIG("\"temperature\":1.5,\"topK\":500,\"topP\":1,\"maxOutputTokens\":16");

    assert_str_equal(text_of(ask(*state, seeded)), text_of(ask(*state, seeded)));
    assert_false(str_eq(text_of(ask(*state, free)), text_of(ask(*state, free))));
}

static void test_candidates_differ_and_are_all_counted(void **state)
{
    yyjson_val *a = ask(*state, USER("Invent a name.")
                                    CONFIG("\"temperature\":1.5,\"topP\":1,\"maxOutputTokens\":8,"
                                           "\"candidateCount\":3,\"seed\":1"));

    assert_int_equal(yyjson_arr_size(json_get(a, "candidates")), 3);
    struct str second = json_str(yyjson_ptr_get(a, "/candidates/1/content/parts/0/text"));
    assert_false(str_eq(second, text_of(a)));
}

static void test_log_probabilities_are_of_the_chosen_and_the_likeliest(void **state)
{
    yyjson_val *a =
        ask(*state, USER("Say yes.") CONFIG("\"temperature\":0,\"maxOutputTokens\":4,"
                                            "\"responseLogprobs\":true,\"logprobs\":3"));
    yyjson_val *result = yyjson_ptr_get(a, "/candidates/0/logprobsResult");
    yyjson_val *chosen = json_get(result, "chosenCandidates");
    yyjson_val *top = json_get(result, "topCandidates");

    assert_true(yyjson_arr_size(chosen) > 0);
    assert_int_equal(yyjson_arr_size(top), yyjson_arr_size(chosen));
    yyjson_val *best = yyjson_ptr_get(top, "/0/candidates/0/tokenId");
    assert_int_equal(yyjson_arr_size(yyjson_ptr_get(top, "/0/candidates")), 3);
    assert_int_equal(yyjson_get_int(best), /* greedy takes the likeliest */
                     yyjson_get_int(yyjson_ptr_get(chosen, "/0/tokenId")));
}

/* ---- Forms ---- */

#define PERSON                                                                                     \
    "\"responseMimeType\":\"application/json\",\"responseSchema\":{\"type\":\"OBJECT\","           \
    "\"properties\":{\"name\":{\"type\":\"STRING\",\"maxLength\":12},"                             \
    "\"age\":{\"type\":\"INTEGER\",\"minimum\":1,\"maximum\":99},"                                 \
    "\"kind\":{\"type\":\"STRING\",\"enum\":[\"cat\",\"dog\"]}},"                                  \
    "\"required\":[\"name\",\"age\",\"kind\"]}"

static void test_an_answer_under_a_schema_parses_and_matches_at_any_temperature(void **state)
{
    static const char *const lines[] = {
        USER("Describe a pet.") CONFIG("\"temperature\":0,\"maxOutputTokens\":200," PERSON),
        USER("Describe a pet.") CONFIG("\"temperature\":2,\"seed\":1," PERSON),
        USER("Describe a pet.") CONFIG("\"temperature\":2,\"seed\":2," PERSON),
    };
    struct world *w = *state;

    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct error e = { 0 };
        size_t at = 0;
        yyjson_val *a = ask(w, lines[i]);
        yyjson_val *pet = json_parse(&w->arena, text_of(a), &at, &e);
        assert_str_equal(finish_of(a), STR("STOP"));
        assert_non_null(pet);
        assert_true(json_str(json_get(pet, "name")).len <= 12 * 4);
        assert_in_range(yyjson_get_int(json_get(pet, "age")), 1, 99);
        struct str kind = json_str(json_get(pet, "kind"));
        assert_true(str_eq_c(kind, "cat") || str_eq_c(kind, "dog"));
        assert_int_equal(yyjson_obj_size(pet), 3);
    }
}

static void test_json_without_a_schema_parses(void **state)
{
    struct world *w = *state;
    yyjson_val *a = ask(w, USER("Write a short JSON list of two numbers.")
                               CONFIG("\"temperature\":0,\"maxOutputTokens\":300,"
                                      "\"responseMimeType\":\"application/json\""));
    struct error e = { 0 };
    size_t at = 0;

    if (str_eq(finish_of(a), STR("STOP")))
        assert_non_null(json_parse(&w->arena, text_of(a), &at, &e));
}

static void test_an_enum_answer_is_one_of_its_values_as_it_is(void **state)
{
    yyjson_val *a = ask(*state, USER("I love it. Which?")
                                    CONFIG("\"temperature\":2,\"responseMimeType\":\"text/x.enum\","
                                           "\"responseSchema\":{\"type\":\"STRING\",\"enum\":["
                                           "\"say \\\"yes\\\"\",\"n\\\\o\",\"caf\\u00e9\"]}"));
    struct str text = text_of(a);

    assert_true(str_eq_c(text, "say \"yes\"") || str_eq_c(text, "n\\o") ||
                str_eq_c(text, "caf\xc3\xa9"));
    assert_str_equal(finish_of(a), STR("STOP"));
}

/* ---- What it cannot do ---- */

static void test_what_a_text_model_cannot_take_is_named_with_its_place(void **state)
{
    static const struct {
        const char *line, *path, *says;
    } cases[] = {
        { "{\"contents\":[{\"parts\":[{\"text\":\"a\"},{\"inlineData\":{\"mimeType\":\"image/png\","
          "\"data\":\"AAAA\"}}]}]}",
          "contents[0].parts[1]", "images" },
        { USER("a") ",\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\"}]},{\"googleSearch\":{}"
                    "}]}",
          "tools[1].googleSearch", "tools that a server of Google's runs" },
    };
    struct world *w = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct violation why = { 0 };
        const struct request *r = request_make(&w->arena, cases[i].line);
        assert_false(w->p->ops->accepts(w->p, r, &why));
        assert_string_equal(why.path, cases[i].path);
        assert_non_null(strstr(why.message, cases[i].says));
        assert_true(why.remedy[0]);
    }
}

static void test_a_schema_that_is_no_grammar_is_refused_at_validation(void **state)
{
    struct world *w = *state;
    struct violation why = { 0 };
    const struct request *r = request_make(
        &w->arena, USER("a") CONFIG("\"responseMimeType\":\"application/json\","
                                    "\"responseJsonSchema\":{\"$ref\":\"#/nowhere\"}"));

    assert_false(w->p->ops->accepts(w->p, r, &why));
    assert_string_equal(why.path, "generationConfig.responseJsonSchema.$ref");
    assert_true(why.message[0] && why.remedy[0]);
    r = request_make(&w->arena, USER("a") CONFIG(PERSON));
    assert_true(w->p->ops->accepts(w->p, r, &why));
}

static void test_a_prompt_longer_than_the_context_is_that_lines_error(void **state)
{
    struct world *w = *state;

    submit(w, USER(PASTE_10(PASTE_10(PASTE_10("12 ")))) CONFIG("\"maxOutputTokens\":1"));
    struct answer a = take(w);
    assert_int_equal(a.error.code, ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(a.error.msg, "exceeds the maximum number of tokens allowed (1023)"));
    answer_release(&a);
}

static void test_thoughts_and_turns_make_one_conversation(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    uint32_t with = 0, without = 0;
    const struct request *a = request_make(
        &w->arena, "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Hi\"}]},"
                   "{\"role\":\"model\",\"parts\":[{\"text\":\"hidden\",\"thought\":true},"
                   "{\"text\":\"Hello\"}]},{\"role\":\"user\",\"parts\":[{\"text\":\"Bye\"}]}]}");
    const struct request *b =
        request_make(&w->arena, "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Hi\"}]},"
                                "{\"role\":\"model\",\"parts\":[{\"text\":\"Hello\"}]},"
                                "{\"role\":\"user\",\"parts\":[{\"text\":\"Bye\"}]}]}");

    assert_int_equal(w->p->ops->count_tokens(w->p, a, &with, &e), 0);
    assert_int_equal(w->p->ops->count_tokens(w->p, b, &without, &e), 0);
    assert_int_equal(with, without);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_greedy_answer_is_the_same_again_and_says_what_it_used),
        cmocka_unit_test(test_the_limit_of_tokens_is_kept_and_said),
        cmocka_unit_test(test_a_stop_sequence_is_not_in_the_text),
        cmocka_unit_test(test_a_seed_repeats_an_answer_and_none_does_not),
        cmocka_unit_test(test_candidates_differ_and_are_all_counted),
        cmocka_unit_test(test_log_probabilities_are_of_the_chosen_and_the_likeliest),
        cmocka_unit_test(test_an_answer_under_a_schema_parses_and_matches_at_any_temperature),
        cmocka_unit_test(test_json_without_a_schema_parses),
        cmocka_unit_test(test_an_enum_answer_is_one_of_its_values_as_it_is),
        cmocka_unit_test(test_what_a_text_model_cannot_take_is_named_with_its_place),
        cmocka_unit_test(test_a_schema_that_is_no_grammar_is_refused_at_validation),
        cmocka_unit_test(test_a_prompt_longer_than_the_context_is_that_lines_error),
        cmocka_unit_test(test_thoughts_and_turns_make_one_conversation),
    };

    return RUN_WITH_LOCAL_MODEL(tests, open_world, close_world);
}
