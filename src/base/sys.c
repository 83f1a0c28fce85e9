#include "base/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/mem.h"

/* Linux moves at most this much in one call anyway. */
#define IO_BYTES_MAX ((size_t)1 << 30)
/* If the path resolves to a different file each time, someone is racing us. */
#define LOCK_TRIES_MAX 100

static bool is_named(int fd, const char *path)
{
    struct stat file, named;

    return fstat(fd, &file) == 0 && stat(path, &named) == 0 && file.st_dev == named.st_dev &&
           file.st_ino == named.st_ino;
}

/* Between open and lock the file may be renamed or removed by who held it: then the name is opened
 * again. must_lock: a file system without locks is an error. */
static int open_to_lock(const char *path, int flags, mode_t mode, bool must_lock, struct error *e)
{
    for (int i = 0; i < LOCK_TRIES_MAX; i++) {
        int fd = fault_hit("sys.open") ? -1 : open(path, flags | O_CLOEXEC, mode);
        if (fd < 0)
            return error_errno(e, "cannot open %s", path);
        bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
        bool held = !locked && errno == EWOULDBLOCK;
        if (!locked && !held && must_lock)
            (void)error_errno(e, "cannot lock %s", path);
        else if (!held && is_named(fd, path))
            return fd;
        (void)close(fd);
        if (!locked && !held)
            return -1;
        if (held)
            break;
    }
    return error_set(e, ERROR_ABORTED, "another process writes %s", path);
}

int sys_open(const char *path, int flags, struct error *e)
{
    int fd = -1;

    if (!fault_hit("sys.open"))
        fd = open(path, flags | O_CLOEXEC, 0600);
    return fd < 0 ? error_errno(e, "cannot open %s", path) : fd;
}

int sys_create(const char *path, struct error *e)
{
    int fd = open_to_lock(path, O_WRONLY | O_CREAT, 0666, false, e);

    if (fd < 0 || ftruncate(fd, 0) == 0)
        return fd;
    (void)error_errno(e, "cannot write %s", path);
    (void)close(fd);
    return -1;
}

int sys_open_locked(const char *path, struct error *e)
{
    return open_to_lock(path, O_RDWR | O_CREAT, 0600, true, e);
}

int sys_open_nameless(const char *folder, struct error *e)
{
    size_t bytes = strlen(folder) + sizeof "/XXXXXX";
    char *path = mem_alloc(bytes);

    (void)snprintf(path, bytes, "%s/XXXXXX", folder);
    int fd = fault_hit("sys.open") ? -1 : mkstemp(path);
    if (fd < 0)
        (void)error_errno(e, "cannot make %s", path);
    else if (unlink(path) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        (void)error_errno(e, "cannot prepare %s", path);
        (void)close(fd);
        fd = -1;
    }
    mem_free(path);
    return fd;
}

