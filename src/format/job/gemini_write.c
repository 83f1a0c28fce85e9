/* gemini_write.c -- a job as the Gemini API's Operation around a GenerateContentBatch. */
#include "format/job/gemini.h"

#include <inttypes.h>

#include "format/job/resource.h"

#define TYPE_PREFIX "type.googleapis.com/google.ai.generativelanguage.v1main."
/* Bytes of one piece: names, times, counts and the extension. */
#define PIECE_BYTES_MAX ((size_t)4 * 1024 * 1024)

enum gemini_kind gemini_kind_of(const struct job *j)
{
    return json_member_value(j->spec, STR("embeds")).len ? GEMINI_EMBED : GEMINI_GENERATE;
}

/* The resource's name. */
static const char *type_of(const struct job *j, bool is_output)
{
    if (gemini_kind_of(j) == GEMINI_EMBED)
        return is_output ? TYPE_PREFIX "EmbedContentBatchOutput" : TYPE_PREFIX "EmbedContentBatch";
    return is_output ? TYPE_PREFIX "GenerateContentBatchOutput"
                     : TYPE_PREFIX "GenerateContentBatch";
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

/* The list that the caller fills: all that follows goes to the next piece. */
static void add_inlined(struct json_writer *w, struct buf *next)
{
    json_object(w, "inlinedResponses");
    json_array(w, "inlinedResponses");
    w->out = next;
    json_end(w);
    json_end(w);
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
static void add_stats(struct json_writer *w, const struct job *j)
{
    const struct counters *c = &j->counters;
    uint64_t total = requests_of(j);

    json_object(w, "batchStats");
    resource_add_int64(w, "requestCount", (int64_t)total);
    resource_add_int64(w, "pendingRequestCount", (int64_t)(total - counters_done(c)));
    resource_add_int64(w, "successfulRequestCount", (int64_t)c->succeeded);
    resource_add_int64(w, "failedRequestCount", (int64_t)(c->failed + c->not_run));
    json_end(w);
}

static void add_output(struct json_writer *w, const struct job *j, struct gemini_pieces *p)
{
    if (!p->inlined && (!has_output(j) || j->source == JOB_INLINE))
        return;
    json_object(w, "output");
    if (p->inlined)
        add_inlined(w, p->twice ? &p->middle : &p->tail);
    else
        json_add_text(w, "responsesFile", j->output);
    json_end(w);
}

static void add_batch(struct json_writer *w, const char *key, const struct job *j,
                      const struct job_live *live, struct gemini_pieces *p)
{
    struct json_member input = { 0 };

    json_object(w, key);
    if (key)
        json_add_c(w, "@type", type_of(j, false));
    json_add_text(w, "model", j->model);
    json_add_text(w, "displayName", j->display_name);
    if (j->source == JOB_FILE && json_member_next(j->spec, &input))
        json_add_raw(w, "inputConfig", input.value);
    add_output(w, j, p);
    resource_add_time(w, "createTime", j->create_us, 9);
    if (job_state_final(j->state))
        resource_add_time(w, "endTime", j->end_us, 9);
    resource_add_time(w, "updateTime", j->update_us, 9);
    add_stats(w, j);
    json_add_c(w, "state", job_state_gemini(j->state));
    resource_add_int64(w, "priority", j->priority);
    if (j->webhook.len)
        json_add_raw(w, "webhookConfig", j->webhook);
    json_addf(w, "name", "batches/%s", j->batch);
    job_add_extension(w, "tranche", j, live);
    json_end(w);
}

/* The end of a job is an error, or a response that says what metadata.output does. */
static void add_end(struct json_writer *w, const struct job *j, struct gemini_pieces *p)
{
    json_add_bool(w, "done", true);
    if (job_has_error(j)) {
        job_add_error(w, "error", j);
        return;
    }
    json_object(w, "response");
    json_add_c(w, "@type", type_of(j, true));
    if (p->inlined)
        add_inlined(w, &p->tail);
    else if (has_output(j) && j->source != JOB_INLINE)
        json_add_text(w, "responsesFile", j->output);
    json_end(w);
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
    struct json_writer w = JSON_WRITER(&out->head);

    out->twice = out->inlined && !job_has_error(j);
    if (form == GEMINI_RESOURCE) {
        add_batch(&w, NULL, j, live, out);
        return;
    }
    json_object(&w, NULL);
    json_addf(&w, "name", "batches/%s", j->batch);
    add_batch(&w, "metadata", j, live, out);
    if (job_state_final(j->state))
        add_end(&w, j, out);
    json_end(&w);
}

void gemini_pieces_release(struct gemini_pieces *p)
{
    buf_release(&p->head);
    buf_release(&p->middle);
    buf_release(&p->tail);
}
