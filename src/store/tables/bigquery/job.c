/* job.c -- a job of BigQuery that runs once, however often it is asked for.
 *
 * Why: a job's id is made of its key. After a crash or a lost answer BigQuery refuses the id a second time
 * (409), and then that job is the one to wait for. A job that failed gives its id up: the next attempt has a
 * number behind it.
 */
#include "store/tables/bigquery/inner.h"

#include <stdio.h>

#include <xxhash.h>

#include "base/random.h"

#define ATTEMPTS_MAX 100 /* numbers behind an id */
#define RUNS_MAX 5       /* of a job that fails by itself, in one call */
#define UPLOADS_MAX 3    /* of a file whose upload BigQuery forgot */
#define LOOK_MS 50       /* the first look at a job */
#define LOOK_MAX_MS 2000
#define RESOURCE_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define ID_BYTES 64

void rest_key(struct str project, struct str key, char out[REST_KEY_BYTES])
{
    struct buf text = BUF_INIT(TABLES_KEY_BYTES_MAX + 512);

    buf_add_json(&text, project);
    buf_add_json(&text, key);
    const XXH128_hash_t hash = XXH3_128bits(text.p, text.len);
    (void)snprintf(out, REST_KEY_BYTES, "%016llx%016llx", (unsigned long long)hash.high64,
                   (unsigned long long)hash.low64);
    buf_release(&text);
}

struct str rest_payer(const struct bigquery *b, struct str project)
{
    return b->project.len ? b->project : project;
}

struct running {
    struct bigquery *b;
    const struct rest_job *j;
    struct arena *arena;
    struct str location;
    char base[ID_BYTES]; /* of the id */
    const char *id;      /* with its attempt */
    atomic_bool stop;
};

static void on_cancel(void *arg)
{
    struct running *r = arg;

    atomic_store(&r->stop, true);
}

static const char *job_path(struct running *r, const char *action)
{
    const struct str part[] = { r->j->project, str_of(r->id), r->location };

    return rest_path(r->arena,
                     arena_textf(r->arena, "/projects/{}/jobs/{}%s?prettyPrint=false%s", action,
                                 r->location.len ? "&location={}" : ""),
                     part);
}

/* ---- Its state ---- */

static yyjson_val *job_get(struct running *r, struct error *e)
{
    const struct rest_call call = { .method = "GET", .path = job_path(r, ""), .stop = &r->stop };

    return rest_ask(r->b, &call, r->arena, e);
}

/* -1 with the error of a job that failed; *again: another attempt may go well. */
static int job_judge(yyjson_val *job, bool *again, struct error *e)
{
    yyjson_val *fault = json_get(json_get(job, "status"), "errorResult");
    struct str said = json_str(json_get(fault, "message"));

    *again = false;
    if (!fault)
        return 0;
    enum error_code code = rest_reason(json_str(json_get(fault, "reason")), again);
    return error_set(e, code == ERROR_UNKNOWN ? ERROR_INTERNAL : code, "%.*s", STR_ARG(said));
}

/* Tells BigQuery to stop a job that nobody waits for any more. */
static void job_cancel(struct running *r)
{
    const struct rest_call call = {
        .method = "POST", .path = job_path(r, "/cancel"), .body = STR("{}"), .once = true
    };
    struct error ignored;

    (void)rest_ask(r->b, &call, r->arena, &ignored);
}

/* The job when it is done. */
static yyjson_val *job_wait(struct running *r, yyjson_val *job, struct error *e)
{
    struct arena scratch = { 0 }, *kept = r->arena;
    uint64_t ms = LOOK_MS;

    while (job && !str_eq_c(json_str(json_get(json_get(job, "status"), "state")), "DONE")) {
        for (uint64_t slept = 0; slept < ms && !atomic_load(&r->stop); slept += LOOK_MS)
            r->b->clock->sleep_ns(r->b->clock, LOOK_MS * NS_PER_MS);
        ms = ms * 3 / 2 < LOOK_MAX_MS ? ms * 3 / 2 : LOOK_MAX_MS;
        arena_reset(&scratch);
        r->arena = &scratch;
        job = atomic_load(&r->stop) ? NULL : job_get(r, e);
        r->arena = kept;
    }
    if (!job && atomic_load(&r->stop)) {
        job_cancel(r);
        (void)error_set(e, ERROR_CANCELLED, "The job was stopped.");
    }
    if (job && scratch.bytes) { /* it lies in the scratch */
        size_t at;
        job = json_parse(kept, json_text(&scratch, job), &at, e);
    }
    arena_release(&scratch);
    return job;
}

/* ---- Its start ---- */

static struct str job_resource(struct running *r)
{
    struct buf out = BUF_INIT(RESOURCE_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&out);

    json_object(&w, NULL);
    json_object(&w, "jobReference");
    json_add_text(&w, "projectId", r->j->project);
    if (!r->j->dry_run)
        json_add_c(&w, "jobId", r->id);
    if (r->location.len)
        json_add_text(&w, "location", r->location);
    json_end(&w);
    json_add_raw(&w, "configuration", r->j->configuration);
    json_end(&w);
    struct str text = rest_copy(r->arena, buf_str(&out));
    buf_release(&out);
    return text;
}

