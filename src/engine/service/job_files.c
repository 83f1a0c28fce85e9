#include "engine/service/job_files.h"

#include <string.h>
#include <unistd.h>

#include "base/gunzip.h"
#include "base/mem.h"
#include "base/sys.h"
#include "base/thread.h"
#include "engine/lines/digest.h"
#include "format/gs.h"
#include "store/objects/objects.h"

#define READ_BYTES ((size_t)16 * 1024)

/* The id of a file of the Files API ("https://HOST/v1beta/files/ID", "files/ID"), else empty. */
static struct str file_id(struct str uri)
{
    size_t at = str_find(uri, STR("files/"));

    if (str_starts(uri, STR("gs://")) || at == SIZE_MAX)
        return (struct str){ 0 };
    struct str id = str_sub(uri, at + strlen("files/"), uri.len);
    return str_sub(id, 0, str_find(id, STR(":")));
}

/* The bytes that a request names: an object or a file of the Files API. */
struct named {
    struct blob blob;
    bool gzip; /* stored packed */
};

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

static int find(struct job_files *f, struct arena *a, struct str uri, struct named *out,
                struct error *e)
{
    struct str id = file_id(uri);
    struct object o = { 0 };
    struct file file = { 0 };

    *out = (struct named){ 0 };
    if (id.len) {
        if (file_get(f->store, a, f->project, id, &file, e) < 0)
            return -1;
        out->blob = file.blob;
        return 0;
    }
    if (find_object(f, a, uri, &o, e) < 0)
        return -1;
    if (o.create_us >= f->since_us)
        atomic_store(&f->changed, true);
    *out = (struct named){ o.blob, object_is_gzip(&o) };
    return 0;
}

/* Reads an object that is stored as gzip. */
static int read_content(struct job_files *f, const struct named *n, size_t bytes_max,
                        struct buf *out, struct error *e)
{
    char piece[READ_BYTES];
    int64_t got;
    int fd = blob_open(f->store, n->blob.id, e);

    if (fd < 0)
        return -1;
    struct gunzip *g = gunzip_open(fd);
    while ((got = gunzip_read(g, piece, sizeof piece, "the file", e)) > 0 &&
           out->len <= bytes_max && buf_ok(out))
        buf_add(out, piece, (size_t)got);
    gunzip_close(g);
    if (got == 0 && buf_ok(out) && out->len <= bytes_max)
        return 0;
    return got < 0
               ? -1
               : error_set(e, ERROR_INVALID_ARGUMENT,
                           "it is over %zu bytes when it is unpacked; a request's files may have "
                           "that many here together",
                           bytes_max);
}

static int read_plain(struct job_files *f, const struct blob *b, struct buf *out, struct error *e)
{
    int fd = blob_open(f->store, b->id, e);
    char *p = fd < 0 ? NULL : buf_extend(out, (size_t)b->bytes);
    int64_t n = p ? sys_read_at(fd, p, (size_t)b->bytes, 0, "the file", e) : -1;

    if (fd >= 0 && !p)
        (void)error_set(e, ERROR_RESOURCE_EXHAUSTED, "the file is too large");
    if (fd >= 0)
        (void)close(fd);
    if (n >= 0 && (uint64_t)n < b->bytes)
        return error_set(e, ERROR_DATA_LOSS, "the file is shorter than it was");
    return n < 0 ? -1 : 0;
}

static int read_named(struct job_files *f, struct arena *a, struct str uri, size_t bytes_max,
                      struct buf *out, struct error *e)
{
    struct named n;

    if (find(f, a, uri, &n, e) < 0)
        return -1;
    if (n.blob.bytes > bytes_max)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%.*s has %llu bytes; a request's files may have %zu here together",
                         STR_ARG(uri), (unsigned long long)n.blob.bytes, bytes_max);
    if (n.gzip)
        return read_content(f, &n, bytes_max, out, e);
    return read_plain(f, &n.blob, out, e);
}

static int job_files_read(void *arg, struct str uri, size_t bytes_max, struct buf *out,
                          struct error *e)
{
    struct arena a = { 0 };

    assert_may_wait("the reading of an object");
    int rc = read_named(arg, &a, uri, bytes_max, out, e);

    arena_release(&a);
    return rc;
}

/* Its content in a file without a name. */
static int unpacked(struct job_files *f, const struct named *n, uint64_t bytes_max, struct error *e)
{
    struct buf content = BUF_INIT(bytes_max < SIZE_MAX / 2 ? (size_t)bytes_max + 1 : SIZE_MAX / 2);
    int fd = -1;

    if (read_content(f, n, (size_t)bytes_max, &content, e) == 0) {
        fd = sys_open_nameless(store_dir(f->store), e);
        if (fd >= 0 && sys_write_all(fd, content.p, content.len, "the file", e) < 0) {
            (void)close(fd);
            fd = -1;
        }
    }
    buf_release(&content);
    return fd;
}

static int job_files_open(void *arg, struct str uri, uint64_t bytes_max, struct error *e)
{
    struct job_files *f = arg;
    struct arena a = { 0 };
    struct named n;
    int fd = -1;

    assert_may_wait("the opening of an object");
    if (find(f, &a, uri, &n, e) == 0) {
        if (n.blob.bytes > bytes_max)
            (void)error_set(e, ERROR_INVALID_ARGUMENT, "It has %llu bytes; at most %llu are taken.",
                            (unsigned long long)n.blob.bytes, (unsigned long long)bytes_max);
        else
            fd = n.gzip ? unpacked(f, &n, bytes_max, e) : blob_open(f->store, n.blob.id, e);
    }
    arena_release(&a);
    return fd;
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
    struct arena a = { 0 };
    struct named n;
    struct error ignored;
    bool known = find(arg, &a, uri, &n, &ignored) == 0;

    if (known)
        digest_blob(&n.blob, n.gzip, out);
    arena_release(&a);
    return known;
}

void job_files_init(struct job_files *f, struct store *s, const char *project, int64_t since_us)
{
    *f = (struct job_files){
        .source = { .read = job_files_read, .open = job_files_open, .arg = f },
        .digests = { job_files_digest, f },
        .store = s,
        .project = project,
        .since_us = since_us,
    };
    atomic_init(&f->changed, false);
}
