/* Goal: a method and a path find one route, with its parameters decoded, or the right refusal. Method: tables
 * of paths against two tables of routes. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/mem.h"

#include "api/route.h"

static const struct route first[] = {
    { .method = HTTP_GET, .pattern = "/healthz" },
    { .method = HTTP_POST, .pattern = "/(v1|v1beta1)/projects/{}/locations/{}/jobs" },
    { .method = HTTP_GET, .pattern = "/(v1|v1beta1)/projects/{}/locations/{}/jobs/{}" },
    { .method = HTTP_DELETE, .pattern = "/(v1|v1beta1)/projects/{}/locations/{}/jobs/{}" },
    { .method = HTTP_POST, .pattern = "/(v1|v1beta1)/projects/{}/locations/{}/jobs/{}:cancel" },
    { .method = HTTP_POST, .pattern = "/v1/clock:advance" },
    { 0 },
};
static const struct route second[] = {
    { .method = HTTP_GET, .pattern = "/storage/v1/b/{}/o" },
    { .method = HTTP_POST, .pattern = "/storage/v1/b/{}/o/{}/compose" },
    { .method = HTTP_GET, .pattern = "/storage/v1/b/{}/o/{**}" },
    { .method = HTTP_POST, .pattern = "/upload/(v1|v1beta)/files" },
    { .method = HTTP_GET, .pattern = "/{}/{}/{}/{}/{}/{}/{}/{}/{}" },
    { 0 },
};
static const struct route *const tables[] = { first, second, NULL };

static int set_up(void **state)
{
    static struct arena arena;

    arena = (struct arena){ 0 };
    *state = &arena;
    return 0;
}

static int tear_down(void **state)
{
    arena_release(*state);
    return 0;
}

/* The route that a call finds, as text: the pattern and its parameters, or the HTTP status. */
static const char *found(struct arena *a, enum http_method method, const char *path)
{
    static const char *const results[] = {
        [ROUTE_NO_PATH] = "404", [ROUTE_NO_METHOD] = "405", [ROUTE_BAD_PATH] = "400"
    };
    struct route_match m;
    enum route_result result = route_find(tables, method, str_of(path), a, &m);
    struct buf text = BUF_INIT(4096);

    if (result != ROUTE_FOUND)
        return results[result];
    buf_add_c(&text, m.route->pattern);
    for (uint32_t i = 0; i < m.param_count; i++)
        buf_addf(&text, " <%.*s>", STR_ARG(m.param[i]));
    const char *out = arena_copy(a, text.p, text.len);
    buf_release(&text);
    return out;
}

struct route_case {
    enum http_method method;
    const char *path, *found;
};

static void check(struct arena *a, const struct route_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_string_equal(found(a, cases[i].method, cases[i].path), cases[i].found);
}

static void test_words_choices_and_parameters_match_step_by_step(void **state)
{
    static const struct route_case cases[] = {
        { HTTP_GET, "/healthz", "/healthz" },
        { HTTP_GET, "/healthz/", "404" },
        { HTTP_GET, "/Healthz", "404" },
        { HTTP_GET, "healthz", "404" },
        { HTTP_GET, "", "404" },
        { HTTP_GET, "/", "404" },
        { HTTP_GET, "//healthz", "404" },
        { HTTP_POST, "/v1/projects/p/locations/l/jobs",
          "/(v1|v1beta1)/projects/{}/locations/{}/jobs <p> <l>" },
        { HTTP_POST, "/v1beta1/projects/p/locations/l/jobs",
          "/(v1|v1beta1)/projects/{}/locations/{}/jobs <p> <l>" },
        { HTTP_POST, "/v1beta/projects/p/locations/l/jobs", "404" },
        { HTTP_POST, "/v1|v1beta1/projects/p/locations/l/jobs", "404" },
        { HTTP_POST, "/v1/projects//locations/l/jobs", "404" },
        { HTTP_GET, "/v1/projects/p/locations/l/jobs/7",
          "/(v1|v1beta1)/projects/{}/locations/{}/jobs/{} <p> <l> <7>" },
        { HTTP_GET, "/v1/projects/p/locations/l/jobs/7/x", "404" },
    };

    check(*state, cases, ARRAY_LEN(cases));
}

