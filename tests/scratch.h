/* scratch.h -- a folder of its own for each test, below the folder the test runs in. */
#ifndef TRANCHE_TESTS_SCRATCH_H
#define TRANCHE_TESTS_SCRATCH_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"

#define SCRATCH_PATH_BYTES 128
/* Larger files than any test reads back are a mistake of the test. */
#define SCRATCH_FILE_MAX ((size_t)256 * 1024 * 1024)

struct scratch {
    char dir[SCRATCH_PATH_BYTES / 2];
};

static inline void scratch_make(struct scratch *s)
{
    (void)snprintf(s->dir, sizeof s->dir, "scratch-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
}

static inline void scratch_remove(const struct scratch *s)
{
    struct error e = { 0 };

    assert_int_equal(sys_remove_all(s->dir, &e), 0);
}

/* One name at a time: the next call overwrites none of the caller's arrays, as each brings its own. */
static inline const char *scratch_path(const struct scratch *s, const char *name,
                                       char path[SCRATCH_PATH_BYTES])
{
    (void)snprintf(path, SCRATCH_PATH_BYTES, "%s/%s", s->dir, name);
    return path;
}

static inline void scratch_write(const struct scratch *s, const char *name, const void *p,
                                 size_t len)
{
    char path[SCRATCH_PATH_BYTES];
    struct error e = { 0 };
    int fd = sys_create(scratch_path(s, name, path), &e);

    assert_true(fd >= 0);
    assert_int_equal(sys_write_all(fd, p, len, path, &e), 0);
    assert_int_equal(close(fd), 0);
}

static inline bool scratch_has(const struct scratch *s, const char *name)
{
    char path[SCRATCH_PATH_BYTES];
    struct stat st;

    return stat(scratch_path(s, name, path), &st) == 0;
}

static inline void scratch_read(const struct scratch *s, const char *name, struct buf *out)
{
    char path[SCRATCH_PATH_BYTES];
    struct error e = { 0 };

    *out = BUF_INIT(SCRATCH_FILE_MAX);
    assert_int_equal(sys_read_file(scratch_path(s, name, path), SCRATCH_FILE_MAX, out, &e), 0);
}

#endif
