/* multipart.h -- a body of several parts, read as it arrives.
 *
 * Why: an upload has an object's metadata and the object itself, perhaps gigabytes, in one body; its
 * bytes are passed on as they come, and memory stays the same.
 *
 * Shape:   multipart_init with the Content-Type of the whole; then multipart_feed with pieces cut
 *          anywhere; then multipart_finish. `part` is called when a part's headers are read, then
 *          `data` with its bytes, in order, in pieces of any size.
 * Accepts: line ends of LF alone, when the first boundary's line has one; then a CR at the end of a part
 *          belongs to the part. A boundary in double or single quotes. Bytes before the first boundary
 *          and after the last are skipped.
 * Errors:  INVALID_ARGUMENT, and those of the callbacks, which end the reading: no boundary, one that
 *          RFC 2046 does not allow, headers over MULTIPART_HEAD_BYTES_MAX, more than
 *          MULTIPART_PARTS_MAX parts, an encoded part (base64), a missing end.
 * Threads: none; a reader has one owner.
 * Source:  RFC 2046 5.1, RFC 2387.
 */
#ifndef TRANCHE_NET_SERVER_MULTIPART_H
#define TRANCHE_NET_SERVER_MULTIPART_H

#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

#define MULTIPART_BOUNDARY_MAX 70                   /* characters; RFC 2046 */
#define MULTIPART_HEAD_BYTES_MAX ((size_t)8 * 1024) /* a part's headers */
#define MULTIPART_PARTS_MAX 100

struct multipart_handlers {
    /* content_type: as sent, trimmed, empty when absent; it is gone after the call. */
    int (*part)(void *arg, struct str content_type, struct error *e);
    int (*data)(void *arg, const void *p, size_t len, struct error *e);
    void *arg;
};
enum multipart_state {
    MULTIPART_OUTSIDE, /* before the first boundary */
    MULTIPART_LINE,    /* on a boundary's line, after the boundary */
    MULTIPART_HEAD,
    MULTIPART_DATA,
    MULTIPART_END
};
struct multipart {
    struct multipart_handlers to;
    enum multipart_state state;
    bool crlf;      /* line ends before boundaries are CR LF */
    size_t matched; /* bytes of the delimiter that the last piece ended with */
    char delimiter[4 + MULTIPART_BOUNDARY_MAX]; /* CR LF "--" boundary */
    size_t delimiter_len;
    uint32_t part_count;
    struct buf head; /* of a boundary's line or a part's headers, so far */
};
int multipart_init(struct multipart *m, struct str content_type,
                   const struct multipart_handlers *to, struct error *e) FALLIBLE;
int multipart_feed(struct multipart *m, const void *p, size_t len, struct error *e) FALLIBLE;
int multipart_finish(const struct multipart *m, struct error *e) FALLIBLE;
void multipart_release(struct multipart *m); /* accepts a zeroed one */

#endif
