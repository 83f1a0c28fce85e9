/* jobs.h -- the records of batch jobs, and the only way to change them.
 *
 * Why: whatever happens to a job is one row in one transaction, so a crash leaves a state that the
 * next start understands. A change names the state it is from and is refused when the states' table
 * forbids it (I3); what a runner writes names its fence and is refused when another has it (I4).
 *
 * Shape:   each change of state also appends an event, and a delivery for each webhook that wants it
 *          (webhooks.h), in the same transaction.
 * Errors:  NOT_FOUND; FAILED_PRECONDITION when the state forbids it; ABORTED when the fence is an old
 *          one; ALREADY_EXISTS only where said.
 * Threads: all.
 */
#ifndef TRANCHE_STORE_JOBS_JOBS_H
#define TRANCHE_STORE_JOBS_JOBS_H

#include "format/job/job.h"
#include "store/objects/blob.h"
#include "store/objects/objects.h"
#include "store/store.h"

/* Takes id (when 0), batch (when "" and the dialect is Gemini's), create_us and update_us upon
 * itself and writes them into j, state PENDING. When the project has a job with the same request_id
 * already, *j becomes that one and *existed is true. terms: NULL for none. */
struct job_terms {
    int64_t inline_blob; /* the file of the inline requests, which then belongs to the job; or 0 */
    uint32_t open_max; /* RESOURCE_EXHAUSTED when the project has as many open jobs; 0: no limit */
};
int job_create(struct store *s, struct arena *a, struct job *j, const struct job_terms *terms,
               bool *existed, struct error *e) FALLIBLE;

/* 1, or 0 when there is none. project NULL: of any project. */
int job_get(struct store *s, struct arena *a, const char *project, int64_t id, struct job *out,
            struct error *e) FALLIBLE;
int job_get_batch(struct store *s, struct arena *a, const char *project, const char *batch,
                  struct job *out, struct error *e) FALLIBLE;

/* The newest first, those older than id `before` (0: from the newest). keep (NULL: all) says which
 * count; the walk ends after `most` of them (at most JOB_QUERY_MAX), or after JOB_WALK_MAX jobs of
 * any kind: then `more` is true with fewer than `most`, even none, and the next page begins before
 * `last`. project, location NULL: any. */
#define JOB_QUERY_MAX 1000
#define JOB_WALK_MAX 100000
struct job_query {
    const char *project, *location;
    enum dialect dialect;
    int64_t before;
    uint32_t most;
    bool (*keep)(void *arg, const struct job *j);
    void *arg;
};
struct job_list {
    struct job *item;
    uint32_t count;
    bool more;    /* there may be others after the last */
    int64_t last; /* of a query: how far it walked; `before` of the next page */
};
int job_query(struct store *s, struct arena *a, const struct job_query *q, struct job_list *out,
              struct error *e) FALLIBLE;
/* All jobs that are not final, or that a client removed, the oldest first: the scheduler begins with these
 * and looks after them. */
int job_open_list(struct store *s, struct arena *a, struct job_list *out, struct error *e) FALLIBLE;
/* All jobs that run now, of every project. */
int job_running_list(struct store *s, struct arena *a, struct job_list *out,
                     struct error *e) FALLIBLE;

/* A client asks for a change of state. The state moves at once when nothing runs, else the request
 * stands in `asked` until the scheduler carries it out: a PENDING, QUEUED or PAUSED job without work
 * done becomes CANCELLED, any other one CANCELLING. Cancelling a final job is FAILED_PRECONDITION;
 * cancelling twice is fine. out: the job after the change. */
int job_cancel(struct store *s, struct arena *a, const char *project, int64_t id, struct job *out,
               struct error *e) FALLIBLE;
int job_pause(struct store *s, struct arena *a, const char *project, int64_t id, struct job *out,
              struct error *e) FALLIBLE;
/* As job_cancel, and a job that does not end at once is deleted when it has ended (ASKED_REMOVE). */
int job_remove(struct store *s, struct arena *a, const char *project, int64_t id, struct job *out,
               struct error *e) FALLIBLE;
struct job_resume {
    const char *project;
    int64_t id;
    const struct job_options *options; /* replace the job's (a larger budget); NULL: as they are */
};
int job_resume(struct store *s, struct arena *a, const struct job_resume *in, struct job *out,
               struct error *e) FALLIBLE;
/* A final job is FAILED_PRECONDITION (I3). */
struct job_patch {
    const char *project;
    int64_t id;
    const struct str *display_name; /* NULL: as it is */
    const int64_t *priority;        /* NULL: as it is */
};
int job_patch(struct store *s, struct arena *a, const struct job_patch *in, struct job *out,
              struct error *e) FALLIBLE;
/* Only a final job (else FAILED_PRECONDITION). Its output objects stay; its own blobs go. */
int job_delete(struct store *s, const char *project, int64_t id, struct error *e) FALLIBLE;

