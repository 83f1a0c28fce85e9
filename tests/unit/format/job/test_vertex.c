/* Goal: what Vertex clients really send is read as they mean it, what is wrong is refused by name, and
 * the resource has exactly the members that its state gives it. Method: the captured bodies of
 * google-genai as they are; a job in each state against golden files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/format/job/dialect_case.h"
#include "base/mem.h"
#include "golden.h"

#define CREATE_US 1795341600000000 /* 2026-11-22T10:00:00Z */

#define CAPTURED_PLAIN                                                                             \
    "{'model':'publishers/google/models/gemini-2.5-flash','inputConfig':{'instancesFormat':"       \
    "'jsonl','gcsSource':{'uris':['gs://b/in.jsonl']}},'displayName':"                             \
    "'genai_batch_job_20261122230624_941cb','outputConfig':{'predictionsFormat':'jsonl',"          \
    "'gcsDestination':{'outputUriPrefix':'gs://b/in/dest'}}}"
#define PLAIN_SPEC                                                                                 \
    "{\"inputConfig\":{\"instancesFormat\":\"jsonl\",\"gcsSource\":{\"uris\":"                     \
    "[\"gs://b/in.jsonl\"]}},\"outputConfig\":{\"predictionsFormat\":\"jsonl\","                   \
    "\"gcsDestination\":{\"outputUriPrefix\":\"gs://b/in/dest\"}}}"

#define BODY(more)                                                                                 \
    "{'displayName':'d','model':'publishers/google/models/m','inputConfig':{'gcsSource':{'uris':"  \
    "['gs://b/a.jsonl']}},'outputConfig':{'gcsDestination':{'outputUriPrefix':'gs://b/o'}}" more   \
    "}"

static void test_the_captured_create_body_is_read_as_it_is(void **state)
{
    (void)state;
    struct created c;

    created_vertex(&c, CAPTURED_PLAIN);
    assert_int_equal(c.rc, 0);
    assert_text(c.job.model, "publishers/google/models/gemini-2.5-flash");
    assert_text(c.job.display_name, "genai_batch_job_20261122230624_941cb");
    assert_int_equal(c.job.dialect, DIALECT_VERTEX);
    assert_int_equal(c.job.source, JOB_OBJECTS);
    assert_text(c.job.spec, PLAIN_SPEC);
    created_release(&c);
}

/* Traps 8 and 9: snake_case at every level, one string where a list is expected. */
static void test_both_spellings_and_a_single_uri_give_the_same_spec(void **state)
{
    (void)state;
    struct created c;

    created_vertex(&c, "{'display_name':'x','model':'publishers/google/models/m','input_config':{"
                       "'instances_format':'jsonl','gcs_source':{'uris':'gs://b/in.jsonl'}},"
                       "'output_config':{'predictions_format':'jsonl','gcs_destination':{"
                       "'output_uri_prefix':'gs://b/in/dest'}}}");
    assert_int_equal(c.rc, 0);
    assert_text(c.job.spec, PLAIN_SPEC);
    created_release(&c);
}

static void test_input_and_output_are_found_in_a_spec(void **state)
{
    (void)state;
    struct created c;
    struct str *uri;
    uint32_t count;

    created_vertex(&c,
                   "{'displayName':'d','model':'projects/p1/locations/us-central1/models/777@2',"
                   "'inputConfig':{'gcsSource':{'uris':['gs://b/a.jsonl','gs://b/b*.jsonl']}},"
                   "'outputConfig':{'gcsDestination':{'outputUriPrefix':'gs://b/out//'}}}");
    assert_int_equal(c.rc, 0);
    assert_int_equal(vertex_inputs(&c.arena, c.job.spec, &uri, &count, &c.e), 0);
    assert_int_equal(count, 2);
    assert_text(uri[0], "gs://b/a.jsonl");
    assert_text(uri[1], "gs://b/b*.jsonl");
    assert_text(vertex_output_prefix(&c.arena, c.job.spec), "gs://b/out");
    created_release(&c);
}

