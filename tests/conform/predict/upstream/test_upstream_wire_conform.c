/* Goal: each dialect of an upstream keeps the promises of predict/upstream/wire.h.
 * Method: the same requests, answers and refusals through each row of the table; what a dialect's words
 * for them are stands in `dialects`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"
#include "conform/predict/request_make.h"
#include "predict/upstream/wire.h"

#define TEXT "say \\\"h\xC3\xA9\\\" \\n\\u0001 \\\\ \xF0\x9F\x98\x80"
#define TEXT_READ "say \"h\xC3\xA9\" \n\x01 \\ \xF0\x9F\x98\x80"
#define ASKED "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"" TEXT "\"}]}]}"
#define FILE_ASKED                                                                                 \
    "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"},{\"fileData\":{\"fileUri\":"    \
    "\"gs://b/o.png\",\"mimeType\":\"image/png\"}}]}]}"

struct dialect {
    const char *name;
    enum upstream_wire wire;
    const char *url; /* of the upstream */
    const char *answer, *cut,
        *overloaded; /* 200: whole; ended by the limit; an error in the body */
};

// clang-format off
static const struct dialect dialects[] = {
    { "openai", WIRE_OPENAI, "http://127.0.0.1:8000/v1",
      "{\"id\":\"c-1\",\"created\":1750000000,\"model\":\"far-model\",\"choices\":[{\"index\":0,"
      "\"finish_reason\":\"stop\",\"message\":{\"role\":\"assistant\",\"content\":\"" TEXT "\"}}],"
      "\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":15,"
      "\"prompt_tokens_details\":{\"cached_tokens\":4}}}",
      "{\"choices\":[{\"index\":0,\"finish_reason\":\"length\",\"message\":{\"role\":\"assistant\","
      "\"content\":\"yes\"}}],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5}}",
      "{\"error\":{\"message\":\"overloaded\",\"code\":503}}" },
    { "gemini", WIRE_GEMINI, "http://127.0.0.1:8000/v1beta",
      "{\n  \"candidates\": [{\"content\": {\"role\": \"model\", \"parts\": [{\"text\": \"" TEXT
      "\"}]}, \"finishReason\": \"STOP\", \"index\": 0}],\n  \"modelVersion\": \"far-model\", "
      "\"responseId\": \"r-1\", \"usageMetadata\": {\"promptTokenCount\": 10, "
      "\"candidatesTokenCount\": 5, \"cachedContentTokenCount\": 4, \"totalTokenCount\": 15}\n}\n",
      "{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"yes\"}]},"
      "\"finishReason\":\"MAX_TOKENS\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":10,"
      "\"candidatesTokenCount\":5}}",
      "{\"error\":{\"code\":503,\"message\":\"overloaded\",\"status\":\"UNAVAILABLE\"}}" },
};
// clang-format on

struct world {
    const struct dialect *dialect;
    const struct wire *wire;
    struct upstream upstream;
    struct model_upstream to;
    struct arena arena;
    struct buf out;
    struct usage usage;
    struct error e;
};

static const struct dialect *dialect;

