/* Goal: escapes and parameters of any target are read within their bytes, and what is encoded decodes
 * to itself.
 * Method: the input is a query, and also a name that is looked up in it. */
#include <assert.h>
#include <string.h>

#include "net/server/http_inner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(struct arena *a, struct str text)
{
    struct buf encoded = BUF_INIT(text.len * 3 + 1);
    struct str back;

    http_encode(text, &encoded);
    assert(buf_ok(&encoded));
    bool has_nul = text.len && memchr(text.p, '\0', text.len);
    assert(http_decode(a, buf_str(&encoded), true, &back) == !has_nul);
    assert(has_nul || str_eq(back, text));
    buf_release(&encoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_call c = { .query = { (const char *)data, size } };
    struct str out;

    if (http_decode(&c.arena, c.query, false, &out))
        assert(out.len <= size && strlen(out.p) == out.len);
    check_round_trip(&c.arena, c.query);
    const char *name = arena_copy(&c.arena, data, size); /* up to its first NUL */
    if (http_query(&c, name, &out))
        assert(out.len <= size);
    if (http_query(&c, "$alt", &out))
        assert(strlen(out.p) == out.len);
    arena_release(&c.arena);
    return 0;
}
