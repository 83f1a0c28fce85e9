/* Goal: what an upstream session makes of servers that refuse, fail, vanish, or are several.
 * Method: servers in this process (upstream_stub.h), real sockets, the system's clock; nothing is
 * decided by how long something took. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conform/predict/request_make.h"
#include "unit/predict/upstream_stub.h"

#define ANSWER_MS 20000
#define SERVERS_MAX 3

struct world {
    struct stub stub[SERVERS_MAX];
    uint32_t stubs;
    struct model model;
    struct upstream_sites *sites;
    struct predictor *p;
    struct arena arena;
};

static struct world *w;

static int set_up(void **state)
{
    (void)state;
    w = mem_alloc(sizeof *w);
    w->sites = upstream_sites_new(clock_system());
    w->model = (struct model){ .pattern = "far", .kind = MODEL_UPSTREAM };
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < w->stubs; i++)
        stub_let_go(&w->stub[i]);
    if (w->p)
        w->p->ops->close(w->p);
    upstream_sites_free(w->sites);
    for (uint32_t i = 0; i < w->stubs; i++)
        stub_end(&w->stub[i]);
    arena_release(&w->arena);
    mem_free(w);
    return 0;
}

static struct stub *add_server(const char *name, enum upstream_wire wire, double weight)
{
    struct stub *s = &w->stub[w->stubs++];

    stub_start(s, name, wire);
    w->model.upstream[w->model.upstream_count++] =
        (struct model_upstream){ .upstream = &s->upstream, .model = "far", .weight = weight };
    return s;
}

static void open_session(void)
{
    const struct predictor_env env = { .clock = clock_system(), .seed = 1, .sites = w->sites };
    struct error e = { 0 };

    w->p = predictor_upstream_open(&w->model, &env, &e);
    if (!w->p)
        fail_msg("open: %s", e.msg);
}

static const struct request *ask(const char *text)
{
    struct buf json = BUF_INIT(4096);

    buf_add_c(&json, "{\"contents\":[{\"parts\":[{\"text\":");
    buf_add_json(&json, str_of(text));
    buf_add_c(&json, "}]}]}");
    char *line = arena_copy(&w->arena, json.p, json.len);
    buf_release(&json);
    return request_make(&w->arena, line);
}

static void submit(const struct request *r, void *tag)
{
    struct error e = { 0 };

    if (w->p->ops->submit(w->p, r, tag, &e) < 0)
        fail_msg("submit: %s", e.msg);
}

static struct answer take(void)
{
    struct answer a = { 0 };
    struct error e = { 0 };

    if (w->p->ops->wait(w->p, ANSWER_MS, &a, &e) != 1)
        fail_msg("no answer came");
    return a;
}

static struct answer ask_one(const char *text)
{
    submit(ask(text), NULL);
    return take();
}

static void assert_text(const struct answer *a, const char *wanted)
{
    if (a->error.code != ERROR_OK)
        fail_msg("%s", a->error.msg);
    if (!strstr(a->response.p, wanted))
        fail_msg("%s is not in %s", wanted, a->response.p);
}

static void site_of(uint32_t i, struct site_stats *out)
{
    assert_true(upstream_sites_at(w->sites, i, out));
}

/* ---- Replies ---- */

static void refuse_with(struct stub_reply *out, int status, const char *message)
{
    out->status = status;
    buf_addf(&out->body, "{\"error\":{\"message\":\"%s\"}}", message);
}

static void reply_429(struct stub *s, struct str body, struct stub_reply *out)
{
    (void)s;
    (void)body;
    refuse_with(out, 429, "slow down");
    out->retry_after = "2";
}

static void reply_500(struct stub *s, struct str body, struct stub_reply *out)
{
    (void)s;
    (void)body;
    refuse_with(out, 500, "it broke");
}

static void reply_401(struct stub *s, struct str body, struct stub_reply *out)
{
    (void)s;
    (void)body;
    refuse_with(out, 401, "no such key");
}

static void reply_held(struct stub *s, struct str body, struct stub_reply *out)
{
    stub_echo(s, body, out);
    out->held = true;
}

