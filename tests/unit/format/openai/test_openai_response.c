/* Goal: a chat completion becomes the response that says the same, and what is no answer is an error
 * with the true cause. Method: bodies as servers write them, against the members that clients read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "format/response.h"
#include "base/mem.h"
#include "golden.h"
#include "format/tools/call_format.h"
#include "unit/format/openai/openai_case.h"

/* One answer read. */
struct got {
    struct arena arena;
    struct buf text;
    struct usage usage;
    struct error error;
    int rc;
};

/* ' in the body stands for ". */
static struct got read_as(const struct request *r, const char *body)
{
    const struct reply_rules rules = {
        .request = r, .model = "asked", .response_id = "OURS", .create_time_us = 1763805600123456
    };
    struct got g = { .text = BUF_INIT(RESPONSE_BYTES_MAX) };
    struct buf text = unquoted(body);

    g.rc = openai_response_read(&g.arena, buf_str(&text), &rules, &g.text, &g.usage, &g.error);
    buf_release(&text);
    return g;
}

static void got_release(struct got *g)
{
    arena_release(&g->arena);
    buf_release(&g->text);
}

/* The answer to a plain text, which must have this in it (' for "). */
static void check_with(const struct request *r, const char *body, const char *part)
{
    struct got g = read_as(r, body);
    struct buf want = unquoted(part);

    if (g.rc < 0)
        fail_msg("%s", g.error.msg);
    if (!strstr(g.text.p, want.p))
        fail_msg("%s is not in %s", want.p, g.text.p);
    buf_release(&want);
    got_release(&g);
}

static void check_fails(const struct request *r, const char *body, enum error_code code,
                        const char *message)
{
    struct got g = read_as(r, body);

    assert_int_equal(g.rc, -1);
    assert_string_equal(g.error.msg, message);
    assert_int_equal(g.error.code, code);
    assert_int_equal(g.text.len, 0);
    got_release(&g);
}

#define USAGE "'usage':{'prompt_tokens':9,'completion_tokens':2,'total_tokens':11}"
/* A completion with one choice of this message and reason. */
#define ONE(message, reason)                                                                       \
    "{'choices':[{'index':0,'message':" message ",'finish_reason':'" reason "'}]," USAGE "}"

static void test_a_plain_answer_is_as_the_golden_file(void **state)
{
    struct got g = read_as(
        read_with(*state, ""),
        "{'id':'chatcmpl-1','object':'chat.completion','created':1763805601,'model':'llama',"
        "'choices':[{'index':0,'message':{'role':'assistant','content':'Hi \\u00fc','refusal':"
        "null,'tool_calls':[]},'logprobs':null,'finish_reason':'stop','stop_reason':null}],"
        "'usage':{'prompt_tokens':9,'completion_tokens':2,'total_tokens':11,"
        "'prompt_tokens_details':{'cached_tokens':4}},'system_fingerprint':'x'}");

    assert_int_equal(g.rc, 0);
    assert_golden("openai_plain.json", buf_str(&g.text));
    assert_int_equal(g.usage.prompt_tokens, 9);
    assert_int_equal(g.usage.cached_tokens, 4);
    assert_int_equal(g.usage.candidate_tokens, 2);
    assert_int_equal(g.usage.thought_tokens, 0);
    got_release(&g);
}

static void test_who_answered_and_when_falls_back_to_what_we_know(void **state)
{
    const struct request *r = read_with(*state, "");

    check_with(r, ONE("{'content':'a'}", "stop"),
               "'createTime':'2025-11-22T10:00:00.123456Z','modelVersion':'asked','responseId':"
               "'OURS'");
    check_with(r,
               "{'id':7,'created':-1,'model':'','choices':[{'message':{'content':'a'},"
               "'finish_reason':'stop'}]}",
               "'createTime':'2025-11-22T10:00:00.123456Z','modelVersion':'asked','responseId':"
               "'OURS'");
    check_with(r,
               "{'created':1e300,'choices':[{'message':{'content':'a'},'finish_reason':'stop'}]}",
               "'createTime':'2025-11-22T10:00:00.123456Z'");
}

