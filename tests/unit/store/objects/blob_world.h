/* blob_world.h -- a store of its own for each test, and short words for what the tests of blobs do. */
#ifndef TRANCHE_TESTS_BLOB_WORLD_H
#define TRANCHE_TESTS_BLOB_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "database.h"
#include "scratch.h"
#include "store/bucket/bucket.h"
#include "store/objects/objects_inner.h"

#define NOW_US 1763805600000000

#define REF(project_, bucket_, name_)                                                              \
    (&(struct object_ref){ .project = (project_), .bucket = (bucket_), .name = (name_) })

/* The tests of a program run over a folder, then over a shared store with its bucket: a folder, or S3 where
 * TRANCHE_TEST_S3 names a server's bucket (tests/cluster/servers.py). */
static bool world_shared;

static inline const char *world_s3(void)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): tests change no variables */
    return getenv("TRANCHE_TEST_S3");
}

struct world {
    struct scratch scratch;
    char bucket[4 * SCRATCH_PATH_BYTES]; /* empty: a folder */
    char database[DATABASE_URL_BYTES];   /* empty: SQLite */
    struct clock clock;
    struct store *s;
    struct arena a;
    char dir[SCRATCH_PATH_BYTES];
};

/* The store once more, for a command beside the server. */
static inline struct store *world_opened(struct world *w, bool exclusive)
{
    struct error e = { 0 };
    const struct store_place place = { .dir = w->dir,
                                       .database = database_of(w->database),
                                       .bucket = w->bucket[0] ? w->bucket : NULL };
    struct store *s = store_open_at(&place, exclusive, &w->clock, &e);

    assert_string_equal(e.msg, "");
    assert_non_null(s);
    return s;
}

static inline void world_open(struct world *w)
{
    w->s = world_opened(w, true);
}

static inline void world_reopen(struct world *w)
{
    store_close(w->s);
    world_open(w);
}

static inline int world_make(void **state)
{
    struct world *w = mem_alloc(sizeof *w);

    scratch_make(&w->scratch);
    (void)scratch_path(&w->scratch, "state", w->dir);
    if (world_shared && world_s3()) {
        const char *url = world_s3(), *mark = strchr(url, '?');
        assert_non_null(mark);
        (void)snprintf(w->bucket, sizeof w->bucket, "%.*s/%s%s", (int)(mark - url), url,
                       w->scratch.dir, mark);
    } else if (world_shared) {
        char here[2 * SCRATCH_PATH_BYTES];
        assert_non_null(getcwd(here, sizeof here));
        (void)snprintf(w->bucket, sizeof w->bucket, "file://%s/%s/bucket", here, w->scratch.dir);
    }
    w->clock = clock_fake(NOW_US);
    database_make(w->database);
    world_open(w);
    *state = w;
    return 0;
}

static inline int world_remove(void **state)
{
    struct world *w = *state;

    store_close(w->s);
    database_remove(w->database);
    arena_release(&w->a);
    scratch_remove(&w->scratch);
    mem_free(w);
    return 0;
}

#define ASSERT_OK(call, e)                                                                         \
    do {                                                                                           \
        int ok_rc = (call);                                                                        \
        assert_string_equal((e).msg, "");                                                          \
        assert_int_equal(ok_rc, 0);                                                                \
    } while (0)

#define ASSERT_FAILS(call, e, failure)                                                             \
    do {                                                                                           \
        assert_int_equal((call), -1);                                                              \
        assert_string_equal(error_name((e).code), error_name(failure));                            \
        (e) = (struct error){ 0 };                                                                 \
    } while (0)

static inline struct blob blob_of(struct world *w, const char *text)
{
    struct error e = { 0 };
    struct blob b = { 0 };
    struct blob_writer *writer = blob_create(w->s, 1 << 20, true, &e);

    assert_non_null(writer);
    ASSERT_OK(blob_write(writer, text, strlen(text), &e), e);
    ASSERT_OK(blob_finish(writer, &b, &e), e);
    return b;
}

/* Where a test finds a blob's bytes. Objects of S3 cannot be made old, so that a test of it ends here. */
static inline const char *blob_place_of(struct world *w, int64_t id)
{
    char key[BLOB_KEY_BYTES];

    if (!store_is_shared(w->s))
        return blob_path(w->s, &w->a, id);
    if (world_s3())
        skip();
    blob_key(id, key);
    return arena_textf(&w->a, "%s/bucket/%s", w->scratch.dir, key);
}

static inline bool blob_is_there(struct world *w, int64_t id)
{
    char key[BLOB_KEY_BYTES];
    struct error e = { 0 };
    struct stat st;
    uint64_t bytes;

    if (!store_is_shared(w->s))
        return stat(blob_path(w->s, &w->a, id), &st) == 0;
    blob_key(id, key);
    int rc = w->s->bucket->ops->size(w->s->bucket, key, &bytes, &e);
    assert_true(rc == 0 || e.code == ERROR_NOT_FOUND);
    return rc == 0;
}

static inline void assert_fd_has(int fd, const char *text)
{
    struct error e = { 0 };
    char got[1000];

    assert_true(fd >= 0);
    int64_t n = sys_read_at(fd, got, sizeof got, 0, "a blob", &e);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(got, text, strlen(text));
    assert_int_equal(close(fd), 0);
}

static inline void assert_blob(struct world *w, int64_t id, const char *text)
{
    struct error e = { 0 };

    assert_fd_has(blob_open(w->s, id, &e), text);
}

/* Makes a file look as old as the sweep wants it. */
static inline void make_old(const char *path)
{
    struct timespec t[2] = { { .tv_sec = 1600000000 }, { .tv_sec = 1600000000 } };

    assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
}

/* The sweep of all keys: of a day in a shared store. */
static inline uint64_t world_sweep(struct world *w)
{
    uint64_t removed = 0, all = 0;

    for (int i = 0; i < (store_is_shared(w->s) ? 24 : 1); i++) {
        struct error e = { 0 };
        ASSERT_OK(blob_sweep(w->s, &removed, &e), e);
        all += removed;
        w->clock.fake_us += store_is_shared(w->s) ? (int64_t)3600 * 1000000 : 0;
    }
    return all;
}

/* The bytes of a blob that was given up are gone, in a shared store after the next sweep. */
static inline void assert_gone(struct world *w, int64_t id)
{
    if (store_is_shared(w->s))
        (void)world_sweep(w);
    assert_false(blob_is_there(w, id));
}

/* Runs the tests over both kinds of store. */
#define RUN_OVER_STORES(tests, failed)                                                             \
    do {                                                                                           \
        (failed) = cmocka_run_group_tests_name("folder", tests, NULL, NULL);                       \
        world_shared = true;                                                                       \
        (failed) += cmocka_run_group_tests_name("bucket", tests, NULL, NULL);                      \
    } while (0)

static inline void bucket_of(struct world *w, const char *project, const char *name)
{
    struct error e = { 0 };
    struct bucket b = { .name = str_of(name), .project = STR("open") };

    ASSERT_OK(bucket_create(w->s, project, &b, &e), e);
}

static inline struct object_new object_of(const char *bucket, const char *name, struct blob blob)
{
    return (struct object_new){
        .bucket = str_of(bucket),
        .name = str_of(name),
        .blob = blob,
        .when = OBJECT_ANY,
    };
}

static inline struct object put(struct world *w, const char *bucket, const char *name,
                                const char *text)
{
    struct error e = { 0 };
    struct object out;
    struct object_new in = object_of(bucket, name, blob_of(w, text));

    ASSERT_OK(object_put(w->s, &w->a, &in, &out, &e), e);
    return out;
}

#endif
