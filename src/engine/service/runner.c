/* runner.c -- one job from QUEUED to its end, or to where a client or the scheduler stopped it. */
#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"
#include "base/thread.h"
#include "engine/lines/closeout.h"
#include "engine/remote/delegate.h"
#include "engine/lines/ingest.h"
#include "engine/lines/line_index.h"
#include "engine/service/job_files.h"
#include "engine/service/job_keep.h"
#include "engine/service/service_inner.h"
#include "engine/service/table_output.h"
#include "engine/service/job_metrics.h"
#include "format/trace.h"

#define SAVE_EVERY_NS (500 * NS_PER_MS)

struct runner {
    struct running *self;
    struct service *service;
    struct arena arena;
    struct job job;
    const struct model *model; /* held; NULL: not looked up yet */
    struct service_settings set;
    struct input input;
    struct ingest_result ingest;
    struct spool *spool;
    struct render *render;
    struct blob_hasher *hasher; /* sees what render writes, or, when that becomes a table, */
    struct table_output *table; /* does */
    struct job_keep keep;
    struct job_metrics metrics;
    struct job_files files;
    struct trace trace; /* of the job's creation */
    uint64_t save_due_ns;
    uint64_t done_before; /* lines, before this stretch */
    bool closing;         /* no line is run any more: only the end is made */
    bool delivering;      /* all answers are there, and only the output's table is not */
    uint32_t handed_over; /* lines that another batch service has */
    char dir[SERVICE_PATH_BYTES], output[SERVICE_PATH_BYTES];
};

/* ---- Opening and closing ---- */

static void close_files(struct runner *r)
{
    render_close(r->render);
    r->render = NULL;
    job_keep_release(&r->keep);
    spool_close(r->spool);
    r->spool = NULL;
}

/* Takes the answers of the job that this one retries. One that was ended before it began has none of its
 * own: then those of the job that it would have gone on from. */
static int take_earlier(struct runner *r, struct error *e)
{
    int64_t from = r->job.retry_of;
    char dir[SERVICE_PATH_BYTES];
    uint64_t copied;
    struct error why;

    for (int i = 0; from && i < RETRY_CHAIN_MAX; i++) {
        struct job earlier;
        job_path(r->service, dir, from, NULL);
        if (spool_copy_answers(r->spool, dir, &copied, &why) == 0)
            return 0;
        if (why.code != ERROR_NOT_FOUND) {
            *e = why;
            return -1;
        }
        int rc = job_get(r->service->env.store, &r->arena, NULL, from, &earlier, e);
        if (rc <= 0)
            return rc;
        from = earlier.retry_of;
    }
    return 0;
}

/* As the check did: it kept nothing, or an older tranche checked the job. A job that is only ended
 * needs no model for that. */
static int ingest_again(struct runner *r, const char *index_path, struct error *e)
{
    struct ingest_options o = {
        .rules = job_rules(&r->job),
        .lines_max = r->set.lines_max,
        .threads = 1,
        .keys = r->job.options.reuse,
        .files = &r->files.digests,
        .index_path = index_path,
        .index_folder = r->dir,
    };

    if (r->set.lines_max && r->job.counters.total > r->set.lines_max)
        o.lines_max = r->job.counters.total; /* it was checked under a higher limit */
    if (!r->closing) {
        if (job_judge(r->service, &r->arena, &r->job, &o.predictor, e) < 0)
            return -1;
        o.stop = &r->self->stop;
    }
    int rc = ingest_run(&r->input, &o, &r->ingest, e);
    if (o.predictor)
        o.predictor->ops->close(o.predictor);
    return rc;
}

/* The job's lines as the check found them. Its input is pinned, so what the check learnt holds. */
static int read_input(struct runner *r, struct error *e)
{
    if (job_input_open(r->service, &r->arena, r->job.id, &r->input, e) < 0)
        return -1;
    const char *path = job_index_path(r->service, &r->arena, &r->input, r->job.id);
    return path && line_index_load(path, &r->input, &r->ingest) ? 0 : ingest_again(r, path, e);
}

static void hash_output(void *arg, const void *p, size_t len)
{
    blob_hasher_add(arg, p, len);
}