static void test_the_place_that_answered_stands_behind_the_model(void **state)
{
    const struct reply_rules rules = {
        .request = read_with(*state, ""), .model = "asked", .at = "gpu1", .response_id = "x"
    };
    struct buf out = BUF_INIT(RESPONSE_BYTES_MAX), body = unquoted(ONE("{'content':'a'}", "stop"));
    struct arena a = { 0 };
    struct usage usage;
    struct error e = { 0 };

    assert_int_equal(openai_response_read(&a, buf_str(&body), &rules, &out, &usage, &e), 0);
    assert_non_null(strstr(out.p, "\"modelVersion\":\"asked@gpu1\""));
    buf_release(&body);
    buf_release(&out);
    arena_release(&a);
}

static void test_finish_reasons_are_translated(void **state)
{
    static const struct {
        const char *reason, *finish;
    } cases[] = {
        { "stop", "STOP" },          { "length", "MAX_TOKENS" },     { "tool_calls", "STOP" },
        { "function_call", "STOP" }, { "content_filter", "SAFETY" }, { "something", "OTHER" },
    };
    const struct request *r = read_with(*state, "");

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf body = BUF_INIT(4096), want = BUF_INIT(4096);
        buf_addf(&body, ONE("{'content':'a'}", "%s"), cases[i].reason);
        buf_addf(&want, "'finishReason':'%s'", cases[i].finish);
        check_with(r, body.p, want.p);
        buf_release(&body);
        buf_release(&want);
    }
}

static void test_texts_come_as_a_string_or_as_a_list(void **state)
{
    const struct request *r = read_with(*state, "");

    check_with(r,
               ONE("{'content':[{'type':'text','text':'a'},{'type':'text','text':'b'}]}", "stop"),
               "'parts':[{'text':'a'},{'text':'b'}]");
    check_with(r, ONE("{'content':null,'refusal':'I will not.'}", "stop"),
               "{'content':{'parts':[{'text':'I will not.'}],'role':'model'},'finishReason':"
               "'SAFETY'");
}

static void test_thoughts_are_shown_only_when_asked_for(void **state)
{
    static const char vllm[] = ONE("{'content':'b','reasoning':'hm'}", "stop"),
                      others[] = ONE("{'content':'b','reasoning_content':'hm'}", "stop");
    const struct request *r = read_with(*state, "");

    check_with(r, vllm, "'parts':[{'text':'b'}]");
    check_with(r, others, "'parts':[{'text':'b'}]");
    r = read_with(*state, "'generationConfig':{'thinkingConfig':{'includeThoughts':true}}");
    check_with(r, vllm, "'parts':[{'text':'hm','thought':true},{'text':'b'}]");
    check_with(r, others, "'parts':[{'text':'hm','thought':true},{'text':'b'}]");
    check_with(r, ONE("{'content':null,'reasoning':'hm'}", "length"),
               "'parts':[{'text':'hm','thought':true},{'text':''}]");
}

static void test_calls_become_functionCalls(void **state)
{
    const struct request *r = read_with(*state, "");

    check_with(r,
               ONE("{'content':null,'tool_calls':[{'id':'c1','type':'function','function':{'name':"
                   "'f','arguments':'{ \\'a\\': [1,\\n 2] }'}},{'type':'function','function':"
                   "{'name':'g','arguments':''}}]}",
                   "tool_calls"),
               "'parts':[{'functionCall':{'args':{'a':[1,2]},'id':'c1','name':'f'}},"
               "{'functionCall':{'args':{},'name':'g'}}],'role':'model'},'finishReason':'STOP'");
    check_with(r,
               ONE("{'content':'I look.','function_call':{'name':'f','arguments':{'a':1}}}",
                   "function_call"),
               "'parts':[{'text':'I look.'},{'functionCall':{'args':{'a':1},'name':'f'}}]");
}

