/* http_inner.h -- what the files of the HTTP server share.
 *
 * Data:    http_server.c  start, workers, end
 *          listen.c       addresses, the listening socket, accepting
 *          peer.c         connections and their deadlines
 *          exchange.c     libmicrohttpd's calls: head, body, answer, end
 *          head.c         checks of a head
 *          call.c         one call, its life
 *          reply.c        answers at once; stream.c: answers in pieces; gzip.c: both ways
 *          uri.c          %XX and parameters
 * Threads: server.lock guards what is marked so; no callback runs under it. A stream's lock is taken
 *          before it, never after.
 * Owns:    a call is held by its connection until libmicrohttpd is done with it, by a reply that is
 *          due, by a worker while it runs, and by a stream. The last one frees it.
 */
#ifndef TRANCHE_NET_SERVER_HTTP_INNER_H
#define TRANCHE_NET_SERVER_HTTP_INNER_H

#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "base/chan.h"
#include "net/server/http_server.h"

#define HTTP_TARGET_BYTES_MAX ((size_t)16 * 1024)  /* path and query */
#define HTTP_KEEP_BYTES ((size_t)1024 * 1024)      /* of a kept body, unless set */
#define HTTP_DISCARD_BYTES_MAX ((uint64_t)1 << 20) /* of a body that is thrown away */
#define HTTP_BROKEN_BYTES_MAX ((uint64_t)64 << 20) /* the same, after its sink failed */
#define HTTP_HELD_BYTES_MAX ((size_t)256 * 1024)   /* of a body whose begin has not ended */
#define HTTP_HOST_BYTES_MAX 255
#define HTTP_WORKERS_MAX 256
#define HTTP_ID_BYTES 40

/* A connection. server.lock guards it; it leaves the list before its socket is closed. */
struct http_peer {
    struct http_peer *next, **at;
    int fd;
    uint64_t head_due_ns; /* when the head must have come; 0 while a call is under way */
};

struct http_server {
    struct http_handlers h;
    struct MHD_Daemon *daemon;
    struct chan *queue;
    uint32_t idle_s, head_s, queue_max, connections_max;
    bool tls;
    uint16_t port;
    char at[INET6_ADDRSTRLEN + 10]; /* "127.0.0.1:8080": where we listen */
    struct buf pem[2];              /* certificate and key; or empty */
    int listen_fd;                  /* -1 before it is open */
    int quiet[2]; /* [0] is libmicrohttpd's; a byte written to it wakes the keeper at [1] */
    pthread_t worker[HTTP_WORKERS_MAX], keeper;
    uint32_t worker_count;
    bool keeper_runs;
    int64_t started_us;
    atomic_uint_fast64_t ids;

    pthread_mutex_t lock;     /* guards all below, and the marked blocks of peers and calls */
    pthread_cond_t call_left; /* with the monotonic clock */
    struct http_peer *peers;
    uint32_t peer_count;     /* of peers, and of those about to be in the list */
    struct http_call *calls; /* that have a connection */
    size_t refs;             /* the owner, and one a call */
    bool quiesced, closing;
};

struct http_field {
    struct http_field *next; /* of an answer's */
    const char *name;        /* ends in NUL */
    struct str value;        /* in the call's arena, ends in NUL */
};

enum http_mode { HTTP_MODE_KEEP, HTTP_MODE_SINK, HTTP_MODE_DISCARD };

struct http_call {
    struct http_server *server;
    struct arena arena;
    char id[HTTP_ID_BYTES];
    void *attached;

    struct http_call *next, **at;  /* server.lock, with all of this block */
    struct MHD_Connection *conn;   /* NULL when the client is gone or served */
    struct http_peer *peer;        /* while conn is set */
    struct MHD_Response *response; /* set, not yet given to libmicrohttpd */
    bool streams; /* the answer is a stream, and sleeps when there is nothing to send */
    int status;   /* of the answer, 0 before it */
    unsigned refs;
    bool suspended, cut;
    bool woken;                    /* http_source_wake came before the connection slept */
    bool begin_later, begin_ended; /* begin goes on elsewhere; and has ended there */
    bool reply_due;                /* a worker has it and has not replied yet */
    bool gone_told;                /* handlers.gone was called, or is about to be */

