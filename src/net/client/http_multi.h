/* http_multi.h -- HTTP out: thousands of requests open at once on one thread (libcurl multi, epoll).
 *
 * Why: a predictor keeps an inference server busy over kept-alive connections, without a thread per
 * request. For each request it needs a status, a bounded body and the true cause of a failure.
 *
 * Shape:   http_multi_start ... http_multi_poll -> finished exchanges, in the order they ended.
 *          Each started one is finished exactly once, with an answer or an error.
 * Limits:  a body over body_max, a head over HTTP_IN_HEAD_BYTES_MAX, more than timeout_ms in all, no
 *          byte for idle_ms, connect_ms until connected: each ends the exchange.
 *          The time without a byte does not run while a request waits for a connection, nor while it
 *          is being sent. A head counts line by line.
 * Errors:  as http_client.h; an HTTP status is not an error here. `sent` says whether the server may
 *          have seen the request. When a kept connection turns out to be closed, its request is sent
 *          once more on another one before it fails.
 * Proxies: from the settings, else from the environment; to this machine only from the settings.
 * Threads: one owner, but http_multi_wake, which any thread may call.
 */
#ifndef TRANCHE_NET_CLIENT_HTTP_MULTI_H
#define TRANCHE_NET_CLIENT_HTTP_MULTI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

#define HTTP_MULTI_CONNECTIONS_MAX 10000
#define HTTP_MULTI_OPEN_MAX                                                                        \
    16384 /* requests started and not yet given; those over connections_max wait */
#define HTTP_ASK_URL_BYTES_MAX ((size_t)16 * 1024)
#define HTTP_ASK_HEADER_BYTES_MAX ((size_t)32 * 1024)
#define HTTP_ASK_METHOD_BYTES_MAX ((size_t)32)

/* The settings that all requests to one server share. The strings must outlive the multi. */
struct http_host {
    const char *ca_file;       /* PEM; NULL: whom the system trusts */
    const char *proxy;         /* NULL: of the environment; "": none */
    const char *const *header; /* "Name: value", until NULL; or NULL */
    bool http1;                /* never HTTP/2 */
    uint32_t connect_ms;       /* 0: HTTP_CONNECT_MS */
    uint32_t idle_ms;          /* an exchange ends after this time without a byte; 0: no limit */
    /* Refuse addresses that are not public, as http_out's guard does, on a connection of its own. */
    bool guard;
    const char *const
        *guard_allow; /* "host:port" that are allowed nevertheless, until NULL; or NULL */
};
struct http_ask {
    const struct http_host *host; /* outlives the exchange */
    const char *method, *url;     /* copied */
    struct str body;              /* borrowed until the exchange is finished */
    const char *header;           /* one more, "Authorization: Bearer ..."; copied; or NULL */
    const char *trace;            /* headers of this request alone, a line each; copied; or NULL */
    uint32_t timeout_ms;          /* of the whole exchange; 0: none */
    size_t body_max;              /* of the answer */
    void *tag;
};
struct http_done {
    void *tag;
    int status;          /* 0: no answer's head came */
    struct error error;  /* OK: the answer is whole */
    bool sent;           /* some of the request left */
    struct str body;     /* as far as it came; valid until the next call on the multi */
    struct str headers;  /* lines "name: value\n", names in lower case; as above */
    uint32_t connection; /* tells connections of one time apart: its local port; 0: none was made */
    uint64_t total_ns;   /* from start to end */
};

struct http_multi;
/* After http_client_init. connections_max: 1 to HTTP_MULTI_CONNECTIONS_MAX, else INVALID_ARGUMENT. */
struct http_multi *http_multi_new(uint32_t connections_max, struct error *e);
/* Drops the open exchanges. Accepts NULL. */
void http_multi_free(struct http_multi *m);
/* RESOURCE_EXHAUSTED when HTTP_MULTI_OPEN_MAX are open; INVALID_ARGUMENT: the request is malformed. */
int http_multi_start(struct http_multi *m, const struct http_ask *ask, struct error *e) FALLIBLE;
/* One finished exchange: 1 and *out; or 0 after timeout_ms, or when woken. */
int http_multi_poll(struct http_multi *m, uint32_t timeout_ms, struct http_done *out,
                    struct error *e) FALLIBLE;
void http_multi_wake(
    struct http_multi *m); /* ends a poll that waits, or else the next that would */
struct str http_done_header(const struct http_done *d, const char *name); /* lower case */

#endif
