/* Goal: clients of both dialects make, see, list, stop and delete jobs as with Google's services, and
 * see none that is not theirs. Method: the whole service with a fake model, over a socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#include "format/job/vertex.h"
#include "store/objects/objects.h"
#include "unit/api/service_case.h"

#define JOBS "/v1beta1/projects/p1/locations/us-central1/batchPredictionJobs"
#define BODY(model)                                                                                \
    "{'model':'" model "','inputConfig':{'instancesFormat':'jsonl','gcsSource':{'uris':"           \
    "['gs://nowhere/in.jsonl']}},'displayName':'d','outputConfig':{'predictionsFormat':'jsonl',"   \
    "'gcsDestination':{'outputUriPrefix':'gs://outputs/out'}}}"
#define ACTIVE                                                                                     \
    "{'model':'publishers/google/models/slow','inputConfig':{'gcsSource':{'uris':["                \
    "'gs://bucket1/in.jsonl']}},'displayName':'d','outputConfig':{'gcsDestination':{"              \
    "'outputUriPrefix':'gs://bucket1/out'}}}"
#define FLASH BODY("publishers/google/models/gemini-2.5-flash")

/* The service, with the bucket that jobs name for their output. */
static int set_up(void **state)
{
    const struct bucket b = { .name = STR("outputs"), .project = STR("p1"), .meta = STR("{}") };
    struct error e = { 0 };
    int rc = serving_set_up(state);
    struct serving *w = *state;

    return rc < 0 ? rc : bucket_create(w->store, "p1", &b, &e);
}

static void test_an_output_that_cannot_be_written_is_refused_at_create(void **state)
{
    static const char *const bad[] = { "gs://nowhere/out", "gs://others/out",
                                       "gs://outputs/a\\nb" };
    const struct bucket others = { .name = STR("others"), .project = STR("p2"), .meta = STR("{}") };
    struct serving *w = *state;
    struct error e = { 0 };
    char body[2048], longest[1200];

    assert_int_equal(bucket_create(w->store, "p2", &others, &e), 0);
    const char *ours = key_header(w, "p1", ROLE_SUBMITTER);
    static const char flash[] = FLASH;
    int head = (int)(strstr(flash, "gs://outputs/out") - flash);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        (void)snprintf(body, sizeof body, "%.*s%s'}}}", head, flash, bad[i]);
        (void)ask_with(w, "POST", JOBS, ours, body);
        assert_asked(w, 400);
        assert_non_null(strstr(answer_text(w, "error.message"), "outputUriPrefix: "));
    }
    for (int more = 0; more <= 1;
         more++) { /* the longest name that an object can have, and one more */
        int len = OBJECT_NAME_MAX - VERTEX_OUTPUT_NAME_BYTES + more;
        memset(longest, 'a', (size_t)len);
        longest[len] = '\0';
        (void)snprintf(body, sizeof body, "%.*sgs://outputs/%s'}}}", head, flash, longest);
        (void)ask_with(w, "POST", JOBS, ours, body);
        assert_asked(w, more ? 400 : 200);
    }
}

static void test_a_created_job_is_pending_and_fails_later_over_its_input(void **state)
{
    struct serving *w = *state;
    const char *job = made(w, "v1", JOBS, FLASH);

    assert_string_equal(answer_text(w, "state"), "JOB_STATE_PENDING");
    assert_string_equal(answer_text(w, "inputConfig.gcsSource.uris.0"), "gs://nowhere/in.jsonl");
    wait_for(w, job, "state", "JOB_STATE_FAILED");
    assert_true(strlen(answer_text(w, "error.message")) > 0);
    assert_null(json_get(json_get(answer(w), "error"), "details"));
}

