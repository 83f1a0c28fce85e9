/* shards.c -- a job's shards as a whole: cut by the check, taken from another job, joined at the end. */
#include "store/jobs/shards.h"

#include <assert.h>
#include <string.h>

#include "store/jobs/shards_inner.h"

/* Shards that one transaction writes. */
#define ADD_BATCH 500
#define INHERIT_BATCH 5000
/* Rows of one statement's result. */
#define PAGE 1000

/* ---- A job with its sums ---- */

bool sharded_is_sound(const struct sharded *j)
{
    return counters_balanced(&j->job.counters) && j->done <= j->shards &&
           j->leased <= j->shards - j->done &&
           (j->leased > 0 || (j->reserved_nano == 0 && j->reserved_tokens == 0));
}

int sharded_lock(struct db *d, struct arena *a, int64_t id, struct sharded *out, struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT " JOB_COLUMNS ", shards, shards_done, shards_leased,"
                                " reserved_nano, reserved_tokens FROM job WHERE id = ? FOR UPDATE");
    int at = JOB_FIELD_COUNT + 1;

    *out = (struct sharded){ 0 };
    db_bind(q, "i", id);
    int rc = db_step(q, "cannot read the job", e);
    if (rc <= 0)
        return rc < 0 ? -1 : error_set(e, ERROR_NOT_FOUND, "there is no job %lld", (long long)id);
    job_row(q, a, &out->job);
    out->shards = (uint64_t)db_int(q, at);
    out->done = (uint64_t)db_int(q, at + 1);
    out->leased = (uint64_t)db_int(q, at + 2);
    out->reserved_nano = (uint64_t)db_int(q, at + 3);
    out->reserved_tokens = (uint64_t)db_int(q, at + 4);
    assert(sharded_is_sound(out));
    return 0;
}

int sharded_write(struct db *d, struct sharded *j, int64_t now_us, struct error *e)
{
    struct stmt *q = db_stmt(
        d,
        "UPDATE job SET " JOB_COUNTERS(
            JOB_SET) "wish = ?, pause_reason = ?,"
                     " shards_done = ?, shards_leased = ?, reserved_nano = ?, reserved_tokens = ?,"
                     " update_us = ? WHERE id = ?");

    assert(sharded_is_sound(j));
    j->job.update_us = now_us;
    int next = job_bind(q, 1, &j->job, FIELD_total, FIELD_cost_online_nano);
    db_bind_from(q, next, "ntiiiiii", (int)j->job.asked, j->job.pause_reason, (int64_t)j->done,
                 (int64_t)j->leased, (int64_t)j->reserved_nano, (int64_t)j->reserved_tokens, now_us,
                 j->job.id);
    return db_run(q, "cannot write the job", e) < 0 ? -1 : 0;
}

/* ---- Rows ---- */

uint64_t shard_cut_row(struct stmt *q, int first, struct shard_cut *out)
{
    *out = (struct shard_cut){
        .input = (uint32_t)db_int(q, first + 1),
        .begin = (uint64_t)db_int(q, first + 2),
        .end = (uint64_t)db_int(q, first + 3),
        .line_no = (uint64_t)db_int(q, first + 4),
        .first = (uint64_t)db_int(q, first + 5),
        .lines = (uint32_t)db_int(q, first + 6),
        .text_bytes = (uint64_t)db_int(q, first + 7),
        .output_max = (uint64_t)db_int(q, first + 8),
        .output_unset = (uint32_t)db_int(q, first + 9),
        .cost_max_nano = (uint64_t)db_int(q, first + 10),
        .tokens_max = (uint64_t)db_int(q, first + 11),
    };
    return (uint64_t)db_int(q, first);
}

int shard_counters_row(struct stmt *q, int first, struct counters *out)
{
#define X(name) out->name = (uint64_t)db_int(q, first++);
    SHARD_COUNTERS(X)
#undef X
    return first;
}

int shard_counters_bind(struct stmt *q, int first, const struct counters *c)
{
#define X(name) db_bind_from(q, first++, "i", (int64_t)c->name);
    SHARD_COUNTERS(X)
#undef X
    return first;
}

void counters_add(struct counters *to, const struct counters *c, const struct counters *less)
{
#define X(name) to->name += c->name - less->name;
    SHARD_COUNTERS(X)
#undef X
}

