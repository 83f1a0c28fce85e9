/* check.c -- a PENDING job: its input found and pinned, every line validated; then it is QUEUED. */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/thread.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "engine/lines/ingest.h"
#include "engine/service/fleet_job.h"
#include "engine/service/check_input.h"
#include "engine/service/job_files.h"
#include "engine/service/job_keep.h"
#include "engine/service/service_inner.h"
#include "engine/service/table_output.h"
#include "predict/fake/script.h"
#include "store/fleet/fleet.h"
#include "store/models/registry.h"

#define ERRORS_WRITE_BYTES ((size_t)256 * 1024)
#define FLEET_RETRY_S 2 /* in a fleet: the store may answer again soon */
/* The upper cost of a line: its prompt's tokens, and those that a template and a schema add; an answer without a limit. */
#define BYTES_PER_TOKEN_MIN 2
#define PROMPT_TOKENS_MORE 64
#define OUTPUT_TOKENS_UPPER 2048

struct check {
    struct service *service;
    struct arena arena;
    struct job job;
    struct buf errors; /* line errors that are not written yet */
    int errors_fd;
    bool errors_broken;
    struct error first; /* of the first bad line */
    /* In a fleet: */
    struct shard_cut *cut; /* the shards of the input; on the heap */
    size_t cut_count;
    struct price price;
    bool of_model; /* a failure is the model's */
    char path[SERVICE_PATH_BYTES];
};

/* ---- Its lines ---- */

static void flush_errors(struct check *c)
{
    struct error e;

    if (c->errors.len && !c->errors_broken &&
        sys_write_all(c->errors_fd, c->errors.p, c->errors.len, c->path, &e) < 0) {
        log_warn("job %lld: the list of bad lines is cut: %s", (long long)c->job.id, e.msg);
        c->errors_broken = true;
    }
    buf_clear(&c->errors);
}

static void note_line_error(struct check *c, const char *file, const struct line *l,
                            const struct violation *v, bool is_warning)
{
    struct json_writer w = JSON_WRITER(&c->errors);

    json_object(&w, NULL);
    json_add_c(&w, "input", file);
    json_add_uint(&w, "line", l->line_no);
    json_add_uint(&w, "offset", l->offset + v->offset);
    json_add_c(&w, "path", v->path);
    json_add_c(&w, "message", v->message);
    json_add_c(&w, "remedy", v->remedy);
    if (is_warning)
        json_add_bool(&w, "warning", true);
    json_end(&w);
    buf_add_char(&c->errors, '\n');
    if (c->errors.len > ERRORS_WRITE_BYTES)
        flush_errors(c);
}

static void on_bad(void *arg, const struct input *in, const struct shard *s, const struct line *l,
                   const struct violations *bad)
{
    struct check *c = arg;

    if (c->first.code == ERROR_OK) {
        struct error why;
        ingest_error(bad, &why);
        (void)error_set(&c->first, ERROR_INVALID_ARGUMENT, "line %llu of %s: %s",
                        (unsigned long long)l->line_no, in->file[s->file].path, why.msg);
    }
    for (unsigned i = 0; i < violations_held(bad); i++)
        note_line_error(c, in->file[s->file].path, l, &bad->item[i], false);
}

static void on_warned(void *arg, const struct input *in, const struct shard *s,
                      const struct line *l, const struct violations *warnings)
{
    for (unsigned i = 0; i < violations_held(warnings); i++)
        note_line_error(arg, in->file[s->file].path, l, &warnings->item[i], true);
}

/* ---- In a fleet: its shards ---- */

/* The upper cost of the lines of a shard as far as it can be known: a lease reserves as much, and asks for more when that was
 * too little. */
static void set_upper_cost(const struct check *c, const struct shard_figures *f,
                           struct shard_cut *cut)
{
    uint64_t lines = cut->lines ? cut->lines : 1;
    uint64_t prompt = f->text_bytes / BYTES_PER_TOKEN_MIN + lines * PROMPT_TOKENS_MORE;
    uint64_t output = f->output_max + f->output_unset * OUTPUT_TOKENS_UPPER;
    const struct usage mean = {
        .prompt_tokens = (uint32_t)(prompt / lines + 1),
        .candidate_tokens = (uint32_t)(output / lines + 1),
    };

    cut->cost_max_nano = price_batch_nano(&c->price, &mean) * lines;
    cut->tokens_max = prompt + output;
}

static void on_shard(void *arg, const struct shard *s, const struct shard_figures *f)
{
    struct check *c = arg;

    if (s->line_count == 0)
        return;
    c->cut = mem_list_grow(c->cut, c->cut_count, sizeof *c->cut);
    struct shard_cut *cut = &c->cut[c->cut_count++];
    *cut = (struct shard_cut){
        .input = s->file,
        .begin = s->offset,
        .end = s->offset + s->bytes,
        .line_no = s->line_no,
        .first = s->index,
        .lines = s->line_count,
        .text_bytes = f->text_bytes,
        .output_max = f->output_max,
        .output_unset = (uint32_t)f->output_unset,
    };
    set_upper_cost(c, f, cut);
}

