/* backup.h -- a copy of a state folder that is in use, by its server or by another process.
 *
 * Why: an operator must be able to copy the folder without stopping the server, and the copy must be one
 * that a server can start on.
 *
 * Errors:  ALREADY_EXISTS: the target is not empty. RESOURCE_EXHAUSTED: the disk is full.
 *          UNAVAILABLE: a spool was written back all the time; try again. DEADLINE_EXCEEDED: one file
 *          took over an hour.
 * Threads: any; each backup has connections of its own.
 */
#ifndef TRANCHE_STORE_BACKUP_BACKUP_H
#define TRANCHE_STORE_BACKUP_BACKUP_H

#include "store/store.h"

/* A consistent copy of a folder that is in use: the database, then the blobs it names (linked
 * where the file system can, else copied), the folders of its jobs, and the files of tables. to must not
 * exist or be empty (else ALREADY_EXISTS). Unfinished uploads are not in it. TO/backup.json is written
 * last: a folder without it is not a backup. While it is made, no blob's file is removed. */
int store_backup(struct store *s, const char *to, struct error *e) FALLIBLE;

#endif
