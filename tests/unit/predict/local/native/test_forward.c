/* Goal: the native forward computes what libllama computes, and a row's logits depend on its sequence
 * alone. Method: tiny models of every architecture and format, given to both; the same sequence alone,
 * among others, in parts, after a copy, on more threads, compared bit by bit. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "unit/predict/local/native/forward_world.h"

/* ---- As libllama ---- */

static void compare(const struct tiny *as, double least)
{
    struct world w;

    world_open(&w, as, 1);
    float *mine = alone(&w), *theirs = by_libllama(w.file, NULL);
    double like = likeness(mine, theirs, TINY_VOCAB);
    if (!(like > least))
        fail_msg("%s, %s: likeness %f", as->architecture, ggml_type_name(as->type), like);
    mem_free(mine);
    mem_free(theirs);
    world_close(&w);
}

static void test_every_architecture_gives_the_logits_of_libllama(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARCHITECTURES; i++)
        compare(&architectures[i], 0.998);
}

static void test_every_format_gives_the_logits_of_libllama(void **state)
{
    static const enum ggml_type types[] = { GGML_TYPE_F32,  GGML_TYPE_F16,  GGML_TYPE_BF16,
                                            GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q5_0,
                                            GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        const struct tiny as = { .architecture = "llama", .type = types[i] };
        compare(&as, 0.996);
    }
}

/* ---- The same in any batch ---- */

static void same(const struct world *w, const float *want, uint32_t row, const char *when)
{
    if (memcmp(forward_logits(w->forward, row), want, TINY_VOCAB * sizeof *want) != 0)
        fail_msg("other logits %s", when);
}

static void among_others(struct world *w, const float *want)
{
    struct runtime_row row[ROWS_MAX];
    uint32_t count = add_rows(row, 1, 1, 0, 17);

    count += add_rows(row + count, 0, 0, 0, TOKENS);
    uint32_t last = count - 1;
    count += add_rows(row + count, 2, 2, 0, 70);
    compute(w, row, count);
    same(w, want, last, "among others");
    for (uint32_t s = 0; s < 3; s++)
        page_cache_trim(w->cache, s, 0);
}

static void in_parts(struct world *w, const float *want)
{
    static const uint32_t cuts[] = { 0, 1, 64, 65, 100, TOKENS - 1, TOKENS };
    struct runtime_row row[ROWS_MAX];
    uint32_t count = 0;

    for (size_t i = 0; i + 1 < ARRAY_LEN(cuts); i++) {
        count = add_rows(row, 0, 0, cuts[i], cuts[i + 1]);
        compute(w, row, count);
    }
    same(w, want, count - 1, "in parts");
    page_cache_trim(w->cache, 0, 0);
}

/* Sequences 1 to 7 have their beginning from sequence 0 and go on together; the copy is cut within a
 * page, so that each gets its own. */
static void after_copies(struct world *w, const float *want)
{
    struct runtime_row row[ROWS_MAX];
    uint32_t count = 0;

    compute(w, row, add_rows(row, 0, 0, 0, TOKENS - 1));
    for (uint32_t s = 1; s < SEQUENCES; s++)
        page_cache_copy(w->cache, 0, s, TOKENS - 1 - s);
    page_cache_trim(w->cache, 0, 0);
    for (uint32_t s = 1; s < SEQUENCES; s++)
        count += add_rows(row + count, s, 0, TOKENS - 1 - s, TOKENS);
    compute(w, row, count);
    for (uint32_t i = 0; i < count; i++)
        if (row[i].logits)
            same(w, want, i, "after a copy");
    for (uint32_t s = 0; s < SEQUENCES; s++)
        page_cache_trim(w->cache, s, 0);
}

/* The cache has as many pages as all sequences at their longest need. */
static void check_all_pages_are_free(struct world *w)
{
    struct runtime_row row[ROWS_MAX];
    struct error e = { 0 };

    for (uint32_t s = 0; s < SEQUENCES; s++)
        for (uint32_t at = 0; at < TINY_CONTEXT; at += ROWS_MAX)
            assert_int_equal(
                page_cache_reserve(w->cache, row, add_rows(row, s, s, at, at + ROWS_MAX), &e), 0);
}

