/* duties.c -- duties of processes, and the list of a fleet. */
#include "base/log.h"
#include "store/fleet/fleet.h"
#include "store/fleet/fleet_inner.h"

/* ---- Duties ---- */

static int duty_in(struct db *d, const char *name, int64_t process, bool *ours, struct error *e)
{
    if (fleet_lock_in(d, process, e) < 0)
        return -1;
    struct stmt *q = db_stmt(d, "INSERT INTO duty (name, process) VALUES (?, ?)"
                                " ON CONFLICT (name) DO NOTHING");
    db_bind(q, "si", name, process);
    if (db_run(q, "cannot take a duty", e) < 0)
        return -1;
    q = db_stmt(d, "SELECT process FROM duty WHERE name = ?");
    db_bind(q, "s", name);
    int rc = db_step(q, "cannot read a duty", e);
    *ours = rc == 1 && db_int(q, 0) == process;
    return rc < 0 ? -1 : 0;
}

int duty_take(struct store *s, const char *name, struct error *e)
{
    int64_t process = fleet_process(s);
    bool ours = true;

    if (process == 0)
        return 1;
    struct db *d = store_write_rows(s, e);
    if (!d || store_commit(s, d, duty_in(d, name, process, &ours, e), e) < 0)
        return -1;
    return ours;
}

/* One that cannot be ended now ends with the process's lease. */
void duty_end(struct store *s, const char *name)
{
    int64_t process = fleet_process(s);
    struct error e = { 0 };
    struct db *d = process ? store_write_rows(s, &e) : NULL;

    if (!d)
        return;
    struct stmt *q = db_stmt(d, "DELETE FROM duty WHERE name = ? AND process = ?");
    db_bind(q, "si", name, process);
    int rc = db_run(q, "cannot end a duty", &e);
    if (store_commit(s, d, rc < 0 ? -1 : 0, &e) < 0)
        log_warn("%s: %s", name, e.msg);
}

/* ---- For people ---- */

int fleet_list(struct store *s, struct arena *a, struct fleet_member **out, uint32_t *count,
               struct error *e)
{
    struct db *d = store_read(s, e);
    int rc;

    *out = NULL;
    *count = 0;
    if (!d)
        return -1;
    struct stmt *q =
        db_stmt(d, "SELECT id, name, version, join_us, until_us, (SELECT count(*) FROM shard"
                   " WHERE shard.process = process.id AND shard.process != 0)"
                   " FROM process ORDER BY id");
    while ((rc = db_step(q, "cannot read the processes", e)) == 1) {
        *out = arena_list_grow(a, *out, *count, sizeof **out);
        struct fleet_member *m = &(*out)[(*count)++];
        *m = (struct fleet_member){ .process = db_int(q, 0),
                                    .join_us = db_int(q, 3),
                                    .until_us = db_int(q, 4),
                                    .shards = (uint32_t)db_int(q, 5) };
        db_text_to(q, 1, m->name, sizeof m->name);
        db_text_to(q, 2, m->version, sizeof m->version);
    }
    store_read_done(s, d);
    return rc;
}
