/* The two small languages of tables: the template of a prompt, and --where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "format/table/template.h"
#include "format/table/where.h"

static struct str names[] = { STR_INIT("id"), STR_INIT("text"), STR_INIT("stars"),
                              STR_INIT("odd}:json \"name\"") };
static const struct columns columns = { names, 4 };
/* A row: a text with a quote, stars 1.10, and nothing in the last column. */
static const struct cell cells[] = {
    { .text = STR_INIT("007") },
    { .text = STR_INIT("so \"good\"\n") },
    { .text = STR_INIT("1.10") },
    { .null = true },
};

/* Goal: filled text, escaped for a JSON string. */
static void test_a_template_is_filled_in_with_the_cells(void **state)
{
    static const struct {
        const char *text, *filled;
    } cases[] = {
        { "Label: {text}", "Label: so \\\"good\\\"\\n" },
        { "{id}{stars}", "0071.10" },
        { "{{\"label\": {id}}}", "{\\\"label\\\": 007}" },
        { "{text:json}", "\\\"so \\\\\\\"good\\\\\\\"\\\\n\\\"" },
        { "{id} {\"odd}:json \"\"name\"\"\"}.", "007 ." },
        { "{id} {\"odd}:json \"\"name\"\"\":json}", "007 null" },
        { "{id}{?stars}, {stars} stars{/}{!stars}, no stars{/}", "007, 1.10 stars" },
        { "{id}{?\"odd}:json \"\"name\"\"\"}x{/}{!\"odd}:json \"\"name\"\"\"}y{?id}z{/}{/}.",
          "007yz." },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena a = { 0 };
        struct buf out = BUF_INIT(1000);
        struct template t;
        struct error e = { 0 };
        if (template_read(&t, &a, str_of(cases[i].text), &columns, &e) < 0)
            fail_msg("%s: %s", cases[i].text, e.msg);
        template_fill(&t, cells, &out);
        buf_add_char(&out, '\0');
        assert_string_equal(out.p, cases[i].filled);
        buf_release(&out);
        arena_release(&a);
    }
}

static void test_a_mistake_in_a_template_is_named_with_its_place(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        { "Label: {txet}", "character 8: there is no column \"txet\"; did you mean \"text\"?" },
        { "Label this.", "names no column" },
        { "{id} {", "this { has no }" },
        { "{id} }", "this } has no {" },
        { "{\"label\": \"x\"} {id}", "is written {{" },
        { "{} {id}", "a column's name is missing" },
        { "{?id}{id}", "without its {/}" },
        { "{id}{/}", "has no {?column}" },
        { "{\"id}", "is not closed" },
        { "{?id:json}{id}{/}", "a condition has no :json" },
        { "{?id}{?id}{?id}{?id}{?id}{?id}{?id}{?id}{?id}{id}", "too deep" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena a = { 0 };
        struct template t;
        struct error e = { 0 };
        assert_int_equal(template_read(&t, &a, str_of(cases[i].text), &columns, &e), -1);
        if (!strstr(e.msg, cases[i].error))
            fail_msg("%s: %s", cases[i].text, e.msg);
        arena_release(&a);
    }
}

static void test_where_chooses_rows(void **state)
{
    static const struct {
        const char *text;
        bool chosen;
    } cases[] = {
        { "stars = 1.1", true },
        { "stars = '1.1'", false },
        { "stars == '1.10'", true },
        { "stars > 1 and stars <= 1.1", true },
        { "stars < 1 or id = 7", true },
        { "not stars < 1", true },
        { "NOT (id = 7 AND stars = 1.1)", false },
        { "text contains 'good'", true },
        { "text contains 'it''s'", false },
        { "text > 5", false },
        { "text != 5", false },
        { "id in (1, 2, 7)", true },
        { "id not in ('007', '008')", false },
        { "\"odd}:json \"\"name\"\"\" is null", true },
        { "\"odd}:json \"\"name\"\"\" = ''", true },
        { "id is not null and id is not empty", true },
        { "id <> '7'", true },
        { "stars >= -1.5e0", true },
        { "id = 7 or id = 8 and id = 9", true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena a = { 0 };
        struct error e = { 0 };
        const struct where *w = where_read(&a, str_of(cases[i].text), &columns, &e);
        if (!w)
            fail_msg("%s: %s", cases[i].text, e.msg);
        if (where_chooses(w, cells) != cases[i].chosen)
            fail_msg("%s", cases[i].text);
        arena_release(&a);
    }
}

static void test_a_mistake_in_where_is_named_with_its_place(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        { "", "character 1: a column's name is missing" },
        { "star = 1", "did you mean \"stars\"?" },
        { "id", "one of = != <" },
        { "id = good", "character 6: a number is expected here, or a text in 'single quotes'" },
        { "id = 'good", "not closed" },
        { "id = 1 id = 2", "character 8: and, or, or the end is expected" },
        { "(id = 1", ") is expected" },
        { "id in 1", "( is expected" },
        { "id in (1 2)", ", or ) is expected" },
        { "id is good", "null or empty" },
        { "id not 1", "in is expected" },
        { "text contains 5", "behind contains" },
        { "((((((((((((((((((((((((((((((((((id = 1", "too deep" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena a = { 0 };
        struct error e = { 0 };
        assert_null(where_read(&a, str_of(cases[i].text), &columns, &e));
        if (!strstr(e.msg, cases[i].error))
            fail_msg("%s: %s", cases[i].text, e.msg);
        arena_release(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_template_is_filled_in_with_the_cells),
        cmocka_unit_test(test_a_mistake_in_a_template_is_named_with_its_place),
        cmocka_unit_test(test_where_chooses_rows),
        cmocka_unit_test(test_a_mistake_in_where_is_named_with_its_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
