/* Goal: strict is said only of schemas that OpenAI's strict mode takes: one that it would refuse fails
 * the line, one that is not strict is followed all the same by most servers. Method: pairs. */
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

static void check_all(const struct schema_case *cases, size_t count, bool google)
{
    for (size_t i = 0; i < count; i++) {
        struct arena a = { 0 };
        struct error e = { 0 };
        char *text = arena_copy(&a, cases[i].schema, strlen(cases[i].schema));
        size_t at;
        for (char *p = text; *p; p++)
            *p = *p == '\'' ? '"' : *p;
        yyjson_val *schema = json_parse(&a, str_of(text), &at, &e);
        assert_non_null(schema);
        if (openai_schema_strict(schema, google) != cases[i].strict)
            fail_msg("%s", cases[i].schema);
        arena_release(&a);
    }
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
        { "{'properties':{'a':{'type':'STRING','format':'date-time'}},'required':['a']}", false },
        { "{'properties':{'a':{'type':'STRING','enum':['x']}},'required':['a']}", false },
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
        { "{'type':'object','properties':{'a':true},'required':['a'],'additionalProperties':false}",
          false },
        { "{'type':'object','properties':[],'required':[],'additionalProperties':false}", false },
        { "true", false },
        { "[]", false },
    };

    (void)state;
    check_all(cases, ARRAY_LEN(cases), false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_googles_schemas_are_strict_when_all_is_required),
        cmocka_unit_test(test_json_schemas_must_also_be_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
