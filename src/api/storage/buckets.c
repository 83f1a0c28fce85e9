/* buckets.c -- the Cloud Storage JSON API: its routes, and buckets. */
#include "api/storage/storage.h"

#include <stdio.h>

#define B "/storage/v1/b"
#define O "/storage/v1/b/{}/o"
#define LIST_MAX 1000

/* Clients that talk to an emulator may send no project, or "<none>". */
static bool project_of(struct call *c, const char **out)
{
    struct str text = { 0 };

    (void)http_query(c->http, "project", &text);
    if (c->who.all && !auth_project_valid(text))
        text = (struct str){ 0 };
    if (call_project(c, text, out))
        return true;
    call_fail_as(c, 403, NULL, "The key has no access to that project.");
    return false;
}

static void reply_bucket(struct call *c, struct str name)
{
    struct error e = { 0 };
    struct bucket b;
    struct buf out = BUF_INIT(STORAGE_REPLY_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&out);

    if (bucket_get(c->api->store, c->arena, call_scope(c), name, &b, &e) < 0) {
        storage_fail(c, &e);
        return;
    }
    storage_write_bucket(c, &b, &w);
    call_reply(c, &out);
}

static void insert_bucket(struct call *c)
{
    struct error e = { 0 };
    const char *project;
    struct buf meta = BUF_INIT(STORAGE_META_BYTES_MAX);

    if (!project_of(c, &project))
        return;
    yyjson_val *body = call_json(c, &e);
    if (!body || storage_bucket_meta(c, body, (struct str){ 0 }, &meta, &e) < 0) {
        buf_release(&meta);
        storage_fail(c, &e);
        return;
    }
    struct bucket b = {
        .name = json_str(json_get(body, "name")),
        .project = str_of(project),
        .meta = storage_keep(c, &meta),
    };
    if (bucket_create(c->api->store, project, &b, &e) < 0)
        storage_fail(c, &e);
    else
        reply_bucket(c, b.name);
}

static void write_buckets(struct call *c, const struct bucket_list *list, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    json_add_c(&w, "kind", "storage#buckets");
    json_array(&w, "items");
    for (uint32_t i = 0; i < list->count; i++)
        storage_write_bucket(c, &list->item[i], &w);
    json_end(&w);
    if (list->more && list->count > 0)
        json_add_text(&w, "nextPageToken", list->item[list->count - 1].name);
    json_end(&w);
}

static void list_buckets(struct call *c)
{
    struct error e = { 0 };
    struct bucket_list list = { 0 };
    struct str prefix = { 0 }, after = { 0 }, named = { 0 };
    struct buf out = BUF_INIT(STORAGE_REPLY_BYTES_MAX);
    const char *project;
    uint64_t most;

    if (!project_of(c, &project))
        return;
    if (c->who.all && !(http_query(c->http, "project", &named) && auth_project_valid(named)))
        project = NULL; /* every project */
    (void)http_query(c->http, "prefix", &prefix);
    (void)http_query(c->http, "pageToken", &after);
    if (call_number(c, "maxResults", LIST_MAX, LIST_MAX, &most, &e) < 0 ||
        bucket_query(
            c->api->store, c->arena,
            &(struct bucket_query){
                .project = project, .prefix = prefix, .after = after, .most = (uint32_t)most },
            &list, &e) < 0) {
        storage_fail(c, &e);
        return;
    }
    write_buckets(c, &list, &out);
    call_reply(c, &out);
}

static void get_bucket(struct call *c)
{
    reply_bucket(c, c->param[0]);
}

static void patch_bucket(struct call *c)
{
    struct error e = { 0 };
    struct bucket b;
    struct buf meta = BUF_INIT(STORAGE_META_BYTES_MAX);
    yyjson_val *body = call_json(c, &e);

    if (!body || bucket_get(c->api->store, c->arena, call_scope(c), c->param[0], &b, &e) < 0 ||
        storage_bucket_meta(c, body, b.meta, &meta, &e) < 0) {
        buf_release(&meta);
        storage_fail(c, &e);
        return;
    }
    if (bucket_patch(c->api->store, call_scope(c), b.name, storage_keep(c, &meta), &e) < 0)
        storage_fail(c, &e);
    else
        reply_bucket(c, b.name);
}

