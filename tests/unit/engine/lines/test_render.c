/* Goal: the output is in input order, grows as far as is known, and gets its name only when it is
 * whole. Method: rows committed by hand in any order. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/lines/render.h"
#include "engine/lines/writer.h"
#include "scratch.h"

struct fixture {
    struct scratch dir;
    struct input input;
    struct ingest_result job;
    struct spool *spool;
    struct render *render;
};

static const struct line_rules rules = { 0 };

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);

    scratch_make(&f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    render_close(f->render);
    spool_close(f->spool);
    ingest_result_release(&f->job);
    input_release(&f->input);
    scratch_remove(&f->dir);
    mem_free(f);
    return 0;
}

/* An input of this text, ingested, with an empty spool. */
static void begin(struct fixture *f, struct str text)
{
    char path[SCRATCH_PATH_BYTES];
    const char *name = scratch_path(&f->dir, "in.jsonl", path);
    const struct ingest_options o = { .threads = 1 };
    struct error e = { 0 };

    scratch_write(&f->dir, "in.jsonl", text.p, text.len);
    assert_int_equal(input_open(&f->input, &name, 1, f->dir.dir, &e), 0);
    assert_int_equal(ingest_run(&f->input, &o, &f->job, &e), 0);
    f->spool = spool_open(f->dir.dir, &e);
    assert_non_null(f->spool);
}

static int open_output(struct fixture *f, const char *name, struct error *e)
{
    char path[SCRATCH_PATH_BYTES];

    render_close(f->render);
    f->render =
        render_open(scratch_path(&f->dir, name, path), &f->input, &f->job, &rules, ROW_VERTEX, e);
    return f->render ? 0 : -1;
}

static void commit_row(struct fixture *f, uint64_t index, struct str response)
{
    struct error e = { 0 };
    const struct spool_row row = { .index = index,
                                   .outcome = OUTCOME_SUCCEEDED,
                                   .response = response };

    assert_int_equal(spool_put(f->spool, &row, &e), 0);
    assert_int_equal(spool_commit(f->spool, &e), 0);
}

static void advance_to(struct fixture *f, uint64_t lines)
{
    struct error e = { 0 };

    assert_int_equal(render_advance(f->render, f->spool, &e), 0);
    assert_int_equal(render_lines(f->render), lines);
}

static void finish(struct fixture *f)
{
    struct error e = { 0 };

    assert_int_equal(render_finish(f->render, &e), 0);
}

#define ROW(key, request, response)                                                                \
    "{\"key\":" key ",\"status\":\"\",\"processed_time\":\"1970-01-01T00:00:00.000+00:00\","       \
    "\"request\":" request ",\"response\":" response "}\n"
#define LINE(key) "{\"key\":" key ",\"request\":{\"contents\":[]}}\n"

static void test_rows_come_in_input_order_whatever_order_they_were_committed_in(void **state)
{
    struct fixture *f = *state;
    struct error e = { 0 };
    struct buf text;

    begin(f, STR(LINE("0") "\n" LINE("1") LINE("2")));
    assert_int_equal(open_output(f, "out.jsonl", &e), 0);
    commit_row(f, 2, STR("{\"c\":2}"));
    advance_to(f, 0);
    commit_row(f, 0, STR("{\"c\":0}"));
    advance_to(f, 1);
    commit_row(f, 1, STR("{\"c\":1}"));
    advance_to(f, 3);
    assert_false(scratch_has(&f->dir, "out.jsonl"));
    assert_true(scratch_has(&f->dir, "out.jsonl.partial"));
    finish(f);
    assert_false(scratch_has(&f->dir, "out.jsonl.partial"));
    scratch_read(&f->dir, "out.jsonl", &text);
    assert_string_equal(text.p, ROW("0", "{\"contents\":[]}", "{\"c\":0}")
                                    ROW("1", "{\"contents\":[]}", "{\"c\":1}")
                                        ROW("2", "{\"contents\":[]}", "{\"c\":2}"));
    buf_release(&text);
}

static void test_an_output_that_was_cut_off_is_written_again_from_its_first_line(void **state)
{
    struct fixture *f = *state;
    struct error e = { 0 };
    struct buf first, second;

    begin(f, STR(LINE("0") LINE("1")));
    commit_row(f, 0, STR("{}"));
    scratch_write(&f->dir, "out.jsonl.partial", "left over by a crash, and longer", 32);
    assert_int_equal(open_output(f, "out.jsonl", &e), 0);
    advance_to(f, 1);
    commit_row(f, 1, STR("{}"));
    assert_int_equal(open_output(f, "out.jsonl", &e), 0);
    advance_to(f, 2);
    finish(f);
    scratch_read(&f->dir, "out.jsonl", &first);
    assert_int_equal(open_output(f, "again.jsonl", &e), 0);
    advance_to(f, 2);
    finish(f);
    scratch_read(&f->dir, "again.jsonl", &second);
    assert_string_equal(first.p, second.p);
    buf_release(&first);
    buf_release(&second);
}

