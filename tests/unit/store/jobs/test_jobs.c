/* Goal: jobs are made once, come back as they were, and belong to their project, whoever asks at the same
 * time. Method: a real store in a scratch folder; threads. */
#include <pthread.h>

#include "unit/store/jobs/job_world.h"

static void test_a_job_comes_back_with_every_member(void **state)
{
    struct world *w = *state;
    struct job j = {
        .dialect = DIALECT_GEMINI,
        .source = JOB_FILE,
        .project = "p",
        .location = "global",
        .open = true,
        .priority = -7,
        .model = STR("models/m"),
        .display_name = STR("a \"name\""),
        .spec = STR("{\"a\":1}"),
        .webhook = STR("{\"uris\":[]}"),
        .test = STR("fail"),
        .options = { .validate_only = true,
                     .strict = true,
                     .budget_nano = UINT64_MAX,
                     .budget_tokens = 5,
                     .error_rate_max = 0.25,
                     .error_lines_min = 9 },
        .request_id = STR("r"),
        .retry_of = 77,
        .asked = ASKED_CANCEL, /* what a client must not set is not taken over */
        .state = JOB_SUCCEEDED,
        .fence = 3,
        .result = 4,
        .end_us = 5,
    };
    struct job made = create_as(w, j), got = get(w, made.id);

    assert_int_equal(got.state, JOB_PENDING);
    assert_int_equal(got.asked, ASKED_NOTHING);
    assert_int_equal(got.fence + got.result + got.end_us, 0);
    assert_int_equal(got.create_us, NOW_US);
    assert_int_equal(got.update_us, NOW_US);
    assert_int_equal(got.dialect, DIALECT_GEMINI);
    assert_int_equal(got.source, JOB_FILE);
    assert_true(got.open);
    assert_true(str_eq(got.model, j.model));
    assert_true(str_eq(got.spec, j.spec));
    assert_true(str_eq(got.webhook, j.webhook));
    assert_true(str_eq(got.test, j.test));
    assert_true(str_eq(got.request_id, j.request_id));
    assert_true(got.options.validate_only && got.options.strict);
    assert_true(got.options.budget_nano == UINT64_MAX);
    assert_true(got.options.error_rate_max == 0.25);
    assert_int_equal(got.options.budget_tokens, 5);
    assert_int_equal(got.options.error_lines_min, 9);
    assert_int_equal(got.retry_of, 77);
    expect_same(&got, &made);
}

static void test_ids_have_19_digits_and_none_comes_twice(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job a = create(w), b = create(w), out;

    assert_true(a.id >= NOW_US * 1000 && a.id <= INT64_C(9223372036854775807));
    assert_true(a.id >= INT64_C(1000000000000000000));
    assert_int_equal(b.id, a.id + 1); /* the clock stands */
    ASSERT_OK(job_cancel(w->s, &w->a, "p", b.id, &out, &e), e);
    ASSERT_OK(job_delete(w->s, "p", b.id, &e), e);
    w->clock.fake_us = NOW_US - 1000000; /* and goes back, over a restart */
    world_reopen(w);
    assert_int_equal(create(w).id, b.id + 1);
    w->clock.fake_us = INT64_MAX / 2;
    assert_true(create(w).id > b.id + 1);
}

static void test_gemini_jobs_have_names_that_cannot_be_guessed(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j = job_new("p"), got;

    j.dialect = DIALECT_GEMINI;
    struct job a = create_as(w, j), b = create_as(w, j);
    assert_int_equal(strlen(a.batch), 36);
    assert_int_equal(strspn(a.batch, ALPHABET_36), 36);
    assert_string_not_equal(a.batch, b.batch);
    assert_int_equal(job_get_batch(w->s, &w->a, "p", b.batch, &got, &e), 1);
    assert_int_equal(got.id, b.id);
    assert_int_equal(job_get_batch(w->s, &w->a, NULL, b.batch, &got, &e), 1);
    assert_int_equal(job_get_batch(w->s, &w->a, "q", b.batch, &got, &e), 0);
    assert_string_equal(create(w).batch, "");
    assert_int_equal(job_get_batch(w->s, &w->a, NULL, "", &got, &e), 0);
}

