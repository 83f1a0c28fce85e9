/* uploads.c -- resumable uploads: a row with what is durable, a file with the bytes, and in memory who
 * writes now and the hashes so far.
 *
 * Shape:   DIR/uploads/ID; the row's `bytes` are synced, what the file has behind them is cut off when it
 *          is opened again.
 *          In a shared store the bytes are elsewhere (upload_parts.c).
 * Locks:   uploads.lock guards the slots; it is never held over a file's or the database's work.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/thread.h"
#include "base/sys.h"
#include "base/random.h"
#include "store/objects/objects_inner.h"

/* Paused uploads whose hashes stay in memory; others are hashed again from their files. */
#define PAUSED_MAX 64
#define ID_CHARS 40
static_assert(ID_CHARS < UPLOAD_ID_BYTES, "an id fits");
#define US_PER_DAY ((int64_t)86400 * 1000000)

struct slot {
    char id[UPLOAD_ID_BYTES];
    bool busy;                 /* a writer has it, and the digest */
    struct blob_digest digest; /* of a paused one, of the first `hashed` of `bytes` */
    uint64_t hashed, bytes;
};

struct uploads {
    pthread_mutex_t lock; /* guards all below */
    struct slot *slot;    /* in the order of their last use */
    uint32_t count;
};

struct uploads *uploads_new(void)
{
    struct uploads *u = mem_alloc(sizeof *u);

    lock_init(&u->lock);
    return u;
}

void uploads_free(struct uploads *u)
{
    if (!u)
        return;
    for (uint32_t i = 0; i < u->count; i++)
        blob_digest_release(&u->slot[i].digest);
    mem_free(u->slot);
    lock_destroy(&u->lock);
    mem_free(u);
}

static int64_t expired_before(struct store *s)
{
    return store_now(s) - UPLOAD_DAYS * US_PER_DAY;
}

static int check_room(struct store *s, struct db *d, struct str project, struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT count(*) FROM upload WHERE project = ? AND create_us > ?");

    db_bind(q, "ti", project, expired_before(s));
    int rc = db_step(q, "cannot count uploads", e);
    if (rc == 1 && db_int(q, 0) >= UPLOADS_PROJECT_MAX)
        return error_set(
            e, ERROR_RESOURCE_EXHAUSTED,
            "The project has %d unfinished uploads, the maximum: finish or cancel some.",
            UPLOADS_PROJECT_MAX);
    return rc < 0 ? -1 : 0;
}

static int row_insert_in(struct store *s, struct db *d, const struct upload *up, struct error *e)
{
    if (check_room(s, d, up->project, e) < 0)
        return -1;
    struct stmt *q =
        db_stmt(d, "INSERT INTO upload (id, project, what, bytes, bytes_max, create_us)"
                   " VALUES (?, ?, ?, 0, ?, ?)");
    /* The database's integers are signed; a larger limit is as good as none. */
    int64_t most = up->bytes_max > INT64_MAX ? INT64_MAX : (int64_t)up->bytes_max;
    db_bind(q, "sttii", up->id, up->project, up->what, most, store_now(s));
    return db_run(q, "cannot begin an upload", e) < 0 ? -1 : 0;
}

static int row_insert(struct store *s, const struct upload *up, struct error *e)
{
    struct db *d = store_write(s, e);

    return d ? store_commit(s, d, row_insert_in(s, d, up, e), e) : -1;
}

/* The file first: a crash leaves one that no row knows. */
int upload_create(struct store *s, struct upload *up, struct error *e)
{
    char path[PATH_BYTES];

    if (random_text(up->id, ID_CHARS, ALPHABET_36, e) < 0)
        return -1;
    up->bytes = 0;
    if (store_is_shared(s))
        return row_insert(s, up, e);
    store_path(s, path, "uploads/%s", up->id);
    int fd = sys_open(path, O_RDWR | O_CREAT | O_EXCL, e);
    if (fd < 0)
        return -1;
    (void)close(fd);
    if (sys_sync_folder(path, e) < 0 || row_insert(s, up, e) < 0) {
        (void)unlink(path);
        return -1;
    }
    return 0;
}

