/* request_make.h -- requests for predictor tests, from JSON as users write it.
 *
 * Why: a predictor gets requests only from request_read_line, so tests must not build others.
 *
 * Owns:    the arena. The text must stay, which literals do.
 * Threads: none. Include after cmocka.h.
 */
#ifndef TRANCHE_TESTS_REQUEST_MAKE_H
#define TRANCHE_TESTS_REQUEST_MAKE_H

#include "format/request/request.h"

static inline const struct request *request_make(struct arena *a, const char *json)
{
    struct line_rules rules = { 0 };
    struct input_line in = { 0 };
    struct violations bad = { 0 };

    if (!request_read_line(a, str_of(json), &rules, &in, &bad))
        fail_msg("%s: %s: %s", json, bad.item[0].path, bad.item[0].message);
    return in.request;
}

#endif
