/* fleet_inner.h -- what the leases of shards (jobs/) need of their process. Nothing outside src/store includes it.
 *
 * Why: an answer of the database may be lost, so that a process holds a shard which it does not know of, and renews it for
 *      ever. The memory of what it knows to hold is compared with the rows, while no lease is under way.
 *
 * Use:     fleet_lease_begin, then a transaction with fleet_lock_in that leases, then fleet_lease_end.
 *          The process's row is locked until the commit, so that nobody frees what is being leased.
 * Threads: all; one lease at a time in a process.
 */
#ifndef TRANCHE_STORE_FLEET_FLEET_INNER_H
#define TRANCHE_STORE_FLEET_FLEET_INNER_H

#include "store/fleet/fleet.h"
#include "store/store_inner.h"

/* A shard that this process holds. */
struct fleet_held {
    int64_t job, number, fence;
};

/* *process: ours. ABORTED: its lease may be over. */
int fleet_lease_begin(struct store *s, int64_t *process, struct error *e) FALLIBLE;
/* known: the transaction is known to be committed; else what it leased is found out at the next renewal. */
void fleet_lease_end(struct store *s, bool known);
/* Between the two: these are held now. */
void fleet_hold(struct store *s, struct fleet_held h);
/* The lease has ended, for this process at least. doubt: the row may not say so. */
void fleet_drop(struct store *s, struct fleet_held h, bool doubt);

/* Locks the process's row against its removal, until the end of the transaction. ABORTED: it is removed. */
int fleet_lock_in(struct db *d, int64_t process, struct error *e) FALLIBLE;
/* The next fence of a row, after this one. */
int64_t fleet_fence_next(struct db *d, int64_t fence);

#endif
