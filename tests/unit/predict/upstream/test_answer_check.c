/* Goal: an answer is taken when it has the form that was asked for, refused with the place where it
 * fails, and never counted as complete when it was cut; a schema that cannot be checked is refused
 * before anything is sent. Method: requests and responses as text, no server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "conform/predict/request_make.h"
#include "format/schema/schema.h"
#include "predict/upstream/answer_check.h"

#define JSON "\"responseMimeType\":\"application/json\""
#define ITEMS                                                                                      \
    JSON ",\"responseSchema\":{\"type\":\"OBJECT\",\"properties\":{\"items\":{\"type\":\"ARRAY\"," \
         "\"items\":{\"type\":\"OBJECT\",\"properties\":{\"price\":{\"type\":\"NUMBER\","          \
         "\"minimum\":0}},\"required\":[\"price\"]}}},\"required\":[\"items\"]}"
#define MOOD                                                                                       \
    "\"responseMimeType\":\"text/x.enum\",\"responseSchema\":{\"type\":\"STRING\",\"enum\":["      \
    "\"good\",\"bad\"]}"

struct world {
    struct arena arena;
    struct schemas *checks;
};

static int set_up(void **state)
{
    struct world *w = mem_alloc(sizeof *w);

    w->checks = schemas_new();
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    schemas_free(w->checks);
    arena_release(&w->arena);
    mem_free(w);
    return 0;
}

static const struct request *request_of(struct world *w, const char *config)
{
    return request_make(&w->arena, arena_textf(&w->arena,
                                               "{\"contents\":[{\"parts\":[{\"text\":\"x\"}]}],"
                                               "\"generationConfig\":{%s}}",
                                               config));
}

static struct str response_of(struct world *w, const char *text, const char *finish)
{
    struct buf out = BUF_INIT(1 << 20);

    buf_add_c(&out, "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hm.\",\"thought\":true},"
                    "{\"text\":");
    buf_add_json(&out, str_of(text));
    buf_addf(&out, "}],\"role\":\"model\"},\"finishReason\":\"%s\"}]}", finish);
    struct str copy = { arena_copy(&w->arena, out.p, out.len), out.len };
    buf_release(&out);
    return copy;
}

enum verdict { WRONG, INCOMPLETE, COMPLETE };

static enum verdict check_response(struct world *w, const char *config, struct str response,
                                   struct error *e)
{
    bool complete = false;

    if (answer_check(w->checks, request_of(w, config), response, &complete, e) < 0)
        return WRONG;
    return complete ? COMPLETE : INCOMPLETE;
}

static enum verdict check_text(struct world *w, const char *config, const char *text,
                               struct error *e)
{
    return check_response(w, config, response_of(w, text, "STOP"), e);
}

static void test_an_answer_fails_where_it_breaks_its_schema(void **state)
{
    static const struct {
        const char *config, *text, *message; /* NULL: it is complete */
    } cases[] = {
        { ITEMS, "{\"items\":[]}", NULL },
        { ITEMS, "{\n \"items\": [ {\"price\": 1.5} ]\n}\n", NULL },
        { ITEMS, "{\"items\":[{\"price\":1},{\"price\":2},{\"price\":-1}]}",
          "The answer does not match the schema: $.items[2].price is too small "
          "(properties.items.items.properties.price.minimum)." },
        { ITEMS, "{\"items\":[{}]}",
          "The answer does not match the schema: $.items[0] lacks a required property "
          "(properties.items.items.required)." },
        { ITEMS, "{\"items\":[],\"more\":1}",
          "The answer does not match the schema: $.more is not allowed "
          "(additionalProperties)." },
        { ITEMS, "Here you are: {}",
          "The answer \"Here you are: {}\" is not JSON after 0 of 16 bytes: " },
        { ITEMS, "{\"items\":[", "is not JSON after 10 of 10 bytes" },
        { ITEMS, "{\"items\":[],\"items\":[{}]}",
          "The answer does not match the schema: $.items: The key stands twice in one object." },
        { ITEMS, "", "The answer \"\" is not JSON after 0 of 0 bytes" },
        { JSON, "[1, 2]", NULL },
        { JSON, "one, two", "The answer \"one, two\" is not JSON" },
        { JSON ",\"responseJsonSchema\":{\"not\":{\"const\":1}}", "2", NULL },
        { JSON ",\"responseJsonSchema\":{\"not\":{\"const\":1}}", "1", "$ matches a schema" },
        { MOOD, "good", NULL },
        { MOOD, "Good", "The answer \"Good\" is not one of the enum's values." },
        { MOOD, "", "The answer \"\" is not one of the enum's values." },
    };
    struct world *w = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error e = { 0 };
        enum verdict v = check_text(w, cases[i].config, cases[i].text, &e);
        if (v != (cases[i].message ? WRONG : COMPLETE) ||
            (cases[i].message && !strstr(e.msg, cases[i].message)))
            fail_msg("%s: %d, %s", cases[i].text, (int)v, e.msg);
        if (v == WRONG)
            assert_int_equal(e.code, ERROR_INTERNAL);
    }
}