static void test_what_the_real_service_refuses_at_create_is_refused(void **state)
{
    struct serving *w = *state;

    (void)ask(w, "POST", JOBS, BODY("publishers/google/models/nope-1"));
    assert_failed(w, 404, "NOT_FOUND", "The PublisherModel nope-1 does not exist.");
    (void)ask(w, "POST", "/v1/projects/p1/locations/global/batchPredictionJobs", FLASH);
    assert_failed(w, 400, "INVALID_ARGUMENT", "\"global\" is not supported");
    (void)ask(w, "POST", "/v1beta/models/nope:batchGenerateContent", INLINE(""));
    assert_failed(w, 404, "NOT_FOUND",
                  "models/nope is not found for API version v1beta, or is not supported for "
                  "generateContent. Call ListModels");
    (void)ask(w, "POST", "/v1/models/gemini-embedding-001:asyncBatchEmbedContent", "{'batch':{}}");
    assert_failed(w, 400, "INVALID_ARGUMENT", "inputConfig");
    (void)ask(w, "POST", JOBS, "{'displayName':1}");
    assert_failed(w, 400, "INVALID_ARGUMENT", "displayName");
    (void)ask(w, "POST", JOBS, "");
    assert_failed(w, 400, "INVALID_ARGUMENT", "");
    (void)ask(w, "POST", CREATE_BATCH, "");
    assert_failed(w, 400, "INVALID_ARGUMENT", "");
}

static void test_tuned_models_and_express_paths_are_taken(void **state)
{
    struct serving *w = *state;

    (void)made(w, "v1", JOBS, BODY("projects/p1/locations/us-central1/models/777@2"));
    assert_string_equal(answer_text(w, "modelVersionId"), "2");
    (void)made(w, "v1", JOBS, BODY("projects/p1/locations/us-central1/endpoints/777"));
    const char *job = made(w, "v1", "/v1beta1/batchPredictionJobs", FLASH);
    assert_non_null(strstr(job, "projects/default/locations/us-central1/"));
    (void)ask(w, "GET", joined(w, "/v1beta1/batchPredictionJobs/%s", strrchr(job, '/') + 1), "");
    assert_asked(w, 200);
}

static void test_a_job_is_seen_only_where_it_is(void **state)
{
    struct serving *w = *state;
    const char *job = made(w, "v1", JOBS, FLASH), *id = strrchr(job, '/') + 1;
    const char *const elsewhere[] = {
        joined(w, "/v1/projects/p2/locations/us-central1/batchPredictionJobs/%s", id),
        joined(w, "/v1/projects/p1/locations/europe-west4/batchPredictionJobs/%s", id),
        joined(w, "/v1/batches/%s", id),
        JOBS "/99999999999999999999999",
        JOBS "/abc",
        JOBS "/0",
    };

    for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++) {
        (void)ask(w, "GET", elsewhere[i], "");
        assert_failed(w, 404, "NOT_FOUND", "is not found");
        (void)ask(w, "DELETE", elsewhere[i], "");
        assert_asked(w, 404);
    }
    const char *batch = made(w, "v1", CREATE_SLOW, INLINE(""));
    const char *number = answer_text(w, "metadata.tranche.id");
    (void)ask(w, "GET", joined(w, JOBS "/%s", number), "");
    assert_asked(w, 404);
    (void)ask(w, "GET", batch, "");
    assert_asked(w, 200);
}

static void test_a_request_id_makes_one_job(void **state)
{
    struct serving *w = *state;
    const char *with_query = JOBS "?requestId=once";
    const char *first = made(w, "v1", with_query, FLASH), *again = made(w, "v1", with_query, FLASH);

    assert_string_equal(first, again);
    (void)ask_with(w, "POST", JOBS, "x-tranche-request-id: once\r\n",
                   BODY("publishers/google/models/gemini-2.0-flash"));
    assert_failed(w, 409, "ALREADY_EXISTS", "requestId \"once\"");
    (void)ask(w, "POST", JOBS "?requestId=a%20b", FLASH);
    assert_failed(w, 400, "INVALID_ARGUMENT", "requestId");
    first = made(w, "v1", CREATE_SLOW "?requestId=twice", INLINE(""));
    assert_string_equal(first, made(w, "v1", CREATE_SLOW "?requestId=twice", INLINE("")));
    (void)ask(w, "POST", CREATE_SLOW "?requestId=twice", INLINE(ONE_MORE));
    assert_asked(w, 409);
}

