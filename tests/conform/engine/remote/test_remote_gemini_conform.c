/* Goal: the dialect of the Gemini API with its files keeps the contract of batch services. Method: the suite,
 * against a server on the loopback address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conform/engine/remote/google_stub.h"
#include "conform/engine/remote/remote_suite.h"

static void open_gemini(struct remote_world *w)
{
    google_stub_open(w, "/v1beta", NULL);
}

const struct remote_suite suite = { .open = open_gemini, .close = google_stub_close };

int main(void)
{
    const struct CMUnitTest tests[] = { REMOTE_SUITE_TESTS };

    return cmocka_run_group_tests_name("remote_gemini", tests, http_start, NULL);
}
