/* Goal: a blob that can be named is whole and on the disk, its hashes are right, and what no row names
 * goes in its time. Method: a real folder; vectors; faults at each system call in turn. */
#include "unit/store/objects/blob_world.h"

#include <dirent.h>
#include <errno.h>

#include "base/fault.h"

static void test_a_written_blob_has_its_bytes_and_hashes(void **state)
{
    static const unsigned char md5[16] = { 0x25, 0xf9, 0xe7, 0x94, 0x32, 0x3b, 0x45, 0x38,
                                           0x85, 0xf5, 0x18, 0x1f, 0x1b, 0x62, 0x4d, 0x0b };
    static const unsigned char sha_head[4] = { 0x15, 0xe2, 0xb0, 0xd3 };
    struct world *w = *state;
    struct blob b = blob_of(w, "123456789");

    assert_int_equal(b.bytes, 9);
    assert_int_equal(b.crc32c, 0xe3069283);
    assert_true(b.has_md5 && b.has_sha256);
    assert_memory_equal(b.md5, md5, sizeof md5);
    assert_memory_equal(b.sha256, sha_head, sizeof sha_head);
    assert_blob(w, b.id, "123456789");
    char uploads[PATH_BYTES];
    assert_int_equal(rmdir(scratch_path(&w->scratch, "state/uploads", uploads)), 0); /* empty */
}

static void test_a_writer_takes_its_maximum_and_not_a_byte_more(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct blob b;
    struct blob_writer *writer = blob_create(w->s, 4, false, &e);

    assert_non_null(writer);
    ASSERT_OK(blob_write(writer, "abc", 3, &e), e);
    ASSERT_FAILS(blob_write(writer, "de", 2, &e), e, ERROR_RESOURCE_EXHAUSTED);
    ASSERT_OK(blob_write(writer, "d", 1, &e), e);
    ASSERT_FAILS(blob_write(writer, "e", 1, &e), e, ERROR_RESOURCE_EXHAUSTED);
    assert_int_equal(blob_written(writer), 4);
    ASSERT_OK(blob_finish(writer, &b, &e), e);
    assert_blob(w, b.id, "abcd");
}

static void test_ids_are_never_given_twice_over_restarts(void **state)
{
    struct world *w = *state;
    int64_t last = 0;

    for (int i = 0; i < 4; i++) {
        int64_t id = blob_of(w, "x").id;
        assert_true(id > last);
        last = id;
        if (i % 2)
            world_reopen(w);
    }
}

static void test_an_adopted_file_moves_and_is_hashed(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct blob b;
    char path[SCRATCH_PATH_BYTES];
    struct blob_hasher *h = blob_hasher_new(&e);

    assert_non_null(h);
    blob_hasher_add(h, "1234", 4);
    blob_hasher_add(h, "56789", 5);
    scratch_write(&w->scratch, "made", "123456789", 9);
    ASSERT_OK(blob_adopt(w->s, scratch_path(&w->scratch, "made", path), h, &b, &e), e);
    assert_int_equal(b.crc32c, 0xe3069283);
    assert_true(b.has_md5 && b.has_sha256);
    assert_blob(w, b.id, "123456789");
    assert_false(scratch_has(&w->scratch, "made"));
    ASSERT_FAILS(blob_adopt(w->s, path, h, &b, &e), e, ERROR_NOT_FOUND);
    blob_hasher_free(h);
}

static void test_a_file_of_another_size_than_was_hashed_is_not_adopted(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct blob b;
    char path[SCRATCH_PATH_BYTES];
    struct blob_hasher *h = blob_hasher_new(&e);

    assert_non_null(h);
    blob_hasher_add(h, "1234", 4);
    scratch_write(&w->scratch, "made", "12345", 5);
    ASSERT_FAILS(blob_adopt(w->s, scratch_path(&w->scratch, "made", path), h, &b, &e), e,
                 ERROR_DATA_LOSS);
    assert_true(scratch_has(&w->scratch, "made"));
    blob_hasher_free(h);
}

static void test_a_composed_blob_is_the_concatenation(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct blob b;
    int64_t part[] = { blob_of(w, "1234").id, blob_of(w, "").id, blob_of(w, "56789").id };

    ASSERT_OK(blob_compose(w->s, part, 3, &b, &e), e);
    assert_int_equal(b.bytes, 9);
    assert_int_equal(b.crc32c, 0xe3069283);
    assert_false(b.has_md5 || b.has_sha256);
    assert_blob(w, b.id, "123456789");
    part[1] = 999999;
    ASSERT_FAILS(blob_compose(w->s, part, 3, &b, &e), e, ERROR_NOT_FOUND);
}

