/* Goal: blobs of a shared store come from the bucket once, whole and checked or not at all; copies stay within their
 * bytes; what is composed lives as long as it is named; uploads go on at any process; and no crash loses what a row
 * names. Method: a bucket in a folder behind one that counts, breaks, garbles, stops or ends the process at a chosen
 * call; a second store on the same database stands for another process. */
#include "unit/store/objects/blob_world.h"

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "base/crc32c.h"
#include "base/fault.h"
#include "base/thread.h"
#include "store/bucket/bucket.h"

#define MIB ((size_t)1024 * 1024)

/* ---- A bucket that does what a test wants ---- */

enum death { DEATH_NONE, DEATH_BEFORE, DEATH_AFTER };
static struct tap {
    struct shared_bucket base;
    struct shared_bucket *inner;
    atomic_int gets, puts, calls;
    atomic_ullong got_bytes;
    atomic_bool down, garbles, stops;
    enum death death;
    int death_at;
} tap;

static bool dies(enum death when)
{
    bool now = tap.death == when && atomic_load(&tap.calls) == tap.death_at;

    if (now)
        _exit(0);
    return now;
}

static int down(struct error *e)
{
    (void)dies(DEATH_BEFORE);
    return atomic_load(&tap.down) ? error_set(e, ERROR_UNAVAILABLE, "the bucket is down") : 0;
}

static int done(int rc)
{
    (void)dies(DEATH_AFTER);
    atomic_fetch_add(&tap.calls, 1);
    return rc;
}

static int tap_put(struct shared_bucket *b, const char *key, int fd, uint64_t from, uint64_t to,
                   struct error *e)
{
    (void)b;
    atomic_fetch_add(&tap.puts, 1);
    return down(e) < 0 ? -1 : done(tap.inner->ops->put(tap.inner, key, fd, from, to, e));
}

static int tap_get(struct shared_bucket *b, const char *key, const struct bucket_span *what, int fd,
                   struct error *e)
{
    (void)b;
    atomic_fetch_add(&tap.gets, 1);
    atomic_fetch_add(&tap.got_bytes, what->to - what->from);
    while (atomic_load(&tap.stops))
        clock_system()->sleep_ns(clock_system(), NS_PER_MS);
    if (down(e) < 0)
        return -1;
    int rc = tap.inner->ops->get(tap.inner, key, what, fd, e);
    if (rc == 0 && atomic_load(&tap.garbles))
        rc = sys_write_at(fd, "?", 1, what->at, "a copy", e);
    return done(rc);
}

static int tap_size(struct shared_bucket *b, const char *key, uint64_t *bytes, struct error *e)
{
    (void)b;
    return down(e) < 0 ? -1 : done(tap.inner->ops->size(tap.inner, key, bytes, e));
}

static int tap_remove(struct shared_bucket *b, const char *key, struct error *e)
{
    (void)b;
    return down(e) < 0 ? -1 : done(tap.inner->ops->remove(tap.inner, key, e));
}

static int tap_list(struct shared_bucket *b, const char *under,
                    int (*fn)(void *arg, const struct bucket_entry *entry, struct error *e),
                    void *arg, struct error *e)
{
    (void)b;
    return down(e) < 0 ? -1 : done(tap.inner->ops->list(tap.inner, under, fn, arg, e));
}

static void tap_close(struct shared_bucket *b)
{
    (void)b;
    tap.inner->ops->close(tap.inner);
}

static const struct shared_bucket_ops tap_ops = {
    tap_put, tap_get, tap_size, tap_remove, tap_list, tap_close,
};

static void tap_open(struct store *s)
{
    tap = (struct tap){ .base = { &tap_ops }, .inner = s->bucket };
    s->bucket = &tap.base;
}

static int shared_make(void **state)
{
    world_shared = true;
    (void)world_make(state);
    tap_open(((struct world *)*state)->s);
    return 0;
}

/* ---- What tests do ---- */

