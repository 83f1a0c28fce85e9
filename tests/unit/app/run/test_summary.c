/* The summary of a run, for people and for machines, as golden texts. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "app/run/summary.h"
#include "base/clock.h"

static const struct terminal plain = { .width = 80 }, live = { .width = 80, .live = true };

static struct summary some_failed(void)
{
    return (struct summary){
        .model = "gemini-2.5-flash",
        .version = "smollm2-135m-instruct-q8_0",
        .output = "answers.jsonl",
        .priced = true,
        .progress = { .counters = { .total = 1000,
                                    .succeeded = 997,
                                    .failed = 3,
                                    .duplicates = 30,
                                    .prompt_tokens = 123456,
                                    .cached_tokens = 45000,
                                    .candidate_tokens = 6789,
                                    .duplicate_tokens = 5000,
                                    .cost_nano = 1200000,
                                    .cost_online_nano = 2400000 },
                      .resumed = 400,
                      .retries = 7,
                      .elapsed_ns = 150 * NS_PER_S },
        .failure = { { .code = ERROR_UNAVAILABLE,
                       .count = 2,
                       .message = "The model is overloaded.",
                       .file = { "in.jsonl", "in.jsonl" },
                       .line_no = { 4, 17 },
                       .first_count = 2 },
                     { .code = ERROR_INVALID_ARGUMENT,
                       .count = 1,
                       .message = "request.contents[0].role: Please use a valid role: user, model. "
                                  "And so on and on, far beyond the width.",
                       .file = { "in.jsonl" },
                       .line_no = { 31 },
                       .first_count = 1 } },
        .failure_count = 2,
    };
}

static void assert_text(const struct summary *s, const char *wanted)
{
    struct buf out = BUF_INIT(SUMMARY_BYTES_MAX);

    summary_text(s, &live, &out);
    assert_string_equal(out.p, wanted);
    buf_release(&out);
}

static void test_the_text_is_aligned_and_short(void **state)
{
    struct summary s = some_failed();

    (void)state;
    assert_text(&s,
                "finished  1,000 lines in 2 m 30 s (4.0/s)\n"
                "  answered  997  (30 duplicates, 400 lines done before this run)\n"
                "  failed    3\n"
                "       2  UNAVAILABLE, lines 4, 17\n"
                "          The model is overloaded.\n"
                "       1  INVALID_ARGUMENT, line 31\n"
                "          request.contents[0].role: Please use a valid role: user, model. An...\n"
                "  tokens    123,456 prompt, 6,789 generated; 50,000 tokens reused\n"
                "  cost      $0.0012 at the batch price; online $0.0024\n"
                "  model     gemini-2.5-flash, answered by smollm2-135m-instruct-q8_0\n"
                "  output    answers.jsonl\n");
}

static void test_elsewhere_than_on_a_terminal_messages_are_whole(void **state)
{
    struct summary s = some_failed();
    struct buf out = BUF_INIT(SUMMARY_BYTES_MAX);

    (void)state;
    s.next = "tranche run --retry-failed answers.jsonl";
    summary_text(&s, &plain, &out);
    assert_non_null(strstr(out.p, "And so on and on, far beyond the width.\n"));
    assert_non_null(
        strstr(out.p, "answers.jsonl\n  next      tranche run --retry-failed answers.jsonl\n"));
    buf_release(&out);
}

static void test_when_all_is_well_nothing_else_is_said(void **state)
{
    struct summary s = {
        .model = "tranche-fake",
        .version = "tranche-fake",
        .output = "-",
        .progress = { .counters = { .total = 1, .succeeded = 1, .prompt_tokens = 2 },
                      .elapsed_ns = 500 * NS_PER_MS },
    };

    (void)state;
    assert_text(&s, "finished  1 line in 500 ms (2.0/s)\n"
                    "  answered  1\n"
                    "  tokens    2 prompt, 0 generated\n"
                    "  model     tranche-fake\n"
                    "  output    standard output\n");
}

static void test_it_says_how_many_structured_answers_are_complete(void **state)
{
    struct summary s = {
        .model = "far",
        .version = "far",
        .output = "out.jsonl",
        .priced = true,
        .progress = { .counters = { .total = 1200,
                                    .succeeded = 1200,
                                    .structured = 1200,
                                    .complete = 1180,
                                    .prompt_tokens = 2000,
                                    .candidate_tokens = 4000,
                                    .forced_tokens = 2500,
                                    .rejected = 12,
                                    .rejected_tokens = 3400,
                                    .rejected_cost_nano = 1700000 },
                      .elapsed_ns = 2 * NS_PER_S },
    };

    (void)state;
    assert_text(&s, "finished  1,200 lines in 2.0 s (600/s)\n"
                    "  answered  1,200\n"
                    "  complete  1,180 of 1,200 answers that had to be JSON or an enum value\n"
                    "  rejected  12 answers did not match the schema: 3,400 tokens, $0.0017 beside "
                    "the cost\n"
                    "  tokens    2,000 prompt, 4,000 generated\n"
                    "            2,500 of 4,000 answer tokens were forced by the schema\n"
                    "  cost      $0.00\n"
                    "  model     far\n"
                    "  output    out.jsonl\n");
}

static void test_an_interruption_names_the_partial_output(void **state)
{
    struct summary s = {
        .model = "tranche-fake",
        .version = "tranche-fake",
        .output = "out.jsonl",
        .interrupted = true,
        .progress = { .counters = { .total = 10, .succeeded = 4 }, .elapsed_ns = 2 * NS_PER_S },
    };

    (void)state;
    assert_text(&s, "interrupted  4 of 10 lines are done and saved in 2.0 s (2.0/s)\n"
                    "  answered  4\n"
                    "  tokens    0 prompt, 0 generated\n"
                    "  model     tranche-fake\n"
                    "  output    out.jsonl.partial\n");
}

static void test_a_file_name_cannot_steer_the_terminal(void **state)
{
    struct summary s = some_failed();
    struct buf out = BUF_INIT(SUMMARY_BYTES_MAX);

    (void)state;
    s.output = "a\033[2Jb";
    s.several_files = true;
    s.failure[0].file[0] = "c\rd";
    s.failure[0].message[0] = '\a';
    summary_text(&s, &plain, &out);
    assert_int_equal(str_find(buf_str(&out), STR("\033")), SIZE_MAX);
    assert_int_equal(str_find(buf_str(&out), STR("\r")), SIZE_MAX);
    assert_int_equal(str_find(buf_str(&out), STR("\a")), SIZE_MAX);
    assert_int_not_equal(str_find(buf_str(&out), STR("a?[2Jb")), SIZE_MAX);
    buf_release(&out);
}

static void test_the_json_has_every_number(void **state)
{
    struct summary s = some_failed();
    struct buf out = BUF_INIT(SUMMARY_BYTES_MAX);

    (void)state;
    summary_json(&s, EXIT_SOME_FAILED, &out);
    assert_string_equal(
        out.p,
        "{\"state\":\"finished\",\"exit_code\":1,\"model\":\"gemini-2.5-flash\","
        "\"model_version\":\"smollm2-135m-instruct-q8_0\",\"output\":\"answers.jsonl\","
        "\"lines\":{\"total\":1000,\"succeeded\":997,\"failed\":3,\"not_run\":0,\"pending\":0,"
        "\"duplicates\":30,\"reused\":0,\"kept\":0,\"resumed\":400},"
        "\"tokens\":{\"prompt\":123456,\"cached\":45000,\"generated\":6789,\"thought\":0,"
        "\"saved_by_duplicates\":5000,\"saved_by_reuse\":0,\"forced\":0},"
        "\"structured\":{\"answers\":0,\"complete\":0},"
        "\"rejected\":{\"answers\":0,\"tokens\":0,\"usd\":0.000000000},\"retries\":7,"
        "\"cost\":{\"priced\":true,\"batch_usd\":0.001200000,\"online_usd\":0.002400000},"
        "\"elapsed_s\":150,\"lines_per_s\":4,\"failures\":["
        "{\"code\":\"UNAVAILABLE\",\"count\":2,\"message\":\"The model is overloaded.\","
        "\"first\":[{\"file\":\"in.jsonl\",\"line\":4},{\"file\":\"in.jsonl\",\"line\":17}]},"
        "{\"code\":\"INVALID_ARGUMENT\",\"count\":1,\"message\":\"request.contents[0].role: Please "
        "use a valid role: user, model. And so on and on, far beyond the width.\","
        "\"first\":[{\"file\":\"in.jsonl\",\"line\":31}]}]}\n");
    buf_release(&out);
}

/* A model's file names itself, and a file can have any name. */
static void test_nothing_in_the_text_steers_a_terminal(void **state)
{
    struct summary s = some_failed();
    struct buf out = BUF_INIT(SUMMARY_BYTES_MAX);

    (void)state;
    s.version = "\033[2Jmodel";
    s.output = "\033]0;title\a.jsonl";
    (void)snprintf(s.failure[0].message, sizeof s.failure[0].message,
                   "\xC2\x9B"
                   "31mred");
    summary_text(&s, &plain, &out);
    assert_null(strchr(out.p, '\033'));
    assert_null(strstr(out.p, "\xC2\x9B"));
    assert_non_null(strstr(out.p, "answered by ?[2Jmodel"));
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_text_is_aligned_and_short),
        cmocka_unit_test(test_elsewhere_than_on_a_terminal_messages_are_whole),
        cmocka_unit_test(test_when_all_is_well_nothing_else_is_said),
        cmocka_unit_test(test_an_interruption_names_the_partial_output),
        cmocka_unit_test(test_a_file_name_cannot_steer_the_terminal),
        cmocka_unit_test(test_it_says_how_many_structured_answers_are_complete),
        cmocka_unit_test(test_the_json_has_every_number),
        cmocka_unit_test(test_nothing_in_the_text_steers_a_terminal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