static void test_lists_are_paged_filtered_and_their_tokens_are_ours(void **state)
{
    struct serving *w = *state;
    const char *job[3];

    (void)ask(w, "GET", JOBS, "");
    assert_string_equal(joined(w, "%.*s", STR_ARG(w->body)), "{}");
    for (int i = 0; i < 3; i++)
        job[i] = made(w, "v1beta1", JOBS, FLASH);
    (void)ask(w, "GET", JOBS "?pageSize=2&filter=display_name:%22*%22&readMask=name", "");
    assert_asked(w, 200);
    assert_string_equal(joined(w, "/v1beta1/%s", answer_text(w, "batchPredictionJobs.0.name")),
                        job[2]);
    assert_string_equal(answer_text(w, "batchPredictionJobs.0.state"), "");
    const char *token = answer_text(w, "nextPageToken");
    (void)ask(w, "GET",
              joined(w, JOBS "?pageSize=2&filter=display_name:%%22*%%22&pageToken=%s", token), "");
    assert_string_equal(joined(w, "/v1beta1/%s", answer_text(w, "batchPredictionJobs.0.name")),
                        job[0]);
    assert_string_equal(answer_text(w, "nextPageToken"), "");
    (void)ask(w, "GET", joined(w, JOBS "?pageSize=2&pageToken=%s", token), "");
    assert_failed(w, 400, "INVALID_ARGUMENT", "pageToken");
    (void)ask(w, "GET", JOBS "?pageToken=x", "");
    assert_failed(w, 400, "INVALID_ARGUMENT", "pageToken");
    (void)ask(w, "GET", JOBS "?filter=bogus%3D1", "");
    assert_failed(w, 400, "INVALID_ARGUMENT", "filter: at byte 1");
    (void)ask(w, "GET", "/v1/projects/p1/locations/-/batchPredictionJobs", "");
    assert_true(strlen(answer_text(w, "batchPredictionJobs.2.name")) > 0);
    (void)ask(w, "GET", "/v1/batches", "");
    assert_string_equal(joined(w, "%.*s", STR_ARG(w->body)), "{}");
}

/* As google-genai's batches.create_embeddings sends it, and as it reads the result: by the key "embedding". */
static void test_a_batch_of_embeddings_gives_an_embedding_for_each_request(void **state)
{
    struct serving *w = *state;
    const char *batch = made(
        w, "v1", "/v1/models/gemini-embedding-001:asyncBatchEmbedContent",
        "{'batch':{'inputConfig':{'requests':{'requests':[{'request':{'content':{'parts':[{'text':"
        "'1'}]},'taskType':'RETRIEVAL_QUERY','title':'t','outputDimensionality':3},'metadata':"
        "{'key':'a'}},{'request':{'content':{'parts':[{'text':'2'}]}}}]}},'displayName':'e'}}");

    wait_for(w, batch, "metadata.state", "BATCH_STATE_SUCCEEDED");
    assert_non_null(strstr(answer_text(w, "metadata.@type"), ".EmbedContentBatch"));
    assert_non_null(strstr(answer_text(w, "response.@type"), ".EmbedContentBatchOutput"));
    yyjson_doc *doc = yyjson_read(w->body.p, w->body.len, 0);
    yyjson_val *list = yyjson_doc_ptr_get(doc, "/response/inlinedResponses/inlinedResponses");
    assert_int_equal(yyjson_arr_size(list), 2);
    yyjson_val *first = yyjson_arr_get(list, 0);
    assert_int_equal(yyjson_arr_size(yyjson_ptr_get(first, "/response/embedding/values")), 3);
    assert_true(yyjson_is_str(yyjson_ptr_get(first, "/response/tokenCount")));
    yyjson_doc_free(doc);
}

