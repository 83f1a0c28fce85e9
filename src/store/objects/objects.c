/* objects.c -- objects: put, get, patch, delete, each with its conditions in its transaction. */
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "store/objects/objects_inner.h"

static int not_met(struct error *e)
{
    return error_set(e, ERROR_ABORTED,
                     "At least one of the pre-conditions you specified did not hold.");
}

static int name_check(struct str name, struct error *e)
{
    if (name.len == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Required: an object name");
    if (name.len > OBJECT_NAME_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The maximum object length is %d characters, but got a name with %zu.",
                         OBJECT_NAME_MAX, name.len);
    if (str_utf8_valid(name) != name.len || memchr(name.p, '\0', name.len) ||
        memchr(name.p, '\r', name.len) || memchr(name.p, '\n', name.len) || str_eq_c(name, ".") ||
        str_eq_c(name, ".."))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Disallowed unicode characters or name of an "
                         "object: it is UTF-8 without CR and LF, "
                         "and neither \".\" nor \"..\"");
    return 0;
}

bool object_is_gzip(const struct object *o)
{
    struct arena a = { 0 };
    struct error e = { 0 };
    size_t at;

    if (str_find(o->meta, STR("gzip")) == SIZE_MAX) /* most have none, and need no parse */
        return false;
    struct str encoding = json_str(json_get(json_parse(&a, o->meta, &at, &e), "contentEncoding"));
    bool found = encoding.len == 4 && strncasecmp(encoding.p, "gzip", 4) == 0;
    arena_release(&a);
    return found;
}

static struct str type_or_default(struct str type)
{
    return type.len ? type : STR("application/octet-stream");
}

static struct str meta_or_default(struct str meta)
{
    return meta.len ? meta : STR("{}");
}

/* Times only grow from one generation to the next, whatever the clock does. */
static int write_row(struct store *s, struct db *d, const struct object_new *in, struct error *e)
{
    const struct blob *b = &in->blob;
    int64_t now = store_now(s), generation = 0;

    if (store_number(d, "generation", now, 1, &generation, e) < 0)
        return -1;
    struct stmt *q = db_stmt(
        d,
        "INSERT INTO object (" OBJECT_COLUMNS
        ") VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12)"
        " ON CONFLICT (bucket, name) DO UPDATE SET generation = ?3, metageneration = 1, blob = ?4,"
        " bytes = ?5, crc32c = ?6, md5 = ?7, sha256 = ?8, content_type = ?9, meta = ?10,"
        " component_count = ?11, create_us = ?12, update_us = ?12");
    db_bind(q, "tbiiiiBBttii", in->bucket, in->name, generation, b->id, (int64_t)b->bytes,
            (int64_t)b->crc32c, blob_md5(b), blob_sha256(b), type_or_default(in->content_type),
            meta_or_default(in->meta), (int64_t)in->component_count, now);
    return db_run(q, "cannot write an object", e) < 0 ? -1 : 0;
}

/* 1 and *out, or 0. */
static int find(struct db *d, struct arena *a, struct str bucket, struct str name,
                struct object *out, struct error *e)
{
    if (name.len == 0)
        return 0;
    struct stmt *q =
        db_stmt(d, "SELECT " OBJECT_COLUMNS " FROM object WHERE bucket = ? AND name = ?");
    db_bind(q, "tb", bucket, name);
    int rc = db_step(q, "cannot read an object", e);
    if (rc == 1)
        object_row(q, a, out);
    return rc;
}

/* An absent object has generation 0 and metageneration 0. */
static bool holds(const struct object_conditions *when, int64_t generation, int64_t metageneration)
{
    return (when->generation_match < 0 || when->generation_match == generation) &&
           (when->generation_not_match < 0 || when->generation_not_match != generation) &&
           (when->metageneration_match < 0 || when->metageneration_match == metageneration) &&
           (when->metageneration_not_match < 0 || when->metageneration_not_match != metageneration);
}

static int put_in(struct store *s, struct db *d, const struct object_new *in, int64_t *file,
                  struct error *e)
{
    struct object old = { 0 };
    struct arena a = { 0 };

    if (name_check(in->name, e) < 0 || bucket_check(d, in->project, in->bucket, e) < 0)
        return -1;
    int found = find(d, &a, in->bucket, in->name, &old, e);
    arena_release(&a);
    if (found < 0)
        return -1;
    if (!holds(&in->when, old.generation, old.metageneration))
        return not_met(e);
    if (blob_keep_in(s, d, in->blob.id, e) < 0 || write_row(s, d, in, e) < 0)
        return -1;
    return blob_drop_in(d, old.blob.id, file, e);
}

