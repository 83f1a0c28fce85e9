/* upload_parts.c -- resumable uploads of a shared store: any process can go on with one.
 *
 * Shape:   Each mark makes a blob of the bytes behind the last one, a row of upload_part, and changes the upload's
 *          `bytes`, in one transaction. At the end the parts are the blob, or the segments of a composed one.
 * Fence:   the row's `bytes`: a writer that finds another number there than it left has been overtaken by a writer
 *          of another process, and fails (ABORTED). The client asks how far the upload is, and goes on.
 * Files:   a writer's file has no name, begins with the byte base, and loses what is in the bucket.
 * Hashes:  go on where this process left them when it wrote an earlier stretch; what others wrote is read from the
 *          bucket at the end.
 */
#define _GNU_SOURCE /* fallocate */
#include <assert.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/sys.h"
#include "base/thread.h"
#include "store/objects/objects_inner.h"

int upload_part_open(struct blob_writer *w, struct error *e)
{
    char folder[PATH_BYTES];

    store_path(w->s, folder, "uploads");
    w->base = w->bytes;
    w->nameless = true;
    w->fd = sys_open_nameless(folder, e);
    return w->fd < 0 ? -1 : 0;
}

static int overtaken(struct db *d, const struct blob_writer *w, struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT 1 FROM upload WHERE id = ?");

    db_bind(q, "s", w->upload);
    int rc = db_step(q, "cannot read an upload", e);
    if (rc < 0)
        return -1;
    return rc == 0 ? error_set(e, ERROR_NOT_FOUND, "No such upload")
                   : error_set(e, ERROR_ABORTED, "another request writes this upload");
}

static int part_add(struct db *d, const struct blob_writer *w, const struct blob *part,
                    struct error *e)
{
    struct stmt *q = db_stmt(d, "UPDATE upload SET bytes = ? WHERE id = ? AND bytes = ?");

    db_bind(q, "isi", (int64_t)(w->marked + part->bytes), w->upload, (int64_t)w->marked);
    int changed = db_run(q, "cannot record an upload", e);
    if (changed <= 0)
        return changed < 0 ? -1 : overtaken(d, w, e);
    q = db_stmt(d, "INSERT INTO upload_part (upload, begin_at, part, bytes, crc32c)"
                   " VALUES (?, ?, ?, ?, ?)");
    db_bind(q, "siiii", w->upload, (int64_t)w->marked, part->id, (int64_t)part->bytes,
            (int64_t)part->crc32c);
    return db_run(q, "cannot record an upload", e) < 0 ? -1 : 0;
}

/* The bytes [marked, to) of the file become a blob. */
static int part_send(struct blob_writer *w, uint64_t to, struct blob *out, struct error *e)
{
    const struct byte_range what = { w->marked - w->base, to - w->base };
    struct blob_digest h;
    struct blob part = { .bytes = to - w->marked };

    if (blob_digest_begin(&h, false, false, e) < 0 ||
        blob_digest_add_file(&h, w->fd, what, w->path, e) < 0)
        return -1;
    blob_digest_end(&h, &part);
    if (blob_id_take(w->s, &part.id, e) < 0 || blob_send(w->s, part.id, w->fd, what, e) < 0)
        return -1;
    *out = part;
    return 0;
}

int upload_part_mark(struct blob_writer *w, uint64_t to, struct error *e)
{
    struct blob part;

    assert(w->base <= w->marked && w->marked <= to); /* `bytes` may grow meanwhile */
    if (to == w->marked)
        return 0;
    if (part_send(w, to, &part, e) < 0)
        return -1;
    struct db *d = store_write_rows(w->s, e);
    if (!d || store_commit(w->s, d, part_add(d, w, &part, e), e) < 0)
        return -1;
    /* On a file system that cannot do it, the file is larger. */
    (void)fallocate(w->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(w->marked - w->base),
                    (off_t)part.bytes);
    return 0;
}

/* ---- The end ---- */

/* 1: the part with the byte `at`, 0: there is none. */
static int part_read(struct blob_writer *w, uint64_t at, uint64_t *begin, struct blob *out,
                     struct error *e)
{
    struct db *d = store_read(w->s, e);