    enum http_method method; /* the head: set before begin */
    struct str target, path, query;
    struct http_field *field;
    size_t field_count;
    uint64_t content_length; /* UINT64_MAX: unknown or none */
    bool head_read, begun;   /* begun: end must be called */
    bool expects_continue, must_close;
    bool queued;  /* it went to a worker; its connection's thread */
    bool counted; /* in the metrics; its connection's thread */

    enum http_mode mode; /* the body: its connection's thread, then the worker */
    struct buf body;
    struct buf held; /* the body's first bytes, until begin has ended */
    struct http_sink sink;
    size_t keep_max;
    uint64_t body_bytes, discarded;
    bool has_body, sink_used, body_complete, body_failed, gzip;
    struct error body_error;

    struct http_field *reply_fields; /* of the answer; the replying thread's */
};

/* call.c */
struct http_call *http_call_new(struct http_server *s, const char *target);
void http_call_ref(struct http_call *c);
void http_call_unref(struct http_call *c);
/* Puts the connection to sleep until http_call_resume. False: the server is closing. */
bool http_call_suspend(struct http_call *c);
void http_call_resume(struct http_call *c);
void http_call_cut(struct http_call *c); /* hangs up on the client */
/* Takes the answer that waits to be sent; or NULL. */
struct MHD_Response *http_call_take(struct http_call *c);
/* Puts the connection of a source to sleep, unless it was woken meanwhile. False: the server is closing. */
bool http_call_sleep(struct http_call *c);
/* The connection is done with the call. False: its begin has not ended. */
bool http_call_detach(struct http_call *c);
void http_server_unref(struct http_server *s);

/* head.c: reads and checks the head. False: it was answered with an error. */
bool http_head_read(struct http_call *c, const char *method, const char *version);
bool http_is_token(struct str s);

/* gzip.c */
int http_gunzip(struct str in, size_t bytes_max, struct buf *out, struct error *e) FALLIBLE;
bool http_gzip(struct str in, struct buf *out); /* false: it got no smaller */

/* reply.c */
/* Takes the answer and hands it to the connection, or drops it when that is gone. */
void http_deliver(struct http_call *c, int status, const char *type, struct MHD_Response *r);
void http_fail(struct http_call *c, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void http_error_json(struct buf *out, int status, const char *message);

/* exchange.c: libmicrohttpd's callbacks; cls is the server. */
void *http_on_target(void *cls, const char *target, struct MHD_Connection *conn);
enum MHD_Result http_on_access(void *cls, struct MHD_Connection *conn, const char *url,
                               const char *method, const char *version, const char *data,
                               size_t *size, void **arg);
void http_on_completed(void *cls, struct MHD_Connection *conn, void **arg,
                       enum MHD_RequestTerminationCode why);
/* Undoes gzip, on a worker. False: it was answered with an error. */
bool http_body_unpack(struct http_call *c);

/* peer.c */
void http_on_peer(void *cls, struct MHD_Connection *conn, void **arg,
                  enum MHD_ConnectionNotificationCode what);
struct http_peer *http_peer_of(struct MHD_Connection *conn);
void http_peer_head_began(struct http_server *s, struct http_peer *p);
void http_peer_head_ended(struct http_server *s, struct http_peer *p);
void http_peer_call_ended(struct http_server *s, struct http_peer *p);
void http_peers_count(struct http_server *s, int change); /* under server.lock */
/* Closes connections over their deadline, wakes streams whose reader is gone, and says who left. */
void http_peers_check(struct http_server *s);

/* listen.c */
void *http_keeper(void *server); /* a thread: takes connections in and looks after them */
/* A listening socket; *port is the real one when the address has port 0. */
#define HTTP_PEM_BYTES_MAX ((size_t)1024 * 1024)
/* The files of http_settings.tls_cert and tls_key into out, when both are given and belong together. */
int http_tls_read(const char *cert, const char *key, struct buf out[2], struct error *e) FALLIBLE;
int http_listen(const char *where, uint16_t *port, struct error *e) FALLIBLE;

#endif
