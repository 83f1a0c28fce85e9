/* job_calls.h -- what the job handlers of both dialects share: whose job a path means, how one is made,
 * shown and listed.
 *
 * Why: a job is found only under the paths of its own dialect, project and location, whatever was
 * asked of it; that rule stands once, and what a client may not see is NOT_FOUND.
 *
 * Shape:   a Vertex path is .../projects/P/locations/L/batchPredictionJobs/ID or, in express mode,
 *          .../batchPredictionJobs/ID; a Gemini path .../batches/ID.
 * Threads: handlers run on any worker; a call has one.
 * Source:  docs/reference/api.md
 */
#ifndef TRANCHE_API_JOBS_JOB_CALLS_H
#define TRANCHE_API_JOBS_JOB_CALLS_H

#include "api/call.h"
#include "format/job/gemini.h"

/* Where a call's path stands. */
struct job_place {
    const char *project;  /* of a new job */
    const char *scope;    /* whose jobs are seen; NULL: of any project */
    const char *location; /* NULL: any ("-" in a list call, or a path that names none) */
};
/* PERMISSION_DENIED in Google's words when the project is another's; the `global` location is refused.
 * verb: "create", "list", ... */
int job_place(struct call *c, const char *verb, struct job_place *out, struct error *e) FALLIBLE;

/* The job that the path's last parameter names; NOT_FOUND when it is not to be seen here. */
int job_of_path(struct call *c, struct job *out, struct error *e) FALLIBLE;

/* Makes a job that its dialect's reader has filled and whose model exists, or finds the one that was
 * made with the same request id. inlined: the lines of inline requests, or empty. ALREADY_EXISTS when
 * that one is another job; RESOURCE_EXHAUSTED when the project has too many. */
int job_submit(struct call *c, struct job *j, const struct job_place *at, struct str inlined,
               struct error *e) FALLIBLE;

/* What both dialects refuse in the same words: the cancelling of a job that is final, the deleting of one
 * that is not (FAILED_PRECONDITION). */
int job_cancel_asked(struct call *c, struct job *j, struct error *e) FALLIBLE;
int job_delete_asked(struct call *c, const struct job *j, struct error *e) FALLIBLE;

/* Answers with the job as its dialect's resource; a finished inline job's responses are streamed. */
void job_reply(struct call *c, const struct job *j);
/* One job of a list, or what stands where its responses are not wanted. */
void job_write(struct call *c, const struct job *j, struct str mask, enum gemini_form form,
               struct buf *out);

/* Answers with a page of jobs: pageSize, pageToken, filter, readMask. */
struct job_page {
    struct job_place at;
    enum dialect dialect;
    const char *name; /* of the list in the reply */
    uint64_t size_default;
};
void job_list_reply(struct call *c, const struct job_page *p);

/* The handlers that are the same in both dialects. */
void job_get_call(struct call *c);
void job_cancel_call(struct call *c);

#endif
