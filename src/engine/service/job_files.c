#include "engine/service/job_files.h"

#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "base/thread.h"
#include "format/gs.h"
#include "store/objects/objects.h"

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