/* A job begins with the answers that it had in a state folder; a retry with those of the job that it retries, or of that one's,
 * when it had no shards yet. */
static int inherit(struct check *c, struct error *e)
{
    struct store *store = c->service->env.store;
    const struct fleet_cut cut = { &c->job, c->cut, (uint32_t)c->cut_count };
    int64_t from = c->job.retry_of;
    int given = fleet_answers_give(c->service, &cut, c->job.id, e);

    if (given != 0)
        return given < 0 ? -1 : 0;

    for (int i = 0; from && i < RETRY_CHAIN_MAX; i++) {
        struct job earlier;
        struct error why;
        if (shards_inherit(store, &c->job, from, &why) == 0)
            return 0;
        if (why.code == ERROR_FAILED_PRECONDITION) {
            log_warn("job %lld: all lines are run again: %s", (long long)c->job.id, why.msg);
            return 0;
        }
        if (why.code != ERROR_NOT_FOUND) {
            *e = why;
            return -1;
        }
        int rc = fleet_answers_give(c->service, &cut, from, e);
        if (rc != 0)
            return rc < 0 ? -1 : 0;
        rc = job_get(store, &c->arena, NULL, from, &earlier, e);
        if (rc <= 0)
            return rc;
        from = earlier.retry_of;
    }
    return 0;
}

/* The job is cut once, for all processes. */
static int record_shards(struct check *c, struct error *e)
{
    if (!c->service->env.fleet)
        return 0;
    assert(c->cut_count > 0 && c->cut_count <= UINT32_MAX);
    if (shards_add(c->service->env.store, &c->job, c->cut, (uint32_t)c->cut_count, e) < 0)
        return -1;
    return inherit(c, e);
}

/* The list of bad lines as a blob, for the other processes; c->path is its file. */
static int record_line_errors(struct check *c, struct error *e)
{
    struct blob b = { 0 };
    struct stat st;

    if (!c->service->env.fleet)
        return 0;
    if (fstat(c->errors_fd, &st) < 0)
        return error_errno(e, "%s", c->path);
    if (st.st_size == 0)
        return 0;
    if (job_file_take(c->service, c->path, &b, e) < 0)
        return -1;
    return job_file_set(c->service->env.store, c->job.id, JOB_LINE_ERRORS_FILE, &b, e);
}

static int ingest_input(struct check *c, struct predictor *p, struct ingest_result *out,
                        struct error *e)
{
    struct service_settings set;
    struct job_files files;
    struct input in = { 0 };
    struct ingest_options o = { .rules = job_rules(&c->job),
                                .predictor = p,
                                .on_bad = on_bad,
                                .on_warned = on_warned,
                                .arg = c,
                                .threads = 1,
                                .keys = c->job.options.reuse,
                                .files = &files.digests,
                                .stop = &c->service->halt };

    job_files_init(&files, c->service->env.store, c->job.open ? NULL : c->job.project,
                   c->job.create_us);
    service_settings(c->service, &set);
    o.lines_max = set.lines_max;
    if (job_input_open(c->service, &c->arena, c->job.id, &in, e) < 0)
        return -1;
    if (c->service->env.fleet)
        o.on_shard = on_shard; /* each shard validates its lines again when it is answered */
    else if (!c->job.options.validate_only)
        o.index_path = job_index_path(c->service, &c->arena, &in, c->job.id);
    int rc = table_output_check(c->service, &c->arena, &c->job, &in, e);
    if (rc == 0)
        rc = ingest_run(&in, &o, out, e);
    input_release(&in);
    return rc;
}

static int judge(struct check *c, const struct ingest_result *r, struct error *e)
{
    struct job *j = &c->job;

    if (r->lines == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT, WHERE_TO_LOOK ". The input has no requests.");
    j->counters.total = r->lines;
    j->bad = r->bad;
    j->input_bytes = r->bytes;
    j->text_bytes = r->text_bytes;
    j->output_max = r->output_max;
    j->output_unset = r->output_unset;
    if ((j->options.strict || j->options.validate_only) && r->bad) {
        *e = c->first;
        return error_wrap(e, "%llu of %llu lines are bad, the first is", (unsigned long long)r->bad,
                          (unsigned long long)r->lines);
    }
    if (!j->options.validate_only)
        return record_shards(c, e) < 0 ? -1 : job_checked(c->service->env.store, j, e);
    j->error = ERROR_OK;
    return job_output_finish(c->service, &c->arena, j, JOB_SUCCEEDED, NULL, e);
}

