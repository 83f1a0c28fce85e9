/* files.c -- the Files API: its routes, and files as they stand. Uploads: api_files_upload.c. */
#include "api/files/files.h"

#include <string.h>

#include "api/media.h"
#include "base/base64.h"

#define V "(v1|v1beta|v1alpha)"
#define PAGE_DEFAULT 10
#define PAGE_MAX 100
#define REGISTER_MAX 100

static void add_text(struct buf *out, const char *name, struct str s)
{
    buf_addf(out, ",\"%s\":", name);
    buf_add_json(out, s);
}

static void add_time(struct buf *out, const char *name, int64_t us)
{
    char text[CLOCK_TEXT_BYTES];

    clock_format_rfc3339(us, text);
    buf_addf(out, ",\"%s\":\"%s\"", name, text);
}

/* Clients recognise a file's link by "https://" and take its name out of it; where they then go is
 * their own setting. So it says https whatever we serve. */
static void add_link(struct call *c, struct buf *out, const char *name, const struct file *f,
                     const char *verb)
{
    struct str base = call_base_url(c);
    size_t scheme = str_find(base, STR("://"));
    struct str host = scheme == SIZE_MAX ? base : str_sub(base, scheme + 3, base.len);

    buf_addf(out, ",\"%s\":\"https://%.*s/v1beta/files/%s%s\"", name, STR_ARG(host), f->id, verb);
}

/* As the real service has it: base64 of the digest in hexadecimal digits. */
static void add_sha256(struct buf *out, const struct blob *b)
{
    char hex[2 * sizeof b->sha256 + 1];

    str_hex(b->sha256, sizeof b->sha256, hex);
    buf_add_c(out, ",\"sha256Hash\":\"");
    base64_add(hex, sizeof hex - 1, out);
    buf_add_char(out, '"');
}

void files_write(struct call *c, const struct file *f, struct buf *out)
{
    buf_addf(out, "{\"name\":\"files/%s\"", f->id);
    if (f->display_name.len)
        add_text(out, "displayName", f->display_name);
    add_text(out, "mimeType", f->mime);
    buf_addf(out, ",\"sizeBytes\":\"%llu\"", (unsigned long long)f->blob.bytes);
    add_time(out, "createTime", f->create_us);
    add_time(out, "updateTime", f->update_us);
    add_time(out, "expirationTime", f->expire_us);
    if (f->blob.has_sha256)
        add_sha256(out, &f->blob);
    add_link(c, out, "uri", f, "");
    if (f->origin == FILE_GENERATED)
        add_link(c, out, "downloadUri", f, ":download?alt=media");
    buf_addf(out, ",\"state\":\"ACTIVE\",\"source\":\"%s\"}",
             f->origin == FILE_GENERATED ? "GENERATED" : "UPLOADED");
}

static bool find(struct call *c, struct file *f)
{
    struct error e = { 0 };

    if (file_get(c->api->store, c->arena, call_scope(c), c->param[0], f, &e) == 0)
        return true;
    call_fail(c, &e);
    return false;
}

static void file_show(struct call *c)
{
    struct buf out = BUF_INIT(FILES_REPLY_BYTES_MAX);
    struct file f;

    if (!find(c, &f))
        return;
    files_write(c, &f, &out);
    call_reply(c, &out);
}

static void write_list(struct call *c, const struct file *item, uint32_t count, struct buf *out)
{
    buf_add_c(out, "{\"files\":[");
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            buf_add_char(out, ',');
        files_write(c, &item[i], out);
    }
    buf_add_char(out, ']');
}

static void file_list_(struct call *c)
{
    struct error e = { 0 };
    struct file_list list;
    struct str after = { 0 };
    struct buf out = BUF_INIT(FILES_REPLY_BYTES_MAX);
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
    write_list(c, list.item, list.count, &out);
    if (list.more && list.count > 0)
        buf_addf(&out, ",\"nextPageToken\":\"%s\"", list.item[list.count - 1].id);
    buf_add_char(&out, '}');
    call_reply(c, &out);
}

static void file_remove(struct call *c)
{
    struct error e = { 0 };

    if (file_delete(c->api->store, call_scope(c), c->param[0], &e) < 0)
        call_fail(c, &e);
    else
        call_reply_c(c, "{}");
}

static void file_download(struct call *c)
{
    struct error e = { 0 };
    struct file f;

    if (!find(c, &f))
        return;
    int fd = blob_open(c->api->store, f.blob.id, &e);
    if (fd < 0)
        call_fail(c, &e);
    else
        media_reply(c, &f.blob, arena_copy(c->arena, f.mime.p, f.mime.len), fd);
}

