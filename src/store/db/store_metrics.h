/* store_metrics.h -- what /metrics shows of a store that several processes share: calls of its database and its bucket,
 * leases of shards, fences.
 *
 * Why: an operator must see which of the two is slow or fails, and that a fleet loses no leases, without reading logs. The
 * names stand in one place, so that dashboards and alerts (examples/prometheus) can rely on them.
 *
 * Use:     uint64_t began = store_call_begin();
 *          int rc = ...;
 *          store_call_end(STORE_BUCKET, "put", began, rc < 0 ? e : NULL);
 * Labels:  operations are constants of the caller, a handful for each part: "read", "write", "connect" of the database;
 *          "put", "get", "size", "remove", "list" of the bucket.
 * Threads: all; no locks.
 */
#ifndef TRANCHE_STORE_DB_STORE_METRICS_H
#define TRANCHE_STORE_DB_STORE_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum store_part { STORE_DATABASE, STORE_BUCKET, STORE_PART_COUNT };

uint64_t store_call_begin(void);
/* A call that began then has ended: e is its error; NULL: it went well. NOT_FOUND, ABORTED and the like are answers, not
 * failures of the part. */
void store_call_end(enum store_part part, const char *operation, uint64_t began_ns,
                    const struct error *e);
/* A call failed and is tried again by us, before anybody sees an error. */
void store_call_again(enum store_part part, const char *operation);
/* Has the part failed since it last answered? False while it was never called. */
bool store_part_fails(enum store_part part);

/* Which events a process counts. */
enum store_event {
    STORE_SHARDS_LEASED, /* shards that this process took */
    STORE_SHARDS_DONE,   /* shards that it recorded as done */
    STORE_SHARDS_LOST, /* shards that it freed, because the lease of the process that held them had ended */
    STORE_CHECKPOINTS,    /* checkpoints of shards that it recorded */
    STORE_FENCES_REFUSED, /* its writes that the store refused, because their fence was an old one */
    STORE_LEASES_LOST,    /* ends of its own lease that it did not ask for */
    STORE_PROCESSES_EXPIRED /* other processes whose lease it found ended, and whose shards it freed */
};
void store_count(enum store_event what, uint64_t n);

#endif
