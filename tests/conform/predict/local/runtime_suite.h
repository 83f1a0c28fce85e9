/* runtime_suite.h -- what every runtime must do, whatever computes.
 *
 * Why: the batcher knows struct runtime_ops only; what it relies on is tested here once, and run by a
 *      test_runtime_KIND_conform.c for each kind: the fake runtime that the batcher's tests trust must
 *      keep the same contract as the real ones.
 *
 * Shape:   the program defines `const struct runtime_suite suite`, and runs RUNTIME_SUITE_TESTS.
 * Threads: one. Include after cmocka.h.
 */
#ifndef TRANCHE_TESTS_RUNTIME_SUITE_H
#define TRANCHE_TESTS_RUNTIME_SUITE_H

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "predict/local/runtime.h"
#include "predict/local/sampler.h"

#define SUITE_ROWS 256 /* at most the rows of a forward; the cache has room for two such forwards */

struct runtime_suite {
    struct runtime *(*open)(void); /* fails the test when it cannot */
    float tolerance;               /* of logits that are computed in two ways */
};
extern const struct runtime_suite suite;

/* A runtime, its facts, the tokens of a prompt and the logits after it, computed alone. */
struct suite_runtime {
    struct runtime *r;
    struct runtime_info info;
    struct tokens prompt;
    float *alone; /* [vocab] */
};

/* Computes tokens [from, prompt.count) in a sequence; logits of the last. */
static inline const float *suite_forward(struct suite_runtime *s, uint32_t from, uint32_t sequence)
{
    struct runtime_row row[SUITE_ROWS];
    struct error e = { 0 };
    uint32_t count = s->prompt.count - from;

    assert_in_range(count, 1, SUITE_ROWS);
    for (uint32_t i = 0; i < count; i++)
        row[i] = (struct runtime_row){ .token = s->prompt.item[from + i],
                                       .sequence = sequence,
                                       .position = from + i,
                                       .logits = i + 1 == count };
    if (s->r->ops->forward(s->r, row, count, &e) < 0)
        fail_msg("forward: %s", e.msg);
    return s->r->ops->logits(s->r, count - 1);
}

static inline void suite_check_logits(const struct suite_runtime *s, const float *logits)
{
    assert_int_equal(logits_argmax(logits, s->info.vocab), logits_argmax(s->alone, s->info.vocab));
    for (uint32_t i = 0; i < s->info.vocab; i++)
        if (!(fabsf(logits[i] - s->alone[i]) <= suite.tolerance))
            fail_msg("logit %u is %g, not %g", i, (double)logits[i], (double)s->alone[i]);
}

static int suite_open(void **state)
{
    const struct chat_message m = { .role = STR("user"),
                                    .text = STR("Name a colour of the rainbow.") };
    const struct chat chat = { .message = &m, .message_count = 1 };
    struct suite_runtime *s = mem_alloc(sizeof *s);
    struct error e = { 0 };
    bool thinks;

    s->r = suite.open();
    s->r->ops->info(s->r, &s->info);
    if (s->r->ops->prompt(s->r, &chat, &s->prompt, &thinks, &e) < 0)
        fail_msg("prompt: %s", e.msg);
    s->alone = mem_array(s->info.vocab, sizeof *s->alone);
    memcpy(s->alone, suite_forward(s, 0, 0), s->info.vocab * sizeof *s->alone);
    s->r->ops->trim(s->r, 0, 0);
    *state = s;
    return 0;
}

static int suite_close(void **state)
{
    struct suite_runtime *s = *state;

    s->r->ops->close(s->r);
    tokens_release(&s->prompt);
    mem_free(s->alone);
    mem_free(s);
    return 0;
}

static void test_the_facts_are_consistent(void **state)
{
    const struct suite_runtime *s = *state;

    assert_non_null(s->r->ops->name);
    assert_true(s->info.name[0]);
    assert_in_range(s->info.sequences, 2, RUNTIME_SEQUENCES_MAX);
    assert_in_range(s->info.context_max, 1, s->info.cells);
    assert_true(s->info.rows_max >= SUITE_ROWS);
}

static void test_a_prompt_has_the_text_of_its_message(void **state)
{
    const struct suite_runtime *s = *state;
    struct buf text = BUF_INIT(4096);

    for (uint32_t i = 0; i < s->prompt.count; i++) {
        assert_in_range(s->prompt.item[i], 0, s->info.vocab - 1);
        s->r->ops->piece(s->r, s->prompt.item[i], false, &text);
    }
    assert_true(str_find(buf_str(&text), STR("Name a colour of the rainbow.")) != SIZE_MAX);
    buf_release(&text);
}

/* ---- Sequences ---- */

