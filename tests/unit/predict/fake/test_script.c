/* Goal: a label makes its request fail, wait, hang or be blocked, and nothing else changes. Method: a
 * scripted predictor around the fake, both under one fake clock; online calls through a hub. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conform/predict/request_make.h"
#include "base/mem.h"
#include "predict/hub/hub.h"
#include "predict/fake/script.h"
#include "predict/fake/script_steps.h"

#define WINDOW 8
#define PATIENCE_MS 20000

static const struct model model = { .pattern = "fake", .kind = MODEL_FAKE, .fake.window = WINDOW };

struct fixture {
    struct clock clock;
    struct predictor *p;
    struct arena arena;
    uint32_t made;
};

static void reopen(struct fixture *f, const char *deflt)
{
    const struct predictor_env env = { .clock = &f->clock, .seed = 1 };
    struct error e = { 0 };

    if (f->p)
        f->p->ops->close(f->p);
    f->p = predictor_scripted(predictor_fake_open(&model, &env, &e), deflt, &f->clock, &e);
    assert_string_equal(e.msg, "");
}

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);

    f->clock = clock_fake(1763805600000000);
    reopen(f, NULL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    f->p->ops->close(f->p);
    arena_release(&f->arena);
    mem_free(f);
    return 0;
}

/* A request of its own text with this label, or without one. */
static const struct request *labelled(struct fixture *f, const char *label)
{
    char json[512];
    int n = snprintf(json, sizeof json, "{\"contents\":{\"parts\":{\"text\":\"q %u\"}}%s%s%s}",
                     f->made++, label ? ",\"labels\":{\"tranche-test\":\"" : "", label ? label : "",
                     label ? "\"}" : "");

    return request_make(&f->arena, arena_copy(&f->arena, json, (size_t)n));
}

static void submit(struct fixture *f, const struct request *r)
{
    struct error e = { 0 };

    if (f->p->ops->submit(f->p, r, &f->made, &e) < 0)
        fail_msg("submit: %s", e.msg);
}

static int wait_for(struct fixture *f, uint32_t ms, struct answer *a)
{
    struct error e = { 0 };
    int rc = f->p->ops->wait(f->p, ms, a, &e);

    assert_true(rc >= 0);
    if (rc)
        assert_ptr_equal(a->tag, &f->made);
    return rc;
}

/* One attempt's code. */
static enum error_code attempt(struct fixture *f, const struct request *r)
{
    struct answer a = { 0 };

    submit(f, r);
    assert_int_equal(wait_for(f, PATIENCE_MS, &a), 1);
    assert_int_equal(a.response.len > 0, a.error.code == ERROR_OK);
    answer_release(&a);
    return a.error.code;
}

static void test_a_request_fails_as_often_as_its_label_says(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *label;
        enum error_code code[6];
    } cases[] = {
        { NULL, { ERROR_OK } },
        { "ok", { ERROR_OK, ERROR_OK } },
        { "unavailable-2", { ERROR_UNAVAILABLE, ERROR_UNAVAILABLE, ERROR_OK, ERROR_UNAVAILABLE } },
        { "invalid_argument", { ERROR_INVALID_ARGUMENT, ERROR_INVALID_ARGUMENT } },
        { "unavailable-1_and_resource_exhausted-2_and_permission_denied",
          { ERROR_UNAVAILABLE, ERROR_RESOURCE_EXHAUSTED, ERROR_RESOURCE_EXHAUSTED,
            ERROR_PERMISSION_DENIED, ERROR_PERMISSION_DENIED } },
        { "ok_and_internal-1", { ERROR_INTERNAL, ERROR_OK } },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct request *r = labelled(f, cases[i].label);
        assert_int_equal(attempt(f, r), cases[i].code[0]);
        for (size_t n = 1; n < 6 && (cases[i].code[n] || n == 1); n++)
            if (cases[i].code[n] || cases[i].code[n - 1])
                assert_int_equal(attempt(f, r), cases[i].code[n]);
    }
}

static void test_attempts_of_other_requests_do_not_count(void **state)
{
    struct fixture *f = *state;
    const struct request *a = labelled(f, "aborted-1"), *b = labelled(f, "aborted-1");

    assert_int_equal(attempt(f, a), ERROR_ABORTED);
    assert_int_equal(attempt(f, b), ERROR_ABORTED);
    assert_int_equal(attempt(f, a), ERROR_OK);
    assert_int_equal(attempt(f, b), ERROR_OK);
}

static void test_the_default_is_for_requests_without_the_label(void **state)
{
    struct fixture *f = *state;
    char deflt[] = "not_found";

    reopen(f, deflt);
    deflt[0] = '?'; /* it was copied */
    assert_int_equal(attempt(f, labelled(f, NULL)), ERROR_NOT_FOUND);
    assert_int_equal(attempt(f, labelled(f, "ok")), ERROR_OK);
}

