/* results.c -- the rows that a job has so far, and its bad lines, as files of the job's folder. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"
#include "engine/service/rows.h"
#include "engine/service/service_inner.h"
#include "format/bigquery/name.h"

/* Bytes up to and with the last line end; 0 when there is none. */
static uint64_t up_to_line_end(const char *p, int64_t bytes)
{
    while (bytes > 0 && p[bytes - 1] != '\n')
        bytes--;
    return (uint64_t)bytes;
}

/* Bytes up to the last line end: a row may be half written. */
static int whole_rows(int fd, uint64_t *bytes, struct error *e)
{
    char piece[64 * 1024];
    struct stat st;

    if (fstat(fd, &st) < 0)
        return error_errno(e, "the job's output");
    for (uint64_t end = (uint64_t)st.st_size; end > 0;) {
        uint64_t from = end > sizeof piece ? end - sizeof piece : 0;
        int64_t n = sys_read_at(fd, piece, (size_t)(end - from), from, "the job's output", e);
        if (n < 0)
            return -1;
        uint64_t whole = up_to_line_end(piece, n);
        if (whole > 0) {
            *bytes = from + whole;
            return 0;
        }
        end = from;
    }
    *bytes = 0;
    return 0;
}

static int open_rows(const char *path, uint64_t *bytes, struct error *e)
{
    int fd = sys_open(path, O_RDONLY, e);

    if (fd < 0)
        return -1;
    if (whole_rows(fd, bytes, e) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

static int open_result(struct service *s, int64_t blob, uint64_t *bytes, struct error *e)
{
    struct stat st;
    int fd = blob_open(s->env.store, blob, e);

    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0) {
        (void)close(fd);
        return error_errno(e, "the job's result");
    }
    *bytes = (uint64_t)st.st_size;
    return fd;
}

static int in_table(const struct job *j, struct error *e)
{
    return error_set(
        e, ERROR_FAILED_PRECONDITION,
        "The job's results are the table %.*s. Read them there, or with `tranche table "
        "export`.",
        STR_ARG(j->output));
}

int service_results(struct service *s, const struct job *j, uint64_t *bytes, struct error *e)
{
    char path[SERVICE_PATH_BYTES];
    struct error why = { 0 };
    int fd = -1;

    if (j->result)
        return open_result(s, j->result, bytes, e);
    if (job_state_final(j->state) && bq_is(j->output))
        return in_table(j, e);
    if (s->env.fleet)
        return fleet_results(s, j, bytes, e);
    /* The last is there for the moment between the last row and the job's end. */
    static const char *const names[] = { "output.jsonl.partial", "output.jsonl" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        job_path(s, path, j->id, names[i]);
        fd = open_rows(path, bytes, &why);
        if (fd >= 0)
            return fd;
        if (why.code != ERROR_NOT_FOUND) {
            *e = why;
            return -1;
        }
    }
    return error_set(e, ERROR_NOT_FOUND, "the job has no results yet");
}

enum row_style job_row_style(const struct job *j)
{
    static const enum row_style styles[] = {
        [JOB_OBJECTS] = ROW_VERTEX,
        [JOB_FILE] = ROW_KEYED,
        [JOB_INLINE] = ROW_INLINED,
    };

    return styles[j->source];
}

static int add_row(void *arg, uint64_t index, struct str row, struct error *e)
{
    (void)index;
    return sys_write_all(*(const int *)arg, row.p, row.len, "the rows so far", e);
}

int service_results_done(struct service *s, const struct job *j, uint64_t *bytes, struct error *e)
{
    char dir[SERVICE_PATH_BYTES];
    uint64_t total;
    struct stat st;

    if (j->result)
        return open_result(s, j->result, bytes, e);
    if (job_state_final(j->state) && bq_is(j->output))
        return in_table(j, e);
    if (s->env.fleet)
        return fleet_results_done(s, j, bytes, e);
    job_path(s, dir, j->id, NULL);
    if (access(dir, F_OK) < 0)
        return error_set(e, ERROR_NOT_FOUND, "the job has no results yet");
    int fd = sys_open_nameless(dir, e); /* it goes when it was sent */
    const struct rows_answered rows = { .fn = add_row, .arg = &fd };
    if (fd >= 0 && rows_each_answered(s, j, &rows, &total, e) == 0 && fstat(fd, &st) == 0) {
        *bytes = (uint64_t)st.st_size;
        return fd;
    }
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

int service_line_errors(struct service *s, const struct job *j, uint64_t *bytes, struct error *e)
{
    char path[SERVICE_PATH_BYTES];

    if (s->env.fleet)
        return fleet_line_errors(s, j, bytes, e);
    job_path(s, path, j->id, JOB_LINE_ERRORS_FILE);
    int fd = open_rows(path, bytes, e);
    if (fd >= 0 || e->code != ERROR_NOT_FOUND)
        return fd;
    return error_set(e, ERROR_NOT_FOUND, "the job's input has not been checked");
}
