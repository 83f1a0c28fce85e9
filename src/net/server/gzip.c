#include <zlib.h>

#include "net/server/http_inner.h"

#define GZIP_WINDOW (15 + 16) /* zlib: the widest window, with gzip's frame */
#define GZIP_STEP 16384

/* zlib's next_in lacks a const. */
static void set_input(z_stream *z, struct str in)
{
    z->next_in = (Bytef *)(uintptr_t)in.p;
    z->avail_in = (uInt)in.len;
}

/* One step of inflate; what it gave is appended. */
static int inflate_step(z_stream *z, struct buf *out)
{
    Bytef step[GZIP_STEP];

    z->next_out = step;
    z->avail_out = sizeof step;
    int rc = inflate(z, Z_NO_FLUSH);
    buf_add(out, step, sizeof step - z->avail_out);
    return rc;
}

int http_gunzip(struct str in, size_t bytes_max, struct buf *out, struct error *e)
{
    z_stream z = { 0 };
    int rc = Z_OK;

    if (in.len > UINT32_MAX || inflateInit2(&z, GZIP_WINDOW) != Z_OK)
        return error_set(e, ERROR_INTERNAL, "cannot start to unpack gzip");
    *out = BUF_INIT(bytes_max);
    set_input(&z, in);
    while (rc == Z_OK && !out->overflow)
        rc = inflate_step(&z, out);
    bool whole = rc == Z_STREAM_END && z.avail_in == 0;
    (void)inflateEnd(&z);
    if (!out->overflow && whole)
        return 0;
    bool overflow = out->overflow;
    buf_release(out);
    if (overflow)
        return error_set(e, ERROR_OUT_OF_RANGE, "the body is over %zu bytes", bytes_max);
    return error_set(e, ERROR_INVALID_ARGUMENT, "the body is not a whole gzip stream");
}

static int deflate_all(z_stream *z, struct buf *out)
{
    Bytef step[GZIP_STEP];
    int rc;

    do {
        z->next_out = step;
        z->avail_out = sizeof step;
        rc = deflate(z, Z_FINISH);
        buf_add(out, step, sizeof step - z->avail_out);
    } while (rc == Z_OK && !out->overflow);
    return rc == Z_STREAM_END && !out->overflow ? 0 : -1;
}

bool http_gzip(struct str in, struct buf *out)
{
    z_stream z = { 0 };

    if (in.len > UINT32_MAX ||
        deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    *out = BUF_INIT(in.len);
    set_input(&z, in);
    int rc = deflate_all(&z, out);
    (void)deflateEnd(&z);
    if (rc < 0)
        buf_release(out);
    return rc == 0;
}
