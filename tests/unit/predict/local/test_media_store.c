/* Encoded media by their content: found again, each with an id of its own, and gone when room is needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "predict/local/candidate.h"
#include "predict/local/media_store.h"

#define WIDTH 1024

static struct media_rows rows_of(uint32_t count)
{
    struct media_rows r = { 0 };
    struct media_chunk *mark = media_rows_add(&r);

    tokens_add(&mark->text, 7);
    struct media_chunk *c = media_rows_add(&r);
    c->count = c->places = count;
    c->embedding = mem_array((size_t)count * WIDTH, sizeof *c->embedding);
    return r;
}

static struct media_key key_of(unsigned char file, int64_t time_us)
{
    struct media_key key = { .time_us = time_us };

    key.digest[0] = file;
    return key;
}

static void test_the_same_content_is_found_and_other_content_has_another_id(void **state)
{
    struct media_store *s = media_store_new(WIDTH);
    const struct media_key a = key_of(1, 0), b = key_of(1, 1000000), c = key_of(2, 0);
    struct media_rows rows = rows_of(4);

    (void)state;
    assert_null(media_store_find(s, &a));
    struct media_entry *first = media_store_put(s, &a, &rows);
    rows = rows_of(4);
    struct media_entry *second = media_store_put(s, &b, &rows);
    assert_true(first->rows.chunk[1].id < 0 && second->rows.chunk[1].id < 0);
    assert_int_not_equal(first->rows.chunk[1].id, second->rows.chunk[1].id);
    assert_ptr_equal(media_store_find(s, &a), first);
    assert_null(media_store_find(s, &c));
    rows = rows_of(4);
    assert_ptr_equal(media_store_put(s, &a, &rows), first); /* put twice: the first stays */
    for (int i = 0; i < 3; i++)
        media_store_drop(s, first);
    media_store_drop(s, second);
    media_store_free(s);
}

static void test_what_is_referenced_stays_and_the_rest_goes_by_age(void **state)
{
    struct media_store *s = media_store_new(WIDTH);
    uint32_t rows_each = 8 * 1024; /* 32 MiB */
    struct media_entry *held = NULL;

    (void)state;
    for (unsigned char i = 0; i < 12; i++) {
        const struct media_key key = key_of(i, 0);
        struct media_rows rows = rows_of(rows_each);
        struct media_entry *m = media_store_put(s, &key, &rows);
        if (i == 0)
            held = m;
        else
            media_store_drop(s, m);
    }
    const struct media_key oldest = key_of(0, 0), old = key_of(1, 0), new = key_of(11, 0);
    assert_ptr_equal(media_store_find(s, &oldest), held);
    assert_null(media_store_find(s, &old));
    assert_non_null(media_store_find(s, &new));
    media_store_free(s);
}

static void test_the_frames_of_a_video_are_remembered_as_they_were_asked_for(void **state)
{
    struct media_store *s = media_store_new(WIDTH);
    const struct media_key file = key_of(1, 0);
    struct media_ask ask = { .fps = 1, .end_us = MEDIA_END_OF_FILE },
                     other = { .fps = 2, .end_us = MEDIA_END_OF_FILE };
    int64_t times[] = { 0, 1000000 };
    const struct media_frames frames = { times, 2 };
    struct media_frames found;

    (void)state;
    assert_false(media_store_frames(s, &file, &ask, &found));
    media_store_note_frames(s, &file, &ask, &frames);
    assert_true(media_store_frames(s, &file, &ask, &found));
    assert_int_equal(found.count, 2);
    assert_int_equal(found.time_us[1], 1000000);
    mem_free(found.time_us);
    assert_false(media_store_frames(s, &file, &other, &found));
    media_store_free(s);
}

/* An image of 6 rows that takes 3 positions: text behind it is turned by three less than its number. */
static void test_rows_behind_an_image_are_shifted_by_what_it_does_not_take(void **state)
{
    struct media_place place[6] = { { 0, 0, 0 }, { 0, 1, 0 }, { 0, 2, 0 },
                                    { 0, 0, 1 }, { 0, 1, 1 }, { 0, 2, 1 } };
    const struct media_chunk image = { .count = 6, .places = 3, .place = place };
    struct task_media media[] = { { 2, 2, &image }, { 9, 6, &image } };
    struct task t = { .media = media, .media_count = 2 };

    (void)state;
    assert_int_equal(task_shift(&t, 1), 0);
    assert_int_equal(task_shift(&t, 2), 0);
    assert_int_equal(task_shift(&t, 5), -3); /* all rows of the image stand at position 2 */
    assert_int_equal(task_shift(&t, 8), -3); /* the first behind it at position 5 */
    assert_int_equal(task_shift(&t, 9), -3);
    assert_int_equal(task_shift(&t, 15), -6);
    assert_ptr_equal(task_media_from(&t, 0), &media[0]);
    assert_ptr_equal(task_media_from(&t, 8), &media[1]);
    assert_null(task_media_from(&t, 15));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_content_is_found_and_other_content_has_another_id),
        cmocka_unit_test(test_what_is_referenced_stays_and_the_rest_goes_by_age),
        cmocka_unit_test(test_the_frames_of_a_video_are_remembered_as_they_were_asked_for),
        cmocka_unit_test(test_rows_behind_an_image_are_shifted_by_what_it_does_not_take),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