/* ---- Adding ---- */

static int remove_some(struct store *s, const struct job *j, int *removed, struct error *e)
{
    struct db *d = store_write_rows(s, e);

    if (!d)
        return -1;
    int rc = job_checking_in(d, j, e);
    if (rc == 0) {
        struct stmt *q = db_stmt(d, "DELETE FROM shard WHERE job = ?1 AND number IN (SELECT number"
                                    " FROM shard WHERE job = ?1 ORDER BY number LIMIT ?2)");
        db_bind(q, "ii", j->id, (int64_t)ADD_BATCH);
        *removed = db_run(q, "cannot remove the shards of an earlier check", e);
        rc = *removed < 0 ? -1 : 0;
    }
    return store_commit(s, d, rc, e);
}

#define ADD_ROW "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
#define ADD_ROW_PARAMETERS 14
/* Shards that one statement writes. */
#define ADD_ROWS 8

static void bind_row(struct stmt *q, int first, int64_t job, uint32_t number,
                     const struct shard_cut *c)
{
    db_bind_from(q, first, "iiiiiiiiiiiiii", job, (int64_t)number, (int64_t)c->input,
                 (int64_t)c->begin, (int64_t)c->end, (int64_t)c->line_no, (int64_t)c->first,
                 (int64_t)c->lines, (int64_t)c->text_bytes, (int64_t)c->output_max,
                 (int64_t)c->output_unset, (int64_t)c->cost_max_nano, (int64_t)c->tokens_max,
                 (int64_t)c->lines);
}

/* Writes the shards [from, to). */
static int insert(struct db *d, const struct job *j, const struct shard_cut *cut, uint32_t from,
                  uint32_t to, struct error *e)
{
    while (from < to) {
        uint32_t rows = to - from >= ADD_ROWS ? ADD_ROWS : 1;
        struct stmt *q =
            rows == 1 ? db_stmt(d, "INSERT INTO shard (job, " SHARD_CUT ", total) VALUES " ADD_ROW)
                      : db_stmt(d, "INSERT INTO shard (job, " SHARD_CUT ", total) VALUES " ADD_ROW
                                   "," ADD_ROW "," ADD_ROW "," ADD_ROW "," ADD_ROW "," ADD_ROW
                                   "," ADD_ROW "," ADD_ROW);
        for (uint32_t i = 0; i < rows; i++)
            bind_row(q, 1 + (int)i * ADD_ROW_PARAMETERS, j->id, from + i, &cut[from + i]);
        if (db_run(q, "cannot write the shards of a job", e) < 0)
            return -1;
        from += rows;
    }
    return 0;
}

static int count_shards(struct db *d, int64_t job, uint32_t count, struct error *e)
{
    struct stmt *q = db_stmt(d, "UPDATE job SET shards = ?, shards_done = 0 WHERE id = ?");

    db_bind(q, "ii", (int64_t)count, job);
    return db_run(q, "cannot write the shards of a job", e) < 0 ? -1 : 0;
}

int shards_add(struct store *s, const struct job *j, const struct shard_cut *cut, uint32_t count,
               struct error *e)
{
    int removed = 0;

    do {
        if (remove_some(s, j, &removed, e) < 0)
            return -1;
    } while (removed == ADD_BATCH);
    for (uint32_t from = 0; from < count; from += ADD_BATCH) {
        uint32_t to = count - from > ADD_BATCH ? from + ADD_BATCH : count;
        struct db *d = store_write_rows(s, e);
        if (!d)
            return -1;
        int rc = job_checking_in(d, j, e);
        if (rc == 0)
            rc = insert(d, j, cut, from, to, e);
        if (rc == 0 && to == count)
            rc = count_shards(d, j->id, count, e);
        if (store_commit(s, d, rc, e) < 0)
            return -1;
    }
    return 0;
}

