/* Goal: rows with adapters are computed as libllama computes them, rows without as if there were none,
 * and a row's logits depend on its sequence and adapter alone. Method: tiny models of every
 * architecture and generated adapters, given to both; zero changes, one matrix at a time, several
 * adapters in one forward, compared bit by bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/predict/local/native/forward_world.h"

#define A_FILES 3

struct lora_world {
    struct world w;
    char file[A_FILES][64];
};

static int load(struct world *w, uint32_t id, const struct adapter_list *files, struct error *e)
{
    struct lora *l = lora_open(w->decoder, kernel_best(false)->layout.format, files, e);

    return l ? lora_table_put(w->adapters, id, l, e) : -1;
}

static void load_one(struct world *w, uint32_t id, const char *file)
{
    const struct adapter_list files = { { { file, 1.0f, 0 } }, 1 };
    struct error e = { 0 };

    if (load(w, id, &files, &e) < 0)
        fail_msg("%s", e.msg);
}

static void open_with(struct lora_world *l, const struct tiny *as, const struct tiny_adapter *a,
                      uint32_t count, uint32_t threads)
{
    world_open(&l->w, as, threads);
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(l->file[i], sizeof l->file[i], "%s/a%u.gguf", l->w.dir, i);
        tiny_adapter_write(as, &a[i], l->file[i]);
        load_one(&l->w, i + 1, l->file[i]);
    }
}

static void set_adapter(struct runtime_row *row, uint32_t count, uint32_t adapter)
{
    for (uint32_t i = 0; i < count; i++)
        row[i].adapter = adapter;
}

/* The logits after TOKENS of sequence 0 with this adapter, computed alone. */
static float *alone_with(struct world *w, uint32_t adapter)
{
    struct runtime_row row[ROWS_MAX];
    float *out = mem_array(TINY_VOCAB, sizeof *out);
    uint32_t count = add_rows(row, 0, 0, 0, TOKENS);

    set_adapter(row, count, adapter);
    compute(w, row, count);
    memcpy(out, forward_logits(w->forward, TOKENS - 1), TINY_VOCAB * sizeof *out);
    page_cache_trim(w->cache, 0, 0);
    return out;
}

static void compare(const struct tiny *as, const struct tiny_adapter *a)
{
    struct lora_world l;

    open_with(&l, as, a, 1, 1);
    float *mine = alone_with(&l.w, 1), *base = alone(&l.w);
    float *theirs = by_libllama(l.w.file, l.file[0]);
    double like = likeness(mine, theirs, TINY_VOCAB), other = likeness(base, theirs, TINY_VOCAB);
    if (!(like > 0.997 && 1.0 - other > 10.0 * (1.0 - like)))
        fail_msg("%s, %s: likeness %f, without the adapter %f", as->architecture,
                 a->only ? a->only : "all", like, other);
    mem_free(mine);
    mem_free(base);
    mem_free(theirs);
    world_close(&l.w);
}

static void test_every_architecture_gives_the_logits_of_libllama(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARCHITECTURES; i++)
        compare(&architectures[i],
                &(struct tiny_adapter){ .rank = 8, .chance = 5, .alpha = 16.0f, .size = 0.06f });
}

static void test_every_matrix_is_changed_as_by_libllama(void **state)
{
    static const struct {
        const char *only;
        float size;
    } parts[] = { { "attn_q", 1.5f },      { "attn_k", 1.5f },   { "attn_v", 0.5f },
                  { "attn_output", 0.5f }, { "ffn_gate", 0.6f }, { "ffn_up", 0.6f },
                  { "ffn_down", 0.5f } };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        compare(&architectures[0], &(struct tiny_adapter){ .rank = 40,
                                                           .chance = 9,
                                                           .alpha = 8.0f,
                                                           .size = parts[i].size,
                                                           .only = parts[i].only });
    const struct tiny_adapter output = {
        .rank = 3, .chance = 9, .alpha = 30.0f, .size = 0.3f, .only = "none", .output = "output"
    };
    compare(&architectures[1], &output);
}

