#include "engine/service/job_files.h"

#include <string.h>

#include "base/gunzip.h"
#include "base/mem.h"
#include "base/sys.h"
#include "base/thread.h"
#include "engine/lines/digest.h"
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

static int find_object(struct job_files *f, struct arena *a, struct str uri, struct object *out,
                       struct error *e)
{
    struct str bucket = { 0 }, name = { 0 };

    if (!gs_split(uri, &bucket, &name) || name.len == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "a file is named as gs://bucket/object; \"%.*s\" is not", STR_ARG(uri));
    const struct object_ref at = { .project = f->project, .bucket = bucket, .name = name };
    return object_get(f->store, a, &at, out, e);
}

static int read_object(struct job_files *f, struct arena *a, struct str uri, size_t bytes_max,
                       struct buf *out, struct error *e)
{
    struct object o = { 0 };

    if (find_object(f, a, uri, &o, e) < 0)
        return -1;
    if (o.create_us >= f->since_us)
        atomic_store(&f->changed, true);
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

/* The id of a file of the Files API ("https://HOST/v1beta/files/ID", "files/ID"), else empty. */
static struct str file_id(struct str uri)
{
    size_t at = str_find(uri, STR("files/"));

    if (str_starts(uri, STR("gs://")) || at == SIZE_MAX)
        return (struct str){ 0 };
    struct str id = str_sub(uri, at + strlen("files/"), uri.len);
    return str_sub(id, 0, str_find(id, STR(":")));
}

/* By the strongest hash that the store has of the bytes; composed objects have only the weakest, so for them it is
 * the place of the bytes. */
static void digest_blob(const struct blob *b, bool gzip, uint64_t out[2])
{
    struct {
        unsigned char hash[32];
        uint64_t bytes;
        int64_t id;
        uint64_t gzip;
    } fact = { .bytes = b->bytes, .gzip = gzip };

    if (b->has_sha256)
        memcpy(fact.hash, b->sha256, sizeof b->sha256);
    else if (b->has_md5)
        memcpy(fact.hash, b->md5, sizeof b->md5);
    else
        fact.id = b->id;
    digest_of(&fact, sizeof fact, out);
}

static bool job_files_digest(void *arg, struct str uri, uint64_t out[2])
{
    struct job_files *f = arg;
    struct arena a = { 0 };
    struct str id = file_id(uri);
    struct object o = { 0 };
    struct file file = { 0 };
    struct error ignored;
    bool known = false;

    if (id.len)
        known = file_get(f->store, &a, f->project, id, &file, &ignored) == 0;
    else
        known = find_object(f, &a, uri, &o, &ignored) == 0;
    if (known && !id.len && o.create_us >= f->since_us)
        atomic_store(&f->changed, true);
    if (known)
        digest_blob(id.len ? &file.blob : &o.blob, !id.len && object_is_gzip(&o), out);
    arena_release(&a);
    return known;
}

void job_files_init(struct job_files *f, struct store *s, const char *project, int64_t since_us)
{
    *f = (struct job_files){
        .source = { job_files_read, f },
        .digests = { job_files_digest, f },
        .store = s,
        .project = project,
        .since_us = since_us,
    };
    atomic_init(&f->changed, false);
}
