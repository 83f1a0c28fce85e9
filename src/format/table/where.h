/* where.h -- a small condition on a row's cells: which rows a run takes.
 *
 * Why: a first look at a table is a look at some of its rows. The grammar is small on purpose: it compares
 * a column with a constant, and nothing in it can fail for a row.
 *
 * In:      condition  = and { "or" and } ;  and = not { "and" not } ;
 *          not        = "not" not | "(" condition ")" | comparison ;
 *          comparison = column ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) ( number | 'text' )
 *                     | column "contains" 'text'
 *                     | column [ "not" ] "in" "(" constant { "," constant } ")"
 *                     | column "is" [ "not" ] ( "null" | "empty" ) ;
 *          column     = a word of letters, digits, _ and bytes over 127, or "any name" ;
 *          "" in a name and '' in a text stand for one. Words in quotes here are read in either case.
 * Meaning: with a number, both sides are numbers, and a cell that is none is not chosen. With a text, both
 *          are compared byte by byte; null is the empty text then, and only `is null` tells them apart.
 * Errors:  INVALID_ARGUMENT with the position; NOT_FOUND for a column, with the nearest name.
 * Threads: any number may test rows by one condition.
 * Source:  docs/reference/tables.md, "--where".
 */
#ifndef TRANCHE_FORMAT_TABLE_WHERE_H
#define TRANCHE_FORMAT_TABLE_WHERE_H

#include "format/table/cells.h"

#define WHERE_DEPTH_MAX 32
#define WHERE_BYTES_MAX 65536

struct where; /* one condition; in the arena it was read with */
struct where *where_read(struct arena *a, struct str text, const struct columns *c,
                         struct error *e) FALLIBLE;
/* cell: one for each column. */
bool where_chooses(const struct where *w, const struct cell *cell);

#endif
