/* remote_suite.h -- what every batch service behind engine/remote/remote.h does.
 *
 * Why: delegate.c relies on these promises to lose no line and to create no job twice; each backend is
 * held to them by the same tests. A program names its backend in `suite` and runs REMOTE_SUITE_TESTS.
 *
 * Shape:   behind each backend stands the batch service of memory_remote.h, whose script says what goes
 *          wrong; Google's dialects reach it through google_stub.h.
 * Threads: the batch service may run on a server's threads: its script is set under remote_world.lock.
 */
#ifndef TRANCHE_TESTS_REMOTE_SUITE_H
#define TRANCHE_TESTS_REMOTE_SUITE_H

#include <fcntl.h>
#include <stdlib.h>

#include "base/thread.h"
#include "scratch.h"
#include "unit/engine/remote/memory_remote.h"

#define SUITE_POLLS_MAX 10
#define SUITE_PAUSE_MS 7000

struct remote_world {
    struct scratch dir;
    struct remote *remote; /* under test */
    atomic_bool stop;      /* its stop flag */
    void *backend;         /* the backend's own */
    pthread_mutex_t lock;  /* guards all below */
    pthread_cond_t let_go; /* held became false */
    struct memory_remote memory;
    bool held; /* a server does not reply while this and stop are set */
};
struct remote_suite {
    void (*open)(struct remote_world *w); /* sets remote and backend */
    void (*close)(struct remote_world *w);
};
extern const struct remote_suite suite;

static inline int suite_setup(void **state)
{
    struct remote_world *w = mem_alloc(sizeof *w);

    scratch_make(&w->dir);
    lock_init(&w->lock);
    cond_init(&w->let_go);
    memory_init(&w->memory);
    w->memory.polls_until_done = 2;
    suite.open(w);
    *state = w;
    return 0;
}

static inline int suite_teardown(void **state)
{
    struct remote_world *w = *state;

    suite.close(w);
    memory_release(&w->memory);
    cond_destroy(&w->let_go);
    lock_destroy(&w->lock);
    scratch_remove(&w->dir);
    mem_free(w);
    return 0;
}

/* ---- Steps that have to work ---- */

static inline void suite_ok(int rc, const struct error *e)
{
    if (rc < 0)
        fail_msg("%s", e->msg);
}

static inline int suite_try_upload(struct remote_world *w, uint32_t rows,
                                   char place[REMOTE_NAME_BYTES], struct error *e)
{
    char path[SCRATCH_PATH_BYTES], key[16];
    struct buf text = BUF_INIT(MEMORY_FILE_MAX);

    for (uint32_t i = 0; i < rows; i++) {
        (void)snprintf(key, sizeof key, "%u", i);
        remote_row_write(str_of(key), STR("{\"contents\":[]}"), &text);
    }
    scratch_write(&w->dir, "rows.jsonl", text.p, text.len);
    const struct remote_file f = { .name = "tranche-rows-1-1",
                                   .path = scratch_path(&w->dir, "rows.jsonl", path),
                                   .fd = open(path, O_RDONLY),
                                   .bytes = text.len };
    int rc = w->remote->ops->upload(w->remote, &f, place, e);
    (void)close(f.fd);
    buf_release(&text);
    return rc;
}

static inline void suite_upload(struct remote_world *w, uint32_t rows,
                                char place[REMOTE_NAME_BYTES])
{
    struct error e = { 0 };

    suite_ok(suite_try_upload(w, rows, place, &e), &e);
}

static inline void suite_create(struct remote_world *w, const char *place,
                                char job[REMOTE_NAME_BYTES])
{
    struct error e = { 0 };

    suite_ok(w->remote->ops->create(w->remote, "tranche-job-1-1", place, job, &e), &e);
}

static inline void suite_poll(struct remote_world *w, const char *job, struct remote_status *st)
{
    struct error e = { 0 };

    *st = (struct remote_status){ 0 };
    suite_ok(w->remote->ops->poll(w->remote, job, st, &e), &e);
    assert_true(st->state[0] != '\0');
}

/* A job of this number of rows, up to its end. */
static inline void suite_run(struct remote_world *w, uint32_t rows, struct remote_status *st)
{
    char place[REMOTE_NAME_BYTES], job[REMOTE_NAME_BYTES];

    suite_upload(w, rows, place);
    suite_create(w, place, job);
    for (int i = 0; i < SUITE_POLLS_MAX; i++) {
        suite_poll(w, job, st);
        if (st->ended)
            return;
        assert_int_equal(st->why.code, ERROR_OK);
    }
    fail_msg("%s does not end", job);
}

