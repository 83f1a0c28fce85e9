/* far.h -- a batch service in memory: what was uploaded, its jobs, and all that can go wrong between
 * it and us, by script. Include after world.h. */
#ifndef TRANCHE_TESTS_FAR_H
#define TRANCHE_TESTS_FAR_H

#include "engine/remote/delegate.h"
#include "format/google/remote_row.h"

#define FAR_JOBS_MAX 64
#define FAR_FILE_MAX ((size_t)64 * 1024 * 1024)
#define FAR_PIECE_BYTES 997 /* of an output, at once */

enum far_call { FAR_UPLOAD, FAR_FIND, FAR_CREATE, FAR_POLL, FAR_FETCH, FAR_CANCEL, FAR_REMOVE };

struct far_job {
    char name[REMOTE_NAME_BYTES];
    uint32_t file;
    uint32_t polls; /* so far */
    bool cancelled;
    uint64_t rows;
};
struct far {
    struct remote base; /* first: the ops get it */
    struct buf file[FAR_JOBS_MAX];
    uint32_t file_count, removed;
    struct far_job job[FAR_JOBS_MAX];
    uint32_t job_count;
    uint32_t calls[FAR_REMOVE + 1], calls_all;

    /* The script. */
    uint32_t polls_until_done; /* 0: the first look shows the end */
    enum error_code end;       /* of each job; OK: it succeeds */
    bool reversed, doubled;
    uint32_t missing_every; /* each n-th row is not in the output; 0: none */
    uint32_t error_every;   /* each n-th row is an error */
    uint32_t errors_first;  /* so many rows of the whole service are errors */
    bool strange;           /* rows of nobody's keys, and lines that are no rows */
    bool no_output;         /* a job has none */
    uint64_t break_after;   /* fetch breaks after so many bytes, each time; 0: never */
    enum error_code fails[FAR_REMOVE + 1]; /* each such call, with this; OK: none does */
    uint32_t fails_times;                  /* so many calls; 0: all */
    bool after;                            /* the call has its effect and then fails */
    uint32_t cut_at; /* the n-th call of all, from 1, fails for good; 0: none */
    void (*on_call)(void *arg, enum far_call which);
    void *arg;
};

static inline int far_fault(struct far *f, enum far_call which, bool after, struct error *e)
{
    if (!after) {
        f->calls[which]++;
        f->calls_all++;
        if (f->on_call)
            f->on_call(f->arg, which);
    }
    if (f->after != after)
        return 0;
    if (f->cut_at && f->calls_all == f->cut_at)
        return error_set(e, ERROR_PERMISSION_DENIED, "cut");
    if (f->fails[which] == ERROR_OK || (f->fails_times && f->calls[which] > f->fails_times))
        return 0;
    return error_set(e, f->fails[which], "the far side fails");
}

static inline int far_upload(struct remote *r, const struct remote_file *file,
                             char place[REMOTE_NAME_BYTES], struct error *e)
{
    struct far *f = (struct far *)r;

    if (far_fault(f, FAR_UPLOAD, false, e) < 0)
        return -1;
    assert_true(f->file_count < FAR_JOBS_MAX);
    f->file[f->file_count] = BUF_INIT(FAR_FILE_MAX);
    char *bytes = mem_alloc((size_t)file->bytes + 1);
    assert_int_equal(pread(file->fd, bytes, (size_t)file->bytes, 0), file->bytes);
    buf_add(&f->file[f->file_count], bytes, (size_t)file->bytes);
    mem_free(bytes);
    assert_true(file->bytes <= f->base.bytes_max);
    (void)snprintf(place, REMOTE_NAME_BYTES, "file/%u", f->file_count++);
    return far_fault(f, FAR_UPLOAD, true, e);
}

static inline int far_find(struct remote *r, const char *name, char job[REMOTE_NAME_BYTES],
                           struct error *e)
{
    struct far *f = (struct far *)r;

    if (far_fault(f, FAR_FIND, false, e) < 0)
        return -1;
    for (uint32_t i = 0; i < f->job_count; i++) {
        if (strcmp(f->job[i].name, name) != 0)
            continue;
        (void)snprintf(job, REMOTE_NAME_BYTES, "job/%u", i);
        return 1;
    }
    return far_fault(f, FAR_FIND, true, e);
}

static inline int far_create(struct remote *r, const char *name, const char *place,
                             char job[REMOTE_NAME_BYTES], struct error *e)
{
    struct far *f = (struct far *)r;

    if (far_fault(f, FAR_CREATE, false, e) < 0)
        return -1;
    assert_true(f->job_count < FAR_JOBS_MAX);
    for (uint32_t i = 0; i < f->job_count; i++)
        assert_string_not_equal(f->job[i].name, name); /* none is created twice */
    struct far_job *j = &f->job[f->job_count];
    *j = (struct far_job){ .file = (uint32_t)strtoul(place + strlen("file/"), NULL, 10) };
    (void)snprintf(j->name, sizeof j->name, "%s", name);
    for (size_t i = 0; i < f->file[j->file].len; i++)
        j->rows += f->file[j->file].p[i] == '\n';
    assert_true(j->rows > 0 && j->rows <= f->base.rows_max);
    (void)snprintf(job, REMOTE_NAME_BYTES, "job/%u", f->job_count++);
    return far_fault(f, FAR_CREATE, true, e);
}