/* The output becomes a blob with hashes, or a table, while it is written. */
static int tee_output(struct runner *r, struct error *e)
{
    assert(!r->table && !r->hasher);
    r->table = table_output_new(r->service, &r->job, &r->input);
    if (r->table) {
        render_tee(r->render, table_output_take, r->table);
        return 0;
    }
    r->hasher = blob_hasher_new(e);
    if (!r->hasher)
        return -1;
    render_tee(r->render, hash_output, r->hasher);
    return 0;
}

static int open_job(struct runner *r, struct error *e)
{
    struct service *s = r->service;

    job_path(s, r->dir, r->job.id, NULL);
    job_path(s, r->output, r->job.id, "output.jsonl");
    if (sys_mkdirs(r->dir, e) < 0 || read_input(r, e) < 0)
        return -1;
    r->spool = spool_open(r->dir, e);
    if (!r->spool || take_earlier(r, e) < 0)
        return -1;
    const struct line_rules rules = job_rules(&r->job);
    r->render = render_open(r->output, &r->input, &r->ingest, &rules, job_row_style(&r->job), e);
    if (!r->render)
        return -1;
    if (tee_output(r, e) < 0)
        return -1;
    if (r->closing)
        return 0;
    job_keep_begin(&r->keep, s, &r->arena, &r->job);
    render_keep(r->render, r->keep.writer, r->keep.reuse.model);
    return 0;
}

/* ---- Working ---- */

static void save_counters(struct runner *r, const struct progress *p, uint64_t now)
{
    struct error e;

    if (now < r->save_due_ns)
        return;
    r->save_due_ns = now + SAVE_EVERY_NS;
    r->job.counters = p->counters;
    if (job_progress(r->service->env.store, &r->job, &e) < 0)
        log_warn("job %lld: %s", (long long)r->job.id, e.msg);
}

static void on_progress(void *arg, const struct progress *p)
{
    struct runner *r = arg;
    struct service *s = r->service;
    uint64_t now = service_now_ns(s);

    lock(&s->lock);
    live_add(&r->self->live, p, now);
    unlock(&s->lock);
    job_metrics_progress(&r->metrics, p);
    save_counters(r, p, now);
}

static struct pipeline_limits limits_of(const struct job_options *o)
{
    uint64_t lines_min = o->error_lines_min ? o->error_lines_min : ERROR_LINES_MIN;

    return (struct pipeline_limits){
        .cost_nano_max = o->budget_nano,
        .tokens_max = o->budget_tokens,
        .error_rate_max = o->error_rate_max,
        .error_lines_min = o->error_rate_max > 0 ? lines_min : 0, /* 0: no limit */
    };
}

/* The price of the job's model by the name that the job has for it. */
static struct price price_of(struct runner *r, const struct model *m)
{
    char name[MODEL_NAME_BYTES];

    model_short_name(arena_copy(&r->arena, r->job.model.p, r->job.model.len), name);
    return model_price(m, name);
}

static void begin_metrics(struct runner *r, const struct model *m)
{
    struct counters seen;

    spool_counters(r->spool, &seen);
    job_metrics_begin(&r->metrics, r->job.project, m->pattern, &seen);
}

static int run_pipeline(struct runner *r, const struct model *m, enum pipeline_end *end,
                        struct error *e)
{
    struct service *s = r->service;
    struct progress p = { 0 };

    trace_of_text(r->job.trace, &r->trace);
    struct pipeline_job work = {
        .rules = job_rules(&r->job),
        .input = &r->input,
        .ingest = &r->ingest,
        .files = &r->files.source,
        .trace = r->trace.id[0] ? &r->trace : NULL,
        .price = price_of(r, m),
        .spool = r->spool,
        .render = r->render,
        .reuse = r->keep.reuse,
        .retry = r->set.retry,
        .in_flight_max = r->set.in_flight_max,
        .drain_ms = r->set.drain_ms,
        .limits = limits_of(&r->job.options),
        .seed = s->env.seed ^ (uint64_t)r->job.id,
        .clock = s->env.clock,
        .stop = &r->self->stop,
        /* An upstream bills what it has begun. */
        .discard = m->kind == MODEL_LOCAL ? &r->self->discard : NULL,
        .on_progress = on_progress,
        .arg = r,
    };
    begin_metrics(r, m);
    work.predictor = job_predictor(s, &r->arena, &r->job, 0, e);
    if (!work.predictor)
        return -1;
    if (pipeline_run(&work, &p, end, e) < 0)
        return -1; /* what is committed is counted there */
    r->job.counters = p.counters;
    return 0;
}

