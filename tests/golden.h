/* golden.h -- compare text with a file in tests/golden, byte for byte.
 *
 * Why: what users' programs parse must not change by accident; a change of a golden file shows in a
 * review. Include after cmocka.h.
 */
#ifndef TRANCHE_TESTS_GOLDEN_H
#define TRANCHE_TESTS_GOLDEN_H

#include <stdio.h>

#include "base/str.h"

#define GOLDEN_BYTES_MAX 65536

static inline void assert_golden(const char *name, struct str got)
{
    static char want[GOLDEN_BYTES_MAX];
    char path[512];

    (void)snprintf(path, sizeof path, "%s/golden/%s", TESTS_DIR, name);
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("%s cannot be read; the text was: %.*s", path, STR_ARG(got));
    size_t len = fread(want, 1, sizeof want, file);
    (void)fclose(file);
    if (!str_eq((struct str){ want, len }, got))
        fail_msg("%s differs; the text was: %.*s", path, STR_ARG(got));
}

#endif
