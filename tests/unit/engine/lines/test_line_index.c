/* Goal: a loaded index says what ingest found, and anything but a whole one is refused. Method: indexes of
 * one input, torn, damaged and made under failing calls; the output with and without one is the same. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/mem.h"
#include "engine/lines/ingest.h"
#include "engine/lines/line_index.h"
#include "engine/lines/render.h"
#include "scratch.h"

#define INPUT_MAX ((size_t)64 * 1024 * 1024)
#define GOOD                                                                                       \
    "{\"key\":%u,\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"q\"}]}],"    \
    "\"generationConfig\":{\"temperature\":0}},\"more\":[%u]}\n"

struct fixture {
    struct scratch dir;
    struct input input;
    struct ingest_result made, loaded;
    char path[SCRATCH_PATH_BYTES];
    struct buf bytes; /* of the index */
};

/* Lines of every kind, in two shards. */
static void fill(struct fixture *f)
{
    struct buf text = BUF_INIT(INPUT_MAX);
    char path[SCRATCH_PATH_BYTES];
    const char *name = scratch_path(&f->dir, "in.jsonl", path);
    struct error e = { 0 };

    for (unsigned i = 0; i < SHARD_LINES_MAX; i++)
        buf_addf(&text, GOOD, i, i);
    buf_add_c(&text, "no json\n\n [1]\n{\"request\":{\"contents\":[]},\"key\":1}\n{}\n");
    buf_add_c(&text, "{\"key\":2,\"request\":7}\n");
    buf_add_c(&text, " {\"contents\":[{\"parts\":[{\"text\":\"bare\"}]}]} \n");
    buf_add_c(&text, "{\"a\" : 1 , \"request\" : {\"contents\":{\"parts\":{\"text\":\"}\"}}} }");
    scratch_write(&f->dir, "in.jsonl", text.p, text.len);
    buf_release(&text);
    assert_int_equal(input_open(&f->input, &name, 1, f->dir.dir, &e), 0);
    (void)scratch_path(&f->dir, "lines.index", f->path);
}

static void ingest(struct fixture *f)
{
    const struct ingest_options o = { .threads = 2, .index_path = f->path };
    struct error e = { 0 };

    ingest_result_release(&f->made);
    assert_int_equal(ingest_run(&f->input, &o, &f->made, &e), 0);
}

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);

    scratch_make(&f->dir);
    fill(f);
    ingest(f);
    scratch_read(&f->dir, "lines.index", &f->bytes);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    ingest_result_release(&f->made);
    ingest_result_release(&f->loaded);
    input_release(&f->input);
    buf_release(&f->bytes);
    scratch_remove(&f->dir);
    mem_free(f);
    return 0;
}

static bool load(struct fixture *f)
{
    ingest_result_release(&f->loaded);
    return line_index_load(f->path, &f->input, &f->loaded);
}

/* The first len bytes of the index, with one of them changed when at is not SIZE_MAX. */
static void damage(struct fixture *f, size_t len, size_t at)
{
    if (at != SIZE_MAX)
        f->bytes.p[at] ^= 1;
    scratch_write(&f->dir, "lines.index", f->bytes.p, len);
    if (at != SIZE_MAX)
        f->bytes.p[at] ^= 1;
}

/* The rows of all lines, each with the same answer or the same error. */
static void render_all(struct fixture *f, const struct ingest_result *job, bool answered,
                       struct buf *out)
{
    static const struct line_rules rules = { 0 };
    char path[SCRATCH_PATH_BYTES];
    struct error e = { 0 };
    int more = 1;