    if (!d)
        return -1;
    struct stmt *q =
        db_stmt(d, "SELECT begin_at, part, bytes, crc32c FROM upload_part WHERE upload = ?"
                   " AND begin_at <= ? ORDER BY begin_at DESC LIMIT 1");
    db_bind(q, "si", w->upload, (int64_t)at);
    int rc = db_step(q, "cannot read an upload", e);
    if (rc == 1) {
        *begin = (uint64_t)db_int(q, 0);
        *out = (struct blob){ .id = db_int(q, 1),
                              .bytes = (uint64_t)db_int(q, 2),
                              .crc32c = (uint32_t)db_int(q, 3) };
        rc = at < *begin + out->bytes;
    }
    store_read_done(w->s, d);
    return rc;
}

/* Reads what was written elsewhere. */
static int hash_rest(struct blob_writer *w, struct error *e)
{
    while (w->hashed < w->bytes) {
        struct blob part = { 0 };
        uint64_t begin = 0;
        int rc = part_read(w, w->hashed, &begin, &part, e);
        if (rc <= 0)
            return rc < 0 ? -1 : error_set(e, ERROR_NOT_FOUND, "No such upload");
        const struct blob_facts f = { part.bytes, part.crc32c, true, false };
        const struct byte_range rest = { w->hashed - begin, part.bytes };
        int fd = blob_fetch_nameless(w->s, part.id, &f, (struct byte_range){ 0, part.bytes }, e);
        if (fd < 0)
            return -1;
        rc = blob_digest_add_file(&w->digest, fd, rest, "a part of an upload", e);
        (void)close(fd);
        if (rc < 0)
            return -1;
        w->hashed = begin + part.bytes;
    }
    return 0;
}

/* Its parts become `out`, which has an id of its own for the case that they are several. */
static int join_in(struct blob_writer *w, struct db *d, struct blob *out, struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT count(*), max(part) FROM upload_part WHERE upload = ?1"
                                " AND EXISTS (SELECT 1 FROM upload WHERE id = ?1 AND bytes = ?2)");

    db_bind(q, "si", w->upload, (int64_t)out->bytes);
    if (db_step(q, "cannot read an upload", e) < 0)
        return -1;
    int64_t parts = db_int(q, 0), first = db_int(q, 1);
    if (parts == 0)
        return overtaken(d, w, e);
    if (parts == 1) {
        out->id = first;
        return 0;
    }
    q = db_stmt(d, "INSERT INTO segment (blob, begin_at, part, bytes, crc32c)"
                   " SELECT CAST(? AS BIGINT), begin_at, part, bytes, crc32c"
                   " FROM upload_part WHERE upload = ?");
    db_bind(q, "is", out->id, w->upload);
    if (db_run(q, "cannot end an upload", e) < 0)
        return -1;
    return blob_composed_in(d, out, e);
}

static int row_end(struct blob_writer *w, struct db *d, uint64_t bytes, struct error *e)
{
    struct stmt *q = db_stmt(d, "DELETE FROM upload WHERE id = ? AND bytes = ?");

    db_bind(q, "si", w->upload, (int64_t)bytes);
    int deleted = db_run(q, "cannot end an upload", e);
    return deleted < 0 ? -1 : deleted == 0 ? overtaken(d, w, e) : 0;
}

/* An upload without a mark is one file. */
static int finish_whole(struct blob_writer *w, struct blob *out, struct error *e)
{
    if (blob_place(w, out, e) < 0)
        return -1;
    struct db *d = store_write(w->s, e);
    return d ? store_commit(w->s, d, row_end(w, d, 0, e), e) : -1;
}

int upload_part_finish(struct blob_writer *w, struct blob *out, struct error *e)
{
    struct blob done = { .bytes = w->bytes };

    if (w->broken)
        return error_set(e, ERROR_FAILED_PRECONDITION, "an earlier write failed");
    if (w->marked == 0)
        return finish_whole(w, out, e);
    if (upload_part_mark(w, w->bytes, e) < 0)
        return -1;
    w->marked = w->bytes;
    if (hash_rest(w, e) < 0 || blob_id_take(w->s, &done.id, e) < 0)
        return -1;
    blob_digest_end(&w->digest, &done);
    struct db *d = store_write(w->s, e);
    if (!d)
        return -1;
    int rc = join_in(w, d, &done, e);
    if (rc == 0)
        rc = row_end(w, d, done.bytes, e);
    if (store_commit(w->s, d, rc, e) < 0)
        return -1;
    *out = done;
    return 0;
}
