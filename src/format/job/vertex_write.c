/* vertex_write.c -- a job as the BatchPredictionJob resource, with the members its state gives it. */
#include "format/job/vertex.h"

#include <inttypes.h>

#include "format/job/resource.h"

#define AIPLATFORM "type.googleapis.com/google.cloud.aiplatform"

/* True when a mask ("name,displayName" or "display_name") names a member; an empty one
 * names all. A path names what is below a member too: then all of the member is given. */
static bool wanted(struct str mask, const char *name)
{
    struct str path;

    if (mask.len == 0)
        return true;
    while (str_next(&mask, ',', &path)) {
        path = str_trim(path);
        if (field_named(name, str_sub(path, 0, str_find(path, STR(".")))))
            return true;
    }
    return false;
}

bool job_has_error(const struct job *j)
{
    return j->state == JOB_FAILED || j->state == JOB_CANCELLED || j->state == JOB_EXPIRED;
}

void job_add_error(struct json_writer *w, const char *key, const struct job *j)
{
    static const struct {
        enum error_code code;
        const char *message;
    } usual[JOB_STATE_COUNT] = {
        [JOB_FAILED] = { ERROR_INTERNAL, "The job failed." },
        [JOB_CANCELLED] = { ERROR_CANCELLED, "CANCELED" },
        [JOB_EXPIRED] = { ERROR_DEADLINE_EXCEEDED, "The job expired." },
    };
    enum error_code code = j->error == ERROR_OK ? usual[j->state].code : j->error;
    struct str message = j->error_message.len ? j->error_message : str_of(usual[j->state].message);

    json_object(w, key);
    json_add_int(w, "code", error_rpc(code));
    json_add_text(w, "message", message);
    json_end(w);
}

/* Input that could not be used; a request that failed has its error in its own row. */
static void add_partial_failures(struct json_writer *w, const struct job *j)
{
    if (j->bad == 0 || !job_state_final(j->state))
        return;
    json_array(w, "partialFailures");
    json_object(w, NULL);
    json_add_int(w, "code", error_rpc(ERROR_INVALID_ARGUMENT));
    json_addf(w, "message",
              "%" PRIu64 " of %" PRIu64
              " input lines are not valid requests; each has its line error "
              "in the output.",
              j->bad, j->counters.total);
    json_end(w);
    json_end(w);
}

static void add_stats(struct json_writer *w, const struct job *j)
{
    const struct counters *c = &j->counters;

    if (counters_done(c) == 0 || j->start_us == 0)
        return;
    json_object(w, "completionStats");
    resource_add_int64(w, "successfulCount", (int64_t)c->succeeded);
    resource_add_int64(w, "failedCount", (int64_t)c->failed);
    resource_add_int64(w, "incompleteCount", (int64_t)(c->not_run + counters_pending(c)));
    json_end(w);
}

/* The spec is an object of ours: its keys are plain, its members in the resource's order. The endpoint of
 * the body is the model already. */
static void add_spec(struct json_writer *w, const struct job *j, struct str mask)
{
    struct json_member member = { 0 };

    while (json_member_next(j->spec, &member)) {
        char name[64];
        if (member.key.len >= sizeof name)
            continue;
        for (size_t i = 0; i < member.key.len; i++)
            name[i] = member.key.p[i];
        name[member.key.len] = '\0';
        if (wanted(mask, name))
            json_add_raw(w, name, member.value);
    }
}

/* "@version" of a tuned model; Gemini's are version 1. */
static struct str version_of(struct str model)
{
    size_t at = str_find(model, STR("@"));

    return at == SIZE_MAX || at + 1 == model.len ? STR("1") : str_sub(model, at + 1, model.len);
}

void vertex_write(const struct job *j, const struct vertex_view *v, struct buf *out)
{
    enum job_state shown = j->state == JOB_EXPIRED ? v->expired_as : j->state;
    struct json_writer w = JSON_WRITER(out);
    struct str mask = str_trim(v->mask);

    if (str_eq_c(mask, "*"))
        mask.len = 0;
    json_object(&w, NULL);
    if (wanted(mask, "name"))
        json_addf(&w, "name", "projects/%s/locations/%s/batchPredictionJobs/%" PRId64, j->project,
                  j->location, j->id);
    if (wanted(mask, "displayName"))
        json_add_text(&w, "displayName", j->display_name);
    if (wanted(mask, "model"))
        json_add_text(&w, "model", j->model);
    add_spec(&w, j, mask);
    if (j->output.len && wanted(mask, "outputInfo")) {
        json_object(&w, "outputInfo");
        /* One of a oneof: a folder, or a table with its whole name, which clients query. */
        json_add_text(&w, bq_is(j->output) ? "bigqueryOutputTable" : "gcsOutputDirectory",
                      j->output);
        json_end(&w);
    }
    if (wanted(mask, "state"))
        json_add_c(&w, "state", job_state_vertex(shown));
    if (job_has_error(j) && wanted(mask, "error"))
        job_add_error(&w, "error", j);
    if (wanted(mask, "partialFailures"))
        add_partial_failures(&w, j);
    if (wanted(mask, "completionStats"))
        add_stats(&w, j);
    if (wanted(mask, "createTime"))
        resource_add_time(&w, "createTime", j->create_us, 6);
    if (wanted(mask, "startTime"))
        resource_add_time(&w, "startTime", j->start_us, 6);
    if (job_state_final(j->state) && wanted(mask, "endTime"))
        resource_add_time(&w, "endTime", j->end_us, 6);
    if (wanted(mask, "updateTime"))
        resource_add_time(&w, "updateTime", j->update_us, 6);
    if (wanted(mask, "modelVersionId"))
        json_add_text(&w, "modelVersionId", version_of(j->model));
    if (wanted(mask, "tranche"))
        job_add_extension(&w, "tranche", j, v->live);
    json_end(&w);
}

void vertex_write_delete(const struct vertex_deletion *d, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    json_addf(&w, "name", "projects/%s/locations/%s/operations/%s", d->project, d->location,
              d->operation);
    json_object(&w, "metadata");
    json_addf(&w, "@type", AIPLATFORM ".%s.DeleteOperationMetadata", d->version);
    json_object(&w, "genericMetadata");
    resource_add_time(&w, "createTime", d->time_us, 6);
    resource_add_time(&w, "updateTime", d->time_us, 6);
    json_end(&w);
    json_end(&w);
    json_add_bool(&w, "done", true);
    json_object(&w, "response");
    json_add_c(&w, "@type", "type.googleapis.com/google.protobuf.Empty");
    json_end(&w);
    json_end(&w);
}
