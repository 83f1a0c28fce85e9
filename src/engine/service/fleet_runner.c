/* fleet_runner.c -- one job as this process of a fleet works on it: shards leased, given to slots, and the job's end. */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "base/thread.h"
#include "engine/service/fleet_job.h"
#include "engine/service/job_metrics.h"
#include "engine/service/table_output.h"
#include "store/fleet/fleet.h"

/* A slot without a shard looks for one again after this time, while the others have some. */
#define LOOK_AGAIN_MS 1000
/* A job for which nothing could be done is begun again here after this time. */
#define RETRY_NS (2 * NS_PER_S)
/* One shard is leased ahead of its turn for this number of open ones. */
#define OPEN_FOR_ONE_MORE 8

/* ---- Leasing ---- */

/* The shards of the job that nobody held at the last glance. */
static uint64_t open_shards(const struct fleet_job *f)
{
    struct service *s = f->service;

    lock(&s->lock);
    const struct entry *n = open_job_find(s, f->job.id);
    uint64_t open = n ? n->open : 0;
    unlock(&s->lock);
    return open;
}

/* Several at once save statements; at the end of a job the other processes must find some too. */
static uint32_t batch_size(const struct fleet_job *f)
{
    uint64_t most = open_shards(f) / OPEN_FOR_ONE_MORE;

    return most < 1 ? 1 : most < FLEET_BATCH ? (uint32_t)most : FLEET_BATCH;
}

/* Under f->lock. */
static void note_failure(struct fleet_job *f, bool of_model, const struct error *why)
{
    f->over = true;
    if (f->failed && !(of_model && !f->of_model))
        return;
    f->failed = true;
    f->of_model = of_model;
    f->error = *why;
}

/* Under f->lock: leases are few, and no slot can go on before it has one. */
static void lease_more(struct fleet_job *f)
{
    struct store *store = f->service->env.store;
    struct error e = { 0 };
    const struct shards_want want = { .job = f->job.id,
                                      .most = batch_size(f),
                                      .closing = fleet_closing(f),
                                      .model = f->model ? f->model->pattern : NULL,
                                      .weight = f->weight };
    struct shards_got got = { .item = f->next };

    assert(f->next_count == 0);
    if (shards_lease(store, &want, &got, &e) < 0) {
        note_failure(f, false, &e);
        return;
    }
    f->next_count = got.count;
    f->left = got.left;
    if (f->next_count == 0 && f->left != SHARDS_TAKEN && f->left != SHARDS_SOME)
        f->over = true;
}

static bool must_end(const struct fleet_job *f)
{
    return f->over || (fleet_stopped(f) != STOP_NONE && !fleet_closing(f));
}

/* The next shard for a slot; false: there is none for it any more. */
static bool take_shard(struct fleet_job *f, struct shard_lease *out)
{
    lock(&f->lock);
    while (!must_end(f) && f->next_count == 0) {
        lease_more(f);
        if (f->next_count || must_end(f))
            break;
        if (f->busy == 0)
            f->over = true; /* others have the rest */
        else
            (void)cond_wait_until(&f->changed, &f->lock, deadline_in_ms(LOOK_AGAIN_MS));
    }
    bool found = !must_end(f) && f->next_count > 0;
    if (found) {
        *out = f->next[0];
        memmove(&f->next[0], &f->next[1], --f->next_count * sizeof f->next[0]);
        f->busy++;
    }
    unlock(&f->lock);
    return found;
}

static void end_shard(struct fleet_job *f, enum shard_end end, enum shards_left left,
                      const struct error *e)
{
    lock(&f->lock);
    f->busy--;
    switch (end) {
    case SHARD_ENDED:
        f->left = left;
        if (left == SHARDS_NONE || (left == SHARDS_HALTED && !fleet_closing(f)))
            f->over = true;
        break;
    case SHARD_LOST:
        log_info("job %lld: a shard is lost: %s", (long long)f->job.id, e->msg);
        f->left = SHARDS_HALTED;
        f->over = true; /* the job or the process is not as it was */
        break;
    case SHARD_STORE_FAILED:
        note_failure(f, false, e);
        break;
    case SHARD_MODEL_FAILED:
        note_failure(f, true, e);
        break;
    }
    cond_broadcast(&f->changed);
    unlock(&f->lock);
}

static void *slot_run(void *arg)
{
    struct fleet_job *f = arg;
    struct shard_lease lease;

    while (take_shard(f, &lease)) {
        struct error e = { 0 };
        enum shards_left left = SHARDS_SOME;
        enum shard_end end = fleet_shard_run(f, &lease, &left, &e);
        end_shard(f, end, left, &e);
    }
    return NULL;
}