/* ---- Registered ones: objects of this store, whose bytes they share ---- */

static bool uri_cut(struct str uri, struct str *bucket, struct str *name)
{
    if (!str_starts(uri, STR("gs://")))
        return false;
    uri = str_sub(uri, 5, uri.len);
    size_t slash = str_find(uri, STR("/"));
    *bucket = str_sub(uri, 0, slash);
    *name = slash == SIZE_MAX ? (struct str){ 0 } : str_sub(uri, slash + 1, uri.len);
    return bucket->len > 0 && name->len > 0;
}

static struct str last_step(struct str name)
{
    size_t at = name.len;

    while (at > 0 && name.p[at - 1] != '/')
        at--;
    return str_sub(name, at, FILES_DISPLAY_BYTES_MAX);
}

static int register_one(struct call *c, struct str uri, struct file *out, struct error *e)
{
    struct store *s = c->api->store;
    struct str bucket, name;
    struct object o;
    struct file_new n = { .origin = FILE_UPLOADED };

    if (!uri_cut(uri, &bucket, &name))
        return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid URI \"%.*s\": gs://bucket/object",
                         STR_ARG(str_sub(uri, 0, 128)));
    if (!call_project(c, (struct str){ 0 }, &n.project))
        return error_set(e, ERROR_PERMISSION_DENIED, "The key names no project.");
    if (object_get(s, c->arena,
                   &(struct object_ref){ .project = call_scope(c), .bucket = bucket, .name = name },
                   &o, e) < 0)
        return -1;
    n.display_name = last_step(name);
    n.mime = o.content_type;
    n.blob = o.blob;
    n.expire_us = files_expiry(c);
    return file_put(s, c->arena, &n, out, e);
}

static void files_register(struct call *c)
{
    struct error e = { 0 };
    struct buf out = BUF_INIT(FILES_REPLY_BYTES_MAX);
    yyjson_val *body = call_json(c, &e), *uris = json_get(body, "uris"), *uri;
    size_t count = yyjson_is_str(uris) ? 1 : yyjson_arr_size(uris);
    struct file *made = arena_array(c->arena, REGISTER_MAX, sizeof *made);
    int rc = body ? 0 : -1;

    if (rc == 0 && (count == 0 || count > REGISTER_MAX))
        rc = error_set(&e, ERROR_INVALID_ARGUMENT, "uris must have 1 to %d of them.", REGISTER_MAX);
    for (size_t i = 0; i < count && rc == 0; i++) {
        uri = yyjson_is_str(uris) ? uris : yyjson_arr_get(uris, i);
        rc = register_one(c, json_str(uri), &made[i], &e);
    }
    if (rc < 0) {
        call_fail(c, &e);
        return;
    }
    write_list(c, made, (uint32_t)count, &out);
    buf_add_char(&out, '}');
    call_reply(c, &out);
}

// clang-format off
const struct route api_files_routes[] = {
    { HTTP_POST, "/upload/" V "/files", ROLE_SUBMITTER, 0, files_upload_start, FILES_META_BYTES_MAX, NULL },
    /* Whoever knows an upload's id may go on with it, as at Google's: no key. */
    { HTTP_POST, "/resumable/upload/" V "/files", ROLE_VIEWER, ROUTE_PUBLIC, files_upload_more, 0, files_upload_begin },
    { HTTP_PUT, "/resumable/upload/" V "/files", ROLE_VIEWER, ROUTE_PUBLIC, files_upload_more, 0, files_upload_begin },

    { HTTP_GET, "/" V "/files", ROLE_VIEWER, 0, file_list_, 0, NULL },
    { HTTP_POST, "/" V "/files:register", ROLE_SUBMITTER, 0, files_register, FILES_META_BYTES_MAX, NULL },
    { HTTP_GET, "/" V "/files/{}:download", ROLE_VIEWER, 0, file_download, 0, NULL },
    { HTTP_GET, "/download/" V "/files/{}:download", ROLE_VIEWER, 0, file_download, 0, NULL },
    { HTTP_GET, "/" V "/files/{}", ROLE_VIEWER, 0, file_show, 0, NULL },
    { HTTP_DELETE, "/" V "/files/{}", ROLE_SUBMITTER, 0, file_remove, 0, NULL },
    { 0 },
};
// clang-format on