static void test_a_call_that_was_cut_off_is_left_out(void **state)
{
    static const char message[] =
        "{'choices':[{'message':{'content':'so','tool_calls':[{'function':{'name':'f','arguments':"
        "'{\\'a'}}]},'finish_reason':'%s'}]," USAGE "}";
    const struct request *r = read_with(*state, "");
    struct buf cut = BUF_INIT(4096), whole = BUF_INIT(4096);

    buf_addf(&cut, message, "length");
    buf_addf(&whole, message, "tool_calls");
    check_with(r, cut.p, "'parts':[{'text':'so'}],'role':'model'},'finishReason':'MAX_TOKENS'");
    check_fails(r, whole.p, ERROR_INTERNAL,
                "The answer has a call of \"f\" with broken arguments: The JSON ends too early: a "
                "closing quote, bracket or brace is missing.");
    buf_release(&cut);
    buf_release(&whole);
}

static void test_a_function_that_had_to_be_called_is_missed(void **state)
{
    static const char text[] = ONE("{'content':'a'}", "stop");
    const struct request *r =
        read_with(*state, "'tools':{'functionDeclarations':{'name':'f'}},'toolConfig':"
                          "{'functionCallingConfig':{'mode':'ANY'}}");

    check_fails(r, text, ERROR_INTERNAL,
                "The answer calls no function, though one had to be called.");
    check_with(r, ONE("{'content':'a'}", "length"), "'finishReason':'MAX_TOKENS'");
    check_with(r, ONE("{'tool_calls':[{'function':{'name':'f'}}]}", "stop"),
               "'functionCall':{'args':{},'name':'f'}");
    r = read_with(*state, "'tools':{'functionDeclarations':{'name':'f'}},'toolConfig':"
                          "{'functionCallingConfig':{'mode':'AUTO'}}");
    check_with(r, text, "'text':'a'");
}

/* "{'a':{'a':...{}}}" with so many levels, escaped for a string of a body. */
static struct buf nested(unsigned levels)
{
    struct buf b = BUF_INIT(BODY_BYTES_MAX);

    buf_addf(&b, "{'choices':[{'message':{'tool_calls':[{'function':{'name':'f','arguments':'");
    for (unsigned i = 1; i < levels; i++)
        buf_add_c(&b, "{\\'a\\':");
    buf_add_c(&b, "{");
    for (unsigned i = 0; i < levels; i++)
        buf_add_c(&b, "}");
    buf_add_c(&b, "'}}]},'finish_reason':'tool_calls'}]}");
    return b;
}

static void test_arguments_are_nested_so_deep_and_no_deeper(void **state)
{
    const struct request *r = read_with(*state, "");
    struct buf fits = nested(CALL_ARGS_DEPTH_MAX), deeper = nested(CALL_ARGS_DEPTH_MAX + 1),
               deepest = nested(1000000);

    check_with(r, fits.p, "'functionCall':{'args':{'a':{'a':");
    check_fails(r, deeper.p, ERROR_INTERNAL,
                "The answer has a call of \"f\" with broken arguments: They are nested more than "
                "48 deep.");
    check_fails(r, deepest.p, ERROR_INTERNAL,
                "The answer has a call of \"f\" with broken arguments: They are nested more than "
                "48 deep.");
    buf_release(&fits);
    buf_release(&deeper);
    buf_release(&deepest);
}

static void test_so_many_calls_are_read_and_no_more(void **state)
{
    const struct request *r = read_with(*state, "");

    for (unsigned over = 0; over <= 1; over++) {
        struct buf b = BUF_INIT(BODY_BYTES_MAX);
        buf_add_c(&b, "{'choices':[{'message':{'tool_calls':[");
        for (unsigned i = 0; i < OPENAI_CALLS_MAX + over; i++)
            buf_addf(&b, "%s{'function':{'name':'f'}}", i ? "," : "");
        buf_add_c(&b, "]},'finish_reason':'tool_calls'}]}");
        struct got g = read_as(r, b.p);
        assert_int_equal(g.rc, over ? -1 : 0);
        got_release(&g);
        buf_release(&b);
    }
}

