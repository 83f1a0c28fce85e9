/* Goal: a refusal that no line can escape ends the run before it costs more, and no other failure does; a
 * failed line is tried again as far as its attempts and the job's retries go. Method: whole jobs with a
 * predictor that ends the n-th request as the n-th letter of a script says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/engine/lines/world.h"

#define WINDOW 4

/* '+' an answer, 'h' refused without hope, 'r' refused, 't' fails for now, 'f' the same and final, 'j' an
 * answer in the wrong form. The last letter counts for all after it. */
struct scripted {
    struct predictor base;
    const char *script;
    uint32_t asked;
    void *open[WINDOW];
    uint32_t count;
};

static int scripted_submit(struct predictor *p, const struct request *r, void *tag, struct error *e)
{
    struct scripted *s = (struct scripted *)p;

    (void)r;
    if (s->count == WINDOW)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "full");
    s->open[s->count++] = tag;
    return 0;
}

static void answer_as(char how, struct answer *a)
{
    switch (how) {
    case '+':
        a->response = BUF_INIT(1024);
        buf_add_c(&a->response, "{\"candidates\":[{}]}");
        break;
    case 'h':
    case 'r':
        a->hopeless = how == 'h';
        (void)error_set(&a->error, ERROR_UNAUTHENTICATED, "the key is refused");
        break;
    default:
        a->final = how == 'f';
        a->rejected = how == 'j';
        (void)error_set(&a->error, ERROR_UNAVAILABLE, "it fails for now");
        break;
    }
}

/* The oldest first. */
static int scripted_wait(struct predictor *p, uint32_t timeout_ms, struct answer *out,
                         struct error *e)
{
    struct scripted *s = (struct scripted *)p;
    size_t last = strlen(s->script) - 1;

    (void)timeout_ms;
    (void)e;
    if (s->count == 0)
        return 0;
    *out = (struct answer){ .tag = s->open[0] };
    memmove(s->open, s->open + 1, --s->count * sizeof *s->open);
    answer_as(s->script[s->asked < last ? s->asked : last], out);
    s->asked++;
    return 1;
}

static void scripted_close(struct predictor *p)
{
    ((struct scripted *)p)->count = 0;
}

static const struct predictor_ops scripted_ops = {
    .name = "scripted",
    .submit = scripted_submit,
    .wait = scripted_wait,
    .close = scripted_close,
};

struct fixture {
    struct world w;
    struct scripted s;
};

static struct predictor *scripted_open(void *arg, struct error *e)
{
    struct scripted *s = arg;

    (void)e;
    s->base = (struct predictor){ .ops = &scripted_ops, .window = WINDOW };
    s->asked = s->count = 0;
    return &s->base;
}

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);

    world_init(&f->w);
    f->w.open = scripted_open;
    f->w.open_arg = &f->s;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    world_release(&((struct fixture *)*state)->w);
    mem_free(*state);
    return 0;
}

static void test_a_refusal_of_the_key_ends_the_run_with_its_cause_and_no_row(void **state)
{
    struct fixture *f = *state;
    struct error e = { 0 };

    f->s.script = "h";
    world_ask_many(&f->w, 50);
    world_save(&f->w);
    assert_int_equal(world_run(&f->w, &e), -1);
    assert_int_equal(e.code, ERROR_UNAUTHENTICATED);
    assert_string_equal(e.msg, "no request can be answered: the key is refused");
    assert_int_equal(f->s.asked, WINDOW); /* those that were open; no other is sent */
    assert_int_equal(f->w.progress.counters.failed, 0);
    assert_int_equal(counters_pending(&f->w.progress.counters), 50);
    assert_false(scratch_has(&f->w.dir, "out.jsonl"));
    f->s.script = "+"; /* the key is mended */
    world_finish(&f->w);
    world_assert_all_answered(&f->w);
    assert_int_equal(f->s.asked, 50);
}

static void test_an_answer_in_flight_disproves_a_refusal(void **state)
{
    struct fixture *f = *state;

    f->s.script = "hh+";
    world_ask_many(&f->w, 20);
    world_save(&f->w);
    world_finish(&f->w);
    world_assert_all_answered(&f->w);
    assert_int_equal(f->s.asked, 22);
    assert_int_equal(f->w.progress.retries,
                     0); /* what was refused was not tried: nobody was asked */
}

static void test_after_an_answer_a_refusal_is_the_lines_own(void **state)
{
    struct fixture *f = *state;

    f->s.script = "+h";
    world_ask_many(&f->w, 20);
    world_save(&f->w);
    world_finish(&f->w);
    assert_int_equal(f->w.progress.counters.succeeded, 1);
    assert_int_equal(f->w.progress.counters.failed, 19);
}

static void test_a_refusal_that_leaves_hope_is_a_row(void **state)
{
    struct fixture *f = *state;

    f->s.script = "r";
    world_ask_many(&f->w, 20);
    world_save(&f->w);
    world_finish(&f->w);
    assert_int_equal(f->w.progress.counters.failed, 20);
    assert_int_equal(f->s.asked, 20);
}

static void test_a_final_failure_is_not_tried_again(void **state)
{
    struct fixture *f = *state;

    f->s.script = "tf+";
    world_ask_many(&f->w, 3);
    world_save(&f->w);
    world_finish(&f->w);
    assert_int_equal(f->w.progress.counters.succeeded, 2);
    assert_int_equal(f->w.progress.counters.failed, 1);
    assert_int_equal(f->w.progress.retries, 1);
}

static void test_a_deterministic_answer_in_the_wrong_form_is_asked_for_once_more(void **state)
{
    struct fixture *f = *state;

    f->s.script = "j";
    world_ask(&f->w, "the same again", 0.0);
    world_save(&f->w);
    world_finish(&f->w);
    assert_int_equal(f->w.progress.counters.failed, 1);
    assert_int_equal(f->s.asked, 2);
}

static void test_the_retries_of_a_job_are_bounded_by_its_lines(void **state)
{
    struct fixture *f = *state;
    struct world_rows rows;
    struct str line;
    struct row_parts parts;
    uint32_t told = 0;

    f->s.script = "t";
    f->w.retry = (struct retry_rules){ .attempts_max = 100, .base_ms = 1, .cap_ms = 1, .ratio = 2 };
    world_ask_many(&f->w, 10);
    world_save(&f->w);
    world_finish(&f->w);
    assert_int_equal(f->w.progress.counters.failed, 10);
    assert_int_equal(f->w.progress.retries, RETRY_FREE + 2 * 10);
    assert_int_equal(f->s.asked, 10 + RETRY_FREE + 2 * 10);
    rows_open(&rows, &f->w);
    while (rows_next(&rows, &line, &parts))
        told += str_find(parts.status, STR("not tried again: the job's 120 retries are used up")) <
                SIZE_MAX;
    rows_close(&rows);
    assert_int_equal(told, 10);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_refusal_of_the_key_ends_the_run_with_its_cause_and_no_row),
        TEST(test_an_answer_in_flight_disproves_a_refusal),
        TEST(test_after_an_answer_a_refusal_is_the_lines_own),
        TEST(test_a_refusal_that_leaves_hope_is_a_row),
        TEST(test_a_final_failure_is_not_tried_again),
        TEST(test_a_deterministic_answer_in_the_wrong_form_is_asked_for_once_more),
        TEST(test_the_retries_of_a_job_are_bounded_by_its_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