/* This thread is the first slot, so a thread that cannot be made only makes it slower. */
static void run_slots(struct fleet_job *f)
{
    pthread_t thread[FLEET_SLOTS];
    uint32_t count = 1;

    while (count < f->slots && pthread_create(&thread[count], NULL, slot_run, f) == 0)
        count++;
    (void)slot_run(f);
    for (uint32_t i = 1; i < count; i++)
        thread_join(thread[i]);
    assert(f->busy == 0);
}

/* Leased, but not begun. */
static void give_back_leases(struct fleet_job *f)
{
    for (uint32_t i = 0; i < f->next_count; i++) {
        struct shard_record r = { .step = SHARD_RELEASE, .counters = f->next[i].counters };
        struct error e;
        r.counters.total = f->next[i].cut.lines;
        if (shard_record(f->service->env.store, &f->next[i], &r, &f->left, &e) < 0)
            shard_forget(f->service->env.store, &f->next[i]);
    }
    f->next_count = 0;
}

/* ---- The end of the job ---- */

/* Lines are not run when the job was cancelled or has expired, whichever process said so of them. */
static enum job_state end_of(struct job *j)
{
    enum job_state to = j->state == JOB_CANCELLING ? JOB_CANCELLED : JOB_EXPIRED;

    if (j->counters.not_run == 0)
        return JOB_SUCCEEDED;
    job_set_reason(j, to);
    return to;
}

/* The rows into the job's table, which takes them once, whoever tries again. */
static int fill_table(struct fleet_job *f, const struct job *j, const struct blob *rows,
                      struct error *e)
{
    struct service *s = f->service;
    struct input in = { 0 };
    char path[sizeof "/proc/self/fd/" + 12];
    int rc = -1, fd = blob_open(s->env.store, rows->id, e);

    if (fd < 0)
        return -1;
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (job_input_open(s, &f->arena, j->id, &in, e) == 0) {
        struct table_output *table = table_output_new(s, j, &in);
        rc = table_output_finish(table, path, j->counters.total, e);
        table_output_free(table);
    }
    input_release(&in);
    (void)close(fd);
    return rc;
}

/* A table that cannot be written now is tried again, as long as that may help: the answers are paid. */
static int end_in_table(struct fleet_job *f, struct job *j, const struct blob *rows,
                        enum job_state to, struct error *e)
{
    struct str table = table_output_uri(&f->arena, j);
    struct error why;

    if (fill_table(f, j, rows, &why) == 0) {
        j->output = table;
        return job_output_finish(f->service, &f->arena, j, to, NULL, e);
    }
    if (!table_output_may_pass(&why))
        return job_output_keep(f->service, j, rows->id, table, &why, e);
    *e = why;
    return -1;
}

static int end_job(struct fleet_job *f, struct error *e)
{
    struct store *store = f->service->env.store;
    struct blob rows = { 0 };
    struct job j;
    int rc = job_get(store, &f->arena, NULL, f->job.id, &j, e);

    if (rc <= 0 || job_state_final(j.state))
        return rc < 0 ? -1 : 0;
    if (counters_pending(&j.counters)) {
        f->of_model = true; /* which cannot get better */
        return error_set(e, ERROR_FAILED_PRECONDITION,
                         "the job was not cut into shards; create it again");
    }
    enum job_state to = end_of(&j);
    if (shards_join(store, j.id, &rows, e) < 0)
        return -1;
    return table_output_uri(&f->arena, &j).len
               ? end_in_table(f, &j, &rows, to, e)
               : job_output_finish(f->service, &f->arena, &j, to, &rows, e);
}

/* One process does it; of two, the store takes the first. */
static int end_job_once(struct fleet_job *f, struct error *e)
{
    struct store *store = f->service->env.store;
    const char *duty = arena_textf(&f->arena, "end/%lld", (long long)f->job.id);
    int rc = duty_take(store, duty, e);

    if (rc <= 0)
        return rc;
    rc = end_job(f, e);
    duty_end(store, duty);
    return rc;
}

/* Nothing was answered, and so nothing is to be returned. Who holds a shard finds the job ended. */
static int end_empty(struct fleet_job *f, struct error *e)
{
    enum job_state to = fleet_stopped(f) == STOP_EXPIRE && f->job.state != JOB_CANCELLING
                            ? JOB_EXPIRED
                            : JOB_CANCELLED;

    job_set_reason(&f->job, to);
    f->job.counters.not_run += counters_pending(&f->job.counters);
    return job_output_finish(f->service, &f->arena, &f->job, to, NULL, e);
}

