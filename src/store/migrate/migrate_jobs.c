/* migrate_jobs.c -- unfinished uploads, and what the folders of jobs hold, as blobs in the bucket.
 *
 * Shape:   The bytes of an upload are one part of it. A job's list of bad lines, and its answers so far, are files of the job.
 *          No row names the blobs of an earlier call: the fleet sweeps them.
 */
#include <assert.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"
#include "store/jobs/jobs.h"
#include "store/migrate/migrate_inner.h"
#include "store/spool/spool.h"

/* ---- Uploads ---- */

/* The first `bytes` of the file are durable; what is behind them is not counted. */
static int send_upload(struct migration *g, struct str id, uint64_t bytes, struct error *e)
{
    struct moved_upload *u;
    struct blob part = { .bytes = bytes };
    struct blob_digest h;
    char path[PATH_BYTES];
    int rc;

    store_path(g->from, path, "uploads/%.*s", STR_ARG(id));
    int fd = sys_open(path, O_RDONLY, e);
    if (fd < 0)
        return -1;
    const struct byte_range what = { 0, bytes };
    rc = blob_digest_begin(&h, false, false, e);
    if (rc == 0)
        rc = blob_digest_add_file(&h, fd, what, path, e);
    if (rc == 0) {
        blob_digest_end(&h, &part);
        rc = blob_id_take(g->to, &part.id, e);
    }
    if (rc == 0)
        rc = blob_send(g->to, part.id, fd, what, e);
    (void)close(fd);
    if (rc < 0)
        return -1;
    g->upload = arena_list_grow(&g->arena, g->upload, g->upload_count, sizeof *g->upload);
    u = &g->upload[g->upload_count++];
    *u = (struct moved_upload){ id, part };
    return 0;
}

int migrate_uploads(struct migration *g, struct error *e)
{
    struct db *d = store_read(g->from, e);
    int rc;

    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "SELECT id, bytes FROM upload");
    while ((rc = db_step(q, "cannot read uploads", e)) == 1) {
        struct str id = db_text(q, 0, &g->arena);
        uint64_t bytes = (uint64_t)db_int(q, 1);
        g->report->uploads++;
        if (bytes > 0 && send_upload(g, id, bytes, e) < 0) {
            rc = error_wrap(e, "upload %.*s", STR_ARG(id));
            break;
        }
    }
    store_read_done(g->from, d);
    return rc;
}

/* ---- Jobs ---- */

static void note_file(struct migration *g, int64_t job, const char *name, const struct blob *b)
{
    g->file = arena_list_grow(&g->arena, g->file, g->file_count, sizeof *g->file);
    g->file[g->file_count++] = (struct moved_file){ job, name, *b };
}

static int send_line_errors(struct migration *g, int64_t job, struct error *e)
{
    char path[PATH_BYTES];
    struct error none = { 0 };
    struct buf text = BUF_INIT(SIZE_MAX / 2);
    struct blob b;
    int rc = 0;

    store_path(g->from, path, "jobs/%lld/" JOB_LINE_ERRORS_FILE, (long long)job);
    if (sys_read_file(path, SIZE_MAX / 2, &text, &none) == 0 && text.len > 0) {
        struct blob_writer *w = blob_create(g->to, UINT64_MAX, false, e);
        rc = w ? blob_write(w, text.p, text.len, e) : -1;
        if (rc == 0)
            rc = blob_finish(w, &b, e);
        else
            blob_abort(w);
        if (rc == 0)
            note_file(g, job, JOB_LINE_ERRORS_FILE, &b);
    }
    buf_release(&text);
    return rc;
}

/* All rows in one file: those that are in other runs' files too. */
static int gather(struct spool *from, const char *dir, uint64_t lines, const char **path,
                  struct spool **out, struct error *e)
{
    struct counters all = { 0 }, copied = { 0 };

    *out = spool_open_scratch(dir, path, e);
    if (!*out || spool_slice(*out, from, 0, lines, e) < 0)
        return -1;
    spool_counters(from, &all);
    spool_counters(*out, &copied);
    if (counters_done(&all) != counters_done(&copied))
        return error_set(e, ERROR_DATA_LOSS, "%llu lines are answered, %llu rows were found",
                         (unsigned long long)counters_done(&all),
                         (unsigned long long)counters_done(&copied));
    return spool_carry(*out, &all, &copied, e);
}

static int send_answers(struct migration *g, int64_t job, uint64_t lines, struct error *e)
{
    char from_dir[PATH_BYTES], dir[PATH_BYTES];
    struct error why = { 0 };
    struct counters c = { 0 };
    struct spool *gathered = NULL;
    const char *path;
    struct blob b;

    store_path(g->from, from_dir, "jobs/%lld", (long long)job);
    struct spool *from = spool_peek(from_dir, &why);
    if (!from && why.code == ERROR_NOT_FOUND)
        return 0;
    if (!from) {
        *e = why;
        return -1;
    }
    spool_counters(from, &c);
    store_path(g->to, dir, "answers");
    int rc = sys_remove_all(dir, e) < 0 || sys_mkdirs(dir, e) < 0 ? -1 : 0;
    if (rc == 0 && counters_done(&c) > 0) {
        rc = gather(from, dir, lines, &path, &gathered, e);
        if (rc == 0)
            rc = blob_pack(g->to, path, &b, e);
        if (rc == 0) {
            note_file(g, job, JOB_ANSWERS_FILE, &b);
            g->report->answers += counters_done(&c);
        }
    }
    spool_close(gathered);
    spool_close(from);
    return rc;
}

int migrate_jobs(struct migration *g, struct error *e)
{
    struct db *d = store_read(g->from, e);
    int rc;

    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "SELECT id, state, total FROM job ORDER BY id");
    while ((rc = db_step(q, "cannot read jobs", e)) == 1) {
        int64_t id = db_int(q, 0);
        g->report->jobs++;
        g->report->open_jobs += !job_state_final((enum job_state)db_int(q, 1));
        if (send_line_errors(g, id, e) < 0 || send_answers(g, id, (uint64_t)db_int(q, 2), e) < 0) {
            rc = error_wrap(e, "job %lld", (long long)id);
            break;
        }
    }
    store_read_done(g->from, d);
    return rc;
}
