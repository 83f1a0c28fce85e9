/* Goal: a key is who it was made for until it is revoked or too old, and is nowhere readable. Method: a
 * real store, and a second one on the same folder as `tranche keys` has it. */
#include "unit/store/objects/blob_world.h"
#include "base/random.h"
#include "store/jobs/keys.h"

static struct key make(struct world *w, const char *project, char text[KEY_TEXT_BYTES])
{
    struct error e = { 0 };
    struct key k = { .role = ROLE_SUBMITTER, .name = STR("ci") };

    (void)snprintf(k.project, sizeof k.project, "%s", project);
    ASSERT_OK(key_create(w->s, &k, text, &e), e);
    return k;
}

static int find(struct store *s, struct world *w, const char *text, struct key *out)
{
    struct error e = { 0 };
    int rc = key_find(s, &w->a, str_of(text), out, &e);

    assert_string_equal(e.msg, "");
    return rc;
}

static void test_a_key_is_found_by_its_text_and_by_nothing_like_it(void **state)
{
    struct world *w = *state;
    char text[KEY_TEXT_BYTES];
    struct key k = make(w, "a-project", text), got;

    assert_int_equal(strlen(text), KEY_TEXT_BYTES - 1);
    assert_memory_equal(text, "tk_", 3);
    assert_int_equal(strspn(text + 3, ALPHABET_62), 40);
    assert_memory_equal(k.id, text, 11);
    assert_int_equal(strlen(k.id), 11);
    assert_int_equal(find(w->s, w, text, &got), 1);
    assert_string_equal(got.project, "a-project");
    assert_string_equal(got.id, k.id);
    assert_int_equal(got.role, ROLE_SUBMITTER);
    assert_true(str_eq_c(got.name, "ci"));
    text[20] = text[20] == 'x' ? 'y' : 'x';
    assert_int_equal(find(w->s, w, text, &got), 0);
    assert_int_equal(find(w->s, w, k.id, &got), 0);
    assert_int_equal(find(w->s, w, "", &got), 0);
}

static void test_the_text_is_not_in_the_files(void **state)
{
    struct world *w = *state;
    struct buf bytes = BUF_INIT(64 << 20);
    struct error e = { 0 };
    char text[KEY_TEXT_BYTES], path[PATH_BYTES];

    if (w->database[0])
        skip();
    (void)make(w, "p", text);
    store_path(w->s, path, "state.db-wal");
    ASSERT_OK(sys_read_file(path, bytes.max, &bytes, &e), e);
    assert_true(bytes.len > 0);
    assert_int_equal(str_find(buf_str(&bytes), str_of(text)), SIZE_MAX);
    assert_int_equal(str_find(buf_str(&bytes), str_of(text + 11)), SIZE_MAX);
    buf_release(&bytes);
}

static void test_a_revoked_or_expired_key_is_none(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    char text[KEY_TEXT_BYTES], old_text[KEY_TEXT_BYTES];
    struct key k = make(w, "p", text), got;
    struct key old = { .project = "p", .expire_us = NOW_US + 10 };
    uint64_t count = 0;

    ASSERT_OK(key_create(w->s, &old, old_text, &e), e);
    ASSERT_OK(key_count(w->s, &count, &e), e);
    assert_int_equal(count, 2);
    w->clock.fake_us = NOW_US + 9;
    assert_int_equal(find(w->s, w, old_text, &got), 1);
    w->clock.fake_us = NOW_US + 10;
    assert_int_equal(find(w->s, w, old_text, &got), 0);
    assert_int_equal(key_get(w->s, &w->a, old.id, &got, &e), 0);

    ASSERT_OK(key_revoke(w->s, k.id, &e), e);
    ASSERT_OK(key_revoke(w->s, k.id, &e), e);
    assert_int_equal(find(w->s, w, text, &got), 0);
    ASSERT_OK(key_count(w->s, &count, &e), e);
    assert_int_equal(count, 0);
    ASSERT_FAILS(key_revoke(w->s, "tk_nothing", &e), e, ERROR_NOT_FOUND);

    struct key_list all;
    ASSERT_OK(key_list(w->s, &w->a, &all, &e), e);
    assert_int_equal(all.count, 2); /* the operator still sees them */
}

static void test_what_another_process_does_is_seen_at_once(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct store *beside = world_opened(w, false);
    struct store *server = w->s;
    char text[KEY_TEXT_BYTES];
    struct key got;

    assert_int_equal(find(server, w, "tk_0123456789012345678901234567890123456789", &got), 0);
    w->s = beside;
    struct key k = make(w, "p", text);
    w->s = server;
    assert_int_equal(find(server, w, text, &got), 1);
    ASSERT_OK(key_revoke(beside, k.id, &e), e);
    assert_int_equal(find(server, w, text, &got), 0);
    store_close(beside);
}

static void test_a_service_account_has_no_text_and_is_found_by_its_name(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    char text[KEY_TEXT_BYTES] = "unchanged";
    struct key k = {
        .project = "p",
        .role = ROLE_ADMIN,
        .email = STR("robot@p.iam"),
        .public_key = STR("-----BEGIN PUBLIC KEY-----"),
    };
    struct key got;

    ASSERT_OK(key_create(w->s, &k, text, &e), e);
    assert_string_equal(text, "");
    assert_int_equal(key_find_email(w->s, &w->a, k.email, &got, &e), 1);
    assert_true(str_eq(got.public_key, k.public_key));
    assert_string_equal(got.id, k.id);
    assert_int_equal(key_find_email(w->s, &w->a, STR(""), &got, &e), 0);
    ASSERT_OK(key_revoke(w->s, k.id, &e), e);
    assert_int_equal(key_find_email(w->s, &w->a, k.email, &got, &e), 0);
}

static void test_roles_have_their_names(void **state)
{
    enum key_role r;

    (void)state;
    for (int i = ROLE_VIEWER; i <= ROLE_ADMIN; i++) {
        assert_true(key_role_read(key_role_name((enum key_role)i), &r));
        assert_int_equal(r, i);
    }
    assert_false(key_role_read("owner", &r));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_make, world_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_key_is_found_by_its_text_and_by_nothing_like_it),
        TEST(test_the_text_is_not_in_the_files),
        TEST(test_a_revoked_or_expired_key_is_none),
        TEST(test_what_another_process_does_is_seen_at_once),
        TEST(test_a_service_account_has_no_text_and_is_found_by_its_name),
        cmocka_unit_test(test_roles_have_their_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
