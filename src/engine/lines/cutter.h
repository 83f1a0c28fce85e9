/* cutter.h -- cut the inputs into shards, one after the other.
 *
 * Why: where a shard ends must depend on the bytes alone, never on how they were read, as the shards'
 * digests name the job that a later run goes on with.
 *
 * Shape:   cutter_next reads the next shard's bytes and says where they stand. A line longer than
 *          LINE_BYTES_MAX is read through in pieces and not kept.
 * Memory:  the piece, at most LINE_BYTES_MAX + 2 bytes, and SHARD_BYTES_MAX without long lines.
 * Errors:  of reading; INVALID_ARGUMENT for more lines than lines_max.
 * Threads: callers take turns (under a lock of theirs); each brings a piece of its own.
 */
#ifndef TRANCHE_ENGINE_LINES_CUTTER_H
#define TRANCHE_ENGINE_LINES_CUTTER_H

#include "engine/lines/input.h"

/* Bytes of the input, for one shard. */
struct piece {
    char *p;
    size_t len, cap;
};
void piece_release(struct piece *b);

struct cutter {
    const struct input *in;
    uint64_t limit;     /* lines after which the input counts as ended; 0: none */
    uint64_t lines_max; /* more are an error; 0: any number */
    uint32_t file;      /* where the next shard begins */
    uint64_t offset, line_no, index;
    size_t guess; /* bytes of the next shard, from the last one's */
};
void cutter_init(struct cutter *c, const struct input *in, uint64_t limit, uint64_t lines_max);
/* 1 with the shard (all but its digest, which an overlong one has) and its bytes in b; 0 at the end. */
int cutter_next(struct cutter *c, struct piece *b, struct shard *out, struct error *e) FALLIBLE;

#endif
