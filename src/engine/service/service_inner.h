/* service_inner.h -- what the files of the service share: its tables, its runners, its folders.
 *
 * Why: scheduling (scheduler.h), checking (check.c), running (runner.c, output.c) and live figures
 * (live.c) are one idea each over the same tables. Nothing outside src/engine/service/ includes this.
 *
 * Locks:   struct service.lock guards what stands below it; no store call is made under it, and of the
 *          hub only those that never wait.
 * Threads: named at each function.
 */
#ifndef TRANCHE_ENGINE_SERVICE_SERVICE_INNER_H
#define TRANCHE_ENGINE_SERVICE_SERVICE_INNER_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/chan.h"
#include "engine/lines/pipeline.h"
#include "engine/service/limits.h"
#include "engine/service/probe.h"
#include "engine/service/scheduler.h"
#include "engine/service/service.h"
#include "store/objects/blob.h"
#include "store/tables/tables.h"

#define SERVICE_PATH_BYTES 4096
#define ERROR_LINES_MIN 100    /* before a job's error limit is looked at, where it does not say */
#define SESSION_FAILURES_MAX 3 /* in a row without a line done; then the job fails */
#define RETRY_CHAIN_MAX 100    /* retries of retries that were ended before they began */
#define HUBS_MAX 256
/* A smaller input is read again faster than what was learnt of it is synced. */
#define INDEX_INPUT_MIN ((uint64_t)1024 * 1024)
#define SWEEP_EVERY_NS (3600 * NS_PER_S)
#define REPLACED_LOOK_MS 500 /* between looks whether a replaced model may be closed */

struct hub_entry {
    const struct model
        *model;         /* held, as env.model gave it: the first one that asked for the hub */
    struct model *base; /* the hub's: without adapters, which each job and call brings along */
    uint32_t users;     /* threads between service_hub and service_hub_done */
    char name[MODEL_NAME_BYTES];
    struct hub *hub;
};

struct service {
    struct service_env env;
    struct upstream_servers *servers;
    struct limits *limits; /* of a fleet; else NULL, as is probe */
    struct probe *probe;
    pthread_t scheduler;
    bool unread;       /* the scheduler's: the store did not answer when it last read */
    struct chan *wake; /* holds something: the scheduler is to look */
    atomic_bool halt;  /* set with draining: checkers give up soon */
    struct tables_cancel table_cancel; /* of their queries; asked with halt */
    pthread_mutex_t lock;              /* guards all below */
    struct service_settings set;
    struct entry *entry; /* in order of ids */
    size_t entry_count;
    int64_t *dirty; /* ids to be read again */
    size_t dirty_count;
    struct hub_entry hub[HUBS_MAX];
    uint32_t hub_count;
    bool replaced;        /* a model of hub[] was replaced: a checker tries to close its hub */
    uint64_t replaced_ns; /* deadline (base/thread.h): then */
    pthread_t *checker;   /* checker_count threads */
    uint32_t checker_count;
    pthread_cond_t check_wake; /* checkers wait here */
    uint64_t sweep_ns;         /* monotonic; when a checker is to sweep next */
    bool draining, stopping;
    /* In a fleet (keeper.c): */
    pthread_t keeper;
    pthread_cond_t keeper_wake;
    bool leaving; /* the keeper is to end the lease and return */
    bool away;    /* the lease is lost, and nothing new begins before there is another one */
    uint64_t
        look_ns; /* of the system's monotonic clock: when the scheduler is to look around again; */
    uint64_t looked_ns; /* it did then; 0: never */
    uint64_t turns;     /* of the scheduler's loop */
    uint64_t turn_ns;   /* of the system's monotonic clock, at the last one; 0: none yet */
};

/* ---- Any thread ---- */
static inline int64_t service_now_us(const struct service *s)
{
    return s->env.clock->wall_us(s->env.clock);
}
static inline uint64_t service_now_ns(const struct service *s)
{
    return s->env.clock->mono_ns(s->env.clock);
}
/* Closes the models that a reload has replaced and nobody uses any more. May wait. */
void service_close_replaced(struct service *s);
/* DIR/jobs/ID/name; name NULL: the folder. */
void job_path(const struct service *s, char out[SERVICE_PATH_BYTES], int64_t id, const char *name);
bool job_failures_left(const struct job *j); /* final, and some lines have no answer */
/* Opens a job's input by its pins; FAILED_PRECONDITION when it has none. */
int job_input_open(struct service *s, struct arena *a, int64_t id, struct input *in,
                   struct error *e) FALLIBLE;