static void test_a_blocked_prompt_is_an_answer_without_candidates(void **state)
{
    struct fixture *f = *state;
    struct answer a = { 0 };

    submit(f, labelled(f, "unavailable-1_and_block"));
    assert_int_equal(wait_for(f, 10, &a), 1);
    assert_int_equal(a.error.code, ERROR_UNAVAILABLE);
    reopen(f, "block");
    submit(f, labelled(f, NULL));
    assert_int_equal(wait_for(f, 10, &a), 1);
    assert_int_equal(a.error.code, ERROR_OK);
    yyjson_doc *doc = yyjson_read(a.response.p, a.response.len, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    assert_null(json_get(root, "candidates"));
    assert_string_equal(yyjson_get_str(yyjson_ptr_get(root, "/promptFeedback/blockReason")),
                        "PROHIBITED_CONTENT");
    assert_string_equal(yyjson_get_str(json_get(root, "modelVersion")), "tranche-fake");
    assert_int_equal(yyjson_get_uint(yyjson_ptr_get(root, "/usageMetadata/promptTokenCount")),
                     a.usage.prompt_tokens);
    yyjson_doc_free(doc);
    answer_release(&a);
}

static void test_a_delay_passes_before_the_answer_and_holds_up_no_other(void **state)
{
    struct fixture *f = *state;
    struct answer a = { 0 };
    uint64_t began = f->clock.fake_ns;

    submit(f, labelled(f, "delay-5000"));
    submit(f, labelled(f, "delay-3000_and_aborted"));
    submit(f, labelled(f, NULL));
    assert_int_equal(wait_for(f, 0, &a), 1);
    assert_int_equal(a.error.code, ERROR_OK);
    answer_release(&a);
    assert_int_equal(wait_for(f, 2900, &a), 0);
    assert_int_equal(wait_for(f, 200, &a), 1);
    assert_int_equal(a.error.code, ERROR_ABORTED);
    assert_int_equal(wait_for(f, PATIENCE_MS, &a), 1);
    assert_int_equal(a.error.code, ERROR_OK);
    assert_in_range((f->clock.fake_ns - began) / NS_PER_MS, 5000, 5100);
    answer_release(&a);
}

static void test_what_hangs_or_waits_is_cancelled_by_drain_and_dropped_by_close(void **state)
{
    struct fixture *f = *state;
    struct answer a = { 0 };

    for (int i = 0; i < 2; i++) {
        submit(f, labelled(f, "hang"));
        submit(f, labelled(f, "delay-100000"));
        assert_int_equal(wait_for(f, 1000, &a), 0);
        if (i == 1)
            break; /* the teardown closes */
        f->p->ops->drain(f->p);
        submit(f, labelled(f, "ok"));
        for (int n = 0; n < 3; n++) {
            assert_int_equal(wait_for(f, 0, &a), 1);
            assert_int_equal(a.error.code, ERROR_CANCELLED);
        }
        reopen(f, NULL);
    }
}

static void test_held_requests_take_places_of_the_window(void **state)
{
    struct fixture *f = *state;
    struct error e = { 0 };

    assert_int_equal(f->p->window, WINDOW);
    for (int i = 0; i < WINDOW; i++)
        submit(f, labelled(f, i % 2 ? "hang" : NULL));
    assert_int_equal(f->p->ops->submit(f->p, labelled(f, NULL), NULL, &e), -1);
    assert_int_equal(e.code, ERROR_RESOURCE_EXHAUSTED);
}

static void test_a_wrong_script_is_told_at_its_check_and_as_the_answer(void **state)
{
    struct fixture *f = *state;
    static const char *const good[] = {
        "ok",
        "hang",
        "block",
        "unavailable",
        "unavailable-1000000",
        "deadline_exceeded-1",
        "delay-2592000000",
        "ok_and_ok_and_ok_and_ok_and_ok_and_ok_and_ok_and_ok",
    };
    static const char *const bad[] = {
        "",
        "OK",
        "Unavailable",
        "what",
        "ok-1",
        "hang-2",
        "delay",
        "delay-",
        "delay-x",
        "delay-0",
        "delay-2592000001",
        "delay-99999999999999999999",
        "unavailable-",
        "unavailable-0",
        "unavailable-1000001",
        "unavailable--1",
        "ok_and_",
        "_and_ok",
        "ok and ok",
        "ok_and_ok_and_ok_and_ok_and_ok_and_ok_and_ok_and_ok_and_ok",
        "a_code_that_is_longer_than_any_code_there_is_in_the_table_of_them",
    };
    struct error e = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        if (script_check(str_of(good[i]), &e) < 0)
            fail_msg("%s: %s", good[i], e.msg);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(script_check(str_of(bad[i]), &e), -1);
        assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
    }
    assert_int_equal(attempt(f, labelled(f, "what")), ERROR_INVALID_ARGUMENT);
}

static void test_a_wrong_default_closes_the_inner_predictor(void **state)
{
    struct fixture *f = *state;
    const struct predictor_env env = { .clock = &f->clock, .seed = 1 };
    struct error e = { 0 };
    struct predictor *inner = predictor_fake_open(&model, &env, &e);

    assert_null(
        predictor_scripted(inner, "what", &f->clock, &e)); /* the sanitizer tells of inner */
    assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
}

