/* Answers of one run as copies in another: what a retry of the failures begins with. */
#include "store/spool/spool.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/spool/spool_inner.h"

#define ANSWERS "SELECT " SPOOL_COLUMNS " FROM row WHERE outcome = 1 ORDER BY idx"

static_assert(OUTCOME_SUCCEEDED == 1, "ANSWERS names it by number");

/* The other run's file, as a spool of which only db and path are used. */
struct source {
    struct spool spool;
    sqlite3_stmt *answers;
};

static int source_open(struct source *from, const char *dir, struct error *e);
static void source_close(struct source *from);
static int copy_row(struct spool *to, struct source *from, uint64_t *copied, struct error *e);

int spool_copy_answers(struct spool *to, const char *from_dir, uint64_t *copied, struct error *e)
{
    struct source from = { 0 };
    uint32_t group = 0;
    int rc = -1;

    assert(!to->group);
    *copied = 0;
    if (source_open(&from, from_dir, e) < 0)
        goto out;
    int step;
    while ((step = sqlite3_step(from.answers)) == SQLITE_ROW) {
        if (copy_row(to, &from, copied, e) < 0)
            goto out;
        if (++group % SPOOL_COPY_GROUP == 0 && spool_commit(to, e) < 0)
            goto out;
    }
    if (step != SQLITE_DONE)
        (void)spool_error(&from.spool, step, "cannot read", e);
    else
        rc = spool_commit(to, e);
out:
    source_close(&from);
    return rc;
}

/* Not through the spool's own VFS, whose files have no shared memory: a log that a crash left is
 * read without being written back. */
static int source_open(struct source *from, const char *dir, struct error *e)
{
    struct spool *s = &from->spool;
    size_t bytes = strlen(dir) + sizeof "/spool.db";

    s->path = mem_alloc(bytes);
    (void)snprintf(s->path, bytes, "%s/spool.db", dir);
    if (access(s->path, R_OK) < 0)
        return error_errno(e, "cannot read %s", s->path);
    int rc = sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(s->db, ANSWERS, -1, &from->answers, NULL);
    return rc == SQLITE_OK ? 0 : spool_error(s, rc, "cannot read", e);
}

static void source_close(struct source *from)
{
    (void)sqlite3_finalize(from->answers);
    (void)sqlite3_close(from->spool.db);
    mem_free(from->spool.path);
}

/* The digest stays, so that an identical line of the new run finds its answer here. */
static int copy_row(struct spool *to, struct source *from, uint64_t *copied, struct error *e)
{
    struct spool_row row = { 0 };
    bool done;

    spool_row_read(from->answers, &row);
    if (spool_done(to, row.index, 1, &done, e) < 0)
        return -1;
    if (done)
        return 0;
    row.duplicate = true;
    row.cost_nano = 0;
    if (spool_put(to, &row, e) < 0)
        return -1;
    (*copied)++;
    return 0;
}
