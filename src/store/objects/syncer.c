/* syncer.c -- one thread that syncs and ends writers for threads that may not wait.
 *
 * Shape:   a list of writers, each asked for a mark (its bytes so far become durable) or left by its
 *          owner, or both. A writer is in the list at most once.
 * Locks:   syncer.lock guards the list and each writer's `mark`; it is never held over a file's work.
 */
#include <assert.h>

#include "base/log.h"
#include "base/thread.h"
#include "store/objects/objects_inner.h"

struct syncer {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a writer came, or a mark ended */
    struct blob_writer *first, **last;
    pthread_t thread;
    bool started, ending;
};

struct syncer *syncer_new(void)
{
    struct syncer *y = mem_alloc(sizeof *y);

    lock_init(&y->lock);
    cond_init(&y->changed);
    y->last = &y->first;
    return y;
}

static struct syncer *syncer_of(struct blob_writer *w)
{
    return blobs_of(w->s)->syncer;
}

/* ---- The thread ---- */

/* Under the lock. */
static struct blob_writer *take(struct syncer *y)
{
    struct blob_writer *w = y->first;

    y->first = w->mark.next;
    if (!y->first)
        y->last = &y->first;
    w->mark.next = NULL;
    return w;
}

static void end_left(struct blob_writer *w)
{
    struct error e = { 0 };
    uint64_t bytes;

    if (w->upload[0] == '\0')
        blob_abort(w);
    else if (upload_pause(w->s, w->upload, w, &bytes, &e) < 0)
        log_warn("an upload lost its last bytes: %s", e.msg);
}

/* With the lock, but not over the work. The owner may leave the writer meanwhile. */
static void serve(struct syncer *y, struct blob_writer *w)
{
    uint64_t bytes = w->mark.bytes;

    if (w->mark.wanted) {
        struct error e = { 0 };
        unlock(&y->lock);
        int rc = upload_mark(w, bytes, &e);
        lock(&y->lock);
        w->mark.wanted = false;
        if (rc < 0)
            w->mark.error = e;
        else
            w->marked = bytes;
        cond_broadcast(&y->changed);
    }
    if (w->mark.left) {
        unlock(&y->lock);
        end_left(w);
        lock(&y->lock);
    }
}

static void *syncer_main(void *arg)
{
    struct syncer *y = arg;

    lock(&y->lock);
    while (!y->ending || y->first) {
        if (y->first)
            serve(y, take(y));
        else
            cond_wait(&y->changed, &y->lock);
    }
    unlock(&y->lock);
    return NULL;
}

void syncer_free(struct syncer *y)
{
    if (!y)
        return;
    lock(&y->lock);
    y->ending = true;
    cond_broadcast(&y->changed);
    unlock(&y->lock);
    if (y->started)
        thread_join(y->thread);
    assert(!y->first);
    cond_destroy(&y->changed);
    lock_destroy(&y->lock);
    mem_free(y);
}

/* ---- For owners of writers ---- */

/* Under the lock. False: there is no thread. */
static bool put(struct syncer *y, struct blob_writer *w)
{
    assert(!y->ending);
    if (!y->started)
        y->started = pthread_create(&y->thread, NULL, syncer_main, y) == 0;
    if (!y->started)
        return false;
    *y->last = w;
    y->last = &w->mark.next;
    cond_broadcast(&y->changed);
    return true;
}

/* Without a thread the bytes become durable when the upload pauses. */
int blob_mark_soon(struct blob_writer *w, struct error *e)
{
    struct syncer *y = syncer_of(w);

    assert(w->upload[0] != '\0' && w->bytes >= w->mark.bytes);
    lock(&y->lock);
    bool failed = w->mark.error.code != ERROR_OK;
    if (failed)
        *e = w->mark.error;
    else if (!w->mark.wanted) {
        w->mark.bytes = w->bytes;
        w->mark.wanted = put(y, w);
    }
    unlock(&y->lock);
    return failed ? -1 : 0;
}

int blob_mark_end(struct blob_writer *w, struct error *e)
{
    struct syncer *y = syncer_of(w);

    assert_may_wait("the sync of an upload");
    lock(&y->lock);
    while (w->mark.wanted)
        cond_wait(&y->changed, &y->lock);
    unlock(&y->lock);
    if (w->mark.error.code == ERROR_OK)
        return 0;
    *e = w->mark.error;
    return -1;
}

void blob_leave(struct blob_writer *w)
{
    struct syncer *y = syncer_of(w);

    lock(&y->lock);
    assert(!w->mark.left);
    bool durable = !w->mark.wanted && w->bytes == w->marked && !w->broken;
    if (durable && w->upload[0] != '\0') {
        unlock(&y->lock);
        upload_give_back(w);
        return;
    }
    w->mark.left = true;
    bool taken = w->mark.wanted || put(y, w); /* in the list, or being marked */
    unlock(&y->lock);
    if (!taken)
        end_left(w);
}
