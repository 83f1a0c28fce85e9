/* Every kind of bucket keeps bytes alike: a folder, S3 (versitygw) and Cloud Storage (fake-gcs-server), whose servers
 * tests/cluster/servers.py starts. Those behind HTTP are also reached over a server that spoils requests. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/random.h"
#include "base/sys.h"
#include "conform/store/bucket/bad_server.h"
#include "scratch.h"
#include "store/bucket/bucket.h"

#define URL_BYTES 1024
#define MIB ((uint64_t)1024 * 1024)
#define PART (16 * MIB) /* larger objects go up in parts */

static const struct kind {
    const char *name;
    const char *server; /* the variable that has its URL; NULL: none */
} kinds[] = { { "folder", NULL }, { "s3", "TRANCHE_TEST_S3" }, { "gcs", "TRANCHE_TEST_GCS" } };

struct world {
    const struct kind *kind;
    struct scratch scratch;
    struct bad_server bad;   /* of a kind with a server */
    char url[URL_BYTES / 2]; /* has settings behind a question mark, when there is a server */
    struct shared_bucket *b;
    int fd; /* a file of random bytes */
};

/* The URL of a bucket under this prefix, with more settings. */
static const char *url_of(struct world *w, const char *prefix, const char *settings,
                          char out[URL_BYTES])
{
    const char *mark = strchr(w->url, '?');

    if (mark)
        (void)snprintf(out, URL_BYTES, "%.*s/%s%s%s", (int)(mark - w->url), w->url, prefix, mark,
                       settings);
    else
        (void)snprintf(out, URL_BYTES, "%s/%s", w->url, prefix);
    return out;
}

static struct shared_bucket *open_at(struct world *w, const char *prefix, const char *settings)
{
    char url[URL_BYTES];
    struct error e = { 0 };
    struct shared_bucket *b = bucket_open(url_of(w, prefix, settings, url), &e);

    if (!b)
        fail_msg("%s: %s", url, e.msg);
    return b;
}

static void close_bucket(struct shared_bucket *b)
{
    b->ops->close(b);
}

/* "…endpoint=http://127.0.0.1:PORT…" goes over the bad server from now on. */
static void go_over_bad(struct world *w, const char *url)
{
    const char *colon = strstr(url, "127.0.0.1:");

    assert_non_null(colon);
    colon += strlen("127.0.0.1:");
    char *end;
    uint16_t port = (uint16_t)strtoul(colon, &end, 10);
    bad_start(&w->bad, port);
    (void)snprintf(w->url, sizeof w->url, "%.*s%u%s", (int)(colon - url), url, w->bad.port, end);
}

static int set_up(void **state)
{
    struct world *w = mem_alloc(sizeof *w);
    char path[SCRATCH_PATH_BYTES], prefix[32] = "t-";
    struct error e = { 0 };

    w->kind = *state;
    *state = w;
    scratch_make(&w->scratch);
    if (w->kind->server) {
        const char *url = getenv(w->kind->server);
        if (!url)
            fail_msg("%s is not set: run this by tests/cluster/servers.py", w->kind->server);
        go_over_bad(w, url);
    } else {
        char here[256];
        assert_non_null(getcwd(here, sizeof here));
        (void)snprintf(w->url, sizeof w->url, "file://%s/%s", here,
                       scratch_path(&w->scratch, "bucket", path));
    }
    assert_int_equal(random_hex(prefix + 2, 8, &e), 0);
    w->b = open_at(w, prefix, "");
    w->fd = sys_open(scratch_path(&w->scratch, "bytes", path), O_RDWR | O_CREAT, &e);
    assert_true(w->fd >= 0);
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    close_bucket(w->b);
    if (w->kind->server)
        bad_stop(&w->bad);
    (void)close(w->fd);
    scratch_remove(&w->scratch);
    mem_free(w);
    return 0;
}

/* ---- Bytes ---- */

