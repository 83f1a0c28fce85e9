/* gs:// URIs: the two parts of each, and what is none. */
#include "format/gs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"

static void test_a_uri_is_a_bucket_and_a_name(void **state)
{
    static const struct {
        const char *uri, *bucket, *name;
    } cases[] = {
        { "gs://b/x/y z", "b", "x/y z" },
        { "gs://b", "b", "" },
        { "gs://b/", "b", "" },
        { "gs://b/*.jsonl", "b", "*.jsonl" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str bucket, name;
        if (!gs_split(str_of(cases[i].uri), &bucket, &name))
            fail_msg("%s", cases[i].uri);
        assert_true(str_eq_c(bucket, cases[i].bucket));
        assert_true(str_eq_c(name, cases[i].name));
    }
}

static void test_what_has_no_scheme_or_no_bucket_is_none(void **state)
{
    static const char *const none[] = { "gs:///x", "s3://b/x", "", "gs://", "gs:/b/x", "GS://b/x" };
    struct str bucket, name;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        if (gs_split(str_of(none[i]), &bucket, &name))
            fail_msg("%s", none[i]);
}

static void test_the_parts_make_the_uri_again(void **state)
{
    struct buf out = BUF_INIT(100);

    (void)state;
    gs_add(&out, STR("b"), STR("x/y"));
    assert_string_equal(out.p, "gs://b/x/y");
    assert_true(gs_is(buf_str(&out)));
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_uri_is_a_bucket_and_a_name),
        cmocka_unit_test(test_what_has_no_scheme_or_no_bucket_is_none),
        cmocka_unit_test(test_the_parts_make_the_uri_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