/* A fleet refuses work that one process would have to do as a whole. */
static int check_fleet(const struct check *c, bool remote, struct error *e)
{
    if (!c->service->env.fleet)
        return 0;
    if (remote)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The model is a batch service that takes whole jobs. A service of several "
                         "processes cannot use it; name a model that answers single requests.");
    if (c->job.options.reuse)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "tranche.reuse: A service of several processes keeps no answers of "
                         "earlier jobs. Make the job without it.");
    return 0;
}

/* A job at another batch service cannot be stopped at a sum: it is refused rather than overspent. */
static int check_limits(struct check *c, struct error *e)
{
    const struct job_options *o = &c->job.options;
    const struct model *m = job_model(c->service, &c->arena, &c->job, e);
    bool found = m != NULL, remote = m && m->kind == MODEL_REMOTE_BATCH;
    char name[MODEL_NAME_BYTES];

    model_short_name(arena_copy(&c->arena, c->job.model.p, c->job.model.len), name);
    if (m)
        c->price = model_price(m, name);
    service_model_done(c->service, m);
    if (!found || check_fleet(c, remote, e) < 0)
        return -1;
    if (!remote)
        return 0;
    if (o->budget_nano == 0 && o->budget_tokens == 0 && !(o->error_rate_max > 0))
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "The model is a batch service that takes whole jobs, where no budget and no "
                     "error rate can be held. Make the job without these limits.");
}

/* A test may say that the job fails. */
static int check_script(const struct check *c, struct error *e)
{
    struct script_whole whole;

    if (c->job.test.len == 0 || script_whole(c->job.test, &whole, e) < 0)
        return c->job.test.len ? -1 : 0;
    return whole.job == FATE_FAILED ? script_fail(ERROR_FAILED_PRECONDITION, e) : 0;
}

static int validate(struct check *c, struct error *e)
{
    struct ingest_result r = { 0 };
    struct predictor *p;
    int rc = -1;

    job_path(c->service, c->path, c->job.id, NULL);
    if (sys_mkdirs(c->path, e) < 0)
        return -1;
    job_path(c->service, c->path, c->job.id, JOB_LINE_ERRORS_FILE);
    c->errors_fd = sys_open(c->path, O_WRONLY | O_CREAT | O_TRUNC, e);
    if (c->errors_fd < 0)
        return -1;
    if (check_script(c, e) < 0 || check_limits(c, e) < 0)
        return -1;
    c->of_model = true;
    if (job_judge(c->service, &c->arena, &c->job, &p, e) < 0)
        return -1;
    c->of_model = false;
    rc = ingest_input(c, p, &r, e);
    if (p)
        p->ops->close(p);
    flush_errors(c);
    if (rc == 0)
        rc = record_line_errors(c, e);
    if (rc == 0)
        rc = judge(c, &r, e);
    ingest_result_release(&r);
    return rc;
}

/* ---- The checker's thread ---- */

/* Once an hour one of the checkers removes what no row names any more. */
static bool sweep_due(struct service *s)
{
    uint64_t now = service_now_ns(s);

    if (s->draining || s->env.idle || now < s->sweep_ns)
        return false;
    s->sweep_ns = now + SWEEP_EVERY_NS;
    return true;
}

/* One process of a fleet sweeps for all of them, and keeps that duty. */
static bool sweeps_store(struct service *s)
{
    struct error e;

    return !s->env.fleet || duty_take(s->env.store, "sweep", &e) == 1;
}

static void sweep(struct service *s)
{
    struct error e;
    uint64_t removed = 0;

    if (s->env.fleet)
        fleet_rows_sweep(s);
    if (!sweeps_store(s))
        return;
    if (file_expire(s->env.store, service_now_us(s), &e) < 0 ||
        blob_sweep(s->env.store, &removed, &e) < 0 || registry_sweep(s->env.store, &e) < 0)
        log_warn("old files are not removed: %s", e.msg);
    job_keep_sweep(s);
    if (s->env.tables && s->env.tables->ops->sweep(s->env.tables, &e) < 0)
        log_warn("old tables are not removed: %s", e.msg);
    if (removed)
        log_info("%llu unused blobs and uploads removed", (unsigned long long)removed);
}

static void give_back(struct service *s, int64_t id, uint64_t wait_ns)
{
    lock(&s->lock);
    struct entry *n = open_job_find(s, id);
    if (n) {
        n->busy = false;
        n->stale = true;
        n->not_before_ns = wait_ns ? service_now_ns(s) + wait_ns : 0;
        if (wait_ns == 0)
            n->failures = 0;
    }
    unlock(&s->lock);
    open_job_dirty(s, id);
}