static void test_a_verb_is_matched_before_a_step_with_a_colon(void **state)
{
    static const struct route_case cases[] = {
        { HTTP_POST, "/v1/projects/p/locations/l/jobs/7:cancel",
          "/(v1|v1beta1)/projects/{}/locations/{}/jobs/{}:cancel <p> <l> <7>" },
        { HTTP_POST, "/v1/projects/p/locations/l/jobs/a:b:cancel",
          "/(v1|v1beta1)/projects/{}/locations/{}/jobs/{}:cancel <p> <l> <a:b>" },
        { HTTP_POST, "/v1/projects/p/locations/l/jobs/:cancel", "405" },
        { HTTP_GET, "/v1/projects/p/locations/l/jobs/7:other",
          "/(v1|v1beta1)/projects/{}/locations/{}/jobs/{} <p> <l> <7:other>" },
        /* The verb is there, so the method is what is wrong. */
        { HTTP_DELETE, "/v1/projects/p/locations/l/jobs/7:cancel", "405" },
        { HTTP_POST, "/v1/clock:advance", "/v1/clock:advance" },
        { HTTP_GET, "/v1/projects/a.b:c/locations/l/jobs/7",
          "/(v1|v1beta1)/projects/{}/locations/{}/jobs/{} <a.b:c> <l> <7>" },
    };

    check(*state, cases, ARRAY_LEN(cases));
}

static void test_a_decoded_slash_never_splits_a_step(void **state)
{
    static const struct route_case cases[] = {
        { HTTP_GET, "/storage/v1/b/b1/o/a%2Fb.txt", "/storage/v1/b/{}/o/{**} <b1> <a/b.txt>" },
        { HTTP_GET, "/storage/v1/b/b1/o/a/b/c%20d", "/storage/v1/b/{}/o/{**} <b1> <a/b/c d>" },
        { HTTP_GET, "/storage/v1/b/b1/o/a+b", "/storage/v1/b/{}/o/{**} <b1> <a+b>" },
        { HTTP_GET, "/storage/v1/b/b1/o/..%2f..%2fetc",
          "/storage/v1/b/{}/o/{**} <b1> <../../etc>" },
        { HTTP_POST, "/storage/v1/b/b1/o/a%2Fb/compose",
          "/storage/v1/b/{}/o/{}/compose <b1> <a/b>" },
        { HTTP_GET, "/storage/v1/b/b%2Fo/o", "/storage/v1/b/{}/o <b/o>" },
        { HTTP_GET, "/storage/v1/b/b1/o/", "404" },
        { HTTP_GET, "/storage/v1/b/b1/o/%e2%82%ac", "/storage/v1/b/{}/o/{**} <b1> <\u20ac>" },
        { HTTP_GET, "/storage/v1/b/b1/o/a%00b", "400" },
        { HTTP_GET, "/storage/v1/b/b1/o/a%2", "400" },
        { HTTP_GET, "/storage/v1/b/b1/o/a%zz", "400" },
        { HTTP_GET, "/storage/v1/b/b1/o/%ff", "400" },
        { HTTP_GET, "/storage/v1/b/b1/o/%c0%af", "400" },
        /* Words are compared as they were sent. */
        { HTTP_GET, "/%68ealthz", "404" },
    };

    check(*state, cases, ARRAY_LEN(cases));
}

static void test_only_the_method_may_be_wrong(void **state)
{
    assert_string_equal(found(*state, HTTP_PUT, "/healthz"), "405");
    assert_string_equal(found(*state, HTTP_OTHER, "/healthz"), "405");
    assert_string_equal(found(*state, HTTP_HEAD, "/healthz"), "/healthz");
    assert_string_equal(found(*state, HTTP_HEAD, "/v1/clock:advance"), "405");
    assert_string_equal(found(*state, HTTP_PUT, "/healthy"), "404");
}

static void test_more_parameters_than_a_call_holds_match_nothing(void **state)
{
    assert_string_equal(found(*state, HTTP_GET, "/1/2/3/4/5/6/7/8/9"), "404");
}

static void test_the_version_is_the_first_step_that_is_one(void **state)
{
    static const char *const cases[][2] = {
        { "/v1/projects/p/locations/l/jobs", "v1" },
        { "/v1beta1/x", "v1beta1" },
        { "/upload/v1beta/files", "v1beta" },
        { "/resumable/upload/v1/x", "v1" },
        { "/ui/projects/p", "ui" },
        { "/a/b/c/v1", "a" },
        { "/video/v", "video" },
        { "/", "" },
    };
    struct route_match m;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        (void)route_find(tables, HTTP_GET, str_of(cases[i][0]), *state, &m);
        assert_true(str_eq_c(m.version, cases[i][1]));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_words_choices_and_parameters_match_step_by_step),
        TEST(test_a_verb_is_matched_before_a_step_with_a_colon),
        TEST(test_a_decoded_slash_never_splits_a_step),
        TEST(test_only_the_method_may_be_wrong),
        TEST(test_more_parameters_than_a_call_holds_match_nothing),
        TEST(test_the_version_is_the_first_step_that_is_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
