#include <assert.h>
#include <string.h>

#include "base/thread.h"

#include "net/server/http_inner.h"

#define STREAM_BLOCK_BYTES ((size_t)16 * 1024)

struct http_stream {
    struct http_call *call; /* held */
    pthread_mutex_t lock;   /* guards everything below; before server.lock */
    struct buf unsent;      /* from `sent` on */
    size_t sent;
    unsigned refs;    /* the writer, and libmicrohttpd's answer */
    bool ended, gone; /* the writer is done; the client is */
};

static void stream_unref(struct http_stream *s)
{
    lock(&s->lock);
    bool last = --s->refs == 0;
    unlock(&s->lock);
    if (!last)
        return;
    http_call_unref(s->call);
    buf_release(&s->unsent);
    lock_destroy(&s->lock);
    mem_free(s);
}

/* Under the lock. */
static size_t take(struct http_stream *s, char *p, size_t cap)
{
    size_t n = s->unsent.len - s->sent;

    if (n > cap)
        n = cap;
    if (n)
        memcpy(p, s->unsent.p + s->sent, n);
    s->sent += n;
    if (s->sent == s->unsent.len) {
        buf_clear(&s->unsent);
        s->sent = 0;
    }
    return n;
}

/* With nothing to send the connection sleeps; the lock is held until it does, so that a writer wakes
 * it and not before. */
static ssize_t read_some(void *cls, uint64_t at, char *p, size_t cap)
{
    struct http_stream *s = cls;
    ssize_t n;

    (void)at;
    lock(&s->lock);
    n = (ssize_t)take(s, p, cap);
    if (n == 0 && s->ended && !s->gone)
        n = MHD_CONTENT_READER_END_OF_STREAM;
    else if (s->gone || (n == 0 && !http_call_suspend(s->call)))
        n = MHD_CONTENT_READER_END_WITH_ERROR;
    unlock(&s->lock);
    return n;
}

static void on_free(void *cls)
{
    struct http_stream *s = cls;

    lock(&s->lock);
    s->gone = true;
    unlock(&s->lock);
    stream_unref(s);
}

struct http_stream *http_reply_stream(struct http_call *c, int status, const char *type)
{
    struct http_stream *s = mem_alloc(sizeof *s);

    s->call = c;
    s->refs = 2;
    s->unsent = BUF_INIT(2 * HTTP_STREAM_BYTES_MAX);
    lock_init(&s->lock);
    http_call_ref(c);
    struct MHD_Response *r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES,
                                                               read_some, s, on_free);
    assert(r);
    c->streams = true; /* its reader is the next to look */
    http_deliver(c, status, type, r);
    return s;
}

/* Under the lock: room is made by forgetting what was sent. */
static bool append(struct http_stream *s, const void *p, size_t len)
{
    size_t left = s->unsent.len - s->sent;

    if (len > HTTP_STREAM_BYTES_MAX - left)
        return false;
    if (s->sent >= HTTP_STREAM_BYTES_MAX / 2) {
        memmove(s->unsent.p, s->unsent.p + s->sent, left);
        s->unsent.len = left;
        s->sent = 0;
    }
    buf_add(&s->unsent, p, len);
    return buf_ok(&s->unsent);
}

bool http_stream_write(struct http_stream *s, const void *p, size_t len)
{
    lock(&s->lock);
    assert(!s->ended);
    bool gone = s->gone, slow = !gone && !append(s, p, len);
    s->gone = gone || slow;
    unlock(&s->lock);
    if (slow)
        http_call_cut(s->call);
    else if (!gone)
        http_call_resume(s->call);
    return !gone && !slow;
}

void http_stream_end(struct http_stream *s)
{
    lock(&s->lock);
    s->ended = true;
    unlock(&s->lock);
    http_call_resume(s->call);
    stream_unref(s);
}