/* ---- By another batch service ---- */

static void on_note(void *arg, const char *text)
{
    const struct runner *r = arg;

    log_info("job %lld: %s", (long long)r->job.id, text);
}

static struct delegate_job delegate_of(struct runner *r, const struct model *m)
{
    struct service *s = r->service;

    return (struct delegate_job){
        .rules = job_rules(&r->job),
        .input = &r->input,
        .ingest = &r->ingest,
        .spool = r->spool,
        .render = r->render,
        .reuse = r->keep.reuse,
        .price = price_of(r, m),
        .dir = r->dir,
        .poll_ms = m->poll_ms,
        .patience_ms = m->upstream[0].upstream->patience_ms,
        .seed = s->env.seed ^ (uint64_t)r->job.id,
        .clock = s->env.clock,
        .stop = &r->self->stop,
        .on_progress = on_progress,
        .on_note = on_note,
        .arg = r,
    };
}

/* Its batch service; stop NULL: no call is given up. */
static struct remote *open_remote(struct runner *r, const struct model *m, const atomic_bool *stop,
                                  struct error *e)
{
    char name[MODEL_NAME_BYTES];

    model_short_name(arena_copy(&r->arena, r->job.model.p, r->job.model.len), name);
    struct remote *remote = remote_open(m, name, r->service->env.clock, stop, e);
    trace_of_text(r->job.trace, &r->trace);
    if (remote && r->trace.id[0])
        remote->trace = &r->trace;
    return remote;
}

static int run_remote(struct runner *r, const struct model *m, enum pipeline_end *end,
                      struct error *e)
{
    struct delegate_job work = delegate_of(r, m);
    struct progress p = { 0 };

    begin_metrics(r, m);
    work.remote = open_remote(r, m, work.stop, e);
    if (!work.remote)
        return -1;
    int rc = delegate_run(&work, &p, end, e);
    remote_close(work.remote);
    r->handed_over = p.in_flight;
    if (rc == 0)
        r->job.counters = p.counters;
    return rc;
}

/* The job's model, the same for the whole stretch, until release. */
static const struct model *model_of(struct runner *r, struct error *e)
{
    if (!r->model)
        r->model = job_model(r->service, &r->arena, &r->job, e);
    return r->model;
}

static const struct model *remote_model(struct runner *r)
{
    struct error ignored;
    const struct model *m = model_of(r, &ignored);

    return m && m->kind == MODEL_REMOTE_BATCH ? m : NULL;
}

/* Its batch service may run some of it, though no line has ended here. */
static bool is_handed_over(struct runner *r)
{
    char path[SERVICE_PATH_BYTES];

    job_path(r->service, path, r->job.id, "spool.db");
    return remote_model(r) && access(path, F_OK) == 0;
}

/* Cancels its jobs at the batch service, and takes what they answered, as it is paid. */
static void cancel_remote(struct runner *r)
{
    const struct model *m = remote_model(r);
    struct progress p = { 0 };
    struct error e;

    if (!m)
        return;
    struct delegate_job work = delegate_of(r, m);
    work.stop = NULL;
    work.on_progress = NULL; /* its counters are the end's to write */
    work.remote = open_remote(r, m, NULL, &e);
    if (!work.remote || delegate_cancel(&work, &p, &e) < 0)
        log_warn("job %lld: its jobs at the batch service may continue: %s", (long long)r->job.id,
                 e.msg);
    remote_close(work.remote);
}

/* ---- The end ---- */

/* The finished rows become the job's object, file or table. A table that cannot be written now is tried again, as
 * long as that may help: the answers are paid. */
static int deliver(struct runner *r, enum job_state to, struct error *e)
{
    struct service *s = r->service;

    close_files(r); /* once it is final, a retry may read them */
    struct str table = table_output_uri(&r->arena, &r->job);
    if (!r->table || table_output_finish(r->table, r->output, r->ingest.lines, e) == 0) {
        struct blob rows = { 0 };
        r->job.output = table;
        if (r->hasher && job_output_take(s, r->job.id, r->hasher, &rows, e) < 0)
            return -1;
        return job_output_finish(s, &r->arena, &r->job, to, r->hasher ? &rows : NULL, e);
    }
    struct error why = *e;
    /* Rows as long as these may never fit in the memory. */
    bool enough = tables_lack_memory(&why) && ++r->self->failures >= SESSION_FAILURES_MAX;
    r->delivering = !enough && table_output_may_pass(&why);
    struct blob kept;
    if (r->delivering || job_file_take(s, r->output, &kept, e) < 0)
        return -1;
    return job_output_keep(s, &r->job, kept.id, table, &why, e);
}