static int read_row(struct store *s, struct arena *a, struct str id, struct upload *out,
                    struct error *e)
{
    struct db *d = store_read(s, e);

    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "SELECT id, project, what, bytes, bytes_max FROM upload"
                                " WHERE id = ? AND create_us > ?");
    db_bind(q, "ti", id, expired_before(s));
    int rc = db_step(q, "cannot read an upload", e);
    if (rc == 1) {
        db_text_to(q, 0, out->id, sizeof out->id);
        out->project = db_text(q, 1, a);
        out->what = db_text(q, 2, a);
        out->bytes = (uint64_t)db_int(q, 3);
        out->bytes_max = (uint64_t)db_int(q, 4);
    }
    store_read_done(s, d);
    return rc == 1 ? 0 : rc < 0 ? -1 : error_set(e, ERROR_NOT_FOUND, "No such upload");
}

int upload_get(struct store *s, struct arena *a, struct str id, struct upload *out, struct error *e)
{
    return read_row(s, a, id, out, e);
}

static uint32_t slot_find(const struct uploads *u, const char *id)
{
    uint32_t i = 0;

    while (i < u->count && strcmp(u->slot[i].id, id) != 0)
        i++;
    return i;
}

static void slot_remove(struct uploads *u, uint32_t i)
{
    assert(i < u->count);
    blob_digest_release(&u->slot[i].digest);
    memmove(&u->slot[i], &u->slot[i + 1], (u->count - i - 1) * sizeof *u->slot);
    u->count--;
}

static void slot_add(struct uploads *u, const struct slot *slot)
{
    u->slot = mem_list_grow(u->slot, u->count, sizeof *u->slot);
    u->slot[u->count++] = *slot;
}

/* Makes it busy. out: what was kept of a paused one; it has bytes 0 when nothing was. */
static int slot_take(struct uploads *u, const char *id, struct slot *out, struct error *e)
{
    struct slot busy = { .busy = true };
    int rc = 0;

    if (strlen(id) >= sizeof busy.id)
        return error_set(e, ERROR_NOT_FOUND, "No such upload");
    (void)snprintf(busy.id, sizeof busy.id, "%s", id);
    lock(&u->lock);
    uint32_t i = slot_find(u, id);
    if (i < u->count && u->slot[i].busy) {
        rc = error_set(e, ERROR_ABORTED, "another request writes this upload");
    } else {
        if (i < u->count) {
            *out = u->slot[i];
            u->slot[i].digest = (struct blob_digest){ 0 };
            slot_remove(u, i);
        }
        slot_add(u, &busy);
    }
    unlock(&u->lock);
    return rc;
}

static void slot_forget(struct uploads *u, const char *id)
{
    lock(&u->lock);
    uint32_t i = slot_find(u, id);
    if (i < u->count)
        slot_remove(u, i);
    unlock(&u->lock);
}

/* Opens the file behind its durable bytes and takes the slot's hashes. Without them the file is hashed when
 * it is placed: this may run on a connection's thread. */
static int writer_open(struct blob_writer *w, struct slot *slot, struct error *e)
{
    bool shared = store_is_shared(w->s);
    store_path(w->s, w->path, "uploads/%s", w->upload);
    if (shared && upload_part_open(w, e) < 0)
        return -1;
    if (!shared)
        w->fd = sys_open(w->path, O_RDWR, e);
    if (w->fd < 0)
        return -1;
    /* Durable bytes never change: hashes of fewer of them can go on. */
    if (slot->digest.md5 && (slot->bytes == w->bytes || (shared && slot->hashed <= w->bytes))) {
        w->digest = slot->digest;
        w->hashed = slot->hashed;
        slot->digest = (struct blob_digest){ 0 };
    } else if (blob_digest_begin(&w->digest, true, true, e) < 0) {
        return -1;
    }
    off_t end = (off_t)(w->bytes - w->base);
    if (ftruncate(w->fd, end) < 0 || lseek(w->fd, end, SEEK_SET) < 0)
        return error_errno(e, "cannot go on with %s", w->path);
    return 0;
}