/* Bytes that differ from place to place. */
static unsigned char byte_at(uint64_t at)
{
    return (unsigned char)(at * 31 + at / 251 + at / 65537);
}

static struct blob big_blob(struct store *s, size_t bytes)
{
    struct error e = { 0 };
    struct blob b = { 0 };
    unsigned char *p = mem_alloc(bytes);
    struct blob_writer *writer = blob_create(s, bytes, true, &e);

    for (size_t i = 0; i < bytes; i++)
        p[i] = byte_at(i);
    assert_non_null(writer);
    ASSERT_OK(blob_write(writer, p, bytes, &e), e);
    ASSERT_OK(blob_finish(writer, &b, &e), e);
    mem_free(p);
    return b;
}

static void assert_bytes(int fd, uint64_t from, size_t bytes)
{
    struct error e = { 0 };
    unsigned char *p = mem_alloc(bytes);

    assert_true(fd >= 0);
    assert_int_equal(sys_read_at(fd, p, bytes, from, "a blob", &e), bytes);
    for (size_t i = 0; i < bytes; i++)
        if (p[i] != byte_at(from + i))
            fail_msg("byte %llu", (unsigned long long)(from + i));
    mem_free(p);
}

/* As a process that has no copies. */
static void forget_copies(struct world *w)
{
    char path[PATH_BYTES];
    struct error e = { 0 };

    store_path(w->s, path, "cache");
    store_close(w->s);
    ASSERT_OK(sys_remove_all(path, &e), e);
    world_open(w);
    tap_open(w->s);
}

static uint64_t bytes_below(const char *folder)
{
    uint64_t bytes = 0;
    DIR *dir = opendir(folder);
    struct stat st;

    if (!dir)
        return 0;
    for (struct dirent *d = readdir(dir); d; d = readdir(dir)) {
        char path[2 * PATH_BYTES];
        (void)snprintf(path, sizeof path, "%s/%s", folder, d->d_name);
        if (d->d_name[0] != '.' && stat(path, &st) == 0)
            bytes += S_ISDIR(st.st_mode)              ? bytes_below(path)
                     : strcmp(d->d_name, "boot") == 0 ? 0
                                                      : (uint64_t)st.st_size;
    }
    (void)closedir(dir);
    return bytes;
}

static uint64_t cache_size(struct world *w)
{
    char path[PATH_BYTES];

    store_path(w->s, path, "cache");
    return bytes_below(path);
}

/* ---- Copies ---- */

static void test_a_blob_that_was_just_written_is_opened_without_the_bucket(void **state)
{
    struct world *w = *state;
    struct blob b = blob_of(w, "123456789");

    assert_blob(w, b.id, "123456789");
    assert_int_equal(atomic_load(&tap.gets), 0);
}

struct opener {
    struct world *w;
    int64_t id;
    int fd;
    struct error e;
};

static void *open_one(void *arg)
{
    struct opener *o = arg;

    o->fd = blob_open(o->w->s, o->id, &o->e);
    return NULL;
}

static void open_at_once(struct world *w, int64_t id, struct opener *o, int count)
{
    pthread_t thread[16];

    atomic_store(&tap.stops, true);
    for (int i = 0; i < count; i++) {
        o[i] = (struct opener){ .w = w, .id = id };
        assert_int_equal(pthread_create(&thread[i], NULL, open_one, &o[i]), 0);
    }
    while (atomic_load(&tap.gets) == 0)
        clock_system()->sleep_ns(clock_system(), NS_PER_MS);
    atomic_store(&tap.stops, false);
    for (int i = 0; i < count; i++)
        thread_join(thread[i]);
}

static void test_many_who_open_a_blob_at_once_fetch_it_once(void **state)
{
    struct world *w = *state;
    struct opener o[8];
    int64_t id = blob_of(w, "123456789").id;

    forget_copies(w);
    open_at_once(w, id, o, 8);
    for (int i = 0; i < 8; i++)
        assert_fd_has(o[i].fd, "123456789");
    assert_int_equal(atomic_load(&tap.gets), 1);
}

