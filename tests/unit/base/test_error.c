/* Errors: one table for every dialect, and messages that stay readable. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/error.h"
#include "base/str.h"

static void test_every_code_is_found_again_by_its_name(void **state)
{
    (void)state;
    for (int i = 0; i < ERROR_CODE_COUNT; i++) {
        enum error_code code = ERROR_CODE_COUNT;
        assert_true(error_from_name(error_name((enum error_code)i), &code));
        assert_int_equal(code, i);
        assert_int_equal(error_rpc(code), i);
        assert_true(error_http(code) >= 200 && error_http(code) < 600);
    }
    enum error_code untouched = ERROR_ABORTED;
    assert_false(error_from_name("NO_SUCH_CODE", &untouched));
    assert_int_equal(untouched, ERROR_ABORTED);
}

static void test_only_what_another_attempt_can_mend_is_retryable(void **state)
{
    (void)state;
    assert_true(error_retryable(ERROR_RESOURCE_EXHAUSTED));
    assert_true(error_retryable(ERROR_UNAVAILABLE));
    assert_true(error_retryable(ERROR_DEADLINE_EXCEEDED));
    assert_false(error_retryable(ERROR_OK));
    assert_false(error_retryable(ERROR_INVALID_ARGUMENT));
    assert_false(error_retryable(ERROR_CANCELLED));
    assert_int_equal(error_http(ERROR_RESOURCE_EXHAUSTED), 429);
    assert_string_equal(error_phrase(ERROR_INVALID_ARGUMENT), "Bad Request");
}

static void test_set_returns_failure_and_wrap_keeps_the_code(void **state)
{
    struct error e = { 0 };

    (void)state;
    assert_int_equal(error_set(&e, ERROR_NOT_FOUND, "no %s", "model"), -1);
    assert_int_equal(error_wrap(&e, "job %d", 7), -1);
    assert_int_equal(e.code, ERROR_NOT_FOUND);
    assert_string_equal(e.msg, "job 7: no model");
}

static void test_errno_chooses_the_code(void **state)
{
    static const struct {
        int err;
        enum error_code code;
    } cases[] = {
        { ENOSPC, ERROR_RESOURCE_EXHAUSTED }, { EDQUOT, ERROR_RESOURCE_EXHAUSTED },
        { ENOENT, ERROR_NOT_FOUND },          { EACCES, ERROR_PERMISSION_DENIED },
        { EEXIST, ERROR_ALREADY_EXISTS },     { EIO, ERROR_INTERNAL },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error e = { 0 };
        errno = cases[i].err;
        assert_int_equal(error_errno(&e, "open %s", "x"), -1);
        assert_int_equal(errno, cases[i].err);
        assert_int_equal(e.code, cases[i].code);
        assert_memory_equal(e.msg, "open x: ", 8);
        assert_true(strlen(e.msg) > 8);
    }
}

/* Method: move a two-byte character over the cut by one byte, so that it is split once. */
static void test_a_message_that_is_cut_stays_valid_utf8(void **state)
{
    char text[ERROR_MSG_BYTES * 2];

    (void)state;
    for (size_t shift = 0; shift < 4; shift++) {
        struct error e = { 0 };
        memset(text, 'a', sizeof text);
        for (size_t i = shift; i + 4 < sizeof text; i += 4)
            memcpy(text + i, "\xf0\x9f\x8d\x8c", 4);
        text[sizeof text - 1] = '\0';
        (void)error_set(&e, ERROR_INTERNAL, "%s", text);
        assert_int_equal(str_utf8_valid(str_of(e.msg)), strlen(e.msg));
        assert_true(strlen(e.msg) >= ERROR_MSG_BYTES - 4);
    }
}

static void test_bytes_of_a_message_that_are_not_utf8_become_question_marks(void **state)
{
    struct error e = { 0 };

    (void)state;
    (void)error_set(&e, ERROR_INTERNAL, "%.*s: no \xc3", 2, "\xc3\xbc\xc3\xbc");
    assert_string_equal(e.msg, "\xc3\xbc: no ?");
    (void)error_set(&e, ERROR_INTERNAL, "%.*s and more", 3, "\xc3\xbc\xc3\xbc");
    assert_string_equal(e.msg, "\xc3\xbc? and more");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code_is_found_again_by_its_name),
        cmocka_unit_test(test_only_what_another_attempt_can_mend_is_retryable),
        cmocka_unit_test(test_set_returns_failure_and_wrap_keeps_the_code),
        cmocka_unit_test(test_errno_chooses_the_code),
        cmocka_unit_test(test_a_message_that_is_cut_stays_valid_utf8),
        cmocka_unit_test(test_bytes_of_a_message_that_are_not_utf8_become_question_marks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