/* The file has these bytes from now on: a repeatable sequence. */
static void fill(int fd, uint64_t seed, uint64_t bytes)
{
    static uint64_t chunk[8192];
    struct error e = { 0 };

    assert_int_equal(ftruncate(fd, 0), 0);
    for (uint64_t at = 0; at < bytes; at += sizeof chunk) {
        for (size_t i = 0; i < ARRAY_LEN(chunk); i++)
            chunk[i] = random_next(&seed);
        size_t len = bytes - at < sizeof chunk ? (size_t)(bytes - at) : sizeof chunk;
        assert_int_equal(sys_write_at(fd, chunk, len, at, "bytes", &e), 0);
    }
}

static void put(struct world *w, const char *key, uint64_t from, uint64_t to)
{
    struct error e = { 0 };

    if (w->b->ops->put(w->b, key, w->fd, from, to, &e) < 0)
        fail_msg("put %s: %s", key, e.msg);
}

/* An object with so many bytes. */
static void put_bytes(struct world *w, const char *key, uint64_t bytes)
{
    fill(w->fd, bytes + 1, bytes);
    put(w, key, 0, bytes);
}

static int get_code(struct world *w, const char *key, uint64_t from, uint64_t to)
{
    char path[SCRATCH_PATH_BYTES];
    struct error e = { 0 };
    int fd = sys_open(scratch_path(&w->scratch, "got", path), O_RDWR | O_CREAT | O_TRUNC, &e);

    int rc = w->b->ops->get(w->b, key, &(struct bucket_span){ from, to, 0 }, fd, &e);
    (void)close(fd);
    assert_true(rc == 0 || e.code != ERROR_OK);
    return rc == 0 ? ERROR_OK : (int)e.code;
}

static void assert_same(int a, uint64_t a_at, int b, uint64_t b_at, uint64_t bytes)
{
    static char one[65536], other[65536];
    struct error e = { 0 };

    for (uint64_t at = 0; at < bytes; at += sizeof one) {
        size_t len = bytes - at < sizeof one ? (size_t)(bytes - at) : sizeof one;
        assert_int_equal(sys_read_at(a, one, len, a_at + at, "a", &e), len);
        assert_int_equal(sys_read_at(b, other, len, b_at + at, "b", &e), len);
        assert_memory_equal(one, other, len);
    }
}

/* The bytes [from, to) of an object are those of the file at `file_at`. */
static void assert_range(struct world *w, const char *key, uint64_t from, uint64_t to,
                         uint64_t file_at)
{
    char path[SCRATCH_PATH_BYTES];
    struct error e = { 0 };
    int fd = sys_open(scratch_path(&w->scratch, "got", path), O_RDWR | O_CREAT | O_TRUNC, &e);

    if (w->b->ops->get(w->b, key, &(struct bucket_span){ from, to, 7 }, fd, &e) < 0)
        fail_msg("get %s: %s", key, e.msg);
    assert_int_equal(lseek(fd, 0, SEEK_END), from < to ? 7 + to - from : 0);
    assert_same(fd, 7, w->fd, file_at, to - from);
    (void)close(fd);
}

static void assert_object(struct world *w, const char *key, uint64_t bytes)
{
    struct error e = { 0 };
    uint64_t size = 0;

    if (w->b->ops->size(w->b, key, &size, &e) < 0)
        fail_msg("size %s: %s", key, e.msg);
    assert_int_equal(size, bytes);
    assert_range(w, key, 0, bytes, 0);
}

static int size_code(struct world *w, const char *key)
{
    struct error e = { 0 };
    uint64_t bytes;

    return w->b->ops->size(w->b, key, &bytes, &e) == 0 ? ERROR_OK : (int)e.code;
}

static void remove_key(struct world *w, const char *key)
{
    struct error e = { 0 };

    if (w->b->ops->remove(w->b, key, &e) < 0)
        fail_msg("remove %s: %s", key, e.msg);
}

/* ---- All kinds ---- */

