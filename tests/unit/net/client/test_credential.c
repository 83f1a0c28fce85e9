/* Keys from files that change. The credential's clock is a fake one: hours pass at once. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/mem.h"

#include "unit/net/client/credential_world.h"

/* ---- Keys ---- */

static void test_no_credential_gives_nothing(void **state)
{
    struct world *w = *state;

    open_as(w, &(struct credential_spec){ 0 });
    assert_gives(w, "");
    assert_false(credential_is_token(w->c));
    credential_refused(w->c);
    assert_gives(w, "");
}

static void test_a_given_key_is_trimmed_and_stays_when_refused(void **state)
{
    struct world *w = *state;

    open_as(w, &(struct credential_spec){ .secret = " AIzaKey \n" });
    assert_gives(w, "AIzaKey");
    credential_refused(w->c);
    assert_gives(w, "AIzaKey");
}

static void test_tokens_are_told_from_keys(void **state)
{
    static const struct {
        const char *secret;
        bool is_token;
    } cases[] = { { "AIzaKey", false }, { "sk-1234", false },  { "ya29.abc", true },
                  { "eyJh.b.c", true }, { "tat.k.1.m", true }, { "ya29", false } };
    struct world *w = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        open_as(w, &(struct credential_spec){ .secret = cases[i].secret });
        assert_int_equal(credential_is_token(w->c), cases[i].is_token);
    }
    write_text(w, "ya29.abc\n");
    open_file(w);
    assert_true(credential_is_token(w->c));
    open_account(w);
    assert_true(credential_is_token(w->c));
}

static void test_a_key_s_file_is_trimmed_and_read_again_when_it_changes(void **state)
{
    struct world *w = *state;

    write_text(w, "\n first \r\n");
    open_file(w);
    assert_gives(w, "first");
    write_text(w, "second-one");
    assert_gives(w, "first"); /* looked at once in a second */
    pass(w, CREDENTIAL_LOOK_S);
    assert_gives(w, "second-one");
}

static void test_a_key_s_file_that_is_replaced_by_one_as_long_is_seen(void **state)
{
    struct world *w = *state;
    char other[SCRATCH_PATH_BYTES];

    write_text(w, "first");
    open_file(w);
    scratch_write(&w->dir, "g", "other", 5);
    assert_int_equal(rename(scratch_path(&w->dir, "g", other), w->path), 0);
    pass(w, CREDENTIAL_LOOK_S);
    assert_gives(w, "other");
}

static void test_an_old_key_serves_while_its_file_is_bad_until_it_is_refused(void **state)
{
    struct world *w = *state;

    write_text(w, "first");
    open_file(w);
    assert_int_equal(unlink(w->path), 0);
    pass(w, CREDENTIAL_LOOK_S);
    assert_gives(w, "first");
    credential_refused(w->c);
    assert_fails(w, ERROR_NOT_FOUND);
    write_text(w, "in two parts");
    pass(w, CREDENTIAL_LOOK_S);
    assert_fails(w, ERROR_INVALID_ARGUMENT);
    assert_null(strstr(w->e.msg, "parts"));
    write_text(w, "second");
    pass(w, CREDENTIAL_LOOK_S);
    assert_gives(w, "second");
}

static void test_a_refused_key_is_read_at_once(void **state)
{
    struct world *w = *state;

    write_text(w, "first");
    open_file(w);
    write_text(w, "second");
    credential_refused(w->c);
    assert_gives(w, "second");
}

static void test_what_is_no_key_is_refused_by_name(void **state)
{
    struct world *w = *state;
    const struct credential_spec in_file = { .secret_file = w->path };

    assert_no_credential(w, &in_file, ERROR_NOT_FOUND, w->path);
    write_text(w, " \n\t");
    assert_no_credential(w, &in_file, ERROR_INVALID_ARGUMENT, "is empty");
    write_text(w, "a\nX-Evil: b");
    assert_no_credential(w, &in_file, ERROR_INVALID_ARGUMENT, "at byte 2");
    scratch_write(&w->dir, "f", "a\0b", 3);
    assert_no_credential(w, &in_file, ERROR_INVALID_ARGUMENT, "at byte 2");
    write_text(w, "schl\xc3\xbcssel");
    assert_no_credential(w, &in_file, ERROR_INVALID_ARGUMENT, "at byte 5");
    assert_no_credential(w, &(struct credential_spec){ .secret_file = w->dir.dir },
                         ERROR_INVALID_ARGUMENT, "folder");
    assert_no_credential(w, &(struct credential_spec){ .secret = "" }, ERROR_INVALID_ARGUMENT,
                         "the key is empty");
    assert_no_credential(w, &(struct credential_spec){ .secret = "a", .secret_file = w->path },
                         ERROR_INVALID_ARGUMENT, "exclude each other");
}

static void test_a_key_has_a_limit(void **state)
{
    struct world *w = *state;
    char *key = mem_alloc(CREDENTIAL_BYTES_MAX + 2);

    memset(key, 'k', CREDENTIAL_BYTES_MAX);
    write_text(w, key);
    open_file(w);
    assert_gives(w, key);
    open_as(w, &(struct credential_spec){ .secret = key });
    assert_gives(w, key);
    key[CREDENTIAL_BYTES_MAX] = 'k';
    write_text(w, key);
    assert_no_credential(w, &(struct credential_spec){ .secret_file = w->path },
                         ERROR_INVALID_ARGUMENT, "over");
    assert_no_credential(w, &(struct credential_spec){ .secret = key }, ERROR_INVALID_ARGUMENT,
                         "over");
    mem_free(key);
}

static void test_a_key_that_does_not_fit_the_caller_is_no_half_key(void **state)
{
    struct world *w = *state;
    struct buf small = BUF_INIT(4);

    open_as(w, &(struct credential_spec){ .secret = "12345" });
    assert_int_equal(credential_get(w->c, &small, &w->e), -1);
    assert_int_equal(w->e.code, ERROR_INVALID_ARGUMENT);
    buf_release(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(test_no_credential_gives_nothing),
        UNIT(test_a_given_key_is_trimmed_and_stays_when_refused),
        UNIT(test_tokens_are_told_from_keys),
        UNIT(test_a_key_s_file_is_trimmed_and_read_again_when_it_changes),
        UNIT(test_a_key_s_file_that_is_replaced_by_one_as_long_is_seen),
        UNIT(test_an_old_key_serves_while_its_file_is_bad_until_it_is_refused),
        UNIT(test_a_refused_key_is_read_at_once),
        UNIT(test_what_is_no_key_is_refused_by_name),
        UNIT(test_a_key_has_a_limit),
        UNIT(test_a_key_that_does_not_fit_the_caller_is_no_half_key),
    };

    return cmocka_run_group_tests(tests, server_start, server_stop);
}
