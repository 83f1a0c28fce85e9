/* Goal: the fake answers what its script says, at the time that it says. Method: requests as users
 * write them, over a fake clock that only sleeping moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "conform/predict/request_make.h"
#include "predict/predictor.h"

struct world {
    struct clock clock;
    struct predictor_env env;
    struct model model;
    struct predictor *p;
    struct arena arena;
};

static int setup(void **state)
{
    struct world *w = mem_alloc(sizeof *w);

    w->clock = clock_fake(1763805600000000);
    w->env = (struct predictor_env){ .clock = &w->clock, .seed = 7 };
    w->model = (struct model){ .pattern = "tranche-fake", .kind = MODEL_FAKE };
    *state = w;
    return 0;
}

static void close_session(struct world *w)
{
    if (w->p)
        w->p->ops->close(w->p);
    w->p = NULL;
}

static int teardown(void **state)
{
    struct world *w = *state;

    close_session(w);
    arena_release(&w->arena);
    mem_free(w);
    return 0;
}

static void open_session(struct world *w)
{
    struct error e = { 0 };

    close_session(w);
    w->p = predictor_fake_open(&w->model, &w->env, &e);
    if (!w->p)
        fail_msg("open: %s", e.msg);
}

static void submit(struct world *w, const struct request *r, const char *tag)
{
    struct error e = { 0 };
    char *any = arena_copy(&w->arena, tag, strlen(tag));

    if (w->p->ops->submit(w->p, r, any, &e) < 0)
        fail_msg("submit: %s", e.msg);
}

/* A request with one user text. */
static const struct request *say(struct world *w, const char *text)
{
    struct buf json = BUF_INIT(65536);

    buf_add_c(&json, "{\"contents\":[{\"parts\":[{\"text\":");
    buf_add_json(&json, str_of(text));
    buf_add_c(&json, "}]}]}");
    const char *line = arena_copy(&w->arena, json.p, json.len);
    buf_release(&json);
    return request_make(&w->arena, line);
}

static int wait_ms(struct world *w, uint32_t timeout_ms, struct answer *out)
{
    struct error e = { 0 };

    return w->p->ops->wait(w->p, timeout_ms, out, &e);
}

/* The code of one attempt of a request. */
static enum error_code attempt(struct world *w, const struct request *r)
{
    struct answer a;

    submit(w, r, "");
    assert_int_equal(wait_ms(w, 1000, &a), 1);
    enum error_code code = a.error.code;
    answer_release(&a);
    return code;
}

/* Outcomes of requests "r0", "r1", ... as letters: '.' an answer, 'x' a failure. */
static void outcomes(struct world *w, unsigned count, char *out)
{
    char text[16];

    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(text, sizeof text, "r%u", i);
        out[i] = attempt(w, say(w, text)) == ERROR_OK ? '.' : 'x';
    }
    out[count] = '\0';
}

static void add_fault(struct world *w, struct fake_fault fault)
{
    w->model.fake.fault[w->model.fake.fault_count++] = fault;
}

/* ---- Answers ---- */

#define TURN(text) "{\"parts\":[{\"text\":\"" text "\"}]}"

