/* template.h -- a prompt with the names of columns in it, filled in for each row.
 *
 * Why: a row becomes a request by one text that a person writes; each mistake in it must be found before
 * the first row is read.
 *
 * In:      {column}               the cell's text
 *          {column:json}          the cell as a JSON string, or null
 *          {"any, name"}          a name with braces, colons or quotes in it; "" stands for one "
 *          {?column} ... {/}      only when the cell has text
 *          {!column} ... {/}      only when it has none; both nest, to TEMPLATE_DEPTH_MAX
 *          {{ and }}              a brace
 * Out:     text that is escaped for a JSON string, without its quotes.
 * Errors:  NOT_FOUND for a column, with the nearest name; INVALID_ARGUMENT with the position.
 * Threads: any number may fill in from one template.
 * Source:  docs/reference/tables.md, "The template".
 */
#ifndef TRANCHE_FORMAT_TABLE_TEMPLATE_H
#define TRANCHE_FORMAT_TABLE_TEMPLATE_H

#include "format/table/cells.h"

#define TEMPLATE_DEPTH_MAX 8
#define TEMPLATE_PIECES_MAX 10000

enum piece_kind { PIECE_TEXT, PIECE_CELL, PIECE_CELL_JSON, PIECE_IF, PIECE_IF_NOT };
struct template_piece {
    enum piece_kind kind;
    struct str text; /* of PIECE_TEXT, escaped */
    uint32_t column; /* of the others */
    uint32_t next;   /* of the conditional ones: the piece behind their end */
};
struct template
{
    struct template_piece *piece;
    uint32_t count;
};

/* All memory is the arena's. A template without a column is an error: all rows would ask the same. */
int template_read(struct template *t, struct arena *a, struct str text, const struct columns *c,
                  struct error *e) FALLIBLE;
/* cell: one for each column. */
void template_fill(const struct template *t, const struct cell *cell, struct buf *out);

#endif
