/* http_server.h -- HTTP/1.1 in: connections, limits, bodies; not what a path means.
 *
 * Why: a handler gets one call with everything that came, decoded and within limits, and answers it
 * once, now or later, from any thread; sockets, slow clients and TLS are handled here (libmicrohttpd).
 *
 * Data:    connection threads (epoll) read the head -> `begin` says what happens to the body: kept up
 *          to a limit, or given to a sink as it arrives -> the whole call goes to a worker ->
 *          `handle` -> http_reply* -> the connection threads send.
 * Errors:  a request that breaks HTTP or a limit is answered here, with Google's error JSON: 400, 408
 *          (not through TLS), 413, 414, 431, 503 (all workers busy and the queue full). Both a
 *          Content-Length and a Transfer-Encoding, or a repeated Content-Length or Host, is 400, and the
 *          connection closes. libmicrohttpd itself answers a head that it cannot read (no colon, over
 *          64 KiB), with a page of its own. A POST without a length has no body.
 * Threads: begin and the sink: a connection's thread; they must not wait. handle: a worker; it may
 *          block. http_reply*: any thread, once a call.
 * Owns:    a call lives until its reply is sent or its client is gone, handle has returned, a reply that
 *          is still due was given, and its stream has ended; then `end` runs, once, on any thread.
 *          So a handler may use its call after it replied, and a handler that keeps a call must reply.
 */
#ifndef TRANCHE_NET_SERVER_HTTP_SERVER_H
#define TRANCHE_NET_SERVER_HTTP_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

#define HTTP_HEAD_BYTES_MAX ((size_t)32 * 1024) /* request line and headers */
#define HTTP_HEADERS_MAX 100
#define HTTP_QUERY_MAX 64                           /* parameters */
#define HTTP_STREAM_BYTES_MAX ((size_t)1024 * 1024) /* unsent bytes of a stream */

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_OTHER
};

struct http_call;

/* Takes a body that is not kept. */
struct http_sink {
    /* A failure ends the writing: the rest of the body, up to 64 MiB, is thrown away, so that the client
     * gets the reply; handle is then called with http_body_error set. handle is also called when the
     * client leaves in the middle: http_body_complete is false, http_body_error is CANCELLED, and the
     * reply, which must be given nevertheless, is dropped. */
    int (*write)(void *arg, const void *p, size_t len, struct error *e);
    void *arg;
};

enum http_next {
    HTTP_KEEP,    /* keep the body, up to http_keep_max (set it; default 1 MiB) */
    HTTP_SINK,    /* http_set_sink was called */
    HTTP_REPLIED, /* begin has answered; a body is read and thrown away up to 1 MiB, else closed */
    HTTP_LATER, /* another thread, which holds the call, says it by http_begin_end; the body waits */
};
struct http_handlers {
    enum http_next (*begin)(void *arg, struct http_call *c);
    void (*handle)(void *arg, struct http_call *c);
    /* The client has left, and a reply is still due: called once, on a thread of the server, and not
     * under its lock; must not wait. The reply must be given nevertheless. May be NULL. */
    void (*gone)(void *arg, struct http_call *c); /* http_gone is true from before this call */
    void (*end)(void *arg, struct http_call *c);  /* free what http_attach holds; may be NULL */
    void *arg;
};
struct http_settings {
    const char *listen;                   /* "127.0.0.1:8080", "[::1]:0"; port 0: any free one */
    const char *tls_cert, *tls_key;       /* files in PEM, or NULL: no TLS */
    uint32_t connections_max;             /* default 2,000 */
    uint32_t connections_per_address_max; /* default 500 */
    uint32_t idle_s;                      /* default 75: without a byte either way */
    uint32_t head_s;                      /* default 15: the whole head must have come */
    uint32_t threads, workers, queue_max; /* 0: defaults 2, 8, 1,000 */
};
struct http_server;
struct http_server *http_server_start(const struct http_settings *set,
                                      const struct http_handlers *h, struct error *e);
uint16_t http_server_port(const struct http_server *s);
bool http_server_loopback(const char *listen); /* only reachable from this machine? */
int http_server_check_address(const char *listen, struct error *e) FALLIBLE; /* can it be one? */
/* Are they a certificate and its key, or both NULL? */
int http_server_check_tls(const char *cert, const char *key, struct error *e) FALLIBLE;
/* Accepts no more; calls that came go on. */
void http_server_quiesce(struct http_server *s);
/* Waits up to timeout_ms for calls to end, then closes what is left and waits for handlers that run. A
 * reply that is still due may be given after that, and is dropped; handlers.arg must live until then. */
