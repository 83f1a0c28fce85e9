/* backup_copy.c -- copies of files that may change meanwhile.
 *
 * A runner has its spool open exclusively, so no other connection can read it. The spool's two files can
 * still be copied as of one instant: commits only append to the log, whose checksums cut off a
 * half-copied tail. The database's file changes only when the log is written back, and then its
 * mtime and the log's head change too. So the copy is good when both are the same after it as before
 * it, and the file was not changed so shortly before that a change could leave its mtime as it was.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/sys.h"
#include "store/backup/backup_inner.h"

#define PATH_MAX_BYTES 4096
#define CHUNK_BYTES ((size_t)1024 * 1024)
#define WAL_HEAD_BYTES 32
#define COPY_TRIES_MAX 20
/* File times may lag by some milliseconds; this is many times that. */
#define SETTLED_US 200000
#define WAIT_NS (250 * NS_PER_MS)

/* Facts that change when, and only when, a log is written back into its database. */
struct version {
    struct timespec changed;
    int64_t bytes;
    unsigned char log[WAL_HEAD_BYTES];
    int64_t log_head; /* bytes of it; 0: no log */
};

static int copy_bytes(int from, int to, const char *from_path, const char *to_path, struct error *e)
{
    char *chunk = mem_alloc(CHUNK_BYTES);
    uint64_t at = 0;
    int64_t n;
    int rc = 0;

    while (rc == 0 && (n = sys_read_at(from, chunk, CHUNK_BYTES, at, from_path, e)) != 0) {
        rc = n < 0 ? -1 : sys_write_all(to, chunk, (size_t)n, to_path, e);
        at += (uint64_t)n;
    }
    mem_free(chunk);
    return rc;
}

int backup_file(const char *from, const char *to, struct error *e)
{
    int in = sys_open(from, O_RDONLY, e);

    if (in < 0)
        return -1;
    int out = sys_open(to, O_WRONLY | O_CREAT | O_TRUNC, e);
    int rc = out < 0 ? -1 : copy_bytes(in, out, from, to, e);
    if (rc == 0)
        rc = sys_sync(out, to, e);
    if (out >= 0)
        (void)close(out);
    (void)close(in);
    return rc;
}

/* A file that went meanwhile is fine. */
static int copy_if_there(const char *from, const char *to, struct error *e)
{
    if (access(from, F_OK) < 0 && errno == ENOENT)
        return 0;
    struct error own = { 0 };
    if (backup_file(from, to, &own) == 0 || (own.code == ERROR_NOT_FOUND && access(from, F_OK) < 0))
        return 0;
    *e = own;
    return -1;
}

static bool ends_with(const char *name, const char *end)
{
    return str_ends(str_of(name), str_of(end));
}