static void test_an_answer_that_was_cut_is_taken_but_not_complete(void **state)
{
    static const char *const finishes[] = { "MAX_TOKENS", "SAFETY", "OTHER" };
    struct world *w = *state;
    struct error e = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(finishes); i++) {
        assert_int_equal(check_response(w, ITEMS, response_of(w, "{\"items\":[", finishes[i]), &e),
                         INCOMPLETE);
        /* Not even when what is there happens to be whole. */
        assert_int_equal(
            check_response(w, ITEMS, response_of(w, "{\"items\":[]}", finishes[i]), &e),
            INCOMPLETE);
    }
    assert_int_equal(
        check_response(w, ITEMS, STR("{\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}"), &e),
        INCOMPLETE);
}

static void test_each_candidate_is_checked_and_its_texts_count_as_one(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };

    assert_int_equal(
        check_response(w, JSON,
                       STR("{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"[1\"},{\"text\":"
                           "\",2]\"}]},\"finishReason\":\"STOP\"},{\"content\":{\"parts\":[{"
                           "\"text\":\"3\"}]},\"finishReason\":\"STOP\"}]}"),
                       &e),
        COMPLETE);
    assert_int_equal(
        check_response(w, JSON,
                       STR("{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"1\"}]},"
                           "\"finishReason\":\"STOP\"},{\"content\":{\"parts\":[{\"text\":\"x\"}]},"
                           "\"finishReason\":\"STOP\"}]}"),
                       &e),
        WRONG);
    assert_non_null(strstr(e.msg, "Candidate 1: The answer \"x\" is not JSON"));
    /* A call has no text. */
    assert_int_equal(
        check_response(w, JSON,
                       STR("{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":"
                           "\"f\",\"args\":{}}}]},\"finishReason\":\"STOP\"}]}"),
                       &e),
        COMPLETE);
}

/* Goal: a call is taken when its function is declared and allowed and its arguments match, and in no other case. */
static void test_a_call_is_checked_against_its_declaration(void **state)
{
    static const struct {
        const char *mode, *call, *message; /* NULL: it is complete */
    } cases[] = {
        { "AUTO", "{\"name\":\"f\",\"args\":{\"n\":1}}", NULL },
        { "AUTO", "{\"name\":\"g\"}", NULL },
        { "AUTO", "{\"name\":\"f\",\"args\":{\"n\":-1}}",
          "The call of \"f\" does not match its parameters: $.n is too small" },
        { "AUTO", "{\"name\":\"f\"}",
          "does not match its parameters: $ lacks a required property" },
        { "AUTO", "{\"name\":\"h\",\"args\":{}}", "calls \"h\", which is not declared" },
        { "ANY", "{\"name\":\"f\",\"args\":{\"n\":1}}",
          "calls \"f\", which is not declared or not allowed" },
    };
    struct world *w = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct request *r = request_make(
            &w->arena,
            arena_textf(&w->arena,
                        "{\"contents\":[{\"parts\":[{\"text\":\"x\"}]}],\"tools\":[{"
                        "\"functionDeclarations\":[{\"name\":\"f\",\"parameters\":{\"type\":"
                        "\"OBJECT\",\"properties\":{\"n\":{\"type\":\"INTEGER\",\"minimum\":0}},"
                        "\"required\":[\"n\"]}},{\"name\":\"g\"}]}],\"toolConfig\":{"
                        "\"functionCallingConfig\":{%s\"mode\":\"%s\"}}}",
                        strcmp(cases[i].mode, "ANY") == 0 ? "\"allowedFunctionNames\":[\"g\"],"
                                                          : "",
                        cases[i].mode));
        struct str response = str_of(arena_textf(
            &w->arena,
            "{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":%s}]},\"finishReason\":"
            "\"STOP\"}]}",
            cases[i].call));
        struct error e = { 0 };
        bool complete = false;
        assert_true(answer_check_wanted(r));
        int rc = answer_check(w->checks, r, response, &complete, &e);
        assert_int_equal(rc, cases[i].message ? -1 : 0);
        if (cases[i].message && !strstr(e.msg, cases[i].message))
            fail_msg("%s", e.msg);
    }
}

