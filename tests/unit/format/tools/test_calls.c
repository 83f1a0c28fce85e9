/* Goal: an answer's text becomes the texts and calls that its model meant, in each format; what cannot be
 * read is said; a format is found from a template's text. Method: transcripts as models write them; each limit
 * at its maximum and one past it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/sys.h"
#include "format/tools/call_parse.h"
#include "format/tools/thinking.h"

#define TEXT_BYTES_MAX ((size_t)1024 * 1024)

/* The parts as "text|f{"a":1}|text", or "!" and the reason. */
static void read_into(enum call_format f, const char *answer, bool cut, struct buf *out)
{
    struct arena a = { 0 };
    struct parsed_parts parts;
    struct error why = { 0 };

    buf_clear(out);
    buf_add_c(out, "");
    if (!calls_parse(f, &a, str_of(answer), cut, &parts, &why))
        buf_addf(out, "!%s", why.msg);
    for (uint32_t i = 0; why.code == ERROR_OK && i < parts.count; i++) {
        const struct response_part *p = &parts.item[i];
        buf_add_c(out, i ? "|" : "");
        buf_add_str(out, p->kind == RESPONSE_CALL ? p->name : p->text);
        buf_add_str(out, p->kind == RESPONSE_CALL ? p->args : STR(""));
    }
    arena_release(&a);
}

static void test_transcripts_become_texts_and_calls(void **state)
{
    // clang-format off
    static const struct {
        enum call_format format;
        const char *answer, *parts;
    } cases[] = {
        /* Qwen 2.5 and 3, Hermes */
        { CALLS_HERMES, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>", "f{\"a\":1}" },
        { CALLS_HERMES, "Let me look.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\n"
                        "<tool_call>\n{\"name\": \"g\", \"arguments\": {\"b\": \"</tool_call>\"}}\n</tool_call>",
          "Let me look.|f{}|g{\"b\":\"</tool_call>\"}" },
        { CALLS_HERMES, "<tool_call>{\"arguments\": {\"a\": [1, {\"b\": null}]}, \"name\": \"f\"}</tool_call> Done.",
          "f{\"a\":[1,{\"b\":null}]}|Done." },
        { CALLS_HERMES, "<tool_call>\n{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": 1}\"}", "f{\"a\":1}" },
        { CALLS_HERMES, "<tool_call>\n{\"name\": \"f\", \"parameters\": {\"a\": 1}}\n</tool_call>", "f{\"a\":1}" },
        { CALLS_HERMES, "<tool_call>\n{\"name\": \"f\"}\n</tool_call>", "f{}" },
        { CALLS_HERMES, "No call is needed: {\"name\": \"f\", \"arguments\": {}}",
          "No call is needed: {\"name\": \"f\", \"arguments\": {}}" },
        { CALLS_HERMES, "<tool_call>\nf(a=1)\n</tool_call>", "!A call is not a JSON object." },
        { CALLS_HERMES, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}\n</tool_call>",
          "!A call is not a JSON object." },
        { CALLS_HERMES, "<tool_call>\n{'name': 'f'}\n</tool_call>",
          "!A call is not a JSON object: " },
        { CALLS_HERMES, "<tool_call>\n{\"arguments\": {}}\n</tool_call>", "!A call has no name." },
        { CALLS_HERMES, "<tool_call>\n{\"name\": \"f\", \"arguments\": [1]}\n</tool_call>",
          "!The arguments of f cannot be read: They are not an object." },
        { CALLS_HERMES, "", "" },
        /* SmolLM2 */
        { CALLS_SMOLLM2, "<tool_call>[\n{\"name\": \"f\", \"arguments\": {\"a\": 1}},\n{\"name\": \"g\", "
                         "\"arguments\": {}}\n]</tool_call>", "f{\"a\":1}|g{}" },
        { CALLS_SMOLLM2, "<tool_call>[]</tool_call>", "" },
        { CALLS_SMOLLM2, "<tool_call>[{\"name\": \"f\", \"arguments\": {}} x]</tool_call>",
          "!A list of calls does not end." },
        /* Llama 3 */
        { CALLS_LLAMA3, "{\"name\": \"f\", \"parameters\": {\"a\": \"b\"}}", "f{\"a\":\"b\"}" },
        { CALLS_LLAMA3, "\n {\"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {}}", "f{}|g{}" },
        { CALLS_LLAMA3, "{\"sum\": 5}", "{\"sum\": 5}" },
        { CALLS_LLAMA3, "{\"name\": \"Ada\", \"age\": 36}", "{\"name\": \"Ada\", \"age\": 36}" },
        { CALLS_LLAMA3, "I call {\"name\": \"f\", \"parameters\": {}}", "I call {\"name\": \"f\", \"parameters\": {}}" },
        { CALLS_LLAMA3, "{\"name\": \"f\", \"parameters\": {}} and more", "!A call is not a JSON object." },
        { CALLS_LLAMA3, "{\"name\": \"f\", \"parameters\": {\"a\": }}",
          "!A call is not a JSON object: " },
        /* Gemma */
        { CALLS_GEMMA, "[{\"name\": \"f\", \"parameters\": {\"a\": 1}}, {\"name\": \"g\", \"parameters\": {}}]",
          "f{\"a\":1}|g{}" },
        { CALLS_GEMMA, "```json\n[{\"name\": \"f\", \"parameters\": {}}]\n```", "f{}" },
        { CALLS_GEMMA, "```tool_code\n{\"name\": \"f\", \"parameters\": {}}\n```", "f{}" },
        { CALLS_GEMMA, "[1, 2, 3]", "[1, 2, 3]" },
        { CALLS_GEMMA, "Sure.", "Sure." },
        { CALLS_NONE, "<tool_call>{}</tool_call>", "<tool_call>{}</tool_call>" },
    };
    // clang-format on
    struct buf got = BUF_INIT(TEXT_BYTES_MAX);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        read_into(cases[i].format, cases[i].answer, false, &got);
        if (strncmp(got.p, cases[i].parts,
                    cases[i].parts[0] == '!' ? strlen(cases[i].parts) : got.len + 1) != 0)
            fail_msg("%s\n gives %s\n not %s", cases[i].answer, got.p, cases[i].parts);
    }
    buf_release(&got);
}

