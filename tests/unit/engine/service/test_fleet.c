/* Goal: a job of a store that several processes share has each line once and in order, and all that happens to it may
 * happen at any process. Method: two services, each with a connection of its own, on one database; a fake model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/thread.h"
#include "engine/service/rows.h"
#include "engine/service/service_inner.h"
#include "predict/predictor.h"
#include "database.h"
#include "scratch.h"
#include "store/fleet/fleet.h"
#include "store/jobs/shards.h"

#define PROCESSES 2
#define LINES 5000
#define WAIT_MS 60000

static const struct model fakes[] = {
    { .pattern = "quick", .kind = MODEL_FAKE, .about = "quick" },
    { .pattern = "slow",
      .kind = MODEL_FAKE,
      .about = "slow",
      .fake = { .delay_ms = 20, .window = 16 } },
    { .pattern = "dear",
      .kind = MODEL_FAKE,
      .about = "dear",
      .has_price = true,
      .price = { .input = 1, .output = 1000, .no_batch_price = true },
      .fake = { .delay_ms = 1, .window = 16 } },
    { .pattern = "failing",
      .kind = MODEL_FAKE,
      .about = "failing",
      .fake = { .fault = { { .match = "bad", .code = ERROR_INVALID_ARGUMENT } },
                .fault_count = 1 } },
};
static const struct models all_models = { fakes, ARRAY_LEN(fakes), "quick, slow, dear, failing" };

struct process {
    struct store *store;
    struct service *service;
};
struct world {
    struct scratch scratch;
    char database[DATABASE_URL_BYTES];
    struct process process[PROCESSES];
    struct arena arena;
    char dir[SCRATCH_PATH_BYTES];
};

static const struct model *model_named(void *arg, const char *project, const char *name,
                                       struct error *e)
{
    (void)arg;
    (void)project;
    return model_find(&all_models, name, e);
}

static void start(struct world *w, int i)
{
    struct process *p = &w->process[i];
    const struct service_settings set = {
        .lines_max = 200000,
        .input_bytes_max = (uint64_t)1 << 30,
        .queue_hours = 72,
        .run_hours = 24,
        .paused_hours = 72,
        .running_max = 8,
        .queued_max = 10000,
        .drain_ms = DRAIN_DEFAULT_MS,
        .file_hours = 48,
        .retry = { RETRY_ATTEMPTS_MAX, RETRY_BASE_MS, RETRY_CAP_MS, 3.0 },
    };
    const struct store_place place = { .dir = w->dir, .database = database_of(w->database) };
    struct error e = { 0 };

    p->store = store_open_at(&place, i == 0, clock_movable(), &e);
    if (!p->store)
        fail_msg("%s", e.msg);
    const struct service_env env = {
        .store = p->store,
        .clock = clock_movable(),
        .model = model_named,
        .open = predictor_fake_open,
        .state_dir = w->dir,
        .seed = (uint64_t)i + 1,
        .checkers = 1,
        .fleet = i ? "second" : "first",
    };
    p->service = service_start(&env, &set, &e);
    if (!p->service)
        fail_msg("%s", e.msg);
}

static void stop(struct world *w, int i)
{
    struct process *p = &w->process[i];

    service_free(p->service);
    store_close(p->store);
    *p = (struct process){ 0 };
}

static int setup(void **state)
{
    struct world *w = mem_alloc(sizeof *w);
    const struct bucket bucket = { .name = STR("bucket"), .project = STR("p"), .meta = STR("{}") };
    struct error e = { 0 };

    scratch_make(&w->scratch);
    database_make(w->database);
    (void)scratch_path(&w->scratch, "s", w->dir);
    for (int i = 0; i < PROCESSES; i++)
        start(w, i);
    if (bucket_create(w->process[0].store, "p", &bucket, &e) < 0)
        fail_msg("%s", e.msg);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < PROCESSES; i++)
        if (w->process[i].service)
            stop(w, i);
    arena_release(&w->arena);
    database_remove(w->database);
    scratch_remove(&w->scratch);
    mem_free(w);
    return 0;
}

/* gs://bucket/in.jsonl: lines whose text is their number; every `bad`-th is said to be bad (0: none). */
static void upload(struct world *w, uint32_t lines, uint32_t bad)
{
    struct store *s = w->process[0].store;
    struct buf text = BUF_INIT(SCRATCH_FILE_MAX);
    struct error e = { 0 };
    struct object_new o = {
        .project = "p", .bucket = STR("bucket"), .name = STR("in.jsonl"), .when = OBJECT_ANY
    };
    struct blob_writer *writer = blob_create(s, UINT64_MAX, false, &e);

    for (uint32_t i = 0; i < lines; i++)
        buf_addf(&text,
                 "{\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"%s "
                 "%u\"}]}]}}\n",
                 bad && i % bad == bad - 1 ? "bad" : "line", i);
    assert_non_null(writer);
    assert_int_equal(blob_write(writer, text.p, text.len, &e), 0);
    assert_int_equal(blob_finish(writer, &o.blob, &e), 0);
    if (object_put(s, &w->arena, &o, NULL, &e) < 0)
        fail_msg("%s", e.msg);
    buf_release(&text);
}

