/* Goal: the batch service that the tests of delegated jobs use keeps the contract that Google's keep.
 * Method: the suite, on it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conform/engine/remote/remote_suite.h"

static void open_memory(struct remote_world *w)
{
    w->memory.stop = &w->stop;
    w->remote = &w->memory.base;
}

static void close_memory(struct remote_world *w)
{
    w->remote->ops->close(w->remote);
}

const struct remote_suite suite = { .open = open_memory, .close = close_memory };

int main(void)
{
    const struct CMUnitTest tests[] = { REMOTE_SUITE_TESTS };

    return cmocka_run_group_tests_name("remote_memory", tests, NULL, NULL);
}