/* Those that came while it failed see the same failure; none waits for ever. */
static void test_a_bucket_that_is_down_fails_all_who_wait_and_works_when_it_is_back(void **state)
{
    struct world *w = *state;
    struct opener o[8];
    struct error e = { 0 };
    struct blob b = blob_of(w, "123456789");
    struct object_new in = object_of("bucket", "o", b);

    bucket_of(w, NULL, "bucket");
    ASSERT_OK(object_put(w->s, &w->a, &in, NULL, &e),
              e); /* so that its size is known without the bucket */
    forget_copies(w);
    atomic_store(&tap.down, true);
    open_at_once(w, b.id, o, 8);
    for (int i = 0; i < 8; i++)
        assert_true(o[i].fd == -1 && o[i].e.code == ERROR_UNAVAILABLE);
    struct blob_writer *writer = blob_create(w->s, 100, false, &e);
    ASSERT_OK(blob_write(writer, "x", 1, &e), e);
    ASSERT_FAILS(blob_finish(writer, &b, &e), e, ERROR_UNAVAILABLE);
    atomic_store(&tap.down, false);
    assert_blob(w, in.blob.id, "123456789");
    assert_int_equal(cache_size(w), 9);
}

static void test_bytes_that_the_bucket_garbles_are_no_blob(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct object_new in = object_of("bucket", "o", blob_of(w, "123456789"));

    bucket_of(w, NULL, "bucket");
    ASSERT_OK(object_put(w->s, &w->a, &in, NULL, &e), e);
    forget_copies(w);
    atomic_store(&tap.garbles, true);
    assert_int_equal(blob_open(w->s, in.blob.id, &e), -1);
    assert_int_equal(e.code, ERROR_DATA_LOSS);
    assert_int_equal(cache_size(w), 0);
    atomic_store(&tap.garbles, false);
    assert_blob(w, in.blob.id, "123456789");
}

static void test_copies_stay_within_their_bytes_and_the_longest_unused_goes(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct blob b[6];

    w->s->cache_bytes = 4 * MIB;
    for (int i = 0; i < 6; i++) {
        b[i] = big_blob(w->s, MIB);
        assert_bytes(blob_open(w->s, b[0].id, &e), 0, MIB); /* the first is used again and again */
    }
    assert_int_equal(cache_size(w), 4 * MIB);
    atomic_store(&tap.gets, 0);
    assert_bytes(blob_open(w->s, b[0].id, &e), 0, MIB);
    assert_bytes(blob_open(w->s, b[5].id, &e), 0, MIB);
    assert_int_equal(atomic_load(&tap.gets), 0);
    assert_bytes(blob_open(w->s, b[1].id, &e), 0, MIB);
    assert_int_equal(atomic_load(&tap.gets), 1);
    struct blob large = big_blob(w->s, 5 * MIB); /* larger than all copies may be */
    assert_bytes(blob_open(w->s, large.id, &e), 0, 5 * MIB);
    assert_int_equal(cache_size(w), 4 * MIB);
}

static void test_a_full_disk_fails_the_opening_and_leaves_no_copy(void **state)
{
    struct world *w = *state;
    int64_t id = big_blob(w->s, MIB).id;

    for (int n = 0;; n++) {
        struct error e = { 0 };
        forget_copies(w);
        fault_arm("*", n, ENOSPC);
        int fd = blob_open(w->s, id, &e);
        int fired = fault_disarm();
        assert_int_equal(cache_size(w), fd >= 0 ? MIB : 0);
        if (fd >= 0)
            assert_bytes(fd, 0, MIB);
        else
            assert_int_equal(e.code, ERROR_RESOURCE_EXHAUSTED);
        e = (struct error){ 0 };
        assert_bytes(blob_open(w->s, id, &e), 0, MIB);
        if (!fired)
            break;
        assert_true(n < 200);
    }
}

