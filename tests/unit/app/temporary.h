/* temporary.h -- a folder of its own for a test, removed at the end.
 *
 * Why: tests of files must not see each other's, nor the user's.
 */
#ifndef TRANCHE_TESTS_TEMPORARY_H
#define TRANCHE_TESTS_TEMPORARY_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"

struct temporary {
    char path[64];
    char file[128]; /* of the last temporary_file */
};

static inline void temporary_make(struct temporary *t)
{
    (void)snprintf(t->path, sizeof t->path, "/tmp/tranche-test-XXXXXX");
    assert_non_null(mkdtemp(t->path));
}

static inline void temporary_remove(struct temporary *t)
{
    struct error e = { 0 };

    assert_int_equal(sys_remove_all(t->path, &e), 0);
}

/* Writes a file in it and gives its path, which is valid until the next call. */
static inline const char *temporary_file(struct temporary *t, const char *name, const char *text)
{
    struct error e = { 0 };

    (void)snprintf(t->file, sizeof t->file, "%s/%s", t->path, name);
    int fd = sys_open(t->file, O_WRONLY | O_CREAT | O_TRUNC, &e);
    assert_true(fd >= 0);
    assert_int_equal(sys_write_all(fd, text, strlen(text), t->file, &e), 0);
    (void)close(fd);
    return t->file;
}

#endif
