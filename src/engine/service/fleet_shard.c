/* fleet_shard.c -- one leased shard of a job: its lines answered, its checkpoints and its end recorded. */
#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "base/thread.h"
#include "engine/lines/closeout.h"
#include "engine/service/fleet_job.h"
#include "engine/service/job_files.h"
#include "engine/service/job_metrics.h"
#include "format/trace.h"
#include "store/db/store_metrics.h"
#include "store/fleet/fleet.h"

/* A machine that dies repeats no more than this, besides what is in flight. */
#define CHECKPOINT_NS (10 * NS_PER_S)
#define CHECKPOINT_ROWS 1000
/* The first checkpoint comes after this time, each further one after twice as long: small jobs show progress soon. */
#define CHECKPOINT_FIRST_NS NS_PER_S
#define AGAIN_MS 500 /* between attempts to record while the store does not answer */
/* A drain does not wait longer for the store. */
#define DRAIN_ATTEMPTS 3

struct shard_work {
    struct fleet_job *of;
    struct shard_lease lease;
    struct arena arena;
    struct input input;
    struct ingest_result ingest;
    struct spool *spool;
    const char *spool_path;
    struct render *render;
    struct blob_hasher *hasher; /* sees what render writes */
    struct job_files files;
    struct job_metrics metrics;
    struct trace trace;
    struct pipeline_job pipeline; /* its budget grows with each record */
    struct counters counters;     /* committed in the spool */
    struct counters recorded;     /* of the last record */
    uint64_t due_ns;              /* of the system's clock: of the next checkpoint */
    uint64_t pause_ns;            /* from one checkpoint to the next */
    uint32_t in_flight;           /* as the job's live facts count it */
    enum shards_left *left;
    const char *pause; /* why the job is to pause after this shard; or NULL */
    bool lost;
    bool ended;        /* a record says that the lease has ended */
    bool store_failed; /* the last failure was the store's */
    const char *dir, *output;
};

static struct store *store_of(const struct shard_work *w)
{
    return w->of->service->env.store;
}

/* A test that moves the service's clock moves no checkpoint. */
static uint64_t now_ns(void)
{
    return clock_system()->mono_ns(clock_system());
}

/* ---- Opening ---- */

int fleet_open_cut(struct store *store, const struct job_input *pin, const struct shard_cut *c,
                   struct input *out, struct error *e)
{
    struct arena a = { 0 };
    const struct input_source source = {
        .name = arena_copy(&a, pin->name.p, pin->name.len),
        .fd = blob_open_part(store, pin->blob, c->begin, c->end, e),
    };
    int rc = source.fd < 0 ? error_wrap(e, "the job's input")
                           : input_open_fds(out, &source, 1, e); /* which copies the name */
    arena_release(&a);
    if (rc < 0)
        return -1;
    struct input_file *file = &out->file[0];
    if (c->begin >= c->end || c->end > file->bytes)
        return error_set(e, ERROR_DATA_LOSS, "%s has no bytes from %llu to %llu", file->path,
                         (unsigned long long)c->begin, (unsigned long long)c->end);
    file->begin = c->begin;
    file->line_no = c->line_no;
    file->bytes = c->end;
    out->bytes = c->end - c->begin;
    return 0;
}

/* The check cut the same bytes into as many lines. */
static int ingest(struct shard_work *w, struct predictor *p, struct error *e)
{
    const struct ingest_options o = {
        .rules = job_rules(&w->of->job),
        .predictor = p,
        .threads = 1,
        .index_folder = w->dir,
    };

    if (ingest_run(&w->input, &o, &w->ingest, e) < 0)
        return -1;
    if (w->ingest.lines == w->lease.cut.lines)
        return 0;
    return error_set(e, ERROR_DATA_LOSS, "shard %llu has %llu lines where the check found %u",
                     (unsigned long long)w->lease.number, (unsigned long long)w->ingest.lines,
                     w->lease.cut.lines);
}