static void test_other_sequences_in_a_forward_change_no_logits(void **state)
{
    struct suite_runtime *s = *state;
    struct runtime_row row[2 * SUITE_ROWS];
    struct error e = { 0 };
    uint32_t count = s->prompt.count, other = count / 2;

    assert_in_range(other + count, 2, SUITE_ROWS);
    for (uint32_t i = 0; i < other; i++)
        row[i] = (struct runtime_row){ .token = s->prompt.item[count - 1 - i],
                                       .sequence = 1,
                                       .position = i,
                                       .logits = i + 1 == other };
    for (uint32_t i = 0; i < count; i++)
        row[other + i] = (struct runtime_row){
            .token = s->prompt.item[i], .sequence = 0, .position = i, .logits = i + 1 == count
        };
    assert_int_equal(s->r->ops->forward(s->r, row, other + count, &e), 0);
    suite_check_logits(s, s->r->ops->logits(s->r, other + count - 1));
}

static void test_a_copied_prefix_gives_the_logits_of_a_computed_one(void **state)
{
    struct suite_runtime *s = *state;

    assert_true(s->info.shares);
    (void)suite_forward(s, 0, 0);
    s->r->ops->copy(s->r, 0, 1, s->prompt.count - 4);
    s->r->ops->trim(s->r, 0, 0); /* the cells live on in sequence 1 */
    suite_check_logits(s, suite_forward(s, s->prompt.count - 4, 1));
}

static void test_a_trimmed_sequence_goes_on_from_its_rest(void **state)
{
    struct suite_runtime *s = *state;

    (void)suite_forward(s, 0, 0);
    s->r->ops->trim(s->r, 0, s->prompt.count - 4);
    suite_check_logits(s, suite_forward(s, s->prompt.count - 4, 0));
}

static void test_a_full_cache_refuses_and_changes_nothing(void **state)
{
    struct suite_runtime *s = *state;
    struct runtime_row row[SUITE_ROWS];
    struct error e = { 0 };
    uint32_t filled = 0;

    for (uint32_t i = 0; i < SUITE_ROWS; i++)
        row[i] = (struct runtime_row){
            .token = s->prompt.item[0], .sequence = 1, .position = i, .logits = false
        };
    while (s->r->ops->forward(s->r, row, SUITE_ROWS, &e) == 0) {
        filled += SUITE_ROWS;
        assert_true(filled <= s->info.cells);
        for (uint32_t i = 0; i < SUITE_ROWS; i++)
            row[i].position += SUITE_ROWS;
    }
    assert_true(filled >= SUITE_ROWS);
    assert_int_equal(e.code, ERROR_RESOURCE_EXHAUSTED);
    s->r->ops->trim(s->r, 1, 0);
    suite_check_logits(s, suite_forward(s, 0, 0));
}

static void test_a_summary_is_that_of_its_logits(void **state)
{
    struct suite_runtime *s = *state;

    if (!s->r->ops->summary)
        skip();
    (void)suite_forward(s, 0, 0);
    struct logits_summary sum = s->r->ops->summary(s->r, s->prompt.count - 1);
    assert_int_equal(sum.largest, logits_argmax(s->alone, s->info.vocab));
    assert_true(fabsf(sum.log_sum - logits_log_sum(s->alone, s->info.vocab)) < 1e-3f);
}

/* ---- Tokens of a text ---- */

/* Goal: what is appended without being generated is the text that must follow, and nothing else. */
static void test_tokens_of_a_text_have_its_bytes(void **state)
{
    static const char *const texts[] = { "{\"", "\": \"", ", \"name\": ", "positive",
                                         "\xC3\xA9t\xC3\xA9" };
    struct suite_runtime *s = *state;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct tokens t = { 0 };
        struct buf text = BUF_INIT(1024);
        assert_true(s->r->ops->tokenize(s->r, str_of(texts[i]), &t));
        for (uint32_t k = 0; k < t.count; k++) {
            assert_false(s->r->ops->is_end(s->r, t.item[k]));
            s->r->ops->piece(s->r, t.item[k], false, &text);
        }
        assert_string_equal(text.p, texts[i]);
        buf_release(&text);
        tokens_release(&t);
    }
}

#define RUNTIME_SUITE_TEST(name) cmocka_unit_test_setup_teardown(name, suite_open, suite_close)
#define RUNTIME_SUITE_TESTS                                                                        \
    RUNTIME_SUITE_TEST(test_the_facts_are_consistent),                                             \
        RUNTIME_SUITE_TEST(test_a_prompt_has_the_text_of_its_message),                             \
        RUNTIME_SUITE_TEST(test_other_sequences_in_a_forward_change_no_logits),                    \
        RUNTIME_SUITE_TEST(test_a_copied_prefix_gives_the_logits_of_a_computed_one),               \
        RUNTIME_SUITE_TEST(test_a_trimmed_sequence_goes_on_from_its_rest),                         \
        RUNTIME_SUITE_TEST(test_a_full_cache_refuses_and_changes_nothing),                         \
        RUNTIME_SUITE_TEST(test_a_summary_is_that_of_its_logits),                                  \
        RUNTIME_SUITE_TEST(test_tokens_of_a_text_have_its_bytes)

#endif
