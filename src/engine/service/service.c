#include "engine/service/service_inner.h"

#include <assert.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/thread.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "engine/lines/peek.h"
#include "engine/service/job_metrics.h"
#include "engine/service/table_input.h"
#include "format/bigquery/name.h"
#include "format/job/gemini.h"
#include "predict/fake/script.h"
#include "store/fleet/fleet.h"

#define CHECKERS_MAX 16

static void on_change(void *arg, int64_t id)
{
    const struct service *s = arg;

    if (s->env.fleet)
        scheduler_look(arg);
    scheduler_dirty(arg, id);
}

void service_model_done(struct service *s, const struct model *m)
{
    if (m && s->env.model_done)
        s->env.model_done(s->env.arg, m);
}

static void release(struct service *s)
{
    for (uint32_t i = 0; i < s->hub_count; i++) {
        hub_free(s->hub[i].hub);
        mem_free(s->hub[i].base);
        service_model_done(s, s->hub[i].model);
    }
    for (size_t i = 0; i < s->entry_count; i++) {
        service_model_done(s, s->entry[i].model);
        mem_free(s->entry[i].live);
    }
    probe_stop(s->probe);
    limits_stop(s->limits);
    upstream_servers_free(s->servers);
    tables_cancel_release(&s->table_cancel);
    cond_destroy(&s->check_wake);
    cond_destroy(&s->keeper_wake);
    lock_destroy(&s->lock);
    chan_free(s->wake);
    mem_free(s->checker);
    mem_free(s->entry);
    mem_free(s->dirty);
    mem_free(s);
}

/* Without its threads there is no service: as when there is no memory. */
static void start_thread(pthread_t *thread, void *(*run)(void *), struct service *s,
                         const char *whose)
{
    if (pthread_create(thread, NULL, run, s) == 0)
        return;
    log_error("no thread could be made for the %s", whose);
    _exit(1);
}

static void start_threads(struct service *s)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t wanted = s->env.checkers ? s->env.checkers : (cores > 0 ? (uint32_t)cores : 1);

    s->checker = mem_array(CHECKERS_MAX, sizeof *s->checker);
    if (wanted > CHECKERS_MAX)
        wanted = CHECKERS_MAX;
    if (s->env.fleet)
        start_thread(&s->keeper, keeper_run, s, "keeper");
    start_thread(&s->scheduler, scheduler_run, s, "scheduler");
    start_thread(&s->checker[s->checker_count++], check_run, s, "checker");
    while (s->checker_count < wanted &&
           pthread_create(&s->checker[s->checker_count], NULL, check_run, s) == 0)
        s->checker_count++;
}

/* Other processes have what a process of a fleet held before; what is left of it in its folder is of no use. */
static int begin(struct service *s, struct error *e)
{
    char jobs[SERVICE_PATH_BYTES];

    if (!s->env.fleet)
        return job_recover(s->env.store, e);
    (void)snprintf(jobs, sizeof jobs, "%s/jobs", store_dir(s->env.store));
    if (sys_remove_all(jobs, e) < 0 || fleet_join(s->env.store, s->env.fleet, e) < 0)
        return -1;
    s->limits = limits_start(s->env.store, s->servers, e);
    s->probe = s->limits ? probe_start(s->env.store, e) : NULL;
    return s->probe ? 0 : -1;
}

struct service *service_start(const struct service_env *env, const struct service_settings *set,
                              struct error *e)
{
    struct service *s = mem_alloc(sizeof *s);

    s->env = *env;
    s->set = *set;
    lock_init(&s->lock);
    cond_init(&s->check_wake);
    cond_init(&s->keeper_wake);
    tables_cancel_init(&s->table_cancel);
    s->wake = chan_new(1);
    s->servers = upstream_servers_new(env->clock);
    atomic_init(&s->halt, false);
    if (begin(s, e) < 0 || scheduler_load(s, e) < 0) {
        release(s);
        return NULL;
    }
    jobs_on_change(env->store, on_change, s);
    start_threads(s);
    return s;
}

