#include "engine/lines/input.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/unpack.h"
#include "base/mem.h"
#include "base/sys.h"
#include "engine/lines/digest.h"

#define COPY_BYTES ((size_t)256 * 1024)
#define PID_BYTES 24
/* Descriptors that the rest of the program may need beside the inputs. */
#define SPARE_FILES 256

/* Many systems allow 1,024 open files and let a program ask for more. */
static void allow_files(rlim_t wanted)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* Takes fd, also when it fails. given: the file that the user named. */
static int append(struct input *in, const char *path, int fd, const struct stat *given,
                  struct error *e)
{
    struct stat st;
    int rc = 0;

    if (in->count == INPUT_FILES_MAX)
        rc = error_set(e, ERROR_INVALID_ARGUMENT, "more than %d input files", INPUT_FILES_MAX);
    else if (fstat(fd, &st) < 0)
        rc = error_errno(e, "cannot look at %s", path);
    if (rc < 0) {
        (void)close(fd);
        return -1;
    }
    in->file = mem_list_grow(in->file, in->count, sizeof *in->file);
    in->file[in->count++] =
        (struct input_file){ .path = mem_strdup(path),
                             .fd = fd,
                             .bytes = (uint64_t)st.st_size,
                             .dev = given->st_dev,
                             .ino = given->st_ino,
                             .changed_ns = (int64_t)given->st_mtim.tv_sec * 1000000000 +
                                           given->st_mtim.tv_nsec };
    in->bytes += (uint64_t)st.st_size;
    return 0;
}

static int check_regular(int fd, const char *path, struct stat *st, struct error *e)
{
    if (fstat(fd, st) < 0)
        return error_errno(e, "cannot look at %s", path);
    if (S_ISDIR(st->st_mode))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s is a folder; name its files, as in '%s/*.jsonl'", path, path);
    if (!S_ISREG(st->st_mode))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s is not a regular file; give its bytes on standard input and '-'",
                         path);
    return 0;
}

/* 1 when the file is compressed, 0 when it is not. */
static int is_packed(int fd, const char *path, struct error *e)
{
    char head[4];
    int64_t n = sys_read_at(fd, head, sizeof head, 0, path, e);

    if (n < 0)
        return -1;
    return packing_of_bytes((struct str){ head, (size_t)n }) != PACKING_NONE;
}

static int unpack_all(struct unpack *u, int to, const char *path, struct error *e)
{
    char *piece = mem_alloc(COPY_BYTES);
    int rc = 0;

    while (rc == 0) {
        int64_t n = unpack_read(u, piece, COPY_BYTES, path, e);
        if (n == 0)
            break;
        rc = n < 0 ? -1 : sys_write_all(to, piece, (size_t)n, path, e);
    }
    mem_free(piece);
    return rc;
}

/* The content of fd in a file without a name; takes fd. dir NULL: the service keeps it, whose objects are
 * unpacked elsewhere. */
static int unpack(int fd, const char *path, const char *dir, struct error *e)
{
    struct unpack *u = unpack_open(fd);
    int to = -1, rc = -1;

    if (!dir)
        (void)error_set(e, ERROR_INVALID_ARGUMENT,
                        "%s is compressed; upload it unpacked, or as an object whose "
                        "contentEncoding is gzip",
                        path);
    else if (lseek(fd, 0, SEEK_SET) < 0)
        (void)error_errno(e, "cannot read %s", path);
    else
        to = sys_open_nameless(dir, e);
    if (to >= 0)
        rc = unpack_all(u, to, path, e);
    unpack_close(u);
    if (rc < 0 && to >= 0)
        (void)close(to);
    return rc < 0 ? -1 : to;
}

/* Takes fd, also when it fails. dir: where to unpack what is compressed; NULL: nowhere. */
static int add_open(struct input *in, const char *name, int fd, const char *dir, struct error *e)
{
    struct stat st;
    int packed = -1;

    if (check_regular(fd, name, &st, e) == 0)
        packed = is_packed(fd, name, e);
    if (packed < 0) {
        (void)close(fd);
        return -1;
    }
    if (packed)
        fd = unpack(fd, name, dir, e);
    return fd < 0 ? -1 : append(in, name, fd, &st, e);
}

