/* Goal: a kept answer is found by its key for as long as it may be, and nothing that goes wrong gives a wrong
 * one. Method: finished spools in a scratch folder, indexes of many sizes, torn files, failing calls. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/random.h"
#include "scratch.h"
#include "store/kept/kept.h"

#define DAY_US ((int64_t)86400 * 1000000)
#define NOW_US (1000 * DAY_US)

static const uint64_t model[2] = { 1, 2 }, other_model[2] = { 1, 3 };

struct fixture {
    struct scratch dir;
    char folder[SCRATCH_PATH_BYTES], spool[SCRATCH_PATH_BYTES];
};

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);

    scratch_make(&f->dir);
    (void)scratch_path(&f->dir, "kept", f->folder);
    (void)scratch_path(&f->dir, "spool.db", f->spool);
    scratch_write(&f->dir, "spool.db", "answers", 7);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    scratch_remove(&f->dir);
    mem_free(f);
    return 0;
}

/* The i-th key of a seed. */
static struct kept_entry entry_of(uint64_t seed, uint64_t i)
{
    uint64_t s = seed * 1000003 + i;
    struct kept_entry e = { .index = i, .answered_us = NOW_US - (int64_t)i, .tokens = 7 };

    e.key[0] = random_next(&s);
    e.key[1] = random_next(&s);
    return e;
}

static int keep(struct fixture *f, uint64_t seed, uint64_t count, int64_t at_us, struct error *e)
{
    struct kept_writer *w = kept_begin(f->folder, e);
    int rc = w ? 0 : -1;

    for (uint64_t i = 0; rc == 0 && i < count; i++) {
        struct kept_entry entry = entry_of(seed, i);
        rc = kept_add(w, &entry, e);
    }
    if (rc == 0)
        rc = kept_finish(w, f->spool, model, at_us, STR("{\"n\":1}"), e);
    kept_writer_free(w);
    return rc;
}

static void keep_well(struct fixture *f, uint64_t seed, uint64_t count, int64_t at_us)
{
    struct error e = { 0 };

    assert_int_equal(keep(f, seed, count, at_us, &e), 0);
}

static struct kept *open_kept(struct fixture *f, const uint64_t of[2], int64_t oldest_us)
{
    struct error e = { .code = ERROR_OK };
    struct kept *k = kept_open(f->folder, of, oldest_us, &e);

    assert_int_equal(e.code, ERROR_OK);
    return k;
}

static uint32_t count_runs(struct fixture *f)
{
    struct arena a = { 0 };
    struct kept_run *run;
    struct error e = { 0 };
    uint32_t count;

    assert_int_equal(kept_list(f->folder, &a, &run, &count, &e), 0);
    arena_release(&a);
    return count;
}

static void test_each_answer_is_found_by_its_key_and_no_other_is(void **state)
{
    static const uint64_t counts[] = { 1, 2, 24, 25, 26, 1023, 1024, 1025, 70000 };
    struct fixture *f = *state;

    for (size_t c = 0; c < ARRAY_LEN(counts); c++)
        keep_well(f, c, counts[c], NOW_US);
    struct kept *k = open_kept(f, model, 0);
    for (size_t c = 0; c < ARRAY_LEN(counts); c++) {
        for (uint64_t i = 0; i < counts[c]; i++) {
            struct kept_entry entry = entry_of(c, i);
            struct kept_answer a;
            assert_true(kept_find(k, entry.key, &a));
            assert_memory_equal(&a.entry, &entry, sizeof entry);
            assert_int_equal(access(kept_path(a.file), R_OK), 0);
        }
    }
    struct kept_entry none = entry_of(99, 0);
    struct kept_answer a;
    assert_false(kept_find(k, none.key, &a));
    kept_close(k);
}

static void test_the_newest_answer_of_a_key_is_given_and_a_dropped_file_gives_none(void **state)
{
    struct fixture *f = *state;
    struct kept_entry entry = entry_of(5, 0);
    struct kept_answer first, second;

    keep_well(f, 5, 1, NOW_US - DAY_US);
    keep_well(f, 5, 1, NOW_US);
    struct kept *k = open_kept(f, model, 0);
    assert_true(kept_find(k, entry.key, &first));
    kept_drop(first.file);
    assert_true(kept_find(k, entry.key, &second));
    assert_ptr_not_equal(first.file, second.file);
    kept_drop(second.file);
    assert_false(kept_find(k, entry.key, &second));
    kept_close(k);
}

static void test_answers_of_another_model_or_too_old_ones_are_not_found(void **state)
{
    struct fixture *f = *state;
    struct kept_entry young = entry_of(5, 0), old = entry_of(5, 9);
    struct kept_answer a;

    assert_null(open_kept(f, model, 0));
    keep_well(f, 5, 10, NOW_US);
    assert_null(open_kept(f, other_model, 0));
    struct kept *k = open_kept(f, model, NOW_US - 5);
    assert_true(kept_find(k, young.key, &a));
    assert_false(kept_find(k, old.key, &a));
    kept_close(k);
}

