/* sigv4.h -- AWS Signature Version 4: the Authorization header of a request to S3 or a server that speaks as it does.
 *
 * Why: such a server takes a request only when its caller proves to have the secret key, for this request at this time.
 *
 * Shape:   path and query are as they are sent: percent-encoded, the parameters sorted by name, each with its "=".
 *          Every header that is given is signed, and "host" always; x-amz-date must be among them. They may stand in any
 *          order.
 * Errors:  INVALID_ARGUMENT: too many headers, or too long ones.
 * Threads: all.
 * Source:  https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */
#ifndef TRANCHE_NET_CLIENT_SIGV4_H
#define TRANCHE_NET_CLIENT_SIGV4_H

#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

#define SIGV4_HEADERS_MAX 24
#define SIGV4_BYTES_MAX ((size_t)16 * 1024) /* of what is signed */
#define SIGV4_DATE_BYTES 17                 /* "20260722T101500Z" and a NUL */
#define SIGV4_SHA256_BYTES 65               /* in hexadecimal digits, and a NUL */

struct sigv4 {
    struct str id, secret;
    const char *region, *service;
    const char *method;
    struct str host, path, query;
    const char *const *header;   /* "name: value" with the name in lower case, until NULL */
    const char *payload;         /* the body's SHA-256, as sigv4_sha256 writes it */
    char date[SIGV4_DATE_BYTES]; /* as in x-amz-date */
};
/* Appends "Authorization: AWS4-HMAC-SHA256 ..." without a line end. */
int sigv4_sign(const struct sigv4 *request, struct buf *out, struct error *e) FALLIBLE;
void sigv4_date(int64_t wall_us, char out[SIGV4_DATE_BYTES]);
void sigv4_sha256(struct str bytes, char out[SIGV4_SHA256_BYTES]);

#endif
