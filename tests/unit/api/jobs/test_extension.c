/* Goal: the calls that Google's services lack work under the paths of both dialects: pause, resume, retry,
 * results, faults, events. Method: the whole service with a fake model, over a socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#include "unit/api/service_case.h"

/* Every request of such a job fails. */
#define FAILING "x-tranche-test: invalid_argument\r\n"

static void wait_for_state(struct serving *w, const char *batch, const char *state)
{
    wait_for(w, batch, "metadata.state", joined(w, "BATCH_STATE_%s", state));
}

static void test_results_go_on_from_an_offset(void **state)
{
    struct serving *w = *state;
    const char *batch = made(w, "v1", CREATE_BATCH, INLINE(ONE_MORE));

    wait_for(w, batch, "metadata.state", "BATCH_STATE_SUCCEEDED");
    (void)ask(w, "GET", joined(w, "%s:results", batch), "");
    assert_asked(w, 200);
    assert_true(str_find(w->head, STR("X-Tranche-Complete: true")) < SIZE_MAX);
    assert_true(str_find(w->head, STR("application/jsonl")) < SIZE_MAX);
    const char *all = joined(w, "%.*s", STR_ARG(str_sub(w->body, 0, 1000)));
    size_t bytes = w->body.len, first = str_find(w->body, STR("\n")) + 1;
    (void)ask(w, "GET", joined(w, "%s:results?offset=%zu", batch, first), "");
    assert_int_equal(w->body.len, bytes - first);
    assert_int_equal(strncmp(w->body.p, all + first, strlen(all) - first), 0);
    (void)ask(w, "GET", joined(w, "%s:results?offset=%zu", batch, bytes), "");
    assert_asked(w, 200);
    assert_int_equal(w->body.len, 0);
    (void)ask(w, "GET", joined(w, "%s:results?offset=%zu", batch, bytes + 1), "");
    assert_failed(w, 400, "OUT_OF_RANGE", "beyond the end");
}

static void test_a_job_is_paused_and_goes_on_with_another_budget(void **state)
{
    struct serving *w = *state;
    const char *batch = made(w, "v1", CREATE_SLOW, INLINE(""));

    wait_for(w, batch, "metadata.state", "BATCH_STATE_RUNNING");
    (void)ask(w, "POST", joined(w, "%s:pause", batch), "");
    assert_asked(w, 200);
    wait_for(w, batch, "metadata.tranche.state", "PAUSED");
    (void)ask(w, "POST", joined(w, "%s:resume", batch), "{'strict':true}");
    assert_failed(w, 400, "INVALID_ARGUMENT", "Only budget");
    (void)ask(w, "POST", joined(w, "%s:resume", batch), "{'bugdet':{}}");
    assert_failed(w, 400, "INVALID_ARGUMENT", "Did you mean \"budget\"?");
    (void)ask(w, "POST", joined(w, "%s:resume", batch), "{'budget':{'tokens':5000}}");
    assert_asked(w, 200);
    yyjson_val *extension = json_get(json_get(answer(w), "metadata"), "tranche");
    yyjson_val *budget = json_get(json_get(extension, "options"), "budget");
    assert_int_equal(yyjson_get_uint(json_get(budget, "tokens")), 5000);
}

static void test_a_job_that_has_ended_cannot_be_paused_or_go_on(void **state)
{
    static const char *const verbs[] = { "pause", "resume" };
    struct serving *w = *state;
    const char *batch = made(w, "v1", CREATE_BATCH, INLINE(""));

    wait_for_state(w, batch, "SUCCEEDED");
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        (void)ask(w, "POST", joined(w, "%s:%s", batch, verbs[i]), "");
        assert_failed(w, 400, "FAILED_PRECONDITION", "");
    }
}

static void test_failed_lines_are_run_again_by_a_new_job(void **state)
{
    struct serving *w = *state;

    (void)ask_with(w, "POST", CREATE_BATCH, FAILING, INLINE(ONE_MORE));
    assert_asked(w, 200);
    const char *failed = joined(w, "/v1/%s", answer_text(w, "name"));
    wait_for_state(w, failed, "SUCCEEDED");
    const char *again = made(w, "v1", joined(w, "%s:retryFailed", failed), "");
    assert_string_not_equal(again, failed);
    wait_for_state(w, again, "SUCCEEDED");
}

static void test_a_job_that_has_not_ended_has_nothing_to_retry(void **state)
{
    struct serving *w = *state;
    const char *batch = made(w, "v1", CREATE_SLOW, INLINE(""));

    (void)ask(w, "POST", joined(w, "%s:retryFailed", batch), "");
    assert_failed(w, 400, "FAILED_PRECONDITION", "");
}

static void test_a_job_without_faults_has_an_empty_list_of_them(void **state)
{
    struct serving *w = *state;
    const char *batch = made(w, "v1", CREATE_BATCH, INLINE(""));

    wait_for_state(w, batch, "SUCCEEDED");
    (void)ask(w, "GET", joined(w, "%s:faults", batch), "");
    assert_asked(w, 200);
    assert_int_equal(w->body.len, 0);
    assert_string_equal(header_value(w, "X-Tranche-Complete"), "true");
}