static void test_choices_stand_in_the_order_of_their_indexes(void **state)
{
    const struct request *r = read_with(*state, "'generationConfig':{'candidateCount':3}");
    struct got g =
        read_as(r, "{'choices':[{'index':2,'message':{'content':'c'},'finish_reason':'stop'},"
                   "{'index':0,'message':{'content':'a'},'finish_reason':'length'},"
                   "{'index':1,'message':{'content':'b'},'finish_reason':'stop'}]," USAGE "}");
    const char *a, *b, *c;

    assert_int_equal(g.rc, 0);
    a = strstr(g.text.p, "\"text\":\"a\"}],\"role\":\"model\"},\"finishReason\":\"MAX_TOKENS\","
                         "\"index\":0");
    b = strstr(g.text.p, "\"text\":\"b\"");
    c = strstr(g.text.p, "\"text\":\"c\"");
    assert_true(a && a < b && b < c);
    got_release(&g);
}

static void test_an_enum_is_the_bare_value(void **state)
{
    static const struct {
        const char *content, *text;
    } cases[] = {
        { "\\'A b\\'", "A b" },
        { " \\'A b\\'\\n", "A b" },
        { "A b", "A b" },
        { "\\'\\\\u00fc\\'", "\xC3\xBC" },
    };
    const struct request *r = read_with(
        *state, "'generationConfig':{'responseMimeType':'text/x.enum','responseSchema':{'type':"
                "'STRING','enum':['A b','\\u00fc']}}");

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf body = BUF_INIT(4096), want = BUF_INIT(4096);
        buf_addf(&body, ONE("{'content':'%s'}", "stop"), cases[i].content);
        buf_addf(&want, "'parts':[{'text':'%s'}]", cases[i].text);
        check_with(r, body.p, want.p);
        buf_release(&body);
        buf_release(&want);
    }
    check_with(r, ONE("{'content':'\\'A'}", "length"), "'parts':[{'text':'A'}]");
    check_with(r, ONE("{'content':'\\'B\\''}", "stop"), "'parts':[{'text':'B'}]");
}

static void test_fences_around_the_whole_of_a_json_answer_are_taken_off(void **state)
{
    static const struct {
        const char *content, *text;
    } cases[] = {
        { "```json\\n[1]\\n```", "[1]" },
        { " ```JSON \\n[1,\\n2]\\n```\\n", "[1,\\n2]" },
        { "```\\n[1]```", "[1]" },
        { "```json\\n```", "" },
        /* Not one block, not JSON's, or no block at all: left as it is. */
        { "Here: ```json\\n[1]\\n```", "Here: ```json\\n[1]\\n```" },
        { "```json\\n[1]\\n```\\n```json\\n[2]\\n```",
          "```json\\n[1]\\n```\\n```json\\n[2]\\n```" },
        { "```yaml\\n[1]\\n```", "```yaml\\n[1]\\n```" },
        { "```", "```" },
        { "``````", "``````" },
        { "```json\\n``", "```json\\n``" },
        { "[\\'```\\n```\\']", "[\\'```\\n```\\']" },
    };
    const struct request *r =
        read_with(*state, "'generationConfig':{'responseMimeType':'application/json'}");

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf body = BUF_INIT(4096), want = BUF_INIT(4096);
        buf_addf(&body, ONE("{'content':'%s'}", "stop"), cases[i].content);
        buf_addf(&want, "'parts':[{'text':'%s'}]", cases[i].text);
        check_with(r, body.p, want.p);
        buf_release(&body);
        buf_release(&want);
    }
    check_with(r, ONE("{'content':'```json\\n[1'}", "length"), "'parts':[{'text':'```json\\n[1'}]");
    check_with(read_with(*state, ""), ONE("{'content':'```json\\n[1]\\n```'}", "stop"),
               "'parts':[{'text':'```json\\n[1]\\n```'}]");
}

