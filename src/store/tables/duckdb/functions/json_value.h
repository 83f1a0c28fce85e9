/* json_value.h -- JSON in calls: read an argument, write a result as BigQuery keeps JSON.
 *
 * Shape:   a value of the type JSON has its members in the order of their names, each name once, whole FLOAT64
 *          numbers as 1.0, and no white space.
 * Threads: none.
 */
#ifndef TRANCHE_STORE_TABLES_DUCKDB_FUNCTIONS_JSON_VALUE_H
#define TRANCHE_STORE_TABLES_DUCKDB_FUNCTIONS_JSON_VALUE_H

#include "base/json.h"
#include "store/tables/duckdb/functions/call.h"

/* Lives until the row is done. NULL: no JSON. */
yyjson_val *json_argument(struct call *c, uint32_t i);
yyjson_val *json_read(struct call *c, struct str text);
/* In the order of the type JSON (sorted), or as it stands. */
void json_put(struct buf *out, yyjson_val *v, bool sorted);
/* As the result, JSON. */
enum call_outcome out_json(struct call *c, yyjson_val *v);

#endif
