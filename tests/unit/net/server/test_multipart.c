/* Goal: a body's parts come out whole, wherever it was cut on its way, in every form that clients are
 * known to send; what is none of them is refused. Method: each body whole, byte by byte, and in halves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#include "net/server/multipart.h"

/* All parts in one text: "[type]bytes[type]bytes". */
struct seen {
    struct buf text;
};

static int on_part(void *arg, struct str content_type, struct error *e)
{
    struct seen *s = arg;

    (void)e;
    buf_addf(&s->text, "[%.*s]", STR_ARG(content_type));
    return 0;
}

static int on_data(void *arg, const void *p, size_t len, struct error *e)
{
    struct seen *s = arg;

    (void)e;
    buf_add(&s->text, p, len);
    return 0;
}

static int read_in_pieces(const char *type, struct str body, size_t piece, struct seen *s,
                          struct error *e)
{
    const struct multipart_handlers to = { on_part, on_data, s };
    struct multipart m;
    int rc = multipart_init(&m, str_of(type), &to, e);

    s->text = BUF_INIT((size_t)1024 * 1024);
    for (size_t at = 0; at < body.len && rc == 0; at += piece) {
        struct str part = str_sub(body, at, piece);
        rc = multipart_feed(&m, part.p, part.len, e);
    }
    if (rc == 0)
        rc = multipart_finish(&m, e);
    multipart_release(&m);
    return rc;
}

struct body {
    const char *type, *body, *want; /* its parts, or what the refusal says */
};

static void check(const struct body *b, bool good)
{
    struct str body = str_of(b->body);

    for (size_t piece = 1; piece <= body.len + 1; piece++) {
        struct error e = { 0 };
        struct seen s;
        int rc = read_in_pieces(b->type, body, piece, &s, &e);
        if (good) {
            assert_string_equal(e.msg, "");
            assert_int_equal(rc, 0);
            assert_true(str_eq_c(buf_str(&s.text), b->want));
        } else {
            assert_int_equal(rc, -1);
            assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
            assert_non_null(strstr(e.msg, b->want));
        }
        buf_release(&s.text);
    }
}

#define TYPE "multipart/related; boundary=abc"

static void test_parts_come_out_whole_wherever_the_body_is_cut(void **state)
{
    static const struct body bodies[] = {
        { TYPE,
          "--abc\r\nContent-Type: application/json\r\n\r\n{}\r\n--abc\r\ncontent-type:a/b\r\n\r\n"
          "bytes\r\n--abc--",
          "[application/json]{}[a/b]bytes" },
        { "multipart/related; boundary='==abc=='",
          "--==abc==\nContent-Type: a/b\nMIME-Version: 1.0\n\n{}\n--==abc==\n\nx\r\n--==abc==--\n",
          "[a/b]{}[]x\r" },
        { "multipart/related; type=\"a;b\"; Boundary=\"a c\"",
          "ignored\r\n--a c  \r\n\r\n1\r\n--a c--\r\nalso ignored", "[]1" },
        { TYPE, "--abc\r\n\r\n\r\n--abc--", "[]" },
        { TYPE, "--abc\r\n\r\n\r\n--ab\r\r\n-\n--abc\r\n--abc--\r\n", "[]\r\n--ab\r\r\n-\n--abc" },
        { TYPE, "--abc\r\nContent-Transfer-Encoding: Binary\r\n\r\n1\r\n--abc--", "[]1" },
        { TYPE, "--abc--", "" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
        check(&bodies[i], true);
}

static void test_what_is_no_multipart_body_is_refused(void **state)
{
    static const struct body bodies[] = {
        { "multipart/related", "", "boundary" },
        { "multipart/related; boundary=", "", "boundary" },
        { "multipart/related; boundary=\"a ", "", "boundary" },
        { "multipart/related; boundary=\"a\r\nb\"", "", "boundary" },
        { TYPE, "", "closing boundary" },
        { TYPE, "--abc\r\n\r\nbytes", "closing boundary" },
        { TYPE, "--abc\r\n\r\nbytes\r\n--abc", "closing boundary" },
        { TYPE, "--abcd\r\n\r\nbytes\r\n--abcd--", "more than the boundary" },
        { TYPE, "--abc\r\nContent-Transfer-Encoding: base64\r\n\r\nAA==\r\n--abc--", "binary" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
        check(&bodies[i], false);
}

static void test_a_boundary_has_at_most_70_characters(void **state)
{
    (void)state;
    for (int len = MULTIPART_BOUNDARY_MAX; len <= MULTIPART_BOUNDARY_MAX + 1; len++) {
        struct buf type = BUF_INIT(256), body = BUF_INIT(256);
        struct error e = { 0 };
        struct seen s;
        buf_addf(&type, "multipart/related; boundary=%0*d", len, 0);
        buf_addf(&body, "--%0*d\r\n\r\n1\r\n--%0*d--", len, 0, len, 0);
        int rc = read_in_pieces(type.p, buf_str(&body), 7, &s, &e);
        assert_int_equal(rc, len == MULTIPART_BOUNDARY_MAX ? 0 : -1);
        buf_release(&s.text);
        buf_release(&type);
        buf_release(&body);
    }
}

static void test_headers_and_parts_are_bounded(void **state)
{
    static const size_t frame = sizeof "A: \r\n\r\n" - 1;

    (void)state;
    for (size_t extra = 0; extra <= 1; extra++) {
        struct buf body = BUF_INIT((size_t)64 * 1024);
        struct error e = { 0 };
        struct seen s;
        buf_addf(&body, "--abc\r\nA: %0*d\r\n\r\n\r\n--abc--",
                 (int)(MULTIPART_HEAD_BYTES_MAX - frame + extra), 0);
        assert_int_equal(read_in_pieces(TYPE, buf_str(&body), 1000, &s, &e), extra ? -1 : 0);
        buf_release(&s.text);
        buf_clear(&body);
        for (size_t i = 0; i < MULTIPART_PARTS_MAX + extra; i++)
            buf_addf(&body, "%s--abc\r\n\r\n", i ? "\r\n" : "");
        buf_add_c(&body, "\r\n--abc--");
        assert_int_equal(read_in_pieces(TYPE, buf_str(&body), 1000, &s, &e), extra ? -1 : 0);
        buf_release(&s.text);
        buf_release(&body);
    }
}

static int refuse(void *arg, const void *p, size_t len, struct error *e)
{
    (void)arg;
    (void)p;
    (void)len;
    return error_set(e, ERROR_RESOURCE_EXHAUSTED, "full");
}

static void test_a_callbacks_failure_ends_the_reading(void **state)
{
    static const char body[] = "--abc\r\n\r\nbytes\r\n--abc--";
    struct seen s = { .text = BUF_INIT(64) };
    const struct multipart_handlers to = { on_part, refuse, &s };
    struct error e = { 0 };
    struct multipart m;

    (void)state;
    assert_int_equal(multipart_init(&m, str_of(TYPE), &to, &e), 0);
    assert_int_equal(multipart_feed(&m, body, sizeof body - 1, &e), -1);
    assert_int_equal(e.code, ERROR_RESOURCE_EXHAUSTED);
    multipart_release(&m);
    buf_release(&s.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_come_out_whole_wherever_the_body_is_cut),
        cmocka_unit_test(test_what_is_no_multipart_body_is_refused),
        cmocka_unit_test(test_a_boundary_has_at_most_70_characters),
        cmocka_unit_test(test_headers_and_parts_are_bounded),
        cmocka_unit_test(test_a_callbacks_failure_ends_the_reading),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
