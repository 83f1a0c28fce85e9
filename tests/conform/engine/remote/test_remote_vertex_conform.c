/* Goal: the dialect of Vertex AI with Cloud Storage keeps the contract of batch services. Method: the suite,
 * against a server on the loopback address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conform/engine/remote/google_stub.h"
#include "conform/engine/remote/remote_suite.h"

static void open_vertex(struct remote_world *w)
{
    google_stub_open(w, "/v1/projects/p/locations/l", "gs://bucket/stage/");
}

const struct remote_suite suite = { .open = open_vertex, .close = google_stub_close };

int main(void)
{
    const struct CMUnitTest tests[] = { REMOTE_SUITE_TESTS };

    return cmocka_run_group_tests_name("remote_vertex", tests, http_start, NULL);
}