static void test_the_answer_is_the_last_user_text_echoed_and_cut(void **state)
{
    struct world *w = *state;
    // clang-format off
    static const struct {
        const char *request, *text, *finish;
        uint32_t prompt, answer;
    } cases[] = {
        { "{\"contents\":[" TURN("Hi there") "]}", "echo: Hi there", "STOP", 2, 3 },
        { "{\"systemInstruction\":" TURN("You are a chef.") ",\"contents\":[" TURN("Hi") "]}",
          "echo: Hi", "STOP", 5, 2 },
        { "{\"contents\":[" TURN("one") ",{\"role\":\"model\",\"parts\":[{\"text\":\"two\"}]},"
          TURN("three") "]}", "echo: three", "STOP", 3, 2 },
        { "{\"contents\":[" TURN("one") ",{\"role\":\"model\",\"parts\":[{\"text\":\"two\"}]}]}",
          "echo: one", "STOP", 2, 2 },
        { "{\"contents\":[{\"parts\":[{\"text\":\"a b\"},{\"text\":\"c\"}]}]}",
          "echo: a bc", "STOP", 3, 3 },
        { "{\"contents\":[" TURN(" a\\n b  ") "]}", "echo:  a\n b  ", "STOP", 2, 3 },
        { "{\"contents\":[" TURN("a b c d") "],\"generationConfig\":{\"maxOutputTokens\":3}}",
          "echo: a b", "MAX_TOKENS", 4, 3 },
        { "{\"contents\":[" TURN("a b c d") "],\"generationConfig\":{\"maxOutputTokens\":5}}",
          "echo: a b c d", "STOP", 4, 5 },
        { "{\"contents\":[" TURN("a b c d") "],\"generationConfig\":{\"stopSequences\":[\"d\",\"b\"]}}",
          "echo: a ", "STOP", 4, 2 },
        { "{\"contents\":[" TURN("a b") "],\"generationConfig\":{\"stopSequences\":[\"echo\"]}}",
          "", "STOP", 2, 0 },
        { "{\"contents\":[" TURN("a b c d") "],\"generationConfig\":{\"stopSequences\":[\"d\"],"
          "\"maxOutputTokens\":2}}", "echo: a", "MAX_TOKENS", 4, 2 },
        { "{\"contents\":[" TURN("a") "],\"generationConfig\":{\"responseMimeType\":\"text/x.enum\","
          "\"responseSchema\":{\"type\":\"STRING\",\"enum\":[\"good\",\"bad\"]}}}", "good", "STOP", 1, 1 },
        { "{\"contents\":[" TURN("a") "],\"generationConfig\":{\"responseMimeType\":"
          "\"application/json\"}}", "echo: a", "STOP", 1, 2 },
    };
    // clang-format on

    open_session(w);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct answer a;
        submit(w, request_make(&w->arena, cases[i].request), "");
        assert_int_equal(wait_ms(w, 0, &a), 1);
        assert_int_equal(a.error.code, ERROR_OK);
        yyjson_doc *doc = yyjson_read(a.response.p, a.response.len, 0);
        yyjson_val *c = yyjson_doc_ptr_get(doc, "/candidates/0");
        yyjson_val *text = yyjson_ptr_get(c, "/content/parts/0/text");
        assert_string_equal(yyjson_get_str(text), cases[i].text);
        assert_string_equal(yyjson_get_str(json_get(c, "finishReason")), cases[i].finish);
        assert_int_equal(a.usage.prompt_tokens, cases[i].prompt);
        assert_int_equal(a.usage.candidate_tokens, cases[i].answer);
        yyjson_doc_free(doc);
        answer_release(&a);
    }
}

static void test_candidates_are_equal_and_each_is_counted(void **state)
{
    struct world *w = *state;
    struct answer a;

    open_session(w);
    submit(w,
           request_make(&w->arena, "{\"contents\":[" TURN(
                                       "a b") "],"
                                              "\"generationConfig\":{\"candidateCount\":3}}"),
           "");
    assert_int_equal(wait_ms(w, 0, &a), 1);
    assert_int_equal(a.usage.candidate_tokens, 9);
    yyjson_doc *doc = yyjson_read(a.response.p, a.response.len, 0);
    yyjson_val *all = yyjson_doc_ptr_get(doc, "/candidates");
    assert_int_equal(yyjson_arr_size(all), 3);
    for (size_t i = 0; i < 3; i++) {
        yyjson_val *c = yyjson_arr_get(all, i);
        assert_int_equal(yyjson_get_uint(json_get(c, "index")), i);
        assert_string_equal(yyjson_get_str(yyjson_ptr_get(c, "/content/parts/0/text")),
                            "echo: a b");
    }
    yyjson_doc_free(doc);
    answer_release(&a);
}

static void test_an_embedding_has_as_many_numbers_as_are_wanted(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *request;
        size_t count;
    } cases[] = {
        { "{\"content\":{\"parts\":{\"text\":\"a b c\"}}}", 8 },
        { "{\"content\":{\"parts\":{\"text\":\"a b c\"}},\"outputDimensionality\":1}", 1 },
        { "{\"content\":{\"parts\":{\"text\":\"a b c\"}},\"outputDimensionality\":65536}", 65536 },
    };

    open_session(w);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct answer a;
        size_t n, max;
        yyjson_val *v;
        submit(w, request_make(&w->arena, cases[i].request), "");
        assert_int_equal(wait_ms(w, 0, &a), 1);
        assert_int_equal(a.usage.prompt_tokens, 3);
        assert_int_equal(a.usage.candidate_tokens, 0);
        yyjson_doc *doc = yyjson_read(a.response.p, a.response.len, 0);
        yyjson_val *values = yyjson_doc_ptr_get(doc, "/embedding/values");
        assert_int_equal(yyjson_arr_size(values), cases[i].count);
        yyjson_arr_foreach(values, n, max, v)
        {
            assert_true(yyjson_get_num(v) >= -1 && yyjson_get_num(v) <= 1);
        }
        yyjson_doc_free(doc);
        answer_release(&a);
    }
}

