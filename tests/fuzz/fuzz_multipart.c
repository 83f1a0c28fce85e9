/* Goal: the parts of a multipart body are the same however it is cut, and no body breaks the reader.
 * Method: the first byte is the size of the pieces; the first line after it is the Content-Type, the rest
 * the body, read once in pieces and once whole. */
#include <assert.h>
#include <string.h>

#include "net/server/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SEEN_BYTES_MAX ((size_t)16 * 1024 * 1024)

static int on_part(void *arg, struct str content_type, struct error *e)
{
    struct buf *seen = arg;

    (void)e;
    buf_add_c(seen, "\n[part]");
    buf_add_str(seen, content_type);
    buf_add_c(seen, "\n");
    return 0;
}

static int on_data(void *arg, const void *p, size_t len, struct error *e)
{
    (void)e;
    assert(len > 0);
    buf_add(arg, p, len);
    return 0;
}

static int read_body(struct str type, struct str body, size_t piece, struct buf *seen)
{
    const struct multipart_handlers to = { on_part, on_data, seen };
    struct error e = { 0 };
    struct multipart m;
    int rc = multipart_init(&m, type, &to, &e);

    while (body.len > 0 && rc == 0) {
        struct str part = str_sub(body, 0, piece);
        rc = multipart_feed(&m, part.p, part.len, &e);
        body = str_sub(body, part.len, body.len);
    }
    if (rc == 0)
        rc = multipart_finish(&m, &e);
    assert((rc == 0) == (e.code == ERROR_OK));
    multipart_release(&m);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t piece = size ? (size_t)data[0] + 1 : 1;
    struct str in = { size ? (const char *)data + 1 : "", size ? size - 1 : 0 };
    size_t line = str_find(in, STR("\n"));
    struct str type = str_sub(in, 0, line);
    struct str body = line == SIZE_MAX ? STR("") : str_sub(in, line + 1, in.len);
    struct buf whole = BUF_INIT(SEEN_BYTES_MAX), cut = BUF_INIT(SEEN_BYTES_MAX);

    int rc = read_body(type, body, body.len + 1, &whole);
    assert(read_body(type, body, piece, &cut) == rc);
    assert(str_eq(buf_str(&whole), buf_str(&cut)));
    assert(cut.len <= body.len + (size_t)MULTIPART_PARTS_MAX * 16);
    buf_release(&whole);
    buf_release(&cut);
    return 0;
}