void http_server_free(struct http_server *s, uint32_t timeout_ms); /* accepts NULL */

/* ---- The request ---- */
enum http_method http_method(const struct http_call *c);
struct str http_path(const struct http_call *c); /* as sent, not decoded, without the query */
/* A parameter, decoded ("+" is a space), in the call's arena; false when absent. The last one wins. */
bool http_query(struct http_call *c, const char *name, struct str *out);
struct str http_header(const struct http_call *c,
                       const char *name);            /* trimmed; empty when absent */
struct str http_body(const struct http_call *c);     /* the kept body, gzip undone */
uint64_t http_body_bytes(const struct http_call *c); /* that came, also to a sink */
const struct error *
http_body_error(const struct http_call *c);         /* of the sink or of reading; or NULL */
bool http_body_complete(const struct http_call *c); /* false: the client left in the middle */
const char *http_id(const struct http_call *c);     /* unique, for logs and error replies */
/* "http://127.0.0.1:8080" as the client sees this server: its Host header (checked: only what a host
 * and port may have), else where we listen. */
struct str http_base_url(struct http_call *c);
struct arena *http_arena(struct http_call *c);
/* Keeps the call, also after its reply, until as many releases. */
void http_hold(struct http_call *c);
void http_release(struct http_call *c);
/* The HTTP status that was replied, for logs: 0 while there is none. */
int http_status(const struct http_call *c);
bool http_takes_gzip(const struct http_call *c); /* Accept-Encoding has "gzip", not with q=0 */
/* Was the client seen to leave before its reply? */
bool http_gone(const struct http_call *c);
void http_attach(struct http_call *c, void *p);
void *http_attached(const struct http_call *c);
void http_set_sink(struct http_call *c, const struct http_sink *s); /* in begin */
void http_set_keep_max(struct http_call *c, size_t bytes);          /* in begin */
/* Once, after begin has returned HTTP_LATER or is about to; not HTTP_LATER. When it has answered, up to 64 MiB of the
 * body are thrown away before the client gets the answer. */
void http_begin_end(struct http_call *c, enum http_next next);

/* ---- The answer ---- */
/* Before the reply. A name or value with control characters is left out and logged. */
void http_set_header(struct http_call *c, const char *name, struct str value);
/* Takes the bytes of body (which is then empty); NULL: none. type NULL: none. A HEAD call gets no
 * body. gzip is used when the client takes it and it is worth it. */
void http_reply(struct http_call *c, int status, const char *type, struct buf *body);
/* len bytes of a file from offset; takes fd. */
void http_reply_file(struct http_call *c, int status, const char *type, int fd, uint64_t offset,
                     uint64_t len);
/* A body that is made while it is sent: pull fills up to cap bytes and returns how many, 0 at the
 * end, -1 when it fails (the connection is cut). On a connection's thread; it must not wait long: it
 * returns HTTP_SOURCE_WAITS, and is called again after http_source_wake, by a thread that holds the call. */
#define HTTP_SOURCE_WAITS (-2)
struct http_source {
    int64_t (*pull)(void *arg, char *p, size_t cap);
    void (*close)(void *arg);
    void *arg;
    uint64_t bytes; /* of the whole body; 0: it is not known */
};
void http_source_wake(struct http_call *c);
void http_reply_source(struct http_call *c, int status, const char *type,
                       const struct http_source *s);
/* A body in pieces (SSE). Any thread may write. False: the client is gone, or was cut because more than
 * HTTP_STREAM_BYTES_MAX are unsent. Call end once, in any case. */
struct http_stream;
struct http_stream *http_reply_stream(struct http_call *c, int status, const char *type);
bool http_stream_write(struct http_stream *s, const void *p, size_t len);
void http_stream_end(struct http_stream *s);

/* ---- Helpers ---- */
/* %XX undone, in the arena; false on a bad escape or a NUL. plus: "+" is a space. */
bool http_decode(struct arena *a, struct str in, bool plus, struct str *out);
void http_encode(struct str in, struct buf *out); /* all but A-Za-z0-9-._~ becomes %XX */
/* base, then path with each "{}" in it replaced by the next argument, encoded. */
void http_url_fill(const char *base, const char *path, const struct str *argument, struct buf *out);

#endif
