/* blob.c -- the files of blobs: written beside, synced, then renamed to where readers look.
 *
 * Shape:   DIR/uploads/w-RANDOM while it is written, DIR/blobs/<last two hex digits of ID>/ID after. IDs
 *          come from the database a block at a time, so that one which was given is never given again.
 */
#include "store/objects/blob.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/gunzip.h"
#include "base/log.h"
#include "base/random.h"
#include "base/sys.h"
#include "base/thread.h"
#include "store/objects/objects_inner.h"

/* Ids that a crash may leave unused. */
#define ID_BLOCK 1024
/* An id begins with the database's epoch: a standby that took over and lacks the last blocks gives none of theirs. */
#define ID_NUMBER_BITS 40
#define NAME_CHARS 20
#define COPY_BYTES ((size_t)256 * 1024)
/* A blob of a shared store up to this size is fetched whole when a part of it is wanted. */
#define PART_BLOB_MIN ((uint64_t)4 * 1024 * 1024)

static void *blobs_new(void)
{
    struct blobs *b = mem_alloc(sizeof *b);

    lock_init(&b->lock);
    b->uploads = uploads_new();
    b->syncer = syncer_new();
    b->cache = cache_new();
    return b;
}

static void blobs_free(void *memory)
{
    struct blobs *b = memory;

    syncer_free(b->syncer); /* first: it ends writers of uploads */
    uploads_free(b->uploads);
    cache_free(b->cache);
    lock_destroy(&b->lock);
    mem_free(b);
}

struct blobs *blobs_of(struct store *s)
{
    return store_memory(s, STORE_OBJECTS, blobs_new, blobs_free);
}

static int block_take(struct store *s, int64_t *last, struct error *e)
{
    struct db *d = store_write(s, e);

    if (!d)
        return -1;
    int64_t least = (db_epoch(d) << ID_NUMBER_BITS) + ID_BLOCK;
    int rc = store_number(d, "blob", least, ID_BLOCK, last, e);
    return store_commit(s, d, rc, e);
}

int blob_id_take(struct store *s, int64_t *out, struct error *e)
{
    struct blobs *b = blobs_of(s);
    int64_t last = 0;
    int rc = 0;

    lock(&b->lock);
    if (b->next == b->end) {
        rc = block_take(s, &last, e);
        if (rc == 0) {
            b->end = last + 1;
            b->next = b->end - ID_BLOCK;
        }
    }
    assert(rc < 0 || (b->next > 0 && b->next < b->end));
    if (rc == 0)
        *out = b->next++;
    unlock(&b->lock);
    return rc;
}

static struct blob_writer *writer_new(struct store *s, bool md5, bool sha256, struct error *e)
{
    struct blob_writer *w = mem_alloc(sizeof *w);
    char name[NAME_CHARS + 1];

    w->s = s;
    w->fd = -1;
    if (random_text(name, NAME_CHARS, ALPHABET_36, e) < 0 ||
        blob_digest_begin(&w->digest, md5, sha256, e) < 0)
        goto fail;
    store_path(s, w->path, "uploads/w-%s", name);
    w->fd = sys_open(w->path, O_RDWR | O_CREAT | O_EXCL, e);
    if (w->fd >= 0)
        return w;
fail:
    blob_writer_free(w);
    return NULL;
}

struct blob_writer *blob_create(struct store *s, uint64_t bytes_max, bool sha256, struct error *e)
{
    struct blob_writer *w = writer_new(s, true, sha256, e);

    if (w)
        w->bytes_max = bytes_max;
    return w;
}

int blob_write(struct blob_writer *w, const void *p, size_t len, struct error *e)
{
    if (w->broken)
        return error_set(e, ERROR_FAILED_PRECONDITION, "an earlier write failed");
    if (len > w->bytes_max - w->bytes)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "more than the allowed %llu bytes",
                         (unsigned long long)w->bytes_max);
    if (sys_write_all(w->fd, p, len, w->path, e) < 0) {
        w->broken = true;
        return -1;
    }
    if (w->hashed == w->bytes) {
        blob_digest_add(&w->digest, p, len);
        w->hashed += len;
    }
    w->bytes += len;
    if (w->upload[0] != '\0' && w->bytes - w->mark.bytes >= UPLOAD_MARK_BYTES)
        return blob_mark_soon(w, e);
    return 0;
}

uint64_t blob_written(const struct blob_writer *w)
{
    return w->bytes;
}

int blob_finish(struct blob_writer *w, struct blob *out, struct error *e)
{
    assert(w->upload[0] == '\0');
    if (blob_place(w, out, e) < 0) {
        blob_abort(w);
        return -1;
    }
    blob_writer_free(w);
    return 0;
}

