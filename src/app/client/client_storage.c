/* client_storage.c -- names, listings and what is done in one call. Transfers: client_transfer.c */
#include "app/client/client_storage.h"

#include <string.h>

#include "app/cli/options.h"
#include "base/json_write.h"
#include "base/json.h"
#include "format/gs.h"

#define PAGE "1000"
#define BODY_BYTES_MAX ((size_t)64 * 1024)
#define REWRITES_MAX 100000 /* each moves at least a megabyte */

bool gs_has_wildcard(struct str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (strchr("*?[", name.p[i]))
            return true;
    return false;
}

int gs_read(const char *text, struct gs *out, struct error *e)
{
    if (gs_split(str_of(text), &out->bucket, &out->name) && !gs_has_wildcard(out->bucket))
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "\"%s\" names no object; write gs://BUCKET/NAME, wildcards only in NAME",
                     text);
}

/* The text before the first wildcard narrows the listing; the pattern is of whole names. */
void gs_pattern(struct listing *l, struct str pattern)
{
    size_t plain = 0;

    while (plain < pattern.len && !gs_has_wildcard(str_sub(pattern, plain, 1)))
        plain++;
    l->prefix = str_sub(pattern, 0, plain);
    l->glob = pattern;
    l->deep = true;
}

const char *gs_text(struct arena *a, struct str bucket, struct str name)
{
    struct buf text = BUF_INIT(8192);

    gs_add(&text, bucket, name);
    const char *out = arena_copy(a, text.p, text.len);
    buf_release(&text);
    return out;
}

struct str base_name(struct str path)
{
    size_t at = path.len;

    while (at > 0 && path.p[at - 1] != '/')
        at--;
    return str_sub(path, at, path.len);
}

/* ---- Listings ---- */

/* A count that the API writes as a string. */
static uint64_t number(yyjson_val *v)
{
    uint64_t n = 0;

    return json_count(v, &n) ? n : 0;
}

static struct object_view object_of(yyjson_val *v)
{
    return (struct object_view){
        .name = json_str(json_get(v, "name")),
        .updated = json_str(json_get(v, "updated")),
        .generation = json_str(json_get(v, "generation")),
        .crc32c = json_str(json_get(v, "crc32c")),
        .bytes = number(json_get(v, "size")),
        .compressed = str_eq(json_str(json_get(v, "contentEncoding")), STR("gzip")),
    };
}

/* One page: its prefixes, then its objects. */
static int list_page(yyjson_val *page,
                     int (*fn)(void *arg, const struct object_view *o, struct error *e), void *arg,
                     struct error *e)
{
    yyjson_val *v;
    size_t i, n;

    yyjson_arr_foreach(json_get(page, "prefixes"), i, n, v)
    {
        struct object_view folder = { .name = json_str(v), .is_prefix = true };
        if (fn(arg, &folder, e) < 0)
            return -1;
    }
    yyjson_arr_foreach(json_get(page, "items"), i, n, v)
    {
        struct object_view object = object_of(v);
        if (fn(arg, &object, e) < 0)
            return -1;
    }
    return 0;
}

static const char *list_url(struct client *c, const struct listing *l, struct str token)
{
    const struct str names[] = { l->bucket, l->prefix, l->glob, token };

    if (l->glob.len)
        return client_url(
            c, c->storage,
            "/storage/v1/b/{}/o?maxResults=" PAGE "&prefix={}&matchGlob={}&pageToken={}", names);
    const struct str plain[] = { l->bucket, l->prefix, token };
    return client_url(c, c->storage,
                      l->deep ? "/storage/v1/b/{}/o?maxResults=" PAGE "&prefix={}&pageToken={}"
                              : "/storage/v1/b/{}/o?maxResults=" PAGE
                                "&delimiter=%2F&prefix={}&pageToken={}",
                      plain);
}

/* A page that is followed by itself would never end. */
static bool token_moves(struct str before, struct str next)
{
    return next.len && !str_eq(before, next);
}

int remote_list(struct client *c, const struct listing *l,
                int (*fn)(void *arg, const struct object_view *o, struct error *e), void *arg,
                struct error *e)
{
    struct arena page[2] = {
        { 0 }
    }; /* the token of one page is asked for while the next is made */
    struct str token = { 0 }, before;
    int rc = 0;

    for (unsigned i = 0; rc == 0; i ^= 1) {
        const struct client_call call = { .method = "GET", .url = list_url(c, l, token) };
        arena_reset(&page[i]);
        yyjson_val *v = client_json(c, &call, &page[i], NULL, e);
        rc = v ? list_page(v, fn, arg, e) : -1;
        before = token;
        token = v ? json_str(json_get(v, "nextPageToken")) : token;
        if (rc < 0 || !token_moves(before, token))
            break;
    }
    arena_release(&page[0]);
    arena_release(&page[1]);
    return rc;
}

