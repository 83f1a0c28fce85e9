/* fleet_rows.c -- what a job of a fleet has so far, at any process: out of the shards that are recorded.
 *
 * Shape:   DIR/jobs/ID/rows.jsonl has the rows of the lines before the first open one: of shards that are done, and of the
 *          checkpoint behind them. It only grows, so that the index of rows (rows.h) stays true; the lengths of the
 *          shards' outputs say where each begins. It is a copy: each process makes its own.
 */
#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/sys.h"
#include "base/thread.h"
#include "engine/lines/peek.h"
#include "engine/service/fleet_job.h"
#include "engine/service/rows.h"

#define COPY_BYTES ((size_t)256 * 1024)
#define PEEK_CHARS 12 /* of a folder's name */

static int no_results(struct error *e)
{
    return error_set(e, ERROR_NOT_FOUND, "the job has no results yet");
}

/* Appends a blob to the file at its end. */
static int append(struct store *store, int to, const struct blob *b, struct error *e)
{
    int from = blob_open(store, b->id, e);
    char *piece = mem_alloc(COPY_BYTES);
    int64_t n = from < 0 ? -1 : 1;

    for (uint64_t at = 0; n > 0; at += (uint64_t)n) {
        n = sys_read_at(from, piece, COPY_BYTES, at, "the rows of a shard", e);
        if (n > 0 && sys_write_all(to, piece, (size_t)n, "the job's rows", e) < 0)
            n = -1;
    }
    mem_free(piece);
    if (from >= 0)
        (void)close(from);
    return n < 0 ? -1 : 0;
}

static int finish(int fd, int rc, uint64_t *bytes, struct error *e)
{
    struct stat st;

    if (rc == 0 && (fstat(fd, &st) < 0 || lseek(fd, 0, SEEK_SET) < 0))
        rc = error_errno(e, "the job's rows");
    if (rc == 0) {
        *bytes = (uint64_t)st.st_size;
        return fd;
    }
    (void)close(fd);
    return -1;
}

/* A file without a name, which goes when it is closed. */
static int open_nameless(struct service *s, int64_t id, struct error *e)
{
    char dir[SERVICE_PATH_BYTES];

    job_path(s, dir, id, NULL);
    return sys_mkdirs(dir, e) < 0 ? -1 : sys_open_nameless(dir, e);
}

/* One call that reads a job's rows, and the file that they go to. */
struct rows_so_far {
    struct service *service;
    const struct job *job;
    struct arena arena;
    struct job_input *pin;
    uint32_t pin_count;
    int fd;                         /* or -1: */
    bool in_turn;                   /* the rows end at the first line without one, */
    uint64_t next;                  /* which has this number, or a later one */
    const struct rows_answered *to; /* rows by their number */
    uint64_t first;                 /* number of the first row of the shard that is read */
    bool ended;                     /* by to->fn */
};

static int add_row(void *arg, uint64_t index, struct str row, struct error *e)
{
    struct rows_so_far *r = arg;

    if (r->in_turn && r->first + index != r->next++)
        return 1;
    if (r->fd >= 0)
        return sys_write_all(r->fd, row.p, row.len, "the job's rows", e);
    int rc = r->to->fn(r->to->arg, r->first + index, row, e);
    r->ended = rc == 1;
    return rc;
}

static int peek_at(struct rows_so_far *r, const char *folder, const struct shard_rows *shard,
                   struct error *e)
{
    struct input in = { 0 };
    struct spool *spool = NULL;
    struct store *store = r->service->env.store;
    uint64_t from = r->to && r->to->from > r->first ? r->to->from - r->first : 0;
    int rc = -1;

    if (fleet_fetch_answers(store, shard->answers, folder, e) == 0 &&
        fleet_open_cut(store, &r->pin[shard->cut.input], &shard->cut, &in, e) == 0)
        spool = spool_peek(folder, e);
    if (spool) {
        const struct peek p = {
            .input = &in,
            .spool = spool,
            .rules = job_rules(r->job),
            .style = job_row_style(r->job),
            .from = from,
            .on_row = add_row,
            .arg = r,
        };
        rc = peek_run(&p, e);
    }
    spool_close(spool);
    input_release(&in);
    return rc;
}

/* The rows of a shard's checkpoint, of which a copy is made for this call. */
static int add_checkpoint(struct rows_so_far *r, const struct shard_rows *shard, struct error *e)
{
    char dir[SERVICE_PATH_BYTES], name[PEEK_CHARS + 1];
    struct error ignored;

    if (shard->cut.input >= r->pin_count)
        return error_set(e, ERROR_DATA_LOSS, "the job has no input %u", shard->cut.input);
    if (random_text(name, PEEK_CHARS, ALPHABET_36, e) < 0)
        return -1;
    job_path(r->service, dir, r->job->id, NULL);
    const char *folder = arena_textf(&r->arena, "%s/peek-%s", dir, name);
    int rc = peek_at(r, folder, shard, e);
    if (sys_remove_all(folder, &ignored) < 0)
        log_warn("job %lld: %s", (long long)r->job->id, ignored.msg);
    return rc;
}

