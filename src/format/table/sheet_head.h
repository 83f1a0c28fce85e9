/* sheet_head.h -- the beginnings of a job's inputs: their form, delimiter and columns.
 *
 * Errors:  INVALID_ARGUMENT, with the file and the remedy, for an encoding that is not UTF-8, a header that
 *          does not end, inputs that are not alike.
 */
#ifndef TRANCHE_FORMAT_TABLE_SHEET_HEAD_H
#define TRANCHE_FORMAT_TABLE_SHEET_HEAD_H

#include "format/table/sheet.h"

/* Sets form, delimiter, columns, bom and crlf of t, and begin and line_no of each head. */
int sheet_heads_read(struct sheet *t, struct sheet_head *head, uint32_t count,
                     struct error *e) FALLIBLE;

#endif
