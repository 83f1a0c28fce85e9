/* output.c -- the end of a job: its output becomes an object or a file, its folder goes. */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/log.h"
#include "base/sys.h"
#include "engine/service/service_inner.h"
#include "engine/service/job_metrics.h"
#include "format/gs.h"
#include "format/trace.h"
#include "format/job/vertex.h"

#define HOUR_US ((int64_t)3600 * 1000000)
#define OUTPUT_TYPE "application/jsonl"

static const char *const run_files[] = { "output.jsonl", "output.jsonl.partial", "lock",
                                         "lines.index", "lines.index.tmp" };

bool job_failures_left(const struct job *j)
{
    return job_state_final(j->state) && j->counters.failed + j->counters.not_run > 0;
}

enum job_state job_ends_as(enum stop_reason why)
{
    assert(why == STOP_CANCEL || why == STOP_EXPIRE);
    return why == STOP_EXPIRE ? JOB_EXPIRED : JOB_CANCELLED;
}

void job_set_reason(struct job *j, enum job_state to)
{
    assert(to == JOB_CANCELLED || to == JOB_EXPIRED);
    j->error = to == JOB_EXPIRED ? ERROR_DEADLINE_EXCEEDED : ERROR_CANCELLED;
    j->error_message = to == JOB_EXPIRED
                           ? STR("The job has expired: it was not done within its time. Lines that "
                                 "were not run say so in the output.")
                           : STR("CANCELED");
}

void job_not_run(enum stop_reason why, struct error *e)
{
    bool expired = job_ends_as(why) == JOB_EXPIRED;

    (void)error_set(e, expired ? ERROR_DEADLINE_EXCEEDED : ERROR_CANCELLED, "%s",
                    expired ? "The batch expired before this line was run."
                            : "The batch was cancelled before this line was run.");
}

/* The output's folder: "gs://bucket/prefix/prediction-model-<time>"; empty for none. */
static struct str job_output_dir(struct arena *a, const struct job *j)
{
    struct str prefix = vertex_output_prefix(a, j->spec);
    char time[CLOCK_TEXT_BYTES];
    size_t bytes = prefix.len + sizeof "/prediction-model-" + CLOCK_TEXT_BYTES;
    char *out = arena_alloc(a, bytes);

    if (j->source != JOB_OBJECTS)
        return (struct str){ 0 };
    clock_format_rfc3339(j->create_us, time);
    (void)snprintf(out, bytes, "%.*s/prediction-model-%s", STR_ARG(prefix), time);
    return str_of(out);
}

static void fill_object(struct arena *a, const struct job *j, const struct blob *b,
                        struct object_new *o)
{
    struct str dir = job_output_dir(a, j), bucket = { 0 }, name = { 0 };
    size_t bytes = dir.len + sizeof "/predictions.jsonl";
    char *path = arena_alloc(a, bytes);

    (void)snprintf(path, bytes, "%.*s/predictions.jsonl", STR_ARG(dir));
    static_assert(sizeof "/prediction-model-/predictions.jsonl" + CLOCK_TEXT_BYTES <=
                      VERTEX_OUTPUT_NAME_BYTES,
                  "a prefix that was accepted gives a name");
    (void)gs_split(str_of(path), &bucket, &name);
    *o = (struct object_new){
        .project = j->open ? NULL : arena_copy(a, j->project, strlen(j->project)),
        .bucket = bucket,
        .name = name,
        .blob = *b,
        .content_type = STR(OUTPUT_TYPE),
        .when = OBJECT_ANY,
    };
}

static void fill_file(struct service *s, struct arena *a, const struct job *j, const struct blob *b,
                      struct file_new *f)
{
    struct service_settings set;

    service_settings(s, &set);
    *f = (struct file_new){
        .project = arena_copy(a, j->project, strlen(j->project)),
        .display_name = j->display_name,
        .mime = STR(OUTPUT_TYPE),
        .blob = *b,
        .origin = FILE_GENERATED,
        .expire_us = service_now_us(s) + set.file_hours * HOUR_US,
    };
    (void)snprintf(f->id, sizeof f->id, "batch-%s", j->batch);
}

int job_output_take(struct service *s, int64_t id, struct blob_hasher *seen, struct blob *out,
                    struct error *e)
{
    char path[SERVICE_PATH_BYTES];

    job_path(s, path, id, "output.jsonl");
    return blob_adopt(s->env.store, path, seen, out, e);
}

/* Which row makes the finished rows known depends on the dialect. */
static void name_result(struct service *s, struct arena *a, struct job *j, const struct blob *b,
                        struct job_end *end)
{
    struct object_new *object = arena_alloc(a, sizeof *object);
    struct file_new *file = arena_alloc(a, sizeof *file);

    j->result = b->id;
    switch (j->source) {
    case JOB_OBJECTS:
        fill_object(a, j, b, object);
        end->object = object;
        j->output = job_output_dir(a, j);
        break;
    case JOB_FILE:
        fill_file(s, a, j, b, file);
        end->file = file;
        j->output = str_of(arena_textf(a, "files/%s", file->id));
        break;
    case JOB_INLINE:
        break;
    }
}

