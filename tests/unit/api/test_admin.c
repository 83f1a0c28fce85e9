/* Goal: the service reports health, metrics, version and models, gives tokens, and moves a test clock. Method: the
 * whole service with a fake model, over a socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#include "unit/api/service_case.h"

#define HELLO "{'contents':[{'role':'user','parts':[{'text':'a'}]}]}"

static void test_probes_need_no_key(void **state)
{
    static const char *const paths[] = { "/healthz", "/readyz" };
    struct serving *w = *state;

    (void)key_header(w, "p1", ROLE_ADMIN);
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        (void)ask(w, "GET", paths[i], "");
        assert_asked(w, 200);
        assert_true(str_eq_c(w->body, "ok\n"));
    }
    (void)ask(w, "GET", "/metrics", "");
    assert_asked(w, 401);
}

static void test_a_server_that_drains_is_alive_and_not_ready(void **state)
{
    struct serving *w = *state;

    atomic_store(&w->api.draining, true);
    (void)ask(w, "GET", "/readyz", "");
    assert_asked(w, 503);
    assert_true(str_eq_c(w->body, "draining\n"));
    (void)ask(w, "GET", "/healthz", "");
    assert_asked(w, 200);
}

static void test_info_names_version_and_models(void **state)
{
    struct serving *w = *state;

    (void)ask(w, "GET", "/tranche/v1/info", "");
    assert_asked(w, 200);
    assert_string_equal(answer_text(w, "name"), "tranche");
    assert_string_equal(answer_text(w, "version"), TRANCHE_VERSION);
    assert_true(yyjson_get_bool(json_get(answer(w), "testClock")));
    assert_string_equal(answer_text(w, "models.0.name"), "slow");
    assert_string_equal(answer_text(w, "models.1.kind"), "fake");
    assert_string_equal(answer_text(w, "models.3.name"), "odd\"\\\001*");
    assert_string_equal(answer_text(w, "models.3.about"), "a \"name\"");
}

/* Prometheus rejects a whole page over one escape that it does not know, such as JSON's \u0001. */
static void test_a_models_name_is_one_label_value(void **state)
{
    struct serving *w = *state;

    (void)ask(w, "POST", "/v1beta/models/odd%22%5C%01x:generateContent", HELLO);
    assert_asked(w, 200);
    (void)ask(w, "GET", "/metrics", "");
    assert_asked(w, 200);
    assert_true(str_find(w->body, STR("{model=\"odd\\\"\\\\\001*\"} 1")) < SIZE_MAX);
}

static void test_a_token_is_refused_in_oauths_words(void **state)
{
    struct serving *w = *state;

    (void)ask(w, "POST", "/token", "grant_type=password");
    assert_asked(w, 400);
    assert_string_equal(answer_text(w, "error"), "unsupported_grant_type");
    assert_true(strlen(answer_text(w, "error_description")) > 0);
    assert_string_equal(header_value(w, "Cache-Control"), "no-store");
}

static void test_the_test_clock_is_advanced_by_whole_seconds(void **state)
{
    static const char *const bad[] = {
        "{'seconds':-1}", "{'seconds':1.5}", "{'seconds':'1'}", "{}", "[]", "{'seconds':1e300}"
    };
    struct serving *w = *state;

    (void)ask(w, "GET", "/tranche/v1/clock", "");
    assert_asked(w, 200);
    assert_true(strlen(answer_text(w, "now")) > 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        (void)ask(w, "POST", "/tranche/v1/clock:advance", bad[i]);
        assert_asked(w, 400);
    }
    w->api.test_clock = false;
    (void)ask(w, "GET", "/tranche/v1/clock", "");
    assert_failed(w, 404, "NOT_FOUND", "--test-clock");
}

static void test_a_path_or_method_that_is_not_served_is_refused_in_its_dialect(void **state)
{
    static const struct {
        const char *method, *path;
        int status;
        const char *at, *text;
    } cases[] = {
        { "GET", "/nope\"", 404, "error.status", "NOT_FOUND" },
        { "PUT", "/v1/batches", 405, "error.status", "UNIMPLEMENTED" },
        { "GET", "/v1/batches/%ff", 400, "error.status", "INVALID_ARGUMENT" },
        { "GET", "/storage/v1/nope", 404, "error.errors.0.reason", "notFound" },
    };
    struct serving *w = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        (void)ask(w, cases[i].method, cases[i].path, "");
        assert_asked(w, cases[i].status);
        assert_string_equal(answer_text(w, cases[i].at), cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ONE(test_probes_need_no_key),
        ONE(test_a_server_that_drains_is_alive_and_not_ready),
        ONE(test_info_names_version_and_models),
        ONE(test_a_models_name_is_one_label_value),
        ONE(test_a_token_is_refused_in_oauths_words),
        ONE(test_the_test_clock_is_advanced_by_whole_seconds),
        ONE(test_a_path_or_method_that_is_not_served_is_refused_in_its_dialect),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
