/* download.h -- bytes of a blob as the answer to a call.
 *
 * Why: a shared store's blob is in its bucket, and a client that wants ten bytes of a big one, or reads it slowly, must
 * not make the process fetch all of it, nor keep a thread.
 *
 * Shape:   download_open, then the headers, then download_reply. The first DOWNLOAD_PIECE_BYTES are there when the
 *          answer begins, so that an error is still a status; later pieces are fetched one ahead of what is sent. A
 *          piece that cannot be fetched ends the connection.
 * Threads: open and reply: those of later.h. Pieces come on threads of later.h, and are sent by the connection's.
 * Owns:    an opened download is taken by download_reply or download_close.
 */
#ifndef TRANCHE_API_DOWNLOAD_H
#define TRANCHE_API_DOWNLOAD_H

#include "api/call.h"
#include "store/objects/blob.h"

#define DOWNLOAD_PIECE_BYTES ((uint64_t)8 * 1024 * 1024)

struct download {
    int64_t blob;
    uint64_t first, ready, end; /* what is asked for, and where the bytes that fd has end */
    int fd;
};
int download_open(struct call *c, int64_t blob, uint64_t first, uint64_t end, struct download *out,
                  struct error *e) FALLIBLE;
void download_reply(struct call *c, int status, const char *type, const struct download *d);

#endif
