/* Goal: Google's schema dialect becomes JSON Schema that means the same. Method: pairs of texts; the
 * order of members is part of the answer, because a grammar follows it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#include "format/schema/schema.h"

static int convert(const char *text, struct buf *out, struct error *e)
{
    yyjson_doc *doc = yyjson_read(text, strlen(text), 0);

    assert_non_null(doc);
    int rc = schema_to_json_schema(yyjson_doc_get_root(doc), out, e);
    yyjson_doc_free(doc);
    return rc;
}

static void check(const char *from, const char *to)
{
    struct buf out = BUF_INIT(SCHEMA_BYTES_MAX);
    struct error e = { 0 };

    if (convert(from, &out, &e) < 0)
        fail_msg("%s: %s", from, e.msg);
    assert_string_equal(out.p, to);
    buf_release(&out);
}

static void test_types_are_written_in_lower_case(void **state)
{
    (void)state;
    check("{\"type\":\"STRING\"}", "{\"type\":\"string\"}");
    check("{\"type\":\"NUMBER\"}", "{\"type\":\"number\"}");
    check("{\"type\":\"integer\"}", "{\"type\":\"integer\"}");
    check("{\"type\":\"BOOLEAN\"}", "{\"type\":\"boolean\"}");
    check("{\"type\":\"NULL\"}", "{\"type\":\"null\"}");
    check("{\"type\":\"OBJECT\"}", "{\"type\":\"object\"}");
    check("{\"type\":\"TYPE_UNSPECIFIED\"}", "{}");
    check("{}", "{}");
    check("{\"type\":\"STRING\",\"ref\":null,\"anyOf\":null,\"enum\":null,\"title\":null}",
          "{\"type\":\"string\"}");
}

static void test_nullable_adds_null_in_each_form(void **state)
{
    (void)state;
    check("{\"type\":\"STRING\",\"nullable\":true}", "{\"type\":[\"string\",\"null\"]}");
    check("{\"type\":\"STRING\",\"nullable\":false}", "{\"type\":\"string\"}");
    check("{\"type\":\"NULL\",\"nullable\":true}", "{\"type\":\"null\"}");
    check("{\"enum\":[\"a\"],\"nullable\":true}", "{\"enum\":[\"a\",null]}");
    check("{\"anyOf\":[{\"type\":\"STRING\"}],\"nullable\":true}",
          "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}");
    check("{\"ref\":\"#/defs/A\",\"nullable\":true,\"defs\":{\"A\":{\"type\":\"STRING\"}}}",
          "{\"anyOf\":[{\"$ref\":\"#/$defs/A\"},{\"type\":\"null\"}],"
          "\"$defs\":{\"A\":{\"type\":\"string\"}}}");
}

static void test_an_enum_keeps_its_type(void **state)
{
    (void)state;
    check("{\"type\":\"STRING\",\"enum\":[\"Positive\",\"\\u00fcber\"]}",
          "{\"type\":\"string\",\"enum\":[\"Positive\",\"\xC3\xBC"
          "ber\"]}");
    check("{\"type\":\"STRING\",\"format\":\"enum\",\"enum\":\"one\"}",
          "{\"type\":\"string\",\"enum\":[\"one\"],\"format\":\"enum\"}");
    check("{\"type\":\"INTEGER\",\"enum\":[\"1\",\"-20\",3]}",
          "{\"type\":\"integer\",\"enum\":[1,-20,3]}");
    check("{\"type\":\"STRING\",\"enum\":[\"1\"]}", "{\"type\":\"string\",\"enum\":[\"1\"]}");
    check("{\"type\":\"BOOLEAN\",\"enum\":[\"true\"]}", "{\"type\":\"boolean\",\"enum\":[true]}");
    check("{\"type\":\"STRING\",\"enum\":[\"a\"],\"nullable\":true}",
          "{\"type\":[\"string\",\"null\"],\"enum\":[\"a\",null]}");
    check("{\"type\":\"OBJECT\",\"anyOf\":[{\"required\":[\"a\"]}]}",
          "{\"type\":\"object\",\"anyOf\":[{\"required\":[\"a\"]}]}");
}

static void test_limits_are_numbers_however_they_are_written(void **state)
{
    (void)state;
    check("{\"type\":\"STRING\",\"minLength\":\"1\",\"maxLength\":20,\"pattern\":\"^a\\\\d$\"}",
          "{\"type\":\"string\",\"minLength\":1,\"maxLength\":20,\"pattern\":\"^a\\\\d$\"}");
    check("{\"type\":\"NUMBER\",\"minimum\":-0.5,\"maximum\":\"1e3\"}",
          "{\"type\":\"number\",\"minimum\":-0.5,\"maximum\":1e3}");
    check(
        "{\"type\":\"ARRAY\",\"items\":{\"type\":\"STRING\"},\"minItems\":\"2\",\"maxItems\":3.0}",
        "{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"minItems\":2,\"maxItems\":3}");
    check(
        "{\"type\":\"INTEGER\",\"minimum\":-9223372036854775808,\"maximum\":9223372036854775807}",
        "{\"type\":\"integer\",\"minimum\":-9223372036854775808,\"maximum\":9223372036854775807}");
}

static void test_properties_stand_in_their_ordering_and_the_object_is_closed(void **state)
{
    (void)state;
    check("{\"type\":\"OBJECT\",\"properties\":{\"a\":{\"type\":\"STRING\"},\"b\":{\"type\":"
          "\"STRING\"},"
          "\"c\":{\"type\":\"STRING\"}},\"propertyOrdering\":[\"c\",\"none\",\"a\",\"c\"],"
          "\"required\":[\"a\",\"b\"]}",
          "{\"type\":\"object\",\"properties\":{\"c\":{\"type\":\"string\"},"
          "\"a\":{\"type\":\"string\"},\"b\":{\"type\":\"string\"}},\"required\":[\"a\",\"b\"],"
          "\"additionalProperties\":false}");
    check("{\"properties\":{\"a\":{}}}",
          "{\"type\":\"object\",\"properties\":{\"a\":{}},\"additionalProperties\":false}");
}

static void test_an_object_is_as_open_as_it_says(void **state)
{
    (void)state;
    check("{\"properties\":{\"a\":{}},\"additionalProperties\":true}",
          "{\"type\":\"object\",\"properties\":{\"a\":{}},\"additionalProperties\":true}");
    check("{\"type\":\"OBJECT\",\"additionalProperties\":{\"type\":\"INTEGER\"}}",
          "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}}");
}

static void test_snake_case_names_mean_the_same(void **state)
{
    (void)state;
    check("{\"any_of\":[{\"type\":\"ARRAY\",\"max_items\":1},{\"type\":\"OBJECT\","
          "\"properties\":{\"x\":{},\"y\":{}},\"property_ordering\":[\"y\"]}]}",
          "{\"anyOf\":[{\"type\":\"array\",\"maxItems\":1},{\"type\":\"object\","
          "\"properties\":{\"y\":{},\"x\":{}},\"additionalProperties\":false}]}");
}

static void test_annotations_are_kept_and_examples_dropped(void **state)
{
    (void)state;
    check(
        "{\"type\":\"STRING\",\"title\":\"T\",\"description\":\"d \\\"q\\\"\",\"format\":\"date\","
        "\"default\":{\"a\":[1,-2,1.5,true,null,\"s\"]},\"example\":\"e\"}",
        "{\"type\":\"string\",\"title\":\"T\",\"description\":\"d \\\"q\\\"\",\"format\":\"date\","
        "\"default\":{\"a\":[1,-2,1.5,true,null,\"s\"]}}");
}

static void test_references_may_be_recursive(void **state)
{
    (void)state;
    check(
        "{\"ref\":\"#/defs/Tree\",\"defs\":{\"Tree\":{\"type\":\"OBJECT\",\"properties\":{\"kids\":"
        "{\"type\":\"ARRAY\",\"items\":{\"ref\":\"#/$defs/Tree\"}}}}}}",
        "{\"$ref\":\"#/$defs/Tree\",\"$defs\":{\"Tree\":{\"type\":\"object\",\"properties\":{"
        "\"kids\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/Tree\"}}},"
        "\"additionalProperties\":false}}}");
}

static void test_what_cannot_be_said_is_refused_with_its_path(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *message;
    } cases[] = {
        { "[]", "must be an object" },
        { "{\"type\":\"TEXT\"}", "type must be STRING" },
        { "{\"type\":5}", "type must be STRING" },
        { "{\"ref\":\"#/defs/A\"}", "ref \"#/defs/A\"" },
        { "{\"ref\":\"#/defs/A\",\"defs\":{\"B\":{}}}", "ref \"#/defs/A\"" },
        { "{\"ref\":\"#/defs/a b\",\"defs\":{\"a b\":{}}}", "ref \"#/defs/a b\"" },
        { "{\"ref\":\"A\",\"defs\":{\"A\":{}}}", "ref \"A\"" },
        { "{\"properties\":{\"a\":{\"items\":{\"type\":\"X\"}}}}",
          "properties.a.items: type must" },
        { "{\"anyOf\":[{},{\"type\":\"X\"}]}", "anyOf[1]: type must" },
        { "{\"properties\":[]}", "properties: this must be an object" },
        { "{\"properties\":{\"a\":{}},\"required\":[\"b\"]}", "required: \"b\" is not among" },
        { "{\"required\":[1]}", "required: " },
        { "{\"minItems\":-1}", "minItems: this must be a count" },
        { "{\"minItems\":\"1.5\"}", "minItems: this must be a count" },
        { "{\"minItems\":1.5}", "minItems: this must be a count" },
        { "{\"minItems\":\"\"}", "minItems: this must be a count" },
        { "{\"minimum\":\"0x10\"}", "minimum: this must be a number" },
        { "{\"minimum\":\"1.\"}", "minimum: this must be a number" },
        { "{\"minimum\":\"01\"}", "minimum: this must be a number" },
        { "{\"minimum\":\"1e\"}", "minimum: this must be a number" },
        { "{\"minimum\":true}", "minimum: this must be a number" },
        { "{\"type\":\"INTEGER\",\"enum\":[\"one\"]}", "enum: this must be a number" },
        { "{\"type\":\"BOOLEAN\",\"enum\":[\"one\"]}", "enum: this must be true or false" },
        { "{\"type\":\"ARRAY\",\"enum\":[\"one\"]}",
          "enum: only values of type STRING, NUMBER, INTEGER and BOOLEAN can be listed" },
        { "{\"title\":1}", "title: this must be a string" },
        { "{\"items\":{\"defs\":{}}}", "items.defs: defs must" },
        { "{\"additionalProperties\":1}", "additionalProperties: a schema must" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out = BUF_INIT(SCHEMA_BYTES_MAX);
        struct error e = { 0 };
        if (convert(cases[i].schema, &out, &e) != -1)
            fail_msg("%s was accepted", cases[i].schema);
        assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
        if (!strstr(e.msg, cases[i].message))
            fail_msg("%s: %s", cases[i].schema, e.msg);
        buf_release(&out);
    }
}

/* Builds an object schema of count properties. */
static int convert_properties(unsigned count, struct error *e)
{
    struct buf text = BUF_INIT(SCHEMA_BYTES_MAX), out = BUF_INIT(SCHEMA_BYTES_MAX);

    buf_add_c(&text, "{\"properties\":{");
    for (unsigned i = 0; i < count; i++)
        buf_addf(&text, "%s\"p%u\":{}", i ? "," : "", i);
    buf_add_c(&text, "}}");
    int rc = convert(text.p, &out, e);
    buf_release(&text);
    buf_release(&out);
    return rc;
}

