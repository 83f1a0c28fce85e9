/* cells.h -- the cells of one record of a CSV or TSV file, and how a cell is written.
 *
 * Why: a cell is text and nothing else: 007 and 1.10 must come out as they went in, so nothing here knows
 * numbers or dates. A cell keeps its bytes as written beside its text.
 *
 * Shape:   a record is one line of struct line_cut, without its line end. A cell that begins with '"' is
 *          quoted: it ends at the next single '"', and "" in it stands for one. A '"' elsewhere is text.
 *          A cell without a byte is null; "" is empty text.
 * Errors:  none; a cell says what is wrong with its quotes.
 * Threads: none.
 * Source:  RFC 4180; docs/reference/tables.md.
 */
#ifndef TRANCHE_FORMAT_TABLE_CELLS_H
#define TRANCHE_FORMAT_TABLE_CELLS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

struct cell {
    struct str raw;    /* as written, with quotes; of JSON rows the value as written */
    struct str text;   /* decoded; empty when null */
    bool null;         /* nothing stands there */
    const char *fault; /* of its quotes: a sentence; or NULL */
};

/* The first max cells; returns their number in the record, which may be more. A text with "" in it is
 * decoded into the arena, all others are borrowed from the record. */
uint32_t cells_split(struct arena *a, struct str record, char delimiter, struct cell *cell,
                     uint32_t max);

/* A cell with this text: in quotes when a reader would not read it back otherwise. */
void cell_write(struct buf *out, struct str text, char delimiter);

/* The delimiter of a file whose header this is: the one of , ; tab and | that cuts it into the most
 * cells, the first of them when there are several; a comma when there is one cell only. */
char delimiter_guess(struct str header);

/* ---- The names of a table's columns ---- */

#define SHEET_COLUMNS_MAX 10000

struct columns {
    struct str *name;
    uint32_t count;
};
/* The column of this name; white space around it does not count when no column has it. NOT_FOUND with the
 * nearest name; INVALID_ARGUMENT when the header has the name twice. */
int columns_find(const struct columns *c, struct str name, uint32_t *out, struct error *e) FALLIBLE;

#endif