/* ---- Failing ---- */

static bool others_work(const struct fleet_job *f)
{
    struct arena a = { 0 };
    struct job_glance *g = NULL;
    uint32_t count = 0;
    struct error ignored;
    bool found = false;

    if (jobs_glance(f->service->env.store, &a, &g, &count, &ignored) == 0)
        for (uint32_t i = 0; i < count && !found; i++)
            found = g[i].id == f->job.id && g[i].leased > 0;
    arena_release(&a);
    return found;
}

/* A store that does not answer fails no job; nor does a model that only this process cannot use. */
static void after_failure(struct fleet_job *f)
{
    struct running *self = f->self;
    const struct error *why = &f->error;
    bool passes = error_retryable(why->code) || why->code == ERROR_CANCELLED;
    struct error e = { 0 };
    struct job j;

    log_warn("job %lld: %s", (long long)f->job.id, why->msg);
    self->retry_ns =
        service_now_ns(f->service) + (f->of_model ? FULL_RETRY_S * NS_PER_S : RETRY_NS);
    if (f->done)
        self->failures = 0;
    if (!f->of_model)
        return;
    if (why->code != ERROR_RESOURCE_EXHAUSTED)
        self->failures++;
    if ((passes && self->failures < SESSION_FAILURES_MAX) || others_work(f))
        return;
    int rc = job_get(f->service->env.store, &f->arena, NULL, f->job.id, &j, &e);
    if (rc == 1 && !job_state_final(j.state))
        rc = job_output_fail(f->service, &j, why, &e);
    if (rc < 0)
        log_error("job %lld: %s", (long long)f->job.id, e.msg);
}

/* ---- The thread ---- */

static int begin(struct fleet_job *f, struct error *e)
{
    struct service *s = f->service;
    char name[MODEL_NAME_BYTES];

    if (job_inputs(s->env.store, &f->arena, f->job.id, &f->pin, &f->pin_count, e) < 0)
        return -1;
    f->slots = FLEET_SLOTS;
    if (f->set.in_flight_max && f->set.in_flight_max < f->slots)
        f->slots = f->set.in_flight_max;
    f->weight = weight_of(&f->set, f->job.project);
    if (fleet_closing(f))
        return 0;
    f->of_model = true; /* unless another failure is noted */
    f->model = job_model(s, &f->arena, &f->job, e);
    if (!f->model)
        return -1;
    f->of_model = false;
    model_short_name(arena_copy(&f->arena, f->job.model.p, f->job.model.len), name);
    f->price = model_price(f->model, name);
    return 0;
}

/* This process has no shard of the job left. */
static int settle(struct fleet_job *f, struct error *e)
{
    struct store *store = f->service->env.store;
    bool moved = false;

    if (f->left == SHARDS_NONE)
        return end_job_once(f, e);
    if (f->left == SHARDS_TAKEN)
        f->self->retry_ns = service_now_ns(f->service) + NS_PER_S / 2;
    return shards_settle(store, f->job.id, &moved, e);
}

static int run_job(struct fleet_job *f, struct error *e)
{
    if (fleet_closing(f) && counters_done(&f->job.counters) == 0)
        return end_empty(f, e);
    if (begin(f, e) < 0)
        return -1;
    f->known = f->job.counters;
    run_slots(f);
    if (fleet_stopped(f) == STOP_LOST)
        return 0;
    give_back_leases(f);
    struct error why;
    int rc = settle(f, &why);
    if (!f->failed && rc < 0)
        *e = why;
    else if (f->failed)
        *e = f->error;
    return f->failed ? -1 : rc;
}

void *fleet_run(void *arg)
{
    struct running *self = arg;
    struct fleet_job f = { .self = self, .service = self->service, .left = SHARDS_SOME };
    struct service *s = self->service;
    struct error e = { 0 };

    lock_init(&f.lock);
    cond_init(&f.changed);
    service_settings(s, &f.set);
    int rc = job_get(s->env.store, &f.arena, NULL, self->id, &f.job, &e);
    if (rc == 1 && !job_state_final(f.job.state))
        rc = run_job(&f, &e);
    if (rc < 0) {
        f.error = e;
        after_failure(&f);
    }
    service_model_done(s, f.model);
    cond_destroy(&f.changed);
    lock_destroy(&f.lock);
    arena_release(&f.arena);
    atomic_store(&self->ended, true);
    open_jobs_look(s);
    return NULL;
}
