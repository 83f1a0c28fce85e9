/* vertex_write.c -- a job as the BatchPredictionJob resource, with the members its state gives it. */
#include "format/job/vertex.h"

#include <inttypes.h>

#include "format/job/resource.h"

static void add_error(struct members *m, const struct job *j);
static void add_stats(struct members *m, const struct job *j);
static void add_spec(struct members *m, const struct job *j);

static void add_name(struct members *m, const struct job *j)
{
    struct buf name = BUF_INIT(PROJECT_BYTES + LOCATION_BYTES + 128);

    buf_addf(&name, "projects/%s/locations/%s/batchPredictionJobs/%" PRId64, j->project,
             j->location, j->id);
    member_add_text(m, "name", buf_str(&name));
    buf_release(&name);
}

static void add_output_info(struct members *m, const struct job *j)
{
    struct members info;

    if (j->output.len == 0 || !member_add(m, "outputInfo"))
        return;
    members_begin(&info, m->out, (struct str){ 0 });
    member_add_text(&info, "gcsOutputDirectory", j->output);
    members_end(&info);
}

/* What input could not be used; a request that failed has its error in its own row. */
static void add_partial_failures(struct members *m, const struct job *j)
{
    struct buf text = BUF_INIT(256);

    if (j->bad == 0 || !job_state_final(j->state) || !member_add(m, "partialFailures"))
        return;
    buf_addf(&text,
             "%" PRIu64 " of %" PRIu64 " input lines are not valid requests; each has its fault in "
             "the output.",
             j->bad, j->counters.total);
    buf_addf(m->out, "[{\"code\":%d,\"message\":", error_rpc(ERROR_INVALID_ARGUMENT));
    buf_add_json(m->out, buf_str(&text));
    buf_add_c(m->out, "}]");
    buf_release(&text);
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
    struct members m;

    members_begin(&m, out, v->mask);
    add_name(&m, j);
    member_add_text(&m, "displayName", j->display_name);
    member_add_text(&m, "model", j->model);
    add_spec(&m, j);
    add_output_info(&m, j);
    member_add_text(&m, "state", str_of(job_state_vertex(shown)));
    add_error(&m, j);
    add_partial_failures(&m, j);
    add_stats(&m, j);
    member_add_time(&m, "createTime", j->create_us, 6);
    member_add_time(&m, "startTime", j->start_us, 6);
    if (job_state_final(j->state))
        member_add_time(&m, "endTime", j->end_us, 6);
    member_add_time(&m, "updateTime", j->update_us, 6);
    member_add_text(&m, "modelVersionId", version_of(j->model));
    if (member_add(&m, "tranche"))
        job_write_extension(j, v->live, out);
    members_end(&m);
}

/* The spec is an object of ours: its keys are plain, its members in the resource's order. What the body
 * named as endpoint stands as the model already. */
static void add_spec(struct members *m, const struct job *j)
{
    struct json_member member = { 0 };

    while (json_member_next(j->spec, &member)) {
        char name[64];
        if (member.key.len >= sizeof name)
            continue;
        for (size_t i = 0; i < member.key.len; i++)
            name[i] = member.key.p[i];
        name[member.key.len] = '\0';
        member_add_raw(m, name, member.value);
    }
}

void job_write_error(const struct job *j, struct buf *out)
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

    buf_addf(out, "{\"code\":%d,\"message\":", error_rpc(code));
    buf_add_json(out, message);
    buf_add_char(out, '}');
}

bool job_has_error(const struct job *j)
{
    return j->state == JOB_FAILED || j->state == JOB_CANCELLED || j->state == JOB_EXPIRED;
}

static void add_error(struct members *m, const struct job *j)
{
    if (job_has_error(j) && member_add(m, "error"))
        job_write_error(j, m->out);
}

static void add_stats(struct members *m, const struct job *j)
{
    struct members s;

    if (counters_done(&j->counters) == 0 || j->start_us == 0 || !member_add(m, "completionStats"))
        return;
    members_begin(&s, m->out, (struct str){ 0 });
    member_add_int64(&s, "successfulCount", j->counters.succeeded);
    member_add_int64(&s, "failedCount", j->counters.failed);
    member_add_int64(&s, "incompleteCount", j->counters.not_run + counters_pending(&j->counters));
    members_end(&s);
}

void vertex_write_delete(const struct vertex_deletion *d, struct buf *out)
{
    struct buf name = BUF_INIT(PROJECT_BYTES + LOCATION_BYTES + 256);
    struct members times;

    buf_addf(&name, "projects/%s/locations/%s/operations/%s", d->project, d->location,
             d->operation);
    buf_add_c(out, "{\"name\":");
    buf_add_json(out, buf_str(&name));
    buf_release(&name);
    buf_addf(out,
             ",\"metadata\":{\"@type\":"
             "\"type.googleapis.com/google.cloud.aiplatform.%s.DeleteOperationMetadata\","
             "\"genericMetadata\":",
             d->version);
    members_begin(&times, out, (struct str){ 0 });
    member_add_time(&times, "createTime", d->time_us, 6);
    member_add_time(&times, "updateTime", d->time_us, 6);
    members_end(&times);
    buf_add_c(out, "},\"done\":true,\"response\":{\"@type\":"
                   "\"type.googleapis.com/google.protobuf.Empty\"}}");
}