static void test_logprobs_are_written_as_they_were_asked_for(void **state)
{
    static const char body[] =
        "{'choices':[{'message':{'content':'ab'},'finish_reason':'stop','logprobs':{'content':["
        "{'token':'a','logprob':-0.5,'bytes':[97],'top_logprobs':[{'token':'a','logprob':-0.5},"
        "{'token':'x','logprob':-9999.0}]},{'id':7,'token':'b','logprob':-1.5,'top_logprobs':"
        "[]}]}}]," USAGE "}";
    const struct request *r = read_with(*state, "");

    check_with(r, body, "{'candidates':[{'content'");
    r = read_with(*state, "'generationConfig':{'responseLogprobs':true}");
    check_with(r, body,
               "'logprobsResult':{'chosenCandidates':[{'logProbability':-0.5,'token':'a'},"
               "{'logProbability':-1.5,'token':'b','tokenId':7}]}}]");
    check_with(r, body, "'avgLogprobs':-1,");
    r = read_with(*state, "'generationConfig':{'responseLogprobs':true,'logprobs':1}");
    check_with(r, body,
               "'topCandidates':[{'candidates':[{'logProbability':-0.5,'token':'a'}]},"
               "{'candidates':[]}]");
}

static void test_logprobs_that_are_missing_or_broken_are_errors(void **state)
{
    const struct request *r = read_with(*state, "'generationConfig':{'responseLogprobs':true}");

    check_fails(r, ONE("{'content':'a'}", "stop"), ERROR_UNIMPLEMENTED,
                "The server answered without the logprobs that were asked for.");
    check_fails(r,
                "{'choices':[{'message':{'content':'a'},'finish_reason':'stop','logprobs':"
                "{'content':[{'token':'a','logprob':null}]}}]}",
                ERROR_INTERNAL, "Choice 0 of the answer has a broken logprob at token 0.");
    check_with(r, ONE("{'tool_calls':[{'function':{'name':'f','arguments':'{}'}}]}", "tool_calls"),
               "'logprobsResult':{'chosenCandidates':[]}");
}

static void test_counts_are_the_servers_as_far_as_they_can_be(void **state)
{
    static const struct {
        const char *usage;
        struct usage want; /* prompt, cached, candidates, thoughts */
    } cases[] = {
        { "{'prompt_tokens':10,'completion_tokens':6,'prompt_tokens_details':{'cached_tokens':3},"
          "'completion_tokens_details':{'reasoning_tokens':4}}",
          { 10, 3, 2, 4 } },
        { "{'prompt_tokens':10,'completion_tokens':6,'reasoning_tokens':4}", { 10, 0, 2, 4 } },
        { "{'prompt_tokens':10,'completion_tokens':6,'prompt_tokens_details':null}",
          { 10, 0, 3, 3 } }, /* half of the bytes were thoughts */
        { "{'prompt_tokens':10,'completion_tokens':6,'prompt_tokens_details':{'cached_tokens':11},"
          "'completion_tokens_details':{'reasoning_tokens':7}}",
          { 10, 10, 0, 6 } },
        { "{'prompt_tokens':-1,'completion_tokens':'x'}", { 1, 0, 1, 1 } },
        { "{'prompt_tokens':1e300,'completion_tokens':18446744073709551615}",
          { INT32_MAX, 0, INT32_MAX - INT32_MAX / 2, INT32_MAX / 2 } },
        { "{'prompt_tokens':12.0,'completion_tokens':2}", { 12, 0, 1, 1 } },
        { "null", { 1, 0, 1, 1 } },
        { "7", { 1, 0, 1, 1 } },
    };
    const struct request *r = read_with(*state, "");

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf body = BUF_INIT(4096);
        buf_addf(&body,
                 "{'choices':[{'message':{'content':'abcd','reasoning':'efgh'},'finish_reason':"
                 "'stop'}],'usage':%s}",
                 cases[i].usage);
        struct got g = read_as(r, body.p);
        assert_int_equal(g.rc, 0);
        assert_int_equal(g.usage.prompt_tokens, cases[i].want.prompt_tokens);
        assert_int_equal(g.usage.cached_tokens, cases[i].want.cached_tokens);
        assert_int_equal(g.usage.candidate_tokens, cases[i].want.candidate_tokens);
        assert_int_equal(g.usage.thought_tokens, cases[i].want.thought_tokens);
        got_release(&g);
        buf_release(&body);
    }
}

