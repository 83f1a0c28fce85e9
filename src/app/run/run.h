/* run.h -- one `tranche run`, from the command line to a finished file, as a row of steps.
 *
 * Why: a run passes a dozen stages, each with failures of its own; in a row of steps each stands
 * alone, and the order is a table.
 *
 * Shape:   run_begin.c: open -> output -> check -> earlier -> state -> spool -> keep;
 *          run_end.c: work -> finish, summary, and what is remembered.
 * Errors:  a step's failure ends the program with the exit code of job.stage.
 * Threads: the main thread.
 */
#ifndef TRANCHE_APP_RUN_RUN_H
#define TRANCHE_APP_RUN_RUN_H

#include "app/cli/command.h"
#include "app/run/local_job.h"
#include "app/cli/progress.h"
#include "app/run/keep.h"
#include "app/run/known_input.h"
#include "app/run/state.h"
#include "app/run/summary.h"

struct run_options {
    const char *output, *model, *retry_failed, *config, *state, *log_format, *shard;
    const char *upstream, *dialect, *engine, *bigquery_endpoint;
    uint64_t max_in_flight, limit, max_rpm, max_tpm;
    struct rows_options rows;
    const char *max_age;
    bool strict, json, dry_run, fresh, no_keep, overwrite, quiet;
    const struct model *given; /* of `submit --to`: the model that answers */
    bool detach;               /* hand the job over, and don't wait for it */
};

struct run {
    const struct run_options *o;
    const char *const *path; /* the inputs as given */
    uint32_t path_count;
    struct local_job job;
    struct input old_input; /* --retry-failed with INPUT: the earlier output */
    struct ingest_result old;
    const char *output;      /* as given */
    const char *output_path; /* absolute, or "-" */
    const char *render_path; /* where it is made: not itself while it is still the input */
    bool streams;            /* the output is not a file */
    bool to_table;           /* it is a table of BigQuery */
    char command
        [LOCAL_JOB_NAME_BYTES]; /* digest of inputs' paths and model: whose output may be replaced */
    char version[128];          /* of the predictor, which the pipeline closes */
    struct state state;
    struct known_input known;
    struct keeping keeping;
    struct spool *spool;
    struct render *render;
    struct progress_view view;
    char title[512];
    struct summary summary;
    uint64_t bad_count, warned_count; /* bad lines met so far, and lines with warnings */
    struct buf bad_text; /* the first of them: shown when the run really works or stops on them */
    enum exit_code code;
};

/* A step gives STEP_NEXT, STEP_END when there is nothing more to do, or -1. */
enum { STEP_NEXT = 0, STEP_END = 1 };

int run_step_open(struct run *r, struct error *e) FALLIBLE;
int run_step_output(struct run *r, struct error *e) FALLIBLE;
int run_step_check(struct run *r, struct error *e) FALLIBLE;
int run_step_earlier(struct run *r, struct error *e) FALLIBLE;
int run_step_state(struct run *r, struct error *e) FALLIBLE;
int run_step_spool(struct run *r, struct error *e) FALLIBLE;
int run_step_keep(struct run *r, struct error *e) FALLIBLE;
int run_step_work(struct run *r, struct error *e) FALLIBLE;
int run_step_finish(struct run *r, struct error *e) FALLIBLE;

/* All steps; releases r. */
enum exit_code run_all(struct run *r);

/* Says why it ended and how to go on; sets r->code. */
void run_report_failure(struct run *r, const struct error *e);

#endif
