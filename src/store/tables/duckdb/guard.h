/* guard.h -- statements that must end: by time, by size, or because the client cancels them.
 *
 * Why: DuckDB has no timeout and no limit of a result. One thread looks at all statements that run and
 *      interrupts those that are over a limit; it runs while there is one.
 *
 * Use:     struct guard g = { .connection = ..., ... };
 *          if (guard_begin(w, &g, cancel, e) < 0) ...; run statements; rc = guard_end(w, &g, cancel, rc, e);
 *          guard_end turns the engine's "interrupted" into the reason: DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED
 *          or CANCELLED.
 * Threads: a guard belongs to the thread that runs the statements, between begin and end.
 */
#ifndef TRANCHE_STORE_TABLES_DUCKDB_GUARD_H
#define TRANCHE_STORE_TABLES_DUCKDB_GUARD_H

#include <pthread.h>

#include "store/tables/duckdb/connection.h"
#include "store/tables/tables.h"

enum guard_reason { GUARD_NONE, GUARD_TIME, GUARD_BYTES, GUARD_CANCEL };

struct guard {
    const struct connection *connection;
    const char *path;   /* of the file that grows */
    uint64_t bytes_max; /* by which it may grow; 0: no limit */
    int64_t timeout_ms; /* 0: no limit */
    /* Set by guard_begin: */
    uint64_t bytes_begun, deadline_ns;
    enum guard_reason reason; /* under the watch's lock */
    struct watch *watch;
    struct guard *next;
};

struct watch {
    pthread_mutex_t lock; /* guards all of it, and the guards in the list */
    pthread_cond_t changed;
    struct guard *running;
    bool started, closed;
    pthread_t thread; /* when started */
};
void watch_init(struct watch *w);
void watch_release(struct watch *w); /* no guard may be running */

int guard_begin(struct watch *w, struct guard *g, struct tables_cancel *cancel,
                struct error *e) FALLIBLE;
int guard_end(struct watch *w, struct guard *g, struct tables_cancel *cancel, int rc,
              struct error *e) FALLIBLE;
/* Between statements: is it over already? -1 with the reason. */
int guard_check(struct guard *g, struct error *e) FALLIBLE;

#endif
