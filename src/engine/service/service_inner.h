/* service_inner.h -- what the files of the service share: its tables, its runners, its folders.
 *
 * Why: scheduling (schedule.c), checking (check.c), running (runner.c, job_output.c) and telling
 * (live.c) are one idea each over the same tables. Nothing outside src/engine/ includes this.
 *
 * Locks:   `lock` guards everything that is marked with it; no store or hub call is made under it.
 * Threads: named at each function.
 */
#ifndef TRANCHE_ENGINE_SERVICE_SERVICE_INNER_H
#define TRANCHE_ENGINE_SERVICE_SERVICE_INNER_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/chan.h"
#include "engine/service/live.h"
#include "engine/lines/pipeline.h"
#include "engine/service/service.h"
#include "store/objects/blob.h"

#define SERVICE_PATH_BYTES 4096
#define TICK_MS 250                           /* the scheduler looks at the time so often */
#define YIELD_AFTER_US ((int64_t)5 * 1000000) /* a job runs so long before it is asked to yield */
#define SESSION_FAILURES_MAX 3                /* in a row without a line done; then the job fails */
#define CLOSING_MAX 8                         /* jobs that are only being ended, at once */
#define RETRY_CHAIN_MAX 100 /* retries of retries that were ended before they began */
#define HUBS_MAX 256
/* A smaller input is read again faster than what was learnt of it is synced. */
#define INDEX_INPUT_MIN ((uint64_t)1024 * 1024)
#define SWEEP_EVERY_NS (3600 * NS_PER_S)

/* Why a running job is to stop. A later one does not replace an earlier. */
enum stop_reason { STOP_NONE, STOP_YIELD, STOP_PAUSE, STOP_CANCEL, STOP_EXPIRE, STOP_DRAIN };

/* A job that is not final, as the scheduler knows it. */
struct entry {
    int64_t id;
    enum job_state state;
    enum job_wish wish;
    char project[PROJECT_BYTES];
    const struct model *model; /* NULL: its name is not known any more */
    int64_t priority;
    int64_t create_us, queue_us, update_us, ran_us;
    int64_t retry_of;
    bool has_done;           /* some lines have ended */
    bool busy;               /* a checker or a runner has it */
    bool stale;              /* changed since it was read: nobody takes it until it is read again */
    uint32_t failures;       /* of its check or its model's session, in a row */
    uint64_t not_before_ns;  /* monotonic; after a full disk or a broken session */
    struct running *running; /* or NULL */
};

/* A runner. Owned by its entry; freed by the scheduler after the thread has been joined. */
struct running {
    struct service *service;
    int64_t id;
    pthread_t thread;
    atomic_bool stop;
    atomic_int reason; /* enum stop_reason */
    atomic_bool ended; /* the thread is about to return */
    bool closing;      /* no pipeline: only the end of a cancelled or expired job */
    uint32_t failures; /* as the entry's, before; the runner sets what is after */
    uint64_t retry_ns; /* when it may be tried again; 0: at once */
    int64_t began_us;
    struct live live; /* guarded by lock */
};

struct hub_entry {
    const struct model *model;
    char name[MODEL_NAME_BYTES];
    struct hub *hub;
};

struct service {
    struct service_env env;
    struct upstream_servers *servers;
    pthread_t scheduler;
    struct chan *wake;    /* holds something: the scheduler is to look */
    atomic_bool halt;     /* set with draining: checkers give up soon */
    pthread_mutex_t lock; /* guards all below */
    struct service_settings set;
    struct entry *entry; /* in order of ids */
    size_t entry_count, entry_cap;
    int64_t *dirty; /* ids to be read again */
    size_t dirty_count, dirty_cap;
    struct hub_entry hub[HUBS_MAX];
    uint32_t hub_count;
    pthread_t *checker; /* checker_count threads */
    uint32_t checker_count;
    pthread_cond_t check_wake; /* checkers wait here */
    uint64_t sweep_ns;         /* monotonic; when a checker is to sweep next */
    bool draining, stopping;
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
struct hub *service_hub(struct service *s, const char *model, const struct model **m,
                        struct error *e);
double service_weight(struct service *s, const char *project);
/* DIR/jobs/ID/name; name NULL: the folder. */
void job_path(const struct service *s, char out[SERVICE_PATH_BYTES], int64_t id, const char *name);
bool job_failures_left(const struct job *j); /* final, and some lines have no answer */
/* What a job's input is: opened by its pins; FAILED_PRECONDITION when it has none. */
int job_input_open(struct service *s, struct arena *a, int64_t id, struct input *in,
                   struct error *e) FALLIBLE;
/* Where what the check learnt of the job's lines is kept; NULL for a small input: it is not. */
const char *job_index_path(const struct service *s, struct arena *a, const struct input *in,
                           int64_t id);
/* What stands for a job's model name now; NULL with NOT_FOUND. */
const struct model *job_model(struct service *s, struct arena *a, const struct job *j,
                              struct error *e);
/* Who judges the job's requests: a share of its model, to be closed; NULL and 0 when the model takes
 * only whole jobs, as its far side judges them. */
int job_judge(struct service *s, struct arena *a, const struct job *j, struct predictor **out,
              struct error *e) FALLIBLE;
/* The job's share of its model, under its project's weight, scripted when the service is. */
struct predictor *job_predictor(struct service *s, struct arena *a, const struct job *j,
                                struct error *e);

/* Reads every open job into the table; before the threads begin. */
int schedule_load(struct service *s, struct error *e) FALLIBLE;
/* Reads every known job again. */
void schedule_all_dirty(struct service *s);

/* ---- The scheduler's thread (schedule.c) ---- */
void *schedule_run(void *service);
/* ---- A checker's thread (check.c) ---- */
void *check_run(void *service);
/* ---- A runner's thread (runner.c) ---- */
void *runner_run(void *running);
/* The next PENDING job for a checker, marked busy; 0 when there is none. Under lock. */
int64_t schedule_next_check(struct service *s);
struct entry *schedule_find(struct service *s, int64_t id); /* under lock; or NULL */
void schedule_dirty(struct service *s, int64_t id);         /* read it again; any thread */

/* ---- The end of a job (job_output.c), on its runner's thread ---- */
/* Moves j to `to` with the finished output at DIR/jobs/ID/output.jsonl, whose bytes `output` has seen;
 * NULL: there is none. */
int job_output_finish(struct service *s, struct arena *a, struct job *j, enum job_state to,
                      struct blob_hasher *output, struct error *e) FALLIBLE;
/* Moves j to FAILED with this error, without an output. */
int job_output_fail(struct service *s, struct job *j, const struct error *why,
                    struct error *e) FALLIBLE;
/* Where the output's directory goes: "gs://bucket/prefix/prediction-model-<time>"; empty for none. */
struct str job_output_dir(struct arena *a, const struct job *j);

#endif
