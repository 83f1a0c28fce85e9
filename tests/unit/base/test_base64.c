/* Base64 is told from what is none, at any length and place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/base64.h"

static void test_each_byte_is_judged_as_its_alphabets_say(void **state)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_";

    (void)state;
    for (int c = 0; c < 256; c++) {
        char text[4] = { 'A', (char)c, 'A', 'A' };
        size_t at = 99;
        bool want = c != 0 && strchr(alphabet, c);
        assert_int_equal(base64_valid((struct str){ text, 4 }, &at), want);
        assert_int_equal(at, want ? 4 : 1);
    }
}

/* Method: a foreign byte at every place of texts longer and shorter than a run of 64. */
static void test_the_first_foreign_byte_is_found_at_any_place(void **state)
{
    char text[200];

    (void)state;
    for (size_t i = 0; i < sizeof text; i++) {
        size_t at = 0;
        memset(text, 'Q', sizeof text);
        memset(text + i, '\n', sizeof text - i > 2 ? 2 : 1);
        assert_false(base64_valid((struct str){ text, sizeof text }, &at));
        assert_int_equal(at, i);
    }
}

static void test_the_end_is_padded_rightly_or_not_at_all(void **state)
{
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {
        { "", true },       { "QQ==", true },      { "QUI=", true },  { "QUJD", true },
        { "QQ", true },     { "QUI", true },       { "Q", false },    { "Q===", false },
        { "QUJD=", false }, { "QQ=", false },      { "=", false },    { "==", false },
        { "====", false },  { "QQ==QQ==", false }, { "Q=Q=", false }, { "QUJDQ", false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t at;
        if (base64_valid(str_of(cases[i].text), &at) != cases[i].valid)
            fail_msg("%s", cases[i].text);
    }
}

static void test_every_spelling_is_written_in_the_standard_one(void **state)
{
    static const struct {
        const char *text, *standard;
    } cases[] = {
        { "", "" },         { "QUJD", "QUJD" }, { "QQ", "QQ==" },         { "QUI", "QUI=" },
        { "QUI=", "QUI=" }, { "-_-_", "+/+/" }, { "ab-_QQ", "ab+/QQ==" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out = BUF_INIT(64);
        buf_add_c(&out, "-_"); /* what stands before is left alone */
        base64_add_standard(&out, str_of(cases[i].text));
        assert_true(str_eq_c(str_sub(buf_str(&out), 2, 64), cases[i].standard));
        assert_true(str_starts(buf_str(&out), STR("-_")));
        buf_release(&out);
    }
}

static void test_base64_over_the_buffers_maximum_is_marked(void **state)
{
    (void)state;
    struct buf fits = BUF_INIT(4), small = BUF_INIT(3);

    base64_add_standard(&fits, STR("Q-"));
    assert_true(str_eq_c(buf_str(&fits), "Q+=="));
    base64_add_standard(&small, STR("Q-"));
    assert_false(buf_ok(&small));
    buf_release(&fits);
    buf_release(&small);
}

static void test_bytes_are_read_only_as_they_would_be_written(void **state)
{
    static const struct {
        const char *text;
        bool url;
        const char *bytes; /* NULL: refused */
    } cases[] = {
        { "", false, "" },        { "YQ==", false, "a" },   { "YWI=", false, "ab" },
        { "YWJj", false, "abc" }, { "fn5-", true, "~~~" },  { "fn5+", false, "~~~" },
        { "YQ", true, "a" },      { "YWI", true, "ab" },    { "YQ", false, NULL },
        { "YQ==", true, NULL },   { "fn5-", false, NULL },  { "fn5+", true, NULL },
        { "YR==", false, NULL },  { "YR", true, NULL },     { "YWJ=", false, NULL },
        { "YQ=", false, NULL },   { "YQ===", false, NULL }, { "Y", true, NULL },
        { "Y!==", false, NULL },  { "YW\nI", false, NULL }, { "YQ==YQ==", false, NULL },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char out[8];
        size_t len;
        bool good = base64_read(str_of(cases[i].text), cases[i].url, out, &len);
        assert_int_equal(good, cases[i].bytes != NULL);
        if (good)
            assert_true(str_eq_c((struct str){ out, len }, cases[i].bytes));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_byte_is_judged_as_its_alphabets_say),
        cmocka_unit_test(test_the_first_foreign_byte_is_found_at_any_place),
        cmocka_unit_test(test_the_end_is_padded_rightly_or_not_at_all),
        cmocka_unit_test(test_every_spelling_is_written_in_the_standard_one),
        cmocka_unit_test(test_base64_over_the_buffers_maximum_is_marked),
        cmocka_unit_test(test_bytes_are_read_only_as_they_would_be_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