/* ---- Ending early ---- */

static int end_as(struct runner *r, enum stop_reason why, struct error *e)
{
    enum job_state to = job_ends_as(why);
    struct job *j = &r->job;

    job_set_reason(j, to);
    j->counters.not_run += counters_pending(&j->counters);
    return job_output_finish(r->service, &r->arena, j, to, NULL, e);
}

/* Every line without a row gets one that says why; then the output is as whole as any (I1). */
static int close_out(struct runner *r, enum stop_reason why, struct error *e)
{
    struct closeout_job c = {
        .ingest = &r->ingest,
        .spool = r->spool,
        .render = r->render,
        .clock = r->service->env.clock,
    };

    job_not_run(why, &c.why);
    cancel_remote(r);
    if (closeout_run(&c, &r->job.counters, e) < 0 || render_finish(r->render, e) < 0)
        return -1;
    r->job.counters.total = r->ingest.lines;
    job_set_reason(&r->job, job_ends_as(why));
    return deliver(r, job_ends_as(why), e);
}

/* ---- After a stretch ---- */

static int give_back(struct runner *r, enum job_state to, const char *reason, struct error *e)
{
    assert(r->job.state == JOB_RUNNING && (to == JOB_QUEUED || to == JOB_PAUSED));
    r->job.pause_reason = str_of(reason);
    log_info("job %lld: %s after %llu of %llu lines", (long long)r->job.id, job_state_name(to),
             (unsigned long long)counters_done(&r->job.counters),
             (unsigned long long)r->job.counters.total);
    return job_yield(r->service->env.store, &r->job, to, e);
}

/* Why the pipeline was interrupted decides where the job goes. */
static int interrupted(struct runner *r, struct error *e)
{
    enum stop_reason why = (enum stop_reason)atomic_load(&r->self->reason);

    switch (why) {
    case STOP_CANCEL:
    case STOP_EXPIRE:
        return close_out(r, why, e);
    case STOP_NONE:
    case STOP_PAUSE: /* the store makes it PAUSED, unless it was resumed meanwhile */
    case STOP_YIELD:
    case STOP_DRAIN:
    case STOP_LOST: /* in a fleet only */
        break;
    }
    return give_back(r, JOB_QUEUED, "", e);
}

/* Asked to stop before a line was run in this stretch. */
static int stopped_early(struct runner *r, struct error *e)
{
    enum stop_reason why = (enum stop_reason)atomic_load(&r->self->reason);

    if (why != STOP_CANCEL && why != STOP_EXPIRE)
        return give_back(r, JOB_QUEUED, "", e);
    if (r->done_before == 0 && !is_handed_over(r))
        return end_as(r, why, e);
    ingest_result_release(&r->ingest);
    input_release(&r->input);
    r->closing = true;
    return open_job(r, e) < 0 ? -1 : close_out(r, why, e);
}

static int work(struct runner *r, struct error *e)
{
    const struct model *m = model_of(r, e);
    enum pipeline_end end;

    assert(r->job.state == JOB_RUNNING && !r->closing);
    if (!m)
        return -1;
    bool remote = m->kind == MODEL_REMOTE_BATCH;
    if ((remote ? run_remote(r, m, &end, e) : run_pipeline(r, m, &end, e)) < 0)
        return -1;
    if (counters_done(&r->job.counters) > r->done_before)
        r->self->failures = 0;
    if (end == PIPELINE_DONE)
        job_metrics_failures(r->spool);
    switch (end) {
    case PIPELINE_DONE:
        if (!atomic_load(&r->files.changed))
            job_keep_finish(&r->keep, r->spool, r->render, &r->job);
        return deliver(r, JOB_SUCCEEDED, e);
    case PIPELINE_BUDGET:
        return give_back(r, JOB_PAUSED, "budget", e);
    case PIPELINE_ERRORS:
        return give_back(r, JOB_PAUSED, "errors", e);
    case PIPELINE_INTERRUPTED:
        break;
    }
    return interrupted(r, e);
}

