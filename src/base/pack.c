#include "base/pack.h"

#include <assert.h>
#include <zlib.h>
#include <zstd.h>

#include "base/mem.h"

#define GZIP_WINDOW (MAX_WBITS + 16) /* zlib: a gzip header, not its own */
#define PIECE_BYTES (16 * 1024)

struct pack {
    enum packing kind;
    z_stream z;
    ZSTD_CStream *zstd;
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

struct pack *pack_new(enum packing kind)
{
    if (kind == PACKING_NONE)
        return NULL;
    struct pack *p = mem_alloc(sizeof *p);
    p->kind = kind;
    if (kind == PACKING_ZSTD) {
        p->zstd = ZSTD_createCStream();
        assert(p->zstd); /* NULL: no memory */
        size_t code = ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_checksumFlag, 1);
        assert(!ZSTD_isError(code));
        return p;
    }
    p->z.zalloc = zlib_alloc; /* which never fails, so neither does zlib */
    p->z.zfree = zlib_free;
    int rc =
        deflateInit2(&p->z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY);
    assert(rc == Z_OK);
    return p;
}

static void add_gzip(struct pack *p, struct str s, bool last, struct buf *out)
{
    Bytef piece[PIECE_BYTES];

    assert(s.len <= UINT32_MAX);
    union {
        const char *read;
        Bytef *zlib; /* zlib reads it only, whatever its type says */
    } from = { .read = s.p };
    p->z.next_in = from.zlib;
    p->z.avail_in = (uInt)s.len;
    do {
        p->z.next_out = piece;
        p->z.avail_out = sizeof piece;
        (void)deflate(&p->z, last ? Z_FINISH : Z_SYNC_FLUSH);
        buf_add(out, piece, sizeof piece - p->z.avail_out);
    } while (p->z.avail_out == 0);
}

static void add_zstd(struct pack *p, struct str s, bool last, struct buf *out)
{
    ZSTD_inBuffer in = { s.p, s.len, 0 };
    char piece[PIECE_BYTES];
    size_t left;

    do {
        ZSTD_outBuffer to = { piece, sizeof piece, 0 };
        left = ZSTD_compressStream2(p->zstd, &to, &in, last ? ZSTD_e_end : ZSTD_e_flush);
        assert(!ZSTD_isError(left)); /* only memory can be missing */
        buf_add(out, piece, to.pos);
    } while (left > 0);
}

void pack_add(struct pack *p, struct str s, bool last, struct buf *out)
{
    if (p->kind == PACKING_ZSTD)
        add_zstd(p, s, last, out);
    else
        add_gzip(p, s, last, out);
}

void pack_free(struct pack *p)
{
    if (!p)
        return;
    if (p->kind == PACKING_GZIP)
        (void)deflateEnd(&p->z);
    (void)ZSTD_freeCStream(p->zstd);
    mem_free(p);
}