static void test_an_older_output_stays_until_the_new_one_is_whole(void **state)
{
    struct fixture *f = *state;
    struct error e = { 0 };
    struct buf text;

    begin(f, STR(LINE("0")));
    scratch_write(&f->dir, "out.jsonl", "older", 5);
    assert_int_equal(open_output(f, "out.jsonl", &e), 0);
    scratch_read(&f->dir, "out.jsonl", &text);
    assert_string_equal(text.p, "older");
    buf_release(&text);
    commit_row(f, 0, STR("{}"));
    advance_to(f, 1);
    finish(f);
    scratch_read(&f->dir, "out.jsonl", &text);
    assert_string_equal(text.p, ROW("0", "{\"contents\":[]}", "{}"));
    buf_release(&text);
}

static void test_an_output_that_cannot_be_is_refused_before_any_work(void **state)
{
    struct fixture *f = *state;
    struct error e = { 0 };
    char path[SCRATCH_PATH_BYTES];

    begin(f, STR(LINE("0")));
    assert_int_equal(sys_mkdirs(scratch_path(&f->dir, "folder", path), &e), 0);
    assert_int_equal(open_output(f, "folder", &e), -1);
    assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
    assert_int_equal(open_output(f, "absent/out.jsonl", &e), -1);
    assert_int_equal(e.code, ERROR_NOT_FOUND);
    assert_int_equal(open_output(f, "in.jsonl", &e), -1);
    assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(e.msg, "is an input"));
}

/* Two jobs with one output: rows of both in one file would be nobody's answers. */
static void test_an_output_that_another_run_writes_is_refused_and_left_alone(void **state)
{
    struct fixture *f = *state;
    struct error e = { 0 };
    char path[SCRATCH_PATH_BYTES];
    struct buf text;

    begin(f, STR(LINE("0")));
    assert_int_equal(open_output(f, "out.jsonl", &e), 0);
    assert_null(render_open(scratch_path(&f->dir, "out.jsonl", path), &f->input, &f->job, &rules,
                            ROW_VERTEX, &e));
    assert_int_equal(e.code, ERROR_ABORTED);
    commit_row(f, 0, STR("{}"));
    advance_to(f, 1);
    finish(f);
    scratch_read(&f->dir, "out.jsonl", &text);
    assert_string_equal(text.p, ROW("0", "{\"contents\":[]}", "{}"));
    buf_release(&text);
    assert_int_equal(open_output(f, "out.jsonl", &e), 0);
}

static void test_a_partial_name_that_is_an_input_is_refused(void **state)
{
    struct fixture *f = *state;
    struct error e = { 0 };
    char from[SCRATCH_PATH_BYTES], to[SCRATCH_PATH_BYTES];

    begin(f, STR(LINE("0")));
    assert_int_equal(link(scratch_path(&f->dir, "in.jsonl", from),
                          scratch_path(&f->dir, "out.jsonl.partial", to)),
                     0);
    assert_int_equal(open_output(f, "out.jsonl", &e), -1);
    assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
}

static void test_a_device_is_written_and_stays_what_it_is(void **state)
{
    struct fixture *f = *state;
    struct error e = { 0 };
    struct stat st;

    begin(f, STR(LINE("0")));
    f->render = render_open("/dev/null", &f->input, &f->job, &rules, ROW_VERTEX, &e);
    assert_non_null(f->render);
    commit_row(f, 0, STR("{}"));
    advance_to(f, 1);
    finish(f);
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
}

/* An error row of a line that is far too long shows its beginning. */
static void test_an_overlong_line_is_shown_by_its_beginning(void **state)
{
    struct fixture *f = *state;
    struct error e = { 0 };
    struct buf text;
    size_t len = LINE_BYTES_MAX + 10;
    char *line = mem_alloc(len);

    memset(line, 'x', len);
    begin(f, (struct str){ line, len });
    mem_free(line);
    assert_int_equal(open_output(f, "out.jsonl", &e), 0);
    commit_row(f, 0, (struct str){ 0 });
    advance_to(f, 1);
    finish(f);
    scratch_read(&f->dir, "out.jsonl", &text);
    assert_true(text.len > OVERLONG_HEAD_BYTES && text.len < OVERLONG_HEAD_BYTES + 200);
    buf_release(&text);
}

static void test_a_pipe_that_nobody_reads_is_told_as_cancelled(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(100);
    struct error e = { 0 };
    int ends[2];

    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(close(ends[0]), 0);
    struct writer *w = writer_new(ends[1], "standard output", false, &e);
    assert_non_null(w);
    buf_add_c(&b, "text");
    assert_int_equal(writer_put(w, &b, &e), 0);
    assert_int_equal(b.len, 0);
    assert_int_equal(writer_flush(w, &e), -1);
    assert_int_equal(e.code, ERROR_CANCELLED);
    assert_int_equal(writer_put(w, &b, &e), -1);
    writer_free(w);
    buf_release(&b);
    assert_int_equal(close(ends[1]), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rows_come_in_input_order_whatever_order_they_were_committed_in),
        TEST(test_an_output_that_was_cut_off_is_written_again_from_its_first_line),
        TEST(test_an_older_output_stays_until_the_new_one_is_whole),
        TEST(test_an_output_that_cannot_be_is_refused_before_any_work),
        TEST(test_an_output_that_another_run_writes_is_refused_and_left_alone),
        TEST(test_a_partial_name_that_is_an_input_is_refused),
        TEST(test_a_device_is_written_and_stays_what_it_is),
        TEST(test_an_overlong_line_is_shown_by_its_beginning),
        cmocka_unit_test(test_a_pipe_that_nobody_reads_is_told_as_cancelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
