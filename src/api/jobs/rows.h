/* rows.h -- a job's output rows by their number and by what they say; and files of some of them.
 *
 * Shape:   GET <job>:rows answers JSON: excerpts of the rows (or the rows, with view=full), how many match, and
 *          with facets=true the counts of all rows by status, label and cause.
 *          GET <job>:results with a filter or a format is a file of the matching rows.
 * Threads: handlers of routes that may wait.
 * Source:  docs/reference/api.md
 */
#ifndef TRANCHE_API_JOBS_ROWS_H
#define TRANCHE_API_JOBS_ROWS_H

#include "api/call.h"

void job_rows_call(struct call *c);
bool job_rows_file_asked(struct call *c); /* has the call a filter or a format? */
void job_rows_file_call(struct call *c);

#endif