static int add_file(struct input *in, const char *path, const char *dir, struct error *e)
{
    allow_files((rlim_t)in->count + SPARE_FILES);
    /* O_NONBLOCK: opening a pipe that nobody writes would wait for ever. */
    int fd = sys_open(path, O_RDONLY | O_NONBLOCK, e);
    return fd < 0 ? -1 : add_open(in, path, fd, dir, e);
}

static int add_pattern(struct input *in, const char *pattern, const char *dir, struct error *e)
{
    glob_t found = { 0 };
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nothing changes the environment or the user database */
    int result = glob(pattern, GLOB_ERR, NULL, &found);
    int rc = 0;

    if (result == GLOB_NOMATCH)
        rc = error_set(e, ERROR_NOT_FOUND, "no file matches %s", pattern);
    else if (result != 0)
        rc = error_set(e, ERROR_PERMISSION_DENIED, "cannot look for %s: a folder is not readable",
                       pattern);
    for (size_t i = 0; i < found.gl_pathc && rc == 0; i++)
        rc = add_file(in, found.gl_pathv[i], dir, e);
    globfree(&found);
    return rc;
}

static int copy_all(int from, int to, const char *path, struct error *e)
{
    char *piece = mem_alloc(COPY_BYTES);
    int rc = 0;

    while (rc == 0) {
        ssize_t n = read(from, piece, COPY_BYTES);
        if (n == 0)
            break;
        if (n < 0 && errno == EINTR)
            continue;
        rc = n < 0 ? error_errno(e, "cannot read standard input")
                   : sys_write_all(to, piece, (size_t)n, path, e);
    }
    mem_free(piece);
    return rc;
}

static int add_stdin(struct input *in, const char *dir, struct error *e)
{
    static const char name[] = "standard input";

    for (uint32_t i = 0; i < in->count; i++) {
        if (strcmp(in->file[i].path, name) == 0)
            return error_set(e, ERROR_INVALID_ARGUMENT, "'-' is given twice");
    }
    size_t bytes = strlen(dir) + sizeof "/stdin." + PID_BYTES;
    char *copy = mem_alloc(bytes);
    (void)snprintf(copy, bytes, "%s/stdin.%ld", dir, (long)getpid());
    int fd = sys_open(copy, O_RDWR | O_CREAT | O_TRUNC, e);
    int rc = fd < 0 ? -1 : copy_all(STDIN_FILENO, fd, name, e);
    if (rc == 0)
        rc = add_open(in, name, fd, dir, e);
    else if (fd >= 0)
        (void)close(fd);
    if (rc == 0) {
        in->file[in->count - 1].copy = copy;
        return 0;
    }
    (void)unlink(copy);
    mem_free(copy);
    return -1;
}

static int add_path(struct input *in, const char *path, const char *dir, struct error *e)
{
    struct stat st;

    if (strcmp(path, "-") == 0)
        return add_stdin(in, dir, e);
    if (strpbrk(path, "*?[") && lstat(path, &st) < 0)
        return add_pattern(in, path, dir, e);
    return add_file(in, path, dir, e);
}

int input_open(struct input *in, const char *const *paths, uint32_t count, const char *dir,
               struct error *e)
{
    *in = (struct input){ 0 };
    for (uint32_t i = 0; i < count; i++) {
        if (add_path(in, paths[i], dir, e) < 0) {
            input_release(in);
            return -1;
        }
    }
    return 0;
}

int input_open_fds(struct input *in, const struct input_source *src, uint32_t count,
                   struct error *e)
{
    uint32_t taken = 0;
    int rc = 0;