int sys_write_all(int fd, const void *p, size_t len, const char *path, struct error *e)
{
    const char *at = p;

    while (len > 0) {
        ssize_t n = -1;
        if (!fault_hit("sys.write"))
            n = write(fd, at, len < IO_BYTES_MAX ? len : IO_BYTES_MAX);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(e, "cannot write %s", path);
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

int sys_write_at(int fd, const void *p, size_t len, uint64_t offset, const char *path,
                 struct error *e)
{
    size_t done = 0;

    while (done < len) {
        size_t want = len - done < IO_BYTES_MAX ? len - done : IO_BYTES_MAX;
        ssize_t n = -1;
        if (!fault_hit("sys.write"))
            n = pwrite(fd, (const char *)p + done, want, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(e, "cannot write %s", path);
        done += (size_t)n;
    }
    return 0;
}

int64_t sys_read_at(int fd, void *p, size_t len, uint64_t offset, const char *path, struct error *e)
{
    size_t got = 0;

    while (got < len) {
        size_t want = len - got < IO_BYTES_MAX ? len - got : IO_BYTES_MAX;
        ssize_t n = -1;
        if (!fault_hit("sys.read"))
            n = pread(fd, (char *)p + got, want, (off_t)(offset + got));
        if (n == 0)
            break;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(e, "cannot read %s", path);
        got += (size_t)n;
    }
    return (int64_t)got;
}

int sys_sync(int fd, const char *path, struct error *e)
{
    if (fault_hit("sys.sync") || fsync(fd) < 0)
        return error_errno(e, "cannot sync %s", path);
    return 0;
}

/* The folder part of path, "." when it has none; the caller frees it. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return mem_strdup(".");
    size_t len = slash == path ? 1 : (size_t)(slash - path);
    char *folder = mem_alloc(len + 1);
    memcpy(folder, path, len);
    return folder;
}

int sys_sync_folder(const char *path, struct error *e)
{
    char *folder = folder_of(path);
    int fd = sys_open(folder, O_RDONLY | O_DIRECTORY, e);
    int rc = fd < 0 ? -1 : sys_sync(fd, folder, e);

    if (fd >= 0)
        (void)close(fd);
    mem_free(folder);
    return rc;
}

int sys_room(const char *path, uint64_t *out, struct error *e)
{
    struct statvfs v;

    if (fault_hit("sys.room") || statvfs(path, &v) < 0)
        return error_errno(e, "cannot look at the file system of %s", path);
    *out = (uint64_t)v.f_bavail * v.f_frsize;
    return 0;
}

int sys_rename(const char *from, const char *to, struct error *e)
{
    if (fault_hit("sys.rename") || rename(from, to) < 0)
        return error_errno(e, "cannot rename %s to %s", from, to);
    return sys_sync_folder(to, e);
}

static int make_folder(const char *path, struct error *e)
{
    struct stat st;
    bool failed = fault_hit("sys.mkdir");

    if (!failed && mkdir(path, 0700) == 0)
        return sys_sync_folder(path, e);
    if (failed || errno != EEXIST)
        return error_errno(e, "cannot make the folder %s", path);
    if (stat(path, &st) < 0)
        return error_errno(e, "cannot look at %s", path);
    if (!S_ISDIR(st.st_mode))
        return error_set(e, ERROR_ALREADY_EXISTS, "%s is a file, not a folder", path);
    return 0;
}

int sys_mkdirs(const char *path, struct error *e)
{
    char *part = mem_strdup(path);
    int rc = 0;

    for (char *slash = strchr(part + 1, '/'); slash && rc == 0; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        rc = make_folder(part, e);
        *slash = '/';
    }
    if (rc == 0)
        rc = make_folder(part, e);
    mem_free(part);
    return rc;
}

static int remove_at(int dir, const char *name, unsigned depth);

/* Empties the folder that fd (taken) stands for. */
static int empty_folder(int fd, unsigned depth)
{
    DIR *d = fdopendir(fd);
    struct dirent *entry;
    int rc = 0;

    if (!d) {
        (void)close(fd);
        return -1;
    }
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread has this stream */
    while (rc == 0 && (entry = readdir(d)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = remove_at(dirfd(d), entry->d_name, depth + 1);
    }
    int err = errno;
    (void)closedir(d);
    errno = err;
    return rc;
}

/* Sets errno when it fails. */
static int remove_at(int dir, const char *name, unsigned depth)
{
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -1;
    if (!S_ISDIR(st.st_mode))
        return unlinkat(dir, name, 0);
    if (depth >= SYS_FOLDERS_DEEP_MAX) {
        errno = ELOOP;
        return -1;
    }
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || empty_folder(fd, depth) < 0)
        return -1;
    return unlinkat(dir, name, AT_REMOVEDIR);
}

int sys_remove_all(const char *path, struct error *e)
{
    if (fault_hit("sys.remove") || remove_at(AT_FDCWD, path, 0) < 0)
        return error_errno(e, "cannot remove %s", path);
    return 0;
}

/* Reads as read(2) does, so that pipes and /proc work; stops soon after out is full. */
static int read_to_end(int fd, const char *path, struct buf *out, struct error *e)
{
    char chunk[16 * 1024];

    while (buf_ok(out)) {
        ssize_t n = -1;
        if (!fault_hit("sys.read"))
            n = read(fd, chunk, sizeof chunk);
        if (n == 0)
            break;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(e, "cannot read %s", path);
        buf_add(out, chunk, (size_t)n);
    }
    return 0;
}

int sys_read_file(const char *path, size_t bytes_max, struct buf *out, struct error *e)
{
    struct stat st;
    int rc = -1;
    int fd = sys_open(path, O_RDONLY, e);

    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0)
        (void)error_errno(e, "cannot read %s", path);
    else if (S_ISDIR(st.st_mode))
        (void)error_set(e, ERROR_INVALID_ARGUMENT, "%s is a folder, not a file", path);
    else if (st.st_size > 0 && (uint64_t)st.st_size > bytes_max)
        (void)error_set(e, ERROR_INVALID_ARGUMENT, "%s is over %zu bytes", path, bytes_max);
    else
        rc = read_to_end(fd, path, out, e);
    (void)close(fd);
    if (rc == 0 && (!buf_ok(out) || out->len > bytes_max))
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s is over %zu bytes", path, bytes_max);
    return rc;
}