static void test_objects_of_any_size_come_back(void **state)
{
    static const uint64_t sizes[] = { 0, 1, 255, 65537, PART, PART + 1, 2 * PART + 12345 };
    struct world *w = *state;

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        char key[64];
        (void)snprintf(key, sizeof key, "blobs/%02zx/%zu", i, i);
        put_bytes(w, key, sizes[i]);
        assert_object(w, key, sizes[i]);
    }
}

static void test_a_part_of_a_file_becomes_an_object(void **state)
{
    struct world *w = *state;

    fill(w->fd, 1, 1000);
    put(w, "a/part", 100, 900);
    assert_range(w, "a/part", 0, 800, 100);
    put(w, "a/nothing", 500, 500);
    assert_range(w, "a/nothing", 0, 0, 0);
    fill(w->fd, 2, PART + 3 * MIB);
    put(w, "a/parts", MIB, PART + 3 * MIB);
    assert_range(w, "a/parts", 0, PART + 2 * MIB, MIB);
}

static void test_ranges_come_alone(void **state)
{
    struct world *w = *state;

    put_bytes(w, "ranged", PART + MIB);
    assert_range(w, "ranged", 0, 1, 0);
    assert_range(w, "ranged", 5, 70000, 5);
    assert_range(w, "ranged", PART - 3, PART + 3, PART - 3);
    assert_range(w, "ranged", PART + MIB - 1, PART + MIB, PART + MIB - 1);
    assert_range(w, "ranged", 9, 9, 9);
}

static void test_a_range_behind_the_end_is_out_of_range(void **state)
{
    struct world *w = *state;

    put_bytes(w, "short", 100);
    assert_int_equal(get_code(w, "short", 0, 101), ERROR_OUT_OF_RANGE);
    assert_int_equal(get_code(w, "short", 99, 200), ERROR_OUT_OF_RANGE);
    assert_int_equal(get_code(w, "short", 100, 101), ERROR_OUT_OF_RANGE);
    assert_int_equal(get_code(w, "short", 5000, 6000), ERROR_OUT_OF_RANGE);
    put_bytes(w, "empty", 0);
    assert_int_equal(get_code(w, "empty", 0, 1), ERROR_OUT_OF_RANGE);
}

static void test_the_same_bytes_can_be_put_again(void **state)
{
    struct world *w = *state;

    put_bytes(w, "again", 1000);
    put(w, "again", 0, 1000);
    assert_object(w, "again", 1000);
}

static void test_a_removed_object_is_gone(void **state)
{
    struct world *w = *state;

    put_bytes(w, "removed/1", 10);
    put_bytes(w, "removed/2", 10);
    remove_key(w, "removed/1");
    assert_int_equal(size_code(w, "removed/1"), ERROR_NOT_FOUND);
    assert_int_equal(get_code(w, "removed/1", 0, 10), ERROR_NOT_FOUND);
    assert_int_equal(size_code(w, "removed/2"), ERROR_OK);
    remove_key(w, "removed/1");
    remove_key(w, "never/there");
    assert_int_equal(get_code(w, "never/there", 0, 0), ERROR_NOT_FOUND);
}

/* The longest key that has room in any prefix. */
static void test_a_long_key_is_a_key(void **state)
{
    struct world *w = *state;
    char key[401];

    for (size_t i = 0; i < sizeof key - 1; i++)
        key[i] = i % 100 == 99
                     ? '/'
                     : "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"[i % 65];
    key[sizeof key - 2] = 'x';
    key[sizeof key - 1] = '\0';
    put_bytes(w, key, 10);
    assert_object(w, key, 10);
    remove_key(w, key);
    assert_int_equal(size_code(w, key), ERROR_NOT_FOUND);
}

/* ---- Lists ---- */

#define LISTED 1010 /* more than a page of S3 and Cloud Storage */

struct seen {
    unsigned count, end_at;
    bool is_there[LISTED];
    uint64_t bytes;
    int64_t oldest_us;
};

