/* migrate_blobs.c -- the blobs of a folder into a bucket, by several threads. */
#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sys.h"
#include "base/thread.h"
#include "store/bucket/bucket.h"
#include "store/migrate/migrate_inner.h"

#define STEP_NS (5 * NS_PER_S) /* between two lines for people */

/* An object that is in the bucket already. */
struct present {
    int64_t id;
    uint64_t bytes;
};
struct sending {
    struct migration *g;
    int64_t *id;
    struct present *present; /* by id */
    size_t count, present_count;

    pthread_mutex_t lock; /* guards everything below */
    size_t next, done;
    uint64_t bytes, sent, step_ns;
    bool failed;
    struct error error;
};

static int by_id(const void *a, const void *b)
{
    const struct present *p = a, *q = b;

    return (p->id > q->id) - (p->id < q->id);
}

/* "blobs/xx/N" */
static int note_present(void *arg, const struct bucket_entry *entry, struct error *e)
{
    struct sending *s = arg;
    uint64_t id;

    (void)e;
    if (!str_number(str_after_last(entry->key, '/'), &id) || id > INT64_MAX)
        return 0;
    s->present = mem_list_grow(s->present, s->present_count, sizeof *s->present);
    s->present[s->present_count++] = (struct present){ (int64_t)id, entry->bytes };
    return 0;
}

static int read_names(struct sending *s, struct error *e)
{
    struct db *d = store_read(s->g->from, e);
    int rc;

    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, BLOBS_NAMED);
    while ((rc = db_step(q, "cannot read blobs", e)) == 1) {
        s->id = mem_list_grow(s->id, s->count, sizeof *s->id);
        s->id[s->count++] = db_int(q, 0);
    }
    store_read_done(s->g->from, d);
    return rc;
}

/* ---- One blob ---- */

static int sum_file(int fd, uint64_t bytes, const char *path, uint32_t *out, struct error *e)
{
    struct blob_digest h;
    struct blob got = { 0 };

    if (blob_digest_begin(&h, false, false, e) < 0)
        return -1;
    if (blob_digest_add_file(&h, fd, (struct byte_range){ 0, bytes }, path, e) < 0) {
        blob_digest_release(&h);
        return -1;
    }
    blob_digest_end(&h, &got);
    *out = got.crc32c;
    return 0;
}

/* The sum that a row says; a blob of a job alone has none. */
static int check_row(struct migration *g, int64_t id, uint32_t crc32c, struct error *e)
{
    struct db *d = store_read(g->from, e);

    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "SELECT crc32c FROM object WHERE blob = ?1"
                                " UNION ALL SELECT crc32c FROM file WHERE blob = ?1 LIMIT 1");
    db_bind(q, "i", id);
    int rc = db_step(q, "cannot read blobs", e);
    if (rc == 1 && (uint32_t)db_int(q, 0) != crc32c)
        rc = error_set(e, ERROR_DATA_LOSS, "it is damaged in the state folder");
    store_read_done(g->from, d);
    return rc < 0 ? -1 : 0;
}

/* The bucket gives back the bytes that it was given. */
static int check_copy(struct migration *g, int64_t id, uint64_t bytes, uint32_t crc32c,
                      struct error *e)
{
    struct shared_bucket *b = g->to->bucket;
    char key[BLOB_KEY_BYTES];
    uint32_t got = 0;
    int fd = sys_open_nameless(store_dir(g->to), e);

    if (fd < 0)
        return -1;
    blob_key(id, key);
    int rc = b->ops->get(b, key, &(struct bucket_span){ 0, bytes, 0 }, fd, e);
    if (rc == 0)
        rc = sum_file(fd, bytes, "a copy from the bucket", &got, e);
    (void)close(fd);
    if (rc == 0 && got != crc32c)
        rc = error_set(e, ERROR_DATA_LOSS, "other bytes came back from the bucket");
    return rc;
}