int fleet_fetch_answers(struct store *store, int64_t answers, const char *folder, struct error *e)
{
    struct arena a = { 0 };
    const char *path = arena_textf(&a, "%s/spool.db", folder);
    int rc = sys_mkdirs(folder, e) < 0 ? -1 : blob_unpack_to(store, answers, path, e);

    arena_release(&a);
    return rc;
}

/* The spool begins with the answers of an earlier holder of this shard, or of the job that this one retries. */
static int open_spool(struct shard_work *w, struct error *e)
{
    const char *from = arena_textf(&w->arena, "%s/from", w->dir);
    uint64_t copied;

    if (w->lease.answers &&
        fleet_fetch_answers(store_of(w), w->lease.answers, w->lease.taken ? from : w->dir, e) < 0)
        return -1;
    w->spool = spool_open_scratch(w->dir, &w->spool_path, e);
    if (!w->spool)
        return -1;
    if (w->lease.taken && w->lease.answers && spool_copy_answers(w->spool, from, &copied, e) < 0)
        return -1;
    spool_counters(w->spool, &w->counters);
    if (w->lease.answers)
        log_info("job %lld: shard %llu goes on behind %llu of %u lines", (long long)w->of->job.id,
                 (unsigned long long)w->lease.number,
                 (unsigned long long)counters_done(&w->counters), w->lease.cut.lines);
    return 0;
}

static void hash_output(void *arg, const void *p, size_t len)
{
    blob_hasher_add(arg, p, len);
}

static int open_output(struct shard_work *w, struct error *e)
{
    const struct line_rules rules = job_rules(&w->of->job);

    w->hasher = blob_hasher_new(e);
    if (!w->hasher)
        return -1;
    w->render =
        render_open(w->output, &w->input, &w->ingest, &rules, job_row_style(&w->of->job), e);
    if (!w->render)
        return -1;
    render_tee(w->render, hash_output, w->hasher);
    return 0;
}

/* p: judges the lines; NULL: they are not to be answered. */
static int open_shard(struct shard_work *w, struct predictor *p, struct error *e)
{
    const struct job *j = &w->of->job;

    w->dir =
        arena_textf(&w->arena, "%s/jobs/%lld/%llu.%lld", store_dir(store_of(w)), (long long)j->id,
                    (unsigned long long)w->lease.number, (long long)w->lease.fence);
    w->output = arena_textf(&w->arena, "%s/output.jsonl", w->dir);
    if (w->lease.cut.input >= w->of->pin_count)
        return error_set(e, ERROR_DATA_LOSS, "the job has no input %u", w->lease.cut.input);
    job_files_init(&w->files, store_of(w), j->open ? NULL : j->project, j->create_us);
    if (sys_remove_all(w->dir, e) < 0 || sys_mkdirs(w->dir, e) < 0)
        return -1;
    w->store_failed = true;
    if (fleet_open_cut(store_of(w), &w->of->pin[w->lease.cut.input], &w->lease.cut, &w->input, e) <
        0)
        return -1;
    w->store_failed = false;
    if (ingest(w, p, e) < 0)
        return -1;
    w->store_failed = true;
    if (open_spool(w, e) < 0 || open_output(w, e) < 0)
        return -1;
    w->store_failed = false;
    return 0;
}

static void close_shard(struct shard_work *w)
{
    struct error e;

    render_close(w->render);
    blob_hasher_free(w->hasher);
    spool_close(w->spool);
    ingest_result_release(&w->ingest);
    input_release(&w->input);
    if (w->dir && sys_remove_all(w->dir, &e) < 0)
        log_warn("job %lld: %s", (long long)w->of->job.id, e.msg);
    arena_release(&w->arena);
}

/* ---- Recording ---- */

