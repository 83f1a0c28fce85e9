/* predictor_suite.h -- what every kind of predictor must do, whoever computes the answers.
 *
 * Why: the engine knows the interface only; what it relies on is tested here once, and run by a
 * test_predictor_KIND_conform.c for each kind.
 *
 * Shape:   the program defines `const struct predictor_suite suite`, and runs PREDICTOR_SUITE_TESTS.
 * Threads: one. Include after cmocka.h.
 */
#ifndef TRANCHE_TESTS_PREDICTOR_SUITE_H
#define TRANCHE_TESTS_PREDICTOR_SUITE_H

#include "base/json.h"
#include "conform/predict/request_make.h"
#include "predict/predictor.h"

#define SUITE_REQUESTS_MAX 64
#define SUITE_ANSWER_MS 60000 /* an answer that takes longer does not come */

struct predictor_suite {
    predictor_open_fn open;
    const struct model *model;
    const struct predictor_env *(*env)(void);
    const char *const *line; /* good requests, line_count of them, at least two */
    size_t line_count;
    const char *bad_line; /* a valid request that this model fails; NULL when there is none */
};
extern const struct predictor_suite suite;

/* One session with the suite's requests. The tag of request i is &tag[i]. */
struct suite_session {
    struct predictor *p;
    struct arena arena;
    const struct request *request[SUITE_REQUESTS_MAX];
    char tag[SUITE_REQUESTS_MAX];
    unsigned answers[SUITE_REQUESTS_MAX]; /* taken for each */
};

static int suite_open(void **state)
{
    struct suite_session *s = mem_alloc(sizeof *s);
    struct error e = { 0 };

    s->p = suite.open(suite.model, suite.env(), &e);
    if (!s->p)
        fail_msg("open: %s", e.msg);
    for (size_t i = 0; i < suite.line_count; i++)
        s->request[i] = request_make(&s->arena, suite.line[i]);
    *state = s;
    return 0;
}

static int suite_close(void **state)
{
    struct suite_session *s = *state;

    s->p->ops->close(s->p);
    arena_release(&s->arena);
    mem_free(s);
    return 0;
}

static void suite_submit(struct suite_session *s, size_t i)
{
    struct error e = { 0 };

    if (s->p->ops->submit(s->p, s->request[i % suite.line_count], &s->tag[i], &e) < 0)
        fail_msg("submit: %s", e.msg);
}

/* Takes one answer and counts it for its request. */
static struct answer suite_take(struct suite_session *s)
{
    struct answer a = { 0 };
    struct error e = { 0 };
    int rc = s->p->ops->wait(s->p, SUITE_ANSWER_MS, &a, &e);

    if (rc != 1)
        fail_msg("no answer came: %s", rc < 0 ? e.msg : "time is over");
    ptrdiff_t i = (char *)a.tag - s->tag;
    assert_in_range(i, 0, SUITE_REQUESTS_MAX - 1);
    s->answers[i]++;
    return a;
}

static uint64_t suite_count(yyjson_val *usage, const char *name)
{
    return yyjson_get_uint(json_get(usage, name));
}

/* An answer is a response with a text and counters that balance, or an error with a reason. */
static void assert_answer(const struct answer *a)
{
    if (a->error.code != ERROR_OK) {
        assert_true(a->error.msg[0]);
        assert_int_equal(a->response.len, 0);
        return;
    }
    yyjson_doc *doc = yyjson_read(a->response.p, a->response.len, 0);
    assert_non_null(doc);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *text = yyjson_ptr_get(root, "/candidates/0/content/parts/0/text");
    yyjson_val *usage = json_get(root, "usageMetadata");
    assert_true(yyjson_is_str(text));
    assert_true(yyjson_is_str(yyjson_ptr_get(root, "/candidates/0/finishReason")));
    assert_true(yyjson_is_str(json_get(root, "responseId")));
    assert_true(yyjson_is_str(json_get(root, "modelVersion")));
    assert_int_equal(suite_count(usage, "promptTokenCount"), a->usage.prompt_tokens);
    assert_int_equal(suite_count(usage, "candidatesTokenCount"), a->usage.candidate_tokens);
    assert_int_equal(suite_count(usage, "thoughtsTokenCount"), a->usage.thought_tokens);
    assert_int_equal(suite_count(usage, "cachedContentTokenCount"), a->usage.cached_tokens);
    assert_int_equal(suite_count(usage, "totalTokenCount"), (uint64_t)a->usage.prompt_tokens +
                                                                a->usage.candidate_tokens +
                                                                a->usage.thought_tokens);
    assert_true(a->usage.prompt_tokens > 0);
    assert_true(a->usage.cached_tokens <= a->usage.prompt_tokens);
    yyjson_doc_free(doc);
}

