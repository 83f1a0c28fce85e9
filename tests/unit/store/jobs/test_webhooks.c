/* Goal: whoever asked to hear of a job's end hears of it once it is true, and nobody else does. Method: a
 * real store; jobs brought to their ends; what is in the outbox after each. */
#include "unit/store/jobs/job_world.h"

static struct webhook hook(struct world *w, const char *project, const char *uri,
                           const char *events)
{
    struct error e = { 0 };
    struct webhook h = {
        .project = str_of(project),
        .uri = str_of(uri),
        .events = str_of(events),
        .spec = STR("{}"),
        .secret = STR("whsec_1"),
        .enabled = true,
    };

    ASSERT_OK(webhook_put(w->s, &h, &e), e);
    return h;
}

static uint32_t due(struct world *w, struct delivery *out, uint32_t cap)
{
    struct error e = { 0 };
    struct delivery_list list;
    const struct delivery_share share = { cap, cap, cap };

    ASSERT_OK(delivery_due(w->s, &w->a, w->clock.fake_us, &share, &list, &e), e);
    if (list.count)
        memcpy(out, list.item, list.count * sizeof *out);
    return list.count;
}

static uint32_t listed(struct world *w, struct delivery_query by, struct delivery *out)
{
    struct error e = { 0 };
    struct delivery_list list;

    if (by.most == 0)
        by.most = 8;
    ASSERT_OK(delivery_query(w->s, &w->a, &by, &list, &e), e);
    assert_true(list.count <= by.most);
    if (list.count)
        memcpy(out, list.item, list.count * sizeof *out);
    return list.count;
}

static void test_a_webhook_comes_back_as_it_was_written(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct webhook h = hook(w, "p", "https://x/y", "batch.failed"), got;
    struct webhook_list all;

    assert_int_equal(webhook_get(w->s, &w->a, "p", str_of(h.id), &got, &e), 1);
    assert_true(str_eq_c(got.uri, "https://x/y"));
    assert_true(str_eq_c(got.secret, "whsec_1"));
    assert_true(got.enabled);
    got.enabled = false;
    got.secret_old = STR("whsec_0");
    got.secret_old_until_us = 7;
    ASSERT_OK(webhook_put(w->s, &got, &e), e);
    ASSERT_OK(webhook_list(w->s, &w->a, "p", &all, &e), e);
    assert_int_equal(all.count, 1);
    assert_false(all.item[0].enabled);
    assert_true(str_eq_c(all.item[0].secret_old, "whsec_0"));
    assert_int_equal(all.item[0].secret_old_until_us, 7);
    assert_int_equal(all.item[0].create_us, h.create_us);
}

static void test_another_projects_webhook_is_not_there(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct webhook h = hook(w, "p", "https://x/y", ""), got;
    struct webhook_list all;

    assert_int_equal(webhook_get(w->s, &w->a, "q", str_of(h.id), &got, &e), 0);
    ASSERT_FAILS(webhook_delete(w->s, "q", str_of(h.id), &e), e, ERROR_NOT_FOUND);
    ASSERT_OK(webhook_list(w->s, &w->a, "q", &all, &e), e);
    assert_int_equal(all.count, 0);
    h.project = STR("q");
    ASSERT_FAILS(webhook_put(w->s, &h, &e), e, ERROR_NOT_FOUND);
}

static void test_limits_hold_at_the_most_and_one_over(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    char uri[WEBHOOK_URI_MAX + 2], events[2 * WEBHOOK_EVENTS_MAX + 2];

    memset(uri, 'u', sizeof uri);
    uri[WEBHOOK_URI_MAX] = '\0';
    for (size_t i = 0; i + 1 < sizeof events; i++)
        events[i] = i % 2 ? ',' : 'e';
    events[2 * WEBHOOK_EVENTS_MAX - 1] = '\0';
    (void)hook(w, "p", uri, events);
    events[2 * WEBHOOK_EVENTS_MAX - 1] = ',';
    events[2 * WEBHOOK_EVENTS_MAX + 1] = '\0';
    struct webhook h = { .project = STR("p"), .uri = STR("u"), .events = str_of(events) };
    ASSERT_FAILS(webhook_put(w->s, &h, &e), e, ERROR_INVALID_ARGUMENT);
    uri[WEBHOOK_URI_MAX] = 'u';
    uri[WEBHOOK_URI_MAX + 1] = '\0';
    h = (struct webhook){ .project = STR("p"), .uri = str_of(uri) };
    ASSERT_FAILS(webhook_put(w->s, &h, &e), e, ERROR_INVALID_ARGUMENT);

    for (int i = 1; i < WEBHOOKS_MAX; i++)
        (void)hook(w, "p", "https://x", "");
    h = (struct webhook){ .project = STR("p"), .uri = STR("u") };
    ASSERT_FAILS(webhook_put(w->s, &h, &e), e, ERROR_RESOURCE_EXHAUSTED);
    (void)hook(w, "q", "https://x", ""); /* the limit is a project's */
}

