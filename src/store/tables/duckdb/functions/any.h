/* any.h -- a value of any type as text: for TO_JSON, TO_JSON_STRING and FORMAT's %t and %T.
 *
 * Threads: none.
 */
#ifndef TRANCHE_STORE_TABLES_DUCKDB_FUNCTIONS_ANY_H
#define TRANCHE_STORE_TABLES_DUCKDB_FUNCTIONS_ANY_H

#include "store/tables/duckdb/functions/call.h"

enum any_style {
    ANY_JSON, /* as TO_JSON_STRING: INT64 beyond 2^53 as texts, whole FLOAT64 without a point */
    ANY_JSON_TYPE, /* as TO_JSON: numbers stay numbers, 1.0 keeps its point */
    ANY_TEXT,      /* as FORMAT's %t */
    ANY_LITERAL    /* as FORMAT's %T: the value could stand in SQL so */
};

#define ANY_DEPTH_MAX 30

/* Argument i of the call, at its row. False: a type without a text, or too deep. */
bool any_argument(const struct call *c, uint32_t i, enum any_style style, struct buf *out);

#endif