static void test_a_restart_keeps_copies_and_another_start_of_the_machine_does_not(void **state)
{
    struct world *w = *state;
    char path[PATH_BYTES];
    int64_t id = blob_of(w, "123456789").id;

    scratch_write(&w->scratch, "state/cache/w-1", "cut off", 7);
    world_reopen(w);
    tap_open(w->s);
    assert_blob(w, id, "123456789");
    assert_int_equal(atomic_load(&tap.gets), 0);
    assert_int_equal(cache_size(w), 9);
    store_path(w->s, path, "cache/%02x/%lld", (unsigned)(id & 0xff), (long long)id);
    int fd = open(path, O_WRONLY);
    assert_int_equal(write(fd, "000", 3), 3); /* a write that the power cut lost */
    assert_int_equal(close(fd), 0);
    scratch_write(&w->scratch, "state/cache/boot", "another", 7);
    world_reopen(w);
    tap_open(w->s);
    assert_blob(w, id, "123456789");
    assert_int_equal(atomic_load(&tap.gets), 1);
}

static void test_a_part_of_a_big_blob_is_all_that_is_fetched_for_it(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    int64_t id = big_blob(w->s, 32 * MIB).id;

    forget_copies(w);
    int fd = blob_open_part(w->s, id, 20 * MIB, 21 * MIB, &e);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 32 * MIB);
    assert_bytes(fd, 20 * MIB, MIB);
    assert_int_equal(close(fd), 0);
    assert_int_equal(atomic_load(&tap.got_bytes), MIB);
    fd = blob_open_part(w->s, id, 31 * MIB, 99 * MIB, &e); /* more than there is */
    assert_bytes(fd, 31 * MIB, MIB);
    assert_int_equal(close(fd), 0);
}

/* ---- Blobs made of others ---- */

static struct blob part_of(struct world *w, uint64_t from, size_t bytes)
{
    struct error e = { 0 };
    struct blob b = { 0 };
    struct blob_writer *writer = blob_create(w->s, bytes, false, &e);

    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = byte_at(from + i);
        ASSERT_OK(blob_write(writer, &c, 1, &e), e);
    }
    ASSERT_OK(blob_finish(writer, &b, &e), e);
    return b;
}

static void test_joined_parts_read_as_one_by_any_range(void **state)
{
    enum { PARTS = 150 };
    struct world *w = *state;
    struct error e = { 0 };
    struct blob part[PARTS], whole, more;
    uint64_t at = 0;

    for (int i = 0; i < PARTS; i++) {
        part[i] = part_of(w, at, (size_t)(i * 37 % 211)); /* the first is empty */
        at += part[i].bytes;
    }
    ASSERT_OK(blob_join(w->s, part, PARTS, &whole, &e), e);
    assert_int_equal(whole.bytes, at);
    assert_false(whole.has_md5 || whole.has_sha256);
    forget_copies(w);
    assert_bytes(blob_open(w->s, whole.id, &e), 0, at);
    const struct blob_facts f = { whole.bytes, whole.crc32c, true, true };
    for (uint64_t from = 0; from < at; from += 977) {
        uint64_t to = from + 1500 < at ? from + 1500 : at;
        int fd = blob_fetch_nameless(w->s, whole.id, &f, (struct byte_range){ from, to }, &e);
        assert_bytes(fd, from, to - from);
        assert_int_equal(close(fd), 0);
    }
    const int64_t twice[] = { whole.id, part[1].id, whole.id }; /* composed ones are taken apart */
    ASSERT_OK(blob_compose(w->s, twice, 3, &more, &e), e);
    assert_int_equal(more.bytes, 2 * at + part[1].bytes);
    forget_copies(w);
    int fd = blob_open(w->s, more.id, &e);
    assert_string_equal(e.msg, "");
    assert_bytes(fd, 0, at);
    assert_int_equal(close(fd), 0);
}

