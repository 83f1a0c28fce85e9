/* files.c -- the Files API's files: a row each, which outlives its blob until after its expiry so that
 * lists go on behind a deleted one. */
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "store/objects/objects_inner.h"

#define ID_RANDOM 12
#define ID_TRIES_MAX 8
/* A deleted or expired row stays so much longer than its expiry. */
#define KEPT_US ((int64_t)86400 * 1000000)
#define EXPIRE_BATCH 256
#define FILE_COLUMNS                                                                               \
    "id, project, display_name, mime, " BLOB_COLUMNS ", origin, create_us, update_us, expire_us"

/* A file as a call names it, unless it has expired by now. Without a project it is the first that has the
 * id: only a server without keys asks so. */
struct wanted {
    const char *project;
    struct str id;
    int64_t now_us;
};

/* 1 when a row of the project has it, even a deleted one's. */
static int id_taken(struct db *d, const char *project, const char *id, struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT 1 FROM file WHERE id = ? AND project = ?");

    db_bind(q, "ss", id, project);
    return db_step(q, "cannot read a file", e);
}

static int id_choose(struct db *d, const struct file_new *in, char id[FILE_ID_BYTES],
                     struct error *e)
{
    const char *project = in->project ? in->project : "";
    int taken = 1;

    if (in->id[0] != '\0') {
        memcpy(id, in->id, FILE_ID_BYTES);
        taken = id_taken(d, project, id, e);
    }
    for (int i = 0; i < ID_TRIES_MAX && in->id[0] == '\0' && taken == 1; i++)
        taken = random_text(id, ID_RANDOM, ALPHABET_36, e) < 0 ? -1 : id_taken(d, project, id, e);
    if (taken == 1)
        return error_set(e, ERROR_ALREADY_EXISTS, "File %s already exists.", id);
    return taken;
}

static int put_in(struct store *s, struct db *d, const struct file_new *in, char id[FILE_ID_BYTES],
                  struct error *e)
{
    const struct blob *b = &in->blob;

    if (id_choose(d, in, id, e) < 0 || blob_keep_in(s, d, b->id, e) < 0)
        return -1;
    struct stmt *q =
        db_stmt(d, "INSERT INTO file (" FILE_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9,"
                   " ?10, ?11, ?11, ?12)");
    db_bind(q, "ssttiiiBBiii", id, in->project ? in->project : "", in->display_name, in->mime,
            b->id, (int64_t)b->bytes, (int64_t)b->crc32c, blob_md5(b), blob_sha256(b),
            (int64_t)in->origin, store_now(s), in->expire_us);
    return db_run(q, "cannot write a file", e) < 0 ? -1 : 0;
}

static void file_row(struct stmt *q, struct arena *a, struct file *out)
{
    *out = (struct file){
        .project = db_text(q, 1, a),
        .display_name = db_text(q, 2, a),
        .mime = db_text(q, 3, a),
        .origin = (enum file_origin)db_int(q, 9),
        .create_us = db_int(q, 10),
        .update_us = db_int(q, 11),
        .expire_us = db_int(q, 12),
    };
    db_text_to(q, 0, out->id, sizeof out->id);
    blob_columns(q, 4, &out->blob);
}

static int find(struct db *d, struct arena *a, const struct wanted *which, struct file *out,
                struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT " FILE_COLUMNS " FROM file WHERE id = ?1 AND blob != 0"
                                " AND expire_us > ?2 AND (?3 IS NULL OR project = ?3)"
                                " ORDER BY seq LIMIT 1");

    db_bind(q, "tis", which->id, which->now_us, which->project);
    int rc = db_step(q, "cannot read a file", e);
    if (rc == 0)
        return error_set(e, ERROR_NOT_FOUND, "File %.*s does not exist.", STR_ARG(which->id));
    if (rc == 1)
        file_row(q, a, out);
    return rc < 0 ? -1 : 0;
}

int file_put(struct store *s, struct arena *a, const struct file_new *in, struct file *out,
             struct error *e)
{
    char id[FILE_ID_BYTES] = "";
    struct db *d = store_write(s, e);

    if (!d)
        return -1;
    int rc = put_in(s, d, in, id, e);
    const struct wanted made = { in->project ? in->project : "", str_of(id), store_now(s) };
    if (rc == 0 && out)
        rc = find(d, a, &made, out, e);
    return store_commit(s, d, rc, e);
}

int file_put_all(struct store *s, struct arena *a, const struct file_new *in, struct file *out,
                 uint32_t count, struct error *e)
{
    struct db *d = store_write(s, e);
    int rc = 0;

    if (!d)
        return -1;
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        char id[FILE_ID_BYTES] = "";
        rc = put_in(s, d, &in[i], id, e);
        const struct wanted made = { in[i].project ? in[i].project : "", str_of(id), store_now(s) };
        if (rc == 0)
            rc = find(d, a, &made, &out[i], e);
    }
    return store_commit(s, d, rc, e);
}

int file_put_in(struct store *s, struct db *d, const struct file_new *in, struct error *e)
{
    char id[FILE_ID_BYTES] = "";

    return put_in(s, d, in, id, e);
}

int file_get(struct store *s, struct arena *a, const char *project, struct str id, struct file *out,
             struct error *e)
{
    struct db *d = store_read(s, e);

    if (!d)
        return -1;
    const struct wanted which = { project, id, store_now(s) };
    int rc = find(d, a, &which, out, e);
    store_read_done(s, d);
    return rc;
}