static int64_t create(struct world *w, int at, const char *model, const struct job_options *options)
{
    struct job j = {
        .project = "p",
        .location = "us-central1",
        .model = str_of(model),
        .spec =
            STR("{\"inputConfig\":{\"instancesFormat\":\"jsonl\",\"gcsSource\":{\"uris\":"
                "[\"gs://bucket/in.jsonl\"]}},\"outputConfig\":{\"predictionsFormat\":\"jsonl\","
                "\"gcsDestination\":{\"outputUriPrefix\":\"gs://bucket/out\"}}}"),
    };
    struct error e = { 0 };
    bool existed;

    if (options)
        j.options = *options;
    if (job_create(w->process[at].store, &w->arena, &j, NULL, &existed, &e) < 0)
        fail_msg("%s", e.msg);
    return j.id;
}

static struct job look(struct world *w, int at, int64_t id)
{
    struct error e = { 0 };
    struct job j = { 0 };

    if (job_get(w->process[at].store, &w->arena, NULL, id, &j, &e) < 0)
        fail_msg("%s", e.msg);
    return j;
}

/* Waits until the job has this state, as the process sees it. */
static struct job await_state(struct world *w, int at, int64_t id, enum job_state want)
{
    uint64_t until = deadline_in_ms(WAIT_MS);
    struct job j = look(w, at, id);

    while (j.state != want) {
        if (job_state_final(j.state) || clock_system()->mono_ns(clock_system()) > until)
            fail_msg("job is %s, not %s: %.*s", job_state_name(j.state), job_state_name(want),
                     STR_ARG(j.error_message));
        clock_system()->sleep_ns(clock_system(), 20 * NS_PER_MS);
        j = look(w, at, id);
    }
    return j;
}

static struct job await_lines(struct world *w, int at, int64_t id, uint64_t lines)
{
    uint64_t until = deadline_in_ms(WAIT_MS);
    struct job j = look(w, at, id);

    while (counters_done(&j.counters) < lines) {
        if (job_state_final(j.state) || clock_system()->mono_ns(clock_system()) > until)
            fail_msg("job is %s with %llu lines", job_state_name(j.state),
                     (unsigned long long)counters_done(&j.counters));
        clock_system()->sleep_ns(clock_system(), 20 * NS_PER_MS);
        j = look(w, at, id);
    }
    return j;
}

/* All of a descriptor, which is closed. */
static void read_all(int fd, uint64_t bytes, struct buf *out)
{
    struct error e = { 0 };

    *out = BUF_INIT(SCRATCH_FILE_MAX);
    char *p = buf_extend(out, bytes);
    assert_int_equal(sys_read_at(fd, p, bytes, 0, "rows", &e), (int64_t)bytes);
    (void)close(fd);
}

/* The rows are those of lines 0, 1, 2 and so on: exactly once and in order. */
static void assert_in_order(struct str rows, uint32_t lines)
{
    char want[64];

    for (uint32_t i = 0; i < lines; i++) {
        size_t end = str_find(rows, STR("\n"));
        assert_true(end != SIZE_MAX);
        struct str row = str_sub(rows, 0, end);
        (void)snprintf(want, sizeof want, " %u\"}]}]", i);
        if (str_find(row, str_of(want)) == SIZE_MAX)
            fail_msg("row %u is %.*s", i, STR_ARG(row));
        rows = str_sub(rows, end + 1, rows.len);
    }
    assert_int_equal(rows.len, 0);
}

