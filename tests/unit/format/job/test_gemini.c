/* Goal: what Gemini API clients really send is read as they mean it, and the Operation is what both SDKs
 * and raw REST users look into. Method: the captured bodies as they are; a job in each state against
 * golden files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/format/job/dialect_case.h"
#include "base/mem.h"
#include "golden.h"

#define CREATE_US 1764782586004734 /* 2025-12-03T17:23:06.004734Z */

static void test_the_captured_inline_body_becomes_lines(void **state)
{
    (void)state;
    struct created c;

    created_gemini(
        &c,
        "{'batch':{'inputConfig':{'requests':{'requests':[{'request':{'contents':[{'parts':[{'text'"
        ":"
        "'a'}],'role':'user'}],'tools':[{'functionDeclarations':[{'name':'f','parameters':{"
        "'properties':{'a':{'max_length':3,'type':'STRING'}},'type':'OBJECT'}}]}],"
        "'generationConfig':{'temperature':0.5,'responseMimeType':'application/json',"
        "'thinkingConfig':{'thinking_budget':5}}},'metadata':{'key':'request-1'}},\n"
        "{'request':{'model':'models/gemini-2.5-flash','contents':[]}}]}},'displayName':'dn'}}");
    assert_int_equal(c.rc, 0);
    assert_int_equal(c.job.source, JOB_INLINE);
    assert_int_equal(c.job.dialect, DIALECT_GEMINI);
    assert_text(c.job.display_name, "dn");
    assert_text(
        buf_str(&c.lines),
        "{\"request\":{\"contents\":[{\"parts\":[{\"text\":\"a\"}],\"role\":\"user\"}],\"tools\":"
        "[{\"functionDeclarations\":[{\"name\":\"f\",\"parameters\":{\"properties\":{\"a\":"
        "{\"max_length\":3,\"type\":\"STRING\"}},\"type\":\"OBJECT\"}}]}],\"generationConfig\":"
        "{\"temperature\":0.5,\"responseMimeType\":\"application/json\",\"thinkingConfig\":"
        "{\"thinking_budget\":5}}},\"metadata\":{\"key\":\"request-1\"}}\n"
        "{\"request\":{\"model\":\"models/gemini-2.5-flash\",\"contents\":[]}}\n");
    created_release(&c);
}

static void test_the_captured_file_body_names_its_file_in_both_spellings(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{'batch':{'inputConfig':{'fileName':'files/abc'},'displayName':'dn'}}",
        "{'batch':{'input_config':{'file_name':'files/abc'}}}",
    };

    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct created c;
        created_gemini(&c, bodies[i]);
        assert_int_equal(c.rc, 0);
        assert_int_equal(c.job.source, JOB_FILE);
        assert_text(gemini_input_file(&c.arena, c.job.spec), "files/abc");
        assert_int_equal(c.lines.len, 0);
        created_release(&c);
    }
}

/* The SDK's metadata is a map of strings: a number there crashes it. */
static void test_metadata_values_become_strings(void **state)
{
    (void)state;
    struct created c;

    created_gemini(&c, "{'batch':{'inputConfig':{'requests':{'requests':{'request':{},'metadata':{"
                       "'key':7,'b':true,'n':null,'o':{'x':['y']},'s':'t'}}}}}}");
    assert_int_equal(c.rc, 0);
    assert_text(buf_str(&c.lines),
                "{\"request\":{},\"metadata\":{\"key\":\"7\",\"b\":\"true\",\"n\":\"null\","
                "\"o\":\"{\\\"x\\\":[\\\"y\\\"]}\",\"s\":\"t\"}}\n");
    created_release(&c);
}

/* What tells two creates with one request id apart. */
static void test_the_spec_of_other_requests_is_another_one(void **state)
{
    (void)state;
    struct created a, b, again;

    created_gemini(&a, "{'batch':{'inputConfig':{'requests':{'requests':[{'request':{'x':1}}]}}}}");
    created_gemini(&b, "{'batch':{'inputConfig':{'requests':{'requests':[{'request':{'x':2}}]}}}}");
    created_gemini(&again,
                   "{'batch':{'displayName':'other','inputConfig':{'requests':{'requests':[{ "
                   "'request':{'x': 1}}]}}}}");
    assert_false(str_eq(a.job.spec, b.job.spec));
    assert_true(str_eq(a.job.spec, again.job.spec));
    created_release(&a);
    created_release(&b);
    created_release(&again);
}

static void test_priority_webhook_and_options_are_read(void **state)
{
    (void)state;
    struct created c;

    created_gemini(&c, "{'batch':{'inputConfig':{'fileName':'files/abc'},'priority':'5',"
                       "'webhookConfig':{'uris':'https://e.com/h','user_metadata':{'k':'v'}},"
                       "'tranche':{'strict':true}}}");
    assert_int_equal(c.rc, 0);
    assert_int_equal(c.job.priority, 5);
    assert_true(c.job.options.strict);
    assert_text(c.job.webhook, "{\"uris\":[\"https://e.com/h\"],\"userMetadata\":{\"k\":\"v\"}}");
    created_release(&c);
}

