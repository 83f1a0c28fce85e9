/* Goal: what an upstream session makes of servers that refuse, fail, vanish, or are several.
 * Method: servers in this process (upstream_stub.h), real sockets, the system's clock; nothing is
 * decided by how long something took. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/predict/upstream/upstream_world.h"

/* ---- Answers ---- */

static void test_both_dialects_answer_with_usage_and_the_version_that_answered(void **state)
{
    (void)state;
    struct stub *s = add_server("s", WIRE_OPENAI, 1);
    open_session();
    struct answer a = ask_one("hello");
    assert_text(&a, "\"echo: hello\"");
    assert_text(&a, "\"modelVersion\":\"far-model\"");
    assert_int_equal(a.usage.prompt_tokens, 10);
    assert_int_equal(a.usage.cached_tokens, 4);
    assert_int_equal(a.usage.candidate_tokens, 5);
    assert_string_equal(s->path, "/v1/chat/completions");
    answer_release(&a);
    w->p->ops->close(w->p);

    w->model.upstream_count = 0;
    s = add_server("g", WIRE_GEMINI, 1);
    open_session();
    a = ask_one("hello");
    assert_text(&a, "\"echo: hello\"");
    assert_text(&a, "\"modelVersion\":\"far-model\"");
    assert_null(memchr(a.response.p, '\n', a.response.len));
    assert_int_equal(a.usage.cached_tokens, 4);
    assert_string_equal(s->path, "/v1beta/models/far:generateContent");
    answer_release(&a);
}

static void test_a_key_goes_into_the_dialects_own_header(void **state)
{
    (void)state;
    struct stub *s = add_server("s", WIRE_OPENAI, 1);
    s->upstream.credential.secret = "key-1";
    open_session();
    struct answer a = ask_one("hello");
    assert_string_equal(s->authorization, "Bearer key-1");
    answer_release(&a);
    w->p->ops->close(w->p);

    w->model.upstream_count = 0;
    s = add_server("g", WIRE_GEMINI, 1);
    s->upstream.credential.secret = "key-2";
    open_session();
    a = ask_one("hello");
    assert_string_equal(s->key, "key-2");
    assert_string_equal(s->authorization, "");
    answer_release(&a);
}

static void test_answers_of_several_servers_say_which_one_answered(void **state)
{
    (void)state;
    (void)add_server("one", WIRE_OPENAI, 1);
    (void)add_server("two", WIRE_GEMINI, 1);
    open_session();
    struct answer a = ask_one("x"), b = ask_one("y");
    const char *both[] = { a.response.p, b.response.p };
    for (int i = 0; i < 2; i++)
        assert_true(strstr(both[i], "\"far-model@one\"") || strstr(both[i], "\"far-model@two\""));
    assert_int_not_equal(strstr(a.response.p, "@one") == NULL,
                         strstr(b.response.p, "@one") == NULL);
    answer_release(&a);
    answer_release(&b);
}

static void test_each_server_bills_its_own_price(void **state)
{
    (void)state;
    (void)add_server("one", WIRE_OPENAI, 1);
    w->model.upstream[0].has_price = true;
    w->model.upstream[0].price = (struct price){ .input = 1, .output = 2, .cached = 0.5 };
    open_session();
    struct answer a = ask_one("x");
    assert_non_null(a.price);
    /* Six tokens at 1, four cached at 0.5, five out at 2 dollars a million; nothing is halved. */
    assert_int_equal(price_batch_nano(a.price, &a.usage), 18000);
    answer_release(&a);
}

/* ---- Answers with a form ---- */

/* The last text that was sent is what is answered; "cut" at its end: and then cut. */
static void reply_verbatim(struct stub *s, struct str body, struct stub_reply *out)
{
    static atomic_uint id;
    struct str text = stub_last_text(body);
    bool cut = str_ends(text, STR("cut"));

    if (cut)
        text.len -= sizeof "cut" - 1;
    if (s->upstream.wire == WIRE_GEMINI)
        buf_addf(&out->body,
                 "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"%.*s\"}]},"
                 "\"finishReason\":\"%s\"}],\"responseId\":\"r%u\",\"usageMetadata\":{"
                 "\"promptTokenCount\":10,\"candidatesTokenCount\":5}}",
                 STR_ARG(text), cut ? "MAX_TOKENS" : "STOP", atomic_fetch_add(&id, 1));
    else
        buf_addf(&out->body,
                 "{\"id\":\"c%u\",\"choices\":[{\"finish_reason\":\"%s\",\"message\":{"
                 "\"content\":\"%.*s\"}}],\"usage\":{\"prompt_tokens\":10,"
                 "\"completion_tokens\":5}}",
                 atomic_fetch_add(&id, 1), cut ? "length" : "stop", STR_ARG(text));
}