static void test_nothing_joined_is_an_empty_blob(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct blob whole;

    ASSERT_OK(blob_join(w->s, NULL, 0, &whole, &e), e);
    assert_blob(w, whole.id, "");
}

static int64_t rows_of(struct world *w, const char *table)
{
    struct error e = { 0 };
    struct db *d = store_read(w->s, &e);
    struct stmt *q = db_stmt(d, strcmp(table, "segment") == 0 ? "SELECT count(*) FROM segment"
                                                              : "SELECT count(*) FROM composed");

    assert_int_equal(db_step(q, "count", &e), 1);
    int64_t n = db_int(q, 0);
    store_read_done(w->s, d);
    return n;
}

static void age_composed(struct world *w)
{
    struct error e = { 0 };
    struct db *d = store_write(w->s, &e);

    ASSERT_OK(db_exec(d, "UPDATE composed SET create_us = 1", "age", &e), e);
    ASSERT_OK(store_commit(w->s, d, 0, &e), e);
}

static void test_parts_live_as_long_as_what_is_made_of_them(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    int64_t part[] = { blob_of(w, "1234").id, blob_of(w, "56789").id };
    struct object_new in = object_of("bucket", "o", (struct blob){ 0 });

    bucket_of(w, NULL, "bucket");
    ASSERT_OK(blob_compose(w->s, part, 2, &in.blob, &e), e);
    ASSERT_OK(object_put(w->s, &w->a, &in, NULL, &e), e);
    make_old(blob_place_of(w, part[0]));
    make_old(blob_place_of(w, part[1]));
    age_composed(w);
    (void)world_sweep(w);
    assert_blob(w, in.blob.id, "123456789");
    ASSERT_OK(object_delete(w->s, REF(NULL, STR("bucket"), STR("o")), &e), e);
    (void)world_sweep(w); /* removes the rows */
    (void)world_sweep(w); /* and the parts, which are in no row then */
    assert_false(blob_is_there(w, part[0]) || blob_is_there(w, part[1]));
    assert_true(rows_of(w, "segment") == 0 && rows_of(w, "composed") == 0);
}

static void test_a_composed_blob_that_nobody_named_goes(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct blob part[] = { blob_of(w, "1234"), blob_of(w, "56789") }, whole;

    ASSERT_OK(blob_join(w->s, part, 2, &whole, &e), e);
    (void)world_sweep(w);
    assert_int_equal(rows_of(w, "segment"), 2); /* it is young */
    age_composed(w);
    (void)world_sweep(w);
    assert_true(rows_of(w, "segment") == 0 && rows_of(w, "composed") == 0);
    struct object_new in = object_of("bucket", "o", whole);
    bucket_of(w, NULL, "bucket");
    ASSERT_FAILS(object_put(w->s, &w->a, &in, NULL, &e), e, ERROR_UNAVAILABLE);
}

static void test_of_all_processes_one_sweeps_in_an_hour(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    uint64_t removed;

    ASSERT_OK(blob_sweep(w->s, &removed, &e), e);
    int calls = atomic_load(&tap.calls);
    assert_true(calls > 0);
    ASSERT_OK(blob_sweep(w->s, &removed, &e), e);
    assert_int_equal(atomic_load(&tap.calls), calls);
    w->clock.fake_us += (int64_t)3600 * 1000000;
    ASSERT_OK(blob_sweep(w->s, &removed, &e), e);
    assert_true(atomic_load(&tap.calls) > calls);
}

static void test_a_bucket_with_the_blobs_of_another_database_is_refused(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    char dir[SCRATCH_PATH_BYTES], database[DATABASE_URL_BYTES];
    database_make(database);
    const struct store_place other = { .dir = scratch_path(&w->scratch, "other", dir),
                                       .database = database[0] ? database : NULL,
                                       .bucket = w->bucket };

    assert_null(store_open_at(&other, true, &w->clock, &e));
    assert_int_equal(e.code, ERROR_FAILED_PRECONDITION);
    if (database[0])
        database_remove(database);
    world_reopen(w);
    tap_open(w->s);
}

