/* output.h -- where a run's output goes.
 *
 * Why: the output must never replace the input, and a name that cannot be written must be
 * reported before hours of work.
 *
 * Shape:   -o OUTPUT; else the input's name with ".out.jsonl" for ".jsonl", of a table likewise; "-" when the input is
 *          standard input; several inputs need -o.
 * Errors:  INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED with the remedy.
 * Threads: none.
 */
#ifndef TRANCHE_APP_RUN_OUTPUT_H
#define TRANCHE_APP_RUN_OUTPUT_H

#include <stdbool.h>

#include "base/error.h"
#include "base/mem.h"
#include "engine/lines/input.h"

/* The name when none was given, in the arena: INPUT.out.csv for INPUT.csv or INPUT.csv.gz and the ending ".csv";
 * "-" when the only input is standard input. */
const char *output_default(struct arena *a, const struct input *in, bool from_stdin,
                           const char *ending, struct error *e);
enum output_kind {
    OUTPUT_LINES,    /* lines of JSON */
    OUTPUT_IN_PLACE, /* the same; it may be the input, which is replaced at the end */
    OUTPUT_TABLE,
};
/* The absolute path, in the arena, or "-"; NULL when it cannot be the output. */
const char *output_resolve(struct arena *a, const char *path, const struct input *in,
                           enum output_kind kind, struct error *e);
/* Standard output, a pipe, a device: what was written cannot be looked at again. */
bool output_is_stream(const char *path);
bool output_is_input(const char *path, const struct input *in);

#endif
