/* bucket_file.c -- a bucket in a folder that every machine has mounted.
 *
 * Shape:   FOLDER/KEY. An object is written as FOLDER/unfinished/RANDOM, synced and renamed, so that a
 *          reader sees it whole. Opening removes unfinished ones that are older than a day.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/sys.h"
#include "store/bucket/bucket_inner.h"

#define COPY_BYTES ((size_t)256 * 1024)
#define PATH_BYTES_MAX 4096
#define KEY_BYTES_MAX 1024
#define NAME_CHARS 20
#define DEPTH_MAX 8
#define UNFINISHED_S 86400
#define UNFINISHED "unfinished"

struct bucket_file {
    struct shared_bucket base;
    char *folder;
};

static const char *folder_of(const struct shared_bucket *b)
{
    return ((const struct bucket_file *)b)->folder;
}

static void path_of(const struct shared_bucket *b, const char *key, char out[PATH_BYTES_MAX])
{
    assert(strlen(key) <= KEY_BYTES_MAX && key[0] != '/' && !strstr(key, ".."));
    int n = snprintf(out, PATH_BYTES_MAX, "%s/%s", folder_of(b), key);
    assert(n > 0 && n < PATH_BYTES_MAX);
}

/* Bytes [from, to) of one file, which has their name, to another one from `at` on. */
struct copy {
    int from_fd, to_fd;
    uint64_t from, to, at;
    const char *from_name, *to_name;
};

static int copy_chunk(struct copy *c, char *chunk, struct error *e)
{
    size_t want = c->to - c->from < COPY_BYTES ? (size_t)(c->to - c->from) : COPY_BYTES;
    int64_t n = sys_read_at(c->from_fd, chunk, want, c->from, c->from_name, e);

    if (n < 0)
        return -1;
    if ((size_t)n < want)
        return error_set(e, ERROR_OUT_OF_RANGE, "%s ends at byte %llu", c->from_name,
                         (unsigned long long)c->from + (unsigned long long)n);
    if (sys_write_at(c->to_fd, chunk, want, c->at, c->to_name, e) < 0)
        return -1;
    c->from += want;
    c->at += want;
    return 0;
}

static int copy(struct copy *c, struct error *e)
{
    char *chunk = mem_alloc(COPY_BYTES);
    int rc = 0;

    assert(c->from <= c->to);
    while (rc == 0 && c->from < c->to)
        rc = copy_chunk(c, chunk, e);
    mem_free(chunk);
    return rc;
}

static int place(const char *path, const char *to, struct error *e)
{
    char folder[PATH_BYTES_MAX];

    (void)snprintf(folder, sizeof folder, "%s", to);
    *strrchr(folder, '/') = '\0';
    return sys_mkdirs(folder, e) < 0 ? -1 : sys_rename(path, to, e);
}

static int file_put(struct shared_bucket *b, const char *key, int fd, uint64_t from, uint64_t to,
                    struct error *e)
{
    char name[NAME_CHARS + 1], path[PATH_BYTES_MAX], end[PATH_BYTES_MAX];
    struct copy c = { fd, -1, from, to, 0, "the data", path };

    if (random_text(name, NAME_CHARS, ALPHABET_36, e) < 0)
        return -1;
    int n = snprintf(path, sizeof path, "%s/" UNFINISHED "/%s", folder_of(b), name);
    assert(n > 0 && n < PATH_BYTES_MAX);
    path_of(b, key, end);
    c.to_fd = sys_open(path, O_WRONLY | O_CREAT | O_EXCL, e);
    if (c.to_fd < 0)
        return -1;
    int rc = copy(&c, e) < 0 || sys_sync(c.to_fd, path, e) < 0 || place(path, end, e) < 0 ? -1 : 0;
    (void)close(c.to_fd);
    if (rc < 0)
        (void)unlink(path);
    return rc;
}

static int file_get(struct shared_bucket *b, const char *key, const struct bucket_span *what,
                    int fd, struct error *e)
{
    char path[PATH_BYTES_MAX];

    path_of(b, key, path);
    struct copy c = {
        sys_open(path, O_RDONLY, e), fd, what->from, what->to, what->at, path, "a copy of it"
    };
    if (c.from_fd < 0)
        return -1;
    int rc = copy(&c, e);
    (void)close(c.from_fd);
    return rc;
}

static int file_size(struct shared_bucket *b, const char *key, uint64_t *bytes, struct error *e)
{
    char path[PATH_BYTES_MAX];
    struct stat st;

    path_of(b, key, path);
    if (stat(path, &st) < 0)
        return error_errno(e, "cannot look at %s", path);
    *bytes = (uint64_t)st.st_size;
    return 0;
}

