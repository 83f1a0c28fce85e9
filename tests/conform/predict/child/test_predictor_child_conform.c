/* Goal: the embedded engine in a process of its own does what every predictor must. Method: this program starts
 * itself; the suite on the small model, with short answers; a picture, which a text model cannot take, is the request that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/sandbox.h"
#include "conform/predict/local/local_suite.h"
#include "predict/child/predictor_child.h"

const struct predictor_suite suite = LOCAL_SUITE(predictor_child_open);

int main(int argc, char **argv)
{
    static const struct sandbox_role roles[] = { { CHILD_ROLE, child_main } };
    const struct CMUnitTest tests[] = { PREDICTOR_SUITE_TESTS };

    sandbox_entry(argc, argv, roles, ARRAY_LEN(roles));
    return RUN_WITH_LOCAL_MODEL(tests, NULL, NULL);
}