static void assert_output(struct world *w, int at, const struct job *j, uint32_t lines)
{
    struct error e = { 0 };
    struct buf rows;
    uint64_t bytes;

    int fd = service_results(w->process[at].service, j, &bytes, &e);
    if (fd < 0)
        fail_msg("%s", e.msg);
    read_all(fd, bytes, &rows);
    assert_in_order(buf_str(&rows), lines);
    buf_release(&rows);
}

static void assert_line(struct world *w, int at, const struct job *j, uint32_t index)
{
    struct buf line = BUF_INIT(SCRATCH_FILE_MAX);
    struct error e = { 0 };
    char want[64];

    (void)snprintf(want, sizeof want, " %u\"}]}]", index);
    if (rows_input(w->process[at].service, j, index, &line, &e) < 0)
        fail_msg("%s", e.msg);
    assert_true(str_find(buf_str(&line), str_of(want)) != SIZE_MAX);
    buf_release(&line);
}

/* A job of LINES lines, created at the first process, of which the other one sees that lines are done. */
static int64_t begun(struct world *w)
{
    upload(w, LINES, 0);
    int64_t id = create(w, 0, "slow", NULL);
    (void)await_lines(w, 1, id, 1);
    return id;
}

static void test_two_processes_answer_a_job_together(void **state)
{
    struct world *w = *state;

    upload(w, LINES, 0);
    int64_t id = create(w, 1, "slow", NULL);
    struct job j = await_state(w, 0, id, JOB_SUCCEEDED);
    assert_int_equal(j.counters.succeeded, LINES);
    assert_int_equal(j.counters.total, LINES);
    assert_true(counters_balanced(&j.counters));
    assert_true(j.counters.prompt_tokens > 0);
    assert_output(w, 0, &j, LINES);
    assert_output(w, 1, &j, LINES);
    static const uint32_t some[] = { 0, 999, 1000, LINES - 1 };
    for (size_t i = 0; i < ARRAY_LEN(some); i++)
        assert_line(w, 1, &j, some[i]);
}

static void test_lines_that_fail_are_run_again_by_a_retry(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job again;

    upload(w, LINES, 1500);
    int64_t id = create(w, 0, "failing", NULL);
    struct job j = await_state(w, 0, id, JOB_SUCCEEDED);
    assert_int_equal(j.counters.failed, 3);
    assert_int_equal(j.counters.succeeded, LINES - 3);
    assert_output(w, 1, &j, LINES);
    assert_int_equal(service_retry(w->process[1].service, &w->arena, "p", id, &again, &e), 0);
    j = await_state(w, 0, again.id, JOB_SUCCEEDED);
    assert_int_equal(j.counters.failed, 3);
    assert_int_equal(j.counters.succeeded, LINES - 3);
    assert_int_equal(j.counters.duplicates, LINES - 3);
    assert_int_equal(j.counters.cost_nano, 0);
    assert_output(w, 0, &j, LINES);
    assert_int_equal(service_delete(w->process[0].service, "p", id, &e), 0);
    assert_int_equal(service_delete(w->process[1].service, "p", again.id, &e), 0);
}

static void test_a_job_is_paused_and_resumed_from_any_process(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j;

    int64_t id = begun(w);
    assert_int_equal(job_pause(w->process[1].store, &w->arena, "p", id, &j, &e), 0);
    j = await_state(w, 0, id, JOB_PAUSED);
    assert_true(counters_pending(&j.counters) > 0);
    assert_true(str_eq_c(j.pause_reason, "asked"));
    const struct job_resume resume = { .project = "p", .id = id };
    assert_int_equal(job_resume(w->process[0].store, &w->arena, &resume, &j, &e), 0);
    j = await_state(w, 1, id, JOB_SUCCEEDED);
    assert_int_equal(j.counters.succeeded, LINES);
    assert_output(w, 1, &j, LINES);
}

static void test_a_cancelled_job_has_a_row_for_every_line(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j;

    int64_t id = begun(w);
    assert_int_equal(job_cancel(w->process[1].store, &w->arena, "p", id, &j, &e), 0);
    j = await_state(w, 0, id, JOB_CANCELLED);
    assert_true(j.counters.not_run > 0 && j.counters.succeeded > 0);
    assert_int_equal(counters_pending(&j.counters), 0);
    assert_output(w, 1, &j, LINES);
}