void service_set(struct service *s, const struct service_settings *set)
{
    lock(&s->lock);
    s->set = *set;
    if (!s->replaced)
        s->replaced_ns = deadline_in_ms(REPLACED_LOOK_MS);
    s->replaced = true;
    cond_broadcast(&s->check_wake);
    unlock(&s->lock);
    scheduler_all_dirty(s); /* their models may stand elsewhere now */
}

void service_settings(struct service *s, struct service_settings *out)
{
    lock(&s->lock);
    *out = s->set;
    unlock(&s->lock);
}

void service_wake(struct service *s)
{
    (void)chan_try_send(s->wake, s); /* full: it will look anyway */
}

static bool stands_still(const struct service *s)
{
    for (size_t i = 0; i < s->entry_count; i++)
        if (s->entry[i].busy)
            return false;
    return true;
}

void service_drain(struct service *s)
{
    const uint64_t pause_ns = 10 * NS_PER_MS;
    bool still = false;

    while (!still) {
        lock(&s->lock);
        s->draining = true;
        atomic_store(&s->halt, true);
        still = stands_still(s);
        unlock(&s->lock);
        tables_cancel_now(&s->table_cancel);
        service_wake(s);
        if (!still)
            clock_system()->sleep_ns(clock_system(), pause_ns);
    }
}

void service_free(struct service *s)
{
    if (!s)
        return;
    service_drain(s);
    jobs_on_change(s->env.store, NULL, NULL);
    lock(&s->lock);
    s->stopping = true;
    cond_broadcast(&s->check_wake);
    unlock(&s->lock);
    service_wake(s);
    thread_join(s->scheduler);
    for (uint32_t i = 0; i < s->checker_count; i++)
        thread_join(s->checker[i]);
    if (s->env.fleet) {
        lock(&s->lock);
        s->leaving = true;
        cond_broadcast(&s->keeper_wake);
        unlock(&s->lock);
        thread_join(s->keeper);
    }
    release(s);
}

struct upstream_servers *service_upstreams(struct service *s)
{
    return s->servers;
}

void service_upstreams_set(struct service *s, const struct upstream *u, uint32_t count)
{
    struct error e;

    for (uint32_t i = 0; i < count; i++)
        if (!upstream_server_of(s->servers, &u[i], &e))
            log_warn("%s", e.msg);
    upstream_servers_keep(s->servers, u, count);
}

/* ---- Models ---- */

static struct hub_entry *find_hub(struct service *s, const struct model *m)
{
    for (uint32_t i = 0; i < s->hub_count; i++)
        if (s->hub[i].model == m || model_shares_engine(s->hub[i].model, m))
            return &s->hub[i];
    return NULL;
}

/* Under the lock. */
static struct hub_entry *add_hub(struct service *s, const struct model *m)
{
    const struct predictor_env env = { .clock = s->env.clock,
                                       .seed = s->env.seed,
                                       .state_dir = s->env.state_dir,
                                       .servers = s->servers,
                                       .has_files = true };
    struct hub_entry *n = &s->hub[s->hub_count++];

    *n = (struct hub_entry){ .model = m, .base = mem_alloc(sizeof *n->base) };
    *n->base = *m;
    if (model_adapts(m))
        n->base->adapters.count = 0;
    n->hub = hub_new(n->base, &env, s->env.open);
    model_short_name(m->base ? m->base : m->pattern, n->name);
    return n;
}

/* A model and its hub, which both stay until service_hub_done. */
struct hub_use {
    const struct model *model;
    struct hub *hub;
    bool kept; /* the table of hubs has taken the hold on the model */
};

static int service_hub(struct service *s, const char *project, const char *name,
                       struct hub_use *out, struct error *e)
{
    const struct model *m = s->env.model(s->env.arg, project, name, e);

    if (!m)
        return -1;
    lock(&s->lock);
    struct hub_entry *n = find_hub(s, m);
    bool added = !n && s->hub_count < HUBS_MAX;
    if (added)
        n = add_hub(s, m);
    *out = (struct hub_use){ .model = m, .hub = n ? n->hub : NULL, .kept = added };
    if (n)
        n->users++;
    unlock(&s->lock);
    if (out->hub)
        return 0;
    service_model_done(s, m);
    return error_set(e, ERROR_RESOURCE_EXHAUSTED, "more than %d models are in use", HUBS_MAX);
}