/* The whole rows of a piece of a shard's output, of which the first has this number in the shard; gives the rest. */
static int add_lines(struct rows_so_far *r, struct str *piece, uint64_t *index, struct error *e)
{
    size_t end;

    assert(r->to);
    while (!r->ended && (end = str_find(*piece, STR("\n"))) != SIZE_MAX) {
        struct str row = str_sub(*piece, 0, end + 1);
        *piece = str_sub(*piece, end + 1, piece->len);
        if (r->first + (*index)++ >= r->to->from && add_row(r, *index - 1, row, e) < 0)
            return -1;
    }
    return 0;
}

/* The rows of a shard that is done, one by one. */
static int add_output(struct rows_so_far *r, const struct blob *b, struct error *e)
{
    struct buf piece = BUF_INIT(ROW_BYTES_MAX + COPY_BYTES);
    int fd = blob_open(r->service->env.store, b->id, e), rc = fd < 0 ? -1 : 0;
    uint64_t index = 0;

    for (uint64_t at = 0; rc == 0 && !r->ended && at < b->bytes;) {
        size_t kept = piece.len;
        char *p = buf_extend(&piece, COPY_BYTES);
        int64_t n = p ? sys_read_at(fd, p, COPY_BYTES, at, "the rows of a shard", e) : 0;
        if (n <= 0) {
            rc = n < 0 ? -1 : error_set(e, ERROR_DATA_LOSS, "the rows of a shard are cut off");
            break;
        }
        piece.len = kept + (size_t)n;
        at += (uint64_t)n;
        struct str rest = buf_str(&piece);
        rc = add_lines(r, &rest, &index, e);
        memmove(piece.p, rest.p, rest.len);
        piece.len = rest.len;
    }
    if (fd >= 0)
        (void)close(fd);
    buf_release(&piece);
    return rc;
}

/* The rows of a shard go into the file as they are, or one by one. */
static int add_shard(struct rows_so_far *r, const struct shard_rows *shard, struct error *e)
{
    r->first = shard->cut.first;
    if (!shard->output.id)
        return add_checkpoint(r, shard, e);
    return r->fd >= 0 ? append(r->service->env.store, r->fd, &shard->output, e)
                      : add_output(r, &shard->output, e);
}

/* Stands behind the last shard that the file has as a whole; *next is the first one that it lacks. The rows of a checkpoint
 * may stand behind that: they are written again, as they are. */
static int find_end(int fd, const struct shard_rows *shard, uint32_t count, uint32_t *next,
                    struct error *e)
{
    uint64_t end = 0;
    struct stat st;

    if (fstat(fd, &st) < 0)
        return error_errno(e, "the job's rows");
    for (*next = 0; *next < count; (*next)++) {
        const struct shard_rows *s = &shard[*next];
        if (s->number != *next || !s->output.id || end + s->output.bytes > (uint64_t)st.st_size)
            break;
        end += s->output.bytes;
    }
    return lseek(fd, (off_t)end, SEEK_SET) < 0 ? error_errno(e, "the job's rows") : 0;
}

/* Under the file's lock: the rows of all lines before the first open one, as they are recorded. */
static int grow(struct rows_so_far *r, struct error *e)
{
    struct store *store = r->service->env.store;
    struct shard_rows *shard = NULL;
    uint32_t count = 0, next = 0;
    int rc = job_inputs(store, &r->arena, r->job->id, &r->pin, &r->pin_count, e);

    if (rc == 0)
        rc = shards_recorded(store, &r->arena, r->job->id, &shard, &count, e);
    if (rc == 0)
        rc = find_end(r->fd, shard, count, &next, e);
    for (; rc == 0 && next < count && shard[next].number == next; next++) {
        r->first = r->next = shard[next].cut.first;
        if (!shard[next].output.id)
            return add_checkpoint(r, &shard[next], e);
        rc = append(store, r->fd, &shard[next].output, e);
    }
    return rc;
}

int fleet_results(struct service *s, const struct job *j, uint64_t *bytes, struct error *e)
{
    char path[SERVICE_PATH_BYTES];

    assert_may_wait("the rows of a job's shards");
    if (job_state_final(j->state) || j->start_us == 0)
        return no_results(e);
    job_path(s, path, j->id, NULL);
    if (sys_mkdirs(path, e) < 0)
        return -1;
    job_path(s, path, j->id, "rows.jsonl");
    int fd = sys_open(path, O_RDWR | O_CREAT, e);
    if (fd < 0)
        return -1;
    if (flock(fd, LOCK_EX) < 0)
        return finish(fd, error_errno(e, "%s", path), bytes, e);
    struct rows_so_far r = { .service = s, .job = j, .fd = fd, .in_turn = true };
    int rc = grow(&r, e);
    arena_release(&r.arena);
    (void)flock(fd, LOCK_UN);
    return finish(fd, rc, bytes, e);
}

