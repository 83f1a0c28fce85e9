/* client_job.h -- a job as the client commands see it: read from its resource, shown to people.
 *
 * Why: `jobs`, `get`, `watch` and `cost` show the same facts, and all but Google's own members may be
 * absent: what a service does not say is not shown.
 *
 * Shape:   texts lie in the arena of the answer.
 * Units:   money in nano-dollars; eta in nanoseconds.
 * Errors:  of the calls.
 * Threads: the main thread.
 * Source:  docs/reference/cli.md; aiplatform v1, BatchPredictionJob
 */
#ifndef TRANCHE_APP_CLIENT_CLIENT_JOB_H
#define TRANCHE_APP_CLIENT_CLIENT_JOB_H

#include "app/client/client.h"
#include "format/job/job.h"

struct job_view {
    struct str name, display_name, model, output;
    struct str state; /* without "JOB_STATE_" */
    struct str create_time, start_time, end_time;
    struct str error, pause_reason, retry_of;
    int64_t error_rpc;
    bool known;    /* state is one of `is` */
    bool detailed; /* it has the key "tranche": counters and the rest are exact */
    enum job_state is;
    struct counters counters;
    uint64_t bad, retries, in_flight, position;
    bool queued, has_eta;
    uint64_t eta_ns, eta_low_ns, eta_high_ns;
    uint64_t cost_estimate_nano, online_estimate_nano, tokens_estimate;
    double lines_per_s;
};
void job_view_read(yyjson_val *resource, struct job_view *out);
/* The digits that its name ends with. */
struct str job_view_id(const struct job_view *v);
/* PAUSED counts: it does nothing until a resume. */
bool job_view_ended(const struct job_view *v);
/* 0, 1 when some lines failed, 3 when its input is wrong, 4 when it ended before its time, 5. */
enum exit_code job_view_exit(const struct job_view *v);

/* The job that is meant: NULL is the newest; digits that begin or end the number of only one of the newest
 * JOBS_SEARCHED jobs are that one; all else is as it was given. */
#define JOBS_SEARCHED 1000
const char *client_job_id(struct client *c, const char *given, struct error *e);
/* The rows of a job that has ended into a file, by way of FILE.partial. */
int client_results_to(struct client *c, const char *id, const char *path, struct error *e) FALLIBLE;

/* One job; text, its resource as it came, may be NULL. */
int client_job(struct client *c, const char *url, struct arena *a, struct job_view *out,
               struct str *text, struct error *e) FALLIBLE;

/* Aligned "name  value" lines on standard output. */
void job_view_print(const struct job_view *v, const struct terminal *c);
/* One line: what it came to. */
void job_view_sum_up(const struct job_view *v, struct buf *out);

/* Polls until the job has ended, showing its progress; *out lies in the arena of c. The job's end is not
 * an error, however it ended. CANCELLED when the user stops watching, which the job survives. */
int client_watch(struct client *c, const char *id, struct job_view *out, struct error *e) FALLIBLE;

#endif
