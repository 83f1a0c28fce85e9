/* Goal: a browser's session is its key until the key ends, or the session is idle for too long or too old; and its text is
 * nowhere readable. Method: a real store with a clock of the test's. */
#include "unit/store/objects/blob_world.h"
#include "store/jobs/signins.h"

#define US_PER_S ((int64_t)1000000)

struct signed_in {
    struct key key;
    char text[SESSION_TEXT_BYTES];
};

static struct signed_in sign_in(struct world *w)
{
    struct signed_in s = { .key = { .role = ROLE_SUBMITTER, .project = "p" } };
    char text[KEY_TEXT_BYTES];
    struct error e = { 0 };

    ASSERT_OK(key_create(w->s, &s.key, text, &e), e);
    ASSERT_OK(signin_create(w->s, s.key.id, s.text, &e), e);
    return s;
}

static int find(struct world *w, const char *text)
{
    struct error e = { 0 };
    struct key got;
    int rc = signin_find(w->s, &w->a, str_of(text), &got, &e);

    assert_string_equal(e.msg, "");
    if (rc == 1)
        assert_string_equal(got.project, "p");
    return rc;
}

static void test_a_session_is_found_by_its_text_until_it_is_ended(void **state)
{
    struct world *w = *state;
    struct signed_in s = sign_in(w);
    struct error e = { 0 };
    char other[SESSION_TEXT_BYTES];

    assert_int_equal(find(w, s.text), 1);
    memcpy(other, s.text, sizeof other);
    other[5] = other[5] == 'x' ? 'y' : 'x';
    assert_int_equal(find(w, other), 0);
    assert_int_equal(find(w, ""), 0);
    assert_int_equal(find(w, "short"), 0);
    ASSERT_OK(signin_end(w->s, str_of(other), &e), e);
    assert_int_equal(find(w, s.text), 1);
    ASSERT_OK(signin_end(w->s, str_of(s.text), &e), e);
    assert_int_equal(find(w, s.text), 0);
}

static void test_a_revoked_key_ends_its_sessions(void **state)
{
    struct world *w = *state;
    struct signed_in s = sign_in(w), other = sign_in(w);
    struct error e = { 0 };

    ASSERT_OK(key_revoke(w->s, s.key.id, &e), e);
    assert_int_equal(find(w, s.text), 0);
    assert_int_equal(find(w, other.text), 1);
}

static void test_an_idle_session_ends_and_a_used_one_lives_for_its_life(void **state)
{
    struct world *w = *state;
    struct signed_in idle = sign_in(w), used = sign_in(w);
    struct error e = { 0 };
    int64_t begin_us = w->clock.fake_us, day_us = 86400 * US_PER_S;

    w->clock.fake_us = begin_us + SESSION_IDLE_S * US_PER_S;
    assert_int_equal(find(w, idle.text), 1);
    ASSERT_OK(signin_touch(w->s, str_of(used.text), &e), e);
    w->clock.fake_us += 1;
    assert_int_equal(find(w, idle.text), 0);
    assert_int_equal(find(w, used.text), 1);
    for (int64_t at = day_us / 2; at <= SESSION_LIFE_S * US_PER_S; at += day_us / 2) {
        w->clock.fake_us = begin_us + at;
        assert_int_equal(find(w, used.text), 1);
        ASSERT_OK(signin_touch(w->s, str_of(used.text), &e), e);
    }
    w->clock.fake_us = begin_us + SESSION_LIFE_S * US_PER_S + 1;
    assert_int_equal(find(w, used.text), 0);
}

static void test_the_text_is_not_in_the_files(void **state)
{
    struct world *w = *state;
    struct signed_in s = sign_in(w);
    struct buf bytes = BUF_INIT(64 << 20);
    struct error e = { 0 };
    char path[PATH_BYTES];

    if (w->database[0])
        skip();
    store_path(w->s, path, "state.db-wal");
    ASSERT_OK(sys_read_file(path, bytes.max, &bytes, &e), e);
    assert_true(bytes.len > 0);
    assert_int_equal(str_find(buf_str(&bytes), str_of(s.text)), SIZE_MAX);
    buf_release(&bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_make, world_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_session_is_found_by_its_text_until_it_is_ended),
        TEST(test_a_revoked_key_ends_its_sessions),
        TEST(test_an_idle_session_ends_and_a_used_one_lives_for_its_life),
        TEST(test_the_text_is_not_in_the_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
