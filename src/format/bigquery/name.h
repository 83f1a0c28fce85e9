/* name.h -- the names of tables: bq:// URIs, and the texts of errors.
 *
 * Why: batch jobs name their input and output as bq://project.dataset.table, an output perhaps only by its
 * project or dataset. A project may have a domain, with dots: "example.com:project".
 *
 * Shape:   the parts point into the text; parts that it lacks are empty.
 * Errors:  none; false when the text is no such URI. The caller says what it was looking for.
 * Threads: none.
 * Source:  BatchPredictionJob.InputConfig.bigquerySource; https://cloud.google.com/bigquery/docs/tables
 */
#ifndef TRANCHE_FORMAT_BIGQUERY_NAME_H
#define TRANCHE_FORMAT_BIGQUERY_NAME_H

#include <stdbool.h>

#include "base/str.h"

#define BQ_SCHEME "bq://"
#define BQ_ID_BYTES_MAX ((size_t)1024) /* of a dataset, of a table */

struct bq_name {
    struct str project, dataset, table;
};

bool bq_is(struct str uri); /* it begins with bq:// */
/* "bq://p", "bq://p.d" or "bq://p.d.t", with names that BigQuery allows. */
bool bq_split(struct str uri, struct bq_name *out);
void bq_add(struct buf *out, const struct bq_name *name); /* writes the URI */

#endif