/* The caller has a share or a call of its own by now, or gave up. */
static void service_hub_done(struct service *s, const struct hub_use *use)
{
    lock(&s->lock);
    struct hub_entry *n = find_hub(s, use->model);
    assert(n && n->users > 0 && n->hub == use->hub);
    n->users--;
    unlock(&s->lock);
    if (!use->kept)
        service_model_done(s, use->model);
}

/* Under the lock: takes one that can be closed out of the table; false: none can. s->replaced says whether
 * any is left. */
static bool take_replaced(struct service *s, struct hub_entry *out)
{
    s->replaced = false;
    s->replaced_ns = deadline_in_ms(REPLACED_LOOK_MS);
    for (uint32_t i = 0; s->env.current && i < s->hub_count; i++) {
        struct hub_entry n = s->hub[i];
        if (s->env.current(s->env.arg, n.model))
            continue;
        s->replaced = true;
        if (n.users || !hub_idle(n.hub))
            continue;
        s->hub[i] = s->hub[--s->hub_count];
        *out = n;
        return true;
    }
    return false;
}

void service_close_replaced(struct service *s)
{
    for (struct hub_entry n;;) {
        lock(&s->lock);
        bool found = take_replaced(s, &n);
        unlock(&s->lock);
        if (!found)
            return;
        hub_free(n.hub);
        mem_free(n.base);
        service_model_done(s, n.model);
        log_info("a model that the configuration replaced is closed");
    }
}

static double service_weight(struct service *s, const char *project)
{
    double weight = 1;

    lock(&s->lock);
    for (uint32_t i = 0; i < s->set.weight_count; i++)
        if (strcmp(s->set.weight[i].project, project) == 0)
            weight = s->set.weight[i].weight;
    unlock(&s->lock);
    return weight;
}

void service_models(struct service *s,
                    void (*fn)(void *arg, const char *model, const struct hub_stats *st), void *arg)
{
    for (uint32_t i = 0; i < HUBS_MAX; i++) {
        struct hub_stats st;
        lock(&s->lock);
        bool there = i < s->hub_count;
        struct hub_entry n = s->hub[i];
        if (there)
            hub_stats(n.hub, &st);
        unlock(&s->lock);
        if (!there)
            return;
        fn(arg, n.name, &st);
    }
}

/* ---- Online calls ---- */

/* An online call that is counted at its end. */
struct counted_call {
    struct online o;
    struct price price;
    uint32_t owner;
};

static void online_done(void *arg, struct answer *a)
{
    struct counted_call *c = arg;

    if (!c->o.counts)
        online_metrics(c->owner, a, &c->price);
    c->o.done(c->o.arg, a);
}

static void online_released(void *arg)
{
    struct counted_call *c = arg;

    if (c->o.released)
        c->o.released(c->o.arg);
    mem_free(c);
}

static struct counted_call *counted_call_new(const struct model *m, const struct online *o)
{
    struct counted_call *c = mem_alloc(sizeof *c);
    char name[MODEL_NAME_BYTES];

    model_short_name(o->model, name);
    c->o = *o;
    c->price = model_price(m, name);
    c->owner = job_owner(o->project, m->pattern);
    return c;
}

static int ask_hub(struct service *s, const struct hub_use *use, struct counted_call *call,
                   struct error *e)
{
    const struct online *o = &call->o;
    struct service_settings set;

    service_settings(s, &set);
    struct hub_call c = {
        .request = o->request,
        .project = o->project,
        .weight = service_weight(s, o->project),
        .adapters = model_adapts(use->model) ? &use->model->adapters : NULL,
        .deadline_ms = set.online_deadline_ms,
        .scripted = s->env.scripted,
        .script = o->script,
        .counts = o->counts,
        .owner = o->owner,
        .done = online_done,
        .released = online_released,
        .arg = call,
    };
    return hub_ask(use->hub, &c, e);
}

