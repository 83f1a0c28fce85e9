/* Goal: docs/reference/sql.md names each function that a query may call, and no other. Method: the list is written from
 * the table of functions, and must stand in the page as it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/sys.h"
#include "format/sql/sql.h"

#define PAGE_BYTES_MAX ((size_t)256 * 1024)
#define NAMES_MAX 1000

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "| group | `A` `B` |" */
static void add_group(struct buf *out, const char *group)
{
    const char *names[NAMES_MAX];
    struct sql_function_info f;
    size_t count = 0;

    for (uint32_t i = 0; sql_function_at(i, &f); i++)
        if (strcmp(f.group, group) == 0 && count < NAMES_MAX)
            names[count++] = f.name;
    qsort(names, count, sizeof *names, by_text);
    buf_addf(out, "| %s |", group);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(names[i], names[i - 1]) != 0)
            buf_addf(out, " `%s`", names[i]);
    buf_add_c(out, " |\n");
}

static void test_the_page_lists_the_functions_of_the_table(void **state)
{
    struct buf page = BUF_INIT(PAGE_BYTES_MAX), list = BUF_INIT(PAGE_BYTES_MAX);
    struct sql_function_info f;
    const char *last = "";
    struct error e;

    (void)state;
    buf_add_c(&list, "| group | functions |\n|---|---|\n");
    for (uint32_t i = 0; sql_function_at(i, &f); i++) {
        if (strcmp(f.group, last) != 0 && strcmp(f.group, "operators") != 0)
            add_group(&list, f.group);
        last = f.group;
    }
    assert_int_equal(
        sys_read_file(TESTS_DIR "/../docs/reference/sql.md", PAGE_BYTES_MAX, &page, &e), 0);
    bool is_there = str_find(buf_str(&page), buf_str(&list)) != SIZE_MAX;
    if (!is_there)
        (void)fputs(list.p, stderr); /* what the page must have */
    assert_true(is_there);
    buf_release(&page);
    buf_release(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_page_lists_the_functions_of_the_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
