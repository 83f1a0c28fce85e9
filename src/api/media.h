/* media.h -- what uploads and downloads of objects and files share: hashes, ranges, the bytes out.
 *
 * Units:   offsets and sizes in bytes; a span's and a range's `end` is one past the last byte.
 * Errors:  INVALID_ARGUMENT in words for the client.
 * Threads: none.
 * Source:  RFC 9110 14, https://cloud.google.com/storage/docs/performing-resumable-uploads
 */
#ifndef TRANCHE_API_MEDIA_H
#define TRANCHE_API_MEDIA_H

#include "api/call.h"
#include "store/objects/blob.h"

/* Big-endian, as its base64 is made of. */
#define MEDIA_CRC32C_BYTES 4
void media_crc32c_bytes(uint32_t crc32c, unsigned char out[MEDIA_CRC32C_BYTES]);
/* A type or other text that goes into a header: printable ASCII of at most MEDIA_TYPE_MAX bytes. */
#define MEDIA_TYPE_MAX 255
bool media_type_valid(struct str s);

/* What a client says its bytes hash to. */
struct media_hashes {
    bool has_crc32c, has_md5;
    unsigned char crc32c[4], md5[16];
};
/* Both read what is there into *h; empty: nothing. */
int media_hashes_header(struct str x_goog_hash, struct media_hashes *h, struct error *e) FALLIBLE;
int media_hashes_add(struct media_hashes *h, const char *name, struct str base64,
                     struct error *e) FALLIBLE; /* name: "crc32c" or "md5" */
int media_hashes_check(const struct media_hashes *h, const struct blob *b,
                       struct error *e) FALLIBLE;

/* The Content-Range of an upload's piece: "bytes a-b/t", "bytes a-b/" "*", "bytes a-*" "/..." (all that
 * comes), "bytes *" "/..." (none: a question). */
struct media_span {
    bool has_bytes, has_end, has_total;
    uint64_t first, end, total;
};
int media_span_read(struct str content_range, struct media_span *out, struct error *e) FALLIBLE;

/* Answers with a blob's bytes or the part that the call's Range wants; takes fd. The headers that are
 * the dialect's own are set before. */
void media_reply(struct call *c, const struct blob *b, const char *type, int fd);

#endif
