/* migrate_inner.h -- what the files of a migration share: migrate.c is its order and the rows, migrate_blobs.c the blobs,
 * migrate_jobs.c uploads and the folders of jobs. */
#ifndef TRANCHE_STORE_MIGRATE_MIGRATE_INNER_H
#define TRANCHE_STORE_MIGRATE_MIGRATE_INNER_H

#include "store/migrate/migrate.h"
#include "store/objects/objects_inner.h"
#include "store/store_inner.h"

/* A file of a job that goes along, as a blob. */
struct moved_file {
    int64_t job;
    const char *name;
    struct blob blob;
};
/* The bytes of an unfinished upload. */
struct moved_upload {
    struct str id;
    struct blob part;
};
struct migration {
    struct store *from, *to;
    struct store_migration *report;
    struct arena arena; /* outlives the connections of `to` */
    int64_t mark;       /* of this folder */
    struct moved_file *file;
    uint32_t file_count;
    struct moved_upload *upload;
    uint32_t upload_count;
};

void migrate_step(struct migration *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int migrate_blobs(struct migration *g, struct error *e) FALLIBLE;
int migrate_uploads(struct migration *g, struct error *e) FALLIBLE;
int migrate_jobs(struct migration *g, struct error *e) FALLIBLE;

#endif