static void test_each_request_gives_exactly_one_answer_with_its_tag(void **state)
{
    struct suite_session *s = *state;
    size_t count = suite.line_count < s->p->window ? suite.line_count : s->p->window;
    struct answer none = { 0 };
    struct error e = { 0 };

    for (size_t i = 0; i < count; i++)
        suite_submit(s, i);
    for (size_t i = 0; i < count; i++) {
        struct answer a = suite_take(s);
        assert_int_equal(a.error.code, ERROR_OK);
        assert_answer(&a);
        answer_release(&a);
    }
    for (size_t i = 0; i < count; i++)
        assert_int_equal(s->answers[i], 1);
    assert_int_equal(s->p->ops->wait(s->p, 0, &none, &e), 0);
}

static void test_a_full_session_refuses_until_an_answer_is_taken(void **state)
{
    struct suite_session *s = *state;
    struct error e = { 0 };

    for (uint32_t i = 0; i < s->p->window; i++)
        suite_submit(s, i % SUITE_REQUESTS_MAX);
    assert_int_equal(s->p->ops->submit(s->p, s->request[0], &s->tag[0], &e), -1);
    assert_int_equal(e.code, ERROR_RESOURCE_EXHAUSTED);
    struct answer a = suite_take(s);
    answer_release(&a);
    suite_submit(s, 0);
    for (uint32_t i = 0; i < s->p->window; i++) {
        a = suite_take(s);
        assert_int_equal(a.error.code, ERROR_OK);
        answer_release(&a);
    }
}

static void test_waiting_with_nothing_open_ends_without_an_answer(void **state)
{
    struct suite_session *s = *state;
    struct answer a = { 0 };
    struct error e = { 0 };

    assert_int_equal(s->p->ops->wait(s->p, 0, &a, &e), 0);
    assert_int_equal(s->p->ops->wait(s->p, 5, &a, &e), 0);
}

static void test_closing_with_open_requests_leaves_nothing(void **state)
{
    struct suite_session *s = *state;

    suite_submit(s, 0);
    suite_submit(s, 1); /* the teardown closes; the sanitizer tells what was left */
}

static void test_a_drained_session_answers_all_that_was_submitted(void **state)
{
    struct suite_session *s = *state;
    size_t count = suite.line_count < s->p->window ? suite.line_count : s->p->window;

    for (size_t i = 0; i < count; i++)
        suite_submit(s, i);
    s->p->ops->drain(s->p);
    for (size_t i = 0; i < count; i++) {
        struct answer a = suite_take(s);
        assert_true(a.error.code == ERROR_OK || a.error.code == ERROR_CANCELLED);
        assert_answer(&a);
        answer_release(&a);
    }
    for (size_t i = 0; i < count; i++)
        assert_int_equal(s->answers[i], 1);
}

static void test_a_failed_request_is_an_answer_and_the_session_goes_on(void **state)
{
    struct suite_session *s = *state;
    struct error e = { 0 };

    if (!suite.bad_line)
        skip();
    const struct request *bad = request_make(&s->arena, suite.bad_line);
    assert_int_equal(s->p->ops->submit(s->p, bad, &s->tag[0], &e), 0);
    struct answer a = suite_take(s);
    assert_int_not_equal(a.error.code, ERROR_OK);
    assert_answer(&a);
    answer_release(&a);
    suite_submit(s, 1);
    a = suite_take(s);
    assert_int_equal(a.error.code, ERROR_OK);
    answer_release(&a);
}

