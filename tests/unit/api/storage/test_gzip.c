/* Goal: an object that is stored as gzip is read as Cloud Storage gives it: packed to a client that takes gzip,
 * its content to any other one and to jobs. Method: the whole service; objects put into its store, as the
 * helpers for calls take no NUL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "gzip_of.h"

#include "unit/api/service_case.h"

#define CONTENT                                                                                    \
    "{\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"hello\"}]}]}}\n"
#define JOBS "/v1/projects/p1/locations/us-central1/batchPredictionJobs"
#define JOB(object)                                                                                \
    "{'model':'publishers/google/models/gemini-2.5-flash','inputConfig':{'instancesFormat':"       \
    "'jsonl','gcsSource':{'uris':['gs://mine/" object "']}},'displayName':'d','outputConfig':{"    \
    "'predictionsFormat':'jsonl','gcsDestination':{'outputUriPrefix':'gs://mine/out'}}}"

static void make_bucket(struct serving *w)
{
    assert_int_equal(ask_with(w, "POST", "/storage/v1/b", "Content-Type: application/json\r\n",
                              "{'name':'mine'}"),
                     200);
}

static size_t put_packed(struct serving *w, const char *name, const char *text, const char *meta)
{
    unsigned char packed[GZIP_OF_BYTES];
    size_t len = gzip_of(text, strlen(text), packed);
    struct error e = { 0 };
    struct object_new in = {
        .bucket = STR("mine"),
        .name = str_of(name),
        .content_type = STR("text/plain"),
        .meta = str_of(meta),
        .when = OBJECT_ANY,
    };
    struct blob_writer *writer = blob_create(w->store, 1 << 20, false, &e);

    assert_int_equal(blob_write(writer, packed, len, &e), 0);
    assert_int_equal(blob_finish(writer, &in.blob, &e), 0);
    assert_int_equal(object_put(w->store, &w->arena, &in, NULL, &e), 0);
    return len;
}

static bool has_header(const struct serving *w, const char *line)
{
    return str_find(w->head, str_of(line)) < SIZE_MAX;
}

static void test_a_download_is_unpacked_for_clients_that_take_no_gzip(void **state)
{
    static const char *const ranges[] = { "", "Range: bytes=3-5\r\n", "Range: bytes=900-\r\n",
                                          "Accept-Encoding: identity\r\n",
                                          "Accept-Encoding: gzip;q=0\r\n" };
    struct serving *w = *state;

    make_bucket(w);
    size_t packed = put_packed(w, "z", CONTENT, "{\"contentEncoding\":\"gzip\"}");
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        (void)ask_with(w, "GET", "/storage/v1/b/mine/o/z?alt=media", ranges[i], "");
        assert_asked(w, 200);
        assert_true(str_eq_c(w->body, CONTENT));
        assert_false(has_header(w, "\nContent-Encoding"));
        assert_string_equal(header_value(w, "X-Goog-Stored-Content-Encoding"), "gzip");
        assert_int_equal(strtoul(header_value(w, "X-Goog-Stored-Content-Length"), NULL, 10),
                         packed);
        assert_string_equal(header_value(w, "Warning"), "214 UploadServer gunzipped");
    }
    (void)ask(w, "GET", "/download/storage/v1/b/mine/o/z?alt=media", "");
    assert_true(str_eq_c(w->body, CONTENT));
}

static void test_a_download_is_as_stored_where_it_is_asked_for(void **state)
{
    struct serving *w = *state;

    make_bucket(w);
    size_t packed = put_packed(w, "z", CONTENT, "{\"contentEncoding\":\"gzip\"}");
    (void)ask_with(w, "GET", "/storage/v1/b/mine/o/z?alt=media",
                   "Accept-Encoding: deflate, gzip\r\n", "");
    assert_asked(w, 200);
    assert_int_equal(w->body.len, packed);
    assert_string_equal(header_value(w, "\nContent-Encoding"), "gzip");
    (void)ask_with(w, "GET", "/storage/v1/b/mine/o/z?alt=media",
                   "Accept-Encoding: gzip\r\nRange: bytes=0-1\r\n", "");
    assert_asked(w, 206);
    assert_int_equal(w->body.len, 2);
    (void)put_packed(w, "kept", CONTENT,
                     "{\"contentEncoding\":\"gzip\",\"cacheControl\":\"private, no-transform\"}");
    (void)ask(w, "GET", "/storage/v1/b/mine/o/kept?alt=media", "");
    assert_int_equal(w->body.len, packed);
    (void)put_packed(w, "unsaid", CONTENT, "{}");
    (void)ask(w, "GET", "/storage/v1/b/mine/o/unsaid?alt=media", "");
    assert_int_equal(w->body.len, packed);
}

static void test_a_job_reads_the_content(void **state)
{
    struct serving *w = *state;

    make_bucket(w);
    (void)put_packed(w, "in.jsonl", CONTENT CONTENT, "{\"contentEncoding\":\"gzip\"}");
    const char *job = made(w, "v1", JOBS, JOB("in.jsonl"));
    wait_for(w, job, "state", "JOB_STATE_SUCCEEDED");
    assert_string_equal(answer_text(w, "completionStats.successfulCount"), "2");
}

static void test_a_job_refuses_gzip_that_is_too_large_cut_or_not_declared(void **state)
{
    struct serving *w = *state;

    make_bucket(w);
    (void)put_packed(w, "unsaid.jsonl", CONTENT, "{}");
    const char *job = made(w, "v1", JOBS, JOB("unsaid.jsonl"));
    wait_for(w, job, "state", "JOB_STATE_FAILED");
    assert_non_null(strstr(answer_text(w, "error.message"), "contentEncoding is gzip"));
    w->settings.input_bytes_max = 2 * strlen(CONTENT) - 1;
    service_set(w->service, &w->settings);
    (void)put_packed(w, "two.jsonl", CONTENT CONTENT, "{\"contentEncoding\":\"gzip\"}");
    job = made(w, "v1", JOBS, JOB("two.jsonl"));
    wait_for(w, job, "state", "JOB_STATE_FAILED");
    assert_non_null(strstr(answer_text(w, "error.message"), "The input has over"));
    (void)put_packed(w, "one.jsonl", CONTENT, "{\"contentEncoding\":\"gzip\"}");
    wait_for(w, made(w, "v1", JOBS, JOB("one.jsonl")), "state", "JOB_STATE_SUCCEEDED");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ONE(test_a_download_is_unpacked_for_clients_that_take_no_gzip),
        ONE(test_a_download_is_as_stored_where_it_is_asked_for),
        ONE(test_a_job_reads_the_content),
        ONE(test_a_job_refuses_gzip_that_is_too_large_cut_or_not_declared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
