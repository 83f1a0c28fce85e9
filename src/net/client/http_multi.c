#include "net/client/http_multi.h"

#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/client/http_multi_inner.h"

/* The longest delay in noticing a time-out, which keeps looking cheap. */
#define WATCH_GAP_NS (20 * NS_PER_MS)
#define STREAMS_MAX 1000 /* of one HTTP/2 connection; its server may want fewer */

/* The connections are spread evenly, so that all shards end together when requests wait for them. */
static int make_shards(struct http_multi *m, uint32_t connections_max, struct error *e)
{
    uint32_t count = (connections_max - 1) / HTTP_SHARD_CONNECTIONS + 1;

    count = count < HTTP_SHARDS_MAX ? count : HTTP_SHARDS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        struct http_shard *s = &m->shard[m->shard_count];
        s->multi = m;
        s->connections_max = connections_max / count + (i < connections_max % count);
        s->curl = curl_multi_init();
        if (!s->curl)
            return error_set(e, ERROR_INTERNAL, "libcurl cannot create a multi handle");
        m->shard_count++;
        long connections = s->connections_max;
        (void)curl_multi_setopt(s->curl, CURLMOPT_MAX_TOTAL_CONNECTIONS, connections);
        (void)curl_multi_setopt(s->curl, CURLMOPT_MAXCONNECTS, connections);
        (void)curl_multi_setopt(s->curl, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)STREAMS_MAX);
        http_sockets_serve(s);
    }
    return 0;
}

static void free_all(struct http_flights *l)
{
    for (struct http_flight *f = l->first, *next; f; f = next) {
        next = f->next;
        http_flight_free(f);
    }
}

static void forget_last(struct http_multi *m)
{
    if (m->last)
        http_flight_give(m->last);
    m->last = NULL;
}

void http_multi_free(struct http_multi *m)
{
    if (!m)
        return;
    forget_last(m);
    free_all(&m->open);
    free_all(&m->done);
    free_all(&m->spare);
    for (uint32_t i = 0; i < m->shard_count; i++)
        (void)curl_multi_cleanup(m->shard[i].curl); /* closes sockets, by our callback */
    http_sockets_release(m);
    mem_free(m);
}

struct http_multi *http_multi_new(uint32_t connections_max, struct error *e)
{
    struct http_multi *m;

    if (connections_max == 0 || connections_max > HTTP_MULTI_CONNECTIONS_MAX) {
        (void)error_set(e, ERROR_INVALID_ARGUMENT, "1 to %d connections, not %lu",
                        HTTP_MULTI_CONNECTIONS_MAX, (unsigned long)connections_max);
        return NULL;
    }
    m = mem_alloc(sizeof *m);
    m->watch_ns = UINT64_MAX;
    if (http_sockets_init(m, e) < 0 || make_shards(m, connections_max, e) < 0) {
        http_multi_free(m);
        return NULL;
    }
    return m;
}

uint64_t http_multi_now(struct http_multi *m)
{
    struct clock *clock = clock_system();

    m->now_ns = clock->mono_ns(clock);
    return m->now_ns;
}

/* Ends the exchanges that are over a time limit, and sets when to look again. */
static void watch(struct http_multi *m)
{
    uint64_t now_ns = m->now_ns, next_ns = UINT64_MAX;

    for (struct http_flight *f = m->open.first, *next; f; f = next) {
        next = f->next;
        (void)http_flight_overdue(f, &next_ns);
    }
    m->watch_ns = next_ns < now_ns + WATCH_GAP_NS ? now_ns + WATCH_GAP_NS : next_ns;
}

static bool take_done(struct http_multi *m, struct http_done *out)
{
    struct http_flight *f = m->done.first;

    if (!f)
        return false;
    http_flights_remove(&m->done, f);
    http_flight_leave(f);
    m->last = f;
    out->tag = f->tag;
    out->status = f->status;
    out->error = f->error;
    out->sent = f->sent;
    out->body = buf_str(&f->body);
    out->headers = buf_str(&f->headers);
    out->connection = f->connection;
    out->total_ns = f->ended_ns - f->begun_ns;
    return true;
}

int http_multi_start(struct http_multi *m, const struct http_ask *ask, struct error *e)
{
    forget_last(m);
    if (m->open.count + m->done.count >= HTTP_MULTI_OPEN_MAX)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "%d requests are open already",
                         HTTP_MULTI_OPEN_MAX);
    struct http_flight *f = http_flight_take(m, ask, e);
    if (!f)
        return -1;
    if (http_flight_enter(f, e) < 0)
        return -1;
    (void)http_flight_overdue(f, &m->watch_ns);
    return 0;
}

/* Sends what was started since the last call before it returns anything, so that servers have work while
 * the caller looks at answers. */
int http_multi_poll(struct http_multi *m, uint32_t timeout_ms, struct http_done *out,
                    struct error *e)
{
    uint64_t until_ns = http_multi_now(m) + timeout_ms * NS_PER_MS;

    forget_last(m);
    for (bool over = false;;) {
        if (http_sockets_timer(m, e) < 0)
            return -1;
        if (m->now_ns >= m->watch_ns)
            watch(m);
        if (take_done(m, out))
            return 1;
        if (over)
            return 0;
        if (http_sockets_wait(m, until_ns < m->watch_ns ? until_ns : m->watch_ns, e) < 0)
            return -1;
        over = m->woken || m->now_ns >= until_ns;
        m->woken = false;
    }
}

void http_multi_wake(struct http_multi *m)
{
    const uint64_t one = 1;

    /* EAGAIN: the counter is full, so the wake is there already. */
    while (write(m->wakeup, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

struct str http_done_header(const struct http_done *d, const char *name)
{
    return http_curl_header(d->headers, name);
}

/* ---- Ended requests ---- */

/* Handles leave libcurl one by one, when their exchange is given, and not here: libcurl would look through
 * the remaining messages for each. */
void http_multi_collect(struct http_shard *s)
{
    const CURLMsg *msg;
    int left;

    while ((msg = curl_multi_info_read(s->curl, &left))) {
        struct http_flight *f = NULL;
        (void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&f);
        http_flight_ended(f, msg->data.result);
    }
}