static void test_another_projects_job_is_not_there(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j = create(w), out;
    struct str name = STR("x");

    assert_int_equal(job_get(w->s, &w->a, "q", j.id, &out, &e), 0);
    ASSERT_FAILS(job_cancel(w->s, &w->a, "q", j.id, &out, &e), e, ERROR_NOT_FOUND);
    ASSERT_FAILS(job_pause(w->s, &w->a, "q", j.id, &out, &e), e, ERROR_NOT_FOUND);
    ASSERT_FAILS(
        job_resume(w->s, &w->a, &(struct job_resume){ .project = "q", .id = j.id }, &out, &e), e,
        ERROR_NOT_FOUND);
    ASSERT_FAILS(job_patch(w->s, &w->a,
                           &(struct job_patch){ .project = "q", .id = j.id, .display_name = &name },
                           &out, &e),
                 e, ERROR_NOT_FOUND);
    ASSERT_FAILS(job_delete(w->s, "q", j.id, &e), e, ERROR_NOT_FOUND);
    assert_int_equal(get(w, j.id).state, JOB_PENDING);
}

static void test_a_request_id_makes_one_job_of_its_project(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job j = job_new("p");
    bool existed = false;

    j.request_id = STR("once");
    struct job made = create_as(w, j), again = j, out;
    again.display_name = STR("another");
    ASSERT_OK(job_create(w->s, &w->a, &again, NULL, &existed, &e), e);
    assert_true(existed);
    expect_same(&again, &made);
    memcpy(j.project, "q", 2);
    assert_true(create_as(w, j).id != made.id);

    ASSERT_OK(job_cancel(w->s, &w->a, NULL, made.id, &out, &e), e);
    ASSERT_OK(job_delete(w->s, NULL, made.id, &e), e);
    memcpy(j.project, "p", 2);
    assert_true(create_as(w, j).id > made.id);
}

struct racer {
    struct world *w;
    pthread_t thread;
    struct arena a;
    int64_t id[20];
    uint32_t made;
};

static void *race(void *arg)
{
    struct racer *r = arg;

    for (int i = 0; i < 20; i++) {
        struct error e = { 0 };
        struct job j = job_new("p");
        char name[16];
        bool existed = false;
        (void)snprintf(name, sizeof name, "r%d", i);
        j.request_id = str_of(name);
        if (job_create(r->w->s, &r->a, &j, NULL, &existed, &e) == 0) {
            r->id[i] = j.id;
            r->made += !existed;
        }
    }
    return NULL;
}

static void test_of_two_that_race_with_a_request_id_one_makes_the_job(void **state)
{
    struct racer r[2] = { { .w = *state }, { .w = *state } };

    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&r[i].thread, NULL, race, &r[i]), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(r[i].thread, NULL), 0);
    assert_int_equal(r[0].made + r[1].made, 20);
    for (int i = 0; i < 20; i++) {
        assert_true(r[0].id[i] != 0);
        assert_int_equal(r[0].id[i], r[1].id[i]);
    }
    arena_release(&r[0].a);
    arena_release(&r[1].a);
}