/* The path of the index of the job's lines; NULL for a small input, which has none. */
const char *job_index_path(const struct service *s, struct arena *a, const struct input *in,
                           int64_t id);
/* A model that env.model gave is not used any more; NULL: none was. Never waits. */
void service_model_done(struct service *s, const struct model *m);
/* The model that a job's model name means now, until service_model_done; NULL with NOT_FOUND. */
const struct model *job_model(struct service *s, struct arena *a, const struct job *j,
                              struct error *e);
/* The rules for its lines, the same for the check and each stretch of running. */
struct line_rules job_rules(const struct job *j);
/* The form of its rows. */
enum row_style job_row_style(const struct job *j);
/* The judge of the job's requests: a share of its model, to be closed. NULL and 0 when the model takes
 * only whole jobs: its batch service judges them. */
int job_judge(struct service *s, struct arena *a, const struct job *j, struct predictor **out,
              struct error *e) FALLIBLE;
/* The job's share of its model, under its project's weight, scripted when the service is. turn: of the job's shares,
 * the lowest one goes first. */
struct predictor *job_predictor(struct service *s, struct arena *a, const struct job *j,
                                uint64_t turn, struct error *e);

/* ---- A checker's thread (check.c) ---- */
void *check_run(void *arg); /* the service */
/* ---- A runner's thread (runner.c) ---- */
void *runner_run(void *arg); /* the struct running */

/* ---- In a fleet ---- */
/* The keeper's thread (keeper.c), which renews the lease of this process until s->leaving. */
void *keeper_run(void *arg); /* the service */
/* A runner's thread (fleet_runner.c), which answers shards of its job as long as there are any. */
void *fleet_run(void *arg); /* the struct running */
/* As service_results and so on, of a job without a result (fleet_rows.c). */
int fleet_results(struct service *s, const struct job *j, uint64_t *bytes,
                  struct error *e) FALLIBLE;
int fleet_results_done(struct service *s, const struct job *j, uint64_t *bytes,
                       struct error *e) FALLIBLE;
struct rows_answered;
int fleet_rows_answered(struct service *s, const struct job *j, const struct rows_answered *to,
                        uint64_t *total, struct error *e) FALLIBLE; /* as rows_each_answered */
void fleet_rows_sweep(struct service *s); /* removes copies of what is gone or has ended */
int fleet_line_errors(struct service *s, const struct job *j, uint64_t *bytes,
                      struct error *e) FALLIBLE;

/* ---- The end of a job (output.c), on its runner's thread ---- */
/* The state of a job that was cancelled or has expired, its error, and that of each line that is not run. */
enum job_state job_ends_as(enum stop_reason why);
void job_set_reason(struct job *j, enum job_state to);
void job_not_run(enum stop_reason why, struct error *e);
/* The finished output at DIR/jobs/ID/output.jsonl, whose bytes `seen` has, becomes a blob. */
int job_output_take(struct service *s, int64_t id, struct blob_hasher *seen, struct blob *out,
                    struct error *e) FALLIBLE;
/* A finished file of the job's folder becomes a blob. */
int job_file_take(struct service *s, const char *path, struct blob *out, struct error *e) FALLIBLE;
/* Moves j to `to`. output: all its rows; NULL: there are none. */
int job_output_finish(struct service *s, struct arena *a, struct job *j, enum job_state to,
                      const struct blob *output, struct error *e) FALLIBLE;
/* Moves j to FAILED, because its table cannot be made, and keeps the finished output, this blob, as its result. */
int job_output_keep(struct service *s, struct job *j, int64_t rows, struct str table,
                    const struct error *why, struct error *e) FALLIBLE;
/* Moves j to FAILED with this error, without an output. */
int job_output_fail(struct service *s, struct job *j, const struct error *why,
                    struct error *e) FALLIBLE;

/* The weight of a project at every model. */
double weight_of(const struct service_settings *set, const char *project);

#endif