struct suite_rows {
    struct buf text;
    size_t left; /* bytes until an error; SIZE_MAX: none */
};

static inline int suite_on_bytes(void *arg, const void *p, size_t len, struct error *e)
{
    struct suite_rows *r = arg;

    if (r->left < len)
        return error_set(e, ERROR_DATA_LOSS, "enough");
    r->left -= r->left == SIZE_MAX ? 0 : len;
    buf_add(&r->text, p, len);
    return 0;
}

static inline void suite_fetch(struct remote_world *w, const char *output, struct buf *out)
{
    struct suite_rows r = { BUF_INIT(MEMORY_FILE_MAX), SIZE_MAX };
    struct remote_cursor at = { 0 };
    struct error e = { 0 };

    suite_ok(w->remote->ops->fetch(w->remote, output, &at, suite_on_bytes, &r, &e), &e);
    *out = r.text;
}

/* Each of rows 0 .. rows - 1 is there once, as a whole line. */
static inline void suite_assert_rows(struct str text, uint32_t rows)
{
    bool *seen = mem_array(rows, sizeof *seen);
    struct arena a = { 0 };
    uint64_t count = 0, key;

    assert_true(str_ends(text, STR("\n")));
    while (text.len) {
        struct str line = str_sub(text, 0, str_find(text, STR("\n")));
        struct remote_row row;
        text = str_sub(text, line.len + 1, text.len);
        if (line.len == 0)
            continue;
        assert_true(remote_row_read(&a, line, &row));
        assert_true(str_number(row.key, &key) && key < rows && !seen[key]);
        seen[key] = true;
        count++;
    }
    assert_int_equal(count, rows);
    arena_release(&a);
    mem_free(seen);
}

/* The script: the first call of this kind fails with this code. */
static inline void suite_fail_once(struct remote_world *w, enum memory_call call,
                                   enum error_code code)
{
    lock(&w->lock);
    memset(w->memory.fails, 0, sizeof w->memory.fails);
    w->memory.fails[call] = code;
    w->memory.fails_times = w->memory.calls[call] + 1;
    w->memory.base.retry_after_ms = SUITE_PAUSE_MS;
    unlock(&w->lock);
}

/* ---- What is promised ---- */

static void test_rows_go_up_and_their_answers_come_back(void **state)
{
    struct remote_world *w = *state;
    struct remote_status st;
    struct error e = { 0 };
    struct buf rows;

    suite_run(w, 10, &st);
    assert_int_equal(st.why.code, ERROR_OK);
    assert_true(st.output[0] != '\0');
    suite_fetch(w, st.output, &rows);
    suite_assert_rows(buf_str(&rows), 10);
    buf_release(&rows);
    suite_ok(w->remote->ops->remove(w->remote, st.output, &e), &e);
}

static void test_a_file_that_was_uploaded_can_be_removed(void **state)
{
    struct remote_world *w = *state;
    char place[REMOTE_NAME_BYTES];
    struct error e = { 0 };

    suite_upload(w, 3, place);
    suite_ok(w->remote->ops->remove(w->remote, place, &e), &e);
    lock(&w->lock);
    assert_int_equal(w->memory.removed, 1);
    unlock(&w->lock);
}

static void test_an_output_that_was_removed_has_no_rows(void **state)
{
    struct remote_world *w = *state;
    struct suite_rows r = { BUF_INIT(MEMORY_FILE_MAX), SIZE_MAX };
    struct remote_cursor at = { 0 };
    struct remote_status st;
    struct error e = { 0 };

    suite_run(w, 3, &st);
    suite_ok(w->remote->ops->remove(w->remote, st.output, &e), &e);
    int rc = w->remote->ops->fetch(w->remote, st.output, &at, suite_on_bytes, &r, &e);
    assert_true(rc == 0 || e.code == ERROR_NOT_FOUND);
    assert_int_equal(str_trim(buf_str(&r.text)).len, 0);
    buf_release(&r.text);
}

static void test_a_job_is_found_by_its_name_and_by_no_other(void **state)
{
    struct remote_world *w = *state;
    const struct remote_ops *ops = w->remote->ops;
    char place[REMOTE_NAME_BYTES], job[REMOTE_NAME_BYTES], found[REMOTE_NAME_BYTES];
    struct error e = { 0 };

    suite_upload(w, 3, place);
    assert_int_equal(ops->find(w->remote, "tranche-job-1-1", found, &e), 0);
    suite_create(w, place, job);
    assert_int_equal(ops->find(w->remote, "tranche-job-1-1", found, &e), 1);
    assert_string_equal(found, job);
    assert_int_equal(ops->find(w->remote, "tranche-job-1-10", found, &e), 0);
    assert_int_equal(ops->find(w->remote, "tranche-job-1", found, &e), 0);
}

