#include "engine/service/check_input.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "engine/service/service_inner.h"
#include "engine/service/table_input.h"
#include "engine/service/table_output.h"
#include "format/gs.h"
#include "format/job/gemini.h"
#include "format/job/vertex.h"

#define INPUT_OBJECTS_MAX 10000

/* A job whose input is looked for. */
struct finding {
    struct service *service;
    struct arena *arena;
    const struct job *job;
    struct job_input *input; /* what it reads */
    uint32_t count;
    uint64_t bytes;
};

static int add_input(struct finding *c, const char *name, int64_t blob, uint64_t bytes,
                     struct error *e)
{
    if (c->count == INPUT_OBJECTS_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, WHERE_TO_LOOK ". More than %d files match.",
                         INPUT_OBJECTS_MAX);
    c->input = arena_list_grow(c->arena, c->input, c->count, sizeof *c->input);
    struct str text = { arena_copy(c->arena, name, strlen(name)), strlen(name) };
    c->input[c->count++] = (struct job_input){ text, blob, bytes };
    c->bytes += bytes;
    return 0;
}

static const char *job_scope(const struct job *j)
{
    return j->open ? NULL : j->project;
}

static int no_bucket(struct str bucket, struct error *e)
{
    return error_set(e, ERROR_FAILED_PRECONDITION,
                     "Failed to get GCS bucket location for %.*s. Please check that the bucket "
                     "exists and permissions are set correctly.",
                     STR_ARG(bucket));
}

static int too_large(uint64_t bytes, uint64_t bytes_max, struct error *e)
{
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     WHERE_TO_LOOK ". The input has %s%llu bytes, the limit is %llu; split it, "
                                   "or raise service.input_bytes_max.",
                     bytes ? "" : "over ", (unsigned long long)(bytes ? bytes : bytes_max),
                     (unsigned long long)bytes_max);
}

/* The job reads and pins a blob with the content, which goes with the job. */
static int unpack(struct finding *c, const char *name, struct blob *b, struct error *e)
{
    struct service_settings set;

    service_settings(c->service, &set);
    const struct blob_content content = {
        .id = b->id,
        .name = name,
        .bytes_max = set.input_bytes_max > c->bytes ? set.input_bytes_max - c->bytes : 0,
        .stop = &c->service->halt,
    };
    if (blob_unpack(c->service->env.store, &content, b, e) == 0)
        return 0;
    return e->code == ERROR_OUT_OF_RANGE ? too_large(0, set.input_bytes_max, e) : -1;
}

static int add_object(struct finding *c, const struct object *o, struct error *e)
{
    char name[BUCKET_NAME_MAX + OBJECT_NAME_MAX + 8];
    struct blob b = o->blob;

    (void)snprintf(name, sizeof name, "gs://%.*s/%.*s", STR_ARG(o->bucket), STR_ARG(o->name));
    if (object_is_gzip(o) && unpack(c, name, &b, e) < 0)
        return -1;
    return add_input(c, name, b.id, b.bytes, e);
}

/* All objects that a name with wildcards matches, in the order of their names. */
static int add_matches(struct finding *c, struct str bucket, struct str pattern, struct error *e)
{
    struct str prefix = str_sub(pattern, 0, str_find(pattern, STR("*")));
    struct object_query q = { .project = job_scope(c->job),
                              .bucket = bucket,
                              .prefix = prefix,
                              .glob = pattern,
                              .most = 1000 };

    for (;;) {
        struct object_list page = { 0 };
        if (object_query(c->service->env.store, c->arena, &q, &page, e) < 0)
            return -1;
        for (uint32_t i = 0; i < page.count; i++)
            if (add_object(c, &page.item[i], e) < 0)
                return -1;
        if (page.last.len == 0)
            return 0;
        q.after = page.last;
    }
}

static int add_uri(struct finding *c, struct str uri, struct error *e)
{
    struct str bucket, name;
    struct bucket unused;
    struct object o;
    struct store *store = c->service->env.store;
    const char *scope = job_scope(c->job);
    uint32_t before = c->count;

    if (!gs_split(uri, &bucket, &name))
        return error_set(e, ERROR_INVALID_ARGUMENT, WHERE_TO_LOOK ". \"%.*s\" is not a gs:// URI.",
                         STR_ARG(uri));
    if (bucket_get(store, c->arena, scope, bucket, &unused, e) < 0)
        return e->code == ERROR_NOT_FOUND ? no_bucket(bucket, e) : -1;
    if (str_find(name, STR("*")) != SIZE_MAX) {
        if (add_matches(c, bucket, name, e) < 0)
            return -1;
        if (c->count > before)
            return 0;
    } else {
        if (object_get(store, c->arena,
                       &(struct object_ref){ .project = scope, .bucket = bucket, .name = name }, &o,
                       e) == 0)
            return add_object(c, &o, e);
        if (e->code != ERROR_NOT_FOUND)
            return -1;
    }
    return error_set(e, ERROR_INVALID_ARGUMENT, WHERE_TO_LOOK ". Not found: URI %.*s",
                     STR_ARG(uri));
}