static int see(void *arg, const struct bucket_entry *entry, struct error *e)
{
    struct seen *s = arg;
    uint64_t number = 0;
    struct str number_text = str_after_last(entry->key, '/');

    if (str_number(number_text, &number) && number < LISTED) {
        assert_false(s->is_there[number]);
        s->is_there[number] = true;
    }
    s->bytes += entry->bytes;
    if (s->count == 0 || entry->modified_us < s->oldest_us)
        s->oldest_us = entry->modified_us;
    if (++s->count == s->end_at)
        return error_set(e, ERROR_ABORTED, "enough");
    return 0;
}

static int list_code(struct world *w, const char *under, struct seen *s)
{
    struct error e = { 0 };

    return w->b->ops->list(w->b, under, see, s, &e) == 0 ? ERROR_OK : (int)e.code;
}

static void test_lists_have_every_object_once(void **state)
{
    struct world *w = *state;
    struct seen all = { 0 }, some = { 0 }, none = { 0 }, first = { .end_at = 3 };
    int64_t now_us = clock_system()->wall_us(clock_system());

    fill(w->fd, 3, 5);
    for (unsigned i = 0; i < LISTED; i++) {
        char key[64];
        (void)snprintf(key, sizeof key, "list/%02x/%u", i % 7, i);
        put(w, key, 0, i % 5);
    }
    put(w, "list-of-others/x", 0, 5);
    assert_int_equal(list_code(w, "list/", &all), ERROR_OK);
    assert_int_equal(all.count, LISTED);
    assert_int_equal(all.bytes, LISTED * 2);
    assert_true(all.oldest_us > now_us - 60000000 && all.oldest_us < now_us + 600000000);
    assert_int_equal(list_code(w, "list/06/", &some), ERROR_OK);
    assert_int_equal(some.count, LISTED / 7);
    assert_int_equal(list_code(w, "nothing/", &none), ERROR_OK);
    assert_int_equal(none.count, 0);
    assert_int_equal(list_code(w, "", &first), ERROR_ABORTED);
    assert_int_equal(first.count, 3);
}

static void test_a_prefix_hides_what_others_have(void **state)
{
    struct world *w = *state;
    struct world other = *w;
    struct seen seen = { 0 };

    put_bytes(w, "mine", 10);
    other.b = open_at(w, "another/place", "");
    assert_int_equal(size_code(&other, "mine"), ERROR_NOT_FOUND);
    put_bytes(&other, "deep/theirs", 20);
    assert_int_equal(list_code(&other, "", &seen), ERROR_OK);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.bytes, 20);
    remove_key(&other, "deep/theirs");
    close_bucket(other.b);
}

/* ---- Threads ---- */

#define THREADS 8
#define ROUNDS 12

struct worker {
    struct world *w;
    unsigned number;
    pthread_t thread;
    bool failed;
};

static void *work(void *arg)
{
    struct worker *k = arg;
    struct shared_bucket *b = k->w->b;
    char key[64], got[64] = "";
    struct error e = { 0 };
    int fd = sys_open_nameless(k->w->scratch.dir, &e);

    for (unsigned i = 0; i < ROUNDS && !k->failed; i++) {
        uint64_t from = k->number * 50 + i, size = 0;
        (void)snprintf(key, sizeof key, "threads/%u-%u", k->number, i);
        k->failed = b->ops->put(b, key, k->w->fd, from, from + 40, &e) < 0 ||
                    b->ops->get(b, key, &(struct bucket_span){ 0, 40, i * 40 }, fd, &e) < 0 ||
                    b->ops->size(b, key, &size, &e) < 0 || size != 40 ||
                    sys_read_at(fd, got, 40, i * 40, "got", &e) != 40 ||
                    b->ops->remove(b, key, &e) < 0;
    }
    (void)close(fd);
    return NULL;
}

