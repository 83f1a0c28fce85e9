/* resource.c -- objects and buckets as JSON, conditions, and errors in this API's words. */
#include "api/storage/storage.h"
#include "base/mem.h"
#include "base/base64.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NOT_MET "At least one of the pre-conditions you specified did not hold."

struct str storage_keep(struct call *c, struct buf *b)
{
    struct str s = { arena_copy(c->arena, b->p ? b->p : "", b->len), b->len };

    buf_release(b);
    return s;
}

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

/* It changes with the bytes and with the metadata. */
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

static void add_time(struct buf *out, const char *name, int64_t us)
{
    char text[CLOCK_TEXT_BYTES];

    clock_format_rfc3339(us, text);
    buf_addf(out, ",\"%s\":\"%s\"", name, text);
}

static void add_int64(struct buf *out, const char *name, int64_t n)
{
    buf_addf(out, ",\"%s\":\"%" PRId64 "\"", name, n);
}

static void add_text(struct buf *out, const char *name, struct str s)
{
    buf_addf(out, ",\"%s\":", name);
    buf_add_json(out, s);
}

/* The members of a JSON object that is our own. */
static void add_meta(struct buf *out, struct str meta)
{
    if (meta.len <= 2)
        return;
    buf_add_char(out, ',');
    buf_add_str(out, str_sub(meta, 1, meta.len - 2));
}

/* Base, path and names are URL characters: nothing of them needs JSON's escapes. */
static void add_link(struct call *c, const struct object *o, const char *name, const char *service,
                     struct buf *out)
{
    buf_addf(out, ",\"%s\":\"%.*s%s/storage/v1/b/", name, STR_ARG(call_base_url(c)), service);
    http_encode(o->bucket, out);
    buf_add_c(out, "/o/");
    http_encode(o->name, out);
}

static void add_id(const struct object *o, struct buf *out)
{
    struct buf id = BUF_INIT(BUCKET_NAME_MAX + OBJECT_NAME_MAX + 32);

    buf_add_str(&id, o->bucket);
    buf_add_char(&id, '/');
    buf_add_str(&id, o->name);
    buf_addf(&id, "/%" PRId64, o->generation);
    add_text(out, "id", buf_str(&id));
    buf_release(&id);
}

static void add_hashes(const struct object *o, struct buf *out)
{
    buf_add_c(out, ",\"crc32c\":\"");
    media_crc32c_write(o->blob.crc32c, out);
    buf_add_char(out, '"');
    if (!o->blob.has_md5)
        return;
    buf_add_c(out, ",\"md5Hash\":\"");
    base64_add(o->blob.md5, sizeof o->blob.md5, out);
    buf_add_char(out, '"');
}

void storage_write_object(struct call *c, const struct object *o, struct buf *out)
{
    char etag[STORAGE_ETAG_BYTES];

    storage_etag(o, etag);
    buf_add_c(out, "{\"kind\":\"storage#object\"");
    add_id(o, out);
    add_link(c, o, "selfLink", "", out);
    buf_add_char(out, '"');
    add_link(c, o, "mediaLink", "/download", out);
    buf_addf(out, "?generation=%" PRId64 "&alt=media\"", o->generation);
    add_text(out, "name", o->name);
    add_text(out, "bucket", o->bucket);
    add_int64(out, "generation", o->generation);
    add_int64(out, "metageneration", o->metageneration);
    add_text(out, "contentType", o->content_type);
    buf_add_c(out, ",\"storageClass\":\"STANDARD\"");
    add_int64(out, "size", (int64_t)o->blob.bytes);
    add_hashes(o, out);
    if (o->component_count > 0)
        buf_addf(out, ",\"componentCount\":%" PRIu32, o->component_count);
    add_text(out, "etag", str_of(etag));
    add_time(out, "timeCreated", o->create_us);
    add_time(out, "updated", o->update_us);
    add_time(out, "timeStorageClassUpdated", o->create_us);
    add_time(out, "timeFinalized", o->create_us);
    add_meta(out, o->meta);
    buf_add_char(out, '}');
}

void storage_write_bucket(struct call *c, const struct bucket *b, struct buf *out)
{
    buf_add_c(out, "{\"kind\":\"storage#bucket\"");
    add_text(out, "id", b->name);
    add_text(out, "name", b->name);
    buf_addf(out, ",\"selfLink\":\"%.*s/storage/v1/b/", STR_ARG(call_base_url(c)));
    http_encode(b->name, out);
    buf_add_char(out, '"');
    add_int64(out, "metageneration", b->metageneration);
    buf_addf(out, ",\"etag\":\"%" PRId64 "\"", b->metageneration);
    add_time(out, "timeCreated", b->create_us);
    add_time(out, "updated", b->update_us);
    if (storage_meta_text(c, b->meta, "location").len == 0)
        buf_add_c(out, ",\"location\":\"US\"");
    if (storage_meta_text(c, b->meta, "storageClass").len == 0)
        buf_add_c(out, ",\"storageClass\":\"STANDARD\"");
    buf_add_c(out, ",\"locationType\":\"multi-region\",\"iamConfiguration\":"
                   "{\"uniformBucketLevelAccess\":{\"enabled\":true},"
                   "\"publicAccessPrevention\":\"enforced\"}");
    add_meta(out, b->meta);
    buf_add_char(out, '}');
}

void storage_reply_object(struct call *c, const struct object *o)
{
    struct buf out = BUF_INIT(STORAGE_REPLY_BYTES_MAX);

    storage_write_object(c, o, &out);
    call_reply(c, &out);
}