/* Lines that it took from another job, or had answered before it was cut, count from the check's end on. */
int shards_checked_in(struct db *d, int64_t job, struct error *e)
{
    struct arena a = { 0 };
    struct sharded j;
    int rc = sharded_lock(d, &a, job, &j, e);

    if (rc == 0 && j.shards > 0) {
        struct stmt *q = db_stmt(d, "SELECT CAST(coalesce(sum(done), 0) AS BIGINT)" SHARD_COUNTERS(
                                        SHARD_COUNTER_SUM) " FROM shard WHERE job = ?");
        db_bind(q, "i", job);
        rc = db_step(q, "cannot read the shards of a job", e) < 0 ? -1 : 0;
        if (rc == 0) {
            assert((uint64_t)db_int(q, 0) == j.done);
            (void)shard_counters_row(q, 1, &j.job.counters);
            rc = sharded_write(d, &j, j.job.update_us, e);
        }
    }
    arena_release(&a);
    return rc;
}

/* ---- Taken from another job ---- */

static int shards_of(struct db *d, int64_t job, enum job_state *state, uint64_t *out,
                     struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT state, shards FROM job WHERE id = ?");

    db_bind(q, "i", job);
    int rc = db_step(q, "cannot read the job", e);
    *state = rc == 1 ? (enum job_state)db_int(q, 0) : JOB_PENDING;
    *out = rc == 1 ? (uint64_t)db_int(q, 1) : 0;
    return rc < 0 ? -1 : 0;
}

/* The number of shards, when the other job's are the same. */
static int same_cut(struct db *d, int64_t job, int64_t from, uint64_t *shards, struct error *e)
{
    enum job_state state;
    uint64_t theirs;

    if (shards_of(d, job, &state, shards, e) < 0 || shards_of(d, from, &state, &theirs, e) < 0)
        return -1;
    if (theirs == 0)
        return error_set(e, ERROR_NOT_FOUND, "job %lld has no shards", (long long)from);
    struct stmt *q =
        db_stmt(d, "SELECT count(*) FROM shard, shard AS o WHERE shard.job = ?1 AND o.job = ?2"
                   " AND o.number = shard.number AND o.input = shard.input"
                   " AND o.begin_at = shard.begin_at AND o.ends_at = shard.ends_at"
                   " AND o.first = shard.first AND o.lines = shard.lines");
    db_bind(q, "ii", job, from);
    if (db_step(q, "cannot read the shards of a job", e) < 0)
        return -1;
    if (job_state_final(state) && theirs == *shards && (uint64_t)db_int(q, 0) == theirs)
        return 0;
    return error_set(e, ERROR_FAILED_PRECONDITION, "job %lld is cut into other shards",
                     (long long)from);
}

/* The lines of shards without failures are copies, which cost nothing; their form is what it was. */
static int take_some(struct db *d, int64_t job, int64_t from, int64_t first, struct error *e)
{
    struct stmt *q = db_stmt(
        d, "UPDATE shard SET done = 1, output = o.output, output_bytes = o.output_bytes,"
           " output_crc32c = o.output_crc32c, output_md5 = o.output_md5,"
           " output_sha256 = o.output_sha256, succeeded = shard.lines, duplicates = shard.lines,"
           " duplicate_tokens ="
           " o.prompt_tokens + o.candidate_tokens + o.thought_tokens + o.duplicate_tokens,"
           " structured = o.structured, complete = o.complete FROM shard AS o"
           " WHERE shard.job = ?1 AND shard.number >= ?3 AND shard.number < ?4 AND o.job = ?2"
           " AND o.number = shard.number AND o.done != 0 AND o.failed + o.not_run = 0");

    db_bind(q, "iiii", job, from, first, first + INHERIT_BATCH);
    if (db_run(q, "cannot take over shards", e) < 0)
        return -1;
    q = db_stmt(d, "UPDATE shard SET answers = o.answers,"
                   " taken = CASE o.taken WHEN 0 THEN o.job ELSE o.taken END FROM shard AS o"
                   " WHERE shard.job = ?1 AND shard.number >= ?3 AND shard.number < ?4"
                   " AND shard.done = 0 AND o.job = ?2 AND o.number = shard.number"
                   " AND o.answers != 0");
    db_bind(q, "iiii", job, from, first, first + INHERIT_BATCH);
    if (db_run(q, "cannot take over shards", e) < 0)
        return -1;
    q = db_stmt(d, "UPDATE job SET shards_done = (SELECT count(*) FROM shard WHERE job = ?1"
                   " AND done != 0) WHERE id = ?1");
    db_bind(q, "i", job);
    return db_run(q, "cannot take over shards", e) < 0 ? -1 : 0;
}

