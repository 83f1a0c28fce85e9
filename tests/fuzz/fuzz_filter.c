/* Goal: no filter crashes its reader or the walk over its tree, and NOT of it keeps the opposite.
 * Method: the text as it is, then in NOT (...). */
#include <assert.h>

#include "format/job/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct job job = {
    .state = JOB_RUNNING,
    .display_name = STR_INIT("name \"x\""),
    .model = STR_INIT("publishers/google/models/m"),
    .spec = STR_INIT("{\"labels\":{\"a\":\"b\"}}"),
    .create_us = 1795341600000000,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = { (const char *)data, size };
    struct buf negated = BUF_INIT(2 * FILTER_BYTES_MAX);
    struct arena a = { 0 };
    struct error e = { 0 };
    struct filter *f = filter_parse(&a, text, &e);

    if (!f)
        assert(e.code == ERROR_INVALID_ARGUMENT && str_utf8_valid(str_of(e.msg)) > 0);
    if (f && str_trim(text).len) {
        buf_addf(&negated, "NOT (%.*s)", STR_ARG(text));
        struct filter *opposite = filter_parse(&a, buf_str(&negated), &e);
        if (opposite) /* it may have become too long or too deep */
            assert(filter_keeps(opposite, &job) != filter_keeps(f, &job));
    }
    buf_release(&negated);
    arena_release(&a);
    return 0;
}
