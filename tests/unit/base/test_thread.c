/* Goal: a thread that serves many clients cannot wait for one of them unnoticed. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/thread.h"

static void test_a_role_belongs_to_its_thread(void **state)
{
    (void)state;
    assert_int_equal(thread_role(), THREAD_OWN);
    thread_role_set(THREAD_WORKER);
    assert_int_equal(thread_role(), THREAD_WORKER);
    thread_role_set(THREAD_OWN);
    assert_may_wait("a test");
}

#ifdef TRANCHE_CHECK_WAITS
/* Method: the wait is in a child, which aborts. */
static void test_a_wait_on_a_thread_of_many_clients_aborts(void **state)
{
    static const enum thread_role roles[] = { THREAD_CONNECTION, THREAD_WORKER, THREAD_UPSTREAM };
    int status = 0;

    (void)state;
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        pid_t child = fork();
        if (child == 0) {
            (void)signal(SIGABRT, SIG_DFL);
            (void)close(STDERR_FILENO);
            thread_role_set(roles[i]);
            assert_may_wait("a test");
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_role_belongs_to_its_thread),
#ifdef TRANCHE_CHECK_WAITS
        cmocka_unit_test(test_a_wait_on_a_thread_of_many_clients_aborts),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
