/* buckets.c -- buckets: whose they are, and their names. */
#include <string.h>

#include "store/objects/objects_inner.h"

#define BUCKET_NAME_MIN 3
#define BUCKET_STEP_MAX 63 /* between dots, and of a name without any */
#define BUCKET_COLUMNS "name, project, meta, create_us, update_us, metageneration"

int bucket_check(struct db *d, const char *project, struct str name, struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT 1 FROM bucket WHERE name = ?1"
                                " AND (?2 IS NULL OR project = ?2)");

    db_bind(q, "ts", name, project);
    int rc = db_step(q, "cannot read a bucket", e);
    if (rc == 0)
        return error_set(e, ERROR_NOT_FOUND, "The specified bucket does not exist.");
    return rc < 0 ? -1 : 0;
}

static int check_room(struct db *d, struct str project, struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT count(*) FROM bucket WHERE project = ?");

    db_bind(q, "t", project);
    int rc = db_step(q, "cannot count buckets", e);
    if (rc == 1 && db_int(q, 0) >= BUCKETS_PROJECT_MAX)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "The project has %d buckets, the maximum.",
                         BUCKETS_PROJECT_MAX);
    return rc < 0 ? -1 : 0;
}

static int insert(struct store *s, struct db *d, const struct bucket *b, struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT 1 FROM bucket WHERE name = ?");

    db_bind(q, "t", b->name);
    int rc = db_step(q, "cannot read a bucket", e);
    if (rc == 1)
        return error_set(e, ERROR_ALREADY_EXISTS,
                         "The requested bucket name is not available: it is in use.");
    if (rc < 0 || check_room(d, b->project, e) < 0)
        return -1;
    q = db_stmt(d, "INSERT INTO bucket (" BUCKET_COLUMNS ")"
                   " VALUES (?1, ?2, ?3, ?4, ?4, 1)");
    db_bind(q, "ttti", b->name, b->project, b->meta.len ? b->meta : STR("{}"), store_now(s));
    return db_run(q, "cannot create a bucket", e) < 0 ? -1 : 0;
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* As Cloud Storage refuses them: a bucket's name must not look like an IP address, nor be taken for one of
 * Google's own. */
static bool is_reserved(struct str name)
{
    uint32_t dots = 0;
    bool numbers = true;

    for (size_t i = 0; i < name.len; i++) {
        dots += name.p[i] == '.';
        numbers = numbers && (name.p[i] == '.' || (name.p[i] >= '0' && name.p[i] <= '9'));
    }
    return (numbers && dots == 3) || str_starts(name, STR("goog")) ||
           str_find(name, STR("google")) != SIZE_MAX;
}

static bool name_is_good(struct str name)
{
    size_t step = 0;

    if (name.len < BUCKET_NAME_MIN || name.len > BUCKET_NAME_MAX || !is_alnum(name.p[0]) ||
        !is_alnum(name.p[name.len - 1]))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.p[i];
        if (!is_alnum(c) && c != '-' && c != '_' && c != '.')
            return false;
        if (c == '.' && step == 0)
            return false;
        step = c == '.' ? 0 : step + 1;
        if (step > BUCKET_STEP_MAX)
            return false;
    }
    return !is_reserved(name);
}

int bucket_create(struct store *s, const char *project, const struct bucket *b, struct error *e)
{
    struct bucket own = *b;

    if (!name_is_good(b->name))
        return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid bucket name: '%.*s'",
                         STR_ARG(b->name));
    if (project)
        own.project = str_of(project);
    struct db *d = store_write(s, e);
    if (!d)
        return -1;
    return store_commit(s, d, insert(s, d, &own, e), e);
}

static void bucket_row(struct stmt *q, struct arena *a, struct bucket *out)
{
    *out = (struct bucket){
        .name = db_text(q, 0, a),
        .project = db_text(q, 1, a),
        .meta = db_text(q, 2, a),
        .create_us = db_int(q, 3),
        .update_us = db_int(q, 4),
        .metageneration = db_int(q, 5),
    };
}