static void test_threads_share_a_bucket(void **state)
{
    struct world *w = *state;
    struct worker workers[THREADS] = { 0 };

    fill(w->fd, 4, 4096);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){ .w = w, .number = i };
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        thread_join(workers[i].thread);
        assert_false(workers[i].failed);
    }
}

/* ---- Opening ---- */

static void assert_refused(const char *url, enum error_code code, const char *words)
{
    struct error e = { 0 };
    struct shared_bucket *b = bucket_open(url, &e);

    assert_null(b);
    if (e.code != code || !strstr(e.msg, words))
        fail_msg("%s: %s: %s", url, error_name(e.code), e.msg);
}

static void test_an_url_that_is_none_is_refused(void **state)
{
    (void)state;
    assert_refused("http://x/y", ERROR_INVALID_ARGUMENT, "none of s3://");
    assert_refused("s3://", ERROR_INVALID_ARGUMENT, "not a bucket's name");
    assert_refused("s3://ab?endpoint=http://127.0.0.1:1", ERROR_INVALID_ARGUMENT, "name");
    assert_refused("s3://abc/d e", ERROR_INVALID_ARGUMENT, "prefix");
    assert_refused("s3://abc/d/../e", ERROR_INVALID_ARGUMENT, "prefix");
    assert_refused("s3://abc/d//e", ERROR_INVALID_ARGUMENT, "prefix");
    assert_refused("s3://abc/d?endpoint=ftp://x", ERROR_INVALID_ARGUMENT, "endpoint");
    assert_refused("s3://abc/d?endpoint=http://x/y", ERROR_INVALID_ARGUMENT, "endpoint");
    assert_refused("s3://abc/d?speed=1", ERROR_INVALID_ARGUMENT, "settings");
    assert_refused("s3://abc/d?patience_ms=0", ERROR_INVALID_ARGUMENT, "patience_ms");
}

/* ---- Faults, of those with a server ---- */

/* One call of each operation. */
static void all_operations(struct world *w, const char *key)
{
    struct seen seen = { 0 };

    fill(w->fd, 5, 1000);
    put(w, key, 0, 1000);
    assert_object(w, key, 1000);
    assert_int_equal(list_code(w, "", &seen), ERROR_OK);
    assert_int_equal(seen.count, 1);
    remove_key(w, key);
    assert_int_equal(size_code(w, key), ERROR_NOT_FOUND);
}

static void test_a_failure_that_passes_is_not_seen(void **state)
{
    static const struct bad_spec faults[] = {
        { .kind = BAD_STATUS, .status = 503 },
        { .kind = BAD_STATUS, .status = 500 },
        { .kind = BAD_STATUS, .status = 429 },
        { .kind = BAD_CUT_REQUEST },
        { .kind = BAD_LOST },
    };
    static const char *const methods[] = { "PUT", "POST", "GET", "HEAD", "DELETE" };
    struct world *w = *state;
    unsigned spoiled = 0;

    for (size_t i = 0; i < ARRAY_LEN(faults); i++)
        for (size_t j = 0; j < ARRAY_LEN(methods); j++) {
            struct bad_spec spec = faults[i];
            spec.line = methods[j];
            spec.times = 1;
            bad_set(&w->bad, spec);
            all_operations(w, "unlucky");
            spoiled += bad_spoiled(&w->bad);
        }
    assert_true(spoiled >= ARRAY_LEN(faults) * 3);
    bad_set(&w->bad, (struct bad_spec){ 0 });
}

