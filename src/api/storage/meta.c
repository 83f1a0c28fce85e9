/* meta.c -- settings of objects and buckets that clients send: read, checked, merged. */
#include "api/storage/storage.h"

#include <inttypes.h>

/* Members of an object's resource that we keep. */
static const char *const object_members[] = {
    "cacheControl", "contentDisposition", "contentEncoding", "contentLanguage", "customTime", NULL,
};
static const char *const bucket_members[] = { "location", "storageClass", "rpo", NULL };
/* Features that buckets do not have here: to accept their settings would be a broken promise. */
static const char *const bucket_refused[] = { "retentionPolicy", "softDeletePolicy", "encryption",
                                              "logging", NULL };

/* A patch keeps an absent member and removes a member that is null. */
static yyjson_val *chosen(yyjson_val *old, yyjson_val *patch, const char *name)
{
    yyjson_val *v = json_get(patch, name);

    return v ? v : json_get(old, name);
}

struct str storage_keep(struct call *c, struct buf *b)
{
    struct str s = { arena_copy(c->arena, b->p ? b->p : "", b->len), b->len };

    buf_release(b);
    return s;
}

static yyjson_val *parse_old(struct call *c, struct str old)
{
    struct error e = { 0 };
    size_t at;

    return old.len ? json_parse(c->arena, old, &at, &e) : NULL;
}

struct str storage_meta_text(struct call *c, struct str meta, const char *name)
{
    return json_str(json_get(parse_old(c, meta), name));
}

static int read_text(yyjson_val *resource, const char *name, struct str *out, struct error *e)
{
    yyjson_val *v = json_get(resource, name);

    *out = json_str(v);
    if (v && !yyjson_is_null(v) && !yyjson_is_str(v))
        return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid value at '%s': not a string", name);
    return 0;
}

static int read_hashes(yyjson_val *resource, struct media_hashes *out, struct error *e)
{
    struct str crc32c, md5;

    if (read_text(resource, "crc32c", &crc32c, e) < 0 ||
        read_text(resource, "md5Hash", &md5, e) < 0)
        return -1;
    if (crc32c.len && media_hashes_add(out, "crc32c", crc32c, e) < 0)
        return -1;
    return md5.len ? media_hashes_add(out, "md5", md5, e) : 0;
}

static bool is_enabled(yyjson_val *resource, const char *name)
{
    return yyjson_get_bool(json_get(json_get(resource, name), "enabled"));
}

static int check_refused(yyjson_val *resource, struct error *e)
{
    const char *refused = NULL;
    yyjson_val *rules = json_get(json_get(resource, "lifecycle"), "rule");

    for (size_t i = 0; bucket_refused[i]; i++)
        if (yyjson_obj_size(json_get(resource, bucket_refused[i])) > 0)
            refused = bucket_refused[i];
    if (is_enabled(resource, "versioning"))
        refused = "versioning";
    if (yyjson_arr_size(rules) > 0)
        refused = "lifecycle";
    if (refused)
        return error_set(e, ERROR_UNIMPLEMENTED, "Buckets have no %s here.", refused);
    return 0;
}

/* These become headers of a download. */
static int check_text(const char *name, struct str s, struct error *e)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == '\x7f')
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "Invalid value at '%s': it has control characters", name);
    if (s.len > OBJECT_NAME_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid value at '%s': over %d bytes", name,
                         OBJECT_NAME_MAX);
    return 0;
}

/* Adds the chosen text of each name to the object that w has open. */
static int merge_texts(const char *const *names, yyjson_val *old, yyjson_val *patch,
                       struct json_writer *w, struct error *e)
{
    for (; *names; names++) {
        struct str given;
        if (read_text(patch, *names, &given, e) < 0 || check_text(*names, given, e) < 0)
            return -1;
        yyjson_val *v = chosen(old, patch, *names);
        if (yyjson_is_str(v))
            json_add_text(w, *names, json_str(v));
    }
    return 0;
}