static void test_a_batch_is_of_one_kind_and_refuses_lines_of_the_other(void **state)
{
    static const struct {
        const char *create, *words;
    } cases[] = {
        { "/v1/models/gemini-embedding-001:asyncBatchEmbedContent",
          "request.contents: A batch of asyncBatchEmbedContent takes only requests to embed. "
          "Create "
          "the batch with batchGenerateContent" },
        { CREATE_BATCH,
          "request.content: A batch of batchGenerateContent takes no request to embed. "
          "Create the batch with asyncBatchEmbedContent" },
    };
    struct serving *w = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *batch = made(
            w, "v1", cases[i].create,
            "{'batch':{'inputConfig':{'requests':{'requests':[{'request':{'content':{'parts':[{"
            "'text':'1'}]}}},{'request':{'contents':[{'parts':[{'text':'2'}]}]}}]}},"
            "'displayName':'e'}}");
        wait_for(w, batch, "metadata.state", "BATCH_STATE_SUCCEEDED");
        yyjson_doc *doc = yyjson_read(w->body.p, w->body.len, 0);
        yyjson_val *list = yyjson_doc_ptr_get(doc, "/response/inlinedResponses/inlinedResponses");
        assert_non_null(yyjson_ptr_get(yyjson_arr_get(list, i), "/response"));
        const char *message =
            yyjson_get_str(yyjson_ptr_get(yyjson_arr_get(list, 1 - i), "/error/message"));
        if (!message || !strstr(message, cases[i].words))
            fail_msg("%s", message ? message : "no error");
        yyjson_doc_free(doc);
    }
}

/* A job's kind is not known before its lines here: the model says what it takes. */
static void test_a_job_of_vertex_embeds_the_lines_that_ask_for_it(void **state)
{
    struct serving *w = *state;

    (void)ask_with(w, "POST", "/storage/v1/b", "Content-Type: application/json\r\n",
                   "{'name':'mine'}");
    (void)ask(
        w, "POST", "/upload/storage/v1/b/mine/o?uploadType=media&name=in.jsonl",
        "{'key':'id_1','request':{'content':{'parts':[{'text':'a b'}]},'embed_content_config':{"
        "'output_dimensionality':3,'task_type':'RETRIEVAL_DOCUMENT','title':'t'}}}\n");
    assert_asked(w, 200);
    const char *job = made(
        w, "v1", JOBS,
        "{'model':'publishers/google/models/gemini-embedding-001','inputConfig':{'instancesFormat':"
        "'jsonl','gcsSource':{'uris':['gs://mine/in.jsonl']}},'displayName':'d','outputConfig':{"
        "'predictionsFormat':'jsonl','gcsDestination':{'outputUriPrefix':'gs://mine/out'}}}");
    wait_for(w, job, "state", "JOB_STATE_SUCCEEDED");
    const char *folder = answer_text(w, "outputInfo.gcsOutputDirectory") + sizeof "gs://mine/" - 1;
    (void)ask(w, "GET",
              joined(w, "/download/storage/v1/b/mine/o/out%%2F%s%%2Fpredictions.jsonl?alt=media",
                     strrchr(folder, '/') + 1),
              "");
    assert_asked(w, 200);
    assert_string_equal(answer_text(w, "key"), "id_1");
    yyjson_val *response = json_get(answer(w), "response");
    assert_int_equal(yyjson_arr_size(json_get(json_get(response, "embedding"), "values")), 3);
    assert_true(yyjson_is_str(json_get(response, "tokenCount")));
}

