/* gemini_write.c -- a job as the Gemini API's Operation around a GenerateContentBatch. */
#include "format/job/gemini.h"

#include <inttypes.h>

#include "format/job/resource.h"

#define TYPE_PREFIX "type.googleapis.com/google.ai.generativelanguage.v1main."
/* Of one piece: names, times, counts and the extension. */
#define PIECE_BYTES_MAX ((size_t)4 * 1024 * 1024)
#define INLINED "{\"inlinedResponses\":["

static void batch_add(const struct job *j, const struct job_live *live, enum gemini_form form,
                      struct gemini_pieces *p);

/* The last piece that was begun: what follows is written there. */
static struct buf *piece(struct gemini_pieces *p, bool after_first)
{
    if (!p->inlined || !after_first)
        return &p->head;
    return p->twice ? &p->middle : &p->tail;
}

static bool has_result(const struct job *j)
{
    return job_state_final(j->state) && (j->state == JOB_SUCCEEDED || j->result || j->output.len) &&
           !j->options.validate_only;
}

static bool has_output(const struct job *j)
{
    return has_result(j) && (j->source == JOB_INLINE || j->output.len);
}

/* What the job's end is called: an error, or a response that is what metadata.output is. */
static void end_add(const struct job *j, struct gemini_pieces *p)
{
    struct buf *out = piece(p, true);

    buf_add_c(out, ",\"done\":true,");
    if (job_has_error(j)) {
        buf_add_c(out, "\"error\":");
        job_write_error(j, out);
        return;
    }
    buf_add_c(out, "\"response\":{\"@type\":\"" TYPE_PREFIX "GenerateContentBatchOutput\"");
    if (p->inlined) {
        buf_add_c(out, ",\"inlinedResponses\":" INLINED);
        buf_add_c(&p->tail, "]}}");
        return;
    }
    if (has_output(j) && j->source != JOB_INLINE) {
        buf_add_c(out, ",\"responsesFile\":");
        buf_add_json(out, j->output);
    }
    buf_add_char(out, '}');
}

void gemini_write(const struct job *j, const struct job_live *live, enum gemini_form form,
                  struct gemini_pieces *out)
{
    *out = (struct gemini_pieces){
        .head = BUF_INIT(PIECE_BYTES_MAX),
        .middle = BUF_INIT(PIECE_BYTES_MAX),
        .tail = BUF_INIT(PIECE_BYTES_MAX),
        .inlined = form == GEMINI_OPERATION && j->source == JOB_INLINE && has_output(j),
    };
    out->twice = out->inlined && !job_has_error(j);
    if (form == GEMINI_RESOURCE) {
        batch_add(j, live, form, out);
        return;
    }
    buf_addf(&out->head, "{\"name\":\"batches/%s\",\"metadata\":", j->batch);
    batch_add(j, live, form, out);
    if (job_state_final(j->state))
        end_add(j, out);
    buf_add_char(out->inlined ? &out->tail : &out->head, '}');
}

void gemini_pieces_release(struct gemini_pieces *p)
{
    buf_release(&p->head);
    buf_release(&p->middle);
    buf_release(&p->tail);
}

/* Before the input is checked, only inline requests are counted. */
static uint64_t requests_of(const struct job *j)
{
    struct arena a = { 0 };
    struct error ignored = { 0 };
    int64_t count = 0;
    size_t at;

    if (j->counters.total || j->source != JOB_INLINE)
        return j->counters.total;
    yyjson_val *root = json_parse(&a, j->spec, &at, &ignored);
    yyjson_val *requests = request_field(request_field(root, "inputConfig"), "requests");
    if (!request_integer(request_field(requests, "count"), &count))
        count = 0;
    arena_release(&a);
    return (uint64_t)count;
}

/* A request that was not run has an error among the responses, so it counts as failed. */
static void add_stats(struct members *m, const struct job *j)
{
    uint64_t total = requests_of(j);
    struct members s;

    if (!member_add(m, "batchStats"))
        return;
    members_begin(&s, m->out, (struct str){ 0 });
    member_add_int64(&s, "requestCount", total);
    member_add_int64(&s, "pendingRequestCount", total - counters_done(&j->counters));
    member_add_int64(&s, "successfulRequestCount", j->counters.succeeded);
    member_add_int64(&s, "failedRequestCount", j->counters.failed + j->counters.not_run);
    members_end(&s);
}

static void add_input(struct members *m, const struct job *j)
{
    struct json_member input = { 0 };

    if (j->source == JOB_FILE && json_member_next(j->spec, &input) && member_add(m, "inputConfig"))
        buf_add_str(m->out, input.value);
}

static void add_output(struct members *m, const struct job *j, struct gemini_pieces *p)
{
    if (p->inlined && member_add(m, "output")) {
        buf_add_c(m->out, "{\"inlinedResponses\":" INLINED);
        m->out = piece(p, true);
        buf_add_c(m->out, "]}}");
    } else if (has_output(j) && j->source != JOB_INLINE && member_add(m, "output")) {
        buf_add_c(m->out, "{\"responsesFile\":");
        buf_add_json(m->out, j->output);
        buf_add_char(m->out, '}');
    }
}

static void batch_add(const struct job *j, const struct job_live *live, enum gemini_form form,
                      struct gemini_pieces *p)
{
    struct members m;

    members_begin(&m, &p->head, (struct str){ 0 });
    if (form != GEMINI_RESOURCE)
        member_add_raw(&m, "@type", STR("\"" TYPE_PREFIX "GenerateContentBatch\""));
    member_add_text(&m, "model", j->model);
    member_add_text(&m, "displayName", j->display_name);
    add_input(&m, j);
    add_output(&m, j, p);
    member_add_time(&m, "createTime", j->create_us, 9);
    if (job_state_final(j->state))
        member_add_time(&m, "endTime", j->end_us, 9);
    member_add_time(&m, "updateTime", j->update_us, 9);
    add_stats(&m, j);
    member_add_text(&m, "state", str_of(job_state_gemini(j->state)));
    if (j->priority && member_add(&m, "priority"))
        buf_addf(m.out, "\"%" PRId64 "\"", j->priority);
    if (j->webhook.len)
        member_add_raw(&m, "webhookConfig", j->webhook);
    if (member_add(&m, "name"))
        buf_addf(m.out, "\"batches/%s\"", j->batch);
    if (member_add(&m, "tranche"))
        job_write_extension(j, live, m.out);
    members_end(&m);
}
