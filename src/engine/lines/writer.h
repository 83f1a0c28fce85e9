/* writer.h -- a file written by a thread of its own.
 *
 * Why: the output of a job is larger than its answers, and writing and syncing it takes as long as
 * computing quick ones; so a thread of its own does it. Syncing as it goes keeps the last
 * sync short.
 *
 * Shape:   writer_put hands a full buffer over and gets an empty one; WRITER_BUFFERS may wait.
 * Errors:  the next call reports a failed write, and so do all after it.
 * Threads: one owner, and the writer's own thread.
 */
#ifndef TRANCHE_ENGINE_LINES_WRITER_H
#define TRANCHE_ENGINE_LINES_WRITER_H

#include <stdbool.h>

#include "base/error.h"
#include "base/str.h"

#define WRITER_BUFFERS 4

struct writer;
/* fd and path are borrowed. synced: it is a file, whose bytes are synced now and then. */
struct writer *writer_new(int fd, const char *path, bool synced, struct error *e);
/* fn sees all bytes in their order as they are written, on the writer's thread. Set before the first
 * writer_put. */
void writer_tee(struct writer *w, void (*fn)(void *arg, const void *p, size_t len), void *arg);
/* Takes the bytes of b, which is then empty. Blocks while all buffers are full. */
int writer_put(struct writer *w, struct buf *b, struct error *e) FALLIBLE;
int writer_flush(struct writer *w,
                 struct error *e) FALLIBLE; /* all bytes are written, and synced */
void writer_free(struct writer *w);         /* bytes that wait may be lost; accepts NULL */

#endif