static void test_what_is_wrong_is_refused_by_the_name_of_its_field(void **state)
{
    (void)state;
    static const struct {
        const char *body, *words;
    } cases[] = {
        { "{}", "batch is missing" },
        { "{'batch':{}}", "inputConfig is missing" },
        { "{'batch':{'inputConfig':{}}}", "There is no input" },
        { "{'batch':{'inputConfig':{'fileName':'abc'}}}", "not the name of a file" },
        { "{'batch':{'inputConfig':{'fileName':'files/'}}}", "not the name of a file" },
        { "{'batch':{'inputConfig':{'requests':{'requests':[]}}}}", "has no requests" },
        { "{'batch':{'inputConfig':{'requests':{'requests':[{}]}}}}",
          "batch.inputConfig.requests.requests[0]" },
        { "{'batch':{'inputConfig':{'requests':{'requests':[{'request':'x'}]}}}}",
          "request must be an object" },
        { "{'batch':{'inputConfig':{'fileName':'files/a','requests':{'requests':[]}}}}",
          "cannot stand beside" },
        { "{'batch':{'inputConfig':{'fileName':'files/a'},'webhookConfig':{'uris':['ftp://x']}}}",
          "not a web address" },
        { "{'batch':{'inputConfig':{'fileName':'files/a'},'bogus':1}}", "Unknown name \"bogus\"" },
        { "{'batch':{'inputConfig':{'fileName':'files/a'},'tranche':{'x':1}}}", "tranche.x" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct created c;
        created_gemini(&c, cases[i].body);
        assert_refused(&c, cases[i].words);
        created_release(&c);
    }
}

static void test_inline_requests_that_do_not_fit_are_told_to_be_a_file(void **state)
{
    (void)state;
    struct arena a = { 0 };
    struct error e = { 0 };
    struct job j = { 0 };
    struct buf lines = BUF_INIT(40);

    assert_int_equal(gemini_read(&a,
                                 STR("{\"batch\":{\"inputConfig\":{\"requests\":{\"requests\":"
                                     "[{\"request\":{\"contents\":\"0123456789\"}},"
                                     "{\"request\":{\"contents\":\"0123456789\"}}]}}}}"),
                                 GEMINI_GENERATE, &j, &lines, &e),
                     -1);
    assert_non_null(strstr(e.msg, "fileName"));
    arena_release(&a);
    buf_release(&lines);
}

static void test_an_update_takes_what_the_mask_names(void **state)
{
    (void)state;
    struct arena a = { 0 };
    struct error e = { 0 };
    struct gemini_update u;

    assert_int_equal(gemini_read_update(&a, STR("{\"displayName\":\"n\",\"priority\":\"4\"}"),
                                        STR("display_name"), &u, &e),
                     0);
    assert_true(u.has_display_name && !u.has_priority);
    assert_text(u.display_name, "n");
    assert_int_equal(gemini_read_update(&a, STR("{\"batch\":{\"priority\":4}}"), STR(""), &u, &e),
                     0);
    assert_true(!u.has_display_name && u.has_priority && u.priority == 4);
    assert_int_equal(gemini_read_update(&a, STR("{}"), STR("state"), &u, &e), -1);
    assert_non_null(strstr(e.msg, "cannot be changed"));
    arena_release(&a);
}

/* ---- What is shown ---- */

static struct job example(enum job_state s, enum job_source source)
{
    struct job j = {
        .id = 12,
        .batch = "tti3ik8qob66dxcvynlg5swnutyntbi926ac",
        .dialect = DIALECT_GEMINI,
        .source = source,
        .state = s,
        .model = STR("models/gemini-2.5-flash-lite"),
        .display_name = STR("d"),
        .spec = STR("{\"inputConfig\":{\"fileName\":\"files/frh6ua11nk3o\"}}"),
        .create_us = CREATE_US,
        .update_us = CREATE_US,
    };

    if (source == JOB_INLINE)
        j.spec = STR("{\"inputConfig\":{\"requests\":{\"count\":3,\"digest\":\"0\"}}}");
    if (job_state_final(s)) {
        j.end_us = j.update_us = CREATE_US + 1000000;
        j.counters = (struct counters){ .total = 3, .succeeded = 2, .failed = 1 };
        j.result = 5;
        j.output = source == JOB_INLINE ? (struct str){ 0 }
                                        : STR("files/batch-tti3ik8qob66dxcvynlg5swnutyntbi926ac");
    }
    return j;
}

/* The whole answer, with rows where they go. */
static void written(const struct job *j, enum gemini_form form, const char *rows, struct buf *out)
{
    struct gemini_pieces p;

    *out = BUF_INIT(65536);
    gemini_write(j, NULL, form, &p);
    buf_add_str(out, buf_str(&p.head));
    if (p.inlined)
        buf_add_c(out, rows);
    buf_add_str(out, buf_str(&p.middle));
    if (p.twice)
        buf_add_c(out, rows);
    buf_add_str(out, buf_str(&p.tail));
    gemini_pieces_release(&p);
}

static void assert_written(const struct job *j, enum gemini_form form, const char *golden)
{
    struct buf out;

    written(j, form, "{\"response\":{},\"metadata\":{\"key\":\"a\"}}", &out);
    assert_golden(golden, buf_str(&out));
    buf_release(&out);
}

static void test_a_new_batch_is_an_operation_without_done(void **state)
{
    (void)state;
    struct job j = example(JOB_PENDING, JOB_FILE);

    j.counters.total = 3;
    assert_written(&j, GEMINI_OPERATION, "gemini_pending.json");
}

static void test_a_finished_file_batch_has_its_output_twice(void **state)
{
    (void)state;
    struct job j = example(JOB_SUCCEEDED, JOB_FILE);

    assert_written(&j, GEMINI_OPERATION, "gemini_file_done.json");
}

/* Trap 5: SDKs read metadata.output, REST users response. */
static void test_inline_responses_stand_in_both_places(void **state)
{
    (void)state;
    struct job j = example(JOB_SUCCEEDED, JOB_INLINE);

    assert_written(&j, GEMINI_OPERATION, "gemini_inline_done.json");
}

static void test_a_cancelled_inline_batch_has_an_error_and_what_is_done(void **state)
{
    (void)state;
    struct job j = example(JOB_CANCELLED, JOB_INLINE);

    assert_written(&j, GEMINI_OPERATION, "gemini_inline_cancelled.json");
}

static void test_a_failed_batch_has_an_error_and_no_response(void **state)
{
    (void)state;
    struct job j = example(JOB_FAILED, JOB_FILE);

    j.output = (struct str){ 0 };
    j.result = 0;
    j.error = ERROR_INVALID_ARGUMENT;
    j.error_message = STR("The file is empty.");
    assert_written(&j, GEMINI_OPERATION, "gemini_failed.json");
}

static void test_lists_and_updates_leave_inline_responses_out(void **state)
{
    (void)state;
    struct job j = example(JOB_SUCCEEDED, JOB_INLINE);

    assert_written(&j, GEMINI_LISTED, "gemini_listed.json");
    assert_written(&j, GEMINI_RESOURCE, "gemini_resource.json");
}

static void test_inline_requests_are_counted_before_they_are_checked(void **state)
{
    (void)state;
    struct job j = example(JOB_PENDING, JOB_INLINE);
    struct buf out;

    written(&j, GEMINI_OPERATION, "", &out);
    assert_true(str_find(buf_str(&out), STR("\"batchStats\":{\"requestCount\":\"3\","
                                            "\"pendingRequestCount\":\"3\"}")) < SIZE_MAX);
    buf_release(&out);
}

static void test_every_state_and_form_is_json(void **state)
{
    (void)state;
    for (unsigned s = 0; s < JOB_STATE_COUNT; s++) {
        for (unsigned form = GEMINI_OPERATION; form <= GEMINI_RESOURCE; form++) {
            for (unsigned source = JOB_FILE; source <= JOB_INLINE; source++) {
                struct job j = example((enum job_state)s, (enum job_source)source);
                struct arena a = { 0 };
                struct error e = { 0 };
                struct buf out;
                size_t at;
                written(&j, (enum gemini_form)form, "{}", &out);
                yyjson_val *root = json_parse(&a, buf_str(&out), &at, &e);
                assert_non_null(root);
                if (form != GEMINI_RESOURCE)
                    assert_int_equal(json_get(root, "done") != NULL, job_state_final(j.state));
                arena_release(&a);
                buf_release(&out);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_captured_inline_body_becomes_lines),
        cmocka_unit_test(test_the_captured_file_body_names_its_file_in_both_spellings),
        cmocka_unit_test(test_metadata_values_become_strings),
        cmocka_unit_test(test_the_spec_of_other_requests_is_another_one),
        cmocka_unit_test(test_priority_webhook_and_options_are_read),
        cmocka_unit_test(test_what_is_wrong_is_refused_by_the_name_of_its_field),
        cmocka_unit_test(test_inline_requests_that_do_not_fit_are_told_to_be_a_file),
        cmocka_unit_test(test_an_update_takes_what_the_mask_names),
        cmocka_unit_test(test_a_new_batch_is_an_operation_without_done),
        cmocka_unit_test(test_a_finished_file_batch_has_its_output_twice),
        cmocka_unit_test(test_inline_responses_stand_in_both_places),
        cmocka_unit_test(test_a_cancelled_inline_batch_has_an_error_and_what_is_done),
        cmocka_unit_test(test_a_failed_batch_has_an_error_and_no_response),
        cmocka_unit_test(test_lists_and_updates_leave_inline_responses_out),
        cmocka_unit_test(test_inline_requests_are_counted_before_they_are_checked),
        cmocka_unit_test(test_every_state_and_form_is_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
