/* Goal: pages are shared, copied on writing and given back, and a refusal changes nothing. Method: a
 * cache of a few small pages; what is written is read back through the tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/kernel.h"
#include "predict/local/native/page_cache.h"

#define PAGES 5
#define POSITIONS (4 * KERNEL_PAGE)
#define PROBE 3 /* this sequence and the next one count free pages */

static int open_cache(void **state)
{
    const struct page_shape shape = { PAGES, PROBE + 2, POSITIONS, 2, 64 };

    *state = page_cache_new(&shape);
    return 0;
}

static int close_cache(void **state)
{
    page_cache_free(*state);
    return 0;
}

/* Room for positions [from, to) of a sequence; the code of the refusal, or 0. */
static enum error_code reserve(struct page_cache *c, uint32_t sequence, uint32_t from, uint32_t to)
{
    struct runtime_row row[POSITIONS + 1];
    struct error e = { 0 };

    for (uint32_t i = from; i < to; i++)
        row[i - from] = (struct runtime_row){
            .token = 1, .sequence = sequence, .position = i, .logits = false
        };
    return page_cache_reserve(c, row, to - from, &e) < 0 ? e.code : ERROR_OK;
}

/* Pages that can still be had: takes them all, and gives them back. */
static uint32_t free_pages(struct page_cache *c)
{
    uint32_t count = 0;

    for (uint32_t s = PROBE; s < PROBE + 2; s++)
        for (uint32_t at = 0; reserve(c, s, at, at + KERNEL_PAGE) == ERROR_OK; at += KERNEL_PAGE)
            count++;
    page_cache_trim(c, PROBE, 0);
    page_cache_trim(c, PROBE + 1, 0);
    return count;
}

static void test_a_copy_takes_no_page_until_it_is_written(void **state)
{
    struct page_cache *c = *state;

    assert_int_equal(reserve(c, 0, 0, KERNEL_PAGE + 10), ERROR_OK);
    assert_int_equal(free_pages(c), PAGES - 2);
    page_cache_copy(c, 0, 1, KERNEL_PAGE + 5);
    assert_int_equal(free_pages(c), PAGES - 2);
    assert_int_equal(page_cache_page(c, 1, 1), page_cache_page(c, 0, 1));
    page_cache_keys(c, page_cache_page(c, 0, 1), 1)[7] = 77;
    assert_int_equal(reserve(c, 1, KERNEL_PAGE + 5, KERNEL_PAGE + 6), ERROR_OK);
    assert_int_equal(free_pages(c), PAGES - 3);
    assert_int_equal(page_cache_page(c, 1, 0), page_cache_page(c, 0, 0));
    assert_int_not_equal(page_cache_page(c, 1, 1), page_cache_page(c, 0, 1));
    assert_int_equal(page_cache_keys(c, page_cache_page(c, 1, 1), 1)[7], 77);
}

static void test_a_sequence_that_lent_a_page_gets_its_own_to_go_on(void **state)
{
    struct page_cache *c = *state;

    assert_int_equal(reserve(c, 0, 0, 10), ERROR_OK);
    page_cache_copy(c, 0, 1, 10);
    uint32_t page = page_cache_page(c, 0, 0);
    assert_int_equal(reserve(c, 0, 10, 11), ERROR_OK);
    assert_int_not_equal(page_cache_page(c, 0, 0), page);
    assert_int_equal(page_cache_page(c, 1, 0), page);
}

static void test_a_page_is_free_when_its_last_holder_goes(void **state)
{
    struct page_cache *c = *state;

    assert_int_equal(reserve(c, 0, 0, 2 * KERNEL_PAGE), ERROR_OK);
    page_cache_copy(c, 0, 1, KERNEL_PAGE);
    page_cache_trim(c, 0, 0);
    assert_int_equal(free_pages(c), PAGES - 1);
    page_cache_trim(c, 1, 1);
    assert_int_equal(free_pages(c), PAGES - 1);
    page_cache_trim(c, 1, 0);
    assert_int_equal(free_pages(c), PAGES);
}

static void test_a_refusal_changes_nothing(void **state)
{
    struct page_cache *c = *state;

    assert_int_equal(reserve(c, 0, 0, 3 * KERNEL_PAGE), ERROR_OK);
    assert_int_equal(reserve(c, 1, 0, 2 * KERNEL_PAGE), ERROR_OK);
    assert_int_equal(reserve(c, 2, 0, 1), ERROR_RESOURCE_EXHAUSTED);
    assert_int_equal(free_pages(c), 0);
    page_cache_trim(c, 1, KERNEL_PAGE);
    assert_int_equal(reserve(c, 2, 0, KERNEL_PAGE + 1), ERROR_RESOURCE_EXHAUSTED);
    assert_int_equal(reserve(c, 2, 0, KERNEL_PAGE), ERROR_OK);
}

static void test_a_sequence_has_at_most_its_positions(void **state)
{
    struct page_cache *c = *state;

    assert_int_equal(reserve(c, 0, 0, POSITIONS + 1), ERROR_RESOURCE_EXHAUSTED);
    assert_int_equal(free_pages(c), PAGES);
    assert_int_equal(reserve(c, 0, 0, POSITIONS), ERROR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_copy_takes_no_page_until_it_is_written, open_cache,
                                        close_cache),
        cmocka_unit_test_setup_teardown(test_a_sequence_that_lent_a_page_gets_its_own_to_go_on,
                                        open_cache, close_cache),
        cmocka_unit_test_setup_teardown(test_a_page_is_free_when_its_last_holder_goes, open_cache,
                                        close_cache),
        cmocka_unit_test_setup_teardown(test_a_refusal_changes_nothing, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(test_a_sequence_has_at_most_its_positions, open_cache,
                                        close_cache),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
