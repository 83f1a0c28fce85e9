/* Goal: a request becomes the chat that the model's template takes; functions, calls and responses become messages of
 * their own, or text where no template has a place for them; what no model can take is refused with its place. Method:
 * requests as users write them, for each kind of template; limits at their maximum and one past it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conform/predict/request_make.h"
#include "predict/local/conversation.h"

#define TEXT_BYTES_MAX ((size_t)1024 * 1024)
#define DECLARED                                                                                   \
    "\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\",\"description\":\"Does f.\","           \
    "\"parameters\":{\"type\":\"OBJECT\",\"properties\":{\"a\":{\"type\":\"STRING\"}}},"           \
    "\"response\":{\"type\":\"STRING\"}},{\"name\":\"g\"}]}]"
#define TALK                                                                                       \
    "{\"systemInstruction\":{\"parts\":[{\"text\":\"S\"}]},\"contents\":["                         \
    "{\"role\":\"user\",\"parts\":[{\"text\":\"U\"}]},"                                            \
    "{\"role\":\"model\",\"parts\":[{\"text\":\"hm\",\"thought\":true},{\"text\":\"M\"},"          \
    "{\"functionCall\":{\"name\":\"f\",\"args\":{\"a\":\"b\"},\"id\":\"1\"}},"                     \
    "{\"functionCall\":{\"name\":\"g\"}}]},"                                                       \
    "{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"name\":\"f\",\"id\":\"1\","            \
    "\"response\":{\"result\":1}}},{\"functionResponse\":{\"name\":\"g\",\"response\":{}}},"       \
    "{\"text\":\"V\"}]}],"

static struct conversation_model model_of(enum call_format f, bool in_template)
{
    return (struct conversation_model){ .name = "m", .calls = { f, in_template } };
}

/* Each message as "role:text", with "name(args)" for calls and "=name" for what a function gave. */
static void chat_into(const struct conversation_model *m, const char *json, struct buf *out)
{
    struct arena a = { 0 };
    struct error e = { 0 };
    struct chat chat;

    if (conversation_make(request_make(&a, json), m, &a, &chat, &e) < 0)
        fail_msg("%s", e.msg);
    buf_clear(out);
    for (uint32_t i = 0; i < chat.message_count; i++) {
        const struct chat_message *c = &chat.message[i];
        buf_addf(out, "%s%.*s:%.*s", i ? "\n" : "", STR_ARG(c->role), STR_ARG(c->text));
        for (uint32_t k = 0; k < c->call_count; k++)
            buf_addf(out, " %.*s(%.*s)%.*s", STR_ARG(c->call[k].name), STR_ARG(c->call[k].args),
                     STR_ARG(c->call[k].id));
        if (c->name.len)
            buf_addf(out, "=%.*s%.*s", STR_ARG(c->name), STR_ARG(c->id));
    }
    for (uint32_t i = 0; i < chat.function_count; i++)
        buf_addf(out, "\n%.*s|%.*s|%.*s", STR_ARG(chat.function[i].name),
                 STR_ARG(chat.function[i].description), STR_ARG(chat.function[i].parameters));
    arena_release(&a);
}

#define FUNCTIONS                                                                                  \
    "\nf|Does f.\nReturns JSON of this schema: {\"type\":\"STRING\"}|{\"type\":\"object\","        \
    "\"properties\":{\"a\":{\"type\":\"string\"}},\"additionalProperties\":false}\ng||{\"type\":"  \
    "\"object\",\"properties\":{}}"

static void test_a_template_gets_functions_calls_and_responses(void **state)
{
    const struct conversation_model hermes = model_of(CALLS_HERMES, true);
    const struct conversation_model llama = model_of(CALLS_LLAMA3, true);
    struct buf got = BUF_INIT(TEXT_BYTES_MAX);

    (void)state;
    chat_into(&hermes, TALK DECLARED "}", &got);
    assert_string_equal(got.p, "system:S\nuser:U\nassistant:M f({\"a\":\"b\"})1 g({})\n"
                               "tool:{\"result\":1}=f1\ntool:{}=g\nuser:V" FUNCTIONS);
    chat_into(&llama, TALK DECLARED "}", &got); /* a call a message */
    assert_string_equal(got.p, "system:S\nuser:U\nassistant:M f({\"a\":\"b\"})1\nassistant: g({})\n"
                               "tool:{\"result\":1}=f1\ntool:{}=g\nuser:V" FUNCTIONS);
    buf_release(&got);
}

static void test_functions_become_text_where_no_template_has_them(void **state)
{
    const struct conversation_model m = model_of(CALLS_SMOLLM2, false);
    struct buf got = BUF_INIT(TEXT_BYTES_MAX);

    (void)state;
    chat_into(&m, TALK DECLARED "}", &got);
    assert_true(str_starts(buf_str(&got), STR("system:S\n\nYou ")));
    assert_non_null(strstr(got.p, "<tools>[{\"type\": \"function\", \"function\": {\"name\": "
                                  "\"f\", \"description\": \"Does f."));
    assert_non_null(strstr(
        got.p,
        "\nassistant:M\n<tool_call>[{\"name\": \"f\", \"arguments\": {\"a\":\"b\"}}, "
        "{\"name\": \"g\", \"arguments\": {}}]</tool_call>\nuser:<tool_response>\n{\"name\": "
        "\"f\", \"content\": {\"result\":1}}\n</tool_response>\n<tool_response>\n{\"name\": "
        "\"g\", \"content\": {}}\n</tool_response>\nV"));
    assert_null(strstr(got.p, "\nf|"));
    buf_release(&got);
}

