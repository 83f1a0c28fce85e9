/* Memory: checked sizes, and arenas whose contents stay where they are. */
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static void test_sizes_that_overflow_are_refused(void **state)
{
    size_t n = 7;

    (void)state;
    assert_true(size_add(SIZE_MAX - 1, 1, &n));
    assert_int_equal(n, SIZE_MAX);
    assert_false(size_add(SIZE_MAX, 1, &n));
    assert_true(size_mul(SIZE_MAX, 1, &n));
    assert_false(size_mul(SIZE_MAX / 2 + 1, 2, &n));
}

static void test_allocations_are_zeroed_and_may_be_empty(void **state)
{
    unsigned char *p = mem_array(10, 100);
    char *s = mem_strdup("copy");

    (void)state;
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(p[i], 0);
    assert_string_equal(s, "copy");
    mem_free(p);
    mem_free(s);
    mem_free(NULL);
    p = mem_alloc(0);
    assert_non_null(p);
    mem_free(p);
}

/* Method: fill every allocation with its number; none may change when others are made. */
static void test_an_arena_keeps_its_contents_aligned_and_apart(void **state)
{
    enum { COUNT = 2000 };
    struct arena a = { 0 };
    unsigned char *p[COUNT];

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        p[i] = arena_alloc(&a, i % 97);
        assert_int_equal((uintptr_t)p[i] % alignof(max_align_t), 0);
        for (size_t k = 0; k < i % 97; k++)
            assert_int_equal(p[i][k], 0);
        memset(p[i], (int)(i & 0xFF), i % 97);
    }
    for (size_t i = 0; i < COUNT; i++)
        for (size_t k = 0; k < i % 97; k++)
            assert_int_equal(p[i][k], i & 0xFF);
    assert_true(a.bytes >= COUNT * 40);
    arena_release(&a);
    assert_int_equal(a.bytes, 0);
    arena_release(&a);
}

static void test_an_arena_takes_what_is_bigger_than_a_block(void **state)
{
    struct arena a = { 0 };
    unsigned char *big = arena_alloc(&a, ARENA_BLOCK_BYTES * 5);
    unsigned char *small = arena_alloc(&a, 8);

    (void)state;
    memset(big, 1, ARENA_BLOCK_BYTES * 5);
    assert_int_equal(small[0], 0);
    assert_string_equal(arena_copy(&a, "text", 2), "te");
    assert_string_equal(arena_copy(&a, NULL, 0), "");
    assert_non_null(arena_grow(&a, NULL, 0, 16)); /* from nothing */
    arena_release(&a);
}

static void test_a_reserved_arena_does_not_grow_and_a_reset_one_is_reused(void **state)
{
    struct arena a = { 0 };

    (void)state;
    arena_reserve(&a, 100000);
    size_t bytes = a.bytes;
    for (int i = 0; i < 10; i++)
        (void)arena_alloc(&a, 10000 - 16);
    assert_int_equal(a.bytes, bytes);
    (void)arena_alloc(&a, 100000);
    assert_true(a.bytes > bytes);
    arena_reset(&a);
    assert_int_equal(a.bytes, bytes);
    (void)arena_alloc(&a, 1000);
    assert_int_equal(a.bytes, bytes);
    arena_release(&a);
    arena_reset(&a);
    assert_null(a.block);
}

/* Method: a small one is copied, a big one grows where it is; both keep their bytes. */
static void test_an_allocation_grows_with_its_contents(void **state)
{
    struct arena a = { 0 };
    char *small = arena_copy(&a, "small", 5);
    char *big = arena_alloc(&a, ARENA_BLOCK_BYTES * 2);

    (void)state;
    memcpy(big, "big", 4);
    assert_string_equal(arena_grow(&a, small, 6, 100), "small");
    big = arena_alloc(&a, ARENA_BLOCK_BYTES * 2);
    memcpy(big, "big", 4);
    size_t bytes = a.bytes;
    big = arena_grow(&a, big, ARENA_BLOCK_BYTES * 2, ARENA_BLOCK_BYTES * 4 + 1);
    assert_string_equal(big, "big");
    assert_true(a.bytes - bytes < ARENA_BLOCK_BYTES * 2 + 64);
    memset(big, 1, ARENA_BLOCK_BYTES * 4 + 1);
    unsigned char *next = arena_alloc(&a, 64);
    assert_int_equal(next[0], 0);
    assert_ptr_equal(arena_grow(&a, next, 64, 10), next);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_that_overflow_are_refused),
        cmocka_unit_test(test_allocations_are_zeroed_and_may_be_empty),
        cmocka_unit_test(test_an_arena_keeps_its_contents_aligned_and_apart),
        cmocka_unit_test(test_an_arena_takes_what_is_bigger_than_a_block),
        cmocka_unit_test(test_an_allocation_grows_with_its_contents),
        cmocka_unit_test(test_a_reserved_arena_does_not_grow_and_a_reset_one_is_reused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
