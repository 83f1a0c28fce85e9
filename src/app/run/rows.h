/* rows.h -- a run whose input is a table: its options, and the sheet that the engine reads and writes.
 *
 * Why: people who have a table and a question should not have to write requests.
 *
 * Shape:   with --prompt the inputs are tables: CSV, TSV or JSON rows, known by their endings or their first
 *          byte. The other options say what is asked and what goes out.
 * Errors:  INVALID_ARGUMENT, NOT_FOUND (a column, with the nearest name), UNIMPLEMENTED (.xlsx,
 *          with the remedy); of reading @FILE.
 * Threads: the main thread.
 */
#ifndef TRANCHE_APP_RUN_ROWS_H
#define TRANCHE_APP_RUN_ROWS_H

#include "app/cli/command.h"
#include "engine/lines/input.h"
#include "format/table/sheet.h"

/* As given; NULL where not. A text that begins with @ names a file. */
struct rows_options {
    const char *prompt, *system, *schema, *enum_values, *where, *keep_columns;
    struct option_list param;
    bool excel, mark_reused;
    bool embed; /* of `tranche embed`: the prompt is a text to embed */
};

/* An output that is made of the run's CSV when the run is finished (engine_tables.h). */
bool rows_are_parquet(const char *output);
/* Paths of forms that nothing reads are refused with the remedy before they are opened. */
int rows_check_paths(const char *const *path, uint32_t count, const char *output,
                     struct error *e) FALLIBLE;
/* False, and an error, when an option of tables is given without --prompt. */
bool rows_options_fit(const struct rows_options *o, struct error *e);
/* Reads the inputs' beginnings and the options into *out, and tells the input how to cut its lines. output:
 * its path, or NULL. out is released whatever happens; it and the options stay as long as the input. */
int rows_begin(struct sheet *out, const struct rows_options *o, struct input *in,
               const char *output, struct error *e) FALLIBLE;
/* The ending of an output that was given no name: ".csv". */
const char *rows_ending(const struct sheet *s);
/* Appends a digest of all that decides the answers and the output's form. */
void rows_facts(const struct sheet *s, const struct rows_options *o, struct buf *facts);

#endif
