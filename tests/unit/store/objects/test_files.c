/* Goal: files have ids that nobody guesses, belong to a project and live until they expire. Method: a
 * real store under a clock of the test's. */
#include "unit/store/objects/blob_world.h"

#define HOUR_US ((int64_t)3600 * 1000000)

static struct file_new new_file(struct world *w, const char *id)
{
    struct file_new in = {
        .project = "p",
        .display_name = STR("requests"),
        .mime = STR("application/jsonl"),
        .blob = blob_of(w, "123456789"),
        .expire_us = w->clock.fake_us + 48 * HOUR_US,
    };

    (void)snprintf(in.id, sizeof in.id, "%s", id);
    return in;
}

static struct file file_of(struct world *w)
{
    struct error e = { 0 };
    struct file f;
    struct file_new in = new_file(w, "");

    ASSERT_OK(file_put(w->s, &w->a, &in, &f, &e), e);
    return f;
}

static void test_a_file_comes_back_as_it_was_put(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct file f = file_of(w), got;

    assert_int_equal(strlen(f.id), 12);
    assert_int_equal(strspn(f.id, "abcdefghijklmnopqrstuvwxyz0123456789"), 12);
    ASSERT_OK(file_get(w->s, &w->a, "p", str_of(f.id), &got, &e), e);
    assert_true(str_eq_c(got.project, "p") && str_eq_c(got.display_name, "requests"));
    assert_true(str_eq_c(got.mime, "application/jsonl"));
    assert_true(got.create_us == NOW_US && got.expire_us == NOW_US + 48 * HOUR_US);
    assert_true(got.blob.bytes == 9 && got.blob.crc32c == 0xe3069283 && got.blob.has_sha256);
    assert_int_equal(got.origin, FILE_UPLOADED);
    ASSERT_OK(file_get(w->s, &w->a, NULL, str_of(f.id), &got, &e), e);
    ASSERT_FAILS(file_get(w->s, &w->a, "q", str_of(f.id), &got, &e), e, ERROR_NOT_FOUND);
    ASSERT_FAILS(file_delete(w->s, "q", str_of(f.id), &e), e, ERROR_NOT_FOUND);
    ASSERT_FAILS(file_get(w->s, &w->a, "p", STR("../x"), &got, &e), e, ERROR_NOT_FOUND);
}

static void test_a_generated_file_has_the_name_it_was_given_once(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct file f;
    struct file_new in = new_file(w, "batch-abcdefghijklmnopqrstuvwxyz0123456789");

    in.origin = FILE_GENERATED;
    ASSERT_OK(file_put(w->s, &w->a, &in, &f, &e), e);
    assert_string_equal(f.id, in.id);
    assert_int_equal(f.origin, FILE_GENERATED);
    ASSERT_FAILS(file_put(w->s, &w->a, &in, &f, &e), e, ERROR_ALREADY_EXISTS);
    ASSERT_OK(file_delete(w->s, "p", str_of(f.id), &e), e);
    in.blob = blob_of(w, "x");
    ASSERT_FAILS(file_put(w->s, &w->a, &in, &f, &e), e, ERROR_ALREADY_EXISTS);
}

static void test_a_deleted_file_is_gone_with_its_bytes(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct file f = file_of(w);

    ASSERT_OK(file_delete(w->s, "p", str_of(f.id), &e), e);
    assert_gone(w, f.blob.id);
    ASSERT_FAILS(file_get(w->s, &w->a, "p", str_of(f.id), &f, &e), e, ERROR_NOT_FOUND);
    ASSERT_FAILS(file_delete(w->s, "p", str_of(f.id), &e), e, ERROR_NOT_FOUND);
}

static void test_a_file_lives_until_the_microsecond_it_expires(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct file f = file_of(w), got;
    struct file_list list;

    w->clock.fake_us = f.expire_us - 1;
    ASSERT_OK(file_get(w->s, &w->a, "p", str_of(f.id), &got, &e), e);
    ASSERT_OK(file_expire(w->s, w->clock.fake_us, &e), e);
    assert_true(blob_is_there(w, f.blob.id));
    w->clock.fake_us++;
    ASSERT_FAILS(file_get(w->s, &w->a, "p", str_of(f.id), &got, &e), e, ERROR_NOT_FOUND);
    ASSERT_OK(
        file_query(w->s, &w->a, &(struct file_query){ .project = "p", .most = 10 }, &list, &e), e);
    assert_int_equal(list.count, 0);
    ASSERT_OK(file_expire(w->s, w->clock.fake_us, &e), e);
    assert_gone(w, f.blob.id);
}

static void test_a_list_goes_on_though_what_it_showed_is_deleted(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct file_list list;
    struct file f[5];
    struct str after = STR("");

    for (size_t i = 0; i < 5; i++)
        f[i] = file_of(w);
    struct file_new other = new_file(w, "");
    other.project = "q";
    ASSERT_OK(file_put(w->s, &w->a, &other, NULL, &e), e);
    for (size_t i = 5; i-- > 0;) { /* the newest first */
        ASSERT_OK(file_query(w->s, &w->a,
                             &(struct file_query){ .project = "p", .after = after, .most = 1 },
                             &list, &e),
                  e);
        assert_int_equal(list.count, 1);
        assert_string_equal(list.item[0].id, f[i].id);
        assert_int_equal(list.more, i > 0);
        ASSERT_OK(file_delete(w->s, "p", str_of(f[i].id), &e), e);
        after = str_of(f[i].id);
    }
    ASSERT_OK(file_query(w->s, &w->a, &(struct file_query){ .most = 10 }, &list, &e), e);
    assert_int_equal(list.count, 1);
    ASSERT_FAILS(
        file_query(w->s, &w->a,
                   &(struct file_query){ .project = "p", .after = STR("no-such-file"), .most = 1 },
                   &list, &e),
        e, ERROR_INVALID_ARGUMENT);
    ASSERT_FAILS(file_query(w->s, &w->a,
                            &(struct file_query){ .project = "q", .after = after, .most = 1 },
                            &list, &e),
                 e, ERROR_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, world_make, world_remove)
        WITH_STORE(test_a_file_comes_back_as_it_was_put),
        WITH_STORE(test_a_generated_file_has_the_name_it_was_given_once),
        WITH_STORE(test_a_deleted_file_is_gone_with_its_bytes),
        WITH_STORE(test_a_file_lives_until_the_microsecond_it_expires),
        WITH_STORE(test_a_list_goes_on_though_what_it_showed_is_deleted),
    };

    int failed;
    RUN_OVER_STORES(tests, failed);
    return failed;
}