static void test_the_end_of_a_job_is_told_to_those_who_subscribed(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct delivery d[8];
    struct webhook all = hook(w, "p", "https://all", "");
    struct webhook some = hook(w, "p", "https://some", "batch.failed,batch.succeeded");

    (void)hook(w, "p", "https://other", "batch.failed, batch.succeeded.not");
    (void)hook(w, "q", "https://foreign", "");
    struct webhook off = hook(w, "p", "https://off", "");
    off.enabled = false;
    ASSERT_OK(webhook_put(w->s, &off, &e), e);

    struct job j = running(w);
    assert_int_equal(due(w, d, 8), 0); /* nothing is told before the end */
    j.source = JOB_OBJECTS;
    j.output = STR("gs://b/dir");
    j = succeed(w, j);
    assert_int_equal(due(w, d, 8), 2);
    assert_true(str_eq_c(d[0].webhook, all.id));
    assert_true(str_eq_c(d[1].webhook, some.id));
    assert_true(str_eq_c(d[0].uri, "https://all"));
    assert_int_equal(d[0].job, j.id);
    assert_int_equal(d[0].event_seq, events_last(w->s));

    char body[512];
    (void)snprintf(body, sizeof body,
                   "{\"type\":\"batch.succeeded\",\"version\":\"v1\","
                   "\"timestamp\":\"2025-11-22T10:00:00.000000Z\",\"data\":{\"id\":"
                   "\"projects/p/locations/us-central1/batchPredictionJobs/%lld\","
                   "\"output_file_uri\":\"gs://b/dir/predictions.jsonl\"}}",
                   (long long)j.id);
    assert_int_equal(d[0].body.len, strlen(body));
    assert_memory_equal(d[0].body.p, body, strlen(body));
}

static void test_the_end_of_a_job_names_the_table_that_it_made(void **state)
{
    struct world *w = *state;
    struct delivery d[8];

    (void)hook(w, "p", "https://all", "");
    struct job j = running(w);
    j.output = STR("bq://p.d.t");
    j = succeed(w, j);
    assert_int_equal(due(w, d, 8), 1);
    assert_int_not_equal(str_find(d[0].body, STR("\"output_file_uri\":\"bq://p.d.t\"")), SIZE_MAX);
}

static void test_a_jobs_own_targets_take_the_place_of_registered_ones(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct delivery d[8];
    struct job j = job_new("p");
    const struct job_end end = { .to = JOB_FAILED };
    char body[512];

    (void)hook(w, "p", "https://all", "");
    j.dialect = DIALECT_GEMINI;
    j.webhook = STR("{\"uris\":[\"https://a\",\"https://b\"],"
                    "\"userMetadata\":{\"k\": \"v\"}}");
    j = create_as(w, j);
    j.error = ERROR_INVALID_ARGUMENT;
    j.error_message = STR("say \"no\"\n");
    ASSERT_OK(job_finish(w->s, &j, &end, &e), e);
    assert_int_equal(due(w, d, 8), 2);
    assert_true(str_eq_c(d[0].uri, "https://a"));
    assert_true(str_eq_c(d[1].uri, "https://b"));
    assert_int_equal(d[1].webhook.len, 0);
    (void)snprintf(body, sizeof body,
                   "{\"type\":\"batch.failed\",\"version\":\"v1\","
                   "\"timestamp\":\"2025-11-22T10:00:00.000000Z\",\"data\":{\"id\":\"batches/%s\","
                   "\"error_code\":3,\"error_message\":\"say \\\"no\\\"\\n\"},"
                   "\"user_metadata\":{\"k\": \"v\"}}",
                   j.batch);
    assert_int_equal(d[0].body.len, strlen(body));
    assert_memory_equal(d[0].body.p, body, strlen(body));
}

static void test_a_delivery_is_due_until_it_is_taken_and_can_be_played_again(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct delivery d[8], again[8];

    (void)hook(w, "p", "https://all", "");
    (void)succeed(w, running(w));
    assert_int_equal(due(w, d, 8), 1);
    d[0].attempts = 1;
    d[0].due_us = NOW_US + 100;
    d[0].last_status = 503;
    d[0].last_error = STR("busy");
    assert_int_equal(delivery_update(w->s, &d[0], 0, &e), 1);
    assert_int_equal(delivery_update(w->s, &d[0], 0, &e), 0); /* another process was later */
    assert_int_equal(due(w, again, 8), 0);
    w->clock.fake_us = NOW_US + 100;
    world_reopen(w);
    assert_int_equal(due(w, again, 8), 1);
    assert_int_equal(again[0].attempts, 1);
    assert_int_equal(again[0].last_status, 503);
    again[0].state = DELIVERY_DONE;
    assert_int_equal(delivery_update(w->s, &again[0], 1, &e), 1);
    assert_int_equal(delivery_update(w->s, &again[0], 1, &e), 0); /* it does not wait any more */
    assert_int_equal(due(w, again, 8), 0);

    ASSERT_FAILS(delivery_replay(w->s, "q", d[0].id, &e), e, ERROR_NOT_FOUND);
    ASSERT_OK(delivery_replay(w->s, "p", d[0].id, &e), e);
    assert_int_equal(due(w, again, 8), 1);
    assert_int_equal(again[0].id, d[0].id);
    assert_true(str_eq(again[0].body, d[0].body));
    assert_int_equal(again[0].attempts, 0);
}