static void test_a_sequence_gives_the_same_logits_in_any_batch(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARCHITECTURES; i++) {
        struct world w;
        world_open(&w, &architectures[i], 1);
        float *want = alone(&w);
        among_others(&w, want);
        in_parts(&w, want);
        after_copies(&w, want);
        check_all_pages_are_free(&w);
        mem_free(want);
        world_close(&w);
    }
}

static void test_the_number_of_threads_changes_no_bit(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARCHITECTURES; i++) {
        struct world w, v;
        world_open(&w, &architectures[i], 1);
        world_open(&v, &architectures[i], 3);
        float *want = alone(&w);
        among_others(&v, want);
        after_copies(&v, want);
        mem_free(want);
        world_close(&w);
        world_close(&v);
    }
}

/* ---- What is not covered ---- */

static void test_what_is_not_covered_is_unimplemented(void **state)
{
    static const struct tiny odd[] = {
        { .architecture = "gpt2", .type = GGML_TYPE_Q8_0 },
        { .architecture = "llama", .type = GGML_TYPE_Q8_0, .head_norms = true },
        { .architecture = "qwen3", .type = GGML_TYPE_Q8_0 },
    };
    char dir[] = "/tmp/tranche-test-XXXXXX", file[64];
    struct error e = { 0 };

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(file, sizeof file, "%s/odd.gguf", dir);
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        tiny_write(&odd[i], file);
        e = (struct error){ 0 };
        assert_null(decoder_open(file, KERNEL_INT8, 0, &e));
        assert_int_equal(e.code, ERROR_UNIMPLEMENTED);
    }
    assert_int_equal(sys_remove_all(dir, &e), 0);
}

/* ---- Damaged files ---- */

#define HEAD_BYTES 6000 /* of a tiny file: metadata and the names of tensors */
#define FILE_BYTES_MAX ((size_t)64 * 1024 * 1024)

static void open_damaged(const char *path, const struct buf *file, size_t len)
{
    struct error e = { 0 };
    int fd = sys_open(path, O_WRONLY | O_CREAT | O_TRUNC, &e);

    assert_int_equal(sys_write_all(fd, file->p, len, path, &e), 0);
    (void)close(fd);
    struct decoder *d = decoder_open(path, KERNEL_INT8, 0, &e);
    assert_true(d || e.msg[0]);
    decoder_free(d);
}

/* Any outcome but a crash: some bytes change nothing that matters. */
static void test_damaged_files_do_no_harm(void **state)
{
    const struct tiny as = { .architecture = "llama", .type = GGML_TYPE_Q4_0 };
    char dir[] = "/tmp/tranche-test-XXXXXX", file[64];
    struct buf bytes = BUF_INIT(FILE_BYTES_MAX);
    struct error e = { 0 };

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(file, sizeof file, "%s/damaged.gguf", dir);
    tiny_write(&as, file);
    assert_int_equal(sys_read_file(file, FILE_BYTES_MAX, &bytes, &e), 0);
    for (size_t len = 0; len < bytes.len; len = len * 5 / 4 + 7)
        open_damaged(file, &bytes, len);
    for (size_t at = 0; at < HEAD_BYTES; at += 41) {
        bytes.p[at] = (char)(bytes.p[at] ^ 0x81);
        open_damaged(file, &bytes, bytes.len);
        bytes.p[at] = (char)(bytes.p[at] ^ 0x81);
    }
    buf_release(&bytes);
    assert_int_equal(sys_remove_all(dir, &e), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_architecture_gives_the_logits_of_libllama),
        cmocka_unit_test(test_every_format_gives_the_logits_of_libllama),
        cmocka_unit_test(test_a_sequence_gives_the_same_logits_in_any_batch),
        cmocka_unit_test(test_the_number_of_threads_changes_no_bit),
        cmocka_unit_test(test_what_is_not_covered_is_unimplemented),
        cmocka_unit_test(test_damaged_files_do_no_harm),
    };

    llama_log_set(drop_log, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
