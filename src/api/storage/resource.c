/* resource.c -- objects and buckets as JSON, conditions, and errors in this API's words. */
#include "api/storage/storage.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DOWNLOAD "/download"
/* Percent-encoding makes three bytes of one. */
#define LINK_BYTES_MAX ((size_t)3 * (BUCKET_NAME_MAX + OBJECT_NAME_MAX) + 128)
#define NOT_MET "At least one of the pre-conditions you specified did not hold."

void storage_fail(struct call *c, const struct error *e)
{
    if (e->code == ERROR_ABORTED)
        call_fail_as(c, 412, NULL, NOT_MET);
    else if (e->code == ERROR_FAILED_PRECONDITION)
        call_fail_as(c, 409, NULL, e->msg);
    else
        call_fail(c, e);
}

yyjson_val *storage_json(struct call *c, struct str text, struct error *e)
{
    struct buf path = BUF_INIT(ERROR_MSG_BYTES);
    size_t at = 0;
    yyjson_val *root = json_parse(c->arena, text, &at, e);
    int rc = root ? json_check(root, &path, e) : -1;

    buf_release(&path);
    if (rc == 0 && call_nul_check(text, e) < 0)
        return NULL;
    if (rc == 0 && !yyjson_is_obj(root))
        rc = error_set(e, ERROR_INVALID_ARGUMENT, "expected an object at the top");
    if (rc == 0)
        return root;
    (void)error_wrap(e, "Invalid JSON payload received");
    return NULL;
}

/* ---- Conditions ---- */

int storage_number(struct str text, const char *name, int64_t *out, struct error *e)
{
    if (call_int64(text, out))
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid value for %s: \"%.*s\"", name,
                     STR_ARG(str_sub(text, 0, 64)));
}