/* The whole response to one text, owned by the caller. */
static struct buf respond(struct world *w, const char *text)
{
    struct answer a;

    submit(w, say(w, text), "");
    assert_int_equal(wait_ms(w, 0, &a), 1);
    return a.response;
}

static void test_the_same_seed_gives_the_same_bytes(void **state)
{
    struct world *w = *state;

    open_session(w);
    struct buf first = respond(w, "a"), other_text = respond(w, "b");
    open_session(w);
    struct buf again = respond(w, "a");
    w->env.seed++;
    open_session(w);
    struct buf other_seed = respond(w, "a");
    assert_string_equal(first.p, again.p);
    assert_string_not_equal(strstr(first.p, "responseId"), strstr(other_text.p, "responseId"));
    assert_string_not_equal(first.p, other_seed.p);
    buf_release(&first);
    buf_release(&other_text);
    buf_release(&again);
    buf_release(&other_seed);
}

static void test_an_answer_over_its_maximum_is_a_failure(void **state)
{
    struct world *w = *state;
    struct buf json = BUF_INIT((size_t)32 * 1024 * 1024);
    struct answer a;

    buf_add_c(
        &json,
        "{\"generationConfig\":{\"candidateCount\":8},\"contents\":[{\"parts\":[{\"text\":\"");
    for (unsigned i = 0; i < 1500000; i++) /* each six bytes in the answer, too, eight times */
        buf_add_c(&json, "\\u0001");
    buf_add_c(&json, "\"}]}]}");
    open_session(w);
    submit(w, request_make(&w->arena, json.p), "");
    assert_int_equal(wait_ms(w, 0, &a), 1);
    assert_int_equal(a.error.code, ERROR_OUT_OF_RANGE);
    assert_int_equal(a.usage.candidate_tokens, 0);
    answer_release(&a);
    buf_release(&json);
}

/* ---- Time ---- */

static void test_an_answer_comes_after_its_delay_and_not_before(void **state)
{
    struct world *w = *state;
    struct answer a;

    w->model.fake.delay_ms = 48 * 3600 * 1000; /* two days pass at once */
    open_session(w);
    uint64_t start = w->clock.fake_ns;
    submit(w, say(w, "a"), "");
    assert_int_equal(wait_ms(w, 48 * 3600 * 1000 - 1, &a), 0);
    assert_int_equal(wait_ms(w, 1000, &a), 1);
    assert_int_equal(w->clock.fake_ns - start, 48 * 3600 * NS_PER_S);
    answer_release(&a);
}

static void test_longer_answers_take_longer_and_ties_keep_their_order(void **state)
{
    struct world *w = *state;
    static const char *const texts[] = { "a b c", "a", "a b", "b", "c", "d" };
    static const char *const order[] = { "a", "b", "c", "d", "a b", "a b c" };

    w->model.fake.delay_token_us = 10;
    open_session(w);
    for (size_t i = 0; i < 6; i++)
        submit(w, say(w, texts[i]), texts[i]);
    for (size_t i = 0; i < 6; i++) {
        struct answer a;
        assert_int_equal(wait_ms(w, 1000, &a), 1);
        assert_string_equal(a.tag, order[i]);
        answer_release(&a);
    }
}

static void test_jitter_stays_in_its_bounds_and_comes_from_the_seed(void **state)
{
    struct world *w = *state;
    uint64_t waited[2][50], distinct = 0;

    w->model.fake.delay_ms = 100;
    w->model.fake.jitter_ms = 50;
    for (unsigned run = 0; run < 2; run++) {
        open_session(w);
        for (unsigned i = 0; i < 50; i++) {
            char text[16];
            (void)snprintf(text, sizeof text, "r%u", i);
            uint64_t start = w->clock.fake_ns;
            (void)attempt(w, say(w, text));
            waited[run][i] = w->clock.fake_ns - start;
            assert_in_range(waited[run][i], 100 * NS_PER_MS, 150 * NS_PER_MS);
            distinct += i && waited[run][i] != waited[run][i - 1];
        }
    }
    assert_memory_equal(waited[0], waited[1], sizeof waited[0]);
    assert_true(distinct > 90);
}

/* ---- Faults ---- */

