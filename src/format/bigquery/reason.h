/* reason.h -- why a call or a job failed, in BigQuery's words.
 *
 * Why: clients decide by errors[0].reason whether to try again, for ten minutes and more. Only what may pass by
 * itself gets a reason that they retry (backendError).
 *
 * Shape:   a code of error.h and where it happened give the reason and the HTTP status.
 * Threads: none; constant tables.
 * Source:  https://cloud.google.com/bigquery/docs/error-messages; google-cloud-bigquery, retry.py and job/base.py
 */
#ifndef TRANCHE_FORMAT_BIGQUERY_REASON_H
#define TRANCHE_FORMAT_BIGQUERY_REASON_H

#include "base/error.h"
#include "base/str.h"

enum bq_where {
    BQ_IN_CALL, /* a resource, a body, a parameter of the call */
    BQ_IN_QUERY /* SQL, while it is read or runs */
};

struct bq_reason {
    int http;
    const char *reason;   /* "invalidQuery" */
    const char *location; /* "query"; NULL: none */
};
struct bq_reason bq_reason_of(const struct error *e, enum bq_where where);
/* A reason that a job of BigQuery may end with, by its name in any case; NULL: there is none of this name. */
const struct bq_reason *bq_reason_find(struct str name);

#endif
