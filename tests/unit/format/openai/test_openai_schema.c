/* Goal: strict is said only of schemas that OpenAI's strict mode takes: one that it would refuse fails
 * the line, one that is not strict is followed all the same by most servers; and a schema is sent in the
 * words that OpenAI servers know. Method: pairs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#include "format/openai/openai_inner.h"

struct schema_case {
    const char *schema; /* ' for " */
    bool strict;
};

static yyjson_val *parse(struct arena *a, const char *quoted, bool google)
{
    struct error e = { 0 };
    char *text = arena_copy(a, quoted, strlen(quoted));
    yyjson_val *out = NULL;
    size_t at;

    for (char *p = text; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    yyjson_val *schema = json_parse(a, str_of(text), &at, &e);
    assert_non_null(schema);
    if (yyjson_is_obj(schema) && openai_schema_read(a, schema, google, &out, &e) < 0)
        fail_msg("%s: %s", quoted, e.msg);
    return out ? out : schema;
}

static void check_all(const struct schema_case *cases, size_t count, bool google)
{
    for (size_t i = 0; i < count; i++) {
        struct arena a = { 0 };
        if (openai_schema_strict(parse(&a, cases[i].schema, google)) != cases[i].strict)
            fail_msg("%s", cases[i].schema);
        arena_release(&a);
    }
}

static void check_written(const char *schema, bool google, const char *written)
{
    struct arena a = { 0 };
    struct buf out = BUF_INIT(4096);
    struct json_writer w = JSON_WRITER(&out);

    json_object(&w, NULL);
    openai_schema_add(&w, "s", parse(&a, schema, google));
    json_end(&w);
    for (char *p = out.p; *p; p++)
        *p = *p == '"' ? '\'' : *p;
    assert_string_equal(out.p, written);
    buf_release(&out);
    arena_release(&a);
}

static void test_googles_schemas_are_strict_when_all_is_required(void **state)
{
    static const struct schema_case cases[] = {
        { "{'type':'OBJECT','properties':{'a':{'type':'STRING'}},'required':['a']}", true },
        { "{'properties':{'a':{'type':'STRING','nullable':true}},'required':'a'}", true },
        { "{'type':'OBJECT','properties':{'a':{'type':'STRING'},'b':{'type':'STRING'}},'required':"
          "['a'],'propertyOrdering':['b','a']}",
          false },
        { "{'type':'OBJECT','properties':{'a':{'type':'STRING'}}}", false },
        { "{'type':'OBJECT'}", false },
        { "{'type':'ARRAY','items':{'type':'STRING'}}", false },
        { "{'type':'STRING'}", false },
        { "{'properties':{'a':{}},'required':['a']}", false },
        { "{'properties':{'a':{'type':'STRING','format':'date-time'}},'required':['a']}", true },
        { "{'properties':{'a':{'type':'STRING','format':'uri'}},'required':['a']}", false },
        { "{'properties':{'a':{'type':'INTEGER','format':'int64'}},'required':['a']}", true },
        { "{'properties':{'a':{'type':'STRING','enum':['x']}},'required':['a']}", true },
        { "{'properties':{'a':{'enum':['x']}},'required':['a']}", false },
        { "{'properties':{'a':{'type':'STRING','maxLength':3}},'required':['a']}", false },
        { "{'properties':{'a':{'type':'STRING','maxLength':null}},'required':['a']}", true },
        { "{'properties':{'a':{'type':'ARRAY','items':{'type':'OBJECT','properties':{'b':{'type':"
          "'NUMBER','minimum':0}},'required':['b']},'min_items':1}},'required':['a']}",
          true },
        { "{'properties':{'a':{'type':'ARRAY','items':{'type':'OBJECT','properties':{'b':{'type':"
          "'NUMBER'}}}}},'required':['a']}",
          false },
        { "{'properties':{'a':{'anyOf':[{'type':'STRING'},{'ref':'#/defs/x'}]}},'required':['a'],"
          "'defs':{'x':{'type':'INTEGER'}}}",
          true },
        { "{'properties':{'a':{'type':'STRING'}},'required':['a'],'additionalProperties':true}",
          false },
        { "{'anyOf':[{'properties':{'a':{'type':'STRING'}},'required':['a']}]}", false },
    };

    (void)state;
    check_all(cases, ARRAY_LEN(cases), true);
}

static void test_json_schemas_must_also_be_closed(void **state)
{
    static const struct schema_case cases[] = {
        { "{'type':'object','properties':{'a':{'type':['string','null'],'enum':['x',null]}},"
          "'required':['a'],'additionalProperties':false,'title':'T','description':'d'}",
          true },
        { "{'type':'object','properties':{},'required':[],'additionalProperties':false}", true },
        { "{'type':'object','properties':{'a':{'type':'string'}},'required':['a']}", false },
        { "{'type':'object','properties':{'a':{'type':'string'}},'required':['a'],"
          "'additionalProperties':{'type':'string'}}",
          false },
        { "{'type':'object','properties':{'a':{'$ref':'#/$defs/x'}},'required':['a'],"
          "'additionalProperties':false,'$defs':{'x':{'type':'string','const':'y'}}}",
          true },
        { "{'type':'object','properties':{'a':{'allOf':[{'type':'string'}]}},'required':['a'],"
          "'additionalProperties':false}",
          false },
        { "{'type':'object','properties':{'a':{'type':'string','nullable':true}},'required':['a'],"
          "'additionalProperties':false}",
          false }, /* that is Google's word */
        { "{'type':'object','properties':{'a':{'type':'string'},'b':{'type':'string'}},'required':"
          "['a','b'],'propertyOrdering':['b','a'],'additionalProperties':false}",
          true },
        { "{'type':'object','properties':{'a':true},'required':['a'],'additionalProperties':false}",
          false },
        { "{'type':'object','properties':[],'required':[],'additionalProperties':false}", false },
        { "true", false },
        { "[]", false },
    };

    (void)state;
    check_all(cases, ARRAY_LEN(cases), false);
}

static void test_a_schema_is_sent_in_the_words_of_openai_servers(void **state)
{
    (void)state;
    check_written("{'type':'OBJECT','properties':{'label':{'type':'STRING','format':'enum','enum':"
                  "['a','b'],'nullable':true}},'required':['label']}",
                  true,
                  "{'s':{'type':'object','properties':{'label':{'type':['string','null'],'enum':"
                  "['a','b',null]}},'required':['label'],'additionalProperties':false}}");
    check_written("{'type':'ARRAY','items':{'type':'INTEGER','format':'int32','minimum':0}}", true,
                  "{'s':{'type':'array','items':{'type':'integer','maximum':2147483647,"
                  "'minimum':0}}}");
    check_written("{'anyOf':[{'type':'NUMBER','format':'double'},{'type':'INTEGER','format':"
                  "'int64'},{'type':'STRING','format':'uri'}]}",
                  true,
                  "{'s':{'anyOf':[{'type':'number'},{'type':'integer'},{'type':'string',"
                  "'format':'uri'}]}}");
    check_written("{'$defs':{'x':{'properties':{'a':true,'b':{'minLength':1}},'propertyOrdering':"
                  "['b','c','b']}},'$ref':'#/$defs/x','enum':[{'format':'int32'}]}",
                  false,
                  "{'s':{'$defs':{'x':{'properties':{'b':{'minLength':1},'a':true}}},"
                  "'$ref':'#/$defs/x','enum':[{'format':'int32'}]}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_googles_schemas_are_strict_when_all_is_required),
        cmocka_unit_test(test_json_schemas_must_also_be_closed),
        cmocka_unit_test(test_a_schema_is_sent_in_the_words_of_openai_servers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
