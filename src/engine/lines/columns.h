/* columns.h -- the columns that lines of JSON make when their answers go to a table.
 *
 * Why: an output table is made before its rows are known, so the keys that stand beside the requests are looked for
 * in one pass over the input.
 *
 * Errors:  of reading; INVALID_ARGUMENT: a key that no column can have; CANCELLED: *stop was set.
 * Threads: the caller's.
 */
#ifndef TRANCHE_ENGINE_LINES_COLUMNS_H
#define TRANCHE_ENGINE_LINES_COLUMNS_H

#include <stdatomic.h>

#include "engine/lines/input.h"
#include "format/job/table.h"

/* stop: may be NULL. */
int columns_of_lines(const struct input *in, const atomic_bool *stop, struct arena *a,
                     struct bq_schema *out, struct error *e) FALLIBLE;

#endif