static void test_what_is_no_answer_is_an_error_with_its_cause(void **state)
{
    static const struct {
        const char *body;
        enum error_code code;
        const char *message;
    } cases[] = {
        { "", ERROR_INTERNAL,
          "The answer is not JSON after 0 of 0 bytes: There is no JSON: the text is empty." },
        { "{'choices':[", ERROR_INTERNAL,
          "The answer is not JSON after 12 of 12 bytes: The JSON ends too early: a closing quote, "
          "bracket or brace is missing." },
        { "{'id':'\xff'}", ERROR_INTERNAL,
          "The answer is not JSON after 7 of 10 bytes: The byte 0xff is not valid UTF-8." },
        { "data: {}", ERROR_INTERNAL,
          "The answer is not JSON after 0 of 8 bytes: Not JSON: \"d\" stands here, expected a "
          "value." },
        { "[1]", ERROR_INTERNAL, "The answer is JSON, but not an object." },
        { "{'object':'list','data':[]}", ERROR_INTERNAL,
          "The answer is not a chat completion: it has no choices." },
        { "{'choices':null}", ERROR_INTERNAL,
          "The answer is not a chat completion: it has no choices." },
        { "{'choices':[]}", ERROR_INTERNAL, "The answer has 0 choices, but 1 was asked for." },
        { "{'choices':[{},{}]}", ERROR_INTERNAL, "The answer has 2 choices, but 1 was asked for." },
        { "{'choices':[7]}", ERROR_INTERNAL, "Choice 0 of the answer has no finish_reason." },
        { "{'choices':[{'index':1,'message':{'content':'a'},'finish_reason':'stop'}]}",
          ERROR_INTERNAL, "The answer has choices whose indexes are not 0 to 0." },
        { "{'choices':[{'index':-1,'message':{'content':'a'},'finish_reason':'stop'}]}",
          ERROR_INTERNAL, "The answer has choices whose indexes are not 0 to 0." },
        { "{'choices':[{'message':{'content':'a'},'finish_reason':null}]}", ERROR_INTERNAL,
          "Choice 0 of the answer has no finish_reason." },
        { "{'choices':[{'message':{'content':'a'},'finish_reason':'abort'}]}", ERROR_INTERNAL,
          "The server gave up choice 0: its finish_reason is abort." },
        { "{'choices':[{'delta':{'content':'a'},'finish_reason':'stop'}]}", ERROR_INTERNAL,
          "Choice 0 of the answer has no message." },
        { "{'choices':[{'message':{'content':7},'finish_reason':'stop'}]}", ERROR_INTERNAL,
          "Choice 0 of the answer has a content that is neither text nor a list." },
        { "{'choices':[{'message':{'content':[{'type':'image'}]},'finish_reason':'stop'}]}",
          ERROR_INTERNAL, "Choice 0 of the answer has a content[0] that is not text." },
        { "{'choices':[{'message':{'tool_calls':[{'function':{}}]},'finish_reason':'stop'}]}",
          ERROR_INTERNAL, "The answer has a call without a name." },
        { "{'choices':[{'message':{'tool_calls':[{'function':{'name':'f','arguments':'[1]'}}]},"
          "'finish_reason':'stop'}]}",
          ERROR_INTERNAL,
          "The answer has a call of \"f\" with broken arguments: They are not an object." },
        { "{'choices':[{'message':{'content':''},'finish_reason':'stop'}],'usage':"
          "{'completion_tokens':0}}",
          ERROR_INTERNAL, "The answer is empty: the server generated no token at all." },
        { "{'choices':[{'message':{'content':null},'finish_reason':'stop'}]}", ERROR_INTERNAL,
          "The answer is empty: the server generated no token at all." },
        { "{'error':{'message':'too busy','code':429}}", ERROR_RESOURCE_EXHAUSTED,
          "The answer is an error: too busy" },
        { "{'error':'out of memory'}", ERROR_INTERNAL, "The answer is an error: out of memory" },
    };
    const struct request *r = read_with(*state, "");

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check_fails(r, cases[i].body, cases[i].code, cases[i].message);
}

