/* Goal: the embedded tables do what the interface says. Method: the suite of all kinds, on files of this test; a
 * restart closes and opens them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/sys.h"
#include "conform/store/tables/tables_suite.h"

struct folder {
    char path[64];
};

void suite_begin(struct suite *s)
{
    struct folder *f = mem_alloc(sizeof *f);

    *f = (struct folder){ "/tmp/tranche-conform-XXXXXX" };
    assert_non_null(mkdtemp(f->path));
    s->own = f;
    s->t = tables_duckdb_open(f->path, NULL, clock_system());
}

void suite_end(struct suite *s)
{
    struct folder *f = s->own;

    s->t->ops->close(s->t);
    OK(sys_remove_all(f->path, &s->e));
    mem_free(f);
}

void suite_restart(struct suite *s)
{
    struct folder *f = s->own;

    s->t->ops->close(s->t);
    s->t = tables_duckdb_open(f->path, NULL, clock_system());
}

const char *suite_folder(const struct suite *s)
{
    const struct folder *f = s->own;

    return f->path;
}

int main(void)
{
    const struct CMUnitTest tests[] = { TABLES_SUITE_TESTS };

    return cmocka_run_group_tests_name("tables duckdb conform", tests, NULL, NULL);
}
