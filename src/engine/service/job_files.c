#include "engine/service/job_files.h"

#include <string.h>

#include "base/gunzip.h"
#include "base/mem.h"
#include "base/sys.h"
#include "base/thread.h"
#include "format/gs.h"
#include "store/objects/objects.h"

#define READ_BYTES ((size_t)16 * 1024)

/* Reads an object that is stored as gzip. */
static int read_content(struct job_files *f, const struct object *o, size_t bytes_max,
                        struct buf *out, struct error *e)
{
    char piece[READ_BYTES];
    int64_t n;
    int fd = blob_open(f->store, o->blob.id, e);

    if (fd < 0)
        return -1;
    struct gunzip *g = gunzip_open(fd);
    while ((n = gunzip_read(g, piece, sizeof piece, "the file", e)) > 0 && out->len <= bytes_max &&
           buf_ok(out))
        buf_add(out, piece, (size_t)n);
    gunzip_close(g);
    if (n == 0 && buf_ok(out) && out->len <= bytes_max)
        return 0;
    return n < 0 ? -1
                 : error_set(e, ERROR_INVALID_ARGUMENT,
                             "it is over %zu bytes when it is unpacked; a request's files may have "
                             "that many here together",
                             bytes_max);
}

static int read_object(struct job_files *f, struct arena *a, struct str uri, size_t bytes_max,
                       struct buf *out, struct error *e)
{
    struct str bucket = { 0 }, name = { 0 };
    struct object o;

    if (!gs_split(uri, &bucket, &name) || name.len == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "a file is named as gs://bucket/object; \"%.*s\" is not", STR_ARG(uri));
    if (object_get(f->store, a,
                   &(struct object_ref){ .project = f->project, .bucket = bucket, .name = name },
                   &o, e) < 0)
        return -1;
    if (o.blob.bytes > bytes_max)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%.*s has %llu bytes; a request's files may have %zu here together",
                         STR_ARG(uri), (unsigned long long)o.blob.bytes, bytes_max);
    if (object_is_gzip(&o))
        return read_content(f, &o, bytes_max, out, e);
    return sys_read_file(blob_path(f->store, a, o.blob.id), bytes_max, out, e);
}

static int job_files_read(void *arg, struct str uri, size_t bytes_max, struct buf *out,
                          struct error *e)
{
    struct arena a = { 0 };

    assert_may_wait("the reading of an object");
    int rc = read_object(arg, &a, uri, bytes_max, out, e);

    arena_release(&a);
    return rc;
}

void job_files_init(struct job_files *f, struct store *s, const char *project)
{
    *f = (struct job_files){ .source = { job_files_read, f }, .store = s, .project = project };
}
