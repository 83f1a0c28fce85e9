/* Goal: the tree knows exactly which beginnings are held. Method: small scripts, and a long random one
 * against a list of plain arrays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "predict/local/prefix_tree.h"
#include "predict/local/tokens.h"

#define SEQUENCES 8
#define LEN_MAX 40

static const int32_t abcd[] = { 1, 2, 3, 4 };
static const int32_t abxy[] = { 1, 2, 8, 9 };

static void test_nothing_matches_in_an_empty_tree(void **state)
{
    struct prefix_tree *t = prefix_tree_new(SEQUENCES);
    uint32_t holder = 99;

    (void)state;
    assert_int_equal(prefix_tree_match(t, (struct prefix){ abcd, 4, 0 }, &holder), 0);
    assert_int_equal(prefix_tree_tokens(t), 0);
    prefix_tree_free(t);
}

static void test_the_longest_common_beginning_is_found_within_a_run(void **state)
{
    struct prefix_tree *t = prefix_tree_new(SEQUENCES);
    uint32_t holder = 99;

    (void)state;
    prefix_tree_extend(t, 3, (struct prefix){ abcd, 4, 0 });
    assert_int_equal(prefix_tree_match(t, (struct prefix){ abxy, 4, 0 }, &holder), 2);
    assert_int_equal(holder, 3);
    assert_int_equal(prefix_tree_match(t, (struct prefix){ abcd, 3, 0 }, &holder), 3);
    assert_int_equal(prefix_tree_match(t, (struct prefix){ abcd + 1, 3, 0 }, &holder), 0);
    prefix_tree_free(t);
}

static void test_what_two_share_is_stored_once_and_outlives_either(void **state)
{
    struct prefix_tree *t = prefix_tree_new(SEQUENCES);
    uint32_t holder = 99;

    (void)state;
    prefix_tree_extend(t, 0, (struct prefix){ abcd, 4, 0 });
    prefix_tree_extend(t, 1, (struct prefix){ abxy, 4, 0 });
    assert_int_equal(prefix_tree_tokens(t), 6);
    assert_int_equal(prefix_tree_shared(t, 0), 2);
    prefix_tree_cut(t, 0, 0);
    assert_int_equal(prefix_tree_tokens(t), 4);
    assert_int_equal(prefix_tree_match(t, (struct prefix){ abcd, 4, 0 }, &holder), 2);
    assert_int_equal(holder, 1);
    assert_int_equal(prefix_tree_shared(t, 1), 0);
    prefix_tree_free(t);
}

static void test_a_cut_inside_a_run_keeps_its_beginning(void **state)
{
    struct prefix_tree *t = prefix_tree_new(SEQUENCES);
    uint32_t holder;

    (void)state;
    prefix_tree_extend(t, 0, (struct prefix){ abcd, 4, 0 });
    prefix_tree_cut(t, 0, 3);
    assert_int_equal(prefix_tree_len(t, 0), 3);
    assert_int_equal(prefix_tree_match(t, (struct prefix){ abcd, 4, 0 }, &holder), 3);
    prefix_tree_extend(t, 0, (struct prefix){ abcd, 4, 0 });
    assert_int_equal(prefix_tree_match(t, (struct prefix){ abcd, 4, 0 }, &holder), 4);
    prefix_tree_free(t);
}

/* ---- Against a plain model ---- */

struct plain {
    int32_t token[SEQUENCES][LEN_MAX];
    uint32_t len[SEQUENCES];
};

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 16;
}

static void check_against(const struct plain *p, const struct prefix_tree *t, const int32_t *probe)
{
    uint32_t best = 0, holder = SEQUENCES;

    for (uint32_t s = 0; s < SEQUENCES; s++) {
        uint32_t same = tokens_common(p->token[s], p->len[s], probe, LEN_MAX);
        best = same > best ? same : best;
        assert_int_equal(prefix_tree_len(t, s), p->len[s]);
        uint32_t shared = 0;
        for (uint32_t o = 0; o < SEQUENCES; o++) {
            same = o == s ? 0 : tokens_common(p->token[s], p->len[s], p->token[o], p->len[o]);
            shared = same > shared ? same : shared;
        }
        assert_int_equal(prefix_tree_shared(t, s), shared);
    }
    assert_int_equal(prefix_tree_match(t, (struct prefix){ probe, LEN_MAX, 0 }, &holder), best);
    if (best)
        assert_int_equal(tokens_common(p->token[holder], p->len[holder], probe, LEN_MAX), best);
}

static void test_it_agrees_with_plain_lists_over_many_random_changes(void **state)
{
    struct prefix_tree *t = prefix_tree_new(SEQUENCES);
    struct plain p = { 0 };
    int32_t probe[LEN_MAX];
    uint32_t seed = 7;

    (void)state;
    for (int step = 0; step < 5000; step++) {
        uint32_t s = next(&seed) % SEQUENCES, len = next(&seed) % (LEN_MAX + 1);
        if (len < p.len[s]) {
            prefix_tree_cut(t, s, len);
        } else {
            for (uint32_t i = p.len[s]; i < len; i++)
                p.token[s][i] = (int32_t)(next(&seed) % 8 == 0); /* long common beginnings */
            prefix_tree_extend(t, s, (struct prefix){ p.token[s], len, 0 });
        }
        p.len[s] = len;
        for (uint32_t i = 0; i < LEN_MAX; i++)
            probe[i] = (int32_t)(next(&seed) % 8 == 0);
        check_against(&p, t, probe);
    }
    for (uint32_t s = 0; s < SEQUENCES; s++)
        prefix_tree_cut(t, s, 0);
    assert_int_equal(prefix_tree_tokens(t), 0);
    prefix_tree_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_matches_in_an_empty_tree),
        cmocka_unit_test(test_the_longest_common_beginning_is_found_within_a_run),
        cmocka_unit_test(test_what_two_share_is_stored_once_and_outlives_either),
        cmocka_unit_test(test_a_cut_inside_a_run_keeps_its_beginning),
        cmocka_unit_test(test_it_agrees_with_plain_lists_over_many_random_changes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