int object_put(struct store *s, struct arena *a, const struct object_new *in, struct object *out,
               struct error *e)
{
    int64_t file = 0;
    struct db *d = store_write(s, e);

    if (!d)
        return -1;
    int rc = put_in(s, d, in, &file, e);
    if (rc == 0 && out)
        rc = find(d, a, in->bucket, in->name, out, e) < 0 ? -1 : 0;
    rc = store_commit(s, d, rc, e);
    if (rc == 0)
        (void)blob_unlink(s, file);
    return rc;
}

int object_put_in(struct store *s, struct db *d, const struct object_new *in, struct error *e)
{
    return put_in(s, d, in, NULL, e);
}

/* The object, when the project may see it and the conditions hold. */
static int need(struct db *d, struct arena *a, const struct object_ref *which, struct object *out,
                struct error *e)
{
    struct object o = { 0 };

    if (bucket_check(d, which->project, which->bucket, e) < 0)
        return -1;
    int found = find(d, a, which->bucket, which->name, &o, e);
    if (found < 0)
        return -1;
    if (found == 0 || (which->generation != 0 && which->generation != o.generation))
        return error_set(e, ERROR_NOT_FOUND, "No such object: %.*s/%.*s", STR_ARG(which->bucket),
                         STR_ARG(which->name));
    if (which->when && !holds(which->when, o.generation, o.metageneration))
        return not_met(e);
    *out = o;
    return 0;
}

int object_get(struct store *s, struct arena *a, const struct object_ref *which, struct object *out,
               struct error *e)
{
    struct db *d = store_read(s, e);

    if (!d)
        return -1;
    int rc = need(d, a, which, out, e);
    store_read_done(s, d);
    return rc;
}

static int patch_in(struct store *s, struct db *d, struct object *o, const struct object_patch *set,
                    struct error *e)
{
    struct stmt *q =
        db_stmt(d, "UPDATE object SET content_type = ?3, meta = ?4, metageneration = ?5,"
                   " update_us = ?6 WHERE bucket = ?1 AND name = ?2");

    if (set->content_type)
        o->content_type = *set->content_type;
    o->metageneration++;
    o->update_us = store_now(s);
    db_bind(q, "tbttii", o->bucket, o->name, type_or_default(o->content_type),
            meta_or_default(set->meta), o->metageneration, o->update_us);
    return db_run(q, "cannot change an object", e) < 0 ? -1 : 0;
}

int object_patch(struct store *s, struct arena *a, const struct object_ref *which,
                 const struct object_patch *set, struct object *out, struct error *e)
{
    struct object now = { 0 };
    struct db *d = store_write(s, e);

    if (!d)
        return -1;
    int rc = need(d, a, which, &now, e);
    if (rc == 0)
        rc = patch_in(s, d, &now, set, e);
    if (rc == 0 && out)
        rc = find(d, a, which->bucket, which->name, out, e) < 0 ? -1 : 0;
    return store_commit(s, d, rc, e);
}

static int delete_in(struct db *d, const struct object *o, int64_t *file, struct error *e)
{
    struct stmt *q = db_stmt(d, "DELETE FROM object WHERE bucket = ? AND name = ?");

    db_bind(q, "tb", o->bucket, o->name);
    if (db_run(q, "cannot delete an object", e) < 0)
        return -1;
    return blob_drop_in(d, o->blob.id, file, e);
}

int object_delete(struct store *s, const struct object_ref *which, struct error *e)
{
    struct arena a = { 0 };
    struct object now = { 0 };
    int64_t file = 0;
    struct db *d = store_write(s, e);

    if (!d)
        return -1;
    int rc = need(d, &a, which, &now, e);
    if (rc == 0)
        rc = delete_in(d, &now, &file, e);
    rc = store_commit(s, d, rc, e);
    if (rc == 0)
        (void)blob_unlink(s, file);
    arena_release(&a);
    return rc;
}

void object_row(struct stmt *q, struct arena *a, struct object *out)
{
    *out = (struct object){
        .bucket = db_text(q, 0, a),
        .name = db_text(q, 1, a),
        .generation = db_int(q, 2),
        .metageneration = db_int(q, 3),
        .content_type = db_text(q, 9, a),
        .meta = db_text(q, 10, a),
        .component_count = (uint32_t)db_int(q, 11),
        .create_us = db_int(q, 12),
        .update_us = db_int(q, 13),
    };
    blob_columns(q, 4, &out->blob);
}
