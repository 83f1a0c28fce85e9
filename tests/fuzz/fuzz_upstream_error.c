/* Goal: whatever stands in a refusal, there is a code, a readable message and a wish. Method: a line
 * with the status and one with Retry-After, then the body. */
#include <assert.h>
#include <string.h>

#include "format/upstream_error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The text up to the next line end, which is taken off. */
static struct str line_take(struct str *rest)
{
    size_t end = str_find(*rest, STR("\n"));
    struct str line = str_sub(*rest, 0, end);

    *rest = str_sub(*rest, line.len + 1, rest->len);
    return line;
}

static void check_error(const struct error *e)
{
    assert(e->code != ERROR_OK && e->msg[0]);
    assert(str_utf8_valid(str_of(e->msg)) == strlen(e->msg));
    for (const char *p = e->msg; *p; p++)
        assert((unsigned char)*p >= 0x20);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = { (const char *)data, size };
    struct arena a = { 0 };
    uint64_t status = 0;

    (void)str_number(line_take(&rest), &status);
    struct upstream_refusal r = { .status = (int)(status % 1000),
                                  .retry_after = line_take(&rest),
                                  .upstream = "u",
                                  .now_us = 1763805600000000 };
    struct error e = { 0 }, found = { 0 };
    struct upstream_pause pause;
    size_t at;
    r.body = rest;
    upstream_error_read(&a, &r, &e, &pause);
    check_error(&e);
    yyjson_val *root = json_parse(&a, r.body, &at, &e);
    if (root && upstream_error_in(root, &found))
        check_error(&found);
    arena_release(&a);
    return 0;
}