static void test_a_batch_of_embeddings_may_be_a_file(void **state)
{
    struct serving *w = *state;

    (void)ask_with(w, "POST", "/upload/v1/files", "X-Goog-Upload-Command: start\r\n", "{}");
    assert_asked(w, 200);
    (void)ask_with(w, "POST", header_path(w, "X-Goog-Upload-URL"),
                   "X-Goog-Upload-Command: upload, finalize\r\nX-Goog-Upload-Offset: 0\r\n",
                   "{'key':'k','request':{'content':{'parts':[{'text':'a'}]}}}\n");
    const char *batch = made(
        w, "v1", "/v1/models/gemini-embedding-001:asyncBatchEmbedContent",
        joined(w, "{'batch':{'inputConfig':{'file_name':'%s'}}}", answer_text(w, "file.name")));
    wait_for(w, batch, "metadata.state", "BATCH_STATE_SUCCEEDED");
    const char *file = answer_text(w, "response.responsesFile");
    (void)ask(w, "GET", joined(w, "/v1/%s:download?alt=media", file), "");
    assert_asked(w, 200);
    assert_true(
        str_find(w->body, STR("{\"key\":\"k\",\"response\":{\"embedding\":{\"values\":[")) == 0);
}

static void test_a_service_may_take_jobs_at_the_location_global(void **state)
{
    static const char *const locations[] = { "global", "europe-west4", NULL };
    struct serving *w = *state;

    (void)ask(w, "POST", "/v1/projects/p1/locations/global/batchPredictionJobs", FLASH);
    assert_failed(w, 400, "INVALID_ARGUMENT", "service.locations");
    w->api.locations = locations;
    const char *job = made(w, "v1", "/v1/projects/p1/locations/global/batchPredictionJobs", FLASH);
    assert_non_null(strstr(job, "/locations/global/"));
    (void)ask(w, "GET", job, "");
    assert_asked(w, 200);
    (void)ask(w, "POST", JOBS, FLASH);
    assert_failed(w, 400, "INVALID_ARGUMENT",
                  "not in the setting service.locations. Use \"global\".");
}

/* As with Google: the batch is gone for its clients at once, and with all that it has when its work has
 * stopped. */
static void test_a_running_batch_that_is_deleted_is_cancelled_and_removed(void **state)
{
    struct serving *w = *state;
    const char *batch = made(w, "v1beta", CREATE_SLOW, INLINE(""));
    int64_t id = strtoll(answer_text(w, "metadata.tranche.id"), NULL, 10);
    struct error e = { 0 };
    struct job j;

    wait_for(w, batch, "metadata.state", "BATCH_STATE_RUNNING");
    (void)ask(w, "DELETE", batch, "{}");
    assert_asked(w, 200);
    assert_string_equal(joined(w, "%.*s", STR_ARG(w->body)), "{}");
    (void)ask(w, "GET", batch, "");
    assert_asked(w, 404);
    (void)ask(w, "DELETE", batch, "");
    assert_asked(w, 404);
    (void)ask(w, "GET", "/v1/batches", "");
    assert_string_equal(joined(w, "%.*s", STR_ARG(w->body)), "{}");
    for (int i = 0; i < 400 && job_get(w->store, &w->arena, NULL, id, &j, &e) == 1; i++)
        clock_system()->sleep_ns(clock_system(), 50 * NS_PER_MS);
    assert_int_equal(job_get(w->store, &w->arena, NULL, id, &j, &e), 0);
}

static void test_an_active_job_is_cancelled_before_it_is_deleted(void **state)
{
    struct serving *w = *state;
    const char *batch = made(w, "v1beta", CREATE_SLOW, INLINE(""));

    wait_for(w, batch, "metadata.state", "BATCH_STATE_RUNNING");
    (void)ask(w, "POST", "/storage/v1/b?project=p1", "{'name':'bucket1'}");
    (void)ask(w, "POST", "/upload/storage/v1/b/bucket1/o?uploadType=media&name=in.jsonl",
              "{'request':{'contents':{'parts':{'text':'a'}}}}");
    const char *job = made(w, "v1", JOBS, ACTIVE);
    wait_for(w, job, "state", "JOB_STATE_RUNNING");
    (void)ask(w, "DELETE", job, "{}");
    assert_failed(w, 400, "FAILED_PRECONDITION", "Cancel it first");
    (void)ask(w, "POST", joined(w, "%s:cancel", batch), "");
    assert_asked(w, 200);
    assert_string_equal(joined(w, "%.*s", STR_ARG(w->body)), "{}");
    wait_for(w, batch, "metadata.state", "BATCH_STATE_CANCELLED");
    assert_string_equal(answer_text(w, "error.message"), "CANCELED");
    (void)ask(w, "POST", joined(w, "%s:cancel", batch), "{}");
    assert_failed(w, 400, "FAILED_PRECONDITION", "final state CANCELLED");
    (void)ask(w, "DELETE", batch, "");
    assert_asked(w, 200);
    (void)ask(w, "GET", batch, "");
    assert_asked(w, 404);
}

