/* shard_world.h -- short words for the tests of shards: jobs that are cut, two processes on one store. */
#ifndef TRANCHE_TESTS_SHARD_WORLD_H
#define TRANCHE_TESTS_SHARD_WORLD_H

#include "unit/store/jobs/job_world.h"
#include "store/fleet/fleet.h"
#include "store/jobs/shards.h"

#define LINES 10 /* of each shard */

/* A second process: a connection of its own to the world's store. */
static inline struct store *other_process(struct world *w, const char *name)
{
    struct error e = { 0 };
    struct store *s = world_opened(w, false);

    ASSERT_OK(fleet_join(s, name, &e), e);
    return s;
}

static inline void cut_into(struct world *w, struct job *j, uint32_t shards)
{
    struct shard_cut *cut = arena_array(&w->a, shards, sizeof *cut);
    struct error e = { 0 };

    for (uint32_t i = 0; i < shards; i++)
        cut[i] = (struct shard_cut){ .begin = i * 100,
                                     .end = i * 100 + 100,
                                     .line_no = i * LINES + 1,
                                     .first = i * LINES,
                                     .lines = LINES,
                                     .cost_max_nano = 1000,
                                     .tokens_max = 100 };
    ASSERT_OK(job_check_begin(w->s, j, &e), e);
    ASSERT_OK(shards_add(w->s, j, cut, shards, &e), e);
    j->counters.total = (uint64_t)shards * LINES;
}

/* A QUEUED job. */
static inline struct job cut_job_as(struct world *w, struct job j, uint32_t shards)
{
    struct error e = { 0 };

    j = create_as(w, j);
    cut_into(w, &j, shards);
    ASSERT_OK(job_checked(w->s, &j, &e), e);
    return get(w, j.id);
}

static inline struct job cut_job(struct world *w, uint32_t shards)
{
    return cut_job_as(w, job_new("p"), shards);
}

struct taken {
    struct shard_lease item[16];
    uint32_t count;
    enum shards_left left;
};

static inline struct taken lease(struct store *s, int64_t job, uint32_t most)
{
    struct error e = { 0 };
    struct taken t = { 0 };

    assert_true(most <= 16);
    const struct shards_want want = { .job = job, .most = most };
    struct shards_got got = { .item = t.item };
    ASSERT_OK(shards_lease(s, &want, &got, &e), e);
    t.count = got.count;
    t.left = got.left;
    return t;
}

static inline struct counters answered(uint32_t succeeded, uint32_t failed)
{
    return (struct counters){ .total = LINES,
                              .succeeded = succeeded,
                              .failed = failed,
                              .prompt_tokens = 3 * succeeded,
                              .candidate_tokens = 2 * succeeded,
                              .cost_nano = 10 * succeeded };
}

static inline enum shards_left record(struct store *s, struct shard_lease *l,
                                      const struct shard_record *r)
{
    enum shards_left left = SHARDS_SOME;
    struct error e = { 0 };

    ASSERT_OK(shard_record(s, l, r, &left, &e), e);
    return left;
}

/* A checkpoint; the blob that it made. */
static inline struct blob checkpoint(struct world *w, struct store *s, struct shard_lease *l,
                                     struct counters c)
{
    struct blob b = blob_of(w, "answers");
    struct shard_record r = { .step = SHARD_CHECKPOINT, .counters = c, .answers = &b };

    (void)record(s, l, &r);
    return b;
}

static inline enum shards_left finish(struct world *w, struct store *s, struct shard_lease *l,
                                      struct counters c)
{
    struct blob out = blob_of(w, "rows\n");
    struct shard_record r = { .step = SHARD_DONE, .counters = c, .output = &out };

    return record(s, l, &r);
}

static inline enum shards_left release(struct store *s, struct shard_lease *l, const char *pause)
{
    struct shard_record r = { .step = SHARD_RELEASE, .counters = l->counters, .pause = pause };

    return record(s, l, &r);
}

static inline bool settle(struct store *s, int64_t job)
{
    struct error e = { 0 };
    bool moved = false;

    ASSERT_OK(shards_settle(s, job, &moved, &e), e);
    return moved;
}

static inline struct job_glance glance(struct world *w, int64_t job)
{
    struct job_glance *g = NULL;
    struct error e = { 0 };
    uint32_t count = 0;

    ASSERT_OK(jobs_glance(w->s, &w->a, &g, &count, &e), e);
    for (uint32_t i = 0; i < count; i++)
        if (g[i].id == job)
            return g[i];
    return (struct job_glance){ 0 };
}

#endif
