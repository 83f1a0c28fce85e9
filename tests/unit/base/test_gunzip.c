/* Goal: a reader gets the content of a gzip file, of any shape that gzip has, and an error for one that is
 * broken; other files as they are. Method: files of each shape, read in pieces of several sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/gunzip.h"
#include "gzip_of.h"
#include "scratch.h"

#define CONTENT_MAX ((size_t)1024 * 1024)

static int64_t read_file(const struct scratch *s, size_t piece, char *out, struct error *e)
{
    char path[SCRATCH_PATH_BYTES];
    int64_t n, total = 0;
    struct gunzip *g = gunzip_open(sys_open(scratch_path(s, "f", path), O_RDONLY, e));

    while ((n = gunzip_read(g, out + total, piece, "the file", e)) > 0) {
        total += n;
        assert_true((size_t)total + piece < CONTENT_MAX);
    }
    gunzip_close(g);
    return n < 0 ? -1 : total;
}

static void test_members_in_a_row_are_one_content_in_pieces_of_any_size(void **state)
{
    static const size_t pieces[] = { 1, 7, 4096, 200000 };
    struct scratch s;
    struct error e = { 0 };
    unsigned char *packed = mem_alloc(2 * GZIP_OF_BYTES);
    char *text = mem_alloc(CONTENT_MAX), *got = mem_alloc(CONTENT_MAX);

    (void)state;
    scratch_make(&s);
    for (size_t i = 0; i < 300000; i++)
        text[i] = (char)('a' + i / 1000 % 26);
    size_t first = gzip_of(text, 200000, packed);
    size_t len = first + gzip_of(text + 200000, 100000, packed + first);
    scratch_write(&s, "f", packed, len);
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        assert_int_equal(read_file(&s, pieces[i], got, &e), 300000);
        assert_memory_equal(got, text, 300000);
    }
    scratch_remove(&s);
    mem_free(packed);
    mem_free(text);
    mem_free(got);
}

static void test_a_file_that_is_no_gzip_is_read_as_it_is(void **state)
{
    struct scratch s;
    struct error e = { 0 };
    char got[1024];

    (void)state;
    scratch_make(&s);
    scratch_write(&s, "f", "plain", 5);
    assert_int_equal(read_file(&s, 3, got, &e), 5);
    assert_memory_equal(got, "plain", 5);
    scratch_write(&s, "f", "", 0);
    assert_int_equal(read_file(&s, 3, got, &e), 0);
    scratch_remove(&s);
}

static void test_a_stream_that_is_cut_or_damaged_is_refused(void **state)
{
    struct scratch s;
    struct error e = { 0 };
    unsigned char packed[GZIP_OF_BYTES];
    char text[2000], got[4096];

    (void)state;
    scratch_make(&s);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * i % 251);
    size_t len = gzip_of(text, sizeof text, packed);
    for (size_t cut = 20; cut < len; cut += len / 7) { /* from behind the head */
        scratch_write(&s, "f", packed, cut);
        assert_int_equal(read_file(&s, 512, got, &e), -1);
        assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
        assert_non_null(strstr(e.msg, "the file is not a whole gzip stream"));
    }
    packed[len - 6] ^= 1; /* of the checksum */
    scratch_write(&s, "f", packed, len);
    assert_int_equal(read_file(&s, 512, got, &e), -1);
    assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
    scratch_remove(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members_in_a_row_are_one_content_in_pieces_of_any_size),
        cmocka_unit_test(test_a_file_that_is_no_gzip_is_read_as_it_is),
        cmocka_unit_test(test_a_stream_that_is_cut_or_damaged_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