/* Nobody drops a blob of the other job within one of these transactions: that takes the same right. When that job is
 * deleted meanwhile, the rest begins anew. */
int shards_inherit(struct store *s, const struct job *j, int64_t from, struct error *e)
{
    uint64_t shards = 1;

    for (uint64_t first = 0; first < shards; first += INHERIT_BATCH) {
        struct db *d = store_write(s, e);
        if (!d)
            return -1;
        int rc = job_checking_in(d, j, e);
        if (rc == 0 && first == 0)
            rc = same_cut(d, j->id, from, &shards, e);
        if (rc == 0)
            rc = take_some(d, j->id, from, (int64_t)first, e);
        if (store_commit(s, d, rc, e) < 0)
            return -1;
    }
    return 0;
}

/* ---- Answered before it was cut ---- */

int shards_give(struct store *s, const struct job *j, const struct shard_given *g, struct error *e)
{
    static const struct counters none = { 0 };
    struct db *d = store_write_rows(s, e);
    struct stmt *q;

    if (!d)
        return -1;
    int rc = job_checking_in(d, j, e);
    if (rc == 0)
        rc = blob_keep_in(s, d, g->answers.id, e);
    if (rc == 0) {
        q = db_stmt(d, "UPDATE shard SET answers = ?, taken = ?" SHARD_COUNTERS(
                           SHARD_COUNTER_SET) " WHERE job = ? AND number = ?");
        db_bind(q, "ii", g->answers.id, g->taken);
        int next = shard_counters_bind(q, 3, g->taken ? &none : &g->counters);
        db_bind_from(q, next, "ii", j->id, (int64_t)g->number);
        rc = db_run(q, "cannot write the shards of a job", e) < 0 ? -1 : 0;
    }
    return store_commit(s, d, rc, e);
}

/* ---- The end ---- */

int shards_free_in(struct db *d, int64_t job, struct error *e)
{
    struct stmt *q = db_stmt(d, "UPDATE job SET shards_leased = 0, reserved_nano = 0,"
                                " reserved_tokens = 0 WHERE id = ? AND shards_leased > 0");

    db_bind(q, "i", job);
    int rc = db_run(q, "cannot free the shards of a job", e);
    if (rc <= 0)
        return rc;
    q = db_stmt(d, "UPDATE shard SET process = 0, reserved_nano = 0, reserved_tokens = 0"
                   " WHERE job = ? AND process != 0");
    db_bind(q, "i", job);
    return db_run(q, "cannot free the shards of a job", e) < 0 ? -1 : 0;
}

/* All of it may have been done by another job: then it has its moment of running here. */
static int end_in(struct db *d, struct sharded *now, struct job *j, enum job_state to,
                  int64_t now_us, struct error *e)
{
    j->counters = now->job.counters;
    j->counters.not_run += counters_pending(&j->counters);
    if (shards_free_in(d, j->id, e) < 0)
        return -1;
    if (to != JOB_SUCCEEDED)
        return 0;
    if (now->done < now->shards)
        return error_set(e, ERROR_FAILED_PRECONDITION, "job %lld has open shards",
                         (long long)j->id);
    if (now->job.state != JOB_QUEUED || now->job.fence != j->fence)
        return 0;
    int rc = job_begin_in(d, &now->job, now_us, e);
    j->fence = now->job.fence;
    j->start_us = now->job.start_us;
    return rc;
}

int shards_end_in(struct db *d, struct job *j, enum job_state to, int64_t now_us, struct error *e)
{
    struct arena a = { 0 };
    struct sharded now;
    int rc = sharded_lock(d, &a, j->id, &now, e);

    if (rc == 0 && now.shards > 0 && now.job.state != JOB_PENDING)
        rc = end_in(d, &now, j, to, now_us, e);
    arena_release(&a);
    return rc;
}

