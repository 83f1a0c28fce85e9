/* A run's folder: named by what decides its answers, and remembered when it is finished. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "app/run/rates.h"
#include "app/run/state.h"
#include "base/fault.h"
#include "base/sys.h"
#include "store/spool/spool.h"
#include "unit/app/temporary.h"

#define DAY_US ((int64_t)86400 * 1000000)

struct world {
    struct temporary dir;
    struct arena arena;
    struct state state;
    struct error error;
};

static int set_up(void **state)
{
    static struct world w;

    w = (struct world){ .arena = { 0 } };
    temporary_make(&w.dir);
    assert_int_equal(state_open(&w.state, &w.arena, w.dir.path, STR("facts"), &w.error), 0);
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    temporary_remove(&w->dir);
    arena_release(&w->arena);
    return 0;
}

static bool exists(struct world *w, const char *name)
{
    return access(arena_textf(&w->arena, "%s/%s", w->state.dir, name), F_OK) == 0;
}

static int entries(const char *path)
{
    DIR *dir = opendir(path);
    int count = -2; /* "." and ".." */

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    (void)closedir(dir);
    return count;
}

static struct done done_of(struct world *w)
{
    struct done d = { .output = arena_copy(&w->arena, w->dir.file, strlen(w->dir.file)),
                      .finished_us = 123456789,
                      .code = EXIT_SOME_FAILED,
                      .summary = STR("{\"a\":\"\xC3\xBC\"}"),
                      .text = STR("line 1\n\"line\" 2\n") };

    assert_int_equal(state_output_facts(d.output, &d, &w->error), 0);
    return d;
}

static void test_other_facts_are_another_folder_and_the_same_are_the_same(void **state)
{
    struct world *w = *state;
    struct state same, other;

    assert_int_equal(state_open(&same, &w->arena, w->dir.path, STR("facts"), &w->error), 0);
    assert_int_equal(state_open(&other, &w->arena, w->dir.path, STR("fakts"), &w->error), 0);
    assert_string_equal(same.dir, w->state.dir);
    assert_string_not_equal(other.dir, w->state.dir);
}

static void test_a_finished_run_is_read_back_and_its_spool_is_gone(void **state)
{
    struct world *w = *state;
    struct done read = { 0 };
    struct buf name = BUF_INIT(256);

    assert_int_equal(state_done_read(&w->state, &w->arena, &read, &w->error), 0);
    buf_addf(&name, "runs/%s/spool.db", w->state.key);
    (void)temporary_file(&w->dir, name.p, "rows");
    (void)temporary_file(&w->dir, "out.jsonl", "answers\n");
    struct done d = done_of(w);
    assert_int_equal(state_done_write(&w->state, &d, &w->error), 0);
    assert_false(exists(w, "spool.db"));
    assert_int_equal(state_done_read(&w->state, &w->arena, &read, &w->error), 1);
    assert_string_equal(read.output, d.output);
    assert_int_equal(read.code, EXIT_SOME_FAILED);
    assert_int_equal(read.finished_us, 123456789);
    assert_true(str_eq(read.summary, d.summary));
    assert_true(str_eq(read.text, d.text));
    buf_release(&name);
}

static void test_an_output_that_changed_or_is_gone_is_noticed(void **state)
{
    struct world *w = *state;
    struct done read = { 0 };

    (void)temporary_file(&w->dir, "out.jsonl", "answers\n");
    struct done d = done_of(w);
    assert_int_equal(state_done_write(&w->state, &d, &w->error), 0);
    (void)temporary_file(&w->dir, "out.jsonl", "answers and more\n");
    assert_int_equal(state_done_read(&w->state, &w->arena, &read, &w->error), 2);
    assert_int_equal(unlink(d.output), 0);
    assert_int_equal(state_done_read(&w->state, &w->arena, &read, &w->error), 2);
}

static void test_a_damaged_mark_is_an_error_that_names_the_remedy(void **state)
{
    struct world *w = *state;
    struct done read = { 0 };
    struct buf name = BUF_INIT(256);

    buf_addf(&name, "runs/%s/done.json", w->state.key);
    (void)temporary_file(&w->dir, name.p, "{\"output\":");
    assert_int_equal(state_done_read(&w->state, &w->arena, &read, &w->error), -1);
    assert_non_null(strstr(w->error.msg, "--fresh"));
    buf_release(&name);
}

static void test_only_old_finished_runs_are_pruned(void **state)
{
    struct world *w = *state;
    struct state unfinished;
    struct stat st;

    assert_int_equal(state_open(&unfinished, &w->arena, w->dir.path, STR("other"), &w->error), 0);
    struct buf spool = BUF_INIT(256);
    buf_addf(&spool, "runs/%s/spool.db", unfinished.key);
    (void)temporary_file(&w->dir, spool.p, "rows");
    buf_release(&spool);
    (void)temporary_file(&w->dir, "out.jsonl", "answers\n");
    struct done d = done_of(w);
    assert_int_equal(state_done_write(&w->state, &d, &w->error), 0);
    assert_int_equal(stat(arena_textf(&w->arena, "%s/%s", w->state.dir, "done.json"), &st), 0);
    int64_t written_us = (int64_t)st.st_mtim.tv_sec * 1000000;
    state_prune(w->dir.path, written_us + STATE_DAYS_MAX * DAY_US);
    assert_true(exists(w, "done.json"));
    state_prune(w->dir.path, written_us + STATE_DAYS_MAX * DAY_US + 1);
    assert_int_equal(access(w->state.dir, F_OK), -1);
    assert_int_equal(access(unfinished.dir, F_OK), 0);
}

