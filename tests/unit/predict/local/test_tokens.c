/* Goal: stop sequences are found over pieces and text leaves whole. Method: feed text in all possible
 * pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#include "predict/local/tokens.h"

/* Feeds text in pieces of `step` bytes until it stops; the result in out. */
static bool feed(const char *text, const struct str *stop, uint32_t stop_count, size_t step,
                 struct buf *out)
{
    struct answer_text t;
    bool stopped = false;
    size_t len = strlen(text);

    answer_text_init(&t, stop, stop_count);
    for (size_t at = 0; at < len && !stopped; at += step) {
        buf_add(&t.bytes, text + at, len - at < step ? len - at : step);
        stopped = answer_text_stopped(&t);
    }
    answer_text_finish(&t, out);
    answer_text_release(&t);
    return stopped;
}

static void test_a_stop_sequence_is_cut_however_it_is_split(void **state)
{
    static const struct {
        const char *text, *want;
        bool stopped;
    } cases[] = {
        { "one two END three", "one two ", true },
        { "ENDless", "", true },
        { "the EN that is none", "the EN that is none", false },
        { "first --- then END", "first ", true },
        { "nothing", "nothing", false },
    };
    const struct str stop[] = { STR("END"), STR("---"), STR("") };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (size_t step = 1; step < 20; step++) {
            struct buf out = BUF_INIT(1000);
            assert_int_equal(feed(cases[i].text, stop, 3, step, &out), cases[i].stopped);
            assert_true(str_eq_c(buf_str(&out), cases[i].want));
            buf_release(&out);
        }
}

static void test_the_stop_sequence_that_begins_first_counts(void **state)
{
    const struct str stop[] = { STR("cd"), STR("bcdx") };
    struct buf out = BUF_INIT(1000);

    (void)state;
    assert_true(feed("abcdx", stop, 2, 5, &out));
    assert_true(str_eq_c(buf_str(&out), "a"));
    buf_release(&out);
}

static void test_text_is_valid_utf8_whatever_was_generated(void **state)
{
    static const struct {
        const char *bytes, *want;
    } cases[] = {
        { "caf\xc3\xa9", "caf\xc3\xa9" },
        { "caf\xc3", "caf" },
        { "\xf0\x9f\x98", "" },
        { "a\xff"
          "b",
          "a\xef\xbf\xbd"
          "b" },
        { "\xc3(", "\xef\xbf\xbd(" },
        { "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* a surrogate */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out = BUF_INIT(1000);
        (void)feed(cases[i].bytes, NULL, 0, 1, &out);
        assert_true(str_eq_c(buf_str(&out), cases[i].want));
        assert_int_equal(str_utf8_valid(buf_str(&out)), out.len);
        buf_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stop_sequence_is_cut_however_it_is_split),
        cmocka_unit_test(test_the_stop_sequence_that_begins_first_counts),
        cmocka_unit_test(test_text_is_valid_utf8_whatever_was_generated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