static void test_a_change_of_zero_gives_the_exact_logits_of_the_base(void **state)
{
    const struct tiny_adapter zero = { .rank = 8, .chance = 5, .alpha = 16.0f, .size = 0.0f };

    (void)state;
    for (size_t i = 0; i < ARCHITECTURES; i++) {
        struct lora_world l;
        open_with(&l, &architectures[i], &zero, 1, 1);
        float *base = alone(&l.w), *with = alone_with(&l.w, 1);
        assert_memory_equal(base, with, TINY_VOCAB * sizeof *base);
        mem_free(base);
        mem_free(with);
        world_close(&l.w);
    }
}

/* ---- Together ---- */

static const struct tiny_adapter several[A_FILES] = {
    { .rank = 8, .chance = 5, .alpha = 16.0f, .size = 0.06f },
    { .rank = 33, .chance = 6, .alpha = 33.0f, .size = 0.06f, .only = "ffn_up" },
    { .rank = 1, .chance = 7, .alpha = 2.0f, .size = 0.5f, .only = "attn_q" },
};

static void same(const struct world *w, const float *want, uint32_t row, const char *when)
{
    if (memcmp(forward_logits(w->forward, row), want, TINY_VOCAB * sizeof *want) != 0)
        fail_msg("other logits %s", when);
}

/* Prompts of 60 tokens of four sequences with four adapters, given in an order that is not theirs, and
 * then a token of each, between those of others. */
static void check_together(struct world *w, float *const *want)
{
    static const uint32_t order[] = { 2, 0, 3, 1 };
    struct runtime_row row[ROWS_MAX];
    uint32_t count = 0;

    for (uint32_t n = 0; n < 4; n++) {
        uint32_t a = order[n], added = add_rows(row + count, a, 0, 0, 60);
        set_adapter(row + count, added, a);
        count += added;
    }
    compute(w, row, count);
    for (uint32_t at = 60; at < TOKENS; at++) {
        count = 0;
        for (uint32_t n = 0; n < 4; n++) {
            uint32_t a = order[(n + at) % 4], added = add_rows(row + count, a, 0, at, at + 1);
            set_adapter(row + count, added, a);
            count += added;
        }
        compute(w, row, count);
    }
    for (uint32_t i = 0; i < count; i++)
        same(w, want[row[i].adapter], i, row[i].adapter ? "with an adapter" : "without one");
    for (uint32_t s = 0; s < 4; s++)
        page_cache_trim(w->cache, s, 0);
}

static void test_rows_of_several_adapters_give_the_same_logits_as_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARCHITECTURES; i++) {
        struct lora_world one, three;
        float *want[A_FILES + 1];
        open_with(&one, &architectures[i], several, A_FILES, 1);
        open_with(&three, &architectures[i], several, A_FILES, 3);
        for (uint32_t a = 0; a <= A_FILES; a++)
            want[a] = alone_with(&one.w, a);
        assert_memory_not_equal(want[0], want[1], TINY_VOCAB * sizeof(float));
        assert_memory_not_equal(want[1], want[2], TINY_VOCAB * sizeof(float));
        check_together(&one.w, want);
        check_together(&three.w, want);
        for (uint32_t a = 0; a <= A_FILES; a++)
            mem_free(want[a]);
        world_close(&one.w);
        world_close(&three.w);
    }
}

/* Two adapters over one model are what one with both changes is: here the same change twice, and once
 * with twice the scale. */
static void test_changes_of_two_files_add_up(void **state)
{
    struct lora_world l;
    struct error e = { 0 };

    (void)state;
    open_with(&l, &architectures[0], several, 1, 1);
    const struct adapter_list twice = { { { l.file[0], 1.0f, 0 }, { l.file[0], 1.0f, 0 } }, 2 };
    const struct adapter_list scaled = { { { l.file[0], 2.0f, 0 } }, 1 };
    assert_int_equal(load(&l.w, 8, &twice, &e), 0);
    assert_int_equal(load(&l.w, 9, &scaled, &e), 0);
    float *a = alone_with(&l.w, 8), *b = alone_with(&l.w, 9), *once = alone_with(&l.w, 1);
    assert_true(likeness(a, b, TINY_VOCAB) > 0.998);
    assert_true(likeness(a, once, TINY_VOCAB) < 0.99);
    mem_free(a);
    mem_free(b);
    mem_free(once);
    world_close(&l.w);
}

