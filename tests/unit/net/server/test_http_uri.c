/* Escapes and parameters of a target. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#include "net/server/http_inner.h"

#define TEXT_MAX ((size_t)4096)

static void test_escapes_are_undone_or_refused(void **state)
{
    static const struct {
        const char *in, *out; /* out NULL: refused */
        bool plus;
    } cases[] = {
        { "", "", false },          { "a%2Fb", "a/b", false },   { "a+b", "a+b", false },
        { "a+b%2b", "a b+", true }, { "%c3%A9", "\xC3\xA9", 0 }, { "%25", "%", false },
        { "%2525", "%25", false },  { "%", NULL, false },        { "%4", NULL, false },
        { "a%4", NULL, false },     { "%4g", NULL, false },      { "%g4", NULL, false },
        { "%00", NULL, false },     { "a%%", NULL, false },      { "%0a", "\n", false },
    };
    struct arena a = { 0 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str out = STR("unset");
        bool ok = http_decode(&a, str_of(cases[i].in), cases[i].plus, &out);
        assert_int_equal(ok, cases[i].out != NULL);
        assert_string_equal(out.p, ok ? cases[i].out : "unset");
        assert_int_equal(out.len, strlen(out.p));
    }
    struct str out;
    assert_false(http_decode(&a, (struct str){ "a\0b", 3 }, false, &out));
    arena_release(&a);
}

static void test_encoding_leaves_nothing_that_means_something(void **state)
{
    struct buf out = BUF_INIT(TEXT_MAX), all = BUF_INIT(TEXT_MAX);
    struct arena a = { 0 };
    struct str back;

    (void)state;
    http_encode(STR("aZ09-._~ /?&=+%#\xC3\xA9\n"), &out);
    assert_true(str_eq(buf_str(&out), STR("aZ09-._~%20%2F%3F%26%3D%2B%25%23%C3%A9%0A")));
    buf_clear(&out);
    for (int c = 1; c < 256; c++)
        buf_add_char(&all, (char)c);
    http_encode(buf_str(&all), &out);
    assert_true(http_decode(&a, buf_str(&out), true, &back) && str_eq(back, buf_str(&all)));
    buf_release(&out);
    buf_release(&all);
    arena_release(&a);
}

static void expect_parameter(const char *query, const char *name, const char *wanted)
{
    struct http_call c = { .query = str_of(query) };
    struct str out = STR("unset");
    bool found = http_query(&c, name, &out);

    if (found != (wanted != NULL) || (found && !str_eq_c(out, wanted)))
        fail_msg("%s in ?%s: %d %.*s", name, query, found, STR_ARG(out));
    arena_release(&c.arena);
}

static void test_parameters_are_found_by_their_decoded_name(void **state)
{
    (void)state;
    expect_parameter("a=1&b=2", "b", "2");
    expect_parameter("a=1&a=2", "a", "2");
    expect_parameter("a=x+y%3D", "a", "x y=");
    expect_parameter("%24alt=sse", "$alt", "sse");
    expect_parameter("a+b=1", "a b", "1");
    expect_parameter("a", "a", "");
    expect_parameter("a=", "a", "");
    expect_parameter("a=b=c", "a", "b=c");
    expect_parameter("&&a=1&", "a", "1");
    expect_parameter("=1", "", "1");
    expect_parameter("", "a", NULL);
    expect_parameter("aa=1&b=a", "a", NULL);
    expect_parameter("a=%4", "a", NULL);
    expect_parameter("%zz=1&a=2", "a", "2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escapes_are_undone_or_refused),
        cmocka_unit_test(test_encoding_leaves_nothing_that_means_something),
        cmocka_unit_test(test_parameters_are_found_by_their_decoded_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