/* ---- For the scheduler and its runners ---- */

/* A blob that a job reads. The check of its input pins it, so that later changes of the objects do not
 * change the job. */
struct job_input {
    struct str name; /* "gs://bucket/object", "files/x" or "inline": for messages */
    int64_t blob;
    uint64_t bytes;
};
/* In a store that several processes share, an earlier check of the PENDING job writes nothing more from now on. Sets the
 * job's fence, which job_inputs_set, shards_add and job_checked name. */
int job_check_begin(struct store *s, struct job *j, struct error *e) FALLIBLE;
/* Replaces the inputs of a PENDING job. */
int job_inputs_set(struct store *s, const struct job *j, const struct job_input *in, uint32_t count,
                   struct error *e) FALLIBLE;
int job_inputs(struct store *s, struct arena *a, int64_t id, struct job_input **out,
               uint32_t *count, struct error *e) FALLIBLE;

/* PENDING -> QUEUED, with queue_us and what the check found (counters, bad, input_bytes, text_bytes,
 * output_max, output_unset of j); then to PAUSED when a client asked for that meanwhile. */
int job_checked(struct store *s, const struct job *j, struct error *e) FALLIBLE;
/* QUEUED -> RUNNING under a new fence, which it sets in j, with start_us and stretch_us. */
int job_begin(struct store *s, struct job *j, struct error *e) FALLIBLE;
/* Writes the counters, under the fence. */
int job_progress(struct store *s, const struct job *j, struct error *e) FALLIBLE;
/* RUNNING -> QUEUED or PAUSED (pause_reason of j), with j's counters, under the fence. A job that a
 * client asked to pause meanwhile is PAUSED. j's state is the new one. */
int job_yield(struct store *s, struct job *j, enum job_state to, struct error *e) FALLIBLE;

/* The end of a job, all or nothing: state, counters, figures, error, output and result of j, its output
 * object or generated file. From any state that may move to `to`. fence 0: it does not run. */
struct job_end {
    enum job_state to;
    const struct object_new *object; /* NULL: none */
    const struct file_new *file;     /* NULL: none */
};
int job_finish(struct store *s, struct job *j, const struct job_end *end, struct error *e) FALLIBLE;
/* At the start of a server: jobs (not in shards) whose process is gone become QUEUED, or PAUSED when a client asked for
 * that (CANCELLING stays, and can be ended with fence 0). Old fences are void. */
int job_recover(struct store *s, struct error *e) FALLIBLE;

/* Blobs that other processes need of a job besides its shards, by name. */
/* Its bad lines, as service_line_errors gives them. */
#define JOB_LINE_ERRORS_FILE "faults.jsonl"
/* The answers of a job that a state folder had: a spool, packed (objects/blob.h). Its next check cuts it, and gives
 * each shard its own. */
#define JOB_ANSWERS_FILE "answers"
int job_file_set(struct store *s, int64_t id, const char *name, const struct blob *b,
                 struct error *e) FALLIBLE;
/* 1, or 0 when there is none; id and bytes of *out. */
int job_file_get(struct store *s, int64_t id, const char *name, struct blob *out,
                 struct error *e) FALLIBLE;

/* The number of queued jobs of the same model that are taken before this one: 0 for the next. */
int job_position(struct store *s, const struct job *j, uint64_t *out, struct error *e) FALLIBLE;

/* The work that waits or is done now, of all processes: open jobs that are not PAUSED, by project and model. */
struct job_queue {
    struct str project, model;
    uint64_t lines;                      /* without an answer; of checked jobs */
    uint64_t shards_open, shards_leased; /* of jobs that are cut into shards */
    int64_t
        waits_us; /* create_us and ran_us of the PENDING or QUEUED job that has waited longest; 0: none waits */
};
int jobs_queue(struct store *s, struct arena *a, struct job_queue **out, uint32_t *count,
               struct error *e) FALLIBLE;

/* 1: a job that is not final goes on from this one's answers; 0: none does. */
int job_retried(struct store *s, int64_t id, struct error *e) FALLIBLE;

/* ---- Events ---- */

/* "job.created", "job.state" with the state, in order. */
struct event {
    int64_t seq;
    int64_t job;
    enum job_state state;
    int64_t time_us;
    char project[PROJECT_BYTES];
};
struct event_query {
    int64_t after;       /* a seq; 0: from the first event */
    const char *project; /* NULL: any */
    int64_t job;         /* 0: any */
    uint32_t most;       /* room in out */
};
int events_after(struct store *s, const struct event_query *query, struct event *out,
                 uint32_t *count, struct error *e) FALLIBLE;
int64_t events_last(struct store *s); /* seq of the newest; 0: none */
/* fn is called after a commit that changed a job, on the thread that did it, under no lock. One. */
void jobs_on_change(struct store *s, void (*fn)(void *arg, int64_t id), void *arg);

#endif
