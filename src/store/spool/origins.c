#include "store/spool/origins.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/sys.h"

#define CANNOT_READ "cannot read a kept answer"
#define CANNOT_WRITE "cannot note a kept answer"

static const struct db_settings settings = {
    .access = DB_FINISHED,
    .when_damaged = "--fresh begins the run anew",
};

struct origin {
    uint32_t id;
    char *name;    /* of the file in the folder */
    struct db *db; /* NULL: not open */
    uint64_t used; /* the clock at its last use */
};

struct origins {
    struct db *db; /* the spool's; borrowed */
    char *folder;
    struct origin *item;       /* in the order of their ids */
    uint32_t count, committed; /* the first of them are in the table for good */
    uint32_t open_count;
    uint64_t clock; /* counts uses */
};

static char *path_in(const struct origins *o, const char *name)
{
    size_t bytes = strlen(o->folder) + strlen(name) + 2;
    char *path = mem_alloc(bytes);

    (void)snprintf(path, bytes, "%s/%s", o->folder, name);
    return path;
}

static void keep(struct origins *o, uint32_t id, const char *name)
{
    o->item = mem_list_grow(o->item, o->count, sizeof *o->item);
    o->item[o->count++] = (struct origin){ .id = id, .name = mem_strdup(name) };
}

/* Reads the rows of the table that the list does not have. */
static int load(struct origins *o, struct error *e)
{
    struct stmt *q = db_stmt(o->db, "SELECT id, name FROM origin WHERE id > ? ORDER BY id");
    char name[256];
    int rc;

    db_bind(q, "i", (int64_t)(o->count ? o->item[o->count - 1].id : 0));
    while ((rc = db_step(q, CANNOT_READ, e)) == 1) {
        db_text_to(q, 1, name, sizeof name);
        keep(o, (uint32_t)db_int(q, 0), name);
    }
    o->committed = o->count;
    return rc;
}

struct origins *origins_open(struct db *d, const char *dir, struct error *e)
{
    struct origins *o = mem_alloc(sizeof *o);
    size_t bytes = strlen(dir) + sizeof "/from";

    o->db = d;
    o->folder = mem_alloc(bytes);
    (void)snprintf(o->folder, bytes, "%s/from", dir);
    if (load(o, e) == 0)
        return o;
    origins_close(o);
    return NULL;
}

void origins_close(struct origins *o)
{
    if (!o)
        return;
    for (uint32_t i = 0; i < o->count; i++) {
        db_close(o->item[i].db);
        mem_free(o->item[i].name);
    }
    mem_free(o->item);
    mem_free(o->folder);
    mem_free(o);
}

static struct origin *find(struct origins *o, const char *name)
{
    for (uint32_t i = 0; i < o->count; i++)
        if (strcmp(o->item[i].name, name) == 0)
            return &o->item[i];
    return NULL;
}

/* The link is durable before a row needs it. */
static int link_file(struct origins *o, const char *from, const char *name, struct error *e)
{
    char *to = path_in(o, name);
    int rc = sys_mkdirs(o->folder, e);

    if (rc == 0 && (fault_hit("origins.link") || (link(from, to) < 0 && errno != EEXIST)))
        rc = error_errno(e, "cannot link %s to %s", from, to);
    if (rc == 0)
        rc = sys_sync_folder(to, e);
    mem_free(to);
    return rc;
}

int origins_add(struct origins *o, const char *path, uint32_t *id, struct error *e)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const struct origin *known = find(o, name);
    uint32_t next = o->count ? o->item[o->count - 1].id + 1 : 1;

    if (known) {
        *id = known->id;
        return 0;
    }
    if (link_file(o, path, name, e) < 0)
        return -1;
    struct stmt *q = db_stmt(o->db, "INSERT INTO origin (id, name) VALUES (?, ?)");
    db_bind(q, "is", (int64_t)next, name);
    if (db_run(q, CANNOT_WRITE, e) < 0)
        return -1;
    keep(o, next, name);
    *id = next;
    return 0;
}

void origins_ended(struct origins *o, bool committed)
{
    for (; !committed && o->count > o->committed; o->count--) {
        struct origin *last = &o->item[o->count - 1];
        o->open_count -= last->db != NULL;
        db_close(last->db);
        mem_free(last->name);
    }
    o->committed = o->count;
}

static void close_oldest(struct origins *o)
{
    struct origin *oldest = NULL;

    for (uint32_t i = 0; i < o->count; i++)
        if (o->item[i].db && (!oldest || o->item[i].used < oldest->used))
            oldest = &o->item[i];
    assert(oldest);
    db_close(oldest->db);
    oldest->db = NULL;
    o->open_count--;
}

static struct db *open_one(struct origins *o, struct origin *item, struct error *e)
{
    item->used = ++o->clock;
    if (item->db)
        return item->db;
    if (o->open_count == ORIGINS_OPEN_MAX)
        close_oldest(o);
    char *path = path_in(o, item->name);
    item->db = db_open(path, &settings, e);
    mem_free(path);
    o->open_count += item->db != NULL;
    assert(o->open_count <= ORIGINS_OPEN_MAX);
    return item->db;
}

int origins_get(struct origins *o, uint32_t id, uint64_t index, struct str *response,
                int64_t *answered_us, struct error *e)
{
    assert(id >= 1);
    /* A reader beside the writer learns of new ones when a row names them. */
    if (id > o->count && o->count == o->committed && load(o, e) < 0)
        return -1;
    if (id > o->count || o->item[id - 1].id != id)
        return error_set(e, ERROR_DATA_LOSS,
                         CANNOT_READ ": it is of file %u, which is not known; "
                                     "--fresh begins the run anew",
                         id);
    struct db *d = open_one(o, &o->item[id - 1], e);
    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "SELECT processed_us, response FROM row WHERE idx = ?");
    db_bind(q, "i", (int64_t)index);
    int rc = db_step(q, CANNOT_READ, e);
    if (rc < 0)
        return -1;
    if (rc == 0 || db_bytes(q, 1).len == 0)
        return error_set(e, ERROR_DATA_LOSS,
                         CANNOT_READ " of %s: row %llu is not there; --fresh "
                                     "begins the run anew",
                         o->item[id - 1].name, (unsigned long long)index);
    *answered_us = db_int(q, 0);
    *response = db_bytes(q, 1);
    return 0;
}