static int set_up(void **state)
{
    struct world *w = mem_alloc(sizeof *w);

    w->dialect = dialect;
    w->wire = wire_of(dialect->wire);
    w->upstream = (struct upstream){
        .name = "u", .url = dialect->url, .wire = dialect->wire, .inline_files = true
    };
    w->to = (struct model_upstream){ .upstream = &w->upstream, .model = "far" };
    w->out = BUF_INIT(UPSTREAM_BODY_BYTES_MAX);
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

static yyjson_val *parse(struct world *w, struct str text)
{
    size_t at;
    struct error e = { 0 };
    yyjson_val *root = json_parse(&w->arena, text, &at, &e);

    if (!root)
        fail_msg("%.*s: %s", STR_ARG(text), e.msg);
    return root;
}

/* Is this text a string anywhere in the value? */
static bool holds(yyjson_val *v, const char *text)
{
    size_t i, n;
    yyjson_val *key, *item;

    if (yyjson_is_str(v))
        return str_eq_c(json_str(v), text);
    yyjson_arr_foreach(v, i, n, item)
    {
        if (holds(item, text))
            return true;
    }
    yyjson_obj_foreach(v, i, n, key, item)
    {
        if (holds(item, text))
            return true;
    }
    return false;
}

static int read_body(struct world *w, struct str body, const char *at)
{
    const struct reply_rules rules = {
        .request = request_make(&w->arena, ASKED),
        .model = "far",
        .at = at,
        .response_id = "made-1",
        .create_time_us = 1750000000000000,
    };

    return w->wire->read(&w->arena, body, &rules, &w->out, &w->usage, &w->e);
}

/* ---- Out ---- */

static void test_its_name_is_the_one_of_the_configuration(void **state)
{
    struct world *w = *state;

    assert_string_equal(w->wire->name, w->dialect->name);
}

static void test_a_text_is_accepted_and_its_url_is_below_the_upstreams(void **state)
{
    struct world *w = *state;
    const struct request *r = request_make(&w->arena, ASKED);
    struct violation why;

    assert_true(w->wire->accepts(&w->to, false, r, &why));
    w->wire->url(&w->to, r, &w->out);
    assert_true(str_starts(buf_str(&w->out), str_of(w->dialect->url)));
    for (size_t i = 0; i < w->out.len; i++)
        assert_true(w->out.p[i] > ' ' && w->out.p[i] < 0x7f);
}

static void test_the_body_is_json_and_has_every_character_of_the_text(void **state)
{
    struct world *w = *state;
    const struct file_contents none = { 0 };

    assert_int_equal(
        w->wire->write(&w->to, request_make(&w->arena, ASKED), &none, false, &w->out, &w->e), 0);
    assert_true(holds(parse(w, buf_str(&w->out)), TEXT_READ));
}

static void test_a_file_that_nobody_can_read_is_refused_by_its_place(void **state)
{
    struct world *w = *state;
    const struct request *r = request_make(&w->arena, FILE_ASKED);
    struct violation why = { 0 };

    assert_true(w->wire->accepts(&w->to, true, r, &why));
    assert_false(w->wire->accepts(&w->to, false, r, &why));
    assert_string_equal(why.path, "contents[0].parts[1].fileData.fileUri");
    assert_true(why.message[0] && why.remedy[0]);
}

static void test_a_files_content_goes_along(void **state)
{
    struct world *w = *state;
    const struct file_content file = { STR("gs://b/o.png"), STR("QUJD") };
    const struct file_contents files = { &file, 1 };

    assert_int_equal(
        w->wire->write(&w->to, request_make(&w->arena, FILE_ASKED), &files, false, &w->out, &w->e),
        0);
    (void)parse(w, buf_str(&w->out));
    assert_true(str_find(buf_str(&w->out), STR("QUJD")) != SIZE_MAX);
    assert_true(str_find(buf_str(&w->out), STR("gs://")) == SIZE_MAX);
}

static void test_a_credential_is_one_header_line(void **state)
{
    struct world *w = *state;

    w->wire->credential(STR("secret-1"), false, &w->out);
    assert_true(str_ends(buf_str(&w->out), STR("secret-1")));
    assert_true(str_find(buf_str(&w->out), STR(": ")) != SIZE_MAX);
    assert_true(str_find(buf_str(&w->out), STR("\n")) == SIZE_MAX);
    buf_clear(&w->out);
    w->wire->credential(STR("token-1"), true, &w->out);
    assert_true(str_eq_c(buf_str(&w->out), "Authorization: Bearer token-1"));
}

/* ---- In ---- */

static void test_an_answer_becomes_one_line_with_text_version_and_usage(void **state)
{
    struct world *w = *state;

    assert_int_equal(read_body(w, str_of(w->dialect->answer), NULL), 0);
    assert_null(memchr(w->out.p, '\n', w->out.len));
    yyjson_val *root = parse(w, buf_str(&w->out));
    yyjson_val *first = yyjson_arr_get_first(json_get(root, "candidates"));
    assert_true(holds(json_get(first, "content"), TEXT_READ));
    assert_true(str_eq_c(json_str(json_get(first, "finishReason")), "STOP"));
    assert_true(str_eq_c(json_str(json_get(root, "modelVersion")), "far-model"));
    assert_int_equal(w->usage.prompt_tokens, 10);
    assert_int_equal(w->usage.cached_tokens, 4);
    assert_int_equal(w->usage.candidate_tokens, 5);
}

static void test_one_of_several_upstreams_is_named_in_the_version(void **state)
{
    struct world *w = *state;

    assert_int_equal(read_body(w, str_of(w->dialect->answer), "one"), 0);
    assert_true(
        str_eq_c(json_str(json_get(parse(w, buf_str(&w->out)), "modelVersion")), "far-model@one"));
}

static void test_an_answer_that_the_limit_cut_says_so(void **state)
{
    struct world *w = *state;

    assert_int_equal(read_body(w, str_of(w->dialect->cut), NULL), 0);
    assert_true(holds(parse(w, buf_str(&w->out)), "MAX_TOKENS"));
}

static void test_a_malformed_answer_is_an_error_worth_another_try(void **state)
{
    struct world *w = *state;
    const struct str bodies[] = { STR(""),         STR("<html>gateway</html>"),
                                  STR("\"text\""), STR("[]"),
                                  STR("{}"),       STR("{\"a\":\"\xFF\"}") };

    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        w->e = (struct error){ 0 };
        assert_int_equal(read_body(w, bodies[i], NULL), -1);
        assert_int_equal(w->e.code, ERROR_INTERNAL);
        assert_true(w->e.msg[0]);
    }
}

