/* table.h -- a table of text for a terminal: columns as wide as their widest cell.
 *
 * Why: lists of several commands look alike, and none can be steered by what it shows.
 *
 * Limits:  cells are cut at TABLE_CELL_BYTES - 1 bytes; the whole at TABLE_BYTES_MAX.
 * Threads: none.
 */
#ifndef TRANCHE_APP_CLI_TABLE_H
#define TRANCHE_APP_CLI_TABLE_H

#include <stddef.h>

#include "base/str.h"

#define TABLE_COLUMNS_MAX 16
#define TABLE_CELL_BYTES 128
#define TABLE_BYTES_MAX ((size_t)128 * 1024 * 1024)

struct table {
    size_t columns, rows;
    size_t width[TABLE_COLUMNS_MAX];
    struct buf cells; /* TABLE_CELL_BYTES each, row by row */
};
void table_init(struct table *t, const char *const *head, size_t columns);
void table_row(struct table *t, const struct str *cell); /* t->columns of them */
void table_write(const struct table *t, struct buf *out);
void table_release(struct table *t);

#endif
