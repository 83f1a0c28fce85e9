#include "base/gunzip.h"

#include <assert.h>
#include <zlib.h>

#include "base/mem.h"

#define BUFFER_BYTES (64 * 1024)
/* gzread takes and returns an int. */
#define READ_BYTES_MAX ((size_t)1 << 30)

struct gunzip {
    gzFile file;
};

struct gunzip *gunzip_open(int fd)
{
    struct gunzip *g = mem_alloc(sizeof *g);

    g->file = gzdopen(fd, "rb");
    assert(g->file); /* NULL: a bad descriptor, or no memory */
    (void)gzbuffer(g->file, BUFFER_BYTES);
    return g;
}

int64_t gunzip_read(struct gunzip *g, void *p, size_t cap, const char *name, struct error *e)
{
    int code = Z_OK;
    int n = gzread(g->file, p, (unsigned)(cap < READ_BYTES_MAX ? cap : READ_BYTES_MAX));

    if (n > 0)
        return n;
    /* A file that is cut off ends like a whole one, and only this tells. */
    const char *why = gzerror(g->file, &code);
    if (n == 0 && code == Z_OK)
        return 0;
    if (code == Z_ERRNO)
        return error_errno(e, "cannot read %s", name);
    return error_set(e, ERROR_INVALID_ARGUMENT, "%s is not a whole gzip stream: %s", name, why);
}

void gunzip_close(struct gunzip *g)
{
    if (!g)
        return;
    (void)gzclose(g->file);
    mem_free(g);
}
