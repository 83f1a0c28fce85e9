/* objects.c -- objects: list, get, download, patch, update, delete. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/storage/storage.h"
#include "base/base64.h"
#include "base/gunzip.h"
#include "base/log.h"
#include "base/mem.h"

#define LIST_MAX 1000
#define HASH_HEADER_BYTES 128
/* Attempts of a read or change that another writer overtakes. */
#define TRIES 5

/* ---- Lists ---- */

static struct str query_or_empty(struct call *c, const char *name)
{
    struct str s = { 0 };

    (void)http_query(c->http, name, &s);
    return s;
}

/* Some clients write "True". */
static bool query_is_true(struct call *c, const char *name)
{
    struct str s = query_or_empty(c, name);

    return str_eq_c(s, "true") || str_eq_c(s, "True");
}

static void write_list(struct call *c, const struct object_list *list, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    json_add_c(&w, "kind", "storage#objects");
    json_array(&w, "items");
    for (uint32_t i = 0; i < list->count; i++)
        storage_write_object(c, &list->item[i], &w);
    json_end(&w);
    if (list->prefix_count > 0) {
        json_array(&w, "prefixes");
        for (uint32_t i = 0; i < list->prefix_count; i++)
            json_add_text(&w, NULL, list->prefix[i]);
        json_end(&w);
    }
    if (list->last.len > 0)
        json_add_text(&w, "nextPageToken", list->last);
    json_end(&w);
}

void storage_object_list(struct call *c)
{
    struct error e = { 0 };
    struct object_list list;
    struct buf out = BUF_INIT(STORAGE_REPLY_BYTES_MAX);
    uint64_t most;
    struct object_query q = {
        .project = call_scope(c),
        .bucket = c->param[0],
        .prefix = query_or_empty(c, "prefix"),
        .delimiter = query_or_empty(c, "delimiter"),
        .start = query_or_empty(c, "startOffset"),
        .end = query_or_empty(c, "endOffset"),
        .glob = query_or_empty(c, "matchGlob"),
        .after = query_or_empty(c, "pageToken"),
        .trailing_delimiter = query_is_true(c, "includeTrailingDelimiter"),
    };

    if (call_number(c, "maxResults", LIST_MAX, LIST_MAX, &most, &e) < 0) {
        storage_fail(c, &e);
        return;
    }
    q.most = (uint32_t)most;
    if (object_query(c->api->store, c->arena, &q, &list, &e) < 0) {
        storage_fail(c, &e);
        return;
    }
    write_list(c, &list, &out);
    call_reply(c, &out);
}

/* ---- Get ---- */

/* Finds the object, if the call's conditions allow the read. False: the call is answered. */
static bool find(struct call *c, struct object *o)
{
    struct error e = { 0 };
    struct object_conditions when;
    struct object_ref which;

    if (storage_conditions(c, false, &when, &e) < 0 || storage_ref(c, &which, &e) < 0 ||
        object_get(c->api->store, c->arena, &which, o, &e) < 0) {
        storage_fail(c, &e);
        return false;
    }
    return storage_readable(c, &when, o);
}

static void set_hash(struct call *c, const struct object *o)
{
    unsigned char crc32c[MEDIA_CRC32C_BYTES];
    struct buf text = BUF_INIT(HASH_HEADER_BYTES);

    buf_add_c(&text, "crc32c=");
    media_crc32c_bytes(o->blob.crc32c, crc32c);
    base64_add(crc32c, sizeof crc32c, &text);
    if (o->blob.has_md5) {
        buf_add_c(&text, ",md5=");
        base64_add(o->blob.md5, sizeof o->blob.md5, &text);
    }
    http_set_header(c->http, "X-Goog-Hash", buf_str(&text));
    buf_release(&text);
}

static void set_number(struct call *c, const char *name, uint64_t n)
{
    char text[24];

    (void)snprintf(text, sizeof text, "%" PRIu64, n);
    http_set_header(c->http, name, str_of(text));
}

/* content: the bytes are sent without the encoding that they are stored in. */
static void set_headers(struct call *c, const struct object *o, bool content)
{
    static const char *const kept[][2] = {
        { "Cache-Control", "cacheControl" },
        { "Content-Disposition", "contentDisposition" },
        { "Content-Encoding", "contentEncoding" },
        { "Content-Language", "contentLanguage" },
    };
    char etag[STORAGE_ETAG_BYTES + 2];

    set_hash(c, o);
    set_number(c, "X-Goog-Generation", (uint64_t)o->generation);
    set_number(c, "X-Goog-Metageneration", (uint64_t)o->metageneration);
    set_number(c, "X-Goog-Stored-Content-Length", o->blob.bytes);
    struct str encoding = storage_meta_text(c, o->meta, "contentEncoding");
    http_set_header(c->http, "X-Goog-Stored-Content-Encoding",
                    encoding.len ? encoding : STR("identity"));
    http_set_header(c->http, "X-Goog-Storage-Class", STR("STANDARD"));
    storage_etag(o, etag + 1);
    etag[0] = '"';
    struct buf quoted = BUF_INIT(sizeof etag);
    buf_addf(&quoted, "%s\"", etag);
    http_set_header(c->http, "ETag", buf_str(&quoted));
    buf_release(&quoted);
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        struct str value = storage_meta_text(c, o->meta, kept[i][1]);
        if (value.len && !(content && strcmp(kept[i][1], "contentEncoding") == 0))
            http_set_header(c->http, kept[i][0], value);
    }
    if (object_is_gzip(o))
        http_set_header(c->http, "Vary", STR("Accept-Encoding"));
    if (content)
        http_set_header(c->http, "Warning", STR("214 UploadServer gunzipped"));
}

