/* Goal: the files that the user means are opened, the others refused with a remedy, and changed bytes
 * are noticed. Method: a scratch folder of odd names. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/lines/cutter.h"
#include "engine/lines/digest.h"
#include "scratch.h"

struct fixture {
    struct scratch dir;
    struct input input;
};

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);

    scratch_make(&f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    input_release(&f->input);
    scratch_remove(&f->dir);
    mem_free(f);
    return 0;
}

static int open_one(struct fixture *f, const char *name, struct error *e)
{
    char path[SCRATCH_PATH_BYTES];
    const char *paths[] = { scratch_path(&f->dir, name, path) };

    input_release(&f->input);
    return input_open(&f->input, paths, 1, f->dir.dir, e);
}

static void assert_file(const struct fixture *f, uint32_t i, const char *name)
{
    char path[SCRATCH_PATH_BYTES];

    assert_true(i < f->input.count);
    assert_string_equal(f->input.file[i].path, scratch_path(&f->dir, name, path));
}

static void assert_refused(struct fixture *f, const char *name, enum error_code code,
                           const char *word)
{
    struct error e = { 0 };

    assert_int_equal(open_one(f, name, &e), -1);
    assert_int_equal(e.code, code);
    assert_non_null(strstr(e.msg, word));
    assert_int_equal(f->input.count, 0);
}

static void test_a_pattern_means_its_matches_in_byte_order(void **state)
{
    struct fixture *f = *state;
    struct error e = { 0 };
    static const char *const names[] = { "b.jsonl", "a.jsonl", "B.jsonl", "c.txt" };

    for (size_t i = 0; i < 4; i++)
        scratch_write(&f->dir, names[i], "x", 1);
    assert_int_equal(open_one(f, "*.jsonl", &e), 0);
    assert_int_equal(f->input.count, 3);
    assert_file(f, 0, "B.jsonl");
    assert_file(f, 1, "a.jsonl");
    assert_file(f, 2, "b.jsonl");
    assert_int_equal(f->input.bytes, 3);
    assert_int_equal(open_one(f, "[ab].jsonl", &e), 0);
    assert_int_equal(f->input.count, 2);
    assert_int_equal(open_one(f, "?.txt", &e), 0);
    assert_file(f, 0, "c.txt");
}

static void test_an_existing_name_with_pattern_characters_is_itself(void **state)
{
    struct fixture *f = *state;
    struct error e = { 0 };

    scratch_write(&f->dir, "what*.jsonl", "", 0);
    scratch_write(&f->dir, "whatever.jsonl", "", 0);
    assert_int_equal(open_one(f, "what*.jsonl", &e), 0);
    assert_int_equal(f->input.count, 1);
    assert_file(f, 0, "what*.jsonl");
}

static void test_what_cannot_be_an_input_is_refused_with_a_remedy(void **state)
{
    struct fixture *f = *state;
    char path[SCRATCH_PATH_BYTES];
    struct error e = { 0 };

    assert_refused(f, "absent.jsonl", ERROR_NOT_FOUND, "absent.jsonl");
    assert_refused(f, "*.absent", ERROR_NOT_FOUND, "no file matches");
    assert_int_equal(sys_mkdirs(scratch_path(&f->dir, "folder", path), &e), 0);
    assert_refused(f, "folder", ERROR_INVALID_ARGUMENT, "/*.jsonl");
    scratch_write(&f->dir, "packed.jsonl", "\x1F\x8B\x08", 3);
    assert_refused(f, "packed.jsonl", ERROR_INVALID_ARGUMENT, "is not a whole gzip stream");
    scratch_write(&f->dir, "packed.zst", "\x28\xB5\x2F\xFD", 4);
    assert_refused(f, "packed.zst", ERROR_INVALID_ARGUMENT, "is not a whole zstd stream");
    assert_int_equal(mkfifo(scratch_path(&f->dir, "pipe", path), 0600), 0);
    assert_refused(f, "pipe", ERROR_INVALID_ARGUMENT, "not a regular file");
}

/* `printf a | gzip -n` twice: one content of two members. */
static void test_a_gzip_file_is_read_unpacked_and_known_as_the_file_that_was_given(void **state)
{
    static const char member[] = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b\x04\x00\x43\xbe"
                                 "\xb7\xe8\x01\x00\x00\x00";
    struct fixture *f = *state;
    char path[SCRATCH_PATH_BYTES], back[2], two[2 * (sizeof member - 1)];
    struct error e = { 0 };
    struct stat st;

    memcpy(two, member, sizeof member - 1);
    memcpy(two + sizeof member - 1, member, sizeof member - 1);
    scratch_write(&f->dir, "a.gz", two, sizeof two);
    assert_int_equal(open_one(f, "a.gz", &e), 0);
    assert_int_equal(f->input.bytes, 2);
    assert_int_equal(input_read_at(&f->input, 0, 0, back, 2, &e), 0);
    assert_memory_equal(back, "aa", 2);
    assert_int_equal(stat(scratch_path(&f->dir, "a.gz", path), &st), 0);
    assert_true(input_has(&f->input, &st));
    scratch_write(&f->dir, "cut.gz", member, sizeof member - 5);
    assert_refused(f, "cut.gz", ERROR_INVALID_ARGUMENT, "is not a whole gzip stream");
}