/* Cancelled or deleted while it was checked: a deleted job's folder is removed. */
static void was_moved(struct check *c, const struct error *why)
{
    struct error e;

    log_info("job %lld: %s", (long long)c->job.id, why->msg);
    job_path(c->service, c->path, c->job.id, NULL);
    if (why->code == ERROR_NOT_FOUND && sys_remove_all(c->path, &e) < 0)
        log_warn("job %lld: %s", (long long)c->job.id, e.msg);
    give_back(c->service, c->job.id, 0);
}

/* A full disk or a drain never fails a job; other failures that may pass are tried a few times. */
static bool is_final(struct check *c, const struct error *why)
{
    struct service *s = c->service;

    bool full = why->code == ERROR_RESOURCE_EXHAUSTED && !tables_lack_memory(why);

    if (full || why->code == ERROR_CANCELLED)
        return false;
    if (s->env.fleet && !c->of_model && error_retryable(why->code))
        return false; /* a store that does not answer fails no job */
    if (!error_retryable(why->code))
        return true;
    lock(&s->lock);
    struct entry *n = open_job_find(s, c->job.id);
    bool enough = !n || ++n->failures >= SESSION_FAILURES_MAX;
    unlock(&s->lock);
    return enough;
}

/* A failure of the input is the job's end; what may get better only puts it off. */
static void failed(struct check *c, const struct error *why)
{
    struct service *s = c->service;
    struct error e;

    if (!is_final(c, why)) {
        log_warn("job %lld: %s; it waits", (long long)c->job.id, why->msg);
        give_back(s, c->job.id, (s->env.fleet ? FLEET_RETRY_S : FULL_RETRY_S) * NS_PER_S);
        return;
    }
    if (job_output_fail(s, &c->job, why, &e) == 0) {
        give_back(s, c->job.id, 0);
        return;
    }
    if (e.code == ERROR_FAILED_PRECONDITION || e.code == ERROR_NOT_FOUND) {
        was_moved(c, &e);
        return;
    }
    log_error("job %lld: %s", (long long)c->job.id, e.msg);
    give_back(s, c->job.id, FULL_RETRY_S * NS_PER_S);
}

static int find_and_validate(struct check *c, struct error *e)
{
    if (c->service->env.fleet && job_check_begin(c->service->env.store, &c->job, e) < 0)
        return -1;
    return check_input_find(c->service, &c->arena, &c->job, e) < 0 ? -1 : validate(c, e);
}

static void check_job(struct service *s, int64_t id)
{
    struct check c = { .service = s, .errors_fd = -1 };
    struct error e = { 0 };
    int rc = job_get(s->env.store, &c.arena, NULL, id, &c.job, &e);

    c.errors = BUF_INIT(ERRORS_WRITE_BYTES * 2);
    if (rc <= 0 || c.job.state != JOB_PENDING)
        give_back(s, id, rc < 0 ? NS_PER_S : 0);
    else if (find_and_validate(&c, &e) < 0)
        failed(&c, &e);
    else
        give_back(s, id, 0);
    if (c.errors_fd >= 0)
        (void)close(c.errors_fd);
    mem_free(c.cut);
    buf_release(&c.errors);
    arena_release(&c.arena);
}

/* One process of a fleet checks a job at a time, which saves the others the work. */
static void check_job_once(struct service *s, int64_t id)
{
    char duty[sizeof "check/" + 20];
    struct error e = { 0 };

    (void)snprintf(duty, sizeof duty, "check/%lld", (long long)id);
    int rc = duty_take(s->env.store, duty, &e);
    if (rc < 0)
        log_warn("job %lld: it is not checked now: %s", (long long)id, e.msg);
    if (rc <= 0) {
        give_back(s, id, NS_PER_S);
        return;
    }
    check_job(s, id);
    duty_end(s->env.store, duty);
}

/* Under the lock. True: it is time to look whether a replaced model can be closed. */
static bool wait_for_work(struct service *s)
{
    if (!s->replaced) {
        cond_wait(&s->check_wake, &s->lock);
        return false;
    }
    return !cond_wait_until(&s->check_wake, &s->lock, s->replaced_ns);
}

void *check_run(void *arg)
{
    struct service *s = arg;

    lock(&s->lock);
    while (!s->stopping) {
        bool works = !s->draining && !s->away && !s->env.idle;
        int64_t id = works ? scheduler_next_check(s) : 0;
        bool idle = id == 0, sweeps = idle && sweep_due(s);
        if (idle && !sweeps && !wait_for_work(s))
            continue;
        unlock(&s->lock);
        if (sweeps)
            sweep(s);
        else if (idle)
            service_close_replaced(s);
        else if (s->env.fleet)
            check_job_once(s, id);
        else
            check_job(s, id);
        lock(&s->lock);
    }
    unlock(&s->lock);
    return NULL;
}