/* The end of its log line; text: room for it. */
static const char *trace_note(const struct job *j, char text[sizeof " trace=" + TRACE_ID_BYTES])
{
    struct trace t;

    trace_of_text(j->trace, &t);
    (void)snprintf(text, sizeof " trace=" + TRACE_ID_BYTES, "%s%s", t.id[0] ? " trace=" : "", t.id);
    return text;
}

/* The spool stays while lines could be run again from it; the list of bad lines always. */
static void tidy(struct service *s, const struct job *j)
{
    char path[SERVICE_PATH_BYTES];
    struct error e;
    static const char *const spool_files[] = { "spool.db", "spool.db-wal", "spool.db-shm", "from" };

    for (size_t i = 0; i < ARRAY_LEN(run_files); i++) {
        job_path(s, path, j->id, run_files[i]);
        if (sys_remove_all(path, &e) < 0)
            log_warn("job %lld: %s", (long long)j->id, e.msg);
    }
    for (size_t i = 0; !job_failures_left(j) && i < ARRAY_LEN(spool_files); i++) {
        job_path(s, path, j->id, spool_files[i]);
        if (sys_remove_all(path, &e) < 0)
            log_warn("job %lld: %s", (long long)j->id, e.msg);
    }
}

/* The answers are there but their bucket or table cannot be written: the job says so and keeps them as its
 * result. what: is written. */
static int keep_answers(struct service *s, struct job *j, struct str what, const struct error *why,
                        struct error *e)
{
    char trace[sizeof " trace=" + TRACE_ID_BYTES];
    struct job_end end = { .to = JOB_FAILED };
    char text[ERROR_MSG_BYTES];

    (void)snprintf(
        text, sizeof text,
        "Cannot write %.*s: %.300s. The answers are kept: `tranche results %lld` fetches "
        "them.",
        STR_ARG(what), why->msg, (long long)j->id);
    j->error = why->code == ERROR_NOT_FOUND ? ERROR_PERMISSION_DENIED : why->code;
    j->error_message = str_of(text);
    j->output = (struct str){ 0 }; /* nothing is there */
    int rc = job_finish(s->env.store, j, &end, e);
    j->error_message = (struct str){ 0 }; /* text ends here */
    if (rc < 0)
        return -1;
    log_warn("job %lld: failed: %s%s", (long long)j->id, text, trace_note(j, trace));
    job_metrics_end(j);
    tidy(s, j);
    return 0;
}

int job_output_finish(struct service *s, struct arena *a, struct job *j, enum job_state to,
                      const struct blob *output, struct error *e)
{
    char trace[sizeof " trace=" + TRACE_ID_BYTES];
    struct job_end end = { .to = to };

    if (output)
        name_result(s, a, j, output, &end);
    int rc = job_finish(s->env.store, j, &end, e);
    if (rc < 0 && end.object &&
        (e->code == ERROR_NOT_FOUND || e->code == ERROR_PERMISSION_DENIED)) {
        struct error why = *e;
        const char *file = arena_textf(a, "%.*s/predictions.jsonl", STR_ARG(j->output));
        return keep_answers(s, j, str_of(file), &why, e);
    }
    if (rc < 0)
        return -1;
    log_info("job %lld: %s, %llu answered, %llu failed, %llu not run%s", (long long)j->id,
             job_state_name(to), (unsigned long long)j->counters.succeeded,
             (unsigned long long)j->counters.failed, (unsigned long long)j->counters.not_run,
             trace_note(j, trace));
    job_metrics_end(j);
    tidy(s, j);
    return 0;
}

/* The bytes of a finished file, for those who write nothing else than a file of them. */
static int hash_file(const char *path, struct blob_hasher *h, struct error *e)
{
    char piece[64 * 1024];
    int fd = sys_open(path, O_RDONLY, e);
    int64_t n = fd < 0 ? -1 : 1;

    for (uint64_t at = 0; n > 0; at += (uint64_t)n) {
        n = sys_read_at(fd, piece, sizeof piece, at, path, e);
        if (n > 0)
            blob_hasher_add(h, piece, (size_t)n);
    }
    if (fd >= 0)
        (void)close(fd);
    return n < 0 ? -1 : 0;
}

int job_file_take(struct service *s, const char *path, struct blob *out, struct error *e)
{
    struct blob_hasher *h = blob_hasher_new(e);
    int rc = h ? hash_file(path, h, e) : -1;

    if (rc == 0)
        rc = blob_adopt(s->env.store, path, h, out, e);
    blob_hasher_free(h);
    return rc;
}

int job_output_keep(struct service *s, struct job *j, int64_t rows, struct str table,
                    const struct error *why, struct error *e)
{
    j->result = rows;
    return keep_answers(s, j, table, why, e);
}

int job_output_fail(struct service *s, struct job *j, const struct error *why, struct error *e)
{
    char trace[sizeof " trace=" + TRACE_ID_BYTES];
    struct job_end end = { .to = JOB_FAILED };

    j->error = why->code;
    j->error_message = str_of(why->msg);
    j->counters.not_run += counters_pending(&j->counters);
    if (job_finish(s->env.store, j, &end, e) < 0)
        return -1;
    log_warn("job %lld: failed: %s%s", (long long)j->id, why->msg, trace_note(j, trace));
    job_metrics_end(j);
    tidy(s, j);
    return 0;
}
