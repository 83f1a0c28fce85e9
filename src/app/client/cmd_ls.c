/* cmd_ls.c -- `tranche ls` and `tranche mb`: buckets and objects. */
#include "app/client/client_storage.h"

#include <string.h>
#include <unistd.h>

#include "app/cli/human.h"
#include "base/json_write.h"

#define LINE_BYTES_MAX ((size_t)64 * 1024)
#define FLUSH_BYTES ((size_t)32 * 1024)

struct ls_options {
    struct client_options client;
    bool details, recursive, json;
};

struct listed {
    struct client *client;
    const struct ls_options *o;
    struct str bucket;
    struct buf out; /* reused */
    uint64_t shown, bytes;
    const char *only; /* of a name without a slash at its end: nothing but it, or its folder */
    bool folder;      /* `only` is a folder too */
};

static void flush(struct listed *l)
{
    terminal_write(STDOUT_FILENO, buf_str(&l->out));
    buf_clear(&l->out);
}

static void object_json(struct listed *l, const struct object_view *v)
{
    struct json_writer w = JSON_WRITER(&l->out);

    json_object(&w, NULL);
    json_addf(&w, "uri", "gs://%.*s/%.*s", STR_ARG(l->bucket), STR_ARG(v->name));
    if (!v->is_prefix) {
        json_add_uint(&w, "bytes", v->bytes);
        json_add_text(&w, "updated", v->updated);
        json_add_text(&w, "generation", v->generation);
        json_add_text(&w, "crc32c", v->crc32c);
    }
    json_end(&w);
    buf_add_char(&l->out, '\n');
}

static void object_text(struct listed *l, const struct object_view *v)
{
    if (l->o->details && v->is_prefix)
        buf_addf(&l->out, "%12s  %-27s  ", "", "");
    else if (l->o->details)
        buf_addf(&l->out, "%12llu  %-27.*s  ", (unsigned long long)v->bytes, STR_ARG(v->updated));
    buf_addf(&l->out, "gs://%.*s/", STR_ARG(l->bucket));
    buf_add_plain(&l->out, v->name, false);
    buf_add_char(&l->out, '\n');
}

static int show(void *arg, const struct object_view *v, struct error *e)
{
    struct listed *l = arg;

    (void)e;
    if (l->only && !str_eq_c(v->name, l->only)) {
        struct str folder = str_sub(v->name, 0, v->name.len - 1);
        l->folder = l->folder || (v->is_prefix && str_eq_c(folder, l->only));
        return 0;
    }
    if (l->o->json)
        object_json(l, v);
    else
        object_text(l, v);
    l->shown++;
    l->bytes += v->bytes;
    if (l->out.len >= FLUSH_BYTES)
        flush(l);
    return 0;
}

static int show_bucket(void *arg, struct str bucket, struct str created, struct error *e)
{
    struct listed *l = arg;

    (void)e;
    if (l->o->json) {
        struct json_writer w = JSON_WRITER(&l->out);
        json_object(&w, NULL);
        json_add_text(&w, "bucket", bucket);
        json_add_text(&w, "created", created);
        json_end(&w);
        buf_add_char(&l->out, '\n');
    } else {
        if (l->o->details)
            buf_addf(&l->out, "%-27.*s  ", STR_ARG(created));
        buf_addf(&l->out, "gs://%.*s/\n", STR_ARG(bucket));
    }
    l->shown++;
    flush(l);
    return 0;
}

/* "dir" may be an object, a folder, or both: what begins with it is listed, and only that kept. */
static int list_name(struct listed *l, struct str name, struct error *e)
{
    struct listing what = { .bucket = l->bucket, .prefix = name };
    char *folder = arena_alloc(&l->client->arena, name.len + 2);

    memcpy(folder, name.p, name.len);
    l->only = arena_copy(&l->client->arena, name.p, name.len);
    if (remote_list(l->client, &what, show, l, e) < 0)
        return -1;
    l->only = NULL;
    if (!l->folder)
        return 0;
    folder[name.len] = '/';
    what.prefix = str_of(folder);
    return remote_list(l->client, &what, show, l, e);
}