struct blob_writer *upload_open(struct store *s, const char *id, struct error *e)
{
    struct arena a = { 0 };
    struct slot slot = { 0 };
    struct upload up = { 0 };

    if (slot_take(blobs_of(s)->uploads, id, &slot, e) < 0)
        return NULL;
    struct blob_writer *w = mem_alloc(sizeof *w);
    w->s = s;
    w->fd = -1;
    int rc = read_row(s, &a, str_of(id), &up, e);
    if (rc == 0) {
        memcpy(w->upload, up.id, sizeof w->upload);
        w->bytes = w->marked = w->mark.bytes = up.bytes;
        w->bytes_max = up.bytes_max;
        rc = writer_open(w, &slot, e);
    }
    arena_release(&a);
    blob_digest_release(&slot.digest);
    if (rc == 0)
        return w;
    slot_forget(blobs_of(s)->uploads, id);
    blob_writer_free(w);
    return NULL;
}

int upload_mark(struct blob_writer *w, uint64_t bytes, struct error *e)
{
    assert(w->upload[0] != '\0' && bytes >= w->marked);
    assert_may_wait("the sync of an upload");
    if (store_is_shared(w->s))
        return upload_part_mark(w, bytes, e);
    if (sys_sync(w->fd, w->path, e) < 0)
        return -1;
    struct db *d = store_write(w->s, e);
    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "UPDATE upload SET bytes = ? WHERE id = ?");
    db_bind(q, "is", (int64_t)bytes, w->upload);
    int changed = db_run(q, "cannot record an upload", e);
    if (changed == 0)
        changed = error_set(e, ERROR_NOT_FOUND, "No such upload");
    return store_commit(w->s, d, changed < 0 ? -1 : 0, e);
}

/* Takes the writer's digest. The one that was paused longest ago makes room. */
static void slot_give(struct uploads *u, struct blob_writer *w)
{
    struct slot paused = { .digest = w->digest, .hashed = w->hashed, .bytes = w->bytes };
    uint32_t count = 0, oldest = 0;

    w->digest = (struct blob_digest){ 0 };
    (void)snprintf(paused.id, sizeof paused.id, "%s", w->upload);
    lock(&u->lock);
    uint32_t mine = slot_find(u, w->upload);
    assert(mine < u->count && u->slot[mine].busy);
    slot_remove(u, mine);
    slot_add(u, &paused);
    for (uint32_t i = u->count; i-- > 0;) {
        if (!u->slot[i].busy) {
            count++;
            oldest = i;
        }
    }
    if (count > PAUSED_MAX)
        slot_remove(u, oldest);
    unlock(&u->lock);
}

void upload_give_back(struct blob_writer *w)
{
    assert(w->marked == w->bytes);
    slot_give(blobs_of(w->s)->uploads, w);
    blob_writer_free(w);
}

/* After a write that failed, the bytes before it are good and what it left behind them is cut off. After a
 * sync that failed, only what was durable before is good. */
int upload_pause(struct store *s, const char *id, struct blob_writer *w, uint64_t *bytes,
                 struct error *e)
{
    assert(w->s == s && strcmp(w->upload, id) == 0);
    int rc = blob_mark_end(w, e);
    if (rc == 0 && w->broken && ftruncate(w->fd, (off_t)(w->bytes - w->base)) < 0)
        rc = error_errno(e, "cannot cut %s", w->path);
    if (rc == 0 && (w->marked == w->bytes || upload_mark(w, w->bytes, e) == 0)) {
        *bytes = w->marked = w->bytes;
        upload_give_back(w);
        return 0;
    }
    upload_abort(w);
    return -1;
}

