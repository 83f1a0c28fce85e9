/* local_job.h -- what `run` and `validate` begin with: configuration, model, input, predictor, ingest.
 *
 * Why: both must judge an input in exactly the same way, and a usage error must come before a
 * model is loaded.
 *
 * Shape:   the steps are called in the order below; each sets local_job.stage, which says how its failure
 *          ends the program (local_job_exit).
 * Errors:  in the user's words.
 * Threads: the main thread.
 * Owns:    all that it opened; local_job_release.
 */
#ifndef TRANCHE_APP_RUN_LOCAL_JOB_H
#define TRANCHE_APP_RUN_LOCAL_JOB_H

#include "app/cli/command.h"
#include "app/config/config.h"
#include "app/cli/terminal.h"
#include "app/run/bigquery_tables.h"
#include "app/run/engine_tables.h"
#include "app/run/rows.h"
#include "engine/lines/ingest.h"
#include "engine/lines/input.h"
#include "engine/lines/slice.h"
#include "predict/predictor.h"

struct local_job {
    struct terminal terminal;
    struct config config;
    const struct model *model;
    const char *model_name;          /* as asked for */
    const struct rows_options *rows; /* NULL: the input is not a table */
    const char *state_root;
    struct input input;
    struct slice slice;          /* the part of the input that this job has; count 0: all */
    struct sheet sheet;          /* of an input that is a table */
    struct engine_tables tables; /* Parquet and DuckDB */
    struct bigquery_tables bigquery;
    struct predictor *predictor; /* until the pipeline takes it */
    struct ingest_options rules; /* without the predictor */
    struct ingest_result ingest;
    struct arena arena; /* paths and names */
    enum exit_code stage;
};

/* The options' values; NULL and 0 where they are not given. */
struct local_options {
    const char *model, *config, *state;
    const char *upstream, *dialect, *engine;
    uint64_t max_rpm, max_tpm;
    const char *bigquery_endpoint;
    uint64_t limit;                  /* rows that are needed of an input; 0: all */
    const char *shard;               /* "3/64" */
    bool fresh;                      /* tables are read anew */
    const struct model *given;       /* answers, whatever the configuration says */
    const struct rows_options *rows; /* NULL, or without a prompt: the input's lines are requests */
};
int local_job_config(struct local_job *j, const struct local_options *w, struct error *e) FALLIBLE;
/* output: its path, which chooses its form when the input is a table; or NULL. */
int local_job_input(struct local_job *j, const char *const *paths, uint32_t count,
                    const char *output, struct error *e) FALLIBLE;
/* Names the command by its inputs and its model: their content may change, and so may a limit, as from a
 * canary to the whole. After local_job_input. */
#define LOCAL_JOB_NAME_BYTES 33
void local_job_name(const struct local_job *j, const char *upstream,
                    char out[LOCAL_JOB_NAME_BYTES]);
/* A model that takes only whole jobs has none. */
int local_job_predictor(struct local_job *j, struct error *e) FALLIBLE;
/* rules.limit, .on_bad and so on may be set before. An input without lines is an error. known: what an earlier
 * run learnt is taken from there, and what this one learns can be kept; NULL: neither. */
struct known_input;
int local_job_ingest(struct local_job *j, struct known_input *known, struct error *e) FALLIBLE;
void local_job_release(struct local_job *j);

/* The exit code of a failure at this stage. */
enum exit_code local_job_exit(enum exit_code stage, enum error_code code);

#endif
