/* cmd_rm.c -- `tranche rm`: objects, by name, by pattern, or all below a folder. */
#include "app/client/client_storage.h"

#include "app/cli/human.h"

struct rm_options {
    struct client_options client;
    bool recursive;
};

struct removal {
    struct client *client;
    struct str bucket;
    uint64_t removed;
};

static int remove_one(void *arg, const struct object_view *v, struct error *e)
{
    struct removal *r = arg;
    const struct gs at = { r->bucket, v->name };

    if (v->is_prefix)
        return 0;
    if (remote_remove(r->client, &at, e) < 0)
        return error_wrap(e, "gs://%.*s/%.*s", STR_ARG(r->bucket), STR_ARG(v->name));
    r->removed++;
    return 0;
}

/* A folder or a pattern is listed first; a plain name is removed as it is. */
static int remove_all(struct removal *r, const char *text, bool recursive, struct error *e)
{
    struct gs at;

    if (gs_read(text, &at, e) < 0)
        return -1;
    r->bucket = at.bucket;
    if (at.name.len == 0 && !recursive)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s is a whole bucket; add --recursive to remove all that is in it", text);
    bool pattern = gs_has_wildcard(at.name);
    if (!pattern && !recursive) {
        const struct object_view named = { .name = at.name };
        return remove_one(r, &named, e);
    }
    struct listing what = { .bucket = at.bucket, .prefix = at.name, .deep = true };
    if (pattern)
        gs_pattern(&what, at.name);
    else if (at.name.len && !str_ends(at.name, STR("/")))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "write %s/ for the folder, or a pattern: other names may begin like it",
                         text);
    uint64_t before = r->removed;
    if (remote_list(r->client, &what, remove_one, r, e) < 0)
        return -1;
    return r->removed > before ? 0 : error_set(e, ERROR_NOT_FOUND, "nothing matches %s", text);
}

static int rm(struct client *c, const struct arguments *given, enum exit_code *code,
              struct error *e)
{
    const struct rm_options *o = given->options;
    struct removal r = { .client = c };
    int rc = 0;

    (void)code;
    for (uint32_t i = 0; rc == 0 && i < given->count; i++)
        rc = remove_all(&r, given->argument[i], o->recursive, e);
    if (r.removed)
        terminal_note(&c->terminal, "%s %s removed", human_count(HUMAN, r.removed),
                      r.removed == 1 ? "object" : "objects");
    return rc;
}

#define OPTIONS struct rm_options
static const struct option_spec options[] = {
    OPT_FLAG("recursive", 'r', recursive, "remove everything below a folder or in a bucket"),
    STORAGE_OPTIONS,
    { 0 },
};

const struct command command_rm = {
    .name = "rm",
    .summary = "remove objects of the object store",
    .arguments = "gs://BUCKET/NAME...",
    .about =
        "NAME may be a pattern in quotes: * and ? stand for what has no slash, ** for anything.",
    .options = options,
    .options_bytes = sizeof(struct rm_options),
    .arguments_min = 1,
    .arguments_max = ARGUMENTS_MAX,
    CLIENT_RUN(rm),
};