static struct answer ask_in_form(const char *text, const char *form)
{
    struct buf json = BUF_INIT(4096);

    buf_add_c(&json, "{\"contents\":[{\"parts\":[{\"text\":");
    buf_add_json(&json, str_of(text));
    buf_addf(&json, "}]}],\"generationConfig\":{%s}}", form);
    char *line = arena_copy(&w->arena, json.p, json.len);
    buf_release(&json);
    submit(request_make(&w->arena, line), NULL);
    return take();
}

static void test_an_answer_without_its_form_is_refused_and_its_tokens_are_known(void **state)
{
    static const char object[] = "\"responseMimeType\":\"application/json\",\"responseSchema\":{"
                                 "\"type\":\"OBJECT\",\"properties\":{\"n\":{\"type\":"
                                 "\"INTEGER\"}},\"required\":[\"n\"]}";
    static const char mood[] = "\"responseMimeType\":\"text/x.enum\",\"responseSchema\":{"
                               "\"type\":\"STRING\",\"enum\":[\"good\"]}";
    static const struct {
        const char *form, *text, *message; /* NULL: it is taken */
        bool complete;
    } cases[] = {
        { object, "{\"n\":1}", NULL, true },
        { object, "{\"n\":1", "is not JSON", false },
        { object, "{\"n\":1cut", NULL, false },
        { object, "{\"n\":\"1\"}", "$.n is of another type (properties.n.type)", false },
        { object, "I cannot do that.", "is not JSON", false },
        { mood, "good", NULL, true },
        { mood, "bad", "\"bad\" is not one of the enum's values", false },
        { mood, "gocut", NULL, false },
    };
    struct server_stats st;

    (void)state;
    for (int wire = 0; wire < 2; wire++) {
        w->model.upstream_count = 0;
        add_server(wire ? "g" : "o", wire ? WIRE_GEMINI : WIRE_OPENAI, 1)->reply = reply_verbatim;
        open_session();
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            struct answer a = ask_in_form(cases[i].text, cases[i].form);
            const char *message = cases[i].message;
            if ((message != NULL) != a.rejected || (message && !strstr(a.error.msg, message)))
                fail_msg("%s: %s", cases[i].text, a.error.msg);
            assert_int_equal(a.error.code, message ? ERROR_INTERNAL : ERROR_OK);
            assert_true(a.complete == cases[i].complete);
            assert_int_equal(a.usage.prompt_tokens, 10);
            assert_int_equal(a.usage.candidate_tokens, 5);
            answer_release(&a);
        }
        server_of((uint32_t)wire, &st); /* a model's words are no fault of the server */
        assert_int_equal(st.ends[EXCHANGE_ANSWERED], ARRAY_LEN(cases));
        w->p->ops->close(w->p);
        w->p = NULL;
    }
}

static void test_a_schema_that_no_check_follows_is_refused_before_it_is_sent(void **state)
{
    struct violation why;

    (void)state;
    (void)add_server("s", WIRE_GEMINI, 1);
    open_session();
    const struct request *r = request_make(
        &w->arena, "{\"contents\":[{\"parts\":[{\"text\":\"x\"}]}],\"generationConfig\":{"
                   "\"responseMimeType\":\"application/json\",\"responseJsonSchema\":{"
                   "\"contains\":{\"type\":\"string\"}}}}");
    assert_false(w->p->ops->accepts(w->p, r, &why));
    assert_string_equal(why.path, "generationConfig.responseJsonSchema.contains");
}

/* ---- Refusals ---- */

static void test_a_pause_that_one_refusal_asks_for_is_its_lines_own(void **state)
{
    struct server_stats st;

    (void)state;
    add_server("s", WIRE_OPENAI, 1)->reply = reply_429;
    open_session();
    struct answer a = ask_one("x");
    assert_int_equal(a.error.code, ERROR_RESOURCE_EXHAUSTED);
    assert_int_equal(a.retry_after_ms, 2000);
    assert_non_null(strstr(a.error.msg, "slow down"));
    server_of(0, &st);
    assert_int_equal(st.paused_ms, 0);
    assert_int_equal(st.ends[EXCHANGE_OVERLOAD], 1);
}

static void reply_quota(struct stub *s, struct str body, struct stub_reply *out)
{
    (void)s;
    (void)body;
    out->status = 429;
    buf_add_c(&out->body,
              "{\"error\":{\"code\":429,\"status\":\"RESOURCE_EXHAUSTED\",\"message\":\"quota\","
              "\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\","
              "\"retryDelay\":\"2s\"}]}}");
}