/* Every answer that was cut short anywhere. */
static void test_no_beginning_of_an_answer_is_an_answer(void **state)
{
    struct world *w = *state;
    struct str whole = str_trim(str_of(w->dialect->answer));

    for (size_t len = 0; len < whole.len; len++) {
        buf_clear(&w->out);
        assert_int_equal(read_body(w, str_sub(whole, 0, len), NULL), -1);
        assert_true(error_retryable(w->e.code));
        arena_reset(&w->arena);
    }
}

static void test_an_error_under_status_200_keeps_its_code_and_words(void **state)
{
    struct world *w = *state;

    assert_int_equal(read_body(w, str_of(w->dialect->overloaded), NULL), -1);
    assert_int_equal(w->e.code, ERROR_UNAVAILABLE);
    assert_non_null(strstr(w->e.msg, "overloaded"));
}

static void test_an_answer_over_the_buffers_limit_is_out_of_range(void **state)
{
    struct world *w = *state;

    w->out.max = 40;
    assert_int_equal(read_body(w, str_of(w->dialect->answer), NULL), -1);
    assert_int_equal(w->e.code, ERROR_OUT_OF_RANGE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_its_name_is_the_one_of_the_configuration),
        TEST(test_a_text_is_accepted_and_its_url_is_below_the_upstreams),
        TEST(test_the_body_is_json_and_has_every_character_of_the_text),
        TEST(test_a_file_that_nobody_can_read_is_refused_by_its_place),
        TEST(test_a_files_content_goes_along),
        TEST(test_a_credential_is_one_header_line),
        TEST(test_an_answer_becomes_one_line_with_text_version_and_usage),
        TEST(test_one_of_several_upstreams_is_named_in_the_version),
        TEST(test_an_answer_that_the_limit_cut_says_so),
        TEST(test_a_malformed_answer_is_an_error_worth_another_try),
        TEST(test_no_beginning_of_an_answer_is_an_answer),
        TEST(test_an_error_under_status_200_keeps_its_code_and_words),
        TEST(test_an_answer_over_the_buffers_limit_is_out_of_range),
    };
    int failed = 0;

    for (size_t i = 0; i < ARRAY_LEN(dialects); i++) {
        dialect = &dialects[i];
        failed += cmocka_run_group_tests_name(dialect->name, tests, NULL, NULL);
    }
    return failed;
}
