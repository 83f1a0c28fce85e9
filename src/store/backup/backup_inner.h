/* backup_inner.h -- copying single files, jobs' folders and tables for a backup. For backup*.c alone. */
#ifndef TRANCHE_STORE_BACKUP_BACKUP_INNER_H
#define TRANCHE_STORE_BACKUP_BACKUP_INNER_H

#include <stdint.h>

#include "base/error.h"

/* A synced copy; to must not exist. The folder of to is not synced. NOT_FOUND when from is absent. */
int backup_file(const char *from, const char *to, struct error *e) FALLIBLE;
/* A job's folder while a runner may write it: a database with its log as of one instant, other files
 * as they are, folders in it not at all (the runner makes them again). An absent folder, or one that
 * goes meanwhile, is fine: the job then begins again. */
int backup_job_folder(const char *from, const char *to, struct error *e) FALLIBLE;
/* The files of projects' tables while their engine writes them, each as of one instant; adds how many to count. An
 * absent folder has none. */
int backup_tables(const char *from, const char *to, uint64_t *count, struct error *e) FALLIBLE;

#endif
