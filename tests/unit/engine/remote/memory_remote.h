/* memory_remote.h -- a batch service in memory: uploaded files, jobs, and all that can go wrong between it
 * and us, by script. Include after cmocka.h.
 *
 * Names:   files are "file/N", jobs "job/N", their outputs "output/N"; N counts from 0.
 * Threads: one at a time.
 */
#ifndef TRANCHE_TESTS_MEMORY_REMOTE_H
#define TRANCHE_TESTS_MEMORY_REMOTE_H

#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "engine/remote/delegate.h"
#include "format/google/remote_row.h"

#define MEMORY_JOBS_MAX 64
#define MEMORY_FILE_MAX ((size_t)64 * 1024 * 1024)
#define MEMORY_PIECE_BYTES 997 /* of an output, at once */

enum memory_call {
    MEMORY_UPLOAD,
    MEMORY_FIND,
    MEMORY_CREATE,
    MEMORY_POLL,
    MEMORY_FETCH,
    MEMORY_CANCEL,
    MEMORY_REMOVE
};

struct memory_job {
    char name[REMOTE_NAME_BYTES];
    uint32_t file;
    uint32_t polls; /* so far */
    bool cancelled;
    bool output_removed;
    uint64_t rows;
};
struct memory_remote {
    struct remote base; /* first: the ops get it */
    struct buf file[MEMORY_JOBS_MAX];
    uint32_t file_count, removed;
    struct memory_job job[MEMORY_JOBS_MAX];
    uint32_t job_count;
    uint32_t calls[MEMORY_REMOVE + 1], calls_all;

    /* The script. */
    uint32_t polls_until_done; /* 0: the first look shows the end */
    enum error_code end;       /* of each job; OK: it succeeds */
    bool reversed, doubled;
    const char *text;       /* of each answer; NULL: none */
    uint32_t missing_every; /* each n-th row is not in the output; 0: none */
    uint32_t error_every;   /* each n-th row is an error */
    uint32_t errors_first;  /* rows of the whole service that are errors before others are not */
    bool strange;           /* rows with unknown keys, and lines that are not rows */
    bool no_output;         /* a job has none */
    uint64_t break_after;   /* fetch breaks after this number of bytes, each time; 0: never */
    enum error_code fails[MEMORY_REMOVE + 1]; /* each such call, with this; OK: none does */
    uint32_t fails_times;    /* number of calls that fail, from the first; 0: all */
    bool after;              /* the call has its effect and then fails */
    uint32_t cut_at;         /* the n-th call of all, from 1, fails for good; 0: none */
    const atomic_bool *stop; /* as remote_open's; or NULL */
    void (*on_call)(void *arg, enum memory_call which);
    void *arg;
};

static inline int memory_fault(struct memory_remote *m, enum memory_call which, bool after,
                               struct error *e)
{
    if (!after) {
        m->calls[which]++;
        m->calls_all++;
        if (m->on_call)
            m->on_call(m->arg, which);
    }
    if (m->stop && atomic_load(m->stop))
        return error_set(e, ERROR_CANCELLED, "stopped");
    if (m->after != after)
        return 0;
    if (m->cut_at && m->calls_all == m->cut_at)
        return error_set(e, ERROR_PERMISSION_DENIED, "cut");
    if (m->fails[which] == ERROR_OK || (m->fails_times && m->calls[which] > m->fails_times))
        return 0;
    return error_set(e, m->fails[which], "the batch service fails");
}

static inline void memory_file_add(struct memory_remote *m, const void *p, size_t len,
                                   char place[REMOTE_NAME_BYTES])
{
    assert_true(m->file_count < MEMORY_JOBS_MAX);
    assert_true(len <= m->base.bytes_max);
    m->file[m->file_count] = BUF_INIT(MEMORY_FILE_MAX);
    buf_add(&m->file[m->file_count], p, len);
    (void)snprintf(place, REMOTE_NAME_BYTES, "file/%u", m->file_count++);
}

static inline int memory_upload(struct remote *r, const struct remote_file *file,
                                char place[REMOTE_NAME_BYTES], struct error *e)
{
    struct memory_remote *m = (struct memory_remote *)r;

    if (memory_fault(m, MEMORY_UPLOAD, false, e) < 0)
        return -1;
    char *bytes = mem_alloc((size_t)file->bytes + 1);
    assert_int_equal(pread(file->fd, bytes, (size_t)file->bytes, 0), file->bytes);
    memory_file_add(m, bytes, (size_t)file->bytes, place);
    mem_free(bytes);
    return memory_fault(m, MEMORY_UPLOAD, true, e);
}

