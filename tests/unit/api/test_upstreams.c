/* Goal: upstream servers are shown with their figures, and where they are only to admins. Method: the whole
 * service, which knows two servers that no request went to, over a socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#include "unit/api/service_case.h"

#define PATH "/tranche/v1/upstreams"

static const struct upstream servers[] = {
    { .name = "gpu1", .url = "http://127.0.0.1:9/v1", .wire = WIRE_OPENAI, .max_rpm = 60 },
    { .name = "gpu\"2", .url = "http://127.0.0.1:9/\"", .wire = WIRE_GEMINI },
};

static int set_up(void **state)
{
    (void)serving_set_up(state);
    struct serving *w = *state;
    service_upstreams_set(w->service, servers, ARRAY_LEN(servers));
    return 0;
}

static void test_each_server_is_shown_with_its_limits_and_counts(void **state)
{
    struct serving *w = *state;

    (void)ask(w, "GET", PATH, "");
    assert_asked(w, 200);
    assert_string_equal(answer_text(w, "upstreams.0.name"), "gpu1");
    assert_string_equal(answer_text(w, "upstreams.0.health"), "unused");
    assert_string_equal(answer_text(w, "upstreams.0.dialect"), "openai");
    assert_string_equal(answer_text(w, "upstreams.0.maxTokensPerMinute"), "0");
    assert_string_equal(answer_text(w, "upstreams.0.sent"), "0");
    assert_string_equal(answer_text(w, "upstreams.1.name"), "gpu\"2");
    assert_string_equal(answer_text(w, "upstreams.1.dialect"), "gemini");
    yyjson_val *first = yyjson_arr_get_first(json_get(answer(w), "upstreams"));
    assert_int_equal(yyjson_get_uint(json_get(first, "maxRequestsPerMinute")), 60);
}

static void test_only_an_admin_sees_where_a_server_is(void **state)
{
    static const struct {
        enum key_role role;
        const char *url;
    } cases[] = {
        { ROLE_VIEWER, "" },
        { ROLE_SUBMITTER, "" },
        { ROLE_ADMIN, "http://127.0.0.1:9/v1" },
    };
    struct serving *w = *state;

    (void)ask(w, "GET", PATH, ""); /* no key exists yet */
    assert_string_equal(answer_text(w, "upstreams.1.url"), "http://127.0.0.1:9/\"");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        (void)ask_with(w, "GET", PATH, key_header(w, "p1", cases[i].role), "");
        assert_asked(w, 200);
        assert_string_equal(answer_text(w, "upstreams.0.url"), cases[i].url);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_server_is_shown_with_its_limits_and_counts,
                                        set_up, serving_tear_down),
        cmocka_unit_test_setup_teardown(test_only_an_admin_sees_where_a_server_is, set_up,
                                        serving_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
