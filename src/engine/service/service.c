#include "engine/service/service_inner.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/thread.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "engine/service/table_input.h"
#include "format/job/gemini.h"
#include "store/fleet/fleet.h"

#define CHECKERS_MAX 16

static void on_change(void *arg, int64_t id)
{
    const struct service *s = arg;

    if (s->env.fleet)
        open_jobs_look(arg);
    open_job_dirty(arg, id);
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
    if (begin(s, e) < 0 || open_jobs_load(s, e) < 0) {
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
    open_jobs_all_dirty(s); /* their models may stand elsewhere now */
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

/* ---- Jobs ---- */

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
    rc = job_retried(s->env.store, id, e);
    if (rc == 1)
        return error_set(e, ERROR_FAILED_PRECONDITION,
                         "a job that retries this one is not done yet; cancel that first");
    if (rc < 0)
        return -1;
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