static void test_an_upload_in_parts_goes_on_after_failures(void **state)
{
    static const struct bad_spec faults[] = {
        { .kind = BAD_STATUS, .status = 503 },
        { .kind = BAD_CUT_REQUEST },
        { .kind = BAD_LOST },
        { .kind = BAD_REQUEST_BYTE },
    };
    struct world *w = *state;

    fill(w->fd, 6, 2 * PART + 100);
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        struct bad_spec spec = faults[i];
        spec.line = "PUT";
        spec.times = 2;
        bad_set(&w->bad, spec);
        put(w, "large", 0, 2 * PART + 100);
        assert_int_equal(bad_spoiled(&w->bad), 2);
        assert_object(w, "large", 2 * PART + 100);
        remove_key(w, "large");
    }
    bad_set(&w->bad, (struct bad_spec){ .kind = BAD_LOST, .line = "POST", .times = 2 });
    put(w, "large", 0, 2 * PART + 100);
    bad_set(&w->bad, (struct bad_spec){ 0 });
    assert_object(w, "large", 2 * PART + 100);
}

/* The second try asks only for what did not come. */
static void test_a_download_goes_on_where_it_broke(void **state)
{
    struct world *w = *state;

    put_bytes(w, "long", PART + 77);
    bad_set(&w->bad, (struct bad_spec){ .kind = BAD_CUT_ANSWER, .line = "GET", .times = 3 });
    assert_range(w, "long", 0, PART + 77, 0);
    assert_int_equal(bad_spoiled(&w->bad), 3);
    assert_int_equal(bad_requests(&w->bad), 4);
    bad_set(&w->bad, (struct bad_spec){ .kind = BAD_CUT_ANSWER, .line = "GET", .times = 1 });
    assert_range(w, "long", 1000, 5000, 1000);
    bad_set(&w->bad, (struct bad_spec){ 0 });
}

static void test_wrong_bytes_are_fetched_again_and_then_data_loss(void **state)
{
    struct world *w = *state;

    put_bytes(w, "wrong", 5000);
    bad_set(&w->bad, (struct bad_spec){ .kind = BAD_ANSWER_BYTE, .line = "GET", .times = 1 });
    assert_range(w, "wrong", 0, 5000, 0);
    assert_int_equal(bad_spoiled(&w->bad), 1);
    bad_set(&w->bad, (struct bad_spec){ .kind = BAD_ANSWER_BYTE, .line = "GET", .times = 100 });
    assert_int_equal(get_code(w, "wrong", 0, 5000), ERROR_DATA_LOSS);
    assert_int_equal(bad_spoiled(&w->bad), 3);
    bad_set(&w->bad, (struct bad_spec){ 0 });
}

static void test_bytes_that_arrive_wrong_are_sent_again(void **state)
{
    struct world *w = *state;

    fill(w->fd, 7, 5000);
    bad_set(&w->bad, (struct bad_spec){ .kind = BAD_REQUEST_BYTE, .times = 1 });
    put(w, "sent", 0, 5000);
    assert_int_equal(bad_spoiled(&w->bad), 1);
    bad_set(&w->bad, (struct bad_spec){ 0 });
    assert_object(w, "sent", 5000);
}

static void test_a_silent_server_is_asked_again(void **state)
{
    struct world *w = *state;

    close_bucket(w->b);
    w->b = open_at(w, "quiet", "&patience_ms=4000");
    bad_set(&w->bad, (struct bad_spec){ .kind = BAD_SILENT, .times = 1 });
    put_bytes(w, "a", 10);
    assert_int_equal(bad_spoiled(&w->bad), 1);
    bad_set(&w->bad, (struct bad_spec){ 0 });
    remove_key(w, "a");
}

static void test_a_failure_that_stays_is_an_error_after_the_patience(void **state)
{
    struct world *w = *state;

    close_bucket(w->b);
    w->b = open_at(w, "down", "&patience_ms=300");
    bad_set(&w->bad, (struct bad_spec){ .kind = BAD_STATUS, .status = 503, .times = 1000 });
    assert_int_equal(size_code(w, "x"), ERROR_UNAVAILABLE);
    assert_true(bad_spoiled(&w->bad) > 1);
    assert_int_equal(get_code(w, "x", 0, 1), ERROR_UNAVAILABLE);
    bad_set(&w->bad, (struct bad_spec){ .kind = BAD_STATUS, .status = 429, .times = 1000 });
    assert_int_equal(size_code(w, "x"), ERROR_RESOURCE_EXHAUSTED);
    bad_set(&w->bad, (struct bad_spec){ .kind = BAD_CUT_REQUEST, .times = 1000 });
    assert_int_equal(size_code(w, "x"), ERROR_UNAVAILABLE);
    bad_set(&w->bad, (struct bad_spec){ 0 });
}

