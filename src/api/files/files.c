/* files.c -- the Files API: its routes, and all calls but uploads (upload.c). */
#include "api/files/files.h"

#include <string.h>

#include "api/media.h"
#include "api/test_mode.h"
#include "format/gs.h"

#define V "(v1|v1beta|v1alpha)"
#define PAGE_DEFAULT 10
#define PAGE_MAX 100
#define REGISTER_MAX 100
#define GRPC_INTERNAL 13

/* Clients recognise a file's link by "https://" and take only the name from it; the server's address is
 * in their settings. So the link says https even where we serve http. */
static void add_link(struct call *c, struct json_writer *w, const char *key, const struct file *f,
                     const char *verb)
{
    struct str base = call_base_url(c);
    size_t scheme = str_find(base, STR("://"));
    struct str host = scheme == SIZE_MAX ? base : str_sub(base, scheme + 3, base.len);

    json_addf(w, key, "https://%.*s/v1beta/files/%s%s", STR_ARG(host), f->id, verb);
}

/* Google's service writes base64 of the digest in hexadecimal digits, so do we. */
static void add_sha256(struct json_writer *w, const struct blob *b)
{
    char hex[2 * sizeof b->sha256 + 1];

    str_hex(b->sha256, sizeof b->sha256, hex);
    call_add_base64(w, "sha256Hash", hex, sizeof hex - 1);
}

/* Its bytes were checked when they came, so a file is usable at once, unless a test says otherwise. */
static void add_state(struct call *c, const struct file *f, struct json_writer *w)
{
    enum script_fate fate =
        c->api->test_mode ? test_mode_file(c->api->test_mode, f->id) : FATE_NONE;

    json_add_c(w, "state",
               fate == FATE_FAILED    ? "FAILED"
               : fate == FATE_PENDING ? "PROCESSING"
                                      : "ACTIVE");
    if (fate != FATE_FAILED)
        return;
    json_object(w, "error");
    json_add_int(w, "code", GRPC_INTERNAL);
    json_add_c(w, "message", "This failure is scripted.");
    json_end(w);
}

void files_write(struct call *c, const struct file *f, struct json_writer *w)
{
    bool generated = f->origin == FILE_GENERATED;

    json_object(w, NULL);
    json_addf(w, "name", "files/%s", f->id);
    if (f->display_name.len)
        json_add_text(w, "displayName", f->display_name);
    json_add_text(w, "mimeType", f->mime);
    call_add_int64(w, "sizeBytes", (int64_t)f->blob.bytes);
    call_add_time(w, "createTime", f->create_us);
    call_add_time(w, "updateTime", f->update_us);
    call_add_time(w, "expirationTime", f->expire_us);
    if (f->blob.has_sha256)
        add_sha256(w, &f->blob);
    add_link(c, w, "uri", f, "");
    if (generated)
        add_link(c, w, "downloadUri", f, ":download?alt=media");
    add_state(c, f, w);
    json_add_c(w, "source", generated ? "GENERATED" : "UPLOADED");
    json_end(w);
}

static bool find(struct call *c, struct file *f)
{
    struct error e = { 0 };

    if (file_get(c->api->store, c->arena, call_scope(c), c->param[0], f, &e) == 0)
        return true;
    call_fail(c, &e);
    return false;
}

static void get_file(struct call *c)
{
    struct buf out = BUF_INIT(FILES_REPLY_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&out);
    struct file f;

    if (!find(c, &f))
        return;
    files_write(c, &f, &w);
    call_reply(c, &out);
}

/* next: the token of the next page, or NULL. */
static void reply_list(struct call *c, const struct file *item, uint32_t count, const char *next)
{
    struct buf out = BUF_INIT(FILES_REPLY_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&out);

    json_object(&w, NULL);
    json_array(&w, "files");
    for (uint32_t i = 0; i < count; i++)
        files_write(c, &item[i], &w);
    json_end(&w);
    if (next)
        json_add_c(&w, "nextPageToken", next);
    json_end(&w);
    call_reply(c, &out);
}