static void test_the_extensions_of_a_job_that_is_not_there_are_not_found(void **state)
{
    static const struct {
        const char *method, *verb;
    } calls[] = {
        { "POST", "pause" },  { "POST", "resume" }, { "POST", "retryFailed" },
        { "GET", "results" }, { "GET", "faults" },  { "GET", "events" },
    };
    static const char *const jobs[] = {
        "/v1/batches/nope",
        "/v1/batchPredictionJobs/7",
        "/v1/projects/p1/locations/us-central1/batchPredictionJobs/7",
    };
    struct serving *w = *state;

    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        for (size_t j = 0; j < ARRAY_LEN(jobs); j++) {
            (void)ask(w, calls[i].method, joined(w, "%s:%s", jobs[j], calls[i].verb), "");
            assert_failed(w, 404, "NOT_FOUND", "is not found");
        }
}

/* The stream of a job that has ended has all its events and then ends. */
static void test_a_jobs_events_are_its_states_in_order(void **state)
{
    struct serving *w = *state;
    const char *batch = made(w, "v1", CREATE_BATCH, INLINE(""));

    wait_for_state(w, batch, "SUCCEEDED");
    (void)ask(w, "GET", joined(w, "%s:events", batch), "");
    assert_asked(w, 200);
    assert_true(str_find(w->head, STR("text/event-stream")) < SIZE_MAX);
    const char *name = joined(w, "data: {\"job\":\"%s\",\"state\":\"", batch + sizeof "/v1/" - 1);
    size_t pending = str_find(w->body, str_of(joined(w, "%sBATCH_STATE_PENDING\"", name)));
    size_t succeeded = str_find(w->body, str_of(joined(w, "%sBATCH_STATE_SUCCEEDED\"", name)));
    assert_true(pending < succeeded && succeeded < SIZE_MAX);
}

static void test_events_go_on_after_the_last_one_that_was_seen(void **state)
{
    struct serving *w = *state;
    const char *batch = made(w, "v1", CREATE_BATCH, INLINE(""));

    wait_for_state(w, batch, "SUCCEEDED");
    (void)ask(w, "GET", joined(w, "%s:events", batch), "");
    struct str rest = str_sub(w->body, str_find(w->body, STR("id: ")) + 4, 20);
    const char *first = joined(w, "%.*s", STR_ARG(str_sub(rest, 0, str_find(rest, STR("\n")))));
    (void)ask_with(w, "GET", joined(w, "%s:events", batch),
                   joined(w, "Last-Event-ID: %s\r\n", first), "");
    assert_asked(w, 200);
    assert_true(str_find(w->body, str_of(joined(w, "id: %s\n", first))) == SIZE_MAX);
    assert_true(str_find(w->body, STR("SUCCEEDED\"")) < SIZE_MAX);
    (void)ask_with(w, "GET", joined(w, "%s:events", batch), "Last-Event-ID: x\r\n", "");
    assert_failed(w, 400, "INVALID_ARGUMENT", "Last-Event-ID");
}

static const char *listen_with(struct serving *w, const char *header, int *fd)
{
    char part[1024];
    const char *text = joined(
        w, "GET /tranche/v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n",
        header);

    *fd = serving_connect(w);
    assert_int_equal(write(*fd, text, strlen(text)), (int64_t)strlen(text));
    ssize_t n = read(*fd, part, sizeof part);
    assert_true(n > 0);
    return arena_copy(&w->arena, part, (size_t)n);
}

/* Reads until the server closes; without the mend this never ends. */
static void await_end(int fd)
{
    char part[1024];

    while (read(fd, part, sizeof part) > 0) {
    }
    (void)close(fd);
}

static void test_a_stream_of_events_ends_with_its_key(void **state)
{
    struct serving *w = *state;
    struct error e = { 0 };
    struct key_list keys = { 0 };
    int open, keyed;

    assert_int_equal(strncmp(listen_with(w, "", &open), "HTTP/1.1 200", 12), 0);
    const char *header = key_header(w, "p1", ROLE_VIEWER);
    await_end(open); /* opened when no key was needed */
    assert_int_equal(strncmp(listen_with(w, header, &keyed), "HTTP/1.1 200", 12), 0);
    assert_int_equal(key_list(w->store, &w->arena, &keys, &e), 0);
    assert_int_equal(key_revoke(w->store, keys.item[0].id, &e), 0);
    await_end(keyed);
}

static void test_a_script_is_refused_without_the_test_clock(void **state)
{
    struct serving *w = *state;

    w->api.test_clock = false;
    (void)ask_with(w, "POST", CREATE_BATCH, FAILING, INLINE(""));
    assert_failed(w, 400, "FAILED_PRECONDITION", "--test-clock");
    (void)ask_with(w, "POST", "/v1beta/models/gemini-2.5-flash:generateContent", FAILING,
                   "{'contents':[{'parts':[{'text':'a'}]}]}");
    assert_failed(w, 400, "FAILED_PRECONDITION", "--test-clock");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ONE(test_a_stream_of_events_ends_with_its_key),
        ONE(test_a_script_is_refused_without_the_test_clock),
        ONE(test_results_go_on_from_an_offset),
        ONE(test_a_job_is_paused_and_goes_on_with_another_budget),
        ONE(test_a_job_that_has_ended_cannot_be_paused_or_go_on),
        ONE(test_failed_lines_are_run_again_by_a_new_job),
        ONE(test_a_job_that_has_not_ended_has_nothing_to_retry),
        ONE(test_a_job_without_faults_has_an_empty_list_of_them),
        ONE(test_the_extensions_of_a_job_that_is_not_there_are_not_found),
        ONE(test_a_jobs_events_are_its_states_in_order),
        ONE(test_events_go_on_after_the_last_one_that_was_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
