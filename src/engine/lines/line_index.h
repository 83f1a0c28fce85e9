/* line_index.h -- what ingest learnt of a job's lines, in a file beside the job.
 *
 * Why: ingest parses every line. A job that is taken up again must not be validated again from its
 * first byte, and the output must not parse a request only to find where it ends.
 *
 * Shape:   for each shard its lines' notes and their checksum, in input order; then what
 *          struct ingest_result holds (shards, counts, digest, the sketch of repeated requests); last a
 *          tail with the version, the sizes and a checksum. The byte order is the machine's.
 *          A file with a path is written under PATH.tmp, synced and renamed, so that a reader finds
 *          a whole index or none. Without a path the index is in memory, or in a file without a name
 *          that goes when it is closed.
 * Trust:   an index stands for the bytes it was made of, so only a job whose input cannot change
 *          may load one. A missing, torn or older index is not an error: the input is ingested again.
 *          Notes that cannot be read are LINE_UNKNOWN, and a parse finds what they would have said.
 * Memory:  a shard's notes; 256 KiB; struct ingest_result.
 * Errors:  none reach the caller, as nothing depends on an index but time: they are logged.
 * Threads: one writer; any number of readers.
 */
#ifndef TRANCHE_ENGINE_LINES_LINE_INDEX_H
#define TRANCHE_ENGINE_LINES_LINE_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/lines/input.h"

/* The form of a line whose request's place is not known. */
enum line_form {
    LINE_UNKNOWN, /* only a parse can tell */
    LINE_TEXT,    /* no JSON object: its row quotes it */
    LINE_OBJECT,  /* a JSON object */
};

/* One line. */
struct line_note {
    uint32_t at;            /* offset of its request in the line; or an enum line_form, when */
    uint32_t request_bytes; /* 0 */
    uint64_t digest[2];     /* of its request (line_key.h), with a flag of the last */
    uint32_t ordinal;       /* among the identical lines of a request that is not deterministic */
    uint32_t flags;
};
enum {
    NOTE_DETERMINISTIC = 1, /* the same request must give the same answer */
    NOTE_KEYED = 2,         /* its answer can be kept and used again */
};

struct ingest_result;

/* ---- Making one ---- */
struct line_index_writer;
/* path: where it stays; NULL: in memory while it is small, then in the folder, without a name. */
struct line_index_writer *line_index_begin(const char *folder, const char *path);
/* The next shard's lines. */
void line_index_add(struct line_index_writer *w, const struct shard *s,
                    const struct line_note *note);
/* All shards are added: durable when it has a path. Takes w, which may be NULL; sets r->index, or leaves it
 * NULL. */
void line_index_end(struct line_index_writer *w, const struct input *in, struct ingest_result *r);
void line_index_abort(struct line_index_writer *w); /* accepts NULL */
/* Gives all notes that were added to fn, shard by shard in their order, to be changed in place. */
void line_index_revise(struct line_index_writer *w, const struct ingest_result *r,
                       void (*fn)(void *arg, struct line_note *note, uint32_t count), void *arg);

/* ---- Using one ---- */
struct line_index;
void line_index_free(struct line_index *x); /* accepts NULL */
/* True: the index at the path is whole and fits the input (NULL: any); r is all that ingest found. */
bool line_index_load(const char *path, const struct input *in, struct ingest_result *r);
/* The notes of the shard's lines into note[0 .. line_count); x may be NULL: all are LINE_UNKNOWN. */
void line_index_read(const struct line_index *x, size_t shard, const struct shard *s,
                     struct line_note note[SHARD_LINES_MAX]);

#endif
