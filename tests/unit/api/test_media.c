/* Goal: spans of uploads and hashes mean what HTTP and Cloud Storage say they mean, at their
 * limits too. Method: tables of texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/media.h"
#include "base/mem.h"

static void test_a_content_range_says_bytes_or_asks(void **state)
{
    static const struct {
        const char *text;
        struct media_span want;
    } good[] = {
        { "bytes 0-9/10", { true, true, true, 0, 10, 10 } },
        { "bytes 5-5/*", { true, true, false, 5, 6, 0 } },
        { "bytes 0-*/*", { true, false, false, 0, 0, 0 } },
        { "bytes 7-*/10", { true, false, true, 7, 0, 10 } },
        { "bytes */10", { false, false, true, 0, 0, 10 } },
        { "bytes */*", { false, false, false, 0, 0, 0 } },
        { "bytes */0", { false, false, true, 0, 0, 0 } },
        { "bytes 0-18446744073709551614/*", { true, true, false, 0, UINT64_MAX, 0 } },
    };
    static const char *const bad[] = {
        "",
        "bytes",
        "bytes 0-9",
        "bytes 0/10",
        "bytes 1-0/",
        "bytes 1-0/10",
        "bytes 0-10/10",
        "bytes 11-*/10",
        "bytes -1/2",
        "bytes 0-9/10 ",
        "octets 0-9/10",
        "bytes 0-9/18446744073709551616",
        "bytes=0-9/10",
        "bytes 0-18446744073709551615/*",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct error e = { 0 };
        struct media_span s;
        assert_int_equal(media_span_read(str_of(good[i].text), &s, &e), 0);
        assert_int_equal(s.has_bytes, good[i].want.has_bytes);
        assert_int_equal(s.has_end, good[i].want.has_end);
        assert_int_equal(s.has_total, good[i].want.has_total);
        assert_int_equal(s.first, good[i].want.first);
        assert_int_equal(s.end, good[i].want.end);
        assert_int_equal(s.total, good[i].want.total);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct error e = { 0 };
        struct media_span s;
        assert_int_equal(media_span_read(str_of(bad[i]), &s, &e), -1);
        assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
    }
}

static void test_hashes_are_compared_where_both_sides_have_them(void **state)
{
    static const struct blob b = { .crc32c = 0x9a71bb4c,
                                   .md5 = "0123456789abcde",
                                   .has_md5 = true };
    struct blob composed = b;
    static const struct {
        const char *header;
        int read, check;
    } cases[] = {
        { "", 0, 0 },
        { "crc32c=mnG7TA==", 0, 0 },
        { " md5=MDEyMzQ1Njc4OWFiY2RlAA== , crc32c=mnG7TA==", 0, 0 },
        { "sha256=whatever", 0, 0 },
        { "crc32c=mnG7TQ==", 0, -1 },
        { "md5=AAAAAAAAAAAAAAAAAAAAAA==", 0, -1 },
        { "md5=AAAA", -1, 0 },
        { "crc32c=", -1, 0 },
        { "crc32c=mnG7TB==", -1, 0 },
        { "crc32c=mnG7TAAA", -1, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error e = { 0 };
        struct media_hashes h = { 0 };
        assert_int_equal(media_hashes_header(str_of(cases[i].header), &h, &e), cases[i].read);
        if (cases[i].read == 0)
            assert_int_equal(media_hashes_check(&h, &b, &e), cases[i].check);
    }
    struct error e = { 0 };
    struct media_hashes h = { .has_md5 = true };
    composed.has_md5 = false;
    assert_int_equal(media_hashes_check(&h, &composed, &e), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_content_range_says_bytes_or_asks),
        cmocka_unit_test(test_hashes_are_compared_where_both_sides_have_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