    assert_int_equal(sys_mkdirs(scratch_path(&f->dir, "state", path), &e), 0);
    struct spool *spool = spool_open(path, &e);
    assert_non_null(spool);
    for (uint64_t i = 0; i < job->lines; i++) {
        bool good = answered && (i < SHARD_LINES_MAX || i + 2 >= job->lines);
        const struct spool_row row = { .index = i,
                                       .outcome = good ? OUTCOME_SUCCEEDED : OUTCOME_FAILED,
                                       .status = good ? (struct str){ 0 } : STR("Bad"),
                                       .response = STR("{}") };
        assert_int_equal(spool_put(spool, &row, &e), 0);
    }
    assert_int_equal(spool_commit(spool, &e), 0);
    struct render *r = render_open(scratch_path(&f->dir, "out.jsonl", path), &f->input, job, &rules,
                                   ROW_VERTEX, &e);
    assert_non_null(r);
    while (more == 1)
        more = render_advance(r, spool, &e);
    assert_int_equal(more, 0);
    assert_int_equal(render_finish(r, &e), 0);
    render_close(r);
    spool_close(spool);
    assert_int_equal(sys_remove_all(scratch_path(&f->dir, "state", path), &e), 0);
    scratch_read(&f->dir, "out.jsonl", out);
}

static void assert_same_output(struct fixture *f, const struct ingest_result *job)
{
    struct ingest_result bare = *job;

    bare.index = NULL;
    for (int answered = 0; answered < 2; answered++) {
        struct buf with, without;
        render_all(f, job, answered, &with);
        render_all(f, &bare, answered, &without);
        assert_true(str_eq(buf_str(&with), buf_str(&without)));
        buf_release(&with);
        buf_release(&without);
    }
}

static void test_a_loaded_index_says_what_ingest_found(void **state)
{
    struct fixture *f = *state;
    const struct ingest_result *a = &f->made, *b = &f->loaded;
    const uint64_t digest[2] = { 7, 7 };

    assert_true(load(f));
    assert_int_equal(a->lines, SHARD_LINES_MAX + 7);
    assert_int_equal(a->bad, 5);
    assert_int_equal(b->lines, a->lines);
    assert_int_equal(b->bad, a->bad);
    assert_int_equal(b->bytes, a->bytes);
    assert_int_equal(b->text_bytes, a->text_bytes);
    assert_int_equal(b->output_unset, a->output_unset);
    assert_memory_equal(b->digest, a->digest, sizeof a->digest);
    assert_int_equal(b->shards.count, a->shards.count);
    for (size_t i = 0; i < a->shards.count; i++)
        assert_memory_equal(b->shards.item[i].digest, a->shards.item[i].digest, 16);
    assert_int_equal(repeats_maybe(b->repeats, digest), repeats_maybe(a->repeats, digest));
    assert_false(scratch_has(&f->dir, "lines.index.tmp"));
}

static void test_the_output_is_the_same_with_an_index_and_without(void **state)
{
    struct fixture *f = *state;

    assert_same_output(f, &f->made);
    assert_true(load(f));
    assert_same_output(f, &f->loaded);
}

static void test_an_index_in_memory_or_without_a_name_serves_as_well(void **state)
{
    struct fixture *f = *state;
    const struct ingest_options o = { .threads = 2, .index_folder = f->dir.dir };
    struct error e = { 0 };

    assert_int_equal(ingest_run(&f->input, &o, &f->loaded, &e), 0);
    assert_non_null(f->loaded.index);
    assert_same_output(f, &f->loaded);
}

/* Every length near the ends of the parts, and many others. */
static void test_a_torn_index_is_not_loaded(void **state)
{
    struct fixture *f = *state;
    size_t len = f->bytes.len;

    for (size_t cut = 1; cut <= len; cut += cut < 800 ? 7 : 97) {
        damage(f, len - cut, SIZE_MAX);
        assert_false(load(f));
    }
    damage(f, len, SIZE_MAX);
    assert_true(load(f));
}

/* Damaged notes make their lines be parsed again; damage anywhere else refuses the index. */
static void test_a_damaged_index_never_changes_the_output(void **state)
{
    struct fixture *f = *state;
    size_t notes =
        (size_t)f->made.lines * sizeof(struct line_note) + f->made.shards.count * sizeof(uint64_t);

    for (size_t at = notes; at < f->bytes.len; at += 41) {
        damage(f, f->bytes.len, at);
        assert_false(load(f));
    }
    for (size_t at = 0; at < notes; at += notes / 3) {
        damage(f, f->bytes.len, at);
        assert_true(load(f));
        assert_same_output(f, &f->loaded);
    }
}

