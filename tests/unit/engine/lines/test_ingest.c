/* Goal: every line is counted and judged once and told in order, whatever the number of threads, and
 * the shards cover the input. Method: small inputs with known faults; generated ones for cutting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/lines/cutter.h"
#include "base/mem.h"
#include "engine/lines/ingest.h"
#include "scratch.h"

#define GOOD "{\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"hello\"}]}]}}"
#define REPORTS_MAX 20000

/* The calls of on_bad. */
struct reports {
    uint32_t count;
    uint64_t line_no[REPORTS_MAX], offset[REPORTS_MAX];
    char path[VIOLATION_PATH_BYTES]; /* of the last */
    char message[VIOLATION_TEXT_BYTES];
};

struct fixture {
    struct scratch dir;
    struct input input;
    struct ingest_result result;
    struct reports reports;
    struct buf text;
};

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);

    scratch_make(&f->dir);
    f->text = BUF_INIT((size_t)256 * 1024 * 1024);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    ingest_result_release(&f->result);
    input_release(&f->input);
    buf_release(&f->text);
    scratch_remove(&f->dir);
    mem_free(f);
    return 0;
}

static void on_bad(void *arg, const struct input *in, const struct shard *s, const struct line *l,
                   const struct violations *bad)
{
    struct reports *r = arg;

    (void)in;
    (void)s;
    assert_true(r->count < REPORTS_MAX);
    assert_true(bad->count > 0);
    r->line_no[r->count] = l->line_no;
    r->offset[r->count++] = l->offset;
    memcpy(r->path, bad->item[0].path, sizeof r->path);
    memcpy(r->message, bad->item[0].message, sizeof r->message);
}

static void open_input(struct fixture *f)
{
    char path[SCRATCH_PATH_BYTES];
    const char *name = scratch_path(&f->dir, "in.jsonl", path);
    struct error e = { 0 };

    scratch_write(&f->dir, "in.jsonl", f->text.p ? f->text.p : "", f->text.len);
    assert_int_equal(input_open(&f->input, &name, 1, f->dir.dir, &e), 0);
}

static int ingest(struct fixture *f, struct ingest_options o, struct error *e)
{
    ingest_result_release(&f->result);
    f->reports.count = 0;
    o.on_bad = on_bad;
    o.arg = &f->reports;
    return ingest_run(&f->input, &o, &f->result, e);
}

static void ingest_well(struct fixture *f, struct ingest_options o)
{
    struct error e = { 0 };

    assert_int_equal(ingest(f, o, &e), 0);
}

/* The shards follow each other without a gap, in bytes, line numbers and indexes. */
static void assert_covered(const struct fixture *f, uint64_t begin)
{
    const struct shard_list *list = &f->result.shards;
    uint64_t offset = begin, line_no = 1, index = 0;

    for (size_t i = 0; i < list->count; i++) {
        const struct shard *s = &list->item[i];
        assert_int_equal(s->offset, offset);
        assert_int_equal(s->line_no, line_no);
        assert_int_equal(s->index, index);
        assert_true(s->bytes > 0);
        assert_true(s->line_count <= SHARD_LINES_MAX);
        offset += s->bytes;
        line_no = s->line_no_end;
        index += s->line_count;
    }
    assert_int_equal(offset, f->text.len);
    assert_int_equal(index, f->result.lines);
}

static void test_lines_are_counted_and_bad_ones_told_with_their_places(void **state)
{
    struct fixture *f = *state;

    buf_add_c(&f->text, GOOD "\n\n  \nnonsense\r\n" GOOD "\n{\"request\":{}}\n" GOOD);
    open_input(f);
    ingest_well(f, (struct ingest_options){ .threads = 1 });
    assert_int_equal(f->result.lines, 5);
    assert_int_equal(f->result.bad, 2);
    assert_int_equal(f->reports.count, 2);
    assert_int_equal(f->reports.line_no[0], 4);
    assert_int_equal(f->reports.offset[0], sizeof GOOD + 4);
    assert_int_equal(f->reports.line_no[1], 6);
    assert_int_equal(f->result.text_bytes, 3 * 5);
    assert_int_equal(f->result.output_unset, 3);
    assert_covered(f, 0);
}

static void test_an_empty_input_has_no_lines(void **state)
{
    struct fixture *f = *state;
    static const char *const texts[] = { "", "\n", "\xEF\xBB\xBF", "\xEF\xBB\xBF\n", " \r\n\t\n" };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        buf_clear(&f->text);
        buf_add_c(&f->text, texts[i]);
        input_release(&f->input);
        open_input(f);
        ingest_well(f, (struct ingest_options){ 0 });
        assert_int_equal(f->result.lines, 0);
        assert_int_equal(f->result.bad, 0);
    }
}

