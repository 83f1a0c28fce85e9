/* row_cells.h -- the cells of one row by column, whatever its form.
 *
 * Threads: none; all memory is the arena's.
 */
#ifndef TRANCHE_FORMAT_TABLE_ROW_CELLS_H
#define TRANCHE_FORMAT_TABLE_ROW_CELLS_H

#include "format/table/sheet.h"

/* One cell for each column; cells that the row does not have are null. bad may be NULL; else it gets what is
 * wrong: a ragged row, quotes, a line that is not a JSON object, a member that no column has. */
struct cell *row_cells(const struct sheet *t, struct arena *a, struct str record,
                       struct violations *bad);

#endif
