/* Goal: lines leave in the order of their prompts, none starves, identical ones go once, and what is
 * open is bounded. Method: a window filled by hand with lines that were really parsed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/lines/prompt_order.h"
#include "base/mem.h"
#include "engine/lines/window.h"

static struct open_line *make_text(struct window *w, uint64_t index, const char *json)
{
    static struct violations bad;
    struct open_line *l = window_line(w);
    const struct line_rules rules = { 0 };

    bad.count = 0;
    l->line.index = index;
    l->line.text = (struct str){ arena_copy(&l->arena, json, strlen(json)), strlen(json) };
    assert_true(request_read_line(&l->arena, l->line.text, &rules, &l->in, &bad));
    return l;
}

static struct open_line *make(struct window *w, uint64_t index, const char *text)
{
    char json[512];

    (void)snprintf(json, sizeof json,
                   "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"%s\"}]}]}", text);
    return make_text(w, index, json);
}

static void add(struct window *w, uint64_t index, const char *text)
{
    window_add(w, make(w, index, text));
}

static void add_same(struct window *w, uint64_t index, const char *text, char digest)
{
    struct open_line *l = make(w, index, text);

    l->has_digest = true;
    memset(l->digest, digest, sizeof l->digest);
    window_add(w, l);
}

static struct open_line *next(struct window *w)
{
    uint64_t ready;

    return window_next(w, 0, &ready);
}

static void assert_next(struct window *w, uint64_t index)
{
    struct open_line *l = next(w);

    assert_non_null(l);
    assert_int_equal(l->line.index, index);
    window_drop(w, l);
}

static void test_lines_leave_in_the_order_of_their_prompts(void **state)
{
    (void)state;
    struct window *w = window_new();

    add(w, 0, "cherry");
    add(w, 1, "apple");
    add(w, 2, "banana");
    add(w, 3, "apple");
    assert_int_equal(window_count(w), 4);
    assert_next(w, 1);
    assert_next(w, 3);
    assert_next(w, 2);
    assert_next(w, 0);
    assert_null(next(w));
    assert_int_equal(window_count(w), 0);
    window_free(w);
}

static void test_what_enters_behind_the_elevator_waits_for_the_next_round(void **state)
{
    (void)state;
    struct window *w = window_new();

    add(w, 0, "f");
    add(w, 1, "m");
    add(w, 2, "t");
    assert_next(w, 0);
    struct open_line *at = next(w);
    assert_int_equal(at->line.index, 1);
    add(w, 3, "a");
    add(w, 4, "z");
    add(w, 5, "n");
    window_drop(w, at);
    assert_next(w, 5);
    assert_next(w, 2);
    assert_next(w, 4);
    assert_next(w, 3);
    window_free(w);
}

/* The one line that sorts last is overtaken for as long as others may enter, and no longer. */
static void test_no_line_is_overtaken_by_a_whole_window(void **state)
{
    (void)state;
    struct window *w = window_new();
    uint64_t index = 1;
    uint32_t overtaken = 0;

    add(w, 0, "zzz");
    for (;; overtaken++) {
        while (window_has_room(w, index, 100) && window_count(w) < 16)
            add(w, index++, "aaa");
        struct open_line *l = next(w);
        assert_non_null(l);
        uint64_t sent = l->line.index;
        window_drop(w, l);
        if (sent == 0)
            break;
    }
    assert_true(overtaken < WINDOW_LINES_MAX);
    window_free(w);
}

static void test_room_ends_a_window_after_the_oldest_open_line(void **state)
{
    (void)state;
    struct window *w = window_new();

    assert_true(window_has_room(w, 1000000, 100));
    add(w, 10, "b");
    add(w, 11, "a");
    assert_true(window_has_room(w, 10 + WINDOW_LINES_MAX - 1, 100));
    assert_false(window_has_room(w, 10 + WINDOW_LINES_MAX, 100));
    assert_next(w, 11);
    assert_false(window_has_room(w, 10 + WINDOW_LINES_MAX, 100));
    assert_next(w, 10);
    assert_true(window_has_room(w, 10 + WINDOW_LINES_MAX, 100));
    window_free(w);
}

