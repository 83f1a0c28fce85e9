/* Goal: an upload goes on where it was, after a pause, a failure or a restart, and has one writer.
 * Method: a real store, closed and opened again; bytes added behind its back as a crash leaves them. */
#include "unit/store/objects/blob_world.h"

#include <errno.h>

#include "base/mem.h"
#include "base/fault.h"
#include "base/thread.h"

#define WHAT STR("{\"name\":\"o\"}")

static struct upload begin(struct world *w, uint64_t bytes_max)
{
    struct error e = { 0 };
    struct upload up = { .project = STR("p"), .what = WHAT, .bytes_max = bytes_max };

    ASSERT_OK(upload_create(w->s, &up, &e), e);
    return up;
}

static struct blob_writer *go_on(struct world *w, const struct upload *up)
{
    struct error e = { 0 };
    struct blob_writer *writer = upload_open(w->s, up->id, &e);

    assert_string_equal(e.msg, "");
    assert_non_null(writer);
    return writer;
}

/* Writes text and pauses; the bytes so far. */
static uint64_t stretch(struct world *w, const struct upload *up, const char *text)
{
    struct error e = { 0 };
    uint64_t bytes = 0;
    struct blob_writer *writer = go_on(w, up);

    ASSERT_OK(blob_write(writer, text, strlen(text), &e), e);
    ASSERT_OK(upload_pause(w->s, up->id, writer, &bytes, &e), e);
    return bytes;
}

static void assert_finishes(struct world *w, const struct upload *up)
{
    struct error e = { 0 };
    struct blob b;
    struct upload gone;

    ASSERT_OK(upload_finish(w->s, up->id, go_on(w, up), &b, &e), e);
    assert_int_equal(b.bytes, 9);
    assert_int_equal(b.crc32c, 0xe3069283);
    assert_true(b.has_md5 && b.md5[0] == 0x25 && b.has_sha256 && b.sha256[0] == 0x15);
    assert_blob(w, b.id, "123456789");
    ASSERT_FAILS(upload_get(w->s, &w->a, str_of(up->id), &gone, &e), e, ERROR_NOT_FOUND);
    assert_null(upload_open(w->s, up->id, &e));
    assert_int_equal(e.code, ERROR_NOT_FOUND);
}

static void test_an_upload_knows_what_it_was_begun_with(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct upload up = begin(w, 100), other = begin(w, UINT64_MAX), got;

    assert_string_not_equal(up.id, other.id);
    assert_int_equal(strlen(up.id), 40);
    ASSERT_OK(upload_get(w->s, &w->a, str_of(up.id), &got, &e), e);
    assert_true(str_eq_c(got.project, "p") && str_eq(got.what, WHAT));
    assert_true(got.bytes == 0 && got.bytes_max == 100);
}

static void test_an_upload_goes_on_after_pauses(void **state)
{
    struct world *w = *state;
    struct upload up = begin(w, 100);

    assert_int_equal(stretch(w, &up, "123"), 3);
    assert_int_equal(stretch(w, &up, ""), 3);
    assert_int_equal(stretch(w, &up, "456789"), 9);
    assert_finishes(w, &up);
}

static void test_an_upload_goes_on_after_a_restart_without_what_was_not_durable(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct upload up = begin(w, 100), got;
    char path[PATH_BYTES];

    (void)stretch(w, &up, "123");
    world_reopen(w);
    ASSERT_OK(upload_get(w->s, &w->a, str_of(up.id), &got, &e), e);
    assert_int_equal(got.bytes, 3);
    if (!store_is_shared(w->s)) {
        store_path(w->s, path, "uploads/%s", up.id);
        int fd = sys_open(path, O_WRONLY | O_APPEND, &e);
        ASSERT_OK(sys_write_all(fd, "torn", 4, path, &e), e);
        assert_int_equal(close(fd), 0);
    }
    assert_int_equal(stretch(w, &up, "456789"), 9);
    assert_finishes(w, &up);
}

/* A database over the network is never asked on a connection's thread: such calls come on others then. */
static void on_connection(struct world *w)
{
    if (!w->database[0])
        thread_role_set(THREAD_CONNECTION);
}

