/* Goal: list filters as the clients write them keep the right jobs, and every fault says where it is.
 * Method: one job, many filters; the limits at their maximum and one more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "format/job/filter.h"
#include "base/mem.h"
#include "base/timestamp.h"

#define CREATE_US 1795341600000000 /* 2026-11-22T10:00:00Z */

static const struct job job = {
    .state = JOB_RUNNING,
    .display_name = STR_INIT("genai_batch_1"),
    .model = STR_INIT("publishers/google/models/gemini-2.5-flash"),
    .spec = STR_INIT("{\"inputConfig\":{},\"labels\":{\"team\":\"a-1\",\"empty\":\"\"}}"),
    .create_us = CREATE_US,
    .update_us = CREATE_US + 1,
};

static bool keeps(const char *text)
{
    struct arena a = { 0 };
    struct error e = { 0 };
    const struct filter *f = filter_parse(&a, str_of(text), &e);

    if (!f)
        fail_msg("%s: %s", text, e.msg);
    bool kept = filter_keeps(f, &job);
    arena_release(&a);
    return kept;
}

static void test_filters_keep_what_they_say(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool kept;
    } cases[] = {
        { "", true },
        { "  ", true },
        { "state=\"JOB_STATE_RUNNING\" AND display_name:\"genai_*\"", true },
        { "state=JOB_STATE_RUNNING", true },
        { "state = 'BATCH_STATE_RUNNING'", true },
        { "state != \"JOB_STATE_RUNNING\"", false },
        { "NOT state=\"JOB_STATE_RUNNING\"", false },
        { "-state=\"JOB_STATE_QUEUED\"", true },
        /* As vertexai's num_pending_jobs asks, with states that no job here has. */
        { "state=\"JOB_STATE_QUEUED\" OR state=\"JOB_STATE_PENDING\" OR "
          "state=\"JOB_STATE_RUNNING\" "
          "OR state=\"JOB_STATE_CANCELLING\" OR state=\"JOB_STATE_UPDATING\"",
          true },
        { "state=\"JOB_STATE_UPDATING\"", false },
        { "displayName=\"genai_batch_1\"", true },
        { "display_name=\"genai_*\"", false }, /* = takes a star as it stands */
        { "display_name:\"*batch*\"", true },
        { "display_name:genai", false },
        { "display_name!=\"x\"", true },
        { "display_name=\"genai\\_batch_1\"", true },
        { "model_display_name=\"gemini-2.5-flash\"", true },
        { "model=\"publishers/google/models/gemini-2.5-flash\"", true },
        { "model_display_name!=\"gemini-2.5-flash\"", false },
        { "labels.team=a-1", true },
        { "labels.team:*", true },
        { "labels.\"team\":\"a*\"", true },
        { "labels.other:*", false },
        { "labels.empty=\"\"", true },
        { "labels.other!=x", true },
        { "create_time>=\"2026-11-22T10:00:00Z\"", true },
        { "create_time>2026-11-22T10:00:00Z", false },
        { "create_time < \"2026-11-22T11:00:00+01:00\"", false },
        { "create_time<=\"2026-11-22T11:00:00+01:00\"", true },
        { "create_time>\"2026-11-22\"", true },
        { "update_time=\"2026-11-22T10:00:00.000001Z\"", true },
        { "createTime!=\"2026-11-22T10:00:00Z\"", false },
        /* AND binds less than OR, as in AIP-160. */
        { "state=RUNNING OR state=FAILED AND display_name=\"x\"", false },
        { "(state=RUNNING) OR (state=FAILED AND display_name=\"x\")", true },
        { "state=RUNNING labels.team=a-1", true },
        { "state=RUNNING labels.team=b", false },
        { "NOT (state=RUNNING AND labels.team=b)", true },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (keeps(cases[i].text) != cases[i].kept)
            fail_msg("%s: is %s", cases[i].text, cases[i].kept ? "not kept" : "kept");
}

static void test_a_fault_says_where_it_is_and_what_was_expected(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        { "bogus=1", "at byte 1, \"bogus=1\": expected display_name" },
        { "state", "at byte 6, its end: expected = != or :" },
        { "state=", "at byte 7, its end: expected a value" },
        { "state<RUNNING", "at byte 6" },
        { "state=WRONG", "a state's name" },
        { "create_time>x", "a time" },
        { "create_time:x", "= != < <= > or >=" },
        { "display_name=\"x", "a value" },
        { "(state=RUNNING", "at byte 15, its end: expected AND, OR or \")\"" },
        { "state=RUNNING)", "at byte 14" },
        { "state=RUNNING AND", "at byte 18, its end" },
        { "state=RUNNING OR", "at byte 17, its end" },
        { "NOT", "at byte 4, its end" },
        { "()", "at byte 2" },
        { "=", "at byte 1" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena a = { 0 };
        struct error e = { 0 };
        assert_null(filter_parse(&a, str_of(cases[i].text), &e));
        assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
        if (!strstr(e.msg, cases[i].words))
            fail_msg("%s: \"%s\" is not in: %s", cases[i].text, cases[i].words, e.msg);
        arena_release(&a);
    }
}

static bool parses(struct str text)
{
    struct arena a = { 0 };
    struct error e = { 0 };
    bool ok = filter_parse(&a, text, &e) != NULL;

    arena_release(&a);
    return ok;
}

static void test_length_and_depth_are_bounded_at_their_maximum(void **state)
{
    (void)state;
    for (unsigned over = 0; over < 2; over++) {
        struct buf b = BUF_INIT(FILTER_BYTES_MAX + 1);
        for (unsigned i = 0; i < FILTER_DEPTH_MAX + over; i++)
            buf_add_char(&b, '(');
        buf_add_c(&b, "state=RUNNING");
        for (unsigned i = 0; i < FILTER_DEPTH_MAX + over; i++)
            buf_add_char(&b, ')');
        assert_int_equal(parses(buf_str(&b)), !over);
        buf_clear(&b);
        buf_add_c(&b, "state=RUNNING");
        while (b.len < FILTER_BYTES_MAX + over)
            buf_add_char(&b, ' ');
        assert_int_equal(parses(buf_str(&b)), !over);
        buf_release(&b);
    }
}

static void test_times_are_read_to_the_microsecond(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us; /* -1: it is none */
    } cases[] = {
        { "1970-01-01T00:00:00Z", 0 },
        { "2026-11-22T10:00:00.5Z", CREATE_US + 500000 },
        { "2026-11-22T10:00:00.123456789Z", CREATE_US + 123456 },
        { "2026-11-22T12:00:00+02:00", CREATE_US },
        { "2026-11-22t08:30:00-01:30", CREATE_US },
        { "2024-02-29", 1709164800000000 },
        { "2026-02-29", -1 },
        { "2026-11-22T10:00:00", -1 },
        { "2026-11-22T24:00:00Z", -1 },
        { "2026-11-22T10:00:00.Z", -1 },
        { "2026-11-22T10:00:00.1234567890Z", -1 },
        { "2026-11-22T10:00:00Zx", -1 },
        { "2026-13-01", -1 },
        { "", -1 },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t us = -1;
        bool ok = timestamp_read(str_of(cases[i].text), &us);
        assert_int_equal(ok, cases[i].us >= 0);
        if (ok)
            assert_int_equal(us, cases[i].us);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filters_keep_what_they_say),
        cmocka_unit_test(test_a_fault_says_where_it_is_and_what_was_expected),
        cmocka_unit_test(test_length_and_depth_are_bounded_at_their_maximum),
        cmocka_unit_test(test_times_are_read_to_the_microsecond),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
