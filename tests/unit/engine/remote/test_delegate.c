/* Goal: a job that is handed over ends with one row a line, in order, whatever is in the input and whatever
 * comes back. Method: whole jobs against a batch service in memory. */
#include "unit/engine/remote/delegate_world.h"

#include "base/mem.h"

static void test_every_line_is_answered_in_input_order_whatever_the_order_there(void **state)
{
    struct handover *h = *state;
    const struct counters *counters = &h->w.progress.counters;

    h->remote.reversed = true;
    h->remote.polls_until_done = 5;
    ask(h, 500);
    run_to_end(h);
    world_assert_all_answered(&h->w);
    assert_int_equal(counters->succeeded, 500);
    assert_int_equal(counters->prompt_tokens, 1000);
    assert_int_equal(counters->candidate_tokens, 1500);
    assert_int_equal(counters->cost_nano, 500 * (2 * 1000 + 3 * 2000) / 2);
    assert_int_equal(counters->cost_online_nano, 500 * (2 * 1000 + 3 * 2000));
    assert_int_equal(h->remote.job_count, 1);
    assert_int_equal(h->remote.removed, 2); /* what was uploaded, and the output */
    assert_non_null(strstr(h->notes, "500 lines are handed over as job/0"));
    assert_non_null(strstr(h->notes, "job/0 is RUNNING\njob/0 is ENDED\n"));
}

static void test_an_input_without_lines_is_handed_to_nobody(void **state)
{
    struct handover *h = *state;

    scratch_write(&h->w.dir, "in.jsonl", "\n\n", 2);
    run_to_end(h);
    assert_int_equal(h->remote.calls_all, 0);
}

static void test_bad_lines_are_not_sent_and_get_their_rows_at_once(void **state)
{
    struct handover *h = *state;

    world_line(&h->w, "this is not JSON");
    ask(h, 3);
    h->detach = true;
    h->remote.polls_until_done = 1;
    struct error e = { 0 };
    assert_int_equal(run(h, &e), 0);
    assert_int_equal(h->w.progress.counters.failed, 1);
    assert_int_equal(h->remote.job[0].rows, 3);
    run_to_end(h);
    assert_int_equal(answered_rows(h, "\"code\": 400"), 3);
}

static void test_an_input_of_bad_lines_only_is_handed_to_nobody(void **state)
{
    struct handover *h = *state;

    world_line(&h->w, "{\"request\":{}}");
    world_save(&h->w);
    run_to_end(h);
    assert_int_equal(h->remote.calls_all, 0);
    assert_int_equal(answered_rows(h, NULL), 0);
}

static void test_parts_are_cut_at_the_limit_of_rows_and_one_past_it(void **state)
{
    static const struct {
        uint32_t lines, parts;
    } cases[] = { { 99, 1 }, { 100, 1 }, { 101, 2 }, { 300, 3 }, { 301, 4 } };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        void *fresh;
        assert_int_equal(setup(&fresh), 0);
        struct handover *h = fresh;
        h->remote.base.rows_max = 100;
        h->remote.polls_until_done = 2;
        ask(h, cases[i].lines);
        run_to_end(h);
        world_assert_all_answered(&h->w);
        assert_int_equal(h->remote.job_count, cases[i].parts);
        assert_int_equal(h->remote.job[cases[i].parts - 1].rows,
                         cases[i].lines - 100 * (cases[i].parts - 1));
        (void)teardown(&fresh);
    }
}

/* The batch service asserts that no file is over its limit. */
static void test_parts_are_cut_at_the_limit_of_bytes_and_one_past_it(void **state)
{
    struct handover *h = *state;

    ask(h, 10); /* rows of one length */
    run_to_end(h);
    size_t ten = h->remote.file[0].len;
    for (uint32_t less = 0; less < 2; less++) {
        void *fresh;
        assert_int_equal(setup(&fresh), 0);
        struct handover *other = fresh;
        other->remote.base.bytes_max = ten - less;
        ask(other, 10);
        run_to_end(other);
        assert_int_equal(other->remote.job_count, 1 + less);
        (void)teardown(&fresh);
    }
}

static void test_a_line_that_no_job_there_takes_fails_alone(void **state)
{
    struct handover *h = *state;
    char text[400];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    h->remote.base.bytes_max = 300;
    world_ask_many(&h->w, 2);
    world_ask(&h->w, text, 1.0);
    ask(h, 2);
    run_to_end(h);
    assert_int_equal(answered_rows(h, "a job of the batch service takes 300"), 4);
}

static void test_rows_of_nobody_and_rows_that_come_twice_change_nothing(void **state)
{
    struct handover *h = *state;

    h->remote.strange = h->remote.doubled = true;
    ask(h, 200);
    run_to_end(h);
    world_assert_all_answered(&h->w);
    assert_int_equal(h->w.progress.counters.prompt_tokens, 400);
}