int service_ask(struct service *s, const struct online *o, struct error *e)
{
    struct hub_use use;

    if (service_hub(s, o->project, o->model, &use, e) < 0)
        return -1;
    int rc = model_takes_requests(use.model, e);
    if (rc == 0) {
        struct counted_call *c = counted_call_new(use.model, o);
        rc = ask_hub(s, &use, c, e);
        if (rc < 0)
            mem_free(c);
    }
    service_hub_done(s, &use);
    return rc;
}

void service_drop(struct service *s, const void *owner)
{
    lock(&s->lock);
    for (uint32_t i = 0; i < s->hub_count; i++)
        hub_drop(s->hub[i].hub, owner);
    unlock(&s->lock);
}

/* ---- Jobs ---- */

const struct model *job_model(struct service *s, struct arena *a, const struct job *j,
                              struct error *e)
{
    return s->env.model(s->env.arg, j->project, arena_copy(a, j->model.p, j->model.len), e);
}

int job_judge(struct service *s, struct arena *a, const struct job *j, struct predictor **out,
              struct error *e)
{
    const struct model *m = job_model(s, a, j, e);

    bool alone = m && m->kind == MODEL_REMOTE_BATCH;

    service_model_done(s, m);
    *out = NULL;
    if (!m || alone)
        return m ? 0 : -1;
    *out = job_predictor(s, a, j, 0, e);
    return *out ? 0 : -1;
}

struct predictor *job_predictor(struct service *s, struct arena *a, const struct job *j,
                                uint64_t turn, struct error *e)
{
    struct hub_use use;

    if (service_hub(s, j->project, arena_copy(a, j->model.p, j->model.len), &use, e) < 0)
        return NULL;
    struct hub_share who = {
        .project = j->project,
        .weight = service_weight(s, j->project),
        .priority = j->priority,
        .age = (uint64_t)j->id + turn, /* ids are times in nanoseconds */
        .adapters = model_adapts(use.model) ? &use.model->adapters : NULL,
    };
    struct predictor *p = hub_join(use.hub, &who, e);
    service_hub_done(s, &use);
    if (!p || !s->env.scripted)
        return p;
    const char *deflt = j->test.len ? arena_copy(a, j->test.p, j->test.len) : NULL;
    return predictor_scripted(p, deflt, s->env.clock, e);
}

void job_path(const struct service *s, char out[SERVICE_PATH_BYTES], int64_t id, const char *name)
{
    (void)snprintf(out, SERVICE_PATH_BYTES, "%s/jobs/%lld%s%s", store_dir(s->env.store),
                   (long long)id, name ? "/" : "", name ? name : "");
}

const char *job_index_path(const struct service *s, struct arena *a, const struct input *in,
                           int64_t id)
{
    char path[SERVICE_PATH_BYTES];

    if (in->bytes < INDEX_INPUT_MIN)
        return NULL;
    job_path(s, path, id, "lines.index");
    return arena_copy(a, path, strlen(path));
}

int job_input_open(struct service *s, struct arena *a, int64_t id, struct input *in,
                   struct error *e)
{
    struct job_input *pin;
    uint32_t count = 0, opened = 0;

    if (job_inputs(s->env.store, a, id, &pin, &count, e) < 0)
        return -1;
    if (count == 0)
        return error_set(e, ERROR_FAILED_PRECONDITION, "the job has no input");
    struct input_source *src = arena_array(a, count, sizeof *src);
    while (opened < count) {
        src[opened].name = arena_copy(a, pin[opened].name.p, pin[opened].name.len);
        src[opened].fd = blob_open(s->env.store, pin[opened].blob, e);
        if (src[opened].fd < 0)
            break;
        opened++;
    }
    if (opened < count) {
        while (opened > 0)
            (void)close(src[--opened].fd);
        return error_wrap(e, "the job's input");
    }
    if (input_open_fds(in, src, count, e) < 0)
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        if (table_input_is_copy(pin[i].name) && table_input_begin(&in->file[i], e) < 0) {
            input_release(in);
            return -1;
        }
    }
    return 0;
}

struct line_rules job_rules(const struct job *j)
{
    struct line_rules rules = { .strict = j->options.strict };