static void test_a_fault_hits_each_nth_matching_request(void **state)
{
    struct world *w = *state;
    static const struct {
        struct fake_fault fault;
        const char *outcomes; /* of r0 to r11 */
    } cases[] = {
        { { .every = 0 }, "xxxxxxxxxxxx" },
        { { .every = 1 }, "xxxxxxxxxxxx" },
        { { .every = 4 }, "...x...x...x" },
        { { .match = "r1" }, ".x........xx" },
        { { .match = "r1", .every = 2 }, "..........x." },
        { { .match = "none" }, "............" },
        { { .match = "" }, "xxxxxxxxxxxx" },
    };
    char got[13];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        w->model.fake.fault_count = 0;
        add_fault(w, cases[i].fault);
        open_session(w);
        outcomes(w, 12, got);
        assert_string_equal(got, cases[i].outcomes);
    }
}

static void test_a_request_fails_as_many_times_as_the_script_says(void **state)
{
    struct world *w = *state;

    add_fault(w, (struct fake_fault){ .match = "twice", .times = 2, .every = 1 });
    open_session(w);
    const struct request *twice = say(w, "twice"), *other = say(w, "twice again");
    assert_int_equal(attempt(w, twice), ERROR_UNAVAILABLE);
    assert_int_equal(attempt(w, other), ERROR_UNAVAILABLE);
    assert_int_equal(attempt(w, twice), ERROR_UNAVAILABLE);
    assert_int_equal(attempt(w, twice), ERROR_OK);
    assert_int_equal(attempt(w, other), ERROR_UNAVAILABLE);
    assert_int_equal(attempt(w, other), ERROR_OK);
}

static void test_a_rate_is_met_by_the_seed_alone(void **state)
{
    struct world *w = *state;
    static char first[1001], again[1001];
    unsigned failed = 0;

    add_fault(w, (struct fake_fault){ .rate = 0.25 });
    open_session(w);
    outcomes(w, 1000, first);
    open_session(w);
    outcomes(w, 1000, again);
    assert_string_equal(first, again);
    for (unsigned i = 0; i < 1000; i++)
        failed += first[i] == 'x';
    assert_in_range(failed, 200, 300);
    w->env.seed++;
    open_session(w);
    outcomes(w, 1000, again);
    assert_string_not_equal(first, again);
}

static void test_a_rate_is_drawn_anew_for_each_attempt(void **state)
{
    struct world *w = *state;
    unsigned failed = 0;

    add_fault(w, (struct fake_fault){ .rate = 0.5 });
    open_session(w);
    const struct request *r = say(w, "a");
    for (unsigned i = 0; i < 100; i++)
        failed += attempt(w, r) != ERROR_OK;
    assert_in_range(failed, 25, 75);
}

static void test_the_first_fault_that_holds_is_met_with_all_it_says(void **state)
{
    struct world *w = *state;
    struct answer a;

    add_fault(w, (struct fake_fault){ .match = "x",
                                      .times = 1,
                                      .code = ERROR_RESOURCE_EXHAUSTED,
                                      .message = "slow down",
                                      .retry_after_ms = 1234 });
    add_fault(w, (struct fake_fault){ .code = ERROR_INTERNAL });
    open_session(w);
    submit(w, say(w, "x"), "tag");
    assert_int_equal(wait_ms(w, 0, &a), 1);
    assert_int_equal(a.error.code, ERROR_RESOURCE_EXHAUSTED);
    assert_string_equal(a.error.msg, "slow down");
    assert_string_equal(a.tag, "tag");
    assert_int_equal(a.retry_after_ms, 1234);
    assert_int_equal(a.response.len, 0);
    answer_release(&a);
    assert_int_equal(attempt(w, say(w, "x")), ERROR_INTERNAL);
}

static void test_more_requests_than_are_remembered_still_fail_by_the_script(void **state)
{
    struct world *w = *state;
    unsigned failed = 0;

    add_fault(w, (struct fake_fault){ .times = 1 });
    open_session(w);
    for (unsigned i = 0; i < 70000; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "r%u", i);
        failed += attempt(w, say(w, text)) != ERROR_OK;
        arena_reset(&w->arena);
    }
    assert_int_equal(failed, 70000);
}

/* ---- Ends ---- */

