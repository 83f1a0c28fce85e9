/* Goal: responses have the members, the order and the numbers that clients look for. Method: golden
 * files, and properties checked on the parsed text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/json.h"
#include "format/response.h"
#include "golden.h"

#define CREATED_US 1763805600123456 /* 2025-11-22T10:00:00.123456Z */

static const struct token_logprob chosen[] = {
    { { "Ba", 2 }, 7, -0.25F }, { { "na\xC3", 3 }, -1, -1e-6F }, /* a part of a character */
};
static const struct token_logprob top[] = {
    { { "Ba", 2 }, 7, -0.25F },
    { { "\"", 1 }, 9, -1.5F },
    { { "na", 2 }, 8, -1e-6F },
    { { "nu", 2 }, 10, -12.3456F },
};

static const struct candidate plain = { .text = { "Hello \"there\"\n", 14 }, .token_count = 10 };

static struct response response_of(const struct candidate *c, uint32_t count)
{
    return (struct response){
        .candidate = c,
        .candidate_count = count,
        .usage = { .prompt_tokens = 9, .candidate_tokens = 10 },
        .model_version = STR("smollm2-135m-instruct"),
        .response_id = "00000000000000000000000001",
        .create_time_us = CREATED_US,
    };
}

static void test_a_plain_response_is_as_the_golden_file(void **state)
{
    (void)state;
    struct response r = response_of(&plain, 1);
    struct buf out = BUF_INIT(RESPONSE_BYTES_MAX);

    response_write(&r, &out);
    assert_golden("response_plain.json", buf_str(&out));
    buf_release(&out);
}

static void test_a_blocked_prompt_has_a_reason_and_no_candidates(void **state)
{
    (void)state;
    struct response r = response_of(NULL, 0);
    struct buf out = BUF_INIT(RESPONSE_BYTES_MAX);

    r.block_reason = "PROHIBITED_CONTENT";
    r.usage.candidate_tokens = 0;
    response_write(&r, &out);
    assert_golden("response_blocked.json", buf_str(&out));
    buf_release(&out);
}

static void test_a_response_with_everything_is_as_the_golden_file(void **state)
{
    (void)state;
    struct candidate c[] = {
        { .text = { "Bana", 4 },
          .finish = FINISH_MAX_TOKENS,
          .has_avg_logprob = true,
          .avg_logprob = -0.1250005,
          .token_count = 2,
          .chosen = chosen,
          .chosen_count = 2,
          .top = top,
          .top_count = 2 },
        { .text = { "", 0 }, .finish = FINISH_OTHER },
    };
    struct response r = response_of(c, 2);
    struct buf out = BUF_INIT(RESPONSE_BYTES_MAX);

    r.usage = (struct usage){
        .prompt_tokens = 100, .cached_tokens = 64, .candidate_tokens = 2, .thought_tokens = 5
    };
    response_write(&r, &out);
    assert_golden("response_full.json", buf_str(&out));
    buf_release(&out);
}

/* Fails when an object's keys are not in ascending order, at any depth. */
static void assert_sorted(yyjson_val *v)
{
    size_t i, max;
    yyjson_val *key, *value;
    struct str before = { 0 };

    if (yyjson_is_arr(v)) {
        yyjson_arr_foreach(v, i, max, value) assert_sorted(value);
        return;
    }
    yyjson_obj_foreach(v, i, max, key, value)
    {
        assert_true(str_cmp(before, json_str(key)) < 0);
        before = json_str(key);
        assert_sorted(value);
    }
}

