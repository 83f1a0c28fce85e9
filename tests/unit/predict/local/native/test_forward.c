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

#include <llama.h>

#include "base/mem.h"
#include "base/sys.h"
#include "predict/local/native/forward.h"
#include "unit/predict/local/tiny_model.h"

#define SEQUENCES 8
#define ROWS_MAX 256
#define TOKENS 150 /* more than two pages and than a window */

static const struct tiny architectures[] = {
    { .architecture = "llama", .type = GGML_TYPE_Q8_0 },
    { .architecture = "llama", .type = GGML_TYPE_Q8_0, .own_output = true, .divisors = true },
    { .architecture = "qwen2", .type = GGML_TYPE_Q8_0, .bias = true },
    { .architecture = "qwen3", .type = GGML_TYPE_Q8_0, .head_norms = true },
    { .architecture = "gemma3", .type = GGML_TYPE_Q8_0, .head_norms = true, .after_norms = true },
};
#define ARCHITECTURES (ARRAY_LEN(architectures))

/* ---- A model in a folder ---- */

struct world {
    char dir[32], file[64];
    struct decoder *decoder;
    struct page_cache *cache;
    struct team *team;
    struct forward *forward;
};

static void world_open(struct world *w, const struct tiny *as, uint32_t threads)
{
    struct error e = { 0 };

    (void)snprintf(w->dir, sizeof w->dir, "/tmp/tranche-test-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    (void)snprintf(w->file, sizeof w->file, "%s/tiny.gguf", w->dir);
    tiny_write(as, w->file);
    w->decoder = decoder_open(w->file, kernel_best(false)->layout.format, &e);
    if (!w->decoder)
        fail_msg("%s: %s", as->architecture, e.msg);
    decoder_make_rope(w->decoder, TINY_CONTEXT);
    w->team = team_new(threads, &e);
    const struct page_shape shape = { 64, SEQUENCES, TINY_CONTEXT, TINY_LAYERS * TINY_KV_HEADS,
                                      TINY_DIM };
    w->cache = page_cache_new(&shape);
    const struct forward_setup setup = { w->decoder, kernel_best(false), w->cache,
                                         w->team,    ROWS_MAX,           SEQUENCES };
    w->forward = forward_new(&setup);
}

static void world_close(struct world *w)
{
    struct error e = { 0 };

    forward_free(w->forward);
    team_free(w->team);
    page_cache_free(w->cache);
    decoder_free(w->decoder);
    assert_int_equal(sys_remove_all(w->dir, &e), 0);
}

static int32_t token_at(uint32_t sequence, uint32_t position)
{
    return (int32_t)((position * 37 + sequence * 101 + position * position) % TINY_VOCAB);
}

/* Rows [from, to) of a sequence, whose tokens are those of sequence `like`; the last wants logits. */
static uint32_t add_rows(struct runtime_row *row, uint32_t sequence, uint32_t like, uint32_t from,
                         uint32_t to)
{
    for (uint32_t i = from; i < to; i++)
        *row++ = (struct runtime_row){
            .token = token_at(like, i), .sequence = sequence, .position = i, .logits = i + 1 == to
        };
    return to - from;
}

static void compute(struct world *w, const struct runtime_row *row, uint32_t count)
{
    struct error e = { 0 };

    if (page_cache_reserve(w->cache, row, count, &e) < 0)
        fail_msg("%s", e.msg);
    forward_compute(w->forward, row, count);
}

/* The logits after TOKENS of sequence 0, computed alone. */
static float *alone(struct world *w)
{
    struct runtime_row row[ROWS_MAX];
    float *out = mem_array(TINY_VOCAB, sizeof *out);

    compute(w, row, add_rows(row, 0, 0, 0, TOKENS));
    memcpy(out, forward_logits(w->forward, TOKENS - 1), TINY_VOCAB * sizeof *out);
    page_cache_trim(w->cache, 0, 0);
    return out;
}

/* ---- As libllama ---- */

static float *by_libllama(const char *file)
{
    struct llama_model_params mp = llama_model_default_params();
    struct llama_context_params cp = llama_context_default_params();
    struct llama_batch b = llama_batch_init(TOKENS, 0, 1);
    float *out = mem_array(TINY_VOCAB, sizeof *out);

    struct llama_model *m = llama_model_load_from_file(file, mp);
    assert_non_null(m);
    cp.n_ctx = TINY_CONTEXT;
    cp.n_batch = cp.n_ubatch = ROWS_MAX;
    cp.n_threads = cp.n_threads_batch = 1;
    struct llama_context *c = llama_init_from_model(m, cp);
    assert_non_null(c);
    for (int i = 0; i < TOKENS; i++) {
        b.token[i] = token_at(0, (uint32_t)i);
        b.pos[i] = i;
        b.n_seq_id[i] = 1;
        b.seq_id[i][0] = 0;
        b.logits[i] = i + 1 == TOKENS;
    }
    b.n_tokens = TOKENS;
    assert_int_equal(llama_decode(c, b), 0);
    memcpy(out, llama_get_logits_ith(c, TOKENS - 1), TINY_VOCAB * sizeof *out);
    llama_batch_free(b);
    llama_free(c);
    llama_model_free(m);
    return out;
}

/* The cosine of the angle between two rows of logits. A forward that differs in anything but rounding
 * gives next to nothing; int8 products lose about as much here as libllama's Q8_0 does against F32. */
static double likeness(const float *a, const float *b, uint32_t count)
{
    double ab = 0.0, aa = 0.0, bb = 0.0;

    for (uint32_t i = 0; i < count; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

static void drop_log(enum ggml_log_level level, const char *text, void *arg)
{
    (void)level;
    (void)text;
    (void)arg;
}

static void compare(const struct tiny *as, double least)
{
    struct world w;

    world_open(&w, as, 1);
    float *mine = alone(&w), *theirs = by_libllama(w.file);
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
        assert_null(decoder_open(file, KERNEL_INT8, &e));
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
    struct decoder *d = decoder_open(path, KERNEL_INT8, &e);
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