/* A day passes at once, so both processes lose their leases first. */
static void test_an_expired_job_has_a_row_for_every_line(void **state)
{
    struct world *w = *state;

    int64_t id = begun(w);
    clock_advance(INT64_C(25) * 3600 * 1000000);
    struct job j = await_state(w, 1, id, JOB_EXPIRED);
    assert_true(j.counters.not_run > 0 && j.counters.succeeded > 0);
    assert_int_equal(counters_pending(&j.counters), 0);
    assert_int_equal(j.error, ERROR_DEADLINE_EXCEEDED);
    assert_output(w, 0, &j, LINES);
}

static void test_a_budget_holds_over_both_processes(void **state)
{
    struct world *w = *state;
    const struct job_options options = { .budget_tokens = 20000 };
    struct error e = { 0 };
    struct job_options more = { 0 };

    upload(w, LINES, 0);
    int64_t id = create(w, 0, "dear", &options);
    struct job j = await_state(w, 1, id, JOB_PAUSED);
    uint64_t spent = j.counters.prompt_tokens + j.counters.candidate_tokens;
    assert_true(str_eq_c(j.pause_reason, "budget"));
    assert_true(spent >= 15000 && spent < 23000);
    const struct job_resume resume = { .project = "p", .id = id, .options = &more };
    assert_int_equal(job_resume(w->process[1].store, &w->arena, &resume, &j, &e), 0);
    j = await_state(w, 1, id, JOB_SUCCEEDED);
    assert_output(w, 1, &j, LINES);
}

static void test_too_many_errors_pause_the_job(void **state)
{
    struct world *w = *state;
    const struct job_options options = { .error_rate_max = 0.1 };

    upload(w, LINES, 2);
    int64_t id = create(w, 0, "failing", &options);
    struct job j = await_state(w, 1, id, JOB_PAUSED);
    assert_true(str_eq_c(j.pause_reason, "errors"));
}

static void test_the_other_process_goes_on_when_one_is_drained(void **state)
{
    struct world *w = *state;

    int64_t id = begun(w);
    stop(w, 1);
    struct job j = await_state(w, 0, id, JOB_SUCCEEDED);
    assert_int_equal(j.counters.succeeded, LINES);
    assert_output(w, 0, &j, LINES);
    start(w, 1);
    assert_output(w, 1, &j, LINES);
}

static void test_bad_lines_are_listed_at_any_process(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct buf errors;
    uint64_t bytes;
    struct store *s = w->process[0].store;
    struct object_new o = {
        .project = "p", .bucket = STR("bucket"), .name = STR("in.jsonl"), .when = OBJECT_ANY
    };
    struct blob_writer *writer = blob_create(s, UINT64_MAX, false, &e);
    static const char text[] =
        "{\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"line 0\"}]}]}}\n"
        "no JSON\n";

    assert_int_equal(blob_write(writer, text, sizeof text - 1, &e), 0);
    assert_int_equal(blob_finish(writer, &o.blob, &e), 0);
    assert_int_equal(object_put(s, &w->arena, &o, NULL, &e), 0);
    int64_t id = create(w, 0, "quick", NULL);
    struct job j = await_state(w, 1, id, JOB_SUCCEEDED);
    for (int i = 0; i < PROCESSES; i++) {
        int fd = service_line_errors(w->process[i].service, &j, &bytes, &e);
        if (fd < 0)
            fail_msg("%s", e.msg);
        read_all(fd, bytes, &errors);
        assert_true(str_find(buf_str(&errors), STR("\"line\":2")) != SIZE_MAX);
        buf_release(&errors);
    }
}

static void test_what_needs_one_process_is_refused(void **state)
{
    struct world *w = *state;
    const struct job_options options = { .reuse = true };

    upload(w, 10, 0);
    int64_t id = create(w, 0, "quick", &options);
    struct job j = await_state(w, 1, id, JOB_FAILED);
    assert_true(str_find(j.error_message, STR("several processes")) != SIZE_MAX);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_two_processes_answer_a_job_together),
        TEST(test_lines_that_fail_are_run_again_by_a_retry),
        TEST(test_a_job_is_paused_and_resumed_from_any_process),
        TEST(test_a_cancelled_job_has_a_row_for_every_line),
        TEST(test_an_expired_job_has_a_row_for_every_line),
        TEST(test_a_budget_holds_over_both_processes),
        TEST(test_too_many_errors_pause_the_job),
        TEST(test_the_other_process_goes_on_when_one_is_drained),
        TEST(test_bad_lines_are_listed_at_any_process),
        TEST(test_what_needs_one_process_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