void blob_abort(struct blob_writer *w)
{
    if (!w)
        return;
    if (w->upload[0] != '\0') {
        upload_abort(w);
        return;
    }
    (void)unlink(w->path); /* what stays is swept */
    blob_writer_free(w);
}

/* Synced, and renamed to where readers look. */
static int place_file(struct blob_writer *w, struct error *e)
{
    char to[PATH_BYTES];

    if (sys_sync(w->fd, w->path, e) < 0)
        return -1;
    blob_file(w->s, to, w->id);
    char *slash = strrchr(to, '/');
    *slash = '\0';
    if (sys_mkdirs(to, e) < 0)
        return -1;
    *slash = '/';
    return sys_rename(w->path, to, e);
}

/* Its bytes are in the bucket then, and the file is a copy of them. */
static int place_shared(struct blob_writer *w, const struct blob *done, struct error *e)
{
    if (blob_send(w->s, done->id, w->fd, (struct byte_range){ 0, w->bytes }, e) < 0)
        return -1;
    blob_facts_keep(w->s, done->id, &(struct blob_facts){ done->bytes, done->crc32c, true, false });
    if (!w->nameless)
        cache_take(w->s, done->id, w->path, w->bytes);
    return 0;
}

int blob_place(struct blob_writer *w, struct blob *out, struct error *e)
{
    struct blob done = { .bytes = w->bytes };

    assert_may_wait("the sync of a file");
    if (w->broken)
        return error_set(e, ERROR_FAILED_PRECONDITION, "an earlier write failed");
    assert(w->hashed <= w->bytes && w->base == 0);
    if (w->hashed < w->bytes) {
        const struct byte_range rest = { w->hashed, w->bytes };
        if (blob_digest_add_file(&w->digest, w->fd, rest, w->path, e) < 0)
            return -1;
        w->hashed = w->bytes;
    }
    if (w->id == 0 && blob_id_take(w->s, &w->id, e) < 0)
        return -1;
    done.id = w->id;
    if (store_is_shared(w->s)) {
        done.crc32c = w->digest.crc32c;
        if (place_shared(w, &done, e) < 0)
            return -1;
    } else if (place_file(w, e) < 0) {
        return -1;
    }
    (void)close(w->fd);
    w->fd = -1;
    blob_digest_end(&w->digest, &done);
    *out = done;
    return 0;
}

void blob_writer_free(struct blob_writer *w)
{
    if (!w)
        return;
    if (w->fd >= 0)
        (void)close(w->fd);
    blob_digest_release(&w->digest);
    mem_free(w);
}

int blob_adopt(struct store *s, const char *path, struct blob_hasher *h, struct blob *out,
               struct error *e)
{
    struct blob_writer *w = mem_alloc(sizeof *w);
    struct stat st;
    int rc = -1;

    w->s = s;
    (void)snprintf(w->path, sizeof w->path, "%s", path);
    w->fd = sys_open(path, O_RDWR, e);
    w->bytes = w->hashed = h->bytes;
    if (w->fd >= 0 && fstat(w->fd, &st) < 0)
        (void)error_errno(e, "cannot look at %s", path);
    else if (w->fd >= 0 && (uint64_t)st.st_size != w->bytes)
        (void)error_set(e, ERROR_DATA_LOSS, "%s has %lld bytes, and %llu were written", path,
                        (long long)st.st_size, (unsigned long long)w->bytes);
    else if (w->fd >= 0) {
        assert(h->digest.md5 && h->digest.sha256); /* a hasher is of one file */
        w->digest = h->digest;
        h->digest = (struct blob_digest){ 0 };
        rc = blob_place(w, out, e);
    }
    blob_writer_free(w);
    return rc;
}

static int append_fd(struct blob_writer *w, int fd, char *chunk, struct error *e)
{
    uint64_t at = 0;
    int64_t n;

    while ((n = sys_read_at(fd, chunk, COPY_BYTES, at, "a part", e)) > 0) {
        if (blob_write(w, chunk, (size_t)n, e) < 0)
            return -1;
        at += (uint64_t)n;
    }
    return n < 0 ? -1 : 0;
}

static int append_blob(struct blob_writer *w, int64_t id, struct error *e)
{
    int fd = blob_open(w->s, id, e);

    if (fd < 0)
        return -1;
    char *chunk = mem_alloc(COPY_BYTES);
    int rc = append_fd(w, fd, chunk, e);
    mem_free(chunk);
    (void)close(fd);
    return rc;
}

