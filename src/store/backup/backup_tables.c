/* backup_tables.c -- copies of the files of tables while their engine writes them.
 *
 * The engine has a project's file locked, so no other process can open it, but its bytes can be copied. A commit
 * appends to the log, and its rows may stand in blocks of the file that nothing named before; only a checkpoint
 * changes which blocks count, and then it writes one of the file's headers. So the log is copied first and the
 * file behind it: every block that the log's commits name is in the copy. The copy is good when the headers are the
 * same after it as before it. A tail of the log that is cut off is dropped when the copy is opened.
 *
 * Never in the process that serves the tables: closing the file there would give up the engine's lock.
 * Source: DuckDB's storage: three blocks of 4096 bytes at the beginning, the last two written in turn.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/sys.h"
#include "store/backup/backup_inner.h"

#define HEADERS_BYTES ((size_t)3 * 4096)
#define TRIES_MAX 20
#define WAIT_NS (250 * NS_PER_MS)
#define PATH_MAX_BYTES 4096
#define ENDING ".duckdb"

/* Bytes that were read, at most HEADERS_BYTES. 0 when the file is gone. */
static int64_t headers_read(const char *path, unsigned char out[HEADERS_BYTES], struct error *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT ? 0 : error_errno(e, "cannot open %s", path);
    int64_t n = sys_read_at(fd, out, HEADERS_BYTES, 0, path, e);
    (void)close(fd);
    return n;
}

static int log_copy(const char *from, const char *to, struct error *e)
{
    struct error own = { 0 };

    (void)unlink(to); /* of an earlier try */
    if (backup_file(from, to, &own) == 0 || own.code == ERROR_NOT_FOUND)
        return 0;
    *e = own;
    return -1;
}

/* 1: copied. 0: a checkpoint came between. */
static int file_try(const char *from, const char *to, unsigned char *headers[2], struct error *e)
{
    char from_log[PATH_MAX_BYTES + 8], to_log[PATH_MAX_BYTES + 8];

    (void)snprintf(from_log, sizeof from_log, "%s.wal", from);
    (void)snprintf(to_log, sizeof to_log, "%s.wal", to);
    int64_t before = headers_read(from, headers[0], e);
    if (before < 0 || log_copy(from_log, to_log, e) < 0 || backup_file(from, to, e) < 0)
        return -1;
    int64_t after = headers_read(from, headers[1], e);
    if (after < 0)
        return -1;
    return before == after && memcmp(headers[0], headers[1], (size_t)after) == 0;
}

static int file_copy(const char *from, const char *to, struct error *e)
{
    unsigned char *headers[2] = { mem_alloc(HEADERS_BYTES), mem_alloc(HEADERS_BYTES) };
    int done = 0;

    for (int i = 0; i < TRIES_MAX && done == 0; i++) {
        if (i)
            clock_system()->sleep_ns(clock_system(), WAIT_NS);
        done = file_try(from, to, headers, e);
    }
    mem_free(headers[0]);
    mem_free(headers[1]);
    if (done == 0)
        return error_set(e, ERROR_UNAVAILABLE, "%s changes all the time; try again", from);
    return done < 0 ? -1 : 0;
}

int backup_tables(const char *from, const char *to, uint64_t *count, struct error *e)
{
    char from_path[PATH_MAX_BYTES], to_path[PATH_MAX_BYTES];
    DIR *dir = opendir(from);
    struct dirent *entry;

    if (!dir)
        return errno == ENOENT ? 0 : error_errno(e, "cannot read %s", from);
    int rc = sys_mkdirs(to, e);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread has this stream */
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (!str_ends(str_of(entry->d_name), STR(ENDING)))
            continue;
        if (snprintf(from_path, sizeof from_path, "%s/%s", from, entry->d_name) >= PATH_MAX_BYTES ||
            snprintf(to_path, sizeof to_path, "%s/%s", to, entry->d_name) >= PATH_MAX_BYTES)
            rc = error_set(e, ERROR_INVALID_ARGUMENT, "the path of the folder is too long");
        else
            rc = file_copy(from_path, to_path, e);
        *count += rc == 0;
    }
    (void)closedir(dir);
    (void)snprintf(to_path, sizeof to_path, "%s/x", to);
    return rc < 0 ? -1 : sys_sync_folder(to_path, e);
}
