/* http_client.h -- HTTP out: one request at a time, blocking, bounded (libcurl).
 *
 * Why: the command line's client and webhooks need a request with a deadline, limits, and streams
 * from and to files. (http_multi.h is for many requests at once.)
 *
 * Errors:  UNAVAILABLE (connect, reset, DNS, an answer cut short), DEADLINE_EXCEEDED, PERMISSION_DENIED
 *          (the guard refuses the address), RESOURCE_EXHAUSTED (a body or head over its limit),
 *          CANCELLED, INVALID_ARGUMENT (the URL or a header), FAILED_PRECONDITION (a certificate that
 *          is not trusted), and errors of on_body or of reading the body's file. An HTTP status is not
 *          an error here. http_in is valid, and must be released, in any case.
 * Proxies: from the environment (http_proxy and so on), but never to this machine, nor with guard.
 * Threads: one client belongs to one thread; http_client_init once, before others start.
 */
#ifndef TRANCHE_NET_CLIENT_HTTP_CLIENT_H
#define TRANCHE_NET_CLIENT_HTTP_CLIENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

#define HTTP_CONNECT_MS 10000
#define HTTP_BODY_BYTES ((size_t)1024 * 1024) /* of an answer, when body_max is 0 */
#define HTTP_IN_HEAD_BYTES_MAX ((size_t)64 * 1024)
#define HTTP_REDIRECTS_MAX 5
#define HTTP_SILENCE_S 60

struct http_out {
    const char *method, *url;
    const char *const *header; /* "Name: value", until NULL; or NULL */
    struct str body;
    int body_fd; /* >= 0 with a body file: body_bytes of it from body_offset */
    uint64_t body_offset, body_bytes;
    bool has_body_file;
    uint32_t timeout_ms; /* of the whole exchange; 0: none, only silence_s without a byte */
    uint32_t silence_s;  /* 0: HTTP_SILENCE_S */
    uint32_t connect_ms; /* 0: HTTP_CONNECT_MS */
    const char *ca_file; /* PEM: trusted certificates for https; NULL: the system's */
    bool guard;          /* refuse private, loopback, link-local, multicast... addresses: checked
                             * on the address that is connected to, so no name can be rebound */
    const char *const
        *guard_allow; /* "host:port" that are allowed nevertheless, until NULL; or NULL */
    bool
        follow; /* redirects, at most HTTP_REDIRECTS_MAX, http(s) only; never with guard. The headers
                  * go along, also to another host: not for requests that carry a secret */
    /* The answer's body of a status 2xx goes to on_body, when there is one; else into
     * http_in.body, up to body_max (0: HTTP_BODY_BYTES). Status and headers are there by then. */
    int (*on_body)(void *arg, const void *p, size_t len, struct error *e);
    void *arg;
    size_t body_max;
    const atomic_bool *stop; /* set: ends soon with CANCELLED; or NULL */
};
struct http_in {
    int status;
    struct buf body;    /* owned by the caller: http_in_release */
    struct buf headers; /* lines "name: value\n", names in lower case */
};
struct http_client;
int http_client_init(struct error *e) FALLIBLE; /* once a process */
struct http_client *http_client_new(void);      /* keeps connections alive between requests */
void http_client_free(struct http_client *c);
int http_do(struct http_client *c, const struct http_out *out, struct http_in *in,
            struct error *e) FALLIBLE;
struct str http_in_header(const struct http_in *in, const char *name); /* lower case */
void http_in_release(struct http_in *in);
/* Percent-encoded, but for letters, digits, "-_.~" and the characters of `also`. */
void http_add_encoded(struct buf *out, struct str s, const char *also);

#endif