static void delete_bucket(struct call *c)
{
    struct error e = { 0 };

    if (bucket_delete(c->api->store, call_scope(c), c->param[0], &e) < 0)
        storage_fail(c, &e);
    else
        http_reply(c->http, 204, NULL, NULL);
}

// clang-format off
const struct route api_storage_routes[] = {
    { HTTP_POST, B, ROLE_SUBMITTER, ROUTE_STORAGE | ROUTE_WAITS, insert_bucket, STORAGE_META_BYTES_MAX, NULL },
    { HTTP_GET, B, ROLE_VIEWER, ROUTE_STORAGE, list_buckets, 0, NULL },
    { HTTP_GET, B "/{}", ROLE_VIEWER, ROUTE_STORAGE, get_bucket, 0, NULL },
    { HTTP_PATCH, B "/{}", ROLE_SUBMITTER, ROUTE_STORAGE | ROUTE_WAITS, patch_bucket, STORAGE_META_BYTES_MAX, NULL },
    { HTTP_DELETE, B "/{}", ROLE_SUBMITTER, ROUTE_STORAGE | ROUTE_WAITS, delete_bucket, 0, NULL },

    { HTTP_GET, O, ROLE_VIEWER, ROUTE_STORAGE, storage_object_list, 0, NULL },
    { HTTP_POST, O "/{}/compose", ROLE_SUBMITTER, ROUTE_STORAGE | ROUTE_WAITS, storage_object_compose, STORAGE_META_BYTES_MAX, NULL },
    { HTTP_POST, O "/{}/copyTo/b/{}/o/{**}", ROLE_SUBMITTER, ROUTE_STORAGE | ROUTE_WAITS, storage_object_copy, STORAGE_META_BYTES_MAX, NULL },
    { HTTP_POST, O "/{}/rewriteTo/b/{}/o/{**}", ROLE_SUBMITTER, ROUTE_STORAGE | ROUTE_WAITS, storage_object_rewrite, STORAGE_META_BYTES_MAX, NULL },
    { HTTP_POST, O "/{}/moveTo/o/{**}", ROLE_SUBMITTER, ROUTE_STORAGE | ROUTE_WAITS, storage_object_move, STORAGE_META_BYTES_MAX, NULL },
    { HTTP_GET, O "/{**}", ROLE_VIEWER, ROUTE_STORAGE, storage_object_get, 0, NULL },
    { HTTP_PATCH, O "/{**}", ROLE_SUBMITTER, ROUTE_STORAGE | ROUTE_WAITS, storage_object_patch, STORAGE_META_BYTES_MAX, NULL },
    { HTTP_PUT, O "/{**}", ROLE_SUBMITTER, ROUTE_STORAGE | ROUTE_WAITS, storage_object_update, STORAGE_META_BYTES_MAX, NULL },
    { HTTP_DELETE, O "/{**}", ROLE_SUBMITTER, ROUTE_STORAGE | ROUTE_WAITS, storage_object_delete, 0, NULL },
    { HTTP_GET, "/download" O "/{**}", ROLE_VIEWER, ROUTE_STORAGE, storage_object_download, 0, NULL },

    { HTTP_POST, "/upload" O, ROLE_SUBMITTER, ROUTE_STORAGE | ROUTE_WAITS, storage_upload, 0, storage_upload_begin },
    { HTTP_POST, "/resumable/upload" O, ROLE_SUBMITTER, ROUTE_STORAGE | ROUTE_WAITS, storage_upload, 0, storage_upload_begin },
    /* No key: as with Google's service, the upload's id is the right to go on with it. */
    { HTTP_PUT, "/upload" O, ROLE_VIEWER, ROUTE_STORAGE | ROUTE_WAITS | ROUTE_PUBLIC, storage_resume, 0, storage_resume_begin },
    { HTTP_PUT, "/resumable/upload" O, ROLE_VIEWER, ROUTE_STORAGE | ROUTE_WAITS | ROUTE_PUBLIC, storage_resume, 0, storage_resume_begin },
    { HTTP_DELETE, "/upload" O, ROLE_VIEWER, ROUTE_STORAGE | ROUTE_WAITS | ROUTE_PUBLIC, storage_upload_cancel, 0, NULL },
    { HTTP_DELETE, "/resumable/upload" O, ROLE_VIEWER, ROUTE_STORAGE | ROUTE_WAITS | ROUTE_PUBLIC, storage_upload_cancel, 0, NULL },
    { 0 },
};
// clang-format on
