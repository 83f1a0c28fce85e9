/* The counters of a job (I6), and a list of violations that never overflows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "format/usage.h"
#include "format/request/violation.h"

static void test_books_balance_only_when_no_more_is_done_than_there_is(void **state)
{
    static const struct {
        struct counters c;
        uint64_t pending;
        bool balanced;
    } cases[] = {
        { { .total = 0 }, 0, true },
        { { .total = 10, .succeeded = 4, .failed = 3, .not_run = 1 }, 2, true },
        { { .total = 8, .succeeded = 4, .failed = 3, .not_run = 1, .duplicates = 4 }, 0, true },
        { { .total = 7, .succeeded = 4, .failed = 3, .not_run = 1 }, 0, false },
        { { .total = 8, .succeeded = 2, .duplicates = 3 }, 6, false },
        { { .total = 5, .succeeded = UINT64_MAX, .failed = 1 }, 5, false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(counters_balanced(&cases[i].c), cases[i].balanced);
        assert_int_equal(counters_pending(&cases[i].c), cases[i].pending);
    }
    assert_int_equal(counters_done(&cases[1].c), 8);
}

static void test_violations_past_the_array_are_counted_and_not_kept(void **state)
{
    struct violations *all = mem_alloc(sizeof *all);

    (void)state;
    for (unsigned i = 0; i < VIOLATIONS_PER_LINE_MAX + 5; i++)
        violations_add(all)->offset = i + 1;
    assert_int_equal(all->count, VIOLATIONS_PER_LINE_MAX + 5);
    assert_int_equal(violations_held(all), VIOLATIONS_PER_LINE_MAX);
    for (unsigned i = 0; i < VIOLATIONS_PER_LINE_MAX; i++)
        assert_int_equal(all->item[i].offset, i + 1);
    mem_free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_books_balance_only_when_no_more_is_done_than_there_is),
        cmocka_unit_test(test_violations_past_the_array_are_counted_and_not_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