    if (j->source != JOB_OBJECTS)
        rules.kinds = gemini_kind_of(j) == GEMINI_EMBED ? LINES_EMBED : LINES_GENERATE;
    return rules;
}

static bool is_retried(struct service *s, int64_t id)
{
    bool found = false;

    lock(&s->lock);
    for (size_t i = 0; i < s->entry_count && !found; i++)
        found = s->entry[i].retry_of == id;
    unlock(&s->lock);
    return found;
}

static int get_job(struct service *s, struct arena *a, const char *project, int64_t id,
                   struct job *j, struct error *e)
{
    int rc = job_get(s->env.store, a, project, id, j, e);

    if (rc == 0)
        return error_set(e, ERROR_NOT_FOUND, "job %lld is not there", (long long)id);
    return rc < 0 ? -1 : 0;
}

int service_delete(struct service *s, const char *project, int64_t id, struct error *e)
{
    char path[SERVICE_PATH_BYTES];
    struct arena a = { 0 };
    struct job j;

    int rc = get_job(s, &a, project, id, &j, e); /* first: another project's id is not found */
    arena_release(&a);
    if (rc < 0)
        return -1;
    if (is_retried(s, id))
        return error_set(e, ERROR_FAILED_PRECONDITION,
                         "a job that retries this one is not done yet; cancel that first");
    if (job_delete(s->env.store, project, id, e) < 0)
        return -1;
    job_path(s, path, id, NULL);
    return sys_remove_all(path, e);
}

int service_retry(struct service *s, struct arena *a, const char *project, int64_t id,
                  struct job *out, struct error *e)
{
    struct job old;
    bool existed;

    if (get_job(s, a, project, id, &old, e) < 0)
        return -1;
    if (!job_failures_left(&old))
        return error_set(e, ERROR_FAILED_PRECONDITION,
                         job_state_final(old.state) ? "the job has no failed lines"
                                                    : "the job is not done yet");
    *out = old;
    out->id = 0;
    out->batch[0] = '\0';
    out->state = JOB_PENDING;
    out->asked = ASKED_NOTHING;
    out->retry_of = id;
    out->test = (struct str){ 0 }; /* what was scripted for the first is not for this one */
    out->trace = (struct str){ 0 };
    out->request_id = out->output = out->error_message = out->pause_reason = (struct str){ 0 };
    out->error = ERROR_OK;
    out->result = out->fence = 0;
    out->create_us = out->queue_us = out->start_us = out->end_us = out->update_us = 0;
    out->ran_us = out->stretch_us = 0;
    out->counters = (struct counters){ 0 };
    return job_create(s->env.store, a, out, NULL, &existed, e);
}

/* ---- The rows of a job so far ---- */

/* Bytes up to and with the last line end; 0 when there is none. */
static uint64_t up_to_line_end(const char *p, int64_t bytes)
{
    while (bytes > 0 && p[bytes - 1] != '\n')
        bytes--;
    return (uint64_t)bytes;
}

/* Bytes up to the last line end: a row may be half written. */
static int whole_rows(int fd, uint64_t *bytes, struct error *e)
{
    char piece[64 * 1024];
    struct stat st;

    if (fstat(fd, &st) < 0)
        return error_errno(e, "the job's output");
    for (uint64_t end = (uint64_t)st.st_size; end > 0;) {
        uint64_t from = end > sizeof piece ? end - sizeof piece : 0;
        int64_t n = sys_read_at(fd, piece, (size_t)(end - from), from, "the job's output", e);
        if (n < 0)
            return -1;
        uint64_t whole = up_to_line_end(piece, n);
        if (whole > 0) {
            *bytes = from + whole;
            return 0;
        }
        end = from;
    }
    *bytes = 0;
    return 0;
}

