/* migrate.h -- a state folder's way to PostgreSQL and a bucket, which several processes share.
 *
 * Why: who outgrows one machine keeps jobs, objects, files, keys and answers.
 *
 * Shape:   The blobs are sent to the bucket and read back, then unfinished uploads and what the folders of jobs hold; then all
 *          rows go into the database in one transaction. A server refuses a database whose migration has not ended. Killed and
 *          called again it goes on: blobs that are there are not sent again.
 *          An open job is PENDING there: the first process checks its input again, cuts it, and goes on from the answers that
 *          it had (JOB_ANSWERS_FILE). The folder stays as it is.
 * Stays:   tables, kept answers and files of tuned models: store_migration says how many.
 * Errors:  FAILED_PRECONDITION: the target is not empty and not this folder's own half-done one, or a job is being
 *          cancelled; DATA_LOSS: a blob is damaged, or other bytes came back from the bucket, or other rows are there.
 * Threads: the caller's, and MIGRATE_THREADS of its own while blobs are sent.
 */
#ifndef TRANCHE_STORE_MIGRATE_MIGRATE_H
#define TRANCHE_STORE_MIGRATE_MIGRATE_H

#include "store/store.h"

#define MIGRATE_THREADS 8

struct store_migration {
    const char *database, *bucket; /* as in struct store_place */
    /* A line for people: the next step has begun, or how far it is. */
    void (*on_step)(void *arg, const char *text);
    void *arg;
    /* It is set by the call: */
    bool resumed;     /* an earlier call had begun */
    bool done_before; /* an earlier call had ended: nothing was done now */
    uint64_t tables, rows;
    uint64_t blobs, blob_bytes, sent; /* sent: those that were not there */
    uint64_t uploads, jobs, open_jobs,
        answers; /* answers: lines of jobs with an answer that go along */
    /* Files that stay behind: */
    uint64_t table_files, kept_files, model_files;
};
/* from: opened exclusively, so that no server runs on it. */
int store_migrate(struct store *from, struct store_migration *m, struct error *e) FALLIBLE;

#endif
