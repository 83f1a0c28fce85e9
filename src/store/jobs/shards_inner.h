/* shards_inner.h -- what the files about shards share, and what a job's check and end do to its shards. Nothing outside
 * src/store includes it.
 *
 * Why: the sums over a job's shards stand in its row, so that a look at all jobs costs a row a job.
 *
 * Rule:    whoever changes a shard has locked its job's row, and changes the sums with it. So two transactions on shards of
 *          one job follow one another, and a sum that was read is still true when it is written.
 */
#ifndef TRANCHE_STORE_JOBS_SHARDS_INNER_H
#define TRANCHE_STORE_JOBS_SHARDS_INNER_H

#include "store/jobs/jobs_inner.h"
#include "store/jobs/shards.h"

/* A job with the sums over its shards. */
struct sharded {
    struct job job;
    uint64_t shards, done, leased;
    uint64_t reserved_nano, reserved_tokens;
};
/* Locks the job's row and reads it. NOT_FOUND. */
int sharded_lock(struct db *d, struct arena *a, int64_t id, struct sharded *out,
                 struct error *e) FALLIBLE;
/* Writes the sums, the counters and what the job is asked, with update_us. */
int sharded_write(struct db *d, struct sharded *j, int64_t now_us, struct error *e) FALLIBLE;
bool sharded_is_sound(const struct sharded *j); /* I6 and its sums */

/* The rest of the job's budgets that nobody has reserved; UINT64_MAX: it has none. */
struct budget {
    uint64_t nano, tokens;
};
struct budget budget_left(const struct sharded *j);
/* The part of what is left that a shard may still spend; max: the upper cost of its lines. */
struct budget budget_share(const struct budget *left, const struct counters *spent,
                           const struct budget *max);
bool budget_is_spent(const struct budget *b);
/* The same as a row has it: 0 where the job has no budget. */
struct budget budget_reserved(const struct sharded *j, const struct budget *share);

/* Row of a shard, from column `first` on. */
#define SHARD_CUT                                                                                  \
    "number, input, begin_at, ends_at, line_no, first, lines, text_bytes, output_max,"             \
    " output_unset, cost_max, tokens_max"
#define SHARD_CUT_COLUMNS 12
uint64_t shard_cut_row(struct stmt *q, int first, struct shard_cut *out); /* its number */
// clang-format off
/* The members of counters but total, by JOB_COUNTERS. */
#define SHARD_COUNTERS(X)                                                                          \
    X(succeeded) X(failed) X(not_run) X(duplicates) X(reused) X(reused_tokens) X(prompt_tokens)    \
    X(cached_tokens) X(candidate_tokens) X(thought_tokens) X(duplicate_tokens) X(structured)       \
    X(complete) X(forced_tokens) X(rejected) X(rejected_tokens) X(rejected_cost_nano)              \
    X(cost_nano) X(cost_online_nano)
// clang-format on
#define SHARD_COUNTER_COLUMN(name) ", " #name
#define SHARD_COUNTER_SUM(name) ", CAST(coalesce(sum(" #name "), 0) AS BIGINT)"
#define SHARD_COUNTER_SET(name) ", " #name " = ?"
/* Reads and binds them, from a column and a parameter on; the next one. */
int shard_counters_row(struct stmt *q, int first, struct counters *out);
int shard_counters_bind(struct stmt *q, int first, const struct counters *c);
void counters_add(struct counters *to, const struct counters *c, const struct counters *less);

/* Shards of a project's job were leased: its next turn is later. In the order of locks this row comes last. */
int fair_lease_in(struct db *d, const char *project, const struct shards_want *want,
                  const struct shards_got *got, struct error *e) FALLIBLE;

/* Is the job PENDING under the fence of this check? Locks its row. */
int job_checking_in(struct db *d, const struct job *j, struct error *e) FALLIBLE;
/* Counts what is done of a job's shards when its check has ended. */
int shards_checked_in(struct db *d, int64_t job, struct error *e) FALLIBLE;
/* Before a job ends: its counters are those of the store; nothing is leased any more. Nothing for a job without shards. */
int shards_end_in(struct db *d, struct job *j, enum job_state to, int64_t now_us,
                  struct error *e) FALLIBLE;
/* Ends all leases of a job, under its lock. */
int shards_free_in(struct db *d, int64_t job, struct error *e) FALLIBLE;
/* Deletes some shards of a job with the blobs that they name. True in *more while there are others. */
int shards_delete_some(struct store *s, int64_t job, bool *more, struct error *e) FALLIBLE;

#endif
