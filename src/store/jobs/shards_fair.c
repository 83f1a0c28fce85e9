/* shards_fair.c -- whose turn it is at a model, over all processes of a fleet: start-time fair queueing.
 *
 * Each lease has a start: where the project's last one ended, or the model's time when that is later, so that who had nothing
 * to do meanwhile has no claim to what it did not use. It ends by its work, divided by the project's weight, later. The model's
 * time is the latest start of all. Next is the project whose next start is the earliest.
 *
 * Source: Goyal, Vin, Cheng, "Start-Time Fair Queueing" (SIGCOMM 1996). */
#include "store/jobs/shards_inner.h"

/* Tokens that a line without a limit is taken to generate. */
#define OUTPUT_USUAL 256
#define TEXT_BYTES_PER_TOKEN 4

/* A shard's work is its tokens, as far as they are known before. */
static double work_of(const struct shards_got *got)
{
    double work = 0;

    for (uint32_t i = 0; i < got->count; i++) {
        const struct shard_cut *c = &got->item[i].cut;
        work += (double)c->text_bytes / TEXT_BYTES_PER_TOKEN + (double)c->output_max +
                (double)c->output_unset * OUTPUT_USUAL + (double)c->lines;
    }
    return work;
}

/* Two leases of a project follow one another at its row; the model's time may be a little old. */
int fair_lease_in(struct db *d, const char *project, const struct shards_want *want,
                  const struct shards_got *got, struct error *e)
{
    struct stmt *q = db_stmt(
        d, "INSERT INTO fair (model, project, work, start_at) SELECT CAST(?1 AS TEXT),"
           " CAST(?2 AS TEXT), now + CAST(?3 AS DOUBLE PRECISION), now FROM (SELECT"
           " coalesce(max(start_at), 0) AS now FROM fair WHERE model = ?1) AS time WHERE now >= 0"
           " ON CONFLICT (model, project) DO UPDATE SET start_at = CASE WHEN fair.work <"
           " excluded.start_at THEN excluded.start_at ELSE fair.work END, work = CASE WHEN"
           " fair.work < excluded.start_at THEN excluded.start_at ELSE fair.work END +"
           " excluded.work - excluded.start_at");

    db_bind(q, "ssd", want->model, project, work_of(got) / (want->weight > 0 ? want->weight : 1));
    return db_run(q, "cannot write the turn of a project", e) < 0 ? -1 : 0;
}

int shards_turns(struct store *s, struct arena *a, struct shards_turn **out, uint32_t *count,
                 struct error *e)
{
    struct db *d = store_read(s, e);
    int rc;

    *out = NULL;
    *count = 0;
    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "SELECT model, project, CASE WHEN work < time.now THEN time.now"
                                " ELSE work END FROM fair, (SELECT model AS name,"
                                " max(start_at) AS now FROM fair GROUP BY model) AS time"
                                " WHERE fair.model = time.name ORDER BY model, project");
    while ((rc = db_step(q, "cannot read the turns of projects", e)) == 1) {
        *out = arena_list_grow(a, *out, *count, sizeof **out);
        struct shards_turn *t = &(*out)[(*count)++];
        t->model = db_text(q, 0, a);
        t->project = db_text(q, 1, a);
        t->start = db_double(q, 2);
    }
    store_read_done(s, d);
    return rc;
}