/* ---- Objects that are stored as gzip ----
 * A client that takes gzip gets the bytes as they are stored; any other one gets the content, whole,
 * whatever range it asked for (Cloud Storage's "decompressive transcoding"). */

static bool sends_content(struct call *c, const struct object *o)
{
    struct str cache = storage_meta_text(c, o->meta, "cacheControl");

    return object_is_gzip(o) && !http_takes_gzip(c->http) &&
           str_find(cache, STR("no-transform")) == SIZE_MAX;
}

static int64_t pull_content(void *arg, char *p, size_t cap)
{
    struct error e = { 0 };
    int64_t n = gunzip_read(arg, p, cap, "an object", &e);

    if (n < 0)
        log_warn("a download is cut: %s", e.msg);
    return n;
}

static void close_content(void *arg)
{
    gunzip_close(arg);
}

static void reply_content(struct call *c, const struct object *o, const char *type, int fd)
{
    set_headers(c, o, true);
    http_reply_source(c->http, 200, type,
                      &(struct http_source){
                          .pull = pull_content, .close = close_content, .arg = gunzip_open(fd) });
}

/* A writer may replace the bytes between reading the row and opening them; then there is a newer row. */
static void reply_media(struct call *c)
{
    struct error e = { 0 };
    struct object o;
    struct media_part part;
    bool content = false;
    int fd = -1, rc = -1;

    for (int i = 0; i < TRIES && rc < 0; i++) {
        if (!find(c, &o))
            return;
        content = sends_content(c, &o);
        if (content)
            rc = fd = blob_open(c->api->store, o.blob.id, &e);
        else
            rc = media_open(c, &o.blob, &part, &e);
        if (rc < 0 && e.code != ERROR_NOT_FOUND)
            break;
    }
    const char *type = rc < 0 ? NULL : arena_copy(c->arena, o.content_type.p, o.content_type.len);
    if (rc < 0) {
        storage_fail(c, &e);
    } else if (content) {
        reply_content(c, &o, type, fd);
    } else {
        set_headers(c, &o, false);
        media_reply(c, type, &part);
    }
}

void storage_object_get(struct call *c)
{
    struct object o;

    if (str_eq_c(query_or_empty(c, "alt"), "media"))
        reply_media(c);
    else if (find(c, &o))
        storage_reply_object(c, &o);
}

void storage_object_download(struct call *c)
{
    reply_media(c);
}

/* ---- Changes ---- */

/* Reads, merges, and writes unless another call changed the object meanwhile. 1: one did. */
static int change_once(struct call *c, yyjson_val *body, bool replaces, struct object *out,
                       struct error *e)
{
    struct store *s = c->api->store;
    struct object_conditions when;
    struct storage_settings given;
    struct object o;
    struct object_ref which;

    if (storage_conditions(c, false, &when, e) < 0 || storage_ref(c, &which, e) < 0)
        return -1;
    which.when = &when;
    if (object_get(s, c->arena, &which, &o, e) < 0 ||
        storage_settings_read(c, body, replaces ? (struct str){ 0 } : o.meta, &given, e) < 0)
        return -1;
    when.generation_match = o.generation;
    when.metageneration_match = o.metageneration;
    which.generation = 0;
    const struct object_patch set = {
        .content_type = given.content_type.len ? &given.content_type : NULL,
        .meta = given.meta,
    };
    if (object_patch(s, c->arena, &which, &set, out, e) == 0)
        return 0;
    return e->code == ERROR_ABORTED ? 1 : -1;
}

static void change(struct call *c, bool replaces)
{
    struct error e = { 0 };
    struct object o;
    yyjson_val *body = call_json(c, &e);
    int rc = body ? 1 : -1;

    for (int i = 0; i < TRIES && rc == 1; i++)
        rc = change_once(c, body, replaces, &o, &e);
    if (rc == 0)
        storage_reply_object(c, &o);
    else
        storage_fail(c, &e);
}

void storage_object_patch(struct call *c)
{
    change(c, false);
}

void storage_object_update(struct call *c)
{
    change(c, true);
}

void storage_object_delete(struct call *c)
{
    struct error e = { 0 };
    struct object_conditions when;
    struct object_ref which;

    int rc = storage_conditions(c, false, &when, &e);
    if (rc == 0)
        rc = storage_ref(c, &which, &e);
    which.when = &when;
    if (rc < 0 || object_delete(c->api->store, &which, &e) < 0)
        storage_fail(c, &e);
    else
        http_reply(c->http, 204, NULL, NULL);
}
