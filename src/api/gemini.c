/* gemini.c -- batches of the Gemini Developer API: made by a model's method, kept as operations.
 *
 * Source:  https://ai.google.dev/api/batch-api
 */
#include <string.h>

#include "api/jobs/jobs.h"

/* The model of the path, "models/X". The body may name the same one, but no other. */
static int model_take(struct call *c, struct job *j, struct error *e)
{
    bool tuned = strstr(c->route->pattern, "/tunedModels/") != NULL;
    struct buf name = BUF_INIT(MODEL_NAME_BYTES);
    struct str id = c->param[0];

    buf_add_c(&name, tuned ? "tunedModels/" : "models/");
    buf_add_str(&name, id);
    const char *model = arena_copy(c->arena, buf_ok(&name) ? name.p : "", name.len);
    struct str asked = { model, name.len };
    bool fits = buf_ok(&name);
    buf_release(&name);
    if (!fits || !call_knows_model(c, call_own_project(c), model))
        return call_no_model(c, id, e);
    if (j->model.len && !str_eq(j->model, asked) && !str_eq(j->model, id))
        return error_set(
            e, ERROR_INVALID_ARGUMENT,
            "batch.model: It is another model than the one in the path. Leave it out.");
    j->model = asked;
    return 0;
}

static int read_batch(struct call *c, struct job *j, struct buf *inlined, struct error *e)
{
    if (gemini_read(c->arena, http_body(c->http), GEMINI_GENERATE, j, inlined, e) < 0)
        return -1;
    return model_take(c, j, e);
}

static void post_batch(struct call *c)
{
    job_create_call(c, read_batch);
}

static int read_embeddings(struct call *c, struct job *j, struct buf *inlined, struct error *e)
{
    if (gemini_read(c->arena, http_body(c->http), GEMINI_EMBED, j, inlined, e) < 0)
        return -1;
    return model_take(c, j, e);
}

static void post_embeddings(struct call *c)
{
    job_create_call(c, read_embeddings);
}

/* A batch that is not done is cancelled too, as Google's service does; it is gone when its work has stopped. */
static int delete_of_path(struct call *c, struct job *j, struct error *e)
{
    if (job_of_path(c, j, e) < 0)
        return -1;
    if (!job_state_final(j->state) &&
        job_remove(c->api->store, c->arena, call_scope(c), j->id, j, e) < 0)
        return -1;
    if (job_state_final(j->state))
        return service_delete(c->api->service, call_scope(c), j->id, e);
    service_wake(c->api->service);
    return 0;
}

static void delete_batch(struct call *c)
{
    struct error e = { 0 };
    struct job j;

    if (delete_of_path(c, &j, &e) < 0)
        call_fail(c, &e);
    else
        call_reply_c(c, "{}");
}

static int update(struct call *c, struct job *j, struct error *e)
{
    struct gemini_update u;
    struct str mask = { 0 };

    (void)http_query(c->http, "updateMask", &mask);
    if (job_of_path(c, j, e) < 0 ||
        gemini_read_update(c->arena, http_body(c->http), mask, &u, e) < 0)
        return -1;
    if (job_patch(c->api->store, c->arena,
                  &(struct job_patch){ .project = call_scope(c),
                                       .id = j->id,
                                       .display_name = u.has_display_name ? &u.display_name : NULL,
                                       .priority = u.has_priority ? &u.priority : NULL },
                  j, e) < 0)
        return -1;
    service_wake(c->api->service);
    return 0;
}

static void patch_batch(struct call *c)
{
    struct buf out = BUF_INIT(GEMINI_INLINE_BYTES_MAX);
    struct error e = { 0 };
    struct job j;

    if (update(c, &j, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    job_write(c, &j, (struct str){ 0 }, GEMINI_RESOURCE, &out);
    call_reply(c, &out);
}

#define ROOT "/(v1|v1beta|v1alpha)"

// clang-format off
const struct route api_gemini_routes[] = {
    { HTTP_POST,   ROOT "/models/{}:batchGenerateContent",       ROLE_SUBMITTER, ROUTE_WAITS, post_batch,
      GEMINI_INLINE_BYTES_MAX, NULL },
    { HTTP_POST,   ROOT "/tunedModels/{}:batchGenerateContent",  ROLE_SUBMITTER, ROUTE_WAITS, post_batch,
      GEMINI_INLINE_BYTES_MAX, NULL },
    { HTTP_POST,   ROOT "/models/{}:asyncBatchEmbedContent",      ROLE_SUBMITTER, ROUTE_WAITS, post_embeddings,
      GEMINI_INLINE_BYTES_MAX, NULL },
    { HTTP_POST,   ROOT "/tunedModels/{}:asyncBatchEmbedContent", ROLE_SUBMITTER, ROUTE_WAITS, post_embeddings,
      GEMINI_INLINE_BYTES_MAX, NULL },
    { HTTP_GET,    ROOT "/batches",            ROLE_VIEWER,    0, job_list_call, 0, NULL },
    { HTTP_GET,    ROOT "/batches/{}",         ROLE_VIEWER,    0, job_get_call, 0, NULL },
    { HTTP_DELETE, ROOT "/batches/{}",         ROLE_SUBMITTER, ROUTE_WAITS, delete_batch, 0, NULL },
    { HTTP_POST,   ROOT "/batches/{}:cancel",  ROLE_SUBMITTER, ROUTE_WAITS, job_cancel_call, 0, NULL },
    { HTTP_PATCH,  ROOT "/batches/{}:updateGenerateContentBatch", ROLE_SUBMITTER, ROUTE_WAITS, patch_batch,
      VERTEX_BODY_BYTES_MAX, NULL },
    { HTTP_PATCH,  ROOT "/batches/{}:updateEmbedContentBatch",    ROLE_SUBMITTER, ROUTE_WAITS, patch_batch,
      VERTEX_BODY_BYTES_MAX, NULL },
    { 0 },
};
// clang-format on
