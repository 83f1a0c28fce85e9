/* blob_packed.c -- a file as a blob that is packed, for what other processes need of a job. */
#include <fcntl.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/pack.h"
#include "base/sys.h"
#include "base/unpack.h"
#include "store/objects/blob.h"

#define COPY_BYTES ((size_t)256 * 1024)

static int pack_bytes(int fd, const char *path, struct blob_writer *to, struct error *e)
{
    struct pack *p = pack_new(PACKING_ZSTD);
    struct buf out = BUF_INIT(COPY_BYTES * 4);
    char *piece = mem_alloc(COPY_BYTES);
    int64_t n = 1;

    for (uint64_t at = 0; n > 0; at += (uint64_t)n) {
        n = sys_read_at(fd, piece, COPY_BYTES, at, path, e);
        if (n < 0)
            break;
        pack_add(p, (struct str){ piece, (size_t)n }, n == 0, &out);
        if (blob_write(to, out.p, out.len, e) < 0)
            n = -1;
        buf_clear(&out);
    }
    mem_free(piece);
    buf_release(&out);
    pack_free(p);
    return n < 0 ? -1 : 0;
}

int blob_pack(struct store *s, const char *path, struct blob *out, struct error *e)
{
    struct blob_writer *to = blob_create(s, UINT64_MAX, false, e);
    int fd = to ? sys_open(path, O_RDONLY, e) : -1;
    int rc = fd < 0 ? -1 : pack_bytes(fd, path, to, e);

    if (fd >= 0)
        (void)close(fd);
    if (rc == 0)
        return blob_finish(to, out, e);
    blob_abort(to);
    return -1;
}

int blob_unpack_to(struct store *s, int64_t id, const char *path, struct error *e)
{
    int blob = blob_open(s, id, e), fd = -1;

    if (blob < 0)
        return -1;
    struct unpack *u = unpack_open(blob);
    char *piece = mem_alloc(COPY_BYTES);
    fd = sys_open(path, O_WRONLY | O_CREAT | O_TRUNC, e);
    int64_t n = fd < 0 ? -1 : 1;
    while (n > 0) {
        n = unpack_read(u, piece, COPY_BYTES, "a packed file", e);
        if (n > 0 && sys_write_all(fd, piece, (size_t)n, path, e) < 0)
            n = -1;
    }
    if (fd >= 0)
        (void)close(fd);
    mem_free(piece);
    unpack_close(u);
    return n < 0 ? -1 : 0;
}