static void test_no_permission_is_said_at_once(void **state)
{
    struct world *w = *state;

    bad_set(&w->bad, (struct bad_spec){ .kind = BAD_STATUS, .status = 403, .times = 1000 });
    assert_int_equal(size_code(w, "x"), ERROR_PERMISSION_DENIED);
    assert_int_equal(get_code(w, "x", 0, 1), ERROR_PERMISSION_DENIED);
    assert_int_equal(bad_requests(&w->bad), 2);
    bad_set(&w->bad, (struct bad_spec){ 0 });
}

static void test_a_bucket_that_is_not_there_is_said_so(void **state)
{
    struct world *w = *state;
    char url[URL_BYTES];
    const char *mark = strchr(w->url, '?');
    struct error e = { 0 };

    (void)snprintf(url, sizeof url, "%.5s%s%s", w->url, "not-a-bucket", mark);
    assert_null(bucket_open(url, &e));
    assert_true(e.code == ERROR_FAILED_PRECONDITION || e.code == ERROR_NOT_FOUND);
}

/* Nothing is left of an upload in parts whose second part is refused. */
static void test_a_refused_upload_in_parts_is_ended(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };

    fill(w->fd, 8, 2 * PART);
    bad_set(
        &w->bad,
        (struct bad_spec){
            .kind = BAD_STATUS, .status = 403, .line = "PUT", .with = "partNumber=2", .times = 9 });
    assert_int_equal(w->b->ops->put(w->b, "parts", w->fd, 0, 2 * PART, &e), -1);
    assert_int_equal(e.code, ERROR_PERMISSION_DENIED);
    assert_int_equal(bad_logged(&w->bad, "DELETE", "uploadId="), 1);
    bad_set(&w->bad, (struct bad_spec){ 0 });
    assert_int_equal(size_code(w, "parts"), ERROR_NOT_FOUND);
}

static void test_wrong_keys_are_no_permission(void **state)
{
    struct world *w = *state;
    const char *real = getenv("AWS_SECRET_ACCESS_KEY");
    char kept[256];

    assert_non_null(real);
    (void)snprintf(kept, sizeof kept, "%s", real);
    assert_int_equal(setenv("AWS_SECRET_ACCESS_KEY", "another", 1), 0);
    assert_refused(w->url, ERROR_PERMISSION_DENIED, "SignatureDoesNotMatch");
    assert_int_equal(setenv("AWS_SECRET_ACCESS_KEY", kept, 1), 0);
}

