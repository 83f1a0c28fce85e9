/* pack.h -- a compressed output: one stream of gzip or zstd, packed as it goes.
 *
 * Errors:  none; out of memory ends the program.
 * Threads: none.
 * Source:  RFC 1952, RFC 8878; zlib, libzstd.
 */
#ifndef TRANCHE_BASE_PACK_H
#define TRANCHE_BASE_PACK_H

#include <stdbool.h>

#include "base/str.h"
#include "base/unpack.h"

struct pack;
struct pack *pack_new(enum packing kind); /* NULL: PACKING_NONE */
/* Appends the packed bytes of s, so that all of s can be read back. last: the stream ends here. */
void pack_add(struct pack *p, struct str s, bool last, struct buf *out);
void pack_free(struct pack *p); /* accepts NULL */

#endif