static void test_a_line_without_a_row_fails_and_says_so(void **state)
{
    struct handover *h = *state;

    h->remote.missing_every = 10;
    h->remote.base.rows_max = 60;
    ask(h, 100);
    run_to_end(h);
    assert_int_equal(answered_rows(h, "has no row for this line"), 90);
    assert_int_equal(h->w.progress.counters.failed, 10);
}

static void test_an_error_row_is_a_failure_with_its_cause(void **state)
{
    struct handover *h = *state;

    h->remote.error_every = 4;
    ask(h, 100);
    run_to_end(h);
    assert_int_equal(answered_rows(h, "row failed"), 75);
    assert_int_equal(h->w.progress.counters.cost_nano, 75 * 4000);
}

/* Goal: an answer is checked against its own line's schema, and counted. Method: each third line asks for yes or
 * no, each third for red or green, and each third for any text; all are answered yes, in reverse order. */
static void test_an_answer_without_the_form_of_its_line_is_an_error_row(void **state)
{
    static const char *const values[] = { "\"yes\",\"no\"", "\"red\",\"green\"" };
    struct handover *h = *state;

    h->remote.text = "yes";
    h->remote.reversed = true;
    h->remote.base.rows_max = 20;
    for (uint32_t i = 0; i < 90; i++) {
        buf_addf(&h->w.lines,
                 "{\"request\":{\"contents\":[{\"parts\":[{\"text\":\"question %u\"}]}]", i);
        if (i % 3 < 2)
            buf_addf(
                &h->w.lines,
                ",\"generationConfig\":{\"responseMimeType\":\"text/x.enum\",\"responseSchema\":"
                "{\"type\":\"STRING\",\"enum\":[%s]}}",
                values[i % 3]);
        buf_add_c(&h->w.lines, "}}\n");
        h->w.line_count++;
    }
    world_save(&h->w);
    run_to_end(h);
    assert_int_equal(answered_rows(h, "is not one of the enum's values"), 60);
    const struct counters *c = &h->w.progress.counters;
    assert_int_equal(c->structured, 30);
    assert_int_equal(c->complete, 30);
    assert_int_equal(c->failed, 30);
    assert_int_equal(c->rejected, 30);
    assert_int_equal(c->rejected_tokens, 30 * 5);
}

static void test_of_a_failed_job_what_was_answered_is_taken(void **state)
{
    struct handover *h = *state;

    h->remote.end = ERROR_DEADLINE_EXCEEDED;
    h->remote.missing_every = 2;
    ask(h, 100);
    run_to_end(h);
    assert_int_equal(answered_rows(h, "Gateway Timeout: {\"error\": {\"code\": 504, \"message\": "
                                      "\"the batch job failed\""),
                     50);
}

static void test_of_a_failed_job_without_an_output_all_lines_have_its_cause(void **state)
{
    struct handover *h = *state;

    h->remote.end = ERROR_INVALID_ARGUMENT;
    h->remote.no_output = true;
    ask(h, 100);
    run_to_end(h);
    assert_int_equal(answered_rows(h, "the batch job failed"), 0);
}

static void test_a_job_that_is_gone_there_fails_its_lines(void **state)
{
    struct handover *h = *state;

    h->remote.fails[MEMORY_POLL] = ERROR_NOT_FOUND;
    ask(h, 10);
    run_to_end(h);
    assert_int_equal(answered_rows(h, "the batch service fails"), 0);
}

static void test_an_output_that_is_gone_there_fails_its_lines(void **state)
{
    struct handover *h = *state;

    h->remote.fails[MEMORY_FETCH] = ERROR_NOT_FOUND;
    ask(h, 10);
    run_to_end(h);
    assert_int_equal(answered_rows(h, "the answers are gone"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_line_is_answered_in_input_order_whatever_the_order_there),
        TEST(test_an_input_without_lines_is_handed_to_nobody),
        TEST(test_bad_lines_are_not_sent_and_get_their_rows_at_once),
        TEST(test_an_input_of_bad_lines_only_is_handed_to_nobody),
        TEST(test_parts_are_cut_at_the_limit_of_rows_and_one_past_it),
        TEST(test_parts_are_cut_at_the_limit_of_bytes_and_one_past_it),
        TEST(test_a_line_that_no_job_there_takes_fails_alone),
        TEST(test_rows_of_nobody_and_rows_that_come_twice_change_nothing),
        TEST(test_a_line_without_a_row_fails_and_says_so),
        TEST(test_an_error_row_is_a_failure_with_its_cause),
        TEST(test_an_answer_without_the_form_of_its_line_is_an_error_row),
        TEST(test_of_a_failed_job_what_was_answered_is_taken),
        TEST(test_of_a_failed_job_without_an_output_all_lines_have_its_cause),
        TEST(test_a_job_that_is_gone_there_fails_its_lines),
        TEST(test_an_output_that_is_gone_there_fails_its_lines),
    };

    return cmocka_run_group_tests_name("delegate", tests, NULL, NULL);
}