/* 1 with the row's number in *seq, also of one that was deleted or has expired; 0 when there is none. */
static int seq_find(struct db *d, const char *project, struct str id, int64_t *seq, struct error *e)
{
    struct stmt *q =
        db_stmt(d, "SELECT seq FROM file WHERE id = ?1 AND (?2 IS NULL OR project = ?2)"
                   " ORDER BY seq LIMIT 1");

    db_bind(q, "ts", id, project);
    int rc = db_step(q, "cannot read a file", e);
    if (rc == 1)
        *seq = db_int(q, 0);
    return rc;
}

/* *file: whose file may go after the commit. */
static int give_up(struct db *d, int64_t seq, int64_t blob, int64_t *file, struct error *e)
{
    struct stmt *q = db_stmt(d, "UPDATE file SET blob = 0 WHERE seq = ?");

    db_bind(q, "i", seq);
    if (db_run(q, "cannot delete a file", e) < 0)
        return -1;
    return blob_drop_in(d, blob, file, e);
}

int file_delete(struct store *s, const char *project, struct str id, struct error *e)
{
    struct arena a = { 0 };
    struct file f = { 0 };
    int64_t file = 0, seq = 0;
    struct db *d = store_write(s, e);

    if (!d)
        return -1;
    const struct wanted which = { project, id, store_now(s) };
    int rc = find(d, &a, &which, &f, e);
    if (rc == 0 && seq_find(d, project, id, &seq, e) < 0)
        rc = -1;
    if (rc == 0)
        rc = give_up(d, seq, f.blob.id, &file, e);
    rc = store_commit(s, d, rc, e);
    if (rc == 0)
        (void)blob_unlink(s, file);
    arena_release(&a);
    return rc;
}

/* The sequence number at which the page before ended; above all numbers for the first page. */
static int page_begin(struct db *d, const char *project, struct str after, int64_t *seq,
                      struct error *e)
{
    *seq = INT64_MAX;
    if (after.len == 0)
        return 0;
    int rc = seq_find(d, project, after, seq, e);
    if (rc == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT, "The page token is not valid.");
    return rc < 0 ? -1 : 0;
}

static int list_in(struct stmt *q, struct arena *a, uint32_t most, struct file_list *out,
                   struct error *e)
{
    int rc;

    while ((rc = db_step(q, "cannot list files", e)) == 1) {
        out->more = out->count == most;
        if (out->more)
            return 0;
        out->item = arena_list_grow(a, out->item, out->count, sizeof *out->item);
        file_row(q, a, &out->item[out->count++]);
    }
    return rc;
}

/* Two texts, so that each goes by its own index. */
static struct stmt *query_stmt(struct db *d, const char *project)
{
    struct stmt *q;

#define LISTED " seq < ?1 AND blob != 0 AND expire_us > ?2 ORDER BY seq DESC"
    if (!project)
        return db_stmt(d, "SELECT " FILE_COLUMNS " FROM file WHERE" LISTED);
    q = db_stmt(d, "SELECT " FILE_COLUMNS " FROM file WHERE project = ?3 AND" LISTED);
#undef LISTED
    db_bind_from(q, 3, "s", project);
    return q;
}

int file_query(struct store *s, struct arena *a, const struct file_query *query,
               struct file_list *out, struct error *e)
{
    int64_t seq = 0;
    struct db *d = store_read(s, e);

    *out = (struct file_list){ 0 };
    if (!d)
        return -1;
    int rc = page_begin(d, query->project, query->after, &seq, e);
    if (rc == 0) {
        struct stmt *q = query_stmt(d, query->project);
        db_bind(q, "ii", seq, store_now(s));
        rc = list_in(q, a, query->most, out, e);
    }
    store_read_done(s, d);
    return rc;
}

/* Rows that have expired but still have their blobs: up to cap. */
struct expired {
    int64_t seq[EXPIRE_BATCH], blob[EXPIRE_BATCH], file[EXPIRE_BATCH];
    uint32_t count;
};

static int expired_find(struct db *d, int64_t now, struct expired *x, struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT seq, blob FROM file WHERE expire_us <= ? AND blob != 0"
                                " LIMIT ?");
    int rc;

    x->count = 0;
    db_bind(q, "ii", now, (int64_t)EXPIRE_BATCH);
    while ((rc = db_step(q, "cannot expire files", e)) == 1) {
        x->seq[x->count] = db_int(q, 0);
        x->blob[x->count++] = db_int(q, 1);
    }
    return rc;
}

static int expire_some(struct store *s, int64_t now, struct expired *x, struct error *e)
{
    struct db *d = store_write(s, e);

    if (!d)
        return -1;
    int rc = expired_find(d, now, x, e);
    for (uint32_t i = 0; i < x->count && rc == 0; i++)
        rc = give_up(d, x->seq[i], x->blob[i], &x->file[i], e);
    if (rc == 0) {
        struct stmt *q = db_stmt(d, "DELETE FROM file WHERE expire_us <= ? AND blob = 0");
        db_bind(q, "i", now - KEPT_US);
        rc = db_run(q, "cannot forget files", e) < 0 ? -1 : 0;
    }
    return store_commit(s, d, rc, e);
}

int file_expire(struct store *s, int64_t now, struct error *e)
{
    struct expired *x = mem_alloc(sizeof *x);
    int rc;

    do {
        rc = expire_some(s, now, x, e);
        for (uint32_t i = 0; i < x->count && rc == 0; i++)
            (void)blob_unlink(s, x->file[i]);
    } while (rc == 0 && x->count == EXPIRE_BATCH);
    mem_free(x);
    return rc;
}
