/* http_flight.c -- one request of http_multi under way: its handle, what came of its answer, its times.
 *
 * Why: setting a handle costs more than sending a small request, so a handle keeps what it was set to,
 * and a request like its last one sets the body only.
 */
#include "net/client/http_multi_inner.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/client/http_client.h"

#define AT_ONCE_BYTES                                                                              \
    ((size_t)64 * 1024)   /* libcurl sends this much of a body together with the head */
#define SPARE_LOOKED_AT 8 /* for a handle that is already set as needed: servers take turns */

static void flights_push(struct http_flights *l, struct http_flight *f)
{
    f->prev = l->last;
    f->next = NULL;
    *(l->last ? &l->last->next : &l->first) = f;
    l->last = f;
    l->count++;
}

void http_flights_remove(struct http_flights *l, struct http_flight *f)
{
    assert(l->count > 0);
    *(f->prev ? &f->prev->next : &l->first) = f->next;
    *(f->next ? &f->next->prev : &l->last) = f->prev;
    l->count--;
}

void http_flight_leave(struct http_flight *f)
{
    if (f->shard)
        (void)curl_multi_remove_handle(f->shard->curl, f->curl);
    f->shard = NULL;
}

void http_flight_free(struct http_flight *f)
{
    http_flight_leave(f);
    curl_easy_cleanup(f->curl);
    curl_slist_free_all(f->header);
    buf_release(&f->method);
    buf_release(&f->url);
    buf_release(&f->line);
    buf_release(&f->headers);
    buf_release(&f->body);
    mem_free(f);
}

static struct http_flight *flight_new(struct http_multi *m)
{
    struct http_flight *f = mem_alloc(sizeof *f);

    f->multi = m;
    f->curl = curl_easy_init();
    f->method = BUF_INIT(HTTP_ASK_METHOD_BYTES_MAX);
    f->url = BUF_INIT(HTTP_ASK_URL_BYTES_MAX);
    f->line = BUF_INIT(HTTP_ASK_HEADER_BYTES_MAX);
    f->headers = BUF_INIT(HTTP_IN_HEAD_BYTES_MAX);
    return f;
}

/* ---- While it runs ---- */

/* Before this it may have waited for a free connection; the idle time begins now. */
static int has_connection(void *arg, char *their_ip, char *our_ip, int their_port, int our_port)
{
    struct http_flight *f = arg;

    (void)their_ip;
    (void)our_ip;
    (void)their_port;
    (void)our_port;
    f->byte_ns = f->multi->now_ns;
    return CURL_PREREQFUNC_OK;
}

/* One line of a head; the last one is empty. */
static size_t take_header(char *p, size_t size, size_t count, void *arg)
{
    struct http_flight *f = arg;
    struct str line = { p, size * count };

    f->byte_ns = f->multi->now_ns;
    if (!http_curl_head_line(&f->headers, line)) {
        (void)error_set(&f->error, ERROR_RESOURCE_EXHAUSTED,
                        "%s: the answer's head is over %zu bytes", f->authority,
                        HTTP_IN_HEAD_BYTES_MAX);
        return 0;
    }
    f->head_whole = f->head_whole || http_curl_head_ends(f->curl, line);
    return size * count;
}

static size_t take_body(char *p, size_t size, size_t count, void *arg)
{
    struct http_flight *f = arg;

    f->byte_ns = f->multi->now_ns;
    buf_add(&f->body, p, size * count);
    if (buf_ok(&f->body))
        return size * count;
    (void)error_set(&f->error, ERROR_RESOURCE_EXHAUSTED, "%s: the answer's body is over %zu bytes",
                    f->authority, f->body.max);
    return 0;
}

/* ---- Its handle ---- */

static bool same_host(const struct http_host *a, const struct http_host *b)
{
    return a->ca_file == b->ca_file && a->proxy == b->proxy && a->header == b->header &&
           a->http1 == b->http1 && a->connect_ms == b->connect_ms && a->idle_ms == b->idle_ms;
}

static bool is_set_for(const struct http_flight *f, const struct http_ask *ask)
{
    return f->set && !ask->trace && !f->traced && !f->host.guard && !ask->host->guard &&
           same_host(&f->host, ask->host) && str_eq_c(buf_str(&f->url), ask->url) &&
           str_eq_c(buf_str(&f->method), ask->method) &&
           str_eq(buf_str(&f->line), str_of(ask->header)) &&
           f->has_body == http_curl_has_body(ask->method, ask->body);
}

/* The flight used last is warm in the caches, but one that is already set as needed is better. */
static struct http_flight *spare_for(struct http_multi *m, const struct http_ask *ask)
{
    struct http_flight *found = m->spare.last, *f = found;

    for (int i = 0; f && i < SPARE_LOOKED_AT; i++, f = f->prev) {
        if (!is_set_for(f, ask))
            continue;
        found = f;
        break;
    }
    if (found)
        http_flights_remove(&m->spare, found);
    return found;
}