static void test_what_a_job_reads_stays_until_it_is_deleted(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct blob inlined = blob_of(w, "inline"), result = blob_of(w, "result");
    struct object first;
    struct job j = job_new("p"), out;
    struct job_input *in;
    uint32_t count = 0;
    bool existed;

    bucket_of(w, NULL, "inputs");
    first = put(w, "inputs", "o", "first");
    ASSERT_OK(
        job_create(w->s, &w->a, &j, &(struct job_terms){ .inline_blob = inlined.id }, &existed, &e),
        e);
    ASSERT_OK(job_inputs(w->s, &w->a, j.id, &in, &count, &e), e);
    assert_int_equal(count, 1);
    assert_true(str_eq_c(in[0].name, "inline"));
    assert_int_equal(in[0].blob, inlined.id);
    assert_int_equal(in[0].bytes, 6);

    struct job_input both[] = { in[0], { STR("gs://inputs/o"), first.blob.id, 5 } };
    ASSERT_OK(job_inputs_set(w->s, &j, both, 2, &e), e);
    ASSERT_OK(job_inputs(w->s, &w->a, j.id, &in, &count, &e), e);
    assert_int_equal(count, 2);
    assert_true(str_eq_c(in[1].name, "gs://inputs/o"));
    (void)put(w, "inputs", "o", "second"); /* the object moves on, the job does not */
    assert_true(blob_is_there(w, first.blob.id));
    assert_true(blob_is_there(w, inlined.id));

    const struct job_end end = { .to = JOB_SUCCEEDED };
    j.result = result.id;
    ASSERT_OK(job_finish(w->s, &j, &end, &e), e);
    ASSERT_FAILS(job_delete(w->s, "p", queued(w).id, &e), e, ERROR_FAILED_PRECONDITION);
    ASSERT_OK(job_delete(w->s, "p", j.id, &e), e);
    assert_int_equal(job_get(w->s, &w->a, NULL, j.id, &out, &e), 0);
    assert_false(blob_is_there(w, first.blob.id));
    assert_false(blob_is_there(w, inlined.id));
    assert_false(blob_is_there(w, result.id));
    ASSERT_FAILS(job_delete(w->s, "p", j.id, &e), e, ERROR_NOT_FOUND);
}

#define THREADS 8
#define EACH 25

static void *create_and_read(void *arg)
{
    struct racer *r = arg;

    for (int i = 0; i < EACH; i++) {
        struct error e = { 0 };
        struct job j = job_new("p"), got;
        struct job_list page;
        struct job_query q = { .project = "p", .dialect = DIALECT_VERTEX, .most = 5 };
        bool existed;
        r->made += job_create(r->w->s, &r->a, &j, NULL, &existed, &e) == 0 &&
                   job_get(r->w->s, &r->a, "p", j.id, &got, &e) == 1 && got.id == j.id &&
                   job_query(r->w->s, &r->a, &q, &page, &e) == 0 && page.count > 0;
        arena_reset(&r->a);
    }
    return NULL;
}

static void test_eight_threads_create_and_read_at_once(void **state)
{
    struct world *w = *state;
    struct racer r[THREADS] = { 0 };

    for (int i = 0; i < THREADS; i++) {
        r[i].w = w;
        assert_int_equal(pthread_create(&r[i].thread, NULL, create_and_read, &r[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(r[i].thread, NULL), 0);
        assert_int_equal(r[i].made, EACH);
        arena_release(&r[i].a);
    }
    assert_int_equal(rows(w, "SELECT count(*) FROM job"), THREADS * EACH);
    assert_int_equal(rows(w, "SELECT count(*) FROM event"), THREADS * EACH);
}

static void test_a_project_cannot_pass_its_limit_of_open_jobs(void **state)
{
    struct world *w = *state;
    const struct job_terms terms = { .open_max = 2 };
    struct error e = { 0 };
    bool existed;

    for (int i = 0; i < 3; i++) {
        struct job j = { .dialect = DIALECT_VERTEX, .model = STR("m"), .spec = STR("{}") };
        (void)snprintf(j.project, sizeof j.project, "p");
        if (i < 2)
            ASSERT_OK(job_create(w->s, &w->a, &j, &terms, &existed, &e), e);
        else
            ASSERT_FAILS(job_create(w->s, &w->a, &j, &terms, &existed, &e), e,
                         ERROR_RESOURCE_EXHAUSTED);
    }
    struct job other = { .dialect = DIALECT_VERTEX, .model = STR("m"), .spec = STR("{}") };
    (void)snprintf(other.project, sizeof other.project, "q");
    ASSERT_OK(job_create(w->s, &w->a, &other, &terms, &existed, &e), e);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_make, world_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_job_comes_back_with_every_member),
        TEST(test_a_project_cannot_pass_its_limit_of_open_jobs),
        TEST(test_ids_have_19_digits_and_none_comes_twice),
        TEST(test_gemini_jobs_have_names_that_cannot_be_guessed),
        TEST(test_another_projects_job_is_not_there),
        TEST(test_a_request_id_makes_one_job_of_its_project),
        TEST(test_of_two_that_race_with_a_request_id_one_makes_the_job),
        TEST(test_what_a_job_reads_stays_until_it_is_deleted),
        TEST(test_eight_threads_create_and_read_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