/* May the store answer later, and is there time for it? */
static bool worth_waiting(const struct shard_work *w, const struct error *why, uint32_t attempt)
{
    bool passes = why->code == ERROR_UNAVAILABLE || why->code == ERROR_DEADLINE_EXCEEDED ||
                  why->code == ERROR_RESOURCE_EXHAUSTED;
    enum stop_reason stop = fleet_stopped(w->of);

    return passes && stop != STOP_LOST && fleet_holds(store_of(w)) &&
           !(stop == STOP_DRAIN && attempt >= DRAIN_ATTEMPTS);
}

/* A blob that is made stays for the next attempt. */
static int try_record(struct shard_work *w, struct shard_record *r, struct blob *answers,
                      struct blob *output, struct error *e)
{
    bool done = r->step == SHARD_DONE;
    bool open =
        w->counters.failed + w->counters.not_run > 0; /* a retry of the job goes on from them */
    bool new = memcmp(&w->counters, &w->recorded, sizeof w->counters) != 0;

    /* No group of the spool is open. */
    if ((done ? open : new) && !answers->id &&
        blob_pack(store_of(w), w->spool_path, answers, e) < 0)
        return -1;
    if (done && !output->id) {
        if (blob_adopt(store_of(w), w->output, w->hasher, output, e) < 0)
            return -1;
    }
    r->answers = answers->id ? answers : NULL;
    r->output = done ? output : NULL;
    return shard_record(store_of(w), &w->lease, r, w->left, e);
}

/* While the store does not answer, the work waits: the lease is renewed by another thread. */
static int record(struct shard_work *w, enum shard_step step, struct error *e)
{
    struct shard_record r = { .step = step, .counters = w->counters, .pause = w->pause };
    struct blob answers = { 0 }, output = { 0 };
    int rc;

    assert(counters_balanced(&w->counters)); /* I6 */
    assert(step != SHARD_DONE || counters_pending(&w->counters) == 0);
    for (uint32_t attempt = 1;
         (rc = try_record(w, &r, &answers, &output, e)) < 0 && worth_waiting(w, e, attempt);
         attempt++) {
        if (attempt == 1)
            log_warn("job %lld: shard %llu waits to be recorded: %s", (long long)w->of->job.id,
                     (unsigned long long)w->lease.number, e->msg);
        clock_system()->sleep_ns(clock_system(), AGAIN_MS * NS_PER_MS);
    }
    w->store_failed = rc < 0;
    w->lost = rc < 0 && (e->code == ERROR_ABORTED || e->code == ERROR_NOT_FOUND ||
                         e->code == ERROR_FAILED_PRECONDITION);
    if (rc < 0)
        return -1;
    w->ended = step != SHARD_CHECKPOINT;
    lock(&w->of->lock);
    w->of->done += counters_done(&w->counters) - counters_done(&w->recorded);
    w->of->known.succeeded += w->counters.succeeded - w->recorded.succeeded;
    w->of->known.failed += w->counters.failed - w->recorded.failed;
    unlock(&w->of->lock);
    w->recorded = w->counters;
    return 0;
}

/* ---- Answering ---- */

/* 0: no limit. */
static uint64_t limit_of(uint64_t used, uint64_t budget)
{
    uint64_t most = used + budget;

    return budget == UINT64_MAX ? 0 : most ? most : 1;
}

/* The part of the job's budget that this lease may spend. */
static void set_budget(struct shard_work *w)
{
    const struct counters *c = &w->counters;
    const struct shard_lease *l = &w->lease;
    struct pipeline_limits *limits = &w->pipeline.limits;

    uint64_t tokens =
        c->prompt_tokens + c->candidate_tokens + c->thought_tokens + c->rejected_tokens;

    limits->cost_nano_max = limit_of(c->cost_nano + c->rejected_cost_nano, l->budget_nano);
    limits->tokens_max = limit_of(tokens, l->budget_tokens);
}

