/* The live display: it never wraps, and leaves out the least important first. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "app/cli/progress.h"
#include "base/mem.h"
#include "base/clock.h"

static const struct terminal ascii = { .live = false };
static const struct terminal utf8 = { .utf8 = true };
static const struct terminal colored = { .color = true };

static struct progress half_done(void)
{
    return (struct progress){
        .counters = { .total = 1000,
                      .succeeded = 497,
                      .failed = 3,
                      .cost_nano = 12300000,
                      .duplicate_tokens = 1000 },
        .in_flight = 64,
        .retries = 12,
        .predictor = { .prompt_tokens = 60000, .generated_tokens = 30000, .reused_tokens = 20000 },
        .elapsed_ns = 100 * NS_PER_S,
    };
}

static struct progress_view view_of(const struct terminal *c)
{
    return (struct progress_view){
        .terminal = c,
        .title = "gemini-2.5-flash -> answers.jsonl",
        .priced = true,
        .speed = { .lines = 5, .prompt = 600, .generated = 300 },
    };
}

/* Columns of the widest line; escape sequences and the bytes that continue a character have none.
 * */
static size_t widest(struct str text)
{
    size_t most = 0, columns = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] == '\033') {
            while (i < text.len && text.p[i] != 'm' && text.p[i] != 'K')
                i++;
            continue;
        }
        if (text.p[i] == '\r' || text.p[i] == '\n')
            columns = 0;
        else if (((unsigned char)text.p[i] & 0xC0) != 0x80)
            columns++;
        most = columns > most ? columns : most;
    }
    return most;
}

static void test_no_line_reaches_the_last_column_at_any_width(void **state)
{
    static const struct terminal *const terminals[] = { &ascii, &utf8, &colored };
    struct progress p = half_done();

    (void)state;
    for (size_t c = 0; c < ARRAY_LEN(terminals); c++) {
        struct progress_view v = view_of(terminals[c]);
        for (uint32_t width = TERMINAL_WIDTH_MIN; width <= TERMINAL_WIDTH_MAX; width++) {
            struct buf out = BUF_INIT(PROGRESS_BYTES_MAX);
            progress_draw(&v, &p, width, &out);
            assert_true(buf_ok(&out));
            if (widest(buf_str(&out)) >= width)
                fail_msg("%zu columns of %u:\n%s", widest(buf_str(&out)), width, out.p);
            buf_release(&out);
        }
    }
}

static void assert_draws(uint32_t width, const char *const lines[PROGRESS_LINES])
{
    struct progress p = half_done();
    struct progress_view v = view_of(&ascii);
    struct buf out = BUF_INIT(PROGRESS_BYTES_MAX), wanted = BUF_INIT(PROGRESS_BYTES_MAX);

    progress_draw(&v, &p, width, &out);
    for (size_t i = 0; i < PROGRESS_LINES; i++)
        buf_addf(&wanted, "%s%s", i ? "\r\n" : "\r", lines[i]);
    assert_string_equal(out.p, wanted.p);
    buf_release(&out);
    buf_release(&wanted);
}

static void test_at_80_columns_all_is_there(void **state)
{
    (void)state;
    assert_draws(80, (const char *const[]){
                         "########################.........................  50%  500/1,000  "
                         "ETA 1 m 40 s",
                         "5.0 req/s  600 prompt tok/s  300 generated tok/s  64 in flight",
                         "3 failed  12 retried  $0.01 batch price  21,000 tokens reused",
                     });
}

static void test_at_40_columns_the_most_important_stays(void **state)
{
    (void)state;
    assert_draws(40, (const char *const[]){
                         "####.....  50%  500/1,000  ETA 1 m 40 s",
                         "5.0 req/s  300 generated tok/s",
                         "3 failed  $0.01 batch price",
                     });
}

static void test_a_stop_is_shown(void **state)
{
    atomic_bool stop = true;
    struct progress p = half_done();
    struct progress_view v = view_of(&ascii);
    struct buf out = BUF_INIT(PROGRESS_BYTES_MAX);

    (void)state;
    v.stop = &stop;
    progress_draw(&v, &p, 80, &out);
    assert_non_null(strstr(out.p, "stopping: 64 in flight"));
    buf_release(&out);
}

static void test_an_end_that_nobody_knows_is_not_shown(void **state)
{
    struct progress p = { .counters = { .total = 10 }, .elapsed_ns = 2 * NS_PER_S };
    struct progress_view v = view_of(&ascii);
    struct buf out = BUF_INIT(PROGRESS_BYTES_MAX);

    (void)state;
    progress_draw(&v, &p, 80, &out);
    assert_null(strstr(out.p, "ETA"));
    assert_non_null(strstr(out.p, "0/10"));
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_line_reaches_the_last_column_at_any_width),
        cmocka_unit_test(test_at_80_columns_all_is_there),
        cmocka_unit_test(test_at_40_columns_the_most_important_stays),
        cmocka_unit_test(test_a_stop_is_shown),
        cmocka_unit_test(test_an_end_that_nobody_knows_is_not_shown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