static inline struct far_job *far_job(struct far *f, const char *name)
{
    return &f->job[strtoul(strchr(name, '/') + 1, NULL, 10)];
}

static inline int far_poll(struct remote *r, const char *job, struct remote_status *out,
                           struct error *e)
{
    struct far *f = (struct far *)r;
    struct far_job *j = far_job(f, job);

    if (far_fault(f, FAR_POLL, false, e) < 0)
        return -1;
    out->ended = j->cancelled || j->polls++ >= f->polls_until_done;
    (void)snprintf(out->state, sizeof out->state, "%s", out->ended ? "ENDED" : "RUNNING");
    if (out->ended && j->cancelled)
        (void)error_set(&out->why, ERROR_CANCELLED, "cancelled there");
    else if (out->ended && f->end)
        (void)error_set(&out->why, f->end, "the far job failed");
    if (out->ended && !f->no_output)
        (void)snprintf(out->output, sizeof out->output, "output/%s", strchr(job, '/') + 1);
    return far_fault(f, FAR_POLL, true, e);
}

/* The row of one line: n counts them from 1. */
static inline void far_answer(struct far *f, struct str key, uint32_t n, struct buf *out)
{
    bool fails = f->errors_first > 0 || (f->error_every && n % f->error_every == 0);

    if (f->missing_every && n % f->missing_every == 0)
        return;
    if (f->errors_first)
        f->errors_first--;
    if (fails)
        buf_addf(out, "{\"key\":\"%.*s\",\"error\":{\"code\":14,\"message\":\"row failed\"}}\n",
                 STR_ARG(key));
    else
        buf_addf(out,
                 "{\"key\":\"%.*s\",\"status\":\"\",\"response\":{\"candidates\":[{\"key\":%u}],"
                 "\"usageMetadata\":{\"promptTokenCount\":2,\"candidatesTokenCount\":3}}}\n",
                 STR_ARG(key), n);
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

static inline void far_output(struct far *f, const struct far_job *j, struct buf *out)
{
    struct str rest = buf_str(&f->file[j->file]);
    struct str *line = mem_array((size_t)j->rows, sizeof *line);
    uint32_t count = 0;

    for (; rest.len; count++) {
        line[count] = str_sub(rest, 0, str_find(rest, STR("\n")));
        rest = str_sub(rest, line[count].len + 1, rest.len);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct str one = line[f->reversed ? count - 1 - i : i];
        if (f->strange && i % 7 == 0)
            memory_strange(out);
        far_answer(f, remote_row_key(one), i + 1, out);
        if (f->doubled)
            far_answer(f, remote_row_key(one), i + 1, out);
    }
    mem_free(line);
}

static inline int far_fetch(struct remote *r, const char *output, struct remote_cursor *at,
                            int (*on_bytes)(void *arg, const void *p, size_t len, struct error *e),
                            void *arg, struct error *e)
{
    struct far *f = (struct far *)r;
    struct buf all = BUF_INIT(FAR_FILE_MAX);
    uint64_t until = f->break_after ? at->offset + f->break_after : UINT64_MAX;
    int rc = 0;

    if (far_fault(f, FAR_FETCH, false, e) < 0)
        return -1;
    far_output(f, far_job(f, output), &all);
    while (rc == 0 && at->offset < all.len) {
        if (at->offset >= until) {
            rc = error_set(e, ERROR_UNAVAILABLE, "the line broke");
            break;
        }
        struct str piece = str_sub(buf_str(&all), (size_t)at->offset, FAR_PIECE_BYTES);
        rc = on_bytes(arg, piece.p, piece.len, e);
        at->offset += piece.len;
    }
    buf_release(&all);
    return rc < 0 ? -1 : far_fault(f, FAR_FETCH, true, e);
}

static inline int far_cancel(struct remote *r, const char *job, struct error *e)
{
    struct far *f = (struct far *)r;

    if (far_fault(f, FAR_CANCEL, false, e) < 0)
        return -1;
    far_job(f, job)->cancelled = true;
    return far_fault(f, FAR_CANCEL, true, e);
}

static inline int far_remove(struct remote *r, const char *place, struct error *e)
{
    struct far *f = (struct far *)r;

    (void)place;
    if (far_fault(f, FAR_REMOVE, false, e) < 0)
        return -1;
    f->removed++;
    return far_fault(f, FAR_REMOVE, true, e);
}

static inline void far_init(struct far *f)
{
    static const struct remote_ops ops = {
        .upload = far_upload,
        .find = far_find,
        .create = far_create,
        .poll = far_poll,
        .fetch = far_fetch,
        .cancel = far_cancel,
        .remove = far_remove,
    };

    *f = (struct far){ .base = { .ops = &ops, .rows_max = 1000, .bytes_max = FAR_FILE_MAX } };
}

static inline void far_release(struct far *f)
{
    for (uint32_t i = 0; i < f->file_count; i++)
        buf_release(&f->file[i]);
}

#endif