/* The job's error limit, with the lines that ended elsewhere as far as this process knows. The store decides. */
static void set_error_limit(struct shard_work *w)
{
    const struct job_options *o = &w->of->job.options;
    struct pipeline_limits *limits = &w->pipeline.limits;

    if (o->error_rate_max <= 0)
        return;
    limits->error_rate_max = o->error_rate_max;
    limits->error_lines_min = o->error_lines_min ? o->error_lines_min : ERROR_LINES_MIN;
    lock(&w->of->lock);
    const struct counters *known = &w->of->known;
    limits->failed_before = known->failed - w->recorded.failed;
    limits->ended_before =
        known->succeeded + known->failed - w->recorded.succeeded - w->recorded.failed;
    unlock(&w->of->lock);
}

static void count_in_flight(struct shard_work *w, uint32_t now)
{
    struct service *s = w->of->service;
    struct live *live = &w->of->self->live;

    lock(&s->lock);
    live->progress.in_flight += now - w->in_flight;
    unlock(&s->lock);
    w->in_flight = now;
}

static void on_progress(void *arg, const struct progress *p)
{
    struct shard_work *w = arg;
    struct running *self = w->of->self;

    job_metrics_progress(&w->metrics, p);
    count_in_flight(w, p->in_flight);
    if (fleet_holds(store_of(w)))
        return;
    /* Others may have the shard soon. */
    atomic_store(&self->discard, true);
    atomic_store(&self->lost, true);
    atomic_store(&self->stop, true);
}

static bool checkpoint_due(struct shard_work *w)
{
    uint64_t rows = counters_done(&w->counters) - counters_done(&w->recorded);
    uint64_t now = now_ns();

    if (rows == 0 || counters_pending(&w->counters) == 0)
        return false; /* the end of the shard is recorded soon */
    if (rows < CHECKPOINT_ROWS && now < w->due_ns)
        return false;
    w->pause_ns = w->pause_ns < CHECKPOINT_NS / 2 ? w->pause_ns * 2 : CHECKPOINT_NS;
    w->due_ns = now + w->pause_ns;
    return true;
}

/* The job is to stop, which the scheduler may not know yet: this shard is given back. */
static void stop_soon(struct running *self)
{
    int none = STOP_NONE;

    if (atomic_compare_exchange_strong(&self->reason, &none, STOP_PAUSE))
        atomic_store(&self->stop, true);
}

static int on_committed(void *arg, const struct progress *p, struct error *e)
{
    struct shard_work *w = arg;

    w->counters = p->counters;
    if (atomic_load(&w->of->self->stop) || !checkpoint_due(w))
        return 0;
    if (record(w, SHARD_CHECKPOINT, e) < 0)
        return -1;
    if (*w->left == SHARDS_HALTED)
        stop_soon(w->of->self);
    set_budget(w);
    set_error_limit(w);
    return 0;
}

static uint32_t share_of_flights(const struct fleet_job *f)
{
    uint32_t all = f->set.in_flight_max;

    return all == 0 ? 0 : (all + f->slots - 1) / f->slots;
}

/* p is taken. */
static int answer_lines(struct shard_work *w, struct predictor *p, enum pipeline_end *end,
                        struct error *e)
{
    struct fleet_job *f = w->of;
    struct progress progress = { 0 };

    trace_of_text(f->job.trace, &w->trace);
    w->pipeline = (struct pipeline_job){
        .rules = job_rules(&f->job),
        .input = &w->input,
        .ingest = &w->ingest,
        .predictor = p,
        .files = &w->files.source,
        .trace = w->trace.id[0] ? &w->trace : NULL,
        .price = f->price,
        .spool = w->spool,
        .render = w->render,
        .retry = f->set.retry,
        .in_flight_max = share_of_flights(f),
        .drain_ms = f->set.drain_ms,
        .seed = f->service->env.seed ^ (uint64_t)f->job.id ^ w->lease.number << 40,
        .clock = f->service->env.clock,
        .stop = &f->self->stop,
        /* An upstream bills what it has begun; a lease that is lost has no time. */
        .discard = f->model->kind == MODEL_LOCAL ? &f->self->discard : &f->self->lost,
        .on_progress = on_progress,
        .on_committed = on_committed,
        .arg = w,
    };
    set_budget(w);
    set_error_limit(w);
    w->pause_ns = CHECKPOINT_FIRST_NS;
    w->due_ns = now_ns() + w->pause_ns;
    job_metrics_begin(&w->metrics, f->job.project, f->model->pattern, &w->counters);
    int rc = pipeline_run(&w->pipeline, &progress, end, e);
    count_in_flight(w, 0);
    w->counters = progress.counters;
    return rc;
}