int bucket_get(struct store *s, struct arena *a, const char *project, struct str name,
               struct bucket *out, struct error *e)
{
    struct db *d = store_read(s, e);

    if (!d)
        return -1;
    int rc = bucket_check(d, project, name, e);
    if (rc == 0) {
        struct stmt *q = db_stmt(d, "SELECT " BUCKET_COLUMNS " FROM bucket WHERE name = ?");
        db_bind(q, "t", name);
        rc = db_step(q, "cannot read a bucket", e);
        if (rc == 1)
            bucket_row(q, a, out);
        else if (rc == 0)
            rc = error_set(e, ERROR_NOT_FOUND, "The specified bucket does not exist.");
    }
    store_read_done(s, d);
    return rc < 0 ? -1 : 0;
}

int bucket_patch(struct store *s, const char *project, struct str name, struct str meta,
                 struct error *e)
{
    struct db *d = store_write(s, e);

    if (!d)
        return -1;
    int rc = bucket_check(d, project, name, e);
    if (rc == 0) {
        struct stmt *q = db_stmt(d, "UPDATE bucket SET meta = ?2,"
                                    " update_us = ?3, metageneration = metageneration + 1"
                                    " WHERE name = ?1");
        db_bind(q, "tti", name, meta.len ? meta : STR("{}"), store_now(s));
        rc = db_run(q, "cannot change a bucket", e);
    }
    return store_commit(s, d, rc < 0 ? -1 : 0, e);
}

static int delete_in(struct db *d, const char *project, struct str name, struct error *e)
{
    if (bucket_check(d, project, name, e) < 0)
        return -1;
    struct stmt *q = db_stmt(d, "SELECT 1 FROM object WHERE bucket = ? LIMIT 1");
    db_bind(q, "t", name);
    int rc = db_step(q, "cannot read a bucket", e);
    if (rc == 1)
        return error_set(e, ERROR_FAILED_PRECONDITION,
                         "The bucket you tried to delete is not empty.");
    if (rc < 0)
        return -1;
    q = db_stmt(d, "DELETE FROM bucket WHERE name = ?");
    db_bind(q, "t", name);
    return db_run(q, "cannot delete a bucket", e) < 0 ? -1 : 0;
}

int bucket_delete(struct store *s, const char *project, struct str name, struct error *e)
{
    struct db *d = store_write(s, e);

    if (!d)
        return -1;
    return store_commit(s, d, delete_in(d, project, name, e), e);
}

/* The constants are apart because each goes by its own index. */
static struct stmt *query_stmt(struct db *d, const char *project)
{
    struct stmt *q;

    if (project) {
        q = db_stmt(d, "SELECT " BUCKET_COLUMNS " FROM bucket WHERE project = ?3"
                       " AND name > ?1 AND name >= ?2 ORDER BY name");
        db_bind_from(q, 3, "s", project);
        return q;
    }
    return db_stmt(d, "SELECT " BUCKET_COLUMNS " FROM bucket WHERE name > ?1 AND name >= ?2"
                      " ORDER BY name");
}

int bucket_query(struct store *s, struct arena *a, const struct bucket_query *query,
                 struct bucket_list *out, struct error *e)
{
    struct db *d = store_read(s, e);
    struct bucket b;
    int rc;

    *out = (struct bucket_list){ 0 };
    if (!d)
        return -1;
    struct stmt *q = query_stmt(d, query->project);
    db_bind(q, "tt", query->after, query->prefix);
    while ((rc = db_step(q, "cannot list buckets", e)) == 1) {
        bucket_row(q, a, &b);
        if (!str_starts(b.name, query->prefix))
            break;
        out->more = out->count == query->most;
        if (out->more)
            break;
        out->item = arena_list_grow(a, out->item, out->count, sizeof b);
        out->item[out->count++] = b;
    }
    store_read_done(s, d);
    return rc < 0 ? -1 : 0;
}
