/* filter.h -- the filter language of list calls (AIP-160, as far as the service knows it).
 *
 * Shape:   display_name = "x" AND (state="JOB_STATE_RUNNING" OR NOT labels.team:*) ...; fields
 *          display_name, model_display_name, state, create_time, update_time, labels.K; both
 *          spellings; operators = != : < <= > >=; `:` with * wildcards; AND binds less than OR, as in
 *          AIP-160; a space alone is AND.
 * Errors:  INVALID_ARGUMENT with the position and what was expected.
 * Limits:  FILTER_BYTES_MAX, FILTER_DEPTH_MAX.
 * Threads: none.
 * Source:  https://google.aip.dev/160; aiplatform's JobServiceClient.list_batch_prediction_jobs.
 */
#ifndef TRANCHE_FORMAT_JOB_FILTER_H
#define TRANCHE_FORMAT_JOB_FILTER_H

#include "base/mem.h"
#include "format/job/job.h"

#define FILTER_BYTES_MAX 4096
#define FILTER_DEPTH_MAX 32

struct filter;
/* NULL on an error; an empty text gives a filter that keeps all. */
struct filter *filter_parse(struct arena *a, struct str text, struct error *e);
bool filter_keeps(const struct filter *f, const struct job *j);

#endif