static void test_only_functions_that_may_be_called_are_shown(void **state)
{
    static const struct {
        const char *config, *shown;
    } cases[] = {
        { "{\"mode\":\"NONE\"}", "user:x" },
        { "{\"mode\":\"ANY\",\"allowedFunctionNames\":[\"g\",\"unknown\"]}",
          "user:x\ng||{\"type\":\"object\",\"properties\":{}}" },
    };
    const struct conversation_model m = model_of(CALLS_HERMES, true);
    struct buf got = BUF_INIT(TEXT_BYTES_MAX);
    char json[1024];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        (void)snprintf(json, sizeof json,
                       "{\"contents\":[{\"parts\":[{\"text\":\"x\"}]}]," DECLARED
                       ",\"toolConfig\":{\"functionCallingConfig\":%s}}",
                       cases[i].config);
        chat_into(&m, json, &got);
        assert_string_equal(got.p, cases[i].shown);
    }
    buf_release(&got);
}

/* ---- Refusals ---- */

/* The path of the refusal, or "". */
static const char *refused_at(const struct conversation_model *m, const char *json)
{
    static struct violation why; /* one thread runs this */
    struct arena a = { 0 };
    bool taken = conversation_accepts(request_make(&a, json), m, &why);

    if (taken)
        why.path[0] = '\0';
    else
        assert_true(why.message[0] && why.remedy[0]);
    arena_release(&a);
    return why.path;
}

#define ASK "{\"contents\":[{\"parts\":[{\"text\":\"x\"}]}],"
static void test_what_cannot_be_called_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *json, *path;
    } cases[] = {
        { ASK DECLARED "}", "" },
        { ASK "\"tools\":[{\"codeExecution\":{}}]}", "tools[0].codeExecution" },
        { ASK "\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\"},{\"name\":\"f\"}]}]}",
          "tools[0].functionDeclarations[1].name" },
        { ASK "\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\",\"behavior\":"
              "\"NON_BLOCKING\"}]}]}",
          "tools[0].functionDeclarations[0].behavior" },
        { ASK "\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\",\"parameters\":{\"type\":"
              "\"STRING\"}}]}]}",
          "tools[0].functionDeclarations[0].parameters" },
        { ASK "\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\",\"parametersJsonSchema\":{"
              "\"properties\":{\"a\":{\"strange\":1}}}}]}]}",
          "tools[0].functionDeclarations[0].parametersJsonSchema.properties.a.strange" },
        { ASK DECLARED ",\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"ANY\","
                       "\"allowedFunctionNames\":[\"h\"]}}}",
          "toolConfig.functionCallingConfig.allowedFunctionNames" },
        { ASK "\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"ANY\"}}}",
          "toolConfig.functionCallingConfig.mode" },
        { ASK DECLARED ",\"generationConfig\":{\"responseMimeType\":\"application/json\"}}",
          "generationConfig.responseMimeType" },
        { ASK DECLARED ",\"generationConfig\":{\"responseMimeType\":\"application/json\"},"
                       "\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"NONE\"}}}",
          "" },
        { "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"functionCall\":{\"name\":\"f\"}}]}]}",
          "contents[0].parts[0].functionCall" },
        { "{\"contents\":[{\"role\":\"model\",\"parts\":[{\"functionResponse\":{\"name\":\"f\","
          "\"response\":{}}}]}]}",
          "contents[0].parts[0].functionResponse" },
        { ASK "\"generationConfig\":{\"thinkingConfig\":{\"thinkingBudget\":100}}}", "" },
    };
    const struct conversation_model m = model_of(CALLS_HERMES, true);
    const struct conversation_model none = model_of(CALLS_NONE, false);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(refused_at(&m, cases[i].json), cases[i].path);
    assert_string_equal(refused_at(&none, ASK DECLARED "}"), "tools");
    assert_string_equal(refused_at(&none,
                                   TALK DECLARED ",\"toolConfig\":{\"functionCallingConfig\":"
                                                 "{\"mode\":\"NONE\"}}}"),
                        "contents[1].parts[2]");
}

static void test_a_request_has_a_limit_of_functions(void **state)
{
    const struct conversation_model m = model_of(CALLS_HERMES, true);

    (void)state;
    for (int count = LOCAL_FUNCTIONS_MAX; count <= LOCAL_FUNCTIONS_MAX + 1; count++) {
        struct buf json = BUF_INIT(TEXT_BYTES_MAX);
        buf_add_c(&json, ASK "\"tools\":[{\"functionDeclarations\":[");
        for (int i = 0; i < count; i++)
            buf_addf(&json, "%s{\"name\":\"f%d\"}", i ? "," : "", i);
        buf_add_c(&json, "]}]}");
        assert_string_equal(refused_at(&m, json.p), count > LOCAL_FUNCTIONS_MAX ? "tools" : "");
        buf_release(&json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_template_gets_functions_calls_and_responses),
        cmocka_unit_test(test_functions_become_text_where_no_template_has_them),
        cmocka_unit_test(test_only_functions_that_may_be_called_are_shown),
        cmocka_unit_test(test_what_cannot_be_called_is_refused_with_its_place),
        cmocka_unit_test(test_a_request_has_a_limit_of_functions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
