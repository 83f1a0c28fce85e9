/* backup.c -- a consistent copy of a folder that is in use, made beside a running server.
 *
 * Shape:   hold blobs (objects_inner.h) -> copy the database at one instant -> link or copy the blobs which
 *          that copy names -> the folders of its jobs -> the tables -> everything synced ->
 *          TO/backup.json, without which a folder is not a backup. Unfinished uploads are not in it: their
 *          clients begin again.
 * Threads: any, one connection of its own a database.
 */
#include "store/backup/backup.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json_write.h"
#include "base/sys.h"
#include "store/backup/backup_inner.h"
#include "store/objects/objects_inner.h"

/* Longer than any file takes to copy; prolonged after each file when the half is over. */
#define HOLD_US ((int64_t)3600 * 1000000)

struct backup {
    struct store *s;
    const char *to;
    struct db *copy; /* the new database */
    int64_t hold;    /* its row */
    int64_t until_us;
    uint64_t blobs, blob_bytes, jobs, tables;
};

static int folder_prepare(const char *to, struct error *e)
{
    struct dirent *entry;
    int others = 0;

    if (sys_mkdirs(to, e) < 0)
        return -1;
    DIR *dir = opendir(to);
    if (!dir)
        return error_errno(e, "cannot read the folder");
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread has this stream */
    while ((entry = readdir(dir)) != NULL)
        others += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    (void)closedir(dir);
    return others == 0 ? 0 : error_set(e, ERROR_ALREADY_EXISTS, "the folder is not empty");
}

static int64_t system_us(void)
{
    return clock_system()->wall_us(clock_system());
}

/* The hold of a backup that was killed ends by its time. */
static int hold_begin(struct backup *b, struct error *e)
{
    struct db *d = store_write(b->s, e);

    if (!d)
        return -1;
    b->until_us = system_us() + HOLD_US;
    struct stmt *q = db_stmt(d, "DELETE FROM blob_hold WHERE until_us < ?");
    db_bind(q, "i", system_us());
    int rc = db_run(q, "cannot hold blobs", e);
    if (rc >= 0)
        rc = store_number(d, "hold", 1, 1, &b->hold, e);
    if (rc >= 0) {
        q = db_stmt(d, "INSERT INTO blob_hold (id, until_us) VALUES (?, ?)");
        db_bind(q, "ii", b->hold, b->until_us);
        rc = db_run(q, "cannot hold blobs", e);
    }
    return store_commit(b->s, d, rc < 0 ? -1 : 0, e);
}

/* A failure only leaves the hold until its time. */
static void hold_end(struct backup *b)
{
    struct error ignored = { 0 };
    struct db *d = store_write(b->s, &ignored);

    if (!d)
        return;
    struct stmt *q = db_stmt(d, "DELETE FROM blob_hold WHERE id = ?");
    db_bind(q, "i", b->hold);
    int rc = db_run(q, "cannot release blobs", &ignored);
    rc = store_commit(b->s, d, rc < 0 ? -1 : 0, &ignored);
    (void)rc;
}

static int database_copy(struct backup *b, struct error *e)
{
    char path[PATH_BYTES];
    int rc = -1;

    store_path(b->s, path, "state.db");
    struct db *from = store_connect(path, e);
    if (!from)
        return -1;
    (void)snprintf(path, sizeof path, "%s/state.db", b->to);
    b->copy = store_connect(path, e);
    if (b->copy && db_copy(from, b->copy, e) == 0)
        rc = db_exec(b->copy, "DELETE FROM blob_hold; DELETE FROM upload;", "cannot write the copy",
                     e);
    db_close(from);
    return rc;
}

/* A hold that ran out (a machine that slept) may have lost blobs: then the backup has failed. */
static int hold_on(struct backup *b, struct error *e)
{
    int64_t now = system_us();

    if (now < b->until_us - HOLD_US / 2)
        return 0;
    if (now >= b->until_us)
        return error_set(e, ERROR_DEADLINE_EXCEEDED, "one file took too long; try again");
    struct db *d = store_write(b->s, e);
    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "UPDATE blob_hold SET until_us = ? WHERE id = ?");
    db_bind(q, "ii", now + HOLD_US, b->hold);
    int rc = db_run(q, "cannot hold blobs", e);
    if (store_commit(b->s, d, rc < 0 ? -1 : 0, e) < 0)
        return -1;
    b->until_us = now + HOLD_US;
    return 0;
}

/* Calls one for each number that the copy's statement gives. */
static int each(struct backup *b, struct stmt *q,
                int (*one)(struct backup *b, int64_t id, struct error *e), struct error *e)
{
    int rc;

    while ((rc = db_step(q, "cannot read the copy", e)) == 1) {
        if (one(b, db_int(q, 0), e) < 0 || hold_on(b, e) < 0)
            return -1;
    }
    return rc;
}

/* Blobs never change, so a link is as good as a copy. */
static int blob_copy(struct backup *b, int64_t id, struct error *e)
{
    char from[PATH_BYTES], to[PATH_BYTES];
    struct stat st;

    blob_file(b->s, from, id);
    (void)snprintf(to, sizeof to, "%s/blobs/%02x/%lld", b->to, (unsigned)(id & 0xff),
                   (long long)id);
    if (link(from, to) < 0) {
        if (errno == ENOENT)
            return error_set(e, ERROR_DATA_LOSS, "blob %lld is missing", (long long)id);
        if (backup_file(from, to, e) < 0)
            return -1;
    }
    if (stat(to, &st) == 0)
        b->blob_bytes += (uint64_t)st.st_size;
    b->blobs++;
    return 0;
}