static int file_remove(struct shared_bucket *b, const char *key, struct error *e)
{
    char path[PATH_BYTES_MAX];

    path_of(b, key, path);
    if (unlink(path) < 0 && errno != ENOENT)
        return error_errno(e, "cannot remove %s", path);
    return 0;
}

/* ---- Lists ---- */

struct walk {
    int (*fn)(void *arg, const struct bucket_entry *entry, struct error *e);
    void *arg;
    char key[KEY_BYTES_MAX]; /* of the folder or file where the walk is */
    size_t len;
};

static int walk_folder(struct walk *w, int fd, unsigned depth, struct error *e);

/* An entry may go while the folder is read. */
static int walk_entry(struct walk *w, int folder, const char *name, unsigned depth, struct error *e)
{
    struct stat st;
    size_t len = w->len;
    int n = snprintf(w->key + len, sizeof w->key - len, "%s%s", len > 0 ? "/" : "", name);

    if (n < 0 || (size_t)n >= sizeof w->key - len || strcmp(w->key, UNFINISHED) == 0 ||
        fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    w->len = len + (size_t)n;
    int rc = 0;
    if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
        int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0)
            rc = walk_folder(w, fd, depth + 1, e);
    } else if (S_ISREG(st.st_mode)) {
        const struct bucket_entry entry = {
            .key = { w->key, w->len },
            .bytes = (uint64_t)st.st_size,
            .modified_us = (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000,
        };
        rc = w->fn(w->arg, &entry, e);
    }
    w->len = len;
    return rc;
}

/* Takes fd. */
static int walk_folder(struct walk *w, int fd, unsigned depth, struct error *e)
{
    DIR *dir = fdopendir(fd);
    struct dirent *entry;
    int rc = 0;

    if (!dir) {
        (void)close(fd);
        return error_errno(e, "cannot read a folder of the bucket");
    }
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread has this stream */
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.')
            rc = walk_entry(w, dirfd(dir), entry->d_name, depth, e);
    }
    (void)closedir(dir);
    return rc;
}

static int file_list(struct shared_bucket *b, const char *under,
                     int (*fn)(void *arg, const struct bucket_entry *entry, struct error *e),
                     void *arg, struct error *e)
{
    char path[PATH_BYTES_MAX];
    struct walk w = { .fn = fn, .arg = arg, .len = strlen(under) };

    assert(w.len == 0 || under[w.len - 1] == '/');
    path_of(b, under, path);
    struct error why = { 0 };
    int fd = sys_open(path, O_RDONLY | O_DIRECTORY, &why);
    if (fd < 0 && why.code != ERROR_NOT_FOUND)
        *e = why;
    if (fd < 0)
        return why.code == ERROR_NOT_FOUND ? 0 : -1;
    if (w.len > 0)
        (void)snprintf(w.key, sizeof w.key, "%.*s", (int)--w.len, under);
    return walk_folder(&w, fd, 0, e);
}

/* ---- Open and close ---- */

static void file_close(struct shared_bucket *b)
{
    struct bucket_file *f = (struct bucket_file *)b;

    mem_free(f->folder);
    mem_free(f);
}

/* Removes objects that a process was writing when it died. */
static void remove_unfinished(const char *folder)
{
    int64_t before_s = clock_system()->wall_us(clock_system()) / 1000000 - UNFINISHED_S;
    DIR *dir = opendir(folder);
    struct dirent *entry;
    struct stat st;

    if (!dir)
        return;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread has this stream */
    while ((entry = readdir(dir)) != NULL) {
        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode) && (int64_t)st.st_mtime < before_s)
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    }
    (void)closedir(dir);
}

static const struct shared_bucket_ops file_ops = {
    .put = file_put,
    .get = file_get,
    .size = file_size,
    .remove = file_remove,
    .list = file_list,
    .close = file_close,
};

struct shared_bucket *bucket_file_open(const struct bucket_url *url, struct error *e)
{
    char path[PATH_BYTES_MAX];

    if (url->name.len > 0 || url->prefix.len == 0 || url->endpoint.len + url->region.len > 0) {
        (void)error_set(e, ERROR_INVALID_ARGUMENT, "a folder is written file:///FOLDER");
        return NULL;
    }
    int n = snprintf(path, sizeof path, "/%.*s/" UNFINISHED, STR_ARG(url->prefix));
    if (n < 0 || n >= PATH_BYTES_MAX - KEY_BYTES_MAX) {
        (void)error_set(e, ERROR_INVALID_ARGUMENT, "the path is too long");
        return NULL;
    }
    if (sys_mkdirs(path, e) < 0)
        return NULL;
    remove_unfinished(path);
    struct bucket_file *f = mem_alloc(sizeof *f);
    f->base.ops = &file_ops;
    path[n - (int)sizeof UNFINISHED] = '\0';
    f->folder = mem_strdup(path);
    return &f->base;
}