static void test_a_byte_order_mark_is_no_part_of_the_first_line(void **state)
{
    struct fixture *f = *state;

    buf_add_c(&f->text, "\xEF\xBB\xBF" GOOD "\n");
    open_input(f);
    ingest_well(f, (struct ingest_options){ 0 });
    assert_int_equal(f->result.lines, 1);
    assert_int_equal(f->result.bad, 0);
    assert_covered(f, 3);
}

/* Lines of many lengths, some empty, every thirteenth bad. */
static void generate(struct fixture *f, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (i % 11 == 5)
            buf_add_char(&f->text, '\n');
        if (i % 13 == 7) {
            buf_addf(&f->text, "bad %u\n", i);
            continue;
        }
        buf_addf(&f->text, "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"%0*u\"}]}]}\n",
                 (int)(1 + i * 7919 % 600), i);
    }
}

static void test_any_number_of_threads_finds_the_same(void **state)
{
    struct fixture *f = *state;
    struct ingest_result one;
    static struct reports told;

    generate(f, 30000);
    open_input(f);
    ingest_well(f, (struct ingest_options){ .threads = 1 });
    assert_covered(f, 0);
    assert_int_equal(f->result.lines, 30000);
    assert_int_equal(f->result.bad, f->reports.count);
    one = f->result;
    told = f->reports;
    f->result = (struct ingest_result){ 0 };
    for (uint32_t threads = 2; threads <= 5; threads++) {
        ingest_well(f, (struct ingest_options){ .threads = threads });
        assert_int_equal(f->result.shards.count, one.shards.count);
        assert_memory_equal(f->result.shards.item, one.shards.item,
                            one.shards.count * sizeof *one.shards.item);
        assert_int_equal(f->result.lines, one.lines);
        assert_int_equal(f->result.bad, one.bad);
        assert_int_equal(f->result.text_bytes, one.text_bytes);
        assert_memory_equal(f->result.digest, one.digest, sizeof one.digest);
        assert_int_equal(f->reports.count, told.count);
        assert_memory_equal(f->reports.line_no, told.line_no, told.count * sizeof told.line_no[0]);
    }
    ingest_result_release(&one);
}

/* The ends of shards depend on the bytes alone: any size of the first read gives the same ones. */
static void test_shards_do_not_depend_on_how_much_was_read_at_once(void **state)
{
    struct fixture *f = *state;
    static const size_t guesses[] = { 1, 100, 4096, 100000, 319999, SHARD_BYTES_MAX };
    const struct shard_list *list = &f->result.shards;

    generate(f, 5000);
    open_input(f);
    ingest_well(f, (struct ingest_options){ .threads = 1 });
    for (size_t g = 0; g < ARRAY_LEN(guesses); g++) {
        struct cutter c;
        struct piece piece = { 0 };
        struct shard s;
        struct error e = { 0 };
        size_t n = 0;
        cutter_init(&c, &f->input, 0, 0);
        for (c.guess = guesses[g]; cutter_next(&c, &piece, &s, &e) == 1; c.guess = guesses[g]) {
            assert_int_equal(s.bytes, list->item[n].bytes);
            assert_int_equal(s.line_count, list->item[n++].line_count);
        }
        assert_int_equal(n, list->count);
        piece_release(&piece);
    }
}

static void test_a_changed_byte_changes_the_jobs_digest(void **state)
{
    struct fixture *f = *state;
    uint64_t before[2];

    generate(f, 100);
    open_input(f);
    ingest_well(f, (struct ingest_options){ 0 });
    memcpy(before, f->result.digest, sizeof before);
    input_release(&f->input);
    f->text.p[f->text.len / 2] ^= 1;
    open_input(f);
    ingest_well(f, (struct ingest_options){ 0 });
    assert_memory_not_equal(before, f->result.digest, sizeof before);
}

static void test_a_limit_ends_the_input_after_so_many_lines(void **state)
{
    struct fixture *f = *state;
    static const uint64_t limits[] = { 1, 6, 7, 999, 1000, 1001, 2000, 2999, 3000, 3001 };

    generate(f, 3000);
    open_input(f);
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        uint64_t want = limits[i] < 3000 ? limits[i] : 3000;
        ingest_well(f, (struct ingest_options){ .limit = limits[i], .threads = 3 });
        assert_int_equal(f->result.lines, want);
        /* Bad are those whose index leaves 7 after division by 13. */
        assert_int_equal(f->result.bad, (want + 5) / 13);
    }
}

