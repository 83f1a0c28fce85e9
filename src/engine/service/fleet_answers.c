/* fleet_answers.c -- the answers that a job had in a state folder (`tranche migrate`), given to its shards.
 *
 * Why: they were paid. A state folder has them in one spool for all lines; a fleet has them by shard.
 *
 * Shape:   The file JOB_ANSWERS_FILE is unpacked once; each shard with answers gets a spool of its own lines, counted from
 *          0, as its first checkpoint. Refused answers, which no line has, go along with the first of them.
 */
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "engine/service/fleet_job.h"
#include "store/spool/spool.h"

struct giving {
    struct store *store;
    const struct job *job;
    int64_t from; /* whose answers they are */
    struct spool *all;
    struct counters rest; /* of `all`: for the first shard that gets answers */
    const char *dir;      /* of a shard's spool */
};

/* The shard's answers as a blob; *given: it has some. */
static int slice(struct giving *g, const struct shard_cut *cut, struct shard_given *out,
                 bool *given, struct error *e)
{
    const struct counters none = { 0 };
    const char *path;

    if (sys_remove_all(g->dir, e) < 0 || sys_mkdirs(g->dir, e) < 0)
        return -1;
    struct spool *s = spool_open_scratch(g->dir, &path, e);
    if (!s)
        return -1;
    int rc = spool_slice(s, g->all, cut->first, cut->lines, e);
    spool_counters(s, &out->counters);
    *given = counters_done(&out->counters) > 0;
    if (rc == 0 && *given) {
        rc = spool_carry(s, &g->rest, &none, e);
        g->rest = none;
        spool_counters(s, &out->counters);
        if (rc == 0)
            rc = blob_pack(g->store, path, &out->answers, e);
    }
    spool_close(s);
    return rc;
}

static int give_all(struct giving *g, const struct shard_cut *cut, uint32_t count, struct error *e)
{
    for (uint32_t i = 0; i < count; i++) {
        struct shard_given given = { .number = i, .taken = g->from == g->job->id ? 0 : g->from };
        bool some = false;
        if (slice(g, &cut[i], &given, &some, e) < 0 ||
            (some && shards_give(g->store, g->job, &given, e) < 0))
            return -1;
    }
    return 0;
}

int fleet_answers_give(struct service *s, const struct fleet_cut *c, int64_t from, struct error *e)
{
    struct giving g = { .store = s->env.store, .job = c->job, .from = from };
    struct arena a = { 0 };
    struct error ignored;
    struct blob file;
    char folder[SERVICE_PATH_BYTES];
    int rc = job_file_get(g.store, from, JOB_ANSWERS_FILE, &file, e);

    if (rc <= 0)
        return rc;
    job_path(s, folder, c->job->id, "answers");
    g.dir = arena_textf(&a, "%s/shard", folder);
    rc = sys_remove_all(folder, e) < 0 || sys_mkdirs(folder, e) < 0 ? -1 : 0;
    if (rc == 0)
        rc = blob_unpack_to(g.store, file.id, arena_textf(&a, "%s/spool.db", folder), e);
    if (rc == 0)
        g.all = spool_peek(folder, e);
    if (g.all) {
        spool_counters(g.all, &g.rest);
        rc = give_all(&g, c->cut, c->count, e);
        spool_close(g.all);
    } else {
        rc = -1;
    }
    if (sys_remove_all(folder, &ignored) < 0)
        log_warn("job %lld: %s", (long long)c->job->id, ignored.msg);
    arena_release(&a);
    return rc < 0 ? error_wrap(e, "the answers of before") : 1;
}