static void test_room_ends_with_the_bytes_but_one_line_may_stand_alone(void **state)
{
    (void)state;
    struct window *w = window_new();

    assert_true(window_has_room(w, 0, LINE_BYTES_MAX));
    add(w, 0, "a");
    assert_true(window_has_room(w, 1, 100));
    assert_false(window_has_room(w, 1, LINE_BYTES_MAX));
    assert_false(window_has_room(w, 1, SIZE_MAX));
    struct open_line *big = make(w, 1, "b");
    arena_reserve(&big->arena, WINDOW_BYTES_MAX);
    window_add(w, big);
    assert_false(window_has_room(w, 2, 100));
    assert_next(w, 0);
    assert_false(window_has_room(w, 2, 100));
    assert_next(w, 1);
    assert_true(window_has_room(w, 2, 100));
    window_free(w);
}

static void test_a_line_that_waits_for_a_time_is_next_when_it_has_come(void **state)
{
    (void)state;
    struct window *w = window_new();
    uint64_t ready;

    for (uint64_t i = 0; i < 50; i++)
        add(w, i, "x");
    /* Times in a mixed order; they come back by time. */
    for (uint64_t i = 0; i < 50; i++)
        window_retry(w, next(w), 1000 + i * 7 % 50);
    assert_int_equal(window_count(w), 50);
    assert_null(window_next(w, 999, &ready));
    assert_int_equal(ready, 1000);
    for (uint64_t now = 1000; now < 1050; now++) {
        struct open_line *l = window_next(w, now, &ready);
        assert_non_null(l);
        assert_int_equal(l->line.index * 7 % 50, now - 1000);
        assert_int_equal(ready, now == 1049 ? UINT64_MAX : now + 1);
        window_drop(w, l);
    }
    window_free(w);
}

static void test_a_line_whose_time_has_come_goes_before_those_that_never_went(void **state)
{
    (void)state;
    struct window *w = window_new();
    uint64_t ready;

    for (uint64_t i = 0; i < 50; i++)
        add(w, i, "x");
    struct open_line *failed = next(w);
    window_retry(w, failed, 1000);
    assert_int_not_equal(window_next(w, 999, &ready)->line.index, 0);
    assert_ptr_equal(window_next(w, 1000, &ready), failed);
    window_unsend(w, failed); /* it could not be submitted */
    assert_ptr_equal(window_next(w, 1000, &ready), failed);
    window_free(w);
}

static void test_a_line_that_could_not_be_sent_is_the_next_again(void **state)
{
    (void)state;
    struct window *w = window_new();

    add(w, 0, "a");
    add(w, 1, "b");
    add(w, 2, "c");
    assert_next(w, 0);
    window_unsend(w, next(w));
    assert_next(w, 1);
    assert_next(w, 2);
    window_free(w);
}

static void test_identical_lines_follow_the_first_and_go_with_it(void **state)
{
    (void)state;
    struct window *w = window_new();
    uint64_t ready;

    add_same(w, 0, "same", 'x');
    add_same(w, 1, "same", 'x');
    add_same(w, 2, "other", 'y');
    add_same(w, 3, "same", 'x');
    assert_int_equal(window_count(w), 4);
    assert_next(w, 2);
    struct open_line *leader = next(w);
    assert_null(window_next(w, 0, &ready)); /* followers do not wait */
    assert_int_equal(leader->line.index, 0);
    assert_int_equal(leader->follower->line.index, 1);
    assert_int_equal(leader->follower->follower->line.index, 3);
    assert_null(leader->follower->follower->follower);
    window_drop(w, leader);
    assert_int_equal(window_count(w), 0);
    /* The digest is free again. */
    add_same(w, 4, "same", 'x');
    assert_next(w, 4);
    window_free(w);
}

