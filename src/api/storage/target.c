/* target.c -- the object that an upload will be: kept in the upload's row, read back, made. */
#include "api/storage/storage.h"
#include "base/mem.h"

#define KIND "object"

void storage_target_write(const struct storage_target *t, struct buf *out)
{
    const int64_t when[] = { t->when.generation_match, t->when.generation_not_match,
                             t->when.metageneration_match, t->when.metageneration_not_match };
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    json_add_c(&w, "kind", KIND);
    json_add_text(&w, "bucket", t->bucket);
    json_add_text(&w, "name", t->name);
    json_add_text(&w, "contentType", t->content_type);
    json_add_text(&w, "meta", t->meta); /* as text, so that it comes back as it was */
    json_array(&w, "when");
    for (size_t i = 0; i < ARRAY_LEN(when); i++)
        json_add_int(&w, NULL, when[i]);
    json_end(&w);
    if (t->hashes.has_crc32c)
        call_add_base64(&w, "crc32c", t->hashes.crc32c, sizeof t->hashes.crc32c);
    if (t->hashes.has_md5)
        call_add_base64(&w, "md5", t->hashes.md5, sizeof t->hashes.md5);
    if (t->has_total)
        json_add_uint(&w, "total", t->total);
    json_end(&w);
}

static int read_hash(yyjson_val *what, const char *name, struct media_hashes *out, struct error *e)
{
    struct str text = json_str(json_get(what, name));

    return text.len ? media_hashes_add(out, name, text, e) : 0;
}

int storage_target_read(struct arena *a, const struct upload *up, struct str bucket,
                        struct storage_target *out, struct error *e)
{
    size_t at;
    yyjson_val *what = json_parse(a, up->what, &at, e);
    yyjson_val *when = json_get(what, "when"), *total = json_get(what, "total");

    if (!what)
        return -1;
    *out = (struct storage_target){
        .project = up->project.len ? arena_copy(a, up->project.p, up->project.len) : NULL,
        .bucket = json_str(json_get(what, "bucket")),
        .name = json_str(json_get(what, "name")),
        .content_type = json_str(json_get(what, "contentType")),
        .meta = json_str(json_get(what, "meta")),
        .when = { yyjson_get_sint(yyjson_arr_get(when, 0)),
                  yyjson_get_sint(yyjson_arr_get(when, 1)),
                  yyjson_get_sint(yyjson_arr_get(when, 2)),
                  yyjson_get_sint(yyjson_arr_get(when, 3)) },
        .has_total = total != NULL,
        .total = yyjson_get_uint(total),
    };
    if (!str_eq_c(json_str(json_get(what, "kind")), KIND) || !str_eq(out->bucket, bucket))
        return error_set(e, ERROR_NOT_FOUND, "No such upload");
    if (read_hash(what, "crc32c", &out->hashes, e) < 0)
        return -1;
    return read_hash(what, "md5", &out->hashes, e);
}

int storage_target_put(struct call *c, const struct storage_target *t, const struct blob *b,
                       struct object *out, struct error *e)
{
    const struct object_new n = {
        .project = t->project,
        .bucket = t->bucket,
        .name = t->name,
        .blob = *b,
        .content_type = t->content_type,
        .meta = t->meta,
        .when = t->when,
    };

    if (media_hashes_check(&t->hashes, b, e) < 0)
        return -1;
    return object_put(c->api->store, c->arena, &n, out, e);
}