/* ---- Uploads at several processes ---- */

/* A second store on the same database. */
static struct store *other_process(struct world *w)
{
    return world_opened(w, false);
}

static struct upload begin_upload(struct world *w)
{
    struct error e = { 0 };
    struct upload up = { .project = STR("p"), .what = STR("{}"), .bytes_max = 100 };

    ASSERT_OK(upload_create(w->s, &up, &e), e);
    return up;
}

static struct blob_writer *writer_at(struct store *s, const struct upload *up, const char *text)
{
    struct error e = { 0 };
    struct blob_writer *writer = upload_open(s, up->id, &e);

    assert_string_equal(e.msg, "");
    ASSERT_OK(blob_write(writer, text, strlen(text), &e), e);
    return writer;
}

static void stretch_at(struct store *s, const struct upload *up, const char *text)
{
    struct error e = { 0 };
    uint64_t bytes;

    ASSERT_OK(upload_pause(s, up->id, writer_at(s, up, text), &bytes, &e), e);
}

static void finish_at(struct world *w, struct store *s, const struct upload *up, const char *rest)
{
    struct error e = { 0 };
    struct blob b;

    ASSERT_OK(upload_finish(s, up->id, writer_at(s, up, rest), &b, &e), e);
    assert_int_equal(b.bytes, 9);
    assert_int_equal(b.crc32c, 0xe3069283);
    assert_true(b.has_md5 && b.md5[0] == 0x25 && b.has_sha256 && b.sha256[0] == 0x15);
    assert_blob(w, b.id, "123456789");
}

static void test_an_upload_goes_on_at_any_process(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct store *other = other_process(w);
    struct upload up = begin_upload(w), got;

    stretch_at(w->s, &up, "12");
    ASSERT_OK(upload_get(other, &w->a, str_of(up.id), &got, &e), e);
    assert_int_equal(got.bytes, 2);
    stretch_at(other, &up, "345");
    stretch_at(w->s, &up, "6");
    finish_at(w, other, &up, "789");
    ASSERT_FAILS(upload_get(w->s, &w->a, str_of(up.id), &got, &e), e, ERROR_NOT_FOUND);
    struct upload whole = begin_upload(w);
    finish_at(w, other, &whole, "123456789");
    struct upload one = begin_upload(w); /* a single part is the blob */
    stretch_at(w->s, &one, "123456789");
    finish_at(w, other, &one, "");
    store_close(other);
}

/* The client of the first has gone, and comes back at the second, which is quicker. */
static void test_a_writer_that_was_overtaken_changes_nothing(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    uint64_t bytes;
    struct blob b;
    struct store *other = other_process(w);
    struct upload up = begin_upload(w);

    stretch_at(w->s, &up, "12");
    struct blob_writer *late = writer_at(w->s, &up, "xyz");
    stretch_at(other, &up, "345");
    ASSERT_FAILS(upload_pause(w->s, up.id, late, &bytes, &e), e, ERROR_ABORTED);
    late = writer_at(w->s, &up, "xyz");
    struct blob_writer *later = writer_at(other, &up, "6789");
    ASSERT_OK(upload_pause(other, up.id, later, &bytes, &e), e);
    assert_int_equal(bytes, 9);
    ASSERT_FAILS(upload_finish(w->s, up.id, late, &b, &e), e, ERROR_ABORTED);
    finish_at(w, w->s, &up, "");
    struct upload fresh = begin_upload(w); /* no mark yet at either */
    late = writer_at(w->s, &fresh, "xyz");
    finish_at(w, other, &fresh, "123456789");
    ASSERT_FAILS(upload_finish(w->s, fresh.id, late, &b, &e), e, ERROR_NOT_FOUND);
    store_close(other);
}

/* ---- Crashes ---- */