/* Every line without a row gets one that says why (I1). */
static int close_out(struct shard_work *w, struct error *e)
{
    struct closeout_job c = {
        .ingest = &w->ingest,
        .spool = w->spool,
        .render = w->render,
        .clock = w->of->service->env.clock,
    };

    job_not_run(fleet_stopped(w->of), &c.why);
    w->store_failed = true; /* or the disk */
    if (closeout_run(&c, &w->counters, e) < 0 || render_finish(w->render, e) < 0)
        return -1;
    return record(w, SHARD_DONE, e);
}

/* ---- The end of a stretch ---- */

static int finish_shard(struct shard_work *w, struct error *e)
{
    assert(counters_pending(&w->counters) == 0);
    job_metrics_failures(w->spool);
    return record(w, SHARD_DONE, e);
}

/* After a failure of the model what was answered is recorded all the same: it is paid. */
static int give_back(struct shard_work *w, struct error *e)
{
    struct error why = *e, ignored;
    bool store_failed = w->store_failed;

    if (w->lost || fleet_stopped(w->of) == STOP_LOST)
        return -1;
    if (record(w, SHARD_RELEASE, &ignored) < 0)
        log_warn("job %lld: shard %llu is not given back: %s", (long long)w->of->job.id,
                 (unsigned long long)w->lease.number, ignored.msg);
    w->store_failed = store_failed;
    *e = why;
    return -1;
}

static int end_stretch(struct shard_work *w, enum pipeline_end end, struct error *e)
{
    if (fleet_stopped(w->of) == STOP_LOST) {
        w->lost = true;
        return error_set(e, ERROR_ABORTED, "the lease is lost");
    }
    switch (end) {
    case PIPELINE_DONE:
        return finish_shard(w, e);
    case PIPELINE_BUDGET:
        w->pause = "budget";
        return record(w, SHARD_RELEASE, e);
    case PIPELINE_INTERRUPTED:
        return fleet_closing(w->of) ? close_out(w, e) : record(w, SHARD_RELEASE, e);
    case PIPELINE_ERRORS:
        w->pause = "errors";
        return record(w, SHARD_RELEASE, e);
    }
    return -1;
}

static int answer_shard(struct shard_work *w, struct error *e)
{
    enum pipeline_end end;
    struct predictor *p = job_predictor(w->of->service, &w->arena, &w->of->job, w->lease.number, e);

    if (!p)
        return give_back(w, e);
    if (open_shard(w, p, e) < 0) {
        p->ops->close(p);
        return w->spool ? give_back(w, e) : -1;
    }
    if (answer_lines(w, p, &end, e) < 0)
        return give_back(w, e);
    return end_stretch(w, end, e);
}

enum shard_end fleet_shard_run(struct fleet_job *f, const struct shard_lease *lease,
                               enum shards_left *left, struct error *e)
{
    struct shard_work w = { .of = f, .lease = *lease, .left = left };
    int rc;

    w.counters = lease->counters;
    w.counters.total = lease->cut.lines;
    w.recorded = w.counters;

    if (fleet_closing(f))
        rc = open_shard(&w, NULL, e) < 0 ? -1 : close_out(&w, e);
    else
        rc = answer_shard(&w, e);
    close_shard(&w);
    if (!w.ended)
        shard_forget(f->service->env.store, &w.lease);
    if (rc == 0)
        return SHARD_ENDED;
    if (w.lost)
        return SHARD_LOST;
    return w.store_failed ? SHARD_STORE_FAILED : SHARD_MODEL_FAILED;
}
