#include "engine/lines/closeout.h"

#include <assert.h>

#include "engine/lines/ledger.h"
#include "engine/lines/pipeline.h"

static int close_some(const struct closeout_job *j, struct ledger *g, uint64_t first,
                      uint32_t count, struct error *e)
{
    bool done[SHARD_LINES_MAX];

    if (spool_done(j->spool, first, count, done, e) < 0)
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        if (!done[i] && ledger_not_run(g, first + i, &j->why, e) < 0)
            return -1;
    }
    return 0;
}

static int go_on(const struct closeout_job *j, struct error *e)
{
    if (j->stop && atomic_load(j->stop))
        return error_set(e, ERROR_CANCELLED, "the job's end was interrupted");
    return 0;
}

/* Only committed rows count (I2). */
static int commit(const struct closeout_job *j, struct ledger *g, struct counters *counters,
                  struct error *e)
{
    if (ledger_commit(g, e) < 0)
        return -1;
    spool_counters(j->spool, counters);
    assert(counters_balanced(counters)); /* I6 */
    if (j->on_progress)
        j->on_progress(j->arg, counters);
    return go_on(j, e);
}

static int close_lines(const struct closeout_job *j, struct ledger *g, struct counters *counters,
                       struct error *e)
{
    for (uint64_t at = 0; at < j->ingest->lines && counters_pending(counters);) {
        uint64_t left = j->ingest->lines - at;
        uint32_t count = left < SHARD_LINES_MAX ? (uint32_t)left : SHARD_LINES_MAX;
        if (close_some(j, g, at, count, e) < 0)
            return -1;
        at += count;
        if (g->rows + SHARD_LINES_MAX > COMMIT_ROWS_MAX && commit(j, g, counters, e) < 0)
            return -1;
    }
    return commit(j, g, counters, e);
}

static int render_all(const struct closeout_job *j, struct error *e)
{
    int more = 1;

    while (more == 1) {
        if (go_on(j, e) < 0)
            return -1;
        more = render_advance(j->render, j->spool, e);
    }
    assert(more < 0 || render_lines(j->render) == j->ingest->lines);
    return more;
}

int closeout_run(const struct closeout_job *j, struct counters *counters, struct error *e)
{
    const struct price none = { 0 }; /* nothing is computed here */
    struct ledger g;
    int rc;

    assert(j->why.code != ERROR_OK);
    counters->total = j->ingest->lines;
    ledger_init(&g, j->spool, &none, j->clock);
    spool_counters(j->spool, counters);
    rc = close_lines(j, &g, counters, e);
    if (rc == 0)
        rc = render_all(j, e);
    ledger_release(&g);
    return rc;
}
