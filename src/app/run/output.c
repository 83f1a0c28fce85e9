/* glibc shows realpath only so, although POSIX has it since 2008. */
#define _XOPEN_SOURCE 700
#include "app/run/output.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/unpack.h"

#define LINKS_MAX 40 /* one behind another, as Linux follows them */

const char *output_default(struct arena *a, const struct input *in, bool from_stdin,
                           const char *ending, struct error *e)
{
    size_t len = strlen(ending);

    if (in->count == 1 && from_stdin)
        return "-";
    if (in->count != 1) {
        (void)error_set(e, ERROR_INVALID_ARGUMENT,
                        "%u inputs: say where the output goes with -o OUTPUT", in->count);
        return NULL;
    }
    struct str name = str_of(in->file[0].path);
    (void)packing_of_name(name, &name);
    if (name.len > len && strncasecmp(name.p + name.len - len, ending, len) == 0)
        name.len -= len;
    return arena_textf(a, "%.*s.out%s", STR_ARG(name), ending);
}

bool output_is_stream(const char *path)
{
    struct stat st;

    return strcmp(path, "-") == 0 || (stat(path, &st) == 0 && !S_ISREG(st.st_mode));
}

bool output_is_input(const char *path, const struct input *in)
{
    struct stat out;

    return strcmp(path, "-") != 0 && stat(path, &out) == 0 && input_has(in, &out);
}

/* The path that a link names, whether it is there or not; or NULL. */
static const char *link_target(struct arena *a, const char *path)
{
    char target[PATH_MAX];
    ssize_t len = readlink(path, target, sizeof target - 1);
    const char *slash = strrchr(path, '/');

    if (len <= 0)
        return NULL;
    target[len] = '\0';
    if (target[0] == '/' || !slash)
        return arena_copy(a, target, (size_t)len);
    return arena_textf(a, "%.*s/%s", (int)(slash - path), path, target);
}

/* A link to a file stays a link: the answers go to where it leads, also when no file is there yet. */
static const char *follow_link(struct arena *a, const char *path)
{
    struct stat link, target;

    for (int i = 0; i < LINKS_MAX && lstat(path, &link) == 0 && S_ISLNK(link.st_mode); i++) {
        bool follow = stat(path, &target) == 0 ? S_ISREG(target.st_mode) : errno == ENOENT;
        const char *next = follow ? link_target(a, path) : NULL;
        if (!next)
            break;
        path = next;
    }
    return path;
}

static int check_file(const char *path, const struct input *in, bool in_place, struct error *e)
{
    struct stat out;

    if (stat(path, &out) < 0)
        return errno == ENOENT ? 0 : error_errno(e, "the output %s", path);
    if (S_ISDIR(out.st_mode))
        return error_set(e, ERROR_INVALID_ARGUMENT, "the output %s is a folder; name a file in it",
                         path);
    if (!in_place && input_has(in, &out))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "the output %s is the input; choose another with -o OUTPUT", path);
    return 0;
}

/* A name that promises a table: rows of JSON in it would be taken for a damaged one. */
static int check_ending(const char *name, struct error *e)
{
    static const char *const tables[] = { ".csv", ".tsv", ".parquet", ".xlsx", ".xls" };
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; dot && i < ARRAY_LEN(tables); i++)
        if (strcasecmp(dot, tables[i]) == 0)
            return error_set(
                e, ERROR_INVALID_ARGUMENT,
                "the output %s would hold lines of JSON, not a table; name it .jsonl, or "
                "ask about the rows of a table with --prompt",
                name);
    return 0;
}

const char *output_resolve(struct arena *a, const char *path, const struct input *in,
                           enum output_kind kind, struct error *e)
{
    const char *slash, *name, *dir = ".";
    char real[PATH_MAX];

    if (strcmp(path, "-") == 0)
        return path;
    path = follow_link(a, path);
    slash = strrchr(path, '/');
    name = slash ? slash + 1 : path;
    if (slash)
        dir = slash == path ? "/" : arena_copy(a, path, (size_t)(slash - path));
    if (kind != OUTPUT_TABLE && check_ending(name, e) < 0)
        return NULL;
    if (*name == '\0') {
        (void)error_set(e, ERROR_INVALID_ARGUMENT, "the output %s is a folder; name a file in it",
                        path);
        return NULL;
    }
    if (!realpath(dir, real)) {
        (void)error_errno(e, "the output's folder %s", dir);
        return NULL;
    }
    const char *absolute = arena_textf(a, "%s/%s", strcmp(real, "/") == 0 ? "" : real, name);
    int writable = access(real, W_OK);
    if (writable < 0)
        (void)error_errno(e, "the output's folder %s", dir);
    return writable == 0 && check_file(absolute, in, kind == OUTPUT_IN_PLACE, e) == 0 ? absolute
                                                                                      : NULL;
}