/* The folders are made before and synced after, so that no blob's link waits for the disk. */
static int each_folder(const struct backup *b, bool make, struct error *e)
{
    char path[PATH_BYTES];
    int rc = 0;

    for (unsigned i = 0; i < 256 && rc == 0; i++) {
        (void)snprintf(path, sizeof path, "%s/blobs/%02x%s", b->to, i, make ? "" : "/x");
        rc = make ? sys_mkdirs(path, e) : sys_sync_folder(path, e);
    }
    return rc;
}

static int blobs_copy(struct backup *b, struct error *e)
{
    if (each_folder(b, true, e) < 0 || each(b, db_stmt(b->copy, BLOBS_NAMED), blob_copy, e) < 0)
        return -1;
    return each_folder(b, false, e);
}

static int job_copy(struct backup *b, int64_t id, struct error *e)
{
    char from[PATH_BYTES], to[PATH_BYTES];

    store_path(b->s, from, "jobs/%lld", (long long)id);
    (void)snprintf(to, sizeof to, "%s/jobs/%lld", b->to, (long long)id);
    b->jobs++;
    return backup_job_folder(from, to, e);
}

/* Final jobs too: their folders have the answers that a retry keeps, and the list of bad lines. */
static int jobs_copy(struct backup *b, struct error *e)
{
    return each(b, db_stmt(b->copy, "SELECT id FROM job"), job_copy, e);
}

/* The files of tuned models, which never change; one that is deleted meanwhile is in the copy of the database
 * only, and its jobs fail as they do here. */
static int model_copy(struct backup *b, int64_t id, struct error *e)
{
    struct stmt *q = db_stmt(b->copy, "SELECT file FROM tuned_model WHERE id = ?");
    char from[PATH_BYTES], to[PATH_BYTES], file[PATH_BYTES / 4];

    db_bind(q, "i", id);
    if (db_step(q, "cannot read the tuned models", e) < 0)
        return -1;
    db_text_to(q, 0, file, sizeof file);
    db_reset(q);
    store_path(b->s, from, "models/%s", file);
    (void)snprintf(to, sizeof to, "%s/models/%s", b->to, file);
    if (link(from, to) == 0 || errno == ENOENT)
        return 0;
    return backup_file(from, to, e);
}

static int models_copy(struct backup *b, struct error *e)
{
    char path[PATH_BYTES];

    (void)snprintf(path, sizeof path, "%s/models", b->to);
    if (sys_mkdirs(path, e) < 0 ||
        each(b, db_stmt(b->copy, "SELECT id FROM tuned_model"), model_copy, e) < 0)
        return -1;
    (void)snprintf(path, sizeof path, "%s/models/x", b->to);
    return sys_sync_folder(path, e);
}

/* Behind the database: a job that has put its rows into a table but has not ended in the copy asks the table's
 * records, and ends there. */
static int tables_copy(struct backup *b, struct error *e)
{
    char from[PATH_BYTES], to[PATH_BYTES];

    store_path(b->s, from, "tables");
    (void)snprintf(to, sizeof to, "%s/tables", b->to);
    return backup_tables(from, to, &b->tables, e);
}

/* The last connection writes the log back into the file. */
static int database_close(struct backup *b, struct error *e)
{
    char path[PATH_BYTES];

    db_close(b->copy);
    b->copy = NULL;
    (void)snprintf(path, sizeof path, "%s/state.db", b->to);
    int fd = sys_open(path, O_RDWR, e);
    int rc = fd < 0 ? -1 : sys_sync(fd, path, e);
    if (fd >= 0)
        (void)close(fd);
    return rc < 0 ? -1 : sys_sync_folder(path, e);
}

static int marker_write(const struct backup *b, struct error *e)
{
    char path[PATH_BYTES], time[CLOCK_TEXT_BYTES];
    struct buf text = BUF_INIT(256);
    struct json_writer w = JSON_WRITER(&text);

    clock_format_rfc3339(system_us(), time);
    json_object(&w, NULL);
    json_add_c(&w, "made", time);
    json_add_uint(&w, "blobs", b->blobs);
    json_add_uint(&w, "blobBytes", b->blob_bytes);
    json_add_uint(&w, "jobs", b->jobs);
    json_add_uint(&w, "projectsWithTables", b->tables);
    json_end(&w);
    buf_add_char(&text, '\n');
    assert(buf_ok(&text));
    (void)snprintf(path, sizeof path, "%s/backup.json", b->to);
    int fd = sys_open(path, O_WRONLY | O_CREAT | O_EXCL, e);
    int rc = fd < 0 ? -1 : sys_write_all(fd, text.p, text.len, path, e);
    if (rc == 0)
        rc = sys_sync(fd, path, e);
    if (fd >= 0)
        (void)close(fd);
    buf_release(&text);
    return rc < 0 ? -1 : sys_sync_folder(path, e);
}

int store_backup(struct store *s, const char *to, struct error *e)
{
    struct backup b = { .s = s, .to = to };
    int rc = -1;

    if (folder_prepare(to, e) < 0 || hold_begin(&b, e) < 0)
        return error_wrap(e, "backup to %s", to);
    if (database_copy(&b, e) == 0 && blobs_copy(&b, e) == 0 && jobs_copy(&b, e) == 0 &&
        models_copy(&b, e) == 0 && tables_copy(&b, e) == 0 && database_close(&b, e) == 0)
        rc = marker_write(&b, e);
    db_close(b.copy);
    hold_end(&b);
    return rc < 0 ? error_wrap(e, "backup to %s", to) : 0;
}