static int add_recorded(struct rows_so_far *r, struct error *e)
{
    struct store *store = r->service->env.store;
    struct shard_rows *shard = NULL;
    uint32_t count = 0;
    int rc = job_inputs(store, &r->arena, r->job->id, &r->pin, &r->pin_count, e);

    if (rc == 0)
        rc = shards_recorded(store, &r->arena, r->job->id, &shard, &count, e);
    for (uint32_t i = 0; rc == 0 && i < count && !r->ended; i++)
        if (!r->to || shard[i].cut.first + shard[i].cut.lines > r->to->from)
            rc = add_shard(r, &shard[i], e);
    return rc;
}

int fleet_rows_answered(struct service *s, const struct job *j, const struct rows_answered *to,
                        uint64_t *total, struct error *e)
{
    struct rows_so_far r = { .service = s, .job = j, .fd = -1, .to = to };

    assert_may_wait("the rows of a job's shards");
    if (job_state_final(j->state) || j->start_us == 0)
        return no_results(e);
    *total = counters_done(&j->counters);
    int rc = add_recorded(&r, e);
    arena_release(&r.arena);
    return rc;
}

int fleet_results_done(struct service *s, const struct job *j, uint64_t *bytes, struct error *e)
{
    struct rows_so_far r = { .service = s, .job = j };

    assert_may_wait("the rows of a job's shards");
    if (job_state_final(j->state) || j->start_us == 0)
        return no_results(e);
    r.fd = open_nameless(s, j->id, e);
    if (r.fd < 0)
        return -1;
    int rc = add_recorded(&r, e);
    arena_release(&r.arena);
    return finish(r.fd, rc, bytes, e);
}

int fleet_line_errors(struct service *s, const struct job *j, uint64_t *bytes, struct error *e)
{
    struct blob b = { 0 };
    int rc = job_file_get(s->env.store, j->id, JOB_LINE_ERRORS_FILE, &b, e);

    if (rc < 0)
        return -1;
    if (rc == 0 && j->counters.total == 0)
        return error_set(e, ERROR_NOT_FOUND, "the job's input has not been checked");
    int fd = rc ? blob_open(s->env.store, b.id, e) : open_nameless(s, j->id, e);
    return fd < 0 ? -1 : finish(fd, 0, bytes, e);
}

/* The recorded shard with the line; NULL: there is none. */
static const struct shard_rows *find_shard(const struct shard_rows *shard, uint32_t count,
                                           uint64_t index)
{
    uint32_t low = 0, high = count;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (shard[mid].cut.first + shard[mid].cut.lines <= index)
            low = mid + 1;
        else
            high = mid;
    }
    return low < count && shard[low].cut.first <= index ? &shard[low] : NULL;
}

int fleet_open_around(struct service *s, int64_t id, uint64_t index, struct input *in,
                      uint64_t *first, struct error *e)
{
    struct arena a = { 0 };
    struct shard_rows *all = NULL;
    struct job_input *pin = NULL;
    uint32_t count = 0, pins = 0;
    int rc = shards_recorded(s->env.store, &a, id, &all, &count, e);

    if (rc == 0)
        rc = job_inputs(s->env.store, &a, id, &pin, &pins, e);
    const struct shard_rows *shard = rc == 0 ? find_shard(all, count, index) : NULL;
    if (shard && shard->cut.input < pins) {
        *first = shard->cut.first;
        rc = fleet_open_cut(s->env.store, &pin[shard->cut.input], &shard->cut, in, e);
        rc = rc < 0 ? -1 : 1;
    }
    arena_release(&a);
    return rc;
}

/* ---- Copies that nobody needs ---- */

/* The folder of a job that is gone goes; one that has ended keeps the index of its rows. */
static void sweep_job(struct service *s, int64_t id)
{
    char path[SERVICE_PATH_BYTES];
    struct arena a = { 0 };
    struct job j;
    struct error e = { 0 };
    int rc = job_get(s->env.store, &a, NULL, id, &j, &e);

    if (rc >= 0 && (rc == 0 || job_state_final(j.state))) {
        job_path(s, path, id, rc ? "rows.jsonl" : NULL);
        rc = sys_remove_all(path, &e);
    }
    if (rc < 0)
        log_warn("old copies of job %lld stay: %s", (long long)id, e.msg);
    arena_release(&a);
}

void fleet_rows_sweep(struct service *s)
{
    char path[SERVICE_PATH_BYTES];
    uint64_t id;

    (void)snprintf(path, sizeof path, "%s/jobs", store_dir(s->env.store));
    DIR *dir = opendir(path);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is this thread's */
    for (const struct dirent *d; dir && (d = readdir(dir));)
        if (str_number(str_of(d->d_name), &id))
            sweep_job(s, (int64_t)id);
    if (dir)
        (void)closedir(dir);
}