    *in = (struct input){ 0 };
    while (taken < count && rc == 0) {
        rc = add_open(in, src[taken].name, src[taken].fd, NULL, e);
        if (rc == 0 && src[taken].copy)
            in->file[taken].copy = mem_strdup(src[taken].copy);
        taken++;
    }
    if (rc == 0)
        return 0;
    for (; taken < count; taken++)
        (void)close(src[taken].fd);
    input_release(in);
    return -1;
}

int input_keep_copies(struct input *in, const char *folder, struct error *e)
{
    size_t bytes = strlen(folder) + sizeof "/4294967295";
    char *to = mem_alloc(bytes);
    int rc = 0;

    for (uint32_t i = 0; i < in->count && rc == 0; i++) {
        struct input_file *f = &in->file[i];
        if (!f->copy)
            continue;
        (void)snprintf(to, bytes, "%s/%u", folder, i);
        rc = sys_mkdirs(folder, e) < 0 ? -1 : sys_rename(f->copy, to, e);
        mem_free(f->copy);
        f->copy = NULL;
    }
    mem_free(to);
    return rc;
}

void input_release(struct input *in)
{
    for (uint32_t i = 0; i < in->count; i++) {
        if (in->file[i].copy)
            (void)unlink(in->file[i].copy);
        mem_free(in->file[i].copy);
        (void)close(in->file[i].fd);
        mem_free(in->file[i].path);
    }
    mem_free(in->file);
    *in = (struct input){ 0 };
}

bool input_has(const struct input *in, const struct stat *st)
{
    for (uint32_t i = 0; i < in->count; i++)
        if (in->file[i].dev == st->st_dev && in->file[i].ino == st->st_ino)
            return true;
    return false;
}

static int changed(const struct input_file *f, struct error *e)
{
    return error_set(e, ERROR_FAILED_PRECONDITION,
                     "%s changed since it was checked; run the command again to begin with the new "
                     "content",
                     f->path);
}

int input_read_at(const struct input *in, uint32_t file, uint64_t offset, void *p, size_t len,
                  struct error *e)
{
    const struct input_file *f = &in->file[file];
    int64_t got = sys_read_at(f->fd, p, len, offset, f->path, e);

    if (got < 0)
        return -1;
    return (size_t)got == len ? 0 : changed(f, e);
}

/* The digest covers all bytes, in pieces, as they may be more than memory. */
static int read_overlong(const struct input *in, const struct shard *s, struct buf *out,
                         struct error *e)
{
    struct digest *d = digest_new();
    char *piece = mem_alloc(COPY_BYTES);
    uint64_t digest[2];
    int rc = 0;

    for (uint64_t at = 0; at < s->bytes && rc == 0; at += COPY_BYTES) {
        size_t len = s->bytes - at < COPY_BYTES ? (size_t)(s->bytes - at) : COPY_BYTES;
        rc = input_read_at(in, s->file, s->offset + at, piece, len, e);
        if (rc == 0)
            digest_add(d, piece, len);
        if (rc == 0 && at == 0)
            buf_add(out, piece, len < OVERLONG_HEAD_BYTES ? len : OVERLONG_HEAD_BYTES);
    }
    digest_end(d, digest);
    digest_free(d);
    mem_free(piece);
    if (rc == 0 && memcmp(digest, s->digest, sizeof digest) != 0)
        rc = changed(&in->file[s->file], e);
    return rc;
}

int input_read_shard(const struct input *in, const struct shard *s, struct buf *out,
                     struct error *e)
{
    uint64_t digest[2];

    buf_clear(out);
    if (s->overlong)
        return read_overlong(in, s, out, e);
    if (out->cap <= s->bytes) {
        out->cap = s->bytes + 1;
        out->p = mem_grow(out->p, out->cap);
    }
    if (input_read_at(in, s->file, s->offset, out->p, s->bytes, e) < 0)
        return -1;
    out->len = s->bytes;
    out->p[out->len] = '\0';
    digest_of(out->p, out->len, digest);
    return memcmp(digest, s->digest, sizeof digest) == 0 ? 0 : changed(&in->file[s->file], e);
}