static void test_what_is_wrong_is_refused_by_the_name_of_its_field(void **state)
{
    (void)state;
    static const struct {
        const char *body, *words;
    } cases[] = {
        { "[]", "must be a JSON object" },
        { "{", "Invalid JSON payload" },
        { "{'model':'publishers/google/models/m'}", "displayName is missing" },
        { "{'displayName':'d','inputConfig':{}}", "model is missing" },
        { "{'displayName':'d','model':'m','inputConfig':{}}", "not the resource name of a model" },
        { BODY(",'bogus':1"), "Unknown name \"bogus\"" },
        { BODY(",'lables':{}"), "Did you mean \"labels\"?" },
        { BODY(",'displayName':'e'"), "twice" },
        { BODY(",'labels':{'a':1}"), "labels" },
        { BODY(",'labels':{'A':'x'}"), "The key of \"A\"" },
        { BODY(",'labels':{'1a':'x'}"), "The key of \"1a\"" },
        { BODY(",'labels':{'a':'X y'}"), "The value of \"a\"" },
        { BODY(",'encryptionSpec':{'kmsKeyName':'k'}"), "encryptionSpec is not supported" },
        { BODY(",'serviceAccount':'s'"), "serviceAccount is not supported" },
        { BODY(",'tranche':{'budgett':{}}"), "Did you mean \"budget\"?" },
        { BODY(",'tranche':{'budget':{'usd':0}}"), "tranche.budget.usd" },
        { BODY(",'tranche':{'maxErrorRate':1.5}"), "maxErrorRate" },
        { BODY(",'tranche':{'requestId':'a b'}"), "requestId" },
        /* What the Gen AI SDK sends when src does not end in .jsonl and dest is not given. */
        { "{'model':'publishers/google/models/m','inputConfig':{'instancesFormat':'jsonl',"
          "'gcsSource':{'uris':['gs://b/in']}},'displayName':'d'}",
          "outputConfig.gcsDestination.outputUriPrefix" },
        { "{'displayName':'d','model':'publishers/google/models/m','inputConfig':{'gcsSource':{"
          "'uris':[]}}}",
          "Name at least one file" },
        { "{'displayName':'d','model':'publishers/google/models/m','inputConfig':{'gcsSource':{"
          "'uris':'s3://b/a'}}}",
          "not a Cloud Storage URI" },
        { "{'displayName':'d','model':'publishers/google/models/m','inputConfig':{'gcsSource':{"
          "'uris':'gs://b'}}}",
          "not a Cloud Storage URI" },
        { "{'displayName':'d','model':'publishers/google/models/m','inputConfig':{'gcsSource':{"
          "'uris':'gs://b/a'},'bigquerySource':{'inputUri':'bq://p.d.t'}}}",
          "bigquerySource cannot stand beside gcsSource" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct created c;
        created_vertex(&c, cases[i].body);
        assert_refused(&c, cases[i].words);
        created_release(&c);
    }
}

#define TABLES(input, output)                                                                      \
    "{'model':'publishers/google/models/gemini-2.5-flash','inputConfig':" input                    \
    ",'displayName':'x','outputConfig':" output "}"
#define FROM_TABLE "{'instancesFormat':'bigquery','bigquerySource':{'inputUri':'bq://p1.ds.tbl'}}"
#define FROM_FILES "{'instancesFormat':'jsonl','gcsSource':{'uris':['gs://b/a.jsonl']}}"
#define TO_TABLE                                                                                   \
    "{'predictionsFormat':'bigquery','bigqueryDestination':{'outputUri':'bq://p1.ds.tbl_dest'}}"
#define TO_FILES "{'predictionsFormat':'jsonl','gcsDestination':{'outputUriPrefix':'gs://b/o'}}"

/* The captured bodies, and the other spelling; a resource echoes them in one form. */
static void test_tables_are_read_in_every_mix_with_files(void **state)
{
    static const struct {
        const char *body;
        bool in, out;
    } cases[] = {
        { TABLES(FROM_TABLE, TO_TABLE), true, true },
        { TABLES(FROM_FILES, TO_TABLE), false, true },
        { TABLES(FROM_TABLE, TO_FILES), true, false },
        { TABLES("{'instances_format':'bigquery','bigquery_source':{'input_uri':'bq://p1.ds.tbl'}}",
                 "{'predictions_format':'bigquery','bigquery_destination':{'output_uri':"
                 "'bq://p1.ds.tbl_dest'}}"),
          true, true },
        { TABLES("{'bigquerySource':{'inputUri':'bq://p1.ds.tbl'}}",
                 "{'bigqueryDestination':{'outputUri':'bq://p1.ds.tbl_dest'}}"),
          true, true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct created c;
        struct bq_name name;
        created_vertex(&c, cases[i].body);
        if (c.rc < 0)
            fail_msg("%s: %s", cases[i].body, c.e.msg);
        assert_int_equal(vertex_input_table(&c.arena, c.job.spec, &name), cases[i].in);
        if (cases[i].in)
            assert_text(name.table, "tbl");
        assert_int_equal(vertex_output_table(&c.arena, &c.job, &name), cases[i].out);
        if (cases[i].out) {
            assert_text(name.project, "p1");
            assert_text(name.dataset, "ds");
            assert_text(name.table, "tbl_dest");
            assert_int_not_equal(str_find(c.job.spec, STR("\"bigqueryDestination\":{\"outputUri\":"
                                                          "\"bq://p1.ds.tbl_dest\"}")),
                                 SIZE_MAX);
        }
        created_release(&c);
    }
}

/* As the real service names what it makes; the same name at each call. */
static void test_an_output_without_table_or_dataset_gets_their_names(void **state)
{
    static const struct {
        const char *uri, *dataset, *table;
        int64_t retry_of;
    } cases[] = {
        { "bq://p1", "prediction_gemini_2_5_flash_2026_11_22T10_00_00_000Z", "predictions", 0 },
        { "bq://p1.ds", "ds", "predictions_2026_11_22T10_00_00_000Z", 0 },
        { "bq://p1.ds.t", "ds", "t", 0 },
        { "bq://p1.ds.t", "ds", "t_retry_2026_11_22T10_00_00_000Z", 7 },
        { "bq://p1.ds", "ds", "predictions_2026_11_22T10_00_00_000Z", 7 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char body[1024];
        struct created c;
        struct bq_name name;
        (void)snprintf(body, sizeof body,
                       TABLES(FROM_FILES, "{'bigqueryDestination':{'outputUri':'%s'}}"),
                       cases[i].uri);
        created_vertex(&c, body);
        assert_int_equal(c.rc, 0);
        c.job.create_us = CREATE_US;
        c.job.retry_of = cases[i].retry_of;
        assert_true(vertex_output_table(&c.arena, &c.job, &name));
        assert_text(name.project, "p1");
        assert_text(name.dataset, cases[i].dataset);
        assert_text(name.table, cases[i].table);
        created_release(&c);
    }
}

static void test_tables_that_cannot_be_are_refused_with_the_form_that_can(void **state)
{
#define SOURCE(uri) TABLES("{'bigquerySource':{'inputUri':" uri "}}", TO_FILES)
#define DESTINATION(uri) TABLES(FROM_FILES, "{'bigqueryDestination':{'outputUri':" uri "}}")
    static const struct {
        const char *body, *words;
    } cases[] = {
        { SOURCE("'bq://ds.tbl'"), "Write it as \"bq://project.dataset.table\"" },
        { SOURCE("'p.ds.tbl'"), "Write it as \"bq://project.dataset.table\"" },
        { SOURCE("'bq://p.ds.tbl*'"), "Write it as \"bq://project.dataset.table\"" },
        { SOURCE("'bq://p.ds.tbl$20240101'"), "Write it as \"bq://project.dataset.table\"" },
        { SOURCE("''"), "inputConfig.bigquerySource.inputUri" },
        { SOURCE("['bq://p.ds.a','bq://p.ds.b']"),
          "Multiple BigQuery input datasets are not supported." },
        { DESTINATION("'p.ds.t'"), "Invalid BigQuery destination path: \"p.ds.t\"" },
        { DESTINATION("'bq://p.ds.t.u'"), "Invalid BigQuery destination path" },
        { DESTINATION("'gs://b/o'"), "Invalid BigQuery destination path" },
        { TABLES(FROM_TABLE,
                 "{'predictionsFormat':'jsonl','bigqueryDestination':{'outputUri':'bq://p'}}"),
          "\"jsonl\" does not go with a table (bq://). Write \"bigquery\"" },
        { TABLES("{'instancesFormat':'bigquery','gcsSource':{'uris':['gs://b/a']}}", TO_FILES),
          "\"bigquery\" does not go with files (gs://). Write \"jsonl\"" },
        { TABLES(FROM_TABLE, TO_TABLE ",'instanceConfig':{'keyField':'id'}"),
          "\"bigquery\" output format does not support key_field." },
        { TABLES(FROM_TABLE, TO_TABLE ",'instance_config':{'key_field':'id'}"),
          "\"bigquery\" output format does not support key_field." },
        { TABLES(FROM_FILES, "{'gcsDestination':{'outputUriPrefix':'bq://p.d.t'}}"),
          "Name it in outputConfig.bigqueryDestination.outputUri" },
        { TABLES("{'gcsSource':{'uris':'bq://p.d.t'}}", TO_FILES),
          "Name it in inputConfig.bigquerySource.inputUri" },
        { TABLES("{'bigquerySource':{}}", TO_FILES), "inputUri is missing" },
        { TABLES(FROM_TABLE, "{'predictionsFormat':'bigquery'}"), "does not go with files" },
        { TABLES(FROM_TABLE, "{}"), "outputConfig.gcsDestination.outputUriPrefix is missing" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct created c;
        created_vertex(&c, cases[i].body);
        assert_refused(&c, cases[i].words);
        created_release(&c);
    }
}

/* As google-genai sends it for src={"vertex_dataset_name": ...} and dest={"vertex_dataset": ...}. */
static void test_multimodal_datasets_are_refused_with_what_to_use_instead(void **state)
{
#define DATASET                                                                                    \
    "'vertexMultimodalDatasetSource':{'datasetName':'projects/p/locations/l/datasets/1'}"
    static const struct {
        const char *body, *words;
    } cases[] = {
        { "{'model':'publishers/google/models/"
          "m','displayName':'d','inputConfig':{'instancesFormat':"
          "'vertex-dataset'," DATASET "},'outputConfig':{'gcsDestination':{'outputUriPrefix':"
          "'gs://b/o'}}}",
          "Multimodal datasets are not supported" },
        { "{'model':'publishers/google/models/m','displayName':'d','inputConfig':{" DATASET
          "},'outputConfig':{'gcsDestination':{'outputUriPrefix':'gs://b/o'}}}",
          "name the files in inputConfig.gcsSource.uris" },
        { "{'model':'publishers/google/models/m','displayName':'d','inputConfig':{'gcsSource':{"
          "'uris':['gs://b/i']}},'outputConfig':{'predictionsFormat':'vertex-dataset',"
          "'vertexMultimodalDatasetDestination':{'displayName':'x'}}}",
          "Multimodal datasets are not supported" },
        { "{'model':'publishers/google/models/m','displayName':'d','inputConfig':{'gcsSource':{"
          "'uris':['gs://b/i']}},'outputConfig':{'vertexMultimodalDatasetDestination':{}}}",
          "name a gs:// folder in outputConfig.gcsDestination.outputUriPrefix" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct created c;
        created_vertex(&c, cases[i].body);
        assert_refused(&c, cases[i].words);
        created_release(&c);
    }
}

static void test_output_only_members_are_taken_and_forgotten(void **state)
{
    (void)state;
    struct created c;

    created_vertex(&c, BODY(",'name':'n','state':4,'createTime':'x','completionStats':{}"));
    assert_int_equal(c.rc, 0);
    assert_int_equal(str_find(c.job.spec, STR("completionStats")), SIZE_MAX);
    created_release(&c);
}

static void body_with_labels(struct buf *b, unsigned count)
{
    buf_add_c(b, "{'displayName':'d','model':'publishers/google/models/m','inputConfig':{"
                 "'gcsSource':{'uris':['gs://b/a.jsonl']}},'outputConfig':{'gcsDestination':{"
                 "'outputUriPrefix':'gs://b/o'}},'labels':{");
    for (unsigned i = 0; i < count; i++)
        buf_addf(b, "%s'k%u':'v'", i ? "," : "", i);
    buf_add_c(b, "}}");
}

static void test_labels_and_names_are_bounded_at_their_maximum(void **state)
{
    (void)state;
    for (unsigned over = 0; over < 2; over++) {
        struct buf b = BUF_INIT(65536);
        struct created c;
        body_with_labels(&b, VERTEX_LABELS_MAX + over);
        created_vertex(&c, b.p);
        assert_int_equal(c.rc, over ? -1 : 0);
        created_release(&c);
        buf_clear(&b);
        buf_add_c(&b, "{'displayName':'");
        for (unsigned i = 0; i < 128 + over; i++)
            buf_add_c(&b, "\xC3\xA9"); /* characters are counted, not bytes */
        buf_add_str(&b, str_sub(STR(BODY("")), sizeof "{'displayName':'d" - 1, SIZE_MAX));
        created_vertex(&c, b.p);
        assert_int_equal(c.rc, over ? -1 : 0);
        created_release(&c);
        buf_release(&b);
    }
}

static void test_uris_are_bounded_at_their_maximum(void **state)
{
    (void)state;
    for (unsigned over = 0; over < 2; over++) {
        struct buf b = BUF_INIT(VERTEX_BODY_BYTES_MAX);
        struct created c;
        buf_add_c(&b, "{'displayName':'d','model':'publishers/google/models/m','inputConfig':{"
                      "'gcsSource':{'uris':[");
        for (unsigned i = 0; i < VERTEX_URIS_MAX + over; i++)
            buf_addf(&b, "%s'gs://b/%u'", i ? "," : "", i);
        buf_add_c(&b, "]}},'outputConfig':{'gcsDestination':{'outputUriPrefix':'gs://b/o'}}}");
        created_vertex(&c, b.p);
        assert_int_equal(c.rc, over ? -1 : 0);
        created_release(&c);
        buf_release(&b);
    }
}

static void test_a_body_over_its_maximum_is_refused_before_it_is_parsed(void **state)
{
    (void)state;
    struct arena a = { 0 };
    struct error e = { 0 };
    struct job j = { 0 };
    struct str body = { arena_alloc(&a, VERTEX_BODY_BYTES_MAX + 1), VERTEX_BODY_BYTES_MAX + 1 };

    assert_int_equal(vertex_read(&a, body, &j, &e), -1);
    assert_non_null(strstr(e.msg, "at most"));
    arena_release(&a);
}

static void test_options_are_read_and_shown_as_they_were_asked(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(65536);
    struct created c;

    created_vertex(&c, BODY(",'tranche':{'validate_only':true,'strict':true,'budget':{'usd':'2.5',"
                            "'tokens':'1000'},'maxErrorRate':0.25,'maxErrorRateMinLines':10,"
                            "'requestId':'r-1','priority':-3}"));
    assert_int_equal(c.rc, 0);
    assert_true(c.job.options.validate_only && c.job.options.strict);
    assert_int_equal(c.job.options.budget_nano, 2500000000);
    assert_int_equal(c.job.options.budget_tokens, 1000);
    assert_int_equal(c.job.options.error_lines_min, 10);
    assert_int_equal(c.job.priority, -3);
    job_add_extension(&JSON_WRITER(&out), NULL, &c.job, NULL);
    assert_true(
        str_find(buf_str(&out),
                 STR("\"options\":{\"validateOnly\":true,\"strict\":true,\"budget\":{"
                     "\"usd\":2.5,\"tokens\":1000},\"maxErrorRate\":0.25,"
                     "\"maxErrorRateMinLines\":10,\"requestId\":\"r-1\",\"priority\":-3}")) <
        SIZE_MAX);
    created_release(&c);
    buf_release(&out);
}

static void test_a_resume_body_changes_only_what_it_names(void **state)
{
    (void)state;
    struct arena a = { 0 };
    struct error e = { 0 };
    struct job j = { .options = { .budget_nano = 5, .error_rate_max = 0.5 }, .priority = 7 };
    size_t at;
    yyjson_val *body = json_parse(&a, STR("{\"budget\":{\"tokens\":9}}"), &at, &e);

    assert_int_equal(job_read_extension(&a, body, &j, &e), 0);
    assert_int_equal(j.options.budget_nano, 5);
    assert_int_equal(j.options.budget_tokens, 9);
    assert_int_equal(j.priority, 7);
    arena_release(&a);
}

/* ---- What is shown ---- */

static struct job example(enum job_state s)
{
    return (struct job){
        .id = 4711000000000000001,
        .project = "123",
        .location = "us-central1",
        .state = s,
        .model = STR("publishers/google/models/gemini-2.5-flash"),
        .display_name = STR("d"),
        .spec = STR(PLAIN_SPEC),
        .create_us = CREATE_US,
        .update_us = CREATE_US,
    };
}

static void write_view(const struct job *j, const char *mask, enum job_state expired_as,
                       struct buf *out)
{
    const struct vertex_view v = { .mask = str_of(mask), .expired_as = expired_as };

    *out = BUF_INIT(65536);
    vertex_write(j, &v, out);
}

#define WITHOUT_EXTENSION                                                                          \
    "name,displayName,model,inputConfig,outputConfig,outputInfo,state,error,partialFailures,"      \
    "completionStats,createTime,startTime,endTime,updateTime,modelVersionId"

static void test_a_new_job_is_as_the_real_service_shows_it(void **state)
{
    (void)state;
    struct job j = example(JOB_PENDING);
    struct buf out;

    write_view(&j, WITHOUT_EXTENSION, JOB_EXPIRED, &out);
    assert_golden("vertex_pending.json", buf_str(&out));
    buf_release(&out);
    write_view(&j, "", JOB_EXPIRED, &out);
    assert_golden("vertex_pending_extended.json", buf_str(&out));
    buf_release(&out);
}

static struct job finished(enum job_state s)
{
    struct job j = example(s);

    j.start_us = CREATE_US + 1500001;
    j.end_us = j.update_us = CREATE_US + 61000000;
    j.output = STR("gs://b/in/dest/prediction-model-2026-11-22T10:00:00.000000Z");
    j.counters = (struct counters){ .total = 5, .succeeded = 2, .failed = 1, .not_run = 2 };
    return j;
}

static void test_a_finished_job_has_its_output_and_counts_without_zeros(void **state)
{
    (void)state;
    struct job j = finished(JOB_SUCCEEDED);
    struct buf out;

    j.counters = (struct counters){ .total = 2, .succeeded = 2 };
    write_view(&j, WITHOUT_EXTENSION, JOB_EXPIRED, &out);
    assert_golden("vertex_succeeded.json", buf_str(&out));
    buf_release(&out);
}

/* Trap 4: the output's place is one of a oneof, and clients query the table by its whole name. */
static void test_a_job_that_made_a_table_names_it(void **state)
{
    (void)state;
    struct job j = finished(JOB_SUCCEEDED);
    struct buf out;

    j.spec =
        STR("{\"inputConfig\":{\"instancesFormat\":\"bigquery\",\"bigquerySource\":{\"inputUri\":"
            "\"bq://p1.ds.tbl\"}},\"outputConfig\":{\"predictionsFormat\":\"bigquery\","
            "\"bigqueryDestination\":{\"outputUri\":\"bq://p1\"}}}");
    j.output = STR("bq://p1.prediction_gemini_2_5_flash_2026_11_22T10_00_00_000Z.predictions");
    j.counters = (struct counters){ .total = 2, .succeeded = 2 };
    write_view(&j, WITHOUT_EXTENSION, JOB_EXPIRED, &out);
    assert_golden("vertex_table.json", buf_str(&out));
    buf_release(&out);
}

/* Trap 3: details in a job's error crash the Gen AI SDK. */
static void test_an_error_is_there_only_in_states_that_have_one_and_has_no_details(void **state)
{
    (void)state;
    for (unsigned s = 0; s < JOB_STATE_COUNT; s++) {
        struct job j = finished((enum job_state)s);
        bool failed = s == JOB_FAILED || s == JOB_CANCELLED || s == JOB_EXPIRED;
        struct buf out;
        write_view(&j, "", JOB_EXPIRED, &out);
        assert_int_equal(str_find(buf_str(&out), STR("\"error\":")) < SIZE_MAX, failed);
        assert_int_equal(str_find(buf_str(&out), STR("\"details\"")), SIZE_MAX);
        assert_int_equal(str_find(buf_str(&out), STR("\"endTime\"")) < SIZE_MAX,
                         job_state_final(j.state));
        buf_release(&out);
    }
}

static void test_a_cancelled_job_says_cancelled_as_the_real_service_does(void **state)
{
    (void)state;
    struct job j = finished(JOB_CANCELLED);
    struct buf out;

    write_view(&j, "error,completionStats", JOB_EXPIRED, &out);
    assert_text(buf_str(&out), "{\"error\":{\"code\":1,\"message\":\"CANCELED\"},"
                               "\"completionStats\":{\"successfulCount\":\"2\","
                               "\"failedCount\":\"1\",\"incompleteCount\":\"2\"}}");
    buf_release(&out);
    j.start_us = 0; /* before it ran: no counts */
    j.counters = (struct counters){ .total = 5, .not_run = 5 };
    write_view(&j, "completion_stats", JOB_EXPIRED, &out);
    assert_text(buf_str(&out), "{}");
    buf_release(&out);
}

static void test_an_expired_job_is_shown_as_the_setting_says(void **state)
{
    (void)state;
    struct job j = finished(JOB_EXPIRED);
    struct buf out;

    write_view(&j, "state", JOB_FAILED, &out);
    assert_text(buf_str(&out), "{\"state\":\"JOB_STATE_FAILED\"}");
    buf_release(&out);
    write_view(&j, "state", JOB_EXPIRED, &out);
    assert_text(buf_str(&out), "{\"state\":\"JOB_STATE_EXPIRED\"}");
    buf_release(&out);
}

static void test_a_mask_keeps_what_it_names_in_either_spelling(void **state)
{
    (void)state;
    struct job j = finished(JOB_SUCCEEDED);
    struct buf out;

    write_view(&j, " display_name , outputInfo.gcsOutputDirectory,nonsense", JOB_EXPIRED, &out);
    assert_text(buf_str(&out), "{\"displayName\":\"d\",\"outputInfo\":{\"gcsOutputDirectory\":"
                               "\"gs://b/in/dest/prediction-model-2026-11-22T10:00:00.000000Z\"}}");
    buf_release(&out);
    write_view(&j, "*", JOB_EXPIRED, &out);
    assert_true(str_find(buf_str(&out), STR("\"tranche\":")) < SIZE_MAX);
    buf_release(&out);
}

static void test_what_a_client_named_cannot_break_the_resource(void **state)
{
    (void)state;
    struct arena a = { 0 };
    struct error e = { 0 };
    struct job j = example(JOB_FAILED);
    struct buf out;
    size_t at;

    j.display_name = STR("\"},\"x\":\n\x01\xff");
    j.error_message = STR("\\\"quote\"");
    write_view(&j, "", JOB_EXPIRED, &out);
    yyjson_val *root = json_parse(&a, buf_str(&out), &at, &e);
    assert_non_null(root);
    assert_null(json_get(root, "x"));
    arena_release(&a);
    buf_release(&out);
}

static void test_the_live_figures_stand_under_our_key(void **state)
{
    (void)state;
    struct job j = finished(JOB_RUNNING);
    const struct job_live live = {
        .running = true,
        .has_eta = true,
        .eta_s = 12.5,
        .eta_low_s = 10,
        .eta_high_s = 20,
        .lines_per_s = 3,
        .in_flight = 4,
        .cost_estimate_nano = 1500000000,
        .queued = true,
        .position = 2,
    };
    struct buf out = BUF_INIT(65536);

    j.retry_of = 17;
    j.bad = 1;
    j.counters.cost_nano = 250000000;
    job_add_extension(&JSON_WRITER(&out), NULL, &j, &live);
    assert_golden("extension_running.json", buf_str(&out));
    buf_release(&out);
}

static void test_structured_and_refused_answers_stand_under_our_key(void **state)
{
    (void)state;
    struct job j = finished(JOB_SUCCEEDED);
    struct buf out = BUF_INIT(65536);

    j.counters.structured = 2;
    j.counters.complete = 1;
    j.counters.forced_tokens = 30;
    j.counters.rejected = 4;
    j.counters.rejected_tokens = 80;
    j.counters.rejected_cost_nano = 1500000;
    job_add_extension(&JSON_WRITER(&out), NULL, &j, NULL);
    assert_non_null(strstr(out.p, "\"forced\":30}"));
    assert_non_null(strstr(out.p, "\"structured\":{\"answers\":2,\"complete\":1},\"rejected\":{"
                                  "\"answers\":4,\"tokens\":80,\"usd\":0.0015}"));
    buf_release(&out);
}

static void test_a_deletion_is_an_operation_that_is_done(void **state)
{
    (void)state;
    const struct vertex_deletion d = { "123", "us-central1", "999", "v1beta1", CREATE_US };
    struct buf out = BUF_INIT(65536);

    vertex_write_delete(&d, &out);
    assert_golden("vertex_delete.json", buf_str(&out));
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_captured_create_body_is_read_as_it_is),
        cmocka_unit_test(test_both_spellings_and_a_single_uri_give_the_same_spec),
        cmocka_unit_test(test_input_and_output_are_found_in_a_spec),
        cmocka_unit_test(test_what_is_wrong_is_refused_by_the_name_of_its_field),
        cmocka_unit_test(test_tables_are_read_in_every_mix_with_files),
        cmocka_unit_test(test_an_output_without_table_or_dataset_gets_their_names),
        cmocka_unit_test(test_tables_that_cannot_be_are_refused_with_the_form_that_can),
        cmocka_unit_test(test_multimodal_datasets_are_refused_with_what_to_use_instead),
        cmocka_unit_test(test_output_only_members_are_taken_and_forgotten),
        cmocka_unit_test(test_labels_and_names_are_bounded_at_their_maximum),
        cmocka_unit_test(test_uris_are_bounded_at_their_maximum),
        cmocka_unit_test(test_a_body_over_its_maximum_is_refused_before_it_is_parsed),
        cmocka_unit_test(test_options_are_read_and_shown_as_they_were_asked),
        cmocka_unit_test(test_a_resume_body_changes_only_what_it_names),
        cmocka_unit_test(test_a_new_job_is_as_the_real_service_shows_it),
        cmocka_unit_test(test_a_finished_job_has_its_output_and_counts_without_zeros),
        cmocka_unit_test(test_a_job_that_made_a_table_names_it),
        cmocka_unit_test(test_an_error_is_there_only_in_states_that_have_one_and_has_no_details),
        cmocka_unit_test(test_a_cancelled_job_says_cancelled_as_the_real_service_does),
        cmocka_unit_test(test_an_expired_job_is_shown_as_the_setting_says),
        cmocka_unit_test(test_a_mask_keeps_what_it_names_in_either_spelling),
        cmocka_unit_test(test_what_a_client_named_cannot_break_the_resource),
        cmocka_unit_test(test_the_live_figures_stand_under_our_key),
        cmocka_unit_test(test_structured_and_refused_answers_stand_under_our_key),
        cmocka_unit_test(test_a_deletion_is_an_operation_that_is_done),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
