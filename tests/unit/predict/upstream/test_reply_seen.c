/* Goal: a reply that comes twice is told, one that only looks alike is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"
#include "predict/upstream/reply_seen.h"

static bool seen(struct reply_seen *s, const char *response, const char *body)
{
    return reply_seen(s, str_of(response), str_of(body));
}

static int set_up(void **state)
{
    *state = mem_alloc(sizeof(struct reply_seen));
    return 0;
}

static int tear_down(void **state)
{
    mem_free(*state);
    return 0;
}

static void test_a_reply_that_comes_twice_is_told_the_second_time(void **state)
{
    assert_false(seen(*state, "{\"responseId\":\"a\"}", "one"));
    assert_false(seen(*state, "{\"responseId\":\"b\"}", "two"));
    assert_true(seen(*state, "{\"responseId\":\"a\"}", "one"));
}

static void test_replies_without_an_id_are_all_believed(void **state)
{
    for (int i = 0; i < 3; i++)
        assert_false(seen(*state, "{\"text\":\"\\\"responseId\\\":\\\"a\\\"\"}", "same"));
}

static void test_a_server_whose_ids_are_not_unique_is_believed(void **state)
{
    assert_false(seen(*state, "{\"responseId\":\"chat\"}", "one"));
    assert_false(seen(*state, "{\"responseId\":\"chat\"}", "two"));
    assert_false(seen(*state, "{\"responseId\":\"chat\"}", "two"));
}

static void test_many_replies_are_told_apart(void **state)
{
    char response[64];

    for (int i = 0; i < 3 * SEEN_SLOTS; i++) {
        (void)snprintf(response, sizeof response, "{\"responseId\":\"id-%d\"}", i);
        assert_false(seen(*state, response, response));
        assert_true(seen(*state, response, response));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_reply_that_comes_twice_is_told_the_second_time),
        TEST(test_replies_without_an_id_are_all_believed),
        TEST(test_a_server_whose_ids_are_not_unique_is_believed),
        TEST(test_many_replies_are_told_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