/* The role is checked where a file is hashed (base/thread.h). */
static void test_going_on_after_a_restart_hashes_nothing_on_a_connection(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    uint64_t bytes = 0;
    struct upload up = begin(w, 100);

    (void)stretch(w, &up, "123");
    world_reopen(w);
    on_connection(w);
    struct blob_writer *writer = go_on(w, &up);
    ASSERT_OK(blob_write(writer, "456", 3, &e), e);
    thread_role_set(THREAD_OWN);
    ASSERT_OK(upload_pause(w->s, up.id, writer, &bytes, &e), e);
    assert_int_equal(stretch(w, &up, "789"), 9);
    assert_finishes(w, &up);
}

/* The writer when the one before has ended its work. */
static struct blob_writer *go_on_soon(struct world *w, const struct upload *up)
{
    for (;;) {
        struct error e = { 0 };
        struct blob_writer *writer = upload_open(w->s, up->id, &e);
        if (writer)
            return writer;
        assert_int_equal(e.code, ERROR_ABORTED);
        clock_system()->sleep_ns(clock_system(), NS_PER_MS);
    }
}

static void test_an_upload_that_its_connection_leaves_is_paused_elsewhere(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    uint64_t bytes = 0;
    struct upload up = begin(w, 100);

    on_connection(w);
    struct blob_writer *writer = go_on(w, &up);
    ASSERT_OK(blob_write(writer, "12345", 5, &e), e);
    blob_leave(writer);
    thread_role_set(THREAD_OWN);
    writer = go_on_soon(w, &up);
    assert_int_equal(blob_written(writer), 5);
    ASSERT_OK(blob_write(writer, "6789", 4, &e), e);
    ASSERT_OK(upload_pause(w->s, up.id, writer, &bytes, &e), e);
    assert_finishes(w, &up);
}

/* As a call with a wrong offset: the next one follows at once. */
static void test_a_connection_that_writes_nothing_gives_the_upload_back_at_once(void **state)
{
    struct world *w = *state;
    struct upload up = begin(w, 100);

    (void)stretch(w, &up, "12345");
    on_connection(w);
    for (int i = 0; i < 100; i++)
        blob_leave(go_on(w, &up));
    thread_role_set(THREAD_OWN);
    assert_int_equal(stretch(w, &up, "6789"), 9);
    assert_finishes(w, &up);
}

/* Writes what is one mark, and a byte, on a connection's thread: no role may be broken. */
static struct blob_writer *write_a_mark(struct world *w, const struct upload *up)
{
    static char piece[1024 * 1024];
    struct error e = { 0 };
    struct blob_writer *writer = go_on(w, up);

    on_connection(w);
    for (uint64_t n = 0; n < UPLOAD_MARK_BYTES; n += sizeof piece)
        ASSERT_OK(blob_write(writer, piece, sizeof piece, &e), e);
    ASSERT_OK(blob_write(writer, "x", 1, &e), e);
    thread_role_set(THREAD_OWN);
    return writer;
}

static void test_bytes_become_durable_while_they_come_and_not_on_the_connection(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct upload up = begin(w, UINT64_MAX), got;
    struct blob_writer *writer = write_a_mark(w, &up);

    ASSERT_OK(blob_mark_end(writer, &e), e);
    ASSERT_OK(upload_get(w->s, &w->a, str_of(up.id), &got, &e), e);
    assert_int_equal(got.bytes, UPLOAD_MARK_BYTES);
    blob_abort(writer);
    writer = go_on(w, &up);
    assert_int_equal(blob_written(writer), UPLOAD_MARK_BYTES);
    blob_abort(writer);
}

