/* unpack.h -- the bytes of a file, unpacked while they are read when they are gzip or zstd.
 *
 * Why: people keep tables and requests compressed; a run reads them as they are.
 *
 * Shape:   unpack_open -> unpack_read until it returns 0 -> unpack_close. Several streams in a row are one
 *          content. A file that begins as neither is read as it is.
 * Errors:  INVALID_ARGUMENT: a stream that is broken or ends too early, that needs a window over
 *          UNPACK_WINDOW_BYTES_MAX, or that unpacks to more than UNPACK_RATIO_MAX times its size (a bomb);
 *          of reading.
 * Memory:  of gzip about 300 KiB, of zstd its window and 256 KiB.
 * Threads: one reader belongs to one thread at a time.
 * Source:  RFC 1952 (base/gunzip.h), RFC 8878; libzstd's ZSTD_decompressStream.
 */
#ifndef TRANCHE_BASE_UNPACK_H
#define TRANCHE_BASE_UNPACK_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

#define UNPACK_WINDOW_LOG_MAX 27 /* what zstd itself unpacks without --long */
#define UNPACK_WINDOW_BYTES_MAX (UINT64_C(1) << UNPACK_WINDOW_LOG_MAX)
/* gzip cannot reach it. Contents below UNPACK_FREE_BYTES are not measured. */
#define UNPACK_RATIO_MAX 2000
#define UNPACK_FREE_BYTES (UINT64_C(1) << 30)

enum packing { PACKING_NONE, PACKING_GZIP, PACKING_ZSTD };
/* By its first bytes, of which there may be fewer than four. */
enum packing packing_of_bytes(struct str head);
/* By its name, which ends in .gz or .zst. rest: the name without the ending; may be NULL. */
enum packing packing_of_name(struct str name, struct str *rest);

struct unpack;
struct unpack *unpack_open(int fd); /* takes fd, which stands at its beginning */
/* Up to cap bytes of the content; 0 at its end. name: of the file, for the message. */
int64_t unpack_read(struct unpack *u, void *p, size_t cap, const char *name, struct error *e);
void unpack_close(struct unpack *u); /* accepts NULL */

#endif