static int list(struct listed *l, const char *text, struct error *e)
{
    struct gs at;

    if (gs_read(text, &at, e) < 0)
        return -1;
    l->bucket = at.bucket;
    l->folder = false;
    if (at.name.len && !gs_has_wildcard(at.name) && !str_ends(at.name, STR("/")) &&
        !l->o->recursive)
        return list_name(l, at.name, e);
    struct listing what = { .bucket = at.bucket, .prefix = at.name, .deep = l->o->recursive };
    if (gs_has_wildcard(at.name))
        gs_pattern(&what, at.name);
    return remote_list(l->client, &what, show, l, e);
}

static int list_each(struct listed *l, const char *const *argument, uint32_t count, struct error *e)
{
    if (count == 0)
        return remote_list_buckets(l->client, show_bucket, l, e);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t before = l->shown;
        struct gs at;
        if (list(l, argument[i], e) < 0)
            return -1;
        flush(l);
        if (gs_read(argument[i], &at, e) < 0)
            return -1;
        if (l->shown == before && at.name.len)
            return error_set(e, ERROR_NOT_FOUND, "nothing matches %s", argument[i]);
    }
    return 0;
}

static int ls(struct client *c, const struct arguments *given, enum exit_code *code,
              struct error *e)
{
    const struct ls_options *o = given->options;
    struct listed l = { .client = c, .o = o, .out = BUF_INIT(FLUSH_BYTES + LINE_BYTES_MAX) };
    int rc = list_each(&l, given->argument, given->count, e);

    (void)code;
    flush(&l);
    if (rc == 0 && o->details && given->count)
        terminal_note(&c->terminal, "%s objects, %s", human_count(HUMAN, l.shown),
                      human_bytes(HUMAN, l.bytes));
    buf_release(&l.out);
    return rc;
}

struct mb_options {
    struct client_options client;
};

static int mb(struct client *c, const struct arguments *given, enum exit_code *code,
              struct error *e)
{
    struct gs at;

    (void)code;
    for (uint32_t i = 0; i < given->count; i++) {
        if (gs_read(given->argument[i], &at, e) < 0)
            return -1;
        if (at.name.len)
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "%s is more than a bucket; folders need not be made",
                             given->argument[i]);
        if (remote_make_bucket(c, at.bucket, e) < 0)
            return -1;
    }
    return 0;
}

#define OPTIONS struct ls_options
static const struct option_spec ls_options[] = {
    OPT_FLAG("long", 'l', details, "print size and time too"),
    OPT_FLAG("recursive", 'r', recursive, "list all levels below, not only the next one"),
    OPT_FLAG("json", 0, json, "print one JSON object a line"),
    STORAGE_OPTIONS,
    { 0 },
};
#undef OPTIONS
#define OPTIONS struct mb_options
static const struct option_spec mb_options[] = {
    STORAGE_OPTIONS,
    { 0 },
};

const struct command command_ls = {
    .name = "ls",
    .summary = "list buckets and objects of the object store",
    .arguments = "[gs://BUCKET[/NAME]...]",
    .about = "NAME is an object, a folder, or a pattern in quotes: * and ? stand for what has no "
             "slash, ** for anything. Without an argument the buckets are listed.",
    .options = ls_options,
    .options_bytes = sizeof(struct ls_options),
    .arguments_max = ARGUMENTS_MAX,
    CLIENT_RUN(ls),
};

const struct command command_mb = {
    .name = "mb",
    .summary = "create a bucket",
    .arguments = "gs://BUCKET...",
    .about = "",
    .options = mb_options,
    .options_bytes = sizeof(struct mb_options),
    .arguments_min = 1,
    .arguments_max = ARGUMENTS_MAX,
    CLIENT_RUN(mb),
};
