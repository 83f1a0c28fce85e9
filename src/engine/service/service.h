/* service.h -- the scheduler: takes jobs from the store, checks, runs, ends them; and online calls.
 *
 * Why: the api only writes requests into the store and wakes this; whatever happens to a job happens
 * here, so that a restart finds every job where it was.
 *
 * Data:    PENDING -> checker: inputs resolved and pinned, every line validated -> QUEUED -> the
 *          scheduler's choice -> runner (a thread a running job): ingest -> pipeline over a share of
 *          the model's hub -> finished output -> job_finish.
 * Choice:  of the queued jobs of a model: the project with the fewest running for its weight, then
 *          priority, then age. A project that has more than its share while another waits gives
 *          back its youngest job, which goes on later where it was.
 * Fleet:   in a store that several processes share, each schedules all open jobs, and leases shards of those that it
 *          runs (fleet_runner.c). It stops them when its own lease cannot be renewed (keeper.c).
 * Threads: one scheduler, `checkers` checkers, a runner a running job; calls from any thread.
 * Errors:  a job's failure is its own; the service goes on. A full disk stops the job QUEUED and is
 *          tried again after FULL_RETRY_S.
 */
#ifndef TRANCHE_ENGINE_SERVICE_SERVICE_H
#define TRANCHE_ENGINE_SERVICE_SERVICE_H

#include "engine/lines/retry.h"
#include "format/job/job.h"
#include "predict/hub/hub.h"
#include "predict/upstream/server.h"
#include "store/jobs/jobs.h"

#define SERVICE_WEIGHTS_MAX 256
#define FULL_RETRY_S 30

struct project_weight {
    char project[PROJECT_BYTES];
    double weight;
};
/* Settings that can be changed while it runs (service_set). */
struct service_settings {
    uint64_t lines_max;              /* of a job */
    uint64_t input_bytes_max;        /* of a job */
    uint32_t queue_hours, run_hours; /* a job expires after these */
    uint32_t paused_hours;           /* and so does a paused one after these */
    uint32_t running_max;            /* jobs of a model at once */
    uint32_t queued_max;             /* open jobs of a project */
    uint32_t in_flight_max;          /* requests of one job; 0: the model's */
    uint32_t drain_ms;
    uint32_t online_deadline_ms; /* of an online call */
    uint32_t file_hours;         /* lifetime of a generated file */
    uint64_t keep;               /* bytes of kept answers of a project; 0: none are kept */
    struct retry_rules retry;
    struct project_weight weight[SERVICE_WEIGHTS_MAX];
    uint32_t weight_count;
};

struct tables;
struct service_env {
    struct store *store;
    struct tables *tables; /* what bq:// names; NULL: none */
    struct clock *clock;
    /* The model that a name means in a project, or NULL with NOT_FOUND. It stays until model_done was called as often as it was
     * given. Two pointers are two models, with a session each. */
    const struct model *(*model)(void *arg, const char *project, const char *name, struct error *e);
    void (*model_done)(void *arg,
                       const struct model *m); /* NULL: models stay as long as the service */
    /* Can `model` still give this one? NULL: always. A model that it cannot give any more is closed when
     * its last job and call have ended. */
    bool (*current)(void *arg, const struct model *m);
    void *arg;
    predictor_open_fn open;
    const char *state_dir;
    uint64_t seed;
    /* The store is one that several processes share: the name that operators see of this one. NULL: this process alone
     * works on the store. */
    const char *fleet;
    bool idle;         /* in a fleet: others work on the jobs, and this process only serves calls */
    bool scripted;     /* requests may carry scripts (script.h) */
    uint32_t checkers; /* 0: one a core */
};
struct service;
/* Recovers what a crash left, then starts the threads. */
struct service *service_start(const struct service_env *env, const struct service_settings *set,
                              struct error *e);
void service_set(struct service *s, const struct service_settings *set);
void service_settings(struct service *s, struct service_settings *out);
/* No new work is begun; running jobs give back what is done and are QUEUED. Returns when all stand
 * still. */
void service_drain(struct service *s);
void service_free(struct service *s); /* drains first; accepts NULL */
void service_wake(struct service *s); /* a job was created, or something was asked of it */

/* The live facts of a job; fields that are not known are zero. */
void service_live(struct service *s, const struct job *j, struct job_live *out);

/* All rows that are durable, in input order, also behind lines that are open: as service_results, but a file
 * made for this call, which reads the job's input. */
int service_results_done(struct service *s, const struct job *j, uint64_t *bytes,
                         struct error *e) FALLIBLE;
/* The rows that a job has finished so far, in input order, in its own output's form: a descriptor of an
 * unfinished or finished file, and its bytes (whole rows only). NOT_FOUND before the first row. */
int service_results(struct service *s, const struct job *j, uint64_t *bytes,
                    struct error *e) FALLIBLE;
/* The bad lines of its input as JSON lines {"line","offset","path","message"}: as above. */
int service_line_errors(struct service *s, const struct job *j, uint64_t *bytes,
                        struct error *e) FALLIBLE;

/* A job that runs again what failed or was not run in `id` (a final job that has such lines), whose
 * output has the answers of both. *out is the new job. */
int service_retry(struct service *s, struct arena *a, const char *project, int64_t id,
                  struct job *out, struct error *e) FALLIBLE;
/* Removes a final job, its folder and blobs. */
int service_delete(struct service *s, const char *project, int64_t id, struct error *e) FALLIBLE;

/* An online call on the model of that name: hub_ask with the project's weight and the service's
 * deadline. script: as script.h, or NULL. */
struct online {
    const char *model, *project;
    const struct request *request;
    const char *script;
    bool counts;       /* tokens only, as hub_call has it */
    const void *owner; /* for service_drop; or NULL */
    void (*done)(void *arg, struct answer *a);
    void (*released)(void *arg);
    void *arg;
};
int service_ask(struct service *s, const struct online *o, struct error *e) FALLIBLE;
/* Nobody waits for the answers of this owner's calls any more. */
void service_drop(struct service *s, const void *owner);
/* The servers that models are answered by. */
struct upstream_servers *service_upstreams(struct service *s);
/* These are known from now on, though nothing asked them yet. Others go with their last session. */
void service_upstreams_set(struct service *s, const struct upstream *u, uint32_t count);
/* Number of turns of the scheduler's loop: it grows several times a second, unless something holds it up. */
uint64_t service_turns(struct service *s);
/* Has the scheduler turned in the last SERVICE_STILL_MS? Else no job is begun or ended. */
#define SERVICE_STILL_MS 10000
bool service_moves(struct service *s);
/* Sets the metrics of jobs that are not final. */
void service_measure(struct service *s);
/* Sets the metrics of the queue over the whole store, and of the processes that share it. Reads the store. */
void service_measure_queue(struct service *s);
/* Each loaded model: for /metrics. */
void service_models(struct service *s,
                    void (*fn)(void *arg, const char *model, const struct hub_stats *st),
                    void *arg);

#endif