static int check_folder(struct finding *c, struct error *e)
{
    struct str prefix = vertex_output_prefix(c->arena, c->job->spec), bucket, name;
    struct bucket unused;

    if (!gs_split(prefix, &bucket, &name))
        return error_set(e, ERROR_INVALID_ARGUMENT, "the output \"%.*s\" is not a gs:// URI",
                         STR_ARG(prefix));
    if (bucket_get(c->service->env.store, c->arena, job_scope(c->job), bucket, &unused, e) < 0)
        return e->code == ERROR_NOT_FOUND ? no_bucket(bucket, e) : -1;
    return 0;
}

/* The rows of a table, copied. */
static int add_table(struct finding *c, struct error *e)
{
    struct service_settings set;
    struct job_input copy;

    service_settings(c->service, &set);
    if (table_input_copy(c->service, c->arena, c->job, set.input_bytes_max, &copy, e) < 0)
        return -1;
    return add_input(c, arena_copy(c->arena, copy.name.p, copy.name.len), copy.blob, copy.bytes, e);
}

/* The output is looked at first: a table may be large. */
static int add_objects(struct finding *c, struct error *e)
{
    struct bq_name unused;
    struct str *uri;
    uint32_t count;

    if (vertex_output_table(c->arena, c->job, &unused)
            ? table_output_check(c->service, c->arena, c->job, NULL, e) < 0
            : check_folder(c, e) < 0)
        return -1;
    if (vertex_input_table(c->arena, c->job->spec, &unused))
        return add_table(c, e);
    if (vertex_inputs(c->arena, c->job->spec, &uri, &count, e) < 0)
        return -1;
    for (uint32_t i = 0; i < count; i++)
        if (add_uri(c, uri[i], e) < 0)
            return -1;
    return 0;
}

static int add_file(struct finding *c, struct error *e)
{
    struct str name = gemini_input_file(c->arena, c->job->spec);
    struct str id = str_sub(name, strlen("files/"), name.len);
    struct file f;
    char text[FILE_ID_BYTES + 8];

    if (file_get(c->service->env.store, c->arena, job_scope(c->job), id, &f, e) < 0)
        return e->code == ERROR_NOT_FOUND
                   ? error_set(e, ERROR_NOT_FOUND, "File %.*s is not there or has expired.",
                               STR_ARG(name))
                   : -1;
    (void)snprintf(text, sizeof text, "files/%s", f.id);
    return add_input(c, text, f.blob.id, f.blob.bytes, e);
}

/* A job that was made with its input pinned keeps that; a retry has that of the job it goes on
 * from. */
static int find_pinned(struct finding *c, struct error *e)
{
    struct store *store = c->service->env.store;

    if (job_inputs(store, c->arena, c->job->id, &c->input, &c->count, e) < 0)
        return -1;
    if (c->count == 0 && c->job->retry_of &&
        job_inputs(store, c->arena, c->job->retry_of, &c->input, &c->count, e) < 0)
        return -1;
    for (uint32_t i = 0; i < c->count; i++)
        c->bytes += c->input[i].bytes;
    return 0;
}

int check_input_find(struct service *s, struct arena *a, const struct job *j, struct error *e)
{
    struct finding c = { .service = s, .arena = a, .job = j };
    struct service_settings set;

    service_settings(s, &set);
    if (find_pinned(&c, e) < 0)
        return -1;
    if (c.count == 0 && j->retry_of)
        return error_set(e, ERROR_FAILED_PRECONDITION, "the job that this one retries is gone");
    if (c.count == 0 && (j->source == JOB_FILE ? add_file(&c, e) : add_objects(&c, e)) < 0)
        return -1;
    if (c.bytes > set.input_bytes_max)
        return too_large(c.bytes, set.input_bytes_max, e);
    return job_inputs_set(s->env.store, j, c.input, c.count, e);
}