static void test_more_requests_than_are_remembered_still_end(void **state)
{
    struct fixture *f = *state;

    reopen(f, "unavailable-1");
    for (uint32_t i = 0; i < 2 * SCRIPT_MEMORY_MAX; i++) {
        assert_int_equal(attempt(f, labelled(f, NULL)), ERROR_UNAVAILABLE);
        arena_reset(&f->arena);
    }
    const struct request *r = labelled(f, NULL);
    assert_int_equal(attempt(f, r), ERROR_UNAVAILABLE);
    assert_int_equal(attempt(f, r), ERROR_OK);
}

/* ---- Online ---- */

struct asked {
    atomic_uint released;
    enum error_code code;
    size_t len;
};

static void on_done(void *arg, struct answer *a)
{
    struct asked *q = arg;

    q->code = a->error.code;
    q->len = a->response.len;
    answer_release(a);
}

static void on_released(void *arg)
{
    atomic_fetch_add(&((struct asked *)arg)->released, 1);
}

static void ask(struct hub *h, const struct request *r, const char *script, uint32_t deadline_ms,
                struct asked *q)
{
    const struct hub_call c = { .request = r,
                                .project = "p",
                                .weight = 1,
                                .deadline_ms = deadline_ms,
                                .scripted = true,
                                .script = script,
                                .done = on_done,
                                .released = on_released,
                                .arg = q };
    struct error e = { 0 };
    unsigned before = atomic_load(&q->released);

    assert_int_equal(hub_ask(h, &c, &e), 0);
    for (int i = 0; atomic_load(&q->released) == before; i++) {
        assert_true(i < PATIENCE_MS);
        clock_system()->sleep_ns(clock_system(), NS_PER_MS);
    }
}

static void test_an_online_call_does_what_its_script_says(void **state)
{
    struct fixture *f = *state;
    const struct predictor_env env = { .clock = clock_movable(), .seed = 1 };
    struct hub *h = hub_new(&model, &env, predictor_fake_open);
    const struct request *twice = labelled(f, "unavailable-2");
    struct asked q = { 0 };

    ask(h, twice, NULL, 0, &q);
    assert_int_equal(q.code, ERROR_UNAVAILABLE);
    ask(h, twice, "ok", 0, &q); /* the label is before the caller's */
    assert_int_equal(q.code, ERROR_UNAVAILABLE);
    ask(h, twice, NULL, 0, &q);
    assert_int_equal(q.code, ERROR_OK);
    ask(h, labelled(f, NULL), "block", 0, &q);
    assert_int_equal(q.code, ERROR_OK);
    ask(h, labelled(f, NULL), "no such", 0, &q);
    assert_int_equal(q.code, ERROR_INVALID_ARGUMENT);
    ask(h, labelled(f, "hang"), NULL, 30, &q);
    assert_int_equal(q.code, ERROR_DEADLINE_EXCEEDED);
    uint64_t began = clock_system()->mono_ns(clock_system());
    ask(h, labelled(f, "delay-40"), NULL, 0, &q);
    assert_int_equal(q.code, ERROR_OK);
    assert_true(q.len > 0);
    assert_true(clock_system()->mono_ns(clock_system()) - began >= 40 * NS_PER_MS);
    hub_free(h);
}

static void test_a_hub_that_is_freed_ends_calls_that_a_script_holds(void **state)
{
    struct fixture *f = *state;
    const struct predictor_env env = { .clock = clock_system(), .seed = 1 };
    struct hub *h = hub_new(&model, &env, predictor_fake_open);
    struct asked q = { 0 };
    struct error e = { 0 };
    const struct hub_call c = { .request = labelled(f, "hang"),
                                .project = "p",
                                .scripted = true,
                                .done = on_done,
                                .released = on_released,
                                .arg = &q };

    assert_int_equal(hub_ask(h, &c, &e), 0);
    hub_free(h);
    assert_int_equal(atomic_load(&q.released), 1);
    assert_int_equal(q.code, ERROR_UNAVAILABLE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_request_fails_as_often_as_its_label_says),
        TEST(test_attempts_of_other_requests_do_not_count),
        TEST(test_the_default_is_for_requests_without_the_label),
        TEST(test_a_blocked_prompt_is_an_answer_without_candidates),
        TEST(test_a_delay_passes_before_the_answer_and_holds_up_no_other),
        TEST(test_what_hangs_or_waits_is_cancelled_by_drain_and_dropped_by_close),
        TEST(test_held_requests_take_places_of_the_window),
        TEST(test_a_wrong_script_is_told_at_its_check_and_as_the_answer),
        TEST(test_a_wrong_default_closes_the_inner_predictor),
        TEST(test_more_requests_than_are_remembered_still_end),
        TEST(test_an_online_call_does_what_its_script_says),
        TEST(test_a_hub_that_is_freed_ends_calls_that_a_script_holds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