static void test_a_run_without_answers_leaves_nothing(void **state)
{
    struct fixture *f = *state;

    keep_well(f, 1, 0, NOW_US);
    assert_int_equal(count_runs(f), 0);
    assert_int_equal(rmdir(f->folder), 0); /* it is empty */
}

static void test_old_runs_go_after_their_time_and_the_oldest_when_all_are_too_large(void **state)
{
    struct fixture *f = *state;
    struct error e = { 0 };
    struct kept_run *run;
    struct arena a = { 0 };
    uint32_t removed, count;

    for (int i = 0; i < 6; i++)
        keep_well(f, (uint64_t)i, 100, NOW_US - i * DAY_US);
    assert_int_equal(kept_prune(f->folder, UINT64_MAX, NOW_US - 4 * DAY_US, NOW_US, &removed, &e),
                     0);
    assert_int_equal(removed, 1);
    assert_int_equal(kept_list(f->folder, &a, &run, &count, &e), 0);
    assert_int_equal(count, 5);
    assert_int_equal(run[0].finished_us, NOW_US);
    assert_int_equal(run[0].answers, 100);
    assert_true(str_eq_c(run[0].about, "{\"n\":1}"));
    assert_int_equal(kept_prune(f->folder, run[0].bytes * 2, 0, NOW_US, &removed, &e), 0);
    assert_int_equal(removed, 3);
    assert_int_equal(count_runs(f), 2);
    assert_int_equal(kept_prune(f->folder, 0, 0, NOW_US, &removed, &e), 0);
    assert_int_equal(removed, 2);
    assert_int_equal(rmdir(f->folder), 0);
    arena_release(&a);
}

static void test_halves_are_removed_but_not_those_of_a_writer_at_work(void **state)
{
    struct fixture *f = *state;
    struct error e = { 0 };
    char path[SCRATCH_PATH_BYTES + 64];
    struct kept_writer *w = kept_begin(f->folder, &e);
    struct kept_entry entry = entry_of(1, 1);

    assert_int_equal(kept_add(w, &entry, &e), 0);
    scratch_write(&f->dir, "kept/00000000000000aa.db", "x", 1);
    scratch_write(&f->dir, "kept/00000000000000bb.keys", "x", 1);
    scratch_write(&f->dir, "kept/00000000000000cc.tmp", "x", 1);
    assert_int_equal(kept_prune(f->folder, UINT64_MAX, 0, NOW_US, NULL, &e), 0);
    assert_false(scratch_has(&f->dir, "kept/00000000000000bb.keys"));
    assert_false(scratch_has(&f->dir, "kept/00000000000000cc.tmp"));
    /* Its .keys may be about to come, until an hour has passed. */
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/00000000000000aa.db", f->folder);
    assert_int_equal(stat(path, &st), 0);
    int64_t made = (int64_t)st.st_ctim.tv_sec * 1000000;
    assert_int_equal(kept_prune(f->folder, UINT64_MAX, 0, made + 3599000000, NULL, &e), 0);
    assert_true(scratch_has(&f->dir, "kept/00000000000000aa.db"));
    assert_int_equal(kept_prune(f->folder, UINT64_MAX, 0, made + 3602000000, NULL, &e), 0);
    assert_false(scratch_has(&f->dir, "kept/00000000000000aa.db"));
    assert_int_equal(kept_finish(w, f->spool, model, NOW_US, STR("{}"), &e), 0);
    kept_writer_free(w);
    assert_int_equal(count_runs(f), 1);
}

/* Every call of the keeping fails once: then all is kept or nothing is, and the next attempt keeps it. */
static void test_keeping_is_all_or_nothing_under_any_fault(void **state)
{
    struct fixture *f = *state;

    for (int n = 0;; n++) {
        struct error e = { 0 };
        uint32_t before = count_runs(f);
        fault_arm("*", n, ENOSPC);
        int rc = keep(f, (uint64_t)n, 1500, NOW_US, &e);
        int fired = fault_disarm();
        /* A failure after the rename, of the folder's sync, has kept it. */
        assert_true(count_runs(f) - before <= 1);
        assert_true(rc < 0 || count_runs(f) == before + 1);
        assert_int_equal(kept_prune(f->folder, UINT64_MAX, 0, NOW_US * 100, NULL, &e), 0);
        if (!fired)
            break;
    }
    struct kept *k = open_kept(f, model, 0);
    assert_non_null(k);
    kept_close(k);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_answer_is_found_by_its_key_and_no_other_is),
        TEST(test_the_newest_answer_of_a_key_is_given_and_a_dropped_file_gives_none),
        TEST(test_answers_of_another_model_or_too_old_ones_are_not_found),
        TEST(test_a_run_without_answers_leaves_nothing),
        TEST(test_old_runs_go_after_their_time_and_the_oldest_when_all_are_too_large),
        TEST(test_halves_are_removed_but_not_those_of_a_writer_at_work),
        TEST(test_keeping_is_all_or_nothing_under_any_fault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
