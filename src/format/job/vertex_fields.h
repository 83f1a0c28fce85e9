/* vertex_fields.h -- the BatchPredictionJob's fields, and which of them a job keeps.
 *
 * Why: the body is checked by this table, the spec is written in its order, and the resource echoes
 * the spec.
 *
 * Threads: none; the tables are constant.
 * Source:  aiplatform v1 and v1beta1, BatchPredictionJob.
 */
#ifndef TRANCHE_FORMAT_JOB_VERTEX_FIELDS_H
#define TRANCHE_FORMAT_JOB_VERTEX_FIELDS_H

#include "format/job/resource.h"

extern const struct message vertex_job_message;
/* Names of the fields that are in a spec, in their order; NULL at the end. */
extern const char *const vertex_spec_fields[];

#endif