/* As a process that runs the job has it. */
static void test_an_old_run_that_is_open_again_is_not_pruned(void **state)
{
    struct world *w = *state;

    (void)temporary_file(&w->dir, "out.jsonl", "answers\n");
    struct done d = done_of(w);
    assert_int_equal(state_done_write(&w->state, &d, &w->error), 0);
    int lock = sys_open_locked(arena_textf(&w->arena, "%s/%s", w->state.dir, "lock"), &w->error);
    assert_true(lock >= 0);
    state_prune(w->dir.path, INT64_MAX);
    assert_true(exists(w, "done.json"));
    assert_int_equal(close(lock), 0);
    state_prune(w->dir.path, INT64_MAX);
    assert_int_equal(access(w->state.dir, F_OK), -1);
}

/* A second process may wait for the lock while the first forgets a run: it must then hold the same
 * file's lock as all that come later, so the file stays. */
static void test_a_reset_forgets_the_run_but_keeps_its_lock(void **state)
{
    struct world *w = *state;
    struct done read = { 0 };

    (void)temporary_file(&w->dir, "out.jsonl", "answers\n");
    struct done d = done_of(w);
    struct spool *s = spool_open(w->state.dir, &w->error);
    assert_non_null(s);
    assert_int_equal(state_done_write(&w->state, &d, &w->error), 0);
    assert_int_equal(state_reset(&w->state, &w->error), 0);
    assert_int_equal(
        sys_open_locked(arena_textf(&w->arena, "%s/%s", w->state.dir, "lock"), &w->error), -1);
    assert_int_equal(w->error.code, ERROR_ABORTED);
    spool_close(s);
    assert_false(exists(w, "spool.db"));
    assert_false(exists(w, "spool.db-wal"));
    assert_int_equal(state_done_read(&w->state, &w->arena, &read, &w->error), 0);
}

static void test_what_a_run_into_a_pipe_leaves_is_pruned_too(void **state)
{
    struct world *w = *state;

    state_prune(w->dir.path, INT64_MAX);
    assert_int_equal(access(w->state.dir, F_OK), -1);
}

/* Fail each fallible step in turn: the file is the old one or the new one, never something else. */
static void test_a_small_file_is_written_whole_or_not_at_all(void **state)
{
    struct world *w = *state;
    const char *path = arena_textf(&w->arena, "%s/%s", w->dir.path, "small");
    int rc, fired, n = 0;

    assert_int_equal(state_file_write(path, STR("old"), &w->error), 0);
    do {
        struct buf text = BUF_INIT(64);
        fault_arm("*", n++, ENOSPC);
        rc = state_file_write(path, STR("new text"), &w->error);
        fired = fault_disarm();
        assert_int_equal(rc, fired ? -1 : 0);
        if (rc < 0)
            assert_int_equal(w->error.code, ERROR_RESOURCE_EXHAUSTED);
        assert_int_equal(sys_read_file(path, 64, &text, &w->error), 0);
        assert_true(str_eq_c(buf_str(&text), "old") || str_eq_c(buf_str(&text), "new text"));
        assert_int_equal(entries(w->dir.path), 2); /* "runs" and the file itself */
        buf_release(&text);
    } while (fired);
    assert_true(n > 3);
}

static void test_rates_of_each_model_are_kept_and_the_newest_counts(void **state)
{
    struct world *w = *state;
    struct rates slow = {
        .tokens_per_s = 10, .generated_per_line = 5, .lines_per_s = 2, .at_us = 1
    };
    struct rates fast = {
        .tokens_per_s = 99.5, .generated_per_line = 0, .lines_per_s = 7, .at_us = 2
    };
    struct rates read;

    assert_false(rates_load(w->dir.path, "a", &read));
    assert_int_equal(rates_save(w->dir.path, "a", &slow, &w->error), 0);
    assert_int_equal(rates_save(w->dir.path, "b \"q\"", &slow, &w->error), 0);
    assert_int_equal(rates_save(w->dir.path, "a", &fast, &w->error), 0);
    assert_true(rates_load(w->dir.path, "a", &read));
    assert_true(read.tokens_per_s > 99.4 && read.tokens_per_s < 99.6);
    assert_int_equal(read.at_us, 2);
    assert_true(rates_load(w->dir.path, "b \"q\"", &read));
    assert_true(read.tokens_per_s > 9.9 && read.tokens_per_s < 10.1);
    assert_false(rates_load(w->dir.path, "c", &read));
}

static void test_a_damaged_rates_file_counts_as_none(void **state)
{
    struct world *w = *state;
    struct rates read, r = { .tokens_per_s = 1, .lines_per_s = 1 };

    (void)temporary_file(&w->dir, "rates.json", "{\"a\":{\"tokens_per_s\":\"x\"}, broken");
    assert_false(rates_load(w->dir.path, "a", &read));
    assert_int_equal(rates_save(w->dir.path, "a", &r, &w->error), 0);
    assert_true(rates_load(w->dir.path, "a", &read));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_other_facts_are_another_folder_and_the_same_are_the_same),
        TEST(test_a_finished_run_is_read_back_and_its_spool_is_gone),
        TEST(test_an_output_that_changed_or_is_gone_is_noticed),
        TEST(test_a_damaged_mark_is_an_error_that_names_the_remedy),
        TEST(test_only_old_finished_runs_are_pruned),
        TEST(test_an_old_run_that_is_open_again_is_not_pruned),
        TEST(test_a_reset_forgets_the_run_but_keeps_its_lock),
        TEST(test_what_a_run_into_a_pipe_leaves_is_pruned_too),
        TEST(test_a_small_file_is_written_whole_or_not_at_all),
        TEST(test_rates_of_each_model_are_kept_and_the_newest_counts),
        TEST(test_a_damaged_rates_file_counts_as_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
