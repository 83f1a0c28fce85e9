/* parameter.h -- the parameters of a query as the API takes them: queryParameters.
 *
 * Shape:   {"name", "parameterType": {"type", "arrayType", "structTypes"}, "parameterValue": {"value",
 *          "arrayValues", "structValues"}} becomes a field and a cell.
 * Errors:  INVALID_ARGUMENT: an unknown type, a value that is not of its type, more than
 *          BQ_PARAMETERS_MAX, named and unnamed ones together.
 * Threads: none. Everything lives in the arena.
 * Source:  https://cloud.google.com/bigquery/docs/reference/rest/v2/QueryParameter
 */
#ifndef TRANCHE_FORMAT_BIGQUERY_PARAMETER_H
#define TRANCHE_FORMAT_BIGQUERY_PARAMETER_H

#include "format/bigquery/cell.h"

#define BQ_PARAMETERS_MAX 10000

struct bq_parameters {
    struct bq_parameter *item;
    uint32_t count;
};
/* list: may be NULL. */
int bq_parameters_read(yyjson_val *list, struct arena *a, struct bq_parameters *out,
                       struct error *e) FALLIBLE;

#endif