/* A request that is cancelled is answered once all the same, and the others are answered as ever. */
static void test_a_cancelled_request_is_answered_and_no_other_changes(void **state)
{
    struct suite_session *s = *state;

    if (!s->p->ops->cancel)
        skip();
    suite_submit(s, 0);
    suite_submit(s, 1);
    s->p->ops->cancel(s->p, &s->tag[0]);
    for (size_t i = 0; i < 2; i++) {
        struct answer a = suite_take(s);
        assert_true(a.error.code == ERROR_OK ||
                    (a.tag == &s->tag[0] && a.error.code == ERROR_CANCELLED));
        assert_answer(&a);
        answer_release(&a);
    }
    assert_int_equal(s->answers[0], 1);
    s->p->ops->cancel(s->p, &s->tag[0]); /* it is not open any more */
    suite_submit(s, 0);
    struct answer again = suite_take(s);
    assert_int_equal(again.error.code, ERROR_OK);
    answer_release(&again);
}

static void assert_not_less(const struct predictor_stats *before, const struct predictor_stats *now)
{
    assert_true(now->prompt_tokens >= before->prompt_tokens);
    assert_true(now->reused_tokens >= before->reused_tokens);
    assert_true(now->computed_tokens >= before->computed_tokens);
    assert_true(now->generated_tokens >= before->generated_tokens);
    assert_true(now->forced_tokens >= before->forced_tokens);
    assert_true(now->forced_tokens <= now->generated_tokens);
    assert_true(now->sequences <= now->sequences_max);
}

static void test_totals_of_the_statistics_never_go_down(void **state)
{
    struct suite_session *s = *state;
    struct predictor_stats before = { 0 }, now;

    for (size_t i = 0; i < suite.line_count; i++) {
        suite_submit(s, i);
        struct answer a = suite_take(s);
        answer_release(&a);
        s->p->ops->stats(s->p, &now);
        assert_not_less(&before, &now);
        before = now;
    }
    assert_true(before.prompt_tokens > 0);
    assert_true(before.generated_tokens > 0);
}

static void test_counted_prompt_tokens_are_those_that_are_used(void **state)
{
    struct suite_session *s = *state;
    struct error e = { 0 };
    uint32_t tokens = 0;

    if (!s->p->ops->count_tokens)
        skip();
    assert_int_equal(s->p->ops->count_tokens(s->p, s->request[0], &tokens, &e), 0);
    suite_submit(s, 0);
    struct answer a = suite_take(s);
    assert_int_equal(tokens, a.usage.prompt_tokens);
    answer_release(&a);
}

#define PREDICTOR_SUITE_TEST(name) cmocka_unit_test_setup_teardown(name, suite_open, suite_close)
#define PREDICTOR_SUITE_TESTS                                                                      \
    PREDICTOR_SUITE_TEST(test_each_request_gives_exactly_one_answer_with_its_tag),                 \
        PREDICTOR_SUITE_TEST(test_a_full_session_refuses_until_an_answer_is_taken),                \
        PREDICTOR_SUITE_TEST(test_waiting_with_nothing_open_ends_without_an_answer),               \
        PREDICTOR_SUITE_TEST(test_closing_with_open_requests_leaves_nothing),                      \
        PREDICTOR_SUITE_TEST(test_a_drained_session_answers_all_that_was_submitted),               \
        PREDICTOR_SUITE_TEST(test_a_failed_request_is_an_answer_and_the_session_goes_on),          \
        PREDICTOR_SUITE_TEST(test_a_cancelled_request_is_answered_and_no_other_changes),           \
        PREDICTOR_SUITE_TEST(test_totals_of_the_statistics_never_go_down),                         \
        PREDICTOR_SUITE_TEST(test_counted_prompt_tokens_are_those_that_are_used)

#endif
