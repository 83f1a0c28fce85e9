/* Goal: what a model writes becomes the parts that a client asked for: thoughts apart, calls as calls, each constraint
 * from its place on, and its counts. Method: a session over a runtime that wants to say a script, one byte a token,
 * whatever was forced before: byte i of the script at place i of the answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "conform/predict/request_make.h"
#include "predict/local/session.h"
#include "unit/predict/local/runtime_fake.h"

#define ANSWER_MS 120000
#define USER "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"q\"}]}],"
#define CONFIG(more) "\"generationConfig\":{\"temperature\":0,\"maxOutputTokens\":400" more "}"
#define THINK(more) ",\"thinkingConfig\":{" more "}"
#define SHOWN "\"includeThoughts\":true"
#define SUM                                                                                        \
    ",\"responseMimeType\":\"application/json\",\"responseJsonSchema\":{\"type\":\"object\","      \
    "\"properties\":{\"n\":{\"enum\":[1,2]}},\"required\":[\"n\"],\"additionalProperties\":false}"
#define TOOLS                                                                                      \
    ",\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\",\"parameters\":{\"type\":\"OBJECT\","  \
    "\"properties\":{\"n\":{\"type\":\"INTEGER\",\"minimum\":1,\"maximum\":2}},\"required\":"      \
    "[\"n\"]}},{\"name\":\"g\"}]}]"
#define MODE(mode) ",\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"" mode "\"}}"
#define CALL(args) "<tool_call>\n{\"name\": \"f\", \"arguments\": " args "}\n</tool_call>"

/* What the model wants to say, and where its answer begins; the session's engine thread reads it. */
static struct {
    const char *script;
    uint32_t prompt, position[64];
    float logits[FAKE_VOCAB];
} model;

static int script_prompt(struct runtime *r, const struct chat *chat, struct tokens *out,
                         bool *thinks, struct error *e)
{
    int rc = fake_prompt(r, chat, out, thinks, e);

    model.prompt = out->count;
    return rc;
}

static int script_forward(struct runtime *r, const struct runtime_row *row, uint32_t count,
                          struct error *e)
{
    for (uint32_t i = 0; i < count; i++)
        model.position[i] = row[i].position;
    return fake_forward(r, row, count, e);
}

static const float *script_logits(struct runtime *r, uint32_t row)
{
    size_t at = model.position[row] + 1 - model.prompt;
    unsigned char next =
        at < strlen(model.script) ? (unsigned char)model.script[at] : (unsigned char)FAKE_END;

    (void)r;
    for (size_t i = 0; i < FAKE_VOCAB; i++)
        model.logits[i] = -(float)i * 1e-3f;
    model.logits[next] = 9.0f;
    return model.logits;
}

struct kind {
    enum call_format calls;
    bool thinks;
};

static struct predictor *session_for(const struct kind *k)
{
    static const int32_t end[] = { '<', '/', 't', '>' };
    static struct runtime_ops ops;
    const struct batcher_plan plan = { .sequences = 1, .rows_max = 64 };
    const struct predictor_env env = { .clock = clock_system(), .seed = 1 };
    struct fake_runtime *f = fake_open(2048, 8, 64);
    struct error e = { 0 };

    ops = fake_ops;
    ops.prompt = script_prompt;
    ops.forward = script_forward;
    ops.logits = script_logits;
    f->base.ops = &ops;
    f->info.calls = (struct call_style){ k->calls, false };
    if (k->thinks) {
        f->info.thinking = (struct thinking_tags){ STR("<t>"), STR("</t>") };
        f->info.thought_end = end;
        f->info.thought_end_count = 4;
    }
    struct predictor *p = session_open(&f->base, false, &plan, &env, &e);
    if (!p)
        fail_msg("%s", e.msg);
    return p;
}

/* The parts as "(thought)text{call}", the finish, and the tokens of text and thought. */
static void answer_into(const struct kind *k, const char *json, const char *script, struct buf *out)
{
    struct predictor *p = session_for(k);
    struct arena arena = { 0 };
    struct answer a = { 0 };
    struct error e = { 0 };
    size_t at, i, max;
    yyjson_val *part;

    model.script = script;
    assert_int_equal(p->ops->submit(p, request_make(&arena, json), NULL, &e), 0);
    assert_int_equal(p->ops->wait(p, ANSWER_MS, &a, &e), 1);
    buf_clear(out);
    buf_add_c(out, a.error.msg);
    yyjson_val *root =
        a.error.code == ERROR_OK ? json_parse(&arena, buf_str(&a.response), &at, &e) : NULL;
    yyjson_val *c = yyjson_arr_get_first(json_get(root, "candidates"));
    yyjson_val *parts = json_get(json_get(c, "content"), "parts");
    yyjson_arr_foreach(parts, i, max, part)
    {
        bool thought = yyjson_is_true(json_get(part, "thought"));
        buf_add_c(out, thought ? "(" : "");
        buf_add_str(out, json_str(json_get(part, "text")));
        buf_add_c(out, thought ? ")" : "");
        if (json_get(part, "functionCall"))
            buf_add_str(out, json_text(&arena, json_get(part, "functionCall")));
    }
    if (root)
        buf_addf(out, " %s %u %u", json_str(json_get(c, "finishReason")).p,
                 a.usage.candidate_tokens, a.usage.thought_tokens);
    answer_release(&a);
    arena_release(&arena);
    p->ops->close(p);
}