static yyjson_val *job_insert(struct running *r, struct str resource, struct error *e)
{
    const struct rest_call call = {
        .method = "POST",
        .path = rest_path(r->arena, "/projects/{}/jobs?prettyPrint=false", &r->j->project),
        .body = resource,
        .stop = &r->stop,
    };

    if (r->j->path)
        return rest_upload(r->b, r->j, resource, r->arena, &r->stop, e);
    return rest_ask(r->b, &call, r->arena, e);
}

/* Starts it; one of that id that is there already is as good. */
static yyjson_val *job_start(struct running *r, struct error *e)
{
    struct str resource = job_resource(r);

    for (uint32_t uploads = 1;; uploads++) {
        struct error why = { 0 }, absent = { 0 };
        yyjson_val *job = job_insert(r, resource, &why);
        if (!job && why.code == ERROR_ALREADY_EXISTS)
            return job_get(r, e);
        if (job || why.code != ERROR_ABORTED) {
            *e = job ? *e : why;
            return job;
        }
        job = job_get(r, &absent);
        if (job || absent.code != ERROR_NOT_FOUND || uploads == UPLOADS_MAX) {
            *e = job ? *e : why;
            return job;
        }
    }
}

/* ---- Attempts ---- */

static int begin(struct running *r, struct bigquery *b, const struct rest_job *j, struct arena *a,
                 struct error *e)
{
    *r = (struct running){
        .b = b, .j = j, .arena = a, .location = j->location.len ? j->location : b->location
    };
    if (rest_project_check(j->project, e) < 0)
        return -1;
    if (j->key.len) {
        char key[REST_KEY_BYTES];
        rest_key(j->project, j->key, key);
        (void)snprintf(r->base, sizeof r->base, "tranche_%s", key);
        return 0;
    }
    char random[2 * 16 + 1];
    if (random_hex(random, 16, e) < 0)
        return -1;
    (void)snprintf(r->base, sizeof r->base, "tranche_%s", random);
    return 0;
}

static void number(struct running *r, uint32_t attempt)
{
    r->id = attempt ? arena_textf(r->arena, "%s_%u", r->base, attempt) : r->base;
}

/* 1: an earlier attempt went well, and *out is its job. 0: none did, and *free is the next number. */
static int find(struct running *r, uint32_t *free, yyjson_val **out, struct error *e)
{
    for (*free = 0; *free < ATTEMPTS_MAX; ++*free) {
        struct error why = { 0 };
        bool again;
        number(r, *free);
        yyjson_val *job = job_get(r, &why);
        if (!job && why.code == ERROR_NOT_FOUND)
            return 0;
        if (!job) {
            *e = why;
            return -1;
        }
        *out = job_wait(r, job, e);
        if (!*out)
            return -1;
        if (job_judge(*out, &again, &why) == 0)
            return 1;
    }
    return error_set(e, ERROR_RESOURCE_EXHAUSTED, "%d attempts of this job have failed",
                     ATTEMPTS_MAX);
}

int rest_job_find(struct bigquery *b, const struct rest_job *j, struct arena *a, yyjson_val **out,
                  struct error *e)
{
    struct running r;
    uint32_t ignored;

    return begin(&r, b, j, a, e) < 0 ? -1 : find(&r, &ignored, out, e);
}

static yyjson_val *run(struct running *r, uint32_t attempt, struct error *e)
{
    for (uint32_t runs = 0;; runs++, attempt++) {
        struct error why = { 0 };
        bool again = false;
        number(r, attempt);
        yyjson_val *job = job_start(r, e);
        if (job && r->j->dry_run)
            return job;
        job = job ? job_wait(r, job, e) : NULL;
        if (!job)
            return NULL;
        if (job_judge(job, &again, &why) == 0)
            return job;
        if (!again || runs + 1 >= RUNS_MAX) {
            *e = why;
            return NULL;
        }
        if (rest_pause(r->b, runs, 0, &r->stop, e) < 0)
            return NULL;
    }
}

yyjson_val *rest_job_run(struct bigquery *b, const struct rest_job *j, struct arena *a, bool *again,
                         struct error *e)
{
    struct running r;
    uint32_t attempt = 0;
    yyjson_val *job = NULL;

    *again = false;
    if (begin(&r, b, j, a, e) < 0)
        return NULL;
    if (!tables_cancel_set(j->cancel, on_cancel, &r)) {
        tables_cancel_set(j->cancel, NULL, NULL);
        (void)error_set(e, ERROR_CANCELLED, "The job was stopped.");
        return NULL;
    }
    int found = j->key.len && !j->dry_run ? find(&r, &attempt, &job, e) : 0;
    *again = found == 1;
    if (found == 0)
        job = run(&r, attempt, e);
    tables_cancel_set(j->cancel, NULL, NULL);
    return found < 0 ? NULL : job;
}