void upload_abort(struct blob_writer *w)
{
    struct error e;

    if (blob_mark_end(w, &e) < 0) /* waits: the next writer reads the row */
        log_warn("an upload goes back to its durable bytes: %s", e.msg);
    slot_forget(blobs_of(w->s)->uploads, w->upload);
    blob_writer_free(w);
}

static int row_delete(struct store *s, const char *id, struct error *e)
{
    struct db *d = store_write(s, e);

    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "DELETE FROM upload WHERE id = ?");
    db_bind(q, "s", id);
    int rc = db_run(q, "cannot end an upload", e);
    return store_commit(s, d, rc < 0 ? -1 : 0, e);
}

int upload_finish(struct store *s, const char *id, struct blob_writer *w, struct blob *out,
                  struct error *e)
{
    assert(strcmp(w->upload, id) == 0);
    int rc = blob_mark_end(w, e);

    if (rc == 0 && store_is_shared(s)) {
        rc = upload_part_finish(w, out, e);
    } else if (rc == 0) {
        rc = blob_place(w, out, e);
        if (rc == 0)
            rc = row_delete(s, id, e);
    }
    upload_abort(w);
    return rc;
}

int upload_delete(struct store *s, const char *id, struct error *e)
{
    char path[PATH_BYTES];
    struct arena a = { 0 };
    struct slot slot = { 0 };
    struct upload up = { 0 };

    if (slot_take(blobs_of(s)->uploads, id, &slot, e) < 0)
        return -1;
    int rc = read_row(s, &a, str_of(id), &up, e);
    if (rc == 0)
        rc = row_delete(s, id, e);
    if (rc == 0) {
        store_path(s, path, "uploads/%s", up.id);
        (void)unlink(path); /* what stays is swept */
    }
    blob_digest_release(&slot.digest);
    slot_forget(blobs_of(s)->uploads, id);
    arena_release(&a);
    return rc;
}

/* Deletes the rows only: no row then names their files. */
static int expire_rows(struct store *s, struct error *e)
{
    struct db *d = store_write(s, e);

    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "DELETE FROM upload WHERE create_us <= ?");
    db_bind(q, "i", expired_before(s));
    int rc = db_run(q, "cannot expire uploads", e);
    return store_commit(s, d, rc < 0 ? -1 : 0, e);
}

/* 1 when a row knows this file of uploads/. */
static int is_known(struct db *d, const char *name, struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT 1 FROM upload WHERE id = ?");

    db_bind(q, "s", name);
    return db_step(q, "cannot read uploads", e);
}

static int sweep_files(struct db *d, DIR *dir, uint64_t *removed, struct error *e)
{
    int64_t before_s = clock_system()->wall_us(clock_system()) / 1000000 - BLOB_GRACE_S;
    struct dirent *entry;
    struct stat st;
    int known = 0;

    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread has this stream */
    while (known >= 0 && (entry = readdir(dir)) != NULL) {
        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            !S_ISREG(st.st_mode) || (int64_t)st.st_mtime >= before_s)
            continue;
        known = is_known(d, entry->d_name, e);
        if (known == 0)
            *removed += unlinkat(dirfd(dir), entry->d_name, 0) == 0;
    }
    return known < 0 ? -1 : 0;
}

int uploads_sweep(struct store *s, uint64_t *removed, struct error *e)
{
    char path[PATH_BYTES];

    if (expire_rows(s, e) < 0)
        return -1;
    store_path(s, path, "uploads");
    DIR *dir = opendir(path);
    if (!dir)
        return errno == ENOENT ? 0 : error_errno(e, "cannot read %s", path);
    struct db *d = store_read(s, e);
    int rc = d ? sweep_files(d, dir, removed, e) : -1;
    if (d)
        store_read_done(s, d);
    (void)closedir(dir);
    return rc;
}
