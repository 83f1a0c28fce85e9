#include "engine/lines/gzip.h"

#include <assert.h>
#include <zlib.h>

#include "base/mem.h"

#define GZIP_WINDOW (MAX_WBITS + 16) /* zlib: a gzip header, not its own */

struct gzip {
    z_stream z;
};

static voidpf zlib_alloc(voidpf opaque, uInt items, uInt size)
{
    (void)opaque;
    return mem_array(items, size);
}

static void zlib_free(voidpf opaque, voidpf p)
{
    (void)opaque;
    mem_free(p);
}

struct gzip *gzip_new(void)
{
    struct gzip *z = mem_alloc(sizeof *z);

    z->z.zalloc = zlib_alloc; /* which never fails, so neither does zlib */
    z->z.zfree = zlib_free;
    int rc =
        deflateInit2(&z->z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY);
    assert(rc == Z_OK);
    return z;
}

void gzip_add(struct gzip *z, struct str s, bool last, struct buf *out)
{
    Bytef piece[16 * 1024];

    assert(s.len <= UINT32_MAX);
    union {
        const char *read;
        Bytef *zlib; /* zlib reads it only, whatever its type says */
    } from = { .read = s.p };
    z->z.next_in = from.zlib;
    z->z.avail_in = (uInt)s.len;
    do {
        z->z.next_out = piece;
        z->z.avail_out = sizeof piece;
        (void)deflate(&z->z, last ? Z_FINISH : Z_SYNC_FLUSH);
        buf_add(out, piece, sizeof piece - z->z.avail_out);
    } while (z->z.avail_out == 0);
}

void gzip_free(struct gzip *z)
{
    if (!z)
        return;
    (void)deflateEnd(&z->z);
    mem_free(z);
}