int storage_number_json(yyjson_val *v, const char *name, int64_t *out, struct error *e)
{
    if (!v || yyjson_is_null(v))
        return 0;
    if (yyjson_is_str(v))
        return storage_number(json_str(v), name, out, e);
    if (!yyjson_is_uint(v) || yyjson_get_uint(v) > INT64_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid value at '%s': not an int64", name);
    *out = (int64_t)yyjson_get_uint(v);
    return 0;
}

static int read_int64(struct call *c, const char *name, int64_t *out, struct error *e)
{
    struct str text;

    return http_query(c->http, name, &text) ? storage_number(text, name, out, e) : 0;
}

int storage_conditions(struct call *c, bool source, struct object_conditions *out, struct error *e)
{
    const struct {
        const char *name, *source_name;
        int64_t *value;
    } asked[] = {
        { "ifGenerationMatch", "ifSourceGenerationMatch", &out->generation_match },
        { "ifGenerationNotMatch", "ifSourceGenerationNotMatch", &out->generation_not_match },
        { "ifMetagenerationMatch", "ifSourceMetagenerationMatch", &out->metageneration_match },
        { "ifMetagenerationNotMatch", "ifSourceMetagenerationNotMatch",
          &out->metageneration_not_match },
    };

    *out = OBJECT_ANY;
    for (size_t i = 0; i < ARRAY_LEN(asked); i++)
        if (read_int64(c, source ? asked[i].source_name : asked[i].name, asked[i].value, e) < 0)
            return -1;
    return 0;
}

int storage_ref(struct call *c, struct object_ref *out, struct error *e)
{
    *out = (struct object_ref){
        .project = call_scope(c),
        .bucket = c->param[0],
        .name = c->param[1],
    };
    return read_int64(c, "generation", &out->generation, e);
}

/* ---- Resources ---- */

/* Changes when the bytes or the metadata change. */
void storage_etag(const struct object *o, char out[STORAGE_ETAG_BYTES])
{
    (void)snprintf(out, STORAGE_ETAG_BYTES, "%" PRId64 "-%" PRId64, o->generation,
                   o->metageneration);
}

/* "*", or one of a list of quoted or bare tags. */
static bool etag_in(struct str list, const struct object *o)
{
    char etag[STORAGE_ETAG_BYTES];

    storage_etag(o, etag);
    return str_eq_c(list, "*") || str_find(list, str_of(etag)) != SIZE_MAX;
}

bool storage_readable(struct call *c, const struct object_conditions *when, const struct object *o)
{
    struct str match = http_header(c->http, "If-Match");
    struct str none = http_header(c->http, "If-None-Match");
    int64_t g = when->generation_match, m = when->metageneration_match;

    if ((g >= 0 && g != o->generation) || (m >= 0 && m != o->metageneration) ||
        (match.len && !etag_in(match, o))) {
        call_fail_as(c, 412, NULL, NOT_MET);
        return false;
    }
    if (when->generation_not_match == o->generation ||
        when->metageneration_not_match == o->metageneration || (none.len && etag_in(none, o))) {
        http_reply(c->http, 304, NULL, NULL);
        return false;
    }
    return true;
}

static void add_link(struct call *c, struct json_writer *w, const char *key, struct str path)
{
    struct str base = call_base_url(c);
    struct buf url = BUF_INIT(base.len + path.len);

    buf_add_str(&url, base);
    buf_add_str(&url, path);
    json_add_text(w, key, buf_str(&url));
    buf_release(&url);
}

/* "/storage/v1/b/BUCKET/o/NAME" as a link to the resource, and one to the bytes. */
static void add_object_links(struct call *c, const struct object *o, struct json_writer *w)
{
    struct buf path = BUF_INIT(LINK_BYTES_MAX);
    const size_t prefix = sizeof DOWNLOAD - 1;

    buf_add_c(&path, DOWNLOAD "/storage/v1/b/");
    http_encode(o->bucket, &path);
    buf_add_c(&path, "/o/");
    http_encode(o->name, &path);
    add_link(c, w, "selfLink", str_sub(buf_str(&path), prefix, path.len));
    buf_addf(&path, "?generation=%" PRId64 "&alt=media", o->generation);
    add_link(c, w, "mediaLink", buf_str(&path));
    buf_release(&path);
}

static void add_id(const struct object *o, struct json_writer *w)
{
    struct buf id = BUF_INIT(BUCKET_NAME_MAX + OBJECT_NAME_MAX + 32);

    buf_add_str(&id, o->bucket);
    buf_add_char(&id, '/');
    buf_add_str(&id, o->name);
    buf_addf(&id, "/%" PRId64, o->generation);
    json_add_text(w, "id", buf_str(&id));
    buf_release(&id);
}

static void add_hashes(const struct object *o, struct json_writer *w)
{
    unsigned char crc32c[MEDIA_CRC32C_BYTES];

    media_crc32c_bytes(o->blob.crc32c, crc32c);
    call_add_base64(w, "crc32c", crc32c, sizeof crc32c);
    if (o->blob.has_md5)
        call_add_base64(w, "md5Hash", o->blob.md5, sizeof o->blob.md5);
}

/* Ends the resource with the members of meta, which is a JSON object of ours (storage_settings_read). */
static void end_with_meta(struct json_writer *w, struct str meta)
{
    if (meta.len > 2) {
        buf_add_char(w->out, ',');
        buf_add_str(w->out, str_sub(meta, 1, meta.len - 2));
    }
    json_end(w);
}

void storage_write_object(struct call *c, const struct object *o, struct json_writer *w)
{
    char etag[STORAGE_ETAG_BYTES];

    storage_etag(o, etag);
    json_object(w, NULL);
    json_add_c(w, "kind", "storage#object");
    add_id(o, w);
    add_object_links(c, o, w);
    json_add_text(w, "name", o->name);
    json_add_text(w, "bucket", o->bucket);
    call_add_int64(w, "generation", o->generation);
    call_add_int64(w, "metageneration", o->metageneration);
    json_add_text(w, "contentType", o->content_type);
    json_add_c(w, "storageClass", "STANDARD");
    call_add_int64(w, "size", (int64_t)o->blob.bytes);
    add_hashes(o, w);
    if (o->component_count > 0)
        json_add_uint(w, "componentCount", o->component_count);
    json_add_c(w, "etag", etag);
    call_add_time(w, "timeCreated", o->create_us);
    call_add_time(w, "updated", o->update_us);
    call_add_time(w, "timeStorageClassUpdated", o->create_us);
    call_add_time(w, "timeFinalized", o->create_us);
    end_with_meta(w, o->meta);
}

static void add_iam(struct json_writer *w)
{
    json_object(w, "iamConfiguration");
    json_object(w, "uniformBucketLevelAccess");
    json_add_bool(w, "enabled", true);
    json_end(w);
    json_add_c(w, "publicAccessPrevention", "enforced");
    json_end(w);
}

void storage_write_bucket(struct call *c, const struct bucket *b, struct json_writer *w)
{
    struct buf path = BUF_INIT(LINK_BYTES_MAX);

    buf_add_c(&path, "/storage/v1/b/");
    http_encode(b->name, &path);
    json_object(w, NULL);
    json_add_c(w, "kind", "storage#bucket");
    json_add_text(w, "id", b->name);
    json_add_text(w, "name", b->name);
    add_link(c, w, "selfLink", buf_str(&path));
    call_add_int64(w, "metageneration", b->metageneration);
    call_add_int64(w, "etag", b->metageneration);
    call_add_time(w, "timeCreated", b->create_us);
    call_add_time(w, "updated", b->update_us);
    if (storage_meta_text(c, b->meta, "location").len == 0)
        json_add_c(w, "location", "US");
    if (storage_meta_text(c, b->meta, "storageClass").len == 0)
        json_add_c(w, "storageClass", "STANDARD");
    json_add_c(w, "locationType", "multi-region");
    add_iam(w);
    end_with_meta(w, b->meta);
    buf_release(&path);
}

void storage_reply_object(struct call *c, const struct object *o)
{
    struct buf out = BUF_INIT(STORAGE_REPLY_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&out);

    storage_write_object(c, o, &w);
    call_reply(c, &out);
}