static bool copy_ask(struct http_flight *f, const struct http_ask *ask)
{
    struct buf *const to[] = { &f->method, &f->url, &f->line };
    const char *const from[] = { ask->method, ask->url, ask->header };
    bool ok = true;

    for (size_t i = 0; i < ARRAY_LEN(to); i++) {
        buf_clear(to[i]);
        buf_add_str(to[i], str_of(from[i]));
        ok = ok && buf_ok(to[i]);
    }
    f->host = *ask->host;
    return ok;
}

static void set_callbacks(struct http_flight *f)
{
    CURL *c = f->curl;

    (void)curl_easy_setopt(c, CURLOPT_PRIVATE, f);
    (void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, f->text);
    (void)curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_header);
    (void)curl_easy_setopt(c, CURLOPT_HEADERDATA, f);
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, f);
    (void)curl_easy_setopt(c, CURLOPT_PREREQFUNCTION, has_connection);
    (void)curl_easy_setopt(c, CURLOPT_PREREQDATA, f);
    http_socket_options(f);
}

/* With a proxy set, libcurl does not look up the environment's exceptions for each request. */
static void set_proxy(struct http_flight *f)
{
    const char *proxy = f->host.proxy;

    if (f->host.guard || (!proxy && http_curl_this_machine(f->authority)))
        proxy = "";
    if (!proxy)
        return;
    (void)curl_easy_setopt(f->curl, CURLOPT_PROXY, proxy);
    (void)curl_easy_setopt(f->curl, CURLOPT_NOPROXY, "");
}

/* HTTP/2 is agreed on only within TLS; there a request waits for a connection that is being made, as
 * it can share it. */
static void set_transport(struct http_flight *f)
{
    const struct http_host *s = &f->host;
    bool may_share = !s->http1 && strncasecmp(f->url.p, "https:", 6) == 0;
    CURL *c = f->curl;

    (void)curl_easy_setopt(c, CURLOPT_HTTP_VERSION,
                           (long)(may_share ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
    (void)curl_easy_setopt(c, CURLOPT_PIPEWAIT, may_share ? 1L : 0L);
    (void)curl_easy_setopt(c, CURLOPT_TCP_NODELAY, 1L);
    (void)curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L);
    (void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS,
                           (long)(s->connect_ms ? s->connect_ms : HTTP_CONNECT_MS));
    (void)curl_easy_setopt(c, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    /* The guard checks connections as they are made, so it must not get one that was made before. */
    (void)curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, s->guard ? 1L : 0L);
    (void)curl_easy_setopt(c, CURLOPT_FORBID_REUSE, s->guard ? 1L : 0L);
    if (s->ca_file)
        (void)curl_easy_setopt(c, CURLOPT_CAINFO, s->ca_file);
    set_proxy(f);
}

static int set_handle(struct http_flight *f, const struct http_ask *ask, struct error *e)
{
    f->set = false;
    curl_slist_free_all(f->header);
    f->header = NULL;
    if (!f->curl)
        return error_set(e, ERROR_INTERNAL, "libcurl cannot create a handle");
    if (!copy_ask(f, ask))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "the request's method, URL or header is too long");
    if (http_curl_authority(ask->url, f->authority, e) < 0 ||
        http_curl_headers(ask->host->header, ask->header, &f->header, e) < 0 ||
        http_curl_add_lines(&f->header, ask->trace, e) < 0)
        return -1;
    f->traced = ask->trace != NULL;
    f->guarded = ask->host->guard && !http_curl_listed(ask->host->guard_allow, f->authority);
    f->refused[0] = '\0';
    curl_easy_reset(f->curl);
    http_curl_defaults(f->curl);
    set_callbacks(f);
    set_transport(f);
    (void)curl_easy_setopt(f->curl, CURLOPT_URL, ask->url);
    (void)curl_easy_setopt(f->curl, CURLOPT_HTTPHEADER, f->header);
    if (!http_curl_this_machine(f->authority)) /* where packing only costs time */
        (void)curl_easy_setopt(f->curl, CURLOPT_ACCEPT_ENCODING, "");
    http_curl_method(f->curl, ask->method, ask->body);
    f->has_body = http_curl_has_body(ask->method, ask->body);
    f->set = true;
    return 0;
}

/* ---- From take to give ---- */

struct http_flight *http_flight_take(struct http_multi *m, const struct http_ask *ask,
                                     struct error *e)
{
    struct http_flight *f = spare_for(m, ask);