static void test_a_create_that_worked_and_failed_is_found(void **state)
{
    struct remote_world *w = *state;
    char place[REMOTE_NAME_BYTES], job[REMOTE_NAME_BYTES];
    struct error e = { 0 };

    suite_upload(w, 3, place);
    suite_fail_once(w, MEMORY_CREATE, ERROR_UNAVAILABLE);
    lock(&w->lock);
    w->memory.after = true;
    unlock(&w->lock);
    assert_int_equal(w->remote->ops->create(w->remote, "tranche-job-1-1", place, job, &e), -1);
    assert_true(error_retryable(e.code));
    assert_int_equal(w->remote->ops->find(w->remote, "tranche-job-1-1", job, &e), 1);
}

static void test_a_fetch_goes_on_where_it_broke(void **state)
{
    struct remote_world *w = *state;
    struct suite_rows r = { BUF_INIT(MEMORY_FILE_MAX), 0 };
    struct remote_cursor at = { 0 };
    struct remote_status st;
    int rc = -1, breaks = 0;

    suite_run(w, 900, &st);
    while (rc < 0) {
        struct error e = { 0 };
        r.left = 40000;
        rc = w->remote->ops->fetch(w->remote, st.output, &at, suite_on_bytes, &r, &e);
        if (rc < 0)
            assert_int_equal(e.code, ERROR_DATA_LOSS); /* on_bytes' own error */
        breaks += rc < 0;
        assert_true(breaks < 100);
    }
    assert_true(breaks > 1);
    suite_assert_rows(buf_str(&r.text), 900);
    buf_release(&r.text);
}

static void test_a_failed_job_says_why(void **state)
{
    struct remote_world *w = *state;
    struct remote_status st;

    lock(&w->lock);
    w->memory.end = ERROR_INVALID_ARGUMENT;
    unlock(&w->lock);
    suite_run(w, 3, &st);
    assert_int_equal(st.why.code, ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(st.why.msg, "the batch job failed"));
}

static void test_a_cancelled_job_ends_as_cancelled_and_may_be_cancelled_again(void **state)
{
    struct remote_world *w = *state;
    char place[REMOTE_NAME_BYTES], job[REMOTE_NAME_BYTES];
    struct remote_status st;
    struct error e = { 0 };

    suite_upload(w, 3, place);
    suite_create(w, place, job);
    suite_ok(w->remote->ops->cancel(w->remote, job, &e), &e);
    suite_poll(w, job, &st);
    assert_true(st.ended);
    assert_int_equal(st.why.code, ERROR_CANCELLED);
    suite_ok(w->remote->ops->cancel(w->remote, job, &e), &e);
}

static void test_a_job_that_is_not_there_is_not_found(void **state)
{
    struct remote_world *w = *state;
    char place[REMOTE_NAME_BYTES], job[REMOTE_NAME_BYTES];
    struct remote_status st = { 0 };
    struct error e = { 0 };

    suite_upload(w, 3, place);
    suite_create(w, place, job);
    strcat(job, "99");
    assert_int_equal(w->remote->ops->poll(w->remote, job, &st, &e), -1);
    assert_int_equal(e.code, ERROR_NOT_FOUND);
    assert_int_equal(w->remote->ops->cancel(w->remote, job, &e), -1);
    assert_int_equal(e.code, ERROR_NOT_FOUND);
}

/* One call of each kind, on a job that has ended. */
struct suite_names {
    char place[REMOTE_NAME_BYTES], job[REMOTE_NAME_BYTES], output[REMOTE_NAME_BYTES];
};

static inline int suite_call(struct remote_world *w, enum memory_call call, struct suite_names *n,
                             struct error *e)
{
    const struct remote_ops *ops = w->remote->ops;
    struct suite_rows r = { BUF_INIT(MEMORY_FILE_MAX), SIZE_MAX };
    struct remote_cursor at = { 0 };
    struct remote_status st = { 0 };
    char name[REMOTE_NAME_BYTES];
    int rc = -1;