static void test_a_schema_that_cannot_be_checked_is_refused_with_its_place(void **state)
{
    struct world *w = *state;
    struct violation why = { 0 };
    static const char bad[] = JSON ",\"responseJsonSchema\":{\"type\":\"object\",\"properties\":{"
                                   "\"a\":{\"if\":{\"type\":\"string\"}}}}";

    for (int i = 0; i < 2; i++) { /* known by then, and refused again */
        assert_false(answer_checks_can(w->checks, request_of(w, bad), &why));
        assert_string_equal(why.path, "generationConfig.responseJsonSchema.properties.a.if");
        assert_string_equal(why.message, "The keyword \"if\" is not supported.");
        assert_true(why.remedy[0] != '\0');
    }
    assert_true(answer_checks_can(w->checks, request_of(w, ITEMS), &why));
    assert_true(answer_checks_can(w->checks, request_of(w, MOOD), &why));
    assert_true(answer_checks_can(w->checks, request_of(w, JSON), &why));
    assert_true(answer_checks_can(w->checks, request_of(w, "\"temperature\":1"), &why));
}

/* A schema of about so many bytes. */
static const char *schema_of_size(struct world *w, size_t bytes)
{
    struct buf b = BUF_INIT(SCHEMA_BYTES_MAX * 2);
    static const char before[] = "{\"description\":\"", after[] = "\"}";

    buf_add_c(&b, JSON ",\"responseJsonSchema\":");
    buf_add_c(&b, before);
    for (size_t i = sizeof before - 1 + sizeof after - 1; i < bytes; i++)
        buf_add_char(&b, 'x');
    buf_add_c(&b, after);
    const char *out = arena_copy(&w->arena, b.p, b.len);
    buf_release(&b);
    return out;
}

static void test_a_schema_may_be_as_long_as_the_limit_and_no_longer(void **state)
{
    struct world *w = *state;
    struct violation why = { 0 };

    assert_true(
        answer_checks_can(w->checks, request_of(w, schema_of_size(w, SCHEMA_BYTES_MAX)), &why));
    assert_false(
        answer_checks_can(w->checks, request_of(w, schema_of_size(w, SCHEMA_BYTES_MAX + 1)), &why));
    assert_string_equal(why.path, "generationConfig.responseJsonSchema");
}

static void test_more_schemas_than_are_kept_are_each_followed(void **state)
{
    struct world *w = *state;

    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3 * SCHEMAS_KEPT_MAX; i++) {
            struct error e = { 0 };
            char config[128], text[16];
            (void)snprintf(config, sizeof config, JSON ",\"responseJsonSchema\":{\"const\":%d}", i);
            (void)snprintf(text, sizeof text, "%d", i);
            assert_int_equal(check_text(w, config, text, &e), COMPLETE);
            assert_int_equal(check_text(w, config, "-1", &e), WRONG);
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_answer_fails_where_it_breaks_its_schema),
        TEST(test_an_answer_that_was_cut_is_taken_but_not_complete),
        TEST(test_each_candidate_is_checked_and_its_texts_count_as_one),
        TEST(test_a_call_is_checked_against_its_declaration),
        TEST(test_a_schema_that_cannot_be_checked_is_refused_with_its_place),
        TEST(test_a_schema_may_be_as_long_as_the_limit_and_no_longer),
        TEST(test_more_schemas_than_are_kept_are_each_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