static inline int memory_find(struct remote *r, const char *name, char job[REMOTE_NAME_BYTES],
                              struct error *e)
{
    struct memory_remote *m = (struct memory_remote *)r;

    if (memory_fault(m, MEMORY_FIND, false, e) < 0)
        return -1;
    for (uint32_t i = 0; i < m->job_count; i++) {
        if (strcmp(m->job[i].name, name) != 0)
            continue;
        (void)snprintf(job, REMOTE_NAME_BYTES, "job/%u", i);
        return 1;
    }
    return memory_fault(m, MEMORY_FIND, true, e);
}

static inline int memory_create(struct remote *r, const char *name, const char *place,
                                char job[REMOTE_NAME_BYTES], struct error *e)
{
    struct memory_remote *m = (struct memory_remote *)r;

    if (memory_fault(m, MEMORY_CREATE, false, e) < 0)
        return -1;
    assert_true(m->job_count < MEMORY_JOBS_MAX);
    for (uint32_t i = 0; i < m->job_count; i++)
        assert_string_not_equal(m->job[i].name, name); /* none is created twice */
    struct memory_job *j = &m->job[m->job_count];
    *j = (struct memory_job){ .file = (uint32_t)strtoul(place + strlen("file/"), NULL, 10) };
    (void)snprintf(j->name, sizeof j->name, "%s", name);
    for (size_t i = 0; i < m->file[j->file].len; i++)
        j->rows += m->file[j->file].p[i] == '\n';
    assert_true(j->rows > 0 && j->rows <= m->base.rows_max);
    (void)snprintf(job, REMOTE_NAME_BYTES, "job/%u", m->job_count++);
    return memory_fault(m, MEMORY_CREATE, true, e);
}

/* The job of this name, or of an output's. */
static inline struct memory_job *memory_job(struct memory_remote *m, const char *name,
                                            struct error *e)
{
    unsigned long n = strtoul(strchr(name, '/') + 1, NULL, 10);

    if (n < m->job_count)
        return &m->job[n];
    (void)error_set(e, ERROR_NOT_FOUND, "%s is not here", name);
    return NULL;
}

static inline int memory_poll(struct remote *r, const char *job, struct remote_status *out,
                              struct error *e)
{
    struct memory_remote *m = (struct memory_remote *)r;

    if (memory_fault(m, MEMORY_POLL, false, e) < 0)
        return -1;
    struct memory_job *j = memory_job(m, job, e);
    if (!j)
        return -1;
    out->ended = j->cancelled || j->polls++ >= m->polls_until_done;
    (void)snprintf(out->state, sizeof out->state, "%s", out->ended ? "ENDED" : "RUNNING");
    if (out->ended && j->cancelled)
        (void)error_set(&out->why, ERROR_CANCELLED, "cancelled there");
    else if (out->ended && m->end)
        (void)error_set(&out->why, m->end, "the batch job failed");
    if (out->ended && !m->no_output && !j->output_removed)
        (void)snprintf(out->output, sizeof out->output, "output/%s", strchr(job, '/') + 1);
    return memory_fault(m, MEMORY_POLL, true, e);
}

/* The row of one line: n counts them from 1. */
static inline void memory_answer(struct memory_remote *m, struct str key, uint32_t n,
                                 struct buf *out)
{
    bool fails = m->errors_first > 0 || (m->error_every && n % m->error_every == 0);

    if (m->missing_every && n % m->missing_every == 0)
        return;
    if (m->errors_first)
        m->errors_first--;
    if (fails)
        buf_addf(out, "{\"key\":\"%.*s\",\"error\":{\"code\":14,\"message\":\"row failed\"}}\n",
                 STR_ARG(key));
    else
        buf_addf(
            out,
            "{\"key\":\"%.*s\",\"status\":\"\",\"response\":{\"candidates\":[{\"key\":%u%s%s%s}],"
            "\"usageMetadata\":{\"promptTokenCount\":2,\"candidatesTokenCount\":3}}}\n",
            STR_ARG(key), n,
            m->text ? ",\"finishReason\":\"STOP\",\"content\":{\"parts\":[{\"text\":\"" : "",
            m->text ? m->text : "", m->text ? "\"}]}" : "");
}

