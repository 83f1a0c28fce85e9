#include "api/download.h"

#include <assert.h>
#include <unistd.h>

#include "api/later.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "base/thread.h"

/* A download that is sent piece by piece. */
struct feed {
    struct call *call;
    int64_t blob;
    uint64_t end;
    pthread_mutex_t lock; /* guards all below; what is read of fd is the connection's own */
    unsigned refs;        /* the answer, and a fetch that goes on */
    int fd;
    uint64_t at, ready; /* fd has the bytes between */
    int next_fd;        /* of the piece behind `ready`; -1: it is not there */
    uint64_t next_ready;
    bool fetching, failed;
};

static uint64_t piece_end(uint64_t from, uint64_t end)
{
    return end - from > DOWNLOAD_PIECE_BYTES ? from + DOWNLOAD_PIECE_BYTES : end;
}

static void feed_unref(struct feed *f)
{
    lock(&f->lock);
    bool last = --f->refs == 0;
    unlock(&f->lock);
    if (!last)
        return;
    (void)close(f->fd);
    if (f->next_fd >= 0)
        (void)close(f->next_fd);
    lock_destroy(&f->lock);
    mem_free(f);
}

/* On a thread of later.h. */
static void fetch(struct call *c)
{
    struct feed *f = c->state;
    struct error e = { 0 };

    lock(&f->lock);
    uint64_t from = f->ready, to = piece_end(from, f->end);
    unlock(&f->lock);
    int fd = blob_open_part(c->api->store, f->blob, from, to, &e);
    if (fd < 0)
        log_warn("call %s: a download is cut: %s", http_id(c->http), e.msg);
    lock(&f->lock);
    assert(f->fetching && f->next_fd < 0);
    f->fetching = false;
    f->failed = fd < 0;
    f->next_fd = fd;
    f->next_ready = to;
    unlock(&f->lock);
    http_source_wake(c->http);
    feed_unref(f);
}

/* Under the lock: goes on to the piece that came. */
static void turn(struct feed *f)
{
    if (f->at < f->ready || f->next_fd < 0)
        return;
    (void)close(f->fd);
    f->fd = f->next_fd;
    f->ready = f->next_ready;
    f->next_fd = -1;
}

/* Under the lock: is the next piece to be fetched now? */
static bool fetch_begins(struct feed *f)
{
    if (f->fetching || f->failed || f->next_fd >= 0 || f->ready == f->end)
        return false;
    f->fetching = true;
    f->refs++;
    return true;
}

/* On the connection's thread. */
static int64_t pull(void *arg, char *p, size_t cap)
{
    struct feed *f = arg;
    struct error e = { 0 };

    lock(&f->lock);
    turn(f);
    bool begins = fetch_begins(f), failed = f->failed;
    uint64_t here = f->ready - f->at;
    unlock(&f->lock);
    if (begins)
        later_run(f->call->api->later, f->call, fetch);
    if (here == 0)
        return f->at == f->end ? 0 : failed ? -1 : HTTP_SOURCE_WAITS;
    int64_t n = sys_read_at(f->fd, p, here < cap ? (size_t)here : cap, f->at, "a download", &e);
    if (n <= 0)
        return -1;
    f->at += (uint64_t)n;
    return n;
}

static void feed_close(void *arg)
{
    feed_unref(arg);
}

static void send_pieces(struct call *c, int status, const char *type, const struct download *d)
{
    struct feed *f = mem_alloc(sizeof *f);

    assert(!c->state && d->first < d->ready);
    *f = (struct feed){
        .call = c,
        .blob = d->blob,
        .end = d->end,
        .refs = 1,
        .fd = d->fd,
        .at = d->first,
        .ready = d->ready,
        .next_fd = -1,
    };
    lock_init(&f->lock);
    c->state = f;
    http_reply_source(
        c->http, status, type,
        &(struct http_source){
            .pull = pull, .close = feed_close, .arg = f, .bytes = d->end - d->first });
}

int download_open(struct call *c, int64_t blob, uint64_t first, uint64_t end, struct download *out,
                  struct error *e)
{
    assert(first <= end);
    uint64_t ready = store_is_shared(c->api->store) ? piece_end(first, end) : end;
    int fd = blob_open_part(c->api->store, blob, first, ready, e);

    *out = (struct download){ blob, first, ready, end, fd };
    return fd < 0 ? -1 : 0;
}

void download_reply(struct call *c, int status, const char *type, const struct download *d)
{
    if (d->ready == d->end)
        http_reply_file(c->http, status, type, d->fd, d->first, d->end - d->first);
    else
        send_pieces(c, status, type, d);
}