static void test_an_index_of_another_input_is_not_loaded(void **state)
{
    struct fixture *f = *state;
    char path[SCRATCH_PATH_BYTES];
    const char *name = scratch_path(&f->dir, "other.jsonl", path);
    struct error e = { 0 };

    input_release(&f->input);
    scratch_write(&f->dir, "other.jsonl", "{}\n", 3);
    assert_int_equal(input_open(&f->input, &name, 1, f->dir.dir, &e), 0);
    assert_false(load(f));
}

/* A disk that is full or broken costs time later, and nothing else. */
static void test_a_failing_call_costs_the_index_and_not_the_job(void **state)
{
    struct fixture *f = *state;
    static const char *const points[] = { "sys.open", "sys.write", "sys.sync", "sys.rename" };
    struct error e = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        bool fired = true;
        for (int n = 0; fired; n++) {
            assert_int_equal(sys_remove_all(f->path, &e), 0);
            fault_arm(points[i], n, ENOSPC);
            ingest(f);
            fired = fault_disarm();
            assert_int_equal(f->made.lines, SHARD_LINES_MAX + 7);
            if (!f->made.index && scratch_has(&f->dir, "lines.index"))
                assert_true(load(f)); /* only the folder's sync failed */
            assert_true(f->made.index || fired);
            assert_false(scratch_has(&f->dir, "lines.index.tmp"));
        }
    }
}

/* Goal: ten equal lines at temperature 1 are ten keys, in memory and in a file, whatever the threads. */
static void check_ordinals(struct fixture *f, const struct ingest_options *o)
{
    struct line_note note[SHARD_LINES_MAX];
    struct error e = { 0 };
    uint32_t sampled = 0, fixed = 0;

    ingest_result_release(&f->made);
    assert_int_equal(ingest_run(&f->input, o, &f->made, &e), 0);
    for (size_t i = 0; i < f->made.shards.count; i++) {
        const struct shard *s = &f->made.shards.item[i];
        line_index_read(f->made.index, i, s, note);
        for (uint32_t n = 0; n < s->line_count; n++) {
            assert_true(note[n].flags & NOTE_KEYED);
            if ((s->index + n) % 3 == 0)
                assert_int_equal(note[n].ordinal, sampled++);
            else
                assert_int_equal(note[n].ordinal, 0);
            fixed += (note[n].flags & NOTE_DETERMINISTIC) != 0;
        }
    }
    assert_int_equal(sampled, 1000);
    assert_int_equal(fixed, 1000);
}

static void test_equal_lines_that_are_sampled_are_numbered_in_input_order(void **state)
{
    struct fixture *f = *state;
    struct buf text = BUF_INIT(INPUT_MAX);
    char path[SCRATCH_PATH_BYTES];
    const char *name = scratch_path(&f->dir, "in.jsonl", path);
    struct error e = { 0 };

    for (unsigned i = 0; i < 3000; i++)
        if (i % 3 == 0)
            buf_add_c(&text, "{\"contents\":[{\"parts\":[{\"text\":\"same\"}]}]}\n");
        else
            buf_addf(&text,
                     "{\"contents\":[{\"parts\":[{\"text\":\"%u\"}]}]"
                     ",\"generationConfig\":{\"temperature\":%u}}\n",
                     i % 3 == 1 ? 0 : i, i % 3 - 1);
    scratch_write(&f->dir, "in.jsonl", text.p, text.len);
    buf_release(&text);
    input_release(&f->input);
    assert_int_equal(input_open(&f->input, &name, 1, f->dir.dir, &e), 0);
    check_ordinals(f,
                   &(struct ingest_options){ .threads = 3, .index_path = f->path, .keys = true });
    check_ordinals(
        f, &(struct ingest_options){ .threads = 1, .index_folder = f->dir.dir, .keys = true });
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_loaded_index_says_what_ingest_found),
        TEST(test_the_output_is_the_same_with_an_index_and_without),
        TEST(test_an_index_in_memory_or_without_a_name_serves_as_well),
        TEST(test_a_torn_index_is_not_loaded),
        TEST(test_a_damaged_index_never_changes_the_output),
        TEST(test_an_index_of_another_input_is_not_loaded),
        TEST(test_a_failing_call_costs_the_index_and_not_the_job),
        TEST(test_equal_lines_that_are_sampled_are_numbered_in_input_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