static int files_in(struct world *w, const char *below)
{
    char path[PATH_BYTES];
    int count = 0;

    store_path(w->s, path, "%s", below);
    DIR *dir = opendir(path);
    if (!dir)
        return 0;
    for (struct dirent *d = readdir(dir); d; d = readdir(dir))
        count += d->d_name[0] != '.';
    (void)closedir(dir);
    return count;
}

static int write_and_put(struct world *w, struct error *e)
{
    struct blob b;
    struct blob_writer *writer = blob_create(w->s, 100, false, e);

    if (!writer)
        return -1;
    if (blob_write(writer, "123456789", 9, e) < 0) {
        blob_abort(writer);
        return -1;
    }
    if (blob_finish(writer, &b, e) < 0)
        return -1;
    struct object_new in = object_of("bucket", "o", b);
    return object_put(w->s, NULL, &in, NULL, e);
}

/* Fail each call in turn: either the object is there and whole, or it is not there at all. */
static void test_nothing_half_made_is_visible_under_any_fault(void **state)
{
    struct world *w = *state;

    bucket_of(w, NULL, "bucket");
    for (int n = 0;; n++) {
        struct error e = { 0 }, later = { 0 };
        struct object o;
        fault_arm("*", n, ENOSPC);
        int rc = write_and_put(w, &e);
        int fired = fault_disarm();
        world_reopen(w);
        int there = object_get(w->s, &w->a, REF(NULL, STR("bucket"), STR("o")), &o, &later);
        if (there == 0) {
            assert_blob(w, o.blob.id, "123456789");
            ASSERT_OK(object_delete(w->s, REF(NULL, STR("bucket"), STR("o")), &e), (later));
        } else
            assert_int_equal(rc, -1);
        assert_int_equal(files_in(w, "uploads"), 0);
        if (!fired) {
            assert_int_equal(rc, 0);
            break;
        }
        assert_true(n < 200);
    }
}

static void test_the_sweep_removes_old_blobs_in_no_row_and_nothing_else(void **state)
{
    struct world *w = *state;
    struct blob old = blob_of(w, "old"), young = blob_of(w, "young");

    bucket_of(w, NULL, "bucket");
    struct object kept = put(w, "bucket", "o", "kept");
    make_old(blob_place_of(w, old.id));
    make_old(blob_place_of(w, kept.blob.id));
    scratch_write(&w->scratch, "state/uploads/w-77", "left by a crash", 5);
    char path[SCRATCH_PATH_BYTES];
    make_old(scratch_path(&w->scratch, "state/uploads/w-77", path));
    assert_int_equal(world_sweep(w), 2);
    assert_gone(w, old.id);
    assert_true(blob_is_there(w, young.id) && blob_is_there(w, kept.blob.id));
    assert_false(scratch_has(&w->scratch, "state/uploads/w-77"));
}

static void test_a_swept_blob_can_be_named_no_more(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct blob old = blob_of(w, "old");
    struct object_new in = object_of("bucket", "o", old);

    bucket_of(w, NULL, "bucket");
    make_old(blob_place_of(w, old.id));
    (void)world_sweep(w);
    ASSERT_FAILS(object_put(w->s, &w->a, &in, NULL, &e), e, ERROR_UNAVAILABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, world_make, world_remove)
        WITH_STORE(test_a_written_blob_has_its_bytes_and_hashes),
        WITH_STORE(test_a_writer_takes_its_maximum_and_not_a_byte_more),
        WITH_STORE(test_ids_are_never_given_twice_over_restarts),
        WITH_STORE(test_an_adopted_file_moves_and_is_hashed),
        WITH_STORE(test_a_file_of_another_size_than_was_hashed_is_not_adopted),
        WITH_STORE(test_a_composed_blob_is_the_concatenation),
        WITH_STORE(test_nothing_half_made_is_visible_under_any_fault),
        WITH_STORE(test_the_sweep_removes_old_blobs_in_no_row_and_nothing_else),
        WITH_STORE(test_a_swept_blob_can_be_named_no_more),
    };

    int failed;
    RUN_OVER_STORES(tests, failed);
    return failed;
}