static void test_choices_are_as_many_as_asked_and_each_once(void **state)
{
    const struct request *r = read_with(*state, "'generationConfig':{'candidateCount':2}");

    check_fails(r, ONE("{'content':'a'}", "stop"), ERROR_INTERNAL,
                "The answer has 1 choices, but 2 were asked for.");
    check_fails(r,
                "{'choices':[{'index':0,'message':{'content':'a'},'finish_reason':'stop'},"
                "{'index':0,'message':{'content':'a'},'finish_reason':'stop'}]}",
                ERROR_INTERNAL, "The answer has choices whose indexes are not 0 to 1.");
}

static void test_a_model_may_say_nothing(void **state)
{
    const struct request *r = read_with(*state, "");

    check_with(r, ONE("{'content':''}", "stop"),
               "'parts':[{'text':''}],'role':'model'},'finishReason':'STOP'");
    check_with(r, "{'choices':[{'message':{'content':''},'finish_reason':'content_filter'}]}",
               "'parts':[{'text':''}],'role':'model'},'finishReason':'SAFETY'");
}

static void test_an_answer_over_the_buffers_maximum_is_an_error(void **state)
{
    const struct reply_rules rules = { .request = read_with(*state, ""),
                                       .model = "m",
                                       .response_id = "x" };
    struct buf whole = BUF_INIT(RESPONSE_BYTES_MAX),
               body = unquoted(ONE("{'content':'a'}", "stop"));
    struct arena a = { 0 };
    struct usage usage;
    struct error e = { 0 };

    assert_int_equal(openai_response_read(&a, buf_str(&body), &rules, &whole, &usage, &e), 0);
    for (size_t less = 0; less <= 1; less++) {
        struct buf out = BUF_INIT(whole.len - less);
        int rc = openai_response_read(&a, buf_str(&body), &rules, &out, &usage, &e);
        assert_int_equal(rc, less ? -1 : 0);
        assert_int_equal(e.code, less ? ERROR_OUT_OF_RANGE : ERROR_OK);
        buf_release(&out);
    }
    buf_release(&whole);
    buf_release(&body);
    arena_release(&a);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, reading_setup, reading_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_plain_answer_is_as_the_golden_file),
        TEST(test_who_answered_and_when_falls_back_to_what_we_know),
        TEST(test_the_place_that_answered_stands_behind_the_model),
        TEST(test_finish_reasons_are_translated),
        TEST(test_texts_come_as_a_string_or_as_a_list),
        TEST(test_thoughts_are_shown_only_when_asked_for),
        TEST(test_calls_become_functionCalls),
        TEST(test_a_call_that_was_cut_off_is_left_out),
        TEST(test_a_function_that_had_to_be_called_is_missed),
        TEST(test_arguments_are_nested_so_deep_and_no_deeper),
        TEST(test_so_many_calls_are_read_and_no_more),
        TEST(test_choices_stand_in_the_order_of_their_indexes),
        TEST(test_an_enum_is_the_bare_value),
        TEST(test_fences_around_the_whole_of_a_json_answer_are_taken_off),
        TEST(test_logprobs_are_written_as_they_were_asked_for),
        TEST(test_logprobs_that_are_missing_or_broken_are_errors),
        TEST(test_counts_are_the_servers_as_far_as_they_can_be),
        TEST(test_what_is_no_answer_is_an_error_with_its_cause),
        TEST(test_choices_are_as_many_as_asked_and_each_once),
        TEST(test_a_model_may_say_nothing),
        TEST(test_an_answer_over_the_buffers_maximum_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