/* Rows whose keys are of no line, or of none in the form that we write, and lines that are not rows. */
static inline void memory_strange(struct buf *out)
{
    static const char *const keys[] = {
        "99999999", "", "-", "x", "1-", "1-00", "-1", "1 ", "1-GG", "0-xyz", "18446744073709551616"
    };

    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        buf_addf(out, "{\"key\":\"%s\",\"response\":{\"a\":1}}\n", keys[i]);
    buf_add_c(out, "{\"key\":\"x\",\n\n[]\n");
}

static inline void memory_output(struct memory_remote *m, const struct memory_job *j,
                                 struct buf *out)
{
    struct str rest = buf_str(&m->file[j->file]);
    struct str *line = mem_array((size_t)j->rows, sizeof *line);
    uint32_t count = 0;

    for (; rest.len; count++) {
        line[count] = str_sub(rest, 0, str_find(rest, STR("\n")));
        rest = str_sub(rest, line[count].len + 1, rest.len);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct str one = line[m->reversed ? count - 1 - i : i];
        if (m->strange && i % 7 == 0)
            memory_strange(out);
        memory_answer(m, remote_row_key(one), i + 1, out);
        if (m->doubled)
            memory_answer(m, remote_row_key(one), i + 1, out);
    }
    mem_free(line);
}

static inline int memory_fetch(struct remote *r, const char *output, struct remote_cursor *at,
                               int (*on_bytes)(void *arg, const void *p, size_t len,
                                               struct error *e),
                               void *arg, struct error *e)
{
    struct memory_remote *m = (struct memory_remote *)r;
    struct buf all = BUF_INIT(MEMORY_FILE_MAX);
    uint64_t until = m->break_after ? at->offset + m->break_after : UINT64_MAX;
    int rc = 0;

    if (memory_fault(m, MEMORY_FETCH, false, e) < 0)
        return -1;
    const struct memory_job *j = memory_job(m, output, e);
    if (!j)
        return -1;
    if (j->output_removed)
        return error_set(e, ERROR_NOT_FOUND, "%s was removed", output);
    memory_output(m, j, &all);
    while (rc == 0 && at->offset < all.len) {
        if (at->offset >= until) {
            rc = error_set(e, ERROR_UNAVAILABLE, "the line broke");
            break;
        }
        struct str piece = str_sub(buf_str(&all), (size_t)at->offset, MEMORY_PIECE_BYTES);
        rc = on_bytes(arg, piece.p, piece.len, e);
        at->offset += rc == 0 ? piece.len : 0;
    }
    buf_release(&all);
    return rc < 0 ? -1 : memory_fault(m, MEMORY_FETCH, true, e);
}

static inline int memory_cancel(struct remote *r, const char *job, struct error *e)
{
    struct memory_remote *m = (struct memory_remote *)r;

    if (memory_fault(m, MEMORY_CANCEL, false, e) < 0)
        return -1;
    struct memory_job *j = memory_job(m, job, e);
    if (!j)
        return -1;
    j->cancelled = j->polls <= m->polls_until_done; /* else it has ended */
    return memory_fault(m, MEMORY_CANCEL, true, e);
}

static inline int memory_remove(struct remote *r, const char *place, struct error *e)
{
    struct memory_remote *m = (struct memory_remote *)r;

    if (memory_fault(m, MEMORY_REMOVE, false, e) < 0)
        return -1;
    if (str_starts(str_of(place), STR("output/"))) {
        struct memory_job *j = memory_job(m, place, e);
        if (!j)
            return -1;
        j->output_removed = true;
    }
    m->removed++;
    return memory_fault(m, MEMORY_REMOVE, true, e);
}

static inline void memory_close(struct remote *r)
{
    (void)r; /* its owner releases it */
}

static inline void memory_init(struct memory_remote *m)
{
    static const struct remote_ops ops = {
        .upload = memory_upload,
        .find = memory_find,
        .create = memory_create,
        .poll = memory_poll,
        .fetch = memory_fetch,
        .cancel = memory_cancel,
        .remove = memory_remove,
        .close = memory_close,
    };

    *m = (struct memory_remote){
        .base = { .ops = &ops, .rows_max = 1000, .bytes_max = MEMORY_FILE_MAX }
    };
}

static inline void memory_release(struct memory_remote *m)
{
    for (uint32_t i = 0; i < m->file_count; i++)
        buf_release(&m->file[i]);
}

#endif