static void test_keys_are_in_alphabetical_order_at_every_depth(void **state)
{
    (void)state;
    struct candidate c = { .text = STR("x"),
                           .has_avg_logprob = true,
                           .chosen = chosen,
                           .chosen_count = 2,
                           .top = top,
                           .top_count = 2 };
    struct response r = response_of(&c, 1);
    struct buf out = BUF_INIT(RESPONSE_BYTES_MAX);

    r.usage = (struct usage){ 4, 3, 2, 1 };
    response_write(&r, &out);
    yyjson_doc *doc = yyjson_read(out.p, out.len, 0);
    assert_non_null(doc);
    assert_sorted(yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    buf_release(&out);
}

static void test_an_empty_text_is_still_a_part(void **state)
{
    (void)state;
    struct candidate c = { .text = STR("") };
    struct response r = response_of(&c, 1);
    struct buf out = BUF_INIT(RESPONSE_BYTES_MAX);

    response_write(&r, &out);
    assert_non_null(strstr(out.p, "\"content\":{\"parts\":[{\"text\":\"\"}],\"role\":\"model\"}"));
    buf_release(&out);
}

static void test_thoughts_texts_and_calls_are_parts_in_their_order(void **state)
{
    (void)state;
    const struct response_part part[] = {
        { .kind = RESPONSE_THOUGHT, .text = STR_INIT("hm") },
        { .kind = RESPONSE_TEXT, .text = STR_INIT("I look.") },
        { .kind = RESPONSE_CALL,
          .name = STR_INIT("f"),
          .args = STR_INIT("{\"x\":1}"),
          .id = STR_INIT("c1") },
        { .kind = RESPONSE_CALL, .name = STR_INIT("g"), .args = STR_INIT("{}") },
    };
    struct candidate c[] = { { .part = part, .part_count = 4 },
                             { .part = part, .finish = FINISH_SAFETY } };
    struct response r = response_of(c, 2);
    struct buf out = BUF_INIT(RESPONSE_BYTES_MAX);

    response_write(&r, &out);
    assert_golden("response_parts.json", buf_str(&out));
    buf_release(&out);
}

static void test_tokens_without_ids_and_short_rows_are_written_as_they_are(void **state)
{
    (void)state;
    const struct token_logprob token[] = { { STR_INIT("a"), TOKEN_ID_NONE, -0.5F },
                                           { STR_INIT("b"), 7, -1 } };
    const uint32_t counts[] = { 0, 2 };
    struct candidate c = {
        .text = STR("ab"), .chosen = token, .chosen_count = 2, .top = token, .top_counts = counts
    };
    struct response r = response_of(&c, 1);
    struct buf out = BUF_INIT(RESPONSE_BYTES_MAX);

    response_write(&r, &out);
    assert_non_null(strstr(
        out.p, "\"logprobsResult\":{\"chosenCandidates\":[{\"logProbability\":-0.5,\"token\":"
               "\"a\"},{\"logProbability\":-1,\"token\":\"b\",\"tokenId\":7}],"
               "\"topCandidates\":[{\"candidates\":[]},{\"candidates\":[{"
               "\"logProbability\":-0.5,\"token\":\"a\"},{\"logProbability\":-1,"
               "\"token\":\"b\",\"tokenId\":7}]}]}"));
    buf_release(&out);
}

static void test_the_total_does_not_wrap_at_32_bits(void **state)
{
    (void)state;
    struct response r = response_of(&plain, 1);
    struct buf out = BUF_INIT(RESPONSE_BYTES_MAX);

    r.usage = (struct usage){ .prompt_tokens = UINT32_MAX, .candidate_tokens = UINT32_MAX };
    response_write(&r, &out);
    assert_non_null(strstr(out.p, "\"totalTokenCount\":8589934590,"));
    buf_release(&out);
}

static void test_a_response_over_the_buffers_maximum_is_marked(void **state)
{
    (void)state;
    struct response r = response_of(&plain, 1);
    struct buf out = BUF_INIT(100);

    response_write(&r, &out);
    assert_false(buf_ok(&out));
    buf_release(&out);
}

static void test_ids_hold_all_128_bits(void **state)
{
    (void)state;
    static const struct {
        uint64_t high, low;
        const char *id;
    } cases[] = {
        { 0, 0, "00000000000000000000000000" },
        { 0, 1, "00000000000000000000000001" },
        { 0, 32, "00000000000000000000000010" },
        { 1, 0, "0000000000000G000000000000" }, /* bit 64 is the fifth of the 13th from the end */
        { UINT64_MAX, UINT64_MAX, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ" },
    };
    char id[RESPONSE_ID_BYTES];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        response_id_format(cases[i].high, cases[i].low, id);
        assert_string_equal(id, cases[i].id);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_plain_response_is_as_the_golden_file),
        cmocka_unit_test(test_a_blocked_prompt_has_a_reason_and_no_candidates),
        cmocka_unit_test(test_a_response_with_everything_is_as_the_golden_file),
        cmocka_unit_test(test_keys_are_in_alphabetical_order_at_every_depth),
        cmocka_unit_test(test_an_empty_text_is_still_a_part),
        cmocka_unit_test(test_thoughts_texts_and_calls_are_parts_in_their_order),
        cmocka_unit_test(test_tokens_without_ids_and_short_rows_are_written_as_they_are),
        cmocka_unit_test(test_the_total_does_not_wrap_at_32_bits),
        cmocka_unit_test(test_a_response_over_the_buffers_maximum_is_marked),
        cmocka_unit_test(test_ids_hold_all_128_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