/* 1, or 0 when there is no such database. */
static int version_read(const char *db, const char *log, struct version *out, struct error *e)
{
    struct stat st;

    memset(out, 0, sizeof *out);
    if (stat(db, &st) < 0)
        return errno == ENOENT ? 0 : error_errno(e, "cannot look at %s", db);
    out->changed = st.st_mtim;
    out->bytes = st.st_size;
    int fd = open(log, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 1 : error_errno(e, "cannot open %s", log);
    out->log_head = sys_read_at(fd, out->log, sizeof out->log, 0, log, e);
    (void)close(fd);
    return out->log_head < 0 ? -1 : 1;
}

static bool version_same(const struct version *a, const struct version *b)
{
    return a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec &&
           a->bytes == b->bytes && a->log_head == b->log_head &&
           memcmp(a->log, b->log, sizeof a->log) == 0;
}

static bool is_settled(const struct version *v)
{
    int64_t changed_us = (int64_t)v->changed.tv_sec * 1000000 + v->changed.tv_nsec / 1000;

    return clock_system()->wall_us(clock_system()) - changed_us > SETTLED_US;
}

/* 1: copied, or gone. 0: it changed meanwhile. */
static int database_try(const char *from[2], const char *to[2], struct error *e)
{
    struct version before, after;
    int there = version_read(from[0], from[1], &before, e);

    if (there <= 0)
        return there < 0 ? -1 : 1;
    if (!is_settled(&before))
        return 0;
    (void)unlink(to[1]); /* of an earlier try */
    if (copy_if_there(from[0], to[0], e) < 0 || copy_if_there(from[1], to[1], e) < 0)
        return -1;
    there = version_read(from[0], from[1], &after, e);
    if (there == 0) { /* the job has ended: half a copy is worse than none */
        (void)unlink(to[0]);
        (void)unlink(to[1]);
        return 1;
    }
    return there < 0 ? -1 : version_same(&before, &after);
}

static int database_copy(const char *from, const char *to, struct error *e)
{
    char from_log[PATH_MAX_BYTES + 8], to_log[PATH_MAX_BYTES + 8];
    const char *from_both[2] = { from, from_log }, *to_both[2] = { to, to_log };

    (void)snprintf(from_log, sizeof from_log, "%s-wal", from);
    (void)snprintf(to_log, sizeof to_log, "%s-wal", to);
    for (int i = 0; i < COPY_TRIES_MAX; i++) {
        int done = database_try(from_both, to_both, e);
        if (done != 0)
            return done < 0 ? -1 : 0;
        clock_system()->sleep_ns(clock_system(), WAIT_NS);
    }
    return error_set(e, ERROR_UNAVAILABLE, "%s changes all the time; try again", from);
}

/* A database is copied with its log at its own name; the lock is of who runs. */
static int one_copy(DIR *dir, const char *name, const char *from, const char *to, struct error *e)
{
    char from_path[PATH_MAX_BYTES], to_path[PATH_MAX_BYTES];
    struct stat st;

    if (ends_with(name, ".db-wal") || ends_with(name, ".db-shm") || strcmp(name, "lock") == 0)
        return 0;
    if (fstatat(dirfd(dir), name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return 0;
    if (snprintf(from_path, sizeof from_path, "%s/%s", from, name) >= PATH_MAX_BYTES ||
        snprintf(to_path, sizeof to_path, "%s/%s", to, name) >= PATH_MAX_BYTES)
        return error_set(e, ERROR_INVALID_ARGUMENT, "the path of the folder is too long");
    if (ends_with(name, ".db"))
        return database_copy(from_path, to_path, e);
    return copy_if_there(from_path, to_path, e);
}

static int files_copy(DIR *dir, const char *from, const char *to, struct error *e)
{
    struct dirent *entry;
    int rc = 0;

    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread has this stream */
    while (rc == 0 && (entry = readdir(dir)) != NULL)
        rc = one_copy(dir, entry->d_name, from, to, e);
    return rc;
}

/* The finished spools whose answers the job's rows name. */
static int origins_copy(const char *from, const char *to, struct error *e)
{
    char from_path[PATH_MAX_BYTES], to_path[PATH_MAX_BYTES];

    if (snprintf(from_path, sizeof from_path, "%s/from", from) >= PATH_MAX_BYTES ||
        snprintf(to_path, sizeof to_path, "%s/from", to) >= PATH_MAX_BYTES)
        return error_set(e, ERROR_INVALID_ARGUMENT, "the path of the folder is too long");
    DIR *dir = opendir(from_path);
    if (!dir)
        return errno == ENOENT ? 0 : error_errno(e, "cannot read %s", from_path);
    int rc = sys_mkdirs(to_path, e);
    if (rc == 0)
        rc = files_copy(dir, from_path, to_path, e);
    (void)closedir(dir);
    return rc;
}

int backup_job_folder(const char *from, const char *to, struct error *e)
{
    DIR *dir = opendir(from);
    char in_it[PATH_MAX_BYTES];

    if (!dir)
        return errno == ENOENT ? 0 : error_errno(e, "cannot read %s", from);
    int rc = sys_mkdirs(to, e);
    if (rc == 0)
        rc = files_copy(dir, from, to, e);
    (void)closedir(dir);
    if (rc == 0)
        rc = origins_copy(from, to, e);
    (void)snprintf(in_it, sizeof in_it, "%s/x", to);
    return rc < 0 ? -1 : sys_sync_folder(in_it, e);
}