static int open_rows(const char *path, uint64_t *bytes, struct error *e)
{
    int fd = sys_open(path, O_RDONLY, e);

    if (fd < 0)
        return -1;
    if (whole_rows(fd, bytes, e) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

static int open_result(struct service *s, int64_t blob, uint64_t *bytes, struct error *e)
{
    struct stat st;
    int fd = blob_open(s->env.store, blob, e);

    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0) {
        (void)close(fd);
        return error_errno(e, "the job's result");
    }
    *bytes = (uint64_t)st.st_size;
    return fd;
}

static int in_table(const struct job *j, struct error *e)
{
    return error_set(
        e, ERROR_FAILED_PRECONDITION,
        "The job's results are the table %.*s. Read them there, or with `tranche table "
        "export`.",
        STR_ARG(j->output));
}

int service_results(struct service *s, const struct job *j, uint64_t *bytes, struct error *e)
{
    char path[SERVICE_PATH_BYTES];
    struct error why = { 0 };
    int fd = -1;

    if (j->result)
        return open_result(s, j->result, bytes, e);
    if (job_state_final(j->state) && bq_is(j->output))
        return in_table(j, e);
    if (s->env.fleet)
        return fleet_results(s, j, bytes, e);
    /* The last is there for the moment between the last row and the job's end. */
    static const char *const names[] = { "output.jsonl.partial", "output.jsonl" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        job_path(s, path, j->id, names[i]);
        fd = open_rows(path, bytes, &why);
        if (fd >= 0)
            return fd;
        if (why.code != ERROR_NOT_FOUND) {
            *e = why;
            return -1;
        }
    }
    return error_set(e, ERROR_NOT_FOUND, "the job has no results yet");
}

enum row_style job_row_style(const struct job *j)
{
    static const enum row_style styles[] = {
        [JOB_OBJECTS] = ROW_VERTEX,
        [JOB_FILE] = ROW_KEYED,
        [JOB_INLINE] = ROW_INLINED,
    };

    return styles[j->source];
}

static int add_row(void *arg, uint64_t index, struct str row, struct error *e)
{
    (void)index;
    return sys_write_all(*(const int *)arg, row.p, row.len, "the rows so far", e);
}

/* Into a file without a name, which goes when it was sent. */
static int peek_into(struct service *s, const struct job *j, int fd, struct error *e)
{
    char dir[SERVICE_PATH_BYTES];
    struct arena a = { 0 };
    struct input in = { 0 };
    struct spool *spool = NULL;
    int rc = -1;

    job_path(s, dir, j->id, NULL);
    if (job_input_open(s, &a, j->id, &in, e) == 0)
        spool = spool_peek(dir, e);
    if (spool) {
        const struct peek p = {
            .input = &in,
            .spool = spool,
            .rules = job_rules(j),
            .style = job_row_style(j),
            .on_row = add_row,
            .arg = &fd,
        };
        rc = peek_run(&p, e);
    }
    spool_close(spool);
    input_release(&in);
    arena_release(&a);
    return rc;
}

int service_results_done(struct service *s, const struct job *j, uint64_t *bytes, struct error *e)
{
    char dir[SERVICE_PATH_BYTES];
    struct stat st;

    if (j->result)
        return open_result(s, j->result, bytes, e);
    if (job_state_final(j->state) && bq_is(j->output))
        return in_table(j, e);
    if (s->env.fleet)
        return fleet_results_done(s, j, bytes, e);
    job_path(s, dir, j->id, NULL);
    if (access(dir, F_OK) < 0)
        return error_set(e, ERROR_NOT_FOUND, "the job has no results yet");
    int fd = sys_open_nameless(dir, e);
    if (fd >= 0 && peek_into(s, j, fd, e) == 0 && fstat(fd, &st) == 0) {
        *bytes = (uint64_t)st.st_size;
        return fd;
    }
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

int service_line_errors(struct service *s, const struct job *j, uint64_t *bytes, struct error *e)
{
    char path[SERVICE_PATH_BYTES];

    if (s->env.fleet)
        return fleet_line_errors(s, j, bytes, e);
    job_path(s, path, j->id, JOB_LINE_ERRORS_FILE);
    int fd = open_rows(path, bytes, e);
    if (fd >= 0 || e->code != ERROR_NOT_FOUND)
        return fd;
    return error_set(e, ERROR_NOT_FOUND, "the job's input has not been checked");
}