/* After 40 answers, ten failures in a row are their requests' own, those that follow the server's. */
static void test_a_failure_among_answers_is_the_requests_own(void **state)
{
    (void)state;
    struct stub *s = add_server("s", WIRE_OPENAI, 1);
    open_session();
    s->reply = reply_500;
    struct answer a = ask_one("x");
    assert_false(a.own_failure);
    s->reply = stub_echo;
    for (int i = 0; i < 40; i++) {
        a = ask_one("x");
        assert_int_equal(a.error.code, ERROR_OK);
        answer_release(&a);
    }
    s->reply = reply_429;
    for (int i = 0; i < BREAKER_FAILURES - 1; i++) {
        a = ask_one("x");
        assert_int_equal(a.error.code, ERROR_RESOURCE_EXHAUSTED);
        if (i < 10 || i > 14)
            assert_true(a.own_failure == (i < 10));
    }
}

static void test_a_refusal_that_names_the_account_pauses_the_server(void **state)
{
    struct server_stats st;

    (void)state;
    add_server("s", WIRE_GEMINI, 1)->reply = reply_quota;
    open_session();
    struct answer a = ask_one("x");
    assert_int_equal(a.retry_after_ms, 2000);
    server_of(0, &st);
    assert_true(st.paused_ms > 0 && st.paused_ms <= 2000);
}

static void test_a_refused_key_is_not_worth_another_try(void **state)
{
    (void)state;
    struct stub *s = add_server("s", WIRE_OPENAI, 1);
    s->reply = reply_401;
    s->upstream.credential.secret = "wrong-key";
    open_session();
    struct answer a = ask_one("x");
    assert_int_equal(a.error.code, ERROR_UNAUTHENTICATED);
    assert_false(error_retryable(a.error.code));
    assert_null(strstr(a.error.msg, "wrong-key"));
}

static void test_a_malformed_reply_can_be_tried_again_and_says_what_it_is(void **state)
{
    (void)state;
    add_server("s", WIRE_OPENAI, 1)->reply = reply_malformed;
    open_session();
    struct answer a = ask_one("x");
    assert_true(error_retryable(a.error.code));
    assert_non_null(strstr(a.error.msg, "JSON"));
    assert_non_null(strstr(a.error.msg, "s: "));
}

/* The very same bytes to whoever asks. */
static void reply_same(struct stub *s, struct str body, struct stub_reply *out)
{
    (void)s;
    (void)body;
    buf_add_c(&out->body, "{\"id\":\"chatcmpl-1\",\"created\":1,\"model\":\"m\",\"choices\":[{"
                          "\"index\":0,\"finish_reason\":\"stop\",\"message\":{\"role\":"
                          "\"assistant\",\"content\":\"yes\"}}]}");
}

static void test_a_reply_that_came_before_is_not_another_requests_answer(void **state)
{
    (void)state;
    add_server("s", WIRE_OPENAI, 1)->reply = reply_same;
    open_session();
    struct answer a = ask_one("x");
    assert_text(&a, "yes");
    answer_release(&a);
    a = ask_one("y");
    assert_true(error_retryable(a.error.code));
    assert_non_null(strstr(a.error.msg, "already given"));
}

/* ---- Health ---- */

static void test_a_server_that_only_fails_gets_no_requests_until_a_probe_succeeds(void **state)
{
    struct server_stats st;

    (void)state;
    struct stub *s = add_server("s", WIRE_OPENAI, 1);
    s->reply = reply_recovers;
    atomic_store(&s->failures, BREAKER_FAILURES + 1);
    open_session();
    for (uint32_t i = 0; i < BREAKER_FAILURES; i++) {
        struct answer a = ask_one("x");
        assert_int_equal(a.error.code, ERROR_INTERNAL);
    }
    server_of(0, &st);
    assert_int_equal(st.breaker, BREAKER_OPEN);
    struct answer a = ask_one("x"); /* the probe, which fails */
    assert_int_equal(a.error.code, ERROR_INTERNAL);
    a = ask_one("back"); /* the next one, which does not */
    assert_text(&a, "back");
    answer_release(&a);
    server_of(0, &st);
    assert_int_equal(st.breaker, BREAKER_CLOSED);
}

static void test_a_server_that_is_not_there_is_given_up_after_its_patience(void **state)
{
    struct answer a = { 0 };

    (void)state;
    struct stub *s = add_server("s", WIRE_OPENAI, 1);
    http_server_free(s->server, 0);
    s->server = NULL;
    s->upstream.patience_ms = 1;
    open_session();
    for (uint32_t i = 0; i < BREAKER_FAILURES + 5 && !a.final; i++)
        a = ask_one("x");
    assert_true(a.final);
    assert_int_equal(a.error.code, ERROR_UNAVAILABLE);
    assert_non_null(strstr(a.error.msg, "given up"));
    assert_non_null(strstr(a.error.msg, "refused"));
}

/* ---- Several ---- */