static void test_the_first_follower_inherits_the_others(void **state)
{
    (void)state;
    struct window *w = window_new();

    for (uint64_t i = 0; i < 4; i++)
        add_same(w, i, "same", 'x');
    struct open_line *leader = next(w);
    window_pass_on(w, leader);
    assert_int_equal(window_count(w), 3);
    leader = next(w);
    assert_int_equal(leader->line.index, 1);
    assert_int_equal(leader->follower->line.index, 2);
    add_same(w, 4, "same", 'x'); /* follows the heir, last */
    assert_int_equal(leader->follower->follower->follower->line.index, 4);
    window_pass_on(w, leader);
    window_pass_on(w, next(w));
    window_pass_on(w, next(w));
    leader = next(w);
    assert_int_equal(leader->line.index, 4);
    assert_null(leader->follower);
    window_drop(w, leader);
    assert_int_equal(window_count(w), 0);
    window_free(w);
}

/* Freed with lines in every state; the sanitizers watch. */
static void test_a_window_frees_what_is_still_open(void **state)
{
    (void)state;
    struct window *w = window_new();

    add_same(w, 0, "a", 'x');
    add_same(w, 1, "a", 'x');
    add(w, 2, "b");
    add(w, 3, "c");
    window_retry(w, next(w), 5);
    assert_non_null(next(w));
    window_drop(w, make(w, 9, "never added"));
    window_free(w);
    window_free(NULL);
}

static void test_prompts_are_ordered_as_one_stream_of_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        int order;
    } cases[] = {
        { "{\"contents\":[{\"parts\":[{\"text\":\"ab\"},{\"text\":\"c\"}]}]}",
          "{\"contents\":[{\"parts\":[{\"text\":\"a\"},{\"text\":\"bc\"}]}]}", 0 },
        { "{\"contents\":[{\"parts\":[{\"text\":\"ab\"}]}]}",
          "{\"contents\":[{\"parts\":[{\"text\":\"abc\"}]}]}", -1 },
        { "{\"contents\":[{\"parts\":[{\"text\":\"b\"}]}],\"systemInstruction\":{\"parts\":[{"
          "\"text\":\"a\"}]}}",
          "{\"contents\":[{\"parts\":[{\"text\":\"a\"}]}],\"systemInstruction\":{\"parts\":[{"
          "\"text\":\"b\"}]}}",
          -1 },
        { "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a\"}]},{\"role\":\"model\","
          "\"parts\":[{\"text\":\"b\"}]},"
          "{\"role\":\"user\",\"parts\":[{\"text\":\"c\"}]}]}",
          "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a\"},{\"text\":\"b\"},{"
          "\"text\":\"c\"}]}]}",
          1 },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct window *w = window_new();
        struct open_line *a = make_text(w, 0, cases[i].a), *b = make_text(w, 1, cases[i].b);
        int order = prompt_cmp(a->in.request, b->in.request);
        int reverse = prompt_cmp(b->in.request, a->in.request);
        assert_int_equal((order > 0) - (order < 0), cases[i].order);
        assert_int_equal((reverse > 0) - (reverse < 0), -cases[i].order);
        window_drop(w, a);
        window_drop(w, b);
        window_free(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_leave_in_the_order_of_their_prompts),
        cmocka_unit_test(test_what_enters_behind_the_elevator_waits_for_the_next_round),
        cmocka_unit_test(test_no_line_is_overtaken_by_a_whole_window),
        cmocka_unit_test(test_room_ends_a_window_after_the_oldest_open_line),
        cmocka_unit_test(test_room_ends_with_the_bytes_but_one_line_may_stand_alone),
        cmocka_unit_test(test_a_line_that_waits_for_a_time_is_next_when_it_has_come),
        cmocka_unit_test(test_a_line_whose_time_has_come_goes_before_those_that_never_went),
        cmocka_unit_test(test_a_line_that_could_not_be_sent_is_the_next_again),
        cmocka_unit_test(test_identical_lines_follow_the_first_and_go_with_it),
        cmocka_unit_test(test_the_first_follower_inherits_the_others),
        cmocka_unit_test(test_a_window_frees_what_is_still_open),
        cmocka_unit_test(test_prompts_are_ordered_as_one_stream_of_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
