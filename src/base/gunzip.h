/* gunzip.h -- the bytes of a file, unpacked while they are read when they are gzip.
 *
 * Why: objects may be stored compressed; their readers (downloads, jobs, files of requests) want the
 * content.
 *
 * Shape:   gunzip_open -> gunzip_read until it returns 0 -> gunzip_close. Several gzip members in a row
 *          are one content. A file that does not begin as gzip is read as it is.
 * Errors:  INVALID_ARGUMENT for a stream that is broken or ends too early; of reading.
 * Memory:  about 300 KiB; a reader that must bound the content counts what it has read.
 * Threads: one reader belongs to one thread at a time.
 * Source:  RFC 1952; zlib's gzread.
 */
#ifndef TRANCHE_BASE_GUNZIP_H
#define TRANCHE_BASE_GUNZIP_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct gunzip;
struct gunzip *gunzip_open(int fd); /* takes fd, which stands at its beginning */
/* Up to cap bytes of the content; 0 at its end. name: of the file, for the message. */
int64_t gunzip_read(struct gunzip *g, void *p, size_t cap, const char *name, struct error *e);
void gunzip_close(struct gunzip *g); /* accepts NULL */

#endif
