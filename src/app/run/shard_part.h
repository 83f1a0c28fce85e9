/* shard_part.h -- the record beside the output of `tranche run --shard K/N`, and what merge reads in it.
 *
 * Why: machines that know nothing of each other write the parts of one output; who joins them must prove that each
 * line is there once and in order. A part's rows say nothing of that, and a header in them would be no row.
 *
 * Shape:   PART.shard.json, a JSON object: number and count, the place in the input, digests of input, settings and
 *          output, the run's summary. Written whole or not at all, before the run counts as done.
 * Units:   begin, end and input_bytes as in engine/lines/slice.h.
 * Errors:  of the file system; NOT_FOUND and INVALID_ARGUMENT with the part's name and the remedy.
 * Threads: none.
 * Source:  docs/formats.md, "Parts of an output".
 */
#ifndef TRANCHE_APP_RUN_SHARD_PART_H
#define TRANCHE_APP_RUN_SHARD_PART_H

#include <stdatomic.h>

#include "app/run/local_job.h"
#include "engine/lines/digest.h"

#define DIGEST_TEXT_BYTES 33

struct shard_part {
    const char *path;                  /* of the part */
    uint32_t number, count;            /* K of N */
    uint64_t begin, end;               /* its place in the input */
    uint64_t lines;                    /* that it answers, failures included */
    uint64_t bytes, header_bytes;      /* of the part; a header is that of a CSV or TSV file */
    bool table;                        /* a row may have line ends */
    uint64_t input_files, input_bytes; /* of the whole input */
    const char *input, *settings;      /* digests: equal in all parts of one output */
    const char *times;   /* digest: equal when no file was written between the parts' runs */
    const char *content; /* digest of the part's bytes of the input */
    const char *digest;  /* of the part */
    uint64_t succeeded, failed, not_run;
    uint64_t prompt_tokens, generated_tokens, thought_tokens;
    bool priced;
    uint64_t cost_nano, cost_online_nano;
};

/* The record of a part that is complete under its name. summary: the run's, a JSON object. */
int shard_part_write(const struct local_job *j, const char *path, struct str summary,
                     struct error *e) FALLIBLE;
/* The record of the part at path, in the arena. */
int shard_part_read(struct arena *a, const char *path, struct shard_part *out,
                    struct error *e) FALLIBLE;

/* One reading of a file: what it has, and a copy where one is wanted. */
struct part_reading {
    const char *path;
    const atomic_bool *stop; /* set: CANCELLED; NULL: never */
    uint64_t skip;           /* bytes at the beginning that are not copied */
    int to;                  /* -1: no copy */
    const char *to_path;     /* for messages */
    struct digest *copied;   /* takes what is copied, too; or NULL */
    uint64_t bytes, line_ends;
    char digest[DIGEST_TEXT_BYTES]; /* of all its bytes */
};
int part_read_through(struct part_reading *r, struct error *e) FALLIBLE;
void part_digest_text(const uint64_t digest[2], char out[DIGEST_TEXT_BYTES]);

#endif