/* The keys of a file are those of its profile, and new ones are taken when it changes. */
static void test_keys_come_from_a_file_and_may_change(void **state)
{
    struct world *w = *state;
    char path[SCRATCH_PATH_BYTES], id[256], secret[256];
    struct shared_bucket *before = w->b;

    (void)snprintf(id, sizeof id, "%s", getenv("AWS_ACCESS_KEY_ID"));
    (void)snprintf(secret, sizeof secret, "%s", getenv("AWS_SECRET_ACCESS_KEY"));
    scratch_path(&w->scratch, "keys", path);
    struct buf text = BUF_INIT(4096);
    buf_addf(&text,
             "# a comment\n[other]\naws_access_key_id = nobody\naws_secret_access_key = none\n"
             "[default]\naws_access_key_id=%s\naws_secret_access_key = %s\n",
             id, secret);
    scratch_write(&w->scratch, "keys", text.p, text.len);
    assert_int_equal(unsetenv("AWS_ACCESS_KEY_ID"), 0);
    assert_int_equal(setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1), 0);
    w->b = open_at(w, "keys", "");
    put_bytes(w, "a", 10);
    (void)unlink(path);
    struct buf wrong = BUF_INIT(4096);
    buf_addf(&wrong, "[default]\naws_access_key_id = %s\naws_secret_access_key = no\n", id);
    scratch_write(&w->scratch, "keys", wrong.p, wrong.len);
    buf_release(&wrong);
    assert_int_equal(get_code(w, "a", 0, 10), ERROR_PERMISSION_DENIED);
    (void)unlink(path);
    scratch_write(&w->scratch, "keys", text.p, text.len);
    assert_int_equal(get_code(w, "a", 0, 10), ERROR_OK);
    close_bucket(w->b);
    w->b = before;

    (void)unlink(path);
    assert_int_equal(setenv("AWS_EC2_METADATA_DISABLED", "true", 1), 0);
    assert_refused(w->url, ERROR_FAILED_PRECONDITION, "no keys for S3");
    assert_int_equal(setenv("AWS_ACCESS_KEY_ID", id, 1), 0);
    assert_int_equal(unsetenv("AWS_SHARED_CREDENTIALS_FILE"), 0);
    buf_release(&text);
}

/* ---- */

static const struct {
    const char *name;
    CMUnitTestFunction test;
    enum { ALL, SERVED, ONLY_S3 } of;
} suite[] = {
#define OF(kind, test)                                                                             \
    {                                                                                              \
        #test, test, kind                                                                          \
    }
    OF(ALL, test_objects_of_any_size_come_back),
    OF(ALL, test_a_part_of_a_file_becomes_an_object),
    OF(ALL, test_ranges_come_alone),
    OF(ALL, test_a_range_behind_the_end_is_out_of_range),
    OF(ALL, test_the_same_bytes_can_be_put_again),
    OF(ALL, test_a_removed_object_is_gone),
    OF(ALL, test_a_long_key_is_a_key),
    OF(ALL, test_lists_have_every_object_once),
    OF(ALL, test_a_prefix_hides_what_others_have),
    OF(ALL, test_threads_share_a_bucket),
    OF(SERVED, test_a_failure_that_passes_is_not_seen),
    OF(SERVED, test_an_upload_in_parts_goes_on_after_failures),
    OF(SERVED, test_a_download_goes_on_where_it_broke),
    OF(SERVED, test_wrong_bytes_are_fetched_again_and_then_data_loss),
    OF(SERVED, test_bytes_that_arrive_wrong_are_sent_again),
    OF(SERVED, test_a_silent_server_is_asked_again),
    OF(SERVED, test_a_failure_that_stays_is_an_error_after_the_patience),
    OF(SERVED, test_no_permission_is_said_at_once),
    OF(SERVED, test_a_bucket_that_is_not_there_is_said_so),
    OF(ONLY_S3, test_a_refused_upload_in_parts_is_ended),
    OF(ONLY_S3, test_wrong_keys_are_no_permission),
    OF(ONLY_S3, test_keys_come_from_a_file_and_may_change),
    OF(ONLY_S3, test_an_url_that_is_none_is_refused),
};

int main(void)
{
    struct CMUnitTest tests[ARRAY_LEN(suite) * ARRAY_LEN(kinds)];
    static char names[ARRAY_LEN(tests)][128];
    size_t count = 0;

    for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
        for (size_t i = 0; i < ARRAY_LEN(suite); i++) {
            if ((suite[i].of == SERVED && !kinds[k].server) ||
                (suite[i].of == ONLY_S3 && strcmp(kinds[k].name, "s3") != 0))
                continue;
            (void)snprintf(names[count], sizeof names[count], "%s: %s", kinds[k].name,
                           suite[i].name);
            tests[count] = (struct CMUnitTest){ names[count], suite[i].test, set_up, tear_down,
                                                (void *)(uintptr_t)&kinds[k] };
            count++;
        }
    return _cmocka_run_group_tests("bucket", tests, count, NULL, NULL);
}
