/* Goal: a reply that comes a second time is refused, and one that only looks alike is not.
 * Method: replies are read by flights without a network, as the loop reads them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"
#include "conform/predict/request_make.h"
#include "predict/upstream/flight.h"
#include "predict/upstream/wire.h"

static const struct upstream upstream = { .name = "s", .url = "http://127.0.0.1:1/v1" };
static const struct model_upstream to = { .upstream = &upstream, .model = "far" };

struct world {
    struct flight_desk desk;
    struct arena arena;
    struct target target;
    const struct request *request;
};

static int set_up(void **state)
{
    struct world *w = mem_alloc(sizeof *w);

    w->desk.clock = clock_system();
    w->target = (struct target){ .to = &to, .wire = wire_of(WIRE_OPENAI) };
    w->request = request_make(&w->arena, "{\"contents\":[{\"parts\":[{\"text\":\"x\"}]}]}");
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    flight_desk_release(&w->desk);
    arena_release(&w->arena);
    mem_free(w);
    return 0;
}

/* Reads a reply with this id, or with none, and this text, from this connection. */
static enum error_code read_reply_on(struct world *w, uint32_t connection, const char *id,
                                     const char *text)
{
    struct upstream_task task = { .request = w->request };
    struct flight f = { .task = &task, .target = &w->target };
    struct buf body = BUF_INIT(4096);
    struct exchange_result result;
    struct error why;

    buf_add_char(&body, '{');
    if (id)
        buf_addf(&body, "\"id\":\"%s\",", id);
    buf_addf(&body,
             "\"choices\":[{\"index\":0,\"finish_reason\":\"stop\","
             "\"message\":{\"role\":\"assistant\",\"content\":\"%s\"}}]}",
             text);
    const struct http_done done = { .status = 200,
                                    .body = buf_str(&body),
                                    .connection = connection };
    flight_read(&f, &w->desk, &done, &result, &why);
    assert_int_equal(result.end == EXCHANGE_ANSWERED, task.answer.error.code == ERROR_OK);
    answer_release(&task.answer);
    buf_release(&body);
    return task.answer.error.code;
}

static enum error_code read_reply(struct world *w, const char *id, const char *text)
{
    return read_reply_on(w, 1, id, text);
}

static void test_a_reply_that_comes_twice_is_refused_the_second_time(void **state)
{
    assert_int_equal(read_reply_on(*state, 1, "a", "one"), ERROR_OK);
    assert_int_equal(read_reply_on(*state, 2, "b", "two"), ERROR_OK);
    assert_int_equal(read_reply_on(*state, 1, "a", "one"), ERROR_INTERNAL);
    assert_int_equal(read_reply_on(*state, 1, "c", "three"), ERROR_OK);
    assert_int_equal(read_reply_on(*state, 2, "b", "two"), ERROR_INTERNAL);
}

static void test_a_server_that_answers_all_alike_is_accepted(void **state)
{
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(read_reply_on(*state, i % 4, "id", "same"), ERROR_OK);
}

static void test_one_connection_with_one_reply_is_doubted_once(void **state)
{
    assert_int_equal(read_reply(*state, "id", "same"), ERROR_OK);
    assert_int_equal(read_reply(*state, "id", "same"), ERROR_INTERNAL);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(read_reply(*state, "id", "same"), ERROR_OK);
}

static void test_a_server_that_numbers_its_replies_from_few_ids_is_accepted(void **state)
{
    static const char *const ids[] = { "0", "1", "2" };

    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(read_reply(*state, ids[i % 3], "same"), ERROR_OK);
}

