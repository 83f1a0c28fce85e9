/* jobs.h -- the job handlers of both dialects: a job is created, found, shown, listed, cancelled, deleted.
 *
 * Why: a job is found only under the paths of its own dialect, project and location. That rule stands
 * here once, and a job that the caller may not see is NOT_FOUND.
 *
 * Shape:   a Vertex path is .../projects/P/locations/L/batchPredictionJobs/ID or, in express mode,
 *          .../batchPredictionJobs/ID; a Gemini path is .../batches/ID. The functions named job_*_call
 *          are handlers of routes in both dialects.
 * Threads: handlers run on any worker; one thread handles a call.
 * Source:  docs/reference/api.md
 */
#ifndef TRANCHE_API_JOBS_JOBS_H
#define TRANCHE_API_JOBS_JOBS_H

#include "api/call.h"
#include "format/job/gemini.h"

/* The project and location that a call's path names. */
struct job_place {
    const char *project;  /* of a new job */
    const char *scope;    /* jobs of this project are visible; NULL: of every project */
    const char *location; /* NULL: any ("-" in a list call, or a path without a location) */
};
/* PERMISSION_DENIED in Google's words when the project is not the caller's; INVALID_ARGUMENT for the
 * location `global`. verb: "create", "list", ... */
int job_place(struct call *c, const char *verb, struct job_place *out, struct error *e) FALLIBLE;
enum dialect job_dialect(const struct call *c); /* of the call's route */

/* The job that the path's last parameter names; NOT_FOUND when the caller may not see it here. */
int job_of_path(struct call *c, struct job *out, struct error *e) FALLIBLE;
/* The same, and deletes it; FAILED_PRECONDITION while it is not final. */
int job_delete_of_path(struct call *c, struct job *j, struct error *e) FALLIBLE;

/* Reads the call's body into *j, whose strings live in the call's arena, and checks the model. The lines
 * of inline requests are appended to inlined. */
typedef int job_reader(struct call *c, struct job *j, struct buf *inlined, struct error *e);
void job_create_call(struct call *c, job_reader *reader);
void job_get_call(struct call *c);
void job_list_call(struct call *c); /* pageSize, pageToken, filter, readMask */
void job_cancel_call(struct call *c);

/* Answers with the job as its dialect's resource; the responses of a finished inline job are streamed. */
void job_reply(struct call *c, const struct job *j);
/* Appends one job: of a list, or of a reply that has no responses. */
void job_write(struct call *c, const struct job *j, struct str mask, enum gemini_form form,
               struct buf *out);

#endif