int blob_compose(struct store *s, const int64_t *part, uint32_t count, struct blob *out,
                 struct error *e)
{
    assert_may_wait("the copying of a file");
    if (store_is_shared(s))
        return blob_compose_shared(s, part, count, out, e);
    struct blob_writer *w = writer_new(s, false, false, e);
    if (!w)
        return -1;
    w->bytes_max = UINT64_MAX;
    for (uint32_t i = 0; i < count; i++) {
        if (append_blob(w, part[i], e) < 0) {
            blob_abort(w);
            return -1;
        }
    }
    return blob_finish(w, out, e);
}

static int append_content(struct blob_writer *w, struct gunzip *from, char *chunk,
                          const struct blob_content *of, struct error *e)
{
    int64_t n;

    while ((n = gunzip_read(from, chunk, COPY_BYTES, of->name, e)) > 0) {
        if (atomic_load(of->stop))
            return error_set(e, ERROR_CANCELLED, "stopped while %s was unpacked", of->name);
        if ((uint64_t)n > of->bytes_max - w->bytes)
            return error_set(e, ERROR_OUT_OF_RANGE, "%s has over %llu bytes when it is unpacked",
                             of->name, (unsigned long long)of->bytes_max);
        if (blob_write(w, chunk, (size_t)n, e) < 0)
            return -1;
    }
    return n < 0 ? -1 : 0;
}

int blob_unpack(struct store *s, const struct blob_content *of, struct blob *out, struct error *e)
{
    int fd = blob_open(s, of->id, e);

    assert_may_wait("the unpacking of a file");
    if (fd < 0)
        return -1;
    struct gunzip *from = gunzip_open(fd);
    struct blob_writer *w = blob_create(s, of->bytes_max, false, e);
    char *chunk = mem_alloc(COPY_BYTES);
    int rc = w ? append_content(w, from, chunk, of, e) : -1;
    mem_free(chunk);
    gunzip_close(from);
    if (rc == 0)
        return blob_finish(w, out, e);
    blob_abort(w);
    return -1;
}

int blob_open(struct store *s, int64_t id, struct error *e)
{
    char path[PATH_BYTES];

    if (store_is_shared(s)) {
        assert_may_wait("the opening of a shared blob");
        return cache_open(s, id, e);
    }
    blob_file(s, path, id);
    return sys_open(path, O_RDONLY, e);
}

int blob_open_part(struct store *s, int64_t id, uint64_t from, uint64_t to, struct error *e)
{
    struct blob_facts f;

    assert(from <= to);
    if (!store_is_shared(s))
        return blob_open(s, id, e);
    assert_may_wait("the opening of a shared blob");
    int fd = cache_try(s, id);
    if (fd >= 0)
        return fd;
    if (blob_facts(s, id, &f, e) < 0)
        return -1;
    if (f.bytes <= PART_BLOB_MIN)
        return blob_open(s, id, e);
    const struct byte_range what = { from < f.bytes ? from : f.bytes, to < f.bytes ? to : f.bytes };
    return blob_fetch_nameless(s, id, &f, what, e);
}

int blob_size(struct store *s, int64_t id, uint64_t *bytes, struct error *e)
{
    char path[PATH_BYTES];
    struct blob_facts f;
    struct stat st;

    if (store_is_shared(s)) {
        if (blob_facts(s, id, &f, e) < 0)
            return -1;
        *bytes = f.bytes;
        return 0;
    }
    blob_file(s, path, id);
    if (stat(path, &st) < 0)
        return error_errno(e, "cannot look at %s", path);
    *bytes = (uint64_t)st.st_size;
    return 0;
}

const char *blob_path(struct store *s, struct arena *a, int64_t id)
{
    char path[PATH_BYTES];

    assert(!store_is_shared(s));
    blob_file(s, path, id);
    return arena_copy(a, path, strlen(path));
}

void blob_file(const struct store *s, char out[PATH_BYTES], int64_t id)
{
    store_path(s, out, "blobs/%02x/%lld", (unsigned)(id & 0xff), (long long)id);
}

bool blob_unlink(struct store *s, int64_t id)
{
    char path[PATH_BYTES];

    if (id == 0)
        return false;
    if (store_is_shared(
            s)) { /* the sweep removes its bytes: a reply must not wait for the bucket */
        cache_remove(s, id);
        return false;
    }
    blob_file(s, path, id);
    if (unlink(path) == 0)
        return true;
    if (errno != ENOENT)
        log_warn("cannot remove %s, a later sweep will: error %d", path, errno);
    return false;
}