static void list_files(struct call *c)
{
    struct error e = { 0 };
    struct file_list list;
    struct str after = { 0 };
    uint64_t most;

    (void)http_query(c->http, "pageToken", &after);
    if (call_number(c, "pageSize", PAGE_DEFAULT, PAGE_MAX, &most, &e) < 0 ||
        file_query(c->api->store, c->arena,
                   &(struct file_query){
                       .project = call_scope(c), .after = after, .most = (uint32_t)most },
                   &list, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    bool more = list.more && list.count > 0;
    reply_list(c, list.item, list.count, more ? list.item[list.count - 1].id : NULL);
}

static void delete_file(struct call *c)
{
    struct error e = { 0 };

    if (file_delete(c->api->store, call_scope(c), c->param[0], &e) < 0)
        call_fail(c, &e);
    else
        call_reply_c(c, "{}");
}

static void download_file(struct call *c)
{
    struct error e = { 0 };
    struct media_part part;
    struct file f;

    if (!find(c, &f))
        return;
    if (media_open(c, &f.blob, &part, &e) < 0)
        call_fail(c, &e);
    else
        media_reply(c, arena_copy(c->arena, f.mime.p, f.mime.len), &part);
}

/* ---- Registered files: they share the bytes of objects of this store ---- */

static struct str last_step(struct str name)
{
    size_t at = name.len;

    while (at > 0 && name.p[at - 1] != '/')
        at--;
    return str_sub(name, at, FILES_DISPLAY_BYTES_MAX);
}

static int find_source(struct call *c, struct str uri, struct file_new *n, struct error *e)
{
    struct store *s = c->api->store;
    struct str bucket, name;
    struct object o;

    if (!gs_split(uri, &bucket, &name) || name.len == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "\"%.*s\" is not the URI of an object (gs://bucket/object).",
                         STR_ARG(call_quote(uri)));
    if (object_get(s, c->arena,
                   &(struct object_ref){ .project = call_scope(c), .bucket = bucket, .name = name },
                   &o, e) < 0)
        return -1;
    *n = (struct file_new){
        .project = call_own_project(c),
        .origin = FILE_UPLOADED,
        .display_name = last_step(name),
        .mime = o.content_type,
        .blob = o.blob,
        .expire_us = files_expiry(c),
    };
    return 0;
}

static void register_files(struct call *c)
{
    struct error e = { 0 };
    yyjson_val *body = call_json(c, &e), *uris = json_get(body, "uris"), *uri;
    size_t count = yyjson_is_str(uris) ? 1 : yyjson_arr_size(uris);
    struct file *made = arena_array(c->arena, REGISTER_MAX, sizeof *made);
    struct file_new *new = arena_array(c->arena, REGISTER_MAX, sizeof *new);
    int rc = body ? 0 : -1;

    if (rc == 0 && (count == 0 || count > REGISTER_MAX))
        rc = error_set(&e, ERROR_INVALID_ARGUMENT, "uris must be 1 to %d URIs of objects.",
                       REGISTER_MAX);
    for (size_t i = 0; i < count && rc == 0; i++) {
        uri = yyjson_is_str(uris) ? uris : yyjson_arr_get(uris, i);
        rc = find_source(c, json_str(uri), &new[i], &e);
    }
    if (rc < 0 || file_put_all(c->api->store, c->arena, new, made, (uint32_t)count, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    reply_list(c, made, (uint32_t)count, NULL);
}

// clang-format off
const struct route api_files_routes[] = {
    { HTTP_POST, "/upload/" V "/files", ROLE_SUBMITTER, ROUTE_WAITS, files_upload_start, 0, files_upload_start_begin },
    /* No key: as with Google's service, the upload's id is the right to go on with it. */
    { HTTP_POST, "/resumable/upload/" V "/files", ROLE_VIEWER, ROUTE_PUBLIC | ROUTE_WAITS, files_upload_more, 0, files_upload_begin },
    { HTTP_PUT, "/resumable/upload/" V "/files", ROLE_VIEWER, ROUTE_PUBLIC | ROUTE_WAITS, files_upload_more, 0, files_upload_begin },

    { HTTP_GET, "/" V "/files", ROLE_VIEWER, 0, list_files, 0, NULL },
    { HTTP_POST, "/" V "/files:register", ROLE_SUBMITTER, ROUTE_WAITS, register_files, FILES_META_BYTES_MAX, NULL },
    { HTTP_GET, "/" V "/files/{}:download", ROLE_VIEWER, 0, download_file, 0, NULL },
    { HTTP_GET, "/download/" V "/files/{}:download", ROLE_VIEWER, 0, download_file, 0, NULL },
    { HTTP_GET, "/" V "/files/{}", ROLE_VIEWER, 0, get_file, 0, NULL },
    { HTTP_DELETE, "/" V "/files/{}", ROLE_SUBMITTER, ROUTE_WAITS, delete_file, 0, NULL },
    { 0 },
};
// clang-format on