int remote_list_buckets(struct client *c,
                        int (*fn)(void *arg, struct str bucket, struct str created,
                                  struct error *e),
                        void *arg, struct error *e)
{
    struct str token = { 0 }, before;

    do {
        const struct str names[] = { str_of(c->project), token };
        const struct client_call call = {
            .method = "GET",
            .url = client_url(c, c->storage,
                              "/storage/v1/b?maxResults=" PAGE "&project={}&pageToken={}", names),
        };
        yyjson_val *page = client_json(c, &call, &c->arena, NULL, e), *v;
        size_t i, n;
        if (!page)
            return -1;
        yyjson_arr_foreach(json_get(page, "items"), i, n, v)
        {
            if (fn(arg, json_str(json_get(v, "name")), json_str(json_get(v, "timeCreated")), e) < 0)
                return -1;
        }
        before = token;
        token = json_str(json_get(page, "nextPageToken"));
    } while (token_moves(before, token));
    return 0;
}

/* ---- One object, one bucket ---- */

static const char *object_url(struct client *c, const struct gs *at)
{
    const struct str names[] = { at->bucket, at->name };

    return client_url(c, c->storage, "/storage/v1/b/{}/o/{}", names);
}

int remote_stat(struct client *c, const struct gs *at, struct object_view *out, struct error *e)
{
    const struct client_call call = { .method = "GET", .url = object_url(c, at) };
    yyjson_val *v = client_json(c, &call, &c->arena, NULL, e);

    if (!v)
        return -1;
    *out = object_of(v);
    return 0;
}

int remote_remove(struct client *c, const struct gs *at, struct error *e)
{
    const struct client_call call = { .method = "DELETE", .url = object_url(c, at) };
    struct http_in in;

    if (client_do(c, &call, &in, e) < 0)
        return -1;
    http_in_release(&in);
    return 0;
}

/* Large copies are made in several calls, each with the token of the one before. */
int remote_copy(struct client *c, const struct gs *from, const struct gs *to, struct error *e)
{
    struct str token = { 0 };

    for (unsigned n = 0; n < REWRITES_MAX; n++) {
        const struct str names[] = { from->bucket, from->name, to->bucket, to->name, token };
        const struct client_call call = {
            .method = "POST",
            .url = client_url(c, c->storage,
                              token.len ? "/storage/v1/b/{}/o/{}/rewriteTo/b/{}/o/{}"
                                          "?rewriteToken={}"
                                        : "/storage/v1/b/{}/o/{}/rewriteTo/b/{}/o/{}",
                              names),
        };
        yyjson_val *v = client_json(c, &call, &c->arena, NULL, e);
        if (!v)
            return -1;
        token = json_str(json_get(v, "rewriteToken"));
        if (yyjson_get_bool(json_get(v, "done")) || token.len == 0)
            return 0;
    }
    return error_set(e, ERROR_INTERNAL, "the service never ends the copy");
}

int remote_make_bucket(struct client *c, struct str bucket, struct error *e)
{
    const struct str names[] = { str_of(c->project) };
    struct buf body = BUF_INIT(BODY_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&body);
    struct client_call call = {
        .method = "POST",
        .url = client_url(c, c->storage, "/storage/v1/b?project={}", names),
    };

    json_object(&w, NULL);
    json_add_text(&w, "name", bucket);
    json_end(&w);
    call.body = buf_str(&body);
    yyjson_val *v = client_json(c, &call, &c->arena, NULL, e);
    buf_release(&body);
    return v ? 0 : -1;
}

int remote_want_bucket(struct client *c, struct str bucket, struct error *e)
{
    struct error absent = { 0 };
    const struct client_call call = {
        .method = "GET",
        .url = client_url(c, c->storage, "/storage/v1/b/{}", &bucket),
    };

    if (client_json(c, &call, &c->arena, NULL, &absent))
        return 0;
    if (absent.code != ERROR_NOT_FOUND)
        return error_set(e, absent.code, "%s", absent.msg);
    if (c->google)
        return error_set(e, ERROR_NOT_FOUND,
                         "there is no bucket %.*s; `tranche mb gs://NAME` makes one, and --bucket "
                         "chooses another",
                         STR_ARG(bucket));
    if (remote_make_bucket(c, bucket, &absent) < 0 && absent.code != ERROR_ALREADY_EXISTS)
        return error_set(e, absent.code, "%s", absent.msg);
    return 0;
}