    switch (call) {
    case MEMORY_UPLOAD:
        return suite_try_upload(w, 3, name, e);
    case MEMORY_FIND:
        return ops->find(w->remote, "tranche-job-1-1", name, e);
    case MEMORY_CREATE:
        return ops->create(w->remote, "tranche-job-1-2", n->place, name, e);
    case MEMORY_POLL:
        return ops->poll(w->remote, n->job, &st, e);
    case MEMORY_FETCH:
        rc = ops->fetch(w->remote, n->output, &at, suite_on_bytes, &r, e);
        buf_release(&r.text);
        return rc;
    case MEMORY_CANCEL:
        return ops->cancel(w->remote, n->job, e);
    case MEMORY_REMOVE:
        return ops->remove(w->remote, n->output, e);
    }
    return rc;
}

static inline void suite_names_make(struct remote_world *w, struct suite_names *n)
{
    struct remote_status st = { 0 };

    suite_upload(w, 3, n->place);
    suite_create(w, n->place, n->job);
    for (int i = 0; i < SUITE_POLLS_MAX && !st.ended; i++)
        suite_poll(w, n->job, &st);
    memcpy(n->output, st.output, sizeof n->output);
}

static void test_a_transient_failure_of_any_call_says_how_long_to_wait(void **state)
{
    struct remote_world *w = *state;
    struct suite_names n;

    suite_names_make(w, &n);
    for (int call = MEMORY_UPLOAD; call <= MEMORY_REMOVE; call++) {
        struct error e = { 0 };
        suite_fail_once(w, (enum memory_call)call, ERROR_UNAVAILABLE);
        assert_int_equal(suite_call(w, (enum memory_call)call, &n, &e), -1);
        assert_true(error_retryable(e.code));
        assert_int_equal(w->remote->retry_after_ms, SUITE_PAUSE_MS);
        suite_ok(suite_call(w, (enum memory_call)call, &n, &e), &e);
    }
}

static void test_a_refusal_of_any_call_keeps_its_code(void **state)
{
    struct remote_world *w = *state;
    struct suite_names n;

    suite_names_make(w, &n);
    for (int call = MEMORY_UPLOAD; call <= MEMORY_REMOVE; call++) {
        struct error e = { 0 };
        suite_fail_once(w, (enum memory_call)call, ERROR_PERMISSION_DENIED);
        assert_int_equal(suite_call(w, (enum memory_call)call, &n, &e), -1);
        assert_int_equal(e.code, ERROR_PERMISSION_DENIED);
        assert_non_null(strstr(e.msg, "the batch service fails"));
    }
}

static void suite_stop_now(void *arg, enum memory_call which)
{
    struct remote_world *w = arg;

    (void)which;
    atomic_store(&w->stop, true);
}

/* The flag is set while the call is under way, and a server gives no reply meanwhile. */
static void test_a_stop_ends_any_call_as_cancelled(void **state)
{
    struct remote_world *w = *state;
    struct suite_names n;

    suite_names_make(w, &n);
    for (int call = MEMORY_UPLOAD; call <= MEMORY_REMOVE; call++) {
        struct error e = { 0 };
        atomic_store(&w->stop, false);
        lock(&w->lock);
        w->held = true;
        w->memory.on_call = suite_stop_now;
        w->memory.arg = w;
        unlock(&w->lock);
        assert_int_equal(suite_call(w, (enum memory_call)call, &n, &e), -1);
        assert_int_equal(e.code, ERROR_CANCELLED);
        lock(&w->lock);
        w->held = false;
        cond_broadcast(&w->let_go);
        unlock(&w->lock);
    }
}

#define SUITE_TEST(f) cmocka_unit_test_setup_teardown(f, suite_setup, suite_teardown)
#define REMOTE_SUITE_TESTS                                                                         \
    SUITE_TEST(test_rows_go_up_and_their_answers_come_back),                                       \
        SUITE_TEST(test_a_file_that_was_uploaded_can_be_removed),                                  \
        SUITE_TEST(test_an_output_that_was_removed_has_no_rows),                                   \
        SUITE_TEST(test_a_job_is_found_by_its_name_and_by_no_other),                               \
        SUITE_TEST(test_a_create_that_worked_and_failed_is_found),                                 \
        SUITE_TEST(test_a_fetch_goes_on_where_it_broke), SUITE_TEST(test_a_failed_job_says_why),   \
        SUITE_TEST(test_a_cancelled_job_ends_as_cancelled_and_may_be_cancelled_again),             \
        SUITE_TEST(test_a_job_that_is_not_there_is_not_found),                                     \
        SUITE_TEST(test_a_transient_failure_of_any_call_says_how_long_to_wait),                    \
        SUITE_TEST(test_a_refusal_of_any_call_keeps_its_code),                                     \
        SUITE_TEST(test_a_stop_ends_any_call_as_cancelled)

#endif