/* Standard input is a pipe here; its copy goes with the input, unless it is kept. */
static void test_standard_input_is_copied_and_read_as_a_file(void **state)
{
    struct fixture *f = *state;
    const char *paths[] = { "-" };
    struct error e = { 0 };
    int ends[2], kept = dup(STDIN_FILENO);
    char back[5];

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "hello", 5), 5);
    assert_int_equal(close(ends[1]), 0);
    assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    int rc = input_open(&f->input, paths, 1, f->dir.dir, &e);
    assert_true(dup2(kept, STDIN_FILENO) >= 0);
    assert_int_equal(close(kept) + close(ends[0]), 0);
    assert_int_equal(rc, 0);
    assert_int_equal(f->input.file[0].bytes, 5);
    assert_int_equal(input_read_at(&f->input, 0, 0, back, 5, &e), 0);
    assert_memory_equal(back, "hello", 5);
    const char *copy = f->input.file[0].copy;
    assert_int_equal(access(copy, R_OK), 0);
    input_release(&f->input);
    assert_int_equal(rmdir(f->dir.dir), 0);
    assert_int_equal(mkdir(f->dir.dir, 0700), 0);
}

/* Cuts the one shard of the only file. */
static struct shard only_shard(struct fixture *f)
{
    struct cutter c;
    struct piece piece = { 0 };
    struct shard s;
    struct error e = { 0 };

    cutter_init(&c, &f->input, 0, 0);
    assert_int_equal(cutter_next(&c, &piece, &s, &e), 1);
    if (!s.overlong)
        digest_of(piece.p, (size_t)s.bytes, s.digest);
    piece_release(&piece);
    return s;
}

static void test_a_shard_that_changed_is_not_read(void **state)
{
    struct fixture *f = *state;
    struct buf bytes = BUF_INIT(1000);
    struct error e = { 0 };

    scratch_write(&f->dir, "in.jsonl", "one\ntwo\n", 8);
    assert_int_equal(open_one(f, "in.jsonl", &e), 0);
    struct shard s = only_shard(f);
    assert_int_equal(input_read_shard(&f->input, &s, &bytes, &e), 0);
    assert_true(str_eq(buf_str(&bytes), STR("one\ntwo\n")));
    scratch_write(&f->dir, "in.jsonl", "one\ntwO\n", 8);
    assert_int_equal(input_read_shard(&f->input, &s, &bytes, &e), -1);
    assert_int_equal(e.code, ERROR_FAILED_PRECONDITION);
    scratch_write(&f->dir, "in.jsonl", "one\n", 4);
    assert_int_equal(input_read_shard(&f->input, &s, &bytes, &e), -1);
    assert_int_equal(e.code, ERROR_FAILED_PRECONDITION);
    buf_release(&bytes);
}