static void test_a_deletion_is_an_operation_that_can_be_polled(void **state)
{
    struct serving *w = *state;
    const char *job = made(w, "v1", JOBS, FLASH);

    wait_for(w, job, "state", "JOB_STATE_FAILED");
    (void)ask(w, "DELETE", job, "");
    assert_asked(w, 200);
    assert_true(yyjson_get_bool(json_get(answer(w), "done")));
    const char *name = answer_text(w, "name");
    /* As google-cloud-aiplatform polls. */
    (void)ask(w, "GET", joined(w, "/ui/%s?%%24alt=json%%3Benum-encoding%%3Dint", name), "");
    assert_asked(w, 200);
    assert_string_equal(answer_text(w, "name"), name);
    (void)ask(w, "POST", joined(w, "/v1/%s:wait?timeout=1s", name), "");
    assert_asked(w, 200);
    (void)ask(
        w, "GET",
        joined(w, "/v1/projects/p2/locations/us-central1/operations/%s", strrchr(name, '/') + 1),
        "");
    assert_failed(w, 404, "NOT_FOUND", "is not found");
}

static void test_inline_responses_come_back_in_order_in_both_places(void **state)
{
    struct serving *w = *state;
    const char *batch = made(w, "v1", CREATE_BATCH, INLINE(ONE_MORE));
    static const char *const places[] = { "metadata.output", "response" };

    wait_for(w, batch, "metadata.state", "BATCH_STATE_SUCCEEDED");
    for (int i = 0; i < 2; i++) {
        const char *at = joined(w, "%s.inlinedResponses.inlinedResponses", places[i]);
        assert_string_equal(answer_text(w, joined(w, "%s.0.metadata.key", at)), "k1");
        assert_string_equal(answer_text(w, joined(w, "%s.1.metadata.key", at)), "k2");
        assert_true(strlen(answer_text(
                        w, joined(w, "%s.1.response.candidates.0.content.parts.0.text", at))) > 0);
    }
    (void)ask(w, "GET", "/v1/batches", "");
    assert_asked(w, 200);
    assert_string_equal(answer_text(w, "operations.0.metadata.state"), "BATCH_STATE_SUCCEEDED");
}

static void test_an_update_changes_name_and_priority(void **state)
{
    struct serving *w = *state;
    const char *batch = made(w, "v1", CREATE_SLOW, INLINE(""));
    const char *update = joined(w, "%s:updateGenerateContentBatch", batch);

    (void)ask(w, "PATCH", joined(w, "%s?updateMask=displayName", update),
              "{'displayName':'n','priority':3}");
    assert_asked(w, 200);
    assert_string_equal(answer_text(w, "displayName"), "n");
    (void)ask(w, "PATCH", update, "{'priority':'3'}");
    assert_string_equal(answer_text(w, "priority"), "3");
    (void)ask(w, "PATCH", joined(w, "%s?updateMask=state", update), "{}");
    assert_asked(w, 400);
}

static void test_a_project_may_queue_only_so_many(void **state)
{
    struct serving *w = *state;

    w->settings.queued_max = 2;
    service_set(w->service, &w->settings);
    (void)made(w, "v1", CREATE_SLOW, INLINE(""));
    (void)made(w, "v1", CREATE_SLOW, INLINE(""));
    (void)ask(w, "POST", CREATE_SLOW, INLINE(""));
    assert_failed(w, 429, "RESOURCE_EXHAUSTED", "which is its limit");
}