static void test_what_hangs_is_answered_cancelled_when_drained_and_the_rest_goes_on(void **state)
{
    struct world *w = *state;
    struct answer a;

    w->model.fake.delay_ms = 100;
    add_fault(w, (struct fake_fault){ .match = "hang", .hang = true });
    open_session(w);
    submit(w, say(w, "a"), "a");
    submit(w, say(w, "hang"), "hang");
    submit(w, say(w, "b"), "b");
    w->p->ops->drain(w->p);
    assert_int_equal(wait_ms(w, 0, &a), 1);
    assert_string_equal(a.tag, "hang");
    assert_int_equal(a.error.code, ERROR_CANCELLED);
    answer_release(&a);
    assert_int_equal(wait_ms(w, 99, &a), 0);
    for (const char *tag = "ab"; *tag; tag++) {
        assert_int_equal(wait_ms(w, 1, &a), 1);
        assert_int_equal(*(char *)a.tag, *tag);
        assert_int_equal(a.error.code, ERROR_OK);
        answer_release(&a);
    }
}

static void test_a_cancelled_request_is_answered_at_once_and_the_rest_as_ever(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct answer a;

    w->model.fake.delay_ms = 100;
    add_fault(w, (struct fake_fault){ .match = "hang", .hang = true });
    open_session(w);
    char tag[3];
    assert_int_equal(w->p->ops->submit(w->p, say(w, "a"), &tag[0], &e), 0);
    assert_int_equal(w->p->ops->submit(w->p, say(w, "b"), &tag[1], &e), 0);
    assert_int_equal(w->p->ops->submit(w->p, say(w, "hang"), &tag[2], &e), 0);
    w->p->ops->cancel(w->p, &tag[2]);
    w->p->ops->cancel(w->p, &tag[0]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(wait_ms(w, 0, &a), 1);
        assert_int_equal(a.error.code, ERROR_CANCELLED);
        assert_ptr_not_equal(a.tag, &tag[1]);
        answer_release(&a);
    }
    assert_int_equal(wait_ms(w, 99, &a), 0);
    assert_int_equal(wait_ms(w, 1, &a), 1);
    assert_ptr_equal(a.tag, &tag[1]);
    assert_int_equal(a.error.code, ERROR_OK);
    answer_release(&a);
}

static void test_what_hangs_is_never_answered_otherwise(void **state)
{
    struct world *w = *state;
    struct answer a;

    add_fault(w, (struct fake_fault){ .hang = true });
    open_session(w);
    submit(w, say(w, "a"), "");
    assert_int_equal(wait_ms(w, UINT32_MAX, &a), 0);
}

static void test_a_drained_session_begins_nothing_more(void **state)
{
    struct world *w = *state;

    w->model.fake.delay_ms = 5000; /* more than attempt waits */
    open_session(w);
    w->p->ops->drain(w->p);
    assert_int_equal(attempt(w, say(w, "a")), ERROR_CANCELLED);
}

static void test_the_window_has_a_default_and_a_maximum(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };

    open_session(w);
    assert_int_equal(w->p->window, 1024);
    w->model.fake.window = 65536;
    open_session(w);
    assert_int_equal(w->p->window, 65536);
    w->model.fake.window++;
    assert_null(predictor_fake_open(&w->model, &w->env, &e));
    assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_answer_is_the_last_user_text_echoed_and_cut),
        TEST(test_an_embedding_has_as_many_numbers_as_are_wanted),
        TEST(test_candidates_are_equal_and_each_is_counted),
        TEST(test_the_same_seed_gives_the_same_bytes),
        TEST(test_an_answer_over_its_maximum_is_a_failure),
        TEST(test_an_answer_comes_after_its_delay_and_not_before),
        TEST(test_longer_answers_take_longer_and_ties_keep_their_order),
        TEST(test_jitter_stays_in_its_bounds_and_comes_from_the_seed),
        TEST(test_a_fault_hits_each_nth_matching_request),
        TEST(test_a_request_fails_as_many_times_as_the_script_says),
        TEST(test_a_rate_is_met_by_the_seed_alone),
        TEST(test_a_rate_is_drawn_anew_for_each_attempt),
        TEST(test_the_first_fault_that_holds_is_met_with_all_it_says),
        TEST(test_more_requests_than_are_remembered_still_fail_by_the_script),
        TEST(test_what_hangs_is_answered_cancelled_when_drained_and_the_rest_goes_on),
        TEST(test_a_cancelled_request_is_answered_at_once_and_the_rest_as_ever),
        TEST(test_what_hangs_is_never_answered_otherwise),
        TEST(test_a_drained_session_begins_nothing_more),
        TEST(test_the_window_has_a_default_and_a_maximum),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