static void test_what_a_model_writes_becomes_parts(void **state)
{
    // clang-format off
    static const struct {
        struct kind kind;
        const char *request, *script, *parts;
    } cases[] = {
        /* Thoughts: apart, counted, shown when that is asked for; their end is found within any text. */
        { { CALLS_NONE, true }, USER CONFIG(THINK(SHOWN)) "}", "hm < /</t>\nYes.", "(hm < /)Yes. STOP 5 10" },
        { { CALLS_NONE, true }, USER CONFIG("") "}", "hm</t>\n\nYes.", "Yes. STOP 6 6" },
        { { CALLS_NONE, true }, USER CONFIG(THINK("\"thinkingBudget\":0")) "}", "Yes.", "Yes. STOP 4 0" },
        /* A thought over its budget is ended by the tag; so is one in which the model ends its turn. */
        { { CALLS_NONE, true }, USER CONFIG(THINK(SHOWN ",\"thinkingBudget\":3")) "}", "abcdefgOK", "(abc)OK STOP 2 7" },
        { { CALLS_NONE, true }, USER CONFIG(THINK(SHOWN)) "}", "ab", "(ab) STOP 0 6" },
        { { CALLS_NONE, true }, USER "\"generationConfig\":{\"temperature\":0,\"maxOutputTokens\":5" THINK(SHOWN) "}}",
          "abcdefgh", "(abcde) MAX_TOKENS 0 5" },
        /* A schema holds for the answer behind the thought, with an empty line between them. */
        { { CALLS_NONE, true }, USER CONFIG(SUM THINK(SHOWN)) "}", "{\"x\"</t>..{\"n\": 2}", "({\"x\"){\"n\": 2} STOP 8 10" },
        { { CALLS_NONE, true }, USER CONFIG(SUM THINK(SHOWN ",\"thinkingBudget\":2")) "}", "xxxx", "(xx){\"n\": 1} STOP 8 6" },
        /* A model that begins a thought by itself. */
        { { CALLS_HERMES, false }, USER CONFIG("") "}", "<t>x</t>y", "<t>x</t>y STOP 9 0" },
        /* Calls: ANY lets nothing else come. */
        { { CALLS_HERMES, false }, USER CONFIG("") TOOLS MODE("ANY") "}", "No.", "{\"args\":{\"n\":1},\"name\":\"f\"} STOP 61 0" },
        { { CALLS_LLAMA3, false }, USER CONFIG("") TOOLS MODE("ANY") "}", "", "{\"args\":{\"n\":1},\"name\":\"f\"} STOP 37 0" },
        { { CALLS_SMOLLM2, false }, USER CONFIG("") ",\"tools\":[{\"functionDeclarations\":[{\"name\":\"g\"}]}]" MODE("ANY") "}",
          "..........................................]", "{\"args\":{},\"name\":\"g\"} STOP 55 0" },
        /* VALIDATED: text, or calls from the marker on; what the token holds behind it is chosen again. */
        { { CALLS_HERMES, false }, USER CONFIG("") TOOLS MODE("VALIDATED") "}", "No, {\"a\":1,\"a\":2}.", "No, {\"a\":1,\"a\":2}. STOP 18 0" },
        { { CALLS_HERMES, false }, USER CONFIG("") TOOLS MODE("VALIDATED") "}", "OK <tool_call>rubbish",
          "OK{\"args\":{\"n\":1},\"name\":\"f\"} STOP 64 0" },
        { { CALLS_LLAMA3, false }, USER CONFIG("") TOOLS MODE("VALIDATED") "}", "{rubbish", "{\"args\":{\"n\":1},\"name\":\"f\"} STOP 37 0" },
        { { CALLS_LLAMA3, false }, USER CONFIG("") TOOLS MODE("VALIDATED") "}", "I {say}", "I {say} STOP 7 0" },
        /* AUTO: any text; calls are parsed and checked. */
        { { CALLS_HERMES, false }, USER CONFIG("") TOOLS "}", CALL("{\"n\": 2}"), "{\"args\":{\"n\":2},\"name\":\"f\"} STOP 61 0" },
        { { CALLS_HERMES, false }, USER CONFIG("") TOOLS "}", CALL("{\"n\": 3}"), " MALFORMED_FUNCTION_CALL 61 0" },
        { { CALLS_HERMES, false }, USER CONFIG("") TOOLS "}", CALL("{\"n\": "), " MALFORMED_FUNCTION_CALL 59 0" },
        { { CALLS_HERMES, false }, USER CONFIG("") TOOLS "}", "<tool_call>{\"name\": \"h\"}", " MALFORMED_FUNCTION_CALL 24 0" },
        { { CALLS_HERMES, false }, USER CONFIG("") TOOLS MODE("NONE") "}", CALL("{}"), CALL("{}") " STOP 55 0" },
        { { CALLS_HERMES, false }, USER CONFIG("") TOOLS "}", "Hello.", "Hello. STOP 6 0" },
        /* Both. */
        { { CALLS_HERMES, true }, USER CONFIG(THINK(SHOWN)) TOOLS MODE("ANY") "}", "f?</t>", "(f?){\"args\":{\"n\":1},\"name\":\"f\"} STOP 61 8" },
        { { CALLS_HERMES, true }, USER CONFIG(THINK(SHOWN)) TOOLS MODE("VALIDATED") "}", "f?</t>..<tool_call>",
          "(f?){\"args\":{\"n\":1},\"name\":\"f\"} STOP 61 8" },
    };
    // clang-format on
    struct buf got = BUF_INIT(1 << 16);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        answer_into(&cases[i].kind, cases[i].request, cases[i].script, &got);
        if (strcmp(got.p, cases[i].parts) != 0)
            fail_msg("case %zu, %s\n gives %s\n not   %s\n", i, cases[i].script, got.p,
                     cases[i].parts);
    }
    buf_release(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_model_writes_becomes_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