static bool is_present(const struct sending *s, int64_t id, uint64_t bytes)
{
    const struct present wanted = { .id = id };
    const struct present *found =
        s->present_count ? bsearch(&wanted, s->present, s->present_count, sizeof wanted, by_id)
                         : NULL;

    return found && found->bytes == bytes;
}

static int send_file(struct sending *s, int64_t id, int fd, uint64_t bytes, struct error *e)
{
    bool present = is_present(s, id, bytes);
    uint32_t crc32c;

    if (sum_file(fd, bytes, "a blob", &crc32c, e) < 0 || check_row(s->g, id, crc32c, e) < 0)
        return -1;
    if (!present && blob_send(s->g->to, id, fd, (struct byte_range){ 0, bytes }, e) < 0)
        return -1;
    if (check_copy(s->g, id, bytes, crc32c, e) < 0)
        return -1;
    lock(&s->lock);
    s->bytes += bytes;
    s->sent += !present;
    unlock(&s->lock);
    return 0;
}

static int send_one(struct sending *s, int64_t id, struct error *e)
{
    char path[PATH_BYTES];
    struct stat st;
    int rc;

    blob_file(s->g->from, path, id);
    int fd = sys_open(path, O_RDONLY, e);
    if (fd < 0)
        return e->code == ERROR_NOT_FOUND
                   ? error_set(e, ERROR_DATA_LOSS, "blob %" PRId64 " is missing", id)
                   : -1;
    if (fstat(fd, &st) < 0)
        rc = error_errno(e, "cannot look at %s", path);
    else
        rc = send_file(s, id, fd, (uint64_t)st.st_size, e);
    (void)close(fd);
    return rc < 0 ? error_wrap(e, "blob %" PRId64, id) : 0;
}

/* ---- Threads ---- */

/* Under the lock: now and then a line for people. */
static void show(struct sending *s)
{
    uint64_t now = clock_system()->mono_ns(clock_system());

    if (now < s->step_ns)
        return;
    s->step_ns = now + STEP_NS;
    migrate_step(s->g, "blobs: %zu of %zu", s->done, s->count);
}

static void *send_some(void *arg)
{
    struct sending *s = arg;

    lock(&s->lock);
    while (!s->failed && s->next < s->count) {
        struct error e = { 0 };
        int64_t id = s->id[s->next++];
        unlock(&s->lock);
        int rc = send_one(s, id, &e);
        lock(&s->lock);
        s->done++;
        if (rc < 0 && !s->failed) {
            s->failed = true;
            s->error = e;
        }
        show(s);
    }
    unlock(&s->lock);
    return NULL;
}

/* This thread is one of them, so a thread that cannot be made only makes it slower. */
static void send_all(struct sending *s)
{
    pthread_t thread[MIGRATE_THREADS];
    unsigned count = 1;

    while (count < MIGRATE_THREADS && count < s->count &&
           pthread_create(&thread[count], NULL, send_some, s) == 0)
        count++;
    (void)send_some(s);
    for (unsigned i = 1; i < count; i++)
        thread_join(thread[i]);
    assert(s->failed || s->done == s->count);
}

int migrate_blobs(struct migration *g, struct error *e)
{
    struct sending s = { .g = g };
    struct shared_bucket *b = g->to->bucket;
    int rc = read_names(&s, e);

    lock_init(&s.lock);
    if (rc == 0)
        rc = b->ops->list(b, BLOB_KEYS, note_present, &s, e);
    if (rc == 0) {
        if (s.present_count)
            qsort(s.present, s.present_count, sizeof *s.present, by_id);
        migrate_step(g, "blobs: %zu, of which %zu may be there already", s.count, s.present_count);
        send_all(&s);
        g->report->blobs = s.done;
        g->report->blob_bytes = s.bytes;
        g->report->sent = s.sent;
        rc = s.failed ? -1 : 0;
        if (s.failed)
            *e = s.error;
    }
    lock_destroy(&s.lock);
    mem_free(s.id);
    mem_free(s.present);
    return rc;
}
