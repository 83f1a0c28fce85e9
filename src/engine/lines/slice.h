/* slice.h -- one of N runs of whole lines of an input, cut at the same places on every machine.
 *
 * Why: a cluster's own engine starts N processes that know nothing of each other. Each must take lines that no other
 * takes, and all together must take all.
 *
 * Shape:   slice K of N begins at the first line that starts at or after byte BYTES * K / N of the inputs, one after the
 *          other, and ends where slice K + 1 begins. Only sizes and line starts decide. JSON lines are found from the
 *          place itself; the records of a CSV or TSV file are read from its start, as a quoted cell may have
 *          line ends.
 * Units:   begin and end in bytes of all inputs, unpacked, one after the other.
 * Errors:  INVALID_ARGUMENT for a text that is not K/N; of reading.
 * Threads: the owner of the input.
 */
#ifndef TRANCHE_ENGINE_LINES_SLICE_H
#define TRANCHE_ENGINE_LINES_SLICE_H

#include <stdatomic.h>

#include "engine/lines/input.h"

#define SLICES_MAX 10000

struct slice {
    uint32_t number, count;            /* from 0; count 0: the whole input */
    uint64_t begin, end;               /* set by slice_take, with all below */
    uint64_t input_bytes, input_files; /* of the whole input */
    uint64_t digest[2];  /* of the whole input's sizes, and of each file's first and last bytes */
    uint64_t times[2];   /* digest of the modification times of the input's files */
    uint64_t content[2]; /* slice_bytes from begin (0 for the first slice) to end */
};
/* "3/64" */
int slice_parse(const char *text, struct slice *out, struct error *e) FALLIBLE;
/* Leaves in the input the slice's lines. Files without such lines stay, empty. Line numbers count from the slice's
 * first line in a file of JSON lines, and from the file's first in a table with quotes. stop: as in slice_bytes. */
int slice_take(struct slice *s, struct input *in, const atomic_bool *stop,
               struct error *e) FALLIBLE;
/* Digest of the bytes from begin to end of a whole input, headers included. stop: CANCELLED once set; NULL: never. */
int slice_bytes(const struct input *in, uint64_t begin, uint64_t end, const atomic_bool *stop,
                uint64_t digest[2], struct error *e) FALLIBLE;

#endif