/* A member of a map: a string; a number or a boolean is written as one. */
static int add_member(struct json_writer *w, struct str key, yyjson_val *v, struct error *e)
{
    if (yyjson_is_ctn(v))
        return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid value at '%.*s': not a string",
                         STR_ARG(str_sub(key, 0, 64)));
    json_key(w, key);
    if (yyjson_is_str(v)) {
        json_add_text(w, NULL, json_str(v));
    } else if (yyjson_is_bool(v)) {
        json_add_c(w, NULL, yyjson_get_bool(v) ? "true" : "false");
    } else if (yyjson_is_uint(v)) {
        json_addf(w, NULL, "%" PRIu64, yyjson_get_uint(v));
    } else if (yyjson_is_sint(v)) {
        json_addf(w, NULL, "%" PRId64, yyjson_get_sint(v));
    } else {
        json_value(w, NULL);
        buf_add_char(w->out, '"');
        buf_add_double(w->out, yyjson_get_num(v));
        buf_add_char(w->out, '"');
    }
    return 0;
}

/* Copies the members of `from` that are not null and, when `but` is given, not in it. */
static int add_members(yyjson_val *from, yyjson_val *but, uint32_t *count, struct json_writer *w,
                       struct error *e)
{
    size_t i, n;
    yyjson_val *key, *v;

    yyjson_obj_foreach(from, i, n, key, v)
    {
        struct str name = json_str(key);
        if (yyjson_is_null(v) || yyjson_obj_getn(but, name.p, name.len))
            continue;
        if (add_member(w, name, v, e) < 0)
            return -1;
        if (++*count > STORAGE_CUSTOM_KEYS_MAX)
            return error_set(e, ERROR_INVALID_ARGUMENT, "More than %d keys of metadata or labels",
                             STORAGE_CUSTOM_KEYS_MAX);
    }
    return 0;
}

static int merge_map(const char *name, yyjson_val *old, yyjson_val *patch, struct json_writer *w,
                     struct error *e)
{
    yyjson_val *given = json_get(patch, name), *had = json_get(old, name);
    uint32_t count = 0;

    if (given && !yyjson_is_null(given) && !yyjson_is_obj(given))
        return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid value at '%s': not an object", name);
    if (yyjson_is_null(given))
        had = NULL;
    if (!yyjson_obj_size(had) && !yyjson_obj_size(given))
        return 0;
    json_object(w, name);
    size_t from = w->out->len;
    if (add_members(had, given, &count, w, e) < 0 || add_members(given, NULL, &count, w, e) < 0)
        return -1;
    if (!buf_ok(w->out) || w->out->len - from > STORAGE_CUSTOM_BYTES_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "The %s are larger than %zu bytes.", name,
                         STORAGE_CUSTOM_BYTES_MAX);
    json_end(w);
    return 0;
}

int storage_settings_read(struct call *c, yyjson_val *resource, struct str old,
                          struct storage_settings *out, struct error *e)
{
    struct buf meta = BUF_INIT(STORAGE_META_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&meta);
    yyjson_val *kept = parse_old(c, old);
    int rc = -1;

    *out = (struct storage_settings){ 0 };
    if (read_text(resource, "name", &out->name, e) < 0 ||
        read_text(resource, "contentType", &out->content_type, e) < 0 ||
        read_hashes(resource, &out->hashes, e) < 0)
        goto out;
    if (!media_type_valid(out->content_type)) {
        (void)error_set(e, ERROR_INVALID_ARGUMENT,
                        "Invalid value at 'contentType': printable ASCII of at most %d bytes",
                        MEDIA_TYPE_MAX);
        goto out;
    }
    json_object(&w, NULL);
    if (merge_texts(object_members, kept, resource, &w, e) < 0 ||
        merge_map("metadata", kept, resource, &w, e) < 0)
        goto out;
    json_end(&w);
    if (!buf_ok(&meta)) {
        (void)error_set(e, ERROR_INVALID_ARGUMENT, "The metadata is too large.");
        goto out;
    }
    out->sets = out->content_type.len > 0 || meta.len > 2;
    rc = 0;
out:
    out->meta = storage_keep(c, &meta);
    return rc;
}

int storage_bucket_meta(struct call *c, yyjson_val *resource, struct str old, struct buf *out,
                        struct error *e)
{
    yyjson_val *kept = parse_old(c, old);
    struct json_writer w = JSON_WRITER(out);

    if (check_refused(resource, e) < 0)
        return -1;
    json_object(&w, NULL);
    if (merge_texts(bucket_members, kept, resource, &w, e) < 0 ||
        merge_map("labels", kept, resource, &w, e) < 0)
        return -1;
    json_end(&w);
    return 0;
}