    if (!f)
        f = flight_new(m);
    if (!is_set_for(f, ask) && set_handle(f, ask, e) < 0) {
        http_flight_free(f);
        return NULL;
    }
    if (f->has_body)
        http_curl_body(f->curl, ask->body);
    f->tag = ask->tag;
    f->body.max = ask->body_max;
    f->begun_ns = http_multi_now(m);
    f->due_ns = ask->timeout_ms ? f->begun_ns + ask->timeout_ms * NS_PER_MS : UINT64_MAX;
    f->idle_ns = f->host.idle_ms ? f->host.idle_ms * NS_PER_MS : UINT64_MAX;
    f->byte_ns = 0;
    f->uploaded = ask->body.len > AT_ONCE_BYTES ? 0 : (curl_off_t)ask->body.len;
    f->head_whole = f->sent = false;
    f->status = 0;
    f->error.code = ERROR_OK;
    f->text[0] = '\0';
    return f;
}

/* The first shard with a free connection, so that few are in use; else the one with the fewest requests. */
static struct http_shard *shard_for(struct http_multi *m)
{
    struct http_shard *least = m->shard;

    for (struct http_shard *s = m->shard; s < m->shard + m->shard_count; s++) {
        if (s->open < s->connections_max)
            return s;
        if (s->open < least->open)
            least = s;
    }
    return least;
}

int http_flight_enter(struct http_flight *f, struct error *e)
{
    struct http_shard *s = shard_for(f->multi);
    CURLMcode code = curl_multi_add_handle(s->curl, f->curl);

    if (code != CURLM_OK) {
        http_flight_free(f);
        return error_set(e, ERROR_INTERNAL, "libcurl: %s", curl_multi_strerror(code));
    }
    assert(!f->shard && f->set && f->error.code == ERROR_OK);
    f->shard = s;
    s->open++;
    flights_push(&f->multi->open, f);
    return 0;
}

static void settle(struct buf *b)
{
    if (b->cap > HTTP_SPARE_BYTES)
        buf_release(b);
    else
        buf_clear(b);
}

/* A handle whose transfer failed is not trusted with another. */
void http_flight_give(struct http_flight *f)
{
    struct http_flights *spare = &f->multi->spare;

    assert(!f->shard); /* libcurl has let it go */
    if (f->error.code != ERROR_OK || spare->count >= HTTP_SPARE_MAX) {
        http_flight_free(f);
        return;
    }
    settle(&f->headers);
    settle(&f->body);
    flights_push(spare, f);
}

/* ---- Its end ---- */

static void note_end(struct http_flight *f)
{
    long status = 0, sent = 0, port = 0;

    (void)curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(f->curl, CURLINFO_REQUEST_SIZE, &sent);
    (void)curl_easy_getinfo(f->curl, CURLINFO_LOCAL_PORT, &port);
    f->connection = (uint32_t)port;
    f->status = f->head_whole ? (int)status : 0;
    f->sent = sent > 0;
    f->ended_ns = http_multi_now(f->multi);
    assert(f->shard && f->shard->open > 0);
    f->shard->open--;
    http_flights_remove(&f->multi->open, f);
    flights_push(&f->multi->done, f);
}

void http_flight_ended(struct http_flight *f, CURLcode code)
{
    if (code == CURLE_OK && !f->head_whole)
        code = CURLE_PARTIAL_FILE;
    if (code != CURLE_OK && f->refused[0])
        (void)http_curl_refused(f->authority, f->refused, &f->error);
    else if (code != CURLE_OK && f->error.code == ERROR_OK)
        (void)http_curl_fail(f->curl, code, f->authority, f->text, &f->error);
    note_end(f);
}

/* A request that is still being sent is not silent either. */
static bool is_silent(struct http_flight *f, uint64_t now_ns)
{
    curl_off_t up = 0;

    if (f->byte_ns == 0 || f->idle_ns == UINT64_MAX || now_ns < f->byte_ns + f->idle_ns)
        return false;
    (void)curl_easy_getinfo(f->curl, CURLINFO_SIZE_UPLOAD_T, &up);
    if (up <= f->uploaded)
        return true;
    f->uploaded = up;
    f->byte_ns = now_ns;
    return false;
}

bool http_flight_overdue(struct http_flight *f, uint64_t *next_ns)
{
    uint64_t now_ns = f->multi->now_ns, due_ns = f->due_ns;

    if (now_ns >= f->due_ns)
        (void)error_set(&f->error, ERROR_DEADLINE_EXCEEDED, "%s: no whole answer within %llu ms",
                        f->authority, (unsigned long long)((f->due_ns - f->begun_ns) / NS_PER_MS));
    else if (is_silent(f, now_ns))
        (void)error_set(&f->error, ERROR_DEADLINE_EXCEEDED, "%s: nothing came for %lu ms",
                        f->authority, (unsigned long)f->host.idle_ms);
    if (f->error.code != ERROR_OK) {
        note_end(f);
        http_flight_leave(f); /* closes its connection, or its stream */
        return true;
    }
    if (f->idle_ns != UINT64_MAX) {
        uint64_t silent_ns = (f->byte_ns ? f->byte_ns : now_ns) + f->idle_ns;
        due_ns = silent_ns < due_ns ? silent_ns : due_ns;
    }
    *next_ns = due_ns < *next_ns ? due_ns : *next_ns;
    return false;
}