static void test_a_test_script_is_checked_at_create(void **state)
{
    struct serving *w = *state;

    (void)ask_with(w, "POST", CREATE_BATCH, "x-tranche-test: nonsense\r\n", INLINE(""));
    assert_failed(w, 400, "INVALID_ARGUMENT", "x-tranche-test");
    (void)ask_with(w, "POST", CREATE_BATCH, "x-tranche-test: invalid_argument\r\n", INLINE(""));
    assert_asked(w, 200);
    wait_for(w, joined(w, "/v1/%s", answer_text(w, "name")), "metadata.state",
             "BATCH_STATE_SUCCEEDED");
    assert_true(str_find(w->body, STR("\"error\":{\"code\":3")) < SIZE_MAX);
}

static void test_a_key_reaches_its_own_project_only(void **state)
{
    struct serving *w = *state;
    const char *ours = key_header(w, "p1", ROLE_SUBMITTER);
    const char *theirs = key_header(w, "p2", ROLE_ADMIN),
               *viewer = key_header(w, "p1", ROLE_VIEWER);

    (void)ask_with(w, "POST", JOBS, ours, FLASH);
    assert_asked(w, 200);
    const char *job = joined(w, "/v1/%s", answer_text(w, "name"));
    (void)ask_with(w, "POST", CREATE_SLOW, ours, INLINE(""));
    const char *batch = joined(w, "/v1/%s", answer_text(w, "name"));
    (void)ask_with(w, "POST", JOBS, theirs, FLASH);
    assert_failed(w, 403, "PERMISSION_DENIED", "'aiplatform.batchPredictionJobs.create' denied");
    (void)ask_with(w, "POST", JOBS, viewer, FLASH);
    assert_asked(w, 403);
    (void)ask_with(w, "GET", job, viewer, "");
    assert_asked(w, 200);
    const char *const paths[] = { job, batch, joined(w, "%s:results", job),
                                  joined(w, "/v1/batchPredictionJobs/%s", strrchr(job, '/') + 1) };
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        (void)ask_with(w, "GET", paths[i], theirs, "");
        assert_failed(w, 404, "NOT_FOUND", "is not found");
    }
    (void)ask_with(w, "POST", joined(w, "%s:cancel", batch), theirs, "");
    assert_asked(w, 404);
    (void)ask_with(w, "GET", "/v1/batches", theirs, "");
    assert_string_equal(joined(w, "%.*s", STR_ARG(w->body)), "{}");
}

#define JOB(test) cmocka_unit_test_setup_teardown(test, set_up, serving_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        JOB(test_a_created_job_is_pending_and_fails_later_over_its_input),
        JOB(test_an_output_that_cannot_be_written_is_refused_at_create),
        JOB(test_what_the_real_service_refuses_at_create_is_refused),
        JOB(test_tuned_models_and_express_paths_are_taken),
        JOB(test_a_job_is_seen_only_where_it_is),
        JOB(test_a_request_id_makes_one_job),
        JOB(test_lists_are_paged_filtered_and_their_tokens_are_ours),
        JOB(test_a_batch_of_embeddings_gives_an_embedding_for_each_request),
        JOB(test_a_batch_is_of_one_kind_and_refuses_lines_of_the_other),
        JOB(test_a_job_of_vertex_embeds_the_lines_that_ask_for_it),
        JOB(test_a_batch_of_embeddings_may_be_a_file),
        JOB(test_a_service_may_take_jobs_at_the_location_global),
        JOB(test_a_running_batch_that_is_deleted_is_cancelled_and_removed),
        JOB(test_an_active_job_is_cancelled_before_it_is_deleted),
        JOB(test_a_deletion_is_an_operation_that_can_be_polled),
        JOB(test_inline_responses_come_back_in_order_in_both_places),
        JOB(test_an_update_changes_name_and_priority),
        JOB(test_a_project_may_queue_only_so_many),
        JOB(test_a_test_script_is_checked_at_create),
        JOB(test_a_key_reaches_its_own_project_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