static void test_the_newer_name_of_max_tokens_is_learnt_from_its_refusal(void **state)
{
    struct world *w = *state;
    struct upstream_task task = { .request = w->request };
    struct flight f = { .task = &task, .target = &w->target };
    struct exchange_result result;
    struct error why;
    const struct http_done refused = {
        .status = 400,
        .body =
            STR("{\"error\":{\"message\":\"Unsupported parameter: 'max_tokens' is not supported "
                "with this model. Use 'max_completion_tokens' instead.\"}}"),
    };

    struct upstream_servers *servers = upstream_servers_new(w->desk.clock);
    w->target.server = upstream_server_of(servers, &upstream, &why);
    assert_non_null(w->target.server);
    f.body = BUF_INIT(100);
    buf_add_c(&f.body, "{\"max_tokens\":5}");
    flight_read(&f, &w->desk, &refused, &result, &why);
    assert_true(error_retryable(task.answer.error.code));
    assert_int_equal(result.end, EXCHANGE_REFUSED);
    assert_true(w->target.completion_tokens);
    f.completion_tokens = true;
    flight_read(&f, &w->desk, &refused, &result, &why);
    assert_false(error_retryable(task.answer.error.code));
    upstream_servers_free(servers);
    buf_release(&f.body);
}

static void
test_the_limits_in_a_reply_s_headers_are_read_whether_it_answers_or_refuses(void **state)
{
    static const char headers[] = "x-ratelimit-limit-requests: 500\n"
                                  "x-ratelimit-remaining-requests: 499\n"
                                  "x-ratelimit-reset-requests: 120ms\n"
                                  "x-ratelimit-limit-tokens: 30000\n"
                                  "x-ratelimit-remaining-tokens: 0\n"
                                  "x-ratelimit-reset-tokens: 1m6s\n";
    static const int statuses[] = { 200, 429 };
    struct world *w = *state;
    struct exchange_result r;
    struct error why;

    struct upstream_servers *servers = upstream_servers_new(w->desk.clock);
    w->target.server = upstream_server_of(servers, &upstream, &why);
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        struct flight f = { .target = &w->target };
        const struct http_done done = { .status = statuses[i],
                                        .body = STR("{}"),
                                        .headers = str_of(headers) };
        flight_read(&f, &w->desk, &done, &r, &why);
        assert_true(r.quota[QUOTA_REQUESTS].known && r.quota[QUOTA_TOKENS].known);
        assert_true(r.quota[QUOTA_REQUESTS].remaining > 498.5);
        assert_true(r.quota[QUOTA_TOKENS].limit > 29999.5 && r.quota[QUOTA_TOKENS].remaining < 0.5);
        assert_int_equal(r.quota[QUOTA_REQUESTS].reset_ns, 120 * NS_PER_MS);
        assert_int_equal(r.quota[QUOTA_TOKENS].reset_ns, 66 * NS_PER_S);
    }
    upstream_servers_free(servers);
}

static void test_replies_without_an_id_are_all_accepted(void **state)
{
    for (int i = 0; i < 3; i++)
        assert_int_equal(read_reply(*state, NULL, "\\\"responseId\\\":\\\"a\\\""), ERROR_OK);
}

static void test_a_server_whose_ids_are_not_unique_is_accepted(void **state)
{
    assert_int_equal(read_reply(*state, "chat", "one"), ERROR_OK);
    assert_int_equal(read_reply(*state, "chat", "two"), ERROR_OK);
    assert_int_equal(read_reply(*state, "chat", "two"), ERROR_OK);
}

static void test_many_replies_are_told_apart(void **state)
{
    char id[64];

    for (int i = 0; i < 3 * FLIGHT_SEEN_SLOTS; i++) {
        (void)snprintf(id, sizeof id, "id-%d", i);
        assert_int_equal(read_reply(*state, id, id), ERROR_OK);
        assert_int_equal(read_reply(*state, id, id), ERROR_INTERNAL);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_reply_that_comes_twice_is_refused_the_second_time),
        TEST(test_a_server_that_answers_all_alike_is_accepted),
        TEST(test_one_connection_with_one_reply_is_doubted_once),
        TEST(test_a_server_that_numbers_its_replies_from_few_ids_is_accepted),
        TEST(test_the_newer_name_of_max_tokens_is_learnt_from_its_refusal),
        TEST(test_the_limits_in_a_reply_s_headers_are_read_whether_it_answers_or_refuses),
        TEST(test_replies_without_an_id_are_all_accepted),
        TEST(test_a_server_whose_ids_are_not_unique_is_accepted),
        TEST(test_many_replies_are_told_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