static void test_after_a_sync_that_failed_only_what_was_durable_counts(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct upload up = begin(w, UINT64_MAX), got;
    uint64_t bytes;

    (void)stretch(w, &up, "12345");
    if (store_is_shared(w->s) && world_s3())
        skip(); /* the bytes are synced elsewhere */
    fault_arm("sys.sync", 0, EIO);
    struct blob_writer *writer = write_a_mark(w, &up);
    ASSERT_FAILS(blob_mark_end(writer, &e), e, ERROR_INTERNAL);
    assert_true(fault_disarm());
    ASSERT_FAILS(upload_pause(w->s, up.id, writer, &bytes, &e), e, ERROR_INTERNAL);
    ASSERT_OK(upload_get(w->s, &w->a, str_of(up.id), &got, &e), e);
    assert_int_equal(got.bytes, 5);
    (void)stretch(w, &up, "6789");
    assert_finishes(w, &up);
}

static void test_a_project_has_a_maximum_of_uploads_and_others_go_on(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct upload last = { 0 };

    for (int i = 0; i < UPLOADS_PROJECT_MAX; i++)
        last = begin(w, 1);
    struct upload more = { .project = STR("p"), .what = WHAT, .bytes_max = 1 };
    ASSERT_FAILS(upload_create(w->s, &more, &e), e, ERROR_RESOURCE_EXHAUSTED);
    more.project = STR("q");
    ASSERT_OK(upload_create(w->s, &more, &e), e);
    ASSERT_OK(upload_delete(w->s, last.id, &e), e);
    (void)begin(w, 1);
}

static void test_the_second_writer_is_refused(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    uint64_t bytes;
    struct upload up = begin(w, 100);
    struct blob_writer *writer = go_on(w, &up);

    assert_null(upload_open(w->s, up.id, &e));
    assert_int_equal(e.code, ERROR_ABORTED);
    e = (struct error){ 0 };
    ASSERT_FAILS(upload_delete(w->s, up.id, &e), e, ERROR_ABORTED);
    ASSERT_OK(blob_write(writer, "123456789", 9, &e), e);
    ASSERT_OK(upload_pause(w->s, up.id, writer, &bytes, &e), e);
    assert_finishes(w, &up);
}

static void test_an_aborted_writer_leaves_the_upload_as_last_paused(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct upload up = begin(w, 100);

    (void)stretch(w, &up, "12345");
    struct blob_writer *writer = go_on(w, &up);
    ASSERT_OK(blob_write(writer, "lost", 4, &e), e);
    blob_abort(writer);
    assert_int_equal(stretch(w, &up, "6789"), 9);
    assert_finishes(w, &up);
}

static void test_an_upload_takes_its_maximum_and_not_a_byte_more(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    uint64_t bytes;
    struct upload up = begin(w, 9);

    (void)stretch(w, &up, "12345");
    struct blob_writer *writer = go_on(w, &up);
    ASSERT_FAILS(blob_write(writer, "67890", 5, &e), e, ERROR_RESOURCE_EXHAUSTED);
    ASSERT_OK(blob_write(writer, "6789", 4, &e), e);
    ASSERT_FAILS(blob_write(writer, "0", 1, &e), e, ERROR_RESOURCE_EXHAUSTED);
    ASSERT_OK(upload_pause(w->s, up.id, writer, &bytes, &e), e);
    assert_finishes(w, &up);
}

/* Fail each call in turn: what pause or get said is kept, and the upload can always be brought to its
 * end. */
static void test_a_failure_loses_nothing_that_was_said_to_be_durable(void **state)
{
    struct world *w = *state;

    for (int n = 0;; n++) {
        struct error e = { 0 };
        struct upload up = begin(w, 100), got;
        uint64_t bytes = stretch(w, &up, "12345");
        fault_arm("*", n, ENOSPC);
        struct blob_writer *writer = upload_open(w->s, up.id, &e);
        if (writer) {
            int rc = blob_write(writer, "67", 2, &e);
            rc = upload_pause(w->s, up.id, writer, &bytes, &e) + rc;
            (void)rc;
        }
        int fired = fault_disarm();
        e = (struct error){ 0 };
        ASSERT_OK(upload_get(w->s, &w->a, str_of(up.id), &got, &e), e);
        assert_true(got.bytes >= bytes && got.bytes >= 5 && got.bytes <= 7);
        (void)stretch(w, &up, got.bytes == 5 ? "6789" : "89");
        assert_finishes(w, &up);
        if (!fired)
            break;
        assert_true(n < 200);
    }
}

