/* Goal: the slices of an input adjoin, have whole lines, and together have each line once, for every N.
 * Method: files with empty lines, CRLF, a byte order mark, long lines and no last line end; tables with line ends in
 * quotes; the lines of all slices against the lines of the whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/lines/cutter.h"
#include "engine/lines/slice.h"
#include "scratch.h"

#define TEXT_BYTES_MAX ((size_t)4 * 1024 * 1024)

static void write_text(const struct scratch *dir, const char *name, const char *text)
{
    scratch_write(dir, name, text, strlen(text));
}

/* A long line crosses the pieces that are searched. */
static void write_files(const struct scratch *dir)
{
    char *text = mem_alloc(200001);

    write_text(dir, "a", "\xEF\xBB\xBF{1}\r\n\n{22}\n  \n{333}");
    write_text(dir, "b", "");
    memset(text, 'x', 200000);
    text[0] = text[70000] = text[199999] = '\n';
    scratch_write(dir, "c", text, 200000);
    write_text(dir, "d", "{4}\n{5}\n");
    mem_free(text);
}

static void open_all(const struct scratch *dir, const struct line_cut *cut, struct input *in)
{
    char path[SCRATCH_PATH_BYTES];
    const char *pattern = scratch_path(dir, cut ? "*.csv" : "?", path);
    struct error e = { 0 };

    assert_int_equal(input_open(in, &pattern, 1, dir->dir, &e), 0);
    in->cut = cut;
    for (uint32_t i = 0; cut && i < in->count; i++) { /* "h,t\n" stands before the rows */
        in->file[i].begin = 4;
        in->file[i].line_no = 2;
    }
}

/* Appends the input's lines with a mark behind each. */
static void add_lines(const struct input *in, struct buf *out)
{
    struct cutter c;
    struct piece piece = { 0 };
    struct shard s;
    struct lines it;
    struct line line;
    struct error e = { 0 };
    int rc;

    cutter_init(&c, in, 0, 0);
    while ((rc = cutter_next(&c, &piece, &s, &e)) == 1) {
        lines_init(&it, &s, piece.p, in->cut);
        while (lines_next(&it, &line)) {
            buf_add_str(out, line.text);
            buf_add_c(out, "\x01");
        }
    }
    assert_int_equal(rc, 0);
    piece_release(&piece);
}

static void check_slices(const struct scratch *dir, const struct line_cut *cut, uint32_t count)
{
    struct buf whole = BUF_INIT(TEXT_BYTES_MAX), parts = BUF_INIT(TEXT_BYTES_MAX);
    struct input in;
    uint64_t end = 0, first_digest = 0, digest[2];
    struct error e = { 0 };

    open_all(dir, cut, &in);
    add_lines(&in, &whole);
    uint64_t bytes = in.bytes;
    input_release(&in);
    for (uint32_t k = 0; k < count; k++) {
        struct slice s = { .number = k, .count = count };
        open_all(dir, cut, &in);
        assert_int_equal(slice_take(&s, &in, NULL, &e), 0);
        add_lines(&in, &parts);
        assert_int_equal(s.begin, k ? end : cut ? 4 : 0);
        assert_int_equal(s.input_bytes, bytes);
        end = s.end;
        first_digest = k ? first_digest : s.digest[0];
        assert_int_equal(s.digest[0], first_digest);
        input_release(&in);
        open_all(dir, cut, &in);
        assert_int_equal(slice_bytes(&in, k ? s.begin : 0, s.end, NULL, digest, &e), 0);
        assert_memory_equal(digest, s.content, sizeof digest);
        input_release(&in);
    }
    assert_int_equal(end, bytes);
    assert_int_equal(parts.len, whole.len);
    assert_memory_equal(parts.p, whole.p, whole.len);
    buf_release(&whole);
    buf_release(&parts);
}

static void test_the_slices_of_json_lines_have_each_line_once(void **state)
{
    struct scratch dir;

    (void)state;
    scratch_make(&dir);
    write_files(&dir);
    for (uint32_t n = 1; n <= 70; n++)
        check_slices(&dir, NULL, n);
    check_slices(&dir, NULL, 9973);
    scratch_remove(&dir);
}

static void test_the_slices_of_a_table_have_each_record_once(void **state)
{
    static const struct line_cut cut = { .delimiter = ',' };
    struct scratch dir;

    (void)state;
    scratch_make(&dir);
    write_text(&dir, "a.csv",
               "h,t\n1,\"a\nb\"\n2,\"\n\n\n\"\n\n3,\"say \"\"x\"\"\n,\"\r\n4,plain\n5,\"q\n");
    write_text(&dir, "b.csv", "h,t\n");
    write_text(&dir, "c.csv", "h,t\n6,\"a\n\n\nb\"\n7,x");
    for (uint32_t n = 1; n <= 100; n++)
        check_slices(&dir, &cut, n);
    scratch_remove(&dir);
}

static void test_a_slice_is_k_of_n_from_zero(void **state)
{
    static const char *const refused[] = {
        "",    "3",   "/4",   "4/4",    "3/",           "-1/4",
        "0/0", "a/b", "1/4 ", "0x1/16", "1/4294967297", "0/10001"
    };
    struct error e = { 0 };
    struct slice s;

    (void)state;
    assert_int_equal(slice_parse("3/64", &s, &e), 0);
    assert_int_equal(s.number, 3);
    assert_int_equal(s.count, 64);
    assert_int_equal(slice_parse("0/1", &s, &e), 0);
    assert_int_equal(slice_parse("9999/10000", &s, &e), 0);
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        assert_int_equal(slice_parse(refused[i], &s, &e), -1);
        assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_slices_of_json_lines_have_each_line_once),
        cmocka_unit_test(test_the_slices_of_a_table_have_each_record_once),
        cmocka_unit_test(test_a_slice_is_k_of_n_from_zero),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