static void test_properties_are_limited(void **state)
{
    (void)state;
    struct error e = { 0 };

    assert_int_equal(convert_properties(SCHEMA_PROPERTIES_MAX, &e), 0);
    assert_int_equal(convert_properties(SCHEMA_PROPERTIES_MAX + 1, &e), -1);
    assert_non_null(strstr(e.msg, "1000"));
}

/* Builds depth schemas within each other. */
static int convert_nested(unsigned depth, struct error *e)
{
    struct buf text = BUF_INIT(SCHEMA_BYTES_MAX), out = BUF_INIT(SCHEMA_BYTES_MAX);

    for (unsigned i = 1; i < depth; i++)
        buf_add_c(&text, "{\"items\":");
    buf_add_c(&text, "{}");
    for (unsigned i = 1; i < depth; i++)
        buf_add_c(&text, "}");
    int rc = convert(text.p, &out, e);
    buf_release(&text);
    buf_release(&out);
    return rc;
}

static void test_nesting_is_limited(void **state)
{
    (void)state;
    struct error e = { 0 };

    assert_int_equal(convert_nested(JSON_DEPTH_MAX, &e), 0);
    assert_int_equal(convert_nested(JSON_DEPTH_MAX + 1, &e), -1);
    assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
}

static void test_a_schema_over_the_buffers_maximum_is_refused(void **state)
{
    (void)state;
    struct buf fits = BUF_INIT(17), short_by_one = BUF_INIT(16);
    struct error e = { 0 };

    assert_int_equal(convert("{\"type\":\"STRING\"}", &fits, &e), 0);
    assert_int_equal(convert("{\"type\":\"STRING\"}", &short_by_one, &e), -1);
    assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
    buf_release(&fits);
    buf_release(&short_by_one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_are_written_in_lower_case),
        cmocka_unit_test(test_nullable_adds_null_in_each_form),
        cmocka_unit_test(test_an_enum_keeps_its_type),
        cmocka_unit_test(test_limits_are_numbers_however_they_are_written),
        cmocka_unit_test(test_properties_stand_in_their_ordering_and_the_object_is_closed),
        cmocka_unit_test(test_an_object_is_as_open_as_it_says),
        cmocka_unit_test(test_snake_case_names_mean_the_same),
        cmocka_unit_test(test_annotations_are_kept_and_examples_dropped),
        cmocka_unit_test(test_references_may_be_recursive),
        cmocka_unit_test(test_what_cannot_be_said_is_refused_with_its_path),
        cmocka_unit_test(test_properties_are_limited),
        cmocka_unit_test(test_nesting_is_limited),
        cmocka_unit_test(test_a_schema_over_the_buffers_maximum_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
