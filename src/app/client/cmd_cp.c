/* cmd_cp.c -- `tranche cp`: between files, standard streams and the object store. */
#include "app/client/client_storage.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"
#include "format/gs.h"

#define PATH_BYTES_MAX ((size_t)8192)

struct cp_options {
    struct client_options client;
};

struct copying {
    struct client *client;
    const char *target; /* as given */
    bool to_gs, into;   /* into: a folder, where each source keeps its own name */
    struct str bucket;  /* of the source that is being listed */
    uint64_t copied;
};

/* The name of a source in the target, in the arena. */
static const char *target_of(struct copying *c, struct str source)
{
    struct buf path = BUF_INIT(PATH_BYTES_MAX);

    buf_add_c(&path, c->target);
    if (c->into) {
        if (!str_ends(buf_str(&path), STR("/")))
            buf_add_char(&path, '/');
        buf_add_str(&path, base_name(source));
    }
    const char *out = arena_copy(&c->client->arena, path.p ? path.p : "", path.len);
    buf_release(&path);
    return out;
}

static int copy_object(struct copying *c, struct str bucket, struct str name, struct error *e)
{
    const struct gs from = { bucket, name };
    const char *target = target_of(c, name);
    struct str base = base_name(name);
    struct gs to;
    int rc = -1;

    if (c->into && !c->to_gs && (str_eq(base, STR(".")) || str_eq(base, STR(".."))))
        (void)error_set(e, ERROR_INVALID_ARGUMENT, "it has no name for a file; name the TARGET");
    else if (!c->to_gs)
        rc = remote_download(c->client, &from, target, e);
    else if (gs_read(target, &to, e) == 0)
        rc = remote_copy(c->client, &from, &to, e);
    if (rc < 0)
        return error_wrap(e, "gs://%.*s/%.*s", STR_ARG(bucket), STR_ARG(name));
    c->copied++;
    return 0;
}

static int copy_listed(void *arg, const struct object_view *v, struct error *e)
{
    struct copying *c = arg;

    /* A name that ends with a slash stands for a folder. */
    return str_ends(v->name, STR("/")) ? 0 : copy_object(c, c->bucket, v->name, e);
}

static int copy_from_gs(struct copying *c, const char *source, struct error *e)
{
    struct gs from;
    uint64_t before = c->copied;

    if (gs_read(source, &from, e) < 0)
        return -1;
    if (from.name.len == 0 || str_ends(from.name, STR("/")))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s is a folder; write %s%s for the objects in it", source, source,
                         from.name.len ? "*" : "/*");
    if (!gs_has_wildcard(from.name))
        return copy_object(c, from.bucket, from.name, e);
    struct listing what = { .bucket = from.bucket };
    gs_pattern(&what, from.name);
    c->bucket = from.bucket;
    if (remote_list(c->client, &what, copy_listed, c, e) < 0)
        return -1;
    return c->copied > before ? 0 : error_set(e, ERROR_NOT_FOUND, "nothing matches %s", source);
}

static int copy_from_file(struct copying *c, const char *source, struct error *e)
{
    bool stream = strcmp(source, "-") == 0;
    struct gs to;

    if (!c->to_gs)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "one of the two must be in the object store: gs://BUCKET/NAME");
    if (stream && c->into)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "standard input has no name; write gs://BUCKET/NAME");
    if (gs_read(target_of(c, str_of(source)), &to, e) < 0)
        return -1;
    int fd = stream ? STDIN_FILENO : sys_open(source, O_RDONLY, e);
    if (fd < 0)
        return -1;
    int rc = remote_upload(c->client, fd, &to, stream ? "standard input" : source, e);
    if (!stream)
        (void)close(fd);
    c->copied++;
    return rc;
}

/* A folder is a bucket, a name that ends with a slash, or a folder of this machine. */
static bool is_folder(const char *target)
{
    struct gs at;
    struct stat st;
    struct error ignored = { 0 };

    if (str_ends(str_of(target), STR("/")))
        return true;
    if (gs_is(str_of(target)))
        return gs_read(target, &at, &ignored) == 0 && at.name.len == 0;
    return stat(target, &st) == 0 && S_ISDIR(st.st_mode);
}

static int copy_all(struct copying *c, const char *const *source, uint32_t count, struct error *e)
{
    c->to_gs = gs_is(str_of(c->target));
    c->into = is_folder(c->target);
    bool several = count > 1 || (gs_is(str_of(source[0])) && gs_has_wildcard(str_of(source[0])));
    bool stream = strcmp(c->target, "-") == 0;
    if (several && !c->into && !stream)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "several sources need a folder as the target, not %s", c->target);
    for (uint32_t i = 0; i < count; i++) {
        int rc = gs_is(str_of(source[i])) ? copy_from_gs(c, source[i], e)
                                          : copy_from_file(c, source[i], e);
        if (rc < 0)
            return -1;
    }
    return 0;
}

static int cp(struct client *client, const struct arguments *given, enum exit_code *code,
              struct error *e)
{
    uint32_t sources = given->count - 1;
    struct copying c = { .client = client, .target = given->argument[sources] };

    (void)code;
    return copy_all(&c, given->argument, sources, e);
}

#define OPTIONS struct cp_options
static const struct option_spec options[] = {
    STORAGE_OPTIONS,
    { 0 },
};

const struct command command_cp = {
    .name = "cp",
    .summary = "copy files to, from and within the object store",
    .arguments = "SOURCE... TARGET",
    .about =
        "Each is a file, gs://BUCKET/NAME, or - for a standard stream; at least one is in the "
        "object store. A SOURCE there may be a pattern in quotes: * and ? stand for what has no "
        "slash, ** for anything. A TARGET that is a bucket, a folder or ends with a slash keeps "
        "the sources' names. A transfer that breaks continues where it was, and the result is "
        "compared with the object's checksum.",
    .options = options,
    .options_bytes = sizeof(struct cp_options),
    .arguments_min = 2,
    .arguments_max = ARGUMENTS_MAX,
    .takes_files = true,
    CLIENT_RUN(cp),
};