static void test_an_adapter_that_is_dropped_makes_room(void **state)
{
    struct lora_world l;
    struct error e = { 0 };
    const struct adapter_list files = { { { l.file[0], 1.0f, 0 } }, 1 };

    (void)state;
    open_with(&l, &architectures[0], &several[2], 1, 1);
    for (uint32_t id = 2; id <= RUNTIME_ADAPTERS_MAX; id++)
        load_one(&l.w, id, l.file[0]);
    assert_int_equal(load(&l.w, 1000, &files, &e), -1);
    assert_int_equal(e.code, ERROR_RESOURCE_EXHAUSTED);
    lora_table_drop(l.w.adapters, 7);
    assert_null(lora_table_find(l.w.adapters, 7));
    load_one(&l.w, 1000, l.file[0]);
    assert_non_null(lora_table_find(l.w.adapters, 1000));
    world_close(&l.w);
}

/* ---- What does not fit ---- */

static void check_refused(struct world *w, const char *file, enum error_code code,
                          const char *words)
{
    const struct adapter_list files = { { { file, 1.0f, 0 } }, 1 };
    struct error e = { 0 };

    assert_int_equal(load(w, 99, &files, &e), -1);
    if (e.code != code || !strstr(e.msg, words))
        fail_msg("%s: %s", error_name(e.code), e.msg);
}

static void test_what_does_not_fit_is_refused_in_words(void **state)
{
    static const struct {
        struct tiny_adapter as;
        enum error_code code;
        const char *words;
    } bad[] = {
        { { .rank = 4, .odd = "gemma3" }, ERROR_UNIMPLEMENTED, "for the architecture gemma3" },
        { { .rank = 4, .only = "none" }, ERROR_FAILED_PRECONDITION, "no matrices" },
        { { .rank = 4, .output = "token_embd" }, ERROR_UNIMPLEMENTED, "more than matrices" },
        { { .rank = 4, .only = "none", .output = "blk.99.attn_q" },
          ERROR_FAILED_PRECONDITION,
          "no matrices" },
        { { .rank = 4, .only = "none", .output = "blk.0.attn_k" },
          ERROR_UNIMPLEMENTED,
          "the shape of tensor blk.0.attn_k.weight.lora_b" },
        { { .rank = LORA_RANK_MAX + 1, .only = "attn_k" }, ERROR_UNIMPLEMENTED, "rank 513" },
        { { .rank = 4, .alpha = NAN }, ERROR_FAILED_PRECONDITION, "not a number" },
    };
    struct lora_world l;

    (void)state;
    open_with(&l, &architectures[0], several, 1, 1);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        tiny_adapter_write(&architectures[0], &bad[i].as, l.file[0]);
        check_refused(&l.w, l.file[0], bad[i].code, bad[i].words);
    }
    check_refused(&l.w, l.w.file, ERROR_FAILED_PRECONDITION, "is not an adapter");
    check_refused(&l.w, "/nowhere.gguf", ERROR_NOT_FOUND, "nowhere");
    world_close(&l.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_architecture_gives_the_logits_of_libllama),
        cmocka_unit_test(test_every_matrix_is_changed_as_by_libllama),
        cmocka_unit_test(test_a_change_of_zero_gives_the_exact_logits_of_the_base),
        cmocka_unit_test(test_rows_of_several_adapters_give_the_same_logits_as_alone),
        cmocka_unit_test(test_changes_of_two_files_add_up),
        cmocka_unit_test(test_an_adapter_that_is_dropped_makes_room),
        cmocka_unit_test(test_what_does_not_fit_is_refused_in_words),
    };

    llama_log_set(drop_log, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
