/* media.h -- uploads and downloads of objects and files: hashes, ranges, and the reply with the bytes.
 *
 * Units:   offsets and sizes in bytes; a span's and a range's `end` is one past the last byte.
 * Errors:  INVALID_ARGUMENT in words for the client.
 * Threads: none.
 * Source:  RFC 9110 14, https://cloud.google.com/storage/docs/performing-resumable-uploads
 */
#ifndef TRANCHE_API_MEDIA_H
#define TRANCHE_API_MEDIA_H

#include "api/download.h"

/* Big-endian: Google's base64 of a CRC-32C encodes these bytes. */
#define MEDIA_CRC32C_BYTES 4
void media_crc32c_bytes(uint32_t crc32c, unsigned char out[MEDIA_CRC32C_BYTES]);
/* A type or other text that goes into a header: printable ASCII of at most MEDIA_TYPE_MAX bytes. */
#define MEDIA_TYPE_MAX 255
bool media_type_valid(struct str s);

/* The hashes that a client states for its bytes. */
struct media_hashes {
    bool has_crc32c, has_md5;
    unsigned char crc32c[4], md5[16];
};
/* Both add to *h; an empty header adds nothing. */
int media_hashes_header(struct str x_goog_hash, struct media_hashes *h, struct error *e) FALLIBLE;
int media_hashes_add(struct media_hashes *h, const char *name, struct str base64,
                     struct error *e) FALLIBLE; /* name: "crc32c" or "md5" */
int media_hashes_check(const struct media_hashes *h, const struct blob *b,
                       struct error *e) FALLIBLE;

/* The Content-Range of an upload's piece: "bytes a-b/t", "bytes a-b/" "*", "bytes a-*" "/..." (up to the
 * body's end), "bytes *" "/..." (no bytes: the client asks for the state). */
struct media_span {
    bool has_bytes, has_end, has_total;
    uint64_t first, end, total;
};
int media_span_read(struct str content_range, struct media_span *out, struct error *e) FALLIBLE;

/* The bytes of a blob that a call wants: all, or the part that its Range asks for. */
enum media_range { MEDIA_ALL, MEDIA_PART, MEDIA_OUTSIDE /* 416 */ };
struct media_part {
    enum media_range kind;
    uint64_t bytes; /* of the blob */
    struct download download;
};
int media_open(struct call *c, const struct blob *b, struct media_part *out,
               struct error *e) FALLIBLE;
/* Answers with them; takes what is open. The caller has set the headers of its dialect. */
void media_reply(struct call *c, const char *type, const struct media_part *part);

#endif
