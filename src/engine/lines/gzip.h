/* gzip.h -- a compressed output: one stream of gzip, packed as it goes.
 *
 * Errors:  none; out of memory ends the program.
 * Threads: none.
 * Source:  RFC 1952; zlib.
 */
#ifndef TRANCHE_ENGINE_LINES_GZIP_H
#define TRANCHE_ENGINE_LINES_GZIP_H

#include <stdbool.h>

#include "base/str.h"

struct gzip;
struct gzip *gzip_new(void);
/* Appends the packed bytes of s, so that all of s can be read back. last: the stream ends here. */
void gzip_add(struct gzip *z, struct str s, bool last, struct buf *out);
void gzip_free(struct gzip *z); /* accepts NULL */

#endif