static void test_servers_share_by_their_weights(void **state)
{
    (void)state;
    struct stub *three = add_server("three", WIRE_OPENAI, 3);
    struct stub *one = add_server("one", WIRE_OPENAI, 1);
    open_session();
    for (int i = 0; i < 40; i++) {
        struct answer a = ask_one("x");
        answer_release(&a);
    }
    assert_int_equal(atomic_load(&three->requests), 30);
    assert_int_equal(atomic_load(&one->requests), 10);
}

static void test_a_server_without_weight_gets_nothing_while_the_others_are_well(void **state)
{
    (void)state;
    (void)add_server("own", WIRE_OPENAI, 1);
    struct stub *paid = add_server("paid", WIRE_OPENAI, 0);
    open_session();
    for (int i = 0; i < 20; i++) {
        struct answer a = ask_one("x");
        answer_release(&a);
    }
    assert_int_equal(atomic_load(&paid->requests), 0);
}

static void test_when_all_others_are_broken_the_one_without_weight_answers(void **state)
{
    struct answer a = { 0 };

    (void)state;
    add_server("own", WIRE_OPENAI, 1)->reply = reply_500;
    (void)add_server("paid", WIRE_OPENAI, 0);
    open_session();
    for (uint32_t i = 0; i < BREAKER_FAILURES; i++)
        a = ask_one("x");
    assert_int_equal(a.error.code, ERROR_INTERNAL);
    a = ask_one("x");
    assert_text(&a, "@paid");
    answer_release(&a);
}

static void test_what_has_waited_long_enough_spills_over(void **state)
{
    char tags[64];

    (void)state;
    struct stub *own = add_server("own", WIRE_OPENAI, 1);
    own->reply = reply_held;
    struct stub *paid = add_server("paid", WIRE_OPENAI, 0);
    w->model.spill_after_ms = 20;
    open_session();
    for (uint32_t i = 0; i < own->upstream.concurrency + 4; i++)
        submit(ask("x"), &tags[i]);
    for (int i = 0; i < 4; i++) {
        struct answer a = take();
        assert_text(&a, "@paid");
        answer_release(&a);
    }
    assert_int_equal(atomic_load(&paid->requests), 4);
}

static void test_a_request_that_one_server_cannot_take_goes_to_the_other(void **state)
{
    struct violation why;

    (void)state;
    (void)add_server("o", WIRE_OPENAI, 1);
    (void)add_server("g", WIRE_GEMINI, 1);
    open_session();
    const struct request *r =
        request_make(&w->arena, "{\"contents\":[{\"parts\":[{\"text\":\"x\"}]}],"
                                "\"tools\":[{\"googleSearch\":{}}]}");
    assert_true(w->p->ops->accepts(w->p, r, &why));
    for (int i = 0; i < 4; i++) {
        submit(r, NULL);
        struct answer a = take();
        assert_text(&a, "@g");
        answer_release(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UPSTREAM_TEST(test_both_dialects_answer_with_usage_and_the_version_that_answered),
        UPSTREAM_TEST(test_a_key_goes_into_the_dialects_own_header),
        UPSTREAM_TEST(test_answers_of_several_servers_say_which_one_answered),
        UPSTREAM_TEST(test_each_server_bills_its_own_price),
        UPSTREAM_TEST(test_an_answer_without_its_form_is_refused_and_its_tokens_are_known),
        UPSTREAM_TEST(test_a_schema_that_no_check_follows_is_refused_before_it_is_sent),
        UPSTREAM_TEST(test_a_pause_that_one_refusal_asks_for_is_its_lines_own),
        UPSTREAM_TEST(test_a_failure_among_answers_is_the_requests_own),
        UPSTREAM_TEST(test_a_refusal_that_names_the_account_pauses_the_server),
        UPSTREAM_TEST(test_a_refused_key_is_not_worth_another_try),
        UPSTREAM_TEST(test_a_malformed_reply_can_be_tried_again_and_says_what_it_is),
        UPSTREAM_TEST(test_a_reply_that_came_before_is_not_another_requests_answer),
        UPSTREAM_TEST(test_a_server_that_only_fails_gets_no_requests_until_a_probe_succeeds),
        UPSTREAM_TEST(test_a_server_that_is_not_there_is_given_up_after_its_patience),
        UPSTREAM_TEST(test_servers_share_by_their_weights),
        UPSTREAM_TEST(test_a_server_without_weight_gets_nothing_while_the_others_are_well),
        UPSTREAM_TEST(test_when_all_others_are_broken_the_one_without_weight_answers),
        UPSTREAM_TEST(test_what_has_waited_long_enough_spills_over),
        UPSTREAM_TEST(test_a_request_that_one_server_cannot_take_goes_to_the_other),
    };
    struct error e = { 0 };

    return http_client_init(&e) < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