static void test_more_paused_uploads_than_hashes_are_kept_for_still_finish(void **state)
{
    struct world *w = *state;
    struct upload up[70];

    for (size_t i = 0; i < 70; i++) {
        up[i] = begin(w, 100);
        (void)stretch(w, &up[i], "12345");
    }
    for (size_t i = 0; i < 70; i += 23) {
        (void)stretch(w, &up[i], "6789");
        assert_finishes(w, &up[i]);
    }
}

static void test_a_deleted_and_an_expired_upload_are_gone_with_their_bytes(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct upload deleted = begin(w, 100), expired = begin(w, 100), kept, got;
    char path[PATH_BYTES];

    ASSERT_OK(upload_delete(w->s, deleted.id, &e), e);
    ASSERT_FAILS(upload_get(w->s, &w->a, str_of(deleted.id), &got, &e), e, ERROR_NOT_FOUND);
    ASSERT_FAILS(upload_delete(w->s, deleted.id, &e), e, ERROR_NOT_FOUND);
    w->clock.fake_us += 6 * (int64_t)86400 * 1000000;
    kept = begin(w, 100);
    ASSERT_OK(upload_get(w->s, &w->a, str_of(expired.id), &got, &e), e);
    w->clock.fake_us += (int64_t)86400 * 1000000;
    ASSERT_FAILS(upload_get(w->s, &w->a, str_of(expired.id), &got, &e), e, ERROR_NOT_FOUND);
    if (store_is_shared(w->s)) {
        (void)world_sweep(w);
    } else {
        store_path(w->s, path, "uploads/%s", kept.id);
        make_old(path);
        store_path(w->s, path, "uploads/%s", expired.id);
        make_old(path);
        assert_int_equal(world_sweep(w), 1);
        assert_int_equal(access(path, F_OK), -1);
    }
    (void)stretch(w, &kept, "123456789");
    assert_finishes(w, &kept);
}

static void test_an_id_that_none_has_is_not_found_whatever_it_looks_like(void **state)
{
    struct world *w = *state;
    static const char *const ids[] = { "", "../state.db", "x", "w1",
                                       "0123456789012345678901234567890123456789012345678901234" };

    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        struct error e = { 0 };
        struct upload got;
        ASSERT_FAILS(upload_get(w->s, &w->a, str_of(ids[i]), &got, &e), e, ERROR_NOT_FOUND);
        assert_null(upload_open(w->s, ids[i], &e));
        assert_int_equal(e.code, ERROR_NOT_FOUND);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, world_make, world_remove)
        WITH_STORE(test_an_upload_knows_what_it_was_begun_with),
        WITH_STORE(test_an_upload_goes_on_after_pauses),
        WITH_STORE(test_an_upload_goes_on_after_a_restart_without_what_was_not_durable),
        WITH_STORE(test_going_on_after_a_restart_hashes_nothing_on_a_connection),
        WITH_STORE(test_an_upload_that_its_connection_leaves_is_paused_elsewhere),
        WITH_STORE(test_a_connection_that_writes_nothing_gives_the_upload_back_at_once),
        WITH_STORE(test_bytes_become_durable_while_they_come_and_not_on_the_connection),
        WITH_STORE(test_after_a_sync_that_failed_only_what_was_durable_counts),
        WITH_STORE(test_a_project_has_a_maximum_of_uploads_and_others_go_on),
        WITH_STORE(test_the_second_writer_is_refused),
        WITH_STORE(test_an_aborted_writer_leaves_the_upload_as_last_paused),
        WITH_STORE(test_an_upload_takes_its_maximum_and_not_a_byte_more),
        WITH_STORE(test_a_failure_loses_nothing_that_was_said_to_be_durable),
        WITH_STORE(test_more_paused_uploads_than_hashes_are_kept_for_still_finish),
        WITH_STORE(test_a_deleted_and_an_expired_upload_are_gone_with_their_bytes),
        WITH_STORE(test_an_id_that_none_has_is_not_found_whatever_it_looks_like),
    };

    int failed;
    RUN_OVER_STORES(tests, failed);
    return failed;
}
