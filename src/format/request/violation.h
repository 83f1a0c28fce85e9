/* violation.h -- what is wrong with a line: where, what, and what to do about it.
 *
 * Why: one bad line of 200,000 must be found and mended without a guess, so each violation carries
 * the place in the file, the path in the JSON and the remedy, and all of a line are reported.
 *
 * Shape:   collected for one line into a fixed array; past VIOLATIONS_PER_LINE_MAX only counted, and
 *          past VIOLATIONS_COUNTED_MAX not even that. A line that can run has no violations, but may have
 *          warnings: the items are then warnings, and count is 0.
 * Units:   offset in bytes from the start of the line; the reporter adds the line's own offset.
 * Threads: none; a list belongs to the line that is being read.
 */
#ifndef TRANCHE_FORMAT_REQUEST_VIOLATION_H
#define TRANCHE_FORMAT_REQUEST_VIOLATION_H

#include <stddef.h>

#include "base/str.h"

#define VIOLATIONS_PER_LINE_MAX 16
#define VIOLATIONS_COUNTED_MAX 1000 /* a line is not read on after these */
#define VIOLATION_PATH_BYTES 192
#define VIOLATION_TEXT_BYTES 320

struct violation {
    size_t offset;                   /* of the offending value, from the start of the line */
    char path[VIOLATION_PATH_BYTES]; /* "request.contents[0].role"; "" when the line is not JSON */
    char message[VIOLATION_TEXT_BYTES]; /* what is wrong: one sentence with its full stop */
    char remedy[VIOLATION_TEXT_BYTES];  /* what to do: one sentence with its full stop */
};

struct violations {
    struct violation item[VIOLATIONS_PER_LINE_MAX + 1]; /* the last one is scratch, never read */
    unsigned count;    /* found, which may be more than the array holds */
    unsigned warnings; /* as count; never both */
};

/* The next free item, or a scratch one when the array is full; count goes up either way. Warnings that are
 * there are dropped. */
struct violation *violations_add(struct violations *all);
unsigned violations_held(const struct violations *all); /* items that may be read */

#endif
