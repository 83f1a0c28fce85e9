/* repeats.h -- which requests may stand more than once in a job, in constant memory.
 *
 * Why: an identical request is computed once, however far apart its lines are. Looking every one up
 * in the spool, and keeping an index of them all there, costs a random write a line; ingest sees all
 * lines anyway and can tell which few are worth it.
 *
 * Shape:   a sketch with two bits a slot: met, met again. It always finds what was noted twice. It finds
 *          about one in a hundred of the others too, which costs a needless look.
 * Threads: repeats_note is for any number at once; repeats_maybe for after that.
 */
#ifndef TRANCHE_ENGINE_LINES_REPEATS_H
#define TRANCHE_ENGINE_LINES_REPEATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the largest sketch; it grows with the input up to it. */
#define REPEATS_BYTES_MAX ((uint64_t)16 * 1024 * 1024)

struct repeats;
struct repeats *repeats_new(uint64_t input_bytes);
void repeats_free(struct repeats *r); /* accepts NULL */
/* True when it may have been noted before. */
bool repeats_note(struct repeats *r, const uint64_t digest[2]);
/* The sketch as it is kept in a file: of as many bytes as any sketch for an input of that size. */
void *repeats_bytes(struct repeats *r, size_t *len);
bool repeats_maybe(const struct repeats *r, const uint64_t digest[2]);

#endif
