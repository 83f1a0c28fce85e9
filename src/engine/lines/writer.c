#include "engine/lines/writer.h"

#include <errno.h>
#include <pthread.h>

#include "base/thread.h"
#include "base/mem.h"
#include "base/sys.h"

/* Between two syncs. */
#define SYNC_BYTES ((size_t)64 * 1024 * 1024)
/* A buffer that grew beyond this for one large row is given back. */
#define KEEP_BYTES ((size_t)4 * 1024 * 1024)

struct writer {
    int fd;
    const char *path;
    bool synced;
    void (*tee)(void *arg, const void *p, size_t len); /* or NULL */
    void *tee_arg;
    pthread_t thread;
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t changed;
    struct buf buffer[WRITER_BUFFERS]; /* ring: [head, head + count) wait or are being written */
    size_t head, count;
    bool closed;
    bool failed; /* error holds why; nothing is written any more */
    struct error error;
};

static int write_one(const struct writer *w, const struct buf *b, size_t *unsynced, struct error *e)
{
    errno = 0; /* a planted fault sets none */
    if (sys_write_all(w->fd, b->p, b->len, w->path, e) < 0) {
        if (errno == EPIPE)
            return error_set(e, ERROR_CANCELLED, "nobody reads %s any more", w->path);
        return -1;
    }
    if (w->tee)
        w->tee(w->tee_arg, b->p, b->len);
    *unsynced += b->len;
    if (!w->synced || *unsynced < SYNC_BYTES)
        return 0;
    *unsynced = 0;
    return sys_sync(w->fd, w->path, e);
}

/* The buffer at head belongs to this thread while it is counted, so it is written without the lock. */
static void *run(void *arg)
{
    struct writer *w = arg;
    size_t unsynced = 0;

    lock(&w->lock);
    for (;;) {
        while (w->count == 0 && !w->closed)
            cond_wait(&w->changed, &w->lock);
        if (w->closed)
            break;
        struct buf *b = &w->buffer[w->head];
        struct error error;
        unlock(&w->lock);
        int rc = write_one(w, b, &unsynced, &error);
        buf_clear(b);
        if (b->cap > KEEP_BYTES)
            buf_release(b);
        lock(&w->lock);
        if (rc < 0)
            w->error = error;
        w->failed = rc < 0;
        w->head = (w->head + 1) % WRITER_BUFFERS;
        w->count--;
        cond_broadcast(&w->changed);
        if (w->failed)
            break;
    }
    unlock(&w->lock);
    return NULL;
}

struct writer *writer_new(int fd, const char *path, bool synced, struct error *e)
{
    struct writer *w = mem_alloc(sizeof *w);

    w->fd = fd;
    w->path = path;
    w->synced = synced;
    for (size_t i = 0; i < WRITER_BUFFERS; i++)
        w->buffer[i] = BUF_INIT(SIZE_MAX / 2);
    lock_init(&w->lock);
    cond_init(&w->changed);
    errno = pthread_create(&w->thread, NULL, run, w);
    if (errno != 0) {
        (void)error_errno(e, "cannot start a thread to write %s", path);
        cond_destroy(&w->changed);
        lock_destroy(&w->lock);
        mem_free(w);
        return NULL;
    }
    return w;
}

void writer_tee(struct writer *w, void (*fn)(void *arg, const void *p, size_t len), void *arg)
{
    w->tee = fn;
    w->tee_arg = arg;
}

void writer_free(struct writer *w)
{
    if (!w)
        return;
    lock(&w->lock);
    w->closed = true;
    cond_broadcast(&w->changed);
    unlock(&w->lock);
    thread_join(w->thread);
    for (size_t i = 0; i < WRITER_BUFFERS; i++)
        buf_release(&w->buffer[i]);
    cond_destroy(&w->changed);
    lock_destroy(&w->lock);
    mem_free(w);
}

/* Under the lock: waits until at most count buffers are in use. */
static int wait_for(struct writer *w, size_t count, struct error *e)
{
    while (w->count > count && !w->failed)
        cond_wait(&w->changed, &w->lock);
    if (!w->failed)
        return 0;
    *e = w->error;
    return -1;
}

int writer_put(struct writer *w, struct buf *b, struct error *e)
{
    lock(&w->lock);
    int rc = wait_for(w, WRITER_BUFFERS - 1, e);
    if (rc == 0) {
        struct buf *slot = &w->buffer[(w->head + w->count++) % WRITER_BUFFERS];
        struct buf empty = *slot;
        *slot = *b;
        empty.max = b->max;
        *b = empty;
        cond_broadcast(&w->changed);
    }
    unlock(&w->lock);
    return rc;
}

int writer_flush(struct writer *w, struct error *e)
{
    lock(&w->lock);
    int rc = wait_for(w, 0, e);
    unlock(&w->lock);
    return rc < 0 || !w->synced ? rc : sys_sync(w->fd, w->path, e);
}
