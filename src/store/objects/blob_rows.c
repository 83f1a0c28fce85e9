/* blob_rows.c -- which blobs the database knows: keeping and dropping. */
#include <string.h>
#include <sys/stat.h>

#include "store/objects/objects_inner.h"

/* Everything that may name a blob. */
#define BLOB_USED                                                                                  \
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM object WHERE blob = ?1)"                                 \
    " OR EXISTS (SELECT 1 FROM file WHERE blob = ?1 AND blob != 0)"                                \
    " OR EXISTS (SELECT 1 FROM job_input WHERE blob = ?1)"                                         \
    " OR EXISTS (SELECT 1 FROM job WHERE result = ?1 AND result != 0)"                             \
    " OR EXISTS (SELECT 1 FROM segment WHERE part = ?1)"                                           \
    " OR EXISTS (SELECT 1 FROM upload_part WHERE part = ?1)"                                       \
    " OR EXISTS (SELECT 1 FROM shard WHERE answers = ?1 AND answers != 0)"                         \
    " OR EXISTS (SELECT 1 FROM shard WHERE output = ?1 AND output != 0)"                           \
    " OR EXISTS (SELECT 1 FROM job_file WHERE blob = ?1)"

int blob_keep_in(struct store *s, struct db *d, int64_t id, struct error *e)
{
    char path[PATH_BYTES];
    struct stat st;
    struct stmt *q = db_stmt(d, "SELECT 1 FROM blob_gone WHERE id = ?");

    db_bind(q, "i", id);
    int gone = db_step(q, "cannot read blobs", e);
    if (gone < 0)
        return -1;
    blob_file(s, path, id);
    if (gone == 1 || (!store_is_shared(s) && stat(path, &st) < 0))
        return error_set(e, ERROR_UNAVAILABLE, "its data was deleted meanwhile; try again");
    return 0;
}

int blob_is_used(struct db *d, int64_t id, struct error *e)
{
    struct stmt *q = db_stmt(d, BLOB_USED);

    db_bind(q, "i", id);
    return db_step(q, "cannot read blobs", e);
}

int blob_drop_in(struct db *d, int64_t id, int64_t *file, struct error *e)
{
    if (file)
        *file = 0;
    if (id == 0)
        return 0;
    int used = blob_is_used(d, id, e);
    if (used != 0)
        return used < 0 ? -1 : 0;
    struct stmt *q = db_stmt(d, "INSERT INTO blob_gone (id) VALUES (?)"
                                " ON CONFLICT (id) DO NOTHING");
    db_bind(q, "i", id);
    if (db_run(q, "cannot delete a blob", e) < 0)
        return -1;
    if (!file)
        return 0;
    q = db_stmt(d, "SELECT 1 FROM blob_hold WHERE until_us > ?");
    db_bind(q, "i", clock_system()->wall_us(clock_system()));
    int held = db_step(q, "cannot read blobs", e);
    if (held == 0)
        *file = id;
    return held < 0 ? -1 : 0;
}

void blob_columns(struct stmt *q, int first, struct blob *out)
{
    struct str md5 = db_bytes(q, first + 3), sha256 = db_bytes(q, first + 4);

    *out = (struct blob){
        .id = db_int(q, first),
        .bytes = (uint64_t)db_int(q, first + 1),
        .crc32c = (uint32_t)db_int(q, first + 2),
        .has_md5 = md5.len == sizeof out->md5,
        .has_sha256 = sha256.len == sizeof out->sha256,
    };
    if (out->has_md5)
        memcpy(out->md5, md5.p, md5.len);
    if (out->has_sha256)
        memcpy(out->sha256, sha256.p, sha256.len);
}

struct str blob_md5(const struct blob *b)
{
    return (struct str){ (const char *)b->md5, b->has_md5 ? sizeof b->md5 : 0 };
}

struct str blob_sha256(const struct blob *b)
{
    return (struct str){ (const char *)b->sha256, b->has_sha256 ? sizeof b->sha256 : 0 };
}