static int delete_batch(struct db *d, struct arena *a, int64_t job, int *deleted, struct error *e)
{
    int64_t *blob = arena_array(a, (size_t)2 * ADD_BATCH, sizeof *blob);
    uint32_t count = 0;
    int rc;
    struct stmt *q = db_stmt(d, "DELETE FROM shard WHERE job = ?1 AND number IN (SELECT number"
                                " FROM shard WHERE job = ?1 ORDER BY number LIMIT ?2)"
                                " RETURNING answers, output");

    db_bind(q, "ii", job, (int64_t)ADD_BATCH);
    while ((rc = db_step(q, "cannot delete the shards of a job", e)) == 1) {
        blob[count++] = db_int(q, 0);
        blob[count++] = db_int(q, 1);
    }
    *deleted = (int)count / 2;
    for (uint32_t i = 0; i < count && rc == 0; i++)
        rc = blob_drop_in(d, blob[i], NULL, e);
    return rc;
}

int shards_delete_some(struct store *s, int64_t job, bool *more, struct error *e)
{
    struct arena a = { 0 };
    int deleted = 0;
    struct db *d = store_write(s, e);
    int rc = d ? store_commit(s, d, delete_batch(d, &a, job, &deleted, e), e) : -1;

    arena_release(&a);
    *more = deleted == ADD_BATCH;
    return rc;
}

/* ---- The output ---- */

/* A walk over what is recorded of a job's shards. */
struct recorded {
    int64_t job;
    uint64_t next; /* number of the shard to go on from */
    struct shard_rows *item;
    uint32_t count;
};

/* 1: there may be more behind these. Answers that another job has made are not this one's yet. */
static int recorded_page(struct db *d, struct arena *a, struct recorded *r, struct error *e)
{
    struct stmt *q =
        db_stmt(d, "SELECT answers, output, output_bytes, output_crc32c, output_md5,"
                   " output_sha256, " SHARD_CUT " FROM shard WHERE job = ? AND number >= ?"
                   " AND (done != 0 OR (answers != 0 AND taken = 0)) ORDER BY number LIMIT ?");
    int rows = 0, rc;

    db_bind(q, "iii", r->job, (int64_t)r->next, (int64_t)PAGE);
    while ((rc = db_step(q, "cannot read the shards of a job", e)) == 1) {
        r->item = arena_list_grow(a, r->item, r->count, sizeof *r->item);
        struct shard_rows *s = &r->item[r->count++];
        *s = (struct shard_rows){ .answers = db_int(q, 0) };
        blob_columns(q, 1, &s->output);
        s->number = shard_cut_row(q, 6, &s->cut);
        r->next = s->number + 1;
        rows++;
    }
    return rc < 0 ? -1 : rows == PAGE;
}

int shards_recorded(struct store *s, struct arena *a, int64_t job, struct shard_rows **out,
                    uint32_t *count, struct error *e)
{
    struct recorded r = { .job = job };
    struct db *d = store_read(s, e);
    int rc = d ? 1 : -1;

    while (rc == 1)
        rc = recorded_page(d, a, &r, e);
    if (d)
        store_read_done(s, d);
    *out = r.item;
    *count = r.count;
    return rc;
}

/* In a folder, where shards are a test's, the bytes are copied. */
static int join(struct store *s, struct arena *a, const struct blob *part, uint32_t count,
                struct blob *out, struct error *e)
{
    if (store_is_shared(s))
        return blob_join(s, part, count, out, e);
    int64_t *id = arena_array(a, (size_t)count + 1, sizeof *id);
    for (uint32_t i = 0; i < count; i++)
        id[i] = part[i].id;
    return blob_compose(s, id, count, out, e);
}

int shards_done(struct store *s, struct arena *a, int64_t job, struct blob **out, uint32_t *count,
                struct error *e)
{
    struct shard_rows *r = NULL;
    uint32_t recorded = 0;

    *count = 0;
    if (shards_recorded(s, a, job, &r, &recorded, e) < 0)
        return -1;
    *out = arena_array(a, (size_t)recorded + 1, sizeof **out);
    while (*count < recorded && r[*count].number == *count && r[*count].output.id) {
        (*out)[*count] = r[*count].output;
        (*count)++;
    }
    return 0;
}

int shards_join(struct store *s, int64_t job, struct blob *out, struct error *e)
{
    struct arena a = { 0 };
    struct blob *part = NULL;
    uint32_t count = 0;
    int rc = shards_done(s, &a, job, &part, &count, e);

    if (rc == 0 && count == 1)
        *out = part[0];
    else if (rc == 0)
        rc = join(s, &a, part, count, out, e);
    arena_release(&a);
    return rc;
}