static void test_more_lines_than_allowed_are_refused(void **state)
{
    struct fixture *f = *state;
    struct error e = { 0 };

    generate(f, 2000);
    open_input(f);
    ingest_well(f, (struct ingest_options){ .lines_max = 2000 });
    assert_int_equal(ingest(f, (struct ingest_options){ .lines_max = 1999 }, &e), -1);
    assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
    assert_int_equal(f->result.shards.count, 0);
}

static void test_a_stop_ends_it_as_cancelled(void **state)
{
    struct fixture *f = *state;
    atomic_bool stop = true;
    struct error e = { 0 };

    generate(f, 10);
    open_input(f);
    assert_int_equal(ingest(f, (struct ingest_options){ .stop = &stop }, &e), -1);
    assert_int_equal(e.code, ERROR_CANCELLED);
}

/* A line just at the limit, then one byte over it, then far over it. */
static void test_a_line_over_the_limit_is_one_bad_line(void **state)
{
    struct fixture *f = *state;
    static const size_t extra[] = { 0, 1, 2, 1000000 };

    for (size_t i = 0; i < ARRAY_LEN(extra); i++) {
        size_t len = LINE_BYTES_MAX + extra[i];
        char *line = mem_alloc(len);
        memset(line, 'x', len);
        buf_clear(&f->text);
        buf_add_c(&f->text, GOOD "\n");
        buf_add(&f->text, line, len);
        buf_add_c(&f->text, "\n" GOOD "\n");
        mem_free(line);
        input_release(&f->input);
        open_input(f);
        ingest_well(f, (struct ingest_options){ .threads = 2 });
        assert_int_equal(f->result.lines, 3);
        assert_int_equal(f->result.bad, 1);
        assert_int_equal(f->reports.line_no[0], 2);
        assert_int_equal(strcmp(f->reports.message, "The line is over 32 MiB.") == 0, extra[i] > 0);
        assert_covered(f, 0);
    }
}

static bool refuse(struct predictor *p, const struct request *r, struct violation *why)
{
    (void)p;
    (void)r;
    (void)snprintf(why->path, sizeof why->path, "contents[0].parts[0].text");
    (void)snprintf(why->message, sizeof why->message, "No.");
    return false;
}

static void test_what_the_model_refuses_is_placed_in_the_line(void **state)
{
    (void)state;
    const struct predictor_ops ops = { .accepts = refuse };
    struct predictor picky = { .ops = &ops };
    static const struct {
        const char *line, *path;
    } cases[] = {
        { GOOD, "request.contents[0].parts[0].text" },
        { "{\"contents\":[{\"parts\":[{\"text\":\"hello\"}]}]}", "contents[0].parts[0].text" },
        { "  {\"contents\":[{\"parts\":[{\"text\":\"hello\"}]}]}", "contents[0].parts[0].text" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        static struct violations bad;
        struct arena a = { 0 };
        struct input_line in;
        static const struct line_rules plain = { .from_output = false };
        struct str text = str_of(cases[i].line);
        bad.count = 0;
        assert_false(ingest_line(&a, text, &plain, &picky, &in, &bad));
        assert_int_equal(bad.count, 1);
        assert_string_equal(bad.item[0].path, cases[i].path);
        assert_int_equal(bad.item[0].offset, str_find(text, STR("\"hello\"")));
        arena_release(&a);
    }
}

static void test_an_error_says_path_message_and_remedy(void **state)
{
    (void)state;
    static struct violations bad;
    struct error e = { 0 };
    struct violation *v = violations_add(&bad);

    *v = (struct violation){ .path = "a.b", .message = "It is wrong.", .remedy = "Mend it." };
    ingest_error(&bad, &e);
    assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
    assert_string_equal(e.msg, "a.b: It is wrong. Mend it.");
    v->path[0] = '\0';
    ingest_error(&bad, &e);
    assert_string_equal(e.msg, "It is wrong. Mend it.");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lines_are_counted_and_bad_ones_told_with_their_places),
        TEST(test_an_empty_input_has_no_lines),
        TEST(test_a_byte_order_mark_is_no_part_of_the_first_line),
        TEST(test_any_number_of_threads_finds_the_same),
        TEST(test_shards_do_not_depend_on_how_much_was_read_at_once),
        TEST(test_a_changed_byte_changes_the_jobs_digest),
        TEST(test_a_limit_ends_the_input_after_so_many_lines),
        TEST(test_more_lines_than_allowed_are_refused),
        TEST(test_a_stop_ends_it_as_cancelled),
        TEST(test_a_line_over_the_limit_is_one_bad_line),
        TEST(test_what_the_model_refuses_is_placed_in_the_line),
        TEST(test_an_error_says_path_message_and_remedy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