static void reply_nonsense(struct stub *s, struct str body, struct stub_reply *out)
{
    (void)s;
    (void)body;
    buf_add_c(&out->body, "<html>gateway</html>");
}

/* Fails so often as `failures` says, then answers. */
static void reply_recovers(struct stub *s, struct str body, struct stub_reply *out)
{
    if (atomic_load(&s->failures) == 0) {
        stub_echo(s, body, out);
        return;
    }
    atomic_fetch_sub(&s->failures, 1);
    refuse_with(out, 500, "not yet");
}

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

/* ---- Refusals ---- */

static void test_a_wish_to_wait_pauses_the_server_and_reaches_the_answer(void **state)
{
    struct site_stats st;

    (void)state;
    add_server("s", WIRE_OPENAI, 1)->reply = reply_429;
    open_session();
    struct answer a = ask_one("x");
    assert_int_equal(a.error.code, ERROR_RESOURCE_EXHAUSTED);
    assert_int_equal(a.retry_after_ms, 2000);
    assert_non_null(strstr(a.error.msg, "slow down"));
    site_of(0, &st);
    assert_true(st.paused_ms > 0 && st.paused_ms <= 2000);
    assert_int_equal(st.ends[SITE_OVERLOAD], 1);
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

static void test_a_reply_that_is_nonsense_can_be_tried_again_and_says_what_it_is(void **state)
{
    (void)state;
    add_server("s", WIRE_OPENAI, 1)->reply = reply_nonsense;
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
    assert_non_null(strstr(a.error.msg, "came before"));
}

/* ---- Health ---- */

static void test_a_server_that_only_fails_is_left_alone_and_found_again(void **state)
{
    struct site_stats st;

    (void)state;
    struct stub *s = add_server("s", WIRE_OPENAI, 1);
    s->reply = reply_recovers;
    atomic_store(&s->failures, BREAKER_FAILURES + 1);
    open_session();
    for (uint32_t i = 0; i < BREAKER_FAILURES; i++) {
        struct answer a = ask_one("x");
        assert_int_equal(a.error.code, ERROR_INTERNAL);
    }
    site_of(0, &st);
    assert_int_equal(st.breaker, BREAKER_OPEN);
    struct answer a = ask_one("x"); /* the probe, which fails */
    assert_int_equal(a.error.code, ERROR_INTERNAL);
    a = ask_one("back"); /* the next one, which does not */
    assert_text(&a, "back");
    answer_release(&a);
    site_of(0, &st);
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

/* ---- Limits and ends ---- */

static void test_no_more_are_open_at_once_than_the_concurrency(void **state)
{
    char tags[64];

    (void)state;
    struct stub *s = add_server("s", WIRE_OPENAI, 1);
    s->upstream.concurrency = s->upstream.concurrency_max = 3;
    open_session();
    for (int i = 0; i < 19; i++)
        submit(ask("x"), &tags[i]);
    for (int i = 0; i < 19; i++) {
        struct answer a = take();
        answer_release(&a);
    }
    assert_in_range(atomic_load(&s->most_open), 1, 3);
}

static void test_a_limit_a_minute_lets_its_burst_through_and_no_more(void **state)
{
    char tags[8];
    struct answer a = { 0 };
    struct error e = { 0 };
    struct predictor_stats st;

    (void)state;
    struct stub *s = add_server("s", WIRE_OPENAI, 1);
    s->upstream.max_rpm = 1;
    open_session();
    for (int i = 0; i < 3; i++)
        submit(ask("x"), &tags[i]);
    a = take();
    answer_release(&a);
    assert_int_equal(w->p->ops->wait(w->p, 50, &a, &e), 0);
    assert_int_equal(atomic_load(&s->requests), 1);
    w->p->ops->stats(w->p, &st);
    assert_non_null(strstr(st.note, "limit a minute"));
}

static void test_two_sessions_of_one_server_share_its_limits(void **state)
{
    char tags[8];
    struct answer a;
    struct error e = { 0 };
    const struct predictor_env env = { .clock = clock_system(), .seed = 2, .sites = w->sites };

    (void)state;
    struct stub *s = add_server("s", WIRE_OPENAI, 1);
    s->upstream.max_rpm = 1;
    open_session();
    struct predictor *other = predictor_upstream_open(&w->model, &env, &e);
    assert_non_null(other);
    submit(ask("x"), &tags[0]);
    a = take();
    answer_release(&a);
    assert_int_equal(other->ops->submit(other, ask("y"), &tags[1], &e), 0);
    assert_int_equal(other->ops->wait(other, 50, &a, &e), 0);
    assert_int_equal(atomic_load(&s->requests), 1);
    other->ops->close(other);
}

/* Takes what there is and asks again for each; gives how many. */
static uint32_t turn_over(struct predictor *p, uint32_t wait_ms)
{
    static char tag;
    struct answer a = { 0 };
    struct error e = { 0 };
    uint32_t count = 0;

    while (p->ops->wait(p, count ? 0 : wait_ms, &a, &e) == 1) {
        answer_release(&a);
        assert_int_equal(p->ops->submit(p, ask("x"), &tag, &e), 0);
        count++;
    }
    return count;
}

/* Both always have more to send than there are places. */
static void test_two_sessions_of_one_server_share_its_places(void **state)
{
    char tag;
    struct error e = { 0 };
    const struct predictor_env env = { .clock = clock_system(), .seed = 2, .sites = w->sites };
    uint32_t mine = 0, others = 0;

    (void)state;
    struct stub *s = add_server("s", WIRE_OPENAI, 1);
    s->upstream.concurrency = s->upstream.concurrency_max = 2;
    open_session();
    struct predictor *other = predictor_upstream_open(&w->model, &env, &e);
    assert_non_null(other);
    for (int i = 0; i < 12; i++)
        submit(ask("x"), &tag);
    for (int i = 0; i < 12; i++)
        assert_int_equal(other->ops->submit(other, ask("y"), &tag, &e), 0);
    while (mine + others < 600) {
        mine += turn_over(w->p, 1);
        others += turn_over(other, 1);
    }
    assert_in_range(others, 180, 420);
    other->ops->close(other);
}

static void test_a_cancelled_request_is_answered_though_its_server_is_not_done(void **state)
{
    char waiting, open;

    (void)state;
    struct stub *s = add_server("s", WIRE_OPENAI, 1);
    s->upstream.concurrency = s->upstream.concurrency_max = 1;
    s->reply = reply_held;
    open_session();
    submit(ask("x"), &open);
    submit(ask("y"), &waiting);
    w->p->ops->cancel(w->p, &waiting);
    struct answer a = take();
    assert_ptr_equal(a.tag, &waiting);
    assert_int_equal(a.error.code, ERROR_CANCELLED);
    while (atomic_load(&s->requests) == 0)
        clock_system()->sleep_ns(clock_system(), NS_PER_MS);
    w->p->ops->cancel(w->p, &open);
    a = take();
    assert_ptr_equal(a.tag, &open);
    assert_int_equal(a.error.code, ERROR_CANCELLED);
}

static void test_a_drained_session_cancels_what_was_not_sent(void **state)
{
    char open, waiting;

    (void)state;
    struct stub *s = add_server("s", WIRE_OPENAI, 1);
    s->upstream.concurrency = s->upstream.concurrency_max = 1;
    s->reply = reply_held;
    open_session();
    submit(ask("x"), &open);
    while (atomic_load(&s->requests) == 0)
        clock_system()->sleep_ns(clock_system(), NS_PER_MS);
    submit(ask("y"), &waiting);
    w->p->ops->drain(w->p);
    struct answer a = take();
    assert_ptr_equal(a.tag, &waiting);
    assert_int_equal(a.error.code, ERROR_CANCELLED);
    stub_let_go(s);
    a = take();
    assert_ptr_equal(a.tag, &open);
    assert_text(&a, "echo: x");
    answer_release(&a);
}

/* ---- Files ---- */

static int give_file(void *arg, struct str uri, size_t bytes_max, struct buf *out, struct error *e)
{
    (void)arg;
    (void)bytes_max;
    if (!str_eq_c(uri, "gs://b/cat.png"))
        return error_set(e, ERROR_NOT_FOUND, "no such object");
    buf_add_c(out, "PNG");
    return 0;
}

static void reply_body(struct stub *s, struct str body, struct stub_reply *out)
{
    bool has = str_find(body, STR("UE5H")) != SIZE_MAX; /* "PNG" in base64 */

    stub_answer(s, has ? STR("has it") : STR("has it not"), &out->body);
}

static const struct request *ask_file(const char *uri, const struct file_source *from)
{
    struct buf json = BUF_INIT(4096);

    buf_addf(&json,
             "{\"contents\":[{\"parts\":[{\"text\":\"x\"},{\"fileData\":{\"fileUri\":\"%s\","
             "\"mimeType\":\"image/png\"}}]}]}",
             uri);
    char *line = arena_copy(&w->arena, json.p, json.len);
    buf_release(&json);
    struct line_rules rules = { 0 };
    struct input_line in = { 0 };
    struct violations bad = { 0 };
    assert_true(request_read_line(&w->arena, str_of(line), &rules, &in, &bad));
    in.request->files = from;
    return in.request;
}

static void test_files_of_the_object_store_are_sent_along_in_both_dialects(void **state)
{
    static const struct file_source from = { give_file, NULL };

    (void)state;
    for (int wire = WIRE_OPENAI; wire <= WIRE_GEMINI; wire++) {
        w->model.upstream_count = 0;
        add_server("s", (enum upstream_wire)wire, 1)->reply = reply_body;
        open_session();
        submit(ask_file("gs://b/cat.png", &from), NULL);
        struct answer a = take();
        assert_text(&a, "echo: has it\"");
        answer_release(&a);
        submit(ask_file("gs://b/dog.png", &from), NULL);
        a = take();
        assert_int_equal(a.error.code, ERROR_NOT_FOUND);
        w->p->ops->close(w->p);
        w->p = NULL;
    }
}

static void test_files_that_nobody_can_read_are_refused_at_validation(void **state)
{
    struct violation why;

    (void)state;
    (void)add_server("s", WIRE_OPENAI, 1);
    open_session();
    assert_false(w->p->ops->accepts(w->p, ask_file("gs://b/cat.png", NULL), &why));
    assert_string_equal(why.path, "contents[0].parts[1].fileData.fileUri");
    assert_true(why.remedy[0]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_both_dialects_answer_with_usage_and_the_version_that_answered),
        TEST(test_a_key_goes_into_the_dialects_own_header),
        TEST(test_answers_of_several_servers_say_which_one_answered),
        TEST(test_each_server_bills_its_own_price),
        TEST(test_a_wish_to_wait_pauses_the_server_and_reaches_the_answer),
        TEST(test_a_refused_key_is_not_worth_another_try),
        TEST(test_a_reply_that_is_nonsense_can_be_tried_again_and_says_what_it_is),
        TEST(test_a_reply_that_came_before_is_not_another_requests_answer),
        TEST(test_a_server_that_only_fails_is_left_alone_and_found_again),
        TEST(test_a_server_that_is_not_there_is_given_up_after_its_patience),
        TEST(test_servers_share_by_their_weights),
        TEST(test_a_server_without_weight_gets_nothing_while_the_others_are_well),
        TEST(test_when_all_others_are_broken_the_one_without_weight_answers),
        TEST(test_what_has_waited_long_enough_spills_over),
        TEST(test_a_request_that_one_server_cannot_take_goes_to_the_other),
        TEST(test_no_more_are_open_at_once_than_the_concurrency),
        TEST(test_a_limit_a_minute_lets_its_burst_through_and_no_more),
        TEST(test_two_sessions_of_one_server_share_its_limits),
        TEST(test_two_sessions_of_one_server_share_its_places),
        TEST(test_a_cancelled_request_is_answered_though_its_server_is_not_done),
        TEST(test_a_drained_session_cancels_what_was_not_sent),
        TEST(test_files_of_the_object_store_are_sent_along_in_both_dialects),
        TEST(test_files_that_nobody_can_read_are_refused_at_validation),
    };
    struct error e = { 0 };

    return http_client_init(&e) < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