static void test_an_overlong_shard_is_checked_whole_but_only_its_head_is_kept(void **state)
{
    struct fixture *f = *state;
    struct buf bytes = BUF_INIT(10000);
    struct error e = { 0 };
    size_t len = LINE_BYTES_MAX + 300000;
    char *text = mem_alloc(len);

    memset(text, 'y', len);
    scratch_write(&f->dir, "in.jsonl", text, len);
    assert_int_equal(open_one(f, "in.jsonl", &e), 0);
    struct shard s = only_shard(f);
    assert_true(s.overlong);
    assert_int_equal(s.bytes, len);
    assert_int_equal(input_read_shard(&f->input, &s, &bytes, &e), 0);
    assert_int_equal(bytes.len, OVERLONG_HEAD_BYTES);
    text[len - 1] = 'z';
    scratch_write(&f->dir, "in.jsonl", text, len);
    assert_int_equal(input_read_shard(&f->input, &s, &bytes, &e), -1);
    assert_int_equal(e.code, ERROR_FAILED_PRECONDITION);
    mem_free(text);
    buf_release(&bytes);
}

static int scratch_fd(const struct fixture *f, const char *name)
{
    char path[SCRATCH_PATH_BYTES];
    struct error e = { 0 };
    int fd = sys_open(scratch_path(&f->dir, name, path), O_RDONLY, &e);

    assert_true(fd >= 0);
    return fd;
}

static void test_open_descriptors_are_an_input_under_the_names_given(void **state)
{
    struct fixture *f = *state;
    struct error e = { 0 };
    char got[6];

    scratch_write(&f->dir, "a", "one\n", 4);
    scratch_write(&f->dir, "b", "three\n", 6);
    const struct input_source src[] = { { "gs://b/a", scratch_fd(f, "a"), NULL },
                                        { "gs://b/b", scratch_fd(f, "b"), NULL } };
    assert_int_equal(input_open_fds(&f->input, src, 2, &e), 0);
    assert_int_equal(f->input.count, 2);
    assert_int_equal(f->input.bytes, 10);
    assert_string_equal(f->input.file[1].path, "gs://b/b");
    assert_int_equal(input_read_at(&f->input, 1, 0, got, sizeof got, &e), 0);
    assert_memory_equal(got, "three\n", 6);
}

static void test_refused_descriptors_are_closed_with_the_others(void **state)
{
    struct fixture *f = *state;
    struct error e = { 0 };

    scratch_write(&f->dir, "a", "one\n", 4);
    scratch_write(&f->dir, "zip", "\x1F\x8B\x08", 3);
    const struct input_source src[] = { { "first", scratch_fd(f, "a"), NULL },
                                        { "packed", scratch_fd(f, "zip"), NULL },
                                        { "last", scratch_fd(f, "a"), NULL } };
    assert_int_equal(input_open_fds(&f->input, src, 3, &e), -1);
    assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(e.msg, "packed"));
    for (int i = 0; i < 3; i++)
        assert_int_equal(fcntl(src[i].fd, F_GETFD), -1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_pattern_means_its_matches_in_byte_order),
        TEST(test_an_existing_name_with_pattern_characters_is_itself),
        TEST(test_what_cannot_be_an_input_is_refused_with_a_remedy),
        TEST(test_a_gzip_file_is_read_unpacked_and_known_as_the_file_that_was_given),
        TEST(test_standard_input_is_copied_and_read_as_a_file),
        TEST(test_a_shard_that_changed_is_not_read),
        TEST(test_an_overlong_shard_is_checked_whole_but_only_its_head_is_kept),
        TEST(test_open_descriptors_are_an_input_under_the_names_given),
        TEST(test_refused_descriptors_are_closed_with_the_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
