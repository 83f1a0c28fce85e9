/* Goal: the embedded engine does what every predictor must. Method: the suite on the small model, with
 * short answers; a picture, which a text model cannot take, is the request that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conform/predict/local/local_suite.h"

const struct predictor_suite suite = LOCAL_SUITE(predictor_local_open);

int main(void)
{
    const struct CMUnitTest tests[] = { PREDICTOR_SUITE_TESTS };

    return RUN_WITH_LOCAL_MODEL(tests, NULL, NULL);
}
