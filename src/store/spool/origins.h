/* origins.h -- the finished runs whose answers a spool's rows name instead of holding them.
 *
 * Why: an answer that is used again is not written again. The finished run's file is linked into
 * DIR/from, so that the answers stay readable for this run, whoever prunes the kept ones meanwhile.
 *
 * Shape:   table origin has a number and a file name for each; origins_get reads one answer.
 * Memory:  at most ORIGINS_OPEN_MAX files are open at once.
 * Errors:  NOT_FOUND from origins_add when the file is gone; DATA_LOSS when an answer is not there.
 * Threads: the spool's owner.
 */
#ifndef TRANCHE_STORE_SPOOL_ORIGINS_H
#define TRANCHE_STORE_SPOOL_ORIGINS_H

#include "store/db/db.h"

#define ORIGINS_OPEN_MAX 8

struct origins;
/* The origins of the spool in dir, whose database is borrowed. */
struct origins *origins_open(struct db *d, const char *dir, struct error *e);
void origins_close(struct origins *o); /* accepts NULL */
/* Links the file and gives it a number, in the transaction that is open; a file that has one keeps it. */
int origins_add(struct origins *o, const char *path, uint32_t *id, struct error *e) FALLIBLE;
/* The transaction that had the additions has ended. */
void origins_ended(struct origins *o, bool committed);
/* The answer of a row, valid until the next call, and when it was made. */
int origins_get(struct origins *o, uint32_t id, uint64_t index, struct str *response,
                int64_t *answered_us, struct error *e) FALLIBLE;

#endif