/* ---- Failing ---- */

/* While another service works on it, or its answers only have to be written, the job waits rather than fails: that
 * work is paid. */
static bool is_paid(const struct runner *r)
{
    return r->handed_over || r->delivering;
}

static bool passes(const struct runner *r, enum error_code code)
{
    return is_paid(r) || code == ERROR_RESOURCE_EXHAUSTED || code == ERROR_CANCELLED ||
           error_retryable(code);
}

/* A client moved the job while the runner was about to: what it is now is looked at again. */
static bool was_moved(struct runner *r)
{
    struct job now;
    struct error e;
    int rc = job_get(r->service->env.store, &r->arena, NULL, r->job.id, &now, &e);

    return rc == 0 || (rc == 1 && now.state != r->job.state);
}

/* A full disk or a broken session is tried again; what cannot get better ends the job. */
static void after_failure(struct runner *r, const struct error *why)
{
    struct service *s = r->service;
    struct error e;

    if (was_moved(r)) {
        log_info("job %lld: %s", (long long)r->job.id, why->msg);
        return;
    }
    log_warn("job %lld: %s", (long long)r->job.id, why->msg);
    if (r->spool)
        spool_counters(r->spool, &r->job.counters);
    close_files(r);
    if (counters_done(&r->job.counters) > r->done_before)
        r->self->failures = 0;
    if (why->code != ERROR_RESOURCE_EXHAUSTED && !is_paid(r))
        r->self->failures++;
    if (passes(r, why->code) && r->self->failures < SESSION_FAILURES_MAX) {
        r->self->retry_ns = service_now_ns(s) + FULL_RETRY_S * NS_PER_S;
        if (r->job.state == JOB_RUNNING && give_back(r, JOB_QUEUED, "", &e) < 0)
            log_error("job %lld: %s", (long long)r->job.id, e.msg);
        return;
    }
    if (job_output_fail(s, &r->job, why, &e) < 0) {
        log_error("job %lld: %s", (long long)r->job.id, e.msg);
        r->self->retry_ns = service_now_ns(s) + FULL_RETRY_S * NS_PER_S;
    }
}

/* ---- The thread ---- */

static int run_job(struct runner *r, struct error *e)
{
    enum stop_reason why = (enum stop_reason)atomic_load(&r->self->reason);

    job_files_init(&r->files, r->service->env.store, r->job.open ? NULL : r->job.project,
                   r->job.create_us);
    r->done_before = counters_done(&r->job.counters);
    /* Nothing was done: nothing is to be returned. */
    if (r->closing && r->done_before == 0 && !is_handed_over(r))
        return end_as(r, why, e);
    /* A job that is RUNNING without a runner could not be given back: its stretch goes on. */
    if (!r->closing && r->job.state != JOB_RUNNING &&
        job_begin(r->service->env.store, &r->job, e) < 0)
        return -1;
    if (open_job(r, e) < 0) {
        bool stopped = e->code == ERROR_CANCELLED && atomic_load(&r->self->stop);
        return stopped && !r->closing ? stopped_early(r, e) : -1;
    }
    return r->closing ? close_out(r, why, e) : work(r, e);
}

static void release(struct runner *r)
{
    close_files(r);
    service_model_done(r->service, r->model);
    table_output_free(r->table);
    blob_hasher_free(r->hasher);
    ingest_result_release(&r->ingest);
    input_release(&r->input);
    arena_release(&r->arena);
}

void *runner_run(void *arg)
{
    struct running *self = arg;
    struct runner r = { .self = self, .service = self->service, .closing = self->closing };
    struct error e = { 0 };

    service_settings(r.service, &r.set);
    int rc = job_get(r.service->env.store, &r.arena, NULL, self->id, &r.job, &e);
    if (rc == 1 && !job_state_final(r.job.state) && run_job(&r, &e) < 0)
        after_failure(&r, &e);
    else if (rc < 0)
        log_error("job %lld: %s", (long long)self->id, e.msg);
    release(&r);
    atomic_store(&self->ended, true);
    service_wake(self->service);
    return NULL;
}
