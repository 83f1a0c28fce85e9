/* http.h -- the head of a request, read where it stands; and the head of a reply.
 *
 * Why: the stub shares the machine with what it measures, so it does only what its clients need:
 * HTTP/1.1 with Content-Length, kept alive.
 *
 * Errors:  a status: what no client of ours should send is refused with it, and the connection closed.
 * Threads: none.
 * Source:  RFC 9112.
 */
#ifndef TRANCHE_STUB_HTTP_H
#define TRANCHE_STUB_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define HTTP_HEAD_BYTES_MAX ((size_t)64 * 1024)
#define HTTP_BODY_BYTES_MAX ((size_t)64 * 1024 * 1024)

struct http_head {
    struct str method, path, query; /* without "?" */
    struct str key;                 /* of Authorization: Bearer or x-goog-api-key */
    size_t head_bytes, body_bytes;
    bool close;   /* after the reply */
    bool expects; /* waits for 100 before it sends the body */
    bool chunked; /* a chunked body, which is not read here */
};

enum http_step { HTTP_MORE, HTTP_HEAD, HTTP_BAD };

/* The head at the start of `in`, if it is there as a whole; HTTP_BAD with the status in *status. */
enum http_step http_head_read(struct str in, struct http_head *out, int *status);

const char *http_reason(int status);
/* A head for a body of that length and type; `extra` is header lines, each with its end, or "". */
void http_head_write(struct buf *out, int status, const char *type, size_t length,
                     const char *extra);
void add_number(struct buf *out, uint64_t n); /* decimal */

#endif
