#include "base/unpack.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/gunzip.h"
#include "base/mem.h"

#define READ_BYTES ((size_t)128 * 1024)

struct unpack {
    struct gunzip *gzip; /* also of bytes that are not packed; NULL: zstd */
    ZSTD_DStream *zstd;
    int fd;
    char *piece; /* of the file */
    ZSTD_inBuffer in;
    bool ended; /* the file has no more bytes */
    bool whole; /* the last stream has ended */
    uint64_t bytes_in, bytes_out;
};

enum packing packing_of_bytes(struct str head)
{
    if (str_starts(head, STR("\x1F\x8B")))
        return PACKING_GZIP;
    return str_starts(head, STR("\x28\xB5\x2F\xFD")) ? PACKING_ZSTD : PACKING_NONE;
}

enum packing packing_of_name(struct str name, struct str *rest)
{
    enum packing found = str_ends(name, STR(".gz"))    ? PACKING_GZIP
                         : str_ends(name, STR(".zst")) ? PACKING_ZSTD
                                                       : PACKING_NONE;

    if (found != PACKING_NONE)
        name.len -= strlen(found == PACKING_GZIP ? ".gz" : ".zst");
    if (rest)
        *rest = name;
    return found;
}

struct unpack *unpack_open(int fd)
{
    struct unpack *u = mem_alloc(sizeof *u);
    char head[4];
    ssize_t n = pread(fd, head, sizeof head, 0);

    if (packing_of_bytes((struct str){ head, n < 0 ? 0 : (size_t)n }) != PACKING_ZSTD) {
        u->gzip = gunzip_open(fd);
        return u;
    }
    u->fd = fd;
    u->piece = mem_alloc(READ_BYTES);
    u->in = (ZSTD_inBuffer){ u->piece, 0, 0 };
    u->zstd = ZSTD_createDStream();
    assert(u->zstd); /* NULL: no memory */
    size_t rc = ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax, UNPACK_WINDOW_LOG_MAX);
    assert(!ZSTD_isError(rc));
    return u;
}

void unpack_close(struct unpack *u)
{
    if (!u)
        return;
    gunzip_close(u->gzip);
    if (!u->gzip)
        (void)close(u->fd);
    (void)ZSTD_freeDStream(u->zstd);
    mem_free(u->piece);
    mem_free(u);
}

static int refill(struct unpack *u, const char *name, struct error *e)
{
    ssize_t n;

    do
        n = read(u->fd, u->piece, READ_BYTES);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return error_errno(e, "cannot read %s", name);
    u->in = (ZSTD_inBuffer){ u->piece, (size_t)n, 0 };
    u->ended = n == 0;
    u->bytes_in += (uint64_t)n;
    return 0;
}

static int broken(size_t code, const char *name, struct error *e)
{
    if (ZSTD_getErrorCode(code) == ZSTD_error_frameParameter_windowTooLarge)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s needs a window over %llu MiB to unpack; pack it without --long, or "
                         "unpack it first",
                         name, (unsigned long long)(UNPACK_WINDOW_BYTES_MAX >> 20));
    return error_set(e, ERROR_INVALID_ARGUMENT, "%s is not a whole zstd stream: %s", name,
                     ZSTD_getErrorName(code));
}

static int64_t unzstd(struct unpack *u, void *p, size_t cap, const char *name, struct error *e)
{
    ZSTD_outBuffer out = { p, cap, 0 };

    while (out.pos == 0) {
        if (u->in.pos == u->in.size && !u->ended && refill(u, name, e) < 0)
            return -1;
        if (u->in.pos == u->in.size && u->ended && u->whole)
            return 0;
        size_t code = ZSTD_decompressStream(u->zstd, &out, &u->in);
        if (ZSTD_isError(code))
            return broken(code, name, e);
        u->whole = code == 0;
        /* The last bytes of a stream may wait inside although the file has ended. */
        if (u->ended && !u->whole && out.pos == 0)
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "%s is not a whole zstd stream: it ends too early", name);
    }
    return (int64_t)out.pos;
}

int64_t unpack_read(struct unpack *u, void *p, size_t cap, const char *name, struct error *e)
{
    if (u->gzip)
        return gunzip_read(u->gzip, p, cap, name, e);
    int64_t n = unzstd(u, p, cap, name, e);
    if (n > 0)
        u->bytes_out += (uint64_t)n;
    if (u->bytes_out > UNPACK_FREE_BYTES && u->bytes_out / UNPACK_RATIO_MAX > u->bytes_in)
        return error_set(
            e, ERROR_INVALID_ARGUMENT,
            "%s unpacks to over %d times its size; if it is not a bomb, unpack it first", name,
            UNPACK_RATIO_MAX);
    return n;
}