static void put_named(struct store *s, const char *name, struct blob b)
{
    struct error e = { 0 };
    struct object_new in = object_of("bucket", name, b);

    ASSERT_OK(object_put(s, NULL, &in, NULL, &e), e);
}

/* The life of a process: an object of one file, one of an upload in parts, a composed one; one deleted; a sweep. */
static void live(struct world *w, enum death death, int at)
{
    struct error e = { 0 };
    struct blob b, whole;

    world_open(w);
    tap_open(w->s);
    tap.death = death;
    tap.death_at = at;
    put_named(w->s, "file", blob_of(w, "123456789"));
    struct upload up = begin_upload(w);
    stretch_at(w->s, &up, "1234");
    ASSERT_OK(upload_finish(w->s, up.id, writer_at(w->s, &up, "56789"), &b, &e), e);
    put_named(w->s, "upload", b);
    const int64_t part[] = { blob_of(w, "12345").id, blob_of(w, "6789").id };
    ASSERT_OK(blob_compose(w->s, part, 2, &whole, &e), e);
    put_named(w->s, "composed", whole);
    ASSERT_OK(object_delete(w->s, REF(NULL, STR("bucket"), STR("file")), &e), e);
    (void)world_sweep(w);
    store_close(w->s);
}

static void assert_named_are_whole(struct world *w)
{
    static const char *const names[] = { "file", "upload", "composed" };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct error e = { 0 };
        struct object o;
        if (object_get(w->s, &w->a, REF(NULL, STR("bucket"), str_of(names[i])), &o, &e) == 0) {
            forget_copies(w);
            assert_blob(w, o.blob.id, "123456789");
        }
    }
}

static void
test_a_process_that_dies_at_any_call_of_the_bucket_loses_nothing_that_is_named(void **state)
{
    struct world *w = *state;

    bucket_of(w, NULL, "bucket");
    store_close(w->s);
    for (int at = 0; at < 30; at++) {
        for (enum death death = DEATH_BEFORE; death <= DEATH_AFTER; death++) {
            pid_t child = fork();
            assert_true(child >= 0);
            if (child == 0) {
                live(w, death, at);
                _exit(0);
            }
            int status = 0;
            assert_int_equal(waitpid(child, &status, 0), child);
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
            world_open(w);
            tap_open(w->s);
            assert_named_are_whole(w);
            w->clock.fake_us += (int64_t)3600 * 1000000;
            store_close(w->s);
        }
    }
    world_open(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define SHARED(test) cmocka_unit_test_setup_teardown(test, shared_make, world_remove)
        SHARED(test_a_blob_that_was_just_written_is_opened_without_the_bucket),
        SHARED(test_many_who_open_a_blob_at_once_fetch_it_once),
        SHARED(test_a_bucket_that_is_down_fails_all_who_wait_and_works_when_it_is_back),
        SHARED(test_bytes_that_the_bucket_garbles_are_no_blob),
        SHARED(test_copies_stay_within_their_bytes_and_the_longest_unused_goes),
        SHARED(test_a_full_disk_fails_the_opening_and_leaves_no_copy),
        SHARED(test_a_restart_keeps_copies_and_another_start_of_the_machine_does_not),
        SHARED(test_a_part_of_a_big_blob_is_all_that_is_fetched_for_it),
        SHARED(test_joined_parts_read_as_one_by_any_range),
        SHARED(test_nothing_joined_is_an_empty_blob),
        SHARED(test_parts_live_as_long_as_what_is_made_of_them),
        SHARED(test_a_composed_blob_that_nobody_named_goes),
        SHARED(test_of_all_processes_one_sweeps_in_an_hour),
        SHARED(test_a_bucket_with_the_blobs_of_another_database_is_refused),
        SHARED(test_an_upload_goes_on_at_any_process),
        SHARED(test_a_writer_that_was_overtaken_changes_nothing),
        SHARED(test_a_process_that_dies_at_any_call_of_the_bucket_loses_nothing_that_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
