/* fleet.h -- which processes share a store, and which of them does what only one at a time should do.
 *
 * Why: any process may die at any instant. Its shards and duties must become free without anybody's help, and a process that
 * was only stopped for a while must notice that it has lost everything before it writes again.
 *
 * Shape:   a row a process, with the end of its lease: FLEET_LEASE_MS after its last renewal, by the database's clock.
 *          Whoever finds an expired row removes it, and with it all that the process held: shards (jobs/shards.h)
 *          and duties. A row that was removed never comes back: the process joins again under a new number.
 *          A fence is (timeline of the database, number): it grows at each lease of the same thing, and the row that is
 *          written under it names it.
 *          The memory of a process says which shards it holds. The next renewal gives back what the database says beyond that
 *          (an answer was lost, or a lease was forgotten).
 * Time:    a process trusts its lease until FLEET_LEASE_MS - FLEET_MARGIN_MS after the moment before it asked, on
 *          CLOCK_BOOTTIME, which goes on while the machine sleeps.
 * Errors:  ABORTED: the process has lost its lease. UNAVAILABLE: the database cannot be asked now.
 * Threads: all.
 */
#ifndef TRANCHE_STORE_FLEET_FLEET_H
#define TRANCHE_STORE_FLEET_FLEET_H

#include "store/store.h"

#define FLEET_LEASE_MS 10000
#define FLEET_RENEW_MS 2000
#define FLEET_MARGIN_MS 2000

/* Makes this process's row. name: the machine's and what else helps an operator to find it. Without it a store is used by
 * one process, which has every duty. Again, after a lost lease: a new row, which holds nothing. */
int fleet_join(struct store *s, const char *name, struct error *e) FALLIBLE;
int64_t fleet_process(struct store *s); /* its number; 0: it did not join */
/* Extends the lease, frees what expired processes held, and what this one holds without knowing. freed: the number of expired
 * processes. ABORTED: the row is gone. */
int fleet_renew(struct store *s, uint32_t *freed, struct error *e) FALLIBLE;
/* Does this process still hold what it leased, by its own clock? Always, when it did not join. */
bool fleet_holds(struct store *s);
/* Ends the lease, so that others need not wait for its end. */
void fleet_leave(struct store *s);

/* A duty is work that one process does at a time: the check of a job, its end, the hourly sweep. It is a courtesy that
 * saves double work; what is written must be safe without it. 1: it is ours; 0: another one has it. */
int duty_take(struct store *s, const char *name, struct error *e) FALLIBLE;
void duty_end(struct store *s, const char *name);

/* Processes of the fleet, oldest first: for the console and metrics. */
struct fleet_member {
    int64_t process;
    char name[128], version[32];
    int64_t join_us, until_us;
    uint32_t shards; /* that it holds */
};
int fleet_list(struct store *s, struct arena *a, struct fleet_member **out, uint32_t *count,
               struct error *e) FALLIBLE;

#endif