static void test_old_deliveries_go_and_waiting_ones_stay(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct delivery d[8];

    (void)hook(w, "p", "https://a", "");
    (void)succeed(w, running(w));
    (void)succeed(w, running(w));
    (void)succeed(w, running(w));
    assert_int_equal(due(w, d, 8), 3);
    d[0].state = d[1].state = DELIVERY_GIVEN_UP;
    assert_int_equal(delivery_update(w->s, &d[0], 0, &e), 1);
    w->clock.fake_us = NOW_US + DELIVERY_KEPT_S * 1000000;
    assert_int_equal(delivery_update(w->s, &d[1], 0, &e), 1);
    assert_int_equal(listed(w, (struct delivery_query){ .project = "p" }, d), 3);
    w->clock.fake_us++;
    assert_int_equal(delivery_update(w->s, &d[0], 0, &e), 1); /* the newest, which waits */
    assert_int_equal(listed(w, (struct delivery_query){ .project = "p" }, d), 1);
    assert_int_equal(d[0].state, DELIVERY_WAITS);
}

static void test_lists_are_by_project_webhook_and_job_the_newest_first(void **state)
{
    struct world *w = *state;
    struct delivery d[8];
    struct webhook a = hook(w, "p", "https://a", "");

    (void)hook(w, "p", "https://b", "");
    struct job first = succeed(w, running(w));
    (void)succeed(w, running(w));
    assert_int_equal(listed(w, (struct delivery_query){ .project = "p", .most = 3 }, d), 3);
    assert_true(d[0].id > d[1].id && d[1].id > d[2].id);
    assert_int_equal(
        listed(w, (struct delivery_query){ .project = "p", .webhook = str_of(a.id) }, d), 2);
    assert_int_equal(listed(w, (struct delivery_query){ .project = "p", .job = first.id }, d), 2);
    assert_int_equal(listed(w, (struct delivery_query){ .job = 0 }, d), 4);
    assert_int_equal(
        listed(w,
               (struct delivery_query){ .project = "q", .webhook = str_of(a.id), .job = first.id },
               d),
        0);
}

static void test_a_deleted_webhook_is_told_nothing_more(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct delivery d[8];
    struct webhook h = hook(w, "p", "https://a", "");

    (void)succeed(w, running(w));
    ASSERT_OK(webhook_delete(w->s, "p", str_of(h.id), &e), e);
    assert_int_equal(due(w, d, 8), 0);
    (void)succeed(w, running(w));
    assert_int_equal(due(w, d, 8), 0);
}

/* One project has three receivers with six deliveries each, another has one of each. */
static void test_due_deliveries_are_shared_among_receivers_and_projects(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct delivery_list list;
    const struct delivery_share share = { .receiver = 2, .project = 5, .all = 4 },
                                wide = { .receiver = 2, .project = 5, .all = 100 };

    for (int i = 0; i < 3; i++) {
        const char *const uris[] = { "https://a", "https://b", "https://c" };
        (void)hook(w, "p", uris[i], "");
    }
    for (int i = 0; i < 6; i++)
        (void)succeed(w, running(w));
    ASSERT_OK(delivery_due(w->s, &w->a, w->clock.fake_us, &wide, &list, &e), e);
    assert_int_equal(list.count, 5); /* of the project, two of each receiver at most */
    ASSERT_OK(delivery_due(w->s, &w->a, w->clock.fake_us, &share, &list, &e), e);
    assert_int_equal(list.count, 4);
    for (uint32_t i = 0; i < 3; i++) { /* each receiver's first one comes before any second */
        assert_int_equal(list.item[i].uri.p[8], 'a' + (int)i);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_make, world_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_webhook_comes_back_as_it_was_written),
        TEST(test_another_projects_webhook_is_not_there),
        TEST(test_limits_hold_at_the_most_and_one_over),
        TEST(test_the_end_of_a_job_is_told_to_those_who_subscribed),
        TEST(test_the_end_of_a_job_names_the_table_that_it_made),
        TEST(test_a_jobs_own_targets_take_the_place_of_registered_ones),
        TEST(test_a_delivery_is_due_until_it_is_taken_and_can_be_played_again),
        TEST(test_old_deliveries_go_and_waiting_ones_stay),
        TEST(test_lists_are_by_project_webhook_and_job_the_newest_first),
        TEST(test_a_deleted_webhook_is_told_nothing_more),
        TEST(test_due_deliveries_are_shared_among_receivers_and_projects),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
