/* Goal: a schema is followed or refused, never dropped in silence. Method: tables of schemas with the path of the
 * keyword that refuses them, or with values that match and values that do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/sys.h"
#include "unit/format/schema/schema_case.h"

#define PAGE_BYTES_MAX ((size_t)64 * 1024)

/* ---- Refusals ---- */

static void test_a_contradiction_is_refused_at_its_keyword(void **state)
{
    static const struct {
        const char *schema, *path;
    } cases[] = {
        { "{\"minItems\":5,\"maxItems\":2}", "minItems" },
        { "{\"minLength\":5,\"maxLength\":2}", "minLength" },
        { "{\"minProperties\":2,\"maxProperties\":1}", "minProperties" },
        { "{\"required\":[\"a\",\"b\"],\"maxProperties\":1}", "required" },
        { "{\"minimum\":2,\"maximum\":1}", "minimum" },
        { "{\"exclusiveMinimum\":1,\"maximum\":1}", "minimum" },
        { "{\"type\":\"integer\",\"minimum\":9223372036854775807}", "minimum" },
        { "{\"items\":{\"maximum\":-9223372036854775808}}", "items.maximum" },
        { "{\"type\":\"integer\",\"exclusiveMinimum\":1,\"exclusiveMaximum\":2}", "minimum" },
        { "{\"type\":\"integer\",\"multipleOf\":10,\"minimum\":1,\"maximum\":9}", "multipleOf" },
        { "{\"type\":\"object\",\"properties\":{\"a\":{}},\"additionalProperties\":false,"
          "\"minProperties\":2}",
          "minProperties" },
        { "{\"type\":\"object\",\"patternProperties\":{\"^[abc]$\":{}},\"additionalProperties\":"
          "false,"
          "\"minProperties\":4}",
          "minProperties" },
        { "{\"patternProperties\":{\"^a+$\":{}},\"additionalProperties\":false,"
          "\"minProperties\":101}",
          "minProperties" },
        { "{\"type\":\"string\",\"const\":1}", "const" },
        { "{\"enum\":[1,2],\"minimum\":3}", "enum" },
        { "{\"type\":\"string\",\"allOf\":[{\"type\":\"integer\"}]}", "type" },
        { "{\"type\":\"string\",\"pattern\":\"^a{2,1}$\"}", "pattern" },
        { "{\"type\":\"string\",\"pattern\":\"(\"}", "pattern" },
        { "{\"type\":\"string\",\"pattern\":\"(?=a)b\"}", "pattern" },
        { "{\"type\":\"string\",\"pattern\":\"^(a)\\\\1$\"}", "pattern" },
        { "{\"type\":\"string\",\"pattern\":\"\\\\bword\\\\b\"}", "pattern" },
        { "{\"type\":\"text\"}", "type" },
        { "{\"enum\":[]}", "enum" },
        { "{\"typo\":1}", "typo" },
        { "{\"x-guidance\":{}}", "[\"x-guidance\"]" },
        { "{\"items\":{\"x-guidance\":{}}}", "items[\"x-guidance\"]" },
        { "{\"properties\":{\"a\":{\"$ref\":\"#/$defs/none\"}}}", "properties.a.$ref" },
        { "{\"$ref\":\"http://example.com/x.json\"}", "$ref" },
        { "{\"properties\":{\"a\":{\"if\":true}}}", "properties.a.if" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct reading r;
        if (has_grammar(&r, cases[i].schema, SCHEMA_JSON))
            fail_msg("not refused: %s", cases[i].schema);
        if (strcmp(r.fault.path, cases[i].path) != 0)
            fail_msg("%s: at %s: %s", cases[i].schema, r.fault.path, r.fault.message);
        assert_true(r.fault.message[0] && r.fault.remedy[0]);
        reading_release(&r);
    }
}

/* Goal: schemas that double at each step cost no more than their size. Method: 40 definitions, each of
 * which has the next one twice; a catastrophic pattern beside many values. */
static void test_what_doubles_costs_its_size(void **state)
{
    struct buf text = BUF_INIT((size_t)64 * 1024);

    (void)state;
    buf_add_c(&text, "{\"$ref\":\"#/$defs/d0\",\"$defs\":{");
    for (int i = 0; i < 40; i++)
        buf_addf(&text,
                 "\"d%d\":{\"anyOf\":[{\"$ref\":\"#/$defs/d%d\"},{\"$ref\":\"#/$defs/d%d\"}]},", i,
                 i + 1, i + 1);
    buf_add_c(&text, "\"d40\":{\"type\":\"integer\"}}}");
    assert_followed(text.p, SCHEMA_JSON, true);
    buf_clear(&text);
    buf_add_c(&text, "{\"pattern\":\"^(a+)+$\",\"enum\":[\"");
    for (int i = 0; i < 300; i++)
        buf_addf(&text, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%d\",\"", i);
    buf_add_c(&text, "\"]}");
    assert_followed(text.p, SCHEMA_JSON, false);
    buf_release(&text);
}

/* ---- Checks ---- */

static void test_a_value_matches_or_the_fault_says_where_not(void **state)
{
    static const struct {
        const char *schema, *value, *path; /* path NULL: it matches */
    } cases[] = {
        { "{\"uniqueItems\":true}", "[1,2,\"1\"]", NULL },
        { "{\"uniqueItems\":true}", "[1,2,1.0]", "$" },
        { "{\"not\":{\"type\":\"string\"}}", "1", NULL },
        { "{\"not\":{\"type\":\"string\"}}", "\"a\"", "$" },
        { "{\"not\":{\"pattern\":\"^(a+)+$\"}}", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"",
          "$" },
        { "{\"properties\":{\"a\":{\"items\":{\"multipleOf\":0.1}}}}", "{\"a\":[0.3,1.1]}", NULL },
        { "{\"properties\":{\"a\":{\"items\":{\"multipleOf\":0.1}}}}", "{\"a\":[0.3,1.15]}",
          "$.a[1]" },
        { "{\"pattern\":\"^(a|b)*$\"}", "\"abababababababababababababababababababababab\"", NULL },
        { "{\"type\":\"integer\"}", "1.0", NULL },
        { "{\"const\":{\"a\":1,\"b\":2}}", "{\"b\":2,\"a\":1.0}", NULL },
        { "{\"enum\":[\"a\",1]}", "\"1\"", "$" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct reading r;
        read_text(&r, cases[i].schema, SCHEMA_JSON, SCHEMA_CHECK);
        assert_non_null(r.schema);
        bool ok = schema_matches(r.schema, parse(&r.arena, cases[i].value), &r.fault);
        if (ok != !cases[i].path || (!ok && strcmp(r.fault.path, cases[i].path) != 0))
            fail_msg("%s of %s: %d %s", cases[i].value, cases[i].schema, ok, r.fault.path);
        reading_release(&r);
    }
}

/* ---- Google's dialect ---- */

/* Goal: the steps of a check grow with the answer: a long list of small objects is no attack. */
static void test_a_long_answer_is_checked_to_its_end(void **state)
{
    enum { ITEMS = 200000 };
    struct arena a = { 0 };
    struct buf text = BUF_INIT((size_t)ITEMS * 16);
    struct schema_fault why = { 0 };
    struct error e = { 0 };
    size_t at;

    (void)state;
    yyjson_val *written = json_parse(
        &a,
        STR("{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"a\":{"
            "\"type\":\"integer\"}},\"required\":[\"a\"],\"additionalProperties\":false}}"),
        &at, &e);
    struct schema *s = schema_read(written, SCHEMA_JSON, SCHEMA_CHECK, &why);
    assert_non_null(s);
    for (int i = 0; i < ITEMS; i++)
        buf_add_c(&text, i ? ",{\"a\":1}" : "[{\"a\":1}");
    buf_add_char(&text, ']');
    yyjson_val *v = json_parse(&a, buf_str(&text), &at, &e);
    assert_non_null(v);
    assert_true(schema_matches(s, v, &why));
    schema_free(s);
    buf_release(&text);
    arena_release(&a);
}

static void test_googles_schema_says_the_same_in_its_own_words(void **state)
{
    static const struct {
        const char *schema, *yes, *no;
    } cases[] = {
        { "{\"type\":\"String\",\"nullable\":true}", "null", "1" },
        { "{\"type\":\"STRING\",\"maxLength\":\"2\"}", "\"ab\"", "\"abc\"" },
        { "{\"type\":\"INTEGER\",\"enum\":[\"1\",\"2\"]}", "2", "\"2\"" },
        { "{\"type\":\"NUMBER\",\"minimum\":1,\"example\":7}", "1", "0" },
        { "{\"type\":\"ARRAY\",\"items\":{\"ref\":\"#/defs/X\"},\"defs\":{\"X\":{\"type\":"
          "\"BOOLEAN\"}}}",
          "[true]", "[1]" },
        { "{\"type\":\"OBJECT\",\"properties\":{\"a\":{\"type\":\"INTEGER\"}},\"required\":[\"a\"]"
          ",\"propertyOrdering\":[\"a\"]}",
          "{\"a\":1}", "{}" },
        { "{\"anyOf\":[{\"type\":\"STRING\",\"format\":\"enum\",\"enum\":[\"A\"]},{\"type\":"
          "\"null\"}]}",
          "\"A\"", "\"B\"" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct reading r;
        read_text(&r, cases[i].schema, SCHEMA_GOOGLE, SCHEMA_GRAMMAR);
        if (!r.schema)
            fail_msg("%s: %s", cases[i].schema, r.fault.message);
        if (!schema_matches(r.schema, parse(&r.arena, cases[i].yes), &r.fault) ||
            schema_matches(r.schema, parse(&r.arena, cases[i].no), &r.fault))
            fail_msg("%s", cases[i].schema);
        reading_release(&r);
        assert_followed(cases[i].schema, SCHEMA_GOOGLE, true);
    }
}

/* Goal: an integer has no fraction, whatever it is a multiple of: readers differ about 1.0. */
static void test_multiples_that_are_integers_have_no_fraction(void **state)
{
    struct buf out = BUF_INIT(SCHEMA_GRAMMAR_BYTES_MAX);
    struct reading r;

    (void)state;
    read_text(&r, "{\"type\":\"integer\",\"multipleOf\":0.123456789}", SCHEMA_JSON, SCHEMA_GRAMMAR);
    assert_true(schema_grammar(r.schema, &out, &r.fault));
    assert_true(str_find(buf_str(&out), STR("\"123456789\"")) != SIZE_MAX);
    assert_true(str_find(buf_str(&out), STR(".")) == SIZE_MAX);
    buf_release(&out);
    reading_release(&r);
}

static void test_googles_schema_is_refused_at_its_place(void **state)
{
    static const struct {
        const char *schema, *path;
    } cases[] = {
        { "{\"type\":\"INTEGER\",\"enum\":[\"x\"]}", "enum" },
        { "{\"properties\":{\"a b\":{\"items\":{\"minItems\":-1}}}}",
          "properties[\"a b\"].items.minItems" },
        { "{\"anyOf\":[{},{\"items\":{\"type\":\"X\"}}]}", "anyOf[1].items" },
        { "{\"ref\":\"#/defs/A\",\"defs\":{\"A\":{\"minLength\":2,\"maxLength\":1}}}",
          "defs.A.minLength" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct reading r;
        read_text(&r, cases[i].schema, SCHEMA_GOOGLE, SCHEMA_GRAMMAR);
        assert_null(r.schema);
        assert_string_equal(r.fault.path, cases[i].path);
        assert_true(r.fault.message[0] && r.fault.remedy[0]);
        reading_release(&r);
    }
}

/* Google writes the properties in propertyOrdering's order. */
static void test_properties_are_written_in_their_ordering(void **state)
{
    static const char *const schemas[] = {
        "{\"type\":\"OBJECT\",\"properties\":{\"a\":{\"type\":\"NULL\"},\"b\":{\"type\":\"NULL\"}},"
        "\"propertyOrdering\":[\"b\",\"a\"]}",
        "{\"properties\":{\"a\":{\"type\":\"null\"},\"b\":{\"type\":\"null\"}},"
        "\"propertyOrdering\":[\"b\",\"a\"]}",
        "{\"propertyOrdering\":[\"b\",\"a\"],"
        "\"properties\":{\"a\":{\"type\":\"null\"},\"b\":{\"type\":\"null\"}}}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(schemas); i++) {
        struct buf out = BUF_INIT(SCHEMA_GRAMMAR_BYTES_MAX);
        struct reading r;
        read_text(&r, schemas[i], i ? SCHEMA_JSON : SCHEMA_GOOGLE, SCHEMA_GRAMMAR);
        assert_non_null(r.schema);
        assert_true(schema_grammar(r.schema, &out, &r.fault));
        assert_true(str_find(buf_str(&out), STR("\\\"b\\\": ")) != SIZE_MAX);
        /* The rule of b's member was made first. */
        assert_true(str_find(buf_str(&out), STR("\\\"b\\\": ")) <
                    str_find(buf_str(&out), STR("\\\"a\\\": ")));
        buf_release(&out);
        reading_release(&r);
    }
}

/* ---- The documentation ---- */

/* Goal: the reference cannot differ from the program. Method: the table is made anew; when it is missing
 * it is printed, to be put into the page. */
static void test_the_reference_has_the_table_as_the_program_has_it(void **state)
{
    struct buf page = BUF_INIT(PAGE_BYTES_MAX), table = BUF_INIT(PAGE_BYTES_MAX);
    struct schema_keyword_info k;
    struct error e = { 0 };

    (void)state;
    buf_add_c(&table, "| keyword | embedded engine | answers of upstreams | meaning, or remedy |\n"
                      "|---|---|---|---|\n");
    for (uint32_t i = 0; schema_keyword_at(i, &k); i++)
        buf_addf(&table, "| `%s` | %s | %s | %s |\n", k.name, k.embedded, k.upstream, k.about);
    assert_int_equal(
        sys_read_file(TESTS_DIR "/../docs/reference/schema.md", PAGE_BYTES_MAX, &page, &e), 0);
    if (str_find(buf_str(&page), buf_str(&table)) == SIZE_MAX)
        fail_msg("the page lacks this table:\n%s", table.p);
    buf_release(&page);
    buf_release(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_contradiction_is_refused_at_its_keyword),
        cmocka_unit_test(test_what_doubles_costs_its_size),
        cmocka_unit_test(test_a_value_matches_or_the_fault_says_where_not),
        cmocka_unit_test(test_a_long_answer_is_checked_to_its_end),
        cmocka_unit_test(test_googles_schema_says_the_same_in_its_own_words),
        cmocka_unit_test(test_multiples_that_are_integers_have_no_fraction),
        cmocka_unit_test(test_googles_schema_is_refused_at_its_place),
        cmocka_unit_test(test_properties_are_written_in_their_ordering),
        cmocka_unit_test(test_the_reference_has_the_table_as_the_program_has_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