/* Goal: whatever is cut off, whole calls stay and no half of one shows. Method: two calls, cut at each byte. */
static void test_an_answer_that_was_cut_keeps_its_whole_calls(void **state)
{
    static const struct {
        enum call_format format;
        const char *answer;
    } cases[] = {
        { CALLS_HERMES, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>\n"
                        "<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>" },
        { CALLS_SMOLLM2, "<tool_call>[{\"name\": \"f\", \"arguments\": {\"a\": 1}}, {\"name\": "
                         "\"g\", \"arguments\": {}}]</tool_call>" },
        { CALLS_GEMMA, "[{\"name\": \"f\", \"parameters\": {\"a\": 1}}, {\"name\": \"g\", "
                       "\"parameters\": {}}]" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (size_t len = 24; len < strlen(cases[i].answer); len++) {
            struct arena a = { 0 };
            struct parsed_parts parts;
            struct error why = { 0 };
            struct str answer = { cases[i].answer, len };
            assert_true(calls_parse(cases[i].format, &a, answer, true, &parts, &why));
            assert_true(parts.begun && parts.calls <= 2);
            for (uint32_t k = 0; k < parts.count; k++)
                if (parts.item[k].kind == RESPONSE_CALL)
                    assert_true(str_eq_c(parts.item[k].args, k ? "{}" : "{\"a\":1}"));
            arena_release(&a);
        }
}

static void test_an_answer_has_a_limit_of_calls_and_a_call_one_of_depth(void **state)
{
    struct buf answer = BUF_INIT(TEXT_BYTES_MAX), got = BUF_INIT(TEXT_BYTES_MAX);

    (void)state;
    for (int count = CALLS_MAX; count <= CALLS_MAX + 1; count++) {
        buf_clear(&answer);
        for (int i = 0; i < count; i++)
            buf_add_c(&answer, "<tool_call>{\"name\":\"f\"}</tool_call>");
        read_into(CALLS_HERMES, answer.p, false, &got);
        assert_int_equal(got.p[0] == '!', count > CALLS_MAX);
    }
    for (int depth = CALL_ARGS_DEPTH_MAX; depth <= CALL_ARGS_DEPTH_MAX + 1; depth++) {
        buf_clear(&answer);
        buf_add_c(&answer, "{\"name\":\"f\",\"parameters\":{\"a\":");
        for (int i = 1; i < depth; i++)
            buf_add_char(&answer, '[');
        for (int i = 1; i < depth; i++)
            buf_add_char(&answer, ']');
        buf_add_c(&answer, "}}");
        read_into(CALLS_LLAMA3, answer.p, false, &got);
        assert_int_equal(got.p[0] == '!', depth > CALL_ARGS_DEPTH_MAX);
    }
    buf_release(&answer);
    buf_release(&got);
}

/* ---- Formats ---- */

static struct call_style style_of_file(const char *name, bool shows, struct thinking_tags *tags)
{
    char path[512];
    struct buf text = BUF_INIT(TEXT_BYTES_MAX);
    struct error e = { 0 };

    (void)snprintf(path, sizeof path, "%s/e2e/templates/%s.jinja", TESTS_DIR, name);
    if (sys_read_file(path, TEXT_BYTES_MAX, &text, &e) < 0)
        fail_msg("%s", e.msg);
    struct call_style s = call_style_of(buf_str(&text), shows, CALLS_AUTO);
    *tags = thinking_tags_of(buf_str(&text));
    buf_release(&text);
    return s;
}

static void test_a_templates_text_shows_its_format_and_its_tags(void **state)
{
    static const struct {
        const char *file;
        bool shows, in_template, thinks;
        enum call_format format;
    } cases[] = {
        { "hermes", true, true, true, CALLS_HERMES },
        { "llama3", true, true, false, CALLS_LLAMA3 },
        { "gemma", false, false, false, CALLS_GEMMA },
        { "always-thinks", false, false, true, CALLS_NONE },
        { "other", true, false, false, CALLS_NONE },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct thinking_tags tags;
        struct call_style s = style_of_file(cases[i].file, cases[i].shows, &tags);
        assert_string_equal(call_format_name(s.format), call_format_name(cases[i].format));
        assert_int_equal(s.in_template, cases[i].in_template);
        assert_int_equal(tags.begin.len > 0, cases[i].thinks);
    }
}

static void
test_a_format_that_is_set_is_used_and_written_here_where_no_template_has_it(void **state)
{
    const struct str plain = STR("{{ messages }}");

    (void)state;
    for (int f = CALLS_HERMES; f <= CALLS_GEMMA; f++) {
        struct call_style s = call_style_of(plain, false, (enum call_format)f);
        struct buf out = BUF_INIT(TEXT_BYTES_MAX);
        assert_int_equal(s.format, f);
        assert_false(s.in_template);
        call_system_write(s.format, STR("[{\"name\": \"f\"}]"), &out);
        assert_true(str_find(buf_str(&out), STR("[{\"name\": \"f\"}]")) != SIZE_MAX);
        buf_release(&out);
    }
    assert_int_equal(call_style_of(plain, true, CALLS_AUTO).format, CALLS_NONE);
}

/* Goal: a turn of calls that is written for a model is read back as it was. */
static void test_calls_that_are_written_are_read_again(void **state)
{
    (void)state;
    for (int f = CALLS_HERMES; f <= CALLS_GEMMA; f++) {
        struct buf out = BUF_INIT(TEXT_BYTES_MAX), got = BUF_INIT(TEXT_BYTES_MAX);
        call_write((enum call_format)f,
                   &(struct call_text){ STR("f"), STR("{\"a\":1}"), true, false }, &out);
        call_write((enum call_format)f, &(struct call_text){ STR("g"), STR("{}"), false, true },
                   &out);
        read_into((enum call_format)f, out.p, false, &got);
        assert_string_equal(got.p, "f{\"a\":1}|g{}");
        buf_release(&out);
        buf_release(&got);
    }
}

static void test_a_call_begins_with_its_marker(void **state)
{
    static const struct {
        enum call_format format;
        const char *answer;
        size_t end;
        bool open;
    } cases[] = {
        { CALLS_HERMES, "Hm. <tool_call>\n", 15, true },
        { CALLS_HERMES, "Hm. <tool_cal", 0, true },
        { CALLS_LLAMA3, " {\"name", 2, false },
        { CALLS_LLAMA3, "\n", 0, true },
        { CALLS_LLAMA3, "No {", 0, false },
        { CALLS_GEMMA, "[{", 1, false },
    };
    bool open;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(call_begins(cases[i].format, str_of(cases[i].answer), &open),
                         cases[i].end);
        assert_int_equal(open, cases[i].open);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transcripts_become_texts_and_calls),
        cmocka_unit_test(test_an_answer_that_was_cut_keeps_its_whole_calls),
        cmocka_unit_test(test_an_answer_has_a_limit_of_calls_and_a_call_one_of_depth),
        cmocka_unit_test(test_a_templates_text_shows_its_format_and_its_tags),
        cmocka_unit_test(
            test_a_format_that_is_set_is_used_and_written_here_where_no_template_has_it),
        cmocka_unit_test(test_calls_that_are_written_are_read_again),
        cmocka_unit_test(test_a_call_begins_with_its_marker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
