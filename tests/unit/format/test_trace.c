/* Goal: traceparent is read and handed on as the W3C's standard says; the cases are those of its text. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "format/trace.h"

#define ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define GOOD "00-" ID "-00f067aa0ba902b7-01"

static void test_only_a_right_traceparent_names_a_trace(void **state)
{
    static const struct {
        const char *header;
        bool good, sampled;
    } cases[] = {
        { GOOD, true, true },
        { "00-" ID "-00f067aa0ba902b7-00", true, false },
        { "00-" ID "-00f067aa0ba902b7-fe", true, false },
        { "00-" ID "-00f067aa0ba902b7-03", true, true },
        { "cc-" ID "-00f067aa0ba902b7-01", true, true },
        { "cc-" ID "-00f067aa0ba902b7-01-more", true, true },
        { "cc-" ID "-00f067aa0ba902b7-01.more", false, false },
        { GOOD "-more", false, false },
        { GOOD " ", false, false },
        { "ff-" ID "-00f067aa0ba902b7-01", false, false },
        { "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false, false },
        { "00-00000000000000000000000000000000-00f067aa0ba902b7-01", false, false },
        { "00-" ID "-0000000000000000-01", false, false },
        { "00-" ID "-00f067aa0ba902b7-0x", false, false },
        { "00-" ID "-00f067aa0ba902b7-1", false, false },
        { "00-" ID "_00f067aa0ba902b7-01", false, false },
        { ID, false, false },
        { "", false, false },
    };
    struct trace t;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        trace_read(str_of(cases[i].header), STR("a=1"), &t);
        assert_string_equal(t.id, cases[i].good ? ID : "");
        assert_int_equal(t.sampled, cases[i].sampled);
        assert_string_equal(t.state, cases[i].good ? "a=1" : "");
    }
}

static void test_it_goes_on_with_a_parent_of_its_own_and_the_state_as_it_came(void **state)
{
    struct buf out = BUF_INIT(1024);
    struct trace t;

    (void)state;
    trace_read(STR(GOOD), STR("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"), &t);
    trace_write(&t, 0xabcdef, &out);
    assert_string_equal(out.p, "traceparent: 00-" ID "-0000000000abcdef-01\n"
                               "tracestate: rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
    buf_clear(&out);
    trace_read(STR("00-" ID "-00f067aa0ba902b7-00"), STR(""), &t);
    trace_write(&t, 0, &out); /* zeros are no parent */
    assert_string_equal(out.p, "traceparent: 00-" ID "-0000000000000001-00");
    buf_release(&out);
}

static void test_a_state_that_is_too_long_or_not_printable_is_left_out(void **state)
{
    char longest[TRACE_STATE_BYTES + 1];
    struct trace t;

    (void)state;
    memset(longest, 'x', sizeof longest);
    trace_read(STR(GOOD), (struct str){ longest, TRACE_STATE_BYTES - 1 }, &t);
    assert_int_equal(strlen(t.state), TRACE_STATE_BYTES - 1);
    trace_read(STR(GOOD), (struct str){ longest, TRACE_STATE_BYTES }, &t);
    assert_string_equal(t.state, "");
    trace_read(STR(GOOD), STR("a=1\r\nX-Evil: 1"), &t);
    assert_string_equal(t.state, "");
    assert_string_equal(t.id, ID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_a_right_traceparent_names_a_trace),
        cmocka_unit_test(test_it_goes_on_with_a_parent_of_its_own_and_the_state_as_it_came),
        cmocka_unit_test(test_a_state_that_is_too_long_or_not_printable_is_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
